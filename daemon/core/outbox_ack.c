/* What is heard from a recipient, and what is not: receipts, round trips, windows, time-outs,
 * back-off. Threat: relays drop selectively, and anybody may invent receipts; none counts before
 * its mac is verified. What nobody answers is asked for ever less often, one shard at a time.
 * Round-trip estimate: RFC 6298, with Karn's rule (nothing that was sent twice is measured). */
#include "daemon/core/outbox_private.h"

#include <assert.h>

#define WINDOW_MIN 2
#define REORDER_MAX                                                                                \
    3 /* so many later packets of its path arrived: lost, as in TCP's fast retransmit */
#define RTO_UNMEASURED_US (300 * US_PER_MS)
#define RTO_MIN_US (50 * US_PER_MS)
#define RTO_MAX_US (60 * US_PER_S)
/* While routes to it exist the recipient is there, and what is lost is lost on the way (four links that lose 30% let one answer in
 * seventeen through): it is asked at least so often, for so many time-outs. */
#define PATIENT_US (5 * US_PER_S)
#define PATIENT_TIMEOUTS 60

/* ---- Estimates ---- */

static void measure(struct out_flow *flow, int64_t sample_us) {
    if (flow->srtt_us < 0) {
        flow->srtt_us = sample_us;
        flow->rttvar_us = sample_us / 2;
        return;
    }
    int64_t error =
        sample_us > flow->srtt_us ? sample_us - flow->srtt_us : flow->srtt_us - sample_us;
    flow->rttvar_us = (3 * flow->rttvar_us + error) / 4;
    flow->srtt_us = (7 * flow->srtt_us + sample_us) / 8;
}

int64_t out_timeout_us(const struct out_flow *flow) {
    int64_t rto = flow->srtt_us < 0 ? RTO_UNMEASURED_US : flow->srtt_us + 4 * flow->rttvar_us;
    return rto < RTO_MIN_US ? RTO_MIN_US : rto > RTO_MAX_US ? RTO_MAX_US : rto;
}

/* How long to wait for an answer to what a parcel sends now. */
int64_t out_delay_us(struct outbox *outbox, const struct out_parcel *parcel) {
    int64_t delay = out_timeout_us(parcel->flow);
    if (parcel->timeouts <= OUTBOX_FAST_RESENDS)
        return delay;
    for (unsigned i = OUTBOX_FAST_RESENDS; i < parcel->timeouts && delay < OUTBOX_BACKOFF_MAX_US;
         i++)
        delay *= 2;
    int64_t most = parcel->timeouts < PATIENT_TIMEOUTS ? PATIENT_US : OUTBOX_BACKOFF_MAX_US;
    if (delay > most)
        delay = most;
    /* Jitter: those who lost the same recipient must not come back in step. */
    return delay - (int64_t)random_below(&outbox->config.random, (uint64_t)delay / 8);
}

void out_slot_retire(struct out_slot *slot) {
    path_free(slot->path);
    slot->path = NULL;
}

/* Halve, once a round trip: the losses of one burst are one sign. */
static void slot_cut(const struct out_flow *flow, struct out_slot *slot, struct mono now) {
    int64_t round_us = flow->srtt_us < 0 ? RTO_UNMEASURED_US : flow->srtt_us;
    if (now.us - slot->cut.us < round_us)
        return;
    slot->cut = now;
    slot->acked = 0;
    slot->window = slot->window / 2 < WINDOW_MIN ? WINDOW_MIN : slot->window / 2;
}

static void shard_arrived(struct outbox *outbox, struct out_parcel *parcel, struct out_shard *shard,
                          struct mono now) {
    struct out_slot *slot = &parcel->flow->slots[shard->slot];
    if (shard->state == OUT_FLYING)
        slot->flight--;
    else if (shard->state == OUT_WAITING)
        parcel->waiting--;
    shard->state = OUT_ARRIVED;
    parcel->arrived++;
    if (++slot->acked >= slot->window) {
        slot->acked = 0;
        if (slot->window < OUTBOX_WINDOW_MAX)
            slot->window++;
    }
    if (!slot->path || slot->id != shard->path)
        return;
    slot->heard = now;
    if (!slot->worked)
        path_worked(outbox->config.paths, slot->path, now);
    slot->worked = true;
}

static void shard_lost(struct out_parcel *parcel, struct out_shard *shard, struct mono now) {
    struct out_slot *slot = &parcel->flow->slots[shard->slot];
    assert(shard->state == OUT_FLYING && slot->flight > 0);
    slot->flight--;
    slot_cut(parcel->flow, slot, now);
    shard->state = OUT_WAITING;
    parcel->waiting++;
}

/* ---- Time-outs ---- */

/* Nothing was heard in time. All that flies is taken for lost, but little is sent until something
 * is heard: the receipt alone may have been lost, and one shard asks for it again. */
