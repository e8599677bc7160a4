/* Datagrams in batches of system calls: at 100,000 a second the calls would cost more than the
 * cryptography. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "daemon/io/udp_private.h"

#if UDP_BATCHED

#include <assert.h>
#include <errno.h>
#include <stddef.h>

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
        moved = sendmmsg(fd, (struct mmsghdr *)messages, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (moved < 0 && errno == EINTR);
    return moved < 0 ? -errno : moved;
}

#endif
