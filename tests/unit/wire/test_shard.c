/* link: daemon/core/wire/shard daemon/core/wire/parcel daemon/core/wire/noise */
/* The transform and the code: there and back from whatever is left, exact to the byte, and nothing
 * from fewer than k shards, even with the recipient's keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/wire/parcel.h"
#include "daemon/core/wire/shard.h"
#include "tests/unit/harness.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- The code ---- */
#define LENGTH_MAX PARCEL_SHARD_DATA_MAX
static uint8_t data[SHARD_COUNT_MAX * LENGTH_MAX], all[SHARD_COUNT_MAX * LENGTH_MAX],
    got[SHARD_COUNT_MAX * LENGTH_MAX];

static void encode(unsigned k, unsigned m, size_t length) {
    test_bytes(data, k * length);
    memcpy(all, data, k * length);
    if (m > 0)
        shard_encode(k, m, length, data, all + k * length);
}
static void check_decode(unsigned k, unsigned m, size_t length, const uint8_t *index) {
    for (unsigned i = 0; i < k; i++)
        memcpy(got + i * length, all + index[i] * length, length);
    got[k * length] = 0xa5; /* a guard */
    assert_int_equal(shard_decode(k, m, length, index, got), 0);
    assert_memory_equal(got, data, k * length);
    assert_int_equal(got[k * length], 0xa5);
}
static void shuffle(uint8_t *index, unsigned n) {
    for (unsigned i = n; i > 1; i--) {
        unsigned j = (unsigned)(test_next(&test_source) % i);
        uint8_t swap = index[i - 1];
        index[i - 1] = index[j];
        index[j] = swap;
    }
}

/* Every k and m up to 12 together, every choice of k of them; the order they come in at random. */
static void test_every_erasure(void **state) {
    (void)state;
    unsigned patterns = 0;
    for (unsigned k = 1; k <= 12; k++)
        for (unsigned m = 0; k + m <= 12; m++) {
            encode(k, m, 33);
            for (unsigned mask = 0; mask < 1u << (k + m); mask++) {
                uint8_t index[12];
                unsigned n = 0;
                if (__builtin_popcount(mask) != (int)k)
                    continue;
                for (unsigned i = 0; i < k + m; i++)
                    if (mask & 1u << i)
                        index[n++] = (uint8_t)i;
                check_decode(k, m, 33, index);
                shuffle(index, k);
                check_decode(k, m, 33, index);
                patterns++;
            }
        }
    assert_int_equal(patterns, 8178); /* all subsets but the empty ones, of 1 to 12 */
}

static void test_big_ones(void **state) {
    (void)state;
    static const struct {
        unsigned k, m;
    } edges[] = {{1, 127}, {127, 1}, {64, 64}, {63, 65}, {128, 0}, {65, 63}};
    for (unsigned round = 0; round < 200; round++) {
        unsigned k = 1 + (unsigned)(test_next(&test_source) % SHARD_COUNT_MAX),
                 m = (unsigned)(test_next(&test_source) % (SHARD_COUNT_MAX - k + 1));
        size_t length = 1 + test_next(&test_source) % LENGTH_MAX;
        uint8_t index[SHARD_COUNT_MAX];
        if (round < sizeof edges / sizeof *edges) {
            k = edges[round].k;
            m = edges[round].m;
        }
        if ((k + 1) * length > sizeof got)
            length = sizeof got / (k + 1);
        encode(k, m, length);
        for (unsigned i = 0; i < k + m; i++)
            index[i] = (uint8_t)i;
        shuffle(index, k + m);
        check_decode(k, m, length, index);
        /* All parity that there is, the data in order. */
        unsigned n = m < k ? m : k;
        for (unsigned i = 0; i < k; i++)
            index[i] = (uint8_t)(i < n ? k + i : i);
        check_decode(k, m, length, index);
    }
}

/* Which bytes: the generator is ISA-L's Cauchy matrix, 1 / (row xor column). */
static void test_code_known(void **state) {
    (void)state;
    static const uint8_t two[2] = {0x01, 0x01};
    static const uint8_t expected[2] = {0x8e ^ 0xf4, 0xf4 ^ 0x8e}; /* 1/2 = 8e, 1/3 = f4 */
    uint8_t parity[2];
    shard_encode(2, 2, 1, two, parity);
    assert_memory_equal(parity, expected, 2);
    static const uint8_t first[2] = {0x01, 0x00};
    shard_encode(2, 2, 1, first, parity);
    assert_int_equal(parity[0], 0x8e);
    assert_int_equal(parity[1], 0xf4);
}

