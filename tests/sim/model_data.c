/* Arrays, searched from end to end: a simulated node holds some hundred messages. */
#include "tests/sim/model_data.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define BLOCK_MAX 65536u

/* ---- Memory ---- */

static void *allocate(size_t size) {
    void *memory = calloc(1, size ? size : 1);
    assert(memory);
    return memory;
}

void *model_copy(const void *bytes, size_t size) {
    void *copy = allocate(size);
    if (size)
        memcpy(copy, bytes, size);
    return copy;
}

void *model_grow(void *array, size_t n, size_t size) {
    if (n & (n - 1))
        return array;
    void *larger = realloc(array, (n ? 2 * n : 1) * size);
    assert(larger);
    return larger;
}

void *model_piece(struct model_data *data, size_t size) {
    data->pieces = model_grow(data->pieces, data->n_pieces, sizeof *data->pieces);
    data->pieces[data->n_pieces] = allocate(size);
    return data->pieces[data->n_pieces++];
}

/* ---- Inbound ---- */

bool model_is_known(const struct model_data *data, const struct store_op *op) {
    for (size_t i = data->n_ins; i-- > 0;)
        if (model_id_is_equal(&data->ins[i].record.id, &op->in_put.id) &&
            node_id_is_equal(&data->ins[i].record.sender, &op->in_put.sender))
            return true;
    return false;
}

struct model_part *model_find_part(const struct model_data *data, const struct store_op *op) {
    for (size_t i = 0; i < data->n_parts; i++)
        if (model_id_is_equal(&data->parts[i].id, &op->in_put.id) &&
            node_id_is_equal(&data->parts[i].sender, &op->in_put.sender))
            return &data->parts[i];
    return NULL;
}

void model_forget_part(struct model_data *data, struct model_part *part) {
    size_t behind = data->n_parts - (size_t)(part - data->parts) - 1;
    free(part->body);
    free(part->blocks);
    memmove(part, part + 1, behind * sizeof *part);
    data->n_parts--;
}

#define UNGROWN_US (24 * US_PER_HOUR)

static enum message_kind kind_of(const struct store_op *op) {
    return op->in_put.kind ? op->in_put.kind : KIND_MESSAGE;
}

struct model_in *model_enter(struct model_data *data, const struct store_op *op,
                             enum message_kind kind, const uint8_t *body) {
    int64_t place = kind == KIND_MESSAGE ? model_place(data, op) : 0;
    data->ins = model_grow(data->ins, data->n_ins, sizeof *data->ins);
    struct model_in *in = &data->ins[data->n_ins++];
    *in = (struct model_in){.record = {.row = data->next_row++,
                                       .sender = op->in_put.sender,
                                       .sender_address = op->in_put.sender_address,
                                       .id = op->in_put.id,
                                       .sequence = op->in_put.sequence,
                                       .sent = op->in_put.sent,
                                       .received = op->in_put.received,
                                       .place = place,
                                       .size = (uint32_t)op->in_put.total},
                            .kind = kind,
                            .body = body ? model_copy(body, op->in_put.total) : NULL,
                            .state = IN_WAITING,
                            .tombstone = op->in_put.tombstone_until};
    model_copy_text(in->record.sender_name, op->in_put.sender_name, NODE_NAME_MAX + 1);
    return in;
}

static struct model_part *begin_part(struct model_data *data, const struct store_op *op) {
    data->parts = model_grow(data->parts, data->n_parts, sizeof *data->parts);
    struct model_part *part = &data->parts[data->n_parts++];
    *part = (struct model_part){.sender = op->in_put.sender,
                                .id = op->in_put.id,
                                .kind = kind_of(op),
                                .total = op->in_put.total,
                                .body = allocate(op->in_put.total),
                                .until = op->in_put.tombstone_until,
                                .grown = {op->in_put.received.us - MODEL_BEGUN_US}};
    return part;
}

/* Add a block: 0, or -EEXIST if it is held, or -EINVAL if it overlaps another. */
static int add_block(struct model_part *part, const struct store_op *op) {
    uint64_t offset = op->in_put.offset, end = offset + op->in_put.length;
    for (size_t i = 0; i < part->n_blocks; i++) {
        uint64_t start = part->blocks[i].offset, stop = start + part->blocks[i].length;
        if (start == offset && stop == end)
            return -EEXIST;
        if (start < end && offset < stop)
            return -EINVAL;
    }
    part->blocks = model_grow(part->blocks, part->n_blocks, sizeof *part->blocks);
    part->blocks[part->n_blocks].offset = op->in_put.offset;
    part->blocks[part->n_blocks++].length = op->in_put.length;
    memcpy(part->body + offset, op->in_put.bytes, op->in_put.length);
    model_grow_part(part->held, op, &part->grown);
    part->held += op->in_put.length;
    part->until = op->in_put.tombstone_until;
    part->is_known = op->in_put.is_known;
    return 0;
}

