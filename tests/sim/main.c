/* sim: run scenarios by seed. `sim --check` is what make check runs; `sim -s SEED -n NODES SCENARIO` runs one and says what came of it. */
#include "tests/sim/scenarios.h"

#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct plan { /* a row of the check */
    const char *scenario;
    unsigned nodes, seeds;
};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MANY 120 /* a sanitizer makes everything ten times as slow */
#else
#define MANY 500
#endif
static const struct plan check_plan[] = {
    {"boot", 2, 2},     {"boot", 5, 3},  {"boot", 40, 2},        {"pushes", 12, 4},
    {"lossy", 12, 6},   {"large", 6, 3}, {"partition", 16, 4},   {"crashes", 12, 8},
    {"restart", 12, 3}, {"clock", 8, 4}, {"offline", 8, 3},      {"store", 8, 4},
    {"step", 12, 3},    {"join", 24, 3}, {"determinism", 10, 2}, {"shrink", MANY, 1},
    {"mailbox", 16, 8},
};
static const struct plan long_plan[] = {
    {"boot", 60, 20},       {"pushes", 30, 50},   {"lossy", 30, 100},  {"large", 10, 30},
    {"partition", 40, 30},  {"crashes", 30, 100}, {"restart", 30, 30}, {"clock", 20, 30},
    {"offline", 20, 50},    {"store", 12, 50},    {"step", 20, 20},    {"join", 60, 20},
    {"determinism", 20, 5}, {"shrink", 500, 3},   {"mailbox", 30, 60},
};

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
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

static int run_plan(const struct plan *plan, size_t n, uint64_t first_seed) {
    unsigned passed = 0, failed = 0;

    for (size_t i = 0; i < n; i++) {
        const struct scenario *scenario = find_scenario(plan[i].scenario);
        for (unsigned k = 0; k < plan[i].seeds; k++) {
            bool good = run_one(scenario, first_seed + k, plan[i].nodes, false);
            printf("%s %u - sim %s, %u nodes, seed %llu\n", good ? "ok" : "not ok",
                   passed + failed + 1, scenario->name, plan[i].nodes,
                   (unsigned long long)(first_seed + k));
            fflush(stdout);
            passed += good;
            failed += !good;
        }
    }
    printf("1..%u\n%u passed, %u failed\n", passed + failed, passed, failed);
    return failed == 0 ? 0 : 1;
}

static int usage(void) {
    puts("usage: sim --check | --long [-s SEED]\n       sim [-s SEED] [-n NODES] SCENARIO");
    for (const struct scenario *scenario = scenarios; scenario->name; scenario++)
        printf("  %-12s %s\n", scenario->name, scenario->says);
    return 2;
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"check", no_argument, NULL, 'c'},
                                            {"long", no_argument, NULL, 'l'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"nodes", required_argument, NULL, 'n'},
                                            {NULL, 0, NULL, 0}};
    uint64_t seed = 1;
    unsigned nodes = 12;
    int mode = 0, option;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (sodium_init() < 0)
        return 1;
    while ((option = getopt_long(argc, argv, "s:n:", options, NULL)) != -1) {
        if (option == 's')
            seed = strtoull(optarg, NULL, 10);
        else if (option == 'n')
            nodes = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'c' || option == 'l')
            mode = option;
        else
            return usage();
    }
    if (mode == 'c')
        return run_plan(check_plan, sizeof check_plan / sizeof *check_plan, seed);
    if (mode == 'l')
        return run_plan(long_plan, sizeof long_plan / sizeof *long_plan, seed);
    const struct scenario *scenario = optind < argc ? find_scenario(argv[optind]) : NULL;
    if (!scenario || nodes < 2)
        return usage();
    bool good = run_one(scenario, seed, nodes, true);
    printf("%u passed, %u failed\n", good, !good);
    return good ? 0 : 1;
}
