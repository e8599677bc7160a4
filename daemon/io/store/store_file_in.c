/* Files that we receive: blocks are written to NAME.part where they belong, the database says which
 * spans are held, and a complete file whose digest is right gets a name of its own.
 *
 * Threat: a proven but perhaps hostile sender sends blocks in any order, as often as it likes, and
 * of as many files as it likes. So quotas count a file whole from its first block; spans, files,
 * and files touched in one transaction are limited in number; and digests are computed in slices.
 * Besides, whoever may write to the folder may move, cut, replace or plant files there at any time.
 * So a part is never opened through a symbolic link, is looked at again in every transaction, and
 * is taken for complete by its digest alone. */
#include "daemon/io/store/store_file.h"
#include "shared/file_name.h"
#include "shared/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A taken name is followed by name.1 to name.999, then by random numbers, since each try is a
 * system call. */
#define SUFFIX_IN_ORDER 1000u
#define SUFFIX_TRIES 1032u

struct part {
    int64_t row;
    int state;
    uint64_t total, held;
    uint8_t digest[FILE_DIGEST_LEN];
    char path[FILE_PATH_MAX]; /* its name in the folder, while it is partial */
};

static void query_key(struct query *query, const struct store_op *op) {
    query_blob(query, op->in_put.sender.bytes, NODE_ID_LEN);
    query_blob(query, op->in_put.id.bytes, MESSAGE_ID_LEN);
}

static bool find_part(struct store_db *db, const struct store_op *op, struct part *ret_part) {
    struct query query = query_begin(db, SQL_FILE_FIND);
    query_key(&query, op);
    bool found = query_row(&query);
    if (found) {
        ret_part->row = query_get_int(&query);
        ret_part->state = (int)query_get_int(&query);
        ret_part->total = (uint64_t)query_get_int(&query);
        ret_part->held = (uint64_t)query_get_int(&query);
        query_get_exact(&query, ret_part->digest, FILE_DIGEST_LEN);
        query_get_text(&query, ret_part->path, sizeof ret_part->path);
    }
    query_end(&query);
    return found;
}

bool store_file_in_is_partial(struct store_db *db, const struct store_op *op) {
    struct part part;
    return db->has_file_parts && find_part(db, op, &part) && part.state == FILE_IN_PARTIAL;
}

/* Is there a message with this id? For each sender ids are unique, whether of messages or of
 * files. */
static bool is_message(struct store_db *db, const struct store_op *op) {
    struct query query = query_begin(db, SQL_IN_KNOWN);
    query_key(&query, op);
    bool known = query_row(&query);
    query_end(&query);
    return known;
}

static bool is_sane(const struct store_op *op) {
    uint64_t total = op->in_put.total, offset = op->in_put.offset, length = op->in_put.length;
    return op->in_put.file && total <= INT64_MAX && offset <= total && length <= total - offset &&
           length <= STORE_BLOCK_MAX && (length > 0 || total == 0);
}

/* ---- Parts ---- */

/* The hash of sender and id keeps two transfers from ever using one part, whatever their senders
 * call the files. */
static void hash_part_name(const struct store_op *op, uint8_t number,
                           char ret_name[FILE_PART_MAX + 1]) {
    uint8_t hash[16];
    char safe[FILE_NAME_MAX + 1], hex[2 * sizeof hash + 1];
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, sizeof hash);
    crypto_generichash_update(&state, op->in_put.sender.bytes, NODE_ID_LEN);
    crypto_generichash_update(&state, op->in_put.id.bytes, MESSAGE_ID_LEN);
    crypto_generichash_update(&state, &number, number > 0);
    crypto_generichash_final(&state, hash, sizeof hash);
    text_hex(hash, sizeof hash, hex);
    file_name_make_safe(op->in_put.file->name, safe);
    snprintf(ret_name, FILE_PART_MAX + 1, "%s.%s.part", safe, hex);
}

/* A part of this name may have been dropped in this transaction. Its file stays until the commit,
 * so the new part gets another name. */
static void make_part_name(const struct store_files *files, const struct store_op *op,
                           char ret_name[FILE_PART_MAX + 1]) {
    uint8_t number = 0;
    do
        hash_part_name(op, number++, ret_name);
    while (number < UINT8_MAX && store_files_is_going(files, ret_name));
}

