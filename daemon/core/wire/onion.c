/* Threat: a relay wants to learn its place on the path, to recognise the packet elsewhere, or to
 * mark it for a friend further on. So all lengths are constant, what is not data is
 * indistinguishable from random to whoever peels it, and one tag covers the whole packet at every
 * hop. Both directions are the hot path of a relay and of a sender: no allocation, and no copy of
 * the body. */
#include "daemon/core/wire/onion.h"

#include <assert.h>
#include <sodium.h>
#include <stddef.h>

#define LABEL "p2pd onion 1"

/* Where things lie in a packet; the associated data are all before the tag. */
#define EPH_AT 1
#define NONCE_AT 33
#define TAG_AT 49

/* Where things lie in a layer's plaintext. */
#define COMMAND_AT 0
#define SLOT_INDEX_AT 1
#define NEXT_AT 3
#define NEXT_KEY_ID_AT 11
#define NEXT_EPH_AT 12
#define NEXT_TAG_AT 44
#define DELIVER_LENGTH_AT 3
#define DELIVER_PAYLOAD_AT 5

/* A plaintext is opened to here in the outgoing packet: what follows its 60 bytes of header then
 * lies where the next body begins, and the next tag where the next tag belongs. */
#define PLAIN_AT (ONION_HEADER_LEN - ONION_FORWARD_LEN)
#define REST_LEN (ONION_BODY_LEN - ONION_FORWARD_LEN)
#define FILLER_MAX ((ONION_LAYERS_MAX - 1) * ONION_FORWARD_LEN)
#define CHACHA_BLOCK_LEN 64

static_assert(PLAIN_AT + NEXT_TAG_AT == TAG_AT, "the next tag is opened in place");
static_assert(ONION_HEADER_LEN + ONION_BODY_LEN == ONION_LEN, "header and body fill the packet");
static_assert(ONION_BODY_LEN - FILLER_MAX - DELIVER_PAYLOAD_AT == ONION_PAYLOAD_MAX,
              "six layers hold a payload");

static const uint8_t NONCE_BODY[12] = {0};
static const uint8_t NONCE_FILLER[12] = {1};

struct layer_keys {
    uint8_t k[32];
    uint8_t next_nonce[ONION_NONCE_LEN];
    uint8_t unused[16];
};
static_assert(sizeof(struct layer_keys) == 64, "kk is one H-512");

static void derive_keys(const uint8_t prk[ONION_PRK_LEN], const uint8_t nonce[ONION_NONCE_LEN],
                        struct layer_keys *ret_keys) {
    crypto_generichash((uint8_t *)ret_keys, sizeof *ret_keys, nonce, ONION_NONCE_LEN, prk,
                       ONION_PRK_LEN);
}

/* ---- Public-key work ---- */

static enum drop derive_prk(const uint8_t secret[32], const uint8_t public[32],
                            const uint8_t eph[32], const uint8_t routing_public[32],
                            uint8_t ret_prk[ONION_PRK_LEN]) {
    struct {
        uint8_t label[sizeof LABEL - 1], dh[32], eph[32], routing_public[32];
    } s;
    enum drop drop = DROP_NONE;

    memcpy(s.label, LABEL, sizeof s.label);
    memcpy(s.eph, eph, sizeof s.eph);
    memcpy(s.routing_public, routing_public, sizeof s.routing_public);
    if (crypto_scalarmult(s.dh, secret, public) != 0) /* zero: an eph of small order */
        drop = DROP_AUTH;
    else
        crypto_generichash(ret_prk, ONION_PRK_LEN, (const uint8_t *)&s, sizeof s, NULL, 0);
    sodium_memzero(&s, sizeof s);
    return drop;
}

enum drop onion_layer_key(struct onion_layer *layer, const uint8_t routing_public[32],
                          const uint8_t eph_secret[32]) {
    uint8_t eph[32];
    enum drop drop;

    crypto_scalarmult_base(eph, eph_secret);
    drop = derive_prk(eph_secret, routing_public, eph, routing_public, layer->prk);
    if (drop == DROP_NONE)
        memcpy(layer->eph, eph, sizeof eph);
    return drop;
}

