/* Per recipient: keys, parcels on their way out, turns, waiting. Threat: a recipient may be away
 * for days or come back with other keys; one busy recipient must not hold up the others. What
 * strangers left here for it goes by a flow of its own, so that its being refused holds up nothing
 * that we write. */
#include "daemon/core/deliver/outbox_private.h"

#define KICK_US US_PER_S /* a kicked recipient is tried at most so often */
#define PRESSED                                                                                    \
    3 /* tries after a kick that follow soon: the recipient may hear later of the change */
#define EGRESS_PAUSE_US (10 * US_PER_MS)
#define MEMORY_PAUSE_US (100 * US_PER_MS)
#define SPIN_US US_PER_MS
#define IDLE_US (10 * US_PER_S) /* estimates are kept so long after the last message */
#define PACKETS_A_TICK 256      /* 3 ms of sealing: others must get their turn */

static const struct mono AT_ONCE = {0};

/* ---- Making and finding ---- */

/* A round trip is worth more than a guess though it was measured an hour ago. That of routes of
 * other shapes says nothing. */
static struct out_conversation *measured_with(const struct outbox *outbox,
                                              const struct out_flow *flow) {
    bool is_usual = flow->relays_exact == RELAYS_DEFAULT && flow->shards_k == 0;
    return is_usual ? out_conversation_find(outbox, &flow->recipient) : NULL;
}

static void recall_round_trip(const struct outbox *outbox, struct out_flow *flow) {
    const struct out_conversation *conversation = measured_with(outbox, flow);
    if (!conversation || conversation->srtt_us == 0)
        return;
    flow->srtt_us = conversation->srtt_us;
    flow->rttvar_us = conversation->rttvar_us;
}

static void keep_round_trip(const struct outbox *outbox, const struct out_flow *flow) {
    struct out_conversation *conversation = measured_with(outbox, flow);
    if (!conversation || flow->srtt_us <= 0)
        return;
    conversation->srtt_us = flow->srtt_us;
    conversation->rttvar_us = flow->rttvar_us;
}

struct wanted { /* what a flow is known by, beside its recipient */
    uint8_t relays_exact, shards_k, shards_m;
    bool strict, is_kept;
};
static const struct wanted kept = {.relays_exact = RELAYS_DEFAULT, .is_kept = true};

static bool is_like(const struct out_flow *flow, const struct wanted *wanted) {
    return flow->relays_exact == wanted->relays_exact && flow->strict == wanted->strict &&
           flow->shards_k == wanted->shards_k && flow->shards_m == wanted->shards_m &&
           flow->is_kept == wanted->is_kept;
}

static struct out_flow *flow_find(const struct outbox *outbox, const struct node_id *recipient,
                                  const struct wanted *wanted) {
    uint64_t hash = table_hash(&outbox->flows, recipient, sizeof *recipient);
    for (struct table_link *link = table_first(&outbox->flows, hash); link;
         link = table_next(link)) {
        struct out_flow *flow = table_entry(link, struct out_flow, by_recipient);
        if (node_id_is_equal(&flow->recipient, recipient) && is_like(flow, wanted))
            return flow;
    }
    return NULL;
}

static size_t flow_size(unsigned n_slots) {
    return sizeof(struct out_flow) + n_slots * sizeof(struct out_slot);
}

static struct out_flow *flow_new(struct outbox *outbox, const struct node_id *recipient,
                                 const struct wanted *wanted) {
    unsigned n_slots =
        wanted->shards_k == 0 ? OUTBOX_SLOTS : (unsigned)wanted->shards_k + wanted->shards_m;
    if (n_slots > OUTBOX_SLOTS_MAX)
        n_slots = OUTBOX_SLOTS_MAX;
    struct out_flow *flow = calloc(1, flow_size(n_slots));
    if (!flow || timers_reserve(&outbox->timers, outbox->n_flows + 1)) {
        free(flow);
        return NULL;
    }
    flow->recipient = *recipient;
    flow->relays_exact = wanted->relays_exact;
    flow->strict = wanted->strict;
    flow->is_kept = wanted->is_kept;
    flow->shards_k = wanted->shards_k;
    flow->shards_m = wanted->shards_m;
    flow->n_slots = n_slots;
    flow->srtt_us = -1;
    recall_round_trip(outbox, flow);
    flow->away_since = MONO_NEVER;
    flow->retry_us = OUTBOX_UNREACHABLE_MIN_US;
    flow->resume = flow->tried = flow->draw_after = flow->idle_since = (struct mono){INT64_MIN / 2};
    flow->rest_until = flow->resume;
    TAILQ_INIT(&flow->shorts);
    TAILQ_INIT(&flow->longs);
    TAILQ_INIT(&flow->again);
    TAILQ_INIT(&flow->parcels);
    for (unsigned i = 0; i < n_slots; i++)
        out_slot_init(&flow->slots[i]);
    table_add(&outbox->flows, &flow->by_recipient,
              table_hash(&outbox->flows, recipient, sizeof *recipient));
    TAILQ_INSERT_TAIL(&outbox->all_flows, flow, all);
    outbox->n_flows++;
    if (flow->is_kept)
        out_kept_take(outbox, flow_size(n_slots));
    return flow;
}

