/* The parts of push: one message, or standard input line by line. */
#ifndef P2PCTL_PUSH_H
#define P2PCTL_PUSH_H

#include "client/ctl/complain.h"

enum exit_code push_lines(struct context *context);

#endif
