/* Whom the pool dials, and when. Threat: whoever fills our links owns our view. So nodes are drawn
 * uniformly from the directory, what others tell us is only tried where that offers nobody, and
 * every address that does not answer is soon left alone. Whom others can make us dial is no witness
 * of ours: what was drawn is remembered. Identities are free and claim any address, a stranger's
 * too: those that no links lead to are dialled at a rate. */
#include "daemon/core/overlay/pool_private.h"

#define JOIN_AFTER 8 /* refusals in a row after which a newcomer says JOIN */
/* Between two JOINs, half as much again at most: or newcomers who know two full nodes would dial
 * them for ever. */
#define JOIN_MIN_US (500 * US_PER_MS)
#define JOIN_MAX_US (8 * JOIN_MIN_US)
#define HEAL_PLACES 2 /* above the aim, for neighbours found again */
#define PROBES_AT_ONCE 4
#define HEAL_FAST_US (500 * US_PER_MS)
#define HEAL_LOST_US (5 * US_PER_MINUTE)
#define HEAL_SHARE 4              /* fast, if more than one in so many cannot be reached */
#define RETRY_US US_PER_S         /* a dial under way is looked at again no sooner */
#define MORE_US (500 * US_PER_MS) /* on average, between dials beyond our own half of the links */
#define DRAWS 16                  /* from the directory until one fits */
#define IN_VAIN 4                 /* dials in a row without any answer: many are dead */

static bool is_neighbour(const struct pool *pool, const struct node_id *id) {
    const struct link_view *link = links_find(pool->config.links, node_id_prefix(id));
    return link && node_id_is_equal(&link->id, id);
}

bool pool_may_dial(const struct pool *pool, const struct contact *contact, struct mono now) {
    return contact->kind != CONTACT_SELF && mono_is_due(contact->next, now) &&
           !links_is_dialling(pool->config.links, &contact->address) &&
           !pool_is_linked_to(pool, &contact->address) && !is_neighbour(pool, &contact->id);
}

bool pool_try(struct pool *pool, struct contact *contact, bool join, struct now now) {
    enum link_purpose purpose = join                                  ? LINK_JOIN
                                : contact->kind == CONTACT_INTRODUCED ? LINK_INTRODUCED
                                : book_is_lost(contact, now.mono)     ? LINK_HEAL
                                                                      : LINK_WANTED;
    contact->next = mono_add(now.mono, RETRY_US); /* set anew by what becomes of it */
    return links_dial(pool->config.links, &contact->address, purpose, now) == 0;
}

/* The contact of a drawn node, if it may be dialled. Refused ones only if `join`. */
static struct contact *contact_of(struct pool *pool, const struct directory_entry *entry, bool join,
                                  struct mono now) {
    struct address address = directory_address(pool->config.directory, entry);

    if (pool->wants_relay && !entry->relay)
        return NULL;
    if (address.port == 0 || links_find(pool->config.links, entry->prefix) ||
        pool_network_is_full(pool, &address, NULL))
        return NULL;
    struct contact *contact = book_note(&pool->book, &address, CONTACT_GOSSIPED);
    if (contact && join && contact->refused)
        contact->next = now;
    return contact && pool_may_dial(pool, contact, now) ? contact : NULL;
}

/* A node that is no neighbour, uniformly drawn of those that links lead to, or of all others. But
 * where one dial after the other is in vain, most of the directory is dead: the living have told of
 * their losses, so of several drawn the one heard of last. */
static struct contact *draw_from_directory(struct pool *pool, bool reached, bool join,
                                           struct mono now) {
    struct address best = {.port = 0}; /* noting one may move the others */
    struct mono heard = {INT64_MIN};

    for (unsigned i = 0; i < DRAWS; i++) {
        const struct directory_entry *entry = directory_random_of(pool->config.directory, reached);
        if (!entry || entry->received.us <= heard.us)
            continue;
        struct contact *contact = contact_of(pool, entry, join, now);
        if (!contact)
            continue;
        best = contact->address;
        heard = entry->received;
        if (pool->in_vain < IN_VAIN)
            break;
    }
    return best.port != 0 ? book_find(&pool->book, &best) : NULL;
}

/* The most wanted contact of a kind in [first, last] that may be dialled, at random among
 * equals. */
