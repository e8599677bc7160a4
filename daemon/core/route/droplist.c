/* Threat: replays of old packets by a relay further up, and floods of fresh ephs that cost their
 * sender a little work and us memory. So fingerprints are keyed (nobody can aim at a bucket or at
 * another's eph), growth is bounded in all and for each neighbour, and the entries of a minute are
 * freed all at once, never searched for.
 *
 * Packets of one eph with a different way each would cost their sender and us nothing, but each
 * next hop a Diffie-Hellman and an entry. So the first packet that can be forwarded sets the way of
 * all others. Four bytes of keyed hash are enough to compare ways: whoever guesses them saves one
 * token of the ration in 2^32 tries.
 *
 * A kept eph can be used again without a Diffie-Hellman. When the kept entries fill their memory,
 * one is reduced to its fingerprint: none of its packets can come twice, but those still to come
 * are lost, and the sender draws another path. It is the oldest of the neighbour that has most: a
 * path lives for 2 s, which is less than it takes to fill the memory (60,928 entries) as long as a
 * node does fewer than some 30,000 Diffie-Hellmans a second: by default relay.paths allows 16,000.
 * (To evict ephs of one packet first was tried: a neighbour that sent
 * two packets under each eph had every path evicted that had just begun.) */
#include "daemon/core/route/droplist.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

/* At most 2 * DROPLIST_MINUTES + 1 = 7 minutes are held at once; the ring has a power of two of
 * places, so that a minute finds its place by masking. */
#define RING 8
#define NEIGHBOURS_MOST 16 /* pool.max is no larger */
static_assert(RING >= 2 * DROPLIST_MINUTES + 2 && (RING & (RING - 1)) == 0,
              "a ring that holds all minutes");

/* Each entry is charged to a neighbour, or to all former neighbours together (GONE). */
#define GONE DROPLIST_NEIGHBOURS
#define CHARGES (DROPLIST_NEIGHBOURS + 1)

/* A bucket is one cache line: five fingerprints, and for each its kept entry, in one miss. */
#define BUCKET_SLOTS 5
#define CACHE_LINE 64
#define BUCKETS_FIRST 4
struct bucket {
    uint64_t fingerprint[BUCKET_SLOTS]; /* 0: free */
    uint32_t kept[BUCKET_SLOTS];        /* reference, or NONE: evicted */
};
static_assert(sizeof(struct bucket) == CACHE_LINE, "a bucket is a cache line");

/* References to kept entries: chunk << 8 | slot, plus one. */
#define NONE 0
struct kept {
    uint8_t eph[32], prk[ONION_PRK_LEN];
    uint64_t seen[ONION_INDEX_COUNT / 64];
    uint32_t older,
        newer;    /* entries beside it in its queue; in a free entry `newer` is the next free one */
    uint32_t way; /* keyed hash of the way that all its packets take; 0: none yet */
    uint8_t place;     /* where its table is in the ring */
    uint8_t neighbour; /* that brought it */
};
static_assert(sizeof(struct kept) == 240, "a chunk is full of them");

/* A chunk takes 32 KiB of memory: seven pages of entries and the page that sodium_malloc puts
 * before them; 16 bytes are its canary. Small, so that hundreds of nodes in one process each hold
 * one; large enough that a full list takes some 500 of the 16,000 such allocations that a process
 * can have. */
#define CHUNK_BYTES (32u << 10)
#define CHUNK_PAGES_BYTES (CHUNK_BYTES - 4096u)
#define CHUNK_SLOTS 119
#define CHUNKS_MAX (DROPLIST_KEPT_BYTES / CHUNK_BYTES)
struct chunk {
    struct kept slots[CHUNK_SLOTS];
    uint32_t free; /* reference */
    uint32_t live;
};
static_assert(sizeof(struct chunk) + 16 <= CHUNK_PAGES_BYTES && sizeof(struct chunk) % 8 == 0,
              "a chunk fits its pages");

