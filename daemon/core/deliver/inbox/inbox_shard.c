/* Shards: authenticated, put in their places, and once there are enough of them opened. Threat: a
 * packet is an enemy's until its MAC is verified, and comes from a known node afterwards: what it
 * brings is bounded, checked item by item, and stored before a receipt is sent. */
#include "daemon/core/deliver/inbox/inbox_private.h"

#include <assert.h>

/* ---- Storing ---- */

/* Decode the sealed parcel from whichever k shards there are. Returns its length; 0: no memory. */
static size_t parcel_rebuild(struct inbox_parcel *parcel) {
    size_t length = (size_t)parcel->k * parcel->length;
    if (shard_decode(parcel->k, parcel->m, parcel->length, parcel->index, parcel->bytes))
        return 0;
    if (parcel->k == 1)
        return length;
    shard_restore(parcel->bytes, length);
    return length - SHARD_TRANSFORM_LEN;
}

/* k shards are there: open the parcel, its plaintext taking the place of the shards. DROP_NONE, or
 * why it is dropped; *ret_key is the receipts' key. The additional charge is for decoding first,
 * then for the plaintext. */
static enum drop parcel_unseal(struct inbox *inbox, struct inbox_parcel *parcel,
                               const struct descriptor *descriptor,
                               const struct parcel_secret *secret, size_t *ret_length,
                               uint8_t ret_key[KEY_LEN]) {
    size_t room = parcel->room;
    const struct noise_keypair *own = identity_epoch_key(inbox->config.identity, parcel->epoch);
    if (!own)
        return DROP_TIME;
    if (!budget_take(inbox->config.budget, BUDGET_INBOX, room))
        return DROP_LIMIT;
    inbox_account(parcel, parcel->charged + room);
    size_t sealed = parcel_rebuild(parcel);
    uint8_t *plain = sealed > 0 ? malloc(room) : NULL;
    if (!plain)
        return DROP_LIMIT;
    enum drop drop =
        parcel_open(own, &inbox->self, parcel->epoch, &parcel->sender->id, descriptor->link_key,
                    &secret->known, parcel->bytes, sealed, plain, ret_length, ret_key);
    free(parcel->bytes);
    parcel->bytes = plain;
    parcel->room = room;
    size_t charge = room + sizeof *parcel;
    budget_give(inbox->config.budget, BUDGET_INBOX, parcel->charged - charge);
    inbox_account(parcel, charge);
    return drop;
}

static enum drop parcel_finish(struct inbox *inbox, struct inbox_parcel *parcel,
                               const struct directory_entry *entry, struct now now) {
    struct descriptor descriptor;
    size_t length = 0;
    uint8_t key[KEY_LEN];
    const struct parcel_secret *secret = inbox_secret(inbox, parcel, entry, now.mono);
    directory_descriptor(entry, &descriptor);
    timers_clear(&inbox->timers, &parcel->timer);
    TAILQ_REMOVE(&inbox->unfinished, parcel, link);
    TAILQ_REMOVE(&parcel->sender->unfinished, parcel, own);
    TAILQ_INSERT_TAIL(&inbox->storing, parcel, link);
    parcel->storing = true;
    if (parcel->wants_receipt)
        TAILQ_REMOVE(&inbox->wanting, parcel, want);
    parcel->wants_receipt = false;
    enum drop drop =
        secret ? parcel_unseal(inbox, parcel, &descriptor, secret, &length, key) : DROP_AUTH;
    if (drop != DROP_NONE) {
        inbox_parcel_free(inbox, parcel);
        return drop;
    }
    enum parcel_reason reason = inbox_check_items(inbox, parcel, length, now.mono);
    if (parcel->error) { /* no memory or no time for what is in it: the sender comes again */
        sodium_memzero(key, sizeof key);
        inbox_parcel_free(inbox, parcel);
        return DROP_LIMIT;
    }
    inbox_verdicts_write(parcel, reason, key);
    sodium_memzero(key, sizeof key);
    bool failed =
        !reason && inbox_put_items(inbox, parcel, length, entry, descriptor.name, now.wall) != 0;
    inbox->n_puts += parcel->puts;
    if (parcel->puts > 0) {
        assert(!failed);
        inbox_receipt_expect(inbox, &entry->id, now);
        return DROP_NONE;
    }
    if (!failed) /* refused, or all of it was over */
        inbox_conclude(inbox, parcel, reason, now);
    inbox_parcel_free(inbox, parcel);
    return failed ? DROP_LIMIT : DROP_NONE;
}

/* ---- Shards ---- */

/* Note when a packet of a path arrived, for partial receipts. parcel->paths is in the order in
 * which the paths were heard; when there are too many the one that was silent longest goes. */