static struct out_flow *flow_get(struct outbox *outbox, const struct node_id *recipient,
                                 const struct wanted *wanted) {
    struct out_flow *flow = flow_find(outbox, recipient, wanted);
    if (!flow)
        flow = flow_new(outbox, recipient, wanted);
    if (flow && TAILQ_EMPTY(&flow->parcels))
        out_flow_expect(outbox, flow, AT_ONCE);
    return flow;
}

struct out_flow *out_flow_get(struct outbox *outbox, const struct node_id *recipient,
                              uint8_t relays_exact, bool strict, uint8_t shards_k,
                              uint8_t shards_m) {
    struct wanted wanted = {relays_exact, shards_k, shards_m, strict, false};
    return flow_get(outbox, recipient, &wanted);
}

struct out_flow *out_flow_get_kept(struct outbox *outbox, const struct node_id *recipient) {
    return flow_get(outbox, recipient, &kept);
}

struct out_flow *out_flow_find_kept(const struct outbox *outbox, const struct node_id *recipient) {
    return flow_find(outbox, recipient, &kept);
}

void out_flow_free(struct outbox *outbox, struct out_flow *flow) {
    out_mail_forget(outbox, flow);
    keep_round_trip(outbox, flow);
    while (!TAILQ_EMPTY(&flow->parcels))
        out_parcel_drop(outbox, TAILQ_FIRST(&flow->parcels));
    for (unsigned i = 0; i < flow->n_slots; i++)
        path_free(flow->slots[i].path);
    out_silent_forget(flow);
    if (flow->running)
        TAILQ_REMOVE(&outbox->run, flow, run);
    if (flow->is_unready)
        TAILQ_REMOVE(&outbox->unready, flow, unready);
    if (TAILQ_EMPTY(&outbox->unready))
        outbox->ready_at = MONO_NEVER;
    timers_clear(&outbox->timers, &flow->timer);
    table_remove(&outbox->flows, &flow->by_recipient);
    TAILQ_REMOVE(&outbox->all_flows, flow, all);
    outbox->n_flows--;
    if (flow->is_kept)
        out_kept_give(outbox, flow_size(flow->n_slots));
    free(flow);
}

void out_flow_wake(struct outbox *outbox, struct out_flow *flow) {
    if (flow->running)
        return;
    flow->running = true;
    TAILQ_INSERT_TAIL(&outbox->run, flow, run);
}

void out_flow_enqueue(struct outbox *outbox, struct out_flow *flow, struct out_message *message) {
    out_message_queue(out_queue_of(message), message);
    out_flow_wake(outbox, flow);
}

bool out_flow_is_silent(const struct out_flow *flow) {
    const struct out_parcel *first = TAILQ_FIRST(&flow->parcels);
    return first && first->timeouts > OUTBOX_FAST_RESENDS;
}

void out_flow_rest(struct outbox *outbox, struct out_flow *flow, struct mono now) {
    int64_t longer = flow->rest_us * 2;
    if (!mono_is_due(flow->rest_until, now))
        return; /* what was on its way together is refused together: that counts once */
    flow->rest_us = longer < OUTBOX_REST_MIN_US   ? OUTBOX_REST_MIN_US
                    : longer > OUTBOX_REST_MAX_US ? OUTBOX_REST_MAX_US
                                                  : longer;
    int64_t jitter = (int64_t)random_below(&outbox->config.random, (uint64_t)flow->rest_us / 2);
    flow->rest_until = mono_add(now, flow->rest_us * 3 / 4 + jitter);
    out_flow_wake(outbox, flow);
}

/* ---- The recipient's keys ---- */

