/* link: daemon/io/system/log_queue daemon/io/system/process shared/log shared/text */
/* A log that nobody reads: whoever logs never waits, what is lost is counted and said, and the end
 * comes in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/system/log_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct log_rig {
    struct log log;
    struct log_queue *queue;
    int saved, reader; /* standard error as it was, and the pipe that takes its place */
} rig;

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int setup(void **state) {
    (void)state;
    int ends[2];
    if (pipe(ends) < 0)
        return -1;
    fflush(stderr);
    rig.saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    rig.reader = ends[0];
    unsetenv("JOURNAL_STREAM");
    log_open(&rig.log, LOG_LEVEL_INFO, false);
    return log_queue_start(&rig.queue, &rig.log);
}

static int teardown(void **state) {
    (void)state;
    dup2(rig.saved, STDERR_FILENO);
    close(rig.saved);
    close(rig.reader);
    return 0;
}

/* All that comes until `until` has come; the caller frees. */
static char *read_until(const char *until) {
    size_t length = 0, room = 4u << 20;
    char *text = calloc(1, room);
    while (!strstr(text + (length > 200 ? length - 200 : 0), until)) {
        ssize_t n = read(rig.reader, text + length, room - length - 1 < 150 ? 0 : 150);
        assert_true(n > 0);
        length += (size_t)n;
    }
    return text;
}

static void test_lines_arrive_in_order(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++)
        log_info(&rig.log, "line %d.", i);
    char *text = read_until("line 19."), *at = text, line[32];
    for (int i = 0; i < 20; i++) {
        snprintf(line, sizeof line, " info: line %d.\n", i);
        at = strstr(at, line);
        assert_non_null(at);
    }
    free(text);
    assert_true(log_queue_stop(rig.queue, &rig.log));
    assert_null(rig.log.put);
}

static void test_nobody_waits_and_what_is_lost_is_said(void **state) {
    (void)state;
    char padding[200];
    const int lines = 4000; /* several times what pipe and queue hold */
    memset(padding, 'x', sizeof padding - 1);
    padding[sizeof padding - 1] = '\0';
    double begin = seconds();
    for (int i = 0; i < lines; i++)
        log_info(&rig.log, "line %d. %s", i, padding);
    assert_true(seconds() - begin < 10); /* without a queue it would be for ever */
    unsigned long long lost = log_queue_lost(rig.queue), said = 0;
    assert_true(lost > 0 && lost < (unsigned)lines);

    char *text = read_until(" missing here"), *at;
    size_t shown = 0;
    for (at = strstr(text, "info: line "); at; at = strstr(at + 1, "info: line "))
        shown++;
    at = strstr(text, "warning: ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "warning: %llu line", &said), 1);
    assert_int_equal(said, lost);
    assert_int_equal(shown + said, lines);
    free(text);

    log_info(&rig.log, "it goes on");
    free(read_until("info: it goes on\n"));
    assert_true(log_queue_stop(rig.queue, &rig.log));
}

static void test_the_end_does_not_wait(void **state) {
    (void)state;
    while (log_queue_lost(rig.queue) == 0)
        log_info(&rig.log, "nobody reads this");
    double begin = seconds();
    assert_false(log_queue_stop(rig.queue, &rig.log));
    assert_true(seconds() - begin < 5);
    log_info(&rig.log, "goes nowhere, and does not hang"); /* the queue is the thread's alone */
    /* What the thread still has to say is for nobody to see. */
    dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
    close(rig.reader);
}

/* Another process that has the same pipe made it non-blocking: lines are not lost for that. */
static void test_a_pipe_that_does_not_block(void **state) {
    (void)state;
    fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
    for (int i = 0; i < 1200; i++) /* more than the pipe holds, less than the queue does */
        log_info(&rig.log, "line %d. ........................", i);
    free(read_until("line 1199."));
    assert_int_equal(log_queue_lost(rig.queue), 0);
    assert_true(log_queue_stop(rig.queue, &rig.log));
}

static void test_a_log_that_cannot_be_written(void **state) {
    (void)state;
    int full = open("/dev/full", O_WRONLY);
    if (full < 0)
        skip();
    dup2(full, STDERR_FILENO);
    close(full);
    log_info(&rig.log, "not written");
    while (log_queue_lost(rig.queue) == 0) /* counted, if not sayable */
        usleep(1000);
    assert_true(log_queue_stop(rig.queue, &rig.log));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines_arrive_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_waits_and_what_is_lost_is_said, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_pipe_that_does_not_block, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_log_that_cannot_be_written, setup, teardown),
        cmocka_unit_test_setup(test_the_end_does_not_wait, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
