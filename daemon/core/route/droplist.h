/* The relay's memory of the packets that have passed, so that none is forwarded twice. Entries are
 * keyed by eph. An entry lives as long as its path's minute is acceptable (3 min either side of
 * now); then all entries of that minute are forgotten at once.
 *
 * Threat: a neighbour floods with fresh ephs, to make us forget others or to leave no room for
 * them. Nothing is forgotten early. New ephs are refused when the list is full, when a neighbour
 * has an eighth of it, and, for a neighbour that has a 32nd, when the part that all neighbours
 * share is full. A flood that reaches us through an honest neighbour is limited by that neighbour
 * (ration.h), which counts the ephs that are new to it. So all packets of an eph must go on to one
 * eph at one next hop: otherwise any number of ephs that are new further on could pass under one
 * that is known here. What a neighbour that has left had entered does not count against the next
 * one in its link slot (see droplist_replace() for the bound). Implements p2pd-protocol(7) ONION,
 * drop list. */
#ifndef P2PD_DROPLIST_H
#define P2PD_DROPLIST_H

#include "daemon/core/base/base.h"
#include "daemon/core/base/limits.h"
#include "daemon/core/wire/onion.h"

#define DROPLIST_NEIGHBOURS 64 /* entries are charged by the caller's link slot */

struct droplist;

/* entries_max: ephs remembered in all (kept or as fingerprints). Tables grow as needed from almost
 * nothing. Kept entries (eph, prk, bitmap; secrets) lie in locked memory that grows by chunks,
 * DROPLIST_KEPT_BYTES at most. NULL: no memory. */
struct droplist *droplist_new(size_t entries_max, const struct core_random *random);
void droplist_free(struct droplist *list);
/* For tests: bound the kept entries by fewer bytes, before there are any. A simulator would take
 * hours to fill the usual bound. */
void droplist_keep_fewer(struct droplist *list, size_t bytes);

/* How many of `entries_max` entries one neighbour of several may use. */
size_t droplist_share(size_t entries_max);

/* Look an eph up before the Diffie-Hellman. DROP_NONE: *ret_prk is the kept prk (borrowed until
 * something is entered or forgotten), or NULL if the eph was never seen; *ret_has_way says whether
 * its way is known. DROP_DUPLICATE: the eph was evicted, and all packets under it are refused.
 * DROP_LIMIT: the eph is new, but the list or the neighbour's share is full. */
enum drop droplist_find(struct droplist *list, const uint8_t eph[32], unsigned neighbour,
                        const uint8_t **ret_prk, bool *ret_has_way);

/* An opened packet, as the list is told of it. */
struct droplist_packet {
    const uint8_t *eph; /* 32 */
    int64_t minute;     /* the absolute one: unix minutes, epoch * 60 + slot */
    const uint8_t *way; /* ONION_WAY_LEN bytes; NULL: it cannot be forwarded now, and a later packet
                           may set the way */
    uint16_t index;
    unsigned neighbour;
};

/* Enter a packet whose tag verified. DROP_TIME: outside 3 min of the list's now, or another minute
 * than this eph has; DROP_DUPLICATE: index seen; DROP_MALFORMED: another way than this eph has;
 * DROP_LIMIT: as in droplist_find(), or no memory. */
enum drop droplist_enter(struct droplist *list, const struct droplist_packet *packet,
                         const uint8_t prk[ONION_PRK_LEN]);
/* What droplist_enter() would return, if memory lasts, without entering the packet. *ret_is_first:
 * the packet would be the first to give its eph a way. */
enum drop droplist_judge(struct droplist *list, const struct droplist_packet *packet,
                         bool *ret_is_first);

/* Another node has this neighbour number from now on. What the former one had entered is charged to
 * all former neighbours, which have one neighbour's share together; otherwise a node that comes and
 * goes would get a new share each time. What that share has no room for stays charged to the number
 * until its minutes are forgotten. */
void droplist_replace(struct droplist *list, unsigned neighbour);

/* Set now (unix minutes, corrected) and forget the minutes that are out of range. An earlier now
 * than before forgets nothing, and minutes already forgotten stay refused until time has caught up.
 * (After hours backwards the caller makes new routing keys and a new list.) Before the first call
 * every minute is out of range. `neighbours` = how many links there are (1: the share is
 * everything). */
void droplist_advance(struct droplist *list, int64_t minute, unsigned neighbours);

struct droplist_stats {
    size_t entries, kept, bytes;
};
void droplist_stats(const struct droplist *list, struct droplist_stats *ret_stats);

#endif
