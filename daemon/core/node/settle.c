/* Requests whose destination is not settled yet: they wait here while the address is asked who is
 * there.
 *
 * Threat: an address is whatever a node says, and identities are free, so three of one member
 * confirm any claim. Before anything is sent to an address for the first time, and the key there
 * pinned, a handshake proves who is there; where a handshake found somebody, others' words count
 * for nothing, but not for long once no link stands there: it may have left. Claims of an IP are
 * free, too, so the likely places are asked first, and others as dials end. Only an address that
 * answers no dial (a translator lets none in) is left to witnesses: two neighbours that the pool
 * drew, or four of the node's that have answered us from as many networks; such a one is not
 * pinned. The dial ends with the second message: who is asked does not learn who asks. News comes
 * as fast as others like: what waits is judged at a pace, but for the answers of places that a
 * waiting request asked, of which there are no more than dials of ours. See p2pd-protocol(7)
 * DIRECTORY. */
#include "daemon/core/node/settle.h"
#include "daemon/core/node/node_private.h"

#define PLACES_MAX 24    /* that are asked for one request, in all */
#define WITNESSES_MAX 12 /* and of the claimers' neighbours */
#define AT_ONCE 8        /* a dead place takes 3.5 s to fail... */
#define AT_ONCE_ALL 24   /* by all requests together, but so many by each: */
#define AT_ONCE_MIN 2
#define WITNESSES_ROOM 4           /* beside those */
#define PATIENCE_US US_PER_S       /* ...so then others are asked beside it, and witnesses */
#define JUDGE_US (100 * US_PER_MS) /* what waits is looked at no more often */
#define SETTLE_US (8 * US_PER_S)   /* less than a client waits for its answer */
#define NOBODY_US (2 * US_PER_S)   /* where not even a claim is known */
#define YOUNG_US (3 * US_PER_S)    /* a node that has just started knows few */
#define NO_ROOM                                                                                    \
    "too much waits already for the first word from an address: try again in some seconds"
#define DRAWN_MAX TOPOLOGY_DEGREE_MAX /* neighbours that the pool drew */

struct settling {
    struct client_wait wait;
    struct request request; /* what it points to lies behind this struct */
    size_t charged;
    struct mono since, due;
    struct address asked[PLACES_MAX + WITNESSES_MAX];
    size_t n_asked, n_places, n_witnesses;
    bool asked_all;
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
    size_t size = sizeof(struct settling);

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

static struct settling *settling_of(struct client_wait *wait) {
    return clients_entry(wait, struct settling, wait);
}

void node_settle_free(struct node *node, struct client_wait *wait) {
    clients_remove(&node->clients, wait);
    budget_give(&node->budget, BUDGET_CLIENTS, settling_of(wait)->charged);
    free(settling_of(wait));
}

static struct settling *settling_new(struct node *node, const struct request *request) {
    const char *refusal = clients_refusal(&node->clients, CLIENT_SETTLING);
    size_t size = size_of(request);
    struct settling *settling = NULL;

