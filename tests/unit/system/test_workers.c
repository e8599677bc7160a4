/* link: daemon/io/system/workers */
/* Every item is done once, whatever the threads do, and nothing of a computation is touched after
 * it has returned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/system/workers.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define ITEMS 300
struct item {
    uint64_t in, out;
    unsigned times;
    pthread_t by;
    unsigned rounds; /* of work */
};

static void compute(void *context) {
    struct item *item = context;
    uint64_t x = item->in;
    for (unsigned i = 0; i < item->rounds; i++)
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
    item->out = x;
    item->times++;
    item->by = pthread_self();
}

static uint64_t expected(uint64_t x, unsigned rounds) {
    struct item item = {.in = x, .rounds = rounds};
    compute(&item);
    return item.out;
}

static void check(struct item *items, size_t n) {
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(items[i].times, 1);
        assert_true(items[i].out == expected(items[i].in, items[i].rounds));
    }
}

/* Arrays on the stack, of ever another length and address: what a late thread did to an old one
 * would show. */
static void burst(const struct core_compute *capability, unsigned number, unsigned rounds) {
    struct item items[ITEMS];
    size_t n = number % (ITEMS + 1), from = number % 7 < ITEMS - n ? number % 7 : 0;
    memset(items, 0, sizeof items);
    for (size_t i = 0; i < n; i++)
        items[from + i] = (struct item){.in = number * 1000u + i, .rounds = rounds};
    compute_each(capability, compute, items + from, sizeof *items, n, 1000);
    check(items + from, n);
    for (size_t i = 0; i < from; i++)
        assert_int_equal(items[i].times, 0);
}

static void test_each_item_once(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 5; threads++) {
        struct workers *workers = workers_new(threads);
        struct core_compute capability = workers_compute(workers);
        assert_int_equal(workers_count(workers), threads);
        for (unsigned i = 0; i < 3000; i++)
            burst(&capability, i, i % 3 ? 20 : 400);
        workers_free(workers);
    }
}

static void test_one_thread_needs_none(void **state) {
    struct workers *workers = workers_new(1);
    (void)state;
    assert_null(workers_compute(workers).each);
    workers_free(workers);
    workers_free(NULL);
}

/* A worker that is woken takes part, be it on one processor: the caller's work is long enough for
 * that. */
static void test_others_take_part(void **state) {
    struct workers *workers = workers_new(3);
    struct core_compute capability = workers_compute(workers);
    struct item *items = calloc(ITEMS, sizeof *items);
    struct workers_counters counters = {0};
    (void)state;
    for (unsigned i = 0; i < 1000 && counters.shared < 3; i++) {
        for (size_t k = 0; k < ITEMS; k++)
            items[k] = (struct item){.in = k, .rounds = 30000};
        compute_each(&capability, compute, items, sizeof *items, ITEMS, 30000);
        check(items, ITEMS);
        workers_counters(workers, &counters);
    }
    assert_true(counters.shared >= 3);
    assert_true(counters.wakes > 0);
    assert_true(counters.calls >= counters.shared);
    free(items);
    workers_free(workers);
}

static void test_small_ones_are_not_shared(void **state) {
    struct workers *workers = workers_new(2);
    struct core_compute capability = workers_compute(workers);
    struct item items[4];
    struct workers_counters counters;
    (void)state;
    for (size_t k = 0; k < 4; k++)
        items[k] = (struct item){.in = k, .rounds = 10};
    compute_each(&capability, compute, items, sizeof *items, 4, 1000);
    check(items, 4);
    workers_counters(workers, &counters);
    assert_int_equal(counters.calls, 0);
    for (size_t k = 0; k < 4; k++)
        assert_true(pthread_equal(items[k].by, pthread_self()));
    workers_free(workers);
}

static void test_default_is_within_bounds(void **state) {
    (void)state;
    assert_in_range(workers_default(), 1, 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_item_once),
        cmocka_unit_test(test_one_thread_needs_none),
        cmocka_unit_test(test_others_take_part),
        cmocka_unit_test(test_small_ones_are_not_shared),
        cmocka_unit_test(test_default_is_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
