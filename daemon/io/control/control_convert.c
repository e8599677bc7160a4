/* Threat: a frame comes from any local user who may use the socket. protobuf-c checks its
 * structure within a bounded memory; here every length, number and name is checked before the
 * core sees it, and refused in words. */
#include "daemon/io/control/control_convert.h"

#include "daemon/core/wire/shard.h"
#include "daemon/io/control/dest.h"
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
    const char *why = address_explain(text);
    text_escape_string(text, shown, sizeof shown);
    snprintf(
        ret_text, CONTROL_TEXT_MAX, "'%s' is no destination: %s", shown,
        why ? why
            : "want an IP, IP:PORT, [IPv6]:PORT, a node id, 8 or more digits of one, or a node "
              "name");
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

static enum answer_code take_shards(uint32_t k, uint32_t m, uint8_t *ret_k, uint8_t *ret_m,
                                    char ret_text[CONTROL_TEXT_MAX]) {
    if ((k == 0 && m > 0) || k > SHARD_COUNT_MAX || m > SHARD_COUNT_MAX - k) {
        snprintf(ret_text, CONTROL_TEXT_MAX,
                 "shards are 1 or more of data and, with those of parity, at most %u",
                 SHARD_COUNT_MAX);
        return ANSWER_USAGE;
    }
    *ret_k = (uint8_t)k;
    *ret_m = (uint8_t)m;
    return ANSWER_OK;
}

static enum answer_code take_expiry(int64_t us, int64_t *ret_us, char ret_text[CONTROL_TEXT_MAX]) {
    if (us < 0 || us > EXPIRE_US_MAX) {
        snprintf(ret_text, CONTROL_TEXT_MAX, "an expiry is at most 365d");
        return ANSWER_USAGE;
    }
    *ret_us = us;
    return ANSWER_OK;
}

static enum answer_code check_size(size_t size, size_t message_max,
                                   char ret_text[CONTROL_TEXT_MAX]) {
    if (size <= message_max)
        return ANSWER_OK;
    snprintf(ret_text, CONTROL_TEXT_MAX, "message too large: %zu bytes, at most %zu", size,
             message_max);
    return ANSWER_LIMIT;
}

static enum answer_code take_push(const P2pd__Control__Push *wire, size_t message_max,
                                  struct request *request, char ret_text[CONTROL_TEXT_MAX]) {
    request->kind = REQUEST_PUSH;
    request->push.kind = KIND_MESSAGE;
    request->push.body = wire->body.data;
    request->push.size = wire->body.len;
    request->push.strict = wire->strict;
    request->push.trace = wire->trace;
    request->push.wait = wire->wait;
    enum answer_code code = check_size(wire->body.len, message_max, ret_text);
    if (code == ANSWER_OK)
        code = take_expiry(wire->expire_us, &request->push.expire_us, ret_text);
    if (code == ANSWER_OK)
        code = take_id(&wire->id, &request->push.id, ret_text);
    if (code == ANSWER_OK)
        code = take_relays(wire->relays_exact, wire->relays, &request->push.relays, ret_text);
    if (code == ANSWER_OK)
        code = take_shards(wire->shards_k, wire->shards_m, &request->push.shards_k,
                           &request->push.shards_m, ret_text);
    return code ? code : take_destination(wire->to, &request->push.to, ret_text);
}

/* How long each may be is the core's to say: what comes before one that is too long is accepted. */
static enum answer_code take_items(const P2pd__Control__PushMany *wire,
                                   struct control_decoded *decoded,
                                   char ret_text[CONTROL_TEXT_MAX]) {
    const size_t n = wire->n_ids;
    if (n != wire->n_bodies || n == 0 || n > PUSH_MANY_MAX) {
        snprintf(ret_text, CONTROL_TEXT_MAX, "want 1 to %d messages, with an id for each",
                 PUSH_MANY_MAX);
        return n > PUSH_MANY_MAX ? ANSWER_LIMIT : ANSWER_USAGE;
    }
    decoded->items = calloc(n, sizeof *decoded->items);
    if (!decoded->items) {
        snprintf(ret_text, CONTROL_TEXT_MAX, "out of memory");
        return ANSWER_LIMIT;
    }
    for (size_t i = 0; i < n; i++) {
        struct push_item *item = &decoded->items[i];
        enum answer_code code = take_id(&wire->ids[i], &item->id, ret_text);
        if (code != ANSWER_OK)
            return code;
        item->body = wire->bodies[i].data;
        item->size = wire->bodies[i].len;
    }
    decoded->request.push_many.items = decoded->items;
    decoded->request.push_many.n = n;
    return ANSWER_OK;
}

