/* Messages of the control protocol with every field filled from a seed, edges included. Included
 * behind <cmocka.h>. */
#ifndef P2PD_TEST_ANY_ANSWER_H
#define P2PD_TEST_ANY_ANSWER_H

#include "proto/control.pb-c.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;
static inline uint64_t draw(uint64_t below) {
    state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

static inline char *draw_string(void) {
    static const char *const strings[] = {"",
                                          "a",
                                          "name",
                                          "\"quoted\" \\ and /",
                                          "\x1b[31mred\x7f",
                                          "\xff\xfe no UTF-8 \xc3",
                                          "zwölf €\n\t\r",
                                          "queued",
                                          "expired",
                                          "\xe2\x80\xae turned \xc2\x85"};
    const char *string = strings[draw(sizeof strings / sizeof strings[0])];
    char *copy = malloc(strlen(string) + 1);
    assert_non_null(copy);
    memcpy(copy, string, strlen(string) + 1);
    return copy;
}

static inline ProtobufCBinaryData take_bytes(const void *bytes, size_t length) {
    uint8_t *copy = malloc(length ? length : 1);
    assert_non_null(copy);
    if (length > 0)
        memcpy(copy, bytes, length);
    return (ProtobufCBinaryData){length, copy};
}

static inline ProtobufCBinaryData draw_address(void) {
    uint8_t address[18] = {0};
    uint64_t kind = draw(8);
    if (kind == 0)
        return take_bytes(address, 18); /* unspecified */
    if (kind == 1)
        return take_bytes(address, draw(18)); /* malformed */
    for (size_t i = 12; i < 18; i++)
        address[i] = (uint8_t)draw(256);
    address[10] = address[11] = 0xff;
    if (kind < 4)
        memcpy(address, "\x20\x01\x0d\xb8\0\0\0\0\0\1\0\0", 12);
    return take_bytes(address, 18);
}

static inline ProtobufCBinaryData draw_bytes(const char *field) {
    uint8_t bytes[10000];
    static const size_t lengths[] = {0, 1, 2, 3, 16, 32, 3071, 3072, 3073, 9999};
    if (strcmp(field, "address") == 0 || strcmp(field, "addresses") == 0)
        return draw_address();
    if (strcmp(field, "id") == 0 || strcmp(field, "peer") == 0 || strcmp(field, "sender") == 0) {
        for (size_t i = 0; i < 32; i++)
            bytes[i] = (uint8_t)draw(256);
        return take_bytes(bytes, draw(9) == 0 ? draw(32) : draw(2) ? 16 : 32);
    }
    if (draw(2)) {
        char *text = draw_string();
        ProtobufCBinaryData data = take_bytes(text, strlen(text));
        free(text);
        return data;
    }
    size_t length = lengths[draw(sizeof lengths / sizeof lengths[0])];
    bool is_text = draw(2);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(is_text ? 'a' + draw(26) : draw(256));
    return take_bytes(bytes, length);
}

static inline uint64_t draw_number(const char *field) {
    size_t length = strlen(field);
    bool is_time = length > 3 && strcmp(field + length - 3, "_us") == 0;
    switch (draw(6)) {
    case 0:
        return 0;
    case 1:
        return 1 + draw(3);
    case 2:
        return is_time ? (uint64_t)-1 : draw(UINT32_MAX);
    case 3:
        return draw(1000000);
    default:
        return is_time ? UINT64_C(1700000000000000) + draw(UINT64_C(100000000000000))
                       : draw(UINT64_C(1) << (1 + draw(40)));
    }
}

static inline ProtobufCMessage *draw_message(const ProtobufCMessageDescriptor *descriptor);

/* One value of the field's type at `place`. */
static inline void draw_value(const ProtobufCFieldDescriptor *field, void *place) {
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        *(char **)place = draw_string();
        break;
    case PROTOBUF_C_TYPE_BYTES:
        *(ProtobufCBinaryData *)place = draw_bytes(field->name);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)place = draw_message(field->descriptor);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)place = (protobuf_c_boolean)draw(2);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        *(double *)place = draw(5) ? (double)draw(1000000000000) : 0;
        break;
    case PROTOBUF_C_TYPE_ENUM:
        *(int *)place = (int)draw(9);
        break;
    case PROTOBUF_C_TYPE_UINT32:
        *(uint32_t *)place = (uint32_t)(draw(2) ? draw(4) : draw_number(field->name));
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        *(uint64_t *)place = draw_number(field->name);
        break;
    default:
        fail_msg("a type of field that this test does not know: %s", field->name);
    }
}

static inline size_t size_of(const ProtobufCFieldDescriptor *field) {
    assert_true(field->type == PROTOBUF_C_TYPE_MESSAGE || field->type == PROTOBUF_C_TYPE_BYTES);
    return field->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : sizeof(void *);
}

static inline void draw_list(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field) {
    uint8_t *place = (uint8_t *)message + field->offset;
    size_t n = draw(4), size = size_of(field);
    uint8_t *values = malloc(n ? n * size : 1);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++, draw(1))
        draw_value(field, values + i * size);
    *(uint8_t **)place = values;
    *(size_t *)((uint8_t *)message + field->quantifier_offset) = n;
    if (n == 0) {
        free(values);
        *(uint8_t **)place = NULL;
    }
}

/* Each field has draws of its own, so that a further one changes none of the others. */
static inline void draw_field(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field) {
    uint8_t *place = (uint8_t *)message + field->offset;
    uint64_t before = state;
    for (const char *at = field->name; *at; at++)
        state = state * 31 + (uint8_t)*at;
    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        draw_value(field, place);
    else
        draw_list(message, field);
    state = before;
}

static inline ProtobufCMessage *draw_message(const ProtobufCMessageDescriptor *descriptor) {
    ProtobufCMessage *message = malloc(descriptor->sizeof_message);
    assert_non_null(message);
    protobuf_c_message_init(descriptor, message);
    draw(1);
    for (unsigned i = 0; i < descriptor->n_fields; i++)
        draw_field(message, &descriptor->fields[i]);
    return message;
}

#endif