/* A file in the part's place was left by a crash or planted by somebody: it is removed, never
 * written to. */
static int create_part(struct store_files *files, const char *name) {
    int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(files->folder, name, flags, 0600);
    if (fd < 0 && errno == EEXIST && unlinkat(files->folder, name, 0) == 0)
        fd = openat(files->folder, name, flags, 0600);
    if (fd < 0)
        return errno == EDQUOT ? -ENOSPC : -errno;
    files->is_folder_dirty = true;
    return fd;
}

static void use_slot(struct store_files *files, struct file_slot *slot, int fd) {
    slot->fd = fd;
    slot->hashed = 0;
    crypto_hash_sha256_init(&slot->hash);
    slot->checked = files->transaction;
}

/* The end of the last span. */
static uint64_t reach(struct store_db *db, int64_t row) {
    uint64_t end = 0;
    struct query query = query_begin(db, SQL_SPAN_LAST);
    query_int(&query, row);
    query_int(&query, INT64_MAX);
    if (query_row(&query)) {
        query_get_int(&query);
        end = (uint64_t)query_get_int(&query);
    }
    query_end(&query);
    return end;
}

static bool is_time_equal(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Is the open file still the one that its name leads to, and as long as what we have written? If
 * somebody else has changed it, its digest is computed anew. */
static bool check_slot(struct store_db *db, const struct part *part, struct file_slot *slot) {
    struct stat status, named;
    struct timespec changed = slot->changed;
    off_t size = slot->size;
    if (fstat(slot->fd, &status) < 0 || !S_ISREG(status.st_mode) ||
        (uint64_t)status.st_size < reach(db, part->row))
        return false;
    if (fstatat(db->files->folder, part->path, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
        named.st_ino != status.st_ino || named.st_dev != status.st_dev)
        return false;
    store_files_remember(slot);
    if (slot->hashed && (!is_time_equal(&changed, &slot->changed) || size != slot->size))
        use_slot(db->files, slot, slot->fd);
    slot->checked = db->files->transaction;
    return true;
}

/* 0, or -errno; -EAGAIN: too many files in this transaction; -ENOENT: the file that the rows
 * describe is not there (any more). */
static int open_part(struct store_db *db, const struct part *part, struct file_slot **ret_slot) {
    int folder = store_files_folder(db->files);
    if (folder < 0)
        return folder;
    struct file_slot *slot = store_files_slot(db, part->row);
    if (!slot)
        return -EAGAIN;
    *ret_slot = slot;
    if (slot->row && slot->checked == db->files->transaction)
        return 0;
    if (!slot->row) {
        int fd = openat(folder, part->path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            return errno == ELOOP || errno == EISDIR || errno == ENXIO ? -ENOENT : -errno;
        use_slot(db->files, slot, fd);
        slot->row = part->row;
    }
    return check_slot(db, part, slot) ? 0 : -ENOENT;
}

/* Drop the row, the spans and the part: the next block counts as the first. Returns `error`.
 * -EBADMSG: the bytes do not have the digest that the sender announced, which ends the transfer.
 * -ESTALE: our part was lost, which is not the sender's fault. */
static int begin_anew(struct store_db *db, const struct part *part, int error) {
    int budget = 0;
    store_file_drop_part(db, part->row, part->path, part->held, &budget);
    return error;
}

/* ---- Blocks ---- */

static int write_block(struct file_slot *slot, const struct store_op *op) {
    const uint8_t *bytes = op->in_put.bytes;
    uint64_t at = op->in_put.offset;
    size_t left = op->in_put.length;
    slot->is_dirty = true;
    while (left > 0) {
        ssize_t n = pwrite(slot->fd, bytes, left, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 || errno == EDQUOT ? -ENOSPC : -errno;
        bytes += n;
        at += (uint64_t)n;
        left -= (size_t)n;
    }
    return 0;
}

enum place { PLACE_FREE, PLACE_HELD, PLACE_OVERLAPS };

/* Where does the block fit? Finds the last span that begins before the block's end; *ret_start =
 * -1: there is none. */
static enum place find_place(struct store_db *db, int64_t row, const struct store_op *op,
                             int64_t *ret_start, int64_t *ret_end) {
    int64_t offset = (int64_t)op->in_put.offset, end = offset + op->in_put.length;
    *ret_start = *ret_end = -1;
    struct query query = query_begin(db, SQL_SPAN_LAST);
    query_int(&query, row);
    query_int(&query, end);
    if (query_row(&query)) {
        *ret_start = query_get_int(&query);
        *ret_end = query_get_int(&query);
    }
    query_end(&query);
    if (*ret_start < 0 || *ret_end <= offset)
        return PLACE_FREE;
    return *ret_start <= offset && *ret_end >= end ? PLACE_HELD : PLACE_OVERLAPS;
}

static int64_t select_number(struct store_db *db, enum store_statement which, int64_t row,
                             int64_t at, int64_t none) {
    struct query query = query_begin(db, which);
    query_int(&query, row);
    query_int(&query, at);
    int64_t number = query_row(&query) ? query_get_int(&query) : none;
    query_end(&query);
    return number;
}

/* Enter a block that is not held yet, merged with the spans that it touches. */
static int add_span(struct store_db *db, int64_t row, const struct store_op *op, int64_t before,
                    int64_t before_end) {
    int64_t start = (int64_t)op->in_put.offset, end = start + op->in_put.length;
    bool joins = before >= 0 && before_end == start;
    int64_t behind_end = select_number(db, SQL_SPAN_AT, row, end, -1);
    if (!joins && behind_end < 0 &&
        select_number(db, SQL_SPAN_COUNT, row, STORE_SPANS_MAX, 0) >= STORE_SPANS_MAX)
        return -EAGAIN; /* blocks that fill a gap are still accepted */
    if (behind_end >= 0) {
        struct query query = query_begin(db, SQL_SPAN_DELETE);
        query_int(&query, row);
        query_int(&query, end);
        query_run(&query);
    }
    struct query query = query_begin(db, SQL_SPAN_PUT);
    query_int(&query, row);
    query_int(&query, joins ? before : start);
    query_int(&query, behind_end >= 0 ? behind_end : end);
    query_run(&query);
    return 0;
}

static void grow_row(struct store_db *db, const struct store_op *op, int64_t row) {
    struct query query = query_begin(db, SQL_FILE_GROW);
    query_int(&query, row);
    query_int(&query, op->in_put.length);
    query_int(&query, op->in_put.tombstone_until.us);
    query_int(&query, op->in_put.is_known);
    query_int(&query, op->in_put.received.us);
    query_int(&query, STORE_PART_GROWTH);
    query_run(&query);
}

static void copy_sender_name(const struct store_op *op, char ret_name[NODE_NAME_MAX + 1]) {
    memcpy(ret_name, op->in_put.sender_name, NODE_NAME_MAX);
    ret_name[NODE_NAME_MAX] = '\0';
}

static int64_t insert_row(struct store_db *db, const struct store_op *op, const char *part_name) {
    char sender_name[NODE_NAME_MAX + 1], name[FILE_NAME_MAX + 1];
    copy_sender_name(op, sender_name);
    file_name_make_safe(op->in_put.file->name, name);
    struct query query = query_begin(db, SQL_FILE_INSERT);
    query_key(&query, op);
    query_int(&query, (int64_t)op->in_put.sequence);
    query_int(&query, op->in_put.sent.us);
    query_int(&query, op->in_put.received.us);
    query_address(&query, &op->in_put.sender_address);
    query_text(&query, sender_name);
    query_blob(&query, op->in_put.file->digest, FILE_DIGEST_LEN);
    query_text(&query, name);
    query_int(&query, (int64_t)op->in_put.total);
    query_text(&query, part_name);
    query_int(&query, op->in_put.tombstone_until.us);
    query_int(&query, op->in_put.received.us - STORE_PART_STALE_US + STORE_PART_BEGUN_US);
    db->has_file_parts = true;
    return query_run(&query) > 0 ? sqlite3_last_insert_rowid(db->sqlite) : 0;
}

/* ---- The end ---- */

/* Give the part this name. 0, -EEXIST: another file has the name, or -errno. */
static int try_name(struct store_files *files, const struct file_slot *slot, const char *part,
                    const char *name) {
    struct stat ours, theirs;
    if (linkat(files->folder, part, files->folder, name, 0) == 0)
        return 0;
    int error = errno;
    if (error ==
        EEXIST) { /* it may be this very file: a crash came between the name and the commit */
        bool is_ours = fstat(slot->fd, &ours) == 0 &&
                       fstatat(files->folder, name, &theirs, AT_SYMLINK_NOFOLLOW) == 0 &&
                       ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
        return is_ours ? 0 : -EEXIST;
    }
    if (error != EPERM && error != EOPNOTSUPP && error != ENOSYS && error != EMLINK)
        return -error;
    /* A file system without hard links (FAT): reserve the name with an empty file, which the rename
     * then overwrites. */
    int fd =
        openat(files->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    close(fd);
    return renameat(files->folder, part, files->folder, name) < 0 ? -errno : 0;
}

static int give_name(struct store_files *files, const struct file_slot *slot,
                     const struct store_op *op, const char *part, char ret_path[FILE_PATH_MAX]) {
    char safe[FILE_NAME_MAX + 1], name[FILE_NAME_MAX + FILE_SUFFIX_MAX + 1];
    int r = -EEXIST;
    file_name_make_safe(op->in_put.file->name, safe);
    for (unsigned i = 0; r == -EEXIST && i < SUFFIX_TRIES; i++) {
        unsigned number = i < SUFFIX_IN_ORDER ? i : randombytes_random();
        if (i == 0)
            memcpy(name, safe, sizeof safe);
        else
            snprintf(name, sizeof name, "%s.%u", safe, number);
        r = try_name(files, slot, part, name);
    }
    if (r < 0)
        return r == -EDQUOT ? -ENOSPC : r;
    int length = snprintf(ret_path, FILE_PATH_MAX, "%s/%s", files->path, name);
    files->is_folder_dirty = true;
    return length < FILE_PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* Enter the file's line in history, which is also its tombstone. */
static void enter(struct store_db *db, const struct store_op *op) {
    char sender_name[NODE_NAME_MAX + 1];
    copy_sender_name(op, sender_name);
    struct query query = query_begin(db, SQL_FILE_ENTER);
    query_int(&query, db->next_row);
    query_key(&query, op);
    query_int(&query, (int64_t)op->in_put.sequence);
    query_int(&query, op->in_put.sent.us);
    query_int(&query, op->in_put.received.us);
    query_address(&query, &op->in_put.sender_address);
    query_text(&query, sender_name);
    query_int(&query, (int64_t)op->in_put.total);
    query_int(&query, op->in_put.tombstone_until.us);
    db->next_row += query_run(&query) > 0;
}

static int complete(struct store_db *db, const struct store_op *op, const struct part *part,
                    struct file_slot *slot) {
    char path[FILE_PATH_MAX];
    int r = give_name(db->files, slot, op, part->path, path);
    if (r < 0)
        return r;
    struct query query = query_begin(db, SQL_FILE_COMPLETE);
    query_int(&query, part->row);
    query_text(&query, path);
    query_int(&query, op->in_put.received.us);
    query_run(&query);
    query = query_begin(db, SQL_SPAN_CLEAR);
    query_int(&query, part->row);
    query_run(&query);
    enter(db, op);
    slot->is_over = true;
    store_files_note(db->files, DEED_DROP_PART, NULL, part->path);
    return 0;
}

/* All blocks are there: check the digest, and complete the file. -EAGAIN: the digest is not
 * computed yet. */
static int finish(struct store_db *db, const struct store_op *op, const struct part *part,
                  struct file_slot *slot) {
    uint8_t digest[FILE_DIGEST_LEN];
    int r = store_files_hash(db->files, slot, part->total, FILE_CATCH_UP_MAX);
    if (r < 0)
        return r == -ESTALE ? begin_anew(db, part, r) : r;
    if (slot->hashed < part->total) {
        if (!db->files->behind) /* one file after the other, so that each of them is finished */
            db->files->behind = part->row;
        return -EAGAIN;
    }
    crypto_hash_sha256_state state = slot->hash;
    crypto_hash_sha256_final(&state, digest);
    if (memcmp(digest, part->digest, FILE_DIGEST_LEN) != 0)
        return begin_anew(db, part, -EBADMSG);
    return complete(db, op, part, slot);
}

/* Continue the digest over the gapless beginning of the file: with the block itself if it comes
 * next, then by reading. */
static void hash_block(struct store_db *db, struct file_slot *slot, const struct store_op *op,
                       const struct part *part) {
    uint64_t end = (uint64_t)select_number(db, SQL_SPAN_AT, part->row, 0, 0);
    uint64_t most = FILE_CATCH_UP_FACTOR * op->in_put.length;
    if (slot->hashed == op->in_put.offset) {
        crypto_hash_sha256_update(&slot->hash, op->in_put.bytes, op->in_put.length);
        slot->hashed += op->in_put.length;
    }
    store_files_hash(db->files, slot, end, most < FILE_CATCH_UP_MAX ? most : FILE_CATCH_UP_MAX);
}

/* Make the part for a file's first block. The row is entered later, so that a failure of the disk
 * leaves no row. */
static int begin_part(struct store_db *db, const struct store_op *op, struct part *ret_part,
                      struct file_slot **ret_slot) {
    struct part part = {.state = FILE_IN_PARTIAL, .total = op->in_put.total};
    int r = store_files_folder(db->files);
    if (r >= 0)
        r = store_file_admit(db, op, 0, NULL);
    if (r < 0)
        return r;
    struct file_slot *slot = store_files_slot(db, 0);
    if (!slot)
        return -EAGAIN;
    memcpy(part.digest, op->in_put.file->digest, FILE_DIGEST_LEN);
    make_part_name(db->files, op, part.path);
    int fd = create_part(db->files, part.path);
    if (fd < 0)
        return fd;
    use_slot(db->files, slot, fd);
    *ret_slot = slot;
    *ret_part = part;
    return 0;
}

static int put_block(struct store_db *db, const struct store_op *op, struct part *part,
                     struct file_slot *slot) {
    int64_t before = -1, before_end = -1;
    enum place place = PLACE_FREE;
    if (part->row)
        place = find_place(db, part->row, op, &before, &before_end);
    if (place != PLACE_FREE)
        return place == PLACE_HELD ? 0 : -EINVAL;
    int r = part->row ? store_file_admit(db, op, part->row, &part->held) : 0;
    if (r == 0)
        r = write_block(slot, op);
    if (r == 0 && !part->row)
        part->row = slot->row = insert_row(db, op, part->path);
    if (r == 0 && op->in_put.length > 0)
        r = add_span(db, part->row, op, before, before_end);
    if (r < 0 && !part->row) {
        store_files_drop_slot(slot);
        unlinkat(db->files->folder, part->path, 0);
    }
    if (r < 0 || db->error)
        return r;
    grow_row(db, op, part->row);
    part->held += op->in_put.length;
    hash_block(db, slot, op, part);
    return 0;
}

int store_file_in_put(struct store_db *db, const struct store_op *op, struct store_result *result) {
    struct part part;
    struct file_slot *slot = NULL;
    if (!db->files || !is_sane(op))
        return db->files ? -EINVAL : -ENOTSUP;
    bool found = find_part(db, op, &part);
    if (found ? part.state != FILE_IN_PARTIAL : is_message(db, op)) {
        result->in_outcome = STORE_IN_DUPLICATE;
        return 0;
    }
    if (!found && store_part_is_there(db, op)) /* an id stands for either a file or a message */
        return -EINVAL;
    if (found && (part.total != op->in_put.total ||
                  memcmp(part.digest, op->in_put.file->digest, FILE_DIGEST_LEN) != 0))
        return -EINVAL;
    if (op->in_put.offset > (found ? part.held : 0) + STORE_AHEAD_MAX)
        return -ESTALE; /* the sender continues a file that we have dropped: it has to begin anew */
    int r = found ? open_part(db, &part, &slot) : begin_part(db, op, &part, &slot);
    if (found && r == -ENOENT)
        return begin_anew(db, &part, -ESTALE);
    if (r == 0 && !db->error)
        r = put_block(db, op, &part, slot);
    if (r < 0 || db->error)
        return r;
    result->in_outcome = STORE_IN_PARTIAL;
    if (part.held < part.total)
        return 0;
    r = finish(db, op, &part, slot);
    if (r == 0)
        result->in_outcome = STORE_IN_COMPLETE;
    return r;
}
