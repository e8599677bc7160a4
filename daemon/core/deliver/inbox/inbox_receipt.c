/* Receipts: what is reported of parcels, to whom, over which path. Threat: a lost receipt costs the
 * sender a resend; one that is sent too early costs the user a message, so receipts of whole
 * parcels are sent only after the store has them. Many small packets would show how much we
 * receive: the receipts of one step for one sender share an onion packet. */
#include "daemon/core/deliver/inbox/inbox_private.h"

#include <assert.h>

#define PARTIAL_AFTER 8 /* new shards: half a path's window */
#define PARTIAL_QUIET_US (20 * US_PER_MS)
#define PARTIAL_QUIET_MAX_US US_PER_S
#define PARTIAL_QUIET_TIMES 5
#define AGAIN_US (20 * US_PER_MS) /* a burst of duplicates gets one answer */
/* A shard that comes so long after the receipt was sent again because the receipt was lost: it is a
 * sender's shortest time-out. Parity that was under way comes sooner. */
#define LOST_US (50 * US_PER_MS)

/* ---- Correspondents ---- */

static struct path_request request_to(const struct node_id *id) {
    return (struct path_request){.target = *id, .relays_exact = RELAYS_DEFAULT, .again = true};
}

/* May a path to this node be prepared? Not for strangers, once they have used half of their burst.
 */
static bool may_expect(const struct inbox *inbox, const struct node_id *to, struct mono now) {
    return rate_used(&inbox->drawn, now) < STRANGERS_BURST / 2 * STRANGERS_EVERY_US ||
           inbox_knows(inbox, to);
}

static bool may_draw(struct inbox *inbox, const struct inbox_correspondent *to, struct mono now) {
    return inbox_knows(inbox, &to->id) || share_take(&inbox->strangers, to->from, now) ||
           rate_take(&inbox->drawn, STRANGERS_EVERY_US,
                     RATE_ROOM(STRANGERS_EVERY_US, STRANGERS_BURST), now);
}

static void correspondent_send(struct inbox *inbox, struct inbox_correspondent *to,
                               struct now now) {
    struct courier *courier = inbox->config.courier;
    struct path_request request = request_to(&to->id);
    request.silence = &to->silence;
    size_t length = to->length;
    to->length = 0;
    inbox->n_receipting--;
    if (!courier_is_open(courier, &to->lane, now) && !may_draw(inbox, to, now.mono))
        return;
    /* No path: the sender will ask again, and so shall we. */
    if (courier_open(courier, &to->lane, &request, now) == PATH_OK)
        courier_send(courier, &to->lane, to->payload, length, now.mono);
}

static struct inbox_correspondent *find_correspondent(struct inbox *inbox,
                                                      const struct node_id *id) {
    for (size_t i = 0; i < INBOX_CORRESPONDENTS_MAX; i++)
        if (inbox->correspondents[i].used && node_id_is_equal(&inbox->correspondents[i].id, id))
            return &inbox->correspondents[i];
    return NULL;
}

/* How many places strangers have, by the neighbour that brings what they send. */
static void count_strangers(const struct inbox *inbox, unsigned ret_n[SHARE_NEIGHBOURS]) {
    const struct inbox_correspondent *one = inbox->correspondents;
    memset(ret_n, 0, SHARE_NEIGHBOURS * sizeof *ret_n);
    for (const struct inbox_correspondent *end = one + INBOX_CORRESPONDENTS_MAX; one < end; one++)
        ret_n[one->from] += one->used && !one->is_known;
}

/* Which correspondent is replaced: an unused one, then a stranger, of the neighbour that has most
 * of them, then the one used longest ago. Else strangers would make us draw new paths to everybody.
 */
static bool goes_sooner(const struct inbox_correspondent *one,
                        const struct inbox_correspondent *than,
                        const unsigned strangers[SHARE_NEIGHBOURS]) {
    if (!one->used || !than->used)
        return !one->used;
    if (one->is_known != than->is_known)
        return !one->is_known;
    if (!one->is_known && strangers[one->from] != strangers[than->from])
        return strangers[one->from] > strangers[than->from];
    return one->last.us < than->last.us;
}

static struct inbox_correspondent *get_correspondent(struct inbox *inbox, const struct node_id *id,
                                                     unsigned from, struct now now) {
    struct inbox_correspondent *found = find_correspondent(inbox, id),
                               *oldest = inbox->correspondents;
    unsigned strangers[SHARE_NEIGHBOURS];
    if (found)
        return found;
    count_strangers(inbox, strangers);
    strangers[from] += !inbox_knows(inbox, id); /* this one */
    for (size_t i = 0; i < INBOX_CORRESPONDENTS_MAX && oldest->used; i++)
        if (goes_sooner(&inbox->correspondents[i], oldest, strangers))
            oldest = &inbox->correspondents[i];
    if (oldest->length > 0)
        correspondent_send(inbox, oldest, now);
    courier_retire(&oldest->lane);
    memset(oldest, 0, sizeof *oldest);
    oldest->id = *id;
    oldest->used = true;
    oldest->is_known = inbox_knows(inbox, id);
    return oldest;
}

