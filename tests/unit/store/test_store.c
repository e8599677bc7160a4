/* link: daemon/io/store/store daemon/io/store/store_sql daemon/io/store/store_schema daemon/io/store/store_message daemon/io/store/store_part daemon/io/store/store_refused daemon/io/store/store_waiting daemon/io/store/store_history daemon/io/store/store_sweep daemon/io/store/store_copy daemon/io/store/store_disk daemon/io/store/disk daemon/io/store/store_file daemon/io/store/store_file_in daemon/io/store/store_file_out daemon/io/store/store_file_list daemon/io/store/store_file_room shared/file_name daemon/io/store/spool shared/text shared/address */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store/store_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- The file ---- */

static mode_t mode_of(const char *path) {
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 0777;
}

static void new_file_is_private(void **state) {
    struct rig *rig = *state;
    char wal[128];
    mode_t before = umask(0);
    open_store(rig);
    umask(before);
    assert_int_equal(run_one(rig, out_put(1, text, 5)).error, 0);
    assert_int_equal(mode_of(rig->path), 0600);
    snprintf(wal, sizeof wal, "%s-wal", rig->path);
    assert_int_equal(mode_of(wal), 0600);
    stop_store(rig);
    assert_int_equal(access(wal, F_OK), -1);
    assert_int_equal(chmod(rig->path, 0644), 0);
    open_store(rig);
    assert_int_equal(mode_of(rig->path), 0600);
}

static uint8_t *read_file(const struct rig *rig, size_t *ret_size) {
    struct stat status;
    int fd = open(rig->path, O_RDONLY);
    assert_int_equal(fstat(fd, &status), 0);
    *ret_size = (size_t)status.st_size;
    uint8_t *bytes = malloc(*ret_size + 1);
    assert_non_null(bytes);
    assert_int_equal(read(fd, bytes, *ret_size), *ret_size);
    close(fd);
    return bytes;
}

/* Opening fails with `code`, says `word`, and leaves every byte as it is. */
static void assert_refused(struct rig *rig, int code, const char *word) {
    char error[FAILURE_MAX] = "";
    struct store *store = NULL;
    size_t size, size_after;
    uint8_t *before = read_file(rig, &size);
    assert_int_equal(open_at(&store, rig->folder, rig->path, error), code);
    assert_null(store);
    if (!strstr(error, word) || !strstr(error, rig->path))
        fail_msg("%s", error);
    uint8_t *after = read_file(rig, &size_after);
    assert_int_equal(size, size_after);
    assert_memory_equal(before, after, size);
    free(before);
    free(after);
}

static void fill_file(struct rig *rig) {
    struct store_op ops[200];
    struct store_result results[200];
    open_store(rig);
    for (uint32_t i = 0; i < 200; i++)
        ops[i] = out_put(i, text, sizeof text);
    run(rig, ops, 200, results);
    stop_store(rig);
}

static void damage(const struct rig *rig, off_t offset, size_t length) {
    uint8_t junk[4096];
    memset(junk, 0xd5, sizeof junk);
    int fd = open(rig->path, O_WRONLY);
    assert_int_equal(pwrite(fd, junk, length, offset), length);
    close(fd);
}

static int schema_of(const struct rig *rig) {
    sqlite3 *sqlite;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open(rig->path, &sqlite), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(sqlite, "PRAGMA user_version", -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int version = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(sqlite), SQLITE_OK);
    return version;
}

static void set_schema(const struct rig *rig, int version) {
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", version);
    run_sql(rig, sql);
}

static void newer_schema_is_refused(void **state) {
    struct rig *rig = *state;
    fill_file(rig);
    int version = schema_of(rig);
    set_schema(rig, version + 1);
    assert_refused(rig, -EPROTO, "newer p2pd");
    set_schema(rig, version);
    open_store(rig);
    assert_int_equal(run_one(rig, out_find(7)).error, 0);
}

static void other_database_is_refused(void **state) {
    struct rig *rig = *state;
    run_sql(rig, "CREATE TABLE recipes (name TEXT)");
    assert_int_equal(chmod(rig->path, 0600), 0);
    assert_refused(rig, -EPROTO, "another program");
}

static void damaged_header_is_refused(void **state) {
    struct rig *rig = *state;
    fill_file(rig);
    damage(rig, 0, 100);
    assert_refused(rig, -EUCLEAN, "move it away");
}

