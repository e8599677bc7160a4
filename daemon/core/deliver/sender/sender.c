/* Turns: which recipient has the next one, and what it does in it; and the life of the sender.
 * Threat: one busy recipient must not hold up the others, nor all of them together the rest of the
 * node. */
#include "daemon/core/deliver/sender/sender_private.h"

#define FLIGHT_LEAST                                                                               \
    (512u << 10) /* of a recipient in memory, once all recipients together have a quarter of       \
                    limits.memory */
#define EGRESS_PAUSE_US (10 * US_PER_MS)
#define MEMORY_PAUSE_US (100 * US_PER_MS)
#define SPIN_US US_PER_MS
#define IDLE_US (10 * US_PER_S) /* estimates are kept so long after the last message */
#define PACKETS_A_TICK 256      /* 3 ms of sealing: others must get their turn */

static void free_with_parcels(struct sender *sender, struct recipient *recipient) {
    while (!TAILQ_EMPTY(&recipient->parcels))
        sender_parcel_drop(sender, TAILQ_FIRST(&recipient->parcels));
    sender_paths_free(recipient);
    sender_recipient_free(sender, recipient);
}

/* ---- Keys ---- */

/* The recipient has other keys: what is sealed is worthless, so paths and parcels begin anew. */
static void begin_anew(struct sender *sender, struct recipient *recipient) {
    struct sender_parcel *parcel;
    sender_paths_free(recipient);
    TAILQ_FOREACH(parcel, &recipient->parcels, link) {
        if (sender_parcel_is_sealed(parcel))
            sender_parcel_empty(sender, parcel);
        backoff_parcel_restart(parcel);
    }
}

/* False: the recipient is unknown or has no key for now. */
static bool refresh_keys(struct sender *sender, struct recipient *recipient, struct wall wall) {
    enum sender_keys keys = sender_keys_refresh(sender, recipient, wall);
    if (keys == SENDER_OTHER_KEYS)
        begin_anew(sender, recipient);
    return keys != SENDER_NO_KEYS;
}

/* ---- Made ahead ---- */

/* Compute the key exchange that the next parcel begins with, and draw a path. It is done while the
 * store commits the first message: there is nothing better to do. */
static void recipient_make_ready(struct sender *sender, struct recipient *recipient,
                                 struct now now) {
    uint8_t ephemeral[KEY_LEN];
    if (!refresh_keys(sender, recipient, now.wall))
        return;
    struct path_request request = sender_path_request(recipient);
    if (!sender_has_kept_path(sender, recipient, now))
        paths_expect(sender->config.paths, &request, now.mono);
    struct parcel_secret *secret = sender_secret(sender, recipient, now.mono);
    if (!secret || secret->known.has_es)
        return;
    random_fill(&sender->config.random, ephemeral, sizeof ephemeral);
    parcel_secret_prepare(secret, recipient->routing_key, ephemeral);
    sodium_memzero(ephemeral, sizeof ephemeral);
}

void sender_make_ready(struct sender *sender, struct now now) {
    struct recipient *recipient = TAILQ_FIRST(&sender->unready);
    bool is_busy = sender->is_expected_now || !TAILQ_EMPTY(&sender->run);
    sender->is_expected_now = false;
    if (is_busy)
        return;
    if (!recipient || !mono_is_due(sender->ready_at, now.mono)) {
        paths_prepare(sender->config.paths, now);
        return;
    }
    TAILQ_REMOVE(&sender->unready, recipient, unready);
    recipient->is_unready = false;
    if (TAILQ_EMPTY(&sender->unready))
        sender->ready_at = MONO_NEVER;
    recipient_make_ready(sender, recipient, now);
}

/* ---- Towards being sealed ---- */

/* May an empty parcel be read and sealed now? Of a silent recipient only the first one, when its
 * time to ask has come. */
static bool may_fill(const struct recipient *recipient, const struct sender_parcel *parcel,
                     struct mono now) {
    if (parcel->state != PARCEL_EMPTY)
        return false;
    if (!backoff_is_silent(recipient))
        return true;
    return parcel == TAILQ_FIRST(&recipient->parcels) &&
           (parcel->deadline.us == MONO_NEVER.us || mono_is_due(parcel->deadline, now));
}