/* All ephs of a minute. Slots are filled and never emptied, so that probing needs no tombstones. */
struct table {
    int64_t minute; /* where buckets != NULL */
    struct bucket *buckets;
    void *memory; /* what to free: buckets are its first whole cache line on */
    size_t n_buckets, entries;
    uint32_t charged[CHARGES];
};

/* The kept entries that one neighbour brought, in the order in which they came. */
struct queue {
    uint32_t oldest, newest;
    uint32_t n;
};

#define WAY_WORDS (ONION_WAY_LEN / sizeof(uint32_t))
static_assert(ONION_WAY_LEN % sizeof(uint32_t) == 0, "a way is whole words");

struct droplist {
    uint8_t key[crypto_shorthash_KEYBYTES];
    uint64_t way_key[WAY_WORDS + 1];
    size_t entries_max, entries, kept;
    int64_t now, floor; /* floor: the first minute of which nothing was forgotten */
    unsigned neighbours;
    uint32_t charged[CHARGES];
    struct table ring[RING];
    struct queue queues[DROPLIST_NEIGHBOURS];
    unsigned roomy; /* no chunk before this one has room */
    unsigned n_chunks;
    struct chunk *chunks[CHUNKS_MAX];
    unsigned chunks_max; /* at most so many of `chunks` are used */
};

struct place { /* where a fingerprint stands, or the free slot where it would */
    struct table *table;
    struct bucket *bucket;
    size_t slot;
};

/* ---- Kept entries ---- */

static struct kept *kept_get(const struct droplist *list, uint32_t reference) {
    return &list->chunks[(reference - 1) >> 8]->slots[(reference - 1) & 0xff];
}

static struct queue *kept_queue(struct droplist *list, const struct kept *kept) {
    return &list->queues[kept->neighbour];
}

static void queue_append(struct droplist *list, uint32_t reference) {
    struct kept *const kept = kept_get(list, reference);
    struct queue *const queue = kept_queue(list, kept);

    kept->older = queue->newest;
    kept->newer = NONE;
    if (queue->newest != NONE)
        kept_get(list, queue->newest)->newer = reference;
    else
        queue->oldest = reference;
    queue->newest = reference;
    queue->n++;
}

static void queue_remove(struct droplist *list, uint32_t reference) {
    const struct kept *const kept = kept_get(list, reference);
    struct queue *const queue = kept_queue(list, kept);

    queue->n--;
    if (kept->older != NONE)
        kept_get(list, kept->older)->newer = kept->newer;
    else
        queue->oldest = kept->newer;
    if (kept->newer != NONE)
        kept_get(list, kept->newer)->older = kept->older;
    else
        queue->newest = kept->older;
}

static struct chunk *chunk_new(struct droplist *list, unsigned number) {
    struct chunk *const chunk = sodium_malloc(sizeof *chunk);

    if (chunk == NULL)
        return NULL;
    for (uint32_t slot = 0; slot < CHUNK_SLOTS; slot++)
        chunk->slots[slot].newer = slot + 1 < CHUNK_SLOTS ? (number << 8 | (slot + 1)) + 1 : NONE;
    chunk->free = (number << 8) + 1;
    chunk->live = 0;
    list->chunks[number] = chunk;
    list->n_chunks++;
    return chunk;
}

/* A free entry, or NONE: at the bound, or no memory. */
static uint32_t kept_allocate(struct droplist *list) {
    while (list->roomy < list->chunks_max) {
        struct chunk *chunk = list->chunks[list->roomy];

        if (chunk == NULL) {
            chunk = chunk_new(list, list->roomy);
            if (chunk == NULL)
                return NONE;
        }
        if (chunk->free != NONE) {
            const uint32_t reference = chunk->free;

            chunk->free = kept_get(list, reference)->newer;
            chunk->live++;
            list->kept++;
            return reference;
        }
        list->roomy++;
    }
    return NONE;
}

