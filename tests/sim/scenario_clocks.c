/* Clocks that are wrong by more than can be corrected, and are set right later: while the node
 * runs, or between two of its lives. What was queued meanwhile is as old as it is, nothing is swept
 * by such a clock, and nothing lives for ever for its sake. */
#include "tests/sim/properties.h"
#include "tests/sim/scenarios.h"

#include "daemon/core/deliver/ledger/ledger_private.h"
#include "daemon/core/node/node_private.h"

#include <stdio.h>

#define FORM_US (60 * US_PER_S)
#define DAY_US (24 * US_PER_HOUR)
#define LIFE_US US_PER_HOUR /* delivery.expire */
#define FROM 1u
#define AWAY 2u

enum mending { WHILE_RUNNING, AFTER_A_STOP, AFTER_A_CRASH, MENDINGS };
static const char *const mending_says[MENDINGS] = {[WHILE_RUNNING] = "while it runs",
                                                   [AFTER_A_STOP] = "after a stop",
                                                   [AFTER_A_CRASH] = "after a crash"};
static const int64_t wrong_us[] = {-50 * 365 * DAY_US, -12 * DAY_US, -26 * US_PER_HOUR,
                                   26 * US_PER_HOUR,   12 * DAY_US,  50 * 365 * DAY_US};
#define WRONGS (sizeof wrong_us / sizeof *wrong_us)

static bool is_whole(struct sim *sim, void *unused) {
    return sim_all_know_all(sim, unused) && sim_components(sim) == 1;
}

static void start(struct sim *sim, unsigned host) {
    sim_start(sim, host, &sim->hosts[host ? 0 : 1].address, 1);
}

/* Nothing that is younger than it says may be taken for old. */
static void look_at_sweep(struct sim *sim, const char *when) {
    int64_t ahead_us = sim->hosts[FROM].node->clock.swept.us -
                       (sim->hosts[FROM].node->machine.wall.us - sim->hosts[FROM].skew_us);
    property_holds(sim, PROPERTY_SCENARIO);
    if (ahead_us > US_PER_MINUTE)
        sim_violation(sim, "%s the store is swept by a time %lld s ahead", when,
                      (long long)(ahead_us / US_PER_S));
}

static void set_right(struct sim *sim, enum mending mending) {
    if (mending == AFTER_A_STOP)
        sim_leave(sim, FROM);
    if (mending == AFTER_A_CRASH)
        sim_crash(sim, FROM);
    sim->hosts[FROM].skew_us = 0;
    if (mending != WHILE_RUNNING)
        start(sim, FROM);
}

/* A message queued by a wrong clock, which is then set right; who it is for comes back. */
static void queue_and_mend(struct sim *sim, int64_t off_us, enum mending mending) {
    sim_crash(sim, AWAY);
    size_t before = sim_push(sim, FROM, AWAY, "before", 6); /* by a right clock */
    sim_run(sim, US_PER_S);
    if (mending != WHILE_RUNNING)
        sim_leave(sim, FROM);
    sim->hosts[FROM].skew_us = off_us;
    if (mending != WHILE_RUNNING)
        start(sim, FROM);
    sim_run(sim, 5 * US_PER_S);
    size_t during = sim_push(sim, FROM, AWAY, "the power was away", 18);
    sim_run(sim, 15 * US_PER_MINUTE);
    look_at_sweep(sim, "under a wrong clock");
    set_right(sim, mending);
    sim_run(sim, 5 * US_PER_S);
    look_at_sweep(sim, "under a clock set right");
    start(sim, AWAY);
    if (!sim_await(sim, 4 * FORM_US, is_whole, NULL))
        sim_violation(sim, "no network again, the clock having been %lld h off",
                      (long long)(off_us / US_PER_HOUR));
    sim_run(sim, FORM_US);
    for (size_t push = before; push <= during; push += during - before) {
        sim_ask(sim, push);
        sim_run(sim, US_PER_S);
        property_holds(sim, PROPERTY_SCENARIO);
        if (sim->pushes[push].state != MESSAGE_DELIVERED)
            sim_violation(sim, "a clock %lld h off, set right %s: what was queued %s is %s",
                          (long long)(off_us / US_PER_HOUR), mending_says[mending],
                          push == before ? "before" : "meanwhile",
                          ledger_state_word(sim->pushes[push].state));
    }
}

/* Queued, and then the clock is set back, again and again: it expires in its time. */
static void expire_all_the_same(struct sim *sim) {
    sim_crash(sim, AWAY);
    size_t push = sim_push(sim, FROM, AWAY, "in vain", 7);
    for (int64_t passed = 0; passed < LIFE_US + 2 * US_PER_MINUTE; passed += 10 * US_PER_MINUTE) {
        sim_run(sim, 10 * US_PER_MINUTE);
        sim->hosts[FROM].skew_us -= 300 * DAY_US;
    }
    property_holds(sim, PROPERTY_SCENARIO);
    if (sim->pushes[push].state != MESSAGE_EXPIRED)
        sim_violation(sim, "a clock that is set back makes a message live for ever");
    sim->hosts[FROM].skew_us = 0;
    start(sim, AWAY);
}

void scenario_clocks(struct sim *sim) {
    sim->hosts[FROM].config.delivery_expire_us = LIFE_US;
    for (unsigned i = 0; i < sim->n_hosts; i++)
        sim_start(sim, i, &sim->hosts[0].address, i > 0);
    if (!sim_await(sim, FORM_US, is_whole, NULL))
        sim_violation(sim, "no network formed");
    sim_run(sim, 10 * US_PER_S);
    for (unsigned i = 0; i < WRONGS; i++)
        queue_and_mend(sim, wrong_us[i], (enum mending)((i + sim->seed) % MENDINGS));
    expire_all_the_same(sim);
}
