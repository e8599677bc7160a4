/* Who is linked to whom, as a graph of small integers, and uniformly random simple paths through
 * it. Pure: it never sees a key or an address. A link between two others counts only if both claim
 * it; our own links are what we say they are.
 *
 * Threat: claimed links capture routes, so a node has 16 at most and each needs its other end's
 * word. Implements p2pd-protocol(7) ROUTES. The walk counts are the transfer-matrix method;
 * rejection of walks that meet a node twice leaves the uniform distribution over simple paths. */
#ifndef P2PD_TOPOLOGY_H
#define P2PD_TOPOLOGY_H

#include "daemon/core/base/base.h"
#include "daemon/core/base/limits.h"

#define TOPOLOGY_NONE UINT32_MAX

struct topology;

struct topology *topology_new(void);
void topology_free(struct topology *topology);

/* Set what node `prefix` claims: the prefixes of its neighbours (n <= 16; itself and repeats are
 * ignored) and whether it relays. Creates the vertex at the first call. Returns 0 or -ENOMEM. */
int topology_set(struct topology *topology, uint64_t prefix, bool relay, const uint64_t *neighbours,
                 size_t n);
/* The node is no longer known. Its vertex number may be given to another. */
void topology_remove(struct topology *topology, uint64_t prefix);
/* Set our own links. Each counts even if the other end has not published it yet, and no other link
 * of ours does. The first 16 count. topology_set and topology_remove of our own node do nothing.
 * Returns 0 or -ENOMEM. */
int topology_set_self(struct topology *topology, uint64_t prefix, const uint64_t *neighbours,
                      size_t n);

/* Grows with every change that can alter a path; a cache of paths or counts is good while it stands
 * still. */
uint64_t topology_generation(const struct topology *topology);
size_t topology_nodes(const struct topology *topology);
/* Links that count, of one node: writes up to 16 prefixes, returns how many. 0 for an unknown
 * node. */
size_t topology_neighbours(const struct topology *topology, uint64_t prefix,
                           uint64_t ret_prefixes[TOPOLOGY_DEGREE_MAX]);
bool topology_has_link(const struct topology *topology, uint64_t a, uint64_t b);
/* Does this node relay, by its own word? False for an unknown one. */
bool topology_relays(const struct topology *topology, uint64_t prefix);

/* Nodes to which no chain of links leads from us: dead, or the other side of a partition. Returns
 * how many; one of them, uniformly drawn, in *ret_prefix if there are any. Walks the whole graph,
 * so call it seldom. */
size_t topology_unreached(const struct topology *topology, const struct core_random *random,
                          uint64_t *ret_prefix);

/* Visit each node to which a chain of links leads from us, ourselves first. False: no memory, or we
 * have no vertex yet; nobody was visited. */
bool topology_visit_reached(const struct topology *topology,
                            void (*visit)(void *context, uint64_t prefix), void *context);

/* Which nodes the directory could do without (spared), and which are named as neighbours but not
 * known (missed); of more than there is room for, a uniform choice. Walks the whole graph. */
struct topology_survey {
    uint64_t
        spared[TOPOLOGY_SURVEYED]; /* nodes that no link that counts leads to, but see `linked` */
    size_t n_spared;
    bool linked; /* there are none: `spared` have links, but no chain from us */
    uint64_t missed[TOPOLOGY_SURVEYED]; /* not known, but claimed by a node that a chain leads to */
    size_t n_missed;
};
void topology_survey(const struct topology *topology, const struct core_random *random,
                     struct topology_survey *ret_survey);
/* Do we have a link to this node, known or not? */
bool topology_names(const struct topology *topology, uint64_t prefix);
/* Set whether routes may go through a known node, in place of what topology_set() said. */
void topology_set_relay(struct topology *topology, uint64_t prefix, bool relay);

struct topology_query {
    uint64_t target;
    unsigned relays;        /* 0..5 between ourselves and the target */
    const uint64_t *firsts; /* guards: the allowed first relays; NULL = any neighbour that relays */
    size_t n_firsts;
    const uint64_t
        *avoid; /* relays not to be used after the first; the caller relaxes this if need be */
    size_t n_avoid;
};

/* How many simple paths answer the query, counted up to `cap`. Interior nodes relay and are neither
 * end. */
uint64_t topology_count(struct topology *topology, const struct topology_query *query,
                        uint64_t cap);
/* The same as an estimate for large numbers: walks times the share of sampled walks that are simple
 * (0 if none). */
double topology_estimate(struct topology *topology, const struct topology_query *query,
                         const struct core_random *random);

/* Draw one of these paths uniformly: ret_path gets relays + 1 prefixes, the first relay first, the
 * target last. 0, or -ENOENT: there is none (or 4,096 draws in a row were not simple and an
 * exhaustive look found none). */
int topology_sample(struct topology *topology, const struct topology_query *query,
                    const struct core_random *random, uint64_t *ret_path);

#endif
