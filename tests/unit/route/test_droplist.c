/* link: daemon/core/route/droplist */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/route/droplist.h"
#include "tests/unit/harness.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOW INT64_C(29000000) /* unix minutes, in 2025 */
#define IDLE_BYTES_MAX 8192
#define KEPT_SIZE_MAX                                                                              \
    256 /* bytes a kept entry may cost: prk 64, bitmap 128, eph 32, and what binds them */

static struct droplist *list_new(size_t entries_max, unsigned neighbours) {
    struct test_stream stream = {test_seed};
    const struct core_random random = {test_fill, &stream};
    struct droplist *const list = droplist_new(entries_max, &random);

    assert_non_null(list);
    droplist_advance(list, NOW, neighbours);
    return list;
}

/* Eph and prk number n; distinct for distinct n. */
static const uint8_t *make(uint64_t n, uint8_t bytes[ONION_PRK_LEN]) {
    memset(bytes, 0x5a, ONION_PRK_LEN);
    test_number(bytes, n, sizeof n);
    return bytes;
}

static enum drop find(struct droplist *list, uint64_t n, unsigned neighbour,
                      const uint8_t **ret_prk) {
    uint8_t eph[ONION_PRK_LEN];
    bool has_way;

    return droplist_find(list, make(n, eph), neighbour, ret_prk, &has_way);
}

/* By a way of this number; 0: none. */
static enum drop enter_by(struct droplist *list, uint64_t n, int64_t minute, uint16_t index,
                          unsigned neighbour, uint8_t way) {
    uint8_t eph[ONION_PRK_LEN], prk[ONION_PRK_LEN], bytes[ONION_WAY_LEN] = {0};
    const struct droplist_packet packet = {.eph = make(n, eph),
                                           .minute = minute,
                                           .way = way != 0 ? bytes : NULL,
                                           .index = index,
                                           .neighbour = neighbour};

    bytes[sizeof bytes - 1] = way; /* the last byte counts as the first does */
    return droplist_enter(list, &packet, make(~n, prk));
}

static enum drop enter(struct droplist *list, uint64_t n, int64_t minute, uint16_t index,
                       unsigned neighbour) {
    return enter_by(list, n, minute, index, neighbour, 1);
}

static void assert_new(struct droplist *list, uint64_t n) {
    const uint8_t *prk = (const uint8_t *)"";

    assert_int_equal(find(list, n, 0, &prk), DROP_NONE);
    assert_null(prk);
}

static void assert_kept(struct droplist *list, uint64_t n) {
    const uint8_t *prk = NULL;
    uint8_t want[ONION_PRK_LEN];

    assert_int_equal(find(list, n, 0, &prk), DROP_NONE);
    assert_non_null(prk);
    assert_memory_equal(prk, make(~n, want), ONION_PRK_LEN);
}

static struct droplist_stats stats_of(const struct droplist *list) {
    struct droplist_stats stats;

    droplist_stats(list, &stats);
    return stats;
}

/* ---- One eph ---- */

static void test_before_first_advance(void **state) {
    struct test_stream stream = {test_seed};
    const struct core_random random = {test_fill, &stream};
    struct droplist *const list = droplist_new(100, &random);

    (void)state;
    assert_non_null(list);
    assert_int_equal(enter(list, 1, NOW, 0, 0), DROP_TIME);
    assert_int_equal(enter(list, 1, 0, 0, 0), DROP_TIME);
    droplist_free(list);
    droplist_free(NULL);
}

static void test_find_and_enter(void **state) {
    struct droplist *const list = list_new(100, 1);

    (void)state;
    assert_new(list, 1);
    assert_int_equal(enter(list, 1, NOW, 5, 0), DROP_NONE);
    assert_kept(list, 1);
    assert_new(list, 2);
    assert_int_equal(enter(list, 1, NOW, 5, 0), DROP_DUPLICATE);
    assert_int_equal(enter(list, 1, NOW, 6, 0), DROP_NONE);
    assert_int_equal(enter(list, 1, NOW, 6, 0), DROP_DUPLICATE);
    assert_int_equal(enter(list, 1, NOW + 1, 7, 0), DROP_TIME); /* another minute than it has */
    assert_int_equal(stats_of(list).entries, 1);
    assert_int_equal(stats_of(list).kept, 1);
    droplist_free(list);
}

