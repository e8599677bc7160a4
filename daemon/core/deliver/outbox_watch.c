/* Who waits for a message: its routes, its end. Threat: clients vanish, and many may wait for one
 * message; each is bounded, and nobody is told of an end that is not certain. */
#include "daemon/core/deliver/outbox_private.h"

#include <stdio.h>

/* ---- Answers ---- */

enum answer_code out_state_code(enum message_state state) {
    return state <= MESSAGE_DELIVERED ? ANSWER_OK : ANSWER_FAILED;
}

const char *out_state_word(enum message_state state) {
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

void out_answer(struct outbox *outbox, uint64_t client, enum answer_code code, bool end,
                const struct message_report *report, const char *text) {
    struct answer answer = {.client = client, .kind = ANSWER_MESSAGE, .code = code, .end = end};
    answer.message = *report;
    if (text)
        snprintf(answer.text, sizeof answer.text, "%s", text);
    effects_answer(outbox->config.effects, &answer);
}

struct message_report out_report(const struct out_message *message) {
    struct message_report report = {.id = message->id,
                                    .state = message->state,
                                    .known = true,
                                    .kind = message->kind,
                                    .size = message->size,
                                    .arrived = message->confirmed,
                                    .created = message->created,
                                    .expires = message->expires,
                                    .finished = message->finished,
                                    .mailboxes = out_mail_count(message)};
    if (message->conversation) /* mail of others belongs to none, and nobody is told of it */
        report.recipient = message->conversation->recipient;
    if (message->reason)
        snprintf(report.reason, sizeof report.reason, "%s", message->reason);
    return report;
}

bool outbox_look(const struct outbox *outbox, const struct message_id *id,
                 struct message_report *ret_report) {
    const struct out_message *message = out_find(outbox, id);
    if (message)
        *ret_report = out_report(message);
    return message != NULL;
}

struct message_report out_report_record(const struct out_record *record) {
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

void out_watcher_free(struct outbox *outbox, struct out_watcher *watcher) {
    struct out_message *message = watcher->message;
    TAILQ_REMOVE(&outbox->all_watchers, watcher, all);
    TAILQ_REMOVE(&message->watchers, watcher, link);
    if (watcher->batch) {
        watcher->message = NULL;
        out_batch_unwatched(outbox, watcher->batch);
        return;
    }
    message->n_watchers--;
    free(watcher);
}

static void watch(struct outbox *outbox, struct out_message *message, struct out_watcher *watcher) {
    watcher->message = message;
    TAILQ_INSERT_TAIL(&outbox->all_watchers, watcher, all);
    TAILQ_INSERT_TAIL(&message->watchers, watcher, link);
}

/* NULL after an answer that says why. */
struct out_watcher *out_watch(struct outbox *outbox, struct out_message *message, uint64_t client) {
    struct out_watcher *watcher = NULL;
    if (message->n_watchers < OUTBOX_WATCHERS_MAX)
        watcher = calloc(1, sizeof *watcher);
    if (!watcher) {
        effects_answer_text(outbox->config.effects, client, ANSWER_LIMIT,
                            "too many clients wait for this message (limit %d)",
                            OUTBOX_WATCHERS_MAX);
        return NULL;
    }
    watcher->client = client;
    watch(outbox, message, watcher);
    message->n_watchers++;
    return watcher;
}

void out_watch_for_batch(struct outbox *outbox, struct out_message *message,
                         struct out_batch *batch) {
    struct out_watcher *watcher = &batch->watchers[batch->used++];
    watcher->batch = batch;
    watcher->client = batch->client;
    batch->watched++;
    watch(outbox, message, watcher);
}

void out_watchers_answer(struct outbox *outbox, struct out_message *message) {
    const char *text = message->state == MESSAGE_DELIVERED ? NULL
                       : message->state == MESSAGE_EXPIRED
                           ? "expired: not confirmed, it may have arrived all the same"
                           : message->reason;
    struct message_report report = out_report(message);
    for (struct out_watcher *watcher; (watcher = TAILQ_FIRST(&message->watchers));) {
        enum answer_code code =
            watcher->by_code && !watcher->cancel ? out_state_code(message->state) : ANSWER_OK;
        if (watcher->batch)
            out_batch_final(watcher->batch, message);
        else
            out_answer(outbox, watcher->client, code, true, &report, text);
        out_watcher_free(outbox, watcher);
    }
}

/* ---- Routes for those who asked ---- */

static void add_route(const struct outbox *outbox, const struct path *path,
                      struct route_report *route) {
    uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
    route->n_hops = path_hops(path, hops);
    for (size_t i = 0; i < route->n_hops; i++) {
        const struct directory_entry *entry =
            directory_find_prefix(outbox->config.directory, hops[i]);
        if (!entry)
            continue;
        struct descriptor descriptor;
        directory_descriptor(entry, &descriptor);
        route->hops[i].id = entry->id;
        route->hops[i].address = directory_address(outbox->config.directory, entry);
        memcpy(route->hops[i].name, descriptor.name, sizeof descriptor.name);
    }
}

static void answer_routes(struct outbox *outbox, uint64_t client, const struct out_flow *flow,
                          const struct out_parcel *parcel) {
    struct answer answer = {.client = client, .kind = ANSWER_ROUTES};
    struct route_report *routes =
        effects_scratch(outbox->config.effects, flow->n_slots * sizeof *routes);
    if (!routes)
        return;
    for (unsigned i = 0; i < flow->n_slots; i++) {
        bool used = false;
        for (unsigned j = 0; j < parcel->fresh && flow->slots[i].path; j++)
            used = used ||
                   (parcel->shards[j].sends > 0 && parcel->shards[j].path == flow->slots[i].id);
        if (used)
            add_route(outbox, flow->slots[i].path, &routes[answer.routes.n++]);
    }
    answer.routes.v = routes;
    answer.routes.relays = routes[0].n_hops ? (unsigned)routes[0].n_hops - 1 : 0;
    effects_answer(outbox->config.effects, &answer);
}

void out_trace(struct outbox *outbox, struct out_message *message, const struct out_flow *flow,
               const struct out_parcel *parcel) {
    struct message_report report = out_report(message);
    for (struct out_watcher *watcher = TAILQ_FIRST(&message->watchers), *next; watcher;
         watcher = next) {
        next = TAILQ_NEXT(watcher, link);
        if (!watcher->trace)
            continue;
        watcher->trace = false;
        if (flow)
            answer_routes(outbox, watcher->client, flow, parcel);
        if (watcher->wait)
            continue;
        const char *text = flow            ? NULL
                           : message->flow ? "no route just now"
                                           : "to ourselves: no route";
        out_answer(outbox, watcher->client, ANSWER_OK, true, &report, text);
        out_watcher_free(outbox, watcher);
    }
}

void out_trace_none(struct outbox *outbox, const struct out_flow *flow) {
    for (struct out_watcher *watcher = TAILQ_FIRST(&outbox->all_watchers), *next; watcher;
         watcher = next) {
        next = TAILQ_NEXT(watcher, all);
        if (!watcher->trace || watcher->message->flow != flow)
            continue;
        /* May free more than this one watcher of the message: begin again. */
        out_trace(outbox, watcher->message, NULL, NULL);
        next = TAILQ_FIRST(&outbox->all_watchers);
    }
}

void out_watchers_gone(struct outbox *outbox, uint64_t client) {
    for (struct out_watcher *watcher = TAILQ_FIRST(&outbox->all_watchers), *next; watcher;
         watcher = next) {
        next = TAILQ_NEXT(watcher, all);
        if (watcher->client == client)
            out_watcher_free(outbox, watcher);
    }
}
