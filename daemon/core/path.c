/* Guards, lengths, draws, keys.
 *
 * Threat, beyond what path.h says: whoever can disturb links would like to choose our first relay
 * for us (by killing guards until a fresh draw falls on his own) and our later ones (by making the
 * paths that avoid him fail). Hence a guard's place is held for a while when it falls silent, a
 * thinned-out set of guards is used as it is rather than widened, and the record of failures moves
 * at most 4 redraws. */
#include "daemon/core/path.h"

#include "daemon/core/seam.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

#define NEIGHBOURS_MAX (TOPOLOGY_DEGREE_MAX + 2)
#define HOPS_MAX (TOPOLOGY_RELAYS_MAX + 1)
_Static_assert(HOPS_MAX == ONION_LAYERS_MAX, "a path has as many layers as hops");
#define GUARD_AGE_US US_PER_HOUR
/* A guard out of the neighbour set is dead after link.timeout's default, as its link would be: a
 * suspect that answers again within it was never gone, so disturbing a link for 2 s does not buy a
 * new draw. */
#define GUARD_GRACE_US (30 * US_PER_S)
/* While no guard is up nothing can be sent, so then the wait is as short as a suspect needs to
 * answer a PING or three. */
#define GUARD_ALONE_US (5 * US_PER_S)
#define RECORDS_MAX 1024
#define RECORD_US US_PER_MINUTE
#define REDRAWS_MAX 4
/* The sender in a record of links: its id is not this room's to know, and no node's prefix is 0 but
 * by a 2^-64 chance. */
#define OURSELVES UINT64_C(0)
/* Relays refuse a slot 3 min from their now; a minute is left for clocks and the way. */
#define PATH_MINUTES_MAX 2
/* Live paths at once: 1,024 in all, some for each of hundreds of recipients at 2 s a path. Grown a
 * chunk at a time, for most nodes never need a second one. */
#define SLOTS_A_CHUNK 16
#define CHUNKS_MAX 64
#define INDEX_WORDS (ONION_INDEX_COUNT / 64)

struct path {
    struct paths *owner;
    struct path *next_free;
    struct onion_layer layers[HOPS_MAX];  /* secret; layers[i].hop is the i-th hop */
    uint64_t used[HOPS_MAX][INDEX_WORDS]; /* bit per index that a hop has had */
    size_t n_hops;
    struct mono born;
    int64_t minute;
    uint16_t n_sealed;
};

struct guard {
    uint64_t prefix;
    struct mono missing; /* out of the neighbour set since; MONO_NEVER: it is in it, or we are cut
                            off ourselves */
};

struct link_record {
    uint64_t low, high;
    struct mono failed, failed_before, worked; /* MONO_NEVER: it has not */
    struct mono touched;
};

struct paths {
    struct path_config config;
    struct directory *directory;
    struct core_random random;
    struct path_neighbour neighbours[NEIGHBOURS_MAX];
    size_t n_neighbours;
    struct guard guards[NEIGHBOURS_MAX];
    size_t n_guards;
    struct link_record records[RECORDS_MAX];
    size_t n_records;
    struct path *chunks[CHUNKS_MAX]; /* locked memory: a page or two a chunk is lost to guards, not
                                        to every path */
    size_t n_chunks, n_live;
    struct path *free;
};

struct paths *paths_new(const struct path_config *config, struct directory *directory,
                        const struct core_random *random) {
    struct paths *paths = calloc(1, sizeof *paths);
    if (paths == NULL)
        return NULL;
    paths->directory = directory;
    paths->random = *random;
    paths_configure(paths, config);
    return paths;
}

void paths_free(struct paths *paths) {
    if (paths == NULL)
        return;
    assert(paths->n_live == 0);
    for (size_t i = 0; i < paths->n_chunks; i++)
        sodium_free(paths->chunks[i]);
    sodium_memzero(paths, sizeof *paths); /* guards are a secret of a kind */
    free(paths);
}

void paths_configure(struct paths *paths, const struct path_config *config) {
    paths->config = *config;
    if (paths->config.relays > TOPOLOGY_RELAYS_MAX)
        paths->config.relays = TOPOLOGY_RELAYS_MAX;
}

