/* link: daemon/io/store/disk */
/* How full others may make a disk, and how full we. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/store/disk.h"

#include <errno.h>
#include <unistd.h>

#define M (UINT64_C(1) << 20)
#define G (UINT64_C(1) << 30)

static uint64_t room(uint64_t size, uint64_t free, uint64_t ours, bool is_of_others,
                     unsigned percent) {
    return disk_room(&(struct disk_space){size, free}, ours,
                     (struct disk_share){is_of_others, (uint8_t)percent});
}

static void least_that_stays_free(void **state) {
    (void)state;
    static const struct {
        uint64_t size, kept; /* by others; half of it by the user */
    } cases[] = {{40 * M, 40 * M / 16},
                 {16 * 64 * M - 16, 64 * M - 1},
                 {16 * 64 * M, 64 * M},
                 {100 * G, 64 * M},
                 {UINT64_MAX, 64 * M}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t size = cases[i].size, kept = cases[i].kept;
        assert_int_equal(room(size, kept + 1, 0, true, 0), 1);
        assert_int_equal(room(size, kept, 0, true, 0), 0);
        assert_int_equal(room(size, kept - 1, 0, true, 0), 0);
        assert_int_equal(room(size, kept, 0, false, 0), kept - kept / 2);
        assert_int_equal(room(size, kept / 2, 0, false, 0), 0);
        assert_int_equal(room(size, 0, 0, false, 0), 0);
    }
}

/* An empty disk: a fifth stays. What we hold already is no less room than what is free. */
static void a_share_of_the_disk(void **state) {
    (void)state;
    uint64_t fifth = 100 * G / 100 * 20;
    assert_int_equal(room(100 * G, 100 * G, 0, true, 20), 100 * G - fifth);
    assert_int_equal(room(100 * G, fifth + 1, 80 * G, true, 20), 1);
    assert_int_equal(room(100 * G, fifth, 80 * G, true, 20), 0);
    assert_int_equal(room(100 * G, fifth - 1, 80 * G, true, 20), 0);
    assert_int_equal(room(100 * G, 5 * G, 95 * G, true, 95), 0);
    /* The user himself is not held to it. */
    assert_int_equal(room(100 * G, fifth, 80 * G, false, 20), fifth - 32 * M);
}

/* Other things fill nine tenths: half of the rest may be used, whatever it is used for by now. */
static void a_disk_that_is_nearly_full(void **state) {
    (void)state;
    assert_int_equal(room(100 * G, 10 * G, 0, true, 20), 5 * G);
    assert_int_equal(room(100 * G, 6 * G, 4 * G, true, 20), G);
    assert_int_equal(room(100 * G, 5 * G, 5 * G, true, 20), 0);
    assert_int_equal(room(100 * G, 4 * G, 6 * G, true, 20), 0);
    /* At two fifths both rules say the same. */
    assert_int_equal(room(100 * G, 40 * G, 0, true, 20), 20 * G);
    /* The floor holds below. */
    assert_int_equal(room(100 * G, 100 * M, 0, true, 20), 36 * M);
    assert_int_equal(room(100 * G, 65 * M, 0, true, 20), M);
    assert_int_equal(room(500 * M, 50 * M, 0, true, 20), 50 * M - 500 * M / 16);
}

static void what_cannot_be(void **state) {
    (void)state;
    assert_int_equal(room(0, 0, 0, true, 20), UINT64_MAX); /* it does not say */
    assert_int_equal(room(100, UINT64_MAX, UINT64_MAX, true, 95), UINT64_MAX - 95);
    assert_int_equal(room(1, 1, 0, true, 20), 1);
}

static void the_disk_itself(void **state) {
    (void)state;
    struct disk_space space = {0, 1};
    assert_int_equal(disk_look("/", &space), 0);
    assert_true(space.size > 0 && space.free <= space.size);
    assert_int_equal(disk_look("/no/such/folder", &space), -ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(least_that_stays_free), cmocka_unit_test(a_share_of_the_disk),
        cmocka_unit_test(a_disk_that_is_nearly_full), cmocka_unit_test(what_cannot_be),
        cmocka_unit_test(the_disk_itself)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
