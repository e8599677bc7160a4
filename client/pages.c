/* See pages.h. */
#include "client/pages.h"

static enum exit_code ask(const struct context *context, enum pages kind, int64_t after,
                          struct client **ret_client, P2pd__Control__Answer **ret_answer) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Conversations conversations = P2PD__CONTROL__CONVERSATIONS__INIT;
    P2pd__Control__History history = P2PD__CONTROL__HISTORY__INIT;
    P2pd__Control__Files files = P2PD__CONTROL__FILES__INIT;
    conversations.after = history.after = files.after = after;
    switch (kind) {
    case PAGES_CONVERSATIONS:
        request.command_case = P2PD__CONTROL__REQUEST__COMMAND_CONVERSATIONS;
        request.conversations = &conversations;
        break;
    case PAGES_HISTORY:
        history.to = (char *)context->arguments[0];
        history.since_us = context->options.since.us;
        history.until_us = context->options.until.us;
        request.command_case = P2PD__CONTROL__REQUEST__COMMAND_HISTORY;
        request.history = &history;
        break;
    case PAGES_FILES:
        request.command_case = P2PD__CONTROL__REQUEST__COMMAND_FILES;
        request.files = &files;
        break;
    }
    enum exit_code code = session_open(context, ret_client);
    if (code == CODE_DONE)
        code = session_send(context, *ret_client, &request);
    return code == CODE_DONE ? session_next(context, *ret_client, ret_answer) : code;
}

enum exit_code pages_run(const struct context *context, enum pages kind,
                         enum exit_code (*take)(void *state, const P2pd__Control__Answer *answer),
                         void *state) {
    enum exit_code code = CODE_DONE;
    int64_t after = 0;
    for (bool more = true; more && code == CODE_DONE;) {
        P2pd__Control__Answer *answer = NULL;
        struct client *client = NULL;
        code = ask(context, kind, after, &client, &answer);
        if (code == CODE_DONE) {
            code = take(state, answer);
            more = answer->more;
            if (more && answer->next == after)
                code = complain(context, CODE_FAILED, "the daemon's list does not end");
            after = answer->next;
        }
        client_answer_free(client, answer);
        client_close(client);
    }
    return code;
}
