/* The graph of claims and links.
 *
 * Threat: everything here is what others claim. A link between two others stands in `links` only
 * while both claim it, so nobody enters a route by its own word alone; and the work a query can
 * cause is bounded by 16 links a node and 5 relays. */
#include "daemon/core/directory/topology_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define CAPACITY_FIRST 32
#define WORDS_SPARE 3 /* words that a vertex may have to spare: claims come and go one by one */

/* ---- Map ---- */

/* Identities are free, so anyone can grind prefixes that would share a home slot. The address of
 * this struct is a seed that others do not know; nothing but the time taken depends on it. Mixing
 * as in splitmix64. */
static uint32_t map_home(const struct topology *topology, uint64_t prefix) {
    uint64_t x = prefix ^ (uint64_t)(uintptr_t)topology * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(x ^ x >> 31) & (topology->n_map - 1);
}

/* The slot that holds the prefix, or the empty one where it would go. */
static uint32_t map_slot_of(const struct topology *topology, uint64_t prefix) {
    uint32_t mask = topology->n_map - 1, i = map_home(topology, prefix);
    while (topology->map[i] != 0 && topology->vertices[topology->map[i] - 1].prefix != prefix)
        i = (i + 1) & mask;
    return i;
}

uint32_t topology_find(const struct topology *topology, uint64_t prefix) {
    uint32_t number = topology->map[map_slot_of(topology, prefix)];
    return number != 0 ? number - 1 : TOPOLOGY_NONE;
}

static void map_put(struct topology *topology, uint32_t vertex) {
    topology->map[map_slot_of(topology, topology->vertices[vertex].prefix)] = vertex + 1;
}

/* Close the gap by moving back whatever had been pushed past it (Knuth 6.4 R): no tombstones, so
 * churn costs nothing. */
static void map_delete(struct topology *topology, uint64_t prefix) {
    uint32_t mask = topology->n_map - 1, gap = map_slot_of(topology, prefix);
    for (uint32_t i = (gap + 1) & mask; topology->map[i] != 0; i = (i + 1) & mask) {
        uint32_t home = map_home(topology, topology->vertices[topology->map[i] - 1].prefix);
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            topology->map[gap] = topology->map[i];
            gap = i;
        }
    }
    topology->map[gap] = 0;
}

static int map_grow(struct topology *topology, uint32_t capacity) {
    uint32_t n = topology->n_map != 0 ? topology->n_map : 1;
    while (2 * (uint64_t)n < 3 * (uint64_t)capacity)
        n *= 2;
    if (n == topology->n_map)
        return 0;
    uint32_t *old = topology->map, *map = calloc(n, sizeof *map), n_old = topology->n_map;
    if (map == NULL)
        return -ENOMEM;
    topology->map = map;
    topology->n_map = n;
    for (uint32_t i = 0; i < n_old; i++)
        if (old[i] != 0)
            map_put(topology, old[i] - 1);
    free(old);
    return 0;
}

/* ---- Claims ---- */

/* The claims of a vertex, unpacked. */
struct claims {
    uint32_t links[TOPOLOGY_DEGREE_MAX];
    uint64_t strangers[TOPOLOGY_DEGREE_MAX];
    uint8_t n_links, n_strangers;
};

static uint64_t stranger_at(const struct vertex *vertex, unsigned i) {
    uint64_t prefix;
    memcpy(&prefix, vertex->links + vertex->n_links + 2 * i, sizeof prefix);
    return prefix;
}

static void claims_read(const struct vertex *vertex, struct claims *ret) {
    ret->n_links = vertex->n_links;
    ret->n_strangers = vertex->n_strangers;
    for (unsigned i = 0; i < vertex->n_links; i++)
        ret->links[i] = vertex->links[i];
    for (unsigned i = 0; i < vertex->n_strangers; i++)
        ret->strangers[i] = stranger_at(vertex, i);
}

/* Give a vertex room for so many words, and not much more. False: it has less, and there is no
 * memory. */
static bool vertex_reserve(struct vertex *vertex, unsigned words) {
    if (words <= vertex->n_words && words + WORDS_SPARE > vertex->n_words)
        return true;
    uint32_t *links = realloc(vertex->links, (words + 1) * sizeof *links);
    if (links != NULL) {
        vertex->links = links;
        vertex->n_words = (uint8_t)words;
    }
    return words <= vertex->n_words;
}

