/* Whom a client means: by id, name or address to a node, or the client is told why not. */
#ifndef P2PD_DESTINATION_H
#define P2PD_DESTINATION_H

#include "daemon/core/directory/directory.h"
#include "daemon/core/seam/answer.h"
#include "daemon/core/seam/request.h"

struct node;

/* The node that `destination` stands for. False: the client has been told why there is none. */
bool node_resolve(struct node *node, uint64_t client, const struct destination *destination,
                  struct node_id *ret_id);
/* The same, for something that is to be sent. *ret_proven: a pin or a handshake proves that the
 * node is there, so that the address may be pinned to its key. False: the client has been told why
 * not. */
bool node_resolve_recipient(struct node *node, uint64_t client,
                            const struct destination *destination, struct node_id *ret_id,
                            bool *ret_proven);
void node_answer_unknown(struct node *node, uint64_t client, const struct destination *destination);
/* Keep the node in the store. If `proven`, also pin the address that a user typed to the key found
 * there. */
void node_remember(struct node *node, const struct destination *destination,
                   const struct node_id *id, bool proven);
/* What is known of a node, for people. */
void node_report(const struct node *node, const struct directory_entry *entry,
                 struct node_report *ret_report);

#endif
