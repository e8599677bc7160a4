/* What the tests of the control server share. Included behind <cmocka.h>. */
#ifndef P2PD_TEST_FAKE_CONTROL_H
#define P2PD_TEST_FAKE_CONTROL_H

#include "daemon/io/control/control_request.h"
#include "shared/portable.h"

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
    size_t n_confirmed; /* by the last one; SIZE_MAX: all */
    int64_t confirmed[8];
    bool stop, reload;
    uint64_t client;
    /* Of a session's requests: what the core knows them by, and who is gone. */
    bool is_session;
    uint64_t numbers[128], left[128], confirmed_by;
    const struct answer *at_once; /* answered from within the request */
    size_t sizes[32];             /* of the bodies of pushes, as they came */
    struct file_head file;        /* of the last push of one */
    /* The spool: a file each, held open so that it can be looked at. */
    int spool_error; /* what the next one fails with */
    size_t spool_made, spool_removed;
    int spool_fd; /* the last one's */
    char removed[SPOOL_NAME_MAX + 1];
    size_t backups;
    char passphrase[32];
};

static inline void fake_request(void *context, const struct request *request) {
    struct fake *fake = context;
    if (request->kind == REQUEST_CONFIRM) {
        fake->confirms++;
        fake->confirmed_by = request->client;
        fake->n_confirmed = request->confirm.rows ? request->confirm.n : SIZE_MAX;
        for (size_t i = 0; request->confirm.rows && i < request->confirm.n && i < 8; i++)
            fake->confirmed[i] = request->confirm.rows[i];
        return;
    }
    if (request->kind == REQUEST_PUSH)
        fake->sizes[fake->requests % 32] = request->push.size;
    fake->numbers[fake->requests % 128] = request->client;
    fake->requests++;
    fake->last = *request;
    fake->client = request->client;
    if (request->kind == REQUEST_PUSH && request->push.file)
        fake->file = *request->push.file;
    else if (request->kind == REQUEST_PUSH && request->push.size > 0 &&
             request->push.size <= sizeof fake->body)
        memcpy(fake->body, request->push.body, request->push.size);
    if (fake->at_once) {
        struct answer answer = *fake->at_once;
        answer.client = request->client;
        control_answer(fake->control, &answer);
    }
}

static inline void fake_gone(void *context, uint64_t client) {
    struct fake *fake = context;
    assert_true(client == fake->client || fake->is_session);
    fake->left[fake->gone % 128] = client;
    fake->gone++;
}

static inline void fake_command(void *context, enum control_command command, uint64_t client) {
    struct fake *fake = context;
    fake->stop = fake->stop || command == CONTROL_STOP;
    fake->reload = fake->reload || command == CONTROL_RELOAD;
    fake->client = client;
}

static inline void fake_backup(void *context, uint64_t client, const uint8_t *passphrase,
                               size_t length) {
    struct fake *fake = context;
    fake->backups++;
    fake->client = client;
    assert_true(length < sizeof fake->passphrase);
    memcpy(fake->passphrase, passphrase, length);
    fake->passphrase[length] = '\0';
}

static inline int fake_spool_create(void *context, char ret_name[SPOOL_NAME_MAX + 1], int *ret_fd) {
    struct fake *fake = context;
    char path[64];
    if (fake->spool_error < 0)
        return fake->spool_error;
    snprintf(ret_name, SPOOL_NAME_MAX + 1, "%zu.up", ++fake->spool_made);
    snprintf(path, sizeof path, "%s/up", fake->folder);
    *ret_fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(*ret_fd >= 0);
    unlink(path);
    if (fake->spool_fd >= 0)
        close(fake->spool_fd);
    fake->spool_fd = dup(*ret_fd);
    return 0;
}

static inline void fake_spool_remove(void *context, const char *name) {
    struct fake *fake = context;
    fake->spool_removed++;
    snprintf(fake->removed, sizeof fake->removed, "%s", name);
}

static inline struct control_sink sink_of(struct fake *fake) {
    return (struct control_sink){.context = fake,
                                 .request = fake_request,
                                 .client_gone = fake_gone,
                                 .command = fake_command,
                                 .backup = fake_backup,
                                 .spool_create = fake_spool_create,
                                 .spool_remove = fake_spool_remove};
}

static struct control_peer fake_peer;
static inline int fake_credentials(int fd, struct control_peer *ret_peer) {
    (void)fd;
    *ret_peer = fake_peer;
    return 0;
}

static inline struct control_config config_of(const struct fake *fake) {
    return (struct control_config){.path = fake->path,
                                   .gid = CONTROL_GID_NONE,
                                   .message_max = MESSAGE_MAX,
                                   .credentials = fake_credentials};
}

static inline int open_control(struct fake *fake, const struct control_config *config,
                               char error[FAILURE_MAX]) {
    struct control_sink sink = sink_of(fake);
    return control_open(&fake->control, fake->loop, config, &sink, error);
}

static inline int setup(void **state) {
    struct fake *fake = calloc(1, sizeof *fake);
    char error[FAILURE_MAX];
    assert_non_null(fake);
    snprintf(fake->folder, sizeof fake->folder, "/tmp/test-control-XXXXXX");
    assert_non_null(mkdtemp(fake->folder));
    snprintf(fake->path, sizeof fake->path, "%s/s", fake->folder);
    fake->spool_fd = -1;
    fake->loop = ev_loop_new(EVFLAG_AUTO);
    fake_peer = (struct control_peer){geteuid(), getegid()};
    struct control_config config = config_of(fake);
    assert_int_equal(open_control(fake, &config, error), 0);
    *state = fake;
    return 0;
}

