/* The composition: routes each event to the room it belongs to and carries the word between rooms
 * of one floor. */
#include "daemon/core/node/node_private.h"

#include <sodium.h>
#include <stdlib.h>

/* A message id is remembered beyond the time for which its sender may try: clocks differ. */
#define STEP_US US_PER_S /* slewing is slower */
#define TOMBSTONE_US (24 * US_PER_HOUR)

void node_config_init(struct node_config *config) {
    *config = (struct node_config){
        .relay = true,
        .pool_min = 4,
        .pool_max = 16,
        .pool_spare = 64,
        .link_heartbeat_us = 10 * US_PER_S,
        .link_timeout_us = 30 * US_PER_S,
        .route_relays = 3,
        .route_guards = 3,
        .route_reuse = true,
        .relay_paths = 16000,
        .directory_max = 20000,
        .memory_max = 64u << 20,
        .droplist_entries = 1u << 20,
        .delivery_expire_us = 7 * 24 * US_PER_HOUR,
        .store_retention_us = 7 * 24 * US_PER_HOUR,
        .message_max = 16u << 20,
        .inbox_accept = INBOX_ALL,
        .files_accept = FILES_ALL,
        .inbox_quota = UINT64_C(1) << 30,
        .inbox_max = UINT64_C(8) << 30,
        .files_quota = UINT64_C(16) << 30,
        .files_max = UINT64_C(64) << 30,
        .mailbox_use = 2,
    };
}

static bool make_low_rooms(struct node *node, const struct node_config *config) {
    struct links_config links = {.heartbeat_us = config->link_heartbeat_us,
                                 .timeout_us = config->link_timeout_us,
                                 .effects = node->effects,
                                 .random = &node->config.random,
                                 .trace = &node->config.trace,
                                 .compute = config->compute};
    struct path_config paths = {config->route_relays, config->route_guards, config->route_strict,
                                !config->route_reuse};

    node->identity = identity_new(config->node_seed, config->link_secret, &node->config.random);
    if (!node->identity)
        return false;
    memcpy(links.network_key, config->network_key, KEY_LEN);
    links.identity = node->identity;
    node->links = links_new(&links);
    sodium_memzero(&links, sizeof links);
    node->directory =
        directory_new(identity_id(node->identity), config->directory_max, &node->config.random);
    node->droplist = droplist_new(config->droplist_entries, &node->config.random);
    if (!node->links || !node->directory || !node->droplist)
        return false;
    node->paths = paths_new(&paths, node->directory, &node->config.random);
    return node->paths != NULL;
}

static struct inbox_limits limits_of(const struct node_config *config) {
    return (struct inbox_limits){.message_max = config->message_max,
                                 .tombstone_us = TOMBSTONE_US,
                                 .retention_us = config->store_retention_us,
                                 .messages_sender = config->inbox_quota,
                                 .messages_all = config->inbox_max,
                                 .files_sender = config->files_quota,
                                 .files_all = config->files_max,
                                 .messages_free = config->inbox_free,
                                 .files_free = config->files_free};
}

static bool has_written(const void *context, const struct node_id *id) {
    const struct node *node = context;
    return outbox_has_written(node->outbox, id);
}

static bool make_policy(struct node *node, const struct node_config *config,
                        const struct node_boot *boot) {
    struct policy_config policy = {.directory = node->directory,
                                   .random = &node->config.random,
                                   .has_written = has_written,
                                   .context = node,
                                   .inbox = config->inbox_accept,
                                   .files = config->files_accept};
    node->policy = policy_new(&policy, boot->rules, boot->n_rules);
    return node->policy != NULL;
}

static bool make_conversations(struct node *node, const struct node_config *config,
                               const struct node_boot *boot) {
    struct outbox_config outbox = {.identity = node->identity,
                                   .directory = node->directory,
                                   .paths = node->paths,
                                   .links = node->links,
                                   .effects = node->effects,
                                   .budget = &node->budget,
                                   .random = config->random,
                                   .trace = config->trace,
                                   .message_max = config->message_max,
                                   .expire_us = config->delivery_expire_us,
                                   .retention_us = config->store_retention_us};
    struct inbox_config inbox = {.identity = node->identity,
                                 .directory = node->directory,
                                 .paths = node->paths,
                                 .links = node->links,
                                 .effects = node->effects,
                                 .budget = &node->budget,
                                 .random = config->random,
                                 .policy = node->policy,
                                 .share = &node->share_in,
                                 .limits = limits_of(config),
                                 .waiting = boot->inbox_waiting};
    node->outbox = outbox_new(&outbox, boot, node->now);
    node->inbox = inbox_new(&inbox);
    node->gossip = gossip_new(node->directory, node->links, &node->config.random);
    struct mailbox_config mailbox = {.identity = node->identity,
                                     .directory = node->directory,
                                     .links = node->links,
                                     .budget = &node->budget,
                                     .share = &node->share_in,
                                     .random = config->random,
                                     .size = config->mailbox_size,
                                     .use = config->mailbox_use};
    node->mailbox = mailbox_new(&mailbox);
    node->relay = relay_new(config->relay_rate, config->relay_month, node->links, &node->budget);
    return node->outbox && node->inbox && node->gossip && node->mailbox && node->relay;
}

