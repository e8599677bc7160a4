/* What is in a parcel, and whether it is taken. For the inbox's own files (inbox_private.h includes
 * it). */
#ifndef P2PD_TAKE_PRIVATE_H
#define P2PD_TAKE_PRIVATE_H

/* ---- inbox_mail.c ---- */
/* Open an item of kind KIND_MAIL and look at all in it; it is kept at the parcel. Out of memory, or
 * too much to compute just now: PARCEL_REASON_NONE, and parcel->error. */
enum parcel_reason inbox_mail_open(struct inbox *inbox, struct inbox_parcel *parcel,
                                   const struct parcel_item *item, struct mono now);
/* Store the messages of all mail that was opened, as from their senders. */
void inbox_mail_put(struct inbox *inbox, struct inbox_parcel *parcel, struct wall wall);

/* ---- inbox_item.c ---- */
struct inbox_origin { /* where an item came from, for the store */
    const struct node_id *sender;
    const struct address *address;
    const char *name;
    const struct file_head *file; /* KIND_FILE: until the result */
    bool is_self;                 /* no quota */
    bool is_known;                /* inbox_counts_as_known() of the sender */
    bool follows;                 /* what was put before it is of the same sender and parcel */
};
/* May this item of a sender's be stored? A block of a file must be alone. */
enum parcel_reason inbox_check_item(const struct inbox *inbox, const struct node_id *sender,
                                    const struct parcel_item *item, bool is_only_item);
/* Is the sender one of those for whom all room may be used? Without a policy everybody is. Asked
 * once for all that came together. */
bool inbox_counts_as_known(const struct inbox *inbox, const struct node_id *sender);
void inbox_file_head(const struct parcel_item *item, struct file_head *ret_head);
void inbox_put_item(struct inbox *inbox, const struct inbox_op *op,
                    const struct inbox_origin *origin, const struct parcel_item *item,
                    struct wall wall);
/* Is the item so old that its tombstone may be gone? It is answered as if it were stored, and not
 * stored: we may have had it. */
bool inbox_is_over(const struct inbox *inbox, const struct parcel_item *item, struct wall wall);

/* ---- inbox_take.c ---- */
/* One look at everything before anything is stored: a parcel is taken whole or refused whole. Out
 * of memory for what is in it: PARCEL_REASON_NONE, and parcel->error. */
enum parcel_reason inbox_check_items(struct inbox *inbox, struct inbox_parcel *parcel,
                                     size_t length, struct mono now);
/* Put all items of a parcel that was found good, but those that are over. parcel->puts says how
 * many. 0, or -ENOMEM: none was put. */
int inbox_put_items(struct inbox *inbox, struct inbox_parcel *parcel, size_t length,
                    const struct directory_entry *entry, const char *name, struct wall wall);
void inbox_verdicts_write(struct inbox_parcel *parcel, enum parcel_reason reason,
                          const uint8_t key[KEY_LEN]);
/* The reason that a sender is told for a store's error; and is it told nothing? */
enum parcel_reason inbox_reason_of(int error);
bool inbox_keeps_silent(int error);
/* Send the receipt of a finished parcel, and count the outcome. */
void inbox_conclude(struct inbox *inbox, struct inbox_parcel *parcel, enum parcel_reason reason,
                    struct now now);

#endif
