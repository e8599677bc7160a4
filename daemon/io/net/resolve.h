/* Host names of configured peers, looked up on a thread so that a slow name server stalls nothing.
 * A name that cannot be looked up is tried again with growing pauses; all names are looked up anew
 * when the daemon asks for it.
 *
 * Threat: the DNS may lie. Its answers are only addresses to dial: the handshake proves which node
 * is there. */
#ifndef P2PD_RESOLVE_H
#define P2PD_RESOLVE_H

#include "daemon/core/seam/request.h"

struct resolve;

/* `wake` is called on the thread when there is something to collect, or news of a name. NULL: no
 * memory. The thread starts with the first host. */
struct resolve *resolve_new(void (*wake)(void *context), void *context);
/* Does not wait for a look-up that is under way; wake is not called any more. Takes NULL. */
void resolve_free(struct resolve *resolve);

/* Look up HOST or HOST:PORT (also with "udp://" before it); each name is entered only once. 0,
 * -EEXIST, or negative errno. If the thread cannot be started just now, the name is kept, and
 * counts as failing. */
int resolve_add(struct resolve *resolve, const char *text);
/* Look up all names anew, since they may lead elsewhere now, and retry each until it is
 * answered. */
void resolve_refresh(struct resolve *resolve);
/* The names whose last look-up failed. Up to `max` of them, in the order in which they were added;
 * returns how many. */
size_t resolve_failing(struct resolve *resolve, struct host_report *ret_reports, size_t max);
/* Take a name whose state has changed since it was last taken here: it has begun to fail, fails for
 * another reason, or is found again (then why is ""). False: there is none. */
bool resolve_news(struct resolve *resolve, struct host_report *ret_report);
/* Take an address that was found; false: none now. */
bool resolve_collect(struct resolve *resolve, struct address *ret_address);

#endif
