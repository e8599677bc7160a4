/* Many deadlines, of which the earliest is asked for: a binary heap of structs that carry their own
 * timer. Header only. Room is reserved when an object is made, so that setting a timer
 * never fails. */
#ifndef P2PD_TIMER_H
#define P2PD_TIMER_H

#include "daemon/core/base/base.h"

#include <errno.h>
#include <stdlib.h>

struct timer {
    struct mono due;
    size_t place; /* in the heap, from 1; 0 = not set */
};
struct timers {
    struct timer **heap;
    size_t n, capacity;
};

/* Make room for so many timers at once. 0 or -ENOMEM. */
static inline int timers_reserve(struct timers *timers, size_t count) {
    if (count <= timers->capacity)
        return 0;
    size_t capacity = timers->capacity ? timers->capacity * 2 : 16;
    if (capacity < count)
        capacity = count;
    struct timer **heap = realloc(timers->heap, capacity * sizeof *heap);
    if (!heap)
        return -ENOMEM;
    timers->heap = heap;
    timers->capacity = capacity;
    return 0;
}
static inline void timers_deinit(struct timers *timers) {
    free(timers->heap);
    *timers = (struct timers){0};
}
static inline void timers_put(struct timers *timers, size_t place, struct timer *timer) {
    timers->heap[place - 1] = timer;
    timer->place = place;
}
static inline void timers_sift(struct timers *timers, struct timer *timer) {
    size_t place = timer->place;
    for (; place > 1 && timers->heap[place / 2 - 1]->due.us > timer->due.us; place /= 2)
        timers_put(timers, place, timers->heap[place / 2 - 1]);
    for (size_t child; (child = place * 2) <= timers->n; place = child) {
        if (child < timers->n && timers->heap[child]->due.us < timers->heap[child - 1]->due.us)
            child++;
        if (timers->heap[child - 1]->due.us >= timer->due.us)
            break;
        timers_put(timers, place, timers->heap[child - 1]);
    }
    timers_put(timers, place, timer);
}
static inline void timers_clear(struct timers *timers, struct timer *timer) {
    if (timer->place == 0)
        return;
    struct timer *last = timers->heap[timers->n - 1];
    timers->n--;
    if (last != timer) {
        timers_put(timers, timer->place, last);
        timers_sift(timers, last);
    }
    timer->place = 0;
}
/* Precondition: room was reserved. MONO_NEVER clears. */
static inline void timers_set(struct timers *timers, struct timer *timer, struct mono due) {
    if (due.us == MONO_NEVER.us) {
        timers_clear(timers, timer);
        return;
    }
    timer->due = due;
    if (timer->place == 0)
        timers_put(timers, ++timers->n, timer);
    timers_sift(timers, timer);
}
static inline struct mono timers_next(const struct timers *timers) {
    return timers->n > 0 ? timers->heap[0]->due : MONO_NEVER;
}
/* Take out the earliest if it is due; NULL if none is. */
static inline struct timer *timers_take(struct timers *timers, struct mono now) {
    struct timer *timer = timers->n > 0 ? timers->heap[0] : NULL;
    if (!timer || !mono_is_due(timer->due, now))
        return NULL;
    timers_clear(timers, timer);
    return timer;
}

#endif
