/* What clients ask of the node. Values only. */
#ifndef P2PD_REQUEST_H
#define P2PD_REQUEST_H

#include "daemon/core/seam/types.h"

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
    REQUEST_RULE,   /* allow, block, and back */
    REQUEST_RULES,  /* answered ANSWER_RULES */
    REQUEST_DOCTOR, /* the last one: */
};
#define REQUEST_KINDS (REQUEST_DOCTOR + 1)
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
struct send_options {           /* how what is sent shall travel */
    uint8_t relays;             /* exactly so many; RELAYS_DEFAULT: as configured */
    bool strict;                /* rather none than with fewer relays than that */
    int64_t expire_us;          /* 0: as configured */
    uint8_t shards_k, shards_m; /* exactly; 0, 0: as fits */
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
            struct send_options options;
            bool trace;
            bool wait;              /* answer again when its state is final */
            enum message_kind kind; /* 0 means KIND_MESSAGE */
            bool check; /* would it be accepted? Answer ANSWER_TEXT; nothing is stored */
            const struct file_head
                *file; /* KIND_FILE: borrowed during the event; `size` is the file's, body NULL */
            char spool[SPOOL_NAME_MAX + 1];
        } push;
        struct {
            struct destination to;
            const struct push_item *items; /* borrowed during the event */
            size_t n;                      /* 1 to PUSH_MANY_MAX */
            struct send_options options;   /* of each */
            bool wait;
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

#endif
