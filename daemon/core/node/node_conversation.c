/* Conversations, files and rules: what clients ask of the store through us. Threat: a client may
 * ask for much at once and vanish; questions under way are counted, answers come a page at a time,
 * and what the store lends is copied for the answer. Correspondents that the network has forgotten
 * are still found: by their id, or by what the store remembers of them. */
#include "daemon/core/node/node_private.h"

#include <stdio.h>

#define PAGE_RECORDS 256
#define FORGET_UNGROWN_US                                                                          \
    (10 * US_PER_S) /* what still comes has begun to be something else than the past */
#define PAGE_BYTES (1024u * 1024u)

enum query_stage {
    QUERY_PEER, /* whom does the client mean? The store's conversations are looked through */
    QUERY_FILE, /* whose file has this id? */
    QUERY_LAST, /* its result is the answer */
};
struct node_query {
    TAILQ_ENTRY(node_query) link;
    struct request request;
    bool gone;
    enum query_stage stage;
    struct node_id peer;
    uint64_t n_forgotten; /* in the slices before */
    size_t n_found;
    struct node_report found[DIRECTORY_CANDIDATES_MAX];
};

static void query_free(struct node *node, struct node_query *query) {
    TAILQ_REMOVE(&node->queries, query, link);
    node->n_queries--;
    free(query);
}

static void query_fail(struct node *node, struct node_query *query, enum answer_code code,
                       const char *text) {
    if (!query->gone)
        effects_answer_text(node->effects, query->request.client, code, "%s", text);
    query_free(node, query);
}

static void query_store(struct node *node, struct node_query *query, struct store_op op) {
    effects_store(node->effects, &op, OWNER_QUERY, (uint64_t)(uintptr_t)query);
}

/* ---- The question itself, once it is known whom it is about ---- */

static void ask_page(struct node *node, struct node_query *query) {
    struct store_op op = {.kind = STORE_HISTORY};
    const struct request *request = &query->request;
    if (request->kind == REQUEST_HISTORY) {
        op.history.peer = query->peer;
        op.history.since = request->history.since;
        op.history.until = request->history.until;
        op.history.after = request->history.after;
        op.history.limit = PAGE_RECORDS;
        op.history.bytes = PAGE_BYTES;
    } else if (request->kind == REQUEST_CONVERSATIONS) {
        op.kind = STORE_CONVERSATIONS;
        op.conversations.after = request->history.after;
        op.conversations.limit = PAGE_RECORDS;
    } else {
        op.kind = STORE_FILES;
        op.files.after = request->history.after;
        op.files.limit = PAGE_RECORDS;
    }
    query_store(node, query, op);
}

static void ask_rule(struct node *node, struct node_query *query) {
    struct store_op op = {.kind = STORE_RULE_PUT,
                          .rule_put = {query->peer, query->request.rule.rule}};
    if (node_id_is_equal(&query->peer, node_id(node)))
        query_fail(node, query, ANSWER_USAGE, "that is this node itself");
    else if (op.rule_put.rule != RULE_NONE && !policy_has_room(node->policy, &query->peer)) {
        node->counters.rules_refused++;
        query_fail(node, query, ANSWER_LIMIT, "too many rules: take some back first");
    } else {
        query_store(node, query, op);
    }
}

static void ask_file(struct node *node, struct node_query *query) {
    struct store_op op = {.kind = STORE_FILES};
    query->stage = QUERY_FILE;
    op.files.one = true;
    op.files.id = query->request.file.id;
    op.files.limit = PAGE_RECORDS;
    query_store(node, query, op);
}

static void ask(struct node *node, struct node_query *query) {
    query->stage = QUERY_LAST;
    switch (query->request.kind) {
    case REQUEST_FORGET:
        query_store(
            node, query,
            (struct store_op){.kind = STORE_FORGET,
                              .forget = {query->peer, {node->now.wall.us - FORGET_UNGROWN_US}}});
        break;
    case REQUEST_RULE:
        ask_rule(node, query);
        break;
    case REQUEST_FILE_OPEN:
    case REQUEST_FILE_TAKE:
        ask_file(node, query);
        break;
    default:
        ask_page(node, query);
    }
}

/* ---- Whom the client means ---- */

static const struct destination *destination_of(const struct request *request) {
    switch (request->kind) {
    case REQUEST_HISTORY:
    case REQUEST_FORGET:
        return &request->history.to;
    case REQUEST_RULE:
        return &request->rule.to;
    case REQUEST_FILE_OPEN:
    case REQUEST_FILE_TAKE:
        return request->file.by_sender ? &request->file.sender : NULL;
    default:
        return NULL;
    }
}

static bool has_prefix(const struct node_id *id, const struct destination *destination) {
    for (unsigned i = 0; i < destination->n_digits; i++) {
        unsigned shift = i % 2 ? 0 : 4;
        if ((id->bytes[i / 2] >> shift & 15) != (destination->id[i / 2] >> shift & 15))
            return false;
    }
    return true;
}

