/* Files of the model: bytes in memory where the store has a spool and a folder. Everything happens
 * with the commit, which is what the store's three orders (daemon/io/store/store_file.h) come to.
 */
#include "tests/sim/model_data.h"

#include "shared/file_name.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK_MAX 65536u
#define SPANS_MAX 4096
#define CURSOR_OUT (INT64_C(1) << 62)

/* ---- Uploads ---- */

static struct model_upload *find_upload(struct model_data *data, const char *name) {
    for (size_t i = 0; i < data->n_uploads; i++)
        if (strcmp(data->uploads[i].name, name) == 0)
            return &data->uploads[i];
    return NULL;
}

static void forget_upload(struct model_data *data, struct model_upload *upload) {
    free(upload->bytes);
    *upload = data->uploads[--data->n_uploads];
}

void model_file_drop_uploads(struct model_data *data) {
    while (data->n_uploads)
        forget_upload(data, &data->uploads[data->n_uploads - 1]);
}

/* ---- Outbound ---- */

static int accept_again(struct model_data *data, const struct store_op *op,
                        const struct model_out *known, struct store_result *result) {
    const struct out_record *record = &op->out_put.record;
    if (!known->head || known->record.size != record->size ||
        !node_id_is_equal(&known->record.recipient, &record->recipient) ||
        memcmp(known->head->digest, record->file->digest, FILE_DIGEST_LEN) != 0)
        return -EEXIST;
    struct model_upload *upload = find_upload(data, op->out_put.spool);
    if (upload)
        upload->is_dropped = true;
    result->existed = true;
    result->record = known->record;
    struct file_head *head = model_piece(data, sizeof *head);
    *head = *record->file;
    result->record.file = head;
    return 0;
}

/* 0, or why the upload cannot be the message's file. */
static int adopt(struct model_data *data, const struct store_op *op, uint8_t **ret_bytes) {
    struct model_upload *upload = find_upload(data, op->out_put.spool);
    for (size_t i = 0; i < data->n_dropping; i++)
        if (model_id_is_equal(&data->dropping[i], &op->out_put.record.id))
            return -EBUSY;
    if (!upload)
        return -ENOENT;
    if (upload->size != op->out_put.record.size)
        return -ESTALE;
    *ret_bytes = upload->bytes;
    upload->bytes = NULL;
    forget_upload(data, upload);
    return 0;
}

int model_file_out_put(struct model_data *data, const struct store_op *op,
                       struct store_result *result) {
    const struct out_record *record = &op->out_put.record;
    uint8_t *bytes;
    if (!record->file || record->size > INT64_MAX)
        return -EINVAL;
    const struct model_out *known = model_find_out(data, &record->id);
    if (known)
        return accept_again(data, op, known, result);
    int error = adopt(data, op, &bytes);
    if (error)
        return error;
    struct model_out *out = model_add_out(data, record, bytes);
    out->head = model_copy(record->file, sizeof *out->head);
    file_name_make_safe(record->file->name, out->head->name);
    out->record.file = out->head;
    result->record = out->record;
    struct file_head *head = model_piece(data, sizeof *head);
    *head = *record->file;
    result->record.file = head;
    return 0;
}

void model_file_out_final(struct model_data *data, const struct model_out *out) {
    if (!out->head)
        return;
    data->dropping = model_grow(data->dropping, data->n_dropping, sizeof *data->dropping);
    data->dropping[data->n_dropping++] = out->record.id;
}

void model_file_commit(struct model_data *data) {
    for (size_t i = 0; i < data->n_dropping; i++) {
        struct model_out *out = model_find_out(data, &data->dropping[i]);
        if (out && out->head) {
            free(out->body);
            out->body = NULL;
        }
    }
    free(data->dropping);
    data->dropping = NULL;
    data->n_dropping = 0;
    for (size_t i = data->n_uploads; i-- > 0;)
        if (data->uploads[i].is_dropped)
            forget_upload(data, &data->uploads[i]);
}

/* ---- Inbound ---- */

