/* A command of p2pctl: its table entry, and what it is given to run. */
#ifndef P2PCTL_COMMAND_H
#define P2PCTL_COMMAND_H

#include "client/ctl/options.h"

/* p2pctl(1) EXIT STATUS. Those but CODE_NO_DAEMON are also the codes of the daemon's answers. */
enum exit_code {
    CODE_DONE = 0,
    CODE_FAILED = 1,
    CODE_USAGE = 2,
    CODE_NO_DAEMON = 3,
    CODE_UNKNOWN = 4,
    CODE_TIMEOUT = 5,
    CODE_LIMIT = 6,
    CODE_KEY_CHANGED = 7,
};

struct context {
    const char *name; /* of the command */
    struct options options;
    const char **arguments; /* the words behind the command */
    int n_arguments;
    const char *about; /* the file that a request is made for, or NULL */
    char outcome[160]; /* what to add where the daemon's answer is lost, or "" */
};

struct command {
    const char *name; /* NULL ends the table */
    const char *arguments, *summary;
    int arguments_min, arguments_max; /* max -1: any number */
    const struct option *options;
    enum exit_code (*run)(struct context *context);
};

extern const struct command command_table[];
const struct command *command_find(const char *name);
/* p2pctl help, and help of one command. */
void command_print_all(void);
void command_print_usage(const struct command *command);

/* "p2pctl: what: why" to standard error; returns code. */
enum exit_code complain(const struct context *context, enum exit_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The commands, a file a family. */
enum exit_code push_run(struct context *context);
enum exit_code pull_run(struct context *context);
enum exit_code status_run(struct context *context);
enum exit_code peers_run(struct context *context);
enum exit_code nodes_run(struct context *context);
enum exit_code route_run(struct context *context);
enum exit_code ping_run(struct context *context);
enum exit_code send_run(struct context *context);
enum exit_code files_run(struct context *context);
enum exit_code receive_run(struct context *context);
enum exit_code conversations_run(struct context *context);
enum exit_code history_run(struct context *context);
enum exit_code forget_run(struct context *context);
enum exit_code allow_run(struct context *context);
enum exit_code block_run(struct context *context);
enum exit_code unblock_run(struct context *context);
enum exit_code rules_run(struct context *context);
enum exit_code doctor_run(struct context *context);
enum exit_code backup_run(struct context *context);
enum exit_code cancel_run(struct context *context);
enum exit_code connect_run(struct context *context);
enum exit_code disconnect_run(struct context *context);
enum exit_code trust_run(struct context *context);
enum exit_code stop_run(struct context *context);
enum exit_code reload_run(struct context *context);
enum exit_code help_run(struct context *context);

extern const struct option push_options[], pull_options[], status_options[], route_options[],
    send_options[], history_options[], backup_options[], trust_options[];

#endif
