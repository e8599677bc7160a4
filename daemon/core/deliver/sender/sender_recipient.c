/* Recipients: made, found, freed, and their keys. Threat: a recipient may come back with other
 * keys; what strangers left here for it goes by a recipient of its own, charged to BUDGET_KEPT. */
#include "daemon/core/deliver/sender/sender_private.h"

static const struct mono AT_ONCE = {0};

/* ---- Making and finding ---- */

static bool is_like(const struct sender_route *one, const struct sender_route *other) {
    return node_id_is_equal(&one->to, &other->to) && one->relays_exact == other->relays_exact &&
           one->strict == other->strict && one->shards_k == other->shards_k &&
           one->shards_m == other->shards_m && one->is_kept == other->is_kept;
}

struct sender_route sender_route_kept(const struct node_id *to) {
    return (struct sender_route){.to = *to, .relays_exact = RELAYS_DEFAULT, .is_kept = true};
}

struct recipient *sender_find(const struct sender *sender, const struct sender_route *route) {
    uint64_t hash = table_hash(&sender->recipients, &route->to, sizeof route->to);
    struct recipient *recipient;
    TABLE_FIND(recipient, &sender->recipients, hash, by_id, is_like(&recipient->route, route));
    return recipient;
}

static unsigned count_subflows(const struct sender_route *route) {
    unsigned n =
        route->shards_k == 0 ? SENDER_SUBFLOWS : (unsigned)route->shards_k + route->shards_m;
    return n > SENDER_SUBFLOWS_MAX ? SENDER_SUBFLOWS_MAX : n;
}

size_t sender_recipient_size(const struct sender_route *route) {
    return sizeof(struct recipient) +
           count_subflows(route) * (sizeof(struct subflow) + sizeof(struct window));
}

struct budget_part *sender_part(struct sender *sender, const struct sender_route *route) {
    struct messages *messages = sender->config.messages;
    return route->is_kept ? &messages->kept : &messages->own;
}

static bool has_room(struct sender *sender, const struct sender_route *route) {
    return budget_part_has_room(sender_part(sender, route),
                                sender_recipient_size(route) + BUDGET_HEAP_EXTRA);
}

static struct recipient *recipient_new(struct sender *sender, const struct sender_route *route) {
    unsigned n = count_subflows(route);
    struct recipient *recipient = calloc(1, sender_recipient_size(route));
    if (!recipient || timers_reserve(&sender->timers, sender->n_recipients + 1)) {
        free(recipient);
        return NULL;
    }
    recipient->route = *route;
    windows_init(&recipient->windows, (struct window *)(void *)&recipient->subflows[n], n);
    backoff_init(recipient);
    recipient->idle_since = (struct mono){INT64_MIN / 2};
    TAILQ_INIT(&recipient->shorts);
    TAILQ_INIT(&recipient->longs);
    TAILQ_INIT(&recipient->again);
    TAILQ_INIT(&recipient->parcels);
    sender_paths_init(recipient);
    table_add(&sender->recipients, &recipient->by_id,
              table_hash(&sender->recipients, &route->to, sizeof route->to));
    TAILQ_INSERT_TAIL(&sender->all, recipient, all);
    sender->n_recipients++;
    budget_part_take(sender_part(sender, route), sender_recipient_size(route));
    return recipient;
}

struct recipient *sender_recipient_get(struct sender *sender, const struct sender_route *route,
                                       enum sender_hold hold, bool *ret_is_new) {
    struct recipient *recipient = sender_find(sender, route);
    *ret_is_new = !recipient;
    if (!recipient && (hold == HOLD_ANYWAY || has_room(sender, route)))
        recipient = recipient_new(sender, route);
    if (recipient && TAILQ_EMPTY(&recipient->parcels))
        sender_expect(sender, recipient, AT_ONCE);
    return recipient;
}

