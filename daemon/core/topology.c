/* The graph of claims and links.
 *
 * Threat: everything here is what others claim. A link between two others stands in `links` only
 * while both claim it, so nobody enters a route by his own word alone; and the work a query can
 * cause is bounded by 16 links a node and 5 relays. */
#include "daemon/core/topology_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define CAPACITY_FIRST 32

/* ---- Map ---- */

/* Identities are free, so anyone can grind prefixes that would share a home slot. Where this struct
 * lies in memory is a seed that he does not know; nothing but the time taken depends on it. Mixing
 * as in splitmix64. */
static uint32_t map_home(const struct topology *topology, uint64_t prefix) {
    uint64_t x = prefix ^ (uint64_t)(uintptr_t)topology * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(x ^ x >> 31) & (2 * topology->capacity - 1);
}

/* The slot that holds the prefix, or the empty one where it would go. */
static uint32_t map_slot_of(const struct topology *topology, uint64_t prefix) {
    uint32_t mask = 2 * topology->capacity - 1, i = map_home(topology, prefix);
    while (topology->map[i].number != 0 && topology->map[i].prefix != prefix)
        i = (i + 1) & mask;
    return i;
}

uint32_t topology_find(const struct topology *topology, uint64_t prefix) {
    uint32_t number = topology->map[map_slot_of(topology, prefix)].number;
    return number != 0 ? number - 1 : TOPOLOGY_NONE;
}

static void map_put(struct topology *topology, uint64_t prefix, uint32_t vertex) {
    topology->map[map_slot_of(topology, prefix)] = (struct map_slot){prefix, vertex + 1};
}

/* Close the gap by moving back whatever had been pushed past it (Knuth 6.4 R): no tombstones, so
 * churn costs nothing. */
static void map_delete(struct topology *topology, uint64_t prefix) {
    uint32_t mask = 2 * topology->capacity - 1, gap = map_slot_of(topology, prefix);
    for (uint32_t i = (gap + 1) & mask; topology->map[i].number != 0; i = (i + 1) & mask) {
        uint32_t home = map_home(topology, topology->map[i].prefix);
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            topology->map[gap] = topology->map[i];
            gap = i;
        }
    }
    topology->map[gap] = (struct map_slot){0, 0};
}

/* ---- Vertices ---- */

static int grow(struct topology *topology, uint32_t capacity) {
    struct vertex *vertices = realloc(topology->vertices, capacity * sizeof *vertices);
    if (vertices == NULL)
        return -ENOMEM;
    topology->vertices = vertices;
    struct map_slot *map = calloc((size_t)2 * capacity, sizeof *map);
    uint32_t *weights = calloc((size_t)LEVELS * capacity, sizeof *weights);
    uint32_t *touched = calloc((size_t)LEVELS * capacity, sizeof *touched);
    if (map == NULL || weights == NULL || touched == NULL) {
        free(map);
        free(weights);
        free(touched);
        return -ENOMEM;
    }
    struct map_slot *old = topology->map;
    uint32_t n_old = 2 * topology->capacity;
    free(topology->weights);
    free(topology->touched);
    topology->map = map;
    topology->weights = weights;
    topology->touched = touched;
    topology->n_levels = 0;
    topology->capacity = capacity;
    for (uint32_t i = 0; i < n_old; i++)
        if (old[i].number != 0)
            map_put(topology, old[i].prefix, old[i].number - 1);
    free(old);
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
    free(topology->vertices);
    free(topology->map);
    free(topology->weights);
    free(topology->touched);
    free(topology);
}

static bool has_claim(const struct vertex *vertex, uint64_t prefix) {
    for (unsigned i = 0; i < vertex->n_claims; i++)
        if (vertex->claims[i] == prefix)
            return true;
    return false;
}

static void link_add(struct vertex *vertex, uint32_t other) {
    assert(vertex->n_links < TOPOLOGY_DEGREE_MAX); /* links are a subset of claims */
    vertex->links[vertex->n_links++] = other;
}

static void link_drop(struct vertex *vertex, uint32_t other) {
    for (unsigned i = 0; i < vertex->n_links; i++)
        if (vertex->links[i] == other) {
            vertex->links[i] = vertex->links[--vertex->n_links];
            return;
        }
}

static void part(struct topology *topology, uint32_t a, uint32_t b) {
    link_drop(&topology->vertices[a], b);
    link_drop(&topology->vertices[b], a);
    topology->generation++;
}

