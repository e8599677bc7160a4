/* The composition, shared by its files: node.c (the step), node_publish.c (clock, own descriptor,
 * what links mean for the other rooms), node_onion.c (packets), node_request.c (clients),
 * node_settle.c (their destinations), node_conversation.c (clients that ask the store),
 * node_trust.c (another key at an address), node_doctor.c (what may be wrong). */
#ifndef P2PD_NODE_PRIVATE_H
#define P2PD_NODE_PRIVATE_H

#include "daemon/core/base/budget.h"
#include "daemon/core/base/ration.h"
#include "daemon/core/base/sequences.h"
#include "daemon/core/base/share.h"
#include "daemon/core/deliver/depot/mailbox.h"
#include "daemon/core/deliver/inbox/inbox.h"
#include "daemon/core/deliver/inbox/policy.h"
#include "daemon/core/deliver/outbox.h"
#include "daemon/core/directory/directory.h"
#include "daemon/core/link/link.h"
#include "daemon/core/link/strangers.h"
#include "daemon/core/node/node.h"
#include "daemon/core/overlay/gossip.h"
#include "daemon/core/overlay/pool.h"
#include "daemon/core/route/droplist.h"
#include "daemon/core/route/path.h"
#include "daemon/core/route/relay.h"
#include "daemon/core/seam/effects.h"
#include "daemon/core/wire/identity.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>

#define ADVERTISE_MAX DESCRIPTOR_ADDRESSES_MAX

/* Onion payloads of the node's own, beside the parcels' (parcel.h): token(16), and in the question
 * the asker's prefix(8). */
#define PAYLOAD_PING 3
#define PAYLOAD_PONG 4
#define PING_TOKEN_LEN 16

struct node_ping { /* a client that waits for an answer over onion paths */
    uint64_t client;
    uint8_t token[PING_TOKEN_LEN];
    struct node_id target;
    struct mono sent, due;
    unsigned tries;
    bool no_route;       /* at the last try */
    struct path_way way; /* of the last try; those of the others: */
    struct path_silence silence;
};
struct node_clock { /* node_clock.c */
    struct wall stopped,
        swept; /* when we stopped, by the clock of then; by which the store is swept */
    bool was_known, is_known; /* did neighbours agree then, and do they? */
    bool is_settled,
        is_saved; /* the times of what is owed are meant by the clock of now; the disk knows it */
    struct wall anchor; /* was the time then: */
    struct mono anchored, looked, save;
};
struct publisher {               /* of our own descriptor */
    uint64_t sequence;           /* of the last one signed */
    struct sequences had;        /* by any of this life, and the last of the one before */
    bool signed_once, published; /* published: gossip has had one */
    bool dirty;                  /* what is published is not what is true */
    bool pressing;               /* and it is what others cannot do without */
    bool outbid;                 /* a later one of ours is about */
    bool lost_link, gained_link, moved_link; /* others are neighbours, or elsewhere, than it says */
    struct mono started, last;
    struct mono losses_from, news_from; /* token buckets, as times */
    int64_t interval_us;                /* until the next, doubling while things keep changing */
    unsigned in_a_row;
    int64_t signed_correction_us;
    struct mono renewals_from; /* a token bucket, as the time when it is full */
    bool correcting;           /* the clock has to wait for a token */
    struct descriptor_neighbour named[DESCRIPTOR_NEIGHBOURS_MAX]; /* in the last one */
    unsigned n_named;
    struct mono linked; /* when there was a link for the first time since there was none */
    unsigned young; /* descriptors that were signed just before they came: halved every second */
    struct mono young_at;
};
struct node_query; /* a client's question to the store, under way */
TAILQ_HEAD(node_queries, node_query);
struct node_settling; /* a client's request whose destination is being asked for */
TAILQ_HEAD(node_settlings, node_settling);

/* Datagrams taken together: enough for a few processors, and their bytes stay in a cache of 1
 * MB. */
