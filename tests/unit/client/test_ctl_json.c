/* link: shared/frame shared/text proto/control.pb-c */
/* The bytes that `p2pctl ... --json` prints are an interface: scripts read them. A daemon that
 * answers anything, every field filled from a seed (edges included), is asked by each command; what
 * is printed must be what was printed when tests/unit/client/ctl_json.txt was written. The text of
 * one seed is in that file, of all seeds a hash. With -w FILE the file is written instead, by
 * the p2pctl that $P2PCTL names: this is how another one is compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/frame.h"
#include "shared/portable.h"
#include "shared/text.h"
#include "tests/unit/client/any_answer.h"

#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define SEEDS 40
#define EXPECTED "tests/unit/client/ctl_json.txt"
#define FILE_TEXT "what is in the file"

static const char *program = "build/release/p2pctl", *write_to;
static char folder[] = "/tmp/test-ctl-json-XXXXXX";

/* ---- The daemon ---- */

struct row {
    const char *name, *arguments[6];
    const char *fields[2]; /* of the answer, to be filled */
};

static const struct row rows[] = {
    {"push", {"push", "--id", "00112233445566778899aabbccddeeff", "x", "text"}, {"message"}},
    {"push --trace",
     {"push", "--trace", "--id", "00112233445566778899aabbccddeeff", "x", "text"},
     {"message", "routes"}},
    {"pull", {"pull"}, {"messages"}},
    {"send", {"send", "x", NULL}, {"message"}},
    {"files", {"files"}, {"files"}},
    {"receive", {"receive", NULL}, {NULL}},
    {"conversations", {"conversations"}, {"conversations"}},
    {"history", {"history", "x"}, {"history"}},
    {"forget", {"forget", "x"}, {NULL}},
    {"status", {"status"}, {"status"}},
    {"status ID", {"status", "00112233445566778899aabbccddeeff"}, {"message"}},
    {"peers", {"peers"}, {"peers"}},
    {"nodes", {"nodes"}, {"nodes"}},
    {"route", {"route", "x"}, {"routes"}},
    {"cancel", {"cancel", "00112233445566778899aabbccddeeff"}, {"message"}},
    {"ping", {"ping", "x"}, {"ping"}},
    {"connect", {"connect", "x"}, {NULL}},
    {"disconnect", {"disconnect", "x"}, {NULL}},
    {"trust", {"trust", "x"}, {"trust"}},
    {"block", {"block", "x"}, {NULL}},
    {"allow", {"allow", "x"}, {NULL}},
    {"unblock", {"unblock", "x"}, {NULL}},
    {"rules", {"rules"}, {"rules"}},
    {"doctor", {"doctor"}, {"findings"}},
    {"stop", {"stop"}, {NULL}},
    {"reload", {"reload"}, {NULL}},
};

static bool read_exactly(int fd, void *bytes, size_t length) {
    for (size_t n = 0; n < length;) {
        ssize_t more = read(fd, (uint8_t *)bytes + n, length - n);
        if (more <= 0)
            return false;
        n += (size_t)more;
    }
    return true;
}

static P2pd__Control__Request *read_request(int fd) {
    uint8_t header[FRAME_HEADER], bytes[4096];
    if (!read_exactly(fd, header, sizeof header))
        return NULL;
    uint32_t length = frame_get_length(header);
    assert_true(length <= sizeof bytes && read_exactly(fd, bytes, length));
    return p2pd__control__request__unpack(NULL, length, bytes);
}

