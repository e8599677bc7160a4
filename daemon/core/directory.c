/* The entries: what enters, what is refused, what goes; the indexes; digests.
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

/* ---- Marks: looking up by address and name ---- */

uint64_t directory_mark_hash(const struct directory *directory, enum mark_kind kind,
                             const void *bytes, size_t length) {
    uint8_t key[1 + NODE_NAME_MAX];

    assert(length <= NODE_NAME_MAX);
    key[0] = (uint8_t)kind;
    memcpy(key + 1, bytes, length);
    return table_hash(&directory->marks, key, 1 + length);
}

static void add_hash(uint64_t hashes[MARKS_MAX], size_t *n, uint64_t hash) {
    for (size_t i = 0; i < *n; i++)
        if (hashes[i] == hash)
            return;
    hashes[(*n)++] = hash;
}

static size_t mark_hashes(const struct directory *directory, const struct directory_entry *entry,
                          const struct descriptor *descriptor, uint64_t hashes[MARKS_MAX]) {
    struct address addresses[MARKS_MAX];
    size_t n = 0, n_addresses = descriptor->n_addresses;

    memcpy(addresses, descriptor->addresses, sizeof descriptor->addresses);
    if (entry->handshaken)
        addresses[n_addresses++] = entry->handshake_address;
    if (entry->pinned)
        addresses[n_addresses++] = entry->pin;
    for (size_t i = 0; i < n_addresses; i++)
        add_hash(hashes, &n,
                 directory_mark_hash(directory, MARK_IP, addresses[i].ip, sizeof addresses[i].ip));
    if (descriptor->name[0] != '\0')
        add_hash(
            hashes, &n,
            directory_mark_hash(directory, MARK_NAME, descriptor->name, strlen(descriptor->name)));
    return n;
}

static void unmark(struct directory *directory, struct record *record) {
    for (size_t i = 0; i < record->n_marks; i++)
        table_remove(&directory->marks, &record->marks[i].link);
    free(record->marks);
    record->marks = NULL;
    record->n_marks = 0;
}

/* Bring the marks up to date. Most descriptors change neighbours and keys alone: then nothing is
 * touched, and it is false. Without memory the entry has no marks, and is found by its id only. */
static bool mark(struct directory *directory, struct record *record,
                 const struct descriptor *descriptor) {
    uint64_t hashes[MARKS_MAX];
    size_t n = mark_hashes(directory, &record->entry, descriptor, hashes), same = 0;

    while (same < n && same < record->n_marks && record->marks[same].link.hash == hashes[same])
        same++;
    if (same == n && n == record->n_marks)
        return false;
    unmark(directory, record);
    record->marks = n > 0 ? calloc(n, sizeof *record->marks) : NULL;
    if (!record->marks)
        return true;
    for (size_t i = 0; i < n; i++) {
        record->marks[i].owner = record;
        table_add(&directory->marks, &record->marks[i].link, hashes[i]);
    }
    record->n_marks = (uint8_t)n;
    return true;
}

static void mark_again(struct directory *directory, struct record *record) {
    struct descriptor descriptor;

    directory_descriptor(&record->entry, &descriptor);
    mark(directory, record, &descriptor);
}

/* ---- Records ---- */

static uint64_t prefix_hash(const struct directory *directory, uint64_t prefix) {
    return table_hash(&directory->prefixes, &prefix, sizeof prefix);
}

static struct record *find(const struct directory *directory, uint64_t prefix) {
    struct table_link *link = table_first(&directory->prefixes, prefix_hash(directory, prefix));

    for (; link; link = table_next(link)) {
        struct record *record = table_entry(link, struct record, by_prefix);
        if (record->entry.prefix == prefix)
            return record;
    }
    return NULL;
}

static struct record *find_id(const struct directory *directory, const struct node_id *id) {
    struct record *record = find(directory, node_id_prefix(id));

    return record && node_id_is_equal(&record->entry.id, id) ? record : NULL;
}

static void put_at(struct directory *directory, struct record *record, size_t position) {
    directory->records[position] = record;
    record->position = (uint32_t)position;
}

