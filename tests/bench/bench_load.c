/* link: libp2pd-core.a daemon/io/net/udp daemon/io/net/udp_send daemon/io/net/udp_linux shared/address */
/* Load for one real daemon: two neighbours of it, one that sends onion packets to be relayed to the
 * other, which counts what comes. bench_load [-f] [-r ROUNDS] [-n PACKETS] [-w WINDOW] ADDRESS PID
 * Packets are built before a round begins and, with the system's help, handed over some fifty at a
 * time, so that the sender costs less than the relay; at most WINDOW are on their way. -f: a fresh
 * eph each; else 64 paths. PID is the daemon's: what it uses is read from its schedstat. Prints a
 * JSON object: medians over the rounds. */
#define _GNU_SOURCE
#include "daemon/core/link/link.h"
#include "daemon/io/net/udp.h"
#include "tests/bench/figure.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sodium.h>
#include <sys/socket.h>

#define PATHS 64
#define GATHERED_MAX 48             /* datagrams of a send: 59,136 bytes */
#define LOST_NS INT64_C(1000000000) /* nothing came for so long: what is missing is lost */
#define ALIVE_NS INT64_C(300000000)
#define UP_NS INT64_C(10000000000)
#define ROUNDS_MAX 64

static void sodium_fill(void *context, void *buffer, size_t length) {
    (void)context;
    randombytes_buf(buffer, length);
}
static const struct core_random random_source = {sodium_fill, NULL};
static const struct core_trace silent;

static struct mono mono(void) {
    return (struct mono){now_ns() / 1000};
}
static struct wall wall(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (struct wall){t.tv_sec * US_PER_S + t.tv_nsec / 1000};
}
static void die(const char *what) {
    fprintf(stderr, "bench_load: %s\n", what);
    exit(1);
}

/* ---- The relay's two neighbours: the link room alone ---- */

struct end {
    struct links *links;
    struct effects *effects;
    struct identity *identity;
    struct udp *udp;
    bool up;
};
static struct load {
    struct end ends[2]; /* sender, recipient */
    struct address relay;
    uint64_t relay_prefix;
    uint8_t routing_key[KEY_LEN];
    long pid;
    bool fresh;
    size_t n_packets, window;
    uint8_t (*packets)[ONION_LEN];
    int64_t sent, received, heard_ns, alive_ns; /* sent: this round */
} load;

/* Of an open network by the default name: p2pd-protocol(7), KEYS. */
static void open_network_key(uint8_t ret_key[KEY_LEN]) {
    static const char text[] = "p2pd open network\0\4p2pd";
    crypto_generichash(ret_key, KEY_LEN, (const uint8_t *)text, sizeof text - 1, NULL, 0);
}

static void end_init(struct end *end) {
    uint8_t seeds[2][32], bytes[DESCRIPTOR_MAX];
    char error[FAILURE_MAX];
    struct address any;
    struct descriptor descriptor = {.relay = true, .sequence = (uint64_t)wall_ms(wall())};
    address_parse("127.0.0.1", &any); /* any port */
    randombytes_buf(seeds, sizeof seeds);
    if (udp_open(&end->udp, &any, 1, false, error) < 0)
        die(error);
    end->effects = effects_new();
    end->identity = identity_new(seeds[0], seeds[1], &random_source);
    struct links_config config = {.identity = end->identity,
                                  .heartbeat_us = US_PER_HOUR,
                                  .timeout_us = US_PER_HOUR,
                                  .effects = end->effects,
                                  .random = &random_source,
                                  .trace = &silent};
    open_network_key(config.network_key);
    end->links = links_new(&config);
    identity_advance(end->identity, wall());
    int length = descriptor_sign(&descriptor, end->identity, wall(), bytes);
    links_set_descriptor(end->links, bytes, (size_t)length);
}

static const struct datagram *gathered(struct end *end, size_t *ret_n) {
    links_flush(end->links, mono());
    return effects_datagrams(end->effects, ret_n);
}

static void end_flush(struct end *end) {
    size_t n;
    const struct datagram *datagrams = gathered(end, &n);
    udp_send(end->udp, datagrams, n);
    effects_clear(end->effects);
}

static void end_event(struct end *end, const struct link_event *event) {
    if (event->kind == LINK_EVENT_ANSWERED) {
        struct descriptor descriptor;
        descriptor_decode(event->descriptor, event->descriptor_length, &descriptor);
        memcpy(load.routing_key, descriptor_routing_key(&descriptor, wall_epoch(wall())), KEY_LEN);
        load.relay_prefix = node_id_prefix(&descriptor.id);
        links_finish(end->links, event->session, (struct now){mono(), wall()});
    }
    end->up |= event->kind == LINK_EVENT_UP;
}

