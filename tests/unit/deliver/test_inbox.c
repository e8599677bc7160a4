/* link: daemon/core/base/budget daemon/core/base/base daemon/core/deliver/inbox/inbox daemon/core/deliver/inbox/inbox_item daemon/core/deliver/inbox/inbox_take daemon/core/deliver/inbox/inbox_shard daemon/core/deliver/inbox/inbox_keys daemon/core/deliver/inbox/inbox_parcel daemon/core/deliver/inbox/inbox_local daemon/core/deliver/inbox/inbox_receipt daemon/core/deliver/inbox/inbox_pull daemon/core/deliver/inbox/policy daemon/core/wire/parcel daemon/core/wire/shard daemon/core/wire/noise daemon/core/deliver/inbox/inbox_mail daemon/core/wire/mail daemon/core/route/courier daemon/core/route/path_silence daemon/core/base/share */
/* The inbox alone: what it believes, holds, stores and receipts; leases. Node 0 is ours, the others
 * send; the test is the store. */
#define FAKE_NODES 80
#include "tests/unit/deliver/fake_delivery.h"

static struct inbox *inbox;
static struct effects effects;
static struct budget budget;
static struct share share;
static struct policy *policy;
static uint8_t body[1 << 20];

static int setup(void **state) {
    (void)state;
    fake_identities_init();
    fake_fill(NULL, body, sizeof body);
    fake_path_outcome = PATH_OK;
    fake_draws_left = UINT32_MAX;
    budget = (struct budget){.max = 64 << 20};
    share_init(&share, 0);
    policy = policy_new(&(struct policy_config){.random = &fake_random}, NULL, 0);
    assert_non_null(policy);
    struct inbox_config config = {.identity = &fake_identities[0],
                                  .courier = fake_courier(),
                                  .effects = &effects,
                                  .share = &share,
                                  .policy = policy,
                                  .budget = &budget,
                                  .random = fake_random,
                                  .limits = {.message_max = 100000,
                                             .tombstone_us = US_PER_HOUR,
                                             .retention_us = US_PER_HOUR}};
    inbox = inbox_new(&config);
    assert_non_null(inbox);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    inbox_free(inbox);
    policy_free(policy);
    fake_effects_deinit(&effects);
    fake_wire_n = 0;
    assert_int_equal(budget.used, 0);
    assert_int_equal(fake_paths_live, 0);
    return 0;
}

/* ---- A sender ---- */
struct sent {
    unsigned from, slot; /* slot: of the neighbour that brings it */
    struct parcel_id id;
    uint8_t shards[SHARD_COUNT_MAX * PARCEL_SHARD_DATA_MAX];
    size_t length; /* of each */
    unsigned k, m;
    uint8_t receipt_key[KEY_LEN], shard_key[KEY_LEN], partial_key[KEY_LEN];
    uint32_t path;
    uint16_t packet;
};
static void seal_cut(struct sent *sent, unsigned from, const uint8_t *plain, size_t length,
                     unsigned k, unsigned m) {
    static uint8_t padded[PARCEL_PLAIN_MAX];
    uint8_t ephemeral[32];
    size_t padded_length;
    struct parcel_keys *keys = parcel_keys_new(4, &fake_random);
    const struct noise_keypair *routing = &fake_identities[0].routing[0];
    memset(sent, 0, sizeof *sent);
    sent->from = from;
    sent->path = 1;
    fake_fill(NULL, &sent->id, sizeof sent->id);
    fake_fill(NULL, ephemeral, sizeof ephemeral);
    assert_int_equal(parcel_cut(length, k, &sent->k, &sent->length, &padded_length), 0);
    memset(padded, 0, padded_length);
    memcpy(padded, plain, length);
    int sealed = parcel_seal(&fake_identities[from].link, &fake_identities[0].id, routing->public,
                             epoch_now(), ephemeral, NULL, padded, padded_length, sent->shards,
                             sent->receipt_key);
    assert_true(sealed > 0);
    sent->m = m;
    if (sent->k > 1)
        shard_transform(sent->shards, sent->k * sent->length, ephemeral);
    if (m > 0)
        shard_encode(sent->k, m, sent->length, sent->shards, sent->shards + sent->k * sent->length);
    struct parcel_peer peer = {&fake_identities[0].id,
                               1,
                               epoch_now(),
                               routing->public,
                               fake_identities[from].link.secret,
                               &fake_identities[from].id,
                               false,
                               false};
    const struct parcel_secret *secret = parcel_keys_add(keys, &peer);
    assert_non_null(secret);
    memcpy(sent->shard_key, secret->shard_key, KEY_LEN);
    parcel_receipt_key(secret, &sent->id, sent->partial_key);
    parcel_keys_free(keys);
}
static void seal_plain(struct sent *sent, unsigned from, const uint8_t *plain, size_t length) {
    seal_cut(sent, from, plain, length, 0, 0);
}
/* n messages of `size` bytes from sequence `first` on, in k + m shards. */
static void seal_shards(struct sent *sent, unsigned from, uint64_t first, unsigned n, uint32_t size,
                        unsigned k, unsigned m) {
    static uint8_t plain[PARCEL_PLAIN_MAX];
    struct wire_writer writer = wire_writer(plain, sizeof plain);
    parcel_put_head(&writer, &fake_identities[from].id);
    for (unsigned i = 0; i < n; i++) {
        struct parcel_item item = {.expires_ms = UINT64_MAX,
                                   .kind = KIND_MESSAGE,
                                   .sequence = first + i,
                                   .sent_ms = 5000,
                                   .total = size,
                                   .length = size,
                                   .bytes = body};
        fake_fill(NULL, &item.id, sizeof item.id);
        assert_non_null(parcel_put_item(&writer, &item));
    }
    seal_cut(sent, from, plain, wire_length(&writer), k, m);
}
static void seal(struct sent *sent, unsigned from, uint64_t first, unsigned n, uint32_t size) {
    seal_shards(sent, from, first, n, size, 0, 0);
}
static enum drop send_shard(struct sent *sent, unsigned index) {
    uint8_t payload[ONION_PAYLOAD_MAX];
    struct parcel_shard shard = {.id = sent->id,
                                 .k = (uint8_t)sent->k,
                                 .index = (uint8_t)index,
                                 .m = (uint8_t)sent->m,
                                 .length = (uint16_t)sent->length,
                                 .sender = fake_entries[sent->from].prefix,
                                 .path = sent->path,
                                 .packet = sent->packet++,
                                 .data = sent->shards + index * sent->length};
    size_t length = parcel_shard_encode(&shard, sent->shard_key, payload);
    return inbox_shard(inbox, payload, length, sent->slot, epoch_now(), fake_now());
}
static void send_all(struct sent *sent) {
    for (unsigned i = 0; i < sent->k; i++)
        assert_int_equal(send_shard(sent, i), DROP_NONE);
}
static void give(struct store_result result) {
    assert_true(effects.n_ops > 0);
    struct fake_op op = effects.ops[0];
    fake_ops_shift(&effects);
    inbox_stored(inbox, op.cookie, &result, fake_now());
}
static size_t flush(void) {
    size_t before = fake_wire_n;
    inbox_flush(inbox, fake_now());
    return fake_wire_n - before;
}
/* The i-th receipt of the last onion. */
static struct parcel_receipt last_receipt(unsigned i) {
    assert_true(fake_wire_n > 0);
    const struct fake_packet *packet = &fake_wire[fake_wire_n - 1];
    struct wire_reader reader = wire_reader(packet->payload + 1, packet->length - 1);
    struct parcel_receipt receipt;
    assert_int_equal(packet->payload[0], PAYLOAD_RECEIPTS);
    for (unsigned j = 0; j <= i; j++)
        assert_int_equal(parcel_receipt_decode(&reader, &receipt), DROP_NONE);
    return receipt;
}

/* ---- Parcels ---- */

