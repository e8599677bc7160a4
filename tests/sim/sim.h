/* The simulator: real cores, all in one process, on a virtual clock and a virtual network, from one
 * seed. Time is integer microseconds, ties are ordered by when they were scheduled; the same seed
 * gives the same trace hash. */
#ifndef P2PD_SIM_H
#define P2PD_SIM_H

#include "daemon/core/node/node.h"
#include "tests/sim/model_store.h"

struct sim_random { /* a ChaCha20 stream */
    uint8_t key[32];
    uint64_t block;
    uint8_t buffer[512];
    size_t used;
};
struct sim_event;
#define SIM_GATHERED_MAX 300 /* more than the core takes at a time */
struct sim_network {         /* what happens to a datagram; may be changed at any time */
    double loss, duplicate, corrupt;
    int64_t delay_min_us, delay_max_us; /* uniform: reorders when they differ */
    /* What a host's line sends: one datagram after the other, what would wait longer than the bound
     * is dropped. 0: as much as it likes. */
    uint64_t uplink_bytes; /* a second */
    int64_t uplink_queue_us;
    /* What comes to a host within so long is given to it together, as a busy machine's kernel does.
     * 0: one by one. */
    int64_t gather_us;
};
struct sim_push { /* a message that a host's node accepted, and what became of it */
    struct message_id id;
    unsigned from, to;
    uint8_t *body;
    uint32_t size;
    bool is_file;
    bool accepted, answered;
    bool taken;               /* a client at the other end has confirmed it */
    uint64_t pulling;         /* the client to which it was handed, until that */
    bool orphan;              /* its client's node died: nobody is told any more */
    enum message_state state; /* as last told to the waiting client */
    bool has_reason;          /* and it was told why */
    int64_t pushed_us, delivered_us;
    unsigned mailboxes; /* that keep it, as told to sim_ask() */
};
/* What must hold; properties.c says how each is checked. */
enum sim_property {
    PROPERTY_ONCE,      /* every message arrives once at most, unchanged */
    PROPERTY_KEPT,      /* what was accepted stands in a store until it is final */
    PROPERTY_HANDED,    /* a message whose taking was confirmed is not handed out again */
    PROPERTY_BOUNDS,    /* pools, tables, queues and memory within their stated bounds */
    PROPERTY_PLAINTEXT, /* no plaintext in any datagram, nor in anything that a relay peels */
    PROPERTY_ENDS,      /* on paths of two or more relays none has both ends as its neighbours */
    PROPERTY_JOINED,    /* faults over: one network within its time, as far as the graph can join */
    PROPERTY_DELIVERED, /* faults over: all that was accepted arrives or expires */
    PROPERTY_VERSIONS,  /* of one sequence all hold the same version in the end; no honest node is
                           convicted */
    PROPERTY_SCENARIO,  /* whatever else a scenario asks for */
    PROPERTIES
};
struct sim_verdict {
    uint64_t checks, broken;
};
/* What a host cost: both directions, what was lost under way on the sender's side alone. */
struct sim_traffic {
    uint64_t datagrams, bytes, checks, wakes; /* signature checks; steps that no datagram caused */
};
struct adversary;
struct nat;
struct watch;

