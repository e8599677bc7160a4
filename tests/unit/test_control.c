/* link: daemon/io/control daemon/io/control_client daemon/io/control_socket daemon/io/control_convert daemon/io/control_encode daemon/io/control_text daemon/io/dest shared/frame shared/text shared/address proto/control.pb-c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/control_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The server is the real one, on a real socket and loop; the core behind it and the clients
 * before it are these. Its times are not waited for: a test feeds the timer's event. */
#define MESSAGE_MAX 200000u
#define LIMIT (MESSAGE_MAX + FRAME_SLACK)
#define TURNS_MAX 400 /* of at most 50 ms: a test that hangs fails */
#define MY_UID 4242
#define MY_GID 4343

struct fake {
    char folder[32], path[64];
    struct ev_loop *loop;
    struct control *control;
    struct control_peer peer; /* what the kernel would say */
    struct request last;      /* without what it borrows */
    uint8_t body[64];
    size_t requests, confirms, gone;
    bool stop, reload;
    uint64_t client;
    const struct answer *at_once; /* answered from within the request */
};

static void fake_request(void *context, const struct request *request) {
    struct fake *fake = context;
    if (request->kind == REQUEST_CONFIRM) {
        fake->confirms++;
        return;
    }
    fake->requests++;
    fake->last = *request;
    fake->client = request->client;
    if (request->kind == REQUEST_PUSH && request->push.size <= sizeof fake->body)
        memcpy(fake->body, request->push.body, request->push.size);
    if (fake->at_once) {
        struct answer answer = *fake->at_once;
        answer.client = request->client;
        control_answer(fake->control, &answer);
    }
}

static void fake_gone(void *context, uint64_t client) {
    struct fake *fake = context;
    assert_true(client == fake->client);
    fake->gone++;
}

static void fake_command(void *context, enum control_command command, uint64_t client) {
    struct fake *fake = context;
    fake->stop = fake->stop || command == CONTROL_STOP;
    fake->reload = fake->reload || command == CONTROL_RELOAD;
    fake->client = client;
}

static struct control_peer fake_peer;
static int fake_credentials(int fd, struct control_peer *ret_peer) {
    (void)fd;
    *ret_peer = fake_peer;
    return 0;
}

static struct control_config config_of(const struct fake *fake) {
    return (struct control_config){.path = fake->path,
                                   .gid = CONTROL_GID_NONE,
                                   .message_max = MESSAGE_MAX,
                                   .credentials = fake_credentials};
}

static int open_control(struct fake *fake, const struct control_config *config,
                        char error[FAILURE_MAX]) {
    struct control_sink sink = {fake, fake_request, fake_gone, fake_command};
    return control_open(&fake->control, fake->loop, config, &sink, error);
}

static int setup(void **state) {
    struct fake *fake = calloc(1, sizeof *fake);
    char error[FAILURE_MAX];
    assert_non_null(fake);
    snprintf(fake->folder, sizeof fake->folder, "/tmp/test-control-XXXXXX");
    assert_non_null(mkdtemp(fake->folder));
    snprintf(fake->path, sizeof fake->path, "%s/s", fake->folder);
    fake->loop = ev_loop_new(EVFLAG_AUTO);
    fake_peer = (struct control_peer){geteuid(), getegid()};
    struct control_config config = config_of(fake);
    assert_int_equal(open_control(fake, &config, error), 0);
    *state = fake;
    return 0;
}

static int teardown(void **state) {
    struct fake *fake = *state;
    control_close(fake->control);
    ev_loop_destroy(fake->loop);
    unlink(fake->path);
    assert_int_equal(rmdir(fake->folder), 0);
    free(fake);
    return 0;
}

/* ---- Clients ---- */

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events) {
    (void)loop, (void)timer, (void)events;
}

static void turn(struct fake *fake) {
    ev_timer tick;
    ev_timer_init(&tick, on_tick, 0.05, 0.);
    ev_timer_start(fake->loop, &tick);
    ev_run(fake->loop, EVRUN_ONCE);
    ev_timer_stop(fake->loop, &tick);
}

#define run_until(fake, condition)                                                                 \
    do {                                                                                           \
        for (int turns_ = 0; !(condition); turns_++) {                                             \
            assert_true(turns_ < TURNS_MAX);                                                       \
            turn(fake);                                                                            \
        }                                                                                          \
    } while (0)

static int connect_to(const struct fake *fake) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", fake->path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Write all of it while the server reads. */
static void write_bytes(struct fake *fake, int fd, const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    int turns = 0;
    while (length > 0) {
        ssize_t n = send(fd, at, length, MSG_NOSIGNAL);
        assert_true(n > 0 || errno == EAGAIN);
        if (n > 0) {
            at += n;
            length -= (size_t)n;
        } else {
            assert_true(turns++ < TURNS_MAX);
            turn(fake);
        }
    }
}

static void write_text(struct fake *fake, int fd, const char *text) {
    write_bytes(fake, fd, text, strlen(text));
}

/* Read until the server closes (or shuts down) its side. Returns the length; NUL-terminated. */
static size_t read_to_end(struct fake *fake, int fd, char *buffer, size_t size) {
    size_t length = 0;
    for (int turns = 0; turns < TURNS_MAX; turns++) {
        ssize_t n = recv(fd, buffer + length, size - 1 - length, 0);
        if (n == 0) {
            buffer[length] = '\0';
            return length;
        }
        if (n > 0)
            length += (size_t)n;
        else if (errno == EAGAIN)
            turn(fake);
        else
            break;
    }
    fail_msg("no end of file: %s", strerror(errno));
    return 0;
}

