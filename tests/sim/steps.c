#include "tests/sim/steps.h"

#include "tests/sim/adversary.h"

#define FORM_US (60 * US_PER_S)
#define DELIVER_US (60 * US_PER_S)

void sim_start_some(struct sim *sim, unsigned first, unsigned last) {
    for (unsigned i = first; i < last; i++)
        sim_start(sim, i, &sim->hosts[0].address, i > 0);
}

static bool is_whole(struct sim *sim, void *unused) {
    return sim_all_know_all(sim, unused) && sim_components(sim) == 1;
}

void sim_must_form(struct sim *sim) {
    if (!sim_await(sim, FORM_US, is_whole, NULL))
        sim_violation(sim, "%u nodes did not form one network that knows itself", sim->n_hosts);
}

unsigned sim_some_host(struct sim *sim) {
    return 1 + (unsigned)sim_below(sim, sim->n_hosts - 1);
}

unsigned sim_honest_host(struct sim *sim) {
    unsigned i;
    do
        i = sim_some_host(sim);
    while (sim->hosts[i].adversary);
    return i;
}

unsigned sim_form_around(struct sim *sim, unsigned habit) {
    unsigned member = sim_some_host(sim);

    sim->hosts[member].adversary = adversary_new(sim, habit);
    sim_start_some(sim, 0, sim->n_hosts);
    sim_must_form(sim);
    return member;
}

void sim_push_some(struct sim *sim, unsigned n) {
    for (unsigned i = 0; i < n; i++)
        sim_push(sim, sim_honest_host(sim), sim_honest_host(sim), "to be relayed", 13);
    if (!sim_await(sim, DELIVER_US, sim_all_delivered, NULL))
        sim_violation(sim, "messages among the others have not arrived");
    sim_check_messages(sim, true);
}