static struct model_file *find(const struct model_data *data, const struct node_id *sender,
                               const struct message_id *id) {
    for (size_t i = 0; i < data->n_files; i++)
        if (model_id_is_equal(&data->files[i].record.id, id) &&
            node_id_is_equal(&data->files[i].record.peer, sender))
            return &data->files[i];
    return NULL;
}

const struct model_file *model_file_find(const struct model_data *data,
                                         const struct node_id *sender,
                                         const struct message_id *id) {
    return find(data, sender, id);
}

static void forget(struct model_data *data, struct model_file *file) {
    size_t behind = data->n_files - (size_t)(file - data->files) - 1;
    free(file->bytes);
    free(file->spans);
    memmove(file, file + 1, behind * sizeof *file);
    data->n_files--;
}

static bool is_sane(const struct store_op *op) {
    uint64_t total = op->in_put.total, offset = op->in_put.offset, length = op->in_put.length;
    return op->in_put.file && total <= INT64_MAX && offset <= total && length <= total - offset &&
           length <= BLOCK_MAX && (length > 0 || total == 0);
}

#define WINDOW (8u << 20)
#define AHEAD_MAX (8u << 20)
#define GIVE_WAY_BUDGET 512
#define UNGROWN_US (24 * US_PER_HOUR)

static uint64_t windowed(uint64_t total, uint64_t held) {
    return total - held > WINDOW ? held + WINDOW : total;
}

static uint64_t usage(const struct model_data *data, const struct node_id *sender) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < data->n_files; i++) {
        const struct model_file *file = &data->files[i];
        if (file->state == MODEL_FILE_TAKEN)
            continue;
        if (!sender)
            bytes += windowed(file->record.size, file->record.held);
        else if (node_id_is_equal(&file->record.peer, sender))
            bytes += file->record.size;
    }
    return bytes;
}

/* Of bytes alone: so many files no simulated node has. */
static struct model_need look(const struct model_data *data, const struct store_op *op,
                              const struct model_file *file) {
    uint64_t total = op->in_put.total, sender = op->in_put.quota_sender, all = op->in_put.quota_all;
    struct model_need need = {0};
    if (file) {
        uint64_t held = file->record.held;
        uint64_t more = windowed(total, held + op->in_put.length) - windowed(total, held);
        need.all_bytes = more > 0 ? model_missing(usage(data, NULL), more, all) : 0;
        return need;
    }
    need.is_hopeless = (all && total > all) || (sender && total > sender);
    need.own_bytes = model_missing(usage(data, &op->in_put.sender), total, sender);
    need.all_bytes = model_missing(usage(data, NULL), windowed(total, 0), all);
    return need;
}

static bool may_go(const struct model_file *file, const struct store_op *op) {
    return file->state == MODEL_FILE_PARTIAL &&
           file->grown.us <= op->in_put.received.us - MODEL_STALE_US &&
           (!model_id_is_equal(&file->record.id, &op->in_put.id) ||
            !node_id_is_equal(&file->record.peer, &op->in_put.sender));
}

static struct model_need stale(const struct model_data *data, const struct store_op *op) {
    struct model_need sum = {0};
    for (size_t i = 0; i < data->n_files; i++) {
        const struct model_file *file = &data->files[i];
        if (!may_go(file, op))
            continue;
        if (node_id_is_equal(&file->record.peer, &op->in_put.sender))
            sum.own_bytes += file->record.size;
        if (op->in_put.is_known || !file->is_known)
            sum.all_bytes += windowed(file->record.size, file->record.held);
    }
    return sum;
}

/* As the store does it: its sender's where that is over its own quota; else strangers' first. */
static struct model_file *next_to_go(struct model_data *data, const struct store_op *op,
                                     bool wants_own) {
    struct model_file *next = NULL;
    for (size_t i = 0; i < data->n_files; i++) {
        struct model_file *file = &data->files[i];
        if (!may_go(file, op) ||
            (wants_own ? !node_id_is_equal(&file->record.peer, &op->in_put.sender)
                       : file->is_known && !op->in_put.is_known))
            continue;
        bool is_before =
            !next || (!wants_own && next->is_known && !file->is_known) ||
            ((wants_own || next->is_known == file->is_known) && file->grown.us < next->grown.us);
        next = is_before ? file : next;
    }
    return next;
}

