/* Which shard leaves next, and what goes with it. Threat: relays that die or drop. Parity is
 * computed only when it is sent; a shard that asks for a lost receipt goes over two ways. */
#include "daemon/core/deliver/sender/sender_private.h"

/* How many shards of a parcel leave before anything is known of it: the parity too if explicit
 * shards were asked for, or if nothing waits behind this parcel. With a backlog a resend costs no
 * idle round trip, and parity would only cost room. */
static unsigned first_sending(const struct sender_parcel *parcel) {
    const struct recipient *recipient = parcel->recipient;
    bool last = TAILQ_NEXT(parcel, link) == NULL && TAILQ_EMPTY(&recipient->shorts) &&
                TAILQ_EMPTY(&recipient->longs);
    bool with_parity = !parcel->no_parity && (recipient->route.shards_k > 0 || last);
    return with_parity ? parcel->k + parcel->m : parcel->k;
}

bool sender_parcel_is_due(const struct sender_parcel *parcel) {
    if (!sender_parcel_is_sealed(parcel) || parcel->credit == 0)
        return false;
    return parcel->arrived + parcel->flying < parcel->k || parcel->fresh < first_sending(parcel);
}

/* Shards that were never sent come first; then, of those that were lost, the one sent least often.
 * Where receipts are what is lost, sending the same shard every time would never complete the
 * parcel. */
static unsigned next_shard(const struct sender_parcel *parcel) {
    unsigned best = parcel->fresh;
    if (parcel->fresh < first_sending(parcel))
        return parcel->fresh;
    for (unsigned i = 0; i < parcel->fresh; i++)
        if (parcel->shards[i].state == SHARD_WAITING &&
            (best == parcel->fresh || parcel->shards[i].sends < parcel->shards[best].sends))
            best = i;
    return best;
}

/* Short messages and blocks of long ones take turns; within a kind the oldest parcel goes first. */
static struct sender_parcel *next_parcel(struct recipient *recipient) {
    struct sender_parcel *parcel, *found[2] = {NULL, NULL};
    TAILQ_FOREACH(parcel, &recipient->parcels, link) {
        if (!found[parcel->is_long] && sender_parcel_is_due(parcel))
            found[parcel->is_long] = parcel;
        if (found[0] && found[1])
            break;
    }
    return found[recipient->long_turn] ? found[recipient->long_turn] : found[!recipient->long_turn];
}

static void note_sent(struct sender *sender, struct sender_parcel *parcel, unsigned index,
                      struct subflow *subflow, struct mono now) {
    struct sender_shard *shard = &parcel->shards[index];
    sender->counters.retransmissions += shard->sends > 0;
    if (shard->sends < UINT8_MAX)
        shard->sends++;
    shard_move(shard, SHARD_FLYING);
    shard->sent = now;
    shard->path = subflow->id;
    shard->packet = (uint16_t)(subflow->packets - 1);
    shard->subflow = (uint8_t)(subflow - parcel->recipient->subflows);
    window_sent(sender_window(parcel->recipient, subflow));
    parcel->flying++;
    parcel->fresh += index == parcel->fresh;
    backoff_parcel_sent(sender, parcel, now);
}

/* Send a shard over a path of ours with this number, of which so many packets were sent. */
static int shard_put(struct sender *sender, struct sender_parcel *parcel, unsigned index,
                     struct courier_lane *lane, uint32_t id, uint16_t *packets, struct mono now) {
    uint8_t payload[ONION_PAYLOAD_MAX];
    const struct parcel_secret *secret = sender_secret(sender, parcel->recipient, now);
    if (!secret)
        return -EINVAL;
    struct parcel_shard out = {.id = parcel->id,
                               .k = (uint8_t)parcel->k,
                               .m = (uint8_t)parcel->m,
                               .index = (uint8_t)index,
                               .length = (uint16_t)parcel->length,
                               .sender = node_id_prefix(&sender->self),
                               .path = id,
                               .packet = (*packets)++,
                               .data = sender_shard_data(sender, parcel, index)};
    size_t length = parcel_shard_encode(&out, secret->shard_key, payload);
    return courier_send(sender->config.courier, lane, payload, length, now);
}

