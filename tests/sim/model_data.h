/* What the model of the store holds, and what each operation does to it. No time, no commits:
 * those are model_store's. */
#ifndef P2PD_MODEL_DATA_H
#define P2PD_MODEL_DATA_H

#include "daemon/core/node/node.h"

enum in_state { IN_WAITING, IN_TAKEN, IN_GONE };

struct model_out {
    struct out_record record;
    int64_t row;
    uint8_t *body;          /* of a file: what is in the spool; NULL when it is deleted */
    struct file_head *head; /* KIND_FILE */
};
struct model_upload { /* a file that a client has left in the spool */
    char name[SPOOL_NAME_MAX + 1];
    uint8_t *bytes;
    uint64_t size;
    bool is_dropped; /* with the commit */
};
enum model_file_state { MODEL_FILE_PARTIAL, MODEL_FILE_WAITING, MODEL_FILE_TAKEN };
struct model_file {            /* one that we receive */
    struct file_record record; /* as it is listed; its path once it waits */
    int64_t row;
    enum model_file_state state;
    uint8_t *bytes;
    struct model_span {
        uint64_t start, end;
    } * spans; /* by start, merged */
    size_t n_spans;
    struct wall until, taken, grown;
    bool is_known; /* its sender was, with its last block */
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
    struct wall until, grown;
    bool is_known;
};
struct model_node {
    struct node_id id;
    struct boot_node node;
    struct address was; /* its last pin that was taken back */
    uint8_t *bytes;
};
struct model_data {
    struct model_out *outs;
    struct model_in *ins;
    struct model_part *parts;
    struct model_node *nodes;
    struct model_upload *uploads;
    struct model_file *files;    /* by row */
    struct message_id *dropping; /* files that we sent, over with the commit */
    struct spare *spares;
    struct boot_conversation *conversations; /* of finished messages */
    struct boot_rule *rules;
    struct boot_mail_key *mail_keys; /* by day */
    size_t n_outs, n_ins, n_parts, n_nodes, n_spares, n_conversations, n_rules, n_mail_keys,
        n_uploads, n_files, n_dropping;
    uint64_t read; /* bytes of files that OUT_READ gave */
    uint64_t sequence;
    struct wall clock, swept;
    bool clock_is_known;
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
/* What was performed so far is durable: files that are over go. */
void model_data_commit(struct model_data *data);
/* Memory of a result. */
void *model_piece(struct model_data *data, size_t size);
/* The body of an inbound message goes, its tombstone stays; an outbound message goes altogether. */
void model_forget_in(struct model_in *in);
void model_forget_out(struct model_data *data, struct model_out *out);
void model_data_boot(struct model_data *data, struct node_boot *ret_boot);
void model_data_boot_first(struct model_data *data, size_t n, struct node_boot *boot);

/* Running out of memory ends the simulation. Room for one more in an array: doubled at the
 * powers of two. */
void *model_copy(const void *bytes, size_t size);
void *model_grow(void *array, size_t n, size_t size);

/* What is behind the terminating zero is nobody's business. */
static inline void model_copy_text(char *to, const char *from, size_t size) {
    memset(to, 0, size);
    memcpy(to, from, strnlen(from, size - 1));
}

static inline bool model_id_is_equal(const struct message_id *a, const struct message_id *b) {
    return memcmp(a->bytes, b->bytes, MESSAGE_ID_LEN) == 0;
}

/* What is wanting, and what of it all that is stale would give back: as
 * daemon/io/store/store_part.c has it. */
struct model_need {
    bool is_hopeless;
    uint64_t own_bytes, all_bytes, own_n, all_n;
};
static inline bool model_is_wanting(const struct model_need *need) {
    return need->is_hopeless || need->own_bytes || need->all_bytes || need->own_n || need->all_n;
}
static inline bool model_is_mended(const struct model_need *need, const struct model_need *stale) {
    return !need->is_hopeless && need->own_bytes <= stale->own_bytes &&
           need->all_bytes <= stale->all_bytes && need->own_n <= stale->own_n &&
           need->all_n <= stale->all_n;
}
static inline uint64_t model_missing(uint64_t bytes, uint64_t more, uint64_t quota) {
    return quota && bytes + more > quota ? bytes + more - quota : 0;
}

/* model_waiting.c: the place of a message that is complete; would it exceed a quota; IN_FETCH and
 * IN_TAKE. */
int64_t model_place(const struct model_data *data, const struct store_op *op);
/* May it come, or grow? What is stale gives way to it where that helps; parts move by that. */
bool model_admit(struct model_data *data, const struct store_op *op);
/* When it last grew, once this block is added to what is held. */
void model_grow_part(uint64_t held, const struct store_op *op, struct wall *grown);
#define MODEL_STALE_US US_PER_HOUR
#define MODEL_BEGUN_US (US_PER_HOUR - US_PER_MINUTE)
int model_in_fetch(struct model_data *data, const struct store_op *op, struct store_result *result);
void model_in_take(struct model_data *data, const struct store_op *op);

/* model_file.c: the same of files; whatever files have beside that. */
int model_file_out_put(struct model_data *data, const struct store_op *op,
                       struct store_result *result);
void model_file_out_final(struct model_data *data, const struct model_out *out);
int model_file_in_put(struct model_data *data, const struct store_op *op,
                      struct store_result *result);
int model_file_list(struct model_data *data, const struct store_op *op,
                    struct store_result *result);
int model_file_take(struct model_data *data, const struct store_op *op);
void model_file_sweep(struct model_data *data, int64_t now, int64_t retention_us);
void model_file_forget(struct model_data *data, const struct node_id *peer);
void model_file_abandon(struct model_data *data, const struct node_id *sender, int64_t before);
uint64_t model_file_held(const struct model_data *data);
void model_file_commit(struct model_data *data);
/* A start clears away what clients had left. */
void model_file_drop_uploads(struct model_data *data);
void model_file_deinit(struct model_data *data);
/* NULL: there is none of that sender and id. */
const struct model_file *model_file_find(const struct model_data *data,
                                         const struct node_id *sender, const struct message_id *id);
/* model_data.c. */
struct model_out *model_find_out(struct model_data *data, const struct message_id *id);
/* A row of a message or file that is complete; the body is copied. */
struct model_in *model_enter(struct model_data *data, const struct store_op *op,
                             enum message_kind kind, const uint8_t *body);
/* Whatever is unfinished of this sender's and has not grown since counts as not grown for ever. */
void model_abandon(struct model_data *data, const struct node_id *sender, int64_t before);
bool model_is_known(const struct model_data *data, const struct store_op *op);
struct model_part *model_find_part(const struct model_data *data, const struct store_op *op);
void model_forget_part(struct model_data *data, struct model_part *part);
struct model_out *model_add_out(struct model_data *data, const struct out_record *record,
                                uint8_t *body);

/* model_out.c: OUT_*. */
int model_out_put(struct model_data *data, const struct store_op *op, struct store_result *result);
int model_out_state(struct model_data *data, const struct store_op *op);
int model_out_progress(struct model_data *data, const struct store_op *op);
void model_out_readdress(struct model_data *data, const struct store_op *op);
int model_out_read(struct model_data *data, const struct store_op *op, struct store_result *result);
int model_out_pending(struct model_data *data, const struct store_op *op,
                      struct store_result *result);
int model_out_find(struct model_data *data, const struct store_op *op, struct store_result *result);
/* The highest sequence of each recipient; there is room for one more. Returns how many there are
 * then. */
size_t model_raise_conversation(struct boot_conversation *conversations, size_t n,
                                const struct out_record *record);

/* model_history.c: HISTORY, CONVERSATIONS, FORGET. */
int model_history(struct model_data *data, const struct store_op *op, struct store_result *result);
int model_conversations(struct model_data *data, const struct store_op *op,
                        struct store_result *result);
void model_forget(struct model_data *data, const struct store_op *op, struct store_result *result);

#endif
