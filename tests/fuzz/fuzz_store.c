/* link: daemon/io/store/store daemon/io/store/store_sql daemon/io/store/store_schema daemon/io/store/store_message daemon/io/store/store_part daemon/io/store/store_refused daemon/io/store/store_waiting daemon/io/store/store_history daemon/io/store/store_sweep daemon/io/store/store_copy daemon/io/store/store_disk daemon/io/store/disk daemon/io/store/store_file daemon/io/store/store_file_in daemon/io/store/store_file_out daemon/io/store/store_file_list daemon/io/store/store_file_room shared/file_name daemon/io/store/spool shared/text libp2pd-core.a shared/address */
/* A messages.db that is not as we left it: opened and loaded, or refused in words; whatever was
 * loaded, a node starts from. The first byte says what was done to a good one: 0, bytes of the file
 * were changed (page 1, offset 2, length 1, bytes); 1, values (which column 1, type 1, value 8 or
 * bytes); 2, the input is the file. */
#include "daemon/core/base/wirebuf.h"
#include "daemon/core/node/node.h"
#include "daemon/io/store/store_file.h"
#include "tests/fuzz/replay.h"

#include <dirent.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHANGES_MAX 16
#define READ_MAX 65536u
#define COLUMNS_MAX 128
#define NOW_US (INT64_C(1800000000) * US_PER_S)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

unsigned replay_variants_max(void) {
    return 20; /* a database is written, opened and checked */
}

struct file {
    char folder[64], path[96];
    uint8_t *bytes; /* the good one */
    size_t size;
    char columns[COLUMNS_MAX][128]; /* how to change each column of each table */
    size_t n_columns;
};

static void check(bool holds) {
    if (!holds)
        abort();
}

static void fill(void *context, void *buffer, size_t length) {
    uint8_t *next = context;
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)buffer)[i] = (uint8_t)(++*next * 167);
}

/* ---- The good one ---- */

static void wake(void *context) {
    (void)context;
}

static struct store_op out_op(uint8_t number, uint32_t size, const uint8_t *body) {
    struct store_op op = {.kind = STORE_OUT_PUT, .out_put = {.body = body}};
    op.out_put.record = (struct out_record){.id = {{number}},
                                            .recipient = {{number, 7}},
                                            .sequence = number,
                                            .created = {NOW_US},
                                            .expires = {NOW_US + US_PER_HOUR},
                                            .size = size};
    return op;
}

static struct store_op in_op(uint8_t number, uint32_t total, uint32_t length, const uint8_t *body) {
    struct store_op op = {.kind = STORE_IN_PUT};
    op.in_put.sender.bytes[0] = number;
    op.in_put.id.bytes[0] = number;
    op.in_put.sender_name[0] = 'n';
    op.in_put.sequence = number;
    op.in_put.received.us = op.in_put.sent.us = NOW_US;
    op.in_put.tombstone_until.us = NOW_US + US_PER_HOUR;
    op.in_put.total = total;
    op.in_put.length = length;
    op.in_put.bytes = body;
    return op;
}

static struct store_op file_op(uint8_t number, uint32_t total, uint32_t length, const uint8_t *body,
                               struct file_head *ret_head) {
    struct store_op op = in_op(number, total, length, body);
    op.in_put.kind = KIND_FILE;
    crypto_hash_sha256(ret_head->digest, body, total);
    op.in_put.file = ret_head;
    return op;
}

/* A file of ours, from its upload on. */
static struct store_op out_file_op(const char *folder, const struct file_head *head) {
    struct store_op op = out_op(4, 3, NULL);
    struct spool spool;
    int fd;
    op.out_put.record.kind = KIND_FILE;
    op.out_put.record.file = head;
    check(spool_init(&spool, folder) == 0);
    check(spool_create(&spool, op.out_put.spool, &fd) == 0 && write(fd, "abc", 3) == 3);
    close(fd);
    spool_deinit(&spool);
    return op;
}

