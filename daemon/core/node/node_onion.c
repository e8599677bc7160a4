/* What onions bring to us, and onion pings. Threat: anybody may send payloads of any kind; each
 * room checks its own. */
#include "daemon/core/node/node_private.h"

#include <sodium.h>

#define PING_RETRY_US (700 * US_PER_MS)
#define PING_TRIES 6 /* over 4 s: a route shorter than configured is put off for 3 (path.h) */

/* ---- Onion pings ---- */

/* Send a small payload of our own over a path of its own, past what was silent. */
static enum path_outcome send_alone(struct node *node, const struct path_wish *wish,
                                    const uint8_t *payload, size_t length,
                                    struct path_way *ret_way) {
    uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
    uint8_t packet[ONION_LEN];
    struct path *path;
    bool fewer;
    enum path_outcome outcome = path_draw(node->paths, wish, node->now, &path, &fewer);
    if (outcome != PATH_OK)
        return outcome;
    path_seal(node->paths, path, payload, length, packet);
    if (links_send_onion(node->links, path_first(path), packet, node->now.mono) == 0)
        node->counters.onion_sent++;
    *ret_way = path_way(hops, path_hops(path, hops));
    path_free(path);
    return PATH_OK;
}

static enum drop answer_ping(struct node *node, const uint8_t *payload, size_t length) {
    uint8_t pong[1 + PING_TOKEN_LEN];
    struct wire_reader r = wire_reader(payload, length);

    wire_get_uint(&r, 1);
    const uint8_t *token = wire_take(&r, PING_TOKEN_LEN);
    uint64_t asker = wire_get_uint(&r, 8);
    if (r.failed)
        return DROP_MALFORMED;
    const struct directory_entry *entry = directory_find_prefix(node->directory, asker);
    if (!entry || !entry->live)
        return DROP_UNKNOWN;
    if (node->pongs_from.us < node->now.mono.us - PONG_BURST * PONG_EVERY_US)
        node->pongs_from = mono_add(node->now.mono, -PONG_BURST * PONG_EVERY_US);
    if (node->pongs_from.us >= node->now.mono.us)
        return DROP_LIMIT;
    node->pongs_from = mono_add(node->pongs_from, PONG_EVERY_US);
    pong[0] = PAYLOAD_PONG;
    memcpy(pong + 1, token, PING_TOKEN_LEN);
    struct path_wish wish = {.target = entry->id, .relays_exact = RELAYS_DEFAULT};
    struct path_way way;
    return send_alone(node, &wish, pong, sizeof pong, &way) == PATH_OK ? DROP_NONE : DROP_NO_ROUTE;
}

static void finish_ping(struct node *node, unsigned i, enum answer_code code, const char *text) {
    struct node_ping *ping = &node->pings[i];
    const struct link_view *link = links_find(node->links, node_id_prefix(&ping->target));
    struct answer answer = {.client = ping->client,
                            .kind = code == ANSWER_OK ? ANSWER_PING : ANSWER_TEXT,
                            .code = code,
                            .end = true};

    answer.ping.onion_us = node->now.mono.us - ping->sent.us;
    answer.ping.direct_us = link ? link->rtt_us : -1;
    memcpy(answer.text, text, strlen(text));
    effects_answer(node->effects, &answer);
    node->pings[i] = node->pings[--node->n_pings];
}

static enum drop take_pong(struct node *node, const uint8_t *payload, size_t length) {
    if (length < 1 + PING_TOKEN_LEN)
        return DROP_MALFORMED;
    for (unsigned i = 0; i < node->n_pings; i++)
        if (sodium_memcmp(node->pings[i].token, payload + 1, PING_TOKEN_LEN) == 0) {
            finish_ping(node, i, ANSWER_OK, "");
            return DROP_NONE;
        }
    return DROP_UNKNOWN;
}

/* A fresh token each time: the round trip measured is that of the question which was answered. Each
 * goes apart from those that were not. */
static enum path_outcome ask(struct node *node, struct node_ping *ping) {
    struct path_wish wish = {
        .target = ping->target, .relays_exact = RELAYS_DEFAULT, .silence = &ping->silence};
    uint8_t payload[1 + PING_TOKEN_LEN + 8];
    struct wire_writer w = wire_writer(payload, sizeof payload);

