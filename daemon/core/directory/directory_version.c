/* Which versions of a node count, and when: proofs that it signed two with one sequence, keys that
 * are too new to route through, the pace at which versions are taken.
 *
 * Threat: a relay that gives each neighbour different keys learns, from the key with which a packet
 * comes, in which region its sender is. Two versions with one sequence convict the relay wherever
 * they meet. The first proof that comes is kept until it ends, because a node can make any number
 * of proofs against itself, and each would go through the whole network.
 *
 * Versions with different sequences are no proof. So no route goes through a node until we have
 * held its keys for some seconds: by then they are known everywhere, and say nothing of where they
 * were known first; its former keys would tell us apart from others, too. News of a node travels no
 * faster than the node's pace allows. Whoever has used that up at some nodes and not at others
 * holds news up between them by an interval of the pace for each hop, so changed keys have to be
 * held for some intervals more. Nor may a version that comes in a handshake take a node's last
 * token: the node could use that to keep out the version that others announce.
 *
 * Only keys have to settle. What a node says of its links changes when others will, and would keep
 * honest nodes out of routes. Each node has a pace of its own, so that one which publishes too much
 * uses up nobody else's. It depends on how many nodes links lead to (directory_sharers()), not on
 * how many are known: identities are free, and thousands without links would make everybody wait
 * for minutes. */
#include "daemon/core/base/wirebuf.h"
#include "daemon/core/directory/directory_private.h"

#include <stdlib.h>

/* ---- Proofs ---- */

/* What a convicted node adds to the digest. It is the same for any proof, so that nodes which hold
 * different proofs have the same digest. */
static uint32_t part_of_proof(uint64_t prefix) {
    static const char label[] = "p2pd proof 2";
    uint8_t input[sizeof label - 1 + 8], out[crypto_generichash_BYTES_MIN];
    struct wire_writer w = wire_writer(input, sizeof input);
    struct wire_reader r = wire_reader(out, sizeof out);

    wire_put(&w, label, sizeof label - 1);
    wire_put_uint(&w, prefix, 8);
    crypto_generichash(out, sizeof out, input, sizeof input, NULL, 0);
    return (uint32_t)wire_get_uint(&r, 4);
}

uint32_t directory_tag_part(const uint8_t tag[VERSION_TAG_LEN]) {
    return (uint32_t)tag[0] << 24 | (uint32_t)tag[1] << 16 | (uint32_t)tag[2] << 8 | tag[3];
}

uint32_t directory_digest_part(const struct record *record) {
    const struct directory_entry *entry = &record->entry;
    uint32_t part = directory_tag_part(entry->tag);

    return entry->convicted ? part ^ part_of_proof(entry->prefix) : part;
}

/* Let a node serve as what its descriptor says, relay or mailbox, or as nothing if it is
 * convicted. */
static void let_serve(struct directory *directory, struct record *record) {
    struct directory_entry *entry = &record->entry;
    struct descriptor descriptor;

    directory_descriptor(entry, &descriptor);
    record->until = descriptor.first_epoch + descriptor.n_epochs;
    if (entry->convicted && entry->acquaintance->proof_until > record->until)
        record->until = entry->acquaintance->proof_until;
    entry->relay = descriptor.relay && !entry->convicted;
    entry->mailbox = descriptor.mailbox && !entry->convicted;
    topology_set_relay(directory->topology, entry->prefix, entry->relay && !entry->unsettled);
}

/* False: no memory; the proof comes again when digests differ. */
static bool convict(struct directory *directory, struct record *record,
                    const uint8_t bytes[PROOF_LEN], uint32_t until) {
    struct acquaintance *acquaintance = directory_acquaintance(record);
    uint8_t *copy = acquaintance ? malloc(PROOF_LEN) : NULL;

    if (!copy)
        return false;
    memcpy(copy, bytes, PROOF_LEN);
    directory_count_entry(directory, record, false);
    free((uint8_t *)acquaintance->proof);
    acquaintance->proof = copy;
    directory->n_convicted += !record->entry.convicted;
    acquaintance->proof_until = until;
    record->entry.convicted = true;
    let_serve(directory, record);
    directory_count_entry(directory, record, true);
    directory->convictions++;
    if (directory->n_untold < UNTOLD_MAX)
        directory->untold[directory->n_untold++] = record->entry.prefix;
    return true;
}

void directory_absolve(struct directory *directory, struct record *record) {
    struct acquaintance *acquaintance = directory_acquaintance(record);

    directory_count_entry(directory, record, false);
    free((uint8_t *)acquaintance->proof);
    acquaintance->proof = NULL;
    record->entry.convicted = false;
    directory->n_convicted--;
    let_serve(directory, record);
    directory_count_entry(directory, record, true);
}