static bool is_read(const struct sender_parcel *parcel) {
    return sender_parcel_is_reading(parcel) && parcel->reads == 0;
}

/* A silent recipient gathers nothing. Where all recipients together hold much memory each may have
 * FLIGHT_LEAST, so that clients can still push. */
static bool may_gather(const struct sender *sender, const struct recipient *recipient,
                       struct mono now) {
    const struct budget *budget = sender->config.budget;
    bool many = budget->held[BUDGET_OUTBOX] >= budget->max / 4;
    return !backoff_is_silent(recipient) && (!many || recipient->bytes < FLIGHT_LEAST) &&
           sender_may_gather(recipient, now);
}

static bool has_work(const struct sender *sender, const struct recipient *recipient,
                     struct mono now) {
    const struct sender_parcel *parcel;
    TAILQ_FOREACH(parcel, &recipient->parcels, link)
        if (sender_parcel_is_due(parcel) || may_fill(recipient, parcel, now) || is_read(parcel))
            return true;
    return may_gather(sender, recipient, now);
}

/* Bring a parcel one step closer to being sealed. 0, or an error that stops the recipient for a
 * while. */
static int parcel_advance(struct sender *sender, struct sender_parcel *parcel, struct mono now) {
    int error = 0;
    if (is_read(parcel)) {
        error = sender_parcel_seal(sender, parcel, now);
        if (error == -EAGAIN)
            error = 0;
    }
    if (!error && may_fill(parcel->recipient, parcel, now)) {
        error = sender_parcel_fill(sender, parcel);
        if (error == -ENOENT)
            return 0;
        if (!error && parcel->reads == 0)
            return parcel_advance(sender, parcel, now);
    }
    return error;
}

static int advance_all(struct sender *sender, struct recipient *recipient, struct mono now) {
    int error = 0;
    for (struct sender_parcel *parcel = TAILQ_FIRST(&recipient->parcels), *next; parcel && !error;
         parcel = next) {
        next = TAILQ_NEXT(parcel, link);
        error = parcel_advance(sender, parcel, now);
    }
    while (!error && may_gather(sender, recipient, now)) {
        struct sender_parcel *parcel = sender_gather(sender, recipient, now);
        if (!parcel)
            break;
        error = parcel_advance(sender, parcel, now);
    }
    return error;
}

/* ---- A turn ---- */

static void fail(struct sender *sender, struct recipient *recipient, struct mono now,
                 struct sender_turn *turn) {
    turn->no_route = recipient;
    backoff_unreachable(sender, recipient, now);
}

static void recipient_advance(struct sender *sender, struct recipient *recipient, struct mono now,
                              struct sender_turn *turn) {
    int error = advance_all(sender, recipient, now);
    backoff_set_why(recipient, error == -ENOMEM   ? OUTBOX_MEMORY
                               : error == -EINVAL ? OUTBOX_AWAY
                               : error            ? OUTBOX_STORE
                                                  : OUTBOX_FLYING);
    if (error == -ENOMEM)
        backoff_pause(recipient, now, MEMORY_PAUSE_US);
    else if (error)
        fail(sender, recipient, now, turn);
}

static void recipient_send(struct sender *sender, struct recipient *recipient, struct now now,
                           struct sender_turn *turn) {
    int error = sender_send(sender, recipient, now);
    if (!error)
        sender_wake(sender, recipient);
    if (error == -ENOMEM)
        backoff_set_why(recipient, OUTBOX_MEMORY);
    if (error == -EINVAL)
        backoff_set_why(recipient, OUTBOX_AWAY);
    if (!error || error == -EAGAIN)
        return;
    if (error == -EINVAL)
        fail(sender, recipient, now.mono, turn);
    else
        backoff_pause(recipient, now.mono, error == -ENOMEM ? MEMORY_PAUSE_US : EGRESS_PAUSE_US);
}

/* Is the recipient known, has it keys, and if there is something to send, is there a path? */
static bool may_send(struct sender *sender, struct recipient *recipient, struct now now) {
    if (!refresh_keys(sender, recipient, now.wall)) {
        backoff_set_why(recipient, OUTBOX_AWAY);
        return false;
    }
    return !has_work(sender, recipient, now.mono) || sender_has_path(sender, recipient, now);
}

