/* link: daemon/io/control/control_convert daemon/io/control/convert_daemon daemon/io/control/convert_decode daemon/io/control/convert_encode daemon/io/control/convert_files daemon/io/control/convert_history daemon/io/control/convert_inbox daemon/io/control/convert_messages daemon/io/control/convert_network daemon/io/control/convert_trust daemon/io/control/control_text daemon/io/control/dest shared/frame shared/text shared/address proto/control.pb-c */
/* What a local client can send: a frame, or a line of plain text. Each input is tried as both. */
#include "daemon/io/control/control_convert.h"
#include "daemon/io/control/control_text.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGE_MAX 4096

static void check_many(const struct request *request) {
    size_t bytes = 0;
    assert(request->push_many.n >= 1 && request->push_many.n <= PUSH_MANY_MAX);
    for (size_t i = 0; i < request->push_many.n; i++) {
        const struct push_item *item = &request->push_many.items[i];
        assert(item->size <= MESSAGE_MAX);
        for (size_t j = 0; j < item->size; j++)
            bytes += item->body[j];
    }
    assert(bytes <= PUSH_MANY_MAX * MESSAGE_MAX * (size_t)UINT8_MAX); /* and all can be read */
}

static void try_frame(const uint8_t *data, size_t size) {
    struct control_decoded decoded;
    char text[CONTROL_TEXT_MAX] = "";
    enum answer_code code = control_decode(data, size, MESSAGE_MAX, &decoded, text);
    if (code != ANSWER_OK) {
        /* A refusal says why, in text that is safe to show. */
        assert(text[0] != '\0' && memchr(text, '\0', sizeof text) && !strchr(text, 0x1b));
        return;
    }
    if (decoded.kind == DECODED_REQUEST && decoded.request.kind == REQUEST_PUSH)
        assert(decoded.request.push.size <= MESSAGE_MAX);
    if (decoded.kind == DECODED_REQUEST && decoded.request.kind == REQUEST_PUSH_MANY)
        check_many(&decoded.request);
    if (decoded.kind == DECODED_SEND)
        assert(decoded.file.name[0] && memchr(decoded.file.name, 0, sizeof decoded.file.name) &&
               !strchr(decoded.file.name, '/'));
    if (decoded.kind == DECODED_BACKUP)
        assert(decoded.passphrase.length <= CONTROL_PASSPHRASE_MAX);
    control_decoded_free(&decoded);
}

static void try_text(const uint8_t *data, size_t size) {
    struct control_text text = control_text_parse(data, size);
    if (text.kind == CONTROL_TEXT_PUSH) {
        assert(text.body >= data && text.body + text.size <= data + size);
        assert(!memchr(text.body, '\n', text.size));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 2 * (MESSAGE_MAX + FRAME_SLACK))
        return 0;
    try_frame(data, size);
    try_text(data, size);
    return 0;
}
