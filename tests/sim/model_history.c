/* The model's histories: every line is gathered and sorted, then the page is cut out. */
#include "tests/sim/model_data.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define TIE_BITS 11
#define TIES_MAX ((1 << TIE_BITS) - 1)
#define TIME_MAX (INT64_C(1) << 52)
#define TEXT_MAX 80

struct line {
    int64_t time;
    bool outgoing;
    size_t at; /* in its array, which is in the order of entering */
};

static int compare_lines(const void *a, const void *b) {
    const struct line *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    if (x->outgoing != y->outgoing)
        return x->outgoing ? 1 : -1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static bool is_in_history(const struct model_in *in) {
    return in->state != IN_GONE;
}

static bool is_out_history(const struct model_out *out) {
    return out->record.kind != KIND_MAIL;
}

/* All lines with a peer, sorted; the caller frees. */
static struct line *gather(const struct model_data *data, const struct node_id *peer,
                           size_t *ret_n) {
    struct line *lines = calloc(data->n_ins + data->n_outs + 1, sizeof *lines);
    size_t n = 0;
    assert(lines);
    for (size_t i = 0; i < data->n_ins; i++)
        if (is_in_history(&data->ins[i]) && node_id_is_equal(&data->ins[i].record.sender, peer))
            lines[n++] = (struct line){data->ins[i].record.received.us, false, i};
    for (size_t i = 0; i < data->n_outs; i++)
        if (is_out_history(&data->outs[i]) &&
            node_id_is_equal(&data->outs[i].record.recipient, peer))
            lines[n++] = (struct line){data->outs[i].record.created.us, true, i};
    qsort(lines, n, sizeof *lines, compare_lines);
    *ret_n = n;
    return lines;
}

static struct history_record read_line(const struct model_data *data, const struct line *line) {
    struct history_record record = {.outgoing = line->outgoing};
    if (line->outgoing) {
        const struct model_out *out = &data->outs[line->at];
        record.id = out->record.id;
        record.kind = out->record.kind;
        record.sent = out->record.created;
        record.done = out->record.finished;
        record.state = out->record.state;
        memcpy(record.reason, out->record.reason, sizeof record.reason);
        record.file = out->head;
        record.body = out->head ? NULL : out->body;
        record.size = out->record.size;
    } else {
        const struct model_in *in = &data->ins[line->at];
        record.id = in->record.id;
        record.kind = in->kind;
        if (in->kind == KIND_FILE) {
            const struct model_file *file =
                model_file_find(data, &in->record.sender, &in->record.id);
            record.file = file ? &file->record.head : NULL;
        }
        record.sent = in->record.sent;
        record.done = in->record.received;
        record.taken = in->state == IN_TAKEN;
        record.body = in->body;
        record.size = in->record.size;
    }
    return record;
}

static bool is_asked_for(const struct store_op *op, int64_t time) {
    int64_t until =
        op->history.until.us && op->history.until.us < TIME_MAX ? op->history.until.us : TIME_MAX;
    return time >= 0 && time >= op->history.since.us && time >= op->history.after >> TIE_BITS &&
           time < until;
}

static uint64_t body_size(const struct history_record *record) {
    return record->kind == KIND_FILE ? 0 : record->size;
}

/* What a line points to, until the results are released. */
static void keep_line(struct model_data *data, struct history_record *record) {
    if (record->kind != KIND_FILE) {
        uint8_t *body = model_piece(data, record->size);
        if (record->size)
            memcpy(body, record->body, record->size);
        record->body = body;
    } else if (record->file) {
        struct file_head *head = model_piece(data, sizeof *head);
        *head = *record->file;
        record->file = head;
    }
}

int model_history(struct model_data *data, const struct store_op *op, struct store_result *result) {
    size_t n;
    int64_t after = op->history.after, time = after >> TIE_BITS, ties = after & TIES_MAX;
    int64_t given_time = time, given = ties;
    uint64_t bytes = 0;
    if (after < 0)
        return -EINVAL;
    struct line *lines = gather(data, &op->history.peer, &n);
    struct history_record *records = model_piece(data, n * sizeof *records);
    for (size_t i = 0; i < n; i++) {
        if (!is_asked_for(op, lines[i].time))
            continue;
        if (lines[i].time == given_time && given > 0) {
            given--;
            continue;
        }
        struct history_record record = read_line(data, &lines[i]);
        bool is_full = result->n_records == op->history.limit ||
                       (result->n_records > 0 && bytes + body_size(&record) > op->history.bytes);
        result->more = is_full && (ties < TIES_MAX || time != lines[i].time);
        if (result->more)
            break;
        keep_line(data, &record);
        bytes += body_size(&record);
        ties = lines[i].time == time ? ties + 1 : 1;
        time = lines[i].time;
        records[result->n_records++] = record;
    }
    free(lines);
    result->history = records;
    result->next = ties < TIES_MAX ? time << TIE_BITS | ties : (time + 1) << TIE_BITS;
    return 0;
}

/* ---- Conversations ---- */

static size_t add_peer(struct conversation_record *records, size_t n, const struct node_id *peer) {
    for (size_t i = 0; i < n; i++)
        if (node_id_is_equal(&records[i].peer, peer))
            return n;
    records[n] = (struct conversation_record){.peer = *peer};
    return n + 1;
}

static void read_peer(const struct model_data *data, struct conversation_record *record,
                      const struct line *lines, size_t n) {
    bool has_in = false;
    record->messages = n;
    for (size_t i = 0; i < n; i++) {
        struct history_record line = read_line(data, &lines[i]);
        const void *text =
            line.kind == KIND_FILE && line.file ? line.file->name : (const void *)line.body;
        size_t size = line.kind == KIND_FILE ? line.file ? strlen(line.file->name) : 0 : line.size;
        size_t length = size < TEXT_MAX ? size : TEXT_MAX;
        record->waiting += !line.outgoing && !line.taken && line.kind == KIND_MESSAGE;
        record->last.us = lines[i].time;
        record->last_outgoing = line.outgoing;
        memset(record->last_text, 0, sizeof record->last_text);
        if (length)
            memcpy(record->last_text, text, length);
        if (line.outgoing)
            continue;
        has_in = true;
        record->address = data->ins[lines[i].at].record.sender_address;
        memcpy(record->name, data->ins[lines[i].at].record.sender_name, sizeof record->name);
    }
    for (size_t i = 0; i < data->n_nodes && !has_in; i++)
        if (data->nodes[i].node.pinned && node_id_is_equal(&data->nodes[i].id, &record->peer))
            record->address = data->nodes[i].node.pin;
}

static int compare_conversations(const void *a, const void *b) {
    const struct conversation_record *x = a, *y = b;
    if (x->last.us != y->last.us)
        return x->last.us > y->last.us ? -1 : 1;
    return memcmp(x->peer.bytes, y->peer.bytes, NODE_ID_LEN);
}

int model_conversations(struct model_data *data, const struct store_op *op,
                        struct store_result *result) {
    size_t n = 0, n_lines;
    if (op->conversations.after < 0)
        return -EINVAL;
    struct conversation_record *records =
        model_piece(data, (data->n_ins + data->n_outs) * sizeof *records);
    for (size_t i = 0; i < data->n_ins; i++)
        if (is_in_history(&data->ins[i]))
            n = add_peer(records, n, &data->ins[i].record.sender);
    for (size_t i = 0; i < data->n_outs; i++)
        if (is_out_history(&data->outs[i]))
            n = add_peer(records, n, &data->outs[i].record.recipient);
    for (size_t i = 0; i < n; i++) {
        struct line *lines = gather(data, &records[i].peer, &n_lines);
        read_peer(data, &records[i], lines, n_lines);
        free(lines);
    }
    qsort(records, n, sizeof *records, compare_conversations);
    size_t after = (uint64_t)op->conversations.after < n ? (size_t)op->conversations.after : n;
    size_t left = n - after, limit = op->conversations.limit;
    result->conversations = records + after;
    result->n_records = left < limit ? left : limit;
    result->more = left > limit;
    result->next = op->conversations.after + (int64_t)result->n_records;
    return 0;
}

/* ---- Forgetting ---- */

void model_forget(struct model_data *data, const struct store_op *op, struct store_result *result) {
    model_abandon(data, &op->forget.peer, op->forget.ungrown.us);
    model_file_forget(data, &op->forget.peer);
    for (size_t i = 0; i < data->n_ins; i++)
        if (data->ins[i].state == IN_TAKEN &&
            node_id_is_equal(&data->ins[i].record.sender, &op->forget.peer)) {
            model_forget_in(&data->ins[i]);
            result->n_forgotten++;
        }
    for (size_t i = data->n_outs; i-- > 0;) {
        const struct out_record *record = &data->outs[i].record;
        if (record->kind == KIND_MAIL || !message_state_is_final(record->state) ||
            !node_id_is_equal(&record->recipient, &op->forget.peer))
            continue;
        model_forget_out(data, &data->outs[i]);
        result->n_forgotten++;
    }
}
