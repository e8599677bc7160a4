/* Requests of clients: destinations resolved, reports made; what is owed and what was got is handed
 * to the rooms that know. */
#include "daemon/core/node/node_private.h"

#include <stdio.h>
#include <stdlib.h>

#define SAMPLES_MAX 64

/* ---- Destinations ---- */

static void report_node(const struct node *node, const struct directory_entry *entry,
                        struct node_report *report) {
    struct descriptor descriptor;
    const struct link_view *link = links_find(node->links, entry->prefix);

    directory_descriptor(entry, &descriptor);
    report->id = entry->id;
    report->address = directory_address(node->directory, entry);
    memcpy(report->name, descriptor.name, sizeof report->name);
    report->relay = entry->relay;
    report->pinned = entry->pinned;
    report->neighbour = link && link->state != LINK_PROBATION;
    report->live = report->neighbour || directory_is_up(node->directory, entry);
    report->last_seen = entry->last_seen;
    if (report->neighbour)
        report->last_seen.us = node->now.wall.us - (node->now.mono.us - link->heard.us);
    if (report->last_seen.us > node->now.wall.us) /* its clock was ahead when it signed */
        report->last_seen = node->now.wall;
}

static void answer_candidates(struct node *node, uint64_t client, enum answer_code code,
                              const struct node_id *ids, size_t n, const char *text) {
    struct node_report *reports = effects_scratch(node->effects, n * sizeof *reports);
    struct answer answer = {.client = client, .kind = ANSWER_NODES, .code = code, .end = true};
    size_t filled = 0;

    for (size_t i = 0; reports && i < n; i++) {
        const struct directory_entry *entry = directory_find(node->directory, &ids[i]);
        if (entry)
            report_node(node, entry, &reports[filled++]);
    }
    answer.nodes.v = reports;
    answer.nodes.n = filled;
    snprintf(answer.text, sizeof answer.text, "%s", text);
    effects_answer(node->effects, &answer);
}

/* A name as it was typed, what is not plain ASCII as \xNN: terminals obey some of the rest. */
static void escape_name(const char *name, char *text, size_t room) {
    size_t n = 0;
    for (const char *at = name; *at && n + 5 <= room; at++)
        n += (size_t)snprintf(text + n, room - n, *at > ' ' && *at < 0x7f ? "%c" : "\\x%02x",
                              (unsigned char)*at);
    text[n < room ? n : room - 1] = 0;
}

static void describe_destination(const struct destination *destination, char text[160]) {
    char address[ADDRESS_TEXT_MAX], name[4 * NODE_NAME_MAX + 1] = "";
    switch (destination->kind) {
    case DEST_ADDRESS:
        address_format(&destination->address, true, address);
        snprintf(text, 160, "at %s", address);
        break;
    case DEST_NAME:
        escape_name(destination->name, name, sizeof name);
        snprintf(text, 160, "named %s", name);
        break;
    case DEST_ID:
    case DEST_PREFIX: {
        char digits[2 * NODE_ID_LEN + 1];
        size_t n = destination->kind == DEST_ID ? 2 * NODE_ID_LEN : destination->n_digits;
        for (size_t i = 0; i < NODE_ID_LEN; i++)
            snprintf(digits + 2 * i, 3, "%02x", destination->id[i]);
        snprintf(text, 160, "with the id %.*s", (int)n, digits);
        break;
    }
    }
}

void node_answer_unknown(struct node *node, uint64_t client,
                         const struct destination *destination) {
    char text[160];
    describe_destination(destination, text);
    effects_answer_text(node->effects, client, ANSWER_UNKNOWN,
                        "no node %s is known (see p2pctl nodes)", text);
}

