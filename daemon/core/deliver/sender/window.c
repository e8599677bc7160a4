/* How much may be under way to a recipient, and for how long: delays, windows, losses, time-outs.
 *
 * Threat: a recipient may lie about which packets arrived and when, and relays may delay or drop
 * packets as they like. The liar harms its own messages alone: every window, and the number of
 * packets in flight in all, has an upper bound, and no window sinks below WINDOW_MIN, which a round
 * trip can still be measured with.
 *
 * The law. A window follows the one-way queueing delay of its path, so that what others send over
 * the same links, and our own short messages, wait little (measured as in LEDBAT, RFC 6817; the
 * window moves as in FAST TCP, Wei et al. 2006). Loss is a weak sign here, since four lossy links
 * in a row are normal. So a share of losses shrinks a window only if it is far above loss_floor,
 * the share that a trial has found to be lost however little we send. */
#include "daemon/core/deliver/sender/window.h"

#include "daemon/core/wire/shard.h"

#include <assert.h>
#include <math.h>

#define RTO_UNMEASURED_US (300 * US_PER_MS)
#define RTO_MIN_US (50 * US_PER_MS)
/* The recipient waits so long for more shards before it sends a receipt, and some. */
#define RECEIPT_US (25 * US_PER_MS)
#define RTO_MAX_US (60 * US_PER_S)
#define STORE_MAX_US US_PER_S /* a disk that takes longer to store a parcel counts as silence */
/* The queueing delay that windows are steered to: a quarter of the round trip; at least what timers
 * and bursts cause by themselves; at most what a voice call over the same line bears. */
#define TARGET_MIN_US (5 * US_PER_MS)
#define TARGET_MAX_US (25 * US_PER_MS)
/* A queueing delay beyond this cannot be real: the recipient restarted its clock, or lies. */
#define QUEUE_MAX_US (10 * US_PER_S)
#define HIGH_ROUNDS 4 /* round trips until a window that was reduced must show in the queue */
#define LOSS_UNIT 65536u
#define LOSS_UNMEASURED (LOSS_UNIT / 100)
#define LOSS_COUNTS (LOSS_UNIT * 15 / 100)
#define LOSS_LIMITER (LOSS_UNIT * 35 / 100)
#define TRIAL_PACKETS 256u /* tell a share of losses from three quarters of it, mostly */
#define LOSS_HOPELESS                                                                              \
    (LOSS_UNIT / 4 * 3)    /* so much is lost when links are down, or the recipient is away */
#define LOSS_SEEN_FIRST 64 /* the initial guess weighs as much as so many packets */
#define LOSS_SEEN_WINDOW 256
#define LOSS_SEEN_MAX                                                                              \
    512 /* `loss` is then known to one in a hundred, and follows a change within a second */
#define LOSS_SEEN_LONG 2048u /* of `loss_long`: losses are found in lumps */

/* One onion packet of receipts reports so many shards at once, so a path counts as fully used when
 * its flight is so far below its window. */
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

/* The least queueing delay of the recipient's other paths around the time when the packet was sent:
 * all paths leave over the same line, so that much of the delay is not this path's own length. A
 * sample taken at another time is discounted by the distance in time. Without any other sample:
 * this path's last one. */
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

/* Is the queue that this path shows not caused by us? A new path takes its `base` from
 * shared_queue(), which may be too low, and the error is handed on from path to path. The test:
 * remember window and queue when the queue is found above the target; when a quarter of the window
 * has been given up since (and HIGH_ROUNDS round trips have passed), a queue of ours would have
 * shrunk by more than an eighth. If it has not, the delay belongs to the path: the caller makes it
 * the new base. Without this the window would sink to nothing and gain nothing by it. */
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

/* Move the window for one packet that was answered. Per round trip the window moves half of the way
 * to the size at which the queue would be as long as the target (half, because what is measured is
 * a round trip old; all of the way while the queue is below half the target). A window that is not
 * fully used is not grown, nor one whose delay is unmeasured (`based` is false: parcels of one or
 * two shards) beyond WINDOW_FIRST. */
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

/* Halve the window after losses, once a round trip, since the losses of one burst are one sign.
 * With a queue on the path the share must be LOSS_COUNTS above the floor; without a queue
 * LOSS_LIMITER, because then the links are bad rather than full, unless a rate limiter drops on
 * this path. `loss` is set back, so that the halved window is judged by its own losses. */
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
 * lose half as much loses the same share. No window grows meanwhile. */

static void trial_begin(struct windows *windows, enum window_trial_stage stage, uint32_t before,
                        struct mono now) {
    int64_t round_us = windows->srtt_us < 0 ? RTO_UNMEASURED_US : windows->srtt_us;
    uint64_t in_flight = 1;
    for (unsigned i = 0; i < windows->n; i++)
        in_flight += windows->v[i].is_live ? windows->v[i].size / WINDOW_UNIT : 0;
    /* A halved window first sends in bursts, which lose more: these packets (one round trip) do not
     * count. And the trial ends at a time, not at a number of packets, because losses are found
     * later than arrivals. */
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

/* Compare the share lost over half windows (`after`) with the share lost over whole ones
 * (`before`), and conclude:
 * - about as much is lost: the losses do not depend on us. loss_floor becomes `after`, the windows
 * get their old size back;
 * - less is lost, or as many packets pass as did of twice as many (a rate limiter, far exceeded),
 * or nearly nothing arrives: the losses are our doing. Windows grow from the half to three
 * quarters, or stay at the half if that still lost much. */
static void trial_judge(struct windows *windows, uint32_t after, struct mono now) {
    uint32_t floor = windows->loss_floor, before = windows->trial.before;
    bool is_less = after < floor + (before - floor) / 4 * 3;
    /* as many packets pass as did of twice as many */
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

/* A stage of the trial is over. If the first stage does not confirm the suspicion, the trial ends.
 */
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

/* Is more lost than loss_floor explains? If a path has a queue, LOSS_COUNTS more is enough, else
 * LOSS_LIMITER. In slow start the quick average counts, since windows double each round trip. */
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
    window->loss = approach(window->loss, lost, LOSS_SEEN_WINDOW);
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
    window->loss = less_one(window->loss, LOSS_SEEN_WINDOW);
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

/* RFC 6298 expects one sample a round trip. Here samples come more often; each is weighted by the
 * part of a round trip that has passed since the last one. Else rttvar would only show the
 * deviation of the last few samples of one path. */
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

/* The recipient answers a whole parcel only once its disk has it: store_us remembers the longest
 * such delay of late, and forgets it slowly. */
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
