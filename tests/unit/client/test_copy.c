/* link: client/ctl/copy */
/* A file is copied as it was when it was looked at, or it is said to have changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/ctl/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SIZE (1u << 20)

/* What befalls the file comes while it is copied: when this much of it was. */
#define MEANWHILE_AT (SIZE / 2)

struct fixture {
    char path[40];
    int fd, to; /* of the file, open for reading; where the copy goes */
    void (*meanwhile)(struct fixture *fixture);
};
static struct fixture *here; /* for progress_set, which copy_file calls */

void progress_set(struct progress *progress, uint64_t done) {
    (void)progress;
    if (!here->meanwhile || done < MEANWHILE_AT)
        return;
    here->meanwhile(here);
    here->meanwhile = NULL;
}

static int setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    uint8_t *bytes = malloc(SIZE);
    char to[] = "/tmp/test-copy-to-XXXXXX";
    assert_true(fixture && bytes);
    snprintf(fixture->path, sizeof fixture->path, "/tmp/test-copy-XXXXXX");
    int fd = mkstemp(fixture->path);
    randombytes_buf(bytes, SIZE);
    assert_int_equal(write(fd, bytes, SIZE), SIZE);
    /* Long ago, so that a change shows whatever the clock's steps. */
    const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    assert_int_equal(futimens(fd, old), 0);
    close(fd);
    free(bytes);
    fixture->fd = open(fixture->path, O_RDONLY | O_CLOEXEC);
    fixture->to = mkstemp(to);
    unlink(to);
    here = fixture;
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    unlink(fixture->path);
    close(fixture->fd);
    close(fixture->to);
    free(fixture);
    return 0;
}

/* Was all of it copied, as send would have it? *ret_size: how much was. */
static bool is_sent(int from, int to, uint64_t *ret_size) {
    struct copy_source source;
    struct progress progress = {0};
    uint8_t digest[COPY_DIGEST_LEN];
    bool at_source;
    *ret_size = 0;
    copy_look(from, &source);
    int r = copy_file(from, to, copy_most(&source), &progress, ret_size, digest, &at_source);
    if (r == -EFBIG)
        return false;
    assert_int_equal(r, 0);
    return copy_is_whole(from, &source, *ret_size);
}

static void write_at(const struct fixture *fixture, off_t at, const char *text) {
    int fd = open(fixture->path, O_WRONLY);
    assert_int_equal(pwrite(fd, text, strlen(text), at), strlen(text));
    close(fd);
}
static void cut(struct fixture *fixture) {
    assert_int_equal(truncate(fixture->path, 1000), 0);
}
static void cut_and_fill(struct fixture *fixture) {
    assert_int_equal(truncate(fixture->path, 1000), 0);
    assert_int_equal(truncate(fixture->path, SIZE), 0);
}
static void empty(struct fixture *fixture) {
    assert_int_equal(truncate(fixture->path, 0), 0);
}
static void grow(struct fixture *fixture) {
    write_at(fixture, SIZE, "x");
}
static void grow_much(struct fixture *fixture) {
    assert_int_equal(truncate(fixture->path, (off_t)SIZE * 100), 0);
}
static void rewrite_what_was_read(struct fixture *fixture) {
    write_at(fixture, 0, "x");
}
static void replace(struct fixture *fixture) {
    char other[] = "/tmp/test-copy-other-XXXXXX";
    close(mkstemp(other));
    assert_int_equal(rename(other, fixture->path), 0);
}

static void what_is_left_alone_is_whole(void **state) {
    struct fixture *fixture = *state;
    uint64_t size;
    assert_true(is_sent(fixture->fd, fixture->to, &size));
    assert_int_equal(size, SIZE);
    /* From where it stands, as `(head -c 1000; p2pctl send ...) <file` would leave it. */
    lseek(fixture->fd, 1000, SEEK_SET);
    assert_true(is_sent(fixture->fd, fixture->to, &size));
    assert_int_equal(size, SIZE - 1000);
    lseek(fixture->fd, SIZE + 1000, SEEK_SET);
    assert_true(is_sent(fixture->fd, fixture->to, &size));
    assert_int_equal(size, 0);
}

static void what_changes_is_not(void **state) {
    struct fixture *fixture = *state;
    void (*const changes[])(struct fixture *) = {cut,  cut_and_fill, empty,
                                                 grow, grow_much,    rewrite_what_was_read};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        uint64_t size;
        fixture->meanwhile = changes[i];
        assert_false(is_sent(fixture->fd, fixture->to, &size));
        assert_null(fixture->meanwhile);
        teardown(state);
        setup(state);
        fixture = *state;
    }
}

/* Another file under its name is another file: what we have open is whole. */
static void what_is_replaced_is_whole(void **state) {
    struct fixture *fixture = *state;
    uint64_t size;
    fixture->meanwhile = replace;
    assert_true(is_sent(fixture->fd, fixture->to, &size));
    assert_int_equal(size, SIZE);
}

/* A log that is written faster than we read has no end: ours is where it was. */
static void what_grows_for_ever_ends(void **state) {
    struct fixture *fixture = *state;
    struct progress progress = {0};
    uint8_t digest[COPY_DIGEST_LEN];
    uint64_t size;
    bool at_source = false;
    assert_int_equal(
        copy_file(fixture->fd, fixture->to, SIZE - 1, &progress, &size, digest, &at_source),
        -EFBIG);
    assert_true(at_source);
    lseek(fixture->fd, 0, SEEK_SET);
    assert_int_equal(
        copy_file(fixture->fd, fixture->to, SIZE, &progress, &size, digest, &at_source), 0);
}

static void without_a_size_it_is_what_comes(void **state) {
    struct fixture *fixture = *state;
    uint64_t size;
    int ends[2], fd;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "abc", 3), 3);
    close(ends[1]);
    assert_true(is_sent(ends[0], fixture->to, &size));
    assert_int_equal(size, 3);
    close(ends[0]);
    empty(fixture);
    assert_true(is_sent(fixture->fd, fixture->to, &size));
    assert_int_equal(size, 0);
    fd = open("/proc/self/status", O_RDONLY); /* says 0, and gives more */
    if (fd >= 0) {
        assert_true(is_sent(fd, fixture->to, &size));
        assert_true(size > 0);
        close(fd);
    }
}

static void holes_are_bytes(void **state) {
    struct fixture *fixture = *state;
    uint64_t size;
    assert_int_equal(truncate(fixture->path, (off_t)SIZE * 8), 0);
    assert_true(is_sent(fixture->fd, fixture->to, &size));
    assert_int_equal(size, (uint64_t)SIZE * 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(what_is_left_alone_is_whole),     TEST(what_changes_is_not),
        TEST(what_is_replaced_is_whole),       TEST(what_grows_for_ever_ends),
        TEST(without_a_size_it_is_what_comes), TEST(holes_are_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
