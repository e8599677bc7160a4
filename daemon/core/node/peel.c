/* Onion packets: look up, peel, forward or deliver. This is the relay's whole work; nothing is
 * stored. Threat: see onion.h and droplist.h. Order matters: the drop list is asked before the
 * public-key work and told only after the tag has verified.
 *
 * The packets of a batch are looked up one by one, opened all together on whatever processors there
 * are, each into the cell that may carry it on, and then have their turns in the order in which
 * they came. */
#include "daemon/core/node/peel.h"
#include "daemon/core/node/deliver.h"
#include "daemon/core/node/node_private.h"

#include <assert.h>
#include <sodium.h>

static_assert(LINK_SLOTS <= RATION_NEIGHBOURS && LINK_SLOTS <= DROPLIST_NEIGHBOURS,
              "a neighbour is known by its slot");

/* What one exchange and one peeling take, in nanoseconds, roughly. */
#define EXCHANGE_NS 32000u
#define PEEL_NS 1500
#define REPLY_LIFE (2 * DROPLIST_MINUTES + 1) /* minutes: the longest that an eph is remembered */

void node_peel_advance(struct node *node) {
    unsigned links = links_count(node->links, true);
    droplist_advance(node->droplist, wall_minute(node->now.wall), links);
    ration_configure(&node->ration, droplist_share(node->config.droplist_entries));
}

/* Drop list and ration know a neighbour by its slot. If another node has got the slot since, tell
 * both. */
static void know_tenant(struct node *node, unsigned slot, uint64_t prefix) {
    if (node->tenants[slot] == prefix)
        return;
    droplist_replace(node->droplist, slot);
    ration_replace(&node->ration, slot);
    node->tenants[slot] = prefix;
}

/* ---- Looking up ---- */

/* The first packets of a new path often come together. Find the one in this batch that has the same
 * eph: its key exchange serves all of them. */
static struct peeling *find_fresh(const struct node *node, const uint8_t *packet,
                                  const struct noise_keypair *key) {
    for (size_t i = node->n_fresh > 0 ? 0 : node->n_peelings; i < node->n_peelings; i++) {
        struct peeling *peeling = &node->peelings[i];
        if (peeling->fresh == key &&
            memcmp(onion_eph(peeling->packet), onion_eph(packet), KEY_LEN) == 0)
            return peeling;
    }
    return NULL;
}

enum drop node_onion(struct node *node, unsigned slot, uint64_t from, const uint8_t *packet) {
    struct peeling peeling = {.packet = packet, .from = from, .slot = slot};
    const struct noise_keypair *key =
        identity_routing_key(node->identity, packet[0], node->now.wall, &peeling.epoch);

    if (!key)
        return DROP_TIME;
    know_tenant(node, slot, from);
    enum drop drop =
        droplist_find(node->droplist, onion_eph(packet), slot, &peeling.prk, &peeling.has_way);
    if (drop != DROP_NONE)
        return drop;
    peeling.first = peeling.prk ? NULL : find_fresh(node, packet, key);
    if (peeling.first)
        peeling.prk = peeling.first->own_prk;
    peeling.out = links_onion_begin(node->links);
    if (!peeling.out)
        return DROP_QUEUE;
    if (!peeling.prk && !share_take(&node->share, slot, node->now.mono)) {
        links_onion_cancel(node->links, peeling.out);
        return DROP_LIMIT; /* it would cost a Diffie-Hellman */
    }
    assert(node->n_peelings < NODE_BATCH); /* no cell has room for two */
    struct peeling *place = &node->peelings[node->n_peelings++];
    *place = peeling;
    if (!peeling.prk) {
        place->fresh = key;
        place->prk = place->own_prk;
        node->n_fresh++;
    }
    return DROP_NONE;
}

/* ---- Computing ---- */

static void exchange(void *item) {
    struct peeling *peeling = item;
    if (peeling->fresh)
        peeling->drop = onion_prk(onion_eph(peeling->packet), peeling->fresh->secret,
                                  peeling->fresh->public, peeling->own_prk);
}

/* Packets that share an exchange which failed have no prk either: drop them for the same reason. */
static void follow_first(struct node *node) {
    for (size_t i = 0; i < node->n_peelings; i++)
        if (node->peelings[i].first)
            node->peelings[i].drop = node->peelings[i].first->drop;
}

static void peel(void *item) {
    struct peeling *peeling = item;
    if (peeling->drop == DROP_NONE)
        peeling->drop = onion_peel(peeling->packet, peeling->prk, peeling->out, &peeling->peeled);
}

/* ---- Sending on ---- */

/* The neighbour to forward the packet to. NULL: it cannot be forwarded. */
static const struct link_view *next_hop(const struct node *node, const struct peeling *peeling) {
    const struct onion_peeled *peeled = &peeling->peeled;

    if (peeled->command != ONION_FORWARD || !node->config.relay || peeled->next == peeling->from)
        return NULL;
    const struct link_view *next = links_find(node->links, peeled->next);
    return next && next->state != LINK_PROBATION ? next : NULL;
}

