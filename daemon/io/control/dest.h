/* Parse a DEST as people type it into the core's form. Pure: the directory finds the node that it
 * names. Implements p2pctl(1) DESTINATIONS. */
#ifndef P2PD_DEST_H
#define P2PD_DEST_H

#include "daemon/core/seam/types.h"

/* Tried in this order: IP, IP:PORT, [IPv6]:PORT; 64 hex digits; 8 to 63 hex digits; a node name.
 * 0, or -EINVAL: none of these. */
int dest_parse(const char *text, struct destination *ret_destination);

#endif