/* Everything sealed was for keys that are over: paths and parcels begin anew. */
static void flow_rekey(struct outbox *outbox, struct out_flow *flow) {
    struct out_parcel *parcel;
    for (unsigned i = 0; i < flow->n_slots; i++)
        out_slot_retire(&flow->slots[i]);
    out_silent_forget(flow);
    TAILQ_FOREACH(parcel, &flow->parcels, link) {
        if (parcel->state == OUT_SEALED)
            out_parcel_empty(outbox, parcel);
        parcel->timeouts = 0;
        parcel->credit = OUTBOX_CREDIT_ALL;
        parcel->deadline = MONO_NEVER;
    }
}

/* False: the recipient is unknown or has no key for now. */
static bool flow_refresh_keys(struct outbox *outbox, struct out_flow *flow, struct wall wall) {
    const struct directory_entry *entry =
        directory_find(outbox->config.directory, &flow->recipient);
    int64_t epoch = wall_epoch(wall);
    struct descriptor descriptor;
    if (!entry)
        return false;
    if (flow->keyed && flow->epoch == epoch && flow->stamp == directory_stamp(entry))
        return true;
    directory_descriptor(entry, &descriptor);
    const uint8_t *key = descriptor_routing_key(&descriptor, epoch);
    if (!key)
        return false;
    if (!flow->keyed || flow->epoch != epoch || memcmp(flow->routing_key, key, KEY_LEN) != 0)
        flow_rekey(outbox, flow);
    flow->keyed = true;
    flow->epoch = epoch;
    flow->stamp = directory_stamp(entry);
    memcpy(flow->routing_key, key, KEY_LEN);
    return true;
}

struct parcel_secret *out_flow_secret(struct outbox *outbox, const struct out_flow *flow,
                                      struct mono now) {
    struct parcel_secret *secret =
        parcel_keys_find(outbox->keys, &flow->recipient, flow->stamp, flow->epoch);
    if (secret)
        return secret;
    struct parcel_peer peer = {.id = &flow->recipient,
                               .stamp = flow->stamp,
                               .epoch = flow->epoch,
                               .public_key = flow->routing_key,
                               .secret = identity_link_key(outbox->config.identity)->secret,
                               .self = &outbox->self,
                               .is_sender = false};
    outbox->keys_check = mono_min(outbox->keys_check, mono_add(now, EPOCH_US / 4));
    return parcel_keys_add(outbox->keys, &peer);
}

/* ---- Made ahead ---- */

void out_flow_expect(struct outbox *outbox, struct out_flow *flow, struct mono at) {
    outbox->ready_at = mono_min(outbox->ready_at, at);
    outbox->is_expected_now = outbox->is_expected_now || at.us == AT_ONCE.us;
    if (flow->is_unready)
        return;
    flow->is_unready = true;
    TAILQ_INSERT_TAIL(&outbox->unready, flow, unready);
}

/* The exchanges that the next parcel begins with, and a path for it. While the first message is
 * being committed there is nothing better to do. */
static void flow_make_ready(struct outbox *outbox, struct out_flow *flow, struct now now) {
    uint8_t ephemeral[KEY_LEN];
    if (!flow_refresh_keys(outbox, flow, now.wall))
        return;
    struct path_wish wish = out_flow_wish(flow);
    if (!out_flow_has_kept_path(outbox, flow, now))
        paths_expect(outbox->config.paths, &wish, now.mono);
    struct parcel_secret *secret = out_flow_secret(outbox, flow, now.mono);
    if (!secret || secret->known.has_es)
        return;
    random_fill(&outbox->config.random, ephemeral, sizeof ephemeral);
    parcel_secret_prepare(secret, flow->routing_key, ephemeral);
    sodium_memzero(ephemeral, sizeof ephemeral);
}

void out_make_ready(struct outbox *outbox, struct now now) {
    struct out_flow *flow = TAILQ_FIRST(&outbox->unready);
    bool is_busy = outbox->is_expected_now || !TAILQ_EMPTY(&outbox->run);
    outbox->is_expected_now = false;
    if (is_busy)
        return;
    if (!flow || !mono_is_due(outbox->ready_at, now.mono)) {
        paths_prepare(outbox->config.paths, now);
        return;
    }
    TAILQ_REMOVE(&outbox->unready, flow, unready);
    flow->is_unready = false;
    if (TAILQ_EMPTY(&outbox->unready))
        outbox->ready_at = MONO_NEVER;
    flow_make_ready(outbox, flow, now);
}

/* ---- Waiting ---- */

static void flow_pause(struct out_flow *flow, struct mono now, int64_t us) {
    flow->resume = mono_add(now, us);
}

