/* What the pool's files share: pool.c (what became of links, what is kept on disk), pool_ask.c (who
 * is let in), pool_dial.c (whom we dial and when). Nobody else includes it. */
#ifndef P2PD_POOL_PRIVATE_H
#define P2PD_POOL_PRIVATE_H

#include "daemon/core/base/backoff.h"
#include "daemon/core/overlay/pool.h"
#include "daemon/core/overlay/pool_book.h"

#define REDRAW_US (30 * US_PER_MINUTE)
/* Known nodes to which no links lead are dialled now and then, and soon after neighbours were lost.
 * If there are many, the network may have split: each part would fill its pools from its own nodes,
 * and nothing else would join them again. */
#define HEAL_US US_PER_MINUTE
#define WAITING_MAX 16

struct waiting { /* a client that waits for what becomes of its `connect` */
    uint64_t client;
    struct address address;
};
struct pool {
    struct pool_config config;
    struct book book;
    unsigned refusals; /* refused as full, since the last link or JOIN */
    unsigned joins;    /* JOINs in a row since the last link */
    unsigned in_vain;  /* dials in a row that nobody answered */
    struct mono next, redraw, save, heal;
    struct mono join;            /* no JOIN before */
    struct mono more;            /* no dial beyond our own half of the links before */
    struct mono lost;            /* when a neighbour last fell silent */
    struct mono introduced_from; /* a token bucket, as a time */
    struct mono others_from;     /* the same: dials to nodes that no links lead to */
    bool saving, dirty, leaving;
    struct spare spares[POOL_SPARES_MAX]; /* being stored */
    size_t n_spares;
    struct waiting waiting[WAITING_MAX];
    unsigned n_waiting;
    bool wants_relay; /* no neighbour is a relay: a node drawn to be dialled has to be */
};

struct census {
    unsigned all, up, dialled, accepted, joined; /* all: established, suspects included */
};
struct census pool_census(const struct pool *pool);
/* One of the two oldest links? */
bool pool_is_anchor(const struct pool *pool, const struct link_view *link);
bool pool_network_is_full(const struct pool *pool, const struct address *address,
                          const struct link_view *except);
bool pool_is_linked_to(const struct pool *pool, const struct address *address);
/* Close a link that is suspect and neither guard nor anchor: its place is needed. False: there is
 * none. */
bool pool_close_suspect(struct pool *pool, struct mono now);

/* Draw a node to be kept as a spare, or to be named to others: a reached one, unless there are too
 * few of these yet. */
static inline const struct directory_entry *pool_draw(const struct pool *pool) {
    const struct directory *directory = pool->config.directory;

    return directory_reached(directory) >= LINK_REFERRALS_MAX ? directory_random_of(directory, true)
                                                              : directory_random(directory);
}

/* pool_ask.c */
void pool_asked(struct pool *pool, const struct link_event *event, struct mono now);
/* Tell a neighbour to link to another node. */
void pool_introduce(struct pool *pool, const struct link_view *to, const struct link_view *whom,
                    struct mono now);

/* pool_dial.c */
bool pool_may_dial(const struct pool *pool, const struct contact *contact, struct mono now);
bool pool_try(struct pool *pool, struct contact *contact, bool join, struct now now);
/* Dial until we have as many neighbours as the aim, and half of the aim that we chose ourselves. */
void pool_fill(struct pool *pool, struct now now);
void pool_probe_lost(struct pool *pool, struct now now);
void pool_heal(struct pool *pool, struct now now);
void pool_redraw(struct pool *pool, struct mono now);

#endif
