/* Between udp.c (sockets, receiving) and udp_send.c. */
#ifndef P2PD_UDP_PRIVATE_H
#define P2PD_UDP_PRIVATE_H

#include "daemon/io/net/udp.h"
#include "daemon/io/net/udp_system.h"

#include <netinet/in.h>

/* How many datagrams a socket queues beyond the kernel's own buffer: 0.6 MB, allocated only while
 * something waits. */
#define UDP_QUEUE_MAX 512
/* A lot: how many datagrams are sorted together, and how many destinations they may have. A node
 * has at most 32 neighbours; datagrams beyond either limit go into the next lot. */
#define UDP_LOT 256
#define UDP_DESTINATIONS 64
#define UDP_SLOTS (2 * UDP_DESTINATIONS)
/* How many messages one reading may ask for, if each is one datagram, and if each may hold many. In
 * the second case the buffers take 2 MB of address space; a page of them is touched for a message
 * with one datagram, and all sixteen pages only for a message full of segments. */
#define UDP_READ_PLAIN 64
#define UDP_READ_GATHERED 32
/* The longest payload of an IPv4 packet. Linux lets IPv6 carry a little more, which we do not
 * use. */
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
    struct datagram datagram; /* its bytes point to those below */
    uint8_t bytes[DATAGRAM_LEN];
};
/* What a socket has read and not handed out yet. */
struct udp_inbox {
    uint8_t *buffers; /* `n` of `stride` bytes */
    size_t n, stride;
    size_t wanted;                   /* how many messages the next reading asks for */
    size_t asked, got;               /* the last reading: messages asked for and got */
    size_t message, offset;          /* where the next datagram to hand out begins */
    size_t segments[UDP_READ_PLAIN]; /* of each message: the length of its datagrams */
    struct udp_message messages[UDP_READ_PLAIN];
    struct iovec parts[UDP_READ_PLAIN];
    union udp_name names[UDP_READ_PLAIN];
    union udp_control controls[UDP_READ_PLAIN];
};
struct udp_socket {
    int fd;
    struct address bound;
    bool ipv4;
    size_t segments_max; /* most segments in a message that is sent; 1: no cutting */
    struct udp_inbox *inbox;
    struct udp_queued *queue; /* ring of UDP_QUEUE_MAX, NULL while nothing waits */
    size_t first, waiting;
};
/* A destination of datagrams in a lot, with everything that is found out once for all of them. */
struct udp_destination {
    const struct datagram *example; /* has the remote and local address of all of them */
    struct udp_socket *socket;      /* NULL: none suits */
    size_t n, next;                 /* how many datagrams; where the next one goes in `order` */
    union udp_name name;
    socklen_t name_length;
    union udp_control source;
    size_t source_length; /* 0: the kernel chooses the source */
};
/* A lot that is being sent, and everything that its system calls point to. */
struct udp_outbox {
    struct udp_destination destinations[UDP_DESTINATIONS];
    size_t n_destinations;
    uint8_t slots[UDP_SLOTS];              /* an open table: 1 + index in `destinations`, 0: free */
    uint8_t to[UDP_LOT];                   /* destination of each datagram as it came */
    const struct datagram *order[UDP_LOT]; /* sorted by socket and destination */
    uint8_t order_to[UDP_LOT];
    struct udp_message messages[UDP_LOT];
    size_t first[UDP_LOT + 1]; /* in `order`, of each message */
    struct iovec parts[UDP_LOT];
    union udp_control controls[UDP_LOT];
};
struct udp {
    struct udp_socket sockets[UDP_SOCKETS_MAX];
    size_t n;
    struct udp_missing { /* addresses that this machine does not have yet */
        struct address address;
        int error;
    } missing[UDP_SOCKETS_MAX];
    size_t n_missing;
    struct udp_counters counters;
    struct udp_outbox out;
};

socklen_t udp_to_system(const struct address *address, union udp_name *ret_name);

#endif
