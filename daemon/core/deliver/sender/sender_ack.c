/* Receipts, lost shards and time-outs. Threat: relays drop selectively, and anybody may invent
 * receipts: none counts before its MAC is verified. A shard that was sent twice yields no round
 * trip (Karn's rule). */
#include "daemon/core/deliver/sender/sender_private.h"

#include <assert.h>

/* A shard is lost when a packet sent REORDER_MAX later over the same path has arrived, and the
 * shard is older than most round trips: as in RACK (RFC 8985). */
#define REORDER_MAX 3
/* A late answer counts as a round trip of so many time-outs at most. */
#define LATE_MAX 2

static struct subflow *subflow_of(const struct sender_parcel *parcel,
                                  const struct sender_shard *shard) {
    return &parcel->recipient->subflows[shard->subflow];
}

static struct window *window_of(const struct sender_parcel *parcel,
                                const struct sender_shard *shard) {
    return &parcel->recipient->windows.v[shard->subflow];
}

/* A shard arrived: if its subflow still has the path that the shard took, that path works. */
static void path_heard(struct sender *sender, struct sender_parcel *parcel,
                       const struct sender_shard *shard, struct mono now) {
    struct subflow *subflow = subflow_of(parcel, shard);
    if (subflow->id != shard->path)
        return;
    /* Not after a time-out: what arrived may have been a copy sent another way. */
    if (parcel->timeouts == 0)
        path_silence_heard(&parcel->recipient->silence, &subflow->lane.way);
    if (!subflow->lane.path)
        return;
    subflow->heard = now;
    if (!subflow->worked)
        path_worked(sender->config.paths, subflow->lane.path, now);
    subflow->worked = true;
}

static void shard_arrived(struct sender *sender, struct sender_parcel *parcel,
                          struct sender_shard *shard, struct mono now) {
    struct windows *windows = &parcel->recipient->windows;
    struct window *window = window_of(parcel, shard);
    window_grow(windows, window);
    if (shard->state == SHARD_FLYING) {
        window_landed(window);
        parcel->flying--;
        window_count(windows, window, false, shard->sent, now);
    } else {
        window_uncount(windows, window, shard->sent);
    }
    shard_move(shard, SHARD_ARRIVED);
    parcel->arrived++;
    path_heard(sender, parcel, shard, now);
}

static void shard_lost(struct sender_parcel *parcel, struct sender_shard *shard, struct mono now) {
    struct window *window = window_of(parcel, shard);
    assert(shard->state == SHARD_FLYING);
    window_landed(window);
    parcel->flying--;
    window_count(&parcel->recipient->windows, window, true, shard->sent, now);
    shard_move(shard, SHARD_WAITING);
}

static void shard_is_no_more(struct sender_parcel *parcel, struct sender_shard *shard) {
    shard_move(shard, SHARD_WAITING);
    parcel->arrived--;
}

/* ---- Time-outs ---- */

/* A shard was not reported in time. If nothing else that was sent later over its path was, the path
 * is given up. */
static void shard_time_out(struct sender *sender, struct sender_parcel *parcel,
                           struct sender_shard *shard, struct mono now) {
    struct subflow *subflow = subflow_of(parcel, shard);
    shard_lost(parcel, shard, now);
    if (subflow->id == shard->path && subflow->heard.us < shard->sent.us)
        sender_note_silent(sender, parcel->recipient, subflow, now);
}

/* A parcel timed out: all of its shards in flight are taken for lost. But little is sent until
 * something is heard (see backoff_parcel_timed_out()): perhaps only the receipt was lost, and one
 * shard is enough to be sent another. */
static void parcel_time_out(struct sender *sender, struct sender_parcel *parcel, struct mono now) {
    for (unsigned i = 0; i < parcel->fresh; i++)
        if (parcel->shards[i].state == SHARD_FLYING)
            shard_time_out(sender, parcel, &parcel->shards[i], now);
    /* k shards arrived, and the receipt for the whole did not: one shard has to be sent again to
     * ask for it. */
    for (unsigned i = parcel->fresh; i-- > 0 && parcel->arrived >= parcel->k;)
        if (parcel->shards[i].state == SHARD_ARRIVED)
            shard_is_no_more(parcel, &parcel->shards[i]);
    backoff_parcel_timed_out(sender, parcel, now);
}

