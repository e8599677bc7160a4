/* Commits of the model: how long they take, when they fail, what a crash leaves. */
#include "tests/sim/model_store.h"

#include "tests/sim/model_data.h"

#include <assert.h>
#include <stdlib.h>

#define COMMIT_MIN_US 100
#define COMMIT_MAX_US 50000

struct model_op {
    struct store_op op;
    struct mono at;
    void *copy; /* what op points to */
};

struct model_store {
    struct core_random random;
    struct model_data data; /* what is durable */
    /* What is on its way there. The first n_committing of the queue are in the commit under way. */
    struct model_op *queue;
    size_t n_queue, n_committing;
    struct mono begun, due;
    unsigned fail_skip, fail_n;
    int fail_error;
    struct store_result *results; /* what was done and is not collected */
    size_t n_results, collected;
};

static void forget_results(struct model_store *ms) {
    model_data_release(&ms->data);
    free(ms->results);
    ms->results = NULL;
    ms->n_results = ms->collected = 0;
}

static void forget_queue(struct model_store *ms) {
    while (ms->n_queue)
        free(ms->queue[--ms->n_queue].copy);
    free(ms->queue);
    ms->queue = NULL;
    ms->n_committing = 0;
}

static bool is_read(enum store_kind kind) {
    return kind == STORE_OUT_READ || kind == STORE_OUT_FIND || kind == STORE_OUT_PENDING ||
           kind == STORE_IN_FETCH || kind == STORE_HISTORY || kind == STORE_CONVERSATIONS ||
           kind == STORE_FILES;
}

/* What the commit under way will fail with, by the knobs. Reads alone commit nothing. */
static int next_fault(struct model_store *ms) {
    size_t writes = 0;
    for (size_t i = 0; i < ms->n_committing; i++)
        writes += !is_read(ms->queue[i].op.kind);
    if (!writes || !ms->fail_n)
        return 0;
    if (ms->fail_skip) {
        ms->fail_skip--;
        return 0;
    }
    ms->fail_n--;
    return ms->fail_error;
}

static void begin_commit(struct model_store *ms, struct mono now) {
    if (now.us < ms->queue[0].at.us)
        now = ms->queue[0].at;
    ms->n_committing = 0;
    while (ms->n_committing < ms->n_queue && ms->queue[ms->n_committing].at.us <= now.us)
        ms->n_committing++;
    int64_t span = COMMIT_MAX_US - COMMIT_MIN_US + 1;
    ms->begun = now;
    ms->due = mono_add(now, COMMIT_MIN_US + (int64_t)random_below(&ms->random, (uint64_t)span));
}

/* The commit under way ends: its operations happen, and leave the queue with their results. */
static void end_commit(struct model_store *ms) {
    int fault = next_fault(ms);
    size_t n = ms->n_committing;
    for (size_t i = 0; i < n; i++) {
        const struct store_op *op = &ms->queue[i].op;
        ms->results = model_grow(ms->results, ms->n_results, sizeof *ms->results);
        struct store_result *result = &ms->results[ms->n_results++];
        *result = (struct store_result){.tag = op->tag, .kind = op->kind};
        if (i > 0 && op->kind == STORE_IN_PUT && op->in_put.follows)
            result->error = result[-1].error;
        result->error =
            fault && !is_read(op->kind) ? fault : model_data_perform(&ms->data, op, result);
        free(ms->queue[i].copy);
    }
    model_data_commit(&ms->data);
    ms->n_queue -= n;
    memmove(ms->queue, ms->queue + n, ms->n_queue * sizeof *ms->queue);
    struct model_op *queue = realloc(ms->queue, (ms->n_queue ? ms->n_queue : 1) * sizeof *queue);
    assert(queue);
    ms->queue = queue;
    ms->n_committing = 0;
    if (ms->n_queue)
        begin_commit(ms, ms->due);
}

/* What the operation points to, copied; the copy's pointer is set in *op. */
static void *copy_borrowed(struct store_op *op) {
    switch (op->kind) {
    case STORE_OUT_PUT: {
        if (op->out_put.record.kind == KIND_FILE && !op->out_put.record.file)
            return NULL;
        if (op->out_put.record.kind == KIND_FILE) {
            struct file_head *head = model_copy(op->out_put.record.file, sizeof *head);
            op->out_put.record.file = head;
            return head;
        }
        uint8_t *copy = model_copy(op->out_put.body, op->out_put.record.size);
        op->out_put.body = copy;
        return copy;
    }
    case STORE_IN_PUT: {
        uint8_t *copy = malloc(sizeof *op->in_put.file + op->in_put.length);
        assert(copy);
        if (op->in_put.file)
            op->in_put.file = memcpy(copy, op->in_put.file, sizeof *op->in_put.file);
        if (op->in_put.length)
            op->in_put.bytes =
                memcpy(copy + sizeof *op->in_put.file, op->in_put.bytes, op->in_put.length);
        return copy;
    }
    case STORE_IN_TAKE: {
        int64_t *copy = model_copy(op->in_take.rows, op->in_take.n * sizeof *copy);
        op->in_take.rows = copy;
        return copy;
    }
    case STORE_OUT_READDRESS: {
        struct readdress_item *copy =
            model_copy(op->readdress.items, op->readdress.n * sizeof *copy);
        op->readdress.items = copy;
        return copy;
    }
    case STORE_NODE_PUT: {
        uint8_t *copy = model_copy(op->node_put.bytes, op->node_put.length);
        op->node_put.bytes = copy;
        return copy;
    }
    case STORE_MAIL_KEY: {
        uint8_t *copy = model_copy(op->mail_key.secret, KEY_LEN);
        op->mail_key.secret = copy;
        return copy;
    }
    case STORE_SPARES_PUT: {
        struct spare *copy = model_copy(op->spares_put.spares, op->spares_put.n * sizeof *copy);
        op->spares_put.spares = copy;
        return copy;
    }
    default:
        return NULL;
    }
}

