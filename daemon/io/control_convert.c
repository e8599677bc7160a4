/* Threat: a frame comes from any local user who may use the socket. protobuf-c checks its
 * structure within a bounded memory; here every length, number and name is checked before the
 * core sees it, and refused in words. */
#include "daemon/io/control_convert.h"

#include "daemon/io/dest.h"
#include "shared/text.h"
#include "shared/version.h"

#include <stdio.h>
#include <stdlib.h>

#define ROUTE_COUNT_MAX 64 /* samples: a screenful */
#define EXPIRE_US_MAX (INT64_C(365) * 24 * US_PER_HOUR)

/* ---- Requests ---- */

static enum answer_code take_destination(const char *text, struct destination *ret_destination,
                                         char ret_text[CONTROL_TEXT_MAX]) {
    char shown[64];
    if (dest_parse(text, ret_destination) == 0)
        return ANSWER_OK;
    text_escape_string(text, shown, sizeof shown);
    snprintf(
        ret_text, CONTROL_TEXT_MAX,
        "'%s' is no destination: want an IP, IP:PORT, [IPv6]:PORT, a node id, 8 or more digits "
        "of one, or a node name",
        shown);
    return ANSWER_UNKNOWN;
}

static enum answer_code take_id(const ProtobufCBinaryData *data, struct message_id *ret_id,
                                char ret_text[CONTROL_TEXT_MAX]) {
    if (data->len != MESSAGE_ID_LEN) {
        snprintf(ret_text, CONTROL_TEXT_MAX, "a message id is %d bytes", MESSAGE_ID_LEN);
        return ANSWER_USAGE;
    }
    memcpy(ret_id->bytes, data->data, MESSAGE_ID_LEN);
    return ANSWER_OK;
}

static enum answer_code take_relays(bool exact, uint32_t relays, uint8_t *ret_relays,
                                    char ret_text[CONTROL_TEXT_MAX]) {
    if (exact && relays > TOPOLOGY_RELAYS_MAX) {
        snprintf(ret_text, CONTROL_TEXT_MAX, "at most %d relays", TOPOLOGY_RELAYS_MAX);
        return ANSWER_USAGE;
    }
    *ret_relays = exact ? (uint8_t)relays : RELAYS_DEFAULT;
    return ANSWER_OK;
}

static enum answer_code take_push(const P2pd__Control__Push *wire, size_t message_max,
                                  struct request *request, char ret_text[CONTROL_TEXT_MAX]) {
    request->kind = REQUEST_PUSH;
    request->push.body = wire->body.data;
    request->push.size = wire->body.len;
    request->push.strict = wire->strict;
    request->push.trace = wire->trace;
    request->push.wait = wire->wait;
    request->push.expire_us = wire->expire_us;
    if (wire->body.len > message_max) {
        snprintf(ret_text, CONTROL_TEXT_MAX, "message too large: %zu bytes, at most %zu",
                 wire->body.len, message_max);
        return ANSWER_LIMIT;
    }
    if (wire->expire_us < 0 || wire->expire_us > EXPIRE_US_MAX) {
        snprintf(ret_text, CONTROL_TEXT_MAX, "an expiry is at most 365d");
        return ANSWER_USAGE;
    }
    enum answer_code code = take_id(&wire->id, &request->push.id, ret_text);
    if (code == ANSWER_OK)
        code = take_relays(wire->relays_exact, wire->relays, &request->push.relays, ret_text);
    return code ? code : take_destination(wire->to, &request->push.to, ret_text);
}

static enum answer_code take_pull(const P2pd__Control__Pull *wire, struct request *request,
                                  char ret_text[CONTROL_TEXT_MAX]) {
    request->kind = REQUEST_PULL;
    request->pull.peek = wire->peek;
    request->pull.wait = wire->wait || wire->follow;
    request->pull.follow = wire->follow;
    request->pull.from_any = wire->from[0] == '\0';
    request->pull.max = wire->max;
    if (request->pull.from_any)
        return ANSWER_OK;
    return take_destination(wire->from, &request->pull.from, ret_text);
}

static enum answer_code take_route(const P2pd__Control__Route *wire, struct request *request,
                                   char ret_text[CONTROL_TEXT_MAX]) {
    request->kind = REQUEST_ROUTE;
    request->to.count = wire->count;
    request->to.strict = wire->strict;
    if (wire->count > ROUTE_COUNT_MAX) {
        snprintf(ret_text, CONTROL_TEXT_MAX, "at most %d routes", ROUTE_COUNT_MAX);
        return ANSWER_LIMIT;
    }
    enum answer_code code =
        take_relays(wire->relays_exact, wire->relays, &request->to.relays, ret_text);
    return code ? code : take_destination(wire->to, &request->to.to, ret_text);
}

