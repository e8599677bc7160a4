/* A line on standard error that is rewritten a few times a second: the name, how much, how fast,
 * and the time left. Silent unless standard error is a terminal and neither -q nor --json was
 * given. */
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
/* `already`: bytes that were done before we began, which do not count for the rate. */
void progress_start(struct progress *progress, const struct context *context, const char *what,
                    uint64_t already, uint64_t total);
void progress_set(struct progress *progress, uint64_t done);
/* Remove the line. */
void progress_end(struct progress *progress);

/* Make the line for a terminal of `columns` columns, after `passed_ms`. It is never wider than the
 * terminal less its last column, in which many terminals begin a new line. The name is cut in its
 * middle; with little room, time, rate and sizes are left out first. "": there is no room for
 * anything. */
void progress_line(const struct progress *progress, int64_t passed_ms, size_t columns,
                   char ret_line[PROGRESS_LINE_MAX]);

#endif
