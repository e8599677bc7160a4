/* Requests, the store and turns, carried between the rooms: see outbox.h. Threat: a crash may come
 * between any two steps, so nothing is acknowledged to a client before its store operation is
 * done. */
#include "daemon/core/deliver/outbox_private.h"
#include "daemon/core/seam/step.h"

#include <assert.h>
#include <stdio.h>

/* ---- The end of a message ---- */

static void finish(struct outbox *outbox, struct message *message, enum message_state state,
                   const char *reason, struct now now) {
    if (message->kind == KIND_MAIL && message->recipient)
        keeper_gone(&outbox->keeper, message);
    if (message->recipient)
        sender_forget(outbox->sender, message);
    loopback_forget(&outbox->loopback, message);
    ledger_finish(outbox->ledger, message, state, reason, now);
}

/* What became of a message, for the ledger. */
static void carry(struct outbox *outbox, const struct sender_outcome *outcome, struct now now) {
    struct message *message = outcome->message;
    switch (outcome->kind) {
    case SENDER_PROGRESS:
        ledger_progress(outbox->ledger, message, outcome->offset);
        break;
    case SENDER_TAKEN:
        ledger_set_reason(message, NULL);
        break;
    case SENDER_NOT_NOW:
        ledger_set_reason(message, outcome->reason);
        break;
    case SENDER_DELIVERED:
        finish(outbox, message, MESSAGE_DELIVERED, NULL, now);
        break;
    case SENDER_REFUSED:
        finish(outbox, message, MESSAGE_REFUSED, outcome->reason, now);
        break;
    case SENDER_FAILED:
        finish(outbox, message, MESSAGE_FAILED, outcome->reason, now);
        break;
    }
}

static void carry_all(struct outbox *outbox, struct now now) {
    struct sender_outcome outcome;
    while (sender_outcome(outbox->sender, &outcome))
        carry(outbox, &outcome, now);
}

/* ---- Pushes ---- */

/* With as many relays as asked for, if that is a condition? */
static bool is_possible(struct outbox *outbox, const struct request *request,
                        const struct node_id *recipient, struct mono now) {
    uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
    size_t n;
    double choices;
    struct path_wish wish = {
        .target = *recipient, .relays_exact = request->push.relays, .strict = request->push.strict};
    if ((!request->push.strict && request->push.relays == RELAYS_DEFAULT) ||
        node_id_is_equal(recipient, &outbox->self))
        return true;
    return path_sample(outbox->config.paths, &wish, now, hops, &n, &choices) != PATH_STRICT;
}

/* `is_routed`: there was a route for one that wants the same, now. */
static bool is_acceptable(struct outbox *outbox, const struct request *request,
                          const struct node_id *recipient, bool is_routed, struct mono now,
                          struct ledger_refusal *refusal) {
    if (!ledger_may_accept(outbox->ledger, request, refusal))
        return false;
    if (is_routed || ledger_knows(outbox->ledger, &request->push.id) ||
        is_possible(outbox, request, recipient, now))
        return true;
    *refusal = (struct ledger_refusal){ANSWER_FAILED, "no route with as many relays as asked for"};
    return false;
}

/* May this push be accepted, and its put be begun? */
static bool put(struct outbox *outbox, const struct request *request,
                const struct node_id *recipient, const char *notice, struct ledger_batch *batch,
                struct now now, struct ledger_refusal *refusal) {
    struct ledger_put *put =
        ledger_put_begin(outbox->ledger, request, recipient, notice, batch, now.wall, refusal);
    if (!put)
        return false;
    if (!node_id_is_equal(recipient, &outbox->self)) {
        struct sender_route route = {.to = *recipient,
                                     .relays_exact = request->push.relays,
                                     .shards_k = request->push.shards_k,
                                     .shards_m = request->push.shards_m,
                                     .strict = request->push.strict};
        struct recipient *by = outbox_hold(outbox, &route, request->push.size);
        if (!by) {
            *refusal = ledger_error_words(-ENOMEM);
            ledger_put_abandon(outbox->ledger, put);
            return false;
        }
        sender_assign(ledger_put_message(put), by);
    }
    ledger_put_store(outbox->ledger, put, request);
    return true;
}

