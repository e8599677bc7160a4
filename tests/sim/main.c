/* sim: run scenarios by seed. `sim --check` is what make check runs, `sim --items` the same as
 * items for summary.sh; `sim --long` goes on for as long as it may (-t SECONDS); `sim -s SEED -n
 * NODES SCENARIO` runs one and says what came of it, with `-k SEEDS` so many seeds from SEED on. */
#include "tests/sim/chaos.h"
#include "tests/sim/jobs.h"
#include "tests/sim/properties.h"
#include "tests/sim/scenarios.h"

#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct plan { /* a row of the check: so many seeds, from the first on; 0 nodes: the seed says how
                 many */
    const char *scenario;
    unsigned nodes, seeds;
};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MANY 120 /* a sanitizer makes everything ten times as slow */
#define SEEDS 30
#else
#define MANY 500
#define SEEDS 200
#endif
/* clang-format off */
static const struct plan check_plan[] = {
    {"shrink", MANY / 3, 1},
    {"chaos", MANY, 1},
    {"boot", 2, 2},
    {"boot", 5, 3},
    {"boot", 40, 2},
    {"pushes", 12, 4},
    {"lossy", 12, 6},
    {"large", 6, 3},
    {"fresh", 12, 2},
    {"bulk", 12, 1},
    {"bulk-clean", 12, 1},
    {"bulk-bad", 12, 1},
    {"bulk-limiter", 12, 1},
    {"partition", 16, 4},
    {"crashes", 12, 8},
    {"restart", 12, 3},
    {"clock", 8, 4},
    {"offline", 8, 3},
    {"store", 8, 4},
    {"step", 12, 3},
    {"clocks", 8, 3},
    {"relay-dies", 3, 1},
    {"relay-dies", 8, 3},
    {"relay-dies", 12, 3},
    {"relay-dies", 40, 1},
    {"join", 24, 3},
    {"growth", 51, 2},
    {"growth", 161, 1},
    {"determinism", 10, 2},
    {"threads", 10, 3},
    {"replay", 10, 2},
    {"forgetful", 8, 3},
    {"crossing", 24, 6},
    {"addresses", 12, 4},
    {"addresses", 40, 2},
    {"ports", 42, 2},
    {"translator", 12, 2},
    {"translator", 40, 4},
    {"promises", 14, 2},
    {"mailbox", 12, 2},
    {"full", 12, 2},
    {"files", 12, 2},
    {"equivocation", 24, 2},
    {"succession", 24, 2},
    {"handed", 24, 2},
    {"leaps", 200, 1},
    {"framed", 12, 3},
    {"guard", 24, 2},
    {"versions", 12, 1},
    {"proofs", 12, 2},
    {"wants", 12, 2},
    {"crowd", 24, 2},
    {"filled", 12, 1},
    {"spoofed", 8, 3},
    {"scattered", 8, 1},
    {"evicted", 8, 1},
    {"movers", 32, 1},
    {"older", 60, 2},
    {"padded", 8, 2},
    {"remailed", 6, 1},
    {"chaos", 0, SEEDS},
    {NULL, 0, 0},
};
/* clang-format on */
static const struct plan long_plan[] = {
    {"boot", 60, 20},       {"pushes", 30, 50},   {"lossy", 30, 100},  {"large", 10, 30},
    {"partition", 40, 30},  {"crashes", 30, 100}, {"restart", 30, 30}, {"clock", 20, 30},
    {"offline", 20, 50},    {"store", 12, 50},    {"step", 20, 20},    {"join", 60, 20},
    {"determinism", 20, 5}, {"replay", 0, 20},    {"shrink", 500, 3},  {"mailbox", 30, 60},
    {"files", 12, 40},      {NULL, 0, 0},
};
#define LONG_S 1800
/* Beyond its plan the long run is chaos, small networks mostly: the i-th of ten has so many nodes
 * (0: as the seed says). */
static const unsigned long_nodes[10] = {0, 0, 0, 0, 0, 0, 0, 120, 0, 0};
#define LONG_EVERY 100 /* and one in so many is a network of 500 or of 1000 */

static const struct plan *plan;
static uint64_t first_seed = 1;
static bool endless;

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The check's plan for summary.sh, a line an item: NAME|SECONDS|COMMAND. Each is one process at a
 * time; a row of many seeds is several items. */
#define ITEM_SEEDS 25
#define ITEM_SILENT_S 300
static void print_items(const char *program) {
    for (const struct plan *row = check_plan; row->scenario; row++)
        for (unsigned first = 0; first < row->seeds; first += ITEM_SEEDS) {
            char part[32] = "", nodes[32] = "";
            unsigned left = row->seeds - first, seeds = left < ITEM_SEEDS ? left : ITEM_SEEDS;
            if (row->seeds > ITEM_SEEDS)
                snprintf(part, sizeof part, "-%u", first + 1);
            if (row->nodes > 0)
                snprintf(nodes, sizeof nodes, "/%u", row->nodes);
            printf("sim/%s%s%s|%d|env CHECK_JOBS=1 %s -s %u -k %u -n %u %s\n", row->scenario, nodes,
                   part, ITEM_SILENT_S, program, first + 1, seeds, row->nodes, row->scenario);
        }
}

