/* link: daemon/core/node/publish shared/address */
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
    struct descriptor_neighbour slots[DESCRIPTOR_NEIGHBOURS_MAX];
    bool there[DESCRIPTOR_NEIGHBOURS_MAX];
    unsigned published;
} f;

static int set_up(void **state) {
    (void)state;
    f = (struct fixture){.network = {.now = {US_PER_HOUR}, .links_min = 4, .aim = AIM}};
    for (unsigned slot = 0; slot < DESCRIPTOR_NEIGHBOURS_MAX; slot++) {
        f.slots[slot].prefix = 1000 + slot;
        f.slots[slot].seen_at.port = 1;
    }
    f.publisher.started = f.network.now;
    return 0;
}

static unsigned neighbours(struct descriptor_neighbour ret[DESCRIPTOR_NEIGHBOURS_MAX]) {
    unsigned n = 0;
    for (unsigned slot = 0; slot < DESCRIPTOR_NEIGHBOURS_MAX; slot++)
        if (f.there[slot])
            ret[n++] = f.slots[slot];
    return n;
}

static void links_changed(void) {
    struct descriptor_neighbour now[DESCRIPTOR_NEIGHBOURS_MAX];
    unsigned n = neighbours(now);
    if (f.network.links == 0 && n > 0)
        publisher_link(&f.publisher, f.network.now);
    f.network.links = n;
    publisher_compare(&f.publisher, now, n);
}

static void pass(int64_t for_us) {
    for (int64_t until = f.network.now.us + for_us; f.network.now.us < until;) {
        struct descriptor_neighbour now[DESCRIPTOR_NEIGHBOURS_MAX];
        f.network.now.us += STEP_US;
        if (!mono_is_due(publisher_due(&f.publisher, &f.network), f.network.now))
            continue;
        publisher_publish(&f.publisher, &f.network);
        publisher_sign(&f.publisher, now, neighbours(now));
        f.published++;
    }
}

/* The first publication, and quiet after it. */
static void settle(void) {
    pass(20 * US_PER_MINUTE);
    f.published = 0;
}

static void go(unsigned slot, bool there) {
    f.there[slot] = there;
    links_changed();
}

static void link_up_to(unsigned n) {
    for (unsigned slot = 0; slot < n; slot++)
        f.there[slot] = true;
    links_changed();
}

/* Others whose descriptors were signed so long ago become known. */
static void hear_of(unsigned n, int64_t age_us) {
    for (unsigned i = 0; i < n; i++)
        publisher_note_age(&f.publisher, age_us, f.network.now);
    f.network.known += n;
}

/* ---- Neighbours that come and go ---- */

static void test_a_loss_is_published_within_a_second(void **state) {
    (void)state;
    link_up_to(8);
    settle();
    for (unsigned k = 0; k < 300; k++) { /* so much else that it is told at long intervals by now */
        f.slots[7].seen_at.port = (uint16_t)(2 + k % 2);
        links_changed();
        pass(US_PER_S);
    }
    f.published = 0;
    for (unsigned k = 0; k < BURST; k++) {
        go(k, false);
        pass(US_PER_S);
        assert_int_equal(f.published, k + 1);
    }
    go(BURST, false);
    pass(2 * US_PER_S);
    assert_int_equal(f.published, BURST); /* now with all other news */
    pass(10 * US_PER_MINUTE);
    assert_int_equal(f.published, BURST + 1);
    assert_true(publisher_is_idle(&f.publisher));
}

static void test_flapping_links_do_not_set_the_network_publishing(void **state) {
    (void)state;
    link_up_to(2);
    settle();
    for (unsigned k = 0; k < 600; k++) {
        go(0, k % 2 == 1);
        pass(US_PER_S);
    }
    assert_in_range(f.published, BURST + 5, 40); /* 300 losses in 10 minutes */
    /* After an hour's quiet the first are told at once again. */
    pass(US_PER_HOUR);
    f.published = 0;
    go(1, false);
    pass(US_PER_S);
    assert_int_equal(f.published, 1);
}

/* What is as it was published is nothing to publish. */
static void test_the_same_neighbours_are_no_news(void **state) {
    (void)state;
    link_up_to(1);
    settle();
    for (unsigned k = 0; k < 100; k++) {
        links_changed(); /* it has shaken hands anew, say */
        go(0, false);
        go(0, true);
        pass(US_PER_S);
    }
    assert_int_equal(f.published, 0);
}

