/* Between udp.c (sockets, receiving) and udp_send.c. */
#ifndef P2PD_UDP_PRIVATE_H
#define P2PD_UDP_PRIVATE_H

#include "daemon/io/net/udp.h"
#include "daemon/io/net/udp_system.h"

#include <netinet/in.h>

/* What waits beyond the kernel's own buffer: 0.6 MB, allocated only while something waits. */
#define UDP_QUEUE_MAX 512
/* Datagrams that are looked at together, and destinations among them. A node has at most 32
 * neighbours; what exceeds a bound begins the next lot. */
#define UDP_LOT 256
#define UDP_DESTINATIONS 64
#define UDP_SLOTS (2 * UDP_DESTINATIONS)
/* Messages of one reading where each is a datagram, and where each may be many. The second is
 * what bounds the memory: 2 MB of addresses, of which a page is touched for each that arrives
 * alone, and all sixteen only by one full of segments. */
#define UDP_READ_PLAIN 64
#define UDP_READ_GATHERED 32
/* The longest that an IPv4 packet takes; Linux lets IPv6 carry no more that matters to us. */
#define UDP_PAYLOAD_MAX 65507
#define UDP_MESSAGE_MAX 65536

union udp_name {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};
union udp_control { /* packet information, and the length of a segment (an int on receiving) */
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
};
struct udp_queued {
    struct datagram datagram; /* its bytes are those below */
    uint8_t bytes[DATAGRAM_LEN];
};
/* What a socket has read, as far as it is not handed out. */
struct udp_inbox {
    uint8_t *buffers; /* `n` of `stride` bytes */
    size_t n, stride;
    size_t wanted;                   /* messages of the next reading */
    size_t asked, got;               /* messages of the last */
    size_t message, offset;          /* what to hand out next */
    size_t segments[UDP_READ_PLAIN]; /* their length, a message */
    struct udp_message messages[UDP_READ_PLAIN];
    struct iovec parts[UDP_READ_PLAIN];
    union udp_name names[UDP_READ_PLAIN];
    union udp_control controls[UDP_READ_PLAIN];
};
struct udp_socket {
    int fd;
    struct address bound;
    bool ipv4;
    size_t segments_max; /* a message on sending; 1: no cutting here */
    struct udp_inbox *inbox;
    struct udp_queued *queue; /* ring of UDP_QUEUE_MAX, NULL while nothing waits */
    size_t first, waiting;
};
/* Where some datagrams of a lot go: everything that needs to be found out but once for them. */
struct udp_destination {
    const struct datagram *example; /* remote and local of all of them */
    struct udp_socket *socket;      /* NULL: none suits */
    size_t n, next;                 /* of its datagrams; the place of the next in `order` */
    union udp_name name;
    socklen_t name_length;
    union udp_control source;
    size_t source_length; /* 0: the kernel chooses the source */
};
/* A lot on its way out, and everything that its system calls point to. */
struct udp_outbox {
    struct udp_destination destinations[UDP_DESTINATIONS];
    size_t n_destinations;
    uint8_t slots[UDP_SLOTS];              /* an open table: 1 + index in `destinations`, 0: free */
    uint8_t to[UDP_LOT];                   /* destination of each datagram as it came */
    const struct datagram *order[UDP_LOT]; /* by socket and destination */
    uint8_t order_to[UDP_LOT];
    struct udp_message messages[UDP_LOT];
    size_t first[UDP_LOT + 1]; /* in `order`, of each message */
    struct iovec parts[UDP_LOT];
    union udp_control controls[UDP_LOT];
};
struct udp {
    struct udp_socket sockets[UDP_SOCKETS_MAX];
    size_t n;
    struct udp_missing { /* not this machine's yet */
        struct address address;
        int error;
    } missing[UDP_SOCKETS_MAX];
    size_t n_missing;
    struct udp_counters counters;
    struct udp_outbox out;
};

socklen_t udp_to_system(const struct address *address, union udp_name *ret_name);

#endif