/* Why it is not one node: what the client is told. */
static void answer_unresolved(struct node *node, uint64_t client,
                              const struct destination *destination, enum resolve_outcome outcome,
                              const struct node_id *ids, size_t n) {
    switch (outcome) {
    case RESOLVE_ONE:
    case RESOLVE_SELF:
        break;
    case RESOLVE_NONE:
        node_answer_unknown(node, client, destination);
        break;
    case RESOLVE_UNCONFIRMED:
        answer_candidates(node, client, ANSWER_UNKNOWN, ids, n,
                          "a node claims that address, but nobody answers there and no witnesses "
                          "that count confirm it: if it is the right one, use its id");
        break;
    case RESOLVE_AMBIGUOUS:
        answer_candidates(node, client, ANSWER_UNKNOWN, ids, n,
                          "several nodes are meant: name one by its id");
        break;
    case RESOLVE_KEY_CHANGED:
        answer_candidates(node, client, ANSWER_KEY_CHANGED, ids, n,
                          "the key at that address has changed since it was first used. If that is "
                          "right (a new machine, a new installation): p2pctl trust ADDRESS");
        break;
    }
}

bool node_resolve(struct node *node, uint64_t client, const struct destination *destination,
                  struct node_id *ret_id) {
    struct node_id ids[DIRECTORY_CANDIDATES_MAX];
    size_t n = 0;
    enum resolve_outcome outcome = directory_resolve(node->directory, destination, ids, &n);

    if (outcome == RESOLVE_ONE || outcome == RESOLVE_SELF) {
        *ret_id = outcome == RESOLVE_SELF ? *node_id(node) : ids[0];
        return true;
    }
    answer_unresolved(node, client, destination, outcome, ids, n);
    return false;
}

/* Nobody has answered there: of those who claim it and are confirmed the one for whom good
 * witnesses speak. */
static enum resolve_outcome resolve_vouched(struct node *node,
                                            const struct destination *destination,
                                            struct node_id ids[DIRECTORY_CANDIDATES_MAX],
                                            size_t *ret_n) {
    struct node_id vouched[DIRECTORY_CANDIDATES_MAX];
    enum resolve_outcome outcome = directory_resolve(node->directory, destination, ids, ret_n);

    if (destination->kind != DEST_ADDRESS || outcome == RESOLVE_NONE || outcome == RESOLVE_SELF ||
        outcome == RESOLVE_KEY_CHANGED)
        return outcome;
    size_t n = node_settle_vouched(node, &destination->address, vouched);
    if (n == 0)
        return outcome == RESOLVE_ONE ? RESOLVE_UNCONFIRMED : outcome;
    memcpy(ids, vouched, n * sizeof *ids);
    *ret_n = n;
    return n == 1 ? RESOLVE_ONE : RESOLVE_AMBIGUOUS;
}

/* To whom something is sent. *ret_proven: by a pin or a handshake, so that an address may be bound
 * to the key. */
static bool resolve_recipient(struct node *node, uint64_t client,
                              const struct destination *destination, struct node_id *ret_id,
                              bool *ret_proven) {
    struct node_id ids[DIRECTORY_CANDIDATES_MAX];
    size_t n = 0;
    enum resolve_outcome outcome =
        directory_resolve_proven(node->directory, destination, node->now.mono, ids, &n);

    *ret_proven = outcome == RESOLVE_ONE;
    if (outcome == RESOLVE_NONE)
        outcome = resolve_vouched(node, destination, ids, &n);
    if (outcome == RESOLVE_ONE || outcome == RESOLVE_SELF) {
        *ret_id = outcome == RESOLVE_SELF ? *node_id(node) : ids[0];
        return true;
    }
    answer_unresolved(node, client, destination, outcome, ids, n);
    return false;
}

void node_remember(struct node *node, const struct destination *destination,
                   const struct node_id *id, bool proven) {
    const struct directory_entry *entry = directory_find(node->directory, id);
    if (!entry)
        return; /* ourselves */
    bool pin = proven && destination->kind == DEST_ADDRESS && !entry->pinned, keep = !entry->kept;
    if (pin)
        directory_pin(node->directory, id, &destination->address);
    directory_keep(node->directory, id);
    if (pin || keep)
        node_store_entry(node, directory_find(node->directory, id));
}

