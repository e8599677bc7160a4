/* link: shared/file_name shared/text */
/* A file's name of any bytes: what it becomes is one component that hides nowhere, is text, and
 * stays what it is when it is made safe again. */
#include "shared/file_name.h"
#include "shared/text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition) {
    if (!condition)
        abort();
}

static void check_characters(const uint8_t *bytes, size_t length) {
    for (size_t i = 0, n; i < length; i += n) {
        n = text_utf8_length(bytes + i, length - i);
        check(n > 0 && !text_is_hidden(text_code_point(bytes + i, n)));
        check(bytes[i] != '/' && bytes[i] != '\\');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char name[FILE_NAME_SAFE_MAX + 1], again[FILE_NAME_SAFE_MAX + 1];
    char *given = malloc(size + 1);
    check(given != NULL);
    if (size)
        memcpy(given, data, size);
    given[size] = '\0';
    memset(name, 'x', sizeof name);
    file_name_make_safe(given, name);
    size_t length = strnlen(name, sizeof name);
    check(length >= 1 && length <= FILE_NAME_SAFE_MAX && name[0] != '.');
    check(length < 5 || strcasecmp(name + length - 5, ".part") != 0);
    check(text_is_utf8((const uint8_t *)name, length));
    check_characters((const uint8_t *)name, length);
    file_name_make_safe(name, again);
    check(strcmp(name, again) == 0);
    free(given);
    return 0;
}
