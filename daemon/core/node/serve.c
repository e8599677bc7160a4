/* Requests by kind, and the clients that wait for them.
 *
 * Threat: a client may vanish at any moment: what it asked for ends or goes on without it, and is
 * never answered to the next one. */
#include "daemon/core/node/serve.h"
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/ping.h"
#include "daemon/core/node/query.h"

/* ---- Clients that other folders' rooms keep waiting ---- */

/* Count it with those of that room until serve_answered(). False: it has been told why not. */
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

/* Where a request of this kind waits for its answer, if in a room of another folder; CLIENT_ROOMS:
 * in none. */
static enum client_room room_of(enum request_kind kind) {
    switch (kind) {
    case REQUEST_PUSH:
    case REQUEST_PUSH_MANY:
    case REQUEST_MESSAGE:
    case REQUEST_CANCEL:
    case REQUEST_TRUST:
        return CLIENT_OUTBOX;
    case REQUEST_PULL:
        return CLIENT_INBOX;
    case REQUEST_CONNECT:
        return CLIENT_POOL;
    case REQUEST_CONFIRM: /* it is the pull that is answered */
    case REQUEST_STATUS:
    case REQUEST_PEERS:
    case REQUEST_NODES:
    case REQUEST_ROUTE:
    case REQUEST_DISCONNECT:
    case REQUEST_RULES:
    case REQUEST_DOCTOR:
    case REQUEST_PING: /* our own rooms enter what they keep */
    case REQUEST_CONVERSATIONS:
    case REQUEST_HISTORY:
    case REQUEST_FORGET:
    case REQUEST_FILES:
    case REQUEST_FILE_OPEN:
    case REQUEST_FILE_TAKE:
    case REQUEST_RULE:
        break;
    }
    return CLIENT_ROOMS;
}

static void serve(struct node *node, const struct request *request) {
    switch (request->kind) {
    case REQUEST_PUSH:
        serve_push(node, request);
        break;
    case REQUEST_PUSH_MANY:
        serve_push_many(node, request);
        break;
    case REQUEST_PULL:
        serve_pull(node, request);
        break;
    case REQUEST_CONFIRM:
        inbox_confirm(node->inbox, request->client, request->confirm.rows, request->confirm.n,
                      node->now.wall);
        break;
    case REQUEST_STATUS:
        serve_status(node, request);
        break;
    case REQUEST_MESSAGE:
        serve_message(node, request);
        break;
    case REQUEST_PEERS:
        serve_peers(node, request);
        break;
    case REQUEST_NODES:
        serve_nodes(node, request);
        break;
    case REQUEST_ROUTE:
        serve_route(node, request);
        break;
    case REQUEST_CANCEL:
        outbox_cancel(node->outbox, request, node->now);
        break;
    case REQUEST_PING:
        serve_ping(node, request);
        break;
    case REQUEST_CONNECT:
        pool_connect(node->pool, request->client, &request->connect.address, node->machine);
        break;
    case REQUEST_DISCONNECT:
        serve_disconnect(node, request);
        break;
    case REQUEST_TRUST:
        serve_trust(node, request);
        break;
    case REQUEST_CONVERSATIONS:
        serve_conversations(node, request);
        break;
    case REQUEST_HISTORY:
        serve_history(node, request);
        break;
    case REQUEST_FORGET:
        serve_forget(node, request);
        break;
    case REQUEST_FILES:
        serve_files(node, request);
        break;
    case REQUEST_FILE_OPEN:
        serve_file_open(node, request);
        break;
    case REQUEST_FILE_TAKE:
        serve_file_take(node, request);
        break;
    case REQUEST_RULE:
        serve_rule(node, request);
        break;
    case REQUEST_RULES:
        serve_rules(node, request);
        break;
    case REQUEST_DOCTOR:
        serve_doctor(node, request);
        break;
    }
}

void serve_settled(struct node *node, const struct request *request) {
    enum client_room room = room_of(request->kind);

    if (request->kind == REQUEST_PUSH || request->kind == REQUEST_PUSH_MANY)
        node_clock_before_push(node);
    if (room == CLIENT_ROOMS || enter(node, request->client, room))
        serve(node, request);
}

/* Of these an address has to be asked first who is there. */
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
    case CLIENT_QUERY: /* until the store has answered */
        clients_leave(&node->clients, wait);
        break;
    case CLIENT_SETTLING:
        node_settle_gone(node, wait);
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

/* The rooms of other folders are told in any case: a pull is answered to its end while messages
 * that were handed out wait to be confirmed. */
void serve_client_gone(struct node *node, uint64_t client) {
    struct client_wait *wait;

    outbox_client_gone(node->outbox, client);
    inbox_client_gone(node->inbox, client);
    pool_client_gone(node->pool, client);
    while ((wait = clients_find(&node->clients, client)))
        forget(node, wait);
}

/* The node ends. Questions end with what the store is asked. */
void serve_deinit(struct node *node) {
    for (enum client_room room = 0; room < CLIENT_ROOMS; room++)
        for (struct client_wait *wait, *next = clients_first(&node->clients, room);
             (wait = next);) {
            next = clients_next(wait);
            if (room == CLIENT_PING)
                node_ping_free(node, wait);
            else if (room == CLIENT_SETTLING)
                node_settle_free(node, wait);
            else if (room != CLIENT_QUERY)
                leave(node, wait);
        }
}
