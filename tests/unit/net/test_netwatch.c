/* link: daemon/io/net/netwatch */
/* Changes of a network of our own, where the system lets us have one; elsewhere only that opening
 * and closing leave nothing. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/net/netwatch.h"

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WAIT_S 10.0

struct seen {
    struct ev_loop *loop;
    unsigned calls;
    ev_tstamp at;
};

static void changed(void *context) {
    struct seen *seen = context;
    seen->calls++;
    seen->at = ev_time();
    ev_break(seen->loop, EVBREAK_ONE);
}

static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int events) {
    (void)watcher, (void)events;
    ev_break(loop, EVBREAK_ONE);
}

/* Run the loop until something is told, or the time is over. */
static void run(struct seen *seen, double at_most_s) {
    ev_timer deadline;
    ev_timer_init(&deadline, on_deadline, at_most_s, 0);
    ev_now_update(seen->loop);
    ev_timer_start(seen->loop, &deadline);
    ev_run(seen->loop, 0);
    ev_timer_stop(seen->loop, &deadline);
}

#ifdef __linux__
/* Users may have a network of their own where they may be root of a user namespace. */
static bool become_root(unsigned user) {
    char line[32];
    int length = snprintf(line, sizeof line, "0 %u 1", user), fd;
    if (unshare(CLONE_NEWUSER) < 0 || (fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC)) < 0)
        return false;
    bool good = write(fd, line, (size_t)length) == length;
    return close(fd) == 0 && good;
}
#endif

static bool own_network(void) {
#ifdef __linux__
    return (geteuid() == 0 || become_root(geteuid())) && unshare(CLONE_NEWNET) == 0 &&
           system("PATH=$PATH:/usr/sbin:/sbin ip link set lo up") == 0;
#else
    return false;
#endif
}

static void test_open_and_close(void **state) {
    struct seen seen = {.loop = ev_loop_new(EVFLAG_AUTO)};
    struct netwatch *netwatch = NULL;
    (void)state;
    netwatch_close(NULL);
    assert_int_equal(netwatch_open(&netwatch, seen.loop, changed, &seen), 0);
    netwatch_close(netwatch);
    run(&seen, 0.01);
    assert_int_equal(seen.calls, 0);
    ev_loop_destroy(seen.loop);
}

static void test_changes_are_told_once(void **state) {
    struct seen seen = {.loop = ev_loop_new(EVFLAG_AUTO)};
    struct netwatch *netwatch = NULL;
    (void)state;
    if (!own_network()) {
        ev_loop_destroy(seen.loop);
        skip();
    }
    assert_int_equal(netwatch_open(&netwatch, seen.loop, changed, &seen), 0);
    run(&seen, NETWATCH_GATHER_S); /* what making the network has left */
    seen.calls = 0;
    for (unsigned k = 1; k <= 2; k++) {
        ev_tstamp began = ev_time();
        assert_int_equal(system("PATH=$PATH:/usr/sbin:/sbin; "
                                "six() { [ ! -d /proc/sys/net/ipv6 ] || ip address \"$@\"; }; "
                                "ip address add 127.77.0.1/32 dev lo && "
                                "ip address add 127.77.0.2/32 dev lo && "
                                "six add fd77::1/128 dev lo nodad && "
                                "ip address flush to 127.77.0.0/16 && "
                                "six del fd77::1/128 dev lo"),
                         0);
        run(&seen, WAIT_S);
        assert_int_equal(seen.calls, k);
        assert_true(seen.at - began >= NETWATCH_GATHER_S);
        run(&seen, 2 * NETWATCH_GATHER_S); /* and no second time */
        assert_int_equal(seen.calls, k);
    }
    assert_int_equal(system("PATH=$PATH:/usr/sbin:/sbin ip link set lo down"),
                     0); /* interfaces count too */
    run(&seen, WAIT_S);
    assert_int_equal(seen.calls, 3);
    netwatch_close(netwatch);
    ev_loop_destroy(seen.loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_and_close),
        cmocka_unit_test(test_changes_are_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
