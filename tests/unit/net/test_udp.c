/* link: daemon/io/net/udp daemon/io/net/udp_send daemon/io/net/udp_linux daemon/io/net/udp_posix shared/address */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/net/udp.h"
#include "daemon/io/net/udp_system.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define WAIT_MS 5000

static struct address at(const char *text) {
    struct address address;
    assert_int_equal(address_parse(text, &address), 0);
    return address;
}

static struct udp *open_one(const char *ip) {
    struct address address = at(ip);
    struct udp *udp = NULL;
    char error[FAILURE_MAX];
    assert_int_equal(udp_open(&udp, &address, 1, false, error), 0);
    assert_int_equal(udp_n_sockets(udp), 1);
    assert_int_not_equal(udp_bound(udp, 0)->port, 0);
    return udp;
}

static bool has_ipv6(void) {
    struct address loopback = at("::1");
    struct udp *udp = NULL;
    char error[FAILURE_MAX];
    bool has = udp_open(&udp, &loopback, 1, false, error) == 0;
    if (has)
        udp_close(udp);
    return has;
}

/* Wait until there is something to read, then read. */
static size_t receive(struct udp *udp, size_t socket, struct datagram *datagrams) {
    struct pollfd pollfd = {.fd = udp_fd(udp, socket), .events = POLLIN};
    if (!udp_is_holding(udp, socket))
        assert_int_equal(poll(&pollfd, 1, WAIT_MS), 1);
    return udp_receive(udp, socket, datagrams);
}

static void send_text(struct udp *udp, const struct address *to, const struct address *from,
                      const char *text) {
    struct datagram datagram = {
        .remote = *to, .bytes = (uint8_t *)(uintptr_t)text, .length = strlen(text)};
    if (from)
        datagram.local = *from;
    udp_send(udp, &datagram, 1);
}

static void there_and_back(const char *ip, const char *asked) {
    struct udp *server = open_one(ip);
    struct udp *client = open_one(asked);
    struct address to = at(asked);
    struct datagram got[UDP_BATCH];
    to.port = udp_bound(server, 0)->port;
    send_text(client, &to, NULL, "question");
    assert_int_equal(receive(server, 0, got), 1);
    assert_int_equal(got[0].length, 8);
    assert_memory_equal(got[0].bytes, "question", 8);
    assert_true(address_is_equal(&got[0].remote, udp_bound(client, 0)));
    assert_true(address_is_equal(&got[0].local, &to));
    struct address remote = got[0].remote, local = got[0].local;
    send_text(server, &remote, &local, "answer");
    assert_int_equal(receive(client, 0, got), 1);
    assert_memory_equal(got[0].bytes, "answer", 6);
    assert_true(address_is_equal(&got[0].remote, &to));
    assert_int_equal(udp_receive(client, 0, got), 0);
    udp_close(client);
    udp_close(server);
}

static void test_ipv4(void **state) {
    (void)state;
    there_and_back("127.0.0.1", "127.0.0.1");
}

/* The answer of a wildcard socket leaves from the address that was asked, not from the one
 * nearest to the route. */
static void test_answers_from_the_address_asked(void **state) {
    (void)state;
    there_and_back("0.0.0.0", "127.0.0.7");
}

static void test_ipv6(void **state) {
    (void)state;
    if (!has_ipv6())
        skip();
    there_and_back("::1", "::1");
    there_and_back("::", "::1");
}

/* An IPv6 wildcard socket is IPv6 only: the IPv4 one beside it takes the same port. */
static void test_both_families_on_one_port(void **state) {
    (void)state;
    if (!has_ipv6())
        skip();
    struct udp *first = open_one("0.0.0.0"), *both = NULL;
    struct address listen[2] = {at("127.0.0.1"), at("::")};
    char error[FAILURE_MAX];
    listen[0].port = listen[1].port = udp_bound(first, 0)->port;
    udp_close(first);
    assert_int_equal(udp_open(&both, listen, 2, false, error), 0);
    assert_int_equal(udp_n_sockets(both), 2);
    struct udp *client = open_one("::1");
    struct datagram got[UDP_BATCH];
    struct address to = at("::1");
    to.port = listen[1].port;
    send_text(client, &to, NULL, "six");
    assert_int_equal(receive(both, 1, got), 1);
    struct address remote = got[0].remote;
    send_text(both, &remote, NULL, "back");
    assert_int_equal(receive(client, 0, got), 1);
    udp_close(client);
    udp_close(both);
}

