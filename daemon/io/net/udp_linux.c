/* Several datagrams in a message, and several messages in a system call: at 100,000 datagrams a
 * second the calls, and the kernel's path from socket to device and back, would otherwise cost more
 * than the cryptography. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "daemon/io/net/udp_system.h"

#if UDP_BATCHED

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_SEGMENT /* a C library that is older than the kernel */
#define UDP_SEGMENT 103
#define UDP_GRO 104
#endif
/* Kernels take twice as many since 6.9, but not even 64 of DATAGRAM_LEN bytes fit a packet. */
#define SEGMENTS_MAX 64

static_assert(sizeof(struct udp_message) == sizeof(struct mmsghdr), "one layout");
static_assert(offsetof(struct udp_message, length) == offsetof(struct mmsghdr, msg_len),
              "one layout");

int udp_system_receive(int fd, struct udp_message *messages, unsigned int n) {
    int moved;
    do
        moved = recvmmsg(fd, (struct mmsghdr *)messages, n, MSG_DONTWAIT, NULL);
    while (moved < 0 && errno == EINTR);
    return moved < 0 ? -errno : moved;
}

int udp_system_send(int fd, struct udp_message *messages, unsigned int n) {
    int moved;
    do
        moved = n == 1 ? (sendmsg(fd, &messages->header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 1)
                       : sendmmsg(fd, (struct mmsghdr *)messages, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (moved < 0 && errno == EINTR);
    return moved < 0 ? -errno : moved;
}

size_t udp_system_segments(int fd) {
    int value;
    socklen_t length = sizeof value;
    return getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &value, &length) < 0 ? 1 : SEGMENTS_MAX;
}

void udp_system_put_segment(struct cmsghdr *control, uint16_t length) {
    control->cmsg_level = IPPROTO_UDP;
    control->cmsg_type = UDP_SEGMENT;
    control->cmsg_len = CMSG_LEN(sizeof length);
    memcpy(CMSG_DATA(control), &length, sizeof length);
}

/* EIO: the device computes no checksums for us. EINVAL, EMSGSIZE: its packets are smaller than a
 * segment, or a source address is gone. The others: this protocol or device cannot do it. */
bool udp_system_doubts_segments(int r) {
    return r == -EIO || r == -EINVAL || r == -EMSGSIZE || r == -EOPNOTSUPP || r == -ENOPROTOOPT;
}

bool udp_system_gather(int fd) {
    int on = 1;
    return setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) == 0;
}

size_t udp_system_get_segment(struct msghdr *header) {
    int length = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
            memcpy(&length, CMSG_DATA(c), sizeof length);
    return length > 0 ? (size_t)length : 0;
}

#endif
