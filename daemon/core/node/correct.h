/* The correction of the machine's clock by what the neighbours say.
 *
 * Threat: each move of the clock costs all our routing keys, a signature and the drop list, so
 * moves are rationed. */
#ifndef P2PD_CORRECT_H
#define P2PD_CORRECT_H

#include "daemon/core/base/rate.h"

struct node;

struct node_correction {
    int64_t us;           /* is added to the machine's clock */
    int64_t signed_us;    /* the same at the last signature */
    bool waits;           /* a move is wanted, but `renewals` does not allow it yet */
    struct rate renewals; /* of keys and signature */
    enum { CLOCK_RIGHT, CLOCK_CORRECTED, CLOCK_BEYOND } told;
};

/* Is the machine's clock further from the neighbours' than can be corrected? */
bool node_clock_is_beyond(const struct node *node);
/* Does a correction of `us` differ so much from the one at the last signature that keys and
 * descriptor no longer fit? */
#define RESIGN_CORRECTION_US (30 * US_PER_S)
static inline bool correction_has_moved(const struct node_correction *correction, int64_t us) {
    int64_t by_us = us - correction->signed_us;
    return by_us > RESIGN_CORRECTION_US || by_us < -RESIGN_CORRECTION_US;
}
/* Correct our clock by the median of what the neighbours say. A correction that requires new keys
 * waits until the ration of renewals allows it. */
void node_correct(struct node *node);
/* Correct our clock at once, because the machine's own clock was set, by `step_us`. */
void node_correct_stepped(struct node *node, int64_t step_us);
/* Make a move that had to wait, if it is due. */
void node_correct_tick(struct node *node);
struct mono node_correct_next(const struct node *node);

#endif