    if (!refusal && budget_take(&node->budget, BUDGET_CLIENTS, size)) {
        settling = calloc(1, size);
        if (!settling)
            budget_give(&node->budget, BUDGET_CLIENTS, size);
    }
    if (!settling) {
        effects_answer_text(node->effects, request->client, ANSWER_LIMIT, "%s",
                            refusal ? refusal : NO_ROOM);
        return NULL;
    }
    settling->request = *request;
    settling->charged = size;
    if (request->kind == REQUEST_PUSH)
        keep_push(&settling->request, (uint8_t *)(settling + 1));
    else if (request->kind == REQUEST_PUSH_MANY)
        keep_many(&settling->request, (uint8_t *)(settling + 1));
    clients_add(&node->clients, &settling->wait, request->client, CLIENT_SETTLING);
    return settling;
}

/* ---- Is it settled? ---- */

/* It has somebody to learn from, and has not had the time. */
static bool is_young(const struct node *node) {
    int64_t age_us = node->now.mono.us - node->started.us;
    unsigned self;

    return (age_us < YOUNG_US || (age_us < SETTLE_US && links_count(node->links, true) == 0)) &&
           (pool_peers(node->pool, &self) > 0 || pool_spares(node->pool) > 0);
}

/* Met where the IP alone leads: whoever is at other ports, it is meant. */
static bool is_at_usual_port(const struct node *node, const struct destination *to,
                             const struct node_id *id) {
    struct address usual = to->address;

    if (usual.port == 0)
        usual.port = ADDRESS_PORT_DEFAULT;
    return directory_is_present_at(node->directory, id, &usual);
}

static bool is_settled(const struct node *node, const struct request *request) {
    const struct destination *to = destination_of(request);
    struct node_id ids[DIRECTORY_CANDIDATES_MAX], proven[DIRECTORY_CANDIDATES_MAX];
    size_t n, n_proven;

    if (to->kind != DEST_ADDRESS)
        return directory_resolve(node->directory, to, ids, &n) != RESOLVE_NONE || !is_young(node);
    enum resolve_outcome by_proof =
        directory_resolve_proven(node->directory, to, node->now.mono, proven, &n_proven);
    bool is_proven =
        by_proof == RESOLVE_ONE || by_proof == RESOLVE_SELF || by_proof == RESOLVE_KEY_CHANGED;
    if (by_proof == RESOLVE_ONE && is_at_usual_port(node, to, &proven[0]))
        return true;
    if (!is_proven && request->kind != REQUEST_PING && request->kind != REQUEST_TRUST)
        return false; /* without a look at what may be thousands of claims */
    enum resolve_outcome by_word = directory_resolve(node->directory, to, ids, &n);
    if (request->kind == REQUEST_PING && by_word == RESOLVE_ONE)
        return true; /* a word too many to a stranger tells it nothing */
    if (request->kind == REQUEST_TRUST && by_word != RESOLVE_KEY_CHANGED)
        return true;
    return is_proven && by_proof == by_word && n == n_proven &&
           memcmp(ids, proven, n * sizeof *ids) == 0;
}

/* ---- Asking who is there ---- */

static unsigned count_asking(const struct node *node, const struct settling *settling) {
    unsigned n = 0;
    for (size_t i = 0; i < settling->n_asked; i++)
        n += links_is_dialling(node->links, &settling->asked[i]);
    return n;
}

static bool was_asked(const struct settling *settling, const struct address *place) {
    for (size_t i = 0; i < settling->n_asked; i++)
        if (address_is_equal(&settling->asked[i], place))
            return true;
    return false;
}

/* Dial those that were not asked yet, while there are `room` places and fewer than `most` of the
 * kind were asked. False: some are left for later. */
static bool ask_places(struct node *node, struct settling *settling, const struct address *places,
                       size_t n, size_t most, unsigned *room, size_t *ret_n_asked) {
    for (size_t i = 0; i < n && *ret_n_asked < most; i++) {
        if (was_asked(settling, &places[i]))
            continue;
        if (*room == 0 ||
            links_dial(node->links, &places[i], LINK_PROBE, node->machine) == -ENOBUFS)
            return false;
        settling->asked[settling->n_asked++] = places[i];
        (*ret_n_asked)++;
        (*room)--;
    }
    return true;
}

static bool is_patient(const struct node *node, const struct settling *settling) {
    return node->now.mono.us - settling->since.us < PATIENCE_US;
}

/* Others wait, too, and the pool dials besides. */
static unsigned share_of(const struct node *node, const struct settling *settling) {
    size_t most = is_patient(node, settling) ? AT_ONCE : 2 * AT_ONCE;
    size_t share = AT_ONCE_ALL / node->clients.n[CLIENT_SETTLING];

    if (share < AT_ONCE_MIN)
        share = AT_ONCE_MIN;
    return (unsigned)(share < most ? share : most);
}

/* Where nobody is known to be, one answer is all that can come. */
static void set_due(const struct node *node, struct settling *settling, bool claimed) {
    int64_t wait = claimed ? SETTLE_US : is_young(node) ? NOBODY_US + YOUNG_US : NOBODY_US;
    settling->due = mono_min(settling->due, mono_add(node->now.mono, wait));
}

/* Go on asking, as dials end and time passes. */
static void ask(struct node *node, struct settling *settling) {
    const struct address *to = &destination_of(&settling->request)->address;
    struct address places[PLACES_MAX];
    unsigned asking = count_asking(node, settling), most = share_of(node, settling);
    unsigned room = asking < most ? most - asking : 0;
    bool claimed = false, is_first = settling->n_asked == 0;

    if (settling->asked_all || room == 0)
        return;
    size_t n = directory_places(node->directory, to, places, PLACES_MAX, &claimed);
    bool all = ask_places(node, settling, places, n, PLACES_MAX, &room, &settling->n_places);
    if (is_first && settling->n_asked > 0)
        set_due(node, settling, claimed);
    if (is_patient(node, settling))
        return;
    n = directory_witnesses(node->directory, to, places, WITNESSES_MAX);
    room += WITNESSES_ROOM; /* places that are dead must not keep them waiting */
    all &= ask_places(node, settling, places, n, WITNESSES_MAX, &room, &settling->n_witnesses);
    settling->asked_all = all && !is_young(node);
}

/* News of dials and nodes is looked at besides. */
static struct mono next_look(const struct node *node, const struct settling *settling) {
    struct mono patience = mono_add(settling->since, PATIENCE_US);

