/* Parcels: gathered from what waits, read from the store, sealed, emptied. Threat: memory. Only
 * what is about to travel is held, all of it is charged, and what belongs to a recipient that is
 * silent can be given up, since the store has it. */
#include "daemon/core/deliver/outbox_private.h"

#include <assert.h>

#define REST_US (2 * US_PER_MS)

/* What a parcel of k shards has room for, beside its head; 0: as many as it takes. */
static size_t items_max(unsigned k) {
    size_t most = PARCEL_ITEM_HEADER_LEN + PARCEL_FILE_HEADER_LEN + PARCEL_BLOCK_MAX;
    size_t room = k * PARCEL_SHARD_DATA_MAX - PARCEL_OVERHEAD - PARCEL_HEAD_LEN;
    if (k > 1)
        room -= SHARD_TRANSFORM_LEN;
    return k == 0 || room > most ? most : room;
}

uint32_t out_block_max(unsigned k, enum message_kind kind) {
    size_t header = PARCEL_ITEM_HEADER_LEN + (kind == KIND_FILE ? PARCEL_FILE_HEADER_LEN : 0);
    size_t room = items_max(k) - header;
    return (uint32_t)(room < PARCEL_BLOCK_MAX ? room : PARCEL_BLOCK_MAX);
}

static struct out_parcel *parcel_new(struct out_flow *flow, size_t n_items) {
    struct out_parcel *parcel = calloc(1, sizeof *parcel);
    struct out_item *items = calloc(n_items, sizeof *items);
    if (!parcel || !items) {
        free(parcel);
        free(items);
        return NULL;
    }
    parcel->items = items;
    parcel->flow = flow;
    parcel->key = OUTBOX_NO_KEY;
    parcel->credit = OUTBOX_CREDIT_ALL;
    parcel->deadline = MONO_NEVER;
    TAILQ_INSERT_TAIL(&flow->parcels, parcel, link);
    flow->n_parcels++;
    return parcel;
}

static void count_bytes(struct out_parcel *parcel, size_t size) {
    parcel->size = size;
    parcel->flow->bytes += size;
    if (parcel->is_long)
        parcel->flow->long_bytes += size;
}

static struct out_parcel *gather_long(struct out_flow *flow) {
    struct out_message *message = TAILQ_FIRST(&flow->longs);
    struct out_parcel *parcel = parcel_new(flow, 1);
    if (!parcel)
        return NULL;
    uint32_t block = out_block_size(message);
    uint64_t offset = message->next_block * block, left = message->size - offset;
    parcel->is_long = true;
    flow->n_long++;
    parcel->items[parcel->n_items++] =
        (struct out_item){message, offset, left < block ? (uint32_t)left : block, 0};
    count_bytes(parcel, parcel->items[0].length);
    message->next_block++;
    if (left <= block) {
        TAILQ_REMOVE(&flow->longs, message, queue);
        message->queued = false;
    }
    return parcel;
}

/* As many of the messages that wait, in order, as fit. */
static struct out_parcel *gather_shorts(struct out_flow *flow, struct out_messages *queue) {
    size_t n = 0, length = 0, most = items_max(flow->shards_k), mails = 0;
    struct out_message *message;
    TAILQ_FOREACH(message, queue, queue) {
        size_t more = PARCEL_ITEM_HEADER_LEN + message->size;
        mails += message->kind == KIND_MAIL;
        if (length + more > most || (message->alone && n > 0) || mails > MAIL_IN_PARCEL_MAX)
            break;
        length += more;
        n++;
        if (message->alone)
            break;
    }
    struct out_parcel *parcel = parcel_new(flow, n);
    for (; parcel && parcel->n_items < n; parcel->n_items++) {
        message = TAILQ_FIRST(queue);
        TAILQ_REMOVE(queue, message, queue);
        message->queued = false;
        parcel->items[parcel->n_items] = (struct out_item){message, 0, (uint32_t)message->size, 0};
    }
    if (parcel)
        count_bytes(parcel, length);
    return parcel;
}

