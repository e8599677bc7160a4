#include "tests/fuzz/rig.h"

#define WALL_US (INT64_C(500000) * EPOCH_US + 30 * US_PER_MINUTE)

static void fill(void *context, void *buffer, size_t length) {
    static const uint8_t key[crypto_stream_chacha20_KEYBYTES] = {1};
    uint64_t *block = context;
    uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];

    memcpy(nonce, block, sizeof nonce);
    ++*block;
    crypto_stream_chacha20(buffer, length, nonce, key);
}

static void swallow(void *context, enum trace_level level, const char *text) {
    (void)context;
    rig_check(level <= TRACE_DEBUG && strlen(text) < 256);
}

void rig_init(struct rig *rig) {
    rig_check(sodium_init() >= 0);
    *rig = (struct rig){.now = {US_PER_HOUR}, .wall = {WALL_US}};
    rig->random = (struct core_random){fill, &rig->block};
    rig->trace = (struct core_trace){TRACE_DEBUG, swallow, NULL};
}

void rig_pass(struct rig *rig, int64_t us) {
    rig->now.us += us;
    rig->wall.us += us;
}

struct identity *rig_identity(struct rig *rig, unsigned number) {
    static struct identity *identities[RIG_ENDS];
    static uint64_t block;
    static const struct core_random random = {fill, &block};
    uint8_t node_seed[32] = {(uint8_t)(number + 1), 1};
    uint8_t link_secret[32] = {(uint8_t)(number + 1), 2};

    rig_check(number < RIG_ENDS);
    if (!identities[number]) {
        block = UINT64_C(1000) * (number + 1);
        identities[number] = identity_new(node_seed, link_secret, &random);
        rig_check(identities[number] != NULL);
        identity_advance(identities[number], rig->wall);
    }
    return identities[number];
}

struct address rig_address(unsigned number) {
    return (struct address){
        .ip = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)(number + 1)},
        .port = ADDRESS_PORT_DEFAULT};
}

void rig_end_sign(struct rig_end *end, struct descriptor *descriptor) {
    uint8_t bytes[DESCRIPTOR_MAX];
    int length = descriptor_sign(descriptor, end->identity, end->rig->wall, bytes);

    rig_check(length > 0);
    links_set_descriptor(end->links, bytes, (size_t)length);
}

void rig_end_init(struct rig_end *end, struct rig *rig, unsigned number) {
    struct descriptor descriptor = {.relay = true,
                                    .sequence = (uint64_t)wall_ms(rig->wall),
                                    .addresses = {rig_address(number)},
                                    .n_addresses = 1};

    *end = (struct rig_end){.rig = rig, .number = number, .address = rig_address(number)};
    end->identity = rig_identity(rig, number);
    end->effects = effects_new();
    struct links_config config = {.identity = end->identity,
                                  .heartbeat_us = 10 * US_PER_S,
                                  .timeout_us = 30 * US_PER_S,
                                  .effects = end->effects,
                                  .random = &rig->random,
                                  .trace = &rig->trace};
    memset(config.network_key, RIG_NETWORK, sizeof config.network_key);
    end->links = links_new(&config);
    rig_check(end->effects && end->links);
    rig_end_sign(end, &descriptor);
}

void rig_end_deinit(struct rig_end *end) {
    links_free(end->links);
    effects_free(end->effects);
}

static void handle(struct rig_end *end, const struct link_event *event) {
    if (event->kind == LINK_EVENT_ANSWERED || event->kind == LINK_EVENT_ASKED)
        rig_check(descriptor_open(event->descriptor, event->descriptor_length, &end->met) ==
                  DROP_NONE);
    rig_check(event->n_referrals <= LINK_REFERRALS_MAX);
    if (event->kind == LINK_EVENT_ANSWERED)
        links_finish(end->links, event->session, (struct now){end->rig->now, end->rig->wall});
    else if (event->kind == LINK_EVENT_ASKED)
        links_verdict(end->links, event->link.slot, end->verdict, NULL, 0, end->rig->now);
}

static void settle(struct rig_end *end) {
    struct link_event event;

    while (links_event(end->links, &event))
        handle(end, &event);
    links_flush(end->links, end->rig->now);
}

enum drop rig_end_take(struct rig_end *end, const struct datagram *datagram) {
    struct link_cell cell;
    struct link_frame frame;
    enum drop rest;
    enum drop drop =
        links_receive(end->links, datagram, (struct now){end->rig->now, end->rig->wall}, &cell);

    rig_check(drop < DROP_COUNT);
    while (links_next_frame(end->links, &cell, end->rig->now, &frame, &rest)) {
        rig_check(links_at(end->links, cell.slot) && frame.length <= FRAME_BODY_MAX);
        end->frames++;
    }
    settle(end);
    return drop;
}

void rig_end_tick(struct rig_end *end) {
    links_tick(end->links, (struct now){end->rig->now, end->rig->wall});
    settle(end);
    rig_check(links_next(end->links).us > end->rig->now.us);
}

static bool carry_one_way(struct rig_end *from, struct rig_end *to) {
    size_t n;
    const struct datagram *sent = effects_datagrams(from->effects, &n);

    for (size_t i = 0; i < n; i++) {
        if (!address_is_equal(&sent[i].remote, &to->address))
            continue;
        struct datagram datagram = {from->address, to->address, sent[i].bytes, sent[i].length};
        rig_end_take(to, &datagram);
    }
    effects_clear(from->effects);
    return n > 0;
}

void rig_carry(struct rig_end *a, struct rig_end *b, unsigned rounds) {
    for (unsigned i = 0; i < rounds; i++) {
        bool there = carry_one_way(a, b), back = carry_one_way(b, a);
        if (!there && !back)
            return;
    }
}

const uint8_t *rig_bytes(struct wire_reader *r, size_t *length) {
    if (*length > wire_left(r))
        *length = wire_left(r);
    const uint8_t *bytes = wire_take(r, *length);
    return bytes
               ? bytes
               : (const uint8_t *)""; /* a pointer that memcpy takes, if the input itself is none */
}
