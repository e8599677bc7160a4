/* What is accepted: the checks, the put, its result. Threat: a client may ask for anything and
 * vanish; a crash may come between any two steps, so nothing is acknowledged before its put is
 * done, and what it will need then is had before it begins. */
#include "daemon/core/deliver/outbox_private.h"

#include <stdio.h>

/* Up to here a fresh body is kept until it is first sealed: a read from the store would cost more
 * than the copy. */
#define BODY_KEPT_MAX 4096

struct out_refusal out_error_words(int error) {
    struct out_refusal refusal = {
        error_is_limit(error) || error == -EDQUOT ? ANSWER_LIMIT : ANSWER_FAILED, ""};
    const char *words = error == -ENOMEM   ? "out of memory (limits.memory)"
                        : error == -EEXIST ? "this id was used for another message"
                        : error == -ENOENT ? "its file is gone from the spool"
                        : error == -ESTALE ? "its file is not as long as was said"
                                           : NULL;
    if (words)
        snprintf(refusal.text, sizeof refusal.text, "%s", words);
    else if (error == -EDQUOT)
        snprintf(refusal.text, sizeof refusal.text, "too many recipients (limit %d)",
                 OUTBOX_CONVERSATIONS_MAX);
    else
        error_words(error, refusal.text);
    return refusal;
}

/* ---- Conversations ---- */

struct out_conversation *out_conversation_find(const struct outbox *outbox,
                                               const struct node_id *recipient) {
    uint64_t hash = table_hash(&outbox->conversations, recipient, sizeof *recipient);
    for (struct table_link *link = table_first(&outbox->conversations, hash); link;
         link = table_next(link)) {
        struct out_conversation *conversation =
            table_entry(link, struct out_conversation, by_recipient);
        if (node_id_is_equal(&conversation->recipient, recipient))
            return conversation;
    }
    return NULL;
}

struct out_conversation *out_conversation_get(struct outbox *outbox,
                                              const struct node_id *recipient) {
    struct out_conversation *conversation = out_conversation_find(outbox, recipient);
    if (conversation || outbox->conversations.used >= OUTBOX_CONVERSATIONS_MAX)
        return conversation;
    conversation = calloc(1, sizeof *conversation);
    if (!conversation)
        return NULL;
    conversation->recipient = *recipient;
    table_add(&outbox->conversations, &conversation->by_recipient,
              table_hash(&outbox->conversations, recipient, sizeof *recipient));
    return conversation;
}

/* ---- May it be accepted? ---- */

static bool is_possible(struct outbox *outbox, const struct request *request,
                        const struct node_id *recipient, struct mono now) {
    uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
    size_t n;
    double choices;
    struct path_wish wish = {.target = *recipient,
                             .relays_exact = request->push.options.relays,
                             .strict = request->push.options.strict};
    if ((!request->push.options.strict && request->push.options.relays == RELAYS_DEFAULT) ||
        node_id_is_equal(recipient, &outbox->self))
        return true;
    return path_sample(outbox->config.paths, &wish, now, hops, &n, &choices) != PATH_STRICT;
}

/* What is wrong with it by itself. 0 or -EMSGSIZE, -EINVAL (its name), -ERANGE (its shards). */
static int check_shape(const struct outbox *outbox, const struct request *request) {
    uint64_t size = request->push.size;
    const struct file_head *file = request->push.file;
    if (request->push.options.shards_k + request->push.options.shards_m > OUTBOX_SLOTS_MAX ||
        (request->push.options.shards_m > 0 && request->push.options.shards_k == 0))
        return -ERANGE;
    if (request->push.kind != KIND_FILE)
        return size > outbox->config.message_max || size > UINT32_MAX - PARCEL_BLOCK_MAX ? -EMSGSIZE
                                                                                         : 0;
    if (!request->push.check &&
        (!file || !file->name[0] || !memchr(file->name, 0, sizeof file->name)))
        return -EINVAL;
    return size > INT64_MAX ? -EMSGSIZE : 0;
}

