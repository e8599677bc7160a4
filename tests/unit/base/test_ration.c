/* link: daemon/core/base/ration daemon/core/route/droplist */
/* New paths that one neighbour has us pass on: a flood of them by way of us fills nothing at the
 * next hop that honest ones need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/base/ration.h"
#include "daemon/core/route/droplist.h"
#include "tests/unit/harness.h"

#include <sodium.h>
#include <string.h>

#define SHARE ((size_t)1 << 17) /* of the default droplist.entries */
#define NEXT 9
#define MINUTES 12
#define FLOOD 1000 /* new paths a second */
#define STEP_US US_PER_MS

/* ---- Alone ---- */

static unsigned take_some(struct ration *ration, unsigned from, int64_t life, struct mono now,
                          unsigned tries) {
    unsigned n = 0;
    while (tries-- > 0)
        n += ration_take(ration, from, NEXT, life, &test_random, now);
    return n;
}
#define MANY (4 * SHARE)

static void test_burst_and_rate(void **state) {
    struct ration ration;
    struct mono now = {5};
    (void)state;
    ration_init(&ration);
    ration_configure(&ration, SHARE);
    unsigned all = SHARE / 8, part = SHARE / 16;
    assert_int_equal(take_some(&ration, 0, RATION_LIFE, now, part / 2), part / 2); /* at once */
    assert_in_range(take_some(&ration, 0, RATION_LIFE, now, MANY), (all - part) / 2,
                    all - part / 2);
    assert_int_equal(take_some(&ration, 1, RATION_LIFE, now, part / 2), part / 2);  /* its own */
    assert_true(ration_take(&ration, 0, NEXT + 1, RATION_LIFE, &test_random, now)); /* to another */
    assert_true(ration.refused > 0);
    unsigned n = 0;
    for (unsigned i = 0; i < 100000; i++, now.us += US_PER_MS)
        n += ration_take(&ration, 0, NEXT, RATION_LIFE, &test_random, now);
    unsigned rate = 100 * (SHARE / 16 * 9) / 240;          /* of a hundred seconds */
    assert_in_range(n, rate * 80 / 100, rate * 105 / 100); /* it was in debt before */
    now.us += US_PER_HOUR;
    assert_int_equal(take_some(&ration, 0, RATION_LIFE, now, part / 2), part / 2);
}

/* The next hop has SHARE for us, of which a quarter is for what we begin ourselves: whoever asks in
 * whatever order. */
static void test_all_together_have_three_quarters(void **state) {
    struct ration ration;
    struct mono now = {5};
    unsigned n = 0;
    (void)state;
    ration_init(&ration);
    ration_configure(&ration, SHARE);
    for (unsigned ms = 0; ms < RATION_LIFE * 60000; ms += 10, now.us += 10 * US_PER_MS)
        for (unsigned from = 0; from < 16; from++) /* one more every 12 s */
            if (ms >= from * 12000)
                n += take_some(&ration, from, RATION_LIFE, now, 40);
    assert_in_range(n, SHARE / 2, SHARE / 4 * 3);
}

/* What is remembered longer costs more. */
static void test_cost_is_by_life(void **state) {
    struct ration ration;
    static const unsigned lives[] = {1, 4, 7};
    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        ration_init(&ration);
        ration_configure(&ration, SHARE);
        unsigned n = 0, expected = SHARE / 16 * 4 / lives[k];
        while (ration_take(&ration, 0, NEXT, lives[k], &test_random, (struct mono){0}) && n < MANY)
            n++;
        assert_in_range(n, expected, expected * 3 / 2);
    }
}

/* ---- Beside each other ---- */

#define SECONDS 120
struct asking {
    double a_second; /* new paths */
    double refused;  /* of these, once all are known by what they ask for */
};

static void ask_for_some(struct asking *asking, unsigned n) {
    static struct ration ration;
    struct mono now = {5};
    double due[RATION_NEIGHBOURS] = {0};
    unsigned asked[RATION_NEIGHBOURS] = {0}, refused[RATION_NEIGHBOURS] = {0};

    ration_init(&ration);
    ration_configure(&ration, SHARE);
    for (unsigned ms = 0; ms < SECONDS * 1000; ms++, now.us += US_PER_MS)
        for (unsigned from = 0; from < n; from++)
            for (due[from] += asking[from].a_second / 1000; due[from] >= 1; due[from]--) {
                bool passes = ration_take(&ration, from, NEXT, RATION_LIFE, &test_random, now);
                asked[from] += ms >= SECONDS / 2 * 1000;
                refused[from] += ms >= SECONDS / 2 * 1000 && !passes;
            }
    for (unsigned from = 0; from < n; from++)
        asking[from].refused = (double)refused[from] / asked[from];
}

/* 29% of 10 a second were refused beside a flood of a thousand, 71% of 100 and 89% beside one of
 * four thousand. All there is are 307 a second, 273 of them as parts. */
static void test_a_flood_refuses_nobody_else(void **state) {
    static const double rates[] = {1, 4, 10, 20, 50, 100, 130}, floods[] = {300, 1000, 4000};
    (void)state;
    for (unsigned f = 0; f < 3; f++)
        for (unsigned k = 0; k < 7; k++) {
            struct asking asking[] = {{floods[f], 0}, {rates[k], 0}};
            ask_for_some(asking, 2);
            assert_true(asking[1].refused == 0);
        }
}