static void test_stored_then_receipted(void **state) {
    (void)state;
    struct sent sent;
    seal(&sent, 1, 7, 2, 5);
    send_all(&sent);
    assert_int_equal(effects.n_ops, 2);
    const struct store_op *op = &effects.ops[0].op;
    assert_int_equal(op->kind, STORE_IN_PUT);
    assert_memory_equal(&op->in_put.sender, &fake_identities[1].id, NODE_ID_LEN);
    assert_string_equal(op->in_put.sender_name, "somebody");
    assert_int_equal(op->in_put.sender_address.port, 58008);
    assert_int_equal(op->in_put.sequence, 7);
    assert_int_equal(op->in_put.sent.us, 5000 * US_PER_MS);
    assert_memory_equal(op->in_put.bytes, body, 5);
    assert_false(op->in_put.follows);
    assert_true(effects.ops[1].op.in_put.follows); /* or is refused with the one before */
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_int_equal(flush(), 0);
    assert_int_equal(inbox_waiting(inbox), 1);
    give((struct store_result){.in_outcome = STORE_IN_DUPLICATE});
    assert_int_equal(flush(), 1);
    assert_int_equal(inbox_waiting(inbox), 1);
    struct parcel_receipt receipt = last_receipt(0);
    assert_int_equal(receipt.status, PARCEL_COMPLETE);
    assert_true(parcel_receipt_is_authentic(&receipt, sent.receipt_key));
    /* A duplicate: receipted again over another way, but not for each of a burst, and nothing is
     * stored. */
    uint64_t serial = fake_wire[fake_wire_n - 1].serial;
    assert_int_equal(send_shard(&sent, 0), DROP_DUPLICATE);
    assert_int_equal(flush(), 1);
    assert_int_not_equal(fake_wire[fake_wire_n - 1].serial, serial);
    assert_int_equal(send_shard(&sent, 0), DROP_DUPLICATE);
    assert_int_equal(flush(), 0);
    mono_now = mono_add(mono_now, 20 * US_PER_MS);
    assert_int_equal(send_shard(&sent, 0), DROP_DUPLICATE);
    assert_int_equal(flush(), 1);
    assert_int_equal(effects.n_ops, 0);
    receipt = last_receipt(0);
    assert_true(parcel_receipt_is_authentic(&receipt, sent.receipt_key));
    assert_int_not_equal(fake_wire[0].serial, fake_wire[1].serial); /* another way this time */
}

static void test_store_error_is_silence(void **state) {
    (void)state;
    struct sent sent;
    seal(&sent, 1, 1, 2, 5);
    send_all(&sent);
    give((struct store_result){.error = -EIO});
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_int_equal(flush(), 0);
    send_all(&sent); /* sent again: stored again */
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    give((struct store_result){.in_outcome = STORE_IN_DUPLICATE});
    assert_int_equal(flush(), 1);
    assert_int_equal(inbox_waiting(inbox), 2);
}

static void test_partial_receipts(void **state) {
    (void)state;
    struct sent sent;
    seal(&sent, 1, 1, 1, 20000);
    assert_true(sent.k > 20);
    for (unsigned i = 1; i < 8; i++)
        send_shard(&sent, i);
    assert_int_equal(flush(), 0);
    send_shard(&sent, 8);
    assert_int_equal(flush(), 1); /* eight are there */
    struct parcel_receipt receipt = last_receipt(0);
    assert_int_equal(receipt.status, PARCEL_PARTIAL);
    assert_int_equal(receipt.bitmap[0], 0xfe);
    assert_int_equal(receipt.bitmap[1], 0x01);
    assert_int_equal(receipt.n_paths, 1);
    assert_int_equal(receipt.paths[0].highest, 7);
    assert_int_equal(receipt.paths[0].count, 8);
    assert_true(parcel_receipt_is_authentic(&receipt, sent.partial_key));
    assert_int_equal(send_shard(&sent, 3), DROP_DUPLICATE);
    assert_int_equal(flush(), 1); /* somebody asks */
    unsigned quiet = 0;
    struct mono begun = mono_now;
    while (inbox_next(inbox).us < mono_add(mono_now, 5 * US_PER_S).us) {
        mono_now = inbox_next(inbox);
        if (quiet == 0)
            assert_int_equal(mono_now.us - begun.us, 20 * US_PER_MS);
        inbox_tick(inbox, fake_now());
        quiet += (unsigned)flush();
    }
    assert_int_equal(quiet, 5);
    for (unsigned i = 0; i < sent.k; i++)
        send_shard(&sent, i);
    assert_int_equal(effects.n_ops, 1);
    assert_memory_equal(effects.ops[0].op.in_put.bytes, body, 20000);
    assert_int_equal(send_shard(&sent, 0), DROP_DUPLICATE); /* while it is being stored */
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_int_equal(flush(), 1);
    receipt = last_receipt(0);
    assert_int_equal(receipt.status, PARCEL_COMPLETE);
}

/* ---- Data and parity ---- */

/* Any k of k + m, in any order; what comes later is surplus and asks for nothing. */
static void test_any_k_shards(void **state) {
    (void)state;
    static const struct {
        unsigned k, m;
    } cuts[] = {{1, 3}, {2, 1}, {5, 4}, {0, 6}, {64, 64}, {127, 1}, {128, 0}};
    for (unsigned round = 0; round < 10 * sizeof cuts / sizeof *cuts; round++) {
        static struct sent sent;
        unsigned m = cuts[round / 10].m;
        uint32_t size = cuts[round / 10].k == 1 ? 5 : 900 + (uint32_t)fake_below(300);
        uint8_t order[SHARD_COUNT_MAX];
        seal_shards(&sent, 1, round + 1, 1, size, cuts[round / 10].k, m);
        for (unsigned i = 0; i < sent.k + m; i++)
            order[i] = (uint8_t)i;
        for (unsigned i = sent.k + m; i > 1; i--) {
            unsigned j = (unsigned)fake_below(i);
            uint8_t swap = order[i - 1];
            order[i - 1] = order[j];
            order[j] = swap;
        }
        for (unsigned i = 0; i < sent.k; i++) {
            assert_int_equal(effects.n_ops, 0);
            assert_int_equal(send_shard(&sent, order[i]), DROP_NONE);
        }
        assert_int_equal(effects.n_ops, 1);
        assert_int_equal(effects.ops[0].op.in_put.length, size);
        assert_memory_equal(effects.ops[0].op.in_put.bytes, body, size);
        flush();
        if (m > 1)
            assert_int_equal(send_shard(&sent, order[sent.k]), DROP_DUPLICATE); /* while stored */
        give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
        assert_int_equal(flush(), 1);
        struct parcel_receipt receipt = last_receipt(0);
        assert_int_equal(receipt.status, PARCEL_COMPLETE);
        assert_true(parcel_receipt_is_authentic(&receipt, sent.receipt_key));
        for (unsigned i = 0; i < m; i++)
            assert_int_equal(send_shard(&sent, order[sent.k + i]), DROP_DUPLICATE);
        assert_int_equal(flush(), m > 1); /* that which came again may ask for its receipt */
        assert_int_equal(budget.used, 0);
    }
}

/* One shard too few, and the one that was sent instead: nothing is opened. */
static void test_spoiled_shard(void **state) {
    (void)state;
    struct sent sent;
    for (unsigned spoiled = 0; spoiled < 4; spoiled++) {
        seal_shards(&sent, 1, 1, 1, 1200, 3, 2);
        sent.shards[spoiled * sent.length + fake_below(sent.length)] ^= 1;
        assert_int_equal(send_shard(&sent, spoiled), DROP_NONE);
        assert_int_equal(send_shard(&sent, (spoiled + 1) % 4), DROP_NONE);
        assert_int_equal(send_shard(&sent, 4), DROP_AUTH);
        assert_int_equal(effects.n_ops, 0);
        assert_int_equal(flush(), 0);
        assert_int_equal(budget.used, 0);
    }
}

static void test_shards_disagree(void **state) {
    (void)state;
    struct sent sent, other;
    seal_shards(&sent, 1, 1, 1, 1200, 3, 2);
    other = sent;
    assert_int_equal(send_shard(&sent, 0), DROP_NONE);
    size_t held = budget.used;
    other.k++;
    assert_int_equal(send_shard(&other, 1), DROP_MALFORMED);
    other.k--;
    other.m--;
    assert_int_equal(send_shard(&other, 1), DROP_MALFORMED);
    other.m++;
    other.length--;
    assert_int_equal(send_shard(&other, 1), DROP_MALFORMED);
    assert_int_equal(send_shard(&sent, 0), DROP_DUPLICATE);
    assert_int_equal(budget.used, held);
    assert_true(held >= sent.length && held < sent.length + 1024); /* what came, no more */
    assert_int_equal(send_shard(&sent, 4), DROP_NONE);
    assert_int_equal(send_shard(&sent, 2), DROP_NONE);
    assert_int_equal(effects.n_ops, 1);
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
}