static enum answer_code take_connect(const char *text, struct request *request,
                                     char ret_text[CONTROL_TEXT_MAX]) {
    request->kind = REQUEST_CONNECT;
    if (address_parse(text, &request->connect.address) < 0) {
        snprintf(ret_text, CONTROL_TEXT_MAX, "want an address: IP, IP:PORT or [IPv6]:PORT");
        return ANSWER_USAGE;
    }
    if (request->connect.address.port == 0)
        request->connect.address.port = ADDRESS_PORT_DEFAULT;
    return ANSWER_OK;
}

static enum answer_code take_message(const ProtobufCBinaryData *id, bool wait,
                                     enum request_kind kind, struct request *request,
                                     char ret_text[CONTROL_TEXT_MAX]) {
    request->kind = kind;
    request->message.wait = wait;
    return take_id(id, &request->message.id, ret_text);
}

static enum answer_code take_to(const char *to, enum request_kind kind, struct request *request,
                                char ret_text[CONTROL_TEXT_MAX]) {
    request->kind = kind;
    request->to.relays = RELAYS_DEFAULT;
    return take_destination(to, &request->to.to, ret_text);
}

static enum answer_code take_command(enum control_command command,
                                     struct control_decoded *decoded) {
    decoded->kind = DECODED_COMMAND;
    decoded->command = command;
    return ANSWER_OK;
}

static enum answer_code take_plain(enum request_kind kind, struct request *request) {
    request->kind = kind;
    return ANSWER_OK;
}

static enum answer_code take_request(const P2pd__Control__Request *wire, size_t message_max,
                                     struct control_decoded *decoded,
                                     char ret_text[CONTROL_TEXT_MAX]) {
    struct request *request = &decoded->request;
    switch (wire->command_case) {
    case P2PD__CONTROL__REQUEST__COMMAND_PUSH:
        return take_push(wire->push, message_max, request, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_PULL:
        return take_pull(wire->pull, request, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_CONFIRM:
        return take_plain(REQUEST_CONFIRM, request);
    case P2PD__CONTROL__REQUEST__COMMAND_STATUS:
        return take_plain(REQUEST_STATUS, request);
    case P2PD__CONTROL__REQUEST__COMMAND_PEERS:
        return take_plain(REQUEST_PEERS, request);
    case P2PD__CONTROL__REQUEST__COMMAND_NODES:
        return take_plain(REQUEST_NODES, request);
    case P2PD__CONTROL__REQUEST__COMMAND_MESSAGE:
        return take_message(&wire->message->id, wire->message->wait, REQUEST_MESSAGE, request,
                            ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_CANCEL:
        return take_message(&wire->cancel->id, false, REQUEST_CANCEL, request, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_ROUTE:
        return take_route(wire->route, request, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_PING:
        return take_to(wire->ping->to, REQUEST_PING, request, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_DISCONNECT:
        return take_to(wire->disconnect->to, REQUEST_DISCONNECT, request, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_TRUST:
        return take_to(wire->trust->to, REQUEST_TRUST, request, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_CONNECT:
        return take_connect(wire->connect->address, request, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_STOP:
        return take_command(CONTROL_STOP, decoded);
    case P2PD__CONTROL__REQUEST__COMMAND_RELOAD:
        return take_command(CONTROL_RELOAD, decoded);
    case P2PD__CONTROL__REQUEST__COMMAND__NOT_SET:
    case _P2PD__CONTROL__REQUEST__COMMAND__CASE_IS_INT_SIZE:
        break;
    }
    snprintf(ret_text, CONTROL_TEXT_MAX, "this daemon (%s) does not know that command",
             P2PD_VERSION);
    return ANSWER_USAGE;
}

enum answer_code control_decode(const uint8_t *frame, size_t length, size_t message_max,
                                struct control_decoded *ret_decoded,
                                char ret_text[CONTROL_TEXT_MAX]) {
    enum answer_code code;
    memset(ret_decoded, 0, sizeof *ret_decoded);
    frame_allocator_init(&ret_decoded->allocator, length);
    P2pd__Control__Request *wire =
        p2pd__control__request__unpack(&ret_decoded->allocator.allocator, length, frame);
    if (!wire) {
        snprintf(ret_text, CONTROL_TEXT_MAX, "malformed request");
        return ANSWER_USAGE;
    }
    ret_decoded->wire = wire;
    ret_decoded->request_id = wire->request_id;
    if (wire->version != CONTROL_VERSION) {
        snprintf(ret_text, CONTROL_TEXT_MAX, "control protocol version %u asked, %d spoken",
                 wire->version, CONTROL_VERSION);
        code = ANSWER_USAGE;
    } else {
        code = take_request(wire, message_max, ret_decoded, ret_text);
    }
    if (code != ANSWER_OK)
        control_decoded_free(ret_decoded);
    return code;
}

void control_decoded_free(struct control_decoded *decoded) {
    p2pd__control__request__free_unpacked(decoded->wire, &decoded->allocator.allocator);
    decoded->wire = NULL;
}
