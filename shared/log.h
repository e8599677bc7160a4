/* The log of the daemon's shell: four levels, to standard error or to syslog. The core does not
 * know it: its trace sink calls log_text. Lines above the level cost one comparison; errno is
 * the same afterwards. */
#ifndef P2PD_LOG_H
#define P2PD_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
/* For the journal, lines on standard error have no time, and begin with the level as sd-daemon(3)
 * wants it: "<4>". */
enum log_sink { LOG_SINK_STDERR, LOG_SINK_JOURNAL, LOG_SINK_SYSLOG };

/* The longest line, with everything before its text. */
#define LOG_LINE_MAX 1100

struct log {
    enum log_level level;
    enum log_sink sink;
    /* Where finished lines go; NULL: log_write. */
    void (*put)(void *context, enum log_level level, const char *line, size_t length);
    void *context;
};

/* Log to standard error (in the journal's form if JOURNAL_STREAM names it), or to syslog. */
void log_open(struct log *log, enum log_level level, bool to_syslog);
void log_close(struct log *log);
/* "error", "warning", "info", "debug". 0 or -EINVAL. */
int log_parse_level(const char *text, enum log_level *ret_level);

/* Log one line, whatever the level. Control characters in it are escaped: remote text must not
 * forge a line. */
void log_text(const struct log *log, enum log_level level, const char *text);
/* Make that line as it is written: with its time or priority, and its newline. Returns its
 * length. */
size_t log_finish(const struct log *log, enum log_level level, const char *text,
                  char ret_line[LOG_LINE_MAX]);
/* Write a finished line; waits for as long as whoever reads the log makes us wait. 0 or -errno. */
int log_write(enum log_sink sink, enum log_level level, const char *line, size_t length);
void log_format(const struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The arguments are not even evaluated above the level. */
#define log_at(log, wanted, ...)                                                                   \
    do {                                                                                           \
        if ((wanted) <= (log)->level)                                                              \
            log_format((log), (wanted), __VA_ARGS__);                                              \
    } while (0)
#define log_error(log, ...) log_at(log, LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(log, ...) log_at(log, LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(log, ...) log_at(log, LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_at(log, LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
