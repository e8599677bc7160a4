/* Live paths: places for them in locked memory, their keys, their packets. Threat: a path's keys
 * open packets and show who talks to whom, so a path is wiped when it is freed. A hop drops a
 * packet whose index it has seen, so each packet has a new index at each hop. Each hop's indexes
 * come in a random order of their own, because from ascending ones the hop could count packets that
 * it has not seen. */
#include "daemon/core/route/path_private.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

/* Relays refuse packets whose minute is more than 3 min from their now; a minute is left for
 * differences of clocks and for the time in transit. */
#define PATH_MINUTES_MAX 2

static void slot_give(struct paths *paths, struct path *path) {
    sodium_memzero(path, sizeof *path);
    path->owner = paths;
    path->next_free = paths->free;
    paths->free = path;
}

static struct path *slot_take(struct paths *paths) {
    if (paths->free == NULL && paths->n_chunks < CHUNKS_MAX) {
        struct path *chunk = sodium_malloc(SLOTS_A_CHUNK * sizeof *chunk);
        if (chunk == NULL)
            return NULL;
        paths->chunks[paths->n_chunks++] = chunk;
        for (size_t i = SLOTS_A_CHUNK; i-- > 0;)
            slot_give(paths, &chunk[i]);
    }
    if (paths->free == NULL && !path_spare_yield(paths))
        return NULL;
    struct path *path = paths->free;
    paths->free = path->next_free;
    paths->n_live++;
    return path;
}

void path_free(struct path *path) {
    if (path == NULL)
        return;
    struct paths *paths = path->owner;
    paths->n_live--;
    slot_give(paths, path);
}

/* The key of a hop for the epoch, borrowed from *descriptor. NULL: none. */
static const uint8_t *hop_key(const struct paths *paths, uint64_t hop, int64_t epoch,
                              struct descriptor *descriptor) {
    const struct directory_entry *entry = directory_find_prefix(paths->directory, hop);
    if (entry == NULL)
        return NULL;
    directory_descriptor(entry, descriptor);
    return descriptor_routing_key(descriptor, epoch);
}

/* False: no descriptor, no routing key for the epoch, or one that yields zero. */
static bool key_hop(struct paths *paths, struct path *path, size_t i) {
    struct {
        uint8_t eph[KEY_LEN];
    } s;
    struct descriptor descriptor;
    struct onion_layer *layer = &path->layers[i];
    const uint8_t *routing_public = hop_key(paths, layer->hop, path->epoch, &descriptor);
    if (routing_public == NULL)
        return false;
    random_fill(&paths->random, s.eph, sizeof s.eph);
    enum drop drop = onion_layer_key(layer, routing_public, s.eph);
    sodium_memzero(&s, sizeof s);
    layer->key_id = (uint8_t)(path->epoch & 0xff);
    memcpy(path->keys[i], routing_public, KEY_LEN);
    return drop == DROP_NONE;
}

bool path_key(struct paths *paths, struct path *path, struct wall wall, size_t most) {
    if (path->epoch != wall_epoch(wall))
        return false;
    for (; most > 0 && path->n_keyed < path->n_hops; most--, path->n_keyed++)
        if (!key_hop(paths, path, path->n_keyed))
            return false;
    return true;
}

bool path_has_good_keys(const struct paths *paths, const struct path *path, struct wall wall) {
    struct descriptor descriptor;
    if (path->epoch != wall_epoch(wall))
        return false;
    for (size_t i = 0; i < path->n_keyed; i++) {
        const uint8_t *key = hop_key(paths, path->layers[i].hop, path->epoch, &descriptor);
        if (key == NULL || memcmp(key, path->keys[i], KEY_LEN) != 0)
            return false;
    }
    return true;
}

/* Does the target have a routing key for this epoch? Asked before anything is drawn: without it no
 * draw can help. */
static bool has_routing_key(const struct paths *paths, const struct node_id *target,
                            struct wall wall) {
    struct descriptor descriptor;
    return path_target(paths, target) != NULL &&
           hop_key(paths, node_id_prefix(target), wall_epoch(wall), &descriptor) != NULL;
}

