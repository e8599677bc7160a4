/* One deposit: gathered, read from the store, sealed to the recipient's mail key, cut into shards
 * and sent to a mailbox. Threat: see depositor.h. */
#include "daemon/core/deliver/depot/depositor_private.h"

#include "daemon/core/route/path_reply.h"

#include <assert.h>

/* So many shards leave at a time, BATCH_US apart: a deposit must not fill the queue of a link. */
#define BATCH 8
#define BATCH_US (10 * US_PER_MS)

/* Allowed moves: row = from, bit = to. */
static const uint8_t moves[] = {
    [DEPOSIT_READING] = 1 << DEPOSIT_STALE | 1 << DEPOSIT_SEALED | 1 << DEPOSIT_DROPPED,
    [DEPOSIT_STALE] = 1 << DEPOSIT_DROPPED,
    [DEPOSIT_SEALED] = 1 << DEPOSIT_SENDING | 1 << DEPOSIT_DROPPED,
    [DEPOSIT_SENDING] = 1 << DEPOSIT_SEALED | 1 << DEPOSIT_DROPPED,
    [DEPOSIT_DROPPED] = 0,
};

static void deposit_move(struct deposit *deposit, enum deposit_state state) {
    assert(moves[deposit->state] & 1 << state);
    deposit->state = state;
}

/* ---- Letting go ---- */

static void stop_sending(struct depositor *depositor, struct deposit *deposit) {
    for (unsigned i = 0; i < 2; i++)
        courier_retire(&deposit->lanes[i]);
    if (!deposit->shards)
        return;
    size_t size = (size_t)(deposit->cut.k + deposit->cut.m) * deposit->cut.length;
    budget_give(depositor->config.budget, BUDGET_OUTBOX, size);
    free(deposit->shards);
    deposit->shards = NULL;
    deposit_move(deposit, DEPOSIT_SEALED);
}

static void deposit_free(struct depositor *depositor, struct deposit *deposit) {
    sodium_memzero(deposit->bytes, deposit->charged); /* plaintext, if it was not sealed yet */
    budget_give(depositor->config.budget, BUDGET_OUTBOX, deposit->charged);
    TAILQ_REMOVE(&depositor->deposits, deposit, link);
    depositor->n_deposits--;
    free(deposit->bytes);
    free(deposit->ids);
    free(deposit->places);
    free(deposit->lengths);
    sodium_memzero(deposit, sizeof *deposit);
    free(deposit);
}

void deposit_drop(struct depositor *depositor, struct deposit *deposit) {
    stop_sending(depositor, deposit);
    if (deposit->box)
        deposit->box->deposit = NULL;
    deposit->box = NULL;
    deposit->account = NULL;
    deposit_move(deposit, DEPOSIT_DROPPED);
    if (deposit->reads == 0)
        deposit_free(depositor, deposit);
}

/* ---- Gathering ---- */

static bool is_wanted(const struct message *message, unsigned bit) {
    return message->kind == KIND_MESSAGE && message->size <= MAIL_MESSAGE_MAX &&
           !message_state_is_final(message->state) && !(message->mailed & bit);
}

struct gathering { /* messages chosen for one deposit */
    struct message **messages;
    size_t n, room, length;
    unsigned bit;
};

/* Choose a message, if it belongs there. False: no more fit. */
static bool gather(void *context, struct message *message) {
    struct gathering *all = context;
    if (!is_wanted(message, all->bit))
        return true;
    size_t more = PARCEL_ITEM_HEADER_LEN + message->size;
    if (all->n == all->room || all->length + more > MAIL_PLAIN_MAX)
        return false;
    all->messages[all->n++] = message;
    all->length += more;
    return true;
}

static bool read_item(struct depositor *depositor, struct deposit *deposit, size_t i) {
    struct deposit_op *op = calloc(1, sizeof *op);
    if (!op)
        return false;
    op->owner = depositor->config.owner;
    TAILQ_INSERT_TAIL(&depositor->ops, op, link);
    op->deposit = deposit;
    op->item = i;
    struct store_op operation = {.kind = STORE_OUT_READ};
    operation.out_read.id = deposit->ids[i];
    operation.out_read.length = deposit->lengths[i];
    deposit->reads++;
    effects_store(depositor->config.effects, &operation, OWNER_OUTBOX, (uint64_t)(uintptr_t)op);
    return true;
}

