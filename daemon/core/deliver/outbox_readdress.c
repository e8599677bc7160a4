/* Messages that wait for a key that is gone get the one that took its place as their recipient: see
 * outbox.h.
 *
 * Threat: a crash may come at any moment, and the holder of the old key may come back. The store
 * changes all of them in one transaction or none; until it has, they are nobody's to send, so that
 * none is confirmed by the one while it is given to the other. */
#include "daemon/core/deliver/outbox_private.h"

#include <stdio.h>

static struct trust_old *old_of(struct trust_report *trust, const struct out_message *message) {
    if (message->kind == KIND_MAIL || message_state_is_final(message->state))
        return NULL;
    for (size_t i = 0; i < trust->n_old; i++)
        if (node_id_is_equal(&trust->old[i].id, &message->conversation->recipient))
            return &trust->old[i];
    return NULL;
}

/* What waits since before the start may have been sent then: that is not on disk. */
static void count(struct trust_old *old, const struct out_message *message) {
    old->messages++;
    old->sent += message->state == MESSAGE_SENT || message->owed;
}

void outbox_count_old(const struct outbox *outbox, struct trust_report *trust) {
    const struct out_message *message;
    TAILQ_FOREACH(message, &outbox->all, all) {
        struct trust_old *old = old_of(trust, message);
        if (old)
            count(old, message);
    }
}

/* ---- Made ready ---- */

void out_move_free(struct outbox *outbox, struct out_move *move) {
    if (!move)
        return;
    budget_give(outbox->config.budget, BUDGET_CLIENTS, move->charged);
    free(move->items);
    free(move->moved);
    free(move);
}

static struct out_move *move_new(struct outbox *outbox, const struct trust_report *trust,
                                 size_t n) {
    size_t charge =
        sizeof(struct out_move) + n * (sizeof(struct readdress_item) + sizeof(struct out_moved));
    if (!budget_take(outbox->config.budget, BUDGET_CLIENTS, charge))
        return NULL;
    struct out_move *move = calloc(1, sizeof *move);
    if (!move) {
        budget_give(outbox->config.budget, BUDGET_CLIENTS, charge);
        return NULL;
    }
    move->charged = charge;
    move->trust = *trust;
    move->trust.resent = true;
    move->items = calloc(n, sizeof *move->items);
    move->moved = calloc(n, sizeof *move->moved);
    move->to = out_conversation_get(outbox, &trust->id);
    if (move->items && move->moved && move->to)
        return move;
    out_move_free(outbox, move);
    return NULL;
}

static void uncount(struct outbox *outbox, struct out_flow *flow) {
    flow->n_messages--;
    out_flow_wake(outbox, flow);
}

/* Where each goes, while nothing has changed yet. 0 or -ENOMEM. */
static int move_plan(struct outbox *outbox, struct out_move *move) {
    struct out_message *message;
    TAILQ_FOREACH(message, &outbox->all, all) {
        if (!message->flow || !old_of(&move->trust, message))
            continue;
        struct out_flow *from = message->flow;
        struct out_flow *to = out_flow_get(outbox, &move->trust.id, from->relays_exact,
                                           from->strict, from->shards_k, from->shards_m);
        if (!to)
            return -ENOMEM;
        to->n_messages++;
        move->moved[move->n] = (struct out_moved){from, to};
        move->items[move->n] =
            (struct readdress_item){message->id, move->to->sequence + 1 + move->n};
        move->n++;
    }
    return 0;
}

/* Out of their flows, which count them on. */
static void move_detach(struct outbox *outbox, struct out_move *move) {
    for (size_t i = 0; i < move->n; i++) {
        struct out_message *message = out_find(outbox, &move->items[i].id);
        count(old_of(&move->trust, message), message);
        out_flow_forget(outbox, message);
        move->moved[i].from->n_messages++;
    }
    move->to->sequence += move->n;
}

static size_t count_waiting(const struct outbox *outbox, struct trust_report *trust) {
    const struct out_message *message;
    size_t n = 0;
    TAILQ_FOREACH(message, &outbox->all, all)
        n += message->flow && old_of(trust, message);
    return n;
}

/* ---- In and out ---- */

static void answer(struct outbox *outbox, uint64_t client, const struct trust_report *trust) {
    struct answer answer = {.client = client, .kind = ANSWER_TRUST, .end = true};
    struct trust_report *copy = effects_scratch(outbox->config.effects, sizeof *copy);
    if (!copy)
        return; /* "outcome unknown"; asked again, it is known */
    *copy = *trust;
    answer.trust = copy;
    effects_answer(outbox->config.effects, &answer);
}

static void refuse(struct outbox *outbox, uint64_t client, int error) {
    struct out_refusal refusal = out_error_words(error);
    effects_answer_text(outbox->config.effects, client, refusal.code,
                        "the key is trusted, but nothing was addressed anew: %s; try again",
                        refusal.text);
}

static int begin(struct outbox *outbox, uint64_t client, const struct trust_report *trust,
                 size_t n) {
    struct out_move *move = move_new(outbox, trust, n);
    struct out_op *op = move ? out_op_new(outbox, OUT_OP_READDRESS) : NULL;
    int error = op ? move_plan(outbox, move) : -ENOMEM;
    if (error) {
        for (size_t i = 0; move && i < move->n; i++)
            uncount(outbox, move->moved[i].to);
        out_move_free(outbox, move);
        if (op)
            out_op_free(outbox, op);
        return error;
    }
    move_detach(outbox, move);
    op->client = client;
    op->move = move;
    struct store_op operation = {.kind = STORE_OUT_READDRESS,
                                 .readdress = {move->trust.id, move->items, move->n}};
    out_store(outbox, &operation, op);
    return 0;
}

void outbox_readdress(struct outbox *outbox, uint64_t client, const struct trust_report *trust) {
    struct trust_report none = *trust;
    size_t n = count_waiting(outbox, &none);
    if (outbox->load.is_needed) {
        effects_answer_text(outbox->config.effects, client, ANSWER_FAILED,
                            "the key is trusted, but what waited at the start is still being read: "
                            "try again in some seconds");
    } else if (n == 0) {
        none.resent = true;
        answer(outbox, client, &none);
    } else {
        int error = begin(outbox, client, trust, n);
        if (error)
            refuse(outbox, client, error);
    }
}

/* Back into a flow: the new one, or as if nothing had been asked for. */
static void settle(struct outbox *outbox, const struct out_move *move, size_t i, bool is_moved) {
    struct out_message *message = out_find(outbox, &move->items[i].id);
    struct out_flow *from = move->moved[i].from, *to = move->moved[i].to;
    if (!message || message_state_is_final(message->state)) { /* cancelled or expired meanwhile */
        uncount(outbox, from);
        uncount(outbox, to);
        return;
    }
    message->flow = is_moved ? to : from;
    uncount(outbox, is_moved ? from : to);
    if (is_moved)
        out_message_turn(message, move->to, move->items[i].sequence);
    out_message_plan(message, is_moved ? 0 : message->progress);
    out_message_enqueue(outbox, message);
}

void out_readdress_done(struct outbox *outbox, struct out_op *op,
                        const struct store_result *result) {
    struct out_move *move = op->move;
    for (size_t i = 0; i < move->n; i++)
        settle(outbox, move, i, result->error == 0);
    if (!op->client_gone && result->error)
        refuse(outbox, op->client, result->error);
    else if (!op->client_gone)
        answer(outbox, op->client, &move->trust);
    out_move_free(outbox, move);
    op->move = NULL;
}