static bool may_gather_any(const struct out_flow *flow) {
    return flow->n_parcels < OUTBOX_PARCELS && flow->bytes < OUTBOX_FLIGHT_BYTES;
}
/* One that was refused for now asks with one block whether there is room again. */
static bool may_gather_long(const struct out_flow *flow) {
    const struct out_message *first = TAILQ_FIRST(&flow->longs);
    if (first && first->refused && flow->n_long > 0)
        return false;
    return flow->n_long < OUTBOX_LONG_PARCELS && flow->long_bytes < OUTBOX_LONG_BYTES;
}

/* While its recipient rests, mail that was not offered yet goes all the same: who left what is
 * refused is nobody we know, and must not hold up what others left. */
static bool may_gather_fresh(const struct out_flow *flow, struct mono now) {
    return flow->is_kept || mono_is_due(flow->rest_until, now);
}
/* Of what was refused, though, anybody may have left an eighth of all that we keep. */
static bool may_gather_again(const struct out_flow *flow, struct mono now) {
    return !TAILQ_EMPTY(&flow->again) && mono_is_due(flow->rest_until, now) &&
           flow->bytes < OUTBOX_AGAIN_BYTES;
}

bool out_may_gather(const struct out_flow *flow, struct mono now) {
    bool fresh =
        !TAILQ_EMPTY(&flow->shorts) || (!TAILQ_EMPTY(&flow->longs) && may_gather_long(flow));
    return may_gather_any(flow) &&
           ((fresh && may_gather_fresh(flow, now)) || may_gather_again(flow, now));
}

struct out_parcel *out_parcel_gather(struct out_flow *flow, struct mono now) {
    const struct out_message *first = TAILQ_FIRST(&flow->shorts),
                             *first_long = TAILQ_FIRST(&flow->longs);
    if (!out_may_gather(flow, now))
        return NULL;
    if (!may_gather_long(flow))
        first_long = NULL;
    if (first && (!first_long || first->sequence < first_long->sequence))
        return gather_shorts(flow, &flow->shorts);
    return first_long ? gather_long(flow) : gather_shorts(flow, &flow->again);
}

struct out_messages *out_queue_of(const struct out_message *message) {
    struct out_flow *flow = message->flow;
    if (message->kind == KIND_MAIL && message->refused)
        return &flow->again;
    return out_is_long(message) ? &flow->longs : &flow->shorts;
}

/* Leave out the items that are gone. Returns the length of the plaintext of the others, 0 if there
 * are none. */
static size_t compact(struct out_parcel *parcel) {
    size_t n = 0, length = PARCEL_HEAD_LEN;
    for (size_t i = 0; i < parcel->n_items; i++)
        if (parcel->items[i].message) {
            length += out_item_length(parcel->items[i].message, parcel->items[i].length);
            parcel->items[n++] = parcel->items[i];
        }
    parcel->n_items = n;
    return n > 0 ? length : 0;
}

static void read_item(struct outbox *outbox, struct out_parcel *parcel, size_t index) {
    const struct out_item *item = &parcel->items[index];
    struct out_op *op = out_op_new(outbox, OUT_OP_READ);
    if (!op) {
        parcel->read_error = -ENOMEM;
        return;
    }
    op->parcel = parcel;
    op->item = index;
    struct store_op operation = {.kind = STORE_OUT_READ};
    operation.out_read.id = item->message->id;
    operation.out_read.offset = item->offset;
    operation.out_read.length = item->length;
    parcel->reads++;
    out_store(outbox, &operation, op);
}

static void write_items(struct outbox *outbox, struct out_parcel *parcel) {
    struct wire_writer writer = wire_writer(parcel->plain, parcel->plain_length);
    parcel_put_head(&writer, &outbox->self);
    for (size_t i = 0; i < parcel->n_items; i++) {
        struct out_item *item = &parcel->items[i];
        const struct out_message *message = item->message;
        struct parcel_item out = out_item(message, item->offset, item->length);
        item->place = (uint32_t)(parcel_put_item(&writer, &out) - parcel->plain);
        if (!message->body && item->length > 0)
            read_item(outbox, parcel, i);
    }
    assert(!writer.failed && wire_room(&writer) == 0);
}

