/* Files between clients and us, which travel as descriptors: a client copies a file that it sends
 * into a file of the spool, and reads a file that it receives where it lies.
 *
 * Threat: a client that begins many files and ends none, or goes away half-way; a folder of
 * received files in which somebody has put something else. Files under way are counted, in all and
 * by uid, and given up with their connection. Only a regular file is opened, and never through a
 * symbolic link in its own place or in that of its folder. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_PATH */
#endif
#include "daemon/io/control/control_request.h"

#include "shared/portable.h"
#include "shared/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Into the spool ---- */

static bool is_sending(const struct control_client *client) {
    return client->send && !client->send->given;
}

/* May one more file of this uid be under way? */
static bool has_room(const struct control *control, uid_t uid) {
    size_t n = 0, n_uid = 0;
    for (const struct control_client *client = control->clients; client; client = client->next) {
        size_t more = is_sending(client);
        for (const struct control_client *request = client->requests; request;
             request = request->next)
            more += is_sending(request);
        n += more;
        n_uid += client->uid == uid ? more : 0;
    }
    return n < CONTROL_SENDS_MAX && n_uid < CONTROL_SENDS_UID;
}

void send_begin(struct control_client *client, const struct control_decoded *decoded) {
    if (!client->control->sink.spool_create) {
        client_refuse(client, ANSWER_USAGE, "this daemon sends no files");
        return;
    }
    if (!has_room(client->control, client->uid)) {
        client_refuse(client, ANSWER_LIMIT, "too many files are being taken up: try again later");
        return;
    }
    client->send = calloc(1, sizeof *client->send);
    if (!client->send) {
        client_refuse(client, ANSWER_LIMIT, "out of memory");
        return;
    }
    client->send->request = decoded->request;
    client->send->file = decoded->file;
    client->send->request.push.file = &client->send->file;
    struct request request = client->send->request;
    client_give(client, &request);
}

/* The core would take the file: give the client a file of the spool to write it to. */
static void offer(struct control_client *client) {
    const struct control_sink *sink = &client->control->sink;
    struct answer answer = {.kind = ANSWER_TEXT};
    int fd = -1;
    int r = sink->spool_create(sink->context, client->send->spool, &fd);
    if (r < 0) {
        client->send->spool[0] = '\0';
        char words[ERROR_WORDS_MAX];
        error_words(r, words);
        answer.code = error_is_limit(r) ? ANSWER_LIMIT : ANSWER_FAILED;
        answer.end = true;
        snprintf(answer.text, sizeof answer.text, "cannot make a file to take it up: %s",
                 error_is_limit(r) ? words : strerror(-r));
    } else {
        client->phase = CLIENT_SENDING;
    }
    client_answer_frames(client, &answer, fd);
}

void send_take_answer(struct control_client *client, const struct answer *answer) {
    const struct control_sink *sink = &client->control->sink;
    struct control_send *send = client->send;
    if (!send->given && answer->code == ANSWER_OK) {
        offer(client);
        return;
    }
    /* Whether the store took the file or refused it, it needs it no longer under this name. */
    if (send->given && send->spool[0])
        sink->spool_remove(sink->context, send->spool);
    send->spool[0] = '\0';
    client_answer_frames(client, answer, -1);
}

void send_finish(struct control_client *client, const struct control_decoded *decoded) {
    struct control_send *send = client->send;
    struct request request = send->request;
    memcpy(send->file.digest, decoded->file.digest, sizeof send->file.digest);
    request.push.check = false;
    request.push.size = decoded->done.size;
    request.push.wait = decoded->done.wait;
    memcpy(request.push.spool, send->spool, sizeof request.push.spool);
    send->given = true;
    client_give(client, &request);
}

bool send_abandon(struct control_client *client) {
    const struct control_sink *sink = &client->control->sink;
    struct control_send *send = client->send;
    /* The store may be at work on a file that was given to the core. If no message comes of it, it
     * is removed at the next start. */
    if (!send || send->given || !send->spool[0])
        return false;
    sink->spool_remove(sink->context, send->spool);
    send->spool[0] = '\0';
    return true;
}

/* ---- Out of the folder of received files ---- */

/* Returns a descriptor, or -errno; -EINVAL: it is not a regular file, -ENOTDIR: a folder of the
 * path is a symbolic link. */
static int open_regular(const char *path) {
    struct stat status;
    const char *name = NULL;
    int folder = portable_open_parent(path, &name);
    if (folder < 0)
        return folder;
    /* O_NONBLOCK: a pipe in the file's place must not block us. */
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int error = errno;
    close(folder);
    if (fd < 0) /* for a symbolic link systems report one or the other */
        return error == ELOOP || error == EMLINK ? -EINVAL : -error;
    int r = fstat(fd, &status) < 0 ? -errno : S_ISREG(status.st_mode) ? 0 : -EINVAL;
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

void send_open_file(struct control_client *client, const struct answer *answer) {
    struct answer failed = {.kind = ANSWER_TEXT, .end = true};
    char shown[128], words[ERROR_WORDS_MAX];
    const char *path = answer->files.n == 1 ? answer->files.v[0].path : "the file";
    int fd = answer->files.n == 1 ? open_regular(path) : -ENOENT;
    if (fd >= 0) {
        client_answer_frames(client, answer, fd);
        return;
    }
    /* If it is missing, another client has taken it since the core looked, or the user has moved it
     * away. */
    failed.code = fd == -ENOENT ? ANSWER_UNKNOWN : ANSWER_FAILED;
    text_escape_string(path, shown, sizeof shown);
    if (error_is_limit(fd))
        failed.code = ANSWER_LIMIT;
    error_words(fd, words);
    snprintf(failed.text, sizeof failed.text, "cannot open %.90s: %.79s", shown,
             fd == -EINVAL                 ? "it is no regular file"
             : fd == -ENOTDIR              ? "a link stands in the place of its folder"
             : failed.code == ANSWER_LIMIT ? words
                                           : strerror(-fd));
    client_answer_frames(client, &failed, -1);
}
