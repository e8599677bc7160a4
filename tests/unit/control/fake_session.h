/* A client of the control server that opens sessions. Included behind <cmocka.h>. */
#ifndef P2PD_TEST_FAKE_SESSION_H
#define P2PD_TEST_FAKE_SESSION_H

#include "tests/unit/control/fake_control.h"

/* ---- Asking ---- */

static inline void ask(struct fake *fake, int fd, uint64_t id,
                       P2pd__Control__Request__CommandCase command) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__OpenSession session = P2PD__CONTROL__OPEN_SESSION__INIT;
    P2pd__Control__Status status = P2PD__CONTROL__STATUS__INIT;
    P2pd__Control__Confirm confirm = P2PD__CONTROL__CONFIRM__INIT;
    P2pd__Control__Stop stop = P2PD__CONTROL__STOP__INIT;
    P2pd__Control__Pull pull = P2PD__CONTROL__PULL__INIT;
    P2pd__Control__SendDone done = P2PD__CONTROL__SEND_DONE__INIT;
    P2pd__Control__Send send = P2PD__CONTROL__SEND__INIT;
    uint8_t bytes[32] = {9};
    request.command_case = command;
    pull.wait = true;
    send.to = (char *)"10.0.0.1";
    send.name = (char *)"name";
    send.id = (ProtobufCBinaryData){16, bytes};
    done.sha256 = (ProtobufCBinaryData){32, bytes};
    switch (command) {
    case P2PD__CONTROL__REQUEST__COMMAND_OPEN_SESSION:
        request.open_session = &session;
        break;
    case P2PD__CONTROL__REQUEST__COMMAND_CONFIRM:
        request.confirm = &confirm;
        break;
    case P2PD__CONTROL__REQUEST__COMMAND_PULL:
        request.pull = &pull;
        break;
    case P2PD__CONTROL__REQUEST__COMMAND_SEND:
        request.send = &send;
        break;
    case P2PD__CONTROL__REQUEST__COMMAND_SEND_DONE:
        request.send_done = &done;
        break;
    case P2PD__CONTROL__REQUEST__COMMAND_STOP:
        request.stop = &stop;
        break;
    default:
        request.status = &status;
    }
    send_request_as(fake, fd, id, &request);
}

#define STATUS P2PD__CONTROL__REQUEST__COMMAND_STATUS
#define PULL P2PD__CONTROL__REQUEST__COMMAND_PULL
#define CONFIRM P2PD__CONTROL__REQUEST__COMMAND_CONFIRM
#define SEND P2PD__CONTROL__REQUEST__COMMAND_SEND
#define SEND_DONE P2PD__CONTROL__REQUEST__COMMAND_SEND_DONE
#define OPEN P2PD__CONTROL__REQUEST__COMMAND_OPEN_SESSION

static inline void cancel(struct fake *fake, int fd, uint64_t id, uint64_t of) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__CancelRequest cancel_it = P2PD__CONTROL__CANCEL_REQUEST__INIT;
    cancel_it.request_id = of;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_CANCEL_REQUEST;
    request.cancel_request = &cancel_it;
    send_request_as(fake, fd, id, &request);
}

/* What is said is the beginning of the answer's text; an answer of another length than the test's
 * buffers hold is read, too. */
static inline void expect_code(struct fake *fake, int fd, uint64_t id, int code, const char *text) {
    uint8_t header[FRAME_HEADER];
    run_until(fake, recv(fd, header, sizeof header, MSG_PEEK) == FRAME_HEADER);
    size_t length = FRAME_HEADER + frame_get_length(header), have = 0;
    uint8_t *bytes = malloc(length);
    assert_non_null(bytes);
    for (int turns = 0; have < length; turns++) {
        ssize_t n = recv(fd, bytes + have, length - have, 0);
        assert_true((n > 0 || errno == EAGAIN) && turns < TURNS_MAX);
        have += n > 0 ? (size_t)n : 0;
        if (n < 0)
            turn(fake);
    }
    P2pd__Control__Answer *answer =
        p2pd__control__answer__unpack(NULL, length - FRAME_HEADER, bytes + FRAME_HEADER);
    assert_non_null(answer);
    assert_int_equal(answer->request_id, id);
    assert_int_equal(answer->code, code);
    assert_memory_equal(answer->text, text, strlen(text));
    p2pd__control__answer__free_unpacked(answer, NULL);
    free(bytes);
}

static inline void expect(struct fake *fake, int fd, uint64_t id) {
    expect_code(fake, fd, id, P2PD__CONTROL__CODE__OK, "");
}

static inline void expect_closed(struct fake *fake, int fd) {
    char rest[8];
    assert_int_equal(read_to_end(fake, fd, rest, sizeof rest), 0);
    close(fd);
    run_until(fake, fake->control->n_clients == 0);
}

static inline int open_session(struct fake *fake) {
    int fd = connect_to(fake);
    fake->is_session = true;
    ask(fake, fd, 1, OPEN);
    expect(fake, fd, 1);
    return fd;
}

static inline void answer_to(struct fake *fake, size_t request, bool end) {
    struct answer answer = {.client = fake->numbers[request], .kind = ANSWER_TEXT, .end = end};
    control_answer(fake->control, &answer);
}

/* One message of so many bytes. */
static inline void answer_body(struct fake *fake, size_t request, size_t size, bool end) {
    uint8_t *body = calloc(1, size);
    assert_non_null(body);
    struct in_record record = {.body = body, .size = (uint32_t)size, .row = 5};
    struct answer answer = {.client = fake->numbers[request], .kind = ANSWER_MESSAGES, .end = end};
    answer.messages.v = &record;
    answer.messages.n = 1;
    control_answer(fake->control, &answer);
    free(body);
}

#endif
