/* A long transfer over lines of 50 Mbit/s and 20 ms: how much of the sender's line carries what
 * arrives, and how long a short message pushed meanwhile takes. */
#include "tests/sim/scenarios.h"

#include <stdio.h>
#include <stdlib.h>

#define UPLINK_BYTES 6250000u
#define UPLINK_QUEUE_US (100 * US_PER_MS)
#define LIMITER_QUEUE_US (5 * US_PER_MS)
#define DELAY_US (20 * US_PER_MS)
#define MESSAGE_BYTES 15000000u
#define MESSAGES 3
#define SETTLE_US (3 * US_PER_S)
#define MEASURE_US (6 * US_PER_S) /* so much is left to send after it */
#define SHORTS 12
/* A block fills 80 shards, each a datagram on every link that it passes. */
#define BLOCK_BYTES 61440.0
#define BLOCK_DATAGRAMS 80.0
/* Two round trips over five links, the queue aimed at, and what the disks of the model take at
 * either end (a commit that is under way, and one's own). */
#define SHORT_MEDIAN_US (2 * 2 * 5 * DELAY_US + 25 * US_PER_MS + 2 * 100 * US_PER_MS)

static bool is_formed(struct sim *sim, void *unused) {
    return sim_all_know_all(sim, unused) && sim_components(sim) == 1;
}

struct line {
    double loss; /* a hop */
    int64_t queue_us;
    double share_wanted, dropped_most;
    bool quick; /* a short message may not wait long beside the long one */
};

static bool form(struct sim *sim, const struct line *line) {
    double loss = line->loss;
    sim->network.loss = loss;
    sim->network.delay_min_us = sim->network.delay_max_us = DELAY_US;
    sim->network.uplink_bytes = UPLINK_BYTES;
    sim->network.uplink_queue_us = line->queue_us;
    for (unsigned i = 0; i < sim->n_hosts; i++)
        sim_start(sim, i, &sim->hosts[0].address, i > 0);
    if (!sim_await(sim, 60 * US_PER_S, is_formed, NULL))
        sim_violation(sim, "no network formed");
    sim_run(sim, 10 * US_PER_S);
    return sim->violations == 0;
}

static void push_long(struct sim *sim, unsigned from, unsigned to) {
    uint8_t *body = malloc(MESSAGE_BYTES);
    if (!body)
        abort();
    for (uint32_t i = 0; i < MESSAGE_BYTES; i++)
        body[i] = (uint8_t)(i * 31 >> 7);
    for (unsigned k = 0; k < MESSAGES; k++)
        sim_push(sim, from, to, body, MESSAGE_BYTES);
    free(body);
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Latencies of the short ones in ascending order; one that has not arrived counts as for ever. */
static void short_latencies(const struct sim *sim, size_t first, int64_t ret_us[SHORTS]) {
    for (size_t i = 0; i < SHORTS; i++) {
        const struct sim_push *push = &sim->pushes[first + i];
        ret_us[i] = push->delivered_us ? push->delivered_us - push->pushed_us : INT64_MAX;
    }
    qsort(ret_us, SHORTS, sizeof *ret_us, compare);
}

struct outcome {
    double share, dropped;
    int64_t median_us;
};

static void transfer(struct sim *sim, const struct line *line, struct outcome *ret_outcome) {
    int64_t latencies[SHORTS];
    struct sim_host *from = sim_host(sim, 1), *to = sim_host(sim, 2);
    push_long(sim, 1, 2);
    sim_run(sim, SETTLE_US);
    uint64_t held = model_store_held(to->store), sent = from->uplink_sent,
             dropped = from->uplink_dropped;
    size_t first = sim->n_pushes;
    for (unsigned i = 0; i < SHORTS; i++) {
        sim_push(sim, 1, 2, "a word meanwhile", 16);
        sim_run(sim, MEASURE_US / SHORTS);
    }
    double blocks = (double)(model_store_held(to->store) - held) / BLOCK_BYTES;
    double could = (double)UPLINK_BYTES / DATAGRAM_LEN * (double)MEASURE_US / US_PER_S;
    double used = (double)(from->uplink_sent - sent);
    *ret_outcome = (struct outcome){.share = blocks * BLOCK_DATAGRAMS / could,
                                    .dropped = (double)(from->uplink_dropped - dropped) / used};
    if (!sim_await(sim, 240 * US_PER_S, sim_all_delivered, NULL))
        sim_violation(sim, "the transfer did not end");
    short_latencies(sim, first, latencies);
    ret_outcome->median_us = latencies[SHORTS / 2];
    printf("# bulk, %.0f%% loss a hop: %.1f%% of the line useful, %.1f%% of it used; %.1f%% "
           "dropped at it; short messages: median %lld ms, slowest %lld ms\n",
           line->loss * 100, ret_outcome->share * 100, used / could * 100,
           ret_outcome->dropped * 100, (long long)latencies[SHORTS / 2] / 1000,
           (long long)latencies[SHORTS - 1] / 1000);
    sim_check_messages(sim, true);
}

static void run(struct sim *sim, const struct line *line) {
    struct outcome outcome;
    if (!form(sim, line))
        return;
    transfer(sim, line, &outcome);
    if (outcome.share < line->share_wanted)
        sim_violation(sim, "useful shards had %.1f%% of the line, %.0f%% is wanted",
                      outcome.share * 100, line->share_wanted * 100);
    if (outcome.dropped > line->dropped_most)
        sim_violation(sim,
                      "%.1f%% of what was sent was dropped at the sender's line, %.0f%% may be",
                      outcome.dropped * 100, line->dropped_most * 100);
    if (line->quick && outcome.median_us > SHORT_MEDIAN_US)
        sim_violation(sim, "a short message took %lld ms beside a long one",
                      (long long)outcome.median_us / 1000);
}

void scenario_bulk(struct sim *sim) {
    run(sim, &(struct line){0.02, UPLINK_QUEUE_US, 0.80, 0.10, true});
}

void scenario_bulk_clean(struct sim *sim) {
    run(sim, &(struct line){0, UPLINK_QUEUE_US, 0.80, 0.10, true});
}

/* Of 100 sent 77, and 59, arrive over five links; and receipts are lost like them. */
void scenario_bulk_lossy(struct sim *sim) {
    run(sim, &(struct line){0.05, UPLINK_QUEUE_US, 0.56, 0.10, false});
}

void scenario_bulk_bad(struct sim *sim) {
    run(sim, &(struct line){0.10, UPLINK_QUEUE_US, 0.25, 0.10, false});
}

/* A line that drops what is beyond its rate, and never queues: only loss tells. */
void scenario_bulk_limiter(struct sim *sim) {
    run(sim, &(struct line){0, LIMITER_QUEUE_US, 0.60, 0.35, false});
}
