/* The core's answers as messages of the control protocol; the other half of control_convert.h. A
 * list of any length goes out in pieces, so that 20,000 nodes or a batch of messages never make
 * one frame beyond what clients accept. */
#include "daemon/io/control_convert.h"

#include "shared/version.h"

#include <stdlib.h>

struct encoder {
    P2pd__Control__Answer answer;
    const struct control_emit *emit;
    bool end, confirm; /* for the last piece */
    uint8_t addresses[CONTROL_RECORDS_MAX][ADDRESS_WIRE_LEN];
    void *pointers[CONTROL_RECORDS_MAX];
    union {
        P2pd__Control__Incoming incoming[CONTROL_RECORDS_MAX];
        P2pd__Control__Peer peers[CONTROL_RECORDS_MAX];
        P2pd__Control__Node nodes[CONTROL_RECORDS_MAX];
        P2pd__Control__Path paths[CONTROL_RECORDS_MAX];
    };
};

/* protobuf-c has no const: packing reads only. */
static ProtobufCBinaryData bytes_of(const void *bytes, size_t length) {
    return (ProtobufCBinaryData){length, (uint8_t *)bytes};
}

static ProtobufCBinaryData id_of(const struct node_id *id) {
    return bytes_of(id->bytes, NODE_ID_LEN);
}

static ProtobufCBinaryData address_of(struct encoder *encoder, size_t i,
                                      const struct address *address) {
    address_pack(address, encoder->addresses[i]);
    return bytes_of(encoder->addresses[i], ADDRESS_WIRE_LEN);
}

static bool emit_piece(struct encoder *encoder, bool last) {
    encoder->answer.end = last && encoder->end;
    encoder->answer.confirm = last && encoder->confirm;
    return encoder->emit->message(encoder->emit->context, &encoder->answer);
}

static bool encode_messages(struct encoder *encoder, const struct answer *answer,
                            size_t bytes_max) {
    size_t n = 0, bytes = 0;
    encoder->answer.messages = (P2pd__Control__Incoming **)encoder->pointers;
    for (size_t i = 0; i < answer->messages.n; i++) {
        const struct in_record *record = &answer->messages.v[i];
        if (n == CONTROL_RECORDS_MAX || (n > 0 && bytes + record->size > bytes_max)) {
            encoder->answer.n_messages = n;
            if (!emit_piece(encoder, false))
                return false;
            n = bytes = 0;
        }
        P2pd__Control__Incoming *to = &encoder->incoming[n];
        p2pd__control__incoming__init(to);
        to->id = bytes_of(record->id.bytes, MESSAGE_ID_LEN);
        to->sender = id_of(&record->sender);
        to->address = address_of(encoder, n, &record->sender_address);
        to->name = (char *)record->sender_name;
        to->sent_us = record->sent.us;
        to->received_us = record->received.us;
        to->body = bytes_of(record->body, record->size);
        encoder->pointers[n++] = to;
        bytes += record->size;
    }
    encoder->answer.n_messages = n;
    return emit_piece(encoder, true);
}

static bool encode_peers(struct encoder *encoder, const struct answer *answer) {
    size_t n = 0;
    encoder->answer.peers = (P2pd__Control__Peer **)encoder->pointers;
    for (size_t i = 0; i < answer->peers.n; i++) {
        const struct peer_report *report = &answer->peers.v[i];
        if (n == CONTROL_RECORDS_MAX) {
            encoder->answer.n_peers = n;
            if (!emit_piece(encoder, false))
                return false;
            n = 0;
        }
        P2pd__Control__Peer *to = &encoder->peers[n];
        p2pd__control__peer__init(to);
        to->address = address_of(encoder, n, &report->address);
        to->name = (char *)report->name;
        to->id = id_of(&report->id);
        to->rtt_us = report->rtt_us;
        to->since_us = report->since.us;
        to->state = (char *)report->state;
        to->bytes_in = report->bytes_in;
        to->bytes_out = report->bytes_out;
        to->dialled = report->dialled;
        encoder->pointers[n++] = to;
    }
    encoder->answer.n_peers = n;
    return emit_piece(encoder, true);
}

