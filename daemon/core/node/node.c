/* The composition: routes each event to the room it belongs to (a part of the node with a state of
 * its own: pool, gossip, outbox ...), and gives each room its turn in every step. */
#include "daemon/core/node/deliver.h"
#include "daemon/core/node/links.h"
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/ping.h"
#include "daemon/core/node/query.h"
#include "daemon/core/node/routes.h"
#include "daemon/core/node/serve.h"

/* A jump of the machine's clock by so much is a step: slewing is slower. */
#define STEP_US US_PER_S

/* ---- Datagrams ---- */

static enum drop take_gossip(struct node *node, const struct link_frame *frame, uint64_t from) {
    const struct directory_entry *news = NULL;
    enum drop drop = gossip_frame(node->gossip, from, (uint8_t)frame->type, frame->body,
                                  frame->length, node->now, &news);
    if (news)
        node_news(node, news, from, true);
    return drop;
}

static enum drop take_frame(struct node *node, unsigned slot, const struct link_frame *frame) {
    uint64_t from = links_at(node->links, slot)->prefix;

    switch (frame->type) {
    case FRAME_ONION:
        return frame->length == ONION_LEN ? node_onion(node, slot, from, frame->body)
                                          : DROP_MALFORMED;
    case FRAME_ANNOUNCE:
    case FRAME_WANT:
    case FRAME_DESCRIPTOR:
    case FRAME_DIGEST:
    case FRAME_PROOF:
        return take_gossip(node, frame, from);
    case FRAME_INTRODUCE:
        return pool_introduced(node->pool, frame->body, frame->length, node->now.mono);
    default:
        return DROP_NONE; /* a later version's: unknown frames are skipped */
    }
}

static void take_datagram(struct node *node, const struct datagram *datagram,
                          struct link_opening *opening) {
    struct link_cell cell;
    struct link_frame frame;
    enum drop drop = links_receive_opened(node->links, datagram, opening, node->machine, &cell);

    node->counters.datagrams_in++;
    if (drop == DROP_NONE)
        node->heard = node->now.mono;
    if (drop == DROP_MAC && strangers_note(&node->strangers, &datagram->remote, node->now.mono))
        core_log(&node->config.trace, TRACE_INFO,
                 "a datagram did not authenticate: another network.secret_file or network.name "
                 "somewhere? (p2pctl doctor says from where)");
    node_count(node, drop);
    while (links_next_frame(node->links, &cell, node->now.mono, &frame, &drop)) {
        node_count(node, take_frame(node, cell.slot, &frame));
        node_links_drain(node);
    }
    node_count(node, drop);
    node_links_drain(node);
}

/* Cryptography is done for a whole batch at once, in three passes: cells are opened, onions are
 * peeled, and at the end of the step cells are sealed. Between the passes each datagram has its
 * turn, in order. */
static void take_datagrams(struct node *node, const struct datagram *datagrams, size_t n) {
    struct link_opening openings[NODE_BATCH];

    for (size_t done = 0, batch; done < n; done += batch) {
        batch = n - done < NODE_BATCH ? n - done : NODE_BATCH;
        links_open(node->links, datagrams + done, batch, openings);
        for (size_t i = 0; i < batch; i++)
            take_datagram(node, &datagrams[done + i], &openings[i]);
        node_peel(node);
        node_links_drain(node);
    }
}

/* ---- Results of the store ---- */

static void take_result(struct node *node, const struct store_result *result) {
    enum store_owner owner;
    uint64_t cookie;

    if (!effects_stored(node->effects, result->tag, &owner, &cookie))
        return;
    node_keep_note(node, result);
    if (result->tells_unfinished)
        node->unfinished = result->unfinished;
    switch (owner) {
    case OWNER_OUTBOX:
        outbox_stored(node->outbox, cookie, result, node->now);
        break;
    case OWNER_INBOX:
        inbox_stored(node->inbox, cookie, result, node->now);
        break;
    case OWNER_POOL:
        pool_stored(node->pool, result, node->now.mono);
        break;
    case OWNER_QUERY:
        node_query_stored(node, cookie, result);
        break;
    case OWNER_NODE:
        node_kept(node, cookie, result);
        break;
    }
}

/* ---- Time ---- */

