/* The node: p2pd without a system. A pure state machine: an event and the time go in, effects come
 * out. It makes no system call, reads no clock, starts no thread and has no global. This is the one
 * header for a program that embeds a node.
 *
 * The runner's duties: deliver events one at a time; carry out datagrams, store operations and
 * answers in the order given; wake the node at update.wake; have sodium_init() called before.
 * Secrets live in locked memory (one arena a node). */
#ifndef P2PD_NODE_H
#define P2PD_NODE_H

#include "daemon/core/seam/step.h"

struct node;

/* NULL: no memory. */
struct node *node_new(const struct node_config *config, const struct node_boot *boot,
                      struct now now);
/* Wipes and frees everything; takes NULL. */
void node_free(struct node *node);

/* Advance by one event. `event` is borrowed for the call (the bytes of datagrams are opened in
 * place); what `update` points to is the node's and stays valid until the next call. A message is
 * acknowledged to its client, and receipted to its sender, only in a step that was given the result
 * of its store operation. */
void node_step(struct node *node, const struct node_event *event, struct node_update *update);

/* For tests, the simulator and status: no effect on the node. */
const struct node_id *node_id(const struct node *node);
void node_status(const struct node *node, struct mono mono, struct status_report *ret_report);
/* Prefixes of the established neighbours; returns how many. */
size_t node_neighbours(const struct node *node, uint64_t ret_prefixes[TOPOLOGY_DEGREE_MAX + 2]);

#endif
