#include "tests/sim/chaos.h"

#include "tests/sim/adversary.h"
#include "tests/sim/nat.h"
#include "tests/sim/properties.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PUBLIC_FIRST                                                                               \
    2 /* hosts that every other one is told of: neither malicious nor behind a box */
#define SKEW_US (90 * US_PER_S)
#define REJOIN_US (60 * US_PER_S)
#define AGREE_US (3 * US_PER_MINUTE)    /* digests come once a minute */
#define DELIVER_US (10 * US_PER_MINUTE) /* resending backs off to 5 min */
#define EXPIRE_US                                                                                  \
    (40 * US_PER_MINUTE)   /* where somebody goes on dropping: everything has to be over then */
#define ADVERSARIES_MAX 15 /* of 60: in larger networks they only take time */
#define LARGE 60           /* nodes beyond which a second of mischief is dear */
#define ASK_US (200 * US_PER_MS)

enum mischief {
    MISCHIEF_PUSH,
    MISCHIEF_PULL,
    MISCHIEF_CRASH,
    MISCHIEF_POWER_CUT, /* of a quarter of all */
    MISCHIEF_LEAVE,
    MISCHIEF_RESTART,
    MISCHIEF_PARTITION,
    MISCHIEF_HEAL,
    MISCHIEF_DISK,
    MISCHIEF_CLOCK,
    MISCHIEF_BOX,
    MISCHIEF_ADVERSARY,
    MISCHIEF_WEATHER,
    MISCHIEFS
};
struct chaos {
    struct sim *sim;
    struct clients *clients;
    bool *gone; /* for good */
    unsigned boxes;
    unsigned kept; /* habits that adversaries keep when all else is calm */
    unsigned weights[MISCHIEFS];
    int64_t pause_us; /* between two of them, twice the mean */
    struct sim_network weather;
};

unsigned chaos_nodes(uint64_t seed) {
    uint64_t draw = (seed * UINT64_C(0x9e3779b97f4a7c15) >> 32) % 1000; /* small ones more often */
    return 5 + (unsigned)(56 * draw * draw / 1000000);
}

static double fraction(struct sim *sim) {
    return (double)sim_below(sim, 1u << 20) / (double)(1u << 20);
}

static void tell(const struct sim *sim, const char *what, unsigned n) {
    if (sim->verbose)
        printf("# %8.3f s: %s %u\n", (double)sim->now_us / 1e6, what, n);
}

/* ---- What a seed has in store ---- */

static void draw_weather(struct chaos *chaos) {
    struct sim *sim = chaos->sim;
    struct sim_network *network = &sim->network;

    network->loss = sim_chance(sim, 0.5) ? 0.05 * fraction(sim) : 0.3 * fraction(sim);
    network->duplicate = sim_chance(sim, 0.5) ? 0.1 * fraction(sim) : 0;
    network->corrupt = sim_chance(sim, 0.5) ? 0.02 * fraction(sim) : 0;
    network->delay_min_us = 200 + (int64_t)sim_below(sim, 20 * US_PER_MS);
    network->delay_max_us = network->delay_min_us + (int64_t)sim_below(sim, 150 * US_PER_MS);
    network->gather_us = sim_chance(sim, 0.5) ? 1 + (int64_t)sim_below(sim, 5 * US_PER_MS) : 0;
}

static void draw_boxes(struct chaos *chaos) {
    struct sim *sim = chaos->sim;
    double share = 0.1 + 0.4 * fraction(sim);

    chaos->boxes = sim_chance(sim, 0.5) ? 1 + (unsigned)sim_below(sim, 3) : 0;
    if (chaos->boxes == 0)
        return;
    chaos->boxes += sim->n_hosts / 64; /* a hundred nodes want more mappings than one box has */
    sim->nat = nat_new(sim, chaos->boxes);
    for (unsigned i = PUBLIC_FIRST; i < sim->n_hosts; i++)
        if (sim_chance(sim, share))
            sim->hosts[i].box = 1 + (unsigned)sim_below(sim, chaos->boxes);
}