static void kept_release(struct droplist *list, uint32_t reference) {
    const unsigned number = (reference - 1) >> 8;
    struct chunk *const chunk = list->chunks[number];
    struct kept *const kept = kept_get(list, reference);

    queue_remove(list, reference);
    sodium_memzero(kept, sizeof *kept);
    kept->newer = chunk->free;
    chunk->free = reference;
    list->kept--;
    if (number < list->roomy)
        list->roomy = number;
    if (--chunk->live == 0) {
        sodium_free(chunk);
        list->chunks[number] = NULL;
        list->n_chunks--;
    }
}

/* ---- Tables ---- */

static size_t first_bucket(const struct table *table, uint64_t fingerprint) {
    /* Monotonic in the fingerprint, so that growing reads and writes in order of addresses. */
    return (size_t)((unsigned __int128)fingerprint * table->n_buckets >> 64);
}

/* True where the fingerprint is there. A table is never full. */
static bool table_probe(struct table *table, uint64_t fingerprint, struct place *ret_place) {
    for (size_t at = first_bucket(table, fingerprint);;
         at = at + 1 < table->n_buckets ? at + 1 : 0) {
        struct bucket *const bucket = &table->buckets[at];

        for (size_t slot = 0; slot < BUCKET_SLOTS; slot++) {
            const uint64_t there = bucket->fingerprint[slot];

            if (there != 0 && there != fingerprint)
                continue;
            *ret_place = (struct place){table, bucket, slot};
            return there != 0;
        }
    }
}

static void table_copy(struct table *to, const struct table *from) {
    for (size_t at = 0; at < from->n_buckets; at++) {
        const struct bucket *const bucket = &from->buckets[at];

        for (size_t slot = 0; slot < BUCKET_SLOTS && bucket->fingerprint[slot] != 0; slot++) {
            struct place place;

            table_probe(to, bucket->fingerprint[slot], &place);
            place.bucket->fingerprint[place.slot] = bucket->fingerprint[slot];
            place.bucket->kept[place.slot] = bucket->kept[slot];
        }
    }
}

/* Make room for one more: at most three quarters full. False: no memory, nothing changed. */
static bool table_reserve(struct table *table) {
    struct table grown = *table;
    uintptr_t aligned;

    if (table->buckets != NULL && (table->entries + 1) * 4 <= table->n_buckets * BUCKET_SLOTS * 3)
        return true;
    grown.n_buckets =
        table->buckets == NULL ? BUCKETS_FIRST : table->n_buckets + table->n_buckets / 2;
    grown.memory = calloc(grown.n_buckets + 1, sizeof(struct bucket));
    if (grown.memory == NULL)
        return false;
    aligned = ((uintptr_t)grown.memory + CACHE_LINE - 1) & ~(uintptr_t)(CACHE_LINE - 1);
    grown.buckets = (struct bucket *)aligned;
    if (table->buckets != NULL)
        table_copy(&grown, table);
    free(table->memory);
    *table = grown;
    return true;
}

static size_t table_bytes(const struct table *table) {
    return table->buckets == NULL ? 0 : (table->n_buckets + 1) * sizeof(struct bucket);
}

static void table_forget(struct droplist *list, struct table *table) {
    for (size_t at = 0; at < table->n_buckets; at++)
        for (size_t slot = 0; slot < BUCKET_SLOTS; slot++)
            if (table->buckets[at].kept[slot] != NONE)
                kept_release(list, table->buckets[at].kept[slot]);
    for (size_t i = 0; i < CHARGES; i++)
        list->charged[i] -= table->charged[i];
    list->entries -= table->entries;
    free(table->memory);
    memset(table, 0, sizeof *table);
}

/* ---- The list ---- */

static uint64_t fingerprint_of(const struct droplist *list, const uint8_t eph[32]) {
    uint64_t fingerprint;

    crypto_shorthash((uint8_t *)&fingerprint, eph, 32, list->key);
    return fingerprint != 0 ? fingerprint : 1; /* 0 means free */
}

/* The keyed hash of a way; 0 is for none (NULL) alone. Two different ways have the same hash under
 * one key in 2^32 (multilinear hashing: strongly universal), and the hash is disclosed to nobody.
 * It is computed for every relayed packet; SipHash would take 20 ns. */
