/* What the node says of itself and makes of its links: the clock's correction, the signed
 * descriptor, guards and routes.
 *
 * Threat: neighbours say what time it is. With each move of the clock go all our keys, a signature
 * and the drop list, so moves are rationed; and whoever moves it to a time at which we have signed
 * already must not get a second descriptor of that sequence out of us, which would convict us. */
#include "daemon/core/node/node_private.h"

#include <stdlib.h>

#define FIRST_US (2 * US_PER_S) /* published then at the latest, neighbours or not */
#define INTERVAL_FIRST_US                                                                          \
    US_PER_S /* while a network forms, a route is worth more than a datagram */
#define INTERVAL_MIN_US (5 * US_PER_S)
#define INTERVAL_NODE_US                                                                           \
    (40 *                                                                                          \
     US_PER_MS) /* a node of the network: so that all news together stay within a link's means */
#define INTERVAL_MAX_US (10 * US_PER_MINUTE)
/* A network forms, not only our part in it, while so many descriptors of the last seconds were
 * signed just before they came. */
#define FORMING 32
#define YOUNG_US (10 * US_PER_S)
#define YOUNG_HALVES_US US_PER_S
#define FORMING_NODE_US                                                                            \
    (10 * US_PER_MS) /* a known node: so long the first one waits for links then */
#define FORMING_MAX_US                                                                             \
    (20 * US_PER_S) /* but whoever makes it look so keeps nobody away for longer */
/* What only adds to enough named neighbours may wait for more of the kind, where it costs thousands
 * of checks. */
#define GAINS_NODES 128
#define FREELY 4 /* publications at the first interval, before it begins to double */
/* What counts is published at once: so often after quiet, and once more after each shortest
 * interval, so that whoever uses that up holds another up for no longer than that. Losses alone
 * have a smaller ration. */
#define AT_ONCE_US US_PER_S
#define AT_ONCE_BURST 4
#define LOSS_RATION 10     /* shortest intervals, each */
#define SEQUENCE_STEP 1000 /* ms: less than the least interval of publications */
#define TELL_CORRECTION_US (30 * US_PER_S)
#define TELL_RIVALS_US US_PER_MINUTE
#define TELL_DOUBLED_US US_PER_HOUR
#define RESIGN_CORRECTION_US (30 * US_PER_S)
/* Drawn on top after a move of the clock: a former life, of which only the last sequence is known,
 * may have signed at this very time. */
#define SEQUENCE_MOVED (30 * 1000) /* ms */

/* ---- Clock ---- */

/* What was refused for its time may be right now, and the other way round: compare with the
 * neighbours anew. */
static void reconcile(struct node *node) {
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(node->links, slot);
        if (link && link->state != LINK_PROBATION)
            gossip_link_up(node->gossip, link->prefix, node->now.mono);
    }
}

/* The minutes by which paths are told apart have moved: new routing keys, and a drop list that goes
 * by the new minutes. Only both together keep every replay out. */
static void renew_keys(struct node *node) {
    struct droplist *droplist = droplist_new(node->config.droplist_entries, &node->config.random);

    if (droplist) {
        droplist_free(node->droplist);
        node->droplist = droplist;
    }
    identity_renew(node->identity, node->now.wall);
    inbox_renew(node->inbox);
    node_advance_droplist(node);
    node_sign(node);
    reconcile(node);
    node->publisher.dirty = node->publisher.pressing = true;
}

static void tell_clock(struct node *node, int64_t correction) {
    int64_t error = links_clock_error(node->links);
    const char *side = error > 0 ? "behind" : "ahead of";
    bool is_beyond = node_clock_is_beyond(node);
    unsigned is = is_beyond                                ? CLOCK_BEYOND
                  : llabs(correction) > TELL_CORRECTION_US ? CLOCK_CORRECTED
                                                           : CLOCK_RIGHT;
    if (is == CLOCK_BEYOND && node->clock_told != CLOCK_BEYOND)
        core_log(&node->config.trace, TRACE_WARNING,
                 "clock: this machine's is %lld h %s the neighbours', more than the %d h that can "
                 "be corrected here: nothing is delivered until it is set right (NTP)",
                 (long long)(llabs(error) / US_PER_HOUR), side,
                 (int)(LINKS_CLOCK_MAX_US / US_PER_HOUR));
    else if (is == CLOCK_CORRECTED && node->clock_told == CLOCK_RIGHT)
        core_log(&node->config.trace, TRACE_WARNING,
                 "clock: this machine's is %lld s %s the neighbours'; corrected here, set it right "
                 "(NTP)",
                 (long long)(llabs(correction) / US_PER_S), side);
    node->clock_told = is;
}