static void test_longest_and_one_more(void **state) {
    (void)state;
    struct udp *server = open_one("127.0.0.1"), *client = open_one("127.0.0.1");
    static uint8_t bytes[DATAGRAM_LEN + 100];
    struct datagram out = {.remote = *udp_bound(server, 0), .bytes = bytes};
    struct datagram got[UDP_BATCH];
    size_t lengths[] = {DATAGRAM_LEN, DATAGRAM_LEN + 1, DATAGRAM_LEN + 100, 0};
    size_t seen[] = {DATAGRAM_LEN, DATAGRAM_LEN + 1, DATAGRAM_LEN + 1, 0};
    for (size_t i = 0; i < 4; i++) {
        out.length = lengths[i];
        udp_send(client, &out, 1);
        assert_int_equal(receive(server, 0, got), 1);
        assert_int_equal(got[0].length, seen[i]);
    }
    udp_close(client);
    udp_close(server);
}

static bool has_segments(const struct udp *udp) {
    return udp_system_segments(udp_fd(udp, 0)) > 1;
}

/* 200 datagrams to one destination are more than a message takes, and than a call hands out; all
 * arrive, in order. */
static void test_batches_keep_their_order(void **state) {
    (void)state;
    struct udp *server = open_one("127.0.0.1"), *client = open_one("127.0.0.1");
    struct datagram out[200], got[UDP_BATCH];
    uint8_t numbers[200];
    for (size_t i = 0; i < 200; i++) {
        numbers[i] = (uint8_t)i;
        out[i] =
            (struct datagram){.remote = *udp_bound(server, 0), .bytes = &numbers[i], .length = 1};
    }
    udp_send(client, out, 200);
    size_t next = 0;
    while (next < 200) {
        size_t n = receive(server, 0, got);
        assert_in_range(n, 1, UDP_BATCH);
        for (size_t i = 0; i < n; i++, next++)
            assert_int_equal(got[i].bytes[0], next);
    }
    struct udp_counters counters;
    udp_counters(client, &counters);
    assert_int_equal(counters.sent, 200);
    assert_int_equal(counters.segmented, has_segments(client) ? 200 : 0);
    udp_counters(server, &counters);
    assert_int_equal(counters.received, 200);
    assert_int_equal(counters.gathered, has_segments(client) ? 200 : 0);
    udp_close(client);
    udp_close(server);
}

#define SERVERS 3
#define EACH 100 /* what the smallest receive buffer takes */

/* Lengths as a link has them: nearly all the longest, now and then another, now and then none. */
static size_t length_of(size_t i) {
    return i % 41 == 40 ? 0 : i % 17 == 3 ? 1 + i % 1000 : DATAGRAM_LEN;
}

static uint8_t byte_of(size_t server, size_t i, size_t at) {
    return (uint8_t)(server * 89 + i * 7 + at * 13 + i / 256);
}

/* All of one server's, exactly and in order; each is overwritten once it is checked, which must
 * not show in any other. */
static void assert_all_arrive(struct udp *udp, size_t server, const struct address *from) {
    struct datagram got[UDP_BATCH];
    for (size_t next = 0; next < EACH;) {
        size_t n = receive(udp, 0, got);
        for (size_t i = 0; i < n; i++, next++) {
            assert_true(address_is_equal(&got[i].remote, from));
            assert_int_equal(got[i].length, length_of(next));
            for (size_t k = 0; k < got[i].length; k++)
                assert_int_equal(got[i].bytes[k], byte_of(server, next, k));
            memset((void *)(uintptr_t)got[i].bytes, 0xee, got[i].length);
        }
    }
    assert_int_equal(udp_receive(udp, 0, got), 0);
}