/* ---- The transform ---- */
static void test_transform(void **state) {
    (void)state;
    static uint8_t before[2000], bytes[2000];
    for (size_t length = SHARD_TRANSFORM_LEN + 1; length <= sizeof bytes;
         length += 1 + test_next(&test_source) % 60) {
        uint8_t key[32];
        size_t body = length - SHARD_TRANSFORM_LEN;
        test_bytes(key, sizeof key);
        test_bytes(before, sizeof before);
        memcpy(bytes, before, sizeof bytes);
        shard_transform(bytes, length, key);
        if (body >= 16)
            assert_memory_not_equal(bytes, before, body);
        assert_memory_equal(bytes + length, before + length, sizeof bytes - length);
        shard_restore(bytes, length);
        assert_memory_equal(bytes, before, body);
    }
}

static void test_transform_known(void **state) {
    (void)state;
    uint8_t key[32], bytes[64 + SHARD_TRANSFORM_LEN];
    char hex[2 * sizeof bytes + 1];
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(255 - i);
    shard_transform(bytes, sizeof bytes, key);
    sodium_bin2hex(hex, sizeof hex, bytes, sizeof bytes);
    assert_string_equal(hex, "c603d681223fe0927a4bf6834b2ebbb965db358357348324552a98a83b08c572"
                             "f4fd113b79bafa73e8d83abde91aaeb4ea4cf8267a3d6ae505e1a7648b9980cc"
                             "864fe5ebfe5dcb298c7da9c6673d3ff5d0979337ccf8a6e3d0bcd153edab6b80");
}

/* Any bit of any shard: another key, so that all of the bytes are others. */
static void test_every_bit_changes_the_key(void **state) {
    (void)state;
    uint8_t key[32], before[96], bytes[96 + SHARD_TRANSFORM_LEN], all_zero[32] = {0};
    test_bytes(key, sizeof key);
    test_bytes(before, sizeof before);
    memcpy(bytes, before, sizeof before);
    shard_transform(bytes, sizeof bytes, key);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        uint8_t flipped[sizeof bytes];
        memcpy(flipped, bytes, sizeof bytes);
        flipped[bit / 8] ^= (uint8_t)(1 << bit % 8);
        shard_restore(flipped, sizeof flipped);
        for (size_t at = 0; at < sizeof before; at += 32)
            assert_memory_not_equal(flipped + at, before + at, 32);
        assert_memory_not_equal(flipped, all_zero, 32);
    }
}

/* ---- Fewer than k ---- */
struct world {
    struct noise_keypair link, routing;
    struct node_id sender, recipient;
    uint8_t plain[300], sealed[1024];
    unsigned k, m;
    size_t length;
};
static void world_init(struct world *world, unsigned k, unsigned m) {
    uint8_t secret[32], ephemeral[32], receipt_key[32];
    size_t padded;
    memset(world, 0, sizeof *world);
    test_bytes(secret, sizeof secret);
    assert_int_equal(noise_keypair_init(&world->link, secret), 0);
    test_bytes(secret, sizeof secret);
    assert_int_equal(noise_keypair_init(&world->routing, secret), 0);
    test_bytes(&world->sender, sizeof world->sender);
    test_bytes(&world->recipient, sizeof world->recipient);
    test_bytes(ephemeral, sizeof ephemeral);
    memcpy(world->plain, &world->sender, sizeof world->sender);
    world->m = m;
    assert_int_equal(parcel_cut(200, k, &world->k, &world->length, &padded), 0);
    assert_int_equal(world->k, k);
    assert_true(padded <= sizeof world->plain);
    assert_true((k + m) * world->length <= sizeof world->sealed);
    assert_int_equal(parcel_seal(&world->link, &world->recipient, world->routing.public, 7,
                                 ephemeral, NULL, world->plain, padded, world->sealed, receipt_key),
                     k * world->length - SHARD_TRANSFORM_LEN);
    test_bytes(secret, sizeof secret);
    shard_transform(world->sealed, k * world->length, secret);
    shard_encode(k, m, world->length, world->sealed, world->sealed + k * world->length);
}
/* What the recipient would do, with all of its keys, of bytes that are k shards. */
static enum drop world_open(const struct world *world, uint8_t *shards) {
    uint8_t plain[1024], receipt_key[32];
    size_t n;
    shard_restore(shards, world->k * world->length);
    return parcel_open(&world->routing, &world->recipient, 7, &world->sender, world->link.public,
                       NULL, shards, world->k * world->length - SHARD_TRANSFORM_LEN, plain, &n,
                       receipt_key);
}

