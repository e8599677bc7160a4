/* link: daemon/io/system/state daemon/io/system/process daemon/io/system/state_file shared/text */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/system/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[64], folder[128], error[FAILURE_MAX];

static int setup(void **state) {
    (void)state;
    strcpy(root, "/tmp/p2pd-state-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    snprintf(folder, sizeof folder, "%s/state", root);
    error[0] = '\0';
    return 0;
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static const char *path_of(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *path, const void *bytes, size_t length, mode_t mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static size_t read_file(const char *path, char *bytes, size_t room) {
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, bytes, room);
    close(fd);
    assert_true(n >= 0);
    return (size_t)n;
}

static mode_t mode_of(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static struct state *open_state(void) {
    struct state *s = NULL;
    if (state_open(&s, folder, error) != 0)
        fail_msg("%s", error);
    return s;
}

static void test_folder_is_made(void **state) {
    (void)state;
    struct state *s = NULL;
    snprintf(folder, sizeof folder, "%s/a/b//c/", root);
    umask(0);
    assert_int_equal(state_open(&s, folder, error), 0);
    assert_int_equal(mode_of(folder), 0700);
    snprintf(folder, sizeof folder, "%s/a", root);
    assert_int_equal(mode_of(folder), 0700);
    state_close(s);
}

static void test_folder_is_checked(void **state) {
    (void)state;
    struct state *s = NULL;
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(chmod(folder, 0720), 0);
    assert_int_equal(state_open(&s, folder, error), -EPERM);
    assert_non_null(strstr(error, "chmod go-w"));
    assert_non_null(strstr(error, folder));
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(state_open(&s, folder, error), 0);
    state_close(s);
    char file[160];
    snprintf(file, sizeof file, "%s/file", folder);
    write_file(file, "", 0, 0600);
    assert_int_equal(state_open(&s, file, error), -ENOTDIR);
    assert_int_equal(state_open(&s, "", error), -ENAMETOOLONG);
    /* Root of a user namespace that holds one user alone cannot give anything away. */
    if (chown(folder, 12345, 0) == 0) {
        assert_int_equal(state_open(&s, folder, error), -EPERM);
        assert_non_null(strstr(error, "12345"));
    }
}

/* A second process is told who has the folder; when that one is gone, the lock is too. */
static void test_lock(void **state) {
    (void)state;
    struct state *s = open_state(), *second = NULL;
    pid_t child = fork();
    if (child == 0) {
        char mine[32];
        snprintf(mine, sizeof mine, "(pid %ld)", (long)getppid());
        _exit(state_open(&second, folder, error) == -EBUSY && strstr(error, mine) ? 42 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 42);
    state_close(s);
    s = open_state();
    state_close(s);
}

static void test_identity_is_made_once(void **state) {
    (void)state;
    struct state_secrets *first = state_secrets_new(), *second = state_secrets_new();
    bool created = false;
    struct state *s = open_state();
    assert_int_equal(state_identity(s, first, &created, error), 0);
    assert_true(created);
    assert_int_equal(mode_of(path_of("identity.key")), 0600);
    state_close(s);
    s = open_state();
    assert_int_equal(state_identity(s, second, &created, error), 0);
    assert_false(created);
    assert_memory_equal(first->node_seed, second->node_seed, KEY_LEN);
    assert_memory_equal(first->link_secret, second->link_secret, KEY_LEN);
    assert_memory_not_equal(first->node_seed, first->link_secret, KEY_LEN);
    assert_int_equal(access(path_of("new.tmp"), F_OK), -1);
    state_close(s);
    state_secrets_free(first);
    state_secrets_free(second);
}

static void test_identity_that_others_can_read(void **state) {
    (void)state;
    struct state_secrets *secrets = state_secrets_new();
    bool created;
    struct state *s = open_state();
    assert_int_equal(state_identity(s, secrets, &created, error), 0);
    static const mode_t modes[] = {0640, 0604, 0610, 0620};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(chmod(path_of("identity.key"), modes[i]), 0);
        assert_int_equal(state_identity(s, secrets, &created, error), -EPERM);
        assert_non_null(strstr(error, "chmod 600"));
    }
    assert_int_equal(chmod(path_of("identity.key"), 0400), 0);
    assert_int_equal(state_identity(s, secrets, &created, error), 0);
    state_close(s);
    state_secrets_free(secrets);
}

/* Every damage is refused, and the file stays as it was. */
static void test_damaged_identity(void **state) {
    (void)state;
    struct state_secrets *secrets = state_secrets_new();
    bool created;
    char good[600], bad[700], after[700];
    struct state *s = open_state();
    assert_int_equal(state_identity(s, secrets, &created, error), 0);
    size_t length = read_file(path_of("identity.key"), good, sizeof good);
    for (size_t cut = 0; cut < length; cut++) {
        write_file(path_of("identity.key"), good, cut, 0600);
        assert_int_equal(state_identity(s, secrets, &created, error), -EBADMSG);
        assert_int_equal(read_file(path_of("identity.key"), after, sizeof after), cut);
    }
    for (size_t i = 0; i < length; i++) {
        memcpy(bad, good, length);
        bad[i] = '~';
        write_file(path_of("identity.key"), bad, length, 0600);
        assert_int_equal(state_identity(s, secrets, &created, error), -EBADMSG);
    }
    memset(bad, '\n', sizeof bad);
    memcpy(bad, good, length);
    write_file(path_of("identity.key"), bad, length + 1, 0600);
    assert_int_equal(state_identity(s, secrets, &created, error), -EBADMSG);
    write_file(path_of("identity.key"), bad, sizeof bad, 0600);
    assert_int_equal(state_identity(s, secrets, &created, error), -EBADMSG);
    write_file(path_of("identity.key"), good, length, 0600);
    assert_int_equal(state_identity(s, secrets, &created, error), 0);
    state_close(s);
    state_secrets_free(secrets);
}

static void network_key(struct state *s, struct state_secrets *secrets, const char *name,
                        const char *secret, uint8_t *ret_key) {
    char path[160] = "";
    if (secret) {
        snprintf(path, sizeof path, "%s/secret", root);
        write_file(path, secret, strlen(secret), 0600);
    }
    if (state_network_key(s, secrets, name, path, error) != 0)
        fail_msg("%s", error);
    memcpy(ret_key, secrets->network_key, KEY_LEN);
}

/* Computed independently of state.c, from p2pd-protocol(7) KEYS. */
static void test_network_key_values(void **state) {
    (void)state;
    struct state_secrets *secrets = state_secrets_new();
    struct state *s = open_state();
    uint8_t key[KEY_LEN], expected[KEY_LEN], salt[16];
    bool created;
    assert_int_equal(state_identity(s, secrets, &created, error), 0);
    network_key(s, secrets, "p2pd", NULL, key);
    crypto_generichash(expected, KEY_LEN, (const uint8_t *)"p2pd open network\0\x04p2pd", 23, NULL,
                       0);
    assert_memory_equal(key, expected, KEY_LEN);
    crypto_generichash(salt, 16, (const uint8_t *)"p2pd network\0\x04home", 18, NULL, 0);
    assert_int_equal(crypto_pwhash(expected, KEY_LEN, "s3cret", 6, salt, 2, 67108864, 2), 0);
    network_key(s, secrets, "home", "s3cret\n", key);
    assert_memory_equal(key, expected, KEY_LEN);
    network_key(s, secrets, "home", "s3cret", key);
    assert_memory_equal(key, expected, KEY_LEN);
    network_key(s, secrets, "home", "s3cret\r\n", key);
    assert_memory_equal(key, expected, KEY_LEN);
    network_key(s, secrets, "home", "\xef\xbb\xbfs3cret\r\n", key);
    assert_memory_equal(key, expected, KEY_LEN);
    network_key(s, secrets, "home", "s3cret\n\n", key);
    assert_memory_not_equal(key, expected, KEY_LEN);
    network_key(s, secrets, "work", "s3cret", key);
    assert_memory_not_equal(key, expected, KEY_LEN);
    state_close(s);
    state_secrets_free(secrets);
}

/* The cache is used (a marked one shows through), belongs to its inputs, and is replaced when
 * damaged. */
static void test_network_key_cache(void **state) {
    (void)state;
    struct state_secrets *secrets = state_secrets_new();
    struct state *s = open_state();
    uint8_t key[KEY_LEN], again[KEY_LEN], marked[KEY_LEN] = {0xab};
    char text[600], hex[2 * KEY_LEN + 1];
    bool created;
    assert_int_equal(state_identity(s, secrets, &created, error), 0);
    network_key(s, secrets, "home", "one", key);
    assert_int_equal(mode_of(path_of("network.key")), 0600);
    size_t length = read_file(path_of("network.key"), text, sizeof text - 1);
    text[length] = '\0';
    sodium_bin2hex(hex, sizeof hex, key, KEY_LEN);
    char *at = strstr(text, hex);
    assert_non_null(at);
    memcpy(at, "ab", 2);
    memset(at + 2, '0', 2 * KEY_LEN - 2);
    write_file(path_of("network.key"), text, length, 0600);
    network_key(s, secrets, "home", "one", again);
    assert_memory_equal(again, marked, KEY_LEN);
    text[0] = 'q';
    write_file(path_of("network.key"), text, length, 0600);
    network_key(s, secrets, "home", "one", again);
    assert_memory_equal(again, key, KEY_LEN);
    network_key(s, secrets, "home", "two", again);
    assert_memory_not_equal(again, key, KEY_LEN);
    network_key(s, secrets, "home", "one", again);
    assert_memory_equal(again, key, KEY_LEN);
    state_close(s);
    state_secrets_free(secrets);
}

static void test_secret_files_refused(void **state) {
    (void)state;
    struct state_secrets *secrets = state_secrets_new();
    struct state *s = open_state();
    char path[160], bytes[NETWORK_SECRET_MAX + 2];
    bool created;
    snprintf(path, sizeof path, "%s/secret", root);
    assert_int_equal(state_identity(s, secrets, &created, error), 0);
    assert_int_equal(state_network_key(s, secrets, "n", path, error), -ENOENT);
    assert_non_null(strstr(error, path));
    write_file(path, "x", 1, 0640);
    assert_int_equal(state_network_key(s, secrets, "n", path, error), -EPERM);
    assert_non_null(strstr(error, "chmod 600"));
    write_file(path, "", 0, 0600);
    assert_int_equal(state_network_key(s, secrets, "n", path, error), -EINVAL);
    write_file(path, "\n", 1, 0600);
    assert_int_equal(state_network_key(s, secrets, "n", path, error), -EINVAL);
    assert_int_equal(state_network_key(s, secrets, "n", root, error), -EPERM);
    memset(bytes, 'x', sizeof bytes);
    write_file(path, bytes, NETWORK_SECRET_MAX + 1, 0600);
    assert_int_equal(state_network_key(s, secrets, "n", path, error), -EFBIG);
    write_file(path, bytes, NETWORK_SECRET_MAX + 2, 0600);
    assert_int_equal(state_network_key(s, secrets, "n", path, error), -EFBIG);
    write_file(path, bytes, NETWORK_SECRET_MAX, 0600);
    assert_int_equal(state_network_key(s, secrets, "n", path, error), 0);
    state_close(s);
    state_secrets_free(secrets);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_folder_is_made, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folder_is_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
        cmocka_unit_test_setup_teardown(test_identity_is_made_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_identity_that_others_can_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_network_key_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_network_key_cache, setup, teardown),
        cmocka_unit_test_setup_teardown(test_secret_files_refused, setup, teardown),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
