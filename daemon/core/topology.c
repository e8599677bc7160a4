/* The graph, its walk counts, and uniform draws from its simple paths.
 *
 * Threat: everything here is what others claim. A link between two others stands in `links` only
 * while both claim it, so nobody enters a route by his own word alone; and the work a query can
 * cause is bounded by 16 links a node and 5 relays. */
#include "daemon/core/topology.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* w_0 .. w_4: the first relay's own count is gathered from its neighbours, so w_5 is never needed
 * everywhere. This is the meeting in the middle: for 3 relays only the 2-link ball around the
 * target is visited. */
#define LEVELS TOPOLOGY_RELAYS_MAX
#define CAPACITY_FIRST 32
/* Draws before looking exhaustively. Walks number at most 16^6, so if fewer than one in 4,096 is
 * simple there are some thousands of paths at most, and listing them is affordable. */
#define DRAWS_MAX 4096
#define ESTIMATE_DRAWS 1024

struct vertex {
    uint64_t prefix;
    uint64_t claims[TOPOLOGY_DEGREE_MAX];
    /* Claimed by both ends. Links to ourselves stand at our own vertex alone: we are never inside a
     * path, and so no other node can have more than it claims. For a vertex not in use, links[0] is
     * the next such. */
    uint32_t links[TOPOLOGY_DEGREE_MAX];
    uint8_t n_claims, n_links;
    bool relay;
};

struct map_slot {
    uint64_t prefix;
    uint32_t number; /* vertex + 1; 0 = empty */
};

struct topology {
    struct vertex *vertices;
    struct map_slot *map; /* 2 * capacity slots, linear probing */
    uint32_t *weights;    /* LEVELS rows of capacity: w_k(v) towards `target` */
    uint32_t *touched;    /* LEVELS rows of capacity: which v have w_k(v) > 0 */
    uint32_t n_touched[LEVELS];
    uint32_t n_levels; /* rows that hold, if `weighed` is the present generation */
    uint32_t target;
    uint32_t capacity; /* a power of two */
    uint32_t n_used;   /* vertices ever taken: those beyond it are untouched */
    uint32_t n_nodes;
    uint32_t free; /* list of vertices given back */
    uint32_t self;
    uint64_t generation, weighed;
};

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

static uint32_t find(const struct topology *topology, uint64_t prefix) {
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

static bool has_link(const struct vertex *vertex, uint32_t other) {
    for (unsigned i = 0; i < vertex->n_links; i++)
        if (vertex->links[i] == other)
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
    uint32_t v = find(topology, prefix);
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
        uint32_t u = find(topology, vertex->claims[i]);
        if (u == TOPOLOGY_NONE || u == topology->self || has_link(vertex, u) ||
            !has_claim(&topology->vertices[u], prefix))
            continue;
        link_add(vertex, u);
        link_add(&topology->vertices[u], v);
        topology->generation++;
    }
    return 0;
}

void topology_remove(struct topology *topology, uint64_t prefix) {
    uint32_t v = find(topology, prefix);
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
    uint32_t v = find(topology, prefix);
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
        uint32_t u = find(topology, vertex->claims[i]);
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
    return topology->self != TOPOLOGY_NONE && has_link(&topology->vertices[topology->self], v);
}

size_t topology_neighbours(const struct topology *topology, uint64_t prefix,
                           uint64_t ret_prefixes[TOPOLOGY_DEGREE_MAX]) {
    uint32_t v = find(topology, prefix);
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
    uint32_t va = find(topology, a), vb = find(topology, b);
    if (va == TOPOLOGY_NONE || vb == TOPOLOGY_NONE)
        return false;
    return has_link(&topology->vertices[va], vb) || has_link(&topology->vertices[vb], va);
}

/* ---- Walk counts ---- */

static uint32_t *row(uint32_t *rows, const struct topology *topology, uint32_t level) {
    return rows + (size_t)level * topology->capacity;
}

/* Relays alone are inside a path, and neither end is: settled here, in the counts, it need not be
 * rejected later. */
static bool is_interior(const struct topology *topology, uint32_t v) {
    return topology->vertices[v].relay && v != topology->self && v != topology->target;
}

static void weights_begin(struct topology *topology, uint32_t target) {
    for (uint32_t k = 0; k < topology->n_levels; k++)
        for (uint32_t i = 0; i < topology->n_touched[k]; i++)
            row(topology->weights, topology, k)[row(topology->touched, topology, k)[i]] = 0;
    topology->target = target;
    topology->weighed = topology->generation;
    topology->n_levels = 1;
    topology->weights[target] = 1;
    topology->touched[0] = target;
    topology->n_touched[0] = 1;
}

