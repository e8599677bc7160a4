/* When our own descriptor is published: pure pacing, without a node. What the descriptor says is
 * self.c's business; here are the times at which a new one may go out, as links come and go.
 *
 * Threat: links that come and go, or a thousand nodes that start at once, must not set the whole
 * network publishing, since every node checks every version of every descriptor. */
#ifndef P2PD_PUBLISH_H
#define P2PD_PUBLISH_H

#include "daemon/core/base/base.h"

struct publisher {             /* all zero but `started`: nothing was published yet */
    bool published;            /* gossip has had one */
    bool dirty, lost_link;     /* what is published is not what is true */
    bool pressing;             /* and not for links gained alone */
    struct mono started, last; /* last: when the last one was published */
    /* A token bucket for losses published at once, as the time from which its tokens count (not, as
     * in base/rate, the time at which it is full): they come back at a pace that follows the
     * network. */
    struct mono losses_from;
    int64_t interval_us;  /* until the next, doubling while things keep changing */
    unsigned in_a_row;    /* publications without a pause between them */
    unsigned n_named;     /* neighbours in the last one that was signed */
    struct mono linked;   /* when there was a link for the first time since there was none */
    unsigned young;       /* descriptors signed just before they came: halved every second */
    struct mono young_at; /* when `young` was last set */
};
struct publish_network { /* what decides, as it is now */
    struct mono now;
    unsigned links;          /* established */
    unsigned links_min, aim; /* pool.min; how many links the pool aims at */
    size_t known, reached;   /* nodes with a descriptor; of them: those to which links lead */
};

/* What the last descriptor says is no longer true: a link was lost, or only something else. */
void publisher_change(struct publisher *publisher, bool lost);
/* The same, and it is more than links gained: it does not wait for others of the kind. */
void publisher_press(struct publisher *publisher);
/* There is a link, for the first time since there was none. */
void publisher_link(struct publisher *publisher, struct mono now);
/* A descriptor that names so many neighbours was signed. */
void publisher_sign(struct publisher *publisher, unsigned n_named);
/* A descriptor of another node came that was signed so long ago: by its age others are seen to
 * publish, which tells a network that forms from one that stands. */
void publisher_note_age(struct publisher *publisher, int64_t age_us, struct mono now);
/* Is there nothing to publish? Then publisher_due() is MONO_NEVER. */
bool publisher_is_idle(const struct publisher *publisher);
/* When the next descriptor is to be published. */
struct mono publisher_due(const struct publisher *publisher, const struct publish_network *network);
/* It is, now: the interval to the next one is set, and a loss of a link is charged. */
void publisher_publish(struct publisher *publisher, const struct publish_network *network);

#endif