static void fill_store(struct store *store, const char *folder) {
    struct file_head whole = {.name = "whole"}, part = {.name = "part"}, ours = {.name = "ours"};
    static uint8_t body[5000];
    static const struct spare spares[2] = {{.anchor = true, .id = {{1}}}, {.id = {{2}}}};
    static const int64_t row = 1;
    static const struct readdress_item moved = {{{2}}, 9};
    static const uint8_t secret[32] = {1};
    const struct store_op ops[] = {
        out_op(1, 5, body),
        out_op(2, sizeof body, body),
        out_op(3, 0, body),
        {.kind = STORE_OUT_STATE,
         .out_state = {{{3}}, MESSAGE_FAILED, "why", {NOW_US - US_PER_S}, false}},
        in_op(1, 5, 5, body),
        in_op(2, sizeof body, sizeof body, body),
        in_op(3, 5, 5, body),
        in_op(4, sizeof body, 100, body),
        {.kind = STORE_IN_TAKE, .in_take = {&row, 1, {NOW_US}, false}},
        {.kind = STORE_NODE_PUT, .node_put = {{{1}}, body, 100, true, {.port = 1}}},
        {.kind = STORE_NODE_PUT, .node_put = {{{2}}, body, 0, false, {.port = 0}}},
        {.kind = STORE_SPARES_PUT, .spares_put = {spares, 2}},
        {.kind = STORE_SEQUENCE, .sequence = {77}},
        {.kind = STORE_OUT_PROGRESS, .out_progress = {{{2}}, 1000}},
        {.kind = STORE_OUT_READDRESS, .readdress = {{{3}}, &moved, 1}},
        {.kind = STORE_RULE_PUT, .rule_put = {{{1}}, RULE_BLOCK}},
        {.kind = STORE_MAIL_KEY, .mail_key = {20833, secret, 0}},
        file_op(5, 5, 5, body, &whole),
        file_op(6, sizeof body, 100, body, &part),
        out_file_op(folder, &ours),
    };
    check(store_submit(store, ops, sizeof ops / sizeof ops[0]) == 0);
    check(store_start(store, wake, NULL) == 0);
    store_stop(store); /* what it borrows is ours */
}

static uint8_t *read_whole(const char *path, size_t *ret_size) {
    struct stat status;
    FILE *in = fopen(path, "rb");
    check(in && fstat(fileno(in), &status) == 0);
    uint8_t *bytes = malloc((size_t)status.st_size);
    check(bytes && fread(bytes, 1, (size_t)status.st_size, in) == (size_t)status.st_size);
    fclose(in);
    *ret_size = (size_t)status.st_size;
    return bytes;
}

static void remove_beside(const struct file *file) {
    char log[128];
    snprintf(log, sizeof log, "%s-wal", file->path);
    unlink(log);
    snprintf(log, sizeof log, "%s-journal", file->path);
    unlink(log);
    snprintf(log, sizeof log, "%s-reserve", file->path);
    unlink(log);
}

static void list_columns(struct file *file) {
    sqlite3 *sqlite;
    sqlite3_stmt *statement;
    check(sqlite3_open(file->path, &sqlite) == SQLITE_OK);
    check(sqlite3_prepare_v2(sqlite,
                             "SELECT printf('UPDATE OR IGNORE %s SET %s = ?1', t.name, c.name)"
                             " FROM sqlite_schema t, pragma_table_info(t.name) c"
                             " WHERE t.type = 'table' ORDER BY t.rowid, c.cid",
                             -1, &statement, NULL) == SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW && file->n_columns < COLUMNS_MAX)
        snprintf(file->columns[file->n_columns++], sizeof file->columns[0], "%s",
                 (const char *)sqlite3_column_text(statement, 0));
    check(file->n_columns > 0);
    sqlite3_finalize(statement);
    sqlite3_close(sqlite);
}

static void remove_folder(const struct file *file, const char *name) {
    char path[sizeof file->folder + 8];
    snprintf(path, sizeof path, "%s/%s", file->folder, name);
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder && (entry = readdir(folder));)
        unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
    rmdir(path);
}

/* Between inputs nothing stays behind: a fuzzer ends as it likes. */
static void clean_up(const struct file *file) {
    unlink(file->path);
    remove_beside(file);
    remove_folder(file, "spool");
    remove_folder(file, "files");
    rmdir(file->folder);
}

static int open_at(struct store **ret_store, const char *folder, const char *path,
                   char error[FAILURE_MAX]) {
    char files[80];
    snprintf(files, sizeof files, "%s/files", folder);
    struct store_config config = {path, folder, files, NULL};
    return store_open(ret_store, &config, error);
}

static struct file *the_file(void) {
    static struct file file;
    char error[FAILURE_MAX];
    struct store *store;

    if (file.bytes)
        return &file;
    snprintf(file.folder, sizeof file.folder, "%s/p2pd-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm"
                                           : "/tmp"); /* in memory, where that can be */
    check(sodium_init() >= 0 && mkdtemp(file.folder));
    snprintf(file.path, sizeof file.path, "%s/messages.db", file.folder);
    check(open_at(&store, file.folder, file.path, error) == 0);
    fill_store(store, file.folder);
    file.bytes = read_whole(file.path, &file.size);
    list_columns(&file);
    clean_up(&file);
    return &file;
}