static bool make_pool(struct node *node, const struct node_config *config,
                      const struct node_boot *boot) {
    struct pool_config pool = {.min = config->pool_min,
                               .max = config->pool_max,
                               .spare = config->pool_spare,
                               .relays = config->route_relays,
                               .links = node->links,
                               .directory = node->directory,
                               .paths = node->paths,
                               .effects = node->effects,
                               .random = &node->config.random,
                               .trace = &node->config.trace};
    node->pool = pool_new(&pool, boot, config->bootstrap, config->n_bootstrap, node->now.mono);
    return node->pool != NULL;
}

/* How long a mail key is kept beyond the next one: as long as senders are taken to try, and a
 * day. */
static uint32_t mail_days(const struct node_config *config) {
    int64_t day_us = 24 * US_PER_HOUR, days = (config->delivery_expire_us + day_us - 1) / day_us;
    return days < MAIL_DAYS_MAX ? (uint32_t)days + 1 : MAIL_DAYS_MAX + 1;
}

static void set_time(struct node *node, struct now now) {
    node->now.mono = now.mono;
    node->machine = now;
    node->now.wall = (struct wall){now.wall.us + node->correction_us};
}

struct node *node_new(const struct node_config *config, const struct node_boot *boot,
                      struct now now) {
    struct node *node = calloc(1, sizeof *node);
    if (!node)
        return NULL;
    node->config = *config;
    node->config.advertise = node->advertise;
    for (size_t i = 0; i < config->n_advertise && i < ADVERTISE_MAX; i++)
        node->advertise[i] = config->advertise[i];
    if (node->config.n_advertise > ADVERTISE_MAX)
        node->config.n_advertise = ADVERTISE_MAX;
    sodium_memzero(node->config.node_seed, sizeof node->config.node_seed);
    sodium_memzero(node->config.link_secret, sizeof node->config.link_secret);
    sodium_memzero(node->config.network_key, sizeof node->config.network_key);
    set_time(node, now);
    node->started = node->publisher.started = node->minute = now.mono;
    node->heard = now.mono;
    TAILQ_INIT(&node->queries);
    TAILQ_INIT(&node->settling);
    node->settle_due = MONO_NEVER;
    node->publisher.sequence = boot->sequence;
    sequences_add(&node->publisher.had, boot->sequence);
    node->unfinished = boot->unfinished;
    budget_init(&node->budget, config->memory_max);
    share_init(&node->share, config->relay_paths);
    share_init(&node->share_in, config->relay_paths);
    ration_init(&node->ration);
    node->effects = effects_new();
    node->peelings = sodium_malloc(NODE_BATCH * sizeof *node->peelings);
    if (!node->effects || !node->peelings || !make_low_rooms(node, config) ||
        !make_policy(node, config, boot) || !make_conversations(node, config, boot) ||
        !make_pool(node, config, boot)) {
        node_free(node);
        return NULL;
    }
    for (size_t i = 0; i < boot->n_nodes; i++)
        directory_restore(node->directory, boot->nodes[i].bytes, boot->nodes[i].length,
                          boot->nodes[i].pinned, &boot->nodes[i].pin, now.wall);
    identity_mail_keep(node->identity, mail_days(config));
    for (size_t i = 0; i < boot->n_mail_keys; i++)
        identity_mail_load(node->identity, boot->mail_keys[i].day, boot->mail_keys[i].secret);
    node_clock_init(node, boot);
    identity_advance(node->identity, node->now.wall);
    return node;
}