/* The plaintext will not be complete: the deposit is dropped when its turn comes. */
static void make_stale(struct deposit *deposit) {
    if (deposit->state == DEPOSIT_READING)
        deposit_move(deposit, DEPOSIT_STALE);
}

static void write_plain(struct depositor *depositor, struct deposit *deposit,
                        const struct mail_head *head, struct message **messages) {
    struct wire_writer writer = wire_writer(deposit->bytes, deposit->length);
    mail_put_head(&writer, head);
    for (size_t i = 0; i < deposit->n; i++) {
        const struct message *message = messages[i];
        struct parcel_item item = {.kind = KIND_MESSAGE,
                                   .id = message->id,
                                   .sequence = message->sequence,
                                   .sent_ms = (uint64_t)wall_ms(message->created),
                                   .expires_ms = (uint64_t)wall_ms(message->expires),
                                   .total = message->size,
                                   .length = (uint32_t)message->size,
                                   .bytes = message->body};
        deposit->ids[i] = message->id;
        deposit->lengths[i] = item.length;
        deposit->places[i] = (uint32_t)(parcel_put_item(&writer, &item) - deposit->bytes);
        if (message->expires.us > deposit->expires.us)
            deposit->expires = message->expires;
    }
    assert(!writer.failed && wire_room(&writer) == 0);
    for (size_t i = 0; i < deposit->n; i++)
        if (!messages[i]->body && deposit->lengths[i] > 0 && !read_item(depositor, deposit, i))
            make_stale(deposit);
}

static struct deposit *deposit_new(struct depositor *depositor, const struct gathering *all) {
    size_t room = all->length + MAIL_OVERHEAD;
    if (!budget_take(depositor->config.budget, BUDGET_OUTBOX, room))
        return NULL;
    struct deposit *deposit = calloc(1, sizeof *deposit);
    uint8_t *bytes = calloc(1, room);
    struct message_id *ids = calloc(all->n, sizeof *ids);
    uint32_t *places = calloc(all->n, sizeof *places), *lengths = calloc(all->n, sizeof *lengths);
    if (!deposit || !bytes || !ids || !places || !lengths) {
        free(deposit);
        free(bytes);
        free(ids);
        free(places);
        free(lengths);
        budget_give(depositor->config.budget, BUDGET_OUTBOX, room);
        return NULL;
    }
    *deposit = (struct deposit){.ids = ids,
                                .places = places,
                                .lengths = lengths,
                                .n = all->n,
                                .bytes = bytes,
                                .length = all->length,
                                .charged = room};
    random_fill(&depositor->config.random, deposit->token, sizeof deposit->token);
    TAILQ_INSERT_TAIL(&depositor->deposits, deposit, link);
    depositor->n_deposits++;
    return deposit;
}

void deposit_begin(struct depositor *depositor, struct depositor_account *account, struct box *box,
                   const struct depositor_recipient *recipient, const struct descriptor *descriptor,
                   struct mono now) {
    struct mail_head head = {.sender = depositor->self};
    struct version version;
    struct message *messages[MAIL_PLAIN_MAX / PARCEL_ITEM_HEADER_LEN];
    head.descriptor = directory_bytes(depositor->config.directory, node_id_prefix(&depositor->self),
                                      &head.descriptor_length, &version);
    struct gathering all = {.messages = messages,
                            .room = sizeof messages / sizeof *messages,
                            .bit = 1u << (box - account->boxes)};
    if (!head.descriptor)
        return;
    all.length = MAIL_HEAD_LEN + head.descriptor_length;
    recipient->each(recipient->recipient, gather, &all);
    if (all.n == 0)
        return;
    struct deposit *deposit =
        depositor->n_deposits < OUTBOX_DEPOSITS_MAX ? deposit_new(depositor, &all) : NULL;
    if (!deposit) {
        box->due = mono_add(now, DEPOSIT_AGAIN_US);
        return;
    }
    deposit->account = account;
    deposit->box = box;
    deposit->day = descriptor->mail_day;
    memcpy(deposit->key, descriptor->mail_key, KEY_LEN);
    box->deposit = deposit;
    write_plain(depositor, deposit, &head, messages);
}

