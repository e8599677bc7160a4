/* link: daemon/core/wire/parcel daemon/core/wire/shard daemon/core/wire/noise */
/* The bytes of parcels, shards and receipts: there and back, at their bounds and past them, with
 * every bit flipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/wire/parcel.h"
#include "tests/unit/harness.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static struct noise_keypair keypair(void) {
    struct noise_keypair pair;
    uint8_t secret[32];
    test_bytes(secret, sizeof secret);
    assert_int_equal(noise_keypair_init(&pair, secret), 0);
    return pair;
}

static void test_sizes(void **state) {
    (void)state;
    assert_int_equal(PARCEL_SHARD_DATA_MAX, 775);
    assert_true(PARCEL_SEALED_MAX <= NOISE_MESSAGE_LEN_MAX);
    assert_true(PARCEL_RECEIPT_MAX + 1 <= ONION_PAYLOAD_MAX);
}

static void check_cut(size_t plain, unsigned wanted) {
    unsigned k;
    size_t length, padded;
    size_t whole = plain + PARCEL_OVERHEAD + SHARD_TRANSFORM_LEN;
    bool fits = wanted == 0   ? plain <= PARCEL_UNPADDED_MAX
                : wanted == 1 ? plain + PARCEL_OVERHEAD <= PARCEL_SHARD_DATA_MAX
                              : whole <= wanted * PARCEL_SHARD_DATA_MAX;
    int error = parcel_cut(plain, wanted, &k, &length, &padded);
    assert_int_equal(error, fits ? 0 : -EMSGSIZE);
    if (error)
        return;
    assert_true(length >= 1 && length <= PARCEL_SHARD_DATA_MAX && k <= SHARD_COUNT_MAX);
    assert_true(padded >= plain && padded <= PARCEL_PLAIN_MAX);
    if (wanted > 0)
        assert_int_equal(k, wanted);
    if (k == 1) {
        assert_int_equal(padded, plain);
        assert_int_equal(length, plain + PARCEL_OVERHEAD);
        return;
    }
    assert_int_equal(k * length, padded + PARCEL_OVERHEAD + SHARD_TRANSFORM_LEN);
    assert_true(length >= SHARD_LENGTH_MIN);
    assert_true(padded - plain < k || length == SHARD_LENGTH_MIN);
    if (wanted == 0) { /* as few as will do */
        assert_true(plain + PARCEL_OVERHEAD > PARCEL_SHARD_DATA_MAX);
        assert_true(k == 2 || whole > (k - 1) * PARCEL_SHARD_DATA_MAX);
    }
}

static void test_cut(void **state) {
    (void)state;
    for (size_t plain = PARCEL_HEAD_LEN; plain <= PARCEL_UNPADDED_MAX;
         plain += plain < 2000 ? 1 : 61)
        for (unsigned wanted = 0; wanted <= SHARD_COUNT_MAX; wanted++)
            check_cut(plain, wanted);
    check_cut(PARCEL_UNPADDED_MAX, 0);
    unsigned k;
    size_t length, padded;
    assert_int_equal(parcel_cut(679, 0, &k, &length, &padded), 0);
    assert_int_equal(k, 1);
    assert_int_equal(parcel_cut(680, 0, &k, &length, &padded), 0); /* 776 sealed, 808 to cut */
    assert_int_equal(k, 2);
    assert_int_equal(length, 404);
    assert_int_equal(padded, 680);
    assert_int_equal(parcel_cut(PARCEL_UNPADDED_MAX, 0, &k, &length, &padded), 0);
    assert_int_equal(k, 80);
    assert_int_equal(parcel_cut(PARCEL_UNPADDED_MAX, SHARD_COUNT_MAX, &k, &length, &padded), 0);
    assert_int_equal(parcel_cut(PARCEL_UNPADDED_MAX, SHARD_COUNT_MAX + 1, &k, &length, &padded),
                     -EMSGSIZE);
    assert_int_equal(parcel_cut(PARCEL_PLAIN_MAX + 1, 0, &k, &length, &padded), -EMSGSIZE);
    assert_int_equal(parcel_cut(SIZE_MAX, 0, &k, &length, &padded), -EMSGSIZE);
}

/* ---- Items ---- */
static enum drop read_items(const uint8_t *plain, size_t length, unsigned *ret_n) {
    struct wire_reader reader = wire_reader(plain, length);
    struct parcel_item item;
    struct node_id sender;
    enum drop drop = parcel_get_head(&reader, &sender);
    for (*ret_n = 0; drop == DROP_NONE && wire_left(&reader) > 0; *ret_n += drop == DROP_NONE)
        drop = parcel_get_item(&reader, &item);
    return drop;
}

