/* Links between endpoints in one process, on a clock of our own, for the tests of the link room. */
#ifndef P2PD_TESTS_LINK_WORLD_H
#define P2PD_TESTS_LINK_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/base/wirebuf.h"
#include "daemon/core/link/link_private.h"
#include "tests/unit/harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define ENDS 3
#define WALL_US (INT64_C(1800000000) * US_PER_S)
#define QUEUE_MAX 512

struct packet {
    struct address from, to;
    uint8_t bytes[DATAGRAM_LEN];
    size_t length;
};
struct end {
    struct links *links;
    struct effects *effects;
    struct identity *identity;
    struct address address, other; /* other: a second address of the same host */
    int64_t skew_us;
    unsigned ups, downs, refusals, failures, asked, suspects, moved;
    enum link_refusal verdict, last_refusal;
    enum link_close last_close;
    enum link_purpose last_failure;
    struct link_event last_answer;
    unsigned frames;
    uint8_t last_frame[CELL_LEN];
    size_t last_length;
    uint64_t drops[DROP_COUNT];
};
static struct world {
    struct end ends[ENDS];
    struct packet queue[QUEUE_MAX];
    size_t n;
    int64_t now_us;
    bool (*filter)(struct packet *packet); /* false: lost */
    uint64_t sent;
} world;
static unsigned warnings;
static inline void count_line(void *context, enum trace_level level, const char *text) {
    (void)context, (void)text;
    warnings += level == TRACE_WARNING;
}
static struct core_trace test_trace = {TRACE_WARNING, count_line, NULL};

static inline struct mono now(void) {
    return (struct mono){world.now_us};
}
static inline struct wall wall_of(const struct end *end) {
    return (struct wall){WALL_US + world.now_us + end->skew_us};
}

static inline void sign(struct end *end) {
    struct descriptor descriptor = {.relay = true,
                                    .sequence = (uint64_t)(wall_of(end).us / US_PER_MS)};
    uint8_t bytes[DESCRIPTOR_MAX];
    identity_advance(end->identity, wall_of(end));
    int length = descriptor_sign(&descriptor, end->identity, wall_of(end), bytes);
    assert_true(length > 0);
    links_set_descriptor(end->links, bytes, (size_t)length);
}

static inline void make_end(unsigned i, uint8_t network, uint8_t seed) {
    struct end *end = &world.ends[i];
    uint8_t node_seed[32] = {seed, 1}, link_secret[32] = {seed, 2, 7};
    memset(end, 0, sizeof *end);
    end->identity = identity_new(node_seed, link_secret, &test_random);
    end->effects = effects_new();
    struct links_config config = {.identity = end->identity,
                                  .heartbeat_us = 10 * US_PER_S,
                                  .timeout_us = 30 * US_PER_S,
                                  .effects = end->effects,
                                  .random = &test_random,
                                  .trace = &test_trace};
    memset(config.network_key, network, KEY_LEN);
    end->links = links_new(&config);
    assert_non_null(end->links);
    char text[32];
    snprintf(text, sizeof text, "10.0.0.%u:58008", i + 1);
    address_parse(text, &end->address);
    sign(end);
}

static inline void unmake_end(unsigned i) {
    struct end *end = &world.ends[i];
    links_free(end->links);
    effects_free(end->effects);
    identity_free(end->identity);
    memset(end, 0, sizeof *end);
}

static inline int set_up(void **state) {
    (void)state;
    memset(&world, 0, sizeof world);
    world.now_us = US_PER_S;
    for (unsigned i = 0; i < ENDS; i++)
        make_end(i, 9, (uint8_t)(i + 1));
    return 0;
}
static inline int tear_down(void **state) {
    (void)state;
    for (unsigned i = 0; i < ENDS; i++)
        unmake_end(i);
    return 0;
}

/* What an end has put out goes into the queue. */
static inline void collect(struct end *end) {
    size_t n;
    links_seal(end->links);
    const struct datagram *datagrams = effects_datagrams(end->effects, &n);
    for (size_t i = 0; i < n && world.n < QUEUE_MAX; i++) {
        struct packet *packet = &world.queue[world.n];
        packet->from = end->address;
        packet->to = datagrams[i].remote;
        packet->length = datagrams[i].length;
        memcpy(packet->bytes, datagrams[i].bytes, datagrams[i].length);
        world.sent++;
        if (!world.filter || world.filter(packet))
            world.n++;
    }
    effects_clear(end->effects);
}

