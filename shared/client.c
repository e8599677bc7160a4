/* Threat: whatever listens at the path need not be our daemon: lengths are checked before they
 * are believed, trees are unpacked in bounded memory, descriptors beyond the one that is expected
 * are closed, and nothing is waited for without an end. */
#include "shared/client.h"

#include "shared/frame.h"
#include "shared/portable.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* No answer is longer than the longest message that any daemon may take. */
#define ANSWER_LENGTH_MAX (FRAME_MESSAGE_MAX + FRAME_SLACK)

struct client {
    int fd;
    int carried; /* a descriptor that came with the answer that is being read, or -1 */
    uint64_t request_id;
    int64_t deadline_ms;              /* monotonic, or CLIENT_FOREVER */
    struct frame_allocator allocator; /* of the answer that the caller holds */
};

static int64_t now_ms(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void client_set_timeout(struct client *client, int64_t timeout_ms) {
    int64_t now = now_ms();
    client->deadline_ms = timeout_ms >= CLIENT_FOREVER - now ? CLIENT_FOREVER : now + timeout_ms;
}

/* Wait until the socket is ready. 0, -ETIMEDOUT, or -errno of poll. */
static int wait_for(struct client *client, short events) {
    struct pollfd poll_fd = {.fd = client->fd, .events = events};
    for (;;) {
        int timeout = -1;
        if (client->deadline_ms != CLIENT_FOREVER) {
            int64_t left = client->deadline_ms - now_ms();
            timeout = left <= 0 ? 0 : left > 60000 ? 60000 : (int)left;
        }
        int n = poll(&poll_fd, 1, timeout);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (client->deadline_ms != CLIENT_FOREVER && now_ms() >= client->deadline_ms)
            return -ETIMEDOUT;
    }
}

/* A blocking connect waits for a place in the daemon's queue, at most as long as sends may take. */
static int connect_within(int fd, const struct sockaddr_un *address, int64_t timeout_ms) {
    timeout_ms = timeout_ms > 0 ? timeout_ms : 1; /* zero would mean for ever */
    struct timeval limit = {.tv_sec = (time_t)(timeout_ms / 1000),
                            .tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000)};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0)
        return 0;
    return errno == EAGAIN || errno == EINPROGRESS ? -ETIMEDOUT : -errno;
}

int client_open(struct client **ret_client, const char *path, int64_t timeout_ms) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path));
    struct client *client = calloc(1, sizeof *client);
    if (!client)
        return -ENOMEM;
    client_set_timeout(client, timeout_ms);
    client->carried = -1;
    client->fd = portable_unix_socket(true);
    int error = client->fd < 0 ? client->fd : connect_within(client->fd, &address, timeout_ms);
    if (error < 0) {
        client_close(client);
        return error;
    }
    *ret_client = client;
    return 0;
}

static void drop_carried(struct client *client) {
    if (client->carried >= 0)
        close(client->carried);
    client->carried = -1;
}

void client_close(struct client *client) {
    if (!client)
        return;
    drop_carried(client);
    if (client->fd >= 0)
        close(client->fd);
    free(client);
}

static int send_all(struct client *client, const uint8_t *bytes, size_t length) {
    while (length > 0) {
        ssize_t n = send(client->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            bytes += n;
            length -= (size_t)n;
            continue;
        }
        /* A daemon that refuses a length answers and closes without reading the rest. */
        if (errno == EPIPE || errno == ECONNRESET)
            return 0;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        int error = wait_for(client, POLLOUT);
        if (error < 0)
            return error;
    }
    return 0;
}

/* A confirmation belongs to the pull that began it all, a file to its Send: the answers go on
 * carrying that one's number. */
static bool goes_on(const P2pd__Control__Request *request) {
    return request->command_case == P2PD__CONTROL__REQUEST__COMMAND_CONFIRM ||
           request->command_case == P2PD__CONTROL__REQUEST__COMMAND_SEND_DONE;
}

int client_send(struct client *client, P2pd__Control__Request *request) {
    size_t length;
    request->version = CLIENT_PROTOCOL_VERSION;
    if (!goes_on(request))
        client->request_id++;
    request->request_id = client->request_id;
    if (protobuf_c_message_get_packed_size(&request->base) > UINT32_MAX / 2)
        return -EMSGSIZE;
    uint8_t *bytes = frame_pack(&request->base, &length);
    if (!bytes)
        return -ENOMEM;
    int error = send_all(client, bytes, length);
    sodium_memzero(bytes, length); /* it may hold the passphrase of a backup */
    free(bytes);
    return error;
}

/* Bytes, and what comes with them. */
static ssize_t receive_some(struct client *client, uint8_t *ret_bytes, size_t length) {
    int fd;
    ssize_t n = portable_receive_fd(client->fd, ret_bytes, length, MSG_DONTWAIT, &fd);
    if (n >= 0 && fd >= 0) {
        drop_carried(client);
        client->carried = fd;
    }
    return n;
}

/* Exactly `length` bytes. -EPIPE: the stream ended before. */
static int receive_all(struct client *client, uint8_t *ret_bytes, size_t length) {
    while (length > 0) {
        ssize_t n = receive_some(client, ret_bytes, length);
        if (n > 0) {
            ret_bytes += n;
            length -= (size_t)n;
            continue;
        }
        if (n == 0 || errno == ECONNRESET)
            return -EPIPE;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        int error = wait_for(client, POLLIN);
        if (error < 0)
            return error;
    }
    return 0;
}

/* Is it an answer to our request, in our version? A refusal may come before the daemon knows the
 * request's number. */
static bool is_ours(const struct client *client, const P2pd__Control__Answer *answer) {
    return answer->version == CLIENT_PROTOCOL_VERSION &&
           (answer->request_id == client->request_id ||
            (answer->request_id == 0 && answer->code != P2PD__CONTROL__CODE__OK));
}

static int receive_answer(struct client *client, P2pd__Control__Answer **ret_answer) {
    uint8_t header[FRAME_HEADER];
    int error = receive_all(client, header, sizeof header);
    if (error < 0)
        return error;
    size_t length = frame_get_length(header);
    if (length > ANSWER_LENGTH_MAX)
        return -EPROTO;
    uint8_t *bytes = malloc(length ? length : 1);
    if (!bytes)
        return -ENOMEM;
    error = receive_all(client, bytes, length);
    P2pd__Control__Answer *answer = NULL;
    if (error == 0) {
        frame_allocator_init(&client->allocator, length);
        answer = p2pd__control__answer__unpack(&client->allocator.allocator, length, bytes);
        error = answer && is_ours(client, answer) ? 0 : -EPROTO;
    }
    free(bytes);
    if (error == 0)
        *ret_answer = answer;
    else
        client_answer_free(client, answer);
    return error;
}

int client_receive_fd(struct client *client, P2pd__Control__Answer **ret_answer, int *ret_fd) {
    int error = receive_answer(client, ret_answer);
    if (error < 0) {
        drop_carried(client);
        return error;
    }
    *ret_fd = client->carried;
    client->carried = -1;
    return 0;
}

int client_receive(struct client *client, P2pd__Control__Answer **ret_answer) {
    int error = receive_answer(client, ret_answer);
    drop_carried(client);
    return error;
}

void client_answer_free(struct client *client, P2pd__Control__Answer *answer) {
    if (answer)
        p2pd__control__answer__free_unpacked(answer, &client->allocator.allocator);
}

int client_wait_closed(struct client *client) {
    uint8_t byte;
    int error;
    do
        error = receive_all(client, &byte, 1);
    while (error == 0);
    return error == -ETIMEDOUT ? error : 0;
}
