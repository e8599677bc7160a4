/* See clients.h. */
#include "daemon/core/node/clients.h"
#include "daemon/core/base/limits.h"

#include <assert.h>

#define TOO_MANY "too many requests wait for an answer: try again in some seconds"

/* For each room: how many requests may wait at once, and what the client of one more is told. The
 * rooms of other folders have limits of their own; for them this is only the limit of all
 * together. */
static const struct {
    size_t most;
    const char *refusal;
} limits[] = {
    [CLIENT_PING] = {PINGS_MAX, "too many pings at once"},
    [CLIENT_QUERY] = {QUERIES_MAX, "too many questions at once (limit 256)"},
    [CLIENT_SETTLING] = {64, "too much waits already for the first word from an address: try again "
                             "in some seconds"},
    [CLIENT_DOCTOR] = {DOCTORS_MAX, "too many wait for the doctor at once"},
    [CLIENT_OUTBOX] = {CLIENTS_WAITS_MAX, TOO_MANY},
    [CLIENT_INBOX] = {CLIENTS_WAITS_MAX, TOO_MANY},
    [CLIENT_POOL] = {CLIENTS_WAITS_MAX, TOO_MANY},
};
static_assert(sizeof limits / sizeof *limits == CLIENT_ROOMS, "a row for each room");

void clients_init(struct clients *clients) {
    *clients = (struct clients){.n_all = 0};
    for (unsigned i = 0; i < CLIENT_ROOMS; i++)
        TAILQ_INIT(&clients->of_room[i]);
    for (unsigned i = 0; i < CLIENTS_CHAINS; i++)
        TAILQ_INIT(&clients->chains[i]);
}

/* The shell numbers its connections consecutively, so no client can choose its hash chain. */
static unsigned chain_of(uint64_t client) {
    return (unsigned)(client % CLIENTS_CHAINS);
}

const char *clients_refusal(const struct clients *clients, enum client_room room) {
    if (clients->n[room] >= limits[room].most)
        return limits[room].refusal;
    return clients->n_all >= CLIENTS_WAITS_MAX ? TOO_MANY : NULL;
}

void clients_add(struct clients *clients, struct client_wait *wait, uint64_t client,
                 enum client_room room) {
    wait->client = client;
    wait->room = room;
    wait->gone = false;
    TAILQ_INSERT_TAIL(&clients->of_room[room], wait, link);
    TAILQ_INSERT_TAIL(&clients->chains[chain_of(client)], wait, of_client);
    clients->n[room]++;
    clients->n_all++;
}

void clients_leave(struct clients *clients, struct client_wait *wait) {
    assert(!wait->gone);
    TAILQ_REMOVE(&clients->chains[chain_of(wait->client)], wait, of_client);
    wait->gone = true;
}

void clients_remove(struct clients *clients, struct client_wait *wait) {
    if (!wait->gone)
        TAILQ_REMOVE(&clients->chains[chain_of(wait->client)], wait, of_client);
    TAILQ_REMOVE(&clients->of_room[wait->room], wait, link);
    clients->n[wait->room]--;
    clients->n_all--;
}

struct client_wait *clients_first(const struct clients *clients, enum client_room room) {
    return TAILQ_FIRST(&clients->of_room[room]);
}

struct client_wait *clients_next(const struct client_wait *wait) {
    return TAILQ_NEXT(wait, link);
}

struct client_wait *clients_find(const struct clients *clients, uint64_t client) {
    struct client_wait *wait;
    TAILQ_FOREACH(wait, &clients->chains[chain_of(client)], of_client)
        if (wait->client == client)
            return wait;
    return NULL;
}