    return is_patient(node, settling) ? mono_min(settling->due, patience) : settling->due;
}

bool node_settle(struct node *node, const struct request *request) {
    if (is_settled(node, request))
        return false;
    struct settling *settling = settling_new(node, request);
    if (!settling)
        return true;
    settling->since = node->now.mono;
    settling->due = mono_add(node->now.mono, SETTLE_US);
    if (destination_of(request)->kind == DEST_ADDRESS)
        ask(node, settling);
    else
        set_due(node, settling, false);
    node->settling.due = mono_min(node->settling.due, next_look(node, settling));
    return true;
}

/* ---- It is, or will not be ---- */

static bool is_over(struct node *node, struct settling *settling) {
    if (mono_is_due(settling->due, node->now.mono) || is_settled(node, &settling->request))
        return true;
    if (destination_of(&settling->request)->kind == DEST_ADDRESS)
        ask(node, settling);
    return settling->asked_all && count_asking(node, settling) == 0;
}

/* Is it time? Else the next look is put off. */
static bool may_judge(struct node *node) {
    struct mono judge = mono_add(node->settling.judged, JUDGE_US);
    bool waits = clients_first(&node->clients, CLIENT_SETTLING) != NULL;

    if (!node->settling.news && !mono_is_due(node->settling.due, node->now.mono))
        return false;
    if (waits && (node->settling.answered || mono_is_due(judge, node->now.mono)))
        return true;
    node->settling.due = waits ? judge : MONO_NEVER;
    return false;
}

void node_settle_tick(struct node *node,
                      void (*serve)(struct node *node, const struct request *request)) {
    struct client_wait *wait, *next;

    if (!may_judge(node))
        return;
    node->settling.news = node->settling.answered = false;
    node->settling.judged = node->now.mono;
    node->settling.due = MONO_NEVER;
    for (wait = clients_first(&node->clients, CLIENT_SETTLING); wait; wait = next) {
        struct settling *settling = settling_of(wait);
        next = clients_next(wait);
        if (is_over(node, settling)) {
            serve(node, &settling->request);
            node_settle_free(node, wait);
        } else {
            node->settling.due = mono_min(node->settling.due, next_look(node, settling));
        }
    }
}

struct mono node_settle_next(const struct node *node) {
    return node->settling.due;
}

void node_settle_look(struct node *node) {
    node->settling.news = true;
}

void node_settle_answered(struct node *node, const struct link_event *event) {
    struct client_wait *wait;

    /* From elsewhere, somebody passed our question on: the one who answers is not there. */
    if (address_is_equal(&event->address, &event->link.address))
        directory_handshaken(node->directory, &event->link.id, &event->address, node->now);
    node->settling.news = true;
    for (wait = clients_first(&node->clients, CLIENT_SETTLING); wait; wait = clients_next(wait))
        node->settling.answered |= was_asked(settling_of(wait), &event->link.address);
}

size_t node_settle_vouched(const struct node *node, const struct address *address,
                           struct node_id ret_ids[DIRECTORY_CANDIDATES_MAX]) {
    uint64_t drawn[DRAWN_MAX];
    size_t n = 0;

    for (unsigned slot = 0; slot < LINK_SLOTS && n < DRAWN_MAX; slot++) {
        const struct link_view *link = links_at(node->links, slot);
        if (link && link->state != LINK_PROBATION && pool_has_drawn(node->pool, link))
            drawn[n++] = link->prefix;
    }
    return directory_vouched(node->directory, address, drawn, n, ret_ids);
}

/* ---- Clients go ---- */

/* The store has not heard of it, and nobody else knows it any more. */
static void drop_upload(struct node *node, const struct request *request) {
    struct store_op op = {.kind = STORE_UPLOAD_DROP};

    if (request->kind != REQUEST_PUSH || !request->push.spool[0])
        return;
    memcpy(op.upload_drop.spool, request->push.spool, sizeof op.upload_drop.spool);
    effects_store(node->effects, &op, OWNER_NODE, 0);
}

void node_settle_gone(struct node *node, struct client_wait *wait) {
    drop_upload(node, &settling_of(wait)->request);
    node_settle_free(node, wait);
}
