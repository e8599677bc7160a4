/* The messages themselves: their states, who watches them, how they end. Threat: a crash may come
 * between any two steps, so a message is forgotten only when its final state is on disk. */
#include "daemon/core/outbox_private.h"

#include <assert.h>
#include <stdio.h>

#define STATE_RETRY_MIN_US US_PER_S
#define STATE_RETRY_MAX_US US_PER_MINUTE
#define LOCAL_RETRY_MAX_US US_PER_MINUTE
#define STATE_RETRY_BATCH 64
#define EXPIRY_PERIOD_US US_PER_S      /* a scan of all messages at most so often */
#define EXPIRY_WAIT_MAX_US US_PER_HOUR /* wall time may be corrected meanwhile */

/* Allowed moves: row = from, bit = to. Nothing leaves a final state. */
static const uint8_t moves[] = {
    [MESSAGE_QUEUED] = 1 << MESSAGE_SENT | 1 << MESSAGE_EXPIRED | 1 << MESSAGE_FAILED,
    [MESSAGE_SENT] =
        1 << MESSAGE_DELIVERED | 1 << MESSAGE_EXPIRED | 1 << MESSAGE_FAILED | 1 << MESSAGE_REFUSED,
    [MESSAGE_REFUSED] = 0,
};

void out_set_state(struct out_message *message, enum message_state state) {
    assert(moves[message->state] & 1 << state);
    message->state = state;
}

struct out_message *out_find(const struct outbox *outbox, const struct message_id *id) {
    uint64_t hash = table_hash(&outbox->messages, id, sizeof *id);
    for (struct table_link *link = table_first(&outbox->messages, hash); link;
         link = table_next(link)) {
        struct out_message *message = table_entry(link, struct out_message, by_id);
        if (memcmp(&message->id, id, sizeof *id) == 0)
            return message;
    }
    return NULL;
}

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
    struct message_report report = {
        .id = message->id, .state = message->state, .mailboxes = out_mail_count(message)};
    if (message->reason)
        snprintf(report.reason, sizeof report.reason, "%s", message->reason);
    return report;
}

static void watcher_free(struct outbox *outbox, struct out_watcher *watcher) {
    struct out_message *message = watcher->message;
    TAILQ_REMOVE(&outbox->all_watchers, watcher, all);
    TAILQ_REMOVE(&message->watchers, watcher, link);
    message->n_watchers--;
    free(watcher);
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
    watcher->message = message;
    TAILQ_INSERT_TAIL(&outbox->all_watchers, watcher, all);
    TAILQ_INSERT_TAIL(&message->watchers, watcher, link);
    message->n_watchers++;
    return watcher;
}

static void answer_watchers(struct outbox *outbox, struct out_message *message) {
    const char *text = message->state == MESSAGE_DELIVERED ? NULL
                       : message->state == MESSAGE_EXPIRED
                           ? "expired: not confirmed, it may have arrived all the same"
                           : message->reason;
    struct message_report report = out_report(message);
    for (struct out_watcher *watcher; (watcher = TAILQ_FIRST(&message->watchers));) {
        enum answer_code code =
            watcher->by_code && !watcher->cancel ? out_state_code(message->state) : ANSWER_OK;
        out_answer(outbox, watcher->client, code, true, &report, text);
        watcher_free(outbox, watcher);
    }
}

/* ---- Final states ---- */

void out_message_free(struct outbox *outbox, struct out_message *message) {
    out_drop_body(outbox, message);
    while (!TAILQ_EMPTY(&message->watchers))
        watcher_free(outbox, TAILQ_FIRST(&message->watchers));
    if (message->state_lost)
        TAILQ_REMOVE(&outbox->unstored, message, queue);
    TAILQ_REMOVE(&outbox->all, message, all);
    table_remove(&outbox->messages, &message->by_id);
    outbox->n_messages--;
    if (!message_state_is_final(message->state))
        outbox->n_pending--;
    free(message);
}

