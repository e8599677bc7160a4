/* link: daemon/core/base/base daemon/io/control/control daemon/io/control/control_client daemon/io/control/control_give daemon/io/control/control_request daemon/io/control/control_session daemon/io/control/control_output daemon/io/control/control_send daemon/io/control/control_socket daemon/io/control/control_convert daemon/io/control/control_encode daemon/io/control/control_text daemon/io/control/dest shared/exchange shared/frame shared/message_id shared/text shared/address proto/control.pb-c */
/* Many requests on one connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/control/session_chaos.h"

/* ---- Many at once ---- */

static void requests_run_side_by_side(void **state) {
    struct fake *fake = *state;
    int fd = open_session(fake);
    for (uint64_t id = 2; id < 6; id++)
        ask(fake, fd, id, STATUS);
    run_until(fake, fake->requests == 4);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(fake->numbers[i] != fake->numbers[j]);
    answer_to(fake, 3, true);
    expect(fake, fd, 5);
    answer_to(fake, 0, false);
    expect(fake, fd, 2);
    answer_to(fake, 1, true);
    expect(fake, fd, 3);
    ask(fake, fd, 5, STATUS); /* it is over, its number free */
    run_until(fake, fake->requests == 5);
    answer_to(fake, 4, true);
    expect(fake, fd, 5);
    answer_to(fake, 0, true);
    expect(fake, fd, 2);
    answer_to(fake, 2, true);
    expect(fake, fd, 4);
    assert_int_equal(fake->control->clients->n_requests, 0);
    close(fd);
    run_until(fake, fake->control->n_clients == 0);
    assert_int_equal(fake->gone, 0);
}

static void requests_need_not_wait_for_the_session(void **state) {
    struct fake *fake = *state;
    int fd = connect_to(fake);
    ask(fake, fd, 7, OPEN);
    ask(fake, fd, 8, STATUS);
    expect(fake, fd, 7);
    run_until(fake, fake->requests == 1);
    fake->is_session = true;
    answer_to(fake, 0, true);
    expect(fake, fd, 8);
    close(fd);
}

static void a_session_byte_by_byte(void **state) {
    struct fake *fake = *state;
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Peers peers = P2PD__CONTROL__PEERS__INIT;
    size_t length;
    int fd = open_session(fake);
    request.version = CONTROL_VERSION;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PEERS;
    request.peers = &peers;
    for (size_t n = 1; n <= 3; n++) {
        request.request_id = n + 10;
        uint8_t *frame = frame_pack(&request.base, &length);
        for (size_t i = 0; i < length; i++) {
            assert_int_equal(fake->requests, n - 1);
            assert_true(ev_is_active(&fake->control->clients->quiet) ? i > 0 : i == 0);
            write_bytes(fake, fd, frame + i, 1);
            turn(fake);
        }
        free(frame);
        run_until(fake, fake->requests == n);
        assert_false(ev_is_active(&fake->control->clients->quiet));
    }
    close(fd);
    run_until(fake, fake->gone == 3);
}

static void half_a_request_has_a_time_and_silence_has_none(void **state) {
    struct fake *fake = *state;
    int fd = open_session(fake);
    turn(fake);
    assert_false(ev_is_active(&fake->control->clients->deadline));
    assert_false(ev_is_active(&fake->control->clients->quiet));
    write_bytes(fake, fd, "\0\0", 2);
    run_until(fake, ev_is_active(&fake->control->clients->quiet));
    ev_feed_event(fake->loop, &fake->control->clients->quiet, EV_TIMER);
    expect_closed(fake, fd);
}

static void as_many_as_may_be_and_one_more(void **state) {
    struct fake *fake = *state;
    int fd = open_session(fake);
    for (uint64_t i = 0; i < CONTROL_SESSION_REQUESTS; i++)
        ask(fake, fd, 100 + i, STATUS);
    run_until(fake, fake->requests == CONTROL_SESSION_REQUESTS);
    ask(fake, fd, 500, STATUS);
    expect_code(fake, fd, 500, P2PD__CONTROL__CODE__LIMIT, "limit reached: 64 requests");
    assert_int_equal(fake->requests, CONTROL_SESSION_REQUESTS);
    cancel(fake, fd, 501, 163); /* needs no place */
    expect_code(fake, fd, 163, P2PD__CONTROL__CODE__FAILED, "cancelled");
    expect(fake, fd, 501);
    ask(fake, fd, 502, STATUS);
    run_until(fake, fake->requests == CONTROL_SESSION_REQUESTS + 1);
    close(fd);
    run_until(fake, fake->control->n_clients == 0);
    assert_int_equal(fake->gone, CONTROL_SESSION_REQUESTS + 1);
}

