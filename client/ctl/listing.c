/* See listing.h. A JSON array is opened with its first record, so a command that fails before that
 * prints nothing. */
#include "client/ctl/listing.h"

#include <stdio.h>

enum exit_code listing_begin(struct listing *listing, const struct context *context,
                             const char *const *headings, size_t columns) {
    *listing = (struct listing){.context = context, .json = json_to_stdout()};
    if (context->options.json)
        return CODE_DONE;
    listing->table = table_new(columns);
    if (!listing->table)
        return complain(context, CODE_FAILED, "no memory");
    if (headings && !context->options.quiet)
        table_cells(listing->table, headings, columns);
    return CODE_DONE;
}

void listing_record(struct listing *listing, const ProtobufCMessage *message) {
    if (!listing->is_begun)
        json_open(&listing->json, '[');
    listing->is_begun = true;
    json_message(&listing->json, message);
}

static enum exit_code print(struct listing *listing) {
    if (!listing->table) {
        if (!listing->is_begun)
            json_open(&listing->json, '[');
        json_close(&listing->json, ']');
        printf("\n");
        return CODE_DONE;
    }
    return table_print(listing->table, stdout) < 0
               ? complain(listing->context, CODE_FAILED, "no memory")
               : CODE_DONE;
}

enum exit_code listing_end(struct listing *listing, enum exit_code code) {
    if (code == CODE_DONE)
        code = print(listing);
    table_free(listing->table);
    listing->table = NULL;
    return code;
}