static bool claims_write(struct vertex *vertex, const struct claims *claims) {
    if (!vertex_reserve(vertex, claims->n_links + 2u * claims->n_strangers))
        return false;
    vertex->n_links = claims->n_links;
    vertex->n_strangers = claims->n_strangers;
    if (vertex->links == NULL)
        return true; /* nothing claimed, ever */
    memcpy(vertex->links, claims->links, claims->n_links * sizeof *claims->links);
    memcpy(vertex->links + claims->n_links, claims->strangers,
           claims->n_strangers * sizeof *claims->strangers);
    return true;
}

/* The place of this prefix among the claimed neighbours that do not claim the vertex (strangers),
 * or -1. */
static int find_stranger(const struct vertex *vertex, uint64_t prefix) {
    for (unsigned i = 0; i < vertex->n_strangers; i++)
        if (stranger_at(vertex, i) == prefix)
            return (int)i;
    return -1;
}

/* ---- Vertices ---- */

static int grow(struct topology *topology, uint32_t capacity) {
    struct vertex *vertices = realloc(topology->vertices, capacity * sizeof *vertices);
    if (vertices == NULL)
        return -ENOMEM;
    topology->vertices = vertices;
    if (map_grow(topology, capacity) != 0)
        return -ENOMEM;
    topology->capacity = capacity;
    return 0;
}

struct topology *topology_new(void) {
    struct topology *topology = calloc(1, sizeof *topology);
    if (topology == NULL)
        return NULL;
    topology->self = topology->free = TOPOLOGY_NONE;
    if (grow(topology, CAPACITY_FIRST) != 0) {
        topology_free(topology);
        return NULL;
    }
    return topology;
}

void topology_free(struct topology *topology) {
    if (topology == NULL)
        return;
    for (uint32_t i = 0; i < topology->n_used; i++)
        free(topology->vertices[i].links);
    free(topology->vertices);
    free(topology->map);
    free(topology->ball);
    free(topology);
}

/* Turn a claim of one side into a link, which takes less room. */
static void link_add(struct topology *topology, uint32_t at, uint32_t other) {
    struct vertex *vertex = &topology->vertices[at];
    int stranger = find_stranger(vertex, topology->vertices[other].prefix);
    struct claims claims;

    assert(stranger >= 0); /* links are a subset of claims */
    claims_read(vertex, &claims);
    /* One is there: find_stranger() found it. */
    // NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign)
    claims.strangers[stranger] = claims.strangers[--claims.n_strangers];
    claims.links[claims.n_links++] = other;
    (void)claims_write(vertex, &claims);
}

/* Turn a link back into a claim of one side. Without memory, the claim is dropped, too. */
static void link_drop(struct topology *topology, uint32_t at, uint32_t other) {
    struct vertex *vertex = &topology->vertices[at];
    struct claims claims;

    claims_read(vertex, &claims);
    for (unsigned i = 0; i < claims.n_links; i++)
        if (claims.links[i] == other) {
            claims.links[i] = claims.links[--claims.n_links];
            claims.strangers[claims.n_strangers++] = topology->vertices[other].prefix;
            if (claims_write(vertex, &claims))
                return;
            claims.n_strangers--;
            (void)claims_write(vertex, &claims);
            return;
        }
}

static void part(struct topology *topology, uint32_t a, uint32_t b) {
    link_drop(topology, a, b);
    link_drop(topology, b, a);
    topology->generation++;
}

/* A vertex without claims or links, or TOPOLOGY_NONE where there is no memory. */
static uint32_t vertex_new(struct topology *topology, uint64_t prefix) {
    uint32_t v = topology->free;
    if (v != TOPOLOGY_NONE) {
        topology->free = (uint32_t)topology->vertices[v].prefix;
    } else {
        if (topology->n_used == topology->capacity &&
            grow(topology, topology->capacity + topology->capacity / 4) != 0)
            return TOPOLOGY_NONE;
        v = topology->n_used++;
    }
    topology->vertices[v] = (struct vertex){.prefix = prefix};
    map_put(topology, v);
    topology->n_nodes++;
    topology->generation++;
    if (topology->self != TOPOLOGY_NONE &&
        find_stranger(&topology->vertices[topology->self], prefix) >= 0)
        link_add(topology, topology->self, v);
    return v;
}

