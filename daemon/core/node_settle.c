/* Requests whose destination is not settled yet: they wait here while the address is asked who is there.
 *
 * Threat: an address is whatever a node says, and identities are free, so three of one member confirm any claim. Before anything is
 * sent to an address for the first time, and the key there pinned, a handshake proves who is there; where a handshake found somebody,
 * others' words count for nothing. Only an address that answers no dial (a translator lets none in) is left to witnesses, and then to
 * neighbours of our own choice alone; such a one is not pinned. The dial ends with the second message: who is asked does not learn
 * who asks. See p2pd-protocol(7) DIRECTORY. */
#include "daemon/core/node_private.h"

#define SETTLING_MAX 64                /* beyond it ANSWER_LIMIT */
#define PROBES_MAX 8                   /* ports of an IP that are asked */
#define SETTLE_US (8 * US_PER_S)       /* less than a client waits for its answer */
#define NOBODY_US (2 * US_PER_S)       /* where not even a claim is known */
#define YOUNG_US (3 * US_PER_S)        /* a node that has just started knows few */
#define CHOSEN_MAX TOPOLOGY_DEGREE_MAX /* neighbours that we dialled */

struct node_settling {
    TAILQ_ENTRY(node_settling) link;
    struct request request; /* what it points to lies behind this struct */
    size_t charged;
    struct mono due;
    struct address asked[PROBES_MAX];
    size_t n_asked;
};

/* ---- A request that outlives its event ---- */

static const struct destination *destination_of(const struct request *request) {
    return request->kind == REQUEST_PUSH        ? &request->push.to
           : request->kind == REQUEST_PUSH_MANY ? &request->push_many.to
           : request->kind == REQUEST_PING      ? &request->to.to
           : request->kind == REQUEST_TRUST     ? &request->to.to
                                                : NULL;
}

static size_t size_of(const struct request *request) {
    size_t size = sizeof(struct node_settling);

    if (request->kind == REQUEST_PUSH)
        size += (request->push.body ? request->push.size : 0) + sizeof(struct file_head);
    for (size_t i = 0; request->kind == REQUEST_PUSH_MANY && i < request->push_many.n; i++)
        size += sizeof(struct push_item) + request->push_many.items[i].size;
    return size;
}

static void keep_push(struct request *request, uint8_t *room) {
    if (request->push.file) {
        memcpy(room, request->push.file, sizeof(struct file_head));
        request->push.file = (const struct file_head *)(const void *)room;
    } else if (request->push.body) {
        memcpy(room, request->push.body, request->push.size);
        request->push.body = room;
    }
}

static void keep_many(struct request *request, uint8_t *room) {
    size_t n = request->push_many.n;
    struct push_item *items = (struct push_item *)(void *)room;

    memcpy(items, request->push_many.items, n * sizeof *items);
    room += n * sizeof *items;
    for (size_t i = 0; i < n; i++) {
        if (items[i].size > 0)
            memcpy(room, items[i].body, items[i].size);
        items[i].body = room;
        room += items[i].size;
    }
    request->push_many.items = items;
}

static void settling_free(struct node *node, struct node_settling *settling) {
    TAILQ_REMOVE(&node->settling, settling, link);
    node->n_settling--;
    budget_give(&node->budget, BUDGET_CLIENTS, settling->charged);
    free(settling);
}

static struct node_settling *settling_new(struct node *node, const struct request *request) {
    size_t size = size_of(request);
    struct node_settling *settling = NULL;

    if (node->n_settling < SETTLING_MAX && budget_take(&node->budget, BUDGET_CLIENTS, size)) {
        settling = calloc(1, size);
        if (!settling)
            budget_give(&node->budget, BUDGET_CLIENTS, size);
    }
    if (!settling) {
        effects_answer_text(node->effects, request->client, ANSWER_LIMIT,
                            "too much waits already for the first word from an address: try again "
                            "in some seconds");
        return NULL;
    }
    settling->request = *request;
    settling->charged = size;
    if (request->kind == REQUEST_PUSH)
        keep_push(&settling->request, (uint8_t *)(settling + 1));
    else if (request->kind == REQUEST_PUSH_MANY)
        keep_many(&settling->request, (uint8_t *)(settling + 1));
    TAILQ_INSERT_TAIL(&node->settling, settling, link);
    node->n_settling++;
    return settling;
}

/* ---- Is it settled? ---- */

/* It has somebody to learn from, and has not had the time. */
static bool is_young(const struct node *node) {
    int64_t age_us = node->now.us - node->started.us;
    unsigned self;

    return (age_us < YOUNG_US || (age_us < SETTLE_US && links_count(node->links, true) == 0)) &&
           (pool_peers(node->pool, &self) > 0 || pool_spares(node->pool) > 0);
}

