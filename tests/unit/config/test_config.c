/* link: daemon/config/config daemon/config/config_table daemon/config/config_value shared/address shared/text shared/paths shared/log */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/config/config.h"
#include "daemon/core/node/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct config *config;
static struct config_mistakes mistakes;
static char *const error = mistakes.v[0]; /* the first one */

static int setup(void **state) {
    (void)state;
    config = malloc(sizeof *config);
    config_init(config);
    error[0] = '\0';
    return config ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    free(config);
    return 0;
}

static int parse(const char *text) {
    config_init(config);
    mistakes.n = 0;
    return config_parse(config, "f", text, strlen(text), NULL, &mistakes);
}

static void assert_refused(const char *text, const char *message) {
    assert_int_equal(parse(text), -EINVAL);
    if (!strstr(error, message))
        fail_msg("expected '%s' in '%s'", message, error);
}

/* p2pd.conf(5) promises these. */
static void test_defaults(void **state) {
    (void)state;
    assert_string_equal(config->name, "");
    assert_int_equal(config->relay, 1);
    assert_string_equal(config->network_name, "p2pd");
    assert_string_equal(config->network_secret_file, "");
    assert_int_equal(config->pool_min, 4);
    assert_int_equal(config->pool_max, 16);
    assert_int_equal(config->pool_spare, 64);
    assert_int_equal(config->link_heartbeat_us, 10 * US_PER_S);
    assert_int_equal(config->link_timeout_us, 30 * US_PER_S);
    assert_int_equal(config->route_relays, 3);
    assert_int_equal(config->route_strict, 0);
    assert_int_equal(config->route_guards, 3);
    assert_int_equal(config->route_reuse, 1);
    assert_int_equal(config->relay_rate, 0);
    assert_int_equal(config->relay_month, 0);
    assert_int_equal(config->directory_max, 20000);
    assert_int_equal(config->memory_max, 64 << 20);
    assert_int_equal(config->delivery_expire_us, 7 * 24 * US_PER_HOUR);
    assert_int_equal(config->message_max, 16 << 20);
    assert_int_equal(config->droplist_entries, 1048576);
    assert_int_equal(config->retention_us, 7 * 24 * US_PER_HOUR);
    assert_int_equal(config->inbox_accept, INBOX_ALL);
    assert_int_equal(config->inbox_quota, INT64_C(1) << 30);
    assert_int_equal(config->inbox_max, INT64_C(8) << 30);
    assert_int_equal(config->files_accept, FILES_ALL);
    assert_int_equal(config->files_quota, INT64_C(16) << 30);
    assert_int_equal(config->files_max, INT64_C(64) << 30);
    assert_string_equal(config->files_directory, "");
    assert_int_equal(config->mailbox_size, 0);
    assert_int_equal(config->mailbox_use, 2);
    assert_int_equal(config->control_mode, 0600);
    assert_string_equal(config->control_group, "");
    assert_int_equal(config->log_level, TRACE_INFO);
}

/* Every default lies within its own range, and every field is as large as its type writes. */
static void test_table(void **state) {
    (void)state;
    for (size_t i = 0; i < config_n_keys; i++) {
        const struct config_key *key = &config_keys[i];
        assert_ptr_equal(config_find(key->section, key->name), key);
        if (key->initial)
            assert_int_equal(config_set(config, key, key->initial, error), 0);
        if (key->type == CONFIG_ADDRESSES)
            assert_int_equal(key->size, sizeof(struct config_addresses));
        else if (key->type == CONFIG_HOSTS)
            assert_int_equal(key->size, sizeof(struct config_hosts));
        else if (key->type == CONFIG_NAME || key->type == CONFIG_TEXT || key->type == CONFIG_PATH)
            assert_int_equal(key->size, key->max + 1);
        else
            assert_int_equal(key->size, sizeof(int64_t));
        assert_true(strlen(key->doc) > 0);
        if (key->type == CONFIG_CHOICE) { /* as many words as numbers */
            int64_t words = 1;
            for (const char *at = strstr(key->doc, ": "); *at; at++)
                words += *at == ',';
            assert_int_equal(words, key->max - key->min + 1);
        }
    }
    assert_null(config_find("node", "nam"));
    assert_null(config_find("pool", "name"));
}