static void write_answer(int fd, const P2pd__Control__Answer *answer, int carried) {
    size_t length, sent = 0;
    uint8_t *bytes = frame_pack(&answer->base, &length);
    assert_non_null(bytes);
    if (carried >= 0) {
        assert_true(portable_send_fd(fd, bytes, 1, MSG_NOSIGNAL, carried) == 1);
        sent = 1;
        close(carried);
    }
    while (sent < length) {
        ssize_t n = send(fd, bytes + sent, length - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    free(bytes);
}

static int open_file(bool empty) {
    char path[64];
    snprintf(path, sizeof path, "%s/spool", folder);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    if (!empty)
        assert_true(write(fd, FILE_TEXT, sizeof FILE_TEXT) == (ssize_t)sizeof FILE_TEXT);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

/* The only file there is to receive. */
static void offer_file(P2pd__Control__Answer *answer) {
    static const char *const names[] = {"plain", "two words", "\"q\"\\", "zw\xc3\xb6lf", "x\x01y"};
    uint8_t id[32] = {1, 2, 3}, digest[32];
    P2pd__Control__File *file = malloc(sizeof *file), **files = malloc(sizeof(void *));
    assert_true(file && files);
    p2pd__control__file__init(file);
    const char *name = names[draw(5)];
    crypto_hash_sha256(digest, (const uint8_t *)FILE_TEXT, sizeof FILE_TEXT);
    file->state = P2PD__CONTROL__FILE_STATE__FILE_WAITING;
    file->id = take_bytes(id, 16);
    file->peer = take_bytes(id, 32);
    file->sha256 = take_bytes(digest, 32);
    file->name = take_bytes(name, strlen(name));
    file->size = sizeof FILE_TEXT;
    files[0] = file;
    answer->files = files;
    answer->n_files = 1;
}

static P2pd__Control__Answer *make_answer(const P2pd__Control__Request *request,
                                          const struct row *row) {
    P2pd__Control__Answer *answer = malloc(sizeof *answer);
    assert_non_null(answer);
    p2pd__control__answer__init(answer);
    answer->version = 1;
    answer->request_id = request->request_id;
    draw(1);
    answer->text = draw_string();
    if (strcmp(row->name, "receive") == 0) {
        if (request->command_case == P2PD__CONTROL__REQUEST__COMMAND_FILES)
            offer_file(answer);
    } else if (request->command_case != P2PD__CONTROL__REQUEST__COMMAND_SEND) {
        for (size_t i = 0; i < 2 && row->fields[i]; i++)
            draw_field(&answer->base, protobuf_c_message_descriptor_get_field_by_name(
                                          answer->base.descriptor, row->fields[i]));
    }
    return answer;
}

/* Some lists come in two pieces. A Send is followed by its SendDone. */
static void serve(int fd, const struct row *row) {
    P2pd__Control__Request *request;
    while ((request = read_request(fd))) {
        bool is_send = request->command_case == P2PD__CONTROL__REQUEST__COMMAND_SEND;
        bool is_open = request->command_case == P2PD__CONTROL__REQUEST__COMMAND_FILE_OPEN;
        bool is_list = row->fields[0] && row->fields[0][strlen(row->fields[0]) - 1] == 's' &&
                       strcmp(row->fields[0], "status") != 0 && !row->fields[1];
        for (int left = is_list && draw(2) ? 1 : 0; left >= 0; left--) {
            P2pd__Control__Answer *answer = make_answer(request, row);
            answer->end = left == 0 && !is_send;
            write_answer(fd, answer, is_send || is_open ? open_file(is_send) : -1);
            p2pd__control__answer__free_unpacked(answer, NULL);
        }
        p2pd__control__request__free_unpacked(request, NULL);
        if (!is_send)
            break;
    }
}

static void child(const struct row *row, int output, const char *socket_path, const char *file) {
    const char *arguments[12] = {"p2pctl", "-s", socket_path, "--json"};
    size_t n = 4;
    int null = open("/dev/null", O_RDWR);
    for (size_t i = 0; i < 6 && row->arguments[i]; i++)
        arguments[n++] = row->arguments[i];
    if (strcmp(row->name, "send") == 0)
        arguments[n++] = file;
    if (strcmp(row->name, "receive") == 0)
        arguments[n++] = folder;
    dup2(null, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execv(program, (char *const *)arguments);
    _exit(127);
}

/* What p2pctl prints (malloced), and its exit code behind it. */
static char *run(const struct row *row, int listener, const char *socket_path) {
    char file[64], path[64];
    int status;
    snprintf(file, sizeof file, "%s/some file", folder);
    snprintf(path, sizeof path, "%s/output", folder);
    int output = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    pid_t pid = fork();
    if (pid == 0)
        child(row, output, socket_path, file);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        struct pollfd ready = {.fd = listener, .events = POLLIN};
        if (poll(&ready, 1, 2) > 0) {
            int fd = accept(listener, NULL, NULL);
            fcntl(fd, F_SETFD, FD_CLOEXEC);
            serve(fd, row);
            close(fd);
        }
    }
    assert_true(WIFEXITED(status));
    assert_true(WEXITSTATUS(status) != 127);
    off_t length = lseek(output, 0, SEEK_END);
    char *text = calloc(1, (size_t)length + 16);
    assert_non_null(text);
    assert_true(pread(output, text, (size_t)length, 0) == (ssize_t)length);
    close(output);
    snprintf(text + length, 16, "exit %d\n", WEXITSTATUS(status));
    return text;
}

/* The id of a file that is sent is made by chance. */
static void hide_id(const struct row *row, char *text) {
    if (strcmp(row->name, "send") == 0 && memcmp(text, "{\"id\":\"", 7) == 0)
        memset(text + 7, '0', 32);
}

static int listen_at(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 8), 0);
    fcntl(listener, F_SETFD, FD_CLOEXEC);
    return listener;
}

static void remove_received(void) {
    static const char *const names[] = {"plain", "two words", "\"q\"\\", "zw\xc3\xb6lf"};
    char path[128];
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
}

/* All of a command's outputs: the first one's text and the hash of all. */
static void write_row(FILE *to, size_t number, int listener, const char *socket_path) {
    const struct row *row = &rows[number];
    crypto_generichash_state hash;
    uint8_t digest[16];
    char hex[33];
    bool shown = false;
    crypto_generichash_init(&hash, NULL, 0, sizeof digest);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        state = seed << 8 | number;
        char *text = run(row, listener, socket_path);
        remove_received();
        hide_id(row, text);
        crypto_generichash_update(&hash, (const uint8_t *)text, strlen(text));
        if (!shown && strchr("{[", text[0]) && memcmp(text, "[]", 2) != 0) {
            fprintf(to, "== %s\n%s", row->name, text);
            shown = true;
        }
        free(text);
    }
    crypto_generichash_final(&hash, digest, sizeof digest);
    text_hex(digest, sizeof digest, hex);
    fprintf(to, "%d seeds: %s\n", SEEDS, hex);
}

