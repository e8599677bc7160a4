/* link: daemon/io/store/store daemon/io/store/store_sql daemon/io/store/store_schema daemon/io/store/store_message daemon/io/store/store_part daemon/io/store/store_refused daemon/io/store/store_waiting daemon/io/store/store_history daemon/io/store/store_sweep daemon/io/store/store_copy daemon/io/store/store_disk daemon/io/store/disk daemon/io/store/store_file daemon/io/store/store_file_in daemon/io/store/store_file_out daemon/io/store/store_file_list daemon/io/store/store_file_room shared/file_name daemon/io/store/spool shared/text shared/address */
/* What the store's operations cost when much is in it already: half of the messages taken, half
 * waiting, of eight senders, and a tenth of their number to be delivered; beside an empty one.
 * Arguments: how many messages (default 1,000,000), the folder to write in (default: the present
 * one). Microseconds: of an operation that has a commit for itself (median), and the store's CPU
 * for one of many in a commit. */
#include "daemon/io/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BATCH 1024
#define SENDERS 8
#define BODY_LEN 100
#define ALONE 101 /* commits of one operation each, for the median */
#define MANY 16   /* commits of BATCH operations */
#define LATER INT64_C(4000000000000000)

struct bench {
    char path[512];
    const char *folder;
    struct store *store;
    int pipe[2];
    uint64_t number, sequence[SENDERS + 1];
    int64_t rows[BATCH];
    uint8_t body[BODY_LEN];
    struct message_id ids[BATCH];
    struct store_op ops[BATCH];
    struct store_result results[BATCH];
};

static void die(const char *what) {
    fprintf(stderr, "bench_stored: %s\n", what);
    exit(1);
}

