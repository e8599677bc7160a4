/* link: libp2pd-core.a daemon/io/system/workers daemon/io/net/udp daemon/io/net/udp_send daemon/io/net/udp_linux shared/address */
/* One relay's whole work, over real sockets on loopback: receive, open the cell, peel the onion,
 * look it up, seal the next cell, send. Beside it, in the same run: a bare forwarder (recvmmsg,
 * sendmmsg; with GSO and GRO and without) and the bare libsodium calls that a packet needs. */
#define _GNU_SOURCE
#include "daemon/core/link/link.h"
#include "daemon/core/node/node.h"
#include "daemon/io/net/udp.h"
#include "daemon/io/system/workers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH UDP_BATCH
#define ROUNDS 9
#define BATCHES 64 /* a round */
#define BURST                                                                                      \
    8 /* batches that wait when the clock begins: a busy relay's socket is never empty             \
         \ */

static void sodium_fill(void *context, void *buffer, size_t length) {
    (void)context;
    randombytes_buf(buffer, length);
}
static const struct core_random random_source = {sodium_fill, NULL};
static const struct core_trace silent;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}
static struct mono mono(void) {
    return (struct mono){now_ns() / 1000};
}
static struct wall wall(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (struct wall){t.tv_sec * US_PER_S + t.tv_nsec / 1000};
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}
static double median(double *v, size_t n) {
    qsort(v, n, sizeof *v, compare);
    return v[n / 2];
}

/* ---- The relay and its two neighbours ---- */

struct end { /* a neighbour: the link room alone */
    struct links *links;
    struct effects *effects;
    struct identity *identity;
    struct udp *udp;
    struct address address;
    bool up;
};
static struct bench {
    struct end ends[2];
    struct node *relay;
    struct udp *udp;
    struct workers *workers;
    struct address address;
    uint8_t routing_key[KEY_LEN];
    uint64_t relay_prefix;
} bench;

static struct udp *open_udp(const char *text, struct address *ret_address) {
    struct udp *udp;
    char error[FAILURE_MAX] = "no address";
    if (address_parse(text, ret_address) < 0 || udp_open(&udp, ret_address, 1, false, error) < 0) {
        fprintf(stderr, "bench_relay: %s\n", error);
        exit(1);
    }
    *ret_address = *udp_bound(udp, 0);
    return udp;
}

static void end_sign(struct end *end) {
    struct descriptor descriptor = {.relay = true, .sequence = (uint64_t)wall_ms(wall())};
    uint8_t bytes[DESCRIPTOR_MAX];
    identity_advance(end->identity, wall());
    int length = descriptor_sign(&descriptor, end->identity, wall(), bytes);
    links_set_descriptor(end->links, bytes, (size_t)length);
}

static void end_init(struct end *end, const char *text) {
    uint8_t seeds[2][32];
    randombytes_buf(seeds, sizeof seeds);
    end->udp = open_udp(text, &end->address);
    end->effects = effects_new();
    end->identity = identity_new(seeds[0], seeds[1], &random_source);
    struct links_config config = {.identity = end->identity,
                                  .heartbeat_us = US_PER_HOUR,
                                  .timeout_us = US_PER_HOUR,
                                  .effects = end->effects,
                                  .random = &random_source,
                                  .trace = &silent};
    end->links = links_new(&config);
    end_sign(end);
}

static void end_send(struct end *end) {
    size_t n;
    links_flush(end->links, mono());
    const struct datagram *datagrams = effects_datagrams(end->effects, &n);
    udp_send(end->udp, datagrams, n);
    effects_clear(end->effects);
}

static void end_turn(struct end *end) {
    struct datagram in[UDP_BATCH];
    struct link_event event;
    size_t n = udp_receive(end->udp, 0, in);
    for (size_t i = 0; i < n; i++) {
        struct link_cell cell;
        struct link_frame frame;
        enum drop drop;
        links_receive(end->links, &in[i], (struct now){mono(), wall()}, &cell);
        while (links_next_frame(end->links, &cell, mono(), &frame, &drop))
            ;
        while (links_event(end->links, &event)) {
            if (event.kind == LINK_EVENT_ANSWERED) {
                struct descriptor descriptor;
                descriptor_decode(event.descriptor, event.descriptor_length, &descriptor);
                memcpy(bench.routing_key, descriptor_routing_key(&descriptor, wall_epoch(wall())),
                       KEY_LEN);
                bench.relay_prefix = node_id_prefix(&descriptor.id);
                links_finish(end->links, event.session, (struct now){mono(), wall()});
            }
            end->up |= event.kind == LINK_EVENT_UP;
        }
    }
    end_send(end);
}

