/* Why packets and frames are dropped: one counter a reason, and the sums that status shows. */
#include "daemon/core/node/node_private.h"

void node_count(struct node *node, enum drop drop) {
    struct counters *counters = &node->counters;

    if (drop == DROP_NONE)
        return;
    counters->drops[drop]++;
    counters->duplicates_dropped += drop == DROP_DUPLICATE || drop == DROP_REPLAY;
    counters->malformed_dropped += drop == DROP_MALFORMED || drop == DROP_VERSION ||
                                   drop == DROP_MAC || drop == DROP_AUTH || drop == DROP_UNKNOWN ||
                                   drop == DROP_TIME;
    counters->no_route_dropped += drop == DROP_NO_ROUTE || drop == DROP_NOT_RELAY;
    counters->queue_dropped += drop == DROP_QUEUE || drop == DROP_LIMIT;
}
