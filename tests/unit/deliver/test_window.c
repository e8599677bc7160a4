/* link: daemon/core/deliver/sender/window */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/deliver/sender/window.h"

#include <stdlib.h>

/* A recipient 100 ms away over four paths without any queue: what tells of the lines is loss. */
#define SUBFLOWS 4
#define ROUND_US (100 * US_PER_MS)

static uint64_t seed = 1;

struct rig {
    struct windows windows;
    struct window v[SUBFLOWS];
    struct mono now;
    uint64_t random;
    double loss;    /* of each packet, whatever is sent */
    unsigned limit; /* so many pass in a round; 0: all */
};

static double chance(struct rig *rig) {
    rig->random = rig->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(rig->random >> 11) / (double)(UINT64_C(1) << 53);
}

static void set_up(struct rig *rig) {
    *rig = (struct rig){.now = {US_PER_HOUR}, .random = seed};
    windows_init(&rig->windows, rig->v, SUBFLOWS);
    windows_recall(&rig->windows, ROUND_US, 5 * US_PER_MS);
    for (unsigned i = 0; i < SUBFLOWS; i++) {
        window_set_live(&rig->v[i], true);
        rig->v[i].based = true;
    }
}

static unsigned windows(const struct rig *rig) {
    unsigned sum = 0;
    for (unsigned i = 0; i < SUBFLOWS; i++)
        sum += rig->v[i].size / WINDOW_UNIT;
    return sum;
}

static bool arrives(struct rig *rig, unsigned total) {
    bool passes = rig->limit == 0 || chance(rig) < (double)rig->limit / total;
    return passes && chance(rig) >= rig->loss;
}

/* All windows are filled, and what became of it is known a round trip later. */
static unsigned run_round(struct rig *rig) {
    unsigned total = windows(rig);
    struct mono sent = rig->now;
    rig->now = mono_add(rig->now, ROUND_US);
    for (unsigned i = 0; i < SUBFLOWS; i++) {
        struct window *window = &rig->v[i];
        unsigned n = window->size / WINDOW_UNIT;
        for (unsigned j = 0; j < n; j++)
            window_sent(window);
        for (; n > 0; n--) {
            bool arrived = arrives(rig, total);
            if (arrived)
                window_grow(&rig->windows, window);
            window_landed(window);
            window_count(&rig->windows, window, !arrived, sent, rig->now);
        }
    }
    return total;
}

static void test_bad_links_do_not_shrink_it(void **state) {
    (void)state;
    static const double losses[] = {0.1, 0.2, 0.34, 0.45};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        struct rig rig;
        set_up(&rig);
        rig.loss = losses[i];
        for (unsigned k = 0; k < 80; k++)
            run_round(&rig);
        assert_true(windows(&rig) > SUBFLOWS * WINDOW_MAX / 2);
    }
}

/* Half as much again at most in the mean, once it is known; and most of what there is. */
static void test_a_limiter_is_respected(void **state) {
    (void)state;
    static const double losses[] = {0, 0.1};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        struct rig rig;
        uint64_t sent = 0;
        set_up(&rig);
        rig.loss = losses[i];
        rig.limit = 400;
        for (unsigned k = 0; k < 60; k++)
            run_round(&rig);
        for (unsigned k = 0; k < 200; k++)
            sent += run_round(&rig);
        assert_in_range(sent / 200, 400 * 6 / 10, 400 * 3 / 2);
    }
}

/* The links were bad, then there is a limiter as well. */
static void test_a_limiter_behind_bad_links(void **state) {
    (void)state;
    struct rig rig;
    uint64_t sent = 0;
    set_up(&rig);
    rig.loss = 0.34;
    for (unsigned k = 0; k < 40; k++)
        run_round(&rig);
    rig.limit = 400;
    for (unsigned k = 0; k < 60; k++)
        run_round(&rig);
    for (unsigned k = 0; k < 200; k++)
        sent += run_round(&rig);
    assert_in_range(sent / 200, 400 / 2, 400 * 5 / 2);
}

static void test_nobody_there(void **state) {
    (void)state;
    struct rig rig;
    set_up(&rig);
    for (unsigned k = 0; k < 10; k++)
        run_round(&rig);
    rig.loss = 1;
    for (unsigned k = 0; k < 120; k++)
        run_round(&rig);
    assert_true(windows(&rig) <= SUBFLOWS * WINDOW_FIRST);
}

/* What was none of our doing passes: the floor follows. */
static void test_the_floor_sinks(void **state) {
    (void)state;
    struct rig rig;
    set_up(&rig);
    rig.loss = 0.45;
    for (unsigned k = 0; k < 40; k++)
        run_round(&rig);
    uint32_t before = rig.windows.loss_floor;
    assert_true(before > 65536 / 3);
    rig.loss = 0.02;
    for (unsigned k = 0; k < 40; k++)
        run_round(&rig);
    assert_true(rig.windows.loss_floor < before / 4);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "-s") == 0)
        seed = strtoull(argv[2], NULL, 0);
    print_message("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_links_do_not_shrink_it),
        cmocka_unit_test(test_a_limiter_is_respected),
        cmocka_unit_test(test_a_limiter_behind_bad_links),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_the_floor_sinks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