void outbox_push(struct outbox *outbox, const struct request *request,
                 const struct node_id *recipient, const char *notice, struct now now) {
    struct ledger_refusal refusal = {ANSWER_OK, ""};
    bool good =
        is_acceptable(outbox, request, recipient, false, now.mono, &refusal) &&
        (request->push.check || put(outbox, request, recipient, notice, NULL, now, &refusal));
    if (!good)
        ledger_refuse(outbox->ledger, request->client, &refusal);
    else if (request->push.check)
        effects_answer_text(outbox->config.effects, request->client, ANSWER_OK, "%s",
                            notice ? notice : "");
}

static struct request one_of(const struct request *request, size_t i) {
    const struct push_item *item = &request->push_many.items[i];
    struct request one = {.client = request->client, .kind = REQUEST_PUSH};
    one.push.id = item->id;
    one.push.body = item->body;
    one.push.size = item->size;
    one.push.relays = request->push_many.relays;
    one.push.shards_k = request->push_many.shards_k;
    one.push.shards_m = request->push_many.shards_m;
    one.push.strict = request->push_many.strict;
    one.push.expire_us = request->push_many.expire_us;
    return one;
}

void outbox_push_many(struct outbox *outbox, const struct request *request,
                      const struct node_id *recipient, const char *notice, struct now now) {
    struct ledger_batch *batch = ledger_batch_new(outbox->ledger, request, notice);
    struct ledger_refusal refusal = {ANSWER_OK, ""};
    bool is_stopped = false, is_routed = false;
    size_t n = 0;
    while (batch && n < request->push_many.n && !is_stopped) {
        struct request one = one_of(request, n);
        bool is_known = ledger_knows(outbox->ledger, &one.push.id);
        bool good = is_acceptable(outbox, &one, recipient, is_routed, now.mono, &refusal);
        is_routed = is_routed || (good && !is_known);
        is_stopped = !good || !put(outbox, &one, recipient, NULL, batch, now, &refusal);
        n += !is_stopped;
    }
    if (batch)
        ledger_batch_submitted(outbox->ledger, batch, n, is_stopped ? &refusal : NULL);
}

/* ---- Requests about messages ---- */

void outbox_message(struct outbox *outbox, const struct request *request, const char *notice) {
    ledger_status(outbox->ledger, request, notice);
}

void outbox_cancel(struct outbox *outbox, const struct request *request, struct now now) {
    struct message *message = ledger_cancel(outbox->ledger, request);
    if (message)
        finish(outbox, message, MESSAGE_FAILED, "cancelled", now);
}

void outbox_client_gone(struct outbox *outbox, uint64_t client) {
    outbox_readdress_client_gone(outbox, client);
    ledger_client_gone(outbox->ledger, client);
}

/* ---- What was pending when we stopped ---- */

/* 0 or -ENOMEM. */
static int enter(struct outbox *outbox, const struct out_record *record, struct now now) {
    struct message *message = ledger_message_of(outbox->ledger, record);
    bool is_mail = record->kind == KIND_MAIL;
    if (!message)
        return -ENOMEM;
    if (!node_id_is_equal(&record->recipient, &outbox->self)) {
        struct sender_route route = {.to = record->recipient,
                                     .relays_exact = record->relays_exact,
                                     .shards_k = record->shards_k,
                                     .shards_m = record->shards_m,
                                     .strict = record->strict};
        if (is_mail)
            route = sender_route_kept(&record->recipient);
        struct recipient *by = outbox_hold(outbox, &route, record->size);
        if (!by) {
            message_free(&outbox->messages, message);
            return -ENOMEM;
        }
        sender_assign(message, by);
        if (is_mail)
            keeper_count(&outbox->keeper, message);
    }
    if (ledger_enter(outbox->ledger, message, true, now))
        outbox_enqueue(outbox, message, record->progress);
    return 0;
}

