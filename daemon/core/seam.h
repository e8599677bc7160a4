/* The seam between the node and whatever runs it: what goes in (events, requests of clients, finished store operations) and what
 * comes out (datagrams, store operations, answers, when to wake). Values only. See node.h for the contract. */
#ifndef P2PD_SEAM_H
#define P2PD_SEAM_H

#include "daemon/core/base.h"
#include "daemon/core/directory.h"
#include "daemon/core/identity.h"
#include "daemon/core/topology.h"

#define DATAGRAM_LEN 1232
#define MESSAGE_REASON_MAX 64

/* ---- Datagrams ---- */
struct datagram {
    struct address remote;
    struct address local; /* the address it came to, and answers leave from; unspecified = any */
    uint8_t *bytes;       /* of one that came: the node opens it in place, so they are not kept */
    size_t length;
};

/* ---- Messages, as clients and the store see them ---- */
enum message_state {
    MESSAGE_QUEUED = 1,
    MESSAGE_SENT,
    MESSAGE_DELIVERED,
    MESSAGE_EXPIRED,
    MESSAGE_FAILED,
    MESSAGE_REFUSED
};
static inline bool message_state_is_final(enum message_state state) {
    return state >= MESSAGE_DELIVERED;
}

#define SPOOL_NAME_MAX 40 /* of a file that a client has left in the spool folder for us to send */

struct out_record { /* a message that we send, without its body */
    struct message_id id;
    struct node_id recipient;
    uint64_t sequence; /* within the conversation with this recipient, from 1; KIND_MAIL: 0 */
    struct wall created, expires, finished;
    uint64_t size;
    enum message_kind kind;
    const struct file_head *file; /* KIND_FILE, else NULL; borrowed as the record's bytes are */
    uint64_t progress; /* the recipient has all below this offset (long messages and files) */
    enum message_state state;
    char reason[MESSAGE_REASON_MAX];
    uint8_t relays_exact;       /* 0xff: as configured */
    uint8_t shards_k, shards_m; /* exactly so many data and parity shards; 0, 0: as fits */
    bool strict;
};
struct in_record { /* a message that we received, complete */
    int64_t row;   /* the store's: grows in order of completion */
    struct node_id sender;
    struct address sender_address; /* as known at arrival */
    char sender_name[NODE_NAME_MAX + 1];
    struct message_id id;
    uint64_t sequence;
    struct wall sent, received;
    int64_t place; /* order of handing out: within a sender that of sequence, as far as arrived */
    const uint8_t *body;
    uint32_t size;
};
/* One line of a conversation: history(both directions) */
struct history_record {
    bool outgoing;
    struct message_id id;
    enum message_kind kind;   /* KIND_MESSAGE or KIND_FILE */
    struct wall sent;         /* made by its sender */
    struct wall done;         /* incoming: received; outgoing: finished, {0} while it is not */
    enum message_state state; /* outgoing */
    bool taken;               /* incoming */
    char reason[MESSAGE_REASON_MAX];
    const struct file_head *file; /* KIND_FILE */
    const uint8_t *body;          /* KIND_MESSAGE */
    uint64_t size;
};
struct conversation_record {
    struct node_id peer;
    struct address address; /* last known; unspecified: none */
    char name[NODE_NAME_MAX + 1];
    uint64_t waiting;  /* messages from it not taken */
    uint64_t pending;  /* to it not final; the store leaves this to the node, which has them */
    uint64_t messages; /* that history has, both directions */
    struct wall last;  /* when the latest of them was sent or received */
    bool last_outgoing;
    char last_text[81]; /* the beginning of its body, raw bytes, or its file's name; 0-terminated */
};
enum file_state {
    FILE_INCOMING = 1, /* blocks are missing */
    FILE_WAITING,      /* complete and verified: receive takes it */
    FILE_OUTGOING,     /* message_state says more */
};
/* A folder's configured 255, a name, a number, and room to resolve links. */
#define FILE_PATH_MAX 480
struct file_record {
    enum file_state state;
    struct message_id id;
    struct node_id peer; /* sender or recipient */
    struct address peer_address;
    char peer_name[NODE_NAME_MAX + 1];
    struct file_head head;
    char path[FILE_PATH_MAX]; /* FILE_WAITING: where it lies, absolute */
    uint64_t size,
        held; /* held: bytes here (incoming), bytes confirmed (outgoing, as last stored) */
    struct wall sent, received;       /* received: complete */
    enum message_state message_state; /* FILE_OUTGOING */
};
/* Who may send to us, beyond what inbox.accept says. */
enum sender_rule { RULE_NONE = 0, RULE_ALLOW, RULE_BLOCK };

