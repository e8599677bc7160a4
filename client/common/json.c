/* Threat: names, reasons and messages are remote text: no JSON is made by printf of a string. */
#include "client/common/json.h"

#include "client/common/wire_address.h"
#include "shared/text.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define PIECE 4096

static void put_stdout(void *context, const char *bytes, size_t length) {
    (void)context;
    fwrite(bytes, 1, length, stdout);
}

struct json json_to_stdout(void) {
    return (struct json){.put = put_stdout};
}

static void put(struct json *json, const char *text) {
    json->put(json->context, text, strlen(text));
}

/* Write the comma before a value, unless it is the first one. */
static void begin(struct json *json) {
    if (json->is_behind)
        put(json, ",");
    json->is_behind = true;
}

static void put_value(struct json *json, const char *text) {
    begin(json);
    put(json, text);
}

static void put_quoted(struct json *json, const char *text) {
    begin(json);
    put(json, "\"");
    put(json, text);
    put(json, "\"");
}

void json_open(struct json *json, char bracket) {
    begin(json);
    json->put(json->context, &bracket, 1);
    json->is_behind = false;
}

void json_close(struct json *json, char bracket) {
    json->put(json->context, &bracket, 1);
    json->is_behind = true;
}

void json_key(struct json *json, const char *name) {
    put_quoted(json, name);
    put(json, ":");
    json->is_behind = false;
}

static void put_escaped(struct json *json, const uint8_t *bytes, size_t length) {
    char piece[PIECE];
    size_t used;
    begin(json);
    put(json, "\"");
    for (size_t at = 0; at < length; at += used) {
        size_t n = text_escape_json(bytes + at, length - at, piece, sizeof piece, &used);
        json->put(json->context, piece, n);
    }
    put(json, "\"");
}

void json_bytes(struct json *json, const ProtobufCBinaryData *data) {
    put_escaped(json, data->data, data->len);
}

void json_text(struct json *json, const char *string) {
    put_escaped(json, (const uint8_t *)string, strlen(string));
}

void json_string(struct json *json, const char *string) {
    if (string && string[0])
        json_text(json, string);
    else
        json_null(json);
}

void json_member(struct json *json, const char *name) {
    json_string(json, name);
    put(json, ":");
    json->is_behind = false;
}

void json_base64(struct json *json, const ProtobufCBinaryData *data) {
    /* Encode whole groups of three bytes, so that padding comes only at the end. */
    char piece[sodium_base64_ENCODED_LEN(PIECE / 4 * 3, sodium_base64_VARIANT_ORIGINAL)];
    begin(json);
    put(json, "\"");
    for (size_t at = 0; at < data->len; at += PIECE / 4 * 3) {
        size_t n = data->len - at < PIECE / 4 * 3 ? data->len - at : PIECE / 4 * 3;
        sodium_bin2base64(piece, sizeof piece, data->data + at, n, sodium_base64_VARIANT_ORIGINAL);
        put(json, piece);
    }
    put(json, "\"");
}

void json_hex(struct json *json, const ProtobufCBinaryData *data) {
    char piece[2 * 64 + 1];
    begin(json);
    put(json, "\"");
    for (size_t at = 0; at < data->len; at += 64) {
        text_hex(data->data + at, data->len - at < 64 ? data->len - at : 64, piece);
        put(json, piece);
    }
    put(json, "\"");
}

void json_null(struct json *json) {
    put_value(json, "null");
}

void json_bool(struct json *json, bool value) {
    put_value(json, value ? "true" : "false");
}

void json_number(struct json *json, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    put_value(json, text);
}

void json_signed(struct json *json, int64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    put_value(json, text);
}

void json_decimal(struct json *json, double value, int places) {
    char text[400]; /* DBL_MAX has 309 digits */
    snprintf(text, sizeof text, "%.*f", places < 64 ? places : 64, value);
    if (text[strspn(text, "-0123456789.")]) /* no number */
        json_null(json);
    else
        put_value(json, text);
}

void json_time(struct json *json, int64_t unix_us) {
    char text[TEXT_TIME_MAX];
    text_time(unix_us, text);
    put_quoted(json, text);
}

void json_time_or_null(struct json *json, int64_t unix_us) {
    if (unix_us)
        json_time(json, unix_us);
    else
        json_null(json);
}

void json_ms(struct json *json, int64_t us) {
    char text[32];
    snprintf(text, sizeof text, "%" PRId64 ".%03d", us / 1000, (int)(us % 1000));
    put_value(json, us < 0 ? "null" : text);
}

void json_address(struct json *json, const ProtobufCBinaryData *data, bool with_port) {
    struct address address;
    char text[ADDRESS_TEXT_MAX];
    if (!wire_address(data, &address)) {
        json_null(json);
        return;
    }
    address_format(&address, with_port, text);
    put_quoted(json, text);
}

void json_port(struct json *json, const ProtobufCBinaryData *data) {
    struct address address;
    json_number(json, wire_address(data, &address) ? address.port : 0U);
}