static void damaged_page_is_refused(void **state) {
    struct rig *rig = *state;
    size_t size;
    fill_file(rig);
    /* How many pages the file has stands in its head; there may be room behind them. */
    uint8_t *file = read_file(rig, &size);
    off_t pages = file[28] << 24 | file[29] << 16 | file[30] << 8 | file[31];
    free(file);
    assert_true(pages > 2 && pages * 4096 <= (off_t)size);
    damage(rig, (pages - 2) * 4096, 4096);
    assert_refused(rig, -EUCLEAN, "damaged");
}

static void cut_file_is_refused(void **state) {
    struct rig *rig = *state;
    fill_file(rig);
    assert_int_equal(truncate(rig->path, 4096 * 5 + 100), 0);
    assert_refused(rig, -EUCLEAN, "damaged");
}

/* Too large to be checked whole at start: damage is met by who reads it, and by nobody else. */
static void damage_inside_is_told(void **state) {
    struct rig *rig = *state;
    uint32_t size = 40u << 20;
    uint8_t *body = calloc(1, size);
    assert_non_null(body);
    open_store(rig);
    assert_int_equal(run_one(rig, out_put(1, text, 10)).error, 0);
    assert_int_equal(run_one(rig, out_put(2, body, size)).error, 0);
    stop_store(rig);
    damage(rig, (20 << 20) + 5 * 4096,
           4096); /* in the midst of a body, not where its blocks are listed */
    open_store(rig);
    int damaged = 0;
    for (uint32_t at = 0; at < size; at += STORE_BLOCK_MAX) {
        int error = run_one(rig, out_read(2, at, STORE_BLOCK_MAX)).error;
        assert_true(error == 0 || error == -EUCLEAN);
        damaged += error != 0;
        store_release(rig->store);
    }
    assert_true(damaged >= 1 && damaged <= 16);
    assert_int_equal(run_one(rig, out_read(1, 0, 10)).length, 10);
    assert_int_equal(run_one(rig, out_put(3, text, 10)).error, 0);
    free(body);
}

static void folder_in_its_place_is_refused(void **state) {
    struct rig *rig = *state;
    char error[FAILURE_MAX] = "";
    assert_int_equal(mkdir(rig->path, 0700), 0);
    assert_int_equal(open_at(&rig->store, rig->folder, rig->path, error), -EINVAL);
    assert_non_null(strstr(error, "not a regular file"));
    rmdir(rig->path);
}

static void missing_folder_is_named(void **state) {
    struct rig *rig = *state;
    char error[FAILURE_MAX] = "", path[128];
    snprintf(path, sizeof path, "%s/none/messages.db", rig->folder);
    assert_int_equal(open_at(&rig->store, rig->folder, path, error), -ENOENT);
    assert_non_null(strstr(error, path));
}

/* Run in a child, which may give up rights; its exit code is what is returned. */
static int in_child(struct rig *rig, int (*body)(struct rig *rig)) {
    int status;
    pid_t pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0)
        _exit(body(rig));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int open_as_nobody(struct rig *rig) {
    char error[FAILURE_MAX] = "";
    if (geteuid() == 0 && setuid(65534) != 0)
        return 99;
    return -open_at(&rig->store, rig->folder, rig->path, error);
}

static void read_only_file_is_refused(void **state) {
    struct rig *rig = *state;
    fill_file(rig);
    assert_int_equal(chmod(rig->folder, 0755), 0);
    assert_int_equal(chmod(rig->path, 0400), 0);
    if (geteuid() == 0 && chown(rig->path, 65534, (gid_t)-1) != 0)
        skip(); /* root of a user namespace that holds one user alone: nobody is kept out */
    assert_int_equal(in_child(rig, open_as_nobody), EACCES);
}

static int open_again(struct rig *rig) {
    char error[FAILURE_MAX] = "";
    return -open_at(&rig->store, rig->folder, rig->path, error);
}

static void second_process_is_refused(void **state) {
    struct rig *rig = *state;
    open_store(rig);
    assert_int_equal(run_one(rig, out_put(1, text, 5)).error, 0);
    assert_int_equal(in_child(rig, open_again), EBUSY);
    stop_store(rig);
    assert_int_equal(in_child(rig, open_again), 0);
}

/* ---- Sending ---- */

