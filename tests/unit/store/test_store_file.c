/* link: daemon/io/store/store daemon/io/store/store_sql daemon/io/store/store_schema daemon/io/store/store_message daemon/io/store/store_part daemon/io/store/store_refused daemon/io/store/store_waiting daemon/io/store/store_history daemon/io/store/store_sweep daemon/io/store/store_copy daemon/io/store/store_disk daemon/io/store/disk daemon/io/store/store_file daemon/io/store/store_file_in daemon/io/store/store_file_out daemon/io/store/store_file_list daemon/io/store/store_file_room shared/file_name daemon/io/store/spool shared/text shared/address */
/* Files of the store: what is accepted is there, what is claimed is on the disk, and nobody else's
 * file is touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/store/disk.h"
#include "daemon/io/store/spool.h"
#include "daemon/io/store/store.h"
#include "shared/file_name.h"
#include "tests/unit/harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 60000
#define BLOCK 50000u
#define HOUR US_PER_HOUR

struct rig {
    char folder[64], path[96], files[96];
    struct store *store;
    struct spool spool;
    int pipe[2];
    struct test_stream random;
};

static uint32_t below(struct rig *rig, uint32_t bound) {
    return (uint32_t)((test_next(&rig->random) >> 32) % bound);
}

static void wake(void *context) {
    struct rig *rig = context;
    if (write(rig->pipe[1], "", 1) != 1)
        abort();
}

#define AMPLE (UINT64_C(1) << 40)
/* Files here are larger than the disk may be on which this runs: no more of one is written than it
 * takes. */
static int ample_space(const char *path, struct disk_space *ret_space) {
    (void)path;
    *ret_space = (struct disk_space){AMPLE, AMPLE};
    return 0;
}

static void open_store(struct rig *rig) {
    char error[FAILURE_MAX] = "";
    struct store_config config = {rig->path, rig->folder, rig->files, ample_space};
    if (store_open(&rig->store, &config, error))
        fail_msg("%s", error);
    assert_int_equal(store_start(rig->store, wake, rig), 0);
}

static void stop_store(struct rig *rig) {
    store_stop(rig->store);
    rig->store = NULL;
}

static void reopen(struct rig *rig) {
    stop_store(rig);
    open_store(rig);
}

static int setup(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    rig->random.state = test_seed;
    strcpy(rig->folder, "/tmp/p2pd-test-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    snprintf(rig->path, sizeof rig->path, "%s/messages.db", rig->folder);
    snprintf(rig->files, sizeof rig->files, "%s/files", rig->folder);
    assert_int_equal(pipe(rig->pipe), 0);
    assert_int_equal(fcntl(rig->pipe[0], F_SETFL, O_NONBLOCK), 0);
    open_store(rig);
    assert_int_equal(spool_init(&rig->spool, rig->folder), 0);
    *state = rig;
    return 0;
}

static void remove_all(const char *path) {
    char name[1024];
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (unlink(name) < 0)
            remove_all(name);
    }
    if (folder)
        closedir(folder);
    rmdir(path);
}

static int teardown(void **state) {
    struct rig *rig = *state;
    store_stop(rig->store);
    spool_deinit(&rig->spool);
    close(rig->pipe[0]);
    close(rig->pipe[1]);
    remove_all(rig->folder);
    free(rig);
    return 0;
}

static void run(struct rig *rig, const struct store_op *ops, size_t n,
                struct store_result *results) {
    struct pollfd wait = {rig->pipe[0], POLLIN, 0};
    char byte[64];
    assert_int_equal(store_submit(rig->store, ops, n), 0);
    for (size_t got = 0; got < n;) {
        got += store_collect(rig->store, results + got, n - got);
        if (got < n)
            assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
        while (read(rig->pipe[0], byte, sizeof byte) > 0)
            ;
    }
}

static struct store_result run_one(struct rig *rig, struct store_op op) {
    struct store_result result;
    run(rig, &op, 1, &result);
    return result;
}

/* ---- Files that come ---- */

/* A file whose bytes are a function of their place: none of it need be kept. */
struct incoming {
    struct file_head head;
    uint8_t sender, id;
    uint64_t size;
    uint32_t salt;
    uint64_t quota_sender, quota_all;
};

static void fill(const struct incoming *file, uint64_t at, uint8_t *ret_bytes, uint32_t length) {
    for (uint32_t i = 0; i < length; i++) {
        uint64_t place = at + i;
        ret_bytes[i] = (uint8_t)((place ^ place >> 8 ^ place >> 16) * 31 + file->salt);
    }
}

static struct incoming make_file(uint8_t id, const char *name, uint64_t size) {
    static uint8_t bytes[BLOCK];
    struct incoming file = {.sender = 1, .id = id, .size = size, .salt = id};
    crypto_hash_sha256_state hash;
    crypto_hash_sha256_init(&hash);
    for (uint64_t at = 0; at < size;) {
        uint32_t n = size - at < BLOCK ? (uint32_t)(size - at) : BLOCK;
        fill(&file, at, bytes, n);
        crypto_hash_sha256_update(&hash, bytes, n);
        at += n;
    }
    crypto_hash_sha256_final(&hash, file.head.digest);
    snprintf(file.head.name, sizeof file.head.name, "%s", name);
    return file;
}

static struct store_op block_op(const struct incoming *file, uint64_t offset, uint32_t length,
                                const uint8_t *bytes) {
    struct store_op op = {.kind = STORE_IN_PUT};
    op.in_put.kind = KIND_FILE;
    op.in_put.sender.bytes[0] = file->sender;
    op.in_put.id.bytes[0] = file->id;
    strcpy(op.in_put.sender_name, "sender");
    op.in_put.sequence = 7;
    op.in_put.sent.us = HOUR;
    op.in_put.received.us = 2 * HOUR;
    op.in_put.tombstone_until.us = 100 * HOUR;
    op.in_put.file = &file->head;
    op.in_put.total = file->size;
    op.in_put.offset = offset;
    op.in_put.length = length;
    op.in_put.bytes = bytes;
    op.in_put.quota_sender = file->quota_sender;
    op.in_put.quota_all = file->quota_all;
    return op;
}

/* One block, in a transaction of its own. A digest that is still being computed is waited for. */
static struct store_result put(struct rig *rig, const struct incoming *file, uint64_t offset,
                               uint64_t length) {
    static uint8_t bytes[STORE_BLOCK_MAX + 1];
    struct store_result result;
    if (length <= sizeof bytes)
        fill(file, offset, bytes, (uint32_t)length);
    do
        result = run_one(rig, block_op(file, offset, (uint32_t)length, bytes));
    while (result.error == -EAGAIN);
    store_release(rig->store);
    return result;
}

/* Blocks [from, to), one transaction each; the last result. */
static struct store_result put_range(struct rig *rig, const struct incoming *file, uint64_t from,
                                     uint64_t to) {
    struct store_result result = {.error = -1};
    do {
        uint64_t n = to - from < BLOCK ? to - from : BLOCK;
        result = put(rig, file, from, n);
        from += n;
    } while (from < to && result.error == 0);
    return result;
}

static struct store_result put_all(struct rig *rig, const struct incoming *file) {
    return put_range(rig, file, 0, file->size);
}

static bool holds(const char *path, const struct incoming *file) {
    uint8_t expected[4096], found[4096];
    struct stat status;
    FILE *in = fopen(path, "rb");
    bool same = in && fstat(fileno(in), &status) == 0 && (uint64_t)status.st_size == file->size;
    for (uint64_t at = 0; same && at < file->size; at += sizeof found) {
        size_t n = fread(found, 1, sizeof found, in);
        fill(file, at, expected, sizeof expected);
        same = n > 0 && memcmp(found, expected, n) == 0;
    }
    if (in)
        fclose(in);
    return same;
}

static const char *named(struct rig *rig, const char *name) {
    static char path[640];
    snprintf(path, sizeof path, "%s/%.511s", rig->files, name);
    return path;
}

