/* What the ledger makes of the store's results, what was pending when we stopped, and other
 * recipients for what waits. See ledger.h. */
#ifndef P2PD_LEDGER_STORE_H
#define P2PD_LEDGER_STORE_H

#include "daemon/core/deliver/ledger/ledger.h"

/* ---- The store ---- */
/* After the start, while pending messages are still being read: this result is of a message that a
 * client asked for, or pushed again, and that was not read yet. Enter the record before
 * ledger_stored(). NULL: it is not. */
const struct out_record *ledger_record_ahead(const struct ledger *ledger, uint64_t cookie,
                                             const struct store_result *result);
/* What the caller does after a store operation. */
enum ledger_news_kind {
    LEDGER_NOTHING,
    LEDGER_ACCEPTED, /* `message` is to be sent; if it is withdrawn, finished instead */
    LEDGER_RELEASED, /* `recipient` (may be NULL) does not get the message of so many bytes:
                        sender_release() */
    LEDGER_CANCELLED /* `message` is to be finished */
};
struct ledger_news {
    enum ledger_news_kind kind;
    struct message *message;
    struct recipient *recipient;
    uint64_t size;
};
struct ledger_news ledger_stored(struct ledger *ledger, uint64_t cookie,
                                 const struct store_result *result, struct now now);

/* ---- What was pending when we stopped ---- */
/* Ask for the next page, if one is due. */
void ledger_load_tick(struct ledger *ledger, struct mono now);
/* Is this the result of ledger_load_tick()? Then enter its records (but those that are known),
 * count each with ledger_load_one(), and end with ledger_load_page(). */
bool ledger_is_page(uint64_t cookie);
void ledger_load_one(struct ledger *ledger);
void ledger_load_page(struct ledger *ledger, const struct store_result *result, bool is_whole,
                      struct mono now);
/* Until NULL: messages that were pushed meanwhile, and may be sent now. */
struct message *ledger_load_late(struct ledger *ledger);
/* Is something still to be read? */
bool ledger_is_loading(const struct ledger *ledger);
uint64_t ledger_unread(const struct ledger *ledger);

/* ---- Another recipient ---- */
struct conversation *ledger_conversation(struct ledger *ledger, const struct node_id *recipient);
/* Is there memory for one more? */
bool ledger_conversation_has_room(struct ledger *ledger);
/* Free one that was made just now if nothing was ever stored in it. */
void ledger_conversation_unmake(struct ledger *ledger, struct conversation *conversation);
/* Take the next `n` numbers of a conversation; returns the first. */
uint64_t ledger_conversation_number(struct conversation *conversation, size_t n);
/* Which of trust->old the message is pending to, or NULL; and count it there. */
struct trust_old *ledger_old_of(struct trust_report *trust, const struct message *message);
void ledger_count_old(struct trust_old *old, const struct message *message);
/* The message is pending to another recipient, who has nothing of it yet. */
void ledger_turn(struct ledger *ledger, struct message *message, struct conversation *to,
                 uint64_t sequence);

#endif
