/* link: daemon/core/wire/onion */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/wire/onion.h"
#include "tests/unit/harness.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

struct fixture {
    struct test_stream stream;
    struct core_random random;
};

static int setup(void **state) {
    struct fixture *const f = calloc(1, sizeof *f);

    if (f == NULL)
        return -1;
    f->stream.state = test_seed;
    f->random = (struct core_random){test_fill, &f->stream};
    *state = f;
    return 0;
}

static int teardown(void **state) {
    free(*state);
    return 0;
}

/* ---- A path of ours, with the keys of all its hops ---- */

struct road {
    size_t n;
    struct onion_layer layers[ONION_LAYERS_MAX];
    uint8_t secret[ONION_LAYERS_MAX][32], public[ONION_LAYERS_MAX][32];
    uint16_t indexes[ONION_LAYERS_MAX];
};

static void road_init(const struct core_random *random, struct road *road, size_t n) {
    memset(road, 0, sizeof *road);
    road->n = n;
    for (size_t i = 0; i < n; i++) {
        struct onion_layer *const layer = &road->layers[i];
        uint8_t eph_secret[32];

        random_fill(random, road->secret[i], 32);
        crypto_scalarmult_base(road->public[i], road -> secret[i]);
        random_fill(random, eph_secret, sizeof eph_secret);
        assert_int_equal(onion_layer_key(layer, road->public[i], eph_secret), DROP_NONE);
        random_fill(random, &layer->key_id, 1);
        random_fill(random, &layer->hop, sizeof layer->hop);
        layer->slot = (uint8_t)random_below(random, 60);
        road->indexes[i] = (uint16_t)random_below(random, ONION_INDEX_COUNT);
    }
}

static void road_build(const struct core_random *random, const struct road *road,
                       const void *payload, size_t length, uint8_t packet[ONION_LEN]) {
    uint8_t nonce[ONION_NONCE_LEN];

    random_fill(random, nonce, sizeof nonce);
    onion_build(road->layers, road->n, road->indexes, nonce, payload, length, random, packet);
}

/* As hop i does it, the public-key work included. */
static enum drop road_peel(const struct road *road, size_t i, const uint8_t packet[ONION_LEN],
                           uint8_t out[ONION_LEN], struct onion_peeled *peeled) {
    uint8_t prk[ONION_PRK_LEN];
    const enum drop drop = onion_prk(onion_eph(packet), road->secret[i], road->public[i], prk);

    return drop != DROP_NONE ? drop : onion_peel(packet, prk, out, peeled);
}

/* Take a packet to its last hop, checking each; *last is what that one opened. */
static void road_travel(const struct road *road, uint8_t packet[ONION_LEN], uint8_t last[ONION_LEN],
                        struct onion_peeled *peeled) {
    for (size_t i = 0; i < road->n; i++) {
        assert_int_equal(packet[0], road->layers[i].key_id);
        assert_memory_equal(onion_eph(packet), road->layers[i].eph, 32);
        assert_int_equal(road_peel(road, i, packet, last, peeled), DROP_NONE);
        assert_int_equal(peeled->slot, road->layers[i].slot);
        assert_int_equal(peeled->index, road->indexes[i]);
        if (i + 1 == road->n)
            return;
        assert_int_equal(peeled->command, ONION_FORWARD);
        assert_true(peeled->next == road->layers[i + 1].hop);
        memcpy(packet, last, ONION_LEN);
    }
}

