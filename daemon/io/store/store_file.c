/* Open files, digests under way, and what belongs before and after a commit: see store_file.h. */
#include "daemon/io/store/store_file.h"
#include "shared/portable.h"
#include "shared/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Deferred actions (deeds) ---- */

int store_files_reserve(struct store_files *files) {
    if (files->n_deeds < files->deeds_room)
        return 0;
    size_t room = files->deeds_room ? 2 * files->deeds_room : 16;
    struct file_deed *deeds = realloc(files->deeds, room * sizeof *deeds);
    if (!deeds)
        return -ENOMEM;
    files->deeds = deeds;
    files->deeds_room = room;
    return 0;
}

/* Remember an action for after the commit or rollback. Without memory for it the file stays, until
 * the next start removes it. */
void store_files_note(struct store_files *files, enum file_deed_kind kind,
                      const struct message_id *id, const char *name) {
    if (store_files_reserve(files))
        return;
    struct file_deed *deed = &files->deeds[files->n_deeds++];
    *deed = (struct file_deed){.kind = kind};
    if (id)
        deed->id = *id;
    if (name)
        memcpy(deed->name, name, strnlen(name, sizeof deed->name - 1));
}

bool store_files_is_going(const struct store_files *files, const char *name) {
    for (size_t i = 0; i < files->n_deeds; i++)
        if (files->deeds[i].kind == DEED_DROP_PART && strcmp(files->deeds[i].name, name) == 0)
            return true;
    return false;
}

/* Close the reader of a file that is to be deleted (NULL: all readers). Otherwise the file could
 * still be read, and its space would not be given back. */
static void drop_reader(struct store_files *files, const struct message_id *id) {
    for (size_t i = 0; i < FILE_READERS; i++) {
        struct file_reader *reader = &files->readers[i];
        if (reader->is_open && (!id || memcmp(&reader->id, id, sizeof *id) == 0)) {
            close(reader->fd);
            reader->is_open = false;
        }
    }
}

static void settle(struct store_files *files, const struct file_deed *deed) {
    if (deed->kind == DEED_DROP_UPLOAD) {
        spool_remove(&files->spool, deed->name);
    } else if (deed->kind == DEED_DROP_SPOOL) {
        drop_reader(files, &deed->id);
        spool_delete(&files->spool, &deed->id);
    } else if (deed->kind == DEED_DROP_PART) {
        if (store_files_folder(files) >= 0)
            unlinkat(files->folder, deed->name, 0);
    }
}

/* ---- Slots ---- */

void store_files_drop_slot(struct file_slot *slot) {
    if (slot->fd >= 0)
        close(slot->fd);
    *slot = (struct file_slot){.fd = -1};
}

void store_files_drop_row(struct store_files *files, int64_t row) {
    for (size_t i = 0; i < STORE_FILE_SLOTS; i++)
        if (files->slots[i].row == row)
            store_files_drop_slot(&files->slots[i]);
}

void store_files_remember(struct file_slot *slot) {
    struct stat status;
    if (fstat(slot->fd, &status) < 0) {
        slot->hashed = 0;
        crypto_hash_sha256_init(&slot->hash);
        return;
    }
#ifdef __APPLE__
    slot->changed = status.st_ctimespec;
#else
    slot->changed = status.st_ctim;
#endif
    slot->size = status.st_size;
}

static void sync_slot(struct store_db *db, struct file_slot *slot) {
    if (!slot->is_dirty)
        return;
    int r = portable_sync_data(slot->fd);
    if (r < 0 && !db->error)
        db->error = r == -EDQUOT ? -ENOSPC : r; /* a disk quota is a full disk */
    store_files_remember(slot);
    slot->is_dirty = false;
}

struct file_slot *store_files_slot(struct store_db *db, int64_t row) {
    struct store_files *files = db->files;
    struct file_slot *oldest = NULL;
    files->clock++;
    for (size_t i = 0; i < files->n_slots; i++) {
        struct file_slot *slot = &files->slots[i];
        if (row && slot->row == row) {
            slot->used = files->clock;
            return slot;
        }
        bool is_kept = slot->row && slot->row == files->behind;
        if (!is_kept && !slot->is_dirty && (!oldest || slot->used < oldest->used))
            oldest = slot;
    }
    if (!oldest)
        return NULL;
    store_files_drop_slot(oldest);
    oldest->used = files->clock;
    return oldest;
}

