/* A descriptor that we did not know has come: tell the rooms that it concerns, and log those that
 * lie. */
#ifndef P2PD_NEWS_H
#define P2PD_NEWS_H

#include "daemon/core/directory/directory.h"

struct node;

struct node_news {             /* what was told in the log, and how long it is not told again */
    uint64_t rivals_told;      /* claims to an address that another has */
    uint64_t convictions_told; /* nodes that signed two versions of one sequence */
    struct mono rivals_quiet, convictions_quiet, doubled_quiet;
};

/* Take in a new descriptor. `from`: the neighbour that sent it; 0: it came in a handshake.
 * `spread`: announce it to the network. */
void node_news(struct node *node, const struct directory_entry *entry, uint64_t from, bool spread);
/* Warn, once in a while, if somebody else signs descriptors with our key. */
void node_news_tell_doubled(struct node *node);

#endif
