/* See ration.h. */
#include "daemon/core/ration.h"

#include <assert.h>

/* Of the share that the next hop has for us, in sixteenths: what may be remembered there at once. A quarter stays for the paths that
 * we begin ourselves. An eph that is let pass is forgotten after RATION_LIFE minutes, so a rate fills no more than a rate times
 * that, and a burst no more than itself. */
#define REST_BURST 2
#define REST_RATE 8
#define PART_BURST 1 /* all neighbours' parts together */
#define PART_RATE 1
static_assert(REST_BURST + REST_RATE + PART_BURST + PART_RATE <= 12, "a quarter is ours");
#define PARTS_MIN 8 /* as many neighbours as most nodes have */

void ration_init(struct ration *ration) {
    *ration = (struct ration){.refused = 0};
    for (unsigned to = 0; to < RATION_NEIGHBOURS; to++) {
        ration->rest[to].us = INT64_MIN / 2;
        for (unsigned from = 0; from < RATION_NEIGHBOURS; from++)
            ration->part[from][to].us = INT64_MIN / 2;
    }
    ration_configure(ration, 0, 0);
}

/* Sixteenths of a share, divided among so many: one at least. */
static int64_t amount(size_t share, unsigned sixteenths, unsigned among) {
    uint64_t n = (uint64_t)share * sixteenths / 16 / among;
    return n > 0 ? (int64_t)n : 1;
}

void ration_configure(struct ration *ration, size_t share, unsigned neighbours) {
    unsigned among = neighbours > PARTS_MIN ? neighbours : PARTS_MIN;
    int64_t life_us = RATION_LIFE * US_PER_MINUTE;

    ration->rest_us = life_us / amount(share, REST_RATE, 1);
    ration->part_us = life_us / amount(share, PART_RATE, among);
    ration->rest_burst_us = amount(share, REST_BURST, 1) * ration->rest_us;
    ration->part_burst_us = amount(share, PART_BURST, among) * ration->part_us;
}

/* From a bucket that is more than half empty a token is given by chance, the seldomer the emptier. Otherwise whoever floods would have
 * each as soon as it is there, and those beside it on the same link none. */
static bool take(struct mono *full, int64_t cost_us, int64_t burst_us,
                 const struct core_random *random, struct mono now) {
    struct mono after = mono_add(full->us > now.us ? *full : now, cost_us);
    int64_t used_us = after.us - now.us, half_us = burst_us / 2;

    if (used_us > burst_us)
        return false;
    if (used_us > half_us && used_us > cost_us &&
        (int64_t)random_below(random, (uint64_t)(burst_us - half_us)) < used_us - half_us)
        return false;
    *full = after;
    return true;
}

bool ration_take(struct ration *ration, unsigned from, unsigned to, int64_t life,
                 const struct core_random *random, struct mono now) {
    assert(from < RATION_NEIGHBOURS && to < RATION_NEIGHBOURS && life > 0);
    /* Its own part last: it is there when a flood has taken the rest. */
    if (take(&ration->rest[to], ration->rest_us * life / RATION_LIFE, ration->rest_burst_us, random,
             now) ||
        take(&ration->part[from][to], ration->part_us * life / RATION_LIFE, ration->part_burst_us,
             random, now))
        return true;
    ration->refused++;
    return false;
}
