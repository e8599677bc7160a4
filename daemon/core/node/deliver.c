/* See deliver.h. Threat: anybody may send payloads of any kind; each room checks its own. */
#include "daemon/core/node/deliver.h"
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/ping.h"

/* A sender leaves mail with us, as a mailbox, for a third node. */
static enum drop take_deposit(struct node *node, unsigned slot, const struct onion_peeled *peeled) {
    struct mailbox_mail mail;
    struct mailbox_answer none;
    enum drop drop = mailbox_shard(node->mailbox, peeled->payload, peeled->payload_length, slot,
                                   node->now, &mail);
    if (!mail.bytes)
        return drop;
    struct outbox_mail out = {.tag = mail.tag,
                              .id = mail.id,
                              .recipient = mail.recipient,
                              .expires = mail.expires,
                              .bytes = mail.bytes,
                              .length = mail.length};
    int error = outbox_deposit(node->outbox, &out, node->config.mailbox_size, node->now.wall);
    if (error == 0)
        return DROP_NONE;
    mailbox_stored(node->mailbox, mail.tag, error, &none);
    return DROP_LIMIT;
}

enum drop node_deliver(struct node *node, unsigned slot, const struct onion_peeled *peeled,
                       int64_t epoch) {
    if (peeled->payload_length == 0)
        return DROP_MALFORMED;
    node->counters.onion_delivered++;
    switch (peeled->payload[0]) {
    case PAYLOAD_SHARD:
        return inbox_shard(node->inbox, peeled->payload, peeled->payload_length, slot, epoch,
                           node->now);
    case PAYLOAD_RECEIPTS:
        return outbox_receipt(node->outbox, peeled->payload, peeled->payload_length, node->now);
    case PAYLOAD_PING:
        return node_ping_answer(node, peeled->payload, peeled->payload_length);
    case PAYLOAD_PONG:
        return node_ping_take_pong(node, peeled->payload, peeled->payload_length);
    case PAYLOAD_DEPOSIT:
        return take_deposit(node, slot, peeled);
    case PAYLOAD_DEPOSITED:
        return outbox_confirmation(node->outbox, peeled->payload, peeled->payload_length,
                                   node->now.mono);
    default:
        return DROP_VERSION;
    }
}