/* The first parcel asks whether the recipient is there; the others give their memory back
 * meanwhile. */
static void rest_behind_first(struct sender *sender, struct recipient *recipient) {
    struct sender_parcel *parcel = TAILQ_NEXT(TAILQ_FIRST(&recipient->parcels), link);
    for (; parcel; parcel = TAILQ_NEXT(parcel, link)) {
        if (sender_parcel_is_sealed(parcel) && parcel->timeouts > SENDER_FAST_RESENDS)
            sender_parcel_empty(sender, parcel);
        if (!sender_parcel_is_sealed(parcel))
            backoff_parcel_rest(parcel);
    }
}

/* Of what is kept: is this the parcel that asks, and is it to be read and sealed again for that? */
static bool is_to_ask_anew(const struct sender_parcel *parcel) {
    const struct recipient *recipient = parcel->recipient;
    return recipient->route.is_kept && parcel->state == PARCEL_EMPTY &&
           parcel == TAILQ_FIRST(&recipient->parcels) && backoff_is_silent(recipient);
}

void sender_time_out(struct sender *sender, struct recipient *recipient, struct mono now) {
    struct sender_parcel *parcel;
    TAILQ_FOREACH(parcel, &recipient->parcels, link) {
        bool is_sealed = sender_parcel_is_sealed(parcel);
        if ((!is_sealed && !is_to_ask_anew(parcel)) || !mono_is_due(parcel->deadline, now))
            continue;
        if (is_sealed && parcel->flying == 0 && parcel->arrived < parcel->k)
            backoff_parcel_postpone(parcel, now);
        else if (!backoff_parcel_takes_turn(sender, parcel, now))
            continue;
        else if (is_sealed)
            parcel_time_out(sender, parcel, now);
        else
            backoff_parcel_asks_anew(parcel);
    }
    if (backoff_is_silent(recipient))
        rest_behind_first(sender, recipient);
}

/* ---- Receipts ---- */

static struct sender_parcel *find_parcel(const struct sender *sender, const struct parcel_id *id) {
    uint64_t hash = table_hash(&sender->parcels, id, sizeof *id);
    struct sender_parcel *parcel;
    TABLE_FIND(parcel, &sender->parcels, hash, by_id, memcmp(&parcel->id, id, sizeof *id) == 0);
    return parcel;
}

static const struct parcel_path *find_path(const struct parcel_receipt *receipt, uint32_t path) {
    for (unsigned i = 0; i < receipt->n_paths; i++)
        if (receipt->paths[i].path == path)
            return &receipt->paths[i];
    return NULL;
}

/* A shard in flight that a partial receipt does not list: it timed out, was overtaken, or is still
 * on its way. */
static void shard_missing(struct sender *sender, struct sender_parcel *parcel,
                          struct sender_shard *shard, const struct parcel_receipt *receipt,
                          struct mono now) {
    const struct parcel_path *path = find_path(receipt, shard->path);
    int64_t age = now.us - shard->sent.us;
    if (age >= windows_timeout_us(&parcel->recipient->windows))
        shard_time_out(sender, parcel, shard, now);
    else if (path && shard->packet + REORDER_MAX <= path->highest &&
             age >= windows_reorder_us(&parcel->recipient->windows))
        shard_lost(parcel, shard, now);
}

/* An earlier receipt listed this shard and this one does not: the recipient restarted, was short of
 * memory, or its disk failed. Unless this receipt was merely overtaken by the earlier one; then the
 * shard is younger than a time-out. */
static void shard_forgotten(struct sender_parcel *parcel, struct sender_shard *shard,
                            struct mono now) {
    if (now.us - shard->sent.us < windows_timeout_us(&parcel->recipient->windows))
        return;
    shard_is_no_more(parcel, shard);
}

/* Bound a sample that was taken from a shard already given up: its receipt may have waited until
 * another shard asked for it, and an outage is no round trip. Still, a round trip that has become
 * longer than the time-out must be learnt. */
static int64_t bound_late(const struct windows *windows, int64_t sample_us) {
    int64_t most = LATE_MAX * windows_timeout_us(windows);
    return sample_us < most ? sample_us : most;
}

