/* The entries: what enters, what is refused, what goes; digests.
 *
 * Threat: most of this is chosen by strangers. Ids can be ground to share a bucket or a prefix, any
 * address and name can be claimed by thousands: tables are keyed, an entry's cost is fixed, entries
 * that links lead to from us are never evicted for newcomers. */
#include "daemon/core/base/wirebuf.h"
#include "daemon/core/directory/directory_private.h"

#include <assert.h>
#include <errno.h>

static unsigned bucket_of(uint64_t prefix) {
    return (unsigned)(prefix >> 56);
}

static struct version version_of(const struct directory_entry *entry) {
    struct version version = {.sequence = entry->sequence};

    memcpy(version.tag, entry->tag, sizeof version.tag);
    return version;
}

/* ---- Records ---- */

static struct record *find_id(const struct directory *directory, const struct node_id *id) {
    struct record *record = directory_record(directory, node_id_prefix(id));

    return record && node_id_is_equal(&record->entry.id, id) ? record : NULL;
}

static void mark_again(struct directory *directory, struct record *record) {
    struct descriptor descriptor;

    directory_descriptor(&record->entry, &descriptor);
    directory_mark(directory, record, &descriptor);
}

struct acquaintance *directory_acquaintance(struct record *record) {
    if (!record->entry.acquaintance)
        record->entry.acquaintance = calloc(1, sizeof *record->entry.acquaintance);
    return (struct acquaintance *)record->entry.acquaintance;
}

/* Digests are XORs, so the same operation adds a part and takes it away. */
void directory_count_entry(struct directory *directory, const struct record *record, bool add) {
    directory->digest[bucket_of(record->entry.prefix)] ^= directory_digest_part(record);
    if (record->entry.relay)
        directory->n_relays += add ? 1 : (size_t)-1;
}

static void enliven(struct directory *directory, struct record *record) {
    struct record **head = &directory->buckets[bucket_of(record->entry.prefix)];

    directory_swap(directory, record->position, directory->n_live++);
    record->bucket_next = *head;
    record->bucket_at = head;
    if (*head)
        (*head)->bucket_at = &record->bucket_next;
    *head = record;
    record->entry.live = true;
    directory_count_entry(directory, record, true);
}

/* Leaving the bucket's list must not walk it: it may hold the whole network, if somebody chose ids
 * for that. */
static void retire(struct directory *directory, struct record *record) {
    if (record->entry.convicted)
        directory_absolve(directory, record);
    directory_unlist_settling(directory, record);
    directory_count_entry(directory, record, false);
    record->entry.live = false;
    *record->bucket_at = record->bucket_next;
    if (record->bucket_next)
        record->bucket_next->bucket_at = record->bucket_at;
    if (record->reached)
        directory_swap(directory, record->position, --directory->n_reached);
    else
        directory->n_lost -= record->met;
    record->reached = record->met = false;
    directory_swap(directory, record->position, --directory->n_live);
    topology_remove(directory->topology, record->entry.prefix);
}

static struct record *record_new(struct directory *directory, const struct node_id *id) {
    if (directory->n_records == directory->capacity) {
        size_t capacity = directory->capacity + directory->capacity / 4 + 16;
        struct record **records =
            reallocarray(directory->records, capacity, sizeof(struct record *));
        if (!records)
            return NULL;
        directory->records = records;
        directory->capacity = capacity;
    }
    struct record *record = directory_map_reserve(directory) ? calloc(1, sizeof *record) : NULL;
    if (!record)
        return NULL;
    record->entry.id = *id;
    record->entry.prefix = node_id_prefix(id);
    record->position = (uint32_t)directory->n_records++;
    directory->records[record->position] = record;
    directory_map_add(directory, record);
    return record;
}

void directory_forget(struct directory *directory, struct record *record) {
    if (record->entry.live)
        retire(directory, record);
    directory->n_kept -= record->entry.kept;
    directory_swap(directory, record->position, directory->n_records - 1);
    directory_map_delete(directory, record);
    directory->n_records--;
    directory_unmark(directory, record);
    free((uint8_t *)record->entry.bytes);
    free((struct acquaintance *)record->entry.acquaintance);
    free(record);
}

