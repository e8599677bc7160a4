/* Whence datagrams come that nobody of this network sent: for the doctor, who would otherwise say
 * that all is well while a machine with another secret knocks. A table of fixed size.
 *
 * Threat: anybody can send such, from any address that it likes to write on them. Nothing is
 * believed but that they came; nothing is done. A flood under many addresses takes the places of
 * those that were heard of least lately. */
#ifndef P2PD_STRANGERS_H
#define P2PD_STRANGERS_H

#include "daemon/core/base/base.h"

#define STRANGERS_MAX 16
#define STRANGERS_RECENT_US (10 * US_PER_MINUTE) /* longer ago is over */

struct stranger {
    struct address address; /* of the last one: the port is not looked at */
    uint64_t n;
    struct mono first, last;
};
struct strangers {
    struct stranger v[STRANGERS_MAX];
    uint64_t evicted; /* sources that lost their place to others */
    struct mono told; /* in the log */
    bool has_told;
};

/* One came. True: worth a line in the log, which is so once in a while. */
bool strangers_note(struct strangers *strangers, const struct address *from, struct mono now);
/* Those of late, the busiest first; at most `max` of them. Returns how many there are. */
size_t strangers_recent(const struct strangers *strangers, struct mono now, struct stranger *ret_v,
                        size_t max);

#endif
