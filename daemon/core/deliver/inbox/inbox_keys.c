/* Secrets that we share with senders, and who sent a shard. Threat: anybody may name anybody as the
 * sender of a shard, and every secret costs a key exchange. Secrets computed for a mere claim
 * displace other such ones alone, and the neighbour that brings the shard is charged. */
#include "daemon/core/deliver/inbox/inbox_private.h"

bool inbox_may_exchange(struct inbox *inbox, unsigned from, struct mono now) {
    return !inbox->config.share || share_take(inbox->config.share, from, now);
}

/* Find the secret in one of the tables, or compute it for table `into`, if the neighbour that asks
 * for it may. */
static const struct parcel_secret *get_secret(struct inbox *inbox, struct parcel_keys *into,
                                              const struct parcel_peer *peer, unsigned from,
                                              struct mono now) {
    const struct parcel_secret *secret = parcel_keys_renew(inbox->keys, peer);
    if (!secret)
        secret = parcel_keys_renew(inbox->guesses, peer);
    if (secret || !inbox_may_exchange(inbox, from, now))
        return secret;
    inbox->keys_check = mono_min(inbox->keys_check, mono_add(now, INBOX_KEYS_CHECK_US));
    return parcel_keys_add(into, peer);
}

static struct parcel_peer peer_of(const struct inbox *inbox, const struct directory_entry *sender,
                                  const struct descriptor *descriptor, int64_t epoch) {
    return (struct parcel_peer){.id = &sender->id,
                                .stamp = directory_stamp(sender),
                                .epoch = epoch,
                                .public_key = descriptor->link_key,
                                .secret = identity_epoch_key(inbox->config.identity, epoch)->secret,
                                .self = &inbox->self,
                                .is_sender = true,
                                .is_known = inbox_knows(inbox, &sender->id)};
}

const struct parcel_secret *inbox_secret(struct inbox *inbox, const struct inbox_parcel *parcel,
                                         const struct directory_entry *sender, struct mono now) {
    const struct parcel_secret *secret =
        parcel_keys_find(inbox->keys, &sender->id, directory_stamp(sender), parcel->epoch);
    struct descriptor descriptor;
    if (secret || !identity_epoch_key(inbox->config.identity, parcel->epoch))
        return secret;
    directory_descriptor(sender, &descriptor);
    struct parcel_peer peer = peer_of(inbox, sender, &descriptor, parcel->epoch);
    return get_secret(inbox, inbox->keys, &peer, parcel->from, now);
}

/* Did the sender that the shard names make it? That cannot be known before there is a secret with
 * that sender. So secrets computed for an unproven claim go into `guesses`, and move to `keys` once
 * a MAC is right. */
enum drop inbox_authenticate(struct inbox *inbox, const struct parcel_shard *shard,
                             const struct directory_entry *sender, unsigned from, int64_t epoch,
                             struct mono now) {
    const struct parcel_secret *secret =
        parcel_keys_find(inbox->keys, &sender->id, directory_stamp(sender), epoch);
    struct descriptor descriptor;
    if (secret)
        return parcel_shard_is_authentic(shard, secret->shard_key) ? DROP_NONE : DROP_AUTH;
    directory_descriptor(sender, &descriptor);
    struct parcel_peer peer = peer_of(inbox, sender, &descriptor, epoch);
    secret = get_secret(inbox, inbox->guesses, &peer, from, now);
    if (!secret)
        return DROP_LIMIT;
    if (!parcel_shard_is_authentic(shard, secret->shard_key))
        return DROP_AUTH;
    if (parcel_keys_find(inbox->guesses, &sender->id, directory_stamp(sender), epoch))
        parcel_keys_move(inbox->keys, inbox->guesses, &peer);
    return DROP_NONE;
}
