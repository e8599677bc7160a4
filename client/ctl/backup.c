/* p2pctl backup. The daemon seals the backup, so what we receive is safe to keep anywhere. */
#include "client/ctl/ask.h"
#include "client/ctl/command.h"
#include "client/ctl/copy.h"
#include "client/ctl/target.h"
#include "shared/passphrase.h"
#include "shared/portable.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSPHRASE_MIN 8
#define PASSPHRASE_MAX 1024
/* The daemon may have to copy some gigabytes, and to derive a key is meant to be slow. */
#define PATIENCE_MS (10 * 60 * 1000)

const struct option backup_options[] = {
    {"passphrase-file", 0, OPTION_TEXT, offsetof(struct options, passphrase_file), "FILE",
     "read the passphrase from its first line (-: standard input)"},
    {NULL, 0, OPTION_FLAG, 0, NULL, NULL}};

static enum exit_code ask_daemon(const struct context *context, char *passphrase, size_t length,
                                 int *ret_fd) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Backup command = P2PD__CONTROL__BACKUP__INIT;
    P2pd__Control__Answer *answer = NULL;
    struct client *client = NULL;
    command.passphrase = (ProtobufCBinaryData){length, (uint8_t *)passphrase};
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_BACKUP;
    request.backup = &command;
    enum exit_code code = ask_open(context, &client);
    if (code == CODE_DONE)
        code = ask_send(context, client, &request);
    if (code == CODE_DONE && !context->options.timeout.given)
        client_set_timeout(client, PATIENCE_MS);
    if (code == CODE_DONE)
        code = ask_next_fd(context, client, &answer, ret_fd);
    if (code == CODE_DONE)
        client_answer_free(answer);
    client_close(client);
    if (code == CODE_DONE && *ret_fd < 0)
        return complain(context, CODE_FAILED, "the daemon gave no backup");
    return code;
}

/* Copy and name the file. 0, or -errno: then nothing is left of it. */
static int copy_into(const struct context *context, int fd, struct target *target) {
    struct copy_source source;
    struct progress progress;
    uint8_t digest[COPY_DIGEST_LEN];
    uint64_t size = 0;
    bool at_source;
    fchmod(target->fd, 0600);
    copy_look(fd, &source);
    progress_start(&progress, context, "backup", 0, source.size);
    int r = copy_file(fd, target->fd, copy_most(&source), &progress, &size, digest, &at_source);
    progress_end(&progress);
    if (r == 0 && !copy_is_whole(fd, &source, size))
        r = -ESTALE;
    if (r < 0)
        target_abandon(target);
    return r < 0 ? r : target_name(target);
}

/* Write a new file in the folder. If a backup that was killed had already named its file, that file
 * is a finished backup: it stays, and a new one is begun. */
static int keep_in(const struct context *context, int fd, int folder, const char *name,
                   struct target *target) {
    static const uint8_t key[TARGET_KEY_LEN] = "backup";
    int r = target_create(target, folder, name, key);
    if (r == TARGET_NAMED) {
        target_end(target);
        r = target_create(target, folder, name, key);
    }
    if (r == 0)
        r = copy_into(context, fd, target);
    if (r == 0)
        target_end(target);
    return r == TARGET_NAMED ? -EEXIST : r;
}

/* The backup is written completely or not at all, and never over another file, which may be the
 * last good backup. */
static enum exit_code keep(const struct context *context, int fd) {
    const char *file = context->arguments[0];
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
    char folder[4096];
    struct target target;
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - file) + 1 : 1,
             slash ? file : ".");
    int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = at < 0 ? -errno : keep_in(context, fd, at, name, &target);
    if (at >= 0)
        close(at);
    if (r == -EBUSY)
        return complain(context, CODE_FAILED, "%s: another backup is being written there", file);
    if (r < 0)
        return complain(context, CODE_FAILED, "%s: %s", file, strerror(-r));
    if (strcmp(target.final, name) != 0)
        complain(context, CODE_DONE, "%s exists: written to %s beside it", file, target.final);
    return CODE_DONE;
}

static enum exit_code run(const struct context *context, char passphrase[PASSPHRASE_MAX]) {
    struct stat st;
    if (lstat(context->arguments[0], &st) == 0)
        return complain(context, CODE_FAILED,
                        "%s: is there already: a backup is never written over",
                        context->arguments[0]);
    char error[PASSPHRASE_ERROR_MAX];
    const char *file = context->options.passphrase_file;
    ssize_t length =
        file ? passphrase_read(file, passphrase, PASSPHRASE_MAX, error)
             : passphrase_ask("Passphrase for the backup: ", 1, passphrase, PASSPHRASE_MAX, error);
    int fd = -1;
    if (length < 0)
        return complain(context, CODE_FAILED, "%s", error);
    if (length < PASSPHRASE_MIN)
        return complain(context, CODE_USAGE, "the passphrase needs %d characters or more",
                        PASSPHRASE_MIN);
    enum exit_code code = ask_daemon(context, passphrase, (size_t)length, &fd);
    if (code == CODE_DONE)
        code = keep(context, fd);
    if (fd >= 0)
        close(fd);
    return code;
}

enum exit_code backup_run(struct context *context) {
    const char *slash = strrchr(context->arguments[0], '/');
    if (slash ? slash[1] == '\0' : context->arguments[0][0] == '\0')
        return complain(context, CODE_USAGE, "backup wants the name of a file");
    /* Keep the passphrase, and the frame that carries it, out of core dumps. */
    portable_forbid_dumps();
    /* Locked memory is available only after sodium_init(). */
    char *passphrase = sodium_init() < 0 ? NULL : sodium_malloc(PASSPHRASE_MAX);
    if (!passphrase)
        return complain(context, CODE_FAILED, "out of locked memory: raise the limit (ulimit -l)");
    enum exit_code code = run(context, passphrase);
    sodium_free(passphrase);
    return code;
}