/* ---- Guards ---- */

static const struct path_neighbour *find_neighbour(const struct paths *paths, uint64_t prefix) {
    for (size_t i = 0; i < paths->n_neighbours; i++)
        if (paths->neighbours[i].prefix == prefix)
            return &paths->neighbours[i];
    return NULL;
}

static bool is_relaying_neighbour(const struct paths *paths, uint64_t prefix) {
    const struct path_neighbour *neighbour = find_neighbour(paths, prefix);
    return neighbour != NULL && neighbour->relay;
}

bool paths_is_guard(const struct paths *paths, uint64_t prefix) {
    for (size_t i = 0; i < paths->n_guards; i++)
        if (paths->guards[i].prefix == prefix)
            return true;
    return false;
}

static size_t guards_up(const struct paths *paths) {
    size_t n = 0;
    for (size_t i = 0; i < paths->n_guards; i++)
        n += is_relaying_neighbour(paths, paths->guards[i].prefix) ? 1 : 0;
    return n;
}

/* Note who is missing, forget who has been for too long. Without a single neighbour it is we who
 * are cut off, and that says nothing of the guards: the clock does not run. */
static void guards_bury(struct paths *paths, struct mono now) {
    int64_t grace = guards_up(paths) > 0 ? GUARD_GRACE_US : GUARD_ALONE_US;
    size_t n = 0;
    for (size_t i = 0; i < paths->n_guards; i++) {
        struct guard guard = paths->guards[i];
        if (paths->n_neighbours == 0 || is_relaying_neighbour(paths, guard.prefix))
            guard.missing = MONO_NEVER;
        else if (guard.missing.us == MONO_NEVER.us)
            guard.missing = now;
        if (guard.missing.us == MONO_NEVER.us || now.us - guard.missing.us < grace)
            paths->guards[n++] = guard;
    }
    paths->n_guards = n;
}

/* Neighbours that may become guards. Returns how many. */
static size_t guards_candidates(const struct paths *paths, struct mono now,
                                uint64_t ret_prefixes[NEIGHBOURS_MAX]) {
    size_t n = 0;
    for (size_t i = 0; i < paths->n_neighbours; i++) {
        const struct path_neighbour *neighbour = &paths->neighbours[i];
        if (neighbour->relay && now.us - neighbour->since.us >= GUARD_AGE_US &&
            !paths_is_guard(paths, neighbour->prefix))
            ret_prefixes[n++] = neighbour->prefix;
    }
    return n;
}

/* The first set is drawn whole, once enough have stood for an hour; after that a place is filled
 * when somebody has earned it. Meanwhile the guards that are left serve: were it all neighbours
 * again, killing one guard would show us to each. */
static void guards_update(struct paths *paths, struct mono now) {
    uint64_t candidates[NEIGHBOURS_MAX];
    size_t wanted = paths->config.guards < NEIGHBOURS_MAX ? paths->config.guards : NEIGHBOURS_MAX;
    guards_bury(paths, now);
    if (paths->n_guards > wanted)
        paths->n_guards = wanted;
    size_t n = guards_candidates(paths, now, candidates);
    if (paths->n_guards == 0 && n < wanted)
        return;
    while (paths->n_guards < wanted && n > 0) {
        size_t i = (size_t)random_below(&paths->random, n);
        paths->guards[paths->n_guards++] = (struct guard){candidates[i], MONO_NEVER};
        candidates[i] = candidates[--n];
    }
}

void paths_set_neighbours(struct paths *paths, const struct path_neighbour *neighbours, size_t n,
                          struct mono now) {
    assert(n <= NEIGHBOURS_MAX);
    if (n > 0)
        memcpy(paths->neighbours, neighbours, n * sizeof *neighbours);
    paths->n_neighbours = n;
    guards_update(paths, now);
}

/* Who may be the first relay to this target. A target that is our only guard up cannot relay to
 * itself; then any neighbour may: a rare case, and with one guard configured the alternative is
 * never to reach it by way of a relay. */
