/* link: daemon/core/wire/noise */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/wire/noise.h"
#include "tests/unit/wire/vectors.h"

#include <errno.h>
#include <sodium.h>

/* Patterns that the product has no use for: they prove the state machine, not a table made for two
 * patterns. */
static const struct noise_pattern PATTERN_XX = {
    .name = "Noise_XX_25519_ChaChaPoly_BLAKE2b",
    .messages = 3,
    .tokens = {{NOISE_E}, {NOISE_E, NOISE_EE, NOISE_S, NOISE_ES}, {NOISE_S, NOISE_SE}},
};
static const struct noise_pattern PATTERN_IK = {
    .name = "Noise_IK_25519_ChaChaPoly_BLAKE2b",
    .responder_static_known = true,
    .messages = 2,
    .tokens = {{NOISE_E, NOISE_ES, NOISE_S, NOISE_SS}, {NOISE_E, NOISE_EE, NOISE_SE}},
};

/* One vector of each pattern that the product uses, from the cacophony project by way of snow: the
 * file with all of them may be missing where this is built. */
static const char BUILTIN[] =
    "{\"vectors\":["
    "{"
    "\"protocol_name\":\"Noise_X_25519_ChaChaPoly_BLAKE2b\","
    "\"init_prologue\":\"4a6f686e2047616c74\","
    "\"init_static\":\"e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1\","
    "\"init_ephemeral\":\"893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a\","
    "\"init_remote_static\":\"31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62\","
    "\"resp_prologue\":\"4a6f686e2047616c74\","
    "\"resp_static\":\"4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893\","
    "\"handshake_hash\":\""
    "7a08e025835287d37f81c295a0a86f0431e206e5032632d06110df590aa69b08c0f5e6909f199ccfa044c151"
    "6366b974f3f28102f977d0fac845c6563c7d5314"
    "\","
    "\"messages\":["
    "{\"payload\":\"4c756477696720766f6e204d69736573\",\"ciphertext\":\""
    "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79446c81e52f35c193f540f853e3"
    "8ee3ddd5d5ffe3cfa8b0c5b93c9498bd737ca396ca4dfa63e3f4878fa875a480bddfa3c0673aa4ec7600b7ea"
    "42a1f444512e3c2524c19acd86468bde6b0aaa7dc2fc5069"
    "\"},"
    "{\"payload\":\"4d757272617920526f746862617264\",\"ciphertext\":\""
    "b4e352f51eecbb9552dd7ab7240619d18aea21752d866e8687ac0181c3177a"
    "\"},"
    "{\"payload\":\"462e20412e20486179656b\",\"ciphertext\":\""
    "3bd6fa95f3f6eed5f01e0c02df392a7fd96ff9416c36f7311f947e"
    "\"},"
    "{\"payload\":\"4361726c204d656e676572\",\"ciphertext\":\""
    "8bce3062e9348896691a45e74563a5d57866e0ab39fa8bde2bcfca"
    "\"},"
    "{\"payload\":\"4a65616e2d426170746973746520536179\",\"ciphertext\":\""
    "cc7610aad99dedc9fe14db2ab59dd09c380bb5f2b5999dcc340739f597817b7c67"
    "\"},"
    "{\"payload\":\"457567656e2042f6686d20766f6e2042617765726b\",\"ciphertext\":\""
    "8b6dcbd77c157bc7ada2f28966068d18529725b2d34571415f507e92a6fcd9843a8cccb63b"
    "\"},"
    "]"
    "},"
    "{"
    "\"protocol_name\":\"Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b\","
    "\"init_prologue\":\"4a6f686e2047616c74\","
    "\"init_psks\":\"54686973206973206d7920417573747269616e20706572737065637469766521\","
    "\"init_static\":\"e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1\","
    "\"init_ephemeral\":\"893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a\","
    "\"resp_prologue\":\"4a6f686e2047616c74\","
    "\"resp_psks\":\"54686973206973206d7920417573747269616e20706572737065637469766521\","
    "\"resp_static\":\"4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893\","
    "\"resp_ephemeral\":\"bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b\","
    "\"handshake_hash\":\""
    "46b5997dfa51492ae9be5b611748455e83aebdbc2ea3c47d264ec6dd408cc076e962ff056890c60398fe3e7a"
    "430bbe057f34383a84df9ff99391266dcfd638b0"
    "\","
    "\"messages\":["
    "{\"payload\":\"4c756477696720766f6e204d69736573\",\"ciphertext\":\""
    "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79440aa831d1e3bbd16bd7ffda87"
    "e9f7b6eeca2510006499a573ac27af3392ed1b69"
    "\"},"
    "{\"payload\":\"4d757272617920526f746862617264\",\"ciphertext\":\""
    "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f14480884381a78489d56c9e2ac962826f"
    "25684980b25244dbfd505b7d903a94d4f4fd84004a1c7fbe94d686bc4c1f67259364f6f2a41cb40bf5198b9b"
    "3975be2cdd49d3e065a554e12c477d82029fabc6555bc1"
    "\"},"
    "{\"payload\":\"462e20412e20486179656b\",\"ciphertext\":\""
    "291dfeff6eff386e29adb0bdbd5a1ae9e09de4449c8695d109adcb63e80e489555792a3e9150eff75d6d4557"
    "1f824ed231173cb66e31e7da914241f86d0cbb678335ffe768a7445d2f5bc1"
    "\"},"
    "{\"payload\":\"4361726c204d656e676572\",\"ciphertext\":\""
    "6579dd60eb5e6a8b29dd60004289f5d3c2f69fcdbf683a869f59a8"
    "\"},"
    "{\"payload\":\"4a65616e2d426170746973746520536179\",\"ciphertext\":\""
    "24715fd39c3c7606e81b26e69e47b54d043d9d87c512f9417bae51ab48ebb17722"
    "\"},"
    "{\"payload\":\"457567656e2042f6686d20766f6e2042617765726b\",\"ciphertext\":\""
    "e49194a013d873712318643acbf0e3851086326bb168c500a766439ff543a7a1e2deb3215c"
    "\"},"
    "]"
    "},"
    "]}";

