/* link: daemon/io/store daemon/io/store_sql daemon/io/store_schema daemon/io/store_message daemon/io/store_part daemon/io/store_waiting daemon/io/store_history daemon/io/store_sweep daemon/io/store_copy daemon/io/store_disk daemon/io/disk daemon/io/store_file daemon/io/store_file_in daemon/io/store_file_out daemon/io/store_file_list shared/file_name daemon/io/spool shared/text shared/address */
/* What others promise and what gives way to whom: of messages and of files, on a disk of any size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store_rig.h"

#include <dirent.h>
#include <sodium.h>

#define CHARGE 256
#define PROMISE (16u << 20)
#define BLOCK 61440u
#define HOUR US_PER_HOUR

static const uint8_t block[BLOCK];
static struct file_head head;

static unsigned parts_on_disk(const struct rig *rig, bool clear) {
    unsigned n = 0;
    DIR *folder = opendir(rig->folder);
    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        size_t length = strlen(entry->d_name);
        if (length < 5 || strcmp(entry->d_name + length - 5, ".part") != 0)
            continue;
        n++;
        if (clear)
            unlinkat(dirfd(folder), entry->d_name, 0);
    }
    if (folder)
        closedir(folder);
    return n;
}

static int teardown_files(void **state) {
    struct rig *rig = *state;
    char path[128];
    stop_store(rig);
    parts_on_disk(rig, true);
    snprintf(path, sizeof path, "%s/x", rig->folder);
    unlink(path);
    return teardown(state);
}

/* `length` bytes at `offset` of a message of `total`. */
static struct store_op message(uint8_t sender, uint32_t number, uint64_t total, uint64_t offset,
                               uint32_t length, int64_t at) {
    struct store_op op = in_block(number, 0, 0, block, length);
    op.in_put.sender.bytes[0] = sender;
    op.in_put.kind = KIND_MESSAGE;
    op.in_put.total = total;
    op.in_put.offset = offset;
    op.in_put.received.us = at;
    op.in_put.tombstone_until.us = INT64_C(366) * 24 * HOUR;
    return op;
}

static struct store_op of_file(struct store_op op) {
    op.in_put.kind = KIND_FILE;
    op.in_put.file = &head;
    return op;
}

static int put_under(struct rig *rig, struct store_op op, uint64_t sender, uint64_t all) {
    op.in_put.quota_sender = sender;
    op.in_put.quota_all = all;
    return run_one(rig, op).error;
}

static uint64_t unfinished(struct rig *rig) {
    return run_one(rig, sweep(1, 1000 * HOUR)).unfinished;
}

