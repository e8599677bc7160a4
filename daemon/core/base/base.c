#include "daemon/core/base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void core_log(const struct core_trace *trace, enum trace_level level, const char *format, ...) {
    char text[256];
    va_list args;

    if (!trace->line || level > trace->level)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    trace->line(trace->context, level, text);
}

void error_words(int error, char ret_text[ERROR_WORDS_MAX]) {
    static const struct {
        int error;
        const char *words;
    } known[] = {
        {-ENOSPC, "the disk is full"},
        {-EDQUOT, "the quota is used up"},
        {-EIO, "the disk does not work (input/output error)"},
        {-EROFS, "the disk is read-only"},
        {-EACCES, "no permission to write there"},
        {-EPERM, "no permission to write there"},
        {-EFBIG, "no file may become that large (ulimit -f, the file system)"},
        {-ENOMEM, "out of memory"},
        {-EMFILE, "out of file descriptors (raise ulimit -n, LimitNOFILE)"},
        {-ENFILE, "the system is out of file descriptors (fs.file-max)"},
        {-EAGAIN, "out of threads (raise ulimit -u, TasksMax)"},
        {-EBUSY, "somebody else is using it"},
        {-ENOENT, "it is gone"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].error == error) {
            snprintf(ret_text, ERROR_WORDS_MAX, "%s", known[i].words);
            return;
        }
    snprintf(ret_text, ERROR_WORDS_MAX, "the store failed (error %d)", -error);
}

bool error_is_limit(int error) {
    return error == -ENOMEM || error == -EMFILE || error == -ENFILE || error == -EAGAIN;
}
