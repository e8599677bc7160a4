/* Life of the ledger, requests about messages, and what comes back from the store: see ledger.h. */
#include "daemon/core/deliver/ledger/ledger_private.h"
#include "daemon/core/seam/step.h"

#include <assert.h>
#include <stdio.h>

/* ---- Requests about messages ---- */

static void answer_error(struct ledger *ledger, uint64_t client, int error) {
    struct ledger_refusal refusal = ledger_error_words(error);
    effects_answer_text(ledger->config.effects, client, refusal.code, "%s", refusal.text);
}

/* Have the client wait for the end. False: the message has ended already, or too many wait, and
 * that was answered. */
static bool cancel(struct ledger *ledger, struct message *message, uint64_t client) {
    if (!message_state_is_final(message->state))
        return ledger_watch(ledger, message, client, AWAITED_END) != NULL;
    effects_answer_text(ledger->config.effects, client, ANSWER_FAILED, "the message is already %s",
                        ledger_state_word(message->state));
    return false;
}

static void status(struct ledger *ledger, struct message *message, uint64_t client, bool wait,
                   const char *notice) {
    bool final = message_state_is_final(message->state), watch = wait && !final;
    struct message_report report = ledger_report(message);
    if (watch && !ledger_watch(ledger, message, client, AWAITED_END))
        return;
    ledger_answer(ledger, client, ANSWER_OK, !watch, &report, final ? NULL : notice);
}

/* The message is not in memory: it was finished long ago, is being stored just now, or is unknown.
 * The store works in order, so it looks behind a put that is under way. */
static void look_up(struct ledger *ledger, const struct request *request, bool is_cancel) {
    struct ledger_find *find = ledger_op_new(ledger, LEDGER_FIND, sizeof *find);
    if (!find) {
        answer_error(ledger, request->client, -ENOMEM);
        return;
    }
    find->op.client = request->client;
    find->op.id = request->message.id;
    find->cancel = is_cancel;
    find->wait = request->message.wait;
    struct store_op operation = {.kind = STORE_OUT_FIND};
    operation.out_find.id = find->op.id;
    ledger_store(ledger, &operation, &find->op);
}

void ledger_status(struct ledger *ledger, const struct request *request, const char *notice) {
    struct message *message = ledger_find_own(ledger, &request->message.id);
    if (message)
        status(ledger, message, request->client, request->message.wait, notice);
    else
        look_up(ledger, request, false);
}

struct message *ledger_cancel(struct ledger *ledger, const struct request *request) {
    struct message *message = ledger_find_own(ledger, &request->message.id);
    if (message)
        return cancel(ledger, message, request->client) ? message : NULL;
    look_up(ledger, request, true);
    return NULL;
}

void ledger_client_gone(struct ledger *ledger, uint64_t client) {
    struct ledger_op *op;
    TAILQ_FOREACH(op, &ledger->ops, link)
        if (op->client == client)
            op->client_gone = true;
    struct ledger_batch *batch;
    TAILQ_FOREACH(batch, &ledger->batches, link)
        if (batch->client == client)
            batch->gone = true;
    ledger_watchers_gone(ledger, client);
}

/* ---- The store ---- */

static struct ledger_op *op_of(uint64_t cookie) {
    return (struct ledger_op *)(uintptr_t)cookie;
}

const struct out_record *ledger_record_ahead(const struct ledger *ledger, uint64_t cookie,
                                             const struct store_result *result) {
    const struct ledger_op *op = op_of(cookie);
    bool has_record = op->kind == LEDGER_FIND || (op->kind == LEDGER_PUT && result->existed);
    if (!has_record || result->error || ledger_find_own(ledger, &op->id))
        return NULL;
    return ledger_load_ahead(ledger, &result->record);
}

bool ledger_is_page(uint64_t cookie) {
    return op_of(cookie)->kind == LEDGER_LOAD;
}

/* True: `*ret_message` is to be finished as cancelled. */
static bool find_done(struct ledger *ledger, const struct ledger_find *find,
                      const struct store_result *result, struct message **ret_message) {
    uint64_t client = find->op.client;
    struct message *message = ledger_find_own(ledger, &find->op.id);
    struct message_report report = ledger_report_record(&result->record);
    report.id = find->op.id;
    *ret_message = message;
    if (find->op.client_gone)
        return false;
    if (message && find->cancel)
        return cancel(ledger, message, client);
    if (message)
        status(ledger, message, client, find->wait, NULL);
    else if (result->error == -ENOENT || (!result->error && result->record.kind == KIND_MAIL))
        effects_answer_text(ledger->config.effects, client, ANSWER_UNKNOWN,
                            "no message has this id");
    else if (result->error)
        answer_error(ledger, client, result->error);
    else if (find->cancel)
        effects_answer_text(ledger->config.effects, client, ANSWER_FAILED,
                            "the message is already %s", ledger_state_word(report.state));
    else
        ledger_answer(ledger, client, ANSWER_OK, true, &report, NULL);
    return false;
}

