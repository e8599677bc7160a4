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
/* ".torrent", ".tar.gz", ".pkg.tar.zst" are endings; anything longer is part of the name. */
#define ENDING_MAX 24
#define ENDING_SECOND_MAX 5

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

/* Besides hidden characters, joiners are not allowed in names either: two names that look the same
 * should be the same. */
static bool is_unsafe(uint32_t point) {
    return text_is_hidden(point) || point == 0x200c || point == 0x200d;
}

void file_name_make_safe(const char *name, char ret_name[FILE_NAME_SAFE_MAX + 1]) {
    size_t left, n = 0, length;
    const uint8_t *at = (const uint8_t *)last_component(name, &left);
    for (; left > 0; at += length, left -= length) {
        length = text_utf8_length(at, left);
        bool replace = length == 0 || is_unsafe(text_code_point(at, length)) ||
                       (n == 0 && (*at == '.' || *at == '-'));
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

/* Where the ending, ".gz" or ".tar.gz", begins; the end of the name if the part after its last dot
 * is too long for an ending. */
static const char *find_ending(const char *name) {
    const char *end = name + strlen(name), *dot = strrchr(name, '.');
    if (!dot || dot == name || end - dot > ENDING_MAX)
        return end;
    for (const char *before = dot - 1; before > name && dot - before <= ENDING_SECOND_MAX; before--)
        if (*before == '.')
            return end - before <= ENDING_MAX ? before : dot;
    return dot;
}

void file_name_shorten(const char *name, char ret_name[FILE_NAME_SAFE_MAX + 1]) {
    size_t length = strlen(name), n = 0, step;
    if (length <= FILE_NAME_SAFE_MAX) {
        memcpy(ret_name, name, length + 1);
        return;
    }
    const char *ending = find_ending(name);
    size_t room = FILE_NAME_SAFE_MAX - strlen(ending);
    for (const char *at = name; at < ending; at += step) {
        step = text_utf8_length((const uint8_t *)at, (size_t)(ending - at));
        step = step ? step : 1;
        if (n + step > room)
            break;
        n += step;
    }
    memcpy(ret_name, name, n);
    memcpy(ret_name + n, ending, strlen(ending) + 1);
}