/* Of several sessions, so that no user keeps others out. */
static void a_uid_has_its_part(void **state) {
    struct fake *fake = *state;
    int fds[3];
    for (size_t i = 0; i < 3; i++) {
        fds[i] = open_session(fake);
        for (uint64_t id = 2; id < 2 + CONTROL_SESSION_REQUESTS && i < 2; id++)
            ask(fake, fds[i], id, STATUS);
    }
    run_until(fake, fake->requests == CONTROL_SESSIONS_UID);
    ask(fake, fds[2], 2, STATUS);
    expect_code(fake, fds[2], 2, P2PD__CONTROL__CODE__LIMIT, "limit reached: 128 requests of uid");
    answer_to(fake, 5, true);
    expect(fake, fds[0], 7);
    ask(fake, fds[2], 2, STATUS);
    run_until(fake, fake->requests == CONTROL_SESSIONS_UID + 1);
    for (size_t i = 0; i < 3; i++)
        close(fds[i]);
    run_until(fake, fake->control->n_clients == 0);
}

static void other_connections_know_nothing_of_it(void **state) {
    struct fake *fake = *state;
    int fd = open_session(fake), other = connect_to(fake);
    char rest[8];
    ask(fake, fd, 21, STATUS);
    run_until(fake, fake->requests == 1);
    send_status(fake, other);
    run_until(fake, fake->requests == 2);
    answer_to(fake, 1, true);
    expect(fake, other, 21);
    assert_int_equal(read_to_end(fake, other, rest, sizeof rest), 0);
    close(other);
    answer_to(fake, 0, true);
    expect(fake, fd, 21);
    close(fd);
}

/* ---- Pulls ---- */

static void each_pull_has_its_own_lease(void **state) {
    struct fake *fake = *state;
    int fd = open_session(fake);
    ask(fake, fd, 2, PULL);
    ask(fake, fd, 3, PULL);
    run_until(fake, fake->requests == 2);
    answer_body(fake, 0, 10, false);
    answer_body(fake, 1, 10, true);
    expect(fake, fd, 2);
    expect(fake, fd, 3);
    ask(fake, fd, 3, CONFIRM);
    run_until(fake, fake->confirms == 1);
    assert_true(fake->confirmed_by == fake->numbers[1]);
    assert_int_equal(fake->control->clients->n_requests, 1);
    close(fd);
    run_until(fake, fake->gone == 1);
    assert_true(fake->left[0] == fake->numbers[0]);
    assert_int_equal(fake->confirms, 1);
}

static void a_confirm_that_nothing_waits_for(void **state) {
    struct fake *fake = *state;
    int fd = open_session(fake);
    ask(fake, fd, 9, CONFIRM); /* of no request: ignored */
    ask(fake, fd, 9, SEND_DONE);
    ask(fake, fd, 2, PULL);
    run_until(fake, fake->requests == 1);
    ask(fake, fd, 2, CONFIRM);
    expect_code(fake, fd, 2, P2PD__CONTROL__CODE__USAGE, "nothing to confirm");
    run_until(fake, fake->gone == 1);
    ask(fake, fd, 3, PULL);
    run_until(fake, fake->requests == 2);
    ask(fake, fd, 3, SEND_DONE);
    expect_code(fake, fd, 3, P2PD__CONTROL__CODE__USAGE, "no file was begun");
    assert_int_equal(fake->confirms, 0);
    close(fd);
}

/* ---- Cancelling ---- */

static void a_cancelled_request_says_so_first(void **state) {
    struct fake *fake = *state;
    int fd = open_session(fake);
    ask(fake, fd, 2, PULL);
    ask(fake, fd, 3, STATUS);
    run_until(fake, fake->requests == 2);
    cancel(fake, fd, 4, 2);
    expect_code(fake, fd, 2, P2PD__CONTROL__CODE__FAILED, "cancelled");
    expect(fake, fd, 4);
    assert_int_equal(fake->gone, 1);
    assert_true(fake->left[0] == fake->numbers[0]);
    answer_to(fake, 0, true); /* too late */
    cancel(fake, fd, 5, 2);
    expect_code(fake, fd, 5, P2PD__CONTROL__CODE__UNKNOWN, "no such request");
    answer_to(fake, 1, true);
    expect(fake, fd, 3);
    close(fd);
}

