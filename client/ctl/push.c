/* p2pctl push. The id of a message is made here, so that a push whose answer was lost can be
 * repeated without doubling it. */
#include "client/ctl/push.h"

#include "client/common/json.h"
#include "client/common/output.h"
#include "client/common/words.h"
#include "client/ctl/ask.h"
#include "client/ctl/command.h"
#include "client/ctl/route.h"
#include "shared/frame.h"
#include "shared/message_id.h"
#include "shared/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ID_LEN 16
/* No daemon takes a longer message. The limit of p2pd.conf is checked by the daemon. */
#define BODY_MAX FRAME_MESSAGE_MAX

const struct option push_options[] = {
    {"wait", 'w', OPTION_TIME_MAYBE, offsetof(struct options, wait), "TIME",
     "return when the recipient has stored it (30s)"},
    {"relays", 0, OPTION_NUMBER, offsetof(struct options, relays), "N", "exactly N relays"},
    {"strict", 0, OPTION_FLAG, offsetof(struct options, strict), NULL,
     "fail rather than use fewer relays than configured"},
    {"expire", 0, OPTION_TIME, offsetof(struct options, expire), "TIME", "give up after TIME"},
    {"trace", 0, OPTION_FLAG, offsetof(struct options, trace), NULL, "print the relays chosen"},
    {"shards", 0, OPTION_SHARDS, offsetof(struct options, shards), "K[+M]",
     "K data and M parity shards, a path each"},
    {"lines", 0, OPTION_FLAG, offsetof(struct options, lines), NULL,
     "standard input, a message a line"},
    {"id", 0, OPTION_TEXT, offsetof(struct options, id), "ID",
     "repeat the push of that id: it is queued once"},
    {NULL, 0, OPTION_FLAG, 0, NULL, NULL}};

struct body {
    uint8_t *bytes;
    size_t length;
};

static enum exit_code read_stdin(const struct context *context, struct body *ret_body) {
    struct body body = {NULL, 0};
    size_t room = 0;
    for (;;) {
        if (body.length == room) {
            room = room ? 2 * room : 1 << 16;
            uint8_t *bytes = realloc(body.bytes, room);
            if (!bytes) {
                free(body.bytes);
                return complain(context, CODE_FAILED, "standard input: no memory");
            }
            body.bytes = bytes;
        }
        ssize_t n = read(STDIN_FILENO, body.bytes + body.length, room - body.length);
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        body.length += n > 0 ? (size_t)n : 0;
        if (n < 0 || body.length > BODY_MAX) {
            free(body.bytes);
            return n < 0 ? complain(context, CODE_FAILED, "standard input: %s", strerror(errno))
                         : complain(context, CODE_LIMIT, "message too large: more than %u bytes",
                                    (unsigned)BODY_MAX);
        }
    }
    *ret_body = body;
    return CODE_DONE;
}

static enum exit_code join_words(const struct context *context, const char **words, int n,
                                 struct body *ret_body) {
    size_t length = 0, at = 0;
    for (int i = 0; i < n; i++)
        length += strlen(words[i]) + (i > 0);
    uint8_t *bytes = malloc(length + 1);
    if (!bytes)
        return complain(context, CODE_FAILED, "no memory");
    for (int i = 0; i < n; i++) {
        if (i > 0)
            bytes[at++] = ' ';
        memcpy(bytes + at, words[i], strlen(words[i]));
        at += strlen(words[i]);
    }
    *ret_body = (struct body){bytes, length};
    return CODE_DONE;
}

static enum exit_code read_body(const struct context *context, struct body *ret_body) {
    const char **words = context->arguments + 1;
    int n = context->n_arguments - 1;
    if (n == 0 || (n == 1 && strcmp(words[0], "-") == 0))
        return read_stdin(context, ret_body);
    return join_words(context, words, n, ret_body);
}

