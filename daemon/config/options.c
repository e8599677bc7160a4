/* See options.h. Long options for configuration keys come from the table of config_table.c. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "daemon/config/options.h"

#include "shared/version.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

/* Values of long options without a letter; those of keys follow from OPTION_KEY on. */
enum {
    OPTION_DUMP = 256,
    OPTION_PIDFILE,
    OPTION_CLOCK,
    OPTION_SET,
    OPTION_VERSION,
    OPTION_RESTORE,
    OPTION_PASSPHRASE,
    OPTION_KEY
};
#define LONG_MAX_COUNT 64
#define CLOCK_OFFSET_MAX_S 1000000000

static const struct option fixed_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"check", no_argument, NULL, 't'},
    {"background", no_argument, NULL, 'b'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"dump", no_argument, NULL, OPTION_DUMP},
    {"pidfile", required_argument, NULL, OPTION_PIDFILE},
    {"set", required_argument, NULL, OPTION_SET},
    {"restore", required_argument, NULL, OPTION_RESTORE},
    {"passphrase-file", required_argument, NULL, OPTION_PASSPHRASE},
    {"clock-offset", required_argument, NULL, OPTION_CLOCK},
};
#define N_FIXED (sizeof fixed_options / sizeof fixed_options[0])

static void build_long_options(struct option ret_options[LONG_MAX_COUNT]) {
    size_t n = N_FIXED;
    memset(ret_options, 0, LONG_MAX_COUNT * sizeof *ret_options);
    memcpy(ret_options, fixed_options, sizeof fixed_options);
    for (size_t i = 0; i < config_n_keys && n < LONG_MAX_COUNT - 1; i++)
        if (config_keys[i].option)
            ret_options[n++] = (struct option){config_keys[i].option, required_argument, NULL,
                                               OPTION_KEY + (int)i};
}

static void print_usage(FILE *out) {
    fputs("usage: p2pd [-c FILE] [options] [PEER ...]\n", out);
}

static void print_help(void) {
    print_usage(stdout);
    puts("PEER: an IP, IP:PORT, [IPv6]:PORT or host name of a node already in the network\n"
         "\n"
         "  -c, --config FILE          configuration file\n"
         "  -t, --check                check the configuration and exit\n"
         "  -b, --background           run in the background, log to syslog\n"
         "      --pidfile FILE         with -b: where to write the process id\n"
         "      --dump                 print the effective configuration and exit\n"
         "      --set SECTION.KEY=VALUE\n"
         "                             override any key of p2pd.conf(5)\n"
         "      --restore FILE         begin from a backup (p2pctl backup), and exit\n"
         "      --passphrase-file FILE with --restore: where its passphrase stands\n"
         "  -h, --help                 this text\n"
         "      --version              print the version");
    for (size_t i = 0; i < config_n_keys; i++)
        if (config_keys[i].option)
            printf("      --%-8s VALUE         %s\n", config_keys[i].option, config_keys[i].doc);
}