/* Take in what came as a node would, and answer. */
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
        while (links_event(end->links, &event))
            end_event(end, &event);
    }
    end_flush(end);
}

static void end_dial(struct end *end) {
    int64_t until = now_ns() + UP_NS;
    struct link_event event;
    while (!end->up) {
        struct pollfd in = {.fd = udp_fd(end->udp, 0), .events = POLLIN};
        if (now_ns() > until)
            die("no link came up");
        if (!links_is_dialling(end->links, &load.relay))
            links_dial(end->links, &load.relay, LINK_WANTED, (struct now){mono(), wall()});
        links_tick(end->links, (struct now){mono(), wall()});
        while (links_event(end->links, &event))
            end_event(end, &event);
        end_flush(end);
        poll(&in, 1, 20);
        end_turn(end);
    }
}

/* ---- Packets ---- */

static void key_path(struct onion_layer layers[2]) {
    uint8_t secret[32];
    uint8_t slot = (uint8_t)(wall_minute(wall()) % 60);
    randombytes_buf(secret, sizeof secret);
    onion_layer_key(&layers[0], load.routing_key, secret);
    /* Nobody opens the second: any key does. */
    randombytes_buf(layers[1].eph, sizeof layers[1].eph);
    randombytes_buf(layers[1].prk, sizeof layers[1].prk);
    for (unsigned i = 0; i < 2; i++) {
        layers[i].key_id = (uint8_t)wall_epoch(wall());
        layers[i].slot = slot;
    }
    layers[0].hop = load.relay_prefix;
    layers[1].hop = node_id_prefix(identity_id(load.ends[1].identity));
}

static void build_packets(void) {
    static const uint8_t payload[ONION_PAYLOAD_MAX];
    static struct onion_layer layers[PATHS][2];
    for (size_t i = 0; i < load.n_packets; i++) {
        uint8_t nonce[ONION_NONCE_LEN];
        struct onion_layer *path = layers[i % PATHS];
        uint16_t index = load.fresh ? 0 : (uint16_t)(i / PATHS);
        if (load.fresh || index == 0)
            key_path(path);
        randombytes_buf(nonce, sizeof nonce);
        onion_build(path, 2, (uint16_t[2]){index, index}, nonce, payload, sizeof payload,
                    &random_source, load.packets[i]);
    }
}

/* ---- Sending and counting ---- */

#ifdef UDP_SEGMENT
/* All of one length, to one place: one call, cut up by the kernel. */
static bool send_gathered(struct end *end, const struct datagram *datagrams, size_t n) {
    struct iovec parts[GATHERED_MAX];
    union {
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(load.relay.port)};
    struct msghdr header = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = parts};
    uint16_t size = DATAGRAM_LEN;
    memcpy(&to.sin_addr, load.relay.ip + 12, 4);
    header.msg_control = &control;
    header.msg_controllen = sizeof control;
    control.align.cmsg_level = SOL_UDP;
    control.align.cmsg_type = UDP_SEGMENT;
    control.align.cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(&control.align), &size, sizeof size);
    for (size_t i = 0; i < n; i++)
        parts[i] = (struct iovec){(void *)(uintptr_t)datagrams[i].bytes, datagrams[i].length};
    header.msg_iovlen = n;
    return sendmsg(udp_fd(end->udp, 0), &header, 0) >= 0;
}
#else
static bool send_gathered(struct end *end, const struct datagram *datagrams, size_t n) {
    (void)end, (void)datagrams, (void)n;
    return false;
}
#endif

static void send_packets(size_t n) {
    struct end *end = &load.ends[0];
    static bool gathers = true;
    size_t n_datagrams;
    for (size_t i = 0; i < n; i++)
        links_send_onion(end->links, load.relay_prefix, load.packets[(size_t)load.sent++], mono());
    const struct datagram *datagrams = gathered(end, &n_datagrams);
    gathers = gathers && n_datagrams <= GATHERED_MAX && send_gathered(end, datagrams, n_datagrams);
    if (!gathers)
        udp_send(end->udp, datagrams, n_datagrams);
    effects_clear(end->effects);
}

/* What came for the recipient: counted, not opened. Datagrams are all of one length, and may come
 * joined. */
