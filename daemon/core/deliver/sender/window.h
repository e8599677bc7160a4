/* How much may be under way to a recipient, and for how long: round trips, queueing delay, losses,
 * and from them the window of each of its paths. Knows no path, no parcel and no recipient: it is
 * told what was sent and what became of it. See window.c for the laws, and their threat. */
#ifndef P2PD_WINDOW_H
#define P2PD_WINDOW_H

#include "daemon/core/base/base.h"

#include <stdbool.h>
#include <stdint.h>

/* Packets under way on a path: the least that a round trip can be measured with; what is sent
 * before anything is known; the most (1024 is all that a path carries, and 12 Mbit/s if each packet
 * takes 1 s). */
#define WINDOW_MIN 2u
#define WINDOW_FIRST 16u
#define WINDOW_MAX 1024u
#define WINDOW_UNIT 256u /* windows are kept in parts of a packet */

struct window {          /* of one subflow; it outlives the path that carries it */
    bool is_live;        /* the subflow has a path now */
    bool starting;       /* slow start: doubles each round trip */
    bool based;          /* `base` is known of this path */
    uint32_t size;       /* in WINDOW_UNIT parts of a packet */
    unsigned flight;     /* packets that were sent, and neither arrived nor are taken for lost */
    uint32_t loss;       /* share of its packets lost, in 2^-16 */
    uint32_t base;       /* least (arrived - sent), by two clocks */
    int64_t queue_us;    /* how much more it was lately */
    struct mono sampled; /* the packet that showed it was sent then */
    uint32_t
        high_size;   /* the window when the queue was found above the target; 0: it is not above */
    int64_t high_us; /* the queue then */
    struct mono high_at; /* the packet that showed it was sent then */
    struct mono cut;     /* last halved */
};

enum window_trial_stage { WINDOW_TRIAL_NONE = 0, WINDOW_TRIAL_WHOLE, WINDOW_TRIAL_HALF };
struct window_trial { /* is less lost over windows that are half as large? */
    enum window_trial_stage stage;
    struct mono from, until; /* what is sent in between counts, */
    struct mono end;         /* by when all of it has arrived or is taken for lost */
    unsigned seen, lost;
    uint32_t before; /* the share lost over whole windows */
};

struct windows { /* of one recipient: what is known of all its subflows together */
    struct window *v;
    unsigned n;
    int64_t srtt_us, rttvar_us; /* srtt < 0: unmeasured */
    struct mono measured;
    int64_t store_us;    /* how much longer than a round trip the receipt of a whole parcel takes */
    uint32_t loss;       /* share of packets lost, in 2^-16 */
    unsigned loss_seen;  /* packets that it was measured with, up to what is needed */
    uint32_t loss_long;  /* the same, averaged over more packets */
    uint32_t loss_floor; /* the share that is lost however little we send */
    struct window_trial trial;
};

/* Unmeasured; `v` is borrowed as long as they live. */
void windows_init(struct windows *windows, struct window *v, unsigned n);
/* A round trip that is known from before. */
void windows_recall(struct windows *windows, int64_t srtt_us, int64_t rttvar_us);

/* May a packet leave over it? One leaves; one is out of flight, since it arrived, is taken for
 * lost, or was given up. */
static inline bool window_has_room(const struct window *window) {
    return (uint64_t)window->flight * WINDOW_UNIT < window->size;
}
static inline void window_sent(struct window *window) {
    window->flight++;
}
void window_landed(struct window *window);
/* The subflow has a path now, or has none. */
static inline void window_set_live(struct window *window, bool is_live) {
    window->is_live = is_live;
}
/* A new path takes the place: the window stays, the delay of the path is unknown. */
void window_renew(struct window *window);
/* A packet of the window arrived. Called before window_landed(). */
void window_grow(const struct windows *windows, struct window *window);
/* The recipient reports that a packet of this window, sent at `sent`, arrived at `arrived` by its
 * own clock. */
void window_delay(struct windows *windows, struct window *window, struct mono sent,
                  uint32_t arrived);
/* One more packet of the window, sent then, arrived or (lost) is taken for lost; one that was taken
 * for lost arrived all the same. */
void window_count(struct windows *windows, struct window *window, bool lost, struct mono sent,
                  struct mono now);
void window_uncount(struct windows *windows, struct window *window, struct mono sent);

void windows_measure(struct windows *windows, int64_t sample_us, struct mono now);
void windows_measure_store(struct windows *windows, int64_t sample_us);
int64_t windows_timeout_us(const struct windows *windows);
/* A packet that was overtaken by others and is older than this is lost. */
int64_t windows_reorder_us(const struct windows *windows);
/* Parity for k shards, so that in most cases none has to be sent again. */
unsigned windows_parity(const struct windows *windows, unsigned k);

#endif
