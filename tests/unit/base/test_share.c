/* link: daemon/core/base/share */
#include "daemon/core/base/share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define BOUND 1000 /* a second: 100 in a window */

static unsigned take(struct share *share, unsigned neighbour, unsigned n, int64_t us) {
    unsigned taken = 0;
    for (unsigned i = 0; i < n; i++)
        taken += share_take(share, neighbour, (struct mono){us});
    return taken;
}

static void test_alone_gets_all(void **state) {
    struct share share;
    (void)state;
    share_init(&share, BOUND);
    assert_int_equal(take(&share, 5, 150, 0), 100);
    assert_int_equal(share.refused, 50);
    assert_int_equal(take(&share, 5, 1, SHARE_WINDOW_US - 1), 0);
    assert_int_equal(take(&share, 5, 150, SHARE_WINDOW_US), 100);
}

/* A flood does not take what another one wants, from the first window on. */
static void test_flood_leaves_the_share(void **state) {
    struct share share;
    (void)state;
    share_init(&share, BOUND);
    for (int window = 0; window < 10; window++) {
        int64_t us = window * SHARE_WINDOW_US;
        unsigned flood = take(&share, 0, 10000, us);
        assert_int_equal(take(&share, 63, 40, us + 10), 40);
        assert_int_equal(flood, window == 0 ? 100 : 50);
    }
}

static void test_many_share_equally(void **state) {
    struct share share;
    (void)state;
    share_init(&share, BOUND);
    for (unsigned i = 0; i < 10; i++)
        take(&share, i, 1, 0);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(take(&share, i, 100, SHARE_WINDOW_US), 10);
    /* Who wanted nothing for a window is not waited for. */
    assert_int_equal(take(&share, 3, 200, 2 * SHARE_WINDOW_US), 10);
    assert_int_equal(take(&share, 3, 200, 3 * SHARE_WINDOW_US), 100);
}

/* What came with something that was granted counts in its window, and not beyond. */
static void test_charged(void **state) {
    struct share share;
    struct mono now = {US_PER_S};
    (void)state;
    share_init(&share, 100); /* ten in a window */
    assert_true(share_take(&share, 1, now));
    share_charge(&share, 1, 9);
    assert_false(share_take(&share, 1, now));
    share_charge(&share, 1, UINT32_MAX);
    assert_true(share_take(&share, 2, now)); /* another has its part */
    now.us += SHARE_WINDOW_US;
    assert_true(share_take(&share, 1, now));
}

static void test_bounds(void **state) {
    struct share share;
    (void)state;
    share_init(&share, 0);
    assert_int_equal(take(&share, 0, 100000, 0), 100000);
    share_configure(&share, 1); /* less than one a window: one */
    assert_int_equal(take(&share, 0, 5, 0), 1);
    share_init(&share, BOUND);
    for (unsigned i = 0; i < SHARE_NEIGHBOURS; i++) /* nobody is left without any */
        assert_true(share_take(&share, i, (struct mono){0}));
    assert_int_equal(take(&share, 0, 5, 0), 0);
    assert_int_equal(take(&share, 0, 5, -1), 5); /* time went back: another window */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone_gets_all),
        cmocka_unit_test(test_flood_leaves_the_share),
        cmocka_unit_test(test_many_share_equally),
        cmocka_unit_test(test_charged),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
