/* How much may be under way to a recipient, and for how long: delays, windows, losses, time-outs.
 *
 * Threat: a recipient may lie about what arrived and when, and relays may delay or drop as they
 * like. It costs the liar his own messages: windows, and what is in flight in all, are bounded, and
 * none can be brought below what a round trip is measured with.
 *
 * The window follows one-way queueing delay, so that what others send over the same links, and our
 * own short messages, wait little (LEDBAT, RFC 6817, for the measuring; FAST TCP, Wei et al. 2006,
 * for the law). Loss says little where four lossy links are normal: it counts where sending less
 * makes less of it. */
#include "daemon/core/deliver/sender/window.h"

#include "daemon/core/wire/shard.h"

#include <assert.h>
#include <math.h>

#define RTO_UNMEASURED_US (300 * US_PER_MS)
#define RTO_MIN_US (50 * US_PER_MS)
#define RECEIPT_US (25 * US_PER_MS) /* what a receipt may wait for more shards, and some */
#define RTO_MAX_US (60 * US_PER_S)
#define STORE_MAX_US US_PER_S /* a disk that takes longer is taken for silence */
/* Queueing delay aimed at: a quarter of the round trip, no less than timers and bursts make of
 * themselves, no more than a talk over the same line bears. */
#define TARGET_MIN_US (5 * US_PER_MS)
#define TARGET_MAX_US (25 * US_PER_MS)
/* No network queues for longer: the recipient's clock began anew, or its word is worth nothing. */
#define QUEUE_MAX_US (10 * US_PER_S)
#define HIGH_ROUNDS 4 /* round trips until what was yielded must show */
#define LOSS_UNIT 65536u
#define LOSS_UNMEASURED (LOSS_UNIT / 100)
#define LOSS_COUNTS (LOSS_UNIT * 15 / 100)
#define LOSS_LIMITER (LOSS_UNIT * 35 / 100)
#define TRIAL_PACKETS 256u                /* tell a share lost from three quarters of it, mostly */
#define LOSS_HOPELESS (LOSS_UNIT / 4 * 3) /* no links, or nobody there */
#define LOSS_SEEN_FIRST 64 /* so many packets weigh as much as the guess made before the first */
#define LOSS_SEEN_SLOT 256
#define LOSS_SEEN_MAX 512    /* the share is known to one in a hundred, and follows in a second */
#define LOSS_SEEN_LONG 2048u /* losses come to light in lumps: before it is acted on */

/* An onion of receipts tells of so many shards at once: so far below its window is a path that is
 * full. */
#define RECEIPTS_SHARDS 24
#define SAMPLE_UNIT 256
#define SAMPLE_LEAST 8

static void window_init(struct window *window) {
    *window = (struct window){
        .size = WINDOW_FIRST * WINDOW_UNIT, .starting = true, .cut = {INT64_MIN / 2}};
}

void window_renew(struct window *window) {
    window->based = false;
}

/* ---- Delay ---- */

/* What the other paths waited at least, or would have, when this was sent: they leave through the
 * same door. What is known of another time says little. */
static int64_t shared_queue(const struct windows *windows, const struct window *except,
                            struct mono sent) {
    int64_t least = INT64_MAX;
    for (unsigned i = 0; i < windows->n; i++) {
        const struct window *window = &windows->v[i];
        if (window == except || !window->is_live || !window->based)
            continue;
        int64_t apart = window->sampled.us - sent.us;
        int64_t queue = window->queue_us - (apart < 0 ? -apart : apart);
        if (queue < 0)
            queue = 0;
        if (queue < least)
            least = queue;
    }
    return least == INT64_MAX ? except->queue_us : least;
}

static int64_t target_us(const struct windows *windows, const struct window *window) {
    int64_t base = windows->srtt_us > window->queue_us ? windows->srtt_us - window->queue_us : 0;
    int64_t target = base / 4;
    return target < TARGET_MIN_US ? TARGET_MIN_US : target > TARGET_MAX_US ? TARGET_MAX_US : target;
}

/* What a new path takes for its queue may have been another's a moment before, and false bases are
 * handed on. So where a quarter of the window is gone and the queue is not (were it ours alone, a
 * quarter of it would be, and more), it counts for the path's own delay. To yield further could not
 * make room, and would end at nothing. */
