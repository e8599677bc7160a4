/* What scenarios have in common: forming a network, picking a host, messages among the honest. What
 * does not come about is a violation. */
#ifndef P2PD_SIM_STEPS_H
#define P2PD_SIM_STEPS_H

#include "tests/sim/sim.h"

/* Hosts [first, last), which know the address of the first host of all. */
void sim_start_some(struct sim *sim, unsigned first, unsigned last);
/* Within a minute: one network in which all know all. */
void sim_must_form(struct sim *sim);
/* Any but the first; and no adversary. */
unsigned sim_some_host(struct sim *sim);
unsigned sim_honest_host(struct sim *sim);
/* A whole network, one of it with this habit. Returns which. */
unsigned sim_form_around(struct sim *sim, unsigned habit);
/* So many messages among the honest, which arrive. */
void sim_push_some(struct sim *sim, unsigned n);

#endif
