/* link: daemon/core/wire/descriptor daemon/core/wire/identity daemon/core/wire/noise shared/address proto/wire.pb-c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/wire/identity.h"
#include "proto/wire.pb-c.h"
#include "tests/unit/harness.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#define EPOCH INT64_C(500000)
#define NOW ((struct wall){EPOCH * EPOCH_US})
#define LABEL "p2pd descriptor 2"
#define LABEL_1 "p2pd descriptor 1"

typedef P2pd__Wire__DescriptorBody body_t;

/* Forged bodies of any content, rightly signed: only then do the checks show. */
struct fixture {
    struct test_stream stream;
    struct core_random random;
    struct identity *identity;
    body_t body;
    uint8_t id[33], link_key[33], keys[8 * 32], addresses[5 * 18], name[40], neighbours[17 * 26],
        mail_key[33], mailboxes[5 * 8];
    uint8_t bytes[4096];
    size_t length;
};

static void fill_body(struct fixture *f) {
    p2pd__wire__descriptor_body__init(&f->body);
    random_fill(&f->random, f->link_key, sizeof f->link_key);
    random_fill(&f->random, f->keys, sizeof f->keys);
    random_fill(&f->random, f->addresses, sizeof f->addresses);
    random_fill(&f->random, f->neighbours, sizeof f->neighbours);
    random_fill(&f->random, f->mail_key, sizeof f->mail_key);
    random_fill(&f->random, f->mailboxes, sizeof f->mailboxes);
    memcpy(f->id, identity_id(f->identity)->bytes, 32);
    memcpy(f->name, "alice-alice-alice-alice-alice-alice-", 36);
    f->body.version = 2;
    f->body.id = (ProtobufCBinaryData){32, f->id};
    f->body.link_key = (ProtobufCBinaryData){32, f->link_key};
    f->body.first_epoch = EPOCH;
    f->body.routing_keys = (ProtobufCBinaryData){32, f->keys};
    f->body.addresses = (ProtobufCBinaryData){0, f->addresses};
    f->body.name = (ProtobufCBinaryData){0, f->name};
    f->body.neighbours = (ProtobufCBinaryData){0, f->neighbours};
    f->body.sequence = 1;
    f->body.mail_key = (ProtobufCBinaryData){0, f->mail_key};
    f->body.mailboxes = (ProtobufCBinaryData){0, f->mailboxes};
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    uint8_t seeds[2][32];

    if (!f)
        return -1;
    f->stream.state = test_seed;
    f->random = (struct core_random){test_fill, &f->stream};
    random_fill(&f->random, seeds, sizeof seeds);
    f->identity = identity_new(seeds[0], seeds[1], &f->random);
    if (!f->identity)
        return -1;
    identity_advance(f->identity, NOW);
    fill_body(f);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    identity_free(f->identity);
    free(f);
    return 0;
}

/* Sign `extra` bytes, at the end, along with the packed body. */
static void forge(struct fixture *f, const uint8_t *extra, size_t extra_length) {
    uint8_t message[17 + 8 + 4 + 32] = LABEL, hashed[17 + sizeof f->bytes] = LABEL;
    uint64_t numbers[2] = {f->body.sequence, f->body.first_epoch + f->body.routing_keys.len / 32};

    f->length = 64 + p2pd__wire__descriptor_body__pack(&f->body, f->bytes + 64);
    if (extra_length > 0)
        memcpy(f->bytes + f->length, extra, extra_length);
    f->length += extra_length;
    memcpy(hashed + 17, f->bytes + 64, f->length - 64);
    for (unsigned i = 0; i < 8; i++)
        message[17 + i] = (uint8_t)(numbers[0] >> (56 - 8 * i));
    for (unsigned i = 0; i < 4; i++)
        message[25 + i] = (uint8_t)(numbers[1] >> (24 - 8 * i));
    crypto_generichash(message + 29, 32, hashed, 17 + f->length - 64, NULL, 0);
    identity_sign(f->identity, message, sizeof message, f->bytes);
}

/* As version 1 was signed. */
static void forge_1(struct fixture *f) {
    uint8_t message[17 + sizeof f->bytes] = LABEL_1;

    f->body.version = 1;
    f->length = 64 + p2pd__wire__descriptor_body__pack(&f->body, f->bytes + 64);
    memcpy(message + 17, f->bytes + 64, f->length - 64);
    identity_sign(f->identity, message, 17 + f->length - 64, f->bytes);
}

