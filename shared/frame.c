/* Threat: a length that is believed before it is checked, or a small frame that unpacks into a
 * large tree (16 MiB of empty submessages would take 592 MB). So callers check each length against
 * their limit, and the allocator limits the tree's memory. */
#include "shared/frame.h"

#include <sodium.h>
#include <stdlib.h>

void frame_put_length(uint8_t ret_header[FRAME_HEADER], uint32_t length) {
    for (int i = 0; i < FRAME_HEADER; i++)
        ret_header[i] = (uint8_t)(length >> (8 * (FRAME_HEADER - 1 - i)));
}

uint32_t frame_get_length(const uint8_t header[FRAME_HEADER]) {
    uint32_t length = 0;
    for (int i = 0; i < FRAME_HEADER; i++)
        length = length << 8 | header[i];
    return length;
}

uint8_t *frame_pack(const ProtobufCMessage *message, size_t *ret_length) {
    size_t length = protobuf_c_message_get_packed_size(message);
    if (length > UINT32_MAX)
        return NULL;
    uint8_t *bytes = malloc(FRAME_HEADER + length);
    if (!bytes)
        return NULL;
    frame_put_length(bytes, (uint32_t)length);
    protobuf_c_message_pack(message, bytes + FRAME_HEADER);
    *ret_length = FRAME_HEADER + length;
    return bytes;
}

/* Stands before each allocation; aligned as malloc's memory is. */
union prefix {
    size_t size;
    max_align_t align;
};

/* Freed memory is not counted as available again: protobuf-c frees little while it unpacks. */
static void *count_alloc(void *context, size_t size) {
    struct frame_allocator *frame = context;
    if (size > frame->left)
        return NULL;
    union prefix *prefix = malloc(sizeof *prefix + size);
    if (!prefix)
        return NULL;
    frame->left -= size;
    prefix->size = size;
    return prefix + 1;
}

static void wipe_and_free(void *context, void *pointer) {
    union prefix *prefix = pointer;
    (void)context;
    if (!prefix)
        return;
    prefix--;
    sodium_memzero(prefix, sizeof *prefix + prefix->size);
    free(prefix);
}

void frame_allocator_init(struct frame_allocator *frame, size_t frame_length) {
    frame->allocator = (ProtobufCAllocator){count_alloc, wipe_and_free, frame};
    frame->left = 2 * frame_length + FRAME_TREE_SLACK;
}