/* All 1024 places once, in any order; then none. */
static void test_bitmap(void **state) {
    struct droplist *const list = list_new(100, 1);

    (void)state;
    for (unsigned i = 0; i < ONION_INDEX_COUNT; i++)
        assert_int_equal(enter(list, 1, NOW, (uint16_t)(i * 389 % ONION_INDEX_COUNT), 0),
                         DROP_NONE);
    for (unsigned i = 0; i < ONION_INDEX_COUNT; i++)
        assert_int_equal(enter(list, 1, NOW, (uint16_t)i, 0), DROP_DUPLICATE);
    assert_int_equal(enter(list, 2, NOW, 0, 0), DROP_NONE); /* another eph has its own */
    assert_int_equal(enter(list, 2, NOW, 1023, 0), DROP_NONE);
    droplist_free(list);
}

/* The first packet that has a way gives it to all; until then any may. */
static void test_one_way(void **state) {
    struct droplist *const list = list_new(100, 1);
    const uint8_t *prk;
    uint8_t eph[ONION_PRK_LEN], way[ONION_WAY_LEN] = {2};
    const struct droplist_packet other = {
        .eph = make(1, eph), .minute = NOW, .way = way, .index = 9};
    bool has_way = true, is_first = false;

    (void)state;
    assert_int_equal(enter_by(list, 1, NOW, 0, 0, 0), DROP_NONE);
    assert_int_equal(droplist_find(list, eph, 0, &prk, &has_way), DROP_NONE);
    assert_false(has_way);
    assert_int_equal(droplist_judge(list, &other, &is_first), DROP_NONE);
    assert_true(is_first); /* and nothing has changed */
    assert_int_equal(enter_by(list, 1, NOW, 1, 0, 7), DROP_NONE);
    assert_int_equal(droplist_find(list, eph, 0, &prk, &has_way), DROP_NONE);
    assert_true(has_way);
    for (unsigned bit = 0; bit < 8; bit++)
        assert_int_equal(enter_by(list, 1, NOW, 2, 0, (uint8_t)(7 ^ 1 << bit)), DROP_MALFORMED);
    assert_int_equal(enter_by(list, 1, NOW, 2, 0, 0), DROP_MALFORMED);
    assert_int_equal(enter_by(list, 1, NOW, 1, 0, 6), DROP_DUPLICATE);
    assert_int_equal(enter_by(list, 1, NOW, 2, 0, 7), DROP_NONE);
    assert_int_equal(droplist_judge(list, &other, &is_first), DROP_MALFORMED);
    assert_int_equal(enter_by(list, 2, NOW, 0, 0, 6), DROP_NONE); /* another's is its own */
    droplist_free(list);
}

/* ---- Minutes ---- */

static void test_window(void **state) {
    struct droplist *const list = list_new(100, 1);

    (void)state;
    assert_int_equal(enter(list, 1, NOW - 4, 0, 0), DROP_TIME);
    assert_int_equal(enter(list, 2, NOW - 3, 0, 0), DROP_NONE);
    assert_int_equal(enter(list, 3, NOW + 3, 0, 0), DROP_NONE);
    assert_int_equal(enter(list, 4, NOW + 4, 0, 0), DROP_TIME);
    assert_int_equal(enter(list, 5, INT64_MIN, 0, 0), DROP_TIME);
    assert_int_equal(enter(list, 5, INT64_MAX, 0, 0), DROP_TIME);
    assert_int_equal(stats_of(list).entries, 2);
    droplist_free(list);
}