/* Would this packet make the next hop remember one eph more, and has the neighbour used up its
 * ration of those? Asked before the eph is entered here, so that the path can be tried again later.
 * A packet that will be refused for something else takes nothing from the ration. */
static bool is_beyond_ration(struct node *node, const struct droplist_packet *packet,
                             const struct link_view *next) {
    int64_t life = packet->minute - wall_minute(node->now.wall) + DROPLIST_MINUTES + 1;
    bool is_first;

    if (droplist_judge(node->droplist, packet, &is_first) != DROP_NONE || !is_first)
        return false;
    know_tenant(node, next->slot, next->prefix);
    return !ration_take(&node->ration, packet->neighbour, next->slot, life > 0 ? life : 1,
                        &node->config.random, node->now.mono);
}

/* The ration counts ephs that are new here. So all packets of an eph must go the way of the first,
 * or only the first would be counted. Beginning with a packet that costs no ration is no way
 * around: if it was for us, all others of its eph must be too; if it could not be forwarded, no way
 * is remembered, and the first packet that can be forwarded is counted. */
static enum drop remember(struct node *node, const struct peeling *peeling) {
    uint8_t way[ONION_WAY_LEN];
    struct droplist_packet packet = {.eph = onion_eph(peeling->packet),
                                     .minute = peeling->epoch * (EPOCH_US / US_PER_MINUTE) +
                                               peeling->peeled.slot,
                                     .index = peeling->peeled.index,
                                     .neighbour = peeling->slot};
    const struct link_view *next = peeling->has_way ? NULL : next_hop(node, peeling);

    if (peeling->has_way || next || peeling->peeled.command == ONION_DELIVER) {
        onion_way(peeling->out, &peeling->peeled, way);
        packet.way = way;
    }
    if (next && is_beyond_ration(node, &packet, next))
        return DROP_LIMIT;
    return droplist_enter(node->droplist, &packet, peeling->prk);
}

static enum drop forward(struct node *node, const struct peeling *peeling) {
    if (!node->config.relay || peeling->peeled.next == peeling->from) {
        links_onion_cancel(node->links, peeling->out);
        return node->config.relay ? DROP_NO_ROUTE : DROP_NOT_RELAY;
    }
    enum drop drop =
        relay_packet(node->relay, peeling->slot, peeling->peeled.next, peeling->out, node->now);
    node->counters.onion_relayed += drop == DROP_NONE;
    return drop;
}

static enum drop finish(struct node *node, const struct peeling *peeling) {
    const struct onion_peeled *peeled = &peeling->peeled;
    enum drop drop = peeling->drop;

    if (drop == DROP_NONE)
        drop = remember(node, peeling);
    if (drop == DROP_NONE && peeled->command == ONION_FORWARD)
        return forward(node, peeling);
    if (drop == DROP_NONE)
        drop = node_deliver(node, peeling->slot, peeled, peeling->epoch);
    /* A packet that is not forwarded may hold a payload of ours. */
    sodium_memzero(peeling->out, ONION_LEN);
    links_onion_cancel(node->links, peeling->out);
    return drop;
}

/* ---- Replies that came in deposits ---- */

/* Forward a reply onion that came in a deposit as if we had peeled it. Its eph is new to the next
 * hop and its minute is not known, so the neighbour that brought it is charged for the longest
 * life: no less than for a path of its own. */
static enum drop send_reply(struct node *node, unsigned from, uint64_t to, const uint8_t *packet) {
    const struct link_view *next = links_find(node->links, to);
    if (!next || next->state == LINK_PROBATION)
        return DROP_NO_ROUTE;
    know_tenant(node, next->slot, next->prefix);
    if (!ration_take(&node->ration, from, next->slot, REPLY_LIFE, &node->config.random,
                     node->now.mono))
        return DROP_LIMIT;
    uint8_t *out = links_onion_begin(node->links);
    if (!out)
        return DROP_QUEUE;
    memcpy(out, packet, ONION_LEN);
    return relay_packet(node->relay, from, to, out, node->now);
}

void node_take_deposits(struct node *node) {
    struct mailbox_answer answer;
    uint64_t tag;
    int error;

    while (outbox_deposit_done(node->outbox, &tag, &error)) {
        mailbox_stored(node->mailbox, tag, error, &answer);
        for (unsigned i = 0; i < answer.n; i++)
            node_count(node,
                       send_reply(node, answer.neighbour, answer.first[i], answer.packets[i]));
    }
}

/* ---- Whole batches ---- */

void node_peel(struct node *node) {
    size_t n = node->n_peelings;

    if (n == 0)
        return;
    if (node->n_fresh > 0) {
        compute_each(&node->config.compute, exchange, node->peelings, sizeof *node->peelings, n,
                     (unsigned)(EXCHANGE_NS * node->n_fresh / n));
        follow_first(node);
    }
    compute_each(&node->config.compute, peel, node->peelings, sizeof *node->peelings, n, PEEL_NS);
    for (size_t i = 0; i < n; i++)
        node_count(node, finish(node, &node->peelings[i]));
    if (node->n_fresh > 0)
        sodium_memzero(node->peelings, n * sizeof *node->peelings);
    node->n_peelings = node->n_fresh = 0;
}