static void test_items(void **state) {
    (void)state;
    uint8_t plain[256];
    struct node_id self = {{1}}, sender;
    struct parcel_item item = {.kind = KIND_MESSAGE,
                               .id = {{2}},
                               .sequence = 3,
                               .sent_ms = 4,
                               .expires_ms = 9,
                               .total = 100,
                               .offset = 10,
                               .length = 5,
                               .bytes = (const uint8_t *)"hello"},
                       read;
    struct wire_writer writer = wire_writer(plain, sizeof plain);
    parcel_put_head(&writer, &self);
    assert_non_null(parcel_put_item(&writer, &item));
    item.total = item.offset = 0;
    item.length = 0;
    assert_non_null(parcel_put_item(&writer, &item));
    size_t length = wire_length(&writer);
    assert_int_equal(length, PARCEL_HEAD_LEN + 2 * PARCEL_ITEM_HEADER_LEN + 5);
    struct wire_reader reader = wire_reader(plain, length);
    assert_int_equal(parcel_get_head(&reader, &sender), DROP_NONE);
    assert_memory_equal(&sender, &self, sizeof self);
    assert_int_equal(parcel_get_item(&reader, &read), DROP_NONE);
    assert_int_equal(read.sequence, 3);
    assert_int_equal(read.sent_ms, 4);
    assert_int_equal(read.expires_ms, 9);
    assert_int_equal(read.total, 100);
    assert_int_equal(read.offset, 10);
    assert_memory_equal(read.bytes, "hello", 5);
    assert_int_equal(parcel_get_item(&reader, &read), DROP_NONE);
    assert_int_equal(wire_left(&reader), 0);
    unsigned n;
    for (size_t cut = 1; cut < length; cut++) {
        bool whole = cut == PARCEL_HEAD_LEN || cut == PARCEL_HEAD_LEN + PARCEL_ITEM_HEADER_LEN + 5;
        assert_int_equal(read_items(plain, cut, &n), whole ? DROP_NONE : DROP_MALFORMED);
    }
    plain[NODE_ID_LEN] = PARCEL_VERSION + 1;
    assert_int_equal(read_items(plain, length, &n), DROP_VERSION);
}

