/* See complain.h. */
#include "client/ctl/complain.h"

#include "shared/text.h"

#include <stdarg.h>
#include <stdio.h>

#define COMPLAINT_MAX 8192 /* room for a path, and the error after it */

enum exit_code complain(const struct context *context, enum exit_code code, const char *format,
                        ...) {
    char text[COMPLAINT_MAX], safe[2 * COMPLAINT_MAX], name[128] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* The text may quote an argument or an answer: escape it. */
    text_escape_string(text, safe, sizeof safe);
    if (context->name)
        text_escape_string(context->name, name, sizeof name);
    if (context->name)
        fprintf(stderr, "p2pctl: %s: %s\n", name, safe);
    else
        fprintf(stderr, "p2pctl: %s\n", safe);
    return code;
}
