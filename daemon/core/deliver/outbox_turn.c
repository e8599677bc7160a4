/* Turns: what is due is done, and what happens in a recipient's turn is carried to the ledger and
 * the depot. */
#include "daemon/core/deliver/outbox_private.h"

/* A parcel's first shards left: its messages are sent, and whoever asked for the routes gets
 * them. */
static void depart(struct outbox *outbox, struct sender_parcel *parcel) {
    struct route_report *routes = NULL;
    bool has_looked = false;
    size_t n_routes = 0;
    for (size_t i = 0; i < sender_parcel_items(parcel); i++) {
        struct message *message = sender_parcel_message(parcel, i);
        if (!message)
            continue;
        ledger_mark_sent(outbox->ledger, message);
        if (!ledger_wants_routes(message))
            continue;
        if (!has_looked)
            routes = sender_routes(outbox->sender, parcel, &n_routes);
        has_looked = true;
        ledger_answer_routes(outbox->ledger, message, routes, n_routes);
    }
}

static void take_turns(struct outbox *outbox, struct now now) {
    struct sender_turn turn;
    sender_begin(outbox->sender, now.mono);
    while (sender_turn(outbox->sender, now, &turn)) {
        if (turn.no_route)
            ledger_no_route_to(outbox->ledger, turn.no_route);
        for (struct sender_parcel *parcel; (parcel = sender_departed(outbox->sender));)
            depart(outbox, parcel);
        if (turn.is_gone)
            outbox_let_go(outbox, &turn);
    }
}

static void each_waiting(const struct recipient *recipient,
                         bool (*take)(void *context, struct message *message), void *context) {
    struct sender_walk walk = sender_walk(recipient);
    for (struct message *message; (message = sender_walk_next(&walk));)
        if (!take(context, message))
            return;
}

/* Show the depositor every recipient of our own messages. Mail of others is not left with other
 * mailboxes in its turn. */
static void look_for_away(struct outbox *outbox, struct now now) {
    uint64_t bytes;
    for (struct recipient *at = sender_first(outbox->sender); at; at = sender_after(at)) {
        const struct sender_route *route = sender_route_of(at);
        if (route->is_kept)
            continue;
        struct depositor_recipient view = {.recipient = at,
                                           .id = route->to,
                                           .relays_exact = route->relays_exact,
                                           .strict = route->strict,
                                           .is_silent = sender_is_silent(at),
                                           .is_unreachable = sender_is_unreachable(at),
                                           .n_messages = sender_held(at, &bytes),
                                           .each = each_waiting};
        sender_attach(at, depositor_look(outbox->depositor, sender_attached(at), &view, now));
    }
}

/* Is a message in memory pending? */
static bool is_pending(const struct outbox *outbox) {
    return ledger_pending(outbox->ledger) > ledger_unread(outbox->ledger);
}

void outbox_tick(struct outbox *outbox, struct now now) {
    for (struct message *message; (message = ledger_expired(outbox->ledger, now));)
        outbox_finish(outbox, message, MESSAGE_EXPIRED, "expired", now);
    ledger_tick(outbox->ledger, now.mono);
    sender_tick(outbox->sender, now);
    ledger_load_tick(outbox->ledger, now.mono);
    loopback_tick(&outbox->loopback, now.mono);
    take_turns(outbox, now);
    if (is_pending(outbox) && depositor_is_due(outbox->depositor, now.mono))
        look_for_away(outbox, now);
    depositor_tick(outbox->depositor, now);
    sender_make_ready(outbox->sender, now);
}

struct mono outbox_next(const struct outbox *outbox) {
    struct mono next = mono_min(sender_next(outbox->sender), ledger_next(outbox->ledger));
    next = mono_min(next, depositor_next(outbox->depositor, is_pending(outbox)));
    return mono_min(next, loopback_next(&outbox->loopback));
}
