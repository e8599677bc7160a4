/* Host names of configured peers, looked up on a thread so that a slow name server stalls
 * nothing, and again with growing pauses until there is an answer; anew whenever the daemon asks.
 *
 * Threat: the DNS may lie. Its answers are addresses to dial, nothing more: who is there, the
 * handshake proves. */
#ifndef P2PD_RESOLVE_H
#define P2PD_RESOLVE_H

#include "daemon/core/seam/request.h"

struct resolve;

/* `wake` is called on the thread when there is something to collect, or news of a name. NULL: no
 * memory. The thread starts with the first host. */
struct resolve *resolve_new(void (*wake)(void *context), void *context);
/* Does not wait for a look-up that is under way; wake is not called any more. Takes NULL. */
void resolve_free(struct resolve *resolve);

/* Look up HOST or HOST:PORT ("udp://" before it allowed), once for each name. 0, -EEXIST, or
 * negative errno; if there is no thread for it just now the name is kept, and counts as failing. */
int resolve_add(struct resolve *resolve, const char *text);
/* Look up all names anew, and go on until each is answered: they may have moved. */
void resolve_refresh(struct resolve *resolve);
/* Names that are being looked up in vain: what was last tried failed. Up to `max` of them, in the
 * order in which they were added; returns how many. */
size_t resolve_failing(struct resolve *resolve, struct host_report *ret_reports, size_t max);
/* Take a name that has begun to fail, or fails for another reason, or is found again (why is ""
 * then), since this was last asked. False: there is none. */
bool resolve_news(struct resolve *resolve, struct host_report *ret_report);
/* Take an address that was found; false: none now. */
bool resolve_collect(struct resolve *resolve, struct address *ret_address);

#endif