/* Would a proof that lasts until this epoch be taken? It has to outlast the one held, and that must
 * have no more than an hour to go: so no more than two proofs a node go through the network at
 * once, and one more an hour. */
static bool adds(const struct record *record, uint32_t until, struct wall wall) {
    uint32_t held = record->entry.convicted ? record->entry.acquaintance->proof_until : 0;

    return until > held && held <= wall_epoch(wall) + 1;
}

void directory_found_two(struct directory *directory, struct record *record, const uint8_t *bytes,
                         size_t length, const struct descriptor *descriptor, struct wall wall) {
    const struct directory_entry *entry = &record->entry;
    struct descriptor_seal held, other;
    struct descriptor first;
    uint8_t proof[PROOF_LEN];

    directory_descriptor(entry, &first);
    proof_seal(entry->bytes, entry->length, &first, &held);
    proof_seal(bytes, length, descriptor, &other);
    uint32_t until = held.until > other.until ? held.until : other.until;
    if (!adds(record, until, wall) || memcmp(held.hash, other.hash, sizeof held.hash) == 0)
        return; /* nothing new, or the same content signed twice */
    proof_write(&entry->id, entry->sequence, &held, &other, proof);
    (void)convict(directory, record, proof, until);
}

/* May a proof end in this epoch: has that not passed, and could a descriptor have keys until then?
 * A proof must not outlive the keys that it is about. */
static bool is_timely(uint32_t until, struct wall wall) {
    return !directory_has_ended(until, wall) &&
           directory_has_begun((int64_t)until - EPOCHS_PUBLISHED, wall);
}

static enum directory_outcome weigh(const struct directory *directory, const struct proof *proof,
                                    struct wall wall, enum drop *ret_drop) {
    const struct record *record = directory_record(directory, node_id_prefix(&proof->id));
    uint32_t until = proof_until(proof);
    bool is_own = node_id_is_equal(&proof->id, &directory->id), is_new;

    *ret_drop = is_timely(until, wall) ? DROP_NONE : DROP_TIME;
    if (*ret_drop == DROP_NONE && !is_own &&
        (!record || !record->entry.live || !node_id_is_equal(&record->entry.id, &proof->id)))
        *ret_drop = DROP_UNKNOWN;
    if (*ret_drop != DROP_NONE)
        return DIRECTORY_BAD;
    is_new = is_own ? until > directory->self.proof_until : adds(record, until, wall);
    return is_new ? DIRECTORY_NEWS : DIRECTORY_OLD;
}

enum directory_outcome directory_weigh_proof(const struct directory *directory,
                                             const uint8_t bytes[PROOF_LEN], struct wall wall,
                                             enum drop *ret_drop) {
    struct proof proof;

    *ret_drop = proof_read(bytes, &proof);
    return *ret_drop == DROP_NONE ? weigh(directory, &proof, wall, ret_drop) : DIRECTORY_BAD;
}

enum directory_outcome directory_take_proof(struct directory *directory,
                                            const uint8_t bytes[PROOF_LEN], struct wall wall,
                                            enum drop *ret_drop) {
    struct proof proof;

    *ret_drop = proof_read(bytes, &proof);
    if (*ret_drop != DROP_NONE)
        return DIRECTORY_BAD;
    enum directory_outcome outcome = weigh(directory, &proof, wall, ret_drop);
    if (outcome != DIRECTORY_NEWS)
        return outcome;
    *ret_drop = proof_verify(&proof);
    if (*ret_drop != DROP_NONE)
        return DIRECTORY_BAD;
    if (node_id_is_equal(&proof.id, &directory->id)) {
        directory->self.proof_until = proof_until(&proof);
        return DIRECTORY_OLD; /* we pass on no proof against ourselves */
    }
    struct record *record = directory_record(directory, node_id_prefix(&proof.id));
    if (convict(directory, record, bytes, proof_until(&proof)))
        return DIRECTORY_NEWS;
    *ret_drop = DROP_LIMIT;
    return DIRECTORY_BAD;
}

const uint8_t *directory_proof(const struct directory *directory, uint64_t prefix) {
    const struct record *record = directory_record(directory, prefix);

    return record && record->entry.convicted ? record->entry.acquaintance->proof : NULL;
}

bool directory_next_proof(struct directory *directory, uint64_t *ret_prefix) {
    while (directory->n_untold > 0) {
        uint64_t prefix = directory->untold[--directory->n_untold];
        if (!directory_proof(directory, prefix))
            continue;
        *ret_prefix = prefix;
        return true;
    }
    return false;
}

