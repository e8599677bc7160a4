/* What goes out to one connection of the control socket: answers, queued and sent as the reader
 * takes them. Nothing is freed here that the core may be answering: see control_client.c. */
#include "daemon/io/control/control_private.h"
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

void client_free_output(struct control_client *client) {
    while (client->head)
        free_chunk(client);
    client->control->output_bytes -= client->output_bytes;
    client->output_bytes = 0;
}

/* Let the loop look at this client again, soon and not from here. */
static void wake(struct control_client *client) {
    ev_feed_event(client->control->loop, &client->write, EV_WRITE);
}

void client_condemn(struct control_client *client) {
    client->dead = true;
    wake(client);
}

void client_discard_output(struct control_client *client) {
    client_free_output(client);
    client_condemn(client);
}

/* ---- Output ---- */

static double patience(const struct control_client *client) {
    return client->by_line ? CONTROL_TAKEN_S : CONTROL_STALL_S;
}

/* Takes `bytes`. Without memory the client cannot be told anything: it is dropped. */
static bool queue(struct control_client *client, uint8_t *bytes, size_t length) {
    struct chunk *chunk = bytes ? malloc(sizeof *chunk) : NULL;
    if (!chunk) {
        free(bytes);
        client_condemn(client);
        return false;
    }
    *chunk = (struct chunk){.bytes = bytes, .length = length, .fd = -1};
    if (client->tail)
        client->tail->next = chunk;
    else
        client->head = chunk;
    client->tail = chunk;
    if (client->output_bytes == 0)
        client_set_timer(client, &client->deadline, patience(client));
    client->output_bytes += length;
    client->control->output_bytes += length;
    wake(client);
    return true;
}

/* Where an answer's frames go; the descriptor with the first of them. */
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

static bool queue_text(struct control_client *client, const char *text) {
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

/* The order matters: a reader that closes with bytes unread sets the error before they vanish from
 * the queue. It is told once. */
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

int client_send_output(struct control_client *client) {
    while (client->head) {
        struct chunk *chunk = client->head;
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
        client->output_bytes -= (size_t)n;
        client->control->output_bytes -= (size_t)n;
        if (chunk->sent < chunk->length)
            continue;
        free_chunk(client);
        client->lines_sent++;
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
        client_condemn(client);
    else if (answer->end && client->phase == CLIENT_WAITING && !client->confirm_due)
        client->phase = CLIENT_ENDED;
}

void client_refuse(struct control_client *client, enum answer_code code, const char *text) {
    struct answer answer = {.kind = ANSWER_TEXT, .code = code, .end = true};
    client->phase = CLIENT_ENDED;
    client_free_input(client);
    snprintf(answer.text, sizeof answer.text, "%s", text);
    if (client->tongue == TONGUE_TEXT)
        queue_text(client, "FAIL\n");
    else
        client_answer_frames(client, &answer, -1);
}

/* Head and lines, and which messages they are. */
static void give_lines(struct control_client *client, const struct in_record *messages, size_t n) {
    char head[32];
    bool ok = (client->rows = malloc(n * sizeof *client->rows)) != NULL;
    client->by_line = client->confirm_due = true;
    snprintf(head, sizeof head, "SUCCESS %zu\n", n);
    ok = ok && queue_text(client, head);
    for (size_t i = 0; ok && i < n; i++) {
        size_t length = 0;
        uint8_t *line = control_text_line(&messages[i], &length);
        client->rows[client->n_rows++] = messages[i].row;
        ok = queue(client, line, length);
    }
    if (!ok)
        client_condemn(client);
}

static void answer_text(struct control_client *client, const struct answer *answer) {
    bool gives = client->pull && answer->kind == ANSWER_MESSAGES && answer->messages.n > 0;
    if (client->phase == CLIENT_CONFIRMED) {
        /* Any word of the core's comes after the confirmation was stored. */
        client_condemn(client);
    } else if (client->phase != CLIENT_WAITING || client->confirm_due) {
        return;
    } else if (gives) {
        give_lines(client, answer->messages.v, answer->messages.n);
    } else {
        queue_text(client, answer->code != ANSWER_OK ? "FAIL\n"
                           : client->pull            ? "SUCCESS 0\n"
                                                     : "SUCCESS\n");
        client->phase = CLIENT_ENDED;
    }
}

void client_take_answer(struct control_client *client, const struct answer *answer) {
    if (answer->end)
        client->in_core = false;
    if (client->tongue == TONGUE_TEXT)
        answer_text(client, answer);
    else if (client->send)
        send_take_answer(client, answer);
    else if (client->opens_file && answer->kind == ANSWER_FILES && answer->code == ANSWER_OK)
        send_open_file(client, answer);
    else
        client_answer_frames(client, answer, -1);
}
