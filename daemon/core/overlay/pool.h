/* The pool: which neighbours we have and want. Bounded, self-chosen for at least half, kept at its
 * aim; it lets newcomers in by splitting an edge, remembers spares and anchors, and finds lost
 * neighbours again. It decides; links carry it out.
 *
 * Threat: eclipse. Dialled links, guards and anchors are never displaced, at most 2 neighbours come
 * from one network, addresses that were only told us are barred after 3 dials in vain. Implements
 * p2pd-protocol(7) NEIGHBOURS. */
#ifndef P2PD_POOL_H
#define P2PD_POOL_H

#include "daemon/core/link/link.h"
#include "daemon/core/route/path.h"
#include "daemon/core/seam/effects.h"
#include "daemon/core/seam/step.h"

/* Timers (pool_next() is the earliest; pool_tick() does all of its work when one is due; none runs
 * after pool_leave()):
 * - next: somebody may be dialled. Set to now by links that come, are refused, go or are suspect,
 *   by an introduction and, while neighbours are lacking, by news of nodes (pool_news()); by each
 *   tick to the earliest of
 *   - the back-off of a contact of the address book (pool_book.c): started by a dial (1 s), set
 *     anew by what becomes of it: failed (1 s doubling to 5 min), refused (10 to 30 s), a lost one
 *     (at once, then each 10 to 20 s);
 *   - join: between two JOINs of a newcomer; started by a JOIN, stopped by a link;
 *   - more: between dials beyond our half of the links; while neighbours are lacking.
 * - heal (1 min; 5 s after the loss of a link; 500 ms while many are not reached): a node to which
 *   no links lead is tried. Always runs.
 * - redraw (30 min): a link that we drew is drawn anew. Always runs.
 * - save (5 s; 100 ms while the disk has next to nothing; 1 min after an error): spares and anchors
 *   are stored. Started by a link that comes or goes; stopped by the store operation. */

struct pool;

struct pool_config {
    unsigned min, max, spare, relays;
    struct links *links;
    struct directory *directory;
    struct paths *paths;
    struct effects *effects;
    const struct core_random *random;
    const struct core_trace *trace;
};
struct pool *pool_new(const struct pool_config *config, const struct node_boot *boot,
                      const struct address *bootstrap, size_t n_bootstrap, struct mono now);
void pool_free(struct pool *pool);

/* A configured peer: redialled for ever. */
void pool_add_bootstrap(struct pool *pool, const struct address *address, struct mono now);
/* How many links we aim at: ceil((16 N)^(1/(relays+1))) within [min, max - 2]. */
unsigned pool_aim(const struct pool *pool);

/* What became of links and dials. ASKED is answered by a verdict here. */
void pool_link_event(struct pool *pool, const struct link_event *event, struct now now);
/* FRAME_INTRODUCE from an established neighbour. */
enum drop pool_introduced(struct pool *pool, const uint8_t *body, size_t length, struct mono now);
/* The directory learnt of others: there may be somebody to dial. */
void pool_news(struct pool *pool);

void pool_connect(struct pool *pool, uint64_t client, const struct address *address,
                  struct now now);
void pool_disconnect(struct pool *pool, uint64_t client, const struct node_id *id, struct mono now);
void pool_client_gone(struct pool *pool, uint64_t client);

/* Introduce our neighbours to each other (a ring) and say goodbye. */
void pool_leave(struct pool *pool, struct mono now);
void pool_stored(struct pool *pool, const struct store_result *result, struct mono now);

void pool_tick(struct pool *pool, struct now now);
struct mono pool_next(const struct pool *pool);
/* Did we choose this neighbour: was it drawn uniformly from the directory? Not one whom others told
 * us of, nor one that was dialled to heal, to join, or as configured: those any member can be at
 * will. */
bool pool_has_drawn(const struct pool *pool, const struct link_view *link);
unsigned pool_spares(const struct pool *pool);
/* Addresses of configured peers, those of names included; of them: which turned out to be
 * ourselves. */
unsigned pool_peers(const struct pool *pool, unsigned *ret_self);

#endif