void out_drop_body(struct outbox *outbox, struct out_message *message) {
    if (!message->body)
        return;
    TAILQ_REMOVE(&outbox->cached, message, cached);
    budget_give(outbox->config.budget, BUDGET_OUTBOX, message->size);
    sodium_memzero(message->body, message->size);
    free(message->body);
    message->body = NULL;
}

static void state_lost(struct outbox *outbox, struct out_message *message, struct mono now) {
    message->state_lost = true;
    TAILQ_INSERT_TAIL(&outbox->unstored, message, queue);
    if (outbox->state_retry.us != MONO_NEVER.us)
        return;
    outbox->state_retry = mono_add(now, outbox->state_retry_us);
    outbox->state_retry_us = outbox->state_retry_us * 2 > STATE_RETRY_MAX_US
                                 ? STATE_RETRY_MAX_US
                                 : outbox->state_retry_us * 2;
}

static void store_state(struct outbox *outbox, struct out_message *message, struct mono now) {
    struct out_op *op = out_op_new(outbox, OUT_OP_STATE);
    if (!op) {
        state_lost(outbox, message, now);
        return;
    }
    op->message = message;
    struct store_op operation = {.kind = STORE_OUT_STATE};
    operation.out_state.id = message->id;
    operation.out_state.state = message->state;
    operation.out_state.finished = message->finished;
    operation.out_state.forget = outbox->config.retention_us == 0 || message->kind == KIND_MAIL;
    if (message->reason)
        snprintf(operation.out_state.reason, MESSAGE_REASON_MAX, "%s", message->reason);
    out_store(outbox, &operation, op);
}

void out_finish(struct outbox *outbox, struct out_message *message, enum message_state state,
                const char *reason, struct mono now, struct wall wall) {
    out_set_state(message, state);
    message->reason = reason;
    message->finished = wall;
    outbox->n_pending--;
    if (message->kind == KIND_MAIL && message->flow)
        out_kept_gone(outbox, message);
    if (message->flow)
        out_flow_forget(outbox, message);
    else if (message->queued)
        TAILQ_REMOVE(&outbox->locals, message, queue);
    message->queued = false;
    if (outbox->local == message)
        outbox->local = NULL;
    out_drop_body(outbox, message);
    /* The receipt is proof enough for those who wait; a crash before the commit means one resend
     * that stores nothing. */
    if (state == MESSAGE_DELIVERED) {
        outbox->counters.messages_delivered += message->kind != KIND_MAIL;
        answer_watchers(outbox, message);
    }
    store_state(outbox, message, now);
}

void out_state_done(struct outbox *outbox, struct out_message *message, int error,
                    struct mono now) {
    if (error && error != -ENOENT) {
        state_lost(outbox, message, now);
        return;
    }
    outbox->state_retry_us = STATE_RETRY_MIN_US;
    if (!TAILQ_EMPTY(&outbox->unstored))
        outbox->state_retry = now;
    answer_watchers(outbox, message);
    out_message_free(outbox, message);
}

void out_retry_states(struct outbox *outbox, struct mono now) {
    outbox->state_retry = MONO_NEVER;
    for (int i = 0; i < STATE_RETRY_BATCH && !TAILQ_EMPTY(&outbox->unstored); i++) {
        struct out_message *message = TAILQ_FIRST(&outbox->unstored);
        TAILQ_REMOVE(&outbox->unstored, message, queue);
        message->state_lost = false;
        store_state(outbox, message, now);
    }
    if (!TAILQ_EMPTY(&outbox->unstored))
        outbox->state_retry = mono_add(now, STATE_RETRY_MAX_US);
}

/* ---- Expiry ---- */