static void same_id_exists_or_conflicts(void **state) {
    static const uint32_t sizes[] = {0, 1, 2048, 2049, 65536, 70000};
    struct rig *rig = *state;
    uint8_t body[70000] = {0}, other[70000] = {0};
    open_store(rig);
    for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint32_t size = sizes[i];
        struct store_op op = out_put(i, body, size);
        struct store_result result = run_one(rig, op);
        assert_int_equal(result.error, 0);
        assert_false(result.existed);
        result = run_one(rig, op);
        assert_int_equal(result.error, 0);
        assert_true(result.existed);
        assert_int_equal(result.record.state, MESSAGE_QUEUED);
        other[size ? size - 1 : 0] = 1;
        assert_int_equal(run_one(rig, out_put(i, other, size)).error, size ? -EEXIST : 0);
        other[size ? size - 1 : 0] = 0;
        assert_int_equal(run_one(rig, out_put(i, body, size + 1)).error, -EEXIST);
        op.out_put.record.recipient.bytes[0] = 1;
        assert_int_equal(run_one(rig, op).error, -EEXIST);
    }
}

static void conflict_spares_its_batch(void **state) {
    struct rig *rig = *state;
    struct store_op ops[] = {out_put(1, text, 5), out_put(1, text, 6), out_done(9, 1, false),
                             out_put(2, text, 5), out_find(1),         out_find(3)};
    struct store_result results[6];
    int expected[] = {0, -EEXIST, -ENOENT, 0, 0, -ENOENT};
    open_store(rig);
    run(rig, ops, 6, results);
    for (int i = 0; i < 6; i++)
        assert_int_equal(results[i].error, expected[i]);
    struct node_boot boot = load(rig);
    assert_int_equal(boot.n_pending, 2);
    assert_int_equal(boot.pending[0].size, 5);
}

static void long_body_is_read_by_blocks(void **state) {
    struct rig *rig = *state;
    uint32_t size = 16u << 20;
    uint8_t *body = malloc(size);
    assert_non_null(body);
    for (uint32_t i = 0; i < size; i++)
        body[i] = (uint8_t)below(rig, 256);
    open_store(rig);
    assert_int_equal(run_one(rig, out_put(1, body, size)).error, 0);
    for (int i = 0; i < 200; i++) {
        uint32_t offset = below(rig, size + 1), length = below(rig, 3 * STORE_BLOCK_MAX);
        uint32_t expected = length < size - offset ? length : size - offset;
        struct store_result result = run_one(rig, out_read(1, offset, length));
        assert_int_equal(result.error, 0);
        assert_int_equal(result.length, expected);
        assert_memory_equal(result.bytes, body + offset, expected);
        store_release(rig->store);
    }
    assert_int_equal(run_one(rig, out_read(1, size, 1)).error, 0);
    assert_int_equal(run_one(rig, out_read(1, size + 1, 1)).error, -EINVAL);
    assert_int_equal(run_one(rig, out_read(2, 0, 1)).error, -ENOENT);
    free(body);
}

static void sequences_outlive_messages(void **state) {
    struct rig *rig = *state;
    open_store(rig);
    assert_int_equal(run_one(rig, out_put(7, text, 5)).error, 0);
    assert_int_equal(run_one(rig, out_put(5, text, 5)).error, 0);
    assert_int_equal(run_one(rig, out_done(7, 1, true)).error, 0);
    assert_int_equal(run_one(rig, out_find(7)).error, -ENOENT);
    struct node_boot boot = load(rig);
    assert_int_equal(boot.n_pending, 1);
    assert_int_equal(boot.n_conversations, 1);
    assert_int_equal(boot.conversations[0].sequence, 7);
}

/* ---- Batches ---- */

static void thousand_are_one_transaction(void **state) {
    struct rig *rig = *state;
    struct store_op ops[1000];
    struct store_result results[1000];
    open_store(rig);
    for (uint32_t i = 0; i < 1000; i++)
        ops[i] = out_put(i, text, sizeof text);
    store_limit_pages(rig->store, 20); /* room for some, not for all */
    run(rig, ops, 1000, results);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(results[i].tag, i);
        assert_int_equal(results[i].error, -ENOSPC);
    }
    store_limit_pages(rig->store, 0);
    assert_int_equal(store_submit(rig->store, ops, 1000), 0);
    collect(rig, results, 1);
    assert_int_equal(store_collect(rig->store, results + 1, 999), 999);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(results[i].tag, i);
        assert_int_equal(results[i].error, 0);
        assert_false(results[i].existed);
    }
}

