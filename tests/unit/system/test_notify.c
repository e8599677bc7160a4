/* link: daemon/io/system/notify */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/system/notify.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int setup(void **state) {
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return 0;
}

/* Listen as init would; `name` begins with '/' or '@'. */
static int listen_at(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    memcpy(address.sun_path, name, length);
    if (*name == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_true(fd >= 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (*name == '/'));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

static void assert_heard(int fd, const char *expected) {
    char text[600] = {0};
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&pollfd, 1, 5000), 1);
    assert_true(recv(fd, text, sizeof text - 1, MSG_DONTWAIT) >= 0);
    assert_string_equal(text, expected);
}

static void whole_life(const char *name) {
    struct notify notify;
    int fd = listen_at(name);
    notify_init(&notify);
    assert_int_equal(notify_ready(&notify, "ready"), 0);
    assert_heard(fd, "READY=1\nSTATUS=ready");
    assert_int_equal(notify_status(&notify, "5 neighbours"), 0);
    assert_heard(fd, "STATUS=5 neighbours");
    assert_int_equal(notify_watchdog(&notify), 0);
    assert_heard(fd, "WATCHDOG=1");
    assert_int_equal(notify_reloading(&notify, 1234567), 0);
    assert_heard(fd, "RELOADING=1\nMONOTONIC_USEC=1234567");
    assert_int_equal(notify_stopping(&notify), 0);
    assert_heard(fd, "STOPPING=1\nSTATUS=leaving the network");
    notify_deinit(&notify);
    close(fd);
}

static void test_path(void **state) {
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "/tmp/p2pd-notify-%ld", (long)getpid());
    whole_life(name);
    unlink(name);
}

static void test_abstract(void **state) {
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "@p2pd-notify-%ld", (long)getpid());
    whole_life(name);
}

static void test_nobody_listens(void **state) {
    (void)state;
    struct notify notify;
    notify_init(&notify);
    assert_int_equal(notify.fd, -1);
    assert_int_equal(notify_ready(&notify, "x"), 0);
    notify_deinit(&notify);
    setenv("NOTIFY_SOCKET", "/tmp/p2pd-no-such-socket", 1);
    notify_init(&notify);
    assert_true(notify.fd >= 0);
    assert_true(notify_ready(&notify, "x") < 0);
    notify_deinit(&notify);
}

static void test_names_that_are_none(void **state) {
    (void)state;
    static const char *const names[] = {"", "@", "/", "relative", "vsock:1:2"};
    struct notify notify;
    char longest[sizeof notify.address.sun_path + 1];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        notify_init(&notify);
        assert_int_equal(notify.fd, -1);
    }
    memset(longest, '/', sizeof longest);
    longest[sizeof notify.address.sun_path - 1] = '\0';
    setenv("NOTIFY_SOCKET", longest, 1);
    notify_init(&notify);
    assert_true(notify.fd >= 0);
    notify_deinit(&notify);
    longest[sizeof notify.address.sun_path - 1] = '/';
    longest[sizeof notify.address.sun_path] = '\0';
    setenv("NOTIFY_SOCKET", longest, 1);
    notify_init(&notify);
    assert_int_equal(notify.fd, -1);
}

static int64_t watchdog_with(const char *usec, const char *pid) {
    struct notify notify;
    setenv("NOTIFY_SOCKET", "@x-unused", 1);
    setenv("WATCHDOG_USEC", usec, 1);
    if (pid)
        setenv("WATCHDOG_PID", pid, 1);
    notify_init(&notify);
    notify_deinit(&notify);
    return notify.watchdog_us;
}

static void test_watchdog(void **state) {
    (void)state;
    char pid[32];
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    assert_int_equal(watchdog_with("30000000", NULL), 30000000);
    assert_int_equal(watchdog_with("30000000", pid), 30000000);
    assert_int_equal(watchdog_with("30000000", "1"), 0);
    assert_int_equal(watchdog_with("-5", pid), 0);
    assert_int_equal(watchdog_with("5s", pid), 0);
    assert_int_equal(watchdog_with("9999999999999999999", pid), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_path, setup),
        cmocka_unit_test_setup(test_abstract, setup),
        cmocka_unit_test_setup(test_nobody_listens, setup),
        cmocka_unit_test_setup(test_names_that_are_none, setup),
        cmocka_unit_test_setup(test_watchdog, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
