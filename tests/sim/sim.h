/* The simulator: real cores, all in one process, on a virtual clock and a virtual network, from one seed. Time is integer
 * microseconds, ties are ordered by when they were scheduled; the same seed gives the same trace hash. */
#ifndef P2PD_SIM_H
#define P2PD_SIM_H

#include "daemon/core/node.h"
#include "tests/sim/model_store.h"

struct sim_random { /* a ChaCha20 stream */
    uint8_t key[32];
    uint64_t block;
    uint8_t buffer[512];
    size_t used;
};
struct sim_network { /* what happens to a datagram; may be changed at any time */
    double loss, duplicate, corrupt;
    int64_t delay_min_us, delay_max_us; /* uniform: reorders when they differ */
};
struct sim_push { /* a message that a host's node accepted, and what became of it */
    struct message_id id;
    unsigned from, to;
    uint8_t *body;
    uint32_t size;
    bool accepted, answered;
    bool orphan;              /* its client's node died: nobody is told any more */
    enum message_state state; /* as last told to the waiting client */
    int64_t pushed_us, delivered_us;
    unsigned mailboxes; /* that keep it, as told to sim_ask() */
};
struct sim_host {
    struct node *node; /* NULL: down */
    struct node_config config;
    struct model_store *store;
    struct sim_random random;
    struct address address;
    unsigned incarnation, side; /* hosts of different sides do not hear each other */
    int64_t skew_us;
    int64_t wake_us;
    bool store_scheduled;
    bool deaf; /* what is sent to it is lost: a silent crash seen from outside */
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
    unsigned pool_most; /* the largest pool ever seen */
    bool verbose;
};

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
/* Its client asks for the status of a push. */
void sim_ask(struct sim *sim, size_t push);
uint64_t sim_below(struct sim *sim, uint64_t bound);
bool sim_chance(struct sim *sim, double probability);

/* ---- Inspection ---- */
bool sim_all_know_all(struct sim *sim,
                      void *unused); /* every live node has a live descriptor of every live node */
bool sim_all_delivered(struct sim *sim, void *unused);
/* Pieces of the graph of established links between live hosts. */
unsigned sim_components(struct sim *sim);
/* Exactly-once, bodies unchanged: every accepted message stands once in its recipient's store, and nothing else does. Returns the
 * number of failures, each printed. `complete`: all accepted ones have to have arrived. */
unsigned sim_check_messages(struct sim *sim, bool complete);
void sim_violation(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
