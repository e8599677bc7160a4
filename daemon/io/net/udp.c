/* See udp.h. Socket options that are only desirable (buffer sizes, don't-fragment) are asked for,
 * and a refusal is ignored. If one that the protocol relies on (packet information, IPv6 only) is
 * refused, that is an error. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define __APPLE_USE_RFC_3542
#include "daemon/io/net/udp_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Large enough for a burst of a full window to several neighbours. */
#define BUFFER_WANTED (4 * 1024 * 1024)
/* How many messages to ask for in the first reading, where each may hold many datagrams. */
#define WANTED_AT_FIRST 4
#define PAGE 4096 /* used as an alignment alone, so a larger real page does no harm */

static const uint8_t ipv4_mapped[12] = {[10] = 0xff, [11] = 0xff};

socklen_t udp_to_system(const struct address *address, union udp_name *ret_name) {
    memset(ret_name, 0, sizeof *ret_name);
    if (address_is_ipv4(address)) {
        ret_name->ipv4.sin_family = AF_INET;
        ret_name->ipv4.sin_port = htons(address->port);
        memcpy(&ret_name->ipv4.sin_addr, address->ip + 12, 4);
        return sizeof ret_name->ipv4;
    }
    ret_name->ipv6.sin6_family = AF_INET6;
    ret_name->ipv6.sin6_port = htons(address->port);
    memcpy(&ret_name->ipv6.sin6_addr, address->ip, 16);
    return sizeof ret_name->ipv6;
}

static void set_ipv4(struct address *address, const void *ip) {
    memcpy(address->ip, ipv4_mapped, sizeof ipv4_mapped);
    memcpy(address->ip + 12, ip, 4);
}

static void from_system(const union udp_name *name, struct address *ret_address) {
    if (name->any.sa_family == AF_INET) {
        set_ipv4(ret_address, &name->ipv4.sin_addr);
        ret_address->port = ntohs(name->ipv4.sin_port);
    } else {
        memcpy(ret_address->ip, &name->ipv6.sin6_addr, 16);
        ret_address->port = ntohs(name->ipv6.sin6_port);
    }
}

/* ---- Opening ---- */

static int set_option(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value) < 0 ? -errno : 0;
}

static void ask_for_buffer(int fd, int forced, int plain) {
    if (forced == 0 || set_option(fd, SOL_SOCKET, forced, BUFFER_WANTED) < 0)
        set_option(fd, SOL_SOCKET, plain, BUFFER_WANTED);
}

/* Our datagrams fit every IPv6 path by construction. PROBE sends them whole and, unlike DO, does
 * not believe ICMP messages that claim a smaller path MTU, which anybody could forge. An IPv4 path
 * may have a smaller MTU (a tunnel in a tunnel): there routers may fragment our datagrams, or
 * nothing at all would get through. */
