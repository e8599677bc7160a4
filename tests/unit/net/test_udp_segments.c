/* link: daemon/io/net/udp daemon/io/net/udp_send shared/address */
/* Several datagrams a message, against a kernel that is played: what is put together, what happens
 * when it is refused, and what a reading of such messages hands out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/net/fake_udp.h"

#define MANY 2000
#define FULL 53 /* of DATAGRAM_LEN in a packet of 65,507 bytes */

static uint8_t bytes[MANY][DATAGRAM_LEN + 10];
static struct datagram out[MANY];

static struct udp *open_fake(size_t segments) {
    struct address address;
    struct udp *udp = NULL;
    char error[FAILURE_MAX];
    fake_reset();
    kernel.segments = segments;
    kernel.room = 100000;
    assert_int_equal(address_parse("127.0.0.1", &address), 0);
    assert_int_equal(udp_open(&udp, &address, 1, false, error), 0);
    return udp;
}

/* Number `i`, to a port, of a length. */
static void put(size_t i, uint16_t port, size_t length) {
    int number = (int)i;
    memcpy(bytes[i], &number, sizeof number);
    assert_int_equal(address_parse("127.0.0.1", &out[i].remote), 0);
    out[i].remote.port = port;
    memset(&out[i].local, 0, sizeof out[i].local);
    out[i].bytes = bytes[i];
    out[i].length = length;
}

static struct udp_counters counters_of(const struct udp *udp) {
    struct udp_counters counters;
    udp_counters(udp, &counters);
    return counters;
}

/* Number i went to port 1 + i % ports: each port has all of its own, in order. */
static void assert_order(size_t n, size_t ports) {
    size_t seen = 0;
    assert_int_equal(kernel.taken, n);
    for (size_t port = 0; port < ports; port++) {
        size_t next = port;
        for (size_t i = 0; i < n; i++) {
            if (kernel.ports[i] != 1 + port)
                continue;
            assert_int_equal(kernel.numbers[i], next);
            assert_int_equal(kernel.lengths[i], out[next].length);
            next += ports;
            seen++;
        }
    }
    assert_int_equal(seen, n);
}

static void put_interleaved(size_t n, size_t ports, size_t length) {
    for (size_t i = 0; i < n; i++)
        put(i, (uint16_t)(1 + i % ports), length);
}

/* Neighbours take turns in a call: each gets its own in few messages, in order. */
static void test_destinations_are_gathered(void **state) {
    (void)state;
    struct udp *udp = open_fake(64);
    put_interleaved(200, 4, DATAGRAM_LEN);
    udp_send(udp, out, 200);
    assert_order(200, 4);
    assert_int_equal(kernel.messages, 4);
    assert_int_equal(kernel.calls, 1);
    assert_int_equal(counters_of(udp).sent, 200);
    assert_int_equal(counters_of(udp).segmented, 200);
    udp_close(udp);
}

/* However long the call and however many the destinations. */
static void test_more_than_a_lot(void **state) {
    (void)state;
    static const size_t ports[] = {1, 3, 63, 64, 65, 200, 900};
    for (size_t k = 0; k < sizeof ports / sizeof *ports; k++) {
        struct udp *udp = open_fake(64);
        put_interleaved(MANY, ports[k], 100 + k);
        udp_send(udp, out, MANY);
        assert_order(MANY, ports[k]);
        assert_int_equal(counters_of(udp).sent, MANY);
        udp_close(udp);
    }
}

static void test_bounds_of_a_message(void **state) {
    (void)state;
    struct udp *udp = open_fake(64);
    put_interleaved(FULL + 1, 1, DATAGRAM_LEN);
    udp_send(udp, out, FULL);
    assert_int_equal(kernel.messages, 1);
    udp_send(udp, out, FULL + 1);
    assert_int_equal(kernel.messages, 3);
    assert_int_equal(kernel.in_message[1], FULL);
    assert_int_equal(kernel.in_message[2], 1);
    put_interleaved(65, 1, 40);
    udp_send(udp, out, 64);
    assert_int_equal(kernel.messages, 4);
    udp_send(udp, out, 65);
    assert_int_equal(kernel.messages, 6);
    assert_int_equal(kernel.in_message[4], 64);
    udp_close(udp);
}