static void vertex_free(struct topology *topology, uint32_t v) {
    struct vertex *vertex = &topology->vertices[v];
    map_delete(topology, vertex->prefix);
    free(vertex->links);
    *vertex = (struct vertex){.prefix = topology->free};
    topology->free = v;
    topology->n_nodes--;
    topology->generation++;
}

static bool is_among(const uint64_t *prefixes, size_t n, uint64_t prefix) {
    for (size_t i = 0; i < n; i++)
        if (prefixes[i] == prefix)
            return true;
    return false;
}

/* What a node claims: without itself, repeats, and whatever exceeds the bound. */
static size_t choose_claims(uint64_t self, const uint64_t *neighbours, size_t n,
                            uint64_t ret_claims[TOPOLOGY_DEGREE_MAX]) {
    size_t n_claims = 0;
    for (size_t i = 0; i < n && n_claims < TOPOLOGY_DEGREE_MAX; i++)
        if (neighbours[i] != self && !is_among(ret_claims, n_claims, neighbours[i]))
            ret_claims[n_claims++] = neighbours[i];
    return n_claims;
}

/* Replace the claims of a vertex: links stay if both ends still claim them, the rest are strangers.
 * 0 or -ENOMEM, and nothing has changed. */
static int vertex_claim(struct topology *topology, uint32_t v, const uint64_t *wanted, size_t n) {
    struct vertex *vertex = &topology->vertices[v];
    struct claims claims = {.n_links = 0};

    if (!vertex_reserve(vertex, 2 * TOPOLOGY_DEGREE_MAX))
        return -ENOMEM;
    for (unsigned i = vertex->n_links; i-- > 0;)
        if (!is_among(wanted, n, topology->vertices[vertex->links[i]].prefix)) {
            link_drop(topology, vertex->links[i], v);
            vertex->links[i] = TOPOLOGY_NONE;
            topology->generation++;
        }
    for (unsigned i = 0; i < vertex->n_links; i++)
        if (vertex->links[i] != TOPOLOGY_NONE)
            claims.links[claims.n_links++] = vertex->links[i];
    for (size_t i = 0; i < n; i++) {
        bool linked = false;
        for (unsigned j = 0; j < claims.n_links; j++)
            linked |= topology->vertices[claims.links[j]].prefix == wanted[i];
        if (!linked)
            claims.strangers[claims.n_strangers++] = wanted[i];
    }
    (void)claims_write(vertex, &claims);
    return 0;
}

/* A claim on a node that is not known yet needs no index: when that node comes, its own claims lead
 * back here. */
int topology_set(struct topology *topology, uint64_t prefix, bool relay, const uint64_t *neighbours,
                 size_t n) {
    uint64_t wanted[TOPOLOGY_DEGREE_MAX];
    uint32_t v = topology_find(topology, prefix);
    if (v == TOPOLOGY_NONE)
        v = vertex_new(topology, prefix);
    else if (v == topology->self)
        return 0; /* others do not say whom we are linked to */
    if (v == TOPOLOGY_NONE)
        return -ENOMEM;
    struct vertex *vertex = &topology->vertices[v];
    if (vertex->relay != relay)
        topology->generation++;
    vertex->relay = relay;
    size_t n_wanted = choose_claims(prefix, neighbours, n, wanted);
    if (vertex_claim(topology, v, wanted, n_wanted) != 0)
        return -ENOMEM;
    for (size_t i = 0; i < n_wanted; i++) {
        uint32_t u = topology_find(topology, wanted[i]);
        if (u == TOPOLOGY_NONE || u == topology->self || vertex_has_link(vertex, u) ||
            find_stranger(&topology->vertices[u], prefix) < 0)
            continue;
        link_add(topology, v, u);
        link_add(topology, u, v);
        topology->generation++;
    }
    return 0;
}

void topology_set_relay(struct topology *topology, uint64_t prefix, bool relay) {
    uint32_t v = topology_find(topology, prefix);

    if (v == TOPOLOGY_NONE || v == topology->self || topology->vertices[v].relay == relay)
        return;
    topology->vertices[v].relay = relay;
    topology->generation++;
}