static void draw_adversaries(struct chaos *chaos) {
    struct sim *sim = chaos->sim;
    unsigned most = sim->n_hosts / 4 < ADVERSARIES_MAX ? sim->n_hosts / 4 : ADVERSARIES_MAX;
    unsigned n = sim_chance(sim, 0.6) ? (unsigned)sim_below(sim, most + 1) : 0;

    if (n > 0 && sim_chance(sim, 0.3))
        chaos->kept = HABIT_DROPS_ALL | HABIT_DROPS_SOME | HABIT_LIES;
    while (n > 0) {
        unsigned i = (unsigned)sim_below(sim, sim->n_hosts);
        if (i < PUBLIC_FIRST || sim->hosts[i].adversary)
            continue;
        unsigned habits = (unsigned)(sim_below(sim, HABITS) & sim_below(sim, HABITS));
        sim->hosts[i].adversary = adversary_new(sim, habits | 1u << sim_below(sim, HABIT_COUNT));
        n--;
    }
}

static void draw_hosts(struct chaos *chaos) {
    struct sim *sim = chaos->sim;
    int64_t expire_us = chaos->kept ? EXPIRE_US : sim->hosts[0].config.delivery_expire_us;
    bool skewed = sim_chance(sim, 0.5), small = sim_chance(sim, 0.3), idle = sim_chance(sim, 0.3);

    for (unsigned i = 0; i < sim->n_hosts; i++) {
        struct sim_host *host = &sim->hosts[i];
        if (skewed)
            host->skew_us = (int64_t)sim_below(sim, 2 * SKEW_US) - SKEW_US;
        if (small)
            host->config.pool_max = 6 + (unsigned)sim_below(sim, 11);
        if (idle && i >= PUBLIC_FIRST)
            host->config.relay = !sim_chance(sim, 0.2);
        host->config.delivery_expire_us = expire_us;
        host->config.memory_max = (size_t)(2 + sim_below(sim, 63)) << 20;
    }
}

static void draw_mischief(struct chaos *chaos) {
    struct sim *sim = chaos->sim;
    static const unsigned usual[MISCHIEFS] = {
        [MISCHIEF_PUSH] = 60,   [MISCHIEF_PULL] = 40,      [MISCHIEF_CRASH] = 10,
        [MISCHIEF_LEAVE] = 5,   [MISCHIEF_POWER_CUT] = 1,  [MISCHIEF_PARTITION] = 2,
        [MISCHIEF_DISK] = 10,   [MISCHIEF_CLOCK] = 3,      [MISCHIEF_BOX] = 5,
        [MISCHIEF_WEATHER] = 3, [MISCHIEF_ADVERSARY] = 30,
    };
    for (unsigned i = 0; i < MISCHIEFS; i++)
        chaos->weights[i] = i == MISCHIEF_PUSH || sim_chance(sim, 0.6) ? usual[i] : 0;
    chaos->weights[MISCHIEF_RESTART] = 20; /* or nobody would be left */
    chaos->weights[MISCHIEF_HEAL] = 4;
    chaos->pause_us = (int64_t)(100 + sim_below(sim, 900)) * US_PER_MS;
}

/* ---- Doing it ---- */

static void start(struct chaos *chaos, unsigned i) {
    struct sim *sim = chaos->sim;
    struct address known[PUBLIC_FIRST];
    for (unsigned k = 0; k < PUBLIC_FIRST; k++)
        known[k] = sim->hosts[k].address;
    sim_start(sim, i, known, PUBLIC_FIRST);
}

static unsigned count_up(const struct sim *sim) {
    unsigned n = 0;
    for (unsigned i = 0; i < sim->n_hosts; i++)
        n += sim->hosts[i].node && !sim->hosts[i].adversary;
    return n;
}

static void stop(struct chaos *chaos, unsigned i, bool leave) {
    struct sim *sim = chaos->sim;
    if (!sim->hosts[i].node || count_up(sim) <= PUBLIC_FIRST)
        return;
    leave ? sim_leave(sim, i) : sim_crash(sim, i);
    clients_died(chaos->clients, i);
}

static void partition(struct sim *sim) {
    unsigned sides = 2 + (unsigned)sim_below(sim, 2);
    for (unsigned i = 0; i < sim->n_hosts; i++)
        sim->hosts[i].side = (unsigned)sim_below(sim, sides);
    tell(sim, "sides:", sides);
}

