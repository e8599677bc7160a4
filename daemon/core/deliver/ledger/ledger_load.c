/* What was pending when we stopped. The first messages come with the start, the rest page by page
 * while we run: a hundred thousand take longer to read than a start may.
 *
 * Threat: a message that a client asks for, pushes again or cancels before it was read must not
 * look finished. The store knows it, and it is entered out of its turn. What is pushed meanwhile is
 * stored and answered as ever, but is sent after all that is older. */
#include "daemon/core/deliver/ledger/ledger_private.h"
#include "daemon/core/seam/step.h"

/* A page: some 10 ms of the store's time and of ours, between what clients ask for. */
#define LOAD_ROWS 2048
#define LOAD_AGAIN_US US_PER_S

int ledger_load_boot(struct ledger *ledger, const struct node_boot *boot, struct mono now) {
    for (size_t i = 0; i < boot->n_conversations; i++) {
        struct conversation *conversation =
            ledger_conversation(ledger, &boot->conversations[i].recipient);
        if (!conversation)
            return -ENOMEM;
        conversation->sequence = boot->conversations[i].sequence;
    }
    ledger->load.left = boot->n_unread;
    ledger->load.after = boot->unread_after;
    ledger->load.until = boot->unread_until;
    ledger->load.due = now;
    ledger->load.is_needed = boot->n_unread > 0;
    return 0;
}

void ledger_load_tick(struct ledger *ledger, struct mono now) {
    if (!mono_is_due(ledger_load_next(ledger), now))
        return;
    struct ledger_op *op = ledger_op_new(ledger, LEDGER_LOAD, sizeof *op);
    ledger->load.due = mono_add(now, LOAD_AGAIN_US);
    if (!op)
        return;
    struct store_op operation = {.kind = STORE_OUT_PENDING};
    operation.out_pending.after = ledger->load.after;
    operation.out_pending.until = ledger->load.until;
    operation.out_pending.limit = LOAD_ROWS;
    ledger->load.is_under_way = true;
    ledger_store(ledger, &operation, op);
}

struct mono ledger_load_next(const struct ledger *ledger) {
    return ledger->load.is_needed && !ledger->load.is_under_way ? ledger->load.due : MONO_NEVER;
}

const struct out_record *ledger_load_ahead(const struct ledger *ledger,
                                           const struct out_record *record) {
    bool is_one = ledger->load.is_needed && !message_state_is_final(record->state) &&
                  record->kind != KIND_MAIL;
    return is_one ? record : NULL;
}

void ledger_load_one(struct ledger *ledger) {
    ledger->load.left -= ledger->load.left > 0;
}

/* `is_whole` false: there was no memory for the whole page, which is asked for again; messages that
 * are known are passed over then. */
void ledger_load_page(struct ledger *ledger, const struct store_result *result, bool is_whole,
                      struct mono now) {
    ledger->load.is_under_way = false;
    if (result->error || !is_whole)
        return;
    if (result->n_damaged > 0)
        core_log(&ledger->config.trace, TRACE_ERROR,
                 "store: %llu messages that wait to be sent are damaged and will not be: restore a "
                 "backup",
                 (unsigned long long)result->n_damaged);
    ledger->load.left -=
        result->n_damaged < ledger->load.left ? result->n_damaged : ledger->load.left;
    ledger->load.after = result->next;
    ledger->load.due = now;
    if (result->more)
        return;
    ledger->load.is_needed = false;
    ledger->load.left = 0;
}

struct message *ledger_load_late(struct ledger *ledger) {
    struct message *message = TAILQ_FIRST(&ledger->load.late);
    if (ledger->load.is_needed || !message)
        return NULL;
    TAILQ_REMOVE(&ledger->load.late, message, queue);
    message_move(message, MESSAGE_NOWHERE);
    return message;
}

bool ledger_is_loading(const struct ledger *ledger) {
    return ledger->load.is_needed;
}

uint64_t ledger_unread(const struct ledger *ledger) {
    return ledger->load.left;
}
