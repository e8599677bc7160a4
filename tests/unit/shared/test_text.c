/* link: shared/text */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/text.h"

#include <errno.h>
#include <string.h>

#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1

static void expect_escape(const uint8_t *bytes, size_t length, const char *plain,
                          const char *json) {
    char out[256];
    size_t used, n = text_escape(bytes, length, out, sizeof out, &used);
    assert_int_equal(used, length);
    assert_int_equal(n, strlen(plain));
    assert_memory_equal(out, plain, n);
    n = text_escape_json(bytes, length, out, sizeof out, &used);
    assert_int_equal(used, length);
    assert_int_equal(n, strlen(json));
    assert_memory_equal(out, json, n);
}

static void test_escapes(void **state) {
    (void)state;
    expect_escape(BYTES("plain text ~"), "plain text ~", "plain text ~");
    expect_escape(BYTES("a\nb\\c\"d"), "a\\nb\\\\c\"d", "a\\u000ab\\\\c\\\"d");
    expect_escape(BYTES("\x1b[2J\t\r\0\x7f"), "\\x1b[2J\\x09\\x0d\\x00\\x7f",
                  "\\u001b[2J\\u0009\\u000d\\u0000\\u007f");
    expect_escape(BYTES("\xc2\x9b\x31m"), "\\xc2\\x9b1m", "\\u009b1m");
    expect_escape(BYTES("\xc2\xa0"), "\xc2\xa0", "\xc2\xa0");
    expect_escape(BYTES("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
                  "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    expect_escape(BYTES("\x9b\x31m\xff"), "\\x9b1m\\xff", "\xef\xbf\xbd\x31m\xef\xbf\xbd");
    expect_escape(BYTES("\xe2\x82"), "\\xe2\\x82", "\xef\xbf\xbd\xef\xbf\xbd");
}

/* What turns the direction of writing round, ends lines or cannot be seen is spelt out, and nothing
 * beside it; in JSON it stays the same text to whoever reads that. */
static void test_hidden_characters(void **state) {
    static const struct {
        const char *bytes, *plain, *json;
    } cases[] = {
        {"\xe2\x80\xae"
         "001",
         "\\xe2\\x80\\xae001", "\\u202e001"},
        {"a\xe2\x80\xa8"
         "b\xe2\x80\xa9",
         "a\\xe2\\x80\\xa8b\\xe2\\x80\\xa9", "a\\u2028b\\u2029"},
        {"\xd8\x9c\xc2\xad", "\\xd8\\x9c\\xc2\\xad", "\\u061c\\u00ad"},
        {"\xef\xbb\xbf\xef\xbf\xbf", "\\xef\\xbb\\xbf\\xef\\xbf\\xbf", "\\ufeff\\uffff"},
        {"\xf3\xa0\x81\x81", "\\xf3\\xa0\\x81\\x81", "\\udb40\\udc41"},
        {"\xf4\x8f\xbf\xbf", "\\xf4\\x8f\\xbf\\xbf", "\\udbff\\udfff"},
        /* A family, a red heart, a Persian word: what joins and picks forms stays. */
        {"\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9",
         "\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9",
         "\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9"},
        {"\xe2\x9d\xa4\xef\xb8\x8f", "\xe2\x9d\xa4\xef\xb8\x8f", "\xe2\x9d\xa4\xef\xb8\x8f"},
        {"\xd9\x85\xdb\x8c\xe2\x80\x8c\xd8\xae", "\xd9\x85\xdb\x8c\xe2\x80\x8c\xd8\xae",
         "\xd9\x85\xdb\x8c\xe2\x80\x8c\xd8\xae"},
        {"\xef\xbf\xbd\xee\x80\x80\xe2\x80\xa6", "\xef\xbf\xbd\xee\x80\x80\xe2\x80\xa6",
         "\xef\xbf\xbd\xee\x80\x80\xe2\x80\xa6"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_escape((const uint8_t *)cases[i].bytes, strlen(cases[i].bytes), cases[i].plain,
                      cases[i].json);
}

/* Each range at its borders and one past them. */
static void test_borders_of_what_is_hidden(void **state) {
    static const uint32_t ranges[][2] = {
        {0, 0x1f},           {0x7f, 0x9f},       {0xad, 0xad},       {0x34f, 0x34f},
        {0x61c, 0x61c},      {0x115f, 0x1160},   {0x17b4, 0x17b5},   {0x180b, 0x180f},
        {0x200b, 0x200b},    {0x200e, 0x200f},   {0x2028, 0x202e},   {0x2060, 0x206f},
        {0x3164, 0x3164},    {0xfdd0, 0xfdef},   {0xfe00, 0xfe0d},   {0xfeff, 0xfeff},
        {0xffa0, 0xffa0},    {0xfff0, 0xfffb},   {0xfffe, 0xffff},   {0x13430, 0x1343f},
        {0x1bca0, 0x1bca3},  {0x1d173, 0x1d17a}, {0x1fffe, 0x1ffff}, {0xdfffe, 0xe0fff},
        {0x10fffe, 0x10ffff}};
    size_t n = 0, want = 0;
    (void)state;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        want += ranges[i][1] - ranges[i][0] + 1;
    /* The ends of planes 2 to 12, 14 and 15 stand in no range above. */
    want += (size_t)2 * 13;
    for (uint32_t point = 0; point < 0x110000; point++)
        n += text_is_hidden(point);
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        assert_true(text_is_hidden(ranges[i][0]) && text_is_hidden(ranges[i][1]));
        assert_true(ranges[i][0] == 0 || !text_is_hidden(ranges[i][0] - 1));
        assert_false(ranges[i][1] < 0x10ffff && text_is_hidden(ranges[i][1] + 1));
    }
    assert_int_equal(n, want);
}

static void test_escaping_in_small_pieces_is_the_same(void **state) {
    const char input[] = "x\n\xc2\x9b\xf0\x9f\x98\x80\xff\xf3\xa0\x80\x81 end";
    char whole[256], pieces[256], step[TEXT_ESCAPE_STEP];
    size_t used, n = 0;
    (void)state;
    size_t length = text_escape(BYTES(input), whole, sizeof whole, &used);
    for (size_t at = 0; at < sizeof input - 1; at += used) {
        size_t m = text_escape((const uint8_t *)input + at, sizeof input - 1 - at, step,
                               sizeof step, &used);
        assert_true(used > 0 && m <= sizeof step);
        memcpy(pieces + n, step, m);
        n += m;
    }
    assert_int_equal(n, length);
    assert_memory_equal(pieces, whole, n);
    assert_int_equal(text_escape(BYTES("a"), step, TEXT_ESCAPE_STEP - 1, &used), 0);
    assert_int_equal(used, 0);
}

static void test_escape_string_is_cut_between_characters(void **state) {
    char out[6];
    (void)state;
    text_escape_string("ab\n", out, 5);
    assert_string_equal(out, "ab\\n");
    text_escape_string("ab\n", out, 4);
    assert_string_equal(out, "ab");
    text_escape_string("anything", out, 1);
    assert_string_equal(out, "");
}

static void test_utf8_at_its_borders(void **state) {
    (void)state;
    assert_true(text_is_utf8(BYTES("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf")));
    assert_true(text_is_utf8(BYTES("\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")));
    assert_true(text_is_utf8(BYTES("")));
    static const char *const bad[] = {"\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xc2",
                                      "\xe2\x82",
                                      "\xf0\x9f\x98",
                                      "\xc2\x41",
                                      "a\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(text_is_utf8((const uint8_t *)bad[i], strlen(bad[i])));
}

static void test_times(void **state) {
    char text[TEXT_TIME_MAX];
    (void)state;
    text_time(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    text_time(INT64_C(1709210096789999), text);
    assert_string_equal(text, "2024-02-29T12:34:56.789Z");
    text_time(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
    text_time(INT64_MAX, text);
    assert_string_equal(text, "294247-01-10T04:00:54.775Z");
    text_time(INT64_MIN, text);
    assert_true(strlen(text) < TEXT_TIME_MAX);
}

static void test_sizes(void **state) {
    static const char *const bad[] = {"",
                                      "K",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1KB",
                                      "1.5M",
                                      "0x10",
                                      "1T",
                                      "9223372036854775808",
                                      "8589934592G",
                                      "99999999999999999999999"};
    uint64_t bytes;
    (void)state;
    assert_int_equal(text_parse_size("0", &bytes), 0);
    assert_true(bytes == 0);
    assert_int_equal(text_parse_size("16M", &bytes), 0);
    assert_true(bytes == 16 << 20);
    assert_int_equal(text_parse_size("9223372036854775807", &bytes), 0);
    assert_true(bytes == INT64_MAX);
    assert_int_equal(text_parse_size("8589934591G", &bytes), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(text_parse_size(bad[i], &bytes), -EINVAL);
}

static void test_durations_and_numbers(void **state) {
    uint64_t number;
    int64_t us;
    (void)state;
    assert_int_equal(text_parse_duration("30", &us), 0);
    assert_true(us == 30000000);
    assert_int_equal(text_parse_duration("250ms", &us), 0);
    assert_true(us == 250000);
    assert_int_equal(text_parse_duration("7d", &us), 0);
    assert_true(us == INT64_C(604800000000));
    assert_int_equal(text_parse_duration("106751991d", &us), 0);
    assert_int_equal(text_parse_duration("106751992d", &us), -EINVAL);
    assert_int_equal(text_parse_duration("1w", &us), -EINVAL);
    assert_int_equal(text_parse_duration("s", &us), -EINVAL);
    static const char *const bad[] = {"",
                                      " ",
                                      "1.5h",
                                      "5 m",
                                      "-1s",
                                      "+1s",
                                      "1h30m",
                                      " 5m",
                                      "5m ",
                                      "5m\r",
                                      "1H",
                                      "0x5s",
                                      "1e3",
                                      "5us",
                                      "m5",
                                      "5mss",
                                      "5min",
                                      "inf",
                                      "999999999999999999999d"};
    us = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(text_parse_duration(bad[i], &us), -EINVAL);
    assert_int_equal(us, 7);
    assert_int_equal(text_parse_number("7", 7, &number), 0);
    assert_int_equal(text_parse_number("8", 7, &number), -EINVAL);
    assert_int_equal(text_parse_number("10", 7, &number), -EINVAL);
    assert_int_equal(text_parse_number("5s", 7, &number), -EINVAL);
}

static void test_points_in_time(void **state) {
    static const struct {
        const char *text;
        int64_t seconds;
    } good[] = {
        {"1970-01-01", 0},
        {"2026-11-21", 1795219200},
        {"2000-02-29", 951782400},
        {"2026-11-21T03:05", 1795230300},
        {"2026-11-21 03:05:07", 1795230307},
        {"2026-11-21T03:05:07Z", 1795230307},
        {"9999-12-31T23:59:59Z", 253402300799},
        {"@1795230000", 1795230000},
        {"@0", 0},
        {"@1795230000.9999999", 1795230000}, /* whole microseconds count: see below */
        {"2028-02-29T23:59:59", 1835481599},
        {"2026-11-21T03:05:07+00:00", 1795230307},
        {"2026-11-21T03:05:07-00:00", 1795230307},
        {"2026-11-21 03:05:07+01:00", 1795226707},
        {"2026-11-21T03:05-0530", 1795250100},
        {"1970-01-01T01:00+01:00", 0},
        {"2400-02-29", 13574563200},
        {"2h", 1000000 - 7200},
        {"30", 1000000 - 30},
    };
    int64_t us;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(text_parse_when(good[i].text, 1000000 * INT64_C(1000000), &us), 0);
        assert_int_equal(us / 1000000, good[i].seconds);
        assert_int_equal(us % 1000000, strchr(good[i].text, '.') ? 999999 : 0);
    }
    assert_int_equal(text_parse_when("1970-01-01T00:00:01.25Z", 0, &us), 0);
    assert_int_equal(us, 1250000);
    assert_int_equal(text_parse_when("1970-01-01T00:00:00.1234567", 0, &us), 0);
    assert_int_equal(us, 123456);
}

static void test_what_is_no_point_in_time(void **state) {
    static const char *const bad[] = {
        "",
        "now",
        "1969-12-31",
        "2026-13-01",
        "2026-00-01",
        "2026-11-32",
        "2026-04-31",
        "2026-02-29",
        "2026-02-29T00:00",
        "2026-02-30",
        "2028-02-30",
        "2100-02-29",
        "2026-06-31",
        "2026-11-00",
        "12026-11-21",
        "-026-11-21",
        " 2026-11-21",
        "2026-11-21 ",
        "2026-11-21\r",
        "2026-11-21T25:00",
        "2026-11-21T24:00:00",
        "2026-11-21T23:59:60",
        "2026-06-30T23:59:60Z",
        "2026-11-21T03:05:07+24:00",
        "2026-11-21T03:05:07+01:60",
        "2026-11-21T03:05:07+1:00",
        "2026-11-21T03:05:07+01",
        "2026-11-21T03:05:07+",
        "2026-11-21T03:05:07Z+01:00",
        "2026-11-21T03:05:07ZZ",
        "2026-11-21+01:00",
        "1970-01-01T00:59+01:00",
        "2026-11-21T-1:00",
        "2026-11-21Tx3:05",
        "2026-11-21T",
        "2026-11-21T3:05",
        "2026-11-21T24:00",
        "2026-11-21x",
        "2026-1-1",
        "2026-11-21T03:60",
        "2026-11-21T03:05:",
        "2026-11-21T03:05:06.",
        "2026-11-21T03:05:06.Z",
        "2026-11-21T03:05.5",
        "@",
        "@-1",
        "@+1",
        "@1.",
        "@1 ",
        "@9223372036854",
        "1.5h",
        "5 m",
        "2h ago",
        "@99999999999999999999",
        "1000001s",
        "-2h",
    };
    int64_t us = -1;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(text_parse_when(bad[i], 1000000 * INT64_C(1000000), &us), -EINVAL);
    assert_int_equal(us, -1);
}

static void test_hex(void **state) {
    uint8_t bytes[2];
    char text[5];
    (void)state;
    assert_int_equal(text_unhex("0aFf", bytes, 2), 0);
    text_hex(bytes, 2, text);
    assert_string_equal(text, "0aff");
    assert_int_equal(text_unhex("0aF", bytes, 2), -EINVAL);
    assert_int_equal(text_unhex("0aFf0", bytes, 2), -EINVAL);
    assert_int_equal(text_unhex("0aFg", bytes, 2), -EINVAL);
    assert_int_equal(text_hex_digit('g'), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_hidden_characters),
        cmocka_unit_test(test_borders_of_what_is_hidden),
        cmocka_unit_test(test_escaping_in_small_pieces_is_the_same),
        cmocka_unit_test(test_escape_string_is_cut_between_characters),
        cmocka_unit_test(test_utf8_at_its_borders),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_durations_and_numbers),
        cmocka_unit_test(test_points_in_time),
        cmocka_unit_test(test_what_is_no_point_in_time),
        cmocka_unit_test(test_hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
