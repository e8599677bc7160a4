/* How many columns of a terminal a text takes. Pure. */
#ifndef P2PCTL_WIDTH_H
#define P2PCTL_WIDTH_H

#include <stddef.h>

/* Columns of a valid UTF-8 text without controls: two for East Asian characters and emoji, none for
 * combining marks. Where terminals differ, the larger number. */
size_t width_of(const char *text);
/* Copy the text; if it is wider than `columns`, its beginning, ".." and its end. */
void width_fit(const char *text, size_t columns, char *ret_text, size_t room);

#endif
