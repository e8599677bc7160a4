/* Threat: names, reasons and messages are remote text: it never reaches the terminal unescaped,
 * and no JSON is made by printf of a string. */
#include "client/common/output.h"

#include "client/common/width.h"
#include "shared/address.h"
#include "shared/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 4096
#define ID_DIGITS_SHOWN 16

/* Only the first failure has an error of its own: those after it know no more than that there was
 * one. */
int output_flush(void) {
    static int first;
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    if (first == 0)
        first = errno ? -errno : -EIO;
    return first;
}

typedef size_t (*escaper)(const uint8_t *, size_t, char *, size_t, size_t *);

static void put_escaped(escaper escape, const uint8_t *bytes, size_t length) {
    char piece[PIECE];
    size_t used;
    for (size_t at = 0; at < length; at += used) {
        size_t n = escape(bytes + at, length - at, piece, sizeof piece, &used);
        fwrite(piece, 1, n, stdout);
    }
}

void output_escaped(const uint8_t *bytes, size_t length) {
    put_escaped(text_escape, bytes, length);
}

/* ---- JSON ---- */

void json_bytes(const uint8_t *bytes, size_t length) {
    putchar('"');
    put_escaped(text_escape_json, bytes, length);
    putchar('"');
}

void json_string(const char *string) {
    if (string && string[0])
        json_bytes((const uint8_t *)string, strlen(string));
    else
        fputs("null", stdout);
}

void json_text(const char *string) {
    json_bytes((const uint8_t *)string, strlen(string));
}

void json_text_bytes(const ProtobufCBinaryData *data) {
    json_bytes(data->data, data->len);
}

void json_base64(const uint8_t *bytes, size_t length) {
    /* Whole groups of three, so that padding comes at the end alone. */
    char piece[sodium_base64_ENCODED_LEN(PIECE / 4 * 3, sodium_base64_VARIANT_ORIGINAL)];
    putchar('"');
    for (size_t at = 0; at < length; at += PIECE / 4 * 3) {
        size_t n = length - at < PIECE / 4 * 3 ? length - at : PIECE / 4 * 3;
        sodium_bin2base64(piece, sizeof piece, bytes + at, n, sodium_base64_VARIANT_ORIGINAL);
        fputs(piece, stdout);
    }
    putchar('"');
}

void json_hex(const ProtobufCBinaryData *data) {
    putchar('"');
    for (size_t i = 0; i < data->len; i++)
        printf("%02x", data->data[i]);
    putchar('"');
}

void json_time(int64_t unix_us) {
    char text[TEXT_TIME_MAX];
    text_time(unix_us, text);
    printf("\"%s\"", text);
}

void json_ms(int64_t us) {
    if (us < 0)
        fputs("null", stdout);
    else
        printf("%" PRId64 ".%03d", us / 1000, (int)(us % 1000));
}

void json_bool(bool value) {
    fputs(value ? "true" : "false", stdout);
}

static bool unpack(const ProtobufCBinaryData *data, struct address *ret_address) {
    if (data->len != ADDRESS_WIRE_LEN)
        return false;
    address_unpack(data->data, ret_address);
    return !address_is_unspecified(ret_address);
}

void json_address(const ProtobufCBinaryData *data, bool with_port) {
    struct address address;
    char text[ADDRESS_TEXT_MAX];
    if (!unpack(data, &address)) {
        fputs("null", stdout);
        return;
    }
    address_format(&address, with_port, text);
    printf("\"%s\"", text);
}

void json_port(const ProtobufCBinaryData *data) {
    struct address address;
    printf("%u", unpack(data, &address) ? (unsigned)address.port : 0U);
}

/* ---- Cells ---- */

void cell_address(const ProtobufCBinaryData *data, bool with_port, char ret_cell[TEXT_CELL_MAX]) {
    struct address address;
    char text[ADDRESS_TEXT_MAX] = "-";
    if (unpack(data, &address))
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

const char *state_word(P2pd__Control__State state) {
    static const char *const words[] = {"unknown", "queued", "sent",   "delivered",
                                        "expired", "failed", "refused"};
    return (size_t)state < sizeof words / sizeof words[0] ? words[state] : words[0];
}

const char *state_why(P2pd__Control__State state, const char *reason) {
    return strcmp(reason, state_word(state)) == 0 ? "" : reason;
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

void output_guard(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null",
                        fd == 0 ? O_WRONLY : O_RDONLY); /* takes the lowest free number */
}
