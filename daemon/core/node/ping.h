/* Onion pings: asked for by clients, and answered. */
#ifndef P2PD_PING_H
#define P2PD_PING_H

#include "daemon/core/base/base.h"
#include "daemon/core/node/clients.h"

struct node;

/* PAYLOAD_PING and PAYLOAD_PONG: token(16), and in the question the asker's prefix(8). */
#define PING_TOKEN_LEN 16

/* Ping `target` for a client. The client is answered at once if that fails, otherwise when the pong
 * has come or all tries have passed. */
void node_ping(struct node *node, uint64_t client, const struct node_id *target);
void node_ping_tick(struct node *node);
struct mono node_ping_next(const struct node *node);
/* Free a ping: its client has gone, or the node ends. */
void node_ping_free(struct node *node, struct client_wait *wait);

/* Payloads of pings and pongs that have come. */
enum drop node_ping_answer(struct node *node, const uint8_t *payload, size_t length);
enum drop node_ping_take_pong(struct node *node, const uint8_t *payload, size_t length);

#endif
