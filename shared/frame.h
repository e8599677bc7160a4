/* Framing of the control socket: a 4-byte big-endian length, then one protobuf message; and the
 * allocator through which such a message is unpacked. Both programs use it. */
#ifndef P2PD_FRAME_H
#define P2PD_FRAME_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER 4
/* What a frame may hold besides the body of the largest message. */
#define FRAME_SLACK (64u << 10)
/* The largest value of delivery.max_message. It keeps the first byte of a length below 2, while a
 * text request begins with a letter. */
#define FRAME_MESSAGE_MAX ((1u << 25) - 1 - FRAME_SLACK)
#define FRAME_LENGTH_MAX (FRAME_MESSAGE_MAX + FRAME_SLACK) /* of any frame, its header aside */

void frame_put_length(uint8_t ret_header[FRAME_HEADER], uint32_t length);
uint32_t frame_get_length(const uint8_t header[FRAME_HEADER]);

/* Pack a whole message to send, header included: malloced, the caller's. NULL: no memory, or longer
 * than a length can say. */
uint8_t *frame_pack(const ProtobufCMessage *message, size_t *ret_length);

/* What unpacking one frame may cost: twice the frame plus this. protobuf-c notes 32 bytes for each
 * field before it unpacks, in doubling steps: the 2,048 fields of the largest PushMany take 130 KB
 * of notes and 50 KB of tree, however small they are. */
#define FRAME_TREE_SLACK (256u << 10)
/* What was unpacked is wiped when it is freed: it may be a passphrase. */
struct frame_allocator {
    ProtobufCAllocator allocator; /* hand this to protobuf-c */
    size_t left;
};
/* Must not be moved while in use, and must live as long as what was unpacked through it. */
void frame_allocator_init(struct frame_allocator *frame, size_t frame_length);

#endif
