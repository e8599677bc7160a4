/* link: daemon/io/store/store daemon/io/store/store_sql daemon/io/store/store_schema daemon/io/store/store_message daemon/io/store/store_part daemon/io/store/store_refused daemon/io/store/store_waiting daemon/io/store/store_history daemon/io/store/store_sweep daemon/io/store/store_copy daemon/io/store/store_disk daemon/io/store/disk daemon/io/store/store_file daemon/io/store/store_file_in daemon/io/store/store_file_out daemon/io/store/store_file_list daemon/io/store/store_file_room shared/file_name daemon/io/store/spool shared/text shared/address tests/sim/model_store tests/sim/model_data tests/sim/model_out tests/sim/model_waiting tests/sim/model_history tests/sim/model_file */
/* The same random operations go to SQLite and to the simulator's model, and every result is
 * compared: whatever the simulator shows about losing and doubling is then worth as much as if a
 * disk had been there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/store/spool.h"
#include "daemon/io/store/store.h"
#include "tests/sim/model_store.h"
#include "tests/unit/harness.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BATCH_MAX 24
#define SENDERS 3
#define IDS 40 /* few at a time, so that operations meet what is there */
#define BODIES_LEN 300000

struct pair {
    char folder[64], path[96], files[96];
    struct spool spool;
    struct file_head heads[BATCH_MAX];
    uint8_t digests[IDS][FILE_DIGEST_LEN];
    bool is_full; /* the disk, during this batch */
    struct store *store;
    struct model_store *model;
    struct core_random random;
    struct test_stream stream;
    struct mono now;
    struct wall wall;
    pthread_mutex_t mutex;
    pthread_cond_t woken;
    unsigned wakes, round;
    uint8_t *bodies; /* every body is a stretch of these */
    int64_t rows[BATCH_MAX][4];
    struct spare spares[BATCH_MAX][3];
    struct readdress_item readdressed[BATCH_MAX][6];
    int64_t history_next, conversations_next, files_next; /* cursors of the last pages */
    unsigned seen[STORE_SWEEP + 1], failed, completed, duplicates, refused, late, lines, peers;
    unsigned whole_files, bad_files, file_duplicates, file_refused, contents;
};

static uint32_t below(struct pair *pair, uint32_t bound) {
    return (uint32_t)random_below(&pair->random, bound);
}

static void wake(void *context) {
    struct pair *pair = context;
    pthread_mutex_lock(&pair->mutex);
    pair->wakes++;
    pthread_cond_signal(&pair->woken);
    pthread_mutex_unlock(&pair->mutex);
}

static void open_store(struct pair *pair) {
    char error[FAILURE_MAX] = "";
    struct store_config config = {pair->path, pair->folder, pair->files, NULL};
    if (store_open(&pair->store, &config, error))
        fail_msg("%s", error);
}

static int setup(void **state) {
    struct pair *pair = calloc(1, sizeof *pair);
    assert_non_null(pair);
    pair->stream.state = test_seed;
    pair->random = (struct core_random){test_fill, &pair->stream};
    pair->wall.us = 1000 * US_PER_HOUR;
    strcpy(pair->folder, "/tmp/p2pd-test-XXXXXX");
    assert_non_null(mkdtemp(pair->folder));
    snprintf(pair->path, sizeof pair->path, "%s/messages.db", pair->folder);
    snprintf(pair->files, sizeof pair->files, "%s/files", pair->folder);
    pthread_mutex_init(&pair->mutex, NULL);
    pthread_cond_init(&pair->woken, NULL);
    pair->bodies = malloc(BODIES_LEN);
    assert_non_null(pair->bodies);
    test_fill(&pair->stream, pair->bodies, BODIES_LEN);
    pair->model = model_store_new(&pair->random);
    open_store(pair);
    assert_int_equal(spool_init(&pair->spool, pair->folder), 0);
    assert_int_equal(store_start(pair->store, wake, pair), 0);
    *state = pair;
    return 0;
}

static void remove_folder(const char *path) {
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder && (entry = readdir(folder));)
        unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
    rmdir(path);
}

static int teardown(void **state) {
    struct pair *pair = *state;
    store_stop(pair->store);
    model_store_free(pair->model);
    char spool[128];
    spool_deinit(&pair->spool);
    unlink(pair->path);
    snprintf(spool, sizeof spool, "%s/spool", pair->folder);
    remove_folder(spool);
    remove_folder(pair->files);
    rmdir(pair->folder);
    free(pair->bodies);
    free(pair);
    return 0;
}

/* ---- Random operations ---- */

static struct message_id draw_id(struct pair *pair) {
    struct message_id id = {{1}};
    id.bytes[5] = (uint8_t)below(pair, IDS);
    id.bytes[6] = (uint8_t)(pair->round / 64);
    return id;
}

static struct node_id draw_node(struct pair *pair) {
    struct node_id id = {{2}};
    id.bytes[9] = (uint8_t)below(pair, SENDERS);
    return id;
}

static struct address draw_address(struct pair *pair) {
    struct address address = {{0xfd}, (uint16_t)below(pair, 3)};
    address.ip[15] = (uint8_t)below(pair, 2);
    return address;
}

