/* link: shared/exchange shared/frame proto/control.pb-c */
/* What a daemon of any kind says in a session, without a socket between. First byte: how many bytes
 * come at a time; then frames of a byte of length each, to which version and number are put right
 * (the first byte says whose), and at the end what is left, as it is. */
#include "shared/exchange.h"
#include "shared/frame.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUESTS 4

static void ask(struct exchange *exchange, bool opens) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Status status = P2PD__CONTROL__STATUS__INIT;
    P2pd__Control__OpenSession session = P2PD__CONTROL__OPEN_SESSION__INIT;
    request.command_case = opens ? P2PD__CONTROL__REQUEST__COMMAND_OPEN_SESSION
                                 : P2PD__CONTROL__REQUEST__COMMAND_STATUS;
    if (opens)
        request.open_session = &session;
    else
        request.status = &status;
    assert(exchange_ask(exchange, &request) == 0);
}

/* False: it wants no more. */
static bool feed(struct exchange *exchange, const uint8_t *bytes, size_t length, size_t most) {
    while (length > 0) {
        size_t room;
        uint8_t *place = exchange_input(exchange, &room);
        if (room == 0)
            return false;
        room = room < most ? room : most;
        room = room < length ? room : length;
        memcpy(place, bytes, room);
        exchange_received(exchange, room, -1);
        bytes += room;
        length -= room;
    }
    return true;
}

static bool feed_frame(struct exchange *exchange, const uint8_t *body, size_t length, size_t most) {
    uint8_t header[FRAME_HEADER], tail[] = {0x08, 1, 0x10, 0};
    tail[3] = length > 0 ? body[0] % (REQUESTS + 3) : 1; /* the later field counts */
    frame_put_length(header, (uint32_t)(length + sizeof tail));
    return feed(exchange, header, sizeof header, most) && feed(exchange, body, length, most) &&
           feed(exchange, tail, sizeof tail, most);
}

static void take_all(struct exchange *exchange) {
    P2pd__Control__Answer *answer;
    size_t bytes = 0;
    int r;
    while ((r = exchange_next(exchange, &answer, NULL)) > 0) {
        assert(answer->version == EXCHANGE_VERSION && answer->request_id <= REQUESTS + 1);
        assert(answer->request_id > 0 || answer->code != P2PD__CONTROL__CODE__OK);
        for (size_t i = 0; i < answer->n_messages; i++)
            bytes += answer->messages[i]->body.len;
        exchange_answer_free(answer);
    }
    assert(r == 0 || r == -EPROTO || r == -ENOMEM);
    assert(bytes <= 1 << 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > 1 << 16)
        return 0;
    size_t most = 1u + data[0];
    struct exchange *exchange = exchange_new();
    assert(exchange);
    for (size_t i = 0; i <= REQUESTS; i++)
        ask(exchange, i == 0);
    data++, size--;
    bool wants = true;
    while (wants && size > 0 && data[0] < size) {
        wants = feed_frame(exchange, data + 1, data[0], most);
        size -= 1u + data[0];
        data += 1u + data[0];
        take_all(exchange);
    }
    if (wants)
        feed(exchange, data, size, most);
    take_all(exchange);
    exchange_free(exchange);
    return 0;
}
