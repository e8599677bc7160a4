/* New paths that we let pass from one neighbour to another, by rate. The next hop remembers each eph for minutes, and what one
 * neighbour has it remember is bounded (droplist.h): were we to pass on all that we are given, one of our neighbours could fill
 * what the next hop has for us, and everybody's new paths by way of us would be refused there.
 *
 * So no more leaves towards a neighbour than it takes from us for good. Of that a part is each incoming neighbour's own, and the
 * rest whoever's comes first. So refusals fall on the flood, not on those that come from elsewhere; and where it has come by way of
 * an honest neighbour itself, on all that this one brings in proportion. Floor 1. Implements p2pd-protocol(7) ONION, drop list. */
#ifndef P2PD_RATION_H
#define P2PD_RATION_H

#include "daemon/core/base.h"

#define RATION_NEIGHBOURS 32 /* link slots of the caller */
#define RATION_LIFE 4        /* minutes that an eph is remembered whose path has just begun */

/* Buckets, each as the time at which it is full: a token that is taken moves it on. */
struct ration {
    int64_t rest_us,
        part_us; /* what a path costs: of what is left for all, of a neighbour's own part */
    int64_t rest_burst_us, part_burst_us;
    struct mono rest[RATION_NEIGHBOURS]; /* by where they go */
    struct mono part[RATION_NEIGHBOURS][RATION_NEIGHBOURS];
    uint64_t refused;
};

void ration_init(struct ration *ration);
/* `share`: new ephs that a neighbour remembers of one other (its drop list is taken to be as large as ours); `neighbours`: links
 * that there are. */
void ration_configure(struct ration *ration, size_t share, unsigned neighbours);
/* May a new path pass from this neighbour to that one? `life`: minutes for which the next hop will remember it, 1 to 7. False, and
 * counted: not now. */
bool ration_take(struct ration *ration, unsigned from, unsigned to, int64_t life,
                 const struct core_random *random, struct mono now);

#endif
