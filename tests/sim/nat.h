/* Boxes that translate addresses (RFC 4787): several hosts behind one outer address. A mapping
 * belongs to an inner host and one remote endpoint, lets in what comes from that endpoint alone,
 * and ends when nothing has gone out for a while. */
#ifndef P2PD_SIM_NAT_H
#define P2PD_SIM_NAT_H

#include "tests/sim/sim.h"

struct nat;

/* Boxes 1 to n. Outer port by endpoint (symmetric) or by inner host, life of a mapping: drawn for
 * each. */
struct nat *nat_new(struct sim *sim, unsigned boxes);
void nat_free(struct nat *nat);
/* The box was switched off and on: all mappings are gone, later ones get other ports. */
void nat_reset(struct nat *nat, unsigned box);
bool nat_is_symmetric(const struct nat *nat, unsigned box);

/* Who gets what `from` sends to `remote`; NULL: nobody. Sets from->seen_as. */
struct sim_host *nat_route(struct sim *sim, struct sim_host *from, const struct address *remote);
/* Datagrams to a box that nobody behind it had asked for. */
uint64_t nat_unsolicited(const struct nat *nat);

#endif