/* Its parcels and paths are gone already. */
void sender_recipient_free(struct sender *sender, struct recipient *recipient) {
    if (recipient->running)
        TAILQ_REMOVE(&sender->run, recipient, run);
    if (recipient->is_unready)
        TAILQ_REMOVE(&sender->unready, recipient, unready);
    if (TAILQ_EMPTY(&sender->unready))
        sender->ready_at = MONO_NEVER;
    timers_clear(&sender->timers, &recipient->timer);
    table_remove(&sender->recipients, &recipient->by_id);
    TAILQ_REMOVE(&sender->all, recipient, all);
    sender->n_recipients--;
    budget_part_give(sender_part(sender, &recipient->route),
                     sender_recipient_size(&recipient->route));
    free(recipient);
}

void sender_expect(struct sender *sender, struct recipient *recipient, struct mono at) {
    sender->ready_at = mono_min(sender->ready_at, at);
    sender->is_expected_now = sender->is_expected_now || at.us == AT_ONCE.us;
    if (recipient->is_unready)
        return;
    recipient->is_unready = true;
    TAILQ_INSERT_TAIL(&sender->unready, recipient, unready);
}

/* ---- Keys ---- */

enum sender_keys sender_keys_refresh(struct sender *sender, struct recipient *recipient,
                                     struct wall wall) {
    const struct directory_entry *entry =
        directory_find(sender->config.directory, &recipient->route.to);
    int64_t epoch = wall_epoch(wall);
    struct descriptor descriptor;
    if (!entry)
        return SENDER_NO_KEYS;
    if (recipient->keyed && recipient->epoch == epoch && recipient->stamp == directory_stamp(entry))
        return SENDER_SAME_KEYS;
    directory_descriptor(entry, &descriptor);
    const uint8_t *key = descriptor_routing_key(&descriptor, epoch);
    if (!key)
        return SENDER_NO_KEYS;
    bool is_same = recipient->keyed && recipient->epoch == epoch &&
                   memcmp(recipient->routing_key, key, KEY_LEN) == 0;
    recipient->keyed = true;
    recipient->epoch = epoch;
    recipient->stamp = directory_stamp(entry);
    memcpy(recipient->routing_key, key, KEY_LEN);
    return is_same ? SENDER_SAME_KEYS : SENDER_OTHER_KEYS;
}

struct parcel_secret *sender_secret(struct sender *sender, const struct recipient *recipient,
                                    struct mono now) {
    struct parcel_secret *secret =
        parcel_keys_find(sender->keys, &recipient->route.to, recipient->stamp, recipient->epoch);
    if (secret)
        return secret;
    struct parcel_peer peer = {.id = &recipient->route.to,
                               .stamp = recipient->stamp,
                               .epoch = recipient->epoch,
                               .public_key = recipient->routing_key,
                               .secret = identity_link_key(sender->config.identity)->secret,
                               .self = &sender->self,
                               .is_sender = false};
    sender->keys_check = mono_min(sender->keys_check, mono_add(now, EPOCH_US / 4));
    return parcel_keys_add(sender->keys, &peer);
}

/* ---- To be looked at ---- */

const struct sender_route *sender_route_of(const struct recipient *recipient) {
    return &recipient->route;
}

size_t sender_held(const struct recipient *recipient, uint64_t *ret_bytes) {
    *ret_bytes = recipient->held_bytes;
    return recipient->n_messages;
}

enum outbox_why sender_why(const struct recipient *recipient) {
    if (recipient->unreachable)
        return recipient->why;
    if (backoff_is_silent(recipient))
        return OUTBOX_SILENT;
    return recipient->why == OUTBOX_MEMORY ? OUTBOX_MEMORY : OUTBOX_FLYING;
}

bool sender_is_silent(const struct recipient *recipient) {
    return backoff_is_silent(recipient);
}

bool sender_is_unreachable(const struct recipient *recipient) {
    return recipient->unreachable;
}

struct recipient *sender_first(const struct sender *sender) {
    return TAILQ_FIRST(&sender->all);
}

struct recipient *sender_after(const struct recipient *recipient) {
    return TAILQ_NEXT(recipient, all);
}

void sender_attach(struct recipient *recipient, void *attached) {
    recipient->attached = attached;
}

void *sender_attached(const struct recipient *recipient) {
    return recipient->attached;
}

void sender_recall(struct recipient *recipient, int64_t srtt_us, int64_t rttvar_us) {
    windows_recall(&recipient->windows, srtt_us, rttvar_us);
}
