/* Onion paths: which guards, how long, which relays (a uniformly random simple path), and a live
 * path with its keys. It draws and seals; what travels on a path and over which link is others'
 * business.
 *
 * Threat: a fresh first relay every time shows every neighbour, sooner or later, who sends (Wright
 * et al. 2002): hence guards. Selective droppers steer by making paths fail: hence at most 4
 * redraws for a bad link's sake. Implements p2pd-protocol(7) ROUTES. */
#ifndef P2PD_PATH_H
#define P2PD_PATH_H

#include "daemon/core/base/base.h"
#include "daemon/core/base/limits.h"
#include "daemon/core/directory/directory.h"
#include "daemon/core/directory/topology.h"
#include "daemon/core/route/path_silence.h"
#include "daemon/core/wire/onion.h"

/* Timers. Two wake (paths_next(); paths_prepare() does a piece of work):
 * - prepare: paths are made ahead. Started by paths_expect() (at once) and by the use of a path
 *   (2 ms later, for what it was used for goes first); after each piece of work due again at once;
 *   stopped when all that are wanted are there.
 * - check (5 s): spare paths that are no good any more are dropped, and recipients that were not
 *   written to for 1 min forgotten. Started by the first recipient; stopped with the last.
 *
 * The others are looked at when they matter and wake nobody: the life of a live path (2 s) and of a
 * spare one (30 s), both from when it was drawn, or its minute's end; the pause after a draw in
 * vain (5 s); the age of a guard (1 h) and its grace after it went down (30 s); the record of a
 * failed link (1 min); a route that is shorter than configured is waited for (4 s). */

#define PATH_PACKETS_MAX ONION_INDEX_COUNT
#define PATH_CHOICES_WANTED 16
/* How long a path is kept ready for a recipient. */
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

/* The established neighbours just now (suspects left out; at most 18), at every change: guards are
 * chosen among those that relay. A guard left out keeps its place for 30 s (5 s while no other
 * guard is up, unless its keys have but to settle), not counting time without any neighbour; until
 * a neighbour has stood for an hour, nobody takes the place of a dead one and the other guards
 * serve alone. */
struct path_neighbour {
    uint64_t prefix;
    bool relay; /* and may be sent through now */
    struct mono since;
    bool settling; /* or will, once its keys have settled */
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
    bool disjoint; /* shares its first relay with none of `firsts`, if need be by way of a neighbour
                   that is no guard: for shards each of which is to fall with its own relays alone,
                   at the price of showing more neighbours that we send */
    const uint64_t *firsts; /* first relays of those other paths (`avoid` holds them too) */
    size_t n_firsts;
    /* Tries of late that nobody answered (NULL: none is known): the path passes as few relays of
     * them as the network allows, those of the most tries first; its length and its first relay are
     * such as any path's may be. */
    const struct path_silence *silence;
    bool again; /* more draws of the kind will follow: some are made ahead. Not with `disjoint` */
};
enum path_outcome {
    PATH_OK = 0,
    PATH_UNKNOWN, /* no descriptor of the target, or no routing key for this epoch */
    PATH_NONE,    /* no path just now (or guards expected back, or for 3 s none of full length where
                     relays are enough for one; 1,024 live paths; no memory) */
    PATH_STRICT,  /* none as long as asked for (strict, relays_exact), though there are others */
};
/* Draw and key a path. `wall` is corrected time. *ret_fewer: fewer relays than configured (a notice
 * is due). */
enum path_outcome path_draw(struct paths *paths, const struct path_request *request, struct now now,
                            struct path **ret_path, bool *ret_fewer);
/* ---- Paths made ahead: without them a path's first packet waits for two exchanges a hop ---- */

/* Somebody is about to be written to: paths to it are drawn and keyed in idle time from now on,
 * until it was not for a minute. At most PATH_EXPECTED_MAX are remembered; then the one not written
 * to for longest goes. A draw with `again` says the same. */
void paths_expect(struct paths *paths, const struct path_request *request, struct mono now);
/* Do some of that work, if it is due: no more than one draw or the keying of one hop. */
void paths_prepare(struct paths *paths, struct now now);
/* When there will be some. Never at the very time of a call that made for it: who has more to do in
 * that step does it first. */
struct mono paths_next(const struct paths *paths);

/* Does a path serve more than one packet (route.reuse)? */
bool paths_reuse(const struct paths *paths);

/* Draw only, for `route` and `ping`: ret_hops gets relays then target; *ret_n hops; *ret_choices as
 * topology_estimate/count. */
enum path_outcome path_sample(struct paths *paths, const struct path_request *request,
                              struct mono now, uint64_t ret_hops[TOPOLOGY_RELAYS_MAX + 1],
                              size_t *ret_n, double *ret_choices);
void path_free(struct path *path); /* wipes; takes NULL */

/* May another packet go over it: young enough, packets left (one, where paths are not used again),
 * first link up, epoch still good? */
bool path_is_usable(const struct paths *paths, const struct path *path, struct now now);
/* Wrap a payload (<= ONION_PAYLOAD_MAX). Precondition: fewer than PATH_PACKETS_MAX so far. Returns
 * the packet's number on this path. */
uint16_t path_seal(struct paths *paths, struct path *path, const void *payload, size_t length,
                   uint8_t ret_packet[ONION_LEN]);
uint64_t path_first(const struct path *path); /* the neighbour to hand packets to */
size_t path_hops(const struct path *path,
                 uint64_t ret_hops[TOPOLOGY_RELAYS_MAX + 1]); /* relays, then target */

/* What became of it: its links' record of late (failed in 2 and worked in none: redrawn). Call at
 * most once each a path. */
void path_worked(struct paths *paths, const struct path *path, struct mono now);
void path_failed(struct paths *paths, const struct path *path, struct mono now);

#endif
