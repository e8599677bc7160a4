/* What the fuzz targets of links and nodes share: a clock, a random stream that every input begins
 * anew, and ends of links with fixed keys. An input gives the same run every time. */
#ifndef P2PD_FUZZ_RIG_H
#define P2PD_FUZZ_RIG_H

#include "daemon/core/link/link_private.h"

#include <stdlib.h>

#define RIG_ENDS 3
#define RIG_NETWORK 9 /* every byte of the network's key */

struct rig {
    struct mono now;
    struct wall wall;
    uint64_t block; /* of the random stream */
    struct core_random random;
    struct core_trace trace; /* formats every line, and keeps none */
};
struct rig_end {
    struct rig *rig;
    unsigned number;
    struct identity *identity; /* the process's: making its keys costs more than most inputs */
    struct effects *effects;
    struct links *links;
    struct address address;
    enum link_refusal verdict; /* what it says to whoever dials it */
    struct descriptor met;     /* of whom it last shook hands with */
    unsigned frames;           /* that were not the links' own */
};

static inline void rig_check(bool holds) {
    if (!holds)
        abort();
}

void rig_init(struct rig *rig);
void rig_pass(struct rig *rig, int64_t us);

struct identity *rig_identity(struct rig *rig, unsigned number);
struct address rig_address(unsigned number);
void rig_end_init(struct rig_end *end, struct rig *rig, unsigned number);
void rig_end_deinit(struct rig_end *end);
/* Sign what is in *descriptor, and carry it in handshakes from now on. */
void rig_end_sign(struct rig_end *end, struct descriptor *descriptor);
/* What the datagram brings about, its frames and events included; what goes out stays in
 * end->effects. */
enum drop rig_end_take(struct rig_end *end, const struct datagram *datagram);
void rig_end_tick(struct rig_end *end);
/* Deliver what both have put out to each other, until they are quiet or `rounds` are over. */
void rig_carry(struct rig_end *a, struct rig_end *b, unsigned rounds);

/* The next *length bytes of an input, or as many as are left: then *length says how many. */
const uint8_t *rig_bytes(struct wire_reader *r, size_t *length);

#endif
