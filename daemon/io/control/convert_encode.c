/* The core's answers as messages of the control protocol: what all of them share. A list of any
 * length goes out in pieces, so that 20,000 nodes or a batch of messages never make one frame
 * beyond what clients accept. */
#include "daemon/io/control/convert_private.h"

#include <stdio.h>
#include <stdlib.h>

ProtobufCBinaryData encode_bytes(const void *bytes, size_t length) {
    return (ProtobufCBinaryData){length, (uint8_t *)bytes};
}

ProtobufCBinaryData encode_id(const struct node_id *id) {
    return encode_bytes(id->bytes, NODE_ID_LEN);
}

ProtobufCBinaryData encode_message_id(const struct message_id *id) {
    return encode_bytes(id->bytes, MESSAGE_ID_LEN);
}

ProtobufCBinaryData encode_address(struct encoder *encoder, size_t i,
                                   const struct address *address) {
    address_pack(address, encoder->addresses[i]);
    return encode_bytes(encoder->addresses[i], ADDRESS_WIRE_LEN);
}

/* An answer that is longer than any client takes is never cut: an error that says so takes its
 * place. */
static bool refuse_piece(struct encoder *encoder, size_t length) {
    P2pd__Control__Answer answer = P2PD__CONTROL__ANSWER__INIT;
    char text[CONTROL_TEXT_MAX];
    snprintf(text, sizeof text, "the answer has %zu bytes, more than one frame may have (%u)",
             length, FRAME_LENGTH_MAX);
    answer.version = encoder->answer.version;
    answer.request_id = encoder->answer.request_id;
    answer.code = P2PD__CONTROL__CODE__FAILED;
    answer.text = text;
    answer.end = true;
    return encoder->emit->message(encoder->emit->context, &answer);
}

bool encode_piece(struct encoder *encoder, bool last) {
    encoder->answer.end = last && encoder->end;
    encoder->answer.confirm = last && encoder->confirm;
    encoder->answer.more = last && encoder->more;
    encoder->answer.next = last ? encoder->next : 0;
    size_t length = protobuf_c_message_get_packed_size(&encoder->answer.base);
    if (length > FRAME_LENGTH_MAX) {
        encoder->too_long = true;
        return refuse_piece(encoder, length);
    }
    return encoder->emit->message(encoder->emit->context, &encoder->answer);
}

bool encode_text(struct encoder *encoder, const struct answer *answer) {
    (void)answer;
    return encode_piece(encoder, true);
}

static bool emit_list(struct encoder *encoder, const struct answer *answer, size_t n,
                      size_t *ret_count, fill_record *fill) {
    const size_t bytes_max = encoder->bytes_max;
    size_t place = 0, bytes = 0;
    for (size_t i = 0; i < n; i++) {
        size_t more = 0;
        if (place < CONTROL_RECORDS_MAX)
            more = fill(encoder, answer, i, place, encoder->pointers[place]);
        if (place == CONTROL_RECORDS_MAX || (place > 0 && more > bytes_max - bytes)) {
            *ret_count = place;
            if (!encode_piece(encoder, false) || encoder->too_long)
                return encoder->too_long;
            place = bytes = 0;
            more = fill(encoder, answer, i, place, encoder->pointers[place]);
        }
        bytes += more < bytes_max - bytes ? more : bytes_max - bytes;
        place++;
    }
    *ret_count = place;
    return encode_piece(encoder, true);
}

bool encode_list(struct encoder *encoder, const struct answer *answer, size_t n, size_t size,
                 size_t *ret_count, fill_record *fill) {
    size_t places = n < CONTROL_RECORDS_MAX ? n : CONTROL_RECORDS_MAX;
    uint8_t *records = calloc(places ? places : 1, size);
    if (!records)
        return false;
    for (size_t i = 0; i < places; i++)
        encoder->pointers[i] = records + i * size;
    bool ok = emit_list(encoder, answer, n, ret_count, fill);
    free(records);
    return ok;
}