/* A shorter one ends its message, a longer one begins another; one that is longer than ours goes
 * alone. */
static void test_mixed_lengths(void **state) {
    (void)state;
    static const size_t lengths[] = {
        100, 100, 50, 100, 50, 60, 60, DATAGRAM_LEN + 10, DATAGRAM_LEN + 10, 60};
    static const size_t expected[] = {3, 2, 2, 1, 1, 1};
    const size_t n = sizeof lengths / sizeof *lengths;
    struct udp *udp = open_fake(64);
    for (size_t i = 0; i < n; i++)
        put(i, 1, lengths[i]);
    udp_send(udp, out, n);
    assert_order(n, 1);
    assert_int_equal(kernel.messages, 6);
    assert_memory_equal(kernel.in_message, expected, sizeof expected);
    assert_int_equal(counters_of(udp).segmented, 7);
    udp_close(udp);
}

static void test_without_segments(void **state) {
    (void)state;
    struct udp *udp = open_fake(1);
    put_interleaved(200, 3, DATAGRAM_LEN);
    udp_send(udp, out, 200);
    assert_order(200, 3);
    assert_int_equal(kernel.messages, 200);
    assert_int_equal(counters_of(udp).segmented, 0);
    udp_close(udp);
}

/* The device can't: nothing is lost, nothing counted as refused, and nobody asks again. */
static void test_refused_segments_go_one_by_one(void **state) {
    (void)state;
    static const int errors[] = {-EIO, -EINVAL};
    for (size_t k = 0; k < 4; k++) {
        struct udp *udp = open_fake(64);
        kernel.segment_error = errors[k % 2];
        kernel.segment_spare = k; /* so many messages before it */
        put_interleaved(400, 2, DATAGRAM_LEN);
        udp_send(udp, out, 400);
        assert_order(400, 2);
        assert_int_equal(counters_of(udp).sent, 400);
        assert_int_equal(counters_of(udp).send_errors, 0);
        size_t calls = kernel.calls;
        kernel.segment_error = 0;
        kernel.taken = kernel.messages = 0;
        udp_send(udp, out, 200);
        assert_int_equal(kernel.messages, 200);
        assert_int_equal(kernel.calls, calls + 1);
        udp_close(udp);
    }
}

/* The same answer to each alone: it was not the segments' fault, and they are used again. */
static void test_refused_alone_too(void **state) {
    (void)state;
    struct udp *udp = open_fake(64);
    kernel.segment_error = kernel.lone_error = -EINVAL;
    put_interleaved(100, 2, DATAGRAM_LEN);
    udp_send(udp, out, 100);
    assert_int_equal(kernel.taken, 0);
    assert_int_equal(counters_of(udp).sent, 0);
    assert_int_equal(counters_of(udp).send_errors, 100);
    kernel.segment_error = kernel.lone_error = 0;
    udp_send(udp, out, 100);
    assert_order(100, 2);
    assert_int_equal(kernel.messages, 2);
    udp_close(udp);
}

/* The kernel's buffer is full in the middle of it. */
static void test_refused_and_then_full(void **state) {
    (void)state;
    struct udp *udp = open_fake(64);
    kernel.segment_error = -EIO;
    kernel.room = 60;
    put_interleaved(250, 2, DATAGRAM_LEN);
    udp_send(udp, out, 250);
    assert_int_equal(kernel.taken, 60);
    assert_int_equal(counters_of(udp).deferred, 190);
    kernel.room = 1000;
    udp_flush(udp, 0);
    assert_false(udp_wants_write(udp, 0));
    assert_order(250, 2);
    assert_int_equal(kernel.messages, 250);
    udp_close(udp);
}