static void test_item_bounds(void **state) {
    (void)state;
    static const struct {
        uint64_t total, offset;
        enum drop drop;
    } cases[] = {{105, 100, DROP_NONE},
                 {104, 100, DROP_MALFORMED},
                 {5, 0, DROP_NONE},
                 {4, 0, DROP_MALFORMED},
                 {5, 1, DROP_MALFORMED},
                 {3, UINT64_MAX, DROP_MALFORMED},
                 {UINT64_MAX, UINT64_MAX - 5, DROP_NONE},
                 {UINT64_MAX, UINT64_MAX - 4, DROP_MALFORMED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t plain[128];
        struct parcel_item item = {.kind = KIND_MESSAGE,
                                   .total = cases[i].total,
                                   .offset = cases[i].offset,
                                   .length = 5,
                                   .bytes = (const uint8_t *)"hello"};
        struct wire_writer writer = wire_writer(plain, sizeof plain);
        parcel_put_item(&writer, &item);
        struct wire_reader reader = wire_reader(plain, wire_length(&writer));
        assert_int_equal(parcel_get_item(&reader, &item), cases[i].drop);
    }
    uint8_t plain[128];
    struct parcel_item empty = {.kind = KIND_MESSAGE, .total = 5};
    struct wire_writer writer = wire_writer(plain, sizeof plain);
    parcel_put_item(&writer, &empty);
    struct wire_reader reader = wire_reader(plain, wire_length(&writer));
    assert_int_equal(parcel_get_item(&reader, &empty), DROP_MALFORMED);
    plain[0] = 9;
    reader = wire_reader(plain, wire_length(&writer));
    assert_int_equal(parcel_get_item(&reader, &empty), DROP_VERSION);
}

static void test_item_layout(void **state) {
    (void)state;
    uint8_t plain[256];
    static const uint8_t digest[FILE_DIGEST_LEN] = {0xd1, [31] = 0xd2};
    struct parcel_item item = {.kind = KIND_FILE,
                               .id = {{2, [15] = 5}},
                               .sequence = 0x0102030405060708,
                               .sent_ms = 0x11,
                               .expires_ms = 0x22,
                               .total = 0x3300000000,
                               .offset = 0x44,
                               .length = 2,
                               .bytes = (const uint8_t *)"xy",
                               .digest = digest,
                               .name = "ab",
                               .name_length = 2},
                       read;
    /* kind id sequence sent expires total offset length, digest name; then the bytes. */
    static const uint8_t expected[98] = {
        2,           2,           [16] = 5,    [17] = 1, 2,           3,
        4,           5,           6,           7,        8,           [32] = 0x11,
        [40] = 0x22, [44] = 0x33, [56] = 0x44, [60] = 2, [61] = 0xd1, [92] = 0xd2,
        2,           'a',         'b',         'x',      'y'};
    struct wire_writer writer = wire_writer(plain, sizeof plain);
    assert_non_null(parcel_put_item(&writer, &item));
    assert_int_equal(wire_length(&writer), sizeof expected);
    assert_memory_equal(plain, expected, sizeof expected);
    struct wire_reader reader = wire_reader(plain, sizeof expected);
    assert_int_equal(parcel_get_item(&reader, &read), DROP_NONE);
    assert_int_equal(read.kind, KIND_FILE);
    assert_int_equal(read.total, item.total);
    assert_memory_equal(read.digest, digest, sizeof digest);
    assert_int_equal(read.name_length, 2);
    assert_memory_equal(read.name, "ab", 2);
    for (size_t cut = 1; cut < sizeof expected; cut++) {
        reader = wire_reader(plain, cut);
        assert_int_equal(parcel_get_item(&reader, &read), DROP_MALFORMED);
    }
}

static void test_file_names(void **state) {
    (void)state;
    static const uint8_t digest[FILE_DIGEST_LEN];
    char name[FILE_NAME_MAX + 1];
    memset(name, 'n', sizeof name);
    for (unsigned i = 0; i < 4; i++) {
        uint8_t plain[512];
        struct parcel_item item = {.kind = KIND_FILE, .digest = digest, .name = name}, read;
        item.name_length = (uint8_t)(i == 0 ? 0 : i == 1 ? FILE_NAME_MAX + 1 : FILE_NAME_MAX);
        name[7] = i == 2 ? '\0' : 'n';
        struct wire_writer writer = wire_writer(plain, sizeof plain);
        parcel_put_item(&writer, &item);
        struct wire_reader reader = wire_reader(plain, wire_length(&writer));
        assert_int_equal(parcel_get_item(&reader, &read), i < 3 ? DROP_MALFORMED : DROP_NONE);
    }
}

static void test_padding(void **state) {
    (void)state;
    uint8_t plain[200];
    struct node_id self = {{1}};
    struct parcel_item item = {
        .kind = KIND_MESSAGE, .total = 1, .length = 1, .bytes = (const uint8_t *)"x"};
    struct wire_writer writer = wire_writer(plain, sizeof plain);
    parcel_put_head(&writer, &self);
    parcel_put_item(&writer, &item);
    size_t items = wire_length(&writer);
    memset(plain + items, 0, sizeof plain - items);
    for (size_t padding = 1; padding <= sizeof plain - items; padding++) {
        unsigned n;
        assert_int_equal(read_items(plain, items + padding, &n), DROP_NONE);
        assert_int_equal(n, 2); /* the item and the padding, all of it at once */
        if (padding == 1)
            continue;
        plain[items + padding - 1] = 1;
        assert_int_equal(read_items(plain, items + padding, &n), DROP_MALFORMED);
        plain[items + padding - 1] = 0;
    }
}

/* ---- Sealing ---- */
static void test_sealing(void **state) {
    (void)state;
    struct noise_keypair link = keypair(), routing = keypair(), other = keypair();
    struct node_id sender, recipient;
    uint8_t ephemeral[32], plain[100], opened[100], sealed[100 + PARCEL_OVERHEAD], sent_key[32],
        got_key[32];
    size_t length;
    test_bytes(&sender, sizeof sender);
    test_bytes(&recipient, sizeof recipient);
    test_bytes(ephemeral, sizeof ephemeral);
    test_bytes(plain, sizeof plain);
    memcpy(plain, &sender, sizeof sender);
    assert_int_equal(parcel_seal(&link, &recipient, routing.public, 7, ephemeral, NULL, plain, 100,
                                 sealed, sent_key),
                     100 + PARCEL_OVERHEAD);
    assert_int_equal(parcel_open(&routing, &recipient, 7, &sender, link.public, NULL, sealed,
                                 sizeof sealed, opened, &length, got_key),
                     DROP_NONE);
    assert_int_equal(length, 100);
    assert_memory_equal(opened, plain, 100);
    assert_memory_equal(sent_key, got_key, 32);
    /* Bound to epoch, recipient, the sender's key and his name. */
    assert_int_equal(parcel_open(&routing, &recipient, 8, &sender, link.public, NULL, sealed,
                                 sizeof sealed, opened, &length, got_key),
                     DROP_AUTH);
    assert_int_equal(parcel_open(&routing, &sender, 7, &sender, link.public, NULL, sealed,
                                 sizeof sealed, opened, &length, got_key),
                     DROP_AUTH);
    assert_int_equal(parcel_open(&routing, &recipient, 7, &sender, other.public, NULL, sealed,
                                 sizeof sealed, opened, &length, got_key),
                     DROP_AUTH);
    assert_int_equal(parcel_open(&routing, &recipient, 7, &recipient, link.public, NULL, sealed,
                                 sizeof sealed, opened, &length, got_key),
                     DROP_AUTH);
    assert_int_equal(parcel_open(&other, &recipient, 7, &sender, link.public, NULL, sealed,
                                 sizeof sealed, opened, &length, got_key),
                     DROP_AUTH);
    assert_int_equal(parcel_open(&routing, &recipient, 7, &sender, link.public, NULL, sealed,
                                 PARCEL_OVERHEAD + PARCEL_HEAD_LEN - 1, opened, &length, got_key),
                     DROP_MALFORMED);
    for (size_t i = 0; i < sizeof sealed; i++) {
        sealed[i] ^= 1;
        assert_int_not_equal(parcel_open(&routing, &recipient, 7, &sender, link.public, NULL,
                                         sealed, sizeof sealed, opened, &length, got_key),
                             DROP_NONE);
        sealed[i] ^= 1;
    }
    static const uint8_t zero[32];
    assert_true(
        parcel_seal(&link, &recipient, zero, 7, ephemeral, NULL, plain, 100, sealed, sent_key) < 0);
}

/* What was exchanged before is not exchanged again, and the bytes are the same. */
static void test_sealing_with_known_exchanges(void **state) {
    (void)state;
    struct noise_keypair link = keypair(), routing = keypair(), other = keypair();
    struct node_id sender, recipient;
    uint8_t ephemeral[32], plain[100], opened[100], sealed[2][100 + PARCEL_OVERHEAD], key[2][32];
    size_t length;
    struct parcel_secret secret = {0}, theirs = {0};
    test_bytes(&sender, sizeof sender);
    test_bytes(&recipient, sizeof recipient);
    test_bytes(ephemeral, sizeof ephemeral);
    test_bytes(plain, sizeof plain);
    memcpy(plain, &sender, sizeof sender);
    secret.known.has_ss = theirs.known.has_ss = true;
    assert_int_equal(crypto_scalarmult(secret.known.ss, link.secret, routing.public), 0);
    assert_int_equal(crypto_scalarmult(theirs.known.ss, routing.secret, link.public), 0);
    assert_int_equal(parcel_secret_prepare(&secret, routing.public, ephemeral), 0);
    assert_true(parcel_seal(&link, &recipient, routing.public, 7, ephemeral, NULL, plain, 100,
                            sealed[0], key[0]) > 0);
    assert_true(parcel_seal(&link, &recipient, routing.public, 7, NULL, &secret.known, plain, 100,
                            sealed[1], key[1]) > 0);
    assert_memory_equal(sealed[0], sealed[1], sizeof sealed[0]);
    assert_memory_equal(key[0], key[1], sizeof key[0]);
    assert_int_equal(parcel_open(&routing, &recipient, 7, &sender, link.public, &theirs.known,
                                 sealed[1], sizeof sealed[1], opened, &length, key[1]),
                     DROP_NONE);
    assert_memory_equal(opened, plain, 100);
    assert_memory_equal(key[0], key[1], sizeof key[0]);
    /* An ephemeral serves once. */
    parcel_secret_spend(&secret);
    assert_false(secret.known.has_es);
    assert_true(sodium_is_zero(secret.known.es, sizeof secret.known.es));
    assert_true(parcel_seal(&link, &recipient, routing.public, 7, NULL, &secret.known, plain, 100,
                            sealed[1], key[1]) < 0);
    /* With another's secret nothing opens, and nobody passes for one whose secret it is. */
    assert_int_equal(crypto_scalarmult(theirs.known.ss, routing.secret, other.public), 0);
    assert_int_equal(parcel_open(&routing, &recipient, 7, &sender, link.public, &theirs.known,
                                 sealed[0], sizeof sealed[0], opened, &length, key[1]),
                     DROP_AUTH);
    secret.known.has_ss = true;
    assert_int_equal(crypto_scalarmult(secret.known.ss, other.secret, routing.public), 0);
    assert_true(parcel_seal(&link, &recipient, routing.public, 7, ephemeral, &secret.known, plain,
                            100, sealed[0], key[0]) > 0);
    assert_int_equal(parcel_open(&routing, &recipient, 7, &sender, other.public, &theirs.known,
                                 sealed[0], sizeof sealed[0], opened, &length, key[1]),
                     DROP_AUTH); /* it opens, but names a key that is not the secret's */
    static const uint8_t zero[32];
    assert_true(parcel_secret_prepare(&secret, zero, ephemeral) < 0);
    assert_false(secret.known.has_es);
}

/* ---- Shards ---- */
static void test_shards(void **state) {
    (void)state;
    uint8_t key[32], data[PARCEL_SHARD_DATA_MAX], payload[ONION_PAYLOAD_MAX];
    test_bytes(key, sizeof key);
    test_bytes(data, sizeof data);
    struct parcel_shard shard = {.id = {{5}},
                                 .k = 3,
                                 .m = 4,
                                 .index = 6,
                                 .length = 32,
                                 .sender = 0x1122334455667788,
                                 .path = 0x99aabbcc,
                                 .packet = 0xddee,
                                 .data = data};
    struct parcel_shard read;
    size_t length = parcel_shard_encode(&shard, key, payload);
    assert_int_equal(length, 84);
    assert_int_equal(parcel_shard_decode(payload, length, &read), DROP_NONE);
    assert_true(parcel_shard_is_authentic(&read, key));
    assert_int_equal(read.sender, shard.sender);
    assert_int_equal(read.path, shard.path);
    assert_int_equal(read.packet, shard.packet);
    assert_int_equal(read.k, 3);
    assert_int_equal(read.m, 4);
    assert_int_equal(read.index, 6);
    assert_memory_equal(read.data, data, 32);
    /* Exact to the byte: kind, id, k, m, index, length, sender, path, packet. */
    static const uint8_t expected[36] = {1,    5,    [17] = 3, 4,    6,    0,    32,
                                         0x11, 0x22, 0x33,     0x44, 0x55, 0x66, 0x77,
                                         0x88, 0x99, 0xaa,     0xbb, 0xcc, 0xdd, 0xee};
    assert_memory_equal(payload, expected, sizeof expected);
    for (size_t i = 0; i < length; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            payload[i] ^= (uint8_t)(1 << bit);
            bool good = parcel_shard_decode(payload, length, &read) == DROP_NONE &&
                        parcel_shard_is_authentic(&read, key);
            assert_false(good);
            payload[i] ^= (uint8_t)(1 << bit);
        }
    for (size_t cut = 0; cut < length; cut++)
        assert_int_equal(parcel_shard_decode(payload, cut, &read), DROP_MALFORMED);
    assert_int_equal(parcel_shard_decode(payload, length + 1, &read), DROP_MALFORMED);
}

static void test_shard_bounds(void **state) {
    (void)state;
    static const struct {
        uint8_t k, m, index;
        uint16_t length;
        enum drop drop;
    } cases[] = {{1, 0, 0, 1, DROP_NONE},
                 {1, 0, 0, 775, DROP_NONE},
                 {1, 0, 1, 5, DROP_MALFORMED},
                 {1, 1, 1, 5, DROP_NONE},
                 {1, 1, 2, 5, DROP_MALFORMED},
                 {0, 0, 0, 5, DROP_MALFORMED},
                 {0, 2, 1, 5, DROP_MALFORMED},
                 {2, 0, 0, 31, DROP_MALFORMED}, /* less than the transform's own */
                 {2, 0, 0, 32, DROP_NONE},
                 {2, 0, 1, 775, DROP_NONE},
                 {2, 0, 2, 775, DROP_MALFORMED},
                 {80, 48, 127, 775, DROP_NONE},
                 {80, 49, 127, 775, DROP_MALFORMED},
                 {80, 48, 128, 775, DROP_MALFORMED},
                 {81, 0, 0, 775, DROP_MALFORMED}, /* more than a parcel */
                 {128, 0, 127, 484, DROP_NONE},
                 {128, 0, 127, 485, DROP_MALFORMED},
                 {128, 1, 0, 32, DROP_MALFORMED},
                 {1, 127, 0, 32, DROP_NONE},
                 {1, 128, 0, 32, DROP_MALFORMED},
                 {255, 255, 3, 32, DROP_MALFORMED}};
    uint8_t key[32] = {0}, data[PARCEL_SHARD_DATA_MAX] = {0}, payload[ONION_PAYLOAD_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parcel_shard shard = {.k = cases[i].k,
                                     .m = cases[i].m,
                                     .index = cases[i].index,
                                     .length = cases[i].length,
                                     .data = data},
                            read;
        size_t length = parcel_shard_encode(&shard, key, payload);
        assert_int_equal(parcel_shard_decode(payload, length, &read), cases[i].drop);
    }
    static const uint8_t none[52] = {PAYLOAD_SHARD, [17] = 1};
    struct parcel_shard read;
    assert_int_equal(parcel_shard_decode(none, sizeof none, &read), DROP_MALFORMED);
}

/* ---- Receipts ---- */
static void check_flips(uint8_t *bytes, size_t length, const uint8_t key[32]) {
    struct parcel_receipt receipt;
    for (size_t i = 0; i < length; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1 << bit);
            struct wire_reader reader = wire_reader(bytes, length);
            bool good = parcel_receipt_decode(&reader, &receipt) == DROP_NONE &&
                        wire_left(&reader) == 0 && parcel_receipt_is_authentic(&receipt, key);
            assert_false(good);
            bytes[i] ^= (uint8_t)(1 << bit);
        }
    for (size_t cut = 0; cut < length; cut++) {
        struct wire_reader reader = wire_reader(bytes, cut);
        assert_int_equal(parcel_receipt_decode(&reader, &receipt), DROP_MALFORMED);
    }
}

