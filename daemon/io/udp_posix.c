/* Datagrams one by one, for systems without recvmmsg, and to keep the batched way honest (build
 * with -DP2PD_PORTABLE). */
#include "daemon/io/udp_private.h"

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

#endif
