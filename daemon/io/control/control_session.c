/* Many requests on one connection: proto/control.proto says the rules. Each request is a client of
 * its own to the core, so that nothing in the core (leases, who waits for what) has to know of
 * sessions.
 *
 * Threat: one connection that asks without end, or reads nothing. Requests under way are counted;
 * none is read while too many bytes of answers wait to be read; in each turn of the loop a session
 * is given only a few requests; and all memory that is held for its requests counts as the
 * connection's. */
#include "daemon/io/control/control_session.h"
#include "daemon/io/control/control_request.h"

#include <stdlib.h>

/* ---- Requests ---- */

struct control_client *control_session_find(const struct control_client *client, uint64_t number) {
    struct control_client *request = client->requests;
    while (request && request->number != number)
        request = request->next;
    return request;
}

static struct control_client *find_id(const struct control_client *client, uint64_t request_id) {
    struct control_client *request = client->requests;
    while (request && request->request_id != request_id)
        request = request->next;
    return request;
}

static struct control_client *add_request(struct control_client *client, uint64_t request_id) {
    struct control_client *request = calloc(1, sizeof *request), **at = &client->requests;
    if (!request)
        return NULL;
    request->control = client->control;
    request->connection = client;
    request->number = ++client->control->last_number;
    request->uid = client->uid;
    request->fd = -1;
    request->phase = CLIENT_READING;
    request->framing = FRAMING_FRAMES;
    request->request_id = request_id;
    while (*at)
        at = &(*at)->next;
    *at = request;
    client->n_requests++;
    return request;
}

/* The request leaves the core, which gives it no more answers. `tell` the core, if it is at work
 * for it. */
static void leave_core(struct control_client *request, bool tell) {
    const struct control_sink *sink = &request->control->sink;
    uint64_t number = request->number;
    bool gone = request->in_core || request->confirm_due;
    request->number = 0;
    request->in_core = request->confirm_due = false;
    send_abandon(request);
    if (gone && tell)
        sink->client_gone(sink->context, number);
}

static void free_request(struct control_client **at, bool tell) {
    struct control_client *request = *at;
    *at = request->next;
    request->connection->n_requests--;
    leave_core(request, tell);
    client_free_output(request);
    free(request->send);
    free(request);
}

void control_session_drop(struct control_client *client, bool tell) {
    client->writer = NULL;
    while (client->requests)
        free_request(&client->requests, tell);
}

/* End a request now, but finish a frame of which a part is sent. If its last answer has been given
 * and only the Confirm of that was to come, no further answer is due. */
static void end_request(struct control_client *request, enum answer_code code, const char *text) {
    bool is_answered = !request->in_core && request->confirm_due;
    leave_core(request, true);
    request->phase = CLIENT_ENDED;
    if (is_answered)
        return;
    client_free_unsent(request);
    client_refuse(request, code, text);
}

void control_session_tend(struct control_client *client) {
    for (struct control_client **at = &client->requests; *at;) {
        if ((*at)->phase == CLIENT_ENDED && !(*at)->head)
            free_request(at, true);
        else
            at = &(*at)->next;
    }
    if (client->is_full && client->output_bytes <= CONTROL_SESSION_OUTPUT) {
        client->is_full = false;
        client_set_timer(client, &client->quiet, client->have > 0 ? CONTROL_ARRIVE_S : 0);
        ev_io_start(client->control->loop, &client->read);
    }
}

void control_session_abandon_sends(struct control_client *client) {
    for (struct control_client *request = client->requests; request; request = request->next)
        if (send_abandon(request))
            client_refuse(request, ANSWER_FAILED, "the daemon stops");
}

/* ---- The session's own answers ---- */

/* Give the only answer to request `request_id`, which is not under way. `client` is the session, or
 * a request of it behind whose frames the answer is to go. */
static void say(struct control_client *client, uint64_t request_id, enum answer_code code,
                const char *text) {
    struct answer answer = {.kind = ANSWER_TEXT, .code = code, .end = true};
    uint64_t own = client->request_id;
    snprintf(answer.text, sizeof answer.text, "%s", text);
    client->request_id = request_id;
    client_answer_frames(client, &answer, -1);
    client->request_id = own;
}