/* Surplus gets one receipt in 20 ms over the path that there is; what comes again, another path. */
static void test_surplus_and_resent(void **state) {
    (void)state;
    struct sent sent;
    seal_shards(&sent, 1, 1, 1, 1200, 3, 5);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(send_shard(&sent, i), DROP_NONE);
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_int_equal(flush(), 1);
    uint64_t serial = fake_wire[fake_wire_n - 1].serial;
    for (unsigned i = 3; i < 8; i++) {
        mono_now = mono_add(mono_now, 20 * US_PER_MS);
        assert_int_equal(send_shard(&sent, i), DROP_DUPLICATE);
        assert_int_equal(flush(), 1);
        assert_int_equal(fake_wire[fake_wire_n - 1].serial, serial);
        mono_now = mono_add(mono_now, 20 * US_PER_MS - 1);
        assert_int_equal(send_shard(&sent, i), DROP_DUPLICATE);
        assert_int_equal(flush(), 1);
        assert_true(fake_wire[fake_wire_n - 1].serial != serial);
        serial = fake_wire[fake_wire_n - 1].serial;
        assert_int_equal(send_shard(&sent, i), DROP_DUPLICATE);
        assert_int_equal(flush(), 0);
    }
    mono_now = mono_add(mono_now, 20 * US_PER_MS);
    assert_int_equal(send_shard(&sent, 7), DROP_DUPLICATE);
    assert_int_equal(flush(), 1);
    assert_int_not_equal(fake_wire[fake_wire_n - 1].serial, serial);
}

/* Surplus that comes when the shortest time-out is over was sent for want of a receipt: another
 * path, apart from the first one. */
static void test_late_surplus_is_a_question(void **state) {
    (void)state;
    struct sent sent;
    seal_shards(&sent, 1, 1, 1, 1200, 3, 5);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(send_shard(&sent, i), DROP_NONE);
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_int_equal(flush(), 1);
    assert_int_equal(fake_n_silent, 0);
    uint64_t serial = fake_wire[fake_wire_n - 1].serial;
    mono_now = mono_add(mono_now, 50 * US_PER_MS);
    assert_int_equal(send_shard(&sent, 3), DROP_DUPLICATE);
    assert_int_equal(flush(), 1);
    assert_int_not_equal(fake_wire[fake_wire_n - 1].serial, serial);
    assert_int_equal(fake_n_silent, 3); /* the relays of the first */
}

/* Its sender asked twice before the disk had it: two receipts, the second apart from the first. */
static void test_asked_twice_answers_twice(void **state) {
    (void)state;
    struct sent sent;
    seal(&sent, 1, 7, 1, 5);
    assert_int_equal(send_shard(&sent, 0), DROP_NONE);
    assert_int_equal(send_shard(&sent, 0), DROP_DUPLICATE);
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    flush();
    assert_int_equal(fake_wire_n, 2);
    assert_int_not_equal(fake_wire[0].serial, fake_wire[1].serial);
    assert_int_equal(fake_n_silent, 3);
    struct parcel_receipt receipt = last_receipt(0);
    assert_true(parcel_receipt_is_authentic(&receipt, sent.receipt_key));
}

/* The partial receipt of an unfinished parcel was lost if a shard comes again that was there: the
 * next goes apart from it. */
static void test_partial_goes_another_way(void **state) {
    (void)state;
    struct sent sent;
    seal_shards(&sent, 1, 1, 1, 1200, 3, 5);
    assert_int_equal(send_shard(&sent, 0), DROP_NONE);
    mono_now = mono_add(mono_now, 20 * US_PER_MS);
    inbox_tick(inbox, fake_now());
    assert_int_equal(flush(), 1);
    uint64_t serial = fake_wire[fake_wire_n - 1].serial;
    mono_now = mono_add(mono_now, 50 * US_PER_MS);
    assert_int_equal(send_shard(&sent, 0), DROP_DUPLICATE);
    assert_int_equal(flush(), 1);
    assert_int_not_equal(fake_wire[fake_wire_n - 1].serial, serial);
    assert_int_equal(fake_n_silent, 3);
}

static const struct parcel_path *find_path(const struct parcel_receipt *receipt, uint32_t path) {
    for (unsigned i = 0; i < receipt->n_paths; i++)
        if (receipt->paths[i].path == path)
            return &receipt->paths[i];
    return NULL;
}
static enum drop send_over(struct sent *sent, unsigned index, uint32_t path, uint16_t packet) {
    sent->path = path;
    sent->packet = packet;
    return send_shard(sent, index);
}

/* When the highest packet of each path arrived, not the last one, and of nine paths the one that
 * was silent longest is left out. */
static void test_arrivals(void **state) {
    (void)state;
    static struct sent sent;
    seal_shards(&sent, 1, 1, 1, 20000, 100, 28);
    struct mono begun = mono_now;
    assert_int_equal(send_over(&sent, 0, 50, 0), DROP_NONE); /* packet 0 counts too */
    mono_now = mono_add(begun, 1000);
    assert_int_equal(send_over(&sent, 1, 51, 7), DROP_NONE);
    mono_now = mono_add(begun, 2500);
    assert_int_equal(send_over(&sent, 2, 51, 6), DROP_NONE); /* overtaken */
    mono_now = mono_add(begun, 4000);
    assert_int_equal(send_over(&sent, 127, 52, 9), DROP_NONE);
    mono_now = mono_add(begun, 4500);
    assert_int_equal(send_over(&sent, 127, 52, 10), DROP_DUPLICATE);
    assert_int_equal(flush(), 1);
    struct parcel_receipt receipt = last_receipt(0);
    assert_true(parcel_receipt_is_authentic(&receipt, sent.partial_key));
    assert_int_equal(receipt.k, 100);
    assert_int_equal(receipt.m, 28);
    assert_int_equal(receipt.bitmap[0], 7);
    assert_int_equal(receipt.bitmap[15], 0x80);
    assert_int_equal(receipt.n_paths, 3);
    const struct parcel_path *first = find_path(&receipt, 50), *second = find_path(&receipt, 51),
                             *third = find_path(&receipt, 52);
    assert_int_equal(first->count, 1);
    assert_int_equal(second->highest, 7);
    assert_int_equal(second->count, 2);
    assert_int_equal((uint32_t)(second->arrived - first->arrived), 1000);
    assert_int_equal(third->highest, 10);
    assert_int_equal(third->count, 2);
    assert_int_equal((uint32_t)(third->arrived - first->arrived), 4500);
    assert_int_not_equal(first->arrived, (uint32_t)begun.us); /* our uptime is not told */
    for (unsigned i = 0; i < 5; i++)
        send_over(&sent, 10 + i, 60 + i, 1);
    send_over(&sent, 20, 50, 1); /* the first is heard again: now 51 is the oldest of eight */
    send_over(&sent, 21, 99, 1);
    send_over(&sent, 21, 99, 1);
    flush();
    receipt = last_receipt(0);
    assert_int_equal(receipt.n_paths, PARCEL_RECEIPT_PATHS_MAX);
    assert_null(find_path(&receipt, 51));
    assert_int_equal(find_path(&receipt, 50)->count, 2);
    assert_int_equal(find_path(&receipt, 99)->count, 2);
}

static void test_arrivals_wrap(void **state) {
    (void)state;
    struct sent sent;
    seal(&sent, 1, 1, 1, 20000);
    send_over(&sent, 0, 1, 0);
    mono_now = mono_add(mono_now, INT64_C(1) << 32);
    wall_skew_us -= INT64_C(1) << 32; /* within the epoch */
    send_over(&sent, 1, 2, 0);
    send_over(&sent, 1, 2, 0);
    flush();
    struct parcel_receipt receipt = last_receipt(0);
    assert_int_equal(find_path(&receipt, 1)->arrived, find_path(&receipt, 2)->arrived);
}

