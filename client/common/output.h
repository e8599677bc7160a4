/* Standard output: text for people with everything remote escaped, aligned tables, JSON. */
#ifndef P2PCTL_OUTPUT_H
#define P2PCTL_OUTPUT_H

#include "proto/control.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

/* Flush. 0, or -errno: not everything was written. */
int output_flush(void);

/* Remote bytes, escaped as pull does. */
void output_escaped(const uint8_t *bytes, size_t length);

/* JSON values. A NULL or empty string is null. */
void json_string(const char *string);
void json_bytes(const uint8_t *bytes, size_t length); /* a string; the bytes are UTF-8 */
/* A string of whatever bytes: what is no UTF-8 becomes U+FFFD. Never null. */
void json_text(const char *string);
void json_text_bytes(const ProtobufCBinaryData *data);
void json_base64(const uint8_t *bytes, size_t length);
void json_hex(const ProtobufCBinaryData *data);
void json_time(int64_t unix_us);
void json_ms(int64_t us); /* negative: null */
void json_bool(bool value);
/* Of the 18-byte form. with_port false: the IP alone. Unspecified or malformed: null. */
void json_address(const ProtobufCBinaryData *data, bool with_port);
/* The port as a number. */
void json_port(const ProtobufCBinaryData *data);

#define TEXT_CELL_MAX 192
/* Forms for people; each writes a cell. */
void cell_address(const ProtobufCBinaryData *data, bool with_port, char ret_cell[TEXT_CELL_MAX]);
void cell_id(const ProtobufCBinaryData *id,
             char ret_cell[TEXT_CELL_MAX]); /* 16 digits: enough to be a DEST */
void cell_bytes(const ProtobufCBinaryData *data, char ret_cell[TEXT_CELL_MAX]); /* escaped, cut */
void cell_name(const char *name, char ret_cell[TEXT_CELL_MAX]); /* "-" without one */
void cell_ms(int64_t us, char ret_cell[TEXT_CELL_MAX]);         /* negative: "-" */
void cell_size(uint64_t bytes, char ret_cell[TEXT_CELL_MAX]);   /* 1.2M */
void cell_time(int64_t unix_us, char ret_cell[TEXT_CELL_MAX]);  /* to the second */

/* A table whose columns are as wide on a terminal as their widest cell. */
struct table;
struct table *table_new(size_t columns); /* NULL: no memory */
void table_free(struct table *table);    /* takes NULL */
/* Add a cell (copied), row by row. */
void table_cell(struct table *table, const char *cell);
/* Print and return 0, or -ENOMEM if a cell got lost. */
int table_print(const struct table *table, void *stream);

/* Words and JSON for a message's state. */
const char *state_word(P2pd__Control__State state);
/* The reason, or "" where it says no more than the word. */
const char *state_why(P2pd__Control__State state, const char *reason);

/* Were we started without standard input, output or error, the socket would take its place and get
 * what we print. Something that cannot be used that way is put there, so that writing fails. */
void output_guard(void);

#endif
