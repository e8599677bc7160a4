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
struct inbox_origin { /* whence an item came, for the store */
    const struct node_id *sender;
    const struct address *address;
    const char *name;
    const struct file_head *file; /* KIND_FILE: until the result */
    bool is_self;                 /* no quota */
};
/* May this item of a sender's be stored? A block of a file must be alone. */
enum parcel_reason inbox_check_item(const struct inbox *inbox, const struct node_id *sender,
                                    const struct parcel_item *item, bool is_only_item);
void inbox_file_head(const struct parcel_item *item, struct file_head *ret_head);
void inbox_put_item(struct inbox *inbox, const struct inbox_op *op,
                    const struct inbox_origin *origin, const struct parcel_item *item,
                    struct wall wall);
/* Is its life over, tombstone included? Such an item is answered as one that is there, and not
 * stored: it may have been. */
bool inbox_is_over(const struct inbox *inbox, const struct parcel_item *item, struct wall wall);

/* ---- inbox_take.c ---- */
/* One look at everything before anything is stored: a parcel is taken whole or refused whole. Out
 * of memory for what is in it: PARCEL_REASON_NONE, and parcel->error. */
enum parcel_reason inbox_check_items(struct inbox *inbox, struct inbox_parcel *parcel,
                                     size_t length, struct mono now);
/* All of a parcel that was found good, but for what is over: parcel->puts says how many were put. 0
 * or -ENOMEM: nothing was. */
int inbox_put_items(struct inbox *inbox, struct inbox_parcel *parcel, size_t length,
                    const struct directory_entry *entry, const char *name, struct wall wall);
void inbox_verdicts_write(struct inbox_parcel *parcel, enum parcel_reason reason,
                          const uint8_t key[KEY_LEN]);
/* What a store's error is to a sender; and is it none of his business? */
enum parcel_reason inbox_reason_of(int error);
bool inbox_keeps_silent(int error);
/* Say and count how it ended. */
void inbox_conclude(struct inbox *inbox, struct inbox_parcel *parcel, enum parcel_reason reason,
                    struct now now);

#endif