static void test_receipts(void **state) {
    (void)state;
    uint8_t key[32], bytes[PARCEL_RECEIPT_MAX];
    test_bytes(key, sizeof key);
    struct parcel_receipt final = {.id = {{1}},
                                   .status = PARCEL_REFUSED,
                                   .reason = PARCEL_REASON_QUOTA},
                          read;
    struct wire_writer writer = wire_writer(bytes, sizeof bytes);
    parcel_receipt_encode(&final, key, &writer);
    assert_int_equal(wire_length(&writer), PARCEL_RECEIPT_FINAL_LEN);
    check_flips(bytes, wire_length(&writer), key);
    struct parcel_receipt partial = {.id = {{2}},
                                     .status = PARCEL_PARTIAL,
                                     .k = 100,
                                     .m = SHARD_COUNT_MAX - 100,
                                     .n_paths = PARCEL_RECEIPT_PATHS_MAX};
    test_bytes(partial.bitmap, sizeof partial.bitmap);
    test_bytes(partial.paths, sizeof partial.paths);
    writer = wire_writer(bytes, sizeof bytes);
    parcel_receipt_encode(&partial, key, &writer);
    assert_false(writer.failed);
    assert_int_equal(wire_length(&writer), PARCEL_RECEIPT_MAX);
    struct wire_reader reader = wire_reader(bytes, wire_length(&writer));
    assert_int_equal(parcel_receipt_decode(&reader, &read), DROP_NONE);
    assert_true(parcel_receipt_is_authentic(&read, key));
    assert_int_equal(read.k, 100);
    assert_int_equal(read.m, 28);
    assert_memory_equal(read.bitmap, partial.bitmap, sizeof read.bitmap);
    assert_memory_equal(read.paths, partial.paths, sizeof read.paths);
    check_flips(bytes, wire_length(&writer), key);
    bytes[19]++;
    reader = wire_reader(bytes, sizeof bytes);
    assert_int_equal(parcel_receipt_decode(&reader, &read), DROP_MALFORMED);
    bytes[19]--;
    bytes[18] = 0;
    reader = wire_reader(bytes, sizeof bytes);
    assert_int_equal(parcel_receipt_decode(&reader, &read), DROP_MALFORMED);
    bytes[18] = 100;
    bytes[20 + PARCEL_BITMAP_MAX] = PARCEL_RECEIPT_PATHS_MAX + 1;
    reader = wire_reader(bytes, sizeof bytes);
    assert_int_equal(parcel_receipt_decode(&reader, &read), DROP_MALFORMED);
    assert_string_equal(parcel_reason_words(PARCEL_REASON_TOO_LARGE),
                        "too large for the recipient");
    assert_string_equal(parcel_reason_words(200), "refused");
    for (uint8_t a = 0; a <= PARCEL_REASON_DAMAGED; a++) /* each has words of its own */
        for (uint8_t b = 0; b < a; b++)
            assert_string_not_equal(parcel_reason_words(a), parcel_reason_words(b));
}