/* Of one parcel: what comes behind an item that is refused is not tried. */
static void what_follows_a_refusal_is_refused(void **state) {
    struct rig *rig = *state;
    static const int expected[] = {0, -EDQUOT, -EDQUOT, -EDQUOT, 0, 0};
    struct store_op ops[6];
    struct store_result results[6];
    open_store(rig);
    for (uint32_t i = 0; i < 6; i++) {
        ops[i] = in_put(i, text, sizeof text);
        ops[i].in_put.follows = i != 0 && i != 4;
        ops[i].in_put.quota_sender = i == 1;
    }
    run(rig, ops, 6, results);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(results[i].error, expected[i]);
    run(rig, ops + 2, 2, results); /* nor was it kept */
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(results[i].in_outcome, STORE_IN_COMPLETE);
}

static void queue_past_its_bound_waits(void **state) {
    struct rig *rig = *state;
    size_t n = 3 * STORE_QUEUE_MAX + 1;
    struct store_result *results = malloc(n * sizeof *results);
    assert_non_null(results);
    open_store(rig);
    for (uint32_t i = 0; i < n; i++) {
        struct store_op op = out_put(i, text, 10);
        assert_int_equal(store_submit(rig->store, &op, 1), 0);
    }
    collect(rig, results, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(results[i].tag, i);
        assert_int_equal(results[i].error, 0);
    }
    free(results);
}

static void stop_finishes_what_is_queued(void **state) {
    struct rig *rig = *state;
    struct store_op ops[500];
    open_store(rig);
    for (uint32_t i = 0; i < 500; i++)
        ops[i] = in_put(i, text, sizeof text);
    assert_int_equal(store_submit(rig->store, ops, 500), 0);
    assert_int_equal(load(rig).inbox_waiting, 500);
}

/* A disk as these say it is. */
static struct disk_space told;
static int tell_space(const char *path, struct disk_space *ret_space) {
    (void)path;
    *ret_space = told;
    return 0;
}

static void open_told(struct rig *rig) {
    char error[FAILURE_MAX] = "";
    struct store_config config = {rig->path, rig->folder, rig->folder, tell_space};
    if (store_open(&rig->store, &config, error))
        fail_msg("%s", error);
    assert_int_equal(store_start(rig->store, wake, rig), 0);
}

static struct store_op of_others(struct store_op op, uint8_t percent) {
    op.in_put.share.is_of_others = true;
    op.in_put.share.percent = percent;
    return op;
}

/* What comes from others ends first, then what the user sends; taking and forgetting never do. */
static void a_disk_that_fills(void **state) {
    struct rig *rig = *state;
    told = (struct disk_space){UINT64_C(10) << 30, UINT64_C(10) << 30};
    open_told(rig);
    assert_int_equal(outcome(rig, of_others(in_put(1, text, 50), 20)), STORE_IN_COMPLETE);
    told.free = UINT64_C(2) << 30; /* a fifth, and others have filled the rest */
    assert_int_equal(outcome(rig, of_others(in_put(2, text, 50), 20)), STORE_IN_COMPLETE);
    told.free = DISK_FLOOR + 1000000;
    assert_int_equal(outcome(rig, of_others(in_put(3, text, 50), 0)), STORE_IN_COMPLETE);
    told.free = DISK_FLOOR;
    assert_int_equal(run_one(rig, of_others(in_put(4, text, 50), 0)).error, -ENOBUFS);
    assert_int_equal(run_one(rig, of_others(in_put(4, text, 50), 20)).error, -ENOBUFS);
    assert_int_equal(run_one(rig, out_put(1, text, 50)).error, 0);
    assert_int_equal(outcome(rig, in_put(5, text, 50)), STORE_IN_COMPLETE); /* to ourselves */
    told.free = DISK_FLOOR / 2;
    assert_int_equal(run_one(rig, out_put(2, text, 50)).error, -ENOSPC);
    assert_int_equal(run_one(rig, out_put(1, text, 50)).error, 0); /* it is here already */
    assert_int_equal(run_one(rig, in_put(6, text, 50)).error, -ENOSPC);
    told.free = 0;
    assert_int_equal(run_one(rig, in_take(&(int64_t){1}, 5, false)).error, 0);
    assert_int_equal(run_one(rig, in_take(&(int64_t){2}, 5, true)).error, 0);
    assert_int_equal(run_one(rig, out_done(1, 5, false)).error, 0);
    assert_int_equal(run_one(rig, sweep(1000, 0)).error, 0);
    assert_int_equal(load(rig).inbox_waiting, 2);
}

