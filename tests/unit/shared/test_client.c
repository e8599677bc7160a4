/* link: shared/client shared/exchange shared/frame proto/control.pb-c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/client.h"
#include "shared/frame.h"
#include "shared/portable.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#define TIMEOUT_MS 10000

/* The daemon is this: it answers before it is asked, and reads nothing. */
struct fixture {
    char folder[32], path[64];
    int listener, daemon;
    struct client *client;
};

static int setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_non_null(fixture);
    snprintf(fixture->folder, sizeof fixture->folder, "/tmp/test-client-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof fixture->path, "%s/s", fixture->folder);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", fixture->path);
    fixture->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fixture->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fixture->listener, 1), 0);
    assert_int_equal(client_open(&fixture->client, fixture->path, TIMEOUT_MS), 0);
    fixture->daemon = accept(fixture->listener, NULL, NULL);
    assert_true(fixture->daemon >= 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    client_close(fixture->client);
    close(fixture->daemon);
    close(fixture->listener);
    unlink(fixture->path);
    rmdir(fixture->folder);
    free(fixture);
    return 0;
}

static void ask(struct fixture *fixture, P2pd__Control__Request__CommandCase command,
                uint64_t want_id) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Status status = P2PD__CONTROL__STATUS__INIT;
    P2pd__Control__SendDone done = P2PD__CONTROL__SEND_DONE__INIT;
    request.command_case = command;
    if (command == P2PD__CONTROL__REQUEST__COMMAND_SEND_DONE)
        request.send_done = &done;
    else
        request.status = &status;
    assert_int_equal(client_send(fixture->client, &request), 0);
    assert_int_equal(request.request_id, want_id);
}

static uint8_t *pack_answer(size_t *ret_length) {
    P2pd__Control__Answer answer = P2PD__CONTROL__ANSWER__INIT;
    answer.version = CLIENT_PROTOCOL_VERSION;
    answer.request_id = 1;
    uint8_t *bytes = frame_pack(&answer.base, ret_length);
    assert_non_null(bytes);
    return bytes;
}

/* An answer with these descriptors, in one message of the kernel's. */
static void answer_with(struct fixture *fixture, const int *fds, size_t n) {
    size_t length;
    uint8_t *bytes = pack_answer(&length);
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(8 * sizeof(int))];
    } rights = {.room = {0}};
    struct iovec part = {.iov_base = bytes, .iov_len = length};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = rights.room,
                             .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(header), fds, n * sizeof(int));
    assert_true(sendmsg(fixture->daemon, &message, 0) == (ssize_t)length);
    free(bytes);
}

/* Has everybody but us closed the pipe's end for writing? */
static bool is_closed(int reader) {
    char byte;
    assert_int_equal(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
    return read(reader, &byte, 1) == 0;
}

static void test_an_answer_and_its_descriptor(void **state) {
    struct fixture *fixture = *state;
    P2pd__Control__Answer *answer;
    int ends[2], fd;
    assert_int_equal(pipe(ends), 0);
    ask(fixture, P2PD__CONTROL__REQUEST__COMMAND_STATUS, 1);
    answer_with(fixture, &ends[1], 1);
    close(ends[1]);
    assert_int_equal(client_receive_fd(fixture->client, &answer, &fd), 0);
    client_answer_free(answer);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_false(is_closed(ends[0]));
    close(fd);
    assert_true(is_closed(ends[0]));
    close(ends[0]);
    /* What goes on with the request bears its number, and the next answer brings nothing. */
    ask(fixture, P2PD__CONTROL__REQUEST__COMMAND_SEND_DONE, 1);
    size_t length;
    uint8_t *bytes = pack_answer(&length);
    assert_true(send(fixture->daemon, bytes, length, 0) == (ssize_t)length);
    free(bytes);
    assert_int_equal(client_receive_fd(fixture->client, &answer, &fd), 0);
    client_answer_free(answer);
    assert_int_equal(fd, -1);
}

static void test_descriptors_that_nobody_wants_are_closed(void **state) {
    struct fixture *fixture = *state;
    P2pd__Control__Answer *answer;
    int ends[2], fd;
    assert_int_equal(pipe(ends), 0);
    int many[5] = {ends[1], ends[1], ends[1], ends[1], ends[1]};
    ask(fixture, P2PD__CONTROL__REQUEST__COMMAND_STATUS, 1);
    answer_with(fixture, many, 5);
    answer_with(fixture, many, 1);
    answer_with(fixture, many, 2);
    close(ends[1]);
    assert_int_equal(client_receive_fd(fixture->client, &answer, &fd), 0);
    client_answer_free(answer);
    assert_true(fd >= 0);
    close(fd);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(client_receive(fixture->client, &answer), 0);
        client_answer_free(answer);
    }
    assert_true(is_closed(ends[0]));
    close(ends[0]);
}

