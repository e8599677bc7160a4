/* PUSH, PUSH_MANY, MESSAGE, PULL: handed to the outbox and the inbox. */
#include "daemon/core/node/destination.h"
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/serve.h"

#include <stdio.h>

/* In a small network routes may be shorter than configured, and the sender is told so. With so many
 * reachable nodes or more, route length is not looked up. */
#define SMALL_NETWORK 32
static const char *notice_of(struct node *node, uint8_t relays, bool strict,
                             const struct directory_entry *entry, char text[128]) {
    uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
    size_t n_hops;
    double choices;
    struct path_request path_request = {.relays_exact = relays, .strict = strict};

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
    path_request.target = entry->id;
    if (relays != RELAYS_DEFAULT || directory_reached(node->directory) >= SMALL_NETWORK ||
        path_sample(node->paths, &path_request, node->now.mono, hops, &n_hops, &choices) !=
            PATH_OK ||
        n_hops > node->config.route_relays)
        return NULL;
    snprintf(text, 128, "only %zu of %u relays: no longer route to it is known yet", n_hops - 1,
             node->config.route_relays);
    return text;
}

void serve_push(struct node *node, const struct request *request) {
    struct node_id recipient;
    char text[128];
    bool proven;

    if (!node_resolve_recipient(node, request->client, &request->push.to, &recipient, &proven))
        return;
    if (!request->push.check)
        node_remember(node, &request->push.to, &recipient, proven);
    const char *notice = notice_of(node, request->push.options.relays, request->push.options.strict,
                                   directory_find(node->directory, &recipient), text);
    outbox_push(node->outbox, request, &recipient, notice, node->now);
}

void serve_push_many(struct node *node, const struct request *request) {
    struct node_id recipient;
    char text[128];
    bool proven;

    if (!node_resolve_recipient(node, request->client, &request->push_many.to, &recipient, &proven))
        return;
    node_remember(node, &request->push_many.to, &recipient, proven);
    const char *notice =
        notice_of(node, request->push_many.options.relays, request->push_many.options.strict,
                  directory_find(node->directory, &recipient), text);
    outbox_push_many(node->outbox, request, &recipient, notice, node->now);
}

void serve_pull(struct node *node, const struct request *request) {
    struct node_id from;
    if (request->pull.from_any)
        inbox_pull(node->inbox, request, NULL);
    else if (node_resolve(node, request->client, &request->pull.from, &from))
        inbox_pull(node->inbox, request, &from);
}

/* A message to a key that is gone would wait until it expires. If another key is at the recipient's
 * address, tell the client, who can readdress the message. */
void serve_message(struct node *node, const struct request *request) {
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
