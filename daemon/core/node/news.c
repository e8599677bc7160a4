/* See news.h. Threat: anybody can cause lines of the log, so none comes more than once a minute. */
#include "daemon/core/node/news.h"
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/routes.h"

#define TELL_RIVALS_US US_PER_MINUTE
#define TELL_DOUBLED_US US_PER_HOUR

/* Anybody can cause this line, so it is logged at debug level alone, and at most once a minute. */
static void tell_rivals(struct node *node) {
    struct address address;
    char text[ADDRESS_TEXT_MAX];
    uint64_t rivals = directory_rivals(node->directory, &address);

    if (rivals == node->news.rivals_told || !mono_is_due(node->news.rivals_quiet, node->now.mono))
        return;
    address_format(&address, true, text);
    core_log(&node->config.trace, TRACE_DEBUG,
             "another node claims an address that one has already, last %s: %llu times since the "
             "last such line, %llu in all",
             text, (unsigned long long)(rivals - node->news.rivals_told),
             (unsigned long long)rivals);
    node->news.rivals_told = rivals;
    node->news.rivals_quiet = mono_add(node->now.mono, TELL_RIVALS_US);
}

void node_news_tell_doubled(struct node *node) {
    if (!directory_is_doubled(node->directory, node->now.wall) ||
        !mono_is_due(node->news.doubled_quiet, node->now.mono))
        return;
    node->news.doubled_quiet = mono_add(node->now.mono, TELL_DOUBLED_US);
    core_log(
        &node->config.trace, TRACE_WARNING,
        "identity: two descriptors of this node with one sequence are about, so others do not "
        "send through it until their keys have ended: is a copy of its state in use elsewhere?");
}

static void tell_convictions(struct node *node) {
    uint64_t n = directory_convictions(node->directory);

    if (n == node->news.convictions_told ||
        !mono_is_due(node->news.convictions_quiet, node->now.mono))
        return;
    core_log(&node->config.trace, TRACE_DEBUG,
             "a node has signed two descriptors of one sequence: %llu times since the last such "
             "line, %llu in all; nothing is sent through it",
             (unsigned long long)(n - node->news.convictions_told), (unsigned long long)n);
    node->news.convictions_told = n;
    node->news.convictions_quiet = mono_add(node->now.mono, TELL_RIVALS_US);
}

void node_news(struct node *node, const struct directory_entry *entry, uint64_t from, bool spread) {
    const struct link_view *link = links_find(node->links, entry->prefix);
    struct node_id id = entry->id;

    tell_rivals(node);
    tell_convictions(node);
    publisher_note_age(&node->publisher, node->now.wall.us - (int64_t)entry->sequence * US_PER_MS,
                       node->now.mono);
    if (spread)
        gossip_offer_news(node->gossip, entry->prefix, from, node->now.mono);
    if (entry->kept)
        node_keep_entry(node, entry);
    if (link && link->state == LINK_UP)
        /* The news may be that this neighbour relays, or no longer does. */
        node_routes_refresh(node);
    outbox_retry_now(node->outbox, &id, node->now.mono);
    pool_news(node->pool);
    node_settle_look(node);
}