static void fail_disk(struct sim *sim, unsigned i) {
    static const int errors[] = {-ENOSPC, -EIO, -EROFS};
    model_store_fail(sim->hosts[i].store, (unsigned)sim_below(sim, 3),
                     1 + (unsigned)sim_below(sim, 8), errors[sim_below(sim, 3)]);
}

static void adversary_burst(struct sim *sim, unsigned i) {
    for (unsigned k = 0; k < sim->n_hosts; k++, i = (i + 1) % sim->n_hosts)
        if (sim->hosts[i].adversary && sim->hosts[i].node) {
            adversary_act(sim, i);
            return;
        }
}

static void power_cut(struct chaos *chaos) {
    for (unsigned i = 0; i < chaos->sim->n_hosts; i++)
        if (sim_chance(chaos->sim, 0.25))
            stop(chaos, i, false);
}

static void do_one(struct chaos *chaos, enum mischief mischief) {
    struct sim *sim = chaos->sim;
    unsigned i = (unsigned)sim_below(sim, sim->n_hosts);

    switch (mischief) {
    case MISCHIEF_PUSH:
        clients_push(chaos->clients);
        break;
    case MISCHIEF_PULL:
        clients_pull(chaos->clients);
        break;
    case MISCHIEF_CRASH:
        stop(chaos, i, false);
        break;
    case MISCHIEF_POWER_CUT:
        power_cut(chaos);
        break;
    case MISCHIEF_LEAVE:
        stop(chaos, i, true);
        break;
    case MISCHIEF_RESTART:
        if (!sim->hosts[i].node)
            start(chaos, i);
        break;
    case MISCHIEF_PARTITION:
        partition(sim);
        break;
    case MISCHIEF_HEAL:
        for (unsigned k = 0; k < sim->n_hosts; k++)
            sim->hosts[k].side = 0;
        break;
    case MISCHIEF_DISK:
        fail_disk(sim, i);
        break;
    case MISCHIEF_CLOCK: /* set, to something else within the bounds */
        sim->hosts[i].skew_us = (int64_t)sim_below(sim, 2 * SKEW_US) - SKEW_US;
        break;
    case MISCHIEF_BOX:
        if (chaos->boxes > 0)
            nat_reset(sim->nat, 1 + (unsigned)sim_below(sim, chaos->boxes));
        break;
    case MISCHIEF_ADVERSARY:
        adversary_burst(sim, i);
        break;
    case MISCHIEF_WEATHER:
        draw_weather(chaos);
        break;
    case MISCHIEFS:
        break;
    }
}

static void rage(struct chaos *chaos) {
    struct sim *sim = chaos->sim;
    int64_t until = sim->now_us +
                    (int64_t)(10 + sim_below(sim, 25)) * US_PER_S / (sim->n_hosts > LARGE ? 5 : 1);
    unsigned all = 0;

    for (unsigned i = 0; i < MISCHIEFS; i++)
        all += chaos->weights[i];
    while (sim->now_us < until) {
        unsigned draw = (unsigned)sim_below(sim, all), kind = 0;
        while (draw >= chaos->weights[kind])
            draw -= chaos->weights[kind++];
        do_one(chaos, (enum mischief)kind);
        sim_run(sim, (int64_t)sim_below(sim, (uint64_t)chaos->pause_us));
    }
}

/* ---- Peace ---- */

static void calm(struct chaos *chaos) {
    struct sim *sim = chaos->sim;
    bool some_gone = sim_chance(sim, 0.3);

    sim->network.loss = sim->network.corrupt = sim->network.duplicate = 0;
    for (unsigned i = 0; i < sim->n_hosts; i++) {
        struct sim_host *host = &sim->hosts[i];
        host->side = 0;
        model_store_fail(host->store, 0, 0, 0);
        if (host->adversary)
            adversary_keep(host->adversary, chaos->kept);
        if (!host->node && i >= PUBLIC_FIRST && some_gone && sim_chance(sim, 0.3))
            chaos->gone[i] = true;
        else if (!host->node)
            start(chaos, i);
    }
    tell(sim, "peace; up:", count_up(sim));
    if (chaos->kept)
        tell(sim, "adversaries keep:", chaos->kept);
}

