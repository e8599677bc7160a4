/* When our own descriptor is published: pure pacing, without a node. What the descriptor says is
 * self.c's business; here are the times at which a new one may go out, as links come and go.
 *
 * Threat: links that come and go, or a thousand nodes that start at once, must not set the whole
 * network publishing, since every node checks every version of every descriptor. */
#ifndef P2PD_PUBLISH_H
#define P2PD_PUBLISH_H

#include "daemon/core/wire/identity.h"

struct publisher {                           /* all zero but `started`: nothing was published yet */
    bool published;                          /* a descriptor was given to gossip */
    bool dirty;                              /* the published descriptor is out of date */
    bool pressing;                           /* the change is one that others cannot do without */
    bool outbid;                             /* the network has a later descriptor of ours */
    bool lost_link, gained_link, moved_link; /* how the neighbours differ from those it names */
    struct mono started, last;               /* last: when the last one was published */
    /* Token buckets for what is published at once, losses and all of it, as the time from which
     * their tokens count (not, as in base/rate, the time at which they are full): they come back at
     * a pace that follows the network. */
    struct mono losses_from, news_from;
    int64_t interval_us; /* until the next, doubling while things keep changing */
    unsigned in_a_row;   /* publications without a pause between them */
    struct descriptor_neighbour named[DESCRIPTOR_NEIGHBOURS_MAX]; /* by the last that was signed */
    unsigned n_named;
    struct mono linked;   /* when the first link came up after there was none */
    unsigned young;       /* descriptors signed just before they came: halved every second */
    struct mono young_at; /* when `young` was last set */
};
struct publish_network { /* the present state of the network */
    struct mono now;
    unsigned links;          /* established */
    unsigned links_min, aim; /* pool.min; how many links the pool aims at */
    size_t known, reached;   /* nodes with a descriptor; of them: those to which links lead */
};

/* What the last descriptor says is no longer true, but for neighbours: see publisher_compare(). */
void publisher_change(struct publisher *publisher);
/* The same for a change that others cannot do without, such as new routing keys: it is published at
 * once. */
void publisher_press(struct publisher *publisher);
/* The network has a later descriptor of ours. Going beyond it is rationed as losses of links are,
 * since a copy of this node may publish such ones again and again. */
void publisher_outbid(struct publisher *publisher);
/* Compare: are these the neighbours, at the addresses, that the last descriptor names? */
void publisher_compare(struct publisher *publisher, const struct descriptor_neighbour *neighbours,
                       unsigned n);
/* The first link has come up after there was none. */
void publisher_link(struct publisher *publisher, struct mono now);
/* A descriptor that names these neighbours was signed. */
void publisher_sign(struct publisher *publisher, const struct descriptor_neighbour *neighbours,
                    unsigned n);
/* A descriptor of another node came that was signed so long ago: by its age others are seen to
 * publish, which tells a network that forms from one that stands. */
void publisher_note_age(struct publisher *publisher, int64_t age_us, struct mono now);
/* Is there nothing to publish? Then publisher_due() is MONO_NEVER. */
bool publisher_is_idle(const struct publisher *publisher);
/* When the next descriptor is to be published. */
struct mono publisher_due(const struct publisher *publisher, const struct publish_network *network);
/* The next descriptor is published now: set the interval to the one after it, and charge the token
 * buckets. */
void publisher_publish(struct publisher *publisher, const struct publish_network *network);

#endif
