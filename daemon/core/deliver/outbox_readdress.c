/* Messages that wait for a key that is gone are addressed to the one that took its place: see
 * outbox.h.
 *
 * Threat: a crash may come at any moment, and the holder of the old key may come back. The store
 * changes all of the messages in one transaction or none. Until it has, no recipient has them, so
 * that none is confirmed by the old one while it is given to the new one. */
#include "daemon/core/deliver/outbox_private.h"

#include <stdio.h>

struct moved { /* the old and the new recipient of a message: both count it meanwhile */
    struct recipient *from, *to;
    uint64_t size;
};
struct outbox_move { /* messages that no recipient has while the store gives them another; its
                        address is the cookie */
    uint64_t owner;
    TAILQ_ENTRY(outbox_move) link;
    uint64_t client;
    bool client_gone;
    struct trust_report trust;
    struct conversation *to;
    size_t n, charged;
    struct readdress_item *items; /* borrowed by the store */
    struct moved *moved;
};

void outbox_count_old(const struct outbox *outbox, struct trust_report *trust) {
    for (const struct message *message = ledger_first(outbox->ledger); message;
         message = ledger_after(message)) {
        struct trust_old *old = ledger_old_of(trust, message);
        if (old)
            ledger_count_old(old, message);
    }
}

/* ---- Made ready ---- */

static void move_free(struct outbox *outbox, struct outbox_move *move) {
    if (!move)
        return;
    TAILQ_REMOVE(&outbox->moves, move, link);
    budget_give(outbox->config.budget, BUDGET_CLIENTS, move->charged);
    free(move->items);
    free(move->moved);
    free(move);
}

static struct outbox_move *move_new(struct outbox *outbox, const struct trust_report *trust,
                                    size_t n) {
    size_t charge =
        sizeof(struct outbox_move) + n * (sizeof(struct readdress_item) + sizeof(struct moved));
    if (!budget_take(outbox->config.budget, BUDGET_CLIENTS, charge))
        return NULL;
    struct outbox_move *move = calloc(1, sizeof *move);
    if (!move) {
        budget_give(outbox->config.budget, BUDGET_CLIENTS, charge);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&outbox->moves, move, link);
    move->owner = OUTBOX_READDRESS;
    move->charged = charge;
    move->trust = *trust;
    move->trust.resent = true;
    move->items = calloc(n, sizeof *move->items);
    move->moved = calloc(n, sizeof *move->moved);
    move->to = ledger_conversation(outbox->ledger, &trust->id);
    if (move->items && move->moved && move->to)
        return move;
    move_free(outbox, move);
    return NULL;
}

/* Find the new recipient of each message; nothing has changed yet. 0 or -ENOMEM. */
static int move_plan(struct outbox *outbox, struct outbox_move *move) {
    for (struct message *message = ledger_first(outbox->ledger); message;
         message = ledger_after(message)) {
        struct recipient *from = message->recipient;
        if (!from || !ledger_old_of(&move->trust, message))
            continue;
        struct sender_route route = *sender_route_of(from);
        route.to = move->trust.id;
        struct recipient *to = outbox_hold(outbox, &route, HOLD_ANYWAY, message->size);
        if (!to)
            return -ENOMEM;
        move->moved[move->n] = (struct moved){from, to, message->size};
        move->items[move->n++].id = message->id;
    }
    return 0;
}

/* Take the messages from their recipients, which go on counting them. */
static void move_detach(struct outbox *outbox, struct outbox_move *move) {
    uint64_t first = ledger_conversation_number(move->to, move->n);
    for (size_t i = 0; i < move->n; i++) {
        struct message *message = messages_find(&outbox->messages, &move->items[i].id);
        ledger_count_old(ledger_old_of(&move->trust, message), message);
        sender_forget(outbox->sender, message);
        sender_hold_on(move->moved[i].from, message->size);
        move->items[i].sequence = first + i;
    }
}