static void swap(struct directory *directory, size_t a, size_t b) {
    struct record *at_a = directory->records[a];

    put_at(directory, directory->records[b], a);
    put_at(directory, at_a, b);
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

    swap(directory, record->position, directory->n_live++);
    record->bucket_next = *head;
    record->bucket_at = head;
    if (*head)
        (*head)->bucket_at = &record->bucket_next;
    *head = record;
    record->entry.live = true;
    count(directory, record, true);
}

static void retire(struct directory *directory, struct record *record) {
    count(directory, record, false);
    record->entry.live = false;
    *record->bucket_at = record->bucket_next;
    if (record->bucket_next)
        record->bucket_next->bucket_at = record->bucket_at;
    swap(directory, record->position, --directory->n_live);
    topology_remove(directory->topology, record->entry.prefix);
}

static struct record *record_new(struct directory *directory, const struct node_id *id) {
    if (directory->n_records == directory->capacity) {
        size_t capacity = directory->capacity ? directory->capacity * 2 : 16;
        struct record **records =
            reallocarray(directory->records, capacity, sizeof(struct record *));
        if (!records)
            return NULL;
        directory->records = records;
        directory->capacity = capacity;
    }
    struct record *record = calloc(1, sizeof *record);
    if (!record)
        return NULL;
    record->entry.id = *id;
    record->entry.prefix = node_id_prefix(id);
    put_at(directory, record, directory->n_records++);
    table_add(&directory->prefixes, &record->by_prefix,
              prefix_hash(directory, record->entry.prefix));
    return record;
}

static void record_free(struct directory *directory, struct record *record) {
    if (record->entry.live)
        retire(directory, record);
    directory->n_kept -= record->entry.kept;
    swap(directory, record->position, --directory->n_records);
    table_remove(&directory->prefixes, &record->by_prefix);
    unmark(directory, record);
    free((uint8_t *)record->entry.bytes);
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
    if (mark(directory, record, descriptor))
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
    if (!directory->topology || table_init(&directory->prefixes, random) < 0 ||
        table_init(&directory->marks, random) < 0) {
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
    table_deinit(&directory->prefixes);
    table_deinit(&directory->marks);
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
        record = find(directory, node_id_prefix(&descriptor.id));
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

void directory_restore(struct directory *directory, const uint8_t *bytes, size_t length,
                       bool pinned, const struct address *pin, struct wall wall) {
    struct descriptor descriptor;

    if (descriptor_decode(bytes, length, &descriptor) != DROP_NONE)
        return;
    struct record *record = find(directory, node_id_prefix(&descriptor.id));
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
    const struct record *record = find(directory, prefix);

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

const struct directory_entry *directory_random(const struct directory *directory) {
    if (directory->n_live == 0)
        return NULL;
    return directory_at(directory, random_below(&directory->random, directory->n_live));
}

/* ---- What we learn of an entry otherwise ---- */

void directory_handshaken(struct directory *directory, const struct node_id *id,
                          const struct address *address, struct wall now) {
    struct record *record = find_id(directory, id);

    if (!record)
        return;
    record->entry.handshaken = true;
    record->entry.handshake_address = *address;
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

    if (!record)
        return;
    directory_keep(directory, id);
    record->entry.pinned = true;
    record->entry.pin = *address;
    mark_again(directory, record);
}

/* Does a pin as the user typed it bind an address as he types it now (port 0 = the IP alone, on
 * either side)? */
static bool pin_binds(const struct address *pin, const struct address *address) {
    return address_is_same_ip(pin, address) &&
           (pin->port == 0 || address->port == 0 || pin->port == address->port);
}

void directory_unpin(struct directory *directory, const struct address *address) {
    uint64_t hash = directory_mark_hash(directory, MARK_IP, address->ip, sizeof address->ip);
    struct table_link *link = table_first(&directory->marks, hash);

    while (link) {
        struct record *record = directory_mark(link)->owner;
        link = table_next(link);
        if (!record->entry.pinned || !pin_binds(&record->entry.pin, address))
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
    const struct record *record = find(directory, prefix);

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
