/* Makes the node's rooms and joins them, gives them another configuration, and ends them. */
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/query.h"
#include "daemon/core/node/serve.h"

#include <sodium.h>

/* A message's id is remembered so much longer than its sender may retry, since clocks differ. */
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
    node->courier = (struct courier){.paths = node->paths, .links = node->links};
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
                                   .courier = &node->courier,
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
                                 .courier = &node->courier,
                                 .effects = node->effects,
                                 .budget = &node->budget,
                                 .random = config->random,
                                 .policy = node->policy,
                                 .share = &node->share_in,
                                 .limits = limits_of(config),
                                 .waiting = boot->inbox_waiting};
    node->outbox = outbox_new(&outbox, boot, node->now);
    node->inbox = inbox_new(&inbox);
    node->gossip = gossip_new(node->directory, node->links, &node->budget, &node->config.random);
    struct mailbox_config mailbox = {.identity = node->identity,
                                     .directory = node->directory,
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

/* For how many days a mail key is kept beyond the next one: as long as senders are assumed to retry
 * (our own delivery.expire), and one day more. */
static uint32_t mail_days(const struct node_config *config) {
    int64_t day_us = 24 * US_PER_HOUR, days = (config->delivery_expire_us + day_us - 1) / day_us;
    return days < MAIL_DAYS_MAX ? (uint32_t)days + 1 : MAIL_DAYS_MAX + 1;
}

void node_set_time(struct node *node, struct now now) {
    node->now.mono = now.mono;
    node->machine = now;
    node->now.wall = (struct wall){now.wall.us + node->correction.us};
}

static void bound_effects(struct node *node) {
    effects_bound(node->effects, node->budget.max / 100 * EFFECTS_MEMORY_PERCENT / DATAGRAM_LEN);
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
    node_set_time(node, now);
    node->started = node->publisher.started = node->minute = now.mono;
    node->heard = now.mono;
    clients_init(&node->clients);
    node->settling.due = MONO_NEVER;
    node->self.sequence = boot->sequence;
    sequences_add(&node->self.had, boot->sequence);
    node->unfinished = boot->unfinished;
    budget_init(&node->budget, config->memory_max);
    share_init(&node->share, config->relay_paths);
    share_init(&node->share_in, config->relay_paths);
    ration_init(&node->ration);
    node->effects = effects_new();
    budget_part_init(&node->effects_memory, &node->budget, BUDGET_EFFECTS, EFFECTS_MEMORY_PERCENT);
    if (node->effects)
        bound_effects(node);
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
            node_keep_abandon(cookie);
        else if (owner == OWNER_QUERY)
            node_query_abandon(node, cookie);
    serve_deinit(node);
    free(node->doctor);
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

void node_reconfigure(struct node *node, const struct node_config *config) {
    struct path_config paths = {config->route_relays, config->route_guards, config->route_strict,
                                !config->route_reuse};

    node->config.trace.level = config->trace.level;
    node->config.store_retention_us = config->store_retention_us;
    node->config.message_max = config->message_max;
    node->config.route_relays = config->route_relays;
    if (node->config.relay != config->relay) {
        node->config.relay = config->relay;
        publisher_press(&node->publisher);
    }
    if ((node->config.mailbox_size > 0) != (config->mailbox_size > 0))
        publisher_press(&node->publisher);
    node->config.mailbox_size = config->mailbox_size;
    mailbox_configure(node->mailbox, config->mailbox_size, config->mailbox_use);
    identity_mail_keep(node->identity, mail_days(config));
    node->budget.max = config->memory_max;
    bound_effects(node);
    gossip_refit(node->gossip); /* the outbox does so below */
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