static size_t relay_turn(void) {
    struct datagram in[UDP_BATCH];
    struct node_update update;
    size_t n = udp_receive(bench.udp, 0, in);
    struct node_event event = {.now = {mono(), wall()}, .kind = EVENT_DATAGRAMS};
    if (n == 0)
        event.kind = EVENT_TIMER;
    event.datagrams.v = in;
    event.datagrams.n = n;
    node_step(bench.relay, &event, &update);
    udp_send(bench.udp, update.datagrams, update.n_datagrams);
    for (size_t i = 0; i < update.n_ops; i++) { /* a store that is done at once */
        struct store_result result = {.tag = update.ops[i].tag, .kind = update.ops[i].kind};
        struct node_event stored = {
            .now = {mono(), wall()}, .kind = EVENT_STORED, .stored = {&result, 1}};
        struct node_update more;
        node_step(bench.relay, &stored, &more);
        udp_send(bench.udp, more.datagrams, more.n_datagrams);
        break;
    }
    return n;
}

static void set_up(void) {
    struct node_config config;
    struct node_boot boot = {.n_pending = 0};
    node_config_init(&config);
    randombytes_buf(config.node_seed, 32);
    randombytes_buf(config.link_secret, 32);
    config.random = random_source;
    config.compute = workers_compute(bench.workers);
    config.droplist_entries = 16u << 20;    /* fresh ephs, more than a relay sees in a minute */
    config.link_heartbeat_us = US_PER_HOUR; /* the ends are drained unread, and never answer */
    config.link_timeout_us = US_PER_HOUR;
    bench.udp = open_udp("127.0.0.1", &bench.address);
    bench.relay = node_new(&config, &boot, (struct now){mono(), wall()});
    for (unsigned i = 0; i < 2; i++) {
        end_init(&bench.ends[i], "127.0.0.1");
        links_dial(bench.ends[i].links, &bench.address, LINK_WANTED, (struct now){mono(), wall()});
        end_send(&bench.ends[i]);
        for (unsigned k = 0; k < 1000000 && !bench.ends[i].up; k++) {
            relay_turn();
            end_turn(&bench.ends[i]);
        }
        if (!bench.ends[i].up) {
            fprintf(stderr, "bench_relay: no link came up\n");
            exit(1);
        }
    }
    for (unsigned k = 0; k < 100; k++) {
        relay_turn();
        end_turn(&bench.ends[0]);
        end_turn(&bench.ends[1]);
    }
}

/* ---- Packets ---- */

static void key_path(struct onion_layer layers[2]) {
    uint8_t secret[32], other[32];
    uint8_t slot = (uint8_t)(wall_minute(wall()) % 60);
    for (unsigned i = 0; i < 2; i++) {
        randombytes_buf(secret, sizeof secret);
        randombytes_buf(other, sizeof other);
        crypto_scalarmult_base(other, other);
        onion_layer_key(&layers[i], i == 0 ? bench.routing_key : other, secret);
        layers[i].key_id = (uint8_t)wall_epoch(wall());
        layers[i].slot = slot;
    }
    layers[0].hop = bench.relay_prefix;
    layers[1].hop = node_id_prefix(identity_id(bench.ends[1].identity));
}

/* Put a batch into the relay's socket buffer; not timed. */
static void send_batch(bool fresh, struct onion_layer layers[2], unsigned *index) {
    static const uint8_t payload[ONION_PAYLOAD_MAX];
    uint8_t packet[ONION_LEN], nonce[ONION_NONCE_LEN];
    for (unsigned i = 0; i < BATCH; i++) {
        if (fresh || *index == ONION_INDEX_COUNT) {
            key_path(layers);
            *index = 0;
        }
        uint16_t indexes[2] = {(uint16_t)*index, (uint16_t)*index};
        ++*index;
        randombytes_buf(nonce, sizeof nonce);
        onion_build(layers, 2, indexes, nonce, payload, sizeof payload, &random_source, packet);
        links_send_onion(bench.ends[0].links, bench.relay_prefix, packet, mono());
    }
    end_send(&bench.ends[0]);
}

static void drain(struct udp *udp) {
    struct datagram in[UDP_BATCH];
    while (udp_receive(udp, 0, in) > 0)
        ;
}