static void ask_for_wishes(int fd, bool ipv4) {
#ifdef SO_RCVBUFFORCE
    ask_for_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    ask_for_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
#else
    ask_for_buffer(fd, 0, SO_RCVBUF);
    ask_for_buffer(fd, 0, SO_SNDBUF);
#endif
#if defined(IP_PMTUDISC_PROBE) && defined(IPV6_PMTUDISC_PROBE)
    if (ipv4)
        set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    else
        set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
#elif defined(IP_DONTFRAG)
    if (ipv4)
        set_option(fd, IPPROTO_IP, IP_DONTFRAG, 0);
#endif
#ifdef IPV6_DONTFRAG
    if (!ipv4)
        set_option(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
#endif
}

static int require_options(int fd, bool ipv4) {
    int r = fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
    if (r == 0 && ipv4)
#ifdef IP_PKTINFO
        r = set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
#else
        r = set_option(fd, IPPROTO_IP, IP_RECVDSTADDR, 1);
#endif
    if (r == 0 && !ipv4)
        r = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (r == 0 && !ipv4)
        r = set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    return r;
}

/* Make the buffers of a socket, with pointers between their parts that never change. Where a
 * message may hold many datagrams its buffer has room for the longest. Huge pages are avoided,
 * since one would make a whole buffer resident at once. */
static struct udp_inbox *inbox_new(bool gathered) {
    struct udp_inbox *in = calloc(1, sizeof *in);
    if (!in)
        return NULL;
    in->n = gathered ? UDP_READ_GATHERED : UDP_READ_PLAIN;
    in->stride = gathered ? UDP_MESSAGE_MAX : DATAGRAM_LEN + 1;
    in->wanted = gathered ? WANTED_AT_FIRST : in->n;
    void *buffers = NULL;
    if (posix_memalign(&buffers, PAGE, in->n * in->stride) != 0) {
        free(in);
        return NULL;
    }
#ifdef MADV_NOHUGEPAGE
    madvise(buffers, in->n * in->stride, MADV_NOHUGEPAGE);
#endif
    in->buffers = buffers;
    for (size_t i = 0; i < in->n; i++) {
        in->parts[i] = (struct iovec){in->buffers + i * in->stride, in->stride};
        in->messages[i].header =
            (struct msghdr){.msg_name = &in->names[i], .msg_iov = &in->parts[i], .msg_iovlen = 1};
    }
    return in;
}

static void socket_close(struct udp_socket *s) {
    close(s->fd);
    if (s->inbox)
        free(s->inbox->buffers);
    free(s->inbox);
    free(s->queue);
}

static int socket_open(struct udp_socket *s, const struct address *address) {
    union udp_name name;
    socklen_t length = udp_to_system(address, &name);
    *s = (struct udp_socket){.fd = -1, .ipv4 = address_is_ipv4(address)};
    int fd = socket(name.any.sa_family, SOCK_DGRAM, IPPROTO_UDP);
    if (fd < 0)
        return -errno;
    int r = require_options(fd, s->ipv4);
    if (r == 0 && bind(fd, &name.any, length) < 0)
        r = -errno;
    if (r == 0 && getsockname(fd, &name.any, &length) < 0)
        r = -errno;
    if (r < 0) {
        close(fd);
        return r;
    }
    ask_for_wishes(fd, s->ipv4);
    from_system(&name, &s->bound);
    s->fd = fd;
    s->segments_max = udp_system_segments(fd);
    s->inbox = inbox_new(udp_system_gather(fd));
    if (s->inbox)
        return 0;
    socket_close(s);
    return -ENOMEM;
}

int udp_check(const struct address *address) {
    union udp_name name;
    socklen_t length = udp_to_system(address, &name);
    int fd = socket(name.any.sa_family, SOCK_DGRAM, IPPROTO_UDP);
    if (fd < 0)
        return -errno;
    int r = require_options(fd, address_is_ipv4(address));
    if (r == 0 && bind(fd, &name.any, length) < 0 && errno != EADDRINUSE)
        r = -errno;
    close(fd);
    return r;
}

static bool is_missing_family(int r) {
    return r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL || r == -EPROTONOSUPPORT;
}

static bool is_awaited(const struct address *address, int r) {
    return r == -EADDRNOTAVAIL && !address_is_unspecified(address);
}

size_t udp_retry(struct udp *udp) {
    size_t opened = 0, left = 0;
    for (size_t i = 0; i < udp->n_missing; i++) {
        struct udp_missing missing = udp->missing[i];
        missing.error = socket_open(&udp->sockets[udp->n], &missing.address);
        if (missing.error < 0) {
            udp->missing[left++] = missing;
        } else {
            udp->n++;
            opened++;
        }
    }
    udp->n_missing = left;
    return opened;
}

bool udp_find_missing(const struct udp *udp, struct address *ret_address, int *ret_error) {
    if (udp->n_missing > 0) {
        *ret_address = udp->missing[0].address;
        *ret_error = udp->missing[0].error;
        return true;
    }
    for (size_t i = 0; i < udp->n; i++) {
        const struct address *bound = &udp->sockets[i].bound;
        if (!address_is_unspecified(bound) && udp_check(bound) == -EADDRNOTAVAIL) {
            *ret_address = *bound;
            *ret_error = -EADDRNOTAVAIL;
            return true;
        }
    }
    return false;
}

int udp_open(struct udp **ret_udp, const struct address *listen, size_t n, bool lenient,
             char error[FAILURE_MAX]) {
    if (n > UDP_SOCKETS_MAX)
        return failure(error, -E2BIG, "more than %d addresses to listen on", UDP_SOCKETS_MAX);
    struct udp *udp = calloc(1, sizeof *udp);
    if (!udp)
        return failure(error, -ENOMEM, "out of memory");
    int r = -EADDRNOTAVAIL;
    for (size_t i = 0; i < n; i++) {
        r = socket_open(&udp->sockets[udp->n], &listen[i]);
        if (r == 0)
            udp->n++;
        else if (!lenient && is_awaited(&listen[i], r))
            udp->missing[udp->n_missing++] = (struct udp_missing){listen[i], r};
        else if (!lenient || !is_missing_family(r) || (i + 1 == n && udp->n == 0)) {
            char text[ADDRESS_TEXT_MAX];
            address_format(&listen[i], true, text);
            udp_close(udp);
            return failure(error, r, "cannot listen on %s: %s", text, strerror(-r));
        }
    }
    *ret_udp = udp;
    return 0;
}

void udp_close(struct udp *udp) {
    if (!udp)
        return;
    for (size_t i = 0; i < udp->n; i++)
        socket_close(&udp->sockets[i]);
    free(udp);
}

size_t udp_n_sockets(const struct udp *udp) {
    return udp->n;
}

int udp_fd(const struct udp *udp, size_t socket) {
    return udp->sockets[socket].fd;
}

const struct address *udp_bound(const struct udp *udp, size_t socket) {
    return &udp->sockets[socket].bound;
}

void udp_counters(const struct udp *udp, struct udp_counters *ret_counters) {
    *ret_counters = udp->counters;
}

/* ---- Receiving ---- */

/* The local address of a datagram. A socket that is bound to one address has no other; a wildcard
 * one learns from the packet information to which address the datagram was sent. */
static void learn_local(const struct udp_socket *s, struct msghdr *header,
                        struct address *ret_local) {
    *ret_local = s->bound;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
#ifdef IP_PKTINFO
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            set_ipv4(ret_local, &info.ipi_spec_dst);
        }
#else
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVDSTADDR)
            set_ipv4(ret_local, CMSG_DATA(c));
