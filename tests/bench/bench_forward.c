/* The floor under a relay: microseconds of CPU that a bare forwarder needs for a datagram, received
 * and sent on, and libsodium for the calls of a packet. Prints a JSON object: forward_us recvmmsg
 * and sendmmsg segments_us some fifty joined by the kernel on receiving (GRO), cut up by it on
 * sending (GSO); null where it cannot kept_us, fresh_us open a cell, peel, seal the next; with a
 * fresh eph an exchange and a hash more */
#define _GNU_SOURCE
#include "tests/bench/figure.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATAGRAM 1232
#define GATHERED 48 /* 59,136 bytes */
#define BATCHES 200
#define ROUNDS 9
#define CALLS 4096

static struct sockaddr_in addresses[3];
static int fds[3]; /* source, forwarder, sink */
static uint8_t bytes[1 << 16];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void open_sockets(void) {
    for (int i = 0; i < 3; i++) {
        socklen_t length = sizeof addresses[i];
        int room = 4 << 20;
        addresses[i] =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        if (fds[i] < 0 || bind(fds[i], (struct sockaddr *)&addresses[i], length) < 0 ||
            getsockname(fds[i], (struct sockaddr *)&addresses[i], &length) < 0)
            die("bench_forward: socket");
    }
}

/* How many datagrams were there. */
static int64_t drain(int fd) {
    int64_t all = 0;
    for (ssize_t n; (n = recv(fd, bytes, sizeof bytes, 0)) > 0;)
        all += n / DATAGRAM;
    return all;
}

/* ---- One by one, many a call ---- */

static int forward_each(void) {
    static uint8_t buffers[GATHERED][DATAGRAM];
    struct mmsghdr messages[GATHERED] = {0};
    struct iovec vectors[GATHERED];
    for (int i = 0; i < GATHERED; i++) {
        vectors[i] = (struct iovec){buffers[i], DATAGRAM};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    int n = recvmmsg(fds[1], messages, GATHERED, 0, NULL);
    for (int i = 0; i < n; i++) {
        messages[i].msg_hdr.msg_name = &addresses[2];
        messages[i].msg_hdr.msg_namelen = sizeof addresses[2];
        messages[i].msg_hdr.msg_flags = 0;
    }
    return n > 0 ? sendmmsg(fds[1], messages, (unsigned)n, 0) : 0;
}

static void feed_each(void) {
    for (int i = 0; i < GATHERED; i++)
        sendto(fds[0], bytes, DATAGRAM, 0, (struct sockaddr *)&addresses[1], sizeof addresses[1]);
}

/* ---- Joined ---- */

#if defined(UDP_SEGMENT) && defined(UDP_GRO)
static ssize_t send_joined(int fd, size_t length, struct sockaddr_in *to) {
    union {
        char room[CMSG_SPACE(sizeof(uint16_t))];
        struct cmsghdr align;
    } control = {.room = {0}};
    struct iovec vector = {bytes, length};
    struct msghdr header = {.msg_name = to,
                            .msg_namelen = sizeof *to,
                            .msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    uint16_t size = DATAGRAM;
    control.align.cmsg_level = SOL_UDP;
    control.align.cmsg_type = UDP_SEGMENT;
    control.align.cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(&control.align), &size, sizeof size);
    return sendmsg(fd, &header, 0);
}

static int forward_joined(void) {
    ssize_t n = recv(fds[1], bytes, sizeof bytes, 0);
    return n > 0 && send_joined(fds[1], (size_t)n, &addresses[2]) == n ? (int)(n / DATAGRAM) : 0;
}

static void feed_joined(void) {
    send_joined(fds[0], GATHERED * DATAGRAM, &addresses[1]);
}

static bool can_join(void) {
    int one = 1;
    return setsockopt(fds[1], SOL_UDP, UDP_GRO, &one, sizeof one) == 0 &&
           setsockopt(fds[2], SOL_UDP, UDP_GRO, &one, sizeof one) == 0;
}
#else
static int forward_joined(void) {
    return 0;
}
static void feed_joined(void) {
}
static bool can_join(void) {
    return false;
}
#endif

/* Feeding and draining are others' work: not counted. */
static double measure_forward(void (*feed)(void), int (*forward)(void)) {
    double rounds[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        int64_t spent = 0, all = 0, arrived = 0;
        for (int batch = 0; batch < BATCHES; batch++) {
            feed();
            int64_t began = spent_ns();
            for (int n = 0, more; n < GATHERED && (more = forward()) > 0; n += more)
                all += more;
            spent += spent_ns() - began;
            arrived += drain(fds[2]);
        }
        rounds[round] = all > 0 && arrived == all ? (double)spent / (double)all / 1e3 : NAN;
    }
    return median(rounds, ROUNDS);
}

/* ---- Calls ---- */

static double measure_calls(bool fresh) {
    static uint8_t cell[1216], opened[1200], body[1148], peeled[1132], prk[64], filler[60];
    uint8_t key[32] = {1}, nonce[12] = {0}, scalar[32], point[32], dh[32], kk[64];
    double rounds[ROUNDS];
    int failures = 0, n = fresh ? CALLS / 16 : CALLS;
    randombytes_buf(scalar, sizeof scalar);
    crypto_scalarmult_base(point, scalar);
    crypto_aead_chacha20poly1305_ietf_encrypt(cell, NULL, opened, sizeof opened, NULL, 0, NULL,
                                              nonce, key);
    crypto_aead_chacha20poly1305_ietf_encrypt(body, NULL, peeled, sizeof peeled, NULL, 0, NULL,
                                              nonce, key);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t began = spent_ns();
        for (int i = 0; i < n; i++) {
            failures += crypto_aead_chacha20poly1305_ietf_decrypt(opened, NULL, NULL, cell,
                                                                  sizeof cell, NULL, 0, nonce, key);
            if (fresh) {
                failures += crypto_scalarmult(dh, scalar, point);
                crypto_generichash(prk, sizeof prk, dh, sizeof dh, NULL, 0);
            }
            crypto_generichash(kk, sizeof kk, nonce, sizeof nonce, prk, sizeof prk);
            failures += crypto_aead_chacha20poly1305_ietf_decrypt(peeled, NULL, NULL, body,
                                                                  sizeof body, NULL, 0, nonce, key);
            crypto_stream_chacha20_ietf(filler, sizeof filler, nonce, key);
            crypto_aead_chacha20poly1305_ietf_encrypt(cell, NULL, opened, sizeof opened, NULL, 0,
                                                      NULL, nonce, key);
        }
        rounds[round] = (double)(spent_ns() - began) / n / 1e3;
    }
    return failures == 0 ? median(rounds, ROUNDS) : NAN;
}

int main(void) {
    if (sodium_init() < 0)
        return 1;
    open_sockets();
    printf("{");
    print_number("forward_us", measure_forward(feed_each, forward_each));
    printf(",");
    print_number("segments_us", can_join() ? measure_forward(feed_joined, forward_joined) : NAN);
    printf(",");
    print_number("kept_us", measure_calls(false));
    printf(",");
    print_number("fresh_us", measure_calls(true));
    printf("}\n");
    return 0;
}