uint64_t directory_convictions(const struct directory *directory) {
    return directory->convictions;
}

bool directory_is_doubled(const struct directory *directory, struct wall wall) {
    return directory->self.proof_until > 0 &&
           !directory_has_ended(directory->self.proof_until, wall);
}

/* ---- Settling ---- */

bool directory_is_rekeyed(const struct directory_entry *entry, const struct descriptor *descriptor,
                          struct wall wall) {
    struct descriptor held;

    directory_descriptor(entry, &held);
    for (int64_t epoch = wall_epoch(wall); epoch <= wall_epoch(wall) + 1; epoch++) {
        const uint8_t *key = descriptor_routing_key(descriptor, epoch),
                      *before = descriptor_routing_key(&held, epoch);
        if (key && (!before || memcmp(key, before, KEY_LEN) != 0))
            return true;
    }
    return false;
}

/* The time between two versions of a node in the long run. */
static int64_t interval_us(size_t sharers) {
    int64_t interval = PACE_NODE_US * (int64_t)sharers;

    return interval > PACE_MIN_US ? interval : PACE_MIN_US;
}

/* How long news of a reached node may take to be everywhere, if its tokens are used up and each is
 * taken as soon as it comes back. */
static int64_t news_time(const struct directory *directory) {
    return NEWS_HOPS * interval_us(directory_reached(directory));
}

static int64_t settle_time(struct record *record, struct wall wall) {
    uint8_t epoch = (uint8_t)wall_epoch(wall);
    unsigned doublings;

    if ((uint8_t)(epoch - record->rekeyed) >= 2)
        record->rekeys = 0;
    record->rekeyed = epoch;
    doublings = record->rekeys > 1 ? record->rekeys - 1u : 0;
    if (record->rekeys <= DIRECTORY_SETTLE_DOUBLINGS)
        record->rekeys++;
    return DIRECTORY_SETTLE_US << doublings;
}

static bool list_settling(struct directory *directory, const struct settling *settling) {
    if (directory->n_settling == directory->settling_capacity) {
        size_t capacity = directory->settling_capacity + directory->settling_capacity / 2 + 16;
        struct settling *list =
            reallocarray(directory->settling, capacity, sizeof *directory->settling);
        if (!list)
            return false;
        directory->settling = list;
        directory->settling_capacity = capacity;
    }
    directory->settling[directory->n_settling++] = *settling;
    directory->settle_due = mono_min(directory->settle_due, settling->due);
    return true;
}

void directory_unsettle(struct directory *directory, struct record *record, bool is_first,
                        struct now now) {
    int64_t time = settle_time(record, now.wall) + (is_first ? 0 : news_time(directory));

    directory_unlist_settling(directory, record);
    record->entry.unsettled = true;
    record->settles_first = is_first;
    (void)list_settling(
        directory, &(struct settling){record->entry.prefix, mono_add(now.mono, time), is_first});
}

static bool is_first(const struct record *record) {
    return record && record->entry.unsettled && record->settles_first && !record->entry.convicted;
}

bool directory_is_first(const struct directory *directory, uint64_t prefix) {
    return is_first(directory_record(directory, prefix));
}

static void settle_as_later(struct directory *directory, struct record *record, struct mono now) {
    record->settles_first = false;
    for (size_t i = 0; i < directory->n_settling; i++) {
        struct settling *settling = &directory->settling[i];
        if (settling->prefix != record->entry.prefix)
            continue;
        settling->is_first = false;
        settling->due = mono_add(now, DIRECTORY_SETTLE_US + news_time(directory));
    }
}

enum drop directory_show_older(struct directory *directory, const uint8_t *bytes, size_t length,
                               const struct descriptor *descriptor, struct now now) {
    struct record *record = directory_record(directory, node_id_prefix(&descriptor->id));
    const struct directory_entry *entry;
    enum drop drop;

    if (!is_first(record))
        return DROP_NONE;
    if (!node_id_is_equal(&record->entry.id, &descriptor->id))
        return DROP_UNKNOWN;
    if (descriptor->version != DESCRIPTOR_VERSION)
        return DROP_VERSION;
    if (descriptor->sequence == record->entry.sequence) { /* the two may be a proof */
        directory_offer(directory, bytes, length, now, &entry, &drop);
        return drop;
    }
    if (!directory_is_rekeyed(&record->entry, descriptor, now.wall))
        return DROP_NONE; /* the keys are the same; only its links may differ */
    drop = descriptor_verify(bytes, length, descriptor);
    if (drop == DROP_NONE)
        settle_as_later(directory, record, now.mono);
    return drop;
}

