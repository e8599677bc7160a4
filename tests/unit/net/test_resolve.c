/* link: daemon/io/net/resolve daemon/io/system/process */
/* Looking up names, against a name server that is a table here. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/net/resolve.h"

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

static unsigned wait_for(const unsigned *counter, unsigned wanted) {
    struct timespec deadline;
    int r = 0;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += WAIT_S;
    pthread_mutex_lock(&world.lock);
    while (*counter < wanted && r == 0)
        r = pthread_cond_timedwait(&world.changed, &world.lock, &deadline);
    unsigned got = *counter;
    pthread_mutex_unlock(&world.lock);
    return got;
}
static void await(const unsigned *counter, unsigned wanted) {
    assert_int_equal(wait_for(counter, wanted), wanted);
}
static void await_more(const unsigned *counter, unsigned than) {
    assert_true(wait_for(counter, than + 1) > than);
}

static void set_failures(unsigned n) {
    pthread_mutex_lock(&world.lock);
    world.failures = n;
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
    await(&world.woken, 3); /* it fails; after the first pause it does not */
    assert_int_equal(world.asked, 3);
}

/* It stays known, with the reason, until it is found; what is news is told once. */
static void test_a_name_that_fails(void **state) {
    struct resolve *resolve = *state;
    struct host_report report;
    set_failures(UINT32_MAX);
    assert_false(resolve_news(resolve, &report));
    assert_int_equal(resolve_add(resolve, "udp://one.example:77"), 0);
    await(&world.woken, 1); /* by the failure */
    assert_int_equal(collect(resolve, 1, 77), 0);
    assert_int_equal(resolve_failing(resolve, &report, 1), 1);
    assert_string_equal(report.name, "udp://one.example:77");
    assert_string_equal(report.why, gai_strerror(EAI_AGAIN));
    assert_in_range(report.failing_us, 0, WAIT_S * US_PER_S);
    assert_in_range(report.next_us, 0, 300 * US_PER_S);
    assert_int_equal(resolve_failing(resolve, &report, 0), 0);
    assert_true(resolve_news(resolve, &report));
    assert_string_equal(report.why, gai_strerror(EAI_AGAIN));
    assert_false(resolve_news(resolve, &report));
    set_failures(0);
    await(&world.woken, 2); /* after a pause: there it is */
    assert_int_equal(collect(resolve, 1, 77), 1);
    assert_int_equal(resolve_failing(resolve, &report, 1), 0);
    assert_true(resolve_news(resolve, &report));
    assert_string_equal(report.why, "");
    assert_false(resolve_news(resolve, &report));
}

/* Tried again and failing the same way is no news. */
static void test_the_same_failure_is_told_once(void **state) {
    struct resolve *resolve = *state;
    struct host_report report;
    set_failures(UINT32_MAX);
    assert_int_equal(resolve_add(resolve, "one.example"), 0);
    await(&world.woken, 1);
    assert_true(resolve_news(resolve, &report));
    resolve_refresh(resolve);
    await_more(&world.asked, 1);
    assert_false(resolve_news(resolve, &report));
    assert_int_equal(resolve_failing(resolve, &report, 1), 1);
}

static void test_a_name_without_an_address(void **state) {
    struct resolve *resolve = *state;
    struct host_report report;
    world.n = 0;
    assert_int_equal(resolve_add(resolve, "none.example"), 0);
    await(&world.woken, 1);
    assert_int_equal(resolve_failing(resolve, &report, 1), 1);
    assert_string_equal(report.why, "it has no IP address");
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
        TEST(test_a_name_that_fails),
        TEST(test_the_same_failure_is_told_once),
        TEST(test_a_name_without_an_address),
        TEST(test_a_name_gives_four_addresses_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
