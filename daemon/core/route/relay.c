#include "daemon/core/route/relay.h"

#include "daemon/core/base/rate.h"

#include <errno.h>
#include <stdlib.h>

#define MONTH_DAYS_US                                                                              \
    (30 * 24 *                                                                                     \
     US_PER_HOUR) /* allowances begin anew every 30 days from 1970: no calendar in the core */
#define BURST_US (50 * US_PER_MS) /* so much of the rate may go at once after a pause */

struct waiting_packet {
    struct waiting_packet *next;
    uint64_t to;
    uint8_t packet[ONION_LEN];
};
struct relay_queue {
    struct waiting_packet *first, **last;
    size_t n;
};
struct relay {
    struct links *links;
    struct budget *budget;
    uint64_t rate, month;
    uint64_t month_number, month_bytes;
    struct rate sent;
    struct relay_queue queues[LINK_SLOTS];
    unsigned turn;
    size_t n;
    uint64_t dropped;
};

static struct waiting_packet *queue_pop(struct relay *relay, struct relay_queue *queue) {
    struct waiting_packet *packet = queue->first;
    queue->first = packet->next;
    if (!queue->first)
        queue->last = &queue->first;
    queue->n--;
    relay->n--;
    budget_give(relay->budget, BUDGET_EGRESS, sizeof *packet);
    return packet;
}

/* Drop the oldest packet of the longest queue. False: nothing waits. */
static bool evict(void *context) {
    struct relay *relay = context;
    struct relay_queue *longest = NULL;
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        if (relay->queues[i].n > 0 && (!longest || relay->queues[i].n > longest->n))
            longest = &relay->queues[i];
    if (!longest)
        return false;
    free(queue_pop(relay, longest));
    relay->dropped++;
    return true;
}

struct relay *relay_new(uint64_t rate, uint64_t month, struct links *links, struct budget *budget) {
    struct relay *relay = calloc(1, sizeof *relay);
    if (!relay)
        return NULL;
    *relay = (struct relay){.links = links, .budget = budget, .rate = rate, .month = month};
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        relay->queues[i].last = &relay->queues[i].first;
    budget->evict[BUDGET_EGRESS] = evict;
    budget->context[BUDGET_EGRESS] = relay;
    return relay;
}

void relay_free(struct relay *relay) {
    if (!relay)
        return;
    while (relay->n > 0)
        evict(relay);
    free(relay);
}

void relay_configure(struct relay *relay, uint64_t rate, uint64_t month) {
    relay->rate = rate;
    relay->month = month;
}

static int64_t cost_us(const struct relay *relay) {
    return (int64_t)(DATAGRAM_LEN * (uint64_t)US_PER_S / relay->rate);
}

/* Take the right to send one datagram now. */
static bool may_send(struct relay *relay, struct mono now) {
    if (relay->rate == 0)
        return true;
    return rate_take(&relay->sent, cost_us(relay), BURST_US, now);
}

/* Has the month's allowance room for one more packet beside those that wait? Only packets that were
 * sent are charged to it. One that is dropped here, or has no next hop, costs its sender bandwidth,
 * and must not use up what others may send. */
static bool month_allows(struct relay *relay, struct wall wall) {
    uint64_t number = (uint64_t)(wall.us / MONTH_DAYS_US);
    if (relay->month == 0)
        return true;
    if (number != relay->month_number) {
        relay->month_number = number;
        relay->month_bytes = 0;
    }
    return relay->month_bytes + (relay->n + 1) * DATAGRAM_LEN <= relay->month;
}

bool relay_month_is_used_up(const struct relay *relay, struct wall wall, int64_t *ret_left_us) {
    *ret_left_us = MONTH_DAYS_US - wall.us % MONTH_DAYS_US;
    return relay->month > 0 && relay->month_number == (uint64_t)(wall.us / MONTH_DAYS_US) &&
           relay->month_bytes + DATAGRAM_LEN > relay->month;
}

static enum drop sent(struct relay *relay, int error) {
    if (error == 0)
        relay->month_bytes += DATAGRAM_LEN;
    return error == 0 ? DROP_NONE : error == -ENOTCONN ? DROP_NO_ROUTE : DROP_QUEUE;
}

static enum drop put_off(struct relay *relay, unsigned from, uint64_t to,
                         const uint8_t packet[ONION_LEN]) {
    struct relay_queue *queue = &relay->queues[from];

    /* At most one second's worth of the rate waits: a packet that waited for longer has been sent
     * again by its sender. */
    if (relay->n * DATAGRAM_LEN >= relay->rate && !evict(relay))
        return DROP_QUEUE;
    if (!budget_take(relay->budget, BUDGET_EGRESS, sizeof(struct waiting_packet)))
        return DROP_QUEUE;
    struct waiting_packet *waiting = malloc(sizeof *waiting);
    if (!waiting) {
        budget_give(relay->budget, BUDGET_EGRESS, sizeof *waiting);
        return DROP_QUEUE;
    }
    waiting->next = NULL;
    waiting->to = to;
    memcpy(waiting->packet, packet, ONION_LEN);
    *queue->last = waiting;
    queue->last = &waiting->next;
    queue->n++;
    relay->n++;
    return DROP_NONE;
}

enum drop relay_packet(struct relay *relay, unsigned from, uint64_t to, uint8_t *onion,
                       struct now now) {
    enum drop drop = DROP_LIMIT;

    if (month_allows(relay, now.wall)) {
        if (relay->n == 0 && may_send(relay, now.mono))
            return sent(relay, links_onion_send(relay->links, to, onion, now.mono));
        drop = put_off(relay, from, to, onion);
    }
    links_onion_cancel(relay->links, onion);
    return drop;
}

void relay_tick(struct relay *relay, struct mono now) {
    while (relay->n > 0 && may_send(relay, now)) {
        do
            relay->turn = (relay->turn + 1) % LINK_SLOTS;
        while (relay->queues[relay->turn].n == 0);
        struct waiting_packet *packet = queue_pop(relay, &relay->queues[relay->turn]);
        if (sent(relay, links_send_onion(relay->links, packet->to, packet->packet, now)) !=
            DROP_NONE)
            relay->dropped++;
        free(packet);
    }
}

struct mono relay_next(const struct relay *relay) {
    return relay->n > 0 ? rate_due(&relay->sent, BURST_US) : MONO_NEVER;
}

uint64_t relay_dropped(const struct relay *relay) {
    return relay->dropped;
}
