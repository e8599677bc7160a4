/* Life of the inbox, and what comes back from the store: see inbox.h. */
#include "daemon/core/deliver/inbox/inbox_private.h"

#include <assert.h>

/* ---- Results ---- */

static void note_outcome(struct inbox *inbox, const struct store_result *result, bool is_file) {
    if (result->error || result->in_outcome != STORE_IN_COMPLETE)
        return;
    inbox->counters.messages_received++;
    if (is_file)
        return;
    inbox->waiting++;
    inbox_wake(inbox);
}

static void parcel_stored(struct inbox *inbox, struct inbox_parcel *parcel,
                          const struct store_result *result, struct now now) {
    note_outcome(inbox, result, parcel->file != NULL);
    if (result->error && !inbox_keeps_silent(parcel->error))
        parcel->error = result->error;
    parcel->whole = !result->error && result->in_outcome != STORE_IN_PARTIAL;
    inbox->n_puts--;
    if (--parcel->puts > 0)
        return;
    /* Nothing is said when the store failed: the sender comes again, and the disk may have room by
     * then. */
    if (!inbox_keeps_silent(parcel->error))
        inbox_conclude(inbox, parcel, inbox_reason_of(parcel->error), now);
    inbox_parcel_free(inbox, parcel);
}

static void local_stored(struct inbox *inbox, struct inbox_local *local,
                         const struct store_result *result) {
    note_outcome(inbox, result, local->kind == KIND_FILE);
    local->done = true;
    local->error = result->error;
}

void inbox_stored(struct inbox *inbox, uint64_t cookie, const struct store_result *result,
                  struct now now) {
    struct inbox_op *op = (struct inbox_op *)(uintptr_t)cookie;
    switch (op->kind) {
    case INBOX_OP_PARCEL:
        parcel_stored(inbox, table_entry(op, struct inbox_parcel, op), result, now);
        break;
    case INBOX_OP_LOCAL:
        local_stored(inbox, table_entry(op, struct inbox_local, op), result);
        break;
    case INBOX_OP_FETCH:
        inbox_fetched(inbox, table_entry(op, struct inbox_puller, op), result);
        break;
    case INBOX_OP_TAKE:
        inbox_taken(inbox, table_entry(op, struct inbox_puller, op), result);
        break;
    }
}

/* ---- Life ---- */

struct inbox *inbox_new(const struct inbox_config *config) {
    struct inbox *inbox = calloc(1, sizeof *inbox);
    if (!inbox)
        return NULL;
    inbox->config = *config;
    inbox->self = *identity_id(config->identity);
    inbox->waiting = config->waiting;
    inbox->keys_check = MONO_NEVER;
    share_init(&inbox->strangers, STRANGERS_SHARE);
    random_fill(&config->random, &inbox->clock_origin, sizeof inbox->clock_origin);
    TAILQ_INIT(&inbox->unfinished);
    TAILQ_INIT(&inbox->storing);
    TAILQ_INIT(&inbox->wanting);
    TAILQ_INIT(&inbox->locals);
    TAILQ_INIT(&inbox->pullers);
    config->budget->evict[BUDGET_INBOX] = inbox_evict;
    config->budget->context[BUDGET_INBOX] = inbox;
    inbox->keys = parcel_keys_new(INBOX_KEYS_HELD, &config->random);
    inbox->guesses = parcel_keys_new(INBOX_GUESSES_HELD, &config->random);
    inbox->done_ring = calloc(INBOX_DONE_MAX, sizeof(struct inbox_done *));
    inbox->correspondents = calloc(INBOX_CORRESPONDENTS_MAX, sizeof *inbox->correspondents);
    if (!inbox->keys || !inbox->guesses || !inbox->done_ring || !inbox->correspondents ||
        table_init(&inbox->parcels, &config->random) ||
        table_init(&inbox->senders, &config->random) || table_init(&inbox->done, &config->random)) {
        inbox_free(inbox);
        return NULL;
    }
    return inbox;
}

void inbox_free(struct inbox *inbox) {
    if (!inbox)
        return;
    while (!TAILQ_EMPTY(&inbox->unfinished))
        inbox_parcel_free(inbox, TAILQ_FIRST(&inbox->unfinished));
    while (!TAILQ_EMPTY(&inbox->storing))
        inbox_parcel_free(inbox, TAILQ_FIRST(&inbox->storing));
    for (struct inbox_local *local; (local = TAILQ_FIRST(&inbox->locals));) {
        TAILQ_REMOVE(&inbox->locals, local, link);
        free(local);
    }
    inbox_pullers_deinit(inbox);
    inbox_receipts_deinit(inbox);
    inbox->config.budget->evict[BUDGET_INBOX] = NULL;
    assert(inbox->config.budget->held[BUDGET_INBOX] == 0);
    table_deinit(&inbox->parcels);
    table_deinit(&inbox->senders);
    table_deinit(&inbox->done);
    timers_deinit(&inbox->timers);
    parcel_keys_free(inbox->keys);
    parcel_keys_free(inbox->guesses);
    free(inbox);
}

void inbox_configure(struct inbox *inbox, const struct inbox_limits *limits) {
    inbox->config.limits = *limits;
}

/* Secrets and parcels of epochs whose keys are gone serve nobody. */
static void expire_keys(struct inbox *inbox, struct now now) {
    int64_t oldest = wall_epoch((struct wall){now.wall.us - EPOCH_GRACE_US});
    size_t left =
        parcel_keys_expire(inbox->keys, oldest) + parcel_keys_expire(inbox->guesses, oldest);
    for (struct inbox_parcel *parcel = TAILQ_FIRST(&inbox->unfinished), *next; parcel;
         parcel = next) {
        next = TAILQ_NEXT(parcel, link);
        if (!identity_epoch_key(inbox->config.identity, parcel->epoch))
            inbox_parcel_free(inbox, parcel);
    }
    inbox->keys_check =
        left > 0 || inbox->n_parcels > 0 ? mono_add(now.mono, INBOX_KEYS_CHECK_US) : MONO_NEVER;
}

void inbox_drop_sender(struct inbox *inbox, const struct node_id *sender) {
    for (struct inbox_sender *held;
         (held = inbox_sender_find(inbox, sender)) && !TAILQ_EMPTY(&held->unfinished);)
        inbox_parcel_free(inbox, TAILQ_FIRST(&held->unfinished));
}

void inbox_renew(struct inbox *inbox) {
    parcel_keys_expire(inbox->keys, INT64_MAX);
    parcel_keys_expire(inbox->guesses, INT64_MAX);
    while (!TAILQ_EMPTY(&inbox->unfinished))
        inbox_parcel_free(inbox, TAILQ_FIRST(&inbox->unfinished));
}

void inbox_tick(struct inbox *inbox, struct now now) {
    for (struct timer *timer; (timer = timers_take(&inbox->timers, now.mono));)
        inbox_partial_due(inbox, table_entry(timer, struct inbox_parcel, timer), now.mono);
    if (mono_is_due(inbox->keys_check, now.mono))
        expire_keys(inbox, now);
}

struct mono inbox_next(const struct inbox *inbox) {
    return mono_min(timers_next(&inbox->timers), inbox->keys_check);
}

uint64_t inbox_waiting(const struct inbox *inbox) {
    return inbox->waiting;
}

const struct inbox_counters *inbox_counters(const struct inbox *inbox) {
    return &inbox->counters;
}