static bool is_settled(const struct node *node, const struct request *request) {
    const struct destination *to = destination_of(request);
    struct node_id ids[DIRECTORY_CANDIDATES_MAX], proven[DIRECTORY_CANDIDATES_MAX];
    size_t n, n_proven;
    enum resolve_outcome by_word = directory_resolve(node->directory, to, ids, &n);

    if (to->kind != DEST_ADDRESS)
        return by_word != RESOLVE_NONE || !is_young(node);
    if (request->kind == REQUEST_PING && by_word == RESOLVE_ONE)
        return true; /* a word too many to a stranger tells him nothing */
    if (request->kind == REQUEST_TRUST && by_word != RESOLVE_KEY_CHANGED)
        return true;
    enum resolve_outcome by_proof =
        directory_resolve_proven(node->directory, to, proven, &n_proven);
    return by_proof == by_word && n == n_proven && memcmp(ids, proven, n * sizeof *ids) == 0 &&
           (by_proof == RESOLVE_ONE || by_proof == RESOLVE_SELF || by_proof == RESOLVE_KEY_CHANGED);
}

/* ---- Asking who is there ---- */

static bool is_asking(const struct node *node, const struct node_settling *settling) {
    for (size_t i = 0; i < settling->n_asked; i++)
        if (links_is_dialling(node->links, &settling->asked[i]))
            return true;
    return false;
}

/* True if somebody claims it. */
static bool ask(struct node *node, struct node_settling *settling) {
    const struct address *to = &destination_of(&settling->request)->address;
    size_t n = directory_claimed(node->directory, to, settling->asked, PROBES_MAX);
    bool claimed = n > 0;

    if (!claimed) {
        settling->asked[n] = *to;
        if (to->port == 0)
            settling->asked[n].port = ADDRESS_PORT_DEFAULT;
        n++;
    }
    settling->n_asked = n;
    for (size_t i = 0; i < n; i++)
        links_dial(node->links, &settling->asked[i], LINK_PROBE, node->now, node->machine);
    return claimed;
}

bool node_settle(struct node *node, const struct request *request) {
    if (is_settled(node, request))
        return false;
    struct node_settling *settling = settling_new(node, request);
    if (!settling)
        return true;
    bool claimed = destination_of(request)->kind == DEST_ADDRESS && ask(node, settling);
    settling->due = mono_add(node->now, claimed          ? SETTLE_US
                                        : is_young(node) ? NOBODY_US + YOUNG_US
                                                         : NOBODY_US);
    node->settle_due = mono_min(node->settle_due, settling->due);
    return true;
}

/* ---- It is, or will not be ---- */

static bool is_over(const struct node *node, const struct node_settling *settling) {
    if (mono_is_due(settling->due, node->now) || is_settled(node, &settling->request))
        return true;
    return settling->n_asked > 0 && !is_asking(node, settling) && !is_young(node);
}

void node_settle_tick(struct node *node) {
    struct node_settling *settling, *next;

    if (!node->settle_news && !mono_is_due(node->settle_due, node->now))
        return;
    node->settle_news = false;
    node->settle_due = MONO_NEVER;
    for (settling = TAILQ_FIRST(&node->settling); settling; settling = next) {
        next = TAILQ_NEXT(settling, link);
        if (is_over(node, settling)) {
            node_request_settled(node, &settling->request);
            settling_free(node, settling);
        } else {
            node->settle_due = mono_min(node->settle_due, settling->due);
        }
    }
}

void node_settle_answered(struct node *node, const struct link_event *event) {
    /* From elsewhere, somebody passed our question on: the one who answers is not there. */
    if (address_is_equal(&event->address, &event->link.address))
        directory_handshaken(node->directory, &event->link.id, &event->address, node->wall);
    node->settle_news = true;
}

bool node_settle_vouched(const struct node *node, const struct node_id *id,
                         const struct address *address) {
    const struct directory_entry *entry = directory_find(node->directory, id);
    uint64_t chosen[CHOSEN_MAX];
    size_t n = 0;

    for (unsigned slot = 0; slot < LINK_SLOTS && n < CHOSEN_MAX; slot++) {
        const struct link_view *link = links_at(node->links, slot);
        if (link && link->state != LINK_PROBATION && link->dialled &&
            link->purpose != LINK_INTRODUCED)
            chosen[n++] = link->prefix;
    }
    return entry && directory_vouched(node->directory, entry, address, chosen, n);
}

/* ---- Clients go, the node ends ---- */

/* The store has not heard of it, and nobody else knows it any more. */
static void drop_upload(struct node *node, const struct request *request) {
    struct store_op op = {.kind = STORE_UPLOAD_DROP};

    if (request->kind != REQUEST_PUSH || !request->push.spool[0])
        return;
    memcpy(op.upload_drop.spool, request->push.spool, sizeof op.upload_drop.spool);
    effects_store(node->effects, &op, OWNER_NODE, 0);
}

void node_settle_gone(struct node *node, uint64_t client) {
    struct node_settling *settling, *next;

    for (settling = TAILQ_FIRST(&node->settling); settling; settling = next) {
        next = TAILQ_NEXT(settling, link);
        if (settling->request.client != client)
            continue;
        drop_upload(node, &settling->request);
        settling_free(node, settling);
    }
}

void node_settle_deinit(struct node *node) {
    while (!TAILQ_EMPTY(&node->settling))
        settling_free(node, TAILQ_FIRST(&node->settling));
}
