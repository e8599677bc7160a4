/* See share.h. */
#include "daemon/core/base/share.h"

#include <assert.h>

void share_init(struct share *share, uint32_t a_second) {
    *share = (struct share){.window = {INT64_MIN / 2}};
    share_configure(share, a_second);
}

void share_configure(struct share *share, uint32_t a_second) {
    uint64_t in_window = (uint64_t)a_second * SHARE_WINDOW_US / US_PER_S;
    share->window_max = a_second > 0 && in_window == 0 ? 1 : (uint32_t)in_window;
}

static void turn_window(struct share *share, struct mono now) {
    int64_t age = now.us - share->window.us;
    if (age >= 0 && age < SHARE_WINDOW_US)
        return;
    /* Those who wanted something just before will want it again: their part is kept for them. */
    share->wanted = age >= 0 && age < 2 * SHARE_WINDOW_US ? share->wanting : 0;
    share->wanting = 0;
    memset(share->used, 0, sizeof share->used);
    share->window = now;
}

bool share_take(struct share *share, unsigned neighbour, struct mono now) {
    assert(neighbour < SHARE_NEIGHBOURS);
    if (share->window_max == 0)
        return true;
    turn_window(share, now);
    share->wanting |= UINT64_C(1) << neighbour;
    unsigned n = 0;
    for (uint64_t those = share->wanting | share->wanted; those; those &= those - 1)
        n++;
    assert(n > 0); /* this one wants */
    uint32_t part = share->window_max / n;
    /* A part is there for everybody who wants one, even if somebody alone took more before. Over
     * all that is at most twice the bound in a window, and the bound from the next one on. */
    if (share->used[neighbour] >= (part > 0 ? part : 1)) {
        share->refused++;
        return false;
    }
    share->used[neighbour]++;
    return true;
}

void share_charge(struct share *share, unsigned neighbour, uint32_t more) {
    assert(neighbour < SHARE_NEIGHBOURS);
    uint32_t room = UINT32_MAX - share->used[neighbour];
    share->used[neighbour] += more < room ? more : room;
}
