/* Does a node fit what a user named? The directory looks so among those that are known, the node
 * among those that the store remembers. */
#ifndef P2PD_SEAM_DESTINATION_H
#define P2PD_SEAM_DESTINATION_H

#include "daemon/core/seam/types.h"

#include <string.h>

/* Does the id begin with the digits of a DEST_PREFIX? */
static inline bool destination_has_digits(const struct destination *destination,
                                          const struct node_id *id) {
    size_t whole = destination->n_digits / 2;

    if (destination->n_digits > 2 * NODE_ID_LEN || memcmp(id->bytes, destination->id, whole) != 0)
        return false;
    return destination->n_digits % 2 == 0 ||
           (id->bytes[whole] & 0xf0) == (destination->id[whole] & 0xf0);
}

/* Does a node of this id, address and name ("": none) fit? */
static inline bool destination_matches(const struct destination *destination,
                                       const struct node_id *id, const struct address *address,
                                       const char *name) {
    switch (destination->kind) {
    case DEST_ADDRESS:
        return address_matches(address, &destination->address);
    case DEST_NAME:
        return strcmp(name, destination->name) == 0;
    case DEST_PREFIX:
        return destination_has_digits(destination, id);
    case DEST_ID:
        return memcmp(id->bytes, destination->id, NODE_ID_LEN) == 0;
    }
    return false;
}

#endif
