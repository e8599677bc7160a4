/* Onion packets: looked up, peeled, sent on or delivered. */
#ifndef P2PD_PEEL_H
#define P2PD_PEEL_H

#include "daemon/core/base/base.h"
#include "daemon/core/wire/noise.h"
#include "daemon/core/wire/onion.h"

struct node;

/* Datagrams taken together: enough for a few processors, and their bytes stay in a cache of 1
 * MB. */
#define NODE_BATCH 128
struct peeling {                       /* an onion packet to be opened */
    const uint8_t *packet;             /* in its datagram */
    uint8_t *out;                      /* in the cell that may carry it on */
    const uint8_t *prk;                /* from the drop list, or of a packet in this batch */
    const struct peeling *first;       /* the packet in this batch that has the prk; NULL: none */
    const struct noise_keypair *fresh; /* a key exchange is to be done, with this key; NULL: none */
    uint8_t own_prk[ONION_PRK_LEN];
    struct onion_peeled peeled;
    uint64_t from;
    int64_t epoch;
    unsigned slot;
    bool has_way; /* the drop list knows where packets of this eph go */
    enum drop drop;
};

/* An onion packet came over a link: look it up. The next node_peel() peels it and counts it if it
 * is dropped. The packet's bytes must stay until then. */
enum drop node_onion(struct node *node, unsigned slot, uint64_t from, const uint8_t *packet);
/* Peel the packets that wait, and forward or deliver each. To be called before the drop list or our
 * keys change. */
void node_peel(struct node *node);
/* Deposits have been stored, or not: forward the reply onions that tell their depositors. */
void node_take_deposits(struct node *node);
/* Forget the drop list's past minutes, and set each neighbour's share of it by how many there
 * are. */
void node_peel_advance(struct node *node);

#endif
