/* conversations, history, forget: what was said with whom. */
#include "daemon/io/control/convert_private.h"

/* ---- Commands ---- */

enum answer_code decode_conversations(struct decoder *decoder) {
    decoder->decoded->request.history.after = decoder->wire->conversations->after;
    return ANSWER_OK;
}

enum answer_code decode_history(struct decoder *decoder) {
    const P2pd__Control__History *wire = decoder->wire->history;
    struct request *request = &decoder->decoded->request;
    request->history.since.us = wire->since_us;
    request->history.until.us = wire->until_us ? wire->until_us : INT64_MAX;
    request->history.after = wire->after;
    if (wire->since_us < 0 || wire->until_us < 0)
        return decode_refuse(decoder, ANSWER_USAGE, "a time before 1970");
    return decode_destination(decoder, wire->to, &request->history.to);
}

enum answer_code decode_forget(struct decoder *decoder) {
    return decode_destination(decoder, decoder->wire->forget->to,
                              &decoder->decoded->request.history.to);
}

/* ---- Answers: a page each, and where to go on ---- */

static size_t fill_conversation(struct encoder *encoder, const struct answer *answer, size_t record,
                                size_t place, void *to) {
    const struct conversation_record *from = &answer->conversations.v[record];
    P2pd__Control__Conversation *conversation = to;
    p2pd__control__conversation__init(conversation);
    conversation->peer = encode_id(&from->peer);
    conversation->address = encode_address(encoder, place, &from->address);
    conversation->name = (char *)from->name;
    conversation->waiting = from->waiting;
    conversation->pending = from->pending;
    conversation->messages = from->messages;
    conversation->last_us = from->last.us;
    conversation->last_outgoing = from->last_outgoing;
    conversation->last_text = encode_bytes(from->last_text, strlen(from->last_text));
    return 0;
}

bool encode_conversations(struct encoder *encoder, const struct answer *answer) {
    encoder->next = answer->conversations.next;
    encoder->more = answer->conversations.more;
    encoder->answer.conversations = (P2pd__Control__Conversation **)encoder->pointers;
    return encode_list(encoder, answer, answer->conversations.n,
                       sizeof(P2pd__Control__Conversation), &encoder->answer.n_conversations,
                       fill_conversation);
}

static size_t fill_history(struct encoder *encoder, const struct answer *answer, size_t record,
                           size_t place, void *to) {
    const struct history_record *from = &answer->history.v[record];
    P2pd__Control__HistoryItem *item = to;
    (void)encoder, (void)place;
    p2pd__control__history_item__init(item);
    item->outgoing = from->outgoing;
    item->id = encode_message_id(&from->id);
    item->kind = (uint32_t)from->kind;
    item->sent_us = from->sent.us;
    item->done_us = from->done.us;
    item->state = (P2pd__Control__State)from->state;
    item->taken = from->taken;
    item->reason = (char *)from->reason;
    item->size = from->size;
    if (from->file)
        item->file_name = encode_bytes(from->file->name, strlen(from->file->name));
    else if (from->body)
        item->body = encode_bytes(from->body, (size_t)from->size);
    return item->body.len;
}

bool encode_history(struct encoder *encoder, const struct answer *answer) {
    encoder->next = answer->history.next;
    encoder->more = answer->history.more;
    encoder->answer.history = (P2pd__Control__HistoryItem **)encoder->pointers;
    return encode_list(encoder, answer, answer->history.n, sizeof(P2pd__Control__HistoryItem),
                       &encoder->answer.n_history, fill_history);
}