static size_t list_firsts(const struct paths *paths, uint64_t target,
                          uint64_t ret_firsts[NEIGHBOURS_MAX]) {
    size_t n = 0;
    for (size_t i = 0; i < paths->n_guards; i++)
        if (paths->guards[i].prefix != target &&
            is_relaying_neighbour(paths, paths->guards[i].prefix))
            ret_firsts[n++] = paths->guards[i].prefix;
    if (n > 0 || (paths->n_guards > 0 && guards_up(paths) == 0))
        return n;
    for (size_t i = 0; i < paths->n_neighbours; i++)
        if (paths->neighbours[i].relay && paths->neighbours[i].prefix != target)
            ret_firsts[n++] = paths->neighbours[i].prefix;
    return n;
}

/* ---- The record of links ---- */

static bool is_recent(struct mono event, struct mono now) {
    return event.us != MONO_NEVER.us && now.us - event.us <= RECORD_US;
}

static struct link_record *record_find(struct paths *paths, uint64_t a, uint64_t b) {
    uint64_t low = a < b ? a : b, high = a < b ? b : a;
    for (size_t i = 0; i < paths->n_records; i++)
        if (paths->records[i].low == low && paths->records[i].high == high)
            return &paths->records[i];
    return NULL;
}

/* The record of a link, a new one in place of the oldest if the table is full. */
static struct link_record *record_open(struct paths *paths, uint64_t a, uint64_t b) {
    struct link_record *record = record_find(paths, a, b);
    if (record != NULL)
        return record;
    if (paths->n_records < RECORDS_MAX) {
        record = &paths->records[paths->n_records++];
    } else {
        record = &paths->records[0];
        for (size_t i = 1; i < RECORDS_MAX; i++)
            if (paths->records[i].touched.us < record->touched.us)
                record = &paths->records[i];
    }
    *record = (struct link_record){.low = a < b ? a : b,
                                   .high = a < b ? b : a,
                                   .failed = MONO_NEVER,
                                   .failed_before = MONO_NEVER,
                                   .worked = MONO_NEVER};
    return record;
}

/* A success outweighs failures for as long as it is recent: else a relay could have its honest
 * neighbours' links shunned by failing twice between two successes of theirs. */
static bool has_bad_link(struct paths *paths, const uint64_t *hops, size_t n, struct mono now) {
    uint64_t previous = OURSELVES;
    for (size_t i = 0; i < n; i++) {
        const struct link_record *record = record_find(paths, previous, hops[i]);
        if (record != NULL && is_recent(record->failed, now) &&
            is_recent(record->failed_before, now) && !is_recent(record->worked, now))
            return true;
        previous = hops[i];
    }
    return false;
}

static void note(struct paths *paths, const struct path *path, struct mono now, bool worked) {
    uint64_t previous = OURSELVES;
    for (size_t i = 0; i < path->n_hops; i++) {
        struct link_record *record = record_open(paths, previous, path->layers[i].hop);
        record->touched = now;
        if (worked) {
            record->worked = now;
        } else {
            record->failed_before = record->failed;
            record->failed = now;
        }
        previous = path->layers[i].hop;
    }
}

void path_worked(struct paths *paths, const struct path *path, struct mono now) {
    note(paths, path, now, true);
}

void path_failed(struct paths *paths, const struct path *path, struct mono now) {
    note(paths, path, now, false);
}

/* ---- Choosing ---- */

struct choice {
    struct topology *topology;
    struct topology_query query; /* relays: the length settled on */
    uint64_t firsts[NEIGHBOURS_MAX];
    bool waiting; /* guards there are, but none is up just now */
    bool fewer;
    uint64_t hops[HOPS_MAX];
};

/* Simple paths with so many relays, as far as they are worth counting. */
static uint64_t count_with(struct choice *choice, unsigned relays) {
    choice->query.relays = relays;
    return topology_count(choice->topology, &choice->query, PATH_CHOICES_WANTED);
}

