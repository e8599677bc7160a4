/* link: daemon/io/store/store daemon/io/store/store_sql daemon/io/store/store_schema daemon/io/store/store_message daemon/io/store/store_part daemon/io/store/store_refused daemon/io/store/store_waiting daemon/io/store/store_history daemon/io/store/store_sweep daemon/io/store/store_copy daemon/io/store/store_disk daemon/io/store/disk daemon/io/store/store_file daemon/io/store/store_file_in daemon/io/store/store_file_out daemon/io/store/store_file_list daemon/io/store/store_file_room shared/file_name daemon/io/store/spool shared/text shared/address */
/* Durable messages a second, each 100 bytes, by operations a transaction; beside a bare SQLite
 * loop of one insert and one commit with the same settings, in turns on the same disk. Medians
 * of several rounds, as lines of JSON.
 * bench_store [FOLDER [PRESENT]]: its disk is what is measured (default: the present one); so
 * many messages are there already bench_store fill FOLDER IN OUT: instead, make the store of a
 * daemon there, with so many messages that wait in its inbox and so many on their way to somebody
 * who is not there */
#include "daemon/io/store/spool.h"
#include "daemon/io/store/store.h"
#include "tests/bench/figure.h"

#include <sodium.h>
#include <sqlite3.h>
#include <unistd.h>

#define ROUNDS 5
#define ROUND_NS INT64_C(150000000)
#define BATCH_MAX 1024
#define BODY_LEN 100

struct bench {
    char path[512], bare_path[512];
    struct store *store;
    int pipe[2];
    sqlite3 *bare;
    sqlite3_stmt *insert;
    uint64_t number;
    uint8_t body[BODY_LEN];
    struct store_op ops[BATCH_MAX];
    struct store_result results[BATCH_MAX];
};

static void die(const char *what) {
    fprintf(stderr, "bench_store: %s\n", what);
    exit(1);
}

static void wake(void *context) {
    struct bench *bench = context;
    if (write(bench->pipe[1], "", 1) != 1)
        die("pipe");
}

/* Random, as real ids are: their index is touched all over. */
static struct message_id next_id(struct bench *bench) {
    struct message_id id = {{0}};
    uint64_t z = ++bench->number * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z ^= z >> 27;
    memcpy(id.bytes, &z, sizeof z);
    return id;
}

static struct wall wall(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (struct wall){t.tv_sec * US_PER_S + t.tv_nsec / 1000};
}

/* One correspondent, who is not in the network. */
static struct store_op make_op(struct bench *bench, enum store_kind kind) {
    static const struct node_id peer = {{1, 2, 3, 4, 5, 6, 7, 8}};
    struct store_op op = {.kind = kind};
    struct message_id id = next_id(bench);
    if (kind == STORE_OUT_PUT) {
        op.out_put.record = (struct out_record){.id = id,
                                                .recipient = peer,
                                                .sequence = bench->number,
                                                .created = wall(),
                                                .expires = {wall().us + 24 * US_PER_HOUR},
                                                .size = BODY_LEN,
                                                .kind = KIND_MESSAGE,
                                                .state = MESSAGE_QUEUED,
                                                .relays_exact = 0xff};
        op.out_put.body = bench->body;
    } else {
        op.in_put.id = id;
        op.in_put.sender = peer;
        op.in_put.sequence = bench->number;
        op.in_put.kind = KIND_MESSAGE;
        op.in_put.sent = op.in_put.received = wall();
        op.in_put.tombstone_until.us = wall().us + 48 * US_PER_HOUR;
        op.in_put.total = op.in_put.length = BODY_LEN;
        op.in_put.bytes = bench->body;
    }
    return op;
}

/* One transaction of n operations, from submitting to the last result. */
static void submit_all(struct bench *bench, size_t n) {
    char byte;
    if (store_submit(bench->store, bench->ops, n))
        die("submit");
    for (size_t got = 0; got < n;) {
        if (read(bench->pipe[0], &byte, 1) != 1)
            die("pipe");
        got += store_collect(bench->store, bench->results, n);
    }
    for (size_t i = 0; i < n; i++)
        if (bench->results[i].error)
            die("a result with an error");
    store_release(bench->store);
}

static void run_batch(struct bench *bench, enum store_kind kind, size_t n) {
    for (size_t i = 0; i < n; i++)
        bench->ops[i] = make_op(bench, kind);
    submit_all(bench, n);
}

