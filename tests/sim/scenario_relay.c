/* A relay dies and the next message is pushed at once, before any neighbour can have noticed: it is
 * to be delivered within half a second, whatever place the dead one had on the last message's way
 * or on its receipt's; with paths that are used again and (by the seed) without. */
#include "tests/sim/scenarios.h"

#include "daemon/core/deliver/inbox/inbox_private.h"
#include "daemon/core/deliver/outbox_private.h"
#include "daemon/core/deliver/sender/sender_private.h"
#include "daemon/core/node/node_private.h"

#include "tests/sim/properties.h"

#include <stdio.h>

#define FORM_US (60 * US_PER_S)
#define SETTLE_US (10 * US_PER_S)
#define SETTLED_US (30 * US_PER_S)
#define FOREVER_US (60 * US_PER_S)
#define SOON_US (US_PER_S / 2)
#define LATEST_US                                                                                  \
    (US_PER_S * 5 / 4) /* by chance several ways after each other meet the dead one                \
                          \ */
/* With fewer nodes there may be no way past the dead one: then it has to be missed by its
 * neighbours, and where a shorter path is all that is left, that is put off for 3 s. */
#define NODES_ENOUGH 8u
#define NODES_PLENTY 12u
#define FEW_US (8 * US_PER_S)
#define SOME_US (4 * US_PER_S) /* one of eight is a good part of all ways */
#define MESSAGES 4u
#define APART_US (300 * US_PER_MS)
#define ROUNDS 5u               /* of each kind */
#define IDLE_US (15 * US_PER_S) /* longer than a recipient is kept in mind without messages */

enum victim { LAST, FIRST, MIDDLE, RECEIPT_FIRST, RECEIPT_LAST, VICTIMS };
static const char *const victim_says[VICTIMS] = {
    [LAST] = "the relay next to the recipient",
    [FIRST] = "the relay next to the sender",
    [MIDDLE] = "a relay in the middle",
    [RECEIPT_FIRST] = "the first relay of the receipt",
    [RECEIPT_LAST] = "the last relay of the receipt",
};

struct trial {
    unsigned from, to;
    size_t push;
};

static bool is_whole(struct sim *sim, void *unused) {
    return sim_all_know_all(sim, unused) && sim_components(sim) == 1;
}

/* Everybody may be sent through again. */
static bool is_settled(struct sim *sim, void *unused) {
    (void)unused;
    for (unsigned i = 0; i < sim->n_hosts; i++)
        if (directory_settle_due(sim->hosts[i].node->directory).us != MONO_NEVER.us)
            return false;
    return true;
}

static bool is_delivered(struct sim *sim, void *context) {
    const struct trial *trial = context;
    return sim->pushes[trial->push].state == MESSAGE_DELIVERED;
}

static bool deliver(struct sim *sim, struct trial *trial) {
    trial->push = sim_push(sim, trial->from, trial->to, "and yet it arrives", 18);
    return sim_await(sim, FOREVER_US, is_delivered, trial);
}

/* The way of the last message to it. Empty: the sender does not remember. */
static struct path_way way_there(struct sim *sim, const struct trial *trial) {
    const struct outbox *outbox = sim->hosts[trial->from].node->outbox;
    const struct recipient *recipient;
    TAILQ_FOREACH(recipient, &outbox->sender->all, all)
        for (unsigned i = 0; i < recipient->windows.n; i++)
            if (recipient->subflows[i].lane.way.n > 0 &&
                node_id_is_equal(&recipient->route.to, node_id(sim->hosts[trial->to].node)))
                return recipient->subflows[i].lane.way;
    return (struct path_way){.n = 0};
}

static struct path_way way_back(struct sim *sim, const struct trial *trial) {
    const struct inbox *inbox = sim->hosts[trial->to].node->inbox;
    for (size_t i = 0; i < INBOX_CORRESPONDENTS_MAX; i++)
        if (inbox->correspondents[i].used &&
            node_id_is_equal(&inbox->correspondents[i].id, node_id(sim->hosts[trial->from].node)))
            return inbox->correspondents[i].lane.way;
    return (struct path_way){.n = 0};
}