/* In a small network routes are shorter than configured: whoever sends is told. Looked up only
 * where that can be. */
#define SMALL_NETWORK 32
static const char *notice_of(struct node *node, uint8_t relays, bool strict,
                             const struct directory_entry *entry, char text[128]) {
    uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
    size_t n_hops;
    double choices;
    struct path_wish wish = {.relays_exact = relays, .strict = strict};

    if (!entry)
        return NULL; /* to ourselves */
    if (node_clock_is_beyond(node)) {
        int64_t error_us = links_clock_error(node->links);
        snprintf(text, 128,
                 "this machine's clock is %lld h %s the neighbours': the message waits "
                 "until it is set",
                 (long long)(llabs(error_us) / US_PER_HOUR), error_us > 0 ? "behind" : "ahead of");
        return text;
    }
    if (!directory_is_up(node->directory, entry))
        return "the destination is offline: the message waits for it";
    wish.target = entry->id;
    if (relays != RELAYS_DEFAULT || directory_reached(node->directory) >= SMALL_NETWORK ||
        path_sample(node->paths, &wish, node->now.mono, hops, &n_hops, &choices) != PATH_OK ||
        n_hops > node->config.route_relays)
        return NULL;
    snprintf(text, 128, "only %zu of %u relays: no longer route to it is known yet", n_hops - 1,
             node->config.route_relays);
    return text;
}

static void request_push(struct node *node, const struct request *request) {
    struct node_id recipient;
    char text[128];
    bool proven;

    if (!resolve_recipient(node, request->client, &request->push.to, &recipient, &proven))
        return;
    if (!request->push.check)
        node_remember(node, &request->push.to, &recipient, proven);
    const char *notice = notice_of(node, request->push.options.relays, request->push.options.strict,
                                   directory_find(node->directory, &recipient), text);
    outbox_push(node->outbox, request, &recipient, notice, node->now);
}

static void request_push_many(struct node *node, const struct request *request) {
    struct node_id recipient;
    char text[128];
    bool proven;

    if (!resolve_recipient(node, request->client, &request->push_many.to, &recipient, &proven))
        return;
    node_remember(node, &request->push_many.to, &recipient, proven);
    const char *notice =
        notice_of(node, request->push_many.options.relays, request->push_many.options.strict,
                  directory_find(node->directory, &recipient), text);
    outbox_push_many(node->outbox, request, &recipient, notice, node->now);
}

static void request_pull(struct node *node, const struct request *request) {
    struct node_id from;
    if (request->pull.from_any)
        inbox_pull(node->inbox, request, NULL);
    else if (node_resolve(node, request->client, &request->pull.from, &from))
        inbox_pull(node->inbox, request, &from);
}

/* ---- Reports ---- */

