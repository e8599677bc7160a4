/* link: shared/address */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/address.h"

#include <errno.h>
#include <string.h>

static void expect(const char *text, const char *formatted) {
    struct address address;
    char out[ADDRESS_TEXT_MAX];
    assert_int_equal(address_parse(text, &address), 0);
    address_format(&address, true, out);
    assert_string_equal(out, formatted);
}

static void test_forms_that_are_taken(void **state) {
    (void)state;
    expect("1.2.3.4", "1.2.3.4");
    expect("1.2.3.4:1", "1.2.3.4:1");
    expect("udp://1.2.3.4:65535", "1.2.3.4:65535");
    expect("::1", "::1");
    expect("[::1]", "::1");
    expect("[2001:db8::1]:58008", "[2001:db8::1]:58008");
    expect("udp://[::]:5", "[::]:5");
    expect("::ffff:1.2.3.4", "1.2.3.4");
    expect("[::ffff:1.2.3.4]:9", "1.2.3.4:9");
}

static void test_forms_that_are_refused(void **state) {
    static const char *const bad[] = {
        "",           "1.2.3",        "1.2.3.4.5",        "256.1.1.1",
        "01.2.3.4",   "1.2.3.4:",     "1.2.3.4:0",        "1.2.3.4:65536",
        "1.2.3.4:+5", "1.2.3.4: 5",   "1.2.3.4:5x",       "1.2.3.4 ",
        " 1.2.3.4",   "1.2.3.4:05",   "1.2.3.4:100000",   "[::1",
        "[::1]x",     "[::1]:",       "[::1]:0",          "[1.2.3.4]:5",
        "::1]:5",     "fe80::1%eth0", "[fe80::1%eth0]:5", "localhost",
        "0x7f.1",     "udp://",       "tcp://1.2.3.4",    "1:2",
        ":::",        "[]:5"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct address address, before;
        memset(&address, 0x5a, sizeof address);
        before = address;
        assert_int_equal(address_parse(bad[i], &address), -EINVAL);
        assert_memory_equal(&address, &before, sizeof address);
    }
}

static void expect_problem(const char *text, const char *words) {
    struct address address;
    assert_int_equal(address_parse(text, &address), 0);
    const char *problem = address_problem(&address);
    if (!words) {
        assert_null(problem);
        return;
    }
    assert_non_null(problem);
    assert_non_null(strstr(problem, words));
}

static void test_where_no_node_can_be(void **state) {
    (void)state;
    expect_problem("0.0.0.0", "every address");
    expect_problem("::", "every address");
    expect_problem("::ffff:0.0.0.0", "every address");
    expect_problem("0.1.2.3", "no address");
    expect_problem("224.0.0.0", "multicast");
    expect_problem("239.255.255.255", "multicast");
    expect_problem("ff02::1", "multicast");
    expect_problem("255.255.255.255", "broadcast");
    expect_problem("fe80::1", "zone");
    expect_problem("[febf::1]:5", "zone");
    static const char *const fine[] = {"1.0.0.0",     "223.255.255.255", "240.0.0.1", "127.0.0.1",
                                       "169.254.1.1", "255.255.255.254", "::1",       "fd00::1",
                                       "fec0::1",     "2001:db8::1"};
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++)
        expect_problem(fine[i], NULL);
}

static void test_what_was_meant_is_explained(void **state) {
    static const char *const bad[][2] = {
        {"fe80::1%eth0", "zone"},      {"[fe80::1%eth0]:58008", "zone"}, {"10.0.0.0/8", "network"},
        {"2001:db8::/32", "network"},  {"[10.0.0.1]:58008", "brackets"}, {"010.0.0.1", "octal"},
        {"10.0.0.08:5", "octal"},      {"10.0.0.1:0", "port"},           {"10.0.0.1:058", "port"},
        {"udp://[::1]:65536", "port"}, {"example.org:0", "port"},        {"10.0.0.1:", "port"}};
    static const char *const unknown[] = {"", "example", "1:2:3", ":::", "[::1", "100%", "a/b"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct address address;
        assert_int_equal(address_parse(bad[i][0], &address), -EINVAL);
        assert_non_null(address_explain(bad[i][0]));
        assert_non_null(strstr(address_explain(bad[i][0]), bad[i][1]));
    }
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_null(address_explain(unknown[i]));
}

