/* STATUS: the node's own figures. */
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/serve.h"

void node_status(const struct node *node, struct mono mono, struct status_report *ret) {
    struct droplist_stats droplist;
    const struct links_counters *links = links_counters(node->links);
    const struct outbox_counters *outbox = outbox_counters(node->outbox);
    struct descriptor self;
    size_t length;
    struct version version;
    const uint8_t *bytes = directory_bytes(
        node->directory, node_id_prefix(identity_id(node->identity)), &length, &version);

    *ret = (struct status_report){.id = *identity_id(node->identity),
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
                                  .clock_offset_us = node->correction.us,
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
    ret->counters.onion_sent = node->courier.sent;
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

void serve_status(struct node *node, const struct request *request) {
    struct answer answer;
    struct status_report *status =
        answer_begin(node->effects, &answer, request->client, ANSWER_STATUS, sizeof *status);
    if (!status)
        return;
    node_status(node, node->now.mono, status);
    status->outbox_stranded = serve_stranded(node);
    answer.status = status;
    effects_answer(node->effects, &answer);
}