    random_fill(&node->config.random, ping->token, sizeof ping->token);
    wire_put_uint(&w, PAYLOAD_PING, 1);
    wire_put(&w, ping->token, sizeof ping->token);
    wire_put_uint(&w, node_id_prefix(node_id(node)), 8);
    ping->sent = node->now.mono;
    ping->due = mono_add(node->now.mono, PING_RETRY_US);
    ping->tries++;
    path_silence_note(&ping->silence, &ping->way, node->now.mono);
    ping->way.n = 0;
    enum path_outcome outcome = send_alone(node, &wish, payload, sizeof payload, &ping->way);
    ping->no_route = outcome == PATH_NONE;
    return outcome;
}

void node_ping(struct node *node, uint64_t client, const struct node_id *target) {
    if (node->n_pings == PINGS_MAX) {
        effects_answer_text(node->effects, client, ANSWER_LIMIT, "too many pings at once");
        return;
    }
    struct node_ping *ping = &node->pings[node->n_pings++];
    *ping = (struct node_ping){.client = client, .target = *target};
    switch (ask(node, ping)) {
    case PATH_OK:
    case PATH_NONE: /* perhaps soon */
        return;
    case PATH_UNKNOWN:
        finish_ping(node, node->n_pings - 1, ANSWER_FAILED,
                    "that node is not in the network just now");
        return;
    case PATH_STRICT:
        finish_ping(node, node->n_pings - 1, ANSWER_FAILED,
                    "there is no route with as many relays as route.strict asks for");
        return;
    }
}

void node_ping_tick(struct node *node) {
    for (unsigned i = 0; i < node->n_pings;) {
        struct node_ping *ping = &node->pings[i];
        if (!mono_is_due(ping->due, node->now.mono))
            i++;
        else if (ping->tries == PING_TRIES && ping->no_route)
            finish_ping(node, i, ANSWER_FAILED, "there is no route to it just now");
        else if (ping->tries == PING_TRIES)
            finish_ping(node, i, ANSWER_TIMEOUT, "no answer over six routes");
        else {
            ask(node, ping);
            i++;
        }
    }
}

struct mono node_ping_next(const struct node *node) {
    struct mono next = MONO_NEVER;
    for (unsigned i = 0; i < node->n_pings; i++)
        next = mono_min(next, node->pings[i].due);
    return next;
}

/* ---- Delivery ---- */

/* Somebody leaves mail with us for a third. */
static enum drop take_deposit(struct node *node, unsigned slot, const struct onion_peeled *peeled) {
    struct mailbox_mail mail;
    enum drop drop = mailbox_shard(node->mailbox, peeled->payload, peeled->payload_length, slot,
                                   node->now, &mail);
    if (!mail.bytes)
        return drop;
    struct outbox_mail out = {.tag = mail.tag,
                              .id = mail.id,
                              .recipient = mail.recipient,
                              .expires = mail.expires,
                              .bytes = mail.bytes,
                              .length = mail.length};
    int error = outbox_deposit(node->outbox, &out, node->config.mailbox_size, node->now.wall);
    if (error == 0)
        return DROP_NONE;
    mailbox_stored(node->mailbox, mail.tag, error, node->now.mono);
    return DROP_LIMIT;
}

void node_take_deposits(struct node *node) {
    uint64_t tag;
    int error;

    while (outbox_deposit_done(node->outbox, &tag, &error))
        mailbox_stored(node->mailbox, tag, error, node->now.mono);
}

enum drop node_deliver(struct node *node, unsigned slot, const struct onion_peeled *peeled,
                       int64_t epoch) {
    if (peeled->payload_length == 0)
        return DROP_MALFORMED;
    node->counters.onion_delivered++;
    switch (peeled->payload[0]) {
    case PAYLOAD_SHARD:
        return inbox_shard(node->inbox, peeled->payload, peeled->payload_length, slot, epoch,
                           node->now);
    case PAYLOAD_RECEIPTS:
        return outbox_receipt(node->outbox, peeled->payload, peeled->payload_length, node->now);
    case PAYLOAD_PING:
        return answer_ping(node, peeled->payload, peeled->payload_length);
    case PAYLOAD_PONG:
        return take_pong(node, peeled->payload, peeled->payload_length);
    case PAYLOAD_DEPOSIT:
        return take_deposit(node, slot, peeled);
    case PAYLOAD_DEPOSITED:
        return outbox_confirmation(node->outbox, peeled->payload, peeled->payload_length,
                                   node->now.mono);
    default:
        return DROP_VERSION;
    }
}
