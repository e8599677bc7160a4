/* Between udp.c and the system's way of moving datagrams: udp_linux.c (recvmmsg, sendmmsg) or
 * udp_posix.c (one by one). */
#ifndef P2PD_UDP_PRIVATE_H
#define P2PD_UDP_PRIVATE_H

#include <sys/socket.h>
#include <sys/types.h>

/* Batched calls exist here; -DP2PD_PORTABLE leaves them out. */
#if defined(__linux__) && !defined(P2PD_PORTABLE)
#define UDP_BATCHED 1
#else
#define UDP_BATCHED 0
#endif

/* Laid out as Linux's struct mmsghdr. */
struct udp_message {
    struct msghdr header;
    unsigned int length; /* of what was received or sent */
};

/* Both return how many messages were moved (at least one), or negative errno for the first.
 * -EAGAIN: none, for now. */
int udp_system_receive(int fd, struct udp_message *messages, unsigned int n);
int udp_system_send(int fd, struct udp_message *messages, unsigned int n);

#endif