/* Full before one alone has shown whose fault it was: that is found out when there is room. */
static void test_full_while_in_doubt(void **state) {
    (void)state;
    struct udp *udp = open_fake(64);
    kernel.segment_error = -EIO;
    kernel.room = 0;
    put_interleaved(100, 2, DATAGRAM_LEN);
    udp_send(udp, out, 100);
    assert_int_equal(kernel.calls, 2);
    assert_int_equal(counters_of(udp).deferred, 100);
    kernel.room = 1000;
    udp_flush(udp, 0);
    assert_order(100, 2);
    assert_int_equal(counters_of(udp).send_errors, 0);
    udp_close(udp);
}

/* A message that does not fit waits whole, and what is behind it; then it leaves as it would
 * have. */
static void test_full_between_messages(void **state) {
    (void)state;
    struct udp *udp = open_fake(64);
    kernel.room = 2 * FULL + 10;
    put_interleaved(200, 1, DATAGRAM_LEN);
    udp_send(udp, out, 200);
    assert_int_equal(kernel.taken, 2 * FULL);
    assert_int_equal(counters_of(udp).deferred, 200 - 2 * FULL);
    put(200, 1, DATAGRAM_LEN);
    kernel.room = 1000;
    udp_send(udp, &out[200], 1);
    assert_int_equal(kernel.taken, 2 * FULL);
    udp_flush(udp, 0);
    assert_order(201, 1);
    assert_int_equal(kernel.messages, 4);
    assert_int_equal(counters_of(udp).sent, 201);
    udp_close(udp);
}

/* The queue's bound counts datagrams, whatever they would have left in. */
static void test_queue_counts_datagrams(void **state) {
    (void)state;
    struct udp *udp = open_fake(64);
    kernel.room = 0;
    put_interleaved(600, 1, DATAGRAM_LEN);
    udp_send(udp, out, 600);
    assert_int_equal(counters_of(udp).deferred, 512);
    assert_int_equal(counters_of(udp).dropped, 600 - 512);
    kernel.room = 1000;
    udp_flush(udp, 0);
    assert_order(512, 1);
    udp_close(udp);
}

/* No route to one of them: that is so many datagrams, and nobody else's. */
static void test_error_of_a_destination(void **state) {
    (void)state;
    struct udp *udp = open_fake(64);
    kernel.refuse = 1;
    kernel.refuse_error = -ENETUNREACH;
    put_interleaved(90, 3, DATAGRAM_LEN);
    udp_send(udp, out, 90);
    assert_int_equal(kernel.taken, 60);
    assert_int_equal(counters_of(udp).sent, 60);
    assert_int_equal(counters_of(udp).send_errors, 30);
    udp_close(udp);
}

/* ---- Receiving ---- */

static void script(size_t length, size_t segment) {
    kernel.waiting[kernel.n_waiting].length = length;
    kernel.waiting[kernel.n_waiting++].segment = segment;
}

/* Each datagram is the part of its message that it should be; then it is overwritten, which the
 * next must not notice. */
static void assert_part(const struct datagram *datagram, size_t message, size_t offset,
                        size_t length) {
    assert_int_equal(datagram->remote.port, 1000 + message);
    assert_int_equal(datagram->length, length);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(datagram->bytes[i], (uint8_t)(message + (offset + i) / 7));
    memset((void *)(uintptr_t)datagram->bytes, 0xee, length);
}

static void test_more_than_a_call_hands_out(void **state) {
    (void)state;
    struct udp *udp = open_fake(64);
    struct datagram got[UDP_BATCH];
    for (size_t i = 0; i < 3; i++)
        script(63 * 500 + 20, 500);
    size_t n = 0;
    for (size_t round = 0; n < 3 * 64; round++) {
        size_t k = udp_receive(udp, 0, got);
        assert_int_equal(k, round == 0 ? UDP_BATCH : 3 * 64 - UDP_BATCH);
        for (size_t i = 0; i < k; i++, n++)
            assert_part(&got[i], n / 64, n % 64 * 500, n % 64 == 63 ? 20 : 500);
        assert_int_equal(udp_is_holding(udp, 0), n < 3 * 64);
    }
    assert_false(udp_may_have_more(udp, 0));
    assert_int_equal(counters_of(udp).received, 3 * 64);
    assert_int_equal(counters_of(udp).gathered, 3 * 64);
    assert_int_equal(udp_receive(udp, 0, got), 0);
    assert_int_equal(kernel.asked, UDP_BATCH * 3 / (3 * 64));
    udp_close(udp);
}

