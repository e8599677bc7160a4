/* A reply path: one sealed packet that leads from a neighbour of another node to ourselves. That
 * node hands it to its neighbour when it wants to reply. We seal all of it, so that the node learns
 * neither to whom the packet goes nor by which relays.
 *
 * Threat: as in path.h. One of our guards is the last relay, since a node that hands us packets
 * learns as much as one that takes packets from us. Implements p2pd-protocol(7) MAILBOXES. */
#ifndef P2PD_PATH_REPLY_H
#define P2PD_PATH_REPLY_H

#include "daemon/core/route/path.h"

struct path_reply_rooms { /* borrowed for the call */
    struct paths *paths;
    struct directory *directory;
    const struct identity *identity;
    const struct core_random *random;
};
/* Draw a path to request->target, reverse it, and wrap a payload (<= ONION_PAYLOAD_MAX) for the one
 * packet that goes over it. *ret_first: the neighbour of the target to which the target must hand
 * the packet (ourselves, if the path has no relays). */
enum path_outcome path_reply(const struct path_reply_rooms *rooms,
                             const struct path_request *request, const void *payload, size_t length,
                             struct now now, uint64_t *ret_first, uint8_t ret_packet[ONION_LEN]);

#endif
