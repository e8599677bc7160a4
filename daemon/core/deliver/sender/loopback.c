/* Messages to ourselves: see loopback.h. Threat: the store may fail for long; then it is asked ever
 * less often. */
#include "daemon/core/deliver/sender/loopback.h"

#include <assert.h>

#define RETRY_MIN_US US_PER_S
#define RETRY_MAX_US US_PER_MINUTE

/* Allowed moves: row = from, bit = to. */
static const uint8_t moves[] = {
    [LOOPBACK_IDLE] = 1 << LOOPBACK_READING | 1 << LOOPBACK_READY,
    [LOOPBACK_READING] = 1 << LOOPBACK_READY | 1 << LOOPBACK_IDLE,
    [LOOPBACK_READY] = 1 << LOOPBACK_HANDED | 1 << LOOPBACK_IDLE,
    [LOOPBACK_HANDED] = 1 << LOOPBACK_IDLE,
};

static void loopback_move(struct loopback *loopback, enum loopback_stage stage) {
    assert(moves[loopback->stage] & 1 << stage);
    loopback->stage = stage;
}

/* The block is read. False: no memory for it. */
static bool make_ready(struct loopback *loopback, const uint8_t *bytes, uint32_t length) {
    loopback->bytes = malloc(length ? length : 1);
    if (!loopback->bytes)
        return false;
    if (length > 0)
        memcpy(loopback->bytes, bytes, length);
    loopback->length = length;
    loopback_move(loopback, LOOPBACK_READY);
    return true;
}

static void let_go(struct loopback *loopback) {
    free(loopback->bytes);
    loopback->bytes = NULL;
    loopback_move(loopback, LOOPBACK_IDLE);
}

static void end_turn(struct loopback *loopback, struct message *message) {
    TAILQ_REMOVE(&loopback->queue, message, queue);
    TAILQ_INSERT_TAIL(&loopback->queue, message, queue);
}

static void retry_later(struct loopback *loopback, struct mono now) {
    int64_t wait_us = backoff_failed(&loopback->failures, RETRY_MIN_US, RETRY_MAX_US);
    loopback->retry = mono_add(now, wait_us);
}

void loopback_enqueue(struct loopback *loopback, struct message *message, uint64_t progress) {
    message_plan(message, progress);
    message_move(message, MESSAGE_LOCAL);
    TAILQ_INSERT_TAIL(&loopback->queue, message, queue);
}

void loopback_forget(struct loopback *loopback, struct message *message) {
    if (message->place == MESSAGE_LOCAL) {
        TAILQ_REMOVE(&loopback->queue, message, queue);
        message_move(message, MESSAGE_NOWHERE);
    }
    if (loopback->message == message)
        loopback->message = NULL;
}

static void begin_reading(struct loopback *loopback, const struct message *message, uint64_t offset,
                          uint32_t length) {
    struct store_op operation = {.kind = STORE_OUT_READ};
    operation.out_read.id = message->id;
    operation.out_read.offset = offset;
    operation.out_read.length = loopback->length = length;
    loopback_move(loopback, LOOPBACK_READING);
    effects_store(loopback->effects, &operation, OWNER_OUTBOX,
                  (uint64_t)(uintptr_t)&loopback->operation);
}

void loopback_tick(struct loopback *loopback, struct mono now) {
    struct message *message = TAILQ_FIRST(&loopback->queue);
    if (loopback->stage != LOOPBACK_IDLE || !message || !mono_is_due(loopback->retry, now))
        return;
    uint32_t block = message_block_size(message);
    uint64_t offset = message->next_block * block, left = message->size - offset;
    uint32_t length = left < block ? (uint32_t)left : block;
    loopback->message = message;
    loopback->id = message->id;
    if (!message->body && length > 0)
        begin_reading(loopback, message, offset, length);
    else if (!make_ready(loopback, message->body, length))
        retry_later(loopback, now);
}

bool loopback_stored(struct loopback *loopback, const struct store_result *result, struct mono now,
                     struct sender_outcome *ret_outcome) {
    struct message *message = loopback->message;
    const char *lost = message ? message_lost_words(message, result->error) : NULL;
    if (message && result->error == 0 && result->length == loopback->length &&
        make_ready(loopback, result->bytes, result->length))
        return false;
    loopback_move(loopback, LOOPBACK_IDLE);
    if (lost)
        *ret_outcome = (struct sender_outcome){SENDER_FAILED, message, 0, lost};
    if (lost || !message)
        return lost;
    end_turn(loopback, message);
    retry_later(loopback, now);
    return false;
}

struct message *loopback_hand(struct loopback *loopback, struct parcel_item *ret_item) {
    struct message *message = loopback->message;
    if (loopback->stage != LOOPBACK_READY)
        return NULL;
    if (!message) {
        let_go(loopback);
        return NULL;
    }
    *ret_item =
        message_item(message, message->next_block * message_block_size(message), loopback->length);
    ret_item->bytes = loopback->bytes;
    loopback_move(loopback, LOOPBACK_HANDED);
    return message;
}

static struct sender_outcome refused(struct message *message, int error) {
    return (struct sender_outcome){SENDER_REFUSED, message, 0,
                                   error == -EDQUOT   ? "there is no room for it here"
                                   : error == -ESTALE ? parcel_reason_words(PARCEL_REASON_LOST)
                                                      : parcel_reason_words(PARCEL_REASON_DAMAGED)};
}

/* The inbox has one more block. True: *ret_outcome. */
static bool confirm(struct loopback *loopback, struct message *message, struct mono now,
                    struct sender_outcome *ret_outcome) {
    end_turn(loopback, message);
    loopback->retry = now;
    loopback->failures.failures = 0;
    message_next_block(message);
    if (message_confirm(message, loopback->length)) {
        *ret_outcome = (struct sender_outcome){SENDER_DELIVERED, message, 0, NULL};
        return true;
    }
    uint64_t below = message->next_block * message_block_size(message);
    *ret_outcome = (struct sender_outcome){SENDER_PROGRESS, message, below, NULL};
    return message_has_progressed(message, now) && message_note_progress(message, below, now);
}

bool loopback_done(struct loopback *loopback, const struct message_id *id, int error,
                   struct mono now, struct sender_outcome *ret_outcome) {
    if (loopback->stage != LOOPBACK_HANDED || memcmp(id, &loopback->id, sizeof *id) != 0)
        return false;
    struct message *message = loopback->message;
    let_go(loopback);
    if (!message)
        return false;
    if (!error)
        return confirm(loopback, message, now, ret_outcome);
    if (error == -EDQUOT || error == -EBADMSG || error == -ESTALE) {
        *ret_outcome = refused(message, error);
        return true;
    }
    end_turn(loopback, message);
    retry_later(loopback, now);
    return false;
}

/* ---- Life ---- */

void loopback_init(struct loopback *loopback, struct effects *effects, uint64_t owner,
                   struct mono now) {
    *loopback = (struct loopback){.effects = effects, .retry = now};
    loopback->operation.owner = owner;
    TAILQ_INIT(&loopback->queue);
}

void loopback_deinit(struct loopback *loopback) {
    free(loopback->bytes);
    loopback->bytes = NULL;
}

struct mono loopback_next(const struct loopback *loopback) {
    bool waits = loopback->stage == LOOPBACK_IDLE && !TAILQ_EMPTY(&loopback->queue);
    return waits ? loopback->retry : MONO_NEVER;
}

bool loopback_is_stuck(const struct loopback *loopback) {
    return loopback->failures.failures > 0;
}