static bool is_meant(const struct conversation_record *record,
                     const struct destination *destination) {
    switch (destination->kind) {
    case DEST_ADDRESS:
        return destination->address.port
                   ? address_is_equal(&record->address, &destination->address)
                   : address_is_same_ip(&record->address, &destination->address);
    case DEST_NAME:
        return strcmp(record->name, destination->name) == 0;
    case DEST_PREFIX:
        return has_prefix(&record->peer, destination);
    case DEST_ID:
        return memcmp(record->peer.bytes, destination->id, NODE_ID_LEN) == 0;
    }
    return false;
}

static void ask_peers(struct node *node, struct node_query *query, int64_t after) {
    struct store_op op = {.kind = STORE_CONVERSATIONS};
    query->stage = QUERY_PEER;
    op.conversations.after = after;
    op.conversations.limit = PAGE_RECORDS;
    query_store(node, query, op);
}

static void note_peers(struct node_query *query, const struct store_result *result) {
    const struct destination *destination = destination_of(&query->request);
    for (size_t i = 0; i < result->n_records; i++) {
        const struct conversation_record *record = &result->conversations[i];
        if (query->n_found == DIRECTORY_CANDIDATES_MAX || !is_meant(record, destination))
            continue;
        struct node_report *report = &query->found[query->n_found++];
        report->id = record->peer;
        report->address = record->address;
        report->last_seen = record->last;
        memcpy(report->name, record->name, sizeof report->name);
    }
}

static void answer_ambiguous(struct node *node, struct node_query *query) {
    struct answer answer = {
        .client = query->request.client, .kind = ANSWER_NODES, .code = ANSWER_UNKNOWN, .end = true};
    struct node_report *copies = effects_scratch(node->effects, query->n_found * sizeof *copies);
    if (copies)
        memcpy(copies, query->found, query->n_found * sizeof *copies);
    answer.nodes.v = copies;
    answer.nodes.n = copies ? query->n_found : 0;
    snprintf(answer.text, sizeof answer.text,
             "several correspondents were known so: name one by its id");
    if (!query->gone)
        effects_answer(node->effects, &answer);
    query_free(node, query);
}

static void peers_found(struct node *node, struct node_query *query,
                        const struct store_result *result) {
    note_peers(query, result);
    if (result->more && result->n_records > 0) {
        ask_peers(node, query, result->next);
    } else if (query->n_found > 1) {
        answer_ambiguous(node, query);
    } else if (query->n_found == 1) {
        query->peer = query->found[0].id;
        ask(node, query);
    } else {
        node_answer_unknown(node, query->request.client, destination_of(&query->request));
        query_free(node, query);
    }
}

/* ---- Answers ---- */

static void *copy(struct node *node, const void *bytes, size_t size) {
    void *memory = effects_scratch(node->effects, size ? size : 1);
    if (memory && size > 0)
        memcpy(memory, bytes, size);
    return memory;
}

static const struct history_record *copy_history(struct node *node,
                                                 const struct store_result *result) {
    struct history_record *records =
        copy(node, result->history, result->n_records * sizeof *records);
    for (size_t i = 0; records && i < result->n_records; i++) {
        struct history_record *record = &records[i];
        struct message_report report;
        if (record->outgoing && outbox_look(node->outbox, &record->id, &report))
            record->state = report.state;
        if (record->file)
            record->file = copy(node, record->file, sizeof *record->file);
        if (record->body)
            record->body = copy(node, record->body, record->size);
        if ((result->history[i].file && !record->file) ||
            (result->history[i].body && !record->body))
            return NULL;
    }
    return records;
}

/* Of an outgoing file the store knows neither where its recipient is nor what was confirmed just
 * now. */
static void complete_outgoing(const struct node *node, struct file_record *record) {
    const struct directory_entry *entry = directory_find(node->directory, &record->peer);
    struct message_report report;
    struct descriptor descriptor;
    if (outbox_look(node->outbox, &record->id, &report)) {
        record->message_state = report.state;
        record->held = report.arrived;
    }
    if (!entry)
        return;
    directory_descriptor(entry, &descriptor);
    record->peer_address = directory_address(node->directory, entry);
    memcpy(record->peer_name, descriptor.name, sizeof record->peer_name);
}

/* Its name and address as they are now; the store has those of what came last, and none of one that
 * was only written to. */
