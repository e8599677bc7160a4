/* link: daemon/io/resolve daemon/io/process */
/* Looking up names, against a name server that is a table here. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define WAIT_S 20
#define ADDRESSES_MAX 8

/* Shared with the thread that asks. */
static struct world {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned asked, woken;
    unsigned failures; /* so many questions are not answered */
    uint8_t last;      /* byte of the address that the name leads to */
    unsigned n;        /* addresses of it */
} world = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

struct reply {
    struct addrinfo info;
    struct sockaddr_in name;
};

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret_list) {
    struct reply *replies = calloc(ADDRESSES_MAX, sizeof *replies);
    (void)node, (void)service, (void)hints;
    pthread_mutex_lock(&world.lock);
    world.asked++;
    bool fails = world.failures > 0;
    world.failures -= fails;
    for (unsigned i = 0; replies && i < world.n; i++) {
        replies[i].name.sin_family = AF_INET;
        replies[i].name.sin_addr.s_addr = htonl(0xc0000200u + world.last + i);
        replies[i].info =
            (struct addrinfo){.ai_family = AF_INET, .ai_addr = (struct sockaddr *)&replies[i].name};
        if (i > 0)
            replies[i - 1].info.ai_next = &replies[i].info;
    }
    pthread_cond_broadcast(&world.changed);
    pthread_mutex_unlock(&world.lock);
    if (fails || !replies) {
        free(replies);
        return EAI_AGAIN;
    }
    *ret_list = &replies[0].info;
    return 0;
}
void freeaddrinfo(struct addrinfo *list) {
    free(list); /* the first member of the first reply */
}

static void wake(void *context) {
    (void)context;
    pthread_mutex_lock(&world.lock);
    world.woken++;
    pthread_cond_broadcast(&world.changed);
    pthread_mutex_unlock(&world.lock);
}

static void await(const unsigned *counter, unsigned wanted) {
    struct timespec deadline;
    int r = 0;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += WAIT_S;
    pthread_mutex_lock(&world.lock);
    while (*counter < wanted && r == 0)
        r = pthread_cond_timedwait(&world.changed, &world.lock, &deadline);
    assert_int_equal(*counter, wanted);
    pthread_mutex_unlock(&world.lock);
}

static unsigned collect(struct resolve *resolve, uint8_t last, uint16_t port) {
    struct address address;
    unsigned n = 0;
    while (resolve_collect(resolve, &address)) {
        n++;
        assert_int_equal(address.port, port);
        assert_in_range(address.ip[15], last, last + ADDRESSES_MAX);
    }
    return n;
}

static int set_up(void **state) {
    world.asked = world.woken = world.failures = 0;
    world.last = 1;
    world.n = 1;
    *state = resolve_new(wake, NULL);
    return *state ? 0 : -1;
}
static int tear_down(void **state) {
    resolve_free(*state);
    return 0;
}

static void test_a_name_is_asked_for_once(void **state) {
    struct resolve *resolve = *state;
    assert_int_equal(resolve_add(resolve, "udp://one.example:77"), 0);
    assert_int_equal(resolve_add(resolve, "one.example:77"), -EEXIST);
    await(&world.woken, 1);
    assert_int_equal(collect(resolve, 1, 77), 1);
    assert_int_equal(world.asked, 1);
}

static void test_a_refresh_asks_anew(void **state) {
    struct resolve *resolve = *state;
    resolve_refresh(resolve); /* nobody to ask */
    assert_int_equal(resolve_add(resolve, "one.example"), 0);
    await(&world.woken, 1);
    assert_int_equal(collect(resolve, 1, ADDRESS_PORT_DEFAULT), 1);
    world.last = 100; /* it has moved */
    resolve_refresh(resolve);
    await(&world.woken, 2);
    assert_int_equal(collect(resolve, 100, ADDRESS_PORT_DEFAULT), 1);
    assert_int_equal(world.asked, 2);
}

static void test_a_refresh_goes_on_until_there_is_an_answer(void **state) {
    struct resolve *resolve = *state;
    assert_int_equal(resolve_add(resolve, "one.example"), 0);
    await(&world.woken, 1);
    world.failures = 1;
    resolve_refresh(resolve);
    await(&world.woken, 2); /* after the first pause */
    assert_int_equal(world.asked, 3);
}

static void test_a_name_gives_four_addresses_at_most(void **state) {
    struct resolve *resolve = *state;
    world.n = ADDRESSES_MAX;
    assert_int_equal(resolve_add(resolve, "many.example"), 0);
    await(&world.woken, 1);
    assert_int_equal(collect(resolve, 1, ADDRESS_PORT_DEFAULT), 4);
}

int main(void) {
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_name_is_asked_for_once),
        TEST(test_a_refresh_asks_anew),
        TEST(test_a_refresh_goes_on_until_there_is_an_answer),
        TEST(test_a_name_gives_four_addresses_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
