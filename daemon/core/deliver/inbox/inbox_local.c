/* Blocks of messages to ourselves: stored as those of others are, without a word to anybody. */
#include "daemon/core/deliver/inbox/inbox_private.h"

int inbox_local(struct inbox *inbox, const struct parcel_item *item, const struct address *address,
                const char *name, struct wall wall) {
    struct inbox_local *local = calloc(1, sizeof *local + item->length);
    if (!local)
        return -ENOMEM;
    local->op.kind = INBOX_OP_LOCAL;
    local->id = item->id;
    local->kind = item->kind;
    local->length = item->length;
    if (item->length > 0)
        memcpy(local->bytes, item->bytes, item->length);
    if (item->kind == KIND_FILE)
        inbox_file_head(item, &local->file);
    TAILQ_INSERT_TAIL(&inbox->locals, local, link);
    struct parcel_item copy = *item;
    copy.bytes = local->bytes;
    inbox_put_item(
        inbox, &local->op,
        &(struct inbox_origin){&inbox->self, address, name, &local->file, true, true, false}, &copy,
        wall);
    return 0;
}

bool inbox_local_done(struct inbox *inbox, struct message_id *ret_id, int *ret_error) {
    struct inbox_local *local = TAILQ_FIRST(&inbox->locals);
    if (!local || !local->done)
        return false;
    *ret_id = local->id;
    *ret_error = local->error;
    TAILQ_REMOVE(&inbox->locals, local, link);
    free(local);
    return true;
}
