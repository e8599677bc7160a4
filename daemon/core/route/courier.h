/* "Send this payload there": the courier draws a path, seals, hands the packet to the first hop's
 * link, and retires what no longer serves. Whoever sends keeps a lane to each recipient, and
 * decides what is sent and when.
 *
 * Threat: see path.h. A payload goes over a path drawn by this request and over no other: nothing
 * here falls back to a shorter way because a link is down. */
#ifndef P2PD_COURIER_H
#define P2PD_COURIER_H

#include "daemon/core/link/link.h"
#include "daemon/core/route/path.h"

struct courier { /* one a node */
    struct paths *paths;
    struct links *links;
    uint64_t sent; /* packets that a link took */
};
/* A sender's path to one recipient. All zero: none yet. Its owner calls courier_retire() at the
 * end. */
struct courier_lane {
    struct path *path;   /* NULL: none just now */
    struct path_way way; /* the relays of the last path that was drawn */
    struct mono drawn;   /* when that was */
};

/* Does the lane's path still serve? One that does not is retired. */
bool courier_is_open(const struct courier *courier, struct courier_lane *lane, struct now now);
/* The same, but if no path serves a new one is drawn. PATH_OK: a packet may be sent. */
enum path_outcome courier_open(const struct courier *courier, struct courier_lane *lane,
                               const struct path_request *request, struct now now);
/* Wrap a payload (<= ONION_PAYLOAD_MAX) and hand it to the first hop. Precondition: the lane is
 * open. 0; -ENOBUFS: no buffer is left in this step, and the packet is lost; -ENOTCONN: the first
 * hop is no established neighbour, the packet is lost and the lane retired. */
int courier_send(struct courier *courier, struct courier_lane *lane, const void *payload,
                 size_t length, struct mono now);
/* Free the lane's path. `way` and `drawn` stay. */
void courier_retire(struct courier_lane *lane);

/* Send one payload over a path of its own. PATH_OK: it was sent, or lost at the first hop, as it
 * may be at any; *ret_way are the relays. */
enum path_outcome courier_send_alone(struct courier *courier, const struct path_request *request,
                                     const void *payload, size_t length, struct now now,
                                     struct path_way *ret_way);

#endif