static double now_us(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void wake(void *context) {
    struct bench *bench = context;
    if (write(bench->pipe[1], "", 1) != 1)
        die("pipe");
}

/* The first n operations, as one transaction. */
static void run(struct bench *bench, size_t n) {
    char byte;
    size_t got = 0;
    if (store_submit(bench->store, bench->ops, n))
        die("submit");
    while (got < n) {
        if (read(bench->pipe[0], &byte, 1) != 1)
            die("pipe");
        got += store_collect(bench->store, bench->results + got, n - got);
    }
    for (size_t i = 0; i < n; i++)
        if (bench->results[i].error)
            die("a result with an error");
}

/* As p2pctl makes them: the time, then chance. */
static struct message_id next_id(struct bench *bench) {
    struct message_id id;
    uint64_t z = ++bench->number, time = z / 64;
    for (int i = 0; i < 6; i++)
        id.bytes[i] = (uint8_t)(time >> (40 - 8 * i));
    z *= UINT64_C(0x9e3779b97f4a7c15);
    memcpy(id.bytes + 6, &z, sizeof z);
    memcpy(id.bytes + 14, &bench->number, 2);
    return id;
}

static struct node_id peer(size_t i) {
    struct node_id id;
    memset(id.bytes, (int)(i + 1), sizeof id.bytes);
    return id;
}

/* ---- Operations ---- */

static void make_push(struct bench *bench, size_t i) {
    struct out_record record = {.id = next_id(bench),
                                .recipient = peer(SENDERS),
                                .sequence = ++bench->sequence[SENDERS],
                                .created.us = (int64_t)bench->number,
                                .expires.us = LATER,
                                .size = BODY_LEN};
    bench->ops[i] = (struct store_op){.kind = STORE_OUT_PUT};
    bench->ops[i].out_put.record = record;
    bench->ops[i].out_put.body = bench->body;
    bench->ids[i] = record.id;
}

/* Of the message that was pushed in the same place. */
static void make_delivered(struct bench *bench, size_t i) {
    bench->ops[i] = (struct store_op){.kind = STORE_OUT_STATE};
    bench->ops[i].out_state.id = bench->ids[i];
    bench->ops[i].out_state.state = MESSAGE_DELIVERED;
    bench->ops[i].out_state.finished.us = (int64_t)bench->number;
}

static void make_arrival(struct bench *bench, size_t i) {
    struct store_op *op = &bench->ops[i];
    size_t sender = bench->number % SENDERS;
    *op = (struct store_op){.kind = STORE_IN_PUT};
    op->in_put.sender = peer(sender);
    op->in_put.id = next_id(bench);
    op->in_put.sequence = ++bench->sequence[sender];
    op->in_put.sent.us = op->in_put.received.us = (int64_t)bench->number;
    op->in_put.tombstone_until.us = LATER;
    op->in_put.total = op->in_put.length = BODY_LEN;
    op->in_put.bytes = bench->body;
    op->in_put.quota_sender = op->in_put.quota_all = UINT64_MAX / 8;
}

static void make_pull(struct bench *bench, size_t i) {
    bench->ops[i] = (struct store_op){.kind = STORE_IN_FETCH};
    bench->ops[i].in_fetch.limit = 1;
    bench->ops[i].in_fetch.bytes = 1 << 20;
    bench->ops[i].in_fetch.any_sender = true;
}

static void make_pull_from(struct bench *bench, size_t i) {
    make_pull(bench, i);
    bench->ops[i].in_fetch.any_sender = false;
    bench->ops[i].in_fetch.sender = peer(3);
}

/* Of what was fetched before: each row once. */
static void make_take(struct bench *bench, size_t i) {
    bench->ops[i] = (struct store_op){.kind = STORE_IN_TAKE};
    bench->ops[i].in_take.rows = &bench->rows[i];
    bench->ops[i].in_take.n = 1;
    bench->ops[i].in_take.now.us = (int64_t)bench->number;
}

static void make_history(struct bench *bench, size_t i) {
    bench->ops[i] = (struct store_op){.kind = STORE_HISTORY};
    bench->ops[i].history.peer = peer(2);
    bench->ops[i].history.since.us = (int64_t)bench->number / 2;
    bench->ops[i].history.limit = 1;
    bench->ops[i].history.bytes = 1 << 20;
}

static void make_conversations(struct bench *bench, size_t i) {
    bench->ops[i] = (struct store_op){.kind = STORE_CONVERSATIONS};
    bench->ops[i].conversations.limit = 64;
}

static void make_sweep(struct bench *bench, size_t i) {
    bench->ops[i] = (struct store_op){.kind = STORE_SWEEP};
    bench->ops[i].sweep.now.us = 1;
    bench->ops[i].sweep.retention_us = 0;
}

static void fetch_rows(struct bench *bench, size_t n) {
    make_pull(bench, 0);
    bench->ops[0].in_fetch.limit = (uint32_t)n;
    run(bench, 1);
    if (bench->results[0].n_messages < n)
        die("too few messages wait");
    for (size_t i = 0; i < n; i++)
        bench->rows[i] = bench->results[0].messages[i].row;
    store_release(bench->store);
}

/* ---- Filling ---- */

static void fill(struct bench *bench, size_t present) {
    for (size_t done = 0; done < present; done += BATCH) {
        for (size_t i = 0; i < BATCH; i++)
            make_arrival(bench, i);
        run(bench, BATCH);
        store_release(bench->store);
        if (done % (2 * BATCH) == 0)
            continue;
        fetch_rows(bench, BATCH);
        for (size_t i = 0; i < BATCH; i++)
            make_take(bench, i);
        run(bench, BATCH);
        store_release(bench->store);
    }
    for (size_t done = 0; done < present / 10; done += BATCH) {
        for (size_t i = 0; i < BATCH; i++)
            make_push(bench, i);
        run(bench, BATCH);
        store_release(bench->store);
    }
}

/* ---- Measuring ---- */

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void prepare(struct bench *bench, void (*make)(struct bench *bench, size_t i), size_t n) {
    if (make == make_take)
        fetch_rows(bench, n);
    for (size_t i = 0; i < n; i++)
        make(bench, i);
}

static double alone_us(struct bench *bench, void (*make)(struct bench *bench, size_t i)) {
    static double times[ALONE];
    for (size_t i = 0; i < ALONE; i++) {
        if (make == make_delivered) {
            make_push(bench, 0);
            run(bench, 1);
            store_release(bench->store);
        }
        prepare(bench, make, 1);
        double began = now_us(CLOCK_MONOTONIC);
        run(bench, 1);
        times[i] = now_us(CLOCK_MONOTONIC) - began;
        store_release(bench->store);
    }
    qsort(times, ALONE, sizeof times[0], compare_doubles);
    return times[ALONE / 2];
}

static double among_us(struct bench *bench, void (*make)(struct bench *bench, size_t i)) {
    double spent = 0;
    size_t n = make == make_conversations ? 1 : BATCH;
    for (size_t round = 0; round < MANY; round++) {
        if (make == make_delivered) {
            prepare(bench, make_push, n);
            run(bench, n);
            store_release(bench->store);
        }
        prepare(bench, make, n);
        double began = now_us(CLOCK_PROCESS_CPUTIME_ID);
        run(bench, n);
        spent += now_us(CLOCK_PROCESS_CPUTIME_ID) - began;
        store_release(bench->store);
    }
    return spent / (double)(MANY * n);
}

static void open_store(struct bench *bench, bool loads) {
    char error[FAILURE_MAX];
    struct node_boot boot;
    struct store_config config = {bench->path, bench->folder, bench->folder, NULL};
    double began = now_us(CLOCK_MONOTONIC);
    if (store_open(&bench->store, &config, error))
        die(error);
    double opened = now_us(CLOCK_MONOTONIC);
    if (store_load(bench->store, &boot))
        die("load");
    double loaded = now_us(CLOCK_MONOTONIC);
    if (loads)
        printf("opened in %.1f ms, %zu pending loaded in %.1f ms\n", (opened - began) / 1e3,
               boot.n_pending, (loaded - opened) / 1e3);
    store_load_free(bench->store);
    if (store_start(bench->store, wake, bench))
        die("thread");
}

static void close_store(struct bench *bench) {
    double began = now_us(CLOCK_MONOTONIC);
    store_stop(bench->store);
    printf("closed in %.1f ms\n", (now_us(CLOCK_MONOTONIC) - began) / 1e3);
}

static void measure(struct bench *bench, size_t present) {
    static const struct {
        const char *name;
        void (*make)(struct bench *bench, size_t i);
    } rows[] = {
        {"push", make_push},
        {"delivered", make_delivered},
        {"arrival", make_arrival},
        {"pull one", make_pull},
        {"pull from one sender", make_pull_from},
        {"take", make_take},
        {"history, a line", make_history},
        {"sweep of nothing", make_sweep},
        {"conversations", make_conversations},
    };
    unlink(bench->path);
    open_store(bench, false);
    fill(bench, present);
    printf("%zu messages\n", present);
    close_store(bench);
    open_store(bench, true);
    printf("%-22s %12s %16s\n", "", "alone, us", "CPU among many");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double alone = alone_us(bench, rows[i].make);
        printf("%-22s %12.0f %16.2f\n", rows[i].name, alone, among_us(bench, rows[i].make));
        fflush(stdout);
    }
    close_store(bench);
    unlink(bench->path);
}

int main(int argc, char **argv) {
    static struct bench bench;
    size_t present = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    bench.folder = argc > 2 ? argv[2] : ".";
    snprintf(bench.path, sizeof bench.path, "%s/bench-stored.db", bench.folder);
    if (pipe(bench.pipe))
        die("pipe");
    measure(&bench, 2 * BATCH);
    measure(&bench, present);
    return 0;
}
