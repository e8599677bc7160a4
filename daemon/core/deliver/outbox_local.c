/* Messages to ourselves, block by block through the store: what the outbox reads the inbox writes.
 * No policy and no quota holds for them. */
#include "daemon/core/deliver/outbox_private.h"

#define LOCAL_RETRY_MAX_US US_PER_MINUTE

static void local_ready(struct outbox *outbox, const uint8_t *bytes, uint32_t length) {
    outbox->local_bytes = malloc(length ? length : 1);
    if (outbox->local_bytes && length > 0)
        memcpy(outbox->local_bytes, bytes, length);
    outbox->local_stage = outbox->local_bytes ? OUT_LOCAL_READY : OUT_LOCAL_NONE;
    outbox->local_length = length;
}

/* Each block is a turn, so that a long message, or one that cannot be stored, holds up nobody. */
static void end_turn(struct outbox *outbox, struct out_message *message) {
    TAILQ_REMOVE(&outbox->locals, message, queue);
    TAILQ_INSERT_TAIL(&outbox->locals, message, queue);
}

static void local_retry(struct outbox *outbox, struct mono now) {
    outbox->local_retry = mono_add(now, outbox->local_retry_us);
    outbox->local_retry_us = outbox->local_retry_us * 2 > LOCAL_RETRY_MAX_US
                                 ? LOCAL_RETRY_MAX_US
                                 : outbox->local_retry_us * 2;
}

void out_local_start(struct outbox *outbox, struct mono now) {
    struct out_message *message = TAILQ_FIRST(&outbox->locals);
    if (outbox->local_stage != OUT_LOCAL_NONE || !message || !mono_is_due(outbox->local_retry, now))
        return;
    uint32_t block = out_block_size(message);
    uint64_t offset = message->next_block * block, left = message->size - offset;
    uint32_t length = left < block ? (uint32_t)left : block;
    outbox->local = message;
    outbox->local_id = message->id;
    if (message->body || length == 0) {
        local_ready(outbox, message->body, length);
    } else {
        struct out_op *op = out_op_new(outbox, OUT_OP_READ_LOCAL);
        if (op) {
            struct store_op operation = {.kind = STORE_OUT_READ};
            operation.out_read.id = message->id;
            operation.out_read.offset = offset;
            operation.out_read.length = outbox->local_length = length;
            outbox->local_stage = OUT_LOCAL_READING;
            out_store(outbox, &operation, op);
        }
    }
    if (outbox->local_stage == OUT_LOCAL_NONE)
        local_retry(outbox, now);
}

void out_local_read(struct outbox *outbox, const struct store_result *result, struct now now) {
    const char *lost = outbox->local ? out_lost_words(outbox->local, result->error) : NULL;
    outbox->local_stage = OUT_LOCAL_NONE;
    if (outbox->local && result->error == 0 && result->length == outbox->local_length)
        local_ready(outbox, result->bytes, result->length);
    else if (lost)
        out_finish(outbox, outbox->local, MESSAGE_FAILED, lost, now);
    if (outbox->local_stage != OUT_LOCAL_NONE || !outbox->local)
        return;
    end_turn(outbox, outbox->local);
    local_retry(outbox, now.mono);
}

bool outbox_local(struct outbox *outbox, struct parcel_item *ret_item) {
    if (outbox->local_stage != OUT_LOCAL_READY)
        return false;
    if (!outbox->local) {
        free(outbox->local_bytes);
        outbox->local_bytes = NULL;
        outbox->local_stage = OUT_LOCAL_NONE;
        return false;
    }
    struct out_message *message = outbox->local;
    out_mark_sent(outbox, message);
    *ret_item =
        out_item(message, message->next_block * out_block_size(message), outbox->local_length);
    ret_item->bytes = outbox->local_bytes;
    outbox->local_stage = OUT_LOCAL_HANDED;
    return true;
}

void outbox_local_done(struct outbox *outbox, const struct message_id *id, int error,
                       struct now now) {
    if (outbox->local_stage != OUT_LOCAL_HANDED || memcmp(id, &outbox->local_id, sizeof *id) != 0)
        return;
    struct out_message *message = outbox->local;
    free(outbox->local_bytes);
    outbox->local_bytes = NULL;
    outbox->local_stage = OUT_LOCAL_NONE;
    if (!message)
        return;
    if (error == -EDQUOT || error == -EBADMSG || error == -ESTALE) {
        out_finish(outbox, message, MESSAGE_REFUSED,
                   error == -EDQUOT   ? "there is no room for it here"
                   : error == -ESTALE ? parcel_reason_words(PARCEL_REASON_LOST)
                                      : parcel_reason_words(PARCEL_REASON_DAMAGED),
                   now);
    } else if (error) {
        end_turn(outbox, message);
        local_retry(outbox, now.mono);
    } else {
        end_turn(outbox, message);
        outbox->local_retry = now.mono;
        outbox->local_retry_us = US_PER_S;
        message->next_block++;
        out_confirm(outbox, message, outbox->local_length, now);
    }
}
