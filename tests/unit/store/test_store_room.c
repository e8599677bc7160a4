/* link: daemon/io/store/store daemon/io/store/store_sql daemon/io/store/store_schema daemon/io/store/store_message daemon/io/store/store_part daemon/io/store/store_refused daemon/io/store/store_waiting daemon/io/store/store_history daemon/io/store/store_sweep daemon/io/store/store_copy daemon/io/store/store_disk daemon/io/store/disk daemon/io/store/store_file daemon/io/store/store_file_in daemon/io/store/store_file_out daemon/io/store/store_file_list daemon/io/store/store_file_room shared/file_name daemon/io/store/spool shared/text shared/address */
/* What others promise and what gives way to whom: of messages and of files, on a disk of any
 * size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store/store_rig.h"

#include <dirent.h>
#include <sodium.h>

#define CHARGE 256
#define PROMISE (16u << 20)
#define WINDOW (256u << 10)
#define FILE_WINDOW (8u << 20)
#define BLOCK 61440u
#define HOUR US_PER_HOUR
#define GIB (UINT64_C(1) << 30)

static const uint8_t block[BLOCK];
static struct file_head head;
static uint64_t disk_free;

static int space(const char *path, struct disk_space *ret_space) {
    (void)path;
    *ret_space = (struct disk_space){100 * GIB, disk_free};
    return 0;
}

/* On a disk of 100 GiB, of which so much is free. */
static void open_on(struct rig *rig, uint64_t free) {
    char error[FAILURE_MAX] = "";
    struct store_config config = {rig->path, rig->folder, rig->folder, space};
    disk_free = free;
    if (store_open(&rig->store, &config, error))
        fail_msg("%s", error);
    assert_int_equal(store_start(rig->store, wake, rig), 0);
}

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