static void test_file(void **state) {
    (void)state;
    assert_int_equal(parse("\xef\xbb\xbf# comment\r\n"
                           "  ; an indented comment\n"
                           "[node]\r\n"
                           "name = alice-1\t \r\n"
                           "relay=no\n"
                           "\n"
                           "[network]\n"
                           "name = my = net; work\n"
                           "listen = udp://10.0.0.1\n"
                           "listen = [2001:db8::1]:7\n"
                           "peer = seed.example.org:99\n"
                           "peer: 10.0.0.2\n"
                           "[limits]\n"
                           "memory = 128M\n"
                           "[link]\n"
                           "heartbeat = 90s\n"
                           "timeout = 5m\n"
                           "[control]\n"
                           "mode = 660\n"
                           "[log]\n"
                           "level = debug"),
                     0);
    assert_string_equal(config->name, "alice-1");
    assert_int_equal(config->relay, 0);
    assert_string_equal(config->network_name, "my = net; work");
    assert_int_equal(config->listen.n, 2);
    assert_int_equal(config->listen.v[0].port, ADDRESS_PORT_DEFAULT);
    assert_int_equal(config->listen.v[1].port, 7);
    assert_int_equal(config->peers.n, 2);
    assert_string_equal(config->peers.v[0], "seed.example.org:99");
    assert_int_equal(config->memory_max, 128 << 20);
    assert_int_equal(config->link_heartbeat_us, 90 * US_PER_S);
    assert_int_equal(config->link_timeout_us, 300 * US_PER_S);
    assert_int_equal(config->control_mode, 0660);
    assert_int_equal(config->log_level, TRACE_DEBUG);
}

static void test_errors_name_file_and_line(void **state) {
    (void)state;
    assert_refused("[node]\n\nnmae = x\n", "f:3: unknown key node.nmae");
    assert_refused("[node]\n[nodes]\n", "f:2: unknown section");
    assert_refused("\nname = x\n", "f:2: key name outside any section");
    assert_refused("[node]\nname\n", "f:2: neither");
    assert_refused("[node\nname = x\n", "f:1: a section's name ends");
    assert_refused("[node] name = x\n", "f:1: nothing may follow");
    assert_refused("[pool]\nmin = four\n", "f:2: pool.min: 'four' is not a number");
    assert_refused("[pool]\nmin = \n", "f:2: pool.min");
    assert_refused("[link]\ntimeout = 3x\n", "is not a time");
    assert_refused("[limits]\nmemory = 1T\n", "is not a size");
    assert_refused("[node]\nrelay = maybe\n", "is not yes or no");
    assert_refused("[control]\nmode = 0689\n", "in octal");
    assert_refused("[control]\nmode = 01000\n", "out of range");
    assert_refused("[log]\nlevel = loud\n", "is not error, warning");
    assert_refused("[network]\nlisten = example.org\n", "is no address");
    assert_refused("[network]\npeer = 10.0.0.300\n", "is no peer");
    assert_refused("[network]\npeer = host:0\n", "is no peer");
    assert_refused("[network]\npeer = host:65536\n", "is no peer");
    assert_refused("[network]\npeer = two words\n", "is no peer");
}

static void test_choices(void **state) {
    (void)state;
    assert_int_equal(parse("[inbox]\naccept = all\n[files]\naccept = none\n"), 0);
    assert_int_equal(config->inbox_accept, INBOX_ALL);
    assert_int_equal(config->files_accept, FILES_NONE);
    assert_int_equal(parse("[inbox]\naccept = known\n[files]\naccept = known\n"), 0);
    assert_int_equal(config->inbox_accept, INBOX_KNOWN);
    assert_int_equal(config->files_accept, FILES_KNOWN);
    assert_int_equal(parse("[inbox]\naccept = allowed\n[files]\naccept = all\n"), 0);
    assert_int_equal(config->inbox_accept, INBOX_ALLOWED);
    assert_int_equal(config->files_accept, FILES_ALL);
    assert_refused("[inbox]\naccept = some\n",
                   "f:2: inbox.accept: 'some' is not one of all, known, allowed");
    assert_refused("[inbox]\naccept = allow\n", "is not one of");
    assert_refused("[inbox]\naccept = all, known\n", "is not one of");
    assert_refused("[inbox]\naccept =\n", "is not one of");
    assert_refused("[files]\naccept = 1\n", "is not one of none, known, all");
}

