/* What the outbox's files share: outbox.c (life, results, outcomes), outbox_push.c (pushes),
 * outbox_turn.c (what is due), outbox_mail.c (mail of others), outbox_readdress.c (another
 * recipient for what waits) and outbox_hold.c (between ledger and sender). Each calls those that
 * stand behind it in this list alone. */
#ifndef P2PD_OUTBOX_PRIVATE_H
#define P2PD_OUTBOX_PRIVATE_H

#include "daemon/core/deliver/depot/depositor.h"
#include "daemon/core/deliver/ledger/ledger_clients.h"
#include "daemon/core/deliver/ledger/ledger_store.h"
#include "daemon/core/deliver/outbox.h"
#include "daemon/core/deliver/sender/loopback.h"
#include "daemon/core/deliver/sender/sender_turn.h"

/* Whose a store operation is: the first word of what its cookie points to. */
enum outbox_owner {
    OUTBOX_LEDGER = 1,
    OUTBOX_SENDER,
    OUTBOX_LOOPBACK,
    OUTBOX_DEPOSITOR,
    OUTBOX_KEEPER,
    OUTBOX_READDRESS
};

struct outbox_move;
TAILQ_HEAD(outbox_moves, outbox_move);

struct outbox {
    struct outbox_config config;
    struct outbox_counters *counters; /* summed up when they are asked for */
    struct node_id self;
    struct messages messages;
    struct ledger *ledger;
    struct sender *sender;
    struct loopback loopback;
    struct depositor *depositor;
    struct keeper keeper;
    struct outbox_moves moves; /* operations of outbox_readdress.c under way */
};

/* A message of so many bytes will be sent by this route (see sender_hold()). NULL: no memory. */
struct recipient *outbox_hold(struct outbox *outbox, const struct sender_route *route,
                              enum sender_hold hold, uint64_t size);
/* A recipient was freed (turn->is_gone). */
void outbox_let_go(struct outbox *outbox, const struct sender_turn *turn);
/* Have a message sent, by its recipient, or to ourselves. */
void outbox_enqueue(struct outbox *outbox, struct message *message, uint64_t progress);
/* End a message: nobody sends it any more, and the ledger stores its final state. */
void outbox_finish(struct outbox *outbox, struct message *message, enum message_state state,
                   const char *reason, struct now now);

/* Results of store operations of the keeper's, and of outbox_readdress.c. */
void outbox_keeper_stored(struct outbox *outbox, uint64_t cookie, const struct store_result *result,
                          struct now now);
void outbox_readdress_stored(struct outbox *outbox, uint64_t cookie,
                             const struct store_result *result);
void outbox_readdress_client_gone(struct outbox *outbox, uint64_t client);
void outbox_readdress_deinit(struct outbox *outbox);

#endif
