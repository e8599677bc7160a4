/* What must hold, whatever the seed does to the network: checked at every step, at every tenth of a
 * second, or once a second, by what it costs. */
#ifndef P2PD_SIM_PROPERTIES_H
#define P2PD_SIM_PROPERTIES_H

#include "tests/sim/sim.h"

extern const char *const property_says[PROPERTIES];

void property_holds(struct sim *sim, enum sim_property property);
void property_breaks(struct sim *sim, enum sim_property property, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* No piece of a marked body may stand in these bytes, which `host` sent or saw. */
void property_plaintext(struct sim *sim, const struct sim_host *host, const void *bytes,
                        size_t length, const char *what);

/* Of one datagram that leaves a host; of a host after each of its steps; of all, as time goes
 * on. */
void properties_datagram(struct sim *sim, const struct sim_host *from,
                         const struct datagram *datagram);
void properties_step(struct sim *sim, struct sim_host *host);
void properties_look(struct sim *sim);
/* A line for each: held, broken, or never put to the test. */
void properties_print(const struct sim *sim);

/* ---- The graph ---- */

/* Into how many pieces the live hosts fall at best: joined are those linked, and those of whom one
 * knows where the other can be dialled. */
unsigned sim_joinable(struct sim *sim);
/* Every honest live host has a live descriptor of every other one, as far as it could learn of
 * it. */
bool sim_honest_know(struct sim *sim);
/* As many pieces as there must be, and all know all. */
bool sim_is_rejoined(struct sim *sim, void *unused);

/* Of one sequence of a malicious node's all honest ones hold the same version. */
bool sim_versions_agree(struct sim *sim, void *unused);

/* Every host's pool and what it refused: for whoever looks into a failure. */
void sim_print_hosts(const struct sim *sim);

#endif
