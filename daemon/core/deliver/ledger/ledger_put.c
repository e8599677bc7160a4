/* What is accepted: the checks, the put, its result. Threat: a client may ask for anything and
 * vanish; a crash may come between any two steps. So nothing is acknowledged before its put is
 * stored, and whatever the message needs then is allocated, and charged, before the put begins. */
#include "daemon/core/deliver/ledger/ledger_private.h"

#include <assert.h>
#include <stdio.h>

/* Bodies up to this size are kept in memory until they are first sealed: reading them from the
 * store would cost more than the copy. */
#define BODY_KEPT_MAX 4096

/* ---- May it be accepted? ---- */

/* Is the push well-formed? 0, -EMSGSIZE, -EINVAL (its name), -ERANGE (its shards). */
static int check_shape(const struct ledger *ledger, const struct request *request) {
    uint64_t size = request->push.size;
    const struct file_head *file = request->push.file;
    if (request->push.options.shards_k + request->push.options.shards_m > LEDGER_SHARDS_MAX ||
        (request->push.options.shards_m > 0 && request->push.options.shards_k == 0))
        return -ERANGE;
    if (request->push.kind != KIND_FILE)
        return size > ledger->config.message_max || size > UINT32_MAX - PARCEL_BLOCK_MAX ? -EMSGSIZE
                                                                                         : 0;
    if (!request->push.check &&
        (!file || !file->name[0] || !memchr(file->name, 0, sizeof file->name)))
        return -EINVAL;
    return size > INT64_MAX ? -EMSGSIZE : 0;
}

bool ledger_knows(const struct ledger *ledger, const struct message_id *id) {
    return ledger_find_own(ledger, id) != NULL;
}

bool ledger_may_accept(const struct ledger *ledger, const struct request *request, bool is_known,
                       struct ledger_refusal *ret_refusal) {
    int error = check_shape(ledger, request);
    bool is_file = request->push.kind == KIND_FILE;
    struct ledger_refusal why = {error == -EINVAL || error == -ERANGE ? ANSWER_USAGE : ANSWER_LIMIT,
                                 ""};
    if (error == -ERANGE) {
        snprintf(why.text, sizeof why.text, "--shards K+M: at most %d in all, and K at least 1",
                 LEDGER_SHARDS_MAX);
    } else if (error == -EINVAL) {
        snprintf(why.text, sizeof why.text, "a file needs a name of 1 to %d bytes", FILE_NAME_MAX);
    } else if (error && is_file) {
        snprintf(why.text, sizeof why.text, "the file is too large");
    } else if (error) {
        snprintf(why.text, sizeof why.text,
                 "the message has %zu bytes, delivery.max_message allows %zu", request->push.size,
                 ledger->config.message_max);
    } else if (is_known) {
        return true;
    } else if (!ledger_has_room(ledger)) {
        snprintf(why.text, sizeof why.text, "too many messages wait to be delivered (limit %zu)",
                 ledger->config.messages_max);
    } else if (is_file && ledger->config.messages->n_files >= OUTBOX_FILES_MAX) {
        snprintf(why.text, sizeof why.text, "too many files wait to be delivered (limit %d)",
                 OUTBOX_FILES_MAX);
    } else {
        return true;
    }
    *ret_refusal = why;
    return false;
}

/* ---- Putting ---- */

/* A copy of the body, charged to clients. 0 or -ENOMEM. */
static int copy_body(struct ledger *ledger, struct ledger_put *put, const struct request *request) {
    size_t size = request->push.size;
    if (request->push.kind == KIND_FILE)
        return 0;
    if (!budget_take(ledger->config.budget, BUDGET_CLIENTS, size))
        return -ENOMEM;
    put->charged = size;
    put->body = malloc(size ? size : 1);
    if (!put->body)
        return -ENOMEM;
    if (size > 0)
        memcpy(put->body, request->push.body, size);
    return 0;
}

/* Free all that the put holds, but not the put. */
static void put_empty(struct ledger *ledger, struct ledger_put *put) {
    budget_give(ledger->config.budget, BUDGET_CLIENTS, put->charged);
    if (put->body)
        sodium_memzero(put->body, put->charged);
    free(put->body);
    free(put->notice);
    put->notice = NULL;
    message_free(ledger->config.messages, put->op.message);
    put->op.message = NULL;
}

void ledger_put_free(struct ledger *ledger, struct ledger_put *put) {
    put_empty(ledger, put);
    if (put->made)
        ledger_conversation_unmake(ledger, put->made);
    ledger_op_free(ledger, &put->op);
}

/* 0, -ENOMEM, -EDQUOT (no more conversations). */
static int put_prepare(struct ledger *ledger, struct ledger_put *put, const struct request *request,
                       const struct node_id *recipient, const char *notice) {
    struct message *known = ledger_find_own(ledger, &put->record.id);
    struct conversation *conversation = ledger_conversation_find(ledger, recipient);
    size_t size = message_size(put->record.kind) + BUDGET_HEAP_EXTRA;
    if (!known && !budget_part_has_room(&ledger->config.messages->own, size))
        return -ENOMEM;
    if (!conversation && ledger_conversation_has_room(ledger))
        conversation = put->made = ledger_conversation(ledger, recipient);
    if (!conversation)
        return -EDQUOT;
    put->is_new = !known;
    put->record.sequence = known ? known->sequence : conversation->sequence + 1;
    put->op.message = message_new(ledger->config.messages, &put->record, conversation);
    put->notice = notice ? strdup(notice) : NULL;
    if (!put->op.message || (notice && !put->notice))
        return -ENOMEM;
    if (node_id_is_equal(recipient, &ledger->config.self))
        put->op.message->shards_k = 0; /* messages to ourselves are cut without regard to shards */
    return copy_body(ledger, put, request);
}

