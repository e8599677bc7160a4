/* The store's thread: operations gather in a batch while the last one is being committed; a
 * batch is one transaction. */
#include "daemon/io/store/store.h"
#include "daemon/io/store/store_file.h"
#include "daemon/io/store/store_private.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

/* Operations that are committed together. Memory for the results is there from the start, so that
 * an operation which was carried out can always be answered. */
struct batch {
    struct batch *next;
    struct store_op *ops;
    struct store_result *results;
    size_t n, capacity, collected;
    struct store_arena arena;
};

#define BATCH_KEPT 1024 /* operations: half a megabyte of memory */

struct store {
    struct store_db db; /* the thread's own, once it runs */
    struct store_arena boot;
    pthread_t thread;
    bool is_started;
    void (*wake)(void *context);
    void *context;

    pthread_mutex_t mutex; /* protects all members below */
    pthread_cond_t work, room;
    struct batch *filling;         /* takes what is submitted; NULL = empty */
    struct batch *spare;           /* an answered batch, whose memory the next one gets */
    struct batch *finished, *last; /* in order */
    bool is_stopping;
    bool has_limit;
    uint32_t limit_pages;
    struct {
        enum { SNAPSHOT_NONE, SNAPSHOT_WANTED, SNAPSHOT_DONE } state;
        bool is_cancelled;
        const char *path;
        int error;
        char text[FAILURE_MAX];
        struct store_copy copy; /* the thread's own */
    } snapshot;
    pthread_cond_t copied;
};

static bool is_read(enum store_kind kind) {
    return kind == STORE_OUT_READ || kind == STORE_OUT_FIND || kind == STORE_OUT_PENDING ||
           kind == STORE_IN_FETCH || kind == STORE_HISTORY || kind == STORE_CONVERSATIONS ||
           kind == STORE_FILES;
}

static void batch_free(struct batch *batch) {
    if (!batch)
        return;
    store_arena_free(&batch->arena);
    free(batch->ops);
    free(batch->results);
    free(batch);
}

/* Keep an answered batch's memory for the next batch: fresh memory for a thousand operations each
 * time would cost more page faults than everything else here. */
static void batch_recycle(struct store *store, struct batch *batch) {
    store_arena_free(&batch->arena);
    if (store->spare || batch->capacity > BATCH_KEPT) {
        batch_free(batch);
        return;
    }
    batch->next = NULL;
    batch->n = batch->collected = 0;
    store->spare = batch;
}

static struct batch *batch_new(struct store *store) {
    struct batch *batch = store->spare;
    store->spare = NULL;
    return batch ? batch : calloc(1, sizeof *batch);
}

/* ---- Operations ---- */

static void put_node(struct store_db *db, const struct store_op *op) {
    struct query query = query_begin(db, SQL_NODE_PUT);
    query_blob(&query, op->node_put.id.bytes, NODE_ID_LEN);
    query_blob(&query, op->node_put.bytes, op->node_put.length);
    if (op->node_put.pinned)
        query_address(&query, &op->node_put.pin);
    else
        query_null(&query);
    query_run(&query);
}

/* An address without a port means every port there, as it does in a user's DEST. */
static void unpin(struct store_db *db, const struct address *address) {
    struct query query = query_begin(db, SQL_NODE_UNPIN);
    query_address(&query, address);
    query_int(&query, address->port == 0);
    query_run(&query);
}

static void put_spares(struct store_db *db, const struct spare *spares, size_t n) {
    struct query query = query_begin(db, SQL_SPARES_CLEAR);
    query_run(&query);
    for (size_t i = 0; i < n; i++) {
        query = query_begin(db, SQL_SPARE_PUT);
        query_address(&query, &spares[i].address);
        query_blob(&query, spares[i].id.bytes, NODE_ID_LEN);
        query_int(&query, spares[i].anchor);
        query_run(&query);
    }
}

static void put_rule(struct store_db *db, const struct node_id *id, enum sender_rule rule) {
    struct query query = query_begin(db, rule == RULE_NONE ? SQL_RULE_DELETE : SQL_RULE_PUT);
    query_blob(&query, id->bytes, NODE_ID_LEN);
    if (rule != RULE_NONE)
        query_int(&query, rule);
    query_run(&query);
}