static void test_padding(void **state) {
    (void)state;
    static uint8_t plain[2000];
    struct parcel_item item = {
        .expires_ms = UINT64_MAX, .kind = KIND_MESSAGE, .total = 10, .length = 10, .bytes = body};
    for (unsigned dirty = 0; dirty < 2; dirty++) {
        struct sent sent;
        struct wire_writer writer = wire_writer(plain, sizeof plain);
        parcel_put_head(&writer, &fake_identities[1].id);
        parcel_put_item(&writer, &item);
        memset(writer.at, 0, wire_room(&writer));
        plain[1499] = (uint8_t)dirty;
        seal_plain(&sent, 1, plain, 1500);
        send_all(&sent);
        assert_int_equal(effects.n_ops, !dirty);
        if (!dirty)
            give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
        assert_int_equal(flush(), 1);
        struct parcel_receipt receipt = last_receipt(0);
        assert_int_equal(receipt.status, dirty ? PARCEL_REFUSED : PARCEL_COMPLETE);
        assert_int_equal(receipt.reason, dirty ? PARCEL_REASON_MALFORMED : PARCEL_WHOLE);
    }
}

/* The head alone, and the head and zeros: there is nothing in it to store, and it is not held for
 * ever. */
static void test_padding_alone(void **state) {
    (void)state;
    static uint8_t plain[2000];
    static const size_t lengths[] = {PARCEL_HEAD_LEN, PARCEL_HEAD_LEN + 1, 700, 2000};
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct sent sent;
        struct wire_writer writer = wire_writer(plain, sizeof plain);
        parcel_put_head(&writer, &fake_identities[1].id);
        memset(writer.at, 0, wire_room(&writer));
        seal_plain(&sent, 1, plain, lengths[i]);
        send_all(&sent);
        assert_int_equal(effects.n_ops, 0);
        assert_int_equal(budget.used, 0);
        assert_int_equal(flush(), 1);
        struct parcel_receipt receipt = last_receipt(0);
        assert_int_equal(receipt.status, PARCEL_REFUSED);
        assert_int_equal(receipt.reason, PARCEL_REASON_MALFORMED);
        assert_true(parcel_receipt_is_authentic(&receipt, sent.receipt_key));
    }
}

/* Given up by its sender longer ago than a tombstone stands: answered as one that is here, and not
 * stored. */
static void test_what_is_over_is_not_stored(void **state) {
    (void)state;
    static uint8_t plain[2000];
    for (unsigned i = 0; i < 4; i++) { /* both, the second, the first, none */
        struct sent sent;
        struct wire_writer writer = wire_writer(plain, sizeof plain);
        parcel_put_head(&writer, &fake_identities[1].id);
        for (unsigned k = 0; k < 2; k++) {
            int64_t ago = US_PER_HOUR - (i >> k & 1 ? US_PER_MS : 0);
            struct parcel_item item = {.kind = KIND_MESSAGE,
                                       .id = {{(uint8_t)i, (uint8_t)k}},
                                       .expires_ms =
                                           (uint64_t)wall_ms((struct wall){wall_now().us - ago}),
                                       .total = 10,
                                       .length = 10,
                                       .bytes = body};
            parcel_put_item(&writer, &item);
        }
        seal_plain(&sent, 1, plain, wire_length(&writer));
        send_all(&sent);
        unsigned expected = (i & 1) + (i >> 1);
        assert_int_equal(effects.n_ops, expected);
        for (; expected > 0; expected--) {
            assert_int_equal(flush(), 0);
            give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
        }
        assert_int_equal(flush(), 1);
        assert_int_equal(last_receipt(0).status, PARCEL_COMPLETE);
        assert_int_equal(budget.used, 0);
    }
}

static void test_receipts_share_an_onion(void **state) {
    (void)state;
    static struct sent sent[30];
    for (unsigned i = 0; i < 30; i++) {
        seal(&sent[i], 1, i + 1, 1, 5);
        send_all(&sent[i]);
        give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    }
    /* 24 of 34 bytes fit behind the kind byte, the rest go in a second one. */
    assert_int_equal(flush(), 1);
    assert_int_equal(fake_wire_n, 2);
    assert_int_equal(fake_wire[0].length, 1 + 24 * PARCEL_RECEIPT_FINAL_LEN);
    struct parcel_receipt receipt = last_receipt(5);
    assert_memory_equal(&receipt.id, &sent[29].id, sizeof receipt.id);
    assert_int_equal(fake_wire[0].serial, fake_wire[1].serial); /* a kept path */
}

static void test_refusals(void **state) {
    (void)state;
    struct sent sent;
    static uint8_t plain[PARCEL_PLAIN_MAX];
    struct parcel_item item = {.expires_ms = UINT64_MAX,
                               .kind = KIND_MESSAGE,
                               .sequence = 1,
                               .total = 100000,
                               .length = 10,
                               .bytes = body};
    for (unsigned i = 0; i < 4; i++) {
        struct wire_writer writer = wire_writer(plain, sizeof plain);
        parcel_put_head(&writer, &fake_identities[1].id);
        item.total = i == 1 ? 100001 : 100000; /* the limit, and one past it */
        parcel_put_item(&writer, &item);
        if (i == 2)
            plain[NODE_ID_LEN] = PARCEL_VERSION + 1;
        if (i == 3)
            plain[wire_length(&writer) - 11] = 11; /* length beyond the end */
        seal_plain(&sent, 1, plain, wire_length(&writer));
        send_all(&sent);
        if (i == 0) {
            give((struct store_result){.in_outcome = STORE_IN_PARTIAL});
            assert_int_equal(flush(), 1);
            assert_int_equal(last_receipt(0).reason, 0); /* not whole */
            continue;
        }
        static const uint8_t reasons[] = {0, PARCEL_REASON_TOO_LARGE, PARCEL_REASON_VERSION,
                                          PARCEL_REASON_MALFORMED};
        assert_int_equal(effects.n_ops, 0);
        assert_int_equal(flush(), 1);
        struct parcel_receipt receipt = last_receipt(0);
        assert_int_equal(receipt.status, PARCEL_REFUSED);
        assert_int_equal(receipt.reason, reasons[i]);
        assert_true(parcel_receipt_is_authentic(&receipt, sent.receipt_key));
    }
}

/* As many items as there is room for are taken; with one more it is no parcel. */
static void test_items_are_bounded(void **state) {
    (void)state;
    static struct sent sent;
    unsigned k, most = (PARCEL_UNPADDED_MAX - PARCEL_HEAD_LEN) / PARCEL_ITEM_HEADER_LEN;
    size_t each, padded;
    seal(&sent, 1, 1, most, 0);
    send_all(&sent);
    assert_int_equal(effects.n_ops, most);
    size_t all = most * (sizeof(struct store_op) + sizeof(struct store_result));
    assert_true(budget.held[BUDGET_INBOX] > all); /* what they take until they are stored */
    while (effects.n_ops > 0)
        give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_int_equal(budget.used, 0);
    assert_int_equal(flush(), 1);
    assert_int_equal(last_receipt(0).status, PARCEL_COMPLETE);
    budget.max = all; /* there is no memory for them: let go, and they come again */
    seal(&sent, 1, 1, most, 0);
    for (unsigned i = 0; i + 1 < sent.k; i++)
        assert_int_equal(send_shard(&sent, i), DROP_NONE);
    assert_int_equal(send_shard(&sent, sent.k - 1), DROP_LIMIT);
    assert_int_equal(effects.n_ops, 0);
    assert_int_equal(budget.used, 0);
    most = (PARCEL_PLAIN_MAX - PARCEL_HEAD_LEN) / PARCEL_ITEM_HEADER_LEN;
    assert_true(most < PARCEL_ITEMS_MAX);
    assert_int_not_equal(
        parcel_cut(PARCEL_HEAD_LEN + (most + 1) * PARCEL_ITEM_HEADER_LEN, 0, &k, &each, &padded),
        0);
}

/* ---- What it costs ---- */

/* A shard that says it is of `from`, and is not. */
static enum drop send_guess(unsigned from) {
    struct sent sent;
    uint8_t payload[ONION_PAYLOAD_MAX], key[32] = {0};
    seal(&sent, from, 1, 1, 5);
    struct parcel_shard shard = {.id = sent.id,
                                 .k = 1,
                                 .length = (uint16_t)sent.length,
                                 .sender = fake_entries[from].prefix,
                                 .data = sent.shards};
    size_t length = parcel_shard_encode(&shard, key, payload);
    return inbox_shard(inbox, payload, length, 0, epoch_now(), fake_now());
}

