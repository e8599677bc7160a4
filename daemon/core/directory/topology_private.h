/* What the two halves of the topology share: topology.c keeps the graph, topology_draw.c counts and
 * draws its paths. Nobody else includes this. */
#ifndef P2PD_TOPOLOGY_PRIVATE_H
#define P2PD_TOPOLOGY_PRIVATE_H

#include "daemon/core/directory/topology.h"

/* Levels w_0 .. w_4: w_k of a vertex is how many walks of k links lead from it to the target. The
 * first relay's own count is summed up from its neighbours, so w_5 is never needed everywhere. This
 * is the meeting in the middle: for 3 relays only the 2-link ball around the target is visited. */
#define LEVELS TOPOLOGY_RELAYS_MAX

/* One node: 24 bytes, and 4 for a link. Links are most of what a node costs here. */
struct vertex {
    uint64_t prefix; /* of an unused vertex: number of the next unused one */
    /* n_links neighbours that both ends claim; behind them, two words each, the prefixes of
     * n_strangers claimed ones that do not claim this node or are not known. Links with ourselves
     * stand at our own vertex alone: we are never inside a path, and so no other node can have more
     * than it claims. */
    uint32_t *links;
    uint32_t weighed;                      /* its place in `ball`; any value if it is not there */
    uint8_t n_links, n_strangers, n_words; /* n_words: room at `links` */
    bool relay;
};

/* A vertex from which walks lead to the target: w_k of each length. */
struct weight {
    uint32_t vertex;
    uint32_t walks[LEVELS];
};

struct topology {
    struct vertex *vertices;
    uint32_t *map; /* vertex + 1, 0 = empty; linear probing, a power of two, at most 2/3 full */
    uint32_t n_map;
    struct weight *ball; /* around `target`: as large as walks reach, not as the network */
    uint32_t n_ball, ball_capacity;
    uint32_t n_levels; /* levels that are computed, if `weighed` equals `generation` */
    uint32_t target;
    uint32_t capacity;
    uint32_t n_used; /* vertices ever taken: those beyond it are untouched */
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