static int __attribute__((format(printf, 1, 2))) complain(const char *format, ...) {
    va_list args;
    fputs("p2pd: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return -EINVAL;
}

static int add_override(struct options *options, const struct config_key *key, const char *value) {
    struct config_source *source = &options->source;
    if (source->n_overrides == CONFIG_OVERRIDES_MAX)
        return complain("more than %d options", CONFIG_OVERRIDES_MAX);
    source->overrides[source->n_overrides++] = (struct config_override){key, value};
    return 0;
}

/* --set section.key=value */
static int add_setting(struct options *options, char *text) {
    char *equals = strchr(text, '='), *dot = strchr(text, '.');
    char section[64], name[64];
    if (!equals || !dot || dot > equals)
        return complain("--set %s: must be SECTION.KEY=VALUE", text);
    snprintf(section, sizeof section, "%.*s", (int)(dot - text), text);
    snprintf(name, sizeof name, "%.*s", (int)(equals - dot - 1), dot + 1);
    const struct config_key *key = config_find(section, name);
    if (!key)
        return complain("--set %s: unknown key %s.%s", text, section, name);
    return add_override(options, key, equals + 1);
}

static int copy_path(const char *option, const char *value, char ret_path[CONFIG_PATH_MAX]) {
    if (*value == '\0' || strlen(value) >= CONFIG_PATH_MAX)
        return complain("%s: the path is empty or too long", option);
    memcpy(ret_path, value, strlen(value) + 1);
    return 0;
}

static int parse_offset(const char *text, int64_t *ret_us) {
    char *end;
    errno = 0;
    long long seconds = strtoll(text, &end, 10);
    if (errno || end == text || *end || llabs(seconds) > CLOCK_OFFSET_MAX_S)
        return complain("--clock-offset %s: not a number of seconds", text);
    *ret_us = seconds * US_PER_S;
    return 0;
}

static int take_option(struct options *options, int option, char *value) {
    switch (option) {
    case 'c':
        options->source.file_may_be_missing = false;
        return copy_path("-c", value, options->source.file);
    case 't':
        options->check = true;
        return 0;
    case 'b':
        options->background = true;
        return 0;
    case OPTION_DUMP:
        options->dump = true;
        return 0;
    case OPTION_PIDFILE:
        return copy_path("--pidfile", value, options->pidfile);
    case OPTION_RESTORE:
        return copy_path("--restore", value, options->restore);
    case OPTION_PASSPHRASE:
        return copy_path("--passphrase-file", value, options->passphrase_file);
    case OPTION_CLOCK:
        return parse_offset(value, &options->clock_offset_us);
    case OPTION_SET:
        return add_setting(options, value);
    default:
        return add_override(options, &config_keys[option - OPTION_KEY], value);
    }
}

/* The place of a configuration that nobody has to have. */
static void default_file(struct config_source *source) {
    const char *folder = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    const size_t room = sizeof source->file;
    int length = 0;
    source->file_may_be_missing = true;
    if (geteuid() == 0)
        length = snprintf(source->file, room, "/etc/p2pd/p2pd.conf");
    else if (folder && *folder == '/')
        length = snprintf(source->file, room, "%s/p2pd/p2pd.conf", folder);
    else if (home && *home == '/')
        length = snprintf(source->file, room, "%s/.config/p2pd/p2pd.conf", home);
    if ((size_t)length >= room)
        source->file[0] = '\0';
}

/* In the background the working folder is "/": paths given relative to ours are made to last. */
static int fix_paths(struct options *options) {
    char error[FAILURE_MAX];
    struct config_source *source = &options->source;
    if (!getcwd(source->folder, sizeof source->folder))
        source->folder[0] = '\0'; /* a folder that is gone is no reason not to run from "/" */
    if (*options->passphrase_file && !*options->restore)
        return complain("--passphrase-file is of use with --restore only");
    if (!options->background && *options->pidfile)
        return complain("--pidfile is of use with -b only");
    if (!options->background)
        return 0;
    if (config_make_absolute(source->folder, source->file, error) < 0 ||
        config_make_absolute(source->folder, options->pidfile, error) < 0)
        return complain("%s", error);
    return 0;
}

enum options_outcome options_parse(int argc, char **argv, struct options *ret_options) {
    struct option long_options[LONG_MAX_COUNT];
    int option;
    build_long_options(long_options);
    memset(ret_options, 0, sizeof *ret_options);
    default_file(&ret_options->source);
    while ((option = getopt_long(argc, argv, "c:tbh", long_options, NULL)) != -1) {
        if (option == 'h' || option == OPTION_VERSION) {
            if (option == 'h')
                print_help();
            else
                puts("p2pd " P2PD_VERSION);
            return fflush(stdout) == 0 ? OPTIONS_DONE : OPTIONS_WRONG;
        }
        if (option == '?') {
            print_usage(stderr);
            return OPTIONS_WRONG;
        }
        if (take_option(ret_options, option, optarg) < 0)
            return OPTIONS_WRONG;
    }
    ret_options->source.peers = (const char *const *)(argv + optind);
    ret_options->source.n_peers = (size_t)(argc - optind);
    return fix_paths(ret_options) < 0 ? OPTIONS_WRONG : OPTIONS_RUN;
}
