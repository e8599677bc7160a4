/* Threat: see pool.h. By telling us an address a stranger can make us dial it three times an hour,
 * in cells of one size; and addresses of nodes that no links lead to are dialled once in 5 s, all
 * of them together. */
#include "daemon/core/base/wirebuf.h"
#include "daemon/core/overlay/pool_private.h"

#include <math.h>
#include <stdlib.h>

#define ANCHORS 2
#define NETWORK_SHARE 2 /* neighbours from one IPv4 /16 or IPv6 /32 */
#define LOST_US US_PER_HOUR
#define HEAL_SOON_US (5 * US_PER_S)
#define SAVE_FIRST_US (100 * US_PER_MS) /* with next to nothing on disk yet */
#define SAVE_US (5 * US_PER_S)
#define DUPLICATE_US (5 * US_PER_MINUTE) /* so long a neighbour's other address is not dialled */
#define STOOD_US US_PER_MINUTE

struct pool *pool_new(const struct pool_config *config, const struct node_boot *boot,
                      const struct address *bootstrap, size_t n_bootstrap, struct mono now) {
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    pool->config = *config;
    for (size_t i = 0; i < boot->n_spares; i++) {
        enum contact_kind kind = boot->spares[i].anchor ? CONTACT_ANCHOR : CONTACT_SPARE;
        struct contact *contact = book_note(&pool->book, &boot->spares[i].address, kind);
        if (contact)
            contact->id = boot->spares[i].id;
        pool->n_spares += kind == CONTACT_SPARE;
    }
    for (size_t i = 0; i < n_bootstrap; i++)
        pool_add_bootstrap(pool, &bootstrap[i], now);
    pool->next = now;
    pool->redraw = mono_add(now, REDRAW_US);
    pool->save = MONO_NEVER;
    pool->heal = mono_add(now, HEAL_US);
    pool->lost = pool->introduced_from = pool->join = pool->more = pool->others_from =
        (struct mono){INT64_MIN / 2};
    return pool;
}

void pool_free(struct pool *pool) {
    if (!pool)
        return;
    book_deinit(&pool->book);
    free(pool);
}

void pool_add_bootstrap(struct pool *pool, const struct address *address, struct mono now) {
    struct address whole = *address;
    if (whole.port == 0)
        whole.port = ADDRESS_PORT_DEFAULT;
    book_configure(&pool->book, &whole);
    pool->next = now;
}

unsigned pool_aim(const struct pool *pool) {
    double n = (double)directory_reached(pool->config.directory) + 1;
    unsigned d = (unsigned)ceil(pow(16 * n, 1.0 / (pool->config.relays + 1)));
    unsigned most = pool->config.max > 2 ? pool->config.max - 2 : 1;

    if (d < pool->config.min)
        d = pool->config.min;
    return d < most ? d : most;
}

unsigned pool_spares(const struct pool *pool) {
    return (unsigned)pool->n_spares;
}

unsigned pool_peers(const struct pool *pool, unsigned *ret_self) {
    unsigned n = 0;
    *ret_self = 0;
    for (size_t i = 0; i < pool->book.n; i++) {
        n += pool->book.contacts[i].configured;
        *ret_self +=
            pool->book.contacts[i].configured && pool->book.contacts[i].kind == CONTACT_SELF;
    }
    return n;
}

/* ---- Who is there ---- */

struct census pool_census(const struct pool *pool) {
    struct census census = {0};
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(pool->config.links, slot);
        if (!link || link->state == LINK_PROBATION)
            continue;
        census.all++;
        census.up += link->state == LINK_UP;
        /* A link that a neighbour told us to make is not self-chosen, whoever dialled. */
        bool chosen = link->dialled && link->purpose != LINK_INTRODUCED;
        census.dialled += chosen;
        census.accepted += !chosen;
        census.joined += !link->dialled && link->purpose == LINK_JOIN;
    }
    return census;
}

/* One of the two oldest links? */
bool pool_is_anchor(const struct pool *pool, const struct link_view *link) {
    unsigned older = 0;
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *other = links_at(pool->config.links, slot);
        if (other && other->state != LINK_PROBATION && other->serial < link->serial)
            older++;
    }
    return older < ANCHORS;
}

bool pool_network_is_full(const struct pool *pool, const struct address *address,
                          const struct link_view *except) {
    unsigned n = 0;
    if (address_is_private(address))
        return false;
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(pool->config.links, slot);
        if (link && link != except && address_network(&link->address) == address_network(address))
            n++;
    }
    return n >= NETWORK_SHARE;
}

bool pool_is_linked_to(const struct pool *pool, const struct address *address) {
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(pool->config.links, slot);
        if (link && address_is_equal(&link->address, address))
            return true;
    }
    return false;
}