void node_status(const struct node *node, struct mono mono, struct status_report *ret) {
    struct droplist_stats droplist;
    const struct links_counters *links = links_counters(node->links);
    const struct outbox_counters *outbox = outbox_counters(node->outbox);
    struct descriptor self;
    size_t length;
    struct version version;
    const uint8_t *bytes =
        directory_bytes(node->directory, node_id_prefix(node_id(node)), &length, &version);

    *ret = (struct status_report){.id = *node_id(node),
                                  .uptime_us = mono.us - node->started.us,
                                  .pool_neighbours = links_count(node->links, true),
                                  .pool_min = node->config.pool_min,
                                  .pool_max = node->config.pool_max,
                                  .pool_spare = pool_spares(node->pool),
                                  .directory_nodes = directory_count(node->directory) + 1,
                                  .directory_relays =
                                      directory_relays(node->directory) + node->config.relay,
                                  .inbox_waiting = inbox_waiting(node->inbox),
                                  .inbox_unfinished = node->unfinished,
                                  .outbox_pending = outbox_pending(node->outbox),
                                  .clock_offset_us = node->correction_us,
                                  .clock_error_us = links_clock_error(node->links),
                                  .memory_used = node->budget.used,
                                  .memory_max = node->budget.max,
                                  .network_open = node->config.network_open,
                                  .counters = node->counters};
    ret->mail_held = outbox_mail_held(node->outbox, &ret->mail_bytes);
    ret->outbox_pending -=
        ret->mail_held < ret->outbox_pending ? ret->mail_held : ret->outbox_pending;
    ret->counters.mail_refused = mailbox_refused(node->mailbox);
    memcpy(ret->name, node->config.name, sizeof ret->name);
    if (bytes && descriptor_decode(bytes, length, &self) == DROP_NONE) {
        ret->n_addresses = self.n_addresses;
        memcpy(ret->addresses, self.addresses, sizeof self.addresses);
    }
    droplist_stats(node->droplist, &droplist);
    ret->droplist_entries = droplist.entries;
    ret->counters.handshakes = links->handshakes;
    ret->counters.share_refused = node->share.refused + node->share_in.refused;
    ret->counters.cookies_sent = links->cookies_sent;
    ret->counters.handshakes_refused = links->half_open_refused;
    ret->counters.onion_sent += outbox->onions_sent + inbox_counters(node->inbox)->onions_sent;
    ret->counters.messages_sent = outbox->messages_sent;
    ret->counters.messages_delivered = outbox->messages_delivered;
    ret->counters.retransmissions = outbox->retransmissions;
    ret->counters.pushes_refused = outbox->pushes_refused;
    ret->counters.queue_dropped += relay_dropped(node->relay);
    ret->counters.messages_received = inbox_counters(node->inbox)->messages_received;
    ret->counters.receipts_sent = inbox_counters(node->inbox)->receipts_sent;
    ret->counters.refused_blocked = inbox_counters(node->inbox)->refused_blocked;
    ret->counters.refused_unknown = inbox_counters(node->inbox)->refused_unknown;
    ret->counters.refused_quota = inbox_counters(node->inbox)->refused_quota;
    ret->counters.refused_files = inbox_counters(node->inbox)->refused_files;
    for (int i = 0; i < BUDGET_HOLDERS; i++)
        ret->counters.memory_evicted += node->budget.evicted[i];
    ret->counters.memory_refused = node->budget.refused;
}

static void request_status(struct node *node, const struct request *request) {
    struct answer answer = {
        .client = request->client, .kind = ANSWER_STATUS, .code = ANSWER_OK, .end = true};
    answer.status = effects_scratch(node->effects, sizeof *answer.status);
    if (!answer.status)
        return;
    node_status(node, node->now.mono, answer.status);
    answer.status->outbox_stranded = node_stranded(node);
    effects_answer(node->effects, &answer);
}

/* One that waits for a key that is gone would wait until it expires: its asker can do something. */
static void request_message(struct node *node, const struct request *request) {
    char notice[160] = "", at[ADDRESS_TEXT_MAX];
    struct message_report report;
    struct address address;
    const struct directory_entry *entry = outbox_look(node->outbox, &request->message.id, &report)
                                              ? directory_find(node->directory, &report.recipient)
                                              : NULL;
    if (entry && directory_successor(node->directory, entry, &address)) {
        address_format(&address, address.port != 0, at);
        snprintf(
            notice, sizeof notice,
            "its recipient is gone, and another key is at its address: p2pctl trust --resend %s",
            at);
    }
    outbox_message(node->outbox, request, notice[0] ? notice : NULL);
}

