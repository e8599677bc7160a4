/* A recipient's paths, and which shard goes over which. Threat: relays that die or drop. What is
 * resent goes by another path than before; with explicit shards each has a path of its own, so that
 * any m relays may fail and nothing has to be sent again; parity is computed when it is sent. */
#include "daemon/core/deliver/outbox_private.h"

#define DRAW_AGAIN_US US_PER_S /* after a further path could not be had */
#define DRAW_PACKETS                                                                               \
    16u /* keying a path takes as long as sealing so many packets: it counts so                    \
           \ */

/* ---- Paths ---- */

void out_slot_retire(struct out_slot *slot) {
    path_free(slot->path);
    slot->path = NULL;
}

void out_silent_forget(struct out_flow *flow) {
    path_free(flow->silent.path);
    flow->silent = (struct out_silent){.path = NULL};
}

/* Relays that the flow's paths pass, and those that they begin with. */
struct passed {
    uint64_t relays[OUTBOX_SLOTS_MAX * TOPOLOGY_RELAYS_MAX], firsts[OUTBOX_SLOTS_MAX];
    size_t n_relays, n_firsts;
};

/* Guards are few: but for paths that are to share nothing, a first relay may be a later one. */
static void list_passed(const struct out_flow *flow, bool apart, struct passed *ret_passed) {
    ret_passed->n_relays = ret_passed->n_firsts = 0;
    for (unsigned i = 0; i < flow->n_slots; i++) {
        uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
        size_t n = flow->slots[i].path ? path_hops(flow->slots[i].path, hops) : 0;
        if (n > 1)
            ret_passed->firsts[ret_passed->n_firsts++] = hops[0];
        for (size_t j = apart ? 0 : 1; j + 1 < n; j++)
            ret_passed->relays[ret_passed->n_relays++] = hops[j];
    }
}

struct path_wish out_flow_wish(const struct out_flow *flow) {
    return (struct path_wish){.target = flow->recipient,
                              .relays_exact = flow->relays_exact,
                              .strict = flow->strict,
                              .apart = flow->shards_k > 0,
                              .silence = &flow->silence,
                              .again = flow->shards_k == 0};
}

static enum outbox_why why_of(enum path_outcome outcome) {
    switch (outcome) {
    case PATH_OK:
        break;
    case PATH_UNKNOWN:
        return OUTBOX_AWAY;
    case PATH_NONE:
        return OUTBOX_NO_ROUTE;
    case PATH_STRICT:
        return OUTBOX_STRICT;
    }
    return OUTBOX_FLYING;
}

static bool slot_draw(struct outbox *outbox, struct out_flow *flow, struct out_slot *slot,
                      struct now now) {
    struct passed passed;
    struct path_wish wish = out_flow_wish(flow);
    bool fewer;
    list_passed(flow, wish.apart, &passed);
    wish.avoid = passed.relays;
    wish.n_avoid = passed.n_relays;
    wish.firsts = passed.firsts;
    wish.n_firsts = passed.n_firsts;
    enum path_outcome outcome = path_draw(outbox->config.paths, &wish, now, &slot->path, &fewer);
    flow->why = why_of(outcome);
    if (outcome != PATH_OK)
        return false;
    if (!paths_reuse(outbox->config.paths))
        outbox->packets_left -=
            outbox->packets_left < DRAW_PACKETS ? outbox->packets_left : DRAW_PACKETS;
    uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
    out_slot_renew(slot, 1 + (uint32_t)random_below(&outbox->config.random, UINT32_MAX));
    slot->way = path_way(hops, path_hops(slot->path, hops));
    flow->unreachable = false;
    flow->retry_us = OUTBOX_UNREACHABLE_MIN_US;
    return true;
}

static void slot_refresh(struct outbox *outbox, struct out_slot *slot, struct now now) {
    if (slot->path && !path_is_usable(outbox->config.paths, slot->path, now))
        out_slot_retire(slot);
}

static bool is_emptier(const struct out_slot *slot, const struct out_slot *other) {
    return (uint64_t)slot->flight * other->window < (uint64_t)other->flight * slot->window;
}

/* Any path with room but the one `before`, fresh ones for as many as are wanted. NULL: nowhere just
 * now. */
static struct out_slot *slot_any(struct outbox *outbox, struct out_flow *flow, unsigned wanted,
                                 uint32_t before, struct now now) {
    struct out_slot *best = NULL, *same = NULL, *unused = NULL;
    unsigned live = 0;
    for (struct out_slot *slot = flow->slots; slot < flow->slots + flow->n_slots; slot++) {
        slot_refresh(outbox, slot, now);
        live += slot->path != NULL;
        if (!out_slot_has_room(slot))
            continue;
        if (!slot->path)
            unused = slot;
        else if (slot->id == before)
            same = slot;
        else if (!best || is_emptier(slot, best))
            best = slot;
    }
    if ((!best || live < wanted) && unused && mono_is_due(flow->draw_after, now.mono)) {
        if (slot_draw(outbox, flow, unused, now))
            return unused;
        if (live > 0)
            flow->draw_after = mono_add(now.mono, DRAW_AGAIN_US);
    }
    return best ? best : live == 1 ? same : NULL;
}

