/* See udp.h. Socket options that are a wish (buffer sizes, don't-fragment) are asked for and not
 * insisted on; those that the protocol rests on (packet information, IPv6 only) are errors. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define __APPLE_USE_RFC_3542
#include "daemon/io/udp.h"
#include "daemon/io/udp_private.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

/* A burst of a full window towards several neighbours fits the kernel's buffers. */
#define BUFFER_WANTED (4 * 1024 * 1024)
/* What waits beyond the kernel's own buffer: 0.6 MB, allocated only while something waits. */
#define QUEUE_MAX 512

union socket_address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};
union control {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};
struct queued {
    struct address remote, local;
    size_t length;
    uint8_t bytes[DATAGRAM_LEN];
};
struct udp_socket {
    int fd;
    struct address bound;
    bool ipv4;
    struct queued *queue; /* ring of QUEUE_MAX, NULL while nothing waits */
    size_t first, waiting;
};
/* Everything that one batch of system calls points to. */
struct batch {
    struct udp_message messages[UDP_BATCH];
    struct iovec parts[UDP_BATCH];
    union socket_address names[UDP_BATCH];
    union control controls[UDP_BATCH];
};
struct udp {
    struct udp_socket sockets[UDP_SOCKETS_MAX];
    size_t n;
    struct udp_counters counters;
    struct batch in, out;
    uint8_t buffers[UDP_BATCH][DATAGRAM_LEN + 1];
};

static const uint8_t ipv4_mapped[12] = {[10] = 0xff, [11] = 0xff};