/* Around every bound at which a body is kept otherwise. */
static uint32_t size_of(const struct message_id *id) {
    static const uint32_t sizes[] = {0,    1,     100,   2047,  2048,   2049,
                                     5000, 65535, 65536, 65537, 131072, 200000};
    return sizes[id->bytes[5] % (sizeof sizes / sizeof sizes[0])];
}

/* Files have ids of their own, mostly. */
static struct message_id draw_file_id(struct pair *pair) {
    struct message_id id = draw_id(pair);
    id.bytes[7] = below(pair, 20) != 0;
    return id;
}

static struct message_id draw_any_id(struct pair *pair) {
    return below(pair, 3) ? draw_id(pair) : draw_file_id(pair);
}

/* Every seventh file is not what its sender says. */
static bool is_bad_file(const struct message_id *id) {
    return id->bytes[5] % 7 == 3;
}

static const struct file_head *draw_head(struct pair *pair, size_t i, const struct message_id *id) {
    static const char *const names[] = {"a",         "a.txt",        "../a",     ".a", "",
                                        "b\\c.part", "\x1b[31m\xff", "\xc3\xbc", "a"};
    struct file_head *head = &pair->heads[i];
    uint8_t *digest = pair->digests[id->bytes[5]];
    if (sodium_is_zero(digest, FILE_DIGEST_LEN))
        crypto_hash_sha256(digest, pair->bodies + id->bytes[5], size_of(id));
    memset(head, 0, sizeof *head);
    memcpy(head->digest, digest, FILE_DIGEST_LEN);
    head->digest[0] ^= is_bad_file(id) || below(pair, 30) == 0;
    if (below(pair, 10) == 0)
        memset(head->name, 'n', FILE_NAME_MAX);
    else
        strcpy(head->name, names[below(pair, sizeof names / sizeof names[0])]);
    return head;
}

