/* link: daemon/core/wire/shard */
/* Shards whose numbers and bytes are anybody's: any k of them decode within their memory, whatever
 * they are; those that belong together give back what they were made of, whichever are there. The
 * input: k 1, m 1, length 1, then the order of their numbers, then bytes. */
#include "daemon/core/wire/shard.h"
#include "tests/fuzz/replay.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

unsigned replay_variants_max(void) {
    return 300; /* up to 128 shards, coded twice */
}

static void check(bool condition) {
    if (!condition)
        abort();
}

/* A byte of the input says which of the numbers that are left comes next. */
static void draw_indexes(unsigned n, unsigned k, const uint8_t *order, size_t size,
                         uint8_t *ret_index) {
    uint8_t left[SHARD_COUNT_MAX];
    for (unsigned i = 0; i < n; i++)
        left[i] = (uint8_t)i;
    for (unsigned i = 0; i < k; i++, n--) {
        unsigned at = i < size ? order[i] % n : 0;
        ret_index[i] = left[at];
        left[at] = left[n - 1];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t index[SHARD_COUNT_MAX];
    if (size < 3)
        return 0;
    unsigned k = 1 + data[0] % (SHARD_COUNT_MAX - 1), m = 1 + data[1] % (SHARD_COUNT_MAX - k);
    size_t length = SHARD_LENGTH_MIN + data[2] % 64, whole = k * length;
    uint8_t *plain = calloc(1, whole), *all = malloc(whole + m * length), *some = malloc(whole);
    check(plain && all && some);
    data += 3;
    size -= 3;
    draw_indexes(k + m, k, data, size, index);
    memcpy(plain, data, size < whole ? size : whole);
    memcpy(all, plain, whole);
    if (whole > SHARD_TRANSFORM_LEN)
        shard_transform(all, whole, (const uint8_t[32]){1});
    shard_encode(k, m, length, all, all + whole);
    for (unsigned i = 0; i < k; i++)
        memcpy(some + i * length, all + index[i] * length, length);
    check(shard_decode(k, m, length, index, some) == 0);
    check(memcmp(some, all, whole) == 0);
    if (whole > SHARD_TRANSFORM_LEN) {
        shard_restore(some, whole);
        check(memcmp(some, plain, whole - SHARD_TRANSFORM_LEN) == 0);
    }
    check(shard_decode(k, m, length, index, plain) == 0); /* any bytes */
    if (whole > SHARD_TRANSFORM_LEN)
        shard_restore(plain, whole);
    free(plain);
    free(all);
    free(some);
    return 0;
}