static void enter_page(struct outbox *outbox, const struct store_result *result, struct now now) {
    bool is_whole = true;
    for (size_t i = 0; i < result->n_records && !result->error && is_whole; i++) {
        if (messages_find(&outbox->messages, &result->pending[i].id))
            continue;
        is_whole = enter(outbox, &result->pending[i], now) == 0;
        if (is_whole)
            ledger_load_one(outbox->ledger);
    }
    ledger_load_page(outbox->ledger, result, is_whole, now.mono);
    for (struct message *message; (message = ledger_load_late(outbox->ledger));)
        outbox_enqueue(outbox, message, 0);
}

/* ---- The store ---- */

static void ledger_result(struct outbox *outbox, uint64_t cookie, const struct store_result *result,
                          struct now now) {
    const struct out_record *ahead = ledger_record_ahead(outbox->ledger, cookie, result);
    if (ahead && enter(outbox, ahead, now) == 0)
        ledger_load_one(outbox->ledger);
    if (ledger_is_page(cookie))
        enter_page(outbox, result, now);
    struct ledger_news news = ledger_stored(outbox->ledger, cookie, result, now);
    switch (news.kind) {
    case LEDGER_NOTHING:
        break;
    case LEDGER_ACCEPTED:
        if (news.message->withdrawn)
            finish(outbox, news.message, MESSAGE_FAILED, "one before it was not accepted", now);
        else
            outbox_enqueue(outbox, news.message, 0);
        break;
    case LEDGER_RELEASED:
        if (news.recipient)
            sender_release(outbox->sender, news.recipient, news.size);
        break;
    case LEDGER_CANCELLED:
        finish(outbox, news.message, MESSAGE_FAILED, "cancelled", now);
        break;
    }
}