void inbox_receipt_queue(struct inbox *inbox, const struct node_id *to, unsigned from,
                         const uint8_t *receipt, size_t length, struct now now) {
    struct inbox_correspondent *correspondent = get_correspondent(inbox, to, from, now);
    if (correspondent->length + length > sizeof correspondent->payload)
        correspondent_send(inbox, correspondent, now);
    if (correspondent->length == 0) {
        correspondent->payload[correspondent->length++] = PAYLOAD_RECEIPTS;
        inbox->n_receipting++;
    }
    memcpy(correspondent->payload + correspondent->length, receipt, length);
    correspondent->length += length;
    correspondent->last = now.mono;
    correspondent->from = from;
    inbox->counters.receipts_sent++;
}

void inbox_receipt_expect(struct inbox *inbox, const struct node_id *to, struct now now) {
    struct inbox_correspondent *known = find_correspondent(inbox, to);
    struct path_request request = request_to(to);
    if ((!known || !courier_is_open(inbox->config.courier, &known->lane, now)) &&
        may_expect(inbox, to, now.mono))
        paths_expect(inbox->config.paths, &request, now.mono);
}

/* ---- Of finished parcels ---- */

static struct inbox_done *find_done(const struct inbox *inbox, const struct node_id *sender,
                                    const struct parcel_id *id) {
    uint64_t hash = table_hash(&inbox->done, id, sizeof *id);
    struct inbox_done *done;
    TABLE_FIND(done, &inbox->done, hash, by_id,
               memcmp(done->receipt, id->bytes, PARCEL_ID_LEN) == 0 &&
                   node_id_is_equal(&done->sender, sender));
    return done;
}

static void forget_done(struct inbox *inbox, struct inbox_done *done) {
    if (done)
        table_remove(&inbox->done, &done->by_id);
    free(done);
}

/* A receipt sent at `sent` did not arrive, it seems: the next one avoids the relays that it took.
 */
static void take_another_way(struct inbox *inbox, const struct node_id *to, struct mono sent,
                             struct mono now) {
    struct inbox_correspondent *correspondent = find_correspondent(inbox, to);
    if (!correspondent || correspondent->lane.drawn.us > sent.us)
        return;
    path_silence_note(&correspondent->silence, &correspondent->lane.way, now);
    correspondent->lane.way.n = 0;
    courier_retire(&correspondent->lane);
}

/* The sender asked again while the parcel was being stored, so it missed a receipt before: it gets
 * two, over disjoint paths. */
static void answer_twice(struct inbox *inbox, const struct node_id *to, unsigned from,
                         const uint8_t *receipt, size_t length, struct now now) {
    struct inbox_correspondent *correspondent = find_correspondent(inbox, to);
    if (correspondent && correspondent->length > 0)
        correspondent_send(inbox, correspondent, now);
    take_another_way(inbox, to, now.mono, now.mono);
    inbox_receipt_queue(inbox, to, from, receipt, length, now);
}

void inbox_receipt_final(struct inbox *inbox, const struct inbox_parcel *parcel,
                         const uint8_t receipt[PARCEL_RECEIPT_FINAL_LEN], struct now now) {
    struct inbox_done *done = calloc(1, sizeof *done);
    inbox_receipt_queue(inbox, &parcel->sender->id, parcel->from, receipt, PARCEL_RECEIPT_FINAL_LEN,
                        now);
    if (parcel->asked_again)
        answer_twice(inbox, &parcel->sender->id, parcel->from, receipt, PARCEL_RECEIPT_FINAL_LEN,
                     now);
    if (!done)
        return;
    done->sender = parcel->sender->id;
    done->receipted = now.mono;
    done->twice = parcel->asked_again;
    memcpy(done->receipt, receipt, sizeof done->receipt);
    memcpy(done->bitmap, parcel->bitmap, sizeof done->bitmap);
    forget_done(inbox, inbox->done_ring[inbox->done_next]);
    inbox->done_ring[inbox->done_next] = done;
    inbox->done_next = (inbox->done_next + 1) % INBOX_DONE_MAX;
    table_add(&inbox->done, &done->by_id, table_hash(&inbox->done, done->receipt, PARCEL_ID_LEN));
}

