/* One connection of the control socket.
 *
 * Threat: half a request for ever, a length without bytes behind it, an answer that is never
 * read, a reader that vanishes with messages in its hands. Each has a time or a bound, and
 * messages count as taken on a Confirm or an orderly close alone. Nothing here is freed while
 * the core is at work (it may answer from within a request): client_take_answer only queues, and
 * the loop's next turn sends, settles and drops. */
#include "daemon/io/control/control_request.h"
#include "daemon/io/control/control_session.h"
#include "daemon/io/control/control_text.h"
#include "shared/message_id.h"
#include "shared/portable.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- Timers and memory ---- */

static void free_input(struct control_client *client) {
    size_t reserved = client->reserved;
    if (client->input) /* a passphrase may have come in it */
        sodium_memzero(client->input, client->have);
    free(client->input);
    client->input = NULL;
    client->have = client->room = client->reserved = 0;
    control_release(client->control, reserved);
}

/* ---- Requests ---- */

/* Before the connection of a text PULL is closed: confirm the lines that the client has read, and
 * no others. */
static void confirm_lines(struct control_client *client) {
    struct request request = {.client = client->number, .kind = REQUEST_CONFIRM};
    if (!client->by_line || !client->confirm_due)
        return;
    client_has_read(client);
    request.confirm.rows = client->rows;
    request.confirm.n = client->lines_read > 0 ? client->lines_read - 1 : 0; /* less the head */
    if (request.confirm.n > 0)
        client->control->sink.request(client->control->sink.context, &request);
}

/* A further frame from a client whose request is under way: it may only continue that request
 * (SendDone, Confirm). Anything else, a second request or a confirmation of nothing, ends the
 * connection. */
static void dispatch_later(struct control_client *client, const struct control_decoded *decoded) {
    bool confirms = decoded->kind == DECODED_REQUEST && decoded->request.kind == REQUEST_CONFIRM;
    if (client->phase == CLIENT_SENDING && decoded->kind == DECODED_SEND_DONE)
        send_finish(client, decoded);
    else if (client->phase == CLIENT_WAITING && confirms && client->confirm_due)
        client_confirm(client);
    else
        client->dead = true;
}

/* Refuse the request that is in the input buffer. */
static void refuse_input(struct control_client *client, enum answer_code code, const char *text) {
    free_input(client);
    if (client->phase == CLIENT_SESSION)
        control_session_end(client, code, text);
    else
        client_refuse(client, code, text);
}

static void dispatch_frame(struct control_client *client) {
    struct control_decoded decoded;
    char text[CONTROL_TEXT_MAX] = "";
    bool first = client->phase == CLIENT_READING;
    enum answer_code code =
        control_decode(client->input + FRAME_HEADER, client->have - FRAME_HEADER,
                       client->control->message_max, &decoded, text);
    free_input(client);
    if (first)
        client->request_id = decoded.request_id;
    if (client->phase == CLIENT_SESSION) {
        client_set_timer(client, &client->quiet, 0);
        control_session_take(client, code, &decoded, text);
    } else if (code != ANSWER_OK) {
        client_refuse(client, code, text);
    } else if (first && decoded.kind == DECODED_OPEN_SESSION && !client->is_reserved) {
        control_session_open(client);
    } else if (first) {
        client_begin(client, &decoded);
    } else {
        dispatch_later(client, &decoded);
    }
    if (code == ANSWER_OK)
        control_decoded_free(&decoded);
}

static void dispatch_text(struct control_client *client) {
    struct request request = {.kind = REQUEST_PULL};
    struct control_text text = control_text_parse(client->input, client->have);
    client_set_timer(client, &client->quiet, 0);
    if (client->is_reserved || text.kind == CONTROL_TEXT_MALFORMED ||
        text.size > client->control->message_max) {
        refuse_input(client, ANSWER_USAGE, "");
        return;
    }
    if (text.kind == CONTROL_TEXT_PULL) {
        request.pull.from_any = true;
        request.pull.max = CONTROL_TEXT_PULL_MAX;
    } else {
        request.kind = REQUEST_PUSH;
        request.push.to.kind = DEST_ADDRESS;
        request.push.to.address = text.to;
        request.push.body = text.body;
        request.push.size = text.size;
        request.push.options.relays = RELAYS_DEFAULT;
        message_id_make(request.push.id.bytes);
    }
    client_give(client, &request);
    free_input(client);
}

/* ---- Input ---- */

/* How long what has begun to arrive may take to arrive in full; 0: no limit, since we are not
 * reading. In a session `quiet` is used, because `deadline` is for answers that are not read. */
