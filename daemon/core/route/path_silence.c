/* See path_silence.h. */
#include "daemon/core/route/path_silence.h"

#include <assert.h>
#include <string.h>

struct path_way path_way(const uint64_t *hops, size_t n) {
    struct path_way way = {.n = n > 0 ? (uint8_t)(n - 1) : 0};
    assert(n <= TOPOLOGY_RELAYS_MAX + 1);
    if (way.n > 0)
        memcpy(way.relays, hops, way.n * sizeof *hops);
    return way;
}

static bool is_on(const struct path_way *way, uint64_t relay) {
    for (unsigned i = 0; i < way->n; i++)
        if (way->relays[i] == relay)
            return true;
    return false;
}

void path_silence_note(struct path_silence *silence, const struct path_way *way, struct mono now) {
    if (way->n == 0)
        return;
    if (silence->n == PATH_SILENCE_TRIES) {
        silence->n--;
        memmove(silence->tries, silence->tries + 1, silence->n * sizeof *silence->tries);
        memmove(silence->at, silence->at + 1, silence->n * sizeof *silence->at);
    }
    silence->tries[silence->n] = *way;
    silence->at[silence->n++] = now;
}

/* A try that has no relay left keeps its place until newer ones push it out; it has no effect. */
void path_silence_heard(struct path_silence *silence, const struct path_way *way) {
    for (unsigned i = 0; i < silence->n; i++) {
        struct path_way *try = &silence->tries[i];
        unsigned left = 0;
        for (unsigned j = 0; j < try->n; j++)
            if (!is_on(way, try->relays[j]))
                try->relays[left++] = try->relays[j];
        try->n = (uint8_t)left;
    }
}

unsigned path_silence_weight(const struct path_silence *silence, uint64_t relay, struct mono now) {
    unsigned weight = 0;
    for (unsigned i = 0; i < silence->n; i++)
        if (now.us - silence->at[i].us < PATH_SILENCE_US)
            weight += is_on(&silence->tries[i], relay);
    return weight;
}

size_t path_silence_relays(const struct path_silence *silence, unsigned least, struct mono now,
                           uint64_t ret_relays[PATH_SILENCE_RELAYS]) {
    size_t n = 0;
    for (unsigned i = 0; i < silence->n; i++)
        for (unsigned j = 0; j < silence->tries[i].n; j++) {
            uint64_t relay = silence->tries[i].relays[j];
            bool listed = false;
            for (size_t k = 0; k < n && !listed; k++)
                listed = ret_relays[k] == relay;
            if (!listed && path_silence_weight(silence, relay, now) >= least)
                ret_relays[n++] = relay;
        }
    return n;
}
