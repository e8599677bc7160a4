/* HISTORY, CONVERSATIONS, FORGET: what was said, as the store has it. */
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/query.h"
#include "daemon/core/node/serve.h"

#include <stdio.h>

/* An unfinished message is forgotten, too, if it has not grown for this long. One that still grows
 * is not part of the past. */
#define FORGET_UNGROWN_US (10 * US_PER_S)

static const struct destination *peer_of(const struct request *request) {
    return &request->history.to;
}

/* ---- History ---- */

static bool ask_history(struct node *node, struct node_query *query) {
    const struct request *request = &query->request;
    struct store_op op = {.kind = STORE_HISTORY,
                          .history = {.peer = query->peer,
                                      .since = request->history.since,
                                      .until = request->history.until,
                                      .after = request->history.after,
                                      .limit = QUERY_PAGE_RECORDS,
                                      .bytes = QUERY_PAGE_BYTES}};
    query_store(node, query, &op);
    return false;
}

static void *copy(struct node *node, const void *bytes, size_t size) {
    void *memory = effects_scratch(node->effects, size ? size : 1);
    if (memory && size > 0)
        memcpy(memory, bytes, size);
    return memory;
}

/* Fill in the record's present state, and copy its body and file head, which the store has only
 * lent. False: no memory. */
static bool complete_record(struct node *node, struct history_record *record) {
    struct message_report report;
    const struct file_head *file = record->file;
    const uint8_t *body = record->body;

    if (record->outgoing && outbox_look(node->outbox, &record->id, &report))
        record->state = report.state;
    if (file)
        record->file = copy(node, file, sizeof *file);
    if (body)
        record->body = copy(node, body, record->size);
    return (!file || record->file) && (!body || record->body);
}

static bool take_history(struct node *node, struct node_query *query,
                         const struct store_result *result) {
    size_t n = result->n_records;
    struct answer answer;
    struct history_record *records;

    if (query->wait.gone || !(records = answer_begin(node->effects, &answer, query->wait.client,
                                                     ANSWER_HISTORY, n * sizeof *records)))
        return true;
    for (size_t i = 0; i < n; i++) {
        records[i] = result->history[i];
        if (!complete_record(node, &records[i])) {
            answer_no_memory(node->effects, query->wait.client);
            return true;
        }
    }
    answer.history.v = records;
    answer.history.n = n;
    answer.history.next = result->next;
    answer.history.more = result->more;
    effects_answer(node->effects, &answer);
    return true;
}

/* ---- Conversations ---- */

static bool ask_conversations(struct node *node, struct node_query *query) {
    struct store_op op = {
        .kind = STORE_CONVERSATIONS,
        .conversations = {.after = query->request.history.after, .limit = QUERY_PAGE_RECORDS}};
    query_store(node, query, &op);
    return false;
}

/* Fill in the correspondent's present name and address. The store knows only those of the last
 * message that came, and none of a node that was only written to. */
static void complete_conversation(const struct node *node, struct conversation_record *record) {
    const struct directory_entry *entry = directory_find(node->directory, &record->peer);
    struct descriptor descriptor;
    record->pending = outbox_pending_to(node->outbox, &record->peer);
    if (node_id_is_equal(&record->peer, identity_id(node->identity))) {
        record->address = node->address;
        memcpy(record->name, node->config.name, sizeof record->name);
    }
    if (!entry)
        return;
    struct address address = directory_address(node->directory, entry);
    directory_descriptor(entry, &descriptor);
    if (!address_is_unspecified(&address))
        record->address = address;
    memcpy(record->name, descriptor.name, sizeof record->name);
}

static bool take_conversations(struct node *node, struct node_query *query,
                               const struct store_result *result) {
    size_t n = result->n_records;
    struct answer answer;
    struct conversation_record *records;

    if (query->wait.gone || !(records = answer_begin(node->effects, &answer, query->wait.client,
                                                     ANSWER_CONVERSATIONS, n * sizeof *records)))
        return true;
    for (size_t i = 0; i < n; i++) {
        records[i] = result->conversations[i];
        complete_conversation(node, &records[i]);
    }
    answer.conversations.v = records;
    answer.conversations.n = n;
    answer.conversations.next = result->next;
    answer.conversations.more = result->more;
    effects_answer(node->effects, &answer);
    return true;
}

/* ---- Forgetting ---- */

static bool ask_forget(struct node *node, struct node_query *query) {
    struct store_op op = {.kind = STORE_FORGET,
                          .forget = {query->peer, {node->now.wall.us - FORGET_UNGROWN_US}}};
    query_store(node, query, &op);
    return false;
}

static void answer_forgotten(struct node *node, const struct node_query *query) {
    unsigned long long pending = outbox_pending_to(node->outbox, &query->peer);
    char stays[96] = "";
    if (pending > 0)
        snprintf(stays, sizeof stays, "; %llu to it %s on the way and stay%s", pending,
                 pending == 1 ? "is" : "are", pending == 1 ? "s" : "");
    query_answer_text(node, query, ANSWER_OK,
                      "%llu forgotten%s; what waits to be pulled or received stays",
                      (unsigned long long)query->n_forgotten, stays);
}

/* The store forgets a slice at a time. */
static bool take_forgotten(struct node *node, struct node_query *query,
                           const struct store_result *result) {
    query->n_forgotten += result->n_forgotten;
    if (result->more)
        return ask_forget(node, query); /* even if the client has gone */
    if (query->wait.gone)
        return true;
    node_clock_sweep(node);
    answer_forgotten(node, query);
    return true;
}

/* ---- Requests ---- */

static const struct query_kind history = {peer_of, ask_history, take_history, NULL},
                               conversations = {NULL, ask_conversations, take_conversations, NULL},
                               forget = {peer_of, ask_forget, take_forgotten, NULL};

void serve_history(struct node *node, const struct request *request) {
    node_query(node, request, &history);
}

void serve_conversations(struct node *node, const struct request *request) {
    node_query(node, request, &conversations);
}

void serve_forget(struct node *node, const struct request *request) {
    node_query(node, request, &forget);
}
