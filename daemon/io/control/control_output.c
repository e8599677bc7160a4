/* What goes out to one connection of the control socket: answers, queued and sent as the reader
 * takes them. Nothing is freed here that the core may be answering: see control_client.c. */
#include "daemon/io/control/control_request.h"
#include "daemon/io/control/control_text.h"
#include "shared/portable.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void free_chunk(struct control_client *client) {
    struct chunk *chunk = client->head;
    client->head = chunk->next;
    if (!client->head)
        client->tail = NULL;
    if (chunk->fd >= 0)
        close(chunk->fd);
    free(chunk->bytes);
    free(chunk);
}

static struct control_client *connection_of(struct control_client *client) {
    return client->connection ? client->connection : client;
}

static void count(struct control_client *client, size_t more, size_t less) {
    client->output_bytes += more - less;
    if (client->connection)
        client->connection->output_bytes += more - less;
    client->control->output_bytes += more - less;
}

static void drop_chunk(struct control_client *client) {
    count(client, 0, client->head->length - client->head->sent);
    free_chunk(client);
}

void client_free_output(struct control_client *client) {
    for (struct control_client *request = client->requests; request; request = request->next)
        client_free_output(request);
    while (client->head)
        drop_chunk(client);
}

void client_free_unsent(struct control_client *client) {
    struct chunk *begun = client->head && client->head->sent > 0 ? client->head : NULL;
    if (begun) {
        client->head = begun->next;
        begun->next = NULL;
    }
    while (client->head)
        drop_chunk(client);
    client->head = client->tail = begun;
}

/* Have the loop look at this client in its next turn: the core may be calling us, so nothing is
 * freed here. */
static void wake(struct control_client *client) {
    ev_feed_event(client->control->loop, &connection_of(client)->write, EV_WRITE);
}

void client_close_later(struct control_client *client) {
    connection_of(client)->dead = true;
    wake(client);
}

void client_discard_output(struct control_client *client) {
    client_free_output(client);
    client_close_later(client);
}

/* ---- Output ---- */

static double patience(const struct control_client *client) {
    return client->by_line ? CONTROL_TAKEN_S : CONTROL_STALL_S;
}

/* Takes `bytes`; NULL: there was no memory. Without memory the client cannot be told anything, and
 * is dropped. */
static bool queue(struct control_client *client, uint8_t *bytes, size_t length) {
    struct chunk *chunk = bytes ? malloc(sizeof *chunk) : NULL;
    if (!chunk) {
        free(bytes);
        client_close_later(client);
        return false;
    }
    *chunk = (struct chunk){.bytes = bytes, .length = length, .fd = -1};
    if (client->tail)
        client->tail->next = chunk;
    else
        client->head = chunk;
    client->tail = chunk;
    struct control_client *connection = connection_of(client);
    if (connection->output_bytes == 0)
        client_set_timer(connection, &connection->deadline, patience(connection));
    count(client, length, 0);
    wake(client);
    return true;
}

/* Where an answer's frames go. `fd` is sent with the first of them. */
struct outlet {
    struct control_client *client;
    int fd;
};

static bool queue_message(void *context, const P2pd__Control__Answer *message) {
    struct outlet *outlet = context;
    size_t length = 0;
    uint8_t *bytes = frame_pack(&message->base, &length);
    if (!queue(outlet->client, bytes, length))
        return false;
    outlet->client->tail->fd = outlet->fd;
    outlet->fd = -1;
    return true;
}

bool client_queue_message(struct control_client *client, const P2pd__Control__Answer *message) {
    struct outlet outlet = {client, -1};
    return queue_message(&outlet, message);
}

bool client_queue_text(struct control_client *client, const char *text) {
    uint8_t *bytes = (uint8_t *)strdup(text);
    return queue(client, bytes, strlen(text));
}

static ssize_t send_chunk(const struct control_client *client, const struct chunk *chunk) {
    const uint8_t *at = chunk->bytes + chunk->sent;
    size_t left = chunk->length - chunk->sent;
    if (chunk->fd >= 0)
        return portable_send_fd(client->fd, at, left, MSG_NOSIGNAL, chunk->fd);
    return send(client->fd, at, left, MSG_NOSIGNAL);
}

