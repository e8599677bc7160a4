/* See table.h. */
#include "client/common/table.h"

#include "client/common/width.h"
#include "client/common/wire_address.h"
#include "shared/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_DIGITS_SHOWN 16

/* ---- Cells ---- */

void cell_address(const ProtobufCBinaryData *data, bool with_port, char ret_cell[TEXT_CELL_MAX]) {
    struct address address;
    char text[ADDRESS_TEXT_MAX] = "-";
    if (wire_address(data, &address))
        address_format(&address, with_port, text);
    snprintf(ret_cell, TEXT_CELL_MAX, "%s", text);
}

void cell_id(const ProtobufCBinaryData *id, char ret_cell[TEXT_CELL_MAX]) {
    size_t n = id->len < ID_DIGITS_SHOWN / 2 ? id->len : ID_DIGITS_SHOWN / 2;
    text_hex(id->data, n, ret_cell);
}

void cell_bytes(const ProtobufCBinaryData *data, char ret_cell[TEXT_CELL_MAX]) {
    size_t used, n = text_escape(data->data, data->len, ret_cell, TEXT_CELL_MAX - 1, &used);
    ret_cell[n] = '\0';
}

void cell_name(const char *name, char ret_cell[TEXT_CELL_MAX]) {
    text_escape_string(name[0] ? name : "-", ret_cell, TEXT_CELL_MAX);
}

void cell_ms(int64_t us, char ret_cell[TEXT_CELL_MAX]) {
    if (us < 0)
        snprintf(ret_cell, TEXT_CELL_MAX, "-");
    else
        snprintf(ret_cell, TEXT_CELL_MAX, "%" PRId64 ".%dms", us / 1000, (int)(us % 1000 / 100));
}

void cell_size(uint64_t bytes, char ret_cell[TEXT_CELL_MAX]) {
    static const char units[] = "KMGTPE";
    size_t unit = 0;
    double value = (double)bytes / 1024;
    if (bytes < 1024) {
        snprintf(ret_cell, TEXT_CELL_MAX, "%" PRIu64, bytes);
        return;
    }
    for (; value >= 1024 && unit + 2 < sizeof units; unit++)
        value /= 1024;
    snprintf(ret_cell, TEXT_CELL_MAX, "%.1f%c", value, units[unit]);
}

void cell_time(int64_t unix_us, char ret_cell[TEXT_CELL_MAX]) {
    text_time(unix_us, ret_cell);
    char *dot = strrchr(ret_cell, '.');
    if (dot)
        memcpy(dot, "Z", 2);
}

/* ---- Tables ---- */

struct table {
    size_t columns, n, room;
    char **cells;
    bool failed;
};

struct table *table_new(size_t columns) {
    struct table *table = calloc(1, sizeof *table);
    if (table)
        table->columns = columns;
    return table;
}

void table_free(struct table *table) {
    for (size_t i = 0; table && i < table->n; i++)
        free(table->cells[i]);
    if (table)
        free(table->cells);
    free(table);
}

void table_cell(struct table *table, const char *cell) {
    char *copy = strdup(cell);
    if (copy && table->n == table->room) {
        size_t room = table->room ? 2 * table->room : 64;
        char **cells = realloc(table->cells, room * sizeof *cells);
        if (cells) {
            table->cells = cells;
            table->room = room;
        }
    }
    if (copy && table->n < table->room) {
        table->cells[table->n++] = copy;
    } else {
        free(copy);
        table->failed = true;
    }
}

void table_cells(struct table *table, const char *const *cells, size_t n) {
    for (size_t i = 0; i < n; i++)
        table_cell(table, cells[i]);
}

static size_t column_width(const struct table *table, size_t column) {
    size_t width = 0;
    for (size_t i = column; i < table->n; i += table->columns) {
        size_t cell = width_of(table->cells[i]);
        width = cell > width ? cell : width;
    }
    return width;
}

int table_print(const struct table *table, void *stream) {
    if (table->failed)
        return -ENOMEM;
    size_t *widths = calloc(table->columns, sizeof *widths);
    if (!widths)
        return -ENOMEM;
    for (size_t i = 0; i < table->columns; i++)
        widths[i] = column_width(table, i);
    for (size_t i = 0; i < table->n; i++) {
        bool last = i % table->columns == table->columns - 1;
        size_t missing = widths[i % table->columns] - width_of(table->cells[i]);
        if (last)
            fprintf(stream, "%s\n", table->cells[i]);
        else
            fprintf(stream, "%s%*s", table->cells[i], (int)missing + 2, "");
    }
    free(widths);
    return 0;
}
