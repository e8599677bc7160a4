/* What clients ask of the ledger, and what they are told: pushes, questions about messages, routes.
 * See ledger.h. */
#ifndef P2PD_LEDGER_CLIENTS_H
#define P2PD_LEDGER_CLIENTS_H

#include "daemon/core/deliver/ledger/ledger.h"
#include "daemon/core/seam/request.h"

struct ledger_batch;
struct ledger_put;

struct ledger_refusal { /* why something is not accepted */
    enum answer_code code;
    char text[192];
};

/* ---- Pushes ---- */
/* Is the push well-formed, and is there room for it? `is_known`: ledger_knows() it. False:
 * *ret_refusal says why not. */
bool ledger_may_accept(const struct ledger *ledger, const struct request *request, bool is_known,
                       struct ledger_refusal *ret_refusal);
/* Do we have a message with this id? A push of it is answered as that one. */
bool ledger_knows(const struct ledger *ledger, const struct message_id *id);
/* Begin to accept a push: everything that it will need once it is stored is allocated here, so that
 * nothing can fail then. NULL: *ret_refusal says why not. With `batch` the batch is told what
 * becomes of it, and no client. Follow with ledger_put_store() or ledger_put_abandon(). */
struct ledger_put *ledger_put_begin(struct ledger *ledger, const struct request *request,
                                    const struct node_id *recipient, const char *notice,
                                    struct ledger_batch *batch, struct wall wall,
                                    struct ledger_refusal *ret_refusal);
struct message *ledger_put_message(const struct ledger_put *put);
void ledger_put_store(struct ledger *ledger, struct ledger_put *put, const struct request *request);
void ledger_put_abandon(struct ledger *ledger, struct ledger_put *put);
/* A push is refused: count and answer that. */
void ledger_refuse(struct ledger *ledger, uint64_t client, const struct ledger_refusal *refusal);
struct ledger_refusal ledger_error_words(int error);
/* Is there room for one more message? A mail of others that is being stored counts too. */
bool ledger_has_room(const struct ledger *ledger);
void ledger_count_putting(struct ledger *ledger, int by);

/* A REQUEST_PUSH_MANY. NULL: a refusal was answered. Once all puts are begun tell it how many there
 * are; `refusal`: the one behind them was refused, and no other was tried. */
struct ledger_batch *ledger_batch_new(struct ledger *ledger, const struct request *request,
                                      const char *notice);
void ledger_batch_submitted(struct ledger *ledger, struct ledger_batch *batch, size_t n,
                            const struct ledger_refusal *refusal);

/* ---- Requests about messages, which are answered ---- */
/* `notice` (may be NULL) is said of one in memory that is not final. */
void ledger_status(struct ledger *ledger, const struct request *request, const char *notice);
/* The message that the caller finishes as cancelled, its client waiting for that; or NULL. */
struct message *ledger_cancel(struct ledger *ledger, const struct request *request);
void ledger_client_gone(struct ledger *ledger, uint64_t client);

/* ---- Routes, for the clients that asked for them ---- */
bool ledger_wants_routes(const struct message *message);
/* `routes` are scratch memory of the effects. */
void ledger_answer_routes(struct ledger *ledger, struct message *message,
                          struct route_report *routes, size_t n);
void ledger_answer_no_route(struct ledger *ledger, struct message *message);
/* The same for all messages to this recipient. */
void ledger_no_route_to(struct ledger *ledger, const struct recipient *recipient);

#endif
