/* peers, nodes, route, ping, connect, disconnect: who is there, and how to get there. */
#include "daemon/io/control/convert_private.h"

#include <stdlib.h>

#define ROUTE_COUNT_MAX 64 /* sample routes: a screenful */

/* ---- Commands ---- */

enum answer_code decode_route(struct decoder *decoder) {
    const P2pd__Control__Route *wire = decoder->wire->route;
    struct request *request = &decoder->decoded->request;
    request->to.count = wire->count;
    request->to.strict = wire->strict;
    if (wire->count > ROUTE_COUNT_MAX)
        return decode_refuse(decoder, ANSWER_LIMIT, "at most %d routes", ROUTE_COUNT_MAX);
    enum answer_code code =
        decode_relays(decoder, wire->relays_exact, wire->relays, &request->to.relays);
    return code ? code : decode_destination(decoder, wire->to, &request->to.to);
}

enum answer_code decode_ping(struct decoder *decoder) {
    struct request *request = &decoder->decoded->request;
    request->to.relays = RELAYS_DEFAULT;
    return decode_destination(decoder, decoder->wire->ping->to, &request->to.to);
}

enum answer_code decode_connect(struct decoder *decoder) {
    const char *text = decoder->wire->connect->address;
    struct request *request = &decoder->decoded->request;
    if (address_parse(text, &request->connect.address) < 0) {
        const char *why = address_explain(text);
        return decode_refuse(decoder, ANSWER_USAGE, "no address: %s",
                             why ? why : "IP, IP:PORT or [IPv6]:PORT is wanted");
    }
    if (request->connect.address.port == 0)
        request->connect.address.port = ADDRESS_PORT_DEFAULT;
    return ANSWER_OK;
}

enum answer_code decode_disconnect(struct decoder *decoder) {
    return decode_destination(decoder, decoder->wire->disconnect->to,
                              &decoder->decoded->request.to.to);
}

/* ---- Answers ---- */

static size_t fill_peer(struct encoder *encoder, const struct answer *answer, size_t record,
                        size_t place, void *to) {
    const struct peer_report *from = &answer->peers.v[record];
    P2pd__Control__Peer *peer = to;
    p2pd__control__peer__init(peer);
    peer->address = encode_address(encoder, place, &from->address);
    peer->name = (char *)from->name;
    peer->id = encode_id(&from->id);
    peer->rtt_us = from->rtt_us;
    peer->since_us = from->since.us;
    peer->state = (char *)from->state;
    peer->bytes_in = from->bytes_in;
    peer->bytes_out = from->bytes_out;
    peer->dialled = from->dialled;
    return 0;
}

bool encode_peers(struct encoder *encoder, const struct answer *answer) {
    encoder->answer.peers = (P2pd__Control__Peer **)encoder->pointers;
    return encode_list(encoder, answer, answer->peers.n, sizeof(P2pd__Control__Peer),
                       &encoder->answer.n_peers, fill_peer);
}

static size_t fill_node(struct encoder *encoder, const struct answer *answer, size_t record,
                        size_t place, void *to) {
    const struct node_report *from = &answer->nodes.v[record];
    P2pd__Control__Node *node = to;
    p2pd__control__node__init(node);
    node->address = encode_address(encoder, place, &from->address);
    node->name = (char *)from->name;
    node->id = encode_id(&from->id);
    node->relay = from->relay;
    node->pinned = from->pinned;
    node->neighbour = from->neighbour;
    node->self = from->self;
    node->live = from->live;
    node->last_seen_us = from->last_seen.us;
    return 0;
}

bool encode_nodes(struct encoder *encoder, const struct answer *answer) {
    encoder->answer.nodes = (P2pd__Control__Node **)encoder->pointers;
    return encode_list(encoder, answer, answer->nodes.n, sizeof(P2pd__Control__Node),
                       &encoder->answer.n_nodes, fill_node);
}

/* A path, with room for the hops that its message points to. */
struct path_room {
    P2pd__Control__Path path;
    P2pd__Control__Hop hops[TOPOLOGY_RELAYS_MAX + 1], *pointers[TOPOLOGY_RELAYS_MAX + 1];
    uint8_t addresses[TOPOLOGY_RELAYS_MAX + 1][ADDRESS_WIRE_LEN];
};

static void fill_path(struct path_room *room, const struct route_report *report) {
    p2pd__control__path__init(&room->path);
    room->path.hops = room->pointers;
    room->path.n_hops = report->n_hops;
    for (size_t i = 0; i < report->n_hops; i++) {
        P2pd__Control__Hop *hop = &room->hops[i];
        p2pd__control__hop__init(hop);
        address_pack(&report->hops[i].address, room->addresses[i]);
        hop->id = encode_id(&report->hops[i].id);
        hop->address = encode_bytes(room->addresses[i], ADDRESS_WIRE_LEN);
        hop->name = (char *)report->hops[i].name;
        room->pointers[i] = hop;
    }
}

bool encode_routes(struct encoder *encoder, const struct answer *answer) {
    P2pd__Control__Routes routes = P2PD__CONTROL__ROUTES__INIT;
    size_t n = answer->routes.n < CONTROL_RECORDS_MAX ? answer->routes.n : CONTROL_RECORDS_MAX;
    struct path_room *rooms = calloc(n ? n : 1, sizeof *rooms);
    if (!rooms)
        return false;
    for (size_t i = 0; i < n; i++) {
        fill_path(&rooms[i], &answer->routes.v[i]);
        encoder->pointers[i] = &rooms[i].path;
    }
    routes.paths = (P2pd__Control__Path **)encoder->pointers;
    routes.n_paths = n;
    routes.count = answer->routes.paths;
    routes.relays = answer->routes.relays;
    encoder->answer.routes = &routes;
    bool ok = encode_piece(encoder, true);
    free(rooms);
    return ok;
}

bool encode_ping(struct encoder *encoder, const struct answer *answer) {
    P2pd__Control__PingReport ping = P2PD__CONTROL__PING_REPORT__INIT;
    ping.onion_us = answer->ping.onion_us;
    ping.direct_us = answer->ping.direct_us;
    encoder->answer.ping = &ping;
    return encode_piece(encoder, true);
}
