/* When something is sent again, and to whom nothing is sent for now (backoff_private.h lists the
 * timers). Threat: a recipient may be away for days, and all who write to it must not come back at
 * the same moment: what nobody answers is asked for ever less often, one shard at a time, with
 * jitter. */
#include "daemon/core/deliver/sender/sender_private.h"

#define BACKOFF_MAX_US (5 * US_PER_MINUTE)
#define UNREACHABLE_MIN_US US_PER_S
/* While there are routes to a silent recipient it is probably there, and the losses are on the way:
 * over five links that lose 30% each, one receipt in 35 comes through. So for PATIENT_TIMEOUTS
 * time-outs (ten minutes) it is asked every 3 s; 1 in 300 recipients is not heard in that time.
 * With five minutes at half that rate it was 1 in 6. */
#define PATIENT_US (3 * US_PER_S)
#define PATIENT_TIMEOUTS 200
/* Whom others left mail for may be anybody, and may be up and never answer: there is no patience
 * with it, and all of them together have so many tries a second, in turn. */
#define TURN_US (US_PER_S / KEPT_TRIES_RATE)
#define PAUSED_US (KEPT_TRIES_BURST * TURN_US) /* what was not used for longer is lost */
#define RETRY_NOW_US US_PER_S                  /* a recipient is retried at once at most so often */
/* That try and two more are short: the recipient may hear of the change later. */
#define PRESSED 3

/* ---- A parcel ---- */

void backoff_parcel_init(struct sender_parcel *parcel) {
    parcel->credit = SENDER_CREDIT_ALL;
    parcel->deadline = MONO_NEVER;
}

int64_t backoff_delay_us(struct sender *sender, const struct sender_parcel *parcel) {
    const struct windows *windows = &parcel->recipient->windows;
    int64_t delay = windows_timeout_us(windows) + windows->store_us;
    if (parcel->timeouts <= SENDER_FAST_RESENDS)
        return delay;
    if (parcel->pressed > 0)
        return 2 * delay;
    bool is_patient = parcel->timeouts < PATIENT_TIMEOUTS && !parcel->recipient->route.is_kept;
    delay = backoff_us(parcel->timeouts - SENDER_FAST_RESENDS + 1, delay,
                       is_patient ? PATIENT_US : BACKOFF_MAX_US);
    return delay - (int64_t)random_below(&sender->config.random, (uint64_t)delay / 8);
}

void backoff_parcel_sealed(struct sender *sender, struct sender_parcel *parcel, struct mono now) {
    /* a parcel that is sealed again has nothing in flight: without credit it would never be sent */
    if (parcel->credit == 0)
        parcel->credit = 1;
    parcel->deadline = mono_add(now, backoff_delay_us(sender, parcel));
}

void backoff_parcel_sent(struct sender *sender, struct sender_parcel *parcel, struct mono now) {
    if (parcel->credit != SENDER_CREDIT_ALL)
        parcel->credit--;
    parcel->deadline = mono_add(now, backoff_delay_us(sender, parcel));
}

void backoff_parcel_timed_out(struct sender *sender, struct sender_parcel *parcel,
                              struct mono now) {
    parcel->recipient->tried = now;
    parcel->timeouts++;
    parcel->pressed -= parcel->pressed > 0;
    parcel->credit = parcel->timeouts <= SENDER_FAST_RESENDS ? 1u << (parcel->timeouts - 1) : 1;
    parcel->deadline = mono_add(now, backoff_delay_us(sender, parcel));
}

/* One after the other, and none waits for ever. */
static bool has_kept_turn(struct sender *sender, struct recipient *recipient, struct mono now) {
    if (recipient->kept_turn.us == MONO_NEVER.us) {
        if (sender->next_kept_turn.us < now.us - PAUSED_US)
            sender->next_kept_turn = mono_add(now, -PAUSED_US);
        recipient->kept_turn = sender->next_kept_turn;
        sender->next_kept_turn = mono_add(sender->next_kept_turn, TURN_US);
    }
    return mono_is_due(recipient->kept_turn, now);
}

bool backoff_parcel_takes_turn(struct sender *sender, struct sender_parcel *parcel,
                               struct mono now) {
    struct recipient *recipient = parcel->recipient;
    if (!recipient->route.is_kept)
        return true;
    if (!has_kept_turn(sender, recipient, now)) {
        parcel->deadline = recipient->kept_turn;
        return false;
    }
    recipient->kept_turn = MONO_NEVER;
    return true;
}

