/* link: daemon/core/base/base */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/base/rate.h"

#define EACH (50 * US_PER_MS)
#define BURST 20
#define ROOM RATE_ROOM(EACH, BURST)

static struct mono at(int64_t us) {
    return (struct mono){us};
}

static unsigned take_all(struct rate *rate, struct mono now) {
    unsigned n = 0;
    while (rate_take(rate, EACH, ROOM, now))
        n++;
    return n;
}

static void test_burst_then_one_each(void **state) {
    struct rate rate = {0};
    (void)state;
    assert_int_equal(take_all(&rate, at(0)), BURST);
    assert_int_equal(rate_due(&rate, ROOM).us, EACH);
    assert_int_equal(take_all(&rate, at(EACH - 1)), 0);
    assert_int_equal(take_all(&rate, at(EACH)), 1);
    assert_int_equal(take_all(&rate, at(4 * EACH)), 3);
    assert_int_equal(take_all(&rate, at(US_PER_HOUR)), BURST); /* and no more, however long */
}

/* And a refusal takes nothing. */
static void test_what_was_never_used_is_full(void **state) {
    struct rate rate = {0};
    (void)state;
    assert_int_equal(rate_used(&rate, at(INT64_C(1) << 50)), 0);
    assert_int_equal(take_all(&rate, at(INT64_C(1) << 50)), BURST);
    struct rate before = rate;
    assert_false(rate_take(&rate, EACH, ROOM, at(INT64_C(1) << 50)));
    assert_int_equal(rate.full.us, before.full.us);
}

static void test_debt_is_paid_back(void **state) {
    struct rate rate = {0};
    (void)state;
    rate_charge(&rate, 3 * BURST * EACH, at(0));
    assert_false(rate_has(&rate, ROOM, at(2 * BURST * EACH)));
    assert_true(rate_has(&rate, ROOM, at((2 * BURST + 1) * EACH)));
}

/* Whatever is asked when: in any time no more than the burst and what came back. */
static void test_never_more_in_any_time(void **state) {
    static int64_t taken[4096];
    struct rate rate = {0};
    uint64_t seed = 7;
    int64_t now = 0;
    size_t n = 0;
    (void)state;
    while (n < sizeof taken / sizeof taken[0]) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        now += (int64_t)(seed >> 33) % ((seed >> 62) ? EACH / 2 : 60 * EACH);
        if (rate_take(&rate, EACH, ROOM, at(now)))
            taken[n++] = now;
    }
    for (size_t from = 0; from < n; from += 7)
        for (size_t to = from; to < n && to < from + 200; to++)
            assert_true((int64_t)(to - from + 1) <= BURST + (taken[to] - taken[from]) / EACH);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_then_one_each),
        cmocka_unit_test(test_what_was_never_used_is_full),
        cmocka_unit_test(test_debt_is_paid_back),
        cmocka_unit_test(test_never_more_in_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
