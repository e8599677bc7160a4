/* A session in which anything happens in any order. Included behind <cmocka.h>. */
#ifndef P2PD_TEST_SESSION_CHAOS_H
#define P2PD_TEST_SESSION_CHAOS_H

#include "shared/exchange.h"
#include "tests/unit/control/fake_session.h"

/* The client library asks, cancels, confirms, reads and does not read; the core answers as it
 * likes. Each request gets one end, the library finds nothing wrong, and nothing is left. */
struct chaos {
    struct fake *fake;
    struct exchange *exchange;
    int fd;
    uint64_t random;
    size_t asked, ended;
    bool is_final; /* nothing more is asked, the core ends what there is */
};

static inline uint64_t draw(struct chaos *chaos, uint64_t below) {
    chaos->random = chaos->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (chaos->random >> 33) % below;
}

static inline void chaos_ask(struct chaos *chaos) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Status status = P2PD__CONTROL__STATUS__INIT;
    P2pd__Control__Pull pull = P2PD__CONTROL__PULL__INIT;
    bool is_pull = draw(chaos, 2);
    request.command_case = is_pull ? PULL : STATUS;
    if (is_pull)
        request.pull = &pull;
    else
        request.status = &status;
    int error = exchange_ask(chaos->exchange, &request);
    assert_true(error == 0 || error == -EBUSY);
    chaos->asked += error == 0;
}

static inline void chaos_cancel(struct chaos *chaos) {
    int error = exchange_cancel(chaos->exchange, 1 + draw(chaos, chaos->asked + 1));
    assert_true(error == 0 || error == -ENOENT || error == -EBUSY);
    chaos->asked += error == 0;
}

static inline void chaos_write(struct chaos *chaos, size_t most) {
    size_t length;
    const uint8_t *bytes = exchange_output(chaos->exchange, &length);
    length = length < most ? length : most;
    ssize_t n = length > 0 ? send(chaos->fd, bytes, length, MSG_NOSIGNAL) : 0;
    assert_true(n >= 0 || errno == EAGAIN);
    if (n > 0)
        exchange_sent(chaos->exchange, (size_t)n);
}

static inline void chaos_take(struct chaos *chaos, const P2pd__Control__Answer *answer) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Confirm confirm = P2PD__CONTROL__CONFIRM__INIT;
    assert_true(answer->request_id > 0);
    chaos->ended += answer->end ? 1 : 0;
    request.command_case = CONFIRM;
    request.confirm = &confirm;
    if (!answer->confirm)
        return;
    int error = exchange_continue(chaos->exchange, answer->request_id, &request);
    assert_true(error == 0 || error == -ENOENT); /* it was cancelled meanwhile */
}

static inline void chaos_read(struct chaos *chaos, size_t most) {
    P2pd__Control__Answer *answer;
    size_t room;
    uint8_t *place = exchange_input(chaos->exchange, &room);
    ssize_t n = recv(chaos->fd, place, room < most ? room : most, 0);
    assert_true(n > 0 || errno == EAGAIN);
    if (n > 0)
        exchange_received(chaos->exchange, (size_t)n, -1);
    int r;
    while ((r = exchange_next(chaos->exchange, &answer, NULL)) > 0) {
        chaos_take(chaos, answer);
        exchange_answer_free(answer);
    }
    assert_int_equal(r, 0);
}

/* Some request that the core is at work for. A pull gets no second batch before it confirms. */
static inline void chaos_answer(struct chaos *chaos) {
    struct control_client *at = chaos->fake->control->clients->requests;
    for (uint64_t skip = draw(chaos, 64); at && at->next && skip > 0; skip--)
        at = at->next;
    if (!at || !at->in_core || at->confirm_due)
        return;
    bool end = chaos->is_final || draw(chaos, 2);
    struct in_record record = {.body = (const uint8_t *)"body", .size = 4, .row = 1};
    struct answer answer = {.client = at->number, .kind = ANSWER_TEXT, .end = end};
    if (at->pull && draw(chaos, 3)) {
        answer.kind = ANSWER_MESSAGES;
        answer.messages.v = &record;
        answer.messages.n = 1;
    }
    control_answer(chaos->fake->control, &answer);
}

static inline void chaos_step(struct chaos *chaos) {
    switch (draw(chaos, chaos->is_final ? 4 : 6)) {
    case 0:
        chaos_write(chaos, 1 + draw(chaos, 60));
        break;
    case 1:
        chaos_read(chaos, 1 + draw(chaos, 60));
        break;
    case 2:
        chaos_answer(chaos);
        break;
    case 3:
        ev_run(chaos->fake->loop, EVRUN_NOWAIT);
        break;
    case 4:
        chaos_ask(chaos);
        break;
    default:
        if (draw(chaos, 4) == 0)
            chaos_cancel(chaos);
    }
}

static inline void chaos_run(struct fake *fake, uint64_t number) {
    struct chaos chaos = {.fake = fake, .random = number, .asked = 1};
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__OpenSession session = P2PD__CONTROL__OPEN_SESSION__INIT;
    chaos.exchange = exchange_new();
    chaos.fd = connect_to(fake);
    fake->is_session = true;
    request.command_case = OPEN;
    request.open_session = &session;
    assert_int_equal(exchange_ask(chaos.exchange, &request), 0);
    run_until(fake, fake->control->n_clients == 1);
    for (int i = 0; i < 2000; i++)
        chaos_step(&chaos);
    chaos.is_final = true;
    for (int i = 0; exchange_pending(chaos.exchange) > 0; i++) {
        assert_true(i < 100000);
        chaos_step(&chaos);
    }
    assert_int_equal(chaos.ended, chaos.asked);
    for (size_t left = 1; left > 0; exchange_output(chaos.exchange, &left)) /* the last Confirm */
        chaos_write(&chaos, SIZE_MAX);
    run_until(fake, fake->control->clients->n_requests == 0);
    assert_int_equal(fake->control->output_bytes, 0);
    exchange_free(chaos.exchange);
    close(chaos.fd);
    run_until(fake, fake->control->n_clients == 0);
}

#endif
