/* link: daemon/io/system/process */
/* What the systems have in common: the folder of a file without links on the way, and memory that
 * no dump shows. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/system/process.h"
#include "shared/portable.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static void test_no_dumps(void **state) {
    char error[FAILURE_MAX];
    struct rlimit limit;
    (void)state;
    assert_int_equal(process_prepare(error), 0);
    assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
    assert_true(limit.rlim_cur == 0 && limit.rlim_max == 0);
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
    assert_int_equal(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0); /* nor through a pipe */
#endif
}

static int parent_of(const char *folder, const char *rest, const char **ret_name) {
    static char path[512];
    snprintf(path, sizeof path, "%.300s%s", folder, rest);
    return portable_open_parent(path, ret_name);
}

static void test_parent_without_links(void **state) {
    char made[] = "/tmp/p2pd-test-XXXXXX", away[400], inside[400], searched[420];
    const char *name = NULL;
    struct stat status, of;
    (void)state;
    assert_non_null(mkdtemp(made));
    char *folder = realpath(made, NULL);
    assert_non_null(folder);
    snprintf(inside, sizeof inside, "%.300s/in", folder);
    snprintf(away, sizeof away, "%.300s/away", folder);
    snprintf(searched, sizeof searched, "%.300s/in/x", folder);
    assert_int_equal(mkdir(inside, 0700), 0);
    assert_int_equal(mkdir(searched, 0700), 0);
    assert_int_equal(chmod(inside, 0100), 0); /* may be passed through, not listed */
    int fd = parent_of(folder, "//in/x/f", &name);
    assert_true(fd >= 0);
    assert_string_equal(name, "f");
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(stat(searched, &of), 0);
    assert_true(status.st_ino == of.st_ino);
    close(fd);
    assert_int_equal(parent_of(folder, "/none/f", &name), -ENOENT);
    assert_int_equal(portable_open_parent("in/f", &name), -EINVAL);
    assert_int_equal(chmod(inside, 0700), 0);
    assert_int_equal(rename(inside, away), 0);
    assert_int_equal(symlink("away", inside), 0);
    assert_int_equal(parent_of(folder, "/in/f", &name), -ENOTDIR);   /* the last folder */
    assert_int_equal(parent_of(folder, "/in/x/f", &name), -ENOTDIR); /* and one before */
    fd = parent_of(folder, "/in", &name); /* a link may be the file itself */
    assert_true(fd >= 0);
    assert_string_equal(name, "in");
    close(fd);
    unlink(inside);
    snprintf(searched, sizeof searched, "%s/x", away);
    rmdir(searched);
    rmdir(away);
    rmdir(folder);
    free(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parent_without_links),
        cmocka_unit_test(test_no_dumps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
