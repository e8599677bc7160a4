/* Threat: whoever sits between two nodes sees, changes, repeats and invents handshake messages. So
 * a message is worked through on a copy of the state and the copy becomes the state only if every
 * tag in it verified; and a Diffie-Hellman that yields zero (a small-order key, which would let an
 * outsider know the secret) ends like a bad tag. Section numbers below are those of the Noise
 * Protocol Framework, revision 34. */
#include "daemon/core/wire/noise.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>

/* BLAKE2b's BLOCKLEN (section 12.8): HMAC pads to it. libsodium has HMAC over SHA-2 alone. */
#define HMAC_BLOCK_LEN 128

const struct noise_pattern noise_xxpsk3 = {
    .name = "Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b",
    .is_psk = true,
    .messages = 3,
    .tokens = {{NOISE_E}, {NOISE_E, NOISE_EE, NOISE_S, NOISE_ES}, {NOISE_S, NOISE_SE, NOISE_PSK}},
};

const struct noise_pattern noise_x = {
    .name = "Noise_X_25519_ChaChaPoly_BLAKE2b",
    .responder_static_known = true,
    .messages = 1,
    .tokens = {{NOISE_E, NOISE_ES, NOISE_S, NOISE_SS}},
};

/* ---- Hashing: RFC 2104 over BLAKE2b, section 4.3 ---- */

struct hmac {
    crypto_generichash_state hash;
    uint8_t pad[HMAC_BLOCK_LEN];
};

/* Keys here are chaining keys and never longer than a block, so RFC 2104's hashing of long keys
 * cannot occur. */
static void hmac_init(struct hmac *hmac, const uint8_t key[NOISE_HASH_LEN]) {
    memset(hmac->pad, 0, sizeof hmac->pad);
    memcpy(hmac->pad, key, NOISE_HASH_LEN);
    for (size_t i = 0; i < sizeof hmac->pad; i++)
        hmac->pad[i] ^= 0x36;
    crypto_generichash_init(&hmac->hash, NULL, 0, NOISE_HASH_LEN);
    crypto_generichash_update(&hmac->hash, hmac->pad, sizeof hmac->pad);
}

static void hmac_final(struct hmac *hmac, uint8_t ret_mac[NOISE_HASH_LEN]) {
    uint8_t inner[NOISE_HASH_LEN];

    crypto_generichash_final(&hmac->hash, inner, sizeof inner);
    for (size_t i = 0; i < sizeof hmac->pad; i++)
        hmac->pad[i] ^= 0x36 ^ 0x5c;
    crypto_generichash_init(&hmac->hash, NULL, 0, NOISE_HASH_LEN);
    crypto_generichash_update(&hmac->hash, hmac->pad, sizeof hmac->pad);
    crypto_generichash_update(&hmac->hash, inner, sizeof inner);
    crypto_generichash_final(&hmac->hash, ret_mac, NOISE_HASH_LEN);
    sodium_memzero(inner, sizeof inner);
    sodium_memzero(hmac, sizeof *hmac);
}

/* HKDF (section 4.3): n outputs of 64 bytes, each a chaining of the last. */
static void hkdf(const uint8_t chaining_key[NOISE_HASH_LEN], const uint8_t *input, size_t length,
                 uint8_t n, uint8_t ret_outputs[][NOISE_HASH_LEN]) {
    struct hmac hmac;
    uint8_t temp[NOISE_HASH_LEN];

    hmac_init(&hmac, chaining_key);
    crypto_generichash_update(&hmac.hash, input, length);
    hmac_final(&hmac, temp);
    for (uint8_t i = 1; i <= n; i++) {
        hmac_init(&hmac, temp);
        if (i > 1)
            crypto_generichash_update(&hmac.hash, ret_outputs[i - 2], NOISE_HASH_LEN);
        crypto_generichash_update(&hmac.hash, &i, 1);
        hmac_final(&hmac, ret_outputs[i - 1]);
    }
    sodium_memzero(temp, sizeof temp);
}

/* ---- CipherState and SymmetricState (sections 5.1 and 5.2) ---- */