void topology_remove(struct topology *topology, uint64_t prefix) {
    uint32_t v = topology_find(topology, prefix);
    if (v == TOPOLOGY_NONE || v == topology->self)
        return;
    while (topology->vertices[v].n_links > 0)
        part(topology, v, topology->vertices[v].links[0]);
    if (topology->self != TOPOLOGY_NONE)
        link_drop(topology, topology->self, v);
    vertex_free(topology, v);
}

/* Find or make our own vertex. If it was an ordinary one, drop the links that others' claims
 * made. */
static uint32_t self_vertex(struct topology *topology, uint64_t prefix) {
    uint32_t v = topology_find(topology, prefix);
    if (v == TOPOLOGY_NONE)
        v = vertex_new(topology, prefix);
    if (v == TOPOLOGY_NONE || v == topology->self)
        return v;
    if (topology->self != TOPOLOGY_NONE)
        vertex_free(topology, topology->self);
    topology->self = v;
    while (topology->vertices[v].n_links > 0)
        part(topology, v, topology->vertices[v].links[0]);
    topology->generation++;
    return v;
}

int topology_set_self(struct topology *topology, uint64_t prefix, const uint64_t *neighbours,
                      size_t n) {
    uint32_t v = self_vertex(topology, prefix);
    uint64_t wanted[TOPOLOGY_DEGREE_MAX];
    struct claims old, claims = {.n_links = 0};
    if (v == TOPOLOGY_NONE)
        return -ENOMEM;
    struct vertex *vertex = &topology->vertices[v];
    claims_read(vertex, &old);
    size_t n_wanted = choose_claims(prefix, neighbours, n, wanted);
    for (size_t i = 0; i < n_wanted; i++) {
        uint32_t u = topology_find(topology, wanted[i]);
        if (u != TOPOLOGY_NONE)
            claims.links[claims.n_links++] = u;
        else
            claims.strangers[claims.n_strangers++] = wanted[i];
    }
    if (!claims_write(vertex, &claims))
        return -ENOMEM;
    if (claims.n_links != old.n_links ||
        memcmp(claims.links, old.links, old.n_links * sizeof old.links[0]) != 0)
        topology->generation++;
    return 0;
}

/* ---- Questions ---- */

uint64_t topology_generation(const struct topology *topology) {
    return topology->generation;
}

size_t topology_nodes(const struct topology *topology) {
    return topology->n_nodes;
}

static bool is_our_link(const struct topology *topology, uint32_t v) {
    return topology->self != TOPOLOGY_NONE &&
           vertex_has_link(&topology->vertices[topology->self], v);
}

size_t topology_neighbours(const struct topology *topology, uint64_t prefix,
                           uint64_t ret_prefixes[TOPOLOGY_DEGREE_MAX]) {
    uint32_t v = topology_find(topology, prefix);
    if (v == TOPOLOGY_NONE)
        return 0;
    const struct vertex *vertex = &topology->vertices[v];
    size_t n = 0;
    for (; n < vertex->n_links; n++)
        ret_prefixes[n] = topology->vertices[vertex->links[n]].prefix;
    if (n < TOPOLOGY_DEGREE_MAX && is_our_link(topology, v))
        ret_prefixes[n++] = topology->vertices[topology->self].prefix;
    return n;
}

bool topology_relays(const struct topology *topology, uint64_t prefix) {
    uint32_t v = topology_find(topology, prefix);
    return v != TOPOLOGY_NONE && topology->vertices[v].relay;
}

bool topology_has_link(const struct topology *topology, uint64_t a, uint64_t b) {
    uint32_t va = topology_find(topology, a), vb = topology_find(topology, b);
    if (va == TOPOLOGY_NONE || vb == TOPOLOGY_NONE)
        return false;
    return vertex_has_link(&topology->vertices[va], vb) ||
           vertex_has_link(&topology->vertices[vb], va);
}

/* ---- Partitions ---- */

/* Mark the vertices that a chain of links leads to from ours and list them in `queue`; returns how
 * many. */
static size_t flood(const struct topology *topology, bool *reached, uint32_t *queue) {
    size_t n = 0, done = 0;

    queue[n++] = topology->self;
    reached[topology->self] = true;
    while (done < n) {
        const struct vertex *vertex = &topology->vertices[queue[done++]];
        for (unsigned i = 0; i < vertex->n_links; i++) {
            uint32_t next = vertex->links[i];
            if (!reached[next])
                queue[n++] = next;
            reached[next] = true;
        }
    }
    return n;
}

