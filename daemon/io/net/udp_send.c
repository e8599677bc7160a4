/* Sending: see udp.h. A lot of datagrams is sorted by sockets and destinations, since only the
 * order of datagrams to one destination matters. Datagrams that are then neighbours and have one
 * length leave as one message, which the kernel or the device cuts up (UDP_SEGMENT). So the
 * kernel's work for a message, which costs more than to seal a datagram, is done once for fifty of
 * them.
 *
 * If a kernel, device or path cannot do that, sending fails, and from then on this socket sends
 * each datagram by itself. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define __APPLE_USE_RFC_3542
#include "daemon/io/net/udp_private.h"

#include <errno.h>
#include <stdlib.h>

/* ---- Destinations ---- */

static bool is_loopback(const struct address *address) {
    static const uint8_t ipv6_loopback[16] = {[15] = 1};
    return address_is_ipv4(address) ? address->ip[12] == 127
                                    : memcmp(address->ip, ipv6_loopback, 16) == 0;
}

/* How well a socket suits a datagram; 0: not at all. Best is the socket of the local address that
 * the datagram names, then a wildcard socket. A socket bound to loopback reaches nobody else. */
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

/* Name the source address in a control message, or leave the choice to the kernel (source_length
 * 0). */
static void set_source(struct udp_destination *to) {
    const struct udp_socket *s = to->socket;
    const struct address *local = &to->example->local;
    struct cmsghdr *control = &to->source.align;
    size_t length;
    to->source_length = 0;
    if (address_is_unspecified(local) || !address_is_unspecified(&s->bound) ||
        address_is_ipv4(local) != s->ipv4)
        return;
    memset(&to->source, 0, sizeof to->source);
    control->cmsg_level = s->ipv4 ? IPPROTO_IP : IPPROTO_IPV6;
    if (s->ipv4) {
#ifdef IP_PKTINFO
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, local->ip + 12, 4);
        control->cmsg_type = IP_PKTINFO;
        length = sizeof info;
        memcpy(CMSG_DATA(control), &info, length);
#else
        control->cmsg_type = IP_SENDSRCADDR;
        length = 4;
        memcpy(CMSG_DATA(control), local->ip + 12, length);
#endif
    } else {
        struct in6_pktinfo info = {0};
        memcpy(&info.ipi6_addr, local->ip, 16);
        control->cmsg_type = IPV6_PKTINFO;
        length = sizeof info;
        memcpy(CMSG_DATA(control), &info, length);
    }
    control->cmsg_len = CMSG_LEN(length);
    to->source_length = CMSG_SPACE(length);
}

static void begin_lot(struct udp_outbox *out) {
    memset(out->slots, 0, sizeof out->slots);
    out->n_destinations = 0;
}

static bool goes_to(const struct udp_destination *to, const struct datagram *datagram) {
    return address_is_equal(&to->example->remote, &datagram->remote) &&
           address_is_equal(&to->example->local, &datagram->local);
}

/* Anybody may choose addresses that collide here. That does no harm, since the table is small
 * enough to be searched. */
static size_t slot_of(const struct address *address) {
    uint64_t x;
    memcpy(&x, address->ip + 8, sizeof x);
    x = (x ^ address->port) * UINT64_C(0x9e3779b97f4a7c15);
    return (x >> 32) % UDP_SLOTS;
}

/* Find or enter the datagram's destination in the lot; false: the lot has no room for another. */
static bool find_destination(struct udp *udp, const struct datagram *datagram, uint8_t *ret_to) {
    struct udp_outbox *out = &udp->out;
    size_t slot = slot_of(&datagram->remote);
    while (out->slots[slot] > 0) {
        if (goes_to(&out->destinations[out->slots[slot] - 1], datagram)) {
            *ret_to = (uint8_t)(out->slots[slot] - 1);
            return true;
        }
        slot = (slot + 1) % UDP_SLOTS;
    }
    if (out->n_destinations == UDP_DESTINATIONS)
        return false;
    struct udp_destination *to = &out->destinations[out->n_destinations];
    to->example = datagram;
    to->socket = choose_socket(udp, datagram);
    to->n = 0;
    if (to->socket) {
        to->name_length = udp_to_system(&datagram->remote, &to->name);
        set_source(to);
    }
    *ret_to = (uint8_t)out->n_destinations++;
    out->slots[slot] = (uint8_t)out->n_destinations;
    return true;
}