static inline int teardown(void **state) {
    struct fake *fake = *state;
    control_close(fake->control);
    ev_loop_destroy(fake->loop);
    if (fake->spool_fd >= 0)
        close(fake->spool_fd);
    unlink(fake->path);
    assert_int_equal(rmdir(fake->folder), 0);
    free(fake);
    return 0;
}

/* ---- Clients ---- */

static inline void on_tick(struct ev_loop *loop, ev_timer *timer, int events) {
    (void)loop, (void)timer, (void)events;
}

static inline void turn(struct fake *fake) {
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

static inline int connect_to(const struct fake *fake) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", fake->path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Write all of it while the server reads. */
static inline void write_bytes(struct fake *fake, int fd, const void *bytes, size_t length) {
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

static inline void write_text(struct fake *fake, int fd, const char *text) {
    write_bytes(fake, fd, text, strlen(text));
}

/* Read until the server closes (or shuts down) its side. Returns the length; NUL-terminated. */
static inline size_t read_to_end(struct fake *fake, int fd, char *buffer, size_t size) {
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

static inline void send_request_as(struct fake *fake, int fd, uint64_t id,
                                   P2pd__Control__Request *request) {
    size_t length;
    request->version = CONTROL_VERSION;
    request->request_id = id;
    uint8_t *frame = frame_pack(&request->base, &length);
    assert_non_null(frame);
    write_bytes(fake, fd, frame, length);
    free(frame);
}

static inline void send_request(struct fake *fake, int fd, P2pd__Control__Request *request) {
    send_request_as(fake, fd, 21, request);
}

static inline void send_pull(struct fake *fake, int fd, bool peek) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Pull pull = P2PD__CONTROL__PULL__INIT;
    pull.peek = peek;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PULL;
    request.pull = &pull;
    send_request(fake, fd, &request);
}

static inline void send_confirm(struct fake *fake, int fd) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Confirm confirm = P2PD__CONTROL__CONFIRM__INIT;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_CONFIRM;
    request.confirm = &confirm;
    send_request(fake, fd, &request);
}

static inline void send_status(struct fake *fake, int fd) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Status status = P2PD__CONTROL__STATUS__INIT;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_STATUS;
    request.status = &status;
    send_request(fake, fd, &request);
}

static inline void send_push(struct fake *fake, int fd, size_t size) {
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

/* One frame of an answer, and the descriptor that comes with it, or -1. */
static inline P2pd__Control__Answer *read_answer_fd(struct fake *fake, int fd, int *ret_fd) {
    uint8_t header[FRAME_HEADER], bytes[4096];
    run_until(fake, recv(fd, header, sizeof header, MSG_PEEK) == FRAME_HEADER);
    size_t length = frame_get_length(header);
    assert_true(length + FRAME_HEADER <= sizeof bytes);
    run_until(fake,
              recv(fd, bytes, FRAME_HEADER + length, MSG_PEEK) == (ssize_t)(FRAME_HEADER + length));
    assert_true(portable_receive_fd(fd, bytes, FRAME_HEADER + length, 0, ret_fd) > 0);
    P2pd__Control__Answer *answer =
        p2pd__control__answer__unpack(NULL, length, bytes + FRAME_HEADER);
    assert_non_null(answer);
    return answer;
}

static inline P2pd__Control__Answer *read_answer(struct fake *fake, int fd) {
    int carried;
    P2pd__Control__Answer *answer = read_answer_fd(fake, fd, &carried);
    assert_int_equal(carried, -1);
    return answer;
}

static inline void expect_refusal(struct fake *fake, int fd, int code, const char *part) {
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

static inline void expect_text(struct fake *fake, int fd, const char *want) {
    char got[256];
    read_to_end(fake, fd, got, sizeof got);
    assert_string_equal(got, want);
}

static inline void answer_text(struct fake *fake, enum answer_code code) {
    struct answer answer = {.client = fake->client, .kind = ANSWER_TEXT, .code = code, .end = true};
    control_answer(fake->control, &answer);
}

static inline void answer_messages(struct fake *fake, size_t n) {
    static const struct in_record records[4] = {
        {.body = (const uint8_t *)"one", .size = 3, .row = 17},
        {.body = (const uint8_t *)"t\no", .size = 3, .row = 3},
        {.body = (const uint8_t *)"three", .size = 5, .row = 4},
        {.body = (const uint8_t *)"", .size = 0, .row = 5}};
    struct answer answer = {.client = fake->client, .kind = ANSWER_MESSAGES};
    answer.messages.v = records;
    answer.messages.n = n;
    control_answer(fake->control, &answer);
}

static inline struct control_client *newest(const struct fake *fake) {
    struct control_client *client = fake->control->clients;
    while (client && client->next)
        client = client->next;
    assert_non_null(client);
    return client;
}

/* The time of the only connection is over. */
static inline void expire(struct fake *fake) {
    assert_non_null(fake->control->clients);
    assert_true(ev_is_active(&fake->control->clients->deadline));
    ev_feed_event(fake->loop, &fake->control->clients->deadline, EV_TIMER);
    run_until(fake, fake->control->n_clients == 0);
}

#endif
