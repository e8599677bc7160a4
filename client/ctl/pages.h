/* Lists that come in pages: one request a page, each going on from the last one's cursor, so that
 * no answer is larger than the daemon wants to hold. */
#ifndef P2PCTL_PAGES_H
#define P2PCTL_PAGES_H

#include "client/ctl/ask.h"

enum pages { PAGES_CONVERSATIONS, PAGES_HISTORY, PAGES_FILES };

/* Ask for page after page, hand each of its answers to `take`, until there is none left or it
 * returns other than CODE_DONE: that, and nothing less, is the end of the list. History is that of
 * the command's first argument, within --since and --until. */
enum exit_code pages_run(const struct context *context, enum pages kind,
                         enum exit_code (*take)(void *state, const P2pd__Control__Answer *answer),
                         void *state);

#endif