static void set_timer(struct sender *sender, struct recipient *recipient, struct mono now) {
    struct mono due = MONO_NEVER;
    const struct sender_parcel *parcel;
    TAILQ_FOREACH(parcel, &recipient->parcels, link)
        if (parcel->reads == 0) /* a parcel that is being read is woken by the store's answer */
            due = mono_min(due, parcel->deadline);
    if (!mono_is_due(recipient->rest_until, now))
        due = mono_min(due, recipient->rest_until);
    if (!mono_is_due(recipient->resume, now))
        due = recipient->resume;
    /* All that was due was done in this turn. Should something still be due, do not run again at
     * once. */
    if (mono_is_due(due, now))
        due = mono_add(now, SPIN_US);
    timers_set(&sender->timers, &recipient->timer, due);
}

static void rest_idle(struct sender *sender, struct recipient *recipient, struct mono now,
                      struct sender_turn *turn) {
    if (now.us - recipient->idle_since.us < IDLE_US) {
        timers_set(&sender->timers, &recipient->timer, mono_add(recipient->idle_since, IDLE_US));
        return;
    }
    turn->is_gone = true;
    turn->gone = recipient->attached;
    turn->was = recipient->route;
    turn->srtt_us = recipient->windows.srtt_us;
    turn->rttvar_us = recipient->windows.rttvar_us;
    free_with_parcels(sender, recipient);
}

static void recipient_run(struct sender *sender, struct recipient *recipient, struct now now,
                          struct sender_turn *turn) {
    if (recipient->n_messages == 0 && TAILQ_EMPTY(&recipient->parcels)) {
        rest_idle(sender, recipient, now.mono, turn);
        return;
    }
    recipient->idle_since = now.mono;
    if (mono_is_due(recipient->resume, now.mono)) {
        sender_time_out(sender, recipient, now.mono);
        if (!may_send(sender, recipient, now)) {
            fail(sender, recipient, now.mono, turn);
        } else {
            backoff_has_turn(recipient);
            recipient_advance(sender, recipient, now.mono, turn);
            recipient_send(sender, recipient, now, turn);
        }
    }
    set_timer(sender, recipient, now.mono);
}

/* ---- Rounds ---- */

void sender_begin(struct sender *sender, struct mono now) {
    for (struct timer *timer; (timer = timers_take(&sender->timers, now));)
        sender_wake(sender, table_entry(timer, struct recipient, timer));
    sender->packets_left = PACKETS_A_TICK;
    sender->rounds_left = PACKETS_A_TICK / SENDER_QUANTUM;
    sender->round_end = NULL;
}

/* In a round each recipient that has something to do sends a quantum. While packets are left in
 * this tick there are further rounds. */
bool sender_turn(struct sender *sender, struct now now, struct sender_turn *ret_turn) {
    *ret_turn = (struct sender_turn){.no_route = NULL};
    if (!sender->round_end && sender->rounds_left > 0) {
        sender->rounds_left--;
        sender->round_end = TAILQ_LAST(&sender->run, recipients);
    }
    if (!sender->round_end || sender->packets_left == 0)
        return false;
    struct recipient *recipient = TAILQ_FIRST(&sender->run);
    if (recipient == sender->round_end)
        sender->round_end = NULL;
    TAILQ_REMOVE(&sender->run, recipient, run);
    recipient->running = false;
    recipient_run(sender, recipient, now, ret_turn);
    return true;
}

/* ---- Routes ---- */

static void add_route(const struct sender *sender, const struct path *path,
                      struct route_report *route) {
    uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
    route->n_hops = path_hops(path, hops);
    for (size_t i = 0; i < route->n_hops; i++) {
        const struct directory_entry *entry =
            directory_find_prefix(sender->config.directory, hops[i]);
        if (!entry)
            continue;
        struct descriptor descriptor;
        directory_descriptor(entry, &descriptor);
        route->hops[i].id = entry->id;
        route->hops[i].address = directory_address(sender->config.directory, entry);
        memcpy(route->hops[i].name, descriptor.name, sizeof descriptor.name);
    }
}