static uint32_t way_of(const struct droplist *list, const uint8_t *way) {
    uint64_t sum = list->way_key[WAY_WORDS];

    if (way == NULL)
        return 0;
    for (size_t i = 0; i < WAY_WORDS; i++) {
        uint32_t word;

        memcpy(&word, way + 4 * i, sizeof word);
        sum += list->way_key[i] * word;
    }
    return sum >> 32 != 0 ? (uint32_t)(sum >> 32) : 1;
}

static struct table *table_of(struct droplist *list, int64_t minute) {
    return &list->ring[(uint64_t)minute % RING];
}

/* A packet's minute is known only when it has been opened, so the tables of all minutes are
 * searched, this minute's first. They are prefetched, so that this costs one cache miss. */
static bool find_place(struct droplist *list, uint64_t fingerprint, struct place *ret_place) {
    for (size_t i = 0; i < RING; i++)
        if (list->ring[i].buckets != NULL)
            __builtin_prefetch(&list->ring[i].buckets[first_bucket(&list->ring[i], fingerprint)]);
    for (int64_t ago = 0; ago < RING; ago++) {
        struct table *const table = table_of(list, list->now - ago);

        if (table->buckets != NULL && table_probe(table, fingerprint, ret_place))
            return true;
    }
    return false;
}

/* The kept entry of this eph at its place; NULL if it was evicted, or if another eph has the same
 * fingerprint (refused too). */
static struct kept *kept_of(const struct droplist *list, const struct place *place,
                            const uint8_t eph[32]) {
    const uint32_t reference = place->bucket->kept[place->slot];
    struct kept *kept;

    if (reference == NONE)
        return NULL;
    kept = kept_get(list, reference);
    return memcmp(kept->eph, eph, sizeof kept->eph) == 0 ? kept : NULL;
}

/* Must this neighbour's new ephs be refused? Half of the list is reserved in equal parts for the 16
 * neighbours that there can be, the other half is for all of them. Otherwise eight neighbours that
 * use up their eighths would leave nothing to the rest. */
static bool is_full(const struct droplist *list, unsigned neighbour) {
    const size_t own = list->entries_max / (2 * NEIGHBOURS_MOST);
    size_t common = list->charged[GONE];

    if (list->entries >= list->entries_max)
        return true;
    if (list->neighbours <= 1 || list->charged[neighbour] < own)
        return false;
    for (size_t i = 0; i < DROPLIST_NEIGHBOURS; i++)
        common += list->charged[i] > own ? list->charged[i] - own : 0;
    return list->charged[neighbour] >= droplist_share(list->entries_max) ||
           common >= list->entries_max - NEIGHBOURS_MOST * own;
}

static uint32_t oldest_of_most(const struct droplist *list) {
    const struct queue *most = &list->queues[0];

    for (size_t i = 1; i < DROPLIST_NEIGHBOURS; i++)
        if (list->queues[i].n > most->n)
            most = &list->queues[i];
    return most->oldest;
}

/* Turn a kept entry into a fingerprint and return it for another use. NONE: there is none, or no
 * memory. */
static uint32_t kept_evict(struct droplist *list) {
    const uint32_t victim = oldest_of_most(list);
    const unsigned roomy = list->roomy;
    const struct kept *kept;
    struct place place;
    uint32_t reference;

    if (victim == NONE)
        return NONE;
    kept = kept_get(list, victim);
    if (!table_probe(&list->ring[kept->place], fingerprint_of(list, kept->eph), &place))
        assert(false && "a kept entry stands in its table");
    place.bucket->kept[place.slot] = NONE;
    kept_release(list, victim);
    reference = kept_allocate(list);
    if (reference != NONE)
        list->roomy =
            roomy; /* the entry freed was taken again: the chunks before `roomy` are still full */
    return reference;
}