/* Where a shard goes: explicit ones have a place each, the first time. */
static struct out_slot *slot_choose(struct outbox *outbox, struct out_parcel *parcel,
                                    unsigned index, struct now now) {
    struct out_flow *flow = parcel->flow;
    const struct out_shard *shard = &parcel->shards[index];
    unsigned wanted = parcel->k < flow->n_slots ? parcel->k : flow->n_slots;
    if (!paths_reuse(outbox->config.paths))
        wanted = 1; /* each has a fresh one anyway */
    if (flow->shards_k == 0 || shard->sends > 0)
        return slot_any(outbox, flow, wanted, shard->sends ? shard->path : 0, now);
    struct out_slot *own = &flow->slots[index % flow->n_slots];
    slot_refresh(outbox, own, now);
    if (!out_slot_has_room(own))
        return NULL;
    if (own->path)
        return own;
    if (mono_is_due(flow->draw_after, now.mono)) {
        if (slot_draw(outbox, flow, own, now))
            return own;
        flow->draw_after = mono_add(now.mono, DRAW_AGAIN_US);
    }
    return slot_any(outbox, flow, 1, 0, now);
}

bool out_flow_has_kept_path(struct outbox *outbox, struct out_flow *flow, struct now now) {
    bool any = false;
    for (struct out_slot *slot = flow->slots; slot < flow->slots + flow->n_slots; slot++) {
        slot_refresh(outbox, slot, now);
        any = any || slot->path;
    }
    return any;
}

bool out_flow_has_path(struct outbox *outbox, struct out_flow *flow, struct now now) {
    return out_flow_has_kept_path(outbox, flow, now) ||
           slot_draw(outbox, flow, &flow->slots[0], now);
}

/* ---- Shards ---- */

/* How many leave before anything is known: with parity if asked for, or if nothing waits behind the
 * parcel. In a backlog a resend costs no idle round trip, and parity would only cost room. */
static unsigned first_sending(const struct out_parcel *parcel) {
    const struct out_flow *flow = parcel->flow;
    bool last =
        TAILQ_NEXT(parcel, link) == NULL && TAILQ_EMPTY(&flow->shorts) && TAILQ_EMPTY(&flow->longs);
    return !parcel->bare && (flow->shards_k > 0 || last) ? parcel->k + parcel->m : parcel->k;
}

bool out_parcel_is_due(const struct out_parcel *parcel) {
    if (parcel->state != OUT_SEALED || parcel->credit == 0)
        return false;
    return parcel->arrived + parcel->flying < parcel->k || parcel->fresh < first_sending(parcel);
}

/* Those that never were sent, then of those that were lost the one sent least: where answers are
 * what is lost, asking with ever the same shard would never complete the parcel. */
static unsigned next_shard(const struct out_parcel *parcel) {
    unsigned best = parcel->fresh;
    if (parcel->fresh < first_sending(parcel))
        return parcel->fresh;
    for (unsigned i = 0; i < parcel->fresh; i++)
        if (parcel->shards[i].state == OUT_WAITING &&
            (best == parcel->fresh || parcel->shards[i].sends < parcel->shards[best].sends))
            best = i;
    return best;
}

/* Short messages and blocks of long ones take turns; within a kind the oldest parcel goes first. */
static struct out_parcel *next_parcel(struct out_flow *flow) {
    struct out_parcel *parcel, *found[2] = {NULL, NULL};
    TAILQ_FOREACH(parcel, &flow->parcels, link) {
        if (!found[parcel->is_long] && out_parcel_is_due(parcel))
            found[parcel->is_long] = parcel;
        if (found[0] && found[1])
            break;
    }
    return found[flow->long_turn] ? found[flow->long_turn] : found[!flow->long_turn];
}

static void mark_sent(struct outbox *outbox, struct out_parcel *parcel) {
    for (size_t i = 0; i < parcel->n_items; i++)
        if (parcel->items[i].message)
            out_mark_sent(outbox, parcel->items[i].message);
}

static void note_sent(struct outbox *outbox, struct out_parcel *parcel, unsigned index,
                      struct out_slot *slot, struct mono now) {
    struct out_shard *shard = &parcel->shards[index];
    outbox->counters.onions_sent++;
    outbox->counters.retransmissions += shard->sends > 0;
    if (shard->sends < UINT8_MAX)
        shard->sends++;
    shard->state = OUT_FLYING;
    shard->sent = now;
    shard->path = slot->id;
    shard->packet = (uint16_t)(slot->packets - 1);
    shard->slot = (uint8_t)(slot - parcel->flow->slots);
    slot->flight++;
    parcel->flying++;
    parcel->fresh += index == parcel->fresh;
    if (parcel->credit != OUTBOX_CREDIT_ALL)
        parcel->credit--;
    parcel->deadline = mono_add(now, out_delay_us(outbox, parcel));
}

