/* link: daemon/core/route/relay daemon/core/base/budget */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/route/relay.h"

#include <errno.h>

/* Stands for the link room: counts what is sent to whom, and what was given back. */
static struct {
    uint64_t sent, sent_to[8], cancelled;
    int answer;
} fake;
int links_onion_send(struct links *links, uint64_t prefix, uint8_t *onion, struct mono now) {
    return links_send_onion(links, prefix, onion, now);
}
void links_onion_cancel(struct links *links, uint8_t *onion) {
    (void)links;
    (void)onion;
    fake.cancelled++;
}
int links_send_onion(struct links *links, uint64_t prefix, const uint8_t packet[ONION_LEN],
                     struct mono now) {
    (void)links;
    (void)now;
    if (fake.answer == 0) {
        fake.sent++;
        fake.sent_to[packet[0] % 8]++;
    }
    (void)prefix;
    return fake.answer;
}

static struct budget budget;
static const struct wall some_day = {INT64_C(1800000000) * US_PER_S};
static uint8_t packet[ONION_LEN];

static struct relay *make(uint64_t rate, uint64_t month, size_t memory) {
    memset(&fake, 0, sizeof fake);
    budget_init(&budget, memory);
    return relay_new(rate, month, NULL, &budget);
}

static void test_without_a_rate_nothing_waits(void **state) {
    struct relay *relay = make(0, 0, 1 << 20);
    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(
            relay_packet(relay, i % 3, 1, packet, (struct now){(struct mono){5}, some_day}),
            DROP_NONE);
    assert_int_equal(fake.sent, 1000);
    assert_int_equal(fake.cancelled, 0);
    assert_int_equal(relay_next(relay).us, INT64_MAX);
    fake.answer = -ENOTCONN;
    assert_int_equal(relay_packet(relay, 0, 1, packet, (struct now){(struct mono){5}, some_day}),
                     DROP_NO_ROUTE);
    fake.answer = -ENOBUFS;
    assert_int_equal(relay_packet(relay, 0, 1, packet, (struct now){(struct mono){5}, some_day}),
                     DROP_QUEUE);
    relay_free(relay);
}

static void test_rate_holds_and_neighbours_share_it(void **state) {
    struct relay *relay = make(100 * DATAGRAM_LEN, 0, 1 << 20); /* 100 packets a second */
    struct mono now = {US_PER_S};
    (void)state;
    for (unsigned i = 0; i < 80; i++) { /* one is noisy, one is not; the noisy one comes first */
        packet[0] = 0;
        relay_packet(relay, 0, 1, packet, (struct now){now, some_day});
    }
    for (unsigned i = 0; i < 10; i++) {
        packet[0] = 1;
        relay_packet(relay, 1, 1, packet, (struct now){now, some_day});
    }
    assert_in_range(fake.sent, 1, 8);
    for (unsigned ms = 0; ms < 200; ms += 5)
        relay_tick(relay, mono_add(now, ms * US_PER_MS));
    assert_in_range(fake.sent, 18, 30);      /* 0.2 s at 100/s, and the burst */
    assert_in_range(fake.sent_to[1], 7, 10); /* the quiet one has hardly waited */
    while (relay_next(relay).us != INT64_MAX) {
        now = mono_add(relay_next(relay), 0);
        relay_tick(relay, now);
    }
    assert_int_equal(fake.sent, 90);
    assert_int_equal(budget.used, 0);
    relay_free(relay);
}

static void test_queue_is_bounded_by_a_second(void **state) {
    struct relay *relay = make(10 * DATAGRAM_LEN, 0, 1 << 20);
    struct mono now = {US_PER_S};
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(relay_packet(relay, 0, 1, packet, (struct now){now, some_day}), DROP_NONE);
    assert_int_equal(fake.sent + relay_dropped(relay) + 10, 100);
    relay_free(relay);
    assert_int_equal(budget.used, 0);
}