static void test_minute_expires(void **state) {
    struct droplist *const list = list_new(100, 1);

    (void)state;
    for (int64_t m = -3; m <= 3; m++)
        assert_int_equal(enter(list, (uint64_t)(m + 10), NOW + m, 0, 0), DROP_NONE);
    for (int64_t step = 0; step <= 6; step++) { /* each minute takes one with it, the oldest */
        droplist_advance(list, NOW + step, 1);
        assert_int_equal(stats_of(list).entries, 7 - step);
        for (int64_t m = -3; m <= 3; m++)
            if (m >= step - 3)
                assert_kept(list, (uint64_t)(m + 10));
            else
                assert_new(list, (uint64_t)(m + 10));
    }
    droplist_advance(list, NOW + 7, 1);
    assert_int_equal(stats_of(list).entries, 0);
    assert_int_equal(stats_of(list).kept, 0);
    droplist_free(list);
}

/* Hours of minutes: every place in the ring is used over and over. */
static void test_ring_goes_round(void **state) {
    struct droplist *const list = list_new(1000, 1);

    (void)state;
    for (int64_t minute = NOW; minute < NOW + 100; minute++) {
        droplist_advance(list, minute, 1);
        for (int64_t m = -3; m <= 3; m++)
            assert_int_equal(enter(list, (uint64_t)(minute * 10 + m), minute + m, 0, 0), DROP_NONE);
        assert_int_equal(enter(list, (uint64_t)(minute * 10 - 3), minute - 3, 0, 0),
                         DROP_DUPLICATE);
    }
    droplist_advance(list, NOW + 1000, 1); /* a leap: sleep, or a clock set */
    assert_int_equal(stats_of(list).entries, 0);
    droplist_free(list);
}

/* A clock set back must not make a forgotten minute acceptable again, nor forget what is held. */
static void test_time_goes_back(void **state) {
    struct droplist *const list = list_new(100, 1);

    (void)state;
    assert_int_equal(enter(list, 1, NOW - 3, 0, 0), DROP_NONE);
    assert_int_equal(enter(list, 2, NOW - 2, 0, 0), DROP_NONE);
    assert_int_equal(enter(list, 3, NOW + 3, 0, 0), DROP_NONE);
    droplist_advance(list, NOW + 1, 1); /* forgets NOW - 3 */
    droplist_advance(list, NOW - 1, 1);
    assert_int_equal(enter(list, 1, NOW - 3, 0, 0), DROP_TIME); /* the replay */
    assert_int_equal(enter(list, 2, NOW - 2, 0, 0), DROP_DUPLICATE);
    assert_int_equal(enter(list, 2, NOW - 2, 1, 0), DROP_NONE);
    assert_int_equal(enter(list, 4, NOW + 2, 0, 0), DROP_NONE);
    assert_int_equal(enter(list, 3, NOW + 3, 1, 0),
                     DROP_TIME); /* held, but ahead of the window now */
    assert_int_equal(stats_of(list).entries, 3);
    droplist_advance(list, NOW - 100, 1); /* far back: nothing acceptable, nothing forgotten */
    assert_int_equal(enter(list, 5, NOW - 100, 0, 0), DROP_TIME);
    assert_int_equal(stats_of(list).entries, 3);
    droplist_advance(list, NOW + 1, 1); /* caught up */
    assert_int_equal(enter(list, 3, NOW + 3, 0, 0), DROP_DUPLICATE);
    assert_int_equal(enter(list, 3, NOW + 3, 1, 0), DROP_NONE);
    droplist_free(list);
}

/* ---- Bounds ---- */

static void test_entries_max(void **state) {
    struct droplist *const list = list_new(1000, 1); /* one neighbour: the share is everything */
    const uint8_t *prk;

    (void)state;
    for (uint64_t n = 0; n < 1000; n++)
        assert_int_equal(enter(list, n, NOW + (int64_t)(n % 7) - 3, 0, 0), DROP_NONE);
    assert_int_equal(enter(list, 1000, NOW, 0, 0), DROP_LIMIT);
    assert_int_equal(find(list, 1000, 0, &prk), DROP_LIMIT); /* and before any Diffie-Hellman */
    assert_int_equal(stats_of(list).entries, 1000);
    for (uint64_t n = 0; n < 1000; n++) { /* nothing was forgotten for it, what is known goes on */
        assert_int_equal(enter(list, n, NOW + (int64_t)(n % 7) - 3, 0, 0), DROP_DUPLICATE);
        assert_int_equal(enter(list, n, NOW + (int64_t)(n % 7) - 3, 1, 0), DROP_NONE);
    }
    droplist_advance(list, NOW + 1, 1);
    assert_int_equal(enter(list, 1000, NOW, 0, 0), DROP_NONE); /* a minute went: room again */
    droplist_free(list);
}

