/* The plain text of the original proposal, for nc -U and scripts of its time: parsing a request,
 * writing the answers to PULL. Pure. PUSH IP:<ip> MSG:<text>, and PULL. */
#ifndef P2PD_CONTROL_TEXT_H
#define P2PD_CONTROL_TEXT_H

#include "daemon/core/seam/answer.h"

enum control_text_kind { CONTROL_TEXT_MALFORMED, CONTROL_TEXT_PUSH, CONTROL_TEXT_PULL };
struct control_text {
    enum control_text_kind kind;
    struct address to;   /* PUSH */
    const uint8_t *body; /* PUSH: within the bytes parsed */
    size_t size;
};

/* Parse one request, which ends at its first newline (one carriage return before it goes too) or
 * at `length`. */
struct control_text control_text_parse(const uint8_t *bytes, size_t length);
/* A message's line in the answer to PULL, escaped as `p2pctl pull` does. malloced; NULL: no
 * memory. */
uint8_t *control_text_line(const struct in_record *message, size_t *ret_length);

#endif