static enum answer_code take_push_many(const P2pd__Control__PushMany *wire,
                                       struct control_decoded *decoded,
                                       char ret_text[CONTROL_TEXT_MAX]) {
    struct request *request = &decoded->request;
    request->kind = REQUEST_PUSH_MANY;
    request->push_many.strict = wire->strict;
    request->push_many.wait = wire->wait;
    enum answer_code code = take_items(wire, decoded, ret_text);
    if (code == ANSWER_OK)
        code = take_expiry(wire->expire_us, &request->push_many.expire_us, ret_text);
    if (code == ANSWER_OK)
        code = take_relays(wire->relays_exact, wire->relays, &request->push_many.relays, ret_text);
    if (code == ANSWER_OK)
        code = take_shards(wire->shards_k, wire->shards_m, &request->push_many.shards_k,
                           &request->push_many.shards_m, ret_text);
    return code ? code : take_destination(wire->to, &request->push_many.to, ret_text);
}

/* ---- Files ---- */

static enum answer_code take_file_name(const char *name, char ret_name[FILE_NAME_MAX + 1],
                                       char ret_text[CONTROL_TEXT_MAX]) {
    size_t length = strlen(name);
    if (length == 0 || length > FILE_NAME_MAX || strchr(name, '/')) {
        snprintf(ret_text, CONTROL_TEXT_MAX,
                 "a file's name has 1 to %d bytes and names no folder (it has %zu)", FILE_NAME_MAX,
                 length);
        return ANSWER_USAGE;
    }
    memcpy(ret_name, name, length + 1);
    return ANSWER_OK;
}

/* It comes as a push that is only to be checked: there is nothing yet to be sent. */
static enum answer_code take_send(const P2pd__Control__Send *wire, struct control_decoded *decoded,
                                  char ret_text[CONTROL_TEXT_MAX]) {
    struct request *request = &decoded->request;
    decoded->kind = DECODED_SEND;
    request->kind = REQUEST_PUSH;
    request->push.kind = KIND_FILE;
    request->push.check = true;
    request->push.file = &decoded->file;
    request->push.strict = wire->strict;
    enum answer_code code = take_file_name(wire->name, decoded->file.name, ret_text);
    if (code == ANSWER_OK)
        code = take_expiry(wire->expire_us, &request->push.expire_us, ret_text);
    if (code == ANSWER_OK)
        code = take_id(&wire->id, &request->push.id, ret_text);
    if (code == ANSWER_OK)
        code = take_relays(wire->relays_exact, wire->relays, &request->push.relays, ret_text);
    if (code == ANSWER_OK)
        code = take_shards(wire->shards_k, wire->shards_m, &request->push.shards_k,
                           &request->push.shards_m, ret_text);
    return code ? code : take_destination(wire->to, &request->push.to, ret_text);
}

static enum answer_code take_send_done(const P2pd__Control__SendDone *wire,
                                       struct control_decoded *decoded,
                                       char ret_text[CONTROL_TEXT_MAX]) {
    decoded->kind = DECODED_SEND_DONE;
    decoded->done.size = wire->size;
    decoded->done.wait = wire->wait;
    if (wire->sha256.len != FILE_DIGEST_LEN) {
        snprintf(ret_text, CONTROL_TEXT_MAX, "a SHA-256 is %d bytes", FILE_DIGEST_LEN);
        return ANSWER_USAGE;
    }
    memcpy(decoded->file.digest, wire->sha256.data, FILE_DIGEST_LEN);
    return ANSWER_OK;
}

