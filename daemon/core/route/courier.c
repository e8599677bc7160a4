/* See courier.h. */
#include "daemon/core/route/courier.h"

#include <assert.h>
#include <errno.h>

void courier_retire(struct courier_lane *lane) {
    path_free(lane->path);
    lane->path = NULL;
}

bool courier_is_open(const struct courier *courier, struct courier_lane *lane, struct now now) {
    if (lane->path && !path_is_usable(courier->paths, lane->path, now))
        courier_retire(lane);
    return lane->path != NULL;
}

enum path_outcome courier_open(const struct courier *courier, struct courier_lane *lane,
                               const struct path_request *request, struct now now) {
    uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
    struct path *path;
    bool fewer;

    if (courier_is_open(courier, lane, now))
        return PATH_OK;
    enum path_outcome outcome = path_draw(courier->paths, request, now, &path, &fewer);
    if (outcome != PATH_OK)
        return outcome;
    lane->path = path;
    lane->way = path_way(hops, path_hops(path, hops));
    lane->drawn = now.mono;
    return PATH_OK;
}

int courier_send(struct courier *courier, struct courier_lane *lane, const void *payload,
                 size_t length, struct mono now) {
    uint8_t packet[ONION_LEN];

    assert(lane->path);
    path_seal(courier->paths, lane->path, payload, length, packet);
    int error = links_send_onion(courier->links, path_first(lane->path), packet, now);
    if (error == 0)
        courier->sent++;
    if (error == -ENOTCONN)
        courier_retire(lane);
    return error;
}

enum path_outcome courier_send_alone(struct courier *courier, const struct path_request *request,
                                     const void *payload, size_t length, struct now now,
                                     struct path_way *ret_way) {
    struct courier_lane lane = {.path = NULL};
    enum path_outcome outcome = courier_open(courier, &lane, request, now);

    if (outcome != PATH_OK)
        return outcome;
    courier_send(courier, &lane, payload, length, now.mono);
    courier_retire(&lane);
    *ret_way = lane.way;
    return PATH_OK;
}
