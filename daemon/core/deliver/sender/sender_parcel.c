/* Parcels: read from the store, sealed, emptied. Threat: memory. Only
 * what is about to travel is held, all of it is charged, and what belongs to a recipient that is
 * silent can be given up, since the store has it. */
#include "daemon/core/deliver/sender/sender_private.h"

#include "daemon/core/wire/shard.h"

#include <assert.h>

#define REST_US (2 * US_PER_MS)

/* Allowed moves: row = from, bit = to. */
static const uint8_t moves[] = {
    [PARCEL_EMPTY] = 1 << PARCEL_READING | 1 << PARCEL_DROPPED,
    [PARCEL_READING] = 1 << PARCEL_STALE | 1 << PARCEL_SEALED | 1 << PARCEL_EMPTY,
    [PARCEL_STALE] = 1 << PARCEL_EMPTY | 1 << PARCEL_DROPPED,
    [PARCEL_SEALED] = 1 << PARCEL_SENT | 1 << PARCEL_EMPTY,
    [PARCEL_SENT] = 1 << PARCEL_EMPTY,
    [PARCEL_DROPPED] = 0,
};

static void parcel_move(struct sender_parcel *parcel, enum parcel_state state) {
    assert(moves[parcel->state] & 1 << state);
    parcel->state = state;
}

static const uint8_t shard_moves[] = {
    [SHARD_WAITING] = 1 << SHARD_FLYING | 1 << SHARD_ARRIVED, /* one taken for lost had arrived */
    [SHARD_FLYING] = 1 << SHARD_WAITING | 1 << SHARD_ARRIVED,
    [SHARD_ARRIVED] = 1 << SHARD_WAITING, /* the recipient has lost it */
};

void shard_move(struct sender_shard *shard, enum shard_state state) {
    assert(shard_moves[shard->state] & 1 << state);
    shard->state = (uint8_t)state;
}

/* ---- Outcomes ---- */

/* Room for as many outcomes as one receipt may bring: reserved when a parcel is made, so that no
 * outcome is ever lost. */
static bool reserve_outcomes(struct sender *sender, size_t n) {
    if (n <= sender->outcomes_room)
        return true;
    struct sender_outcome *more = realloc(sender->outcomes, n * sizeof *more);
    if (!more)
        return false;
    sender->outcomes = more;
    sender->outcomes_room = n;
    return true;
}

void sender_outcome_add(struct sender *sender, enum sender_outcome_kind kind,
                        struct message *message, uint64_t offset, const char *reason) {
    if (sender->next_outcome == sender->n_outcomes)
        sender->n_outcomes = sender->next_outcome = 0;
    assert(sender->n_outcomes < sender->outcomes_room);
    sender->outcomes[sender->n_outcomes++] = (struct sender_outcome){kind, message, offset, reason};
}

bool sender_outcome(struct sender *sender, struct sender_outcome *ret_outcome) {
    if (sender->next_outcome == sender->n_outcomes)
        return false;
    *ret_outcome = sender->outcomes[sender->next_outcome++];
    return true;
}

/* ---- Making ---- */

struct sender_parcel *sender_parcel_new(struct sender *sender, struct recipient *recipient,
                                        size_t n_items, bool is_long) {
    struct sender_parcel *parcel = calloc(1, sizeof *parcel);
    struct sender_item *items = calloc(n_items, sizeof *items);
    if (!parcel || !items || !reserve_outcomes(sender, n_items + 2)) {
        free(parcel);
        free(items);
        return NULL;
    }
    parcel->items = items;
    parcel->part = sender_part(sender, &recipient->route);
    parcel->memory = sizeof *parcel + n_items * sizeof *items;
    budget_part_take(parcel->part, parcel->memory);
    parcel->recipient = recipient;
    parcel->key = SENDER_NO_KEY;
    parcel->is_long = is_long;
    backoff_parcel_init(parcel);
    TAILQ_INSERT_TAIL(&recipient->parcels, parcel, link);
    recipient->n_parcels++;
    recipient->n_long += is_long;
    return parcel;
}

void sender_parcel_add(struct sender_parcel *parcel, struct message *message, uint64_t offset,
                       uint32_t length) {
    size_t size = parcel->is_long ? length : PARCEL_ITEM_HEADER_LEN + length;
    parcel->items[parcel->n_items++] = (struct sender_item){message, offset, length, 0};
    parcel->size += size;
    parcel->recipient->bytes += size;
    if (parcel->is_long)
        parcel->recipient->long_bytes += size;
}

/* ---- Reading ---- */

/* Leave out the items that are gone. Returns the length of the plaintext of the others, 0 if there
 * are none. */
