/* One member against the directory: it publishes without end, asks without end, brings identities
 * without end. The rest of the network is honest, and must not pay for it. */
#include "tests/sim/scenarios.h"

#include "daemon/core/node/node_private.h"
#include "daemon/core/route/path_private.h"
#include "tests/sim/adversary.h"
#include "tests/sim/properties.h"
#include "tests/sim/steps.h"
#include "tests/sim/watch.h"

#include <stdio.h>
#include <stdlib.h>

#define AGREE_US (60 * US_PER_S)

/* ---- Rates ---- */

#define FLOOD_US (20 * US_PER_S)
#define FLOOD_EACH_US (20 * US_PER_MS)

struct bill {
    double bytes, checks;
};

static struct bill bill_of(const struct sim *sim, unsigned without) {
    struct bill bill = {0, 0};
    for (unsigned i = 0; i < sim->n_hosts; i++)
        if (i != without) {
            bill.bytes += (double)sim->hosts[i].traffic.bytes;
            bill.checks += (double)sim->hosts[i].traffic.checks;
        }
    return bill;
}

/* What all others pay while one gossips so much every 20 ms. */
static struct bill flood(struct sim *sim, unsigned member, unsigned n) {
    struct bill before = bill_of(sim, member), after;
    int64_t began = sim->now_us;

    while (sim->now_us - began < FLOOD_US) {
        adversary_gossip(sim, member, n);
        sim_run(sim, FLOOD_EACH_US);
    }
    after = bill_of(sim, member);
    return (struct bill){after.bytes - before.bytes, after.checks - before.checks};
}

#define VERSIONS_CROWD 300
#define VERSIONS_EACH 16 /* so 800 a second */
/* What all nodes of any network together publish at most, and some for the honest ones. */
#define VERSIONS_A_SECOND ((double)US_PER_S / PACE_NODE_US + 10)

static void check_checks(struct sim *sim, const struct bill *bill, double most) {
    double each = bill->checks / (sim->n_hosts - 1);

    if (sim->verbose)
        printf("# %.0f checks and %.0f bytes a second and node\n", each / (FLOOD_US / US_PER_S),
               bill->bytes / (sim->n_hosts - 1) / (FLOOD_US / US_PER_S));
    if (each > most)
        sim_violation(sim, "one member cost every node %.0f checks, not %.0f", each, most);
}

/* One member's identities publish hundreds of versions a second: each may do so a few times at
 * once, then all of them as much as an honest network. */
void scenario_versions(struct sim *sim) {
    unsigned member = sim_some_host(sim);
    double sustained = VERSIONS_A_SECOND * (double)(FLOOD_US / US_PER_S);
    struct bill bill;

    sim->hosts[member].adversary = adversary_new(sim, HABIT_PUBLISHES);
    adversary_crowd(sim->hosts[member].adversary, VERSIONS_CROWD);
    sim_start_some(sim, 0, sim->n_hosts);
    sim_must_form(sim);
    bill = flood(sim, member, VERSIONS_EACH);
    check_checks(sim, &bill, VERSIONS_CROWD * (PACE_BURST_LARGE + 1) + sustained);
    bill = flood(sim, member, VERSIONS_EACH);
    check_checks(sim, &bill, sustained);
    adversary_keep(sim->hosts[member].adversary, 0);
    sim_push_some(sim, 20);
}

#define PROOFS_CROWD 300
#define PROOFS_PUBLISH 100 /* rounds until all of them are known */
/* A second and node: two checks for each proof that its pace lets in, of all and of 16 neighbours,
 * and what honest nodes cost. */
#define PROOFS_CHECKS (2.0 * (GOSSIP_PROOF_RATE + 16.0 / GOSSIP_PROOF_PART_S) + 10)
#define PROOFS_AGREE_US (10 * US_PER_MINUTE)
#define PROOFS_BYTES 80e3 /* the burst included */

static bool digests_agree(struct sim *sim, void *unused) {
    uint32_t first[DIRECTORY_BUCKETS], other[DIRECTORY_BUCKETS];
    (void)unused;

    for (unsigned i = 0; i < sim->n_hosts; i++) {
        directory_digest(sim->hosts[i].node->directory, MONO_NEVER, i == 0 ? first : other);
        if (i > 0 && memcmp(first, other, sizeof first) != 0)
            return false;
    }
    return true;
}