static bool has_moved(const struct node *node, int64_t correction) {
    return llabs(correction - node->publisher.signed_correction_us) > RESIGN_CORRECTION_US;
}

static struct mono renewal_due(const struct node *node) {
    return mono_add(node->publisher.renewals_from, -(RENEWALS_BURST - 1) * RENEWAL_EACH_US);
}

static void charge_renewal(struct node *node) {
    struct mono *from = &node->publisher.renewals_from;
    *from = mono_add(mono_is_due(*from, node->now.mono) ? node->now.mono : *from, RENEWAL_EACH_US);
}

static void correct(struct node *node, int64_t correction) {
    node->publisher.correcting = false;
    if (correction == node->correction_us)
        return;
    node->correction_us = correction;
    node->now.wall = (struct wall){node->machine.wall.us + correction};
    links_set_correction(node->links, correction);
    if (has_moved(node, correction))
        renew_keys(node);
}

/* A clock that moves without new keys would let replays in, so it is the move that waits. */
void node_correct_clock(struct node *node) {
    int64_t correction = links_clock_offset(node->links);

    tell_clock(node, correction);
    if (has_moved(node, correction)) {
        node->publisher.correcting = !mono_is_due(renewal_due(node), node->now.mono);
        if (node->publisher.correcting)
            return;
        charge_renewal(node);
    }
    correct(node, correction);
}

void node_correct_stepped(struct node *node, int64_t step_us) {
    int64_t correction = links_clock_offset(node->links);

    node->publisher.signed_correction_us -= step_us;
    tell_clock(node, correction);
    correct(node, correction);
}

/* ---- Own descriptor ---- */

/* The addresses at which most neighbours see us, at most four; told by two where there are two. */
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

/* Returns how many. */
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

/* Beyond the last, and not behind the clock: where the clock is behind, by a step drawn at random,
 * for a life whose last sequence the disk has lost must not sign the same again, which would
 * convict us. But a last one that is so far ahead that everybody whose clock agrees with ours has
 * refused it does not count, but as one that was had. */
static uint64_t next_sequence(const struct node *node) {
    const struct publisher *publisher = &node->publisher;
    const struct core_random *random = &node->config.random;
    uint64_t next = (uint64_t)wall_ms(node->now.wall), last = publisher->sequence;

    if (last >= next && last < next + DESCRIPTOR_AHEAD_US / US_PER_MS)
        next = last + 1 + random_below(random, SEQUENCE_STEP);
    else if (has_moved(node, node->correction_us))
        next += random_below(random, SEQUENCE_MOVED);
    return sequences_free(&publisher->had, next, SEQUENCE_STEP, random);
}

void node_sign(struct node *node) {
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
    node->publisher.signed_once = true;
    node->publisher.sequence = descriptor.sequence;
    sequences_add(&node->publisher.had, descriptor.sequence);
    node->publisher.signed_correction_us = node->correction_us;
    node->publisher.n_named = descriptor.n_neighbours;
    memcpy(node->publisher.named, descriptor.neighbours, sizeof node->publisher.named);
    directory_set_self(node->directory, bytes, (size_t)length, node->now.mono);
    links_set_descriptor(node->links, bytes, (size_t)length);
    struct store_op op = {.kind = STORE_SEQUENCE, .sequence = {descriptor.sequence}};
    effects_store(node->effects, &op, OWNER_NODE, 0);
}

/* ---- Mail keys ---- */

void node_store_mail_key(struct node *node) {
    struct store_op op = {.kind = STORE_MAIL_KEY};

    if (!identity_mail_to_store(node->identity, &op.mail_key.day, &op.mail_key.secret,
                                &op.mail_key.oldest))
        return;
    node->mail_day = op.mail_key.day;
    effects_store(node->effects, &op, OWNER_NODE, 0);
}

