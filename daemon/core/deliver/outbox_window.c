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
#include "daemon/core/deliver/outbox_private.h"

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

void out_slot_init(struct out_slot *slot) {
    *slot = (struct out_slot){.window = OUTBOX_WINDOW_FIRST * OUTBOX_WINDOW_UNIT,
                              .starting = true,
                              .cut = {INT64_MIN / 2},
                              .heard = {INT64_MIN}};
}

void out_slot_renew(struct out_slot *slot, uint32_t id) {
    slot->id = id;
    slot->packets = 0;
    slot->worked = slot->based = false;
    slot->heard = (struct mono){INT64_MIN};
}

/* ---- Delay ---- */

/* What the other paths waited at least, or would have, when this was sent: they leave through the
 * same door. What is known of another time says little. */
static int64_t shared_queue(const struct out_flow *flow, const struct out_slot *except,
                            struct mono sent) {
    int64_t least = INT64_MAX;
    for (unsigned i = 0; i < flow->n_slots; i++) {
        const struct out_slot *slot = &flow->slots[i];
        if (slot == except || !slot->path || !slot->based)
            continue;
        int64_t apart = slot->sampled.us - sent.us;
        int64_t queue = slot->queue_us - (apart < 0 ? -apart : apart);
        if (queue < 0)
            queue = 0;
        if (queue < least)
            least = queue;
    }
    return least == INT64_MAX ? except->queue_us : least;
}

static int64_t target_us(const struct out_flow *flow, const struct out_slot *slot) {
    int64_t base = flow->srtt_us > slot->queue_us ? flow->srtt_us - slot->queue_us : 0;
    int64_t target = base / 4;
    return target < TARGET_MIN_US ? TARGET_MIN_US : target > TARGET_MAX_US ? TARGET_MAX_US : target;
}

/* What a new path takes for its queue may have been another's a moment before, and false bases are
 * handed on. So where a quarter of the window is gone and the queue is not (were it ours alone, a
 * quarter of it would be, and more), it counts for the path's own delay. To yield further could not
 * make room, and would end at nothing. */
static bool is_not_ours(const struct out_flow *flow, struct out_slot *slot, struct mono sent,
                        int64_t queue) {
    if (queue <= target_us(flow, slot)) {
        slot->high_window = 0;
        return false;
    }
    bool yielded = slot->window <= slot->high_window / 4 * 3 &&
                   sent.us - slot->high_at.us >= HIGH_ROUNDS * flow->srtt_us;
    if (yielded && queue >= slot->high_us * 7 / 8)
        return true;
    if (slot->high_window == 0 || yielded) {
        slot->high_window = slot->window;
        slot->high_us = queue;
        slot->high_at = sent;
    }
    return false;
}

void out_slot_delay(struct out_flow *flow, struct out_slot *slot, struct mono sent,
                    uint32_t arrived) {
    uint32_t delay = arrived - (uint32_t)sent.us;
    int64_t queue = (int32_t)(delay - slot->base);
    if (!slot->based || queue > QUEUE_MAX_US || queue < -QUEUE_MAX_US) {
        queue = shared_queue(flow, slot, sent);
        slot->base = delay - (uint32_t)queue;
        slot->based = true;
    } else if (queue < 0) {
        slot->base = delay;
        queue = 0;
    }
    if (is_not_ours(flow, slot, sent, queue)) {
        slot->high_window = 0;
        slot->base = delay;
        queue = 0;
    }
    slot->queue_us = queue;
    slot->sampled = sent;
    if (queue > target_us(flow, slot) * 3 / 4)
        slot->starting = false;
}

/* ---- Windows ---- */

/* For each packet answered, 1/window of what brings the window half the way to where the queue
 * would be as aimed at: half, for what is seen is a round trip old; all of it while the queue is
 * far from there. A window that is not used says nothing, and one whose delay is not measured
 * (parcels of a shard or two) stays small. */
