/* p2pctl conversations, history, forget. */
#include "client/common/output.h"
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

struct listing {
    const struct context *context;
    struct table *table;
    void *ids; /* of those that are listed: a tree */
    size_t n;
};

/* ---- conversations ---- */

static void conversation_json(const P2pd__Control__Conversation *conversation) {
    printf("{\"id\":");
    json_hex(&conversation->peer);
    printf(",\"name\":");
    json_string(conversation->name);
    printf(",\"address\":");
    json_address(&conversation->address, true);
    printf(",\"waiting\":%" PRIu64 ",\"pending\":%" PRIu64 ",\"messages\":%" PRIu64 ",\"last\":",
           conversation->waiting, conversation->pending, conversation->messages);
    json_time(conversation->last_us);
    printf(",\"last_direction\":\"%s\",\"last_text\":", conversation->last_outgoing ? "out" : "in");
    json_text_bytes(&conversation->last_text);
    printf("}");
}

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

/* Latest first, so what is heard between two pages moves those before it into the next one: they
 * are listed once. 1: it is new, 0: it is not, -1: no memory. */
static int note_id(struct listing *listing, const ProtobufCBinaryData *data) {
    uint8_t *id = calloc(1, ID_LEN);
    if (!id)
        return -1;
    memcpy(id, data->data, data->len < ID_LEN ? data->len : ID_LEN);
    uint8_t **found = tsearch(id, &listing->ids, compare_ids);
    bool is_new = found && *found == id;
    if (!is_new)
        free(id);
    listing->n += is_new;
    return found ? is_new : -1;
}

static void free_ids(struct listing *listing) {
    while (listing->ids) {
        uint8_t *id = *(uint8_t **)listing->ids;
        tdelete(id, &listing->ids, compare_ids);
        free(id);
    }
}

static enum exit_code take_conversations(void *state, const P2pd__Control__Answer *answer) {
    struct listing *listing = state;
    for (size_t i = 0; i < answer->n_conversations; i++) {
        int is_new = note_id(listing, &answer->conversations[i]->peer);
        if (is_new < 0)
            return complain(listing->context, CODE_FAILED, "no memory");
        if (is_new && !listing->context->options.json)
            conversation_row(listing->table, answer->conversations[i]);
        if (!is_new || !listing->context->options.json)
            continue;
        printf("%s", listing->n > 1 ? "," : "[");
        conversation_json(answer->conversations[i]);
    }
    return CODE_DONE;
}

enum exit_code conversations_run(struct context *context) {
    static const char *const heads[] = {"NAME",    "ADDRESS", "ID", "WAITING",
                                        "PENDING", "LAST",    "",   "MESSAGE"};
    const size_t columns = sizeof heads / sizeof heads[0];
    struct listing listing = {.context = context, .table = table_new(columns)};
    if (!listing.table)
        return complain(context, CODE_FAILED, "no memory");
    for (size_t i = 0; i < columns && !context->options.quiet; i++)
        table_cell(listing.table, heads[i]);
    enum exit_code code = pages_run(context, PAGES_CONVERSATIONS, take_conversations, &listing);
    if (code == CODE_DONE && context->options.json)
        printf("%s]\n", listing.n ? "" : "[");
    else if (code == CODE_DONE && table_print(listing.table, stdout) < 0)
        code = complain(context, CODE_FAILED, "no memory");
    table_free(listing.table);
    free_ids(&listing);
    return code;
}

/* ---- history ---- */

static const char *item_state(const P2pd__Control__HistoryItem *item) {
    if (item->outgoing)
        return state_word(item->state);
    return item->taken ? "taken" : "waiting";
}

static void item_json(const P2pd__Control__HistoryItem *item) {
    printf("{\"id\":");
    json_hex(&item->id);
    printf(",\"direction\":\"%s\",\"kind\":\"%s\",\"state\":\"%s\",\"reason\":",
           item->outgoing ? "out" : "in", item->kind == 2 ? "file" : "message", item_state(item));
    json_string(item->reason);
    printf(",\"sent\":");
    json_time(item->sent_us);
    printf(",\"%s\":", item->outgoing ? "finished" : "received");
    if (item->done_us)
        json_time(item->done_us);
    else
        printf("null");
    printf(",\"size\":%" PRIu64, item->size);
    if (item->kind == 2) {
        printf(",\"name\":");
        json_text_bytes(&item->file_name);
    } else if (text_is_utf8(item->body.data, item->body.len)) {
        printf(",\"body\":");
        json_bytes(item->body.data, item->body.len);
    } else {
        printf(",\"body_base64\":");
        json_base64(item->body.data, item->body.len);
    }
    printf("}\n");
}

static void item_text(const P2pd__Control__HistoryItem *item) {
    char time[TEXT_TIME_MAX], why[TEXT_CELL_MAX] = "";
    const char *reason = state_why(item->state, item->reason);
    text_time(item->outgoing || !item->done_us ? item->sent_us : item->done_us, time);
    if (item->outgoing && reason[0])
        text_escape_string(reason, why, sizeof why);
    printf("%s\t%s\t%s%s%s\t", time, item->outgoing ? ">" : "<", item_state(item),
           why[0] ? ": " : "", why);
    if (item->kind == 2) {
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
    return session_run_plain(context, &request);
}
