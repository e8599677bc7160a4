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

/* An onion packet came over a link: it is looked up, and peeled by the next node_peel(), which
 * counts what it drops. Its bytes stay until then. */
enum drop node_onion(struct node *node, unsigned slot, uint64_t from, const uint8_t *packet);
/* Peel those that wait and send each where it goes. Before the drop list or our keys change. */
void node_peel(struct node *node);
/* What came of deposits is told to those who made them: their replies are relayed. */
void node_take_deposits(struct node *node);
/* Minutes that are over are forgotten; what neighbours may use goes by how many there are. */
void node_peel_advance(struct node *node);

#endif