static bool is_acceptable(struct outbox *outbox, const struct request *request,
                          const struct node_id *recipient, struct out_batch *batch, struct mono now,
                          struct out_refusal *refusal) {
    int error = check_shape(outbox, request);
    bool is_file = request->push.kind == KIND_FILE;
    struct out_refusal why = {error == -EINVAL || error == -ERANGE ? ANSWER_USAGE : ANSWER_LIMIT,
                              ""};
    if (error == -ERANGE) {
        snprintf(why.text, sizeof why.text, "--shards K+M: at most %d in all, and K at least 1",
                 OUTBOX_SLOTS_MAX);
    } else if (error == -EINVAL) {
        snprintf(why.text, sizeof why.text, "a file needs a name of 1 to %d bytes", FILE_NAME_MAX);
    } else if (error && is_file) {
        snprintf(why.text, sizeof why.text, "the file is too large");
    } else if (error) {
        snprintf(why.text, sizeof why.text,
                 "the message has %zu bytes, delivery.max_message allows %zu", request->push.size,
                 outbox->config.message_max);
    } else if (out_find_own(outbox, &request->push.id)) {
        return true;
    } else if (outbox->n_messages + outbox->n_putting + outbox->load.left >=
               outbox->config.messages_max) {
        snprintf(why.text, sizeof why.text, "too many messages wait to be delivered (limit %zu)",
                 outbox->config.messages_max);
    } else if (is_file && outbox->n_files >= OUTBOX_FILES_MAX) {
        snprintf(why.text, sizeof why.text, "too many files wait to be delivered (limit %d)",
                 OUTBOX_FILES_MAX);
    } else if (!(batch && batch->routed) && !is_possible(outbox, request, recipient, now)) {
        why.code = ANSWER_FAILED;
        snprintf(why.text, sizeof why.text, "no route with as many relays as asked for");
    } else {
        if (batch)
            batch->routed = true;
        return true;
    }
    *refusal = why;
    return false;
}

/* ---- Putting ---- */

/* A copy of the body, charged to clients. 0 or -ENOMEM. */
static int copy_body(struct outbox *outbox, struct out_op *op, const struct request *request) {
    size_t size = request->push.size;
    if (request->push.kind == KIND_FILE)
        return 0;
    if (!budget_take(outbox->config.budget, BUDGET_CLIENTS, size))
        return -ENOMEM;
    op->charged = size;
    op->body = malloc(size ? size : 1);
    if (!op->body)
        return -ENOMEM;
    if (size > 0)
        memcpy(op->body, request->push.body, size);
    return 0;
}

static void put_free(struct outbox *outbox, struct out_op *op) {
    budget_give(outbox->config.budget, BUDGET_CLIENTS, op->charged);
    if (op->body)
        sodium_memzero(op->body, op->charged);
    free(op->body);
    out_message_discard(outbox, op->message);
}

/* The operation with all that it will need once it is done, so that nothing can fail then. 0,
 * -ENOMEM, -EDQUOT (no more conversations). */
static int put_prepare(struct outbox *outbox, struct out_op *op, const struct request *request,
                       const struct node_id *recipient, const char *notice,
                       struct out_record *record) {
    struct out_message *known = out_find_own(outbox, &record->id);
    struct out_conversation *conversation = out_conversation_get(outbox, recipient);
    if (!conversation)
        return -EDQUOT;
    record->sequence = known ? known->sequence : conversation->sequence + 1;
    op->message = out_message_new(outbox, record, conversation);
    op->notice = notice ? strdup(notice) : NULL;
    if (!op->message || (notice && !op->notice))
        return -ENOMEM;
    int error = copy_body(outbox, op, request);
    if (error)
        return error;
    if (!node_id_is_equal(recipient, &outbox->self)) {
        op->message->flow = out_flow_get(outbox, recipient, record->relays_exact, record->strict,
                                         record->shards_k, record->shards_m);
        if (!op->message->flow)
            return -ENOMEM;
        op->message->flow->n_messages++;
    }
    if (record->file)
        record->file = op->message->file;
    conversation->sequence = known ? conversation->sequence : record->sequence;
    return 0;
}

static struct out_record record_of(const struct outbox *outbox, const struct request *request,
                                   const struct node_id *recipient, struct wall wall) {
    int64_t expire_us = request->push.options.expire_us > 0 ? request->push.options.expire_us
                                                            : outbox->config.expire_us;
    bool is_file = request->push.kind == KIND_FILE;
    if (expire_us > MESSAGE_EXPIRE_MAX_US)
        expire_us = MESSAGE_EXPIRE_MAX_US;
    return (struct out_record){.id = request->push.id,
                               .recipient = *recipient,
                               .created = wall,
                               .expires = {wall.us + expire_us},
                               .size = request->push.size,
                               .kind = is_file ? KIND_FILE : KIND_MESSAGE,
                               .file = is_file ? request->push.file : NULL,
                               .state = MESSAGE_QUEUED,
                               .relays_exact = request->push.options.relays,
                               .shards_k = request->push.options.shards_k,
                               .shards_m = request->push.options.shards_m,
                               .strict = request->push.options.strict};
}

