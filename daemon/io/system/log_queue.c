/* See log_queue.h. The structure is shared by the thread and the log: if the thread hangs at the
 * end, the thread keeps it. */
#include "daemon/io/system/log_queue.h"
#include "daemon/io/system/process.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct head { /* before each line in the ring */
    uint16_t length;
    uint8_t level;
};
struct log_queue {
    pthread_mutex_t lock;
    pthread_cond_t filled, ended;
    struct log log; /* for its sink: where the thread writes */
    bool closing, has_ended, abandoned;
    uint64_t lost_since_said, lost;
    size_t first, used; /* of the ring */
    char ring[LOG_QUEUE_BYTES];
};

/* ---- The ring ---- */

static void ring_put(struct log_queue *queue, const void *bytes, size_t length) {
    size_t at = (queue->first + queue->used) % LOG_QUEUE_BYTES;
    size_t part = length < LOG_QUEUE_BYTES - at ? length : LOG_QUEUE_BYTES - at;
    memcpy(queue->ring + at, bytes, part);
    memcpy(queue->ring, (const char *)bytes + part, length - part);
    queue->used += length;
}

static void ring_take(struct log_queue *queue, void *ret_bytes, size_t length) {
    size_t at = queue->first;
    size_t part = length < LOG_QUEUE_BYTES - at ? length : LOG_QUEUE_BYTES - at;
    memcpy(ret_bytes, queue->ring + at, part);
    memcpy((char *)ret_bytes + part, queue->ring, length - part);
    queue->used -= length;
    /* When the ring is empty, start again at its beginning, so that its far pages are touched only
     * when they are needed. */
    queue->first = queue->used == 0 ? 0 : (queue->first + length) % LOG_QUEUE_BYTES;
}

/* ---- The log's side ---- */

static void put(void *context, enum log_level level, const char *line, size_t length) {
    struct log_queue *queue = context;
    struct head head = {(uint16_t)length, (uint8_t)level};
    pthread_mutex_lock(&queue->lock);
    /* After a lost line all further ones are lost, too, until the thread has written in their place
     * how many. */
    if (queue->lost_since_said > 0 || queue->used + sizeof head + length > LOG_QUEUE_BYTES) {
        queue->lost_since_said++;
        queue->lost++;
    } else {
        ring_put(queue, &head, sizeof head);
        ring_put(queue, line, length);
        pthread_cond_signal(&queue->filled);
    }
    pthread_mutex_unlock(&queue->lock);
}

static void drop(void *context, enum log_level level, const char *line, size_t length) {
    (void)context, (void)level, (void)line, (void)length;
}

/* ---- The thread ---- */

/* Wait for the next line to write, under the lock; 0: there will be none. */
static size_t next_line(struct log_queue *queue, enum log_level *ret_level,
                        char ret_line[LOG_LINE_MAX]) {
    struct head head;
    while (queue->used == 0 && queue->lost_since_said == 0 && !queue->closing)
        pthread_cond_wait(&queue->filled, &queue->lock);
    if (queue->used > 0) {
        ring_take(queue, &head, sizeof head);
        ring_take(queue, ret_line, head.length);
        *ret_level = (enum log_level)head.level;
        return head.length;
    }
    if (queue->lost_since_said == 0)
        return 0;
    char text[128];
    snprintf(text, sizeof text, "%" PRIu64 " %s of this log missing here: it was not read",
             queue->lost_since_said, queue->lost_since_said == 1 ? "line is" : "lines are");
    queue->lost_since_said = 0;
    *ret_level = LOG_LEVEL_WARNING;
    return log_finish(&queue->log, LOG_LEVEL_WARNING, text, ret_line);
}

static void destroy(struct log_queue *queue) {
    pthread_cond_destroy(&queue->filled);
    pthread_cond_destroy(&queue->ended);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

static void *run(void *context) {
    struct log_queue *queue = context;
    char line[LOG_LINE_MAX];
    enum log_level level;
    size_t length;
    pthread_mutex_lock(&queue->lock);
    while ((length = next_line(queue, &level, line)) > 0) {
        pthread_mutex_unlock(&queue->lock);
        int r = log_write(queue->log.sink, level, line, length);
        pthread_mutex_lock(&queue->lock);
        queue->lost += r < 0;
    }
    queue->has_ended = true;
    bool abandoned = queue->abandoned;
    pthread_cond_signal(&queue->ended);
    pthread_mutex_unlock(&queue->lock);
    if (abandoned)
        destroy(queue);
    return NULL;
}

int log_queue_start(struct log_queue **ret_queue, struct log *log) {
    struct log_queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return -ENOMEM;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->filled, NULL);
    pthread_cond_init(&queue->ended, NULL);
    queue->log = *log;
    int r = process_thread(run, queue);
    if (r < 0) {
        destroy(queue);
        return r;
    }
    log->put = put;
    log->context = queue;
    *ret_queue = queue;
    return 0;
}

uint64_t log_queue_lost(struct log_queue *queue) {
    if (!queue)
        return 0;
    pthread_mutex_lock(&queue->lock);
    uint64_t lost = queue->lost;
    pthread_mutex_unlock(&queue->lock);
    return lost;
}

bool log_queue_stop(struct log_queue *queue, struct log *log) {
    struct timespec until;
    if (!queue)
        return true;
    clock_gettime(CLOCK_REALTIME, &until); /* the clock of pthread_cond_timedwait on every system */
    until.tv_sec += LOG_QUEUE_END_MS / 1000;
    log->put = drop;
    log->context = NULL;
    pthread_mutex_lock(&queue->lock);
    queue->closing = true;
    pthread_cond_signal(&queue->filled);
    int r = 0;
    while (!queue->has_ended && r == 0)
        r = pthread_cond_timedwait(&queue->ended, &queue->lock, &until);
    bool ended = queue->has_ended;
    queue->abandoned = !ended;
    pthread_mutex_unlock(&queue->lock);
    if (ended) {
        destroy(queue);
        log->put = NULL;
    }
    return ended;
}