static void link_claims(struct directory *directory, const struct descriptor *descriptor,
                        bool routes) {
    uint64_t prefixes[DESCRIPTOR_NEIGHBOURS_MAX];

    for (size_t i = 0; i < descriptor->n_neighbours; i++)
        prefixes[i] = descriptor->neighbours[i].prefix;
    /* Without memory the node is known, and no route goes through it. */
    (void)topology_set(directory->topology, node_id_prefix(&descriptor->id), routes, prefixes,
                       descriptor->n_neighbours);
}

/* How a descriptor came: offered by others, or from our own store. */
struct arrival {
    const uint8_t *bytes;
    size_t length;
    bool restored;
    struct now now;
};

static void describe(struct record *record, const struct descriptor *descriptor,
                     const uint8_t *bytes, const struct arrival *arrival) {
    struct directory_entry *entry = &record->entry;
    struct wall signed_at = {(int64_t)descriptor->sequence * US_PER_MS};

    free((uint8_t *)entry->bytes);
    entry->bytes = bytes;
    entry->length = (uint16_t)arrival->length;
    entry->sequence = descriptor->sequence;
    entry->received = arrival->now.mono;
    entry->relay = descriptor->relay && !entry->convicted;
    entry->mailbox = descriptor->mailbox && !entry->convicted;
    entry->cut_off = false;
    if (signed_at.us > entry->last_seen.us)
        entry->last_seen = signed_at;
    memcpy(entry->tag, version_tag(bytes), VERSION_TAG_LEN);
    record->until = descriptor->first_epoch + descriptor->n_epochs;
    if (entry->convicted && entry->acquaintance->proof_until > record->until)
        record->until = entry->acquaintance->proof_until;
}

/* What a version of a live entry changes beside the entry itself. */
static void publish(struct directory *directory, struct record *record,
                    const struct descriptor *descriptor, const struct arrival *arrival,
                    bool is_first, bool rekeyed) {
    if (rekeyed)
        directory_unsettle(directory, record, is_first, arrival->now);
    directory_charge(directory, record, is_first, arrival->now.mono);
    link_claims(directory, descriptor, record->entry.relay && !record->entry.unsettled);
    directory_note_named(directory, record, descriptor);
}

/* Enter a descriptor, or replace the one held of its node. NULL: no memory, and nothing has
 * changed. */
static struct record *enter(struct directory *directory, const struct descriptor *descriptor,
                            const struct arrival *arrival, bool live) {
    struct record *record = find_id(directory, &descriptor->id);
    uint8_t *copy = malloc(arrival->length);

    if (!copy)
        return NULL;
    if (!record)
        record = record_new(directory, &descriptor->id);
    if (!record) {
        free(copy);
        return NULL;
    }
    memcpy(copy, arrival->bytes, arrival->length);
    bool was_live = record->entry.live;
    bool rekeyed =
        !arrival->restored &&
        (!was_live || directory_is_rekeyed(&record->entry, descriptor, arrival->now.wall));
    if (was_live)
        directory_count_entry(directory, record, false);
    describe(record, descriptor, copy, arrival);
    if (was_live)
        directory_count_entry(directory, record, true);
    else if (live)
        enliven(directory, record);
    if (record->entry.live)
        publish(directory, record, descriptor, arrival, !was_live, rekeyed);
    if (directory_mark(directory, record, descriptor))
        directory_note_rival(directory, record, descriptor);
    return record;
}

/* ---- Life ---- */

struct directory *directory_new(const struct node_id *self, size_t max,
                                const struct core_random *random) {
    struct directory *directory = calloc(1, sizeof *directory);

    if (!directory)
        return NULL;
    directory->id = *self;
    directory->prefix = node_id_prefix(self);
    directory->max = max;
    directory->random = *random;
    directory->settle_due = MONO_NEVER;
    directory->topology = topology_new();
    if (!directory->topology || table_init(&directory->ips, random) < 0 ||
        table_init(&directory->names, random) < 0) {
        directory_free(directory);
        return NULL;
    }
    return directory;
}

void directory_free(struct directory *directory) {
    if (!directory)
        return;
    while (directory->n_records > 0)
        directory_forget(directory, directory->records[directory->n_records - 1]);
    free(directory->records);
    free(directory->settling);
    free(directory->map);
    table_deinit(&directory->ips);
    table_deinit(&directory->names);
    topology_free(directory->topology);
    free(directory);
}