static size_t count_waiting(const struct outbox *outbox, struct trust_report *trust) {
    size_t n = 0;
    for (const struct message *message = ledger_first(outbox->ledger); message;
         message = ledger_after(message))
        n += message->recipient && ledger_old_of(trust, message);
    return n;
}

/* ---- In and out ---- */

static void answer(struct outbox *outbox, uint64_t client, const struct trust_report *trust) {
    struct answer answer = {.client = client, .kind = ANSWER_TRUST, .end = true};
    struct trust_report *copy = effects_scratch(outbox->config.effects, sizeof *copy);
    if (!copy) {
        effects_answer_text(
            outbox->config.effects, client, ANSWER_LIMIT,
            "done, but out of memory for what to say of it: asked again, it is said");
        return;
    }
    *copy = *trust;
    answer.trust = copy;
    effects_answer(outbox->config.effects, &answer);
}

static void refuse(struct outbox *outbox, uint64_t client, int error) {
    struct ledger_refusal refusal = ledger_error_words(error);
    effects_answer_text(outbox->config.effects, client, refusal.code,
                        "the key is trusted, but nothing was addressed anew: %s; try again",
                        refusal.text);
}

static int begin(struct outbox *outbox, uint64_t client, const struct trust_report *trust,
                 size_t n) {
    struct outbox_move *move = move_new(outbox, trust, n);
    int error = move ? move_plan(outbox, move) : -ENOMEM;
    if (error) {
        for (size_t i = 0; move && i < move->n; i++)
            sender_release(outbox->sender, move->moved[i].to, move->moved[i].size);
        move_free(outbox, move);
        return error;
    }
    move_detach(outbox, move);
    move->client = client;
    struct store_op operation = {.kind = STORE_OUT_READDRESS,
                                 .readdress = {move->trust.id, move->items, move->n}};
    effects_store(outbox->config.effects, &operation, OWNER_OUTBOX, (uint64_t)(uintptr_t)move);
    return 0;
}

void outbox_readdress(struct outbox *outbox, uint64_t client, const struct trust_report *trust) {
    struct trust_report none = *trust;
    size_t n = count_waiting(outbox, &none);
    if (ledger_is_loading(outbox->ledger)) {
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

/* Give a message to its new recipient; if the store failed, back to the old one. */
static void settle(struct outbox *outbox, const struct outbox_move *move, size_t i, bool is_moved) {
    struct message *message = messages_find(&outbox->messages, &move->items[i].id);
    const struct moved *moved = &move->moved[i];
    if (!message || message_state_is_final(message->state)) { /* cancelled or expired meanwhile */
        sender_release(outbox->sender, moved->from, moved->size);
        sender_release(outbox->sender, moved->to, moved->size);
        return;
    }
    sender_assign(message, is_moved ? moved->to : moved->from);
    sender_release(outbox->sender, is_moved ? moved->from : moved->to, moved->size);
    if (is_moved) {
        ledger_turn(outbox->ledger, message, move->to, move->items[i].sequence);
        message_renew(message);
    }
    outbox_enqueue(outbox, message, is_moved ? 0 : message->progress);
}

void outbox_readdress_stored(struct outbox *outbox, uint64_t cookie,
                             const struct store_result *result) {
    struct outbox_move *move = (struct outbox_move *)(uintptr_t)cookie;
    for (size_t i = 0; i < move->n; i++)
        settle(outbox, move, i, result->error == 0);
    if (!move->client_gone && result->error)
        refuse(outbox, move->client, result->error);
    else if (!move->client_gone)
        answer(outbox, move->client, &move->trust);
    move_free(outbox, move);
}

void outbox_readdress_client_gone(struct outbox *outbox, uint64_t client) {
    struct outbox_move *move;
    TAILQ_FOREACH(move, &outbox->moves, link)
        if (move->client == client)
            move->client_gone = true;
}

void outbox_readdress_deinit(struct outbox *outbox) {
    while (!TAILQ_EMPTY(&outbox->moves))
        move_free(outbox, TAILQ_FIRST(&outbox->moves));
}
