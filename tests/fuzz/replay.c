/* Runs a fuzz target without a fuzzer: every file of the folders given, then each cut short at
 * every length and with single bits flipped, then random bytes from a fixed seed. So `make check`
 * holds every decoder to what the fuzzer once learnt, with any compiler. A finding is a crash, an
 * assertion or a sanitizer's report; there is nothing to compare. */
#include "tests/fuzz/replay.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (1u << 20)
/* Variants of one input: all of a datagram's, a sample of larger ones', so that a corpus replays in
 * seconds. */
#define CUTS_MAX 1300
#define FLIPS_MAX 2000
#define RANDOM_INPUTS 2000
#define RANDOM_LENGTH_MAX 1300

/* Weak: a target's own counts. */
__attribute__((weak)) unsigned replay_variants_max(void) {
    return 1u << 20;
}

/* A copy of exactly the input's size, so that a sanitizer sees a read past its end. */
static void run_copy(const uint8_t *bytes, size_t length) {
    uint8_t *copy = malloc(length ? length : 1);
    if (!copy)
        abort();
    if (length)
        memcpy(copy, bytes, length);
    LLVMFuzzerTestOneInput(copy, length);
    free(copy);
}

/* Every so-many-th, so that of n at most `most` are taken, and no more than the target has time
 * for. */
static size_t step_of(size_t n, size_t most) {
    if (replay_variants_max() < most)
        most = replay_variants_max();
    return n / most + 1;
}

static size_t run_variants(uint8_t *bytes, size_t length) {
    size_t runs = 1;
    run_copy(bytes, length);
    size_t cut_step = step_of(length, CUTS_MAX);
    for (size_t cut = 0; cut < length; cut += cut_step, runs++)
        run_copy(bytes, cut);
    size_t flip_step = step_of(length * 8, FLIPS_MAX);
    for (size_t bit = 0; bit < length * 8; bit += flip_step, runs++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        run_copy(bytes, length);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    return runs;
}

static size_t run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(INPUT_MAX);
    if (!file || !bytes) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    size_t length = fread(bytes, 1, INPUT_MAX, file);
    fclose(file);
    size_t runs = run_variants(bytes, length);
    free(bytes);
    return runs;
}

/* A target without a corpus still gets the random inputs. */
static size_t run_folder(const char *folder) {
    DIR *dir = opendir(folder);
    size_t runs = 0;
    if (!dir)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        runs += run_file(path);
    }
    closedir(dir);
    return runs;
}

static uint64_t next_random(uint64_t *state) { /* xorshift64* */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static size_t run_random(uint64_t seed) {
    uint8_t bytes[RANDOM_LENGTH_MAX];
    uint64_t state = seed ? seed : 1;
    size_t step = step_of(RANDOM_INPUTS, 10 * CUTS_MAX);
    for (size_t i = 0; i < RANDOM_INPUTS; i += step) {
        size_t length = next_random(&state) % (sizeof bytes + 1);
        for (size_t at = 0; at < length; at++)
            bytes[at] = (uint8_t)(next_random(&state) >> 56);
        run_copy(bytes, length);
    }
    return RANDOM_INPUTS / step;
}

int main(int argc, char **argv) {
    uint64_t seed = 1;
    int option;
    while ((option = getopt(argc, argv, "s:")) != -1) {
        if (option != 's')
            return 2;
        seed = strtoull(optarg, NULL, 0);
    }
    size_t runs = 0;
    for (int i = optind; i < argc; i++)
        runs += run_folder(argv[i]);
    runs += run_random(seed);
    printf("seed %llu: %zu inputs survived\n", (unsigned long long)seed, runs);
    return 0;
}
