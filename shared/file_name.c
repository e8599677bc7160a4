/* Threat: a file's name is its sender's to choose, and it is used with the rights of whoever runs
 * p2pd and shown on terminals. So: no way out of the folder, no hidden file, nothing that a command
 * takes for an option, no escape sequence, nothing invisible, no
 * "gpj.exe" made to look like "exe.jpg" by writing backwards, and none of the names under which
 * unfinished files are kept. */
#include "shared/file_name.h"
#include "shared/text.h"

#include <string.h>
#include <strings.h>

#define PART ".part"
#define PART_LEN (sizeof PART - 1)

static bool is_separator(char c) {
    return c == '/' || c == '\\';
}

/* Trailing separators belong to the component before them, as basename(1) has it. */
static const char *last_component(const char *name, size_t *ret_length) {
    size_t end = strlen(name), start;
    while (end > 0 && is_separator(name[end - 1]))
        end--;
    for (start = end; start > 0 && !is_separator(name[start - 1]); start--)
        ;
    *ret_length = end - start;
    return name + start;
}

static uint32_t decode(const uint8_t *bytes, size_t length) {
    uint32_t point = length == 1 ? bytes[0] : bytes[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++)
        point = point << 6 | (bytes[i] & 0x3f);
    return point;
}

static bool is_unsafe(uint32_t point) {
    bool is_control = point < 0x20 || (point >= 0x7f && point < 0xa0);
    bool is_direction = point == 0x61c || point == 0x200e || point == 0x200f ||
                        (point >= 0x202a && point <= 0x202e) ||
                        (point >= 0x2066 && point <= 0x2069);
    bool is_line = point == 0x2028 || point == 0x2029;
    bool is_invisible = (point >= 0x200b && point <= 0x200d) || point == 0x2060 ||
                        point == 0xfeff || (point >= 0xe0000 && point <= 0xe007f);
    return is_control || is_direction || is_line || is_invisible;
}

void file_name_make_safe(const char *name, char ret_name[FILE_NAME_SAFE_MAX + 1]) {
    size_t left, n = 0, length;
    const uint8_t *at = (const uint8_t *)last_component(name, &left);
    for (; left > 0; at += length, left -= length) {
        length = text_utf8_length(at, left);
        bool replace =
            length == 0 || is_unsafe(decode(at, length)) || (n == 0 && (*at == '.' || *at == '-'));
        size_t written = replace ? 1 : length;
        if (length == 0)
            length = 1;
        if (n + written > FILE_NAME_SAFE_MAX)
            break;
        memcpy(ret_name + n, replace ? (const uint8_t *)"_" : at, written);
        n += written;
    }
    ret_name[n] = '\0';
    if (n == 0)
        memcpy(ret_name, "file", sizeof "file");
    else if (n >= PART_LEN && strcasecmp(ret_name + n - PART_LEN, PART) == 0)
        ret_name[n - PART_LEN] = '_';
}
