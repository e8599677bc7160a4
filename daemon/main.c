/* p2pd: arguments, then the shell around the node until it is told to stop. */
#include "daemon/config/options.h"
#include "daemon/io/shell/config_check.h"
#include "daemon/io/shell/restore.h"
#include "daemon/io/shell/shell.h"
#include "daemon/io/system/process.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXIT_CONFIG 2

static int complain(const char *error) {
    fprintf(stderr, "p2pd: %s\n", error);
    return EXIT_FAILURE;
}

static int run(const struct options *options, struct config *config) {
    struct process_background background = {.pipe = -1};
    const char *pidfile = *options->pidfile ? options->pidfile : NULL;
    struct shell *shell = NULL;
    char error[FAILURE_MAX];
    if (process_prepare(error) < 0)
        return complain(error);
    if (options->background && process_background(&background, pidfile, error) < 0)
        return complain(error);
    if (shell_open(&shell, options, config, error) < 0)
        return complain(error);
    int code = EXIT_FAILURE;
    if (process_started(&background, error) < 0)
        complain(error);
    else
        code = shell_run(shell);
    shell_release(shell);
    process_ended(&background); /* before anybody may write the next one's */
    shell_close(shell);
    return code;
}

/* file:line: message, as editors read it. */
static int tell(const struct config_mistakes *mistakes) {
    for (size_t i = 0; i < mistakes->n; i++)
        fprintf(stderr, "%s\n", mistakes->v[i]);
    return EXIT_CONFIG;
}

static int check(const struct options *options, const struct config *config) {
    struct config_mistakes mistakes = {.n = 0}, notes = {.n = 0};
    int r = config_check(&options->source, config, CONFIG_CHECK_ALL, &mistakes, &notes);
    tell(&notes);
    if (r < 0)
        return tell(&mistakes);
    puts("the configuration is valid");
    return fflush(stdout) == 0 ? 0 : EXIT_FAILURE;
}

/* -t, --dump, --restore or the daemon itself. */
static int start(const struct options *options, struct config *config) {
    struct config_mistakes mistakes = {.n = 0};
    if (config_load(&options->source, config, &mistakes) < 0)
        return tell(&mistakes);
    if (options->dump)
        return config_dump(config, stdout) < 0 ? complain("cannot write the dump") : 0;
    if (options->check)
        return check(options, config);
    if (config_check(&options->source, config, CONFIG_CHECK_GROUP | CONFIG_CHECK_SECRET, &mistakes,
                     NULL) < 0 &&
        !*options->restore)
        return tell(&mistakes);
    return *options->restore ? restore_run(options, config) : run(options, config);
}

int main(int argc, char **argv) {
    struct options *options = malloc(sizeof *options);
    struct config *config = malloc(sizeof *config);
    int code = EXIT_FAILURE;
    if (!options || !config || sodium_init() < 0) {
        complain("out of memory, or no source of randomness");
    } else {
        enum options_outcome outcome = options_parse(argc, argv, options);
        code = outcome == OPTIONS_WRONG ? EXIT_CONFIG : 0;
        if (outcome == OPTIONS_RUN)
            code = start(options, config);
    }
    free(config);
    free(options);
    return code;
}
