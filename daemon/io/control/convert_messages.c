/* push, push --lines, status ID, cancel: messages that we send, and what becomes of them. */
#include "daemon/io/control/convert_private.h"

#include <stdlib.h>

ASSERT_MIRRORED(MESSAGE_QUEUED, STATE__QUEUED);
ASSERT_MIRRORED(MESSAGE_SENT, STATE__SENT);
ASSERT_MIRRORED(MESSAGE_DELIVERED, STATE__DELIVERED);
ASSERT_MIRRORED(MESSAGE_EXPIRED, STATE__EXPIRED);
ASSERT_MIRRORED(MESSAGE_FAILED, STATE__FAILED_FOR_GOOD);
ASSERT_MIRRORED(MESSAGE_REFUSED, STATE__REFUSED);
/* Plain numbers in MessageState and HistoryItem. */
_Static_assert(KIND_MESSAGE == 1 && KIND_FILE == 2, "control.proto: 1 message, 2 file");

/* ---- Commands ---- */

static enum answer_code check_size(const struct decoder *decoder, size_t size) {
    if (size <= decoder->message_max)
        return ANSWER_OK;
    return decode_refuse(decoder, ANSWER_LIMIT, "message too large: %zu bytes, at most %zu", size,
                         decoder->message_max);
}

enum answer_code decode_push(struct decoder *decoder) {
    const P2pd__Control__Push *wire = decoder->wire->push;
    struct request *request = &decoder->decoded->request;
    request->push.kind = KIND_MESSAGE;
    request->push.body = wire->body.data;
    request->push.size = wire->body.len;
    request->push.trace = wire->trace;
    request->push.wait = wire->wait;
    enum answer_code code = check_size(decoder, wire->body.len);
    if (code == ANSWER_OK)
        code = decode_id(decoder, &wire->id, &request->push.id);
    if (code == ANSWER_OK)
        code = decode_options(decoder, SEND_OPTIONS_OF(wire), &request->push.options);
    return code ? code : decode_destination(decoder, wire->to, &request->push.to);
}

/* How long each message may be is checked by the core, not here: of many, those before the first
 * that is too long are accepted. */
static enum answer_code decode_items(const struct decoder *decoder,
                                     const P2pd__Control__PushMany *wire) {
    struct control_decoded *decoded = decoder->decoded;
    const size_t n = wire->n_ids;
    if (n != wire->n_bodies || n == 0 || n > PUSH_MANY_MAX)
        return decode_refuse(decoder, n > PUSH_MANY_MAX ? ANSWER_LIMIT : ANSWER_USAGE,
                             "want 1 to %d messages, with an id for each", PUSH_MANY_MAX);
    decoded->items = calloc(n, sizeof *decoded->items);
    if (!decoded->items)
        return decode_refuse(decoder, ANSWER_LIMIT, "out of memory");
    for (size_t i = 0; i < n; i++) {
        struct push_item *item = &decoded->items[i];
        enum answer_code code = decode_id(decoder, &wire->ids[i], &item->id);
        if (code != ANSWER_OK)
            return code;
        item->body = wire->bodies[i].data;
        item->size = wire->bodies[i].len;
    }
    decoded->request.push_many.items = decoded->items;
    decoded->request.push_many.n = n;
    return ANSWER_OK;
}

enum answer_code decode_push_many(struct decoder *decoder) {
    const P2pd__Control__PushMany *wire = decoder->wire->push_many;
    struct request *request = &decoder->decoded->request;
    request->push_many.wait = wire->wait;
    enum answer_code code = decode_items(decoder, wire);
    if (code == ANSWER_OK)
        code = decode_options(decoder, SEND_OPTIONS_OF(wire), &request->push_many.options);
    return code ? code : decode_destination(decoder, wire->to, &request->push_many.to);
}

enum answer_code decode_message(struct decoder *decoder) {
    struct request *request = &decoder->decoded->request;
    request->message.wait = decoder->wire->message->wait;
    return decode_id(decoder, &decoder->wire->message->id, &request->message.id);
}

enum answer_code decode_cancel(struct decoder *decoder) {
    return decode_id(decoder, &decoder->wire->cancel->id, &decoder->decoded->request.message.id);
}

/* ---- Answers ---- */

bool encode_message(struct encoder *encoder, const struct answer *answer) {
    const struct message_report *report = &answer->message;
    P2pd__Control__MessageState state = P2PD__CONTROL__MESSAGE_STATE__INIT;
    state.id = encode_message_id(&report->id);
    state.state = (P2pd__Control__State)report->state;
    state.reason = (char *)report->reason;
    if (report->known) {
        state.known = true;
        state.recipient = encode_id(&report->recipient);
        state.kind = (uint32_t)report->kind;
        state.size = report->size;
        state.arrived = report->arrived;
        state.created_us = report->created.us;
        state.expires_us = report->expires.us;
        state.finished_us = report->finished.us;
        state.mailboxes = report->mailboxes;
    }
    encoder->answer.message = &state;
    return encode_piece(encoder, true);
}

bool encode_many(struct encoder *encoder, const struct answer *answer) {
    P2pd__Control__ManyReport many = P2PD__CONTROL__MANY_REPORT__INIT;
    many.accepted = answer->many.accepted;
    many.delivered = answer->many.delivered;
    many.failed = answer->many.failed;
    many.reason = (char *)answer->many.reason;
    encoder->answer.many = &many;
    return encode_piece(encoder, true);
}