static void set_arrival(struct control_client *client, double seconds) {
    if (client->phase == CLIENT_SESSION)
        client_set_timer(client, &client->quiet, client->have > 0 ? seconds : 0);
    else if (client->phase == CLIENT_READING)
        client_set_timer(client, &client->deadline, seconds);
}

/* Make the input buffer at least `want` bytes. False: the client waits for a reservation, or is
 * dead. */
static bool make_room(struct control_client *client, size_t want) {
    if (want > CONTROL_INPUT_FREE && client->reserved < want) {
        if (!control_reserve(client->control, want - client->reserved)) {
            client->paused = true;
            ev_io_stop(client->control->loop, &client->read);
            set_arrival(client, 0);
            client_set_timer(client, &client->quiet, 0);
            return false;
        }
        client->reserved = want;
    }
    if (want <= client->room)
        return true;
    uint8_t *input = realloc(client->input, want);
    if (!input) {
        client->dead = true;
        return false;
    }
    client->input = input;
    client->room = want;
    return true;
}

void client_resume(struct control_client *client) {
    client->paused = false;
    set_arrival(client, CONTROL_ARRIVE_S);
    /* The text may be complete already. Then nothing more comes that would start this timer. */
    if (client->framing == FRAMING_TEXT)
        client_set_timer(client, &client->quiet, CONTROL_QUIET_S);
    ev_io_start(client->control->loop, &client->read);
}

/* While we do not read, the client is not late. */
void client_hold(struct control_client *client) {
    client->held = true;
    ev_io_stop(client->control->loop, &client->read);
    set_arrival(client, 0);
}

void client_go_on(struct control_client *client) {
    client->held = false;
    set_arrival(client, CONTROL_ARRIVE_S);
    ev_io_start(client->control->loop, &client->read);
    control_schedule(client->control, client);
}

/* How many bytes to ask the kernel for now; 0: stop reading. Exactly up to the end of a frame, so
 * that nothing is read beyond it. */
static size_t frame_wanted(struct control_client *client) {
    size_t largest = client->control->message_max + FRAME_SLACK;
    if (client->have < FRAME_HEADER)
        return make_room(client, FRAME_HEADER) ? FRAME_HEADER - client->have : 0;
    size_t length = frame_get_length(client->input);
    if (client->phase != CLIENT_READING && client->phase != CLIENT_SESSION)
        largest = CONTROL_CONFIRM_MAX;
    if (length > largest) {
        char text[64];
        snprintf(text, sizeof text, "message too large: at most %zu bytes",
                 client->control->message_max);
        refuse_input(client, ANSWER_LIMIT, text);
        return 0;
    }
    return make_room(client, FRAME_HEADER + length) ? FRAME_HEADER + length - client->have : 0;
}

static size_t text_wanted(struct control_client *client) {
    size_t largest = client->control->message_max + FRAME_SLACK;
    if (client->have < client->room)
        return client->room - client->have;
    if (client->have >= largest) {
        refuse_input(client, ANSWER_LIMIT, "");
        return 0;
    }
    /* A text does not tell its length. Beyond CONTROL_INPUT_FREE it reserves the most that a
     * request may have. */
    size_t want = client->room < CONTROL_INPUT_FREE ? 2 * client->room : largest;
    return make_room(client, want < largest ? want : largest) ? client->room - client->have : 0;
}

static size_t input_wanted(struct control_client *client) {
    switch (client->framing) {
    case FRAMING_FRAMES:
        return frame_wanted(client);
    case FRAMING_TEXT:
        return text_wanted(client);
    case FRAMING_UNKNOWN:
        break;
    }
    return 1;
}

static void choose_framing(struct control_client *client) {
    /* A length's first byte is 0 or 1 (FRAME_MESSAGE_MAX); no text begins so. */
    client->framing = client->input[0] < 2 ? FRAMING_FRAMES : FRAMING_TEXT;
    if (client->phase == CLIENT_REFUSED)
        refuse_input(client, ANSWER_LIMIT, client->refusal);
}

static bool is_listening(const struct control_client *client) {
    return client->phase == CLIENT_REFUSED || client->phase == CLIENT_READING ||
           client->phase == CLIENT_SENDING || client->phase == CLIENT_SESSION ||
           (client->phase == CLIENT_WAITING && client->framing == FRAMING_FRAMES);
}

