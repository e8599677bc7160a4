/* Files that we send: the row is a message's, the bytes are in the spool under its id.
 *
 * Threat: a client that changes or cuts its file after it said that the file is complete. The
 * file's size is checked before every read; other changes are found by the recipient, which
 * compares the digest. */
#include "daemon/io/store/store_file.h"
#include "shared/file_name.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(FILE_NAME_MAX == FILE_NAME_SAFE_MAX, "what is made safe fits a file's head");

static bool find_head(struct store_db *db, const struct node_id *sender,
                      const struct message_id *id, struct file_head *ret_head) {
    struct query query = query_begin(db, sender ? SQL_FILE_HEAD : SQL_FILE_OUT_FIND);
    if (sender)
        query_blob(&query, sender->bytes, NODE_ID_LEN);
    query_blob(&query, id->bytes, MESSAGE_ID_LEN);
    bool found = query_row(&query);
    if (found) {
        query_get_exact(&query, ret_head->digest, FILE_DIGEST_LEN);
        query_get_text(&query, ret_head->name, sizeof ret_head->name);
    }
    query_end(&query);
    return found && !db->error;
}

bool store_file_out_is(struct store_db *db, const struct message_id *id) {
    struct file_head ignored;
    return find_head(db, NULL, id, &ignored);
}

const struct file_head *store_file_head(struct store_db *db, struct store_arena *arena,
                                        const struct node_id *sender, const struct message_id *id) {
    struct file_head head = {0};
    if (!find_head(db, sender, id, &head))
        return NULL;
    struct file_head *copy = store_arena_alloc(arena, sizeof *copy);
    if (copy)
        *copy = head;
    else
        db->error = -ENOMEM;
    return copy;
}

static int accept_again(struct store_db *db, const struct store_op *op, struct out_record *known,
                        struct store_result *result) {
    const struct out_record *record = &op->out_put.record;
    struct file_head head;
    if (!find_head(db, NULL, &record->id, &head) || known->size != record->size ||
        !node_id_is_equal(&known->recipient, &record->recipient) ||
        memcmp(head.digest, record->file->digest, FILE_DIGEST_LEN) != 0)
        return -EEXIST;
    store_files_note(db->files, DEED_DROP_UPLOAD, NULL, op->out_put.spool);
    known->file = record->file;
    result->existed = true;
    result->record = *known;
    return 0;
}

static void insert_head(struct store_db *db, const struct out_record *record) {
    char name[FILE_NAME_MAX + 1];
    file_name_make_safe(record->file->name, name);
    struct query query = query_begin(db, SQL_FILE_OUT_INSERT);
    query_blob(&query, record->id.bytes, MESSAGE_ID_LEN);
    query_blob(&query, record->file->digest, FILE_DIGEST_LEN);
    query_text(&query, name);
    query_run(&query);
}

/* Will the commit delete a spool file of this id? That would delete the new one, too. */
static bool is_being_dropped(const struct store_files *files, const struct message_id *id) {
    for (size_t i = 0; i < files->n_deeds; i++)
        if (files->deeds[i].kind == DEED_DROP_SPOOL &&
            memcmp(&files->deeds[i].id, id, sizeof *id) == 0)
            return true;
    return false;
}

static int put_file(struct store_db *db, const struct store_op *op, struct store_result *result) {
    struct out_record record = op->out_put.record, known;
    if (!db->files || !record.file || record.size > INT64_MAX)
        return db->files ? -EINVAL : -ENOTSUP;
    if (store_out_find_id(db, &record.id, &known))
        return accept_again(db, op, &known, result);
    if (db->error || is_being_dropped(db->files, &record.id))
        return -EBUSY;
    /* The upload is on the disk already, and is deleted again if the disk is too full now. */
    int r = store_disk_take(db, (struct disk_share){0}, 0, 0);
    if (r == 0)
        r = store_files_reserve(db->files);
    if (r == 0)
        r = spool_adopt(&db->files->spool, op->out_put.spool, &record.id, record.size);
    if (r < 0)
        return r;
    store_files_note(db->files, DEED_ADOPTED, &record.id, op->out_put.spool);
    record.kind = KIND_FILE;
    record.state = MESSAGE_QUEUED;
    record.finished.us = 0;
    record.progress = 0;
    memset(record.reason, 0, sizeof record.reason);
    store_out_insert_file(db, &record);
    insert_head(db, &record);
    db->has_files = true;
    result->record = record;
    return 0;
}

/* If the file is refused, its upload is deleted, because the client that made it may have gone. */
int store_file_out_put(struct store_db *db, const struct store_op *op,
                       struct store_result *result) {
    int r = put_file(db, op, result);
    if (r < 0 && db->files)
        store_files_note(db->files, DEED_DROP_UPLOAD, NULL, op->out_put.spool);
    return r;
}

void store_file_out_final(struct store_db *db, const struct message_id *id) {
    if (db->files && store_file_out_is(db, id))
        store_files_note(db->files, DEED_DROP_SPOOL, id, NULL);
}

/* ---- Reading ---- */

static int open_reader(struct store_files *files, const struct message_id *id) {
    struct file_reader *oldest = &files->readers[0];
    files->clock++;
    for (size_t i = 0; i < files->n_readers; i++) {
        struct file_reader *reader = &files->readers[i];
        if (reader->is_open && memcmp(&reader->id, id, sizeof *id) == 0) {
            reader->used = files->clock;
            return reader->fd;
        }
        if (!reader->is_open || (oldest->is_open && reader->used < oldest->used))
            oldest = reader;
    }
    int fd = spool_open(&files->spool, id);
    if (fd < 0)
        return fd;
    if (oldest->is_open)
        close(oldest->fd);
    *oldest = (struct file_reader){true, *id, fd, files->clock};
    return fd;
}

static int read_exact(int fd, uint8_t *bytes, size_t length, uint64_t offset) {
    while (length > 0) {
        ssize_t n = pread(fd, bytes, length, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ESTALE;
        bytes += n;
        offset += (uint64_t)n;
        length -= (size_t)n;
    }
    return 0;
}

int store_file_out_read(struct store_db *db, const struct store_op *op, uint64_t size,
                        struct store_result *result, struct store_arena *arena) {
    uint64_t offset = op->out_read.offset;
    uint32_t length = op->out_read.length;
    struct stat status;
    if (offset > size)
        return -EINVAL;
    if (length > size - offset)
        length = (uint32_t)(size - offset);
    int fd = db->files ? open_reader(db->files, &op->out_read.id) : -ENOTSUP;
    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (status.st_nlink == 0)
        return -ENOENT;
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size != size)
        return -ESTALE;
    uint8_t *bytes = store_arena_alloc(arena, length);
    int r = bytes ? read_exact(fd, bytes, length, offset) : -ENOMEM;
    if (r < 0)
        return r;
    result->bytes = bytes;
    result->length = length;
    return 0;
}