static int64_t ask(struct rig *rig, const char *sql) {
    sqlite3 *sqlite;
    sqlite3_stmt *statement;
    stop_store(rig);
    assert_int_equal(sqlite3_open(rig->path, &sqlite), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(sqlite, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(sqlite);
    open_store(rig);
    return number;
}

#define CHARGED "SELECT coalesce(sum(bytes), 0) FROM usage"
#define BODIES "SELECT coalesce(sum(length(bytes)), 0) FROM block"

/* ---- One id ---- */

static void id_is_of_one_thing(void **state) {
    struct rig *rig = *state;
    struct store_op half = message(1, 1, 2 * BLOCK, 0, BLOCK, HOUR);
    struct store_op rest = message(1, 1, 2 * BLOCK, BLOCK, BLOCK, HOUR);
    struct store_op other = message(1, 2, 2 * BLOCK, 0, BLOCK, HOUR);
    open_store(rig);
    crypto_hash_sha256(head.digest, block, 1);
    assert_int_equal(run_one(rig, half).error, 0);
    assert_int_equal(run_one(rig, of_file(message(1, 1, 1, 0, 1, HOUR))).error, -EINVAL);
    assert_int_equal(run_one(rig, of_file(half)).error, -EINVAL);
    assert_int_equal(outcome(rig, rest), STORE_IN_COMPLETE);
    assert_int_equal(run_one(rig, of_file(other)).error, 0);
    assert_int_equal(run_one(rig, other).error, -EINVAL);
    assert_int_equal(run_one(rig, message(1, 2, 10, 0, 10, HOUR)).error, -EINVAL);
    other.in_put.sender.bytes[0] = 2; /* another's */
    assert_int_equal(run_one(rig, other).error, 0);
    assert_int_equal(run_one(rig, in_take(&(int64_t){1}, 5, true)).error, 0);
    assert_int_equal(run_one(rig, sweep(1000 * HOUR, 0)).error, 0);
    assert_int_equal(ask(rig, CHARGED), 0);
    assert_int_equal(ask(rig, BODIES), 0);
}

/* Of a database in which both are under way: the message that comes second leaves nothing behind. */
static void what_came_between_costs_nothing(void **state) {
    struct rig *rig = *state;
    open_store(rig);
    assert_int_equal(run_one(rig, message(1, 1, 2 * BLOCK, 0, BLOCK, HOUR)).error, 0);
    assert_int_equal(run_one(rig, message(1, 2, 2 * BLOCK, 1, 1, HOUR)).error, 0);
    stop_store(rig);
    run_sql(rig, "INSERT INTO in_message (row, sender, id, sequence, sent, received, name, size,"
                 " tombstone, state, taken, kind) SELECT CASE WHEN held > 1 THEN 1 ELSE 2 END,"
                 " sender, id, 1, 1, 1, '', 1, 1, 0, 0, 2 FROM in_part");
    open_store(rig);
    assert_int_equal(outcome(rig, message(1, 1, 2 * BLOCK, BLOCK, BLOCK, HOUR)),
                     STORE_IN_DUPLICATE);
    assert_int_equal(ask(rig, CHARGED), 2 * (2 * BLOCK + CHARGE)); /* of the other one */
    assert_int_equal(ask(rig, BODIES), 1);
}

/* What the fault has left in a database of schema 7: 4 GiB would not be worth less. */
static void orphans_of_older_files_go(void **state) {
    struct rig *rig = *state;
    uint64_t charged = 2 * (10 + CHARGE) + 2 * (2 * BLOCK + CHARGE);
    struct store_op out = out_put(7, block, 3000);
    open_store(rig);
    assert_int_equal(run_one(rig, message(1, 1, 10, 0, 10, HOUR)).error, 0);
    assert_int_equal(run_one(rig, message(1, 2, 2 * BLOCK, 0, BLOCK, HOUR)).error, 0);
    assert_int_equal(run_one(rig, out).error, 0);
    stop_store(rig);
    run_sql(rig, "INSERT INTO block VALUES (100, 0, zeroblob(50000)), (100, 50000, x'00'),"
                 " (101, 0, zeroblob(60000));"
                 "UPDATE usage SET bytes = bytes + 110513;"
                 "DROP TABLE orphan; PRAGMA user_version = 7");
    open_store(rig);
    assert_int_equal(ask(rig, CHARGED), charged);
    assert_int_equal(run_one(rig, sweep(HOUR, 1000 * HOUR)).error, 0);
    assert_int_equal(ask(rig, BODIES), BLOCK + 3000);
    assert_int_equal(ask(rig, "SELECT count(*) FROM orphan"), 0);
    assert_int_equal(outcome(rig, message(1, 2, 2 * BLOCK, BLOCK, BLOCK, HOUR)), STORE_IN_COMPLETE);
}

/* ---- A part that gave way ---- */

static struct store_op file_block(uint8_t sender, uint32_t number, uint32_t n, int64_t at) {
    return of_file(message(sender, number, PROMISE, n * BLOCK, BLOCK, at));
}

/* The transaction in which it gave way fails: it is still whole. */
static void rolled_back_part_is_still_there(void **state) {
    struct rig *rig = *state;
    uint64_t all = 16u << 20;
    static uint8_t noise[60000];
    struct store_op ops[2];
    struct store_result results[2];
    open_store(rig);
    for (uint32_t n = 0; n < 5; n++)
        assert_int_equal(put_under(rig, file_block(1, 1, n, HOUR), 0, all), 0);
    randombytes_buf(noise, sizeof noise);
    ops[0] = of_file(message(2, 2, 15u << 20, 0, BLOCK, 3 * HOUR));
    ops[0].in_put.quota_all = all;
    ops[1] = in_put(3, noise, sizeof noise);
    store_limit_pages(rig->store, 45);
    run(rig, ops, 2, results);
    store_limit_pages(rig->store, 0);
    assert_int_equal(results[1].error, -ENOSPC);
    assert_int_equal(put_under(rig, file_block(1, 1, 5, 4 * HOUR), 0, all), 0);
    assert_int_equal(unfinished(rig), 6 * BLOCK);
    /* And where it succeeds, its name is free for the same file begun anew. */
    assert_int_equal(put_under(rig, file_block(1, 1, 6, 4 * HOUR), 0, 0), 0);
    ops[0].in_put.received.us = 6 * HOUR;
    ops[1] = file_block(1, 1, 0, 6 * HOUR);
    run(rig, ops, 2, results);
    assert_int_equal(results[0].error, 0);
    assert_int_equal(results[1].error, 0);
    assert_int_equal(parts_on_disk(rig, false), 2);
    assert_int_equal(run_one(rig, file_block(1, 1, 1, 6 * HOUR)).error, 0);
    assert_int_equal(unfinished(rig), 3 * BLOCK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown_files)

int main(void) {
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        TEST(id_is_of_one_thing),
        TEST(what_came_between_costs_nothing),
        TEST(orphans_of_older_files_go),
        TEST(rolled_back_part_is_still_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
