/* What the node says of itself: its signed descriptor, and when it is published.
 *
 * Threat: whoever moves the clock to a time at which we have signed already must not get a second
 * descriptor of that sequence out of us, which would convict us. */
#ifndef P2PD_SELF_H
#define P2PD_SELF_H

#include "daemon/core/base/sequences.h"

struct node;

struct node_self {
    uint64_t sequence;    /* of the last one signed */
    struct sequences had; /* sequences of this run, and the last of the run before */
    bool was_signed;
};

/* Compare our neighbours with those of the last descriptor. */
void node_self_compare(struct node *node);
/* Sign the descriptor, as everything is now: handshakes carry it from here on. */
void node_self_sign(struct node *node);
/* Sign it anew and publish it, if it is due. */
void node_self_tick(struct node *node);
struct mono node_self_next(const struct node *node);

#endif
