/* What mailbox.c (deposits of others) and mailbox_choice.c (who keeps our mail) share; the first
 * calls the second. */
#ifndef P2PD_MAILBOX_PRIVATE_H
#define P2PD_MAILBOX_PRIVATE_H

#include "daemon/core/base/recent.h"
#include "daemon/core/deliver/depot/mailbox.h"

#include <sodium.h>
#include <sys/queue.h>

#define MAILBOX_DONE 64 /* complete deposits remembered: their other shards are on the way */

struct mailbox_deposit {
    TAILQ_ENTRY(mailbox_deposit) link;
    uint8_t id[PARCEL_ID_LEN];
    struct mail_cut cut;
    unsigned neighbour;
    struct mono born;
    bool storing;
    uint8_t index[SHARD_COUNT_MAX]; /* of the shards that arrived, in that order */
    unsigned arrived;
    struct recent growth; /* shards */
    uint8_t *bytes;
    size_t room;
    /* Storing: */
    struct mail_deposit content; /* borrows from bytes */
    uint64_t tag;
};
TAILQ_HEAD(mailbox_deposits, mailbox_deposit);

struct mailbox_chosen {
    uint64_t prefix;
    struct mono missing; /* since; MONO_NEVER: it is up */
};

struct mailbox {
    struct mailbox_config config;
    uint64_t self, refused, last_tag;
    struct mono now;                             /* of the last shard */
    struct mailbox_deposits unfinished, storing; /* oldest first */
    unsigned n_deposits;
    size_t bytes;
    uint8_t done[MAILBOX_DONE][PARCEL_ID_LEN];
    unsigned next_done;
    struct mailbox_chosen chosen[DESCRIPTOR_MAILBOXES_MAX];
    size_t n_chosen;
    uint8_t secret[crypto_shorthash_KEYBYTES];
    struct mono look;    /* at who keeps our mail: when next */
    struct mono started; /* the first look; MONO_NEVER: not yet */
};

/* ---- mailbox_choice.c ---- */
void mailbox_choice_init(struct mailbox *mailbox);
/* Choose anew. True: others than before. */
bool mailbox_choose(struct mailbox *mailbox, struct mono now);

#endif