int store_files_hash(struct store_files *files, struct file_slot *slot, uint64_t end,
                     uint64_t most) {
    if (end > slot->hashed && end - slot->hashed > most)
        end = slot->hashed + most;
    while (slot->hashed < end) {
        uint64_t left = end - slot->hashed;
        size_t length = left < sizeof files->buffer ? (size_t)left : sizeof files->buffer;
        ssize_t n = pread(slot->fd, files->buffer, length, (off_t)slot->hashed);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ESTALE;
        crypto_hash_sha256_update(&slot->hash, files->buffer, (size_t)n);
        slot->hashed += (uint64_t)n;
    }
    return 0;
}

/* Go on with a digest while no operation waits. An error needs no answer here: the operation that
 * asks for the digest meets it again, and tells it. */
void store_files_catch_up(struct store_db *db) {
    struct store_files *files = db->files;
    for (size_t i = 0; i < STORE_FILE_SLOTS; i++) {
        struct file_slot *slot = &files->slots[i];
        uint64_t size = (uint64_t)slot->size;
        if (!slot->row || slot->row != files->behind)
            continue;
        if (store_files_hash(files, slot, size, FILE_CATCH_UP_MAX) || slot->hashed >= size)
            files->behind = 0;
        return;
    }
    files->behind = 0;
}

/* ---- Around a transaction ---- */

void store_files_sync(struct store_db *db) {
    struct store_files *files = db->files;
    if (!files)
        return;
    /* Begin to write all files before waiting for one, so that the file system can commit them
     * together. */
    for (size_t i = 0; i < STORE_FILE_SLOTS; i++)
        if (files->slots[i].is_dirty)
            portable_start_writing(files->slots[i].fd);
    for (size_t i = 0; i < STORE_FILE_SLOTS && !db->error; i++)
        sync_slot(db, &files->slots[i]);
    if (files->is_folder_dirty && !db->error && fsync(files->folder) < 0)
        db->error = -errno;
    files->is_folder_dirty = false;
}

void store_files_commit(struct store_db *db) {
    struct store_files *files = db->files;
    if (!files)
        return;
    for (size_t i = 0; i < files->n_deeds; i++)
        settle(files, &files->deeds[i]);
    for (size_t i = 0; i < STORE_FILE_SLOTS; i++)
        if (files->slots[i].is_over)
            store_files_drop_slot(&files->slots[i]);
    files->n_deeds = 0;
    files->freed = 0;
    files->transaction++;
}

/* Files and digests in memory would be ahead of the database: drop them. They are read again when
 * they are wanted. */
void store_files_roll_back(struct store_db *db) {
    struct store_files *files = db->files;
    if (!files)
        return;
    for (size_t i = 0; i < STORE_FILE_SLOTS; i++)
        store_files_drop_slot(&files->slots[i]);
    drop_reader(files, NULL);
    while (files->n_deeds > 0) {
        const struct file_deed *deed = &files->deeds[--files->n_deeds];
        if (deed->kind == DEED_ADOPTED)
            spool_give_back(&files->spool, &deed->id, deed->name);
    }
    files->behind = 0;
    files->freed = 0;
    files->transaction++;
}

/* ---- The folder ---- */

/* Was the folder removed, or moved and made anew? Then the open one would take no file, or files
 * that nobody finds. */
static bool is_folder_gone(const struct store_files *files) {
    struct stat open_one, named;
    return stat(files->path, &named) < 0 || fstat(files->folder, &open_one) < 0 ||
           named.st_dev != open_one.st_dev || named.st_ino != open_one.st_ino;
}