/* A client leaves a file in both spools. */
static void upload(struct pair *pair, const uint8_t *bytes, size_t size, char *ret_name) {
    int fd;
    assert_int_equal(spool_create(&pair->spool, ret_name, &fd), 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
    model_spool_put(pair->model, ret_name, bytes, size);
}

static void draw_out_file(struct pair *pair, struct store_op *op, size_t i) {
    struct out_record *record = &op->out_put.record;
    const uint8_t *bytes = pair->bodies + record->id.bytes[5];
    record->kind = KIND_FILE;
    record->file = draw_head(pair, i, &record->id);
    upload(pair, bytes, (size_t)record->size + (below(pair, 20) == 0), op->out_put.spool);
    if (below(pair, 20) == 0)
        op->out_put.spool[0] = 'z'; /* there is none */
    if (below(pair, 40) == 0)
        record->file = NULL;
    op->out_put.body = NULL;
}

static void draw_out_put(struct pair *pair, struct store_op *op, size_t i) {
    struct out_record *record = &op->out_put.record;
    bool is_file = below(pair, 4) == 0;
    record->id = is_file ? draw_file_id(pair) : draw_id(pair);
    record->recipient = (struct node_id){{2}}; /* somebody who sends, too */
    record->recipient.bytes[9] = record->id.bytes[5] % 4;
    record->recipient.bytes[4] = below(pair, 20) == 0;
    record->sequence = below(pair, 1000);
    record->created = pair->wall;
    record->expires.us = pair->wall.us + US_PER_HOUR;
    record->size = size_of(&record->id) - (below(pair, 20) == 0 && size_of(&record->id) > 0);
    record->state = MESSAGE_QUEUED;
    record->relays_exact = 0xff;
    record->strict = below(pair, 2);
    record->kind = below(pair, 4) ? KIND_MESSAGE : below(pair, 2) ? KIND_MAIL : 0;
    record->shards_k = (uint8_t)below(pair, 20);
    record->shards_m = (uint8_t)below(pair, 20);
    op->out_put.body = pair->bodies + record->id.bytes[5] + (below(pair, 20) == 0);
    if (is_file)
        draw_out_file(pair, op, i);
}

static void draw_out_state(struct pair *pair, struct store_op *op) {
    op->out_state.id = draw_any_id(pair);
    op->out_state.state = (enum message_state)(MESSAGE_SENT + below(pair, 3));
    op->out_state.finished = pair->wall;
    op->out_state.forget = below(pair, 4) == 0;
    memset(op->out_state.reason, 'r', below(pair, MESSAGE_REASON_MAX));
}

static void draw_out_read(struct pair *pair, struct store_op *op) {
    op->out_read.id = draw_any_id(pair);
    uint32_t size = size_of(&op->out_read.id);
    op->out_read.offset = below(pair, size + 2);
    op->out_read.length = below(pair, 2) ? 65536 : below(pair, size + 2);
}

static void draw_out_progress(struct pair *pair, struct store_op *op) {
    op->out_progress.id = draw_any_id(pair);
    op->out_progress.offset = below(pair, size_of(&op->out_progress.id) + 3);
    if (below(pair, 20) == 0)
        op->out_progress.offset = UINT64_MAX;
}

/* A sequence that leaves no room, or none at all. */
static uint64_t draw_far(struct pair *pair) {
    static const uint64_t far[] = {0, 1u << 20, (1u << 20) + 1, UINT64_MAX, 1, UINT64_C(1) << 63};
    return far[below(pair, 6)];
}

/* What no honest sender says. */
static void lie(struct pair *pair, struct store_op *op) {
    switch (below(pair, 25)) {
    case 0:
        op->in_put.total++;
        break;
    case 1:
        op->in_put.offset++;
        break;
    case 2:
        op->in_put.length++;
        break;
    case 3:
        op->in_put.length = 0;
        break;
    case 4:
        op->in_put.offset /= 2;
        break;
    case 5:
        op->in_put.kind = KIND_MAIL;
        break;
    default:
        break;
    }
}

static void draw_in_put(struct pair *pair, struct store_op *op, size_t at) {
    bool is_file = below(pair, 3) == 0;
    op->in_put.sender = draw_node(pair);
    op->in_put.sender_address = draw_address(pair);
    strcpy(op->in_put.sender_name, below(pair, 2) ? "nobody" : "");
    op->in_put.id = is_file ? draw_file_id(pair) : draw_id(pair);
    /* What a wrong digest unlinks no rollback brings back. */
    while (is_file && pair->is_full && is_bad_file(&op->in_put.id))
        op->in_put.id = draw_file_id(pair);
    op->in_put.sequence = below(pair, 50) ? pair->round + below(pair, 50) : draw_far(pair);
    op->in_put.kind = below(pair, 2) ? KIND_MESSAGE : 0;
    op->in_put.quota_sender = below(pair, 2) ? 0 : 1000 + below(pair, 400000);
    op->in_put.quota_all = below(pair, 2) ? 0 : 100000 + below(pair, 1000000);
    op->in_put.is_known = below(pair, 3) == 0;
    op->in_put.follows = below(pair, 3) == 0;
    /* In the order of their sequences, mostly: else it is one who numbers anew. */
    op->in_put.sent.us =
        below(pair, 8) ? (int64_t)(op->in_put.sequence % 1000000) * US_PER_S : pair->wall.us - 1;
    op->in_put.received = pair->wall;
    op->in_put.tombstone_until.us = pair->wall.us + below(pair, 40) * US_PER_HOUR;
    uint32_t total = size_of(&op->in_put.id), block = total > 65536 ? 65536 : total;
    if (op->in_put.id.bytes[5] % 3 == 0 && total > 2) /* odd blocks of a short one */
        block = total / 2 + 1;
    uint32_t n = block ? (total + block - 1) / block : 1, i = below(pair, n);
    op->in_put.total = total;
    op->in_put.offset = i * block;
    op->in_put.length = total - i * block < block ? total - i * block : block;
    if (is_file) {
        op->in_put.kind = KIND_FILE;
        op->in_put.file = below(pair, 40) ? draw_head(pair, at, &op->in_put.id) : NULL;
        if (pair->is_full && op->in_put.file)
            memcpy(pair->heads[at].digest, pair->digests[op->in_put.id.bytes[5]], FILE_DIGEST_LEN);
    }
    if (!is_file || !pair->is_full)
        lie(pair, op);
    op->in_put.bytes = pair->bodies + op->in_put.id.bytes[5] + op->in_put.offset;
}

static void draw_in_fetch(struct pair *pair, struct store_op *op) {
    op->in_fetch.after = below(pair, 3) ? 0 : (int64_t)below(pair, pair->round + 1) << 20;
    op->in_fetch.since.us = below(pair, 3) ? 0 : pair->wall.us - below(pair, 20) * US_PER_HOUR;
    op->in_fetch.since_message = below(pair, 4) == 0;
    op->in_fetch.since_id = draw_id(pair);
    op->in_fetch.limit = below(pair, 6);
    op->in_fetch.bytes = below(pair, 100000);
    op->in_fetch.any_sender = below(pair, 2);
    op->in_fetch.sender = draw_node(pair);
}

static void draw_in_take(struct pair *pair, struct store_op *op, int64_t rows[4]) {
    op->in_take.n = below(pair, 5);
    for (size_t i = 0; i < op->in_take.n; i++) {
        uint64_t count = model_store_count(pair->model);
        rows[i] = (int64_t)random_below(&pair->random, count + 2);
    }
    op->in_take.rows = rows;
    op->in_take.now = pair->wall;
    op->in_take.forget = below(pair, 3) == 0;
}

/* From the beginning, or on from the last page, whosever it was. */
static void draw_history(struct pair *pair, struct store_op *op) {
    op->history.peer = draw_node(pair);
    op->history.since.us = below(pair, 3) ? 0 : pair->wall.us - below(pair, 20) * US_PER_HOUR;
    op->history.until.us = below(pair, 3) ? 0 : pair->wall.us - below(pair, 10) * US_PER_HOUR;
    op->history.after = below(pair, 3) ? pair->history_next : 0;
    if (below(pair, 50) == 0)
        op->history.after = -1;
    op->history.limit = below(pair, 20);
    op->history.bytes = below(pair, 400000);
}

static void draw_conversations(struct pair *pair, struct store_op *op) {
    op->conversations.after = below(pair, 2) ? pair->conversations_next : below(pair, 3);
    op->conversations.limit = below(pair, 4);
}

static void draw_files(struct pair *pair, struct store_op *op) {
    op->files.one = below(pair, 2);
    op->files.id = draw_file_id(pair);
    op->files.after = below(pair, 2) ? pair->files_next : 0;
    op->files.limit = below(pair, 12);
}

static void draw_mail_key(struct pair *pair, struct store_op *op) {
    uint32_t today = (uint32_t)(pair->wall.us / (24 * US_PER_HOUR));
    op->mail_key.day = today - below(pair, 4);
    op->mail_key.secret = pair->bodies + below(pair, 1000);
    op->mail_key.oldest = below(pair, 3) ? today - 3 : 0;
}

static void draw_node_put(struct pair *pair, struct store_op *op) {
    op->node_put.id = draw_node(pair);
    op->node_put.bytes = pair->bodies + below(pair, 1000);
    op->node_put.length = below(pair, 1025);
    op->node_put.pinned = below(pair, 2);
    op->node_put.pin = draw_address(pair);
}

static void draw_spares(struct pair *pair, struct store_op *op, struct spare spares[3]) {
    op->spares_put.n = below(pair, 4);
    op->spares_put.spares = spares;
    for (size_t i = 0; i < op->spares_put.n; i++)
        spares[i] = (struct spare){draw_address(pair), draw_node(pair), below(pair, 2) == 0};
}

/* To somebody else or to the same: messages, files, mail, and ids that are not there. */
static void draw_readdress(struct pair *pair, struct store_op *op, struct readdress_item items[6]) {
    op->readdress.to = draw_node(pair);
    op->readdress.items = items;
    op->readdress.n = below(pair, 7);
    for (size_t i = 0; i < op->readdress.n; i++)
        items[i] = (struct readdress_item){draw_any_id(pair), below(pair, 1000)};
}

/* What is asked, decided or counted; false: another kind. */
static bool draw_other(struct pair *pair, struct store_op *op) {
    switch (op->kind) {
    case STORE_HISTORY:
        draw_history(pair, op);
        return true;
    case STORE_CONVERSATIONS:
        draw_conversations(pair, op);
        return true;
    case STORE_FORGET:
        op->forget.peer = draw_node(pair);
        op->forget.ungrown.us = pair->wall.us - (int64_t)below(pair, 3) * US_PER_HOUR;
        return true;
    case STORE_FILES:
        draw_files(pair, op);
        return true;
    case STORE_FILE_TAKE:
        op->file_take.id = draw_file_id(pair);
        op->file_take.sender = draw_node(pair);
        op->file_take.now = pair->wall;
        return true;
    case STORE_RULE_PUT:
        op->rule_put.id = draw_node(pair);
        op->rule_put.rule = (enum sender_rule)below(pair, 3);
        return true;
    case STORE_MAIL_KEY:
        draw_mail_key(pair, op);
        return true;
    case STORE_CLOCK:
        op->clock.wall = op->clock.swept = pair->wall;
        op->clock.is_known = below(pair, 2) == 0;
        op->clock.shift_us = (int64_t)below(pair, 3) * US_PER_HOUR - US_PER_HOUR;
        return true;
    case STORE_SEQUENCE:
        op->sequence.sequence = below(pair, 100000);
        return true;
    case STORE_UPLOAD_DROP: /* of a name that nobody has: what is left is alike */
        snprintf(op->upload_drop.spool, sizeof op->upload_drop.spool, "none.up");
        return true;
    case STORE_SWEEP:
        op->sweep.now = pair->wall;
        op->sweep.retention_us = 12 * US_PER_HOUR;
        return true;
    default:
        return false;
    }
}

/* They delete files before the commit: whether they came to it is not told. */
static bool is_lasting(enum store_kind kind) {
    return kind == STORE_FILE_TAKE || kind == STORE_SWEEP;
}

static struct store_op draw_op(struct pair *pair, size_t i) {
    static const enum store_kind often[] = {STORE_OUT_PUT,  STORE_IN_PUT, STORE_IN_PUT,
                                            STORE_IN_PUT,   STORE_IN_PUT, STORE_IN_TAKE,
                                            STORE_FILE_TAKE};
    struct store_op op;
    memset(&op, 0, sizeof op);
    op.tag = random_below(&pair->random, UINT64_MAX);
    op.kind = below(pair, 2) ? often[below(pair, sizeof often / sizeof often[0])]
                             : (enum store_kind)below(pair, STORE_SWEEP + 1);
    if (pair->is_full && is_lasting(op.kind))
        op.kind = STORE_HISTORY;
    switch (op.kind) {
    case STORE_OUT_PUT:
        draw_out_put(pair, &op, i);
        break;
    case STORE_OUT_STATE:
        draw_out_state(pair, &op);
        break;
    case STORE_OUT_PROGRESS:
        draw_out_progress(pair, &op);
        break;
    case STORE_OUT_READDRESS:
        draw_readdress(pair, &op, pair->readdressed[i]);
        break;
    case STORE_OUT_READ:
        draw_out_read(pair, &op);
        break;
    case STORE_OUT_FIND:
        op.out_find.id = draw_any_id(pair);
        break;
    case STORE_OUT_PENDING:
        op.out_pending.after = below(pair, 20);
        op.out_pending.until = op.out_pending.after + below(pair, 200);
        op.out_pending.limit = below(pair, 30);
        break;
    case STORE_IN_PUT:
        draw_in_put(pair, &op, i);
        break;
    case STORE_IN_FETCH:
        draw_in_fetch(pair, &op);
        break;
    case STORE_IN_TAKE:
        draw_in_take(pair, &op, pair->rows[i]);
        break;
    case STORE_NODE_PUT:
        draw_node_put(pair, &op);
        break;
    case STORE_NODE_UNPIN:
        op.node_unpin.address = draw_address(pair);
        break;
    case STORE_SPARES_PUT:
        draw_spares(pair, &op, pair->spares[i]);
        break;
    default:
        assert_true(draw_other(pair, &op));
    }
    return op;
}

/* ---- Comparing ---- */

static void compare_heads(const struct file_head *a, const struct file_head *b) {
    assert_int_equal(a != NULL, b != NULL);
    if (!a)
        return;
    assert_memory_equal(a->digest, b->digest, sizeof a->digest);
    assert_string_equal(a->name, b->name);
}

static void compare_records(const struct out_record *a, const struct out_record *b) {
    assert_memory_equal(&a->id, &b->id, sizeof a->id);
    assert_memory_equal(&a->recipient, &b->recipient, sizeof a->recipient);
    assert_int_equal(a->sequence, b->sequence);
    assert_int_equal(a->created.us, b->created.us);
    assert_int_equal(a->expires.us, b->expires.us);
    assert_int_equal(a->finished.us, b->finished.us);
    assert_int_equal(a->size, b->size);
    assert_int_equal(a->state, b->state);
    assert_string_equal(a->reason, b->reason);
    assert_int_equal(a->relays_exact, b->relays_exact);
    assert_int_equal(a->strict, b->strict);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->progress, b->progress);
    assert_int_equal(a->shards_k, b->shards_k);
    assert_int_equal(a->shards_m, b->shards_m);
    compare_heads(a->file, b->file);
}