/* To name somebody costs us an exchange: within the share of whoever brings it, and what was
 * computed for those who proved themselves stays. */
static void test_guesses_are_rationed(void **state) {
    (void)state;
    struct sent sent;
    share_init(&share, 30); /* three in a window */
    seal(&sent, 3, 1, 1, 5);
    assert_int_equal(send_shard(&sent, 0), DROP_NONE); /* the secret, and a new parcel */
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_int_equal(send_guess(1), DROP_AUTH);
    assert_int_equal(send_guess(1), DROP_AUTH); /* no second exchange */
    assert_int_equal(share.refused, 0);
    assert_int_equal(send_guess(2), DROP_LIMIT);
    assert_int_equal(share.refused, 1);
    assert_int_equal(send_guess(3), DROP_AUTH); /* it is known, whoever else was named */
    fake_entries[3].sequence++;                 /* and by a newer descriptor too */
    assert_int_equal(send_guess(3), DROP_AUTH);
    fake_entries[3].sequence--;
    assert_int_equal(share.refused, 1);
    mono_now.us += SHARE_WINDOW_US;
    assert_int_equal(send_guess(2), DROP_AUTH);
}

/* Whose parcels are one shard each makes us open one a packet. Those whom the user writes to go
 * on. */
static void test_parcels_are_rationed(void **state) {
    (void)state;
    struct sent sent;
    unsigned opened = 0, refused = 0;
    assert_int_equal(policy_set(policy, &fake_identities[2].id, RULE_ALLOW), 0);
    share_init(&share, 100); /* ten in a window */
    for (unsigned i = 0; i < 50; i++) {
        seal(&sent, 1, i + 1, 1, 5);
        enum drop drop = send_shard(&sent, 0);
        opened += drop == DROP_NONE;
        refused += drop == DROP_LIMIT;
    }
    assert_int_equal(opened, 9); /* and the secret */
    assert_int_equal(refused, 41);
    mono_now.us += SHARE_WINDOW_US;
    seal(&sent, 2, 1, 1, 5);
    assert_int_equal(send_shard(&sent, 0), DROP_NONE); /* proven mono_now */
    for (unsigned i = 0; i < 50; i++) {
        seal(&sent, 2, i + 2, 1, 5);
        assert_int_equal(send_shard(&sent, 0), DROP_NONE);
    }
    while (effects.n_ops > 0)
        give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
}

/* While the store is behind, what there is for it is bounded here. */
static void test_what_the_store_has_not_done_is_bounded(void **state) {
    (void)state;
    static struct sent sent, begun;
    assert_int_equal(policy_set(policy, &fake_identities[2].id, RULE_ALLOW), 0);
    seal(&begun, 3, 1, 1, 1000);
    assert_int_equal(send_shard(&begun, 0), DROP_NONE);
    for (unsigned i = 0; i < 500; i++) {
        seal(&sent, 1 + i % 2, 1, 100, 1);
        for (unsigned j = 0; j < sent.k; j++)
            send_shard(&sent, j);
        assert_true(effects.n_ops < INBOX_PUTS_MAX + 100);
    }
    assert_true(effects.n_ops >= INBOX_PUTS_MAX);
    seal(&sent, 1, 1, 1, 5);
    assert_int_equal(send_shard(&sent, 0), DROP_LIMIT);
    assert_int_equal(send_shard(&begun, 1), DROP_LIMIT); /* it would be whole */
    while (effects.n_ops > INBOX_PUTS_MAX / 4 * 3)
        give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_int_equal(send_shard(&sent, 0), DROP_LIMIT); /* a quarter is for those we know */
    seal(&sent, 2, 1, 1, 5);
    assert_int_equal(send_shard(&sent, 0), DROP_NONE);
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_int_equal(send_shard(&begun, 1), DROP_NONE);
    while (effects.n_ops > 0)
        give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
}

static unsigned answered(unsigned from, unsigned n) {
    unsigned sum = 0;
    for (unsigned i = 0; i < n; i++) {
        struct sent sent;
        seal(&sent, from, i + 1, 1, 5);
        assert_int_equal(send_shard(&sent, 0), DROP_NONE);
        give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
        sum += (unsigned)flush();
    }
    return sum;
}

/* A receipt may cost a path: to strangers, who are as many as they like, so many a second. */
static void test_paths_to_strangers_are_rationed(void **state) {
    (void)state;
    fake_once = true;
    assert_int_equal(policy_set(policy, &fake_identities[2].id, RULE_ALLOW), 0);
    assert_int_equal(answered(1, 500), 210); /* of them a share of this tenth of a second */
    assert_int_equal(answered(2, 500), 500);
    mono_now.us += US_PER_S / 2;
    assert_int_equal(answered(1, 500), 60);
    fake_once = false;
    assert_int_equal(answered(2, 1), 1);
}

static bool is_answered(unsigned from, unsigned slot) {
    struct sent sent;
    seal(&sent, from, 1, 1, 5);
    sent.slot = slot;
    assert_int_equal(send_shard(&sent, 0), DROP_NONE);
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    return flush() > 0;
}

/* Beside so many a second of as many strangers as there are, by way of one neighbour, one sends
 * ten a second, by way of another. Returns how many of his 100 are answered, and the paths that
 * took. */
static unsigned answered_beside(unsigned a_second, unsigned *ret_paths) {
    unsigned n = 0, from = 2;
    *ret_paths = 0;
    for (unsigned tenth = 0; tenth < 100; tenth++) {
        for (unsigned i = 0; i < a_second / 10; i++) {
            from = from + 1 < FAKE_NODES ? from + 1 : 2;
            is_answered(from, 1);
        }
        unsigned drawn = fake_paths_drawn;
        n += is_answered(1, 2);
        *ret_paths += fake_paths_drawn - drawn;
        mono_now.us += US_PER_S / 10;
        fake_wire_n = 0;
    }
    return n;
}

/* Who floods us by way of one neighbour leaves what comes by others its paths, and its places. */
static void test_paths_to_strangers_go_by_neighbour(void **state) {
    (void)state;
    unsigned paths;
    assert_int_equal(answered_beside(800, &paths), 100);
    assert_in_range(paths, 1, 10); /* each serves for two seconds */
    fake_once = true;              /* where each receipt takes one */
    assert_int_equal(answered_beside(800, &paths), 100);
    assert_int_equal(paths, 100);
    fake_once = false;
}

static void test_forgeries(void **state) {
    (void)state;
    struct sent sent;
    seal(&sent, 1, 1, 1, 5);
    sent.shard_key[0] ^= 1;
    assert_int_equal(send_shard(&sent, 0), DROP_AUTH);
    sent.shard_key[0] ^= 1;
    sent.from = 2; /* another known node's name on it */
    assert_int_equal(send_shard(&sent, 0), DROP_AUTH);
    sent.from = 1;
    fake_known[1] = false;
    assert_int_equal(send_shard(&sent, 0), DROP_UNKNOWN);
    fake_known[1] = true;
    fake_identities[0].epoch += 2;
    assert_int_equal(send_shard(&sent, 0), DROP_TIME);
    fake_identities[0].epoch -= 2;
    /* A parcel of somebody else's, sent as our own: what is inside names the other. */
    static uint8_t plain[PARCEL_PLAIN_MAX];
    struct wire_writer writer = wire_writer(plain, sizeof plain);
    parcel_put_head(&writer, &fake_identities[2].id);
    seal_plain(&sent, 1, plain, wire_length(&writer));
    assert_int_equal(send_shard(&sent, 0), DROP_AUTH);
    assert_int_equal(effects.n_ops, 0);
    assert_int_equal(budget.used, 0);
    assert_int_equal(inbox_shard(inbox, plain, 10, 0, epoch_now(), fake_now()), DROP_MALFORMED);
}

