/* The sequences that our descriptors have had: none is to be had twice. Pure values.
 *
 * Threat: two descriptors of one sequence convict whoever signed them, and the sequence is a time.
 * Whoever moves a node's clock to and fro (its only neighbour does) meets a time again at which it
 * has signed, and has a true proof against an honest node. */
#ifndef P2PD_SEQUENCES_H
#define P2PD_SEQUENCES_H

#include "daemon/core/base/base.h"

#define SEQUENCES_SPANS 64

/* In order, apart from each other. When there are too many the two that are closest become one, and
 * what lies between counts as had: of versions that follow each other it is some seconds or
 * minutes, to which a clock seldom goes back. */
struct sequences {
    struct sequence_span {
        uint64_t first, last;
    } spans[SEQUENCES_SPANS + 1]; /* the last place is empty between calls */
    unsigned n;
};

void sequences_add(struct sequences *sequences, uint64_t sequence);
/* `from`, or the next one above it that was not had; each step beyond one that was is of 1 to
 * `step`, drawn at random. */
uint64_t sequences_free(const struct sequences *sequences, uint64_t from, uint64_t step,
                        const struct core_random *random);

#endif
