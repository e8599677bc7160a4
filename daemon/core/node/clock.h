/* Whether the machine's clock can be believed, and what is done about one that was wrong. */
#ifndef P2PD_CLOCK_H
#define P2PD_CLOCK_H

#include "daemon/core/seam/step.h"

struct node;

struct node_clock {
    struct wall stopped;      /* when we stopped, by the clock of then */
    struct wall swept;        /* the time by which the store sweeps */
    bool was_known, is_known; /* whether neighbours confirmed the clock then, and do now */
    /* Times of pending messages follow the present clock; the disk knows it. */
    bool is_settled, is_saved;
    struct wall anchor; /* the wall clock when the monotonic clock read `anchored` */
    struct mono anchored, looked, save;
};

void node_clock_init(struct node *node, const struct node_boot *boot);
/* Call first in each step, once the step's time is set. */
void node_clock_tick(struct node *node);
void node_clock_before_push(struct node *node);
void node_clock_leave(struct node *node);
/* Have the store forget what is over. */
void node_clock_sweep(struct node *node);

#endif