/* ---- What became of dials and links ---- */

static void answer_waiting(struct pool *pool, const struct address *address, bool up,
                           const char *why) {
    for (unsigned i = 0; i < pool->n_waiting;) {
        if (!address_is_equal(&pool->waiting[i].address, address)) {
            i++;
            continue;
        }
        effects_answer_text(pool->config.effects, pool->waiting[i].client,
                            up ? ANSWER_OK : ANSWER_FAILED, "%s", why);
        pool->waiting[i] = pool->waiting[--pool->n_waiting];
    }
}

static void note_referrals(struct pool *pool, const struct link_event *event) {
    for (size_t i = 0; i < event->n_referrals; i++)
        if (event->referrals[i].port != 0)
            book_note(&pool->book, &event->referrals[i], CONTACT_REFERRED);
}

/* Close a link that is suspect and neither guard nor anchor: its place is needed. */
bool pool_close_suspect(struct pool *pool, struct mono now) {
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(pool->config.links, slot);
        if (link && link->state == LINK_SUSPECT && !pool_is_anchor(pool, link) &&
            !paths_is_guard(pool->config.paths, link->prefix)) {
            links_close(pool->config.links, slot, LINK_CLOSED_SILENT, now);
            return true;
        }
    }
    return false;
}

static void plan_save(struct pool *pool, struct mono now) {
    int64_t wait = pool->n_spares > ANCHORS ? SAVE_US : SAVE_FIRST_US;
    pool->save = mono_min(pool->save, mono_add(now, wait));
    pool->dirty = true;
}

static void came_up(struct pool *pool, const struct link_event *event, struct mono now) {
    struct contact *contact = book_find(&pool->book, &event->link.address);

    /* Several dials can be answered at once. Never exceed pool.max, not for a moment: close a
     * suspect link, or else the new one. */
    if (pool_census(pool).all > pool->config.max && !pool_close_suspect(pool, now))
        links_close(pool->config.links, event->link.slot, LINK_CLOSED_BYE, now);

    if (!contact && event->link.dialled)
        contact = book_note(&pool->book, &event->link.address, CONTACT_GOSSIPED);
    if (contact) {
        contact->id = event->link.id;
        contact->failures = 0;
        contact->refused = false;
        contact->next = now;
        if (contact->kind == CONTACT_LOST || contact->kind == CONTACT_INTRODUCED)
            contact->kind = CONTACT_GOSSIPED;
        contact->until = MONO_NEVER;
    }
    pool->refusals = pool->in_vain = pool->joins = 0;
    note_referrals(pool, event);
    answer_waiting(pool, &event->link.address, true, "connected");
    plan_save(pool, now);
}

static void refused(struct pool *pool, const struct link_event *event, struct mono now) {
    struct contact *contact = book_note(&pool->book, &event->address, CONTACT_REFERRED);

    if (contact && event->refusal == LINK_SELF)
        contact->kind = CONTACT_SELF;
    else if (contact)
        book_refused(contact, pool->config.random, now);
    if (contact && event->refusal == LINK_DUPLICATE) {
        contact->id = event->link.id;
        contact->refused = false;
        contact->next = mono_add(now, DUPLICATE_US);
    }
    pool->refusals += event->refusal == LINK_FULL;
    pool->in_vain = 0;
    note_referrals(pool, event);
    answer_waiting(pool, &event->address, event->refusal == LINK_DUPLICATE,
                   event->refusal == LINK_DUPLICATE ? "it is a neighbour already"
                   : event->refusal == LINK_SELF    ? "that is this node itself"
                   : event->refusal == LINK_FULL
                       ? "it has all the neighbours that it takes; it will be asked again"
                       : "it does not take us as a neighbour");
}

static unsigned count_lost(const struct pool *pool, struct mono now) {
    unsigned n = 0;
    for (size_t i = 0; i < pool->book.n; i++)
        n += book_is_lost(&pool->book.contacts[i], now);
    return n;
}

static void went_down(struct pool *pool, const struct link_event *event, struct mono now) {
    /* A node that linked to us and fell silent within STOOD_US is not looked for. */
    if (event->close == LINK_CLOSED_SILENT &&
        (event->link.dialled || now.us - event->link.since.us >= STOOD_US) &&
        count_lost(pool, now) < 2 * pool->config.max) {
        struct contact *contact = book_note(&pool->book, &event->link.address, CONTACT_LOST);
        if (contact) {
            contact->id = event->link.id;
            contact->until = mono_add(now, LOST_US);
            contact->next =
                mono_add(now, (int64_t)random_below(pool->config.random, 10 * US_PER_S));
        }
        pool->lost = now;
        pool->heal = mono_min(pool->heal, mono_add(now, HEAL_SOON_US));
    }
    plan_save(pool, now);
}

