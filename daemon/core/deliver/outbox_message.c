/* The messages themselves: their states, who watches them, how they end. Threat: a crash may come
 * between any two steps, so a message is forgotten only when its final state is on disk. */
#include "daemon/core/deliver/outbox_private.h"

#include <assert.h>
#include <stdio.h>

#define STATE_RETRY_MIN_US US_PER_S
#define STATE_RETRY_MAX_US US_PER_MINUTE
#define STATE_RETRY_BATCH 64
/* What a restart costs at most: a second's worth, or so many blocks again. */
#define PROGRESS_US US_PER_S
#define PROGRESS_BLOCKS 64
#define EXPIRY_PERIOD_US US_PER_S /* a scan of all messages at most so often */

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

void out_mark_sent(struct outbox *outbox, struct out_message *message) {
    if (message->state != MESSAGE_QUEUED)
        return;
    out_set_state(message, MESSAGE_SENT);
    outbox->counters.messages_sent += message->kind != KIND_MAIL;
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

struct out_message *out_find_own(const struct outbox *outbox, const struct message_id *id) {
    struct out_message *message = out_find(outbox, id);
    return message && message->kind == KIND_MAIL ? NULL : message;
}

static void count_pending(struct outbox *outbox, const struct out_message *message, int by) {
    outbox->n_pending += (uint64_t)by;
    if (message->conversation)
        message->conversation->n_pending += (uint64_t)by;
}

/* ---- Final states ---- */

void out_message_free(struct outbox *outbox, struct out_message *message) {
    out_drop_body(outbox, message);
    while (!TAILQ_EMPTY(&message->watchers))
        out_watcher_free(outbox, TAILQ_FIRST(&message->watchers));
    if (message->state_lost)
        TAILQ_REMOVE(&outbox->unstored, message, queue);
    TAILQ_REMOVE(&outbox->all, message, all);
    table_remove(&outbox->messages, &message->by_id);
    outbox->n_messages--;
    if (!message_state_is_final(message->state))
        count_pending(outbox, message, -1);
    out_message_discard(outbox, message);
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
    operation.out_state.forget =
        outbox->config.retention_us == 0 || message->withdrawn || message->kind == KIND_MAIL;
    if (message->reason)
        snprintf(operation.out_state.reason, MESSAGE_REASON_MAX, "%s", message->reason);
    out_store(outbox, &operation, op);
}

void out_finish(struct outbox *outbox, struct out_message *message, enum message_state state,
                const char *reason, struct now now) {
    out_set_state(message, state);
    message->reason = reason;
    message->finished = now.wall;
    count_pending(outbox, message, -1);
    if (message->kind == KIND_MAIL && message->flow)
        out_kept_gone(outbox, message);
    if (message->late)
        TAILQ_REMOVE(&outbox->load.late, message, queue);
    message->late = false;
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
        out_watchers_answer(outbox, message);
    }
    store_state(outbox, message, now.mono);
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
    out_watchers_answer(outbox, message);
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

static void plan_expiry(struct outbox *outbox, struct mono deadline) {
    struct mono earliest = mono_add(outbox->expiry_checked, EXPIRY_PERIOD_US);
    outbox->expires_first = mono_min(outbox->expires_first, deadline);
    if (deadline.us < earliest.us)
        deadline = earliest;
    outbox->expiry_check = mono_min(outbox->expiry_check, deadline);
}

void out_expire(struct outbox *outbox, struct now now) {
    struct mono first = MONO_NEVER;
    outbox->expiry_check = MONO_NEVER;
    for (struct out_message *message = TAILQ_FIRST(&outbox->all), *next; message; message = next) {
        next = TAILQ_NEXT(message, all);
        if (message_state_is_final(message->state))
            continue;
        if (mono_is_due(message->deadline, now.mono))
            out_finish(outbox, message, MESSAGE_EXPIRED, "expired", now);
        else
            first = mono_min(first, message->deadline);
    }
    outbox->expiry_checked = now.mono;
    outbox->expires_first = MONO_NEVER;
    if (first.us != MONO_NEVER.us)
        plan_expiry(outbox, first);
}

/* How long it has to live. Of what was owed when we stopped: never more than it was given, and the
 * time in which we did not run counts once we know that our clocks are right. */
static struct mono deadline_of(const struct outbox *outbox, const struct out_message *message,
                               struct now now) {
    struct wall from = message->owed && !outbox->aged ? outbox->base : now.wall;
    int64_t life, left;
    if (__builtin_sub_overflow(message->expires.us, message->created.us, &life) ||
        __builtin_sub_overflow(message->expires.us, from.us, &left))
        return now.mono; /* no times of ours: the store is damaged there */
    if (left > life && life > 0)
        left = life;
    return mono_add(now.mono, left > 0 ? left : 0);
}

void outbox_shift(struct outbox *outbox, int64_t by_us) {
    struct out_message *message;
    TAILQ_FOREACH(message, &outbox->all, all)
        if (!message_state_is_final(message->state)) {
            /* Of a damaged store any time may come: it wraps. */
            (void)__builtin_add_overflow(message->created.us, by_us, &message->created.us);
            (void)__builtin_add_overflow(message->expires.us, by_us, &message->expires.us);
        }
    outbox->base.us += by_us;
}

void outbox_age(struct outbox *outbox, struct now now) {
    struct out_message *message;
    outbox->aged = true;
    TAILQ_FOREACH(message, &outbox->all, all)
        if (!message_state_is_final(message->state) && message->owed) {
            message->deadline = mono_min(message->deadline, deadline_of(outbox, message, now));
            plan_expiry(outbox, message->deadline);
        }
}

/* ---- Making and entering ---- */

uint32_t out_block_size(const struct out_message *message) {
    return out_block_max(message->flow ? message->flow->shards_k : 0, message->kind);
}

bool out_is_long(const struct out_message *message) {
    return message->kind == KIND_FILE || message->size > out_block_size(message);
}

struct out_message *out_message_new(struct outbox *outbox, const struct out_record *record,
                                    struct out_conversation *conversation) {
    bool is_file = record->kind == KIND_FILE && record->file;
    struct out_message *message =
        calloc(1, sizeof *message + (is_file ? sizeof *message->file : 0));
    if (!message)
        return NULL;
    message->id = record->id;
    message->conversation = conversation;
    message->sequence = record->sequence;
    message->created = record->created;
    message->expires = record->expires;
    message->size = record->size;
    message->kind = record->kind ? record->kind : KIND_MESSAGE;
    if (is_file)
        message->file[0] = *record->file;
    message->state = MESSAGE_QUEUED;
    message->progress_at = (struct mono){INT64_MIN / 2};
    TAILQ_INIT(&message->watchers);
    outbox->n_files += message->kind == KIND_FILE;
    if (message->kind == KIND_MAIL)
        out_kept_take(outbox, sizeof *message);
    return message;
}

/* What is left to send, once its flow is known: all, or what lies behind its progress. The last
 * block is sent again if all was confirmed and only the final state was lost. */
void out_message_plan(struct out_message *message, uint64_t progress) {
    uint32_t block = out_block_size(message);
    uint64_t blocks = message->size ? (message->size - 1) / block + 1 : 1;
    message->next_block = progress / block;
    if (message->next_block >= blocks)
        message->next_block = blocks - 1;
    message->blocks_left = blocks - message->next_block;
    message->progress = message->confirmed = message->next_block * block;
}

void out_message_turn(struct out_message *message, struct out_conversation *to, uint64_t sequence) {
    assert(!message_state_is_final(message->state));
    message->conversation->n_pending--;
    to->n_pending++;
    message->conversation = to;
    message->sequence = sequence;
    message->state = MESSAGE_QUEUED; /* to this recipient it was never sent */
    message->mailed = 0;
    message->alone = message->owed = false;
    message->progress_at = (struct mono){INT64_MIN / 2};
}

void out_message_discard(struct outbox *outbox, struct out_message *message) {
    if (message)
        outbox->n_files -= message->kind == KIND_FILE;
    if (message && message->kind == KIND_MAIL)
        out_kept_give(outbox, sizeof *message);
    free(message);
}

/* From the end, where the files are: they are few, and what waits may be a hundred thousand. */
void out_message_queue(struct out_messages *queue, struct out_message *message) {
    struct out_message *last = TAILQ_LAST(queue, out_messages);
    message->queued = true;
    while (message->kind != KIND_FILE && last && last->kind == KIND_FILE)
        last = TAILQ_PREV(last, out_messages, queue);
    if (last)
        TAILQ_INSERT_AFTER(queue, last, message, queue);
    else
        TAILQ_INSERT_HEAD(queue, message, queue);
}

void out_message_enqueue(struct outbox *outbox, struct out_message *message) {
    if (message->flow) {
        out_flow_enqueue(outbox, message->flow, message);
    } else {
        message->queued = true;
        TAILQ_INSERT_TAIL(&outbox->locals, message, queue);
    }
}

void out_message_enter(struct outbox *outbox, struct out_message *message, uint64_t progress,
                       struct now now) {
    out_message_plan(message, progress);
    table_add(&outbox->messages, &message->by_id,
              table_hash(&outbox->messages, &message->id, sizeof message->id));
    TAILQ_INSERT_TAIL(&outbox->all, message, all);
    outbox->n_messages++;
    count_pending(outbox, message, 1);
    message->deadline = deadline_of(outbox, message, now);
    plan_expiry(outbox, message->deadline);
    message->late = outbox->load.is_needed && !message->owed;
    if (message->late)
        TAILQ_INSERT_TAIL(&outbox->load.late, message, queue);
    else
        out_message_enqueue(outbox, message);
}

/* ---- Blocks ---- */

size_t out_item_length(const struct out_message *message, uint32_t length) {
    size_t head = PARCEL_ITEM_HEADER_LEN;
    if (message->kind == KIND_FILE)
        head += FILE_DIGEST_LEN + 1 + strlen(message->file->name);
    return head + length;
}

struct parcel_item out_item(const struct out_message *message, uint64_t offset, uint32_t length) {
    struct parcel_item item = {.kind = message->kind,
                               .id = message->id,
                               .sequence = message->sequence,
                               .sent_ms = (uint64_t)wall_ms(message->created),
                               .expires_ms = (uint64_t)wall_ms(message->expires),
                               .total = message->size,
                               .offset = offset,
                               .length = length,
                               .bytes = message->body};
    if (message->kind == KIND_FILE) {
        item.digest = message->file->digest;
        item.name = message->file->name;
        item.name_length = (uint8_t)strlen(message->file->name);
    }
    return item;
}

const char *out_lost_words(const struct out_message *message, int error) {
    bool is_file = message->kind == KIND_FILE;
    if (error == -ENOENT)
        return is_file ? "its file is gone from the spool" : "its body is gone from the store";
    return error == -ESTALE ? "its file was changed in the spool" : NULL;
}

/* All below is confirmed: what flies and what was not gathered yet lies behind. */
static uint64_t confirmed_below(const struct out_message *message) {
    uint64_t lowest = message->next_block * out_block_size(message);
    const struct out_parcel *parcel;
    if (lowest > message->size)
        lowest = message->size;
    if (!message->flow)
        return lowest;
    TAILQ_FOREACH(parcel, &message->flow->parcels, link)
        for (size_t i = 0; i < parcel->n_items; i++)
            if (parcel->items[i].message == message && parcel->items[i].offset < lowest)
                lowest = parcel->items[i].offset;
    return lowest;
}

/* Losing the word costs a resend after the next restart, so nobody waits for it. */
static void store_progress(struct outbox *outbox, struct out_message *message, struct mono now) {
    uint64_t grown = (uint64_t)PROGRESS_BLOCKS * out_block_size(message);
    if (message->confirmed < message->progress + grown ||
        now.us - message->progress_at.us < PROGRESS_US)
        return;
    uint64_t below = confirmed_below(message);
    struct out_op *op =
        below >= message->progress + grown ? out_op_new(outbox, OUT_OP_PROGRESS) : NULL;
    if (!op)
        return;
    message->progress = below;
    message->progress_at = now;
    struct store_op operation = {.kind = STORE_OUT_PROGRESS};
    operation.out_progress.id = message->id;
    operation.out_progress.offset = below;
    out_store(outbox, &operation, op);
}

static void store_anew(struct outbox *outbox, const struct out_message *message) {
    struct out_op *op = out_op_new(outbox, OUT_OP_PROGRESS);
    if (!op)
        return; /* after a restart its last blocks are sent once in vain */
    struct store_op operation = {.kind = STORE_OUT_PROGRESS};
    operation.out_progress.id = message->id;
    out_store(outbox, &operation, op);
}

void out_refused_for_now(struct outbox *outbox, struct out_message *message, bool anew,
                         const char *reason, struct mono now) {
    uint64_t below = anew || !out_is_long(message) ? 0 : confirmed_below(message);
    bool was_stored = message->progress > 0;
    message->reason = reason;
    out_flow_requeue(outbox, message);
    out_message_plan(message, below);
    if (anew && was_stored)
        store_anew(outbox, message);
    out_flow_rest(outbox, message->flow, now);
}

void out_confirm(struct outbox *outbox, struct out_message *message, uint32_t length,
                 struct now now) {
    message->confirmed += length;
    if (--message->blocks_left == 0)
        out_finish(outbox, message, MESSAGE_DELIVERED, NULL, now);
    else
        store_progress(outbox, message, now.mono);
}
