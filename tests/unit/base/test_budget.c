/* link: daemon/core/base/base daemon/core/base/budget */
/* Parts of a budget, for what cannot be evicted; and walks over a table that grows meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/base/budget.h"
#include "daemon/core/base/table.h"
#include "tests/unit/harness.h"

#define SIZE (100u - BUDGET_HEAP_EXTRA) /* of an allocation that takes 100 bytes in all */

static struct budget budget;
static struct budget_part part;

/* Egress gives back what it has, 100 bytes at a time. */
static bool evict(void *context) {
    (void)context;
    budget_give(&budget, BUDGET_EGRESS, 100);
    return true;
}

static int setup(void **state) {
    (void)state;
    budget_init(&budget, 1000);
    budget.evict[BUDGET_EGRESS] = evict;
    budget_part_init(&part, &budget, BUDGET_MESSAGES, 50);
    return 0;
}

static size_t fill(void) {
    size_t n = 0;
    for (; budget_part_has_room(&part, 100); n++)
        budget_part_take(&part, SIZE);
    return n;
}

static void test_a_part_is_the_most(void **state) {
    (void)state;
    assert_int_equal(fill(), 5);
    assert_int_equal(budget.used, 500);
    assert_int_equal(budget.held[BUDGET_MESSAGES], 500);
    budget_part_give(&part, SIZE);
    assert_int_equal(fill(), 1);
    assert_false(budget_part_has_room(&part, SIZE_MAX));
    for (unsigned i = 0; i < 5; i++)
        budget_part_give(&part, SIZE);
    assert_int_equal(budget.used, 0);
}

/* Others make room, and if they cannot there is none. */
static void test_others_are_evicted(void **state) {
    (void)state;
    assert_true(budget_take(&budget, BUDGET_EGRESS, 900));
    assert_int_equal(fill(), 5);
    assert_int_equal(budget.held[BUDGET_EGRESS], 500);
    assert_int_equal(budget.evicted[BUDGET_EGRESS], 4);
    budget_part_give(&part, SIZE);
    assert_true(budget_take(&budget, BUDGET_CLIENTS, 600)); /* all of egress goes for it */
    assert_int_equal(budget.held[BUDGET_EGRESS], 0);
    assert_int_equal(fill(), 0);
}

/* limits.memory is lowered: what is there stays, and nothing more is taken until there is less. */
static void test_what_is_held_stays(void **state) {
    (void)state;
    assert_int_equal(fill(), 5);
    budget.max = 600;
    assert_int_equal(fill(), 0);
    budget_part_take(&part, SIZE); /* accepted long ago, and read just now */
    assert_int_equal(part.memory, 600);
    assert_int_equal(budget.used, 500); /* what does not fit is not charged */
    for (unsigned i = 0; i < 3; i++)
        budget_part_give(&part, SIZE);
    assert_int_equal(budget.used, 300);
    assert_int_equal(fill(), 0);
    budget_part_give(&part, SIZE);
    assert_int_equal(fill(), 1);
}

/* Far less than what is held: the part alone is charged, so the rest of the node has its own. */
static void test_a_bound_that_is_lowered(void **state) {
    (void)state;
    assert_int_equal(fill(), 5);
    budget.max = 200;
    budget_part_refit(&part);
    assert_int_equal(part.memory, 500);
    assert_int_equal(budget.held[BUDGET_MESSAGES], 100);
    assert_true(budget_take(&budget, BUDGET_CLIENTS, 100));
    budget_give(&budget, BUDGET_CLIENTS, 100);
    for (unsigned i = 0; i < 4; i++)
        budget_part_give(&part, SIZE);
    assert_int_equal(budget.held[BUDGET_MESSAGES], 100);
    budget_part_give(&part, SIZE);
    assert_int_equal(budget.used, 0);
    budget.max = 1000; /* raised: what was not charged is */
    budget_part_take(&part, 600);
    assert_int_equal(budget.used, 0);
    budget.max = 4000;
    budget_part_refit(&part);
    assert_int_equal(budget.used, 600 + BUDGET_HEAP_EXTRA);
}

static void test_only_what_is_free(void **state) {
    (void)state;
    assert_true(budget_take(&budget, BUDGET_EGRESS, 900));
    assert_true(budget_take_free(&budget, BUDGET_CLIENTS, 100));
    assert_false(budget_take_free(&budget, BUDGET_CLIENTS, 1));
    assert_int_equal(budget.held[BUDGET_EGRESS], 900);
}

/* A part that is told what it holds evicts nobody; whoever takes next does. */
static void test_set(void **state) {
    (void)state;
    assert_true(budget_take(&budget, BUDGET_EGRESS, 900));
    budget_part_set(&part, 300);
    assert_int_equal(budget.held[BUDGET_EGRESS], 900);
    assert_int_equal(budget.used, 1200);
    budget_trim(&budget);
    assert_int_equal(budget.held[BUDGET_EGRESS], 700);
    assert_true(budget_take(&budget, BUDGET_CLIENTS, 100));
    assert_int_equal(budget.held[BUDGET_EGRESS], 600);
    assert_int_equal(budget.used, 1000);
    budget_part_set(&part, 10000); /* charged up to its part */
    assert_int_equal(budget.held[BUDGET_MESSAGES], 500);
    budget_part_set(&part, 0);
    assert_int_equal(budget.held[BUDGET_MESSAGES], 0);
    assert_int_equal(budget.used, 700);
}

struct entry {
    struct table_link link;
    unsigned met;
    bool late;
};

/* From one entry to thousands while the walk goes on: those that are there from its begin to its
 * end are met once, whatever comes meanwhile. */
static void test_a_scan_meets_each_once(void **state) {
    static struct entry entries[4096];
    struct test_stream stream = {test_seed};
    struct core_random random = {test_fill, &stream};
    struct table table;
    (void)state;
    for (size_t first = 1; first <= 2048; first *= 2) {
        size_t n = 0, at = 0;
        memset(entries, 0, sizeof entries);
        assert_int_equal(table_init(&table, &random), 0);
        for (; n < first; n++)
            table_add(&table, &entries[n].link, table_hash(&table, &n, sizeof n));
        do {
            for (struct table_link *link = table.slots[at]; link; link = link->next)
                table_entry(link, struct entry, link)->met++;
            at = table_scan(&table, at);
            for (uint64_t k = random_below(&random, 8); k > 0 && n < 4096; k--, n++) {
                entries[n].late = true;
                table_add(&table, &entries[n].link, table_hash(&table, &n, sizeof n));
            }
        } while (at > 0);
        for (size_t i = 0; i < n; i++)
            assert_true(entries[i].late ? entries[i].met <= 1 : entries[i].met == 1);
        table_deinit(&table);
    }
}

int main(int argc, char **argv) {
#define TEST(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        TEST(test_a_part_is_the_most),     TEST(test_others_are_evicted),
        TEST(test_what_is_held_stays),     TEST(test_a_bound_that_is_lowered),
        TEST(test_only_what_is_free),      TEST(test_set),
        TEST(test_a_scan_meets_each_once),
    };
    if (!test_begin(argc, argv))
        return 2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
