/* How often something may happen: a token bucket, kept as the time at which it will be full again
 * (GCRA, ITU-T I.371). Eight bytes, no timer; what has never been used is full.
 *
 * A bucket of `burst` tokens of which one comes back each `each_us`: a token is there while the
 * time until the bucket is full leaves room for one, RATE_ROOM(each_us, burst).
 *
 * Limiters that are none of these, and why: what a neighbour may ask gossip for (struct allowance
 * in overlay/gossip_private.h) and our own publications (node/publish.c), since their rates follow
 * the number of nodes; a node's pace of versions (directory/directory_version.c), which has four
 * bytes an entry; base/ration.h and base/share.h, which divide one rate among neighbours. */
#ifndef P2PD_RATE_H
#define P2PD_RATE_H

#include "daemon/core/base/base.h"

struct rate {
    struct mono full; /* {0}: it is full */
};

#define RATE_ROOM(each_us, burst) (((burst)-1) * (int64_t)(each_us))

/* What was taken and has not come back, in microseconds: 0, it is full. */
static inline int64_t rate_used(const struct rate *rate, struct mono now) {
    return rate->full.us > now.us ? rate->full.us - now.us : 0;
}
/* Is there room? `room_us`: as much may be used for one more to be taken. */
static inline bool rate_has(const struct rate *rate, int64_t room_us, struct mono now) {
    return rate_used(rate, now) <= room_us;
}
/* Take what comes back in `cost_us`, whether it is there or not. */
static inline void rate_charge(struct rate *rate, int64_t cost_us, struct mono now) {
    rate->full = (struct mono){now.us + rate_used(rate, now) + cost_us};
}
/* Take it if there is room. False: nothing was taken. */
static inline bool rate_take(struct rate *rate, int64_t cost_us, int64_t room_us, struct mono now) {
    if (!rate_has(rate, room_us, now))
        return false;
    rate_charge(rate, cost_us, now);
    return true;
}
/* What was used of another counts for this one, too. */
static inline void rate_limit(struct rate *rate, const struct rate *other) {
    if (rate->full.us < other->full.us)
        rate->full = other->full;
}
/* When there will be room. */
static inline struct mono rate_due(const struct rate *rate, int64_t room_us) {
    return mono_add(rate->full, -room_us);
}

#endif
