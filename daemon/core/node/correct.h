/* The correction of the machine's clock by what the neighbours say.
 *
 * Threat: with each move of the clock go all our keys, a signature and the drop list, so moves are
 * rationed. */
#ifndef P2PD_CORRECT_H
#define P2PD_CORRECT_H

#include "daemon/core/base/rate.h"

struct node;

struct node_correction {
    int64_t us;           /* is added to the machine's clock */
    int64_t signed_us;    /* the same at the last signature */
    bool waits;           /* the clock is to be moved, and waits for: */
    struct rate renewals; /* of keys and signature */
    enum { CLOCK_RIGHT, CLOCK_CORRECTED, CLOCK_BEYOND } told;
};

/* Is the machine's clock further from the neighbours' than can be corrected? */
bool node_clock_is_beyond(const struct node *node);
/* Is such a correction so far from that of the last signature that keys and descriptor no longer
 * fit? */
#define RESIGN_CORRECTION_US (30 * US_PER_S)
static inline bool correction_has_moved(const struct node_correction *correction, int64_t us) {
    int64_t by_us = us - correction->signed_us;
    return by_us > RESIGN_CORRECTION_US || by_us < -RESIGN_CORRECTION_US;
}
/* Apply the neighbours' median to our clock: where that takes new keys, at a pace. */
void node_correct(struct node *node);
/* The same at once: the machine's own clock was set, by `step_us`. */
void node_correct_stepped(struct node *node, int64_t step_us);
/* A move that had to wait is made when it is due. */
void node_correct_tick(struct node *node);
struct mono node_correct_next(const struct node *node);

#endif