static size_t compact(struct sender_parcel *parcel) {
    size_t n = 0, length = PARCEL_HEAD_LEN;
    for (size_t i = 0; i < parcel->n_items; i++)
        if (parcel->items[i].message) {
            length += message_item_length(parcel->items[i].message, parcel->items[i].length);
            parcel->items[n++] = parcel->items[i];
        }
    parcel->n_items = n;
    return n > 0 ? length : 0;
}

static void read_item(struct sender *sender, struct sender_parcel *parcel, size_t index) {
    const struct sender_item *item = &parcel->items[index];
    struct sender_op *op = calloc(1, sizeof *op);
    if (!op) {
        parcel->read_error = -ENOMEM;
        return;
    }
    TAILQ_INSERT_TAIL(&sender->ops, op, link);
    op->owner = sender->config.owner;
    op->parcel = parcel;
    op->item = index;
    struct store_op operation = {.kind = STORE_OUT_READ};
    operation.out_read.id = item->message->id;
    operation.out_read.offset = item->offset;
    operation.out_read.length = item->length;
    parcel->reads++;
    effects_store(sender->config.effects, &operation, OWNER_OUTBOX, (uint64_t)(uintptr_t)op);
}

static void write_items(struct sender *sender, struct sender_parcel *parcel) {
    struct wire_writer writer = wire_writer(parcel->plain, parcel->plain_length);
    parcel_put_head(&writer, &sender->self);
    for (size_t i = 0; i < parcel->n_items; i++) {
        struct sender_item *item = &parcel->items[i];
        const struct message *message = item->message;
        struct parcel_item out = message_item(message, item->offset, item->length);
        item->place = (uint32_t)(parcel_put_item(&writer, &out) - parcel->plain);
        if (!message->body && item->length > 0)
            read_item(sender, parcel, i);
    }
    assert(!writer.failed && wire_room(&writer) == 0);
}

int sender_parcel_fill(struct sender *sender, struct sender_parcel *parcel) {
    size_t length = compact(parcel), padded;
    if (length == 0) {
        sender_parcel_drop(sender, parcel);
        return -ENOENT;
    }
    int error =
        parcel_cut(length, parcel->recipient->route.shards_k, &parcel->k, &parcel->length, &padded);
    assert(!error); /* what is gathered fits */
    /* budget_take() may evict kept bodies: so it comes before any body is looked at. */
    if (!budget_take(sender->config.budget, BUDGET_OUTBOX, padded))
        return -ENOMEM;
    parcel->plain = malloc(padded);
    if (!parcel->plain) {
        budget_give(sender->config.budget, BUDGET_OUTBOX, padded);
        return -ENOMEM;
    }
    memset(parcel->plain + length, 0, padded - length);
    parcel->plain_length = length;
    parcel->padded_length = parcel->charged = padded;
    parcel_move(parcel, PARCEL_READING);
    parcel->read_error = 0;
    write_items(sender, parcel);
    return 0;
}

static void drop_plain(struct sender *sender, struct sender_parcel *parcel) {
    if (!parcel->plain)
        return;
    sodium_memzero(parcel->plain, parcel->plain_length);
    free(parcel->plain);
    parcel->plain = NULL;
    budget_give(sender->config.budget, BUDGET_OUTBOX, parcel->padded_length);
    parcel->charged -= parcel->padded_length;
}

static void release(struct sender *sender, struct sender_parcel *parcel) {
    drop_plain(sender, parcel);
    free(parcel->sealed);
    free(parcel->parity);
    free(parcel->shards);
    parcel->sealed = parcel->parity = NULL;
    parcel->shards = NULL;
    parcel->k = parcel->m = parcel->fresh = parcel->arrived = parcel->flying = 0;
    parcel->shown = parcel->no_parity = false;
    budget_give(sender->config.budget, BUDGET_OUTBOX, parcel->charged);
    parcel->charged = 0;
    if (parcel->key == SENDER_NO_KEY)
        return;
    sodium_memzero(sender->receipt_keys[parcel->key], KEY_LEN);
    sender->free_keys[sender->n_free_keys++] = parcel->key;
    parcel->key = SENDER_NO_KEY;
}

static void parcel_free(struct sender *sender, struct sender_parcel *parcel) {
    release(sender, parcel);
    budget_part_give(parcel->part, parcel->memory);
    free(parcel->items);
    free(parcel);
}

void sender_op_done(struct sender *sender, struct sender_op *op) {
    struct sender_parcel *parcel = op->parcel;
    TAILQ_REMOVE(&sender->ops, op, link);
    free(op);
    if (--parcel->reads == 0 && parcel->state == PARCEL_DROPPED)
        parcel_free(sender, parcel);
}

