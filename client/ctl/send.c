/* p2pctl send. The daemon opens a file of its own and passes its descriptor to us; we fill it, so
 * that the daemon reads no file which only its user could read, and say when it is complete. From
 * then on the daemon is responsible for it. */
#include "client/common/output.h"
#include "client/common/table.h"
#include "client/common/words.h"
#include "client/ctl/ask.h"
#include "client/ctl/command.h"
#include "client/ctl/copy.h"
#include "shared/file_name.h"
#include "shared/message_id.h"
#include "shared/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID_LEN 16
/* Room for a name that the user gives. The daemon refuses a longer one, even if it is cut here. */
#define FILE_NAME_READ_MAX 1024
/* How often to ask for the state while waiting: a small file may be delivered at once; for a large
 * one this becomes less frequent. */
#define LOOK_FIRST_MS 5
#define LOOK_EVERY_MS 250

const struct option send_options[] = {
    {"wait", 'w', OPTION_TIME_MAYBE, offsetof(struct options, wait), "TIME",
     "return when the recipient has stored it (no TIME: however long that takes)"},
    {"name", 0, OPTION_TEXT, offsetof(struct options, name), "NAME",
     "what the recipient shall call it"},
    {"relays", 0, OPTION_NUMBER, offsetof(struct options, relays), "N", "exactly N relays"},
    {"strict", 0, OPTION_FLAG, offsetof(struct options, strict), NULL,
     "fail rather than use fewer relays than configured"},
    {"shards", 0, OPTION_SHARDS, offsetof(struct options, shards), "K[+M]",
     "K data and M parity shards, a path each"},
    {"expire", 0, OPTION_TIME, offsetof(struct options, expire), "TIME", "give up after TIME"},
    {NULL, 0, OPTION_FLAG, 0, NULL, NULL}};

struct sending {
    const char *file;
    char name[FILE_NAME_READ_MAX];
    char shown[TEXT_CELL_MAX]; /* the name, safe for a terminal */
    uint8_t id[ID_LEN], digest[COPY_DIGEST_LEN];
    char hex[2 * ID_LEN + 1];
    uint64_t size;
    int source;
    struct copy_source looked; /* the file's state when it was opened */
    P2pd__Control__State state;
    char reason[128];
};

/* A name that the user gives is sent as it is, and the daemon may refuse it. The file's own name
 * may be too long to be sent, and is shortened. */
static void choose_name(const struct context *context, struct sending *sending, const char *own) {
    if (context->options.name)
        snprintf(sending->name, sizeof sending->name, "%s", context->options.name);
    else
        file_name_shorten(own, sending->name);
    text_escape_string(sending->name, sending->shown, sizeof sending->shown);
    if (!context->options.name && strcmp(own, sending->name) != 0 && !context->options.quiet &&
        !context->options.json)
        complain(context, CODE_DONE,
                 "%s: its name has %zu bytes, of which %d can be sent: it is sent as %s (--name "
                 "gives it another)",
                 sending->file, strlen(own), FILE_NAME_SAFE_MAX, sending->name);
}