static void a_lease_ends_with_its_pull(void **state) {
    struct fake *fake = *state;
    int fd = open_session(fake);
    ask(fake, fd, 2, PULL);
    run_until(fake, fake->requests == 1);
    answer_body(fake, 0, 10, true);
    expect(fake, fd, 2);
    cancel(fake, fd, 3, 2); /* instead of confirming: its end was said */
    expect(fake, fd, 3);
    assert_int_equal(fake->gone, 1);
    assert_int_equal(fake->confirms, 0);
    close(fd);
}

/* ---- Fairness and bounds ---- */

/* The request that the next frame answers, and whether it is a large one. */
static uint64_t look(struct fake *fake, int fd, bool *ret_is_large) {
    uint8_t header[FRAME_HEADER + 8];
    run_until(fake, recv(fd, header, sizeof header, MSG_PEEK) == sizeof header);
    *ret_is_large = frame_get_length(header) >= MESSAGE_MAX;
    return header[FRAME_HEADER + 3]; /* behind the version */
}

static void requests_send_by_turns(void **state) {
    struct fake *fake = *state;
    int fd = open_session(fake);
    ask(fake, fd, 2, PULL);
    ask(fake, fd, 3, STATUS);
    run_until(fake, fake->requests == 2);
    /* The first is far ahead, more than the kernel takes. */
    for (size_t i = 0; i < 10; i++)
        answer_body(fake, 0, MESSAGE_MAX, false);
    for (int i = 0; i < 5; i++)
        turn(fake);
    answer_to(fake, 1, false);
    answer_to(fake, 1, true);
    size_t before = 0;
    bool is_large;
    for (; look(fake, fd, &is_large) == 2; before++)
        expect(fake, fd, 2);
    assert_in_range(before, 1, 8);
    expect(fake, fd, 3);
    expect(fake, fd, 2);
    expect(fake, fd, 3);
    close(fd);
}

static void a_frame_that_was_begun_is_finished(void **state) {
    struct fake *fake = *state;
    int fd = open_session(fake);
    bool is_large;
    ask(fake, fd, 2, PULL);
    ask(fake, fd, 3, PULL);
    run_until(fake, fake->requests == 2);
    for (size_t i = 0; i < 2; i++)
        answer_body(fake, 0, MESSAGE_MAX, false);
    run_until(fake, fake->control->clients->writer);
    cancel(fake, fd, 4, 2);
    run_until(fake, fake->gone == 1);
    answer_body(fake, 1, 10, false);
    size_t whole = 0;
    for (; look(fake, fd, &is_large) == 2 && is_large; whole++)
        expect(fake, fd, 2);
    assert_in_range(whole, 1, 2);
    expect(fake, fd, 3); /* the other's turn */
    expect_code(fake, fd, 2, P2PD__CONTROL__CODE__FAILED, "cancelled");
    expect(fake, fd, 4);
    close(fd);
}

static void a_slow_reader_is_not_read_and_holds_up_nobody(void **state) {
    struct fake *fake = *state;
    char rest[8];
    int fd = open_session(fake), other = connect_to(fake);
    ask(fake, fd, 2, PULL);
    run_until(fake, fake->requests == 1);
    for (size_t i = 0; i < 5; i++)
        answer_body(fake, 0, MESSAGE_MAX, false);
    ask(fake, fd, 3, STATUS);
    run_until(fake, fake->control->clients->is_full);
    send_status(fake, other);
    run_until(fake, fake->requests == 2);
    answer_to(fake, 1, true);
    expect(fake, other, 21);
    assert_int_equal(read_to_end(fake, other, rest, sizeof rest), 0);
    close(other);
    assert_true(ev_is_active(&fake->control->clients->deadline));
    for (size_t i = 0; i < 5; i++)
        expect(fake, fd, 2);
    run_until(fake, fake->requests == 3);
    assert_int_equal(fake->control->output_bytes, 0);
    close(fd);
    run_until(fake, fake->gone == 2);
}

