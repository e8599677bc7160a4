/* Tells when the machine's interfaces or addresses change, so that links are checked at once rather
 * than when they fall silent. On Linux by rtnetlink, elsewhere by a routing socket; where neither
 * is to be had, nothing is told and nothing else changes.
 *
 * Threat: a router's advertisements and a flapping cable bring many changes: what they cause is
 * coalesced, and never more than one call each half second. What the messages say is not used: only
 * that there is one. */
#ifndef P2PD_NETWATCH_H
#define P2PD_NETWATCH_H

#include <ev.h>

struct netwatch;

/* `changed` is called in the loop, NETWATCH_GATHER_S after the first of some changes. 0, -ENOSYS:
 * this system has nothing of the kind, or negative errno. */
#define NETWATCH_GATHER_S 0.5
int netwatch_open(struct netwatch **ret_netwatch, struct ev_loop *loop,
                  void (*changed)(void *context), void *context);
/* Takes NULL. */
void netwatch_close(struct netwatch *netwatch);

#endif
