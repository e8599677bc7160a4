/* A log that never makes the daemon wait. Lines are put into a bounded queue and written by a
 * thread of their own: a pipe that nobody reads, a terminal that was stopped, a hanging journal or
 * disk stop that thread alone.
 *
 * Threat: whoever can make the daemon log can fill the queue. What does not fit is counted, and the
 * log says how many lines are missing where they are missing. */
#ifndef P2PD_LOG_QUEUE_H
#define P2PD_LOG_QUEUE_H

#include "shared/log.h"

#include <stdint.h>

#define LOG_QUEUE_BYTES (128u * 1024u)
/* At the end, lines that are not written within this time are given up. */
#define LOG_QUEUE_END_MS 1000

struct log_queue;

/* From here on the lines of `log` go through a queue. 0, or negative errno: then they are written
 * directly, as before. */
int log_queue_start(struct log_queue **ret_queue, struct log *log);
/* How many lines were lost so far, because the queue was full or they could not be written. Takes
 * NULL. */
uint64_t log_queue_lost(struct log_queue *queue);
/* Write what waits, for LOG_QUEUE_END_MS at most. False: the thread still hangs in a write; later
 * lines of `log` are dropped, and closing its sink could hang too. Takes NULL. */
bool log_queue_stop(struct log_queue *queue, struct log *log);

#endif
