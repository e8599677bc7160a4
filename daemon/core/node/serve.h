/* Requests of clients: a file a family. Each hands what it is asked to the room that knows, or
 * reports what is known. */
#ifndef P2PD_SERVE_H
#define P2PD_SERVE_H

#include "daemon/core/seam/request.h"

struct client_wait;
struct node;

/* serve.c: all of them, by kind. */
void serve_request(struct node *node, const struct request *request);
/* A request that node_settle() kept: its destination is as settled as it will be. */
void serve_settled(struct node *node, const struct request *request);
void serve_client_gone(struct node *node, uint64_t client);
/* The last answer to a request goes out: its client does not wait any more. */
void serve_answered(struct node *node, uint64_t client);
void serve_deinit(struct node *node);

/* serve_message.c */
void serve_push(struct node *node, const struct request *request);
void serve_push_many(struct node *node, const struct request *request);
void serve_message(struct node *node, const struct request *request);
void serve_pull(struct node *node, const struct request *request);

/* serve_network.c */
void serve_peers(struct node *node, const struct request *request);
void serve_nodes(struct node *node, const struct request *request);
void serve_route(struct node *node, const struct request *request);
void serve_ping(struct node *node, const struct request *request);
void serve_disconnect(struct node *node, const struct request *request);

/* serve_conversation.c */
void serve_history(struct node *node, const struct request *request);
void serve_conversations(struct node *node, const struct request *request);
void serve_forget(struct node *node, const struct request *request);

/* serve_file.c */
void serve_files(struct node *node, const struct request *request);
void serve_file_open(struct node *node, const struct request *request);
void serve_file_take(struct node *node, const struct request *request);

/* serve_rule.c */
void serve_rule(struct node *node, const struct request *request);
void serve_rules(struct node *node, const struct request *request);

/* serve_trust.c */
void serve_trust(struct node *node, const struct request *request);

/* serve_status.c */
void serve_status(struct node *node, const struct request *request);

/* serve_doctor.c: in as many steps as it takes, each of which serve_doctor_tick() does. */
void serve_doctor(struct node *node, const struct request *request);
void serve_doctor_tick(struct node *node);
struct mono serve_doctor_next(const struct node *node);
void serve_doctor_free(struct node *node, struct client_wait *wait);
/* How many messages wait for a key whose node is gone, with another key at its address. */
uint64_t serve_stranded(const struct node *node);

#endif
