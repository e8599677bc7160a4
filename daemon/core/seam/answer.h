/* What the node answers its clients, and findings about it. */
#ifndef P2PD_ANSWER_H
#define P2PD_ANSWER_H

#include "daemon/core/seam/counters.h"
#include "daemon/core/seam/types.h"

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
struct status_report {
    struct node_id id;
    char name[NODE_NAME_MAX + 1];
    struct address addresses[DESCRIPTOR_ADDRESSES_MAX];
    size_t n_addresses;
    bool network_open; /* it has no secret */
#define STATUS_NUMBER(type, name, text) type name;
    STATUS_NUMBERS(STATUS_NUMBER)
#undef STATUS_NUMBER
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
    ANSWER_KINDS
};
struct answer {
    uint64_t client;
    enum answer_kind kind;
    enum answer_code code;
    bool end;       /* the last one to this request */
    char text[192]; /* why, for people; "" if there is nothing to say. Never holds remote bytes
                       unescaped */
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

struct effects;
/* Begin an answer that carries records: *ret_answer is ANSWER_OK, of this kind, and ends the
 * request; returns zeroed memory of `size` bytes for the records, which lives until the next step.
 * NULL: the client has been told "out of memory", and there is nothing more to do. */
void *answer_begin(struct effects *effects, struct answer *ret_answer, uint64_t client,
                   enum answer_kind kind, size_t size);
/* The same where more than the records was to be had, and was not: this ends the request. */
void answer_no_memory(struct effects *effects, uint64_t client);

#endif
