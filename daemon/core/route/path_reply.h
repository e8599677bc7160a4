/* A path back: one packet, ready to be handed to a neighbour of somebody else's, that leads from
 * there to ourselves. Made by us alone, so that whoever sends it on learns neither to whom nor by
 * which way.
 *
 * Threat: as in path.h; our guards are its last relays, since who hands us packets learns as much
 * as who takes them from us. Implements p2pd-protocol(7) MAILBOXES. */
#ifndef P2PD_PATH_REPLY_H
#define P2PD_PATH_REPLY_H

#include "daemon/core/route/path.h"

struct path_reply_rooms { /* borrowed for the call */
    struct paths *paths;
    struct directory *directory;
    const struct identity *identity;
    const struct core_random *random;
};
/* Draw a path to request->target, turn it round, and wrap a payload (<= ONION_PAYLOAD_MAX) for the
 * one packet that goes over it. ret_first: the neighbour of the target's to hand it to (ourselves,
 * if nobody stands between). */
enum path_outcome path_reply(const struct path_reply_rooms *rooms,
                             const struct path_request *request, const void *payload, size_t length,
                             struct now now, uint64_t *ret_first, uint8_t ret_packet[ONION_LEN]);

#endif
