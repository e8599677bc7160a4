/* The order matters: what reads as an address or an id never names a node, so that nobody takes
 * over a correspondent's place by calling its node like its id. Names of that kind are refused
 * when they are given, too. */
#include "daemon/io/control/dest.h"

#include "shared/text.h"

#include <errno.h>
#include <string.h>

#define PREFIX_DIGITS_MIN 8 /* p2pctl(1): fewer would collide among a few thousand nodes */

static void parse_hex(const char *text, size_t digits, struct destination *destination) {
    for (size_t i = 0; i < digits; i++) {
        int shift = i % 2 ? 0 : 4;
        destination->id[i / 2] |= (uint8_t)(text_hex_digit(text[i]) << shift);
    }
    destination->n_digits = (uint8_t)digits;
    destination->kind = digits == 2 * (size_t)NODE_ID_LEN ? DEST_ID : DEST_PREFIX;
}

int dest_parse(const char *text, struct destination *ret_destination) {
    struct destination destination = {.kind = DEST_ADDRESS};
    size_t length = strlen(text);
    size_t hex = strspn(text, "0123456789abcdefABCDEF");
    size_t name = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    if (address_parse(text, &destination.address) < 0) {
        if (hex == length && length >= PREFIX_DIGITS_MIN && length <= 2 * (size_t)NODE_ID_LEN) {
            parse_hex(text, length, &destination);
        } else if (name == length && length >= 1 && length <= NODE_NAME_MAX) {
            destination.kind = DEST_NAME;
            memcpy(destination.name, text, length + 1);
        } else {
            return -EINVAL;
        }
    }
    *ret_destination = destination;
    return 0;
}