/* A later one of ours is about: rationed as losses are. */
static void test_what_outbids_us_is_rationed(void **state) {
    (void)state;
    link_up_to(4);
    settle();
    for (unsigned k = 0; k < 600; k++) {
        publisher_outbid(&f.publisher);
        pass(US_PER_S);
        assert_true(k > 0 || f.published == 1);
    }
    assert_in_range(f.published, BURST, 40);
}

static bool is_named(unsigned slot) {
    for (unsigned i = 0; i < f.publisher.n_named; i++)
        if (f.publisher.named[i].prefix == f.slots[slot].prefix)
            return true;
    return false;
}

#define NEWS_US (5 * US_PER_S) /* the shortest interval of small networks */

/* Whatever `trouble` did each second for half an hour: who comes then is named soon. */
static void must_name_a_newcomer(void (*trouble)(unsigned k)) {
    link_up_to(3);
    settle();
    for (unsigned k = 0; k < 1800; k++) {
        trouble(k);
        links_changed();
        pass(US_PER_S);
    }
    go(9, true);
    for (unsigned k = 0; !is_named(9); k++) {
        assert_true(k < (NEWS_US + US_PER_S) / US_PER_S);
        trouble(k);
        links_changed();
        pass(US_PER_S);
    }
}

static void move(unsigned k) {
    f.slots[0].seen_at.port = (uint16_t)(2 + k % 2);
}
static void come_and_go(unsigned k) {
    f.there[0] = k % 2 == 0;
}
static void come_as_others(unsigned k) {
    f.there[0] = k % 2 == 0;
    f.slots[0].prefix = 5000 + k;
}

static void test_moving_links_hold_no_newcomer_up(void **state) {
    (void)state;
    must_name_a_newcomer(move);
    assert_true(f.published < 30); /* and cost the network little */
}
static void test_flapping_links_hold_no_newcomer_up(void **state) {
    (void)state;
    must_name_a_newcomer(come_and_go);
}
static void test_new_identities_hold_no_newcomer_up(void **state) {
    (void)state;
    must_name_a_newcomer(come_as_others);
    assert_true(f.published < 1800 / 5 + 10); /* the pace that all nodes have */
}

/* Identities that no links lead to are no network: its means are what they were. */
static void test_a_crowd_slows_nobody(void **state) {
    (void)state;
    link_up_to(1);
    f.network.known = 500;
    settle();
    for (unsigned k = 1; k <= BURST; k++) {
        go(k, true);
        pass(US_PER_S + STEP_US);
        assert_int_equal(f.published, k);
    }
    go(BURST + 1, true); /* beyond the burst, the shortest interval of a small network */
    pass(NEWS_US + US_PER_S);
    assert_int_equal(f.published, BURST + 1);
}

/* In a large network what only adds to enough links waits for the shortest interval; what presses
 * does not. */
static void test_gains_wait_in_a_large_network(void **state) {
    (void)state;
    link_up_to(AIM);
    f.network.known = f.network.reached = 200; /* 40 ms each: 8 s */
    settle();
    go(AIM, true);
    pass(2 * STEP_US); /* long since the last one: at once */
    assert_int_equal(f.published, 1);
    go(AIM + 1, true);
    pass(2 * US_PER_S);
    assert_int_equal(f.published, 1);
    publisher_press(&f.publisher);
    pass(US_PER_S);
    assert_int_equal(f.published, 2);
    go(AIM + 2, true);
    pass(2 * US_PER_S);
    assert_int_equal(f.published, 2);
    pass(7 * US_PER_S);
    assert_int_equal(f.published, 3);
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
        TEST(test_the_same_neighbours_are_no_news),
        TEST(test_what_outbids_us_is_rationed),
        TEST(test_moving_links_hold_no_newcomer_up),
        TEST(test_flapping_links_hold_no_newcomer_up),
        TEST(test_new_identities_hold_no_newcomer_up),
        TEST(test_a_crowd_slows_nobody),
        TEST(test_gains_wait_in_a_large_network),
        TEST(test_the_first_in_a_network_that_stands),
        TEST(test_the_first_in_a_network_that_forms),
        TEST(test_the_first_comes_with_fewer_links),
        TEST(test_the_first_comes_without_any_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
