/* Which files there are, how they are taken, and how they are forgotten.
 *
 * Threat: somebody puts a link in the place of the folder, and a sender chose the file's name. So
 * only files below the folder that the path named when the file came are removed. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_PATH */
#endif
#include "daemon/io/store/store_file.h"
#include "shared/portable.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* A cursor below this is a row of a received file. Files that we send come after those, at
 * CURSOR_OUT plus their row. */
#define CURSOR_OUT (INT64_C(1) << 62)
/* One sweep looks for this many files on the disk. A sweep comes every few minutes at most. */
#define SWEEP_LOOKS 1024

/* How many rows it changed. */
static int run_on_row(struct store_db *db, enum store_statement which, int64_t row) {
    struct query query = query_begin(db, which);
    query_int(&query, row);
    return query_run(&query);
}

/* Delete the entry that an index has named. If there is none the index is damaged, and whoever
 * searches it for the next one would find the same again for ever. */
static bool delete_found(struct store_db *db, int64_t row) {
    if (run_on_row(db, SQL_FILE_DELETE, row) == 0 && !db->error)
        db->error = -EUCLEAN;
    return !db->error;
}

static void mark_taken(struct store_db *db, int64_t row, int64_t now) {
    static const enum store_statement both[] = {SQL_FILE_TAKE, SQL_FILE_ENTER_TAKEN};
    for (int i = 0; i < 2; i++) {
        struct query query = query_begin(db, both[i]);
        query_int(&query, row);
        query_int(&query, now);
        query_run(&query);
    }
}

/* Has the user moved the file away? If the folder cannot be read, that is not known: its files may
 * come back. */
static bool is_missing(const char *path) {
    struct stat status;
    return lstat(path, &status) < 0 && errno == ENOENT;
}

/* ---- Listing ---- */

struct listing {
    struct file_record *records;
    size_t n;
    int64_t next;
    struct store_arena *arena;
};

static void read_in(struct query *query, struct file_record *ret_record, int64_t *ret_row) {
    *ret_record = (struct file_record){0};
    *ret_row = query_get_int(query);
    ret_record->state = query_get_int(query) == FILE_IN_WAITING ? FILE_WAITING : FILE_INCOMING;
    query_get_exact(query, ret_record->id.bytes, MESSAGE_ID_LEN);
    query_get_exact(query, ret_record->peer.bytes, NODE_ID_LEN);
    query_get_address(query, &ret_record->peer_address);
    query_get_text(query, ret_record->peer_name, sizeof ret_record->peer_name);
    query_get_exact(query, ret_record->head.digest, FILE_DIGEST_LEN);
    query_get_text(query, ret_record->head.name, sizeof ret_record->head.name);
    query_get_text(query, ret_record->path, sizeof ret_record->path);
    ret_record->size = (uint64_t)query_get_int(query);
    ret_record->held = (uint64_t)query_get_int(query);
    ret_record->sent.us = query_get_int(query);
    ret_record->received.us = query_get_int(query);
    /* Incoming: path and time are still those of the part. */
    if (ret_record->state == FILE_INCOMING) {
        ret_record->path[0] = '\0';
        ret_record->received.us = 0;
    }
}

static void read_out(struct query *query, struct file_record *ret_record, int64_t *ret_row) {
    *ret_record = (struct file_record){.state = FILE_OUTGOING};
    *ret_row = CURSOR_OUT + query_get_int(query);
    query_get_exact(query, ret_record->id.bytes, MESSAGE_ID_LEN);
    query_get_exact(query, ret_record->peer.bytes, NODE_ID_LEN);
    query_get_exact(query, ret_record->head.digest, FILE_DIGEST_LEN);
    query_get_text(query, ret_record->head.name, sizeof ret_record->head.name);
    ret_record->size = (uint64_t)query_get_int(query);
    ret_record->held = (uint64_t)query_get_int(query);
    ret_record->sent.us = query_get_int(query);
    ret_record->message_state = (enum message_state)query_get_int(query);
}

/* Append records, until the listing has `limit` of them. True: there are more. */
static bool list(struct query *query, struct listing *listing, uint32_t limit,
                 void (*read)(struct query *query, struct file_record *ret_record,
                              int64_t *ret_row)) {
    bool more = false;
    while (!more && query_row(query)) {
        struct file_record record;
        int64_t row;
        read(query, &record, &row);
        if (record.state == FILE_WAITING && is_missing(record.path))
            continue; /* the next sweep forgets it */
        more = listing->n == limit;
        if (more)
            break;
        struct file_record *larger = store_arena_grow(listing->arena, listing->records, listing->n,
                                                      sizeof *listing->records);
        if (!larger) {
            query->db->error = -ENOMEM;
            break;
        }
        listing->records = larger;
        listing->records[listing->n++] = record;
        listing->next = row;
    }
    query_end(query);
    return more;
}

