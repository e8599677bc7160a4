/* See self.h. */
#include "daemon/core/node/node_private.h"

#define SEQUENCE_STEP 1000 /* ms: less than the least interval of publications */
/* Up to this is added at random after a move of the clock: an earlier run, of which only the last
 * sequence is known, may have signed at this very time. */
#define SEQUENCE_MOVED (30 * 1000) /* ms */

/* ---- Own descriptor ---- */

/* The addresses at which most neighbours see us. With more than one neighbour two must agree; if no
 * two do, the first address counts. */
static void observe_addresses(const struct node *node, struct descriptor *descriptor) {
    struct address seen[LINK_SLOTS];
    unsigned votes[LINK_SLOTS], n = 0, links = 0;

    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(node->links, slot);
        unsigned i = 0;
        if (!link || link->state == LINK_PROBATION || link->seen_as.port == 0 ||
            address_is_unspecified(&link->seen_as))
            continue;
        links++;
        while (i < n && !address_is_equal(&seen[i], &link->seen_as))
            i++;
        if (i == n) {
            seen[n] = link->seen_as;
            votes[n++] = 0;
        }
        votes[i]++;
    }
    while (descriptor->n_addresses < DESCRIPTOR_ADDRESSES_MAX) {
        unsigned best = 0;
        for (unsigned i = 1; i < n; i++)
            if (votes[i] > votes[best])
                best = i;
        if (n == 0 || votes[best] < (links > 1 ? 2u : 1u))
            break;
        descriptor->addresses[descriptor->n_addresses++] = seen[best];
        votes[best] = 0;
    }
    if (descriptor->n_addresses == 0 && n > 0)
        descriptor->addresses[descriptor->n_addresses++] = seen[0];
}

/* The neighbours that our descriptor names. Returns how many. */
static unsigned name_neighbours(const struct node *node,
                                struct descriptor_neighbour ret[DESCRIPTOR_NEIGHBOURS_MAX]) {
    unsigned n = 0;

    for (unsigned slot = 0; slot < LINK_SLOTS && n < DESCRIPTOR_NEIGHBOURS_MAX; slot++) {
        const struct link_view *link = links_at(node->links, slot);
        if (link && link->state == LINK_UP)
            ret[n++] = (struct descriptor_neighbour){link->prefix, link->address};
    }
    return n;
}

static void describe(const struct node *node, struct descriptor *descriptor) {
    memcpy(descriptor->name, node->config.name, sizeof descriptor->name);
    descriptor->relay = node->config.relay;
    descriptor->mailbox = node->config.mailbox_size > 0;
    descriptor->n_mailboxes = (uint8_t)mailbox_chosen(node->mailbox, descriptor->mailboxes);
    for (size_t i = 0; i < node->config.n_advertise; i++)
        descriptor->addresses[descriptor->n_addresses++] = node->advertise[i];
    if (descriptor->n_addresses == 0)
        observe_addresses(node, descriptor);
    descriptor->n_neighbours = (uint8_t)name_neighbours(node, descriptor->neighbours);
}

/* The sequence of the next descriptor: the clock's milliseconds, but beyond our last one. Where the
 * clock is behind the last one, the step beyond it is random: an earlier run whose last sequence
 * the disk has lost may have signed the following one, and two descriptors of one sequence would
 * convict us. If the last one is so far ahead that every node whose clock agrees with ours has
 * refused it, the clock counts again; that one is only avoided as used. */
static uint64_t next_sequence(const struct node *node) {
    const struct node_self *self = &node->self;
    const struct core_random *random = &node->config.random;
    uint64_t next = (uint64_t)wall_ms(node->now.wall), last = self->sequence;

    if (last >= next && last < next + DESCRIPTOR_AHEAD_US / US_PER_MS)
        next = last + 1 + random_below(random, SEQUENCE_STEP);
    else if (correction_has_moved(&node->correction, node->correction.us))
        next += random_below(random, SEQUENCE_MOVED);
    return sequences_free(&self->had, next, SEQUENCE_STEP, random);
}

void node_self_sign(struct node *node) {
    struct descriptor descriptor = {.sequence = next_sequence(node)};
    uint8_t bytes[DESCRIPTOR_MAX];

    identity_advance(node->identity, node->now.wall); /* the clock may just have left an epoch */
    describe(node, &descriptor);
    int length = descriptor_sign(&descriptor, node->identity, node->now.wall, bytes);
    if (length <
        0) { /* an address of ours that others would refuse: rather none than no descriptor */
        core_log(&node->config.trace, TRACE_WARNING, "descriptor: published without addresses");
        descriptor.n_addresses = 0;
        length = descriptor_sign(&descriptor, node->identity, node->now.wall, bytes);
    }
    if (length < 0)
        return; /* cannot be: its other parts are ours and bounded */
    if (descriptor.n_addresses > 0)
        node->address = descriptor.addresses[0];
    node->self.was_signed = true;
    node->self.sequence = descriptor.sequence;
    sequences_add(&node->self.had, descriptor.sequence);
    node->correction.signed_us = node->correction.us;
    publisher_sign(&node->publisher, descriptor.neighbours, descriptor.n_neighbours);
    directory_set_self(node->directory, bytes, (size_t)length, node->now.mono);
    links_set_descriptor(node->links, bytes, (size_t)length);
    struct store_op op = {.kind = STORE_SEQUENCE, .sequence = {descriptor.sequence}};
    effects_store(node->effects, &op, OWNER_NODE, 0);
}

/* ---- Publication ---- */

void node_self_compare(struct node *node) {
    struct descriptor_neighbour neighbours[DESCRIPTOR_NEIGHBOURS_MAX];

    publisher_compare(&node->publisher, neighbours, name_neighbours(node, neighbours));
}

static struct publish_network network_of(const struct node *node) {
    return (struct publish_network){.now = node->now.mono,
                                    .links = links_count(node->links, true),
                                    .links_min = node->config.pool_min,
                                    .aim = pool_aim(node->pool),
                                    .known = directory_count(node->directory),
                                    .reached = directory_reached(node->directory)};
}

struct mono node_self_next(const struct node *node) {
    if (publisher_is_idle(&node->publisher))
        return MONO_NEVER; /* the usual case needs no look at the network */
    struct publish_network network = network_of(node);
    return publisher_due(&node->publisher, &network);
}

/* The network has a later descriptor of ours than we do: it takes none of ours until we go beyond
 * that one. */
static void follow_outbid(struct node *node) {
    if (directory_outbid(node->directory) <= node->self.sequence)
        return;
    node->self.sequence = directory_outbid(node->directory);
    sequences_add(&node->self.had, node->self.sequence);
    publisher_outbid(&node->publisher);
}

void node_self_tick(struct node *node) {
    follow_outbid(node);
    if (!mono_is_due(node_self_next(node), node->now.mono))
        return;
    struct publish_network network = network_of(node);
    publisher_publish(&node->publisher, &network);
    node_self_sign(node);
    gossip_offer_news(node->gossip, node_id_prefix(identity_id(node->identity)), 0, node->now.mono);
}