void out_slot_grow(const struct out_flow *flow, struct out_slot *slot) {
    int64_t target = target_us(flow, slot), queue = slot->queue_us, window = slot->window;
    int64_t round_us = flow->srtt_us > queue ? flow->srtt_us : queue + 1;
    bool used =
        (uint64_t)(slot->flight + slot->flight / 8 + RECEIPTS_SHARDS) * OUTBOX_WINDOW_UNIT >=
        slot->window;
    int64_t unit = OUTBOX_WINDOW_UNIT;
    if (slot->starting)
        window += unit;
    else if (queue < target / 2)
        window += unit * (target - queue) / round_us;
    else
        window += unit * (target - queue) / (2 * round_us);
    int64_t most = slot->based ? OUTBOX_WINDOW_MAX * unit : OUTBOX_WINDOW_FIRST * unit;
    if (window > slot->window &&
        (!used || slot->window >= most || flow->trial.stage != OUT_TRIAL_NONE))
        return;
    if (window > most && slot->window <= most)
        window = most;
    slot->window = window < OUTBOX_WINDOW_MIN * unit ? OUTBOX_WINDOW_MIN * OUTBOX_WINDOW_UNIT
                                                     : (uint32_t)window;
}

static void slot_halve(struct out_slot *slot, struct mono now) {
    slot->cut = now;
    slot->window /= 2;
    slot->high_window = 0;
    if (slot->window < OUTBOX_WINDOW_MIN * OUTBOX_WINDOW_UNIT)
        slot->window = OUTBOX_WINDOW_MIN * OUTBOX_WINDOW_UNIT;
}

/* Halve, once a round trip: the losses of one burst are one sign. Loss without a queue says that
 * links are bad rather than full, up to where it must be a limiter's of this path. That the half is
 * too much as well has to be seen anew. */
static void slot_cut(const struct out_flow *flow, struct out_slot *slot, struct mono now) {
    int64_t round_us = flow->srtt_us < 0 ? RTO_UNMEASURED_US : flow->srtt_us;
    bool queues = slot->queue_us >= target_us(flow, slot) * 3 / 4;
    if (slot->loss <= flow->loss_floor + (queues ? LOSS_COUNTS : LOSS_LIMITER) ||
        now.us - slot->cut.us < round_us)
        return;
    slot_halve(slot, now);
    slot->starting = false;
    slot->loss = flow->loss_floor + LOSS_COUNTS / 2;
}

/* ---- Is it our doing? ----
 * A limiter drops what is beyond its rate, so that half as much loses far less; of what bad links
 * lose half as much loses the same share. Windows stand still meanwhile. */

static void trial_begin(struct out_flow *flow, enum out_trial_stage stage, uint32_t before,
                        struct mono now) {
    int64_t round_us = flow->srtt_us < 0 ? RTO_UNMEASURED_US : flow->srtt_us;
    uint64_t window = 1;
    for (unsigned i = 0; i < flow->n_slots; i++)
        window += flow->slots[i].path ? flow->slots[i].window / OUTBOX_WINDOW_UNIT : 0;
    /* What a window that was just halved sends first it sends in bursts, which lose more. And
     * losses are found later than arrivals: to stop at a number of either would be unfair. */
    struct mono from = mono_add(now, stage == OUT_TRIAL_HALF ? round_us : 0);
    struct mono until = mono_add(from, round_us + round_us * TRIAL_PACKETS / (int64_t)window);
    flow->trial = (struct out_trial){.stage = stage,
                                     .from = from,
                                     .until = until,
                                     .end = mono_add(until, round_us / 2 + out_timeout_us(flow)),
                                     .before = before};
}

static void trial_halve(struct out_flow *flow, uint32_t before, struct mono now) {
    for (unsigned i = 0; i < flow->n_slots; i++)
        slot_halve(&flow->slots[i], now);
    trial_begin(flow, OUT_TRIAL_HALF, before, now);
}

/* What lost as much is not, unless next to nothing arrives: then the windows are again as they
 * were, and what is lost so is lost whatever we do. If it is, they stay at three quarters, or at
 * the half if that lost much as well. */
