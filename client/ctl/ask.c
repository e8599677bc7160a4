/* Scripts rely on exit codes: every way in which a request can fail is turned into its code here,
 * by one table. */
#include "client/ctl/ask.h"

#include "client/common/output.h"
#include "client/common/table.h"
#include "shared/message_id.h"
#include "shared/paths.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int64_t ask_wait_us(const struct context *context) {
    return context->options.wait.timed ? context->options.wait.us : INT64_C(30000000);
}

int64_t ask_timeout_ms(const struct context *context) {
    return context->options.timeout.us / 1000;
}

/* Find the first part of the path that denies us access: a folder, or the socket itself. */
static void find_barrier(const char *path, char ret_part[PATHS_MAX], struct stat *ret_status) {
    size_t length = strlen(path);
    *ret_status = (struct stat){.st_mode = 0};
    for (size_t i = 1; i <= length && i < PATHS_MAX; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        snprintf(ret_part, PATHS_MAX, "%.*s", (int)i, path);
        if (stat(ret_part, ret_status) < 0)
            return;
        if (access(ret_part, S_ISDIR(ret_status->st_mode) ? X_OK : W_OK) < 0)
            return;
    }
}

/* Does the group list this user now? The groups of a login were fixed when it began. */
static bool is_listed(const struct group *group) {
    const struct passwd *entry = getpwuid(geteuid());
    for (char **member = group->gr_mem; entry && *member; member++)
        if (strcmp(*member, entry->pw_name) == 0)
            return true;
    return false;
}

static enum exit_code explain_denied(const struct context *context, const char *path) {
    char part[PATHS_MAX] = "";
    struct stat status;
    find_barrier(path, part, &status);
    const char *what = S_ISDIR(status.st_mode) ? "folder" : "socket";
    mode_t bit = S_ISDIR(status.st_mode) ? S_IXGRP : S_IWGRP;
    const struct group *group = (status.st_mode & bit) ? getgrgid(status.st_gid) : NULL;
    if (group && is_listed(group))
        return complain(context, CODE_LIMIT,
                        "%s: not permitted: you are in group %s, but this login is older than "
                        "that: log in again",
                        path, group->gr_name);
    if (group && status.st_gid != 0)
        return complain(context, CODE_LIMIT,
                        "%s: not permitted: you are not in group %s, which the %s %s is for", path,
                        group->gr_name, what, part);
    const struct passwd *owner = getpwuid(status.st_uid);
    return complain(context, CODE_LIMIT,
                    "%s: not permitted: the %s %s is for user %s alone (mode %04o): set "
                    "control.group and control.mode in p2pd.conf, or be that user or root",
                    path, what, part, owner ? owner->pw_name : "another",
                    (unsigned)(status.st_mode & 07777));
}

static enum exit_code explain_open(const struct context *context, const char *path, int error) {
    switch (error) {
    case -ENOENT:
    case -ECONNREFUSED:
    case -ENOTDIR:
        return complain(context, CODE_NO_DAEMON,
                        "no daemon at %s: start p2pd, or name its socket with -s", path);
    case -ETIMEDOUT:
        return complain(context, CODE_TIMEOUT, "the daemon at %s does not take connections", path);
    case -EACCES:
    case -EPERM:
        return explain_denied(context, path);
    default:
        return complain(context, CODE_FAILED, "%s: %s", path, strerror(-error));
    }
}

enum exit_code ask_open(const struct context *context, struct client **ret_client) {
    char standard[PATHS_MAX];
    const char *path = context->options.socket ? context->options.socket : getenv("P2PD_SOCKET");
    if (!path || path[0] == '\0') {
        int error = paths_socket(standard, sizeof standard);
        if (error < 0)
            return complain(context, CODE_NO_DAEMON, "no socket is known: %s", strerror(-error));
        path = standard;
    }
    int error = client_open(ret_client, path, ask_timeout_ms(context));
    return error < 0 ? explain_open(context, path, error) : CODE_DONE;
}

static enum exit_code explain_loss(const struct context *context, int error) {
    const char *separator = context->outcome[0] ? ": " : "";
    if (error == -ETIMEDOUT)
        return complain(context, CODE_TIMEOUT, "no answer from the daemon within %g s%s%s",
                        (double)context->options.timeout.us / 1e6, separator, context->outcome);
    if (error == -EPIPE)
        return complain(context, context->outcome[0] ? CODE_TIMEOUT : CODE_FAILED,
                        "the daemon closed without an answer%s%s", separator, context->outcome);
    if (error == -EPROTO)
        return complain(context, CODE_FAILED, "what answers there does not speak this version%s%s",
                        separator, context->outcome);
    return complain(context, CODE_FAILED, "%s%s%s", strerror(-error), separator, context->outcome);
}

enum exit_code ask_send(const struct context *context, struct client *client,
                        P2pd__Control__Request *request) {
    int error = client_send(client, request);
    if (error == -EMSGSIZE)
        return complain(context, CODE_LIMIT, "message too large");
    return error < 0 ? explain_loss(context, error) : CODE_DONE;
}

/* List the nodes that an ambiguous destination may mean. */
static void print_candidates(const P2pd__Control__Answer *answer) {
    char address[TEXT_CELL_MAX], name[TEXT_CELL_MAX], id[TEXT_CELL_MAX];
    for (size_t i = 0; i < answer->n_nodes; i++) {
        cell_address(&answer->nodes[i]->address, true, address);
        cell_name(answer->nodes[i]->name, name);
        cell_id(&answer->nodes[i]->id, id);
        fprintf(stderr, "  %s  %s  %s\n", id, address, name);
    }
}