static void must_rejoin(struct chaos *chaos, const char *when) {
    struct sim *sim = chaos->sim;
    int64_t began = sim->now_us;

    property_holds(sim, PROPERTY_JOINED);
    while (!sim_is_rejoined(sim, NULL)) {
        if (sim->now_us - began > REJOIN_US) {
            property_breaks(sim, PROPERTY_JOINED, "%s: %u pieces, %u at best, all %s all", when,
                            sim_components(sim), sim_joinable(sim),
                            sim_honest_know(sim) ? "know" : "do not know");
            if (sim->verbose)
                sim_print_hosts(sim);
            return;
        }
        sim_run(sim, ASK_US);
    }
    tell(sim, "one network again; ms:", (unsigned)((sim->now_us - began) / US_PER_MS));
}

/* Whatever a malicious node told each of the others of itself. */
static void must_agree(struct chaos *chaos) {
    struct sim *sim = chaos->sim;

    property_holds(sim, PROPERTY_VERSIONS);
    if (!sim_await(sim, AGREE_US, sim_versions_agree, NULL) && sim_components(sim) == 1)
        property_breaks(sim, PROPERTY_VERSIONS, "honest nodes hold two versions of one sequence");
}

static void must_deliver(struct chaos *chaos) {
    struct sim *sim = chaos->sim;
    int64_t began = sim->now_us;
    unsigned open;

    property_holds(sim, PROPERTY_DELIVERED);
    while ((open = clients_open(chaos->clients, chaos->gone, false)) > 0) {
        if (sim->now_us - began > (chaos->kept ? EXPIRE_US : 0) + DELIVER_US) {
            property_breaks(sim, PROPERTY_DELIVERED, "%u of %zu messages have not arrived", open,
                            sim->n_pushes);
            clients_open(chaos->clients, chaos->gone, true);
            return;
        }
        sim_run(sim, US_PER_S);
    }
    tell(sim, "everything delivered; ms:", (unsigned)((sim->now_us - began) / US_PER_MS));
}

/* Nine in ten die at once. */
static void decimate(struct chaos *chaos) {
    struct sim *sim = chaos->sim;
    unsigned up = count_up(sim), kill = up - up / 10;

    if (up / 10 < 2)
        return;
    for (unsigned i = 0; i < sim->n_hosts; i++)
        if (sim->hosts[i].adversary && sim->hosts[i].node) {
            stop(chaos, i, false);
            chaos->gone[i] = true;
        }
    while (kill > 0) {
        unsigned i = (unsigned)sim_below(sim, sim->n_hosts);
        if (!sim->hosts[i].node)
            continue;
        stop(chaos, i, false);
        chaos->gone[i] = true;
        kill--;
    }
    tell(sim, "nine in ten died; left:", count_up(sim));
    must_rejoin(chaos, "90% dead");
}

void chaos_run(struct sim *sim) {
    struct chaos chaos = {.sim = sim, .gone = calloc(sim->n_hosts, sizeof(bool))};

    if (!chaos.gone)
        abort();
    draw_weather(&chaos);
    draw_boxes(&chaos);
    draw_adversaries(&chaos);
    draw_hosts(&chaos);
    draw_mischief(&chaos);
    chaos.clients = clients_new(sim);
    for (unsigned i = 0; i < sim->n_hosts; i++) {
        start(&chaos, i);
        sim_run(sim, (int64_t)sim_below(sim, (uint64_t)(5 * US_PER_S) / sim->n_hosts));
    }
    sim_run(sim, 5 * US_PER_S);
    rage(&chaos);
    calm(&chaos);
    must_rejoin(&chaos, "faults over");
    must_agree(&chaos);
    must_deliver(&chaos);
    if (sim_chance(sim, 0.3))
        decimate(&chaos);
    sim_check_messages(sim, false);
    if (sim->verbose && sim->nat)
        tell(sim, "datagrams to boxes that nobody asked for:", (unsigned)nat_unsolicited(sim->nat));
    clients_free(chaos.clients);
    free(chaos.gone);
}
