/* Handing messages out to clients: leases, confirmations, clients that wait. Threat: clients die at
 * any moment, and several pull at once. A row is leased to one client until it confirms or goes,
 * and is marked as taken only when it has confirmed. */
#include "daemon/core/deliver/inbox/inbox_private.h"

#include <assert.h>

/* Allowed moves: row = from, bit = to. */
static const uint8_t moves[INBOX_PULLER_STATES] = {
    [INBOX_FETCHING] =
        1 << INBOX_FETCHING | 1 << INBOX_HANDED | 1 << INBOX_PARKED | 1 << INBOX_GONE,
    [INBOX_HANDED] = 1 << INBOX_TAKING | 1 << INBOX_FETCHING, /* a peek needs no confirmation */
    [INBOX_TAKING] = 1 << INBOX_FETCHING | 1 << INBOX_GONE,
    [INBOX_PARKED] = 1 << INBOX_FETCHING,
    [INBOX_GONE] = 0,
};

static void puller_move(struct inbox_puller *puller, enum inbox_puller_state state) {
    assert(moves[puller->state] & 1 << state);
    puller->state = state;
}

static void puller_free(struct inbox *inbox, struct inbox_puller *puller) {
    TAILQ_REMOVE(&inbox->pullers, puller, link);
    inbox->n_pullers--;
    free(puller);
}

static struct inbox_puller *find_puller(const struct inbox *inbox, uint64_t client) {
    struct inbox_puller *puller;
    TAILQ_FOREACH(puller, &inbox->pullers, link)
        if (puller->client == client && puller->state != INBOX_GONE)
            return puller;
    return NULL;
}

static void fetch(struct inbox *inbox, struct inbox_puller *puller) {
    struct store_op operation = {.kind = STORE_IN_FETCH};
    operation.in_fetch.after = puller->after;
    operation.in_fetch.limit = INBOX_BATCH_MAX;
    operation.in_fetch.bytes = INBOX_BATCH_BYTES;
    operation.in_fetch.any_sender = puller->from_any;
    operation.in_fetch.sender = puller->from;
    operation.in_fetch.since = puller->since;
    operation.in_fetch.since_message = puller->since_message;
    operation.in_fetch.since_id = puller->since_id;
    puller_move(puller, INBOX_FETCHING);
    puller->generation = inbox->generation;
    puller->op.kind = INBOX_OP_FETCH;
    inbox_store(inbox, &operation, &puller->op);
}

/* The last word to this client. */
static void finish(struct inbox *inbox, struct inbox_puller *puller) {
    struct answer answer = {.client = puller->client, .kind = ANSWER_MESSAGES, .end = true};
    effects_answer(inbox->config.effects, &answer);
    puller_free(inbox, puller);
}

void inbox_wake(struct inbox *inbox) {
    struct inbox_puller *puller;
    inbox->generation++;
    TAILQ_FOREACH(puller, &inbox->pullers, link)
        if (puller->state == INBOX_PARKED)
            fetch(inbox, puller);
}

/* There is nothing more to hand out: the client waits for something new, or is done. */
static void exhausted(struct inbox *inbox, struct inbox_puller *puller) {
    bool stays = puller->follow || (puller->wait && puller->given == 0);
    /* Look from the beginning next time: rows that were leased to others may have become free, and
     * late messages sort before those seen. But a peek shows nothing twice; row numbers only grow.
     */
    puller->after = 0;
    puller->shown = puller->highest;
    if (!stays)
        finish(inbox, puller);
    else if (puller->generation != inbox->generation)
        fetch(inbox, puller);
    else
        puller_move(puller, INBOX_PARKED);
}