void model_store_apply(struct model_store *ms, const struct store_op *op, struct mono now) {
    struct model_op *queue = realloc(ms->queue, (ms->n_queue + 1) * sizeof *queue);
    assert(queue);
    ms->queue = queue;
    struct model_op *queued = &queue[ms->n_queue++];
    *queued = (struct model_op){.op = *op, .at = now};
    queued->copy = copy_borrowed(&queued->op);
    if (ms->n_queue == 1)
        begin_commit(ms, now);
    else if (ms->begun.us == now.us)
        ms->n_committing++;
}

struct mono model_store_next(const struct model_store *ms) {
    if (ms->collected < ms->n_results)
        return (struct mono){0};
    return ms->n_queue ? ms->due : MONO_NEVER;
}

size_t model_store_collect(struct model_store *ms, struct mono now,
                           struct store_result *ret_results, size_t max) {
    if (ms->collected == ms->n_results)
        forget_results(ms);
    while (ms->n_queue && mono_is_due(ms->due, now))
        end_commit(ms);
    size_t left = ms->n_results - ms->collected, n = left < max ? left : max;
    if (n)
        memcpy(ret_results, ms->results + ms->collected, n * sizeof *ret_results);
    ms->collected += n;
    return n;
}

void model_store_fail(struct model_store *ms, unsigned skip, unsigned n, int error) {
    ms->fail_skip = skip;
    ms->fail_n = n;
    ms->fail_error = error;
}

void model_store_crash(struct model_store *ms) {
    size_t committing = ms->n_committing;
    if (committing && random_below(&ms->random, 2)) {
        for (size_t i = committing; i < ms->n_queue; i++)
            free(ms->queue[i].copy);
        ms->n_queue = committing;
        end_commit(ms);
    }
    forget_queue(ms);
    forget_results(ms);
    model_file_drop_uploads(&ms->data);
}

/* ---- Looking in ---- */

void model_store_boot(struct model_store *ms, struct node_boot *ret_boot) {
    model_data_boot(&ms->data, ret_boot);
}

void model_store_boot_first(struct model_store *ms, size_t n, struct node_boot *ret_boot) {
    model_data_boot(&ms->data, ret_boot);
    model_data_boot_first(&ms->data, n, ret_boot);
}

void model_store_visit(const struct model_store *ms,
                       void (*visit)(void *context, enum message_kind kind,
                                     const struct in_record *message),
                       void *context) {
    for (size_t i = 0; i < ms->data.n_ins; i++) {
        const struct model_in *in = &ms->data.ins[i];
        struct in_record message = in->record;
        const struct model_file *file =
            in->kind == KIND_FILE ? model_file_find(&ms->data, &message.sender, &message.id) : NULL;
        message.body = file ? file->bytes : in->body;
        visit(context, in->kind, &message);
    }
}

void model_store_visit_outs(const struct model_store *ms,
                            void (*visit)(void *context, const struct out_record *record,
                                          const uint8_t *body),
                            void *context) {
    for (size_t i = 0; i < ms->data.n_outs; i++)
        visit(context, &ms->data.outs[i].record, ms->data.outs[i].body);
}

uint64_t model_store_count(const struct model_store *ms) {
    return (uint64_t)ms->data.next_row - 1;
}

uint64_t model_store_held(const struct model_store *ms) {
    uint64_t held = 0;
    for (size_t i = 0; i < ms->data.n_ins; i++)
        held += ms->data.ins[i].record.size;
    for (size_t i = 0; i < ms->data.n_parts; i++)
        held += ms->data.parts[i].held;
    for (size_t i = 0; i < ms->data.n_files; i++)
        if (ms->data.files[i].state == MODEL_FILE_PARTIAL)
            held += ms->data.files[i].record.held;
    return held;
}

uint64_t model_store_read(const struct model_store *ms) {
    return ms->data.read;
}

void model_spool_put(struct model_store *ms, const char *name, const void *bytes, uint64_t size) {
    struct model_data *data = &ms->data;
    data->uploads = model_grow(data->uploads, data->n_uploads, sizeof *data->uploads);
    struct model_upload *upload = &data->uploads[data->n_uploads++];
    *upload = (struct model_upload){.bytes = model_copy(bytes, size), .size = size};
    assert(strlen(name) < sizeof upload->name);
    memcpy(upload->name, name, strlen(name));
}

struct model_store *model_store_new(const struct core_random *random) {
    struct model_store *ms = calloc(1, sizeof *ms);
    assert(ms);
    ms->random = *random;
    model_data_init(&ms->data);
    return ms;
}

void model_store_free(struct model_store *ms) {
    if (!ms)
        return;
    forget_queue(ms);
    forget_results(ms);
    model_data_deinit(&ms->data);
    free(ms);
}
