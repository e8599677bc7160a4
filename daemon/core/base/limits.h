/* Numbers that the wire and the seam share. */
#ifndef P2PD_LIMITS_H
#define P2PD_LIMITS_H

#define DATAGRAM_LEN 1232
#define DESCRIPTOR_ADDRESSES_MAX 4
#define MESSAGE_REASON_MAX 64
#define RELAYS_DEFAULT 0xff /* in place of a number of relays: as configured */
#define TOPOLOGY_DEGREE_MAX 16
#define TOPOLOGY_RELAYS_MAX 5

#endif
