/* Command-line options. Each command has a table, and there is a common one; arguments are parsed
 * by the tables, and help is printed from them. Options may stand before or after the command, up
 * to "--"; an unknown one is an error. */
#ifndef P2PCTL_OPTIONS_H
#define P2PCTL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct option_time { /* --wait and --wait=TIME */
    bool given, timed;
    int64_t us;
};

struct option_shards { /* K+M */
    uint32_t k, m;
};
/* --since and --until: a time, or where that is allowed, a message's id. */
struct option_when {
    bool given, is_id;
    int64_t us;
    uint8_t id[16];
};

struct options {
    /* every command's */
    const char *socket;
    bool json, quiet, help, version;
    struct option_time timeout;
    /* some commands' */
    struct option_time wait, expire;
    const char *id, *from, *name, *passphrase_file;
    int64_t relays, count; /* -1: not given */
    bool strict, trace, zero, peek, follow, lines, resend;
    struct option_shards shards;
    struct option_when since, until;
};

enum option_kind {
    OPTION_FLAG,
    OPTION_TEXT,
    OPTION_NUMBER,
    OPTION_TIME,
    OPTION_TIME_MAYBE,
    OPTION_SHARDS,
    OPTION_WHEN,
    OPTION_WHEN_OR_ID,
};
struct option {
    const char *name; /* without the dashes; NULL ends a table */
    char letter;      /* or 0 */
    enum option_kind kind;
    size_t offset;        /* in struct options; `kind` determines the type there */
    const char *argument; /* its name in the help */
    const char *help;
};

extern const struct option options_common[];

#define OPTIONS_ERROR_MAX 256
struct option_sets { /* the tables in which an option may stand */
    const struct option *const *tables;
    size_t n;
};

void options_init(struct options *options);
/* Parse argv[1..]: options into *options, all other words, in order, into ret_words (room for
 * argc). 0, or -EINVAL with ret_error. */
int options_parse(const struct option_sets *sets, int argc, char **argv, struct options *options,
                  const char **ret_words, int *ret_n_words, char ret_error[OPTIONS_ERROR_MAX]);
/* The first word, which is the command, or NULL. `sets` has all commands' tables, since their
 * options may stand before it. */
const char *options_find_command(const struct option_sets *sets, int argc, char **argv);
/* Print a line of help for each option of a table. */
void options_print(const struct option *table);

#endif
