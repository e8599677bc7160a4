/* Walk counts, and uniform draws from the simple paths. Threat: see topology.c; the work that a
 * query can cause is bounded by 16 links a node and 5 relays. */
#include "daemon/core/directory/topology_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Draws before looking exhaustively. Walks number at most 16^6, so if fewer than one in 4,096 is
 * simple there are some thousands of paths at most, and listing them is affordable. */
#define DRAWS_MAX 4096
#define ESTIMATE_DRAWS 1024

/* ---- Walk counts ---- */

#define BALL_FIRST 64

/* The place of a vertex in the ball, or NULL. What a vertex remembers may be left from another
 * target, so the ball decides. */
static struct weight *weight_find(const struct topology *topology, uint32_t v) {
    uint32_t at = topology->vertices[v].weighed;
    return at < topology->n_ball && topology->ball[at].vertex == v ? &topology->ball[at] : NULL;
}

static uint32_t walks_of(const struct topology *topology, uint32_t v, uint32_t level) {
    const struct weight *weight = weight_find(topology, v);
    return weight != NULL ? weight->walks[level] : 0;
}

/* Add a vertex to the ball, which may move in memory. NULL: no memory. */
static struct weight *weight_enter(struct topology *topology, uint32_t v) {
    if (topology->n_ball == topology->ball_capacity) {
        uint32_t capacity = topology->ball_capacity + topology->ball_capacity / 4 + BALL_FIRST;
        struct weight *ball = reallocarray(topology->ball, capacity, sizeof *ball);
        if (ball == NULL)
            return NULL;
        topology->ball = ball;
        topology->ball_capacity = capacity;
    }
    topology->vertices[v].weighed = topology->n_ball;
    struct weight *weight = &topology->ball[topology->n_ball++];
    *weight = (struct weight){.vertex = v};
    return weight;
}

/* May a vertex be inside a path: is it a relay, and neither end? Walks through others are not
 * counted, so they need not be rejected later. */
static bool is_interior(const struct topology *topology, uint32_t v) {
    return topology->vertices[v].relay && v != topology->self && v != topology->target;
}

static bool weights_begin(struct topology *topology, uint32_t target) {
    topology->n_ball = topology->n_levels = 0;
    struct weight *weight = weight_enter(topology, target);
    if (weight == NULL)
        return false;
    weight->walks[0] = 1;
    topology->target = target;
    topology->weighed = topology->generation;
    topology->n_levels = 1;
    return true;
}

/* Add `walks` walks of k links to each neighbour of this vertex that may be inside a path. */
static bool weights_spread(struct topology *topology, const struct vertex *vertex, uint32_t k,
                           uint32_t walks) {
    for (unsigned j = 0; j < vertex->n_links; j++) {
        uint32_t v = vertex->links[j];
        if (!is_interior(topology, v))
            continue;
        struct weight *weight = weight_find(topology, v);
        if (weight == NULL && (weight = weight_enter(topology, v)) == NULL)
            return false;
        weight->walks[k] += walks;
    }
    return true;
}

/* Compute w_k from w_{k-1}, from the vertices whose w_{k-1} is not 0: the cost is that of the ball,
 * not of the network. */
static bool weights_extend(struct topology *topology) {
    uint32_t k = topology->n_levels, inner = topology->n_ball;
    for (uint32_t i = 0; i < inner; i++) {
        uint32_t walks = topology->ball[i].walks[k - 1];
        if (walks > 0 &&
            !weights_spread(topology, &topology->vertices[topology->ball[i].vertex], k, walks)) {
            topology->n_levels = 0; /* half done: all levels are computed anew next time */
            return false;
        }
    }
    topology->n_levels++;
    return true;
}

/* Make levels 0..level hold for this target. One target is kept: paths are drawn for one recipient
 * at a time. False: no memory. */
static bool weights_ensure(struct topology *topology, uint32_t target, uint32_t level) {
    if ((topology->n_levels == 0 || topology->weighed != topology->generation ||
         topology->target != target) &&
        !weights_begin(topology, target))
        return false;
    while (topology->n_levels <= level)
        if (!weights_extend(topology))
            return false;
    return true;
}

/* How many walks lead from v to the target by way of a neighbour with `level` links to go. At most
 * 16^5. */
static uint32_t walks_from(const struct topology *topology, uint32_t v, uint32_t level) {
    const struct vertex *vertex = &topology->vertices[v];
    uint32_t sum = 0;
    for (unsigned i = 0; i < vertex->n_links; i++)
        sum += walks_of(topology, vertex->links[i], level);
    return sum;
}

/* ---- Draws ---- */

/* A query made ready: its first relays and how many walks begin with each; and the path being
 * tried. */
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

/* False: no walk answers the query, or no memory. */
static bool draw_init(struct draw *draw, struct topology *topology,
                      const struct topology_query *query) {
    *draw = (struct draw){.topology = topology, .query = query};
    uint32_t target = topology_find(topology, query->target);
    if (target == TOPOLOGY_NONE || topology->self == TOPOLOGY_NONE || target == topology->self ||
        query->relays > TOPOLOGY_RELAYS_MAX)
        return false;
    const struct vertex *self = &topology->vertices[topology->self];
    if (query->relays == 0) {
        draw->walks = vertex_has_link(self, target) ? 1 : 0;
        return draw->walks > 0;
    }
    if (!weights_ensure(topology, target, query->relays - 1))
        return false;
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

/* May vertex u stand at place `depth` (1 or later) of the path? */
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
    const uint32_t *link = draw->topology->vertices[v].links;
    uint64_t n = walks_from(draw->topology, v, level);
    assert(n > 0); /* or no walk would have come here */
    uint64_t x = random_below(random, n);
    for (uint32_t walks; x >= (walks = walks_of(draw->topology, *link, level)); link++)
        x -= walks;
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
    for (unsigned i = 0; i < vertex->n_links && listing->found < listing->cap; i++) {
        uint32_t u = vertex->links[i];
        if (walks_of(draw->topology, u, relays - depth) == 0 || !is_allowed(draw, depth, u))
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
