/* The commands of p2pctl: the table, and the functions that it uses. */
#ifndef P2PCTL_COMMAND_H
#define P2PCTL_COMMAND_H

#include "client/ctl/complain.h"

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

/* The commands, by the file that holds each family. */
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
