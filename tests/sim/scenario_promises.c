/* Members that begin what they do not finish: a block of a long message promises all of it, and
 * costs its sender nothing. */
#include "tests/sim/scenarios.h"

#include <stdlib.h>

#define VICTIM 0
#define HOSTILE 9 /* hosts 1 to 9 */
#define PROMISES 4
#define PROMISED (4u << 20)
#define ROOM (16u << 20) /* of the victim's inbox: a ninth of what is promised */
#define UPLINK 2000000   /* bytes a second: some blocks, and no more */
#define BEGIN_US (1500 * US_PER_MS)
#define SETTLE_US (10 * US_PER_S) /* routes with relays by then */
#define FORM_US (60 * US_PER_S)
#define DELIVER_US (60 * US_PER_S)

static void begin_many(struct sim *sim, const uint8_t *body) {
    for (unsigned i = 1; i <= HOSTILE; i++)
        for (unsigned k = 0; k < PROMISES; k++)
            sim_push(sim, i, VICTIM, body, PROMISED);
    sim_run(sim, BEGIN_US);
    for (unsigned i = 1; i <= HOSTILE; i++) /* and never come back */
        sim_crash(sim, i);
}

static uint64_t refused_quota(const struct sim *sim) {
    struct status_report status;
    node_status(sim->hosts[VICTIM].node, (struct mono){sim->now_us}, &status);
    return status.counters.refused_quota;
}

void scenario_promises(struct sim *sim) {
    uint8_t *body = calloc(1, PROMISED);
    if (!body)
        abort();
    for (unsigned i = 0; i < sim->n_hosts; i++) {
        sim_host(sim, i)->config.inbox_max = ROOM;
        sim_start(sim, i, &sim->hosts[0].address, i > 0);
    }
    if (!sim_await(sim, FORM_US, sim_all_know_all, NULL))
        sim_violation(sim, "they do not all know all");
    sim_run(sim, SETTLE_US);
    sim->network.uplink_bytes = UPLINK;
    sim->network.uplink_queue_us = 200 * US_PER_MS;
    begin_many(sim, body);
    sim->network.uplink_bytes = 0;
    if (model_store_held(sim->hosts[VICTIM].store) == 0)
        sim_violation(sim, "nothing of what was promised came: this run shows nothing");
    sim_run(sim, 10 * US_PER_S); /* the dead are noticed */
    uint64_t refused = refused_quota(sim);
    for (unsigned i = HOSTILE + 1; i < sim->n_hosts; i++) {
        sim_push(sim, i, VICTIM, "honest", 6);
        sim_push(sim, i, VICTIM, body, 1u << 20);
    }
    if (!sim_await(sim, DELIVER_US, sim_all_delivered, NULL))
        sim_violation(sim, "what others promised keeps honest messages out");
    if (refused_quota(sim) > refused)
        sim_violation(sim, "honest messages were refused for want of room: %llu times",
                      (unsigned long long)(refused_quota(sim) - refused));
    free(body);
}