bool inbox_receipt_again(struct inbox *inbox, const struct node_id *sender, unsigned from,
                         const struct parcel_shard *shard, struct now now) {
    struct inbox_done *done = find_done(inbox, sender, &shard->id);
    if (!done)
        return false;
    uint8_t bit = (uint8_t)(1 << shard->index % 8), *at = &done->bitmap[shard->index / 8];
    bool resent = *at & bit;
    *at |= bit;
    bool soon = now.mono.us - done->receipted.us < AGAIN_US;
    if (soon && resent && !done->twice) {
        done->twice = true;
        done->receipted = now.mono;
        answer_twice(inbox, sender, from, done->receipt, sizeof done->receipt, now);
    }
    if (soon)
        return true;
    done->twice = false;
    if (resent || now.mono.us - done->receipted.us >= LOST_US)
        take_another_way(inbox, sender, done->receipted, now.mono);
    done->receipted = now.mono;
    inbox_receipt_queue(inbox, sender, from, done->receipt, sizeof done->receipt, now);
    return true;
}

/* ---- Of unfinished parcels ---- */

static void want(struct inbox *inbox, struct inbox_parcel *parcel) {
    if (parcel->wants_receipt)
        return;
    parcel->wants_receipt = true;
    TAILQ_INSERT_TAIL(&inbox->wanting, parcel, want);
}

void inbox_partial_note(struct inbox *inbox, struct inbox_parcel *parcel, bool duplicate,
                        struct mono now) {
    if (duplicate) {
        if (parcel->receipted.us != 0 && now.us - parcel->receipted.us >= AGAIN_US)
            take_another_way(inbox, &parcel->sender->id, parcel->receipted, now);
        want(inbox, parcel);
        return;
    }
    parcel->quiet_receipts = 0;
    if (++parcel->since_receipt >= PARTIAL_AFTER)
        want(inbox, parcel);
    timers_set(&inbox->timers, &parcel->timer, mono_add(now, PARTIAL_QUIET_US));
}

void inbox_partial_due(struct inbox *inbox, struct inbox_parcel *parcel, struct mono now) {
    want(inbox, parcel);
    if (++parcel->quiet_receipts >= PARTIAL_QUIET_TIMES)
        return;
    int64_t delay = PARTIAL_QUIET_US << parcel->quiet_receipts;
    timers_set(&inbox->timers, &parcel->timer,
               mono_add(now, delay < PARTIAL_QUIET_MAX_US ? delay : PARTIAL_QUIET_MAX_US));
}

static void send_partial(struct inbox *inbox, struct inbox_parcel *parcel, struct now now) {
    const struct directory_entry *entry =
        directory_find(inbox->config.directory, &parcel->sender->id);
    const struct parcel_secret *secret =
        entry ? inbox_secret(inbox, parcel, entry, now.mono) : NULL;
    uint8_t key[KEY_LEN], bytes[PARCEL_RECEIPT_MAX];
    if (!secret)
        return;
    struct parcel_receipt receipt = {.id = parcel->id,
                                     .status = PARCEL_PARTIAL,
                                     .k = parcel->k,
                                     .m = parcel->m,
                                     .n_paths = parcel->n_paths};
    memcpy(receipt.bitmap, parcel->bitmap, sizeof receipt.bitmap);
    memcpy(receipt.paths, parcel->paths, sizeof receipt.paths);
    struct wire_writer writer = wire_writer(bytes, sizeof bytes);
    parcel_receipt_key(secret, &parcel->id, key);
    parcel_receipt_encode(&receipt, key, &writer);
    sodium_memzero(key, sizeof key);
    assert(!writer.failed);
    inbox_receipt_queue(inbox, &parcel->sender->id, parcel->from, bytes, wire_length(&writer), now);
    parcel->receipted = now.mono;
}

void inbox_flush(struct inbox *inbox, struct now now) {
    for (struct inbox_parcel *parcel; (parcel = TAILQ_FIRST(&inbox->wanting));) {
        TAILQ_REMOVE(&inbox->wanting, parcel, want);
        parcel->wants_receipt = false;
        parcel->since_receipt = 0;
        send_partial(inbox, parcel, now);
    }
    for (size_t i = 0; i < INBOX_CORRESPONDENTS_MAX && inbox->n_receipting > 0; i++)
        if (inbox->correspondents[i].length > 0)
            correspondent_send(inbox, &inbox->correspondents[i], now);
}

void inbox_receipts_deinit(struct inbox *inbox) {
    for (size_t i = 0; inbox->correspondents && i < INBOX_CORRESPONDENTS_MAX; i++)
        courier_retire(&inbox->correspondents[i].lane);
    for (size_t i = 0; inbox->done_ring && i < INBOX_DONE_MAX; i++)
        forget_done(inbox, inbox->done_ring[i]);
    free(inbox->correspondents);
    free(inbox->done_ring);
}