static void test_neighbours_share(void **state) {
    struct droplist *const list = list_new(800, 2);
    const uint8_t *prk;
    uint64_t n = 0;

    (void)state;
    for (; n < 100; n++)
        assert_int_equal(enter(list, n, NOW - 3 + (int64_t)(n % 2), 0, 63), DROP_NONE);
    assert_int_equal(enter(list, n, NOW, 0, 63), DROP_LIMIT);
    assert_int_equal(find(list, n, 63, &prk), DROP_LIMIT);
    assert_int_equal(find(list, n, 0, &prk), DROP_NONE); /* the others are not starved */
    for (; n < 200; n++)
        assert_int_equal(enter(list, n, NOW, 0, 0), DROP_NONE);
    assert_int_equal(enter(list, n, NOW, 0, 0), DROP_LIMIT);
    assert_int_equal(enter(list, 5, NOW - 2, 1, 63), DROP_NONE); /* an old eph goes on */
    droplist_advance(list, NOW + 1, 2); /* NOW - 3 goes: 50 of neighbour 63's hundred */
    for (n = 1000; n < 1050; n++)
        assert_int_equal(enter(list, n, NOW, 0, 63), DROP_NONE);
    assert_int_equal(enter(list, n, NOW, 0, 63), DROP_LIMIT);
    droplist_advance(list, NOW + 1, 1);
    assert_int_equal(enter(list, n, NOW, 0, 63), DROP_NONE); /* alone again: all is its own */
    droplist_free(list);
}

/* Another node in the slot begins anew; whoever comes and goes has one share more in all. */
static void test_replaced_neighbour(void **state) {
    struct droplist *const list = list_new(800, 2);
    const uint8_t *prk;
    uint64_t n = 0;

    (void)state;
    for (; n < 100; n++)
        assert_int_equal(enter(list, n, NOW - 3 + (int64_t)(n % 2), 0, 3), DROP_NONE);
    assert_int_equal(find(list, n, 3, &prk), DROP_LIMIT);
    droplist_replace(list, 3);
    for (; n < 200; n++)
        assert_int_equal(enter(list, n, NOW, 0, 3), DROP_NONE);
    assert_int_equal(find(list, n, 3, &prk), DROP_LIMIT);
    droplist_replace(list, 3); /* those gone have their share: it stays */
    assert_int_equal(find(list, n, 3, &prk), DROP_LIMIT);
    assert_int_equal(find(list, n, 4, &prk), DROP_NONE);
    droplist_advance(list, NOW + 2, 2); /* the first hundred go with their minutes */
    assert_int_equal(find(list, n, 3, &prk), DROP_LIMIT);
    droplist_replace(list, 3);
    assert_int_equal(find(list, n, 3, &prk), DROP_NONE);
    assert_int_equal(stats_of(list).entries, 100);
    droplist_free(list);
}

/* As much as they have room for goes over, the rest alone counts against the next one. */
static void test_what_those_gone_have_no_room_for(void **state) {
    struct droplist *const list = list_new(800, 2);
    const uint8_t *prk;
    uint64_t n = 0;

    (void)state;
    while (n < 30)
        assert_int_equal(enter(list, n++, NOW, 0, 4), DROP_NONE);
    droplist_replace(list, 4);
    for (; n < 130; n++)
        assert_int_equal(enter(list, n, NOW + (int64_t)(n % 3) - 1, 0, 3), DROP_NONE);
    assert_int_equal(find(list, n, 3, &prk), DROP_LIMIT);
    droplist_replace(list, 3); /* 70 of the hundred */
    while (n < 200)
        assert_int_equal(enter(list, n++, NOW, 0, 3), DROP_NONE);
    assert_int_equal(find(list, n, 3, &prk), DROP_LIMIT);
    droplist_free(list); /* which checks that each is charged once */
}

