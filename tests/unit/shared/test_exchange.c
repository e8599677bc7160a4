/* link: shared/exchange shared/frame proto/control.pb-c */
/* Requests in, bytes out; bytes in, answers out: in whatever pieces, with many under way, and with
 * a daemon that says anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/exchange.h"
#include "shared/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int setup(void **state) {
    *state = exchange_new();
    return *state ? 0 : -1;
}

static int teardown(void **state) {
    exchange_free(*state);
    return 0;
}

/* ---- The caller's side ---- */

static int ask_status(struct exchange *exchange, uint64_t *ret_id) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Status status = P2PD__CONTROL__STATUS__INIT;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_STATUS;
    request.status = &status;
    int error = exchange_ask(exchange, &request);
    if (ret_id)
        *ret_id = request.request_id;
    return error;
}

static int ask_session(struct exchange *exchange) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__OpenSession session = P2PD__CONTROL__OPEN_SESSION__INIT;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_OPEN_SESSION;
    request.open_session = &session;
    return exchange_ask(exchange, &request);
}

static int confirm(struct exchange *exchange, uint64_t id) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Confirm confirmation = P2PD__CONTROL__CONFIRM__INIT;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_CONFIRM;
    request.confirm = &confirmation;
    return exchange_continue(exchange, id, &request);
}

static void send_all(struct exchange *exchange) {
    size_t length;
    while (exchange_output(exchange, &length), length > 0)
        exchange_sent(exchange, length);
}

static void open_session(struct exchange *exchange) {
    assert_int_equal(ask_session(exchange), 0);
    send_all(exchange);
}

static void expect_answer(struct exchange *exchange, uint64_t id, const char *text) {
    P2pd__Control__Answer *answer = NULL;
    assert_int_equal(exchange_next(exchange, &answer, NULL), 1);
    assert_int_equal(answer->request_id, id);
    assert_string_equal(answer->text, text);
    exchange_answer_free(answer);
}

static void expect_none(struct exchange *exchange, int why) {
    P2pd__Control__Answer *answer = NULL;
    assert_int_equal(exchange_next(exchange, &answer, NULL), why);
}

/* ---- The daemon's side ---- */

struct reply {
    uint64_t id;
    const char *text;
    bool end, confirm;
    uint32_t version; /* 0: ours */
    P2pd__Control__Code code;
};

static uint8_t *pack(const struct reply *reply, size_t *ret_length) {
    P2pd__Control__Answer answer = P2PD__CONTROL__ANSWER__INIT;
    answer.version = reply->version ? reply->version : EXCHANGE_VERSION;
    answer.request_id = reply->id;
    answer.text = (char *)(reply->text ? reply->text : "");
    answer.end = reply->end;
    answer.confirm = reply->confirm;
    answer.code = reply->code;
    uint8_t *bytes = frame_pack(&answer.base, ret_length);
    assert_non_null(bytes);
    return bytes;
}

/* As a socket would: at most `most` bytes at a time, the descriptor with the first. */
static void feed(struct exchange *exchange, const uint8_t *bytes, size_t length, size_t most,
                 int fd) {
    while (length > 0) {
        size_t room;
        uint8_t *place = exchange_input(exchange, &room);
        if (room == 0)
            return;
        room = room < most ? room : most;
        room = room < length ? room : length;
        memcpy(place, bytes, room);
        exchange_received(exchange, room, fd);
        fd = -1;
        bytes += room;
        length -= room;
    }
}

static void say(struct exchange *exchange, struct reply reply) {
    size_t length;
    uint8_t *bytes = pack(&reply, &length);
    feed(exchange, bytes, length, SIZE_MAX, -1);
    free(bytes);
}

/* ---- Requests ---- */

static void a_request_goes_out_byte_by_byte(void **state) {
    struct exchange *exchange = *state;
    uint8_t got[256];
    size_t n = 0, length;
    uint64_t id;
    assert_int_equal(ask_status(exchange, &id), 0);
    assert_int_equal(id, 1);
    assert_int_equal(exchange_pending(exchange), 1);
    for (const uint8_t *at; (at = exchange_output(exchange, &length)) && length > 0;) {
        got[n++] = *at;
        exchange_sent(exchange, 1);
    }
    assert_int_equal(frame_get_length(got), n - FRAME_HEADER);
    P2pd__Control__Request *request =
        p2pd__control__request__unpack(NULL, n - FRAME_HEADER, got + FRAME_HEADER);
    assert_non_null(request);
    assert_int_equal(request->version, EXCHANGE_VERSION);
    assert_int_equal(request->request_id, 1);
    assert_int_equal(request->command_case, P2PD__CONTROL__REQUEST__COMMAND_STATUS);
    p2pd__control__request__free_unpacked(request, NULL);
}