/* Store a mail key. SQLite overwrites what is deleted (secure_delete), so that keys which are over
 * do not stay in the file. */
static void put_mail_key(struct store_db *db, const struct store_op *op) {
    struct query query = query_begin(db, SQL_MAIL_KEY_PUT);
    query_int(&query, op->mail_key.day);
    query_blob(&query, op->mail_key.secret, KEY_LEN);
    query_run(&query);
    query = query_begin(db, SQL_MAIL_KEYS_OVER);
    query_int(&query, op->mail_key.oldest);
    query_run(&query);
}

static int apply_message(struct store_db *db, const struct store_op *op,
                         struct store_result *result, struct store_arena *arena) {
    switch (op->kind) {
    case STORE_OUT_PUT:
        return store_out_put(db, op, result);
    case STORE_OUT_STATE:
        return store_out_state(db, op);
    case STORE_OUT_PROGRESS:
        return store_out_progress(db, op);
    case STORE_OUT_READDRESS:
        return store_out_readdress(db, op);
    case STORE_OUT_READ:
        return store_out_read(db, op, result, arena);
    case STORE_OUT_FIND:
        return store_out_find(db, op, result, arena);
    case STORE_OUT_PENDING:
        return store_out_pending(db, op, result, arena);
    case STORE_IN_PUT:
        return store_in_put(db, op, result);
    case STORE_IN_FETCH:
        return store_in_fetch(db, op, result, arena);
    case STORE_FILES:
        return store_file_list(db, op, result, arena);
    case STORE_FILE_TAKE:
        return store_file_take(db, op);
    case STORE_IN_TAKE:
        store_in_take(db, op);
        return 0;
    case STORE_HISTORY:
        return store_history(db, op, result, arena);
    case STORE_CONVERSATIONS:
        return store_conversations(db, op, result, arena);
    case STORE_FORGET:
        store_forget(db, op, result);
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

static void apply_any(struct store_db *db, const struct store_op *op, struct store_result *result,
                      struct store_arena *arena) {
    *result = (struct store_result){.tag = op->tag, .kind = op->kind};
    if (op->kind != STORE_IN_PUT)
        store_refusals_forget(db); /* the operation may make room for what was refused */
    switch (op->kind) {
    case STORE_NODE_PUT:
        put_node(db, op);
        break;
    case STORE_NODE_UNPIN:
        unpin(db, &op->node_unpin.address);
        break;
    case STORE_SPARES_PUT:
        put_spares(db, op->spares_put.spares, op->spares_put.n);
        break;
    case STORE_SEQUENCE:
        store_meta_raise(db, "sequence", (int64_t)op->sequence.sequence);
        break;
    case STORE_CLOCK:
        store_clock_put(db, op);
        break;
    case STORE_UPLOAD_DROP:
        if (db->files)
            store_files_note(db->files, DEED_DROP_UPLOAD, NULL, op->upload_drop.spool);
        break;
    case STORE_RULE_PUT:
        put_rule(db, &op->rule_put.id, op->rule_put.rule);
        if (op->rule_put.rule == RULE_BLOCK)
            store_part_abandon(db, &op->rule_put.id, INT64_MAX);
        break;
    case STORE_MAIL_KEY:
        put_mail_key(db, op);
        break;
    case STORE_SWEEP:
        db->sweep.now = op->sweep.now;
        db->sweep.retention_us = op->sweep.retention_us;
        store_sweep(db);
        break;
    default:
        result->error = apply_message(db, op, result, arena);
    }
}

/* Carry out one operation. A read that fails, on a damaged row or for want of memory, has changed
 * nothing: then only its own result tells the error, unless SQLite has rolled back the whole
 * transaction. */
static void apply(struct store_db *db, const struct store_op *op, struct store_result *result,
                  struct store_arena *arena) {
    apply_any(db, op, result, arena);
    if (db->error && is_read(op->kind) && !sqlite3_get_autocommit(db->sqlite)) {
        *result = (struct store_result){.tag = op->tag, .kind = op->kind, .error = db->error};
        db->error = 0;
    }
}

/* ---- Transactions ---- */

static void run_simple(struct store_db *db, enum store_statement which) {
    struct query query = query_begin(db, which);
    query_run(&query);
}

static int commit(struct store_db *db) {
    store_usage_flush(db);
    store_raises_flush(db);
    store_files_sync(db);
    run_simple(db, SQL_COMMIT);
    if (db->error)
        return db->error;
    store_files_commit(db);
    store_disk_allocate(db);
    return 0;
}

/* Undo the transaction, and also the numbers that it took in memory. Returns the error that caused
 * it. */
static int roll_back(struct store_db *db, int64_t next_row, int64_t next_body) {
    int error = db->error;
    db->error = 0;
    db->next_row = next_row;
    db->next_body = next_body;
    db->sweep.is_left = false;
    store_files_roll_back(db);
    store_usage_drop(db);
    store_raises_drop(db);
    db->n_parts = -1;
    if (!sqlite3_get_autocommit(db->sqlite)) /* a full disk may have undone it by itself */
        run_simple(db, SQL_ROLLBACK);
    db->error = 0;
    return error;
}

/* The transaction was rolled back: writes are told the error. Reads are repeated, because they saw
 * data that was never committed. */
static void answer_failed(struct store_db *db, struct batch *batch, int error) {
    for (size_t i = 0; i < batch->n; i++) {
        const struct store_op *op = &batch->ops[i];
        struct store_result *result = &batch->results[i];
        if (is_read(op->kind))
            apply(db, op, result, &batch->arena);
        else
            *result = (struct store_result){.error = error};
        if (db->error)
            *result = (struct store_result){.error = db->error};
        result->tag = op->tag;
        result->kind = op->kind;
        db->error = 0;
    }
}

/* With the result of the last operation that may have changed it, tell how many bytes are
 * unfinished. Only once in a transaction, since it is a sum over all unfinished messages and
 * files. */
static void tell_unfinished(struct store_db *db, const struct store_op *ops,
                            struct store_result *results, size_t n) {
    while (n > 0 && ops[n - 1].kind != STORE_SWEEP &&
           (ops[n - 1].kind != STORE_IN_PUT || ops[n - 1].in_put.length >= ops[n - 1].in_put.total))
        n--;
    if (n == 0 || db->error)
        return;
    results[n - 1].tells_unfinished = true;
    results[n - 1].unfinished = store_part_held(db);
}

/* An item of the same parcel as the operation before it. If one item is refused, the sender sends
 * the whole parcel again, so the following items need not be tried. */
static bool follows(const struct store_op *op) {
    return op->kind == STORE_IN_PUT && op->in_put.follows;
}

/* One transaction. 0, or why there was none. */
static int run_ops(struct store_db *db, const struct store_op *ops, struct store_result *results,
                   size_t n, struct store_arena *arena) {
    int64_t next_row = db->next_row, next_body = db->next_body;
    run_simple(db, SQL_BEGIN);
    store_rest_look(db);
    store_disk_begin(db);
    store_refusals_forget(db);
    for (size_t i = 0; i < n && !db->error; i++)
        if (i > 0 && results[i - 1].error && follows(&ops[i]))
            results[i] = (struct store_result){
                .tag = ops[i].tag, .kind = ops[i].kind, .error = results[i - 1].error};
        else
            apply(db, &ops[i], &results[i], arena);
    tell_unfinished(db, ops, results, n);
    return commit(db) ? roll_back(db, next_row, next_body) : 0;
}

/* Carry out one operation in a transaction of its own. While the disk is too full, repeat it with
 * smaller slices. */
static int run_narrowing(struct store_db *db, const struct store_op *op,
                         struct store_result *result, struct store_arena *arena) {
    struct store_op part = *op;
    int error;
    do {
        if (op->kind == STORE_IN_TAKE && part.in_take.n > (size_t)db->slice)
            part.in_take.n = (size_t)db->slice;
        error = run_ops(db, &part, result, 1, arena);
    } while (error == -ENOSPC && store_disk_narrow(db));
    store_disk_settle(db);
    return error;
}

/* Take messages in slices, in the end row by row. If not even one body can be forgotten, its
 * message is taken without that. */
static int take_in_slices(struct store_db *db, const struct store_op *op,
                          struct store_result *result, struct store_arena *arena) {
    struct store_op part = *op;
    int error = 0;
    for (size_t at = 0, n; at < op->in_take.n && !error; at += n) {
        part.in_take.rows = op->in_take.rows + at;
        part.in_take.n = op->in_take.n - at;
        error = run_narrowing(db, &part, result, arena);
        if (error == -ENOSPC && part.in_take.forget) {
            part.in_take.forget = false;
            error = run_narrowing(db, &part, result, arena);
        }
        n = part.in_take.n < (size_t)db->slice ? part.in_take.n : (size_t)db->slice;
    }
    return error;
}

static int run_alone(struct store_db *db, const struct store_op *op, struct store_result *result,
                     struct store_arena *arena) {
    if (op->kind == STORE_OUT_PUT || op->kind == STORE_IN_PUT)
        return -ENOSPC;
    return op->kind == STORE_IN_TAKE ? take_in_slices(db, op, result, arena)
                                     : run_narrowing(db, op, result, arena);
}

/* The disk is full: use the room that was reserved for this, and carry out the operations one by
 * one, except those that bring new data. */
static void run_tight(struct store_db *db, struct batch *batch) {
    store_disk_release(db);
    for (size_t i = 0; i < batch->n; i++) {
        const struct store_op *op = &batch->ops[i];
        struct store_result *result = &batch->results[i];
        *result = (struct store_result){.tag = op->tag, .kind = op->kind};
        int error = run_alone(db, op, result, &batch->arena);
        if (error)
            *result = (struct store_result){.tag = op->tag, .kind = op->kind, .error = error};
    }
}

static void run_batch(struct store_db *db, struct batch *batch) {
    int error = run_ops(db, batch->ops, batch->results, batch->n, &batch->arena);
    if (error == -ENOSPC)
        run_tight(db, batch);
    else if (error)
        answer_failed(db, batch, error);
    else if (db->slice < STORE_SLICE_MAX)
        store_disk_widen(db);
}

/* Continue a sweep. No operation waits for its result: if it fails, the next sweep tries again. */
static void run_sweep(struct store_db *db) {
    run_simple(db, SQL_BEGIN);
    store_sweep(db);
    if (!commit(db)) {
        store_disk_widen(db);
    } else if (roll_back(db, db->next_row, db->next_body) == -ENOSPC && store_disk_narrow(db)) {
        store_disk_release(db);
        db->sweep.is_left = true;
    }
}

static void set_limit(struct store_db *db, uint32_t pages) {
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA max_page_count = %u", pages ? pages : UINT32_MAX - 1);
    sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL);
}

/* ---- The thread ---- */

static void finish_batch(struct store *store, struct batch *batch) {
    if (store->last)
        store->last->next = batch;
    else
        store->finished = batch;
    store->last = batch;
}

/* Is there work that is done while no operation waits? */
static bool has_left(const struct store *store) {
    const struct store_db *db = &store->db;
    return store->snapshot.state == SNAPSHOT_WANTED || db->sweep.is_left ||
           (db->files && db->files->behind);
}

/* Copy some more pages for a snapshot, even if operations wait, because the caller waits for the
 * snapshot. Called with the mutex held, and releases it meanwhile. */
static void advance_snapshot(struct store *store) {
    bool stop = store->snapshot.is_cancelled || store->is_stopping;
    if (store->snapshot.state != SNAPSHOT_WANTED)
        return;
    pthread_mutex_unlock(&store->mutex);
    int error = store_copy_step(&store->db, &store->snapshot.copy, store->snapshot.path, stop,
                                store->snapshot.text);
    pthread_mutex_lock(&store->mutex);
    if (error == -EAGAIN)
        return;
    store->snapshot.error = error;
    store->snapshot.state = SNAPSHOT_DONE;
    pthread_cond_broadcast(&store->copied);
}

static void *run(void *context) {
    struct store *store = context;
    pthread_mutex_lock(&store->mutex);
    for (;;) {
        while (!store->filling && !store->is_stopping && !has_left(store))
            pthread_cond_wait(&store->work, &store->mutex);
        advance_snapshot(store);
        struct batch *batch = store->filling;
        if (!batch && store->is_stopping)
            break;
        store->filling = NULL;
        bool has_limit = store->has_limit;
        uint32_t pages = store->limit_pages;
        store->has_limit = false;
        pthread_cond_broadcast(&store->room);
        pthread_mutex_unlock(&store->mutex);
        if (has_limit)
            set_limit(&store->db, pages);
        if (batch)
            run_batch(&store->db, batch);
        else if (store->db.sweep.is_left)
            run_sweep(&store->db);
        else if (store->db.files && store->db.files->behind)
            store_files_catch_up(&store->db);
        pthread_mutex_lock(&store->mutex);
        if (!batch)
            continue;
        finish_batch(store, batch);
        pthread_mutex_unlock(&store->mutex);
        store->wake(store->context);
        pthread_mutex_lock(&store->mutex);
    }
    pthread_mutex_unlock(&store->mutex);
    return NULL;
}

int store_open(struct store **ret_store, const struct store_config *config,
               char ret_error[FAILURE_MAX]) {
    struct store *store = calloc(1, sizeof *store);
    if (!store)
        return failure(ret_error, -ENOMEM, "out of memory");
    int error = store_db_open(&store->db, config->path, ret_error);
    if (!error && (error = store_files_open(&store->db, config, ret_error)))
        store_db_close(&store->db);
    if (error) {
        free(store);
        return error;
    }
    store_disk_open(&store->db, config);
    pthread_mutex_init(&store->mutex, NULL);
    pthread_cond_init(&store->work, NULL);
    pthread_cond_init(&store->room, NULL);
    pthread_cond_init(&store->copied, NULL);
    *ret_store = store;
    return 0;
}

int store_load(struct store *store, struct node_boot *ret_boot) {
    store->boot.is_secret = true; /* mail keys */
    int error = store_db_load(&store->db, &store->boot, ret_boot);
    if (error)
        store_arena_free(&store->boot);
    return error;
}

void store_load_free(struct store *store) {
    store_arena_free(&store->boot);
}

void store_limit_files(struct store *store, size_t n) {
    if (store->db.files)
        store_files_limit(&store->db, n);
}

/* The thread blocks all signals: they are for the loop's thread. */
int store_start(struct store *store, void (*wake)(void *context), void *context) {
    sigset_t all, before;
    store->wake = wake;
    store->context = context;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&store->thread, NULL, run, store);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    store->is_started = error == 0;
    return -error;
}