/* A message in blocks is let in as a whole, and then may use what others may not use any more. */
static void what_was_begun_on_a_disk_that_fills(void **state) {
    struct rig *rig = *state;
    static uint8_t body[100000];
    told = (struct disk_space){UINT64_C(10) << 30, UINT64_C(10) << 30};
    open_told(rig);
    struct store_op first = of_others(in_block(1, sizeof body, 0, body, 50000), 20),
                    last = of_others(in_block(1, sizeof body, 50000, body, 50000), 20);
    told.free = (UINT64_C(1) << 30) / 2;
    assert_int_equal(run_one(rig, first).error, 0);
    told.free = DISK_FLOOR + 1000000;
    struct store_op other = of_others(in_block(2, 8 << 20, 0, body, 50000), 0);
    assert_int_equal(run_one(rig, other).error, -ENOBUFS); /* the whole has no room */
    assert_int_equal(outcome(rig, last), STORE_IN_COMPLETE);
}

/* One transaction of many: they do not each find the same room. */
static void a_batch_on_a_disk_that_fills(void **state) {
    struct rig *rig = *state;
    static uint8_t body[60000];
    struct store_op ops[10];
    struct store_result results[10];
    told = (struct disk_space){UINT64_C(10) << 30, DISK_FLOOR + 5 * (2 * sizeof body + 4096)};
    open_told(rig);
    for (uint32_t i = 0; i < 10; i++)
        ops[i] = of_others(in_put(i + 1, body, sizeof body), 0);
    run(rig, ops, 10, results);
    int taken = 0;
    for (size_t i = 0; i < 10; i++)
        taken += results[i].error == 0;
    assert_in_range(taken, 3, 5);
    assert_int_equal(results[9].error, -ENOBUFS);
}

static void full_disk_changes_nothing(void **state) {
    struct rig *rig = *state;
    uint8_t body[70000] = {1};
    struct store_result results[6];
    struct store_op ops[] = {
        out_put(2, text, 5),           in_put(3, text, 5),   out_find(1), out_find(2),
        out_put(4, body, sizeof body), in_fetch(0, 10, 1000)};
    int expected[] = {-ENOSPC, -ENOSPC, 0, -ENOENT, -ENOSPC, 0};
    open_store(rig);
    assert_int_equal(run_one(rig, out_put(1, text, 5)).error, 0);
    store_limit_pages(rig->store, 1);
    run(rig, ops, 6, results);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(results[i].error, expected[i]);
        assert_int_equal(results[i].tag, ops[i].tag);
        assert_int_equal(results[i].kind, ops[i].kind);
    }
    assert_int_equal(results[5].n_messages, 0);
    store_limit_pages(rig->store, 0);
    run(rig, ops, 6, results);
    for (int i = 0; i < 6; i++)
        assert_int_equal(results[i].error, 0);
    assert_int_equal(results[5].n_messages, 1);
    assert_int_equal(results[5].messages[0].row, 1); /* failed ones used up no row */
    assert_int_equal(load(rig).n_pending, 3);
}

/* ---- Receiving ---- */

static void blocks_are_bounded(void **state) {
    struct rig *rig = *state;
    static uint8_t body[2 * STORE_BLOCK_MAX];
    uint32_t block = STORE_BLOCK_MAX;
    open_store(rig);
    assert_int_equal(outcome(rig, in_block(1, block, 0, body, block)), STORE_IN_COMPLETE);
    assert_int_equal(run_one(rig, in_block(2, block + 1, 0, body, block + 1)).error, -EINVAL);
    assert_int_equal(run_one(rig, in_block(3, 100, 50, body, 51)).error, -EINVAL);
    assert_int_equal(outcome(rig, in_block(3, 100, 50, body, 50)), STORE_IN_PARTIAL);
    assert_int_equal(run_one(rig, in_block(3, 101, 0, body, 50)).error, -EINVAL);
    assert_int_equal(run_one(rig, in_block(3, 100, 0, body, 51)).error, -EINVAL);
    assert_int_equal(run_one(rig, in_block(3, 100, 0, body, 0)).error, -EINVAL);
    assert_int_equal(run_one(rig, in_block(3, 100, UINT32_MAX, body, 2)).error, -EINVAL);
    assert_int_equal(outcome(rig, in_block(3, 100, 50, body, 50)), STORE_IN_PARTIAL);
    assert_int_equal(outcome(rig, in_block(3, 100, 0, body, 50)), STORE_IN_COMPLETE);
    assert_int_equal(outcome(rig, in_block(3, 100, 50, body, 50)), STORE_IN_DUPLICATE);
    assert_int_equal(outcome(rig, in_block(4, 0, 0, NULL, 0)), STORE_IN_COMPLETE);
    assert_int_equal(outcome(rig, in_block(4, 0, 0, NULL, 0)), STORE_IN_DUPLICATE);
    assert_int_equal(run_one(rig, in_block(5, 0, 1, NULL, 0)).error, -EINVAL);
    assert_int_equal(load(rig).inbox_waiting, 3);
}