static void count_received(void) {
    static uint8_t bytes[1 << 16];
    ssize_t n;
    while ((n = recv(udp_fd(load.ends[1].udp, 0), bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
        load.received += n / DATAGRAM_LEN;
        load.heard_ns = now_ns();
    }
}

/* The relay hears of its recipient now and then, or it would take it for dead. */
static void stay_alive(void) {
    if (now_ns() - load.alive_ns < ALIVE_NS)
        return;
    load.alive_ns = now_ns();
    links_probe_all(load.ends[1].links, mono());
    end_flush(&load.ends[1]);
    end_turn(&load.ends[0]);
}

/* Send the packets up to `end`, and count until all are there or lost. Returns how many came. */
static int64_t run_until(size_t end) {
    int64_t from = load.received, base = load.sent;
    load.heard_ns = now_ns();
    for (;;) {
        int64_t flying = load.sent - base - (load.received - from);
        size_t left = end - (size_t)load.sent;
        if (left == 0 && flying <= 0)
            break;
        if (left > 0 && flying + GATHERED_MAX <= (int64_t)load.window) {
            send_packets(left < GATHERED_MAX ? left : GATHERED_MAX);
        } else {
            struct pollfd in = {.fd = udp_fd(load.ends[1].udp, 0), .events = POLLIN};
            poll(&in, 1, 10);
        }
        count_received();
        stay_alive();
        if (now_ns() - load.heard_ns > LOST_NS) {
            if (left == 0)
                break;
            base += load.sent - base - (load.received - from);
            load.heard_ns = now_ns();
        }
    }
    return load.received - from;
}

/* ---- What the daemon uses ---- */

/* Nanoseconds on a processor of all its threads. */
static double cpu_ns(void) {
    char path[320];
    double sum = 0;
    snprintf(path, sizeof path, "/proc/%ld/task", load.pid);
    DIR *threads = opendir(path);
    if (!threads)
        die("no such process");
    for (struct dirent *entry; (entry = readdir(threads));) {
        double spent;
        snprintf(path, sizeof path, "/proc/%ld/task/%s/schedstat", load.pid, entry->d_name);
        FILE *file = entry->d_name[0] != '.' ? fopen(path, "r") : NULL;
        if (file && fscanf(file, "%lf", &spent) == 1)
            sum += spent;
        if (file)
            fclose(file);
    }
    closedir(threads);
    return sum;
}

static void run_rounds(size_t rounds) {
    double cpu[ROUNDS_MAX], rate[ROUNDS_MAX], all = 0, came = 0;
    for (size_t i = 0; i < rounds; i++) {
        build_packets();
        load.sent = 0;
        run_until(PATHS); /* the first packet of each path is another kind of work */
        double spent = cpu_ns();
        int64_t began = now_ns();
        double n = (double)run_until(load.n_packets);
        cpu[i] = (cpu_ns() - spent) / n / 1e3;
        rate[i] = n * 1e9 / (double)(now_ns() - began);
        came += n;
        all += (double)(load.n_packets - PATHS);
    }
    printf("{\"rounds\":%zu,\"packets\":%.0f,\"lost\":%.0f,", rounds, came,
           fmax(all - came, 0)); /* answers to PINGs count too, some a second */
    print_number("cpu_us", median(cpu, rounds));
    printf(",");
    print_number("rate", median(rate, rounds));
    printf("}\n");
}

static int usage(void) {
    fputs("usage: bench_load [-f] [-r ROUNDS] [-n PACKETS] [-w WINDOW] ADDRESS PID\n", stderr);
    return 2;
}

int main(int argc, char **argv) {
    size_t rounds = 5;
    int option;
    load.n_packets = 32768;
    load.window = 1024;
    while ((option = getopt(argc, argv, "fr:n:w:")) != -1) {
        if (option == 'f')
            load.fresh = true;
        else if (option == 'r')
            rounds = strtoul(optarg, NULL, 10);
        else if (option == 'n')
            load.n_packets = strtoul(optarg, NULL, 10);
        else if (option == 'w')
            load.window = strtoul(optarg, NULL, 10);
        else
            return usage();
    }
    if (argc - optind != 2 || sodium_init() < 0 || address_parse(argv[optind], &load.relay) < 0 ||
        rounds == 0 || rounds > ROUNDS_MAX || load.n_packets <= PATHS ||
        load.n_packets > PATHS * ONION_INDEX_COUNT)
        return usage();
    load.pid = strtol(argv[optind + 1], NULL, 10);
    load.packets = malloc(load.n_packets * sizeof *load.packets);
    if (!load.packets)
        die("memory");
    for (unsigned i = 0; i < 2; i++) {
        end_init(&load.ends[i]);
        end_dial(&load.ends[i]);
    }
    run_rounds(rounds);
    return 0;
}
