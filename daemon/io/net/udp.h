/* The daemon's UDP sockets: datagrams in and out in batches, and nothing about what is in them.
 * It makes no protocol decision, allocates nothing for a remote party beyond its own bounded
 * queues, and never blocks.
 *
 * Threat: anybody can send to these sockets; what they can cost is one read and one copy. ICMP
 * is forgeable, so no error that it causes closes anything or stops a datagram to somebody else. */
#ifndef P2PD_UDP_H
#define P2PD_UDP_H

#include "daemon/core/seam/types.h"
#include "shared/failure.h"

/* The most datagrams that one call of udp_receive hands out: two full messages of gathered
 * datagrams. More would delay the first of them, and gain next to nothing. */
#define UDP_BATCH 128
#define UDP_SOCKETS_MAX 16

struct udp;

struct udp_counters {
    uint64_t received, sent;
    uint64_t deferred;           /* queued because the kernel's buffer was full */
    uint64_t dropped;            /* lost because that queue was full, too: the newest are dropped */
    uint64_t send_errors;        /* refused by the kernel or by ICMP */
    uint64_t too_large;          /* of send_errors: a link on the path takes only shorter ones */
    struct address too_large_to; /* the destination of the latest of these */
    uint64_t receive_errors;     /* the same, on receiving */
    uint64_t no_socket;          /* to an address family on which we do not listen */
    uint64_t segmented;          /* of those sent: cut by the kernel out of a message of several */
    uint64_t gathered; /* of those received: gathered by the kernel into a message of several */
};

/* Open and bind a socket for each address (port 0: any free one); IPv6 sockets take IPv6 only. With
 * `lenient`, an address of a family that this machine lacks is skipped, as long as one socket
 * remains. Without it, an address that is not this machine's is waited for (udp_retry). 0, or
 * negative errno and a line in `error`. */
int udp_open(struct udp **ret_udp, const struct address *listen, size_t n, bool lenient,
             char error[FAILURE_MAX]);
/* Try again to open the addresses that are waited for; returns how many sockets were added. */
size_t udp_retry(struct udp *udp);
/* Find an address to listen on that this machine does not have now, because it has not come yet or
 * is gone again. False: there is none. *ret_error: -EADDRNOTAVAIL, or why it cannot be opened. */
bool udp_find_missing(const struct udp *udp, struct address *ret_address, int *ret_error);
/* Could this address be listened on, if no other process had it? 0; -EADDRNOTAVAIL: it is not this
 * machine's, at least not yet; or negative errno. */
int udp_check(const struct address *address);
/* Close all sockets; datagrams that are still queued are lost. Takes NULL. */
void udp_close(struct udp *udp);

size_t udp_n_sockets(const struct udp *udp);
int udp_fd(const struct udp *udp, size_t socket);
/* The address as bound, with the port that the system chose. */
const struct address *udp_bound(const struct udp *udp, size_t socket);

/* Hand out up to UDP_BATCH datagrams of a socket, first those held over from the last reading, else
 * by a new one; returns how many, 0 if none wait. Their bytes may be written to, no two datagrams
 * share a byte, and they are valid until the next call for this socket. A datagram longer than
 * DATAGRAM_LEN arrives as DATAGRAM_LEN + 1 bytes, which no format of ours has. */
size_t udp_receive(struct udp *udp, size_t socket, struct datagram ret_datagrams[UDP_BATCH]);
/* Are datagrams of the last reading still to be handed out? poll(2) does not tell of these: call
 * udp_receive until this is false. */
bool udp_is_holding(const struct udp *udp, size_t socket);
/* Are there such, or may more wait in the kernel, as far as the last reading tells? */
bool udp_may_have_more(const struct udp *udp, size_t socket);

/* Send all datagrams, those to one destination in their order. What the kernel does not take yet is
 * copied and queued. Failures are counted, never returned, since any datagram may be lost
 * anyway. */
void udp_send(struct udp *udp, const struct datagram *datagrams, size_t n);
/* Does this socket hold datagrams that the kernel has not taken yet? Then watch it for writing and
 * call udp_flush. */
bool udp_wants_write(const struct udp *udp, size_t socket);
void udp_flush(struct udp *udp, size_t socket);

void udp_counters(const struct udp *udp, struct udp_counters *ret_counters);

#endif