static void write_whole(const struct file *file, const uint8_t *bytes, size_t size) {
    check(mkdir(file->folder, 0700) == 0);
    FILE *out = fopen(file->path, "wb");
    check(out && fwrite(bytes, 1, size, out) == size && fclose(out) == 0);
}

/* ---- What is done to it ---- */

static void change_bytes(const struct file *file, struct wire_reader *r) {
    uint8_t *bytes = malloc(file->size);
    check(bytes != NULL);
    memcpy(bytes, file->bytes, file->size);
    for (int i = 0; i < CHANGES_MAX && wire_left(r) >= 5; i++) {
        size_t at = (size_t)wire_get_uint(r, 1) * 4096 + (size_t)wire_get_uint(r, 2) % 4096;
        size_t length = (size_t)wire_get_uint(r, 1);
        length = length > wire_left(r) ? wire_left(r) : length;
        const uint8_t *change = wire_take(r, length);
        at %= file->size;
        memcpy(bytes + at, change, length < file->size - at ? length : file->size - at);
    }
    write_whole(file, bytes, file->size);
    free(bytes);
}

/* A change that SQLite's own rules refuse changes nothing. */
static void change_value(const struct file *file, sqlite3 *sqlite, struct wire_reader *r) {
    sqlite3_stmt *statement;
    size_t which = (size_t)wire_get_uint(r, 1) % file->n_columns;
    unsigned type = (unsigned)wire_get_uint(r, 1);
    size_t length = type >> 2;

    check(sqlite3_prepare_v2(sqlite, file->columns[which], -1, &statement, NULL) == SQLITE_OK);
    if (type % 4 == 0) {
        sqlite3_bind_int64(statement, 1, (int64_t)wire_get_uint(r, 8));
    } else if (type % 4 < 3) {
        length = length > wire_left(r) ? wire_left(r) : length;
        const char *bytes = (const char *)wire_take(r, length);
        if (type % 4 == 1)
            sqlite3_bind_blob(statement, 1, length ? bytes : "", (int)length, SQLITE_STATIC);
        else
            sqlite3_bind_text(statement, 1, length ? bytes : "", (int)length, SQLITE_STATIC);
    }
    sqlite3_step(statement);
    sqlite3_finalize(statement);
}