static enum drop open_forged(struct fixture *f) {
    struct descriptor descriptor;

    forge(f, NULL, 0);
    return descriptor_open(f->bytes, f->length, &descriptor);
}

static struct descriptor full_descriptor(void) {
    struct descriptor d = {.relay = true, .sequence = DESCRIPTOR_SEQUENCE_MAX};

    memset(d.name, 'x', NODE_NAME_MAX);
    d.n_addresses = DESCRIPTOR_ADDRESSES_MAX;
    for (size_t i = 0; i < d.n_addresses; i++) {
        memset(d.addresses[i].ip, (int)i + 1, sizeof d.addresses[i].ip);
        d.addresses[i].port = UINT16_MAX;
    }
    d.n_neighbours = DESCRIPTOR_NEIGHBOURS_MAX;
    for (size_t i = 0; i < d.n_neighbours; i++) {
        d.neighbours[i].prefix = UINT64_MAX - i;
        d.neighbours[i].seen_at = d.addresses[i % 4];
    }
    d.mailbox = true;
    d.n_mailboxes = DESCRIPTOR_MAILBOXES_MAX;
    for (size_t i = 0; i < d.n_mailboxes; i++)
        d.mailboxes[i] = UINT64_MAX - 100 - i;
    return d;
}

/* Today's mail key is where a crash cannot take it. */
static void store_mail_key(struct fixture *f) {
    const uint8_t *secret;
    uint32_t day, oldest;
    assert_true(identity_mail_to_store(f->identity, &day, &secret, &oldest));
    identity_mail_stored(f->identity, day, true);
}

static void test_round_trip_of_the_largest(void **state) {
    struct fixture *f = *state;
    struct descriptor made = full_descriptor(), got;
    uint8_t bytes[DESCRIPTOR_MAX];
    store_mail_key(f);
    int length = descriptor_sign(&made, f->identity, NOW, bytes);

    assert_in_range(length, 900, DESCRIPTOR_MAX - 40);
    assert_int_equal(descriptor_open(bytes, (size_t)length, &got), DROP_NONE);
    assert_memory_equal(&got.id, identity_id(f->identity), 32);
    assert_memory_equal(got.link_key, identity_link_key(f->identity)->public, 32);
    assert_int_equal(got.first_epoch, EPOCH);
    assert_int_equal(got.n_epochs, EPOCHS_PUBLISHED);
    assert_string_equal(got.name, made.name);
    assert_true(got.relay);
    assert_int_equal(got.sequence, made.sequence);
    assert_int_equal(got.n_addresses, 4);
    assert_int_equal(got.n_neighbours, 16);
    for (size_t i = 0; i < 4; i++)
        assert_true(address_is_equal(&got.addresses[i], &made.addresses[i]));
    for (size_t i = 0; i < 16; i++) {
        assert_int_equal(got.neighbours[i].prefix, made.neighbours[i].prefix);
        assert_true(address_is_equal(&got.neighbours[i].seen_at, &made.neighbours[i].seen_at));
    }
    for (int64_t i = 0; i < EPOCHS_PUBLISHED; i++)
        assert_memory_equal(descriptor_routing_key(&got, EPOCH + i),
                            identity_epoch_key(f->identity, EPOCH + i)->public, 32);
    assert_null(descriptor_routing_key(&got, EPOCH - 1));
    assert_null(descriptor_routing_key(&got, EPOCH + EPOCHS_PUBLISHED));
    assert_int_equal(got.mail_day, wall_day(NOW));
    assert_memory_equal(got.mail_key, identity_mail_key(f->identity, got.mail_day)->public, 32);
    assert_true(got.mailbox);
    assert_int_equal(got.n_mailboxes, 4);
    assert_memory_equal(got.mailboxes, made.mailboxes, sizeof got.mailboxes);
}

static void test_mail_key_is_published_once_durable(void **state) {
    struct fixture *f = *state;
    struct descriptor made = {.sequence = 7};
    uint8_t bytes[DESCRIPTOR_MAX];

    assert_true(descriptor_sign(&made, f->identity, NOW, bytes) > 0);
    assert_int_equal(made.mail_day, 0);
    store_mail_key(f);
    assert_true(descriptor_sign(&made, f->identity, NOW, bytes) > 0);
    assert_int_equal(made.mail_day, wall_day(NOW));
}