void node_free(struct node *node) {
    enum store_owner owner;
    uint64_t cookie;

    if (!node)
        return;
    while (node->effects && effects_abandon(node->effects, &owner, &cookie))
        if (owner == OWNER_NODE)
            node_stored(node, cookie);
    node_queries_deinit(node);
    node_settle_deinit(node);
    pool_free(node->pool);
    relay_free(node->relay);
    gossip_free(node->gossip);
    inbox_free(node->inbox);
    outbox_free(node->outbox);
    mailbox_free(node->mailbox);
    policy_free(node->policy);
    paths_free(node->paths);
    droplist_free(node->droplist);
    directory_free(node->directory);
    links_free(node->links);
    identity_free(node->identity);
    sodium_free(node->peelings);
    effects_free(node->effects);
    free(node);
}

/* ---- Datagrams ---- */

static enum drop take_gossip(struct node *node, const struct link_frame *frame, uint64_t from) {
    const struct directory_entry *news = NULL;
    enum drop drop = gossip_frame(node->gossip, from, (uint8_t)frame->type, frame->body,
                                  frame->length, node->now, &news);
    if (news)
        node_news(node, news, from);
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

void node_count(struct node *node, enum drop drop) {
    struct counters *counters = &node->counters;

    if (drop == DROP_NONE)
        return;
    counters->drops[drop]++;
    counters->duplicates_dropped += drop == DROP_DUPLICATE || drop == DROP_REPLAY;
    counters->malformed_dropped += drop == DROP_MALFORMED || drop == DROP_VERSION ||
                                   drop == DROP_MAC || drop == DROP_AUTH || drop == DROP_UNKNOWN ||
                                   drop == DROP_TIME;
    counters->no_route_dropped += drop == DROP_NO_ROUTE || drop == DROP_NOT_RELAY;
    counters->queue_dropped += drop == DROP_QUEUE || drop == DROP_LIMIT;
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
        node_drain_links(node);
    }
    node_count(node, drop);
    node_drain_links(node);
}

/* What can be computed for all of a batch is, in three goes: cells opened, onions peeled, and at
 * the end of the step cells sealed. Between them each datagram has its turn, in order. */
static void take_datagrams(struct node *node, const struct datagram *datagrams, size_t n) {
    struct link_opening openings[NODE_BATCH];

    for (size_t done = 0, batch; done < n; done += batch) {
        batch = n - done < NODE_BATCH ? n - done : NODE_BATCH;
        links_open(node->links, datagrams + done, batch, openings);
        for (size_t i = 0; i < batch; i++)
            take_datagram(node, &datagrams[done + i], &openings[i]);
        node_peel(node);
        node_drain_links(node);
    }
}

/* ---- Results of the store ---- */

static void take_result(struct node *node, const struct store_result *result) {
    enum store_owner owner;
    uint64_t cookie;

    if (!effects_stored(node->effects, result->tag, &owner, &cookie))
        return;
    node_note_store(node, result);
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
        if (result->kind == STORE_MAIL_KEY)
            node_mail_key_stored(node, result->error);
        node_stored(node, cookie);
        break;
    }
}

/* ---- Time ---- */

void node_sweep(struct node *node) {
    struct store_op op = {.kind = STORE_SWEEP,
                          .sweep = {node->clock.swept, node->config.store_retention_us}};
    effects_store(node->effects, &op, OWNER_NODE, 0);
}

static void do_chores(struct node *node) {
    if (!mono_is_due(node->minute, node->now.mono))
        return;
    node->minute = mono_add(node->now.mono, 30 * US_PER_S);
    if (identity_advance(node->identity, node->now.wall))
        node->publisher.dirty = true;
    node_store_mail_key(node);
    node_tell_doubled(node);
    node_advance_droplist(node);
    directory_look_around(node->directory, node->now.wall);
    if (directory_expire(node->directory, node->now.wall) > 0)
        pool_news(node->pool);
    if (node->now.mono.us - node->started.us > US_PER_MINUTE &&
        wall_minute(node->now.wall) % 10 == 0) /* every ten minutes, not at the start */
        node_sweep(node);
}