static bool list_id(struct store_db *db, const struct message_id *id, struct listing *listing) {
    struct query query = query_begin(db, SQL_FILE_OF_ID);
    query_blob(&query, id->bytes, MESSAGE_ID_LEN);
    bool more = list(&query, listing, UINT32_MAX, read_in);
    query = query_begin(db, SQL_FILE_OUT_OF_ID);
    query_blob(&query, id->bytes, MESSAGE_ID_LEN);
    return list(&query, listing, UINT32_MAX, read_out) || more;
}

static bool list_page(struct store_db *db, int64_t after, uint32_t limit, struct listing *listing) {
    if (after < CURSOR_OUT) {
        struct query query = query_begin(db, SQL_FILE_LIST);
        query_int(&query, after);
        if (list(&query, listing, limit, read_in))
            return true;
    }
    struct query query = query_begin(db, SQL_FILE_OUT_LIST);
    query_int(&query, after < CURSOR_OUT ? 0 : after - CURSOR_OUT);
    return list(&query, listing, limit, read_out);
}

int store_file_list(struct store_db *db, const struct store_op *op, struct store_result *result,
                    struct store_arena *arena) {
    struct listing listing = {.next = op->files.after, .arena = arena};
    result->more = op->files.one ? list_id(db, &op->files.id, &listing)
                                 : list_page(db, op->files.after, op->files.limit, &listing);
    result->files = listing.records;
    result->n_records = listing.n;
    result->next = listing.next;
    return 0;
}

/* ---- Taking and forgetting ---- */

static int remove_file(const char *path) {
    const char *name = NULL;
    int folder = portable_open_parent(path, &name);
    if (folder < 0)
        return folder == -ENOENT || folder == -ENOTDIR ? 0 : folder;
    int r = unlinkat(folder, name, 0) < 0 && errno != ENOENT ? -errno : 0;
    close(folder);
    return r;
}

/* The file is deleted before the commit: a crash in between leaves an entry without a file, which
 * is noticed. The other way round it would leave a file without an entry. The client has its copy
 * by now. */
int store_file_take(struct store_db *db, const struct store_op *op) {
    char path[FILE_PATH_MAX];
    struct query query = query_begin(db, SQL_FILE_WAITING);
    query_blob(&query, op->file_take.sender.bytes, NODE_ID_LEN);
    query_blob(&query, op->file_take.id.bytes, MESSAGE_ID_LEN);
    bool found = query_row(&query);
    int64_t row = found ? query_get_int(&query) : 0;
    if (found)
        query_get_text(&query, path, sizeof path);
    query_end(&query);
    if (!found)
        return -ENOENT;
    int r = remove_file(path);
    if (r < 0)
        return r;
    mark_taken(db, row, op->file_take.now.us);
    return 0;
}

/* ---- Sweep ---- */

static bool find_over(struct store_db *db, enum store_statement which, int64_t before,
                      int64_t *ret_row) {
    struct query query = query_begin(db, which);
    query_int(&query, before);
    bool found = query_row(&query);
    if (found)
        *ret_row = query_get_int(&query);
    query_end(&query);
    return found;
}

/* The part is deleted after the commit. If the transaction is rolled back, its row needs the part:
 * without it an honest sender would be told that the file is damaged. */
bool store_file_drop_part(struct store_db *db, int64_t row, const char *path, uint64_t held,
                          int *budget) {
    run_on_row(db, SQL_SPAN_CLEAR, row);
    if (!delete_found(db, row))
        return false;
    if (db->files) {
        store_files_drop_row(db->files, row);
        store_files_note(db->files, DEED_DROP_PART, NULL, path);
        db->files->freed += held;
    }
    *budget -= 8; /* a file's deletion is more work than a row's */
    return true;
}

bool store_file_sweep_taken(struct store_db *db, int64_t before, int *budget) {
    int64_t row;
    if (!find_over(db, SQL_FILE_TAKEN_OVER, before, &row))
        return false;
    *budget -= 1;
    return delete_found(db, row);
}

void store_file_sweep_missing(struct store_db *db) {
    int64_t rows[SWEEP_LOOKS], *after = db->files ? &db->files->looked : NULL;
    size_t n = 0, looks = 0;
    if (!after)
        return;
    struct query query = query_begin(db, SQL_FILE_WAITING_PAGE);
    query_int(&query, *after);
    query_int(&query, SWEEP_LOOKS);
    for (; query_row(&query); looks++) {
        char path[FILE_PATH_MAX];
        *after = query_get_int(&query);
        query_get_text(&query, path, sizeof path);
        if (is_missing(path))
            rows[n++] = *after;
    }
    query_end(&query);
    if (looks < SWEEP_LOOKS)
        *after = 0;
    for (size_t i = 0; i < n; i++)
        mark_taken(db, rows[i], db->sweep.now.us);
}
