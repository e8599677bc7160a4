/* link: shared/address */
/* Which nodes fit what a user named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/seam/destination.h"

static const struct node_id id = {{0xab, 0xcd, 0xef}};

static struct address at(const char *text) {
    struct address address;
    assert_int_equal(address_parse(text, &address), 0);
    return address;
}

static bool matches(const struct destination *destination) {
    struct address address = at("192.0.2.1:7000");
    return destination_matches(destination, &id, &address, "alice");
}

static void test_digits(void **state) {
    static const struct {
        uint8_t id[3], n;
        bool matches;
    } cases[] = {
        {{0}, 0, true},
        {{0xa0}, 1, true},
        {{0xb0}, 1, false},
        {{0xab}, 2, true},
        {{0xab, 0xc0}, 3, true},
        {{0xab, 0xd0}, 3, false},
        {{0xaa, 0xc0}, 3, false},
        {{0xab, 0xcd, 0xef}, 6, true},
        {{0xab, 0xcd, 0xef}, 2 * NODE_ID_LEN, true},
        {{0xab, 0xcd, 0xee}, 2 * NODE_ID_LEN, false},
        {{0xab, 0xcd, 0xef}, 2 * NODE_ID_LEN + 1, false}, /* nothing is read beyond the id */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct destination destination = {.kind = DEST_PREFIX, .n_digits = cases[i].n};
        memcpy(destination.id, cases[i].id, sizeof cases[i].id);
        assert_int_equal(destination_has_digits(&destination, &id), cases[i].matches);
        assert_int_equal(matches(&destination), cases[i].matches);
    }
}

static void test_whole_ids(void **state) {
    struct destination destination = {.kind = DEST_ID};
    (void)state;
    memcpy(destination.id, id.bytes, NODE_ID_LEN);
    assert_true(matches(&destination));
    destination.id[NODE_ID_LEN - 1] ^= 1;
    assert_false(matches(&destination));
}

static void test_addresses(void **state) {
    struct destination destination = {.kind = DEST_ADDRESS, .address = at("192.0.2.1:7000")};
    (void)state;
    assert_true(matches(&destination));
    destination.address.port = 7001;
    assert_false(matches(&destination));
    destination.address.port = 0; /* the IP alone */
    assert_true(matches(&destination));
    destination.address = at("192.0.2.2:7000");
    assert_false(matches(&destination));
}

static void test_names(void **state) {
    struct destination destination = {.kind = DEST_NAME, .name = "alice"};
    (void)state;
    assert_true(matches(&destination));
    destination.name[0] = 'A';
    assert_false(matches(&destination));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digits),
        cmocka_unit_test(test_whole_ids),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