static void plan_expiry(struct outbox *outbox, struct wall expires, struct mono now,
                        struct wall wall) {
    int64_t wait = expires.us > wall.us ? expires.us - wall.us : 0;
    struct mono due = mono_add(now, wait > EXPIRY_WAIT_MAX_US ? EXPIRY_WAIT_MAX_US : wait);
    struct mono earliest = mono_add(outbox->expiry_checked, EXPIRY_PERIOD_US);
    if (due.us < earliest.us)
        due = earliest;
    if (expires.us < outbox->expires_first.us)
        outbox->expires_first = expires;
    outbox->expiry_check = mono_min(outbox->expiry_check, due);
}

void out_expire(struct outbox *outbox, struct mono now, struct wall wall) {
    struct wall first = {INT64_MAX};
    outbox->expiry_check = MONO_NEVER;
    if (wall.us < outbox->expires_first.us) {
        if (outbox->expires_first.us != INT64_MAX)
            plan_expiry(outbox, outbox->expires_first, now, wall);
        return;
    }
    for (struct out_message *message = TAILQ_FIRST(&outbox->all), *next; message; message = next) {
        next = TAILQ_NEXT(message, all);
        if (message_state_is_final(message->state))
            continue;
        if (message->expires.us <= wall.us)
            out_finish(outbox, message, MESSAGE_EXPIRED, "expired", now, wall);
        else if (message->expires.us < first.us)
            first = message->expires;
    }
    outbox->expiry_checked = now;
    outbox->expires_first = first;
    if (first.us != INT64_MAX)
        plan_expiry(outbox, first, now, wall);
}

struct out_message *out_message_new(const struct out_record *record) {
    struct out_message *message = calloc(1, sizeof *message);
    if (!message)
        return NULL;
    message->id = record->id;
    message->sequence = record->sequence;
    message->created = record->created;
    message->expires = record->expires;
    message->size = record->size;
    message->kind = record->kind ? record->kind : KIND_MESSAGE;
    message->blocks_left =
        record->size ? (record->size + PARCEL_BLOCK_MAX - 1) / PARCEL_BLOCK_MAX : 1;
    message->state = MESSAGE_QUEUED;
    TAILQ_INIT(&message->watchers);
    return message;
}

