/* How much has come of late: falls to nothing within some seconds in which nothing comes. What
 * cannot be charged to anybody is told apart by what it goes on costing it: to begin something is
 * one packet, to keep up with what grows is many. */
#ifndef P2PD_RECENT_H
#define P2PD_RECENT_H

#include "daemon/core/base/base.h"

#define RECENT_US (2 * US_PER_S) /* one counts for so long, ever less */
#define RECENT_ONE 1000

struct recent {    /* zero: nothing came */
    int64_t level; /* in RECENT_ONE, as it was at that time */
    struct mono at;
};

static inline int64_t recent_level(const struct recent *recent, struct mono now) {
    int64_t elapsed = now.us - recent->at.us;
    return elapsed < RECENT_US ? recent->level - recent->level * elapsed / RECENT_US : 0;
}

static inline void recent_add(struct recent *recent, struct mono now) {
    recent->level = recent_level(recent, now) + RECENT_ONE;
    recent->at = now;
}

#endif
