/* What links say, and what that means for the other rooms. */
#ifndef P2PD_NODE_LINKS_H
#define P2PD_NODE_LINKS_H

#include "daemon/core/base/base.h"

struct node;

/* Take all events of links that wait. */
void node_links_drain(struct node *node);

#endif