static void test_longest_text_fits(void **state) {
    struct address address = {.port = 65535};
    char text[ADDRESS_TEXT_MAX];
    (void)state;
    memset(address.ip, 0xff, sizeof address.ip);
    address_format(&address, true, text);
    assert_string_equal(text, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
    address_format(&address, false, text);
    assert_string_equal(text, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

static bool is_private(const char *text) {
    struct address address;
    assert_int_equal(address_parse(text, &address), 0);
    return address_is_private(&address);
}

static void test_private_ranges_end_where_they_do(void **state) {
    static const char *const in[] = {
        "10.0.0.0",       "10.255.255.255", "127.0.0.1",   "172.16.0.0",
        "172.31.255.255", "192.168.0.1",    "169.254.1.1", "::1",
        "fc00::",         "fdff::1",        "fe80::1",     "febf::1"};
    static const char *const out[] = {
        "9.255.255.255", "11.0.0.0",    "126.255.255.255", "128.0.0.0",   "172.15.255.255",
        "172.32.0.0",    "192.167.1.1", "192.169.0.0",     "169.253.1.1", "169.255.0.0",
        "::2",           "fbff::1",     "fe00::1",         "fec0::1",     "::"};
    (void)state;
    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++)
        assert_true(is_private(in[i]));
    for (size_t i = 0; i < sizeof out / sizeof out[0]; i++)
        assert_false(is_private(out[i]));
}

static uint64_t network(const char *text) {
    struct address address;
    assert_int_equal(address_parse(text, &address), 0);
    return address_network(&address);
}

static void test_networks(void **state) {
    (void)state;
    assert_true(network("1.2.3.4") == network("1.2.255.9:7"));
    assert_true(network("1.2.3.4") != network("1.3.3.4"));
    assert_true(network("2001:db8:1::1") == network("2001:db8:2::"));
    assert_true(network("2001:db8::1") != network("2001:db9::1"));
    assert_true(network("0.1.0.0") != network("0:1::"));
}

static void test_comparison_and_packing(void **state) {
    struct address a, b, c;
    uint8_t wire[ADDRESS_WIRE_LEN];
    (void)state;
    assert_int_equal(address_parse("1.2.3.4:258", &a), 0);
    assert_int_equal(address_parse("1.2.3.4:259", &b), 0);
    assert_true(address_is_same_ip(&a, &b));
    assert_false(address_is_equal(&a, &b));
    address_pack(&a, wire);
    assert_int_equal(wire[16], 1);
    assert_int_equal(wire[17], 2);
    address_unpack(wire, &c);
    assert_true(address_is_equal(&a, &c));
    assert_true(address_is_ipv4(&c));
}

static void test_unspecified(void **state) {
    struct address address;
    (void)state;
    assert_int_equal(address_parse("0.0.0.0:5", &address), 0);
    assert_true(address_is_unspecified(&address));
    assert_int_equal(address_parse("::", &address), 0);
    assert_true(address_is_unspecified(&address));
    assert_int_equal(address_parse("0.0.0.1", &address), 0);
    assert_false(address_is_unspecified(&address));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms_that_are_taken),
        cmocka_unit_test(test_forms_that_are_refused),
        cmocka_unit_test(test_where_no_node_can_be),
        cmocka_unit_test(test_what_was_meant_is_explained),
        cmocka_unit_test(test_longest_text_fits),
        cmocka_unit_test(test_private_ranges_end_where_they_do),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_comparison_and_packing),
        cmocka_unit_test(test_unspecified),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
