/* What the two halves of the topology share: topology.c keeps the graph, topology_draw.c counts and draws its paths. Nobody else
 * includes this. */
#ifndef P2PD_TOPOLOGY_PRIVATE_H
#define P2PD_TOPOLOGY_PRIVATE_H

#include "daemon/core/topology.h"

/* w_0 .. w_4: the first relay's own count is gathered from its neighbours, so w_5 is never needed
 * everywhere. This is the meeting in the middle: for 3 relays only the 2-link ball around the
 * target is visited. */
#define LEVELS TOPOLOGY_RELAYS_MAX

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

/* The vertex of a node, or TOPOLOGY_NONE. */
uint32_t topology_find(const struct topology *topology, uint64_t prefix);
static inline bool vertex_has_link(const struct vertex *vertex, uint32_t other) {
    for (unsigned i = 0; i < vertex->n_links; i++)
        if (vertex->links[i] == other)
            return true;
    return false;
}

#endif