/* Returns true if every property held. */
static bool run_one(const struct scenario *scenario, uint64_t seed, unsigned nodes, bool verbose) {
    double began = seconds();
    struct sim *sim = sim_new(seed, nodes);

    sim->verbose = verbose;
    if (verbose)
        for (unsigned i = 0; i < nodes; i++)
            sim->hosts[i].config.trace.level = TRACE_WARNING;
    scenario->run(sim);
    bool good = sim->violations == 0;
    if (verbose || !good)
        printf("# %s: seed %llu, %u nodes: %.1f virtual s in %.1f s, %llu datagrams, %llu steps, "
               "largest pool %u, trace %016llx\n",
               scenario->name, (unsigned long long)seed, nodes, (double)sim->now_us / 1e6,
               seconds() - began, (unsigned long long)sim->datagrams,
               (unsigned long long)sim->steps, sim->pool_most, (unsigned long long)sim->trace);
    if (verbose)
        properties_print(sim);
    if (!good)
        printf("# run it again: make sim SEED=%llu NODES=%u SCENARIO=%s\n",
               (unsigned long long)seed, nodes, scenario->name);
    sim_free(sim);
    return good;
}

static const struct scenario *find_scenario(const char *name) {
    for (const struct scenario *scenario = scenarios; scenario->name; scenario++)
        if (strcmp(scenario->name, name) == 0)
            return scenario;
    return NULL;
}

static unsigned nodes_of(const struct job *job) {
    return job->nodes > 0 ? job->nodes : chaos_nodes(job->seed);
}

static bool next_job(size_t i, struct job *ret_job) {
    for (const struct plan *row = plan; row->scenario; row++) {
        if (i < row->seeds) {
            *ret_job = (struct job){row->scenario, first_seed + i, row->nodes};
            ret_job->nodes = nodes_of(ret_job);
            return true;
        }
        i -= row->seeds;
    }
    if (!endless)
        return false;
    /* Other seeds than the check's. */
    *ret_job = (struct job){"chaos", first_seed + SEEDS + i, long_nodes[i % 10]};
    if (i % LONG_EVERY == LONG_EVERY / 2)
        ret_job->nodes = i / LONG_EVERY % 2 ? 1000 : 500;
    ret_job->nodes = nodes_of(ret_job);
    return true;
}

static bool run_job(const struct job *job) {
    return run_one(find_scenario(job->scenario), job->seed, job->nodes, false);
}

static int usage(void) {
    puts("usage: sim --check | --items | --long [-s SEED] [-t SECONDS]\n"
         "       sim [-s SEED] [-k SEEDS] [-n NODES] SCENARIO");
    for (const struct scenario *scenario = scenarios; scenario->name; scenario++)
        printf("  %-12s %s\n", scenario->name, scenario->says);
    return 2;
}

static int run_single(const char *name, uint64_t seed, unsigned nodes) {
    const struct scenario *scenario = find_scenario(name);
    struct job job = {name, seed, nodes};

    if (!scenario || nodes_of(&job) < 2)
        return usage();
    bool good = run_one(scenario, seed, nodes_of(&job), true);
    printf("%u passed, %u failed\n", good, !good);
    return good ? 0 : 1;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"check", no_argument, NULL, 'c'},         {"long", no_argument, NULL, 'l'},
        {"items", no_argument, NULL, 'i'},         {"seeds", required_argument, NULL, 'k'},
        {"seed", required_argument, NULL, 's'},    {"nodes", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 't'}, {NULL, 0, NULL, 0}};
    unsigned nodes = 0, seeds = 0;
    double at_most = 0;
    int option;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (sodium_init() < 0)
        return 1;
    while ((option = getopt_long(argc, argv, "s:k:n:t:", options, NULL)) != -1) {
        if (option == 's')
            first_seed = strtoull(optarg, NULL, 10);
        else if (option == 'n')
            nodes = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'k')
            seeds = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 't')
            at_most = strtod(optarg, NULL);
        else if (option == 'i')
            return print_items(argv[0]), 0;
        else if (option == 'c' || option == 'l')
            plan = option == 'c' ? check_plan : long_plan;
        else
            return usage();
    }
    const struct plan row[] = {{optind < argc ? argv[optind] : "chaos", nodes, seeds},
                               {NULL, 0, 0}};
    if (!plan && seeds == 0)
        return run_single(row->scenario, first_seed, nodes);
    if (!plan && !find_scenario(row->scenario))
        return usage();
    if (!plan)
        plan = row;
    sim_goes_on = jobs_alive;
    endless = plan == long_plan;
    return jobs_run(next_job, run_job, at_most > 0 ? at_most : LONG_S);
}
