/* Threat: a frame comes from any local user who may use the socket. protobuf-c checks its
 * structure within a bounded memory; then every length, number and name is checked before the
 * core sees it, and refused in words (convert_*.c). */
#include "daemon/io/control/convert_private.h"

#include "shared/exchange.h"
#include "shared/version.h"

#include <stdio.h>
#include <stdlib.h>

ASSERT_MIRRORED(ANSWER_OK, CODE__OK);
ASSERT_MIRRORED(ANSWER_FAILED, CODE__FAILED);
ASSERT_MIRRORED(ANSWER_USAGE, CODE__USAGE);
ASSERT_MIRRORED(ANSWER_UNKNOWN, CODE__UNKNOWN);
ASSERT_MIRRORED(ANSWER_TIMEOUT, CODE__TIMEOUT);
ASSERT_MIRRORED(ANSWER_LIMIT, CODE__LIMIT);
ASSERT_MIRRORED(ANSWER_KEY_CHANGED, CODE__KEY_CHANGED);
/* What shared/exchange.h assumes about the daemon. */
_Static_assert(CONTROL_VERSION == EXCHANGE_VERSION, "our own client speaks another version");
_Static_assert(CONTROL_SESSION_REQUESTS >= EXCHANGE_REQUESTS_MAX, "our own client asks for more");

/* ---- Commands ---- */

/* A row for each command of control.proto's Request, by its number there. */
static const struct command {
    enum request_kind kind; /* of the core's request that the command becomes */
    decode_command *decode; /* NULL: the number is no command's */
} commands[] = {
#define COMMAND(name) [P2PD__CONTROL__REQUEST__COMMAND_##name]
    COMMAND(PUSH) = {REQUEST_PUSH, decode_push},
    COMMAND(PULL) = {REQUEST_PULL, decode_pull},
    COMMAND(CONFIRM) = {REQUEST_CONFIRM, decode_plain},
    COMMAND(STATUS) = {REQUEST_STATUS, decode_plain},
    COMMAND(MESSAGE) = {REQUEST_MESSAGE, decode_message},
    COMMAND(PEERS) = {REQUEST_PEERS, decode_plain},
    COMMAND(NODES) = {REQUEST_NODES, decode_plain},
    COMMAND(ROUTE) = {REQUEST_ROUTE, decode_route},
    COMMAND(CANCEL) = {REQUEST_CANCEL, decode_cancel},
    COMMAND(PING) = {REQUEST_PING, decode_ping},
    COMMAND(CONNECT) = {REQUEST_CONNECT, decode_connect},
    COMMAND(DISCONNECT) = {REQUEST_DISCONNECT, decode_disconnect},
    COMMAND(TRUST) = {REQUEST_TRUST, decode_trust},
    COMMAND(STOP) = {0, decode_stop}, /* a DECODED_COMMAND, not a request to the core */
    COMMAND(RELOAD) = {0, decode_reload},
    COMMAND(PUSH_MANY) = {REQUEST_PUSH_MANY, decode_push_many},
    COMMAND(CONVERSATIONS) = {REQUEST_CONVERSATIONS, decode_conversations},
    COMMAND(HISTORY) = {REQUEST_HISTORY, decode_history},
    COMMAND(FORGET) = {REQUEST_FORGET, decode_forget},
    COMMAND(FILES) = {REQUEST_FILES, decode_files},
    COMMAND(SEND) = {REQUEST_PUSH, decode_send},
    COMMAND(SEND_DONE) = {0, decode_send_done}, /* DECODED_SEND_DONE */
    COMMAND(FILE_OPEN) = {REQUEST_FILE_OPEN, decode_file_open},
    COMMAND(FILE_TAKE) = {REQUEST_FILE_TAKE, decode_file_take},
    COMMAND(RULE) = {REQUEST_RULE, decode_rule},
    COMMAND(RULES) = {REQUEST_RULES, decode_plain},
    COMMAND(DOCTOR) = {REQUEST_DOCTOR, decode_plain},
    COMMAND(BACKUP) = {0, decode_backup},                 /* DECODED_BACKUP */
    COMMAND(OPEN_SESSION) = {0, decode_open_session},     /* DECODED_OPEN_SESSION */
    COMMAND(CANCEL_REQUEST) = {0, decode_cancel_request}, /* DECODED_CANCEL_REQUEST */
#undef COMMAND
};
#define N_COMMANDS (sizeof commands / sizeof commands[0])
_Static_assert(N_COMMANDS == P2PD__CONTROL__REQUEST__COMMAND_CANCEL_REQUEST + 1,
               "the last command of control.proto is the last row");

static enum answer_code decode_request(struct decoder *decoder) {
    const P2pd__Control__Request *wire = decoder->wire;
    size_t number = (size_t)wire->command_case; /* 0: none that we know */
    if (wire->version != CONTROL_VERSION)
        return decode_refuse(decoder, ANSWER_USAGE, "control protocol version %u asked, %d spoken",
                             wire->version, CONTROL_VERSION);
    if (number >= N_COMMANDS || !commands[number].decode)
        return decode_refuse(decoder, ANSWER_USAGE, "this daemon (%s) does not know that command",
                             P2PD_VERSION);
    decoder->decoded->request.kind = commands[number].kind;
    return commands[number].decode(decoder);
}

enum answer_code control_decode(const uint8_t *frame, size_t length, size_t message_max,
                                struct control_decoded *ret_decoded,
                                char ret_text[CONTROL_TEXT_MAX]) {
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
    struct decoder decoder = {wire, ret_decoded, message_max, ret_text};
    enum answer_code code = decode_request(&decoder);
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

/* ---- Answers ---- */

static encode_answer *const answers[] = {
    [ANSWER_TEXT] = encode_text,         [ANSWER_MESSAGE] = encode_message,
    [ANSWER_MESSAGES] = encode_messages, [ANSWER_STATUS] = encode_status,
    [ANSWER_PEERS] = encode_peers,       [ANSWER_NODES] = encode_nodes,
    [ANSWER_ROUTES] = encode_routes,     [ANSWER_PING] = encode_ping,
    [ANSWER_MANY] = encode_many,         [ANSWER_CONVERSATIONS] = encode_conversations,
    [ANSWER_HISTORY] = encode_history,   [ANSWER_FILES] = encode_files,
    [ANSWER_RULES] = encode_rules,       [ANSWER_DOCTOR] = encode_findings,
    [ANSWER_TRUST] = encode_trust,
};
_Static_assert(sizeof answers / sizeof answers[0] == ANSWER_KINDS, "a row for each answer_kind");

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
    encoder->bytes_max = bytes_max;
    encoder->end = answer->end;
    encoder->confirm = confirm;
    bool ok = answers[answer->kind](encoder, answer);
    free(encoder);
    return ok;
}