void inbox_pull(struct inbox *inbox, const struct request *request, const struct node_id *from) {
    struct inbox_puller *puller = NULL;
    if (find_puller(inbox, request->client)) {
        effects_answer_text(inbox->config.effects, request->client, ANSWER_USAGE,
                            "this client pulls already");
        return;
    }
    if (inbox->n_pullers < INBOX_PULLERS_MAX)
        puller = calloc(1, sizeof *puller);
    if (!puller) {
        effects_answer_text(inbox->config.effects, request->client, ANSWER_LIMIT,
                            "too many clients pull (limit %d)", INBOX_PULLERS_MAX);
        return;
    }
    puller->client = request->client;
    puller->peek = request->pull.peek;
    puller->wait = request->pull.wait;
    puller->follow = request->pull.follow;
    puller->max = request->pull.max;
    puller->since = request->pull.since;
    puller->since_message = request->pull.since_message;
    puller->since_id = request->pull.since_id;
    puller->from_any = from == NULL;
    if (from)
        puller->from = *from;
    TAILQ_INSERT_TAIL(&inbox->pullers, puller, link);
    inbox->n_pullers++;
    fetch(inbox, puller);
}

/* ---- A batch ---- */

static bool holds_row(const struct inbox_puller *puller, int64_t row) {
    size_t low = 0, high = puller->n_rows;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (puller->rows[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low < puller->n_rows && puller->rows[low] == row;
}

static bool is_leased(const struct inbox *inbox, int64_t row) {
    const struct inbox_puller *puller;
    TAILQ_FOREACH(puller, &inbox->pullers, link)
        if (holds_row(puller, row))
            return true;
    return false;
}

static void lease(struct inbox_puller *puller, int64_t row) {
    size_t at = puller->n_rows++;
    for (; at > 0 && puller->rows[at - 1] > row; at--)
        puller->rows[at] = puller->rows[at - 1];
    puller->rows[at] = row;
}

/* Copies: what the store lends is gone when the answer is written. */
static struct in_record *copy_records(struct inbox *inbox, const struct in_record **v, size_t n) {
    struct in_record *copies = effects_scratch(inbox->config.effects, n * sizeof *copies);
    for (size_t i = 0; copies && i < n; i++) {
        copies[i] = *v[i];
        uint8_t *body = effects_scratch(inbox->config.effects, v[i]->size ? v[i]->size : 1);
        if (!body)
            return NULL;
        if (v[i]->size > 0)
            memcpy(body, v[i]->body, v[i]->size);
        copies[i].body = body;
    }
    return copies;
}

/* False: out of memory, and the pull has ended. */
static bool hand_out(struct inbox *inbox, struct inbox_puller *puller, const struct in_record **v,
                     size_t n) {
    struct answer answer = {.client = puller->client, .kind = ANSWER_MESSAGES};
    answer.messages.v = copy_records(inbox, v, n);
    answer.messages.n = n;
    if (!answer.messages.v) {
        effects_answer_text(inbox->config.effects, puller->client, ANSWER_LIMIT, "out of memory");
        puller_free(inbox, puller);
        return false;
    }
    puller->given += (uint32_t)n;
    for (size_t i = 0; i < n && !puller->peek; i++)
        lease(puller, v[i]->row);
    effects_answer(inbox->config.effects, &answer);
    puller_move(puller, INBOX_HANDED);
    return true;
}

/* What comes after a batch is done with. */
static void go_on(struct inbox *inbox, struct inbox_puller *puller) {
    if (puller->max > 0 && puller->given >= puller->max)
        finish(inbox, puller);
    else
        fetch(inbox, puller);
}

static void fetch_failed(struct inbox *inbox, struct inbox_puller *puller, int error) {
    char words[ERROR_WORDS_MAX];
    error_words(error, words);
    if (error == -ENOENT && puller->since_message)
        effects_answer_text(inbox->config.effects, puller->client, ANSWER_UNKNOWN,
                            "no message that was received has the id given with since");
    else
        effects_answer_text(inbox->config.effects, puller->client,
                            error_is_limit(error) ? ANSWER_LIMIT : ANSWER_FAILED,
                            "the store cannot be read: %s", words);
    puller_free(inbox, puller);
}

void inbox_fetched(struct inbox *inbox, struct inbox_puller *puller,
                   const struct store_result *result) {
    const struct in_record *free_ones[INBOX_BATCH_MAX];
    size_t n = 0;
    if (puller->state == INBOX_GONE) {
        puller_free(inbox, puller);
        return;
    }
    if (result->error) {
        fetch_failed(inbox, puller, result->error);
        return;
    }
    for (size_t i = 0; i < result->n_messages && n < INBOX_BATCH_MAX; i++) {
        const struct in_record *record = &result->messages[i];
        puller->after = record->place;
        if (puller->peek && record->row > puller->highest)
            puller->highest = record->row;
        if (puller->peek ? record->row > puller->shown : !is_leased(inbox, record->row))
            free_ones[n++] = record;
    }
    if (puller->max > 0 && n > puller->max - puller->given)
        n = puller->max - puller->given;
    if (n > 0) {
        bool peek = puller->peek;
        if (hand_out(inbox, puller, free_ones, n) && peek)
            go_on(inbox, puller);
    } else if (result->more) {
        fetch(inbox, puller);
    } else {
        exhausted(inbox, puller);
    }
}

/* ---- Its end ---- */

/* Keep the lease of those of its rows that are among `rows`; the others are free again. */
static void keep_rows(struct inbox_puller *puller, const int64_t *rows, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < puller->n_rows; i++) {
        bool found = false;
        for (size_t j = 0; j < n && !found; j++)
            found = rows[j] == puller->rows[i];
        if (found)
            puller->rows[kept++] = puller->rows[i];
    }
    puller->n_rows = kept;
}

void inbox_confirm(struct inbox *inbox, uint64_t client, const int64_t *rows, size_t n,
                   struct wall wall) {
    struct inbox_puller *puller = find_puller(inbox, client);
    if (!puller || puller->state != INBOX_HANDED) {
        if (!puller)
            effects_answer_text(inbox->config.effects, client, ANSWER_USAGE,
                                "there is nothing to confirm");
        return;
    }
    size_t leased = puller->n_rows;
    if (rows)
        keep_rows(puller, rows, n);
    struct store_op operation = {.kind = STORE_IN_TAKE};
    operation.in_take.rows = puller->rows;
    operation.in_take.n = puller->n_rows;
    operation.in_take.now = wall;
    operation.in_take.forget = inbox->config.limits.retention_us == 0;
    puller_move(puller, INBOX_TAKING);
    puller->op.kind = INBOX_OP_TAKE;
    inbox_store(inbox, &operation, &puller->op);
    if (puller->n_rows < leased)
        inbox_wake(inbox);
}

void inbox_taken(struct inbox *inbox, struct inbox_puller *puller,
                 const struct store_result *result) {
    if (result->error == 0) {
        inbox->waiting -= puller->n_rows < inbox->waiting ? puller->n_rows : inbox->waiting;
        puller->n_rows = 0;
        if (puller->state == INBOX_GONE)
            puller_free(inbox, puller);
        else
            go_on(inbox, puller);
        return;
    }
    char words[ERROR_WORDS_MAX];
    error_words(result->error, words);
    if (puller->state != INBOX_GONE)
        effects_answer_text(
            inbox->config.effects, puller->client,
            error_is_limit(result->error) ? ANSWER_LIMIT : ANSWER_FAILED,
            "the messages could not be marked as taken (%s): they will be handed out again", words);
    puller_free(inbox, puller);
    inbox_wake(inbox);
}

void inbox_client_gone(struct inbox *inbox, uint64_t client) {
    struct inbox_puller *puller = find_puller(inbox, client);
    if (!puller)
        return;
    if (puller->state == INBOX_FETCHING || puller->state == INBOX_TAKING) {
        puller_move(puller, INBOX_GONE);
        return;
    }
    bool leased = puller->n_rows > 0;
    puller_free(inbox, puller);
    if (leased)
        inbox_wake(inbox);
}

void inbox_pullers_deinit(struct inbox *inbox) {
    while (!TAILQ_EMPTY(&inbox->pullers))
        puller_free(inbox, TAILQ_FIRST(&inbox->pullers));
}