void directory_unlist_settling(struct directory *directory, struct record *record) {
    size_t i = 0;

    if (!record->entry.unsettled)
        return;
    record->entry.unsettled = false;
    while (i < directory->n_settling && directory->settling[i].prefix != record->entry.prefix)
        i++;
    if (i < directory->n_settling)
        directory->settling[i] = directory->settling[--directory->n_settling];
}

void directory_settle(struct directory *directory, struct mono now) {
    struct mono next = MONO_NEVER;
    size_t n = 0;

    if (!mono_is_due(directory->settle_due, now))
        return;
    for (size_t i = 0; i < directory->n_settling; i++) {
        struct settling settling = directory->settling[i];
        struct record *record = directory_record(directory, settling.prefix);
        if (!mono_is_due(settling.due, now)) {
            next = mono_min(next, settling.due);
            directory->settling[n++] = settling;
            continue;
        }
        record->entry.unsettled = false;
        topology_set_relay(directory->topology, settling.prefix, record->entry.relay);
    }
    directory->n_settling = n;
    directory->settle_due = next;
}

bool directory_is_settling(const struct directory *directory, uint64_t target) {
    const struct settling *settling = directory->settling;

    return directory->n_settling > 1 ||
           (directory->n_settling == 1 && (settling->prefix != target || settling->is_first));
}

struct mono directory_settle_due(const struct directory *directory) {
    return directory->n_settling > 0 ? directory->settle_due : MONO_NEVER;
}

bool directory_relays_settling(const struct directory *directory, size_t n) {
    size_t up = 0;
    bool unsettled = false;

    for (size_t i = 0; i < directory->n_live && directory->n_settling > 0; i++) {
        const struct directory_entry *entry = &directory->records[i]->entry;
        if (!entry->relay || !directory_is_up(directory, entry))
            continue;
        up++;
        unsettled |= entry->unsettled;
    }
    return unsettled && up > n;
}

/* ---- Pace ---- */

/* Each entry has a token bucket, kept as the time at which it would be full again (GCRA), in units
 * of 65.5 ms. 32 bits of these wrap after nine years, so times are compared by their difference. */
static uint32_t ticks_of(struct mono t) {
    return (uint32_t)((uint64_t)t.us >> 16);
}

static uint32_t pace_interval(size_t sharers) {
    return ticks_of((struct mono){interval_us(sharers)});
}

static uint32_t pace_burst(size_t sharers) {
    size_t burst = 128 * PACE_BURST_SMALL / (sharers + 1);

    if (burst > PACE_BURST_SMALL)
        return PACE_BURST_SMALL;
    return burst > PACE_BURST_LARGE ? (uint32_t)burst : PACE_BURST_LARGE;
}

void directory_charge(const struct directory *directory, struct record *record, bool is_first,
                      struct mono now) {
    size_t sharers = directory_sharers(directory, record);
    uint32_t at = ticks_of(now), interval = pace_interval(sharers),
             empty = at + pace_burst(sharers) * interval;

    if (is_first || (int32_t)(record->pace - at) < 0)
        record->pace = at;
    record->pace += interval;
    if ((int32_t)(record->pace - empty) > 0)
        record->pace =
            empty; /* nobody is in debt: the next one may be asked for an interval later */
}

void directory_repace(const struct directory *directory, struct record *record, size_t sharers,
                      struct mono now) {
    uint32_t at = ticks_of(now);
    int32_t used = (int32_t)(record->pace - at);
    int64_t next = pace_interval(directory_sharers(directory, record));

    if (used > 0)
        record->pace = at + (uint32_t)(used * next / pace_interval(sharers));
}

/* How many ticks until the bucket holds so many tokens; 0 or less: it does. */
static int64_t ticks_to(const struct directory *directory, const struct record *record,
                        unsigned tokens, struct mono now) {
    size_t sharers = directory_sharers(directory, record);
    int64_t full = (int32_t)(record->pace - ticks_of(now)),
            room = ((int64_t)pace_burst(sharers) - tokens) * pace_interval(sharers);

    return full - room;
}

struct mono directory_version_due(const struct directory *directory,
                                  const struct directory_entry *entry, struct mono now) {
    const struct record *record = directory_record(directory, entry->prefix);

    return mono_add(now, ticks_to(directory, record, 1, now) * (INT64_C(1) << 16));
}

bool directory_takes_handed(const struct directory *directory, uint64_t prefix, struct mono now) {
    const struct record *record = directory_record(directory, prefix);

    return !record || !record->entry.live || ticks_to(directory, record, 2, now) <= 0;
}