#define NODE_BATCH 128
struct peeling {                       /* an onion packet to be opened */
    const uint8_t *packet;             /* in its datagram */
    uint8_t *out;                      /* in the cell that may carry it on */
    const uint8_t *prk;                /* the drop list's, or that of a peeling of this batch */
    const struct peeling *first;       /* that one, if it is another */
    const struct noise_keypair *fresh; /* the exchange is to be done, by this key */
    uint8_t own_prk[ONION_PRK_LEN];
    struct onion_peeled peeled;
    uint64_t from;
    int64_t epoch;
    unsigned slot;
    bool has_way; /* the drop list knows where packets of this eph go */
    enum drop drop;
};

struct node {
    struct node_config config; /* keys wiped */
    struct address advertise[ADVERTISE_MAX];
    struct address address;  /* the first that we publish */
    struct now now, machine; /* by the corrected wall clock; by the machine's */
    struct mono started;
    int64_t correction_us;
    struct node_clock clock;
    enum { CLOCK_RIGHT, CLOCK_CORRECTED, CLOCK_BEYOND } clock_told;
    bool leaving;
    struct budget budget;
    struct effects *effects;
    struct identity *identity;
    struct directory *directory;
    struct droplist *droplist;
    struct links *links;
    struct paths *paths;
    struct pool *pool;
    struct gossip *gossip;
    struct relay *relay;
    struct share share;           /* of the public-key work that packets cost */
    struct share share_in;        /* and what is in them, where they are for us */
    struct ration ration;         /* of the new paths that go on from here */
    uint64_t tenants[LINK_SLOTS]; /* prefixes: whose use of drop list and ration is told by slot */
    struct peeling *peelings;     /* NODE_BATCH, in locked memory */
    size_t n_peelings, n_fresh;
    struct outbox *outbox;
    struct inbox *inbox;
    struct mailbox *mailbox;
    uint32_t mail_day; /* of the key that is being stored */
    struct policy *policy;
    struct publisher publisher;
    uint64_t rivals_told; /* claims to an address that another has */
    struct mono rivals_quiet;
    uint64_t convictions_told; /* nodes that signed two versions of one sequence */
    struct mono convictions_quiet, doubled_quiet;
    struct mono minute; /* next chores */
    uint64_t
        routes_generation; /* of the graph, when our neighbours were last looked at as relays */
    struct mono kicked; /* when those who wait for a route were last tried, and for which graph */
    uint64_t kicked_generation;
    struct node_ping pings[PINGS_MAX];
    unsigned n_pings;
    struct mono pongs_from; /* answers to onion pings are rationed: a token bucket as a time */
    struct node_queries queries;
    size_t n_queries;
    struct node_settlings settling;
    size_t n_settling;
    struct mono settle_due, settle_judged; /* the next look; the last */
    bool settle_news;                      /* a dial has ended, or a node has become known */
    uint64_t
        unfinished; /* bytes of messages and files that are not whole, as the store told last */
    /* For the doctor: the last good datagram; those that were not; the disk. */
    struct strangers strangers;
    struct mono heard, store_failed;
    struct mono renumbered; /* a sender's messages were, last; 0: never */
    int store_error;
    bool store_recovered;
    struct finding machine_findings[MACHINE_TOPICS]; /* as the shell told them */
    struct counters counters;
};

/* node_clock.c */
void node_clock_init(struct node *node, const struct node_boot *boot);
void node_clock_tick(struct node *node); /* first in each step, the time being set */
void node_clock_before_push(struct node *node);
void node_clock_leave(struct node *node);
/* Is the machine's clock further from the neighbours' than can be corrected? */
static inline bool node_clock_is_beyond(const struct node *node) {
    int64_t error_us = links_clock_error(node->links);
    return error_us > LINKS_CLOCK_MAX_US || error_us < -LINKS_CLOCK_MAX_US;
}
/* node_publish.c */
/* Apply the neighbours' median to our clock: where that takes new keys, at a pace. */
void node_correct_clock(struct node *node);
/* The same at once: the machine's own clock was set, by `step_us`. */
void node_correct_stepped(struct node *node, int64_t step_us);
/* Sign the descriptor anew if it is due to be published, or if the clock has moved under it. */
void node_publish(struct node *node);
struct mono node_publish_next(const struct node *node);
void node_sign(struct node *node);
/* Established links changed: routes, guards, and what is published follow. */
void node_links_changed(struct node *node);
/* Who of our neighbours may be sent through, if that may have changed: keys settle, a proof
 * comes. */
