/* Messages: how they are entered, and how they end. Threat: a crash may come between any two steps,
 * so a message is forgotten only when its final state is on disk. */
#include "daemon/core/deliver/ledger/ledger_private.h"

#include <assert.h>
#include <stdio.h>

#define STATE_RETRY_MIN_US US_PER_S
#define STATE_RETRY_MAX_US US_PER_MINUTE
#define STATE_RETRY_BATCH 64
#define EXPIRY_PERIOD_US US_PER_S /* a scan of all messages at most so often */

/* Allowed moves: row = from, bit = to. Nothing leaves a final state. */
static const uint8_t moves[] = {
    [MESSAGE_QUEUED] = 1 << MESSAGE_SENT | 1 << MESSAGE_EXPIRED | 1 << MESSAGE_FAILED,
    [MESSAGE_SENT] =
        1 << MESSAGE_DELIVERED | 1 << MESSAGE_EXPIRED | 1 << MESSAGE_FAILED | 1 << MESSAGE_REFUSED,
    [MESSAGE_REFUSED] = 0,
};

static void set_state(struct message *message, enum message_state state) {
    assert(moves[message->state] & 1 << state);
    message->state = state;
}

void ledger_mark_sent(struct ledger *ledger, struct message *message) {
    if (message->state != MESSAGE_QUEUED)
        return;
    set_state(message, MESSAGE_SENT);
    ledger->counters.messages_sent += message->kind != KIND_MAIL;
}

void ledger_set_reason(struct message *message, const char *reason) {
    message->reason = reason;
}

static void count_to(struct ledger *ledger, struct conversation *conversation, int by) {
    bool was_pending = conversation->n_pending > 0;
    conversation->n_pending += (uint64_t)by;
    if (conversation->n_pending > 0 && !was_pending)
        TAILQ_INSERT_TAIL(&ledger->pending, conversation, pending);
    else if (conversation->n_pending == 0 && was_pending)
        TAILQ_REMOVE(&ledger->pending, conversation, pending);
}

static void count_pending(struct ledger *ledger, const struct message *message, int by) {
    ledger->n_pending += (uint64_t)by;
    if (message->conversation)
        count_to(ledger, message->conversation, by);
}

/* ---- Final states ---- */

static void unstored_remove(struct ledger *ledger, struct message *message) {
    TAILQ_REMOVE(&ledger->unstored, message, queue);
    message_move(message, MESSAGE_NOWHERE);
}

void ledger_message_free(struct ledger *ledger, struct message *message) {
    messages_drop_body(ledger->config.messages, message);
    while (!TAILQ_EMPTY(&message->watchers))
        ledger_watcher_free(ledger, TAILQ_FIRST(&message->watchers));
    if (message->place == MESSAGE_UNSTORED)
        unstored_remove(ledger, message);
    if (ledger->survey.at == message) /* the survey must not look at it next */
        ledger->survey.at = TAILQ_NEXT(message, all);
    TAILQ_REMOVE(&ledger->all, message, all);
    messages_remove(ledger->config.messages, message);
    ledger->n_messages--;
    if (!message_state_is_final(message->state))
        count_pending(ledger, message, -1);
    message_free(ledger->config.messages, message);
}

static void state_lost(struct ledger *ledger, struct message *message, struct mono now) {
    message_move(message, MESSAGE_UNSTORED);
    TAILQ_INSERT_TAIL(&ledger->unstored, message, queue);
    if (ledger->state_retry.us != MONO_NEVER.us)
        return;
    int64_t wait_us =
        backoff_failed(&ledger->state_failures, STATE_RETRY_MIN_US, STATE_RETRY_MAX_US);
    ledger->state_retry = mono_add(now, wait_us);
}

static void store_state(struct ledger *ledger, struct message *message, struct mono now) {
    struct ledger_op *op = ledger_op_new(ledger, LEDGER_STATE, sizeof *op);
    if (!op) {
        state_lost(ledger, message, now);
        return;
    }
    op->message = message;
    struct store_op operation = {.kind = STORE_OUT_STATE};
    operation.out_state.id = message->id;
    operation.out_state.state = message->state;
    operation.out_state.finished = message->finished;
    operation.out_state.forget =
        ledger->config.retention_us == 0 || message->withdrawn || message->kind == KIND_MAIL;
    if (message->reason)
        snprintf(operation.out_state.reason, MESSAGE_REASON_MAX, "%s", message->reason);
    ledger_store(ledger, &operation, op);
}