/* ---- The caller's side ---- */

static int reserve(struct batch *batch, size_t n) {
    if (batch->n + n <= batch->capacity)
        return 0;
    size_t capacity = 2 * batch->capacity > batch->n + n ? 2 * batch->capacity : batch->n + n;
    struct store_op *ops = realloc(batch->ops, capacity * sizeof *ops);
    if (!ops)
        return -ENOMEM;
    batch->ops = ops;
    struct store_result *results = realloc(batch->results, capacity * sizeof *results);
    if (!results)
        return -ENOMEM;
    batch->results = results;
    batch->capacity = capacity;
    return 0;
}

static int append(struct store *store, const struct store_op *ops, size_t n) {
    struct batch *batch = store->filling ? store->filling : batch_new(store);
    int error = batch ? reserve(batch, n) : -ENOMEM;
    if (error) {
        if (batch != store->filling)
            batch_free(batch);
        return error;
    }
    memcpy(batch->ops + batch->n, ops, n * sizeof *ops);
    batch->n += n;
    store->filling = batch;
    return 0;
}

int store_submit(struct store *store, const struct store_op *ops, size_t n) {
    if (n == 0)
        return 0;
    pthread_mutex_lock(&store->mutex);
    while (store->is_started && store->filling && store->filling->n >= STORE_QUEUE_MAX)
        pthread_cond_wait(&store->room, &store->mutex);
    int error = append(store, ops, n);
    pthread_mutex_unlock(&store->mutex);
    /* Signalled earlier, the thread would wake only to wait for the mutex. */
    pthread_cond_signal(&store->work);
    return error;
}

