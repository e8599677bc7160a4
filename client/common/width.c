/* See width.h. wcwidth(3) would need a locale, which the environment of a script need not have. */
#include "client/common/width.h"

#include "shared/text.h"

#include <stdbool.h>
#include <string.h>

struct range {
    uint32_t first, last;
};

/* Unicode's East_Asian_Width W and F, in whole blocks. */
static const struct range wide[] = {
    {0x1100, 0x115f},   {0x231a, 0x231b},   {0x23e9, 0x23f3},   {0x25fd, 0x25fe},
    {0x2614, 0x2615},   {0x2648, 0x2653},   {0x267f, 0x267f},   {0x2693, 0x2693},
    {0x26a1, 0x26a1},   {0x26aa, 0x26ab},   {0x26bd, 0x26be},   {0x26c4, 0x26c5},
    {0x26ce, 0x26ce},   {0x26d4, 0x26d4},   {0x26ea, 0x26ea},   {0x26f2, 0x26f5},
    {0x26fa, 0x26fd},   {0x2705, 0x2705},   {0x270a, 0x270b},   {0x2728, 0x2728},
    {0x274c, 0x274e},   {0x2753, 0x2757},   {0x2795, 0x2797},   {0x27b0, 0x27bf},
    {0x2b1b, 0x2b1c},   {0x2b50, 0x2b55},   {0x2e80, 0x303e},   {0x3041, 0x33ff},
    {0x3400, 0x4dbf},   {0x4e00, 0xa4cf},   {0xa960, 0xa97f},   {0xac00, 0xd7a3},
    {0xf900, 0xfaff},   {0xfe10, 0xfe19},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},
    {0xffe0, 0xffe6},   {0x16fe0, 0x18dff}, {0x1aff0, 0x1b2ff}, {0x1f000, 0x1faff},
    {0x20000, 0x3ffff},
};
/* Combining marks and joiners. Marks of other scripts count as one column, which is too many and
 * does no harm. */
static const struct range narrow[] = {
    {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x064b, 0x065f},
    {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200c, 0x200d}, {0x20d0, 0x20ff},
    {0x302a, 0x302f}, {0x3099, 0x309a}, {0xfe0e, 0xfe0e}, {0xfe20, 0xfe2f},
};

static bool is_in(const struct range *ranges, size_t n, uint32_t point) {
    for (size_t i = 0; i < n; i++)
        if (point >= ranges[i].first && point <= ranges[i].last)
            return true;
    return false;
}

/* Columns of the character at `text`; *ret_length: its length in bytes. U+FE0F counts as one
 * column: the emoji that it makes takes one column on some terminals, two on others. */
static size_t step(const char *text, size_t *ret_length) {
    size_t length = text_utf8_length((const uint8_t *)text, strlen(text));
    *ret_length = length ? length : 1;
    if (length <= 1)
        return 1;
    uint32_t point = text_code_point((const uint8_t *)text, length);
    if (is_in(narrow, sizeof narrow / sizeof narrow[0], point))
        return 0;
    return is_in(wide, sizeof wide / sizeof wide[0], point) ? 2 : 1;
}

size_t width_of(const char *text) {
    size_t columns = 0, length;
    for (; *text; text += length)
        columns += step(text, &length);
    return columns;
}

/* How many bytes at the beginning of a text take at most so many columns. */
static size_t head_of(const char *text, size_t columns) {
    size_t bytes = 0, length, width;
    while (text[bytes] && (width = step(text + bytes, &length)) <= columns) {
        columns -= width;
        bytes += length;
    }
    return bytes;
}

/* Where the part at the end of a text begins that takes at most so many columns. */
static const char *tail_of(const char *text, size_t columns) {
    size_t whole = width_of(text), length;
    while (*text && (whole > columns || step(text, &length) == 0)) {
        whole -= step(text, &length);
        text += length;
    }
    return text;
}

void width_fit(const char *text, size_t columns, char *ret_text, size_t room) {
    static const char gap[] = "..";
    const size_t gap_columns = sizeof gap - 1;
    bool is_whole = width_of(text) <= columns;
    size_t left = columns > gap_columns ? columns - gap_columns : 0;
    size_t head = is_whole ? strlen(text) : head_of(text, left ? (left + 1) / 2 : columns);
    const char *tail = is_whole || !left ? "" : tail_of(text, left / 2);
    size_t used = 0;
    head = head < room ? head : room - 1;
    memcpy(ret_text, text, head);
    used = head;
    if (!is_whole && left && used + gap_columns + strlen(tail) < room) {
        memcpy(ret_text + used, gap, gap_columns);
        used += gap_columns;
        memcpy(ret_text + used, tail, strlen(tail));
        used += strlen(tail);
    }
    ret_text[used] = '\0';
}
