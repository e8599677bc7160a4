/* Threat: a message's text forging another line of the answer. Newlines and all other controls
 * are escaped. */
#include "daemon/io/control/control_text.h"

#include "shared/text.h"

#include <stdio.h>
#include <stdlib.h>

/* If `bytes` begin with `word`, step over it and the spaces behind. */
static bool take_word(const uint8_t **bytes, size_t *length, const char *word) {
    size_t n = strlen(word);
    if (*length < n || memcmp(*bytes, word, n) != 0)
        return false;
    for (; n < *length && (*bytes)[n] == ' '; n++)
        continue;
    *bytes += n;
    *length -= n;
    return true;
}

static bool take_address(const uint8_t **bytes, size_t *length, struct address *ret_address) {
    char text[ADDRESS_TEXT_MAX];
    const uint8_t *space = memchr(*bytes, ' ', *length);
    size_t n = space ? (size_t)(space - *bytes) : *length;
    if (n >= sizeof text)
        return false;
    memcpy(text, *bytes, n);
    text[n] = '\0';
    *bytes += n;
    *length -= n;
    return address_parse(text, ret_address) == 0 && take_word(bytes, length, " ");
}

struct control_text control_text_parse(const uint8_t *bytes, size_t length) {
    static const char marker[] = "MSG:";
    struct control_text text = {.kind = CONTROL_TEXT_MALFORMED};
    const uint8_t *newline = memchr(bytes, '\n', length);
    if (newline)
        length = (size_t)(newline - bytes);
    if (newline && length > 0 && bytes[length - 1] == '\r')
        length--;
    if (take_word(&bytes, &length, "PULL")) {
        if (length == 0)
            text.kind = CONTROL_TEXT_PULL;
        return text;
    }
    if (!take_word(&bytes, &length, "PUSH ") || !take_word(&bytes, &length, "IP:") ||
        !take_address(&bytes, &length, &text.to))
        return text;
    /* No take_word here: spaces behind the colon are the message's own. */
    if (length < strlen(marker) || memcmp(bytes, marker, strlen(marker)) != 0)
        return text;
    text.body = bytes + strlen(marker);
    text.size = length - strlen(marker);
    text.kind = CONTROL_TEXT_PUSH;
    return text;
}

static size_t escaped_size(const struct in_record *message) {
    char buffer[1024];
    size_t size = 0, used;
    for (size_t at = 0; at < message->size; at += used)
        size += text_escape(message->body + at, message->size - at, buffer, sizeof buffer, &used);
    return size;
}

uint8_t *control_text_line(const struct in_record *message, size_t *ret_length) {
    size_t room = sizeof "IP:  MSG:\n" + ADDRESS_TEXT_MAX + TEXT_ESCAPE_STEP, used;
    char ip[ADDRESS_TEXT_MAX];
    room += escaped_size(message);
    char *text = malloc(room);
    if (!text)
        return NULL;
    address_format(&message->sender_address, false, ip);
    size_t length = (size_t)snprintf(text, room, "IP: %s MSG:", ip);
    if (message->size > 0)
        length += text_escape(message->body, message->size, text + length, room - length, &used);
    text[length++] = '\n';
    *ret_length = length;
    return (uint8_t *)text;
}