static void tick_chores(struct node *node) {
    if (!mono_is_due(node->minute, node->now.mono))
        return;
    node->minute = mono_add(node->now.mono, 30 * US_PER_S);
    if (identity_advance(node->identity, node->now.wall))
        publisher_change(&node->publisher);
    node_keep_mail_key(node);
    node_news_tell_doubled(node);
    node_peel_advance(node);
    directory_look_around(node->directory, node->now.wall);
    if (directory_expire(node->directory, node->now.wall) > 0)
        pool_news(node->pool);
    if (node->now.mono.us - node->started.us > US_PER_MINUTE &&
        wall_minute(node->now.wall) % 10 == 0) /* every ten minutes, not at the start */
        node_clock_sweep(node);
}

static struct mono next_chores(const struct node *node) {
    return node->minute;
}

static void tick_links(struct node *node) {
    links_tick(node->links, node->machine);
    node_links_drain(node);
}

static struct mono next_links(const struct node *node) {
    return links_next(node->links);
}

static void tick_pool(struct node *node) {
    pool_tick(node->pool, node->machine);
}

static struct mono next_pool(const struct node *node) {
    return pool_next(node->pool);
}

static void tick_gossip(struct node *node) {
    gossip_tick(node->gossip, node->now);
}

static struct mono next_gossip(const struct node *node) {
    return gossip_next(node->gossip);
}

static void tick_relay(struct node *node) {
    relay_tick(node->relay, node->now.mono);
}

static struct mono next_relay(const struct node *node) {
    return relay_next(node->relay);
}

static void tick_mailbox(struct node *node) {
    node_take_deposits(node);
    if (mailbox_tick(node->mailbox, node->now.mono))
        publisher_change(&node->publisher);
}

static struct mono next_mailbox(const struct node *node) {
    return mailbox_next(node->mailbox);
}

static void tick_settle(struct node *node) {
    node_settle_tick(node, serve_settled);
}

static void tick_outbox(struct node *node) {
    outbox_tick(node->outbox, node->now);
}

static struct mono next_outbox(const struct node *node) {
    return outbox_next(node->outbox);
}

/* Carry messages to ourselves from the outbox to the inbox, and their outcomes back. */
static void carry_local(struct node *node) {
    struct parcel_item item;
    struct message_id id;
    int error;

    while (outbox_local(node->outbox, &item)) {
        id = item.id;
        error = inbox_local(node->inbox, &item, &node->address, node->config.name, node->now.wall);
        if (error != 0)
            outbox_local_done(node->outbox, &id, error, node->now);
    }
    while (inbox_local_done(node->inbox, &id, &error))
        outbox_local_done(node->outbox, &id, error, node->now);
}

static void tick_inbox(struct node *node) {
    inbox_tick(node->inbox, node->now);
    carry_local(node);
    inbox_flush(node->inbox, node->now);
}

static struct mono next_inbox(const struct node *node) {
    return inbox_next(node->inbox);
}

static void tick_cells(struct node *node) {
    node_links_drain(node);
    links_flush(node->links, node->now.mono);
}

static struct mono next_never(const struct node *node) {
    (void)node;
    return MONO_NEVER;
}

/* The turns of a step, after its event. `next` says when a step is to come though there is no
 * event. The order is part of the contract: effects come out in it, and the simulator's seeds hold
 * to it. A turn stands behind those whose work of this very step it needs. */
static const struct turn {
    void (*tick)(struct node *node);
    struct mono (*next)(const struct node *node);
} turns[] = {
    /* Keys of a new hour and nodes that are forgotten: first, since all others go by them. */
    {tick_chores, next_chores},
    /* Which neighbours may be sent through, as event and chores have left it: before any path is
     * drawn. */
    {node_routes_follow, next_never},
    /* Links that fall silent or come up: before the rooms that go by them. */
    {tick_links, next_links},
    /* The clock's correction, if it had to wait: before a descriptor is signed by the clock. */
    {node_correct_tick, node_correct_next},
    /* Our descriptor: behind the links, which it names, and before gossip, which carries it. */
    {node_self_tick, node_self_next},
    /* Dials where links are lacking: behind the links, of which it counts those that stand. */
    {tick_pool, next_pool},
    /* Announcements: behind all that makes news in this step. */
    {tick_gossip, next_gossip},
    /* Others' packets that waited for relay.rate: before our own, which came later. */
    {tick_relay, next_relay},
    /* Pings that nobody answered: behind routes and links, since a path is drawn. */
    {node_ping_tick, node_ping_next},
    /* Mail kept for others: behind the event, which may have ended the storing of some: it is
     * confirmed in this step. */
    {tick_mailbox, next_mailbox},
    /* Pushes whose destination is settled now: before the outbox, which takes them. */
    {tick_settle, node_settle_next},
    /* Messages that wait for a route, if routes have changed: before the outbox, which draws. */
    {node_routes_retry, node_routes_next},
    /* Our own messages: behind all that may have made one due. */
    {tick_outbox, next_outbox},
    /* Messages to ourselves: behind the outbox. Then the receipts of the whole step, so that those
     * for one sender share an onion. */
    {tick_inbox, next_inbox},
    /* The doctor, while it has something to look at: behind what the step has changed. */
    {serve_doctor_tick, serve_doctor_next},
    /* Cells: last, so that the frames of all rooms share them. */
    {tick_cells, next_never},
};
#define TURNS (sizeof turns / sizeof *turns)

