/* link: daemon/io/net/udp daemon/io/net/udp_send shared/address */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/net/fake_udp.h"

#define QUEUE_MAX 512

static int numbers[1024];

static struct udp *setup(struct datagram *out, size_t n) {
    struct address address;
    struct udp *udp = NULL;
    char error[FAILURE_MAX];
    fake_reset();
    assert_int_equal(address_parse("127.0.0.1", &address), 0);
    assert_int_equal(udp_open(&udp, &address, 1, false, error), 0);
    address.port = 9;
    for (size_t i = 0; i < n; i++) {
        numbers[i] = (int)i;
        out[i] = (struct datagram){
            .remote = address, .bytes = (uint8_t *)&numbers[i], .length = sizeof numbers[i]};
    }
    return udp;
}

static void assert_in_order(size_t n) {
    assert_int_equal(kernel.taken, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(kernel.numbers[i], i);
}

/* The queue holds QUEUE_MAX; one more is dropped, and it is the newest. */
static void test_queue_at_its_bound(void **state) {
    (void)state;
    struct datagram out[QUEUE_MAX + 11];
    struct udp_counters counters;
    struct udp *udp = setup(out, QUEUE_MAX + 11);
    kernel.room = 10;
    udp_send(udp, out, QUEUE_MAX + 10);
    udp_counters(udp, &counters);
    assert_int_equal(counters.sent, 10);
    assert_int_equal(counters.deferred, QUEUE_MAX);
    assert_int_equal(counters.dropped, 0);
    udp_send(udp, &out[QUEUE_MAX + 10], 1);
    udp_counters(udp, &counters);
    assert_int_equal(counters.dropped, 1);
    assert_true(udp_wants_write(udp, 0));
    kernel.room = QUEUE_MAX + 100;
    udp_flush(udp, 0);
    assert_false(udp_wants_write(udp, 0));
    assert_in_order(QUEUE_MAX + 10);
    udp_close(udp);
}

/* What comes later does not overtake what waits, wherever the ring stands. */
static void test_nothing_overtakes(void **state) {
    (void)state;
    struct datagram out[900];
    struct udp *udp = setup(out, 900);
    udp_send(udp, out, 300);
    assert_int_equal(kernel.taken, 0);
    kernel.room = 200;
    udp_flush(udp, 0);
    assert_true(udp_wants_write(udp, 0));
    kernel.room = 5;
    udp_send(udp, &out[300], 400);
    assert_int_equal(kernel.taken, 200);
    kernel.room = 700;
    udp_flush(udp, 0);
    assert_false(udp_wants_write(udp, 0));
    udp_send(udp, &out[700], 200);
    assert_in_order(900);
    udp_close(udp);
}

/* While something waits, sending asks the kernel nothing: the loop says when there is room. */
static void test_no_calls_while_blocked(void **state) {
    (void)state;
    struct datagram out[8];
    struct udp *udp = setup(out, 8);
    udp_send(udp, out, 1);
    size_t calls = kernel.calls;
    udp_send(udp, &out[1], 7);
    assert_int_equal(kernel.calls, calls);
    udp_close(udp);
}

static void test_refusal_inside_a_queue(void **state) {
    (void)state;
    struct datagram out[8];
    struct udp_counters counters;
    struct udp *udp = setup(out, 8);
    udp_send(udp, out, 8);
    kernel.room = 100;
    kernel.refuse = 3;
    kernel.refuse_error = -ECONNREFUSED;
    udp_flush(udp, 0);
    assert_false(udp_wants_write(udp, 0));
    udp_counters(udp, &counters);
    assert_int_equal(counters.sent, 7);
    assert_int_equal(counters.send_errors, 1);
    udp_close(udp);
}

static void test_error_on_reading_is_counted(void **state) {
    (void)state;
    struct datagram got[UDP_BATCH];
    struct udp_counters counters;
    struct udp *udp = setup(got, 1);
    assert_int_equal(udp_receive(udp, 0, got), 0);
    udp_counters(udp, &counters);
    assert_int_equal(counters.receive_errors, 1);
    assert_int_equal(counters.received, 0);
    udp_close(udp);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue_at_its_bound),
        cmocka_unit_test(test_nothing_overtakes),
        cmocka_unit_test(test_no_calls_while_blocked),
        cmocka_unit_test(test_refusal_inside_a_queue),
        cmocka_unit_test(test_error_on_reading_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
