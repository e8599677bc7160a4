/* pull, and its Confirm: messages that others have sent to us. */
#include "daemon/io/control/convert_private.h"

enum answer_code decode_pull(struct decoder *decoder) {
    const P2pd__Control__Pull *wire = decoder->wire->pull;
    struct request *request = &decoder->decoded->request;
    request->pull.peek = wire->peek;
    request->pull.wait = wire->wait || wire->follow;
    request->pull.follow = wire->follow;
    request->pull.from_any = wire->from[0] == '\0';
    request->pull.max = wire->max;
    request->pull.since.us = wire->since_us;
    if (wire->since_us < 0)
        return decode_refuse(decoder, ANSWER_USAGE, "a time before 1970");
    request->pull.since_message = wire->since_id.len > 0;
    if (request->pull.since_message) {
        enum answer_code code = decode_id(decoder, &wire->since_id, &request->pull.since_id);
        if (code != ANSWER_OK)
            return code;
    }
    if (request->pull.from_any)
        return ANSWER_OK;
    return decode_destination(decoder, wire->from, &request->pull.from);
}

static size_t fill_incoming(struct encoder *encoder, const struct answer *answer, size_t record,
                            size_t place, void *to) {
    const struct in_record *from = &answer->messages.v[record];
    P2pd__Control__Incoming *incoming = to;
    p2pd__control__incoming__init(incoming);
    incoming->id = encode_message_id(&from->id);
    incoming->sender = encode_id(&from->sender);
    incoming->address = encode_address(encoder, place, &from->sender_address);
    incoming->name = (char *)from->sender_name;
    incoming->sent_us = from->sent.us;
    incoming->received_us = from->received.us;
    incoming->body = encode_bytes(from->body, from->size);
    return from->size;
}

bool encode_messages(struct encoder *encoder, const struct answer *answer) {
    encoder->answer.messages = (P2pd__Control__Incoming **)encoder->pointers;
    return encode_list(encoder, answer, answer->messages.n, sizeof(P2pd__Control__Incoming),
                       &encoder->answer.n_messages, fill_incoming);
}