static enum exit_code make_id(struct context *context, uint8_t ret_id[ID_LEN]) {
    char hex[2 * ID_LEN + 1];
    if (!context->options.id)
        message_id_make(ret_id);
    else if (text_unhex(context->options.id, ret_id, ID_LEN) < 0)
        return complain(context, CODE_USAGE, "--id wants %d hex digits", 2 * ID_LEN);
    text_hex(ret_id, ID_LEN, hex);
    snprintf(context->outcome, sizeof context->outcome,
             "outcome unknown: message %s may be queued; repeating with --id %s is safe", hex, hex);
    return CODE_DONE;
}

/* What is known of the message so far; answers come one by one. */
struct progress {
    char id[2 * ID_LEN + 1];
    P2pd__Control__State state; /* NONE until the daemon has accepted it */
    char reason[128], notice[256];
    /* The routes of --trace, which may come before or after the id is printed. With --json they are
     * kept, since the object is printed at the end. */
    P2pd__Control__Answer *routes;
};

/* Print what has become known: the id at once, for whoever waits for the delivery, and the routes
 * when the message leaves. */
static void print_progress(const struct context *context, const struct progress *progress,
                           bool accepted_now) {
    if (context->options.json || progress->state == P2PD__CONTROL__STATE__NONE)
        return;
    if (accepted_now && !context->options.quiet)
        printf("%s\n", progress->id);
    if (progress->routes)
        routes_print(progress->routes->routes);
    output_flush();
}

static void take_notice(const struct context *context, struct progress *progress,
                        const P2pd__Control__Answer *answer) {
    ask_notice(context, answer);
    if (answer->code == P2PD__CONTROL__CODE__OK && !progress->notice[0])
        snprintf(progress->notice, sizeof progress->notice, "%s", answer->text);
}

static void take_state(void *state, const P2pd__Control__Answer *answer) {
    struct progress *progress = state;
    if (!answer->message)
        return;
    progress->state = answer->message->state;
    snprintf(progress->reason, sizeof progress->reason, "%s", answer->message->reason);
}

static void take_answer(const struct context *context, struct progress *progress,
                        P2pd__Control__Answer *answer) {
    bool accepted = progress->state != P2PD__CONTROL__STATE__NONE;
    take_state(progress, answer);
    take_notice(context, progress, answer);
    bool holds = answer->routes && !progress->routes;
    if (holds)
        progress->routes = answer;
    if (!accepted || holds)
        print_progress(context, progress, !accepted);
    if (!holds)
        client_answer_free(answer);
}

static void print_json(const struct progress *progress) {
    struct json json = json_to_stdout();
    json_open(&json, '{');
    json_key(&json, "id");
    json_text(&json, progress->id);
    json_key(&json, "state");
    json_text(&json, words_state(progress->state));
    if (progress->reason[0]) {
        json_key(&json, "reason");
        json_text(&json, progress->reason);
    }
    if (progress->notice[0]) {
        json_key(&json, "notice");
        json_text(&json, progress->notice);
    }
    if (progress->routes) {
        json_key(&json, "paths");
        json_paths(&json, progress->routes->routes);
    }
    json_close(&json, '}');
    printf("\n");
}

static enum exit_code judge(const struct context *context, const struct progress *progress) {
    const char *why = words_why(progress->state, progress->reason);
    switch (progress->state) {
    case P2PD__CONTROL__STATE__EXPIRED:
        return complain(context, CODE_FAILED,
                        "expired: not confirmed, it may have arrived all the same");
    case P2PD__CONTROL__STATE__FAILED_FOR_GOOD:
    case P2PD__CONTROL__STATE__REFUSED:
        return complain(context, CODE_FAILED, "%s%s%s", words_state(progress->state),
                        why[0] ? ": " : "", why);
    case P2PD__CONTROL__STATE__NONE:
        return complain(context, CODE_FAILED, "the daemon did not accept it");
    default:
        return CODE_DONE;
    }
}

/* The message was accepted, but not delivered (or, with --trace alone, not sent) in time. That is
 * no failure of the message. Its present state tells what holds it up. */