static void test_receipt_layout(void **state) {
    (void)state;
    uint8_t bytes[PARCEL_RECEIPT_MAX], key[32] = {7}, mac[PARCEL_MAC_LEN];
    struct parcel_receipt partial = {.id = {{9, [15] = 8}},
                                     .status = PARCEL_PARTIAL,
                                     .k = 6,
                                     .m = 3,
                                     .bitmap = {0xa5, 0x01},
                                     .n_paths = 1,
                                     .paths = {{0x11223344, 0x5566, 0x7788, 0x99aabbcc}}};
    /* id status reason k m bitmap n (path highest count arrived) */
    static const uint8_t expected[35] = {9,    [15] = 8, 2,    0,    6,    3,    0xa5,
                                         0x01, 1,        0x11, 0x22, 0x33, 0x44, 0x55,
                                         0x66, 0x77,     0x88, 0x99, 0xaa, 0xbb, 0xcc};
    struct wire_writer writer = wire_writer(bytes, sizeof bytes);
    parcel_receipt_encode(&partial, key, &writer);
    assert_int_equal(wire_length(&writer), sizeof expected + PARCEL_MAC_LEN);
    assert_memory_equal(bytes, expected, sizeof expected);
    crypto_generichash(mac, sizeof mac, expected, sizeof expected, key, sizeof key);
    assert_memory_equal(bytes + sizeof expected, mac, sizeof mac);
}

