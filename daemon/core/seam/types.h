/* The values of the seam that more than one of its parts names: datagrams, destinations, and
 * records of messages, conversations and files. See node.h for the contract. */
#ifndef P2PD_TYPES_H
#define P2PD_TYPES_H

#include "daemon/core/base/base.h"
#include "daemon/core/base/limits.h"

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

#define SPOOL_NAME_MAX                                                                             \
    40 /* of a file that a client has left in the spool folder for us to send                      \
          \ */

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

/* What users name: see p2pctl(1), DESTINATIONS. */
struct destination {
    enum destination_kind { DEST_ADDRESS, DEST_ID, DEST_PREFIX, DEST_NAME } kind;
    struct address address; /* port 0: the IP alone */
    uint8_t
        id[NODE_ID_LEN]; /* DEST_ID; DEST_PREFIX: the first n_digits hex digits, the rest zero */
    uint8_t n_digits;
    char name[NODE_NAME_MAX + 1];
};

#endif