/* Not as asked for: is there any at all? Then it is a matter of strictness. */
static enum path_outcome refuse(struct choice *choice) {
    if (choice->waiting)
        return PATH_NONE;
    for (unsigned relays = 0; relays <= TOPOLOGY_RELAYS_MAX; relays++)
        if (count_with(choice, relays) > 0)
            return PATH_STRICT;
    return PATH_NONE;
}

/* r0 or r0 + 1, so that no relay knows its place. */
static void settle_around(struct paths *paths, struct choice *choice, unsigned r0) {
    bool longer = random_below(&paths->random, 2) == 1 && r0 < TOPOLOGY_RELAYS_MAX;
    if (!longer || count_with(choice, r0 + 1) == 0)
        choice->query.relays = r0;
}

/* None with enough relays: the longest below, unless the user is strict. While guards are expected
 * back the direct link is no substitute: whoever disturbs them must not get to see us talk in the
 * open. */
static enum path_outcome settle_below(struct paths *paths, struct choice *choice, bool strict) {
    if (strict || choice->waiting)
        return refuse(choice);
    for (unsigned relays = paths->config.relays; relays-- > 0;)
        if (count_with(choice, relays) > 0) {
            choice->fewer = true;
            return PATH_OK;
        }
    return PATH_NONE;
}

static enum path_outcome settle_length(struct paths *paths, struct choice *choice,
                                       const struct path_wish *wish) {
    uint64_t most = 0;
    unsigned best = 0;
    if (wish->relays_exact != RELAYS_DEFAULT)
        return count_with(choice, wish->relays_exact) > 0 ? PATH_OK : refuse(choice);
    for (unsigned relays = paths->config.relays; relays <= TOPOLOGY_RELAYS_MAX; relays++) {
        uint64_t n = count_with(choice, relays);
        if (n >= PATH_CHOICES_WANTED) {
            settle_around(paths, choice, relays);
            return PATH_OK;
        }
        if (n > most) {
            most = n;
            best = relays;
        }
    }
    if (most == 0)
        return settle_below(paths, choice, wish->strict || paths->config.strict);
    choice->query.relays = best;
    return PATH_OK;
}

/* One draw, past the wish's `avoid` if there is no other way. */
static int draw_hops(struct paths *paths, struct choice *choice, const struct path_wish *wish) {
    struct topology_query query = choice->query;
    query.avoid = wish->avoid;
    query.n_avoid = wish->n_avoid;
    if (wish->n_avoid > 0 &&
        topology_sample(choice->topology, &query, &paths->random, choice->hops) == 0)
        return 0;
    return topology_sample(choice->topology, &choice->query, &paths->random, choice->hops);
}

static enum path_outcome choose(struct paths *paths, const struct path_wish *wish, struct mono now,
                                struct choice *choice) {
    uint64_t target = node_id_prefix(&wish->target);
    guards_update(paths, now);
    *choice = (struct choice){.topology = directory_topology(paths->directory),
                              .waiting = paths->n_guards > 0 && guards_up(paths) == 0};
    choice->query.target = target;
    choice->query.firsts = choice->firsts;
    choice->query.n_firsts = list_firsts(paths, target, choice->firsts);
    enum path_outcome outcome = settle_length(paths, choice, wish);
    if (outcome != PATH_OK)
        return outcome;
    for (unsigned redraws = 0; redraws <= REDRAWS_MAX; redraws++) {
        if (draw_hops(paths, choice, wish) != 0)
            return PATH_NONE;
        if (!has_bad_link(paths, choice->hops, choice->query.relays + 1, now))
            break;
    }
    return PATH_OK;
}

/* A prefix is what packets know; two ids that share one are told apart here. */
static const struct directory_entry *find_target(const struct paths *paths,
                                                 const struct node_id *target) {
    const struct directory_entry *entry =
        directory_find_prefix(paths->directory, node_id_prefix(target));
    return entry != NULL && node_id_is_equal(&entry->id, target) ? entry : NULL;
}