static void trial_judge(struct out_flow *flow, uint32_t after, struct mono now) {
    uint32_t floor = flow->loss_floor, before = flow->trial.before;
    bool is_less = after < floor + (before - floor) / 4 * 3;
    /* As much passes as did of twice as much: a limiter's, by far exceeded. */
    bool is_even = LOSS_UNIT - after > (LOSS_UNIT - before) / 5 * 7;
    bool is_ours = is_less || is_even || after > LOSS_HOPELESS;
    uint32_t halves = !is_ours ? 2 : after > floor + LOSS_COUNTS / 2 ? 0 : 1;
    flow->loss_floor = is_ours ? floor : after;
    for (unsigned i = 0; i < flow->n_slots; i++) {
        struct out_slot *slot = &flow->slots[i];
        slot->loss = after;
        slot->cut = now;
        slot->starting = slot->starting && !is_ours;
        slot->window += slot->window / 2 * halves;
        if (slot->window > OUTBOX_WINDOW_MAX * OUTBOX_WINDOW_UNIT)
            slot->window = OUTBOX_WINDOW_MAX * OUTBOX_WINDOW_UNIT;
    }
}

/* One stage is over. A suspicion that the first does not confirm is dropped. */
static void trial_advance(struct out_flow *flow, struct mono now) {
    struct out_trial trial = flow->trial;
    flow->trial.stage = OUT_TRIAL_NONE;
    if (trial.seen == 0)
        return;
    uint32_t share = (uint32_t)((uint64_t)trial.lost * LOSS_UNIT / trial.seen);
    flow->loss = flow->loss_long = share;
    if (trial.stage == OUT_TRIAL_HALF)
        trial_judge(flow, share, now);
    else if (share > flow->loss_floor + LOSS_COUNTS / 2)
        trial_halve(flow, share, now);
}

static bool is_tried(const struct out_trial *trial, struct mono sent) {
    return trial->stage != OUT_TRIAL_NONE && sent.us >= trial->from.us && sent.us < trial->until.us;
}

/* Is more lost than bad links account for? Beside a queue sooner than without one; and what doubles
 * each round trip has to be noticed soon. */
static bool is_suspect(const struct out_flow *flow) {
    bool queues = false, starting = false;
    for (unsigned i = 0; i < flow->n_slots; i++) {
        const struct out_slot *slot = &flow->slots[i];
        queues = queues || (slot->path && slot->queue_us >= target_us(flow, slot) * 3 / 4);
        starting = starting || (slot->path && slot->starting);
    }
    uint32_t loss = starting ? flow->loss : flow->loss_long;
    return loss > flow->loss_floor + (queues ? LOSS_COUNTS : LOSS_LIMITER);
}

static void trial_count(struct out_flow *flow, bool lost, struct mono sent, struct mono now) {
    struct out_trial *trial = &flow->trial;
    if (is_tried(trial, sent)) {
        trial->seen++;
        trial->lost += lost;
    }
    if (trial->stage != OUT_TRIAL_NONE && mono_is_due(trial->end, now))
        trial_advance(flow, now);
    else if (trial->stage == OUT_TRIAL_NONE && lost && is_suspect(flow))
        trial_begin(flow, OUT_TRIAL_WHOLE, 0, now);
}

/* ---- Loss ---- */

static uint32_t approach(uint32_t share, bool lost, unsigned seen) {
    int64_t error = (lost ? LOSS_UNIT : 0) - (int64_t)share;
    return (uint32_t)((int64_t)share + error / (int64_t)seen);
}

static unsigned seen_of(const struct out_flow *flow) {
    return flow->loss_seen < LOSS_SEEN_MAX ? flow->loss_seen : LOSS_SEEN_MAX;
}

