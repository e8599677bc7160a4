/* Whether the machine's clock can be believed, and what is done about one that was wrong. */
#ifndef P2PD_CLOCK_H
#define P2PD_CLOCK_H

#include "daemon/core/seam/step.h"

struct node;

struct node_clock {
    struct wall stopped;       /* when we stopped, by the clock of then */
    struct wall swept;         /* the time by which the store forgets what is over */
    bool was_known, is_known;  /* did neighbours agree then, and do they? */
    bool is_settled, is_saved; /* the times of what is owed are meant by the clock of now; the disk
                                  knows it */
    struct wall anchor;        /* was the time then: */
    struct mono anchored, looked, save;
};

void node_clock_init(struct node *node, const struct node_boot *boot);
/* First in each step, the time being set. */
void node_clock_tick(struct node *node);
void node_clock_before_push(struct node *node);
void node_clock_leave(struct node *node);
/* Have the store forget what is over. */
void node_clock_sweep(struct node *node);

#endif
