/* Room on the disk: what may still come, and what is kept for giving room back.
 *
 * Threat: a disk that others have filled, or another program. To take, forget or cancel a message
 * SQLite first writes to its log (the WAL). So a reserve file holds nothing but room. It is deleted
 * when a transaction finds the disk full. Then the operations that give room back are carried out
 * one by one, in slices as small as necessary, each checkpointed (copied from the log into the
 * database) before the next. */
#include "daemon/io/store/store_file.h"
#include "daemon/io/store/store_private.h"
#include "shared/portable.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RESERVE "-reserve" /* messages.db-reserve */
#define RESERVE_MAX (1u << 20)
#define RESERVE_SHARE 32
#define RESERVE_AGAIN 8 /* it is made again once this many times its size are free */
/* What a message costs on the disk besides its bytes. (The bytes count twice: first in the log,
 * then in the database.) */
#define ROW_COST 4096

#define CHUNK_MAX (1 << 20) /* bytes by which messages.db grows; on a small disk fewer */
#define CHUNK_SHARE 64
#define ALLOCATED_SPARE (CHUNK_MAX / 4) /* for writes that are promised no pages */

/* To look at the disk costs a lone message 4 to 5% of its processor time: SQLite parses the
 * statements that ask for its pages anew each time, and nothing of that is in the processor's
 * caches. So if much is free, what was seen is used for some more transactions: until so many bytes
 * were promised, or for so long. Nothing is refused for what an earlier transaction saw; and if
 * something beside us fills the disk meanwhile, the write itself will tell, as ever. A test's own
 * `look` is called each time. */
#define MUCH (UINT64_C(1) << 30)
#define PROMISED_UNSEEN ALLOCATED_SPARE
#define LOOK_EACH_US (100 * US_PER_MS)

#define SLICE_LEAST 1
#define SLICE_FACTOR 8

static void make_path(const struct store_db *db, char ret_path[PATH_MAX]) {
    snprintf(ret_path, PATH_MAX, "%s" RESERVE, sqlite3_db_filename(db->sqlite, "main"));
}

/* Fill the file with random bytes, since some file systems store zeros without taking room. False:
 * there is no room. */
static bool fill(int fd, size_t size) {
    uint8_t bytes[16384];
    randombytes_buf(bytes, sizeof bytes);
    for (size_t at = 0; at < size; at += sizeof bytes)
        if (pwrite(fd, bytes, sizeof bytes, (off_t)at) != (ssize_t)sizeof bytes)
            return false;
    return true;
}

/* Make the reserve file, if there is room. It is not tried again until store_disk_release() has
 * been called. */
static void make_reserve(struct store_db *db) {
    char path[PATH_MAX];
    struct stat status;
    uint64_t share = db->disk.space.size / RESERVE_SHARE;
    size_t size = share < RESERVE_MAX ? (size_t)share : RESERVE_MAX;
    db->disk.has_reserve = true;
    make_path(db, path);
    if (lstat(path, &status) == 0 && S_ISREG(status.st_mode) && (uint64_t)status.st_size >= size)
        return;
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (!fill(fd, size))
        unlink(path);
    close(fd);
}