struct ledger_news ledger_stored(struct ledger *ledger, uint64_t cookie,
                                 const struct store_result *result, struct now now) {
    struct ledger_op *op = op_of(cookie);
    struct ledger_news news = {LEDGER_NOTHING, NULL, NULL, 0};
    switch (op->kind) {
    case LEDGER_PUT: /* which frees itself */
        return ledger_put_done(ledger, table_entry(op, struct ledger_put, op), result, now);
    case LEDGER_STATE:
        ledger_state_done(ledger, op->message, result->error, now.mono);
        break;
    case LEDGER_PROGRESS:
        break; /* if it was not stored, blocks are sent again after a restart, no more */
    case LEDGER_FIND:
        if (find_done(ledger, table_entry(op, struct ledger_find, op), result, &news.message))
            news.kind = LEDGER_CANCELLED;
        break;
    case LEDGER_LOAD:
        break; /* its page was entered before */
    }
    ledger_op_free(ledger, op);
    return news;
}

/* ---- Life ---- */

struct ledger *ledger_new(const struct ledger_config *config, const struct node_boot *boot,
                          struct now now) {
    struct ledger *ledger = calloc(1, sizeof *ledger);
    if (!ledger)
        return NULL;
    ledger->config = *config;
    TAILQ_INIT(&ledger->all);
    TAILQ_INIT(&ledger->unstored);
    TAILQ_INIT(&ledger->load.late);
    TAILQ_INIT(&ledger->all_watchers);
    TAILQ_INIT(&ledger->ops);
    TAILQ_INIT(&ledger->batches);
    TAILQ_INIT(&ledger->pending);
    TAILQ_INIT(&ledger->survey.found);
    ledger->base = boot->clock.us != 0 ? boot->clock : now.wall;
    ledger->expiry_check = ledger->state_retry = MONO_NEVER;
    ledger->expiry_checked = now.mono;
    if (table_init(&ledger->conversations, &config->random) ||
        ledger_load_boot(ledger, boot, now.mono)) {
        ledger_free(ledger);
        return NULL;
    }
    return ledger;
}

void ledger_free(struct ledger *ledger) {
    if (!ledger)
        return;
    /* What clients were promised is on disk; here memory is given back. */
    for (struct ledger_op *op; (op = TAILQ_FIRST(&ledger->ops));) {
        if (op->kind == LEDGER_PUT)
            ledger_put_free(ledger, table_entry(op, struct ledger_put, op));
        else
            ledger_op_free(ledger, op);
    }
    while (!TAILQ_EMPTY(&ledger->all))
        ledger_message_free(ledger, TAILQ_FIRST(&ledger->all));
    while (!TAILQ_EMPTY(&ledger->batches))
        ledger_batch_free(ledger, TAILQ_FIRST(&ledger->batches));
    ledger_survey_begin(ledger, (struct wall){0}); /* forgets what one has found */
    ledger_conversations_deinit(ledger);
    free(ledger);
}

void ledger_configure(struct ledger *ledger, size_t message_max, int64_t expire_us,
                      int64_t retention_us) {
    ledger->config.message_max = message_max;
    ledger->config.expire_us = expire_us;
    ledger->config.retention_us = retention_us;
}

struct mono ledger_next(const struct ledger *ledger) {
    struct mono next = mono_min(ledger->expiry_check, ledger->state_retry);
    return mono_min(next, ledger_load_next(ledger));
}

/* ---- To be looked at ---- */

bool ledger_look(const struct ledger *ledger, const struct message_id *id,
                 struct message_report *ret_report) {
    const struct message *message = messages_find(ledger->config.messages, id);
    if (message)
        *ret_report = ledger_report(message);
    return message != NULL;
}

uint64_t ledger_pending(const struct ledger *ledger) {
    return ledger->n_pending + ledger->load.left;
}

const struct ledger_counters *ledger_counters(const struct ledger *ledger) {
    return &ledger->counters;
}

bool ledger_is_idle(const struct ledger *ledger) {
    return TAILQ_EMPTY(&ledger->ops) && ledger->n_putting == 0;
}