/* A partial receipt lists this shard for the first time. The latest packet of each path gives a
 * sample of that path's delay, and of the round trip, so that rttvar covers the paths' differences.
 */
static void shard_shown(struct sender_parcel *parcel, const struct sender_shard *shard,
                        const struct parcel_receipt *receipt, struct mono now) {
    struct windows *windows = &parcel->recipient->windows;
    const struct parcel_path *path = find_path(receipt, shard->path);
    if (!path || shard->packet != path->highest)
        return;
    int64_t sample_us = now.us - shard->sent.us;
    if (shard->sends == 1)
        windows_measure(windows,
                        shard->state == SHARD_FLYING ? sample_us : bound_late(windows, sample_us),
                        now);
    if (subflow_of(parcel, shard)->id == shard->path)
        window_delay(windows, window_of(parcel, shard), shard->sent, path->arrived);
}

static void apply_partial(struct sender *sender, struct sender_parcel *parcel,
                          const struct parcel_receipt *receipt, struct mono now) {
    parcel->shown = true;
    for (unsigned i = 0; i < parcel->fresh; i++) {
        struct sender_shard *shard = &parcel->shards[i];
        bool there = receipt->bitmap[i / 8] & 1 << i % 8;
        if (!there && shard->state == SHARD_ARRIVED)
            shard_forgotten(parcel, shard, now);
        if (!there || shard->state == SHARD_ARRIVED)
            continue;
        shard_shown(parcel, shard, receipt, now);
        shard_arrived(sender, parcel, shard, now);
    }
    for (unsigned i = 0; i < parcel->fresh; i++)
        if (parcel->shards[i].state == SHARD_FLYING)
            shard_missing(sender, parcel, &parcel->shards[i], receipt, now);
    backoff_heard(sender, parcel->recipient, now);
}

/* The receipt of a whole parcel answers the shard that was sent last. If no shard was sent twice,
 * it yields a round trip; if partial receipts came before, it yields the time that the recipient's
 * disk took. */
static void measure_parcel(struct sender_parcel *parcel, struct mono now) {
    struct windows *windows = &parcel->recipient->windows;
    int64_t sample_us = INT64_MAX;
    bool again = false, late = false;
    for (unsigned i = 0; i < parcel->fresh; i++) {
        again = again || parcel->shards[i].sends > 1;
        late = late || parcel->shards[i].state == SHARD_WAITING;
        if (now.us - parcel->shards[i].sent.us < sample_us)
            sample_us = now.us - parcel->shards[i].sent.us;
    }
    if (parcel->shown)
        windows_measure_store(windows, sample_us);
    else if (!again)
        windows_measure(windows, late ? bound_late(windows, sample_us) : sample_us, now);
}

/* A receipt of the whole parcel does not say which shards arrived. If no parity was sent, all of
 * them did. Else only those that partial receipts listed are known. */
static void settle_shards(struct sender *sender, struct sender_parcel *parcel, struct mono now) {
    for (unsigned i = 0; i < parcel->fresh; i++) {
        struct sender_shard *shard = &parcel->shards[i];
        if (shard->state == SHARD_ARRIVED)
            continue;
        if (parcel->fresh <= parcel->k)
            shard_arrived(sender, parcel, shard, now);
        else if (shard->state == SHARD_FLYING)
            window_grow(&parcel->recipient->windows, window_of(parcel, shard));
    }
}

static void confirm(struct sender *sender, struct message *message, uint32_t length,
                    struct mono now) {
    if (message_confirm(message, length)) {
        sender_outcome_add(sender, SENDER_DELIVERED, message, 0, NULL);
    } else if (message_has_progressed(message, now)) {
        uint64_t below = sender_confirmed_below(message);
        if (message_note_progress(message, below, now))
            sender_outcome_add(sender, SENDER_PROGRESS, message, below, NULL);
    }
}

/* The recipient refused the message for now: it is queued again, from the first block that is not
 * confirmed; `anew`: from the beginning. */
static void refuse_for_now(struct sender *sender, struct message *message, bool anew,
                           const char *reason, struct mono now) {
    uint64_t below = anew || !message_is_long(message) ? 0 : sender_confirmed_below(message);
    bool was_stored = message->progress > 0;
    sender_outcome_add(sender, SENDER_NOT_NOW, message, 0, reason);
    sender_requeue(sender, message, below);
    if (anew && was_stored) /* else the store would have it begin in the middle after a restart */
        sender_outcome_add(sender, SENDER_PROGRESS, message, 0, NULL);
    backoff_rest(sender, message->recipient, now);
}