/* w_k from w_{k-1}, pushed outwards from those that have any: the cost is that of the ball, not of
 * the network. */
static void weights_extend(struct topology *topology) {
    uint32_t k = topology->n_levels++, n = 0;
    const uint32_t *inner = row(topology->weights, topology, k - 1);
    const uint32_t *inner_touched = row(topology->touched, topology, k - 1);
    uint32_t *outer = row(topology->weights, topology, k);
    uint32_t *outer_touched = row(topology->touched, topology, k);
    for (uint32_t i = 0; i < topology->n_touched[k - 1]; i++) {
        const struct vertex *vertex = &topology->vertices[inner_touched[i]];
        for (unsigned j = 0; j < vertex->n_links; j++) {
            uint32_t v = vertex->links[j];
            if (!is_interior(topology, v))
                continue;
            if (outer[v] == 0)
                outer_touched[n++] = v;
            outer[v] += inner[inner_touched[i]];
        }
    }
    topology->n_touched[k] = n;
}

/* Make rows 0..level hold for this target. One target is kept: paths are drawn for one recipient at
 * a time. */
static void weights_ensure(struct topology *topology, uint32_t target, uint32_t level) {
    if (topology->n_levels == 0 || topology->weighed != topology->generation ||
        topology->target != target)
        weights_begin(topology, target);
    while (topology->n_levels <= level)
        weights_extend(topology);
}

/* How many walks lead from v to the target by way of a neighbour with `level` links to go. At most
 * 16^5. */
static uint32_t walks_from(struct topology *topology, uint32_t v, uint32_t level) {
    const struct vertex *vertex = &topology->vertices[v];
    const uint32_t *weights = row(topology->weights, topology, level);
    uint32_t sum = 0;
    for (unsigned i = 0; i < vertex->n_links; i++)
        sum += weights[vertex->links[i]];
    return sum;
}

/* ---- Draws ---- */

/* A query made ready: its ends found, its first relays weighed; and the path being tried. */
struct draw {
    struct topology *topology;
    const struct topology_query *query;
    uint32_t firsts[TOPOLOGY_DEGREE_MAX], first_walks[TOPOLOGY_DEGREE_MAX];
    uint32_t n_firsts;
    uint32_t walks;
    uint32_t path[TOPOLOGY_RELAYS_MAX];
};

static bool is_among(const uint64_t *prefixes, size_t n, uint64_t prefix) {
    for (size_t i = 0; i < n; i++)
        if (prefixes[i] == prefix)
            return true;
    return false;
}

/* False: not one walk answers the query. */
static bool draw_init(struct draw *draw, struct topology *topology,
                      const struct topology_query *query) {
    *draw = (struct draw){.topology = topology, .query = query};
    uint32_t target = find(topology, query->target);
    if (target == TOPOLOGY_NONE || topology->self == TOPOLOGY_NONE || target == topology->self ||
        query->relays > TOPOLOGY_RELAYS_MAX)
        return false;
    const struct vertex *self = &topology->vertices[topology->self];
    if (query->relays == 0) {
        draw->walks = has_link(self, target) ? 1 : 0;
        return draw->walks > 0;
    }
    weights_ensure(topology, target, query->relays - 1);
    for (unsigned i = 0; i < self->n_links; i++) {
        uint32_t v = self->links[i];
        if (!is_interior(topology, v) ||
            (query->firsts != NULL &&
             !is_among(query->firsts, query->n_firsts, topology->vertices[v].prefix)))
            continue;
        draw->firsts[draw->n_firsts] = v;
        draw->first_walks[draw->n_firsts] = walks_from(topology, v, query->relays - 1);
        draw->walks += draw->first_walks[draw->n_firsts++];
    }
    return draw->walks > 0;
}

/* May u be the path's place `depth` (1 or later)? */
static bool is_allowed(const struct draw *draw, unsigned depth, uint32_t u) {
    for (unsigned i = 0; i < depth; i++)
        if (draw->path[i] == u)
            return false;
    return !is_among(draw->query->avoid, draw->query->n_avoid, draw->topology->vertices[u].prefix);
}

static uint32_t draw_first(const struct draw *draw, const struct core_random *random) {
    uint64_t x = random_below(random, draw->walks);
    uint32_t i = 0;
    while (x >= draw->first_walks[i])
        x -= draw->first_walks[i++];
    return draw->firsts[i];
}

