/* link: shared/message_id */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/message_id.h"

#include <string.h>
#include <time.h>

static uint64_t time_of(const uint8_t id[MESSAGE_ID_BYTES]) {
    uint64_t ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id[i];
    return ms;
}

static void test_begins_with_the_time(void **state) {
    (void)state;
    uint8_t id[MESSAGE_ID_BYTES];
    uint64_t before = (uint64_t)time(NULL) * 1000;
    message_id_make(id);
    assert_in_range(time_of(id), before, before + 60000);
}

static void test_differ(void **state) {
    (void)state;
    uint8_t ids[256][MESSAGE_ID_BYTES];
    for (int i = 0; i < 256; i++) {
        message_id_make(ids[i]);
        for (int j = 0; j < i; j++)
            assert_memory_not_equal(ids[i] + 6, ids[j] + 6, MESSAGE_ID_BYTES - 6);
    }
}

static void test_next_stands_behind(void **state) {
    (void)state;
    uint8_t id[MESSAGE_ID_BYTES] = {1, 2, 3, 4, 5, 6, 7, [14] = 0xff, [15] = 0xff}, before[16];
    memcpy(before, id, sizeof id);
    message_id_next(id);
    assert_true(memcmp(id, before, sizeof id) > 0);
    assert_int_equal(id[13], 1);
    assert_int_equal(id[14] | id[15], 0);
}

/* The last one of a millisecond is followed by the first, not by one of another time. */
static void test_next_keeps_the_time(void **state) {
    (void)state;
    uint8_t id[MESSAGE_ID_BYTES], zeros[10] = {0};
    memset(id, 0xff, sizeof id);
    id[5] = 7;
    message_id_next(id);
    assert_int_equal(id[5], 7);
    assert_memory_equal(id + 6, zeros, sizeof zeros);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begins_with_the_time),
        cmocka_unit_test(test_differ),
        cmocka_unit_test(test_next_stands_behind),
        cmocka_unit_test(test_next_keeps_the_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