static bool admit(struct model_data *data, const struct store_op *op) {
    const struct node_id *sender = &op->in_put.sender;
    struct model_need need = look(data, op, find(data, sender, &op->in_put.id));
    struct model_need sum = stale(data, op);
    bool can_mend = model_is_mended(&need, &sum);
    for (int budget = GIVE_WAY_BUDGET; model_is_wanting(&need) && can_mend && budget > 0;) {
        struct model_file *next = next_to_go(data, op, need.own_bytes > 0);
        if (!next)
            break;
        forget(data, next);
        budget -= 8;
        need = look(data, op, find(data, sender, &op->in_put.id));
    }
    return !model_is_wanting(&need);
}

static struct model_file *begin(struct model_data *data, const struct store_op *op) {
    int64_t row = data->n_files ? data->files[data->n_files - 1].row + 1 : 1;
    data->files = model_grow(data->files, data->n_files, sizeof *data->files);
    struct model_file *file = &data->files[data->n_files++];
    *file = (struct model_file){.row = row,
                                .record = {.state = FILE_INCOMING,
                                           .id = op->in_put.id,
                                           .peer = op->in_put.sender,
                                           .peer_address = op->in_put.sender_address,
                                           .head = *op->in_put.file,
                                           .size = op->in_put.total,
                                           .sent = op->in_put.sent},
                                .grown = {op->in_put.received.us - MODEL_BEGUN_US}};
    file_name_make_safe(op->in_put.file->name, file->record.head.name);
    memcpy(file->record.peer_name, op->in_put.sender_name,
           strnlen(op->in_put.sender_name, NODE_NAME_MAX));
    file->bytes = calloc(1, op->in_put.total + 1);
    assert(file->bytes);
    return file;
}

/* 0; -EEXIST: it is held; -EINVAL: it overlaps what is, or there are too many pieces. */
static int add_span(struct model_file *file, uint64_t start, uint64_t end) {
    size_t i = 0;
    while (i < file->n_spans && file->spans[i].end < start)
        i++;
    struct model_span *next = i < file->n_spans ? &file->spans[i] : NULL;
    if (next && next->start <= start && next->end >= end)
        return -EEXIST;
    bool joins = next && next->end == start;
    struct model_span *behind = joins ? next + 1 : next;
    if (behind == file->spans + file->n_spans)
        behind = NULL;
    if (behind && behind->start < end)
        return -EINVAL;
    bool reaches = behind && behind->start == end;
    if (joins && reaches) {
        next->end = behind->end;
        memmove(behind, behind + 1,
                (file->n_spans-- - (size_t)(behind - file->spans) - 1) * sizeof *behind);
    } else if (joins) {
        next->end = end;
    } else if (reaches) {
        behind->start = start;
    } else {
        if (file->n_spans >= SPANS_MAX)
            return -EINVAL;
        file->spans = model_grow(file->spans, file->n_spans, sizeof *file->spans);
        memmove(file->spans + i + 1, file->spans + i, (file->n_spans++ - i) * sizeof *file->spans);
        file->spans[i] = (struct model_span){start, end};
    }
    return 0;
}

static bool is_held(const struct model_file *file, const struct store_op *op, int *ret_error) {
    uint64_t start = op->in_put.offset, end = start + op->in_put.length;
    for (size_t i = 0; i < file->n_spans && start < end; i++) {
        *ret_error = file->spans[i].start <= start && file->spans[i].end >= end ? 0 : -EINVAL;
        if (file->spans[i].start < end && start < file->spans[i].end)
            return true;
    }
    return false;
}

static int put_block(struct model_file *file, const struct store_op *op) {
    uint64_t offset = op->in_put.offset;
    if (op->in_put.length > 0) {
        int error = add_span(file, offset, offset + op->in_put.length);
        if (error)
            return error == -EEXIST ? 0 : error;
        memcpy(file->bytes + offset, op->in_put.bytes, op->in_put.length);
    }
    model_grow_part(file->record.held, op, &file->grown);
    file->record.held += op->in_put.length;
    file->until = op->in_put.tombstone_until;
    file->is_known = op->in_put.is_known;
    return 0;
}

