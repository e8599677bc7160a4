/* What holds in a simulated network: who knows whom, what has arrived, in how many pieces it is. */
#include "tests/sim/sim.h"

#include <stdlib.h>

bool sim_all_know_all(struct sim *sim, void *unused) {
    size_t live = 0;
    struct status_report status;

    (void)unused;
    for (unsigned i = 0; i < sim->n_hosts; i++)
        live += sim->hosts[i].node != NULL;
    for (unsigned i = 0; i < sim->n_hosts; i++) {
        if (!sim->hosts[i].node)
            continue;
        node_status(sim->hosts[i].node, (struct mono){sim->now_us}, &status);
        if (status.directory_nodes < live)
            return false;
    }
    return true;
}

bool sim_all_delivered(struct sim *sim, void *unused) {
    (void)unused;
    for (size_t i = 0; i < sim->n_pushes; i++)
        if (!sim->pushes[i].orphan &&
            (!sim->pushes[i].answered ||
             (sim->pushes[i].accepted && !message_state_is_final(sim->pushes[i].state))))
            return false;
    return true;
}

static unsigned root_of(unsigned *parent, unsigned i) {
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static unsigned host_of(const struct sim *sim, uint64_t prefix) {
    for (unsigned i = 0; i < sim->n_hosts; i++)
        if (sim->hosts[i].node && node_id_prefix(node_id(sim->hosts[i].node)) == prefix)
            return i;
    return UINT32_MAX;
}

unsigned sim_components(struct sim *sim) {
    unsigned *parent = calloc(sim->n_hosts, sizeof *parent), components = 0;
    uint64_t prefixes[TOPOLOGY_DEGREE_MAX + 2];

    if (!parent)
        abort();
    for (unsigned i = 0; i < sim->n_hosts; i++)
        parent[i] = i;
    for (unsigned i = 0; i < sim->n_hosts; i++) {
        size_t n = sim->hosts[i].node ? node_neighbours(sim->hosts[i].node, prefixes) : 0;
        for (size_t j = 0; j < n; j++) {
            unsigned other = host_of(sim, prefixes[j]);
            if (other != UINT32_MAX)
                parent[root_of(parent, i)] = root_of(parent, other);
        }
    }
    for (unsigned i = 0; i < sim->n_hosts; i++)
        components += sim->hosts[i].node && root_of(parent, i) == i;
    free(parent);
    return components;
}