/* Servers at `ip` take turns in one call, which leaves from `asked`. */
static void interleave(const char *ip, const char *listen, const char *asked) {
    static uint8_t bytes[EACH * SERVERS][DATAGRAM_LEN];
    static struct datagram out[EACH * SERVERS];
    struct udp *servers[SERVERS], *client = open_one(listen);
    struct address from = at(asked);
    from.port = udp_bound(client, 0)->port;
    for (size_t k = 0; k < SERVERS; k++)
        servers[k] = open_one(ip);
    for (size_t i = 0; i < EACH * SERVERS; i++) {
        size_t k = i % SERVERS, number = i / SERVERS;
        for (size_t b = 0; b < length_of(number); b++)
            bytes[i][b] = byte_of(k, number, b);
        out[i] = (struct datagram){.remote = *udp_bound(servers[k], 0),
                                   .local = from,
                                   .bytes = bytes[i],
                                   .length = length_of(number)};
    }
    udp_send(client, out, EACH * SERVERS);
    struct udp_counters counters;
    udp_counters(client, &counters);
    assert_int_equal(counters.sent, EACH * SERVERS);
    assert_true(!has_segments(client) || counters.segmented > EACH * SERVERS / 2);
    for (size_t k = 0; k < SERVERS; k++) {
        assert_all_arrive(servers[k], k, &from);
        udp_close(servers[k]);
    }
    udp_close(client);
}

static void test_destinations_take_turns(void **state) {
    (void)state;
    interleave("127.0.0.1", "127.0.0.1", "127.0.0.1");
    interleave("127.0.0.1", "0.0.0.0", "127.0.0.7");
    if (!has_ipv6())
        return;
    interleave("::1", "::1", "::1");
    interleave("::1", "::", "::1");
}

/* Two of our addresses talk to one of theirs: what lies together in a message has one source. */
static void test_sources_take_turns(void **state) {
    (void)state;
    struct udp *server = open_one("127.0.0.1"), *client = open_one("0.0.0.0");
    struct address sources[2] = {at("127.0.0.7"), at("127.0.0.8")};
    struct datagram out[100], got[UDP_BATCH];
    uint8_t numbers[100];
    for (size_t i = 0; i < 100; i++) {
        numbers[i] = (uint8_t)i;
        out[i] = (struct datagram){.remote = *udp_bound(server, 0),
                                   .local = sources[i % 2],
                                   .bytes = &numbers[i],
                                   .length = 1};
    }
    udp_send(client, out, 100);
    size_t next[2] = {0, 1};
    while (next[0] + next[1] < 201) {
        size_t n = receive(server, 0, got);
        for (size_t i = 0; i < n; i++) {
            size_t k = address_is_same_ip(&got[i].remote, &sources[1]);
            assert_true(address_is_same_ip(&got[i].remote, &sources[k]));
            assert_int_equal(got[i].bytes[0], next[k]);
            next[k] += 2;
        }
    }
    udp_close(client);
    udp_close(server);
}

/* Datagrams of one call leave by the sockets of their families; each of them in messages of its
 * own. */
static void test_two_families_in_one_call(void **state) {
    (void)state;
    if (!has_ipv6())
        skip();
    struct address listen[2] = {at("127.0.0.1"), at("::1")};
    struct udp *client = NULL, *four = open_one("127.0.0.1"), *six = open_one("::1");
    char error[FAILURE_MAX];
    assert_int_equal(udp_open(&client, listen, 2, false, error), 0);
    struct datagram out[100], got[UDP_BATCH];
    uint8_t numbers[100];
    for (size_t i = 0; i < 100; i++) {
        numbers[i] = (uint8_t)i;
        out[i] = (struct datagram){
            .remote = *udp_bound(i % 2 ? six : four, 0), .bytes = &numbers[i], .length = 1};
    }
    udp_send(client, out, 100);
    for (size_t k = 0; k < 2; k++)
        for (size_t next = 0; next < 50;) {
            size_t n = receive(k ? six : four, 0, got);
            for (size_t i = 0; i < n; i++, next++) {
                assert_int_equal(got[i].bytes[0], 2 * next + k);
                assert_true(address_is_equal(&got[i].remote, udp_bound(client, k)));
            }
        }
    udp_close(client);
    udp_close(four);
    udp_close(six);
}

/* One datagram that the kernel refuses takes nothing else with it. */
static void test_refused_datagram_is_counted(void **state) {
    (void)state;
    struct udp *server = open_one("127.0.0.1"), *client = open_one("127.0.0.1");
    struct datagram got[UDP_BATCH];
    static uint8_t huge[70000];
    struct datagram out[3] = {
        {.remote = *udp_bound(server, 0), .bytes = (uint8_t *)(uintptr_t) "a", .length = 1},
        {.remote = *udp_bound(server, 0), .bytes = huge, .length = sizeof huge},
        {.remote = *udp_bound(server, 0), .bytes = (uint8_t *)(uintptr_t) "b", .length = 1},
    };
    udp_send(client, out, 3);
    size_t n = 0;
    while (n < 2)
        n += receive(server, 0, got);
    assert_int_equal(n, 2);
    struct udp_counters counters;
    udp_counters(client, &counters);
    assert_int_equal(counters.sent, 2);
    assert_int_equal(counters.send_errors, 1);
    assert_int_equal(counters.too_large, 1); /* it says so, and for whom it was */
    assert_true(address_is_equal(&counters.too_large_to, udp_bound(server, 0)));
    udp_close(client);
    udp_close(server);
}