int out_parcel_fill(struct outbox *outbox, struct out_parcel *parcel) {
    size_t length = compact(parcel), padded;
    if (length == 0) {
        out_parcel_drop(outbox, parcel);
        return -ENOENT;
    }
    int error = parcel_cut(length, parcel->flow->shards_k, &parcel->k, &parcel->length, &padded);
    assert(!error); /* what is gathered fits */
    /* May give up kept bodies, so before any is looked at. */
    if (!budget_take(outbox->config.budget, BUDGET_OUTBOX, padded))
        return -ENOMEM;
    parcel->plain = malloc(padded);
    if (!parcel->plain) {
        budget_give(outbox->config.budget, BUDGET_OUTBOX, padded);
        return -ENOMEM;
    }
    memset(parcel->plain + length, 0, padded - length);
    parcel->plain_length = length;
    parcel->padded_length = parcel->charged = padded;
    parcel->state = OUT_READING;
    parcel->spoiled = false;
    parcel->read_error = 0;
    write_items(outbox, parcel);
    return 0;
}

void out_parcel_read(struct outbox *outbox, struct out_op *op, const struct store_result *result,
                     struct now now) {
    struct out_parcel *parcel = op->parcel;
    struct out_item *item = &parcel->items[op->item];
    parcel->reads--;
    if (!parcel->flow) {
        if (parcel->reads == 0)
            out_parcel_drop(outbox, parcel);
        return;
    }
    struct out_flow *flow = parcel->flow;
    const char *lost = item->message ? out_lost_words(item->message, result->error) : NULL;
    if (result->error == 0 && result->length == item->length)
        memcpy(parcel->plain + item->place, result->bytes, result->length);
    else if (lost)
        out_finish(outbox, item->message, MESSAGE_FAILED, lost, now);
    else if (result->error != -ENOENT)
        parcel->read_error = result->error ? result->error : -EIO;
    out_flow_wake(outbox, flow);
}

static void drop_plain(struct outbox *outbox, struct out_parcel *parcel) {
    if (!parcel->plain)
        return;
    sodium_memzero(parcel->plain, parcel->plain_length);
    free(parcel->plain);
    parcel->plain = NULL;
    budget_give(outbox->config.budget, BUDGET_OUTBOX, parcel->padded_length);
    parcel->charged -= parcel->padded_length;
}

/* Memory and a receipt key's place for the sealed form. */
static int make_room(struct outbox *outbox, struct out_parcel *parcel) {
    unsigned m = out_parity(parcel->flow, parcel->k);
    size_t sealed = parcel->k * parcel->length;
    size_t charge = sealed + (parcel->k + m) * sizeof *parcel->shards;
    if (outbox->n_free_keys == 0 && !out_evict_sealed(outbox))
        return -ENOMEM;
    if (!budget_take(outbox->config.budget, BUDGET_OUTBOX, charge))
        return -ENOMEM;
    parcel->sealed = malloc(sealed);
    parcel->shards = calloc(parcel->k + m, sizeof *parcel->shards);
    if (!parcel->sealed || !parcel->shards) {
        free(parcel->sealed);
        free(parcel->shards);
        parcel->sealed = NULL;
        parcel->shards = NULL;
        budget_give(outbox->config.budget, BUDGET_OUTBOX, charge);
        return -ENOMEM;
    }
    parcel->charged += charge;
    parcel->m = m;
    parcel->key = outbox->free_keys[--outbox->n_free_keys];
    return 0;
}

static int seal(struct outbox *outbox, struct out_parcel *parcel, struct mono now) {
    struct out_flow *flow = parcel->flow;
    struct {
        uint8_t ephemeral[32], transform[32];
    } s;
    struct parcel_secret *secret = out_flow_secret(outbox, flow, now);
    int error = secret ? make_room(outbox, parcel) : -EINVAL;
    if (error)
        return error;
    random_fill(&outbox->config.random, &s, sizeof s);
    int length =
        parcel_seal(identity_link_key(outbox->config.identity), &flow->recipient, flow->routing_key,
                    flow->epoch, s.ephemeral, &secret->known, parcel->plain, parcel->padded_length,
                    parcel->sealed, outbox->receipt_keys[parcel->key]);
    parcel_secret_spend(secret);
    /* Not at once: what was just sent is on its way, perhaps through this very machine. */
    out_flow_expect(outbox, flow, mono_add(now, REST_US));
    if (length > 0 && parcel->k > 1)
        shard_transform(parcel->sealed, parcel->k * parcel->length, s.transform);
    sodium_memzero(&s, sizeof s);
    return length > 0 ? 0 : -EINVAL;
}