static void compare_messages(const struct in_record *a, const struct in_record *b) {
    assert_int_equal(a->row, b->row);
    assert_memory_equal(&a->sender, &b->sender, sizeof a->sender);
    assert_true(address_is_equal(&a->sender_address, &b->sender_address));
    assert_string_equal(a->sender_name, b->sender_name);
    assert_memory_equal(&a->id, &b->id, sizeof a->id);
    assert_int_equal(a->sequence, b->sequence);
    assert_int_equal(a->sent.us, b->sent.us);
    assert_int_equal(a->received.us, b->received.us);
    assert_int_equal(a->place, b->place);
    assert_int_equal(a->size, b->size);
    assert_memory_equal(a->body, b->body, a->size);
}

static void compare_lines(const struct history_record *a, const struct history_record *b) {
    assert_int_equal(a->outgoing, b->outgoing);
    assert_memory_equal(&a->id, &b->id, sizeof a->id);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->sent.us, b->sent.us);
    assert_int_equal(a->done.us, b->done.us);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->taken, b->taken);
    assert_string_equal(a->reason, b->reason);
    assert_int_equal(a->size, b->size);
    compare_heads(a->file, b->file);
    if (a->kind == KIND_FILE)
        assert_true(!a->body && !b->body);
    else
        assert_memory_equal(a->body, b->body, a->size);
}

