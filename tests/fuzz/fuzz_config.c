/* link: daemon/config/config daemon/config/config_table daemon/config/config_value shared/address shared/text shared/paths shared/log */
/* A configuration file of any bytes: refused with a line that names the file, or taken; what is
 * taken and fits inih's lines can be written and read back to the same. */
#include "daemon/config/config.h"

#include <stdlib.h>

#define LINE_MAX_INIH 199

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition) {
    if (!condition)
        abort();
}

static bool has_long_line(const char *text, size_t length) {
    size_t start = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n')
            start = i + 1;
        if (i - start >= LINE_MAX_INIH)
            return true;
    }
    return false;
}

static void read_back(const struct config *config) {
    struct config *again = malloc(sizeof *again);
    struct config_mistakes mistakes = {.n = 0};
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    check(again && out && config_dump(config, out) == 0);
    fclose(out);
    config_init(again);
    if (!has_long_line(text, length)) {
        check(config_parse(again, "dump", text, length, NULL, &mistakes) == 0);
        check(memcmp(again, config, sizeof *config) == 0);
    }
    free(text);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct config *config = malloc(sizeof *config);
    struct config_mistakes mistakes = {.n = 0};
    check(config != NULL);
    config_init(config);
    if (config_parse(config, "file", (const char *)data, size, NULL, &mistakes) < 0)
        for (size_t i = 0; i < mistakes.n; i++)
            check(strncmp(mistakes.v[i], "file:", 5) == 0);
    else
        read_back(config);
    free(config);
    return 0;
}