static void parcel_time_out(struct outbox *outbox, struct out_parcel *parcel, struct mono now) {
    struct out_flow *flow = parcel->flow;
    for (unsigned i = 0; i < parcel->k; i++) {
        struct out_shard *shard = &parcel->shards[i];
        struct out_slot *slot = &flow->slots[shard->slot];
        if (shard->state != OUT_FLYING)
            continue;
        shard_lost(parcel, shard, now);
        if (!slot->path || slot->id != shard->path || slot->heard.us >= shard->sent.us)
            continue;
        if (!slot->worked)
            path_failed(outbox->config.paths, slot->path, now);
        out_slot_retire(slot);
    }
    if (parcel->waiting == 0) { /* all arrived, and the word that it is stored did not */
        parcel->shards[parcel->k - 1].state = OUT_WAITING;
        parcel->arrived--;
        parcel->waiting++;
    }
    flow->tried = now;
    parcel->timeouts++;
    parcel->credit = parcel->timeouts <= OUTBOX_FAST_RESENDS ? 1u << (parcel->timeouts - 1) : 1;
    parcel->deadline = mono_add(now, out_delay_us(outbox, parcel));
}

void out_flow_time_out(struct outbox *outbox, struct out_flow *flow, struct mono now) {
    struct out_parcel *parcel;
    TAILQ_FOREACH(parcel, &flow->parcels, link) {
        if (parcel->state != OUT_SEALED || !mono_is_due(parcel->deadline, now))
            continue;
        bool flies = parcel->k > parcel->waiting + parcel->arrived;
        if (!flies && parcel->waiting > 0) /* no window was open; that of others will be */
            parcel->deadline = mono_add(now, out_timeout_us(flow));
        else
            parcel_time_out(outbox, parcel, now);
    }
    if (!out_flow_is_silent(flow))
        return;
    /* One parcel asks whether anybody is there; the others need no memory meanwhile. */
    for (parcel = TAILQ_NEXT(TAILQ_FIRST(&flow->parcels), link); parcel;
         parcel = TAILQ_NEXT(parcel, link)) {
        if (parcel->state == OUT_SEALED && parcel->timeouts > OUTBOX_FAST_RESENDS)
            out_parcel_empty(outbox, parcel);
        if (parcel->state != OUT_SEALED)
            parcel->deadline = MONO_NEVER;
    }
}

/* Somebody is there: everything resumes. */
static void flow_heard(struct outbox *outbox, struct out_flow *flow, struct mono now) {
    struct mono soon = mono_add(now, out_timeout_us(flow));
    struct out_parcel *parcel;
    TAILQ_FOREACH(parcel, &flow->parcels, link) {
        parcel->timeouts = 0;
        parcel->credit = OUTBOX_CREDIT_ALL;
        parcel->deadline =
            parcel->state == OUT_SEALED ? mono_min(parcel->deadline, soon) : MONO_NEVER;
    }
    if (flow->unreachable)
        flow->resume = now;
    flow->unreachable = false;
    flow->retry_us = OUTBOX_UNREACHABLE_MIN_US;
    out_flow_wake(outbox, flow);
}

/* ---- Receipts ---- */

static struct out_parcel *find_parcel(const struct outbox *outbox, const struct parcel_id *id) {
    uint64_t hash = table_hash(&outbox->parcels, id, sizeof *id);
    for (struct table_link *link = table_first(&outbox->parcels, hash); link;
         link = table_next(link)) {
        struct out_parcel *parcel = table_entry(link, struct out_parcel, by_id);
        if (memcmp(&parcel->id, id, sizeof *id) == 0)
            return parcel;
    }
    return NULL;
}

/* What a receipt tells of a shard that it does not show: lost if enough later ones of its path are
 * there, or if it had its time. */
static bool is_lost(const struct out_flow *flow, const struct out_shard *shard,
                    const struct parcel_receipt *receipt, struct mono now) {
    for (unsigned i = 0; i < receipt->n_paths; i++)
        if (receipt->paths[i].path == shard->path &&
            shard->packet + REORDER_MAX <= receipt->paths[i].highest)
            return true;
    return now.us - shard->sent.us >= out_timeout_us(flow);
}

/* It was there and is no longer: the recipient was restarted, short of memory, or its disk failed. A receipt that was merely
 * overtaken is older than a round trip at most. */
static void shard_forgotten(struct out_parcel *parcel, struct out_shard *shard, struct mono now) {
    if (shard->state != OUT_ARRIVED || now.us - shard->sent.us < out_timeout_us(parcel->flow))
        return;
    shard->state = OUT_WAITING;
    parcel->arrived--;
    parcel->waiting++;
}

