#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "daemon/io/net/netwatch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#else
#include <net/if.h>
#include <net/route.h>
#endif

#define MESSAGES_A_TURN 256 /* in one turn of the loop, before others have theirs */

struct netwatch {
    struct ev_loop *loop;
    ev_io readable;
    ev_timer gather;
    void (*changed)(void *context);
    void *context;
    int fd;
};

/* ---- The system's messages ---- */

#if defined(__linux__)

static int system_open(void) {
    struct sockaddr_nl name = {.nl_family = AF_NETLINK,
                               .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof name) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* On Linux every message of the groups that we subscribe to is a change. */
static bool is_change(const uint8_t *message, size_t length) {
    (void)message;
    return length >= sizeof(struct nlmsghdr);
}

#elif defined(PF_ROUTE)

static int system_open(void) {
    return socket(PF_ROUTE, SOCK_RAW, AF_UNSPEC);
}

/* A routing socket also tells of routes, which come and go without our links being touched. */
static bool is_change(const uint8_t *message, size_t length) {
    struct { /* how all these messages begin */
        u_short length;
        u_char version, type;
    } head;
    if (length < sizeof head)
        return false;
    memcpy(&head, message, sizeof head);
    return head.type == RTM_NEWADDR || head.type == RTM_DELADDR || head.type == RTM_IFINFO;
}

#else

static int system_open(void) {
    errno = ENOSYS;
    return -1;
}

static bool is_change(const uint8_t *message, size_t length) {
    (void)message, (void)length;
    return false;
}

#endif

/* ---- In the loop ---- */

static void on_gathered(struct ev_loop *loop, ev_timer *watcher, int events) {
    struct netwatch *netwatch = watcher->data;
    (void)loop, (void)events;
    netwatch->changed(netwatch->context);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events) {
    struct netwatch *netwatch = watcher->data;
    uint8_t buffer[8192] __attribute__((aligned(8)));
    bool any = false;
    (void)events;
    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        ssize_t n = recv(netwatch->fd, buffer, sizeof buffer, MSG_TRUNC);
        if (n < 0 && errno == ENOBUFS) { /* so much has changed that some of it was lost */
            any = true;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
                ev_io_stop(loop, watcher); /* better to hear nothing than to spin */
            break;
        }
        any |= is_change(buffer, (size_t)n < sizeof buffer ? (size_t)n : sizeof buffer);
    }
    if (!any || ev_is_active(&netwatch->gather))
        return;
    ev_now_update(loop);
    ev_timer_set(&netwatch->gather, NETWATCH_GATHER_S, 0);
    ev_timer_start(loop, &netwatch->gather);
}

int netwatch_open(struct netwatch **ret_netwatch, struct ev_loop *loop,
                  void (*changed)(void *context), void *context) {
    struct netwatch *netwatch = calloc(1, sizeof *netwatch);
    if (!netwatch)
        return -ENOMEM;
    *netwatch = (struct netwatch){
        .loop = loop, .changed = changed, .context = context, .fd = system_open()};
    if (netwatch->fd < 0 || fcntl(netwatch->fd, F_SETFD, FD_CLOEXEC) < 0 ||
        fcntl(netwatch->fd, F_SETFL, O_NONBLOCK) < 0) {
        int r = -errno;
        if (netwatch->fd >= 0)
            close(netwatch->fd);
        free(netwatch);
        return r;
    }
    ev_timer_init(&netwatch->gather, on_gathered, 0, 0);
    ev_io_init(&netwatch->readable, on_readable, netwatch->fd, EV_READ);
    netwatch->gather.data = netwatch->readable.data = netwatch;
    ev_io_start(loop, &netwatch->readable);
    *ret_netwatch = netwatch;
    return 0;
}

void netwatch_close(struct netwatch *netwatch) {
    if (!netwatch)
        return;
    ev_io_stop(netwatch->loop, &netwatch->readable);
    ev_timer_stop(netwatch->loop, &netwatch->gather);
    close(netwatch->fd);
    free(netwatch);
}