/* ---- Shared secrets ---- */
static void test_both_sides_derive_the_same(void **state) {
    (void)state;
    struct noise_keypair link = keypair(), routing = keypair();
    struct node_id sender = {{1}}, recipient = {{2}};
    struct parcel_keys *ours = parcel_keys_new(4, &test_random),
                       *theirs = parcel_keys_new(4, &test_random);
    struct parcel_peer to = {&recipient, 1, 9, routing.public, link.secret, &sender, false, false};
    struct parcel_peer from = {&sender, 1, 9, link.public, routing.secret, &recipient, true, false};
    const struct parcel_secret *a = parcel_keys_add(ours, &to), *b = parcel_keys_add(theirs, &from);
    assert_memory_equal(a, b, sizeof *a);
    uint8_t one[32], two[32];
    parcel_receipt_key(a, &(struct parcel_id){{1}}, one);
    parcel_receipt_key(b, &(struct parcel_id){{1}}, two);
    assert_memory_equal(one, two, 32);
    struct parcel_secret before = *a;
    from.epoch = 10;
    assert_memory_not_equal(parcel_keys_add(theirs, &from)->shard_key, before.shard_key, 32);
    static const uint8_t zero[32];
    to.public_key = zero;
    assert_null(parcel_keys_add(ours, &to));
    assert_null(parcel_keys_find(ours, &recipient, 1, 9));
    parcel_keys_free(ours);
    parcel_keys_free(theirs);
}

