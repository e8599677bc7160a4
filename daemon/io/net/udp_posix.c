/* One datagram in each system call, for systems without recvmmsg, and to test udp_linux.c against
 * (build with -DP2PD_PORTABLE). */
#include "daemon/io/net/udp_system.h"

#if !UDP_BATCHED

#include <errno.h>

int udp_system_receive(int fd, struct udp_message *messages, unsigned int n) {
    unsigned int moved = 0;
    while (moved < n) {
        ssize_t length = recvmsg(fd, &messages[moved].header, MSG_DONTWAIT);
        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0)
            return moved > 0 ? (int)moved : -errno;
        messages[moved++].length = (unsigned int)length;
    }
    return (int)moved;
}

int udp_system_send(int fd, struct udp_message *messages, unsigned int n) {
    unsigned int moved = 0;
    while (moved < n) {
        ssize_t length = sendmsg(fd, &messages[moved].header, MSG_DONTWAIT);
        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0)
            return moved > 0 ? (int)moved : -errno;
        messages[moved++].length = (unsigned int)length;
    }
    return (int)moved;
}

size_t udp_system_segments(int fd) {
    (void)fd;
    return 1;
}

void udp_system_put_segment(struct cmsghdr *control, uint16_t length) {
    (void)control, (void)length; /* never called: a message is one segment */
}

bool udp_system_doubts_segments(int r) {
    (void)r;
    return false;
}

bool udp_system_gather(int fd) {
    (void)fd;
    return false;
}

size_t udp_system_get_segment(struct msghdr *header) {
    (void)header;
    return 0;
}

#endif