static unsigned host_of(const struct sim *sim, uint64_t prefix) {
    for (unsigned i = 0; i < sim->n_hosts; i++)
        if (sim->hosts[i].node && node_id_prefix(node_id(sim->hosts[i].node)) == prefix)
            return i;
    return sim->n_hosts;
}

/* Who is to die; n_hosts: there is no such relay. */
static unsigned choose(struct sim *sim, const struct trial *trial, enum victim victim) {
    bool back = victim == RECEIPT_FIRST || victim == RECEIPT_LAST;
    bool first = victim == FIRST || victim == RECEIPT_FIRST;
    struct path_way way = back ? way_back(sim, trial) : way_there(sim, trial);
    if (way.n == 0)
        return sim->n_hosts;
    unsigned last = way.n - 1u;
    return host_of(sim, way.relays[first ? 0 : victim == MIDDLE ? last / 2 : last]);
}

/* Push, kill who carried it, push at once. Returns how long the second took; -1: nobody was
 * killed. */
static int64_t try_once(struct sim *sim, enum victim victim, bool after_silence) {
    struct trial trial = {.from = (unsigned)sim_below(sim, sim->n_hosts)};
    trial.to = (trial.from + 1 + (unsigned)sim_below(sim, sim->n_hosts - 1)) % sim->n_hosts;
    for (unsigned i = 0; i < MESSAGES; i++) { /* the round trip is known by then */
        if (i > 0)
            sim_run(sim, APART_US);
        if (!deliver(sim, &trial)) {
            sim_violation(sim, "a message over living relays did not arrive");
            return -1;
        }
    }
    unsigned dead = choose(sim, &trial, victim);
    if (dead == sim->n_hosts)
        return -1;
    if (after_silence)
        sim_run(sim, IDLE_US);
    sim_crash(sim, dead);
    bool arrived = deliver(sim, &trial);
    const struct sim_push *push = &sim->pushes[trial.push];
    int64_t took_us = arrived ? push->delivered_us - push->pushed_us : FOREVER_US;
    if (sim->verbose)
        printf("# %8.3f s: %s%s dies: %lld ms\n", (double)sim->now_us / 1e6, victim_says[victim],
               after_silence ? ", after a silence," : "", (long long)took_us / 1000);
    sim_start(sim, dead, &sim->hosts[dead ? 0 : 1].address, 1);
    if (!sim_await(sim, FORM_US, is_whole, NULL))
        sim_violation(sim, "a relay that was restarted did not come back");
    (void)sim_await(sim, SETTLED_US, is_settled, NULL); /* who restarts often takes longer */
    return took_us;
}

void scenario_relay(struct sim *sim) {
    unsigned tried = 0, soon = 0;
    sim->network.delay_max_us = 5 * US_PER_MS;
    for (unsigned i = 0; i < sim->n_hosts; i++) {
        sim->hosts[i].config.route_reuse = sim->seed % 3 != 0;
        sim_start(sim, i, &sim->hosts[0].address, i > 0);
    }
    if (!sim_await(sim, FORM_US, is_whole, NULL))
        sim_violation(sim, "no network formed");
    sim_run(sim, SETTLE_US);
    for (unsigned i = 0; i < ROUNDS * VICTIMS * 2; i++) {
        int64_t took_us = try_once(sim, i % VICTIMS, i / VICTIMS % 2);
        if (took_us < 0)
            continue;
        tried++;
        soon += took_us < SOON_US;
        property_holds(sim, PROPERTY_SCENARIO);
        if (took_us >= (sim->n_hosts < NODES_ENOUGH   ? FEW_US
                        : sim->n_hosts < NODES_PLENTY ? SOME_US
                                                      : LATEST_US))
            sim_violation(sim, "with %s dead a message took %lld ms", victim_says[i % VICTIMS],
                          (long long)took_us / 1000);
    }
    if (sim->verbose)
        printf("# %u of %u in less than half a second\n", soon, tried);
    unsigned percent = sim->n_hosts < NODES_ENOUGH ? 0 : sim->n_hosts < NODES_PLENTY ? 80 : 95;
    if (soon * 100 < tried * percent)
        sim_violation(sim, "only %u of %u arrived in less than half a second", soon, tried);
    if (tried < ROUNDS * VICTIMS)
        sim_violation(sim, "only %u relays could be killed", tried);
}
