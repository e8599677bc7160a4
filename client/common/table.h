/* Tables for people, and the forms of their cells. */
#ifndef P2PD_CLIENT_TABLE_H
#define P2PD_CLIENT_TABLE_H

#include "proto/control.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_CELL_MAX 192
/* Each of these writes a cell. Remote text is escaped. */
void cell_address(const ProtobufCBinaryData *data, bool with_port, char ret_cell[TEXT_CELL_MAX]);
void cell_id(const ProtobufCBinaryData *id,
             char ret_cell[TEXT_CELL_MAX]); /* 16 digits: enough to be a DEST */
void cell_bytes(const ProtobufCBinaryData *data, char ret_cell[TEXT_CELL_MAX]); /* escaped, cut */
void cell_name(const char *name, char ret_cell[TEXT_CELL_MAX]); /* "-" without one */
void cell_ms(int64_t us, char ret_cell[TEXT_CELL_MAX]);         /* negative: "-" */
void cell_size(uint64_t bytes, char ret_cell[TEXT_CELL_MAX]);   /* 1.2M */
void cell_time(int64_t unix_us, char ret_cell[TEXT_CELL_MAX]);  /* to the second */

/* A table. On a terminal its columns are as wide as their widest cell. */
struct table;
struct table *table_new(size_t columns); /* NULL: no memory */
void table_free(struct table *table);    /* takes NULL */
/* Add a cell (copied), row by row. */
void table_cell(struct table *table, const char *cell);
void table_cells(struct table *table, const char *const *cells, size_t n);
/* Print the table. 0, or -ENOMEM if a cell got lost. */
int table_print(const struct table *table, void *stream);

#endif
