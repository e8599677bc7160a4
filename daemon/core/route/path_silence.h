/* Which relays the latest tries went by that nobody answered: the next one is drawn apart from
 * them. Kept by whoever sends, of one recipient alone, so that one who does not answer moves no
 * path to anybody else.
 *
 * Threat: who drops what it relays moves the next tries away from itself, and never to a first
 * relay that is no guard. */
#ifndef P2PD_PATH_SILENCE_H
#define P2PD_PATH_SILENCE_H

#include "daemon/core/base/base.h"
#include "daemon/core/base/limits.h"
#include "daemon/core/directory/topology.h"

#define PATH_SILENCE_RELAYS ((size_t)PATH_SILENCE_TRIES * TOPOLOGY_RELAYS_MAX)
#define PATH_SILENCE_US (5 * US_PER_S) /* by then links that are dead are published */

struct path_way { /* the relays of a path, without its target */
    uint64_t relays[TOPOLOGY_RELAYS_MAX];
    uint8_t n;
};
/* That of hops as path_hops() gives them. */
struct path_way path_way(const uint64_t *hops, size_t n);

struct path_silence { /* all zero: nothing was silent */
    struct path_way tries[PATH_SILENCE_TRIES];
    struct mono at[PATH_SILENCE_TRIES];
    uint8_t n;
};

/* A try over this way was not answered in time; in a full table it takes the oldest one's place. */
void path_silence_note(struct path_silence *silence, const struct path_way *way, struct mono now);
/* Something came through over this way: its relays are no reason for any silence. */
void path_silence_heard(struct path_silence *silence, const struct path_way *way);
/* The relays that at least `least` tries of late went by. Returns how many. */
size_t path_silence_relays(const struct path_silence *silence, unsigned least, struct mono now,
                           uint64_t ret_relays[PATH_SILENCE_RELAYS]);
/* In how many of them this relay was. */
unsigned path_silence_weight(const struct path_silence *silence, uint64_t relay, struct mono now);

#endif
