/* What is heard from a recipient, and what is not: receipts, losses, time-outs, back-off. Threat:
 * relays drop selectively, and anybody may invent receipts; none counts before its mac is verified.
 * What nobody answers is asked for ever less often, one shard at a time. Nothing that was sent
 * twice is measured (Karn's rule). */
#include "daemon/core/deliver/outbox_private.h"

#include <assert.h>

/* So many later packets of its path arrived, and it had the time of most: lost, as in RACK (RFC
 * 8985). */
#define REORDER_MAX 3
/* While routes to it exist the recipient is there, and what is lost is lost on the way: five links
 * that lose 30% let one answer in 35 through. It is asked at least so often for ten minutes, and
 * one in 300 is not heard in that time; of five minutes at half the rate it was one in six. */
#define PATIENT_US (3 * US_PER_S)
#define PATIENT_TIMEOUTS 200
/* Time-outs that a late answer counts for as a round trip, at most. */
#define LATE_MAX 2

/* How long to wait for an answer to what a parcel sends now. */
int64_t out_delay_us(struct outbox *outbox, const struct out_parcel *parcel) {
    int64_t delay = out_timeout_us(parcel->flow) + parcel->flow->store_us;
    if (parcel->timeouts <= OUTBOX_FAST_RESENDS)
        return delay;
    if (parcel->pressed > 0)
        return 2 * delay;
    for (unsigned i = OUTBOX_FAST_RESENDS; i < parcel->timeouts && delay < OUTBOX_BACKOFF_MAX_US;
         i++)
        delay *= 2;
    int64_t most = parcel->timeouts < PATIENT_TIMEOUTS ? PATIENT_US : OUTBOX_BACKOFF_MAX_US;
    if (delay > most)
        delay = most;
    /* Jitter: those who lost the same recipient must not come back in step. */
    return delay - (int64_t)random_below(&outbox->config.random, (uint64_t)delay / 8);
}

static void shard_arrived(struct outbox *outbox, struct out_parcel *parcel, struct out_shard *shard,
                          struct mono now) {
    struct out_flow *flow = parcel->flow;
    struct out_slot *slot = &flow->slots[shard->slot];
    out_slot_grow(flow, slot);
    if (shard->state == OUT_FLYING) {
        slot->flight--;
        parcel->flying--;
        out_slot_count(flow, slot, false, shard->sent, now);
    } else {
        out_slot_uncount(flow, slot, shard->sent);
    }
    shard->state = OUT_ARRIVED;
    parcel->arrived++;
    if (slot->id != shard->path)
        return;
    /* After a time-out it may have been a late answer, or one to a copy sent another way. */
    if (parcel->timeouts == 0)
        path_silence_heard(&flow->silence, &slot->way);
    if (!slot->path)
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
    parcel->flying--;
    out_slot_count(parcel->flow, slot, true, shard->sent, now);
    shard->state = OUT_WAITING;
}

/* ---- Time-outs ---- */

/* It had its time. Its path goes, if nothing was heard over it since. */
static void shard_time_out(struct outbox *outbox, struct out_parcel *parcel,
                           struct out_shard *shard, struct mono now) {
    struct out_flow *flow = parcel->flow;
    struct out_slot *slot = &flow->slots[shard->slot];
    shard_lost(parcel, shard, now);
    if (slot->id != shard->path || slot->heard.us >= shard->sent.us)
        return;
    path_silence_note(&flow->silence, &slot->way, now);
    slot->way.n = 0;
    if (!slot->path)
        return;
    if (!slot->worked)
        path_failed(outbox->config.paths, slot->path, now);
    path_free(flow->silent.path);
    flow->silent = (struct out_silent){slot->path, slot->id, slot->packets};
    slot->path = NULL;
}

/* Nothing was heard in time. All that flies is taken for lost, but little is sent until something
 * is heard: the receipt alone may have been lost, and one shard asks for it again. */
static void parcel_time_out(struct outbox *outbox, struct out_parcel *parcel, struct mono now) {
    struct out_flow *flow = parcel->flow;
    for (unsigned i = 0; i < parcel->fresh; i++)
        if (parcel->shards[i].state == OUT_FLYING)
            shard_time_out(outbox, parcel, &parcel->shards[i], now);
    /* All arrived, and the word that it is stored did not. */
    for (unsigned i = parcel->fresh; i-- > 0 && parcel->arrived >= parcel->k;)
        if (parcel->shards[i].state == OUT_ARRIVED) {
            parcel->shards[i].state = OUT_WAITING;
            parcel->arrived--;
        }
    flow->tried = now;
    parcel->timeouts++;
    parcel->pressed -= parcel->pressed > 0;
    parcel->credit = parcel->timeouts <= OUTBOX_FAST_RESENDS ? 1u << (parcel->timeouts - 1) : 1;
    parcel->deadline = mono_add(now, out_delay_us(outbox, parcel));
}

