/* What depositor.c (whose turn it is, confirmations) and deposit.c (one deposit: gathered, sealed,
 * cut, sent) share; the first calls the second. */
#ifndef P2PD_DEPOSITOR_PRIVATE_H
#define P2PD_DEPOSITOR_PRIVATE_H

#include "daemon/core/deliver/depot/depositor.h"
#include "daemon/core/wire/mail.h"

#define DEPOSITOR_TOKENS 16 /* confirmations that are remembered, since each comes twice */

struct box { /* a mailbox of a recipient's */
    uint64_t prefix;
    struct mono due; /* not before */
    unsigned tries;
    struct deposit *deposit; /* under way; one at a time */
};
struct depositor_account {
    struct recipient *recipient; /* the sender's, to compare message->recipient with */
    struct node_id id;
    uint8_t relays_exact;
    bool strict;
    struct mono away_since; /* since when it is away; MONO_NEVER: it is not */
    struct box boxes[DESCRIPTOR_MAILBOXES_MAX];
    unsigned n;
};

enum deposit_state {
    DEPOSIT_READING = 0, /* its plaintext is put together */
    DEPOSIT_STALE,       /* an item could not be read, so it is of no use */
    DEPOSIT_SEALED,
    DEPOSIT_SENDING, /* sealed, and its shards are on their way */
    DEPOSIT_DROPPED  /* no account has it any more: it waits for the last of its reads */
};
struct deposit { /* messages on their way to a mailbox */
    TAILQ_ENTRY(deposit) link;
    struct depositor_account *account; /* NULL: dropped */
    struct box *box;
    enum deposit_state state; /* written by deposit_move() alone */
    struct message_id *ids;
    uint32_t *places, *lengths; /* in the plaintext, while it is read */
    size_t n;
    struct wall expires;
    uint32_t day;
    uint8_t key[KEY_LEN]; /* the recipient's mail key of that day */
    uint8_t *bytes;       /* plaintext, then the mail */
    size_t length, charged;
    unsigned reads, tries;
    uint8_t token[MAIL_TOKEN_LEN];
    /* Being sent: */
    uint8_t *shards;
    struct mail_cut cut;
    uint8_t id[PARCEL_ID_LEN];
    unsigned next; /* shard */
    struct courier_lane lanes[2];
    struct mono send_at;
};
TAILQ_HEAD(deposits, deposit);

struct deposit_op { /* a read under way; its address is the cookie */
    uint64_t owner;
    TAILQ_ENTRY(deposit_op) link;
    struct deposit *deposit;
    size_t item;
};
TAILQ_HEAD(deposit_ops, deposit_op);

struct depositor {
    struct depositor_config config;
    struct node_id self;
    struct deposits deposits;
    unsigned n_deposits;
    struct deposit_ops ops;
    struct mono scan; /* when recipients are next looked through */
    uint8_t tokens[DEPOSITOR_TOKENS][MAIL_TOKEN_LEN];
    unsigned next_token;
};

#define DEPOSIT_AGAIN_US (10 * US_PER_S) /* after a failed read, or with all places taken */

/* Gather the messages that the mailbox does not have yet, and begin to read them. Sets
 * box->deposit, unless there are none or all places are taken. */
void deposit_begin(struct depositor *depositor, struct depositor_account *account, struct box *box,
                   const struct depositor_recipient *recipient, const struct descriptor *descriptor,
                   struct mono now);
void deposit_drop(struct depositor *depositor, struct deposit *deposit);
/* Is one of its messages still pending to the recipient? Before it is sealed: all of them, so that
 * a cancelled message does not leave. */
bool deposit_is_pending(const struct depositor *depositor, const struct deposit *deposit);
/* All is read: seal it. False: that failed, and the deposit is of no use. */
bool deposit_seal(struct depositor *depositor, struct deposit *deposit);
/* Begin one try: encode it with fresh replies. Then deposit_send() sends what is due. */
void deposit_try(struct depositor *depositor, struct deposit *deposit,
                 const struct directory_entry *box, const struct directory_entry *recipient,
                 struct now now);
void deposit_send(struct depositor *depositor, struct deposit *deposit, struct now now);
void deposit_op_done(struct depositor *depositor, struct deposit_op *op);

#endif