void node_mail_key_stored(struct node *node, int error) {
    identity_mail_stored(node->identity, node->mail_day, error == 0);
    if (error == 0)
        node->publisher.dirty = true; /* else the next look stores it again */
}

/* ---- Publication ---- */

static int64_t base_interval(const struct node *node) {
    int64_t interval = INTERVAL_NODE_US * (int64_t)directory_reached(node->directory);
    int64_t least = node->publisher.in_a_row < FREELY ? INTERVAL_FIRST_US : INTERVAL_MIN_US;
    return interval > least ? interval : least;
}

static unsigned count_young(const struct node *node) {
    int64_t halvings = (node->now.mono.us - node->publisher.young_at.us) / YOUNG_HALVES_US;
    return halvings < 32 ? node->publisher.young >> halvings : 0;
}

/* Each descriptor that comes tells by its age whether others publish as we do. */
static void note_age(struct node *node, const struct directory_entry *entry) {
    struct publisher *publisher = &node->publisher;

    if (node->now.wall.us - (int64_t)entry->sequence * US_PER_MS > YOUNG_US)
        return;
    publisher->young = count_young(node) + 1;
    if (node->now.mono.us - publisher->young_at.us >= YOUNG_HALVES_US)
        publisher->young_at = node->now.mono;
}

/* The sooner the first, the sooner we can be written to. But where a thousand start at once, each
 * with links to come, everybody checks every version of everybody: there it waits until the links
 * that we aim at stand. */
static struct mono first_due(const struct node *node) {
    const struct publisher *publisher = &node->publisher;
    unsigned links = links_count(node->links, true);
    bool forming = count_young(node) >= FORMING;
    int64_t wait = FORMING_NODE_US * (int64_t)directory_count(node->directory);

    if (wait > FORMING_MAX_US)
        wait = FORMING_MAX_US;
    if (links >= node->config.pool_min && (!forming || links >= pool_aim(node->pool)))
        return node->now.mono;
    if (links == 0 || !forming || wait < FIRST_US)
        return mono_add(publisher->started, FIRST_US);
    return mono_add(publisher->linked, wait);
}

/* As many nodes as there are now: at the last publication it may have been a hundredth of them. */
static int64_t interval(const struct node *node) {
    int64_t base = base_interval(node);

    return node->publisher.interval_us > base ? node->publisher.interval_us : base;
}

/* Is there a token in a bucket that gets one in each ration? */
static bool has_token(const struct node *node, struct mono from, int64_t ration) {
    return from.us <= node->now.mono.us - ration;
}

/* Nobody is in debt. */
static void take_token(const struct node *node, struct mono *from, int64_t ration) {
    struct mono full = mono_add(node->now.mono, -AT_ONCE_BURST * ration);

    *from = mono_add(from->us < full.us ? full : *from, ration);
    *from = mono_min(*from, node->now.mono);
}

/* Of what all routes to us and over us may depend on. */
static bool is_pressing(const struct publisher *publisher) {
    return publisher->pressing || publisher->gained_link;
}

static bool is_dirty(const struct publisher *publisher) {
    return publisher->dirty || publisher->gained_link || publisher->lost_link ||
           publisher->moved_link;
}

/* Is it only that there are more neighbours, where that can wait? */
static bool is_luxury(const struct node *node) {
    const struct publisher *publisher = &node->publisher;

    return !publisher->pressing &&
           (count_young(node) >= FORMING || (directory_reached(node->directory) >= GAINS_NODES &&
                                             publisher->n_named >= pool_aim(node->pool)));
}

/* The shortest interval in the long run. */
static int64_t news_ration(const struct node *node) {
    int64_t base = base_interval(node);
    return base > INTERVAL_MIN_US ? base : INTERVAL_MIN_US;
}

static int64_t loss_ration(const struct node *node) {
    return LOSS_RATION * base_interval(node);
}

static int64_t time_to_wait(const struct node *node) {
    const struct publisher *publisher = &node->publisher;
    bool is_loss = publisher->lost_link || publisher->outbid;
    bool may = has_token(node, publisher->news_from, news_ration(node));

    if (may && is_loss && has_token(node, publisher->losses_from, loss_ration(node)))
        return AT_ONCE_US;
    if (!is_pressing(publisher))
        return interval(node);
    if (may && !is_luxury(node))
        return AT_ONCE_US;
    return is_luxury(node) ? base_interval(node) : news_ration(node);
}

