/* Lists that come in pages: each request asks for one page, beginning at the cursor of the page
 * before, so that no answer is larger than the daemon wants to hold. */
#ifndef P2PCTL_PAGES_H
#define P2PCTL_PAGES_H

#include "client/ctl/ask.h"

enum pages { PAGES_CONVERSATIONS, PAGES_HISTORY, PAGES_FILES };

/* Ask for page after page, and give each answer to `take`, until the list ends or `take` returns
 * other than CODE_DONE. CODE_DONE: the whole list was read. PAGES_HISTORY is the history with the
 * command's first argument, within --since and --until. */
enum exit_code pages_run(const struct context *context, enum pages kind,
                         enum exit_code (*take)(void *state, const P2pd__Control__Answer *answer),
                         void *state);

#endif