static void run_bare(struct bench *bench, enum store_kind kind, size_t n) {
    (void)kind;
    struct message_id id = next_id(bench);
    if (sqlite3_exec(bench->bare, "BEGIN", NULL, NULL, NULL))
        die("bare begin");
    for (size_t i = 0; i < n; i++) {
        sqlite3_bind_blob(bench->insert, 1, id.bytes, sizeof id.bytes, SQLITE_STATIC);
        sqlite3_bind_blob(bench->insert, 2, bench->body, BODY_LEN, SQLITE_STATIC);
        if (sqlite3_step(bench->insert) != SQLITE_DONE)
            die("bare insert");
        sqlite3_reset(bench->insert);
        id = next_id(bench);
    }
    if (sqlite3_exec(bench->bare, "COMMIT", NULL, NULL, NULL))
        die("bare commit");
}

static int open_at(struct store **ret_store, const char *folder, const char *path,
                   char error[FAILURE_MAX]) {
    struct store_config config = {path, folder, folder, NULL};
    return store_open(ret_store, &config, error);
}

/* ---- Files ---- */

#define FILE_BLOCK 49152u /* about what a parcel of a long message holds */
#define FILE_BLOCKS 1024u
#define FILE_BATCH 32u

static double cpu_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct store_op file_op(const struct file_head *head, const uint8_t *block, unsigned number,
                               const struct message_id *id, bool in) {
    struct store_op op = {.kind = in ? STORE_IN_PUT : STORE_OUT_READ};
    if (in) {
        op.in_put.id = *id;
        op.in_put.kind = KIND_FILE;
        op.in_put.file = head;
        op.in_put.total = (uint64_t)FILE_BLOCKS * FILE_BLOCK;
        op.in_put.offset = (uint64_t)number * FILE_BLOCK;
        op.in_put.length = FILE_BLOCK;
        op.in_put.bytes = block;
        op.in_put.tombstone_until.us = INT64_MAX / 2;
    } else {
        op.out_read.id = *id;
        op.out_read.offset = (uint64_t)number * FILE_BLOCK;
        op.out_read.length = FILE_BLOCK;
    }
    return op;
}

/* All blocks of a file, some in each transaction. */
static void run_file(struct bench *bench, const char *what, const struct file_head *head,
                     const uint8_t *block, const struct message_id *id, bool in) {
    double cpu = cpu_s(), megabytes = (double)FILE_BLOCKS * FILE_BLOCK / 1e6;
    int64_t start = now_ns();
    for (unsigned i = 0; i < FILE_BLOCKS; i += FILE_BATCH) {
        for (unsigned j = 0; j < FILE_BATCH; j++)
            bench->ops[j] = file_op(head, block, i + j, id, in);
        submit_all(bench, FILE_BATCH);
    }
    double seconds = (double)(now_ns() - start) / 1e9;
    figure("store", what, "MB/s", megabytes / seconds, NO_FLOOR, "higher", "%.2f ms of CPU a MB",
           (cpu_s() - cpu) * 1e3 / megabytes);
}

/* In, digest and all, and out again, of the spool. */
static void bench_files(struct bench *bench, const char *folder) {
    static uint8_t block[FILE_BLOCK];
    static struct file_head head = {.name = "bench-file"};
    struct message_id in = next_id(bench), out = next_id(bench);
    struct spool spool;
    struct store_op op = {.kind = STORE_OUT_PUT};
    crypto_hash_sha256_state hash;
    int fd;
    crypto_hash_sha256_init(&hash);
    if (spool_init(&spool, folder) || spool_create(&spool, op.out_put.spool, &fd))
        die("spool");
    for (unsigned i = 0; i < FILE_BLOCKS; i++) {
        crypto_hash_sha256_update(&hash, block, sizeof block);
        if (write(fd, block, sizeof block) != sizeof block)
            die("spool file");
    }
    close(fd);
    crypto_hash_sha256_final(&hash, head.digest);
    run_file(bench, "a file, in blocks, in", &head, block, &in, true);
    op.out_put.record = (struct out_record){
        .id = out, .kind = KIND_FILE, .file = &head, .size = (uint64_t)FILE_BLOCKS * FILE_BLOCK};
    bench->ops[0] = op;
    submit_all(bench, 1);
    run_file(bench, "a file, in blocks, out", &head, block, &out, false);
    bench->ops[0] = (struct store_op){.kind = STORE_OUT_STATE,
                                      .out_state = {.id = out, .state = MESSAGE_DELIVERED}};
    bench->ops[1] = (struct store_op){.kind = STORE_FILE_TAKE, .file_take = {.id = in}};
    submit_all(bench, 2);
    spool_deinit(&spool);
}