static void test_every_flip_and_cut_is_dropped(void **state) {
    struct fixture *f = *state;
    struct descriptor made = {.sequence = 7, .name = "bob"}, got;
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t length = (size_t)descriptor_sign(&made, f->identity, NOW, bytes);

    for (size_t bit = 0; bit < 8 * length; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(descriptor_open(bytes, length, &got), DROP_NONE);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < length; cut++)
        assert_int_not_equal(descriptor_open(bytes, cut, &got), DROP_NONE);
    assert_int_equal(descriptor_open(bytes, length, &got), DROP_NONE);
    bytes[0] ^= 1;
    assert_int_equal(descriptor_open(bytes, length, &got), DROP_AUTH);
    assert_int_equal(descriptor_verify(bytes, length, &made), DROP_AUTH);
    assert_int_equal(descriptor_decode(bytes, length, &got), DROP_NONE);
}

static void test_sign_refuses_what_others_would(void **state) {
    struct fixture *f = *state;
    struct descriptor good = {.sequence = 7}, bad;
    uint8_t bytes[DESCRIPTOR_MAX];

    assert_true(descriptor_sign(&good, f->identity, NOW, bytes) > 0);
    bad = good, bad.sequence = 0;
    assert_int_equal(descriptor_sign(&bad, f->identity, NOW, bytes), -EINVAL);
    bad = good, bad.n_addresses = 5;
    assert_int_equal(descriptor_sign(&bad, f->identity, NOW, bytes), -EINVAL);
    bad = good, bad.n_neighbours = 17;
    assert_int_equal(descriptor_sign(&bad, f->identity, NOW, bytes), -EINVAL);
    bad = good, bad.n_mailboxes = 5;
    assert_int_equal(descriptor_sign(&bad, f->identity, NOW, bytes), -EINVAL);
    bad = good, bad.n_addresses = 1; /* 0.0.0.0 */
    assert_int_equal(descriptor_sign(&bad, f->identity, NOW, bytes), -EINVAL);
    bad = good, memcpy(bad.name, "10.0.0.1", 9);
    assert_int_equal(descriptor_sign(&bad, f->identity, NOW, bytes), -EINVAL);
    struct wall unmade = {NOW.us + EPOCHS_PUBLISHED * EPOCH_US};
    assert_int_equal(descriptor_sign(&good, f->identity, unmade, bytes), -EINVAL);
}

static void test_forged_is_good_as_it_stands(void **state) {
    assert_int_equal(open_forged(*state), DROP_NONE);
}

static void test_version(void **state) {
    struct fixture *f = *state;

    f->body.version = 0;
    assert_int_equal(open_forged(f), DROP_VERSION);
    f->body.version = 3;
    assert_int_equal(open_forged(f), DROP_VERSION);
}

/* What was signed as version 1 is still read: stores and mailboxes hold some. Neither signature is
 * good for the other. */
static void test_version_1(void **state) {
    struct fixture *f = *state;
    struct descriptor got;

    forge_1(f);
    assert_int_equal(descriptor_open(f->bytes, f->length, &got), DROP_NONE);
    assert_int_equal(got.version, 1);
    f->body.version = 1;
    assert_int_equal(open_forged(f), DROP_AUTH);
    f->body.version = 2;
    forge(f, NULL, 0);
    assert_int_equal(descriptor_open(f->bytes, f->length, &got), DROP_NONE);
    assert_int_equal(got.version, 2);
}

/* A packed field at its bound, one element beyond it, and with a byte too many or too few. */
static void check_bound(struct fixture *f, ProtobufCBinaryData *field, size_t element, size_t max,
                        bool may_be_empty) {
    field->len = 0;
    assert_int_equal(open_forged(f), may_be_empty ? DROP_NONE : DROP_MALFORMED);
    field->len = element * max;
    assert_int_equal(open_forged(f), DROP_NONE);
    field->len = element * (max + 1);
    assert_int_equal(open_forged(f), DROP_MALFORMED);
    field->len = element + 1;
    assert_int_equal(open_forged(f), DROP_MALFORMED);
    field->len = element - 1;
    assert_int_equal(open_forged(f), DROP_MALFORMED);
    field->len = element;
}