void sender_stored(struct sender *sender, uint64_t cookie, const struct store_result *result) {
    struct sender_op *op = (struct sender_op *)(uintptr_t)cookie;
    struct sender_parcel *parcel = op->parcel;
    const struct sender_item *item = &parcel->items[op->item];
    if (parcel->state == PARCEL_DROPPED) {
        sender_op_done(sender, op);
        return;
    }
    const char *lost = item->message ? message_lost_words(item->message, result->error) : NULL;
    if (result->error == 0 && result->length == item->length)
        memcpy(parcel->plain + item->place, result->bytes, result->length);
    else if (lost)
        sender_outcome_add(sender, SENDER_FAILED, item->message, 0, lost);
    else if (result->error != -ENOENT)
        parcel->read_error = result->error ? result->error : -EIO;
    sender_op_done(sender, op);
    sender_wake(sender, parcel->recipient);
}

/* ---- Sealing ---- */

/* Take memory, and a place for the receipt key, for the sealed form. */
static int make_room(struct sender *sender, struct sender_parcel *parcel) {
    const struct recipient *recipient = parcel->recipient;
    unsigned m = recipient->route.shards_k > 0 ? recipient->route.shards_m
                                               : windows_parity(&recipient->windows, parcel->k);
    size_t sealed = parcel->k * parcel->length;
    size_t charge = sealed + (parcel->k + m) * sizeof *parcel->shards;
    if (sender->n_free_keys == 0 && !sender_evict(sender))
        return -ENOMEM;
    if (!budget_take(sender->config.budget, BUDGET_OUTBOX, charge))
        return -ENOMEM;
    parcel->sealed = malloc(sealed);
    parcel->shards = calloc(parcel->k + m, sizeof *parcel->shards);
    if (!parcel->sealed || !parcel->shards) {
        free(parcel->sealed);
        free(parcel->shards);
        parcel->sealed = NULL;
        parcel->shards = NULL;
        budget_give(sender->config.budget, BUDGET_OUTBOX, charge);
        return -ENOMEM;
    }
    parcel->charged += charge;
    parcel->m = m;
    parcel->key = sender->free_keys[--sender->n_free_keys];
    return 0;
}

static int seal(struct sender *sender, struct sender_parcel *parcel, struct mono now) {
    struct recipient *recipient = parcel->recipient;
    struct {
        uint8_t ephemeral[32], transform[32];
    } s;
    struct parcel_secret *secret = sender_secret(sender, recipient, now);
    int error = secret ? make_room(sender, parcel) : -EINVAL;
    if (error)
        return error;
    random_fill(&sender->config.random, &s, sizeof s);
    int length = parcel_seal(identity_link_key(sender->config.identity), &recipient->route.to,
                             recipient->routing_key, recipient->epoch, s.ephemeral, &secret->known,
                             parcel->plain, parcel->padded_length, parcel->sealed,
                             sender->receipt_keys[parcel->key]);
    parcel_secret_spend(secret);
    /* Not at once: the shards just sealed are to leave first, perhaps through this very machine. */
    sender_expect(sender, recipient, mono_add(now, REST_US));
    if (length > 0 && parcel->k > 1)
        shard_transform(parcel->sealed, parcel->k * parcel->length, s.transform);
    sodium_memzero(&s, sizeof s);
    return length > 0 ? 0 : -EINVAL;
}

const uint8_t *sender_shard_data(struct sender *sender, struct sender_parcel *parcel,
                                 unsigned index) {
    size_t length = parcel->m * parcel->length;
    if (index < parcel->k)
        return parcel->sealed + index * parcel->length;
    if (!parcel->parity) {
        sender->sending = parcel; /* budget_take() must not evict this parcel */
        bool has_room = budget_take(sender->config.budget, BUDGET_OUTBOX, length);
        sender->sending = NULL;
        if (!has_room)
            return NULL;
        parcel->parity = malloc(length);
        if (!parcel->parity) {
            budget_give(sender->config.budget, BUDGET_OUTBOX, length);
            return NULL;
        }
        parcel->charged += length;
        shard_encode(parcel->k, parcel->m, parcel->length, parcel->sealed, parcel->parity);
    }
    return parcel->parity + (index - parcel->k) * parcel->length;
}