static void test_bounds_of_a_sender(void **state) {
    (void)state;
    static struct sent sent[INBOX_SENDER_PARCELS_MAX + 1], other;
    seal(&other, 2, 1, 1, 1000);
    assert_int_equal(send_shard(&other, 0), DROP_NONE);
    for (unsigned i = 0; i <= INBOX_SENDER_PARCELS_MAX; i++) {
        seal(&sent[i], 1, 1, 1, 1000);
        assert_int_equal(sent[i].k, 2);
        assert_int_equal(send_shard(&sent[i], 0), DROP_NONE);
    }
    /* The first went for the last; everything else stands. */
    assert_int_equal(send_shard(&sent[1], 1), DROP_NONE);
    assert_int_equal(effects.n_ops, 1);
    assert_int_equal(send_shard(&other, 1), DROP_NONE);
    assert_int_equal(effects.n_ops, 2);
    assert_int_equal(send_shard(&sent[0], 1), DROP_NONE);
    assert_int_equal(effects.n_ops, 2);
    /* By bytes: blocks of 60 KiB, of which 4 MiB hold fewer than 128. */
    size_t others = budget.used;
    for (unsigned i = 0; i < 100; i++) {
        seal(&sent[i], 3, 1, 1, 60000);
        for (unsigned j = 1; j < sent[i].k; j++)
            assert_int_equal(send_shard(&sent[i], j), DROP_NONE);
        assert_true(budget.used - others <= INBOX_SENDER_BYTES_MAX);
    }
    assert_true(budget.used - others > INBOX_SENDER_BYTES_MAX - 64 * 1024);
}

static void test_memory_bound(void **state) {
    (void)state;
    static struct sent sent[3];
    seal(&sent[0], 1, 1, 1, 60000);
    send_shard(&sent[0], 0);
    budget.max = 2 * budget.used;
    seal(&sent[1], 2, 1, 1, 60000);
    assert_int_equal(send_shard(&sent[1], 0), DROP_NONE);
    assert_int_equal(budget.evicted[BUDGET_INBOX], 0);
    seal(&sent[2], 3, 1, 1, 60000);
    assert_int_equal(send_shard(&sent[2], 0), DROP_NONE); /* the oldest went, whoever's it was */
    assert_int_equal(budget.evicted[BUDGET_INBOX], 1);
    budget.max = 1000;
    struct sent last;
    seal(&last, 1, 1, 1, 2000);
    assert_int_equal(send_shard(&last, 0), DROP_LIMIT);
}

/* Who floods us drives his own parcels out, not those of whoever sends one now and then. */
static void test_flood_evicts_its_own(void **state) {
    (void)state;
    static struct sent honest, flood[60];
    seal(&honest, 1, 1, 1, 60000);
    for (unsigned i = 1; i < honest.k; i++)
        assert_int_equal(send_shard(&honest, i), DROP_NONE);
    budget.max = 20 * budget.used;
    for (unsigned i = 0; i < 60; i++) {
        seal(&flood[i], 2 + i % 2, 1, 1, 60000);
        for (unsigned j = 1; j < flood[i].k; j++)
            assert_int_equal(send_shard(&flood[i], j), DROP_NONE);
    }
    assert_true(budget.evicted[BUDGET_INBOX] >= 40);
    assert_int_equal(send_shard(&honest, 0), DROP_NONE);
    assert_int_equal(effects.n_ops, 1);
}

/* A stranger sends blocks of 60 kB one after the other, 50 shards a second, and what is missing
 * again, while others begin so many a second and leave them. Returns how many of his become
 * whole in a minute. */
static unsigned complete_among(unsigned begun_a_second) {
    static struct sent slow, begun[FAKE_NODES];
    unsigned next = 0, n_whole = 0, from = 2;
    for (unsigned i = 2; i < FAKE_NODES; i++)
        seal(&begun[i], i, 1, 1, 60000);
    seal(&slow, 1, 1, 1, 60000);
    for (unsigned tick = 0; tick < 50 * 60; tick++) {
        mono_now.us += US_PER_S / 50;
        for (unsigned i = 0; i < begun_a_second / 50; i++) {
            from = from + 1 < FAKE_NODES ? from + 1 : 2;
            fake_fill(NULL, &begun[from].id, sizeof begun[from].id);
            send_shard(&begun[from], 0);
        }
        send_shard(&slow, next);
        next = (next + 1) % slow.k;
        if (effects.n_ops > 0) {
            give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
            n_whole++;
            seal(&slow, 1, 1, 1, 60000);
            next = 0;
        }
        flush();
        fake_wire_n = 0;
    }
    return n_whole;
}

/* Nor is what grows driven out by what is only begun: that is charged by what came of it, and goes
 * first. */
static void test_what_is_begun_drives_out_nothing(void **state) {
    (void)state;
    budget.max = 1 << 20;
    unsigned alone = complete_among(0);
    assert_true(alone > 30);
    assert_in_range(complete_among(50), alone - 1, alone);
    assert_in_range(complete_among(400), alone - 1, alone);
    inbox_renew(inbox);
}

static void test_done_memory_is_bounded(void **state) {
    (void)state;
    static struct sent first, second, other;
    seal(&first, 1, 1, 1, 1);
    seal(&second, 1, 1, 1, 1);
    for (unsigned i = 0; i < INBOX_DONE_MAX + 1; i++) {
        struct sent *sent = i == 0 ? &first : i == 1 ? &second : &other;
        if (i > 1)
            seal(&other, 1, 1, 1, 1);
        send_all(sent);
        give((struct store_result){.in_outcome = STORE_IN_DUPLICATE});
        flush();
        fake_wire_n = 0;
    }
    mono_now = mono_add(mono_now, US_PER_S);
    assert_int_equal(send_shard(&second, 0), DROP_DUPLICATE);
    assert_int_equal(effects.n_ops, 0);
    assert_int_equal(send_shard(&first, 0),
                     DROP_NONE); /* forgotten: the store finds the duplicate */
    assert_int_equal(effects.n_ops, 1);
}

static void test_local(void **state) {
    (void)state;
    struct parcel_item item = {.expires_ms = UINT64_MAX,
                               .kind = KIND_MESSAGE,
                               .sequence = 1,
                               .total = 5,
                               .length = 5,
                               .bytes = body};
    struct address address = {.port = 9};
    struct message_id id;
    int error;
    assert_int_equal(inbox_local(inbox, &item, &address, "me", wall_now()), 0);
    assert_false(inbox_local_done(inbox, &id, &error));
    assert_memory_equal(&effects.ops[0].op.in_put.sender, &fake_identities[0].id, NODE_ID_LEN);
    give((struct store_result){.error = -EIO});
    assert_true(inbox_local_done(inbox, &id, &error));
    assert_int_equal(error, -EIO);
    assert_int_equal(inbox_local(inbox, &item, &address, "me", wall_now()), 0);
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_true(inbox_local_done(inbox, &id, &error));
    assert_int_equal(error, 0);
    assert_false(inbox_local_done(inbox, &id, &error));
    assert_int_equal(inbox_waiting(inbox), 1);
}

/* ---- Pulls ---- */
static struct in_record rows[600];

static void pull(uint64_t client, struct request options) {
    options.client = client;
    options.kind = REQUEST_PULL;
    inbox_pull(inbox, &options, NULL);
}
/* Answer the oldest operation, a fetch, from rows[0..n) that are not taken (row > 0). */
static void fetch(size_t n) {
    static struct in_record found[600];
    struct store_result result = {.messages = found};
    assert_true(effects.n_ops > 0);
    const struct store_op *op = &effects.ops[0].op;
    assert_int_equal(op->kind, STORE_IN_FETCH);
    assert_int_equal(op->in_fetch.limit, INBOX_BATCH_MAX);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].row == 0 || rows[i].place <= op->in_fetch.after)
            continue;
        if (result.n_messages == op->in_fetch.limit)
            result.more = true;
        else
            found[result.n_messages++] = rows[i];
    }
    give(result);
}
static void take(void) {
    assert_int_equal(effects.ops[0].op.kind, STORE_IN_TAKE);
    for (size_t i = 0; i < effects.ops[0].op.in_take.n; i++)
        rows[effects.ops[0].op.in_take.rows[i] - 1].row = 0;
    give((struct store_result){0});
}
static void fill_rows(size_t n) {
    for (size_t i = 0; i < n; i++)
        rows[i] = (struct in_record){.row = (int64_t)i + 1,
                                     .place = (int64_t)i + 1,
                                     .sender = fake_identities[1].id,
                                     .sequence = i + 1,
                                     .body = body,
                                     .size = 1};
}
static const struct answer *last_answer(uint64_t client) {
    const struct answer *answer = fake_answer(&effects, client);
    assert_non_null(answer);
    return answer;
}