/* Those gone count in what all may have beyond their own, or the last would not have theirs. */
static void test_those_gone_count(void **state) {
    struct droplist *const list = list_new(800, 16);
    uint64_t n = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(enter(list, n++, NOW, 0, 63), DROP_NONE);
    droplist_replace(list, 63);
    for (unsigned from = 0; from < 16; from++) {
        const uint64_t before = n;

        while (enter(list, n, NOW, 0, from) == DROP_NONE)
            n++;
        assert_true(n - before >= 800 / 32);
    }
    assert_int_equal(stats_of(list).entries, 800);
    droplist_free(list);
}

/* As many as may flood: there is always some room for who has little. */
static void test_flooding_neighbours_leave_some(void **state) {
    struct droplist *const list = list_new(80000, 16);
    uint64_t n = 0;

    (void)state;
    for (unsigned neighbour = 0; neighbour < 15; neighbour++)
        for (unsigned k = 0; k < 20000; k++)
            enter(list, n++, NOW, 0, neighbour);
    for (unsigned k = 0; k < 80000 / 32; k++)
        assert_int_equal(enter(list, n++, NOW, 0, 15), DROP_NONE);
    assert_int_equal(enter(list, n++, NOW, 0, 15), DROP_LIMIT);
    droplist_free(list);
}

static void test_tiny_bounds(void **state) {
    struct droplist *list = list_new(1, 2);

    (void)state;
    assert_int_equal(enter(list, 1, NOW, 0, 0), DROP_NONE); /* an eighth of one is one */
    assert_int_equal(enter(list, 2, NOW, 0, 0), DROP_LIMIT);
    droplist_free(list);
    list = list_new(0, 1);
    assert_int_equal(enter(list, 1, NOW, 0, 0), DROP_LIMIT);
    droplist_free(list);
}

/* ---- Kept entries ---- */

/* Fill kept memory; returns how many there were when the first eph was evicted for the next: the
 * bound. */
static uint64_t fill_kept(struct droplist *list, uint64_t packets) {
    const size_t first = stats_of(list).kept;

    for (uint64_t n = 0;; n++) {
        const size_t before = stats_of(list).kept;

        for (uint16_t index = 0; index < packets; index++)
            assert_int_equal(enter(list, n, NOW, index, 0), DROP_NONE);
        if (stats_of(list).kept == before)
            return n;
        assert_int_equal(stats_of(list).kept, first + n + 1);
    }
}

static void test_kept_bound(void **state) {
    struct droplist *const list = list_new(1u << 20, 1);
    const uint64_t bound = fill_kept(list, 1);
    const uint8_t *prk;

    (void)state;
    assert_true(bound <= DROPLIST_KEPT_BYTES / 240 && bound >= DROPLIST_KEPT_BYTES / 280);
    assert_true(stats_of(list).bytes <=
                DROPLIST_KEPT_BYTES + IDLE_BYTES_MAX + stats_of(list).entries * 32);
    assert_int_equal(find(list, 0, 0, &prk), DROP_DUPLICATE);    /* the oldest went */
    assert_int_equal(enter(list, 0, NOW, 0, 0), DROP_DUPLICATE); /* its replay */
    assert_int_equal(enter(list, 0, NOW, 1, 0), DROP_DUPLICATE); /* and all under it */
    assert_kept(list, 1);
    assert_kept(list, bound);
    assert_int_equal(enter(list, bound + 1, NOW - 3, 0, 0), DROP_NONE);
    assert_int_equal(find(list, 1, 0, &prk), DROP_DUPLICATE);
    assert_kept(list, bound + 1);
    droplist_advance(list, NOW + 1,
                     1); /* the kept one of NOW - 3 goes, and leaves room for one more */
    assert_int_equal(stats_of(list).kept, bound - 1);
    assert_int_equal(enter(list, bound + 2, NOW, 0, 0), DROP_NONE);
    assert_kept(list, 2);
    assert_int_equal(enter(list, bound + 3, NOW, 0, 0), DROP_NONE);
    assert_int_equal(find(list, 2, 0, &prk), DROP_DUPLICATE);
    droplist_free(list);
}