static void compare_files(const struct file_record *a, const struct file_record *b) {
    assert_int_equal(a->state, b->state);
    assert_memory_equal(&a->id, &b->id, sizeof a->id);
    assert_memory_equal(&a->peer, &b->peer, sizeof a->peer);
    assert_true(address_is_equal(&a->peer_address, &b->peer_address));
    assert_string_equal(a->peer_name, b->peer_name);
    compare_heads(&a->head, &b->head);
    assert_int_equal(a->size, b->size);
    assert_int_equal(a->held, b->held);
    assert_int_equal(a->sent.us, b->sent.us);
    assert_int_equal(a->received.us, b->received.us);
    assert_int_equal(a->message_state, b->message_state);
    assert_int_equal(a->path[0], b->path[0]); /* a name may have stayed behind from a rollback */
}

static void compare_conversations(const struct conversation_record *a,
                                  const struct conversation_record *b) {
    assert_memory_equal(&a->peer, &b->peer, sizeof a->peer);
    assert_true(address_is_equal(&a->address, &b->address));
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->waiting, b->waiting);
    assert_int_equal(a->pending, b->pending);
    assert_int_equal(a->messages, b->messages);
    assert_int_equal(a->last.us, b->last.us);
    assert_int_equal(a->last_outgoing, b->last_outgoing);
    assert_memory_equal(a->last_text, b->last_text, sizeof a->last_text);
}

