/* p2pctl: lives for one request to the daemon. */
#include "client/common/output.h"
#include "client/ctl/command.h"
#include "shared/version.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLES_MAX 32

/* Options of all commands are known while the command is searched for; then only the common ones
 * and the command's own are parsed. */
static const struct command *find_command(int argc, char **argv, const char **ret_name) {
    const struct option *tables[TABLES_MAX] = {options_common};
    struct option_sets sets = {tables, 1};
    for (const struct command *command = command_table; command->name; command++) {
        assert(sets.n < TABLES_MAX);
        tables[sets.n++] = command->options;
    }
    *ret_name = options_find_command(&sets, argc, argv);
    return *ret_name ? command_find(*ret_name) : NULL;
}

static enum exit_code usage_error(const struct context *context, const char *why) {
    complain(context, CODE_USAGE, "%s", why);
    fprintf(stderr, "try: p2pctl help%s%s\n", context->name ? " " : "",
            context->name ? context->name : "");
    return CODE_USAGE;
}

static enum exit_code run(const struct command *command, struct context *context) {
    int n = context->n_arguments;
    if (context->options.version) {
        printf("p2pctl %s\n", P2PD_VERSION);
        return CODE_DONE;
    }
    if (context->options.help) {
        if (command)
            command_print_usage(command);
        else
            command_print_all();
        return CODE_DONE;
    }
    if (!command)
        return usage_error(context, "no command");
    if (n < command->arguments_min)
        return usage_error(context, "too few arguments");
    if (command->arguments_max >= 0 && n > command->arguments_max)
        return usage_error(context, "too many arguments");
    return command->run(context);
}

/* If output could not be written, that is an error, even after a success. */
static enum exit_code flushed(const struct context *context, enum exit_code code) {
    int error = output_flush();
    if (error == 0 || code != CODE_DONE)
        return code;
    return complain(context, CODE_FAILED, "standard output: %s", strerror(-error));
}

int main(int argc, char **argv) {
    struct context context = {0};
    char error[OPTIONS_ERROR_MAX];
    /* Let writing to a reader that is gone fail like any other write: exit code 1, and nothing is
     * confirmed. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* likewise a file at its size limit */
    output_guard();
    const struct command *command = find_command(argc, argv, &context.name);
    const struct option *tables[2] = {options_common, command ? command->options : NULL};
    struct option_sets sets = {tables, command ? 2 : 1};
    const char **words = calloc((size_t)argc + 1, sizeof *words);
    if (!words)
        return complain(&context, CODE_FAILED, "no memory");
    options_init(&context.options);
    int n = 0;
    enum exit_code code;
    if (context.name && !command) {
        complain(&context, CODE_USAGE, "no such command");
        fputs("try: p2pctl help\n", stderr);
        code = CODE_USAGE;
    } else if (options_parse(&sets, argc, argv, &context.options, words, &n, error) < 0) {
        code = usage_error(&context, error);
    } else {
        context.arguments = words + (n > 0);
        context.n_arguments = n - (n > 0);
        code = flushed(&context, run(command, &context));
    }
    free(words);
    return (int)code;
}
