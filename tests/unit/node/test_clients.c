/* link: daemon/core/node/clients */
/* Who waits for an answer, in which room, and how many may. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/node/clients.h"

static struct clients clients;
static struct client_wait waits[CLIENTS_WAITS_MAX + 1];

static int set_up(void **state) {
    (void)state;
    clients_init(&clients);
    return 0;
}

/* Up to the bound of a room; its words are that room's own. Returns the bound. */
static size_t fill(enum client_room room, size_t first) {
    size_t n = 0;
    for (; !clients_refusal(&clients, room); n++)
        clients_add(&clients, &waits[first + n], first + n + 1, room);
    return n;
}

static void test_each_room_has_its_bound(void **state) {
    (void)state;
    assert_int_equal(fill(CLIENT_PING, 0), 32);
    assert_string_equal(clients_refusal(&clients, CLIENT_PING), "too many pings at once");
    assert_null(clients_refusal(&clients, CLIENT_QUERY));
    assert_int_equal(fill(CLIENT_QUERY, 32), 256);
    assert_int_equal(fill(CLIENT_SETTLING, 288), 64);
    clients_remove(&clients, &waits[5]);
    assert_null(clients_refusal(&clients, CLIENT_PING));
}

static void test_all_rooms_have_one(void **state) {
    (void)state;
    assert_int_equal(fill(CLIENT_OUTBOX, 0), CLIENTS_WAITS_MAX);
    assert_int_equal(clients.n_all, CLIENTS_WAITS_MAX);
    for (enum client_room room = 0; room < CLIENT_ROOMS; room++)
        assert_non_null(clients_refusal(&clients, room));
    clients_remove(&clients, &waits[7]);
    for (enum client_room room = 0; room < CLIENT_ROOMS; room++)
        assert_null(clients_refusal(&clients, room));
}

static void test_the_order_of_a_room_is_that_of_coming(void **state) {
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        clients_add(&clients, &waits[i], 9 - i, i == 2 ? CLIENT_QUERY : CLIENT_PING);
    struct client_wait *wait = clients_first(&clients, CLIENT_PING);
    assert_ptr_equal(wait, &waits[0]);
    assert_ptr_equal(clients_next(wait), &waits[1]);
    assert_ptr_equal(clients_next(&waits[1]), &waits[3]);
    assert_null(clients_next(&waits[3]));
    clients_remove(&clients, &waits[1]);
    assert_ptr_equal(clients_next(&waits[0]), &waits[3]);
}

/* Those whose numbers share a chain are told apart. */
static void test_a_client_is_found_by_its_number(void **state) {
    (void)state;
    clients_add(&clients, &waits[0], 3, CLIENT_PING);
    clients_add(&clients, &waits[1], 3 + CLIENTS_CHAINS, CLIENT_QUERY);
    clients_add(&clients, &waits[2], 3 + CLIENTS_CHAINS, CLIENT_PING);
    assert_ptr_equal(clients_find(&clients, 3), &waits[0]);
    assert_ptr_equal(clients_find(&clients, 3 + CLIENTS_CHAINS), &waits[1]);
    assert_null(clients_find(&clients, 3 + 2 * CLIENTS_CHAINS));
    clients_remove(&clients, &waits[1]);
    assert_ptr_equal(clients_find(&clients, 3 + CLIENTS_CHAINS), &waits[2]);
}

/* Whoever asks and vanishes, again and again, has no more under way than others. */
static void test_who_is_gone_counts_until_it_ends(void **state) {
    (void)state;
    size_t n = fill(CLIENT_QUERY, 0);
    for (size_t i = 0; i < n; i++)
        clients_leave(&clients, &waits[i]);
    assert_true(waits[0].gone);
    assert_null(clients_find(&clients, 1));
    assert_non_null(clients_refusal(&clients, CLIENT_QUERY));
    for (size_t i = 0; i < n; i++)
        clients_remove(&clients, &waits[i]);
    assert_null(clients_refusal(&clients, CLIENT_QUERY));
    assert_int_equal(clients.n_all, 0);
}

int main(void) {
#define TEST(t) cmocka_unit_test_setup(t, set_up)
    const struct CMUnitTest tests[] = {
        TEST(test_each_room_has_its_bound),
        TEST(test_all_rooms_have_one),
        TEST(test_the_order_of_a_room_is_that_of_coming),
        TEST(test_a_client_is_found_by_its_number),
        TEST(test_who_is_gone_counts_until_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