static void compare_results(const struct store_result *a, const struct store_result *b) {
    assert_int_equal(a->tag, b->tag);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->error, b->error);
    assert_int_equal(a->existed, b->existed);
    assert_int_equal(a->in_outcome, b->in_outcome);
    compare_records(&a->record, &b->record);
    assert_int_equal(a->length, b->length);
    if (a->length)
        assert_memory_equal(a->bytes, b->bytes, a->length);
    assert_int_equal(a->more, b->more);
    assert_int_equal(a->n_messages, b->n_messages);
    for (size_t i = 0; i < a->n_messages; i++)
        compare_messages(&a->messages[i], &b->messages[i]);
    assert_int_equal(a->next, b->next);
    assert_int_equal(a->n_forgotten, b->n_forgotten);
    assert_int_equal(a->n_records, b->n_records);
    for (size_t i = 0; i < a->n_records && a->kind == STORE_OUT_PENDING; i++)
        compare_records(&a->pending[i], &b->pending[i]);
    for (size_t i = 0; i < a->n_records && a->kind == STORE_HISTORY; i++)
        compare_lines(&a->history[i], &b->history[i]);
    for (size_t i = 0; i < a->n_records && a->kind == STORE_CONVERSATIONS; i++)
        compare_conversations(&a->conversations[i], &b->conversations[i]);
    for (size_t i = 0; i < a->n_records && a->kind == STORE_FILES; i++)
        compare_files(&a->files[i], &b->files[i]);
}

/* The bytes that a path leads to, unless they were taken since. */
static void check_content(struct pair *pair, const struct file_record *file) {
    static uint8_t bytes[BODIES_LEN];
    FILE *in = file->state == FILE_WAITING ? fopen(file->path, "rb") : NULL;
    if (!in)
        return;
    assert_int_equal(fread(bytes, 1, sizeof bytes, in), file->size);
    assert_memory_equal(bytes, pair->bodies + file->id.bytes[5], file->size);
    fclose(in);
    pair->contents++;
}

static void compare_nodes(const struct node_boot *a, const struct node_boot *b) {
    assert_int_equal(a->n_nodes, b->n_nodes);
    for (size_t i = 0; i < a->n_nodes; i++) {
        assert_int_equal(a->nodes[i].length, b->nodes[i].length);
        assert_memory_equal(a->nodes[i].bytes, b->nodes[i].bytes, a->nodes[i].length);
        assert_int_equal(a->nodes[i].pinned, b->nodes[i].pinned);
        assert_true(address_is_equal(&a->nodes[i].pin, &b->nodes[i].pin));
    }
    assert_int_equal(a->n_spares, b->n_spares);
    for (size_t i = 0; i < a->n_spares; i++) {
        assert_true(address_is_equal(&a->spares[i].address, &b->spares[i].address));
        assert_true(node_id_is_equal(&a->spares[i].id, &b->spares[i].id));
        assert_int_equal(a->spares[i].anchor, b->spares[i].anchor);
    }
}

static uint64_t sequence_with(const struct node_boot *boot, const struct node_id *recipient) {
    for (size_t i = 0; i < boot->n_conversations; i++)
        if (node_id_is_equal(&boot->conversations[i].recipient, recipient))
            return boot->conversations[i].sequence;
    return UINT64_MAX;
}

static void compare_secrets(const struct node_boot *a, const struct node_boot *b) {
    assert_int_equal(a->n_rules, b->n_rules);
    for (size_t i = 0; i < a->n_rules; i++) {
        size_t k = 0;
        while (k < b->n_rules && !node_id_is_equal(&a->rules[i].id, &b->rules[k].id))
            k++;
        assert_true(k < b->n_rules);
        assert_int_equal(a->rules[i].rule, b->rules[k].rule);
    }
    assert_int_equal(a->n_mail_keys, b->n_mail_keys);
    for (size_t i = 0; i < a->n_mail_keys; i++) {
        assert_int_equal(a->mail_keys[i].day, b->mail_keys[i].day);
        assert_memory_equal(a->mail_keys[i].secret, b->mail_keys[i].secret, KEY_LEN);
    }
}

static void compare_boots(const struct node_boot *a, const struct node_boot *b) {
    assert_int_equal(a->n_pending, b->n_pending);
    for (size_t i = 0; i < a->n_pending; i++)
        compare_records(&a->pending[i], &b->pending[i]);
    compare_nodes(a, b);
    compare_secrets(a, b);
    assert_int_equal(a->n_conversations, b->n_conversations);
    for (size_t i = 0; i < a->n_conversations; i++)
        assert_int_equal(a->conversations[i].sequence,
                         sequence_with(b, &a->conversations[i].recipient));
    assert_int_equal(a->sequence, b->sequence);
    assert_int_equal(a->inbox_waiting, b->inbox_waiting);
}

/* ---- Running ---- */