static void test_pull_batches(void **state) {
    (void)state;
    struct request options = {0};
    fill_rows(INBOX_BATCH_MAX + 1);
    pull(1, options);
    fetch(INBOX_BATCH_MAX + 1);
    assert_int_equal(last_answer(1)->messages.n, INBOX_BATCH_MAX);
    assert_false(last_answer(1)->end);
    assert_int_equal(effects.n_ops, 0); /* nothing more before it is confirmed */
    inbox_confirm(inbox, 1, NULL, 0, wall_now());
    take();
    fetch(INBOX_BATCH_MAX + 1);
    assert_int_equal(last_answer(1)->messages.n, 1);
    assert_false(last_answer(1)->end);
    inbox_confirm(inbox, 1, NULL, 0, wall_now());
    take();
    fetch(INBOX_BATCH_MAX + 1);
    assert_int_equal(last_answer(1)->messages.n, 0);
    assert_true(last_answer(1)->end);
    inbox_confirm(inbox, 1, NULL, 0, wall_now());
    assert_int_equal(last_answer(1)->code, ANSWER_USAGE);
}

static void test_leases(void **state) {
    (void)state;
    struct request options = {.pull = {.wait = true}};
    fill_rows(3);
    options.pull.max = 2;
    pull(1, options);
    options.pull.max = 0;
    pull(2, options);
    pull(3, options);
    fetch(3);
    fetch(3);
    fetch(3);
    assert_int_equal(last_answer(1)->messages.n, 2);
    assert_int_equal(last_answer(2)->messages.n, 1);
    assert_int_equal(last_answer(2)->messages.v[0].row, 3);
    assert_null(fake_answer(&effects, 3)); /* parked: all is leased */
    assert_int_equal(effects.n_ops, 0);
    inbox_client_gone(inbox, 1);
    fetch(3); /* the parked one looks again */
    assert_int_equal(last_answer(3)->messages.n, 2);
    inbox_confirm(inbox, 3, NULL, 0, wall_now());
    inbox_client_gone(inbox, 3); /* its word stands */
    take();
    inbox_confirm(inbox, 2, NULL, 0, wall_now());
    give((struct store_result){.error = -EIO});
    assert_int_equal(last_answer(2)->code, ANSWER_FAILED);
    pull(4, (struct request){0});
    fetch(3);
    assert_int_equal(last_answer(4)->messages.v[0].row, 3); /* handed out again */
}

/* A client that has read some goes: the others are for whoever waits, at once. */
static void test_confirm_of_some(void **state) {
    (void)state;
    static const int64_t some[] = {4, 2, 9};
    fill_rows(4);
    pull(1, (struct request){0});
    fetch(4);
    pull(2, (struct request){.pull = {.wait = true}});
    fetch(4);
    assert_null(fake_answer(&effects, 2));
    inbox_confirm(inbox, 1, some, 3, wall_now());
    inbox_client_gone(inbox, 1);
    assert_int_equal(effects.ops[0].op.in_take.n, 2);
    assert_int_equal(effects.ops[0].op.in_take.rows[0], 2);
    assert_int_equal(effects.ops[0].op.in_take.rows[1], 4);
    take();
    fetch(4);
    assert_int_equal(last_answer(2)->messages.n, 2);
    assert_int_equal(last_answer(2)->messages.v[0].row, 1);
    assert_int_equal(last_answer(2)->messages.v[1].row, 3);
    inbox_confirm(inbox, 2, some, 0, wall_now()); /* none of them */
    assert_int_equal(effects.ops[0].op.in_take.n, 0);
}

static void test_pull_order(void **state) {
    (void)state;
    static const int64_t order[] = {3, 4, 1, 2, 5};
    fill_rows(6);
    for (unsigned i = 0; i < 5; i++)
        rows[i].row = order[i];
    rows[5].row = 0;
    pull(1, (struct request){0});
    fetch(6);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(last_answer(1)->messages.v[i].row, order[i]);
    inbox_confirm(inbox, 1, NULL, 0, wall_now());
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(effects.ops[0].op.in_take.rows[i], i + 1);
    give((struct store_result){0});
    assert_int_equal(effects.ops[0].op.in_fetch.after, 5); /* the place, not the row */
}

static void test_pull_since(void **state) {
    (void)state;
    struct request options = {.pull = {.since = {77}, .since_message = true}};
    fake_fill(NULL, &options.pull.since_id, sizeof options.pull.since_id);
    pull(1, options);
    const struct store_op *op = &effects.ops[0].op;
    assert_int_equal(op->in_fetch.since.us, 77);
    assert_true(op->in_fetch.since_message);
    assert_memory_equal(&op->in_fetch.since_id, &options.pull.since_id, MESSAGE_ID_LEN);
    give((struct store_result){.error = -ENOENT});
    assert_int_equal(last_answer(1)->code, ANSWER_UNKNOWN);
    assert_true(last_answer(1)->end);
    pull(1, (struct request){0});
    give((struct store_result){.error = -ENOENT});
    assert_int_equal(last_answer(1)->code, ANSWER_FAILED);
}

static void test_peek(void **state) {
    (void)state;
    struct request options = {.pull = {.peek = true}};
    fill_rows(INBOX_BATCH_MAX + 44);
    pull(1, options);
    size_t seen = 0;
    while (effects.n_ops > 0) {
        fake_effects_clear(&effects);
        fetch(INBOX_BATCH_MAX + 44);
        seen += last_answer(1)->messages.n;
    }
    assert_true(last_answer(1)->end);
    assert_int_equal(seen, INBOX_BATCH_MAX + 44);
    pull(2, (struct request){0}); /* and all are still there */
    fetch(INBOX_BATCH_MAX + 44);
    assert_int_equal(last_answer(2)->messages.v[0].row, 1);
}

static void arrive(uint64_t sequence) {
    struct sent sent;
    seal(&sent, 1, sequence, 1, 1);
    send_all(&sent);
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
}

/* What comes late takes a place before what was shown: it is shown all the same, and nothing
 * twice, over as many pages as there are. */
static void test_peek_follows_late_ones(void **state) {
    (void)state;
    enum { N = INBOX_BATCH_MAX + 4 };
    size_t seen = 0;
    fill_rows(N);
    memmove(rows + 1, rows, N * sizeof *rows);
    rows[0] = (struct in_record){.row = 0};
    pull(1, (struct request){.pull = {.peek = true, .follow = true}});
    while (effects.n_ops > 0) {
        fake_effects_clear(&effects);
        fetch(N + 1);
        seen += fake_answer(&effects, 1) ? last_answer(1)->messages.n : 0;
    }
    assert_int_equal(seen, N);
    rows[0] =
        (struct in_record){.row = N + 1, .place = 0, .sender = fake_identities[1].id, .body = body};
    for (size_t i = 0; i <= N; i++)
        rows[i].place++;
    fake_effects_clear(&effects);
    arrive(1);
    seen = 0;
    while (effects.n_ops > 0) {
        fake_effects_clear(&effects);
        fetch(N + 1);
        const struct answer *answer = fake_answer(&effects, 1);
        seen += answer ? answer->messages.n : 0;
        if (answer)
            assert_int_equal(answer->messages.v[0].row, N + 1);
    }
    assert_int_equal(seen, 1);
    fake_effects_clear(&effects);
    arrive(2); /* already taken by somebody else: nothing new is shown */
    while (effects.n_ops > 0)
        fetch(N + 1);
    assert_null(fake_answer(&effects, 1));
    inbox_client_gone(inbox, 1);
}

static void test_wait_and_follow(void **state) {
    (void)state;
    struct sent sent;
    pull(1, (struct request){.pull = {.wait = true}});
    pull(2, (struct request){.pull = {.follow = true}});
    fetch(0);
    /* What arrives between a fetch and its result must not be missed. */
    seal(&sent, 1, 1, 1, 1);
    send_all(&sent);
    effects.ops[0].due = mono_now;
    struct fake_op put = effects.ops[1];
    effects.ops[1] = effects.ops[0];
    effects.ops[0] = put;
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    fetch(0);
    assert_int_equal(effects.n_ops, 2);
    fill_rows(1);
    fetch(1);
    fetch(1);
    assert_int_equal(last_answer(1)->messages.n, 1);
    assert_null(fake_answer(&effects, 2));
    inbox_confirm(inbox, 1, NULL, 0, wall_now());
    take();
    assert_int_equal(inbox_waiting(inbox), 0);
    fetch(1);
    assert_true(last_answer(1)->end); /* there was one: it is over */
    assert_int_equal(effects.n_ops, 0);
    rows[1] =
        (struct in_record){.row = 2, .place = 2, .sender = fake_identities[1].id, .body = body};
    seal(&sent, 1, 2, 1, 1);
    send_all(&sent);
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    fetch(2);
    assert_int_equal(last_answer(2)->messages.n, 1);
    inbox_confirm(inbox, 2, NULL, 0, wall_now());
    take();
    fetch(2);
    assert_false(last_answer(2)->end); /* goes on for ever */
    inbox_client_gone(inbox, 2);
}