static bool is_held(const struct model_part *part, const struct store_op *op, int *ret_error) {
    uint64_t offset = op->in_put.offset, end = offset + op->in_put.length;
    for (size_t i = 0; i < part->n_blocks; i++) {
        uint64_t start = part->blocks[i].offset, stop = start + part->blocks[i].length;
        *ret_error = start == offset && stop == end ? 0 : -EINVAL;
        if (start < end && offset < stop)
            return true;
    }
    return false;
}

static bool is_sane(const struct store_op *op) {
    uint64_t total = op->in_put.total, offset = op->in_put.offset;
    uint32_t length = op->in_put.length;
    return kind_of(op) == KIND_MESSAGE && total <= UINT32_MAX && length <= BLOCK_MAX &&
           offset <= total && length <= total - offset && (length > 0 || total == 0);
}

static int in_put(struct model_data *data, const struct store_op *op, struct store_result *result) {
    if (kind_of(op) == KIND_FILE)
        return model_file_in_put(data, op, result);
    if (model_is_known(data, op)) {
        result->in_outcome = STORE_IN_DUPLICATE;
        return 0;
    }
    struct model_part *part = model_find_part(data, op);
    if (!part && model_file_find(data, &op->in_put.sender, &op->in_put.id) &&
        model_file_find(data, &op->in_put.sender, &op->in_put.id)->state == MODEL_FILE_PARTIAL)
        return -EINVAL;
    if (!is_sane(op) || (part && part->total != op->in_put.total))
        return -EINVAL;
    int error = 0;
    bool is_whole = op->in_put.length == op->in_put.total;
    if (part && !is_whole && is_held(part, op, &error))
        return error;
    if (!model_admit(data, op))
        return -EDQUOT;
    part = model_find_part(data, op);
    if (!part && op->in_put.total == 0) {
        model_enter(data, op, KIND_MESSAGE, (const uint8_t *)"");
        result->in_outcome = STORE_IN_COMPLETE;
        return 0;
    }
    if (part && op->in_put.length == op->in_put.total) { /* whole, whatever is held of it */
        model_enter(data, op, KIND_MESSAGE, op->in_put.bytes);
        model_forget_part(data, part);
        result->in_outcome = STORE_IN_COMPLETE;
        return 0;
    }
    if (!part)
        part = begin_part(data, op);
    error = add_block(part, op);
    if (error == -EINVAL)
        return error;
    if (part->held == part->total) {
        model_enter(data, op, KIND_MESSAGE, part->body);
        model_forget_part(data, part);
        result->in_outcome = STORE_IN_COMPLETE;
    }
    return 0;
}

void model_forget_in(struct model_in *in) {
    free(in->body);
    in->body = NULL;
    in->state = IN_GONE;
}

/* ---- The rest ---- */

static void node_put(struct model_data *data, const struct store_op *op) {
    size_t i = 0;
    while (i < data->n_nodes && !node_id_is_equal(&data->nodes[i].id, &op->node_put.id))
        i++;
    if (i == data->n_nodes) {
        data->nodes = model_grow(data->nodes, i, sizeof *data->nodes);
        data->nodes[data->n_nodes++] = (struct model_node){.id = op->node_put.id};
    }
    struct model_node *node = &data->nodes[i];
    free(node->bytes);
    node->bytes = model_copy(op->node_put.bytes, op->node_put.length);
    node->node =
        (struct boot_node){node->bytes, op->node_put.length, op->node_put.pinned, node->was};
    if (op->node_put.pinned)
        node->node.pin = op->node_put.pin;
}

static void node_unpin(struct model_data *data, const struct address *address) {
    for (size_t i = 0; i < data->n_nodes; i++) {
        struct boot_node *node = &data->nodes[i].node;
        if (!node->pinned || memcmp(node->pin.ip, address->ip, sizeof address->ip) != 0 ||
            (address->port != 0 && address->port != node->pin.port))
            continue;
        node->pinned = false;
        data->nodes[i].was = node->pin;
    }
}

static void rule_put(struct model_data *data, const struct store_op *op) {
    size_t i = 0;
    while (i < data->n_rules && !node_id_is_equal(&data->rules[i].id, &op->rule_put.id))
        i++;
    if (op->rule_put.rule == RULE_NONE) {
        if (i < data->n_rules)
            data->rules[i] = data->rules[--data->n_rules];
        return;
    }
    if (i == data->n_rules)
        data->rules = model_grow(data->rules, data->n_rules++, sizeof *data->rules);
    data->rules[i] = (struct boot_rule){op->rule_put.id, op->rule_put.rule};
}

