/* send, files, receive: files, whose bytes travel in descriptors (control_send.c). */
#include "daemon/io/control/convert_private.h"

ASSERT_MIRRORED(FILE_INCOMING, FILE_STATE__FILE_INCOMING);
ASSERT_MIRRORED(FILE_WAITING, FILE_STATE__FILE_WAITING);
ASSERT_MIRRORED(FILE_OUTGOING, FILE_STATE__FILE_OUTGOING);

/* ---- Commands ---- */

enum answer_code decode_files(struct decoder *decoder) {
    decoder->decoded->request.history.after = decoder->wire->files->after;
    return ANSWER_OK;
}

static enum answer_code decode_file_name(const struct decoder *decoder, const char *name,
                                         char ret_name[FILE_NAME_MAX + 1]) {
    size_t length = strlen(name);
    if (length == 0 || length > FILE_NAME_MAX || strchr(name, '/'))
        return decode_refuse(decoder, ANSWER_USAGE,
                             "a file's name has 1 to %d bytes and names no folder (it has %zu)",
                             FILE_NAME_MAX, length);
    memcpy(ret_name, name, length + 1);
    return ANSWER_OK;
}

/* A Send becomes a push that is only checked, since there is nothing to be sent yet. */
enum answer_code decode_send(struct decoder *decoder) {
    const P2pd__Control__Send *wire = decoder->wire->send;
    struct control_decoded *decoded = decoder->decoded;
    struct request *request = &decoded->request;
    decoded->kind = DECODED_SEND;
    request->push.kind = KIND_FILE;
    request->push.check = true;
    request->push.file = &decoded->file;
    enum answer_code code = decode_file_name(decoder, wire->name, decoded->file.name);
    if (code == ANSWER_OK)
        code = decode_id(decoder, &wire->id, &request->push.id);
    if (code == ANSWER_OK)
        code = decode_options(decoder, SEND_OPTIONS_OF(wire), &request->push.options);
    return code ? code : decode_destination(decoder, wire->to, &request->push.to);
}

enum answer_code decode_send_done(struct decoder *decoder) {
    const P2pd__Control__SendDone *wire = decoder->wire->send_done;
    struct control_decoded *decoded = decoder->decoded;
    decoded->kind = DECODED_SEND_DONE;
    decoded->done.size = wire->size;
    decoded->done.wait = wire->wait;
    if (wire->sha256.len != FILE_DIGEST_LEN)
        return decode_refuse(decoder, ANSWER_USAGE, "a SHA-256 is %d bytes", FILE_DIGEST_LEN);
    memcpy(decoded->file.digest, wire->sha256.data, FILE_DIGEST_LEN);
    return ANSWER_OK;
}

static enum answer_code decode_file(struct decoder *decoder, const ProtobufCBinaryData *id,
                                    const ProtobufCBinaryData *sender) {
    struct request *request = &decoder->decoded->request;
    if (sender->len != 0 && sender->len != NODE_ID_LEN)
        return decode_refuse(decoder, ANSWER_USAGE, "a sender's id is %d bytes", NODE_ID_LEN);
    if (sender->len == NODE_ID_LEN) {
        request->file.by_sender = true;
        request->file.sender.kind = DEST_ID;
        request->file.sender.n_digits = 2 * NODE_ID_LEN;
        memcpy(request->file.sender.id, sender->data, NODE_ID_LEN);
    }
    return decode_id(decoder, id, &request->file.id);
}

enum answer_code decode_file_open(struct decoder *decoder) {
    return decode_file(decoder, &decoder->wire->file_open->id, &decoder->wire->file_open->sender);
}

enum answer_code decode_file_take(struct decoder *decoder) {
    return decode_file(decoder, &decoder->wire->file_take->id, &decoder->wire->file_take->sender);
}

/* ---- Answers ---- */

static size_t fill_file(struct encoder *encoder, const struct answer *answer, size_t record,
                        size_t place, void *to) {
    const struct file_record *from = &answer->files.v[record];
    P2pd__Control__File *file = to;
    p2pd__control__file__init(file);
    file->state = (P2pd__Control__FileState)from->state;
    file->id = encode_message_id(&from->id);
    file->peer = encode_id(&from->peer);
    file->address = encode_address(encoder, place, &from->peer_address);
    file->peer_name = (char *)from->peer_name;
    file->name = encode_bytes(from->head.name, strlen(from->head.name));
    file->sha256 = encode_bytes(from->head.digest, FILE_DIGEST_LEN);
    file->path = (char *)from->path;
    file->size = from->size;
    file->held = from->held;
    file->sent_us = from->sent.us;
    file->received_us = from->received.us;
    file->message_state = (P2pd__Control__State)from->message_state;
    return 0;
}

/* One page of files, and the cursor at which to go on. */
bool encode_files(struct encoder *encoder, const struct answer *answer) {
    encoder->next = answer->files.next;
    encoder->more = answer->files.more;
    encoder->answer.files = (P2pd__Control__File **)encoder->pointers;
    return encode_list(encoder, answer, answer->files.n, sizeof(P2pd__Control__File),
                       &encoder->answer.n_files, fill_file);
}
