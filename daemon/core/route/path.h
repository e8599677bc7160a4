/* Onion paths: the choice of guards, of the length and of the relays (a uniformly random simple
 * path), and live paths with their keys. This module draws paths and seals packets; the caller
 * decides what travels on a path and hands the packets to a link.
 *
 * Threat: if every path had a fresh first relay, each neighbour would sooner or later see that we
 * send (Wright et al. 2002): hence guards. Relays that drop packets selectively steer our choice by
 * making paths fail: hence at most 4 redraws to avoid a link that failed. Implements
 * p2pd-protocol(7) ROUTES. */
#ifndef P2PD_PATH_H
#define P2PD_PATH_H

#include "daemon/core/base/base.h"
#include "daemon/core/base/limits.h"
#include "daemon/core/directory/directory.h"
#include "daemon/core/directory/topology.h"
#include "daemon/core/route/path_silence.h"
#include "daemon/core/wire/onion.h"

/* Timers. Two cause a wake-up (paths_next(); paths_prepare() does a piece of the work):
 * - prepare: paths are prebuilt. Started by paths_expect() (at once) and by the use of a path (2 ms
 *   later, so that the packet goes first); due again at once after each piece of work; stopped when
 *   all wanted paths are there.
 * - check (5 s): prebuilt paths that are no longer good are dropped, and recipients that were not
 *   written to for 1 min forgotten. Started by the first recipient; stopped with the last.
 *
 * The other times are compared when they matter and cause no wake-up: the life of a live path (2 s
 * from path_draw(), 2 min from its minute, the end of its epoch) and of a prebuilt one (30 s from
 * when it was drawn); the pause after a failed draw (5 s); how long a neighbour must be linked to
 * become a guard (1 h), and how long a guard that went down keeps its place (30 s); how long a
 * link's failures count (1 min); how long a route of the configured length is waited for before a
 * shorter one is used (4 s). */

#define PATH_PACKETS_MAX ONION_INDEX_COUNT
#define PATH_CHOICES_WANTED 16
/* How long a prebuilt path is kept for a recipient. */
#define PATH_SPARE_LIFE_US (30 * US_PER_S)
#define PATH_AVOID_MAX 160 /* of a request that is to be disjoint: 32 paths of 5 relays */

struct paths; /* one a node: guards, memory of failed links */
struct path;  /* one live path; secrets */

struct path_config {
    unsigned relays, guards;
    bool strict;
    bool once; /* a path serves one packet (route.reuse = no) */
};
struct paths *paths_new(const struct path_config *config, struct directory *directory,
                        const struct core_random *random);
/* Precondition (asserted): every path has been freed. Takes NULL. */
void paths_free(struct paths *paths);
void paths_configure(struct paths *paths, const struct path_config *config);

/* Set the established neighbours (without suspects; at most 18), at every change. Guards are chosen
 * among those that relay. A guard that is not among them keeps its place for 30 s (5 s while no
 * other guard is up, unless only its keys have yet to settle); time without any neighbour does not
 * count. The place of a dead guard stays empty, and the other guards serve alone, until a neighbour
 * has been linked for an hour. */
struct path_neighbour {
    uint64_t prefix;
    bool relay; /* relays, and may be sent through now */
    struct mono since;
    bool settling; /* may be sent through once its keys have settled */
};
void paths_set_neighbours(struct paths *paths, const struct path_neighbour *neighbours, size_t n,
                          struct mono now);
bool paths_is_guard(const struct paths *paths, uint64_t prefix);

struct path_request {
    struct node_id target;
    uint8_t relays_exact;  /* RELAYS_DEFAULT (0xff): as configured */
    bool strict;           /* or'ed with the configuration */
    const uint64_t *avoid; /* later relays of other paths: avoided where another choice exists */
    size_t n_avoid;
    bool disjoint; /* its first relay is none of `firsts` where that is possible, if need be a
                      neighbour that is no guard. For shards, so that a relay that dies costs one of
                      them alone; the price is that more neighbours see that we send */
    const uint64_t *firsts; /* first relays of those other paths (`avoid` holds them too) */
    size_t n_firsts;
    /* Recent tries that were not answered (NULL: none is known): the path avoids their relays as
     * far as the network allows, those of the most tries first. Its length and its first relay
     * follow the same rules as any path's. */
    const struct path_silence *silence;
    bool again; /* more draws of the kind will follow: prebuild some. Not with `disjoint` */
};
enum path_outcome {
    PATH_OK = 0,
    PATH_UNKNOWN, /* no descriptor of the target, or no routing key for this epoch */
    PATH_NONE,    /* no path just now: there is none; all guards are down and expected back; a
                     full-length one is hoped for (4 s or more); PATH_LIVE_MAX paths are live; or
                     no memory */
    PATH_STRICT,  /* none as long as asked for (strict, relays_exact), though there are others */
};
/* Draw and key a path. `wall` is corrected time. *ret_fewer: it has fewer relays than configured
 * (the user is to be told). */
enum path_outcome path_draw(struct paths *paths, const struct path_request *request, struct now now,
                            struct path **ret_path, bool *ret_fewer);
/* ---- Prebuilt paths: otherwise a first packet waits for two X25519 operations a hop ---- */

/* The target is about to be written to: from now on paths to it are drawn and keyed in idle time,
 * until it has not been written to for a minute. At most PATH_EXPECTED_MAX targets are remembered;
 * beyond that the one not written to for longest is forgotten. path_draw() with `again` does the
 * same. */
void paths_expect(struct paths *paths, const struct path_request *request, struct mono now);
/* Do some of that work, if it is due: no more than one draw or the keying of one hop. */
void paths_prepare(struct paths *paths, struct now now);
/* When paths_prepare() is due. It is never due at the time of the call that made work for it, so
 * that the caller finishes the rest of its step first. */
struct mono paths_next(const struct paths *paths);

/* Does a path serve more than one packet (route.reuse)? */
bool paths_reuse(const struct paths *paths);

/* Draw only, for `route` and `ping`: ret_hops gets relays then target; *ret_n hops; *ret_choices:
 * how many such paths there are, by topology_estimate(). */
enum path_outcome path_sample(struct paths *paths, const struct path_request *request,
                              struct mono now, uint64_t ret_hops[TOPOLOGY_RELAYS_MAX + 1],
                              size_t *ret_n, double *ret_choices);
void path_free(struct path *path); /* wipes; takes NULL */

/* May another packet go over this path: young enough, packets left (one, where paths are not used
 * again), first link up, epoch still good? */
bool path_is_usable(const struct paths *paths, const struct path *path, struct now now);
/* Wrap a payload (<= ONION_PAYLOAD_MAX). Precondition: fewer than PATH_PACKETS_MAX so far. Returns
 * the packet's number on this path. */
uint16_t path_seal(struct paths *paths, struct path *path, const void *payload, size_t length,
                   uint8_t ret_packet[ONION_LEN]);
uint64_t path_first(const struct path *path); /* the neighbour to hand packets to */
size_t path_hops(const struct path *path,
                 uint64_t ret_hops[TOPOLOGY_RELAYS_MAX + 1]); /* relays, then target */

/* Record that the path worked, or failed, for each of its links. Paths with a link that in the last
 * minute failed twice and never worked are redrawn. Call at most one of them, once for each
 * path. */
void path_worked(struct paths *paths, const struct path *path, struct mono now);
void path_failed(struct paths *paths, const struct path *path, struct mono now);

#endif
