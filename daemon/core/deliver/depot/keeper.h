/* Mail that we keep for others: how much of it there may be, and the deposits that are being
 * stored. It is sent as messages of our own to their recipients are.
 *
 * Threat: who deposited it is nobody we could charge. So it is bounded in all and for each
 * recipient, on the disk and in memory, belongs to no conversation, and no client is told of it. */
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

/* Is there room for it? Its recipient holds so many mails of so many bytes in all, and takes so
 * much more memory itself. `quota`: bytes of all mail; a recipient has an eighth of it. 0, -EDQUOT,
 * -ENOMEM. */
int keeper_has_room(const struct keeper *keeper, const struct outbox_mail *mail, uint64_t quota,
                    size_t held, uint64_t held_bytes, size_t recipient_size);
/* Begin to store it, its message being made; then keeper_store() or keeper_abandon(). NULL: no
 * memory. Its bytes are borrowed until keeper_told(). */
struct keeper_op *keeper_begin(struct keeper *keeper, const struct outbox_mail *mail,
                               struct wall wall);
struct message *keeper_message(const struct keeper_op *op);
void keeper_store(struct keeper *keeper, struct keeper_op *op, const struct outbox_mail *mail);
void keeper_abandon(struct keeper *keeper, struct keeper_op *op);
/* One that is durable already. 0 or -ENOMEM. */
int keeper_repeat(struct keeper *keeper, const struct outbox_mail *mail);

/* The result of one of our store operations: its message. True: it is to be sent from now on.
 * False: it is to be let go of (keeper_gone(), message_free()). */
bool keeper_stored(struct keeper *keeper, uint64_t cookie, const struct store_result *result,
                   struct message **ret_message);
/* Until false: the mail of which deposit is durable now, or why not. */
bool keeper_told(struct keeper *keeper, uint64_t *ret_tag, int *ret_error);

/* Mail that was there at the start counts; what is final, or was not stored, does not. */
void keeper_count(struct keeper *keeper, const struct message *message);
void keeper_gone(struct keeper *keeper, const struct message *message);

#endif
