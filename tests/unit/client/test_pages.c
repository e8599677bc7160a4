/* link: client/ctl/pages client/ctl/ask shared/client shared/exchange shared/frame shared/paths proto/control.pb-c */
/* A list is whole, in however many pages and pieces the daemon gives it, or the command fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/common/output.h"
#include "client/common/table.h"
#include "client/ctl/pages.h"
#include "shared/frame.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 256
#define PIECE 128

/* What the client's other files would do is not asked for here. */
enum exit_code complain(const struct context *context, enum exit_code code, const char *format,
                        ...) {
    (void)context, (void)format;
    return code;
}
struct json json_to_stdout(void) {
    return (struct json){.is_behind = false};
}
void json_open(struct json *json, char bracket) {
    (void)json, (void)bracket;
}
void json_close(struct json *json, char bracket) {
    (void)json, (void)bracket;
}
void json_key(struct json *json, const char *name) {
    (void)json, (void)name;
}
void json_signed(struct json *json, int64_t value) {
    (void)json, (void)value;
}
void json_string(struct json *json, const char *string) {
    (void)json, (void)string;
}
void json_text(struct json *json, const char *string) {
    (void)json, (void)string;
}
void output_escaped(const uint8_t *bytes, size_t length) {
    (void)bytes, (void)length;
}
void cell_address(const ProtobufCBinaryData *data, bool with_port, char ret_cell[TEXT_CELL_MAX]) {
    (void)data, (void)with_port, ret_cell[0] = '\0';
}
void cell_id(const ProtobufCBinaryData *id, char ret_cell[TEXT_CELL_MAX]) {
    (void)id, ret_cell[0] = '\0';
}
void cell_name(const char *name, char ret_cell[TEXT_CELL_MAX]) {
    (void)name, ret_cell[0] = '\0';
}

/* A daemon with a list of `total`, given as the real one does: pages of PAGE, in pieces of
 * PIECE. */
struct daemon {
    uint64_t total;
    bool is_stuck;      /* its cursor stands still */
    uint64_t dies_with; /* closes before the piece that begins with this one; 0: never */
};

static void read_exactly(int fd, uint8_t *bytes, size_t length) {
    for (size_t n = 0; n < length;) {
        ssize_t more = read(fd, bytes + n, length - n);
        if (more <= 0)
            _exit(1);
        n += (size_t)more;
    }
}

static int64_t read_cursor(int fd, uint64_t *ret_request_id) {
    uint8_t header[FRAME_HEADER], bytes[4096];
    read_exactly(fd, header, sizeof header);
    uint32_t length = frame_get_length(header);
    if (length > sizeof bytes)
        _exit(1);
    read_exactly(fd, bytes, length);
    P2pd__Control__Request *request = p2pd__control__request__unpack(NULL, length, bytes);
    int64_t after = request->files->after;
    *ret_request_id = request->request_id;
    p2pd__control__request__free_unpacked(request, NULL);
    return after;
}

static void write_piece(int fd, uint64_t first, uint64_t n, P2pd__Control__Answer *answer) {
    P2pd__Control__File files[PIECE], *pointers[PIECE];
    size_t length;
    for (uint64_t i = 0; i < n; i++) {
        p2pd__control__file__init(&files[i]);
        files[i].size = first + i;
        pointers[i] = &files[i];
    }
    answer->files = pointers;
    answer->n_files = n;
    uint8_t *bytes = frame_pack(&answer->base, &length);
    if (!bytes || write(fd, bytes, length) != (ssize_t)length)
        _exit(1);
    free(bytes);
}

static void serve(int fd, const struct daemon *daemon) {
    P2pd__Control__Answer answer = P2PD__CONTROL__ANSWER__INIT;
    uint64_t at = (uint64_t)read_cursor(fd, &answer.request_id);
    uint64_t stop = daemon->total - at < PAGE ? daemon->total : at + PAGE;
    answer.version = CLIENT_PROTOCOL_VERSION;
    do {
        uint64_t n = stop - at < PIECE ? stop - at : PIECE;
        answer.end = at + n == stop;
        answer.more = answer.end && stop < daemon->total;
        answer.next = answer.end ? (int64_t)(daemon->is_stuck ? at + n - PAGE : at + n) : 0;
        if (daemon->dies_with && at == daemon->dies_with)
            break;
        write_piece(fd, at, n, &answer);
        at += n;
    } while (at < stop);
}

static pid_t start(const char *path, const struct daemon *daemon) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    unlink(path);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    while (pid == 0) {
        int fd = accept(listener, NULL, NULL);
        serve(fd, daemon);
        close(fd);
    }
    close(listener);
    return pid;
}

static enum exit_code count(void *state, const P2pd__Control__Answer *answer) {
    uint64_t *n = state;
    for (size_t i = 0; i < answer->n_files; i++)
        assert_int_equal(answer->files[i]->size, (*n)++);
    return CODE_DONE;
}

static enum exit_code list(const struct daemon *daemon, uint64_t *ret_n) {
    char folder[] = "/tmp/test-pages-XXXXXX", path[64];
    struct context context = {.name = "files"};
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    pid_t pid = start(path, daemon);
    context.options.socket = path;
    context.options.timeout = (struct option_time){.timed = true, .us = 10000000};
    *ret_n = 0;
    enum exit_code code = pages_run(&context, PAGES_FILES, count, ret_n);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    unlink(path);
    rmdir(folder);
    return code;
}

static void lists_of_any_length_are_whole(void **state) {
    static const uint64_t totals[] = {0, 1, 127, 128, 129, 255, 256, 257, 384, 385, 512, 513, 2000};
    (void)state;
    for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++) {
        struct daemon daemon = {.total = totals[i]};
        uint64_t n;
        assert_int_equal(list(&daemon, &n), CODE_DONE);
        assert_int_equal(n, totals[i]);
    }
}

/* A list that is cut is no success. */
static void lists_that_break_off_fail(void **state) {
    static const uint64_t at[] = {128, 256, 384};
    uint64_t n;
    (void)state;
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        struct daemon daemon = {.total = 600, .dies_with = at[i]};
        assert_int_equal(list(&daemon, &n), CODE_FAILED);
        assert_int_equal(n, at[i] / PAGE * PAGE);
    }
    struct daemon stuck = {.total = 600, .is_stuck = true};
    assert_int_equal(list(&stuck, &n), CODE_FAILED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_any_length_are_whole),
        cmocka_unit_test(lists_that_break_off_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