struct topology *directory_topology(struct directory *directory) {
    return directory->topology;
}

bool directory_is_full(const struct directory *directory) {
    return directory->n_live >= directory->max;
}

/* ---- Entering ---- */

/* Compare epochs, not times: an epoch that others send may not fit into microseconds. */
bool directory_has_ended(uint32_t until, struct wall wall) {
    return until <= wall_epoch((struct wall){wall.us - EPOCH_GRACE_US});
}

bool directory_has_begun(int64_t epoch, struct wall wall) {
    return epoch <= wall_epoch((struct wall){wall.us + EPOCH_GRACE_US - 1});
}

static bool is_current(const struct descriptor *descriptor, struct wall wall) {
    return directory_has_begun(descriptor->first_epoch, wall) &&
           !directory_has_ended(descriptor->first_epoch + descriptor->n_epochs, wall);
}

static bool is_ahead(const struct descriptor *descriptor, struct wall wall) {
    return (int64_t)descriptor->sequence * US_PER_MS > wall.us + DESCRIPTOR_AHEAD_US;
}

/* Why a descriptor is refused, as far as can be said without checking its signature, which is
 * expensive. */
static enum drop refusal(struct directory *directory, const struct descriptor *descriptor,
                         const struct record *held, const struct arrival *arrival) {
    uint64_t prefix = node_id_prefix(&descriptor->id);

    if (descriptor->version != DESCRIPTOR_VERSION)
        return DROP_VERSION;
    /* Packets name a node by its prefix, so two nodes cannot share one: the first that comes keeps
     * it. */
    if (prefix == directory->prefix ||
        (held && !node_id_is_equal(&held->entry.id, &descriptor->id)))
        return DROP_LIMIT;
    if (is_ahead(descriptor, arrival->now.wall) || !is_current(descriptor, arrival->now.wall))
        return DROP_TIME;
    if (!held && !directory_has_room(directory, prefix, arrival->now.mono))
        return DROP_LIMIT;
    return DROP_NONE;
}

/* A descriptor with our own id. If it is later than any that we know, another run of this node
 * signed it: our disk lost the latest sequence, or our state is a copy of another node's. */
static enum directory_outcome offer_self(struct directory *directory, const struct arrival *arrival,
                                         const struct descriptor *descriptor, enum drop *ret_drop) {
    if (descriptor->version != DESCRIPTOR_VERSION ||
        descriptor->sequence <= directory->self.version.sequence ||
        descriptor->sequence <= directory->outbid)
        return DIRECTORY_OLD;
    enum drop drop = is_ahead(descriptor, arrival->now.wall)
                         ? DROP_TIME
                         : descriptor_verify(arrival->bytes, arrival->length, descriptor);
    if (drop != DROP_NONE) {
        *ret_drop = drop;
        return DIRECTORY_BAD;
    }
    directory->outbid = descriptor->sequence;
    return DIRECTORY_OLD;
}

uint64_t directory_outbid(const struct directory *directory) {
    return directory->outbid;
}

static bool is_old(const struct record *held, const struct descriptor *descriptor,
                   const struct arrival *arrival) {
    const struct directory_entry *entry = &held->entry;

    return descriptor->sequence < entry->sequence ||
           (descriptor->sequence == entry->sequence &&
            memcmp(version_tag(arrival->bytes), entry->tag, VERSION_TAG_LEN) == 0);
}

/* A second version of the sequence that is held, its signature good. Is it the one to keep? */
static bool take_second(struct directory *directory, struct record *held,
                        const struct descriptor *descriptor, const struct arrival *arrival) {
    directory_found_two(directory, held, arrival->bytes, arrival->length, descriptor,
                        arrival->now.wall);
    return memcmp(version_tag(arrival->bytes), held->entry.tag, VERSION_TAG_LEN) > 0;
}

