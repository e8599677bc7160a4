/* A line on standard error that is rewritten a few times a second: what, how much, how fast, how
 * long still. Silent unless standard error is a terminal and neither -q nor --json was given. */
#ifndef P2PCTL_PROGRESS_H
#define P2PCTL_PROGRESS_H

#include "client/ctl/complain.h"

#include <stdint.h>

#define PROGRESS_LINE_MAX 1024

struct progress {
    const char *what; /* already safe for a terminal */
    bool shown;
    uint64_t total; /* 0: not known */
    uint64_t first, done;
    int64_t started_ms, drawn_ms;
};
/* `already`: done before we began, which says nothing of the rate. */
void progress_start(struct progress *progress, const struct context *context, const char *what,
                    uint64_t already, uint64_t total);
void progress_set(struct progress *progress, uint64_t done);
/* Take the line away. */
void progress_end(struct progress *progress);

/* The line for a terminal of so many columns, after so many milliseconds: never wider than that,
 * less the last column, at which many a terminal begins a new line. The name is cut in its middle;
 * where there is little room, time, rate and sizes go first. "": no room for anything. */
void progress_line(const struct progress *progress, int64_t passed_ms, size_t columns,
                   char ret_line[PROGRESS_LINE_MAX]);

#endif
