/* New paths that we let pass from one neighbour to another, by rate. The next hop remembers each
 * eph for minutes, and what one neighbour has it remember is bounded (droplist.h): were we to pass
 * on all that we are given, one of our neighbours could fill what the next hop has for us, and
 * everybody's new paths by way of us would be refused there.
 *
 * So no more leaves towards a neighbour than it takes from us for good, and that is divided among
 * those who bring it as a fair queue would divide it: who asks for less than an equal part has all
 * of it, the others have equal parts of what these leave (max-min). A flood is refused itself;
 * those who come from elsewhere lose nothing until they ask for more than their part. Who shares a
 * link with it loses in proportion. Who holds several of our links has as many parts.
 * Implements p2pd-protocol(7) ONION, drop list. */
#ifndef P2PD_RATION_H
#define P2PD_RATION_H

#include "daemon/core/base/base.h"

#define RATION_NEIGHBOURS 32 /* link slots of the caller */
#define RATION_LIFE 4        /* minutes that an eph is remembered whose path has just begun */

#define RATION_WINDOW_US (10 * US_PER_S)

/* Towards one neighbour. Buckets are kept as the time at which they are full: a token that is taken
 * moves it on. What was asked for stands in the time that it takes at the whole rate, so a window
 * is worth its own length. */
struct ration_to {
    struct mono all;                      /* may be in debt to `parts` */
    struct mono parts[RATION_NEIGHBOURS]; /* by where they come from */
    struct mono window;                   /* its beginning */
    int64_t level_us; /* an equal part of a window, by what was asked for in the last one */
    int64_t asked_us[RATION_NEIGHBOURS]; /* in this one */
};
struct ration {
    int64_t all_us,
        part_us; /* what a path costs: of all, and of a part when one alone wants some */
    int64_t all_burst_us, debt_us, part_burst_us;
    struct ration_to to[RATION_NEIGHBOURS];
    uint64_t refused;
};

void ration_init(struct ration *ration);
/* `share`: new ephs that a neighbour remembers of one other (its drop list is taken to be as large
 * as ours). */
void ration_configure(struct ration *ration, size_t share);
/* Another node has this number from now on: it has had nothing from us. What it may bring begins
 * where the former one's ended, half a minute from a whole part at the worst: or whoever comes and
 * goes would have a part each time. */
void ration_replace(struct ration *ration, unsigned neighbour);
/* May a new path pass from this neighbour to that one? `life`: minutes for which the next hop will
 * remember it, 1 to 7. False, and counted: not now. */
bool ration_take(struct ration *ration, unsigned from, unsigned to, int64_t life,
                 const struct core_random *random, struct mono now);

#endif
