/* A fair share of something that a neighbour can make us spend: so much of it in a window of time
 * over all, and of that, for each neighbour that wants some, an equal part. Who is alone may have
 * all.
 *
 * Threat: a neighbour that sends fresh ephs as fast as the wire takes them, each of which costs a
 * Diffie-Hellman (35 us) while a datagram costs its sender one. Without shares it would take the
 * whole processor, and the others' packets would be lost in the socket's buffer.
 * Implements p2pd-protocol(7) RELAYING. */
#ifndef P2PD_SHARE_H
#define P2PD_SHARE_H

#include "daemon/core/base/base.h"

#define SHARE_NEIGHBOURS 64
#define SHARE_WINDOW_US (100 * US_PER_MS)

struct share {
    uint32_t window_max; /* in one window, over all; 0: no bound */
    struct mono window;  /* its beginning */
    uint32_t used[SHARE_NEIGHBOURS];
    uint64_t wanting, wanted; /* bit a neighbour: in this window, in the last one */
    uint64_t refused;
};

/* a_second: of all neighbours together; 0: no bound. */
void share_init(struct share *share, uint32_t a_second);
void share_configure(struct share *share, uint32_t a_second);
/* One for this neighbour (below SHARE_NEIGHBOURS)? False, and counted: its share of this window is
 * used up, and others want theirs or nothing is left. */
bool share_take(struct share *share, unsigned neighbour, struct mono now);
/* So much more of it has come with what was granted: none is left until that is worked off, in this
 * window. */
void share_charge(struct share *share, unsigned neighbour, uint32_t more);

#endif