bool topology_visit_reached(const struct topology *topology,
                            void (*visit)(void *context, uint64_t prefix), void *context) {
    bool *reached = calloc(topology->n_used + 1, sizeof *reached);
    uint32_t *queue = calloc(topology->n_used + 1, sizeof *queue);
    size_t n = 0;

    if (reached && queue && topology->self != TOPOLOGY_NONE)
        n = flood(topology, reached, queue);
    for (size_t i = 0; i < n; i++)
        visit(context, topology->vertices[queue[i]].prefix);
    free(reached);
    free(queue);
    return n > 0;
}

size_t topology_unreached(const struct topology *topology, const struct core_random *random,
                          uint64_t *ret_prefix) {
    bool *reached = calloc(topology->n_used + 1, sizeof *reached);
    uint32_t *queue = calloc(topology->n_used + 1, sizeof *queue);
    size_t n = 0;

    if (reached && queue && topology->self != TOPOLOGY_NONE) {
        flood(topology, reached, queue);
        for (uint32_t i = 0; i < topology->n_used; i++) {
            uint64_t prefix = topology->vertices[i].prefix;
            /* An unused vertex is not the one that its `prefix` leads to. */
            if (!reached[i] && topology_find(topology, prefix) == i &&
                random_below(random, ++n) == 0)
                *ret_prefix = prefix;
        }
    }
    free(reached);
    free(queue);
    return n;
}

/* Reservoir sampling: `prefix` is the n-th to be considered. */
static void draw_into(const struct core_random *random, uint64_t prefixes[TOPOLOGY_SURVEYED],
                      size_t n, uint64_t prefix) {
    uint64_t at = n <= TOPOLOGY_SURVEYED ? n - 1 : random_below(random, n);

    if (at < TOPOLOGY_SURVEYED)
        prefixes[at] = prefix;
}

static size_t at_most(size_t n) {
    return n < TOPOLOGY_SURVEYED ? n : TOPOLOGY_SURVEYED;
}

static size_t list_spared(const struct topology *topology, const bool *reached, bool linked,
                          const struct core_random *random, uint64_t *ret_prefixes) {
    size_t n = 0;

    for (uint32_t i = 0; i < topology->n_used; i++) {
        const struct vertex *vertex = &topology->vertices[i];
        if (!reached[i] && (linked || vertex->n_links == 0) &&
            topology_find(topology, vertex->prefix) == i)
            draw_into(random, ret_prefixes, ++n, vertex->prefix);
    }
    return at_most(n);
}

static size_t list_missed(const struct topology *topology, const bool *reached,
                          const struct core_random *random, uint64_t *ret_prefixes) {
    size_t n = 0;

    for (uint32_t i = 0; i < topology->n_used; i++)
        for (unsigned k = 0; reached[i] && k < topology->vertices[i].n_strangers; k++) {
            uint64_t prefix = stranger_at(&topology->vertices[i], k);
            if (topology_find(topology, prefix) == TOPOLOGY_NONE)
                draw_into(random, ret_prefixes, ++n, prefix);
        }
    return at_most(n);
}

void topology_survey(const struct topology *topology, const struct core_random *random,
                     struct topology_survey *ret_survey) {
    bool *reached = calloc(topology->n_used + 1, sizeof *reached);
    uint32_t *queue = calloc(topology->n_used + 1, sizeof *queue);

    ret_survey->n_spared = ret_survey->n_missed = 0;
    ret_survey->linked = false;
    if (reached && queue && topology->self != TOPOLOGY_NONE) {
        flood(topology, reached, queue);
        ret_survey->n_spared = list_spared(topology, reached, false, random, ret_survey->spared);
        ret_survey->linked = ret_survey->n_spared == 0;
        if (ret_survey->linked)
            ret_survey->n_spared = list_spared(topology, reached, true, random, ret_survey->spared);
        ret_survey->n_missed = list_missed(topology, reached, random, ret_survey->missed);
    }
    free(reached);
    free(queue);
}

bool topology_names(const struct topology *topology, uint64_t prefix) {
    uint32_t v = topology_find(topology, prefix);
    if (topology->self == TOPOLOGY_NONE)
        return false;
    return v != TOPOLOGY_NONE ? is_our_link(topology, v)
                              : find_stranger(&topology->vertices[topology->self], prefix) >= 0;
}
