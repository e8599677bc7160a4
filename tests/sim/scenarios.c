#include "tests/sim/scenarios.h"

#include "daemon/io/system/workers.h"
#include "tests/sim/chaos.h"
#include "tests/sim/scenario_links.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define FORM_US (60 * US_PER_S)    /* a network must have formed by then */
#define DELIVER_US (60 * US_PER_S) /* faults over: everything accepted has arrived by then */

static void say(const struct sim *sim, const char *what) {
    if (sim->verbose)
        printf("# %8.3f s: %s\n", (double)sim->now_us / 1e6, what);
}

/* ---- Building blocks ---- */

static void start_all(struct sim *sim) {
    for (unsigned i = 0; i < sim->n_hosts; i++)
        sim_start(sim, i, &sim->hosts[0].address, i > 0);
}

static unsigned count_live(const struct sim *sim) {
    unsigned n = 0;
    for (unsigned i = 0; i < sim->n_hosts; i++)
        n += sim->hosts[i].node != NULL;
    return n;
}

static bool is_connected(struct sim *sim, void *unused) {
    (void)unused;
    return sim_components(sim) <= 1;
}

static bool is_whole(struct sim *sim, void *unused) {
    return sim_all_know_all(sim, unused) && sim_components(sim) == 1;
}

static void must_form(struct sim *sim, int64_t within_us) {
    if (!sim_await(sim, within_us, is_whole, NULL))
        sim_violation(sim, "%u nodes did not form one network that knows itself (%u pieces)",
                      count_live(sim), sim_components(sim));
    say(sim, "one network, all know all");
}

static unsigned live_host(struct sim *sim) {
    unsigned i;
    do
        i = (unsigned)sim_below(sim, sim->n_hosts);
    while (!sim->hosts[i].node);
    return i;
}

static void push_random(struct sim *sim, unsigned from, unsigned to, uint32_t size_max) {
    uint32_t size = (uint32_t)sim_below(sim, size_max + 1);
    uint8_t *body = malloc(size + 1);
    if (!body)
        abort();
    for (uint32_t i = 0; i < size; i++)
        body[i] = (uint8_t)(i * 7 + size);
    sim_push(sim, from, to, body, size);
    free(body);
}

static void push_between_live(struct sim *sim, unsigned n, uint32_t size_max) {
    for (unsigned k = 0; k < n; k++) {
        unsigned from = live_host(sim), to = live_host(sim);
        push_random(sim, from, to, size_max);
        sim_run(sim, (int64_t)sim_below(sim, 20 * US_PER_MS));
    }
}

static void must_deliver(struct sim *sim, int64_t within_us) {
    if (!sim_await(sim, within_us, sim_all_delivered, NULL)) {
        unsigned open = 0;
        for (size_t i = 0; i < sim->n_pushes; i++)
            open += sim->pushes[i].accepted && !sim->pushes[i].orphan &&
                    !message_state_is_final(sim->pushes[i].state);
        sim_violation(sim, "%u of %zu messages not delivered in time", open, sim->n_pushes);
    }
    unsigned accepted = 0;
    for (size_t i = 0; i < sim->n_pushes; i++)
        accepted += sim->pushes[i].accepted;
    if (accepted <
        sim->n_pushes / 3) /* a disk may be full, a client's node may die: not most of them */
        sim_violation(sim, "only %u of %zu messages were accepted", accepted, sim->n_pushes);
    say(sim, "everything delivered");
    sim_check_messages(sim, true);
}

/* ---- Scenarios ---- */

static void run_boot(struct sim *sim) {
    start_all(sim);
    must_form(sim, FORM_US);
    for (unsigned i = 0; i < sim->n_hosts; i++)
        for (unsigned j = 0; j < sim->n_hosts && sim->n_hosts <= 12; j++)
            push_random(sim, i, j, 100);
    push_between_live(sim, 50, 500);
    must_deliver(sim, DELIVER_US);
}

static void run_pushes(struct sim *sim) {
    start_all(sim);
    must_form(sim, FORM_US);
    push_between_live(sim, 200, 4000);
    must_deliver(sim, DELIVER_US);
}

static void run_lossy(struct sim *sim) {
    sim->network.loss = 0.05 + 0.05 * (double)sim_below(sim, 6); /* to 30% a hop */
    sim->network.duplicate = 0.05;
    sim->network.corrupt = 0.01;
    sim->network.delay_max_us = 100 * US_PER_MS;
    start_all(sim);
    must_form(sim, 4 * FORM_US);
    push_between_live(sim, 40, 3000);
    must_deliver(sim, 10 * DELIVER_US);
}