static void mail_key(struct model_data *data, const struct store_op *op) {
    size_t kept = 0, at = 0;
    data->mail_keys = model_grow(data->mail_keys, data->n_mail_keys, sizeof *data->mail_keys);
    while (at < data->n_mail_keys && data->mail_keys[at].day < op->mail_key.day)
        at++;
    if (at == data->n_mail_keys || data->mail_keys[at].day != op->mail_key.day)
        memmove(data->mail_keys + at + 1, data->mail_keys + at,
                (data->n_mail_keys++ - at) * sizeof *data->mail_keys);
    data->mail_keys[at].day = op->mail_key.day;
    memcpy(data->mail_keys[at].secret, op->mail_key.secret, KEY_LEN);
    for (size_t i = 0; i < data->n_mail_keys; i++)
        if (data->mail_keys[i].day >= op->mail_key.oldest)
            data->mail_keys[kept++] = data->mail_keys[i];
    data->n_mail_keys = kept;
}

static void clock_put(struct model_data *data, const struct store_op *op) {
    data->clock = op->clock.wall;
    data->swept = op->clock.swept;
    data->clock_is_known = op->clock.is_known;
    for (size_t i = 0; i < data->n_outs; i++)
        if (!message_state_is_final(data->outs[i].record.state)) {
            data->outs[i].record.created.us += op->clock.shift_us;
            data->outs[i].record.expires.us += op->clock.shift_us;
        }
}

static void sweep(struct model_data *data, int64_t now, int64_t retention_us) {
    for (size_t i = data->n_ins; i-- > 0;) {
        struct model_in *in = &data->ins[i];
        if (in->state == IN_TAKEN && in->taken.us <= now - retention_us)
            model_forget_in(in);
        if (in->state == IN_GONE && in->tombstone.us <= now)
            memmove(in, in + 1, (data->n_ins-- - i - 1) * sizeof *in);
    }
    for (size_t i = data->n_outs; i-- > 0;)
        if (message_state_is_final(data->outs[i].record.state) &&
            data->outs[i].record.finished.us <= now - retention_us)
            model_forget_out(data, &data->outs[i]);
    for (size_t i = data->n_parts; i-- > 0;)
        if (data->parts[i].until.us <= now || data->parts[i].grown.us <= now - UNGROWN_US)
            model_forget_part(data, &data->parts[i]);
    model_file_sweep(data, now, retention_us);
}

void model_abandon(struct model_data *data, const struct node_id *sender, int64_t before) {
    for (size_t i = 0; i < data->n_parts; i++)
        if (node_id_is_equal(&data->parts[i].sender, sender) && data->parts[i].grown.us <= before) {
            data->parts[i].grown.us = 0;
            data->parts[i].is_known = false;
        }
    model_file_abandon(data, sender, before);
}

static void tell_unfinished(const struct model_data *data, struct store_result *result) {
    result->tells_unfinished = true;
    result->unfinished = model_file_held(data);
    for (size_t i = 0; i < data->n_parts; i++)
        result->unfinished += data->parts[i].held;
}

static int perform_message(struct model_data *data, const struct store_op *op,
                           struct store_result *result) {
    switch (op->kind) {
    case STORE_OUT_PUT:
        return model_out_put(data, op, result);
    case STORE_OUT_STATE:
        return model_out_state(data, op);
    case STORE_OUT_PROGRESS:
        return model_out_progress(data, op);
    case STORE_OUT_READDRESS:
        model_out_readdress(data, op);
        return 0;
    case STORE_OUT_READ:
        return model_out_read(data, op, result);
    case STORE_OUT_FIND:
        return model_out_find(data, op, result);
    case STORE_OUT_PENDING:
        return model_out_pending(data, op, result);
    case STORE_IN_PUT: {
        int error = result->error ? result->error : in_put(data, op, result);
        if (op->in_put.length < op->in_put.total)
            tell_unfinished(data, result);
        return error;
    }
    case STORE_IN_FETCH:
        return model_in_fetch(data, op, result);
    case STORE_IN_TAKE:
        model_in_take(data, op);
        return 0;
    case STORE_HISTORY:
        return model_history(data, op, result);
    case STORE_CONVERSATIONS:
        return model_conversations(data, op, result);
    case STORE_FORGET:
        model_forget(data, op, result);
        return 0;
    case STORE_FILES:
        return model_file_list(data, op, result);
    case STORE_FILE_TAKE:
        return model_file_take(data, op);
    default:
        return -EOPNOTSUPP;
    }
}

