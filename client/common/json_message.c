/* A message of control.proto as JSON: its fields by their descriptors, in the forms and order that
 * json_shape.c says. */
#include "client/common/json_shape.h"
#include "client/common/words.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- Values ---- */

static bool has_end(const char *name, const char *end) {
    size_t length = strlen(name), n = strlen(end);
    return length > n && strcmp(name + length - n, end) == 0;
}

static bool is_time(const ProtobufCFieldDescriptor *field) {
    return field->type == PROTOBUF_C_TYPE_INT64 && has_end(field->name, "_us");
}

static void put_bytes(struct json *json, const ProtobufCFieldDescriptor *field,
                      const ProtobufCBinaryData *data, enum form form) {
    bool is_address = strcmp(field->name, "address") == 0 || strcmp(field->name, "addresses") == 0;
    if (form == FORM_TEXT)
        json_bytes(json, data);
    else if (form == FORM_PORT)
        json_port(json, data);
    else if (form == FORM_IP || is_address)
        json_address(json, data, form != FORM_IP);
    else
        json_hex(json, data);
}

static void put_int64(struct json *json, const ProtobufCFieldDescriptor *field, int64_t value,
                      enum form form) {
    if (form == FORM_MS)
        json_ms(json, value);
    else if (form == FORM_MILLIS)
        json_decimal(json, (double)value / 1e3, 3);
    else if (form == FORM_SECONDS)
        json_decimal(json, (double)value / 1e6, 3);
    else if (form == FORM_UNSET)
        json_time_or_null(json, value);
    else if (is_time(field))
        json_time(json, value);
    else
        json_signed(json, value);
}

static void put_uint32(struct json *json, uint32_t value, enum form form) {
    if (form == FORM_KIND)
        json_text(json, value == WORDS_KIND_FILE ? "file" : "message");
    else if (form == FORM_LEVEL)
        json_text(json, words_level(value));
    else
        json_number(json, value);
}

static void put_enum(struct json *json, const ProtobufCFieldDescriptor *field, int value) {
    if (field->descriptor == &p2pd__control__state__descriptor)
        json_text(json, words_state((P2pd__Control__State)value));
    else if (field->descriptor == &p2pd__control__sender_rule__descriptor)
        json_text(json, words_rule((P2pd__Control__SenderRule)value));
    else
        json_signed(json, value);
}

static void put_bool(struct json *json, bool value, enum form form) {
    if (form == FORM_WAY)
        json_text(json, value ? "out" : "in");
    else
        json_bool(json, value);
}

static void put_one(struct json *json, const ProtobufCFieldDescriptor *field, const void *place,
                    enum form form) {
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        json_string(json, *(char *const *)place);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        put_bytes(json, field, place, form);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        json_message(json, *(ProtobufCMessage *const *)place);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        put_bool(json, *(const protobuf_c_boolean *)place, form);
        break;
    case PROTOBUF_C_TYPE_ENUM:
        put_enum(json, field, *(const int *)place);
        break;
    case PROTOBUF_C_TYPE_UINT32:
        put_uint32(json, *(const uint32_t *)place, form);
        break;
    case PROTOBUF_C_TYPE_UINT64:
        json_number(json, *(const uint64_t *)place);
        break;
    case PROTOBUF_C_TYPE_INT64:
        put_int64(json, field, *(const int64_t *)place, form);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        json_decimal(json, *(const double *)place, form == FORM_WHOLE ? 0 : 6);
        break;
    default: /* control.proto uses no other type */
        json_null(json);
    }
}

static size_t size_of(ProtobufCType type) {
    switch (type) {
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(uint64_t);
    default:
        return sizeof(uint32_t);
    }
}

static void put_list(struct json *json, const ProtobufCMessage *message,
                     const ProtobufCFieldDescriptor *field) {
    const uint8_t *base = (const uint8_t *)message;
    size_t n = *(const size_t *)(const void *)(base + field->quantifier_offset);
    const uint8_t *values = *(uint8_t *const *)(const void *)(base + field->offset);
    json_open(json, '[');
    for (size_t i = 0; i < n; i++)
        put_one(json, field, values + i * size_of(field->type), FORM_DEFAULT);
    json_close(json, ']');
}

