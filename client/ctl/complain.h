/* What every command has: what it is given to run, the exit codes that it ends with, and the one
 * form in which it says what went wrong. */
#ifndef P2PCTL_COMPLAIN_H
#define P2PCTL_COMPLAIN_H

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

/* "p2pctl: what: why" to standard error; returns code. */
enum exit_code complain(const struct context *context, enum exit_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
