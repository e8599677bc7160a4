/* What a node finds that has just started, beside hostile ones who would have it written to by
 * nobody, or write by way of them alone. */
#include "tests/sim/scenarios.h"

#include "daemon/core/node/node_private.h"
#include "tests/sim/properties.h"

#include <stdio.h>

/* The hosts 1 to HOSTILE are of one hand, the last one is the newcomer. */
#define HOSTILE 6u
#define FORM_US (60 * US_PER_S)

static uint64_t prefix_of(const struct sim *sim, unsigned host) {
    return node_id_prefix(node_id(sim->hosts[host].node));
}

/* Those of all hosts but the last form a network, of which the hostile ones have many links. */
static void form(struct sim *sim, unsigned links) {
    for (unsigned i = 1; i <= HOSTILE; i++)
        sim->hosts[i].config.pool_min = links;
    for (unsigned i = 0; i < sim->n_hosts - 1; i++)
        sim_start(sim, i, &sim->hosts[0].address, i > 0);
    if (!sim_await(sim, FORM_US, sim_all_know_all, NULL))
        sim_violation(sim, "no network formed");
}

/* ---- Who is told of it ---- */

#define MOVING_US (12 * US_PER_MINUTE)
#define MOVE_US (2 * US_PER_S)
#define KNOWN_US (10 * US_PER_S)

static void move_all(struct sim *sim) {
    for (unsigned i = 1; i <= HOSTILE; i++) {
        struct node *node = sim->hosts[i].node;
        sim->hosts[i].address.port ^= 1;
        links_probe_all(node->links, node->now.mono);
        links_flush(node->links, node->now.mono);
    }
}

static void move_for(struct sim *sim, int64_t us) {
    for (int64_t until = sim->now_us + us; sim->now_us < until; sim_run(sim, MOVE_US))
        move_all(sim);
}

/* For how many of the honest ones, of those that are no neighbours of it, links lead to it. */
static unsigned count_up(const struct sim *sim, unsigned *ret_of) {
    uint64_t prefix = prefix_of(sim, sim->n_hosts - 1);
    unsigned up = 0;

    *ret_of = 0;
    for (unsigned i = HOSTILE + 1; i < sim->n_hosts - 1; i++) {
        const struct node *node = sim->hosts[i].node;
        const struct directory_entry *entry = directory_find_prefix(node->directory, prefix);
        if (links_find(node->links, prefix))
            continue;
        ++*ret_of;
        up += entry && directory_is_up(node->directory, entry);
    }
    return up;
}

/* Links that move to and fro keep no neighbour from telling of another one. */
void scenario_movers(struct sim *sim) {
    unsigned newcomer = sim->n_hosts - 1, of;

    form(sim, 14);
    move_for(sim, MOVING_US);
    sim_start(sim, newcomer, &sim->hosts[0].address, 1);
    move_for(sim, KNOWN_US);
    unsigned up = count_up(sim, &of);
    property_holds(sim, PROPERTY_SCENARIO);
    if (sim->verbose)
        printf("# links lead to it for %u of %u after %d s\n", up, of, (int)(KNOWN_US / US_PER_S));
    if (up < of)
        sim_violation(sim, "beside links that move, links lead to a newcomer for %u of %u", up, of);
    for (unsigned i = HOSTILE + 1; i < newcomer; i += 3)
        sim_push(sim, i, newcomer, "welcome", 7);
    move_for(sim, KNOWN_US);
    if (!sim_all_delivered(sim, NULL))
        sim_violation(sim, "beside links that move, messages to a newcomer have not arrived");
    sim_check_messages(sim, true);
}
