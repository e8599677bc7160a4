/* What tests with chance in them share: a seed that is printed and can be given (-s SEED), and
 * streams of random bytes that a seed repeats on every machine. Included after cmocka.h. */
#ifndef P2PD_TEST_HARNESS_H
#define P2PD_TEST_HARNESS_H

#include "daemon/core/base/base.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct test_stream { /* splitmix64 */
    uint64_t state;
};

static uint64_t test_seed = 1;
static struct test_stream test_source; /* begins with the seed; for tests that need no other */

static inline uint64_t test_next(struct test_stream *stream) {
    uint64_t x = stream->state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* A core_random's; the context is a stream. */
static inline void test_fill(void *context, void *buffer, size_t length) {
    uint64_t x = 0;
    for (size_t i = 0; i < length; i++, x >>= 8) {
        if (i % 8 == 0)
            x = test_next(context);
        ((uint8_t *)buffer)[i] = (uint8_t)x;
    }
}
static const struct core_random test_random = {test_fill, &test_source};

static inline void test_bytes(void *buffer, size_t length) {
    test_fill(&test_source, buffer, length);
}

/* From the seed on again, in the setup of a test that is to be the same whichever ran before it. */
static inline void test_rewind(void) {
    test_source.state = test_seed;
}

/* Beginning of main(): reads -s SEED and says which it is. False: libsodium does not start. */
static inline bool test_begin(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "-s") == 0)
        test_seed = strtoull(argv[2], NULL, 0);
    print_message("seed %llu\n", (unsigned long long)test_seed);
    test_rewind();
    return sodium_init() >= 0;
}

/* A number as the first bytes of an id or a key, alike on every machine. */
static inline void test_number(uint8_t *bytes, uint64_t number, size_t length) {
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(number >> 8 * i);
}

#endif
