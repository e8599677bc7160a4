/* link: daemon/core/base/base */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/base/backoff.h"

static void test_waits_double_up_to_the_most(void **state) {
    static const int64_t waits[] = {1, 2, 4, 8, 10, 10};
    struct backoff backoff = {0};
    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < sizeof waits / sizeof *waits; i++) {
            assert_int_equal(backoff_failed(&backoff, 1, 10), waits[i]);
            assert_int_equal(backoff_us(i + 1, 1, 10), waits[i]);
        }
        backoff.failures = 0; /* a success: from the beginning */
    }
}

static void test_ends(void **state) {
    struct backoff backoff = {UINT_MAX};
    (void)state;
    assert_int_equal(backoff_us(UINT_MAX, 1, INT64_MAX), INT64_MAX); /* nothing overflows */
    assert_int_equal(backoff_failed(&backoff, 1, INT64_MAX), INT64_MAX);
    assert_int_equal(backoff.failures, UINT_MAX);
    assert_int_equal(backoff_us(1, 20, 10), 10); /* the most is the most */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_double_up_to_the_most),
        cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