/* Max-min: who asks for little leaves the rest to the others, who have equal parts of it. */
static void test_the_unused_is_left_to_all(void **state) {
    (void)state;
    struct asking alone[] = {{300, 0}};
    ask_for_some(alone, 1);
    assert_true(alone[0].refused < 0.05);
    struct asking asking[] = {{2000, 0}, {1000, 0}, {5, 0}, {60, 0}, {5, 0}, {5, 0}, {80, 0}};
    ask_for_some(asking, 7);
    for (unsigned from = 2; from < 6; from++)
        assert_true(asking[from].refused == 0);
    assert_true(asking[6].refused < 0.25); /* (273 - 75) / 3 are 66 */
    double passed[2] = {2000 * (1 - asking[0].refused), 1000 * (1 - asking[1].refused)};
    assert_true(passed[0] > 60 && passed[1] > 60 && passed[0] < 1.5 * passed[1]);
}

/* Who comes for the first time beside a flood, and who comes back under another number each
 * second. */
static void test_comers_and_goers(void **state) {
    static struct ration ration;
    struct mono now = {5};
    unsigned passed = 0, refused = 0;
    (void)state;
    ration_init(&ration);
    ration_configure(&ration, SHARE);
    for (unsigned ms = 0; ms < 60000; ms++, now.us += US_PER_MS) {
        passed += ration_take(&ration, 0, NEXT, RATION_LIFE, &test_random, now);
        if (ms % 1000 == 0)
            ration_replace(&ration, 0); /* another node, and the link a new one */
    }
    assert_in_range(passed, 0, 60 * 307 + SHARE / 16 * 3);
    for (unsigned ms = 0; ms < 20000; ms++, now.us += US_PER_MS) {
        ration_take(&ration, 0, NEXT, RATION_LIFE, &test_random, now);
        if (ms % 10 == 0)
            refused += !ration_take(&ration, 1, NEXT, RATION_LIFE, &test_random, now);
    }
    assert_int_equal(refused, 0);
    assert_false(ration_take(&ration, 0, NEXT, RATION_LIFE, &test_random, now) &&
                 take_some(&ration, 0, RATION_LIFE, now, SHARE) > SHARE / 8);
    ration_replace(&ration, NEXT); /* another next hop has had nothing yet */
    assert_int_equal(take_some(&ration, 0, RATION_LIFE, now, SHARE / 32), SHARE / 32);
}

/* However small the list, and however many there are: some get through. */
static void test_smallest(void **state) {
    struct ration ration;
    (void)state;
    ration_init(&ration);
    for (size_t share = 0; share < 3; share++) {
        ration_configure(&ration, share);
        struct mono now = {(int64_t)(share + 1) * US_PER_HOUR};
        assert_int_equal(take_some(&ration, 0, RATION_LIFE, now, 100), 1);
        now.us += RATION_LIFE * US_PER_MINUTE;
        assert_int_equal(take_some(&ration, 0, RATION_LIFE, now, 100), 1);
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
    hop->list = droplist_new(8 * SHARE, &test_random);
    assert_non_null(hop->list);
    ration_init(&hop->ration);
    ration_configure(&hop->ration, droplist_share(8 * SHARE));
}

/* A packet of a new path over these hops, each of which it reaches from its neighbour `from`. */
static void send(struct hop *hops, const unsigned *from, size_t n, int64_t now_us, int64_t ahead,
                 bool rationed, struct tally *tally) {
    uint8_t eph[32], prk[ONION_PRK_LEN] = {0};
    int64_t minute = now_us / US_PER_MINUTE;

    test_bytes(eph, sizeof eph);
    tally->sent++;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *known;
        bool has_way,
            passes = droplist_find(hops[i].list, eph, from[i], &known, &has_way) == DROP_NONE;
        if (passes && rationed && i + 1 < n)
            passes = ration_take(&hops[i].ration, from[i], from[i + 1], ahead + RATION_LIFE,
                                 &test_random, (struct mono){now_us});
        struct droplist_packet packet = {
            .eph = eph, .minute = minute + ahead, .neighbour = from[i]};
        if (!passes || droplist_enter(hops[i].list, &packet, prk) != DROP_NONE) {
            tally->refused++;
            return;
        }
    }
}

/* From neighbour 1 of the first hop a flood, over all hops to the last; from neighbour 2 of each of
 * them honest paths. The k-th hop is the next one's neighbour 10 + k. */
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

/* First what the flood does to a next hop whose neighbour passes all on; then what it does where
 * that one rations. */
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

int main(int argc, char **argv) {
    if (!test_begin(argc, argv))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_and_rate),
        cmocka_unit_test(test_all_together_have_three_quarters),
        cmocka_unit_test(test_cost_is_by_life),
        cmocka_unit_test(test_a_flood_refuses_nobody_else),
        cmocka_unit_test(test_the_unused_is_left_to_all),
        cmocka_unit_test(test_comers_and_goers),
        cmocka_unit_test(test_smallest),
        cmocka_unit_test(test_flood_through_an_honest_neighbour),
        cmocka_unit_test(test_flood_over_several_honest_hops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
