/* How the system moves datagrams: udp_linux.c (recvmmsg, sendmmsg, several datagrams in a message)
 * or udp_posix.c (one by one). */
#ifndef P2PD_UDP_SYSTEM_H
#define P2PD_UDP_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
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
    unsigned int length; /* bytes received or sent */
};

/* Both return how many messages were moved (at least one), or negative errno for the first.
 * -EAGAIN: none, for now. */
int udp_system_receive(int fd, struct udp_message *messages, unsigned int n);
int udp_system_send(int fd, struct udp_message *messages, unsigned int n);

/* How many datagrams of one length a message may be cut into on sending; 1: this socket's kernel
 * cannot cut messages. */
size_t udp_system_segments(int fd);
/* Say in a control message (of UDP_SEGMENT_SPACE bytes, zeroed) that each datagram has `length`
 * bytes; the last may have fewer. */
#define UDP_SEGMENT_SPACE CMSG_SPACE(sizeof(uint16_t))
void udp_system_put_segment(struct cmsghdr *control, uint16_t length);
/* Does this error mean that the kernel or device may be unable to cut the message? There may be
 * other reasons: sending the datagrams one by one tells. */
bool udp_system_doubts_segments(int r);
/* Ask the kernel to gather datagrams of one sender into one message on receiving; false: it
 * cannot. */
bool udp_system_gather(int fd);
/* How long each datagram in a received message is; 0: the message is one datagram. */
size_t udp_system_get_segment(struct msghdr *header);

#endif
