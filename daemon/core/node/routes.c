/* See routes.h. */
#include "daemon/core/node/routes.h"
#include "daemon/core/node/node_private.h"

void node_routes_refresh(struct node *node) {
    struct path_neighbour neighbours[LINK_SLOTS];
    uint64_t prefixes[LINK_SLOTS];
    size_t n = 0;

    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(node->links, slot);
        if (!link || link->state != LINK_UP)
            continue;
        const struct directory_entry *entry = directory_find_prefix(node->directory, link->prefix);
        bool relays = entry && entry->relay;
        prefixes[n] = link->prefix;
        neighbours[n++] = (struct path_neighbour){link->prefix, relays && !entry->unsettled,
                                                  link->since, relays && entry->unsettled};
    }
    if (n > TOPOLOGY_DEGREE_MAX)
        n = TOPOLOGY_DEGREE_MAX;
    directory_set_links(node->directory, prefixes, n);
    paths_set_neighbours(node->paths, neighbours, n, node->now.mono);
    node->routes_generation = topology_generation(directory_topology(node->directory));
}

void node_routes_follow(struct node *node) {
    if (node->routes_generation != topology_generation(directory_topology(node->directory)))
        node_routes_refresh(node);
}

void node_routes_retry(struct node *node) {
    uint64_t generation = topology_generation(directory_topology(node->directory));

    if (generation == node->retried_generation || outbox_pending(node->outbox) == 0 ||
        node->now.mono.us - node->retried.us < US_PER_S)
        return;
    node->retried_generation = generation;
    node->retried = node->now.mono;
    outbox_retry_now(node->outbox, NULL, node->now.mono);
}

struct mono node_routes_next(const struct node *node) {
    struct mono next = MONO_NEVER;

    if (outbox_pending(node->outbox) == 0)
        return next;
    if (node->retried_generation != topology_generation(directory_topology(node->directory)))
        next = mono_add(node->retried, US_PER_S);
    /* A settled key may bring a route. */
    return mono_min(next, directory_settle_due(node->directory));
}