void node_follow_routes(struct node *node);
void node_drain_links(struct node *node);
/* A descriptor came, from `from` (0: in a handshake). */
void node_news(struct node *node, const struct directory_entry *entry, uint64_t from);
/* Say so, once in a while, if somebody else signs as we do. */
void node_tell_doubled(struct node *node);
/* Store a kept node's descriptor and pin. */
void node_store_entry(struct node *node, const struct directory_entry *entry);
void node_stored(struct node *node, uint64_t cookie);
/* A new mail key is stored before it is published. */
void node_store_mail_key(struct node *node);
void node_mail_key_stored(struct node *node, int error);

/* node_peel.c */
/* An onion packet came over a link: it is looked up, and peeled by the next node_peel(), which
 * counts what it drops. Its bytes stay until then. */
enum drop node_onion(struct node *node, unsigned slot, uint64_t from, const uint8_t *packet);
/* Minutes that are over are forgotten; what neighbours may use goes by how many there are. */
void node_advance_droplist(struct node *node);
/* Peel those that wait and send each where it goes. Before the drop list or our keys change. */
void node_peel(struct node *node);

/* node_onion.c */
/* A payload for ourselves. */
enum drop node_deliver(struct node *node, unsigned slot, const struct onion_peeled *peeled,
                       int64_t epoch);
/* What came of deposits. */
void node_take_deposits(struct node *node);
void node_ping(struct node *node, uint64_t client, const struct node_id *target);
void node_ping_tick(struct node *node);
struct mono node_ping_next(const struct node *node);

/* node.c. Have the store forget what is over. */
void node_sweep(struct node *node);

/* node_conversation.c */
/* HISTORY, CONVERSATIONS, FORGET, FILES, FILE_OPEN, FILE_TAKE, RULE. */
void node_query(struct node *node, const struct request *request);
void node_query_stored(struct node *node, uint64_t cookie, const struct store_result *result);
void node_queries_gone(struct node *node, uint64_t client);
void node_queries_deinit(struct node *node);
void node_rules(struct node *node, uint64_t client);

/* node_trust.c */
void node_trust(struct node *node, const struct request *request);

/* node_settle.c */
/* PUSH, PUSH_MANY and PING: false if the destination is settled. True: it is asked for;
 * node_request_settled() will be called, or the client has been told why not. */
bool node_settle(struct node *node, const struct request *request);
void node_settle_tick(struct node *node);
/* A dial was answered: who is at that address is proven. */
void node_settle_answered(struct node *node, const struct link_event *event);
/* Whom witnesses see at the address whose word is good, though it answers no dial. Returns how
 * many. */
size_t node_settle_vouched(const struct node *node, const struct address *address,
                           struct node_id ret_ids[DIRECTORY_CANDIDATES_MAX]);
void node_settle_gone(struct node *node, uint64_t client);
void node_settle_deinit(struct node *node);

/* node_doctor.c */
void node_doctor(struct node *node, const struct request *request);
/* How many messages wait for keys that are gone from where others are now. */
uint64_t node_stranded(const struct node *node);
void node_note_store(struct node *node, const struct store_result *result);

/* node_request.c */
/* What one was asked for, or false: the client has been told why not. */
bool node_resolve(struct node *node, uint64_t client, const struct destination *destination,
                  struct node_id *ret_id);
/* Remember the node, and if that is proven, bind the address that a user used to the key found
 * there. */
void node_remember(struct node *node, const struct destination *destination,
                   const struct node_id *id, bool proven);
void node_answer_unknown(struct node *node, uint64_t client, const struct destination *destination);
void node_request(struct node *node, const struct request *request);
/* One that node_settle() kept: its destination is as settled as it will be. */
void node_request_settled(struct node *node, const struct request *request);
void node_client_gone(struct node *node, uint64_t client);
void node_count(struct node *node, enum drop drop);

#endif