/* One member makes every proof that there can be against its own identities. */
void scenario_proofs(struct sim *sim) {
    unsigned member = sim_some_host(sim);
    double seconds = FLOOD_US / US_PER_S, burst = GOSSIP_PROOF_BURST + 16 * GOSSIP_PROOF_PART_BURST;

    sim->hosts[member].adversary = adversary_new(sim, HABIT_PUBLISHES);
    adversary_crowd(sim->hosts[member].adversary, PROOFS_CROWD);
    sim_start_some(sim, 0, sim->n_hosts);
    sim_must_form(sim);
    for (unsigned k = 0; k < PROOFS_PUBLISH; k++) {
        adversary_gossip(sim, member, PROOFS_CROWD / PROOFS_PUBLISH);
        sim_run(sim, US_PER_S / 2);
    }
    sim_run(sim, 30 * US_PER_S);
    adversary_become(sim->hosts[member].adversary, HABIT_PROVES);
    struct bill bill = flood(sim, member, 1);
    double others = sim->n_hosts - 1, bytes = bill.bytes / others / seconds;
    check_checks(sim, &bill, 2 * burst + PROOFS_CHECKS * seconds);
    property_holds(sim, PROPERTY_SCENARIO);
    if (bytes > PROOFS_BYTES)
        sim_violation(sim, "one member's proofs cost every node %.0f bytes a second", bytes);
    adversary_keep(sim->hosts[member].adversary, 0);
    if (!sim_await(sim, PROOFS_AGREE_US, digests_agree, NULL))
        sim_violation(sim, "nodes do not come to agree on who is convicted");
    sim_push_some(sim, 20);
}

/* One member asks its neighbours for what it has, with all that it can send. */
void scenario_wants(struct sim *sim) {
    unsigned member = sim_some_host(sim);
    uint64_t asked;

    sim->hosts[member].adversary = adversary_new(sim, HABIT_WANTS);
    sim_start_some(sim, 0, sim->n_hosts);
    sim_must_form(sim);
    sim_run(sim, 20 * US_PER_S);
    asked = sim->hosts[member].traffic.bytes;
    struct bill bill = flood(sim, member, 1);
    asked = sim->hosts[member].traffic.bytes - asked;
    if (sim->verbose)
        printf("# asked in %llu bytes, the others sent %.0f\n", (unsigned long long)asked,
               bill.bytes);
    if (bill.bytes > (double)asked / 2)
        sim_violation(sim, "%llu bytes of questions made others send %.0f",
                      (unsigned long long)asked, bill.bytes);
}

/* ---- Places ---- */

#define CROWD 400
#define CROWD_US (3 * US_PER_MINUTE)

static unsigned known_by(const struct sim *sim, unsigned who, unsigned first, unsigned last) {
    unsigned n = 0;
    for (unsigned i = first; i < last; i++)
        n += i != who && sim->hosts[i].node &&
             directory_find(sim->hosts[who].node->directory, node_id(sim->hosts[i].node)) != NULL;
    return n;
}

struct span {
    unsigned member, first, last;
};

static bool all_known(struct sim *sim, void *context) {
    const struct span *span = context;
    for (unsigned who = 0; who < sim->n_hosts; who++)
        if (who != span->member && sim->hosts[who].node &&
            known_by(sim, who, span->first, span->last) <
                span->last - span->first - (who >= span->first && who < span->last))
            return false;
    return true;
}

/* One member fills every directory; then others join. */
void scenario_crowd(struct sim *sim) {
    unsigned n = sim->n_hosts, first = 2 * n / 3, member = 1 + (unsigned)sim_below(sim, first - 1);
    struct span newcomers = {member, first, n}, residents = {member, 0, first};

    for (unsigned i = 0; i < n; i++)
        sim->hosts[i].config.directory_max = i == member ? 20000 : 4 * n;
    sim->hosts[member].adversary = adversary_new(sim, HABIT_CROWDS);
    adversary_crowd(sim->hosts[member].adversary, CROWD);
    sim_start_some(sim, 0, first);
    if (!sim_await(sim, AGREE_US, all_known, &residents))
        sim_violation(sim, "the residents do not know each other");
    for (unsigned k = 0; k < 200; k++) {
        adversary_gossip(sim, member, 4);
        sim_run(sim, FLOOD_EACH_US);
    }
    sim_run(sim, 10 * US_PER_S);
    sim_start_some(sim, first, n);
    if (!sim_await(sim, AGREE_US, all_known, &newcomers))
        sim_violation(sim, "newcomers are not known to all: a directory of %zu is full",
                      sim->hosts[0].config.directory_max);
    sim_run(sim, CROWD_US); /* of the crowd some come in and others go with every digest */
    if (!all_known(sim, &residents) || !all_known(sim, &newcomers))
        sim_violation(sim, "honest nodes had to give way");
}