/* As many messages as were asked for: there may be more, though what came is few. */
static void test_reading_grows_again(void **state) {
    (void)state;
    struct udp *udp = open_fake(64);
    struct datagram got[UDP_BATCH];
    script(64 * 100, 100);
    assert_int_equal(udp_receive(udp, 0, got), 64);
    assert_false(udp_may_have_more(udp, 0));
    for (size_t i = 0; i < 7; i++)
        script(200, 0);
    assert_int_equal(udp_receive(udp, 0, got), 2);
    assert_true(udp_may_have_more(udp, 0));
    assert_false(udp_is_holding(udp, 0));
    assert_int_equal(udp_receive(udp, 0, got), 4);
    assert_true(udp_may_have_more(udp, 0));
    assert_int_equal(udp_receive(udp, 0, got), 1);
    assert_int_equal(kernel.asked, 8);
    assert_false(udp_may_have_more(udp, 0));
    assert_int_equal(counters_of(udp).gathered, 64);
    udp_close(udp);
}

/* Alone, empty, of a length that is none of ours, and the same in pieces. */
static void test_odd_messages(void **state) {
    (void)state;
    struct udp *udp = open_fake(64);
    struct datagram got[UDP_BATCH];
    script(DATAGRAM_LEN, 0);
    script(0, 0);
    script(DATAGRAM_LEN + 1, 0);
    script(65507, 0);
    script(2 * (DATAGRAM_LEN + 5), DATAGRAM_LEN + 5);
    script(10, 10);
    script(10, 20);
    assert_int_equal(udp_receive(udp, 0, got), 4);
    assert_part(&got[0], 0, 0, DATAGRAM_LEN);
    assert_part(&got[1], 1, 0, 0);
    assert_part(&got[2], 2, 0, DATAGRAM_LEN + 1);
    assert_part(&got[3], 3, 0, DATAGRAM_LEN + 1);
    assert_int_equal(udp_receive(udp, 0, got), 4);
    assert_part(&got[0], 4, 0, DATAGRAM_LEN + 1);
    assert_part(&got[1], 4, DATAGRAM_LEN + 5, DATAGRAM_LEN + 1);
    assert_part(&got[2], 5, 0, 10);
    assert_part(&got[3], 6, 0, 10);
    assert_int_equal(counters_of(udp).gathered, 2);
    udp_close(udp);
}

/* Where all that was asked for comes and each is alone, a reading grows to all its buffers, and no
 * further. */
static void test_reading_at_its_bound(void **state) {
    (void)state;
    struct udp *udp = open_fake(64);
    struct datagram got[UDP_BATCH];
    size_t n = 0, k;
    for (size_t i = 0; i < 64; i++)
        script(200, 0);
    for (size_t asked = 4; (k = udp_receive(udp, 0, got)) > 0; asked = asked < 32 ? 2 * asked : 32)
        for (size_t i = 0; i < k; i++) {
            assert_int_equal(kernel.asked, asked);
            assert_part(&got[i], n++, 0, 200);
        }
    assert_int_equal(n, 64);
    udp_close(udp);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_destinations_are_gathered),
        cmocka_unit_test(test_more_than_a_lot),
        cmocka_unit_test(test_bounds_of_a_message),
        cmocka_unit_test(test_mixed_lengths),
        cmocka_unit_test(test_without_segments),
        cmocka_unit_test(test_refused_segments_go_one_by_one),
        cmocka_unit_test(test_refused_alone_too),
        cmocka_unit_test(test_refused_and_then_full),
        cmocka_unit_test(test_full_while_in_doubt),
        cmocka_unit_test(test_full_between_messages),
        cmocka_unit_test(test_queue_counts_datagrams),
        cmocka_unit_test(test_error_of_a_destination),
        cmocka_unit_test(test_more_than_a_call_hands_out),
        cmocka_unit_test(test_reading_grows_again),
        cmocka_unit_test(test_reading_at_its_bound),
        cmocka_unit_test(test_odd_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
