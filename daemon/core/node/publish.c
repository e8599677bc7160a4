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
#define GAINS_WAIT 4
#define GAINS_NODES 128
#define FREELY 4 /* publications at the first interval, before it begins to double */
#define LOSS_US US_PER_S
#define LOSS_BURST 4   /* losses published at once, after quiet */
#define LOSS_RATION 10 /* and one more after so many shortest intervals */

void publisher_change(struct publisher *publisher, bool lost) {
    publisher->dirty = true;
    publisher->lost_link |= lost;
}

void publisher_press(struct publisher *publisher) {
    publisher->dirty = publisher->pressing = true;
}

void publisher_link(struct publisher *publisher, struct mono now) {
    publisher->linked = now;
}

void publisher_sign(struct publisher *publisher, unsigned n_named) {
    publisher->n_named = n_named;
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

    if (network->reached >= GAINS_NODES && !publisher->lost_link && !publisher->pressing &&
        publisher->n_named >= network->aim)
        base *= GAINS_WAIT;
    return publisher->interval_us > base ? publisher->interval_us : base;
}

bool publisher_is_idle(const struct publisher *publisher) {
    return publisher->published && !publisher->dirty;
}

struct mono publisher_due(const struct publisher *publisher,
                          const struct publish_network *network) {
    if (!publisher->published)
        return first_due(publisher, network);
    if (!publisher->dirty)
        return MONO_NEVER;
    if (publisher->n_named == 0) { /* the last one told nobody of anything */
        struct mono first = first_due(publisher, network),
                    next = mono_add(publisher->last, publisher->interval_us);
        return first.us > next.us ? first : next;
    }
    /* Losses at once, while the ration lasts: links that come and go must not set the whole network
     * publishing. */
    int64_t ration = LOSS_RATION * base_interval(publisher, network);
    bool at_once = publisher->lost_link && publisher->losses_from.us <= network->now.us - ration;
    return mono_add(publisher->last, at_once ? LOSS_US : interval(publisher, network));
}

/* Each publication that follows others without a pause doubles the interval to the next. */
static void set_interval(struct publisher *publisher, const struct publish_network *network) {
    int64_t since = network->now.us - publisher->last.us;

    if (!publisher->published || since > 2 * publisher->interval_us) {
        publisher->in_a_row = 0; /* it has been quiet */
        publisher->interval_us = 0;
    } else if ((!publisher->lost_link || since >= publisher->interval_us) &&
               ++publisher->in_a_row > FREELY) {
        publisher->interval_us *= 2;
        if (publisher->interval_us > INTERVAL_MAX_US)
            publisher->interval_us = INTERVAL_MAX_US;
    }
    if (publisher->interval_us < base_interval(publisher, network))
        publisher->interval_us = base_interval(publisher, network);
}

static void charge_loss(struct publisher *publisher, const struct publish_network *network) {
    int64_t ration = LOSS_RATION * base_interval(publisher, network);

    if (publisher->losses_from.us < network->now.us - LOSS_BURST * ration)
        publisher->losses_from = mono_add(network->now, -LOSS_BURST * ration);
    publisher->losses_from = mono_add(publisher->losses_from, ration);
}

void publisher_publish(struct publisher *publisher, const struct publish_network *network) {
    set_interval(publisher, network);
    if (publisher->lost_link)
        charge_loss(publisher, network);
    publisher->published = true;
    publisher->dirty = publisher->lost_link = publisher->pressing = false;
    publisher->last = network->now;
}