/* ---- A full directory ---- */

#define FILLED_CROWD                                                                               \
    3000 /* enough to make every node publish once in two minutes, if it counted                   \
            \ */
#define FILLED_WAVES 5
#define FILLED_KILLED 2 /* in each wave; those of the wave before start again */
#define FILLED_WAVE_US US_PER_MINUTE
#define FILLED_SETTLED_US (15 * US_PER_S)
#define FILLED_PUSHES 20
#define FILLED_SEEN 0.98 /* of the links a minute after each wave */

/* Which share of the links of all honest nodes stand in one's topology. */
static double links_seen_by(const struct sim *sim, unsigned member, unsigned who) {
    struct topology *topology = directory_topology(sim->hosts[who].node->directory);
    uint64_t prefixes[TOPOLOGY_DEGREE_MAX + 2];
    unsigned seen = 0, all = 0;

    for (unsigned host = 0; host < sim->n_hosts; host++) {
        const struct node *node = sim->hosts[host].node;
        if (host == member || host == who || !node)
            continue;
        size_t n = node_neighbours(node, prefixes);
        for (size_t i = 0; i < n; i++)
            seen += topology_has_link(topology, node_id_prefix(node_id(node)), prefixes[i]);
        all += (unsigned)n;
    }
    return all > 0 ? (double)seen / all : 1;
}

static double links_seen(const struct sim *sim, unsigned member) {
    double sum = 0;
    unsigned n = 0;

    for (unsigned who = 0; who < sim->n_hosts; who++)
        if (who != member && sim->hosts[who].node) {
            sum += links_seen_by(sim, member, who);
            n++;
        }
    return sum / n;
}

static unsigned live_honest_host(struct sim *sim) {
    unsigned host;
    do
        host = sim_honest_host(sim);
    while (!sim->hosts[host].node);
    return host;
}

static void fill_directories(struct sim *sim, unsigned member) {
    for (unsigned k = 0; k < FILLED_CROWD; k += 10) {
        adversary_gossip(sim, member, 10);
        sim_run(sim, FLOOD_EACH_US);
    }
    adversary_keep(sim->hosts[member].adversary, 0);
    sim_run(sim, 30 * US_PER_S); /* what the beginning has left of tokens is used up by the waves */
}

/* One member brings thousands of identities that no links lead to, and is quiet from then on.
 * Honest nodes die and come back: the others must hear of their links as soon as without that
 * crowd. */
void scenario_filled(struct sim *sim) {
    unsigned member = sim_some_host(sim), next = 0, down[FILLED_KILLED];
    double seen = 0;

    sim->hosts[member].adversary = adversary_new(sim, HABIT_PUBLISHES);
    adversary_crowd(sim->hosts[member].adversary, FILLED_CROWD);
    sim_start_some(sim, 0, sim->n_hosts);
    sim_must_form(sim);
    fill_directories(sim, member);
    for (unsigned wave = 0; wave < FILLED_WAVES; wave++) {
        for (unsigned i = 0; i < FILLED_KILLED; i++) {
            if (wave > 0)
                sim_start(sim, down[i], &sim->hosts[0].address, 1);
            do
                next = next % (sim->n_hosts - 1) + 1;
            while (next == member || !sim->hosts[next].node);
            sim_crash(sim, down[i] = next);
        }
        sim_run(sim, FILLED_SETTLED_US);
        double soon = links_seen(sim, member);
        for (unsigned i = 0; i < FILLED_PUSHES; i++)
            sim_push(sim, live_honest_host(sim), live_honest_host(sim), "churn", 5);
        sim_run(sim, FILLED_WAVE_US - FILLED_SETTLED_US);
        double late = links_seen(sim, member);
        seen += late / FILLED_WAVES;
        if (sim->verbose)
            printf("# wave %u: %.0f%% of the links are seen after 15 s, %.0f%% after 60 s\n", wave,
                   100 * soon, 100 * late);
        if (!sim_all_delivered(sim, NULL))
            sim_violation(sim, "messages of wave %u have not arrived", wave);
    }
    if (seen < FILLED_SEEN)
        sim_violation(sim, "nodes see %.0f%% of each other's links a minute after changes",
                      100 * seen);
}