static void without_a_session_one_request_is_all(void **state) {
    struct exchange *exchange = *state;
    assert_int_equal(ask_status(exchange, NULL), 0);
    assert_int_equal(ask_status(exchange, NULL), -EBUSY);
    assert_int_equal(ask_session(exchange), -EBUSY);
    say(exchange, (struct reply){.id = 1, .text = "done", .end = true});
    expect_answer(exchange, 1, "done");
    assert_int_equal(exchange_pending(exchange), 0);
    assert_int_equal(ask_status(exchange, NULL), -EBUSY);
}

static void a_session_has_so_many_at_once_and_no_more(void **state) {
    struct exchange *exchange = *state;
    uint64_t id = 0;
    open_session(exchange);
    say(exchange, (struct reply){.id = 1, .text = "session", .end = true});
    expect_answer(exchange, 1, "session");
    for (size_t i = 0; i < EXCHANGE_REQUESTS_MAX; i++)
        assert_int_equal(ask_status(exchange, &id), 0);
    assert_int_equal(id, 1 + EXCHANGE_REQUESTS_MAX);
    assert_int_equal(ask_status(exchange, NULL), -EBUSY);
    assert_int_equal(exchange_cancel(exchange, 7), 0); /* needs no place */
    assert_int_equal(exchange_pending(exchange), EXCHANGE_REQUESTS_MAX + 1);
    assert_int_equal(ask_status(exchange, NULL), -EBUSY);
    say(exchange, (struct reply){.id = 40, .end = true});
    assert_int_equal(ask_status(exchange, &id), 0);
    assert_int_equal(id, 3 + EXCHANGE_REQUESTS_MAX);
}

static void requests_that_are_not_sent_are_bounded(void **state) {
    struct exchange *exchange = *state;
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Push push = P2PD__CONTROL__PUSH__INIT;
    uint8_t *body = calloc(1, EXCHANGE_OUTPUT_MAX);
    assert_non_null(body);
    push.body = (ProtobufCBinaryData){EXCHANGE_OUTPUT_MAX, body};
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PUSH;
    request.push = &push;
    open_session(exchange);
    assert_int_equal(exchange_ask(exchange, &request), 0);
    assert_int_equal(exchange_ask(exchange, &request), -EAGAIN);
    assert_int_equal(exchange_pending(exchange), 2);
    send_all(exchange);
    assert_int_equal(exchange_ask(exchange, &request), 0);
    free(body);
}

/* The longest that a daemon may take goes out; a byte more is refused, and nothing has changed. */
static void a_request_longer_than_a_frame_is_refused(void **state) {
    struct exchange *exchange = *state;
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Push push = P2PD__CONTROL__PUSH__INIT;
    size_t length;
    uint8_t *body = calloc(1, FRAME_LENGTH_MAX);
    assert_non_null(body);
    push.body = (ProtobufCBinaryData){FRAME_LENGTH_MAX - 32, body};
    request.version = EXCHANGE_VERSION;
    request.request_id = 1;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PUSH;
    request.push = &push;
    push.body.len +=
        FRAME_LENGTH_MAX - protobuf_c_message_get_packed_size(&request.base) + 1; /* one more */
    assert_int_equal(exchange_ask(exchange, &request), -EMSGSIZE);
    assert_int_equal(exchange_pending(exchange), 0);
    exchange_output(exchange, &length);
    assert_int_equal(length, 0);
    push.body.len--;
    assert_int_equal(exchange_ask(exchange, &request), 0);
    assert_int_equal(request.request_id, 1);
    exchange_output(exchange, &length);
    assert_int_equal(length, FRAME_HEADER + FRAME_LENGTH_MAX);
    free(body);
}

/* ---- Answers ---- */