/* ---- Published vectors ---- */

static const struct noise_pattern *pattern_named(const char *name) {
    const struct noise_pattern *const all[] = {&noise_xxpsk3, &noise_x, &PATTERN_XX, &PATTERN_IK};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    fail_msg("no pattern is named %s", name);
    return NULL;
}

static size_t from_hex(const char *hex, uint8_t *out, size_t capacity) {
    size_t length = 0;

    assert_non_null(hex);
    assert_int_equal(sodium_hex2bin(out, capacity, hex, strlen(hex), NULL, &length, NULL), 0);
    assert_int_equal(length * 2, strlen(hex));
    return length;
}

struct side {
    struct noise_handshake state;
    uint8_t ephemeral[32], send[32], receive[32];
    uint64_t sent, received;
};

static void side_init(struct side *side, const struct vector *v, bool initiator) {
    const struct noise_pattern *const pattern = pattern_named(vector_get(v, "protocol_name"));
    const char *const remote = initiator ? vector_get(v, "init_remote_static") : NULL;
    const char *const ephemeral = vector_get(v, initiator ? "init_ephemeral" : "resp_ephemeral");
    uint8_t prologue[64], secret[32], remote_static[32], psk[32];
    struct noise_keypair local;
    const size_t n = from_hex(vector_get(v, initiator ? "init_prologue" : "resp_prologue"),
                              prologue, sizeof prologue);

    memset(side, 0, sizeof *side);
    from_hex(vector_get(v, initiator ? "init_static" : "resp_static"), secret, sizeof secret);
    assert_int_equal(noise_keypair_init(&local, secret), 0);
    if (remote != NULL)
        from_hex(remote, remote_static, sizeof remote_static);
    if (pattern->is_psk)
        from_hex(vector_get(v, initiator ? "init_psks" : "resp_psks"), psk, sizeof psk);
    if (ephemeral != NULL)
        from_hex(ephemeral, side->ephemeral, sizeof side->ephemeral);
    noise_init(&side->state, pattern, initiator, prologue, n, &local,
               remote != NULL ? remote_static : NULL, pattern->is_psk ? psk : NULL);
}

