/* link: client/ctl/target shared/text */
/* A file that is copied is there whole and once, or not at all: whoever is killed over it, and
 * whoever comes at the same time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/ctl/target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint8_t key[TARGET_KEY_LEN] = {1, 2, 3}, other_key[TARGET_KEY_LEN] = {4};
#define PART_OF(name) name ".p2pctl-0102030000000000.part"

struct fixture {
    char path[40];
    int folder;
};

static int setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    snprintf(fixture->path, sizeof fixture->path, "/tmp/test-target-XXXXXX");
    assert_non_null(mkdtemp(fixture->path));
    fixture->folder = open(fixture->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = fixture;
    return 0;
}

/* The names in the folder, "." and ".." apart; with `take`, they go. */
static size_t count(const struct fixture *fixture, const char *ending, bool take) {
    DIR *all = opendir(fixture->path);
    const struct dirent *entry;
    size_t n = 0;
    while ((entry = readdir(all))) {
        size_t length = strlen(entry->d_name), tail = strlen(ending);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        n += length >= tail && strcmp(entry->d_name + length - tail, ending) == 0;
        if (take && unlinkat(fixture->folder, entry->d_name, 0) < 0)
            unlinkat(fixture->folder, entry->d_name, AT_REMOVEDIR);
    }
    closedir(all);
    return n;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    count(fixture, "", true);
    close(fixture->folder);
    rmdir(fixture->path);
    free(fixture);
    return 0;
}

