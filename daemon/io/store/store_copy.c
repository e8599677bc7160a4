/* A copy of the database, by SQLite's backup interface. What our connection writes between two
 * steps goes into the copy as well, so the copy shows the database at the instant at which it is
 * finished. Threat: a disk that is too full for it; nothing but the copy suffers. */
#include "daemon/io/store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define PAGES_A_STEP 256 /* 1 MiB: some milliseconds in which no operation is answered */

static int finish(struct store_copy *copy, const char *path, int code,
                  char ret_error[FAILURE_MAX]) {
    sqlite3_backup_finish(copy->backup);
    sqlite3_close(copy->to);
    *copy = (struct store_copy){0};
    if (code == SQLITE_DONE)
        return 0;
    unlink(path);
    if (code == SQLITE_ABORT)
        return failure(ret_error, -ECANCELED, "the daemon is stopping");
    return failure(ret_error, code == SQLITE_FULL ? -ENOSPC : -EIO,
                   "the messages cannot be copied: %s", sqlite3_errstr(code));
}

static int begin(struct store_db *db, struct store_copy *copy, const char *path) {
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return SQLITE_CANTOPEN;
    close(fd);
    int code = sqlite3_open_v2(path, &copy->to, SQLITE_OPEN_READWRITE, NULL);
    if (code == SQLITE_OK) /* the copy is read once, and then deleted */
        code = sqlite3_exec(copy->to, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", NULL,
                            NULL, NULL);
    if (code == SQLITE_OK) {
        copy->backup = sqlite3_backup_init(copy->to, "main", db->sqlite, "main");
        code = copy->backup ? SQLITE_OK : sqlite3_errcode(copy->to);
    }
    return code;
}

int store_copy_step(struct store_db *db, struct store_copy *copy, const char *path, bool stop,
                    char ret_error[FAILURE_MAX]) {
    int code = stop ? SQLITE_ABORT : SQLITE_OK;
    if (!stop && !copy->to)
        code = store_disk_has_copy_room(db) ? begin(db, copy, path) : SQLITE_FULL;
    if (code == SQLITE_OK)
        code = sqlite3_backup_step(copy->backup, PAGES_A_STEP);
    return code == SQLITE_OK ? -EAGAIN : finish(copy, path, code, ret_error);
}