static inline void handle(struct end *end, const struct link_event *event) {
    switch (event->kind) {
    case LINK_EVENT_ANSWERED:
        end->last_answer = *event;
        if (event->link.purpose == LINK_PROBE)
            links_forget(end->links, event->session);
        else
            links_finish(end->links, event->session, (struct now){now(), wall_of(end)});
        break;
    case LINK_EVENT_ASKED:
        end->asked++;
        links_verdict(end->links, event->link.slot, end->verdict, &world.ends[2].address, 1, now());
        break;
    case LINK_EVENT_UP:
        end->ups++;
        break;
    case LINK_EVENT_REFUSED:
        end->refusals++;
        end->last_refusal = event->refusal;
        break;
    case LINK_EVENT_DOWN:
        end->downs++;
        end->last_close = event->close;
        break;
    case LINK_EVENT_DIAL_FAILED:
        end->failures++;
        end->last_failure = event->link.purpose;
        break;
    case LINK_EVENT_SUSPECT:
        end->suspects++;
        break;
    case LINK_EVENT_MOVED:
        end->moved++;
        break;
    default:
        break;
    }
}

static inline void settle(struct end *end) {
    struct link_event event;
    while (links_event(end->links, &event))
        handle(end, &event);
    links_flush(end->links, now());
    collect(end);
}

static inline enum drop receive(struct end *end, const struct packet *packet) {
    uint8_t bytes[sizeof packet->bytes]; /* opened in place, and the packet may come again */
    struct datagram datagram = {packet->from, packet->to, bytes, packet->length};
    struct link_cell cell;
    struct link_frame frame;
    memcpy(bytes, packet->bytes, packet->length);
    enum drop rest,
        drop = links_receive(end->links, &datagram, (struct now){now(), wall_of(end)}, &cell);
    end->drops[drop]++;
    while (links_next_frame(end->links, &cell, now(), &frame, &rest)) {
        end->frames++;
        memcpy(end->last_frame, frame.body, frame.length);
        end->last_length = frame.length;
    }
    if (rest != DROP_NONE)
        end->drops[rest]++;
    settle(end);
    return drop;
}

static inline void deliver_one(void) {
    struct packet packet = world.queue[0];
    memmove(&world.queue[0], &world.queue[1], --world.n * sizeof packet);
    for (unsigned i = 0; i < ENDS; i++)
        if (address_is_equal(&world.ends[i].address, &packet.to) ||
            address_is_equal(&world.ends[i].other, &packet.to))
            receive(&world.ends[i], &packet);
}

static inline void run(int64_t for_us) {
    int64_t until = world.now_us + for_us;
    for (;;) {
        while (world.n > 0)
            deliver_one();
        int64_t next = until;
        for (unsigned i = 0; i < ENDS; i++)
            if (links_next(world.ends[i].links).us < next)
                next = links_next(world.ends[i].links).us;
        if (next > world.now_us)
            world.now_us = next;
        if (next >= until)
            return;
        for (unsigned i = 0; i < ENDS; i++) {
            links_tick(world.ends[i].links, (struct now){now(), wall_of(&world.ends[i])});
            settle(&world.ends[i]);
        }
    }
}

static inline void dial(unsigned from, unsigned to) {
    struct end *end = &world.ends[from];
    assert_int_equal(links_dial(end->links, &world.ends[to].address, LINK_WANTED,
                                (struct now){now(), wall_of(end)}),
                     0);
    settle(end);
}
static inline void link_up(void) {
    dial(0, 1);
    run(US_PER_S);
    assert_int_equal(world.ends[0].ups, 1);
    assert_int_equal(world.ends[1].ups, 1);
}
static inline uint64_t prefix_of(unsigned i) {
    return node_id_prefix(identity_id(world.ends[i].identity));
}
static inline void send_text(unsigned from, unsigned to, const char *text) {
    assert_int_equal(links_send_frame(world.ends[from].links, prefix_of(to), FRAME_ANNOUNCE, text,
                                      strlen(text), now()),
                     0);
    settle(&world.ends[from]);
}

static struct packet caught;
static int catch_type;
static inline bool catch_one(struct packet *packet) {
    if (packet->bytes[0] == catch_type)
        caught = *packet;
    return true;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