/* A newer descriptor of the same keys takes no exchange; a secret goes from one table to another
 * whole. */
static void test_keys_are_renewed_and_moved(void **state) {
    struct noise_keypair ours = keypair(), theirs = keypair(), others = keypair();
    struct node_id peer = {{1}}, self = {{2}};
    (void)state;
    struct parcel_keys *guesses = parcel_keys_new(4, &test_random),
                       *keys = parcel_keys_new(8, &test_random);
    struct parcel_peer of = {.id = &peer,
                             .stamp = 1,
                             .epoch = 7,
                             .public_key = theirs.public,
                             .secret = ours.secret,
                             .self = &self,
                             .is_sender = true};
    assert_null(parcel_keys_renew(guesses, &of));
    const struct parcel_secret *secret = parcel_keys_add(guesses, &of);
    assert_non_null(secret);
    uint8_t shard_key[32];
    memcpy(shard_key, secret->shard_key, sizeof shard_key);
    of.stamp = 2;
    assert_null(parcel_keys_find(guesses, &peer, 2, 7));
    assert_non_null(parcel_keys_renew(guesses, &of));
    assert_non_null(parcel_keys_find(guesses, &peer, 2, 7));
    secret = parcel_keys_move(keys, guesses, &of);
    assert_memory_equal(secret->shard_key, shard_key, sizeof shard_key);
    assert_null(parcel_keys_find(guesses, &peer, 2, 7));
    assert_ptr_equal(parcel_keys_find(keys, &peer, 2, 7), secret);
    of.stamp = 3;
    of.public_key = others.public; /* another key: that would be another exchange */
    assert_null(parcel_keys_renew(keys, &of));
    of.epoch = 8;
    assert_null(parcel_keys_renew(keys, &of));
    parcel_keys_free(guesses);
    parcel_keys_free(keys);
}