void ledger_finish(struct ledger *ledger, struct message *message, enum message_state state,
                   const char *reason, struct now now) {
    set_state(message, state);
    message->reason = reason;
    message->finished = now.wall;
    count_pending(ledger, message, -1);
    if (message->place == MESSAGE_LATE) {
        TAILQ_REMOVE(&ledger->load.late, message, queue);
        message_move(message, MESSAGE_NOWHERE);
    }
    assert(message->place == MESSAGE_NOWHERE);
    messages_drop_body(ledger->config.messages, message);
    /* Clients hear of a delivery before its state is stored, as the receipt is proof enough. A
     * crash before the commit means one resend, which the recipient does not store again. */
    if (state == MESSAGE_DELIVERED) {
        ledger->counters.messages_delivered += message->kind != KIND_MAIL;
        ledger_watchers_answer(ledger, message);
    }
    store_state(ledger, message, now.mono);
}

void ledger_state_done(struct ledger *ledger, struct message *message, int error, struct mono now) {
    if (error && error != -ENOENT) {
        state_lost(ledger, message, now);
        return;
    }
    ledger->state_failures.failures = 0;
    if (!TAILQ_EMPTY(&ledger->unstored))
        ledger->state_retry = now;
    ledger_watchers_answer(ledger, message);
    ledger_message_free(ledger, message);
}

void ledger_tick(struct ledger *ledger, struct mono now) {
    if (!mono_is_due(ledger->state_retry, now))
        return;
    ledger->state_retry = MONO_NEVER;
    for (int i = 0; i < STATE_RETRY_BATCH && !TAILQ_EMPTY(&ledger->unstored); i++) {
        struct message *message = TAILQ_FIRST(&ledger->unstored);
        unstored_remove(ledger, message);
        store_state(ledger, message, now);
    }
    if (!TAILQ_EMPTY(&ledger->unstored))
        ledger->state_retry = mono_add(now, STATE_RETRY_MAX_US);
}

/* ---- Expiry ---- */

static void plan_expiry(struct ledger *ledger, struct mono deadline) {
    struct mono earliest = mono_add(ledger->expiry_checked, EXPIRY_PERIOD_US);
    if (deadline.us < earliest.us)
        deadline = earliest;
    ledger->expiry_check = mono_min(ledger->expiry_check, deadline);
}

/* One scan of all, in pieces: the caller finishes what it is given before it asks for more. */
struct message *ledger_expired(struct ledger *ledger, struct now now) {
    if (!ledger->is_expiring) {
        if (!mono_is_due(ledger->expiry_check, now.mono))
            return NULL;
        ledger->is_expiring = true;
        ledger->expiry_check = ledger->expires_next = MONO_NEVER;
        ledger->expiring = TAILQ_FIRST(&ledger->all);
    }
    while (ledger->expiring) {
        struct message *message = ledger->expiring;
        ledger->expiring = TAILQ_NEXT(message, all);
        if (message_state_is_final(message->state))
            continue;
        if (mono_is_due(message->deadline, now.mono))
            return message;
        ledger->expires_next = mono_min(ledger->expires_next, message->deadline);
    }
    ledger->is_expiring = false;
    ledger->expiry_checked = now.mono;
    if (ledger->expires_next.us != MONO_NEVER.us)
        plan_expiry(ledger, ledger->expires_next);
    return NULL;
}

/* When a message expires. Of one that was pending when we stopped, the time in which we did not run
 * counts only once the clock is known to be right (ledger->aged). Never later than its life from
 * now. */
static struct mono deadline_of(const struct ledger *ledger, const struct message *message,
                               struct now now) {
    struct wall from = message->was_pending && !ledger->aged ? ledger->base : now.wall;
    int64_t life, left;
    if (__builtin_sub_overflow(message->expires.us, message->created.us, &life) ||
        __builtin_sub_overflow(message->expires.us, from.us, &left))
        return now.mono; /* such times were never written by us: the store is damaged */
    if (left > life && life > 0)
        left = life;
    return mono_add(now.mono, left > 0 ? left : 0);
}