int sender_parcel_seal(struct sender *sender, struct sender_parcel *parcel, struct mono now) {
    int error = parcel->state == PARCEL_STALE ? -EAGAIN : parcel->read_error;
    if (!error)
        error = seal(sender, parcel, now);
    if (error) {
        sender_parcel_empty(sender, parcel);
        return error;
    }
    drop_plain(sender, parcel);
    for (size_t i = 0; i < parcel->n_items; i++)
        if (!parcel->is_long)
            messages_drop_body(sender->config.messages, parcel->items[i].message);
    random_fill(&sender->config.random, &parcel->id, sizeof parcel->id);
    table_add(&sender->parcels, &parcel->by_id,
              table_hash(&sender->parcels, &parcel->id, sizeof parcel->id));
    parcel_move(parcel, PARCEL_SEALED);
    parcel->fresh = parcel->arrived = parcel->flying = 0;
    backoff_parcel_sealed(sender, parcel, now);
    return 0;
}

void sender_parcel_departs(struct sender *sender, struct sender_parcel *parcel) {
    if (parcel->state == PARCEL_SENT)
        return;
    parcel_move(parcel, PARCEL_SENT);
    if (parcel->was_traced)
        return;
    parcel->was_traced = true;
    TAILQ_INSERT_TAIL(&sender->departed, parcel, departed);
}

struct sender_parcel *sender_departed(struct sender *sender) {
    struct sender_parcel *parcel = TAILQ_FIRST(&sender->departed);
    if (parcel)
        TAILQ_REMOVE(&sender->departed, parcel, departed);
    return parcel;
}

size_t sender_parcel_items(const struct sender_parcel *parcel) {
    return parcel->n_items;
}

struct message *sender_parcel_message(const struct sender_parcel *parcel, size_t i) {
    return parcel->items[i].message;
}

/* ---- Emptying ---- */

/* Its shards in flight no longer count in their windows. */
static void ground(struct sender_parcel *parcel) {
    for (unsigned i = 0; sender_parcel_is_sealed(parcel) && i < parcel->fresh; i++)
        if (parcel->shards[i].state == SHARD_FLYING)
            window_landed(&parcel->recipient->windows.v[parcel->shards[i].subflow]);
}

void sender_parcel_empty(struct sender *sender, struct sender_parcel *parcel) {
    if (parcel->state == PARCEL_EMPTY)
        return;
    if (parcel->reads > 0) {
        if (parcel->state == PARCEL_READING)
            parcel_move(parcel, PARCEL_STALE);
        return;
    }
    ground(parcel);
    if (sender_parcel_is_sealed(parcel))
        table_remove(&sender->parcels, &parcel->by_id);
    parcel_move(parcel, PARCEL_EMPTY);
    release(sender, parcel);
}

void sender_parcel_drop(struct sender *sender, struct sender_parcel *parcel) {
    struct recipient *recipient = parcel->recipient;
    sender_parcel_empty(sender, parcel);
    parcel_move(parcel, PARCEL_DROPPED);
    TAILQ_REMOVE(&recipient->parcels, parcel, link);
    recipient->n_parcels--;
    recipient->bytes -= parcel->size;
    if (parcel->is_long) {
        recipient->n_long--;
        recipient->long_bytes -= parcel->size;
    }
    parcel->recipient = NULL;
    sender_wake(sender, recipient);
    if (parcel->reads == 0)
        parcel_free(sender, parcel);
}

bool sender_parcel_holds(const struct sender_parcel *parcel, const struct message *message) {
    for (size_t i = 0; i < parcel->n_items; i++)
        if (parcel->items[i].message == message)
            return true;
    return false;
}

/* Whether something is left is looked for from the end, since receipts empty a parcel from the
 * beginning. */
bool sender_parcel_forget(struct sender_parcel *parcel, const struct message *message) {
    size_t left = parcel->n_items;
    for (size_t i = 0; i < parcel->n_items; i++)
        if (parcel->items[i].message == message) {
            parcel->items[i].message = NULL;
            /* The body of this message may never be read now, and the plaintext would have a hole.
             */
            if (parcel->state == PARCEL_READING)
                parcel_move(parcel, PARCEL_STALE);
            if (!message_is_long(message))
                break;
        }
    while (left > 0 && !parcel->items[left - 1].message)
        left--;
    return left > 0;
}

bool sender_evict(struct sender *sender) {
    struct recipient *recipient;
    TAILQ_FOREACH(recipient, &sender->all, all) {
        struct sender_parcel *parcel;
        if (!backoff_is_silent(recipient))
            continue;
        TAILQ_FOREACH(parcel, &recipient->parcels, link)
            if (sender_parcel_is_sealed(parcel) && parcel != sender->sending) {
                sender_parcel_empty(sender, parcel);
                return true;
            }
    }
    return false;
}