static struct contact *draw_from_book(struct pool *pool, enum contact_kind first,
                                      enum contact_kind last, bool join, struct mono now) {
    struct contact *best = NULL;
    uint64_t equals = 0;
    for (size_t i = 0; i < pool->book.n; i++) {
        struct contact *contact = &pool->book.contacts[i];
        if (contact->kind < first || contact->kind > last ||
            (!book_is_configured(contact) && pool_network_is_full(pool, &contact->address, NULL)))
            continue;
        if (join && contact->refused && contact->kind != CONTACT_SELF)
            contact->next = mono_min(contact->next, now);
        if (!pool_may_dial(pool, contact, now) || (best && contact->kind > best->kind))
            continue;
        if (!best || contact->kind < best->kind)
            equals = 0;
        if (random_below(pool->config.random, ++equals) == 0)
            best = contact;
    }
    return best;
}

/* Those whom the network does not vouch for, and their addresses tried before. Without any link
 * there is no network to ask. */
static struct contact *draw_other(struct pool *pool, bool join, struct mono now) {
    struct mono quiet = mono_add(now, -POOL_OTHERS_BURST * POOL_OTHERS_US);

    if (pool->others_from.us < quiet.us)
        pool->others_from = quiet;
    bool is_alone = pool_census(pool).up == 0;
    if (!is_alone && !mono_is_due(mono_add(pool->others_from, POOL_OTHERS_US), now))
        return NULL;
    struct contact *contact = draw_from_directory(pool, false, join, now);
    if (!contact)
        contact = draw_from_book(pool, CONTACT_GOSSIPED, CONTACT_GOSSIPED, join, now);
    if (contact && !is_alone)
        pool->others_from = mono_add(pool->others_from, POOL_OTHERS_US);
    return contact;
}

/* Anchors first, and introductions while their share has room; then nodes drawn uniformly from the
 * network, so that links are self-chosen; where it offers nobody, whom we were told of. */
static struct contact *draw_contact(struct pool *pool, bool introduced, bool join,
                                    struct mono now) {
    enum contact_kind last = introduced ? CONTACT_INTRODUCED : CONTACT_ANCHOR;
    struct contact *contact = draw_from_book(pool, CONTACT_MANUAL, last, false, now);
    bool is_drawn = false;

    if (!contact) {
        contact = draw_from_directory(pool, true, join, now);
        is_drawn = contact != NULL;
    }
    if (!contact)
        contact = draw_from_book(pool, CONTACT_BOOTSTRAP, CONTACT_REFERRED, join, now);
    if (!contact)
        contact = draw_other(pool, join, now);
    if (contact)
        contact->drawn = is_drawn;
    return contact;
}

bool pool_has_drawn(const struct pool *pool, const struct link_view *link) {
    const struct contact *contact = book_find(&pool->book, &link->address);

    return contact && contact->drawn && link->dialled && link->purpose == LINK_WANTED &&
           !book_is_configured(contact);
}

static bool may_join(const struct pool *pool, const struct census *census, struct mono now) {
    return census->up < pool->config.min && pool->refusals > 0 && mono_is_due(pool->join, now);
}

static void joined(struct pool *pool, struct mono now) {
    int64_t wait = backoff_us(++pool->joins, JOIN_MIN_US, JOIN_MAX_US);
    pool->refusals = 0;
    pool->join =
        mono_add(now, wait + (int64_t)random_below(pool->config.random, (uint64_t)wait / 2));
}

/* Our own half of the links at once; what lacks then, one after the other: others dial too, and
 * where all start at once everybody would end with as many links as it takes, and refuse whoever
 * comes after. */
static unsigned paced(const struct pool *pool, unsigned lack, unsigned freely, struct mono now) {
    if (lack <= freely)
        return lack;
    return links_dials(pool->config.links) <= freely && mono_is_due(pool->more, now) ? freely + 1
                                                                                     : freely;
}

static int64_t draw_pace(const struct pool *pool) {
    return MORE_US / 2 + (int64_t)random_below(pool->config.random, MORE_US);
}

/* Neighbours there are, and none of them passes anything on: nothing could be sent but to them. */
static bool is_shut_in(const struct pool *pool, const struct census *census) {
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(pool->config.links, slot);
        const struct directory_entry *entry =
            link && link->state == LINK_UP
                ? directory_find_prefix(pool->config.directory, link->prefix)
                : NULL;
        if (entry && entry->relay)
            return false;
    }
    return census->up > 0 && directory_relays(pool->config.directory) > 0;
}