/* A message that is cut into small blocks on its way comes whole from a mailbox: no contradiction.
 * Another total is one. */
static void whole_replaces_blocks(void **state) {
    struct rig *rig = *state;
    static uint8_t body[STORE_BLOCK_MAX], other[STORE_BLOCK_MAX];
    static const uint32_t totals[] = {100, STORE_BLOCK_MAX};
    memset(body, 'b', sizeof body);
    memset(other, 'o', sizeof other);
    open_store(rig);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t total = totals[i];
        assert_int_equal(outcome(rig, in_block(1 + i, total, 7, other, 50)), STORE_IN_PARTIAL);
        assert_int_equal(run_one(rig, in_block(1 + i, total - 1, 0, body, total - 1)).error,
                         -EINVAL);
        assert_int_equal(outcome(rig, in_block(1 + i, total, 0, body, total)), STORE_IN_COMPLETE);
        assert_int_equal(outcome(rig, in_block(1 + i, total, 57, other, 9)), STORE_IN_DUPLICATE);
        assert_int_equal(outcome(rig, in_block(1 + i, total, 0, body, total)), STORE_IN_DUPLICATE);
    }
    struct store_result result = run_one(rig, in_fetch(0, 10, 1u << 20));
    assert_int_equal(result.n_messages, 2);
    for (size_t i = 0; i < 2; i++)
        assert_memory_equal(result.messages[i].body, body, totals[i]);
    assert_int_equal(load(rig).inbox_waiting, 2);
}

static void blocks_come_in_any_order(void **state) {
    struct rig *rig = *state;
    uint32_t n = 40, block = 3000, total = n * block - 5, order[40];
    uint8_t *body = malloc(n * block);
    assert_non_null(body);
    for (uint32_t i = 0; i < n * block; i++)
        body[i] = (uint8_t)below(rig, 256);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t j = below(rig, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    open_store(rig);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t offset = order[i] * block;
        uint32_t length = total - offset < block ? total - offset : block;
        struct store_op op = in_block(1, total, offset, body + offset, length);
        if (i == n / 2) {
            stop_store(rig);
            open_store(rig);
        }
        assert_int_equal(outcome(rig, op), i == n - 1 ? STORE_IN_COMPLETE : STORE_IN_PARTIAL);
        assert_int_equal(outcome(rig, op), i == n - 1 ? STORE_IN_DUPLICATE : STORE_IN_PARTIAL);
    }
    struct store_result result = run_one(rig, in_fetch(0, 1, 0));
    assert_int_equal(result.n_messages, 1);
    assert_int_equal(result.messages[0].size, total);
    assert_memory_equal(result.messages[0].body, body, total);
    free(body);
}