static void note_path(struct inbox_parcel *parcel, const struct parcel_shard *shard,
                      uint32_t arrived) {
    unsigned at = 0;
    while (at < parcel->n_paths && parcel->paths[at].path != shard->path)
        at++;
    struct parcel_path path = {.path = shard->path};
    if (at < parcel->n_paths)
        path = parcel->paths[at];
    else if (parcel->n_paths < PARCEL_RECEIPT_PATHS_MAX)
        parcel->n_paths++;
    else
        at = 0;
    if (path.count == 0 || shard->packet > path.highest) {
        path.highest = shard->packet;
        path.arrived = arrived;
    }
    if (path.count < UINT16_MAX)
        path.count++;
    unsigned last = parcel->n_paths - 1u;
    memmove(parcel->paths + at, parcel->paths + at + 1, (last - at) * sizeof path);
    parcel->paths[last] = path;
}

/* Nobody waits for a disk but by coming again: what the store has not done yet is bounded where it
 * is put, or the event loop would wait. */
static bool is_store_busy(const struct inbox *inbox, bool is_for_known) {
    return inbox->n_puts >= (is_for_known ? INBOX_PUTS_MAX : INBOX_PUTS_MAX / 4 * 3);
}

static enum drop parcel_place(struct inbox *inbox, struct inbox_parcel *parcel,
                              const struct directory_entry *entry, const struct parcel_shard *shard,
                              struct now now) {
    uint8_t bit = (uint8_t)(1 << shard->index % 8);
    note_path(parcel, shard, inbox->clock_origin + (uint32_t)now.mono.us);
    if (parcel->bitmap[shard->index / 8] & bit) {
        inbox_partial_note(inbox, parcel, true, now.mono);
        return DROP_DUPLICATE;
    }
    bool is_last = parcel->arrived + 1u == parcel->k;
    if ((is_last && is_store_busy(inbox, parcel->sender->is_known)) ||
        !inbox_parcel_grow(inbox, parcel))
        return DROP_LIMIT;
    parcel->bitmap[shard->index / 8] |= bit;
    parcel->index[parcel->arrived] = shard->index;
    memcpy(parcel->bytes + (size_t)parcel->arrived * parcel->length, shard->data, parcel->length);
    recent_add(&parcel->growth, now.mono);
    if (++parcel->arrived == parcel->k)
        return parcel_finish(inbox, parcel, entry, now);
    inbox_partial_note(inbox, parcel, false, now.mono);
    return DROP_NONE;
}

/* May a new parcel begin? Opening it will cost a key exchange, which its neighbour is charged with.
 * Nodes that we know need not wait when others flood. */
static bool may_begin(struct inbox *inbox, const struct node_id *sender, unsigned from,
                      struct mono now) {
    bool knows = inbox_knows(inbox, sender);
    return !is_store_busy(inbox, knows) && (inbox_may_exchange(inbox, from, now) || knows);
}

enum drop inbox_shard(struct inbox *inbox, const uint8_t *payload, size_t length, unsigned from,
                      int64_t epoch, struct now now) {
    struct parcel_shard shard;
    enum drop drop = parcel_shard_decode(payload, length, &shard);
    if (drop != DROP_NONE)
        return drop;
    inbox->now = now.mono;
    const struct directory_entry *entry =
        directory_find_prefix(inbox->config.directory, shard.sender);
    if (!entry)
        return DROP_UNKNOWN;
    if (!identity_epoch_key(inbox->config.identity, epoch))
        return DROP_TIME;
    drop = inbox_authenticate(inbox, &shard, entry, from, epoch, now.mono);
    if (drop != DROP_NONE)
        return drop;
    /* From here on the sender is proven. */
    if (inbox_receipt_again(inbox, &entry->id, from, &shard, now))
        return DROP_DUPLICATE;
    struct inbox_parcel *parcel = inbox_parcel_find(inbox, &entry->id, &shard.id);
    if (parcel && (parcel->k != shard.k || parcel->m != shard.m || parcel->length != shard.length ||
                   parcel->epoch != epoch))
        return DROP_MALFORMED;
    if (parcel && parcel->storing) {
        uint8_t bit = (uint8_t)(1 << shard.index % 8);
        parcel->asked_again = parcel->asked_again || parcel->bitmap[shard.index / 8] & bit;
        parcel->bitmap[shard.index / 8] |= bit;
        return DROP_DUPLICATE;
    }
    if (!parcel && may_begin(inbox, &entry->id, from, now.mono))
        parcel = inbox_parcel_new(inbox, &entry->id, &shard, epoch);
    if (!parcel)
        return DROP_LIMIT;
    parcel->from = from;
    return parcel_place(inbox, parcel, entry, &shard, now);
}