/* A block of a long message was confirmed. The recipient may have lost blocks that it had
 * confirmed, so only its word that the whole message is stored (`whole`) makes it delivered. */
static void confirm_block(struct sender *sender, struct message *message, uint32_t length,
                          bool whole, struct mono now) {
    sender_accept_again(message);
    sender_outcome_add(sender, SENDER_TAKEN, message, 0, NULL);
    if (whole)
        sender_outcome_add(sender, SENDER_DELIVERED, message, 0, NULL);
    else if (message->blocks_left == 1)
        refuse_for_now(sender, message, true, "the recipient has lost a part of it", now);
    else
        confirm(sender, message, length, now);
}

static void confirm_whole(struct sender *sender, struct message *message, uint32_t length,
                          struct mono now) {
    message->arrived = true;
    confirm(sender, message, length, now);
}

static void apply_complete(struct sender *sender, struct sender_parcel *parcel, bool whole,
                           struct mono now) {
    struct recipient *recipient = parcel->recipient;
    bool is_long = parcel->is_long;
    struct sender_item *items = parcel->items;
    size_t n = parcel->n_items;
    measure_parcel(parcel, now);
    settle_shards(sender, parcel, now);
    parcel->items = NULL;
    parcel->n_items = 0;
    sender_parcel_drop(sender, parcel);
    backoff_heard(sender, recipient, now);
    /* Of mail, only a parcel that had been refused before shows that there is room again. */
    if (!recipient->route.is_kept || (n > 0 && items[0].message && items[0].message->refused))
        backoff_rested(recipient);
    for (size_t i = 0; i < n; i++)
        if (items[i].message && is_long)
            confirm_block(sender, items[i].message, items[i].length, whole, now);
        else if (items[i].message)
            confirm_whole(sender, items[i].message, items[i].length, now);
    free(items);
}

static bool is_for_now(uint8_t reason) {
    return reason == PARCEL_REASON_QUOTA || reason == PARCEL_REASON_NO_ROOM ||
           reason == PARCEL_REASON_LOST;
}

static void apply_refused(struct sender *sender, struct sender_parcel *parcel, uint8_t reason,
                          struct mono now) {
    struct message *message = parcel->items[0].message;
    backoff_heard(sender, parcel->recipient, now);
    if (parcel->n_items > 1)
        sender_split(sender, parcel);
    else if (message && is_for_now(reason))
        refuse_for_now(sender, message, reason == PARCEL_REASON_LOST, parcel_reason_words(reason),
                       now);
    else if (message)
        sender_outcome_add(sender, SENDER_REFUSED, message, 0, parcel_reason_words(reason));
}

enum drop sender_receipt(struct sender *sender, const struct parcel_receipt *receipt,
                         struct now now) {
    struct sender_parcel *parcel = find_parcel(sender, &receipt->id);
    bool partial = receipt->status == PARCEL_PARTIAL;
    uint8_t key[KEY_LEN];
    if (!parcel)
        return DROP_UNKNOWN;
    const struct parcel_secret *secret =
        partial ? sender_secret(sender, parcel->recipient, now.mono) : NULL;
    if (partial && !secret)
        return DROP_AUTH;
    if (partial)
        parcel_receipt_key(secret, &receipt->id, key);
    else
        memcpy(key, sender->receipt_keys[parcel->key], KEY_LEN);
    bool authentic = parcel_receipt_is_authentic(receipt, key);
    sodium_memzero(key, sizeof key);
    if (!authentic)
        return DROP_AUTH;
    if (partial && (receipt->k != parcel->k || receipt->m != parcel->m))
        return DROP_MALFORMED;
    if (partial)
        apply_partial(sender, parcel, receipt, now.mono);
    else if (receipt->status == PARCEL_COMPLETE)
        apply_complete(sender, parcel, receipt->reason == PARCEL_WHOLE, now.mono);
    else
        apply_refused(sender, parcel, receipt->reason, now.mono);
    return DROP_NONE;
}
