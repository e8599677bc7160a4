/* PEERS, NODES, ROUTE, PING, DISCONNECT: the network as this node knows it. */
#include "daemon/core/node/destination.h"
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/ping.h"
#include "daemon/core/node/serve.h"

#include <stdio.h>

#define SAMPLES_MAX 64

/* ---- Neighbours ---- */

static void report_peer(const struct node *node, const struct link_view *link,
                        struct peer_report *report) {
    const struct directory_entry *entry = directory_find(node->directory, &link->id);
    struct descriptor descriptor = {.name = ""};

    if (entry)
        directory_descriptor(entry, &descriptor);
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

void serve_peers(struct node *node, const struct request *request) {
    struct answer answer;
    struct peer_report *reports = answer_begin(node->effects, &answer, request->client,
                                               ANSWER_PEERS, LINK_SLOTS * sizeof *reports);
    size_t n = 0;

    if (!reports)
        return;
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++)
        if (links_at(node->links, slot))
            report_peer(node, links_at(node->links, slot), &reports[n++]);
    answer.peers.v = reports;
    answer.peers.n = n;
    effects_answer(node->effects, &answer);
}

/* ---- Nodes ---- */

static void report_self(const struct node *node, struct node_report *report) {
    struct status_report status;
    node_status(node, node->now.mono, &status);
    *report = (struct node_report){.id = *identity_id(node->identity),
                                   .relay = node->config.relay,
                                   .self = true,
                                   .live = true,
                                   .last_seen = node->now.wall};
    if (status.n_addresses > 0)
        report->address = status.addresses[0];
    memcpy(report->name, node->config.name, sizeof report->name);
}

void serve_nodes(struct node *node, const struct request *request) {
    size_t n = directory_known(node->directory) + 1;
    struct answer answer;
    struct node_report *reports =
        answer_begin(node->effects, &answer, request->client, ANSWER_NODES, n * sizeof *reports);

    if (!reports)
        return;
    directory_look_around(node->directory, node->now.wall);
    report_self(node, &reports[0]);
    for (size_t i = 1; i < n; i++)
        node_report(node, directory_known_at(node->directory, i - 1), &reports[i]);
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
    node_report(node, entry, &report);
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

/* Draw `n` sample routes. False: there is none, and the client has been told why. */
static bool draw_routes(struct node *node, uint64_t client, const struct path_request *path_request,
                        struct route_report *routes, uint32_t n, double *ret_choices) {
    for (uint32_t i = 0; i < n; i++) {
        uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
        enum path_outcome outcome = path_sample(node->paths, path_request, node->now.mono, hops,
                                                &routes[i].n_hops, ret_choices);
        if (outcome != PATH_OK) {
            effects_answer_text(node->effects, client, ANSWER_FAILED, "%s", outcome_words[outcome]);
            return false;
        }
        for (size_t hop = 0; hop < routes[i].n_hops; hop++)
            report_hop(node, hops[hop], &routes[i].hops[hop]);
    }
    return true;
}

void serve_route(struct node *node, const struct request *request) {
    struct path_request path_request = {.relays_exact = request->to.relays,
                                        .strict = request->to.strict};
    uint32_t wanted = request->to.count < SAMPLES_MAX ? request->to.count : SAMPLES_MAX;
    struct answer answer;
    struct route_report *routes;

    if (!node_resolve(node, request->client, &request->to.to, &path_request.target) ||
        !(routes = answer_begin(node->effects, &answer, request->client, ANSWER_ROUTES,
                                wanted * sizeof *routes)) ||
        !draw_routes(node, request->client, &path_request, routes, wanted, &answer.routes.paths))
        return;
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

void serve_ping(struct node *node, const struct request *request) {
    struct node_id id;
    if (!node_resolve(node, request->client, &request->to.to, &id))
        return;
    if (node_id_is_equal(&id, identity_id(node->identity)))
        effects_answer_text(node->effects, request->client, ANSWER_FAILED,
                            "that is this node itself");
    else
        node_ping(node, request->client, &id);
}

void serve_disconnect(struct node *node, const struct request *request) {
    struct node_id id;
    if (node_resolve(node, request->client, &request->to.to, &id))
        pool_disconnect(node->pool, request->client, &id, node->now.mono);
}