static void a_reader_that_never_reads_is_dropped(void **state) {
    struct fake *fake = *state;
    int fd = open_session(fake);
    ask(fake, fd, 2, PULL);
    ask(fake, fd, 3, PULL);
    run_until(fake, fake->requests == 2);
    for (size_t i = 0; i < 200 && fake->gone == 0; i++) {
        answer_body(fake, i % 2, MESSAGE_MAX, false);
        ev_run(fake->loop, EVRUN_NOWAIT);
    }
    run_until(fake, fake->control->n_clients == 0);
    assert_int_equal(fake->gone, 2);
    assert_int_equal(fake->control->output_bytes, 0);
    close(fd);
}

static void a_flood_leaves_turns_to_others(void **state) {
    struct fake *fake = *state;
    struct answer at_once = {.kind = ANSWER_TEXT, .code = ANSWER_OK, .end = true};
    fake->at_once = &at_once;
    int fd = open_session(fake), other = connect_to(fake);
    for (uint64_t i = 0; i < 3 * CONTROL_SESSION_TURN; i++) {
        /* Status, as protobuf has it. */
        uint8_t frame[] = {0, 0, 0, 6, 8, 1, 0x10, (uint8_t)(2 + i), 0x6a, 0};
        assert_true(send(fd, frame, sizeof frame, 0) == (ssize_t)sizeof frame);
    }
    send_status(fake, other);
    turn(fake);
    while (fake->requests == 0)
        turn(fake);
    assert_in_range(fake->requests, 1, CONTROL_SESSION_TURN + 1);
    run_until(fake, fake->requests == 3 * CONTROL_SESSION_TURN + 1);
    fake->at_once = NULL;
    close(fd);
    close(other);
}

/* ---- Ends ---- */

static void the_end_of_the_connection_ends_all(void **state) {
    struct fake *fake = *state;
    int fd = open_session(fake);
    ask(fake, fd, 2, PULL);
    ask(fake, fd, 3, STATUS);
    run_until(fake, fake->requests == 2);
    shutdown(fd, SHUT_WR); /* half of it is enough */
    run_until(fake, fake->control->n_clients == 0);
    assert_int_equal(fake->gone, 2);
    close(fd);
}

static void what_breaks_the_rules_ends_the_session(void **state) {
    struct fake *fake = *state;
    static const char *const why[] = {"request 2 is under way", "a request has no number",
                                      "malformed request", "message too large"};
    for (size_t i = 0; i < 4; i++) {
        int fd = open_session(fake);
        size_t gone = fake->gone, requests = fake->requests;
        ask(fake, fd, 2, PULL);
        run_until(fake, fake->requests == requests + 1);
        if (i < 2)
            ask(fake, fd, i == 0 ? 2 : 0, STATUS);
        else if (i == 2)
            write_bytes(fake, fd, "\0\0\0\3\xff\xff\xff", 7);
        else
            write_bytes(fake, fd, "\1\0\0\0", 4);
        expect_code(fake, fd, 0, i == 3 ? ANSWER_LIMIT : ANSWER_USAGE, why[i]);
        expect_closed(fake, fd);
        assert_int_equal(fake->gone, gone + 1);
    }
}

static void what_cannot_be_is_refused_and_the_rest_goes_on(void **state) {
    struct fake *fake = *state;
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Ping ping = P2PD__CONTROL__PING__INIT;
    int fd = open_session(fake);
    ask(fake, fd, 2, OPEN);
    expect_code(fake, fd, 2, P2PD__CONTROL__CODE__USAGE, "a session is opened by the first");
    send_request_as(fake, fd, 3, &request); /* no command, or one of a later version */
    expect_code(fake, fd, 3, P2PD__CONTROL__CODE__USAGE, "this daemon");
    ping.to = (char *)"";
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PING;
    request.ping = &ping;
    send_request_as(fake, fd, 4, &request);
    expect_code(fake, fd, 4, P2PD__CONTROL__CODE__UNKNOWN, "");
    ask(fake, fd, 5, STATUS);
    run_until(fake, fake->requests == 1);
    close(fd);
}

static void without_a_session_nothing_is_cancelled(void **state) {
    struct fake *fake = *state;
    int fd = connect_to(fake);
    cancel(fake, fd, 1, 1);
    expect_refusal(fake, fd, ANSWER_USAGE, "no session is open");
}

/* ---- Files, and the end of the daemon ---- */