static bool encode_nodes(struct encoder *encoder, const struct answer *answer) {
    size_t n = 0;
    encoder->answer.nodes = (P2pd__Control__Node **)encoder->pointers;
    for (size_t i = 0; i < answer->nodes.n; i++) {
        const struct node_report *report = &answer->nodes.v[i];
        if (n == CONTROL_RECORDS_MAX) {
            encoder->answer.n_nodes = n;
            if (!emit_piece(encoder, false))
                return false;
            n = 0;
        }
        P2pd__Control__Node *to = &encoder->nodes[n];
        p2pd__control__node__init(to);
        to->address = address_of(encoder, n, &report->address);
        to->name = (char *)report->name;
        to->id = id_of(&report->id);
        to->relay = report->relay;
        to->pinned = report->pinned;
        to->neighbour = report->neighbour;
        to->self = report->self;
        to->live = report->live;
        to->last_seen_us = report->last_seen.us;
        encoder->pointers[n++] = to;
    }
    encoder->answer.n_nodes = n;
    return emit_piece(encoder, true);
}

/* The hops of one path, with room for what their messages point to. */
struct path_room {
    P2pd__Control__Hop hops[TOPOLOGY_RELAYS_MAX + 1], *pointers[TOPOLOGY_RELAYS_MAX + 1];
    uint8_t addresses[TOPOLOGY_RELAYS_MAX + 1][ADDRESS_WIRE_LEN];
};

static void fill_path(P2pd__Control__Path *to, struct path_room *room,
                      const struct route_report *report) {
    p2pd__control__path__init(to);
    to->hops = room->pointers;
    to->n_hops = report->n_hops;
    for (size_t i = 0; i < report->n_hops; i++) {
        P2pd__Control__Hop *hop = &room->hops[i];
        p2pd__control__hop__init(hop);
        address_pack(&report->hops[i].address, room->addresses[i]);
        hop->id = id_of(&report->hops[i].id);
        hop->address = bytes_of(room->addresses[i], ADDRESS_WIRE_LEN);
        hop->name = (char *)report->hops[i].name;
        room->pointers[i] = hop;
    }
}

static bool encode_routes(struct encoder *encoder, const struct answer *answer) {
    P2pd__Control__Routes routes = P2PD__CONTROL__ROUTES__INIT;
    size_t n = answer->routes.n < CONTROL_RECORDS_MAX ? answer->routes.n : CONTROL_RECORDS_MAX;
    struct path_room *rooms = calloc(n ? n : 1, sizeof *rooms);
    if (!rooms)
        return false;
    for (size_t i = 0; i < n; i++) {
        fill_path(&encoder->paths[i], &rooms[i], &answer->routes.v[i]);
        encoder->pointers[i] = &encoder->paths[i];
    }
    routes.paths = (P2pd__Control__Path **)encoder->pointers;
    routes.n_paths = n;
    routes.count = answer->routes.paths;
    routes.relays = answer->routes.relays;
    encoder->answer.routes = &routes;
    bool ok = emit_piece(encoder, true);
    free(rooms);
    return ok;
}