enum drop onion_prk(const uint8_t eph[32], const uint8_t routing_secret[32],
                    const uint8_t routing_public[32], uint8_t ret_prk[ONION_PRK_LEN]) {
    return derive_prk(routing_secret, eph, eph, routing_public, ret_prk);
}

/* ---- Building ---- */

/* The keystream of a layer's AEAD (RFC 8439: the first 32 bytes of block 0 are the tag's key, the
 * body's blocks count from 1), once for the body and for what the hops before appended to it. In
 * whole blocks of the fastest kind: libsodium computes 256 bytes sooner than the last 44 of
 * these. */
#define STREAM_LEN 1280
static_assert(CHACHA_BLOCK_LEN + ONION_BODY_LEN <= STREAM_LEN && STREAM_LEN % 256 == 0,
              "a stream covers a body");

/* Two loops of constant length, the first of which a compiler makes vectors of. */
static void xor_body(uint8_t *restrict out, const uint8_t *restrict in,
                     const uint8_t *restrict stream) {
    const size_t whole = ONION_BODY_LEN / 32 * 32;
    for (size_t i = 0; i < whole; i++)
        out[i] = in[i] ^ stream[i];
    for (size_t i = whole; i < ONION_BODY_LEN; i++)
        out[i] = in[i] ^ stream[i];
}

/* What the hops before the last will have appended when the packet gets there, as the last hop's
 * plaintext shows it: each hop opens what it received, moves everything up by 60 bytes, and appends
 * 60 of its own. */
static void build_filler(const struct layer_keys *keys, uint8_t streams[][STREAM_LEN], size_t n,
                         uint8_t ret_filler[FILLER_MAX]) {
    size_t length = 0;

    for (size_t i = 0; i + 1 < n; i++) {
        const uint8_t *end = streams[i] + CHACHA_BLOCK_LEN + ONION_BODY_LEN;

        for (size_t j = 0; j < length; j++)
            ret_filler[j] ^= (end - length)[j];
        crypto_stream_chacha20_ietf(ret_filler + length, ONION_FORWARD_LEN, NONCE_FILLER,
                                    keys[i].k);
        length += ONION_FORWARD_LEN;
    }
    for (size_t j = 0; j < length; j++)
        ret_filler[j] ^= (streams[n - 1] + CHACHA_BLOCK_LEN + ONION_BODY_LEN - length)[j];
}