/* Said once until the peer answers: it is what an administrator looks for first. */
static void tell_no_answer(const struct pool *pool, const struct address *address) {
    char text[ADDRESS_TEXT_MAX];
    address_format(address, true, text);
    core_log(pool->config.trace, TRACE_WARNING,
             "no answer from the peer %s: is a p2pd of this network there? (address, port, network "
             "secret, firewall)",
             text);
}

void pool_link_event(struct pool *pool, const struct link_event *event, struct now now) {
    struct contact *contact;

    switch (event->kind) {
    case LINK_EVENT_ASKED:
        pool_asked(pool, event, now.mono);
        break;
    case LINK_EVENT_UP:
        came_up(pool, event, now.mono);
        break;
    case LINK_EVENT_REFUSED:
        refused(pool, event, now.mono);
        break;
    case LINK_EVENT_DIAL_FAILED:
        contact = book_find(&pool->book, &event->address);
        pool->in_vain++;
        if (contact && contact->failures == 0 && contact->kind == CONTACT_BOOTSTRAP)
            tell_no_answer(pool, &event->address);
        if (contact)
            book_failed(contact, pool->config.random, now.mono);
        answer_waiting(pool, &event->address, false,
                       "no answer: is a p2pd of this network there? (address, port, network "
                       "secret, firewall)");
        break;
    case LINK_EVENT_DOWN:
        went_down(pool, event, now.mono);
        break;
    case LINK_EVENT_SUSPECT: /* a replacement is looked for at once */
        break;
    default:
        return;
    }
    (void)now.wall;
    pool->next = now.mono;
}

enum drop pool_introduced(struct pool *pool, const uint8_t *body, size_t length, struct mono now) {
    struct wire_reader r = wire_reader(body, length);
    struct node_id id;
    struct address address;

    wire_get(&r, id.bytes, NODE_ID_LEN);
    wire_get_address(&r, &address);
    if (r.failed || wire_left(&r) != 0 || address.port == 0 || address_is_unspecified(&address))
        return DROP_MALFORMED;
    if (pool->introduced_from.us < now.us - POOL_INTRODUCED_BURST * POOL_INTRODUCED_US)
        pool->introduced_from = mono_add(now, -POOL_INTRODUCED_BURST * POOL_INTRODUCED_US);
    if (pool->introduced_from.us > now.us - POOL_INTRODUCED_US)
        return DROP_LIMIT;
    pool->introduced_from = mono_add(pool->introduced_from, POOL_INTRODUCED_US);
    struct contact *contact = book_note(&pool->book, &address, CONTACT_INTRODUCED);
    if (contact && contact->failures == 0) {
        contact->id = id;
        contact->refused = false;
        contact->next = now;
    }
    pool->next = now;
    return DROP_NONE;
}

/* ---- Spares on disk ---- */

static void gather_spares(struct pool *pool) {
    size_t n = 0;

    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(pool->config.links, slot);
        if (link && link->state != LINK_PROBATION && n < POOL_SPARES_MAX)
            pool->spares[n++] = (struct spare){link->address, link->id, pool_is_anchor(pool, link)};
    }
    size_t neighbours = n, most = neighbours + pool->config.spare;
    for (unsigned i = 0; i < 4 * pool->config.spare && n < most && n < POOL_SPARES_MAX; i++) {
        const struct directory_entry *entry = pool_draw(pool);
        if (!entry)
            break;
        struct spare spare = {directory_address(pool->config.directory, entry), entry->id, false};
        bool held = spare.address.port == 0;
        for (size_t j = 0; j < n && !held; j++)
            held = node_id_is_equal(&pool->spares[j].id, &spare.id);
        if (!held)
            pool->spares[n++] = spare;
    }
    pool->n_spares = n;
}

static void save(struct pool *pool) {
    if (pool->saving) {
        pool->dirty = true;
        pool->save = MONO_NEVER; /* pool_stored() plans the next one */
        return;
    }
    gather_spares(pool);
    pool->dirty = false;
    pool->save = MONO_NEVER;
    if (pool->n_spares == 0)
        return; /* what the disk knows is better than nothing */
    pool->saving = true;
    struct store_op op = {.kind = STORE_SPARES_PUT, .spares_put = {pool->spares, pool->n_spares}};
    effects_store(pool->config.effects, &op, OWNER_POOL, 0);
}

void pool_stored(struct pool *pool, const struct store_result *result, struct mono now) {
    pool->saving = false;
    if (result->error != 0 || pool->dirty)
        pool->save = mono_min(pool->save, mono_add(now, US_PER_MINUTE));
}

/* ---- By hand ---- */