/* k - 1 shards, whichever, and every key of the recipient's, and any guess at the one that is
 * missing: each guess makes some parcel, and none but the right one opens. */
static void test_fewer_reveal_nothing(void **state) {
    (void)state;
    static struct world world;
    static uint8_t shards[1024], again[1024];
    enum { K = 4, M = 3 };
    world_init(&world, K, M);
    for (unsigned missing = 0; missing < K + M; missing++)
        for (unsigned round = 0; round < 50; round++) {
            uint8_t index[K + M], guess[256];
            unsigned n = 0;
            for (unsigned i = 0; i < K + M; i++)
                if (i != missing)
                    index[n++] = (uint8_t)i;
            shuffle(index, n); /* the first K - 1 are known, then comes the missing one */
            index[K - 1] = (uint8_t)missing;
            for (unsigned i = 0; i < K; i++)
                memcpy(shards + i * world.length, world.sealed + index[i] * world.length,
                       world.length);
            if (round > 0)
                test_bytes(guess, world.length);
            else
                memcpy(guess, shards + (K - 1) * world.length, world.length);
            if (round == 1) /* but for one bit it is right */
                memcpy(guess, shards + (K - 1) * world.length, world.length);
            guess[test_next(&test_source) % world.length] ^= round == 1;
            memcpy(shards + (K - 1) * world.length, guess, world.length);
            assert_int_equal(shard_decode(K, M, world.length, index, shards), 0);
            /* Encoded again it yields what is known, and the guess: the known ones exclude none. */
            memcpy(again, shards, K * world.length);
            shard_encode(K, M, world.length, again, again + K * world.length);
            for (unsigned i = 0; i + 1 < K; i++)
                assert_memory_equal(again + index[i] * world.length,
                                    world.sealed + index[i] * world.length, world.length);
            assert_memory_equal(again + missing * world.length, guess, world.length);
            assert_int_equal(world_open(&world, shards), round == 0 ? DROP_NONE : DROP_AUTH);
        }
}

/* Shards as short as may be: the last one is the covered key alone, the others 32 bytes of c. */
static void test_shortest(void **state) {
    (void)state;
    uint8_t key[32], bytes[3 * SHARD_LENGTH_MIN], before[2 * SHARD_LENGTH_MIN];
    test_bytes(key, sizeof key);
    test_bytes(before, sizeof before);
    memcpy(bytes, before, sizeof before);
    shard_transform(bytes, sizeof bytes, key);
    uint8_t parity[SHARD_LENGTH_MIN], index[3] = {0, 3, 1};
    shard_encode(3, 1, SHARD_LENGTH_MIN, bytes, parity);
    memcpy(bytes + 2 * SHARD_LENGTH_MIN, bytes + SHARD_LENGTH_MIN, SHARD_LENGTH_MIN);
    memcpy(bytes + SHARD_LENGTH_MIN, parity, SHARD_LENGTH_MIN);
    assert_int_equal(shard_decode(3, 1, SHARD_LENGTH_MIN, index, bytes), 0);
    shard_restore(bytes, sizeof bytes);
    assert_memory_equal(bytes, before, sizeof before);
}

int main(int argc, char **argv) {
    if (sodium_init() < 0)
        return 1;
    if (!test_begin(argc, argv))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_erasure),
        cmocka_unit_test(test_big_ones),
        cmocka_unit_test(test_code_known),
        cmocka_unit_test(test_transform),
        cmocka_unit_test(test_transform_known),
        cmocka_unit_test(test_every_bit_changes_the_key),
        cmocka_unit_test(test_fewer_reveal_nothing),
        cmocka_unit_test(test_shortest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