void backoff_parcel_asks_anew(struct sender_parcel *parcel) {
    parcel->timeouts++;
}

void backoff_parcel_postpone(struct sender_parcel *parcel, struct mono now) {
    parcel->deadline = mono_add(now, windows_timeout_us(&parcel->recipient->windows));
}

void backoff_parcel_rest(struct sender_parcel *parcel) {
    parcel->deadline = MONO_NEVER;
}

void backoff_parcel_restart(struct sender_parcel *parcel) {
    parcel->timeouts = 0;
    parcel->credit = SENDER_CREDIT_ALL;
    parcel->deadline = MONO_NEVER;
}

/* ---- A recipient ---- */

void backoff_init(struct recipient *recipient) {
    recipient->unreached.failures = 0;
    recipient->resume = recipient->tried = recipient->rest_until = (struct mono){INT64_MIN / 2};
    recipient->kept_turn = MONO_NEVER;
}

bool backoff_is_silent(const struct recipient *recipient) {
    const struct sender_parcel *first = TAILQ_FIRST(&recipient->parcels);
    return first && first->timeouts > SENDER_FAST_RESENDS;
}

void backoff_heard(struct sender *sender, struct recipient *recipient, struct mono now) {
    struct sender_parcel *parcel;
    TAILQ_FOREACH(parcel, &recipient->parcels, link) {
        bool asked = parcel->timeouts > 0;
        parcel->timeouts = 0;
        parcel->credit = SENDER_CREDIT_ALL;
        if (!sender_parcel_is_sealed(parcel))
            parcel->deadline = MONO_NEVER;
        else if (asked)
            parcel->deadline =
                mono_min(parcel->deadline, mono_add(now, backoff_delay_us(sender, parcel)));
    }
    if (recipient->unreachable)
        recipient->resume = now;
    backoff_has_path(recipient);
    sender_wake(sender, recipient);
}

void backoff_has_path(struct recipient *recipient) {
    recipient->unreachable = false;
    recipient->unreached.failures = 0;
}

void backoff_has_turn(struct recipient *recipient) {
    recipient->unreachable = false;
}

void backoff_unreachable(struct sender *sender, struct recipient *recipient, struct mono now) {
    int64_t retry_us = backoff_failed(&recipient->unreached, UNREACHABLE_MIN_US, BACKOFF_MAX_US);
    int64_t jitter = (int64_t)random_below(&sender->config.random, (uint64_t)retry_us / 2);
    backoff_pause(recipient, now, retry_us * 3 / 4 + jitter);
    recipient->unreachable = true;
    recipient->tried = now;
}

void backoff_pause(struct recipient *recipient, struct mono now, int64_t us) {
    recipient->resume = mono_add(now, us);
}

void backoff_set_why(struct recipient *recipient, enum outbox_why why) {
    recipient->why = why;
}

void backoff_rest(struct sender *sender, struct recipient *recipient, struct mono now) {
    int64_t longer = recipient->rest_us * 2;
    if (!mono_is_due(recipient->rest_until, now))
        return; /* parcels that were in flight together are refused together: that counts once */
    recipient->rest_us = longer < SENDER_REST_MIN_US   ? SENDER_REST_MIN_US
                         : longer > SENDER_REST_MAX_US ? SENDER_REST_MAX_US
                                                       : longer;
    int64_t jitter =
        (int64_t)random_below(&sender->config.random, (uint64_t)recipient->rest_us / 2);
    recipient->rest_until = mono_add(now, recipient->rest_us * 3 / 4 + jitter);
    sender_wake(sender, recipient);
}

void backoff_rested(struct recipient *recipient) {
    recipient->rest_us = 0;
}

bool backoff_retry_now(struct recipient *recipient, struct mono now) {
    struct mono again = mono_add(recipient->tried, RETRY_NOW_US);
    if (again.us < now.us)
        again = now;
    if (recipient->unreachable) {
        recipient->resume = again;
    } else if (backoff_is_silent(recipient)) {
        struct sender_parcel *first = TAILQ_FIRST(&recipient->parcels);
        first->deadline = again;
        first->pressed = PRESSED;
    } else {
        return false;
    }
    return true;
}
