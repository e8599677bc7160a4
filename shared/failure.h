/* How the daemon and its configuration say why something failed: a negative errno for the
 * program, one line for people. */
#ifndef P2PD_FAILURE_H
#define P2PD_FAILURE_H

#include <stdarg.h>
#include <stdio.h>

#define FAILURE_MAX 256

/* Write the line (cut at FAILURE_MAX) and return `code`, so that "return failure(...)" is the
 * whole error path. */
static inline int __attribute__((format(printf, 3, 4)))
failure(char text[FAILURE_MAX], int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(text, FAILURE_MAX, format, args);
    va_end(args);
    return code;
}

#endif