/* ---- Store operations ----
 * Carried out in the order in which they were put out; each is answered by a store_result with its tag, in that order, once it and all
 * before it are durable (reads: once read). What `op` points to is the node's and stays until its result has gone in. */
enum store_kind {
    STORE_OUT_PUT, /* insert a message with its body, state queued. An id that exists with the same recipient, size and body: ok, existed = true
                         (record = what is there); with another: -EEXIST */
    STORE_OUT_STATE, /* set state, reason, finished; final states may be deleted at once if `forget` */
    STORE_OUT_PROGRESS, /* all below this offset has arrived: after a restart it is not sent again */
    STORE_OUT_READDRESS, /* messages and files that are not final get another recipient, a sequence in that
                            conversation, and nothing of them has arrived there; all of them or, on an
                            error, none. What is final or unknown is passed over */
    STORE_OUT_READ, /* read body[offset, offset + length); -ENOENT: the message, or its file, is gone; -ESTALE: the file is not what
                         was accepted */
    STORE_OUT_FIND, /* the record of an id, or -ENOENT */
    STORE_OUT_PENDING, /* a page of what is not final, oldest first: see node_boot */
    STORE_IN_PUT, /* one block of a message or file, idempotent. Results: see store_in_outcome. -EDQUOT: over a quota, nothing of it
                         is kept; -ENOSPC: the disk has not room for it and what is to stay free; -EBADMSG: the file is complete and its digest is wrong; -ESTALE:
                         what was here of the file is gone: it begins anew with its next block; -EAGAIN: all is here, but its digest is still being
                         computed: the same block, put again, will tell */
    STORE_IN_FETCH, /* waiting messages (KIND_MESSAGE) with place > after, by place: at most limit, at most bytes of bodies (but one at
                         least); of those, the ones that `since` leaves */
    STORE_IN_TAKE, /* rows: from waiting to taken (history), or body deleted at once if `forget`; the tombstone stays */
    STORE_NODE_PUT,      /* descriptor of a kept node, with its pin */
    STORE_NODE_UNPIN,    /* clear every pin at this address */
    STORE_SPARES_PUT,    /* replace the list of spare and anchor addresses */
    STORE_SEQUENCE,      /* our descriptor's sequence: never to be reused */
    STORE_HISTORY,       /* both directions of one conversation, by time, from a cursor */
    STORE_CONVERSATIONS, /* a page of them, latest first */
    STORE_FORGET, /* of one peer: taken messages and finished sends, received files' entries (the files stay); tombstones stay. A slice: `more` wants it again */
    STORE_FILES,  /* a page of files, incoming, waiting, outgoing; or the one of an id */
    STORE_FILE_TAKE,   /* the client has its copy: delete ours, keep the tombstone. -ENOENT */
    STORE_RULE_PUT,    /* what holds for a sender; RULE_NONE deletes it */
    STORE_MAIL_KEY,    /* add a day's mail key; delete those of days before `oldest` */
    STORE_UPLOAD_DROP, /* a file of the spool that no message will have */
    STORE_CLOCK, /* what time it is, and whether the neighbours agree; what is not final moves along */
    STORE_SWEEP, /* forget taken messages, finished sends and tombstones that are over; unfinished inbound ones too */
};
/* Up to where what is put may fill the disk (io/disk.h): what the user sends, or what others send, of
 * which so many percent of the disk stay free; 0: the least that must. */
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
            /* KIND_FILE: its name in the spool folder; the store takes it over if the result is 0 */
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
            struct wall
                ungrown; /* of its unfinished messages and files those go that have not grown since */
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
    int error; /* 0 or negative errno: -ENOSPC, -EIO, -ENOENT, -EEXIST, -EROFS... The operation then changed nothing */
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
    bool
        more; /* OUT_PENDING, IN_FETCH, HISTORY, CONVERSATIONS, FILES, FORGET: there are further ones */
    int64_t next; /* HISTORY, CONVERSATIONS, FILES, OUT_PENDING: the cursor to go on from */
    const struct out_record *pending; /* OUT_PENDING */
    const struct history_record *history;
    const struct conversation_record *conversations;
    const struct file_record *files;
    size_t n_records;     /* of the one of these that was asked for; borrowed during the event */
    uint64_t n_forgotten; /* FORGET */
    uint64_t n_damaged;   /* OUT_PENDING: records passed over, since they cannot be */
};

