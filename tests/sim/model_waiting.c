/* What waits in the model: places, quotas, handing out and taking. */
#include "tests/sim/model_data.h"

#include <errno.h>

/* ---- Places and quotas ---- */

#define PLACE_BITS 20
#define CHARGE_ROW 256

/* The sender's last waiting message at or before a place. */
static const struct in_record *find_before(const struct model_data *data,
                                           const struct node_id *sender, int64_t at) {
    const struct in_record *found = NULL;
    for (size_t i = 0; i < data->n_ins; i++) {
        const struct in_record *record = &data->ins[i].record;
        if (data->ins[i].state == IN_WAITING && data->ins[i].kind == KIND_MESSAGE &&
            record->place <= at && node_id_is_equal(&record->sender, sender) &&
            (!found || record->place > found->place))
            found = record;
    }
    return found;
}

/* As the store does it, step by step: with sequences that lie, no other way leads there. */
int64_t model_place(const struct model_data *data, const struct store_op *op) {
    const struct node_id *sender = &op->in_put.sender;
    uint64_t sequence = op->in_put.sequence;
    int64_t end = data->next_row << PLACE_BITS, low = 0;
    const struct in_record *after = find_before(data, sender, INT64_MAX), *found;
    if (!after || after->sequence <= sequence)
        return end;
    if (after->sent.us < op->in_put.sent.us - US_PER_S)
        return end; /* it numbers anew */
    while (low < after->place) {
        int64_t middle = low + (after->place - 1 - low) / 2;
        found = find_before(data, sender, middle);
        if (found && found->sequence > sequence)
            after = found;
        else
            low = middle + 1;
    }
    int64_t floor = (after->place - 1) >> PLACE_BITS << PLACE_BITS;
    found = find_before(data, sender, after->place - 1);
    if (found && found->place > floor)
        floor = found->place;
    int64_t room = after->place - floor;
    if (after->sequence - sequence < (uint64_t)room)
        return after->place - (int64_t)(after->sequence - sequence);
    return room > 1 ? after->place - room / 2 : end;
}

#define WINDOW                                                                                     \
    (256u << 10) /* beyond what is held of a part: so much is charged to all together              \
                    \ */
#define PARTS_SENDER_MAX 64
#define PARTS_ALL_MAX 4096
#define GIVE_WAY_BUDGET 512
#define GROWTH 61440

static uint64_t windowed(uint64_t total, uint64_t held) {
    return held + WINDOW < total ? held + WINDOW : total;
}

/* Counted anew each time: what the store keeps in a table must come to the same. */
static uint64_t usage(const struct model_data *data, const struct node_id *sender) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < data->n_ins; i++)
        if (data->ins[i].state == IN_WAITING && data->ins[i].kind == KIND_MESSAGE &&
            (!sender || node_id_is_equal(&data->ins[i].record.sender, sender)))
            bytes += data->ins[i].record.size + CHARGE_ROW;
    for (size_t i = 0; i < data->n_parts; i++) {
        const struct model_part *part = &data->parts[i];
        if (!sender)
            bytes += windowed(part->total, part->held) + CHARGE_ROW;
        else if (node_id_is_equal(&part->sender, sender))
            bytes += part->total + CHARGE_ROW;
    }
    return bytes;
}

static struct model_need look(const struct model_data *data, const struct store_op *op) {
    const struct model_part *part = model_find_part(data, op);
    uint64_t total = op->in_put.total, sender = op->in_put.quota_sender, all = op->in_put.quota_all;
    uint64_t whole = total + CHARGE_ROW, own = 0;
    uint64_t most = op->in_put.is_known ? PARTS_ALL_MAX : PARTS_ALL_MAX * 3 / 4;
    bool is_whole = op->in_put.length == total;
    struct model_need need = {0};
    if (part) {
        uint64_t more =
            windowed(total, part->held + op->in_put.length) - windowed(total, part->held);
        need.all_bytes = more > 0 ? model_missing(usage(data, NULL), more, all) : 0;
        return need;
    }
    need.is_hopeless = (all && whole > all) || (sender && whole > sender);
    need.own_bytes = model_missing(usage(data, &op->in_put.sender), whole, sender);
    need.all_bytes =
        model_missing(usage(data, NULL), (is_whole ? total : windowed(total, 0)) + CHARGE_ROW, all);
    for (size_t i = 0; i < data->n_parts; i++)
        own += node_id_is_equal(&data->parts[i].sender, &op->in_put.sender);
    need.own_n = !is_whole && own >= PARTS_SENDER_MAX;
    need.all_n = !is_whole && data->n_parts >= most ? data->n_parts - most + 1 : 0;
    return need;
}

static int compare_parts(const struct model_part *a, const struct model_part *b) {
    if (a->is_known != b->is_known)
        return a->is_known ? 1 : -1;
    if (a->grown.us != b->grown.us)
        return a->grown.us < b->grown.us ? -1 : 1;
    int order = memcmp(&a->sender, &b->sender, sizeof a->sender);
    return order ? order : memcmp(&a->id, &b->id, sizeof a->id);
}

static bool may_go(const struct model_data *data, const struct model_part *part,
                   const struct store_op *op) {
    return part->grown.us <= op->in_put.received.us - MODEL_STALE_US &&
           part != model_find_part(data, op);
}