/* ---- Members ---- */

static bool is_absent(const ProtobufCFieldDescriptor *field, const void *place) {
    return field->label != PROTOBUF_C_LABEL_REPEATED && field->type == PROTOBUF_C_TYPE_MESSAGE &&
           !*(ProtobufCMessage *const *)place;
}

static void put_member(struct json *json, const ProtobufCMessage *message,
                       const ProtobufCFieldDescriptor *field, const char *name, enum form form) {
    const void *place = (const uint8_t *)message + field->offset;
    char own[64];
    if (is_absent(field, place))
        return;
    if (!name) {
        bool is_cut = is_time(field);
        snprintf(own, sizeof own, "%.*s", (int)(strlen(field->name) - (is_cut ? 3 : 0)),
                 field->name);
        name = own;
    }
    json_key(json, name);
    if (form == FORM_PATHS)
        json_paths(json, (const P2pd__Control__Routes *)message);
    else if (field->label == PROTOBUF_C_LABEL_REPEATED)
        put_list(json, message, field);
    else
        put_one(json, field, place, form);
}

/* The group that is open while the rows are written: the part before the dot in the name of the row
 * that opened it. */
struct group {
    const char *name;
    size_t length;
};

static void change_group(struct json *json, struct group *group, const char *name) {
    const char *dot = name ? strchr(name, '.') : NULL;
    size_t length = dot ? (size_t)(dot - name) : 0;
    char own[64];
    if (length == group->length && (length == 0 || memcmp(name, group->name, length) == 0))
        return;
    if (group->length > 0)
        json_close(json, '}');
    *group = (struct group){name, length};
    if (length == 0)
        return;
    snprintf(own, sizeof own, "%.*s", (int)length, name);
    json_key(json, own);
    json_open(json, '{');
}

/* Write one row. False: the rows after it are left out. */
static bool put_row(struct json *json, const ProtobufCMessage *message, const struct row *row,
                    struct group *group) {
    const ProtobufCFieldDescriptor *field =
        row->field
            ? protobuf_c_message_descriptor_get_field_by_name(message->descriptor, row->field)
            : NULL;
    assert(field || row->special);
    if (row->form == FORM_HIDDEN)
        return true;
    if (row->form == FORM_ALL_IF)
        return *(const protobuf_c_boolean *)((const uint8_t *)message + field->offset);
    change_group(json, group, row->name);
    const char *name = row->name && group->length > 0 ? row->name + group->length + 1 : row->name;
    if (row->special)
        row->special(json, message);
    else
        put_member(json, message, field, name, row->form);
    return true;
}

static bool has_row(const struct row *rows, const char *field) {
    for (const struct row *row = rows; row->field || row->name; row++)
        if (row->field && strcmp(row->field, field) == 0)
            return true;
    return false;
}

void json_fields(struct json *json, const ProtobufCMessage *message) {
    const struct row *rows = json_shape_rows(message->descriptor);
    struct group group = {NULL, 0};
    bool is_all = true;
    for (const struct row *row = rows; is_all && (row->field || row->name); row++)
        is_all = put_row(json, message, row, &group);
    change_group(json, &group, NULL);
    for (unsigned i = 0; is_all && i < message->descriptor->n_fields; i++)
        if (!has_row(rows, message->descriptor->fields[i].name))
            put_member(json, message, &message->descriptor->fields[i], NULL, FORM_DEFAULT);
}

void json_message(struct json *json, const ProtobufCMessage *message) {
    json_open(json, '{');
    json_fields(json, message);
    json_close(json, '}');
}

void json_paths(struct json *json, const P2pd__Control__Routes *routes) {
    json_open(json, '[');
    for (size_t i = 0; i < routes->n_paths; i++) {
        json_open(json, '[');
        for (size_t j = 0; j < routes->paths[i]->n_hops; j++)
            json_message(json, &routes->paths[i]->hops[j]->base);
        json_close(json, ']');
    }
    json_close(json, ']');
}