static void test_a_descriptor_with_half_an_answer(void **state) {
    struct fixture *fixture = *state;
    P2pd__Control__Answer *answer;
    int ends[2], fd = -2;
    uint8_t header[FRAME_HEADER];
    assert_int_equal(pipe(ends), 0);
    ask(fixture, P2PD__CONTROL__REQUEST__COMMAND_STATUS, 1);
    frame_put_length(header, 10);
    assert_int_equal(portable_send_fd(fixture->daemon, header, sizeof header, 0, ends[1]),
                     FRAME_HEADER);
    close(ends[1]);
    shutdown(fixture->daemon, SHUT_WR);
    assert_int_equal(client_receive_fd(fixture->client, &answer, &fd), -EPIPE);
    assert_int_equal(fd, -2);
    assert_true(is_closed(ends[0]));
    close(ends[0]);
}

/* ---- Without waiting ---- */

/* A client of its own beside the fixture's; the daemon's end of it. */
static int connect_beside(struct fixture *fixture, struct client **ret_client) {
    assert_int_equal(client_connect(ret_client, fixture->path), 0);
    int daemon = accept(fixture->listener, NULL, NULL);
    assert_true(daemon >= 0);
    return daemon;
}

static void send_answer(int daemon, uint64_t id, bool end) {
    P2pd__Control__Answer answer = P2PD__CONTROL__ANSWER__INIT;
    size_t length;
    answer.version = CLIENT_PROTOCOL_VERSION;
    answer.request_id = id;
    answer.end = end;
    uint8_t *bytes = frame_pack(&answer.base, &length);
    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++)
        assert_true(send(daemon, bytes + i, 1, 0) == 1);
    free(bytes);
}

static void test_events_say_what_to_wait_for(void **state) {
    struct client *client;
    P2pd__Control__Answer *answer;
    uint64_t session;
    int daemon = connect_beside(*state, &client), fd;
    assert_int_equal(client_events(client), POLLIN);
    client_handle(client); /* harmless */
    assert_int_equal(client_ask_session(client, &session), 0);
    assert_int_equal(client_events(client), POLLIN | POLLOUT);
    client_handle(client);
    assert_int_equal(client_events(client), POLLIN);
    assert_int_equal(client_next(client, &answer, &fd), 0);
    send_answer(daemon, session, true);
    client_handle(client);
    assert_int_equal(client_next(client, &answer, &fd), 1);
    assert_int_equal(answer->request_id, session);
    assert_int_equal(client_pending(client), 0);
    client_answer_free(answer);
    close(daemon);
    client_handle(client);
    assert_int_equal(client_next(client, &answer, &fd), -EPIPE);
    assert_int_equal(client_events(client), 0);
    client_close(client);
}

/* More than a socket takes: it goes out as the daemon reads. */
static void test_a_request_that_the_socket_does_not_take_at_once(void **state) {
    static uint8_t body[4 << 20], got[1 << 16];
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Push push = P2PD__CONTROL__PUSH__INIT;
    struct client *client;
    int daemon = connect_beside(*state, &client);
    size_t all = 0;
    push.body = (ProtobufCBinaryData){sizeof body, body};
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PUSH;
    request.push = &push;
    assert_int_equal(client_ask(client, &request), 0);
    client_handle(client);
    assert_true(client_events(client) & POLLOUT);
    while (client_events(client) & POLLOUT) {
        ssize_t n = recv(daemon, got, sizeof got, MSG_DONTWAIT);
        all += n > 0 ? (size_t)n : 0;
        client_handle(client);
    }
    for (ssize_t n; (n = recv(daemon, got, sizeof got, MSG_DONTWAIT)) > 0;)
        all += (size_t)n;
    assert_true(all > sizeof body && all < sizeof body + 100);
    close(daemon);
    client_close(client);
}

/* A daemon that refuses, and closes without reading the rest, has said why. */
static void test_the_answer_of_a_daemon_that_reads_no_more(void **state) {
    static uint8_t body[4 << 20];
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Push push = P2PD__CONTROL__PUSH__INIT;
    P2pd__Control__Answer *answer;
    struct client *client;
    int daemon = connect_beside(*state, &client);
    push.body = (ProtobufCBinaryData){sizeof body, body};
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PUSH;
    request.push = &push;
    assert_int_equal(client_ask(client, &request), 0);
    client_handle(client);
    send_answer(daemon, 1, true);
    shutdown(daemon, SHUT_RDWR);
    client_handle(client);
    assert_int_equal(client_next(client, &answer, NULL), 1);
    client_answer_free(answer);
    assert_int_equal(client_next(client, &answer, NULL), -EPIPE);
    assert_int_equal(client_events(client), 0);
    close(daemon);
    client_close(client);
}

/* The fixture's listener has room for one or two. */
static void test_a_full_queue_is_said_to_be_so(void **state) {
    struct fixture *fixture = *state;
    struct client *clients[64];
    size_t n = 0;
    int error = 0;
    while (n < 64 && (error = client_connect(&clients[n], fixture->path)) == 0)
        n++;
    assert_true(error == -EAGAIN || error == -ECONNREFUSED); /* as the system has it */
    while (n > 0)
        client_close(clients[--n]);
    assert_int_equal(client_connect(&clients[0], "/nowhere/socket"), -ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_events_say_what_to_wait_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_request_that_the_socket_does_not_take_at_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_the_answer_of_a_daemon_that_reads_no_more, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_full_queue_is_said_to_be_so, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_answer_and_its_descriptor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptors_that_nobody_wants_are_closed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_descriptor_with_half_an_answer, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