static enum exit_code open_source(const struct context *context, struct sending *sending) {
    struct stat st;
    const char *slash = strrchr(sending->file, '/');
    bool is_stdin = strcmp(sending->file, "-") == 0;
    if (is_stdin && !context->options.name)
        return complain(context, CODE_USAGE, "standard input has no name: give one with --name");
    sending->source =
        is_stdin ? STDIN_FILENO : open(sending->file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (sending->source < 0)
        return complain(context, CODE_FAILED, "%s: %s", sending->file, strerror(errno));
    if (fstat(sending->source, &st) == 0 && S_ISDIR(st.st_mode))
        return complain(context, CODE_FAILED,
                        "%s: a folder: send an archive, as in tar c %s | p2pctl send DEST - "
                        "--name %s.tar",
                        sending->file, sending->file, slash && slash[1] ? slash + 1 : "folder");
    /* A FIFO would block, and a device has no end. Standard input may be either: the user chose
     * it. */
    if (!is_stdin && !S_ISREG(st.st_mode))
        return complain(context, CODE_FAILED,
                        "%s: not a regular file: send what it gives with - and --name",
                        sending->file);
    copy_look(sending->source, &sending->looked);
    sending->size = sending->looked.size;
    choose_name(context, sending, slash ? slash + 1 : sending->file);
    return CODE_DONE;
}

/* Ask whether the daemon would take the file, and get the descriptor to fill. */
static enum exit_code begin(const struct context *context, struct client *client,
                            struct sending *sending, int *ret_fd) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Send command = P2PD__CONTROL__SEND__INIT;
    P2pd__Control__Answer *answer = NULL;
    command.to = (char *)context->arguments[0];
    command.id = (ProtobufCBinaryData){ID_LEN, sending->id};
    command.name = sending->name;
    command.relays_exact = context->options.relays >= 0;
    command.relays = command.relays_exact ? (uint32_t)context->options.relays : 0;
    command.strict = context->options.strict;
    command.expire_us = context->options.expire.us;
    command.shards_k = context->options.shards.k;
    command.shards_m = context->options.shards.m;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_SEND;
    request.send = &command;
    enum exit_code code = ask_send(context, client, &request);
    if (code == CODE_DONE)
        code = ask_next_fd(context, client, &answer, ret_fd);
    if (code != CODE_DONE)
        return code;
    ask_notice(context, answer);
    client_answer_free(answer);
    return *ret_fd >= 0 ? CODE_DONE
                        : complain(context, CODE_FAILED, "the daemon gave no file to fill");
}

static enum exit_code fill(const struct context *context, struct sending *sending, int fd) {
    struct progress progress;
    bool at_source;
    progress_start(&progress, context, sending->shown, 0, sending->size);
    int error = copy_file(sending->source, fd, copy_most(&sending->looked), &progress,
                          &sending->size, sending->digest, &at_source);
    progress_end(&progress);
    if (error == -EFBIG ||
        (error == 0 && !copy_is_whole(sending->source, &sending->looked, sending->size)))
        return complain(context, CODE_FAILED, "%s: changed while it was read; nothing was sent",
                        sending->file);
    if (error == 0 && fsync(fd) < 0)
        error = -errno;
    if (error < 0)
        return complain(context, CODE_FAILED, "%s: %s: %s", sending->file,
                        at_source ? "cannot be read" : "cannot be copied into the daemon's folder",
                        strerror(-error));
    return CODE_DONE;
}

static void take_state(struct sending *sending, const P2pd__Control__Answer *answer) {
    if (!answer->message)
        return;
    sending->state = answer->message->state;
    snprintf(sending->reason, sizeof sending->reason, "%s", answer->message->reason);
}

static bool is_final(const struct sending *sending) {
    return sending->state > P2PD__CONTROL__STATE__SENT;
}

static enum exit_code commit(struct context *context, struct client *client,
                             struct sending *sending) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__SendDone command = P2PD__CONTROL__SEND_DONE__INIT;
    P2pd__Control__Answer *answer = NULL;
    command.size = sending->size;
    command.sha256 = (ProtobufCBinaryData){COPY_DIGEST_LEN, sending->digest};
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_SEND_DONE;
    request.send_done = &command;
    client_set_timeout(client, ask_timeout_ms(context));
    snprintf(context->outcome, sizeof context->outcome,
             "outcome unknown: p2pctl status %s tells whether it is queued", sending->hex);
    enum exit_code code = ask_send(context, client, &request);
    if (code == CODE_DONE)
        code = ask_next(context, client, &answer);
    context->outcome[0] = '\0';
    if (code != CODE_DONE)
        return code;
    take_state(sending, answer);
    client_answer_free(answer);
    return CODE_DONE;
}

/* ---- Waiting ---- */

struct looking {
    struct sending *sending;
    struct progress *progress;
};

static void take_look(void *state, const P2pd__Control__Answer *answer) {
    struct looking *looking = state;
    take_state(looking->sending, answer);
    if (answer->message && answer->message->known)
        progress_set(looking->progress, answer->message->arrived);
}

/* Ask for the message's state again and again, instead of waiting for one answer, since the
 * progress is shown, too. */
