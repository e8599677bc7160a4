/* link: tests/fuzz/rig libp2pd-core.a shared/address */
/* A member that shakes hands by the book and says anything in it: Noise and macs are honest, the
 * payload of message 2 or 3 is the input. First byte: who dials; whether the payload is a head
 * alone, to which a good descriptor is appended; repeats. */
#include "tests/fuzz/rig.h"

#define HEAD_LEN 27 /* time(8) address(18) purpose(1) */
#define MESSAGE_2_PAYLOAD (DATAGRAM_LEN - RESPONSE_HEADER_LEN - 32 - 48 - 16 - MAC_LEN)
#define MESSAGE_3_PAYLOAD (DATAGRAM_LEN - FINISH_HEADER_LEN - 48 - 16 - MAC_LEN)
#define PADDING (DATAGRAM_LEN - INIT_HEADER_LEN - 32 - 16 - 2 * MAC_LEN)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { THEY_DIAL = 1, GOOD_DESCRIPTOR = 2, REPEATED = 4, REFUSED = 8 };

static struct datagram take_out(const struct rig_end *us, uint8_t copy[DATAGRAM_LEN]) {
    size_t n;
    const struct datagram *out = effects_datagrams(us->effects, &n);
    struct datagram datagram = {.length = 0};

    if (n > 0) {
        datagram = out[n - 1];
        memcpy(copy, datagram.bytes, datagram.length);
        datagram.bytes = copy;
    }
    effects_clear(us->effects);
    return datagram;
}

static void give(struct rig_end *us, uint8_t *bytes, bool has_mac2, unsigned times) {
    struct datagram datagram = {rig_address(1), us->address, bytes, DATAGRAM_LEN};
    size_t at = DATAGRAM_LEN - (has_mac2 ? 2 * MAC_LEN : MAC_LEN);

    guard_mac1(&us->links->guard, bytes, at, bytes + at);
    for (unsigned i = 0; i < times; i++)
        rig_end_take(us, &datagram);
}

/* The payload that the input asks for, `capacity` bytes of it. */
static void put_payload(struct rig_end *us, struct wire_reader *r, unsigned flags, uint8_t *payload,
                        size_t capacity) {
    size_t length = flags & GOOD_DESCRIPTOR ? HEAD_LEN : capacity;
    const uint8_t *bytes = rig_bytes(r, &length);

    memset(payload, 0, capacity);
    memcpy(payload, bytes, length);
    if (!(flags & GOOD_DESCRIPTOR))
        return;
    struct descriptor descriptor = {.sequence = (uint64_t)wall_ms(us->rig->wall)};
    uint8_t descriptor_bytes[DESCRIPTOR_MAX];
    int n = descriptor_sign(&descriptor, rig_identity(us->rig, 1), us->rig->wall, descriptor_bytes);
    struct wire_writer w = wire_writer(payload + HEAD_LEN, capacity - HEAD_LEN);
    rig_check(n > 0);
    wire_put_uint(&w, (uint64_t)n, 2);
    wire_put(&w, descriptor_bytes, (size_t)n);
    rig_check(!w.failed);
}

static struct wire_writer begin(uint8_t *out, enum datagram_type type) {
    struct wire_writer w = wire_writer(out, DATAGRAM_LEN);
    wire_put_uint(&w, type, 1);
    wire_put_uint(&w, LINK_VERSION, 1);
    wire_put_uint(&w, 0, 2);
    return w;
}

static void they_dial(struct rig_end *us, struct noise_handshake *noise, struct wire_reader *r,
                      unsigned flags) {
    static const uint8_t ephemeral[32] = {7}, padding[PADDING];
    uint8_t bytes[DATAGRAM_LEN] = {0}, answer[DATAGRAM_LEN], payload[DATAGRAM_LEN];
    size_t length;

    struct wire_writer w = begin(bytes, TYPE_INIT);
    wire_put_uint(&w, 77, 4);
    wire_put_uint(&w, (uint64_t)wall_minute(us->rig->wall), 4);
    rig_check(noise_write(noise, ephemeral, padding, sizeof padding, w.at, wire_room(&w)) > 0);
    give(us, bytes, true, 1);
    rig_check(take_out(us, answer).length == DATAGRAM_LEN);
    rig_check(noise_read(noise, answer + RESPONSE_HEADER_LEN,
                         DATAGRAM_LEN - RESPONSE_HEADER_LEN - MAC_LEN, payload,
                         &length) == DROP_NONE);
    w = begin(bytes, TYPE_FINISH);
    wire_put(&w, answer + 4, 4);
    put_payload(us, r, flags, payload, MESSAGE_3_PAYLOAD);
    rig_check(noise_write(noise, NULL, payload, MESSAGE_3_PAYLOAD, w.at, wire_room(&w)) > 0);
    give(us, bytes, false, flags & REPEATED ? 3 : 1);
}

static void we_dial(struct rig_end *us, struct noise_handshake *noise, struct wire_reader *r,
                    unsigned flags) {
    static const uint8_t ephemeral[32] = {8};
    uint8_t bytes[DATAGRAM_LEN] = {0}, question[DATAGRAM_LEN], payload[DATAGRAM_LEN];
    struct address address = rig_address(1);
    size_t length;

    rig_check(links_dial(us->links, &address, LINK_WANTED,
                         (struct now){us->rig->now, us->rig->wall}) == 0);
    rig_check(take_out(us, question).length == DATAGRAM_LEN);
    rig_check(noise_read(noise, question + INIT_HEADER_LEN,
                         DATAGRAM_LEN - INIT_HEADER_LEN - 2 * MAC_LEN, payload,
                         &length) == DROP_NONE);
    struct wire_writer w = begin(bytes, TYPE_RESPONSE);
    wire_put_uint(&w, 77, 4);
    wire_put(&w, question + 4, 4);
    put_payload(us, r, flags, payload, MESSAGE_2_PAYLOAD);
    rig_check(noise_write(noise, ephemeral, payload, MESSAGE_2_PAYLOAD, w.at, wire_room(&w)) > 0);
    give(us, bytes, false, flags & REPEATED ? 3 : 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct wire_reader r = wire_reader(data, size);
    unsigned flags = (unsigned)wire_get_uint(&r, 1);
    struct noise_handshake noise;
    struct rig rig;
    struct rig_end us;

    rig_init(&rig);
    rig_end_init(&us, &rig, 0);
    us.verdict = flags & REFUSED ? LINK_FULL : LINK_ACCEPTED;
    noise_init(&noise, &noise_xxpsk3, flags & THEY_DIAL, "p2pd 2", 6,
               identity_link_key(rig_identity(&rig, 1)), NULL, us.links->guard.psk);
    if (flags & THEY_DIAL)
        they_dial(&us, &noise, &r, flags);
    else
        we_dial(&us, &noise, &r, flags);
    int64_t offset = links_clock_offset(us.links);
    rig_check(offset >= -24 * US_PER_HOUR && offset <= 24 * US_PER_HOUR);
    for (unsigned i = 0; i < 8; i++) {
        rig_pass(&rig, US_PER_S);
        rig_end_tick(&us);
        effects_clear(us.effects);
    }
    rig_end_deinit(&us);
    return 0;
}
