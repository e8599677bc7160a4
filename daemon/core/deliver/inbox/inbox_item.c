/* One item of a parcel or of a mail: whether we take it, and how it is stored. Threat: its sender
 * is proven, and may send what it likes: every item is checked against our limits and against what
 * the user said of this sender. */
#include "daemon/core/deliver/inbox/inbox_private.h"

static struct wall wall_from_ms(uint64_t ms) {
    return (struct wall){(int64_t)ms * US_PER_MS};
}

/* ---- Looking at it ---- */

enum parcel_reason inbox_check_item(const struct inbox *inbox, const struct node_id *sender,
                                    const struct parcel_item *item, bool is_only_item) {
    if (item->kind != KIND_MESSAGE && item->kind != KIND_FILE)
        return PARCEL_REASON_VERSION;
    if (item->sent_ms > INT64_MAX / US_PER_MS || (item->kind == KIND_FILE && !is_only_item))
        return PARCEL_REASON_MALFORMED;
    if (item->total > (item->kind == KIND_FILE ? INT64_MAX : inbox->config.limits.message_max))
        return PARCEL_REASON_TOO_LARGE;
    return inbox->config.policy ? policy_judge(inbox->config.policy, sender, item->kind)
                                : PARCEL_REASON_NONE;
}

/* ---- Storing it ---- */

/* How long the id is remembered: as long as the sender may send it again, and tombstone_us more;
 * but nobody makes us remember anything for more than a year. */
static struct wall remember_until(const struct inbox *inbox, const struct parcel_item *item,
                                  struct wall wall) {
    struct wall latest = {wall.us + TOMBSTONE_MAX_US};
    struct wall until = item->expires_ms < (uint64_t)(latest.us / US_PER_MS)
                            ? wall_from_ms(item->expires_ms)
                            : latest;
    if (until.us < wall.us)
        until = wall;
    return (struct wall){until.us + inbox->config.limits.tombstone_us};
}

/* If the message came before, its tombstone may be gone by now: a mailbox holds what was sealed to
 * a mail key for weeks, and may bring it again on any of these days. The sender has given it up
 * tombstone_us ago. */
bool inbox_is_over(const struct inbox *inbox, const struct parcel_item *item, struct wall wall) {
    int64_t given_up_us = wall.us - inbox->config.limits.tombstone_us;
    return given_up_us > 0 && item->expires_ms <= (uint64_t)(given_up_us / US_PER_MS);
}

void inbox_file_head(const struct parcel_item *item, struct file_head *ret_head) {
    memset(ret_head, 0, sizeof *ret_head);
    memcpy(ret_head->digest, item->digest, FILE_DIGEST_LEN);
    memcpy(ret_head->name, item->name, item->name_length);
}

/* Strangers are as many as they like: a quarter of all room is kept for those whom the user knows.
 */
static uint64_t share_of(uint64_t all, bool is_known) {
    return is_known ? all : all - all / 4;
}

bool inbox_counts_as_known(const struct inbox *inbox, const struct node_id *sender) {
    return !inbox->config.policy || policy_is_known(inbox->config.policy, sender);
}

void inbox_put_item(struct inbox *inbox, const struct inbox_op *op,
                    const struct inbox_origin *origin, const struct parcel_item *item,
                    struct wall wall) {
    const struct inbox_limits *limits = &inbox->config.limits;
    struct store_op operation = {.kind = STORE_IN_PUT};
    bool is_file = item->kind == KIND_FILE;
    operation.in_put.sender = *origin->sender;
    operation.in_put.sender_address = *origin->address;
    memcpy(operation.in_put.sender_name, origin->name, strnlen(origin->name, NODE_NAME_MAX));
    operation.in_put.kind = item->kind;
    operation.in_put.file = is_file ? origin->file : NULL;
    operation.in_put.id = item->id;
    operation.in_put.sequence = item->sequence;
    operation.in_put.sent = wall_from_ms(item->sent_ms);
    operation.in_put.received = wall;
    operation.in_put.tombstone_until = remember_until(inbox, item, wall);
    operation.in_put.total = item->total;
    operation.in_put.offset = item->offset;
    operation.in_put.length = item->length;
    operation.in_put.bytes = item->bytes;
    operation.in_put.is_known = origin->is_known;
    operation.in_put.follows = origin->follows;
    if (!origin->is_self) {
        operation.in_put.quota_sender = is_file ? limits->files_sender : limits->messages_sender;
        operation.in_put.quota_all =
            share_of(is_file ? limits->files_all : limits->messages_all, operation.in_put.is_known);
        operation.in_put.share.is_of_others = true;
        operation.in_put.share.percent = is_file ? limits->files_free : limits->messages_free;
    }
    inbox_store(inbox, &operation, op);
}