static bool is_not_ours(const struct windows *windows, struct window *window, struct mono sent,
                        int64_t queue) {
    if (queue <= target_us(windows, window)) {
        window->high_size = 0;
        return false;
    }
    bool yielded = window->size <= window->high_size / 4 * 3 &&
                   sent.us - window->high_at.us >= HIGH_ROUNDS * windows->srtt_us;
    if (yielded && queue >= window->high_us * 7 / 8)
        return true;
    if (window->high_size == 0 || yielded) {
        window->high_size = window->size;
        window->high_us = queue;
        window->high_at = sent;
    }
    return false;
}

void window_delay(struct windows *windows, struct window *window, struct mono sent,
                  uint32_t arrived) {
    uint32_t delay = arrived - (uint32_t)sent.us;
    int64_t queue = (int32_t)(delay - window->base);
    if (!window->based || queue > QUEUE_MAX_US || queue < -QUEUE_MAX_US) {
        queue = shared_queue(windows, window, sent);
        window->base = delay - (uint32_t)queue;
        window->based = true;
    } else if (queue < 0) {
        window->base = delay;
        queue = 0;
    }
    if (is_not_ours(windows, window, sent, queue)) {
        window->high_size = 0;
        window->base = delay;
        queue = 0;
    }
    window->queue_us = queue;
    window->sampled = sent;
    if (queue > target_us(windows, window) * 3 / 4)
        window->starting = false;
}

/* ---- Windows ---- */

/* For each packet answered, 1/window of what brings the window half the way to where the queue
 * would be as aimed at: half, for what is seen is a round trip old; all of it while the queue is
 * far from there. A window that is not used says nothing, and one whose delay is not measured
 * (parcels of a shard or two) stays small. */
void window_grow(const struct windows *windows, struct window *window) {
    int64_t target = target_us(windows, window), queue = window->queue_us, size = window->size;
    int64_t round_us = windows->srtt_us > queue ? windows->srtt_us : queue + 1;
    bool used = (uint64_t)(window->flight + window->flight / 8 + RECEIPTS_SHARDS) * WINDOW_UNIT >=
                window->size;
    int64_t unit = WINDOW_UNIT;
    if (window->starting)
        size += unit;
    else if (queue < target / 2)
        size += unit * (target - queue) / round_us;
    else
        size += unit * (target - queue) / (2 * round_us);
    int64_t most = window->based ? WINDOW_MAX * unit : WINDOW_FIRST * unit;
    if (size > window->size &&
        (!used || window->size >= most || windows->trial.stage != WINDOW_TRIAL_NONE))
        return;
    if (size > most && window->size <= most)
        size = most;
    window->size = size < WINDOW_MIN * unit ? WINDOW_MIN * WINDOW_UNIT : (uint32_t)size;
}

static void halve(struct window *window, struct mono now) {
    window->cut = now;
    window->size /= 2;
    window->high_size = 0;
    if (window->size < WINDOW_MIN * WINDOW_UNIT)
        window->size = WINDOW_MIN * WINDOW_UNIT;
}

/* Halve, once a round trip: the losses of one burst are one sign. Loss without a queue says that
 * links are bad rather than full, up to where it must be a limiter's of this path. That the half is
 * too much as well has to be seen anew. */
static void cut_window(const struct windows *windows, struct window *window, struct mono now) {
    int64_t round_us = windows->srtt_us < 0 ? RTO_UNMEASURED_US : windows->srtt_us;
    bool queues = window->queue_us >= target_us(windows, window) * 3 / 4;
    if (window->loss <= windows->loss_floor + (queues ? LOSS_COUNTS : LOSS_LIMITER) ||
        now.us - window->cut.us < round_us)
        return;
    halve(window, now);
    window->starting = false;
    window->loss = windows->loss_floor + LOSS_COUNTS / 2;
}

/* ---- Is it our doing? ----
 * A limiter drops what is beyond its rate, so that half as much loses far less; of what bad links
 * lose half as much loses the same share. Windows stand still meanwhile. */

static void trial_begin(struct windows *windows, enum window_trial_stage stage, uint32_t before,
                        struct mono now) {
    int64_t round_us = windows->srtt_us < 0 ? RTO_UNMEASURED_US : windows->srtt_us;
    uint64_t in_flight = 1;
    for (unsigned i = 0; i < windows->n; i++)
        in_flight += windows->v[i].is_live ? windows->v[i].size / WINDOW_UNIT : 0;
    /* What a window that was just halved sends first it sends in bursts, which lose more. And
     * losses are found later than arrivals: to stop at a number of either would be unfair. */
    struct mono from = mono_add(now, stage == WINDOW_TRIAL_HALF ? round_us : 0);
    struct mono until = mono_add(from, round_us + round_us * TRIAL_PACKETS / (int64_t)in_flight);
    windows->trial =
        (struct window_trial){.stage = stage,
                              .from = from,
                              .until = until,
                              .end = mono_add(until, round_us / 2 + windows_timeout_us(windows)),
                              .before = before};
}

