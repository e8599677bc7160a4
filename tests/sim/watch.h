/* Looking over the nodes' shoulders: which host is stepping, which path each onion packet takes,
 * and what every relay on it gets to see. The functions watched are wrapped when the simulator is
 * linked (-Wl,--wrap); the core knows nothing of it. */
#ifndef P2PD_SIM_WATCH_H
#define P2PD_SIM_WATCH_H

#include "tests/sim/sim.h"

struct watch;

void watch_free(struct watch *watch);
/* Packets that honest hosts make for one host from now on, and those of them that get there;
 * `direct`: those that they give to it themselves, which are not counted among the others. */
struct watch_tally {
    uint64_t begun, arrived, direct;
};
struct watch_tally *watch_follow(struct sim *sim, uint64_t to);
/* All that the core does between the two, it does for `host`. */
void watch_enter(struct sim *sim, struct sim_host *host);
void watch_leave(void);
/* For the wrapped functions: on whose stage they are called; NULL: outside of a step. */
struct sim *watch_sim(void);
struct sim_host *watch_host(void);

#endif
