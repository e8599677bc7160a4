/* A step of the node: what it is made of (configuration, what the store held), what goes in (an
 * event) and what comes out (an update). Values only; see node.h for the contract. */
#ifndef P2PD_STEP_H
#define P2PD_STEP_H

#include "daemon/core/seam/answer.h"
#include "daemon/core/seam/request.h"
#include "daemon/core/seam/store.h"

/* From whom we take messages, and files. Known: pinned, written to, or allowed. */
enum inbox_accept { INBOX_ALL = 1, INBOX_KNOWN, INBOX_ALLOWED };
enum files_accept { FILES_NONE = 1, FILES_KNOWN, FILES_ALL };

struct node_config {
    uint8_t node_seed[32], link_secret[32]; /* copied; the caller wipes its own */
    uint8_t network_key[32];
    char name[NODE_NAME_MAX + 1];
    bool relay;
    const struct address
        *advertise; /* published instead of what neighbours observe; borrowed during node_new */
    size_t n_advertise;
    const struct address *bootstrap; /* configured peers; borrowed during node_new */
    size_t n_bootstrap;
    unsigned pool_min, pool_max, pool_spare;
    int64_t link_heartbeat_us, link_timeout_us;
    unsigned route_relays, route_guards;
    bool route_strict;
    bool route_reuse;
    uint64_t relay_rate, relay_month; /* bytes a second and a month; 0 = none */
    uint32_t relay_paths;             /* new paths a second through or to us; 0 = none */
    size_t directory_max, memory_max, droplist_entries;
    int64_t delivery_expire_us, store_retention_us;
    size_t message_max;
    enum inbox_accept inbox_accept;
    enum files_accept files_accept;
    uint64_t inbox_quota, inbox_max; /* bytes of waiting messages: of one sender, in all */
    uint64_t files_quota, files_max; /* bytes of files received and not taken: the same */
    bool network_open;               /* who is in needs no secret */
    uint8_t inbox_free, files_free;  /* percent of the disk that they leave free */
    uint64_t mailbox_size;           /* bytes we keep for others; 0: we are no mailbox */
    unsigned mailbox_use;            /* how many mailboxes we ask others to use for us; 0: none */
    struct core_random random;
    struct core_trace trace;
    struct core_compute compute; /* zero: all is computed by whoever steps */
};
/* Sane defaults as p2pd.conf(5) has them; keys zero. */
void node_config_init(struct node_config *config);

/* What the store held at start; all borrowed during node_new. */
struct boot_node { /* a descriptor that is kept */
    const uint8_t *bytes;
    size_t length;
    bool pinned;
    struct address pin; /* not pinned: where it was, before another was trusted there; or none */
};
struct boot_conversation { /* highest sequence used with a recipient */
    struct node_id recipient;
    uint64_t sequence;
};
struct boot_rule {
    struct node_id id;
    enum sender_rule rule;
};
struct boot_mail_key {
    uint32_t day;
    uint8_t secret[32]; /* the shell wipes it after node_new */
};
struct node_boot {
    const struct out_record *pending; /* not final, oldest first */
    size_t n_pending;
    /* So many more are there, in (after, until]: read by STORE_OUT_PENDING once the node runs,
     * since a hundred thousand would keep it from starting. */
    size_t n_unread;
    int64_t unread_after, unread_until;
    const struct boot_node *nodes;
    size_t n_nodes;
    const struct spare *spares;
    size_t n_spares;
    const struct boot_conversation *conversations;
    size_t n_conversations;
    uint64_t sequence;        /* last descriptor sequence */
    struct wall clock, swept; /* as STORE_CLOCK told last; {0}: never */
    bool clock_is_known;
    uint64_t inbox_waiting; /* complete messages not taken yet */
    uint64_t unfinished;    /* bytes of messages and files that are not whole */
    const struct boot_rule *rules;
    size_t n_rules;
    const struct boot_mail_key *mail_keys;
    size_t n_mail_keys;
};

enum node_event_kind {
    EVENT_TIMER, /* or anything that only the time tells */
    EVENT_DATAGRAMS,
    EVENT_REQUEST,
    EVENT_CLIENT_GONE, /* its connection closed or failed: leases end */
    EVENT_STORED,
    EVENT_BOOTSTRAP, /* another configured peer's address became known (a host name was resolved) */
    EVENT_RECONFIGURE,     /* values that may change while running (node_config's below) */
    EVENT_LEAVE,           /* introduce neighbours to each other, say goodbye; then stop stepping */
    EVENT_NETWORK_CHANGED, /* an interface came or went: links are checked at once */
    EVENT_MACHINE,         /* what the shell sees of the machine: kept for the doctor */
};
struct node_event {
    struct now now; /* its wall clock is the machine's, uncorrected */
    enum node_event_kind kind;
    union {
        struct {
            const struct datagram *v;
            size_t n;
        } datagrams;
        struct request request;
        uint64_t client;
        struct {
            const struct store_result *v;
            size_t n;
        } stored;
        struct address bootstrap;
        struct {
            enum machine_topic topic;
            const struct finding *finding; /* copied; FINDING_OK: there is nothing any more */
        } machine;
        const struct node_config
            *config; /* taken from it: relay_rate, relay_month, relay_paths, delivery_expire,
                        store_retention, message_max, route_*, link_*, memory_max, trace.level,
                        relay, inbox_*, files_*, mailbox_* */
    };
};
struct node_update {
    const struct datagram
        *datagrams; /* to send, in order; `local` = the source address, unspecified = any */
    size_t n_datagrams;
    const struct store_op *ops;
    size_t n_ops;
    const struct answer *answers;
    size_t n_answers;
    struct mono wake; /* MONO_NEVER: not before the next event */
};

#endif
