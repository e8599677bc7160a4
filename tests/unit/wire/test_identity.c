/* link: daemon/core/wire/identity daemon/core/wire/noise */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/wire/identity.h"
#include "tests/unit/harness.h"

#include <sodium.h>
#include <stdlib.h>

#define EPOCH INT64_C(500000)
#define START ((struct wall){EPOCH * EPOCH_US})

struct fixture {
    struct test_stream stream;
    struct core_random random;
    struct identity *identity;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    uint8_t seeds[2][32];

    if (!f)
        return -1;
    f->stream.state = test_seed;
    f->random = (struct core_random){test_fill, &f->stream};
    random_fill(&f->random, seeds, sizeof seeds);
    f->identity = identity_new(seeds[0], seeds[1], &f->random);
    *state = f;
    return f->identity ? 0 : -1;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    identity_free(f->identity);
    free(f);
    return 0;
}

static struct wall after(int64_t us) {
    return (struct wall){START.us + us};
}

static void test_keys_follow_from_seeds(void **state) {
    struct fixture *f = *state;
    uint8_t seed[32] = {1}, secret[32] = {2}, public[32], sign_public[32], sign_secret[64];
    struct identity *a = identity_new(seed, secret, &f->random);
    struct identity *b = identity_new(seed, secret, &f->random);

    crypto_sign_seed_keypair(sign_public, sign_secret, seed);
    crypto_scalarmult_base(public, secret);
    assert_memory_equal(identity_id(a)->bytes, sign_public, 32);
    assert_memory_equal(identity_link_key(a)->public, public, 32);
    assert_true(node_id_is_equal(identity_id(a), identity_id(b)));
    assert_false(node_id_is_equal(identity_id(a), identity_id(f->identity)));
    identity_free(a);
    identity_free(b);
    identity_free(NULL);
}

static void test_signature_is_the_ids(void **state) {
    struct fixture *f = *state;
    uint8_t signature[SIGNATURE_LEN];

    identity_sign(f->identity, (const uint8_t *)"words", 5, signature);
    assert_int_equal(crypto_sign_verify_detached(signature, (const uint8_t *)"words", 5,
                                                 identity_id(f->identity)->bytes),
                     0);
    assert_int_not_equal(crypto_sign_verify_detached(signature, (const uint8_t *)"sword", 5,
                                                     identity_id(f->identity)->bytes),
                         0);
}

static void test_advance_makes_the_published(void **state) {
    struct fixture *f = *state;

    assert_null(identity_epoch_key(f->identity, EPOCH));
    assert_true(identity_advance(f->identity, START));
    assert_false(identity_advance(f->identity, START));
    assert_null(identity_epoch_key(f->identity, EPOCH - 1));
    assert_null(identity_epoch_key(f->identity, EPOCH + EPOCHS_PUBLISHED));
    for (int64_t epoch = EPOCH; epoch < EPOCH + EPOCHS_PUBLISHED; epoch++) {
        const struct noise_keypair *key = identity_epoch_key(f->identity, epoch);
        uint8_t public[32];
        assert_non_null(key);
        crypto_scalarmult_base(public, key->secret);
        assert_memory_equal(key->public, public, 32);
        for (int64_t other = EPOCH; other < epoch; other++)
            assert_memory_not_equal(identity_epoch_key(f->identity, other)->secret, key->secret,
                                    32);
    }
}

static void test_keys_stand_from_epoch_to_epoch(void **state) {
    struct fixture *f = *state;
    struct noise_keypair later;

    identity_advance(f->identity, START);
    later = *identity_epoch_key(f->identity, EPOCH + 3);
    for (int i = 1; i <= 3; i++)
        assert_true(identity_advance(f->identity, after(i * EPOCH_US)));
    assert_memory_equal(&later, identity_epoch_key(f->identity, EPOCH + 3), sizeof later);
    assert_non_null(identity_epoch_key(f->identity, EPOCH + 3 + 6));
}

/* The pointer stays where the key was: what is there afterwards is what a core dump would show. */
static void test_wiped_at_the_end_of_grace(void **state) {
    struct fixture *f = *state;

    identity_advance(f->identity, START);
    const struct noise_keypair *key = identity_epoch_key(f->identity, EPOCH);
    identity_advance(f->identity, after(EPOCH_US + EPOCH_GRACE_US - 1));
    assert_ptr_equal(identity_epoch_key(f->identity, EPOCH), key);
    assert_false(sodium_is_zero(key->secret, sizeof key->secret));
    assert_false(identity_advance(f->identity, after(EPOCH_US + EPOCH_GRACE_US)));
    assert_null(identity_epoch_key(f->identity, EPOCH));
    assert_true(sodium_is_zero(key->secret, sizeof key->secret));
    assert_true(sodium_is_zero(key->public, sizeof key->public));
    assert_non_null(identity_epoch_key(f->identity, EPOCH + 1));
}

static void test_all_wiped_after_a_long_sleep(void **state) {
    struct fixture *f = *state;
    struct noise_keypair old[EPOCHS_PUBLISHED];

    identity_advance(f->identity, START);
    for (int64_t i = 0; i < EPOCHS_PUBLISHED; i++)
        old[i] = *identity_epoch_key(f->identity, EPOCH + i);
    assert_true(identity_advance(f->identity, after(1000 * EPOCH_US)));
    for (int64_t i = 0; i < EPOCHS_PUBLISHED; i++) {
        assert_null(identity_epoch_key(f->identity, EPOCH + i));
        for (int64_t j = 0; j < EPOCHS_PUBLISHED; j++)
            assert_memory_not_equal(&old[i], identity_epoch_key(f->identity, EPOCH + 1000 + j),
                                    sizeof *old);
    }
}

