/* link: libp2pd-core.a shared/address */
/* What `trust` does to a pin, on a whole node: descriptors come from its store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/node/node.h"
#include "daemon/core/wire/identity.h"
#include "tests/unit/harness.h"
#include "tests/unit/node/fake_effects.h"

#include <sodium.h>

#define CLIENT 7

static struct fixture {
    struct node_config config;
    struct node *node;
    struct identity *other;
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t length;
    struct address address;
    struct mono now;
    struct wall wall;
    struct test_stream stream;
} f;

/* A node whose store has one other, pinned where it claims to be. */
static int set_up(void **state) {
    uint8_t seed[32] = {3}, secret[32] = {4};
    (void)state;
    memset(&f, 0, sizeof f);
    f.now.us = US_PER_HOUR;
    f.wall.us = INT64_C(500000) * EPOCH_US;
    node_config_init(&f.config);
    f.config.node_seed[0] = 1;
    f.config.link_secret[0] = 2;
    f.config.random = (struct core_random){test_fill, &f.stream};
    f.other = identity_new(seed, secret, &f.config.random);
    identity_advance(f.other, f.wall);
    address_parse("192.0.2.1:4000", &f.address);
    struct descriptor descriptor = {
        .sequence = (uint64_t)(f.wall.us / US_PER_MS), .addresses = {f.address}, .n_addresses = 1};
    f.length = (size_t)descriptor_sign(&descriptor, f.other, f.wall, f.bytes);
    struct boot_node pinned = {f.bytes, f.length, true, f.address};
    struct node_boot boot = {.nodes = &pinned, .n_nodes = 1};
    f.node = node_new(&f.config, &boot, (struct now){f.now, f.wall});
    return f.node ? 0 : -1;
}
static int tear_down(void **state) {
    (void)state;
    node_free(f.node);
    identity_free(f.other);
    return 0;
}

/* The answer's code; *ret_unpinned: was the store told to forget a pin? */
static enum answer_code trust(const struct address *address, bool *ret_unpinned) {
    struct node_event event = {
        .now = {f.now, f.wall},
        .kind = EVENT_REQUEST,
        .request = {.client = CLIENT, .kind = REQUEST_TRUST},
    };
    struct node_update update;
    event.request.to.to.kind = DEST_ADDRESS;
    event.request.to.to.address = *address;
    node_step(f.node, &event, &update);
    *ret_unpinned = false;
    for (size_t i = 0; i < update.n_ops; i++)
        *ret_unpinned |= update.ops[i].kind == STORE_NODE_UNPIN;
    assert_int_equal(update.n_answers, 1);
    assert_int_equal(update.answers[0].client, CLIENT);
    return update.answers[0].code;
}

/* Nobody has taken its place: an address that is merely claimed is no reason to let go of the key
 * that was pinned there. */
static void test_pin_stays_where_nobody_else_is(void **state) {
    struct address ip = f.address;
    bool unpinned;
    (void)state;
    ip.port = 0;
    for (unsigned k = 0; k < 3; k++) {
        /* Were the pin gone, the claim alone would not resolve. */
        assert_int_equal(trust(k % 2 ? &ip : &f.address, &unpinned), ANSWER_OK);
        assert_false(unpinned);
    }
}

static void test_pin_stays_when_another_address_is_unknown(void **state) {
    struct address elsewhere;
    bool unpinned;
    (void)state;
    address_parse("192.0.2.1:4001", &elsewhere); /* the same IP */
    assert_int_equal(trust(&elsewhere, &unpinned), ANSWER_UNKNOWN);
    assert_false(unpinned);
    assert_int_equal(trust(&f.address, &unpinned), ANSWER_OK);
}

/* What was done is not told as it ought to be; silence would be worse. */
static void test_no_memory_for_the_answer(void **state) {
    bool unpinned;
    (void)state;
    scratch_left = 0;
    assert_int_equal(trust(&f.address, &unpinned), ANSWER_LIMIT);
    scratch_left = SCRATCH_ENDLESS;
}

int main(void) {
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_pin_stays_where_nobody_else_is),
        TEST(test_pin_stays_when_another_address_is_unknown),
        TEST(test_no_memory_for_the_answer),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
