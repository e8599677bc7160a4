/* What an onion packet delivers: the first byte of its payload. Implements p2pd-protocol(7)
 * ONION. */
#ifndef P2PD_PAYLOAD_H
#define P2PD_PAYLOAD_H

enum payload_kind {
    PAYLOAD_SHARD = 1,    /* of a parcel: parcel.h */
    PAYLOAD_RECEIPTS = 2, /* of parcels */
    PAYLOAD_PING = 3,     /* asks for a pong, over an onion path: node/ping.h */
    PAYLOAD_PONG = 4,
    PAYLOAD_DEPOSIT = 5,   /* a shard of what is left with a mailbox: mail.h */
    PAYLOAD_DEPOSITED = 6, /* the mailbox keeps it */
};

#endif
