/* See ping.h. Threat: anybody may ask. So answers are rationed, and go to known nodes alone. */
#include "daemon/core/node/ping.h"
#include "daemon/core/node/node_private.h"

#include <sodium.h>

/* A burst at once, and one more after any time. */
#define PONGS_ROOM_US (PONG_BURST * PONG_EVERY_US - 1)
#define PING_RETRY_US (700 * US_PER_MS)
#define PING_TRIES 6 /* over 4 s: a route shorter than configured is put off for 3 (path.h) */

struct ping { /* a client that waits for an answer over onion paths */
    struct client_wait wait;
    uint8_t token[PING_TOKEN_LEN];
    struct node_id target;
    struct mono sent, due;
    unsigned tries;
    bool no_route;       /* at the last try */
    struct path_way way; /* the path of the last try; `silence` has those of the tries before it */
    struct path_silence silence;
};

/* ---- Answering ---- */

enum drop node_ping_answer(struct node *node, const uint8_t *payload, size_t length) {
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
    if (!rate_take(&node->pongs, PONG_EVERY_US, PONGS_ROOM_US, node->now.mono))
        return DROP_LIMIT;
    pong[0] = PAYLOAD_PONG;
    memcpy(pong + 1, token, PING_TOKEN_LEN);
    struct path_request request = {.target = entry->id, .relays_exact = RELAYS_DEFAULT};
    struct path_way way;
    return courier_send_alone(&node->courier, &request, pong, sizeof pong, node->now, &way) ==
                   PATH_OK
               ? DROP_NONE
               : DROP_NO_ROUTE;
}

/* ---- Asking ---- */

static struct ping *ping_of(struct client_wait *wait) {
    return clients_entry(wait, struct ping, wait);
}

void node_ping_free(struct node *node, struct client_wait *wait) {
    clients_remove(&node->clients, wait);
    free(ping_of(wait));
}

static void finish(struct node *node, struct ping *ping, enum answer_code code, const char *text) {
    const struct link_view *link = links_find(node->links, node_id_prefix(&ping->target));
    struct answer answer = {.client = ping->wait.client,
                            .kind = code == ANSWER_OK ? ANSWER_PING : ANSWER_TEXT,
                            .code = code,
                            .end = true};

    answer.ping.onion_us = node->now.mono.us - ping->sent.us;
    answer.ping.direct_us = link ? link->rtt_us : -1;
    memcpy(answer.text, text, strlen(text));
    effects_answer(node->effects, &answer);
    node_ping_free(node, &ping->wait);
}

enum drop node_ping_take_pong(struct node *node, const uint8_t *payload, size_t length) {
    struct client_wait *wait = clients_first(&node->clients, CLIENT_PING);

    if (length < 1 + PING_TOKEN_LEN)
        return DROP_MALFORMED;
    while (wait && sodium_memcmp(ping_of(wait)->token, payload + 1, PING_TOKEN_LEN) != 0)
        wait = clients_next(wait);
    if (!wait)
        return DROP_UNKNOWN;
    finish(node, ping_of(wait), ANSWER_OK, "");
    return DROP_NONE;
}

/* Send a ping with a fresh token, so that the time measured is that of the try which was answered.
 * Each try avoids the paths of the unanswered ones. */
static enum path_outcome ask(struct node *node, struct ping *ping) {
    struct path_request request = {
        .target = ping->target, .relays_exact = RELAYS_DEFAULT, .silence = &ping->silence};
    uint8_t payload[1 + PING_TOKEN_LEN + 8];
    struct wire_writer w = wire_writer(payload, sizeof payload);

    random_fill(&node->config.random, ping->token, sizeof ping->token);
    wire_put_uint(&w, PAYLOAD_PING, 1);
    wire_put(&w, ping->token, sizeof ping->token);
    wire_put_uint(&w, node_id_prefix(identity_id(node->identity)), 8);
    ping->sent = node->now.mono;
    ping->due = mono_add(node->now.mono, PING_RETRY_US);
    ping->tries++;
    path_silence_note(&ping->silence, &ping->way, node->now.mono);
    ping->way.n = 0;
    enum path_outcome outcome = courier_send_alone(&node->courier, &request, payload,
                                                   sizeof payload, node->now, &ping->way);
    ping->no_route = outcome == PATH_NONE;
    return outcome;
}

static struct ping *ping_new(struct node *node, uint64_t client) {
    const char *refusal = clients_refusal(&node->clients, CLIENT_PING);
    struct ping *ping = refusal ? NULL : calloc(1, sizeof *ping);

    if (ping)
        clients_add(&node->clients, &ping->wait, client, CLIENT_PING);
    else
        effects_answer_text(node->effects, client, ANSWER_LIMIT, "%s",
                            refusal ? refusal : "out of memory");
    return ping;
}

void node_ping(struct node *node, uint64_t client, const struct node_id *target) {
    struct ping *ping = ping_new(node, client);

    if (!ping)
        return;
    ping->target = *target;
    switch (ask(node, ping)) {
    case PATH_OK:
    case PATH_NONE: /* there may be a route for the next try */
        return;
    case PATH_UNKNOWN:
        finish(node, ping, ANSWER_FAILED, "that node is not in the network just now");
        return;
    case PATH_STRICT:
        finish(node, ping, ANSWER_FAILED,
               "there is no route with as many relays as route.strict asks for");
        return;
    }
}

/* A try was not answered in time: make the next one, or give up. */
static void go_on(struct node *node, struct ping *ping) {
    if (ping->tries < PING_TRIES)
        ask(node, ping);
    else if (ping->no_route)
        finish(node, ping, ANSWER_FAILED, "there is no route to it just now");
    else
        finish(node, ping, ANSWER_TIMEOUT, "no answer over six routes");
}

void node_ping_tick(struct node *node) {
    struct client_wait *wait, *next;

    for (wait = clients_first(&node->clients, CLIENT_PING); wait; wait = next) {
        next = clients_next(wait);
        if (mono_is_due(ping_of(wait)->due, node->now.mono))
            go_on(node, ping_of(wait));
    }
}

struct mono node_ping_next(const struct node *node) {
    struct mono next = MONO_NEVER;
    struct client_wait *wait = clients_first(&node->clients, CLIENT_PING);

    for (; wait; wait = clients_next(wait))
        next = mono_min(next, ping_of(wait)->due);
    return next;
}
