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
    struct mono renumbered; /* a sender's messages were, last; 0: never */
};

/* Store a kept node's descriptor and pin. */
void node_keep_entry(struct node *node, const struct directory_entry *entry);
/* A new mail key is stored before it is published. */
void node_keep_mail_key(struct node *node);
/* The result of what was stored for the node itself came. */
void node_kept(struct node *node, uint64_t cookie, const struct store_result *result);
/* It will never come. */
void node_keep_abandon(uint64_t cookie);
/* What any room's result says of the disk. */
void node_keep_note(struct node *node, const struct store_result *result);

#endif