void deposit_op_done(struct depositor *depositor, struct deposit_op *op) {
    struct deposit *deposit = op->deposit;
    TAILQ_REMOVE(&depositor->ops, op, link);
    free(op);
    if (--deposit->reads == 0 && deposit->state == DEPOSIT_DROPPED)
        deposit_free(depositor, deposit);
}

void depositor_stored(struct depositor *depositor, uint64_t cookie,
                      const struct store_result *result) {
    struct deposit_op *op = (struct deposit_op *)(uintptr_t)cookie;
    struct deposit *deposit = op->deposit;
    if (result->error == 0 && result->length == deposit->lengths[op->item])
        memcpy(deposit->bytes + deposit->places[op->item], result->bytes, result->length);
    else
        make_stale(deposit);
    deposit_op_done(depositor, op);
}

bool deposit_is_pending(const struct depositor *depositor, const struct deposit *deposit) {
    size_t pending = 0;
    for (size_t i = 0; i < deposit->n; i++) {
        const struct message *message = messages_find(depositor->config.messages, &deposit->ids[i]);
        pending += message && message->recipient == deposit->account->recipient;
    }
    return deposit->state == DEPOSIT_READING ? pending == deposit->n : pending > 0;
}

/* A second buffer while it is sealed: plaintext and ciphertext stand beside each other. */
static uint8_t *blob_new(struct depositor *depositor, size_t size) {
    if (!budget_take(depositor->config.budget, BUDGET_OUTBOX, size))
        return NULL;
    budget_give(depositor->config.budget, BUDGET_OUTBOX, size); /* it replaces the first at once */
    return malloc(size);
}

bool deposit_seal(struct depositor *depositor, struct deposit *deposit) {
    uint8_t ephemeral[32], *blob = blob_new(depositor, deposit->length + MAIL_OVERHEAD);
    if (!blob)
        return false;
    random_fill(&depositor->config.random, ephemeral, sizeof ephemeral);
    int length =
        mail_seal(identity_link_key(depositor->config.identity), &deposit->account->id,
                  deposit->key, deposit->day, ephemeral, deposit->bytes, deposit->length, blob);
    sodium_memzero(ephemeral, sizeof ephemeral);
    if (length < 0) {
        free(blob);
        return false;
    }
    sodium_memzero(deposit->bytes, deposit->length);
    free(deposit->bytes);
    deposit->bytes = blob;
    deposit->length = (size_t)length;
    deposit_move(deposit, DEPOSIT_SEALED);
    return true;
}

/* ---- Sending ---- */

static int64_t interval_us(unsigned tries) {
    static const int seconds[] = {3, 10, 30, 120, 300, 600};
    unsigned last = sizeof seconds / sizeof *seconds - 1;
    return seconds[tries < last ? tries : last] * US_PER_S;
}

static struct path_request request_for(const struct deposit *deposit, const struct node_id *box) {
    return (struct path_request){.target = *box,
                                 .relays_exact = deposit->account->relays_exact,
                                 .strict = deposit->account->strict};
}

/* Make reply packets that carry the token back to us over two paths. Returns how many there are. */
static unsigned make_replies(struct depositor *depositor, const struct deposit *deposit,
                             const struct node_id *box, struct now now,
                             struct mail_reply replies[MAIL_REPLIES_MAX],
                             uint8_t packets[MAIL_REPLIES_MAX][ONION_LEN]) {
    struct path_reply_rooms rooms = {depositor->config.paths, depositor->config.directory,
                                     depositor->config.identity, &depositor->config.random};
    struct path_request request = request_for(deposit, box);
    uint8_t payload[1 + MAIL_TOKEN_LEN] = {PAYLOAD_DEPOSITED};
    unsigned n = 0;
    memcpy(payload + 1, deposit->token, MAIL_TOKEN_LEN);
    for (unsigned i = 0; i < MAIL_REPLIES_MAX; i++) {
        if (path_reply(&rooms, &request, payload, sizeof payload, now, &replies[n].first,
                       packets[n]) != PATH_OK)
            break;
        replies[n].packet = packets[n];
        n++;
    }
    return n;
}