static void run_real(struct pair *pair, const struct store_op *ops, size_t n,
                     struct store_result *results) {
    assert_int_equal(store_submit(pair->store, ops, n), 0);
    pthread_mutex_lock(&pair->mutex);
    while (!pair->wakes)
        pthread_cond_wait(&pair->woken, &pair->mutex);
    pair->wakes = 0;
    pthread_mutex_unlock(&pair->mutex);
    assert_int_equal(store_collect(pair->store, results, n), n);
}

static void run_model(struct pair *pair, const struct store_op *ops, size_t n,
                      struct store_result *results) {
    for (size_t i = 0; i < n; i++)
        model_store_apply(pair->model, &ops[i], pair->now);
    struct mono due = model_store_next(pair->model);
    assert_true(due.us > pair->now.us);
    assert_int_equal(model_store_collect(pair->model, (struct mono){due.us - 1}, results, n), 0);
    assert_int_equal(model_store_collect(pair->model, due, results, n), n);
    assert_int_equal(model_store_next(pair->model).us, MONO_NEVER.us);
    pair->now = due;
}

static void count(struct pair *pair, const struct store_result *result) {
    pair->seen[result->kind] += result->error == 0;
    pair->completed += result->in_outcome == STORE_IN_COMPLETE;
    pair->duplicates += result->in_outcome == STORE_IN_DUPLICATE;
    pair->refused += result->error == -EDQUOT;
    for (size_t i = 0; i < result->n_messages; i++)
        pair->late += result->messages[i].place % (1 << 20) != 0;
    if (result->kind == STORE_HISTORY) {
        pair->lines += (unsigned)result->n_records;
        pair->history_next = result->error ? 0 : result->next;
    } else if (result->kind == STORE_CONVERSATIONS) {
        pair->peers += (unsigned)result->n_records;
        pair->conversations_next = result->more ? result->next : 0;
    } else if (result->kind == STORE_FILES) {
        for (size_t i = 0; i < result->n_records; i++)
            check_content(pair, &result->files[i]);
        pair->files_next = result->more ? result->next : 0;
    }
}

static void count_file(struct pair *pair, const struct store_op *op,
                       const struct store_result *result) {
    if (op->kind != STORE_IN_PUT || op->in_put.kind != KIND_FILE)
        return;
    pair->whole_files += result->in_outcome == STORE_IN_COMPLETE;
    pair->file_duplicates += result->in_outcome == STORE_IN_DUPLICATE;
    pair->bad_files += result->error == -EBADMSG;
    pair->file_refused += result->error == -EDQUOT;
}

static void compare_batch(struct pair *pair, const struct store_op *ops,
                          const struct store_result *real, size_t n) {
    struct store_result modelled[BATCH_MAX];
    run_model(pair, ops, n, modelled);
    bool gave_way = false; /* behind this one: SQLite's tells what is unfinished at the end */
    for (size_t i = n; i-- > 0;) {
        if (real[i].tells_unfinished && !gave_way) {
            assert_true(modelled[i].tells_unfinished);
            assert_int_equal(real[i].unfinished, modelled[i].unfinished);
        }
        gave_way |= ops[i].kind != STORE_IN_PUT || ops[i].in_put.length == ops[i].in_put.total;
    }
    for (size_t i = 0; i < n; i++) {
        compare_results(&real[i], &modelled[i]);
        count(pair, &real[i]);
        count_file(pair, &ops[i], &real[i]);
    }
}

/* A batch on both. If the disk was full for the one, each operation is a transaction of its own,
 * and those that found no room find none with the other. */
static void run_batch(struct pair *pair, bool is_full) {
    struct store_op ops[BATCH_MAX];
    struct store_result real[BATCH_MAX];
    size_t n = 1 + below(pair, BATCH_MAX);
    bool failed = false;
    pair->is_full = is_full;
    for (size_t i = 0; i < n; i++)
        ops[i] = draw_op(pair, i);
    store_limit_pages(pair->store, is_full ? 1 : 0);
    run_real(pair, ops, n, real);
    for (size_t i = 0; i < n; i++)
        failed = failed || real[i].error == -ENOSPC;
    assert_true(is_full || !failed);
    pair->failed += failed;
    for (size_t i = 0; failed && i < n; i++) {
        if (real[i].error == -ENOSPC)
            model_store_fail(pair->model, 0, 1, -ENOSPC);
        compare_batch(pair, &ops[i], &real[i], 1);
    }
    if (!failed)
        compare_batch(pair, ops, real, n);
    store_release(pair->store);
}

static void restart(struct pair *pair) {
    struct node_boot real, modelled;
    store_stop(pair->store);
    open_store(pair);
    assert_int_equal(store_load(pair->store, &real), 0);
    model_store_crash(pair->model);
    model_store_boot(pair->model, &modelled);
    compare_boots(&real, &modelled);
    store_load_free(pair->store);
    assert_int_equal(store_start(pair->store, wake, pair), 0);
}

