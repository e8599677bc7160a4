/* Unlike getopt_long, this takes only whole option names, and keeps no state in globals:
 * getopt_long accepts abbreviations, so a script's option would change its meaning when a new
 * option is added. */
#include "client/ctl/options.h"

#include "shared/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const struct option options_common[] = {
    {"socket", 's', OPTION_TEXT, offsetof(struct options, socket), "SOCKET",
     "the daemon's control socket (also $P2PD_SOCKET)"},
    {"json", 0, OPTION_FLAG, offsetof(struct options, json), NULL, "print JSON"},
    {"quiet", 'q', OPTION_FLAG, offsetof(struct options, quiet), NULL,
     "print nothing but what was asked for and errors"},
    {"timeout", 't', OPTION_TIME, offsetof(struct options, timeout), "TIME",
     "how long to wait for the daemon (10s)"},
    {"help", 'h', OPTION_FLAG, offsetof(struct options, help), NULL, "print this help"},
    {"version", 'V', OPTION_FLAG, offsetof(struct options, version), NULL, "print the version"},
    {NULL, 0, OPTION_FLAG, 0, NULL, NULL}};

void options_init(struct options *options) {
    *options = (struct options){.relays = -1, .count = -1};
    options->timeout = (struct option_time){.timed = true, .us = 10000000};
}

static const struct option *find(const struct option_sets *sets, const char *name, size_t length,
                                 char letter) {
    for (size_t i = 0; i < sets->n; i++)
        for (const struct option *option = sets->tables[i]; option->name; option++)
            if (letter ? option->letter == letter
                       : strlen(option->name) == length && memcmp(option->name, name, length) == 0)
                return option;
    return NULL;
}

static bool takes_value(const struct option *option) {
    return option->kind != OPTION_FLAG && option->kind != OPTION_TIME_MAYBE;
}

/* One argument that begins with a dash. */
struct scanned {
    const struct option *option;
    const char *value; /* or NULL */
    const char *rest;  /* further letters of a cluster, or NULL */
};

static struct scanned scan_long(const struct option_sets *sets, const char *argument) {
    size_t length = strcspn(argument, "=");
    struct scanned scanned = {.option = find(sets, argument, length, 0)};
    scanned.value = argument[length] == '=' ? argument + length + 1 : NULL;
    return scanned;
}

static struct scanned scan_letters(const struct option_sets *sets, const char *letters) {
    struct scanned scanned = {.option = find(sets, NULL, 0, letters[0])};
    if (letters[1] != '\0' && scanned.option && takes_value(scanned.option))
        scanned.value = letters + 1;
    else if (letters[1] != '\0')
        scanned.rest = letters + 1;
    return scanned;
}

/* "4+2" or "4". The daemon checks the limits; here only what cannot be meant is refused. */
static int set_shards(const char *value, struct option_shards *shards) {
    char first[16];
    uint64_t k, m = 0;
    size_t length = strcspn(value, "+");
    if (length >= sizeof first)
        return -EINVAL;
    memcpy(first, value, length);
    first[length] = '\0';
    if (text_parse_number(first, 128, &k) < 0 || k == 0 ||
        (value[length] == '+' && text_parse_number(value + length + 1, 127, &m) < 0))
        return -EINVAL;
    *shards = (struct option_shards){(uint32_t)k, (uint32_t)m};
    return 0;
}

static int set_when(const char *value, bool or_id, struct option_when *when) {
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    when->given = true;
    when->is_id = or_id && text_unhex(value, when->id, sizeof when->id) == 0;
    if (when->is_id)
        return 0;
    return text_parse_when(value, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, &when->us);
}

static int set_value(const struct option *option, const char *value, struct options *options) {
    char *at = (char *)options + option->offset;
    struct option_time *time = (struct option_time *)(void *)at;
    uint64_t number;
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)at = true;
        return value ? -EINVAL : 0;
    case OPTION_TEXT:
        *(const char **)(void *)at = value;
        return 0;
    case OPTION_NUMBER:
        if (text_parse_number(value, UINT32_MAX, &number) < 0)
            return -EINVAL;
        *(int64_t *)(void *)at = (int64_t)number;
        return 0;
    case OPTION_TIME:
    case OPTION_TIME_MAYBE:
        time->given = true;
        time->timed = value != NULL;
        return value ? text_parse_duration(value, &time->us) : 0;
    case OPTION_SHARDS:
        return set_shards(value, (struct option_shards *)(void *)at);
    case OPTION_WHEN:
    case OPTION_WHEN_OR_ID:
        return set_when(value, option->kind == OPTION_WHEN_OR_ID, (struct option_when *)(void *)at);
    }
    return -EINVAL;
}

