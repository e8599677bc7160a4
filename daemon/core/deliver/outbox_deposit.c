/* Mail that we keep for others: stored as messages of our own to their recipients, and delivered as
 * such. Threat: who deposited it is nobody we could charge. So it is bounded in all and for each
 * recipient, on the disk and in memory, belongs to no conversation, and no client is told of it. */
#include "daemon/core/deliver/outbox_private.h"

#define RECIPIENT_SHARE 8 /* of the whole, one of so many parts a recipient */

static uint64_t cost(uint64_t size) {
    return size + OUTBOX_MAIL_COST;
}

/* Counted from the first step of storing it to its final state. */
static void charge(struct outbox *outbox, struct out_flow *flow, uint64_t size) {
    outbox->n_kept++;
    outbox->kept_bytes += cost(size);
    flow->n_kept++;
    flow->kept_bytes += cost(size);
}

static void discharge(struct outbox *outbox, struct out_flow *flow, uint64_t size) {
    outbox->n_kept--;
    outbox->kept_bytes -= cost(size);
    flow->n_kept--;
    flow->kept_bytes -= cost(size);
}

void out_kept_boot(struct outbox *outbox, const struct out_message *message) {
    charge(outbox, message->flow, message->size);
}

void out_kept_gone(struct outbox *outbox, const struct out_message *message) {
    discharge(outbox, message->flow, message->size);
}

/* ---- Memory ---- */

/* What was accepted is known of as long as it lives, whatever limits.memory is by now: what does
 * not fit is not charged, and nothing more is accepted until there is less. */
void out_kept_take(struct outbox *outbox, size_t size) {
    struct budget *budget = outbox->config.budget;
    size_t most = budget->max / OUTBOX_KEPT_SHARE;
    size += OUTBOX_HEAP_EXTRA;
    outbox->kept_memory += size;
    if (outbox->kept_charged + size <= most && budget_take(budget, BUDGET_KEPT, size))
        outbox->kept_charged += size;
}

void out_kept_give(struct outbox *outbox, size_t size) {
    outbox->kept_memory -= size + OUTBOX_HEAP_EXTRA;
    if (outbox->kept_charged <= outbox->kept_memory)
        return;
    budget_give(outbox->config.budget, BUDGET_KEPT, outbox->kept_charged - outbox->kept_memory);
    outbox->kept_charged = outbox->kept_memory;
}

/* For one more mail, and a flow if there is none for its recipient. */
static bool has_memory(struct outbox *outbox, const struct out_flow *flow) {
    struct budget *budget = outbox->config.budget;
    size_t size = sizeof(struct out_message) + OUTBOX_HEAP_EXTRA;
    if (!flow)
        size += sizeof *flow + OUTBOX_SLOTS * sizeof *flow->slots + OUTBOX_HEAP_EXTRA;
    if (outbox->kept_memory + size > budget->max / OUTBOX_KEPT_SHARE ||
        !budget_take(budget, BUDGET_KEPT, size))
        return false;
    budget_give(budget, BUDGET_KEPT, size); /* there is room now: what is made takes it */
    return true;
}

/* ---- Taking it ---- */

static int put(struct outbox *outbox, struct out_op *op, const struct outbox_mail *mail,
               uint64_t quota, struct wall wall) {
    struct store_op operation = {.kind = STORE_OUT_PUT};
    struct out_record *record = &operation.out_put.record;
    *record = (struct out_record){.id = mail->id,
                                  .recipient = mail->recipient,
                                  .created = wall,
                                  .expires = mail->expires,
                                  .size = mail->length,
                                  .kind = KIND_MAIL,
                                  .state = MESSAGE_QUEUED,
                                  .relays_exact = RELAYS_DEFAULT};
    struct out_flow *flow = out_flow_find_kept(outbox, &mail->recipient);
    /* Asked before anything is made for it: of recipients there are as many as a depositor
     * likes. */
    if ((flow ? flow->kept_bytes : 0) + cost(mail->length) > quota / RECIPIENT_SHARE)
        return -EDQUOT;
    if (!has_memory(outbox, flow))
        return -ENOMEM;
    op->message = out_message_new(outbox, record, NULL);
    flow = op->message ? out_flow_get_kept(outbox, &mail->recipient) : NULL;
    if (!flow) {
        out_message_discard(outbox, op->message);
        return -ENOMEM;
    }
    op->message->flow = flow;
    flow->n_messages++;
    charge(outbox, flow, mail->length);
    outbox->n_putting++;
    operation.out_put.body = mail->bytes;
    out_store(outbox, &operation, op);
    return 0;
}

static void done(struct outbox *outbox, struct out_op *op, int error) {
    op->error = error;
    TAILQ_REMOVE(&outbox->ops, op, link);
    TAILQ_INSERT_TAIL(&outbox->deposited, op, link);
}

int outbox_deposit(struct outbox *outbox, const struct outbox_mail *mail, uint64_t quota,
                   struct wall wall) {
    struct out_message *known = out_find(outbox, &mail->id);
    if (outbox->load.is_needed) /* how much we keep is not known yet */
        return -ENOMEM;
    if (known && (known->kind != KIND_MAIL || known->size != mail->length))
        return -EEXIST;
    if (!known &&
        (outbox->n_kept >= OUTBOX_MAIL_MAX || outbox->kept_bytes + cost(mail->length) > quota ||
         outbox->n_messages + outbox->n_putting >= outbox->config.messages_max))
        return -EDQUOT;
    struct out_op *op = out_op_new(outbox, OUT_OP_DEPOSIT);
    if (!op)
        return -ENOMEM;
    op->id = mail->id;
    op->tag = mail->tag;
    if (known) { /* durable, or it would not be known */
        done(outbox, op, 0);
        return 0;
    }
    int error = put(outbox, op, mail, quota, wall);
    if (error)
        out_op_free(outbox, op);
    return error;
}

void out_deposit_stored(struct outbox *outbox, struct out_op *op, const struct store_result *result,
                        struct now now) {
    struct out_message *message = op->message;
    outbox->n_putting--;
    /* Two deposits of one mail may have been under way together. */
    if (result->error == 0 && !result->existed && !out_find(outbox, &op->id)) {
        out_message_enter(outbox, message, 0, now);
    } else {
        discharge(outbox, message->flow, message->size);
        message->flow->n_messages--;
        out_flow_wake(outbox, message->flow);
        out_message_discard(outbox, message);
    }
    op->message = NULL;
    done(outbox, op, result->error);
}

bool outbox_deposit_done(struct outbox *outbox, uint64_t *ret_tag, int *ret_error) {
    struct out_op *op = TAILQ_FIRST(&outbox->deposited);
    if (!op)
        return false;
    *ret_tag = op->tag;
    *ret_error = op->error;
    TAILQ_REMOVE(&outbox->deposited, op, link);
    free(op);
    return true;
}

void out_deposits_deinit(struct outbox *outbox) {
    uint64_t tag;
    int error;
    while (outbox_deposit_done(outbox, &tag, &error))
        continue;
}

uint64_t outbox_mail_held(const struct outbox *outbox, uint64_t *ret_bytes) {
    *ret_bytes = outbox->kept_bytes;
    return outbox->n_kept;
}
