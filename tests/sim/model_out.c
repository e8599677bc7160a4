/* The model of what the store has of messages that are sent. */
#include "tests/sim/model_data.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct model_out *model_find_out(struct model_data *data, const struct message_id *id) {
    for (size_t i = data->n_outs; i-- > 0;)
        if (model_id_is_equal(&data->outs[i].record.id, id))
            return &data->outs[i];
    return NULL;
}

/* The highest sequence of each recipient; there is room for one more. Returns how many there are
 * then. */
size_t model_raise_conversation(struct boot_conversation *conversations, size_t n,
                                const struct out_record *record) {
    size_t i = 0;
    if (record->kind == KIND_MAIL) /* somebody else's */
        return n;
    while (i < n && !node_id_is_equal(&conversations[i].recipient, &record->recipient))
        i++;
    if (i == n)
        conversations[n++] = (struct boot_conversation){record->recipient, record->sequence};
    if (conversations[i].sequence < record->sequence)
        conversations[i].sequence = record->sequence;
    return n;
}

void model_forget_out(struct model_data *data, struct model_out *out) {
    size_t behind = data->n_outs - (size_t)(out - data->outs) - 1;
    free(out->body);
    free(out->head);
    memmove(out, out + 1, behind * sizeof *out);
    data->n_outs--;
}

struct model_out *model_add_out(struct model_data *data, const struct out_record *record,
                                uint8_t *body) {
    int64_t row = data->n_outs ? data->outs[data->n_outs - 1].row + 1 : 1;
    data->outs = model_grow(data->outs, data->n_outs, sizeof *data->outs);
    struct model_out *out = &data->outs[data->n_outs++];
    *out = (struct model_out){.record = *record, .row = row, .body = body};
    out->record.state = MESSAGE_QUEUED;
    out->record.progress = 0;
    out->record.finished.us = 0;
    memset(out->record.reason, 0, sizeof out->record.reason);
    return out;
}

int model_out_put(struct model_data *data, const struct store_op *op, struct store_result *result) {
    const struct out_record *record = &op->out_put.record;
    struct model_out *known = model_find_out(data, &record->id);
    enum message_kind kind = record->kind ? record->kind : KIND_MESSAGE;
    if (kind == KIND_FILE)
        return model_file_out_put(data, op, result);
    if (kind > KIND_MAIL || record->size > UINT32_MAX)
        return -EINVAL;
    if (known) {
        bool same = node_id_is_equal(&known->record.recipient, &record->recipient) &&
                    known->record.size == record->size && known->record.kind == kind &&
                    (!record->size || memcmp(known->body, op->out_put.body, record->size) == 0);
        result->existed = same;
        if (same)
            result->record = known->record;
        return same ? 0 : -EEXIST;
    }
    struct model_out *out = model_add_out(data, record, model_copy(op->out_put.body, record->size));
    out->record.kind = kind;
    result->record = out->record;
    return 0;
}

int model_out_state(struct model_data *data, const struct store_op *op) {
    struct model_out *out = model_find_out(data, &op->out_state.id);
    if (!out)
        return -ENOENT;
    out->record.state = op->out_state.state;
    out->record.finished = op->out_state.finished;
    model_copy_text(out->record.reason, op->out_state.reason, MESSAGE_REASON_MAX);
    if (!message_state_is_final(out->record.state))
        return 0;
    if (out->record.kind != KIND_MAIL) {
        data->conversations =
            model_grow(data->conversations, data->n_conversations, sizeof *data->conversations);
        data->n_conversations =
            model_raise_conversation(data->conversations, data->n_conversations, &out->record);
    }
    model_file_out_final(data, out);
    if (op->out_state.forget)
        model_forget_out(data, out);
    return 0;
}

int model_out_progress(struct model_data *data, const struct store_op *op) {
    struct model_out *out = model_find_out(data, &op->out_progress.id);
    uint64_t offset = op->out_progress.offset;
    if (!out)
        return -ENOENT;
    offset = offset < out->record.size ? offset : out->record.size;
    if (out->record.progress < offset)
        out->record.progress = offset;
    return 0;
}

void model_out_readdress(struct model_data *data, const struct store_op *op) {
    for (size_t i = 0; i < op->readdress.n; i++) {
        struct model_out *out = model_find_out(data, &op->readdress.items[i].id);
        if (!out || message_state_is_final(out->record.state) || out->record.kind == KIND_MAIL)
            continue;
        /* What it had with the one before is used up there. */
        data->conversations =
            model_grow(data->conversations, data->n_conversations, sizeof *data->conversations);
        data->n_conversations =
            model_raise_conversation(data->conversations, data->n_conversations, &out->record);
        out->record.recipient = op->readdress.to;
        out->record.sequence = op->readdress.items[i].sequence;
        out->record.progress = 0;
    }
}

int model_out_read(struct model_data *data, const struct store_op *op,
                   struct store_result *result) {
    const struct model_out *out = model_find_out(data, &op->out_read.id);
    uint64_t offset = op->out_read.offset;
    uint32_t length = op->out_read.length;
    if (!out)
        return -ENOENT;
    if (offset > out->record.size)
        return -EINVAL;
    if (length > out->record.size - offset)
        length = (uint32_t)(out->record.size - offset);
    if (!out->body)
        return -ENOENT;
    if (out->head)
        data->read += length;
    uint8_t *bytes = model_piece(data, length);
    memcpy(bytes, out->body + offset, length);
    result->bytes = bytes;
    result->length = length;
    return 0;
}

int model_out_pending(struct model_data *data, const struct store_op *op,
                      struct store_result *result) {
    struct out_record *records = model_piece(data, data->n_outs * sizeof *records);
    result->pending = records;
    result->next = op->out_pending.after;
    for (size_t i = 0; i < data->n_outs && !result->more; i++) {
        const struct model_out *out = &data->outs[i];
        if (message_state_is_final(out->record.state) || out->row <= op->out_pending.after ||
            out->row > op->out_pending.until)
            continue;
        result->more = result->n_records == op->out_pending.limit;
        if (result->more)
            break;
        records[result->n_records] = out->record;
        if (out->head)
            records[result->n_records].file =
                memcpy(model_piece(data, sizeof *out->head), out->head, sizeof *out->head);
        result->n_records++;
        result->next = out->row;
    }
    return 0;
}

int model_out_find(struct model_data *data, const struct store_op *op,
                   struct store_result *result) {
    const struct model_out *out = model_find_out(data, &op->out_find.id);
    if (!out)
        return -ENOENT;
    result->record = out->record;
    if (out->head)
        result->record.file =
            memcpy(model_piece(data, sizeof *out->head), out->head, sizeof *out->head);
    return 0;
}