static struct out_record record_of(const struct ledger *ledger, const struct request *request,
                                   const struct node_id *recipient, struct wall wall) {
    int64_t expire_us = request->push.options.expire_us > 0 ? request->push.options.expire_us
                                                            : ledger->config.expire_us;
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

struct ledger_put *ledger_put_begin(struct ledger *ledger, const struct request *request,
                                    const struct node_id *recipient, const char *notice,
                                    struct ledger_batch *batch, struct wall wall,
                                    struct ledger_refusal *ret_refusal) {
    struct ledger_put *put = ledger_op_new(ledger, LEDGER_PUT, sizeof *put);
    int error = -ENOMEM;
    if (put) {
        put->record = record_of(ledger, request, recipient, wall);
        put->op.id = request->push.id;
        put->op.client = request->client;
        put->wait = request->push.wait;
        put->trace = request->push.trace;
        put->batch = batch;
        error = put_prepare(ledger, put, request, recipient, notice);
    }
    if (!error)
        return put;
    *ret_refusal = ledger_error_words(error);
    if (put)
        ledger_put_free(ledger, put);
    return NULL;
}

struct message *ledger_put_message(const struct ledger_put *put) {
    return put->op.message;
}

void ledger_put_abandon(struct ledger *ledger, struct ledger_put *put) {
    ledger_put_free(ledger, put);
}

void ledger_put_store(struct ledger *ledger, struct ledger_put *put,
                      const struct request *request) {
    struct message *message = put->op.message;
    struct store_op operation = {.kind = STORE_OUT_PUT};
    if (put->record.file)
        put->record.file = message->file;
    if (put->is_new)
        message->conversation->sequence = message->sequence;
    operation.out_put.record = put->record;
    operation.out_put.body = put->body;
    memcpy(operation.out_put.spool, request->push.spool, sizeof operation.out_put.spool);
    ledger->n_putting++;
    ledger_store(ledger, &operation, &put->op);
}

/* ---- Results ---- */

/* Answer a push with the state of its message, and have the client wait if it asked to. */
static void answer_push(struct ledger *ledger, const struct ledger_put *put,
                        struct message *message) {
    bool watch = !message_state_is_final(message->state) && (put->wait || put->trace);
    if (put->batch) {
        ledger_batch_accepted(ledger, put->batch, message);
        return;
    }
    if (put->op.client_gone)
        return;
    struct message_report report = ledger_report(message);
    if (watch) {
        enum awaited wanted = !put->trace  ? AWAITED_END
                              : !put->wait ? AWAITED_ROUTES
                                           : AWAITED_ROUTES_AND_END;
        struct watcher *watcher = ledger_watch(ledger, message, put->op.client, wanted);
        if (!watcher)
            return;
        watcher->by_code = true;
    }
    ledger_answer(ledger, put->op.client, ledger_state_code(message->state), !watch, &report,
                  put->notice);
}

/* The store had this message already. */
static void put_existed(struct ledger *ledger, const struct ledger_put *put,
                        const struct store_result *result) {
    struct message *known = ledger_find_own(ledger, &put->op.id);
    if (known)
        answer_push(ledger, put, known);
    else if (put->batch)
        ledger_batch_known(put->batch, &result->record);
    if (known || put->batch || put->op.client_gone)
        return;
    struct message_report report = ledger_report_record(&result->record);
    report.id = put->op.id;
    ledger_answer(ledger, put->op.client, ledger_state_code(report.state), true, &report,
                  put->notice);
}

static struct ledger_news put_accepted(struct ledger *ledger, struct ledger_put *put,
                                       struct now now) {
    struct message *message = put->op.message;
    if (put->body && message->size > 0 && message->size <= BODY_KEPT_MAX &&
        messages_keep_body(ledger->config.messages, message, put->body))
        put->body = NULL;
    put->op.message = NULL;
    bool is_next = ledger_enter(ledger, message, false, now);
    message->withdrawn = put->batch && put->batch->state == BATCH_BROKEN;
    if (!message->withdrawn)
        answer_push(ledger, put, message);
    if (!message->withdrawn && !message->recipient)
        ledger_answer_no_route(ledger, message);
    return (struct ledger_news){is_next || message->withdrawn ? LEDGER_ACCEPTED : LEDGER_NOTHING,
                                message, NULL, 0};
}

struct ledger_news ledger_put_done(struct ledger *ledger, struct ledger_put *put,
                                   const struct store_result *result, struct now now) {
    struct ledger_batch *batch = put->batch;
    struct ledger_news news = {LEDGER_RELEASED, NULL, put->op.message->recipient,
                               put->op.message->size};
    struct ledger_refusal refusal = ledger_error_words(result->error);
    ledger->n_putting--;
    if (result->error == 0 && !result->existed)
        news = put_accepted(ledger, put, now);
    else if (result->error == 0)
        put_existed(ledger, put, result);
    else if (batch)
        ledger_batch_refused(batch, &refusal);
    else if (!put->op.client_gone)
        effects_answer_text(ledger->config.effects, put->op.client, refusal.code, "%s",
                            refusal.text);
    ledger_put_free(ledger, put);
    if (batch)
        ledger_batch_settled(ledger, batch);
    return news;
}