void out_flow_time_out(struct outbox *outbox, struct out_flow *flow, struct mono now) {
    struct out_parcel *parcel;
    TAILQ_FOREACH(parcel, &flow->parcels, link) {
        if (parcel->state != OUT_SEALED || !mono_is_due(parcel->deadline, now))
            continue;
        if (parcel->flying == 0 &&
            parcel->arrived < parcel->k) /* no window was open; that of others will be */
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
    struct out_parcel *parcel;
    TAILQ_FOREACH(parcel, &flow->parcels, link) {
        bool asked = parcel->timeouts > 0;
        parcel->timeouts = 0;
        parcel->credit = OUTBOX_CREDIT_ALL;
        if (parcel->state != OUT_SEALED)
            parcel->deadline = MONO_NEVER;
        else if (asked)
            parcel->deadline =
                mono_min(parcel->deadline, mono_add(now, out_delay_us(outbox, parcel)));
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

static const struct parcel_path *find_path(const struct parcel_receipt *receipt, uint32_t path) {
    for (unsigned i = 0; i < receipt->n_paths; i++)
        if (receipt->paths[i].path == path)
            return &receipt->paths[i];
    return NULL;
}

/* What a receipt tells of a shard that it does not show. */
static void shard_missing(struct outbox *outbox, struct out_parcel *parcel, struct out_shard *shard,
                          const struct parcel_receipt *receipt, struct mono now) {
    const struct parcel_path *path = find_path(receipt, shard->path);
    int64_t age = now.us - shard->sent.us;
    if (age >= out_timeout_us(parcel->flow))
        shard_time_out(outbox, parcel, shard, now);
    else if (path && shard->packet + REORDER_MAX <= path->highest &&
             age >= out_reorder_us(parcel->flow))
        shard_lost(parcel, shard, now);
}

/* It was there and is no longer: the recipient was restarted, short of memory, or its disk failed.
 * A receipt that was merely overtaken is older than a round trip at most. */
static void shard_forgotten(struct out_parcel *parcel, struct out_shard *shard, struct mono now) {
    if (now.us - shard->sent.us < out_timeout_us(parcel->flow))
        return;
    shard->state = OUT_WAITING;
    parcel->arrived--;
}

/* What is told of a shard that was given up may have waited for the next one to be asked for: an
 * outage is no round trip. But one that has become longer than the time-out must be learnt. */
static int64_t bound_late(const struct out_flow *flow, int64_t sample_us) {
    int64_t most = LATE_MAX * out_timeout_us(flow);
    return sample_us < most ? sample_us : most;
}

/* A shard that a receipt shows for the first time. The latest of each path tells of its delay; and
 * of the round trip, so that what is measured has the paths' differences in it. */
static void shard_shown(struct out_parcel *parcel, const struct out_shard *shard,
                        const struct parcel_receipt *receipt, struct mono now) {
    struct out_flow *flow = parcel->flow;
    struct out_slot *slot = &flow->slots[shard->slot];
    const struct parcel_path *path = find_path(receipt, shard->path);
    if (!path || shard->packet != path->highest)
        return;
    int64_t sample_us = now.us - shard->sent.us;
    if (shard->sends == 1)
        out_flow_measure(flow, shard->state == OUT_FLYING ? sample_us : bound_late(flow, sample_us),
                         now);
    if (slot->id == shard->path)
        out_slot_delay(flow, slot, shard->sent, path->arrived);
}

static void apply_partial(struct outbox *outbox, struct out_parcel *parcel,
                          const struct parcel_receipt *receipt, struct mono now) {
    parcel->shown = true;
    for (unsigned i = 0; i < parcel->fresh; i++) {
        struct out_shard *shard = &parcel->shards[i];
        bool there = receipt->bitmap[i / 8] & 1 << i % 8;
        if (!there && shard->state == OUT_ARRIVED)
            shard_forgotten(parcel, shard, now);
        if (!there || shard->state == OUT_ARRIVED)
            continue;
        shard_shown(parcel, shard, receipt, now);
        shard_arrived(outbox, parcel, shard, now);
    }
    for (unsigned i = 0; i < parcel->fresh; i++)
        if (parcel->shards[i].state == OUT_FLYING)
            shard_missing(outbox, parcel, &parcel->shards[i], receipt, now);
    flow_heard(outbox, parcel->flow, now);
}

/* The answer to a whole parcel is the answer to what was sent last. If nothing was sent twice, and
 * no other receipt was had, it is a round trip. */
static void measure_parcel(struct out_parcel *parcel, struct mono now) {
    int64_t sample_us = INT64_MAX;
    bool again = false, late = false;
    for (unsigned i = 0; i < parcel->fresh; i++) {
        again = again || parcel->shards[i].sends > 1;
        late = late || parcel->shards[i].state == OUT_WAITING;
        if (now.us - parcel->shards[i].sent.us < sample_us)
            sample_us = now.us - parcel->shards[i].sent.us;
    }
    if (parcel->shown)
        out_flow_measure_store(parcel->flow, sample_us);
    else if (!again)
        out_flow_measure(parcel->flow, late ? bound_late(parcel->flow, sample_us) : sample_us, now);
}

/* Where parity was sent nobody knows which arrived, but of that which was shown. */
static void settle_shards(struct outbox *outbox, struct out_parcel *parcel, struct mono now) {
    for (unsigned i = 0; i < parcel->fresh; i++) {
        struct out_shard *shard = &parcel->shards[i];
        if (shard->state == OUT_ARRIVED)
            continue;
        if (parcel->fresh <= parcel->k)
            shard_arrived(outbox, parcel, shard, now);
        else if (shard->state == OUT_FLYING)
            out_slot_grow(parcel->flow, &parcel->flow->slots[shard->slot]);
    }
}

/* The blocks of a long message are confirmed one by one, and the recipient may have let go of those
 * it had: only its word that the whole is stored makes it delivered. */
static void confirm_block(struct outbox *outbox, struct out_message *message, uint32_t length,
                          bool whole, struct now now) {
    message->refused = false;
    message->reason = NULL;
    if (whole)
        out_finish(outbox, message, MESSAGE_DELIVERED, NULL, now);
    else if (message->blocks_left == 1)
        out_refused_for_now(outbox, message, true, "the recipient has lost a part of it", now.mono);
    else
        out_confirm(outbox, message, length, now);
}

static void apply_complete(struct outbox *outbox, struct out_parcel *parcel, bool whole,
                           struct now now) {
    struct out_flow *flow = parcel->flow;
    bool is_long = parcel->is_long;
    struct out_item *items = parcel->items;
    size_t n = parcel->n_items;
    measure_parcel(parcel, now.mono);
    settle_shards(outbox, parcel, now.mono);
    parcel->items = NULL;
    parcel->n_items = 0;
    out_parcel_drop(outbox, parcel);
    flow_heard(outbox, flow, now.mono);
    /* Of mail, what was never refused says nothing of room for what was. */
    if (!flow->is_kept || (n > 0 && items[0].message && items[0].message->refused))
        flow->rest_us = 0;
    for (size_t i = 0; i < n; i++)
        if (items[i].message && is_long)
            confirm_block(outbox, items[i].message, items[i].length, whole, now);
        else if (items[i].message) {
            items[i].message->arrived = true;
            out_confirm(outbox, items[i].message, items[i].length, now);
        }
    free(items);
}

static bool is_for_now(uint8_t reason) {
    return reason == PARCEL_REASON_QUOTA || reason == PARCEL_REASON_NO_ROOM ||
           reason == PARCEL_REASON_LOST;
}

static void apply_refused(struct outbox *outbox, struct out_parcel *parcel, uint8_t reason,
                          struct now now) {
    struct out_flow *flow = parcel->flow;
    struct out_message *message = parcel->items[0].message;
    flow_heard(outbox, flow, now.mono);
    if (parcel->n_items > 1)
        out_parcel_split(outbox, parcel);
    else if (message && is_for_now(reason))
        out_refused_for_now(outbox, message, reason == PARCEL_REASON_LOST,
                            parcel_reason_words(reason), now.mono);
    else if (message)
        out_finish(outbox, message, MESSAGE_REFUSED, parcel_reason_words(reason), now);
}

static enum drop apply_receipt(struct outbox *outbox, const struct parcel_receipt *receipt,
                               struct now now) {
    struct out_parcel *parcel = find_parcel(outbox, &receipt->id);
    bool partial = receipt->status == PARCEL_PARTIAL;
    uint8_t key[KEY_LEN];
    if (!parcel)
        return DROP_UNKNOWN;
    const struct parcel_secret *secret =
        partial ? out_flow_secret(outbox, parcel->flow, now.mono) : NULL;
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
    if (partial && (receipt->k != parcel->k || receipt->m != parcel->m))
        return DROP_MALFORMED;
    if (partial)
        apply_partial(outbox, parcel, receipt, now.mono);
    else if (receipt->status == PARCEL_COMPLETE)
        apply_complete(outbox, parcel, receipt->reason == PARCEL_WHOLE, now);
    else
        apply_refused(outbox, parcel, receipt->reason, now);
    return DROP_NONE;
}

enum drop outbox_receipt(struct outbox *outbox, const uint8_t *payload, size_t length,
                         struct now now) {
    struct wire_reader reader = wire_reader(payload, length);
    enum drop first = DROP_NONE;
    if (wire_get_uint(&reader, 1) != PAYLOAD_RECEIPTS || wire_left(&reader) == 0)
        return DROP_MALFORMED;
    while (wire_left(&reader) > 0) {
        struct parcel_receipt receipt;
        enum drop drop = parcel_receipt_decode(&reader, &receipt);
        if (drop != DROP_NONE)
            return first ? first : drop;
        drop = apply_receipt(outbox, &receipt, now);
        if (first == DROP_NONE)
            first = drop;
    }
    return first;
}
