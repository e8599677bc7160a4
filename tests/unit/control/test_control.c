/* link: daemon/core/base/base daemon/io/control/control daemon/io/control/control_client daemon/io/control/control_give daemon/io/control/control_request daemon/io/control/control_session daemon/io/control/control_output daemon/io/control/control_send daemon/io/control/control_socket daemon/io/control/control_convert daemon/io/control/control_encode daemon/io/control/control_text daemon/io/control/dest shared/frame shared/message_id shared/text shared/address proto/control.pb-c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/control/fake_control.h"

#include <fcntl.h>
#include <sys/stat.h>

/* ---- Requests and answers ---- */

static void test_a_request_and_its_answer(void **state) {
    struct fake *fake = *state;
    char rest[8];
    int fd = connect_to(fake);
    send_status(fake, fd);
    run_until(fake, fake->requests == 1);
    assert_int_equal(fake->last.kind, REQUEST_STATUS);
    answer_text(fake, ANSWER_OK);
    P2pd__Control__Answer *answer = read_answer(fake, fd);
    assert_true(answer->request_id == 21);
    p2pd__control__answer__free_unpacked(answer, NULL);
    assert_int_equal(read_to_end(fake, fd, rest, sizeof rest), 0);
    close(fd);
    assert_int_equal(fake->gone, 0);
    answer_text(fake, ANSWER_OK); /* too late: dropped */
}

static void test_an_answer_from_within_the_request(void **state) {
    struct fake *fake = *state;
    struct answer at_once = {.kind = ANSWER_TEXT, .code = ANSWER_UNKNOWN, .end = true};
    snprintf(at_once.text, sizeof at_once.text, "nobody of that name");
    fake->at_once = &at_once;
    int fd = connect_to(fake);
    send_push(fake, fd, 5);
    expect_refusal(fake, fd, ANSWER_UNKNOWN, "nobody");
    fake->at_once = NULL;
}

static void test_a_request_byte_by_byte(void **state) {
    struct fake *fake = *state;
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Peers peers = P2PD__CONTROL__PEERS__INIT;
    size_t length;
    request.version = CONTROL_VERSION;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PEERS;
    request.peers = &peers;
    uint8_t *frame = frame_pack(&request.base, &length);
    int fd = connect_to(fake);
    for (size_t i = 0; i < length; i++) {
        assert_int_equal(fake->requests, 0);
        write_bytes(fake, fd, frame + i, 1);
        turn(fake);
    }
    free(frame);
    run_until(fake, fake->requests == 1);
    close(fd);
    run_until(fake, fake->gone == 1);
}

static void test_commands(void **state) {
    struct fake *fake = *state;
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Reload reload = P2PD__CONTROL__RELOAD__INIT;
    char rest[256];
    int fd = connect_to(fake);
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_RELOAD;
    request.reload = &reload;
    send_request(fake, fd, &request);
    run_until(fake, fake->reload);
    answer_text(fake, ANSWER_OK);
    assert_true(read_to_end(fake, fd, rest, sizeof rest) > FRAME_HEADER);
    close(fd);
    assert_int_equal(fake->gone, 0);
}

static void test_stop_is_held_until_we_are_down(void **state) {
    struct fake *fake = *state;
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Stop stop = P2PD__CONTROL__STOP__INIT;
    char rest[8];
    int fd = connect_to(fake);
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_STOP;
    request.stop = &stop;
    send_request(fake, fd, &request);
    run_until(fake, fake->stop);
    answer_text(fake, ANSWER_OK);
    p2pd__control__answer__free_unpacked(read_answer(fake, fd), NULL);
    turn(fake);
    assert_int_equal(recv(fd, rest, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
    control_close(fake->control);
    fake->control = NULL;
    assert_int_equal(recv(fd, rest, 1, 0), 0);
    assert_int_equal(access(fake->path, F_OK), -1);
    close(fd);
}

/* As after a SIGSTOP: everybody came and spoke before the daemon had a turn. */
static void test_those_who_came_first_are_served_first(void **state) {
    struct fake *fake = *state;
    enum { N = 20 };
    static const struct answer at_once = {.kind = ANSWER_TEXT, .end = true};
    int fds[N];
    fake->at_once = &at_once;
    for (size_t i = 0; i < N; i++) {
        fds[i] = connect_to(fake);
        send_push(fake, fds[i], i);
    }
    run_until(fake, fake->requests == N);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(fake->sizes[i], i);
        close(fds[i]);
    }
    run_until(fake, fake->control->n_clients == 0);
}

/* Those that were there before, and speak in another order: still by their coming. */
static void test_old_connections_are_served_in_order(void **state) {
    struct fake *fake = *state;
    enum { N = 10 };
    static const struct answer at_once = {.kind = ANSWER_TEXT, .end = true};
    int fds[N];
    fake->at_once = &at_once;
    for (size_t i = 0; i < N; i++)
        fds[i] = connect_to(fake);
    run_until(fake, fake->control->n_clients == N);
    for (size_t i = N; i-- > 0;)
        send_push(fake, fds[i], i);
    run_until(fake, fake->requests == N);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(fake->sizes[i], i);
        close(fds[i]);
    }
    run_until(fake, fake->control->n_clients == 0);
}

