/* link: daemon/core/ration daemon/core/droplist */
/* New paths that one neighbour has us pass on: a flood of them by way of us fills nothing at the next hop that honest ones need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/droplist.h"
#include "daemon/core/ration.h"

#include <sodium.h>
#include <string.h>

#define SHARE ((size_t)1 << 17) /* of the default droplist.entries */
#define NEXT 9
#define MINUTES 12
#define FLOOD 1000 /* new paths a second */
#define STEP_US US_PER_MS

static void fill(void *context, void *buffer, size_t length) {
    (void)context;
    randombytes_buf(buffer, length);
}
static const struct core_random source = {fill, NULL};

/* ---- Alone ---- */

static unsigned take_some(struct ration *ration, unsigned from, int64_t life, struct mono now,
                          unsigned tries) {
    unsigned n = 0;
    while (tries-- > 0)
        n += ration_take(ration, from, NEXT, life, &source, now);
    return n;
}
#define MANY (4 * SHARE)

static void test_burst_and_rate(void **state) {
    struct ration ration;
    struct mono now = {5};
    (void)state;
    ration_init(&ration);
    ration_configure(&ration, SHARE, 8);
    unsigned rest = SHARE / 8, part = SHARE / 16 / 8;
    assert_int_equal(take_some(&ration, 0, RATION_LIFE, now, rest / 2), rest / 2); /* at once */
    assert_in_range(take_some(&ration, 0, RATION_LIFE, now, MANY), rest / 3, rest / 2 + part);
    assert_int_equal(take_some(&ration, 1, RATION_LIFE, now, part / 2), part / 2); /* its own */
    assert_true(ration_take(&ration, 0, NEXT + 1, RATION_LIFE, &source, now));     /* to another */
    assert_true(ration.refused > 0);
    unsigned n = 0;
    for (unsigned i = 0; i < 100000; i++, now.us += US_PER_MS)
        n += ration_take(&ration, 0, NEXT, RATION_LIFE, &source, now);
    unsigned rate = 100 * (SHARE / 2 + SHARE / 16 / 8) / 240; /* of a hundred seconds */
    assert_in_range(n, rate * 88 / 100, rate * 105 / 100);    /* it was emptied before */
    now.us += US_PER_HOUR;
    assert_int_equal(take_some(&ration, 0, RATION_LIFE, now, rest / 2), rest / 2);
}

/* What is remembered longer costs more. */
static void test_cost_is_by_life(void **state) {
    struct ration ration;
    static const unsigned lives[] = {1, 4, 7};
    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        ration_init(&ration);
        ration_configure(&ration, SHARE, 8);
        unsigned n = 0, expected = SHARE / 16 * 4 / lives[k];
        while (ration_take(&ration, 0, NEXT, lives[k], &source, (struct mono){0}) && n < MANY)
            n++;
        assert_in_range(n, expected, expected * 3 / 2);
    }
}

/* However small the list, and however many there are: some get through. */
static void test_smallest(void **state) {
    struct ration ration;
    (void)state;
    ration_init(&ration);
    for (size_t share = 0; share < 3; share++) {
        ration_configure(&ration, share, RATION_NEIGHBOURS);
        struct mono now = {(int64_t)(share + 1) * US_PER_HOUR};
        assert_int_equal(take_some(&ration, 0, RATION_LIFE, now, 100), 2);
        now.us += RATION_LIFE * US_PER_MINUTE;
        assert_int_equal(take_some(&ration, 0, RATION_LIFE, now, 100), 2);
    }
}

/* ---- With the next hop's drop list ---- */

struct hop { /* one that passes new paths on, or not, and remembers them */
    struct droplist *list;
    struct ration ration;
};
struct tally {
    unsigned sent, refused;
};

static void hop_init(struct hop *hop) {
    hop->list = droplist_new(8 * SHARE, &source);
    assert_non_null(hop->list);
    ration_init(&hop->ration);
    ration_configure(&hop->ration, droplist_share(8 * SHARE), 8);
}

