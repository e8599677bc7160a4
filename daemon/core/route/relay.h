/* What we forward for others, kept within relay.rate. Packets that must wait stand in one queue for
 * each neighbour that they came from, served in turn, so that a noisy neighbour delays itself
 * alone. Without a rate nothing ever waits here.
 *
 * Threat: a flood of packets to forward. Queues are bounded (a second's worth of the rate in all,
 * and limits.memory); at the bound the oldest packet of the longest queue is dropped. Only bytes
 * that were sent count for the month: what comes in beyond the rate uses up none. Implements
 * p2pd-protocol(7) RELAYING. */
#ifndef P2PD_RELAY_H
#define P2PD_RELAY_H

#include "daemon/core/base/budget.h"
#include "daemon/core/link/link.h"

struct relay;

/* rate: bytes a second; month: bytes in a period of 30 days (counted from 1970), since the daemon's
 * start; 0: no limit. */
struct relay *relay_new(uint64_t rate, uint64_t month, struct links *links, struct budget *budget);
void relay_free(struct relay *relay);
void relay_configure(struct relay *relay, uint64_t rate, uint64_t month);

/* Forward a packet that came over link slot `from` to the neighbour `to`: now, or when the rate
 * allows. `onion` is from links_onion_begin(), and taken back whatever is returned. DROP_NONE;
 * DROP_NO_ROUTE; DROP_QUEUE: no budget or memory to let it wait; DROP_LIMIT: the month's allowance
 * is used up. */
enum drop relay_packet(struct relay *relay, unsigned from, uint64_t to, uint8_t *onion,
                       struct now now);
void relay_tick(struct relay *relay, struct mono now);
struct mono relay_next(const struct relay *relay);
/* Is the month's allowance used up? *ret_left_us: microseconds until the next month. */
bool relay_month_is_used_up(const struct relay *relay, struct wall wall, int64_t *ret_left_us);
uint64_t relay_dropped(const struct relay *relay); /* from the queues */

#endif
