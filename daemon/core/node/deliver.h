/* What an onion's payload leads to. */
#ifndef P2PD_DELIVER_H
#define P2PD_DELIVER_H

#include "daemon/core/base/base.h"
#include "daemon/core/wire/onion.h"

struct node;

/* A payload for ourselves. */
enum drop node_deliver(struct node *node, unsigned slot, const struct onion_peeled *peeled,
                       int64_t epoch);

#endif
