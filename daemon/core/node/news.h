/* A descriptor that we did not know came: whom it concerns, and what is said of liars. */
#ifndef P2PD_NEWS_H
#define P2PD_NEWS_H

#include "daemon/core/directory/directory.h"

struct node;

struct node_news {             /* what was told in the log, and how long it is not told again */
    uint64_t rivals_told;      /* claims to an address that another has */
    uint64_t convictions_told; /* nodes that signed two versions of one sequence */
    struct mono rivals_quiet, convictions_quiet, doubled_quiet;
};

/* From a neighbour, or from a handshake (0). `spread`: the network is to hear of it. */
void node_news(struct node *node, const struct directory_entry *entry, uint64_t from, bool spread);
/* Say so, once in a while, if somebody else signs as we do. */
void node_news_tell_doubled(struct node *node);

#endif