static void test_every_mistake_is_told(void **state) {
    (void)state;
    assert_int_equal(parse("[node]\nname = x y\nrelay\n[nodes]\nname = ignored\n indented\n"
                           "[pool]\nmin = 0\nmax = 7\nmix = 1\n"),
                     -EINVAL);
    static const char *const want[] = {"f:2: node.name: ",     "f:3: neither",
                                       "f:4: unknown section", "f:6: indented",
                                       "f:8: pool.min: ",      "f:10: unknown key pool.mix"};
    assert_int_equal(mistakes.n, sizeof want / sizeof *want);
    for (size_t i = 0; i < mistakes.n; i++)
        assert_memory_equal(mistakes.v[i], want[i], strlen(want[i]));
    assert_int_equal(config->pool_max, 7);
}

static void test_mistakes_are_bounded(void **state) {
    (void)state;
    char text[4 * (CONFIG_MISTAKES_MAX + 1) + 1] = "";
    for (int i = 0; i < CONFIG_MISTAKES_MAX; i++)
        strcat(text, "x=1\n");
    assert_int_equal(parse(text), -EINVAL);
    assert_int_equal(mistakes.n, CONFIG_MISTAKES_MAX);
    strcat(text, "x=1\n");
    assert_int_equal(parse(text), -EINVAL);
    assert_int_equal(mistakes.n, CONFIG_MISTAKES_MAX);
    assert_memory_equal(mistakes.v[CONFIG_MISTAKES_MAX - 1], "f:20: ", 6);
}

/* What inih would cut, join or drop without a word. */
static void test_lines_that_inih_would_mangle(void **state) {
    (void)state;
    char text[512] = "[node]\nstate = /";
    size_t end = strlen("[node]\n") + 199;
    assert_refused("[node]\nname = a\n  b\n", "f:3: indented");
    assert_refused("[node]\n name = a\n", "f:2: indented");
    assert_refused("[node]\nname = a ;b\n", "f:2: a comment");
    assert_refused("[node]\nname = a\x01\n", "f:2: control character");
    assert_int_equal(config_parse(config, "f", "[node]\nname = a\0b\n", 18, NULL, &mistakes),
                     -EINVAL);
    assert_non_null(strstr(error, "f:2: control character"));
    memset(text + strlen(text), 'a', end - strlen(text));
    text[end] = '\0';
    assert_int_equal(parse(text), 0);
    assert_int_equal(strlen(config->state), 199 - strlen("state = "));
    text[end] = 'a';
    text[end + 1] = '\0';
    assert_refused(text, "f:2: longer than 199 bytes");
    memset(text, '#', 400);
    text[400] = '\0';
    assert_int_equal(parse(text), 0);
}

static void set_both(const char *section, const char *name, const char *good, const char *bad) {
    const struct config_key *key = config_find(section, name);
    assert_non_null(key);
    assert_int_equal(config_set(config, key, good, error), 0);
    assert_int_equal(config_set(config, key, bad, error), -EINVAL);
}

/* Each bound at its limit and one past it. */
static void test_bounds(void **state) {
    (void)state;
    set_both("pool", "min", "1", "0");
    set_both("pool", "max", "16", "17");
    set_both("pool", "spare", "240", "241");
    set_both("route", "relays", "5", "6");
    set_both("route", "relays", "0", "-1");
    set_both("route", "guards", "1", "0");
    set_both("link", "heartbeat", "100ms", "99ms");
    set_both("link", "timeout", "500ms", "499ms");
    set_both("limits", "memory", "4M", "4194303");
    set_both("limits", "memory", "64G", "65G");
    set_both("delivery", "max_message", "33488895", "33488896");
    set_both("delivery", "max_message", "1", "0");
    set_both("delivery", "expire", "365d", "366d");
    set_both("store", "retention", "0", "3651d");
    set_both("droplist", "entries", "1024", "1023");
    set_both("directory", "max", "2", "1");
    set_both("control", "mode", "0777", "1000");
    set_both("relay", "rate", "0", "9999999999999999999999");
    set_both("inbox", "quota", "1024G", "1025G");
    set_both("files", "quota", "0", "-1");
    set_both("mailbox", "size", "1024G", "1025G");
    set_both("mailbox", "use", "4", "5");
}