int store_files_folder(struct store_files *files) {
    char resolved[PATH_MAX];
    if (files->folder >= 0 && files->folder_checked != files->transaction &&
        is_folder_gone(files)) {
        close(files->folder);
        files->folder = -1;
    }
    files->folder_checked = files->transaction;
    if (files->folder >= 0)
        return files->folder;
    if (mkdir(files->path, 0700) < 0 && errno != EEXIST)
        return -errno;
    if (!realpath(files->path, resolved))
        return -errno;
    if (strlen(resolved) + 1 + FILE_NAME_MAX + FILE_SUFFIX_MAX > FILE_PATH_MAX)
        return -ENAMETOOLONG;
    int fd = open(resolved, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    memcpy(files->path, resolved, strlen(resolved) + 1);
    files->folder = fd;
    return fd;
}

/* NAME.32 hex digits.part: nothing else in the folder is ours to remove. */
static bool is_part_name(const char *name) {
    size_t length = strlen(name), tail = 1 + 32 + sizeof ".part" - 1;
    if (length <= tail || strcmp(name + length - (sizeof ".part" - 1), ".part") != 0)
        return false;
    name += length - tail;
    for (size_t i = 1; i <= 32; i++)
        if (text_hex_digit(name[i]) < 0)
            return false;
    return name[0] == '.';
}

static bool is_part_known(struct store_db *db, const char *name) {
    struct query query = query_begin(db, SQL_FILE_PART_KNOWN);
    query_text(&query, name);
    bool known = query_row(&query);
    query_end(&query);
    return known || db->error;
}

/* Remove parts that a crash left behind: their row was never committed, or belongs to a completed
 * file by now. */
static void clean_parts(struct store_db *db) {
    struct store_files *files = db->files;
    struct stat status;
    if (lstat(files->path, &status) < 0 || store_files_folder(files) < 0)
        return;
    int fd = openat(files->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    if (!folder) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(folder)))
        if (is_part_name(entry->d_name) && !is_part_known(db, entry->d_name))
            unlinkat(files->folder, entry->d_name, 0);
    closedir(folder);
}

/* ---- Opening ---- */

static bool is_pending(void *context, const struct message_id *id) {
    struct store_db *db = context;
    struct query query = query_begin(db, SQL_OUT_IS_PENDING);
    query_blob(&query, id->bytes, MESSAGE_ID_LEN);
    bool found = query_row(&query);
    query_end(&query);
    return found || db->error;
}

static int open_all(struct store_db *db, const struct store_config *config,
                    char ret_error[FAILURE_MAX]) {
    struct store_files *files = db->files;
    int r = spool_init(&files->spool, config->state);
    if (r < 0)
        return failure(ret_error, r, "%.120s/spool: %s", config->state, strerror(-r));
    if ((size_t)snprintf(files->path, sizeof files->path, "%s", config->files) >=
        sizeof files->path)
        return failure(ret_error, -ENAMETOOLONG, "%.160s: too long", config->files);
    r = spool_clean(&files->spool, is_pending, db);
    if (r < 0)
        return failure(ret_error, r, "%.120s/spool: %s", config->state, strerror(-r));
    clean_parts(db);
    if (db->error)
        return failure(ret_error, db->error, "%.160s: cannot be read: %s", config->path,
                       strerror(-db->error));
    return 0;
}

int store_files_open(struct store_db *db, const struct store_config *config,
                     char ret_error[FAILURE_MAX]) {
    struct store_files *files = calloc(1, sizeof *files);
    if (!files)
        return failure(ret_error, -ENOMEM, "out of memory");
    files->folder = files->spool.folder = -1;
    files->transaction = 1;
    files->n_slots = STORE_FILE_SLOTS;
    files->n_readers = FILE_READERS;
    for (size_t i = 0; i < STORE_FILE_SLOTS; i++)
        files->slots[i].fd = -1;
    db->files = files;
    int r = open_all(db, config, ret_error);
    if (r < 0)
        store_files_close(db);
    return r;
}

void store_files_limit(struct store_db *db, size_t n) {
    struct store_files *files = db->files;
    size_t readers = n / 4 > 1 ? n / 4 : 1;
    files->n_readers = readers < FILE_READERS ? readers : FILE_READERS;
    size_t slots = n > files->n_readers + 2 ? n - files->n_readers : 2;
    files->n_slots = slots < STORE_FILE_SLOTS ? slots : STORE_FILE_SLOTS;
}

void store_files_close(struct store_db *db) {
    struct store_files *files = db->files;
    if (!files)
        return;
    for (size_t i = 0; i < STORE_FILE_SLOTS; i++)
        store_files_drop_slot(&files->slots[i]);
    drop_reader(files, NULL);
    spool_deinit(&files->spool);
    if (files->folder >= 0)
        close(files->folder);
    free(files->deeds);
    free(files);
    db->files = NULL;
}