static void test_family_without_a_socket(void **state) {
    (void)state;
    struct udp *client = open_one("127.0.0.1");
    struct address to = at("[2001:db8::1]:9");
    send_text(client, &to, NULL, "nowhere");
    struct udp_counters counters;
    udp_counters(client, &counters);
    assert_int_equal(counters.no_socket, 1);
    assert_int_equal(counters.sent, 0);
    udp_close(client);
}

/* A destination without a listener answers with ICMP: nothing stops, later datagrams still
 * leave. */
static void test_icmp_is_ignored(void **state) {
    (void)state;
    struct udp *gone = open_one("127.0.0.1"), *server = open_one("127.0.0.1");
    struct udp *client = open_one("127.0.0.1");
    struct address nobody = *udp_bound(gone, 0);
    struct datagram got[UDP_BATCH];
    udp_close(gone);
    for (int i = 0; i < 3; i++)
        send_text(client, &nobody, NULL, "x");
    assert_int_equal(udp_receive(client, 0, got), 0);
    send_text(client, udp_bound(server, 0), NULL, "still here");
    assert_int_equal(receive(server, 0, got), 1);
    udp_close(client);
    udp_close(server);
}

static void test_taken_and_foreign_addresses(void **state) {
    (void)state;
    struct udp *first = open_one("127.0.0.1"), *udp = NULL;
    struct address taken = *udp_bound(first, 0), foreign[2] = {at("192.0.2.1"), at("127.0.0.1")};
    char error[FAILURE_MAX];
    assert_int_equal(udp_open(&udp, &taken, 1, true, error), -EADDRINUSE);
    assert_non_null(strstr(error, "127.0.0.1"));
    /* Asked for, it is waited for; others are opened meanwhile. */
    assert_int_equal(udp_open(&udp, foreign, 1, false, error), 0);
    struct address missing;
    int why = 0;
    assert_int_equal(udp_n_sockets(udp), 0);
    assert_int_equal(udp_retry(udp), 0);
    assert_true(udp_find_missing(udp, &missing, &why));
    assert_true(address_is_equal(&missing, &foreign[0]));
    assert_int_equal(why, -EADDRNOTAVAIL);
    udp_close(udp);
    udp = NULL;
    assert_int_equal(udp_open(&udp, foreign, 1, true, error), -EADDRNOTAVAIL);
    assert_null(udp);
    assert_int_equal(udp_open(&udp, foreign, 2, true, error), 0);
    assert_int_equal(udp_n_sockets(udp), 1);
    udp_close(udp);
    udp_close(first);
}

static void test_number_of_sockets(void **state) {
    (void)state;
    struct address listen[UDP_SOCKETS_MAX + 1];
    struct udp *udp = NULL;
    char error[FAILURE_MAX];
    for (size_t i = 0; i <= UDP_SOCKETS_MAX; i++)
        listen[i] = at("127.0.0.1");
    assert_int_equal(udp_open(&udp, listen, UDP_SOCKETS_MAX + 1, false, error), -E2BIG);
    assert_int_equal(udp_open(&udp, listen, UDP_SOCKETS_MAX, false, error), 0);
    udp_close(udp);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ipv4),
        cmocka_unit_test(test_answers_from_the_address_asked),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_both_families_on_one_port),
        cmocka_unit_test(test_longest_and_one_more),
        cmocka_unit_test(test_batches_keep_their_order),
        cmocka_unit_test(test_destinations_take_turns),
        cmocka_unit_test(test_sources_take_turns),
        cmocka_unit_test(test_two_families_in_one_call),
        cmocka_unit_test(test_refused_datagram_is_counted),
        cmocka_unit_test(test_family_without_a_socket),
        cmocka_unit_test(test_icmp_is_ignored),
        cmocka_unit_test(test_taken_and_foreign_addresses),
        cmocka_unit_test(test_number_of_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