static void fetch_keeps_its_bounds(void **state) {
    struct rig *rig = *state;
    open_store(rig);
    for (uint32_t i = 1; i <= 3; i++)
        assert_int_equal(outcome(rig, in_put(i, text, 10)), STORE_IN_COMPLETE);
    const struct {
        int64_t after;
        uint32_t limit;
        uint64_t bytes;
        size_t n;
        bool more;
    } cases[] = {
        {0, 3, 30, 3, false}, {0, 3, 29, 2, true}, {0, 2, 30, 2, true}, {0, 9, 0, 1, true},
        {2, 9, 0, 1, false},  {3, 9, 9, 0, false}, {0, 0, 99, 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct store_result result =
            run_one(rig, in_fetch(cases[i].after << 20, cases[i].limit, cases[i].bytes));
        assert_int_equal(result.n_messages, cases[i].n);
        assert_int_equal(result.more, cases[i].more);
        for (size_t k = 0; k < result.n_messages; k++)
            assert_int_equal(result.messages[k].row, cases[i].after + (int64_t)k + 1);
    }
}

/* ---- Forgetting ---- */

static void taken_are_kept_for_the_retention(void **state) {
    struct rig *rig = *state;
    int64_t rows[] = {1, 2};
    open_store(rig);
    for (uint32_t i = 1; i <= 2; i++)
        assert_int_equal(outcome(rig, in_put(i, text, 10)), STORE_IN_COMPLETE);
    assert_int_equal(run_one(rig, in_take(&rows[0], 100, false)).error, 0);
    assert_int_equal(run_one(rig, in_take(&rows[1], 100, true)).error, 0);
    assert_int_equal(run_one(rig, in_fetch(0, 9, 99)).n_messages, 0);
    /* 1000 is the tombstones' end: one microsecond before it, and then at it. */
    assert_int_equal(run_one(rig, sweep(999, 900)).error, 0);
    assert_int_equal(outcome(rig, in_put(1, text, 10)), STORE_IN_DUPLICATE);
    assert_int_equal(outcome(rig, in_put(2, text, 10)), STORE_IN_DUPLICATE);
    assert_int_equal(run_one(rig, sweep(1000, 901)).error, 0);
    assert_int_equal(outcome(rig, in_put(1, text, 10)), STORE_IN_DUPLICATE); /* still in history */
    assert_int_equal(outcome(rig, in_put(2, text, 10)), STORE_IN_COMPLETE);
    assert_int_equal(run_one(rig, sweep(1000, 900)).error, 0);
    assert_int_equal(outcome(rig, in_put(1, text, 10)), STORE_IN_COMPLETE);
}

static void rows_are_never_used_again(void **state) {
    struct rig *rig = *state;
    open_store(rig);
    for (int64_t row = 1; row <= 3; row++) {
        assert_int_equal(outcome(rig, in_put(1, text, 10)), STORE_IN_COMPLETE);
        struct store_result result = run_one(rig, in_fetch(0, 9, 99));
        assert_int_equal(result.n_messages, 1);
        assert_int_equal(result.messages[0].row, row);
        assert_int_equal(run_one(rig, in_take(&row, 1, true)).error, 0);
        assert_int_equal(run_one(rig, sweep(1000, 0)).error, 0);
        stop_store(rig);
        open_store(rig);
    }
}

static void finished_sends_go_at_the_retention(void **state) {
    struct rig *rig = *state;
    open_store(rig);
    assert_int_equal(run_one(rig, out_put(1, text, 5)).error, 0);
    assert_int_equal(run_one(rig, out_put(2, text, 5)).error, 0);
    assert_int_equal(run_one(rig, out_done(1, 100, false)).error, 0);
    assert_int_equal(run_one(rig, sweep(149, 50)).error, 0);
    assert_int_equal(run_one(rig, out_find(1)).record.state, MESSAGE_DELIVERED);
    assert_int_equal(run_one(rig, sweep(150, 50)).error, 0);
    assert_int_equal(run_one(rig, out_find(1)).error, -ENOENT);
    assert_int_equal(run_one(rig, out_find(2)).error, 0);
}

static void unfinished_go_when_their_sender_has_given_up(void **state) {
    struct rig *rig = *state;
    struct store_op first = in_block(1, 100, 0, text, 50), last = in_block(1, 100, 50, text, 50);
    open_store(rig);
    first.in_put.tombstone_until.us = last.in_put.tombstone_until.us = 10;
    assert_int_equal(outcome(rig, first), STORE_IN_PARTIAL);
    assert_int_equal(run_one(rig, sweep(9, 0)).error, 0);
    assert_int_equal(outcome(rig, last), STORE_IN_COMPLETE);
    first.in_put.id = last.in_put.id = id_of(2);
    assert_int_equal(outcome(rig, first), STORE_IN_PARTIAL);
    assert_int_equal(run_one(rig, sweep(10, 0)).error, 0);
    assert_int_equal(outcome(rig, last), STORE_IN_PARTIAL);
}

/* More than one transaction sweeps: the rest follows by itself. */
static void large_sweep_goes_on(void **state) {
    struct rig *rig = *state;
    uint32_t n = 7000;
    struct store_op *ops = calloc(n, 2 * sizeof *ops);
    struct store_result *results = calloc(n, 2 * sizeof *results);
    assert_true(ops && results);
    open_store(rig);
    for (uint32_t i = 0; i < n; i++) {
        ops[2 * i] = out_put(i, text, 10);
        ops[2 * i + 1] = out_done(i, i, false);
    }
    run(rig, ops, 2 * n, results);
    assert_int_equal(run_one(rig, sweep(n, 0)).error, 0);
    time_t end = time(NULL) + WAIT_S;
    while (run_one(rig, out_find(n - 1)).error != -ENOENT)
        assert_true(time(NULL) < end);
    free(ops);
    free(results);
}

/* ---- Killed ---- */

/* Child: put messages in both directions in batches of odd sizes, and report each durable one by
 * its number. */
static void serve_until_killed(struct rig *rig, int report) {
    static uint8_t body[5000];
    struct store_op ops[32];
    struct store_result results[32];
    open_store(rig);
    for (uint32_t number = 0;;) {
        size_t n = 1 + below(rig, 32);
        for (size_t i = 0; i < n; i++, number++) {
            uint32_t size = below(rig, 10) ? 100 : 5000;
            ops[i] = number % 2 ? in_put(number, body, size) : out_put(number, body, size);
        }
        run(rig, ops, n, results);
        for (size_t i = 0; i < n; i++) {
            uint32_t done = (uint32_t)results[i].tag;
            if (results[i].error || write(report, &done, sizeof done) != sizeof done)
                _exit(1);
        }
        store_release(rig->store);
    }
}

/* Returns how many were reported; kills after about so many. */
static uint32_t run_and_kill(struct rig *rig, uint32_t kill_after) {
    int ends[2], status;
    uint32_t number, n = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        close(ends[0]);
        serve_until_killed(rig, ends[1]);
    }
    close(ends[1]);
    while (read(ends[0], &number, sizeof number) == sizeof number) {
        assert_int_equal(number, n);
        if (n++ == kill_after)
            assert_int_equal(kill(pid, SIGKILL), 0);
    }
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return n;
}

