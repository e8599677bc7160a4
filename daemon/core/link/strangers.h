/* The addresses from which datagrams come that do not authenticate as this network's. They are for
 * `p2pctl doctor`, which would otherwise report that all is well while a machine with another
 * network secret tries to reach us. A table of fixed size.
 *
 * Threat: anybody can send such datagrams, from any claimed address. They are counted, and nothing
 * else follows from them. A flood from many addresses overwrites the entries that were silent for
 * longest. */
#ifndef P2PD_STRANGERS_H
#define P2PD_STRANGERS_H

#include "daemon/core/base/base.h"

#define STRANGERS_MAX 16
#define STRANGERS_RECENT_US (10 * US_PER_MINUTE) /* older entries are not listed */

struct stranger {
    struct address address; /* of the last datagram; the port is not compared */
    uint64_t n;
    struct mono first, last;
};
struct strangers {
    struct stranger v[STRANGERS_MAX];
    uint64_t evicted; /* sources that lost their place to others */
    struct mono told; /* when strangers_note() last returned true */
    bool has_told;
};

/* Note a datagram from this address. True, once in 10 min at most: write a line to the log. */
bool strangers_note(struct strangers *strangers, const struct address *from, struct mono now);
/* The entries of the last STRANGERS_RECENT_US, those with most datagrams first; at most `max` of
 * them. Returns how many there are in all. */
size_t strangers_recent(const struct strangers *strangers, struct mono now, struct stranger *ret_v,
                        size_t max);

#endif