static void test_clock_set_back(void **state) {
    struct fixture *f = *state;

    identity_advance(f->identity, after(100 * EPOCH_US));
    assert_true(identity_advance(f->identity, START));
    for (int64_t i = 0; i < EPOCHS_PUBLISHED; i++)
        assert_non_null(identity_epoch_key(f->identity, EPOCH + i));
    assert_true(identity_advance(f->identity, after(100 * EPOCH_US)));
    assert_non_null(identity_epoch_key(f->identity, EPOCH + 100));
}

static const struct noise_keypair *routing_key(struct fixture *f, int64_t epoch, int64_t us) {
    int64_t found = -1;
    const struct noise_keypair *key =
        identity_routing_key(f->identity, (uint8_t)epoch, after(us), &found);

    assert_int_equal(found, key ? epoch : -1);
    return key;
}

static void test_routing_key_holds_with_its_grace(void **state) {
    struct fixture *f = *state;

    identity_advance(f->identity, START);
    assert_non_null(routing_key(f, EPOCH, 0));
    assert_non_null(routing_key(f, EPOCH, EPOCH_US + EPOCH_GRACE_US - 1));
    assert_null(routing_key(f, EPOCH, EPOCH_US + EPOCH_GRACE_US));
    assert_null(routing_key(f, EPOCH + 1, EPOCH_US - EPOCH_GRACE_US - 1));
    assert_non_null(routing_key(f, EPOCH + 1, EPOCH_US - EPOCH_GRACE_US));
    assert_null(routing_key(f, EPOCH + 2, 0));
    assert_null(routing_key(f, EPOCH - 1, 0)); /* in its grace, but never made */
}

/* ---- Mail keys ---- */

#define DAY_US (24 * US_PER_HOUR)
#define TODAY ((uint32_t)(EPOCH / 24))

static bool store(struct fixture *f, uint32_t *ret_oldest) {
    const uint8_t *secret;
    uint32_t day;
    if (!identity_mail_to_store(f->identity, &day, &secret, ret_oldest))
        return false;
    assert_memory_equal(secret, identity_mail_key(f->identity, day)->secret, KEY_LEN);
    identity_mail_stored(f->identity, day, true);
    return true;
}

static void test_mail_key_counts_once_durable(void **state) {
    struct fixture *f = *state;
    const uint8_t *secret;
    uint32_t day = 0, oldest = 0;

    assert_false(store(f, &oldest));
    identity_advance(f->identity, START);
    assert_null(identity_mail_current(f->identity, START, &day));
    assert_true(identity_mail_to_store(f->identity, &day, &secret, &oldest));
    assert_int_equal(day, TODAY);
    assert_int_equal(oldest, TODAY);
    assert_false(identity_mail_to_store(f->identity, &day, &secret, &oldest)); /* one at a time */
    identity_mail_stored(f->identity, TODAY, false);
    assert_null(identity_mail_current(f->identity, START, &day));
    assert_true(store(f, &oldest)); /* tried again */
    assert_non_null(identity_mail_current(f->identity, START, &day));
    assert_int_equal(day, TODAY);
    identity_advance(f->identity, START);
    assert_false(store(f, &oldest));
    assert_null(identity_mail_current(f->identity, after(-DAY_US), &day)); /* not yet */
}

static void test_mail_keys_go_days_after_they_were_replaced(void **state) {
    struct fixture *f = *state;
    uint32_t oldest = 0;

    identity_mail_keep(f->identity, 3);
    identity_advance(f->identity, START);
    assert_true(store(f, &oldest));
    /* Away for twenty days: the key of the first was good all the while. */
    identity_advance(f->identity, after(20 * DAY_US));
    assert_true(store(f, &oldest));
    assert_int_equal(oldest, TODAY);
    identity_advance(f->identity, after(23 * DAY_US));
    assert_non_null(identity_mail_key(f->identity, TODAY));
    identity_advance(f->identity, after(24 * DAY_US));
    assert_null(identity_mail_key(f->identity, TODAY));
    assert_non_null(identity_mail_key(f->identity, TODAY + 20));
}

static void test_mail_keys_are_bounded(void **state) {
    struct fixture *f = *state;
    uint32_t oldest = 0;
    uint8_t secret[KEY_LEN] = {1};

    identity_mail_keep(f->identity, 1000);
    for (uint32_t i = 0; i < MAIL_KEYS_MAX; i++, secret[1]++)
        identity_mail_load(f->identity, TODAY - MAIL_KEYS_MAX + i, secret);
    identity_mail_load(f->identity, 0, secret); /* no day */
    assert_non_null(identity_mail_key(f->identity, TODAY - MAIL_KEYS_MAX));
    identity_advance(f->identity, START); /* one past the bound */
    assert_null(identity_mail_key(f->identity, TODAY - MAIL_KEYS_MAX));
    assert_non_null(identity_mail_key(f->identity, TODAY - MAIL_KEYS_MAX + 1));
    assert_true(store(f, &oldest));
    assert_int_equal(oldest, TODAY - MAIL_KEYS_MAX + 1);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keys_follow_from_seeds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signature_is_the_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_advance_makes_the_published, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_stand_from_epoch_to_epoch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wiped_at_the_end_of_grace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_wiped_after_a_long_sleep, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clock_set_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_routing_key_holds_with_its_grace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mail_key_counts_once_durable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mail_keys_go_days_after_they_were_replaced, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_mail_keys_are_bounded, setup, teardown),
    };

    if (!test_begin(argc, argv))
        return 1;
    return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}
