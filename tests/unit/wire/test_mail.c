/* link: daemon/core/wire/mail daemon/core/wire/shard daemon/core/wire/noise */
/* The formats of mail: what was put in comes out, nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/wire/mail.h"
#include "tests/unit/harness.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#define DAY 20000u

static struct noise_keypair keypair(void) {
    struct noise_keypair pair;
    uint8_t secret[32];
    test_bytes(secret, sizeof secret);
    assert_int_equal(noise_keypair_init(&pair, secret), 0);
    return pair;
}

/* ---- Sealing ---- */

static void test_mail_round_trip(void **state) {
    (void)state;
    static uint8_t plain[MAIL_PLAIN_MAX + 1], blob[MAIL_BLOB_MAX + 1], opened[MAIL_PLAIN_MAX];
    struct noise_keypair link = keypair(), key = keypair();
    struct node_id recipient, other;
    uint8_t ephemeral[32], proven[KEY_LEN];
    size_t length;

    test_bytes(plain, sizeof plain);
    test_bytes(&recipient, sizeof recipient);
    test_bytes(&other, sizeof other);
    test_bytes(ephemeral, sizeof ephemeral);
    assert_int_equal(
        mail_seal(&link, &recipient, key.public, DAY, ephemeral, plain, sizeof plain, blob),
        -EINVAL);
    assert_int_equal(
        mail_seal(&link, &recipient, key.public, DAY, ephemeral, plain, MAIL_PLAIN_MAX, blob),
        MAIL_BLOB_MAX);
    assert_int_equal(mail_day(blob, MAIL_BLOB_MAX), DAY);
    assert_int_equal(mail_day(blob, 3), 0);
    assert_int_equal(mail_open(&key, &recipient, blob, MAIL_BLOB_MAX, opened, &length, proven),
                     DROP_NONE);
    assert_int_equal(length, MAIL_PLAIN_MAX);
    assert_memory_equal(opened, plain, length);
    assert_memory_equal(proven, link.public, KEY_LEN);
    assert_int_equal(mail_open(&key, &other, blob, MAIL_BLOB_MAX, opened, &length, proven),
                     DROP_AUTH);
    assert_int_equal(mail_open(&link, &recipient, blob, MAIL_BLOB_MAX, opened, &length, proven),
                     DROP_AUTH);
    assert_int_equal(mail_open(&key, &recipient, blob, MAIL_BLOB_MAX + 1, opened, &length, proven),
                     DROP_MALFORMED);
    assert_int_equal(mail_open(&key, &recipient, blob, MAIL_BLOB_MIN - 1, opened, &length, proven),
                     DROP_MALFORMED);
    blob[3] ^= 1; /* the day is under the seal */
    assert_int_equal(mail_open(&key, &recipient, blob, MAIL_BLOB_MAX, opened, &length, proven),
                     DROP_AUTH);
}

static void test_head_round_trip(void **state) {
    (void)state;
    uint8_t bytes[2 * DESCRIPTOR_MAX], descriptor[DESCRIPTOR_MAX + 1];
    struct mail_head head = {.descriptor = descriptor, .descriptor_length = DESCRIPTOR_MAX}, got;
    test_bytes(&head.sender, sizeof head.sender);
    test_bytes(descriptor, sizeof descriptor);
    for (unsigned more = 0; more < 2; more++) { /* at the bound, and one past it */
        struct wire_writer writer = wire_writer(bytes, sizeof bytes);
        head.descriptor_length += more;
        mail_put_head(&writer, &head);
        struct wire_reader reader = wire_reader(bytes, wire_length(&writer));
        assert_int_equal(mail_get_head(&reader, &got), more ? DROP_MALFORMED : DROP_NONE);
        reader = wire_reader(bytes, wire_length(&writer) - 1);
        assert_int_equal(mail_get_head(&reader, &got), DROP_MALFORMED);
        if (more)
            continue;
        reader = wire_reader(bytes, wire_length(&writer));
        mail_get_head(&reader, &got);
        assert_memory_equal(&got.sender, &head.sender, NODE_ID_LEN);
        assert_memory_equal(got.descriptor, descriptor, DESCRIPTOR_MAX);
        bytes[NODE_ID_LEN] = MAIL_VERSION + 1;
        reader = wire_reader(bytes, wire_length(&writer));
        assert_int_equal(mail_get_head(&reader, &got), DROP_VERSION);
    }
}