static enum answer_code take_file(const ProtobufCBinaryData *id, const ProtobufCBinaryData *sender,
                                  enum request_kind kind, struct request *request,
                                  char ret_text[CONTROL_TEXT_MAX]) {
    request->kind = kind;
    if (sender->len != 0 && sender->len != NODE_ID_LEN) {
        snprintf(ret_text, CONTROL_TEXT_MAX, "a sender's id is %d bytes", NODE_ID_LEN);
        return ANSWER_USAGE;
    }
    if (sender->len == NODE_ID_LEN) {
        request->file.by_sender = true;
        request->file.sender.kind = DEST_ID;
        request->file.sender.n_digits = 2 * NODE_ID_LEN;
        memcpy(request->file.sender.id, sender->data, NODE_ID_LEN);
    }
    return take_id(id, &request->file.id, ret_text);
}

static enum answer_code take_backup(const P2pd__Control__Backup *wire,
                                    struct control_decoded *decoded,
                                    char ret_text[CONTROL_TEXT_MAX]) {
    decoded->kind = DECODED_BACKUP;
    decoded->passphrase.bytes = wire->passphrase.data;
    decoded->passphrase.length = wire->passphrase.len;
    if (wire->passphrase.len >= 1 && wire->passphrase.len <= CONTROL_PASSPHRASE_MAX)
        return ANSWER_OK;
    snprintf(ret_text, CONTROL_TEXT_MAX, "a passphrase has 1 to %d bytes", CONTROL_PASSPHRASE_MAX);
    return ANSWER_USAGE;
}

/* ---- What is here already ---- */

static enum answer_code take_pull(const P2pd__Control__Pull *wire, struct request *request,
                                  char ret_text[CONTROL_TEXT_MAX]) {
    request->kind = REQUEST_PULL;
    request->pull.peek = wire->peek;
    request->pull.wait = wire->wait || wire->follow;
    request->pull.follow = wire->follow;
    request->pull.from_any = wire->from[0] == '\0';
    request->pull.max = wire->max;
    request->pull.since.us = wire->since_us;
    if (wire->since_us < 0) {
        snprintf(ret_text, CONTROL_TEXT_MAX, "a time before 1970");
        return ANSWER_USAGE;
    }
    request->pull.since_message = wire->since_id.len > 0;
    if (request->pull.since_message) {
        enum answer_code code = take_id(&wire->since_id, &request->pull.since_id, ret_text);
        if (code != ANSWER_OK)
            return code;
    }
    if (request->pull.from_any)
        return ANSWER_OK;
    return take_destination(wire->from, &request->pull.from, ret_text);
}

static enum answer_code take_history(const P2pd__Control__History *wire, struct request *request,
                                     char ret_text[CONTROL_TEXT_MAX]) {
    request->kind = REQUEST_HISTORY;
    request->history.since.us = wire->since_us;
    request->history.until.us = wire->until_us ? wire->until_us : INT64_MAX;
    request->history.after = wire->after;
    if (wire->since_us < 0 || wire->until_us < 0) {
        snprintf(ret_text, CONTROL_TEXT_MAX, "a time before 1970");
        return ANSWER_USAGE;
    }
    return take_destination(wire->to, &request->history.to, ret_text);
}

static enum answer_code take_forget(const P2pd__Control__Forget *wire, struct request *request,
                                    char ret_text[CONTROL_TEXT_MAX]) {
    request->kind = REQUEST_FORGET;
    return take_destination(wire->to, &request->history.to, ret_text);
}

static enum answer_code take_page(enum request_kind kind, int64_t after, struct request *request) {
    request->kind = kind;
    request->history.after = after;
    return ANSWER_OK;
}

static enum answer_code take_rule(const P2pd__Control__Rule *wire, struct request *request,
                                  char ret_text[CONTROL_TEXT_MAX]) {
    request->kind = REQUEST_RULE;
    switch (wire->rule) {
    case P2PD__CONTROL__SENDER_RULE__RULE_NONE:
        request->rule.rule = RULE_NONE;
        break;
    case P2PD__CONTROL__SENDER_RULE__RULE_ALLOW:
        request->rule.rule = RULE_ALLOW;
        break;
    case P2PD__CONTROL__SENDER_RULE__RULE_BLOCK:
        request->rule.rule = RULE_BLOCK;
        break;
    default: /* proto3 hands on numbers that its enum does not have */
        snprintf(ret_text, CONTROL_TEXT_MAX, "a rule is allow, block or none");
        return ANSWER_USAGE;
    }
    return take_destination(wire->to, &request->rule.to, ret_text);
}