static uint32_t kept_new(struct droplist *list, const struct droplist_packet *packet,
                         const uint8_t prk[ONION_PRK_LEN]) {
    uint32_t reference = kept_allocate(list);
    struct kept *kept;

    if (reference == NONE)
        reference = kept_evict(list);
    if (reference == NONE)
        return NONE;
    kept = kept_get(list, reference);
    memset(kept, 0, sizeof *kept);
    memcpy(kept->eph, packet->eph, sizeof kept->eph);
    memcpy(kept->prk, prk, sizeof kept->prk);
    kept->seen[packet->index / 64] = UINT64_C(1) << (packet->index % 64);
    kept->way = way_of(list, packet->way);
    kept->place = (uint8_t)((uint64_t)packet->minute % RING);
    kept->neighbour = (uint8_t)packet->neighbour;
    queue_append(list, reference);
    return reference;
}

static enum drop judge_known(const struct place *place, const struct kept *kept,
                             const struct droplist_packet *packet, uint32_t way) {
    if (kept == NULL)
        return DROP_DUPLICATE;
    if (place->table->minute != packet->minute)
        return DROP_TIME;
    if (kept->seen[packet->index / 64] & UINT64_C(1) << (packet->index % 64))
        return DROP_DUPLICATE;
    return kept->way != 0 && kept->way != way ? DROP_MALFORMED : DROP_NONE;
}

static enum drop enter_known(struct droplist *list, const struct place *place,
                             const struct droplist_packet *packet) {
    struct kept *const kept = kept_of(list, place, packet->eph);
    const uint32_t way = way_of(list, packet->way);
    const enum drop drop = judge_known(place, kept, packet, way);

    if (drop != DROP_NONE)
        return drop;
    kept->seen[packet->index / 64] |= UINT64_C(1) << (packet->index % 64);
    kept->way = way;
    return DROP_NONE;
}

size_t droplist_share(size_t entries_max) {
    return entries_max >= 8 ? entries_max / 8 : 1;
}

struct droplist *droplist_new(size_t entries_max, const struct core_random *random) {
    struct droplist *const list = calloc(1, sizeof *list);

    if (list == NULL)
        return NULL;
    list->entries_max = entries_max;
    list->chunks_max = CHUNKS_MAX;
    list->now = list->floor = INT64_MIN / 2; /* until told: every minute is out of range */
    random_fill(random, list->key, sizeof list->key);
    random_fill(random, list->way_key, sizeof list->way_key);
    return list;
}

void droplist_keep_fewer(struct droplist *list, size_t bytes) {
    assert(bytes >= CHUNK_BYTES && bytes <= DROPLIST_KEPT_BYTES && list->kept == 0);
    list->chunks_max = (unsigned)(bytes / CHUNK_BYTES);
}

void droplist_free(struct droplist *list) {
    if (list == NULL)
        return;
    for (size_t i = 0; i < RING; i++)
        if (list->ring[i].buckets != NULL)
            table_forget(list, &list->ring[i]);
    assert(list->entries == 0 && list->kept == 0 && list->n_chunks == 0);
    for (size_t i = 0; i < CHARGES; i++)
        assert(list->charged[i] == 0);
    sodium_memzero(list->key, sizeof list->key);
    sodium_memzero(list->way_key, sizeof list->way_key);
    free(list);
}

enum drop droplist_find(struct droplist *list, const uint8_t eph[32], unsigned neighbour,
                        const uint8_t **ret_prk, bool *ret_has_way) {
    struct place place;
    const struct kept *kept;

    assert(neighbour < DROPLIST_NEIGHBOURS);
    if (!find_place(list, fingerprint_of(list, eph), &place)) {
        if (is_full(list, neighbour))
            return DROP_LIMIT;
        *ret_prk = NULL;
        *ret_has_way = false;
        return DROP_NONE;
    }
    kept = kept_of(list, &place, eph);
    if (kept == NULL)
        return DROP_DUPLICATE;
    *ret_prk = kept->prk;
    *ret_has_way = kept->way != 0;
    return DROP_NONE;
}

static bool is_timely(const struct droplist *list, int64_t minute) {
    return minute >= list->floor && minute >= list->now - DROPLIST_MINUTES &&
           minute <= list->now + DROPLIST_MINUTES;
}

