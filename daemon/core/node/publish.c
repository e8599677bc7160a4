/* See publish.h. */
#include "daemon/core/node/publish.h"

/* The first one goes out after this time at the latest, neighbours or not. */
#define FIRST_US (2 * US_PER_S)
/* Between two: while a network forms, a route is worth more than a datagram; and so much for each
 * node of the network, so that all news together stay within a link's means. */
#define INTERVAL_FIRST_US US_PER_S
#define INTERVAL_MIN_US (5 * US_PER_S)
#define INTERVAL_NODE_US (40 * US_PER_MS)
#define INTERVAL_MAX_US (10 * US_PER_MINUTE)
/* A network forms, not only our part in it, while so many descriptors of the last seconds were
 * signed just before they came. The first descriptor then waits for links: so long for each node
 * that is known, but whoever makes the network look so keeps nobody away for longer than the
 * maximum. */
#define FORMING 32
#define YOUNG_US (10 * US_PER_S)
#define YOUNG_HALVES_US US_PER_S
#define FORMING_NODE_US (10 * US_PER_MS)
#define FORMING_MAX_US (20 * US_PER_S)
/* What only adds to enough named neighbours may wait for more of the kind, where it costs thousands
 * of checks. */
#define GAINS_NODES 128
#define FREELY 4 /* publications at the first interval, before it begins to double */
/* What counts is published at once: so often after quiet, and once more after each shortest
 * interval, so that whoever uses that up holds another up for no longer than that. Losses alone
 * have a smaller ration. */
#define AT_ONCE_US US_PER_S
#define AT_ONCE_BURST 4
#define LOSS_RATION 10 /* shortest intervals, each */

/* ---- What is no longer true ---- */

void publisher_change(struct publisher *publisher) {
    publisher->dirty = true;
}

void publisher_outbid(struct publisher *publisher) {
    publisher->dirty = publisher->outbid = true;
}

static const struct descriptor_neighbour *
find_neighbour(const struct descriptor_neighbour *neighbours, unsigned n, uint64_t prefix) {
    for (unsigned i = 0; i < n; i++)
        if (neighbours[i].prefix == prefix)
            return &neighbours[i];
    return NULL;
}

void publisher_compare(struct publisher *publisher, const struct descriptor_neighbour *neighbours,
                       unsigned n) {
    publisher->lost_link = publisher->gained_link = publisher->moved_link = false;
    for (unsigned i = 0; i < n; i++) {
        const struct descriptor_neighbour *before =
            find_neighbour(publisher->named, publisher->n_named, neighbours[i].prefix);
        publisher->gained_link |= !before;
        publisher->moved_link |=
            before && !address_is_equal(&before->seen_at, &neighbours[i].seen_at);
    }
    for (unsigned i = 0; i < publisher->n_named; i++)
        publisher->lost_link |= !find_neighbour(neighbours, n, publisher->named[i].prefix);
}

void publisher_press(struct publisher *publisher) {
    publisher->dirty = publisher->pressing = true;
}

void publisher_link(struct publisher *publisher, struct mono now) {
    publisher->linked = now;
}

void publisher_sign(struct publisher *publisher, const struct descriptor_neighbour *neighbours,
                    unsigned n) {
    publisher->n_named = n;
    memcpy(publisher->named, neighbours, n * sizeof *neighbours);
}

/* ---- When ---- */

static int64_t base_interval(const struct publisher *publisher,
                             const struct publish_network *network) {
    int64_t interval = INTERVAL_NODE_US * (int64_t)network->reached;
    int64_t least = publisher->in_a_row < FREELY ? INTERVAL_FIRST_US : INTERVAL_MIN_US;
    return interval > least ? interval : least;
}

static unsigned count_young(const struct publisher *publisher, struct mono now) {
    int64_t halvings = (now.us - publisher->young_at.us) / YOUNG_HALVES_US;
    return halvings < 32 ? publisher->young >> halvings : 0;
}

void publisher_note_age(struct publisher *publisher, int64_t age_us, struct mono now) {
    if (age_us > YOUNG_US)
        return;
    publisher->young = count_young(publisher, now) + 1;
    if (now.us - publisher->young_at.us >= YOUNG_HALVES_US)
        publisher->young_at = now;
}

/* The sooner the first, the sooner we can be written to. But where a thousand start at once, each
 * with links to come, everybody checks every version of everybody: there it waits until the links
 * that we aim at stand. */
static struct mono first_due(const struct publisher *publisher,
                             const struct publish_network *network) {
    bool forming = count_young(publisher, network->now) >= FORMING;
    int64_t wait = FORMING_NODE_US * (int64_t)network->known;

    if (wait > FORMING_MAX_US)
        wait = FORMING_MAX_US;
    if (network->links >= network->links_min && (!forming || network->links >= network->aim))
        return network->now;
    if (network->links == 0 || !forming || wait < FIRST_US)
        return mono_add(publisher->started, FIRST_US);
    return mono_add(publisher->linked, wait);
}

