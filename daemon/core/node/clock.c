/* Whether the machine's clock can be believed, and what is done about one that was wrong. A machine
 * without a battery starts in 1970; another's clock is days off until somebody sets it. A message
 * queued meanwhile is only seconds old all the same, and must not expire when the clock jumps.
 *
 * So the age of messages is counted in time that really passed. While the node runs, the monotonic
 * clock tells it. Between two runs the wall clock tells it if neighbours agreed with that clock
 * before and after; otherwise nobody knows, and the time between does not count. The disk is told
 * the time, and whether the neighbours agreed, so that the next run knows by which clock the times
 * on the disk were written. Whenever the clock was moved, the times of pending messages are moved
 * along. Likewise the store sweeps nothing by a clock that no neighbour confirms: for the sweep
 * only the time counts in which the node was running.
 *
 * Threat: neighbours who lie about the time, together, by less than a day. */
#include "daemon/core/node/node_private.h"

#include <stdlib.h>

/* A smaller difference is a clock that is being slewed, or a delay. */
#define MOVED_US US_PER_MINUTE
#define SAVE_US US_PER_HOUR

static void save(struct node *node, int64_t shift_us) {
    struct node_clock *clock = &node->clock;
    struct store_op op = {.kind = STORE_CLOCK,
                          .clock = {node->now.wall, clock->swept, clock->is_known, shift_us}};
    clock->save = mono_add(node->now.mono, SAVE_US);
    clock->is_saved = true;
    effects_store(node->effects, &op, OWNER_NODE, 0);
}

/* The times of pending messages were written by another clock: shift them to ours. */
static void move(struct node *node, int64_t by_us) {
    outbox_shift(node->outbox, by_us);
    save(node, by_us);
}

void node_clock_init(struct node *node, const struct node_boot *boot) {
    node->clock = (struct node_clock){.stopped = boot->clock,
                                      .was_known = boot->clock_is_known,
                                      .is_settled = boot->clock.us == 0,
                                      .swept = boot->swept.us != 0 ? boot->swept : node->now.wall,
                                      .anchor = node->now.wall,
                                      .anchored = node->now.mono,
                                      .looked = node->now.mono,
                                      .save = mono_add(node->now.mono, SAVE_US)};
    identity_hold_mail(node->identity, true);
}

void node_clock_sweep(struct node *node) {
    struct store_op op = {.kind = STORE_SWEEP,
                          .sweep = {node->clock.swept, node->config.store_retention_us}};
    effects_store(node->effects, &op, OWNER_NODE, 0);
}

/* Accept our clock, right or wrong. The times of pending messages are shifted as if no time had
 * passed since the node stopped. */
static void settle(struct node *node) {
    node->clock.is_settled = true;
    move(node, node->now.wall.us - node->clock.stopped.us);
}

void node_clock_before_push(struct node *node) {
    if (!node->clock.is_settled)
        settle(node);
    else if (!node->clock.is_saved)
        save(node, 0);
}

/* The first neighbours confirm our clock. If neighbours confirmed it also when we stopped, the time
 * between the two runs really passed, and pending messages age by it. */
static void learn(struct node *node, int64_t moved_us) {
    node->clock.is_known = true;
    node->clock.swept = node->now.wall;
    identity_hold_mail(node->identity, false);
    if (!node->clock.is_settled) {
        node->clock.is_settled = true;
        outbox_age(node->outbox, node->now);
        save(node, 0);
    } else if (llabs(moved_us) >= MOVED_US) {
        move(node, moved_us);
    } else {
        save(node, 0);
    }
}

static void follow(struct node *node, bool known, int64_t moved_us) {
    node->clock.is_known = known;
    identity_hold_mail(node->identity, !known);
    if (node->clock.is_settled)
        move(node, moved_us);
}

void node_clock_tick(struct node *node) {
    struct node_clock *clock = &node->clock;
    int64_t moved_us =
        (node->now.wall.us - clock->anchor.us) - (node->now.mono.us - clock->anchored.us);
    bool moved = llabs(moved_us) >= MOVED_US, known = links_clock_is_known(node->links);

    if (known || (clock->is_known && !moved))
        clock->swept = node->now.wall;
    else
        clock->swept.us += node->now.mono.us - clock->looked.us;
    clock->looked = node->now.mono;
    /* Our clock cannot be compared with that of the last run if no neighbour confirmed the old one,
     * or if ours is behind it: accept ours. Otherwise wait: neighbours may confirm that the time
     * between has passed. */
    if (!clock->is_settled && (!clock->was_known || node->now.wall.us < clock->stopped.us))
        settle(node);
    if (known && !clock->is_known)
        learn(node, moved_us);
    else if (moved)
        follow(node, known, moved_us);
    else if (clock->is_known && mono_is_due(clock->save, node->now.mono))
        save(node, 0);
    if (moved) {
        clock->anchor = node->now.wall;
        clock->anchored = node->now.mono;
    }
}

void node_clock_leave(struct node *node) {
    if (node->clock.is_settled)
        save(node, 0);
}