static enum exit_code wait_ended(const struct context *context, struct progress *progress,
                                 double seconds) {
    uint8_t id[ID_LEN];
    if (text_unhex(progress->id, id, sizeof id) == 0)
        (void)ask_run_message(context, id, take_state, progress);
    if (context->options.json)
        print_json(progress);
    const char *why = words_why(progress->state, progress->reason);
    return complain(context, CODE_TIMEOUT, "not %s within %g s: message %s stays queued%s%s",
                    context->options.wait.given ? "delivered" : "sent", seconds, progress->id,
                    why[0] ? ": " : "", why);
}

/* Get the next answer. If an answer is lost before the message is accepted, it is not known whether
 * it was. */
static enum exit_code receive(const struct context *context, struct client *client,
                              struct progress *progress, double wait_s,
                              P2pd__Control__Answer **ret_answer) {
    if (progress->state == P2PD__CONTROL__STATE__NONE)
        return ask_next(context, client, ret_answer);
    int error = client_receive(client, ret_answer);
    if (error == -ETIMEDOUT)
        return wait_ended(context, progress, wait_s);
    return error < 0 ? complain(context, CODE_TIMEOUT,
                                "the daemon went away: message %s was queued", progress->id)
                     : CODE_DONE;
}

static enum exit_code follow(struct context *context, struct client *client,
                             struct progress *progress) {
    int64_t wait_us = ask_wait_us(context);
    enum exit_code code = CODE_DONE;
    for (bool end = false; !end && code == CODE_DONE;) {
        P2pd__Control__Answer *answer;
        bool accepted = progress->state != P2PD__CONTROL__STATE__NONE;
        code = receive(context, client, progress, (double)wait_us / 1e6, &answer);
        if (code != CODE_DONE)
            return code;
        end = answer->end;
        if (answer->code != P2PD__CONTROL__CODE__OK && !answer->message)
            code = complain(context, (enum exit_code)answer->code, "%s", answer->text);
        take_answer(context, progress, answer);
        if (!accepted && progress->state != P2PD__CONTROL__STATE__NONE)
            client_set_timeout(client, wait_us / 1000);
    }
    if (context->options.json && progress->state != P2PD__CONTROL__STATE__NONE)
        print_json(progress);
    return code != CODE_DONE ? code : judge(context, progress);
}

static enum exit_code push_body(struct context *context, const struct body *body,
                                uint8_t id[ID_LEN]) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Push push = P2PD__CONTROL__PUSH__INIT;
    struct progress progress = {.state = P2PD__CONTROL__STATE__NONE};
    struct client *client = NULL;
    text_hex(id, ID_LEN, progress.id);
    push.to = (char *)context->arguments[0];
    push.id = (ProtobufCBinaryData){ID_LEN, id};
    push.body = (ProtobufCBinaryData){body->length, body->bytes};
    push.relays_exact = context->options.relays >= 0;
    push.relays = push.relays_exact ? (uint32_t)context->options.relays : 0;
    push.strict = context->options.strict;
    push.trace = context->options.trace;
    push.wait = context->options.wait.given;
    push.expire_us = context->options.expire.us;
    push.shards_k = context->options.shards.k;
    push.shards_m = context->options.shards.m;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PUSH;
    request.push = &push;
    enum exit_code code = ask_open(context, &client);
    if (code == CODE_DONE)
        code = ask_send(context, client, &request);
    if (code == CODE_DONE)
        code = follow(context, client, &progress);
    client_answer_free(progress.routes);
    client_close(client);
    return code;
}

enum exit_code push_run(struct context *context) {
    uint8_t id[ID_LEN];
    struct body body = {NULL, 0};
    if (context->options.expire.given && context->options.expire.us == 0)
        return complain(context, CODE_USAGE, "--expire wants more than nothing");
    if (context->options.lines) {
        if (context->n_arguments > 1 || context->options.id || context->options.trace)
            return complain(context, CODE_USAGE,
                            "--lines reads standard input: it goes with no MESSAGE, --id or "
                            "--trace");
        return push_lines(context);
    }
    enum exit_code code = make_id(context, id);
    if (code == CODE_DONE)
        code = read_body(context, &body);
    if (code == CODE_DONE)
        code = push_body(context, &body, id);
    free(body.bytes);
    return code;
}
