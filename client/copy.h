/* Copying a file through a descriptor that the daemon passed to us: hashed on the way, its progress
 * shown on a terminal. */
#ifndef P2PCTL_COPY_H
#define P2PCTL_COPY_H

#include "client/command.h"

#include <stdint.h>

#define COPY_DIGEST_LEN 32

/* A line on standard error that is rewritten a few times a second: what, how much, how fast, how long
 * still. Silent unless standard error is a terminal and neither -q nor --json was given. */
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

/* Copy until the end. 0, or -errno; *ret_at_source: it was reading that failed. */
int copy_file(int from, int to, struct progress *progress, uint64_t *ret_size,
              uint8_t ret_digest[COPY_DIGEST_LEN], bool *ret_at_source);

/* Make a new file `folder`/`name`, or `name`.1, .2 ...: never in the place of another. It is called
 * NAME.part until copy_finish. */
struct copy_target {
    int folder, fd;
    const char *name;
    char part[256], final[256];
};
/* 0 or -errno. On success the target holds fd. */
int copy_create(struct copy_target *target, int folder, const char *name);
/* Everything is there: sync it and give it its name, which is in target->final. Closes fd. 0 or
 * -errno, and then nothing is left. */
int copy_finish(struct copy_target *target);
void copy_abandon(struct copy_target *target);

#endif