static void test_key_table(void **state) {
    (void)state;
    struct noise_keypair link = keypair(), routing = keypair(), newer = keypair();
    struct node_id self = {{1}}, peers[6] = {0};
    struct parcel_keys *keys = parcel_keys_new(4, &test_random);
    for (uint8_t i = 0; i < 6; i++) {
        peers[i].bytes[31] = i;
        struct parcel_peer peer = {&peers[i],   1,     9,     routing.public,
                                   link.secret, &self, false, false};
        if (i == 4)
            assert_non_null(
                parcel_keys_find(keys, &peers[0], 1, 9)); /* used: stays, the next oldest goes */
        if (i < 5)
            assert_non_null(parcel_keys_add(keys, &peer));
    }
    assert_non_null(parcel_keys_find(keys, &peers[0], 1, 9));
    assert_null(parcel_keys_find(keys, &peers[1], 1, 9));
    assert_non_null(parcel_keys_find(keys, &peers[2], 1, 9));
    assert_null(parcel_keys_find(keys, &peers[2], 2, 9)); /* a newer descriptor: look at its key */
    struct parcel_peer peer = {&peers[2], 2, 9, newer.public, link.secret, &self, false, false};
    struct parcel_secret before = *parcel_keys_find(keys, &peers[2], 1, 9);
    assert_memory_not_equal(parcel_keys_add(keys, &peer), &before, sizeof before);
    assert_null(parcel_keys_find(keys, &peers[2], 1, 9));
    assert_int_equal(parcel_keys_expire(keys, 9), 4);
    peer.epoch = 10;
    assert_non_null(parcel_keys_add(keys, &peer));
    assert_int_equal(parcel_keys_expire(keys, 10), 1);
    assert_null(parcel_keys_find(keys, &peers[0], 1, 9));
    assert_int_equal(parcel_keys_expire(keys, 11), 0);
    parcel_keys_free(keys);
}

/* Strangers drive out each other, whoever was used last; only known nodes drive out known ones. */
static void test_known_ones_keep_their_place(void **state) {
    (void)state;
    struct noise_keypair link = keypair(), routing = keypair();
    struct node_id self = {{1}}, peers[20] = {0};
    struct parcel_keys *keys = parcel_keys_new(4, &test_random);
    struct parcel_peer peer = {NULL, 1, 9, routing.public, link.secret, &self, true, true};
    for (uint8_t i = 0; i < 20; i++) {
        peers[i].bytes[31] = i;
        peer.id = &peers[i];
        peer.is_known = i < 2 || i > 16;
        assert_non_null(parcel_keys_add(keys, &peer));
    }
    assert_null(parcel_keys_find(keys, &peers[0], 1, 9)); /* for the fifth known one */
    assert_non_null(parcel_keys_find(keys, &peers[1], 1, 9));
    for (uint8_t i = 2; i < 17; i++)
        assert_null(parcel_keys_find(keys, &peers[i], 1, 9));
    parcel_keys_free(keys);
}

int main(int argc, char **argv) {
    if (sodium_init() < 0)
        return 1;
    if (!test_begin(argc, argv))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_items),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_item_layout),
        cmocka_unit_test(test_file_names),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_receipt_layout),
        cmocka_unit_test(test_item_bounds),
        cmocka_unit_test(test_sealing_with_known_exchanges),
        cmocka_unit_test(test_sealing),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_shard_bounds),
        cmocka_unit_test(test_receipts),
        cmocka_unit_test(test_both_sides_derive_the_same),
        cmocka_unit_test(test_key_table),
        cmocka_unit_test(test_known_ones_keep_their_place),
        cmocka_unit_test(test_keys_are_renewed_and_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
