/* JSON of the daemon's answers, made from the descriptors of control.proto, and a writer of single
 * values for what a program says itself. p2pctl prints with it; a gateway can fill a buffer.
 *
 * A message becomes an object. A field has its own name and the default form of its type: bytes are
 * hex digits, bytes whose name is "address" are "IP:PORT", an int64 whose name ends in _us is a
 * time under the name without that ending, an empty string is null, and a message that is not set
 * is left out. The exceptions, and the fields that come first, are in the tables of json_shape.c. A
 * field that is added to the protocol appears by itself, at the end. */
#ifndef P2PD_CLIENT_JSON_H
#define P2PD_CLIENT_JSON_H

#include "proto/control.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

/* Where the text goes; begin with {put, context}. */
struct json {
    void (*put)(void *context, const char *bytes, size_t length);
    void *context;
    bool is_behind; /* a value was written: a comma comes before the next one */
};
/* Onto standard output. */
struct json json_to_stdout(void);

/* `bracket` is { or [ for open, } or ] for close. */
void json_open(struct json *json, char bracket);
void json_close(struct json *json, char bracket);
/* The name of the next member, printed as it is. */
void json_key(struct json *json, const char *name);
/* The same for a name that comes from elsewhere, and is escaped; an empty name is null, as a string
 * is. */
void json_member(struct json *json, const char *name);

/* Values. A NULL or empty string is null. */
void json_string(struct json *json, const char *string);
/* Any bytes as a string; bytes that are not UTF-8 become U+FFFD. Never null. */
void json_text(struct json *json, const char *string);
void json_bytes(struct json *json, const ProtobufCBinaryData *data);
void json_base64(struct json *json, const ProtobufCBinaryData *data);
void json_hex(struct json *json, const ProtobufCBinaryData *data);
void json_null(struct json *json);
void json_bool(struct json *json, bool value);
void json_number(struct json *json, uint64_t value);
void json_signed(struct json *json, int64_t value);
void json_decimal(struct json *json, double value, int places);
void json_time(struct json *json, int64_t unix_us);
void json_time_or_null(struct json *json, int64_t unix_us); /* 0: null */
void json_ms(struct json *json, int64_t us);                /* negative: null */
/* An address in its 18-byte form. with_port false: the IP alone. Unspecified or malformed: null. */
void json_address(struct json *json, const ProtobufCBinaryData *data, bool with_port);
/* The port as a number. */
void json_port(struct json *json, const ProtobufCBinaryData *data);

/* A message of control.proto as an object; or its fields alone, for a caller that adds others. */
void json_message(struct json *json, const ProtobufCMessage *message);
void json_fields(struct json *json, const ProtobufCMessage *message);
/* Paths: an array of arrays of hops. */
void json_paths(struct json *json, const P2pd__Control__Routes *routes);

#endif