static void apply_partial(struct outbox *outbox, struct out_parcel *parcel,
                          const struct parcel_receipt *receipt, struct mono now) {
    struct out_flow *flow = parcel->flow;
    int64_t sample_us = -1;
    for (unsigned i = 0; i < parcel->k; i++) {
        struct out_shard *shard = &parcel->shards[i];
        if (!(receipt->bitmap[i / 8] & 1 << i % 8)) {
            shard_forgotten(parcel, shard, now);
            continue;
        }
        if (shard->state == OUT_ARRIVED)
            continue;
        if (shard->sends == 1 && (sample_us < 0 || now.us - shard->sent.us < sample_us))
            sample_us = now.us - shard->sent.us;
        shard_arrived(outbox, parcel, shard, now);
    }
    if (sample_us >= 0)
        measure(flow, sample_us);
    for (unsigned i = 0; i < parcel->k; i++)
        if (parcel->shards[i].state == OUT_FLYING &&
            is_lost(flow, &parcel->shards[i], receipt, now))
            shard_lost(parcel, &parcel->shards[i], now);
    flow_heard(outbox, flow, now);
}

/* The answer to a whole parcel is the answer to what was sent last, if nothing was sent twice. */
static void measure_parcel(struct out_parcel *parcel, struct mono now) {
    int64_t sample_us = INT64_MAX;
    for (unsigned i = 0; i < parcel->k; i++) {
        if (parcel->shards[i].sends != 1)
            return;
        if (now.us - parcel->shards[i].sent.us < sample_us)
            sample_us = now.us - parcel->shards[i].sent.us;
    }
    measure(parcel->flow, sample_us);
}

static void apply_complete(struct outbox *outbox, struct out_parcel *parcel, struct mono now,
                           struct wall wall) {
    struct out_flow *flow = parcel->flow;
    struct out_item *items = parcel->items;
    size_t n = parcel->n_items;
    measure_parcel(parcel, now);
    for (unsigned i = 0; i < parcel->k; i++)
        if (parcel->shards[i].state != OUT_ARRIVED)
            shard_arrived(outbox, parcel, &parcel->shards[i], now);
    parcel->items = NULL;
    parcel->n_items = 0;
    out_parcel_drop(outbox, parcel);
    flow_heard(outbox, flow, now);
    for (size_t i = 0; i < n; i++)
        if (items[i].message && --items[i].message->blocks_left == 0)
            out_finish(outbox, items[i].message, MESSAGE_DELIVERED, NULL, now, wall);
    free(items);
}

static void apply_refused(struct outbox *outbox, struct out_parcel *parcel, uint8_t reason,
                          struct mono now, struct wall wall) {
    struct out_flow *flow = parcel->flow;
    struct out_message *message = parcel->items[0].message;
    flow_heard(outbox, flow, now);
    if (parcel->n_items > 1)
        out_parcel_split(outbox, parcel);
    else if (message)
        out_finish(outbox, message, MESSAGE_REFUSED, parcel_reason_words(reason), now, wall);
}

static enum drop apply_receipt(struct outbox *outbox, const struct parcel_receipt *receipt,
                               struct mono now, struct wall wall) {
    struct out_parcel *parcel = find_parcel(outbox, &receipt->id);
    bool partial = receipt->status == PARCEL_PARTIAL;
    uint8_t key[KEY_LEN];
    if (!parcel)
        return DROP_UNKNOWN;
    const struct parcel_secret *secret =
        partial ? out_flow_secret(outbox, parcel->flow, now) : NULL;
    if (partial && !secret)
        return DROP_AUTH;
    if (partial)
        parcel_receipt_key(secret, &receipt->id, key);
    else
        memcpy(key, outbox->receipt_keys[parcel->key], KEY_LEN);
    bool authentic = parcel_receipt_is_authentic(receipt, key);
    sodium_memzero(key, sizeof key);
    if (!authentic)
        return DROP_AUTH;
    if (partial && (receipt->k != parcel->k || receipt->m != 0))
        return DROP_MALFORMED;
    if (partial)
        apply_partial(outbox, parcel, receipt, now);
    else if (receipt->status == PARCEL_COMPLETE)
        apply_complete(outbox, parcel, now, wall);
    else
        apply_refused(outbox, parcel, receipt->reason, now, wall);
    return DROP_NONE;
}

enum drop outbox_receipt(struct outbox *outbox, const uint8_t *payload, size_t length,
                         struct mono now, struct wall wall) {
    struct wire_reader reader = wire_reader(payload, length);
    enum drop first = DROP_NONE;
    if (wire_get_uint(&reader, 1) != PAYLOAD_RECEIPTS || wire_left(&reader) == 0)
        return DROP_MALFORMED;
    while (wire_left(&reader) > 0) {
        struct parcel_receipt receipt;
        enum drop drop = parcel_receipt_decode(&reader, &receipt);
        if (drop != DROP_NONE)
            return first ? first : drop;
        drop = apply_receipt(outbox, &receipt, now, wall);
        if (first == DROP_NONE)
            first = drop;
    }
    return first;
}
