/* Is a parcel taken? Threat: its sender is proven, and may send what it likes: every item is looked
 * at before one of them is stored, so that a parcel is taken whole or refused whole; and a refusal
 * costs us no more than a parcel that is taken. */
#include "daemon/core/deliver/inbox/inbox_private.h"

#include <assert.h>

/* Each item costs the store a row, however small it is: the least one bounds how many there are. */
_Static_assert((PARCEL_PLAIN_MAX - PARCEL_HEAD_LEN) / PARCEL_ITEM_HEADER_LEN < PARCEL_ITEMS_MAX,
               "no parcel that can be opened holds more");

/* ---- Looking at it ---- */

static bool is_at_end(const struct wire_reader *reader) {
    struct wire_reader ahead = *reader;
    struct parcel_item item;
    return wire_left(reader) == 0 ||
           (parcel_get_item(&ahead, &item) == DROP_NONE && item.kind == 0);
}

/* Check one item. A mailbox that brings mail need not be known or allowed, but must not be blocked;
 * those who wrote the mail must be allowed. */
static enum parcel_reason look_at(struct inbox *inbox, struct inbox_parcel *parcel,
                                  const struct parcel_item *item, bool is_only_item,
                                  struct mono now) {
    return item->kind == KIND_MAIL
               ? inbox_mail_open(inbox, parcel, item, now)
               : inbox_check_item(inbox, &parcel->sender->id, item, is_only_item);
}

/* Charge the memory that the store operations of the items take until they are done: for a thousand
 * empty items it is ten times the parcel. 0 or -ENOMEM. */
static int charge_operations(struct inbox *inbox, struct inbox_parcel *parcel) {
    size_t size = parcel->n_items * (sizeof(struct store_op) + sizeof(struct store_result));
    if (!budget_take(inbox->config.budget, BUDGET_INBOX, size))
        return -ENOMEM;
    parcel->operations_charged = size;
    return 0;
}

enum parcel_reason inbox_check_items(struct inbox *inbox, struct inbox_parcel *parcel,
                                     size_t length, struct mono now) {
    struct wire_reader reader = wire_reader(parcel->bytes, length);
    struct node_id sender;
    struct parcel_item item;
    enum parcel_reason reason = PARCEL_REASON_NONE;
    enum drop drop = parcel_get_head(&reader, &sender);
    while (drop == DROP_NONE && !reason && !parcel->error && wire_left(&reader) > 0) {
        drop = parcel_get_item(&reader, &item);
        if (drop == DROP_NONE && item.kind == 0)
            break; /* padding */
        if (drop == DROP_NONE)
            reason =
                look_at(inbox, parcel, &item, parcel->n_items++ == 0 && is_at_end(&reader), now);
    }
    /* Padding alone is malformed: nothing would be put, and no result of the store would ever free
     * the parcel. */
    if (drop == DROP_NONE && !reason && parcel->n_items == 0)
        drop = DROP_MALFORMED;
    if (drop == DROP_NONE && !reason && !parcel->error)
        parcel->error = charge_operations(inbox, parcel);
    return reason                 ? reason
           : drop == DROP_NONE    ? PARCEL_REASON_NONE
           : drop == DROP_VERSION ? PARCEL_REASON_VERSION
                                  : PARCEL_REASON_MALFORMED;
}

/* ---- Storing it ---- */

static int hold_file_head(struct inbox *inbox, struct inbox_parcel *parcel,
                          const struct parcel_item *item) {
    size_t charge = sizeof *parcel->file;
    if (!budget_take(inbox->config.budget, BUDGET_INBOX, charge))
        return -ENOMEM;
    parcel->charged += charge;
    parcel->sender->bytes += charge;
    parcel->file = malloc(sizeof *parcel->file);
    if (!parcel->file)
        return -ENOMEM;
    inbox_file_head(item, parcel->file);
    return 0;
}

