/* link: client/ctl/options shared/text shared/address daemon/io/control/dest */
/* What people type, of any bytes: times, sizes, durations, numbers, addresses, destinations and
 * options; and text of any bytes on its way to a terminal. Words of the input end with newlines. */
#include "client/ctl/options.h"
#include "daemon/io/control/dest.h"
#include "shared/address.h"
#include "shared/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS_MAX 16
#define NOW_US INT64_C(1795230000000000)
#define ROOM 64

static void check(bool condition) {
    if (!condition)
        abort();
}

static void try_word(const char *word) {
    uint64_t number = 0;
    int64_t us = 0;
    uint8_t bytes[16];
    struct address address, again;
    struct destination to;
    char text[ADDRESS_TEXT_MAX];
    check(text_parse_number(word, 128, &number) != 0 || number <= 128);
    check(text_parse_size(word, &number) <= 0);
    check(text_parse_duration(word, &us) != 0 || us >= 0);
    check(text_parse_when(word, NOW_US, &us) <= 0);
    check(text_unhex(word, bytes, sizeof bytes) != 0 || strlen(word) == 2 * sizeof bytes);
    dest_parse(word, &to);
    if (address_parse(word, &address) != 0)
        return;
    address_format(&address, true, text);
    check(address_parse(text, &again) == 0 && address_is_equal(&address, &again));
}

static void try_options(char *words[], int n) {
    static const struct option table[] = {
        {"flag", 'f', OPTION_FLAG, offsetof(struct options, strict), NULL, ""},
        {"text", 't', OPTION_TEXT, offsetof(struct options, name), "TEXT", ""},
        {"number", 'n', OPTION_NUMBER, offsetof(struct options, relays), "N", ""},
        {"time", 0, OPTION_TIME, offsetof(struct options, expire), "TIME", ""},
        {"wait", 'w', OPTION_TIME_MAYBE, offsetof(struct options, wait), "TIME", ""},
        {"shards", 0, OPTION_SHARDS, offsetof(struct options, shards), "K[+M]", ""},
        {"until", 0, OPTION_WHEN, offsetof(struct options, until), "TIME", ""},
        {"since", 0, OPTION_WHEN_OR_ID, offsetof(struct options, since), "TIME|ID", ""},
        {NULL, 0, OPTION_FLAG, 0, NULL, NULL},
    };
    const struct option *tables[] = {options_common, table};
    const struct option_sets sets = {tables, 2};
    const char *rest[WORDS_MAX + 2];
    char error[OPTIONS_ERROR_MAX] = "";
    struct options options;
    int n_rest = 0;
    options_init(&options);
    options_find_command(&sets, n, words);
    if (options_parse(&sets, n, words, &options, rest, &n_rest, error) < 0) {
        check(error[0] != '\0' && memchr(error, 0, sizeof error));
        return;
    }
    check(n_rest >= 0 && n_rest < n);
    check(options.shards.k <= 128 && options.shards.m <= 127);
}

/* Whatever it was, what comes out is safe to show; all of it is used. */
static void try_escapes(const uint8_t *data, size_t size) {
    for (int json = 0; json < 2; json++)
        for (size_t at = 0, used; at < size; at += used) {
            char text[ROOM];
            size_t n = json ? text_escape_json(data + at, size - at, text, ROOM, &used)
                            : text_escape(data + at, size - at, text, ROOM, &used);
            check(used > 0 && used <= size - at && n <= ROOM);
            check(text_is_utf8((const uint8_t *)text, n));
            for (size_t i = 0, length; i < n; i += length) {
                length = text_utf8_length((const uint8_t *)text + i, n - i);
                check(!text_is_hidden(text_code_point((const uint8_t *)text + i, length)));
            }
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *words[WORDS_MAX + 2] = {(char[]){"p2pctl"}}, *copy = malloc(size + 1), *rest = copy;
    int n = 1;
    check(copy != NULL);
    if (size)
        memcpy(copy, data, size);
    copy[size] = '\0';
    for (char *word; n <= WORDS_MAX && (word = strsep(&rest, "\n"));) {
        words[n++] = word;
        try_word(word);
    }
    try_options(words, n);
    try_escapes(data, size);
    free(copy);
    return 0;
}