static bool is_name_taken(const struct model_data *data, const char *path) {
    for (size_t i = 0; i < data->n_files; i++)
        if (data->files[i].state == MODEL_FILE_WAITING &&
            strcmp(data->files[i].record.path, path) == 0)
            return true;
    return false;
}

/* All is there. */
static int finish(struct model_data *data, const struct store_op *op, struct model_file *file) {
    uint8_t digest[crypto_hash_sha256_BYTES];
    char path[FILE_PATH_MAX];
    crypto_hash_sha256(digest, file->bytes, file->record.size);
    if (memcmp(digest, file->record.head.digest, sizeof digest) != 0) {
        forget(data, file);
        return -EBADMSG;
    }
    snprintf(path, sizeof path, "/model/%s", file->record.head.name);
    for (unsigned i = 1; is_name_taken(data, path); i++)
        snprintf(path, sizeof path, "/model/%s.%u", file->record.head.name, i);
    memcpy(file->record.path, path, sizeof path);
    file->record.received = op->in_put.received;
    file->record.state = FILE_WAITING;
    file->state = MODEL_FILE_WAITING;
    if (!model_is_known(data, op))
        model_enter(data, op, KIND_FILE, NULL);
    return 0;
}

int model_file_in_put(struct model_data *data, const struct store_op *op,
                      struct store_result *result) {
    if (!is_sane(op))
        return -EINVAL;
    struct model_file *file = find(data, &op->in_put.sender, &op->in_put.id);
    if (file ? file->state != MODEL_FILE_PARTIAL : model_is_known(data, op)) {
        result->in_outcome = STORE_IN_DUPLICATE;
        return 0;
    }
    if (!file && model_find_part(data, op))
        return -EINVAL;
    if (file && (file->record.size != op->in_put.total ||
                 memcmp(file->record.head.digest, op->in_put.file->digest, FILE_DIGEST_LEN) != 0))
        return -EINVAL;
    if (op->in_put.offset > (file ? file->record.held : 0) + AHEAD_MAX)
        return -ESTALE;
    int error = 0;
    bool is_new_block = !file || !is_held(file, op, &error);
    if (is_new_block && !admit(data, op))
        return -EDQUOT;
    file = find(data, &op->in_put.sender, &op->in_put.id); /* the others moved */
    if (!file)
        file = begin(data, op);
    error = put_block(file, op);
    if (error || file->record.held < file->record.size)
        return error;
    error = finish(data, op, file);
    if (error == 0)
        result->in_outcome = STORE_IN_COMPLETE;
    return error;
}

/* ---- Listing ---- */

static int compare_peers(const void *a, const void *b) {
    const struct file_record *x = a, *y = b;
    return memcmp(x->peer.bytes, y->peer.bytes, NODE_ID_LEN);
}

static struct file_record read_out(const struct model_out *out) {
    return (struct file_record){.state = FILE_OUTGOING,
                                .id = out->record.id,
                                .peer = out->record.recipient,
                                .head = *out->head,
                                .size = out->record.size,
                                .held = out->record.progress,
                                .sent = out->record.created,
                                .message_state = out->record.state};
}

/* All of an id, whatever the limit: by sender, then our own. */
static void list_id(const struct model_data *data, const struct store_op *op,
                    struct file_record *records, struct store_result *result) {
    size_t n = 0;
    int64_t last = 0;
    for (size_t i = 0; i < data->n_files; i++)
        if (data->files[i].state != MODEL_FILE_TAKEN &&
            model_id_is_equal(&data->files[i].record.id, &op->files.id))
            records[n++] = data->files[i].record;
    qsort(records, n, sizeof *records, compare_peers);
    if (n > 0)
        last = find(data, &records[n - 1].peer, &op->files.id)->row;
    for (size_t i = 0; i < data->n_outs; i++)
        if (data->outs[i].head && model_id_is_equal(&data->outs[i].record.id, &op->files.id)) {
            records[n++] = read_out(&data->outs[i]);
            last = CURSOR_OUT + data->outs[i].row;
        }
    result->n_records = n;
    result->next = n > 0 ? last : op->files.after;
}

