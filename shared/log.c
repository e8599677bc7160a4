/* Threat: text of remote origin in a line. It is escaped here, in the one function through which
 * all lines go, so that no caller can forget it. */
#include "shared/log.h"

#include "shared/text.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX_BYTES 1024

static const struct {
    const char *name;
    int priority;
} levels[] = {[LOG_LEVEL_ERROR] = {"error", LOG_ERR},
              [LOG_LEVEL_WARNING] = {"warning", LOG_WARNING},
              [LOG_LEVEL_INFO] = {"info", LOG_INFO},
              [LOG_LEVEL_DEBUG] = {"debug", LOG_DEBUG}};

/* Is standard error the journal? All children inherit JOURNAL_STREAM, but standard error may have
 * been redirected since (systemd.exec(5)). */
static bool stderr_is_journal(void) {
    const char *value = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat status;
    return value && sscanf(value, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &status) == 0 && status.st_dev == (dev_t)device &&
           status.st_ino == (ino_t)inode;
}

void log_open(struct log *log, enum log_level level, bool to_syslog) {
    *log = (struct log){.level = level,
                        .sink = to_syslog             ? LOG_SINK_SYSLOG
                                : stderr_is_journal() ? LOG_SINK_JOURNAL
                                                      : LOG_SINK_STDERR};
    if (to_syslog)
        openlog("p2pd", LOG_PID, LOG_DAEMON);
}

void log_close(struct log *log) {
    if (log->sink == LOG_SINK_SYSLOG)
        closelog();
}

int log_parse_level(const char *text, enum log_level *ret_level) {
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (strcmp(text, levels[i].name) == 0) {
            *ret_level = (enum log_level)i;
            return 0;
        }
    return -EINVAL;
}

size_t log_finish(const struct log *log, enum log_level level, const char *text,
                  char ret_line[LOG_LINE_MAX]) {
    char escaped[TEXT_MAX_BYTES], when[TEXT_TIME_MAX];
    struct timespec now = {0};
    text_escape_string(text, escaped, sizeof escaped);
    if (log->sink == LOG_SINK_SYSLOG)
        return (size_t)snprintf(ret_line, LOG_LINE_MAX, "%s", escaped);
    if (log->sink == LOG_SINK_JOURNAL)
        return (size_t)snprintf(ret_line, LOG_LINE_MAX, "<%d>%s\n", levels[level].priority,
                                escaped);
    clock_gettime(CLOCK_REALTIME, &now);
    text_time((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, when);
    return (size_t)snprintf(ret_line, LOG_LINE_MAX, "%s %s: %s\n", when, levels[level].name,
                            escaped);
}

/* Whoever shares standard error with us may have made it non-blocking: then wait. */
static int write_all(const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t n = write(STDERR_FILENO, bytes, length);
        struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            poll(&room, 1, -1);
        else if (n < 0 && errno != EINTR)
            return -errno;
        bytes += n > 0 ? n : 0;
        length -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int log_write(enum log_sink sink, enum log_level level, const char *line, size_t length) {
    if (sink != LOG_SINK_SYSLOG)
        return write_all(line, length);
    syslog(levels[level].priority, "%.*s", (int)length, line);
    return 0;
}

void log_text(const struct log *log, enum log_level level, const char *text) {
    int saved = errno;
    char line[LOG_LINE_MAX];
    size_t length = log_finish(log, level, text, line);
    if (log->put)
        log->put(log->context, level, line, length);
    else
        log_write(log->sink, level, line, length);
    errno = saved;
}

void log_format(const struct log *log, enum log_level level, const char *format, ...) {
    int saved = errno;
    char text[TEXT_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_text(log, level, text);
    errno = saved;
}
