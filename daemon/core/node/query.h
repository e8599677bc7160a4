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

/* A kind of question: `ask` asks the store, once it is known which node the question is about, and
 * `take` makes an answer of the results. Both return true if the question has ended: the client has
 * been answered, unless it has gone. */
struct query_kind {
    /* NULL: it is about no node */
    const struct destination *(*destination)(const struct request *request);
    bool (*ask)(struct node *node, struct node_query *query);
    bool (*take)(struct node *node, struct node_query *query, const struct store_result *result);
    const char *missing; /* what -ENOENT means; NULL: nothing of its own */
};
struct node_query {
    struct client_wait wait;
    const struct query_kind *kind;
    struct request request;
    struct node_id peer;  /* the node that it is about */
    bool looks_for_peer;  /* the store's conversations are searched for it */
    unsigned stage;       /* for the kind's own use */
    uint64_t n_forgotten; /* FORGET: how many the earlier slices forgot */
    size_t n_found;
    struct node_report found[DIRECTORY_CANDIDATES_MAX];
};
#define QUERY_PAGE_RECORDS 256
#define QUERY_PAGE_BYTES (1024u * 1024u)

void node_query(struct node *node, const struct request *request, const struct query_kind *kind);
void node_query_stored(struct node *node, uint64_t cookie, const struct store_result *result);
/* The store's result will never come: free the question. */
void node_query_abandon(struct node *node, uint64_t cookie);

/* For kinds: the next operation of the question; an answer of text, unless its client is gone. */
void query_store(struct node *node, struct node_query *query, const struct store_op *op);
void query_answer_text(struct node *node, const struct node_query *query, enum answer_code code,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
