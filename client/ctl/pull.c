/* p2pctl pull. Threat: a message that is confirmed and then lost. So a batch is confirmed only
 * after standard output has taken all of it without an error; whatever goes wrong before that, the
 * daemon hands the batch out again. */
#include "client/common/output.h"
#include "client/common/table.h"
#include "client/ctl/ask.h"
#include "client/ctl/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const struct option pull_options[] = {
    {"null", '0', OPTION_FLAG, offsetof(struct options, zero), NULL,
     "raw bytes: SOURCE-IP, NUL, LENGTH, NUL, BODY"},
    {"peek", 0, OPTION_FLAG, offsetof(struct options, peek), NULL, "leave the messages there"},
    {"wait", 'w', OPTION_TIME_MAYBE, offsetof(struct options, wait), "TIME",
     "wait until there is one (no TIME: for ever)"},
    {"follow", 'f', OPTION_FLAG, offsetof(struct options, follow), NULL, "go on waiting for more"},
    {"from", 0, OPTION_TEXT, offsetof(struct options, from), "DEST", "of this sender only"},
    {"since", 0, OPTION_WHEN_OR_ID, offsetof(struct options, since), "TIME|ID",
     "received at TIME or later, or after the message ID"},
    {"number", 'n', OPTION_NUMBER, offsetof(struct options, count), "MAX", "at most MAX messages"},
    {NULL, 0, OPTION_FLAG, 0, NULL, NULL}};

static void print_message(const struct context *context, const P2pd__Control__Incoming *message) {
    char ip[TEXT_CELL_MAX];
    if (context->options.json) {
        struct json json = json_to_stdout();
        json_message(&json, &message->base);
        printf("\n");
        return;
    }
    cell_address(&message->address, false, ip);
    if (context->options.zero) {
        printf("%s%c%zu%c", ip, 0, message->body.len, 0);
        if (message->body.len > 0) /* an empty one has no bytes to point to */
            fwrite(message->body.data, 1, message->body.len, stdout);
    } else {
        printf("%s\t", ip);
        output_escaped(message->body.data, message->body.len);
        printf("\n");
    }
}

/* How long to wait for the next answer: as long as the daemon may take if it has something to say
 * (--timeout), or as long as the user wants to wait for a message (--wait, --follow). */
static void set_patience(const struct context *context, struct client *client, bool taken) {
    const struct options *options = &context->options;
    if ((options->wait.given || options->follow) && (!taken || options->follow))
        client_set_timeout(client, options->wait.timed ? options->wait.us / 1000 : CLIENT_FOREVER);
    else
        client_set_timeout(client, ask_timeout_ms(context));
}

/* The batch is on standard output: confirm it. */
static enum exit_code confirm(const struct context *context, struct client *client) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Confirm nothing = P2PD__CONTROL__CONFIRM__INIT;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_CONFIRM;
    request.confirm = &nothing;
    return ask_send(context, client, &request);
}

static enum exit_code print_batch(const struct context *context, struct client *client,
                                  const P2pd__Control__Answer *answer) {
    for (size_t i = 0; i < answer->n_messages; i++)
        print_message(context, answer->messages[i]);
    /* Print what is there before waiting for more, also with --peek. */
    if (!answer->confirm && answer->n_messages == 0)
        return CODE_DONE;
    int error = output_flush();
    if (error < 0)
        return complain(context, CODE_FAILED, "standard output: %s: not confirmed",
                        strerror(-error));
    return answer->confirm ? confirm(context, client) : CODE_DONE;
}

static enum exit_code receive_all(const struct context *context, struct client *client) {
    bool waits = context->options.wait.given || context->options.follow;
    bool taken = false, end = false;
    enum exit_code code = CODE_DONE;
    while (code == CODE_DONE && !end) {
        P2pd__Control__Answer *answer;
        set_patience(context, client, taken);
        int error = waits ? client_receive(client, &answer) : 0;
        if (error == -ETIMEDOUT)
            return taken ? CODE_DONE
                         : complain(context, CODE_TIMEOUT, "no message within %g s",
                                    (double)context->options.wait.us / 1e6);
        if (error < 0)
            return complain(context, CODE_FAILED, "the daemon is gone: %s", strerror(-error));
        if (!waits)
            code = ask_next(context, client, &answer);
        if (code != CODE_DONE)
            return code;
        end = answer->end;
        taken = taken || answer->n_messages > 0;
        code = answer->code ? complain(context, (enum exit_code)answer->code, "%s", answer->text)
                            : print_batch(context, client, answer);
        client_answer_free(answer);
    }
    return code;
}

enum exit_code pull_run(struct context *context) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Pull pull = P2PD__CONTROL__PULL__INIT;
    struct client *client = NULL;
    if (context->options.count == 0)
        return complain(context, CODE_USAGE, "-n wants at least 1");
    pull.peek = context->options.peek;
    pull.wait = context->options.wait.given || context->options.follow;
    pull.follow = context->options.follow;
    if (context->options.from)
        pull.from = (char *)context->options.from;
    pull.max = context->options.count > 0 ? (uint32_t)context->options.count : 0;
    if (context->options.since.is_id)
        pull.since_id =
            (ProtobufCBinaryData){sizeof context->options.since.id, context->options.since.id};
    else
        pull.since_us = context->options.since.us;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PULL;
    request.pull = &pull;
    enum exit_code code = ask_open(context, &client);
    if (code == CODE_DONE)
        code = ask_send(context, client, &request);
    if (code == CODE_DONE)
        code = receive_all(context, client);
    client_close(client);
    return code;
}