static void put(const struct fixture *fixture, const char *name, const char *text) {
    int fd = openat(fixture->folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void assert_holds(const struct fixture *fixture, const char *name, const char *text) {
    char bytes[64] = "";
    int fd = openat(fixture->folder, name, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, bytes, sizeof bytes - 1), strlen(text));
    assert_string_equal(bytes, text);
    close(fd);
}

static int copy(const struct fixture *fixture, const char *name, const char *text,
                struct target *target) {
    int r = target_create(target, fixture->folder, name, key);
    if (r != TARGET_NEW)
        return r;
    if (write(target->fd, text, strlen(text)) != (ssize_t)strlen(text))
        return -EIO;
    r = target_name(target);
    if (r == 0)
        target_end(target);
    return r;
}

static void names_are_never_taken_from_others(void **state) {
    struct fixture *fixture = *state;
    struct target target;
    for (int i = 0; i < 3; i++) {
        char name[16] = "a", text[16];
        snprintf(text, sizeof text, "text %d", i);
        assert_int_equal(copy(fixture, "a", text, &target), 0);
        if (i > 0)
            snprintf(name, sizeof name, "a.%d", i);
        assert_string_equal(target.final, name);
        assert_holds(fixture, name, text);
    }
    assert_int_equal(symlinkat("elsewhere", fixture->folder, "b"), 0);
    assert_int_equal(mkdirat(fixture->folder, "b.1", 0700), 0);
    assert_int_equal(copy(fixture, "b", "text", &target), 0);
    assert_string_equal(target.final, "b.2");
    assert_int_equal(count(fixture, ".part", false), 0);
}

static void long_names_have_room(void **state) {
    struct fixture *fixture = *state;
    struct target target;
    char name[256];
    memset(name, 'a', 255);
    memcpy(name + 220, "\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad", 9);
    name[255] = '\0';
    assert_int_equal(copy(fixture, name, "1", &target), 0);
    assert_string_equal(target.final, name);
    assert_int_equal(copy(fixture, name, "2", &target), 0);
    assert_int_equal(strlen(target.final), 255);
    assert_string_equal(target.final + 253, ".1");
    assert_int_equal(count(fixture, "", false), 2);
}

static void what_is_given_up_leaves_nothing(void **state) {
    struct fixture *fixture = *state;
    struct target target;
    assert_int_equal(target_create(&target, fixture->folder, "a", key), TARGET_NEW);
    assert_int_equal(count(fixture, ".part", false), 1);
    target_abandon(&target);
    assert_int_equal(count(fixture, "", false), 0);
    assert_int_equal(target_create(&target, fixture->folder, "no/such/folder", key), -ENOENT);
    target_abandon(&target);
}

static void only_one_is_at_work(void **state) {
    struct fixture *fixture = *state;
    struct target first, second;
    assert_int_equal(target_create(&first, fixture->folder, "a", key), TARGET_NEW);
    assert_int_equal(target_create(&second, fixture->folder, "a", key), -EBUSY);
    assert_int_equal(count(fixture, ".part", false), 1);
    target_clean(fixture->folder); /* nor is it swept away beneath it */
    assert_int_equal(count(fixture, ".part", false), 1);
    assert_int_equal(target_create(&second, fixture->folder, "a", other_key), TARGET_NEW);
    assert_int_equal(target_name(&first), 0);
    assert_string_equal(first.final, "a");
    target_end(&first);
    assert_int_equal(target_name(&second), 0);
    assert_string_equal(second.final, "a.1");
    target_end(&second);
    assert_int_equal(count(fixture, "", false), 2);
}

/* ---- Killed ---- */

enum stage { BEGUN, FILLED, NAMED };

/* A process that comes as far as that, and waits there to be killed. */
static pid_t start(const struct fixture *fixture, enum stage stage) {
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct target target;
        if (target_create(&target, fixture->folder, "a", key) != TARGET_NEW)
            _exit(1);
        if (stage >= FILLED && write(target.fd, "whole", 5) != 5)
            _exit(1);
        if (stage >= NAMED && target_name(&target) < 0)
            _exit(1);
        if (write(ready[1], "", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static int end(pid_t pid, int number) {
    int status;
    kill(pid, number);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void signals_take_the_part_away(void **state) {
    static const int numbers[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                                  SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        signal(numbers[i], SIG_DFL); /* whoever started us may have had some ignored */
        for (enum stage stage = BEGUN; stage <= FILLED; stage++) {
            assert_int_equal(end(start(fixture, stage), numbers[i]), numbers[i]);
            assert_int_equal(count(fixture, "", false), 0);
        }
    }
}

/* nohup(1) */
static void ignored_signals_stay_so(void **state) {
    struct fixture *fixture = *state;
    signal(SIGHUP, SIG_IGN);
    pid_t pid = start(fixture, FILLED);
    signal(SIGHUP, SIG_DFL);
    kill(pid, SIGHUP);
    assert_int_equal(end(pid, SIGTERM), SIGTERM);
    assert_int_equal(count(fixture, "", false), 0);
}

static void whoever_follows_the_killed_takes_over(void **state) {
    struct fixture *fixture = *state;
    struct target target;
    for (enum stage stage = BEGUN; stage <= FILLED; stage++) {
        assert_int_equal(end(start(fixture, stage), SIGKILL), SIGKILL);
        assert_int_equal(count(fixture, ".part", false), 1);
        assert_int_equal(copy(fixture, "a", "anew", &target), 0);
        assert_holds(fixture, "a", "anew");
        assert_int_equal(count(fixture, "", true), 1);
    }
}

/* It was named, but where it came from was not told: the file is not made twice, and not anew. */
static void a_name_given_before_the_death_counts(void **state) {
    struct fixture *fixture = *state;
    struct target target;
    put(fixture, "a", "another");
    assert_int_equal(end(start(fixture, NAMED), SIGKILL), SIGKILL);
    assert_int_equal(count(fixture, "", false), 3);
    assert_int_equal(target_create(&target, fixture->folder, "a", key), TARGET_NAMED);
    assert_string_equal(target.final, "a.1");
    target_keep(&target); /* still not: so it is the next time */
    assert_int_equal(target_create(&target, fixture->folder, "a", key), TARGET_NAMED);
    target_end(&target);
    assert_holds(fixture, "a.1", "whole");
    assert_int_equal(count(fixture, "", false), 2);
}

/* A second link of an unfinished part (a snapshot by cp -al) is no name that we gave. */
static void a_link_elsewhere_is_no_name(void **state) {
    struct fixture *fixture = *state;
    struct target target;
    assert_int_equal(end(start(fixture, FILLED), SIGKILL), SIGKILL);
    assert_int_equal(linkat(fixture->folder, PART_OF("a"), fixture->folder, "snapshot", 0), 0);
    assert_int_equal(copy(fixture, "a", "anew", &target), 0);
    assert_holds(fixture, "a", "anew");
    assert_int_equal(count(fixture, ".part", false), 0);
}

static void what_is_planted_is_no_target(void **state) {
    struct fixture *fixture = *state;
    struct target target;
    put(fixture, "precious", "untouched");
    assert_int_equal(symlinkat("precious", fixture->folder, PART_OF("a")), 0);
    assert_int_equal(copy(fixture, "a", "text", &target), 0);
    assert_holds(fixture, "precious", "untouched");
    assert_holds(fixture, "a", "text");
    assert_int_equal(mkfifoat(fixture->folder, PART_OF("b"), 0600), 0);
    assert_int_equal(copy(fixture, "b", "text", &target), 0);
    assert_holds(fixture, "b", "text");
    assert_int_equal(count(fixture, "", false), 3);
}

/* Of the dead, whatever they copied; of nobody else. */
static void cleaning_takes_ours_alone(void **state) {
    static const char *const theirs[] = {
        "a.part",
        "a.0102030000000000.part",
        "a.01020300000000000102030000000000.part",
        "a.p2pctl-0102030000000000.part.txt",
        "a.p2pctl-010203000000000g.part",
        "a.p2pctl-01020300000000000.part",
        ".p2pctl-0102030000000000.part",
        "p2pctl",
    };
    struct fixture *fixture = *state;
    const size_t n = sizeof theirs / sizeof theirs[0];
    for (size_t i = 0; i < n; i++)
        put(fixture, theirs[i], "x");
    put(fixture, PART_OF("a"), "of one who was killed");
    put(fixture, "b.p2pctl-ffffffffffffffff.part", "of another");
    assert_int_equal(mkdirat(fixture->folder, PART_OF("folder"), 0700), 0);
    assert_int_equal(symlinkat("a.part", fixture->folder, PART_OF("link")), 0);
    target_clean(fixture->folder);
    for (size_t i = 0; i < n; i++)
        assert_holds(fixture, theirs[i], "x");
    assert_int_equal(count(fixture, "", false), n + 2);
}

/* Many at once, cleaners among them: one file each time, and nothing beside it. */
static void crowds_make_one_copy_each(void **state) {
    struct fixture *fixture = *state;
    enum { CROWD = 8, ROUNDS = 40 };
    for (int i = 0; i < CROWD; i++)
        if (fork() == 0) {
            for (int j = 0; j < ROUNDS; j++) {
                struct target target;
                int r = copy(fixture, "a", "text", &target);
                if (r != 0 && r != -EBUSY)
                    _exit(1);
                if (r != 0)
                    target_clean(fixture->folder);
            }
            _exit(0);
        }
    for (int i = 0; i < CROWD; i++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_int_equal(count(fixture, ".part", false), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(names_are_never_taken_from_others),
        TEST(long_names_have_room),
        TEST(what_is_given_up_leaves_nothing),
        TEST(only_one_is_at_work),
        TEST(signals_take_the_part_away),
        TEST(ignored_signals_stay_so),
        TEST(whoever_follows_the_killed_takes_over),
        TEST(a_name_given_before_the_death_counts),
        TEST(a_link_elsewhere_is_no_name),
        TEST(what_is_planted_is_no_target),
        TEST(cleaning_takes_ours_alone),
        TEST(crowds_make_one_copy_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