void pool_connect(struct pool *pool, uint64_t client, const struct address *address,
                  struct now now) {
    struct address whole = *address;
    if (whole.port == 0)
        whole.port = ADDRESS_PORT_DEFAULT;
    if (address_problem(&whole)) {
        effects_answer_text(pool->config.effects, client, ANSWER_USAGE,
                            "no node can be called there: %s", address_problem(&whole));
        return;
    }
    if (pool_is_linked_to(pool, &whole)) {
        effects_answer_text(pool->config.effects, client, ANSWER_OK, "it is a neighbour already");
        return;
    }
    struct contact *contact = book_note(&pool->book, &whole, CONTACT_MANUAL);
    if (contact)
        contact->barred = (struct mono){INT64_MIN};
    if (!contact || pool->n_waiting == WAITING_MAX || pool_census(pool).all >= pool->config.max) {
        effects_answer_text(pool->config.effects, client, ANSWER_LIMIT,
                            "the pool is full (pool.max is %u): disconnect a neighbour first",
                            pool->config.max);
        return;
    }
    if (!pool_try(pool, contact, false, now) && !links_is_dialling(pool->config.links, &whole)) {
        effects_answer_text(pool->config.effects, client, ANSWER_LIMIT,
                            "too many dials under way: try again in some seconds");
        return;
    }
    pool->waiting[pool->n_waiting++] = (struct waiting){client, whole};
}

void pool_disconnect(struct pool *pool, uint64_t client, const struct node_id *id,
                     struct mono now) {
    const struct link_view *link = links_find(pool->config.links, node_id_prefix(id));
    if (!link || !node_id_is_equal(&link->id, id)) {
        effects_answer_text(pool->config.effects, client, ANSWER_FAILED,
                            "that node is not a neighbour");
        return;
    }
    struct contact *contact = book_note(&pool->book, &link->address, CONTACT_GOSSIPED);
    if (contact) { /* or it would be dialled again at once */
        contact->kind = CONTACT_GOSSIPED;
        contact->next = contact->barred = mono_add(now, US_PER_HOUR);
        contact->id = *id;
    }
    links_close(pool->config.links, link->slot, LINK_CLOSED_BYE, now);
    effects_answer_text(pool->config.effects, client, ANSWER_OK, "disconnected for an hour");
}

void pool_client_gone(struct pool *pool, uint64_t client) {
    for (unsigned i = 0; i < pool->n_waiting;)
        if (pool->waiting[i].client == client)
            pool->waiting[i] = pool->waiting[--pool->n_waiting];
        else
            i++;
}

void pool_leave(struct pool *pool, struct mono now) {
    const struct link_view *links[LINK_SLOTS];
    unsigned n = 0;

    pool->leaving = true;
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(pool->config.links, slot);
        if (link && link->state != LINK_PROBATION)
            links[n++] = link;
    }
    save(pool);
    for (unsigned i = 0; i < n && n > 1; i++)
        pool_introduce(pool, links[i], links[(i + 1) % n], now);
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++)
        links_close(pool->config.links, slot, LINK_CLOSED_LEAVING, now);
}

/* ---- Time ---- */

void pool_news(struct pool *pool) {
    if (pool_census(pool).up < pool_aim(pool))
        pool->next = (struct mono){0};
}

/* When the next contact of the book may be dialled: any contact while links are lacking, else only
 * a neighbour that fell silent. News and ends of links set pool->next themselves. */
static struct mono next_contact(const struct pool *pool, struct mono now) {
    struct mono next = MONO_NEVER;
    bool lacking = pool_census(pool).up < pool_aim(pool);

    for (size_t i = 0; i < pool->book.n; i++) {
        const struct contact *contact = &pool->book.contacts[i];
        if (book_is_lost(contact, now) || (lacking && contact->kind != CONTACT_SELF))
            if (contact->next.us > now.us && !pool_is_linked_to(pool, &contact->address))
                next = mono_min(next, contact->next);
    }
    return next;
}

void pool_tick(struct pool *pool, struct now now) {
    if (pool->leaving || !mono_is_due(pool_next(pool), now.mono))
        return;
    pool_redraw(pool, now.mono);
    pool_fill(pool, now);
    pool_probe_lost(pool, now);
    pool_heal(pool, now);
    if (mono_is_due(pool->save, now.mono))
        save(pool);
    pool->next = next_contact(pool, now.mono);
    if (pool->refusals > 0 && pool->join.us > now.mono.us)
        pool->next = mono_min(pool->next, pool->join);
    if (pool->more.us > now.mono.us && pool_census(pool).up < pool_aim(pool))
        pool->next = mono_min(pool->next, pool->more);
}

struct mono pool_next(const struct pool *pool) {
    return pool->leaving
               ? MONO_NEVER
               : mono_min(mono_min(pool->next, pool->heal), mono_min(pool->redraw, pool->save));
}