static void test_memory_budget_evicts_the_oldest_of_the_longest(void **state) {
    struct relay *relay = make(1000 * DATAGRAM_LEN, 0, 5 * 1300);
    struct mono now = {US_PER_S};
    (void)state;
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(relay_packet(relay, i % 5, 1, packet, (struct now){now, some_day}),
                         DROP_NONE);
    assert_true(budget.used <= budget.max);
    assert_true(budget.evicted[BUDGET_EGRESS] > 0);
    assert_int_equal(budget.evicted[BUDGET_EGRESS], relay_dropped(relay));
    relay_free(relay);
    assert_int_equal(budget.used, 0);
}

static void test_month_is_a_cap(void **state) {
    struct relay *relay = make(0, 3 * DATAGRAM_LEN, 1 << 20);
    struct wall later = {some_day.us + 31 * 24 * US_PER_HOUR};
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(
            relay_packet(relay, 0, 1, packet, (struct now){(struct mono){5}, some_day}), DROP_NONE);
    assert_int_equal(relay_packet(relay, 0, 1, packet, (struct now){(struct mono){5}, some_day}),
                     DROP_LIMIT);
    assert_int_equal(relay_packet(relay, 0, 1, packet, (struct now){(struct mono){5}, later}),
                     DROP_NONE);
    relay_free(relay);
}

/* It was used up at the speed of the line, and by what was for nobody. */
static void test_month_is_charged_for_what_is_sent(void **state) {
    struct relay *relay = make(100 * DATAGRAM_LEN, 50 * DATAGRAM_LEN, 1 << 20);
    struct mono now = {US_PER_S};
    int64_t left_us;
    (void)state;
    for (unsigned i = 0; i < 40; i++)
        relay_packet(relay, 0, 1, packet, (struct now){now, some_day});
    fake.answer = -ENOTCONN; /* what waits, and what comes */
    while (relay_next(relay).us != INT64_MAX) {
        now = relay_next(relay);
        relay_tick(relay, now);
    }
    for (unsigned i = 0; i < 100; i++) {
        now = mono_add(now, US_PER_S);
        assert_int_equal(relay_packet(relay, 0, 1, packet, (struct now){now, some_day}),
                         DROP_NO_ROUTE);
    }
    fake.answer = 0;
    for (unsigned i = 0; i < 10000; i++, now.us += US_PER_MS) { /* ten times the rate */
        relay_packet(relay, 0, 1, packet, (struct now){now, some_day});
        assert_int_equal(relay_month_is_used_up(relay, some_day, &left_us), fake.sent >= 50);
        relay_tick(relay, now);
    }
    assert_int_equal(fake.sent, 50); /* all of it, and not one more */
    assert_int_equal(relay_packet(relay, 0, 1, packet, (struct now){now, some_day}), DROP_LIMIT);
    relay_free(relay);
}

static void test_budget_at_its_limit(void **state) {
    struct budget b;
    (void)state;
    budget_init(&b, 100);
    assert_true(budget_take(&b, BUDGET_CLIENTS, 100));
    assert_false(budget_take(&b, BUDGET_CLIENTS, 1));
    assert_int_equal(b.refused, 1);
    budget_give(&b, BUDGET_CLIENTS, 100);
    assert_false(budget_take(&b, BUDGET_CLIENTS, 101));
    assert_false(budget_take(&b, BUDGET_CLIENTS, SIZE_MAX));
    assert_true(budget_take(&b, BUDGET_CLIENTS, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_rate_nothing_waits),
        cmocka_unit_test(test_rate_holds_and_neighbours_share_it),
        cmocka_unit_test(test_queue_is_bounded_by_a_second),
        cmocka_unit_test(test_memory_budget_evicts_the_oldest_of_the_longest),
        cmocka_unit_test(test_month_is_a_cap),
        cmocka_unit_test(test_month_is_charged_for_what_is_sent),
        cmocka_unit_test(test_budget_at_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