static void model_tells_what_sqlite_tells(void **state) {
    struct pair *pair = *state;
    for (pair->round = 0; pair->round < 1500; pair->round++) {
        pair->wall.us += below(pair, 120) * US_PER_MINUTE;
        if (below(pair, 100) == 0)
            pair->wall.us += 8 * 24 * US_PER_HOUR;
        run_batch(pair, below(pair, 4) == 0);
        if (below(pair, 25) == 0)
            restart(pair);
    }
    restart(pair);
    /* It would prove nothing if these had not happened. */
    for (size_t kind = 0; kind <= STORE_SWEEP; kind++)
        assert_true(pair->seen[kind] > 20);
    assert_true(pair->failed > 20);
    assert_true(pair->completed > 100);
    assert_true(pair->duplicates > 100);
    assert_true(pair->refused > 100);
    assert_true(pair->late > 100);
    assert_true(pair->lines > 100);
    assert_true(pair->peers > 100);
    assert_true(pair->whole_files > 100);
    assert_true(pair->bad_files > 20);
    assert_true(pair->file_duplicates > 20);
    assert_true(pair->file_refused > 20);
    assert_true(pair->contents > 100);
}

/* ---- The model alone ---- */

static struct store_op sequence_op(uint64_t sequence) {
    return (struct store_op){
        .kind = STORE_SEQUENCE, .tag = sequence, .sequence = {.sequence = sequence}};
}

static uint64_t booted_sequence(struct pair *pair) {
    struct node_boot boot;
    model_store_boot(pair->model, &boot);
    return boot.sequence;
}

static void model_commits_in_groups(void **state) {
    struct pair *pair = *state;
    struct store_result results[4];
    struct store_op ops[] = {sequence_op(1), sequence_op(2), sequence_op(3)};
    model_store_apply(pair->model, &ops[0], (struct mono){10});
    model_store_apply(pair->model, &ops[1], (struct mono){10});
    model_store_apply(pair->model, &ops[2], (struct mono){11});
    struct mono first = model_store_next(pair->model);
    assert_true(first.us >= 110 && first.us <= 50010);
    assert_int_equal(model_store_collect(pair->model, first, results, 1), 1);
    assert_int_equal(results[0].tag, 1);
    assert_int_equal(model_store_next(pair->model).us, 0);
    assert_int_equal(model_store_collect(pair->model, first, results, 4), 1);
    assert_int_equal(results[0].tag, 2);
    struct mono second = model_store_next(pair->model);
    assert_true(second.us > first.us);
    assert_int_equal(model_store_collect(pair->model, second, results, 4), 1);
    assert_int_equal(results[0].tag, 3);
}

static void model_fails_on_demand(void **state) {
    struct pair *pair = *state;
    struct store_result result;
    int expected[] = {0, -EIO, -EIO, 0};
    model_store_fail(pair->model, 1, 2, -EIO);
    for (uint64_t i = 0; i < 4; i++) {
        struct store_op op = sequence_op(i + 1);
        run_model(pair, &op, 1, &result);
        assert_int_equal(result.error, expected[i]);
        assert_int_equal(booted_sequence(pair), expected[i] ? 1 : i + 1);
    }
}

static void model_crash_forgets_or_keeps(void **state) {
    struct pair *pair = *state;
    unsigned kept = 0;
    for (uint64_t i = 1; i <= 40; i++) {
        struct store_op op = sequence_op(2 * i), later = sequence_op(2 * i + 1);
        uint64_t before = booted_sequence(pair);
        model_store_apply(pair->model, &op, (struct mono){(int64_t)i});
        model_store_apply(pair->model, &later, (struct mono){(int64_t)i + 1});
        model_store_crash(pair->model);
        uint64_t after = booted_sequence(pair);
        assert_true(after == before || after == 2 * i);
        kept += after == 2 * i;
        assert_int_equal(model_store_next(pair->model).us, MONO_NEVER.us);
    }
    assert_true(kept > 5 && kept < 35);
}

static void count_bodies(void *context, enum message_kind kind, const struct in_record *message) {
    unsigned *counts = context;
    assert_int_equal(kind, KIND_MESSAGE);
    counts[message->body ? 0 : 1]++;
}

static void model_shows_what_was_delivered(void **state) {
    struct pair *pair = *state;
    struct store_result result;
    unsigned counts[2] = {0};
    int64_t row = 1;
    struct store_op put = {.kind = STORE_IN_PUT};
    put.in_put.tombstone_until.us = US_PER_HOUR;
    run_model(pair, &put, 1, &result);
    put.in_put.id.bytes[0] = 1;
    run_model(pair, &put, 1, &result);
    struct store_op take = {.kind = STORE_IN_TAKE, .in_take = {&row, 1, {0}, true}};
    run_model(pair, &take, 1, &result);
    model_store_visit(pair->model, count_bodies, counts);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 1);
    assert_int_equal(model_store_count(pair->model), 2);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(model_tells_what_sqlite_tells, setup, teardown),
        cmocka_unit_test_setup_teardown(model_commits_in_groups, setup, teardown),
        cmocka_unit_test_setup_teardown(model_fails_on_demand, setup, teardown),
        cmocka_unit_test_setup_teardown(model_crash_forgets_or_keeps, setup, teardown),
        cmocka_unit_test_setup_teardown(model_shows_what_was_delivered, setup, teardown),
    };
    if (!test_begin(argc, argv))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