static struct store_op known(struct store_op op) {
    op.in_put.is_known = true;
    return op;
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

/* Of a database in which both are under way: the message that comes second leaves nothing
 * behind. */
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
                 "DROP INDEX in_part_grown; ALTER TABLE in_part DROP COLUMN known;"
                 "DROP INDEX file_partial_grown; ALTER TABLE file_in DROP COLUMN known;"
                 "CREATE INDEX in_part_grown ON in_part (grown);"
                 "CREATE INDEX file_partial_grown ON file_in (grown) WHERE state = 1;"
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

/* ---- To whom ---- */

static void what_mends_nothing_drops_nothing(void **state) {
    struct rig *rig = *state;
    uint64_t sender = 1 * GIB, all = 6 * GIB;
    open_store(rig);
    assert_int_equal(put_under(rig, message(1, 1, PROMISE, 0, BLOCK, HOUR), sender, all), 0);
    assert_int_equal(put_under(rig, file_block(1, 2, 0, HOUR), sender, all), 0);
    for (uint32_t k = 0; k < 63; k++)
        assert_int_equal(put_under(rig, message(66, 100 + k, PROMISE, 0, 1, 9 * HOUR), sender, all),
                         0);
    uint64_t before = unfinished(rig);
    /* Over its own quota; and larger than it; and than all. */
    assert_int_equal(put_under(rig, message(66, 200, PROMISE, 0, 1, 9 * HOUR), sender, all),
                     -EDQUOT);
    assert_int_equal(put_under(rig, message(67, 200, PROMISE, 0, 1, 9 * HOUR), 1000, all), -EDQUOT);
    assert_int_equal(put_under(rig, message(67, 200, PROMISE, 0, 1, 9 * HOUR), 0, 1000), -EDQUOT);
    assert_int_equal(put_under(rig, file_block(66, 201, 0, 9 * HOUR), 1000, all), -EDQUOT);
    assert_int_equal(put_under(rig, file_block(66, 201, 0, 9 * HOUR), 0, 1000), -EDQUOT);
    /* All that is stale would not be enough. */
    assert_int_equal(put_under(rig, message(68, 202, BLOCK, 0, BLOCK, 9 * HOUR), 0, BLOCK + CHARGE),
                     -EDQUOT);
    assert_int_equal(unfinished(rig), before);
    /* Its own, where that is what it is over. */
    assert_int_equal(put_under(rig, message(66, 200, PROMISE, 0, 1, 11 * HOUR), sender, all), 0);
    assert_int_equal(unfinished(rig), before);
}

static void known_senders_do_not_give_way_to_strangers(void **state) {
    struct rig *rig = *state;
    uint64_t all = PROMISE + 2 * (FILE_WINDOW + BLOCK);
    open_store(rig);
    assert_int_equal(run_one(rig, known(message(1, 1, PROMISE, 0, BLOCK, HOUR))).error, 0);
    assert_int_equal(run_one(rig, message(2, 2, PROMISE, 0, BLOCK, 2 * HOUR)).error, 0);
    assert_int_equal(run_one(rig, known(file_block(1, 3, 0, HOUR))).error, 0);
    assert_int_equal(run_one(rig, file_block(2, 4, 0, 2 * HOUR)).error, 0);
    uint64_t window = BLOCK + WINDOW + CHARGE;
    struct store_op stranger = message(3, 5, BLOCK, 0, BLOCK, 9 * HOUR);
    /* The stranger's goes, though it is younger; then there is nothing that would. */
    assert_int_equal(put_under(rig, stranger, 0, 2 * window), 0);
    stranger.in_put.id = id_of(6);
    assert_int_equal(put_under(rig, stranger, 0, window + BLOCK + CHARGE), -EDQUOT);
    assert_int_equal(put_under(rig, file_block(3, 7, 0, 9 * HOUR), 0, all - PROMISE + 10), 0);
    assert_int_equal(put_under(rig, file_block(4, 8, 0, 9 * HOUR), 0, all - PROMISE + 10), -EDQUOT);
    assert_int_equal(unfinished(rig), 3 * BLOCK);
    stranger.in_put.is_known = true;
    assert_int_equal(put_under(rig, stranger, 0, window + BLOCK + CHARGE), 0);
    assert_int_equal(put_under(rig, known(file_block(4, 8, 0, 9 * HOUR)), 0, all - PROMISE + 10),
                     0);
    assert_int_equal(unfinished(rig), 2 * BLOCK);
}

/* Nor is one spared whom the user has blocked since. */
static void blocked_senders_do(void **state) {
    struct rig *rig = *state;
    struct store_op rule = {.kind = STORE_RULE_PUT, .rule_put = {{{1}}, RULE_BLOCK}};
    uint64_t all = BLOCK + WINDOW + CHARGE + 10;
    struct store_op stranger = message(3, 5, BLOCK, 0, BLOCK, HOUR);
    open_store(rig);
    assert_int_equal(run_one(rig, known(message(1, 1, PROMISE, 0, BLOCK, HOUR))).error, 0);
    assert_int_equal(put_under(rig, stranger, 0, all), -EDQUOT);
    assert_int_equal(run_one(rig, rule).error, 0);
    assert_int_equal(put_under(rig, stranger, 0, all), 0);
}

/* Who comes back is not kept out by being the oldest. */
static void own_part_is_passed_over(void **state) {
    struct rig *rig = *state;
    uint64_t all = 64u * (WINDOW + CHARGE + BLOCK);
    open_store(rig);
    for (uint32_t k = 0; k < 64; k++)
        assert_int_equal(
            put_under(rig, message(k ? 2 : 1, 1 + k, PROMISE, 0, BLOCK, 1 + k), 0, all), 0);
    for (uint32_t n = 1; n < 8; n++)
        assert_int_equal(put_under(rig, message(1, 1, PROMISE, n * BLOCK, BLOCK, 3 * HOUR), 0, all),
                         0);
    all = 4 * (FILE_WINDOW + BLOCK);
    for (uint8_t k = 0; k < 4; k++)
        assert_int_equal(put_under(rig, file_block(k ? 2 : 1, 100 + k, 0, 1 + k), 0, all), 0);
    for (uint32_t n = 1; n < 8; n++)
        assert_int_equal(put_under(rig, file_block(1, 100, n, 3 * HOUR), 0, all), 0);
    /* Several, where one is not enough. */
    assert_int_equal(
        put_under(rig, message(9, 900, PROMISE, 0, BLOCK, 30 * HOUR), 0, PROMISE + CHARGE), 0);
}

/* ---- What counts as growing ---- */

/* Each by a byte an hour, or each a new one as often: others wait a minute. */
static void byte_an_hour_keeps_nothing(void **state) {
    struct rig *rig = *state;
    uint64_t all = 64u * (WINDOW + CHARGE);
    open_store(rig);
    for (uint32_t h = 0; h < 8; h++) {
        int64_t at = HOUR + h * 59 * US_PER_MINUTE;
        for (uint32_t k = 0; k < 64; k++) /* parts of just a window, which then cost nothing more */
            assert_int_equal(
                put_under(rig, message((uint8_t)(1 + k / 32), 1 + k, WINDOW, h, 1, at), 0, all), 0);
        assert_int_equal(
            put_under(rig, message(77, 500, 10, 0, 10, at + US_PER_MINUTE - 1), 0, all),
            h ? 0 : -EDQUOT);
        assert_int_equal(
            put_under(rig, message(77, 501 + h, 10, 0, 10, at + US_PER_MINUTE), 0, all), 0);
        run_one(rig, sweep(at, 0));
        for (int64_t row = 1; row < 20; row++)
            run_one(rig, in_take(&row, at, true));
    }
}

/* 3072 that grow by a byte each 59 minutes: all that strangers may have. */
static void bytes_take_no_places(void **state) {
    struct rig *rig = *state;
    uint64_t sender = 1 * GIB, all = 6 * GIB;
    open_store(rig);
    for (uint32_t h = 0; h < 2; h++)
        for (uint32_t k = 0; k < 3072; k++) {
            struct store_op op =
                message((uint8_t)(1 + k / 63), 1 + k, PROMISE, h, 1, HOUR + h * 59 * US_PER_MINUTE);
            assert_int_equal(put_under(rig, op, sender, all), 0);
        }
    int64_t at = HOUR + 60 * US_PER_MINUTE;
    assert_int_equal(put_under(rig, message(200, 9000, PROMISE, 0, BLOCK, at), sender, all), 0);
    assert_int_equal(put_under(rig, message(200, 9000, PROMISE, BLOCK, BLOCK, at), sender, all), 0);
}

static void bytes_of_files_keep_nothing(void **state) {
    struct rig *rig = *state;
    uint64_t all = 4 * (FILE_WINDOW + 1);
    open_store(rig);
    for (uint32_t h = 0; h < 2; h++)
        for (uint8_t k = 0; k < 4; k++)
            assert_int_equal(
                put_under(rig,
                          of_file(message(1, 1 + k, PROMISE, h, 1, HOUR + h * 59 * US_PER_MINUTE)),
                          0, all + 4 * h),
                0);
    assert_int_equal(put_under(rig, file_block(2, 50, 0, 2 * HOUR), 0, all), 0);
    assert_int_equal(put_under(rig, file_block(2, 50, 1, 2 * HOUR), 0, all), 0);
    /* What grows by blocks is as safe as it was. */
    assert_int_equal(put_under(rig, file_block(3, 60, 0, 3 * HOUR - 1), 0, FILE_WINDOW + BLOCK + 1),
                     -EDQUOT);
}

/* ---- The disk ---- */

static struct store_op shared(struct store_op op) {
    op.in_put.share = (struct disk_share){.is_of_others = true, .percent = 20};
    return op;
}

/* Eight files of 15 GiB, let in one by one with 30 GiB of room, were then let in past all of it. */
static void together_they_leave_free_what_stays_free(void **state) {
    struct rig *rig = *state;
    uint64_t size = 15 * GIB;
    open_on(rig, 50 * GIB);
    for (uint8_t k = 0; k < 8; k++)
        assert_int_equal(run_one(rig, shared(of_file(message(k, k, size, 0, BLOCK, HOUR)))).error,
                         0);
    disk_free =
        24 * FILE_WINDOW + (8u << 20); /* half of it is theirs: 8 windows, and those they hold */
    struct store_op next = shared(of_file(message(1, 1, size, BLOCK, BLOCK, HOUR)));
    assert_int_equal(run_one(rig, next).error, 0);
    disk_free = 24 * FILE_WINDOW - (8u << 20);
    next.in_put.offset += BLOCK;
    assert_int_equal(run_one(rig, next).error, -ENOBUFS);
    struct store_op friend =
        known(shared(of_file(message(10, 10, 4 * FILE_WINDOW, 0, BLOCK, HOUR))));
    for (; friend.in_put.offset < 8 * BLOCK; friend.in_put.offset += BLOCK)
        assert_int_equal(run_one(rig, friend).error, 0);
    /* With all that they may take it stops where the share begins, 20 GiB. */
    stop_store(rig);
    run_sql(rig, "UPDATE file_in SET held = 4026531840 WHERE total > 1073741824");
    open_on(rig, 21 * GIB);
    assert_int_equal(run_one(rig, next).error, 0);
    next.in_put.offset += BLOCK;
    disk_free = 20 * GIB + 4 * FILE_WINDOW;
    assert_int_equal(run_one(rig, next).error, -ENOBUFS);
    /* The window of one that was let in is its own, down to what is always free. */
    disk_free = 90 * GIB;
    struct store_op small = shared(of_file(message(9, 9, FILE_WINDOW, 0, BLOCK, HOUR)));
    assert_int_equal(run_one(rig, small).error, 0);
    small.in_put.offset = BLOCK;
    disk_free = 1 * GIB;
    assert_int_equal(run_one(rig, small).error, 0);
    small.in_put.offset = 2 * BLOCK;
    disk_free = (64u << 20) + BLOCK - 1;
    assert_int_equal(run_one(rig, small).error, -ENOBUFS);
}

static void so_do_messages(void **state) {
    struct rig *rig = *state;
    uint32_t n = 1024;
    open_on(rig, 50 * GIB);
    for (uint32_t k = 0; k < n; k++)
        assert_int_equal(
            run_one(rig, shared(message((uint8_t)(k / 32), k, PROMISE, 0, 1, HOUR))).error, 0);
    struct store_op next = shared(message(0, 0, PROMISE, 1, BLOCK, HOUR));
    disk_free = 4 * (uint64_t)n * WINDOW + (8u << 20); /* half of it; in the log, and then there */
    assert_int_equal(run_one(rig, next).error, 0);
    disk_free = 4 * (uint64_t)n * WINDOW - (8u << 20);
    next.in_put.offset += BLOCK;
    assert_int_equal(run_one(rig, next).error, -ENOBUFS);
    /* One that comes whole does not wait for what others promise. */
    assert_int_equal(run_one(rig, shared(message(9, 9000, 10, 0, 10, HOUR))).error, 0);
    /* Nor does one of a known sender for what strangers do, under way or new. */
    struct store_op friend = known(shared(message(10, 10, PROMISE, 0, BLOCK, HOUR)));
    for (; friend.in_put.offset < 8 * BLOCK; friend.in_put.offset += BLOCK)
        assert_int_equal(run_one(rig, friend).error, 0);
    /* And when they are stale their windows give way to strangers, too. */
    struct store_op later = shared(message(11, 11, PROMISE, 0, BLOCK, 9 * HOUR));
    assert_int_equal(run_one(rig, later).error, 0);
}

/* What leaves the disk makes room on it; where all of it would not be enough, none goes. */
static void parts_give_way_for_the_disk(void **state) {
    struct rig *rig = *state;
    open_on(rig, 50 * GIB);
    for (uint32_t n = 0; n < 40; n++)
        assert_int_equal(run_one(rig, shared(file_block(1, 1, n, HOUR))).error, 0);
    assert_int_equal(run_one(rig, shared(file_block(2, 2, 0, HOUR))).error, 0);
    struct store_op later = shared(file_block(3, 3, 0, 9 * HOUR));
    disk_free = 64u << 20;
    assert_int_equal(run_one(rig, later).error, -ENOBUFS);
    assert_int_equal(unfinished(rig), 41 * BLOCK);
    disk_free = 90u << 20; /* 26 MiB of room, 16 of which are promised, and 16 more are wanted */
    assert_int_equal(run_one(rig, later).error, 0);
    assert_int_equal(unfinished(rig), 2 * BLOCK);
}

/* A message's blocks are pages that are free at once. */
static void so_do_parts_of_messages(void **state) {
    struct rig *rig = *state;
    open_on(rig, 50 * GIB);
    for (uint32_t n = 0; n < 100; n++)
        assert_int_equal(run_one(rig, shared(message(1, 1, PROMISE, n * BLOCK, BLOCK, HOUR))).error,
                         0);
    struct store_op later = shared(message(3, 3, BLOCK, 0, BLOCK, 9 * HOUR));
    disk_free = 48u << 20; /* 16 MiB below what is always free */
    assert_int_equal(run_one(rig, later).error, -ENOBUFS);
    assert_int_equal(unfinished(rig), 100 * BLOCK);
    disk_free = 62u << 20;
    assert_int_equal(run_one(rig, later).error, 0);
    assert_int_equal(unfinished(rig), 0);
}

/* ---- What it costs ---- */

#define PLACES                                                                                     \
    3072 /* for strangers' unfinished messages; the others of 4096 are for known ones              \
          */
#define ITEMS 256

static struct store_op promise(uint32_t sender, uint32_t number, int64_t at) {
    struct store_op op = message(0, number, PROMISE, 0, 1, at);
    memcpy(op.in_put.sender.bytes, &sender, sizeof sender);
    op.in_put.share = (struct disk_share){.is_of_others = true, .percent = 10};
    return op;
}

static void fill_places(struct rig *rig, int64_t at) {
    static struct store_op ops[64];
    static struct store_result results[64];
    for (uint32_t sender = 1; sender <= PLACES / 63 + 1; sender++) {
        uint32_t n = 0;
        for (; n < 63 && (sender - 1) * 63 + n < PLACES; n++)
            ops[n] = promise(sender, n, at);
        run(rig, ops, n, results);
        for (uint32_t i = 0; i < n; i++)
            assert_int_equal(results[i].error, 0);
    }
}

/* Steps for each of so many first blocks, all refused, as a parcel brings them. */
static uint64_t cost_of_refused(struct rig *rig, uint32_t senders, int64_t at) {
    static struct store_op ops[ITEMS];
    static struct store_result results[ITEMS];
    for (uint32_t n = 0; n < ITEMS; n++)
        ops[n] = promise(1000 + n % senders, 1000 + n, at);
    uint64_t before = store_steps(rig->store);
    run(rig, ops, ITEMS, results);
    for (uint32_t n = 0; n < ITEMS; n++)
        assert_int_equal(results[n].error, -EDQUOT);
    return (store_steps(rig->store) - before) / ITEMS;
}

/* With all places taken a parcel of promises costs little more than the reading of it. */
static void refused_promises_cost_little(void **state) {
    struct rig *rig = *state;
    open_on(rig, 90 * GIB);
    fill_places(rig, HOUR);
    uint64_t many = cost_of_refused(rig, ITEMS, HOUR + 1), one = cost_of_refused(rig, 1, HOUR + 2);
    print_message("%llu and %llu steps a block of strangers\n", (unsigned long long)many,
                  (unsigned long long)one);
    assert_in_range(many, 0, 1000);
    assert_in_range(one, 0, 1000);
    /* Of one who has as many as a sender may. */
    static struct store_op ops[ITEMS];
    static struct store_result results[ITEMS];
    for (uint32_t n = 0; n < ITEMS; n++)
        ops[n] = known(promise(9, 5000 + n, HOUR + 3));
    uint64_t before = store_steps(rig->store);
    run(rig, ops, ITEMS, results);
    uint64_t own = (store_steps(rig->store) - before) / ITEMS;
    assert_int_equal(results[0].error, 0);
    assert_int_equal(results[ITEMS - 1].error, -EDQUOT);
    print_message("%llu steps a block of one beyond its own\n", (unsigned long long)own);
    assert_in_range(own, 0, 1500);
    /* An hour later they give way, to as many as come. */
    assert_int_equal(run_one(rig, promise(2000, 1, 3 * HOUR)).error, 0);
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
        TEST(what_mends_nothing_drops_nothing),
        TEST(known_senders_do_not_give_way_to_strangers),
        TEST(blocked_senders_do),
        TEST(own_part_is_passed_over),
        TEST(byte_an_hour_keeps_nothing),
        TEST(bytes_take_no_places),
        TEST(bytes_of_files_keep_nothing),
        TEST(together_they_leave_free_what_stays_free),
        TEST(so_do_messages),
        TEST(parts_give_way_for_the_disk),
        TEST(so_do_parts_of_messages),
        TEST(refused_promises_cost_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