/* Enter a descriptor against which nothing speaks, if its signature is good, too. */
static enum directory_outcome admit(struct directory *directory, struct record *held,
                                    const struct descriptor *descriptor,
                                    const struct arrival *arrival,
                                    const struct directory_entry **ret_entry, enum drop *ret_drop) {
    *ret_drop = descriptor_verify(arrival->bytes, arrival->length, descriptor);
    if (*ret_drop != DROP_NONE)
        return DIRECTORY_BAD;
    if (held && held->entry.live && descriptor->sequence == held->entry.sequence &&
        !take_second(directory, held, descriptor, arrival))
        return DIRECTORY_OLD;
    bool has_room =
        held || !directory_is_full(directory) ||
        directory_make_room(directory, node_id_prefix(&descriptor->id), arrival->now.mono);
    struct record *record = has_room ? enter(directory, descriptor, arrival, true) : NULL;
    if (!record) {
        *ret_drop = DROP_LIMIT;
        return DIRECTORY_BAD;
    }
    *ret_entry = &record->entry;
    return DIRECTORY_NEWS;
}

enum directory_outcome directory_offer(struct directory *directory, const uint8_t *bytes,
                                       size_t length, struct now now,
                                       const struct directory_entry **ret_entry,
                                       enum drop *ret_drop) {
    struct arrival arrival = {.bytes = bytes, .length = length, .now = now};
    struct descriptor descriptor;

    *ret_drop = descriptor_decode(bytes, length, &descriptor);
    if (*ret_drop != DROP_NONE)
        return DIRECTORY_BAD;
    struct record *held = directory_record(directory, node_id_prefix(&descriptor.id));
    if (node_id_is_equal(&descriptor.id, &directory->id))
        return offer_self(directory, &arrival, &descriptor, ret_drop);
    if (held && node_id_is_equal(&held->entry.id, &descriptor.id) &&
        is_old(held, &descriptor, &arrival))
        return DIRECTORY_OLD;
    *ret_drop = refusal(directory, &descriptor, held, &arrival);
    if (*ret_drop != DROP_NONE)
        return DIRECTORY_BAD;
    return admit(directory, held, &descriptor, &arrival, ret_entry, ret_drop);
}

static void note_former_pin(struct directory *directory, struct record *record,
                            const struct address *pin) {
    struct acquaintance *acquaintance = directory_acquaintance(record);
    if (!acquaintance)
        return;
    acquaintance->pin = *pin;
    mark_again(directory, record);
}

void directory_restore(struct directory *directory, const uint8_t *bytes, size_t length,
                       bool pinned, const struct address *pin, struct wall wall) {
    struct descriptor descriptor;

    if (descriptor_decode(bytes, length, &descriptor) != DROP_NONE)
        return;
    struct record *record = directory_record(directory, node_id_prefix(&descriptor.id));
    if (node_id_prefix(&descriptor.id) == directory->prefix || record)
        return; /* ours, or held already: the store has one of each */
    bool live = is_current(&descriptor, wall) && !is_ahead(&descriptor, wall) &&
                !directory_is_full(directory) && descriptor.version == DESCRIPTOR_VERSION;
    struct arrival arrival = {.bytes = bytes, .length = length, .restored = true, .now.wall = wall};
    record = enter(directory, &descriptor, &arrival, live);
    if (!record)
        return;
    directory_keep(directory, &descriptor.id);
    if (pinned)
        directory_pin(directory, &descriptor.id, pin);
    else if (pin && !address_is_unspecified(pin))
        note_former_pin(directory, record, pin);
}

void directory_set_self(struct directory *directory, const uint8_t *bytes, size_t length,
                        struct mono now) {
    struct self *self = &directory->self;
    uint32_t *digest = &directory->digest[bucket_of(directory->prefix)];
    uint64_t prefixes[DESCRIPTOR_NEIGHBOURS_MAX];
    struct descriptor descriptor;

    if (descriptor_decode(bytes, length, &descriptor) != DROP_NONE)
        return;
    *digest ^= self->digest; /* 0 while there is none */
    memcpy(self->bytes, bytes, length);
    self->length = length;
    self->version.sequence = descriptor.sequence;
    memcpy(self->version.tag, version_tag(bytes), VERSION_TAG_LEN);
    self->received = now;
    self->digest = directory_tag_part(self->version.tag);
    *digest ^= self->digest;
    for (size_t i = 0; i < descriptor.n_neighbours; i++)
        prefixes[i] = descriptor.neighbours[i].prefix;
    if (!directory->has_links)
        (void)topology_set_self(directory->topology, directory->prefix, prefixes,
                                descriptor.n_neighbours);
}

