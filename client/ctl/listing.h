/* A list that a command prints, in however many answers it comes: as one JSON array, or as one
 * table with headings. */
#ifndef P2PCTL_LISTING_H
#define P2PCTL_LISTING_H

#include "client/common/json.h"
#include "client/common/table.h"
#include "client/ctl/complain.h"

struct listing {
    const struct context *context;
    struct json json;
    struct table *table; /* NULL for JSON */
    bool is_begun;
};

/* Begin a list; `headings` of the columns, or NULL. CODE_DONE, or another code after a line on
 * standard error. Call listing_end at the end, and return its result. */
enum exit_code listing_begin(struct listing *listing, const struct context *context,
                             const char *const *headings, size_t columns);
/* JSON only: print the next record at once. */
void listing_record(struct listing *listing, const ProtobufCMessage *message);
/* End a list; `code` tells whether it was read completely. A table is printed only if it is
 * complete. Frees the table. */
enum exit_code listing_end(struct listing *listing, enum exit_code code);

#endif
