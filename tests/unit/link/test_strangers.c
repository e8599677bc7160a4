/* link: daemon/core/link/strangers shared/address */
/* Who knocks without being of this network: counted by source, in a table that no flood
 * enlarges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/link/strangers.h"

static struct address source(unsigned number, uint16_t port) {
    struct address address = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10}, .port = port};
    address.ip[14] = (uint8_t)(number >> 8);
    address.ip[15] = (uint8_t)number;
    return address;
}
static struct mono at(int64_t s) {
    return (struct mono){s * US_PER_S};
}
static bool note(struct strangers *strangers, unsigned number, uint16_t port, int64_t s) {
    struct address from = source(number, port);
    return strangers_note(strangers, &from, at(s));
}

static void test_counted_by_source(void **state) {
    struct strangers strangers = {.evicted = 0};
    struct stranger v[3];
    (void)state;
    assert_int_equal(strangers_recent(&strangers, at(1), v, 3), 0);
    note(&strangers, 1, 7, 1);
    note(&strangers, 2, 7, 2);
    note(&strangers, 2, 8, 3); /* another port of it */
    note(&strangers, 3, 7, 3);
    assert_int_equal(strangers_recent(&strangers, at(4), v, 3), 3);
    assert_int_equal(v[0].n, 2);
    assert_int_equal(v[0].address.port, 8);
    assert_int_equal(v[0].first.us, at(2).us);
    assert_int_equal(v[0].last.us, at(3).us);
    assert_int_equal(v[1].n, 1);
    note(&strangers, 3, 7, 3);
    note(&strangers, 3, 7, 3);
    assert_int_equal(strangers_recent(&strangers, at(4), v, 1), 3); /* the busiest */
    assert_int_equal(v[0].n, 3);
    assert_int_equal(v[0].address.ip[15], 3);
}

static void test_long_ago_is_over(void **state) {
    struct strangers strangers = {.evicted = 0};
    struct stranger v[3];
    (void)state;
    note(&strangers, 1, 7, 1);
    assert_int_equal(strangers_recent(&strangers, at(600), v, 3), 1);
    assert_int_equal(strangers_recent(&strangers, at(601), v, 3), 0);
    note(&strangers, 1, 7, 700); /* counted anew */
    assert_int_equal(strangers_recent(&strangers, at(700), v, 3), 1);
    assert_int_equal(v[0].n, 1);
    assert_int_equal(v[0].first.us, at(700).us);
}

static void test_a_flood_has_so_many_places(void **state) {
    struct strangers strangers = {.evicted = 0};
    struct stranger v[STRANGERS_MAX];
    (void)state;
    for (unsigned i = 0; i < STRANGERS_MAX; i++)
        note(&strangers, i, 7, 1);
    assert_int_equal(strangers.evicted, 0);
    for (unsigned i = 0; i < 1000; i++) {
        note(&strangers, 5, 7, 2 + i); /* whoever goes on is heard */
        note(&strangers, 1000 + i, 7, 2 + i);
    }
    assert_int_equal(strangers.evicted, 1000);
    assert_int_equal(strangers_recent(&strangers, at(601), v, STRANGERS_MAX), STRANGERS_MAX);
    assert_int_equal(v[0].address.ip[15], 5);
    assert_int_equal(v[0].n, 1001);
}

static void test_the_log_is_told_once_in_a_while(void **state) {
    struct strangers strangers = {.evicted = 0};
    unsigned lines = 0;
    (void)state;
    for (int64_t s = 0; s < 3600; s++)
        for (unsigned i = 0; i < 20; i++)
            lines += note(&strangers, i, 7, s);
    assert_int_equal(lines, 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counted_by_source),
        cmocka_unit_test(test_long_ago_is_over),
        cmocka_unit_test(test_a_flood_has_so_many_places),
        cmocka_unit_test(test_the_log_is_told_once_in_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