void directory_set_links(struct directory *directory, const uint64_t *prefixes, size_t n) {
    directory->has_links = true;
    (void)topology_set_self(directory->topology, directory->prefix, prefixes, n);
}

size_t directory_expire(struct directory *directory, struct wall wall) {
    size_t gone = 0;

    for (size_t i = 0; i < directory->n_live;) {
        struct record *record = directory->records[i];
        if (directory->n_convicted > 0 && record->entry.convicted &&
            directory_has_ended(record->entry.acquaintance->proof_until, wall))
            directory_absolve(directory, record);
        if (!directory_has_ended(record->until, wall)) {
            i++;
            continue;
        }
        if (record->entry.kept || record->entry.pinned)
            retire(directory, record);
        else
            directory_forget(directory, record);
        gone++; /* another record has moved to this position */
    }
    return gone;
}

/* ---- Asking ---- */

const struct directory_entry *directory_find(const struct directory *directory,
                                             const struct node_id *id) {
    const struct record *record = find_id(directory, id);

    return record ? &record->entry : NULL;
}

const struct directory_entry *directory_find_prefix(const struct directory *directory,
                                                    uint64_t prefix) {
    const struct record *record = directory_record(directory, prefix);

    return record ? &record->entry : NULL;
}

void directory_descriptor(const struct directory_entry *entry, struct descriptor *ret_descriptor) {
    enum drop drop = descriptor_decode(entry->bytes, entry->length, ret_descriptor);

    assert(drop == DROP_NONE);
    (void)drop;
}

size_t directory_count(const struct directory *directory) {
    return directory->n_live;
}

size_t directory_relays(const struct directory *directory) {
    return directory->n_relays;
}

const struct directory_entry *directory_at(const struct directory *directory, size_t i) {
    return i < directory->n_live ? &directory->records[i]->entry : NULL;
}

size_t directory_known(const struct directory *directory) {
    return directory->n_records;
}

const struct directory_entry *directory_known_at(const struct directory *directory, size_t i) {
    return i < directory->n_records ? &directory->records[i]->entry : NULL;
}

const struct directory_entry *directory_random(const struct directory *directory) {
    if (directory->n_live == 0)
        return NULL;
    return directory_at(directory, random_below(&directory->random, directory->n_live));
}

size_t directory_reached(const struct directory *directory) {
    return directory->n_reached;
}

size_t directory_lost(const struct directory *directory) {
    return directory->n_lost;
}

const struct directory_entry *directory_random_of(const struct directory *directory, bool reached) {
    size_t first = reached ? 0 : directory->n_reached,
           n = reached ? directory->n_reached : directory->n_live - directory->n_reached;

    return n > 0 ? directory_at(directory, first + random_below(&directory->random, n)) : NULL;
}

/* ---- What we learn of an entry otherwise ---- */

struct look {
    struct directory *directory;
    struct wall wall;
};

static void see(void *context, uint64_t prefix) {
    const struct look *look = context;
    struct record *record = directory_record(look->directory, prefix);
    if (!record || !record->entry.live)
        return;
    record->entry.cut_off = false;
    record->entry.last_seen = look->wall;
}

void directory_look_around(struct directory *directory, struct wall wall) {
    struct look look = {directory, wall};

    for (size_t i = 0; i < directory->n_records; i++)
        directory->records[i]->entry.cut_off = true;
    if (!topology_visit_reached(directory->topology, see, &look))
        for (size_t i = 0; i < directory->n_records; i++)
            directory->records[i]->entry.cut_off = false; /* nothing was learnt */
}

/* Any other node that we met at this address has left it: only one can be there. */
static void displace(struct directory *directory, const struct record *record,
                     const struct address *address) {
    struct table_link *link =
        table_first(&directory->ips, directory_known_hash(directory, address));

    while (link) {
        struct record *other = directory_owner(link);
        link = table_next(link);
        struct acquaintance *known = (struct acquaintance *)other->entry.acquaintance;
        if (other == record || !known || !known->handshaken ||
            !address_is_equal(&known->handshake_address, address))
            continue;
        known->handshaken = false;
        mark_again(directory, other); /* frees its own marks; `link` is of another record */
    }
}