static double run_relay(bool fresh) {
    struct onion_layer layers[2];
    struct status_report before, after;
    unsigned index = ONION_INDEX_COUNT;
    int64_t spent = 0;

    node_status(bench.relay, mono(), &before);
    for (unsigned b = 0; b < BATCHES; b += BURST) {
        size_t done = 0;
        for (unsigned i = 0; i < BURST; i++)
            send_batch(fresh, layers, &index);
        int64_t began = now_ns();
        while (done < BURST * BATCH) {
            size_t n = relay_turn();
            done += n;
            if (n == 0)
                break;
        }
        spent += now_ns() - began;
        drain(bench.ends[1].udp);
    }
    node_status(bench.relay, mono(), &after);
    uint64_t relayed = after.counters.onion_relayed - before.counters.onion_relayed;
    if (relayed < BATCH * BATCHES * 9 / 10)
        fprintf(stderr, "bench_relay: only %llu of %u packets were relayed\n",
                (unsigned long long)relayed, BATCH * BATCHES);
    return (double)spent / (double)relayed;
}

/* ---- Floors ---- */

static int plain_socket(void) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), room = 4 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof any) < 0) {
        perror("bench_relay: socket");
        exit(1);
    }
    return fd;
}

/* A socket to forward on, as bare as it gets: no PKTINFO. */
static int forwarder_open(struct address *ret_address) {
    int fd = plain_socket();
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    getsockname(fd, (struct sockaddr *)&name, &length);
    address_parse("127.0.0.1", ret_address);
    ret_address->port = ntohs(name.sin_port);
    return fd;
}

/* A batch for it, as the relay gets its own; not timed. */
static void forwarder_feed(const struct address *to, bool gathered) {
    static uint8_t bytes[BATCH][DATAGRAM_LEN];
    struct datagram batch[BATCH];
    for (unsigned i = 0; i < BATCH; i++)
        batch[i] = (struct datagram){.remote = *to, .bytes = bytes[i], .length = DATAGRAM_LEN};
    for (unsigned i = 0; i < BATCH; i += gathered ? BATCH : 1)
        udp_send(bench.ends[0].udp, &batch[i], gathered ? BATCH : 1);
}

/* Forward whatever waits, each message as it came; returns how many bytes left. */
static int64_t forward(int fd, struct mmsghdr *messages, unsigned n_messages,
                       struct sockaddr_in *to) {
    int64_t moved = 0;
    int n = recvmmsg(fd, messages, n_messages, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) {
        struct msghdr *header = &messages[i].msg_hdr;
        struct cmsghdr *c = header->msg_controllen > 0 ? CMSG_FIRSTHDR(header) : NULL;
        header->msg_name = to;
        header->msg_namelen = sizeof *to;
        header->msg_iov->iov_len = messages[i].msg_len;
        if (c && c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            c->cmsg_type = UDP_SEGMENT;
            c->cmsg_len = CMSG_LEN(sizeof(uint16_t)); /* the int's lower half, as it stands */
            header->msg_controllen = CMSG_SPACE(sizeof(uint16_t));
            *(uint16_t *)(void *)CMSG_DATA(c) = DATAGRAM_LEN;
        }
    }
    int sent = n > 0 ? sendmmsg(fd, messages, (unsigned)n, MSG_DONTWAIT) : 0;
    for (int i = 0; i < sent; i++)
        moved += messages[i].msg_len;
    return moved;
}

static double run_forwarder(bool gathered) {
    static uint8_t buffers[BATCH * 65536];
    static union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } controls[BATCH];
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(bench.ends[1].address.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct address middle;
    int fd = forwarder_open(&middle), on = 1;
    int64_t spent = 0, moved = 0;
    size_t stride = gathered ? 65536 : DATAGRAM_LEN;
    if (gathered && setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) < 0)
        perror("bench_relay: UDP_GRO");

    for (unsigned b = 0; b < BATCHES; b++) {
        forwarder_feed(&middle, gathered);
        memset(messages, 0, sizeof messages);
        for (unsigned i = 0; i < BATCH; i++) {
            vectors[i] = (struct iovec){buffers + i * stride, stride};
            messages[i].msg_hdr =
                (struct msghdr){.msg_iov = &vectors[i],
                                .msg_iovlen = 1,
                                .msg_control = gathered ? &controls[i] : NULL,
                                .msg_controllen = gathered ? sizeof controls[i] : 0};
        }
        int64_t began = now_ns();
        moved += forward(fd, messages, BATCH, &to);
        spent += now_ns() - began;
        drain(bench.ends[1].udp);
    }
    close(fd);
    if (moved != (int64_t)BATCH * BATCHES * DATAGRAM_LEN)
        fprintf(stderr, "bench_relay: only %lld of %u datagrams were forwarded\n",
                (long long)(moved / DATAGRAM_LEN), BATCH * BATCHES);
    return (double)spent * DATAGRAM_LEN / (double)moved;
}

