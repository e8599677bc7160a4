/* link: tests/fuzz/rig libp2pd-core.a shared/address */
/* A neighbour that says anything: cells of any frames through a session that it has proven. The
 * input is (how the link came about 1), then a run of (flags 1, length 2, the cell's bytes). */
#include "tests/fuzz/rig.h"

#define CELLS_MAX 64
/* A cell of PINGs calls for its PONGs, and there may be a challenge, an answer to a frame lost, and
 * a PING of our own. */
#define ANSWERS_MAX 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DIALLED = 1, REFUSED = 2, UNCONFIRMED = 4 };

static void connect_ends(struct rig_end *us, struct rig_end *neighbour, unsigned how) {
    struct rig_end *from = how & DIALLED ? us : neighbour, *to = how & DIALLED ? neighbour : us;

    to->verdict = how & REFUSED ? LINK_FULL : LINK_ACCEPTED;
    rig_check(links_dial(from->links, &to->address, LINK_WANTED,
                         (struct now){us->rig->now, us->rig->wall}) == 0);
    rig_carry(from, to, how & UNCONFIRMED ? 2 : 16);
}

static struct session *session_of(const struct rig_end *end) {
    for (unsigned i = 0; i < LINK_SESSIONS_MAX; i++) {
        struct session *session = end->links->sessions[i];
        if (session && (session->state == SESSION_OPEN || session->state == SESSION_FINISHING))
            return session;
    }
    return NULL;
}

/* Seal what the input says, under the next counter or one of its choice. */
static bool seal(struct rig_end *neighbour, unsigned flags, const uint8_t *bytes, size_t length,
                 uint8_t out[DATAGRAM_LEN]) {
    struct session *session = session_of(neighbour);
    uint8_t cell[CELL_LEN] = {0}, nonce[12] = {0};
    struct wire_writer w = wire_writer(out, DATAGRAM_LEN);

    if (!session)
        return false;
    uint64_t counter = flags & 2 ? UINT64_MAX - flags : session->counter++;
    memcpy(cell, bytes, length);
    wire_put_uint(&w, (uint64_t)TYPE_DATA << 24, 4);
    wire_put_uint(&w, session->remote_index, 4);
    wire_put_uint(&w, counter, 8);
    for (unsigned i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(counter >> (8 * i));
    crypto_aead_chacha20poly1305_ietf_encrypt(w.at, NULL, cell, sizeof cell, out, DATA_HEADER_LEN,
                                              NULL, nonce,
                                              session_secrets(neighbour->links, session)->send);
    return true;
}

static void give(struct rig_end *us, struct rig_end *neighbour, unsigned flags,
                 const uint8_t *bytes, size_t length) {
    uint8_t out[DATAGRAM_LEN];
    size_t n;

    if (!seal(neighbour, flags, bytes, length, out))
        return;
    struct datagram datagram = {rig_address(flags & 4 ? 2 : neighbour->number), us->address, out,
                                sizeof out};
    for (unsigned i = 0; i < 1 + (flags & 1); i++) /* a second time: a replay */
        rig_end_take(us, &datagram);
    effects_datagrams(us->effects, &n);
    rig_check(n <= ANSWERS_MAX);
    if (flags & 8)
        rig_carry(us, neighbour, 4);
    effects_clear(us->effects);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct wire_reader r = wire_reader(data, size);
    struct rig rig;
    struct rig_end us, neighbour;

    rig_init(&rig);
    rig_end_init(&us, &rig, 0);
    rig_end_init(&neighbour, &rig, 1);
    connect_ends(&us, &neighbour, (unsigned)wire_get_uint(&r, 1));
    for (int i = 0; i < CELLS_MAX && wire_left(&r) >= 3; i++) {
        unsigned flags = (unsigned)wire_get_uint(&r, 1);
        size_t length = (size_t)wire_get_uint(&r, 2) % (CELL_LEN + 1);
        const uint8_t *bytes = rig_bytes(&r, &length);
        give(&us, &neighbour, flags, bytes, length);
        rig_pass(&rig, (int64_t)(flags >> 4) * 250 * US_PER_MS);
        rig_end_tick(&us);
        effects_clear(us.effects);
    }
    rig_end_deinit(&neighbour);
    rig_end_deinit(&us);
    return 0;
}
