/* See links.h. */
#include "daemon/core/node/links.h"
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/routes.h"

/* Established links changed: routes, guards, and what is published follow. */
static void links_changed(struct node *node) {
    node_routes_refresh(node);
    directory_look_around(node->directory, node->now.wall);
    node_self_compare(node);
    outbox_retry_now(node->outbox, NULL, node->now.mono);
}

/* Does the descriptor name no neighbour? A node that has just started hands over such a one in its
 * handshakes, and within seconds publishes another that names its neighbours. The first is not
 * announced, so that the whole network need not check both. Digests spread it, should the second
 * never come. */
static bool is_unlinked(const struct directory_entry *entry) {
    struct descriptor descriptor;
    directory_descriptor(entry, &descriptor);
    return descriptor.n_neighbours == 0;
}

static void take_descriptor(struct node *node, const struct link_event *event) {
    const struct directory_entry *entry = NULL;
    enum drop drop;

    if (event->descriptor_length == 0 ||
        !directory_takes_handed(node->directory, event->link.prefix, node->now.mono))
        return; /* gossip brings it at its pace */
    enum directory_outcome outcome = directory_offer(
        node->directory, event->descriptor, event->descriptor_length, node->now, &entry, &drop);
    if (outcome == DIRECTORY_NEWS)
        node_news(node, entry, 0, !is_unlinked(entry));
    else if (outcome == DIRECTORY_BAD)
        node_count(node, drop);
}

/* A link to this node stands: its answer proves that it is at this address. */
static void stand(struct node *node, const struct link_event *event) {
    directory_handshaken(node->directory, &event->link.id, &event->link.address, node->now);
    directory_set_linked(node->directory, &event->link.id, true, node->now.mono);
}

static void take_up(struct node *node, const struct link_event *event) {
    stand(node, event);
    node_peel_advance(node);
    if (links_count(node->links, true) == 1)
        publisher_link(&node->publisher, node->now.mono);
    links_changed(node);
    gossip_link_up(node->gossip, event->link.prefix, node->now.mono);
}

static void take_link_event(struct node *node, const struct link_event *event) {
    switch (event->kind) {
    case LINK_EVENT_ANSWERED:
        if (event->link.purpose != LINK_PROBE) /* a probe has no vote on the time */
            node_correct(node);
        take_descriptor(node, event);
        node_settle_answered(node, event);
        if (event->link.purpose == LINK_PROBE)
            links_forget(node->links, event->session);
        else
            links_finish(node->links, event->session, node->machine);
        break;
    case LINK_EVENT_ASKED:
        node_correct(node);
        take_descriptor(node, event);
        break;
    case LINK_EVENT_UP:
        node_correct(node);
        take_descriptor(node, event);
        take_up(node, event);
        break;
    case LINK_EVENT_DOWN:
        node_correct(node);
        gossip_link_down(node->gossip, event->link.prefix);
        directory_set_linked(node->directory, &event->link.id, false, node->now.mono);
        links_changed(node);
        break;
    case LINK_EVENT_MOVED:
        if (event->link.state != LINK_PROBATION)
            stand(node, event);
        links_changed(node);
        break;
    case LINK_EVENT_SUSPECT:
    case LINK_EVENT_RECOVERED:
        links_changed(node);
        break;
    case LINK_EVENT_REKEYED:
        node_correct(node);
        break;
    case LINK_EVENT_REFUSED:
    case LINK_EVENT_DIAL_FAILED:
        node_settle_look(node);
        node_correct(node); /* what this neighbour said of the time has no vote any more */
        break;
    }
    if (event->kind == LINK_EVENT_DIAL_FAILED && event->link.purpose == LINK_PROBE)
        return; /* the pool did not ask */
    pool_link_event(node->pool, event, node->machine);
}

void node_links_drain(struct node *node) {
    struct link_event event;

    while (links_event(node->links, &event)) {
        /* With the keys and the drop list that the waiting packets were looked up with. */
        node_peel(node);
        take_link_event(node, &event);
    }
}