static void keeper_result(struct outbox *outbox, uint64_t cookie, const struct store_result *result,
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

void outbox_stored(struct outbox *outbox, uint64_t cookie, const struct store_result *result,
                   struct now now) {
    struct sender_outcome outcome;
    switch ((enum outbox_owner) * (const uint64_t *)(uintptr_t)cookie) {
    case OUTBOX_LEDGER:
        ledger_result(outbox, cookie, result, now);
        break;
    case OUTBOX_SENDER:
        sender_stored(outbox->sender, cookie, result);
        carry_all(outbox, now);
        break;
    case OUTBOX_LOOPBACK:
        if (loopback_stored(&outbox->loopback, result, now.mono, &outcome))
            carry(outbox, &outcome, now);
        break;
    case OUTBOX_DEPOSITOR:
        depositor_stored(outbox->depositor, cookie, result);
        break;
    case OUTBOX_KEEPER:
        keeper_result(outbox, cookie, result, now);
        break;
    case OUTBOX_READDRESS:
        outbox_readdress_stored(outbox, cookie, result);
        break;
    }
}

/* ---- What others say ---- */

enum drop outbox_receipt(struct outbox *outbox, const uint8_t *payload, size_t length,
                         struct now now) {
    struct wire_reader reader = wire_reader(payload, length);
    enum drop first = DROP_NONE;
    if (wire_get_uint(&reader, 1) != PAYLOAD_RECEIPTS || wire_left(&reader) == 0)
        return DROP_MALFORMED;
    while (wire_left(&reader) > 0) {
        struct parcel_receipt receipt;
        enum drop drop = parcel_receipt_decode(&reader, &receipt);
        if (drop != DROP_NONE)
            return first ? first : drop;
        drop = sender_receipt(outbox->sender, &receipt, now);
        carry_all(outbox, now);
        if (first == DROP_NONE)
            first = drop;
    }
    return first;
}

void outbox_kick(struct outbox *outbox, const struct node_id *recipient, struct mono now) {
    sender_retry_now(outbox->sender, recipient, now);
}

enum drop outbox_confirmation(struct outbox *outbox, const uint8_t *payload, size_t length,
                              struct mono now) {
    return depositor_confirmation(outbox->depositor, payload, length, now);
}

/* ---- To ourselves ---- */

bool outbox_local(struct outbox *outbox, struct parcel_item *ret_item) {
    struct message *message = loopback_hand(&outbox->loopback, ret_item);
    if (message)
        ledger_mark_sent(outbox->ledger, message);
    return message != NULL;
}

void outbox_local_done(struct outbox *outbox, const struct message_id *id, int error,
                       struct now now) {
    struct sender_outcome outcome;
    if (loopback_done(&outbox->loopback, id, error, now.mono, &outcome))
        carry(outbox, &outcome, now);
}

/* ---- Mail of others ---- */

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
    by = op ? outbox_hold(outbox, &route, mail->length) : NULL;
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
    if (known) /* durable, or it would not be known */
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

/* ---- Time ---- */

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

/* What was left here is not left with others in its turn. */
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

/* Of those that are known in memory. */
static bool is_pending(const struct outbox *outbox) {
    return ledger_pending(outbox->ledger) > ledger_unread(outbox->ledger);
}

void outbox_tick(struct outbox *outbox, struct now now) {
    for (struct message *message; (message = ledger_expired(outbox->ledger, now));)
        finish(outbox, message, MESSAGE_EXPIRED, "expired", now);
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

void outbox_shift(struct outbox *outbox, int64_t by_us) {
    ledger_shift(outbox->ledger, by_us);
}

void outbox_age(struct outbox *outbox, struct now now) {
    ledger_age(outbox->ledger, now);
}

/* ---- Life ---- */

/* Evictor of BUDGET_OUTBOX: kept bodies first, then sealed parcels of silent recipients. */
static bool evict(void *context) {
    struct outbox *outbox = context;
    return messages_evict_body(&outbox->messages) || sender_evict(outbox->sender);
}

static int make_rooms(struct outbox *outbox, const struct node_boot *boot, struct now now) {
    const struct outbox_config *config = &outbox->config;
    struct ledger_config ledger = {.messages = &outbox->messages,
                                   .effects = config->effects,
                                   .budget = config->budget,
                                   .random = config->random,
                                   .trace = config->trace,
                                   .self = outbox->self,
                                   .owner = OUTBOX_LEDGER,
                                   .message_max = config->message_max,
                                   .expire_us = config->expire_us,
                                   .retention_us = config->retention_us,
                                   .messages_max = config->messages_max ? config->messages_max
                                                                        : LEDGER_MESSAGES_MAX};
    struct sender_config sender = {.identity = config->identity,
                                   .directory = config->directory,
                                   .paths = config->paths,
                                   .courier = config->courier,
                                   .effects = config->effects,
                                   .budget = config->budget,
                                   .messages = &outbox->messages,
                                   .random = config->random,
                                   .owner = OUTBOX_SENDER};
    struct depositor_config depositor = {.identity = config->identity,
                                         .directory = config->directory,
                                         .paths = config->paths,
                                         .courier = config->courier,
                                         .effects = config->effects,
                                         .budget = config->budget,
                                         .messages = &outbox->messages,
                                         .random = config->random,
                                         .owner = OUTBOX_DEPOSITOR};
    outbox->counters = calloc(1, sizeof *outbox->counters);
    if (!outbox->counters || messages_init(&outbox->messages, &config->random, config->budget))
        return -ENOMEM;
    outbox->ledger = ledger_new(&ledger, boot, now);
    outbox->sender = sender_new(&sender);
    outbox->depositor = depositor_new(&depositor, now.mono);
    return outbox->ledger && outbox->sender && outbox->depositor ? 0 : -ENOMEM;
}

struct outbox *outbox_new(const struct outbox_config *config, const struct node_boot *boot,
                          struct now now) {
    struct outbox *outbox = calloc(1, sizeof *outbox);
    if (!outbox)
        return NULL;
    outbox->config = *config;
    outbox->self = *identity_id(config->identity);
    TAILQ_INIT(&outbox->moves);
    loopback_init(&outbox->loopback, config->effects, OUTBOX_LOOPBACK, now.mono);
    keeper_init(&outbox->keeper, &outbox->messages, config->effects, OUTBOX_KEEPER);
    int error = make_rooms(outbox, boot, now);
    if (!error) {
        config->budget->evict[BUDGET_OUTBOX] = evict;
        config->budget->context[BUDGET_OUTBOX] = outbox;
    }
    for (size_t i = 0; i < boot->n_pending && !error; i++)
        error = enter(outbox, &boot->pending[i], now);
    if (!error)
        return outbox;
    outbox_free(outbox);
    return NULL;
}

void outbox_free(struct outbox *outbox) {
    if (!outbox)
        return;
    for (struct recipient *at = outbox->sender ? sender_first(outbox->sender) : NULL; at;
         at = sender_after(at))
        depositor_forget(outbox->depositor, sender_attached(at));
    outbox_readdress_deinit(outbox);
    sender_free(outbox->sender);
    depositor_free(outbox->depositor);
    keeper_deinit(&outbox->keeper);
    loopback_deinit(&outbox->loopback);
    ledger_free(outbox->ledger);
    outbox->config.budget->evict[BUDGET_OUTBOX] = NULL;
    assert(outbox->config.budget->held[BUDGET_OUTBOX] == 0);
    assert(outbox->config.budget->held[BUDGET_KEPT] == 0);
    messages_deinit(&outbox->messages);
    free(outbox->counters);
    free(outbox);
}

void outbox_configure(struct outbox *outbox, size_t message_max, int64_t expire_us,
                      int64_t retention_us) {
    ledger_configure(outbox->ledger, message_max, expire_us, retention_us);
}

/* ---- To be looked at ---- */

bool outbox_look(const struct outbox *outbox, const struct message_id *id,
                 struct message_report *ret_report) {
    return ledger_look(outbox->ledger, id, ret_report);
}

uint64_t outbox_pending(const struct outbox *outbox) {
    return ledger_pending(outbox->ledger);
}

uint64_t outbox_pending_to(const struct outbox *outbox, const struct node_id *recipient) {
    return ledger_pending_to(outbox->ledger, recipient);
}

bool outbox_has_written(const struct outbox *outbox, const struct node_id *recipient) {
    return ledger_has_written(outbox->ledger, recipient);
}

void outbox_visit(const struct outbox *outbox,
                  bool (*visit)(void *context, const struct node_id *recipient), void *context) {
    ledger_visit(outbox->ledger, visit, context);
}

static enum outbox_why why_of(const void *context, const struct message *message) {
    const struct outbox *outbox = context;
    if (message->recipient)
        return sender_why(message->recipient);
    return loopback_is_stuck(&outbox->loopback) ? OUTBOX_STORE : OUTBOX_FLYING;
}

int outbox_waits(const struct outbox *outbox, struct wall soon,
                 void (*visit)(void *context, const struct outbox_wait *wait), void *context) {
    return ledger_waits(outbox->ledger, soon, why_of, outbox, visit, context);
}

uint64_t outbox_unread(const struct outbox *outbox) {
    return ledger_unread(outbox->ledger);
}

const struct outbox_counters *outbox_counters(const struct outbox *outbox) {
    const struct ledger_counters *ledger = ledger_counters(outbox->ledger);
    const struct sender_counters *sender = sender_counters(outbox->sender);
    *outbox->counters = (struct outbox_counters){.messages_sent = ledger->messages_sent,
                                                 .messages_delivered = ledger->messages_delivered,
                                                 .retransmissions = sender->retransmissions,
                                                 .pushes_refused = ledger->pushes_refused};
    return outbox->counters;
}

bool outbox_is_idle(const struct outbox *outbox) {
    return ledger_is_idle(outbox->ledger) && sender_is_idle(outbox->sender) &&
           depositor_is_idle(outbox->depositor) && TAILQ_EMPTY(&outbox->keeper.storing) &&
           TAILQ_EMPTY(&outbox->moves) && outbox->loopback.stage != LOOPBACK_READING;
}