/* Explain an answer that is an error. A wrong destination concerns all files that a command sends;
 * any other error concerns only the file at hand, which is then named. */
static void explain_answer(const struct context *context, const P2pd__Control__Answer *answer) {
    enum exit_code code = (enum exit_code)answer->code;
    const char *text = answer->text[0] ? answer->text : "failed";
    if (context->about && code != CODE_UNKNOWN && code != CODE_KEY_CHANGED)
        complain(context, code, "%s: %s", context->about, text);
    else
        complain(context, code, "%s", text);
    print_candidates(answer);
}

enum exit_code ask_next(const struct context *context, struct client *client,
                        P2pd__Control__Answer **ret_answer) {
    int fd = -1;
    enum exit_code code = ask_next_fd(context, client, ret_answer, &fd);
    if (fd >= 0)
        close(fd);
    return code;
}

static enum exit_code next(const struct context *context, struct client *client, bool may_miss,
                           P2pd__Control__Answer **ret_answer, int *ret_fd) {
    P2pd__Control__Answer *answer = NULL;
    int error = client_receive_fd(client, &answer, ret_fd);
    if (error < 0)
        return explain_loss(context, error);
    if (answer->code != P2PD__CONTROL__CODE__OK && !answer->message && !answer->many) {
        enum exit_code code = (enum exit_code)answer->code;
        if (!may_miss || code != CODE_UNKNOWN)
            explain_answer(context, answer);
        client_answer_free(answer);
        return code;
    }
    *ret_answer = answer;
    return CODE_DONE;
}

enum exit_code ask_next_fd(const struct context *context, struct client *client,
                           P2pd__Control__Answer **ret_answer, int *ret_fd) {
    return next(context, client, false, ret_answer, ret_fd);
}

enum exit_code ask_try_fd(const struct context *context, struct client *client,
                          P2pd__Control__Answer **ret_answer, int *ret_fd) {
    return next(context, client, true, ret_answer, ret_fd);
}

void ask_notice(const struct context *context, const P2pd__Control__Answer *answer) {
    bool is_said = answer->message && strcmp(answer->message->reason, answer->text) == 0;
    if (answer->code == P2PD__CONTROL__CODE__OK && answer->text[0] && !is_said &&
        !context->options.quiet && !context->options.json)
        complain(context, CODE_DONE, "%s", answer->text);
}

void ask_notice_json(struct json *json, const P2pd__Control__Answer *answer) {
    if (!answer->text[0])
        return;
    json_key(json, "notice");
    json_text(json, answer->text);
}

static bool keep(struct answers *answers, P2pd__Control__Answer *answer) {
    if (answers->n == answers->room) {
        size_t room = answers->room ? 2 * answers->room : 16;
        P2pd__Control__Answer **v = realloc(answers->v, room * sizeof(P2pd__Control__Answer *));
        if (!v)
            return false;
        answers->v = v;
        answers->room = room;
    }
    answers->v[answers->n++] = answer;
    return true;
}

enum exit_code ask_gather(const struct context *context, struct client *client,
                          struct answers *answers) {
    for (bool end = false; !end;) {
        P2pd__Control__Answer *answer = NULL;
        enum exit_code code = ask_next(context, client, &answer);
        if (code != CODE_DONE)
            return code;
        end = answer->end;
        if (!keep(answers, answer)) {
            client_answer_free(answer);
            return complain(context, CODE_FAILED, "no memory");
        }
    }
    return CODE_DONE;
}

void answers_free(struct answers *answers) {
    for (size_t i = 0; i < answers->n; i++)
        client_answer_free(answers->v[i]);
    free(answers->v);
    *answers = (struct answers){0};
}

enum exit_code ask_run(const struct context *context, P2pd__Control__Request *request,
                       void (*print)(void *state, const P2pd__Control__Answer *answer),
                       void *state) {
    struct answers answers = {0};
    struct client *client = NULL;
    enum exit_code code = ask_open(context, &client);
    if (code == CODE_DONE)
        code = ask_send(context, client, request);
    if (code == CODE_DONE)
        code = ask_gather(context, client, &answers);
    for (size_t i = 0; code == CODE_DONE && print && i < answers.n; i++)
        print(state, answers.v[i]);
    answers_free(&answers);
    client_close(client);
    return code;
}

enum exit_code ask_run_message(const struct context *context, const uint8_t *id,
                               void (*print)(void *state, const P2pd__Control__Answer *answer),
                               void *state) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__MessageStatus message = P2PD__CONTROL__MESSAGE_STATUS__INIT;
    message.id = (ProtobufCBinaryData){MESSAGE_ID_BYTES, (uint8_t *)id};
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_MESSAGE;
    request.message = &message;
    return ask_run(context, &request, print, state);
}

static void print_plain(void *state, const P2pd__Control__Answer *answer) {
    const struct context *context = state;
    if (context->options.json) {
        struct json json = json_to_stdout();
        json_open(&json, '{');
        json_key(&json, "code");
        json_signed(&json, answer->code);
        json_key(&json, "text");
        json_string(&json, answer->text);
        json_close(&json, '}');
        printf("\n");
    } else if (answer->text[0] && !context->options.quiet) {
        output_escaped((const uint8_t *)answer->text, strlen(answer->text));
        printf("\n");
    }
}

enum exit_code ask_run_plain(const struct context *context, P2pd__Control__Request *request) {
    return ask_run(context, request, print_plain, (void *)context);
}
