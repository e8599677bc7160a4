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

/* Timers: update.wake is the earliest of the rooms' (link/link.h, overlay/pool.h, overlay/gossip.h,
 * route/path.h, deliver/outbox.h, inbox.h, mailbox.h; route/relay.h wakes when the budget allows
 * the next packet that waits) and of the node's own:
 * - chores (30 s, always runs): the epoch's keys, the day's mail key, the drop list's minutes,
 *   descriptors that are over; every ten minutes the store is swept.
 * - publication: started by a change of what our descriptor says, at an interval that grows with
 *   the network (1 s to 10 min; 1 s after the loss of a link, while the ration of losses lasts);
 *   the first one once there are enough links, after 2 s at the latest, 20 s where a network forms.
 *   Stopped by the publication.
 * - move of the clock: started when the neighbours' time differs from ours and no move is left of
 *   the ration (a further one each minute); stopped by the move.
 * - ping: started by each question (700 ms, 6 of them); stopped by the answer or the client's end.
 * - settling: started by a request whose destination is not settled yet (8 s; 2 s where nobody is
 *   known to be; after 1 s others are asked too; news is looked at once in 100 ms); stopped when it
 *   is settled.
 * - retry of messages that wait for a route: started by a change of the graph, once a second at
 *   most, and when keys that had changed have settled; while messages are pending. */

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
