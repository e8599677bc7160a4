/* Threat: one user, or one broken script, takes all connections, all descriptors or all memory.
 * Connections are capped in all and per uid, with a few places beside for an administrator, large
 * requests wait until memory is reserved for them, and of the readers that let answers pile up the
 * largest goes first. */
#include "daemon/io/control/control_request.h"
#include "daemon/io/control/control_session.h"
#include "shared/portable.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define ACCEPT_AGAIN_S 1.0

/* Input memory that may be reserved: two of the largest requests at a time. */
static size_t input_max(const struct control *control) {
    return 2 * (control->message_max + FRAME_SLACK);
}

/* Bytes of answers that may wait to be read, over all clients: several of the largest batches. */
static size_t output_max(const struct control *control) {
    return 4 * (control->message_max + FRAME_SLACK) + CONTROL_OUTPUT_FREE;
}

bool control_reserve(struct control *control, size_t bytes) {
    /* After a reload lowered message_max, a larger request may still be arriving. A lone request is
     * always given its memory. */
    if (control->reserved > 0 && control->reserved + bytes > input_max(control))
        return false;
    control->reserved += bytes;
    return true;
}

void control_release(struct control *control, size_t bytes) {
    control->reserved -= bytes;
    if (bytes == 0)
        return;
    for (struct control_client *client = control->clients; client; client = client->next)
        if (client->paused)
            client_resume(client);
}

/* libev reports the connections that have become readable in an order of its own, mostly the last
 * one first. So on_read() only marks a client as ready; this watcher has a lower priority, runs
 * after all of them, and serves the clients in the order of their coming. */
static void on_serve(struct ev_loop *loop, ev_prepare *watcher, int events) {
    struct control *control = watcher->data;
    struct control_client *client = control->clients;
    (void)loop, (void)events;
    while (client) {
        struct control_client *next = client->next; /* serving one drops no other */
        if (client->ready && control->is_held) {
            client_hold(client);
        } else if (client->ready) {
            client->ready = false;
            client_serve(client);
        }
        client = next;
    }
}

void control_hold(struct control *control, bool hold) {
    if (control->is_held == hold)
        return;
    control->is_held = hold;
    for (struct control_client *client = control->clients; client && !hold; client = client->next)
        if (client->held)
            client_go_on(client);
}

void control_schedule(struct control *control, struct control_client *client) {
    client->ready = true;
    ev_feed_event(control->loop, &control->serve, EV_CUSTOM);
}

void control_client_left(struct control *control) {
    if (control->fd >= 0 && !ev_is_active(&control->again))
        ev_io_start(control->loop, &control->listen);
}

/* How many connections of a uid have ordinary places, not reserved ones. */
static size_t count_uid(const struct control *control, uid_t uid) {
    size_t n = 0;
    for (const struct control_client *client = control->clients; client; client = client->next)
        n += client->uid == uid && !client->is_reserved;
    return n;
}

/* Why a connection of this uid gets only a reserved place; "": it gets an ordinary one. */
static void judge(const struct control *control, uid_t uid, char *ret_text, size_t size) {
    size_t most = CONTROL_CLIENTS_UID(control->clients_max);
    *ret_text = '\0';
    if (count_uid(control, uid) >= most)
        snprintf(ret_text, size, "limit reached: %zu connections of uid %lu: too many clients",
                 most, (unsigned long)uid);
    else if (control->n_clients - control->n_reserved >= control->clients_max)
        snprintf(ret_text, size, "limit reached: %zu connections: too many clients",
                 control->clients_max);
}

/* Among the reserved places, the oldest connection that has not sent its request yet. NULL: there
 * is none. */
static struct control_client *find_silent(const struct control *control) {
    struct control_client *client = control->clients;
    while (client && !(client->is_reserved && !client->ready &&
                       (client->phase == CLIENT_READING || client->phase == CLIENT_REFUSED)))
        client = client->next;
    return client;
}

static bool has_place(const struct control *control) {
    return control->n_reserved < CONTROL_RESERVED || find_silent(control);
}

/* False: this connection has a reserved place. It has to be read before the next one is accepted,
 * which may take that place away. */
static bool admit(struct control *control, int fd) {
    struct control_peer peer;
    char refusal[CONTROL_TEXT_MAX] = "";
    if (control->credentials(fd, &peer) < 0) {
        close(fd);
        return true;
    }
    bool is_allowed = control_socket_is_allowed(&peer, control->gid, refusal, sizeof refusal);
    if (is_allowed)
        judge(control, peer.uid, refusal, sizeof refusal);
    bool is_reserved = refusal[0] != '\0';
    if (is_reserved && control->n_reserved >= CONTROL_RESERVED)
        client_drop(find_silent(control));
    if (client_start(control, fd, peer.uid, is_allowed ? CLIENT_READING : CLIENT_REFUSED, refusal) <
        0)
        close(fd);
    return !is_reserved;
}

static void on_listen(struct ev_loop *loop, ev_io *watcher, int events) {
    struct control *control = watcher->data;
    (void)events;
    while (has_place(control)) {
        int fd = portable_accept(control->fd);
        if (fd >= 0) {
            if (!admit(control, fd))
                return;
        } else if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOBUFS) {
            /* The connection stays in the queue: asking again at once would only burn the CPU. */
            ev_io_stop(loop, watcher);
            ev_timer_set(&control->again, ACCEPT_AGAIN_S, 0.);
            ev_timer_start(loop, &control->again);
            return;
        } else if (fd != -EINTR && fd != -ECONNABORTED) {
            return;
        }
    }
    ev_io_stop(loop, watcher);
}

