/* Exit codes are what scripts live by: every way in which a request can fail ends here, in one
 * table of codes. */
#include "client/session.h"

#include "client/output.h"
#include "shared/paths.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int64_t session_timeout_ms(const struct context *context) {
    return context->options.timeout.us / 1000;
}

static enum exit_code explain_open(const struct context *context, const char *path, int error) {
    struct stat status;
    switch (error) {
    case -ENOENT:
    case -ECONNREFUSED:
    case -ENOTDIR:
        return complain(context, CODE_NO_DAEMON,
                        "no daemon at %s: start p2pd, or name its socket with -s", path);
    case -ETIMEDOUT:
        return complain(context, CODE_TIMEOUT, "the daemon at %s does not take connections", path);
    case -EACCES:
    case -EPERM: {
        const struct group *group = stat(path, &status) == 0 ? getgrgid(status.st_gid) : NULL;
        if (group && (status.st_mode & S_IWGRP))
            return complain(context, CODE_LIMIT, "%s: not permitted: you are not in group %s", path,
                            group->gr_name);
        return complain(context, CODE_LIMIT, "%s: not permitted: another user's daemon", path);
    }
    default:
        return complain(context, CODE_FAILED, "%s: %s", path, strerror(-error));
    }
}

enum exit_code session_open(const struct context *context, struct client **ret_client) {
    char standard[PATHS_MAX];
    const char *path = context->options.socket ? context->options.socket : getenv("P2PD_SOCKET");
    if (!path || path[0] == '\0') {
        int error = paths_socket(standard, sizeof standard);
        if (error < 0)
            return complain(context, CODE_NO_DAEMON, "no socket is known: %s", strerror(-error));
        path = standard;
    }
    int error = client_open(ret_client, path, session_timeout_ms(context));
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

enum exit_code session_send(const struct context *context, struct client *client,
                            P2pd__Control__Request *request) {
    int error = client_send(client, request);
    if (error == -EMSGSIZE)
        return complain(context, CODE_LIMIT, "message too large");
    return error < 0 ? explain_loss(context, error) : CODE_DONE;
}

/* An ambiguous destination: which ones there are. */
static void print_candidates(const P2pd__Control__Answer *answer) {
    char address[TEXT_CELL_MAX], name[TEXT_CELL_MAX], id[TEXT_CELL_MAX];
    for (size_t i = 0; i < answer->n_nodes; i++) {
        cell_address(&answer->nodes[i]->address, true, address);
        cell_name(answer->nodes[i]->name, name);
        cell_id(&answer->nodes[i]->id, id);
        fprintf(stderr, "  %s  %s  %s\n", id, address, name);
    }
}

static enum exit_code explain_answer(const struct context *context,
                                     const P2pd__Control__Answer *answer) {
    enum exit_code code = (enum exit_code)answer->code;
    complain(context, code, "%s", answer->text[0] ? answer->text : "failed");
    print_candidates(answer);
    return code;
}

enum exit_code session_next(const struct context *context, struct client *client,
                            P2pd__Control__Answer **ret_answer) {
    int fd = -1;
    enum exit_code code = session_next_fd(context, client, ret_answer, &fd);
    if (fd >= 0)
        close(fd);
    return code;
}

enum exit_code session_next_fd(const struct context *context, struct client *client,
                               P2pd__Control__Answer **ret_answer, int *ret_fd) {
    P2pd__Control__Answer *answer = NULL;
    int error = client_receive_fd(client, &answer, ret_fd);
    if (error < 0)
        return explain_loss(context, error);
    if (answer->code != P2PD__CONTROL__CODE__OK && !answer->message && !answer->many) {
        enum exit_code code = explain_answer(context, answer);
        client_answer_free(client, answer);
        return code;
    }
    *ret_answer = answer;
    return CODE_DONE;
}

void session_notice(const struct context *context, const P2pd__Control__Answer *answer) {
    bool is_said = answer->message && strcmp(answer->message->reason, answer->text) == 0;
    if (answer->code == P2PD__CONTROL__CODE__OK && answer->text[0] && !is_said &&
        !context->options.quiet && !context->options.json)
        complain(context, CODE_DONE, "%s", answer->text);
}

void session_notice_json(const P2pd__Control__Answer *answer) {
    if (!answer->text[0])
        return;
    printf(",\"notice\":");
    json_string(answer->text);
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

enum exit_code session_gather(const struct context *context, struct client *client,
                              struct answers *answers) {
    for (bool end = false; !end;) {
        P2pd__Control__Answer *answer = NULL;
        enum exit_code code = session_next(context, client, &answer);
        if (code != CODE_DONE)
            return code;
        end = answer->end;
        if (!keep(answers, answer)) {
            client_answer_free(client, answer);
            return complain(context, CODE_FAILED, "no memory");
        }
    }
    return CODE_DONE;
}

void answers_free(struct client *client, struct answers *answers) {
    for (size_t i = 0; i < answers->n; i++)
        client_answer_free(client, answers->v[i]);
    free(answers->v);
    *answers = (struct answers){0};
}

enum exit_code session_run(const struct context *context, P2pd__Control__Request *request,
                           void (*print)(void *state, const P2pd__Control__Answer *answer),
                           void *state) {
    struct answers answers = {0};
    struct client *client = NULL;
    enum exit_code code = session_open(context, &client);
    if (code == CODE_DONE)
        code = session_send(context, client, request);
    if (code == CODE_DONE)
        code = session_gather(context, client, &answers);
    for (size_t i = 0; code == CODE_DONE && print && i < answers.n; i++)
        print(state, answers.v[i]);
    answers_free(client, &answers);
    client_close(client);
    return code;
}

static void print_plain(void *state, const P2pd__Control__Answer *answer) {
    const struct context *context = state;
    if (context->options.json) {
        printf("{\"code\":%d,\"text\":", (int)answer->code);
        json_string(answer->text);
        printf("}\n");
    } else if (answer->text[0] && !context->options.quiet) {
        output_escaped((const uint8_t *)answer->text, strlen(answer->text));
        printf("\n");
    }
}

enum exit_code session_run_plain(const struct context *context, P2pd__Control__Request *request) {
    return session_run(context, request, print_plain, (void *)context);
}