static bool is_own(const struct model_part *part, const struct store_op *op) {
    return node_id_is_equal(&part->sender, &op->in_put.sender);
}

static struct model_need stale(const struct model_data *data, const struct store_op *op) {
    struct model_need sum = {0};
    for (size_t i = 0; i < data->n_parts; i++) {
        const struct model_part *part = &data->parts[i];
        if (!may_go(data, part, op))
            continue;
        if (is_own(part, op)) {
            sum.own_n++;
            sum.own_bytes += part->total + CHARGE_ROW;
        }
        if (op->in_put.is_known || !part->is_known) {
            sum.all_n++;
            sum.all_bytes += windowed(part->total, part->held) + CHARGE_ROW;
        }
    }
    return sum;
}

/* Of its sender, where that is over its own bounds; there, as the store asks, known or not is
 * one. */
static struct model_part *next_to_go(struct model_data *data, const struct store_op *op,
                                     const struct model_need *need) {
    bool wants_own = need->own_bytes || need->own_n;
    struct model_part *next = NULL;
    for (size_t i = 0; i < data->n_parts; i++) {
        struct model_part *part = &data->parts[i];
        if (!may_go(data, part, op) || (wants_own && !is_own(part, op)) ||
            (!wants_own && part->is_known && !op->in_put.is_known))
            continue;
        bool is_before = !next || (wants_own && part->grown.us < next->grown.us) ||
                         (wants_own && part->grown.us == next->grown.us &&
                          memcmp(&part->id, &next->id, sizeof part->id) < 0) ||
                         (!wants_own && compare_parts(part, next) < 0);
        next = is_before ? part : next;
    }
    return next;
}

bool model_admit(struct model_data *data, const struct store_op *op) {
    struct model_need need = look(data, op), sum = stale(data, op);
    bool can_mend = model_is_mended(&need, &sum);
    for (int budget = GIVE_WAY_BUDGET; model_is_wanting(&need) && can_mend && budget > 0;) {
        struct model_part *part = next_to_go(data, op, &need);
        if (!part)
            break;
        budget -= 1 + (int)(part->held / 8192);
        model_forget_part(data, part);
        need = look(data, op);
    }
    return !model_is_wanting(&need);
}

/* By blocks, not by bytes. */
void model_grow_part(uint64_t held, const struct store_op *op, struct wall *grown) {
    if ((held + op->in_put.length) / GROWTH > held / GROWTH)
        *grown = op->in_put.received;
}

/* ---- Handing out ---- */

/* The row of the earliest message with this id; 0: none. */
static int64_t row_of(const struct model_data *data, const struct message_id *id) {
    for (size_t i = 0; i < data->n_ins; i++)
        if (model_id_is_equal(&data->ins[i].record.id, id))
            return data->ins[i].record.row;
    return 0;
}

/* The next of those that are asked for behind a place. */
static const struct model_in *next_waiting(const struct model_data *data, const struct store_op *op,
                                           int64_t since_row, int64_t after) {
    const struct model_in *next = NULL;
    for (size_t i = 0; i < data->n_ins; i++) {
        const struct in_record *record = &data->ins[i].record;
        if (data->ins[i].state == IN_WAITING && data->ins[i].kind == KIND_MESSAGE &&
            record->place > after && record->row > since_row &&
            (op->in_fetch.since.us == 0 || record->received.us >= op->in_fetch.since.us) &&
            (op->in_fetch.any_sender || node_id_is_equal(&record->sender, &op->in_fetch.sender)) &&
            (!next || record->place < next->record.place))
            next = &data->ins[i];
    }
    return next;
}

int model_in_fetch(struct model_data *data, const struct store_op *op,
                   struct store_result *result) {
    struct in_record *messages = model_piece(data, data->n_ins * sizeof *messages);
    const struct model_in *in;
    uint64_t bytes = 0;
    int64_t after = op->in_fetch.after;
    int64_t since_row = op->in_fetch.since_message ? row_of(data, &op->in_fetch.since_id) : 0;
    if (op->in_fetch.since_message && !since_row)
        return -ENOENT;
    while ((in = next_waiting(data, op, since_row, after))) {
        size_t n = result->n_messages;
        result->more =
            n == op->in_fetch.limit || (n > 0 && bytes + in->record.size > op->in_fetch.bytes);
        if (result->more)
            break;
        uint8_t *body = model_piece(data, in->record.size);
        memcpy(body, in->body, in->record.size);
        messages[n] = in->record;
        messages[n].body = body;
        bytes += in->record.size;
        after = in->record.place;
        result->n_messages++;
    }
    result->messages = messages;
    return 0;
}

void model_in_take(struct model_data *data, const struct store_op *op) {
    for (size_t k = 0; k < op->in_take.n; k++)
        for (size_t i = 0; i < data->n_ins; i++) {
            struct model_in *in = &data->ins[i];
            if (in->record.row != op->in_take.rows[k] || in->state != IN_WAITING ||
                in->kind != KIND_MESSAGE)
                continue;
            in->state = IN_TAKEN;
            in->taken = op->in_take.now;
            if (op->in_take.forget)
                model_forget_in(in);
        }
}