/* ---- Messages ---- */

/* May order[next] go into the message that begins with order[first] and has `length` bytes? */
static bool may_join(const struct udp_outbox *out, size_t first, size_t next, size_t length) {
    size_t segment = out->order[first]->length, more = out->order[next]->length;
    return out->order_to[next] == out->order_to[first] && segment <= DATAGRAM_LEN && more > 0 &&
           more <= segment && length + more <= UDP_PAYLOAD_MAX;
}

/* Make message `m` of `n` datagrams, beginning with order[first]. */
static void put_message(struct udp_outbox *out, size_t m, size_t first, size_t n) {
    struct udp_destination *to = &out->destinations[out->order_to[first]];
    union udp_control *control = &out->controls[m];
    size_t used = to->source_length;
    if (used > 0)
        memcpy(control, &to->source, used);
    if (n > 1) {
        memset(control->bytes + used, 0, UDP_SEGMENT_SPACE);
        udp_system_put_segment((struct cmsghdr *)(void *)(control->bytes + used),
                               (uint16_t)out->order[first]->length);
        used += UDP_SEGMENT_SPACE;
    }
    out->first[m] = first;
    out->messages[m].header = (struct msghdr){.msg_name = &to->name,
                                              .msg_namelen = to->name_length,
                                              .msg_iov = &out->parts[first],
                                              .msg_iovlen = n,
                                              .msg_control = used > 0 ? control : NULL,
                                              .msg_controllen = used};
}

/* Make messages of order[from] to order[end], each of at most `segments_max` datagrams; returns how
 * many messages. A shorter datagram ends its message, since only the last segment may be short. */
static size_t pack(struct udp_outbox *out, size_t from, size_t end, size_t segments_max) {
    size_t m = 0, n;
    for (size_t first = from; first < end; first += n, m++) {
        size_t length = 0, last = 0;
        n = 0;
        do {
            const struct datagram *datagram = out->order[first + n];
            out->parts[first + n] =
                (struct iovec){(void *)(uintptr_t)datagram->bytes, datagram->length};
            last = datagram->length;
            length += last;
            n++;
        } while (n < segments_max && first + n < end && last == out->order[first]->length &&
                 may_join(out, first, first + n, length));
        put_message(out, m, first, n);
    }
    out->first[m] = end;
    return m;
}

static bool is_full(int r) {
    return r == -EAGAIN || r == -EWOULDBLOCK;
}

/* Send order[from] to order[end] in messages of at most `segments_max` datagrams. Returns where it
 * stopped: at `end`, where the kernel has no room, or at a message that was refused, perhaps
 * because it holds several datagrams. In that case *ret_doubt is the end of that message, else 0.
 * Any other error concerns one destination (no route, refused by ICMP, filtered): it is counted,
 * and the next message is tried. */
static size_t send_messages(struct udp *udp, const struct udp_socket *s, size_t from, size_t end,
                            size_t segments_max, size_t *ret_doubt) {
    struct udp_outbox *out = &udp->out;
    size_t n = pack(out, from, end, segments_max), m = 0;
    *ret_doubt = 0;
    while (m < n) {
        int r = udp_system_send(s->fd, out->messages + m, (unsigned int)(n - m));
        size_t segments = out->first[m + 1] - out->first[m];
        if (is_full(r))
            break;
        if (r < 0 && segments > 1 && udp_system_doubts_segments(r)) {
            *ret_doubt = out->first[m + 1];
            break;
        }
        if (r < 0)
            udp->counters.send_errors += segments;
        if (r == -EMSGSIZE) {
            udp->counters.too_large += segments;
            udp->counters.too_large_to = out->order[out->first[m]]->remote;
        }
        for (size_t sent = r < 0 ? 0 : (size_t)r, i = m; i < m + sent; i++) {
            segments = out->first[i + 1] - out->first[i];
            udp->counters.sent += segments;
            udp->counters.segmented += segments > 1 ? segments : 0;
        }
        m += r < 0 ? 1 : (size_t)r;
    }
    return out->first[m];
}

/* The same, until the end or until the kernel has no room. A message in doubt is sent again, one
 * datagram at a time. If that works, the message was refused for being several, and this socket
 * sends no such messages any more. */