static void trial_halve(struct windows *windows, uint32_t before, struct mono now) {
    for (unsigned i = 0; i < windows->n; i++)
        halve(&windows->v[i], now);
    trial_begin(windows, WINDOW_TRIAL_HALF, before, now);
}

/* What lost as much is not, unless next to nothing arrives: then the windows are again as they
 * were, and what is lost so is lost whatever we do. If it is, they stay at three quarters, or at
 * the half if that lost much as well. */
static void trial_judge(struct windows *windows, uint32_t after, struct mono now) {
    uint32_t floor = windows->loss_floor, before = windows->trial.before;
    bool is_less = after < floor + (before - floor) / 4 * 3;
    /* As much passes as did of twice as much: a limiter's, by far exceeded. */
    bool is_even = LOSS_UNIT - after > (LOSS_UNIT - before) / 5 * 7;
    bool is_ours = is_less || is_even || after > LOSS_HOPELESS;
    uint32_t halves = !is_ours ? 2 : after > floor + LOSS_COUNTS / 2 ? 0 : 1;
    windows->loss_floor = is_ours ? floor : after;
    for (unsigned i = 0; i < windows->n; i++) {
        struct window *window = &windows->v[i];
        window->loss = after;
        window->cut = now;
        window->starting = window->starting && !is_ours;
        window->size += window->size / 2 * halves;
        if (window->size > WINDOW_MAX * WINDOW_UNIT)
            window->size = WINDOW_MAX * WINDOW_UNIT;
    }
}

/* One stage is over. A suspicion that the first does not confirm is dropped. */
static void trial_advance(struct windows *windows, struct mono now) {
    struct window_trial trial = windows->trial;
    windows->trial.stage = WINDOW_TRIAL_NONE;
    if (trial.seen == 0)
        return;
    uint32_t share = (uint32_t)((uint64_t)trial.lost * LOSS_UNIT / trial.seen);
    windows->loss = windows->loss_long = share;
    if (trial.stage == WINDOW_TRIAL_HALF)
        trial_judge(windows, share, now);
    else if (share > windows->loss_floor + LOSS_COUNTS / 2)
        trial_halve(windows, share, now);
}

static bool is_tried(const struct window_trial *trial, struct mono sent) {
    return trial->stage != WINDOW_TRIAL_NONE && sent.us >= trial->from.us &&
           sent.us < trial->until.us;
}

/* Is more lost than bad links account for? Beside a queue sooner than without one; and what doubles
 * each round trip has to be noticed soon. */
static bool is_suspect(const struct windows *windows) {
    bool queues = false, starting = false;
    for (unsigned i = 0; i < windows->n; i++) {
        const struct window *window = &windows->v[i];
        queues =
            queues || (window->is_live && window->queue_us >= target_us(windows, window) * 3 / 4);
        starting = starting || (window->is_live && window->starting);
    }
    uint32_t loss = starting ? windows->loss : windows->loss_long;
    return loss > windows->loss_floor + (queues ? LOSS_COUNTS : LOSS_LIMITER);
}

static void trial_count(struct windows *windows, bool lost, struct mono sent, struct mono now) {
    struct window_trial *trial = &windows->trial;
    if (is_tried(trial, sent)) {
        trial->seen++;
        trial->lost += lost;
    }
    if (trial->stage != WINDOW_TRIAL_NONE && mono_is_due(trial->end, now))
        trial_advance(windows, now);
    else if (trial->stage == WINDOW_TRIAL_NONE && lost && is_suspect(windows))
        trial_begin(windows, WINDOW_TRIAL_WHOLE, 0, now);
}

/* ---- Loss ---- */

static uint32_t approach(uint32_t share, bool lost, unsigned seen) {
    int64_t error = (lost ? LOSS_UNIT : 0) - (int64_t)share;
    return (uint32_t)((int64_t)share + error / (int64_t)seen);
}

static unsigned seen_of(const struct windows *windows) {
    return windows->loss_seen < LOSS_SEEN_MAX ? windows->loss_seen : LOSS_SEEN_MAX;
}

