/* Bounded cursors over bytes. A reader or writer that runs past its end turns `failed` on, stays
 * failed, and touches nothing: a decoder reads everything and checks once. Integers are
 * big-endian. */
#ifndef P2PD_WIREBUF_H
#define P2PD_WIREBUF_H

#include "daemon/core/base/base.h"

struct wire_reader {
    const uint8_t *at, *end;
    bool failed;
};
struct wire_writer {
    uint8_t *start, *at, *end;
    bool failed;
};

static inline struct wire_reader wire_reader(const void *bytes, size_t length) {
    return (struct wire_reader){bytes, (const uint8_t *)bytes + length, false};
}
static inline struct wire_writer wire_writer(void *bytes, size_t capacity) {
    return (struct wire_writer){bytes, bytes, (uint8_t *)bytes + capacity, false};
}
static inline size_t wire_left(const struct wire_reader *r) {
    return (size_t)(r->end - r->at);
}
static inline size_t wire_room(const struct wire_writer *w) {
    return (size_t)(w->end - w->at);
}
static inline size_t wire_length(const struct wire_writer *w) {
    return (size_t)(w->at - w->start);
}

/* Borrow the next `length` bytes, or NULL and failed. */
static inline const uint8_t *wire_take(struct wire_reader *r, size_t length) {
    if (r->failed || wire_left(r) < length) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *bytes = r->at;
    r->at += length;
    return bytes;
}
static inline void wire_get(struct wire_reader *r, void *ret_bytes, size_t length) {
    const uint8_t *bytes = wire_take(r, length);
    if (bytes)
        memcpy(ret_bytes, bytes, length);
    else
        memset(ret_bytes, 0, length);
}
static inline uint64_t wire_get_uint(struct wire_reader *r, size_t width) {
    const uint8_t *bytes = wire_take(r, width);
    uint64_t value = 0;
    for (size_t i = 0; bytes && i < width; i++)
        value = value << 8 | bytes[i];
    return value;
}
/* Reserve `length` bytes to write into, or NULL and failed. */
static inline uint8_t *wire_reserve(struct wire_writer *w, size_t length) {
    if (w->failed || wire_room(w) < length) {
        w->failed = true;
        return NULL;
    }
    uint8_t *bytes = w->at;
    w->at += length;
    return bytes;
}
static inline void wire_put(struct wire_writer *w, const void *bytes, size_t length) {
    uint8_t *to = wire_reserve(w, length);
    if (to && length > 0)
        memcpy(to, bytes, length);
}
static inline void wire_put_uint(struct wire_writer *w, uint64_t value, size_t width) {
    uint8_t *to = wire_reserve(w, width);
    for (size_t i = 0; to && i < width; i++)
        to[i] = (uint8_t)(value >> (8 * (width - 1 - i)));
}
static inline void wire_put_address(struct wire_writer *w, const struct address *address) {
    uint8_t *to = wire_reserve(w, ADDRESS_WIRE_LEN);
    if (to)
        address_pack(address, to);
}
static inline void wire_get_address(struct wire_reader *r, struct address *ret_address) {
    uint8_t bytes[ADDRESS_WIRE_LEN];
    wire_get(r, bytes, sizeof bytes);
    address_unpack(bytes, ret_address);
}

#endif
