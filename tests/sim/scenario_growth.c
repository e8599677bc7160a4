/* What a network costs its nodes: to form, all started at once from one address; to keep, while
 * nobody says anything; to join. */
#include "tests/sim/scenarios.h"

#include <stdio.h>

#define FORM_US (90 * US_PER_S)
#define SETTLE_US (5 * US_PER_MINUTE) /* links are redrawn and told of until about then */
#define IDLE_US (4 * US_PER_MINUTE)
#define JOINED_US (20 * US_PER_S) /* a newcomer's links are told of, its mailboxes chosen */
/* Bounds. A version of everybody's descriptor and for some a second; a handshake checks one at
 * either end. */
#define FORM_CHECKS(n) (2.0 * (n) + 100)
/* 16 links, a PING and a PONG in ten seconds and a digest each way in a minute: whatever the size
 * of the network. */
#define IDLE_DATAGRAMS 4.0
/* A cell for each descriptor, and what finding links and comparing takes: 1.5 MB where a thousand
 * are known. */
#define JOIN_BYTES(n) (1350.0 * (n) + 150000)

struct bill {
    double datagrams, bytes, checks, wakes;
};

static struct sim_traffic sum(const struct sim *sim, unsigned n) {
    struct sim_traffic all = {0};
    for (unsigned i = 0; i < n; i++) {
        const struct sim_traffic *one = &sim->hosts[i].traffic;
        all.datagrams += one->datagrams;
        all.bytes += one->bytes;
        all.checks += one->checks;
        all.wakes += one->wakes;
    }
    return all;
}

/* What each of n hosts paid since. */
static struct bill since(const struct sim *sim, const struct sim_traffic *before, unsigned n) {
    struct sim_traffic now = sum(sim, n);
    return (struct bill){
        (double)(now.datagrams - before->datagrams) / n, (double)(now.bytes - before->bytes) / n,
        (double)(now.checks - before->checks) / n, (double)(now.wakes - before->wakes) / n};
}

static void tell(const struct sim *sim, const char *what, const struct bill *bill) {
    if (sim->verbose)
        printf("# %8.3f s: %-28s %10.2f datagrams %12.0f bytes %9.2f checks %9.2f timers\n",
               (double)sim->now_us / 1e6, what, bill->datagrams, bill->bytes, bill->checks,
               bill->wakes);
}

static void form(struct sim *sim, unsigned n) {
    struct sim_traffic before = sum(sim, n);
    int64_t began = sim->now_us;

    for (unsigned i = 0; i < n; i++)
        sim_start(sim, i, &sim->hosts[0].address, i > 0);
    if (!sim_await(sim, FORM_US, sim_all_know_all, NULL))
        sim_violation(sim, "%u nodes do not know each other in time", n);
    struct bill bill = since(sim, &before, n);
    tell(sim, "a node, until all know all", &bill);
    if (bill.checks > FORM_CHECKS(n))
        sim_violation(sim, "each of %u nodes checked %.0f signatures to know the others", n,
                      bill.checks);
    sim_run(sim, SETTLE_US - (sim->now_us - began));
    bill = since(sim, &before, n);
    tell(sim, "a node, until all is quiet", &bill);
}

static void idle(struct sim *sim, unsigned n) {
    struct sim_traffic before = sum(sim, n);
    double seconds = (double)IDLE_US / 1e6;

    sim_run(sim, IDLE_US);
    struct bill bill = since(sim, &before, n);
    bill = (struct bill){bill.datagrams / seconds, bill.bytes / seconds, bill.checks / seconds,
                         bill.wakes / seconds};
    tell(sim, "a node a second when idle", &bill);
    if (bill.datagrams > IDLE_DATAGRAMS)
        sim_violation(sim, "an idle node of %u has %.2f datagrams a second", n, bill.datagrams);
}

static bool knows_all(struct sim *sim, void *context) {
    struct status_report status;
    const unsigned *host = context;
    node_status(sim->hosts[*host].node, (struct mono){sim->now_us}, &status);
    return status.directory_nodes >= sim->n_hosts;
}

static void join(struct sim *sim, unsigned newcomer) {
    sim_start(sim, newcomer, &sim->hosts[sim_below(sim, newcomer)].address, 1);
    if (!sim_await(sim, FORM_US, knows_all, &newcomer))
        sim_violation(sim, "a newcomer does not know everybody in time");
    const struct sim_traffic *paid = &sim->hosts[newcomer].traffic;
    struct bill bill = {(double)paid->datagrams, (double)paid->bytes, (double)paid->checks,
                        (double)paid->wakes};
    tell(sim, "a newcomer, until it knows all", &bill);
    if (bill.bytes > JOIN_BYTES(newcomer))
        sim_violation(sim, "joining %u nodes moved %.0f bytes", newcomer, bill.bytes);
    sim_run(sim, JOINED_US);
    bill = (struct bill){(double)paid->datagrams, (double)paid->bytes, (double)paid->checks,
                         (double)paid->wakes};
    tell(sim, "a newcomer, 20 s later", &bill);
}

void scenario_growth(struct sim *sim) {
    unsigned n = sim->n_hosts - 1;

    form(sim, n);
    idle(sim, n);
    join(sim, n);
}