static void test_names(void **state) {
    (void)state;
    set_both("node", "name", "a", "");
    set_both("node", "name", "abcdefghijklmnopqrstuvwxyz_-.012",
             "abcdefghijklmnopqrstuvwxyz_-.0123");
    set_both("node", "name", "deadbee", "deadbeef");
    set_both("node", "name", "10.0.0", "10.0.0.1");
    set_both("node", "name", "x", "x y");
    set_both("node", "name", "x", "\xc3\xa4");
}

/* Anything else would make our own descriptor one that others refuse. */
static void test_advertised_addresses_are_whole(void **state) {
    (void)state;
    const struct config_key *advertise = config_find("network", "advertise");
    assert_int_equal(config_set(config, advertise, "0.0.0.0", error), -EINVAL);
    assert_int_equal(config_set(config, advertise, "[::]:7", error), -EINVAL);
    assert_int_equal(config_set(config, advertise, "192.0.2.1:0", error), -EINVAL);
    assert_int_equal(config->advertise.n, 0);
    assert_int_equal(config_set(config, advertise, "192.0.2.1", error), 0);
    assert_int_equal(config_set(config, advertise, "[2001:db8::1]:7", error), 0);
    assert_int_equal(config->advertise.v[0].port, ADDRESS_PORT_DEFAULT);
    assert_int_equal(config->advertise.v[1].port, 7);
}

static void test_number_of_addresses(void **state) {
    (void)state;
    const struct config_key *advertise = config_find("network", "advertise");
    for (int i = 0; i < 4; i++)
        assert_int_equal(config_set(config, advertise, "192.0.2.1", error), 0);
    assert_int_equal(config_set(config, advertise, "192.0.2.1", error), -EINVAL);
    assert_int_equal(config->advertise.n, 4);
    const struct config_key *peer = config_find("network", "peer");
    for (int i = 0; i < CONFIG_HOSTS_MAX; i++)
        assert_int_equal(config_set(config, peer, "h", error), 0);
    assert_int_equal(config_set(config, peer, "h", error), -EINVAL);
    assert_int_equal(config->peers.n, CONFIG_HOSTS_MAX);
}

