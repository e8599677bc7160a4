/* link: daemon/io/system/memory_lock */
/* Keys that could not be locked are seen, and locked ones are not taken for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/system/memory_lock.h"

#include <sodium.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void test_locked_and_not(void **state) {
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* its mlock() does nothing, and says that it did */
#endif
    unsigned char *locked = sodium_malloc(100);
    if (!locked || sodium_mlock(locked, 100) != 0)
        skip(); /* nothing may be locked here */
    assert_false(memory_lock_is_missing());

    /* Without the right to lock what the limit forbids: root's is given up. */
    setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){0, 0});
    if (getuid() == 0 && setuid(65534) != 0)
        skip();
    unsigned char *bare = sodium_malloc(100);
    memset(bare, 1, 100);
    assert_true(memory_lock_is_missing());
    sodium_free(bare);
    sodium_free(locked);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_locked_and_not)};
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