void store_disk_release(struct store_db *db) {
    char path[PATH_MAX];
    make_path(db, path);
    unlink(path);
    db->disk.has_reserve = false;
    sqlite3_wal_checkpoint_v2(db->sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

void store_disk_settle(struct store_db *db) {
    sqlite3_wal_checkpoint_v2(db->sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static uint64_t pages(struct store_db *db, enum store_statement which) {
    struct query query = query_begin(db, which);
    int64_t n = query_row(&query) ? query_get_int(&query) : 0;
    query_end(&query);
    return n > 0 ? (uint64_t)n * STORE_PAGE : 0;
}

/* Is the file already long enough for all pages it may have by now, and some more? Asked after
 * every commit that took room, so that SQLite need not parse a PRAGMA each time. */
static bool is_allocated(const struct store_disk *disk) {
    return disk->allocated > 0 &&
           disk->pages + disk->promised + ALLOCATED_SPARE <= (uint64_t)disk->allocated;
}

/* Pages that are only in the log will make messages.db grow at the checkpoint, when the disk may be
 * full. So the room is taken right after the commit, with some in advance. We allocate it
 * ourselves, because SQLite would write a byte to every page; SQLite then finds that it is
 * there. */
void store_disk_allocate(struct store_db *db) {
    struct store_disk *disk = &db->disk;
    if (!disk->is_looked || is_allocated(disk))
        return;
    sqlite3_int64 size = (sqlite3_int64)pages(db, SQL_PAGES);
    if (size <= disk->allocated)
        return;
    int64_t whole = (size + disk->chunk - 1) / disk->chunk * disk->chunk;
    if (disk->has_fd)
        portable_allocate(disk->fd, (off_t)disk->allocated, (off_t)whole);
    if (sqlite3_file_control(db->sqlite, "main", SQLITE_FCNTL_SIZE_HINT, &size) == SQLITE_OK)
        disk->allocated = whole;
}

/* ---- What may come ---- */

static int64_t clock_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

static bool are_files_on(const struct store_db *db, dev_t device) {
    struct stat status;
    return db->files && stat(db->files->path, &status) == 0 && status.st_dev == device;
}

/* See how much is free. Unused pages of messages.db count as free; pages that are only in the log
 * will need room, and do not. */
static void look(struct store_db *db) {
    struct store_disk *disk = &db->disk;
    const char *path = sqlite3_db_filename(db->sqlite, "main");
    struct stat status;
    disk->is_looked = disk->is_fresh = true;
    disk->looked_us = clock_us();
    disk->space = (struct disk_space){0, 0};
    disk->pages = UINT64_MAX / 2; /* not known: as large as can be */
    if (disk->look(path, &disk->space) < 0 || stat(path, &status) < 0)
        return; /* the write itself will tell */
    uint64_t all = pages(db, SQL_PAGES), unused = pages(db, SQL_PAGES_UNUSED);
    uint64_t length = status.st_size > 0 ? (uint64_t)status.st_size : 0;
    uint64_t growth = all > length ? all - length : 0;
    disk->pages = all;
    disk->device = status.st_dev;
    disk->are_files_here = are_files_on(db, status.st_dev);
    disk->held = all > unused ? all - unused : 0;
    disk->space.free = disk->space.free > growth ? disk->space.free - growth : 0;
    if (!disk->has_reserve && disk->space.free > (uint64_t)RESERVE_AGAIN * RESERVE_MAX)
        make_reserve(db);
    disk->space.free += unused;
}

void store_disk_look_again(struct store_db *db) {
    db->disk.is_looked = false;
}

static void begin_anew(struct store_disk *disk) {
    disk->is_looked = false;
    disk->promised = disk->promised_before = 0;
}

void store_disk_begin(struct store_db *db) {
    struct store_disk *disk = &db->disk;
    if (disk->look != disk_look || disk->space.free < MUCH || disk->promised > PROMISED_UNSEEN ||
        clock_us() - disk->looked_us >= LOOK_EACH_US)
        begin_anew(disk);
    disk->is_fresh = false;
    disk->promised_before = disk->promised;
}

/* The bytes that messages.db and received files hold on the file system of messages.db. */
static uint64_t held_here(struct store_db *db) {
    return db->disk.held + (db->disk.are_files_here ? store_files_charged(db) : 0);
}

/* The same for the file system of files.directory, whose device is `device`. */
static uint64_t held_there(struct store_db *db, dev_t device) {
    return (db->disk.device == device ? db->disk.held : 0) + store_files_charged(db);
}

/* How many more bytes may be put into messages.db. *ret_lack: how many would have to go before
 * there is any room. */
static uint64_t room(struct store_db *db, struct disk_share share, uint64_t *ret_lack) {
    struct store_disk *disk = &db->disk;
    if (!disk->is_looked)
        look(db);
    uint64_t ours = share.percent > 0 ? held_here(db) : 0;
    uint64_t left = disk_room(&disk->space, ours, share);
    *ret_lack = disk_lack(&disk->space, ours, share);
    if (left >= disk->promised)
        return left - disk->promised;
    *ret_lack += disk->promised - left;
    return 0;
}

static uint64_t missing(struct store_db *db, struct disk_share share, uint64_t whole) {
    uint64_t lack, left = room(db, share, &lack);
    uint64_t most = whole > UINT64_MAX / 4 ? UINT64_MAX / 2 : 2 * whole + ROW_COST;
    return left < most ? most - left + lack : 0;
}

uint64_t store_disk_missing(struct store_db *db, struct disk_share share, uint64_t whole) {
    struct store_disk *disk = &db->disk;
    uint64_t bytes = missing(db, share, whole);
    if (bytes == 0 || disk->is_fresh)
        return bytes;
    disk->promised -= disk->promised_before; /* what came of that is seen now */
    disk->promised_before = 0;
    look(db);
    return missing(db, share, whole);
}

void store_disk_promise(struct store_db *db, uint64_t now) {
    db->disk.promised += 2 * now + ROW_COST;
}

int store_disk_take(struct store_db *db, struct disk_share share, uint64_t whole, uint64_t now) {
    if (store_disk_missing(db, share, whole) > 0)
        return -ENOSPC;
    store_disk_promise(db, now);
    return 0;
}

bool store_disk_has_copy_room(struct store_db *db) {
    begin_anew(&db->disk);
    uint64_t lack, left = room(db, (struct disk_share){0}, &lack);
    return db->disk.space.size == 0 || left / 2 >= db->disk.held;
}

uint64_t store_disk_files_room(struct store_db *db, struct disk_share share, uint64_t *ret_lack) {
    struct disk_space space;
    struct stat status;
    const char *path = db->files->path;
    *ret_lack = 0;
    if (db->disk.look(path, &space) < 0 || stat(path, &status) < 0)
        return UINT64_MAX; /* the write itself will tell */
    if (!db->disk.is_looked)
        look(db);
    uint64_t ours = share.percent > 0 ? held_there(db, status.st_dev) : 0;
    uint64_t left = disk_room(&space, ours, share), lack = disk_lack(&space, ours, share);
    uint64_t most = space.free > DISK_FLOOR ? space.free - DISK_FLOOR : 0;
    uint64_t floor_lack = space.free < DISK_FLOOR ? DISK_FLOOR - space.free : 0;
    *ret_lack = lack > floor_lack ? lack : floor_lack;
    return left < most ? left : most;
}

/* ---- Slices ---- */

bool store_disk_narrow(struct store_db *db) {
    if (db->slice == SLICE_LEAST)
        return false;
    db->slice = db->slice > SLICE_FACTOR ? db->slice / SLICE_FACTOR : SLICE_LEAST;
    return true;
}

void store_disk_widen(struct store_db *db) {
    db->slice = db->slice < STORE_SLICE_MAX / 2 ? 2 * db->slice : STORE_SLICE_MAX;
}

/* By how many bytes messages.db grows at a time: whole pages. A disk whose size is not known counts
 * as large. */
static int chunk_for(uint64_t size) {
    uint64_t chunk = size / CHUNK_SHARE / STORE_PAGE * STORE_PAGE;
    if (size == 0 || chunk > CHUNK_MAX)
        return CHUNK_MAX;
    return chunk < STORE_PAGE ? (int)STORE_PAGE : (int)chunk;
}

void store_disk_close(struct store_db *db) {
    if (db->disk.has_fd)
        close(db->disk.fd);
    db->disk.has_fd = false;
}

void store_disk_open(struct store_db *db, const struct store_config *config) {
    db->slice = STORE_SLICE_MAX;
    db->disk.look = config->look ? config->look : disk_look;
    db->disk.fd = open(sqlite3_db_filename(db->sqlite, "main"), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    db->disk.has_fd = db->disk.fd >= 0;
    look(db);
    db->disk.chunk = chunk_for(db->disk.space.size);
    sqlite3_file_control(db->sqlite, "main", SQLITE_FCNTL_CHUNK_SIZE, &db->disk.chunk);
    if (!db->disk.has_reserve && db->disk.space.free > (uint64_t)RESERVE_AGAIN * RESERVE_MAX / 4)
        make_reserve(db);
    store_disk_allocate(db);
}