void directory_handshaken(struct directory *directory, const struct node_id *id,
                          const struct address *address, struct now now) {
    struct record *record = find_id(directory, id);
    struct acquaintance *acquaintance = record ? directory_acquaintance(record) : NULL;

    if (!acquaintance)
        return;
    displace(directory, record, address);
    acquaintance->linked &=
        acquaintance->handshaken && address_is_equal(&acquaintance->handshake_address, address);
    acquaintance->handshaken = true;
    acquaintance->handshake_address = *address;
    acquaintance->met = now.mono;
    if (now.wall.us > record->entry.last_seen.us)
        record->entry.last_seen = now.wall;
    mark_again(directory, record);
}

void directory_set_linked(struct directory *directory, const struct node_id *id, bool linked,
                          struct mono now) {
    struct record *record = find_id(directory, id);
    struct acquaintance *acquaintance =
        record ? (struct acquaintance *)record->entry.acquaintance : NULL;

    if (!acquaintance || acquaintance->linked == linked)
        return;
    acquaintance->linked = linked;
    acquaintance->met = now;
}

void directory_keep(struct directory *directory, const struct node_id *id) {
    struct record *record = find_id(directory, id);

    /* Correspondents may be strangers who wrote to us: bounded like the rest. */
    if (!record || record->entry.kept || directory->n_kept >= directory->max)
        return;
    record->entry.kept = true;
    directory->n_kept++;
}

void directory_pin(struct directory *directory, const struct node_id *id,
                   const struct address *address) {
    struct record *record = find_id(directory, id);
    struct acquaintance *acquaintance = record ? directory_acquaintance(record) : NULL;

    if (!acquaintance)
        return;
    directory_keep(directory, id);
    record->entry.pinned = true;
    acquaintance->pin = *address;
    mark_again(directory, record);
}

/* Does a pin as the user typed it bind an address as they type it now (port 0 = the IP alone, on
 * either side)? */
static bool pin_binds(const struct address *pin, const struct address *address) {
    return address_is_same_ip(pin, address) &&
           (pin->port == 0 || address->port == 0 || pin->port == address->port);
}

void directory_unpin(struct directory *directory, const struct address *address) {
    struct table_link *link =
        table_first(&directory->ips, directory_known_hash(directory, address));

    while (link) {
        struct record *record = directory_owner(link);
        link = table_next(link);
        if (!record->entry.pinned || !pin_binds(&record->entry.acquaintance->pin, address))
            continue;
        record->entry.pinned = false;
        mark_again(directory, record); /* frees its own marks; `link` is of another record */
    }
}

/* ---- For gossip ---- */

void directory_digest(const struct directory *directory, struct mono before,
                      uint32_t ret_digest[DIRECTORY_BUCKETS]) {
    memcpy(ret_digest, directory->digest, sizeof directory->digest);
    if (before.us == MONO_NEVER.us)
        return;
    if (directory->self.received.us >= before.us)
        ret_digest[bucket_of(directory->prefix)] ^= directory->self.digest;
    for (size_t i = 0; i < directory->n_live; i++) {
        const struct record *record = directory->records[i];
        if (record->entry.received.us >= before.us)
            ret_digest[bucket_of(record->entry.prefix)] ^= directory_digest_part(record);
    }
}

void directory_visit_bucket(const struct directory *directory, unsigned bucket,
                            directory_visitor *visit, void *context) {
    if (bucket_of(directory->prefix) == bucket && directory->self.length > 0 &&
        !visit(context, directory->prefix, &directory->self.version, NULL))
        return;
    for (const struct record *record = directory->buckets[bucket]; record;
         record = record->bucket_next) {
        const struct directory_entry *entry = &record->entry;
        struct version version = version_of(entry);
        if (!visit(context, entry->prefix, &version,
                   entry->convicted ? entry->acquaintance->proof : NULL))
            return;
    }
}

const uint8_t *directory_bytes(const struct directory *directory, uint64_t prefix,
                               size_t *ret_length, struct version *ret_version) {
    const struct record *record = directory_record(directory, prefix);

    if (prefix == directory->prefix && directory->self.length > 0) {
        *ret_length = directory->self.length;
        *ret_version = directory->self.version;
        return directory->self.bytes;
    }
    if (!record || !record->entry.live)
        return NULL;
    *ret_length = record->entry.length;
    *ret_version = version_of(&record->entry);
    return record->entry.bytes;
}
