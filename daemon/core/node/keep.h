/* What the node itself has the store keep (descriptors, pins, mail keys), and what the store's
 * results say of the disk. */
#ifndef P2PD_KEEP_H
#define P2PD_KEEP_H

#include "daemon/core/directory/directory.h"
#include "daemon/core/seam/store.h"

struct node;

struct node_disk { /* for the doctor */
    int error;     /* the last one, 0: none */
    struct mono failed;
    bool recovered;         /* something was written since */
    struct mono renumbered; /* when a sender last numbered its messages anew; 0: never */
};

/* Store a kept node's descriptor and pin. */
void node_keep_entry(struct node *node, const struct directory_entry *entry);
/* Have a new mail key stored. It is published only after that. */
void node_keep_mail_key(struct node *node);
/* The store's result for something of the node itself has come. */
void node_kept(struct node *node, uint64_t cookie, const struct store_result *result);
/* The result will never come, since the node ends: free what was kept for it. */
void node_keep_abandon(uint64_t cookie);
/* Note what a store result, of whatever room, says about the disk. */
void node_keep_note(struct node *node, const struct store_result *result);

#endif