static void list_page(const struct model_data *data, const struct store_op *op,
                      struct file_record *records, struct store_result *result) {
    int64_t after = op->files.after;
    result->next = after;
    for (size_t i = 0; i < data->n_files + data->n_outs; i++) {
        const struct model_file *file = i < data->n_files ? &data->files[i] : NULL;
        const struct model_out *out = file ? NULL : &data->outs[i - data->n_files];
        int64_t at = file ? file->row : CURSOR_OUT + out->row;
        bool is_listed = file ? file->state != MODEL_FILE_TAKEN
                              : out->head && !message_state_is_final(out->record.state);
        if (!is_listed || at <= after)
            continue;
        result->more = result->n_records == op->files.limit;
        if (result->more)
            return;
        records[result->n_records++] = file ? file->record : read_out(out);
        result->next = at;
    }
}

int model_file_list(struct model_data *data, const struct store_op *op,
                    struct store_result *result) {
    struct file_record *records =
        model_piece(data, (data->n_files + data->n_outs) * sizeof *records);
    if (op->files.one)
        list_id(data, op, records, result);
    else
        list_page(data, op, records, result);
    result->files = records;
    return 0;
}

/* ---- Taking and forgetting ---- */

int model_file_take(struct model_data *data, const struct store_op *op) {
    struct model_file *file = find(data, &op->file_take.sender, &op->file_take.id);
    if (!file || file->state != MODEL_FILE_WAITING)
        return -ENOENT;
    free(file->bytes);
    file->bytes = NULL;
    file->state = MODEL_FILE_TAKEN;
    file->taken = op->file_take.now;
    for (size_t i = 0; i < data->n_ins; i++) {
        struct model_in *in = &data->ins[i];
        if (in->kind != KIND_FILE || in->state != IN_WAITING ||
            !model_id_is_equal(&in->record.id, &op->file_take.id) ||
            !node_id_is_equal(&in->record.sender, &op->file_take.sender))
            continue;
        in->state = IN_TAKEN;
        in->taken = op->file_take.now;
    }
    return 0;
}

void model_file_sweep(struct model_data *data, int64_t now, int64_t retention_us) {
    for (size_t i = data->n_files; i-- > 0;) {
        struct model_file *file = &data->files[i];
        if ((file->state == MODEL_FILE_TAKEN && file->taken.us <= now - retention_us) ||
            (file->state == MODEL_FILE_PARTIAL &&
             (file->until.us <= now || file->grown.us <= now - UNGROWN_US)))
            forget(data, file);
    }
}

void model_file_forget(struct model_data *data, const struct node_id *peer) {
    for (size_t i = data->n_files; i-- > 0;)
        if (data->files[i].state == MODEL_FILE_TAKEN &&
            node_id_is_equal(&data->files[i].record.peer, peer))
            forget(data, &data->files[i]);
}

void model_file_abandon(struct model_data *data, const struct node_id *sender, int64_t before) {
    for (size_t i = 0; i < data->n_files; i++)
        if (data->files[i].state == MODEL_FILE_PARTIAL && data->files[i].grown.us <= before &&
            node_id_is_equal(&data->files[i].record.peer, sender)) {
            data->files[i].grown.us = 0;
            data->files[i].is_known = false;
        }
}

uint64_t model_file_held(const struct model_data *data) {
    uint64_t held = 0;
    for (size_t i = 0; i < data->n_files; i++)
        if (data->files[i].state == MODEL_FILE_PARTIAL)
            held += data->files[i].record.held;
    return held;
}

void model_file_deinit(struct model_data *data) {
    model_file_drop_uploads(data);
    while (data->n_files)
        forget(data, &data->files[data->n_files - 1]);
    free(data->uploads);
    free(data->files);
    free(data->dropping);
}