const uint8_t *out_shard_data(struct outbox *outbox, struct out_parcel *parcel, unsigned index) {
    size_t length = parcel->m * parcel->length;
    if (index < parcel->k)
        return parcel->sealed + index * parcel->length;
    if (!parcel->parity) {
        outbox->sending = parcel; /* its own memory is no help */
        bool has_room = budget_take(outbox->config.budget, BUDGET_OUTBOX, length);
        outbox->sending = NULL;
        if (!has_room)
            return NULL;
        parcel->parity = malloc(length);
        if (!parcel->parity) {
            budget_give(outbox->config.budget, BUDGET_OUTBOX, length);
            return NULL;
        }
        parcel->charged += length;
        shard_encode(parcel->k, parcel->m, parcel->length, parcel->sealed, parcel->parity);
    }
    return parcel->parity + (index - parcel->k) * parcel->length;
}

int out_parcel_finish(struct outbox *outbox, struct out_parcel *parcel, struct mono now) {
    int error = parcel->spoiled ? -EAGAIN : parcel->read_error;
    if (!error)
        error = seal(outbox, parcel, now);
    if (error) {
        out_parcel_empty(outbox, parcel);
        return error;
    }
    drop_plain(outbox, parcel);
    for (size_t i = 0; i < parcel->n_items; i++)
        if (!parcel->is_long)
            out_drop_body(outbox, parcel->items[i].message);
    random_fill(&outbox->config.random, &parcel->id, sizeof parcel->id);
    table_add(&outbox->parcels, &parcel->by_id,
              table_hash(&outbox->parcels, &parcel->id, sizeof parcel->id));
    parcel->state = OUT_SEALED;
    parcel->fresh = parcel->arrived = parcel->flying = 0;
    /* What it had asked with was given up: without credit it would never ask again. */
    if (parcel->credit == 0)
        parcel->credit = 1;
    return 0;
}

/* A shard that flies no more makes room in its path's window. */
static void ground(struct out_parcel *parcel) {
    for (unsigned i = 0; parcel->state == OUT_SEALED && i < parcel->fresh; i++)
        if (parcel->shards[i].state == OUT_FLYING)
            parcel->flow->slots[parcel->shards[i].slot].flight--;
}

void out_parcel_empty(struct outbox *outbox, struct out_parcel *parcel) {
    if (parcel->reads > 0) {
        parcel->spoiled = true;
        return;
    }
    ground(parcel);
    if (parcel->state == OUT_SEALED)
        table_remove(&outbox->parcels, &parcel->by_id);
    parcel->state = OUT_EMPTY;
    drop_plain(outbox, parcel);
    free(parcel->sealed);
    free(parcel->parity);
    free(parcel->shards);
    parcel->sealed = parcel->parity = NULL;
    parcel->shards = NULL;
    parcel->k = parcel->m = parcel->fresh = parcel->arrived = parcel->flying = 0;
    parcel->shown = parcel->bare = false;
    budget_give(outbox->config.budget, BUDGET_OUTBOX, parcel->charged);
    parcel->charged = 0;
    if (parcel->key == OUTBOX_NO_KEY)
        return;
    sodium_memzero(outbox->receipt_keys[parcel->key], KEY_LEN);
    outbox->free_keys[outbox->n_free_keys++] = parcel->key;
    parcel->key = OUTBOX_NO_KEY;
}