static struct mono publication_due(const struct node *node) {
    const struct publisher *publisher = &node->publisher;

    if (!publisher->published)
        return first_due(node);
    if (!is_dirty(publisher))
        return MONO_NEVER;
    struct mono due = mono_add(publisher->last, time_to_wait(node)), first = first_due(node);
    /* If the last one told nobody of anything, the next is the first. */
    return publisher->n_named == 0 && first.us > due.us ? first : due;
}

struct mono node_publish_next(const struct node *node) {
    struct mono due = publication_due(node);
    return node->publisher.correcting ? mono_min(due, renewal_due(node)) : due;
}

/* The network has a later descriptor of ours than we do: it takes none of ours until we go beyond
 * that one. */
static void follow_outbid(struct node *node) {
    if (directory_outbid(node->directory) <= node->publisher.sequence)
        return;
    node->publisher.sequence = directory_outbid(node->directory);
    sequences_add(&node->publisher.had, node->publisher.sequence);
    node->publisher.dirty = node->publisher.outbid =
        true; /* rationed as losses are: a copy of us may do the same */
}

/* Those that are published at once do not make others wait. */
static void count_publication(struct node *node, int64_t since) {
    struct publisher *publisher = &node->publisher;
    bool is_loss = publisher->lost_link || publisher->outbid;

    if (!publisher->published ||
        (since > 2 * publisher->interval_us && since > 2 * news_ration(node))) {
        publisher->in_a_row = 0; /* it has been quiet */
        publisher->interval_us = 0;
    } else if (((!is_loss && !is_pressing(publisher)) || since >= publisher->interval_us) &&
               ++publisher->in_a_row > FREELY) {
        publisher->interval_us *= 2;
        if (publisher->interval_us > INTERVAL_MAX_US)
            publisher->interval_us = INTERVAL_MAX_US;
    }
    if (publisher->interval_us < base_interval(node))
        publisher->interval_us = base_interval(node);
    if (is_loss)
        take_token(node, &publisher->losses_from, loss_ration(node));
    take_token(node, &publisher->news_from, news_ration(node));
}

void node_publish(struct node *node) {
    struct publisher *publisher = &node->publisher;

    if (publisher->correcting && mono_is_due(renewal_due(node), node->now.mono))
        node_correct_clock(node);
    follow_outbid(node);
    if (!mono_is_due(publication_due(node), node->now.mono))
        return;
    count_publication(node, node->now.mono.us - publisher->last.us);
    publisher->published = true;
    publisher->dirty = publisher->pressing = publisher->outbid = false;
    publisher->lost_link = publisher->gained_link = publisher->moved_link = false;
    publisher->last = node->now.mono;
    node_sign(node);
    gossip_offer_news(node->gossip, node_id_prefix(node_id(node)), 0, node->now.mono);
}

/* ---- Links ---- */

/* Tell those who draw routes which links may be used. */
static void refresh_routes(struct node *node) {
    struct path_neighbour neighbours[LINK_SLOTS];
    uint64_t prefixes[LINK_SLOTS];
    size_t n = 0;

    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(node->links, slot);
        if (!link || link->state != LINK_UP)
            continue;
        const struct directory_entry *entry = directory_find_prefix(node->directory, link->prefix);
        bool relays = entry && entry->relay;
        prefixes[n] = link->prefix;
        neighbours[n++] = (struct path_neighbour){link->prefix, relays && !entry->unsettled,
                                                  link->since, relays && entry->unsettled};
    }
    if (n > TOPOLOGY_DEGREE_MAX)
        n = TOPOLOGY_DEGREE_MAX;
    directory_set_links(node->directory, prefixes, n);
    paths_set_neighbours(node->paths, neighbours, n, node->now.mono);
    node->routes_generation = topology_generation(directory_topology(node->directory));
}

void node_follow_routes(struct node *node) {
    if (node->routes_generation != topology_generation(directory_topology(node->directory)))
        refresh_routes(node);
}