static void answers_come_in_any_pieces(void **state) {
    struct exchange *exchange = *state;
    uint8_t bytes[1024];
    size_t length = 0;
    (void)exchange;
    for (size_t i = 0; i < 5; i++) {
        size_t n;
        uint8_t *frame = pack(&(struct reply){.id = 1, .text = "text", .end = i == 4}, &n);
        memcpy(bytes + length, frame, n);
        length += n;
        free(frame);
    }
    for (size_t most = 1; most <= length; most++) {
        struct exchange *one = exchange_new();
        assert_int_equal(ask_status(one, NULL), 0);
        feed(one, bytes, length, most, -1);
        for (size_t i = 0; i < 5; i++)
            expect_answer(one, 1, "text");
        expect_none(one, 0);
        exchange_free(one);
    }
}

static void answers_to_many_are_told_apart(void **state) {
    struct exchange *exchange = *state;
    uint64_t first, second;
    open_session(exchange);
    assert_int_equal(ask_status(exchange, &first), 0);
    assert_int_equal(ask_status(exchange, &second), 0);
    say(exchange, (struct reply){.id = second, .text = "b1"});
    say(exchange, (struct reply){.id = first, .text = "a1"});
    say(exchange, (struct reply){.id = 1, .text = "session", .end = true});
    say(exchange, (struct reply){.id = second, .text = "b2", .end = true});
    say(exchange, (struct reply){.id = first, .text = "a2", .end = true});
    assert_int_equal(exchange_pending(exchange), 0);
    expect_answer(exchange, second, "b1");
    expect_answer(exchange, first, "a1");
    expect_answer(exchange, 1, "session");
    expect_answer(exchange, second, "b2");
    expect_answer(exchange, first, "a2");
    expect_none(exchange, 0);
}

static void a_pull_is_under_way_until_its_confirm(void **state) {
    struct exchange *exchange = *state;
    uint64_t id;
    open_session(exchange);
    assert_int_equal(ask_status(exchange, &id), 0);
    say(exchange, (struct reply){.id = id, .confirm = true});
    assert_int_equal(confirm(exchange, id), 0);
    say(exchange, (struct reply){.id = id, .confirm = true, .end = true});
    assert_int_equal(exchange_pending(exchange), 2);
    assert_int_equal(confirm(exchange, id), 0);
    assert_int_equal(exchange_pending(exchange), 1);
    assert_int_equal(confirm(exchange, id), -ENOENT);
    assert_int_equal(exchange_cancel(exchange, id), -ENOENT);
}

static void a_cancelled_request_ends_and_so_does_its_cancel(void **state) {
    struct exchange *exchange = *state;
    uint64_t id;
    open_session(exchange);
    assert_int_equal(ask_status(exchange, &id), 0);
    assert_int_equal(exchange_cancel(exchange, id), 0);
    say(exchange, (struct reply){.id = id, .code = P2PD__CONTROL__CODE__FAILED, .end = true});
    say(exchange, (struct reply){.id = id + 1, .end = true});
    assert_int_equal(exchange_pending(exchange), 1);
}

static void answers_that_nobody_takes_are_bounded(void **state) {
    struct exchange *exchange = *state;
    char *text = malloc(EXCHANGE_BACKLOG / 4);
    size_t n = 0, room;
    assert_non_null(text);
    memset(text, 'x', EXCHANGE_BACKLOG / 4);
    text[EXCHANGE_BACKLOG / 4 - 1] = '\0';
    assert_int_equal(ask_status(exchange, NULL), 0);
    for (; exchange_input(exchange, &room) && room > 0; n++)
        say(exchange, (struct reply){.id = 1, .text = text});
    assert_int_equal(n, 4);
    expect_answer(exchange, 1, text);
    exchange_input(exchange, &room);
    assert_int_equal(room, FRAME_HEADER);
    free(text);
}

static void descriptors_belong_to_their_answers(void **state) {
    struct exchange *exchange = *state;
    P2pd__Control__Answer *answer;
    int ends[2], fd;
    size_t length;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(ask_status(exchange, NULL), 0);
    uint8_t *bytes = pack(&(struct reply){.id = 1}, &length);
    feed(exchange, bytes, length, 3, -1);
    feed(exchange, bytes, length, 3, dup(ends[1]));
    feed(exchange, bytes, length, 3, dup(ends[1]));
    feed(exchange, bytes, length - 1, 3, dup(ends[1])); /* never whole */
    free(bytes);
    assert_int_equal(exchange_next(exchange, &answer, &fd), 1);
    exchange_answer_free(answer);
    assert_int_equal(fd, -1);
    assert_int_equal(exchange_next(exchange, &answer, &fd), 1);
    exchange_answer_free(answer);
    assert_true(fd >= 0);
    close(fd);
    exchange_end(exchange, -EPIPE);
    expect_answer(exchange, 1, ""); /* its descriptor is closed */
    expect_none(exchange, -EPIPE);
    close(ends[1]);
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
}

