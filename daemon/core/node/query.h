/* What clients ask of the store through us: a question is kept until the store has answered it. */
#ifndef P2PD_QUERY_H
#define P2PD_QUERY_H

#include "daemon/core/directory/directory.h"
#include "daemon/core/node/clients.h"
#include "daemon/core/seam/answer.h"
#include "daemon/core/seam/request.h"
#include "daemon/core/seam/store.h"

struct node;
struct node_query;

/* A kind of question: what the store is asked once it is known whom it is about, and what is made
 * of its results. Both return true if the question has ended: whoever asked has been answered,
 * unless it is gone. */
struct query_kind {
    const struct destination *(*destination)(const struct request *request); /* NULL: of nobody */
    bool (*ask)(struct node *node, struct node_query *query);
    bool (*take)(struct node *node, struct node_query *query, const struct store_result *result);
    const char *missing; /* what -ENOENT means; NULL: nothing of its own */
};
struct node_query {
    struct client_wait wait;
    const struct query_kind *kind;
    struct request request;
    struct node_id peer;  /* whom it is about */
    bool looks_for_peer;  /* the store's conversations are looked through for it */
    unsigned stage;       /* of the kind's own */
    uint64_t n_forgotten; /* FORGET: in the slices before */
    size_t n_found;
    struct node_report found[DIRECTORY_CANDIDATES_MAX];
};
#define QUERY_PAGE_RECORDS 256
#define QUERY_PAGE_BYTES (1024u * 1024u)

void node_query(struct node *node, const struct request *request, const struct query_kind *kind);
void node_query_stored(struct node *node, uint64_t cookie, const struct store_result *result);
/* The result will never come. */
void node_query_abandon(struct node *node, uint64_t cookie);

/* For kinds: the next operation of the question; an answer of text, unless its client is gone. */
void query_store(struct node *node, struct node_query *query, const struct store_op *op);
void query_answer_text(struct node *node, const struct node_query *query, enum answer_code code,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
