/* What the simulator puts nodes through, and what must hold all the same. */
#ifndef P2PD_SCENARIOS_H
#define P2PD_SCENARIOS_H

#include "tests/sim/sim.h"

struct scenario {
    const char *name, *says;
    void (*run)(struct sim *sim); /* failures go to sim_violation() */
};
void run_mailbox(struct sim *sim); /* scenario_mailbox.c */
void run_mailbox_full(struct sim *sim);
void scenario_bulk(struct sim *sim); /* scenario_bulk.c */
void scenario_bulk_clean(struct sim *sim);
void scenario_bulk_lossy(struct sim *sim);
void scenario_bulk_bad(struct sim *sim);
void scenario_bulk_limiter(struct sim *sim);
void scenario_files(struct sim *sim);   /* scenario_files.c */
void scenario_relay(struct sim *sim);   /* scenario_relay.c */
void scenario_clocks(struct sim *sim);  /* scenario_clocks.c */
void scenario_spoofed(struct sim *sim); /* scenario_members.c */
void scenario_scattered(struct sim *sim);
void scenario_evicted(struct sim *sim);
void scenario_padded(struct sim *sim);
void scenario_remailed(struct sim *sim);
void scenario_growth(struct sim *sim); /* scenario_growth.c */
/* scenario_addresses.c */
void scenario_addresses(struct sim *sim);
void scenario_ports(struct sim *sim);
void scenario_translator(struct sim *sim);
void scenario_older(struct sim *sim);
void scenario_movers(struct sim *sim); /* scenario_newcomer.c */
/* scenario_versions.c */
void scenario_equivocation(struct sim *sim);
void scenario_handed(struct sim *sim);
void scenario_leaps(struct sim *sim);
void scenario_succession(struct sim *sim);
void scenario_framed(struct sim *sim);
void scenario_guard(struct sim *sim);
/* scenario_gossip.c */
void scenario_versions(struct sim *sim);
void scenario_proofs(struct sim *sim);
void scenario_wants(struct sim *sim);
void scenario_crowd(struct sim *sim);
void scenario_filled(struct sim *sim);
void scenario_promises(struct sim *sim); /* scenario_promises.c */
void golden_join(struct sim *sim);       /* golden.c: they print what every node does */
void golden_push(struct sim *sim);
/* A frame goes to a neighbour, in the step under way. */
void golden_frame(uint64_t prefix, uint8_t type);
extern const struct scenario scenarios[]; /* ends with a NULL name */

#endif