void out_parcel_drop(struct outbox *outbox, struct out_parcel *parcel) {
    struct out_flow *flow = parcel->flow;
    out_parcel_empty(outbox, parcel);
    if (flow) {
        TAILQ_REMOVE(&flow->parcels, parcel, link);
        flow->n_parcels--;
        flow->bytes -= parcel->size;
        if (parcel->is_long) {
            flow->n_long--;
            flow->long_bytes -= parcel->size;
        }
        parcel->flow = NULL;
        out_flow_wake(outbox, flow);
    }
    if (parcel->reads > 0)
        return;
    free(parcel->items);
    free(parcel);
}

static bool holds(const struct out_parcel *parcel, const struct out_message *message) {
    for (size_t i = 0; i < parcel->n_items; i++)
        if (parcel->items[i].message == message)
            return true;
    return false;
}

/* Returns whether something is left in it: looked for from the end, since receipts empty it from
 * the beginning. */
static bool forget_item(struct out_parcel *parcel, const struct out_message *message) {
    size_t left = parcel->n_items;
    for (size_t i = 0; i < parcel->n_items; i++)
        if (parcel->items[i].message == message) {
            parcel->items[i].message = NULL;
            /* Its body may never be read now: what is being put together would have a hole. */
            if (parcel->state == OUT_READING)
                parcel->spoiled = true;
            if (!out_is_long(message))
                break;
        }
    while (left > 0 && !parcel->items[left - 1].message)
        left--;
    return left > 0;
}

/* Out of its flow's queue and parcels. */
static void take_out(struct outbox *outbox, struct out_message *message) {
    struct out_flow *flow = message->flow;
    struct out_parcel *first = TAILQ_FIRST(&flow->parcels), *next;
    if ((message->queued || message->arrived) && !out_is_long(message))
        first = NULL; /* what waits whole, or has arrived, is in none */
    if (message->queued)
        TAILQ_REMOVE(out_queue_of(message), message, queue);
    message->queued = false;
    for (struct out_parcel *parcel = first; parcel; parcel = next) {
        next = out_is_long(message) ? TAILQ_NEXT(parcel, link) : NULL;
        if (!holds(parcel, message)) {
            next = TAILQ_NEXT(parcel, link);
            continue;
        }
        if (!forget_item(parcel, message))
            out_parcel_drop(outbox, parcel);
        else if (parcel->state == OUT_SEALED && parcel->timeouts > 0)
            out_parcel_empty(outbox, parcel); /* what is over is not asked with for days */
    }
}

void out_flow_forget(struct outbox *outbox, struct out_message *message) {
    struct out_flow *flow = message->flow;
    take_out(outbox, message);
    flow->n_messages--;
    message->flow = NULL;
    out_flow_wake(outbox, flow);
}

void out_flow_requeue(struct outbox *outbox, struct out_message *message) {
    take_out(outbox, message);
    message->refused = true; /* from here on, since it says in which queue it is */
    message->alone = message->alone || message->kind == KIND_MAIL;
    out_flow_enqueue(outbox, message->flow, message);
}

void out_parcel_split(struct outbox *outbox, struct out_parcel *parcel) {
    struct out_flow *flow = parcel->flow;
    for (size_t i = parcel->n_items; i-- > 0;) {
        struct out_message *message = parcel->items[i].message;
        if (!message)
            continue;
        message->alone = message->queued = true;
        TAILQ_INSERT_HEAD(&flow->shorts, message, queue);
    }
    out_parcel_drop(outbox, parcel);
}

bool out_evict_sealed(struct outbox *outbox) {
    struct out_flow *flow;
    TAILQ_FOREACH(flow, &outbox->all_flows, all) {
        struct out_parcel *parcel;
        if (!out_flow_is_silent(flow))
            continue;
        TAILQ_FOREACH(parcel, &flow->parcels, link)
            if (parcel->state == OUT_SEALED && parcel != outbox->sending) {
                out_parcel_empty(outbox, parcel);
                return true;
            }
    }
    return false;
}

bool out_evict(void *context) {
    struct outbox *outbox = context;
    if (!TAILQ_EMPTY(&outbox->cached)) {
        out_drop_body(outbox, TAILQ_FIRST(&outbox->cached));
        return true;
    }
    return out_evict_sealed(outbox);
}
