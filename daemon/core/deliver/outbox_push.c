/* Pushes. The ledger says whether one is accepted, a recipient of the sender's will hold it, and
 * the ledger stores it. Threat: a client may ask for routes that nobody can have; that is found
 * before anything is stored. */
#include "daemon/core/deliver/outbox_private.h"

/* If a push insists on a number of relays: is there such a route? */
static bool is_possible(struct outbox *outbox, const struct request *request,
                        const struct node_id *recipient, struct mono now) {
    uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
    size_t n;
    double choices;
    struct path_request path_request = {.target = *recipient,
                                        .relays_exact = request->push.options.relays,
                                        .strict = request->push.options.strict};
    if ((!request->push.options.strict && request->push.options.relays == RELAYS_DEFAULT) ||
        node_id_is_equal(recipient, &outbox->self))
        return true;
    return path_sample(outbox->config.paths, &path_request, now, hops, &n, &choices) != PATH_STRICT;
}

/* `is_known`: it is a message that we have, pushed again. `is_routed`: there was a route just now
 * for a push that wants the same. */
static bool is_acceptable(struct outbox *outbox, const struct request *request,
                          const struct node_id *recipient, bool is_known, bool is_routed,
                          struct mono now, struct ledger_refusal *refusal) {
    if (!ledger_may_accept(outbox->ledger, request, is_known, refusal))
        return false;
    if (is_routed || is_known || is_possible(outbox, request, recipient, now))
        return true;
    *refusal = (struct ledger_refusal){ANSWER_FAILED, "no route with as many relays as asked for"};
    return false;
}

/* Begin to store a push. False: *refusal says why not. */
static bool put(struct outbox *outbox, const struct request *request,
                const struct node_id *recipient, const char *notice, struct ledger_batch *batch,
                struct now now, struct ledger_refusal *refusal) {
    struct ledger_put *put =
        ledger_put_begin(outbox->ledger, request, recipient, notice, batch, now.wall, refusal);
    if (!put)
        return false;
    if (!node_id_is_equal(recipient, &outbox->self)) {
        struct sender_route route = {.to = *recipient,
                                     .relays_exact = request->push.options.relays,
                                     .shards_k = request->push.options.shards_k,
                                     .shards_m = request->push.options.shards_m,
                                     .strict = request->push.options.strict};
        struct recipient *by = outbox_hold(outbox, &route, HOLD_IF_ROOM, request->push.size);
        if (!by) {
            *refusal = ledger_error_words(-ENOMEM);
            ledger_put_abandon(outbox->ledger, put);
            return false;
        }
        sender_assign(ledger_put_message(put), by);
    }
    ledger_put_store(outbox->ledger, put, request);
    return true;
}

void outbox_push(struct outbox *outbox, const struct request *request,
                 const struct node_id *recipient, const char *notice, struct now now) {
    struct ledger_refusal refusal = {ANSWER_OK, ""};
    bool is_known = ledger_knows(outbox->ledger, &request->push.id);
    bool good =
        is_acceptable(outbox, request, recipient, is_known, false, now.mono, &refusal) &&
        (request->push.check || put(outbox, request, recipient, notice, NULL, now, &refusal));
    if (!good)
        ledger_refuse(outbox->ledger, request->client, &refusal);
    else if (request->push.check)
        effects_answer_text(outbox->config.effects, request->client, ANSWER_OK, "%s",
                            notice ? notice : "");
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
    struct ledger_batch *batch = ledger_batch_new(outbox->ledger, request, notice);
    struct ledger_refusal refusal = {ANSWER_OK, ""};
    bool is_stopped = false, is_routed = false;
    size_t n = 0;
    while (batch && n < request->push_many.n && !is_stopped) {
        struct request one = one_of(request, n);
        bool is_known = ledger_knows(outbox->ledger, &one.push.id);
        bool good = is_acceptable(outbox, &one, recipient, is_known, is_routed, now.mono, &refusal);
        is_routed = is_routed || (good && !is_known);
        is_stopped = !good || !put(outbox, &one, recipient, NULL, batch, now, &refusal);
        n += !is_stopped;
    }
    if (batch)
        ledger_batch_submitted(outbox->ledger, batch, n, is_stopped ? &refusal : NULL);
}