/* A packet of a new path over these hops, each of which it reaches from its neighbour `from`. */
static void send(struct hop *hops, const unsigned *from, size_t n, int64_t now_us, int64_t ahead,
                 bool rationed, struct tally *tally) {
    uint8_t eph[32], prk[ONION_PRK_LEN] = {0};
    int64_t minute = now_us / US_PER_MINUTE;

    randombytes_buf(eph, sizeof eph);
    tally->sent++;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *known;
        bool passes = droplist_find(hops[i].list, eph, from[i], &known) == DROP_NONE;
        if (passes && rationed && i + 1 < n)
            passes = ration_take(&hops[i].ration, from[i], from[i + 1], ahead + RATION_LIFE,
                                 &source, (struct mono){now_us});
        if (!passes ||
            droplist_enter(hops[i].list, eph, prk, minute + ahead, 0, from[i]) != DROP_NONE) {
            tally->refused++;
            return;
        }
    }
}

/* From neighbour 1 of the first hop a flood, over all hops to the last; from neighbour 2 of each of them honest paths. The k-th hop is
 * the next one's neighbour 10 + k. */
static void run(struct hop *hops, size_t n, int64_t ahead, bool rationed, struct tally *honest) {
    static const unsigned flood[] = {1, 10, 11}, along[] = {2, 10, 11};
    struct tally flooded = {0, 0};
    memset(honest, 0, n * sizeof *honest);
    for (int64_t now = 0; now < MINUTES * US_PER_MINUTE; now += STEP_US) {
        if (now % US_PER_MINUTE == 0)
            for (size_t i = 0; i < n; i++)
                droplist_advance(hops[i].list, now / US_PER_MINUTE, 8);
        send(hops, flood, n, now, ahead, rationed, &flooded);
        for (size_t i = 0; i + 1 < n && now % (US_PER_S / 2) == 0; i++) {
            unsigned from[3] = {2};
            memcpy(from + 1, along + i + 1, (n - i - 1) * sizeof *from);
            send(hops + i, from, n - i, now, 0, rationed, &honest[i]);
        }
    }
    for (size_t i = 0; i < n; i++)
        droplist_free(hops[i].list);
}

/* First what the flood does to a next hop whose neighbour passes all on; then what it does where that one rations. */
static void test_flood_through_an_honest_neighbour(void **state) {
    (void)state;
    for (int64_t ahead = 0; ahead <= 3; ahead += 3)
        for (unsigned rationed = 0; rationed < 2; rationed++) {
            struct hop hops[2];
            struct tally honest[2];
            hop_init(&hops[0]);
            hop_init(&hops[1]);
            run(hops, 2, ahead, rationed, honest);
            print_message("# %s, slots %d min ahead: %u of %u honest new paths refused\n",
                          rationed ? "rationed" : "passed on", (int)ahead, honest[0].refused,
                          honest[0].sent);
            if (rationed)
                assert_int_equal(honest[0].refused, 0);
            else
                assert_true(honest[0].refused * 4 > honest[0].sent);
        }
}

/* Those that share a link with the flood lose in proportion, which is little. */
static void test_flood_over_several_honest_hops(void **state) {
    struct hop hops[3];
    struct tally honest[3];
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        hop_init(&hops[i]);
    run(hops, 3, 0, true, honest);
    print_message("# beside the flood %u of %u refused, behind it %u of %u\n", honest[0].refused,
                  honest[0].sent, honest[1].refused, honest[1].sent);
    assert_true(honest[0].refused * 20 < honest[0].sent); /* 5% */
    assert_int_equal(honest[1].refused, 0);
}

int main(void) {
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_and_rate),
        cmocka_unit_test(test_cost_is_by_life),
        cmocka_unit_test(test_smallest),
        cmocka_unit_test(test_flood_through_an_honest_neighbour),
        cmocka_unit_test(test_flood_over_several_honest_hops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
