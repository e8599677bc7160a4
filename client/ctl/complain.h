/* What all commands share: their context, the exit codes, and the one form of error messages. */
#ifndef P2PCTL_COMPLAIN_H
#define P2PCTL_COMPLAIN_H

#include "client/ctl/options.h"

/* p2pctl(1) EXIT STATUS. All but CODE_NO_DAEMON are also the codes of the daemon's answers. */
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
    const char **arguments; /* the words after the command */
    int n_arguments;
    const char *about; /* the file to which a request belongs, or NULL */
    char outcome[160]; /* added to the error if the daemon's answer is lost, or "" */
};

/* Print "p2pctl: what: why" to standard error; returns code. */
enum exit_code complain(const struct context *context, enum exit_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
