/* The core's answers as messages of the control protocol; the other half of control_convert.h. A
 * list of any length goes out in pieces, so that 20,000 nodes or a batch of messages never make
 * one frame beyond what clients accept. */
#include "daemon/io/control/control_convert.h"

#include "shared/version.h"

#include <stdio.h>
#include <stdlib.h>

struct encoder {
    P2pd__Control__Answer answer;
    const struct control_emit *emit;
    bool end, confirm, more; /* for the last piece */
    int64_t next;
    bool too_long; /* an error stands in place of a piece, and nothing follows it */
    uint8_t addresses[CONTROL_RECORDS_MAX][ADDRESS_WIRE_LEN];
    void *pointers[CONTROL_RECORDS_MAX];
    union {
        P2pd__Control__Incoming incoming[CONTROL_RECORDS_MAX];
        P2pd__Control__Peer peers[CONTROL_RECORDS_MAX];
        P2pd__Control__Node nodes[CONTROL_RECORDS_MAX];
        P2pd__Control__Path paths[CONTROL_RECORDS_MAX];
        P2pd__Control__Conversation conversations[CONTROL_RECORDS_MAX];
        P2pd__Control__HistoryItem history[CONTROL_RECORDS_MAX];
        P2pd__Control__File files[CONTROL_RECORDS_MAX];
        P2pd__Control__RuleReport rules[CONTROL_RECORDS_MAX];
        P2pd__Control__Finding findings[CONTROL_RECORDS_MAX];
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

/* An answer that is longer than any client takes is said to be so, and never cut. */
static bool refuse_piece(struct encoder *encoder, size_t length) {
    P2pd__Control__Answer answer = P2PD__CONTROL__ANSWER__INIT;
    char text[CONTROL_TEXT_MAX];
    snprintf(text, sizeof text, "the answer has %zu bytes, more than one frame may have (%u)",
             length, FRAME_MESSAGE_MAX + FRAME_SLACK);
    answer.version = encoder->answer.version;
    answer.request_id = encoder->answer.request_id;
    answer.code = P2PD__CONTROL__CODE__FAILED;
    answer.text = text;
    answer.end = true;
    return encoder->emit->message(encoder->emit->context, &answer);
}

static bool emit_piece(struct encoder *encoder, bool last) {
    encoder->answer.end = last && encoder->end;
    encoder->answer.confirm = last && encoder->confirm;
    encoder->answer.more = last && encoder->more;
    encoder->answer.next = last ? encoder->next : 0;
    size_t length = protobuf_c_message_get_packed_size(&encoder->answer.base);
    if (length > FRAME_MESSAGE_MAX + FRAME_SLACK) {
        encoder->too_long = true;
        return refuse_piece(encoder, length);
    }
    return encoder->emit->message(encoder->emit->context, &encoder->answer);
}

/* One record of the answer into a place of the encoder's; returns the bytes of its body. */
typedef size_t fill_record(struct encoder *encoder, const struct answer *answer, size_t record,
                           size_t place);

/* `n` records in pieces; ret_count is the field of the answer that counts them. */
static bool encode_list(struct encoder *encoder, const struct answer *answer, size_t n,
                        size_t bytes_max, size_t *ret_count, fill_record *fill) {
    size_t place = 0, bytes = 0;
    for (size_t i = 0; i < n; i++) {
        size_t more = place < CONTROL_RECORDS_MAX ? fill(encoder, answer, i, place) : 0;
        if (place == CONTROL_RECORDS_MAX || (place > 0 && more > bytes_max - bytes)) {
            *ret_count = place;
            if (!emit_piece(encoder, false) || encoder->too_long)
                return encoder->too_long;
            place = bytes = 0;
            more = fill(encoder, answer, i, place);
        }
        bytes += more < bytes_max - bytes ? more : bytes_max - bytes;
        place++;
    }
    *ret_count = place;
    return emit_piece(encoder, true);
}

static size_t fill_incoming(struct encoder *encoder, const struct answer *answer, size_t record,
                            size_t place) {
    const struct in_record *from = &answer->messages.v[record];
    P2pd__Control__Incoming *to = &encoder->incoming[place];
    p2pd__control__incoming__init(to);
    to->id = bytes_of(from->id.bytes, MESSAGE_ID_LEN);
    to->sender = id_of(&from->sender);
    to->address = address_of(encoder, place, &from->sender_address);
    to->name = (char *)from->sender_name;
    to->sent_us = from->sent.us;
    to->received_us = from->received.us;
    to->body = bytes_of(from->body, from->size);
    encoder->pointers[place] = to;
    return from->size;
}

static size_t fill_peer(struct encoder *encoder, const struct answer *answer, size_t record,
                        size_t place) {
    const struct peer_report *from = &answer->peers.v[record];
    P2pd__Control__Peer *to = &encoder->peers[place];
    p2pd__control__peer__init(to);
    to->address = address_of(encoder, place, &from->address);
    to->name = (char *)from->name;
    to->id = id_of(&from->id);
    to->rtt_us = from->rtt_us;
    to->since_us = from->since.us;
    to->state = (char *)from->state;
    to->bytes_in = from->bytes_in;
    to->bytes_out = from->bytes_out;
    to->dialled = from->dialled;
    encoder->pointers[place] = to;
    return 0;
}

static size_t fill_node(struct encoder *encoder, const struct answer *answer, size_t record,
                        size_t place) {
    const struct node_report *from = &answer->nodes.v[record];
    P2pd__Control__Node *to = &encoder->nodes[place];
    p2pd__control__node__init(to);
    to->address = address_of(encoder, place, &from->address);
    to->name = (char *)from->name;
    to->id = id_of(&from->id);
    to->relay = from->relay;
    to->pinned = from->pinned;
    to->neighbour = from->neighbour;
    to->self = from->self;
    to->live = from->live;
    to->last_seen_us = from->last_seen.us;
    encoder->pointers[place] = to;
    return 0;
}

static size_t fill_conversation(struct encoder *encoder, const struct answer *answer, size_t record,
                                size_t place) {
    const struct conversation_record *from = &answer->conversations.v[record];
    P2pd__Control__Conversation *to = &encoder->conversations[place];
    p2pd__control__conversation__init(to);
    to->peer = id_of(&from->peer);
    to->address = address_of(encoder, place, &from->address);
    to->name = (char *)from->name;
    to->waiting = from->waiting;
    to->pending = from->pending;
    to->messages = from->messages;
    to->last_us = from->last.us;
    to->last_outgoing = from->last_outgoing;
    to->last_text = bytes_of(from->last_text, strlen(from->last_text));
    encoder->pointers[place] = to;
    return 0;
}

static size_t fill_history(struct encoder *encoder, const struct answer *answer, size_t record,
                           size_t place) {
    const struct history_record *from = &answer->history.v[record];
    P2pd__Control__HistoryItem *to = &encoder->history[place];
    p2pd__control__history_item__init(to);
    to->outgoing = from->outgoing;
    to->id = bytes_of(from->id.bytes, MESSAGE_ID_LEN);
    to->kind = (uint32_t)from->kind;
    to->sent_us = from->sent.us;
    to->done_us = from->done.us;
    to->state = (P2pd__Control__State)from->state;
    to->taken = from->taken;
    to->reason = (char *)from->reason;
    to->size = from->size;
    if (from->file)
        to->file_name = bytes_of(from->file->name, strlen(from->file->name));
    else if (from->body)
        to->body = bytes_of(from->body, (size_t)from->size);
    encoder->pointers[place] = to;
    return to->body.len;
}

static size_t fill_file(struct encoder *encoder, const struct answer *answer, size_t record,
                        size_t place) {
    const struct file_record *from = &answer->files.v[record];
    P2pd__Control__File *to = &encoder->files[place];
    p2pd__control__file__init(to);
    to->state = (P2pd__Control__FileState)from->state;
    to->id = bytes_of(from->id.bytes, MESSAGE_ID_LEN);
    to->peer = id_of(&from->peer);
    to->address = address_of(encoder, place, &from->peer_address);
    to->peer_name = (char *)from->peer_name;
    to->name = bytes_of(from->head.name, strlen(from->head.name));
    to->sha256 = bytes_of(from->head.digest, FILE_DIGEST_LEN);
    to->path = (char *)from->path;
    to->size = from->size;
    to->held = from->held;
    to->sent_us = from->sent.us;
    to->received_us = from->received.us;
    to->message_state = (P2pd__Control__State)from->message_state;
    encoder->pointers[place] = to;
    return 0;
}

static size_t fill_rule(struct encoder *encoder, const struct answer *answer, size_t record,
                        size_t place) {
    const struct rule_report *from = &answer->rules.v[record];
    P2pd__Control__RuleReport *to = &encoder->rules[place];
    p2pd__control__rule_report__init(to);
    to->id = id_of(&from->id);
    to->address = address_of(encoder, place, &from->address);
    to->name = (char *)from->name;
    to->rule = (P2pd__Control__SenderRule)from->rule;
    encoder->pointers[place] = to;
    return 0;
}

static size_t fill_finding(struct encoder *encoder, const struct answer *answer, size_t record,
                           size_t place) {
    const struct finding *from = &answer->doctor.v[record];
    P2pd__Control__Finding *to = &encoder->findings[place];
    p2pd__control__finding__init(to);
    to->level = (uint32_t)from->level;
    to->topic = (char *)from->topic;
    to->text = (char *)from->text;
    encoder->pointers[place] = to;
    return 0;
}

/* ---- Lists ---- */

static bool encode_records(struct encoder *encoder, const struct answer *from, size_t bytes_max) {
    P2pd__Control__Answer *to = &encoder->answer;
    void **const v = encoder->pointers;
    switch (from->kind) {
    case ANSWER_MESSAGES:
        to->messages = (P2pd__Control__Incoming **)v;
        return encode_list(encoder, from, from->messages.n, bytes_max, &to->n_messages,
                           fill_incoming);
    case ANSWER_PEERS:
        to->peers = (P2pd__Control__Peer **)v;
        return encode_list(encoder, from, from->peers.n, bytes_max, &to->n_peers, fill_peer);
    case ANSWER_NODES:
        to->nodes = (P2pd__Control__Node **)v;
        return encode_list(encoder, from, from->nodes.n, bytes_max, &to->n_nodes, fill_node);
    case ANSWER_RULES:
        to->rules = (P2pd__Control__RuleReport **)v;
        return encode_list(encoder, from, from->rules.n, bytes_max, &to->n_rules, fill_rule);
    case ANSWER_DOCTOR:
        to->findings = (P2pd__Control__Finding **)v;
        return encode_list(encoder, from, from->doctor.n, bytes_max, &to->n_findings, fill_finding);
    default:
        return false;
    }
}

/* Those of which the core gives a page, and where to go on. */
static bool encode_pages(struct encoder *encoder, const struct answer *from, size_t bytes_max) {
    P2pd__Control__Answer *to = &encoder->answer;
    void **const v = encoder->pointers;
    switch (from->kind) {
    case ANSWER_CONVERSATIONS:
        encoder->next = from->conversations.next;
        encoder->more = from->conversations.more;
        to->conversations = (P2pd__Control__Conversation **)v;
        return encode_list(encoder, from, from->conversations.n, bytes_max, &to->n_conversations,
                           fill_conversation);
    case ANSWER_HISTORY:
        encoder->next = from->history.next;
        encoder->more = from->history.more;
        to->history = (P2pd__Control__HistoryItem **)v;
        return encode_list(encoder, from, from->history.n, bytes_max, &to->n_history, fill_history);
    case ANSWER_FILES:
        encoder->next = from->files.next;
        encoder->more = from->files.more;
        to->files = (P2pd__Control__File **)v;
        return encode_list(encoder, from, from->files.n, bytes_max, &to->n_files, fill_file);
    default:
        return encode_records(encoder, from, bytes_max);
    }
}

/* ---- Single reports ---- */

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

/* In the order of status --json, to which new ones are added at the end. */
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
    COUNTER(refused_blocked),
    COUNTER(refused_unknown),
    COUNTER(refused_quota),
    COUNTER(refused_files),
    COUNTER(pushes_refused),
    COUNTER(rules_refused),
    COUNTER(memory_evicted),
    COUNTER(memory_refused),
    COUNTER(handshakes_refused),
    COUNTER(messages_sent),
    COUNTER(messages_delivered),
    COUNTER(messages_received),
    COUNTER(receipts_sent),
    COUNTER(mail_refused),
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
    status.inbox_unfinished = report->inbox_unfinished;
    status.outbox_pending = report->outbox_pending;
    status.outbox_stranded = report->outbox_stranded;
    status.mail_held = report->mail_held;
    status.mail_bytes = report->mail_held_bytes;
    status.network = report->network_open ? 1 : 2;
    status.clock_offset_us = report->clock_offset_us;
    status.clock_error_us = report->clock_error_us;
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
    if (report->known) {
        state.known = true;
        state.recipient = id_of(&report->recipient);
        state.kind = (uint32_t)report->kind;
        state.size = report->size;
        state.arrived = report->arrived;
        state.created_us = report->created.us;
        state.expires_us = report->expires.us;
        state.finished_us = report->finished.us;
        state.mailboxes = report->mailboxes;
    }
    encoder->answer.message = &state;
    return emit_piece(encoder, true);
}

static bool encode_many(struct encoder *encoder, const struct many_report *report) {
    P2pd__Control__ManyReport many = P2PD__CONTROL__MANY_REPORT__INIT;
    many.accepted = report->accepted;
    many.delivered = report->delivered;
    many.failed = report->failed;
    many.reason = (char *)report->reason;
    encoder->answer.many = &many;
    return emit_piece(encoder, true);
}

static bool encode_ping(struct encoder *encoder, const struct answer *answer) {
    P2pd__Control__PingReport ping = P2PD__CONTROL__PING_REPORT__INIT;
    ping.onion_us = answer->ping.onion_us;
    ping.direct_us = answer->ping.direct_us;
    encoder->answer.ping = &ping;
    return emit_piece(encoder, true);
}

static bool encode_trust(struct encoder *encoder, const struct trust_report *report) {
    P2pd__Control__TrustReport trust = P2PD__CONTROL__TRUST_REPORT__INIT;
    P2pd__Control__OldKey old[TRUST_OLD_MAX], *pointers[TRUST_OLD_MAX];
    for (size_t i = 0; i < report->n_old; i++) {
        p2pd__control__old_key__init(&old[i]);
        old[i].id = id_of(&report->old[i].id);
        old[i].name = (char *)report->old[i].name;
        old[i].messages = report->old[i].messages;
        old[i].sent = report->old[i].sent;
        pointers[i] = &old[i];
    }
    trust.id = id_of(&report->id);
    trust.address = address_of(encoder, 0, &report->address);
    trust.name = (char *)report->name;
    trust.resent = report->resent;
    trust.n_old = report->n_old;
    trust.old = pointers;
    encoder->answer.trust = &trust;
    return emit_piece(encoder, true);
}

static bool encode(struct encoder *encoder, const struct answer *answer, size_t bytes_max) {
    switch (answer->kind) {
    case ANSWER_TEXT:
        return emit_piece(encoder, true);
    case ANSWER_MESSAGE:
        return encode_message(encoder, &answer->message);
    case ANSWER_MANY:
        return encode_many(encoder, &answer->many);
    case ANSWER_STATUS:
        return encode_status(encoder, answer->status);
    case ANSWER_ROUTES:
        return encode_routes(encoder, answer);
    case ANSWER_PING:
        return encode_ping(encoder, answer);
    case ANSWER_TRUST:
        return encode_trust(encoder, answer->trust);
    default:
        return encode_pages(encoder, answer, bytes_max);
    }
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
