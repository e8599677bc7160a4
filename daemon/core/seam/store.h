/* What the node asks of its store, and what the store answers. Values only. */
#ifndef P2PD_SEAM_STORE_H
#define P2PD_SEAM_STORE_H

#include "daemon/core/seam/types.h"

/* ---- Store operations ----
 * Carried out in the order in which they were put out; each is answered by a store_result with its
 * tag, in that order, once it and all before it are durable (reads: once read). What `op` points to
 * is the node's and stays until its result has gone in. */
enum store_kind {
    STORE_OUT_PUT, /* insert a message with its body, state queued. An id that exists with the same
                      recipient, size and body: ok, existed = true (record = what is there); with
                      another: -EEXIST */
    STORE_OUT_STATE,     /* set state, reason, finished; final states may be deleted at once if
                            `forget` */
    STORE_OUT_PROGRESS,  /* all below this offset has arrived: after a restart it is not sent
                            again */
    STORE_OUT_READDRESS, /* messages and files that are not final get another recipient, a sequence
                            in that conversation, and nothing of them has arrived there; all of them
                            or, on an error, none. What is final or unknown is passed over */
    STORE_OUT_READ,    /* read body[offset, offset + length); -ENOENT: the message, or its file, is
                          gone; -ESTALE: the file is not what was accepted */
    STORE_OUT_FIND,    /* the record of an id, or -ENOENT */
    STORE_OUT_PENDING, /* a page of what is not final, oldest first: see node_boot */
    /* One block of a message or file, idempotent. Results: see store_in_outcome. -EDQUOT: over a
     * quota, nothing of it is kept; -ENOSPC: the disk has not room for it and what is to stay free;
     * -EBADMSG: the file is complete and its digest is wrong; -ESTALE: what was here of the file is
     * gone: it begins anew with its next block; -EAGAIN: all is here, but its digest is still being
     * computed: the same block, put again, will tell. */
    STORE_IN_PUT,
    STORE_IN_FETCH, /* waiting messages (KIND_MESSAGE) with place > after, by place: at most limit,
                       at most bytes of bodies (but one at least); of those, the ones that `since`
                       leaves */
    STORE_IN_TAKE,  /* rows: from waiting to taken (history), or body deleted at once if `forget`;
                       the tombstone stays */
    STORE_NODE_PUT, /* descriptor of a kept node, with its pin */
    STORE_NODE_UNPIN,    /* clear every pin at this address */
    STORE_SPARES_PUT,    /* replace the list of spare and anchor addresses */
    STORE_SEQUENCE,      /* our descriptor's sequence: never to be reused */
    STORE_HISTORY,       /* both directions of one conversation, by time, from a cursor */
    STORE_CONVERSATIONS, /* a page of them, latest first */
    STORE_FORGET,    /* of one peer: taken messages and finished sends, received files' entries (the
                        files stay); tombstones stay. A slice: `more` wants it again */
    STORE_FILES,     /* a page of files, incoming, waiting, outgoing; or the one of an id */
    STORE_FILE_TAKE, /* the client has its copy: delete ours, keep the tombstone. -ENOENT */
    STORE_RULE_PUT,  /* what holds for a sender; RULE_NONE deletes it */
    STORE_MAIL_KEY,  /* add a day's mail key; delete those of days before `oldest` */
    STORE_UPLOAD_DROP, /* a file of the spool that no message will have */
    STORE_CLOCK,       /* what time it is, and whether the neighbours agree; what is not final moves
                          along */
    STORE_SWEEP, /* forget taken messages, finished sends and tombstones that are over; unfinished
                    inbound ones too */
};
/* Up to where what is put may fill the disk (daemon/io/store/disk.h): what the user sends, or what
 * others send, of which so many percent of the disk stay free; 0: the least that must. */
struct disk_share {
    bool is_of_others;
    uint8_t percent;
};
enum store_in_outcome { STORE_IN_PARTIAL = 0, STORE_IN_COMPLETE, STORE_IN_DUPLICATE };

struct spare { /* an address kept for the next start */
    struct address address;
    struct node_id id;
    bool anchor;
};

struct readdress_item {
    struct message_id id;
    uint64_t sequence; /* with the new recipient */
};

