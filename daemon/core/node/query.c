/* See query.h. Threat: a client may ask for much at once and vanish; questions under way are
 * counted, answers come a page at a time, and what the store lends is copied for the answer.
 * Correspondents that the network has forgotten are still found: by their id, or by what the store
 * remembers of them. */
#include "daemon/core/node/query.h"
#include "daemon/core/node/destination.h"
#include "daemon/core/node/node_private.h"
#include "daemon/core/seam/destination.h"

#include <stdarg.h>
#include <stdio.h>

void query_answer_text(struct node *node, const struct node_query *query, enum answer_code code,
                       const char *format, ...) {
    char text[sizeof(struct answer){0}.text];
    va_list args;

    if (query->wait.gone)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    effects_answer_text(node->effects, query->wait.client, code, "%s", text);
}

void query_store(struct node *node, struct node_query *query, const struct store_op *op) {
    effects_store(node->effects, op, OWNER_QUERY, (uint64_t)(uintptr_t)query);
}

static void query_free(struct node *node, struct node_query *query) {
    clients_remove(&node->clients, &query->wait);
    free(query);
}

/* ---- Whom the client means ---- */

static void ask_peers(struct node *node, struct node_query *query, int64_t after) {
    struct store_op op = {.kind = STORE_CONVERSATIONS};
    query->looks_for_peer = true;
    op.conversations.after = after;
    op.conversations.limit = QUERY_PAGE_RECORDS;
    query_store(node, query, &op);
}

static void note_peers(struct node_query *query, const struct store_result *result) {
    const struct destination *destination = query->kind->destination(&query->request);
    for (size_t i = 0; i < result->n_records; i++) {
        const struct conversation_record *record = &result->conversations[i];
        if (query->n_found == DIRECTORY_CANDIDATES_MAX ||
            !destination_matches(destination, &record->peer, &record->address, record->name))
            continue;
        struct node_report *report = &query->found[query->n_found++];
        report->id = record->peer;
        report->address = record->address;
        report->last_seen = record->last;
        memcpy(report->name, record->name, sizeof report->name);
    }
}

static void answer_ambiguous(struct node *node, const struct node_query *query) {
    struct answer answer;
    size_t size = query->n_found * sizeof *query->found;
    struct node_report *copies =
        answer_begin(node->effects, &answer, query->wait.client, ANSWER_NODES, size);
    if (!copies)
        return;
    memcpy(copies, query->found, size);
    answer.code = ANSWER_UNKNOWN;
    answer.nodes.v = copies;
    answer.nodes.n = query->n_found;
    snprintf(answer.text, sizeof answer.text,
             "several correspondents were known so: name one by its id");
    effects_answer(node->effects, &answer);
}

static bool ask(struct node *node, struct node_query *query) {
    query->looks_for_peer = false;
    return query->kind->ask(node, query);
}

/* Take a page of the correspondents that the store remembers. True: the question has ended. */
static bool take_peers(struct node *node, struct node_query *query,
                       const struct store_result *result) {
    note_peers(query, result);
    if (result->more && result->n_records > 0) {
        ask_peers(node, query, result->next);
        return false;
    }
    if (query->n_found == 1) {
        query->peer = query->found[0].id;
        return ask(node, query);
    }
    if (!query->wait.gone && query->n_found > 1)
        answer_ambiguous(node, query);
    else if (!query->wait.gone)
        node_answer_unknown(node, query->wait.client, query->kind->destination(&query->request));
    return true;
}

/* ---- In and out ---- */

static struct node_query *query_new(struct node *node, const struct request *request) {
    const char *refusal = clients_refusal(&node->clients, CLIENT_QUERY);
    struct node_query *query = refusal ? NULL : calloc(1, sizeof *query);

    if (!query) {
        effects_answer_text(node->effects, request->client, ANSWER_LIMIT, "%s",
                            refusal ? refusal : "out of memory");
        return NULL;
    }
    query->request = *request;
    clients_add(&node->clients, &query->wait, request->client, CLIENT_QUERY);
    return query;
}

void node_query(struct node *node, const struct request *request, const struct query_kind *kind) {
    const struct destination *destination = kind->destination ? kind->destination(request) : NULL;
    struct node_id ids[DIRECTORY_CANDIDATES_MAX], peer = {{0}};
    size_t n = 0;
    bool unknown =
        destination && directory_resolve(node->directory, destination, ids, &n) == RESOLVE_NONE;

    if (destination && !unknown && !node_resolve(node, request->client, destination, &peer))
        return;
    struct node_query *query = query_new(node, request);
    if (!query)
        return;
    query->kind = kind;
    query->peer = peer;
    if (unknown && destination->kind == DEST_ID)
        memcpy(query->peer.bytes, destination->id, NODE_ID_LEN);
    if (unknown && destination->kind != DEST_ID)
        ask_peers(node, query, 0);
    else if (ask(node, query))
        query_free(node, query);
}

/* True: the question has ended. */
static bool take_error(struct node *node, const struct node_query *query, int error) {
    char words[ERROR_WORDS_MAX];

    error_words(error, words);
    if (error == -ENOENT && !query->looks_for_peer && query->kind->missing)
        query_answer_text(node, query, ANSWER_UNKNOWN, "%s", query->kind->missing);
    else
        query_answer_text(node, query, error_is_limit(error) ? ANSWER_LIMIT : ANSWER_FAILED, "%s",
                          words);
    return true;
}

void node_query_stored(struct node *node, uint64_t cookie, const struct store_result *result) {
    struct node_query *query = (struct node_query *)(uintptr_t)cookie;
    bool ended = result->error           ? take_error(node, query, result->error)
                 : query->looks_for_peer ? take_peers(node, query, result)
                                         : query->kind->take(node, query, result);
    if (ended)
        query_free(node, query);
}

void node_query_abandon(struct node *node, uint64_t cookie) {
    query_free(node, (struct node_query *)(uintptr_t)cookie);
}