#endif
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            memcpy(ret_local->ip, &info.ipi6_addr, 16);
        }
    }
}

/* Choose how many messages to ask for next: as many as fill one call of udp_receive, so that little
 * is held over, and few buffers are in use, which then stay in the cache. More than before only if
 * all that were asked for came. */
static void adapt(struct udp_inbox *in, size_t datagrams) {
    size_t fit = UDP_BATCH * in->got / datagrams;
    if (in->got == in->asked && in->wanted < in->n)
        in->wanted = 2 * in->wanted < in->n ? 2 * in->wanted : in->n;
    if (fit < in->wanted)
        in->wanted = fit > 0 ? fit : 1;
}

/* Read what waits into an empty inbox. */
static void inbox_fill(struct udp *udp, struct udp_socket *s) {
    struct udp_inbox *in = s->inbox;
    size_t datagrams = 0;
    in->asked = in->wanted;
    in->got = in->message = in->offset = 0;
    for (size_t i = 0; i < in->asked; i++) {
        in->messages[i].header.msg_namelen = sizeof in->names[i];
        in->messages[i].header.msg_control = &in->controls[i];
        in->messages[i].header.msg_controllen = sizeof in->controls[i];
    }
    int n = udp_system_receive(s->fd, in->messages, (unsigned int)in->asked);
    if (n <= 0) {
        udp->counters.receive_errors += n != -EAGAIN && n != -EWOULDBLOCK;
        return;
    }
    in->got = (size_t)n;
    for (size_t i = 0; i < in->got; i++) {
        size_t length = in->messages[i].length;
        size_t segment = udp_system_get_segment(&in->messages[i].header);
        in->segments[i] = segment > 0 && segment < length ? segment : length;
        datagrams += length > 0 ? (length + in->segments[i] - 1) / in->segments[i] : 1;
    }
    adapt(in, datagrams);
}

/* Hand out up to `room` datagrams of the next message; returns how many. */
static size_t inbox_take(struct udp *udp, struct udp_socket *s, struct datagram *ret, size_t room) {
    struct udp_inbox *in = s->inbox;
    struct udp_message *message = &in->messages[in->message];
    size_t length = message->length, segment = in->segments[in->message], n = 0;
    struct datagram datagram;
    from_system(&in->names[in->message], &datagram.remote);
    learn_local(s, &message->header, &datagram.local);
    do {
        size_t left = length - in->offset, part = segment < left ? segment : left;
        datagram.bytes = in->buffers + in->message * in->stride + in->offset;
        datagram.length = part > DATAGRAM_LEN ? DATAGRAM_LEN + 1 : part;
        ret[n++] = datagram;
        in->offset += part;
    } while (in->offset < length && n < room);
    if (segment < length)
        udp->counters.gathered += n;
    if (in->offset == length) {
        in->message++;
        in->offset = 0;
    }
    return n;
}

bool udp_is_holding(const struct udp *udp, size_t socket) {
    const struct udp_inbox *in = udp->sockets[socket].inbox;
    return in->message < in->got;
}

bool udp_may_have_more(const struct udp *udp, size_t socket) {
    const struct udp_inbox *in = udp->sockets[socket].inbox;
    return in->message < in->got || in->got == in->asked;
}

size_t udp_receive(struct udp *udp, size_t socket, struct datagram ret_datagrams[UDP_BATCH]) {
    struct udp_socket *s = &udp->sockets[socket];
    size_t n = 0;
    if (!udp_is_holding(udp, socket))
        inbox_fill(udp, s);
    while (n < UDP_BATCH && udp_is_holding(udp, socket))
        n += inbox_take(udp, s, &ret_datagrams[n], UDP_BATCH - n);
    udp->counters.received += n;
    return n;
}
