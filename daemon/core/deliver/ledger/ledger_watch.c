/* Which clients wait for a message: for its routes, for its end. Threat: clients vanish, and many
 * may wait for one message: watchers are bounded, and nobody is told of an end that is not certain.
 */
#include "daemon/core/deliver/ledger/ledger_private.h"

#include <stdio.h>

/* ---- Answers ---- */

enum answer_code ledger_state_code(enum message_state state) {
    return state <= MESSAGE_DELIVERED ? ANSWER_OK : ANSWER_FAILED;
}

const char *ledger_state_word(enum message_state state) {
    switch (state) {
    case MESSAGE_QUEUED:
        return "queued";
    case MESSAGE_SENT:
        return "sent";
    case MESSAGE_DELIVERED:
        return "delivered";
    case MESSAGE_EXPIRED:
        return "expired";
    case MESSAGE_FAILED:
        return "failed";
    case MESSAGE_REFUSED:
        return "refused";
    }
    return "unknown";
}

void ledger_answer(struct ledger *ledger, uint64_t client, enum answer_code code, bool end,
                   const struct message_report *report, const char *text) {
    struct answer answer = {.client = client, .kind = ANSWER_MESSAGE, .code = code, .end = end};
    answer.message = *report;
    if (text)
        snprintf(answer.text, sizeof answer.text, "%s", text);
    effects_answer(ledger->config.effects, &answer);
}

struct message_report ledger_report(const struct message *message) {
    struct message_report report = {.id = message->id,
                                    .state = message->state,
                                    .known = true,
                                    .kind = message->kind,
                                    .size = message->size,
                                    .arrived = message->confirmed,
                                    .created = message->created,
                                    .expires = message->expires,
                                    .finished = message->finished,
                                    .mailboxes = message_mailboxes(message)};
    if (message->conversation) /* mail of others has no conversation, and no client sees it */
        report.recipient = message->conversation->recipient;
    if (message->reason)
        snprintf(report.reason, sizeof report.reason, "%s", message->reason);
    return report;
}

struct message_report ledger_report_record(const struct out_record *record) {
    bool arrived = record->state == MESSAGE_DELIVERED;
    struct message_report report = {.id = record->id,
                                    .state = record->state,
                                    .known = true,
                                    .recipient = record->recipient,
                                    .kind = record->kind ? record->kind : KIND_MESSAGE,
                                    .size = record->size,
                                    .arrived = arrived ? record->size : record->progress,
                                    .created = record->created,
                                    .expires = record->expires,
                                    .finished = record->finished};
    memcpy(report.reason, record->reason, sizeof report.reason);
    return report;
}

/* ---- Many at once ---- */

void ledger_batch_answer(struct ledger *ledger, const struct ledger_batch *batch, bool end) {
    struct answer answer = {.client = batch->client, .kind = ANSWER_MANY, .end = end};
    answer.many = batch->report;
    if (batch->state == BATCH_BROKEN) {
        answer.code = batch->refusal.code;
        memcpy(answer.text, batch->refusal.text, sizeof answer.text);
    } else if (end && batch->wait && batch->report.failed > 0) {
        answer.code = ANSWER_FAILED;
        snprintf(answer.text, sizeof answer.text, "%zu of %zu failed: %s", batch->report.failed,
                 batch->report.accepted, batch->report.reason);
    } else {
        snprintf(answer.text, sizeof answer.text, "%s", batch->notice);
    }
    if (!batch->gone)
        effects_answer(ledger->config.effects, &answer);
}

void ledger_batch_count(struct ledger_batch *batch, enum message_state state, const char *reason) {
    if (state == MESSAGE_DELIVERED) {
        batch->report.delivered++;
        return;
    }
    if (batch->report.failed++ == 0)
        snprintf(batch->report.reason, sizeof batch->report.reason, "%s", reason ? reason : "");
}

void ledger_batch_free(struct ledger *ledger, struct ledger_batch *batch) {
    TAILQ_REMOVE(&ledger->batches, batch, link);
    ledger->n_batches--;
    budget_give(ledger->config.budget, BUDGET_CLIENTS, batch->charged);
    free(batch);
}

/* One of a batch's messages ended, and was counted. */
static void batch_unwatched(struct ledger *ledger, struct ledger_batch *batch) {
    batch->watched--;
    if (batch->watched > 0 || batch->settled < batch->submitted || !batch->wait)
        return;
    ledger_batch_answer(ledger, batch, true);
    ledger_batch_free(ledger, batch);
}

/* ---- Watchers ---- */

void ledger_watcher_free(struct ledger *ledger, struct watcher *watcher) {
    struct message *message = watcher->message;
    TAILQ_REMOVE(&ledger->all_watchers, watcher, all);
    TAILQ_REMOVE(&message->watchers, watcher, link);
    if (watcher->batch) {
        watcher->message = NULL;
        batch_unwatched(ledger, watcher->batch);
        return;
    }
    message->n_watchers--;
    free(watcher);
}