int inbox_put_items(struct inbox *inbox, struct inbox_parcel *parcel, size_t length,
                    const struct directory_entry *entry, const char *name, struct wall wall) {
    struct wire_reader reader = wire_reader(parcel->bytes, length);
    struct address address = directory_address(inbox->config.directory, entry);
    struct node_id sender;
    struct parcel_item item;
    parcel_get_head(&reader, &sender);
    bool is_known = inbox_counts_as_known(inbox, &sender);
    while (parcel_get_item(&reader, &item) == DROP_NONE && item.kind) {
        bool is_left_out = item.kind == KIND_MAIL || inbox_is_over(inbox, &item, wall);
        if (!is_left_out && item.kind == KIND_FILE && hold_file_head(inbox, parcel, &item))
            return -ENOMEM;
        if (!is_left_out) {
            bool follows = parcel->puts++ > 0;
            inbox_put_item(inbox, &parcel->op,
                           &(struct inbox_origin){.sender = &sender,
                                                  .address = &address,
                                                  .name = name,
                                                  .file = parcel->file,
                                                  .is_known = is_known,
                                                  .follows = follows},
                           &item, wall);
        }
        if (wire_left(&reader) == 0)
            break;
    }
    inbox_mail_put(inbox, parcel, wall);
    return 0;
}

/* ---- How it ended ---- */

static void write_verdict(struct inbox_parcel *parcel, enum inbox_verdict verdict,
                          enum parcel_reason reason, const uint8_t key[KEY_LEN]) {
    struct parcel_receipt receipt = {.id = parcel->id,
                                     .status = reason ? PARCEL_REFUSED : PARCEL_COMPLETE,
                                     .reason = verdict == INBOX_VERDICT_WHOLE ? PARCEL_WHOLE
                                                                              : (uint8_t)reason};
    uint8_t *bytes = parcel->verdicts[verdict];
    struct wire_writer writer = wire_writer(bytes, PARCEL_RECEIPT_FINAL_LEN);
    parcel_receipt_encode(&receipt, key, &writer);
    assert(!writer.failed && wire_room(&writer) == 0);
}

void inbox_verdicts_write(struct inbox_parcel *parcel, enum parcel_reason reason,
                          const uint8_t key[KEY_LEN]) {
    write_verdict(parcel, INBOX_VERDICT_FIRST, reason, key);
    write_verdict(parcel, INBOX_VERDICT_WHOLE, PARCEL_REASON_NONE, key);
    write_verdict(parcel, INBOX_VERDICT_QUOTA, PARCEL_REASON_QUOTA, key);
    write_verdict(parcel, INBOX_VERDICT_DAMAGED, PARCEL_REASON_DAMAGED, key);
    write_verdict(parcel, INBOX_VERDICT_MALFORMED, PARCEL_REASON_MALFORMED, key);
    write_verdict(parcel, INBOX_VERDICT_LOST, PARCEL_REASON_LOST, key);
    write_verdict(parcel, INBOX_VERDICT_NO_ROOM, PARCEL_REASON_NO_ROOM, key);
}

enum parcel_reason inbox_reason_of(int error) {
    return error == -EDQUOT    ? PARCEL_REASON_QUOTA
           : error == -EBADMSG ? PARCEL_REASON_DAMAGED
           : error == -ESTALE  ? PARCEL_REASON_LOST
           : error == -ENOBUFS ? PARCEL_REASON_NO_ROOM /* what is to stay free would not */
           : error == -ENOSPC  ? PARCEL_REASON_NO_ROOM
           : error == -EINVAL  ? PARCEL_REASON_MALFORMED /* it contradicts what is held */
                               : PARCEL_REASON_NONE;
}

bool inbox_keeps_silent(int error) {
    return error && !inbox_reason_of(error);
}

void inbox_conclude(struct inbox *inbox, struct inbox_parcel *parcel, enum parcel_reason reason,
                    struct now now) {
    struct inbox_counters *counters = &inbox->counters;
    enum inbox_verdict verdict = reason == PARCEL_REASON_QUOTA       ? INBOX_VERDICT_QUOTA
                                 : reason == PARCEL_REASON_DAMAGED   ? INBOX_VERDICT_DAMAGED
                                 : reason == PARCEL_REASON_MALFORMED ? INBOX_VERDICT_MALFORMED
                                 : reason == PARCEL_REASON_LOST      ? INBOX_VERDICT_LOST
                                 : reason == PARCEL_REASON_NO_ROOM   ? INBOX_VERDICT_NO_ROOM
                                 : !reason && parcel->whole          ? INBOX_VERDICT_WHOLE
                                                                     : INBOX_VERDICT_FIRST;
    counters->refused_blocked += reason == PARCEL_REASON_BLOCKED;
    counters->refused_unknown += reason == PARCEL_REASON_UNKNOWN_SENDER;
    counters->refused_quota += reason == PARCEL_REASON_QUOTA || reason == PARCEL_REASON_NO_ROOM;
    counters->refused_files += reason == PARCEL_REASON_NO_FILES;
    inbox_receipt_final(inbox, parcel, parcel->verdicts[verdict], now);
}