bool store_is_full(struct store *store) {
    pthread_mutex_lock(&store->mutex);
    bool is_full = store->filling && store->filling->n >= STORE_QUEUE_FULL;
    pthread_mutex_unlock(&store->mutex);
    return is_full;
}

size_t store_collect(struct store *store, struct store_result *ret_results, size_t max) {
    size_t n = 0;
    pthread_mutex_lock(&store->mutex);
    for (struct batch *batch = store->finished; batch && n < max; batch = batch->next) {
        size_t left = batch->n - batch->collected, taken = left < max - n ? left : max - n;
        memcpy(ret_results + n, batch->results + batch->collected, taken * sizeof *ret_results);
        batch->collected += taken;
        n += taken;
    }
    pthread_mutex_unlock(&store->mutex);
    return n;
}

void store_release(struct store *store) {
    pthread_mutex_lock(&store->mutex);
    while (store->finished && store->finished->collected == store->finished->n) {
        struct batch *batch = store->finished;
        store->finished = batch->next;
        if (!store->finished)
            store->last = NULL;
        batch_recycle(store, batch);
    }
    pthread_mutex_unlock(&store->mutex);
}

int store_snapshot(struct store *store, const char *path, char ret_error[FAILURE_MAX]) {
    int error = 0;
    pthread_mutex_lock(&store->mutex);
    if (store->snapshot.state != SNAPSHOT_NONE)
        error = failure(ret_error, -EBUSY, "another copy is being made");
    else if (store->snapshot.is_cancelled || !store->is_started)
        error = failure(ret_error, -ECANCELED, "the daemon is stopping");
    if (!error) {
        store->snapshot.state = SNAPSHOT_WANTED;
        store->snapshot.path = path;
        pthread_cond_signal(&store->work);
        while (store->snapshot.state != SNAPSHOT_DONE)
            pthread_cond_wait(&store->copied, &store->mutex);
        store->snapshot.state = SNAPSHOT_NONE;
        error = store->snapshot.error;
        if (error)
            memcpy(ret_error, store->snapshot.text, FAILURE_MAX);
    }
    pthread_mutex_unlock(&store->mutex);
    return error;
}