static void on_again(struct ev_loop *loop, ev_timer *watcher, int events) {
    struct control *control = watcher->data;
    (void)events;
    ev_io_start(loop, &control->listen);
}

/* Remember which file the socket is, right after it was made. */
static void remember_file(struct control *control) {
    struct stat status;
    bool known = lstat(control->path, &status) == 0;
    control->device = known ? status.st_dev : 0;
    control->inode = known ? status.st_ino : 0;
}

static bool is_file_ours(const struct control *control) {
    struct stat status;
    return lstat(control->path, &status) == 0 && S_ISSOCK(status.st_mode) &&
           status.st_dev == control->device && status.st_ino == control->inode;
}

int control_check(const struct control *control, char ret_error[FAILURE_MAX]) {
    return control_group_check(&control->config, ret_error);
}

int control_tend(struct control *control, char ret_error[FAILURE_MAX]) {
    if (control->fd < 0 || is_file_ours(control))
        return 0;
    int fd = control_socket_listen(&control->config, ret_error);
    if (fd < 0)
        return fd;
    /* Connections that came before the old socket was removed. */
    on_listen(control->loop, &control->listen, EV_READ);
    bool was_active = ev_is_active(&control->listen);
    ev_io_stop(control->loop, &control->listen);
    close(control->fd);
    control->fd = fd;
    remember_file(control);
    ev_io_set(&control->listen, fd, EV_READ);
    if (was_active)
        ev_io_start(control->loop, &control->listen);
    return 1;
}

int control_open(struct control **ret_control, struct ev_loop *loop,
                 const struct control_config *config, const struct control_sink *sink,
                 char ret_error[FAILURE_MAX]) {
    struct control *control = calloc(1, sizeof *control);
    char *path = strdup(config->path);
    int fd = -ENOMEM;
    if (control && path)
        fd = control_socket_listen(config, ret_error);
    else
        failure(ret_error, -ENOMEM, "control.socket: no memory");
    if (fd < 0) {
        free(control);
        free(path);
        return fd;
    }
    control->loop = loop;
    control->sink = *sink;
    control->credentials = config->credentials ? config->credentials : control_socket_credentials;
    control->path = path;
    control->config = *config;
    control->config.path = path;
    control->fd = fd;
    remember_file(control);
    control->clients_max = config->clients_max && config->clients_max < CONTROL_CLIENTS_MAX
                               ? config->clients_max
                               : CONTROL_CLIENTS_MAX;
    control_reconfigure(control, config);
    ev_io_init(&control->listen, on_listen, fd, EV_READ);
    ev_timer_init(&control->again, on_again, ACCEPT_AGAIN_S, 0.);
    ev_prepare_init(&control->serve, on_serve);
    ev_set_priority(&control->serve, EV_MINPRI);
    control->listen.data = control->again.data = control->serve.data = control;
    ev_io_start(loop, &control->listen);
    *ret_control = control;
    return 0;
}

void control_reconfigure(struct control *control, const struct control_config *config) {
    char ignored[FAILURE_MAX]; /* control_check() reports what has no effect */
    bool differs = control->config.gid != config->gid || control->config.mode != config->mode;
    control->gid = control->config.gid = config->gid;
    control->config.mode = config->mode;
    if (differs && control->fd >= 0 && is_file_ours(control))
        control_socket_hand_over(&control->config, ignored);
    control->message_max =
        config->message_max < FRAME_MESSAGE_MAX ? config->message_max : FRAME_MESSAGE_MAX;
}

/* Drop the client that holds the most output, again and again, until the rest is within the
 * limit. */
static void trim_output(struct control *control) {
    while (control->output_bytes > output_max(control)) {
        struct control_client *largest = NULL;
        for (struct control_client *client = control->clients; client; client = client->next)
            if (!client->dead && (!largest || client->output_bytes > largest->output_bytes))
                largest = client;
        if (!largest)
            return;
        client_discard_output(largest);
    }
}

/* NULL: the client is gone. */
static struct control_client *find_client(const struct control *control, uint64_t number) {
    for (struct control_client *client = control->clients; client; client = client->next) {
        struct control_client *request =
            client->number == number ? client : control_session_find(client, number);
        if (request)
            return client->dead ? NULL : request;
    }
    return NULL;
}

void control_answer(struct control *control, const struct answer *answer) {
    struct control_client *client = find_client(control, answer->client);
    if (!client)
        return;
    client_take_answer(client, answer);
    trim_output(control);
}

void control_answer_fd(struct control *control, uint64_t client, int fd, const char *text) {
    struct control_client *reader = find_client(control, client);
    struct answer answer = {.client = client, .kind = ANSWER_TEXT, .end = true};
    answer.code = fd >= 0 ? ANSWER_OK : error_is_limit(fd) ? ANSWER_LIMIT : ANSWER_FAILED;
    snprintf(answer.text, sizeof answer.text, "%s", text);
    if (reader)
        client_answer_frames(reader, &answer, fd);
    else if (fd >= 0)
        close(fd);
}

void control_hide(struct control *control) {
    if (!control || control->fd < 0)
        return;
    for (struct control_client *client = control->clients; client; client = client->next) {
        client->dead = send_abandon(client) || client->dead;
        control_session_abandon_sends(client);
    }
    ev_io_stop(control->loop, &control->listen);
    ev_timer_stop(control->loop, &control->again);
    if (is_file_ours(control))
        unlink(control->path);
    close(control->fd);
    control->fd = -1;
}

void control_close(struct control *control) {
    if (!control)
        return;
    control_hide(control);
    ev_clear_pending(control->loop, &control->serve);
    while (control->clients) {
        struct control_client *client = control->clients;
        control->clients = client->next;
        client_free(client);
    }
    free(control->path);
    free(control);
}