/* ---- Requests of clients ---- */
enum request_kind {
    REQUEST_PUSH,
    REQUEST_PUSH_MANY, /* several messages to one recipient, one transaction; answered once */
    REQUEST_PULL,      /* starts a pull; stays until end, client gone, or all given */
    REQUEST_CONFIRM,   /* of the messages handed to this client so far, or of some of them */
    REQUEST_STATUS,
    REQUEST_MESSAGE, /* status ID */
    REQUEST_PEERS,
    REQUEST_NODES,
    REQUEST_ROUTE,
    REQUEST_CANCEL,
    REQUEST_PING,
    REQUEST_CONNECT,
    REQUEST_DISCONNECT,
    REQUEST_TRUST,
    REQUEST_CONVERSATIONS,
    REQUEST_HISTORY,
    REQUEST_FORGET,
    REQUEST_FILES,
    REQUEST_FILE_OPEN, /* answered with where it lies: ANSWER_FILES, one record */
    REQUEST_FILE_TAKE,
    REQUEST_RULE,  /* allow, block, and back */
    REQUEST_RULES, /* answered ANSWER_RULES */
    REQUEST_DOCTOR,
};
#define RELAYS_DEFAULT 0xff
#define PUSH_MANY_MAX 1024
struct push_item {
    struct message_id id;
    const uint8_t *body;
    size_t size;
};

struct host_report {             /* a peer's name that could not be looked up */
    char name[264];              /* as configured */
    char why[96];                /* the resolver's words */
    int64_t failing_us, next_us; /* since the first failure; until the next try */
};
struct request {
    uint64_t client; /* the shell's number of the connection; answers carry it */
    enum request_kind kind;
    union {
        struct {
            struct destination to;
            struct message_id id; /* the client's */
            const uint8_t *body;  /* borrowed during the event */
            size_t size;
            uint8_t relays; /* exactly; RELAYS_DEFAULT */
            bool strict, trace;
            bool wait;                  /* answer again when its state is final */
            int64_t expire_us;          /* 0: as configured */
            uint8_t shards_k, shards_m; /* exactly; 0, 0: as fits */
            enum message_kind kind;     /* 0 means KIND_MESSAGE */
            bool check; /* would it be accepted? Answer ANSWER_TEXT; nothing is stored */
            const struct file_head
                *file; /* KIND_FILE: borrowed during the event; `size` is the file's, body NULL */
            char spool[SPOOL_NAME_MAX + 1];
        } push;
        struct {
            struct destination to;
            const struct push_item *items; /* borrowed during the event */
            size_t n;                      /* 1 to PUSH_MANY_MAX */
            uint8_t relays, shards_k, shards_m;
            bool strict, wait;
            int64_t expire_us;
        } push_many;
        struct {
            bool peek, wait, follow; /* wait: park while there is none; follow: go on for ever */
            bool from_any;
            struct destination from;
            uint32_t max; /* 0: all */
            struct wall since;
            bool since_message;
            struct message_id since_id;
        } pull;
        struct {
            const int64_t *rows; /* borrowed during the event; NULL: all that it has */
            size_t n;
        } confirm;
        struct {
            struct destination to;
            struct wall since, until;
            int64_t after;
        } history; /* also FORGET (to), CONVERSATIONS (after), FILES (after) */
        struct {
            struct message_id id;
            bool by_sender; /* two senders may use one id: then it has to be said whose */
            struct destination sender;
        } file; /* FILE_OPEN, FILE_TAKE */
        struct {
            struct destination to;
            enum sender_rule rule;
        } rule;
        struct {
            struct message_id id;
            bool wait; /* MESSAGE: answer again when final */
        } message;     /* MESSAGE, CANCEL */
        struct {
            struct destination to;
            uint32_t count; /* ROUTE: samples wanted */
            uint8_t relays;
            bool strict;
            bool resend; /* TRUST: address anew what waits for the key before */
        } to;            /* ROUTE, PING, DISCONNECT, TRUST */
        struct {
            struct address address;
        } connect;
        struct { /* what the shell knows and we do not; borrowed during the event */
            const struct host_report *hosts;
            size_t n_hosts;
        } doctor;
    };
};

