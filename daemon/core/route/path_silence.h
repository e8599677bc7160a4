/* The relays of the latest tries that were not answered: the path of the next try avoids them. A
 * sender keeps one such record for each recipient, so that a recipient that does not answer changes
 * no path to others.
 *
 * Threat: a relay that drops packets moves the next tries away from itself, and never to a first
 * relay that is no guard. */
#ifndef P2PD_PATH_SILENCE_H
#define P2PD_PATH_SILENCE_H

#include "daemon/core/base/base.h"
#include "daemon/core/base/limits.h"
#include "daemon/core/directory/topology.h"

#define PATH_SILENCE_RELAYS ((size_t)PATH_SILENCE_TRIES * TOPOLOGY_RELAYS_MAX)
#define PATH_SILENCE_US (5 * US_PER_S) /* a try counts so long; then dead links are published */

struct path_way { /* the relays of a path, without its target */
    uint64_t relays[TOPOLOGY_RELAYS_MAX];
    uint8_t n;
};
/* The relays among hops as path_hops() gives them. */
struct path_way path_way(const uint64_t *hops, size_t n);

struct path_silence { /* all zero: nothing was silent */
    struct path_way tries[PATH_SILENCE_TRIES];
    struct mono at[PATH_SILENCE_TRIES];
    uint8_t n;
};

/* Note that a try over these relays was not answered in time; in a full table it replaces the
 * oldest. */
void path_silence_note(struct path_silence *silence, const struct path_way *way, struct mono now);
/* A packet came through over these relays: they are removed from all tries, because they are not
 * the cause of silence. */
void path_silence_heard(struct path_silence *silence, const struct path_way *way);
/* The relays that were on at least `least` tries of the last PATH_SILENCE_US. Returns how many. */
size_t path_silence_relays(const struct path_silence *silence, unsigned least, struct mono now,
                           uint64_t ret_relays[PATH_SILENCE_RELAYS]);
/* On how many of these tries this relay was. */
unsigned path_silence_weight(const struct path_silence *silence, uint64_t relay, struct mono now);

#endif