/* ---- Deposits ---- */

static uint8_t content[MAIL_DEPOSIT_MAX + 64], blob_bytes[MAIL_BLOB_MAX + 1],
    descriptor_bytes[DESCRIPTOR_MAX + 1];
static uint8_t replies[MAIL_REPLIES_MAX + 1][ONION_LEN];

static struct mail_deposit full_deposit(void) {
    struct mail_deposit deposit = {.expires_ms = 12345678,
                                   .n_replies = MAIL_REPLIES_MAX,
                                   .descriptor = descriptor_bytes,
                                   .descriptor_length = DESCRIPTOR_MAX,
                                   .blob = blob_bytes,
                                   .blob_length = MAIL_BLOB_MAX};
    test_bytes(&deposit.recipient, sizeof deposit.recipient);
    test_bytes(blob_bytes, sizeof blob_bytes);
    test_bytes(descriptor_bytes, sizeof descriptor_bytes);
    test_bytes(replies, sizeof replies);
    for (unsigned i = 0; i < MAIL_REPLIES_MAX; i++)
        deposit.replies[i] = (struct mail_reply){77 + i, replies[i]};
    return deposit;
}

static size_t encode(const struct mail_deposit *deposit) {
    struct wire_writer writer = wire_writer(content, sizeof content);
    mail_deposit_encode(deposit, &writer);
    assert_false(writer.failed);
    return wire_length(&writer);
}

static void check_deposit(const struct mail_deposit *got, const struct mail_deposit *made) {
    assert_memory_equal(&got->recipient, &made->recipient, NODE_ID_LEN);
    assert_int_equal(got->expires_ms, made->expires_ms);
    assert_int_equal(got->n_replies, made->n_replies);
    for (unsigned i = 0; i < made->n_replies; i++) {
        assert_int_equal(got->replies[i].first, made->replies[i].first);
        assert_memory_equal(got->replies[i].packet, made->replies[i].packet, ONION_LEN);
    }
    assert_int_equal(got->blob_length, made->blob_length);
    assert_memory_equal(got->blob, made->blob, made->blob_length);
    assert_int_equal(got->descriptor_length, made->descriptor_length);
    assert_memory_equal(got->descriptor, made->descriptor, made->descriptor_length);
}

static void test_deposit_bounds(void **state) {
    (void)state;
    struct mail_deposit made = full_deposit(), got;
    size_t length = encode(&made);

    assert_true(length <= MAIL_DEPOSIT_MAX);
    assert_int_equal(mail_deposit_decode(content, length, &got), DROP_NONE);
    check_deposit(&got, &made);
    for (size_t cut = 0; cut < length; cut += cut < 3000 ? 1 : 997)
        assert_int_equal(mail_deposit_decode(content, cut, &got), DROP_MALFORMED);
    content[length] = 0;
    assert_int_equal(mail_deposit_decode(content, length + 1, &got), DROP_NONE);
    content[length] = 1;
    assert_int_equal(mail_deposit_decode(content, length + 1, &got), DROP_MALFORMED);
    content[0] = MAIL_DEPOSIT_VERSION + 1;
    assert_int_equal(mail_deposit_decode(content, length, &got), DROP_VERSION);
    made.blob_length = MAIL_BLOB_MIN;
    assert_int_equal(mail_deposit_decode(content, encode(&made), &got), DROP_NONE);
    made.blob_length = MAIL_BLOB_MIN - 1;
    assert_int_equal(mail_deposit_decode(content, encode(&made), &got), DROP_MALFORMED);
    made.blob_length = MAIL_BLOB_MAX + 1;
    assert_int_equal(mail_deposit_decode(content, encode(&made), &got), DROP_MALFORMED);
    made.blob_length = MAIL_BLOB_MIN;
    made.descriptor_length = DESCRIPTOR_MAX + 1;
    assert_int_equal(mail_deposit_decode(content, encode(&made), &got), DROP_MALFORMED);
    made.descriptor_length = 0;
    made.n_replies = 0;
    assert_int_equal(mail_deposit_decode(content, encode(&made), &got), DROP_NONE);
    content[1 + NODE_ID_LEN + 8] = MAIL_REPLIES_MAX + 1;
    assert_int_equal(mail_deposit_decode(content, MAIL_DEPOSIT_MAX, &got), DROP_MALFORMED);
}