/* ---- Ends ---- */

static void what_came_before_the_end_is_handed_out(void **state) {
    struct exchange *exchange = *state;
    uint64_t id;
    size_t room;
    open_session(exchange);
    assert_int_equal(ask_status(exchange, &id), 0);
    say(exchange, (struct reply){.id = id, .text = "last", .end = true});
    exchange_end(exchange, -EPIPE);
    exchange_end(exchange, -EPROTO); /* the first one counts */
    assert_int_equal(ask_status(exchange, NULL), -EPIPE);
    exchange_input(exchange, &room);
    assert_int_equal(room, 0);
    expect_answer(exchange, id, "last");
    expect_none(exchange, -EPIPE);
    expect_none(exchange, -EPIPE);
}

static void a_refusal_may_have_no_number(void **state) {
    struct exchange *exchange = *state;
    assert_int_equal(ask_status(exchange, NULL), 0);
    say(exchange, (struct reply){.code = P2PD__CONTROL__CODE__LIMIT, .text = "no", .end = true});
    expect_answer(exchange, 0, "no");
    expect_none(exchange, 0);
    say(exchange, (struct reply){.text = "yes", .end = true});
    expect_none(exchange, -EPROTO);
}

static void what_is_no_answer_of_ours_ends_it(void **state) {
    static const struct reply wrong[] = {
        {.id = 2},                       /* nobody has asked */
        {.id = 1, .version = 2},         /* another version */
        {.id = 0},                       /* a success of nothing */
        {.id = UINT64_MAX, .end = true}, /* nobody has asked */
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct exchange *exchange = exchange_new();
        assert_int_equal(ask_status(exchange, NULL), 0);
        say(exchange, wrong[i]);
        expect_none(exchange, -EPROTO);
        exchange_free(exchange);
    }
    struct exchange *exchange = exchange_new();
    assert_int_equal(ask_status(exchange, NULL), 0);
    say(exchange, (struct reply){.id = 1, .end = true});
    say(exchange, (struct reply){.id = 1, .end = true}); /* once more */
    expect_answer(exchange, 1, "");
    expect_none(exchange, -EPROTO);
    exchange_free(exchange);
}

static void garbage_and_lengths(void **state) {
    static const struct {
        const char *bytes;
        size_t length;
        int error;
    } rows[] = {
        {"\xff\xff\xff\xff", 4, -EPROTO}, /* longer than any answer */
        {"\x02\0\0\1", 4, -EPROTO},
        {"\0\0\0\0", 4, -EPROTO},             /* an answer of version 0 */
        {"\0\0\0\3\xff\xff\xff", 7, -EPROTO}, /* no protobuf */
        {"\1\xff\xff\xff", 4, 0},             /* the longest: to come */
        {"\0\0\0\3\xff", 5, 0},
        {"HTTP/1.1 400", 12, -EPROTO},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct exchange *exchange = exchange_new();
        assert_int_equal(ask_status(exchange, NULL), 0);
        feed(exchange, (const uint8_t *)rows[i].bytes, rows[i].length, SIZE_MAX, -1);
        expect_none(exchange, rows[i].error);
        exchange_free(exchange);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_request_goes_out_byte_by_byte),
        TEST(without_a_session_one_request_is_all),
        TEST(a_session_has_so_many_at_once_and_no_more),
        TEST(requests_that_are_not_sent_are_bounded),
        TEST(a_request_longer_than_a_frame_is_refused),
        TEST(answers_come_in_any_pieces),
        TEST(answers_to_many_are_told_apart),
        TEST(a_pull_is_under_way_until_its_confirm),
        TEST(a_cancelled_request_ends_and_so_does_its_cancel),
        TEST(answers_that_nobody_takes_are_bounded),
        TEST(descriptors_belong_to_their_answers),
        TEST(what_came_before_the_end_is_handed_out),
        TEST(a_refusal_may_have_no_number),
        TEST(what_is_no_answer_of_ours_ends_it),
        TEST(garbage_and_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
