/* Requests whose destination is not settled yet. */
#ifndef P2PD_SETTLE_H
#define P2PD_SETTLE_H

#include "daemon/core/directory/directory.h"
#include "daemon/core/link/link.h"
#include "daemon/core/node/clients.h"
#include "daemon/core/seam/request.h"

struct node;

struct node_settling {       /* when those that wait are looked at */
    struct mono due, judged; /* the next look; the last */
    bool news;               /* a dial has ended, or a node has become known */
    bool answered;           /* an address that a request asked has answered */
};

/* PUSH, PUSH_MANY, PING and TRUST: false if the destination is settled. True: its address is being
 * asked, and node_settle_tick() will hand the request out; or the client has been told why not. */
bool node_settle(struct node *node, const struct request *request);
/* Look at those that wait: `serve` gets each whose destination is as settled as it will be. */
void node_settle_tick(struct node *node,
                      void (*serve)(struct node *node, const struct request *request));
struct mono node_settle_next(const struct node *node);
/* Something has become known, or a dial has ended: those that wait are looked at soon. */
void node_settle_look(struct node *node);
/* A dial was answered: who is at that address is proven. */
void node_settle_answered(struct node *node, const struct link_event *event);
/* The nodes that witnesses whose word counts see at the address, though no dial there is answered.
 * Returns how many. */
size_t node_settle_vouched(const struct node *node, const struct address *address,
                           struct node_id ret_ids[DIRECTORY_CANDIDATES_MAX]);
/* Its client has gone: the file that it was sending is dropped. */
void node_settle_gone(struct node *node, struct client_wait *wait);
/* The node ends. */
void node_settle_free(struct node *node, struct client_wait *wait);

#endif
