/* link: daemon/core/base/sequences */
/* No sequence twice, however the clock goes to and fro, and none far from the clock's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/base/sequences.h"
#include "tests/unit/harness.h"

#include <stdlib.h>

#define NOW UINT64_C(1800000000000)
#define STEP 1000
#define MANY 20000

static uint64_t take(struct sequences *had, uint64_t from) {
    uint64_t next = sequences_free(had, from, STEP, &test_random);
    assert_true(next >= from);
    sequences_add(had, next);
    return next;
}

static void test_what_was_had_is_stepped_past(void **state) {
    struct sequences had = {.n = 0};
    (void)state;
    assert_true(take(&had, NOW) == NOW);
    uint64_t second = take(&had, NOW);
    assert_in_range(second, NOW + 1, NOW + STEP);
    assert_true(take(&had, NOW - 1) == NOW - 1);
    assert_true(take(&had, NOW + STEP + 1) == NOW + STEP + 1);
    for (unsigned i = 0; i < 4; i++)
        sequences_add(&had, second); /* twice is once */
    assert_int_equal(had.n, 4);
}

static int order(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Around one time and another, a few ms to and fro, far more often than there are places. */
static void test_none_comes_twice(void **state) {
    static uint64_t all[MANY];
    struct sequences had = {.n = 0};
    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        uint64_t at = NOW + 1000 * i;
        at += i % 3 == 0   ? 240000
              : i % 3 == 1 ? -(uint64_t)3600000
                           : random_below(&test_random, 20);
        if (i % 5 == 0)
            at = NOW + random_below(&test_random, 20);
        all[i] = take(&had, at);
        assert_true(had.n <= SEQUENCES_SPANS);
    }
    qsort(all, MANY, sizeof *all, order);
    for (unsigned i = 1; i < MANY; i++)
        assert_true(all[i] > all[i - 1]);
}

/* A clock that was days ahead for long, then set right: the present is not swallowed by what lies
 * between. */
static void test_a_future_that_was_had(void **state) {
    struct sequences had = {.n = 0};
    uint64_t day = UINT64_C(24) * 3600 * 1000;
    (void)state;
    for (unsigned i = 0; i < 3 * SEQUENCES_SPANS; i++)
        take(&had, NOW + 12 * day + 600000 * i);
    for (unsigned i = 0; i < 3 * SEQUENCES_SPANS; i++)
        assert_true(take(&had, NOW + 600000 * i) == NOW + 600000 * i);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_had_is_stepped_past),
        cmocka_unit_test(test_none_comes_twice),
        cmocka_unit_test(test_a_future_that_was_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
