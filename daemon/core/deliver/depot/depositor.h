/* What is left in mailboxes: when a recipient is away, the messages that wait for it are sealed to
 * its mail key and deposited with the nodes that keep mail for it, so that we may go too.
 *
 * Threat: a mailbox is a stranger. It learns for whom the mail is and how much, never from whom:
 * the deposit names no sender, comes over onion paths, and is confirmed over a path that we made
 * ready. Its confirmation only keeps us from leaving the same message there again: a message ends
 * by the recipient's own receipt, and direct tries go on. Implements p2pd-protocol(7) MAILBOXES. */
#ifndef P2PD_DEPOSITOR_H
#define P2PD_DEPOSITOR_H

#include "daemon/core/base/limits.h"
#include "daemon/core/deliver/message/message.h"
#include "daemon/core/directory/directory.h"
#include "daemon/core/route/courier.h"
#include "daemon/core/seam/effects.h"
#include "daemon/core/wire/identity.h"

struct depositor;
struct depositor_account; /* what is left for one recipient */

struct depositor_config {
    const struct identity *identity; /* the rooms are borrowed for the depositor's life */
    struct directory *directory;
    struct paths *paths;
    struct courier *courier;
    struct effects *effects;
    struct budget *budget;
    struct messages *messages;
    struct core_random random;
    uint64_t owner; /* first word of what a cookie of ours points to */
};

struct depositor *depositor_new(const struct depositor_config *config, struct mono now);
void depositor_free(struct depositor *depositor);

/* Is it time to look through the recipients? Then call depositor_look() for each. */
bool depositor_is_due(struct depositor *depositor, struct mono now);
struct depositor_recipient {
    struct recipient *recipient; /* the sender's, to compare message->recipient with */
    struct node_id id;
    uint8_t relays_exact;
    bool strict;
    bool is_silent, is_unreachable;
    size_t n_messages;
    /* Calls take for its messages that are sent whole, in order, until take returns false. */
    void (*each)(const struct recipient *recipient,
                 bool (*take)(void *context, struct message *message), void *context);
};
/* Leave with its mailboxes what waits for a recipient that is away. `account` is what the last look
 * at it returned; NULL at first. */
struct depositor_account *depositor_look(struct depositor *depositor,
                                         struct depositor_account *account,
                                         const struct depositor_recipient *recipient,
                                         struct now now);
/* The recipient is freed: its deposits are dropped. Takes NULL. */
void depositor_forget(struct depositor *depositor, struct depositor_account *account);
/* Send what is due. */
void depositor_tick(struct depositor *depositor, struct now now);
/* `is_pending`: there are messages that are not final. */
struct mono depositor_next(const struct depositor *depositor, bool is_pending);

/* The result of one of our store operations. */
void depositor_stored(struct depositor *depositor, uint64_t cookie,
                      const struct store_result *result);
/* An onion payload of kind PAYLOAD_DEPOSITED (its kind byte included): a mailbox keeps what we
 * left. */
enum drop depositor_confirmation(struct depositor *depositor, const uint8_t *payload, size_t length,
                                 struct mono now);
/* Deposits under way: for tests. */
unsigned depositor_count(const struct depositor *depositor);
/* Does nothing of ours wait for the store? */
bool depositor_is_idle(const struct depositor *depositor);

#endif
