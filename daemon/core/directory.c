/* The entries: what enters, what is refused, what goes; digests.
 *
 * Threat: most of this is chosen by strangers. Ids can be ground to share a bucket or a prefix, any
 * address and name can be claimed by thousands: tables are keyed, an entry's cost is fixed,
 * residents are never evicted for newcomers. */
#include "daemon/core/directory_private.h"
#include "daemon/core/wirebuf.h"

#include <assert.h>
#include <errno.h>

static unsigned bucket_of(uint64_t prefix) {
    return (unsigned)(prefix >> 56);
}

/* The same everywhere, for both ends of a link compare it; so not keyed. */
static uint32_t digest_hash(uint64_t prefix, uint64_t sequence) {
    static const char label[] = "p2pd digest 1";
    uint8_t input[sizeof label - 1 + 16], out[crypto_generichash_BYTES_MIN];
    struct wire_writer w = wire_writer(input, sizeof input);

    wire_put(&w, label, sizeof label - 1);
    wire_put_uint(&w, prefix, 8);
    wire_put_uint(&w, sequence, 8);
    crypto_generichash(out, sizeof out, input, sizeof input, NULL, 0);
    return (uint32_t)out[0] << 24 | (uint32_t)out[1] << 16 | (uint32_t)out[2] << 8 | out[3];
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

/* NULL: no memory. */
static struct acquaintance *acquaintance_of(struct record *record) {
    if (!record->entry.acquaintance)
        record->entry.acquaintance = calloc(1, sizeof *record->entry.acquaintance);
    return (struct acquaintance *)record->entry.acquaintance;
}

/* A live entry's part in the sums: added and taken away by the same act, the one as it is, the
 * other as it was. */
static void count(struct directory *directory, const struct record *record, bool add) {
    directory->digest[bucket_of(record->entry.prefix)] ^= record->hash;
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
    count(directory, record, true);
}

/* A bucket holds a 256th of the network, or all of it if somebody made his ids so: no walk. */
static void retire(struct directory *directory, struct record *record) {
    count(directory, record, false);
    record->entry.live = false;
    *record->bucket_at = record->bucket_next;
    if (record->bucket_next)
        record->bucket_next->bucket_at = record->bucket_at;
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

static void record_free(struct directory *directory, struct record *record) {
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

static void link_claims(struct directory *directory, const struct descriptor *descriptor) {
    uint64_t prefixes[DESCRIPTOR_NEIGHBOURS_MAX];

    for (size_t i = 0; i < descriptor->n_neighbours; i++)
        prefixes[i] = descriptor->neighbours[i].prefix;
    /* Without memory the node is known, and no route goes through it. */
    (void)topology_set(directory->topology, node_id_prefix(&descriptor->id), descriptor->relay,
                       prefixes, descriptor->n_neighbours);
}

static void describe(struct record *record, const struct descriptor *descriptor,
                     const uint8_t *bytes, size_t length, struct mono now) {
    struct directory_entry *entry = &record->entry;
    struct wall signed_at = {(int64_t)descriptor->sequence * US_PER_MS};

    free((uint8_t *)entry->bytes);
    entry->bytes = bytes;
    entry->length = (uint16_t)length;
    entry->sequence = descriptor->sequence;
    entry->received = now;
    entry->relay = descriptor->relay;
    entry->mailbox = descriptor->mailbox;
    entry->cut_off = false;
    if (signed_at.us > entry->last_seen.us)
        entry->last_seen = signed_at;
    record->hash = digest_hash(entry->prefix, entry->sequence);
    record->until = descriptor->first_epoch + descriptor->n_epochs;
}

/* Enter, or replace what is held of this node. NULL: no memory, and nothing has changed. */
static struct record *enter(struct directory *directory, const struct descriptor *descriptor,
                            const uint8_t *bytes, size_t length, struct mono now, bool live) {
    struct record *record = find_id(directory, &descriptor->id);
    uint8_t *copy = malloc(length);

    if (!copy)
        return NULL;
    if (!record)
        record = record_new(directory, &descriptor->id);
    if (!record) {
        free(copy);
        return NULL;
    }
    memcpy(copy, bytes, length);
    if (record->entry.live)
        count(directory, record, false);
    describe(record, descriptor, copy, length, now);
    if (record->entry.live)
        count(directory, record, true);
    else if (live)
        enliven(directory, record);
    if (record->entry.live)
        link_claims(directory, descriptor);
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
        record_free(directory, directory->records[directory->n_records - 1]);
    free(directory->records);
    free(directory->map);
    table_deinit(&directory->ips);
    table_deinit(&directory->names);
    topology_free(directory->topology);
    free(directory);
}

struct topology *directory_topology(struct directory *directory) {
    return directory->topology;
}

uint64_t directory_self(const struct directory *directory) {
    return directory->prefix;
}

bool directory_is_full(const struct directory *directory) {
    return directory->n_live >= directory->max;
}

/* ---- Entering ---- */

static bool has_ended(uint32_t until, struct wall wall) {
    return until * EPOCH_US + EPOCH_GRACE_US <= wall.us;
}

static bool is_current(const struct descriptor *descriptor, struct wall wall) {
    return descriptor->first_epoch * EPOCH_US - EPOCH_GRACE_US < wall.us &&
           !has_ended(descriptor->first_epoch + descriptor->n_epochs, wall);
}

static bool is_ahead(const struct descriptor *descriptor, struct wall wall) {
    return (int64_t)descriptor->sequence * US_PER_MS > wall.us + DESCRIPTOR_AHEAD_US;
}

/* What can be said against it before its signature is paid for. */
static enum drop refusal(const struct directory *directory, const struct descriptor *descriptor,
                         const struct record *held, struct wall wall) {
    uint64_t prefix = node_id_prefix(&descriptor->id);

    /* Packets name a node by its prefix: the first to have it keeps it, as a resident keeps its
     * place. */
    if (prefix == directory->prefix ||
        (held && !node_id_is_equal(&held->entry.id, &descriptor->id)))
        return DROP_LIMIT;
    if (is_ahead(descriptor, wall) || !is_current(descriptor, wall))
        return DROP_TIME;
    if (!held && directory_is_full(directory))
        return DROP_LIMIT;
    return DROP_NONE;
}

/* One of ours. A later one than we know of is of another life: its sequence was lost with the disk's last words, or our state is
 * a copy of it. */
static enum directory_outcome offer_self(struct directory *directory, const uint8_t *bytes,
                                         size_t length, const struct descriptor *descriptor,
                                         struct wall wall, enum drop *ret_drop) {
    if (descriptor->sequence <= directory->self.sequence ||
        descriptor->sequence <= directory->outbid)
        return DIRECTORY_OLD;
    enum drop drop =
        is_ahead(descriptor, wall) ? DROP_TIME : descriptor_verify(bytes, length, &descriptor->id);
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

enum directory_outcome directory_offer(struct directory *directory, const uint8_t *bytes,
                                       size_t length, struct mono now, struct wall wall,
                                       const struct directory_entry **ret_entry,
                                       enum drop *ret_drop) {
    struct descriptor descriptor;
    enum drop drop = descriptor_decode(bytes, length, &descriptor);
    struct record *record = NULL;

    if (drop == DROP_NONE) {
        record = directory_record(directory, node_id_prefix(&descriptor.id));
        if (node_id_is_equal(&descriptor.id, &directory->id))
            return offer_self(directory, bytes, length, &descriptor, wall, ret_drop);
        if (record && node_id_is_equal(&record->entry.id, &descriptor.id) &&
            descriptor.sequence <= record->entry.sequence)
            return DIRECTORY_OLD;
        drop = refusal(directory, &descriptor, record, wall);
    }
    if (drop == DROP_NONE)
        drop = descriptor_verify(bytes, length, &descriptor.id);
    if (drop == DROP_NONE) {
        record = enter(directory, &descriptor, bytes, length, now, true);
        if (!record)
            drop = DROP_LIMIT;
    }
    if (drop != DROP_NONE) {
        *ret_drop = drop;
        return DIRECTORY_BAD;
    }
    *ret_entry = &record->entry;
    return DIRECTORY_NEWS;
}

static void note_former_pin(struct directory *directory, struct record *record,
                            const struct address *pin) {
    struct acquaintance *acquaintance = acquaintance_of(record);
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
                !directory_is_full(directory);
    record = enter(directory, &descriptor, bytes, length, (struct mono){0}, live);
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
    *digest ^= self->hash; /* 0 while there is none */
    memcpy(self->bytes, bytes, length);
    self->length = length;
    self->sequence = descriptor.sequence;
    self->received = now;
    self->hash = digest_hash(directory->prefix, self->sequence);
    *digest ^= self->hash;
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
        if (!has_ended(record->until, wall)) {
            i++;
            continue;
        }
        if (record->entry.kept || record->entry.pinned)
            retire(directory, record);
        else
            record_free(directory, record);
        gone++; /* and another stands in this place */
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

/* Whoever else was met there has left: one address is one node's. */
static void displace(struct directory *directory, const struct record *record,
                     const struct address *address) {
    struct table_link *link = table_first(&directory->ips, directory_ip_hash(directory, address));

    while (link) {
        struct record *other = directory_owner(link);
        link = table_next(link);
        struct acquaintance *known = (struct acquaintance *)other->entry.acquaintance;
        if (other == record || !known || !known->handshaken ||
            !address_is_equal(&known->handshake_address, address))
            continue;
        known->handshaken = false;
        mark_again(directory, other); /* frees this record's marks alone: the next is another's */
    }
}

void directory_handshaken(struct directory *directory, const struct node_id *id,
                          const struct address *address, struct wall now) {
    struct record *record = find_id(directory, id);
    struct acquaintance *acquaintance = record ? acquaintance_of(record) : NULL;

    if (!acquaintance)
        return;
    displace(directory, record, address);
    acquaintance->handshaken = true;
    acquaintance->handshake_address = *address;
    if (now.us > record->entry.last_seen.us)
        record->entry.last_seen = now;
    mark_again(directory, record);
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
    struct acquaintance *acquaintance = record ? acquaintance_of(record) : NULL;

    if (!acquaintance)
        return;
    directory_keep(directory, id);
    record->entry.pinned = true;
    acquaintance->pin = *address;
    mark_again(directory, record);
}

/* Does a pin as the user typed it bind an address as he types it now (port 0 = the IP alone, on
 * either side)? */
static bool pin_binds(const struct address *pin, const struct address *address) {
    return address_is_same_ip(pin, address) &&
           (pin->port == 0 || address->port == 0 || pin->port == address->port);
}

void directory_unpin(struct directory *directory, const struct address *address) {
    struct table_link *link = table_first(&directory->ips, directory_ip_hash(directory, address));

    while (link) {
        struct record *record = directory_owner(link);
        link = table_next(link);
        if (!record->entry.pinned || !pin_binds(&record->entry.acquaintance->pin, address))
            continue;
        record->entry.pinned = false;
        mark_again(directory, record); /* frees this record's marks alone: the next is another's */
    }
}

/* ---- For gossip ---- */

void directory_digest(const struct directory *directory, struct mono before,
                      uint32_t ret_digest[DIRECTORY_BUCKETS]) {
    memcpy(ret_digest, directory->digest, sizeof directory->digest);
    if (before.us == MONO_NEVER.us)
        return;
    if (directory->self.received.us >= before.us)
        ret_digest[bucket_of(directory->prefix)] ^= directory->self.hash;
    for (size_t i = 0; i < directory->n_live; i++) {
        const struct record *record = directory->records[i];
        if (record->entry.received.us >= before.us)
            ret_digest[bucket_of(record->entry.prefix)] ^= record->hash;
    }
}

void directory_visit_bucket(const struct directory *directory, unsigned bucket,
                            bool (*visit)(void *context, uint64_t prefix, uint64_t sequence),
                            void *context) {
    if (bucket_of(directory->prefix) == bucket && directory->self.length > 0 &&
        !visit(context, directory->prefix, directory->self.sequence))
        return;
    for (const struct record *record = directory->buckets[bucket]; record;
         record = record->bucket_next)
        if (!visit(context, record->entry.prefix, record->entry.sequence))
            return;
}

const uint8_t *directory_bytes(const struct directory *directory, uint64_t prefix,
                               size_t *ret_length, uint64_t *ret_sequence) {
    const struct record *record = directory_record(directory, prefix);

    if (prefix == directory->prefix && directory->self.length > 0) {
        *ret_length = directory->self.length;
        *ret_sequence = directory->self.sequence;
        return directory->self.bytes;
    }
    if (!record || !record->entry.live)
        return NULL;
    *ret_length = record->entry.length;
    *ret_sequence = record->entry.sequence;
    return record->entry.bytes;
}