static socklen_t to_system(const struct address *address, union socket_address *ret_name) {
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

static void from_system(const union socket_address *name, struct address *ret_address) {
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

/* PROBE sets don't-fragment but, unlike DO, believes no ICMP that claims a smaller path: anybody
 * could forge one. Our datagrams fit every IPv6 path by construction. */
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
        set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    else
        set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
#elif defined(IP_DONTFRAG)
    if (ipv4)
        set_option(fd, IPPROTO_IP, IP_DONTFRAG, 1);
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

static int socket_open(struct udp_socket *s, const struct address *address) {
    union socket_address name;
    socklen_t length = to_system(address, &name);
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
    return 0;
}

static bool is_missing_family(int r) {
    return r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL || r == -EPROTONOSUPPORT;
}

/* The pointers between the parts of a batch never change. */
static void batch_init(struct batch *batch) {
    for (size_t i = 0; i < UDP_BATCH; i++)
        batch->messages[i].header = (struct msghdr){
            .msg_name = &batch->names[i],
            .msg_iov = &batch->parts[i],
            .msg_iovlen = 1,
        };
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
        else if (!lenient || !is_missing_family(r) || (i + 1 == n && udp->n == 0)) {
            char text[ADDRESS_TEXT_MAX];
            address_format(&listen[i], true, text);
            udp_close(udp);
            return failure(error, r, "cannot listen on %s: %s", text, strerror(-r));
        }
    }
    batch_init(&udp->in);
    batch_init(&udp->out);
    *ret_udp = udp;
    return 0;
}

void udp_close(struct udp *udp) {
    if (!udp)
        return;
    for (size_t i = 0; i < udp->n; i++) {
        close(udp->sockets[i].fd);
        free(udp->sockets[i].queue);
    }
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

/* A socket bound to one address needs no packet information; a wildcard one learns from it where
 * the question went. */
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

size_t udp_receive(struct udp *udp, size_t socket, struct datagram ret_datagrams[UDP_BATCH]) {
    struct udp_socket *s = &udp->sockets[socket];
    struct batch *in = &udp->in;
    for (size_t i = 0; i < UDP_BATCH; i++) {
        in->parts[i] = (struct iovec){udp->buffers[i], sizeof udp->buffers[i]};
        in->messages[i].header.msg_namelen = sizeof in->names[i];
        in->messages[i].header.msg_control = &in->controls[i];
        in->messages[i].header.msg_controllen = sizeof in->controls[i];
    }
    int n = udp_system_receive(s->fd, in->messages, UDP_BATCH);
    if (n < 0) {
        udp->counters.receive_errors += n != -EAGAIN && n != -EWOULDBLOCK;
        return 0;
    }
    for (int i = 0; i < n; i++) {
        struct datagram *datagram = &ret_datagrams[i];
        from_system(&in->names[i], &datagram->remote);
        learn_local(s, &in->messages[i].header, &datagram->local);
        datagram->bytes = udp->buffers[i];
        datagram->length = in->messages[i].length;
    }
    udp->counters.received += (uint64_t)n;
    return (size_t)n;
}

/* ---- Sending ---- */

static bool is_loopback(const struct address *address) {
    static const uint8_t ipv6_loopback[16] = {[15] = 1};
    return address_is_ipv4(address) ? address->ip[12] == 127
                                    : memcmp(address->ip, ipv6_loopback, 16) == 0;
}

/* How well a socket suits a datagram; 0: not at all. The address asked decides, then a wildcard;
 * a socket bound to loopback reaches nobody else. */
static int suitability(const struct udp_socket *s, const struct datagram *datagram) {
    if (s->ipv4 != address_is_ipv4(&datagram->remote))
        return 0;
    bool wildcard = address_is_unspecified(&s->bound);
    bool asked = !address_is_unspecified(&datagram->local);
    int score = 1;
    if (asked && datagram->local.port == s->bound.port)
        score += 4;
    if (asked && address_is_same_ip(&s->bound, &datagram->local))
        score += 16;
    else if (wildcard)
        score += 8;
    else if (is_loopback(&s->bound) == is_loopback(&datagram->remote))
        score += 2;
    return score;
}

static struct udp_socket *choose_socket(struct udp *udp, const struct datagram *datagram) {
    struct udp_socket *best = NULL;
    int best_score = 0;
    for (size_t i = 0; i < udp->n; i++) {
        int score = suitability(&udp->sockets[i], datagram);
        if (score > best_score) {
            best = &udp->sockets[i];
            best_score = score;
        }
    }
    return best;
}

/* Name the source address, or leave the choice to the kernel. */
static void set_source(const struct udp_socket *s, const struct address *local,
                       union control *control, struct msghdr *header) {
    header->msg_control = NULL;
    header->msg_controllen = 0;
    if (address_is_unspecified(local) || !address_is_unspecified(&s->bound) ||
        address_is_ipv4(local) != s->ipv4)
        return;
    memset(control, 0, sizeof *control);
    control->align.cmsg_level = s->ipv4 ? IPPROTO_IP : IPPROTO_IPV6;
    size_t length;
    if (s->ipv4) {
#ifdef IP_PKTINFO
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, local->ip + 12, 4);
        control->align.cmsg_type = IP_PKTINFO;
        length = sizeof info;
        memcpy(CMSG_DATA(&control->align), &info, length);
#else
        control->align.cmsg_type = IP_SENDSRCADDR;
        length = 4;
        memcpy(CMSG_DATA(&control->align), local->ip + 12, length);
#endif
    } else {
        struct in6_pktinfo info = {0};
        memcpy(&info.ipi6_addr, local->ip, 16);
        control->align.cmsg_type = IPV6_PKTINFO;
        length = sizeof info;
        memcpy(CMSG_DATA(&control->align), &info, length);
    }
    control->align.cmsg_len = CMSG_LEN(length);
    header->msg_control = control;
    header->msg_controllen = CMSG_SPACE(length);
}

static void batch_put(struct batch *batch, size_t i, const struct udp_socket *s,
                      const struct datagram *datagram) {
    batch->parts[i] = (struct iovec){(void *)(uintptr_t)datagram->bytes, datagram->length};
    batch->messages[i].header.msg_namelen = to_system(&datagram->remote, &batch->names[i]);
    set_source(s, &datagram->local, &batch->controls[i], &batch->messages[i].header);
}

/* Send the first `n` of the batch; returns how many are dealt with, fewer only if the kernel has
 * no room. An error is of one datagram (no route, refused by ICMP, filtered): it is counted and
 * the next one gets its chance. */
static size_t batch_send(struct udp *udp, const struct udp_socket *s, size_t n) {
    size_t done = 0;
    while (done < n) {
        int r = udp_system_send(s->fd, udp->out.messages + done, (unsigned int)(n - done));
        if (r == -EAGAIN || r == -EWOULDBLOCK)
            break;
        if (r < 0)
            udp->counters.send_errors++;
        else
            udp->counters.sent += (uint64_t)r;
        done += r < 0 ? 1 : (size_t)r;
    }
    return done;
}

static void enqueue(struct udp *udp, struct udp_socket *s, const struct datagram *datagram) {
    if (!s->queue)
        s->queue = malloc(QUEUE_MAX * sizeof *s->queue);
    if (!s->queue || s->waiting == QUEUE_MAX || datagram->length > DATAGRAM_LEN) {
        udp->counters.dropped++;
        return;
    }
    struct queued *entry = &s->queue[(s->first + s->waiting++) % QUEUE_MAX];
    entry->remote = datagram->remote;
    entry->local = datagram->local;
    entry->length = datagram->length;
    memcpy(entry->bytes, datagram->bytes, datagram->length);
    udp->counters.deferred++;
}

/* One socket's run of datagrams: behind those that wait already, nothing overtakes. */
static void send_run(struct udp *udp, struct udp_socket *s, const struct datagram *run, size_t n) {
    size_t done = 0;
    if (s->waiting == 0) {
        for (size_t i = 0; i < n; i++)
            batch_put(&udp->out, i, s, &run[i]);
        done = batch_send(udp, s, n);
    }
    for (; done < n; done++)
        enqueue(udp, s, &run[done]);
}

void udp_send(struct udp *udp, const struct datagram *datagrams, size_t n) {
    for (size_t i = 0, run; i < n; i += run) {
        struct udp_socket *s = choose_socket(udp, &datagrams[i]);
        run = 1;
        while (run < UDP_BATCH && i + run < n && choose_socket(udp, &datagrams[i + run]) == s)
            run++;
        if (s)
            send_run(udp, s, &datagrams[i], run);
        else
            udp->counters.no_socket += run;
    }
}

bool udp_wants_write(const struct udp *udp, size_t socket) {
    return udp->sockets[socket].waiting > 0;
}

void udp_flush(struct udp *udp, size_t socket) {
    struct udp_socket *s = &udp->sockets[socket];
    while (s->waiting > 0) {
        size_t n = s->waiting < UDP_BATCH ? s->waiting : UDP_BATCH;
        for (size_t i = 0; i < n; i++) {
            struct queued *entry = &s->queue[(s->first + i) % QUEUE_MAX];
            struct datagram datagram = {entry->remote, entry->local, entry->bytes, entry->length};
            batch_put(&udp->out, i, s, &datagram);
        }
        size_t done = batch_send(udp, s, n);
        s->first = (s->first + done) % QUEUE_MAX;
        s->waiting -= done;
        if (done < n)
            return;
    }
    free(s->queue);
    s->queue = NULL;
}
