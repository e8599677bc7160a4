/* Which of our neighbours may be sent through, and the messages that wait for a route. */
#ifndef P2PD_ROUTES_H
#define P2PD_ROUTES_H

#include "daemon/core/base/base.h"

struct node;

/* Tell the rooms that draw routes which links may be used. */
void node_routes_refresh(struct node *node);
/* The same if the graph has changed: a neighbour may have become a relay or ceased to be one, when
 * its keys settle or a proof comes. */
void node_routes_follow(struct node *node);
/* Routes have changed somewhere: messages that wait for one are tried. Once a second at most, and
 * only while something waits. */
void node_routes_retry(struct node *node);
struct mono node_routes_next(const struct node *node);

#endif