/* From here on it is owed. The flow has counted it already. */
void out_message_enter(struct outbox *outbox, struct out_message *message, struct mono now,
                       struct wall wall) {
    table_add(&outbox->messages, &message->by_id,
              table_hash(&outbox->messages, &message->id, sizeof message->id));
    TAILQ_INSERT_TAIL(&outbox->all, message, all);
    outbox->n_messages++;
    outbox->n_pending++;
    plan_expiry(outbox, message->expires, now, wall);
    if (message->flow) {
        out_flow_enqueue(outbox, message->flow, message);
    } else {
        message->queued = true;
        TAILQ_INSERT_TAIL(&outbox->locals, message, queue);
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
        effects_scratch(outbox->config.effects, OUTBOX_SLOTS * sizeof *routes);
    if (!routes)
        return;
    for (unsigned i = 0; i < OUTBOX_SLOTS; i++) {
        bool used = false;
        for (unsigned j = 0; j < parcel->k && flow->slots[i].path; j++)
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
        watcher_free(outbox, watcher);
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
            watcher_free(outbox, watcher);
    }
}

/* ---- Messages to ourselves: block by block through the store ---- */

static void local_ready(struct outbox *outbox, const uint8_t *bytes, uint32_t length) {
    outbox->local_bytes = malloc(length ? length : 1);
    if (outbox->local_bytes && length > 0)
        memcpy(outbox->local_bytes, bytes, length);
    outbox->local_stage = outbox->local_bytes ? OUT_LOCAL_READY : OUT_LOCAL_NONE;
    outbox->local_length = length;
}

static void local_retry(struct outbox *outbox, struct mono now) {
    outbox->local_retry = mono_add(now, outbox->local_retry_us);
    outbox->local_retry_us = outbox->local_retry_us * 2 > LOCAL_RETRY_MAX_US
                                 ? LOCAL_RETRY_MAX_US
                                 : outbox->local_retry_us * 2;
}

void out_local_start(struct outbox *outbox, struct mono now) {
    struct out_message *message = TAILQ_FIRST(&outbox->locals);
    if (outbox->local_stage != OUT_LOCAL_NONE || !message || !mono_is_due(outbox->local_retry, now))
        return;
    uint64_t offset = message->next_block * PARCEL_BLOCK_MAX, left = message->size - offset;
    uint32_t length = left < PARCEL_BLOCK_MAX ? (uint32_t)left : PARCEL_BLOCK_MAX;
    outbox->local = message;
    outbox->local_id = message->id;
    if (message->body || length == 0) {
        local_ready(outbox, message->body, length);
    } else {
        struct out_op *op = out_op_new(outbox, OUT_OP_READ_LOCAL);
        if (op) {
            struct store_op operation = {.kind = STORE_OUT_READ};
            operation.out_read.id = message->id;
            operation.out_read.offset = offset;
            operation.out_read.length = outbox->local_length = length;
            outbox->local_stage = OUT_LOCAL_READING;
            out_store(outbox, &operation, op);
        }
    }
    if (outbox->local_stage == OUT_LOCAL_NONE)
        local_retry(outbox, now);
}

void out_local_read(struct outbox *outbox, const struct store_result *result, struct mono now,
                    struct wall wall) {
    outbox->local_stage = OUT_LOCAL_NONE;
    if (outbox->local && result->error == 0 && result->length == outbox->local_length)
        local_ready(outbox, result->bytes, result->length);
    else if (outbox->local && result->error == -ENOENT)
        out_finish(outbox, outbox->local, MESSAGE_FAILED, "its body is gone from the store", now,
                   wall);
    if (outbox->local_stage == OUT_LOCAL_NONE && outbox->local)
        local_retry(outbox, now);
}

bool outbox_local(struct outbox *outbox, struct parcel_item *ret_item) {
    if (outbox->local_stage != OUT_LOCAL_READY)
        return false;
    if (!outbox->local) {
        free(outbox->local_bytes);
        outbox->local_bytes = NULL;
        outbox->local_stage = OUT_LOCAL_NONE;
        return false;
    }
    struct out_message *message = outbox->local;
    if (message->state == MESSAGE_QUEUED)
        out_set_state(message, MESSAGE_SENT);
    *ret_item = (struct parcel_item){.kind = message->kind,
                                     .id = message->id,
                                     .sequence = message->sequence,
                                     .sent_ms = (uint64_t)wall_ms(message->created),
                                     .expires_ms = (uint64_t)wall_ms(message->expires),
                                     .total = message->size,
                                     .offset = message->next_block * PARCEL_BLOCK_MAX,
                                     .length = outbox->local_length,
                                     .bytes = outbox->local_bytes};
    outbox->local_stage = OUT_LOCAL_HANDED;
    return true;
}

void outbox_local_done(struct outbox *outbox, const struct message_id *id, int error,
                       struct mono now, struct wall wall) {
    if (outbox->local_stage != OUT_LOCAL_HANDED || memcmp(id, &outbox->local_id, sizeof *id) != 0)
        return;
    struct out_message *message = outbox->local;
    free(outbox->local_bytes);
    outbox->local_bytes = NULL;
    outbox->local_stage = OUT_LOCAL_NONE;
    if (message && error == -EMSGSIZE) {
        out_finish(outbox, message, MESSAGE_REFUSED, "too large", now, wall);
    } else if (message && error) {
        local_retry(outbox, now);
    } else if (message) {
        outbox->local_retry = now;
        outbox->local_retry_us = US_PER_S;
        message->next_block++;
        if (--message->blocks_left == 0)
            out_finish(outbox, message, MESSAGE_DELIVERED, NULL, now, wall);
    }
}