static void test_travel(void **state) {
    const struct fixture *const f = *state;
    static const size_t lengths[] = {0, 1, 500, ONION_PAYLOAD_MAX};
    uint8_t payload[ONION_PAYLOAD_MAX], packet[ONION_LEN], last[ONION_LEN];

    random_fill(&f->random, payload, sizeof payload);
    for (size_t n = 1; n <= ONION_LAYERS_MAX; n++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            struct onion_peeled peeled;
            struct road road;

            road_init(&f->random, &road, n);
            road_build(&f->random, &road, payload, lengths[l], packet);
            road_travel(&road, packet, last, &peeled);
            assert_int_equal(peeled.command, ONION_DELIVER);
            assert_int_equal(peeled.payload_length, lengths[l]);
            assert_true(peeled.payload >= last &&
                        peeled.payload + peeled.payload_length <= last + ONION_LEN);
            assert_memory_equal(peeled.payload, payload, lengths[l]);
        }
}

/* Slot and index at the ends of their ranges share two bytes: neither spills into the other. */
static void test_slot_and_index_bounds(void **state) {
    const struct fixture *const f = *state;
    uint8_t packet[ONION_LEN], last[ONION_LEN];

    for (int slot = 0; slot <= 59; slot += 59)
        for (int index = 0; index <= 1023; index += 1023) {
            struct onion_peeled peeled;
            struct road road;

            road_init(&f->random, &road, 2);
            road.layers[0].slot = road.layers[1].slot = (uint8_t)slot;
            road.indexes[0] = road.indexes[1] = (uint16_t)index;
            road_build(&f->random, &road, "x", 1, packet);
            road_travel(&road, packet, last, &peeled);
        }
}

/* One path, many packets: the next hop's key is the sender's prk every time, nothing but the nonce
 * differs. */
static void test_path_reuse(void **state) {
    const struct fixture *const f = *state;
    uint8_t first[ONION_LEN], second[ONION_LEN], last[ONION_LEN];
    struct onion_peeled peeled;
    struct road road;

    road_init(&f->random, &road, 4);
    road_build(&f->random, &road, "same", 4, first);
    road_build(&f->random, &road, "same", 4, second);
    assert_memory_equal(first, second, 33);
    assert_memory_not_equal(first + 33, second + 33, 16);
    assert_memory_not_equal(first + 49, second + 49, ONION_LEN - 49);
    for (int i = 0; i < 4; i++) {
        uint8_t prk[ONION_PRK_LEN];

        assert_int_equal(onion_prk(road.layers[i].eph, road.secret[i], road.public[i], prk),
                         DROP_NONE);
        assert_memory_equal(prk, road.layers[i].prk, sizeof prk);
    }
    road_travel(&road, first, last, &peeled);
    road_travel(&road, second, last, &peeled);
}

/* The bytes on the wire, worked out here a second time and from nothing but the specification. */
static void test_layout(void **state) {
    const struct fixture *const f = *state;
    uint8_t packet[ONION_LEN], next[ONION_LEN], kk[64], plain[ONION_BODY_LEN], want[ONION_LEN],
        hashed[12 + 96];
    const uint8_t zero[12] = {0}, one[12] = {1};
    struct onion_peeled peeled;
    struct road road;

    road_init(&f->random, &road, 3);
    road.layers[0].slot = 0x2a;
    road.indexes[0] = 0x155;
    road_build(&f->random, &road, "payload", 7, packet);
    memcpy(hashed, "p2pd onion 1", 12);
    assert_int_equal(crypto_scalarmult(hashed + 12, road.secret[0], packet + 1), 0);
    memcpy(hashed + 44, packet + 1, 32);
    memcpy(hashed + 76, road.public[0], 32);
    crypto_generichash(kk, 64, hashed, sizeof hashed, NULL, 0); /* prk */
    assert_memory_equal(kk, road.layers[0].prk, 64);
    crypto_generichash(kk, 64, packet + 33, 16, road.layers[0].prk, 64);
    assert_int_equal(crypto_aead_chacha20poly1305_ietf_decrypt_detached(plain, NULL, packet + 65,
                                                                        ONION_BODY_LEN, packet + 49,
                                                                        packet, 49, zero, kk),
                     0);
    assert_int_equal(plain[0], 1);
    assert_int_equal(plain[1] << 8 | plain[2], 0x2a << 10 | 0x155);
    for (int i = 0; i < 8; i++)
        assert_int_equal(plain[3 + i], (uint8_t)(road.layers[1].hop >> (56 - 8 * i)));
    memcpy(want, plain + 11, 33);
    memcpy(want + 33, kk + 32, 16);
    memcpy(want + 49, plain + 44, 16);
    memcpy(want + 65, plain + 60, 1072);
    crypto_stream_chacha20_ietf(want + 1137, 60, one, kk);
    assert_int_equal(road_peel(&road, 0, packet, next, &peeled), DROP_NONE);
    assert_memory_equal(next, want, ONION_LEN);
}

