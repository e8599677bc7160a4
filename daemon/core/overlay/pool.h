/* The pool decides which neighbours we have and whom we dial; links carry that out. It is bounded
 * and kept at an aim, half of which is for neighbours that we choose ourselves. When it is full it
 * lets a newcomer in by splitting an edge: the newcomer takes the place of one neighbour, and the
 * two are introduced to each other. It stores spares and anchors for the next start, and looks for
 * neighbours that fell silent.
 *
 * Threat: eclipse, that is, an attacker is all of our neighbours. No newcomer displaces a link that
 * we dialled, a guard or an anchor. While 2 neighbours are from one public network, no other is
 * drawn from it, and from pool.min neighbours on none is let in. An address that only others told
 * us is barred for an hour after 3 dials in vain. Implements p2pd-protocol(7) NEIGHBOURS. */
#ifndef P2PD_POOL_H
#define P2PD_POOL_H

#include "daemon/core/link/link.h"
#include "daemon/core/route/path.h"
#include "daemon/core/seam/effects.h"
#include "daemon/core/seam/step.h"

/* Timers (pool_next() is the earliest; pool_tick() does all of its work when one is due; none runs
 * after pool_leave()):
 * - next: there may be somebody to dial. Set to now by links that come, are refused, go or are
 *   suspect, by dials that fail, by an introduction and, while neighbours are lacking, by news of
 *   nodes (pool_news()); by each tick to the earliest of
 *   - the back-off of a contact of the address book (pool_book.c): started by a dial (1 s), set
 *     anew by its outcome: failed (1 s doubling to 5 min), refused (10 to 30 s), the link of a
 *     neighbour fell silent (within 10 s, then every 10 to 20 s);
 *   - join: how long a newcomer waits between two JOINs; started by a JOIN, stopped by a link;
 *   - more: how long we wait between dials beyond our half of the links; runs while neighbours are
 *     lacking.
 * - heal (1 min; 5 s after a neighbour fell silent; 500 ms while many nodes are lost, for 5 min
 *   after that): dials a node to which no links lead. Always runs.
 * - redraw (30 min): closes a link that we dialled, so that another is drawn. Always runs.
 * - save (5 s; 100 ms while the disk has next to nothing; 1 min after an error): stores spares and
 *   anchors. Started by a link that comes or goes; stopped by the store operation. */

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

/* An event of a link or a dial. LINK_EVENT_ASKED is answered by a verdict here. */
void pool_link_event(struct pool *pool, const struct link_event *event, struct now now);
/* FRAME_INTRODUCE from an established neighbour. */
enum drop pool_introduced(struct pool *pool, const uint8_t *body, size_t length, struct mono now);
/* The directory has learnt of new nodes: there may be somebody to dial. */
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
/* Did we choose this neighbour ourselves: was it drawn uniformly from the directory? False for a
 * configured one; and for one that others told us of, or that was dialled to heal or to join, since
 * any member can bring that about. */
bool pool_has_drawn(const struct pool *pool, const struct link_view *link);
unsigned pool_spares(const struct pool *pool);
/* How many addresses configured peers have, those of their names included. *ret_self: how many of
 * these turned out to be our own. */
unsigned pool_peers(const struct pool *pool, unsigned *ret_self);

#endif