/* Nobody there: those who asked for the route hear it, the rest waits for a kick or its time. */
static void flow_fail(struct outbox *outbox, struct out_flow *flow, struct mono now) {
    out_trace_none(outbox, flow);
    int64_t jitter = (int64_t)random_below(&outbox->config.random, (uint64_t)flow->retry_us / 2);
    flow_pause(flow, now, flow->retry_us * 3 / 4 + jitter);
    flow->unreachable = true;
    flow->tried = now;
    flow->retry_us =
        flow->retry_us * 2 > OUTBOX_BACKOFF_MAX_US ? OUTBOX_BACKOFF_MAX_US : flow->retry_us * 2;
}

static void flow_set_timer(struct outbox *outbox, struct out_flow *flow, struct mono now) {
    struct mono due = MONO_NEVER;
    const struct out_parcel *parcel;
    TAILQ_FOREACH(parcel, &flow->parcels, link)
        if (parcel->reads == 0) /* else the store's answer wakes us, whenever that comes */
            due = mono_min(due, parcel->deadline);
    if (!mono_is_due(flow->rest_until, now))
        due = mono_min(due, flow->rest_until);
    if (!mono_is_due(flow->resume, now))
        due = flow->resume;
    /* What was due has been done; were anything left undone, it would be no sooner for spinning. */
    if (mono_is_due(due, now))
        due = mono_add(now, SPIN_US);
    timers_set(&outbox->timers, &flow->timer, due);
}

/* ---- Sending ---- */

/* May an empty parcel be read and sealed now? One that asks into a silence waits for its time. */
static bool parcel_may_fill(const struct out_flow *flow, const struct out_parcel *parcel,
                            struct mono now) {
    if (parcel->state != OUT_EMPTY)
        return false;
    if (!out_flow_is_silent(flow))
        return true;
    return parcel == TAILQ_FIRST(&flow->parcels) &&
           (parcel->deadline.us == MONO_NEVER.us || mono_is_due(parcel->deadline, now));
}

/* One who is silent waits; and where many have much under way each may have little, so that clients
 * can still push. */
static bool flow_may_gather(const struct outbox *outbox, const struct out_flow *flow,
                            struct mono now) {
    const struct budget *budget = outbox->config.budget;
    bool many = budget->held[BUDGET_OUTBOX] >= budget->max / 4;
    return !out_flow_is_silent(flow) && (!many || flow->bytes < OUTBOX_FLIGHT_LEAST) &&
           out_may_gather(flow, now);
}

static bool flow_has_work(const struct outbox *outbox, const struct out_flow *flow,
                          struct mono now) {
    const struct out_parcel *parcel;
    TAILQ_FOREACH(parcel, &flow->parcels, link) {
        if (out_parcel_is_due(parcel))
            return true;
        if (parcel_may_fill(flow, parcel, now) ||
            (parcel->state == OUT_READING && parcel->reads == 0))
            return true;
    }
    return flow_may_gather(outbox, flow, now);
}

/* One step towards being sealed. 0, or an error that stops the flow for a while. */
static int parcel_advance(struct outbox *outbox, struct out_parcel *parcel, struct mono now) {
    int error = 0;
    if (parcel->state == OUT_READING && parcel->reads == 0) {
        error = out_parcel_finish(outbox, parcel, now);
        if (error == -EAGAIN)
            error = 0;
        else if (!error)
            parcel->deadline = mono_add(now, out_delay_us(outbox, parcel));
    }
    if (!error && parcel_may_fill(parcel->flow, parcel, now)) {
        error = out_parcel_fill(outbox, parcel);
        if (error == -ENOENT)
            return 0;
        if (!error && parcel->reads == 0)
            return parcel_advance(outbox, parcel, now);
    }
    return error;
}

static void flow_advance(struct outbox *outbox, struct out_flow *flow, struct mono now) {
    int error = 0;
    for (struct out_parcel *parcel = TAILQ_FIRST(&flow->parcels), *next; parcel && !error;
         parcel = next) {
        next = TAILQ_NEXT(parcel, link);
        error = parcel_advance(outbox, parcel, now);
    }
    while (!error && flow_may_gather(outbox, flow, now)) {
        struct out_parcel *parcel = out_parcel_gather(flow, now);
        if (!parcel)
            break;
        error = parcel_advance(outbox, parcel, now);
    }
    flow->why = error == -ENOMEM ? OUTBOX_MEMORY : error == -EINVAL ? OUTBOX_AWAY : OUTBOX_STORE;
    if (error == -ENOMEM)
        flow_pause(flow, now, MEMORY_PAUSE_US);
    else if (error)
        flow_fail(outbox, flow, now);
    else
        flow->why = OUTBOX_FLYING;
}