/* A vertex without claims or links, or TOPOLOGY_NONE where there is no memory. */
static uint32_t vertex_new(struct topology *topology, uint64_t prefix) {
    uint32_t v = topology->free;
    if (v != TOPOLOGY_NONE) {
        topology->free = topology->vertices[v].links[0];
    } else {
        if (topology->n_used == topology->capacity && grow(topology, 2 * topology->capacity) != 0)
            return TOPOLOGY_NONE;
        v = topology->n_used++;
    }
    topology->vertices[v] = (struct vertex){.prefix = prefix};
    map_put(topology, prefix, v);
    topology->n_nodes++;
    topology->generation++;
    if (topology->self != TOPOLOGY_NONE && has_claim(&topology->vertices[topology->self], prefix))
        link_add(&topology->vertices[topology->self], v);
    return v;
}

static void vertex_free(struct topology *topology, uint32_t v) {
    struct vertex *vertex = &topology->vertices[v];
    map_delete(topology, vertex->prefix);
    *vertex = (struct vertex){.links = {topology->free}};
    topology->free = v;
    topology->n_nodes--;
    topology->generation++;
}

/* Replace the claims, leaving out the node itself, repeats, and whatever exceeds the bound. */
static void vertex_claim(struct vertex *vertex, const uint64_t *neighbours, size_t n) {
    vertex->n_claims = 0;
    for (size_t i = 0; i < n && vertex->n_claims < TOPOLOGY_DEGREE_MAX; i++)
        if (neighbours[i] != vertex->prefix && !has_claim(vertex, neighbours[i]))
            vertex->claims[vertex->n_claims++] = neighbours[i];
}

/* A claim on a node not known yet needs no note: when that node comes, its own claims lead back
 * here. */
int topology_set(struct topology *topology, uint64_t prefix, bool relay, const uint64_t *neighbours,
                 size_t n) {
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
    vertex_claim(vertex, neighbours, n);
    for (unsigned i = vertex->n_links; i-- > 0;)
        if (!has_claim(vertex, topology->vertices[vertex->links[i]].prefix))
            part(topology, v, vertex->links[i]);
    for (unsigned i = 0; i < vertex->n_claims; i++) {
        uint32_t u = topology_find(topology, vertex->claims[i]);
        if (u == TOPOLOGY_NONE || u == topology->self || vertex_has_link(vertex, u) ||
            !has_claim(&topology->vertices[u], prefix))
            continue;
        link_add(vertex, u);
        link_add(&topology->vertices[u], v);
        topology->generation++;
    }
    return 0;
}

void topology_remove(struct topology *topology, uint64_t prefix) {
    uint32_t v = topology_find(topology, prefix);
    if (v == TOPOLOGY_NONE || v == topology->self)
        return;
    while (topology->vertices[v].n_links > 0)
        part(topology, v, topology->vertices[v].links[0]);
    if (topology->self != TOPOLOGY_NONE)
        link_drop(&topology->vertices[topology->self], v);
    vertex_free(topology, v);
}

/* Find or make our vertex, free of links to others' say. */
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
    if (v == TOPOLOGY_NONE)
        return -ENOMEM;
    struct vertex *vertex = &topology->vertices[v], old = *vertex;
    vertex_claim(vertex, neighbours, n);
    vertex->n_links = 0;
    for (unsigned i = 0; i < vertex->n_claims; i++) {
        uint32_t u = topology_find(topology, vertex->claims[i]);
        if (u != TOPOLOGY_NONE)
            link_add(vertex, u);
    }
    if (vertex->n_links != old.n_links ||
        memcmp(vertex->links, old.links, old.n_links * sizeof old.links[0]) != 0)
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

bool topology_has_link(const struct topology *topology, uint64_t a, uint64_t b) {
    uint32_t va = topology_find(topology, a), vb = topology_find(topology, b);
    if (va == TOPOLOGY_NONE || vb == TOPOLOGY_NONE)
        return false;
    return vertex_has_link(&topology->vertices[va], vb) ||
           vertex_has_link(&topology->vertices[vb], va);
}

/* ---- Partitions ---- */

/* Mark what can be reached from ourselves. */
static void flood(const struct topology *topology, bool *reached, uint32_t *queue) {
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
            /* A vertex given back is not the one that its prefix leads to. */
            if (!reached[i] && topology_find(topology, prefix) == i &&
                random_below(random, ++n) == 0)
                *ret_prefix = prefix;
        }
    }
    free(reached);
    free(queue);
    return n;
}
