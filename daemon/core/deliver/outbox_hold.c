/* Messages on their way from the ledger to whoever sends them, and back for good. */
#include "daemon/core/deliver/outbox_private.h"

/* Is it the usual kind of route? A round trip measured over another kind does not apply. */
static bool is_usual(const struct sender_route *route) {
    return route->relays_exact == RELAYS_DEFAULT && route->shards_k == 0;
}

struct recipient *outbox_hold(struct outbox *outbox, const struct sender_route *route,
                              enum sender_hold hold, uint64_t size) {
    int64_t srtt_us, rttvar_us;
    bool is_new;
    struct recipient *recipient = sender_hold(outbox->sender, route, hold, size, &is_new);
    if (recipient && is_new && is_usual(route) &&
        ledger_recall_round_trip(outbox->ledger, &route->to, &srtt_us, &rttvar_us))
        sender_recall(recipient, srtt_us, rttvar_us);
    return recipient;
}

void outbox_let_go(struct outbox *outbox, const struct sender_turn *turn) {
    depositor_forget(outbox->depositor, turn->gone);
    if (is_usual(&turn->was))
        ledger_remember_round_trip(outbox->ledger, &turn->was.to, turn->srtt_us, turn->rttvar_us);
}

void outbox_enqueue(struct outbox *outbox, struct message *message, uint64_t progress) {
    if (message->recipient)
        sender_enqueue(outbox->sender, message, progress);
    else
        loopback_enqueue(&outbox->loopback, message, progress);
}

void outbox_finish(struct outbox *outbox, struct message *message, enum message_state state,
                   const char *reason, struct now now) {
    if (message->kind == KIND_MAIL && message->recipient)
        keeper_gone(&outbox->keeper, message);
    if (message->recipient)
        sender_forget(outbox->sender, message);
    loopback_forget(&outbox->loopback, message);
    ledger_finish(outbox->ledger, message, state, reason, now);
}