static void check_transport(struct side *from, struct side *to, const uint8_t *payload,
                            size_t length, const uint8_t *want, size_t want_length) {
    uint8_t nonce[12] = {0}, out[1024], back[1024];
    unsigned long long n = 0;

    assert_int_equal(from->sent, to->received);
    nonce[4] = (uint8_t)from->sent++;
    to->received++;
    crypto_aead_chacha20poly1305_ietf_encrypt(out, &n, payload, length, NULL, 0, NULL, nonce,
                                              from->send);
    assert_int_equal(n, want_length);
    assert_memory_equal(out, want, want_length);
    assert_int_equal(crypto_aead_chacha20poly1305_ietf_decrypt(back, &n, NULL, want, want_length,
                                                               NULL, 0, nonce, to->receive),
                     0);
    assert_memory_equal(back, payload, length);
}

static void check_handshake(struct side *from, struct side *to, const uint8_t *payload,
                            size_t length, const uint8_t *want, size_t want_length) {
    const uint8_t message = from->state.message;
    uint8_t out[1024], back[1024];
    size_t back_length = 0;

    assert_int_equal(noise_write(&from->state, from->ephemeral, payload, length, out, sizeof out),
                     want_length);
    assert_memory_equal(out, want, want_length);
    assert_int_equal(want_length, length + noise_overhead(from->state.pattern, message));
    assert_int_equal(noise_read(&to->state, want, want_length, back, &back_length), DROP_NONE);
    assert_int_equal(back_length, length);
    assert_memory_equal(back, payload, length);
}

static void check_vector(const struct vector *v) {
    struct side sides[2];
    uint8_t payload[1024], ciphertext[1024], hash[NOISE_HASH_LEN];

    side_init(&sides[0], v, true);
    side_init(&sides[1], v, false);
    assert_true(v->n_messages > sides[0].state.pattern->messages);
    for (size_t i = 0; i < v->n_messages; i++) {
        const struct noise_pattern *const pattern = sides[0].state.pattern;
        const size_t sender =
            pattern->messages == 1 ? 0 : i % 2; /* one-way patterns have one sender */
        struct side *const from = &sides[sender], *const to = &sides[1 - sender];
        const size_t length = from_hex(v->payload[i], payload, sizeof payload);
        const size_t want_length = from_hex(v->ciphertext[i], ciphertext, sizeof ciphertext);

        if (i < pattern->messages)
            check_handshake(from, to, payload, length, ciphertext, want_length);
        else
            check_transport(from, to, payload, length, ciphertext, want_length);
        if (i + 1 == pattern->messages)
            for (int s = 0; s < 2; s++) {
                assert_true(noise_is_done(&sides[s].state));
                noise_split(&sides[s].state, sides[s].send, sides[s].receive);
            }
    }
    from_hex(vector_get(v, "handshake_hash"), hash, sizeof hash);
    assert_memory_equal(sides[0].state.hash, hash, sizeof hash);
    assert_memory_equal(sides[1].state.hash, hash, sizeof hash);
}

static size_t check_all(const char *text) {
    static struct vector vector;
    const char *at = text;
    size_t n = 0;

    assert_true(vector_first(text, &at));
    for (; vector_next(&at, &vector); n++)
        check_vector(&vector);
    return n;
}

static void test_builtin_vectors(void **state) {
    (void)state;
    assert_int_equal(check_all(BUILTIN), 2);
}

static void test_published_vectors(void **state) {
    const char *path = getenv("P2PD_VECTORS");
    char *text;
    size_t n;

    (void)state;
    if (path == NULL)
        path = "tests/vectors/noise.json";
    text = vector_load(path);
    assert_non_null(text);
    n = check_all(text);
    free(text);
    print_message("%zu vectors of %s\n", n, path);
    assert_true(n >= 4);
}

/* ---- Two parties of our own ---- */

static void fill(uint8_t *bytes, size_t length, uint8_t seed) {
    crypto_generichash(bytes, length, &seed, 1, NULL, 0);
}

struct pair {
    struct noise_handshake initiator, responder;
    uint8_t initiator_ephemeral[32], responder_ephemeral[32];
};

