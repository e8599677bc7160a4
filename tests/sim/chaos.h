/* The simulator as adversary: everything at once, all of it drawn from the seed. */
#ifndef P2PD_SIM_CHAOS_H
#define P2PD_SIM_CHAOS_H

#include "tests/sim/sim.h"

/* How many nodes a seed has, where nobody says. */
unsigned chaos_nodes(uint64_t seed);
void chaos_run(struct sim *sim);

/* ---- Clients (chaos_clients.c) ---- */
struct clients;
struct clients *clients_new(struct sim *sim);
void clients_free(struct clients *clients);
/* A push of any size between two honest nodes, of which the sender is up. */
void clients_push(struct clients *clients);
/* A client pulls somewhere, or goes on with what it began: confirms, or goes away. */
void clients_pull(struct clients *clients);
/* Accepted, both ends honest and not gone for good, and not arrived or not told. */
unsigned clients_open(struct clients *clients, const bool *gone, bool print);
void clients_died(struct clients *clients, unsigned host);

#endif