void control_session_open(struct control_client *client) {
    P2pd__Control__Answer answer = P2PD__CONTROL__ANSWER__INIT;
    P2pd__Control__SessionReport report = P2PD__CONTROL__SESSION_REPORT__INIT;
    report.requests_max = CONTROL_SESSION_REQUESTS;
    answer.version = CONTROL_VERSION;
    answer.request_id = client->request_id;
    answer.end = true;
    answer.session = &report;
    client->phase = CLIENT_SESSION;
    client->request_id = 0;
    client_set_timer(client, &client->deadline, 0);
    client_queue_message(client, &answer);
}

void control_session_end(struct control_client *client, enum answer_code code, const char *text) {
    for (struct control_client *request = client->requests; request; request = request->next) {
        leave_core(request, true);
        client_free_unsent(request);
        request->phase = CLIENT_ENDED;
    }
    client_refuse(client, code, text);
}

/* ---- Frames of a session ---- */

/* Continue a request that is under way (SendDone, Confirm). It may have ended meanwhile, which is
 * no error. */
static void go_on(struct control_client *request, const struct control_decoded *decoded) {
    bool is_done = decoded->kind == DECODED_SEND_DONE;
    if (!request || request->phase == CLIENT_ENDED)
        return;
    if (is_done && request->phase == CLIENT_SENDING)
        send_finish(request, decoded);
    else if (!is_done && request->phase == CLIENT_WAITING && request->confirm_due)
        client_confirm(request);
    else
        end_request(request, ANSWER_USAGE, is_done ? "no file was begun" : "nothing to confirm");
}

/* The last answer to the cancelled request comes before the answer to the CancelRequest. */
static void cancel(struct control_client *client, const struct control_decoded *decoded) {
    struct control_client *request = find_id(client, decoded->cancel_id);
    if (!request || request->phase == CLIENT_ENDED) {
        say(client, decoded->request_id, ANSWER_UNKNOWN, "no such request is under way");
        return;
    }
    end_request(request, ANSWER_FAILED, "cancelled");
    say(request, decoded->request_id, ANSWER_OK, "");
}

/* May one more request be under way? If not, ret_text says why. */
static bool has_room(const struct control_client *client, char *ret_text, size_t size) {
    size_t n = 0, n_uid = 0;
    for (const struct control_client *at = client->control->clients; at; at = at->next) {
        n += at->n_requests;
        n_uid += at->uid == client->uid ? at->n_requests : 0;
    }
    if (client->n_requests >= CONTROL_SESSION_REQUESTS)
        snprintf(ret_text, size, "limit reached: %d requests are under way on this connection",
                 CONTROL_SESSION_REQUESTS);
    else if (n_uid >= CONTROL_SESSIONS_UID)
        snprintf(ret_text, size, "limit reached: %d requests of uid %lu are under way in sessions",
                 CONTROL_SESSIONS_UID, (unsigned long)client->uid);
    else if (n >= CONTROL_SESSIONS_MAX)
        snprintf(ret_text, size, "limit reached: %d requests are under way in sessions",
                 CONTROL_SESSIONS_MAX);
    else
        return true;
    return false;
}

static void begin(struct control_client *client, enum answer_code code,
                  struct control_decoded *decoded, const char *text) {
    struct control_client *request = add_request(client, decoded->request_id);
    if (!request)
        client_close_later(client);
    else if (code != ANSWER_OK)
        client_refuse(request, code, text);
    else
        client_begin(request, decoded);
}

static bool goes_on(enum answer_code code, const struct control_decoded *decoded) {
    return code == ANSWER_OK &&
           (decoded->kind == DECODED_SEND_DONE ||
            (decoded->kind == DECODED_REQUEST && decoded->request.kind == REQUEST_CONFIRM));
}

void control_session_take(struct control_client *client, enum answer_code code,
                          struct control_decoded *decoded, const char *text) {
    uint64_t id = decoded->request_id;
    char why[CONTROL_TEXT_MAX];
    if (goes_on(code, decoded)) {
        go_on(find_id(client, id), decoded);
    } else if (id == 0) {
        control_session_end(client, ANSWER_USAGE,
                            code != ANSWER_OK ? text : "a request has no number");
    } else if (find_id(client, id)) {
        snprintf(why, sizeof why, "request %llu is under way already", (unsigned long long)id);
        control_session_end(client, ANSWER_USAGE, why);
    } else if (code == ANSWER_OK && decoded->kind == DECODED_CANCEL_REQUEST) {
        cancel(client, decoded);
    } else if (!has_room(client, why, sizeof why)) {
        say(client, id, ANSWER_LIMIT, why);
    } else {
        begin(client, code, decoded, text);
    }
}
