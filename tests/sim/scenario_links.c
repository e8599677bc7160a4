/* Links that both ends begin at once. */
#include "tests/sim/scenario_links.h"

#define CROSSINGS 40
#define SETTLE_US (10 * US_PER_S)
#define WATCH_US (120 * US_PER_S) /* twice as long as old keys and a silent link last */

static void connect(struct sim *sim, unsigned from, unsigned to) {
    struct request request = {.kind = REQUEST_CONNECT};
    request.connect.address = sim->hosts[to].address;
    sim_request(sim, from, &request);
}

static bool has_neighbour(const struct sim *sim, unsigned host, unsigned other) {
    uint64_t prefixes[TOPOLOGY_DEGREE_MAX + 2];
    size_t n = node_neighbours(sim->hosts[host].node, prefixes);
    for (size_t i = 0; i < n; i++)
        if (prefixes[i] == node_id_prefix(node_id(sim->hosts[other].node)))
            return true;
    return false;
}

#define HOSTS_MAX 32
struct graph {
    bool linked[HOSTS_MAX][HOSTS_MAX];
};

static struct graph look(const struct sim *sim) {
    struct graph graph = {0};
    for (unsigned i = 0; i < sim->n_hosts && i < HOSTS_MAX; i++)
        for (unsigned j = 0; j < sim->n_hosts && j < HOSTS_MAX; j++)
            graph.linked[i][j] = has_neighbour(sim, i, j);
    return graph;
}

/* Pairs dial each other at the same moment, over and over while descriptors are signed anew. Every
 * link has two ends then, and lives on when the keys of the handshake that lost are gone. */
void scenario_crossing(struct sim *sim) {
    for (unsigned i = 0; i < sim->n_hosts; i++) /* nobody knows anybody: these are the links */
        sim_start(sim, i, NULL, 0);
    for (unsigned k = 0; k < CROSSINGS; k++) {
        unsigned a = (unsigned)sim_below(sim, sim->n_hosts);
        unsigned b = (a + 1 + (unsigned)sim_below(sim, sim->n_hosts - 1)) % sim->n_hosts;
        connect(sim, a, b);
        sim_run(sim, (int64_t)sim_below(sim, 20 * US_PER_MS));
        connect(sim, b, a);
        sim_run(sim, (int64_t)sim_below(sim, 100 * US_PER_MS));
    }
    sim_run(sim, SETTLE_US);
    struct graph before = look(sim);
    unsigned lost = 0;
    for (int64_t until = sim->now_us + WATCH_US; sim->now_us < until;
         sim_run(sim, US_PER_MS * 50)) {
        struct graph now = look(sim);
        for (unsigned i = 0; i < HOSTS_MAX; i++)
            for (unsigned j = 0; j < HOSTS_MAX; j++) {
                lost += before.linked[i][j] && !now.linked[i][j];
                before.linked[i][j] &= now.linked[i][j];
            }
    }
    if (lost > 0)
        sim_violation(sim, "%u ends of links were lost though nothing failed", lost);
}