static void change_values(const struct file *file, struct wire_reader *r) {
    sqlite3 *sqlite;
    write_whole(file, file->bytes, file->size);
    check(sqlite3_open(file->path, &sqlite) == SQLITE_OK);
    check(sqlite3_exec(sqlite, "PRAGMA locking_mode = EXCLUSIVE; BEGIN", NULL, NULL, NULL) ==
          SQLITE_OK);
    for (int i = 0; i < CHANGES_MAX && wire_left(r) >= 2; i++)
        change_value(file, sqlite, r);
    check(sqlite3_exec(sqlite, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    check(sqlite3_close(sqlite) == SQLITE_OK);
}

/* ---- What becomes of it ---- */

#define IDLE_STEPS_MAX 64

static void start_node(const struct node_boot *boot) {
    struct node_config config;
    struct node_update update;
    struct node_event event = {.now = {{US_PER_S}, {NOW_US}}, .kind = EVENT_TIMER};
    uint8_t next = 1;

    node_config_init(&config);
    config.node_seed[0] = config.link_secret[0] = 1;
    config.droplist_entries = 1024;
    config.random = (struct core_random){fill, &next};
    struct node *node = node_new(&config, boot, event.now);
    check(node != NULL);
    for (int i = 0; i < 3; i++) {
        unsigned steps = 0; /* what it does in idle time it does at once, but not for ever */
        do
            node_step(node, &event, &update);
        while (update.wake.us <= event.now.mono.us && ++steps < IDLE_STEPS_MAX);
        check(update.wake.us > event.now.mono.us);
        event.now.mono.us += US_PER_S;
        event.now.wall.us += US_PER_S;
    }
    node_free(node);
}

static void use_waiting(struct store_db *db, struct store_arena *arena) {
    struct store_op op = {.kind = STORE_IN_FETCH,
                          .in_fetch = {.limit = 10, .bytes = 1u << 20, .any_sender = true}};
    struct store_result result = {.tag = 0};

    store_in_fetch(db, &op, &result, arena);
    for (size_t i = 0; !db->error && i < result.n_messages; i++)
        check(memchr(result.messages[i].sender_name, 0, NODE_NAME_MAX + 1) != NULL);
    db->error = 0;
    op = in_op(4, 5000, 100, (const uint8_t[100]){0});
    op.in_put.quota_sender = op.in_put.quota_all = 1u << 20;
    store_in_put(db, &op, &result);
    store_usage_flush(db);
    db->error = 0;
    op = in_op(2, 5, 5, (const uint8_t[5]){0}); /* before what waits from there */
    op.in_put.id.bytes[1] = 1;
    op.in_put.sequence = 1;
    store_in_put(db, &op, &result);
    db->error = 0;
    op = (struct store_op){.kind = STORE_IN_TAKE,
                           .in_take = {(const int64_t[]){1, 2, 3}, 3, {NOW_US}, false}};
    store_in_take(db, &op);
    store_usage_flush(db);
    db->error = 0;
}

static void use_sent(struct store_db *db, struct store_arena *arena) {
    struct store_result result = {.tag = 0};
    for (uint8_t number = 1; number <= 4; number++) {
        struct store_op op = {.kind = STORE_OUT_READ, .out_read = {{{number}}, 0, 0}};
        if (store_out_find(db, &op, &result, arena) == 0 && !db->error) {
            check(memchr(result.record.reason, 0, MESSAGE_REASON_MAX) != NULL);
            check(result.record.progress <= result.record.size);
            op.out_read.length =
                result.record.size < READ_MAX ? (uint32_t)result.record.size : READ_MAX;
            store_out_read(db, &op, &result, arena);
        }
        db->error = 0;
    }
}

static void use_histories(struct store_db *db, struct store_arena *arena) {
    struct store_op op = {.kind = STORE_CONVERSATIONS, .conversations = {.limit = 10}};
    struct store_result result = {.tag = 0};

    store_conversations(db, &op, &result, arena);
    for (size_t i = 0; !db->error && i < result.n_records; i++)
        check(memchr(result.conversations[i].last_text, 0,
                     sizeof result.conversations[i].last_text) != NULL);
    for (uint8_t number = 0; number <= 4; number++) {
        op = (struct store_op){.kind = STORE_HISTORY,
                               .history = {.peer = {{number}}, .limit = 1, .bytes = 1u << 20}};
        if (number == 0) /* whom we write to */
            op.history.peer = (struct node_id){{1, 7}};
        for (int page = 0; page < 3; page++) {
            db->error = 0;
            result = (struct store_result){.tag = 0};
            check(store_history(db, &op, &result, arena) == 0 && result.next >= 0);
            op.history.after = result.next;
        }
        db->error = 0;
        op = (struct store_op){.kind = STORE_FORGET, .forget = {op.history.peer}};
        store_forget(db, &op, &result);
    }
    db->error = 0;
}

static bool is_text(const char *text, size_t room) {
    return memchr(text, 0, room) != NULL;
}

/* Without the folders: what a path from a damaged database leads to is not to be touched. */
static void use_files(struct store_db *db, struct store_arena *arena) {
    struct store_op op = {.kind = STORE_FILES, .files = {.limit = 2}};
    for (int page = 0; page < 3; page++) {
        struct store_result result = {.tag = 0};
        store_file_list(db, &op, &result, arena);
        for (size_t i = 0; !db->error && i < result.n_records; i++) {
            const struct file_record *file = &result.files[i];
            check(is_text(file->head.name, sizeof file->head.name));
            check(is_text(file->path, sizeof file->path));
            check(is_text(file->peer_name, sizeof file->peer_name));
        }
        db->error = 0;
        op.files.after = result.next;
        op.files.one = page == 1;
        op.files.id.bytes[0] = 5;
    }
}

/* Results are answers or errors; the disk's part of them is in db->error, and costs the
 * transaction alone. */
static void use(struct store_db *db) {
    struct store_arena arena = {NULL, false};

    sqlite3_exec(db->sqlite, "BEGIN", NULL, NULL, NULL); /* never committed: that is slow */
    use_sent(db, &arena);
    use_files(db, &arena);
    use_waiting(db, &arena);
    use_histories(db, &arena);
    db->sweep.now.us = INT64_MAX / 2;
    for (int slice = 0; slice < 4; slice++)
        store_sweep(db);
    store_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct file *file = the_file();
    struct wire_reader r = wire_reader(data, size);
    struct store_db db;
    struct store_arena arena = {NULL, true};
    struct node_boot boot;
    char error[FAILURE_MAX] = "";
    unsigned what = (unsigned)wire_get_uint(&r, 1) % 3;

    if (what == 0)
        change_bytes(file, &r);
    else if (what == 1)
        change_values(file, &r);
    else
        write_whole(file, r.at, wire_left(&r));
    if (store_db_open(&db, file->path, error) != 0) {
        check(error[0] != '\0');
    } else {
        store_disk_open(&db, &(struct store_config){.path = file->path});
        if (store_db_load(&db, &arena, &boot) == 0) {
            start_node(&boot);
            use(&db);
        }
        store_arena_free(&arena);
        store_db_close(&db);
    }
    clean_up(file);
    return 0;
}