static void a_file_is_sent_beside_other_requests(void **state) {
    struct fake *fake = *state;
    int fd = open_session(fake), spool = -1;
    ask(fake, fd, 2, SEND);
    run_until(fake, fake->requests == 1);
    answer_to(fake, 0, true);
    P2pd__Control__Answer *answer = read_answer_fd(fake, fd, &spool);
    assert_int_equal(answer->request_id, 2);
    assert_false(answer->end);
    assert_true(spool >= 0);
    close(spool);
    p2pd__control__answer__free_unpacked(answer, NULL);
    ask(fake, fd, 3, STATUS);
    run_until(fake, fake->requests == 2);
    answer_to(fake, 1, true);
    expect(fake, fd, 3);
    ask(fake, fd, 2, SEND_DONE);
    run_until(fake, fake->requests == 3);
    assert_true(fake->numbers[2] == fake->numbers[0]);
    answer_to(fake, 2, true);
    expect(fake, fd, 2);
    close(fd);
}

static void a_file_that_is_cancelled_leaves_nothing(void **state) {
    struct fake *fake = *state;
    int fd = open_session(fake), spool = -1;
    for (uint64_t id = 2; id < 4; id++) {
        ask(fake, fd, id, SEND);
        run_until(fake, fake->requests == id - 1);
        answer_to(fake, id - 2, true);
        p2pd__control__answer__free_unpacked(read_answer_fd(fake, fd, &spool), NULL);
        close(spool);
    }
    cancel(fake, fd, 4, 2);
    expect_code(fake, fd, 2, P2PD__CONTROL__CODE__FAILED, "cancelled");
    expect(fake, fd, 4);
    assert_int_equal(fake->spool_removed, 1);
    control_hide(fake->control);
    expect_code(fake, fd, 3, P2PD__CONTROL__CODE__FAILED, "the daemon stops");
    assert_int_equal(fake->spool_removed, 2);
    close(fd);
}

static void stop_is_held_in_a_session_too(void **state) {
    struct fake *fake = *state;
    char rest[8];
    int fd = open_session(fake);
    ask(fake, fd, 2, P2PD__CONTROL__REQUEST__COMMAND_STOP);
    run_until(fake, fake->stop);
    struct answer answer = {.client = fake->client, .kind = ANSWER_TEXT, .end = true};
    control_answer(fake->control, &answer);
    expect(fake, fd, 2);
    turn(fake);
    assert_int_equal(fake->control->n_clients, 1);
    control_close(fake->control);
    fake->control = NULL;
    assert_int_equal(read_to_end(fake, fd, rest, sizeof rest), 0);
    close(fd);
}

/* ---- Anything, in any order ---- */

static uint64_t seed; /* of the run that goes on; 0: none does */

static void anything_in_any_order(void **state) {
    for (seed = 1; seed <= 60; seed++)
        chaos_run(*state, seed);
    seed = 0;
}

static int teardown_chaos(void **state) {
    if (seed)
        print_message("failed with seed %llu\n", (unsigned long long)seed);
    return teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(requests_run_side_by_side),
        TEST(requests_need_not_wait_for_the_session),
        TEST(a_session_byte_by_byte),
        TEST(half_a_request_has_a_time_and_silence_has_none),
        TEST(as_many_as_may_be_and_one_more),
        TEST(a_uid_has_its_part),
        TEST(other_connections_know_nothing_of_it),
        TEST(each_pull_has_its_own_lease),
        TEST(a_confirm_that_nothing_waits_for),
        TEST(a_cancelled_request_says_so_first),
        TEST(a_lease_ends_with_its_pull),
        TEST(requests_send_by_turns),
        TEST(a_frame_that_was_begun_is_finished),
        TEST(a_slow_reader_is_not_read_and_holds_up_nobody),
        TEST(a_reader_that_never_reads_is_dropped),
        TEST(a_flood_leaves_turns_to_others),
        TEST(the_end_of_the_connection_ends_all),
        TEST(what_breaks_the_rules_ends_the_session),
        TEST(what_cannot_be_is_refused_and_the_rest_goes_on),
        TEST(without_a_session_nothing_is_cancelled),
        TEST(a_file_is_sent_beside_other_requests),
        TEST(a_file_that_is_cancelled_leaves_nothing),
        TEST(stop_is_held_in_a_session_too),
        cmocka_unit_test_setup_teardown(anything_in_any_order, setup, teardown_chaos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