static void request_peers(struct node *node, const struct request *request) {
    struct answer answer = {
        .client = request->client, .kind = ANSWER_PEERS, .code = ANSWER_OK, .end = true};
    struct peer_report *reports = effects_scratch(node->effects, LINK_SLOTS * sizeof *reports);
    size_t n = 0;

    for (unsigned slot = 0; reports && slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(node->links, slot);
        if (!link)
            continue;
        const struct directory_entry *entry = directory_find(node->directory, &link->id);
        struct descriptor descriptor = {.name = ""};
        if (entry)
            directory_descriptor(entry, &descriptor);
        struct peer_report *report = &reports[n++];
        *report = (struct peer_report){.address = link->address,
                                       .id = link->id,
                                       .rtt_us = link->rtt_us,
                                       .since = link->since_wall,
                                       .bytes_in = link->bytes_in,
                                       .bytes_out = link->bytes_out,
                                       .dialled = link->dialled};
        report->state = link->state == LINK_UP        ? "up"
                        : link->state == LINK_SUSPECT ? "suspect"
                                                      : "connecting";
        memcpy(report->name, descriptor.name, sizeof report->name);
    }
    answer.peers.v = reports;
    answer.peers.n = n;
    effects_answer(node->effects, &answer);
}

static void report_self(const struct node *node, struct node_report *report) {
    struct status_report status;
    node_status(node, node->now.mono, &status);
    *report = (struct node_report){.id = *node_id(node),
                                   .relay = node->config.relay,
                                   .self = true,
                                   .live = true,
                                   .last_seen = node->now.wall};
    if (status.n_addresses > 0)
        report->address = status.addresses[0];
    memcpy(report->name, node->config.name, sizeof report->name);
}

static void request_nodes(struct node *node, const struct request *request) {
    size_t n = directory_known(node->directory) + 1;
    struct answer answer = {
        .client = request->client, .kind = ANSWER_NODES, .code = ANSWER_OK, .end = true};
    struct node_report *reports = effects_scratch(node->effects, n * sizeof *reports);

    if (!reports) {
        effects_answer_text(node->effects, request->client, ANSWER_LIMIT, "out of memory");
        return;
    }
    directory_look_around(node->directory, node->now.wall);
    report_self(node, &reports[0]);
    for (size_t i = 1; i < n; i++)
        report_node(node, directory_known_at(node->directory, i - 1), &reports[i]);
    answer.nodes.v = reports;
    answer.nodes.n = n;
    effects_answer(node->effects, &answer);
}

/* ---- Routes ---- */

static void report_hop(const struct node *node, uint64_t prefix, struct route_hop *hop) {
    const struct directory_entry *entry = directory_find_prefix(node->directory, prefix);
    struct node_report report = {.relay = false};
    if (!entry)
        return;
    report_node(node, entry, &report);
    hop->id = report.id;
    hop->address = report.address;
    memcpy(hop->name, report.name, sizeof hop->name);
}

static const char *const outcome_words[] = {
    [PATH_OK] = "",
    [PATH_UNKNOWN] = "that node is not in the network just now",
    [PATH_NONE] = "there is no route to it just now",
    [PATH_STRICT] = "there is no route with so many relays",
};

static void request_route(struct node *node, const struct request *request) {
    struct node_id id;
    struct answer answer = {.client = request->client, .kind = ANSWER_ROUTES, .end = true};
    uint32_t wanted = request->to.count < SAMPLES_MAX ? request->to.count : SAMPLES_MAX;
    struct route_report *routes = effects_scratch(node->effects, wanted * sizeof *routes);

    if (!routes || !node_resolve(node, request->client, &request->to.to, &id))
        return;
    struct path_wish wish = {
        .target = id, .relays_exact = request->to.relays, .strict = request->to.strict};
    for (uint32_t i = 0; i < wanted; i++) {
        uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
        enum path_outcome outcome = path_sample(node->paths, &wish, node->now.mono, hops,
                                                &routes[i].n_hops, &answer.routes.paths);
        if (outcome != PATH_OK) {
            effects_answer_text(node->effects, request->client, ANSWER_FAILED, "%s",
                                outcome_words[outcome]);
            return;
        }
        for (size_t hop = 0; hop < routes[i].n_hops; hop++)
            report_hop(node, hops[hop], &routes[i].hops[hop]);
    }
    answer.routes.v = routes;
    answer.routes.n = wanted;
    answer.routes.relays = wanted > 0 ? (unsigned)routes[0].n_hops - 1 : 0;
    if (wanted > 0 && request->to.relays == RELAYS_DEFAULT &&
        answer.routes.relays < node->config.route_relays)
        snprintf(answer.text, sizeof answer.text,
                 "fewer relays than the %u of route.relays: no longer route is known",
                 node->config.route_relays);
    effects_answer(node->effects, &answer);
}