static void test_packed_fields_at_and_past_their_bounds(void **state) {
    struct fixture *f = *state;

    check_bound(f, &f->body.routing_keys, 32, 7, false);
    check_bound(f, &f->body.addresses, 18, 4, true);
    check_bound(f, &f->body.neighbours, 26, 16, true);
    check_bound(f, &f->body.mailboxes, 8, 4, true);
    for (size_t n = 31; n <= 33; n++) {
        f->body.id.len = n;
        assert_int_equal(open_forged(f), n == 32 ? DROP_NONE : DROP_MALFORMED);
        f->body.id.len = 32;
        f->body.link_key.len = n;
        assert_int_equal(open_forged(f), n == 32 ? DROP_NONE : DROP_MALFORMED);
        f->body.link_key.len = 32;
    }
}

static void test_zero_keys(void **state) {
    struct fixture *f = *state;

    memset(f->link_key, 0, 32);
    assert_int_equal(open_forged(f), DROP_MALFORMED);
    f->link_key[31] = 1;
    assert_int_equal(open_forged(f), DROP_NONE);
    f->body.routing_keys.len = 7 * 32;
    memset(f->keys + 6 * 32, 0, 32);
    assert_int_equal(open_forged(f), DROP_MALFORMED);
    f->keys[6 * 32] = 1;
    assert_int_equal(open_forged(f), DROP_NONE);
    memset(f->id, 0, 32);
    assert_int_equal(open_forged(f), DROP_MALFORMED);
}

static void test_numbers_at_and_past_their_bounds(void **state) {
    struct fixture *f = *state;

    f->body.sequence = DESCRIPTOR_SEQUENCE_MAX;
    assert_int_equal(open_forged(f), DROP_NONE);
    f->body.sequence = DESCRIPTOR_SEQUENCE_MAX + 1;
    assert_int_equal(open_forged(f), DROP_MALFORMED);
    f->body.sequence = 0;
    assert_int_equal(open_forged(f), DROP_MALFORMED);
    f->body.sequence = 1;
    f->body.first_epoch = INT32_MAX - EPOCHS_PUBLISHED;
    assert_int_equal(open_forged(f), DROP_NONE);
    f->body.first_epoch++;
    assert_int_equal(open_forged(f), DROP_MALFORMED);
}

static void test_mail_key_and_day(void **state) {
    struct fixture *f = *state;

    f->body.mail_day = 1;
    assert_int_equal(open_forged(f), DROP_MALFORMED); /* a day without a key */
    for (size_t n = 31; n <= 33; n++) {
        f->body.mail_key.len = n;
        assert_int_equal(open_forged(f), n == 32 ? DROP_NONE : DROP_MALFORMED);
    }
    f->body.mail_key.len = 32;
    f->body.mail_day = 0; /* a key without a day */
    assert_int_equal(open_forged(f), DROP_MALFORMED);
    f->body.mail_day = INT32_MAX;
    assert_int_equal(open_forged(f), DROP_NONE);
    f->body.mail_day++;
    assert_int_equal(open_forged(f), DROP_MALFORMED);
    f->body.mail_day = 1;
    memset(f->mail_key, 0, 32);
    assert_int_equal(open_forged(f), DROP_MALFORMED);
}

static void test_mailbox_of_its_own(void **state) {
    struct fixture *f = *state;

    f->body.mailboxes.len = 4 * 8;
    assert_int_equal(open_forged(f), DROP_NONE);
    memcpy(f->mailboxes + 3 * 8, f->id, 8);
    assert_int_equal(open_forged(f), DROP_MALFORMED);
}

static void test_neighbour_of_itself(void **state) {
    struct fixture *f = *state;

    f->body.neighbours.len = 16 * 26;
    assert_int_equal(open_forged(f), DROP_NONE);
    memcpy(f->neighbours + 15 * 26, f->id, 8);
    assert_int_equal(open_forged(f), DROP_MALFORMED);
}

static void test_address_of_nobody(void **state) {
    struct fixture *f = *state;

    f->body.addresses.len = 18;
    memset(f->addresses, 0, 16);
    assert_int_equal(open_forged(f), DROP_MALFORMED);
    f->addresses[15] = 1;
    f->addresses[16] = f->addresses[17] = 0;
    assert_int_equal(open_forged(f), DROP_MALFORMED);
    f->addresses[17] = 1;
    assert_int_equal(open_forged(f), DROP_NONE);
}

