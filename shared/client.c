/* See client.h. Threat: as in exchange.c; and a daemon that is silent: no wait is without an end,
 * unless the caller asks for that. */
#include "shared/client.h"

#include "shared/portable.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/un.h>
#include <time.h>

/* Reads in one call of client_handle, since the caller's loop has others to serve. */
#define READS_MAX 128

struct client {
    int fd;
    struct exchange *exchange;
    uint64_t request_id; /* the last that client_send began */
    int64_t deadline_ms; /* monotonic, or CLIENT_FOREVER */
};

/* ---- Connecting ---- */

static int make_address(const char *path, struct sockaddr_un *ret_address) {
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof ret_address->sun_path)
        return -ENAMETOOLONG;
    memcpy(ret_address->sun_path, path, strlen(path));
    return 0;
}

void client_close(struct client *client) {
    if (!client)
        return;
    if (client->fd >= 0)
        close(client->fd);
    exchange_free(client->exchange);
    free(client);
}

static int make_client(struct client **ret_client, bool blocking) {
    struct client *client = calloc(1, sizeof *client);
    if (!client)
        return -ENOMEM;
    client->fd = -1;
    client->deadline_ms = CLIENT_FOREVER;
    client->exchange = exchange_new();
    int error = client->exchange ? 0 : -ENOMEM;
    if (error == 0)
        client->fd = portable_unix_socket(blocking);
    if (error == 0 && client->fd < 0)
        error = client->fd;
    if (error < 0)
        client_close(client);
    else
        *ret_client = client;
    return error;
}

int client_connect(struct client **ret_client, const char *path) {
    struct sockaddr_un address;
    struct client *client = NULL;
    int error = make_address(path, &address);
    if (error == 0)
        error = make_client(&client, false);
    if (error < 0)
        return error;
    /* A Unix socket connects at once or not at all. */
    if (connect(client->fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        error = -errno;
        client_close(client);
        return error;
    }
    *ret_client = client;
    return 0;
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
    struct sockaddr_un address;
    struct client *client = NULL;
    int error = make_address(path, &address);
    if (error == 0)
        error = make_client(&client, true);
    if (error < 0)
        return error;
    client_set_timeout(client, timeout_ms);
    error = connect_within(client->fd, &address, timeout_ms);
    if (error < 0) {
        client_close(client);
        return error;
    }
    *ret_client = client;
    return 0;
}

/* ---- Without waiting ---- */

int client_fd(const struct client *client) {
    return client->fd;
}

short client_events(const struct client *client) {
    size_t in, out;
    exchange_input(client->exchange, &in);
    exchange_output(client->exchange, &out);
    return (short)((in > 0 ? POLLIN : 0) | (out > 0 ? POLLOUT : 0));
}

static void fail(struct client *client, int error) {
    exchange_end(client->exchange, error);
    exchange_discard_output(client->exchange);
}

static void send_some(struct client *client) {
    size_t length;
    const uint8_t *bytes;
    while ((bytes = exchange_output(client->exchange, &length)) && length > 0) {
        ssize_t n = send(client->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0)
            exchange_sent(client->exchange, (size_t)n);
        else if (errno == EPIPE || errno == ECONNRESET)
            /* A daemon that refuses a length sends an answer, and closes without reading the
             * rest. */
            exchange_discard_output(client->exchange);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        else if (errno != EINTR)
            fail(client, -errno);
    }
}

/* Receive once. False: there is nothing more to be read now. */
static bool receive_once(struct client *client) {
    size_t length;
    int fd;
    uint8_t *bytes = exchange_input(client->exchange, &length);
    if (length == 0)
        return false;
    ssize_t n = portable_receive_fd(client->fd, bytes, length, MSG_DONTWAIT, &fd);
    if (n > 0)
        exchange_received(client->exchange, (size_t)n, fd);
    else if (n == 0)
        exchange_end(client->exchange, -EPIPE);
    else if (errno == EAGAIN || errno == EWOULDBLOCK)
        return false;
    else if (errno != EINTR)
        exchange_end(client->exchange, errno == ECONNRESET ? -EPIPE : -errno);
    return true;
}

void client_handle(struct client *client) {
    send_some(client);
    for (int i = 0; i < READS_MAX && receive_once(client); i++)
        ;
}

int client_ask(struct client *client, P2pd__Control__Request *request) {
    return exchange_ask(client->exchange, request);
}

int client_continue(struct client *client, uint64_t request_id, P2pd__Control__Request *request) {
    return exchange_continue(client->exchange, request_id, request);
}

int client_cancel(struct client *client, uint64_t request_id) {
    return exchange_cancel(client->exchange, request_id);
}

size_t client_pending(const struct client *client) {
    return exchange_pending(client->exchange);
}

int client_next(struct client *client, P2pd__Control__Answer **ret_answer, int *ret_fd) {
    return exchange_next(client->exchange, ret_answer, ret_fd);
}

void client_answer_free(P2pd__Control__Answer *answer) {
    exchange_answer_free(answer);
}

int client_ask_session(struct client *client, uint64_t *ret_id) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__OpenSession open_it = P2PD__CONTROL__OPEN_SESSION__INIT;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_OPEN_SESSION;
    request.open_session = &open_it;
    int error = client_ask(client, &request);
    if (error == 0)
        *ret_id = request.request_id;
    return error;
}

/* ---- Waiting ---- */

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

/* Confirm and SendDone continue the request before them, and carry its number; so do the
 * answers. */
static bool goes_on(const P2pd__Control__Request *request) {
    return request->command_case == P2PD__CONTROL__REQUEST__COMMAND_CONFIRM ||
           request->command_case == P2PD__CONTROL__REQUEST__COMMAND_SEND_DONE;
}

int client_send(struct client *client, P2pd__Control__Request *request) {
    size_t left;
    int error;
    if (goes_on(request)) {
        error = client_continue(client, client->request_id, request);
    } else {
        error = client_ask(client, request);
        client->request_id = error == 0 ? request->request_id : client->request_id;
    }
    /* What arrives before all is sent, also the end of the connection, is kept for
     * client_receive. */
    if (error == -EPIPE)
        return 0;
    while (error == 0) {
        client_handle(client);
        exchange_output(client->exchange, &left);
        if (left == 0)
            return 0;
        error = wait_for(client, client_events(client));
    }
    return error;
}

int client_receive_fd(struct client *client, P2pd__Control__Answer **ret_answer, int *ret_fd) {
    int r = client_next(client, ret_answer, ret_fd);
    while (r == 0) {
        client_handle(client);
        r = client_next(client, ret_answer, ret_fd);
        int error = r == 0 ? wait_for(client, client_events(client)) : 0;
        if (error < 0)
            return error;
    }
    return r < 0 ? r : 0;
}

int client_receive(struct client *client, P2pd__Control__Answer **ret_answer) {
    return client_receive_fd(client, ret_answer, NULL);
}

int client_wait_closed(struct client *client) {
    char bytes[4096];
    for (;;) {
        ssize_t n = recv(client->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        bool is_empty = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
        if (n == 0 || (n < 0 && !is_empty))
            return 0;
        int error = is_empty ? wait_for(client, POLLIN) : 0;
        if (error < 0)
            return error == -ETIMEDOUT ? error : 0;
    }
}