static enum exit_code await(const struct context *context, struct sending *sending) {
    const struct option_time *wait = &context->options.wait;
    int64_t left_ms = wait->timed ? wait->us / 1000 : INT64_MAX, pause_ms = LOOK_FIRST_MS;
    enum exit_code code = CODE_DONE;
    struct progress progress;
    struct looking looking = {sending, &progress};
    progress_start(&progress, context, sending->shown, 0, sending->size);
    while (code == CODE_DONE && !is_final(sending) && left_ms > 0) {
        if (pause_ms > left_ms)
            pause_ms = left_ms;
        poll(NULL, 0, (int)pause_ms);
        left_ms -= pause_ms;
        pause_ms = 2 * pause_ms < LOOK_EVERY_MS ? 2 * pause_ms : LOOK_EVERY_MS;
        code = ask_run_message(context, sending->id, take_look, &looking);
    }
    progress_end(&progress);
    const char *why = words_why(sending->state, sending->reason);
    if (code == CODE_DONE && !is_final(sending))
        return complain(context, CODE_TIMEOUT, "not delivered within %g s: %s stays queued%s%s",
                        (double)wait->us / 1e6, sending->hex, why[0] ? ": " : "", why);
    return code;
}

/* ---- One file ---- */

static void print_json(const struct sending *sending) {
    const ProtobufCBinaryData digest = {COPY_DIGEST_LEN, (uint8_t *)sending->digest};
    struct json json = json_to_stdout();
    json_open(&json, '{');
    json_key(&json, "id");
    json_text(&json, sending->hex);
    json_key(&json, "state");
    json_text(&json, words_state(sending->state));
    json_key(&json, "reason");
    json_string(&json, sending->reason);
    json_key(&json, "name");
    json_text(&json, sending->name);
    json_key(&json, "size");
    json_number(&json, sending->size);
    json_key(&json, "sha256");
    json_hex(&json, &digest);
    json_close(&json, '}');
    printf("\n");
}

static enum exit_code judge(const struct context *context, const struct sending *sending) {
    const char *why = words_why(sending->state, sending->reason);
    if (sending->state == P2PD__CONTROL__STATE__EXPIRED)
        return complain(context, CODE_FAILED,
                        "%s: expired: not confirmed, it may have arrived all the same",
                        sending->file);
    if (sending->state > P2PD__CONTROL__STATE__DELIVERED)
        return complain(context, CODE_FAILED, "%s: %s%s%s", sending->file,
                        words_state(sending->state), why[0] ? ": " : "", why);
    return CODE_DONE;
}

static enum exit_code send_opened(struct context *context, struct sending *sending) {
    struct client *client = NULL;
    int fd = -1;
    enum exit_code code = ask_open(context, &client);
    if (code == CODE_DONE)
        code = begin(context, client, sending, &fd);
    if (code == CODE_DONE)
        code = fill(context, sending, fd);
    if (fd >= 0)
        close(fd);
    if (code == CODE_DONE)
        code = commit(context, client, sending);
    client_close(client);
    if (code != CODE_DONE)
        return code;
    if (!context->options.json && !context->options.quiet)
        printf("%s\n", sending->hex);
    output_flush();
    if (context->options.wait.given)
        code = await(context, sending);
    if (context->options.json)
        print_json(sending);
    return code == CODE_DONE ? judge(context, sending) : code;
}

static enum exit_code send_one(struct context *context, const char *file) {
    struct sending sending = {.file = file, .source = -1};
    message_id_make(sending.id);
    text_hex(sending.id, ID_LEN, sending.hex);
    enum exit_code code = open_source(context, &sending);
    context->about = strcmp(file, "-") == 0 ? NULL : file;
    if (code == CODE_DONE)
        code = send_opened(context, &sending);
    context->about = NULL;
    if (sending.source > STDIN_FILENO)
        close(sending.source);
    return code;
}

enum exit_code send_run(struct context *context) {
    enum exit_code first = CODE_DONE; /* the first error, if any */
    if (context->options.expire.given && context->options.expire.us == 0)
        return complain(context, CODE_USAGE, "--expire wants more than nothing");
    if (context->options.name && context->n_arguments > 2)
        return complain(context, CODE_USAGE, "--name is for one file");
    for (int i = 1; i < context->n_arguments; i++) {
        enum exit_code code = send_one(context, context->arguments[i]);
        if (code == CODE_NO_DAEMON || code == CODE_UNKNOWN || code == CODE_KEY_CHANGED)
            return code; /* the other files would fail the same way */
        if (first == CODE_DONE)
            first = code;
    }
    return first;
}