static void open_all(struct bench *bench, const char *folder) {
    char error[FAILURE_MAX];
    snprintf(bench->path, sizeof bench->path, "%s/bench-messages.db", folder);
    snprintf(bench->bare_path, sizeof bench->bare_path, "%s/bench-bare.db", folder);
    unlink(bench->path);
    unlink(bench->bare_path);
    if (pipe(bench->pipe))
        die("pipe");
    if (open_at(&bench->store, folder, bench->path, error))
        die(error);
    if (store_start(bench->store, wake, bench))
        die("thread");
    if (sqlite3_open(bench->bare_path, &bench->bare) ||
        sqlite3_exec(bench->bare,
                     "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                     "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2048;"
                     "CREATE TABLE message (row INTEGER PRIMARY KEY, id BLOB UNIQUE, body BLOB)",
                     NULL, NULL, NULL) ||
        sqlite3_prepare_v2(bench->bare, "INSERT INTO message (id, body) VALUES (?, ?)", -1,
                           &bench->insert, NULL))
        die(sqlite3_errmsg(bench->bare));
}

static void close_all(struct bench *bench, const char *folder) {
    char spool[520];
    snprintf(spool, sizeof spool, "%s/spool", folder);
    store_stop(bench->store);
    sqlite3_finalize(bench->insert);
    sqlite3_close(bench->bare);
    unlink(bench->path);
    unlink(bench->bare_path);
    rmdir(spool);
}

static double rate(struct bench *bench, enum store_kind kind, size_t n,
                   void (*run)(struct bench *bench, enum store_kind kind, size_t n)) {
    int64_t start = now_ns(), elapsed;
    size_t done = 0;
    do {
        run(bench, kind, n);
        done += n;
        elapsed = now_ns() - start;
    } while (elapsed < ROUND_NS);
    return (double)done * 1e9 / (double)elapsed;
}

/* The three columns in turns, so that a busy disk slows them alike. */
static void print_row(struct bench *bench, size_t n) {
    double rates[3][ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        rates[0][round] = rate(bench, STORE_OUT_PUT, n, run_bare);
        rates[1][round] = rate(bench, STORE_OUT_PUT, n, run_batch);
        rates[2][round] = rate(bench, STORE_IN_PUT, n, run_batch);
    }
    static const char *const whats[] = {"bare SQLite", "to be sent", "received"};
    double bare = median(rates[0], ROUNDS);
    for (int i = 0; i < 3; i++) {
        char name[96];
        snprintf(name, sizeof name, "messages of %d B, %zu a commit: %s", BODY_LEN, n, whats[i]);
        figure("store", name, "messages/s", median(rates[i], ROUNDS), i == 0 ? NO_FLOOR : bare,
               "higher", "%s", i == 0 ? "" : "floor: as many rows of bare SQLite");
    }
}

/* The ids of received ones are those that next_id() makes; who sent them does not matter. */
static void fill(struct bench *bench, const char *folder, size_t in, size_t out) {
    char error[FAILURE_MAX];
    snprintf(bench->path, sizeof bench->path, "%s/messages.db", folder);
    if (pipe(bench->pipe))
        die("pipe");
    if (open_at(&bench->store, folder, bench->path, error))
        die(error);
    if (store_start(bench->store, wake, bench))
        die("thread");
    for (size_t i = 0; i < in; i += BATCH_MAX)
        run_batch(bench, STORE_IN_PUT, in - i < BATCH_MAX ? in - i : BATCH_MAX);
    for (size_t i = 0; i < out; i += BATCH_MAX)
        run_batch(bench, STORE_OUT_PUT, out - i < BATCH_MAX ? out - i : BATCH_MAX);
    store_stop(bench->store);
}

int main(int argc, char **argv) {
    static const size_t batches[] = {1, 64, 1024};
    static struct bench bench;
    if (argc == 5 && strcmp(argv[1], "fill") == 0) {
        fill(&bench, argv[2], strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
        return 0;
    }
    size_t present = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    open_all(&bench, argc > 1 ? argv[1] : ".");
    for (size_t i = 0; i < present; i += BATCH_MAX) {
        run_batch(&bench, STORE_OUT_PUT, BATCH_MAX);
        run_batch(&bench, STORE_IN_PUT, BATCH_MAX);
    }
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++)
        print_row(&bench, batches[i]);
    bench_files(&bench, argc > 1 ? argv[1] : ".");
    close_all(&bench, argc > 1 ? argv[1] : ".");
    return 0;
}