void pool_fill(struct pool *pool, struct now now) {
    struct census census = pool_census(pool);
    unsigned aim = pool_aim(pool), dials = links_dials(pool->config.links);
    unsigned own = (aim + 1) / 2, lack = census.up < aim ? aim - census.up : 0;

    /* A suspect may come back, but its place is needed now.mono. */
    if (lack > 0 && census.all >= pool->config.max && pool_close_suspect(pool, now.mono))
        census = pool_census(pool);
    if (census.all < pool->config.max && census.dialled < own && own - census.dialled > lack)
        lack = own - census.dialled;
    pool->wants_relay = is_shut_in(pool, &census);
    if (pool->wants_relay && lack == 0)
        lack = 1;
    if (lack > pool->config.max - census.all)
        lack = pool->config.max - census.all;
    bool introduced = census.up < aim && census.accepted < pool->config.max - aim / 2;
    bool join = pool->refusals >= JOIN_AFTER && may_join(pool, &census, now.mono);
    unsigned freely = census.dialled < own ? own - census.dialled : 0;
    lack = paced(pool, lack, freely, now.mono);
    if (lack > 0 && pool->in_vain >= IN_VAIN)
        lack = POOL_DIALS_MAX; /* few will answer */
    for (; dials < lack && dials < POOL_DIALS_MAX; dials++) {
        struct contact *contact = draw_contact(pool, introduced, join, now.mono);
        if (!contact && !join && may_join(pool, &census, now.mono)) {
            join = true; /* everybody we know of is full */
            contact = draw_contact(pool, introduced, join, now.mono);
        }
        if (!contact || !pool_try(pool, contact, join, now))
            return;
        if (dials >= freely)
            pool->more = mono_add(now.mono, draw_pace(pool));
        if (join) { /* one at a time: each splits an edge */
            joined(pool, now.mono);
            return;
        }
    }
}

/* Neighbours lost to silence: the other half of a partition is found through them, full pools or
 * not. */
void pool_probe_lost(struct pool *pool, struct now now) {
    struct census census = pool_census(pool);
    unsigned most = pool_aim(pool) + HEAL_PLACES, probes = 0;

    for (size_t i = 0; i < pool->book.n && probes < PROBES_AT_ONCE; i++) {
        struct contact *contact = &pool->book.contacts[i];
        if (contact->kind == CONTACT_LOST && !book_is_lost(contact, now.mono))
            contact->kind = CONTACT_GOSSIPED;
        if (book_is_lost(contact, now.mono) && census.all < most && census.all < pool->config.max &&
            pool_may_dial(pool, contact, now.mono))
            probes += pool_try(pool, contact, false, now);
    }
}

/* Try a node that cannot be reached by links. */
void pool_heal(struct pool *pool, struct now now) {
    struct census census = pool_census(pool);
    uint64_t prefix;

    if (!mono_is_due(pool->heal, now.mono))
        return;
    size_t n = topology_unreached(directory_topology(pool->config.directory), pool->config.random,
                                  &prefix);
    /* Fast only after losses of our own, and of nodes that were of the network: descriptors of
     * those that never were must not set us dialling. */
    size_t lost = directory_lost(pool->config.directory),
           all = lost + directory_reached(pool->config.directory);
    bool many = lost * HEAL_SHARE > all && now.mono.us - pool->lost.us < HEAL_LOST_US;
    pool->heal = mono_add(now.mono, many ? HEAL_FAST_US : HEAL_US);
    const struct directory_entry *entry =
        n > 0 && census.all < pool_aim(pool) + HEAL_PLACES && census.all < pool->config.max
            ? directory_find_prefix(pool->config.directory, prefix)
            : NULL;
    if (!entry || links_find(pool->config.links, prefix))
        return;
    struct address address = directory_address(pool->config.directory, entry);
    struct contact *contact =
        address.port != 0 ? book_note(&pool->book, &address, CONTACT_GOSSIPED) : NULL;
    if (contact && pool_may_dial(pool, contact, now.mono)) {
        contact->next = mono_add(now.mono, RETRY_US);
        links_dial(pool->config.links, &contact->address, LINK_HEAL, now);
    }
}

/* Keep the graph mixing: one self-chosen link that nothing protects is drawn anew. */
void pool_redraw(struct pool *pool, struct mono now) {
    const struct link_view *oldest = NULL;

    if (!mono_is_due(pool->redraw, now))
        return;
    pool->redraw = mono_add(now, REDRAW_US);
    if (pool_census(pool).all < pool_aim(pool) ||
        directory_reached(pool->config.directory) <= pool_aim(pool))
        return; /* nobody to exchange it for */
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(pool->config.links, slot);
        if (link && link->state == LINK_UP && link->dialled && !pool_is_anchor(pool, link) &&
            !paths_is_guard(pool->config.paths, link->prefix) &&
            (!oldest || link->serial < oldest->serial))
            oldest = link;
    }
    if (oldest)
        links_close(pool->config.links, oldest->slot, LINK_CLOSED_BYE, now);
}
