/* link: daemon/core/node/publish */
/* When a node publishes its own descriptor: pacing alone, on a network of numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/node/publish.h"

#define STEP_US (100 * US_PER_MS)
#define AIM 8
#define BURST 4 /* losses within a second each, after quiet */

static struct fixture {
    struct publisher publisher;
    struct publish_network network;
    unsigned published;
} f;

static int set_up(void **state) {
    (void)state;
    f = (struct fixture){.network = {.now = {US_PER_HOUR}, .links_min = 4, .aim = AIM}};
    f.publisher.started = f.network.now;
    return 0;
}

static void pass(int64_t for_us) {
    for (int64_t until = f.network.now.us + for_us; f.network.now.us < until;) {
        f.network.now.us += STEP_US;
        if (!mono_is_due(publisher_due(&f.publisher, &f.network), f.network.now))
            continue;
        publisher_publish(&f.publisher, &f.network);
        publisher_sign(&f.publisher, f.network.links);
        f.published++;
    }
}

/* The first publication, and quiet after it. */
static void settle(void) {
    pass(20 * US_PER_MINUTE);
    f.published = 0;
}

static void link_up_to(unsigned n) {
    if (f.network.links == 0)
        publisher_link(&f.publisher, f.network.now);
    f.network.links = n;
    publisher_change(&f.publisher, false);
}

/* Others whose descriptors were signed so long ago become known. */
static void hear_of(unsigned n, int64_t age_us) {
    for (unsigned i = 0; i < n; i++)
        publisher_note_age(&f.publisher, age_us, f.network.now);
    f.network.known += n;
}

/* ---- Losses ---- */

static void test_a_loss_is_published_within_a_second(void **state) {
    (void)state;
    link_up_to(1);
    for (unsigned k = 0; k < 120; k++) { /* so much news that it is told at long intervals by now */
        publisher_change(&f.publisher, false);
        pass(US_PER_S);
    }
    f.published = 0;
    for (unsigned k = 0; k < BURST; k++) {
        publisher_change(&f.publisher, true);
        pass(US_PER_S);
        assert_int_equal(f.published, k + 1);
    }
    publisher_change(&f.publisher, true);
    pass(2 * US_PER_S);
    assert_int_equal(f.published, BURST); /* now with all other news */
    pass(10 * US_PER_MINUTE);
    assert_int_equal(f.published, BURST + 1);
    assert_true(publisher_is_idle(&f.publisher));
}

static void test_flapping_links_do_not_set_the_network_publishing(void **state) {
    (void)state;
    link_up_to(1);
    settle();
    for (unsigned k = 0; k < 600; k++) {
        publisher_change(&f.publisher, k % 2 == 0);
        pass(US_PER_S);
    }
    assert_in_range(f.published, BURST + 5, 30); /* 300 losses in 10 minutes */
    /* After an hour's quiet the first are told at once again. */
    pass(US_PER_HOUR);
    f.published = 0;
    publisher_change(&f.publisher, true);
    pass(US_PER_S);
    assert_int_equal(f.published, 1);
}

/* ---- Gains ---- */

/* Identities that no links lead to are no network: its means are what they were. */
static void test_a_crowd_slows_nobody(void **state) {
    (void)state;
    link_up_to(1);
    f.network.known = 500;
    settle();
    for (unsigned k = 1; k <= BURST; k++) {
        publisher_change(&f.publisher, false);
        pass(US_PER_S + STEP_US);
        assert_int_equal(f.published, k);
    }
}

/* In a large network what only adds to enough links waits four times as long; what presses does
 * not. */
static void test_gains_wait_in_a_large_network(void **state) {
    (void)state;
    link_up_to(AIM);
    f.network.known = f.network.reached = 200; /* 40 ms each: 8 s */
    settle();
    publisher_change(&f.publisher, false);
    pass(30 * US_PER_S); /* long since the last one: at once */
    assert_int_equal(f.published, 1);
    publisher_change(&f.publisher, false);
    pass(US_PER_S);
    assert_int_equal(f.published, 1);
    publisher_press(&f.publisher);
    pass(US_PER_S);
    assert_int_equal(f.published, 2);
}

/* ---- The first one ---- */

static void test_the_first_in_a_network_that_stands(void **state) {
    (void)state;
    hear_of(60, US_PER_HOUR / 2);
    link_up_to(4);
    pass(STEP_US);
    assert_int_equal(f.published, 1); /* pool.min is enough */
}

static void test_the_first_in_a_network_that_forms(void **state) {
    (void)state;
    hear_of(60, US_PER_S);
    link_up_to(4);
    pass(STEP_US);
    assert_int_equal(f.published, 0);
    link_up_to(AIM);
    pass(STEP_US);
    assert_int_equal(f.published, 1);
}

/* Not for ever: others may be short of links as well. */
static void test_the_first_comes_with_fewer_links(void **state) {
    (void)state;
    hear_of(60, US_PER_S);
    link_up_to(4);
    pass(2 * US_PER_S + STEP_US);
    assert_int_equal(f.published, 1);
}

static void test_the_first_comes_without_any_link(void **state) {
    (void)state;
    pass(2 * US_PER_S - STEP_US);
    assert_int_equal(f.published, 0);
    pass(STEP_US);
    assert_int_equal(f.published, 1);
}

int main(void) {
#define TEST(t) cmocka_unit_test_setup(t, set_up)
    const struct CMUnitTest tests[] = {
        TEST(test_a_loss_is_published_within_a_second),
        TEST(test_flapping_links_do_not_set_the_network_publishing),
        TEST(test_a_crowd_slows_nobody),
        TEST(test_gains_wait_in_a_large_network),
        TEST(test_the_first_in_a_network_that_stands),
        TEST(test_the_first_in_a_network_that_forms),
        TEST(test_the_first_comes_with_fewer_links),
        TEST(test_the_first_comes_without_any_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