static void mix_hash(struct noise_handshake *h, const void *data, size_t length) {
    crypto_generichash_state state;

    crypto_generichash_init(&state, NULL, 0, NOISE_HASH_LEN);
    crypto_generichash_update(&state, h->hash, sizeof h->hash);
    crypto_generichash_update(&state, data, length);
    crypto_generichash_final(&state, h->hash, sizeof h->hash);
}

static void set_key(struct noise_handshake *h, const uint8_t output[NOISE_HASH_LEN]) {
    memcpy(h->key, output, sizeof h->key); /* HASHLEN is 64: truncated to the cipher's 32 */
    h->nonce = 0;
    h->has_key = true;
}

static void mix_key(struct noise_handshake *h, const uint8_t input[NOISE_DH_LEN]) {
    uint8_t outputs[2][NOISE_HASH_LEN];

    hkdf(h->chaining_key, input, NOISE_DH_LEN, 2, outputs);
    memcpy(h->chaining_key, outputs[0], NOISE_HASH_LEN);
    set_key(h, outputs[1]);
    sodium_memzero(outputs, sizeof outputs);
}

static void mix_key_and_hash(struct noise_handshake *h, const uint8_t psk[32]) {
    uint8_t outputs[3][NOISE_HASH_LEN];

    hkdf(h->chaining_key, psk, 32, 3, outputs);
    memcpy(h->chaining_key, outputs[0], NOISE_HASH_LEN);
    mix_hash(h, outputs[1], NOISE_HASH_LEN);
    set_key(h, outputs[2]);
    sodium_memzero(outputs, sizeof outputs);
}

/* Section 12.3: 32 bits of zeros, then n little-endian. */
static void take_nonce(struct noise_handshake *h, uint8_t ret_nonce[12]) {
    memset(ret_nonce, 0, 4);
    for (int i = 0; i < 8; i++)
        ret_nonce[4 + i] = (uint8_t)(h->nonce >> (8 * i));
    h->nonce++;
}

/* Returns the ciphertext's length. Without a key it is the plaintext (section 5.2,
 * EncryptAndHash). */
static size_t encrypt_and_hash(struct noise_handshake *h, const void *plain, size_t length,
                               uint8_t *out) {
    if (h->has_key) {
        uint8_t nonce[12];

        take_nonce(h, nonce);
        crypto_aead_chacha20poly1305_ietf_encrypt_detached(
            out, out + length, NULL, plain, length, h->hash, sizeof h->hash, NULL, nonce, h->key);
        length += NOISE_TAG_LEN;
    } else if (length > 0) {
        memcpy(out, plain, length);
    }
    mix_hash(h, out, length);
    return length;
}

/* `length` counts the tag, if there is a key. */
static enum drop decrypt_and_hash(struct noise_handshake *h, const uint8_t *in, size_t length,
                                  uint8_t *ret_plain) {
    if (h->has_key) {
        const size_t plain_length = length - NOISE_TAG_LEN;
        uint8_t nonce[12];

        take_nonce(h, nonce);
        if (crypto_aead_chacha20poly1305_ietf_decrypt_detached(ret_plain, NULL, in, plain_length,
                                                               in + plain_length, h->hash,
                                                               sizeof h->hash, nonce, h->key) != 0)
            return DROP_AUTH;
    } else if (length > 0) {
        memcpy(ret_plain, in, length);
    }
    mix_hash(h, in, length);
    return DROP_NONE;
}

/* ---- HandshakeState (section 5.3) ---- */

int noise_keypair_init(struct noise_keypair *keypair, const uint8_t secret[NOISE_DH_LEN]) {
    uint8_t public[NOISE_DH_LEN];

    if (crypto_scalarmult_base(public, secret) != 0 || sodium_is_zero(public, sizeof public))
        return -EINVAL;
    memcpy(keypair->secret, secret, sizeof keypair->secret);
    memcpy(keypair->public, public, sizeof public);
    return 0;
}