static void shard_copy(struct sender *sender, struct sender_parcel *parcel, unsigned index,
                       struct courier_lane *lane, uint32_t id, uint16_t *packets, struct now now) {
    if (courier_is_open(sender->config.courier, lane, now) &&
        shard_put(sender, parcel, index, lane, id, packets, now.mono) == 0)
        sender->counters.retransmissions++;
}

/* The configuration says that no path is used twice: draw one for the copy. */
static void shard_copy_afresh(struct sender *sender, struct sender_parcel *parcel, unsigned index,
                              struct now now) {
    struct path_request request = sender_path_request(parcel->recipient);
    struct courier_lane lane = {.path = NULL};
    uint16_t packets = 0;
    request.again = false;
    if (courier_open(sender->config.courier, &lane, &request, now) != PATH_OK)
        return;
    uint32_t id = 1 + (uint32_t)random_below(&sender->config.random, UINT32_MAX);
    shard_copy(sender, parcel, index, &lane, id, &packets, now);
    courier_retire(&lane);
}

/* After a time-out the first parcel sends one shard (credit 1), which asks for a receipt. As the
 * receipt may be what was lost, the first SENDER_FAST_RESENDS + 1 times this shard goes twice over
 * its path, which tells the recipient to answer over two paths; and once over the path that was
 * given up, which may be good. The copies are not waited for. */
static void shard_copies(struct sender *sender, struct sender_parcel *parcel, unsigned index,
                         struct subflow *subflow, struct now now) {
    struct silent_path *silent = &parcel->recipient->silent;
    bool asks = parcel->timeouts > 0 && parcel->timeouts <= SENDER_FAST_RESENDS + 1 &&
                parcel->flying == 1 && parcel == TAILQ_FIRST(&parcel->recipient->parcels);
    if (!asks)
        return;
    if (!paths_reuse(sender->config.paths)) {
        shard_copy_afresh(sender, parcel, index, now);
        return;
    }
    shard_copy(sender, parcel, index, &subflow->lane, subflow->id, &subflow->packets, now);
    if (!subflow->lane.path)
        sender_retire(parcel->recipient, subflow); /* its window with it */
    shard_copy(sender, parcel, index, &silent->lane, silent->id, &silent->packets, now);
}

static int shard_send(struct sender *sender, struct sender_parcel *parcel, unsigned index,
                      struct subflow *subflow, struct now now) {
    int error =
        shard_put(sender, parcel, index, &subflow->lane, subflow->id, &subflow->packets, now.mono);
    if (error == -ENOTCONN)
        sender_retire(parcel->recipient, subflow);
    if (error)
        return error;
    note_sent(sender, parcel, index, subflow, now.mono);
    shard_copies(sender, parcel, index, subflow, now);
    return 0;
}

int sender_send(struct sender *sender, struct recipient *recipient, struct now now) {
    for (unsigned left = SENDER_QUANTUM; left > 0 && sender->packets_left > 0; left--) {
        struct sender_parcel *parcel = next_parcel(recipient);
        if (!parcel)
            return -EAGAIN;
        unsigned index = next_shard(parcel);
        if (!sender_shard_data(sender, parcel, index)) {
            parcel->no_parity = true; /* parity only saves time: what was lost is sent again */
            continue;
        }
        struct subflow *subflow = sender_choose(sender, parcel, index, now);
        if (!subflow)
            return -EAGAIN;
        sender->packets_left -= sender->packets_left > 0;
        int error = shard_send(sender, parcel, index, subflow, now);
        if (error)
            return error;
        recipient->long_turn = !parcel->is_long;
        sender_parcel_departs(sender, parcel);
    }
    return 0;
}
