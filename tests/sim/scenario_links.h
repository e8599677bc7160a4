#ifndef P2PD_SCENARIO_LINKS_H
#define P2PD_SCENARIO_LINKS_H

#include "tests/sim/sim.h"

/* Two dial each other at once, again and again. */
void scenario_crossing(struct sim *sim);

#endif
