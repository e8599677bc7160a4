/* p2pctl conversations, history, forget. */
#include "client/common/output.h"
#include "client/common/words.h"
#include "client/ctl/command.h"
#include "client/ctl/listing.h"
#include "client/ctl/pages.h"
#include "shared/text.h"

#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct option history_options[] = {
    {"since", 0, OPTION_WHEN, offsetof(struct options, since), "TIME", "not before TIME"},
    {"until", 0, OPTION_WHEN, offsetof(struct options, until), "TIME", "before TIME"},
    {NULL, 0, OPTION_FLAG, 0, NULL, NULL}};

#define ID_LEN 32

struct conversations {
    struct listing listing;
    void *ids; /* ids of the conversations listed so far: a tree */
};

/* ---- conversations ---- */

static void conversation_row(struct table *table, const P2pd__Control__Conversation *conversation) {
    char cell[TEXT_CELL_MAX];
    cell_name(conversation->name, cell);
    table_cell(table, cell);
    cell_address(&conversation->address, true, cell);
    table_cell(table, cell);
    cell_id(&conversation->peer, cell);
    table_cell(table, cell);
    snprintf(cell, sizeof cell, "%" PRIu64, conversation->waiting);
    table_cell(table, cell);
    snprintf(cell, sizeof cell, "%" PRIu64, conversation->pending);
    table_cell(table, cell);
    cell_time(conversation->last_us, cell);
    table_cell(table, cell);
    table_cell(table, conversation->last_outgoing ? ">" : "<");
    cell_bytes(&conversation->last_text, cell);
    table_cell(table, cell);
}

static int compare_ids(const void *a, const void *b) {
    return memcmp(a, b, ID_LEN);
}

/* Remember an id. The list has the latest conversation first, so one that becomes newer between two
 * pages moves others into the next page: each is listed only once. 1: the id is new, 0: it is not,
 * -1: no memory. */
static int note_id(struct conversations *conversations, const ProtobufCBinaryData *data) {
    uint8_t *id = calloc(1, ID_LEN);
    if (!id)
        return -1;
    memcpy(id, data->data, data->len < ID_LEN ? data->len : ID_LEN);
    uint8_t **found = tsearch(id, &conversations->ids, compare_ids);
    bool is_new = found && *found == id;
    if (!is_new)
        free(id);
    return found ? is_new : -1;
}

static void free_ids(struct conversations *conversations) {
    while (conversations->ids) {
        uint8_t *id = *(uint8_t **)conversations->ids;
        tdelete(id, &conversations->ids, compare_ids);
        free(id);
    }
}

static enum exit_code take_conversations(void *state, const P2pd__Control__Answer *answer) {
    struct conversations *conversations = state;
    struct listing *listing = &conversations->listing;
    for (size_t i = 0; i < answer->n_conversations; i++) {
        int is_new = note_id(conversations, &answer->conversations[i]->peer);
        if (is_new < 0)
            return complain(listing->context, CODE_FAILED, "no memory");
        if (is_new && listing->table)
            conversation_row(listing->table, answer->conversations[i]);
        else if (is_new)
            listing_record(listing, &answer->conversations[i]->base);
    }
    return CODE_DONE;
}

enum exit_code conversations_run(struct context *context) {
    static const char *const heads[] = {"NAME",    "ADDRESS", "ID", "WAITING",
                                        "PENDING", "LAST",    "",   "MESSAGE"};
    struct conversations conversations = {.ids = NULL};
    enum exit_code code =
        listing_begin(&conversations.listing, context, heads, sizeof heads / sizeof heads[0]);
    if (code == CODE_DONE)
        code = pages_run(context, PAGES_CONVERSATIONS, take_conversations, &conversations);
    code = listing_end(&conversations.listing, code);
    free_ids(&conversations);
    return code;
}

/* ---- history ---- */

static void item_json(const P2pd__Control__HistoryItem *item) {
    struct json json = json_to_stdout();
    json_message(&json, &item->base);
    printf("\n");
}

static void item_text(const P2pd__Control__HistoryItem *item) {
    char time[TEXT_TIME_MAX], why[TEXT_CELL_MAX] = "";
    const char *reason = words_why(item->state, item->reason);
    text_time(item->outgoing || !item->done_us ? item->sent_us : item->done_us, time);
    if (item->outgoing && reason[0])
        text_escape_string(reason, why, sizeof why);
    printf("%s\t%s\t%s%s%s\t", time, item->outgoing ? ">" : "<", words_item(item),
           why[0] ? ": " : "", why);
    if (item->kind == WORDS_KIND_FILE) {
        printf("[file] ");
        output_escaped(item->file_name.data, item->file_name.len);
        printf(" (%" PRIu64 " bytes)", item->size);
    } else {
        output_escaped(item->body.data, item->body.len);
    }
    printf("\n");
}

static enum exit_code take_history(void *state, const P2pd__Control__Answer *answer) {
    const struct context *context = state;
    for (size_t i = 0; i < answer->n_history; i++)
        if (context->options.json)
            item_json(answer->history[i]);
        else
            item_text(answer->history[i]);
    int error = output_flush();
    return error < 0 ? complain(context, CODE_FAILED, "standard output: %s", strerror(-error))
                     : CODE_DONE;
}

enum exit_code history_run(struct context *context) {
    if (context->options.until.given && context->options.until.us <= context->options.since.us)
        return complain(context, CODE_USAGE, "--until lies before --since");
    return pages_run(context, PAGES_HISTORY, take_history, context);
}

enum exit_code forget_run(struct context *context) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Forget command = P2PD__CONTROL__FORGET__INIT;
    command.to = (char *)context->arguments[0];
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_FORGET;
    request.forget = &command;
    return ask_run_plain(context, &request);
}
