/* The names of members are an interface (p2pctl(1)): rows are added, and never changed. */
#include "client/common/json_shape.h"

#include "client/common/bits.h"
#include "client/common/words.h"
#include "shared/text.h"

struct shape {
    const ProtobufCMessageDescriptor *descriptor;
    const struct row *rows;
};

/* ---- Members made of several fields ---- */

static void put_file_way(struct json *json, const ProtobufCMessage *message) {
    const P2pd__Control__File *file = (const P2pd__Control__File *)message;
    json_key(json, "direction");
    json_text(json, words_file_is_outgoing(file) ? "out" : "in");
    json_key(json, "state");
    json_text(json, words_file(file));
}

static void put_item_state(struct json *json, const ProtobufCMessage *message) {
    json_key(json, "state");
    json_text(json, words_item((const P2pd__Control__HistoryItem *)message));
}

static void put_item_done(struct json *json, const ProtobufCMessage *message) {
    const P2pd__Control__HistoryItem *item = (const P2pd__Control__HistoryItem *)message;
    json_key(json, item->outgoing ? "finished" : "received");
    json_time_or_null(json, item->done_us);
}

/* A body as a string if it is UTF-8, else in base64. */
static void put_body_bytes(struct json *json, const ProtobufCBinaryData *body) {
    bool is_text = text_is_utf8(body->data, body->len);
    json_key(json, is_text ? "body" : "body_base64");
    if (is_text)
        json_bytes(json, body);
    else
        json_base64(json, body);
}

static void put_item_content(struct json *json, const ProtobufCMessage *message) {
    const P2pd__Control__HistoryItem *item = (const P2pd__Control__HistoryItem *)message;
    if (item->kind != WORDS_KIND_FILE) {
        put_body_bytes(json, &item->body);
        return;
    }
    json_key(json, "name");
    json_bytes(json, &item->file_name);
}

static void put_body(struct json *json, const ProtobufCMessage *message) {
    put_body_bytes(json, &((const P2pd__Control__Incoming *)message)->body);
}

static void put_network(struct json *json, const ProtobufCMessage *message) {
    const P2pd__Control__StatusReport *status = (const P2pd__Control__StatusReport *)message;
    if (status->network == 0)
        return;
    json_key(json, "network");
    json_open(json, '{');
    json_key(json, "open");
    json_bool(json, status->network == 1);
    json_close(json, '}');
}

static void put_counters(struct json *json, const ProtobufCMessage *message) {
    const P2pd__Control__StatusReport *status = (const P2pd__Control__StatusReport *)message;
    json_key(json, "counters");
    json_open(json, '{');
    for (size_t i = 0; i < status->n_counters; i++) {
        json_member(json, status->counters[i]->name);
        json_number(json, status->counters[i]->value);
    }
    json_close(json, '}');
}

static void put_bits(struct json *json, const ProtobufCMessage *message) {
    json_key(json, "log2");
    json_decimal(json, bits_of(((const P2pd__Control__Routes *)message)->count), 2);
}

/* ---- The shapes ---- */

static const struct row none[] = {{.field = NULL}};

static const struct row incoming[] = {{.field = "id"},
                                      {.field = "address", .name = "from.ip", .form = FORM_IP},
                                      {.field = "address", .name = "from.port", .form = FORM_PORT},
                                      {.field = "sender", .name = "from.id"},
                                      {.field = "name", .name = "from.name"},
                                      {.field = "sent_us"},
                                      {.field = "received_us"},
                                      {.name = "body", .special = put_body},
                                      {.field = "body", .form = FORM_HIDDEN},
                                      {.field = NULL}};

static const struct row file[] = {{.field = "id"},
                                  {.name = "state", .special = put_file_way},
                                  {.field = "state", .form = FORM_HIDDEN},
                                  {.field = "message_state", .form = FORM_HIDDEN},
                                  {.field = "address", .name = "peer.address"},
                                  {.field = "peer", .name = "peer.id"},
                                  {.field = "peer_name", .name = "peer.name"},
                                  {.field = "name", .form = FORM_TEXT},
                                  {.field = "size"},
                                  {.field = "held"},
                                  {.field = "sha256"},
                                  {.field = "path"},
                                  {.field = "sent_us"},
                                  {.field = "received_us", .form = FORM_UNSET},
                                  {.field = NULL}};

static const struct row conversation[] = {
    {.field = "peer", .name = "id"},
    {.field = "name"},
    {.field = "address"},
    {.field = "waiting"},
    {.field = "pending"},
    {.field = "messages"},
    {.field = "last_us"},
    {.field = "last_outgoing", .name = "last_direction", .form = FORM_WAY},
    {.field = "last_text", .form = FORM_TEXT},
    {.field = NULL}};