/* How many names in a folder end in this. */
static unsigned count_names(const char *path, const char *end) {
    unsigned n = 0;
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        size_t length = strlen(entry->d_name), tail = strlen(end);
        bool is_dot = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        n += !is_dot && length >= tail && strcmp(entry->d_name + length - tail, end) == 0;
    }
    if (folder)
        closedir(folder);
    return n;
}

static void part_path(struct rig *rig, char ret_path[512]) {
    DIR *folder = opendir(rig->files);
    const struct dirent *entry;
    assert_non_null(folder);
    ret_path[0] = '\0';
    while ((entry = readdir(folder)))
        if (strstr(entry->d_name, ".part"))
            snprintf(ret_path, 512, "%s/%.255s", rig->files, entry->d_name);
    closedir(folder);
    assert_true(ret_path[0] != '\0');
}

static struct store_result list(struct rig *rig, int64_t after, uint32_t limit) {
    struct store_op op = {.kind = STORE_FILES};
    op.files.after = after;
    op.files.limit = limit;
    return run_one(rig, op);
}

static int take(struct rig *rig, const struct incoming *file) {
    struct store_op op = {.kind = STORE_FILE_TAKE};
    op.file_take.sender.bytes[0] = file->sender;
    op.file_take.id.bytes[0] = file->id;
    op.file_take.now.us = 3 * HOUR;
    return run_one(rig, op).error;
}

