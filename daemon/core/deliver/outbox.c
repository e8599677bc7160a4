/* Requests and the store: see outbox.h. Threat: a crash may come between any two steps, so nothing
 * is acknowledged to a client before its store operation is done. */
#include "daemon/core/deliver/outbox_private.h"
#include "daemon/core/seam/step.h"

#include <assert.h>
#include <stdio.h>

struct out_op *out_op_new(struct outbox *outbox, enum out_op_kind kind) {
    struct out_op *op = calloc(1, sizeof *op);
    if (!op)
        return NULL;
    op->kind = kind;
    TAILQ_INSERT_TAIL(&outbox->ops, op, link);
    return op;
}

void out_op_free(struct outbox *outbox, struct out_op *op) {
    TAILQ_REMOVE(&outbox->ops, op, link);
    free(op->notice);
    free(op);
}

void out_store(struct outbox *outbox, const struct store_op *operation, const struct out_op *op) {
    effects_store(outbox->config.effects, operation, OWNER_OUTBOX, (uint64_t)(uintptr_t)op);
}

static void answer_error(struct outbox *outbox, uint64_t client, int error) {
    struct out_refusal refusal = out_error_words(error);
    effects_answer_text(outbox->config.effects, client, refusal.code, "%s", refusal.text);
}

/* ---- Requests about messages ---- */

static void cancel(struct outbox *outbox, struct out_message *message, uint64_t client,
                   struct now now) {
    if (message_state_is_final(message->state)) {
        effects_answer_text(outbox->config.effects, client, ANSWER_FAILED,
                            "the message is already %s", out_state_word(message->state));
        return;
    }
    struct out_watcher *watcher = out_watch(outbox, message, client);
    if (!watcher)
        return;
    watcher->cancel = true;
    out_finish(outbox, message, MESSAGE_FAILED, "cancelled", now);
}

static void status(struct outbox *outbox, struct out_message *message, uint64_t client, bool wait,
                   const char *notice) {
    bool watch = wait && !message_state_is_final(message->state);
    struct message_report report = out_report(message);
    if (watch) {
        struct out_watcher *watcher = out_watch(outbox, message, client);
        if (!watcher)
            return;
        watcher->wait = true;
    }
    bool final = message_state_is_final(message->state);
    out_answer(outbox, client, ANSWER_OK, !watch, &report, final ? NULL : notice);
}

/* Not in memory: finished long ago, being stored just now, or unknown. The store's queue puts it
 * behind a put under way. */
static void look_up(struct outbox *outbox, const struct request *request, bool is_cancel) {
    struct out_op *op = out_op_new(outbox, OUT_OP_FIND);
    if (!op) {
        answer_error(outbox, request->client, -ENOMEM);
        return;
    }
    op->client = request->client;
    op->id = request->message.id;
    op->cancel = is_cancel;
    op->wait = request->message.wait;
    struct store_op operation = {.kind = STORE_OUT_FIND};
    operation.out_find.id = op->id;
    out_store(outbox, &operation, op);
}

void outbox_message(struct outbox *outbox, const struct request *request, const char *notice) {
    struct out_message *message = out_find_own(outbox, &request->message.id);
    if (message)
        status(outbox, message, request->client, request->message.wait, notice);
    else
        look_up(outbox, request, false);
}

void outbox_cancel(struct outbox *outbox, const struct request *request, struct now now) {
    struct out_message *message = out_find_own(outbox, &request->message.id);
    if (message)
        cancel(outbox, message, request->client, now);
    else
        look_up(outbox, request, true);
}

void outbox_client_gone(struct outbox *outbox, uint64_t client) {
    struct out_op *op;
    TAILQ_FOREACH(op, &outbox->ops, link)
        if (op->client == client)
            op->client_gone = true;
    out_batches_gone(outbox, client);
    out_watchers_gone(outbox, client);
}

static void find_done(struct outbox *outbox, const struct out_op *op,
                      const struct store_result *result, struct now now) {
    struct out_message *message = out_find_own(outbox, &op->id);
    struct message_report report = out_report_record(&result->record);
    report.id = op->id;
    if (!message && !result->error)
        message = out_load_one(outbox, &result->record, now);
    if (op->client_gone)
        return;
    if (message && op->cancel)
        cancel(outbox, message, op->client, now);
    else if (message)
        status(outbox, message, op->client, op->wait, NULL);
    else if (result->error == -ENOENT || (!result->error && result->record.kind == KIND_MAIL))
        effects_answer_text(outbox->config.effects, op->client, ANSWER_UNKNOWN,
                            "no message has this id");
    else if (result->error)
        answer_error(outbox, op->client, result->error);
    else if (op->cancel)
        effects_answer_text(outbox->config.effects, op->client, ANSWER_FAILED,
                            "the message is already %s", out_state_word(report.state));
    else
        out_answer(outbox, op->client, ANSWER_OK, true, &report, NULL);
}