/* Nobody uses a path again, which the watch sees to. */
static void run_fresh(struct sim *sim) {
    static const uint8_t body[200000];
    for (unsigned i = 0; i < sim->n_hosts; i++)
        sim->hosts[i].config.route_reuse = false;
    sim->network.loss = 0.01;
    start_all(sim);
    must_form(sim, FORM_US);
    sim_push(sim, 1, 0, body, sizeof body);
    push_between_live(sim, 100, 3000);
    must_deliver(sim, 2 * DELIVER_US);
}

static void run_large(struct sim *sim) {
    sim->network.loss = 0.02;
    start_all(sim);
    must_form(sim, FORM_US);
    static uint8_t body[1 << 20];
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)(i >> 8 ^ i);
    sim_push(sim, 1, 0, body, sizeof body);
    sim_push(sim, 1, 0, body, 65536);
    sim_push(sim, 1, 0, body, 65537);
    push_between_live(sim, 10, 100);
    must_deliver(sim, 10 * DELIVER_US);
}

static void run_partition(struct sim *sim) {
    start_all(sim);
    must_form(sim, FORM_US);
    for (unsigned i = 0; i < sim->n_hosts; i++)
        sim->hosts[i].side = i % 2;
    say(sim, "partitioned");
    push_between_live(sim, 20, 200); /* half of them across: they wait */
    sim_run(sim, 60 * US_PER_S);
    for (unsigned i = 0; i < sim->n_hosts; i++)
        sim->hosts[i].side = 0;
    say(sim, "healed");
    must_form(sim, FORM_US);
    must_deliver(sim, 6 * DELIVER_US);
}

static void run_crashes(struct sim *sim) {
    sim->network.loss = 0.02;
    start_all(sim);
    must_form(sim, FORM_US);
    for (unsigned round = 0; round < 20; round++) {
        push_between_live(sim, 5, 2000);
        unsigned victim = live_host(sim);
        sim_crash(sim, victim);
        sim_run(sim, (int64_t)sim_below(sim, 5 * US_PER_S));
        sim_start(sim, victim, NULL, 0); /* by what its disk knows */
        sim_run(sim, (int64_t)sim_below(sim, US_PER_S));
    }
    sim->network.loss = 0;
    /* A crashed client is told nothing more: what counts is what arrived. */
    sim_run(sim, 6 * DELIVER_US);
    sim_check_messages(sim, true);
}

static void run_restart(struct sim *sim) {
    start_all(sim);
    must_form(sim, FORM_US);
    sim_run(sim, 20 * US_PER_S); /* spares reach the disk */
    for (unsigned i = 0; i < sim->n_hosts; i++)
        i % 3 == 0 ? sim_leave(sim, i) : sim_crash(sim, i);
    say(sim, "all down");
    sim_run(sim, 5 * US_PER_S);
    for (unsigned i = 0; i < sim->n_hosts; i++)
        sim_start(sim, i, NULL, 0);
    must_form(sim, 2 * FORM_US);
    push_between_live(sim, 20, 200);
    must_deliver(sim, DELIVER_US);
}

static void run_clock(struct sim *sim) {
    unsigned wrong = 1 + (unsigned)sim_below(sim, sim->n_hosts - 1);
    int64_t off = 10 * US_PER_MINUTE;
    sim->hosts[wrong].skew_us = sim_chance(sim, 0.5) ? off : -off;
    for (unsigned i = 0; i < sim->n_hosts; i++)
        if (i != wrong)
            sim->hosts[i].skew_us = (int64_t)sim_below(sim, 60 * US_PER_S) - 30 * US_PER_S;
    for (unsigned i = 0; i < sim->n_hosts; i++)
        if (i != wrong)
            sim_start(sim, i, &sim->hosts[0].address, i > 0);
    sim_run(sim, 20 * US_PER_S);
    sim_start(sim, wrong, &sim->hosts[0].address, 1);
    say(sim, "the one with the wrong clock starts");
#ifdef DBG
    for (int k = 0; k < 30; k++) {
        struct status_report st;
        sim_run(sim, US_PER_S);
        node_status(sim->hosts[wrong].node, (struct mono){sim->now_us}, &st);
        printf(
            "t=%lld neighbours %u nodes %zu offset %lld drops:", (long long)sim->now_us / 1000000,
            st.pool_neighbours, st.directory_nodes, (long long)st.clock_offset_us);
        for (int d = 0; d < DROP_COUNT; d++)
            printf(" %llu", (unsigned long long)st.counters.drops[d]);
        node_status(sim->hosts[0].node, (struct mono){sim->now_us}, &st);
        printf(" host0 nb %u nodes %zu drops:", st.pool_neighbours, st.directory_nodes);
        for (int d = 0; d < DROP_COUNT; d++)
            printf(" %llu", (unsigned long long)st.counters.drops[d]);
        puts("");
    }
#endif
    must_form(sim, FORM_US);
    sim_run(sim, 5 * US_PER_S);
    push_random(sim, wrong, (wrong + 1) % sim->n_hosts, 100);
    push_random(sim, (wrong + 1) % sim->n_hosts, wrong, 100);
    must_deliver(sim, DELIVER_US);
}