static void flow_trace(struct outbox *outbox, struct out_flow *flow) {
    struct out_parcel *parcel;
    TAILQ_FOREACH(parcel, &flow->parcels, link) {
        if (parcel->traced || parcel->state != OUT_SEALED || parcel->fresh == 0)
            continue;
        parcel->traced = true;
        for (size_t i = 0; i < parcel->n_items; i++)
            if (parcel->items[i].message)
                out_trace(outbox, parcel->items[i].message, flow, parcel);
    }
}

static void flow_send(struct outbox *outbox, struct out_flow *flow, struct now now) {
    int error = out_flow_send(outbox, flow, now);
    if (!error)
        out_flow_wake(outbox, flow);
    if (error == -ENOMEM)
        flow->why = OUTBOX_MEMORY;
    if (error == -EINVAL)
        flow->why = OUTBOX_AWAY;
    if (!error || error == -EAGAIN)
        return;
    if (error == -EINVAL)
        flow_fail(outbox, flow, now.mono);
    else
        flow_pause(flow, now.mono, error == -ENOMEM ? MEMORY_PAUSE_US : EGRESS_PAUSE_US);
}

/* Is it known, has it keys, and if there is something to send, is there a way? */
static bool flow_may_send(struct outbox *outbox, struct out_flow *flow, struct now now) {
    if (!flow_refresh_keys(outbox, flow, now.wall)) {
        flow->why = OUTBOX_AWAY;
        return false;
    }
    return !flow_has_work(outbox, flow, now.mono) || out_flow_has_path(outbox, flow, now);
}

static void flow_run(struct outbox *outbox, struct out_flow *flow, struct now now) {
    if (flow->n_messages == 0 && TAILQ_EMPTY(&flow->parcels)) {
        if (now.mono.us - flow->idle_since.us >= IDLE_US)
            out_flow_free(outbox, flow);
        else
            timers_set(&outbox->timers, &flow->timer, mono_add(flow->idle_since, IDLE_US));
        return;
    }
    flow->idle_since = now.mono;
    if (mono_is_due(flow->resume, now.mono)) {
        out_flow_time_out(outbox, flow, now.mono);
        if (!flow_may_send(outbox, flow, now)) {
            flow_fail(outbox, flow, now.mono);
        } else {
            flow->unreachable = false;
            flow_advance(outbox, flow, now.mono);
            flow_send(outbox, flow, now);
            flow_trace(outbox, flow);
        }
    }
    flow_set_timer(outbox, flow, now.mono);
}

/* Each whose turn it is sends a quantum; then, while packets are left, each again. */
static void run_round(struct outbox *outbox, struct now now) {
    const struct out_flow *last = TAILQ_LAST(&outbox->run, out_flows);
    for (bool more = last != NULL; more && outbox->packets_left > 0;) {
        struct out_flow *flow = TAILQ_FIRST(&outbox->run);
        more = flow != last;
        TAILQ_REMOVE(&outbox->run, flow, run);
        flow->running = false;
        flow_run(outbox, flow, now);
    }
}

void out_run(struct outbox *outbox, struct now now) {
    for (struct timer *timer; (timer = timers_take(&outbox->timers, now.mono));)
        out_flow_wake(outbox, table_entry(timer, struct out_flow, timer));
    outbox->packets_left = PACKETS_A_TICK;
    for (unsigned round = 0; round < PACKETS_A_TICK / OUTBOX_QUANTUM; round++)
        run_round(outbox, now);
}

static void kick(struct outbox *outbox, struct out_flow *flow, bool always, struct mono now) {
    struct mono again = mono_add(flow->tried, KICK_US);
    if (again.us < now.us)
        again = now;
    if (flow->unreachable)
        flow->resume = again;
    else if (out_flow_is_silent(flow)) {
        struct out_parcel *first = TAILQ_FIRST(&flow->parcels);
        first->deadline = again;
        first->pressed = PRESSED;
    } else if (!always)
        return;
    out_flow_wake(outbox, flow);
}

void outbox_kick(struct outbox *outbox, const struct node_id *recipient, struct mono now) {
    struct out_flow *flow;
    if (!recipient) {
        TAILQ_FOREACH(flow, &outbox->all_flows, all)
            kick(outbox, flow, false, now);
        return;
    }
    uint64_t hash = table_hash(&outbox->flows, recipient, sizeof *recipient);
    for (struct table_link *link = table_first(&outbox->flows, hash); link;
         link = table_next(link)) {
        flow = table_entry(link, struct out_flow, by_recipient);
        if (node_id_is_equal(recipient, &flow->recipient))
            kick(outbox, flow, true, now);
    }
}
