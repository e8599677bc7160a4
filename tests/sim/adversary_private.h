/* What the files of an adversary share. */
#ifndef P2PD_ADVERSARY_PRIVATE_H
#define P2PD_ADVERSARY_PRIVATE_H

#include "daemon/core/link/link_private.h"
#include "daemon/core/node/node_private.h"
#include "tests/sim/adversary.h"
#include "tests/sim/adversary_gossip.h"

#define RECORDED 32
#define MAILS 8
#define TOLD_MAX 64
#define LAYERS 16

struct kept_layer {
    struct onion_layer layer;
    uint16_t uses;
};

struct adversary {
    struct sim *sim;
    unsigned habits, bursts;
    struct {
        struct address remote;
        size_t length;
        uint8_t bytes[DATAGRAM_LEN];
    } cells[RECORDED];
    uint8_t onions[RECORDED][ONION_LEN];
    unsigned n_cells, n_onions;
    struct node_id poser;
    struct address posed_at; /* port 0: nobody poses */
    struct address claimed;  /* port 0: it claims its own */
    struct crowd *crowd;
    unsigned gossiping; /* the step under way is for so many publications or questions */
    unsigned flooding;  /* the step under way is for frames of its own: so many */
    unsigned going;     /* the habits that the step is for */
    bool pads;          /* or did: what waits in its store is nobody\'s message */
    unsigned as, at;    /* the honest hosts that it speaks as and to */
    struct {
        struct node_id recipient;
        uint8_t *bytes;
        size_t length;
    } mails[MAILS];
    unsigned n_mails;
    enum handing handing;
    uint64_t handed;         /* the latest sequence in a handshake */
    uint64_t told[TOLD_MAX]; /* prefixes: each gets a version later than those before */
    unsigned n_told;
    struct wall bent; /* 0: it tells the right time */
    struct album *album;
    bool has_framed;
    uint8_t proof[PROOF_LEN];         /* if it has */
    struct kept_layer layers[LAYERS]; /* by way of neighbours */
};

static inline bool has_habit(const struct sim_host *host, enum habit habit) {
    return host && host->adversary && host->adversary->habits & habit;
}

static inline bool is_handing(const struct sim_host *host) {
    return has_habit(host, HABIT_HANDS) && host->node && host->adversary->handing != HANDS_NOTHING;
}

/* Of any host. */
const struct address *adversary_any_address(struct sim *sim);

#endif
