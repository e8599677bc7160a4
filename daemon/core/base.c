#include "daemon/core/base.h"

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