/* Somebody sets a machine's clock while its node runs, by hours: delivery goes on at once, to it
 * and from it. */
static void run_step(struct sim *sim) {
    start_all(sim);
    must_form(sim, FORM_US);
    unsigned i = 1 + (unsigned)sim_below(sim, sim->n_hosts - 1), other = (i + 1) % sim->n_hosts;
    for (unsigned k = 0; k < 2; k++) {
        sim->hosts[i].skew_us += k == 0 ? 5 * US_PER_HOUR : -7 * US_PER_HOUR;
        say(sim, "a clock is set");
        sim_run(sim, 5 * US_PER_S);
        push_random(sim, i, other, 2000);
        push_random(sim, other, i, 2000);
        must_deliver(sim, DELIVER_US);
        sim_run(sim, 60 * US_PER_S);
    }
    must_form(sim, FORM_US);
}

static void run_offline(struct sim *sim) {
    start_all(sim);
    must_form(sim, FORM_US);
    unsigned away = 1 + (unsigned)sim_below(sim, sim->n_hosts - 1),
             from = (away + 1) % sim->n_hosts;
    push_random(sim, from, away, 100);
    must_deliver(sim, DELIVER_US);
    sim_crash(sim, away);
    push_random(sim, from, away, 100);
    push_random(sim, from, away, 70000);
    sim_run(sim, 100 * US_PER_S);
    sim_start(sim, away, NULL, 0);
    say(sim, "back");
    must_deliver(sim, 2 * DELIVER_US);
}

static void run_store(struct sim *sim) {
    start_all(sim);
    must_form(sim, FORM_US);
    for (unsigned round = 0; round < 30; round++) {
        model_store_fail(sim->hosts[live_host(sim)].store, 0, 1 + (unsigned)sim_below(sim, 5),
                         -ENOSPC);
        push_between_live(sim, 3, 1000);
        sim_run(sim, (int64_t)sim_below(sim, US_PER_S));
    }
    must_deliver(sim, 10 * DELIVER_US);
}

/* A node whose clock is ahead publishes, and its disk keeps nothing of it: in its next life, with a
 * clock set right, it has to go beyond what the others hold of it. */
static void run_forgetful(struct sim *sim) {
    unsigned i = 1 + (unsigned)sim_below(sim, sim->n_hosts - 1), other = (i + 1) % sim->n_hosts;
    sim->hosts[i].skew_us = (int64_t)(60 + sim_below(sim, 60)) * US_PER_S;
    model_store_fail(sim->hosts[i].store, 0, UINT32_MAX, -EIO);
    start_all(sim);
    must_form(sim, FORM_US);
    sim_run(sim, 5 * US_PER_S);
    sim_crash(sim, i);
    sim->hosts[i].skew_us = 0;
    model_store_fail(sim->hosts[i].store, 0, 0, 0);
    sim_start(sim, i, &sim->hosts[0].address, i > 0);
    say(sim, "back, and it knows nothing of its former life");
    sim_run(sim, 5 * US_PER_S);
    push_random(sim, other, i, 2000);
    push_random(sim, i, other, 2000);
    must_deliver(sim, DELIVER_US);
}

/* A full network and newcomers one after the other: each is let in, nobody falls out. */
static void run_join(struct sim *sim) {
    unsigned first = sim->n_hosts / 2;
    for (unsigned i = 0; i < sim->n_hosts; i++) {
        sim->hosts[i].config.pool_min = 4;
        sim->hosts[i].config.pool_max = 6;
    }
    for (unsigned i = 0; i < first; i++)
        sim_start(sim, i, &sim->hosts[0].address, i > 0);
    must_form(sim, FORM_US);
    for (unsigned i = first; i < sim->n_hosts; i++) {
        sim_start(sim, i, &sim->hosts[sim_below(sim, first)].address, 1);
        sim_run(sim, 3 * US_PER_S);
    }
    must_form(sim, FORM_US);
    uint64_t prefixes[TOPOLOGY_DEGREE_MAX + 2];
    sim_run(sim, 30 * US_PER_S);
    for (unsigned i = 0; i < sim->n_hosts; i++)
        if (node_neighbours(sim->hosts[i].node, prefixes) < 2)
            sim_violation(sim, "host %u was left with %zu neighbours", i,
                          node_neighbours(sim->hosts[i].node, prefixes));
}