static void take_local(struct node *node) {
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

/* Routes have changed somewhere: those who wait for one are tried. Once a second at most, and only
 * while somebody waits. */
static void kick_waiting(struct node *node) {
    uint64_t generation = topology_generation(directory_topology(node->directory));

    if (generation == node->kicked_generation || outbox_pending(node->outbox) == 0 ||
        node->now.mono.us - node->kicked.us < US_PER_S)
        return;
    node->kicked_generation = generation;
    node->kicked = node->now.mono;
    outbox_kick(node->outbox, NULL, node->now.mono);
}

static void tick(struct node *node) {
    do_chores(node);
    node_follow_routes(node);
    links_tick(node->links, node->machine);
    node_drain_links(node);
    node_publish(node);
    pool_tick(node->pool, node->machine);
    gossip_tick(node->gossip, node->now);
    relay_tick(node->relay, node->now.mono);
    node_ping_tick(node);
    node_take_deposits(node);
    if (mailbox_tick(node->mailbox, node->now.mono))
        node->publisher.dirty = true;
    node_settle_tick(node);
    kick_waiting(node);
    outbox_tick(node->outbox, node->now);
    inbox_tick(node->inbox, node->now);
    take_local(node);
    inbox_flush(node->inbox, node->now);
    node_drain_links(node);
    links_flush(node->links, node->now.mono);
}

static struct mono next_wake(const struct node *node) {
    struct mono next = node->minute;

    next = mono_min(next, links_next(node->links));
    next = mono_min(next, node_publish_next(node));
    next = mono_min(next, pool_next(node->pool));
    next = mono_min(next, gossip_next(node->gossip));
    next = mono_min(next, relay_next(node->relay));
    next = mono_min(next, node_ping_next(node));
    next = mono_min(next, mailbox_next(node->mailbox));
    next = mono_min(next, node->settle_due);
    next = mono_min(next, outbox_next(node->outbox));
    if (outbox_pending(node->outbox) > 0 &&
        node->kicked_generation != topology_generation(directory_topology(node->directory)))
        next = mono_min(next, mono_add(node->kicked, US_PER_S));
    if (outbox_pending(node->outbox) > 0) /* whoever waits for a route may get one */
        next = mono_min(next, directory_settle_due(node->directory));
    return mono_min(next, inbox_next(node->inbox));
}

static void reconfigure(struct node *node, const struct node_config *config) {
    struct path_config paths = {config->route_relays, config->route_guards, config->route_strict,
                                !config->route_reuse};

    node->config.trace.level = config->trace.level;
    node->config.store_retention_us = config->store_retention_us;
    node->config.message_max = config->message_max;
    node->config.route_relays = config->route_relays;
    if (node->config.relay != config->relay) {
        node->config.relay = config->relay;
        node->publisher.dirty = node->publisher.pressing = true;
    }
    if ((node->config.mailbox_size > 0) != (config->mailbox_size > 0))
        node->publisher.dirty = node->publisher.pressing = true;
    node->config.mailbox_size = config->mailbox_size;
    mailbox_configure(node->mailbox, config->mailbox_size, config->mailbox_use);
    identity_mail_keep(node->identity, mail_days(config));
    node->budget.max = config->memory_max;
    links_configure(node->links, config->link_heartbeat_us, config->link_timeout_us);
    paths_configure(node->paths, &paths);
    share_configure(&node->share, config->relay_paths);
    share_configure(&node->share_in, config->relay_paths);
    relay_configure(node->relay, config->relay_rate, config->relay_month);
    outbox_configure(node->outbox, config->message_max, config->delivery_expire_us,
                     config->store_retention_us);
    struct inbox_limits limits = limits_of(config);
    inbox_configure(node->inbox, &limits);
    policy_configure(node->policy, config->inbox_accept, config->files_accept);
}

static void take_event(struct node *node, const struct node_event *event) {
    switch (event->kind) {
    case EVENT_TIMER:
        break;
    case EVENT_DATAGRAMS:
        take_datagrams(node, event->datagrams.v, event->datagrams.n);
        break;
    case EVENT_REQUEST:
        node_request(node, &event->request);
        break;
    case EVENT_CLIENT_GONE:
        node_client_gone(node, event->client);
        break;
    case EVENT_STORED:
        for (size_t i = 0; i < event->stored.n; i++)
            take_result(node, &event->stored.v[i]);
        break;
    case EVENT_BOOTSTRAP:
        pool_add_bootstrap(node->pool, &event->bootstrap, node->now.mono);
        break;
    case EVENT_RECONFIGURE:
        reconfigure(node, event->config);
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

/* Somebody set the machine's clock, or it slept where its monotonic clock sleeps too: what the
 * neighbours told is relative to the old time. Corrected time goes on as it was. */
static void follow_clock(struct node *node, struct now now) {
    int64_t step = (now.wall.us - node->machine.wall.us) - (now.mono.us - node->now.mono.us);

    set_time(node, now);
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
        pool_news(node->pool); /* its aim grows with them */
    if (!node->publisher.signed_once)
        node_sign(node); /* handshakes carry it from the first datagram on */
    take_event(node, event);
    tick(node);
    update->datagrams = effects_datagrams(node->effects, &update->n_datagrams);
    update->ops = effects_ops(node->effects, &update->n_ops);
    update->answers = effects_answers(node->effects, &update->n_answers);
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
