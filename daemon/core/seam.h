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
    const uint8_t *bytes;
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

struct out_record { /* a message that we send, without its body */
    struct message_id id;
    struct node_id recipient;
    uint64_t sequence; /* within the conversation with this recipient, from 1 */
    struct wall created, expires, finished;
    uint32_t size;
    enum message_state state;
    char reason[MESSAGE_REASON_MAX];
    uint8_t relays_exact; /* 0xff: as configured */
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
    const uint8_t *body;
    uint32_t size;
};

/* ---- Store operations ----
 * Carried out in the order in which they were put out; each is answered by a store_result with its tag, in that order, once it and all
 * before it are durable (reads: once read). What `op` points to is the node's and stays until its result has gone in. */
enum store_kind {
    STORE_OUT_PUT, /* insert a message with its body, state queued. An id that exists with the same recipient, size and body: ok, existed = true
                         (record = what is there); with another: -EEXIST */
    STORE_OUT_STATE, /* set state, reason, finished; final states may be deleted at once if `forget` */
    STORE_OUT_READ, /* read body[offset, offset + length) */
    STORE_OUT_FIND, /* the record of an id, or -ENOENT */
    STORE_IN_PUT,   /* one block of a message, idempotent. Results: see store_in_outcome */
    STORE_IN_FETCH, /* waiting messages with row > after, oldest first: at most limit, at most bytes of bodies (but one at least) */
    STORE_IN_TAKE, /* rows: from waiting to taken (history), or body deleted at once if `forget`; the tombstone stays */
    STORE_NODE_PUT,   /* descriptor of a kept node, with its pin */
    STORE_NODE_UNPIN, /* clear every pin at this address */
    STORE_SPARES_PUT, /* replace the list of spare and anchor addresses */
    STORE_SEQUENCE,   /* our descriptor's sequence: never to be reused */
    STORE_SWEEP, /* forget taken messages, finished sends and tombstones that are over; unfinished inbound ones too */
};
enum store_in_outcome { STORE_IN_PARTIAL = 0, STORE_IN_COMPLETE, STORE_IN_DUPLICATE };

struct spare { /* an address kept for the next start */
    struct address address;
    struct node_id id;
    bool anchor;
};

struct store_op {
    enum store_kind kind;
    uint64_t tag;
    union {
        struct {
            struct out_record record;
            const uint8_t *body;
        } out_put;
        struct {
            struct message_id id;
            enum message_state state;
            char reason[MESSAGE_REASON_MAX];
            struct wall finished;
            bool forget;
        } out_state;
        struct {
            struct message_id id;
            uint32_t offset, length;
        } out_read;
        struct {
            struct message_id id;
        } out_find;
        struct {
            struct node_id sender;
            struct address sender_address;
            char sender_name[NODE_NAME_MAX + 1];
            struct message_id id;
            uint64_t sequence;
            struct wall sent, received, tombstone_until;
            uint32_t total, offset, length;
            const uint8_t *bytes;
        } in_put;
        struct {
            int64_t after;
            uint32_t limit;
            uint64_t bytes;
            bool any_sender;
            struct node_id sender;
        } in_fetch;
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
    struct out_record record;         /* OUT_PUT, OUT_FIND */
    const uint8_t *bytes;             /* OUT_READ, borrowed during the event */
    uint32_t length;
    const struct in_record *messages; /* IN_FETCH, borrowed during the event */
    size_t n_messages;
    bool more; /* IN_FETCH: there are further ones behind */
};

/* ---- Requests of clients ---- */
enum request_kind {
    REQUEST_PUSH,
    REQUEST_PULL,    /* starts a pull; stays until end, client gone, or all given */
    REQUEST_CONFIRM, /* of the messages handed to this client so far */
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
};
#define RELAYS_DEFAULT 0xff

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
            bool wait;         /* answer again when its state is final */
            int64_t expire_us; /* 0: as configured */
        } push;
        struct {
            bool peek, wait, follow; /* wait: park while there is none; follow: go on for ever */
            bool from_any;
            struct destination from;
            uint32_t max; /* 0: all */
        } pull;
        struct {
            struct message_id id;
            bool wait; /* MESSAGE: answer again when final */
        } message;     /* MESSAGE, CANCEL */
        struct {
            struct destination to;
            uint32_t count; /* ROUTE: samples wanted */
            uint8_t relays;
            bool strict;
        } to; /* ROUTE, PING, DISCONNECT, TRUST */
        struct {
            struct address address;
        } connect;
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
    uint64_t cookies_sent, handshakes_refused, messages_sent, messages_delivered, messages_received,
        receipts_sent;
};
struct status_report {
    struct node_id id;
    char name[NODE_NAME_MAX + 1];
    struct address addresses[DESCRIPTOR_ADDRESSES_MAX];
    size_t n_addresses;
    int64_t uptime_us;
    unsigned pool_neighbours, pool_min, pool_max, pool_spare;
    size_t directory_nodes, directory_relays; /* ourselves included */
    uint64_t inbox_waiting, outbox_pending;
    int64_t clock_offset_us; /* the correction in force */
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
    };
};

#endif