static void test_pull_limits(void **state) {
    (void)state;
    for (uint64_t i = 0; i <= INBOX_PULLERS_MAX; i++)
        pull(100 + i, (struct request){.pull = {.wait = true}});
    assert_null(fake_answer(&effects, 100 + INBOX_PULLERS_MAX - 1));
    assert_int_equal(last_answer(100 + INBOX_PULLERS_MAX)->code, ANSWER_LIMIT);
    pull(100, (struct request){0});
    assert_int_equal(last_answer(100)->code, ANSWER_USAGE);
    give((struct store_result){.error = -EIO});
    assert_int_equal(last_answer(100)->code, ANSWER_FAILED);
    inbox_client_gone(inbox, 101); /* while its fetch is under way */
    fetch(0);
    assert_null(fake_answer(&effects, 101));
}

static void test_retention_zero_forgets(void **state) {
    (void)state;
    struct inbox_limits limits = {.message_max = 1000, .tombstone_us = US_PER_HOUR};
    inbox_configure(inbox, &limits);
    fill_rows(1);
    pull(1, (struct request){0});
    fetch(1);
    inbox_confirm(inbox, 1, NULL, 0, wall_now());
    assert_true(effects.ops[0].op.in_take.forget);
}

/* ---- Files and refusals ---- */

/* One block of a file, and perhaps a message beside it. */
static void seal_file(struct sent *sent, bool with_message) {
    static uint8_t plain[PARCEL_PLAIN_MAX];
    struct wire_writer writer = wire_writer(plain, sizeof plain);
    static const uint8_t digest[FILE_DIGEST_LEN] = {9, 9};
    struct parcel_item item = {.expires_ms = UINT64_MAX,
                               .kind = KIND_FILE,
                               .sequence = 1,
                               .sent_ms = 5000,
                               .total = UINT64_C(1) << 40, /* message_max is none of its business */
                               .offset = UINT64_C(1) << 39,
                               .length = 700,
                               .bytes = body,
                               .digest = digest,
                               .name = "a.txt",
                               .name_length = 5};
    parcel_put_head(&writer, &fake_identities[1].id);
    assert_non_null(parcel_put_item(&writer, &item));
    if (with_message) {
        item = (struct parcel_item){
            .expires_ms = UINT64_MAX, .kind = KIND_MESSAGE, .total = 1, .length = 1, .bytes = body};
        assert_non_null(parcel_put_item(&writer, &item));
    }
    seal_plain(sent, 1, plain, wire_length(&writer));
}

static void test_file_block(void **state) {
    (void)state;
    struct sent sent;
    struct inbox_limits limits = {.message_max = 100000,
                                  .messages_sender = 1,
                                  .messages_all = 2,
                                  .files_sender = 3,
                                  .files_all = 4};
    inbox_configure(inbox, &limits);
    seal_file(&sent, false);
    send_all(&sent);
    const struct store_op *op = &effects.ops[0].op;
    assert_int_equal(op->in_put.kind, KIND_FILE);
    assert_string_equal(op->in_put.file->name, "a.txt");
    assert_int_equal(op->in_put.file->digest[1], 9);
    assert_true(op->in_put.offset == UINT64_C(1) << 39 && op->in_put.total == UINT64_C(1) << 40);
    assert_int_equal(op->in_put.quota_sender, 3);
    assert_int_equal(op->in_put.quota_all, 3); /* a quarter is for those whom the user knows */
    assert_false(op->in_put.is_known);
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_int_equal(flush(), 1);
    assert_int_equal(last_receipt(0).status, PARCEL_COMPLETE);
    assert_int_equal(inbox_waiting(inbox), 0); /* nothing to pull */
    assert_int_equal(inbox_counters(inbox)->messages_received, 1);
}

static void test_file_is_alone(void **state) {
    (void)state;
    struct sent sent;
    seal_file(&sent, true);
    send_all(&sent);
    assert_int_equal(effects.n_ops, 0);
    assert_int_equal(flush(), 1);
    assert_int_equal(last_receipt(0).status, PARCEL_REFUSED);
    assert_int_equal(last_receipt(0).reason, PARCEL_REASON_MALFORMED);
}

/* Three messages in a parcel, three results: what its sender is told. */
static void test_errors_of_the_store(void **state) {
    static const struct {
        int errors[3];
        int status; /* 0: nothing is said */
        int reason;
    } cases[] = {{{0, 0, 0}, PARCEL_COMPLETE, 0},
                 {{0, -EDQUOT, 0}, PARCEL_REFUSED, PARCEL_REASON_QUOTA},
                 {{-EDQUOT, 0, -EBADMSG}, PARCEL_REFUSED, PARCEL_REASON_DAMAGED},
                 {{-EINVAL, 0, 0}, PARCEL_REFUSED, PARCEL_REASON_MALFORMED},
                 {{-EDQUOT, -EIO, -EDQUOT}, 0, 0},
                 {{-EINVAL, -EAGAIN, 0}, 0, 0},
                 {{-EIO, 0, 0}, 0, 0}};
    (void)state;
    uint64_t refused = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sent sent;
        seal(&sent, 1, 1 + 3 * i, 3, 10);
        send_all(&sent);
        for (unsigned j = 0; j < 3; j++)
            give((struct store_result){.error = cases[i].errors[j]});
        assert_int_equal(flush(), cases[i].status != 0);
        refused += cases[i].reason == PARCEL_REASON_QUOTA;
        assert_int_equal(inbox_counters(inbox)->refused_quota, refused);
        if (!cases[i].status)
            continue;
        assert_int_equal(last_receipt(0).status, cases[i].status);
        assert_int_equal(last_receipt(0).reason, cases[i].reason);
        struct parcel_receipt receipt = last_receipt(0);
        assert_true(parcel_receipt_is_authentic(&receipt, sent.receipt_key));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(int argc, char **argv) {
    fake_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(test_stored_then_receipted),
        TEST(test_store_error_is_silence),
        TEST(test_partial_receipts),
        TEST(test_any_k_shards),
        TEST(test_spoiled_shard),
        TEST(test_shards_disagree),
        TEST(test_surplus_and_resent),
        TEST(test_late_surplus_is_a_question),
        TEST(test_asked_twice_answers_twice),
        TEST(test_partial_goes_another_way),
        TEST(test_arrivals),
        TEST(test_arrivals_wrap),
        TEST(test_padding),
        TEST(test_padding_alone),
        TEST(test_what_is_over_is_not_stored),
        TEST(test_receipts_share_an_onion),
        TEST(test_refusals),
        TEST(test_items_are_bounded),
        TEST(test_guesses_are_rationed),
        TEST(test_parcels_are_rationed),
        TEST(test_what_the_store_has_not_done_is_bounded),
        TEST(test_paths_to_strangers_are_rationed),
        TEST(test_paths_to_strangers_go_by_neighbour),
        TEST(test_forgeries),
        TEST(test_bounds_of_a_sender),
        TEST(test_memory_bound),
        TEST(test_flood_evicts_its_own),
        TEST(test_what_is_begun_drives_out_nothing),
        TEST(test_done_memory_is_bounded),
        TEST(test_local),
        TEST(test_pull_batches),
        TEST(test_leases),
        TEST(test_confirm_of_some),
        TEST(test_pull_order),
        TEST(test_pull_since),
        TEST(test_peek),
        TEST(test_peek_follows_late_ones),
        TEST(test_wait_and_follow),
        TEST(test_pull_limits),
        TEST(test_retention_zero_forgets),
        TEST(test_file_block),
        TEST(test_file_is_alone),
        TEST(test_errors_of_the_store),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(fake_wire);
    return failed;
}