/* The oldest goes, however many packets its path had. */
static void test_eviction_order(void **state) {
    struct droplist *list = list_new(1u << 20, 1);
    const uint8_t *prk;
    uint64_t bound;

    (void)state;
    bound = fill_kept(list, 2); /* each had two by the time the next came */
    assert_int_equal(find(list, 0, 0, &prk), DROP_DUPLICATE);
    assert_kept(list, 1);
    assert_kept(list, bound);
    droplist_free(list);
}

/* Whoever fills the memory loses its own: by one packet an eph or by two, the paths that others
 * begin stay until their next packet. */
static void test_eviction_by_neighbour(void **state) {
    struct droplist *list = list_new(1u << 20, 8);
    const uint64_t honest = 1u << 30;
    const uint8_t *prk;

    (void)state;
    uint64_t bound = fill_kept(list, 2); /* by neighbour 0 */
    for (uint64_t i = 0; i < 1000; i++) {
        const unsigned neighbour = 1 + (unsigned)(i % 7);
        const uint64_t next = bound + 1 + i * 4;

        assert_int_equal(enter(list, honest + i, NOW, 5, neighbour), DROP_NONE);
        for (uint64_t n = next; n < next + 4; n++)
            for (uint16_t packet = 0; packet < 2; packet++)
                assert_int_equal(enter(list, n, NOW, packet, 0), DROP_NONE);
        assert_int_equal(enter(list, honest + i, NOW, 6, neighbour), DROP_NONE);
    }
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(find(list, honest + i, 1, &prk), DROP_NONE);
    assert_int_equal(find(list, 1000, 0, &prk), DROP_DUPLICATE);
    droplist_free(list);
}

/* ---- Memory ---- */

static void test_memory_is_given_back(void **state) {
    struct droplist *const list = list_new(1u << 20, 1);
    const size_t idle = stats_of(list).bytes;
    size_t first;

    (void)state;
    assert_true(idle <= IDLE_BYTES_MAX);
    assert_int_equal(enter(list, 1u << 30, NOW + 3, 0, 0), DROP_NONE);
    first = stats_of(list).bytes;
    assert_true(first <= idle + (36u << 10)); /* the first costs one chunk and one small table */
    for (uint64_t n = 0; n < 200000; n++)
        assert_int_equal(enter(list, n, NOW, 0, 0), DROP_NONE);
    assert_true(stats_of(list).bytes > DROPLIST_KEPT_BYTES);
    assert_true(stats_of(list).bytes < DROPLIST_KEPT_BYTES + 200000 * 32);
    assert_true(stats_of(list).kept * KEPT_SIZE_MAX < DROPLIST_KEPT_BYTES);
    droplist_advance(list, NOW + 4, 1); /* all but the first */
    assert_int_equal(stats_of(list).entries, 1);
    assert_true(stats_of(list).bytes <= first);
    droplist_advance(list, NOW + 7, 1);
    assert_int_equal(stats_of(list).bytes, idle);
    for (uint64_t n = 0; n < 1000; n++) /* and it can begin again */
        assert_int_equal(enter(list, n, NOW + 7, 0, 0), DROP_NONE);
    assert_int_equal(stats_of(list).kept, 1000);
    droplist_free(list);
}

/* ---- Against a model ---- */

#define MODEL_EPHS 600
struct model {
    int64_t minute[MODEL_EPHS]; /* 0: unknown */
    unsigned neighbour[MODEL_EPHS];
    uint8_t seen[MODEL_EPHS][ONION_INDEX_COUNT];
    int64_t now;
};