enum path_outcome path_lay(struct paths *paths, const struct path_request *request, struct now now,
                           struct path **ret_path) {
    struct path_choice choice;
    if (!has_routing_key(paths, &request->target, now.wall))
        return PATH_UNKNOWN;
    struct path *path = slot_take(paths);
    if (path == NULL)
        return PATH_NONE;
    enum path_outcome outcome = path_choose(paths, request, now.mono, true, &choice);
    if (outcome != PATH_OK) {
        path_free(path);
        return outcome;
    }
    path->n_hops = choice.query.relays + 1;
    for (size_t i = 0; i < path->n_hops; i++)
        path->layers[i].hop = choice.hops[i];
    path->epoch = wall_epoch(now.wall);
    path->generation = topology_generation(choice.topology);
    path->fewer = choice.fewer;
    path->made = now.mono;
    *ret_path = path;
    return PATH_OK;
}

/* Start the path's life. The minute that relays are shown is that of the first use, so that they do
 * not learn when the path was built. */
static void path_begin(struct path *path, struct now now) {
    path->born = now.mono;
    path->minute = wall_minute(now.wall);
    for (size_t i = 0; i < path->n_hops; i++)
        path->layers[i].slot = (uint8_t)(path->minute % 60);
}

enum path_outcome path_draw(struct paths *paths, const struct path_request *request, struct now now,
                            struct path **ret_path, bool *ret_fewer) {
    enum path_outcome outcome = PATH_OK;
    struct path *path = request->again ? path_spare_take(paths, request, now) : NULL;
    /* Draw again where a relay has no routing key for this epoch (its new descriptor is on its
     * way), or one whose Diffie-Hellman yields zero. */
    for (unsigned tries = 0; tries <= REDRAWS_MAX; tries++) {
        if (path == NULL && (outcome = path_lay(paths, request, now, &path)) != PATH_OK)
            return outcome;
        if (path_key(paths, path, now.wall, HOPS_MAX)) {
            path_begin(path, now);
            *ret_path = path;
            *ret_fewer = path->fewer;
            return PATH_OK;
        }
        path_free(path);
        path = NULL;
    }
    return PATH_NONE;
}

bool path_is_usable(const struct paths *paths, const struct path *path, struct now now) {
    int64_t minutes = wall_minute(now.wall) - path->minute;
    unsigned most = paths->config.once ? 1 : PATH_PACKETS_MAX;
    if (now.mono.us - path->born.us >= PATH_LIFE_US || path->n_sealed >= most)
        return false;
    if (minutes < -PATH_MINUTES_MAX || minutes > PATH_MINUTES_MAX ||
        path->minute / 60 != wall_epoch(now.wall))
        return false;
    return path_neighbour(paths, path_first(path)) != NULL;
}

/* The number of one bits, summed up in parallel: on a plain x86-64 the builtin would be a call into
 * the compiler's library. */
static unsigned count_ones(uint64_t x) {
    x -= x >> 1 & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
    x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (unsigned)(x * UINT64_C(0x0101010101010101) >> 56);
}

/* A uniformly random index that this hop has not had: the next of a random permutation, without a
 * table of it. */
static uint16_t take_index(struct paths *paths, struct path *path, size_t hop) {
    uint64_t *used = path->used[hop];
    unsigned skip =
        (unsigned)random_below(&paths->random, (uint64_t)ONION_INDEX_COUNT - path->n_sealed);
    unsigned word = 0;
    for (unsigned free; (free = 64 - count_ones(used[word])) <= skip; word++)
        skip -= free;
    uint64_t unused = ~used[word];
    while (skip-- > 0)
        unused &= unused - 1; /* clears the lowest bit */
    used[word] |= unused & (~unused + 1);
    return (uint16_t)(word * 64 + (unsigned)__builtin_ctzll(unused));
}

uint16_t path_seal(struct paths *paths, struct path *path, const void *payload, size_t length,
                   uint8_t ret_packet[ONION_LEN]) {
    uint16_t indexes[HOPS_MAX];
    uint8_t nonce[ONION_NONCE_LEN];
    assert(path->n_sealed < PATH_PACKETS_MAX);
    for (size_t i = 0; i < path->n_hops; i++)
        indexes[i] = take_index(paths, path, i);
    random_fill(&paths->random, nonce, sizeof nonce);
    onion_build(path->layers, path->n_hops, indexes, nonce, payload, length, &paths->random,
                ret_packet);
    return path->n_sealed++;
}

uint64_t path_first(const struct path *path) {
    return path->layers[0].hop;
}

size_t path_hops(const struct path *path, uint64_t ret_hops[HOPS_MAX]) {
    for (size_t i = 0; i < path->n_hops; i++)
        ret_hops[i] = path->layers[i].hop;
    return path->n_hops;
}