static void run_determinism(struct sim *sim) {
    uint64_t traces[2];
    for (unsigned k = 0; k < 2; k++) {
        struct sim *twin = sim_new(sim->seed, sim->n_hosts);
        twin->network.loss = 0.1;
        start_all(twin);
        sim_run(twin, 10 * US_PER_S);
        push_between_live(twin, 20, 2000);
        sim_run(twin, 10 * US_PER_S);
        traces[k] = twin->trace;
        sim->datagrams += twin->datagrams;
        sim_free(twin);
    }
    if (traces[0] != traces[1])
        sim_violation(sim, "the same seed gave two traces, %016llx and %016llx",
                      (unsigned long long)traces[0], (unsigned long long)traces[1]);
}

/* However many threads a node has, it does the same: bursts of traffic, computed by one and by
 * four. */
static void run_threads(struct sim *sim) {
    struct workers *workers = workers_new(4);
    struct workers_counters counters;
    uint64_t traces[2];
    for (unsigned k = 0; k < 2; k++) {
        struct sim *twin = sim_new(sim->seed, sim->n_hosts);
        twin->network.loss = 0.02;
        twin->network.gather_us = 5 * US_PER_MS;
        for (unsigned i = 0; k > 0 && i < twin->n_hosts; i++)
            twin->hosts[i].config.compute = workers_compute(workers);
        start_all(twin);
        sim_run(twin, 10 * US_PER_S);
        for (unsigned i = 0; i < 8; i++)
            push_random(twin, live_host(twin), live_host(twin), 300000);
        push_between_live(twin, 20, 2000);
        must_deliver(twin, DELIVER_US);
        traces[k] = twin->trace;
        sim->datagrams += twin->datagrams;
        sim->violations += twin->violations;
        sim_free(twin);
    }
    workers_counters(workers, &counters);
    workers_free(workers);
    if (traces[0] != traces[1])
        sim_violation(sim, "one thread gave the trace %016llx, four %016llx",
                      (unsigned long long)traces[0], (unsigned long long)traces[1]);
    if (counters.calls == 0)
        sim_violation(sim, "nothing was ever shared among the threads");
}

/* The same of a chaos: whatever it draws, it draws from its seed. */
static void run_replay(struct sim *sim) {
    uint64_t traces[2];
    for (unsigned k = 0; k < 2; k++) {
        struct sim *twin = sim_new(sim->seed, sim->n_hosts);
        chaos_run(twin);
        traces[k] = twin->trace;
        sim->violations += twin->violations;
        sim_free(twin);
    }
    sim->trace = traces[0];
    if (traces[0] != traces[1])
        sim_violation(sim, "the same seed gave two traces, %016llx and %016llx",
                      (unsigned long long)traces[0], (unsigned long long)traces[1]);
}

static void kill_share(struct sim *sim, double share) {
    unsigned live = count_live(sim), kill = (unsigned)(share * live);
    for (; kill > 0; kill--)
        sim_crash(sim, live_host(sim));
    if (sim->verbose)
        printf("# %8.3f s: %u of %u survive, in %u pieces\n", (double)sim->now_us / 1e6,
               count_live(sim), live, sim_components(sim));
}

static bool pools_are_filled(struct sim *sim, void *unused) {
    uint64_t prefixes[TOPOLOGY_DEGREE_MAX + 2];
    (void)unused;
    for (unsigned i = 0; i < sim->n_hosts; i++)
        if (sim->hosts[i].node && node_neighbours(sim->hosts[i].node, prefixes) < 4)
            return false;
    return true;
}

/* Everybody at once from one address; half of them die; nine tenths of the rest die. */
static void run_shrink(struct sim *sim) {
    start_all(sim);
    must_form(sim, 3 * FORM_US);
    push_between_live(sim, 50, 300);
    must_deliver(sim, DELIVER_US);
    static const double shares[] = {0.5, 0.9};
    for (unsigned k = 0; k < 2; k++) {
        kill_share(sim, shares[k]);
        if (!sim_await(sim, FORM_US, is_connected, NULL))
            sim_violation(sim, "the survivors are in %u pieces", sim_components(sim));
        if (!sim_await(sim, FORM_US, pools_are_filled, NULL))
            sim_violation(sim, "not every pool is back at its minimum");
        say(sim, "pools are filled again");
        for (unsigned i = 0; i < 30; i++)
            push_random(sim, live_host(sim), live_host(sim), 300);
        must_deliver(sim, DELIVER_US);
    }
}

