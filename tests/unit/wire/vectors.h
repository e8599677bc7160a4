/* Published test vectors: reads the one shape of JSON that Noise's have, {"vectors": [{"name":
 * "hex", ..., "messages": [{"payload": "hex", ...}, ...]}, ...]}. No general parser: no escapes, no
 * numbers. A file that it does not understand fails the test that reads it. */
#ifndef P2PD_TEST_VECTORS_H
#define P2PD_TEST_VECTORS_H

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VECTOR_FIELDS_MAX 16
#define VECTOR_MESSAGES_MAX 16
#define VECTOR_VALUE_MAX 2048

struct vector_field {
    char name[32], value[VECTOR_VALUE_MAX];
};
struct vector {
    struct vector_field fields[VECTOR_FIELDS_MAX];
    size_t n_fields;
    char payload[VECTOR_MESSAGES_MAX][VECTOR_VALUE_MAX];
    char ciphertext[VECTOR_MESSAGES_MAX][VECTOR_VALUE_MAX];
    size_t n_messages;
};

static inline const char *vector_get(const struct vector *vector, const char *name) {
    for (size_t i = 0; i < vector->n_fields; i++)
        if (strcmp(vector->fields[i].name, name) == 0)
            return vector->fields[i].value;
    return NULL;
}

/* The whole file, or NULL where there is none; the caller frees it. */
static inline char *vector_load(const char *path) {
    FILE *const file = fopen(path, "r");
    char *text = NULL;
    size_t length = 0, capacity = 0, n;

    if (file == NULL)
        return NULL;
    do {
        capacity += 65536;
        text = realloc(text, capacity + 1);
        assert(text != NULL);
        n = fread(text + length, 1, capacity - length, file);
        length += n;
    } while (n > 0);
    text[length] = '\0';
    fclose(file);
    return text;
}

static inline char vector_peek(const char **at) {
    while (isspace((unsigned char)**at) || **at == ',' || **at == ':')
        (*at)++;
    return **at;
}

static inline void vector_expect(const char **at, char want) {
    if (vector_peek(at) != want) {
        fprintf(stderr, "vectors: expected '%c' at: %.40s\n", want, *at);
        abort();
    }
    (*at)++;
}

static inline void vector_string(const char **at, char *out, size_t capacity) {
    size_t length;

    vector_expect(at, '"');
    length = strcspn(*at, "\"\\");
    assert((*at)[length] == '"' && length < capacity);
    memcpy(out, *at, length);
    out[length] = '\0';
    *at += length + 1;
}

static inline void vector_messages(const char **at, struct vector *vector) {
    vector_expect(at, '[');
    while (vector_peek(at) != ']') {
        const size_t i = vector->n_messages++;

        assert(i < VECTOR_MESSAGES_MAX);
        vector_expect(at, '{');
        while (vector_peek(at) != '}') {
            char name[32];

            vector_string(at, name, sizeof name);
            vector_string(at,
                          strcmp(name, "payload") == 0 ? vector->payload[i] : vector->ciphertext[i],
                          VECTOR_VALUE_MAX);
        }
        vector_expect(at, '}');
    }
    vector_expect(at, ']');
}

/* Lists of strings (psks) keep their last. */
static inline void vector_field(const char **at, struct vector *vector) {
    struct vector_field *const field = &vector->fields[vector->n_fields];

    vector_string(at, field->name, sizeof field->name);
    if (strcmp(field->name, "messages") == 0) {
        vector_messages(at, vector);
        return;
    }
    assert(vector->n_fields < VECTOR_FIELDS_MAX - 1);
    vector->n_fields++;
    if (vector_peek(at) != '[') {
        vector_string(at, field->value, sizeof field->value);
        return;
    }
    vector_expect(at, '[');
    while (vector_peek(at) != ']')
        vector_string(at, field->value, sizeof field->value);
    vector_expect(at, ']');
}

/* Begin: true where `text` has a list of vectors; *ret_at then stands before the first. */
static inline bool vector_first(const char *text, const char **ret_at) {
    const char *const key = strstr(text, "\"vectors\"");

    if (key == NULL)
        return false;
    *ret_at = key + strlen("\"vectors\"");
    vector_expect(ret_at, '[');
    return true;
}

/* The next vector; false after the last. */
static inline bool vector_next(const char **at, struct vector *ret_vector) {
    if (vector_peek(at) != '{')
        return false;
    memset(ret_vector, 0, sizeof *ret_vector);
    vector_expect(at, '{');
    while (vector_peek(at) != '}')
        vector_field(at, ret_vector);
    vector_expect(at, '}');
    return true;
}

#endif