/* Has the peer read everything that we sent? The queue is asked before the error: a reader that
 * closes with bytes unread sets the socket's error first, and only then do the bytes vanish from
 * the queue. The kernel tells an error once, so it is remembered in is_reset. */
bool client_has_read(struct control_client *client) {
    int unread = 0, error = 0;
    socklen_t length = sizeof error;
    if (portable_unread(client->fd, &unread) < 0 ||
        getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error)
        client->is_reset = true;
    if (client->is_reset || unread > 0)
        return false;
    client->lines_read = client->lines_sent;
    return true;
}

/* Whose frame is sent next; NULL: nobody's. A frame that was begun is finished first; then come the
 * connection's own, then those of a session's requests in turn. */
static struct control_client *next_writer(struct control_client *client) {
    struct control_client *request = client->requests;
    if (client->writer)
        return client->writer;
    if (client->head)
        return client;
    while (request && !request->head)
        request = request->next;
    return request;
}

/* This request has sent a frame: put it behind the session's other requests. */
static void put_last(struct control_client *client, struct control_client *request) {
    struct control_client **at = &client->requests;
    while (*at != request)
        at = &(*at)->next;
    *at = request->next;
    request->next = NULL;
    while (*at)
        at = &(*at)->next;
    *at = request;
}

int client_send_output(struct control_client *client) {
    struct control_client *writer;
    while ((writer = next_writer(client))) {
        struct chunk *chunk = writer->head;
        if (client->by_line && chunk->sent == 0 && !client_has_read(client))
            return client->is_reset ? -ECONNRESET : 2;
        ssize_t n = send_chunk(client, chunk);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 1 : -errno;
        if (n > 0 && chunk->fd >= 0) {
            close(chunk->fd);
            chunk->fd = -1;
        }
        client_set_timer(client, &client->deadline, patience(client));
        client->pace = CONTROL_LINE_S;
        chunk->sent += (size_t)n;
        count(writer, 0, (size_t)n);
        client->writer = chunk->sent < chunk->length ? writer : NULL;
        if (client->writer)
            continue;
        free_chunk(writer);
        client->lines_sent++;
        if (writer != client)
            put_last(client, writer);
    }
    return 0;
}

/* ---- Answers ---- */

void client_answer_frames(struct control_client *client, const struct answer *answer, int fd) {
    struct outlet outlet = {client, fd};
    struct control_emit emit = {queue_message, &outlet};
    bool confirm = !client->peek && answer->kind == ANSWER_MESSAGES && answer->messages.n > 0;
    client->confirm_due = client->confirm_due || confirm;
    bool ok =
        control_encode(answer, client->request_id, confirm, client->control->message_max, &emit);
    if (outlet.fd >= 0)
        close(outlet.fd);
    if (!ok)
        client_close_later(client);
    else if (answer->end && client->phase == CLIENT_WAITING && !client->confirm_due)
        client->phase = CLIENT_ENDED;
}

void client_refuse(struct control_client *client, enum answer_code code, const char *text) {
    struct answer answer = {.kind = ANSWER_TEXT, .code = code, .end = true};
    client->phase = CLIENT_ENDED;
    snprintf(answer.text, sizeof answer.text, "%s", text);
    if (client->framing == FRAMING_TEXT)
        client_queue_text(client, "FAIL\n");
    else
        client_answer_frames(client, &answer, -1);
}

/* Queue the head and the lines of a text PULL, and note which messages they are. */
void client_answer_lines(struct control_client *client, const struct in_record *messages,
                         size_t n) {
    char head[32];
    bool ok = (client->rows = malloc(n * sizeof *client->rows)) != NULL;
    client->by_line = client->confirm_due = true;
    snprintf(head, sizeof head, "SUCCESS %zu\n", n);
    ok = ok && client_queue_text(client, head);
    for (size_t i = 0; ok && i < n; i++) {
        size_t length = 0;
        uint8_t *line = control_text_line(&messages[i], &length);
        client->rows[client->n_rows++] = messages[i].row;
        ok = queue(client, line, length);
    }
    if (!ok)
        client_close_later(client);
}