static unsigned count_descriptors(void) {
    unsigned n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Held open, its space would not come back when the user has taken it. */
static void complete_file_is_closed(void **state) {
    struct rig *rig = *state;
    struct incoming first = make_file(1, "first", BLOCK),
                    second = make_file(2, "second", 2 * BLOCK);
    assert_int_equal(put_all(rig, &first).error, 0);
    unsigned before = count_descriptors();
    assert_int_equal(put(rig, &second, 0, BLOCK).error, 0);
    assert_int_equal(count_descriptors(), before + 1);
    assert_int_equal(put(rig, &second, BLOCK, BLOCK).in_outcome, STORE_IN_COMPLETE);
    assert_int_equal(count_descriptors(), before);
}

/* Whose digest takes several puts gets there, whatever else is received in between. */
static void digest_is_not_kept_from_its_end(void **state) {
    enum { OTHERS = 64, ROUNDS = 5, N = (OTHERS + 1) * ROUNDS };
    static struct incoming others[OTHERS];
    static struct store_op ops[N];
    static struct store_result results[N];
    static uint8_t last[BLOCK], bytes[OTHERS];
    struct rig *rig = *state;
    struct incoming file = make_file(200, "long", 240 * BLOCK);
    assert_int_equal(put_range(rig, &file, 0, file.size - BLOCK).error, 0);
    reopen(rig); /* the digest of what is held is lost */
    fill(&file, file.size - BLOCK, last, BLOCK);
    for (unsigned i = 0; i < N; i++) {
        unsigned number = i % (OTHERS + 1);
        if (number == OTHERS) {
            ops[i] = block_op(&file, file.size - BLOCK, BLOCK, last);
            continue;
        }
        others[number] = make_file((uint8_t)number, "other", 2);
        fill(&others[number], 0, &bytes[number], 1);
        ops[i] = block_op(&others[number], 0, 1, &bytes[number]);
    }
    run(rig, ops, N, results);
    assert_int_equal(results[OTHERS].error, -EAGAIN);
    assert_int_equal(results[N - 1].error, 0);
    assert_true(holds(named(rig, "long"), &file));
    store_release(rig->store);
}

static void sweep(struct rig *rig, int64_t now) {
    struct store_op op = {.kind = STORE_SWEEP};
    op.sweep.now.us = now;
    op.sweep.retention_us = HOUR;
    assert_int_equal(run_one(rig, op).error, 0);
}

static void run_sql(const struct rig *rig, const char *sql) {
    sqlite3 *sqlite;
    assert_int_equal(sqlite3_open(rig->path, &sqlite), SQLITE_OK);
    assert_int_equal(sqlite3_exec(sqlite, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(sqlite), SQLITE_OK);
}

static int64_t query_number(struct rig *rig, const char *sql) {
    sqlite3 *sqlite;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open(rig->path, &sqlite), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(sqlite, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(sqlite);
    return number;
}

static void file_arrives_in_order(void **state) {
    struct rig *rig = *state;
    static const uint64_t sizes[] = {0, 1, BLOCK, BLOCK + 1, 7 * BLOCK - 3};
    for (uint8_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char name[16];
        snprintf(name, sizeof name, "file%d", i);
        struct incoming file = make_file(i, name, sizes[i]);
        struct store_result result = put_all(rig, &file);
        assert_int_equal(result.error, 0);
        assert_int_equal(result.in_outcome, STORE_IN_COMPLETE);
        assert_true(holds(named(rig, name), &file));
        assert_int_equal(put(rig, &file, 0, sizes[i] < BLOCK ? sizes[i] : BLOCK).in_outcome,
                         STORE_IN_DUPLICATE);
    }
    assert_int_equal(count_names(rig->files, ".part"), 0);
    assert_int_equal(list(rig, 0, 10).n_records, 5);
}

static void file_arrives_in_any_order(void **state) {
    struct rig *rig = *state;
    enum { N = 40 };
    unsigned order[N];
    struct incoming file = make_file(9, "any", N * BLOCK);
    for (unsigned i = 0; i < N; i++)
        order[i] = i;
    for (unsigned i = N; i-- > 1;) {
        unsigned j = below(rig, i + 1), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    for (unsigned i = 0; i < N; i++) {
        struct store_result result = put(rig, &file, (uint64_t)order[i] * BLOCK, BLOCK);
        assert_int_equal(result.error, 0);
        assert_int_equal(result.in_outcome, i == N - 1 ? STORE_IN_COMPLETE : STORE_IN_PARTIAL);
        if (i < N - 1)
            assert_int_equal(put(rig, &file, (uint64_t)order[i] * BLOCK, BLOCK).error, 0);
        if (i % 10 == 5)
            reopen(rig);
    }
    assert_true(holds(named(rig, "any"), &file));
    stop_store(rig);
    assert_int_equal(query_number(rig, "SELECT count(*) FROM file_span"), 0);
}

static void spans_are_merged(void **state) {
    struct rig *rig = *state;
    struct incoming file = make_file(1, "a", 10 * BLOCK);
    put(rig, &file, 0, BLOCK);
    put(rig, &file, 2 * BLOCK, BLOCK);
    put(rig, &file, 4 * BLOCK, BLOCK);
    put(rig, &file, 1 * BLOCK, BLOCK);
    stop_store(rig);
    assert_int_equal(query_number(rig, "SELECT count(*) FROM file_span"), 2);
    assert_int_equal(query_number(rig, "SELECT stop FROM file_span WHERE start = 0"), 3 * BLOCK);
}

static void insane_blocks_are_refused(void **state) {
    struct rig *rig = *state;
    struct incoming file = make_file(1, "a", 10 * BLOCK), other = file, huge = file;
    uint8_t bytes[16] = {0};
    assert_int_equal(put(rig, &file, BLOCK, BLOCK).error, 0);
    assert_int_equal(put(rig, &file, BLOCK - 1, BLOCK).error, -EINVAL);
    assert_int_equal(put(rig, &file, BLOCK + 1, BLOCK).error, -EINVAL);
    assert_int_equal(put(rig, &file, BLOCK - 1, 2).error, -EINVAL);
    assert_int_equal(put(rig, &file, BLOCK + 1, BLOCK - 1).error, 0); /* held */
    assert_int_equal(put(rig, &file, 10 * BLOCK, 0).error, -EINVAL);
    assert_int_equal(put(rig, &file, 10 * BLOCK - 1, 2).error, -EINVAL);
    assert_int_equal(put(rig, &file, UINT64_MAX - 1, 10).error, -EINVAL);
    assert_int_equal(put(rig, &file, 0, STORE_BLOCK_MAX + 1).error, -EINVAL);
    other.size--;
    assert_int_equal(put(rig, &other, 3 * BLOCK, BLOCK).error, -EINVAL);
    other = file;
    other.head.digest[0] ^= 1;
    assert_int_equal(put(rig, &other, 3 * BLOCK, BLOCK).error, -EINVAL);
    huge.id = 2;
    huge.size = (uint64_t)INT64_MAX + 1;
    assert_int_equal(put(rig, &huge, 0, 1).error, -EINVAL);
    struct store_op op = block_op(&file, 0, 1, bytes);
    op.in_put.file = NULL;
    assert_int_equal(run_one(rig, op).error, -EINVAL);
    assert_int_equal(list(rig, 0, 10).n_records, 1);
}

/* A block of the far end would have zeros written up to it where files have no holes: it waits
 * until the rest has come so far. */
static void blocks_far_ahead_wait(void **state) {
    struct rig *rig = *state;
    uint64_t ahead = 8u << 20;
    uint8_t byte = 0;
    struct incoming file = make_file(1, "a", BLOCK);
    file.size = UINT64_C(16) << 30;
    assert_int_equal(run_one(rig, block_op(&file, file.size - 1, 1, &byte)).error, -ESTALE);
    assert_int_equal(run_one(rig, block_op(&file, ahead + 1, 1, &byte)).error, -ESTALE);
    assert_int_equal(list(rig, 0, 10).n_records, 0); /* and there is no part of it */
    assert_int_equal(put(rig, &file, ahead, 10).error, 0);
    assert_int_equal(run_one(rig, block_op(&file, ahead + 11, 1, &byte)).error, -ESTALE);
    assert_int_equal(put(rig, &file, 0, BLOCK).error, 0);
    assert_int_equal(put(rig, &file, ahead + 11, 1).error, 0);
    assert_int_equal(list(rig, 0, 10).n_records, 1);
}

/* What is in the way of one file's many gaps may pass: it is not told to be wrong. */
static void gaps_of_a_file_are_bounded(void **state) {
    enum { SPANS = 256 };
    struct rig *rig = *state;
    struct incoming file = make_file(1, "a", 2 * SPANS + 4);
    static struct store_op ops[SPANS + 2];
    static struct store_result results[SPANS + 2];
    uint8_t bytes[2 * SPANS + 4];
    fill(&file, 0, bytes, sizeof bytes);
    for (unsigned i = 0; i < SPANS + 1; i++)
        ops[i] = block_op(&file, 2 * i, 1, bytes + 2 * i);
    ops[SPANS + 1] = block_op(&file, 1, 1, bytes + 1);
    run(rig, ops, SPANS + 2, results);
    assert_int_equal(results[SPANS - 1].error, 0);
    assert_int_equal(results[SPANS].error, -EAGAIN);
    assert_int_equal(results[SPANS + 1].error, 0); /* it fills one */
    assert_int_equal(put(rig, &file, 2 * SPANS, 1).error, 0);
    store_release(rig->store);
}

/* Each of them costs a sync: a transaction has so many and no more, and so has a sender. */
static void files_of_a_transaction_are_bounded(void **state) {
    enum { FILES = 256 };
    struct rig *rig = *state;
    static struct incoming files[2 * FILES];
    static struct store_op ops[2 * FILES];
    static struct store_result results[2 * FILES];
    uint8_t byte = 0;
    for (unsigned i = 0; i < 2 * FILES; i++) {
        files[i] = (struct incoming){.sender = (uint8_t)(1 + i / 200), .size = 2};
        files[i].id = (uint8_t)(i % 200);
        strcpy(files[i].head.name, "a");
        ops[i] = block_op(&files[i], 0, 1, &byte);
    }
    run(rig, ops, 2 * FILES, results);
    for (unsigned i = 0; i < 2 * FILES; i++)
        assert_int_equal(results[i].error, i < FILES ? 0 : -EAGAIN);
    assert_int_equal(count_names(rig->files, ".part"), FILES);
    store_release(rig->store);
    assert_int_equal(run_one(rig, ops[FILES]).error, 0);
}

static void partial_files_of_a_sender_are_bounded(void **state) {
    enum { FILES = 256 };
    struct rig *rig = *state;
    struct incoming file = {.sender = 1, .size = 2}, whole;
    uint8_t byte = 0;
    strcpy(file.head.name, "a");
    for (unsigned i = 0; i <= FILES; i++) {
        struct store_op op = block_op(&file, 0, 1, &byte);
        op.in_put.id.bytes[1] = (uint8_t)i;
        op.in_put.id.bytes[2] = (uint8_t)(i >> 8);
        assert_int_equal(run_one(rig, op).error, i < FILES ? 0 : -EDQUOT);
        store_release(rig->store);
    }
    whole = make_file(9, "whole", 5);
    assert_int_equal(put(rig, &whole, 0, 5).in_outcome, STORE_IN_COMPLETE);
    file.sender = 2;
    assert_int_equal(put(rig, &file, 0, 1).error, 0);
}

/* Nothing but arithmetic: the disk need not have room for what is sparse. */
static void gigabytes_are_counted_right(void **state) {
    struct rig *rig = *state;
    uint64_t size = (UINT64_C(5) << 30) + 17;
    struct incoming file = {.sender = 1, .id = 3, .size = size};
    struct stat status;
    char part[512];
    strcpy(file.head.name, "huge");
    assert_int_equal(put(rig, &file, 0, BLOCK).error, 0);
    stop_store(rig); /* as if most of it had come: what is far ahead waits */
    assert_int_equal(query_number(rig, "UPDATE file_in SET held = (5 << 30) - 99 RETURNING 1"), 1);
    open_store(rig);
    assert_int_equal(put(rig, &file, size - 17, 17).error, 0);
    assert_int_equal(put(rig, &file, (UINT64_C(1) << 32) - 5, 10).error, 0);
    assert_int_equal(put(rig, &file, size - 18, 2).error, -EINVAL);
    struct store_result result = list(rig, 0, 10);
    assert_int_equal(result.n_records, 1);
    assert_int_equal(result.files[0].state, FILE_INCOMING);
    assert_true(result.files[0].size == size);
    assert_true(result.files[0].held == (UINT64_C(5) << 30) - 99 + 10 + 17);
    part_path(rig, part);
    assert_int_equal(stat(part, &status), 0);
    assert_true((uint64_t)status.st_size == size);
}

static void wrong_digest_begins_anew(void **state) {
    struct rig *rig = *state;
    struct incoming file = make_file(1, "a", 3 * BLOCK), bad = file;
    bad.salt++;
    assert_int_equal(put(rig, &bad, 0, BLOCK).error, 0);
    assert_int_equal(put_range(rig, &file, BLOCK, 3 * BLOCK).error, -EBADMSG);
    assert_int_equal(count_names(rig->files, ""), 0);
    assert_int_equal(list(rig, 0, 10).n_records, 0);
    assert_int_equal(put_all(rig, &file).in_outcome, STORE_IN_COMPLETE);
    assert_true(holds(named(rig, "a"), &file));
}

static void same_names_never_meet(void **state) {
    struct rig *rig = *state;
    struct incoming files[3];
    FILE *mine;
    assert_int_equal(mkdir(rig->files, 0700), 0);
    mine = fopen(named(rig, "a"), "w");
    assert_non_null(mine);
    fputs("mine", mine);
    fclose(mine);
    for (uint8_t i = 0; i < 3; i++) {
        files[i] = make_file(5, "dir/a", 2 * BLOCK + i);
        files[i].sender = i;
        assert_int_equal(put(rig, &files[i], 0, BLOCK).error, 0);
    }
    assert_int_equal(count_names(rig->files, ".part"), 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(put_range(rig, &files[i], BLOCK, files[i].size).in_outcome,
                         STORE_IN_COMPLETE);
    assert_true(holds(named(rig, "a.1"), &files[0]));
    assert_true(holds(named(rig, "a.2"), &files[1]));
    assert_true(holds(named(rig, "a.3"), &files[2]));
    struct stat status;
    assert_int_equal(stat(named(rig, "a"), &status), 0);
    assert_int_equal(status.st_size, 4);
}

/* ---- What others do to the folder ---- */

static const char *spool_path(struct rig *rig) {
    static char path[128];
    snprintf(path, sizeof path, "%s/spool", rig->folder);
    return path;
}

static void vanished_part_begins_anew(void **state) {
    struct rig *rig = *state;
    struct incoming file = make_file(1, "a", 4 * BLOCK);
    char part[512];
    for (int closed = 0; closed < 2; closed++) {
        put_range(rig, &file, 0, 2 * BLOCK);
        part_path(rig, part);
        assert_int_equal(unlink(part), 0);
        if (closed)
            reopen(rig);
        assert_int_equal(put(rig, &file, 2 * BLOCK, BLOCK).error, -ESTALE);
        assert_int_equal(list(rig, 0, 10).n_records, 0);
    }
    assert_int_equal(put_all(rig, &file).in_outcome, STORE_IN_COMPLETE);
    assert_true(holds(named(rig, "a"), &file));
}

static void removed_folder_is_made_again(void **state) {
    struct rig *rig = *state;
    struct incoming first = make_file(1, "a", 2 * BLOCK), second = make_file(2, "b", 2 * BLOCK);
    assert_int_equal(put(rig, &first, 0, BLOCK).error, 0);
    remove_all(rig->files);
    assert_int_equal(put_all(rig, &second).in_outcome, STORE_IN_COMPLETE);
    assert_true(holds(named(rig, "b"), &second));
    assert_int_equal(put(rig, &first, BLOCK, BLOCK).error, -ESTALE);
    assert_int_equal(put_all(rig, &first).in_outcome, STORE_IN_COMPLETE);
    assert_true(holds(named(rig, "a"), &first));
}

static void shrunk_part_begins_anew(void **state) {
    struct rig *rig = *state;
    struct incoming file = make_file(1, "a", 4 * BLOCK);
    char part[512];
    put_range(rig, &file, 0, 2 * BLOCK);
    part_path(rig, part);
    assert_int_equal(truncate(part, 2 * BLOCK - 1), 0);
    assert_int_equal(put(rig, &file, 2 * BLOCK, BLOCK).error, -ESTALE);
    assert_int_equal(put_all(rig, &file).in_outcome, STORE_IN_COMPLETE);
}

static void changed_part_is_never_complete(void **state) {
    struct rig *rig = *state;
    struct incoming file = make_file(1, "a", 4 * BLOCK);
    char part[512];
    put_range(rig, &file, 0, 3 * BLOCK);
    part_path(rig, part);
    int fd = open(part, O_WRONLY);
    assert_int_equal(pwrite(fd, "changed", 7, 10), 7);
    struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    futimens(fd, times); /* whoever does it may well hide it */
    close(fd);
    assert_int_equal(put(rig, &file, 3 * BLOCK, BLOCK).error, -EBADMSG);
    assert_int_equal(count_names(rig->files, ""), 0);
}

static void planted_link_is_not_followed(void **state) {
    struct rig *rig = *state;
    struct incoming file = make_file(1, "a", 2 * BLOCK);
    char part[512], victim[128];
    struct stat status;
    snprintf(victim, sizeof victim, "%s/victim", rig->folder);
    FILE *out = fopen(victim, "w");
    assert_non_null(out);
    fclose(out);
    put(rig, &file, 0, BLOCK);
    part_path(rig, part);
    stop_store(rig);
    for (int known = 1; known >= 0; known--) { /* in place of a part, and of one to be */
        unlink(part);
        assert_int_equal(symlink(victim, part), 0);
        if (known)
            open_store(rig);
        assert_int_equal(put(rig, &file, known ? BLOCK : 0, BLOCK).error, known ? -ESTALE : 0);
        assert_int_equal(lstat(victim, &status), 0);
        assert_int_equal(status.st_size, 0);
    }
    assert_int_equal(lstat(part, &status), 0);
    assert_true(S_ISREG(status.st_mode));
    assert_int_equal(put(rig, &file, BLOCK, BLOCK).in_outcome, STORE_IN_COMPLETE);
    assert_true(holds(named(rig, "a"), &file));
}

static void read_only_folder_is_told(void **state) {
    struct rig *rig = *state;
    struct incoming file = make_file(1, "a", BLOCK);
    int status;
    if (geteuid() == 0 && chown(rig->folder, 65534, 65534) != 0)
        skip(); /* root of a user namespace that holds one user alone: nobody is kept out */
    assert_int_equal(mkdir(rig->files, 0500), 0);
    stop_store(rig);
    assert_int_equal(chmod(rig->folder, 0777), 0);
    pid_t pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        if (geteuid() == 0 && (chown(rig->path, 65534, 65534) || chown(rig->files, 65534, 65534) ||
                               chown(rig->folder, 65534, 65534) ||
                               chown(spool_path(rig), 65534, 65534) || setuid(65534)))
            _exit(1);
        struct store_config config = {rig->path, rig->folder, rig->files, ample_space};
        char error[FAILURE_MAX];
        if (store_open(&rig->store, &config, error) || store_start(rig->store, wake, rig))
            _exit(2);
        _exit(put(rig, &file, 0, BLOCK).error == -EACCES ? 0 : 3);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- Quotas ---- */

static void quotas_count_whole_files(void **state) {
    struct rig *rig = *state;
    struct incoming a = make_file(1, "a", 2 * BLOCK), b = make_file(2, "b", BLOCK),
                    c = make_file(3, "c", 1);
    a.quota_sender = b.quota_sender = c.quota_sender = 3 * BLOCK;
    assert_int_equal(put(rig, &a, 0, BLOCK).error, 0);
    b.size++;
    assert_int_equal(put(rig, &b, 0, BLOCK).error, -EDQUOT); /* one past the limit */
    b.size--;
    assert_int_equal(put(rig, &b, 0, BLOCK).error, 0); /* at the limit */
    assert_int_equal(put(rig, &c, 0, 1).error, -EDQUOT);
    assert_int_equal(put(rig, &a, BLOCK, BLOCK).error, 0); /* what was accepted goes on */
    c.sender = 2;
    c.quota_all = 3 * BLOCK;
    assert_int_equal(put(rig, &c, 0, 1).error, -EDQUOT);
    assert_int_equal(take(rig, &b), 0);
    reopen(rig);
    assert_int_equal(put(rig, &c, 0, 1).error, 0);
    c.sender = 1;
    assert_int_equal(put(rig, &c, 0, 1).error, 0);
}

static void disk_keeps_a_reserve(void **state) {
    struct rig *rig = *state;
    struct incoming file = {.sender = 1, .id = 1};
    strcpy(file.head.name, "a");
    file.size = AMPLE; /* with the reserve it is too much */
    assert_int_equal(put(rig, &file, 0, 1).error, -ENOBUFS);
    assert_int_equal(count_names(rig->files, ""), 0);
    file.size = AMPLE / 2;
    assert_int_equal(put(rig, &file, 0, 1).error, 0);
    file.id = 2; /* of what is to come of the first, only the next counts: promises fill no disk */
    assert_int_equal(put(rig, &file, 0, 1).error, 0);
    file.id = 3;
    file.size = INT64_MAX;
    assert_int_equal(put(rig, &file, 0, 1).error, -ENOBUFS);
}

/* ---- Taking, listing, forgetting ---- */

/* Somebody has put a link to another folder in the place of ours, where a file has the name that
 * the sender chose. */
static void taking_removes_nothing_elsewhere(void **state) {
    struct rig *rig = *state;
    struct incoming file = make_file(1, "a", BLOCK);
    char away[80], victim[96];
    struct stat status;
    put_all(rig, &file);
    stop_store(rig);
    snprintf(away, sizeof away, "%s/away", rig->folder);
    snprintf(victim, sizeof victim, "%s/a", away);
    assert_int_equal(rename(rig->files, away), 0);
    assert_int_equal(symlink(away, rig->files), 0);
    open_store(rig);
    take(rig, &file);
    assert_int_equal(stat(victim, &status), 0);
    unlink(victim);
    unlink(rig->files);
    rmdir(away);
}

static void taken_file_leaves_a_tombstone(void **state) {
    struct rig *rig = *state;
    struct incoming file = make_file(1, "a", BLOCK);
    put_all(rig, &file);
    struct store_result result = list(rig, 0, 10);
    assert_int_equal(result.n_records, 1);
    assert_int_equal(result.files[0].state, FILE_WAITING);
    assert_string_equal(result.files[0].head.name, "a");
    assert_string_equal(result.files[0].peer_name, "sender");
    assert_memory_equal(result.files[0].head.digest, file.head.digest, FILE_DIGEST_LEN);
    assert_true(holds(result.files[0].path, &file));
    assert_true(result.files[0].received.us == 2 * HOUR);
    assert_int_equal(take(rig, &file), 0);
    assert_int_equal(take(rig, &file), -ENOENT);
    assert_int_equal(count_names(rig->files, ""), 0);
    assert_int_equal(list(rig, 0, 10).n_records, 0);
    reopen(rig);
    assert_int_equal(put(rig, &file, 0, BLOCK).in_outcome, STORE_IN_DUPLICATE);
    sweep(rig, 99 * HOUR);
    assert_int_equal(put(rig, &file, 0, BLOCK).in_outcome, STORE_IN_DUPLICATE);
    sweep(rig, 100 * HOUR);
    assert_int_equal(put(rig, &file, 0, BLOCK).in_outcome, STORE_IN_COMPLETE);
}

/* An index that tells of a file which is not there: the table is emptied while it is hidden. */
static void sweep_ends_at_a_file_that_is_not_there(void **state) {
    struct rig *rig = *state;
    struct incoming file = make_file(1, "a", BLOCK);
    struct store_op op = {.kind = STORE_SWEEP};
    assert_int_equal(put_all(rig, &file).error, 0);
    assert_int_equal(take(rig, &file), 0);
    stop_store(rig);
    run_sql(rig, "PRAGMA writable_schema = ON; CREATE TABLE hidden AS SELECT * FROM sqlite_schema"
                 " WHERE name = 'file_taken'; DELETE FROM sqlite_schema WHERE name = 'file_taken'");
    run_sql(rig, "DELETE FROM file_in; PRAGMA writable_schema = ON;"
                 "INSERT INTO sqlite_schema SELECT * FROM hidden; DROP TABLE hidden");
    reopen(rig);
    op.sweep.now.us = 99 * HOUR;
    op.sweep.retention_us = HOUR;
    assert_int_equal(run_one(rig, op).error, -EUCLEAN);
}

static void files_are_lines_of_history(void **state) {
    struct rig *rig = *state;
    struct incoming file = make_file(1, "a", BLOCK), partial = make_file(2, "b", 2 * BLOCK);
    struct store_op history = {.kind = STORE_HISTORY}, peers = {.kind = STORE_CONVERSATIONS},
                    forget = {.kind = STORE_FORGET};
    history.history.peer.bytes[0] = forget.forget.peer.bytes[0] = file.sender;
    history.history.limit = peers.conversations.limit = 10;
    history.history.bytes = 1;
    put_all(rig, &file);
    put(rig, &partial, 0, BLOCK);
    for (int taken = 0; taken < 2; taken++) {
        struct store_result result = run_one(rig, history);
        assert_int_equal(result.n_records, 1);
        assert_int_equal(result.history[0].kind, KIND_FILE);
        assert_int_equal(result.history[0].size, BLOCK);
        assert_int_equal(result.history[0].taken, taken);
        assert_non_null(result.history[0].file);
        assert_string_equal(result.history[0].file->name, "a");
        result = run_one(rig, peers);
        assert_int_equal(result.n_records, 1);
        assert_string_equal(result.conversations[0].last_text, "a");
        if (!taken)
            assert_int_equal(run_one(rig, forget).n_forgotten, 0); /* it waits */
        if (!taken)
            assert_int_equal(take(rig, &file), 0);
    }
    assert_int_equal(run_one(rig, forget).n_forgotten, 1);
    assert_int_equal(run_one(rig, history).n_records, 0);
    assert_int_equal(put(rig, &file, 0, BLOCK).in_outcome, STORE_IN_DUPLICATE);
    stop_store(rig);
    assert_int_equal(query_number(rig, "SELECT count(*) FROM file_in"), 1);
    assert_int_equal(query_number(rig, "SELECT bytes FROM file_charge WHERE sender = x''"),
                     2 * BLOCK);
}

static void files_are_listed_in_pages(void **state) {
    struct rig *rig = *state;
    enum { N = 7 };
    unsigned seen = 0;
    for (uint8_t i = 1; i <= N; i++) {
        struct incoming file = make_file(i, "a", BLOCK + 1);
        put(rig, &file, 0, BLOCK);
    }
    struct store_result result = {.more = true};
    while (result.more) {
        result = list(rig, result.next, 3);
        assert_true(result.n_records == 3 || (seen == 6 && result.n_records == 1));
        for (size_t i = 0; i < result.n_records; i++)
            assert_int_equal(result.files[i].id.bytes[0], ++seen);
    }
    assert_int_equal(seen, N);
    struct store_op op = {.kind = STORE_FILES};
    op.files.one = true;
    op.files.id.bytes[0] = 4;
    result = run_one(rig, op);
    assert_int_equal(result.n_records, 1);
    assert_int_equal(result.files[0].id.bytes[0], 4);
}

static void moved_file_leaves_the_list(void **state) {
    struct rig *rig = *state;
    struct incoming file = make_file(1, "a", BLOCK);
    file.quota_sender = BLOCK;
    put_all(rig, &file);
    assert_int_equal(unlink(named(rig, "a")), 0);
    assert_int_equal(list(rig, 0, 10).n_records, 0);
    sweep(rig, 3 * HOUR);
    assert_int_equal(take(rig, &file), -ENOENT);
    assert_int_equal(put(rig, &file, 0, BLOCK).in_outcome, STORE_IN_DUPLICATE);
    file.id = 2; /* its bytes are no longer charged */
    assert_int_equal(put(rig, &file, 0, BLOCK).in_outcome, STORE_IN_COMPLETE);
}

static void sweep_removes_parts_that_are_over(void **state) {
    struct rig *rig = *state;
    struct incoming file = make_file(1, "a", 3 * BLOCK);
    put_range(rig, &file, 0, 2 * BLOCK);
    sweep(rig, 26 * HOUR - 1); /* a day after its last block */
    assert_int_equal(count_names(rig->files, ".part"), 1);
    sweep(rig, 26 * HOUR);
    assert_int_equal(count_names(rig->files, ".part"), 0);
    assert_int_equal(list(rig, 0, 10).n_records, 0);
    assert_int_equal(put_all(rig, &file).in_outcome, STORE_IN_COMPLETE);
}

/* ---- Failures and crashes ---- */

static void failed_transaction_leaves_no_claim(void **state) {
    struct rig *rig = *state;
    struct incoming file = make_file(1, "a", 40 * BLOCK);
    assert_int_equal(put_range(rig, &file, 0, 3 * BLOCK).error, 0);
    store_limit_pages(rig->store, 1);
    struct store_op big = {.kind = STORE_OUT_PUT};
    uint8_t *body = calloc(1, 1 << 20), bytes[BLOCK];
    assert_non_null(body);
    big.out_put.record.size = 1 << 20;
    big.out_put.body = body;
    fill(&file, 3 * BLOCK, bytes, BLOCK);
    struct store_op ops[2] = {block_op(&file, 3 * BLOCK, BLOCK, bytes), big};
    struct store_result results[2];
    run(rig, ops, 2, results);
    assert_int_equal(results[0].error, -ENOSPC);
    assert_int_equal(results[1].error, -ENOSPC);
    assert_int_equal(list(rig, 0, 10).files[0].held, 3 * BLOCK);
    store_limit_pages(rig->store, 0);
    assert_int_equal(put_range(rig, &file, 3 * BLOCK, file.size).in_outcome, STORE_IN_COMPLETE);
    assert_true(holds(named(rig, "a"), &file));
    free(body);
}

/* Put blocks until it is killed, telling through a pipe which ones it was told are durable. */
static void put_until_killed(struct rig *rig, const struct incoming *file, int tell) {
    open_store(rig);
    for (unsigned i = 0; i < file->size / BLOCK; i++) {
        struct store_result result = put(rig, file, (uint64_t)i * BLOCK, BLOCK);
        if (result.error || write(tell, &i, sizeof i) != sizeof i)
            _exit(1);
    }
    pause();
}

static void crash_leaves_only_what_is_there(void **state) {
    struct rig *rig = *state;
    enum { BLOCKS = 60, ROUNDS = 12 };
    for (uint8_t round = 1; round <= ROUNDS; round++) {
        struct incoming file = make_file(round, "crashed", BLOCKS * BLOCK);
        unsigned told = 0, block, stop = 1 + below(rig, BLOCKS);
        char path[512];
        int tell[2];
        stop_store(rig);
        assert_int_equal(pipe(tell), 0);
        pid_t pid = fork();
        assert_int_not_equal(pid, -1);
        if (pid == 0)
            put_until_killed(rig, &file, tell[1]);
        close(tell[1]);
        while (told < stop && read(tell[0], &block, sizeof block) == sizeof block)
            told = block + 1;
        usleep(below(rig, 2000)); /* anywhere in the next transaction */
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        while (read(tell[0], &block, sizeof block) == sizeof block)
            told = block + 1;
        close(tell[0]);
        open_store(rig);
        struct store_op op = {.kind = STORE_FILES};
        op.files.one = true;
        op.files.id.bytes[0] = round;
        struct store_result result = run_one(rig, op);
        assert_int_equal(result.n_records, 1);
        assert_true(result.files[0].held >= (uint64_t)told * BLOCK);
        uint64_t held = result.files[0].held;
        if (result.files[0].state == FILE_INCOMING)
            result = put_range(rig, &file, held < file.size ? held : held - BLOCK, file.size);
        snprintf(path, sizeof path, round > 1 ? "crashed.%d" : "crashed", round - 1);
        assert_true(holds(named(rig, path), &file));
        assert_int_equal(count_names(rig->files, ".part"), 0);
        assert_int_equal(count_names(rig->files, ""), round);
    }
}

static long resident_kb(void) {
    long total, resident = 0;
    FILE *in = fopen("/proc/self/statm", "r");
    if (!in)
        return 0;
    if (fscanf(in, "%ld %ld", &total, &resident) != 2)
        resident = 0;
    fclose(in);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void memory_does_not_grow_with_the_file(void **state) {
    struct rig *rig = *state;
    enum { BATCH = 64 };
    static uint8_t bytes[BATCH][BLOCK];
    struct store_op ops[BATCH];
    struct store_result results[BATCH];
    uint64_t blocks = (200u << 20) / BLOCK / BATCH * BATCH;
    struct incoming file = make_file(1, "large", blocks * BLOCK);
    memset(bytes, 1, sizeof bytes);
    long before = resident_kb();
    for (uint64_t i = 0; i < blocks; i += BATCH) {
        for (uint64_t j = 0; j < BATCH; j++) {
            fill(&file, (i + j) * BLOCK, bytes[j], BLOCK);
            ops[j] = block_op(&file, (i + j) * BLOCK, BLOCK, bytes[j]);
        }
        run(rig, ops, BATCH, results);
        store_release(rig->store);
    }
    assert_int_equal(results[BATCH - 1].in_outcome, STORE_IN_COMPLETE);
#ifndef __SANITIZE_ADDRESS__
    assert_true(resident_kb() - before < 16 * 1024);
#else
    (void)before;
#endif
}

/* After a restart the digest is read from the disk again, in slices. */
static void resumed_file_is_verified(void **state) {
    struct rig *rig = *state;
    uint64_t size = 300 * BLOCK;
    struct incoming file = make_file(1, "resumed", size);
    uint8_t bytes[BLOCK];
    assert_int_equal(put_range(rig, &file, 0, size - BLOCK).error, 0);
    reopen(rig);
    fill(&file, size - BLOCK, bytes, BLOCK);
    struct store_result result = run_one(rig, block_op(&file, size - BLOCK, BLOCK, bytes));
    assert_int_equal(result.error, -EAGAIN);
    reopen(rig);
    assert_int_equal(put(rig, &file, size - BLOCK, BLOCK).in_outcome, STORE_IN_COMPLETE);
    assert_true(holds(named(rig, "resumed"), &file));
}

/* More at once than there are slots. */
static void many_files_at_once(void **state) {
    struct rig *rig = *state;
    enum { N = 80 };
    static struct incoming files[N];
    for (uint8_t i = 0; i < N; i++)
        files[i] = make_file(i, "many", 3 * BLOCK);
    for (uint64_t at = 0; at < 3 * BLOCK; at += BLOCK)
        for (unsigned i = 0; i < N; i++)
            assert_int_equal(put(rig, &files[i], at, BLOCK).in_outcome,
                             at < 2 * BLOCK ? STORE_IN_PARTIAL : STORE_IN_COMPLETE);
    assert_int_equal(count_names(rig->files, ""), N);
}

/* ---- Files that go ---- */

static void make_upload(struct rig *rig, const char *text, char ret_name[SPOOL_NAME_MAX + 1]) {
    int fd;
    assert_int_equal(spool_create(&rig->spool, ret_name, &fd), 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static struct store_op out_op(uint8_t id, const struct file_head *head, uint64_t size,
                              const char *spool) {
    struct store_op op = {.kind = STORE_OUT_PUT};
    op.out_put.record.id.bytes[0] = id;
    op.out_put.record.kind = KIND_FILE;
    op.out_put.record.file = head;
    op.out_put.record.size = size;
    op.out_put.record.sequence = 1;
    snprintf(op.out_put.spool, sizeof op.out_put.spool, "%s", spool);
    return op;
}

static struct store_op read_op(uint8_t id, uint64_t offset, uint32_t length) {
    struct store_op op = {.kind = STORE_OUT_READ};
    op.out_read.id.bytes[0] = id;
    op.out_read.offset = offset;
    op.out_read.length = length;
    return op;
}

static struct store_op done_op(uint8_t id, bool forget) {
    struct store_op op = {.kind = STORE_OUT_STATE};
    op.out_state.id.bytes[0] = id;
    op.out_state.state = MESSAGE_DELIVERED;
    op.out_state.forget = forget;
    return op;
}

static void sent_file_is_read_and_dropped(void **state) {
    struct rig *rig = *state;
    struct file_head head = {{1, 2, 3}, "name"};
    char name[SPOOL_NAME_MAX + 1];
    make_upload(rig, "hello world", name);
    struct store_result result = run_one(rig, out_op(1, &head, 11, name));
    assert_int_equal(result.error, 0);
    assert_false(result.existed);
    assert_int_equal(count_names(spool_path(rig), ".up"), 0);
    for (int again = 0; again < 2; again++) {
        result = run_one(rig, read_op(1, 6, 100));
        assert_int_equal(result.error, 0);
        assert_int_equal(result.length, 5);
        assert_memory_equal(result.bytes, "world", 5);
        reopen(rig);
    }
    assert_int_equal(run_one(rig, read_op(1, 12, 1)).error, -EINVAL);
    result = list(rig, 0, 10);
    assert_int_equal(result.n_records, 1);
    assert_int_equal(result.files[0].state, FILE_OUTGOING);
    assert_string_equal(result.files[0].head.name, "name");
    assert_int_equal(run_one(rig, done_op(1, false)).error, 0);
    assert_int_equal(count_names(spool_path(rig), ""), 0);
    assert_int_equal(run_one(rig, read_op(1, 0, 1)).error, -ENOENT);
    assert_int_equal(list(rig, 0, 10).n_records, 0);
}

static void pending_file_is_found_at_boot(void **state) {
    struct rig *rig = *state;
    struct file_head head = {{1, 2, 3}, "name"};
    char name[SPOOL_NAME_MAX + 1], error[FAILURE_MAX];
    struct node_boot boot;
    make_upload(rig, "hello world", name);
    assert_int_equal(run_one(rig, out_op(1, &head, 11, name)).error, 0);
    stop_store(rig);
    struct store_config config = {rig->path, rig->folder, rig->files, ample_space};
    assert_int_equal(store_open(&rig->store, &config, error), 0);
    assert_int_equal(store_load(rig->store, &boot), 0);
    assert_int_equal(boot.n_pending, 1);
    assert_int_equal(boot.pending[0].kind, KIND_FILE);
    assert_non_null(boot.pending[0].file);
    assert_memory_equal(boot.pending[0].file->digest, head.digest, FILE_DIGEST_LEN);
    assert_string_equal(boot.pending[0].file->name, "name");
}

static void bad_uploads_are_refused(void **state) {
    struct rig *rig = *state;
    struct file_head head = {{1}, "name"};
    char name[SPOOL_NAME_MAX + 1], path[256];
    static const char *const bad[] = {
        "",    "..",      "../messages.db", "a/b.up",      "nodot", "no such.up",
        ".up", "x.up.up", "..x.up",         "/etc/passwd", "x.uq"};
    make_upload(rig, "hello world", name);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(run_one(rig, out_op(1, &head, 11, bad[i])).error, -EINVAL);
        assert_int_equal(spool_remove(&rig->spool, bad[i]), -EINVAL);
    }
    assert_int_equal(run_one(rig, out_op(1, &head, 11, "none.up")).error, -ENOENT);
    assert_int_equal(run_one(rig, out_op(1, &head, 12, name)).error, -ESTALE);
    assert_int_equal(count_names(spool_path(rig), ".up"), 0); /* what is refused leaves nothing */
    make_upload(rig, "hello world", name);
    snprintf(path, sizeof path, "%s/link.up", spool_path(rig));
    assert_int_equal(symlink(rig->path, path), 0);
    assert_int_equal(run_one(rig, out_op(1, &head, 11, "link.up")).error, -ESTALE);
    assert_int_equal(run_one(rig, read_op(1, 0, 1)).error, -ENOENT);
    assert_int_equal(run_one(rig, out_op(1, &head, 11, name)).error, 0);
}

static void same_file_exists_or_conflicts(void **state) {
    struct rig *rig = *state;
    struct file_head head = {{1}, "name"}, other = {{2}, "name"};
    char name[SPOOL_NAME_MAX + 1];
    make_upload(rig, "hello world", name);
    assert_int_equal(run_one(rig, out_op(1, &head, 11, name)).error, 0);
    make_upload(rig, "hello world", name);
    assert_int_equal(run_one(rig, out_op(1, &other, 11, name)).error, -EEXIST);
    assert_int_equal(count_names(spool_path(rig), ".up"), 0);
    make_upload(rig, "hello world", name);
    struct store_result result = run_one(rig, out_op(1, &head, 11, name));
    assert_int_equal(result.error, 0);
    assert_true(result.existed);
    assert_int_equal(count_names(spool_path(rig), ".up"), 0);
    struct store_op message = {.kind = STORE_OUT_PUT};
    message.out_put.record.id.bytes[0] = 1;
    message.out_put.record.size = 11;
    message.out_put.body = (const uint8_t *)"hello world";
    assert_int_equal(run_one(rig, message).error, -EEXIST);
}

static void changed_file_is_told(void **state) {
    struct rig *rig = *state;
    struct file_head head = {{1}, "name"};
    char name[SPOOL_NAME_MAX + 1], path[256];
    struct message_id id = {{1}};
    make_upload(rig, "hello world", name);
    assert_int_equal(run_one(rig, out_op(1, &head, 11, name)).error, 0);
    assert_int_equal(run_one(rig, read_op(1, 0, 11)).error, 0);
    snprintf(path, sizeof path, "%s/01000000000000000000000000000000", spool_path(rig));
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(run_one(rig, read_op(1, 0, 5)).error, -ESTALE);
    assert_int_equal(spool_delete(&rig->spool, &id), 0);
    assert_int_equal(run_one(rig, read_op(1, 0, 5)).error, -ENOENT);
}

static void failed_put_gives_the_upload_back(void **state) {
    struct rig *rig = *state;
    struct file_head head = {{1}, "name"};
    char name[SPOOL_NAME_MAX + 1];
    uint8_t *body = calloc(1, 1 << 20);
    assert_non_null(body);
    make_upload(rig, "hello world", name);
    struct store_op big = {.kind = STORE_OUT_PUT};
    big.out_put.record.id.bytes[0] = 2;
    big.out_put.record.size = 1 << 20;
    big.out_put.body = body;
    struct store_op ops[] = {out_op(1, &head, 11, name), big};
    struct store_result results[2];
    store_limit_pages(rig->store, 1);
    run(rig, ops, 2, results);
    assert_int_equal(results[0].error, -ENOSPC);
    assert_int_equal(count_names(spool_path(rig), ".up"), 1);
    store_limit_pages(rig->store, 0);
    assert_int_equal(run_one(rig, ops[0]).error, 0);
    free(body);
}

static void start_clears_the_spool(void **state) {
    struct rig *rig = *state;
    struct file_head head = {{1}, "name"};
    char name[SPOOL_NAME_MAX + 1];
    struct message_id orphan = {{9}};
    make_upload(rig, "hello world", name);
    assert_int_equal(run_one(rig, out_op(1, &head, 11, name)).error, 0);
    make_upload(rig, "adopted, and then a crash", name);
    assert_int_equal(spool_adopt(&rig->spool, name, &orphan, 25), 0);
    make_upload(rig, "never finished", name);
    assert_int_equal(count_names(spool_path(rig), ""), 3);
    reopen(rig);
    assert_int_equal(count_names(spool_path(rig), ""), 1);
    assert_int_equal(run_one(rig, read_op(1, 0, 11)).length, 11);
}

static void accept_until_killed(struct rig *rig, const struct file_head *head, int tell) {
    open_store(rig);
    for (uint8_t i = 1; i < 255; i++) {
        char name[SPOOL_NAME_MAX + 1];
        make_upload(rig, "hello world", name);
        if (run_one(rig, out_op(i, head, 11, name)).error || write(tell, &i, 1) != 1)
            _exit(1);
    }
    pause();
}

/* Whatever was accepted can be read, and nothing else is left. */
static void crash_leaves_all_or_nothing_accepted(void **state) {
    struct rig *rig = *state;
    struct file_head head = {{1}, "name"};
    stop_store(rig);
    for (int round = 0; round < 10; round++) {
        uint8_t told = 0, stop = (uint8_t)(1 + below(rig, 20));
        int tell[2];
        char error[FAILURE_MAX];
        struct node_boot boot;
        assert_int_equal(pipe(tell), 0);
        pid_t pid = fork();
        assert_int_not_equal(pid, -1);
        if (pid == 0)
            accept_until_killed(rig, &head, tell[1]);
        close(tell[1]);
        while (told < stop && read(tell[0], &told, 1) == 1)
            ;
        usleep(below(rig, 3000));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        while (read(tell[0], &told, 1) == 1)
            ;
        close(tell[0]);
        struct store_config config = {rig->path, rig->folder, rig->files, ample_space};
        assert_int_equal(store_open(&rig->store, &config, error), 0);
        assert_int_equal(store_load(rig->store, &boot), 0);
        assert_true(boot.n_pending >= told && boot.n_pending <= told + 1u);
        assert_int_equal(count_names(spool_path(rig), ""), boot.n_pending);
        size_t n = boot.n_pending;
        assert_int_equal(store_start(rig->store, wake, rig), 0);
        for (uint8_t i = 1; i <= n; i++) {
            assert_int_equal(run_one(rig, read_op(i, 0, 11)).length, 11);
            assert_int_equal(run_one(rig, done_op(i, true)).error, 0);
        }
        stop_store(rig);
        assert_int_equal(count_names(spool_path(rig), ""), 0);
    }
}

static void start_clears_orphaned_parts(void **state) {
    struct rig *rig = *state;
    struct incoming file = make_file(1, "a", 2 * BLOCK);
    put(rig, &file, 0, BLOCK);
    FILE *out = fopen(named(rig, "b.00112233445566778899aabbccddeeff.part"), "w");
    assert_non_null(out);
    fclose(out);
    out = fopen(named(rig, "user.part"), "w");
    assert_non_null(out);
    fclose(out);
    reopen(rig);
    assert_int_equal(count_names(rig->files, ".part"), 2);
    assert_int_equal(access(named(rig, "user.part"), F_OK), 0);
    assert_int_equal(put(rig, &file, BLOCK, BLOCK).in_outcome, STORE_IN_COMPLETE);
}

/* ---- Names ---- */

static void names_are_made_safe(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"plain.txt", "plain.txt"},
        {"/etc/passwd", "passwd"},
        {"..\\..\\boot.ini", "boot.ini"},
        {"a/b/", "b"},
        {"", "file"},
        {"/", "file"},
        {"..", "_."},
        {".", "_"},
        {".bashrc", "_bashrc"},
        {"-rf", "_rf"},
        {"a-b", "a-b"},
        {"a\xe2\x80\x8b\xe2\x80\x8c\xe2\x80\x8d\xe2\x81\xa0\xef\xbb\xbf", "a_____"},
        {"\xf3\xa0\x80\x80x\xf3\xa0\x81\xbf\xf3\xa0\x82\x80", "_x__"},
        {"a\nb\x1b[2Jc\x7f", "a_b_[2Jc_"},
        {"\xc2\x85x\xc2\xa0", "_x\xc2\xa0"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"bad\xff\xc3", "bad__"},
        {"\xe2\x80\xaegpj.exe", "_gpj.exe"},
        {"x.part", "x_part"},
        {"x.PART", "x_PART"},
        {".part", "_part"},
        {"x.part.gz", "x.part.gz"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[FILE_NAME_MAX + 1];
        file_name_make_safe(cases[i][0], name);
        assert_string_equal(name, cases[i][1]);
    }
}

static void long_names_are_cut_between_characters(void **state) {
    (void)state;
    char given[2 * FILE_NAME_MAX + 1], name[FILE_NAME_MAX + 1];
    memset(given, 'a', sizeof given);
    given[FILE_NAME_MAX] = '\0';
    file_name_make_safe(given, name);
    assert_int_equal(strlen(name), FILE_NAME_MAX);
    given[FILE_NAME_MAX] = 'a';
    given[FILE_NAME_MAX + 1] = '\0';
    file_name_make_safe(given, name);
    assert_int_equal(strlen(name), FILE_NAME_MAX);
    memcpy(given + FILE_NAME_MAX - 1, "\xc3\xbc", 3);
    file_name_make_safe(given, name);
    assert_int_equal(strlen(name), FILE_NAME_MAX - 1);
    memcpy(given + FILE_NAME_MAX - 5, ".partial", 9); /* cut to .part */
    file_name_make_safe(given, name);
    assert_string_equal(name + FILE_NAME_MAX - 5, "_part");
}

/* What is sent keeps what says of what kind it is. */
static void long_names_are_shortened_before_their_ending(void **state) {
    (void)state;
    static const char *const endings[] = {".txt", ".tar.gz", ".pkg.tar.zst", "", ".torrent"};
    char given[1024], name[FILE_NAME_SAFE_MAX + 1];
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t n = 0;
        const char *kept = i == 2 ? ".tar.zst" : endings[i];
        for (; n < 70; n++)
            memcpy(given + 3 * n, "\xe4\xb8\xad", 4);
        strcpy(given + 3 * n, endings[i]);
        file_name_shorten(given, name);
        size_t length = strlen(name), tail = strlen(kept);
        assert_true(length <= FILE_NAME_SAFE_MAX && length > FILE_NAME_SAFE_MAX - 3);
        assert_string_equal(name + length - tail, kept);
        assert_int_equal((length - tail) % 3, 0);
        assert_memory_equal(name, given, length - tail);
    }
    for (size_t length = 1; length < 300; length++) {
        memset(given, 'a', length);
        given[length] = '\0';
        file_name_shorten(given, name);
        assert_int_equal(strlen(name), length < FILE_NAME_SAFE_MAX ? length : FILE_NAME_SAFE_MAX);
        given[0] = '.'; /* no ending, though the only dot */
        file_name_shorten(given, name);
        assert_int_equal(strlen(name), length < FILE_NAME_SAFE_MAX ? length : FILE_NAME_SAFE_MAX);
        memset(given, '\xff', length);
        file_name_shorten(given, name);
        assert_int_equal(strlen(name), length < FILE_NAME_SAFE_MAX ? length : FILE_NAME_SAFE_MAX);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(file_arrives_in_order),
        TEST(file_arrives_in_any_order),
        TEST(complete_file_is_closed),
        TEST(digest_is_not_kept_from_its_end),
        TEST(spans_are_merged),
        TEST(insane_blocks_are_refused),
        TEST(blocks_far_ahead_wait),
        TEST(gaps_of_a_file_are_bounded),
        TEST(files_of_a_transaction_are_bounded),
        TEST(partial_files_of_a_sender_are_bounded),
        TEST(gigabytes_are_counted_right),
        TEST(wrong_digest_begins_anew),
        TEST(same_names_never_meet),
        TEST(vanished_part_begins_anew),
        TEST(removed_folder_is_made_again),
        TEST(shrunk_part_begins_anew),
        TEST(changed_part_is_never_complete),
        TEST(planted_link_is_not_followed),
        TEST(read_only_folder_is_told),
        TEST(quotas_count_whole_files),
        TEST(disk_keeps_a_reserve),
        TEST(taking_removes_nothing_elsewhere),
        TEST(taken_file_leaves_a_tombstone),
        TEST(sweep_ends_at_a_file_that_is_not_there),
        TEST(files_are_lines_of_history),
        TEST(files_are_listed_in_pages),
        TEST(moved_file_leaves_the_list),
        TEST(sweep_removes_parts_that_are_over),
        TEST(failed_transaction_leaves_no_claim),
        TEST(crash_leaves_only_what_is_there),
        TEST(memory_does_not_grow_with_the_file),
        TEST(resumed_file_is_verified),
        TEST(many_files_at_once),
        TEST(sent_file_is_read_and_dropped),
        TEST(pending_file_is_found_at_boot),
        TEST(bad_uploads_are_refused),
        TEST(same_file_exists_or_conflicts),
        TEST(changed_file_is_told),
        TEST(failed_put_gives_the_upload_back),
        TEST(start_clears_the_spool),
        TEST(crash_leaves_all_or_nothing_accepted),
        TEST(start_clears_orphaned_parts),
        cmocka_unit_test(names_are_made_safe),
        cmocka_unit_test(long_names_are_cut_between_characters),
        cmocka_unit_test(long_names_are_shortened_before_their_ending),
    };
    if (!test_begin(argc, argv))
        return 1;
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