struct sim_host {
    struct node *node; /* NULL: down */
    struct node_config config;
    struct model_store *store;
    struct sim_random random;
    struct address address;
    unsigned incarnation, side; /* hosts of different sides do not hear each other */
    int64_t skew_us;
    int64_t wake_us;
    int64_t spun_us; /* the instant of its last step, and how many before it were at the same */
    unsigned spins;
    bool store_scheduled;
    uint64_t uplink_rest;                 /* of a microsecond, in bytes * 10^6 */
    int64_t uplink_free_us;               /* its line is busy until then */
    uint64_t uplink_sent, uplink_dropped; /* datagrams, of those that a bounded line was given */
    struct sim_event *gathered;           /* datagrams, SIM_GATHERED_MAX at most; see sim.c */
    unsigned n_gathered;
    struct sim_traffic traffic;  /* in all its lives */
    bool deaf;                   /* what is sent to it is lost: a silent crash seen from outside */
    unsigned box;                /* the address translator that it is behind, from 1; 0: none */
    struct address seen_as;      /* where its latest datagram seems to come from */
    struct adversary *adversary; /* it is malicious */
};
struct sim {
    uint64_t seed;
    int64_t now_us;
    struct sim_random random;
    struct sim_network network;
    struct sim_host *hosts;
    unsigned n_hosts;
    struct sim_event *heap; /* see sim.c */
    size_t n_events, events_capacity;
    uint64_t order, trace;
    struct sim_push *pushes;
    size_t n_pushes, pushes_capacity;
    struct sim_push *watched; /* by client number, while it waits */
    uint64_t datagrams, steps, violations;
    struct sim_verdict verdicts[PROPERTIES];
    struct nat *nat;               /* NULL: nobody is behind a box */
    struct watch *watch;           /* of the packets under way */
    uint8_t marker[8];             /* stands in every body that is marked */
    int64_t looked_us, counted_us; /* when hosts, and when messages, are checked next */
    int64_t second_us;             /* when the next virtual second has gone by */
    /* Answers to clients that are not pushes' (NULL: nobody waits for any). */
    void (*answered)(struct sim *sim, struct sim_host *host, const struct answer *answer);
    void *context;
    /* What came of a step (NULL: nobody looks): golden.c. */
    void (*stepped)(struct sim *sim, const struct sim_host *host, const struct node_event *event,
                    const struct node_update *update);
    unsigned pool_most; /* the largest pool ever seen */
    bool verbose;
};

/* Told each time that a virtual second has gone by, of whatever network (NULL: nobody asks). */
extern void (*sim_goes_on)(int64_t now_us);

struct sim *sim_new(uint64_t seed, unsigned hosts);
void sim_free(struct sim *sim);
/* The configuration that hosts begin with; set before sim_start. */
struct sim_host *sim_host(struct sim *sim, unsigned host);

void sim_start(struct sim *sim, unsigned host, const struct address *bootstrap, size_t n);
void sim_crash(struct sim *sim, unsigned host); /* whatever was not committed is gone */
void sim_leave(struct sim *sim, unsigned host);

/* Let virtual time pass; until `done` says so (asked every 10 ms). Returns whether it did. */
void sim_run(struct sim *sim, int64_t for_us);
bool sim_await(struct sim *sim, int64_t at_most_us, bool (*done)(struct sim *, void *),
               void *context);

/* A client of host `from` pushes to host `to` (by id) and waits. Returns the number of the push. */
size_t sim_push(struct sim *sim, unsigned from, unsigned to, const void *body, uint32_t size);
/* The same by address, which should be that of host `to`. */
size_t sim_push_at(struct sim *sim, unsigned from, unsigned to, const struct address *address,
                   const void *body, uint32_t size);
/* Its client asks for the status of a push. */
void sim_ask(struct sim *sim, size_t push);
/* The same with a file: its upload lies in the spool of `from`. */
size_t sim_send_file(struct sim *sim, unsigned from, unsigned to, const char *name,
                     const void *bytes, uint32_t size);
/* A step without an event, as if its time had come; any other request of a client. */
void sim_poke(struct sim *sim, unsigned host);
void sim_request(struct sim *sim, unsigned host, const struct request *request);
void sim_client_gone(struct sim *sim, unsigned host, uint64_t client);
/* A datagram out of nowhere: from any address that its forger likes. */
void sim_forge(struct sim *sim, const struct address *from, const struct address *to,
               const uint8_t *bytes, size_t length);
uint64_t sim_below(struct sim *sim, uint64_t bound);
void sim_fill(struct sim *sim, void *buffer, size_t length);
bool sim_chance(struct sim *sim, double probability);
/* Signature checks asked for in this process, remembered or not: verify_memo.c. */
uint64_t sim_checks(void);

/* ---- Inspection ---- */
bool sim_all_know_all(struct sim *sim,
                      void *unused); /* every live node has a live descriptor of every live node */
bool sim_all_delivered(struct sim *sim, void *unused);
/* Pieces of the graph of established links between live hosts. */
unsigned sim_components(struct sim *sim);
/* Exactly-once, bodies unchanged: every accepted message stands once in its recipient's store, and
 * nothing else does. Returns the number of failures, each printed. `complete`: all accepted ones
 * have to have arrived. */
unsigned sim_check_messages(struct sim *sim, bool complete);
void sim_violation(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
