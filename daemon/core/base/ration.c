/* See ration.h. */
#include "daemon/core/base/ration.h"

#include <assert.h>

/* Of the share that the next hop has for us, in sixteenths: what may be remembered there at once. A
 * quarter stays for the paths that we begin ourselves. An eph that is let pass is forgotten after
 * RATION_LIFE minutes, so a rate fills no more than a rate times that, and a burst no more than
 * itself.
 *
 * A part is had whatever the others took, if need be on credit: those who ask for more than theirs
 * have all there is at times, and the level at which they are held is known a window later. Parts
 * are of a little less than the whole rate, or what was lent would never come back. */
#define BURST 2
#define DEBT 1
#define RATE 9
#define PARTS_RATE 8 /* all parts together */
#define PARTS_BURST 1
static_assert(BURST + DEBT + RATE <= 12 && PARTS_RATE < RATE, "a quarter is ours");

static const struct mono LONG_AGO = {INT64_MIN / 2};

void ration_replace(struct ration *ration, unsigned neighbour) {
    assert(neighbour < RATION_NEIGHBOURS);
    struct ration_to *to = &ration->to[neighbour];
    *to = (struct ration_to){.all = LONG_AGO, .window = LONG_AGO, .level_us = RATION_WINDOW_US};
    for (unsigned from = 0; from < RATION_NEIGHBOURS; from++)
        to->parts[from] = LONG_AGO;
}

void ration_init(struct ration *ration) {
    *ration = (struct ration){.refused = 0};
    for (unsigned to = 0; to < RATION_NEIGHBOURS; to++)
        ration_replace(ration, to);
    ration_configure(ration, 0);
}

/* Sixteenths of a share: one at least. */
static int64_t amount(size_t share, unsigned sixteenths) {
    uint64_t n = (uint64_t)share * sixteenths / 16;
    return n > 0 ? (int64_t)n : 1;
}

void ration_configure(struct ration *ration, size_t share) {
    int64_t life_us = RATION_LIFE * US_PER_MINUTE;

    ration->all_us = life_us / amount(share, RATE);
    ration->all_burst_us = amount(share, BURST) * ration->all_us;
    ration->debt_us = amount(share, DEBT) * ration->all_us;
    ration->part_us = life_us / amount(share, PARTS_RATE);
    ration->part_burst_us = amount(share, PARTS_BURST) * ration->part_us;
}

/* ---- Who asks for how much ---- */

/* The level up to which all can have what they asked for, such that together they have a window:
 * those below it leave the rest to the others, again and again. */
static int64_t level_of(const int64_t asked_us[RATION_NEIGHBOURS]) {
    int64_t left_us = RATION_WINDOW_US, level_us = 0;
    unsigned n = RATION_NEIGHBOURS, before = 0;

    while (n > 0 && n != before) {
        before = n;
        level_us = left_us / n;
        left_us = RATION_WINDOW_US;
        n = 0;
        for (unsigned from = 0; from < RATION_NEIGHBOURS; from++)
            if (asked_us[from] > level_us)
                n++;
            else
                left_us -= asked_us[from];
    }
    return n > 0 ? level_us : RATION_WINDOW_US;
}

static void ask(struct ration_to *to, unsigned from, int64_t cost_us, struct mono now) {
    int64_t age = now.us - to->window.us;
    if (age < 0 || age >= RATION_WINDOW_US) {
        to->level_us =
            age >= 0 && age < 2 * RATION_WINDOW_US ? level_of(to->asked_us) : RATION_WINDOW_US;
        memset(to->asked_us, 0, sizeof to->asked_us);
        to->window = now;
    }
    to->asked_us[from] += cost_us;
}

/* ---- Buckets ---- */

static int64_t used_with(struct mono full, int64_t cost_us, struct mono now) {
    return (full.us > now.us ? full.us - now.us : 0) + cost_us;
}

/* From a bucket that is more than half empty a token is given by chance, the seldomer the emptier.
 * Otherwise whoever floods would have each as soon as it is there, and those beside it on the same
 * link none. */
static bool has_token(struct mono full, int64_t cost_us, int64_t burst_us,
                      const struct core_random *random, struct mono now) {
    int64_t used_us = used_with(full, cost_us, now), half_us = burst_us / 2;

    if (used_us > burst_us)
        return used_us == cost_us; /* a whole bucket is enough for one */
    return used_us <= half_us || used_us == cost_us ||
           (int64_t)random_below(random, (uint64_t)(burst_us - half_us)) >= used_us - half_us;
}

static void take(struct mono *full, int64_t cost_us, struct mono now) {
    *full = mono_add(now, used_with(*full, cost_us, now));
}

bool ration_take(struct ration *ration, unsigned from, unsigned number, int64_t life,
                 const struct core_random *random, struct mono now) {
    assert(from < RATION_NEIGHBOURS && number < RATION_NEIGHBOURS && life > 0);
    struct ration_to *to = &ration->to[number];
    int64_t all_us = ration->all_us * life / RATION_LIFE;
    int64_t part_us = ration->part_us * life / RATION_LIFE;

    ask(to, from, part_us, now);
    part_us = part_us * RATION_WINDOW_US / to->level_us;
    bool has_part = used_with(to->all, all_us, now) <= ration->all_burst_us + ration->debt_us &&
                    has_token(to->parts[from], part_us, ration->part_burst_us, random, now);
    if (has_part)
        take(&to->parts[from], part_us, now);
    else if (!has_token(to->all, all_us, ration->all_burst_us, random, now)) {
        ration->refused++;
        return false;
    }
    take(&to->all, all_us, now);
    return true;
}
