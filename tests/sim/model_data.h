/* What the model of the store holds, and what each operation does to it. No time, no commits:
 * those are model_store's. */
#ifndef P2PD_MODEL_DATA_H
#define P2PD_MODEL_DATA_H

#include "daemon/core/node.h"

enum in_state { IN_WAITING, IN_TAKEN, IN_GONE };

struct model_out {
    struct out_record record;
    uint8_t *body;
};
struct model_in {
    struct in_record record;
    enum message_kind kind;
    uint8_t *body;
    enum in_state state;
    struct wall taken, tombstone;
};
struct model_part {
    struct node_id sender;
    struct message_id id;
    enum message_kind kind;
    uint64_t total, held;
    uint8_t *body;
    struct {
        uint64_t offset;
        uint32_t length;
    } * blocks;
    size_t n_blocks;
    struct wall until;
};
struct model_node {
    struct node_id id;
    struct boot_node node;
    uint8_t *bytes;
};
struct model_data {
    struct model_out *outs;
    struct model_in *ins;
    struct model_part *parts;
    struct model_node *nodes;
    struct spare *spares;
    struct boot_conversation *conversations; /* of finished messages */
    struct boot_rule *rules;
    struct boot_mail_key *mail_keys; /* by day */
    size_t n_outs, n_ins, n_parts, n_nodes, n_spares, n_conversations, n_rules, n_mail_keys;
    uint64_t sequence;
    int64_t next_row;
    /* What results point to. */
    void **pieces;
    size_t n_pieces;
    /* Of the last boot. */
    struct out_record *boot_pending;
    struct boot_node *boot_nodes;
    struct boot_conversation *boot_conversations;
};

void model_data_init(struct model_data *data);
void model_data_deinit(struct model_data *data);
/* Carry out one operation; returns its error. Memory of results lasts until model_data_release. */
int model_data_perform(struct model_data *data, const struct store_op *op,
                       struct store_result *result);
void model_data_release(struct model_data *data);
/* Memory of a result. */
void *model_piece(struct model_data *data, size_t size);
/* The body of an inbound message goes, its tombstone stays; an outbound message goes altogether. */
void model_forget_in(struct model_in *in);
void model_forget_out(struct model_data *data, struct model_out *out);
void model_data_boot(struct model_data *data, struct node_boot *ret_boot);

/* Running out of memory ends the simulation. Room for one more in an array: doubled at the
 * powers of two. */
void *model_copy(const void *bytes, size_t size);
void *model_grow(void *array, size_t n, size_t size);

static inline bool model_id_is_equal(const struct message_id *a, const struct message_id *b) {
    return memcmp(a->bytes, b->bytes, MESSAGE_ID_LEN) == 0;
}

/* model_waiting.c: the place of a message that is complete; would it exceed a quota; IN_FETCH and
 * IN_TAKE. */
int64_t model_place(const struct model_data *data, const struct store_op *op);
bool model_is_over(const struct model_data *data, const struct store_op *op);
int model_in_fetch(struct model_data *data, const struct store_op *op, struct store_result *result);
void model_in_take(struct model_data *data, const struct store_op *op);

/* model_history.c: HISTORY, CONVERSATIONS, FORGET. */
int model_history(struct model_data *data, const struct store_op *op, struct store_result *result);
int model_conversations(struct model_data *data, const struct store_op *op,
                        struct store_result *result);
void model_forget(struct model_data *data, const struct store_op *op, struct store_result *result);

#endif