/* Everything reported is there once, and nothing is there twice. */
static void assert_survived(struct rig *rig, uint32_t reported) {
    struct store_result result = run_one(rig, in_fetch(0, UINT32_MAX, UINT64_MAX));
    uint32_t inbound = 0;
    for (size_t i = 0; i < result.n_messages; i++) {
        uint32_t number = number_of(&result.messages[i].id);
        assert_int_equal(number, 2 * i + 1); /* in order, none missing, none twice */
        inbound += number < reported;
    }
    assert_int_equal(inbound, reported / 2);
    for (uint32_t number = 0; number < reported; number += 2)
        assert_int_equal(run_one(rig, out_find(number)).error, 0);
    struct node_boot boot = load(rig);
    for (size_t i = 0; i < boot.n_pending; i++)
        assert_int_equal(boot.pending[i].sequence, 2 * i);
    assert_true(boot.n_pending >= (reported + 1) / 2);
}

/* What is charged is what waits: both were in the same transactions. */
static void assert_charged(const struct rig *rig) {
    sqlite3 *sqlite;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open(rig->path, &sqlite), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(sqlite,
                           "SELECT coalesce((SELECT bytes FROM usage WHERE sender = X''), 0),"
                           " coalesce((SELECT sum(size + 256) FROM in_message WHERE state = 0), 0)",
                           -1, &statement, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1));
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(sqlite), SQLITE_OK);
}

static void killed_at_any_point_keeps_its_word(void **state) {
    struct rig *rig = *state;
    for (int round = 0; round < 12; round++) {
        rig->random.state += (uint64_t)round;
        uint32_t reported = run_and_kill(rig, below(rig, 600));
        open_store(rig);
        assert_survived(rig, reported);
        stop_store(rig);
        assert_charged(rig);
        assert_int_equal(unlink(rig->path), 0);
    }
}

int main(int argc, char **argv) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(new_file_is_private),
        TEST(newer_schema_is_refused),
        TEST(other_database_is_refused),
        TEST(damaged_header_is_refused),
        TEST(damaged_page_is_refused),
        TEST(cut_file_is_refused),
        TEST(damage_inside_is_told),
        TEST(folder_in_its_place_is_refused),
        TEST(missing_folder_is_named),
        TEST(read_only_file_is_refused),
        TEST(second_process_is_refused),
        TEST(same_id_exists_or_conflicts),
        TEST(conflict_spares_its_batch),
        TEST(long_body_is_read_by_blocks),
        TEST(sequences_outlive_messages),
        TEST(thousand_are_one_transaction),
        TEST(what_follows_a_refusal_is_refused),
        TEST(queue_past_its_bound_waits),
        TEST(stop_finishes_what_is_queued),
        TEST(a_disk_that_fills),
        TEST(what_was_begun_on_a_disk_that_fills),
        TEST(a_batch_on_a_disk_that_fills),
        TEST(full_disk_changes_nothing),
        TEST(blocks_are_bounded),
        TEST(whole_replaces_blocks),
        TEST(blocks_come_in_any_order),
        TEST(fetch_keeps_its_bounds),
        TEST(taken_are_kept_for_the_retention),
        TEST(rows_are_never_used_again),
        TEST(finished_sends_go_at_the_retention),
        TEST(unfinished_go_when_their_sender_has_given_up),
        TEST(large_sweep_goes_on),
        TEST(killed_at_any_point_keeps_its_word),
    };
    if (!test_begin(argc, argv))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
