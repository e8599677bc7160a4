/* The system's side of the UDP sockets, played: what is sent is written down, what is received
 * comes from a script, and the knobs say what fails. */
#ifndef FAKE_UDP_H
#define FAKE_UDP_H

#include "daemon/io/net/udp.h"
#include "daemon/io/net/udp_system.h"

#include <errno.h>
#include <netinet/in.h>

#define FAKE_MESSAGES 4096
#define FAKE_SEGMENT_TYPE 4711

/* A datagram begins with its number. */
static struct {
    /* knobs of sending */
    size_t segments;          /* what a message may be cut into */
    size_t room;              /* datagrams until -EAGAIN */
    int segment_error;        /* the answer to a message of several... */
    size_t segment_spare;     /* ...after so many of them went well */
    int refuse, refuse_error; /* a message with this number in it */
    int lone_error;           /* the answer to a message of one */
    /* what happened */
    size_t calls, messages, taken;
    int numbers[FAKE_MESSAGES];    /* of the datagrams taken */
    uint16_t ports[FAKE_MESSAGES]; /* where they went */
    size_t lengths[FAKE_MESSAGES];
    size_t in_message[FAKE_MESSAGES]; /* datagrams a message */
    /* knobs of receiving */
    size_t n_waiting;
    struct {
        size_t length, segment;
    } waiting[64];
    size_t next, asked;
} kernel;
static struct msghdr *fake_headers[64];

static void fake_reset(void) {
    memset(&kernel, 0, sizeof kernel);
    kernel.segments = 1;
    kernel.refuse = -1;
}

static int number_of(const struct iovec *part) {
    int number;
    assert_true(part->iov_len >= sizeof number);
    memcpy(&number, part->iov_base, sizeof number);
    return number;
}

/* What a kernel insists on: all of one length but for the last, as the control message says. */
static void check_segments(const struct msghdr *header) {
    size_t said = 0, total = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR((struct msghdr *)(uintptr_t)header); c;
         c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)header, c))
        if (c->cmsg_type == FAKE_SEGMENT_TYPE) {
            uint16_t length;
            memcpy(&length, CMSG_DATA(c), sizeof length);
            said = length;
        }
    for (size_t i = 0; i < header->msg_iovlen; i++) {
        size_t length = header->msg_iov[i].iov_len;
        total += length;
        if (header->msg_iovlen > 1) {
            assert_in_range(length, 1, said);
            assert_true(length == said || i + 1 == header->msg_iovlen);
        }
    }
    assert_true(header->msg_iovlen == 1 || total <= 65507);
    assert_true(header->msg_iovlen > 1 || said == 0);
    assert_in_range(header->msg_iovlen, 1, kernel.segments);
}

static int fake_answer(const struct msghdr *header) {
    for (size_t i = 0; i < header->msg_iovlen; i++)
        if (kernel.refuse >= 0 && number_of(&header->msg_iov[i]) == kernel.refuse)
            return kernel.refuse_error;
    if (header->msg_iovlen > 1 && kernel.segment_error != 0 && kernel.segment_spare-- == 0) {
        kernel.segment_spare = 0;
        return kernel.segment_error;
    }
    if (header->msg_iovlen == 1 && kernel.lone_error != 0)
        return kernel.lone_error;
    return header->msg_iovlen > kernel.room ? -EAGAIN : 0;
}

int udp_system_send(int fd, struct udp_message *messages, unsigned int n) {
    (void)fd;
    kernel.calls++;
    for (unsigned int m = 0; m < n; m++) {
        const struct msghdr *header = &messages[m].header;
        check_segments(header);
        int r = fake_answer(header);
        if (r < 0)
            return m > 0 ? (int)m : r;
        kernel.in_message[kernel.messages++] = header->msg_iovlen;
        kernel.room -= header->msg_iovlen;
        for (size_t i = 0; i < header->msg_iovlen; i++) {
            kernel.ports[kernel.taken] = ntohs(((struct sockaddr_in *)header->msg_name)->sin_port);
            kernel.lengths[kernel.taken] = header->msg_iov[i].iov_len;
            kernel.numbers[kernel.taken++] = number_of(&header->msg_iov[i]);
        }
    }
    return (int)n;
}

size_t udp_system_segments(int fd) {
    (void)fd;
    return kernel.segments;
}

void udp_system_put_segment(struct cmsghdr *control, uint16_t length) {
    control->cmsg_type = FAKE_SEGMENT_TYPE;
    control->cmsg_len = CMSG_LEN(sizeof length);
    memcpy(CMSG_DATA(control), &length, sizeof length);
}

bool udp_system_doubts_segments(int r) {
    return r == -EIO || r == -EINVAL;
}

bool udp_system_gather(int fd) {
    (void)fd;
    return kernel.segments > 1;
}

/* Each byte of a message is the number of the message, and from there its place in it. */
int udp_system_receive(int fd, struct udp_message *messages, unsigned int n) {
    (void)fd;
    kernel.asked = n;
    unsigned int m = 0;
    for (; m < n && kernel.next < kernel.n_waiting; m++, kernel.next++) {
        struct msghdr *header = &messages[m].header;
        size_t length = kernel.waiting[kernel.next].length;
        uint8_t *bytes = header->msg_iov->iov_base;
        assert_true(length <= header->msg_iov->iov_len);
        for (size_t i = 0; i < length; i++)
            bytes[i] = (uint8_t)(kernel.next + i / 7);
        header->msg_controllen = 0;
        ((struct sockaddr_in *)header->msg_name)->sin_family = AF_INET;
        ((struct sockaddr_in *)header->msg_name)->sin_port = htons((uint16_t)(1000 + kernel.next));
        fake_headers[kernel.next] = header;
        messages[m].length = (unsigned int)length;
    }
    return m > 0 ? (int)m : -ECONNREFUSED;
}

size_t udp_system_get_segment(struct msghdr *header) {
    for (size_t i = kernel.next; i-- > 0;)
        if (fake_headers[i] == header)
            return kernel.waiting[i].segment;
    return 0;
}

#endif
