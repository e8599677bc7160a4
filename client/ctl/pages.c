/* See pages.h. */
#include "client/ctl/pages.h"

static enum exit_code ask(const struct context *context, enum pages kind, int64_t after,
                          struct client **ret_client, struct answers *answers) {
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
    enum exit_code code = ask_open(context, ret_client);
    if (code == CODE_DONE)
        code = ask_send(context, *ret_client, &request);
    return code == CODE_DONE ? ask_gather(context, *ret_client, answers) : code;
}

/* Take the answers of one page. The last one says where the next page begins. */
static enum exit_code take_page(const struct context *context, const struct answers *answers,
                                enum exit_code (*take)(void *state,
                                                       const P2pd__Control__Answer *answer),
                                void *state, int64_t *cursor, bool *ret_more) {
    const P2pd__Control__Answer *last = answers->v[answers->n - 1];
    enum exit_code code = CODE_DONE;
    for (size_t i = 0; code == CODE_DONE && i < answers->n; i++)
        code = take(state, answers->v[i]);
    if (code == CODE_DONE && last->more && last->next <= *cursor)
        return complain(context, CODE_FAILED, "the daemon's list does not end");
    *ret_more = last->more;
    *cursor = last->next;
    return code;
}

enum exit_code pages_run(const struct context *context, enum pages kind,
                         enum exit_code (*take)(void *state, const P2pd__Control__Answer *answer),
                         void *state) {
    enum exit_code code = CODE_DONE;
    int64_t after = 0;
    for (bool more = true; more && code == CODE_DONE;) {
        struct answers answers = {0};
        struct client *client = NULL;
        code = ask(context, kind, after, &client, &answers);
        if (code == CODE_DONE)
            code = take_page(context, &answers, take, state, &after, &more);
        answers_free(&answers);
        client_close(client);
    }
    return code;
}
