/* Parts that several commands of the control protocol have, checked before the core sees them. */
#include "daemon/io/control/convert_private.h"

#include "daemon/core/wire/shard.h"
#include "daemon/io/control/dest.h"
#include "shared/text.h"

#include <stdarg.h>
#include <stdio.h>

enum answer_code decode_plain(struct decoder *decoder) {
    (void)decoder;
    return ANSWER_OK;
}

enum answer_code decode_refuse(const struct decoder *decoder, enum answer_code code,
                               const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(decoder->text, CONTROL_TEXT_MAX, format, arguments);
    va_end(arguments);
    return code;
}

enum answer_code decode_destination(const struct decoder *decoder, const char *text,
                                    struct destination *ret_destination) {
    char shown[64];
    if (dest_parse(text, ret_destination) == 0)
        return ANSWER_OK;
    const char *why = address_explain(text);
    text_escape_string(text, shown, sizeof shown);
    return decode_refuse(
        decoder, ANSWER_UNKNOWN, "'%s' is no destination: %s", shown,
        why ? why
            : "want an IP, IP:PORT, [IPv6]:PORT, a node id, 8 or more digits of one, or a node "
              "name");
}

enum answer_code decode_id(const struct decoder *decoder, const ProtobufCBinaryData *data,
                           struct message_id *ret_id) {
    if (data->len != MESSAGE_ID_LEN)
        return decode_refuse(decoder, ANSWER_USAGE, "a message id is %d bytes", MESSAGE_ID_LEN);
    memcpy(ret_id->bytes, data->data, MESSAGE_ID_LEN);
    return ANSWER_OK;
}

enum answer_code decode_relays(const struct decoder *decoder, bool exact, uint32_t relays,
                               uint8_t *ret_relays) {
    if (exact && relays > TOPOLOGY_RELAYS_MAX)
        return decode_refuse(decoder, ANSWER_USAGE, "at most %d relays", TOPOLOGY_RELAYS_MAX);
    *ret_relays = exact ? (uint8_t)relays : RELAYS_DEFAULT;
    return ANSWER_OK;
}

static enum answer_code decode_shards(const struct decoder *decoder, uint32_t k, uint32_t m,
                                      struct send_options *options) {
    if ((k == 0 && m > 0) || k > SHARD_COUNT_MAX || m > SHARD_COUNT_MAX - k)
        return decode_refuse(decoder, ANSWER_USAGE,
                             "shards are 1 or more of data and, with those of parity, at most %u",
                             SHARD_COUNT_MAX);
    options->shards_k = (uint8_t)k;
    options->shards_m = (uint8_t)m;
    return ANSWER_OK;
}

enum answer_code decode_options(const struct decoder *decoder,
                                const P2pd__Control__SendOptions *wire,
                                struct send_options *ret_options) {
    struct send_options options = {.strict = wire->strict, .expire_us = wire->expire_us};
    if (wire->expire_us < 0 || wire->expire_us > MESSAGE_EXPIRE_MAX_US)
        return decode_refuse(decoder, ANSWER_USAGE, "an expiry is at most 365d");
    enum answer_code code =
        decode_relays(decoder, wire->relays_exact, wire->relays, &options.relays);
    if (code == ANSWER_OK)
        code = decode_shards(decoder, wire->shards_k, wire->shards_m, &options);
    if (code == ANSWER_OK)
        *ret_options = options;
    return code;
}
