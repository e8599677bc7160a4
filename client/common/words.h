/* The words for states, levels and rules: the same in text and in JSON. */
#ifndef P2PD_CLIENT_WORDS_H
#define P2PD_CLIENT_WORDS_H

#include "proto/control.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

#define WORDS_KIND_FILE 2     /* in a message's `kind` */
#define WORDS_LEVEL_TROUBLE 2 /* in a finding's `level` */

const char *words_state(P2pd__Control__State state);
/* The reason, or "" if it says no more than the word for the state. */
const char *words_why(P2pd__Control__State state, const char *reason);
const char *words_item(const P2pd__Control__HistoryItem *item);
const char *words_file(const P2pd__Control__File *file);
bool words_file_is_outgoing(const P2pd__Control__File *file);
const char *words_level(uint32_t level);
const char *words_rule(P2pd__Control__SenderRule rule);

#endif