static const struct descriptor_neighbour *find_named(const struct descriptor_neighbour *named,
                                                     unsigned n, uint64_t prefix) {
    for (unsigned i = 0; i < n; i++)
        if (named[i].prefix == prefix)
            return &named[i];
    return NULL;
}

/* What the last one said of our neighbours, against what is. */
static void compare_neighbours(struct node *node) {
    struct publisher *publisher = &node->publisher;
    struct descriptor_neighbour now[DESCRIPTOR_NEIGHBOURS_MAX];
    unsigned n = name_neighbours(node, now);

    publisher->lost_link = publisher->gained_link = publisher->moved_link = false;
    for (unsigned i = 0; i < n; i++) {
        const struct descriptor_neighbour *before =
            find_named(publisher->named, publisher->n_named, now[i].prefix);
        publisher->gained_link |= !before;
        publisher->moved_link |= before && !address_is_equal(&before->seen_at, &now[i].seen_at);
    }
    for (unsigned i = 0; i < publisher->n_named; i++)
        publisher->lost_link |= !find_named(now, n, publisher->named[i].prefix);
}

void node_links_changed(struct node *node) {
    refresh_routes(node);
    directory_look_around(node->directory, node->now.wall);
    compare_neighbours(node);
    outbox_kick(node->outbox, NULL, node->now.mono);
}

/* ---- News ---- */

/* Anybody can cause this line, so it is for those who look closely, and never more than one a
 * minute. */
static void tell_rivals(struct node *node) {
    struct address address;
    char text[ADDRESS_TEXT_MAX];
    uint64_t rivals = directory_rivals(node->directory, &address);

    if (rivals == node->rivals_told || !mono_is_due(node->rivals_quiet, node->now.mono))
        return;
    address_format(&address, true, text);
    core_log(&node->config.trace, TRACE_DEBUG,
             "another node claims an address that one has already, last %s: %llu times since the "
             "last such line, %llu in all",
             text, (unsigned long long)(rivals - node->rivals_told), (unsigned long long)rivals);
    node->rivals_told = rivals;
    node->rivals_quiet = mono_add(node->now.mono, TELL_RIVALS_US);
}

void node_tell_doubled(struct node *node) {
    if (!directory_is_doubled(node->directory, node->now.wall) ||
        !mono_is_due(node->doubled_quiet, node->now.mono))
        return;
    node->doubled_quiet = mono_add(node->now.mono, TELL_DOUBLED_US);
    core_log(
        &node->config.trace, TRACE_WARNING,
        "identity: two descriptors of this node with one sequence are about, so others do not "
        "send through it until their keys have ended: is a copy of its state in use elsewhere?");
}

static void tell_convictions(struct node *node) {
    uint64_t n = directory_convictions(node->directory);

    if (n == node->convictions_told || !mono_is_due(node->convictions_quiet, node->now.mono))
        return;
    core_log(&node->config.trace, TRACE_DEBUG,
             "a node has signed two descriptors of one sequence: %llu times since the last such "
             "line, %llu in all; nothing is sent through it",
             (unsigned long long)(n - node->convictions_told), (unsigned long long)n);
    node->convictions_told = n;
    node->convictions_quiet = mono_add(node->now.mono, TELL_RIVALS_US);
}

static void take_news(struct node *node, const struct directory_entry *entry, uint64_t from,
                      bool spread) {
    const struct link_view *link = links_find(node->links, entry->prefix);
    struct node_id id = entry->id;

    tell_rivals(node);
    tell_convictions(node);
    note_age(node, entry);
    if (spread)
        gossip_offer_news(node->gossip, entry->prefix, from, node->now.mono);
    if (entry->kept)
        node_store_entry(node, entry);
    if (link && link->state == LINK_UP)
        refresh_routes(node); /* whether it relays may be what is new */
    outbox_kick(node->outbox, &id, node->now.mono);
    pool_news(node->pool);
    node->settle_news = true;
}

void node_news(struct node *node, const struct directory_entry *entry, uint64_t from) {
    take_news(node, entry, from, true);
}

/* Does it name no neighbour? Whoever has just started shakes hands with such a one, and follows it
 * within seconds by one that leads to it: the whole network need not check both. Digests spread it,
 * should the second never come. */
