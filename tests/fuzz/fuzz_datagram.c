/* link: tests/fuzz/rig libp2pd-core.a shared/address */
/* Datagrams of any bytes from anywhere to a node that dials now and then. Behind mac1 there is more
 * to reach than a fuzzer could guess: some get their macs, indexes and minute put right. The input
 * is a run of (what 1, arguments). */
#include "tests/fuzz/rig.h"

#define STEPS_MAX 64
#define COOKED_TYPES 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen { /* the last datagram that went out: to be sent back */
    uint8_t bytes[DATAGRAM_LEN];
    size_t length;
};

/* Some session of ours; an index of nobody where there is none. */
static uint32_t pick_index(const struct links *links, unsigned pick) {
    for (unsigned i = 0; i < LINK_SESSIONS_MAX; i++)
        if (links->sessions[i] && pick-- % 4 == 0)
            return links->sessions[i]->local_index;
    return pick;
}

static void put_mac2(struct rig_end *end, const struct address *source, uint8_t *bytes) {
    uint8_t cookie[COOKIE_LEN];
    guard_cookie(&end->links->guard, 0, source, cookie);
    crypto_generichash(bytes + DATAGRAM_LEN - MAC_LEN, MAC_LEN, bytes, DATAGRAM_LEN - MAC_LEN,
                       cookie, COOKIE_LEN);
}

/* What a member may say: the header holds, the macs are good. Returns the length. */
static size_t cook(struct rig_end *end, unsigned what, unsigned pick, const struct address *source,
                   uint8_t bytes[DATAGRAM_LEN]) {
    uint8_t type = (uint8_t)(1 + what % COOKED_TYPES);
    struct wire_writer w = wire_writer(bytes, DATAGRAM_LEN);

    wire_put_uint(&w, type, 1);
    wire_put_uint(&w, type == TYPE_DATA ? 0 : LINK_VERSION, 1);
    wire_put_uint(&w, 0, 2);
    if (type == TYPE_INIT || type == TYPE_RESPONSE)
        wire_put_uint(&w, pick, 4);
    if (type == TYPE_INIT)
        wire_put_uint(&w, (uint64_t)wall_minute(end->rig->wall), 4);
    else
        wire_put_uint(&w, pick_index(end->links, pick), 4);
    if (type == TYPE_COOKIE)
        return COOKIE_ANSWER_LEN;
    size_t at = DATAGRAM_LEN - (type == TYPE_INIT ? 2 * MAC_LEN : MAC_LEN);
    if (type != TYPE_DATA)
        guard_mac1(&end->links->guard, bytes, at, bytes + at);
    if (type == TYPE_INIT && what & 0x80)
        put_mac2(end, source, bytes);
    return DATAGRAM_LEN;
}

static size_t bytes_out(const struct rig_end *end, struct seen *seen) {
    size_t n, sum = 0;
    const struct datagram *out = effects_datagrams(end->effects, &n);
    for (size_t i = 0; i < n; i++)
        sum += out[i].length;
    if (n > 0) {
        seen->length = out[n - 1].length;
        memcpy(seen->bytes, out[n - 1].bytes, seen->length);
    }
    effects_clear(end->effects);
    return sum;
}

/* An exact copy, so that a read past its end is seen. No answer is larger than its question; a
 * cookie answer alone, which nobody can forge, makes us repeat our dial. */
static void give(struct rig_end *end, const struct address *source, const uint8_t *bytes,
                 size_t length, struct seen *seen) {
    uint8_t *copy = malloc(length ? length : 1);
    rig_check(copy != NULL);
    memcpy(copy, bytes, length);
    struct datagram datagram = {*source, end->address, copy, length};
    bool is_cookie = length > 0 && copy[0] == TYPE_COOKIE;
    rig_end_take(end, &datagram);
    rig_check(bytes_out(end, seen) <= length || is_cookie);
    free(copy);
}

static void step(struct rig_end *end, struct wire_reader *r, struct seen *seen) {
    unsigned what = (unsigned)wire_get_uint(r, 1), pick = (unsigned)wire_get_uint(r, 1);
    size_t length = (size_t)wire_get_uint(r, 2);
    uint8_t bytes[DATAGRAM_LEN] = {0};
    struct address source = rig_address(1 + pick % 5);

    switch (what % 8) {
    case 0:
        rig_pass(end->rig, (int64_t)length * US_PER_MS);
        rig_end_tick(end);
        break;
    case 1:
        links_dial(end->links, &source, (enum link_purpose)(length % LINK_PURPOSES),
                   (struct now){end->rig->now, end->rig->wall});
        break;
    case 2:
        seen->bytes[length % DATAGRAM_LEN] ^= (uint8_t)pick;
        give(end, &source, seen->bytes, seen->length, seen);
        return;
    case 3: {
        const uint8_t *raw = rig_bytes(r, &length);
        give(end, &source, raw, length, seen);
        return;
    }
    default: {
        length %= DATAGRAM_LEN - DATA_HEADER_LEN;
        const uint8_t *body = rig_bytes(r, &length);
        memcpy(bytes + 8, body, length);
        length = cook(end, what >> 3, pick, &source, bytes);
        give(end, &source, bytes, length, seen);
        return;
    }
    }
    bytes_out(end, seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct wire_reader r = wire_reader(data, size);
    struct seen seen = {.length = 0};
    struct rig rig;
    struct rig_end end;

    rig_init(&rig);
    rig_end_init(&end, &rig, 0);
    for (int i = 0; i < STEPS_MAX && wire_left(&r) >= 4; i++)
        step(&end, &r, &seen);
    rig_check(end.frames == 0); /* no session was ever proven */
    rig_end_deinit(&end);
    return 0;
}