static void pair_init(struct pair *pair, const struct noise_pattern *pattern) {
    uint8_t secret[32], psk[32];
    struct noise_keypair a, b;

    fill(secret, sizeof secret, 1);
    assert_int_equal(noise_keypair_init(&a, secret), 0);
    fill(secret, sizeof secret, 2);
    assert_int_equal(noise_keypair_init(&b, secret), 0);
    fill(psk, sizeof psk, 3);
    fill(pair->initiator_ephemeral, 32, 4);
    fill(pair->responder_ephemeral, 32, 5);
    noise_init(&pair->initiator, pattern, true, "p", 1, &a,
               pattern->responder_static_known ? b.public : NULL, pattern->is_psk ? psk : NULL);
    noise_init(&pair->responder, pattern, false, "p", 1, &b, NULL, pattern->is_psk ? psk : NULL);
}

static struct noise_handshake *pair_writer(struct pair *pair) {
    return pair->initiator.message % 2 == 0 ? &pair->initiator : &pair->responder;
}

static struct noise_handshake *pair_reader(struct pair *pair) {
    return pair->initiator.message % 2 == 0 ? &pair->responder : &pair->initiator;
}

static size_t pair_write(struct pair *pair, uint8_t *out, size_t capacity) {
    struct noise_handshake *const writer = pair_writer(pair);
    const int n = noise_write(
        writer, writer->initiator ? pair->initiator_ephemeral : pair->responder_ephemeral, "hello",
        5, out, capacity);

    assert_true(n > 0);
    return (size_t)n;
}

/* Every changed bit of every message is refused, changes nothing, and the true message is taken all
 * the same. */