/* What would have been valid, for the error message. */
static const char *expectation(const struct option *option) {
    switch (option->kind) {
    case OPTION_FLAG:
        return "takes no value";
    case OPTION_NUMBER:
        return "want a number";
    case OPTION_TIME:
    case OPTION_TIME_MAYBE:
        return "want a number and ms, s, m, h or d, as in 30s";
    case OPTION_SHARDS:
        return "want K or K+M, as in 4+2";
    case OPTION_WHEN:
        return "want a day as 2026-11-21, a time as 2026-11-21T15:00:30Z, @SECONDS, or 2h for two "
               "hours ago";
    case OPTION_WHEN_OR_ID:
        return "want a day as 2026-11-21, a time as 2026-11-21T15:00:30Z, @SECONDS, 2h for two "
               "hours "
               "ago, or a message's id";
    case OPTION_TEXT:
        break;
    }
    return "not valid";
}

/* Walk over argv; everything that is no option goes to words. */
struct walk {
    const struct option_sets *sets;
    int argc, at;
    char **argv;
    struct options *options;
    char *error;
};

/* Take the option at walk->at and its value, which may be the next argument. */
static int take_option(struct walk *walk) {
    const char *argument = walk->argv[walk->at];
    const char *letters = argument[1] == '-' ? NULL : argument + 1;
    do {
        struct scanned scanned =
            letters ? scan_letters(walk->sets, letters) : scan_long(walk->sets, argument + 2);
        letters = scanned.rest;
        if (!scanned.option) {
            snprintf(walk->error, OPTIONS_ERROR_MAX, "unknown option '%.64s'", argument);
            return -EINVAL;
        }
        if (takes_value(scanned.option) && !scanned.value && walk->at + 1 < walk->argc)
            scanned.value = walk->argv[++walk->at];
        if (takes_value(scanned.option) && !scanned.value) {
            snprintf(walk->error, OPTIONS_ERROR_MAX, "option --%s wants %s", scanned.option->name,
                     scanned.option->argument);
            return -EINVAL;
        }
        if (set_value(scanned.option, scanned.value, walk->options) < 0) {
            snprintf(walk->error, OPTIONS_ERROR_MAX, "option --%s: '%.64s' is not valid: %s",
                     scanned.option->name, scanned.value, expectation(scanned.option));
            return -EINVAL;
        }
    } while (letters);
    return 0;
}

int options_parse(const struct option_sets *sets, int argc, char **argv, struct options *options,
                  const char **ret_words, int *ret_n_words, char ret_error[OPTIONS_ERROR_MAX]) {
    struct walk walk = {sets, argc, 1, argv, options, ret_error};
    bool only_words = false;
    int n = 0;
    for (; walk.at < argc; walk.at++) {
        const char *argument = argv[walk.at];
        if (only_words || argument[0] != '-' || argument[1] == '\0')
            ret_words[n++] = argument;
        else if (strcmp(argument, "--") == 0)
            only_words = true;
        else if (take_option(&walk) < 0)
            return -EINVAL;
    }
    *ret_n_words = n;
    return 0;
}

const char *options_find_command(const struct option_sets *sets, int argc, char **argv) {
    struct options ignored;
    char error[OPTIONS_ERROR_MAX];
    struct walk walk = {sets, argc, 1, argv, &ignored, error};
    options_init(&ignored);
    for (; walk.at < argc; walk.at++) {
        const char *argument = argv[walk.at];
        if (strcmp(argument, "--") == 0)
            return walk.at + 1 < argc ? argv[walk.at + 1] : NULL;
        if (argument[0] != '-' || argument[1] == '\0')
            return argument;
        /* Errors are reported later, when the command is known */
        (void)take_option(&walk);
    }
    return NULL;
}

void options_print(const struct option *table) {
    for (; table->name; table++) {
        char text[64];
        snprintf(text, sizeof text, "--%s%s%s%s", table->name,
                 table->kind == OPTION_TIME_MAYBE ? "[=" : "",
                 table->kind == OPTION_TIME_MAYBE ? table->argument
                 : takes_value(table)             ? " "
                                                  : "",
                 table->kind == OPTION_TIME_MAYBE ? "]"
                 : takes_value(table)             ? table->argument
                                                  : "");
        if (table->letter)
            printf("  -%c, %-20s %s\n", table->letter, text, table->help);
        else
            printf("      %-20s %s\n", text, table->help);
    }
}
