/* link: shared/client shared/exchange shared/frame proto/control.pb-c */
/* What a daemon of any kind says to a client: frames of any bytes on its socket, read as answers
 * until the first that is none. First byte: whether the rest is one answer's body, to which length,
 * version and number are put right, or the bytes as they come. */
#include "shared/client.h"
#include "shared/frame.h"
#include "tests/fuzz/replay.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

unsigned replay_variants_max(void) {
    return 100; /* a connection each */
}

#define INPUT_MAX 16384u /* what a socket takes at once */
/* version = 1, request_id = 1: the later field counts, and these are the last. */
static const uint8_t tail[] = {0x08, 1, 0x10, 1};

static void check(bool condition) {
    if (!condition)
        abort();
}

/* A connection of which both ends are ours; nothing stays behind on the disk. */
static int connect_both(struct client **ret_client) {
    char shared[] = "/dev/shm/p2pd-fuzz-XXXXXX", other[] = "/tmp/p2pd-fuzz-XXXXXX";
    char *folder =
        access("/dev/shm", W_OK) == 0 ? shared : other; /* in memory, where that can be */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    check(mkdtemp(folder) != NULL);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/s", folder);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    check(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    check(listen(listener, 1) == 0);
    check(client_open(ret_client, address.sun_path, 10000) == 0);
    int daemon = accept(listener, NULL, NULL);
    check(daemon >= 0);
    close(listener);
    unlink(address.sun_path);
    rmdir(folder);
    return daemon;
}

static void say(int daemon, const void *bytes, size_t length) {
    check(length == 0 || write(daemon, bytes, length) == (ssize_t)length);
}

static void say_all(int daemon, const uint8_t *data, size_t size) {
    uint8_t header[FRAME_HEADER];
    if (size == 0)
        return;
    if (data[0] % 2 == 0) {
        frame_put_length(header, (uint32_t)(size - 1 + sizeof tail));
        say(daemon, header, sizeof header);
        say(daemon, data + 1, size - 1);
        say(daemon, tail, sizeof tail);
    } else {
        say(daemon, data + 1, size - 1);
    }
}

static void check_string(const char *string) {
    check(string && strlen(string) <= INPUT_MAX);
}

/* What p2pctl reads of all of them without asking again. */
static void check_answer(const P2pd__Control__Answer *answer) {
    check_string(answer->text);
    for (size_t i = 0; i < answer->n_messages; i++)
        check(answer->messages[i]->body.len == 0 || answer->messages[i]->body.data);
    for (size_t i = 0; i < answer->n_files; i++)
        check(answer->files[i]->name.len == 0 || answer->files[i]->name.data);
    for (size_t i = 0; i < answer->n_findings; i++)
        check_string(answer->findings[i]->text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Status status = P2PD__CONTROL__STATUS__INIT;
    P2pd__Control__Answer *answer;
    struct client *client;
    int error;
    if (size > INPUT_MAX)
        return 0;
    int daemon = connect_both(&client);
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_STATUS;
    request.status = &status;
    check(client_send(client, &request) == 0);
    say_all(daemon, data, size);
    shutdown(daemon, SHUT_WR);
    while ((error = client_receive(client, &answer)) == 0) {
        check_answer(answer);
        client_answer_free(answer);
    }
    check(error == -EPIPE || error == -EPROTO || error == -ENOMEM);
    client_close(client);
    close(daemon);
    return 0;
}
