/* The onion's memory of what has passed: no packet is forwarded twice. Keyed by eph; an entry lives
 * as long as its path's minute is acceptable (3 min either side), then goes with its whole minute.
 * Not the broadcast ids: those age by time.
 *
 * Threat: a neighbour floods with fresh ephs to make us forget, or to starve others. Nothing is
 * forgotten early: at the bound (entries, a neighbour's eighth, or beyond a 32nd what all may have)
 * new ephs are refused. What floods by way of an honest neighbour is that neighbour's to ration
 * (ration.h), by the ephs that are new to it; so each of these leads to one other, or under one
 * that is known here any number would pass that are new further on. Who leaves a link does not fill
 * the share of whoever comes next. Implements p2pd-protocol(7) ONION, drop list. */
#ifndef P2PD_DROPLIST_H
#define P2PD_DROPLIST_H

#include "daemon/core/base/base.h"
#include "daemon/core/base/limits.h"
#include "daemon/core/wire/onion.h"

#define DROPLIST_NEIGHBOURS 64 /* charge slots: link slots of the caller */

struct droplist;

/* entries_max: ephs remembered in all (kept or as fingerprints). Tables grow as needed from almost
 * nothing. Kept entries (eph, prk, bitmap; secrets) lie in locked memory that grows by chunks,
 * DROPLIST_KEPT_BYTES at most. NULL: no memory. */
struct droplist *droplist_new(size_t entries_max, const struct core_random *random);
void droplist_free(struct droplist *list);
/* Fewer bytes of kept entries, before there are any: a simulator would take hours to fill them. */
void droplist_keep_fewer(struct droplist *list, size_t bytes);

/* Of so many entries, what one neighbour of several may use. */
size_t droplist_share(size_t entries_max);

/* Before the Diffie-Hellman. Returns 0 with *ret_prk = NULL (never seen) or the kept prk (borrowed
 * until something is entered or forgotten), and whether its way is known; DROP_DUPLICATE: an
 * evicted eph, all under it is refused; DROP_LIMIT: new, but the table or the neighbour's share is
 * full. */
enum drop droplist_find(struct droplist *list, const uint8_t eph[32], unsigned neighbour,
                        const uint8_t **ret_prk, bool *ret_has_way);

/* An opened packet, as the list is told of it. */
struct droplist_packet {
    const uint8_t *eph; /* 32 */
    int64_t minute;     /* the absolute one: unix minutes, epoch * 60 + slot */
    const uint8_t *way; /* ONION_WAY_LEN; NULL: it cannot go on now, and may take any later */
    uint16_t index;
    unsigned neighbour;
};

/* Enter a packet whose tag verified. DROP_TIME: outside 3 min of the list's now, or another minute
 * than this eph has; DROP_DUPLICATE: index seen; DROP_MALFORMED: another way than this eph has;
 * DROP_LIMIT. */
enum drop droplist_enter(struct droplist *list, const struct droplist_packet *packet,
                         const uint8_t prk[ONION_PRK_LEN]);
/* What entering it would return; *ret_is_first: it would give this eph its way. Changes nothing. */
enum drop droplist_judge(struct droplist *list, const struct droplist_packet *packet,
                         bool *ret_is_first);

/* Another node is the neighbour by this number from now on. What the former one had entered is
 * charged to those who are gone, who have one neighbour's share together (what is beyond that stays
 * with the number until its minutes go): or somebody who comes and goes would have a share each
 * time. */
void droplist_replace(struct droplist *list, unsigned neighbour);

/* Move now forward (unix minutes, corrected): forgets minutes that are out of range. Never
 * backwards by more than is safe: an earlier minute keeps what is held, and minutes already
 * forgotten stay refused until time has caught up. (After hours backwards the caller makes new
 * routing keys and a new list.) Before the first call every minute is out of range. `neighbours` =
 * how many links there are (1: the share is everything). */
void droplist_advance(struct droplist *list, int64_t minute, unsigned neighbours);

struct droplist_stats {
    size_t entries, kept, bytes;
};
void droplist_stats(const struct droplist *list, struct droplist_stats *ret_stats);

#endif