/* `n` bytes have come behind client->have. */
static void take_input(struct control_client *client, size_t n) {
    const uint8_t *fresh = client->input + client->have;
    client->have += n;
    if (client->framing == FRAMING_UNKNOWN)
        choose_framing(client);
    if (!is_listening(client))
        return;
    if (client->framing == FRAMING_TEXT) {
        if (memchr(fresh, '\n', n))
            dispatch_text(client);
        else
            client_set_timer(client, &client->quiet, CONTROL_QUIET_S);
    } else if (client->have >= FRAME_HEADER &&
               client->have == FRAME_HEADER + (size_t)frame_get_length(client->input)) {
        dispatch_frame(client);
    }
    if (client->phase == CLIENT_SESSION && client->have > 0 && !ev_is_active(&client->quiet))
        set_arrival(client, CONTROL_ARRIVE_S);
}

/* Has the whole connection ended, not only its half? */
static bool is_hung_up(int fd) {
    struct pollfd poll_fd = {.fd = fd};
    return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLHUP | POLLERR));
}

static void take_eof(struct control_client *client) {
    client->eof = true;
    ev_io_stop(client->control->loop, &client->read);
    if (client->phase == CLIENT_READING && client->framing == FRAMING_TEXT)
        dispatch_text(client);
    else if (client->phase == CLIENT_TAKEN)
        ev_feed_event(client->control->loop, &client->quiet, EV_TIMER);
    else if (client->phase != CLIENT_WAITING || is_hung_up(client->fd) ||
             (client->pull && client->framing == FRAMING_FRAMES))
        client->dead = client->phase != CLIENT_ENDED;
    /* Nothing will tell us when the other half of the connection ends, too. So the time to wait for
     * the core's answer is limited from here on. */
    if (client->phase == CLIENT_WAITING && client->output_bytes == 0)
        client_set_timer(client, &client->deadline, CONTROL_STALL_S);
}

/* Read and discard what follows a text request or a refused one: left unread, it would turn our
 * close into a reset, and the client might lose our answer. */
static void swallow(struct control_client *client) {
    uint8_t bytes[4096];
    ssize_t n = 1;
    /* At most what a socket's queue holds: a writer that never stops must not keep us. */
    for (int i = 0; i < 64 && n > 0; i++)
        n = recv(client->fd, bytes, sizeof bytes, 0);
    if (n > 0)
        return;
    if (n == 0)
        take_eof(client);
    else if (errno != EAGAIN && errno != EINTR)
        client->dead = client->is_reset = true;
}

/* A session that has been given `given` requests in this turn: may it have another? */
static bool may_go_on(struct control_client *client, size_t given) {
    if (client->output_bytes > CONTROL_SESSION_OUTPUT) {
        client->is_full = true;
        ev_io_stop(client->control->loop, &client->read);
        set_arrival(client, 0);
    }
    return !client->is_full && !client->control->is_held && given < CONTROL_SESSION_TURN;
}

static void read_input(struct control_client *client) {
    size_t budget = 1 << 20; /* bytes in one turn of the loop, so that others are served, too */
    size_t given = 0;
    while (!client->dead && !client->eof && is_listening(client) && budget > 0) {
        if (client->phase == CLIENT_SESSION && !may_go_on(client, given))
            return;
        size_t want = input_wanted(client);
        if (want == 0)
            return;
        want = want < budget ? want : budget;
        ssize_t n = recv(client->fd, client->input + client->have, want, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        budget -= n > 0 ? (size_t)n : 0;
        if (n < 0)
            client->dead = true;
        else if (n == 0)
            take_eof(client);
        else
            take_input(client, (size_t)n);
        given += client->have == 0;
    }
    if (!client->dead && !client->eof && !is_listening(client))
        swallow(client);
}

/* ---- Turns of the loop ---- */

/* All output has been sent: what follows from that in this phase? */
static void settle(struct control_client *client) {
    if (client->phase == CLIENT_WAITING && client->framing == FRAMING_TEXT && client->confirm_due) {
        shutdown(client->fd, SHUT_WR);
        client->phase = CLIENT_TAKEN;
        client_set_timer(client, &client->deadline,
                         client->eof ? CONTROL_STALL_S : CONTROL_TAKEN_S);
        client_set_timer(client, &client->quiet, client->eof ? CONTROL_POLL_S : 0);
    } else if (client->phase == CLIENT_ENDED) {
        swallow(client);
        client->dead = true;
    } else if (client->phase != CLIENT_READING && client->phase != CLIENT_REFUSED &&
               client->phase != CLIENT_TAKEN && client->phase != CLIENT_CONFIRMED) {
        client_set_timer(client, &client->deadline, client->eof ? CONTROL_STALL_S : 0);
    }
}

/* The reader of a text PULL has not read the last line yet. Nothing wakes us when it does, so look
 * again later, each time after a longer pause. */
static void look_again(struct control_client *client) {
    client->dead = client->eof && is_hung_up(client->fd);
    client_set_timer(client, &client->quiet, client->pace);
    client->pace = 2 * client->pace < CONTROL_POLL_S ? 2 * client->pace : CONTROL_POLL_S;
}

static void turn(struct control_client *client) {
    int left = client->dead ? 0 : client_send_output(client);
    if (left == 2)
        look_again(client);
    if (left < 0)
        client->dead = true;
    else if (left == 1)
        ev_io_start(client->control->loop, &client->write);
    else
        ev_io_stop(client->control->loop, &client->write);
    if (!client->dead && client->phase == CLIENT_SESSION)
        control_session_tend(client);
    if (!client->dead && left == 0)
        settle(client);
    if (client->dead)
        client_drop(client);
}

void client_serve(struct control_client *client) {
    read_input(client);
    turn(client);
}

static void on_read(struct ev_loop *loop, ev_io *watcher, int events) {
    struct control_client *client = watcher->data;
    (void)loop, (void)events;
    control_schedule(client->control, client);
}

static void on_write(struct ev_loop *loop, ev_io *watcher, int events) {
    (void)loop, (void)events;
    turn(watcher->data);
}

static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int events) {
    (void)loop, (void)events;
    client_drop(watcher->data);
}

