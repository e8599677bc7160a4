/* Threat: a message, a name or a reason comes from anyone and ends on somebody's terminal or in
 * a script's pipe. Escape sequences can rewrite what is shown, C1 controls do the same in eight
 * bits, a newline (U+2028 for many a reader) forges another message's line, directions of writing
 * show an amount or a name backwards, and what is invisible hides words from the eye and not from a
 * program. So everything that is not a visible, valid UTF-8 character is spelt out. */
#include "shared/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

size_t text_utf8_length(const uint8_t *bytes, size_t length) {
    if (length == 0)
        return 0;
    uint8_t first = bytes[0];
    if (first < 0x80)
        return 1;
    size_t want = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    /* 80 to bf continue a sequence, c0 and c1 are overlong, f5 and above are beyond U+10FFFF. */
    if (first < 0xc2 || first > 0xf4 || length < want)
        return 0;
    for (size_t i = 1; i < want; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    if ((first == 0xe0 && bytes[1] < 0xa0) || (first == 0xed && bytes[1] > 0x9f) ||
        (first == 0xf0 && bytes[1] < 0x90) || (first == 0xf4 && bytes[1] > 0x8f))
        return 0;
    return want;
}

bool text_is_utf8(const uint8_t *bytes, size_t length) {
    while (length > 0) {
        size_t n = text_utf8_length(bytes, length);
        if (n == 0)
            return false;
        bytes += n;
        length -= n;
    }
    return true;
}

uint32_t text_code_point(const uint8_t *sequence, size_t length) {
    uint32_t point = length == 1 ? sequence[0] : sequence[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++)
        point = point << 6 | (sequence[i] & 0x3f);
    return point;
}

/* Unicode's Default_Ignorable_Code_Point but for what text.h lets pass, its other invisible format
 * characters, separators, controls and noncharacters (the two that end each plane are dealt with
 * below). In order. */
static const struct {
    uint32_t first, last;
} hidden[] = {
    {0x0000, 0x001f},   /* C0 */
    {0x007f, 0x009f},   /* DEL, C1 */
    {0x00ad, 0x00ad},   /* soft hyphen */
    {0x034f, 0x034f},   /* grapheme joiner */
    {0x061c, 0x061c},   /* Arabic letter mark: a direction */
    {0x115f, 0x1160},   /* Hangul fillers */
    {0x17b4, 0x17b5},   /* Khmer vowels without a form */
    {0x180b, 0x180f},   /* Mongolian selectors and separator */
    {0x200b, 0x200b},   /* zero width space */
    {0x200e, 0x200f},   /* left-to-right and right-to-left mark */
    {0x2028, 0x202e},   /* separators of lines and paragraphs; embeddings, overrides */
    {0x2060, 0x206f},   /* word joiner, isolates and other formats */
    {0x3164, 0x3164},   /* Hangul filler */
    {0xfdd0, 0xfdef},   /* noncharacters */
    {0xfe00, 0xfe0d},   /* selectors but for those of text and emoji */
    {0xfeff, 0xfeff},   /* byte order mark */
    {0xffa0, 0xffa0},   /* Hangul filler */
    {0xfff0, 0xfffb},   /* unassigned, annotations */
    {0x13430, 0x1343f}, /* Egyptian formats */
    {0x1bca0, 0x1bca3}, /* shorthand formats */
    {0x1d173, 0x1d17a}, /* musical formats */
    {0xe0000, 0xe0fff}, /* tags, further selectors */
};

bool text_is_hidden(uint32_t code_point) {
    size_t low = 0, high = sizeof hidden / sizeof hidden[0];
    if (code_point >= 0x20 && code_point < 0x7f)
        return false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code_point > hidden[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    bool is_in_table = low < sizeof hidden / sizeof hidden[0] && code_point >= hidden[low].first;
    return is_in_table || (code_point & 0xfffe) == 0xfffe;
}

static size_t put_hex_escape(char *to, uint8_t byte) {
    static const char digits[] = "0123456789abcdef";
    to[0] = '\\';
    to[1] = 'x';
    to[2] = digits[byte >> 4];
    to[3] = digits[byte & 15];
    return 4;
}

/* Escape one character; returns how many bytes it wrote (at most TEXT_ESCAPE_STEP), *ret_used =
 * 1..4. */
static size_t escape_step(const uint8_t *bytes, size_t length, char *to, size_t *ret_used) {
    size_t n = text_utf8_length(bytes, length);
    *ret_used = n ? n : 1;
    if (n == 0)
        return put_hex_escape(to, bytes[0]);
    if (bytes[0] == '\n' || bytes[0] == '\\') {
        to[0] = '\\';
        to[1] = bytes[0] == '\n' ? 'n' : '\\';
        return 2;
    }
    if (!text_is_hidden(text_code_point(bytes, n))) {
        memcpy(to, bytes, n);
        return n;
    }
    size_t written = 0;
    for (size_t i = 0; i < n; i++)
        written += put_hex_escape(to + written, bytes[i]);
    return written;
}

static size_t put_json_unit(char *to, uint32_t unit) {
    static const char digits[] = "0123456789abcdef";
    memcpy(to, "\\u", 2);
    for (int i = 0; i < 4; i++)
        to[2 + i] = digits[unit >> (12 - 4 * i) & 15];
    return 6;
}

static size_t escape_step_json(const uint8_t *bytes, size_t length, char *to, size_t *ret_used) {
    size_t n = text_utf8_length(bytes, length);
    *ret_used = n ? n : 1;
    if (n == 0) {
        memcpy(to, "\xef\xbf\xbd", 3);
        return 3;
    }
    if (bytes[0] == '"' || bytes[0] == '\\') {
        to[0] = '\\';
        to[1] = (char)bytes[0];
        return 2;
    }
    uint32_t point = text_code_point(bytes, n);
    if (!text_is_hidden(point)) {
        memcpy(to, bytes, n);
        return n;
    }
    if (point < 0x10000)
        return put_json_unit(to, point);
    put_json_unit(to, 0xd800 + ((point - 0x10000) >> 10));
    return 6 + put_json_unit(to + 6, 0xdc00 + (point & 0x3ff));
}

typedef size_t (*step_function)(const uint8_t *, size_t, char *, size_t *);

static size_t escape_run(step_function step, const uint8_t *bytes, size_t length, char *ret_text,
                         size_t room, size_t *ret_used) {
    size_t used = 0, written = 0;
    while (used < length && room - written >= TEXT_ESCAPE_STEP) {
        size_t n;
        written += step(bytes + used, length - used, ret_text + written, &n);
        used += n;
    }
    *ret_used = used;
    return written;
}

size_t text_escape(const uint8_t *bytes, size_t length, char *ret_text, size_t room,
                   size_t *ret_used) {
    return escape_run(escape_step, bytes, length, ret_text, room, ret_used);
}

size_t text_escape_json(const uint8_t *bytes, size_t length, char *ret_text, size_t room,
                        size_t *ret_used) {
    return escape_run(escape_step_json, bytes, length, ret_text, room, ret_used);
}

void text_escape_string(const char *string, char *ret_text, size_t room) {
    size_t used = 0, written = 0, length = strlen(string);
    while (used < length) {
        char step[TEXT_ESCAPE_STEP];
        size_t n;
        size_t size = escape_step((const uint8_t *)string + used, length - used, step, &n);
        if (room - written <= size)
            break;
        memcpy(ret_text + written, step, size);
        written += size;
        used += n;
    }
    ret_text[written] = '\0';
}

void text_time(int64_t unix_us, char ret_text[TEXT_TIME_MAX]) {
    int64_t ms = unix_us / 1000 - (unix_us % 1000 < 0);
    time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
    struct tm tm = {0};
    gmtime_r(&seconds, &tm);
    snprintf(ret_text, TEXT_TIME_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
             (int)(ms - (int64_t)seconds * 1000));
}

/* Parse leading digits; *ret_rest points behind them. strtoull would accept a sign, spaces and
 * hex. */
static int parse_digits(const char *text, uint64_t max, uint64_t *ret_number,
                        const char **ret_rest) {
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (digit > max || number > (max - digit) / 10)
            return -EINVAL;
        number = number * 10 + digit;
    }
    if (at == text)
        return -EINVAL;
    *ret_number = number;
    *ret_rest = at;
    return 0;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static int parse_with_unit(const char *text, const struct unit *units, uint64_t max,
                           uint64_t *ret_number) {
    const char *rest;
    uint64_t number;
    if (parse_digits(text, max, &number, &rest) < 0)
        return -EINVAL;
    for (; units->name; units++)
        if (strcmp(rest, units->name) == 0) {
            if (number > max / units->factor)
                return -EINVAL;
            *ret_number = number * units->factor;
            return 0;
        }
    return -EINVAL;
}

int text_parse_size(const char *text, uint64_t *ret_bytes) {
    static const struct unit units[] = {{"", 1},        {"K", 1 << 10}, {"k", 1 << 10},
                                        {"M", 1 << 20}, {"m", 1 << 20}, {"G", 1 << 30},
                                        {"g", 1 << 30}, {NULL, 0}};
    return parse_with_unit(text, units, INT64_MAX, ret_bytes);
}

int text_parse_duration(const char *text, int64_t *ret_us) {
    static const struct unit units[] = {{"", UINT64_C(1000000)},
                                        {"ms", UINT64_C(1000)},
                                        {"s", UINT64_C(1000000)},
                                        {"m", UINT64_C(60000000)},
                                        {"h", UINT64_C(3600000000)},
                                        {"d", UINT64_C(86400000000)},
                                        {NULL, 0}};
    uint64_t us;
    if (parse_with_unit(text, units, INT64_MAX, &us) < 0)
        return -EINVAL;
    *ret_us = (int64_t)us;
    return 0;
}

/* Days since 1970 of a date of the Gregorian calendar (Hinnant, "chrono-compatible low-level date
 * algorithms"). */
static int64_t days_of(int64_t year, int month, int day) {
    year -= month <= 2;
    int64_t era = year / 400, year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

/* Take exactly `digits` digits, and step over them. -1: they are not there. */
static int take_digits(const char **text, unsigned digits) {
    int value = 0;
    for (unsigned i = 0; i < digits; i++, (*text)++) {
        if (**text < '0' || **text > '9')
            return -1;
        value = value * 10 + (**text - '0');
    }
    return value;
}

/* ".636" in microseconds, if it is there; more than six digits are ignored. -1: a point without
 * digits. */
static int64_t take_fraction(const char **text) {
    int64_t us = 0, unit = 1000000;
    if (**text != '.')
        return 0;
    for ((*text)++; **text >= '0' && **text <= '9'; (*text)++) {
        unit /= 10;
        us += unit * (**text - '0');
    }
    return unit == 1000000 ? -1 : us;
}

/* Seconds end at 59: the seconds since 1970 do not count leap seconds. */
static bool take_clock(const char **text, int64_t *ret_us) {
    int hour = take_digits(text, 2), minute = -1, second = 0;
    int64_t fraction = 0;
    if (hour >= 0 && **text == ':') {
        (*text)++;
        minute = take_digits(text, 2);
    }
    if (minute >= 0 && **text == ':') {
        (*text)++;
        second = take_digits(text, 2);
        fraction = take_fraction(text);
    }
    *ret_us = (hour * 3600 + minute * 60 + second) * INT64_C(1000000) + fraction;
    return fraction >= 0 && hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 &&
           second < 60;
}

/* "Z", "+01:00", "-0530" or nothing, which means UTC: how far the clock is ahead of UTC. */
static bool take_offset(const char **text, int64_t *ret_us) {
    char sign = **text;
    int hour = 0, minute = 0;
    if (sign == 'Z')
        (*text)++;
    if (sign == '+' || sign == '-') {
        (*text)++;
        hour = take_digits(text, 2);
        *text += hour >= 0 && **text == ':';
        minute = hour >= 0 ? take_digits(text, 2) : -1;
    }
    *ret_us = (hour * 60 + minute) * INT64_C(60000000) * (sign == '-' ? -1 : 1);
    return hour >= 0 && hour < 24 && minute >= 0 && minute < 60;
}

static int days_in_month(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && is_leap);
}

static int parse_date(const char *text, int64_t *ret_us) {
    int year = take_digits(&text, 4), month = -1, day = -1;
    int64_t clock_us = 0, offset_us = 0;
    if (year >= 1970 && *text++ == '-')
        month = take_digits(&text, 2);
    if (month >= 1 && month <= 12 && *text++ == '-')
        day = take_digits(&text, 2);
    if (day < 1 || day > days_in_month(year, month))
        return -EINVAL;
    if (*text == 'T' || *text == ' ') {
        text++;
        if (!take_clock(&text, &clock_us) || !take_offset(&text, &offset_us))
            return -EINVAL;
    } else if (*text == 'Z') {
        text++;
    }
    int64_t us = days_of(year, month, day) * 86400 * 1000000 + clock_us - offset_us;
    if (*text != '\0' || us < 0)
        return -EINVAL;
    *ret_us = us;
    return 0;
}

/* "1795230000" or "1795230000.25", as date(1) says +%s and +%s.%N. */
static int parse_epoch(const char *text, int64_t *ret_us) {
    uint64_t seconds;
    if (parse_digits(text, INT64_MAX / 1000000 - 1, &seconds, &text) < 0)
        return -EINVAL;
    int64_t fraction = take_fraction(&text);
    if (fraction < 0 || *text != '\0')
        return -EINVAL;
    *ret_us = (int64_t)seconds * 1000000 + fraction;
    return 0;
}

int text_parse_when(const char *text, int64_t now_us, int64_t *ret_us) {
    int64_t ago;
    if (text[0] == '@')
        return parse_epoch(text + 1, ret_us);
    if (parse_date(text, ret_us) == 0)
        return 0;
    if (text_parse_duration(text, &ago) < 0 || ago > now_us)
        return -EINVAL;
    *ret_us = now_us - ago;
    return 0;
}

int text_parse_number(const char *text, uint64_t max, uint64_t *ret_number) {
    static const struct unit units[] = {{"", 1}, {NULL, 0}};
    return parse_with_unit(text, units, max, ret_number);
}

void text_hex(const uint8_t *bytes, size_t length, char *ret_text) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        ret_text[2 * i] = digits[bytes[i] >> 4];
        ret_text[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_text[2 * length] = '\0';
}

int text_hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int text_unhex(const char *text, uint8_t *ret_bytes, size_t length) {
    if (strlen(text) != 2 * length || strspn(text, "0123456789abcdefABCDEF") != 2 * length)
        return -EINVAL;
    for (size_t i = 0; i < length; i++)
        ret_bytes[i] =
            (uint8_t)(text_hex_digit(text[2 * i]) << 4 | text_hex_digit(text[2 * i + 1]));
    return 0;
}