/* ---- The network ---- */

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
        const char *why = address_explain(text);
        snprintf(ret_text, CONTROL_TEXT_MAX, "no address: %s",
                 why ? why : "IP, IP:PORT or [IPv6]:PORT is wanted");
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

/* What sends, receives and keeps. */
static enum answer_code take_messages(const P2pd__Control__Request *wire, size_t message_max,
                                      struct control_decoded *decoded,
                                      char ret_text[CONTROL_TEXT_MAX]) {
    struct request *request = &decoded->request;
    switch (wire->command_case) {
    case P2PD__CONTROL__REQUEST__COMMAND_PUSH:
        return take_push(wire->push, message_max, request, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_PUSH_MANY:
        return take_push_many(wire->push_many, decoded, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_SEND:
        return take_send(wire->send, decoded, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_SEND_DONE:
        return take_send_done(wire->send_done, decoded, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_FILE_OPEN:
        return take_file(&wire->file_open->id, &wire->file_open->sender, REQUEST_FILE_OPEN, request,
                         ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_FILE_TAKE:
        return take_file(&wire->file_take->id, &wire->file_take->sender, REQUEST_FILE_TAKE, request,
                         ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_PULL:
        return take_pull(wire->pull, request, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_HISTORY:
        return take_history(wire->history, request, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_FORGET:
        return take_forget(wire->forget, request, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_CONVERSATIONS:
        return take_page(REQUEST_CONVERSATIONS, wire->conversations->after, request);
    case P2PD__CONTROL__REQUEST__COMMAND_FILES:
        return take_page(REQUEST_FILES, wire->files->after, request);
    default:
        break;
    }
    snprintf(ret_text, CONTROL_TEXT_MAX, "this daemon (%s) does not know that command",
             P2PD_VERSION);
    return ANSWER_USAGE;
}

static enum answer_code take_request(const P2pd__Control__Request *wire, size_t message_max,
                                     struct control_decoded *decoded,
                                     char ret_text[CONTROL_TEXT_MAX]) {
    struct request *request = &decoded->request;
    switch (wire->command_case) {
    case P2PD__CONTROL__REQUEST__COMMAND_CONFIRM:
        return take_plain(REQUEST_CONFIRM, request);
    case P2PD__CONTROL__REQUEST__COMMAND_STATUS:
        return take_plain(REQUEST_STATUS, request);
    case P2PD__CONTROL__REQUEST__COMMAND_RULE:
        return take_rule(wire->rule, request, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_RULES:
        return take_plain(REQUEST_RULES, request);
    case P2PD__CONTROL__REQUEST__COMMAND_DOCTOR:
        return take_plain(REQUEST_DOCTOR, request);
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
        request->to.resend = wire->trust->resend;
        return take_to(wire->trust->to, REQUEST_TRUST, request, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_CONNECT:
        return take_connect(wire->connect->address, request, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_STOP:
        return take_command(CONTROL_STOP, decoded);
    case P2PD__CONTROL__REQUEST__COMMAND_RELOAD:
        return take_command(CONTROL_RELOAD, decoded);
    case P2PD__CONTROL__REQUEST__COMMAND_BACKUP:
        return take_backup(wire->backup, decoded, ret_text);
    case P2PD__CONTROL__REQUEST__COMMAND_OPEN_SESSION:
        decoded->kind = DECODED_OPEN_SESSION;
        return ANSWER_OK;
    case P2PD__CONTROL__REQUEST__COMMAND_CANCEL_REQUEST:
        decoded->kind = DECODED_CANCEL_REQUEST;
        decoded->cancel_id = wire->cancel_request->request_id;
        return ANSWER_OK;
    default:
        return take_messages(wire, message_max, decoded, ret_text);
    }
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
    free(decoded->items);
    decoded->wire = NULL;
    decoded->items = NULL;
}
