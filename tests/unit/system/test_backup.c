/* link: daemon/io/system/backup daemon/io/system/backup_restore daemon/io/system/state_file daemon/io/system/process */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "daemon/io/system/backup.h"
#include "daemon/io/system/backup_format.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PASSPHRASE (const uint8_t *)"correct horse", 13

struct fixture {
    char from[64], to[64];
    int to_fd;
    char error[FAILURE_MAX];
};

static void write_file(const char *folder, const char *name, const void *bytes, size_t length,
                       mode_t mode) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), (ssize_t)length);
    close(fd);
}

static size_t read_file(const char *folder, const char *name, uint8_t *bytes, size_t room) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, bytes, room);
    close(fd);
    assert_true(n >= 0);
    return (size_t)n;
}

static bool exists(const char *folder, const char *name) {
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return lstat(path, &st) == 0;
}

/* A database of some chunks, its last rows in the write-ahead log of a connection that stays
 * open. */
static sqlite3 *make_database(const char *folder) {
    char path[128];
    sqlite3 *sqlite;
    snprintf(path, sizeof path, "%s/messages.db", folder);
    assert_int_equal(sqlite3_open(path, &sqlite), SQLITE_OK);
    assert_int_equal(sqlite3_exec(sqlite,
                                  "PRAGMA journal_mode=WAL; PRAGMA user_version=7;"
                                  "CREATE TABLE t (n INTEGER, b BLOB);"
                                  "INSERT INTO t VALUES (1, randomblob(200000));"
                                  "INSERT INTO t VALUES (2, x'abcdef');",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    return sqlite;
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->from, "/tmp/p2pd-backup-from-XXXXXX");
    strcpy(f->to, "/tmp/p2pd-backup-to-XXXXXX");
    if (!mkdtemp(f->from) || !mkdtemp(f->to))
        return -1;
    f->to_fd = open(f->to, O_RDONLY | O_DIRECTORY);
    write_file(f->from, "identity.key", "p2pd identity 1\nsecret\n", 23, 0600);
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state) {
    struct fixture *f = *state;
    close(f->to_fd);
    nftw(f->from, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    nftw(f->to, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static void assert_nothing_restored(const struct fixture *f) {
    assert_false(exists(f->to, "identity.key"));
    assert_false(exists(f->to, "messages.db"));
    assert_false(exists(f->to, "restore.tmp"));
}

/* As the store does it, but here by a connection of its own. */
static int snapshot(void *context, const char *path, char error[FAILURE_MAX]) {
    struct fixture *f = context;
    char from[128], sql[256];
    sqlite3 *sqlite = NULL;
    snprintf(from, sizeof from, "%s/messages.db", f->from);
    snprintf(sql, sizeof sql, "VACUUM INTO '%s'", path);
    bool ok = sqlite3_open_v2(from, &sqlite, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
              sqlite3_exec(sqlite, sql, NULL, NULL, NULL) == SQLITE_OK;
    sqlite3_close(sqlite);
    return ok ? 0 : failure(error, -EIO, "no snapshot");
}

static void test_round_trip(void **state) {
    struct fixture *f = *state;
    uint8_t bytes[64];
    sqlite3 *sqlite = make_database(f->from), *copy;
    int fd = backup_write(f->from, snapshot, f, PASSPHRASE, f->error);
    sqlite3_close(sqlite);
    assert_true(fd >= 0);
    assert_false(exists(f->from, "backup.tmp")); /* nothing is left in clear */
    assert_int_equal(backup_restore(fd, f->to_fd, PASSPHRASE, f->error), 0);
    close(fd);
    assert_int_equal(read_file(f->to, "identity.key", bytes, sizeof bytes), 23);
    assert_memory_equal(bytes, "p2pd identity 1\nsecret\n", 23);
    char path[128];
    snprintf(path, sizeof path, "%s/messages.db", f->to);
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open(path, &copy), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(copy,
                                        "SELECT count(*), sum(length(b)), user_version FROM t, "
                                        "pragma_user_version",
                                        -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(statement, 0), 2);
    assert_int_equal(sqlite3_column_int(statement, 1), 200003);
    assert_int_equal(sqlite3_column_int(statement, 2), 7);
    sqlite3_finalize(statement);
    sqlite3_close(copy);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_wrong_passphrase(void **state) {
    struct fixture *f = *state;
    sqlite3_close(make_database(f->from));
    int fd = backup_write(f->from, snapshot, f, PASSPHRASE, f->error);
    assert_true(fd >= 0);
    assert_int_equal(backup_restore(fd, f->to_fd, (const uint8_t *)"correct horsf", 13, f->error),
                     -EBADMSG);
    assert_non_null(strstr(f->error, "passphrase is wrong"));
    assert_nothing_restored(f);
    close(fd);
}

static void test_full_folder(void **state) {
    struct fixture *f = *state;
    sqlite3_close(make_database(f->from));
    int fd = backup_write(f->from, snapshot, f, PASSPHRASE, f->error);
    write_file(f->to, "identity.key", "mine", 4, 0600);
    assert_int_equal(backup_restore(fd, f->to_fd, PASSPHRASE, f->error), -EEXIST);
    assert_false(exists(f->to, "messages.db"));
    uint8_t bytes[8];
    assert_int_equal(read_file(f->to, "identity.key", bytes, sizeof bytes), 4);
    close(fd);
}

static void test_no_database(void **state) {
    struct fixture *f = *state;
    assert_true(backup_write(f->from, snapshot, f, PASSPHRASE, f->error) < 0);
    assert_false(exists(f->from, "backup.tmp"));
}

/* Every way in which the file may have been cut or changed ends in a refusal, and in nothing put in
 * place. One Argon2id each: a few places that differ in kind, not all. */
static void test_damage(void **state) {
    struct fixture *f = *state;
    sqlite3_close(make_database(f->from));
    int fd = backup_write(f->from, snapshot, f, PASSPHRASE, f->error);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    size_t size = (size_t)st.st_size;
    uint8_t *bytes = malloc(size + 1);
    assert_int_equal(read(fd, bytes, size), (ssize_t)size);
    close(fd);
    const struct {
        size_t length, flip;
    } cases[] = {
        {size - 1, SIZE_MAX},
        {size + 1, SIZE_MAX},
        {BACKUP_HEAD_LEN, SIZE_MAX},
        {BACKUP_HEAD_LEN - 1, SIZE_MAX},
        {0, SIZE_MAX},
        {BACKUP_HEAD_LEN + BACKUP_SEALED_CHUNK, SIZE_MAX},
        {size, 3},
        {size, BACKUP_MAGIC_LEN},
        {size, BACKUP_MAGIC_LEN + 3},
        {size, BACKUP_MAGIC_LEN + 8},
        {size, BACKUP_HEAD_LEN - 1},
        {size, BACKUP_HEAD_LEN + BACKUP_SEALED_CHUNK},
        {size, size - 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[128];
        bytes[size] = 0;
        if (cases[i].flip != SIZE_MAX)
            bytes[cases[i].flip] ^= 1;
        write_file(f->from, "changed", bytes, cases[i].length, 0600);
        if (cases[i].flip != SIZE_MAX)
            bytes[cases[i].flip] ^= 1;
        snprintf(path, sizeof path, "%s/changed", f->from);
        fd = open(path, O_RDONLY);
        assert_true(backup_restore(fd, f->to_fd, PASSPHRASE, f->error) < 0);
        close(fd);
        assert_nothing_restored(f);
    }
    free(bytes);
}

struct threaded {
    struct fixture *f;
    int ends[2];
};

static void wake(void *context) {
    const struct threaded *threaded = context;
    assert_int_equal(write(threaded->ends[1], "x", 1), 1);
}

static int thread_snapshot(void *context, const char *path, char error[FAILURE_MAX]) {
    const struct threaded *threaded = context;
    return snapshot(threaded->f, path, error);
}

static void test_thread(void **state) {
    struct fixture *f = *state;
    struct threaded threaded = {.f = f};
    int fd = -1;
    uint64_t client = 0;
    char c;
    sqlite3_close(make_database(f->from));
    assert_int_equal(pipe(threaded.ends), 0);
    write_file(f->from, "backup.tmp", "of one who was killed", 21, 0600);
    struct backup *backup = backup_new(f->from, thread_snapshot, wake, &threaded);
    assert_false(exists(f->from, "backup.tmp"));
    assert_false(backup_collect(backup, &client, &fd, f->error));
    assert_int_equal(backup_start(backup, 42, PASSPHRASE), 0);
    assert_int_equal(backup_start(backup, 43, PASSPHRASE), -EBUSY);
    assert_int_equal(read(threaded.ends[0], &c, 1), 1);
    assert_true(backup_collect(backup, &client, &fd, f->error));
    assert_int_equal(client, 42);
    assert_true(fd >= 0);
    assert_int_equal(backup_restore(fd, f->to_fd, PASSPHRASE, f->error), 0);
    close(fd);
    backup_free(backup);
    close(threaded.ends[0]);
    close(threaded.ends[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_passphrase, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_database, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_thread, setup, teardown),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