static void send_request(struct fake *fake, int fd, P2pd__Control__Request *request) {
    size_t length;
    request->version = CONTROL_VERSION;
    request->request_id = 21;
    uint8_t *frame = frame_pack(&request->base, &length);
    assert_non_null(frame);
    write_bytes(fake, fd, frame, length);
    free(frame);
}

static void send_pull(struct fake *fake, int fd, bool peek) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Pull pull = P2PD__CONTROL__PULL__INIT;
    pull.peek = peek;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PULL;
    request.pull = &pull;
    send_request(fake, fd, &request);
}

static void send_confirm(struct fake *fake, int fd) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Confirm confirm = P2PD__CONTROL__CONFIRM__INIT;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_CONFIRM;
    request.confirm = &confirm;
    send_request(fake, fd, &request);
}

static void send_status(struct fake *fake, int fd) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Status status = P2PD__CONTROL__STATUS__INIT;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_STATUS;
    request.status = &status;
    send_request(fake, fd, &request);
}

static void send_push(struct fake *fake, int fd, size_t size) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Push push = P2PD__CONTROL__PUSH__INIT;
    uint8_t id[MESSAGE_ID_LEN] = {1}, *body = calloc(1, size + 1);
    assert_non_null(body);
    push.to = (char *)"10.0.0.1";
    push.id = (ProtobufCBinaryData){sizeof id, id};
    push.body = (ProtobufCBinaryData){size, body};
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PUSH;
    request.push = &push;
    send_request(fake, fd, &request);
    free(body);
}

/* One frame of an answer. */
static P2pd__Control__Answer *read_answer(struct fake *fake, int fd) {
    uint8_t header[FRAME_HEADER], bytes[4096];
    run_until(fake, recv(fd, header, sizeof header, MSG_PEEK) == FRAME_HEADER);
    size_t length = frame_get_length(header);
    assert_true(length + FRAME_HEADER <= sizeof bytes);
    run_until(fake,
              recv(fd, bytes, FRAME_HEADER + length, MSG_PEEK) == (ssize_t)(FRAME_HEADER + length));
    assert_true(recv(fd, bytes, FRAME_HEADER + length, 0) > 0);
    P2pd__Control__Answer *answer =
        p2pd__control__answer__unpack(NULL, length, bytes + FRAME_HEADER);
    assert_non_null(answer);
    return answer;
}

static void expect_refusal(struct fake *fake, int fd, int code, const char *part) {
    char rest[8];
    P2pd__Control__Answer *answer = read_answer(fake, fd);
    assert_int_equal(answer->code, code);
    assert_non_null(strstr(answer->text, part));
    assert_true(answer->end);
    p2pd__control__answer__free_unpacked(answer, NULL);
    assert_int_equal(read_to_end(fake, fd, rest, sizeof rest), 0);
    close(fd);
    run_until(fake, fake->control->n_clients == 0);
}

static void expect_text(struct fake *fake, int fd, const char *want) {
    char got[256];
    read_to_end(fake, fd, got, sizeof got);
    assert_string_equal(got, want);
}

static void answer_text(struct fake *fake, enum answer_code code) {
    struct answer answer = {.client = fake->client, .kind = ANSWER_TEXT, .code = code, .end = true};
    control_answer(fake->control, &answer);
}

static void answer_messages(struct fake *fake, size_t n) {
    static const struct in_record records[2] = {{.body = (const uint8_t *)"one", .size = 3},
                                                {.body = (const uint8_t *)"t\no", .size = 3}};
    struct answer answer = {.client = fake->client, .kind = ANSWER_MESSAGES};
    answer.messages.v = records;
    answer.messages.n = n;
    control_answer(fake->control, &answer);
}

/* The time of the only connection is over. */
static void expire(struct fake *fake) {
    assert_non_null(fake->control->clients);
    assert_true(ev_is_active(&fake->control->clients->deadline));
    ev_feed_event(fake->loop, &fake->control->clients->deadline, EV_TIMER);
    run_until(fake, fake->control->n_clients == 0);
}

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

/* ---- What is wrong with requests ---- */

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
    run_until(fake, fake->control->clients->number == 3 && fake->control->clients->paused);
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

static void test_connections_are_bounded(void **state) {
    struct fake *fake = *state;
    int fds[CONTROL_CLIENTS_UID + 1];
    for (size_t i = 0; i < CONTROL_CLIENTS_UID; i++) {
        fds[i] = connect_to(fake);
        run_until(fake, fake->control->n_clients == i + 1);
    }
    send_status(fake, fds[CONTROL_CLIENTS_UID - 1]);
    run_until(fake, fake->requests == 1);
    int fd = fds[CONTROL_CLIENTS_UID] = connect_to(fake);
    send_status(fake, fd);
    P2pd__Control__Answer *answer = read_answer(fake, fd);
    assert_int_equal(answer->code, ANSWER_LIMIT);
    assert_non_null(strstr(answer->text, "limit reached"));
    p2pd__control__answer__free_unpacked(answer, NULL);
    /* Root is still let in. */
    fake_peer.uid = fake_peer.uid == 0 ? MY_UID : 0;
    for (size_t i = 0; i <= CONTROL_CLIENTS_UID; i++)
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
    struct control_sink sink = {fake, fake_request, fake_gone, fake_command};
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
        TEST(test_text_pull_of_nothing_and_a_failure),
        TEST(test_strangers_are_refused_in_words),
        TEST(test_the_group_is_let_in_and_named),
        TEST(test_connections_are_bounded),
        TEST(test_the_socket_is_private),
        TEST(test_a_live_daemon_keeps_its_socket),
        TEST(test_a_stale_socket_goes_with_the_lock_alone),
        TEST(test_what_is_no_socket_is_left_alone),
        TEST(test_paths_that_will_not_do),
        TEST(test_a_missing_folder_is_made_private),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