const struct scenario scenarios[] = {
    {"boot", "all start at once from one address; messages between all", run_boot},
    {"pushes", "many messages between random pairs", run_pushes},
    {"lossy", "5 to 30% loss a hop, duplicates, reordering, corruption", run_lossy},
    {"fresh", "a fresh path for every packet", run_fresh},
    {"large", "1 MiB and the sizes around a block, 2% loss", run_large},
    {"bulk", "a long transfer over slow lines, and a short message meanwhile", scenario_bulk},
    {"bulk-clean", "the same without loss", scenario_bulk_clean},
    {"bulk-lossy", "the same with 5% loss a hop", scenario_bulk_lossy},
    {"bulk-bad", "the same with 10% loss a hop", scenario_bulk_bad},
    {"bulk-limiter", "over a line that drops beyond its rate", scenario_bulk_limiter},
    {"files", "files under 10% loss, crashes and failing disks", scenario_files},
    {"partition", "two halves for a minute, then one network again", run_partition},
    {"crashes", "kill -9 and restart under load", run_crashes},
    {"restart", "all stop; they find each other again by what is on disk", run_restart},
    {"clock", "one clock 10 minutes off, the others up to 30 s", run_clock},
    {"step", "a running node's clock is set 5 h on, then 7 h back", run_step},
    {"offline", "messages for one who is away", run_offline},
    {"store", "disks that fail now and then", run_store},
    {"forgetful", "a node that has forgotten what it published last", run_forgetful},
    {"join", "newcomers to a full network", run_join},
    {"growth", "what a network costs to form, to keep and to join", scenario_growth},
    {"determinism", "the same seed gives the same trace", run_determinism},
    {"threads", "four threads give the trace that one does", run_threads},
    {"mailbox", "messages wait with third nodes while both ends are away", run_mailbox},
    {"full", "what waits with third nodes comes back to a full inbox", run_mailbox_full},
    {"spoofed", "a flood of handshakes in the name of one that wants to get in", scenario_spoofed},
    {"scattered", "a flood of new paths through honest nodes to one of them", scenario_scattered},
    {"evicted", "a flood of new paths with two packets each", scenario_evicted},
    {"movers", "a newcomer, beside links that move to and fro", scenario_movers},
    {"older", "a newcomer that is told of older versions of all honest relays", scenario_older},
    {"padded", "parcels of padding alone", scenario_padded},
    {"remailed", "a mailbox that brings its mail again a day later", scenario_remailed},
    {"replay", "a chaos twice: the same trace", run_replay},
    {"shrink", "half die, then nine tenths of the rest", run_shrink},
    {"addresses", "messages by address, while others claim and confirm what is not so",
     scenario_addresses},
    {"ports", "messages to IPs of which others claim ports", scenario_ports},
    {"translator", "messages to the address of a node behind a translator", scenario_translator},
    {"equivocation", "a relay that gives every neighbour another key", scenario_equivocation},
    {"handed", "a relay whose handshakes carry another key for everybody", scenario_handed},
    {"leaps", "a relay that tells each neighbour of another version", scenario_leaps},
    {"succession", "a relay that changes its key all the time", scenario_succession},
    {"guard", "a guard that changes its keys while its node has something to send", scenario_guard},
    {"framed", "a node whose only neighbour moves its clock to and fro", scenario_framed},
    {"versions", "a member whose identities publish without end", scenario_versions},
    {"proofs", "a member that proves its identities to be false without end", scenario_proofs},
    {"wants", "a member that asks for descriptors without end", scenario_wants},
    {"crowd", "a member with more identities than a directory holds", scenario_crowd},
    {"filled", "a member whose identities fill every directory, while others come and go",
     scenario_filled},
    {"promises", "members that begin many long messages and finish none", scenario_promises},
    {"crossing", "pairs that dial each other at once", scenario_crossing},
    {"clocks", "a clock days or decades off while messages are queued, then set right",
     scenario_clocks},
    {"relay-dies", "a relay dies, and the next message is pushed at once", scenario_relay},
    {"golden-join", "prints the join of 3 nodes: tests/sim/golden", golden_join},
    {"golden-push", "prints a push over 3 relays, of 5 nodes: tests/sim/golden", golden_push},
    {"chaos", "all faults at once, and malicious nodes: drawn from the seed", chaos_run},
    {NULL, NULL, NULL},
};