void outbox_stored(struct outbox *outbox, uint64_t cookie, const struct store_result *result,
                   struct now now) {
    struct out_op *op = (struct out_op *)(uintptr_t)cookie;
    switch (op->kind) {
    case OUT_OP_PUT:
        out_put_done(outbox, op, result, now);
        break;
    case OUT_OP_STATE:
        out_state_done(outbox, op->message, result->error, now.mono);
        break;
    case OUT_OP_PROGRESS:
        break; /* not stored: sent again after a restart, no more */
    case OUT_OP_READ:
        out_parcel_read(outbox, op, result, now);
        break;
    case OUT_OP_READ_LOCAL:
        out_local_read(outbox, result, now);
        break;
    case OUT_OP_FIND:
        find_done(outbox, op, result, now);
        break;
    case OUT_OP_READDRESS:
        out_readdress_done(outbox, op, result);
        break;
    case OUT_OP_LOAD:
        out_load_done(outbox, result, now);
        break;
    case OUT_OP_READ_MAIL:
        out_mail_read(outbox, op, result);
        break;
    case OUT_OP_DEPOSIT:
        out_deposit_stored(outbox, op, result, now);
        return; /* told of later */
    }
    out_op_free(outbox, op);
}

/* ---- Life ---- */

static int init_tables(struct outbox *outbox) {
    const struct core_random *random = &outbox->config.random;
    outbox->receipt_keys = sodium_malloc(OUTBOX_SEALED_MAX * sizeof *outbox->receipt_keys);
    outbox->free_keys = malloc(OUTBOX_SEALED_MAX * sizeof *outbox->free_keys);
    outbox->keys = parcel_keys_new(OUTBOX_KEYS_HELD, &outbox->config.random);
    if (!outbox->receipt_keys || !outbox->free_keys || !outbox->keys ||
        table_init(&outbox->messages, random) || table_init(&outbox->conversations, random) ||
        table_init(&outbox->flows, random) || table_init(&outbox->parcels, random))
        return -ENOMEM;
    for (uint32_t i = 0; i < OUTBOX_SEALED_MAX; i++)
        outbox->free_keys[outbox->n_free_keys++] = OUTBOX_SEALED_MAX - 1 - i;
    return 0;
}

struct outbox *outbox_new(const struct outbox_config *config, const struct node_boot *boot,
                          struct now now) {
    struct outbox *outbox = calloc(1, sizeof *outbox);
    if (!outbox)
        return NULL;
    outbox->config = *config;
    outbox->self = *identity_id(config->identity);
    if (outbox->config.messages_max == 0)
        outbox->config.messages_max = OUTBOX_MESSAGES_MAX;
    TAILQ_INIT(&outbox->all);
    TAILQ_INIT(&outbox->cached);
    TAILQ_INIT(&outbox->unstored);
    TAILQ_INIT(&outbox->locals);
    TAILQ_INIT(&outbox->load.late);
    TAILQ_INIT(&outbox->all_flows);
    TAILQ_INIT(&outbox->run);
    TAILQ_INIT(&outbox->unready);
    TAILQ_INIT(&outbox->all_watchers);
    TAILQ_INIT(&outbox->ops);
    TAILQ_INIT(&outbox->deposits);
    TAILQ_INIT(&outbox->deposited);
    TAILQ_INIT(&outbox->batches);
    outbox->expires_first = MONO_NEVER;
    outbox->base = boot->clock.us != 0 ? boot->clock : now.wall;
    outbox->ready_at = outbox->expiry_check = outbox->state_retry = outbox->keys_check = MONO_NEVER;
    outbox->expiry_checked = outbox->local_retry = outbox->mail_scan = now.mono;
    outbox->state_retry_us = outbox->local_retry_us = US_PER_S;
    config->budget->evict[BUDGET_OUTBOX] = out_evict;
    config->budget->context[BUDGET_OUTBOX] = outbox;
    if (init_tables(outbox) || out_load_boot(outbox, boot, now)) {
        outbox_free(outbox);
        return NULL;
    }
    return outbox;
}

/* What clients were promised is on disk; here only memory is given back. */
static void free_ops(struct outbox *outbox) {
    for (struct out_op *op; (op = TAILQ_FIRST(&outbox->ops));) {
        if (op->kind == OUT_OP_PUT) {
            budget_give(outbox->config.budget, BUDGET_CLIENTS, op->charged);
            free(op->body);
            out_message_discard(outbox, op->message);
        }
        if (op->kind == OUT_OP_READ && --op->parcel->reads == 0 && !op->parcel->flow)
            out_parcel_drop(outbox, op->parcel);
        if (op->kind == OUT_OP_READ_MAIL)
            out_mail_abandon_read(outbox, op);
        if (op->kind == OUT_OP_DEPOSIT)
            out_message_discard(outbox, op->message);
        if (op->kind == OUT_OP_READDRESS)
            out_move_free(outbox, op->move);
        out_op_free(outbox, op);
    }
}