static void complete_conversation(const struct node *node, struct conversation_record *record) {
    const struct directory_entry *entry = directory_find(node->directory, &record->peer);
    struct descriptor descriptor;
    record->pending = outbox_pending_to(node->outbox, &record->peer);
    if (node_id_is_equal(&record->peer, node_id(node))) {
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

static const struct file_record *copy_files(struct node *node, const struct store_result *result) {
    struct file_record *records = copy(node, result->files, result->n_records * sizeof *records);
    for (size_t i = 0; records && i < result->n_records; i++)
        if (records[i].state == FILE_OUTGOING)
            complete_outgoing(node, &records[i]);
    return records;
}

static void answer_page(struct node *node, const struct node_query *query,
                        const struct store_result *result) {
    struct answer answer = {.client = query->request.client, .kind = ANSWER_HISTORY, .end = true};
    size_t n = result->n_records;
    const void *records;
    if (query->request.kind == REQUEST_HISTORY) {
        answer.history.v = records = copy_history(node, result);
        answer.history.n = n;
        answer.history.next = result->next;
        answer.history.more = result->more;
    } else if (query->request.kind == REQUEST_CONVERSATIONS) {
        struct conversation_record *page =
            copy(node, result->conversations, n * sizeof *result->conversations);
        for (size_t i = 0; page && i < n; i++)
            complete_conversation(node, &page[i]);
        answer.kind = ANSWER_CONVERSATIONS;
        answer.conversations.v = records = page;
        answer.conversations.n = n;
        answer.conversations.next = result->next;
        answer.conversations.more = result->more;
    } else {
        answer.kind = ANSWER_FILES;
        answer.files.v = records = copy_files(node, result);
        answer.files.n = n;
        answer.files.next = result->next;
        answer.files.more = result->more;
    }
    if (records)
        effects_answer(node->effects, &answer);
    else
        effects_answer_text(node->effects, query->request.client, ANSWER_LIMIT, "out of memory");
}

static void answer_forgotten(struct node *node, const struct node_query *query) {
    unsigned long long pending = outbox_pending_to(node->outbox, &query->peer);
    char stays[96] = "";
    if (pending > 0)
        snprintf(stays, sizeof stays, "; %llu to it %s on the way and stay%s", pending,
                 pending == 1 ? "is" : "are", pending == 1 ? "s" : "");
    effects_answer_text(node->effects, query->request.client, ANSWER_OK,
                        "%llu forgotten%s; what waits to be pulled or received stays",
                        (unsigned long long)query->n_forgotten, stays);
}

/* What is not whole of this sender's goes, in memory and on the disk: there the sweep takes it. */
static void drop_unfinished(struct node *node, const struct node_id *sender) {
    inbox_drop_sender(node->inbox, sender);
    node_sweep(node);
}

static void answer_rule(struct node *node, const struct node_query *query) {
    static const char *const words[] = {
        [RULE_NONE] = "no rule holds for it any more",
        [RULE_ALLOW] = "allowed: what it sends is taken, whatever inbox.accept says",
        [RULE_BLOCK] = "blocked: what it sends is refused, and it is told so",
    };
    enum sender_rule rule = query->request.rule.rule;
    if (rule == RULE_BLOCK)
        drop_unfinished(node, &query->peer);
    if (policy_set(node->policy, &query->peer, rule))
        effects_answer_text(node->effects, query->request.client, ANSWER_LIMIT,
                            "stored, but out of memory: it holds from the next start on");
    else
        effects_answer_text(node->effects, query->request.client, ANSWER_OK, "%s", words[rule]);
}

static void answer_last(struct node *node, const struct node_query *query,
                        const struct store_result *result) {
    switch (query->request.kind) {
    case REQUEST_FORGET:
        node_sweep(node);
        answer_forgotten(node, query);
        break;
    case REQUEST_RULE:
        answer_rule(node, query);
        break;
    case REQUEST_FILE_TAKE:
        effects_answer_text(node->effects, query->request.client, ANSWER_OK, "%s", "");
        break;
    default:
        answer_page(node, query, result);
    }
}

/* ---- Files ---- */

static void answer_file(struct node *node, struct node_query *query,
                        const struct file_record *file) {
    struct answer answer = {.client = query->request.client, .kind = ANSWER_FILES, .end = true};
    answer.files.v = copy(node, file, sizeof *file);
    answer.files.n = 1;
    if (answer.files.v && !query->gone)
        effects_answer(node->effects, &answer);
    query_free(node, query);
}

/* Of those with this id (two senders may have used it) the one that is meant. */
static void file_found(struct node *node, struct node_query *query,
                       const struct store_result *result) {
    const struct file_record *found = NULL;
    const struct request *request = &query->request;
    size_t n = 0;
    for (size_t i = 0; i < result->n_records; i++) {
        const struct file_record *file = &result->files[i];
        if (file->state == FILE_OUTGOING ||
            memcmp(&file->id, &request->file.id, sizeof file->id) != 0 ||
            (request->file.by_sender && !node_id_is_equal(&file->peer, &query->peer)))
            continue;
        found = file;
        n++;
    }
    if (n == 0) {
        query_fail(node, query, ANSWER_UNKNOWN, "no file that was received has this id");
    } else if (n > 1) {
        query_fail(node, query, ANSWER_UNKNOWN, "several senders used this id: say whose file");
    } else if (found->state != FILE_WAITING) {
        char text[96];
        snprintf(text, sizeof text, "it is not complete yet: %llu of %llu bytes are here",
                 (unsigned long long)found->held, (unsigned long long)found->size);
        query_fail(node, query, ANSWER_FAILED, text);
    } else if (request->kind == REQUEST_FILE_OPEN) {
        answer_file(node, query, found);
    } else {
        query->stage = QUERY_LAST;
        query_store(node, query,
                    (struct store_op){.kind = STORE_FILE_TAKE,
                                      .file_take = {found->id, found->peer, node->now.wall}});
    }
}

/* ---- In and out ---- */

void node_query(struct node *node, const struct request *request) {
    const struct destination *destination = destination_of(request);
    struct node_query *query = NULL;
    struct node_id ids[DIRECTORY_CANDIDATES_MAX], peer = {{0}};
    size_t n = 0;
    bool unknown =
        destination && directory_resolve(node->directory, destination, ids, &n) == RESOLVE_NONE;
    if (destination && !unknown && !node_resolve(node, request->client, destination, &peer))
        return;
    if (node->n_queries < QUERIES_MAX)
        query = calloc(1, sizeof *query);
    if (!query) {
        effects_answer_text(node->effects, request->client, ANSWER_LIMIT,
                            "too many questions at once (limit %d)", QUERIES_MAX);
        return;
    }
    query->request = *request;
    query->peer = peer;
    TAILQ_INSERT_TAIL(&node->queries, query, link);
    node->n_queries++;
    if (unknown && destination->kind == DEST_ID)
        memcpy(query->peer.bytes, destination->id, NODE_ID_LEN);
    if (unknown && destination->kind != DEST_ID)
        ask_peers(node, query, 0);
    else
        ask(node, query);
}

void node_query_stored(struct node *node, uint64_t cookie, const struct store_result *result) {
    struct node_query *query = (struct node_query *)(uintptr_t)cookie;
    if (result->error == -ENOENT && query->stage == QUERY_LAST) {
        query_fail(node, query, ANSWER_UNKNOWN, "there is no such file any more");
    } else if (result->error) {
        char words[ERROR_WORDS_MAX];
        error_words(result->error, words);
        query_fail(node, query, error_is_limit(result->error) ? ANSWER_LIMIT : ANSWER_FAILED,
                   words);
    } else if (query->stage == QUERY_PEER) {
        peers_found(node, query, result);
    } else if (query->request.kind == REQUEST_FORGET && result->more) {
        query->n_forgotten += result->n_forgotten;
        ask(node, query); /* though who asked may be gone */
    } else if (query->stage == QUERY_FILE) {
        file_found(node, query, result);
    } else {
        query->n_forgotten += result->n_forgotten;
        /* A rule holds though who made it is gone. */
        if (!query->gone || query->request.kind == REQUEST_RULE)
            answer_last(node, query, result);
        query_free(node, query);
    }
}

void node_queries_gone(struct node *node, uint64_t client) {
    struct node_query *query;
    TAILQ_FOREACH(query, &node->queries, link)
        if (query->request.client == client)
            query->gone = true;
}

void node_queries_deinit(struct node *node) {
    while (!TAILQ_EMPTY(&node->queries))
        query_free(node, TAILQ_FIRST(&node->queries));
}

/* ---- Rules ---- */

struct rules_walk {
    const struct node *node;
    struct rule_report *reports;
    size_t n;
};

static bool report_rule(void *context, const struct node_id *id, enum sender_rule rule) {
    struct rules_walk *walk = context;
    struct rule_report *report = &walk->reports[walk->n++];
    const struct directory_entry *entry = directory_find(walk->node->directory, id);
    struct descriptor descriptor;
    report->id = *id;
    report->rule = rule;
    if (!entry)
        return true;
    directory_descriptor(entry, &descriptor);
    report->address = directory_address(walk->node->directory, entry);
    memcpy(report->name, descriptor.name, sizeof report->name);
    return true;
}

void node_rules(struct node *node, uint64_t client) {
    size_t n = policy_count(node->policy);
    struct answer answer = {.client = client, .kind = ANSWER_RULES, .end = true};
    struct rules_walk walk = {
        .node = node, .reports = effects_scratch(node->effects, (n + 1) * sizeof *walk.reports)};
    if (!walk.reports) {
        effects_answer_text(node->effects, client, ANSWER_LIMIT, "out of memory");
        return;
    }
    policy_visit(node->policy, report_rule, &walk);
    answer.rules.v = walk.reports;
    answer.rules.n = walk.n;
    effects_answer(node->effects, &answer);
}