static void request_ping(struct node *node, const struct request *request) {
    struct node_id id;
    if (!node_resolve(node, request->client, &request->to.to, &id))
        return;
    if (node_id_is_equal(&id, node_id(node)))
        effects_answer_text(node->effects, request->client, ANSWER_FAILED,
                            "that is this node itself");
    else
        node_ping(node, request->client, &id);
}

static void request_disconnect(struct node *node, const struct request *request) {
    struct node_id id;
    if (node_resolve(node, request->client, &request->to.to, &id))
        pool_disconnect(node->pool, request->client, &id, node->now.mono);
}

void node_request_settled(struct node *node, const struct request *request) {
    if (request->kind == REQUEST_PUSH || request->kind == REQUEST_PUSH_MANY)
        node_clock_before_push(node);
    if (request->kind == REQUEST_PUSH)
        request_push(node, request);
    else if (request->kind == REQUEST_PUSH_MANY)
        request_push_many(node, request);
    else if (request->kind == REQUEST_TRUST)
        node_trust(node, request);
    else
        request_ping(node, request);
}

void node_request(struct node *node, const struct request *request) {
    switch (request->kind) {
    case REQUEST_PUSH:
    case REQUEST_PUSH_MANY:
    case REQUEST_PING:
    case REQUEST_TRUST:
        if (!node_settle(node, request))
            node_request_settled(node, request);
        break;
    case REQUEST_PULL:
        request_pull(node, request);
        break;
    case REQUEST_CONFIRM:
        inbox_confirm(node->inbox, request->client, request->confirm.rows, request->confirm.n,
                      node->now.wall);
        break;
    case REQUEST_STATUS:
        request_status(node, request);
        break;
    case REQUEST_MESSAGE:
        request_message(node, request);
        break;
    case REQUEST_PEERS:
        request_peers(node, request);
        break;
    case REQUEST_NODES:
        request_nodes(node, request);
        break;
    case REQUEST_ROUTE:
        request_route(node, request);
        break;
    case REQUEST_CANCEL:
        outbox_cancel(node->outbox, request, node->now);
        break;
    case REQUEST_CONNECT:
        pool_connect(node->pool, request->client, &request->connect.address, node->machine);
        break;
    case REQUEST_DISCONNECT:
        request_disconnect(node, request);
        break;
    case REQUEST_CONVERSATIONS:
    case REQUEST_HISTORY:
    case REQUEST_FORGET:
    case REQUEST_FILES:
    case REQUEST_FILE_OPEN:
    case REQUEST_FILE_TAKE:
    case REQUEST_RULE:
        node_query(node, request);
        break;
    case REQUEST_RULES:
        node_rules(node, request->client);
        break;
    case REQUEST_DOCTOR:
        node_doctor(node, request);
        break;
    }
}

void node_client_gone(struct node *node, uint64_t client) {
    outbox_client_gone(node->outbox, client);
    inbox_client_gone(node->inbox, client);
    pool_client_gone(node->pool, client);
    node_queries_gone(node, client);
    node_settle_gone(node, client);
    for (unsigned i = 0; i < node->n_pings;)
        if (node->pings[i].client == client)
            node->pings[i] = node->pings[--node->n_pings];
        else
            i++;
}