bool out_put(struct outbox *outbox, const struct request *request, const struct node_id *recipient,
             const char *notice, struct out_batch *batch, struct now now,
             struct out_refusal *ret_refusal) {
    if (!is_acceptable(outbox, request, recipient, batch, now.mono, ret_refusal))
        return false;
    struct store_op operation = {.kind = STORE_OUT_PUT};
    operation.out_put.record = record_of(outbox, request, recipient, now.wall);
    struct out_op *op = out_op_new(outbox, OUT_OP_PUT);
    int error = op ? put_prepare(outbox, op, request, recipient, notice, &operation.out_put.record)
                   : -ENOMEM;
    if (error) {
        *ret_refusal = out_error_words(error);
        if (op) {
            put_free(outbox, op);
            out_op_free(outbox, op);
        }
        return false;
    }
    op->id = request->push.id;
    op->client = request->client;
    op->wait = request->push.wait;
    op->trace = request->push.trace;
    op->batch = batch;
    operation.out_put.body = op->body;
    memcpy(operation.out_put.spool, request->push.spool, sizeof operation.out_put.spool);
    outbox->n_putting++;
    out_store(outbox, &operation, op);
    return true;
}

void outbox_push(struct outbox *outbox, const struct request *request,
                 const struct node_id *recipient, const char *notice, struct now now) {
    struct out_refusal refusal = {ANSWER_OK, ""};
    bool good = request->push.check
                    ? is_acceptable(outbox, request, recipient, NULL, now.mono, &refusal)
                    : out_put(outbox, request, recipient, notice, NULL, now, &refusal);
    outbox->counters.pushes_refused += !good && refusal.code == ANSWER_LIMIT;
    if (!good)
        effects_answer_text(outbox->config.effects, request->client, refusal.code, "%s",
                            refusal.text);
    else if (request->push.check)
        effects_answer_text(outbox->config.effects, request->client, ANSWER_OK, "%s",
                            notice ? notice : "");
}

/* ---- Results ---- */

/* Answer for a message that is owed or just finished, and go on watching it if asked to. */
static void answer_push(struct outbox *outbox, const struct out_op *op,
                        struct out_message *message) {
    bool final = message_state_is_final(message->state);
    bool watch = !final && (op->wait || op->trace);
    if (op->batch) {
        out_batch_accepted(outbox, op->batch, message);
        return;
    }
    if (op->client_gone)
        return;
    struct message_report report = out_report(message);
    if (watch) {
        struct out_watcher *watcher = out_watch(outbox, message, op->client);
        if (!watcher)
            return;
        watcher->wait = op->wait;
        watcher->trace = op->trace;
        watcher->by_code = true;
    }
    out_answer(outbox, op->client, out_state_code(message->state), !watch, &report, op->notice);
}

static void put_existed(struct outbox *outbox, const struct out_op *op,
                        const struct store_result *result, struct now now) {
    struct out_message *known = out_find_own(outbox, &op->id);
    if (!known)
        known = out_load_one(outbox, &result->record, now);
    if (known)
        answer_push(outbox, op, known);
    else if (op->batch)
        out_batch_known(op->batch, &result->record);
    if (known || op->batch || op->client_gone)
        return;
    struct message_report report = out_report_record(&result->record);
    report.id = op->id;
    out_answer(outbox, op->client, out_state_code(report.state), true, &report, op->notice);
}

static void put_accepted(struct outbox *outbox, struct out_op *op, struct now now) {
    struct out_message *message = op->message;
    if (op->body && message->size > 0 && message->size <= BODY_KEPT_MAX &&
        budget_take(outbox->config.budget, BUDGET_OUTBOX, message->size)) {
        message->body = op->body;
        op->body = NULL;
        TAILQ_INSERT_TAIL(&outbox->cached, message, cached);
    }
    op->message = NULL;
    out_message_enter(outbox, message, 0, now);
    if (op->batch && op->batch->broken) {
        message->withdrawn = true;
        out_finish(outbox, message, MESSAGE_FAILED, "one before it was not accepted", now);
        return;
    }
    answer_push(outbox, op, message);
    if (!message->flow)
        out_trace(outbox, message, NULL, NULL);
}

void out_put_done(struct outbox *outbox, struct out_op *op, const struct store_result *result,
                  struct now now) {
    struct out_flow *flow = op->message->flow;
    struct out_refusal refusal = out_error_words(result->error);
    outbox->n_putting--;
    if (result->error == 0 && !result->existed) {
        put_accepted(outbox, op, now);
    } else {
        if (flow) {
            flow->n_messages--;
            out_flow_wake(outbox, flow);
        }
        if (result->error == 0)
            put_existed(outbox, op, result, now);
        else if (op->batch)
            out_batch_refused(op->batch, &refusal);
        else if (!op->client_gone)
            effects_answer_text(outbox->config.effects, op->client, refusal.code, "%s",
                                refusal.text);
    }
    put_free(outbox, op);
    if (op->batch)
        out_batch_settled(outbox, op->batch);
}