int model_data_perform(struct model_data *data, const struct store_op *op,
                       struct store_result *result) {
    switch (op->kind) {
    case STORE_NODE_PUT:
        node_put(data, op);
        break;
    case STORE_NODE_UNPIN:
        node_unpin(data, &op->node_unpin.address);
        break;
    case STORE_SPARES_PUT:
        free(data->spares);
        data->n_spares = op->spares_put.n;
        data->spares = model_copy(op->spares_put.spares, data->n_spares * sizeof *data->spares);
        break;
    case STORE_SEQUENCE:
        if (data->sequence < op->sequence.sequence)
            data->sequence = op->sequence.sequence;
        break;
    case STORE_CLOCK:
        clock_put(data, op);
        break;
    case STORE_UPLOAD_DROP:
        break;
    case STORE_RULE_PUT:
        rule_put(data, op);
        if (op->rule_put.rule == RULE_BLOCK)
            model_abandon(data, &op->rule_put.id, INT64_MAX);
        break;
    case STORE_MAIL_KEY:
        mail_key(data, op);
        break;
    case STORE_SWEEP:
        sweep(data, op->sweep.now.us, op->sweep.retention_us);
        tell_unfinished(data, result);
        break;
    default:
        return perform_message(data, op, result);
    }
    return 0;
}

static void boot_pending(struct model_data *data, struct node_boot *boot) {
    free(data->boot_pending);
    free(data->boot_conversations);
    data->boot_pending = allocate(data->n_outs * sizeof *data->boot_pending);
    size_t n = data->n_conversations;
    data->boot_conversations = allocate((n + data->n_outs) * sizeof *data->boot_conversations);
    if (n)
        memcpy(data->boot_conversations, data->conversations, n * sizeof *data->conversations);
    for (size_t i = 0; i < data->n_outs; i++)
        if (!message_state_is_final(data->outs[i].record.state)) {
            boot->pending = data->boot_pending;
            data->boot_pending[boot->n_pending++] = data->outs[i].record;
            if (data->outs[i].record.kind != KIND_MAIL)
                n = model_raise_conversation(data->boot_conversations, n, &data->outs[i].record);
        }
    boot->conversations = data->boot_conversations;
    boot->n_conversations = n;
}

void model_data_boot(struct model_data *data, struct node_boot *ret_boot) {
    *ret_boot = (struct node_boot){.spares = data->spares,
                                   .n_spares = data->n_spares,
                                   .rules = data->rules,
                                   .n_rules = data->n_rules,
                                   .mail_keys = data->mail_keys,
                                   .n_mail_keys = data->n_mail_keys};
    boot_pending(data, ret_boot);
    free(data->boot_nodes);
    data->boot_nodes = allocate(data->n_nodes * sizeof *data->boot_nodes);
    for (size_t i = 0; i < data->n_nodes; i++)
        data->boot_nodes[i] = data->nodes[i].node;
    ret_boot->nodes = data->boot_nodes;
    ret_boot->n_nodes = data->n_nodes;
    ret_boot->sequence = data->sequence;
    ret_boot->clock = data->clock;
    ret_boot->swept = data->swept;
    ret_boot->clock_is_known = data->clock_is_known;
    for (size_t i = 0; i < data->n_ins; i++)
        ret_boot->inbox_waiting +=
            data->ins[i].state == IN_WAITING && data->ins[i].kind == KIND_MESSAGE;
}

void model_data_init(struct model_data *data) {
    *data = (struct model_data){.next_row = 1};
}

void model_data_boot_first(struct model_data *data, size_t n, struct node_boot *boot) {
    if (boot->n_pending <= n)
        return;
    boot->n_unread = boot->n_pending - n;
    boot->unread_after = model_find_out(data, &boot->pending[n - 1].id)->row;
    boot->unread_until = model_find_out(data, &boot->pending[boot->n_pending - 1].id)->row;
    boot->n_pending = n;
}

void model_data_release(struct model_data *data) {
    while (data->n_pieces)
        free(data->pieces[--data->n_pieces]);
    free(data->pieces);
    data->pieces = NULL;
}

void model_data_commit(struct model_data *data) {
    model_file_commit(data);
}

void model_data_deinit(struct model_data *data) {
    model_data_release(data);
    model_file_deinit(data);
    while (data->n_outs)
        model_forget_out(data, &data->outs[data->n_outs - 1]);
    while (data->n_parts)
        model_forget_part(data, &data->parts[data->n_parts - 1]);
    while (data->n_ins)
        free(data->ins[--data->n_ins].body);
    while (data->n_nodes)
        free(data->nodes[--data->n_nodes].bytes);
    free(data->outs);
    free(data->parts);
    free(data->ins);
    free(data->nodes);
    free(data->spares);
    free(data->conversations);
    free(data->rules);
    free(data->mail_keys);
    free(data->boot_pending);
    free(data->boot_nodes);
    free(data->boot_conversations);
}