void ledger_shift(struct ledger *ledger, int64_t by_us) {
    struct message *message;
    TAILQ_FOREACH(message, &ledger->all, all)
        if (!message_state_is_final(message->state)) {
            /* The times of a damaged store may overflow: they wrap. */
            (void)__builtin_add_overflow(message->created.us, by_us, &message->created.us);
            (void)__builtin_add_overflow(message->expires.us, by_us, &message->expires.us);
        }
    ledger->base.us += by_us;
}

void ledger_age(struct ledger *ledger, struct now now) {
    struct message *message;
    ledger->aged = true;
    TAILQ_FOREACH(message, &ledger->all, all)
        if (!message_state_is_final(message->state) && message->was_pending) {
            message->deadline = mono_min(message->deadline, deadline_of(ledger, message, now));
            plan_expiry(ledger, message->deadline);
        }
}

/* ---- Entering ---- */

struct message *ledger_message_of(struct ledger *ledger, const struct out_record *record) {
    bool is_mail = record->kind == KIND_MAIL;
    struct conversation *conversation =
        is_mail ? NULL : ledger_conversation(ledger, &record->recipient);
    struct message *message =
        conversation || is_mail ? message_new(ledger->config.messages, record, conversation) : NULL;
    if (!message)
        return NULL;
    if (conversation && conversation->sequence < record->sequence)
        conversation->sequence = record->sequence;
    if (node_id_is_equal(&record->recipient, &ledger->config.self))
        message->shards_k = 0; /* messages to ourselves are cut without regard to shards */
    return message;
}

bool ledger_enter(struct ledger *ledger, struct message *message, bool was_pending,
                  struct now now) {
    message->was_pending = was_pending;
    messages_add(ledger->config.messages, message);
    TAILQ_INSERT_TAIL(&ledger->all, message, all);
    ledger->n_messages++;
    count_pending(ledger, message, 1);
    message->deadline = deadline_of(ledger, message, now);
    plan_expiry(ledger, message->deadline);
    if (!ledger->load.is_needed || message->was_pending)
        return true;
    message_move(message, MESSAGE_LATE);
    TAILQ_INSERT_TAIL(&ledger->load.late, message, queue);
    return false;
}

void ledger_turn(struct ledger *ledger, struct message *message, struct conversation *to,
                 uint64_t sequence) {
    assert(!message_state_is_final(message->state));
    count_to(ledger, message->conversation, -1);
    count_to(ledger, to, 1);
    message->conversation = to;
    message->sequence = sequence;
    message->state = MESSAGE_QUEUED; /* the new recipient was never sent it; the table of moves does
                                        not have this one */
    message->was_pending = false;
}

/* If this is not stored, blocks are sent again after the next restart: nobody waits for it. */
void ledger_progress(struct ledger *ledger, const struct message *message, uint64_t below) {
    struct ledger_op *op = ledger_op_new(ledger, LEDGER_PROGRESS, sizeof *op);
    if (!op)
        return;
    struct store_op operation = {.kind = STORE_OUT_PROGRESS};
    operation.out_progress.id = message->id;
    operation.out_progress.offset = below;
    ledger_store(ledger, &operation, op);
}

bool ledger_has_room(const struct ledger *ledger) {
    return ledger->n_messages + ledger->n_putting + ledger->load.left < ledger->config.messages_max;
}

void ledger_count_putting(struct ledger *ledger, int by) {
    ledger->n_putting += (size_t)by;
}

/* ---- To be looked at ---- */

struct trust_old *ledger_old_of(struct trust_report *trust, const struct message *message) {
    if (message->kind == KIND_MAIL || message_state_is_final(message->state))
        return NULL;
    for (size_t i = 0; i < trust->n_old; i++)
        if (node_id_is_equal(&trust->old[i].id, &message->conversation->recipient))
            return &trust->old[i];
    return NULL;
}

/* A message that was pending before the start may have been sent then: the store does not say. */
void ledger_count_old(struct trust_old *old, const struct message *message) {
    old->messages++;
    old->sent += message->state == MESSAGE_SENT || message->was_pending;
}

struct message *ledger_first(const struct ledger *ledger) {
    return TAILQ_FIRST(&ledger->all);
}

struct message *ledger_after(const struct message *message) {
    return TAILQ_NEXT(message, all);
}
