/* The clients that wait for an answer: one registry for all rooms, with the limits of all. A room
 * of the node itself (ping, query, settle) embeds a client_wait in what it keeps for a request and
 * finds its requests here, in the order in which they came. The rooms of other folders keep lists
 * of their own; for each of their requests a plain client_wait is counted here until the request
 * has been answered completely.
 *
 * Threat: a client may ask for much at once and vanish. So a request under way is counted until it
 * ends, even if nobody waits for it any more. */
#ifndef P2PD_CLIENTS_H
#define P2PD_CLIENTS_H

#include "daemon/core/base/base.h"

#include <sys/queue.h>

#define CLIENTS_WAITS_MAX 8192 /* of all rooms together: beyond it ANSWER_LIMIT */
#define CLIENTS_CHAINS 64

enum client_room { /* where the request is kept */
                   CLIENT_PING,
                   CLIENT_QUERY,    /* the store is asked */
                   CLIENT_SETTLING, /* the destination's address is asked who is there */
                   CLIENT_DOCTOR,   /* the doctor's examination takes several steps */
                   CLIENT_OUTBOX,   /* from here on rooms of other folders */
                   CLIENT_INBOX,
                   CLIENT_POOL,
                   CLIENT_ROOMS
};
struct client_wait {
    TAILQ_ENTRY(client_wait) link;      /* the waits of its room */
    TAILQ_ENTRY(client_wait) of_client; /* the waits of its hash chain */
    uint64_t client;
    enum client_room room;
    bool gone; /* the client has gone, but its request is still under way: do not answer */
};
TAILQ_HEAD(client_waits, client_wait);

struct clients { /* the waits are the rooms' own */
    struct client_waits of_room[CLIENT_ROOMS], chains[CLIENTS_CHAINS];
    size_t n[CLIENT_ROOMS], n_all;
};

void clients_init(struct clients *clients);
/* Why no further request may wait in this room: words for ANSWER_LIMIT, or NULL if one may. */
const char *clients_refusal(const struct clients *clients, enum client_room room);
/* Enter a wait as the last of its room. */
void clients_add(struct clients *clients, struct client_wait *wait, uint64_t client,
                 enum client_room room);
/* Remove a wait. The room may then free the struct that embeds it. */
void clients_remove(struct clients *clients, struct client_wait *wait);
/* The client of a wait has gone. The wait stays until the request under way has ended. */
void clients_leave(struct clients *clients, struct client_wait *wait);
/* The oldest wait of a room, and the next one; NULL: none. */
struct client_wait *clients_first(const struct clients *clients, enum client_room room);
struct client_wait *clients_next(const struct client_wait *wait);
/* The oldest wait of a client that is not gone. NULL: none. */
struct client_wait *clients_find(const struct clients *clients, uint64_t client);

/* The struct around a wait. */
#define clients_entry(wait, type, member) ((type *)(void *)((char *)(wait)-offsetof(type, member)))

#endif
