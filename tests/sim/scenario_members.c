/* Hostile members, one habit at a time, and what must hold beside them. Each of these once
 * worked. */
#include "tests/sim/scenarios.h"

#include "daemon/core/node/node_private.h"
#include "tests/sim/adversary.h"
#include "tests/sim/watch.h"

#include <stdio.h>

#define HOSTILE 2u /* neither the first, whom all are told of, nor the last */
#define FORM_US (60 * US_PER_S)
#define KEPT_BYTES (DROPLIST_KEPT_BYTES / 64) /* of a drop list, and so many entries of it: */
#define KEPT_ENTRIES (1u << 14)

static bool is_whole(struct sim *sim, void *unused) {
    (void)unused;
    for (unsigned i = 0; i < sim->n_hosts; i++)
        for (unsigned j = 0; j < sim->n_hosts; j++)
            if (sim->hosts[i].node && sim->hosts[j].node && i != j &&
                !directory_find(sim->hosts[i].node->directory, node_id(sim->hosts[j].node)))
                return false;
    return sim_components(sim) == 1;
}

/* A network of the first `n`, one of them hostile. */
static void form(struct sim *sim, unsigned n, unsigned habits) {
    sim->hosts[HOSTILE].adversary = adversary_new(sim, habits);
    for (unsigned i = 0; i < n; i++) {
        sim_start(sim, i, &sim->hosts[0].address, i > 0);
        if (habits & HABIT_PAIRS)
            droplist_keep_fewer(sim->hosts[i].node->droplist, KEPT_BYTES);
    }
    if (!sim_await(sim, FORM_US, is_whole, NULL))
        sim_violation(sim, "no network formed");
}

/* So many times a second, for so long. */
static void go_on(struct sim *sim, int64_t for_us, unsigned a_second) {
    unsigned habits = adversary_habits(sim->hosts[HOSTILE].adversary);
    for (int64_t until = sim->now_us + for_us; sim->now_us < until;
         sim_run(sim, US_PER_S / a_second))
        adversary_go_on(sim, HOSTILE, habits, 1);
}

static void push(struct sim *sim, unsigned from, unsigned to, uint32_t size) {
    static uint8_t body[1000];
    sim_push(sim, from, to, body, size);
}

/* ---- In another's name ---- */

/* A hundred first messages a second with the last host's address to the only node that it knows. */
void scenario_spoofed(struct sim *sim) {
    unsigned last = sim->n_hosts - 1;
    uint64_t prefixes[TOPOLOGY_DEGREE_MAX + 2];

    form(sim, last, HABIT_SPOOFS);
    adversary_aim(sim->hosts[HOSTILE].adversary, last, 0);
    go_on(sim, (int64_t)(8 + sim_below(sim, 5)) * US_PER_S, 100);
    sim_start(sim, last, &sim->hosts[0].address, 1);
    int64_t began = sim->now_us;
    while (node_neighbours(sim->hosts[last].node, prefixes) == 0 &&
           sim->now_us - began < 10 * US_PER_S)
        go_on(sim, US_PER_S / 10, 100);
    if (node_neighbours(sim->hosts[last].node, prefixes) == 0)
        sim_violation(sim, "it was kept out by what others sent in its name");
    if (sim->verbose)
        printf("# it was in after %lld ms\n", (long long)(sim->now_us - began) / 1000);
}

/* ---- New paths ---- */

#define ENTRIES                                                                                    \
    (1u << 14)     /* of a drop list: a flood need be no larger than that in some minutes          \
                      \ */
#define SCATTER 60 /* a second */

static bool is_away(const struct sim *sim, unsigned i, unsigned aim) {
    return i == aim || i == HOSTILE || !sim->hosts[i].node;
}

/* Two thirds of the new paths between any of its neighbours and the aim were refused. The hostile
 * one relays for nobody: who goes by way of it shares its fate. */
void scenario_scattered(struct sim *sim) {
    unsigned aim = sim->n_hosts - 1, from = 0;

    for (unsigned i = 0; i < sim->n_hosts; i++) {
        sim->hosts[i].config.droplist_entries = ENTRIES;
        sim->hosts[i].config.route_reuse = false;
    }
    sim->hosts[HOSTILE].config.relay = false;
    form(sim, sim->n_hosts, HABIT_SCATTERS);
    adversary_aim(sim->hosts[HOSTILE].adversary, aim, aim);
    go_on(sim, 6 * US_PER_MINUTE, SCATTER);
    struct watch_tally *tally = watch_follow(sim, node_id_prefix(node_id(sim->hosts[aim].node)));
    for (unsigned k = 0; k < 240; k++) {
        do
            from = (from + 1) % sim->n_hosts;
        while (is_away(sim, from, aim));
        push(sim, from, aim, 100);
        go_on(sim, US_PER_S, SCATTER);
    }
    if (sim->verbose)
        printf("# %llu honest packets to it, %llu arrived\n", (unsigned long long)tally->begun,
               (unsigned long long)tally->arrived);
    if (tally->begun < 200 || tally->arrived * 100 < tally->begun * 97)
        sim_violation(sim, "of %llu honest packets to it %llu arrived",
                      (unsigned long long)tally->begun, (unsigned long long)tally->arrived);
    sim_check_messages(sim, false);
}

#define PAIRS 25 /* paths a second to every neighbour: in real scale 64 times as many */
#define FILL_US (5 * US_PER_MINUTE)
#define TALK_US (250 * US_PER_MS) /* between two messages: the path is kept */
#define TALKS 40
#define SOON_US (200 * US_PER_MS)