struct store_op {
    enum store_kind kind;
    uint64_t tag;
    union {
        struct {
            struct out_record record;
            const uint8_t *body;
            /* KIND_FILE: its name in the spool folder; the store takes it over if the result is
             * 0 */
            char spool[SPOOL_NAME_MAX + 1];
        } out_put;
        struct {
            char spool[SPOOL_NAME_MAX + 1];
        } upload_drop;
        struct {
            struct message_id id;
            enum message_state state;
            char reason[MESSAGE_REASON_MAX];
            struct wall finished;
            bool forget;
        } out_state;
        struct {
            struct message_id id;
            uint64_t offset;
        } out_progress;
        struct {
            struct node_id to;
            const struct readdress_item *items;
            size_t n;
        } readdress;
        struct {
            struct message_id id;
            uint64_t offset;
            uint32_t length;
        } out_read;
        struct {
            struct message_id id;
        } out_find;
        struct {
            int64_t after, until; /* cursors */
            uint32_t limit;
        } out_pending;
        struct {
            struct node_id sender;
            struct address sender_address;
            char sender_name[NODE_NAME_MAX + 1];
            struct message_id id;
            uint64_t sequence;
            struct wall sent, received, tombstone_until;
            enum message_kind kind;       /* KIND_MESSAGE or KIND_FILE */
            const struct file_head *file; /* KIND_FILE */
            uint64_t total, offset;
            uint32_t length;
            const uint8_t *bytes;
            uint64_t quota_sender,
                quota_all; /* bytes that may be here: waiting messages, or files; 0: no bound */
            struct disk_share share;
            bool
                is_known; /* its sender is: of bounds on what is unfinished a quarter is for such */
            bool follows; /* the operation before it put more of the same: if that was not done,
                             nor is this, for the same reason */
        } in_put;
        struct {
            int64_t after; /* place */
            uint32_t limit;
            uint64_t bytes;
            bool any_sender;
            struct node_id sender;
            struct wall since;          /* received then or later; {0}: any */
            bool since_message;         /* completed after this one: */
            struct message_id since_id; /* (unknown: -ENOENT) */
        } in_fetch;
        struct {
            struct node_id peer;
            struct wall since, until; /* sent (outgoing) or received (incoming) in [since, until) */
            int64_t after;            /* cursor: the last page's `next`; 0 = from the beginning */
            uint32_t limit;
            uint64_t bytes;
        } history;
        struct {
            int64_t after;
            uint32_t limit;
        } conversations;
        struct {
            struct node_id peer;
            struct wall ungrown; /* of its unfinished messages and files those go that have not
                                    grown since */
        } forget;
        struct {
            int64_t after;
            uint32_t limit;
            bool one;
            struct message_id id; /* `one` */
        } files;
        struct {
            struct message_id id;
            struct node_id sender;
            struct wall now;
        } file_take;
        struct {
            struct node_id id;
            enum sender_rule rule;
        } rule_put;
        struct {
            uint32_t day;          /* days since 1970 */
            const uint8_t *secret; /* 32 bytes, in locked memory */
            uint32_t oldest;
        } mail_key;
        struct {
            const int64_t *rows;
            size_t n;
            struct wall now;
            bool forget;
        } in_take;
        struct {
            struct node_id id;
            const uint8_t *bytes;
            size_t length;
            bool pinned;
            struct address pin;
        } node_put;
        struct {
            struct address address;
        } node_unpin;
        struct {
            const struct spare *spares;
            size_t n;
        } spares_put;
        struct {
            uint64_t sequence;
        } sequence;
        struct {
            struct wall wall, swept; /* swept: by which the store is swept */
            bool is_known;
            int64_t shift_us; /* added to `created` and `expires` of all that is not final */
        } clock;
        struct {
            struct wall now;
            int64_t retention_us;
        } sweep;
    };
};
struct store_result {
    uint64_t tag;
    enum store_kind kind;
    int error; /* 0 or negative errno: -ENOSPC, -EIO, -ENOENT, -EEXIST, -EROFS... The operation then
                  changed nothing */
    bool existed;                     /* OUT_PUT */
    enum store_in_outcome in_outcome; /* IN_PUT */
    bool in_renumbered; /* IN_PUT, complete: its sender, whose messages wait, numbers anew */
    bool tells_unfinished;
    uint64_t unfinished;      /* IN_PUT, SWEEP: bytes of messages and files that are not whole */
    struct out_record record; /* OUT_PUT, OUT_FIND */
    const uint8_t *bytes;     /* OUT_READ, borrowed during the event */
    uint32_t length;
    const struct in_record *messages; /* IN_FETCH, borrowed during the event */
    size_t n_messages;
    bool more;    /* OUT_PENDING, IN_FETCH, HISTORY, CONVERSATIONS, FILES, FORGET: there are further
                     ones */
    int64_t next; /* HISTORY, CONVERSATIONS, FILES, OUT_PENDING: the cursor to go on from */
    const struct out_record *pending; /* OUT_PENDING */
    const struct history_record *history;
    const struct conversation_record *conversations;
    const struct file_record *files;
    size_t n_records;     /* of the one of these that was asked for; borrowed during the event */
    uint64_t n_forgotten; /* FORGET */
    uint64_t n_damaged;   /* OUT_PENDING: records passed over, since they cannot be */
};

#endif