static void enlist(struct ledger *ledger, struct message *message, struct watcher *watcher) {
    watcher->message = message;
    TAILQ_INSERT_TAIL(&ledger->all_watchers, watcher, all);
    TAILQ_INSERT_TAIL(&message->watchers, watcher, link);
}

struct watcher *ledger_watch(struct ledger *ledger, struct message *message, uint64_t client,
                             enum awaited awaited) {
    struct watcher *watcher = NULL;
    if (message->n_watchers < LEDGER_WATCHERS_MAX)
        watcher = calloc(1, sizeof *watcher);
    if (!watcher) {
        effects_answer_text(ledger->config.effects, client, ANSWER_LIMIT,
                            "too many clients wait for this message (limit %d)",
                            LEDGER_WATCHERS_MAX);
        return NULL;
    }
    watcher->client = client;
    watcher->awaited = awaited;
    enlist(ledger, message, watcher);
    message->n_watchers++;
    return watcher;
}

void ledger_watch_for_batch(struct ledger *ledger, struct message *message,
                            struct ledger_batch *batch) {
    struct watcher *watcher = &batch->watchers[batch->used++];
    watcher->batch = batch;
    watcher->client = batch->client;
    watcher->awaited = AWAITED_END;
    batch->watched++;
    enlist(ledger, message, watcher);
}

void ledger_watchers_answer(struct ledger *ledger, struct message *message) {
    const char *text = message->state == MESSAGE_DELIVERED ? NULL
                       : message->state == MESSAGE_EXPIRED
                           ? "expired: not confirmed, it may have arrived all the same"
                           : message->reason;
    struct message_report report = ledger_report(message);
    for (struct watcher *watcher; (watcher = TAILQ_FIRST(&message->watchers));) {
        enum answer_code code = watcher->by_code ? ledger_state_code(message->state) : ANSWER_OK;
        if (watcher->batch)
            ledger_batch_count(watcher->batch, message->state, message->reason);
        else
            ledger_answer(ledger, watcher->client, code, true, &report, text);
        ledger_watcher_free(ledger, watcher);
    }
}

/* ---- Routes for those who asked ---- */

bool ledger_wants_routes(const struct message *message) {
    const struct watcher *watcher;
    TAILQ_FOREACH(watcher, &message->watchers, link)
        if (watcher->awaited != AWAITED_END)
            return true;
    return false;
}

/* Tell the routes to those who asked for them. Who waits for the end as well goes on waiting; the
 * others get their last answer. `routes` NULL: there are none, and `text` says why. */
static void tell_routes(struct ledger *ledger, struct message *message, struct route_report *routes,
                        size_t n, const char *text) {
    struct message_report report = ledger_report(message);
    for (struct watcher *watcher = TAILQ_FIRST(&message->watchers), *next; watcher;
         watcher = next) {
        next = TAILQ_NEXT(watcher, link);
        if (watcher->awaited == AWAITED_END)
            continue;
        struct answer answer = {.client = watcher->client, .kind = ANSWER_ROUTES};
        answer.routes.v = routes;
        answer.routes.n = n;
        if (routes) {
            answer.routes.relays = routes[0].n_hops ? (unsigned)routes[0].n_hops - 1 : 0;
            effects_answer(ledger->config.effects, &answer);
        }
        if (watcher->awaited == AWAITED_ROUTES_AND_END) {
            watcher->awaited = AWAITED_END;
            continue;
        }
        ledger_answer(ledger, watcher->client, ANSWER_OK, true, &report, text);
        ledger_watcher_free(ledger, watcher);
    }
}

void ledger_answer_routes(struct ledger *ledger, struct message *message,
                          struct route_report *routes, size_t n) {
    tell_routes(ledger, message, routes, n, NULL);
}

void ledger_answer_no_route(struct ledger *ledger, struct message *message) {
    tell_routes(ledger, message, NULL, 0,
                message->recipient ? "no route just now" : "to ourselves: no route");
}

void ledger_no_route_to(struct ledger *ledger, const struct recipient *recipient) {
    for (struct watcher *watcher = TAILQ_FIRST(&ledger->all_watchers), *next; watcher;
         watcher = next) {
        next = TAILQ_NEXT(watcher, all);
        if (watcher->awaited == AWAITED_END || watcher->message->recipient != recipient)
            continue;
        /* The message may have had several watchers that are freed now: begin again. */
        ledger_answer_no_route(ledger, watcher->message);
        next = TAILQ_FIRST(&ledger->all_watchers);
    }
}

void ledger_watchers_gone(struct ledger *ledger, uint64_t client) {
    for (struct watcher *watcher = TAILQ_FIRST(&ledger->all_watchers), *next; watcher;
         watcher = next) {
        next = TAILQ_NEXT(watcher, all);
        if (watcher->client == client)
            ledger_watcher_free(ledger, watcher);
    }
}