/* First those that INTERFACE.md names for status --json, in its order. */
static const struct {
    const char *name;
    size_t offset;
} counter_table[] = {
#define COUNTER(name)                                                                              \
    { #name, offsetof(struct counters, name) }
#define DROPS(name, drop)                                                                          \
    { name, offsetof(struct counters, drops) + (drop) * sizeof(uint64_t) }
    COUNTER(datagrams_in),
    COUNTER(datagrams_out),
    COUNTER(onion_relayed),
    COUNTER(onion_delivered),
    COUNTER(onion_sent),
    COUNTER(duplicates_dropped),
    COUNTER(malformed_dropped),
    COUNTER(no_route_dropped),
    COUNTER(queue_dropped),
    COUNTER(handshakes),
    COUNTER(retransmissions),
    COUNTER(cookies_sent),
    COUNTER(share_refused),
    COUNTER(handshakes_refused),
    COUNTER(messages_sent),
    COUNTER(messages_delivered),
    COUNTER(messages_received),
    COUNTER(receipts_sent),
    DROPS("drop_malformed", DROP_MALFORMED),
    DROPS("drop_version", DROP_VERSION),
    DROPS("drop_mac", DROP_MAC),
    DROPS("drop_auth", DROP_AUTH),
    DROPS("drop_replay", DROP_REPLAY),
    DROPS("drop_unknown", DROP_UNKNOWN),
    DROPS("drop_time", DROP_TIME),
    DROPS("drop_duplicate", DROP_DUPLICATE),
    DROPS("drop_no_route", DROP_NO_ROUTE),
    DROPS("drop_queue", DROP_QUEUE),
    DROPS("drop_limit", DROP_LIMIT),
    DROPS("drop_not_relay", DROP_NOT_RELAY),
#undef COUNTER
#undef DROPS
};
#define COUNTERS (sizeof counter_table / sizeof counter_table[0])

static void fill_counters(const struct counters *counters, P2pd__Control__Counter *ret_records,
                          P2pd__Control__Counter **ret_pointers) {
    for (size_t i = 0; i < COUNTERS; i++) {
        p2pd__control__counter__init(&ret_records[i]);
        ret_records[i].name = (char *)counter_table[i].name;
        memcpy(&ret_records[i].value, (const uint8_t *)counters + counter_table[i].offset,
               sizeof ret_records[i].value);
        ret_pointers[i] = &ret_records[i];
    }
}

static bool encode_status(struct encoder *encoder, const struct status_report *report) {
    P2pd__Control__StatusReport status = P2PD__CONTROL__STATUS_REPORT__INIT;
    P2pd__Control__Counter counters[COUNTERS], *pointers[COUNTERS];
    ProtobufCBinaryData addresses[DESCRIPTOR_ADDRESSES_MAX];
    for (size_t i = 0; i < report->n_addresses; i++)
        addresses[i] = address_of(encoder, i, &report->addresses[i]);
    fill_counters(&report->counters, counters, pointers);
    status.version = (char *)P2PD_VERSION;
    status.id = id_of(&report->id);
    status.name = (char *)report->name;
    status.n_addresses = report->n_addresses;
    status.addresses = addresses;
    status.uptime_us = report->uptime_us;
    status.pool_neighbours = report->pool_neighbours;
    status.pool_min = report->pool_min;
    status.pool_max = report->pool_max;
    status.pool_spare = report->pool_spare;
    status.directory_nodes = report->directory_nodes;
    status.directory_relays = report->directory_relays;
    status.inbox_waiting = report->inbox_waiting;
    status.outbox_pending = report->outbox_pending;
    status.clock_offset_us = report->clock_offset_us;
    status.memory_used = report->memory_used;
    status.memory_max = report->memory_max;
    status.droplist_entries = report->droplist_entries;
    status.n_counters = COUNTERS;
    status.counters = pointers;
    encoder->answer.status = &status;
    return emit_piece(encoder, true);
}

static bool encode_message(struct encoder *encoder, const struct message_report *report) {
    P2pd__Control__MessageState state = P2PD__CONTROL__MESSAGE_STATE__INIT;
    state.id = bytes_of(report->id.bytes, MESSAGE_ID_LEN);
    state.state = (P2pd__Control__State)report->state;
    state.reason = (char *)report->reason;
    encoder->answer.message = &state;
    return emit_piece(encoder, true);
}

static bool encode_ping(struct encoder *encoder, const struct answer *answer) {
    P2pd__Control__PingReport ping = P2PD__CONTROL__PING_REPORT__INIT;
    ping.onion_us = answer->ping.onion_us;
    ping.direct_us = answer->ping.direct_us;
    encoder->answer.ping = &ping;
    return emit_piece(encoder, true);
}

static bool encode(struct encoder *encoder, const struct answer *answer, size_t bytes_max) {
    switch (answer->kind) {
    case ANSWER_TEXT:
        return emit_piece(encoder, true);
    case ANSWER_MESSAGE:
        return encode_message(encoder, &answer->message);
    case ANSWER_MESSAGES:
        return encode_messages(encoder, answer, bytes_max);
    case ANSWER_STATUS:
        return encode_status(encoder, answer->status);
    case ANSWER_PEERS:
        return encode_peers(encoder, answer);
    case ANSWER_NODES:
        return encode_nodes(encoder, answer);
    case ANSWER_ROUTES:
        return encode_routes(encoder, answer);
    case ANSWER_PING:
        return encode_ping(encoder, answer);
    }
    return false;
}

bool control_encode(const struct answer *answer, uint64_t request_id, bool confirm,
                    size_t bytes_max, const struct control_emit *emit) {
    struct encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder)
        return false;
    p2pd__control__answer__init(&encoder->answer);
    encoder->answer.version = CONTROL_VERSION;
    encoder->answer.request_id = request_id;
    encoder->answer.code = (P2pd__Control__Code)answer->code;
    encoder->answer.text = (char *)answer->text;
    encoder->emit = emit;
    encoder->end = answer->end;
    encoder->confirm = confirm;
    bool ok = encode(encoder, answer, bytes_max);
    free(encoder);
    return ok;
}