enum drop droplist_judge(struct droplist *list, const struct droplist_packet *packet,
                         bool *ret_is_first) {
    struct place place;
    const struct kept *kept = NULL;
    enum drop drop = is_timely(list, packet->minute) ? DROP_NONE : DROP_TIME;

    assert(packet->neighbour < DROPLIST_NEIGHBOURS && packet->index < ONION_INDEX_COUNT);
    if (drop == DROP_NONE && find_place(list, fingerprint_of(list, packet->eph), &place)) {
        kept = kept_of(list, &place, packet->eph);
        drop = judge_known(&place, kept, packet, way_of(list, packet->way));
    } else if (drop == DROP_NONE && is_full(list, packet->neighbour)) {
        drop = DROP_LIMIT;
    }
    if (drop == DROP_NONE)
        *ret_is_first = packet->way != NULL && (kept == NULL || kept->way == 0);
    return drop;
}

enum drop droplist_enter(struct droplist *list, const struct droplist_packet *packet,
                         const uint8_t prk[ONION_PRK_LEN]) {
    const uint64_t fingerprint = fingerprint_of(list, packet->eph);
    struct table *table;
    struct place place;
    uint32_t reference;

    assert(packet->neighbour < DROPLIST_NEIGHBOURS && packet->index < ONION_INDEX_COUNT);
    if (!is_timely(list, packet->minute))
        return DROP_TIME;
    if (find_place(list, fingerprint, &place))
        return enter_known(list, &place, packet);
    table = table_of(list, packet->minute);
    if (is_full(list, packet->neighbour) || !table_reserve(table))
        return DROP_LIMIT;
    assert(table->entries == 0 || table->minute == packet->minute);
    table->minute = packet->minute;
    reference =
        kept_new(list, packet, prk); /* may evict from this very table: probed again below */
    if (table_probe(table, fingerprint, &place))
        assert(false && "found by nobody, yet there");
    place.bucket->fingerprint[place.slot] = fingerprint;
    place.bucket->kept[place.slot] = reference;
    table->entries++;
    table->charged[packet->neighbour]++;
    list->entries++;
    list->charged[packet->neighbour]++;
    return DROP_NONE;
}

void droplist_replace(struct droplist *list, unsigned neighbour) {
    const size_t share = droplist_share(list->entries_max);
    size_t room = list->charged[GONE] < share ? share - list->charged[GONE] : 0;

    assert(neighbour < DROPLIST_NEIGHBOURS);
    for (size_t i = 0; i < RING && room > 0; i++) {
        struct table *const table = &list->ring[i];
        const uint32_t held = table->charged[neighbour],
                       moved = held < room ? held : (uint32_t)room;
        table->charged[GONE] += moved;
        table->charged[neighbour] -= moved;
        list->charged[GONE] += moved;
        list->charged[neighbour] -= moved;
        room -= moved;
    }
}

/* After the clock was set back, minutes that were forgotten stay refused (floor), or their packets
 * could be replayed. What is held lies within 3 min of the latest `now` there ever was, so the ring
 * still holds it all. */
void droplist_advance(struct droplist *list, int64_t minute, unsigned neighbours) {
    list->now = minute;
    list->neighbours = neighbours;
    if (list->floor < minute - DROPLIST_MINUTES)
        list->floor = minute - DROPLIST_MINUTES;
    for (size_t i = 0; i < RING; i++)
        if (list->ring[i].buckets != NULL && list->ring[i].minute < list->floor)
            table_forget(list, &list->ring[i]);
}

void droplist_stats(const struct droplist *list, struct droplist_stats *ret_stats) {
    size_t bytes = sizeof *list + list->n_chunks * (size_t)CHUNK_BYTES;

    for (size_t i = 0; i < RING; i++)
        bytes += table_bytes(&list->ring[i]);
    *ret_stats =
        (struct droplist_stats){.entries = list->entries, .kept = list->kept, .bytes = bytes};
}