void noise_init(struct noise_handshake *h, const struct noise_pattern *pattern, bool initiator,
                const void *prologue, size_t prologue_length,
                const struct noise_keypair *local_static, const uint8_t *remote_static,
                const uint8_t *psk) {
    assert((psk != NULL) == pattern->is_psk);
    memset(h, 0, sizeof *h);
    h->pattern = pattern;
    h->initiator = initiator;
    memcpy(h->hash, pattern->name, sizeof h->hash);
    memcpy(h->chaining_key, h->hash, sizeof h->hash);
    mix_hash(h, prologue, prologue_length);
    if (local_static != NULL)
        h->local_static = *local_static;
    if (remote_static != NULL) {
        memcpy(h->remote_static, remote_static, sizeof h->remote_static);
        h->has_remote_static = true;
    }
    if (psk != NULL)
        memcpy(h->psk, psk, sizeof h->psk);
    if (pattern->responder_static_known) {
        assert(initiator ? remote_static != NULL : local_static != NULL);
        mix_hash(h, initiator ? h->remote_static : h->local_static.public, NOISE_DH_LEN);
    }
}

static enum drop mix_dh(struct noise_handshake *h, const struct noise_keypair *ours,
                        const uint8_t theirs[NOISE_DH_LEN]) {
    uint8_t shared[NOISE_DH_LEN];
    enum drop drop = DROP_NONE;

    if (crypto_scalarmult(shared, ours->secret, theirs) != 0)
        drop = DROP_AUTH;
    else
        mix_key(h, shared);
    sodium_memzero(shared, sizeof shared);
    return drop;
}

/* With what was computed before, if it was. */
static enum drop mix_known(struct noise_handshake *h, const uint8_t *shared) {
    mix_key(h, shared);
    return DROP_NONE;
}

/* The tokens that mean the same to writer and reader. The first letter is the initiator's key, the
 * second the responder's. */
static enum drop mix_token(struct noise_handshake *h, enum noise_token token) {
    const struct noise_known *known = h->known;
    if (known != NULL && token == NOISE_SS && known->has_ss)
        return mix_known(h, known->ss);
    if (known != NULL && token == NOISE_ES && known->has_es && h->initiator)
        return mix_known(h, known->es);
    switch (token) {
    case NOISE_EE:
        return mix_dh(h, &h->local_ephemeral, h->remote_ephemeral);
    case NOISE_ES:
        return h->initiator ? mix_dh(h, &h->local_ephemeral, h->remote_static)
                            : mix_dh(h, &h->local_static, h->remote_ephemeral);
    case NOISE_SE:
        return h->initiator ? mix_dh(h, &h->local_static, h->remote_ephemeral)
                            : mix_dh(h, &h->local_ephemeral, h->remote_static);
    case NOISE_SS:
        return mix_dh(h, &h->local_static, h->remote_static);
    case NOISE_PSK:
        mix_key_and_hash(h, h->psk);
        return DROP_NONE;
    default:
        assert(false && "a pattern holds a token that is none");
        return DROP_MALFORMED;
    }
}

static void mix_ephemeral(struct noise_handshake *h, const uint8_t public[NOISE_DH_LEN]) {
    mix_hash(h, public, NOISE_DH_LEN);
    if (h->pattern->is_psk) /* section 9.2: or two messages under one psk would share a key */
        mix_key(h, public);
}

static bool is_turn(const struct noise_handshake *h, bool writing) {
    const bool initiators = h->message % 2 == 0;

    return !noise_is_done(h) && (h->initiator == initiators) == writing;
}

/* Works on `h`, a copy. Room was checked. */
static int write_tokens(struct noise_handshake *h, const uint8_t *ephemeral, uint8_t **out) {
    for (const enum noise_token *token = h->pattern->tokens[h->message]; *token != NOISE_END;
         token++) {
        if (*token == NOISE_E) {
            if (h->known != NULL && h->known->has_es)
                memcpy(h->local_ephemeral.public, h->known->ephemeral, NOISE_DH_LEN);
            else if (ephemeral == NULL || noise_keypair_init(&h->local_ephemeral, ephemeral) < 0)
                return -EINVAL;
            memcpy(*out, h->local_ephemeral.public, NOISE_DH_LEN);
            mix_ephemeral(h, *out);
            *out += NOISE_DH_LEN;
        } else if (*token == NOISE_S) {
            *out += encrypt_and_hash(h, h->local_static.public, NOISE_DH_LEN, *out);
        } else if (mix_token(h, *token) != DROP_NONE) {
            return -EINVAL;
        }
    }
    return 0;
}

