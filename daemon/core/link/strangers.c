#include "daemon/core/link/strangers.h"

#define TELL_US (10 * US_PER_MINUTE)

static bool is_recent(const struct stranger *stranger, struct mono now) {
    return stranger->n > 0 && now.us - stranger->last.us < STRANGERS_RECENT_US;
}

/* The entry of this address, or the one of the address that was silent for longest, cleared. */
static struct stranger *place_of(struct strangers *strangers, const struct address *from,
                                 struct mono now) {
    struct stranger *oldest = &strangers->v[0];
    for (size_t i = 0; i < STRANGERS_MAX; i++) {
        struct stranger *stranger = &strangers->v[i];
        if (stranger->n > 0 && address_is_same_ip(&stranger->address, from))
            return stranger;
        if (stranger->n == 0 || (oldest->n > 0 && stranger->last.us < oldest->last.us))
            oldest = stranger;
    }
    strangers->evicted += is_recent(oldest, now);
    *oldest = (struct stranger){.n = 0};
    return oldest;
}

bool strangers_note(struct strangers *strangers, const struct address *from, struct mono now) {
    struct stranger *stranger = place_of(strangers, from, now);
    if (!is_recent(stranger, now))
        *stranger = (struct stranger){.first = now};
    stranger->address = *from;
    stranger->last = now;
    stranger->n++;
    if (strangers->has_told && now.us - strangers->told.us < TELL_US)
        return false;
    strangers->has_told = true;
    strangers->told = now;
    return true;
}

size_t strangers_recent(const struct strangers *strangers, struct mono now, struct stranger *ret_v,
                        size_t max) {
    size_t n = 0, all = 0;
    for (size_t i = 0; i < STRANGERS_MAX; i++) {
        const struct stranger *stranger = &strangers->v[i];
        if (!is_recent(stranger, now))
            continue;
        all++;
        size_t at = n;
        while (at > 0 && ret_v[at - 1].n < stranger->n)
            at--;
        if (at == max)
            continue;
        n += n < max;
        for (size_t j = n - 1; j > at; j--)
            ret_v[j] = ret_v[j - 1];
        ret_v[at] = *stranger;
    }
    return all;
}
