/* Mailboxes, both ends that are not the sender's: what a volunteer takes for others (deposits put
 * together, judged, and confirmed once they are stored), and which volunteers are asked to keep
 * mail for us. What is taken is stored and delivered by outbox, what is delivered to us is opened
 * by inbox; node carries the word.
 *
 * Threat: anybody may deposit, in anybody's name, and cannot be charged for it. So unfinished
 * deposits are bounded in number and bytes, one neighbour may hold a quarter of both, at the bound
 * the one that holds most gives way, and of its what grows least: to begin deposits costs a packet
 * each, and would else keep everybody's out. Mail is taken for nodes alone that name us in a signed
 * descriptor, and what is stored is bounded in all and for each recipient. Anybody may leave one
 * mail under many ids at once; each of these deposits ends by its own tag, for the store reads its
 * bytes until then. Who keeps our mail is drawn by a secret: nobody can choose to be the one.
 * Implements p2pd-protocol(7) MAILBOXES. */
#ifndef P2PD_MAILBOX_H
#define P2PD_MAILBOX_H

#include "daemon/core/base/budget.h"
#include "daemon/core/base/limits.h"
#include "daemon/core/base/share.h"
#include "daemon/core/directory/directory.h"
#include "daemon/core/link/link.h"
#include "daemon/core/wire/mail.h"

/* One timer, look (mailbox_next(); 2 s in the first 10 s, then 30 s; always runs): who keeps our
 * mail is judged, and what others left unfinished for 2 min is dropped. */

#define MAILBOX_BYTES_MAX (2u * 1024 * 1024)

struct mailbox;
struct mailbox_config {
    const struct identity *identity; /* the rooms are borrowed for the mailbox's life */
    struct directory *directory;
    struct budget *budget;
    struct share *share; /* of the public-key work that a neighbour may cause; NULL: no bound */
    struct core_random random;
    uint64_t size; /* bytes that we keep for others; 0: none, and shards are dropped */
    unsigned use;  /* how many mailboxes we want */
};

/* NULL: no memory. It enters itself as BUDGET_MAILBOX's evictor. */
struct mailbox *mailbox_new(const struct mailbox_config *config);
void mailbox_free(struct mailbox *mailbox);
void mailbox_configure(struct mailbox *mailbox, uint64_t size, unsigned use);

/* ---- For others ---- */
struct mailbox_mail {
    uint64_t tag; /* of this deposit: the same mail may be in several at once */
    struct message_id id;
    struct node_id recipient;
    struct wall expires;
    const uint8_t *bytes; /* NULL: there is none */
    size_t length;
};
/* An onion payload of kind PAYLOAD_DEPOSIT (its kind byte included), from the neighbour in
 * `neighbour`. With the last shard needed, and if it is acceptable, ret_mail is what is to be
 * stored: its bytes are borrowed until mailbox_stored() of its tag, which has to follow, and only
 * once nobody reads them. */
enum drop mailbox_shard(struct mailbox *mailbox, const uint8_t *payload, size_t length,
                        unsigned neighbour, struct now now, struct mailbox_mail *ret_mail);
struct mailbox_answer { /* onion packets that the depositor has made ready */
    unsigned neighbour; /* that brought the deposit: they are its to pay for */
    unsigned n;
    uint64_t first[MAIL_REPLIES_MAX]; /* the neighbours of ours that they go to */
    uint8_t packets[MAIL_REPLIES_MAX][ONION_LEN];
};
/* The mail of this deposit is durable (then ret_answer is what the depositor is to be told with),
 * or was not kept (error; then it is told nothing). Nothing is done for a tag that no deposit
 * has. */
void mailbox_stored(struct mailbox *mailbox, uint64_t tag, int error,
                    struct mailbox_answer *ret_answer);
uint64_t mailbox_refused(const struct mailbox *mailbox); /* complete deposits that were not kept */

/* ---- For us ---- */
/* Look who keeps our mail, when it is due. True: others than before, to be published. */
bool mailbox_tick(struct mailbox *mailbox, struct mono now);
struct mono mailbox_next(const struct mailbox *mailbox);
size_t mailbox_chosen(const struct mailbox *mailbox,
                      uint64_t ret_prefixes[DESCRIPTOR_MAILBOXES_MAX]);

#endif