int noise_write(struct noise_handshake *handshake, const uint8_t *ephemeral, const void *payload,
                size_t payload_length, uint8_t *out, size_t out_capacity) {
    struct noise_handshake copy;
    size_t overhead;
    uint8_t *at = out;
    int r;

    if (!is_turn(handshake, true))
        return -EINVAL;
    overhead = noise_overhead(handshake->pattern, handshake->message);
    if (payload_length > NOISE_MESSAGE_LEN_MAX - overhead ||
        out_capacity < overhead + payload_length)
        return -EINVAL;
    copy = *handshake;
    r = write_tokens(&copy, ephemeral, &at);
    if (r == 0) {
        at += encrypt_and_hash(&copy, payload, payload_length, at);
        copy.message++;
        *handshake = copy;
        r = (int)(at - out);
    }
    sodium_memzero(&copy, sizeof copy);
    return r;
}

/* Works on `h`, a copy. The length was checked. */
static enum drop read_tokens(struct noise_handshake *h, const uint8_t **in) {
    for (const enum noise_token *token = h->pattern->tokens[h->message]; *token != NOISE_END;
         token++) {
        enum drop drop = DROP_NONE;

        if (*token == NOISE_E) {
            memcpy(h->remote_ephemeral, *in, NOISE_DH_LEN);
            h->has_remote_ephemeral = true;
            mix_ephemeral(h, *in);
            *in += NOISE_DH_LEN;
        } else if (*token == NOISE_S) {
            const size_t length = NOISE_DH_LEN + (h->has_key ? NOISE_TAG_LEN : 0);

            drop = decrypt_and_hash(h, *in, length, h->remote_static);
            h->has_remote_static = true;
            *in += length;
        } else {
            drop = mix_token(h, *token);
        }
        if (drop != DROP_NONE)
            return drop;
    }
    return DROP_NONE;
}

enum drop noise_read(struct noise_handshake *handshake, const uint8_t *in, size_t length,
                     uint8_t *payload, size_t *ret_payload_length) {
    struct noise_handshake copy;
    const uint8_t *at = in;
    size_t overhead;
    enum drop drop;

    if (!is_turn(handshake, false))
        return DROP_MALFORMED;
    overhead = noise_overhead(handshake->pattern, handshake->message);
    if (length < overhead || length > NOISE_MESSAGE_LEN_MAX)
        return DROP_MALFORMED;
    copy = *handshake;
    drop = read_tokens(&copy, &at);
    if (drop == DROP_NONE)
        drop = decrypt_and_hash(&copy, at, length - (size_t)(at - in), payload);
    if (drop == DROP_NONE) {
        copy.message++;
        *handshake = copy;
        *ret_payload_length = length - overhead;
    }
    sodium_memzero(&copy, sizeof copy);
    return drop;
}

size_t noise_overhead(const struct noise_pattern *pattern, uint8_t message) {
    size_t overhead = 0;
    bool has_key = false;

    assert(message < pattern->messages);
    for (uint8_t m = 0; m <= message; m++) {
        overhead = 0;
        for (const enum noise_token *token = pattern->tokens[m]; *token != NOISE_END; token++) {
            if (*token == NOISE_E)
                overhead += NOISE_DH_LEN;
            if (*token == NOISE_S)
                overhead += has_key ? NOISE_DH_LEN + NOISE_TAG_LEN : NOISE_DH_LEN;
            if (*token == NOISE_E ? pattern->is_psk : *token != NOISE_S)
                has_key = true;
        }
    }
    return overhead + (has_key ? NOISE_TAG_LEN : 0);
}

bool noise_is_done(const struct noise_handshake *handshake) {
    return handshake->message >= handshake->pattern->messages;
}

void noise_split(const struct noise_handshake *handshake, uint8_t ret_send[32],
                 uint8_t ret_receive[32]) {
    uint8_t outputs[2][NOISE_HASH_LEN];

    assert(noise_is_done(handshake));
    hkdf(handshake->chaining_key, NULL, 0, 2, outputs);
    memcpy(ret_send, outputs[handshake->initiator ? 0 : 1], 32);
    memcpy(ret_receive, outputs[handshake->initiator ? 1 : 0], 32);
    sodium_memzero(outputs, sizeof outputs);
}

void noise_wipe(struct noise_handshake *handshake) {
    sodium_memzero(handshake, sizeof *handshake);
}