static void put_u16(uint8_t *out, size_t value) {
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

static void put_command(uint8_t *plain, enum onion_command command, const struct onion_layer *layer,
                        uint16_t index) {
    assert(layer->slot < 60 && index < ONION_INDEX_COUNT);
    plain[COMMAND_AT] = (uint8_t)command;
    put_u16(plain + SLOT_INDEX_AT, (size_t)layer->slot << 10 | index);
}

/* The last hop's plaintext. Bytes between payload and filler are random, or the recipient would
 * read the number of relays off the zeros; and from a seed that the packet does not hold, or it
 * could compute where they end. */
static void put_deliver(uint8_t *plain, const uint8_t *filler, size_t filler_length,
                        const void *payload, size_t payload_length,
                        const struct core_random *random) {
    uint8_t *const padding = plain + DELIVER_PAYLOAD_AT + payload_length;
    const size_t padding_length =
        ONION_BODY_LEN - DELIVER_PAYLOAD_AT - payload_length - filler_length;
    uint8_t seed[32];

    put_u16(plain + DELIVER_LENGTH_AT, payload_length);
    if (payload_length > 0)
        memcpy(plain + DELIVER_PAYLOAD_AT, payload, payload_length);
    random_fill(random, seed, sizeof seed);
    crypto_stream_chacha20_ietf(padding, padding_length, NONCE_BODY, seed);
    memcpy(padding + padding_length, filler, filler_length);
    sodium_memzero(seed, sizeof seed);
}

static void put_forward(uint8_t *plain, const struct onion_layer *next) {
    for (int i = 0; i < 8; i++)
        plain[NEXT_AT + i] = (uint8_t)(next->hop >> (56 - 8 * i));
    plain[NEXT_KEY_ID_AT] = next->key_id;
    memcpy(plain + NEXT_EPH_AT, next->eph, sizeof next->eph);
}

/* As crypto_aead_chacha20poly1305_ietf_encrypt_detached() with nonce 0 and the 49 bytes before the
 * tag as additional data, but for the keystream, which is there. onion_peel() opens it with the
 * AEAD. */
static void seal_body(const uint8_t *stream, const uint8_t *plain, uint8_t *out) {
    static const uint8_t zeros[16] = {0};
    static const uint8_t lengths[16] = {
        TAG_AT, 0, 0, 0, 0, 0, 0, 0, ONION_BODY_LEN & 0xff, ONION_BODY_LEN >> 8};
    crypto_onetimeauth_poly1305_state tag;

    xor_body(out + ONION_HEADER_LEN, plain, stream + CHACHA_BLOCK_LEN);
    crypto_onetimeauth_poly1305_init(&tag, stream);
    crypto_onetimeauth_poly1305_update(&tag, out, TAG_AT);
    crypto_onetimeauth_poly1305_update(&tag, zeros, 15 - (TAG_AT + 15) % 16);
    crypto_onetimeauth_poly1305_update(&tag, out + ONION_HEADER_LEN, ONION_BODY_LEN);
    crypto_onetimeauth_poly1305_update(&tag, zeros, 15 - (ONION_BODY_LEN + 15) % 16);
    crypto_onetimeauth_poly1305_update(&tag, lengths, sizeof lengths);
    crypto_onetimeauth_poly1305_final(&tag, out + TAG_AT);
    sodium_memzero(&tag, sizeof tag);
}

/* Seal the layer from `plain` into `out`, a packet: its body behind a header of its own. */
static void seal_layer(const struct onion_layer *layer, const uint8_t *stream,
                       const uint8_t nonce[ONION_NONCE_LEN], const uint8_t *plain, uint8_t *out) {
    out[0] = layer->key_id;
    memcpy(out + EPH_AT, layer->eph, sizeof layer->eph);
    memcpy(out + NONCE_AT, nonce, ONION_NONCE_LEN);
    seal_body(stream, plain, out);
}

/* Two packets take turns: layer i is sealed into one, and the header that layer i - 1 puts before
 * the sealed body's first 1072 bytes is written over the one there, so the plaintext of i - 1
 * stands ready. Turn 0 is the result. */
void onion_build(const struct onion_layer *layers, size_t n, const uint16_t *indexes,
                 const uint8_t nonce[ONION_NONCE_LEN], const void *payload, size_t payload_length,
                 const struct core_random *random, uint8_t ret_packet[ONION_LEN]) {
    struct {
        struct layer_keys keys[ONION_LAYERS_MAX];
        uint8_t scratch[ONION_LEN];
        uint8_t filler[FILLER_MAX];
        uint8_t streams[ONION_LAYERS_MAX][STREAM_LEN]; /* the last: only n are used, and wiped */
    } s;
    uint8_t *const turns[2] = {ret_packet, s.scratch};

    assert(n >= 1 && n <= ONION_LAYERS_MAX && payload_length <= ONION_PAYLOAD_MAX);
    for (size_t i = 0; i < n; i++) {
        derive_keys(layers[i].prk, i == 0 ? nonce : s.keys[i - 1].next_nonce, &s.keys[i]);
        crypto_stream_chacha20_ietf(s.streams[i], STREAM_LEN, NONCE_BODY, s.keys[i].k);
    }
    build_filler(s.keys, s.streams, n, s.filler);
    for (size_t i = n; i-- > 0;) {
        uint8_t *const plain = turns[(i + 1) % 2] + PLAIN_AT;

        if (i + 1 == n) {
            put_command(plain, ONION_DELIVER, &layers[i], indexes[i]);
            put_deliver(plain, s.filler, (n - 1) * ONION_FORWARD_LEN, payload, payload_length,
                        random);
        } else { /* the tag of layer i + 1 is in its place already */
            put_command(plain, ONION_FORWARD, &layers[i], indexes[i]);
            put_forward(plain, &layers[i + 1]);
        }
        seal_layer(&layers[i], s.streams[i], i == 0 ? nonce : s.keys[i - 1].next_nonce, plain,
                   turns[i % 2]);
    }
    sodium_memzero(&s, offsetof(__typeof__(s), streams) + n * STREAM_LEN);
}

/* ---- Peeling ---- */

/* `plain` lies at PLAIN_AT of the outgoing packet. Tag and rest are in place; key id and eph move
 * up, the nonce goes behind them (over what was eph), the filler goes behind the rest. */
static void make_next(uint8_t *out, const struct layer_keys *keys) {
    out[0] = out[PLAIN_AT + NEXT_KEY_ID_AT];
    memmove(out + EPH_AT, out + PLAIN_AT + NEXT_EPH_AT, 32);
    memcpy(out + NONCE_AT, keys->next_nonce, ONION_NONCE_LEN);
    crypto_stream_chacha20_ietf(out + ONION_HEADER_LEN + REST_LEN, ONION_FORWARD_LEN, NONCE_FILLER,
                                keys->k);
}

static enum drop parse_layer(uint8_t *out, const struct layer_keys *keys,
                             struct onion_peeled *ret_peeled) {
    const uint8_t *const plain = out + PLAIN_AT;
    const unsigned slot_index = (unsigned)plain[SLOT_INDEX_AT] << 8 | plain[SLOT_INDEX_AT + 1];
    struct onion_peeled peeled = {.slot = (uint8_t)(slot_index >> 10),
                                  .index = slot_index % ONION_INDEX_COUNT};

    if (peeled.slot >= 60)
        return DROP_MALFORMED;
    if (plain[COMMAND_AT] == ONION_FORWARD) {
        peeled.command = ONION_FORWARD;
        for (int i = 0; i < 8; i++)
            peeled.next = peeled.next << 8 | plain[NEXT_AT + i];
        make_next(out, keys);
    } else if (plain[COMMAND_AT] == ONION_DELIVER) {
        peeled.command = ONION_DELIVER;
        peeled.payload = plain + DELIVER_PAYLOAD_AT;
        peeled.payload_length =
            (size_t)plain[DELIVER_LENGTH_AT] << 8 | plain[DELIVER_LENGTH_AT + 1];
        if (peeled.payload_length > ONION_PAYLOAD_MAX)
            return DROP_MALFORMED;
    } else {
        return DROP_MALFORMED;
    }
    *ret_peeled = peeled;
    return DROP_NONE;
}

enum drop onion_peel(const uint8_t packet[ONION_LEN], const uint8_t prk[ONION_PRK_LEN],
                     uint8_t ret_packet[ONION_LEN], struct onion_peeled *ret_peeled) {
    struct layer_keys keys;
    enum drop drop;

    derive_keys(prk, packet + NONCE_AT, &keys);
    if (crypto_aead_chacha20poly1305_ietf_decrypt_detached(
            ret_packet + PLAIN_AT, NULL, packet + ONION_HEADER_LEN, ONION_BODY_LEN, packet + TAG_AT,
            packet, TAG_AT, NONCE_BODY, keys.k) != 0)
        drop = DROP_AUTH;
    else
        drop = parse_layer(ret_packet, &keys, ret_peeled);
    sodium_memzero(&keys, sizeof keys);
    return drop;
}

void onion_way(const uint8_t packet[ONION_LEN], const struct onion_peeled *peeled,
               uint8_t ret_way[ONION_WAY_LEN]) {
    memset(ret_way, 0, ONION_WAY_LEN); /* who delivers leads nowhere */
    ret_way[0] = (uint8_t)peeled->command;
    if (peeled->command != ONION_FORWARD)
        return;
    memcpy(ret_way + 1, &peeled->next, 8);
    memcpy(ret_way + 9, packet, 1 + 32); /* next_key_id next_eph */
}