static void check_flips(const struct noise_pattern *pattern) {
    struct pair pair;
    uint8_t message[256], payload[256];
    size_t payload_length = 0;

    pair_init(&pair, pattern);
    while (!noise_is_done(&pair.initiator)) {
        struct noise_handshake *const reader = pair_reader(&pair);
        const struct noise_handshake before = *reader;
        const size_t n = pair_write(&pair, message, sizeof message);

        for (size_t bit = 0; bit < n * 8; bit++) {
            message[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(noise_read(reader, message, n, payload, &payload_length), DROP_AUTH);
            message[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        assert_memory_equal(reader, &before, sizeof before);
        assert_int_equal(noise_read(reader, message, n, payload, &payload_length), DROP_NONE);
        assert_int_equal(payload_length, 5);
        assert_memory_equal(payload, "hello", 5);
    }
    assert_true(noise_is_done(&pair.responder));
    assert_memory_equal(pair.initiator.hash, pair.responder.hash, NOISE_HASH_LEN);
    assert_memory_equal(pair.responder.remote_static, pair.initiator.local_static.public, 32);
}

static void test_flips_xxpsk3(void **state) {
    (void)state;
    check_flips(&noise_xxpsk3);
}

static void test_flips_x(void **state) {
    (void)state;
    check_flips(&noise_x);
}

static void test_split_agrees(void **state) {
    struct pair pair;
    uint8_t message[256], payload[256], a[2][32], b[2][32];
    size_t n;

    (void)state;
    pair_init(&pair, &noise_xxpsk3);
    while (!noise_is_done(&pair.initiator)) {
        struct noise_handshake *const reader = pair_reader(&pair);

        n = pair_write(&pair, message, sizeof message);
        assert_int_equal(noise_read(reader, message, n, payload, &n), DROP_NONE);
    }
    noise_split(&pair.initiator, a[0], a[1]);
    noise_split(&pair.responder, b[0], b[1]);
    assert_memory_equal(a[0], b[1], 32);
    assert_memory_equal(a[1], b[0], 32);
    assert_memory_not_equal(a[0], a[1], 32);
}

/* psk3: it is message 3 that a stranger to the network cannot make. */
static void test_wrong_psk(void **state) {
    struct pair pair;
    uint8_t message[256], payload[256];
    size_t n;

    (void)state;
    pair_init(&pair, &noise_xxpsk3);
    pair.responder.psk[31] ^= 1;
    for (int i = 0; i < 2; i++) {
        struct noise_handshake *const reader = pair_reader(&pair);

        n = pair_write(&pair, message, sizeof message);
        assert_int_equal(noise_read(reader, message, n, payload, &n), DROP_NONE);
    }
    n = pair_write(&pair, message, sizeof message);
    assert_int_equal(noise_read(&pair.responder, message, n, payload, &n), DROP_AUTH);
    pair.responder.psk[31] ^= 1;
    assert_int_equal(noise_read(&pair.responder, message, n = 5 + 64, payload, &n), DROP_NONE);
}

static void test_wrong_prologue_and_recipient(void **state) {
    struct pair pair;
    struct noise_handshake other;
    struct noise_keypair stranger;
    uint8_t message[256], payload[256], secret[32];
    size_t n, length = 0;

    (void)state;
    pair_init(&pair, &noise_x);
    n = pair_write(&pair, message, sizeof message);
    noise_init(&other, &noise_x, false, "q", 1, &pair.responder.local_static, NULL, NULL);
    assert_int_equal(noise_read(&other, message, n, payload, &length), DROP_AUTH);
    fill(secret, sizeof secret, 9);
    assert_int_equal(noise_keypair_init(&stranger, secret), 0);
    noise_init(&other, &noise_x, false, "p", 1, &stranger, NULL, NULL);
    assert_int_equal(noise_read(&other, message, n, payload, &length), DROP_AUTH);
    noise_init(&other, &noise_x, false, "p", 1, &pair.responder.local_static, NULL, NULL);
    assert_int_equal(noise_read(&other, message, n, payload, &length), DROP_NONE);
}

/* An ephemeral of small order would make the secret known to everyone. */
static void test_zero_ephemeral(void **state) {
    struct pair pair;
    uint8_t message[256] = {0}, payload[256];
    size_t n, length = 0;

    (void)state;
    pair_init(&pair, &noise_xxpsk3);
    n = pair_write(&pair, message, sizeof message);
    assert_int_equal(noise_read(&pair.responder, message, n, payload, &length), DROP_NONE);
    n = pair_write(&pair, message, sizeof message);
    for (uint8_t low = 0; low <= 1; low++) { /* the points 0 and 1 */
        uint8_t forged[256];

        memcpy(forged, message, n);
        memset(forged, 0, 32);
        forged[0] = low;
        assert_int_equal(noise_read(&pair.initiator, forged, n, payload, &length), DROP_AUTH);
    }
    assert_int_equal(noise_read(&pair.initiator, message, n, payload, &length), DROP_NONE);

    pair_init(&pair, &noise_x); /* and we do not seal to such a key */
    memset(pair.initiator.remote_static, 0, 32);
    assert_int_equal(
        noise_write(&pair.initiator, pair.initiator_ephemeral, "", 0, message, sizeof message),
        -EINVAL);
}

/* ---- Lengths, turns ---- */

static void test_overhead(void **state) {
    (void)state;
    assert_int_equal(noise_overhead(&noise_xxpsk3, 0), 32 + 16);
    assert_int_equal(noise_overhead(&noise_xxpsk3, 1), 32 + 48 + 16);
    assert_int_equal(noise_overhead(&noise_xxpsk3, 2), 48 + 16);
    assert_int_equal(noise_overhead(&noise_x, 0), 32 + 48 + 16);
    assert_int_equal(noise_overhead(&PATTERN_XX, 0), 32);
    assert_int_equal(noise_overhead(&PATTERN_IK, 1), 32 + 16);
}

static void test_capacity(void **state) {
    struct pair pair;
    uint8_t message[256], payload[256];
    const size_t overhead = noise_overhead(&noise_x, 0);
    size_t length = 77;

    (void)state;
    pair_init(&pair, &noise_x);
    const struct noise_handshake before = pair.initiator;
    assert_int_equal(
        noise_write(&pair.initiator, pair.initiator_ephemeral, "abc", 3, message, overhead + 2),
        -EINVAL);
    assert_memory_equal(&pair.initiator, &before, sizeof before);
    assert_int_equal(
        noise_write(&pair.initiator, pair.initiator_ephemeral, "abc", 3, message, overhead + 3),
        overhead + 3);
    assert_int_equal(noise_read(&pair.responder, message, overhead - 1, payload, &length),
                     DROP_MALFORMED);
    assert_int_equal(noise_read(&pair.responder, message, 0, payload, &length), DROP_MALFORMED);
    assert_int_equal(noise_read(&pair.responder, message, overhead, payload, &length), DROP_AUTH);
    assert_int_equal(noise_read(&pair.responder, message, overhead + 2, payload, &length),
                     DROP_AUTH);
    assert_int_equal(length, 77);
    assert_int_equal(noise_read(&pair.responder, message, overhead + 3, payload, &length),
                     DROP_NONE);
    assert_int_equal(length, 3);
}

static void test_longest(void **state) {
    static uint8_t payload[NOISE_MESSAGE_LEN_MAX + 1], message[NOISE_MESSAGE_LEN_MAX + 1];
    const size_t longest = NOISE_MESSAGE_LEN_MAX - noise_overhead(&noise_x, 0);
    struct pair pair;
    size_t length = 0;

    (void)state;
    pair_init(&pair, &noise_x);
    assert_int_equal(noise_write(&pair.initiator, pair.initiator_ephemeral, payload, longest + 1,
                                 message, sizeof message),
                     -EINVAL);
    assert_int_equal(noise_write(&pair.initiator, pair.initiator_ephemeral, payload, SIZE_MAX,
                                 message, sizeof message),
                     -EINVAL);
    assert_int_equal(noise_write(&pair.initiator, pair.initiator_ephemeral, payload, longest,
                                 message, sizeof message),
                     NOISE_MESSAGE_LEN_MAX);
    assert_int_equal(noise_read(&pair.responder, message, sizeof message, payload, &length),
                     DROP_MALFORMED);
    assert_int_equal(noise_read(&pair.responder, message, NOISE_MESSAGE_LEN_MAX, payload, &length),
                     DROP_NONE);
    assert_int_equal(length, longest);
}

static void test_turns(void **state) {
    struct pair pair;
    uint8_t message[256], payload[256];
    size_t n, length = 0;

    (void)state;
    pair_init(&pair, &noise_xxpsk3);
    assert_int_equal(
        noise_write(&pair.responder, pair.responder_ephemeral, "", 0, message, sizeof message),
        -EINVAL);
    assert_int_equal(noise_write(&pair.initiator, NULL, "", 0, message, sizeof message), -EINVAL);
    n = pair_write(&pair, message, sizeof message);
    /* Our own, reflected: too short for message 2. */
    assert_int_equal(noise_read(&pair.initiator, message, n, payload, &length), DROP_MALFORMED);
    assert_int_equal(
        noise_write(&pair.initiator, pair.initiator_ephemeral, "", 0, message + n, 100), -EINVAL);
    assert_int_equal(noise_read(&pair.responder, message, n, payload, &length), DROP_NONE);
    assert_int_equal(noise_read(&pair.responder, message, n, payload, &length), DROP_MALFORMED);

    pair_init(&pair, &noise_x);
    n = pair_write(&pair, message, sizeof message);
    assert_int_equal(noise_read(&pair.responder, message, n, payload, &length), DROP_NONE);
    assert_int_equal(noise_read(&pair.responder, message, n, payload, &length), DROP_MALFORMED);
    assert_int_equal(
        noise_write(&pair.responder, pair.responder_ephemeral, "", 0, message, sizeof message),
        -EINVAL);
}

static void test_wipe(void **state) {
    struct pair pair;

    (void)state;
    pair_init(&pair, &noise_xxpsk3);
    noise_wipe(&pair.initiator);
    assert_true(sodium_is_zero((const uint8_t *)&pair.initiator, sizeof pair.initiator));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builtin_vectors),
        cmocka_unit_test(test_published_vectors),
        cmocka_unit_test(test_flips_xxpsk3),
        cmocka_unit_test(test_flips_x),
        cmocka_unit_test(test_split_agrees),
        cmocka_unit_test(test_wrong_psk),
        cmocka_unit_test(test_wrong_prologue_and_recipient),
        cmocka_unit_test(test_zero_ephemeral),
        cmocka_unit_test(test_overhead),
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_wipe),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests_name("noise", tests, NULL, NULL);
}