enum path_outcome path_sample(struct paths *paths, const struct path_wish *wish, struct mono now,
                              uint64_t ret_hops[HOPS_MAX], size_t *ret_n, double *ret_choices) {
    struct choice choice;
    if (find_target(paths, &wish->target) == NULL)
        return PATH_UNKNOWN;
    enum path_outcome outcome = choose(paths, wish, now, &choice);
    if (outcome != PATH_OK)
        return outcome;
    *ret_n = choice.query.relays + 1;
    memcpy(ret_hops, choice.hops, *ret_n * sizeof *ret_hops);
    *ret_choices = topology_estimate(choice.topology, &choice.query, &paths->random);
    return PATH_OK;
}

/* ---- Live paths ---- */

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
    struct path *path = paths->free;
    if (path == NULL)
        return NULL;
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

/* False: no descriptor, no routing key for the epoch, or one that yields zero. */
static bool layer_key(struct paths *paths, uint64_t hop, struct wall wall,
                      struct onion_layer *layer) {
    struct {
        uint8_t eph[KEY_LEN];
    } s;
    struct descriptor descriptor;
    const struct directory_entry *entry = directory_find_prefix(paths->directory, hop);
    if (entry == NULL)
        return false;
    directory_descriptor(entry, &descriptor);
    const uint8_t *routing_public = descriptor_routing_key(&descriptor, wall_epoch(wall));
    if (routing_public == NULL)
        return false;
    random_fill(&paths->random, s.eph, sizeof s.eph);
    enum drop drop = onion_layer_key(layer, routing_public, s.eph);
    sodium_memzero(&s, sizeof s);
    layer->key_id = (uint8_t)(wall_epoch(wall) & 0xff);
    layer->slot = (uint8_t)(wall_minute(wall) % 60);
    layer->hop = hop;
    return drop == DROP_NONE;
}

static bool path_key(struct paths *paths, struct path *path, const struct choice *choice,
                     struct wall wall) {
    path->n_hops = choice->query.relays + 1;
    for (size_t i = 0; i < path->n_hops; i++)
        if (!layer_key(paths, choice->hops[i], wall, &path->layers[i]))
            return false;
    return true;
}

/* The target's own key, looked at before anything is drawn: without it no draw can help. */
static bool has_routing_key(const struct paths *paths, const struct node_id *target,
                            struct wall wall) {
    struct descriptor descriptor;
    const struct directory_entry *entry = find_target(paths, target);
    if (entry == NULL)
        return false;
    directory_descriptor(entry, &descriptor);
    return descriptor_routing_key(&descriptor, wall_epoch(wall)) != NULL;
}

enum path_outcome path_draw(struct paths *paths, const struct path_wish *wish, struct mono now,
                            struct wall wall, struct path **ret_path, bool *ret_fewer) {
    struct choice choice;
    enum path_outcome outcome = PATH_NONE;
    if (!has_routing_key(paths, &wish->target, wall))
        return PATH_UNKNOWN;
    struct path *path = slot_take(paths);
    if (path == NULL)
        return PATH_NONE;
    /* A relay between two epochs' descriptors, or with a worthless key, is drawn around. */
    for (unsigned tries = 0; tries <= REDRAWS_MAX; tries++) {
        outcome = choose(paths, wish, now, &choice);
        if (outcome != PATH_OK)
            break;
        if (path_key(paths, path, &choice, wall)) {
            path->born = now;
            path->minute = wall_minute(wall);
            *ret_path = path;
            *ret_fewer = choice.fewer;
            return PATH_OK;
        }
        outcome = PATH_NONE;
    }
    path_free(path);
    return outcome;
}

bool path_is_usable(const struct paths *paths, const struct path *path, struct mono now,
                    struct wall wall) {
    int64_t minutes = wall_minute(wall) - path->minute;
    if (now.us - path->born.us >= PATH_LIFE_US || path->n_sealed >= PATH_PACKETS_MAX)
        return false;
    if (minutes < -PATH_MINUTES_MAX || minutes > PATH_MINUTES_MAX ||
        path->minute / 60 != wall_epoch(wall))
        return false;
    return find_neighbour(paths, path_first(path)) != NULL;
}

/* In parallel, halves first: the builtin would be a call into the compiler's library on a plain
 * x86-64. */
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
        unused &= unused - 1; /* clears the lowest */
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