static const struct row history_item[] = {
    {.field = "id"},
    {.field = "outgoing", .name = "direction", .form = FORM_WAY},
    {.field = "kind", .form = FORM_KIND},
    {.name = "state", .special = put_item_state},
    {.field = "state", .form = FORM_HIDDEN},
    {.field = "taken", .form = FORM_HIDDEN},
    {.field = "reason"},
    {.field = "sent_us"},
    {.name = "done", .special = put_item_done},
    {.field = "done_us", .form = FORM_HIDDEN},
    {.field = "size"},
    {.name = "body", .special = put_item_content},
    {.field = "body", .form = FORM_HIDDEN},
    {.field = "file_name", .form = FORM_HIDDEN},
    {.field = NULL}};

static const struct row message_state[] = {{.field = "id"},
                                           {.field = "state"},
                                           {.field = "reason"},
                                           {.field = "known", .form = FORM_ALL_IF},
                                           {.field = "recipient"},
                                           {.field = "kind", .form = FORM_KIND},
                                           {.field = "size"},
                                           {.field = "arrived", .name = "confirmed"},
                                           {.field = "created_us", .name = "queued"},
                                           {.field = "expires_us"},
                                           {.field = "finished_us", .form = FORM_UNSET},
                                           {.field = "mailboxes"},
                                           {.field = NULL}};

static const struct row status_report[] = {
    {.field = "version"},
    {.field = "id"},
    {.field = "name"},
    {.field = "addresses"},
    {.field = "uptime_us", .form = FORM_SECONDS},
    {.field = "pool_neighbours", .name = "pool.neighbours"},
    {.field = "pool_min", .name = "pool.min"},
    {.field = "pool_max", .name = "pool.max"},
    {.field = "pool_spare", .name = "pool.spare"},
    {.field = "directory_nodes", .name = "directory.nodes"},
    {.field = "directory_relays", .name = "directory.relays"},
    {.field = "inbox_waiting", .name = "inbox.waiting"},
    {.field = "inbox_unfinished", .name = "inbox.unfinished_bytes"},
    {.field = "outbox_pending", .name = "outbox.pending"},
    {.field = "outbox_stranded", .name = "outbox.key_gone"},
    {.field = "mail_held", .name = "mail.held"},
    {.field = "mail_bytes", .name = "mail.bytes"},
    {.name = "network", .special = put_network},
    {.field = "network", .form = FORM_HIDDEN},
    {.field = "clock_offset_us", .name = "clock_offset_ms", .form = FORM_MILLIS},
    {.field = "clock_error_us", .name = "clock_error_ms", .form = FORM_MILLIS},
    {.field = "memory_used", .name = "memory.used"},
    {.field = "memory_max", .name = "memory.max"},
    {.field = "droplist_entries", .name = "droplist"},
    {.name = "counters", .special = put_counters},
    {.field = "counters", .form = FORM_HIDDEN},
    {.field = NULL}};

static const struct row peer[] = {{.field = "address"},
                                  {.field = "name"},
                                  {.field = "id"},
                                  {.field = "rtt_us", .name = "rtt_ms", .form = FORM_MS},
                                  {.field = NULL}};

static const struct row node[] = {{.field = "address"}, {.field = "name"},         {.field = "id"},
                                  {.field = "relay"},   {.field = "last_seen_us"}, {.field = NULL}};

static const struct row hop[] = {
    {.field = "address"}, {.field = "name"}, {.field = "id"}, {.field = NULL}};

static const struct row routes[] = {{.field = "relays"},
                                    {.field = "count", .name = "paths", .form = FORM_WHOLE},
                                    {.name = "log2", .special = put_bits},
                                    {.field = "paths", .name = "samples", .form = FORM_PATHS},
                                    {.field = NULL}};

static const struct row ping_report[] = {
    {.field = "onion_us", .name = "onion_ms", .form = FORM_MS},
    {.field = "direct_us", .name = "direct_ms", .form = FORM_MS},
    {.field = NULL}};

static const struct row finding[] = {{.field = "level", .form = FORM_LEVEL}, {.field = NULL}};

static const struct shape shapes[] = {
    {&p2pd__control__incoming__descriptor, incoming},
    {&p2pd__control__file__descriptor, file},
    {&p2pd__control__conversation__descriptor, conversation},
    {&p2pd__control__history_item__descriptor, history_item},
    {&p2pd__control__message_state__descriptor, message_state},
    {&p2pd__control__status_report__descriptor, status_report},
    {&p2pd__control__peer__descriptor, peer},
    {&p2pd__control__node__descriptor, node},
    {&p2pd__control__hop__descriptor, hop},
    {&p2pd__control__routes__descriptor, routes},
    {&p2pd__control__ping_report__descriptor, ping_report},
    {&p2pd__control__finding__descriptor, finding},
};

const struct row *json_shape_rows(const ProtobufCMessageDescriptor *descriptor) {
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (shapes[i].descriptor == descriptor)
            return shapes[i].rows;
    return none;
}