struct route_report *sender_routes(struct sender *sender, const struct sender_parcel *parcel,
                                   size_t *ret_n) {
    const struct recipient *recipient = parcel->recipient;
    struct route_report *routes =
        effects_scratch(sender->config.effects, recipient->windows.n * sizeof *routes);
    *ret_n = 0;
    for (unsigned i = 0; routes && i < recipient->windows.n; i++) {
        const struct subflow *subflow = &recipient->subflows[i];
        bool used = false;
        for (unsigned j = 0; j < parcel->fresh && subflow->lane.path; j++)
            used = used || (parcel->shards[j].sends > 0 && parcel->shards[j].path == subflow->id);
        if (used)
            add_route(sender, subflow->lane.path, &routes[(*ret_n)++]);
    }
    return routes;
}

/* ---- News from outside ---- */

void sender_retry_now(struct sender *sender, const struct node_id *recipient, struct mono now) {
    struct recipient *one;
    if (!recipient) {
        TAILQ_FOREACH(one, &sender->all, all)
            if (backoff_retry_now(one, now))
                sender_wake(sender, one);
        return;
    }
    uint64_t hash = table_hash(&sender->recipients, recipient, sizeof *recipient);
    for (struct table_link *link = table_first(&sender->recipients, hash); link;
         link = table_next(link)) {
        one = table_entry(link, struct recipient, by_id);
        if (!node_id_is_equal(recipient, &one->route.to))
            continue;
        (void)backoff_retry_now(one, now);
        sender_wake(sender, one);
    }
}

/* ---- Life ---- */

struct sender *sender_new(const struct sender_config *config) {
    const struct core_random *random = &config->random;
    struct sender *sender = calloc(1, sizeof *sender);
    if (!sender)
        return NULL;
    sender->config = *config;
    sender->self = *identity_id(config->identity);
    TAILQ_INIT(&sender->all);
    TAILQ_INIT(&sender->run);
    TAILQ_INIT(&sender->unready);
    TAILQ_INIT(&sender->ops);
    TAILQ_INIT(&sender->departed);
    sender->ready_at = sender->keys_check = MONO_NEVER;
    sender->receipt_keys = sodium_malloc(OUTBOX_SEALED_MAX * sizeof *sender->receipt_keys);
    sender->free_keys = malloc(OUTBOX_SEALED_MAX * sizeof *sender->free_keys);
    sender->keys = parcel_keys_new(OUTBOX_KEYS_HELD, random);
    if (!sender->receipt_keys || !sender->free_keys || !sender->keys ||
        table_init(&sender->recipients, random) || table_init(&sender->parcels, random)) {
        sender_free(sender);
        return NULL;
    }
    for (uint32_t i = 0; i < OUTBOX_SEALED_MAX; i++)
        sender->free_keys[sender->n_free_keys++] = OUTBOX_SEALED_MAX - 1 - i;
    return sender;
}

void sender_free(struct sender *sender) {
    if (!sender)
        return;
    while (!TAILQ_EMPTY(&sender->all))
        free_with_parcels(sender, TAILQ_FIRST(&sender->all));
    while (!TAILQ_EMPTY(&sender->ops))
        sender_op_done(sender, TAILQ_FIRST(&sender->ops));
    table_deinit(&sender->recipients);
    table_deinit(&sender->parcels);
    timers_deinit(&sender->timers);
    parcel_keys_free(sender->keys);
    sodium_free(sender->receipt_keys);
    free(sender->free_keys);
    free(sender->outcomes);
    free(sender);
}

void sender_tick(struct sender *sender, struct now now) {
    if (!mono_is_due(sender->keys_check, now.mono))
        return;
    size_t left =
        parcel_keys_expire(sender->keys, wall_epoch((struct wall){now.wall.us - EPOCH_GRACE_US}));
    sender->keys_check = left > 0 ? mono_add(now.mono, EPOCH_US / 4) : MONO_NEVER;
}

struct mono sender_next(const struct sender *sender) {
    if (!TAILQ_EMPTY(&sender->run))
        return (struct mono){0}; /* at once */
    struct mono next = mono_min(timers_next(&sender->timers), sender->keys_check);
    return mono_min(next, mono_min(sender->ready_at, paths_next(sender->config.paths)));
}

const struct sender_counters *sender_counters(const struct sender *sender) {
    return &sender->counters;
}

bool sender_is_idle(const struct sender *sender) {
    return TAILQ_EMPTY(&sender->ops);
}