static size_t send_order(struct udp *udp, struct udp_socket *s, size_t from, size_t end) {
    while (from < end) {
        size_t doubt, none;
        from = send_messages(udp, s, from, end, s->segments_max, &doubt);
        if (doubt == 0)
            break;
        uint64_t sent = udp->counters.sent;
        from = send_messages(udp, s, from, doubt, 1, &none);
        if (udp->counters.sent > sent)
            s->segments_max = 1;
        if (from < doubt)
            break;
    }
    return from;
}

static void enqueue(struct udp *udp, struct udp_socket *s, const struct datagram *datagram) {
    if (!s->queue)
        s->queue = malloc(UDP_QUEUE_MAX * sizeof *s->queue);
    if (!s->queue || s->waiting == UDP_QUEUE_MAX || datagram->length > DATAGRAM_LEN) {
        udp->counters.dropped++;
        return;
    }
    struct udp_queued *entry = &s->queue[(s->first + s->waiting++) % UDP_QUEUE_MAX];
    entry->datagram = *datagram;
    entry->datagram.bytes = entry->bytes;
    memcpy(entry->bytes, datagram->bytes, datagram->length);
    udp->counters.deferred++;
}

/* ---- Lots ---- */

/* Find the destinations of as many datagrams as fit into a lot; returns how many datagrams those
 * are. */
static size_t gather(struct udp *udp, const struct datagram *datagrams, size_t n) {
    struct udp_outbox *out = &udp->out;
    size_t i;
    begin_lot(out);
    for (i = 0; i < n && i < UDP_LOT; i++) {
        if (!find_destination(udp, &datagrams[i], &out->to[i]))
            break;
        struct udp_destination *to = &out->destinations[out->to[i]];
        to->n++;
        udp->counters.no_socket += !to->socket;
    }
    return i;
}

/* Assign places in `order`, from `at`, to the destinations of one socket; returns where they
 * end. */
static size_t arrange(struct udp *udp, const struct udp_socket *s, size_t at) {
    struct udp_outbox *out = &udp->out;
    for (size_t k = 0; k < out->n_destinations; k++) {
        struct udp_destination *to = &out->destinations[k];
        if (to->socket != s)
            continue;
        to->next = at;
        at += to->n;
    }
    return at;
}

/* Send one socket's part of a lot. If datagrams of that socket wait already, queue it behind them,
 * so that nothing is overtaken. */
static void send_part(struct udp *udp, struct udp_socket *s, size_t from, size_t end) {
    if (s->waiting == 0)
        from = send_order(udp, s, from, end);
    for (; from < end; from++)
        enqueue(udp, s, udp->out.order[from]);
}

static void send_lot(struct udp *udp, const struct datagram *datagrams, size_t n) {
    struct udp_outbox *out = &udp->out;
    size_t ends[UDP_SOCKETS_MAX] = {0}, end = 0, from = 0;
    for (size_t k = 0; k < udp->n; k++)
        end = ends[k] = arrange(udp, &udp->sockets[k], end);
    for (size_t i = 0; i < n; i++) {
        struct udp_destination *to = &out->destinations[out->to[i]];
        if (!to->socket)
            continue;
        out->order[to->next] = &datagrams[i];
        out->order_to[to->next++] = out->to[i];
    }
    for (size_t k = 0; k < udp->n; from = ends[k++])
        send_part(udp, &udp->sockets[k], from, ends[k]);
}

void udp_send(struct udp *udp, const struct datagram *datagrams, size_t n) {
    while (n > 0) {
        size_t lot = gather(udp, datagrams, n);
        send_lot(udp, datagrams, lot);
        datagrams += lot;
        n -= lot;
    }
}

/* ---- Queued datagrams ---- */

bool udp_wants_write(const struct udp *udp, size_t socket) {
    return udp->sockets[socket].waiting > 0;
}

void udp_flush(struct udp *udp, size_t socket) {
    struct udp_socket *s = &udp->sockets[socket];
    struct udp_outbox *out = &udp->out;
    while (s->waiting > 0) {
        size_t n = 0;
        begin_lot(out);
        for (; n < s->waiting && n < UDP_LOT; n++) {
            out->order[n] = &s->queue[(s->first + n) % UDP_QUEUE_MAX].datagram;
            if (!find_destination(udp, out->order[n], &out->order_to[n]))
                break;
        }
        size_t done = send_order(udp, s, 0, n);
        s->first = (s->first + done) % UDP_QUEUE_MAX;
        s->waiting -= done;
        if (done < n)
            return;
    }
    free(s->queue);
    s->queue = NULL;
}
