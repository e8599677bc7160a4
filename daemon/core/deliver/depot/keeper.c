/* Mail that we keep for others: see keeper.h. */
#include "daemon/core/deliver/depot/keeper.h"

#define RECIPIENT_SHARE 8 /* of the whole, one of so many parts a recipient */

struct keeper_op { /* a deposit that is being stored, or to be told of; its address is the cookie */
    uint64_t owner;
    TAILQ_ENTRY(keeper_op) link;
    struct message_id id;
    struct message *message; /* made in advance; NULL: told of */
    uint64_t tag;
    int error; /* once it is done */
};

static uint64_t cost(uint64_t size) {
    return size + KEEPER_MAIL_COST;
}

/* A mail counts from the moment when storing it begins until it is final. */
void keeper_count(struct keeper *keeper, const struct message *message) {
    keeper->n_mails++;
    keeper->bytes += cost(message->size);
}

void keeper_gone(struct keeper *keeper, const struct message *message) {
    keeper->n_mails--;
    keeper->bytes -= cost(message->size);
}

/* ---- Taking it ---- */

int keeper_has_room(const struct keeper *keeper, const struct outbox_mail *mail, uint64_t quota,
                    size_t held, uint64_t held_bytes, size_t recipient_size) {
    size_t size = sizeof(struct message) + BUDGET_HEAP_EXTRA;
    if (recipient_size > 0)
        size += recipient_size + BUDGET_HEAP_EXTRA;
    if (keeper->n_mails >= OUTBOX_MAIL_MAX || keeper->bytes + cost(mail->length) > quota)
        return -EDQUOT;
    /* Asked before a recipient is made for the mail: a depositor may name as many as it likes. */
    if (held_bytes + held * KEEPER_MAIL_COST + cost(mail->length) > quota / RECIPIENT_SHARE)
        return -EDQUOT;
    return budget_part_has_room(&keeper->messages->kept, size) ? 0 : -ENOMEM;
}

static struct keeper_op *op_new(struct keeper *keeper, const struct outbox_mail *mail,
                                struct keeper_ops *list) {
    struct keeper_op *op = calloc(1, sizeof *op);
    if (!op)
        return NULL;
    op->owner = keeper->owner;
    op->id = mail->id;
    op->tag = mail->tag;
    TAILQ_INSERT_TAIL(list, op, link);
    return op;
}

struct keeper_op *keeper_begin(struct keeper *keeper, const struct outbox_mail *mail,
                               struct wall wall) {
    struct out_record record = {.id = mail->id,
                                .created = wall,
                                .expires = mail->expires,
                                .size = mail->length,
                                .kind = KIND_MAIL};
    struct keeper_op *op = op_new(keeper, mail, &keeper->storing);
    if (!op)
        return NULL;
    op->message = message_new(keeper->messages, &record, NULL);
    if (op->message)
        return op;
    keeper_abandon(keeper, op);
    return NULL;
}

struct message *keeper_message(const struct keeper_op *op) {
    return op->message;
}

void keeper_abandon(struct keeper *keeper, struct keeper_op *op) {
    message_free(keeper->messages, op->message);
    TAILQ_REMOVE(&keeper->storing, op, link);
    free(op);
}

void keeper_store(struct keeper *keeper, struct keeper_op *op, const struct outbox_mail *mail) {
    struct store_op operation = {.kind = STORE_OUT_PUT};
    operation.out_put.record = (struct out_record){.id = mail->id,
                                                   .recipient = mail->recipient,
                                                   .created = op->message->created,
                                                   .expires = mail->expires,
                                                   .size = mail->length,
                                                   .kind = KIND_MAIL,
                                                   .state = MESSAGE_QUEUED,
                                                   .relays_exact = RELAYS_DEFAULT};
    operation.out_put.body = mail->bytes;
    keeper_count(keeper, op->message);
    effects_store(keeper->effects, &operation, OWNER_OUTBOX, (uint64_t)(uintptr_t)op);
}

int keeper_repeat(struct keeper *keeper, const struct outbox_mail *mail) {
    return op_new(keeper, mail, &keeper->done) ? 0 : -ENOMEM;
}

/* ---- Results ---- */

bool keeper_stored(struct keeper *keeper, uint64_t cookie, const struct store_result *result,
                   struct message **ret_message) {
    struct keeper_op *op = (struct keeper_op *)(uintptr_t)cookie;
    *ret_message = op->message;
    op->message = NULL;
    op->error = result->error;
    TAILQ_REMOVE(&keeper->storing, op, link);
    TAILQ_INSERT_TAIL(&keeper->done, op, link);
    /* Two deposits of one mail may have been stored together: the second is not entered. */
    return result->error == 0 && !result->existed && !messages_find(keeper->messages, &op->id);
}

bool keeper_told(struct keeper *keeper, uint64_t *ret_tag, int *ret_error) {
    struct keeper_op *op = TAILQ_FIRST(&keeper->done);
    if (!op)
        return false;
    *ret_tag = op->tag;
    *ret_error = op->error;
    TAILQ_REMOVE(&keeper->done, op, link);
    free(op);
    return true;
}

/* ---- Life ---- */

void keeper_init(struct keeper *keeper, struct messages *messages, struct effects *effects,
                 uint64_t owner) {
    *keeper = (struct keeper){.messages = messages, .effects = effects, .owner = owner};
    TAILQ_INIT(&keeper->storing);
    TAILQ_INIT(&keeper->done);
}

void keeper_deinit(struct keeper *keeper) {
    uint64_t tag;
    int error;
    while (!TAILQ_EMPTY(&keeper->storing))
        keeper_abandon(keeper, TAILQ_FIRST(&keeper->storing));
    while (keeper_told(keeper, &tag, &error))
        continue;
}