/* ---- Forgery ---- */

static void test_every_flip_is_dropped(void **state) {
    const struct fixture *const f = *state;
    uint8_t packet[ONION_LEN], next[ONION_LEN], out[ONION_LEN];
    struct onion_peeled peeled = {.index = 0xffff};
    size_t dropped = 0;
    struct road road;

    road_init(&f->random, &road, 4);
    road_build(&f->random, &road, "payload", 7, packet);
    assert_int_equal(road_peel(&road, 0, packet, next, &peeled), DROP_NONE);
    peeled.index = 0xffff;
    for (size_t bit = 0; bit < ONION_LEN * 8; bit++) {
        next[bit / 8] ^= (uint8_t)(1 << bit % 8);
        dropped += road_peel(&road, 1, next, out, &peeled) == DROP_AUTH;
        next[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(dropped, 9576);
    assert_int_equal(peeled.index, 0xffff); /* nothing was handed out */
    assert_int_equal(road_peel(&road, 1, next, out, &peeled), DROP_NONE);
}

static void test_wrong_hop(void **state) {
    const struct fixture *const f = *state;
    uint8_t packet[ONION_LEN], out[ONION_LEN];
    struct onion_peeled peeled;
    struct road road;

    road_init(&f->random, &road, 3);
    road_build(&f->random, &road, "x", 1, packet);
    assert_int_equal(road_peel(&road, 1, packet, out, &peeled), DROP_AUTH);
    assert_int_equal(road_peel(&road, 2, packet, out, &peeled), DROP_AUTH);
    assert_int_equal(road_peel(&road, 0, packet, out, &peeled), DROP_NONE);
}

/* Points of small order: the exchange would be zero, the prk known to all. */
static void test_small_order_points(void **state) {
    const struct fixture *const f = *state;
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    uint8_t point[32], prk[ONION_PRK_LEN], eph_secret[32];
    struct onion_layer layer;
    struct road road;

    road_init(&f->random, &road, 1);
    random_fill(&f->random, eph_secret, sizeof eph_secret);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        assert_int_equal(sodium_hex2bin(point, 32, points[i], 64, NULL, NULL, NULL), 0);
        assert_int_equal(onion_prk(point, road.secret[0], road.public[0], prk), DROP_AUTH);
        assert_int_equal(onion_layer_key(&layer, point, eph_secret), DROP_AUTH);
    }
}

/* Seal a layer with any plaintext, as a hostile sender may. */
static void seal(const struct onion_layer *layer, const uint8_t plain[ONION_BODY_LEN],
                 uint8_t packet[ONION_LEN]) {
    const uint8_t zero[12] = {0};
    uint8_t kk[64];

    memset(packet, 7, ONION_LEN);
    packet[0] = layer->key_id;
    memcpy(packet + 1, layer->eph, 32);
    crypto_generichash(kk, 64, packet + 33, 16, layer->prk, 64);
    crypto_aead_chacha20poly1305_ietf_encrypt_detached(packet + 65, packet + 49, NULL, plain,
                                                       ONION_BODY_LEN, packet, 49, NULL, zero, kk);
}

static void test_malformed(void **state) {
    const struct fixture *const f = *state;
    static const struct {
        uint8_t command, slot;
        uint16_t length;
        enum drop want;
    } cases[] = {
        {0, 0, 0, DROP_MALFORMED},    {3, 0, 0, DROP_MALFORMED},      {255, 0, 0, DROP_MALFORMED},
        {1, 59, 0, DROP_NONE},        {1, 60, 0, DROP_MALFORMED},     {2, 59, 0, DROP_NONE},
        {2, 63, 0, DROP_MALFORMED},   {2, 0, 827, DROP_NONE},         {2, 0, 828, DROP_MALFORMED},
        {2, 0, 1127, DROP_MALFORMED}, {2, 0, 0xffff, DROP_MALFORMED},
    };
    uint8_t plain[ONION_BODY_LEN] = {0}, packet[ONION_LEN], out[ONION_LEN];
    struct road road;

    road_init(&f->random, &road, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct onion_peeled peeled = {.index = 0xffff};

        plain[0] = cases[i].command;
        plain[1] = (uint8_t)(cases[i].slot << 2);
        plain[3] = (uint8_t)(cases[i].length >> 8);
        plain[4] = (uint8_t)cases[i].length;
        seal(&road.layers[0], plain, packet);
        assert_int_equal(road_peel(&road, 0, packet, out, &peeled), cases[i].want);
        assert_int_equal(peeled.index == 0xffff, cases[i].want != DROP_NONE);
    }
}

/* Whatever comes, under a true eph or not: dropped, within its buffers (the sanitizers watch),
 * nothing handed out. */
static void test_random_packets(void **state) {
    const struct fixture *const f = *state;
    uint8_t true_packet[ONION_LEN], packet[ONION_LEN], out[ONION_LEN];
    struct road road;

    road_init(&f->random, &road, 2);
    road_build(&f->random, &road, "x", 1, true_packet);
    for (int i = 0; i < 20000; i++) {
        const size_t keep = (size_t)random_below(&f->random, ONION_LEN);
        struct onion_peeled peeled;

        random_fill(&f->random, packet, sizeof packet);
        if (i % 2 == 0) /* cut off somewhere and gone on with noise */
            memcpy(packet, true_packet, keep);
        assert_int_equal(onion_peel(packet, road.layers[0].prk, out, &peeled), DROP_AUTH);
    }
}

/* ---- What the last hop can see ---- */

#define SAMPLES 400
/* 255 degrees of freedom: mean 255, deviation 22.6. Seven deviations: a false alarm once in 10^9
 * and far from what zeros give. */
#define CHI_SQUARE_MAX 413.0

static double chi_square(const uint64_t counts[256], uint64_t total) {
    const double expected = (double)total / 256;
    double sum = 0;

    for (int i = 0; i < 256; i++)
        sum += ((double)counts[i] - expected) * ((double)counts[i] - expected) / expected;
    return sum;
}

/* For each number of relays: bytes of what follows the payload, and of its difference between two
 * packets of one path (a padding or filler that repeats would show there), are uniform in every
 * stretch of 60; no run of equal bytes betrays where it begins. */
static void test_tail_hides_the_number_of_relays(void **state) {
    const struct fixture *const f = *state;
    enum { STRETCH = 60, STRETCHES = (ONION_BODY_LEN - 5 - 10) / STRETCH };
    static uint64_t plain[STRETCHES][256], difference[STRETCHES][256];

    for (size_t n = 1; n <= ONION_LAYERS_MAX; n++) {
        memset(plain, 0, sizeof plain);
        memset(difference, 0, sizeof difference);
        for (int sample = 0; sample < SAMPLES; sample++) {
            uint8_t packet[ONION_LEN], last[2][ONION_LEN];
            struct onion_peeled peeled;
            struct road road;
            size_t run = 0;

            road_init(&f->random, &road, n);
            for (int i = 0; i < 2; i++) {
                road_build(&f->random, &road, "0123456789", 10, packet);
                road_travel(&road, packet, last[i], &peeled);
            }
            const size_t tail = (size_t)(peeled.payload - last[1]) +
                                10; /* to the opened body's end, 60 short of the packet's */
            for (size_t i = 0; i < STRETCHES * STRETCH; i++) {
                const uint8_t a = last[0][tail + i], b = last[1][tail + i];

                plain[i / STRETCH][a]++;
                difference[i / STRETCH][a ^ b]++;
                run = i > 0 && a == last[0][tail + i - 1] ? run + 1 : 0;
                assert_true(run < 5); /* six equal bytes: once in 400,000 runs */
            }
        }
        for (size_t s = 0; s < STRETCHES; s++) {
            assert_true(chi_square(plain[s], SAMPLES * STRETCH) < CHI_SQUARE_MAX);
            assert_true(chi_square(difference[s], SAMPLES * STRETCH) < CHI_SQUARE_MAX);
        }
    }
}

/* Same path, nonce and payload, other randomness: the padding differs throughout and the filler
 * does not. A padding that the recipient could compute from the packet would end where the filler
 * begins, before its eyes. */
static void test_padding_is_fresh(void **state) {
    const struct fixture *const f = *state;
    const size_t n = 4, filler = (n - 1) * ONION_FORWARD_LEN;
    const uint8_t nonce[ONION_NONCE_LEN] = {1};
    uint8_t packet[ONION_LEN], last[2][ONION_LEN];
    struct onion_peeled peeled;
    struct road road;
    size_t equal = 0;

    road_init(&f->random, &road, n);
    for (int i = 0; i < 2; i++) {
        onion_build(road.layers, n, road.indexes, nonce, "x", 1, &f->random, packet);
        road_travel(&road, packet, last[i], &peeled);
    }
    const size_t begin = (size_t)(peeled.payload - last[1]) + 1;
    const size_t end = begin - 1 - 5 + ONION_BODY_LEN; /* of the opened body */
    for (size_t i = begin; i < end - filler; i++)
        equal += last[0][i] == last[1][i];
    assert_true(equal < 20); /* 946 bytes, one in 256 by chance: 4 expected */
    assert_memory_equal(last[0] + end - filler, last[1] + end - filler, filler);
}

/* A packet looks the same to a relay wherever it stands: after the header, uniform. */
static void test_body_is_uniform_at_every_hop(void **state) {
    const struct fixture *const f = *state;
    static uint64_t counts[ONION_LAYERS_MAX][256];
    uint8_t packet[ONION_LEN], out[ONION_LEN];
    struct road road;

    road_init(&f->random, &road, ONION_LAYERS_MAX);
    memset(counts, 0, sizeof counts);
    for (int sample = 0; sample < SAMPLES; sample++) {
        struct onion_peeled peeled;

        road_build(&f->random, &road, "", 0, packet);
        for (size_t i = 0; i < ONION_LAYERS_MAX; i++) {
            for (size_t at = 33; at < ONION_LEN; at++)
                counts[i][packet[at]]++;
            assert_int_equal(onion_peel(packet, road.layers[i].prk, out, &peeled), DROP_NONE);
            memcpy(packet, out, ONION_LEN);
        }
    }
    for (size_t i = 0; i < ONION_LAYERS_MAX; i++)
        assert_true(chi_square(counts[i], (ONION_LEN - 33) * SAMPLES) < CHI_SQUARE_MAX);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_travel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slot_and_index_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_path_reuse, setup, teardown),
        cmocka_unit_test_setup_teardown(test_layout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_flip_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_hop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_order_points, setup, teardown),
        cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_packets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tail_hides_the_number_of_relays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_padding_is_fresh, setup, teardown),
        cmocka_unit_test_setup_teardown(test_body_is_uniform_at_every_hop, setup, teardown),
    };

    if (!test_begin(argc, argv))
        return 1;
    return cmocka_run_group_tests_name("onion", tests, NULL, NULL);
}
