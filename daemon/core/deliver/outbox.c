/* Life of the outbox, requests about messages, results of the store and outcomes of sending,
 * carried between the rooms: see outbox.h. Threat: a crash may come between any two steps, so
 * nothing is acknowledged to a client before its store operation is done. */
#include "daemon/core/deliver/outbox_private.h"
#include "daemon/core/seam/step.h"

#include <assert.h>
#include <stdio.h>

/* Carry what became of a message from the sender to the ledger. */
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
        outbox_finish(outbox, message, MESSAGE_DELIVERED, NULL, now);
        break;
    case SENDER_REFUSED:
        outbox_finish(outbox, message, MESSAGE_REFUSED, outcome->reason, now);
        break;
    case SENDER_FAILED:
        outbox_finish(outbox, message, MESSAGE_FAILED, outcome->reason, now);
        break;
    }
}

static void carry_all(struct outbox *outbox, struct now now) {
    struct sender_outcome outcome;
    while (sender_outcome(outbox->sender, &outcome))
        carry(outbox, &outcome, now);
}

/* ---- Requests about messages ---- */

void outbox_message(struct outbox *outbox, const struct request *request, const char *notice) {
    ledger_status(outbox->ledger, request, notice);
}

void outbox_cancel(struct outbox *outbox, const struct request *request, struct now now) {
    struct message *message = ledger_cancel(outbox->ledger, request);
    if (message)
        outbox_finish(outbox, message, MESSAGE_FAILED, "cancelled", now);
}

void outbox_client_gone(struct outbox *outbox, uint64_t client) {
    outbox_readdress_client_gone(outbox, client);
    ledger_client_gone(outbox->ledger, client);
}

/* ---- What was pending when we stopped ---- */

/* Enter a message that was pending when we stopped. 0 or -ENOMEM. */
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
        struct recipient *by = outbox_hold(outbox, &route, HOLD_ANYWAY, record->size);
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
            outbox_finish(outbox, news.message, MESSAGE_FAILED, "one before it was not accepted",
                          now);
        else
            outbox_enqueue(outbox, news.message, 0);
        break;
    case LEDGER_RELEASED:
        if (news.recipient)
            sender_release(outbox->sender, news.recipient, news.size);
        break;
    case LEDGER_CANCELLED:
        outbox_finish(outbox, news.message, MESSAGE_FAILED, "cancelled", now);
        break;
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
        outbox_keeper_stored(outbox, cookie, result, now);
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

void outbox_retry_now(struct outbox *outbox, const struct node_id *recipient, struct mono now) {
    sender_retry_now(outbox->sender, recipient, now);
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

/* ---- Time ---- */

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
                                                                        : OUTBOX_MESSAGES_MAX};
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
    assert(outbox->config.budget->held[BUDGET_MESSAGES] == 0);
    assert(outbox->config.budget->held[BUDGET_CONVERSATIONS] == 0);
    assert(outbox->config.budget->held[BUDGET_KEPT] == 0);
    messages_deinit(&outbox->messages);
    free(outbox->counters);
    free(outbox);
}

void outbox_configure(struct outbox *outbox, size_t message_max, int64_t expire_us,
                      int64_t retention_us) {
    ledger_configure(outbox->ledger, message_max, expire_us, retention_us);
    messages_refit(&outbox->messages);
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

void outbox_visit_pending(const struct outbox *outbox,
                          bool (*visit)(void *context, const struct node_id *recipient,
                                        uint64_t pending),
                          void *context) {
    ledger_visit_pending(outbox->ledger, visit, context);
}

size_t outbox_visit(const struct outbox *outbox, size_t at, size_t most,
                    bool (*visit)(void *context, const struct node_id *recipient, uint64_t pending),
                    void *context) {
    return ledger_visit(outbox->ledger, at, most, visit, context);
}

static enum outbox_why why_of(const void *context, const struct message *message) {
    const struct outbox *outbox = context;
    if (message->recipient)
        return sender_why(message->recipient);
    return loopback_is_stuck(&outbox->loopback) ? OUTBOX_STORE : OUTBOX_FLYING;
}

void outbox_survey_begin(struct outbox *outbox, struct wall soon) {
    ledger_survey_begin(outbox->ledger, soon);
}

bool outbox_survey(struct outbox *outbox, size_t n) {
    return ledger_survey(outbox->ledger, n, why_of, outbox);
}

bool outbox_surveyed(struct outbox *outbox, struct outbox_wait *ret_wait) {
    return ledger_surveyed(outbox->ledger, ret_wait);
}

uint64_t outbox_left_out(const struct outbox *outbox) {
    return ledger_left_out(outbox->ledger);
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