/* A file with `text`, removed by the caller. */
static void source_with(struct config_source *source, const char *text) {
    memset(source, 0, sizeof *source);
    strcpy(source->folder, "/base");
    strcpy(source->file, "/tmp/p2pd-config-XXXXXX");
    int fd = mkstemp(source->file);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void override(struct config_source *source, const char *section, const char *name,
                     const char *value) {
    source->overrides[source->n_overrides++] =
        (struct config_override){config_find(section, name), value};
}

static void test_load(void **state) {
    (void)state;
    struct config_source source;
    static const char *const peers[] = {"10.0.0.9"};
    source_with(&source, "[network]\nlisten = 10.0.0.1\nlisten = 10.0.0.2\npeer = a\n"
                         "[node]\nstate = relative/state\nname = from-file\n");
    override(&source, "network", "listen", "127.0.0.1:5");
    override(&source, "network", "listen", "127.0.0.1:6");
    override(&source, "node", "name", "from-option");
    override(&source, "control", "socket", "s.sock");
    source.peers = peers;
    source.n_peers = 1;
    assert_int_equal(config_load(&source, config, &mistakes), 0);
    assert_int_equal(config->listen.n, 2);
    assert_int_equal(config->listen.v[0].port, 5);
    assert_int_equal(config->listen.v[1].port, 6);
    assert_false(config->listen_by_default);
    assert_string_equal(config->name, "from-option");
    assert_string_equal(config->state, "/base/relative/state");
    assert_string_equal(config->control_socket, "/base/s.sock");
    assert_string_equal(config->files_directory, "/base/relative/state/files");
    assert_int_equal(config->peers.n, 2);
    assert_string_equal(config->peers.v[0], "a");
    assert_string_equal(config->peers.v[1], "10.0.0.9");
    unlink(source.file);
    strcpy(config->name, "kept");
    assert_int_equal(config_load(&source, config, &mistakes), -ENOENT);
    assert_string_equal(config->name, "kept");
    source.file_may_be_missing = true;
    assert_int_equal(config_load(&source, config, &mistakes), 0);
}

static void expect_refused(const char *section, const char *name, const char *value,
                           const char *words) {
    char why[FAILURE_MAX] = "";
    assert_int_equal(config_set(config, config_find(section, name), value, why), -EINVAL);
    if (!strstr(why, words))
        print_error("%s.%s = %s: %s\n", section, name, value, why);
    assert_non_null(strstr(why, words));
}

static void test_where_no_peer_can_be(void **state) {
    static const char *const bad[][2] = {{"0.0.0.0", "every address"},
                                         {"[::]:58008", "every address"},
                                         {"::ffff:0.0.0.0", "every"},
                                         {"224.0.0.1", "multicast"},
                                         {"ff02::1", "multicast"},
                                         {"255.255.255.255", "broadcast"},
                                         {"fe80::1", "zone"},
                                         {"[fe80::1%eth0]:58008", "zone"},
                                         {"10.0.0.1:0", "port"},
                                         {"node.example.org:0", "port"},
                                         {"10.0.0.1:65536", "port"},
                                         {"10.0.0.0/24", "network"},
                                         {"[10.0.0.1]:5", "brackets"},
                                         {"010.0.0.1", "octal"},
                                         {"10.1", "no peer"},
                                         {"127", "no peer"},
                                         {"0x7f.0x1", "no peer"},
                                         {"0x7f000001", "no peer"},
                                         {"example.0x10", "no peer"},
                                         {"1.2.3.4.", "no peer"},
                                         {"example.5", "no peer"},
                                         {".", "no peer"},
                                         {"tcp://10.0.0.1", "no peer"},
                                         {"10.0.0.1 10.0.0.2", "no peer"},
                                         {"10.0.0.1, 10.0.0.2", "no peer"}};
    static const char *const fine[] = {"10.0.0.1",          "[2001:db8::1]:5", "fd00::1",
                                       "node.example.org.", "0xbeef.example",  "x1",
                                       "169.254.7.7",       "::ffff:10.0.0.1", "127.0.0.1:1"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_refused("network", "peer", bad[i][0], bad[i][1]);
    assert_int_equal(config->peers.n, 0);
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++)
        assert_int_equal(
            config_set(config, config_find("network", "peer"), fine[i], (char[FAILURE_MAX]){0}), 0);
    expect_refused("network", "advertise", "ff02::1", "multicast");
    expect_refused("network", "advertise", "fe80::1", "zone");
    expect_refused("network", "advertise", "0.0.0.0", "every address");
}

static void test_addresses_to_listen_on(void **state) {
    const struct config_key *listen = config_find("network", "listen");
    char why[FAILURE_MAX];
    (void)state;
    expect_refused("network", "listen", "fe80::1", "zone");
    expect_refused("network", "listen", "239.1.1.1:5", "multicast");
    assert_int_equal(config_set(config, listen, "127.0.0.1", why), 0);
    expect_refused("network", "listen", "127.0.0.1:58008", "already");
    expect_refused("network", "listen", "0.0.0.0:58008", "already");
    assert_int_equal(config_set(config, listen, "0.0.0.0:58009", why), 0);
    assert_int_equal(config_set(config, listen, "[::]:58008", why), 0); /* IPv6 alone */
    assert_int_equal(config_set(config, listen, "127.0.0.1:58010", why), 0);
}

/* An option's value as the file's. */
static void test_blanks_around_values(void **state) {
    char why[FAILURE_MAX];
    (void)state;
    assert_int_equal(config_set(config, config_find("network", "peer"), " 10.0.0.1:5\r\n", why), 0);
    assert_string_equal(config->peers.v[0], "10.0.0.1:5");
    assert_int_equal(config_set(config, config_find("pool", "max"), "\t5 ", why), 0);
    assert_int_equal(config->pool_max, 5);
    assert_int_equal(config_set(config, config_find("node", "name"), "alice\r", why), 0);
    assert_string_equal(config->name, "alice");
    assert_int_equal(config_set(config, config_find("node", "name"), "ali ce", why), -EINVAL);
    assert_int_equal(config_set(config, config_find("node", "name"), " ", why), -EINVAL);
}

static void test_lines_are_kept(void **state) {
    (void)state;
    struct config_source source;
    source_with(&source, "\xef\xbb\xbf[node]\r\nname = a\r\n\r\n[control]\r\ngroup = ops");
    override(&source, "node", "state", "/s");
    override(&source, "control", "socket", "/c");
    assert_int_equal(config_load(&source, config, &mistakes), 0);
    assert_string_equal(config->control_group, "ops");
    assert_int_equal(config->control_mode, 0660); /* a default that yields to the group */
    char where[2 * CONFIG_PATH_MAX];
    config_blame(&source, config, "control", "group", "why", &mistakes);
    snprintf(where, sizeof where, "%s:5: control.group: why", source.file);
    assert_string_equal(error, where);
    override(&source, "control", "group", "staff");
    override(&source, "control", "mode", "0600");
    assert_int_equal(config_load(&source, config, &mistakes), 0);
    assert_int_equal(config->control_mode, 0600);
    config_blame(&source, config, "control", "group", "why", &mistakes);
    assert_string_equal(error, "control.group: why");
    unlink(source.file);
}

static void test_folder_of_files(void **state) {
    (void)state;
    struct config_source source = {.folder = "/base"};
    char long_state[CONFIG_PATH_MAX] = "/";
    override(&source, "control", "socket", "/c");
    override(&source, "files", "directory", "incoming");
    override(&source, "node", "state", long_state);
    assert_int_equal(config_load(&source, config, &mistakes), 0);
    assert_string_equal(config->files_directory, "/base/incoming");
    source.overrides[1].value = "/srv/files";
    assert_int_equal(config_load(&source, config, &mistakes), 0);
    assert_string_equal(config->files_directory, "/srv/files");
    /* STATE/files has to fit as the state does. */
    source.overrides[1] = (struct config_override){config_find("node", "state"), long_state};
    source.n_overrides = 2;
    memset(long_state + 1, 's', CONFIG_PATH_MAX - sizeof "/files" - 1);
    assert_int_equal(config_load(&source, config, &mistakes), 0);
    assert_int_equal(strlen(config->files_directory), CONFIG_PATH_MAX - 1);
    strcat(long_state, "s");
    assert_int_equal(config_load(&source, config, &mistakes), -EINVAL);
    assert_non_null(strstr(error, "files.directory: must be set"));
}

static void test_all_sources_tell_their_mistakes(void **state) {
    (void)state;
    struct config_source source;
    source_with(&source, "[node]\nname = x y\n");
    override(&source, "pool", "max", "17");
    override(&source, "inbox", "accept", "nobody");
    assert_int_equal(config_load(&source, config, &mistakes), -EINVAL);
    assert_int_equal(mistakes.n, 3);
    assert_non_null(strstr(mistakes.v[0], ":2: node.name"));
    assert_non_null(strstr(mistakes.v[1], "pool.max"));
    assert_non_null(strstr(mistakes.v[2], "inbox.accept"));
    unlink(source.file);
}

static void test_listen_defaults(void **state) {
    (void)state;
    struct config_source source = {.folder = "/base"};
    char text[ADDRESS_TEXT_MAX];
    override(&source, "node", "state", "/s");
    override(&source, "control", "socket", "/c");
    assert_int_equal(config_load(&source, config, &mistakes), 0);
    assert_true(config->listen_by_default);
    assert_int_equal(config->listen.n, 2);
    address_format(&config->listen.v[0], true, text);
    assert_string_equal(text, "0.0.0.0:58008");
    address_format(&config->listen.v[1], true, text);
    assert_string_equal(text, "[::]:58008");
}

static void test_relations(void **state) {
    (void)state;
    struct config_source source;
    char where[2 * CONFIG_PATH_MAX];
    source_with(&source, "[pool]\nmin = 5\n\nmax = 4\n");
    assert_int_equal(config_load(&source, config, &mistakes), -EINVAL);
    snprintf(where, sizeof where, "%s:4: pool.min (5) is greater than pool.max (4)", source.file);
    assert_string_equal(error, where);
    override(&source, "pool", "max", "5");
    override(&source, "node", "state", "/s");
    override(&source, "control", "socket", "/c");
    assert_int_equal(config_load(&source, config, &mistakes), 0);
    assert_int_equal(config->pool_min, config->pool_max);
    override(&source, "link", "timeout", "10s");
    override(&source, "link", "heartbeat", "10s");
    assert_int_equal(config_load(&source, config, &mistakes), -EINVAL);
    assert_string_equal(error, "link.heartbeat (10s) is not less than link.timeout (10s)");
    source.overrides[source.n_overrides - 1].value = "9999ms";
    assert_int_equal(config_load(&source, config, &mistakes), 0);
    unlink(source.file);
}

/* One of a pair alone: the other one's default gives way. */
static void test_defaults_yield(void **state) {
    (void)state;
    struct config_source source = {.folder = "/base"};
    override(&source, "node", "state", "/s");
    override(&source, "control", "socket", "/c");
    override(&source, "pool", "max", "2");
    override(&source, "link", "timeout", "3s");
    assert_int_equal(config_load(&source, config, &mistakes), 0);
    assert_int_equal(config->pool_min, 2);
    assert_int_equal(config->link_heartbeat_us, US_PER_S);
    source.overrides[3] = (struct config_override){config_find("link", "heartbeat"), "1m"};
    assert_int_equal(config_load(&source, config, &mistakes), 0);
    assert_int_equal(config->link_timeout_us, 180 * US_PER_S);
}

static void load(struct config_source *source) {
    if (config_load(source, config, &mistakes) < 0)
        fail_msg("%s", mistakes.v[0]);
}

/* Who has said nothing is in the network of all who have said nothing: strangers may cost it
 * little. A name of its own keeps out who does not know it, a secret whoever has it not. */
static void test_defaults_follow_the_network(void **state) {
    (void)state;
    static const struct {
        const char *section, *name, *value;
        int accept;
        int64_t rate, inbox_free, files_free;
        bool open;
    } cases[] = {
        {"node", "state", "/s", FILES_KNOWN, 1 << 20, 20, 20, true},
        {"network", "name", "p2pd", FILES_KNOWN, 1 << 20, 20, 20, true},
        {"network", "name", "ours", FILES_ALL, 0, 20, 20, true},
        {"network", "secret_file", "/k", FILES_ALL, 0, 0, 0, false},
        {"files", "accept", "all", FILES_ALL, 1 << 20, 20, 20, true},
        {"files", "accept", "none", FILES_NONE, 1 << 20, 20, 20, true},
        {"relay", "rate", "0", FILES_KNOWN, 0, 20, 20, true},
        {"relay", "rate", "5", FILES_KNOWN, 5, 20, 20, true},
        {"inbox", "max", "8G", FILES_KNOWN, 1 << 20, 0, 20, true},
        {"files", "max", "0", FILES_KNOWN, 1 << 20, 20, 0, true},
        {"limits", "disk_free", "95", FILES_KNOWN, 1 << 20, 95, 95, true},
        {"limits", "disk_free", "0", FILES_KNOWN, 1 << 20, 0, 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config_source source = {.folder = "/base"};
        override(&source, "node", "state", "/s");
        override(&source, "control", "socket", "/c");
        override(&source, cases[i].section, cases[i].name, cases[i].value);
        load(&source);
        assert_int_equal(config->files_accept, cases[i].accept);
        assert_int_equal(config->relay_rate, cases[i].rate);
        assert_int_equal(config->inbox_free, cases[i].inbox_free);
        assert_int_equal(config->files_free, cases[i].files_free);
        assert_int_equal(config->network_is_open, cases[i].open);
    }
}

/* A share that is asked for holds beside a maximum that is. */
static void test_a_share_and_a_maximum(void **state) {
    (void)state;
    struct config_source source = {.folder = "/base"};
    override(&source, "node", "state", "/s");
    override(&source, "control", "socket", "/c");
    override(&source, "inbox", "max", "1G");
    override(&source, "limits", "disk_free", "10");
    load(&source);
    assert_int_equal(config->inbox_free, 10);
    assert_int_equal(config->files_free, 10);
}

static void ignore_key(void *context, const struct config_key *key) {
    (void)context, (void)key;
}

/* A secret that is entered while the daemon runs closes nothing before its next start. */
static void test_reload_goes_by_the_network_that_runs(void **state) {
    (void)state;
    struct config *running = malloc(sizeof *running);
    struct config_source source = {.folder = "/base"};
    override(&source, "node", "state", "/s");
    override(&source, "control", "socket", "/c");
    load(&source);
    *running = *config;
    override(&source, "network", "secret_file", "/k");
    load(&source);
    assert_int_equal(config->files_accept, FILES_ALL);
    config_keep_fixed(config, running, ignore_key, NULL);
    assert_int_equal(config->files_accept, FILES_KNOWN);
    assert_int_equal(config->relay_rate, 1 << 20);
    assert_true(config->network_is_open);
    override(&source, "files", "accept", "all");
    load(&source);
    config_keep_fixed(config, running, ignore_key, NULL);
    assert_int_equal(config->files_accept, FILES_ALL);
    free(running);
}

/* What --dump prints, read back, is the same configuration to the last byte. */
static void test_dump_reads_back(void **state) {
    (void)state;
    struct config *again = malloc(sizeof *again);
    char *text = NULL;
    size_t length = 0;
    assert_int_equal(
        parse("[node]\nname = bob\nstate = /s\nrelay = off\n[network]\npeer = a:1\npeer = b\n"
              "listen = [::1]:3\nadvertise = 192.0.2.1:4\nsecret_file = /secret\n"
              "[link]\ntimeout = 1500ms\n[limits]\nmemory = 5000001\n[relay]\nrate = 3K\n"
              "[store]\nretention = 0\n[control]\ngroup = adm\n[log]\nlevel = error\n"
              "[inbox]\naccept = allowed\nquota = 3M\n[files]\ndirectory = /f\naccept = known\n"),
        0);
    FILE *out = open_memstream(&text, &length);
    assert_int_equal(config_dump(config, out), 0);
    fclose(out);
    assert_non_null(strstr(text, "secret_file = /secret\n"));
    config_init(again);
    assert_int_equal(config_parse(again, "dump", text, length, NULL, &mistakes), 0);
    again->asked = config->asked; /* all are, by the dump */
    assert_memory_equal(again, config, sizeof *config);
    free(text);
    free(again);
}

static void count_key(void *context, const struct config_key *key) {
    int *count = context;
    (*count)++;
    assert_false(key->reloadable);
}

static void test_reload_keeps_what_is_fixed(void **state) {
    (void)state;
    struct config *fresh = malloc(sizeof *fresh);
    int count = 0;
    config_init(fresh);
    const struct config_key *name = config_find("node", "name"),
                            *rate = config_find("relay", "rate");
    assert_int_equal(config_set(config, name, "a-much-longer-name", error), 0);
    assert_int_equal(config_set(config, name, "old", error), 0);
    assert_int_equal(config_set(fresh, name, "old", error), 0);
    config_keep_fixed(fresh, config, count_key, &count);
    assert_int_equal(count, 0);
    assert_int_equal(config_set(fresh, name, "new", error), 0);
    assert_int_equal(config_set(fresh, rate, "2M", error), 0);
    fresh->asked.relay_rate = true;
    config_keep_fixed(fresh, config, count_key, &count);
    assert_int_equal(count, 1);
    assert_string_equal(fresh->name, "old");
    assert_int_equal(fresh->relay_rate, 2 << 20);
    free(fresh);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_defaults_follow_the_network, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_share_and_a_maximum, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reload_goes_by_the_network_that_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors_name_file_and_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_choices, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_mistake_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mistakes_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines_that_inih_would_mangle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_advertised_addresses_are_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_number_of_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_load, setup, teardown),
        cmocka_unit_test_setup_teardown(test_where_no_peer_can_be, setup, teardown),
        cmocka_unit_test_setup_teardown(test_addresses_to_listen_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_blanks_around_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folder_of_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_sources_tell_their_mistakes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_listen_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_relations, setup, teardown),
        cmocka_unit_test_setup_teardown(test_defaults_yield, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dump_reads_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reload_keeps_what_is_fixed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
