/* Mail of others, and the mailboxes' word: carried between keeper, ledger and sender. */
#include "daemon/core/deliver/outbox_private.h"

static int deposit(struct outbox *outbox, const struct outbox_mail *mail, uint64_t quota,
                   struct wall wall) {
    struct sender_route route = sender_route_kept(&mail->recipient);
    struct recipient *by = sender_find(outbox->sender, &route);
    uint64_t held_bytes = 0;
    size_t held = by ? sender_held(by, &held_bytes) : 0;
    int error = keeper_has_room(&outbox->keeper, mail, quota, held, held_bytes,
                                by ? 0 : sender_recipient_size(&route));
    if (error)
        return error;
    struct keeper_op *op = keeper_begin(&outbox->keeper, mail, wall);
    by = op ? outbox_hold(outbox, &route, HOLD_ANYWAY, mail->length) : NULL;
    if (!by) {
        if (op)
            keeper_abandon(&outbox->keeper, op);
        return -ENOMEM;
    }
    sender_assign(keeper_message(op), by);
    ledger_count_putting(outbox->ledger, 1);
    keeper_store(&outbox->keeper, op, mail);
    return 0;
}

int outbox_deposit(struct outbox *outbox, const struct outbox_mail *mail, uint64_t quota,
                   struct wall wall) {
    const struct message *known = messages_find(&outbox->messages, &mail->id);
    if (ledger_is_loading(outbox->ledger)) /* how much we keep is not known yet */
        return -ENOMEM;
    if (known && (known->kind != KIND_MAIL || known->size != mail->length))
        return -EEXIST;
    if (known) /* it is in memory, so it is durable */
        return keeper_repeat(&outbox->keeper, mail);
    return ledger_has_room(outbox->ledger) ? deposit(outbox, mail, quota, wall) : -EDQUOT;
}

bool outbox_deposit_done(struct outbox *outbox, uint64_t *ret_tag, int *ret_error) {
    return keeper_told(&outbox->keeper, ret_tag, ret_error);
}

uint64_t outbox_mail_held(const struct outbox *outbox, uint64_t *ret_bytes) {
    *ret_bytes = outbox->keeper.bytes;
    return outbox->keeper.n_mails;
}

void outbox_keeper_stored(struct outbox *outbox, uint64_t cookie, const struct store_result *result,
                          struct now now) {
    struct message *message;
    bool is_good = keeper_stored(&outbox->keeper, cookie, result, &message);
    ledger_count_putting(outbox->ledger, -1);
    if (!is_good) {
        keeper_gone(&outbox->keeper, message);
        sender_release(outbox->sender, message->recipient, message->size);
        message_free(&outbox->messages, message);
    } else if (ledger_enter(outbox->ledger, message, false, now)) {
        outbox_enqueue(outbox, message, 0);
    }
}

enum drop outbox_confirmation(struct outbox *outbox, const uint8_t *payload, size_t length,
                              struct mono now) {
    return depositor_confirmation(outbox->depositor, payload, length, now);
}
