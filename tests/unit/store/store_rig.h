/* A store in a folder of its own, for tests: operations go in, results are waited for. Included
 * behind cmocka. */
#ifndef P2PD_STORE_RIG_H
#define P2PD_STORE_RIG_H

#include "daemon/io/store/store.h"
#include "tests/unit/harness.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define WAIT_S 60

struct rig {
    char folder[64], path[96];
    struct store *store;
    pthread_mutex_t mutex;
    pthread_cond_t woken;
    unsigned wakes;
    struct test_stream random;
};

static const uint8_t text[] = "a message of some length: enough for most of what is tested here";

static inline uint32_t below(struct rig *rig, uint32_t bound) {
    return (uint32_t)((test_next(&rig->random) >> 32) % bound);
}

static inline void wake(void *context) {
    struct rig *rig = context;
    pthread_mutex_lock(&rig->mutex);
    rig->wakes++;
    pthread_cond_signal(&rig->woken);
    pthread_mutex_unlock(&rig->mutex);
}

static inline int open_at(struct store **ret_store, const char *folder, const char *path,
                          char error[FAILURE_MAX]) {
    struct store_config config = {path, folder, folder, NULL};
    return store_open(ret_store, &config, error);
}

static inline void open_idle(struct rig *rig) {
    char error[FAILURE_MAX] = "";
    if (open_at(&rig->store, rig->folder, rig->path, error))
        fail_msg("%s", error);
}

static inline void open_store(struct rig *rig) {
    open_idle(rig);
    assert_int_equal(store_start(rig->store, wake, rig), 0);
}

static inline void stop_store(struct rig *rig) {
    store_stop(rig->store);
    rig->store = NULL;
}

static inline int setup(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    rig->random.state = test_seed;
    strcpy(rig->folder, "/tmp/p2pd-test-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    snprintf(rig->path, sizeof rig->path, "%s/messages.db", rig->folder);
    pthread_mutex_init(&rig->mutex, NULL);
    pthread_cond_init(&rig->woken, NULL);
    *state = rig;
    return 0;
}

static inline int teardown(void **state) {
    struct rig *rig = *state;
    char path[128];
    store_stop(rig->store);
    unlink(rig->path);
    snprintf(path, sizeof path, "%s-wal", rig->path);
    unlink(path);
    snprintf(path, sizeof path, "%s-reserve", rig->path);
    unlink(path);
    snprintf(path, sizeof path, "%s/spool", rig->folder);
    rmdir(path);
    rmdir(rig->folder);
    free(rig);
    return 0;
}

/* Collect exactly n results, waiting for them. */
static inline void collect(struct rig *rig, struct store_result *results, size_t n) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += WAIT_S;
    for (size_t got = 0; got < n;) {
        got += store_collect(rig->store, results + got, n - got);
        pthread_mutex_lock(&rig->mutex);
        while (got < n && !rig->wakes)
            assert_int_equal(pthread_cond_timedwait(&rig->woken, &rig->mutex, &end), 0);
        rig->wakes = 0;
        pthread_mutex_unlock(&rig->mutex);
    }
}

static inline void run(struct rig *rig, const struct store_op *ops, size_t n,
                       struct store_result *results) {
    assert_int_equal(store_submit(rig->store, ops, n), 0);
    collect(rig, results, n);
}

static inline struct store_result run_one(struct rig *rig, struct store_op op) {
    struct store_result result;
    run(rig, &op, 1, &result);
    assert_int_equal(result.kind, op.kind);
    assert_int_equal(result.tag, op.tag);
    return result;
}

static inline struct message_id id_of(uint32_t number) {
    struct message_id id = {{0}};
    test_number(id.bytes, number, sizeof number);
    return id;
}

static inline uint32_t number_of(const struct message_id *id) {
    const uint8_t *bytes = id->bytes;
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static inline struct store_op out_put(uint32_t number, const void *body, uint32_t size) {
    struct store_op op = {.kind = STORE_OUT_PUT, .tag = number};
    op.out_put.record.id = id_of(number);
    op.out_put.record.size = size;
    op.out_put.record.sequence = number;
    op.out_put.body = body;
    return op;
}

static inline struct store_op out_find(uint32_t number) {
    return (struct store_op){
        .kind = STORE_OUT_FIND, .tag = number, .out_find = {.id = id_of(number)}};
}

static inline struct store_op out_read(uint32_t number, uint32_t offset, uint32_t length) {
    return (struct store_op){.kind = STORE_OUT_READ,
                             .tag = number,
                             .out_read = {.id = id_of(number), .offset = offset, .length = length}};
}

static inline struct store_op out_done(uint32_t number, int64_t finished, bool forget) {
    struct store_op op = {.kind = STORE_OUT_STATE, .tag = number};
    op.out_state.id = id_of(number);
    op.out_state.state = MESSAGE_DELIVERED;
    op.out_state.finished.us = finished;
    op.out_state.forget = forget;
    return op;
}

static inline struct store_op in_block(uint32_t number, uint32_t total, uint32_t offset,
                                       const void *bytes, uint32_t length) {
    struct store_op op = {.kind = STORE_IN_PUT, .tag = number};
    op.in_put.id = id_of(number);
    op.in_put.total = total;
    op.in_put.offset = offset;
    op.in_put.length = length;
    op.in_put.bytes = bytes;
    op.in_put.tombstone_until.us = 1000;
    return op;
}

static inline struct store_op in_put(uint32_t number, const void *body, uint32_t size) {
    return in_block(number, size, 0, body, size);
}

static inline struct store_op in_fetch(int64_t after, uint32_t limit, uint64_t bytes) {
    struct store_op op = {.kind = STORE_IN_FETCH};
    op.in_fetch.after = after;
    op.in_fetch.limit = limit;
    op.in_fetch.bytes = bytes;
    op.in_fetch.any_sender = true;
    return op;
}

static inline struct store_op in_take(const int64_t *row, int64_t now, bool forget) {
    return (struct store_op){.kind = STORE_IN_TAKE, .in_take = {row, 1, {now}, forget}};
}

static inline struct store_op sweep(int64_t now, int64_t retention_us) {
    return (struct store_op){.kind = STORE_SWEEP, .sweep = {{now}, retention_us}};
}

static inline enum store_in_outcome outcome(struct rig *rig, struct store_op op) {
    struct store_result result = run_one(rig, op);
    assert_int_equal(result.error, 0);
    return result.in_outcome;
}

static inline struct node_boot load(struct rig *rig) {
    struct node_boot boot;
    stop_store(rig);
    open_idle(rig);
    assert_int_equal(store_load(rig->store, &boot), 0);
    return boot;
}

static inline void run_sql(const struct rig *rig, const char *sql) {
    sqlite3 *sqlite;
    assert_int_equal(sqlite3_open(rig->path, &sqlite), SQLITE_OK);
    assert_int_equal(sqlite3_exec(sqlite, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(sqlite), SQLITE_OK);
}

#endif