/* Paths to everybody, whoever is next. */
static void scatter_for(struct sim *sim, int64_t us) {
    for (int64_t until = sim->now_us + us; sim->now_us < until; sim_run(sim, US_PER_S / PAIRS)) {
        adversary_aim(sim->hosts[HOSTILE].adversary, 0, (unsigned)sim_below(sim, sim->n_hosts));
        adversary_go_on(sim, HOSTILE, HABIT_SCATTERS, 1);
    }
}

/* Two messages each, one shortly after the other. How many of the second ones come late? */
static unsigned talk(struct sim *sim) {
    size_t first = sim->n_pushes;
    unsigned late = 0;

    for (unsigned k = 0; k < TALKS; k++) {
        unsigned from = (unsigned)sim_below(sim, sim->n_hosts), to;
        do
            to = (unsigned)sim_below(sim, sim->n_hosts);
        while (to == from || to == HOSTILE);
        for (unsigned i = 0; i < 2; i++) {
            push(sim, from == HOSTILE ? (to + 1) % sim->n_hosts : from, to, 100);
            scatter_for(sim, TALK_US);
        }
    }
    scatter_for(sim, 10 * US_PER_S);
    for (size_t i = first + 1; i < sim->n_pushes; i += 2)
        late += sim->pushes[i].delivered_us <= 0 ||
                sim->pushes[i].delivered_us - sim->pushes[i].pushed_us > SOON_US;
    return late;
}

/* Two packets on each of so many paths that every node's kept entries are full: honest paths that
 * have had one are not forgotten first. */
void scenario_evicted(struct sim *sim) {
    struct droplist_stats stats;
    size_t kept = 0;

    for (unsigned i = 0; i < sim->n_hosts; i++)
        sim->hosts[i].config.droplist_entries = KEPT_ENTRIES;
    sim->hosts[HOSTILE].config.relay = false;
    form(sim, sim->n_hosts, HABIT_SCATTERS | HABIT_PAIRS);
    scatter_for(sim, FILL_US);
    for (unsigned i = 0; i < sim->n_hosts; i++) {
        droplist_stats(sim->hosts[i].node->droplist, &stats);
        kept += stats.kept;
    }
    unsigned late = talk(sim);
    if (sim->verbose)
        printf("# %zu ephs kept a node; of %u second messages %u came late\n", kept / sim->n_hosts,
               TALKS, late);
    if (late > TALKS / 5)
        sim_violation(sim, "of %u second messages on a path %u came late", TALKS, late);
    sim_check_messages(sim, true);
}

/* ---- Padding ---- */

void scenario_padded(struct sim *sim) {
    form(sim, sim->n_hosts, HABIT_PADS);
    for (unsigned k = 0; k < 30; k++) {
        push(sim, 0, 1, 200);
        go_on(sim, US_PER_S, 20);
    }
    sim_run(sim, US_PER_MINUTE);
    for (unsigned i = 0; i < sim->n_hosts; i++)
        if (i != HOSTILE && sim->hosts[i].node->budget.held[BUDGET_INBOX] > 0)
            sim_violation(sim, "host %u goes on holding %zu bytes of parcels", i,
                          sim->hosts[i].node->budget.held[BUDGET_INBOX]);
    sim_check_messages(sim, true);
}

/* ---- Mail ---- */

#define SENDER 0u
#define RECIPIENT 1u
#define EXPIRE_US US_PER_HOUR

static bool is_final(struct sim *sim, void *unused) {
    (void)unused;
    return message_state_is_final(sim->pushes[0].state);
}

/* A client that takes what is there: the tombstone alone is left. */
static void take_all(struct sim *sim) {
    struct request pull = {.client = UINT64_C(1) << 41, .kind = REQUEST_PULL};
    struct request confirm = {.client = pull.client, .kind = REQUEST_CONFIRM};
    pull.pull.from_any = true;
    sim->pushes[0].state = MESSAGE_EXPIRED; /* nobody is to miss it */
    sim_request(sim, RECIPIENT, &pull);
    sim_run(sim, 5 * US_PER_S);
    sim_request(sim, RECIPIENT, &confirm);
    sim_run(sim, 5 * US_PER_S);
}

/* What it kept of a message that its sender gave up after an hour, again and again, until its
 * tombstone has gone and beyond. */
void scenario_remailed(struct sim *sim) {
    for (unsigned i = 0; i < sim->n_hosts; i++) { /* a day and a half of idle links is long */
        sim->hosts[i].config.link_heartbeat_us = US_PER_MINUTE;
        sim->hosts[i].config.link_timeout_us = 4 * US_PER_MINUTE;
        sim->hosts[i].config.mailbox_use = 1;
    }
    sim->hosts[HOSTILE].config.mailbox_size = UINT64_C(1) << 20;
    sim->hosts[SENDER].config.delivery_expire_us = EXPIRE_US;
    sim->hosts[RECIPIENT].config.store_retention_us = 0;
    form(sim, sim->n_hosts, HABIT_REMAILS);
    sim_run(sim, 2 * US_PER_MINUTE); /* mailboxes are chosen, and published */
    sim_crash(sim, RECIPIENT);
    push(sim, SENDER, RECIPIENT, 100);
    sim_run(sim, 10 * US_PER_MINUTE);
    sim_start(sim, RECIPIENT, &sim->hosts[0].address, 1);
    if (!sim_await(sim, 20 * US_PER_MINUTE, is_final, NULL))
        sim_violation(sim, "the message did not arrive");
    take_all(sim);
    for (unsigned hour = 0; hour < 30; hour++) {
        adversary_go_on(sim, HOSTILE, HABIT_REMAILS, 1);
        sim_run(sim, US_PER_HOUR);
    }
    uint64_t times = inbox_counters(sim->hosts[RECIPIENT].node->inbox)->messages_received;
    if (times != 1)
        sim_violation(sim, "it was received %llu times", (unsigned long long)times);
}
