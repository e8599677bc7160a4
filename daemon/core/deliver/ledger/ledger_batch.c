/* Many messages at once: their puts share a step, hence a commit, and are answered once. Threat: a
 * client that asks for much: bodies and watchers are charged, batches are counted. The answer has
 * to be exact: nothing behind the first refused message is accepted. If the store took such a
 * message all the same, it is withdrawn. */
#include "daemon/core/deliver/ledger/ledger_private.h"

#include <assert.h>
#include <stdio.h>

/* Allowed moves: row = from, bit = to. */
static const uint8_t moves[] = {
    [BATCH_WHOLE] = 1 << BATCH_STOPPED | 1 << BATCH_BROKEN,
    [BATCH_STOPPED] = 1 << BATCH_BROKEN,
    [BATCH_BROKEN] = 0,
};

static void set_state(struct ledger_batch *batch, enum batch_state state) {
    assert(moves[batch->state] & 1 << state);
    batch->state = state;
}

static struct ledger_batch *batch_new(struct ledger *ledger, const struct request *request,
                                      const char *notice) {
    size_t n = request->push_many.wait ? request->push_many.n : 0;
    struct ledger_batch *batch = NULL;
    size_t charge = sizeof *batch + n * sizeof *batch->watchers;
    if (ledger->n_batches >= LEDGER_BATCHES_MAX ||
        !budget_take(ledger->config.budget, BUDGET_CLIENTS, charge))
        return NULL;
    batch = calloc(1, charge);
    if (!batch) {
        budget_give(ledger->config.budget, BUDGET_CLIENTS, charge);
        return NULL;
    }
    batch->charged = charge;
    batch->client = request->client;
    batch->wait = request->push_many.wait;
    snprintf(batch->notice, sizeof batch->notice, "%s", notice ? notice : "");
    TAILQ_INSERT_TAIL(&ledger->batches, batch, link);
    ledger->n_batches++;
    return batch;
}

struct ledger_batch *ledger_batch_new(struct ledger *ledger, const struct request *request,
                                      const char *notice) {
    if (request->push_many.n == 0 || request->push_many.n > PUSH_MANY_MAX) {
        effects_answer_text(ledger->config.effects, request->client, ANSWER_USAGE,
                            "1 to %d messages at once", PUSH_MANY_MAX);
        return NULL;
    }
    struct ledger_batch *batch = batch_new(ledger, request, notice);
    if (batch)
        return batch;
    struct ledger_refusal refusal = {
        ANSWER_LIMIT, "too many are being pushed at once, or out of memory (limits.memory)"};
    ledger_refuse(ledger, request->client, &refusal);
    return NULL;
}

/* All puts are done: answer what was accepted, and go on if there is an end to wait for. */
static void batch_conclude(struct ledger *ledger, struct ledger_batch *batch) {
    bool end = batch->state == BATCH_BROKEN || batch->watched == 0;
    ledger_batch_answer(ledger, batch, end);
    if (!end)
        return;
    batch->wait = false;
    for (size_t i = 0; i < batch->used; i++)
        if (batch->watchers[i].message)
            ledger_watcher_free(ledger, &batch->watchers[i]);
    ledger_batch_free(ledger, batch);
}

void ledger_batch_submitted(struct ledger *ledger, struct ledger_batch *batch, size_t n,
                            const struct ledger_refusal *refusal) {
    batch->submitted = n;
    if (refusal) {
        set_state(batch, BATCH_STOPPED);
        batch->refusal = *refusal;
        ledger->counters.pushes_refused += refusal->code == ANSWER_LIMIT;
    }
    if (n > 0)
        return;
    set_state(batch, BATCH_BROKEN);
    batch_conclude(ledger, batch);
}

/* ---- Results ---- */

void ledger_batch_accepted(struct ledger *ledger, struct ledger_batch *batch,
                           struct message *message) {
    if (batch->state == BATCH_BROKEN)
        return;
    batch->report.accepted++;
    if (message_state_is_final(message->state))
        ledger_batch_count(batch, message->state, message->reason);
    else if (batch->wait && !batch->gone)
        ledger_watch_for_batch(ledger, message, batch);
}

void ledger_batch_known(struct ledger_batch *batch, const struct out_record *record) {
    if (batch->state == BATCH_BROKEN)
        return;
    batch->report.accepted++;
    ledger_batch_count(batch, record->state, record->reason);
}

void ledger_batch_refused(struct ledger_batch *batch, const struct ledger_refusal *refusal) {
    if (batch->state == BATCH_BROKEN)
        return;
    batch->refusal = *refusal;
    set_state(batch, BATCH_BROKEN);
}

void ledger_batch_settled(struct ledger *ledger, struct ledger_batch *batch) {
    if (++batch->settled < batch->submitted)
        return;
    if (batch->state == BATCH_STOPPED)
        set_state(batch, BATCH_BROKEN);
    batch_conclude(ledger, batch);
}