/* The client was quiet: a text request has ended, a session's request has not arrived in full, or
 * it is time to look again whether a reader has read everything. */
static void on_quiet(struct ev_loop *loop, ev_timer *watcher, int events) {
    struct control_client *client = watcher->data;
    (void)loop, (void)events;
    if (client->phase == CLIENT_READING) {
        dispatch_text(client);
    } else if (client->phase == CLIENT_SESSION) {
        client->dead = true; /* half a request */
    } else if (client->phase == CLIENT_TAKEN && client_has_read(client)) {
        client->phase = CLIENT_CONFIRMED;
        client_set_timer(client, &client->deadline, CONTROL_ARRIVE_S);
        client_confirm(client);
    } else if (client->phase == CLIENT_TAKEN) {
        client->dead = client->is_reset;
        client_set_timer(client, &client->quiet, CONTROL_POLL_S);
    }
    turn(client);
}

/* ---- Life ---- */

int client_start(struct control *control, int fd, uid_t uid, enum client_phase phase,
                 const char *refusal) {
    struct control_client *client = calloc(1, sizeof *client);
    uint8_t *input = malloc(CONTROL_INPUT_START);
    if (!client || !input) {
        free(client);
        free(input);
        return -ENOMEM;
    }
    client->control = control;
    client->number = ++control->last_number;
    client->uid = uid;
    client->fd = fd;
    client->phase = phase;
    client->is_reserved = refusal[0] != '\0';
    control->n_reserved += client->is_reserved;
    snprintf(client->refusal, sizeof client->refusal, "%s", refusal);
    client->input = input;
    client->room = CONTROL_INPUT_START;
    ev_io_init(&client->read, on_read, fd, EV_READ);
    ev_io_init(&client->write, on_write, fd, EV_WRITE);
    ev_timer_init(&client->deadline, on_deadline, CONTROL_ARRIVE_S, 0.);
    ev_timer_init(&client->quiet, on_quiet, CONTROL_QUIET_S, 0.);
    client->read.data = client->write.data = client->deadline.data = client->quiet.data = client;
    struct control_client **at = &control->clients;
    while (*at)
        at = &(*at)->next;
    *at = client;
    control->n_clients++;
    client_set_timer(client, &client->deadline, CONTROL_ARRIVE_S);
    ev_io_start(control->loop, &client->read);
    return 0;
}

void client_free(struct control_client *client) {
    struct ev_loop *loop = client->control->loop;
    if (!client->dead)
        client_send_output(client);
    ev_io_stop(loop, &client->read);
    ev_io_stop(loop, &client->write);
    client_set_timer(client, &client->deadline, 0);
    client_set_timer(client, &client->quiet, 0);
    control_session_drop(client, false);
    client_free_output(client);
    free_input(client);
    send_abandon(client);
    free(client->send);
    free(client->rows);
    close(client->fd);
    free(client);
}

void client_drop(struct control_client *client) {
    struct control *control = client->control;
    struct control_client **at = &control->clients;
    confirm_lines(client);
    bool gone = client->in_core || client->confirm_due;
    uint64_t number = client->number;
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    control->n_clients--;
    control->n_reserved -= client->is_reserved;
    client->dead = true;
    control_session_drop(client, true);
    client_free(client);
    control_client_left(control);
    if (gone)
        control->sink.client_gone(control->sink.context, number);
}