void outbox_free(struct outbox *outbox) {
    if (!outbox)
        return;
    while (!TAILQ_EMPTY(&outbox->all_flows))
        out_flow_free(outbox, TAILQ_FIRST(&outbox->all_flows));
    free_ops(outbox);
    out_deposits_deinit(outbox);
    while (!TAILQ_EMPTY(&outbox->all))
        out_message_free(outbox, TAILQ_FIRST(&outbox->all));
    out_batches_deinit(outbox);
    for (size_t i = 0; outbox->conversations.slots && i < outbox->conversations.n_slots; i++)
        for (struct table_link *link = outbox->conversations.slots[i], *next; link; link = next) {
            next = link->next;
            free(table_entry(link, struct out_conversation, by_recipient));
        }
    outbox->config.budget->evict[BUDGET_OUTBOX] = NULL;
    assert(outbox->config.budget->held[BUDGET_OUTBOX] == 0);
    assert(outbox->config.budget->held[BUDGET_KEPT] == 0);
    table_deinit(&outbox->messages);
    table_deinit(&outbox->conversations);
    table_deinit(&outbox->flows);
    table_deinit(&outbox->parcels);
    timers_deinit(&outbox->timers);
    parcel_keys_free(outbox->keys);
    sodium_free(outbox->receipt_keys);
    free(outbox->free_keys);
    free(outbox->local_bytes);
    free(outbox);
}

void outbox_configure(struct outbox *outbox, size_t message_max, int64_t expire_us,
                      int64_t retention_us) {
    outbox->config.message_max = message_max;
    outbox->config.expire_us = expire_us;
    outbox->config.retention_us = retention_us;
}

/* ---- Time ---- */

static void expire_keys(struct outbox *outbox, struct now now) {
    size_t left =
        parcel_keys_expire(outbox->keys, wall_epoch((struct wall){now.wall.us - EPOCH_GRACE_US}));
    outbox->keys_check = left > 0 ? mono_add(now.mono, EPOCH_US / 4) : MONO_NEVER;
}

void outbox_tick(struct outbox *outbox, struct now now) {
    if (mono_is_due(outbox->expiry_check, now.mono))
        out_expire(outbox, now);
    if (mono_is_due(outbox->state_retry, now.mono))
        out_retry_states(outbox, now.mono);
    if (mono_is_due(outbox->keys_check, now.mono))
        expire_keys(outbox, now);
    out_load_tick(outbox, now.mono);
    out_local_start(outbox, now.mono);
    out_run(outbox, now);
    out_mail_tick(outbox, now);
    out_make_ready(outbox, now);
}

struct mono outbox_next(const struct outbox *outbox) {
    if (!TAILQ_EMPTY(&outbox->run))
        return (struct mono){0}; /* at once */
    struct mono next = mono_min(timers_next(&outbox->timers), outbox->expiry_check);
    next = mono_min(next, mono_min(outbox->ready_at, paths_next(outbox->config.paths)));
    next = mono_min(next, mono_min(outbox->state_retry, outbox->keys_check));
    next = mono_min(next, mono_min(out_mail_next(outbox), out_load_next(outbox)));
    if (outbox->local_stage == OUT_LOCAL_NONE && !TAILQ_EMPTY(&outbox->locals))
        next = mono_min(next, outbox->local_retry);
    return next;
}

uint64_t outbox_pending(const struct outbox *outbox) {
    return outbox->n_pending + outbox->load.left;
}

uint64_t outbox_pending_to(const struct outbox *outbox, const struct node_id *recipient) {
    const struct out_conversation *conversation = out_conversation_find(outbox, recipient);
    return conversation ? conversation->n_pending : 0;
}

bool outbox_has_written(const struct outbox *outbox, const struct node_id *recipient) {
    const struct out_conversation *conversation = out_conversation_find(outbox, recipient);
    return conversation && conversation->sequence > 0;
}

void outbox_visit(const struct outbox *outbox,
                  bool (*visit)(void *context, const struct node_id *recipient), void *context) {
    for (size_t i = 0; i < outbox->conversations.n_slots; i++)
        for (struct table_link *link = outbox->conversations.slots[i]; link; link = link->next)
            if (!visit(context,
                       &table_entry(link, struct out_conversation, by_recipient)->recipient))
                return;
}

const struct outbox_counters *outbox_counters(const struct outbox *outbox) {
    return &outbox->counters;
}
