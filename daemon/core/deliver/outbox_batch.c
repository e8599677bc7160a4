/* Many messages at once: their puts share a step, hence a commit, and are answered once. Threat: a
 * client that asks for much: bodies and what watches them are charged, batches are counted. What it
 * is told has to be exact, so behind the first that is refused nothing is accepted: what the store
 * took all the same is withdrawn. */
#include "daemon/core/deliver/outbox_private.h"

#include <stdio.h>

static void batch_free(struct outbox *outbox, struct out_batch *batch) {
    TAILQ_REMOVE(&outbox->batches, batch, link);
    outbox->n_batches--;
    budget_give(outbox->config.budget, BUDGET_CLIENTS, batch->charged);
    free(batch);
}

static struct out_batch *batch_new(struct outbox *outbox, const struct request *request,
                                   const char *notice) {
    size_t n = request->push_many.wait ? request->push_many.n : 0;
    struct out_batch *batch = NULL;
    size_t charge = sizeof *batch + n * sizeof *batch->watchers;
    if (outbox->n_batches >= OUTBOX_BATCHES_MAX ||
        !budget_take(outbox->config.budget, BUDGET_CLIENTS, charge))
        return NULL;
    batch = calloc(1, charge);
    if (!batch) {
        budget_give(outbox->config.budget, BUDGET_CLIENTS, charge);
        return NULL;
    }
    batch->charged = charge;
    batch->client = request->client;
    batch->wait = request->push_many.wait;
    snprintf(batch->notice, sizeof batch->notice, "%s", notice ? notice : "");
    TAILQ_INSERT_TAIL(&outbox->batches, batch, link);
    outbox->n_batches++;
    return batch;
}

static void batch_answer(struct outbox *outbox, const struct out_batch *batch, bool end) {
    struct answer answer = {.client = batch->client, .kind = ANSWER_MANY, .end = end};
    answer.many = batch->report;
    if (batch->broken) {
        answer.code = batch->refusal.code;
        memcpy(answer.text, batch->refusal.text, sizeof answer.text);
    } else if (end && batch->wait && batch->report.failed > 0) {
        answer.code = ANSWER_FAILED;
        snprintf(answer.text, sizeof answer.text, "%zu of %zu failed: %s", batch->report.failed,
                 batch->report.accepted, batch->report.reason);
    } else {
        snprintf(answer.text, sizeof answer.text, "%s", batch->notice);
    }
    if (!batch->gone)
        effects_answer(outbox->config.effects, &answer);
}

/* All results are in: say what was accepted, and wait on if there is something to wait for. */
static void batch_conclude(struct outbox *outbox, struct out_batch *batch) {
    bool end = batch->broken || batch->watched == 0;
    batch_answer(outbox, batch, end);
    if (!end)
        return;
    batch->wait = false;
    for (size_t i = 0; i < batch->used; i++)
        if (batch->watchers[i].message)
            out_watcher_free(outbox, &batch->watchers[i]);
    batch_free(outbox, batch);
}

static struct request one_of(const struct request *request, size_t i) {
    const struct push_item *item = &request->push_many.items[i];
    struct request one = {.client = request->client, .kind = REQUEST_PUSH};
    one.push.id = item->id;
    one.push.body = item->body;
    one.push.size = item->size;
    one.push.options = request->push_many.options;
    return one;
}

void outbox_push_many(struct outbox *outbox, const struct request *request,
                      const struct node_id *recipient, const char *notice, struct now now) {
    if (request->push_many.n == 0 || request->push_many.n > PUSH_MANY_MAX) {
        effects_answer_text(outbox->config.effects, request->client, ANSWER_USAGE,
                            "1 to %d messages at once", PUSH_MANY_MAX);
        return;
    }
    struct out_batch *batch = batch_new(outbox, request, notice);
    if (!batch) {
        outbox->counters.pushes_refused++;
        effects_answer_text(outbox->config.effects, request->client, ANSWER_LIMIT,
                            "too many are being pushed at once, or out of memory (limits.memory)");
        return;
    }
    for (size_t i = 0; i < request->push_many.n && !batch->stopped; i++) {
        struct request one = one_of(request, i);
        batch->stopped = !out_put(outbox, &one, recipient, NULL, batch, now, &batch->refusal);
        batch->submitted += !batch->stopped;
    }
    outbox->counters.pushes_refused += batch->stopped && batch->refusal.code == ANSWER_LIMIT;
    if (batch->submitted == 0) {
        batch->broken = true;
        batch_conclude(outbox, batch);
    }
}

/* ---- Results ---- */

static void count_final(struct out_batch *batch, enum message_state state, const char *reason) {
    if (state == MESSAGE_DELIVERED) {
        batch->report.delivered++;
        return;
    }
    if (batch->report.failed++ == 0)
        snprintf(batch->report.reason, sizeof batch->report.reason, "%s", reason ? reason : "");
}

void out_batch_accepted(struct outbox *outbox, struct out_batch *batch,
                        struct out_message *message) {
    if (batch->broken)
        return;
    batch->report.accepted++;
    if (message_state_is_final(message->state))
        count_final(batch, message->state, message->reason);
    else if (batch->wait && !batch->gone)
        out_watch_for_batch(outbox, message, batch);
}

void out_batch_known(struct out_batch *batch, const struct out_record *record) {
    if (batch->broken)
        return;
    batch->report.accepted++;
    count_final(batch, record->state, record->reason);
}

void out_batch_refused(struct out_batch *batch, const struct out_refusal *refusal) {
    if (!batch->broken)
        batch->refusal = *refusal;
    batch->broken = true;
}

void out_batch_settled(struct outbox *outbox, struct out_batch *batch) {
    if (++batch->settled < batch->submitted)
        return;
    batch->broken = batch->broken || batch->stopped;
    batch_conclude(outbox, batch);
}

/* ---- Its end ---- */

void out_batch_final(struct out_batch *batch, const struct out_message *message) {
    count_final(batch, message->state, message->reason);
}

void out_batch_unwatched(struct outbox *outbox, struct out_batch *batch) {
    batch->watched--;
    if (batch->watched > 0 || batch->settled < batch->submitted || !batch->wait)
        return;
    batch_answer(outbox, batch, true);
    batch_free(outbox, batch);
}

void out_batches_gone(struct outbox *outbox, uint64_t client) {
    struct out_batch *batch;
    TAILQ_FOREACH(batch, &outbox->batches, link)
        if (batch->client == client)
            batch->gone = true;
}

void out_batches_deinit(struct outbox *outbox) {
    while (!TAILQ_EMPTY(&outbox->batches))
        batch_free(outbox, TAILQ_FIRST(&outbox->batches));
}
