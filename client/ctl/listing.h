/* A list that a command prints: one JSON array, or one table under its headings, in however many
 * answers it comes. */
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

/* Begin, with the headings of its columns (or NULL: none). CODE_DONE, or another code after a
 * line on standard error. Ended by listing_end, whose result is that of the command. */
enum exit_code listing_begin(struct listing *listing, const struct context *context,
                             const char *const *headings, size_t columns);
/* JSON only: the next record, printed as it comes. */
void listing_record(struct listing *listing, const ProtobufCMessage *message);
/* `code` is how the list was got: what is printed as a table is printed only if all of it is there.
 * Frees the table. */
enum exit_code listing_end(struct listing *listing, enum exit_code code);

#endif