/* How a request ended, as p2pctl's exit code has it (p2pctl(1) EXIT STATUS). */
enum answer_code {
    ANSWER_OK = 0,
    ANSWER_FAILED = 1,
    ANSWER_USAGE = 2,
    ANSWER_UNKNOWN = 4,
    ANSWER_TIMEOUT = 5,
    ANSWER_LIMIT = 6,
    ANSWER_KEY_CHANGED = 7,
};
struct counters { /* names as in status --json */
    uint64_t datagrams_in, datagrams_out, onion_relayed, onion_delivered, onion_sent,
        duplicates_dropped, malformed_dropped, no_route_dropped, queue_dropped, handshakes,
        retransmissions;
    uint64_t drops[DROP_COUNT];
    uint64_t share_refused, cookies_sent, handshakes_refused, messages_sent, messages_delivered,
        messages_received, receipts_sent, mail_refused;
    uint64_t refused_blocked, refused_unknown, refused_quota, refused_files; /* parcels */
    uint64_t pushes_refused, rules_refused;                                  /* at a bound */
    uint64_t memory_evicted, memory_refused; /* at limits.memory: what went, what was not taken */
};
struct status_report {
    struct node_id id;
    char name[NODE_NAME_MAX + 1];
    struct address addresses[DESCRIPTOR_ADDRESSES_MAX];
    size_t n_addresses;
    int64_t uptime_us;
    unsigned pool_neighbours, pool_min, pool_max, pool_spare;
    size_t directory_nodes, directory_relays;                 /* ourselves included */
    uint64_t inbox_waiting, inbox_unfinished, outbox_pending; /* unfinished: bytes, files' too */
    bool network_open;                                        /* it has no secret */
    uint64_t outbox_stranded; /* of outbox_pending: to a key that is gone from where another is */
    uint64_t mail_held, mail_held_bytes; /* kept for others; not among outbox_pending */
    int64_t clock_offset_us;             /* the correction in force */
    int64_t clock_error_us;              /* how far the machine's clock is behind the neighbours' */
    size_t memory_used, memory_max, droplist_entries;
    struct counters counters;
};
struct peer_report {
    struct address address;
    char name[NODE_NAME_MAX + 1];
    struct node_id id;
    int64_t rtt_us; /* -1: not measured */
    struct wall since;
    const char *state; /* "up", "suspect", "connecting" */
    uint64_t bytes_in, bytes_out;
    bool dialled;
};
struct node_report {
    struct address address;
    char name[NODE_NAME_MAX + 1];
    struct node_id id;
    bool relay, pinned, neighbour, self, live;
    struct wall last_seen;
};
struct route_hop {
    struct node_id id;
    struct address address;
    char name[NODE_NAME_MAX + 1];
};
struct route_report {
    struct route_hop hops[TOPOLOGY_RELAYS_MAX + 1]; /* relays, then the destination */
    size_t n_hops;
};
struct message_report {
    struct message_id id;
    enum message_state state;
    char reason[MESSAGE_REASON_MAX];
    /* `known`: the rest is filled in (status ID) */
    bool known;
    struct node_id recipient;
    enum message_kind kind;
    uint64_t size, arrived; /* bytes that the recipient has confirmed */
    struct wall created, expires, finished;
    unsigned mailboxes; /* that hold it for its recipient */
};
struct many_report {                 /* of a REQUEST_PUSH_MANY */
    size_t accepted;                 /* the first so many: what comes behind was not accepted */
    size_t delivered, failed;        /* with wait, at the end */
    char reason[MESSAGE_REASON_MAX]; /* of the first that failed */
};
struct rule_report {
    struct node_id id;
    struct address address;
    char name[NODE_NAME_MAX + 1];
    enum sender_rule rule;
};
struct trust_old { /* a key that was at the address before */
    struct node_id id;
    char name[NODE_NAME_MAX + 1];
    uint64_t messages; /* that are owed to it, or with `resend` were until now */
    uint64_t sent;     /* of them: were on their way, so its holder may have them */
};
#define TRUST_OLD_MAX 8
struct trust_report {
    struct node_id id; /* who is meant by the address from now on */
    struct address address;
    char name[NODE_NAME_MAX + 1];
    bool resent; /* what was owed to `old` is owed to it */
    struct trust_old old[TRUST_OLD_MAX];
    size_t n_old;
};
/* Why messages to one recipient are not delivered yet. */
enum outbox_why {
    OUTBOX_FLYING = 0, /* on their way, or about to be sent */
    OUTBOX_AWAY,       /* it is not known, or has no key just now: not in the network */
    OUTBOX_SILENT,     /* sent again and again, with no answer */
    OUTBOX_NO_ROUTE,
    OUTBOX_STRICT, /* none with as many relays as asked for */
    OUTBOX_MEMORY,
    OUTBOX_STORE, /* it does not read, or does not take them (those to ourselves) */
    OUTBOX_WHYS
};
enum finding_level { FINDING_OK, FINDING_NOTE, FINDING_TROUBLE };
/* What only the shell around the node can see: each is a finding of the doctor's while it lasts. */
enum machine_topic {
    MACHINE_MEMORY,  /* keys that are not locked */
    MACHINE_ADDRESS, /* listened on, and not this machine's */
    MACHINE_SOCKET,  /* p2pctl's */
    MACHINE_STATE,   /* the state folder and what is in it */
    MACHINE_FILES,   /* the folder of files that are received */
    MACHINE_LOG,     /* lines of it are lost */
    MACHINE_PATH,    /* our datagrams are too large for it */
    MACHINE_TOPICS
};
struct finding { /* of the doctor: no remote bytes unescaped */
    enum finding_level level;
    const char *topic; /* "neighbours", "address", "clock", "disk", "keys", "delivery", ... */
    char text[768];    /* what is, and what to do about it */
};
enum answer_kind {
    ANSWER_TEXT,     /* nothing but code and text */
    ANSWER_MESSAGE,  /* message: an accepted push, a status, a state change */
    ANSWER_MESSAGES, /* pull: a batch to be confirmed (peek: not) */
    ANSWER_STATUS,
    ANSWER_PEERS,
    ANSWER_NODES,  /* also the candidates of an ambiguous destination (code ANSWER_UNKNOWN) */
    ANSWER_ROUTES, /* also push --trace, before its ANSWER_MESSAGE (end = false) */
    ANSWER_PING,
    ANSWER_MANY,
    ANSWER_CONVERSATIONS,
    ANSWER_HISTORY,
    ANSWER_FILES,
    ANSWER_RULES,
    ANSWER_DOCTOR,
    ANSWER_TRUST,
};
struct answer {
    uint64_t client;
    enum answer_kind kind;
    enum answer_code code;
    bool end; /* the last one to this request */
    char text
        [192]; /* why, for people; "" if there is nothing to say. Never holds remote bytes unescaped */
    union {
        struct message_report message;
        struct {
            const struct in_record *v;
            size_t n;
        } messages;
        struct status_report *status;
        const struct trust_report *trust;
        struct {
            const struct peer_report *v;
            size_t n;
        } peers;
        struct {
            const struct node_report *v;
            size_t n;
        } nodes;
        struct {
            const struct route_report *v;
            size_t n;
            double paths; /* how many there are to choose from */
            unsigned relays;
        } routes;
        struct {
            int64_t onion_us, direct_us; /* -1: none */
        } ping;
        struct many_report many;
        struct {
            const struct conversation_record *v;
            size_t n;
            int64_t next;
            bool more;
        } conversations;
        struct {
            const struct history_record *v;
            size_t n;
            int64_t next;
            bool more;
        } history;
        struct {
            const struct file_record *v;
            size_t n;
            int64_t next;
            bool more;
        } files;
        struct {
            const struct rule_report *v;
            size_t n;
        } rules;
        struct {
            const struct finding *v;
            size_t n;
        } doctor;
    };
};

#endif
