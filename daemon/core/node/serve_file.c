/* FILES, FILE_OPEN, FILE_TAKE: files that came, and those on their way. Where they lie is the
 * store's business. */
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/query.h"
#include "daemon/core/node/serve.h"

/* ---- The list ---- */

static bool ask_files(struct node *node, struct node_query *query) {
    struct store_op op = {
        .kind = STORE_FILES,
        .files = {.after = query->request.history.after, .limit = QUERY_PAGE_RECORDS}};
    query_store(node, query, &op);
    return false;
}

/* Fill in what the store does not know of an outgoing file: where its recipient is, and what was
 * confirmed a moment ago. */
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

static bool take_files(struct node *node, struct node_query *query,
                       const struct store_result *result) {
    size_t n = result->n_records;
    struct answer answer;
    struct file_record *records;

    if (query->wait.gone || !(records = answer_begin(node->effects, &answer, query->wait.client,
                                                     ANSWER_FILES, n * sizeof *records)))
        return true;
    for (size_t i = 0; i < n; i++) {
        records[i] = result->files[i];
        if (records[i].state == FILE_OUTGOING)
            complete_outgoing(node, &records[i]);
    }
    answer.files.v = records;
    answer.files.n = n;
    answer.files.next = result->next;
    answer.files.more = result->more;
    effects_answer(node->effects, &answer);
    return true;
}

/* ---- One file ---- */

static const struct destination *sender_of(const struct request *request) {
    return request->file.by_sender ? &request->file.sender : NULL;
}

static bool ask_file(struct node *node, struct node_query *query) {
    struct store_op op = {
        .kind = STORE_FILES,
        .files = {.one = true, .id = query->request.file.id, .limit = QUERY_PAGE_RECORDS}};
    query_store(node, query, &op);
    return false;
}

/* Find the file that the request means: two senders may have used one id. NULL: the client has been
 * told why there is none. */
static const struct file_record *find_meant(struct node *node, const struct node_query *query,
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
    if (n == 1 && found->state == FILE_WAITING)
        return found;
    if (n == 0)
        query_answer_text(node, query, ANSWER_UNKNOWN, "no file that was received has this id");
    else if (n > 1)
        query_answer_text(node, query, ANSWER_UNKNOWN,
                          "several senders used this id: say whose file");
    else
        query_answer_text(node, query, ANSWER_FAILED,
                          "it is not complete yet: %llu of %llu bytes are here",
                          (unsigned long long)found->held, (unsigned long long)found->size);
    return NULL;
}

static bool take_open(struct node *node, struct node_query *query,
                      const struct store_result *result) {
    const struct file_record *found = find_meant(node, query, result);
    struct answer answer;
    struct file_record *copy;

    if (!found || query->wait.gone ||
        !(copy =
              answer_begin(node->effects, &answer, query->wait.client, ANSWER_FILES, sizeof *copy)))
        return true;
    *copy = *found;
    answer.files.v = copy;
    answer.files.n = 1;
    effects_answer(node->effects, &answer);
    return true;
}

/* A take has two stages: the file is looked for, then it is taken. */
enum { TAKE_LOOKING, TAKE_TAKING };
static bool take_take(struct node *node, struct node_query *query,
                      const struct store_result *result) {
    if (query->stage == TAKE_TAKING) {
        query_answer_text(node, query, ANSWER_OK, "%s", "");
        return true;
    }
    const struct file_record *found = find_meant(node, query, result);
    if (!found)
        return true;
    struct store_op op = {.kind = STORE_FILE_TAKE,
                          .file_take = {found->id, found->peer, node->now.wall}};
    query->stage = TAKE_TAKING;
    query_store(node, query, &op);
    return false;
}

/* ---- Requests ---- */

#define MISSING "there is no such file any more"

static const struct query_kind files = {NULL, ask_files, take_files, NULL},
                               open = {sender_of, ask_file, take_open, MISSING},
                               take = {sender_of, ask_file, take_take, MISSING};

void serve_files(struct node *node, const struct request *request) {
    node_query(node, request, &files);
}

void serve_file_open(struct node *node, const struct request *request) {
    node_query(node, request, &open);
}

void serve_file_take(struct node *node, const struct request *request) {
    node_query(node, request, &take);
}