/* ---- What is wrong with requests ---- */

/* Nothing is read while we are behind, and nothing is lost or late; then all have their turn. */
static void test_held_clients_wait(void **state) {
    struct fake *fake = *state;
    enum { N = 5 };
    static const struct answer at_once = {.kind = ANSWER_TEXT, .end = true};
    int fds[N];
    fake->at_once = &at_once;
    control_hold(fake->control, true);
    for (size_t i = 0; i < N; i++) {
        fds[i] = connect_to(fake);
        send_push(fake, fds[i], i);
    }
    run_until(fake, fake->control->n_clients == N && fake->control->clients->held);
    for (size_t i = 0; i < N; i++)
        turn(fake);
    for (const struct control_client *client = fake->control->clients; client;
         client = client->next) {
        assert_true(client->held);
        assert_false(ev_is_active(&client->read)); /* or the loop would spin */
        assert_false(ev_is_active(&client->deadline));
    }
    assert_int_equal(fake->requests, 0);
    control_hold(fake->control, false);
    run_until(fake, fake->requests == N);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(fake->sizes[i], i);
        close(fds[i]);
    }
    run_until(fake, fake->control->n_clients == 0);
}

static void test_garbage(void **state) {
    struct fake *fake = *state;
    int fd = connect_to(fake);
    write_bytes(fake, fd, "\0\0\0\5\xff\xff\xff\xff\xff", 9);
    expect_refusal(fake, fd, ANSWER_USAGE, "malformed");
    fd = connect_to(fake);
    write_text(fake, fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_text(fake, fd, "FAIL\n");
    close(fd);
    assert_int_equal(fake->requests, 0);
}

static void test_half_a_request_has_a_time(void **state) {
    struct fake *fake = *state;
    int fd = connect_to(fake);
    write_bytes(fake, fd, "\0\0\0\x40half", 8);
    run_until(fake, fake->control->clients && fake->control->clients->have == 8);
    expire(fake);
    assert_int_equal(fake->requests + fake->gone, 0);
    close(fd);
}

static void test_length_at_its_limit_and_past_it(void **state) {
    struct fake *fake = *state;
    uint8_t header[FRAME_HEADER];
    int fd = connect_to(fake);
    frame_put_length(header, LIMIT + 1);
    write_bytes(fake, fd, header, sizeof header);
    expect_refusal(fake, fd, ANSWER_LIMIT, "too large");
    fd = connect_to(fake);
    frame_put_length(header, LIMIT);
    write_bytes(fake, fd, header, sizeof header);
    run_until(fake, fake->control->reserved == FRAME_HEADER + LIMIT);
    close(fd);
    run_until(fake, fake->control->n_clients == 0);
    assert_int_equal(fake->control->reserved, 0);
}

static void test_body_at_its_limit_and_past_it(void **state) {
    struct fake *fake = *state;
    int fd = connect_to(fake);
    send_push(fake, fd, MESSAGE_MAX);
    run_until(fake, fake->requests == 1);
    assert_int_equal(fake->last.push.size, MESSAGE_MAX);
    answer_text(fake, ANSWER_OK);
    close(fd);
    run_until(fake, fake->control->n_clients == 0);
    fd = connect_to(fake);
    send_push(fake, fd, MESSAGE_MAX + 1);
    expect_refusal(fake, fd, ANSWER_LIMIT, "too large");
}

static void test_large_requests_wait_for_memory(void **state) {
    struct fake *fake = *state;
    uint8_t header[FRAME_HEADER];
    int first[2];
    frame_put_length(header, LIMIT - FRAME_HEADER);
    for (int i = 0; i < 2; i++) {
        first[i] = connect_to(fake);
        write_bytes(fake, first[i], header, sizeof header);
    }
    run_until(fake, fake->control->reserved == 2 * LIMIT);
    int third = connect_to(fake);
    write_bytes(fake, third, header, sizeof header);
    run_until(fake, newest(fake)->number == 3 && newest(fake)->paused);
    int small = connect_to(fake);
    send_push(fake, small, 5);
    run_until(fake, fake->requests == 1);
    close(first[0]);
    run_until(fake, fake->control->n_clients == 3);
    write_text(fake, third, "x");
    run_until(fake, fake->control->reserved == 2 * LIMIT);
    close(first[1]);
    close(third);
    close(small);
    run_until(fake, fake->control->n_clients == 0);
    assert_int_equal(fake->control->reserved, 0);
}

static void test_a_second_request_ends_the_connection(void **state) {
    struct fake *fake = *state;
    int fd = connect_to(fake);
    send_pull(fake, fd, false);
    run_until(fake, fake->requests == 1);
    send_status(fake, fd);
    run_until(fake, fake->gone == 1);
    assert_int_equal(fake->requests, 1);
    close(fd);
}

/* ---- Readers ---- */

static void test_a_reader_that_does_not_read_has_a_time(void **state) {
    struct fake *fake = *state;
    static struct node_report nodes[20000];
    struct answer answer = {.kind = ANSWER_NODES, .end = false};
    int fd = connect_to(fake);
    send_pull(fake, fd, true);
    run_until(fake, fake->requests == 1);
    answer.client = fake->client;
    answer.nodes.v = nodes;
    answer.nodes.n = 20000;
    control_answer(fake->control, &answer);
    for (int i = 0; i < 3; i++)
        turn(fake);
    assert_true(fake->control->output_bytes > 0);
    expire(fake);
    assert_int_equal(fake->gone, 1);
    assert_int_equal(fake->control->output_bytes, 0);
    close(fd);
}

static void test_output_has_a_bound(void **state) {
    struct fake *fake = *state;
    static uint8_t body[MESSAGE_MAX];
    struct in_record record = {.body = body, .size = MESSAGE_MAX};
    struct answer answer = {.kind = ANSWER_MESSAGES};
    int fd = connect_to(fake);
    send_pull(fake, fd, true);
    run_until(fake, fake->requests == 1);
    answer.client = fake->client;
    answer.messages.v = &record;
    answer.messages.n = 1;
    size_t most = 0;
    for (int i = 0; i < 200; i++) {
        control_answer(fake->control, &answer);
        most = fake->control->output_bytes > most ? fake->control->output_bytes : most;
    }
    assert_true(most <= 4 * LIMIT + (16u << 20));
    assert_true(most > 4 * LIMIT);
    run_until(fake, fake->gone == 1);
    close(fd);
}

static void test_confirm(void **state) {
    struct fake *fake = *state;
    char rest[8];
    int fd = connect_to(fake);
    send_pull(fake, fd, false);
    run_until(fake, fake->requests == 1);
    answer_messages(fake, 2);
    P2pd__Control__Answer *answer = read_answer(fake, fd);
    assert_true(answer->confirm && !answer->end);
    assert_int_equal(answer->n_messages, 2);
    assert_memory_equal(answer->messages[1]->body.data, "t\no", 3);
    p2pd__control__answer__free_unpacked(answer, NULL);
    assert_int_equal(fake->confirms, 0);
    send_confirm(fake, fd);
    run_until(fake, fake->confirms == 1);
    answer_text(fake, ANSWER_OK);
    p2pd__control__answer__free_unpacked(read_answer(fake, fd), NULL);
    assert_int_equal(read_to_end(fake, fd, rest, sizeof rest), 0);
    assert_int_equal(fake->gone, 0);
    close(fd);
}

static void test_lost_confirm(void **state) {
    struct fake *fake = *state;
    int fd = connect_to(fake);
    send_pull(fake, fd, false);
    run_until(fake, fake->requests == 1);
    answer_messages(fake, 2);
    p2pd__control__answer__free_unpacked(read_answer(fake, fd), NULL);
    close(fd);
    run_until(fake, fake->gone == 1);
    assert_int_equal(fake->confirms, 0);
}

static void test_confirm_of_nothing(void **state) {
    struct fake *fake = *state;
    int fd = connect_to(fake);
    send_confirm(fake, fd);
    expect_refusal(fake, fd, ANSWER_USAGE, "nothing to confirm");
    fd = connect_to(fake);
    send_pull(fake, fd, true);
    run_until(fake, fake->requests == 1);
    answer_messages(fake, 1);
    send_confirm(fake, fd);
    run_until(fake, fake->gone == 1);
    assert_int_equal(fake->confirms, 0);
    close(fd);
}

/* ---- Plain text ---- */

static void text_push(struct fake *fake, const char *request, bool half_close,
                      enum answer_code code, const char *want) {
    size_t before = fake->requests;
    int fd = connect_to(fake);
    write_text(fake, fd, request);
    if (half_close)
        shutdown(fd, SHUT_WR);
    run_until(fake, fake->requests == before + 1);
    assert_int_equal(fake->last.kind, REQUEST_PUSH);
    assert_int_equal(fake->last.push.size, 5);
    assert_memory_equal(fake->body, "hello", 5);
    answer_text(fake, code);
    expect_text(fake, fd, want);
    close(fd);
}

static void test_text_push_in_all_three_endings(void **state) {
    struct fake *fake = *state;
    struct message_id first;
    text_push(fake, "PUSH IP:10.0.0.1 MSG:hello\n", false, ANSWER_OK, "SUCCESS\n");
    first = fake->last.push.id;
    text_push(fake, "PUSH IP:10.0.0.1 MSG:hello", true, ANSWER_OK, "SUCCESS\n");
    assert_memory_not_equal(first.bytes, fake->last.push.id.bytes, MESSAGE_ID_LEN);
    text_push(fake, "PUSH IP:10.0.0.1 MSG:hello", false, ANSWER_UNKNOWN, "FAIL\n");
    text_push(fake, "PUSH IP:10.0.0.1 MSG:hello\r\nmore\n", false, ANSWER_OK, "SUCCESS\n");
}

static void test_text_of_any_length(void **state) {
    struct fake *fake = *state;
    char *text = malloc(LIMIT + 1);
    assert_non_null(text);
    size_t start = (size_t)snprintf(text, LIMIT, "PUSH IP:10.0.0.1 MSG:");
    memset(text + start, 'x', LIMIT + 1 - start);
    int fd = connect_to(fake);
    write_bytes(fake, fd, text, start + MESSAGE_MAX);
    write_text(fake, fd, "\n");
    run_until(fake, fake->requests == 1);
    assert_int_equal(fake->last.push.size, MESSAGE_MAX);
    answer_text(fake, ANSWER_OK);
    expect_text(fake, fd, "SUCCESS\n");
    close(fd);
    fd = connect_to(fake);
    write_bytes(fake, fd, text, start + MESSAGE_MAX + 1);
    write_text(fake, fd, "\n");
    expect_text(fake, fd, "FAIL\n");
    close(fd);
    fd = connect_to(fake);
    write_bytes(fake, fd, text, LIMIT);
    expect_text(fake, fd, "FAIL\n");
    close(fd);
    free(text);
    assert_int_equal(fake->requests, 1);
}

static int text_pull(struct fake *fake, bool half_close) {
    int fd = connect_to(fake);
    write_text(fake, fd, "PULL\n");
    if (half_close)
        shutdown(fd, SHUT_WR);
    run_until(fake, fake->requests == 1);
    assert_int_equal(fake->last.kind, REQUEST_PULL);
    assert_true(fake->last.pull.from_any && !fake->last.pull.wait && !fake->last.pull.peek);
    return fd;
}

#define TWO_LINES "SUCCESS 2\nIP: :: MSG:one\nIP: :: MSG:t\\no\n"

static void test_text_pull_and_an_orderly_close(void **state) {
    struct fake *fake = *state;
    int fd = text_pull(fake, false);
    answer_messages(fake, 2);
    expect_text(fake, fd, TWO_LINES);
    turn(fake);
    assert_int_equal(fake->confirms, 0);
    close(fd);
    run_until(fake, fake->confirms == 1);
    assert_int_equal(fake->control->n_clients, 1);
    answer_text(fake, ANSWER_OK);
    run_until(fake, fake->control->n_clients == 0);
    assert_int_equal(fake->gone, 0);
}

/* The core may hand out the next batch after a confirmation: nobody is there to read it. */
static void test_text_pull_leaves_the_next_batch(void **state) {
    struct fake *fake = *state;
    int fd = text_pull(fake, false);
    answer_messages(fake, 2);
    expect_text(fake, fd, TWO_LINES);
    close(fd);
    run_until(fake, fake->confirms == 1);
    answer_messages(fake, 1);
    run_until(fake, fake->gone == 1);
    assert_int_equal(fake->confirms, 1);
}

static void test_text_pull_after_half_close(void **state) {
    struct fake *fake = *state;
    int fd = text_pull(fake, true);
    answer_messages(fake, 2);
    expect_text(fake, fd, TWO_LINES);
    run_until(fake, fake->confirms == 1);
    close(fd);
}

static void test_text_pull_and_a_reset(void **state) {
    struct fake *fake = *state;
    struct pollfd readable;
    int fd = text_pull(fake, false);
    answer_messages(fake, 2);
    readable = (struct pollfd){.fd = fd, .events = POLLIN};
    run_until(fake, poll(&readable, 1, 0) == 1);
    close(fd); /* with everything unread: the kernel tells the server of a reset */
    run_until(fake, fake->gone == 1);
    assert_int_equal(fake->confirms, 0);
}

static void test_text_pull_half_closed_and_a_reset(void **state) {
    struct fake *fake = *state;
    char some[4];
    int fd = text_pull(fake, true);
    answer_messages(fake, 2);
    run_until(fake, recv(fd, some, sizeof some, 0) == sizeof some);
    for (int i = 0; i < 3; i++)
        turn(fake);
    assert_int_equal(fake->confirms, 0);
    close(fd);
    expire(fake); /* SO_ERROR keeps it from ever being confirmed; this is its end */
    assert_int_equal(fake->gone, 1);
    assert_int_equal(fake->confirms, 0);
}

/* One read, whatever it brings. */
static void expect_read(struct fake *fake, int fd, const char *want) {
    char got[256];
    run_until(fake, recv(fd, got, sizeof got, MSG_PEEK) > 0);
    ssize_t n = recv(fd, got, sizeof got - 1, 0);
    assert_true(n > 0);
    got[n] = '\0';
    assert_string_equal(got, want);
}

static const char *const four_lines[] = {"SUCCESS 4\n", "IP: :: MSG:one\n", "IP: :: MSG:t\\no\n",
                                         "IP: :: MSG:three\n", "IP: :: MSG:\n"};

/* The original's reader: the head with one read, and each message with one more. */
static void test_text_pull_a_line_a_read(void **state) {
    struct fake *fake = *state;
    int fd = text_pull(fake, false);
    answer_messages(fake, 4);
    for (size_t i = 0; i < 5; i++) {
        for (size_t turns = 0; turns < i; turns++) /* it takes its time */
            turn(fake);
        expect_read(fake, fd, four_lines[i]);
    }
    close(fd);
    run_until(fake, fake->confirms == 1);
    answer_text(fake, ANSWER_OK);
    run_until(fake, fake->control->n_clients == 0);
}

/* It stops after some, with or without the next one unread: what it has read is taken. */
static void expect_some_taken(struct fake *fake, size_t reads, bool leaves_one) {
    struct pollfd readable = {.events = POLLIN};
    fake->requests = fake->confirms = fake->gone = 0;
    int fd = readable.fd = text_pull(fake, false);
    answer_messages(fake, 4);
    for (size_t i = 0; i < reads; i++)
        expect_read(fake, fd, four_lines[i]);
    if (leaves_one && reads < 5)
        run_until(fake, poll(&readable, 1, 0) == 1);
    close(fd);
    run_until(fake, fake->gone == 1);
    assert_int_equal(fake->confirms, reads > 1);
    assert_int_equal(fake->control->n_clients, 0);
    if (reads > 1)
        assert_int_equal(fake->n_confirmed, reads - 1);
    static const int64_t rows[] = {17, 3, 4, 5};
    for (size_t i = 0; i + 1 < reads; i++)
        assert_int_equal(fake->confirmed[i], rows[i]);
}

static void test_text_pull_that_stops(void **state) {
    struct fake *fake = *state;
    for (size_t reads = 0; reads < 5; reads++) {
        expect_some_taken(fake, reads, true);
        if (reads > 0)
            expect_some_taken(fake, reads, false);
    }
}

/* Its half is closed, so that nothing tells when it goes altogether; and then it does. */
static void test_text_pull_half_closed_that_stops(void **state) {
    struct fake *fake = *state;
    int fd = text_pull(fake, true);
    answer_messages(fake, 4);
    for (size_t i = 0; i < 3; i++)
        expect_read(fake, fd, four_lines[i]);
    close(fd);
    run_until(fake, fake->gone == 1);
    assert_int_equal(fake->confirms, 1);
    assert_int_equal(fake->n_confirmed, 2);
}

static void test_text_pull_of_nothing_and_a_failure(void **state) {
    struct fake *fake = *state;
    int fd = text_pull(fake, false);
    answer_text(fake, ANSWER_OK);
    expect_text(fake, fd, "SUCCESS 0\n");
    close(fd);
    fake->requests = 0;
    fd = text_pull(fake, false);
    answer_text(fake, ANSWER_FAILED);
    expect_text(fake, fd, "FAIL\n");
    close(fd);
    assert_int_equal(fake->gone, 0);
}

/* ---- Who may ---- */

static void test_strangers_are_refused_in_words(void **state) {
    struct fake *fake = *state;
    fake_peer = (struct control_peer){MY_UID, MY_GID};
    int fd = connect_to(fake);
    send_status(fake, fd);
    expect_refusal(fake, fd, ANSWER_LIMIT, "not permitted");
    fd = connect_to(fake);
    write_text(fake, fd, "PULL\n");
    expect_text(fake, fd, "FAIL\n");
    close(fd);
    assert_int_equal(fake->requests, 0);
}

static void test_the_group_is_let_in_and_named(void **state) {
    struct fake *fake = *state;
    struct control_config config = config_of(fake);
    config.gid = MY_GID;
    control_reconfigure(fake->control, &config);
    fake_peer = (struct control_peer){MY_UID, MY_GID + 1};
    int fd = connect_to(fake);
    send_status(fake, fd);
    expect_refusal(fake, fd, ANSWER_LIMIT, "(4343)");
    fake_peer = (struct control_peer){MY_UID, MY_GID};
    fd = connect_to(fake);
    send_status(fake, fd);
    run_until(fake, fake->requests == 1);
    close(fd);
    run_until(fake, fake->control->n_clients == 0);
}

static void connect_many(struct fake *fake, int *fds, size_t n) {
    for (size_t i = 0; i < n; i++) {
        size_t before = fake->control->n_clients;
        fds[i] = connect_to(fake);
        run_until(fake, fake->control->n_clients == before + 1);
    }
}

static void expect_served(struct fake *fake) {
    size_t before = fake->requests;
    int fd = connect_to(fake);
    send_status(fake, fd);
    run_until(fake, fake->requests == before + 1);
    close(fd);
    run_until(fake, fake->control->n_reserved == 0);
}

static void expect_too_many(struct fake *fake) {
    int fd = connect_to(fake);
    send_pull(fake, fd, true);
    P2pd__Control__Answer *answer = read_answer(fake, fd);
    assert_int_equal(answer->code, ANSWER_LIMIT);
    assert_non_null(strstr(answer->text, "too many clients"));
    p2pd__control__answer__free_unpacked(answer, NULL);
    expect_text(fake, fd, "");
    close(fd);
    fd = connect_to(fake);
    write_text(fake, fd, "PULL\n");
    expect_text(fake, fd, "FAIL\n");
    close(fd);
}

#define UID_MAX_HERE CONTROL_CLIENTS_UID(CONTROL_CLIENTS_MAX)

/* One user takes all places that one may have: the next ones are told so, an administrator's short
 * requests are carried out, and others have places left. */
static void test_connections_are_bounded(void **state) {
    struct fake *fake = *state;
    int fds[CONTROL_CLIENTS_MAX];
    connect_many(fake, fds, UID_MAX_HERE);
    expect_too_many(fake);
    run_until(fake, fake->control->n_reserved == 0);
    expect_served(fake);
    struct control_config config = config_of(fake);
    config.gid = MY_GID;
    control_reconfigure(fake->control, &config);
    fake_peer = (struct control_peer){MY_UID, MY_GID};
    connect_many(fake, fds + UID_MAX_HERE, CONTROL_CLIENTS_MAX - UID_MAX_HERE);
    expect_too_many(fake);
    run_until(fake, fake->control->n_reserved == 0);
    expect_served(fake);
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        close(fds[i]);
    run_until(fake, fake->control->n_clients == 0);
    assert_int_equal(fake->control->n_reserved, 0);
}

/* Those who say nothing in the places beside do not keep an administrator out either. */
static void test_silent_connections_give_way(void **state) {
    struct fake *fake = *state;
    int fds[UID_MAX_HERE + CONTROL_RESERVED], more[3 * CONTROL_RESERVED];
    connect_many(fake, fds, UID_MAX_HERE + CONTROL_RESERVED);
    for (size_t i = 0; i < 3 * CONTROL_RESERVED; i++)
        more[i] = connect_to(fake);
    int fd = connect_to(fake);
    P2pd__Control__Stop stop = P2PD__CONTROL__STOP__INIT;
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    request.version = CONTROL_VERSION;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_STOP;
    request.stop = &stop;
    send_request(fake, fd, &request);
    run_until(fake, fake->stop);
    assert_true(fake->control->n_clients <= UID_MAX_HERE + CONTROL_RESERVED);
    expect_too_many(fake); /* silent ones went for it */
    for (size_t i = 0; i < UID_MAX_HERE + CONTROL_RESERVED; i++)
        close(fds[i]);
    for (size_t i = 0; i < 3 * CONTROL_RESERVED; i++)
        close(more[i]);
    close(fd);
}

/* Few descriptors: few places. */
static void test_places_follow_the_descriptors(void **state) {
    struct fake *fake = *state;
    char error[FAILURE_MAX];
    int fds[4];
    struct control_config config = config_of(fake);
    config.clients_max = 5;
    control_close(fake->control);
    assert_int_equal(open_control(fake, &config, error), 0);
    connect_many(fake, fds, 4); /* of one uid: three quarters, rounded up */
    expect_too_many(fake);
    run_until(fake, fake->control->n_reserved == 0);
    expect_served(fake);
    for (size_t i = 0; i < 4; i++)
        close(fds[i]);
    run_until(fake, fake->control->n_clients == 0);
}

/* ---- The socket ---- */

static void test_the_socket_is_private(void **state) {
    struct fake *fake = *state;
    struct stat status;
    assert_int_equal(stat(fake->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static int reopen(struct fake *fake, const struct control_config *config, char error[FAILURE_MAX]) {
    control_close(fake->control);
    fake->control = NULL;
    return open_control(fake, config, error);
}

static void test_a_live_daemon_keeps_its_socket(void **state) {
    struct fake *fake = *state;
    struct control *other = NULL;
    struct control_config config = config_of(fake);
    struct control_sink sink = sink_of(fake);
    char error[FAILURE_MAX];
    config.state_locked = true;
    assert_int_equal(control_open(&other, fake->loop, &config, &sink, error), -EADDRINUSE);
    assert_non_null(strstr(error, "another daemon"));
    assert_int_equal(access(fake->path, F_OK), 0);
}

static void test_a_stale_socket_goes_with_the_lock_alone(void **state) {
    struct fake *fake = *state;
    struct control_config config = config_of(fake);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char error[FAILURE_MAX];
    control_close(fake->control);
    fake->control = NULL;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", fake->path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    assert_int_equal(reopen(fake, &config, error), -EADDRINUSE);
    config.state_locked = true;
    config.mode = 0660;
    assert_int_equal(reopen(fake, &config, error), 0);
    struct stat status;
    assert_int_equal(stat(fake->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0660);
}

static void test_what_is_no_socket_is_left_alone(void **state) {
    struct fake *fake = *state;
    struct control_config config = config_of(fake);
    char error[FAILURE_MAX];
    control_close(fake->control);
    fake->control = NULL;
    close(open(fake->path, O_CREAT | O_WRONLY, 0600));
    config.state_locked = true;
    assert_int_equal(reopen(fake, &config, error), -EEXIST);
    assert_int_equal(access(fake->path, F_OK), 0);
}

static void test_paths_that_will_not_do(void **state) {
    struct fake *fake = *state;
    struct control_config config = config_of(fake);
    struct sockaddr_un address;
    char error[FAILURE_MAX], path[sizeof address.sun_path + 1];
    memset(path, 'x', sizeof path);
    memcpy(path, fake->folder, strlen(fake->folder));
    path[strlen(fake->folder)] = '/';
    path[sizeof path - 1] = '\0';
    config.path = path;
    assert_int_equal(reopen(fake, &config, error), -ENAMETOOLONG);
    path[sizeof path - 2] = '\0';
    assert_int_equal(reopen(fake, &config, error), 0);
    config.path = fake->path;
    assert_int_equal(chmod(fake->folder, 0777), 0);
    assert_int_equal(reopen(fake, &config, error), -EACCES);
    assert_int_equal(chmod(fake->folder, 01777), 0);
    assert_int_equal(reopen(fake, &config, error), 0);
}

static void test_a_missing_folder_is_made_private(void **state) {
    struct fake *fake = *state;
    struct control_config config = config_of(fake);
    char error[FAILURE_MAX], folder[48], path[64];
    struct stat status;
    snprintf(folder, sizeof folder, "%s/new", fake->folder);
    snprintf(path, sizeof path, "%s/s", folder);
    config.path = path;
    assert_int_equal(reopen(fake, &config, error), 0);
    assert_int_equal(stat(folder, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    control_close(fake->control);
    fake->control = NULL;
    assert_int_equal(rmdir(folder), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_a_request_and_its_answer),
        TEST(test_an_answer_from_within_the_request),
        TEST(test_a_request_byte_by_byte),
        TEST(test_commands),
        TEST(test_stop_is_held_until_we_are_down),
        TEST(test_those_who_came_first_are_served_first),
        TEST(test_old_connections_are_served_in_order),
        TEST(test_held_clients_wait),
        TEST(test_garbage),
        TEST(test_half_a_request_has_a_time),
        TEST(test_length_at_its_limit_and_past_it),
        TEST(test_body_at_its_limit_and_past_it),
        TEST(test_large_requests_wait_for_memory),
        TEST(test_a_second_request_ends_the_connection),
        TEST(test_a_reader_that_does_not_read_has_a_time),
        TEST(test_output_has_a_bound),
        TEST(test_confirm),
        TEST(test_lost_confirm),
        TEST(test_confirm_of_nothing),
        TEST(test_text_push_in_all_three_endings),
        TEST(test_text_of_any_length),
        TEST(test_text_pull_and_an_orderly_close),
        TEST(test_text_pull_leaves_the_next_batch),
        TEST(test_text_pull_after_half_close),
        TEST(test_text_pull_and_a_reset),
        TEST(test_text_pull_half_closed_and_a_reset),
        TEST(test_text_pull_a_line_a_read),
        TEST(test_text_pull_that_stops),
        TEST(test_text_pull_half_closed_that_stops),
        TEST(test_text_pull_of_nothing_and_a_failure),
        TEST(test_strangers_are_refused_in_words),
        TEST(test_the_group_is_let_in_and_named),
        TEST(test_connections_are_bounded),
        TEST(test_silent_connections_give_way),
        TEST(test_places_follow_the_descriptors),
        TEST(test_the_socket_is_private),
        TEST(test_a_live_daemon_keeps_its_socket),
        TEST(test_a_stale_socket_goes_with_the_lock_alone),
        TEST(test_what_is_no_socket_is_left_alone),
        TEST(test_paths_that_will_not_do),
        TEST(test_a_missing_folder_is_made_private),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