static void write_all(FILE *to) {
    char socket_path[64], file[64], received[256];
    assert_non_null(mkdtemp(folder));
    snprintf(socket_path, sizeof socket_path, "%s/s", folder);
    snprintf(file, sizeof file, "%s/some file", folder);
    FILE *source = fopen(file, "w");
    assert_non_null(source);
    fputs("the file to send", source);
    fclose(source);
    int listener = listen_at(socket_path);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        write_row(to, i, listener, socket_path);
    close(listener);
    snprintf(received, sizeof received, "rm -rf '%s'", folder);
    assert_int_equal(system(received), 0);
}

static char *read_all(FILE *from) {
    long length = (fseek(from, 0, SEEK_END), ftell(from));
    char *text = calloc(1, (size_t)length + 1);
    assert_non_null(text);
    rewind(from);
    assert_true(fread(text, 1, (size_t)length, from) == (size_t)length);
    return text;
}

static void what_is_printed_is_what_was(void **unused) {
    (void)unused;
    FILE *now = tmpfile(), *before = fopen(EXPECTED, "r");
    assert_true(now && before);
    write_all(now);
    char *got = read_all(now), *want = read_all(before);
    char *got_at = NULL, *want_at = NULL;
    char *got_line = strtok_r(got, "\n", &got_at), *want_line = strtok_r(want, "\n", &want_at);
    while (got_line && want_line) {
        assert_string_equal(got_line, want_line);
        got_line = strtok_r(NULL, "\n", &got_at);
        want_line = strtok_r(NULL, "\n", &want_at);
    }
    assert_true(!got_line && !want_line);
    free(got);
    free(want);
    fclose(now);
    fclose(before);
}

/* A command without a row here would print what it likes. backup prints nothing, help no JSON. */
static void every_command_has_a_row(void **unused) {
    char command[600], line[256], name[64];
    size_t n = 0;
    (void)unused;
    snprintf(command, sizeof command, "'%s' help", program);
    FILE *help = popen(command, "r");
    assert_non_null(help);
    while (fgets(line, sizeof line, help)) {
        if (strncmp(line, "  ", 2) != 0 || sscanf(line + 2, "%63[a-z]", name) != 1)
            continue;
        bool found = strcmp(name, "backup") == 0 || strcmp(name, "help") == 0;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            found = found || strcmp(rows[i].arguments[0], name) == 0;
        if (!found)
            fail_msg("no row for the command %s", name);
        n++;
    }
    assert_int_equal(pclose(help), 0);
    assert_true(n > 20);
}

/* build/VARIANT/tests/unit/client/test_ctl_json -> build/VARIANT/p2pctl */
static void find_program(const char *ourselves) {
    static char path[512];
    const char *at = strstr(ourselves, "/tests/unit/");
    if (at) {
        snprintf(path, sizeof path, "%.*s/p2pctl", (int)(at - ourselves), ourselves);
        program = path;
    }
    if (getenv("P2PCTL"))
        program = getenv("P2PCTL");
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_is_what_was),
        cmocka_unit_test(every_command_has_a_row),
    };
    find_program(argv[0]);
    signal(SIGPIPE, SIG_IGN);
    if (argc > 2 && strcmp(argv[1], "-w") == 0) {
        write_to = argv[2];
        FILE *to = fopen(write_to, "w");
        if (!to)
            return 1;
        write_all(to);
        return fclose(to);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
