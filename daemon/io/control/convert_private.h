/* What the families of commands (convert_messages.c and its neighbours) give to the tables of
 * control_convert.c, and what helps them: convert_decode.c and convert_encode.c. A family's file
 * holds both directions: its commands as requests of the core, the core's answers to them as
 * messages of proto/control.proto. */
#ifndef P2PD_CONVERT_PRIVATE_H
#define P2PD_CONVERT_PRIVATE_H

#include "daemon/io/control/control_convert.h"

/* An enum of the core that control.proto repeats has the same numbers there. */
#define ASSERT_MIRRORED(ours, theirs)                                                              \
    _Static_assert((int)(ours) == (int)(P2PD__CONTROL__##theirs),                                  \
                   #ours " has another number in control.proto")

/* ---- Commands ---- */

struct decoder {
    const P2pd__Control__Request *wire;
    struct control_decoded *decoded; /* its request's kind is set; the rest is zero */
    size_t message_max;
    char *text; /* CONTROL_TEXT_MAX bytes: why the command is refused */
};
/* Fill in decoder->decoded from the command in decoder->wire. Any result but ANSWER_OK is the code
 * to answer with, and decoder->text says why. */
typedef enum answer_code decode_command(struct decoder *decoder);

/* convert_messages.c */
decode_command decode_push, decode_push_many, decode_message, decode_cancel;
/* convert_inbox.c */
decode_command decode_pull;
/* convert_history.c */
decode_command decode_conversations, decode_history, decode_forget;
/* convert_files.c */
decode_command decode_files, decode_send, decode_send_done, decode_file_open, decode_file_take;
/* convert_network.c */
decode_command decode_route, decode_ping, decode_connect, decode_disconnect;
/* convert_trust.c */
decode_command decode_trust, decode_rule;
/* convert_daemon.c */
decode_command decode_stop, decode_reload, decode_backup, decode_open_session,
    decode_cancel_request;

/* convert_decode.c: parts that several commands have. */
decode_command decode_plain; /* a command without fields */
/* Refuse a command: write the reason, printf-formatted, and return `code`. */
enum answer_code decode_refuse(const struct decoder *decoder, enum answer_code code,
                               const char *format, ...) __attribute__((format(printf, 3, 4)));
enum answer_code decode_destination(const struct decoder *decoder, const char *text,
                                    struct destination *ret_destination);
enum answer_code decode_id(const struct decoder *decoder, const ProtobufCBinaryData *data,
                           struct message_id *ret_id);
enum answer_code decode_relays(const struct decoder *decoder, bool exact, uint32_t relays,
                               uint8_t *ret_relays);
/* The SendOptions of a Push, PushMany or Send: its `options`, or the fields of the command itself
 * where a client that does not know `options` has put them. */
#define SEND_OPTIONS_OF(wire)                                                                      \
    ((wire)->options ? (wire)->options                                                             \
                     : &(P2pd__Control__SendOptions){.relays_exact = (wire)->relays_exact,         \
                                                     .relays = (wire)->relays,                     \
                                                     .strict = (wire)->strict,                     \
                                                     .expire_us = (wire)->expire_us,               \
                                                     .shards_k = (wire)->shards_k,                 \
                                                     .shards_m = (wire)->shards_m})
enum answer_code decode_options(const struct decoder *decoder,
                                const P2pd__Control__SendOptions *wire,
                                struct send_options *ret_options);

/* ---- Answers ---- */

struct encoder {
    P2pd__Control__Answer answer;
    const struct control_emit *emit;
    size_t bytes_max;
    bool end, confirm, more; /* for the last piece */
    int64_t next;
    bool too_long; /* an error stands in place of a piece, and nothing follows it */
    uint8_t addresses[CONTROL_RECORDS_MAX][ADDRESS_WIRE_LEN];
    void *pointers[CONTROL_RECORDS_MAX];
};
/* Emit an answer as one or more messages of the protocol. False: no memory. */
typedef bool encode_answer(struct encoder *encoder, const struct answer *answer);

/* convert_messages.c */
encode_answer encode_message, encode_many;
/* convert_inbox.c */
encode_answer encode_messages;
/* convert_history.c */
encode_answer encode_conversations, encode_history;
/* convert_files.c */
encode_answer encode_files;
/* convert_network.c */
encode_answer encode_peers, encode_nodes, encode_routes, encode_ping;
/* convert_trust.c */
encode_answer encode_trust, encode_rules;
/* convert_daemon.c */
encode_answer encode_status, encode_findings;

/* convert_encode.c: parts that several answers have. protobuf-c has no const: packing reads
 * only. */
encode_answer encode_text; /* an answer without records */
ProtobufCBinaryData encode_bytes(const void *bytes, size_t length);
ProtobufCBinaryData encode_id(const struct node_id *id);
ProtobufCBinaryData encode_message_id(const struct message_id *id);
/* The wire form of an address, in the encoder's buffer number `i`. */
ProtobufCBinaryData encode_address(struct encoder *encoder, size_t i,
                                   const struct address *address);
/* Emit encoder->answer as it is. The `last` piece carries the end, the cursor and the demand to
 * confirm. */
bool encode_piece(struct encoder *encoder, bool last);
/* Make one record of the answer into a message. `to` has room for one message of the list's type;
 * `place` is its number in the piece. Returns the size of its body in bytes. */
typedef size_t fill_record(struct encoder *encoder, const struct answer *answer, size_t record,
                           size_t place, void *to);
/* Emit `n` records of `size` bytes each. A piece ends at CONTROL_RECORDS_MAX records or
 * encoder->bytes_max bytes of bodies, whichever comes first; ret_count is the field of the answer
 * that counts the records. */
bool encode_list(struct encoder *encoder, const struct answer *answer, size_t n, size_t size,
                 size_t *ret_count, fill_record *fill);

#endif