void window_count(struct windows *windows, struct window *window, bool lost, struct mono sent,
                  struct mono now) {
    if (windows->loss_seen == 0) {
        windows->loss_seen = LOSS_SEEN_FIRST;
        windows->loss = windows->loss_long = LOSS_UNMEASURED;
    }
    if (windows->loss_seen < LOSS_SEEN_LONG)
        windows->loss_seen++;
    windows->loss = approach(windows->loss, lost, seen_of(windows));
    windows->loss_long = approach(windows->loss_long, lost, windows->loss_seen);
    window->loss = approach(window->loss, lost, LOSS_SEEN_SLOT);
    if (windows->loss_floor > windows->loss_long)
        windows->loss_floor -= (windows->loss_floor - windows->loss_long) / LOSS_SEEN_LONG;
    trial_count(windows, lost, sent, now);
    if (lost && windows->trial.stage == WINDOW_TRIAL_NONE)
        cut_window(windows, window, now);
}

static uint32_t less_one(uint32_t share, unsigned seen) {
    return share > LOSS_UNIT / seen ? share - LOSS_UNIT / seen : 0;
}

void window_uncount(struct windows *windows, struct window *window, struct mono sent) {
    if (windows->loss_seen > 0) {
        windows->loss = less_one(windows->loss, seen_of(windows));
        windows->loss_long = less_one(windows->loss_long, windows->loss_seen);
    }
    window->loss = less_one(window->loss, LOSS_SEEN_SLOT);
    if (is_tried(&windows->trial, sent) && windows->trial.lost > 0)
        windows->trial.lost--;
}

unsigned windows_parity(const struct windows *windows, unsigned k) {
    if (k == 1)
        return 0;
    double p = (double)(windows->loss_seen ? windows->loss : LOSS_UNMEASURED) / LOSS_UNIT;
    double m = ceil(k * p + 2 * sqrt(k * p * (1 - p))); /* the mean and two deviations */
    return m > SHARD_COUNT_MAX - k ? SHARD_COUNT_MAX - k : (unsigned)m;
}

/* ---- Round trips ---- */

/* RFC 6298 is made for a sample each round trip. Of those that come more often each counts for the
 * part of one that it is from the last, or the deviation would be of a few of one path. */
void windows_measure(struct windows *windows, int64_t sample_us, struct mono now) {
    int64_t since_us = now.us - windows->measured.us, weight = SAMPLE_UNIT;
    windows->measured = now;
    if (windows->srtt_us < 0) {
        windows->srtt_us = sample_us;
        windows->rttvar_us = sample_us / 2;
        return;
    }
    if (since_us < windows->srtt_us)
        weight = SAMPLE_UNIT * since_us / windows->srtt_us;
    if (weight < SAMPLE_LEAST)
        weight = SAMPLE_LEAST;
    int64_t error = sample_us - windows->srtt_us, size = error < 0 ? -error : error;
    windows->rttvar_us += (size - windows->rttvar_us) * weight / (4 * SAMPLE_UNIT);
    windows->srtt_us += error * weight / (8 * SAMPLE_UNIT);
}

/* The recipient answers a whole parcel once its disk has it: its worst of late, slowly
 * forgotten. */
void windows_measure_store(struct windows *windows, int64_t sample_us) {
    int64_t more = windows->srtt_us < 0 ? 0 : sample_us - windows->srtt_us;
    if (more > STORE_MAX_US)
        more = STORE_MAX_US;
    windows->store_us -= windows->store_us / 32;
    if (more > windows->store_us)
        windows->store_us = more;
}

int64_t windows_timeout_us(const struct windows *windows) {
    int64_t more = 4 * windows->rttvar_us < RECEIPT_US ? RECEIPT_US : 4 * windows->rttvar_us;
    int64_t rto = windows->srtt_us < 0 ? RTO_UNMEASURED_US : windows->srtt_us + more;
    return rto < RTO_MIN_US ? RTO_MIN_US : rto > RTO_MAX_US ? RTO_MAX_US : rto;
}

int64_t windows_reorder_us(const struct windows *windows) {
    return windows->srtt_us < 0 ? 0 : windows->srtt_us + 2 * windows->rttvar_us;
}

void windows_init(struct windows *windows, struct window *v, unsigned n) {
    *windows = (struct windows){.v = v, .n = n, .srtt_us = -1};
    for (unsigned i = 0; i < n; i++)
        window_init(&v[i]);
}

void windows_recall(struct windows *windows, int64_t srtt_us, int64_t rttvar_us) {
    windows->srtt_us = srtt_us;
    windows->rttvar_us = rttvar_us;
}

void window_landed(struct window *window) {
    assert(window->flight > 0);
    window->flight--;
}