/* Over a path of ours with this number, of which so many packets were sent. */
static int shard_put(struct outbox *outbox, struct out_parcel *parcel, unsigned index,
                     struct path *path, uint32_t id, uint16_t *packets, struct mono now) {
    uint8_t payload[ONION_PAYLOAD_MAX], packet[ONION_LEN];
    const struct parcel_secret *secret = out_flow_secret(outbox, parcel->flow, now);
    if (!secret)
        return -EINVAL;
    struct parcel_shard out = {.id = parcel->id,
                               .k = (uint8_t)parcel->k,
                               .m = (uint8_t)parcel->m,
                               .index = (uint8_t)index,
                               .length = (uint16_t)parcel->length,
                               .sender = node_id_prefix(&outbox->self),
                               .path = id,
                               .packet = (*packets)++,
                               .data = out_shard_data(outbox, parcel, index)};
    size_t length = parcel_shard_encode(&out, secret->shard_key, payload);
    path_seal(outbox->config.paths, path, payload, length, packet);
    return links_send_onion(outbox->config.links, path_first(path), packet, now);
}

static void shard_copy(struct outbox *outbox, struct out_parcel *parcel, unsigned index,
                       struct path *path, uint32_t id, uint16_t *packets, struct now now) {
    if (!path || !path_is_usable(outbox->config.paths, path, now) ||
        shard_put(outbox, parcel, index, path, id, packets, now.mono) != 0)
        return;
    outbox->counters.onions_sent++;
    outbox->counters.retransmissions++;
}

/* Where no path is used again. */
static void shard_copy_afresh(struct outbox *outbox, struct out_parcel *parcel, unsigned index,
                              struct now now) {
    struct path_wish wish = out_flow_wish(parcel->flow);
    struct path *path;
    uint16_t packets = 0;
    bool fewer;
    wish.again = false;
    if (path_draw(outbox->config.paths, &wish, now, &path, &fewer) != PATH_OK)
        return;
    uint32_t id = 1 + (uint32_t)random_below(&outbox->config.random, UINT32_MAX);
    shard_copy(outbox, parcel, index, path, id, &packets, now);
    path_free(path);
}

/* Nothing was heard, and it may be the answer that was lost. So what asks for one, the first times,
 * goes twice over its way, which tells the recipient to answer over two; and once more over the way
 * before, which may be good. Nobody waits for the copies. */
static void shard_copies(struct outbox *outbox, struct out_parcel *parcel, unsigned index,
                         struct out_slot *slot, struct now now) {
    struct out_silent *silent = &parcel->flow->silent;
    bool asks = parcel->timeouts > 0 && parcel->timeouts <= OUTBOX_FAST_RESENDS + 1 &&
                parcel->flying == 1 && parcel == TAILQ_FIRST(&parcel->flow->parcels);
    if (!asks)
        return;
    if (!paths_reuse(outbox->config.paths)) {
        shard_copy_afresh(outbox, parcel, index, now);
        return;
    }
    shard_copy(outbox, parcel, index, slot->path, slot->id, &slot->packets, now);
    shard_copy(outbox, parcel, index, silent->path, silent->id, &silent->packets, now);
}

static int shard_send(struct outbox *outbox, struct out_parcel *parcel, unsigned index,
                      struct out_slot *slot, struct now now) {
    int error = shard_put(outbox, parcel, index, slot->path, slot->id, &slot->packets, now.mono);
    if (error == -ENOTCONN)
        out_slot_retire(slot);
    if (error)
        return error;
    note_sent(outbox, parcel, index, slot, now.mono);
    shard_copies(outbox, parcel, index, slot, now);
    return 0;
}

int out_flow_send(struct outbox *outbox, struct out_flow *flow, struct now now) {
    for (unsigned left = OUTBOX_QUANTUM; left > 0 && outbox->packets_left > 0; left--) {
        struct out_parcel *parcel = next_parcel(flow);
        if (!parcel)
            return -EAGAIN;
        unsigned index = next_shard(parcel);
        if (!out_shard_data(outbox, parcel, index)) {
            parcel->bare = true; /* parity only saves time: what was lost is sent again */
            continue;
        }
        struct out_slot *slot = slot_choose(outbox, parcel, index, now);
        if (!slot)
            return -EAGAIN;
        outbox->packets_left -= outbox->packets_left > 0;
        int error = shard_send(outbox, parcel, index, slot, now);
        if (error)
            return error;
        flow->long_turn = !parcel->is_long;
        mark_sent(outbox, parcel);
    }
    return 0;
}