/* As many nodes as there are now: at the last publication it may have been a hundredth of them. */
static int64_t interval(const struct publisher *publisher, const struct publish_network *network) {
    int64_t base = base_interval(publisher, network);

    return publisher->interval_us > base ? publisher->interval_us : base;
}

/* Is there a token in a bucket that gets one in each ration? */
static bool has_token(struct mono from, int64_t ration, struct mono now) {
    return from.us <= now.us - ration;
}

/* Nobody is in debt. */
static void take_token(struct mono *from, int64_t ration, struct mono now) {
    struct mono full = mono_add(now, -AT_ONCE_BURST * ration);

    *from = mono_add(from->us < full.us ? full : *from, ration);
    *from = mono_min(*from, now);
}

/* Is it what all routes to us and over us may depend on? */
static bool is_pressing(const struct publisher *publisher) {
    return publisher->pressing || publisher->gained_link;
}

static bool is_loss(const struct publisher *publisher) {
    return publisher->lost_link || publisher->outbid;
}

static bool is_dirty(const struct publisher *publisher) {
    return publisher->dirty || publisher->gained_link || publisher->lost_link ||
           publisher->moved_link;
}

/* Is it only that there are more neighbours, where that can wait? */
static bool is_luxury(const struct publisher *publisher, const struct publish_network *network) {
    return !publisher->pressing &&
           (count_young(publisher, network->now) >= FORMING ||
            (network->reached >= GAINS_NODES && publisher->n_named >= network->aim));
}

/* The shortest interval in the long run. */
static int64_t news_ration(const struct publisher *publisher,
                           const struct publish_network *network) {
    int64_t base = base_interval(publisher, network);
    return base > INTERVAL_MIN_US ? base : INTERVAL_MIN_US;
}

static int64_t loss_ration(const struct publisher *publisher,
                           const struct publish_network *network) {
    return LOSS_RATION * base_interval(publisher, network);
}

static int64_t time_to_wait(const struct publisher *publisher,
                            const struct publish_network *network) {
    int64_t ration = news_ration(publisher, network);
    bool may = has_token(publisher->news_from, ration, network->now);

    if (may && is_loss(publisher) &&
        has_token(publisher->losses_from, loss_ration(publisher, network), network->now))
        return AT_ONCE_US;
    if (!is_pressing(publisher))
        return interval(publisher, network);
    if (is_luxury(publisher, network))
        return base_interval(publisher, network);
    return may ? AT_ONCE_US : ration;
}

bool publisher_is_idle(const struct publisher *publisher) {
    return publisher->published && !is_dirty(publisher);
}

struct mono publisher_due(const struct publisher *publisher,
                          const struct publish_network *network) {
    if (!publisher->published)
        return first_due(publisher, network);
    if (!is_dirty(publisher))
        return MONO_NEVER;
    struct mono due = mono_add(publisher->last, time_to_wait(publisher, network));
    if (publisher->n_named > 0)
        return due;
    struct mono first = first_due(publisher, network); /* the last one told nobody of anything */
    return first.us > due.us ? first : due;
}

/* Each publication that follows others without a pause doubles the interval to the next; those that
 * are published at once do not make others wait. */
static void set_interval(struct publisher *publisher, const struct publish_network *network) {
    int64_t since = network->now.us - publisher->last.us;

    if (!publisher->published ||
        (since > 2 * publisher->interval_us && since > 2 * news_ration(publisher, network))) {
        publisher->in_a_row = 0; /* it has been quiet */
        publisher->interval_us = 0;
    } else if (((!is_loss(publisher) && !is_pressing(publisher)) ||
                since >= publisher->interval_us) &&
               ++publisher->in_a_row > FREELY) {
        publisher->interval_us *= 2;
        if (publisher->interval_us > INTERVAL_MAX_US)
            publisher->interval_us = INTERVAL_MAX_US;
    }
    if (publisher->interval_us < base_interval(publisher, network))
        publisher->interval_us = base_interval(publisher, network);
}

void publisher_publish(struct publisher *publisher, const struct publish_network *network) {
    set_interval(publisher, network);
    if (is_loss(publisher))
        take_token(&publisher->losses_from, loss_ration(publisher, network), network->now);
    take_token(&publisher->news_from, news_ration(publisher, network), network->now);
    publisher->published = true;
    publisher->dirty = publisher->pressing = publisher->outbid = false;
    publisher->lost_link = publisher->gained_link = publisher->moved_link = false;
    publisher->last = network->now;
}