/* Encode the deposit with fresh replies and cut it into shards. False: no memory. */
static bool cut(struct depositor *depositor, struct deposit *deposit,
                const struct mail_deposit *content) {
    uint8_t key[32];
    size_t length = NODE_ID_LEN + 16 + content->n_replies * (8 + ONION_LEN) +
                    content->descriptor_length + content->blob_length;
    struct mail_cut shards = mail_cut(length);
    size_t size = (size_t)(shards.k + shards.m) * shards.length;
    if (!budget_take(depositor->config.budget, BUDGET_OUTBOX, size))
        return false;
    deposit->shards = malloc(size);
    if (!deposit->shards) {
        budget_give(depositor->config.budget, BUDGET_OUTBOX, size);
        return false;
    }
    struct wire_writer writer = wire_writer(deposit->shards, size);
    mail_deposit_encode(content, &writer);
    assert(!writer.failed && wire_length(&writer) == length);
    random_fill(&depositor->config.random, key, sizeof key);
    mail_shards(&shards, deposit->shards, length, key);
    sodium_memzero(key, sizeof key);
    random_fill(&depositor->config.random, deposit->id, sizeof deposit->id);
    deposit->cut = shards;
    deposit->next = 0;
    deposit_move(deposit, DEPOSIT_SENDING);
    return true;
}

void deposit_try(struct depositor *depositor, struct deposit *deposit,
                 const struct directory_entry *box, const struct directory_entry *recipient,
                 struct now now) {
    uint8_t packets[MAIL_REPLIES_MAX][ONION_LEN];
    int64_t wait_us = interval_us(deposit->box->tries);
    struct mail_deposit content = {.recipient = recipient->id,
                                   .expires_ms = (uint64_t)wall_ms(deposit->expires),
                                   .descriptor = recipient->bytes,
                                   .descriptor_length = recipient->length,
                                   .blob = deposit->bytes,
                                   .blob_length = deposit->length};
    stop_sending(depositor, deposit);
    wait_us -= (int64_t)random_below(&depositor->config.random, (uint64_t)wait_us / 8);
    deposit->box->due = mono_add(now.mono, wait_us);
    content.n_replies = make_replies(depositor, deposit, &box->id, now, content.replies, packets);
    if (content.n_replies == 0 || !cut(depositor, deposit, &content))
        return;
    deposit->tries++;
    deposit->box->tries++;
    deposit->send_at = now.mono;
}

/* The lane of the next shard: two take turns. NULL: there is no path. */
static struct courier_lane *open_lane(struct depositor *depositor, struct deposit *deposit,
                                      struct now now) {
    struct courier_lane *lane = &deposit->lanes[deposit->next % 2];
    const struct directory_entry *box =
        directory_find_prefix(depositor->config.directory, deposit->box->prefix);
    if (courier_is_open(depositor->config.courier, lane, now))
        return lane;
    if (!box)
        return NULL;
    struct path_request request = request_for(deposit, &box->id);
    return courier_open(depositor->config.courier, lane, &request, now) == PATH_OK ? lane : NULL;
}

void deposit_send(struct depositor *depositor, struct deposit *deposit, struct now now) {
    uint8_t payload[ONION_PAYLOAD_MAX];
    unsigned all = deposit->cut.k + deposit->cut.m;
    deposit->send_at = mono_add(now.mono, BATCH_US);
    for (unsigned i = 0; i < BATCH && deposit->next < all; i++) {
        struct mail_shard shard = {.cut = deposit->cut, .index = (uint8_t)deposit->next};
        struct courier_lane *lane = open_lane(depositor, deposit, now);
        if (!lane) {
            stop_sending(depositor, deposit); /* the next try finds another way */
            return;
        }
        memcpy(shard.id, deposit->id, sizeof shard.id);
        shard.data = deposit->shards + (size_t)deposit->next * deposit->cut.length;
        size_t length = mail_shard_encode(&shard, payload);
        if (courier_send(depositor->config.courier, lane, payload, length, now.mono) == -ENOBUFS)
            return;
        deposit->next++;
    }
    if (deposit->next == all)
        stop_sending(depositor, deposit);
}