static void test_any_k_shards_give_the_deposit(void **state) {
    (void)state;
    static uint8_t bytes[SHARD_COUNT_MAX * MAIL_SHARD_DATA_MAX], back[sizeof bytes];
    static const size_t lengths[] = {MAIL_BLOB_MIN, 1000, 20000, MAIL_BLOB_MAX};
    for (size_t round = 0; round < 4; round++) {
        struct mail_deposit made = full_deposit(), got;
        uint8_t key[32], index[SHARD_COUNT_MAX], payload[ONION_PAYLOAD_MAX];
        made.blob_length = lengths[round];
        size_t length = encode(&made);
        struct mail_cut cut = mail_cut(length);
        assert_in_range(cut.k, 1, MAIL_SHARDS_MAX);
        assert_true(cut.k + cut.m <= SHARD_COUNT_MAX && cut.m > 0);
        memcpy(bytes, content, length);
        test_bytes(key, sizeof key);
        mail_shards(&cut, bytes, length, key);
        /* The last k: as much parity as there is. */
        for (unsigned i = 0; i < cut.k; i++) {
            struct mail_shard shard = {.cut = cut, .index = (uint8_t)(cut.m + i)}, in;
            shard.data = bytes + (size_t)shard.index * cut.length;
            size_t n = mail_shard_encode(&shard, payload);
            assert_int_equal(mail_shard_decode(payload, n, &in), DROP_NONE);
            assert_int_equal(in.index, shard.index);
            index[i] = in.index;
            memcpy(back + (size_t)i * cut.length, in.data, cut.length);
        }
        int restored = mail_restore(&cut, index, back);
        assert_true(restored >= (int)length);
        assert_int_equal(mail_deposit_decode(back, (size_t)restored, &got), DROP_NONE);
        check_deposit(&got, &made);
    }
}

static enum drop decode_shard(unsigned k, unsigned m, unsigned index, unsigned length) {
    static uint8_t data[MAIL_SHARD_DATA_MAX + 1];
    uint8_t payload[ONION_PAYLOAD_MAX + 1] = {PAYLOAD_DEPOSIT};
    struct mail_shard shard;
    struct wire_writer writer = wire_writer(payload + 17, sizeof payload - 17);
    wire_put_uint(&writer, k, 1);
    wire_put_uint(&writer, m, 1);
    wire_put_uint(&writer, index, 1);
    wire_put_uint(&writer, length, 2);
    wire_put(&writer, data, length);
    assert_false(writer.failed);
    return mail_shard_decode(payload, 17 + wire_length(&writer), &shard);
}

static void test_shard_bounds(void **state) {
    (void)state;
    assert_int_equal(decode_shard(1, 0, 0, 100), DROP_NONE);
    assert_int_equal(decode_shard(0, 1, 0, 100), DROP_MALFORMED);
    assert_int_equal(decode_shard(MAIL_SHARDS_MAX, 0, 0, 100), DROP_NONE);
    assert_int_equal(decode_shard(MAIL_SHARDS_MAX + 1, 0, 0, 100), DROP_MALFORMED);
    assert_int_equal(decode_shard(64, 64, 127, 100), DROP_NONE);
    assert_int_equal(decode_shard(64, 65, 0, 100), DROP_MALFORMED);
    assert_int_equal(decode_shard(64, 64, 128, 100), DROP_MALFORMED);
    assert_int_equal(decode_shard(1, 1, 0, MAIL_SHARD_DATA_MAX), DROP_NONE);
    assert_int_equal(decode_shard(1, 1, 0, MAIL_SHARD_DATA_MAX + 1), DROP_MALFORMED);
    assert_int_equal(decode_shard(1, 1, 0, SHARD_TRANSFORM_LEN + 1), DROP_NONE);
    assert_int_equal(decode_shard(1, 1, 0, SHARD_TRANSFORM_LEN), DROP_MALFORMED);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail_round_trip),
        cmocka_unit_test(test_head_round_trip),
        cmocka_unit_test(test_deposit_bounds),
        cmocka_unit_test(test_any_k_shards_give_the_deposit),
        cmocka_unit_test(test_shard_bounds),
    };

    if (!test_begin(argc, argv))
        return 1;
    return cmocka_run_group_tests_name("mail", tests, NULL, NULL);
}