static void test_names(void **state) {
    struct fixture *f = *state;
    static const char *const good[] = {"a",     "Az09._-", "abcdef1", "0x12345678", "deadbeefs",
                                       "1.2.3", "host-1",  "-",       "1234567"};
    static const char *const bad[] = {"",           "a b", "10.1.2.3",    "deadbeef", "01234567",
                                      "0A0B0C0D0E", "a/b", "caf\xc3\xa9", "a:1",      "\x1b[2J"};

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(descriptor_name_is_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(descriptor_name_is_valid(bad[i]));
    f->body.name.len = NODE_NAME_MAX;
    assert_int_equal(open_forged(f), DROP_NONE);
    f->body.name.len = NODE_NAME_MAX + 1;
    assert_int_equal(open_forged(f), DROP_MALFORMED);
    f->body.name.len = 5;
    f->name[2] = 0; /* what a C string would hide */
    assert_int_equal(open_forged(f), DROP_MALFORMED);
    f->name[2] = ' ';
    assert_int_equal(open_forged(f), DROP_MALFORMED);
}

static void test_unknown_fields_are_ignored(void **state) {
    struct fixture *f = *state;
    struct descriptor descriptor;
    static const uint8_t unknown[] = {0x7a, 3, 'x', 'y', 'z', 0xa0, 0x06, 1};

    forge(f, unknown, sizeof unknown);
    assert_int_equal(descriptor_open(f->bytes, f->length, &descriptor), DROP_NONE);
}

static void test_length_at_and_past_the_bound(void **state) {
    struct fixture *f = *state;
    struct descriptor descriptor;
    uint8_t filler[DESCRIPTOR_MAX + 1] = {0x7a}; /* field 15, bytes */

    forge(f, NULL, 0);
    size_t room = DESCRIPTOR_MAX - f->length;
    filler[1] = (uint8_t)((room - 3) | 0x80);
    filler[2] = (uint8_t)((room - 3) >> 7);
    forge(f, filler, room);
    assert_int_equal(f->length, DESCRIPTOR_MAX);
    assert_int_equal(descriptor_open(f->bytes, f->length, &descriptor), DROP_NONE);
    filler[1]++;
    forge(f, filler, room + 1);
    assert_int_equal(descriptor_open(f->bytes, f->length, &descriptor), DROP_MALFORMED);
    assert_int_equal(descriptor_open(f->bytes, SIGNATURE_LEN, &descriptor), DROP_MALFORMED);
}

/* The most fields that fit: the decoder's memory is capped and it must come through or refuse, not
 * fail otherwise. */
static void test_many_fields(void **state) {
    struct fixture *f = *state;
    struct descriptor descriptor;
    uint8_t filler[DESCRIPTOR_MAX];

    forge(f, NULL, 0);
    size_t room = (DESCRIPTOR_MAX - f->length) / 2 * 2;
    for (size_t i = 0; i < room; i += 2)
        memcpy(filler + i, "\x7a", 2); /* field 15, empty */
    forge(f, filler, room);
    assert_int_equal(descriptor_open(f->bytes, f->length, &descriptor), DROP_NONE);
}

int main(int argc, char **argv) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip_of_the_largest),
        TEST(test_every_flip_and_cut_is_dropped),
        TEST(test_sign_refuses_what_others_would),
        TEST(test_forged_is_good_as_it_stands),
        TEST(test_version),
        TEST(test_version_1),
        TEST(test_packed_fields_at_and_past_their_bounds),
        TEST(test_zero_keys),
        TEST(test_numbers_at_and_past_their_bounds),
        TEST(test_mail_key_is_published_once_durable),
        TEST(test_mail_key_and_day),
        TEST(test_mailbox_of_its_own),
        TEST(test_neighbour_of_itself),
        TEST(test_address_of_nobody),
        TEST(test_names),
        TEST(test_unknown_fields_are_ignored),
        TEST(test_length_at_and_past_the_bound),
        TEST(test_many_fields),
    };

    if (!test_begin(argc, argv))
        return 1;
    return cmocka_run_group_tests_name("descriptor", tests, NULL, NULL);
}