static void tick(struct node *node) {
    for (size_t i = 0; i < TURNS; i++)
        turns[i].tick(node);
}

static struct mono next_wake(const struct node *node) {
    struct mono next = MONO_NEVER;

    for (size_t i = 0; i < TURNS; i++)
        next = mono_min(next, turns[i].next(node));
    return next;
}

/* ---- Events ---- */

static void take_event(struct node *node, const struct node_event *event) {
    switch (event->kind) {
    case EVENT_TIMER:
        break;
    case EVENT_DATAGRAMS:
        take_datagrams(node, event->datagrams.v, event->datagrams.n);
        break;
    case EVENT_REQUEST:
        serve_request(node, &event->request);
        break;
    case EVENT_CLIENT_GONE:
        serve_client_gone(node, event->client);
        break;
    case EVENT_STORED:
        for (size_t i = 0; i < event->stored.n; i++)
            take_result(node, &event->stored.v[i]);
        break;
    case EVENT_BOOTSTRAP:
        pool_add_bootstrap(node->pool, &event->bootstrap, node->now.mono);
        break;
    case EVENT_RECONFIGURE:
        node_reconfigure(node, event->config);
        break;
    case EVENT_LEAVE:
        node->leaving = true;
        node_clock_leave(node);
        pool_leave(node->pool, node->now.mono);
        break;
    case EVENT_NETWORK_CHANGED:
        links_probe_all(node->links, node->now.mono);
        break;
    case EVENT_MACHINE:
        node->machine_findings[event->machine.topic] = *event->machine.finding;
        break;
    }
}

/* Somebody set the machine's clock, or the machine slept while its monotonic clock stood still:
 * what the neighbours told is relative to the old time. The correction takes up the step, so that
 * our corrected time goes on as before. */
static void follow_clock(struct node *node, struct now now) {
    int64_t step = (now.wall.us - node->machine.wall.us) - (now.mono.us - node->now.mono.us);

    node_set_time(node, now);
    if (llabs(step) < STEP_US)
        return;
    links_clock_stepped(node->links, step, now.mono);
    node_correct_stepped(node, step);
}

void node_step(struct node *node, const struct node_event *event, struct node_update *update) {
    effects_clear(node->effects);
    follow_clock(node, event->now);
    node_clock_tick(node);
    directory_settle(node->directory, node->now.mono);
    if (directory_follow(node->directory, node->now.mono))
        /* The number of links that the pool aims at depends on the number of nodes. */
        pool_news(node->pool);
    if (!node->self.was_signed)
        node_self_sign(node); /* handshakes carry it from the first datagram on */
    take_event(node, event);
    tick(node);
    update->datagrams = effects_datagrams(node->effects, &update->n_datagrams);
    update->ops = effects_ops(node->effects, &update->n_ops);
    update->answers = effects_answers(node->effects, &update->n_answers);
    for (size_t i = 0; i < update->n_answers; i++)
        if (update->answers[i].end)
            serve_answered(node, update->answers[i].client);
    budget_part_set(&node->effects_memory,
                    effects_memory(node->effects) + links_memory(node->links));
    budget_trim(&node->budget);
    update->wake = node->leaving ? MONO_NEVER : next_wake(node);
    node->counters.datagrams_out += update->n_datagrams;
}

const struct node_id *node_id(const struct node *node) {
    return identity_id(node->identity);
}

size_t node_neighbours(const struct node *node, uint64_t ret_prefixes[TOPOLOGY_DEGREE_MAX + 2]) {
    size_t n = 0;
    for (unsigned slot = 0; slot < LINK_SLOTS && n < TOPOLOGY_DEGREE_MAX + 2; slot++) {
        const struct link_view *link = links_at(node->links, slot);
        if (link && link->state != LINK_PROBATION)
            ret_prefixes[n++] = link->prefix;
    }
    return n;
}
