/* See shard.h. Threat: k, m and the numbers of the shards were checked by those who decoded them;
 * here they are preconditions, since a wrong one would be written past an array. */
#include "daemon/core/wire/shard.h"

#include <assert.h>
#include <errno.h>
#include <isa-l.h>
#include <sodium.h>
#include <stdlib.h>

/* Shards computed at once: as many as ISA-L's inner loops take, and their tables (32 bytes a
 * coefficient) stay on the stack. */
#define ROWS 4u
#define LOST_MAX (SHARD_COUNT_MAX / 2) /* of k, by as many of m */

/* ---- The transform ---- */

/* H-256("p2pd transform" || c) */
static void digest(const uint8_t *bytes, size_t length, uint8_t ret_digest[32]) {
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, 32);
    crypto_generichash_update(&state, (const uint8_t *)"p2pd transform", 14);
    crypto_generichash_update(&state, bytes, length);
    crypto_generichash_final(&state, ret_digest, 32);
    sodium_memzero(&state, sizeof state);
}

/* The key serves once: hence a nonce of zeros. */
static void cipher(uint8_t *bytes, size_t length, const uint8_t key[32]) {
    static const uint8_t nonce[crypto_stream_chacha20_ietf_NONCEBYTES];
    crypto_stream_chacha20_ietf_xor(bytes, bytes, length, nonce, key);
}

static void cover(uint8_t bytes[32], const uint8_t by[32]) {
    for (size_t i = 0; i < SHARD_TRANSFORM_LEN; i++)
        bytes[i] ^= by[i];
}

void shard_transform(uint8_t *bytes, size_t length, const uint8_t key[32]) {
    assert(length > SHARD_TRANSFORM_LEN);
    size_t body = length - SHARD_TRANSFORM_LEN;
    cipher(bytes, body, key);
    digest(bytes, body, bytes + body);
    cover(bytes + body, key);
}

void shard_restore(uint8_t *bytes, size_t length) {
    assert(length > SHARD_TRANSFORM_LEN);
    size_t body = length - SHARD_TRANSFORM_LEN;
    uint8_t key[32];
    digest(bytes, body, key);
    cover(key, bytes + body);
    cipher(bytes, body, key);
    sodium_memzero(key, sizeof key);
}

/* ---- The code ---- */

struct cauchy { /* k rows of identity, m of coefficients; row after row of k */
    uint8_t v[SHARD_COUNT_MAX * SHARD_COUNT_MAX];
};
static void cauchy_init(struct cauchy *matrix, unsigned k, unsigned m) {
    assert(k >= 1 && k + m <= SHARD_COUNT_MAX);
    gf_gen_cauchy1_matrix(matrix->v, (int)(k + m), (int)k);
}

/* rows x k coefficients times k shards that lie one behind the other. */
static void multiply(uint8_t *coefficients, unsigned rows, unsigned k, size_t length,
                     const uint8_t *shards, uint8_t *ret_shards) {
    uint8_t tables[32 * SHARD_COUNT_MAX * ROWS], *in[SHARD_COUNT_MAX], *out[ROWS];
    for (unsigned i = 0; i < k; i++)
        in[i] = (uint8_t *)shards + i * length;
    for (unsigned row = 0; row < rows; row += ROWS) {
        unsigned n = rows - row < ROWS ? rows - row : ROWS;
        for (unsigned i = 0; i < n; i++)
            out[i] = ret_shards + (row + i) * length;
        ec_init_tables((int)k, (int)n, coefficients + row * k, tables);
        ec_encode_data((int)length, (int)k, (int)n, tables, in, out);
    }
}

void shard_encode(unsigned k, unsigned m, size_t length, const uint8_t *data, uint8_t *ret_parity) {
    struct cauchy matrix;
    cauchy_init(&matrix, k, m);
    multiply(matrix.v + k * k, m, k, length, data, ret_parity);
}

static void swap(uint8_t *a, uint8_t *b, size_t length) {
    uint8_t part[256];
    for (size_t i = 0; i < length; i += sizeof part) {
        size_t n = length - i < sizeof part ? length - i : sizeof part;
        memcpy(part, a + i, n);
        memcpy(a + i, b + i, n);
        memcpy(b + i, part, n);
    }
}

/* Each data shard to its own place; parity is left in the places of those that are lost. Returns
 * how many are. */
static unsigned arrange(unsigned k, size_t length, uint8_t *index, uint8_t *bytes,
                        uint8_t ret_lost[LOST_MAX]) {
    unsigned n = 0;
    for (unsigned i = 0; i < k; i++)
        while (index[i] < k && index[i] != i) {
            uint8_t to = index[i];
            swap(bytes + i * length, bytes + to * length, length);
            index[i] = index[to];
            index[to] = to;
        }
    for (unsigned i = 0; i < k; i++)
        if (index[i] >= k) {
            assert(n < LOST_MAX);
            ret_lost[n++] = (uint8_t)i;
        }
    return n;
}

/* What yields the lost data from the k shards that are there. With P the parity that is, L and D
 * the lost and the other data, and E and A their coefficients in it: P = E L + A D, so that
 * L = E^-1 P + E^-1 A D. E is a part of a Cauchy matrix, hence never singular; and inverting it
 * costs what was lost cubed instead of k cubed. */
static void solve(unsigned k, unsigned m, const uint8_t *index, const uint8_t *lost, unsigned n,
                  uint8_t *ret_coefficients) {
    struct cauchy matrix;
    uint8_t part[LOST_MAX * LOST_MAX], inverse[LOST_MAX * LOST_MAX];
    cauchy_init(&matrix, k, m);
    for (unsigned p = 0; p < n; p++)
        for (unsigned i = 0; i < n; i++)
            part[p * n + i] = matrix.v[index[lost[p]] * k + lost[i]];
    int singular = gf_invert_matrix(part, inverse, (int)n);
    assert(!singular);
    (void)singular;
    for (unsigned row = 0; row < n; row++) {
        uint8_t *out = ret_coefficients + row * k;
        for (unsigned j = 0; j < k; j++) {
            out[j] = 0;
            for (unsigned p = 0; p < n && index[j] < k; p++)
                out[j] ^= gf_mul(inverse[row * n + p], matrix.v[index[lost[p]] * k + j]);
        }
        for (unsigned p = 0; p < n; p++)
            out[lost[p]] = inverse[row * n + p];
    }
}

int shard_decode(unsigned k, unsigned m, size_t length, const uint8_t *index, uint8_t *bytes) {
    uint8_t place[SHARD_COUNT_MAX], lost[LOST_MAX], coefficients[LOST_MAX * SHARD_COUNT_MAX];
    assert(k >= 1 && k + m <= SHARD_COUNT_MAX);
    memcpy(place, index, k);
    unsigned n = arrange(k, length, place, bytes, lost);
    if (n == 0)
        return 0;
    uint8_t *found = malloc(n * length);
    if (!found)
        return -ENOMEM;
    solve(k, m, place, lost, n, coefficients);
    multiply(coefficients, n, k, length, bytes, found);
    for (unsigned i = 0; i < n; i++)
        memcpy(bytes + lost[i] * length, found + i * length, length);
    free(found);
    return 0;
}
