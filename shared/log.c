/* Threat: text of remote origin in a line. It is escaped here, at the one exit, so that no
 * caller can forget it. */
#include "shared/log.h"

#include "shared/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static const struct {
    const char *name;
    int priority;
} levels[] = {[LOG_LEVEL_ERROR] = {"error", LOG_ERR},
              [LOG_LEVEL_WARNING] = {"warning", LOG_WARNING},
              [LOG_LEVEL_INFO] = {"info", LOG_INFO},
              [LOG_LEVEL_DEBUG] = {"debug", LOG_DEBUG}};

/* JOURNAL_STREAM is inherited by all children; standard error may have been redirected since
 * (systemd.exec(5)). */
static bool stderr_is_journal(void) {
    const char *value = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat status;
    return value && sscanf(value, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &status) == 0 && status.st_dev == (dev_t)device &&
           status.st_ino == (ino_t)inode;
}

void log_open(struct log *log, enum log_level level, bool to_syslog) {
    log->level = level;
    log->sink = to_syslog             ? LOG_SINK_SYSLOG
                : stderr_is_journal() ? LOG_SINK_JOURNAL
                                      : LOG_SINK_STDERR;
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

void log_text(const struct log *log, enum log_level level, const char *text) {
    int saved = errno;
    char line[LINE_MAX_BYTES], when[TEXT_TIME_MAX];
    text_escape_string(text, line, sizeof line);
    if (log->sink == LOG_SINK_SYSLOG) {
        syslog(levels[level].priority, "%s", line);
    } else if (log->sink == LOG_SINK_JOURNAL) {
        fprintf(stderr, "<%d>%s\n", levels[level].priority, line);
    } else {
        struct timespec now = {0};
        clock_gettime(CLOCK_REALTIME, &now);
        text_time((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, when);
        fprintf(stderr, "%s %s: %s\n", when, levels[level].name, line);
    }
    errno = saved;
}

void log_format(const struct log *log, enum log_level level, const char *format, ...) {
    int saved = errno;
    char text[LINE_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_text(log, level, text);
    errno = saved;
}
