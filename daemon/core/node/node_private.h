/* The node as its files share it. node.c makes it, and calls the rooms in each step; what a file
 * does for the others stands in its own header. */
#ifndef P2PD_NODE_PRIVATE_H
#define P2PD_NODE_PRIVATE_H

#include "daemon/core/base/budget.h"
#include "daemon/core/base/rate.h"
#include "daemon/core/base/ration.h"
#include "daemon/core/base/share.h"
#include "daemon/core/deliver/depot/mailbox.h"
#include "daemon/core/deliver/inbox/inbox.h"
#include "daemon/core/deliver/inbox/policy.h"
#include "daemon/core/deliver/outbox.h"
#include "daemon/core/directory/directory.h"
#include "daemon/core/link/link.h"
#include "daemon/core/link/strangers.h"
#include "daemon/core/node/clients.h"
#include "daemon/core/node/clock.h"
#include "daemon/core/node/correct.h"
#include "daemon/core/node/keep.h"
#include "daemon/core/node/news.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/peel.h"
#include "daemon/core/node/publish.h"
#include "daemon/core/node/self.h"
#include "daemon/core/node/settle.h"
#include "daemon/core/overlay/gossip.h"
#include "daemon/core/overlay/pool.h"
#include "daemon/core/route/courier.h"
#include "daemon/core/route/droplist.h"
#include "daemon/core/route/path.h"
#include "daemon/core/route/relay.h"
#include "daemon/core/seam/effects.h"
#include "daemon/core/wire/identity.h"

#include <errno.h>
#include <stdlib.h>

#define ADVERTISE_MAX DESCRIPTOR_ADDRESSES_MAX

struct node {
    struct node_config config; /* keys wiped */
    struct address advertise[ADVERTISE_MAX];
    struct address address;  /* the first that we publish */
    struct now now, machine; /* by the corrected wall clock; by the machine's */
    struct mono started;
    struct mono minute; /* next chores */
    bool leaving;
    struct budget budget;
    struct effects *effects;
    struct budget_part effects_memory;
    struct doctor_visit *doctor; /* NULL: nobody has asked */
    struct identity *identity;
    struct directory *directory;
    struct links *links;
    struct paths *paths;
    struct courier courier;
    struct pool *pool;
    struct gossip *gossip;
    struct relay *relay;
    struct outbox *outbox;
    struct inbox *inbox;
    struct mailbox *mailbox;
    struct policy *policy;
    struct clients clients;

    /* State of this folder's files. Each field is written by its own file alone. */
    struct node_clock clock;
    struct node_correction correction;
    struct node_self self;
    struct publisher publisher;
    struct node_news news;
    struct node_settling settling;
    struct node_disk disk;
    uint32_t mail_day; /* of the key that is being stored */

    /* Packets: peel.c. */
    struct droplist *droplist;
    struct share share;    /* shares out the public-key work that packets cost */
    struct share share_in; /* the same for the contents of packets that are for us */
    struct ration ration;  /* limits the new paths that go on from here */
    /* The prefix of the node to which a slot's entries in drop list and ration belong. */
    uint64_t tenants[LINK_SLOTS];
    struct peeling *peelings; /* NODE_BATCH, in locked memory */
    size_t n_peelings, n_fresh;
    struct rate pongs; /* answers to onion pings: ping.c */

    /* Routes: routes.c. */
    uint64_t
        routes_generation; /* of the graph, when our neighbours were last looked at as relays */
    /* When messages that wait for a route were last tried, and for which graph. */
    struct mono retried;
    uint64_t retried_generation;

    uint64_t
        unfinished; /* bytes of messages and files that are not whole, as the store told last */
    /* For the doctor: when the last good datagram came, and where bad ones came from. */
    struct mono heard;
    struct strangers strangers;
    struct finding machine_findings[MACHINE_TOPICS]; /* as the shell told them */
    struct counters counters;
};

/* make.c */
/* Set the time of a step: the machine's clocks, and ours, which is the machine's with our
 * correction. */
void node_set_time(struct node *node, struct now now);
void node_reconfigure(struct node *node, const struct node_config *config);

/* count.c: a packet or frame was dropped, for this reason (or not). */
void node_count(struct node *node, enum drop drop);

#endif
