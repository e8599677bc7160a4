/* What was owed when we stopped. The first of it comes with the start, the rest page by page once
 * we run: a hundred thousand messages take longer to read than a start may.
 *
 * Threat: something that is asked for, repeated or cancelled before it was read must not look
 * finished. The store knows it, and then it is entered out of its turn. What is pushed meanwhile is
 * durable and answered as ever, but leaves behind all that is older. */
#include "daemon/core/deliver/outbox_private.h"
#include "daemon/core/seam/step.h"

/* A page: some 10 ms of the store's time and of ours, between what clients ask for. */
#define LOAD_ROWS 2048
#define LOAD_AGAIN_US US_PER_S

/* One message that was owed when we stopped. */
static int enter(struct outbox *outbox, const struct out_record *record, struct now now) {
    bool is_mail = record->kind == KIND_MAIL;
    struct out_conversation *conversation =
        is_mail ? NULL : out_conversation_get(outbox, &record->recipient);
    struct out_message *message =
        conversation || is_mail ? out_message_new(outbox, record, conversation) : NULL;
    if (!message)
        return -ENOMEM;
    if (conversation && conversation->sequence < record->sequence)
        conversation->sequence = record->sequence;
    if (!node_id_is_equal(&record->recipient, &outbox->self)) {
        message->flow = is_mail ? out_flow_get_kept(outbox, &record->recipient)
                                : out_flow_get(outbox, &record->recipient, record->relays_exact,
                                               record->strict, record->shards_k, record->shards_m);
        if (!message->flow) {
            out_message_discard(outbox, message);
            return -ENOMEM;
        }
        message->flow->n_messages++;
        if (is_mail)
            out_kept_boot(outbox, message);
    }
    message->owed = true;
    out_message_enter(outbox, message, record->progress, now);
    return 0;
}

int out_load_boot(struct outbox *outbox, const struct node_boot *boot, struct now now) {
    for (size_t i = 0; i < boot->n_conversations; i++) {
        struct out_conversation *conversation =
            out_conversation_get(outbox, &boot->conversations[i].recipient);
        if (!conversation)
            return -ENOMEM;
        conversation->sequence = boot->conversations[i].sequence;
    }
    for (size_t i = 0; i < boot->n_pending; i++)
        if (enter(outbox, &boot->pending[i], now))
            return -ENOMEM;
    outbox->load.is_needed = boot->n_unread > 0;
    outbox->load.left = boot->n_unread;
    outbox->load.after = boot->unread_after;
    outbox->load.until = boot->unread_until;
    outbox->load.due = now.mono;
    return 0;
}

struct out_message *out_load_one(struct outbox *outbox, const struct out_record *record,
                                 struct now now) {
    if (!outbox->load.is_needed || message_state_is_final(record->state) ||
        record->kind == KIND_MAIL || enter(outbox, record, now))
        return NULL;
    outbox->load.left -= outbox->load.left > 0;
    return out_find(outbox, &record->id);
}

static void finish(struct outbox *outbox) {
    outbox->load.is_needed = false;
    outbox->load.left = 0;
    for (struct out_message *message; (message = TAILQ_FIRST(&outbox->load.late));) {
        TAILQ_REMOVE(&outbox->load.late, message, queue);
        message->late = false;
        out_message_enqueue(outbox, message);
    }
}

void out_load_tick(struct outbox *outbox, struct mono now) {
    if (!mono_is_due(out_load_next(outbox), now))
        return;
    struct out_op *op = out_op_new(outbox, OUT_OP_LOAD);
    outbox->load.due = mono_add(now, LOAD_AGAIN_US);
    if (!op)
        return;
    struct store_op operation = {.kind = STORE_OUT_PENDING};
    operation.out_pending.after = outbox->load.after;
    operation.out_pending.until = outbox->load.until;
    operation.out_pending.limit = LOAD_ROWS;
    outbox->load.is_under_way = true;
    out_store(outbox, &operation, op);
}

struct mono out_load_next(const struct outbox *outbox) {
    return outbox->load.is_needed && !outbox->load.is_under_way ? outbox->load.due : MONO_NEVER;
}

/* If there is no memory for all of a page, it is asked for again: what is known is passed over. */
void out_load_done(struct outbox *outbox, const struct store_result *result, struct now now) {
    outbox->load.is_under_way = false;
    if (result->error)
        return;
    for (size_t i = 0; i < result->n_records; i++) {
        if (out_find(outbox, &result->pending[i].id))
            continue;
        if (enter(outbox, &result->pending[i], now))
            return;
        outbox->load.left -= outbox->load.left > 0;
    }
    if (result->n_damaged > 0)
        core_log(&outbox->config.trace, TRACE_ERROR,
                 "store: %llu messages that wait to be sent are damaged and will not be: restore a "
                 "backup",
                 (unsigned long long)result->n_damaged);
    outbox->load.left -=
        result->n_damaged < outbox->load.left ? result->n_damaged : outbox->load.left;
    outbox->load.after = result->next;
    outbox->load.due = now.mono;
    if (!result->more)
        finish(outbox);
}