static uint32_t draw_next(const struct draw *draw, uint32_t v, uint32_t level,
                          const struct core_random *random) {
    const uint32_t *weights = row(draw->topology->weights, draw->topology, level);
    const uint32_t *link = draw->topology->vertices[v].links;
    uint64_t x = random_below(random, walks_from(draw->topology, v, level));
    while (x >= weights[*link])
        x -= weights[*link++];
    return *link;
}

/* One uniformly random walk into draw->path; false if it is not simple or meets what is to be
 * avoided. */
static bool draw_walk(struct draw *draw, const struct core_random *random) {
    unsigned relays = draw->query->relays;
    if (relays == 0)
        return true;
    draw->path[0] = draw_first(draw, random);
    for (unsigned i = 1; i < relays; i++) {
        draw->path[i] = draw_next(draw, draw->path[i - 1], relays - i, random);
        if (!is_allowed(draw, i, draw->path[i]))
            return false;
    }
    return true;
}

/* All simple paths, up to cap. With `random`, `chosen` ends as a uniform one of them (reservoir
 * sampling). */
struct listing {
    struct draw *draw;
    uint64_t found, cap;
    const struct core_random *random;
    uint32_t chosen[TOPOLOGY_RELAYS_MAX];
};

/* Recursion is as deep as a path has relays: 5. */
static void list_from(struct listing *listing, unsigned depth) {
    struct draw *draw = listing->draw;
    unsigned relays = draw->query->relays;
    if (depth == relays) {
        listing->found++;
        if (listing->random != NULL && random_below(listing->random, listing->found) == 0)
            memcpy(listing->chosen, draw->path, sizeof listing->chosen);
        return;
    }
    const struct vertex *vertex = &draw->topology->vertices[draw->path[depth - 1]];
    const uint32_t *weights = row(draw->topology->weights, draw->topology, relays - depth);
    for (unsigned i = 0; i < vertex->n_links && listing->found < listing->cap; i++) {
        uint32_t u = vertex->links[i];
        if (weights[u] == 0 || !is_allowed(draw, depth, u))
            continue;
        draw->path[depth] = u;
        list_from(listing, depth + 1);
    }
}

static void list_all(struct listing *listing) {
    struct draw *draw = listing->draw;
    if (draw->query->relays == 0)
        listing->found = 1;
    for (uint32_t i = 0; i < draw->n_firsts && listing->found < listing->cap; i++) {
        if (draw->first_walks[i] == 0)
            continue;
        draw->path[0] = draw->firsts[i];
        list_from(listing, 1);
    }
}

uint64_t topology_count(struct topology *topology, const struct topology_query *query,
                        uint64_t cap) {
    struct draw draw;
    if (cap == 0 || !draw_init(&draw, topology, query))
        return 0;
    struct listing listing = {.draw = &draw, .cap = cap};
    list_all(&listing);
    return listing.found;
}

double topology_estimate(struct topology *topology, const struct topology_query *query,
                         const struct core_random *random) {
    struct draw draw;
    if (!draw_init(&draw, topology, query))
        return 0;
    unsigned simple = 0;
    if (draw.walks > DRAWS_MAX)
        for (unsigned i = 0; i < ESTIMATE_DRAWS; i++)
            simple += draw_walk(&draw, random) ? 1 : 0;
    if (simple == 0) /* few walks, or hardly any simple: the exact number is cheap */
        return (double)topology_count(topology, query, UINT64_MAX);
    return (double)draw.walks * simple / ESTIMATE_DRAWS;
}

int topology_sample(struct topology *topology, const struct topology_query *query,
                    const struct core_random *random, uint64_t *ret_path) {
    struct draw draw;
    if (!draw_init(&draw, topology, query))
        return -ENOENT;
    const uint32_t *path = NULL;
    /* Not more draws than there are walks: by then listing them all costs no more. */
    for (unsigned i = 0; i < DRAWS_MAX && i < draw.walks && path == NULL; i++)
        if (draw_walk(&draw, random))
            path = draw.path;
    struct listing listing = {.draw = &draw, .cap = UINT64_MAX, .random = random};
    if (path == NULL) {
        list_all(&listing);
        if (listing.found == 0)
            return -ENOENT;
        path = listing.chosen;
    }
    for (unsigned i = 0; i < query->relays; i++)
        ret_path[i] = topology->vertices[path[i]].prefix;
    ret_path[query->relays] = query->target;
    return 0;
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
            if (!reached[i] && find(topology, prefix) == i && random_below(random, ++n) == 0)
                *ret_prefix = prefix;
        }
    }
    free(reached);
    free(queue);
    return n;
}
