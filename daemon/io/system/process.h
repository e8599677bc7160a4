/* What a process asks of its system before it becomes a daemon: limits, core dumps, memory, going
 * to the background, and an end that is certain. Keeps no state of its own. */
#ifndef P2PD_PROCESS_H
#define P2PD_PROCESS_H

#include "shared/failure.h"

#include <sys/types.h>

/* Prepare the process, before a key is read: all standard streams open, signals as we need them
 * whatever was inherited, no core dumps, new files private, as few and small heaps as the system
 * lets us ask for, limits on open files and locked memory raised as far as allowed. 0, or -EMFILE:
 * too few files for anything. */
int process_prepare(char error[FAILURE_MAX]);

/* How many descriptors are allowed, and how many are open. */
size_t process_files_max(void);
size_t process_files_open(void);

/* Going to the background. The parent stays until the child tells it how the start went, so that
 * the exit code and the messages of a failed start reach the caller. */
struct process_background {
    int pipe; /* -1: in the foreground */
    const char *pidfile;
};
/* Fork. In the child: 0 and *ret_background; of the caller's descriptors only the standard streams
 * are left, until process_started. The parent does not return: it exits with the code that the
 * child tells it. */
int process_background(struct process_background *ret_background, const char *pidfile,
                       char error[FAILURE_MAX]);
/* In the child, once it is up: write the pid file, leave the current folder, detach from the
 * standard streams, and release the parent with exit code 0. Does nothing in the foreground. 0, or
 * negative errno and a line. */
int process_started(struct process_background *background, char error[FAILURE_MAX]);
/* Write the pid file. 0, or negative errno and a line. */
int process_write_pidfile(const char *path, char error[FAILURE_MAX]);
/* At the end: remove the pid file that process_started wrote, if it is still ours. */
void process_ended(const struct process_background *background);

/* Root becomes another user for good, with only that one group. 0, or negative errno and a line. */
int process_become(uid_t user, gid_t group, char error[FAILURE_MAX]);

/* From now on the process ends with exit code 0 within `seconds`, whatever hangs. Safe in a
 * signal handler. */
void process_end_within(unsigned seconds);

/* Start a thread with a small stack that takes no signals; detached. 0 or negative errno. */
int process_thread(void *(*run)(void *), void *context);

#endif