static enum drop model_enter(struct model *model, size_t n, int64_t minute, uint16_t index,
                             unsigned neighbour) {
    size_t entries = 0, common = 0, charged[9] = {0};

    for (size_t i = 0; i < MODEL_EPHS; i++) {
        entries += model->minute[i] != 0;
        charged[model->neighbour[i]] += model->minute[i] != 0;
    }
    for (size_t i = 0; i < 9; i++)
        common += charged[i] > 12 ? charged[i] - 12 : 0;
    if (minute < model->now - 3 || minute > model->now + 3)
        return DROP_TIME;
    if (model->minute[n] == 0 && (entries >= 400 || charged[neighbour] >= 50 ||
                                  (charged[neighbour] >= 12 && common >= 400 - 16 * 12)))
        return DROP_LIMIT;
    if (model->minute[n] != 0 && model->minute[n] != minute)
        return DROP_TIME;
    if (model->seen[n][index])
        return DROP_DUPLICATE;
    if (model->minute[n] == 0)
        model->neighbour[n] = neighbour;
    model->minute[n] = minute;
    model->seen[n][index] = 1;
    return DROP_NONE;
}

static void model_advance(struct model *model) {
    model->now++;
    for (size_t i = 0; i < MODEL_EPHS; i++)
        if (model->minute[i] != 0 && model->minute[i] < model->now - 3) {
            model->minute[i] = 0;
            memset(model->seen[i], 0, sizeof model->seen[i]);
        }
}

static void test_random_against_model(void **state) {
    static struct model model;
    struct test_stream stream = {test_seed + 1};
    const struct core_random random = {test_fill, &stream};
    struct droplist *const list = list_new(400, 9);
    unsigned outcomes[DROP_COUNT] = {0};

    (void)state;
    memset(&model, 0, sizeof model);
    model.now = NOW;
    for (int step = 0; step < 60000; step++) {
        const size_t n = (size_t)random_below(&random, MODEL_EPHS);
        const int64_t minute = model.minute[n] != 0 && step % 8 != 0
                                   ? model.minute[n]
                                   : model.now - 4 + (int64_t)random_below(&random, 9);
        const uint16_t index = (uint16_t)random_below(&random, 8);
        const unsigned neighbour = (unsigned)random_below(&random, 9);
        const enum drop want = model_enter(&model, n, minute, index, neighbour);

        assert_int_equal(enter(list, n, minute, index, neighbour), want);
        outcomes[want]++;
        if (step % 1000 == 999) {
            model_advance(&model);
            droplist_advance(list, model.now, 9);
        }
    }
    assert_true(outcomes[DROP_NONE] > 100 && outcomes[DROP_TIME] > 100);
    assert_true(outcomes[DROP_DUPLICATE] > 100 && outcomes[DROP_LIMIT] > 100);
    droplist_free(list);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_first_advance),
        cmocka_unit_test(test_find_and_enter),
        cmocka_unit_test(test_bitmap),
        cmocka_unit_test(test_one_way),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_minute_expires),
        cmocka_unit_test(test_ring_goes_round),
        cmocka_unit_test(test_time_goes_back),
        cmocka_unit_test(test_entries_max),
        cmocka_unit_test(test_neighbours_share),
        cmocka_unit_test(test_replaced_neighbour),
        cmocka_unit_test(test_what_those_gone_have_no_room_for),
        cmocka_unit_test(test_those_gone_count),
        cmocka_unit_test(test_flooding_neighbours_leave_some),
        cmocka_unit_test(test_tiny_bounds),
        cmocka_unit_test(test_kept_bound),
        cmocka_unit_test(test_eviction_order),
        cmocka_unit_test(test_eviction_by_neighbour),
        cmocka_unit_test(test_memory_is_given_back),
        cmocka_unit_test(test_random_against_model),
    };

    if (!test_begin(argc, argv))
        return 1;
    return cmocka_run_group_tests_name("droplist", tests, NULL, NULL);
}