void out_slot_count(struct out_flow *flow, struct out_slot *slot, bool lost, struct mono sent,
                    struct mono now) {
    if (flow->loss_seen == 0) {
        flow->loss_seen = LOSS_SEEN_FIRST;
        flow->loss = flow->loss_long = LOSS_UNMEASURED;
    }
    if (flow->loss_seen < LOSS_SEEN_LONG)
        flow->loss_seen++;
    flow->loss = approach(flow->loss, lost, seen_of(flow));
    flow->loss_long = approach(flow->loss_long, lost, flow->loss_seen);
    slot->loss = approach(slot->loss, lost, LOSS_SEEN_SLOT);
    if (flow->loss_floor > flow->loss_long)
        flow->loss_floor -= (flow->loss_floor - flow->loss_long) / LOSS_SEEN_LONG;
    trial_count(flow, lost, sent, now);
    if (lost && flow->trial.stage == OUT_TRIAL_NONE)
        slot_cut(flow, slot, now);
}

static uint32_t less_one(uint32_t share, unsigned seen) {
    return share > LOSS_UNIT / seen ? share - LOSS_UNIT / seen : 0;
}

void out_slot_uncount(struct out_flow *flow, struct out_slot *slot, struct mono sent) {
    if (flow->loss_seen > 0) {
        flow->loss = less_one(flow->loss, seen_of(flow));
        flow->loss_long = less_one(flow->loss_long, flow->loss_seen);
    }
    slot->loss = less_one(slot->loss, LOSS_SEEN_SLOT);
    if (is_tried(&flow->trial, sent) && flow->trial.lost > 0)
        flow->trial.lost--;
}

unsigned out_parity(const struct out_flow *flow, unsigned k) {
    if (flow->shards_k > 0)
        return flow->shards_m;
    if (k == 1)
        return 0;
    double p = (double)(flow->loss_seen ? flow->loss : LOSS_UNMEASURED) / LOSS_UNIT;
    double m = ceil(k * p + 2 * sqrt(k * p * (1 - p))); /* the mean and two deviations */
    return m > SHARD_COUNT_MAX - k ? SHARD_COUNT_MAX - k : (unsigned)m;
}

/* ---- Round trips ---- */

/* RFC 6298 is made for a sample each round trip. Of those that come more often each counts for the
 * part of one that it is from the last, or the deviation would be of a few of one path. */
void out_flow_measure(struct out_flow *flow, int64_t sample_us, struct mono now) {
    int64_t since_us = now.us - flow->measured.us, weight = SAMPLE_UNIT;
    flow->measured = now;
    if (flow->srtt_us < 0) {
        flow->srtt_us = sample_us;
        flow->rttvar_us = sample_us / 2;
        return;
    }
    if (since_us < flow->srtt_us)
        weight = SAMPLE_UNIT * since_us / flow->srtt_us;
    if (weight < SAMPLE_LEAST)
        weight = SAMPLE_LEAST;
    int64_t error = sample_us - flow->srtt_us, size = error < 0 ? -error : error;
    flow->rttvar_us += (size - flow->rttvar_us) * weight / (4 * SAMPLE_UNIT);
    flow->srtt_us += error * weight / (8 * SAMPLE_UNIT);
}

/* The recipient answers a whole parcel once its disk has it: its worst of late, slowly
 * forgotten. */
void out_flow_measure_store(struct out_flow *flow, int64_t sample_us) {
    int64_t more = flow->srtt_us < 0 ? 0 : sample_us - flow->srtt_us;
    if (more > STORE_MAX_US)
        more = STORE_MAX_US;
    flow->store_us -= flow->store_us / 32;
    if (more > flow->store_us)
        flow->store_us = more;
}

int64_t out_timeout_us(const struct out_flow *flow) {
    int64_t more = 4 * flow->rttvar_us < RECEIPT_US ? RECEIPT_US : 4 * flow->rttvar_us;
    int64_t rto = flow->srtt_us < 0 ? RTO_UNMEASURED_US : flow->srtt_us + more;
    return rto < RTO_MIN_US ? RTO_MIN_US : rto > RTO_MAX_US ? RTO_MAX_US : rto;
}

int64_t out_reorder_us(const struct out_flow *flow) {
    return flow->srtt_us < 0 ? 0 : flow->srtt_us + 2 * flow->rttvar_us;
}
