/* A node asks us for a link: whether it is let in, and what a full node does for a newcomer.
 * Threat: see pool.h; here above all a stranger that lies about why it asks. Whatever it says gets
 * such strangers a quarter of the pool at most, and displaces nobody whom we chose or rely on. */
#include "daemon/core/base/wirebuf.h"
#include "daemon/core/overlay/pool_private.h"

#define INTRODUCE_LEN (NODE_ID_LEN + ADDRESS_WIRE_LEN)
/* How long a node that was let in by JOIN keeps its place: enough to learn the directory, and to
 * become known in it by its address. */
#define TURN_US (3 * US_PER_S)

/* ---- Referrals ---- */

static bool add_referral(struct address *referrals, size_t *n, const struct address *address,
                         const struct address *not_this) {
    if (address_is_unspecified(address) || address_is_same_ip(address, not_this))
        return false;
    for (size_t i = 0; i < *n; i++)
        if (address_is_equal(&referrals[i], address))
            return false;
    referrals[(*n)++] = *address;
    return true;
}

static size_t draw_referrals(const struct pool *pool, const struct address *asker,
                             struct address referrals[LINK_REFERRALS_MAX]) {
    size_t n = 0;
    for (unsigned i = 0; i < 2 * LINK_REFERRALS_MAX && n < LINK_REFERRALS_MAX; i++) {
        const struct directory_entry *entry = pool_draw(pool);
        if (!entry)
            break;
        struct address address = directory_address(pool->config.directory, entry);
        add_referral(referrals, &n, &address, asker);
    }
    for (unsigned slot = 0; slot < LINK_SLOTS && n < LINK_REFERRALS_MAX; slot++) {
        const struct link_view *link = links_at(pool->config.links, slot);
        if (link && link->state == LINK_UP)
            add_referral(referrals, &n, &link->address, asker);
    }
    return n;
}

/* ---- Asked for a link ---- */

void pool_introduce(struct pool *pool, const struct link_view *to, const struct link_view *whom,
                    struct mono now) {
    uint8_t body[INTRODUCE_LEN];
    struct wire_writer w = wire_writer(body, sizeof body);

    wire_put(&w, whom->id.bytes, NODE_ID_LEN);
    wire_put_address(&w, &whom->address);
    links_send_frame(pool->config.links, to->prefix, FRAME_INTRODUCE, body, sizeof body, now);
}

static bool is_replaceable(const struct pool *pool, const struct link_view *link) {
    return link && link->state != LINK_PROBATION && !link->dialled && !pool_is_anchor(pool, link) &&
           !paths_is_guard(pool->config.paths, link->prefix);
}

/* The youngest link that others dialled and that nothing protects, those let in by JOIN aside, or
 * NULL. */
static const struct link_view *splittable(const struct pool *pool) {
    const struct link_view *youngest = NULL;
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(pool->config.links, slot);
        if (!is_replaceable(pool, link) || link->purpose == LINK_JOIN)
            continue;
        if (!youngest || link->serial > youngest->serial)
            youngest = link;
    }
    return youngest;
}

/* For when the share of JOIN is used up: the oldest link let in by JOIN that has had its time, or
 * NULL. If these could stay, nodes that came first (behind translators, say, where nobody can dial
 * them) would shut out all that come later. */
static const struct link_view *served(const struct pool *pool, struct mono now) {
    const struct link_view *oldest = NULL;
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(pool->config.links, slot);
        if (!is_replaceable(pool, link) || link->purpose != LINK_JOIN ||
            now.us - link->since.us < TURN_US)
            continue;
        if (!oldest || link->serial < oldest->serial)
            oldest = link;
    }
    return oldest;
}

/* Links let in by JOIN fill at most a quarter of the pool. */
static unsigned join_share(const struct pool *pool) {
    return (pool->config.max + 3) / 4;
}

/* JOIN at a full node: the newcomer takes the place of a neighbour that dialled us, and the two are
 * introduced to each other. False: no link may be split so. */
static bool split_edge(struct pool *pool, const struct link_view *newcomer, struct mono now) {
    struct census census = pool_census(pool);
    const struct link_view *link =
        census.joined < join_share(pool) ? splittable(pool) : served(pool, now);
    if (!link)
        return false;
    struct link_view displaced = *link;
    pool_introduce(pool, &displaced, newcomer, now);
    links_close(pool->config.links, displaced.slot, LINK_CLOSED_REPLACED, now);
    links_verdict(pool->config.links, newcomer->slot, LINK_ACCEPTED, NULL, 0, now);
    pool_introduce(pool, newcomer, &displaced, now);
    return true;
}

/* Is it true what the asker says: was the node with this id, which it has proved, introduced to us,
 * or is it a neighbour that we lost? */
static bool is_expected(const struct pool *pool, const struct link_view *asker, struct mono now) {
    for (size_t i = 0; i < pool->book.n; i++) {
        const struct contact *contact = &pool->book.contacts[i];
        if (!node_id_is_equal(&contact->id, &asker->id))
            continue;
        if (asker->purpose == LINK_INTRODUCED ? contact->kind == CONTACT_INTRODUCED
                                              : book_is_lost(contact, now))
            return true;
    }
    return false;
}

static bool is_barred(const struct pool *pool, const struct link_view *asker, struct mono now) {
    for (size_t i = 0; i < pool->book.n; i++)
        if (node_id_is_equal(&pool->book.contacts[i].id, &asker->id) &&
            pool->book.contacts[i].barred.us > now.us)
            return true;
    return false;
}

static bool has_room(const struct pool *pool, const struct link_view *asker, struct mono now) {
    if (is_barred(pool, asker, now))
        return false;
    struct census census = pool_census(pool);
    unsigned aim = pool_aim(pool), most = pool->config.max;
    unsigned lack = census.up < aim ? aim - census.up : 0;
    unsigned dials = links_dials(pool->config.links);

    /* Our own dials have their places already, as far as links are lacking. */
    if (census.all + (dials < lack ? dials : lack) >= most)
        return false;
    if (census.all >= pool->config.min && pool_network_is_full(pool, &asker->address, asker))
        return false;
    if (census.accepted < most - aim / 2)
        return true;
    /* Beyond that, JOIN gets a share whoever says it; the other purposes count only if we know them
     * to be true. */
    if (asker->purpose == LINK_JOIN)
        return census.joined < join_share(pool);
    return (asker->purpose == LINK_INTRODUCED || asker->purpose == LINK_HEAL) &&
           is_expected(pool, asker, now);
}

/* An edge is split because the pool is full, not because the asker's network has its share of
 * neighbours already. */
static bool may_split(const struct pool *pool, const struct link_view *asker) {
    return pool_census(pool).all >= pool->config.max &&
           !pool_network_is_full(pool, &asker->address, asker);
}

void pool_asked(struct pool *pool, const struct link_event *event, struct mono now) {
    struct address referrals[LINK_REFERRALS_MAX];
    const struct link_view *asker = links_at(pool->config.links, event->link.slot);
    size_t n;

    if (!asker || asker->serial != event->link.serial)
        return;
    n = draw_referrals(pool, &asker->address, referrals);
    if (has_room(pool, asker, now) && !pool->leaving)
        links_verdict(pool->config.links, asker->slot, LINK_ACCEPTED, referrals, n, now);
    else if (asker->purpose != LINK_JOIN || pool->leaving || !may_split(pool, asker) ||
             !split_edge(pool, asker, now))
        links_verdict(pool->config.links, asker->slot, LINK_FULL, referrals, n, now);
}