void store_snapshot_cancel(struct store *store) {
    pthread_mutex_lock(&store->mutex);
    store->snapshot.is_cancelled = true;
    pthread_cond_signal(&store->work);
    pthread_mutex_unlock(&store->mutex);
}

void store_stop(struct store *store) {
    if (!store)
        return;
    if (store->is_started) {
        pthread_mutex_lock(&store->mutex);
        store->is_stopping = true;
        pthread_cond_signal(&store->work);
        pthread_mutex_unlock(&store->mutex);
        pthread_join(store->thread, NULL);
    }
    batch_free(store->filling);
    batch_free(store->spare);
    while (store->finished) {
        struct batch *batch = store->finished;
        store->finished = batch->next;
        batch_free(batch);
    }
    store_arena_free(&store->boot);
    store_files_close(&store->db);
    store_db_close(&store->db);
    pthread_cond_destroy(&store->copied);
    pthread_cond_destroy(&store->room);
    pthread_cond_destroy(&store->work);
    pthread_mutex_destroy(&store->mutex);
    free(store);
}

void store_limit_pages(struct store *store, uint32_t pages) {
    pthread_mutex_lock(&store->mutex);
    store->has_limit = true;
    store->limit_pages = pages;
    pthread_mutex_unlock(&store->mutex);
}

uint64_t store_steps(struct store *store) {
    uint64_t steps = 0;
    for (sqlite3_stmt *s = NULL; (s = sqlite3_next_stmt(store->db.sqlite, s));)
        steps += (uint64_t)sqlite3_stmt_status(s, SQLITE_STMTSTATUS_VM_STEP, 0);
    return steps;
}
