/* Mail that we keep for others: how much of it there may be, and the deposits that are being
 * stored. It is then sent as our own messages are.
 *
 * Threat: whoever deposited it cannot be charged. So it is bounded in all and for each recipient,
 * on the disk and in memory; it belongs to no conversation, and no client is told of it. */
#ifndef P2PD_KEEPER_H
#define P2PD_KEEPER_H

#include "daemon/core/deliver/message/message.h"
#include "daemon/core/seam/effects.h"

#define KEEPER_MAIL_MAX 65536  /* mails kept for others, whatever their size */
#define KEEPER_MAIL_COST 1024u /* what a mail counts beyond its bytes: a row and our memory */

struct keeper_op;
TAILQ_HEAD(keeper_ops, keeper_op);
struct keeper {
    struct messages *messages; /* borrowed */
    struct effects *effects;
    uint64_t owner; /* first word of what a cookie of ours points to */
    uint64_t n_mails, bytes;
    struct keeper_ops storing, done;
};
struct outbox_mail {
    uint64_t tag; /* the caller's, of this deposit; several may be of one mail */
    struct message_id id;
    struct node_id recipient;
    struct wall expires;
    const uint8_t *bytes;
    size_t length;
};

void keeper_init(struct keeper *keeper, struct messages *messages, struct effects *effects,
                 uint64_t owner);
void keeper_deinit(struct keeper *keeper);

/* Is there room for a mail? Its recipient holds `held` mails of so many bytes already, and needs
 * recipient_size bytes of memory if it has to be made. `quota`: bytes of all mail, of which one
 * recipient may take an eighth. 0, -EDQUOT, -ENOMEM. */
int keeper_has_room(const struct keeper *keeper, const struct outbox_mail *mail, uint64_t quota,
                    size_t held, uint64_t held_bytes, size_t recipient_size);
/* Begin to store a mail; its message is made. Follow with keeper_store() or keeper_abandon(). NULL:
 * no memory. The bytes are borrowed until keeper_told(). */
struct keeper_op *keeper_begin(struct keeper *keeper, const struct outbox_mail *mail,
                               struct wall wall);
struct message *keeper_message(const struct keeper_op *op);
void keeper_store(struct keeper *keeper, struct keeper_op *op, const struct outbox_mail *mail);
void keeper_abandon(struct keeper *keeper, struct keeper_op *op);
/* A deposit of a mail that is durable already. 0 or -ENOMEM. */
int keeper_repeat(struct keeper *keeper, const struct outbox_mail *mail);

/* The result of one of our store operations, and the mail's message. True: enter and send it.
 * False: call keeper_gone() and message_free(). */
bool keeper_stored(struct keeper *keeper, uint64_t cookie, const struct store_result *result,
                   struct message **ret_message);
/* Until false: the mail of this deposit is durable now, or why it is not. */
bool keeper_told(struct keeper *keeper, uint64_t *ret_tag, int *ret_error);

/* Count a mail that was there at the start; uncount one that is final or was not stored. */
void keeper_count(struct keeper *keeper, const struct message *message);
void keeper_gone(struct keeper *keeper, const struct message *message);

#endif
