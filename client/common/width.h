/* How many columns of a terminal a text takes. Pure. */
#ifndef P2PCTL_WIDTH_H
#define P2PCTL_WIDTH_H

#include <stddef.h>

/* Of valid UTF-8 without controls: two for what East Asian scripts and emoji take, none for marks
 * that stand over another character. Where terminals differ, the larger. */
size_t width_of(const char *text);
/* The text, or where it is wider than that its beginning, ".." and its end. */
void width_fit(const char *text, size_t columns, char *ret_text, size_t room);

#endif
