/* Requests by kind, and the clients that wait for them.
 *
 * Threat: a client may vanish at any moment: what it asked for ends or goes on without it, and is
 * never answered to the next one. */
#include "daemon/core/node/serve.h"
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/ping.h"
#include "daemon/core/node/query.h"

#include <assert.h>

/* ---- Clients that other folders' rooms keep waiting ---- */

/* Count a client as waiting in this room until serve_answered(). False: it may not wait there, and
 * has been told why. */
static bool enter(struct node *node, uint64_t client, enum client_room room) {
    const char *refusal = clients_refusal(&node->clients, room);
    struct client_wait *wait = refusal ? NULL : calloc(1, sizeof *wait);

    if (wait)
        clients_add(&node->clients, wait, client, room);
    else
        effects_answer_text(node->effects, client, ANSWER_LIMIT, "%s",
                            refusal ? refusal : "out of memory");
    return wait != NULL;
}

static void leave(struct node *node, struct client_wait *wait) {
    clients_remove(&node->clients, wait);
    free(wait);
}

void serve_answered(struct node *node, uint64_t client) {
    struct client_wait *wait = clients_find(&node->clients, client);

    if (wait && wait->room >= CLIENT_OUTBOX)
        leave(node, wait);
}

/* ---- Requests ---- */

static void confirm(struct node *node, const struct request *request) {
    inbox_confirm(node->inbox, request->client, request->confirm.rows, request->confirm.n,
                  node->now.wall);
}

static void cancel(struct node *node, const struct request *request) {
    outbox_cancel(node->outbox, request, node->now);
}

static void connect_to(struct node *node, const struct request *request) {
    pool_connect(node->pool, request->client, &request->connect.address, node->machine);
}

/* Who serves a request, and the room of another folder in which its client may wait for the answer.
 * NOWHERE: the request is answered at once, or by another request (CONFIRM: by its pull), or a room
 * of this folder counts its client itself. */
#define NOWHERE CLIENT_ROOMS
static const struct {
    void (*serve)(struct node *node, const struct request *request);
    enum client_room room;
} kinds[] = {
    [REQUEST_PUSH] = {serve_push, CLIENT_OUTBOX},
    [REQUEST_PUSH_MANY] = {serve_push_many, CLIENT_OUTBOX},
    [REQUEST_PULL] = {serve_pull, CLIENT_INBOX},
    [REQUEST_CONFIRM] = {confirm, NOWHERE},
    [REQUEST_STATUS] = {serve_status, NOWHERE},
    [REQUEST_MESSAGE] = {serve_message, CLIENT_OUTBOX},
    [REQUEST_PEERS] = {serve_peers, NOWHERE},
    [REQUEST_NODES] = {serve_nodes, NOWHERE},
    [REQUEST_ROUTE] = {serve_route, NOWHERE},
    [REQUEST_CANCEL] = {cancel, CLIENT_OUTBOX},
    [REQUEST_PING] = {serve_ping, NOWHERE},
    [REQUEST_CONNECT] = {connect_to, CLIENT_POOL},
    [REQUEST_DISCONNECT] = {serve_disconnect, NOWHERE},
    [REQUEST_TRUST] = {serve_trust, CLIENT_OUTBOX},
    [REQUEST_CONVERSATIONS] = {serve_conversations, NOWHERE},
    [REQUEST_HISTORY] = {serve_history, NOWHERE},
    [REQUEST_FORGET] = {serve_forget, NOWHERE},
    [REQUEST_FILES] = {serve_files, NOWHERE},
    [REQUEST_FILE_OPEN] = {serve_file_open, NOWHERE},
    [REQUEST_FILE_TAKE] = {serve_file_take, NOWHERE},
    [REQUEST_RULE] = {serve_rule, NOWHERE},
    [REQUEST_RULES] = {serve_rules, NOWHERE},
    [REQUEST_DOCTOR] = {serve_doctor, NOWHERE},
};
static_assert(sizeof kinds / sizeof *kinds == REQUEST_KINDS, "a row for each kind of request");

void serve_settled(struct node *node, const struct request *request) {
    enum client_room room = kinds[request->kind].room;

    assert(kinds[request->kind].serve);
    if (request->kind == REQUEST_PUSH || request->kind == REQUEST_PUSH_MANY)
        node_clock_before_push(node);
    if (room == NOWHERE || enter(node, request->client, room))
        kinds[request->kind].serve(node, request);
}

/* Requests for which the address has to be asked first which node is there. */
static bool needs_settling(enum request_kind kind) {
    return kind == REQUEST_PUSH || kind == REQUEST_PUSH_MANY || kind == REQUEST_PING ||
           kind == REQUEST_TRUST;
}

void serve_request(struct node *node, const struct request *request) {
    if (!needs_settling(request->kind) || !node_settle(node, request))
        serve_settled(node, request);
}

/* ---- Clients that go ---- */

static void forget(struct node *node, struct client_wait *wait) {
    switch (wait->room) {
    case CLIENT_PING:
        node_ping_free(node, wait);
        break;
    case CLIENT_QUERY: /* the question stays until the store has answered */
        clients_leave(&node->clients, wait);
        break;
    case CLIENT_SETTLING:
        node_settle_gone(node, wait);
        break;
    case CLIENT_DOCTOR:
        serve_doctor_free(node, wait);
        break;
    case CLIENT_OUTBOX:
    case CLIENT_INBOX:
    case CLIENT_POOL:
        leave(node, wait);
        break;
    case CLIENT_ROOMS:
        break;
    }
}

/* The rooms of other folders are told even if the client waits for nothing: a pull has been
 * answered completely while messages that were handed out are still to be confirmed. */
void serve_client_gone(struct node *node, uint64_t client) {
    struct client_wait *wait;

    outbox_client_gone(node->outbox, client);
    inbox_client_gone(node->inbox, client);
    pool_client_gone(node->pool, client);
    while ((wait = clients_find(&node->clients, client)))
        forget(node, wait);
}

/* The node ends: free all waits. A question is freed with the store operation that it waits for. */
void serve_deinit(struct node *node) {
    for (enum client_room room = 0; room < CLIENT_ROOMS; room++)
        for (struct client_wait *wait, *next = clients_first(&node->clients, room);
             (wait = next);) {
            next = clients_next(wait);
            if (room == CLIENT_PING)
                node_ping_free(node, wait);
            else if (room == CLIENT_SETTLING)
                node_settle_free(node, wait);
            else if (room == CLIENT_DOCTOR)
                serve_doctor_free(node, wait);
            else if (room != CLIENT_QUERY)
                leave(node, wait);
        }
}