/* What libsodium must do for a packet: open a cell, peel, seal a cell; with a fresh eph also an
 * exchange and a hash. */
static double run_crypto(bool fresh) {
    static uint8_t cell[1216], opened[1200], body[1148], peeled[1132], prk[64], filler[60];
    uint8_t key[32] = {1}, nonce[12] = {0}, scalar[32], point[32], dh[32], kk[64];
    unsigned n = BATCH * BATCHES;
    unsigned long long length;

    randombytes_buf(scalar, sizeof scalar);
    crypto_scalarmult_base(point, scalar);
    crypto_aead_chacha20poly1305_ietf_encrypt(cell, &length, opened, 1200, NULL, 0, NULL, nonce,
                                              key);
    crypto_aead_chacha20poly1305_ietf_encrypt(body, &length, peeled, 1132, NULL, 0, NULL, nonce,
                                              key);
    int64_t began = now_ns();
    for (unsigned i = 0; i < n; i++) {
        if (crypto_aead_chacha20poly1305_ietf_decrypt(opened, &length, NULL, cell, sizeof cell,
                                                      NULL, 0, nonce, key) != 0)
            return 0;
        if (fresh) {
            if (crypto_scalarmult(dh, scalar, point) != 0)
                return 0;
            crypto_generichash(prk, sizeof prk, dh, sizeof dh, NULL, 0);
        }
        crypto_generichash(kk, sizeof kk, nonce, sizeof nonce, prk, sizeof prk);
        if (crypto_aead_chacha20poly1305_ietf_decrypt(peeled, &length, NULL, body, sizeof body,
                                                      NULL, 0, nonce, key) != 0)
            return 0;
        crypto_stream_chacha20_ietf(filler, sizeof filler, nonce, key);
        crypto_aead_chacha20poly1305_ietf_encrypt(cell, &length, opened, 1200, NULL, 0, NULL, nonce,
                                                  key);
    }
    return (double)(now_ns() - began) / n;
}

/* Argument: the relay's threads (1). */
int main(int argc, char **argv) {
    double forwarders[2][ROUNDS], crypto[2][ROUNDS], relay[2][ROUNDS];

    if (sodium_init() < 0)
        return 1;
    bench.workers = workers_new(argc > 1 ? (unsigned)atoi(argv[1]) : 1);
    set_up();
    run_relay(false);
    for (unsigned i = 0; i < ROUNDS; i++) {
        for (unsigned gathered = 0; gathered < 2; gathered++)
            forwarders[gathered][i] = run_forwarder(gathered);
        relay_turn();
        for (unsigned fresh = 0; fresh < 2; fresh++) {
            crypto[fresh][i] = run_crypto(fresh);
            relay[fresh][i] = run_relay(fresh);
        }
    }
    double plain = median(forwarders[0], ROUNDS), gathered = median(forwarders[1], ROUNDS);
    double bare = plain < gathered ? plain : gathered;
    printf("one relay, %u thread%-24s %10s %12s\n", workers_count(bench.workers),
           workers_count(bench.workers) > 1 ? "s" : "", "us/packet", "packets/s");
    printf("%-44s %10.2f %12.0f\n", "bare forwarder (recvmmsg, sendmmsg)", plain / 1e3,
           1e9 / plain);
    printf("%-44s %10.2f %12.0f\n", "bare forwarder (the same, with GSO and GRO)", gathered / 1e3,
           1e9 / gathered);
    static const char *const names[] = {"kept eph", "fresh eph"};
    for (unsigned fresh = 0; fresh < 2; fresh++) {
        double calls = median(crypto[fresh], ROUNDS), ours = median(relay[fresh], ROUNDS);
        printf("%s:\n", names[fresh]);
        printf("%-44s %10.2f %12.0f\n", "  bare libsodium calls", calls / 1e3, 1e9 / calls);
        printf("%-44s %10.2f %12.0f\n", "  floor: the better forwarder and calls",
               (bare + calls) / 1e3, 1e9 / (bare + calls));
        printf("%-44s %10.2f %12.0f   %.0f%% of the floor\n", "  relay", ours / 1e3, 1e9 / ours,
               100 * (bare + calls) / ours);
    }
    return 0;
}