static bool is_unlinked(const struct directory_entry *entry) {
    struct descriptor descriptor;
    directory_descriptor(entry, &descriptor);
    return descriptor.n_neighbours == 0;
}

/* ---- What links say ---- */

static void take_descriptor(struct node *node, const struct link_event *event) {
    const struct directory_entry *entry = NULL;
    enum drop drop;

    if (event->descriptor_length == 0 ||
        !directory_takes_handed(node->directory, event->link.prefix, node->now.mono))
        return; /* gossip brings it at its pace */
    enum directory_outcome outcome = directory_offer(
        node->directory, event->descriptor, event->descriptor_length, node->now, &entry, &drop);
    if (outcome == DIRECTORY_NEWS)
        take_news(node, entry, 0, !is_unlinked(entry));
    else if (outcome == DIRECTORY_BAD)
        node_count(node, drop);
}

/* A link stands there from now on: an answer came from there. */
static void stand(struct node *node, const struct link_event *event) {
    directory_handshaken(node->directory, &event->link.id, &event->link.address, node->now);
    directory_set_linked(node->directory, &event->link.id, true, node->now.mono);
}

static void take_up(struct node *node, const struct link_event *event) {
    stand(node, event);
    node_advance_droplist(node);
    if (links_count(node->links, true) == 1)
        node->publisher.linked = node->now.mono;
    node_links_changed(node);
    gossip_link_up(node->gossip, event->link.prefix, node->now.mono);
}

static void take_link_event(struct node *node, const struct link_event *event) {
    switch (event->kind) {
    case LINK_EVENT_ANSWERED:
        if (event->link.purpose != LINK_PROBE) /* else what it says of the time has no vote */
            node_correct_clock(node);
        take_descriptor(node, event);
        node_settle_answered(node, event);
        if (event->link.purpose == LINK_PROBE)
            links_forget(node->links, event->session);
        else
            links_finish(node->links, event->session, node->machine);
        break;
    case LINK_EVENT_ASKED:
        node_correct_clock(node);
        take_descriptor(node, event);
        break;
    case LINK_EVENT_UP:
        node_correct_clock(node);
        take_descriptor(node, event);
        take_up(node, event);
        break;
    case LINK_EVENT_DOWN:
        node_correct_clock(node);
        gossip_link_down(node->gossip, event->link.prefix);
        directory_set_linked(node->directory, &event->link.id, false, node->now.mono);
        node_links_changed(node);
        break;
    case LINK_EVENT_MOVED:
        if (event->link.state != LINK_PROBATION)
            stand(node, event);
        node_links_changed(node);
        break;
    case LINK_EVENT_SUSPECT:
    case LINK_EVENT_RECOVERED:
        node_links_changed(node);
        break;
    case LINK_EVENT_REKEYED:
        node_correct_clock(node);
        break;
    case LINK_EVENT_REFUSED:
    case LINK_EVENT_DIAL_FAILED:
        node->settle_news = true;
        node_correct_clock(node); /* what it said of the time has no vote any more */
        break;
    }
    if (event->kind == LINK_EVENT_DIAL_FAILED && event->link.purpose == LINK_PROBE)
        return; /* the pool did not ask */
    pool_link_event(node->pool, event, node->machine);
}

void node_drain_links(struct node *node) {
    struct link_event event;

    while (links_event(node->links, &event)) {
        node_peel(node); /* by the keys and the drop list that they were looked up with */
        take_link_event(node, &event);
    }
}

/* ---- What the store keeps ---- */

void node_store_entry(struct node *node, const struct directory_entry *entry) {
    uint8_t *bytes = malloc(entry->length); /* the entry may be replaced before the store is done */
    if (!bytes)
        return;
    memcpy(bytes, entry->bytes, entry->length);
    struct store_op op = {.kind = STORE_NODE_PUT,
                          .node_put = {entry->id, bytes, entry->length, entry->pinned, {{0}, 0}}};
    if (entry->pinned)
        op.node_put.pin = entry->acquaintance->pin;
    effects_store(node->effects, &op, OWNER_NODE, (uint64_t)(uintptr_t)bytes);
}

void node_stored(struct node *node, uint64_t cookie) {
    (void)node; /* a failure is the disk's, told by its next user; what was kept is given back */
    free((void *)(uintptr_t)cookie);
}
