/* One request: how it begins, and how the core's answers to it go out. */
#include "daemon/io/control/control_request.h"

static void give_command(struct control_client *client, enum control_command command) {
    client->phase = command == CONTROL_STOP ? CLIENT_HELD : CLIENT_WAITING;
    client_set_timer(client, &client->deadline, 0);
    client->control->sink.command(client->control->sink.context, command, client->number);
}

static void give_backup(struct control_client *client, const struct control_decoded *decoded) {
    if (!client->control->sink.backup) {
        client_refuse(client, ANSWER_USAGE, "this daemon makes no backups");
        return;
    }
    client->phase = CLIENT_WAITING;
    client_set_timer(client, &client->deadline, 0);
    client->control->sink.backup(client->control->sink.context, client->number,
                                 decoded->passphrase.bytes, decoded->passphrase.length);
}

/* Requests that an administrator needs when clients have taken all places. They end at once, and
 * their answers fit any socket's buffer. */
static bool is_administrative(const struct control_decoded *decoded) {
    enum request_kind kind = decoded->request.kind;
    return decoded->kind == DECODED_COMMAND ||
           (decoded->kind == DECODED_REQUEST &&
            (kind == REQUEST_STATUS || kind == REQUEST_DOCTOR || kind == REQUEST_PEERS));
}

void client_begin(struct control_client *client, struct control_decoded *decoded) {
    if (client->is_reserved && !is_administrative(decoded)) {
        client_refuse(client, ANSWER_LIMIT, client->refusal);
        return;
    }
    switch (decoded->kind) {
    case DECODED_COMMAND:
        give_command(client, decoded->command);
        break;
    case DECODED_SEND:
        send_begin(client, decoded);
        break;
    case DECODED_BACKUP:
        give_backup(client, decoded);
        break;
    case DECODED_SEND_DONE:
        client_refuse(client, ANSWER_USAGE, "no file was begun");
        break;
    case DECODED_OPEN_SESSION: /* only as the first frame of a connection: control_client.c */
        client_refuse(client, ANSWER_USAGE, "a session is opened by the first request alone");
        break;
    case DECODED_CANCEL_REQUEST: /* only in a session: control_session.c */
        client_refuse(client, ANSWER_USAGE, "no session is open");
        break;
    case DECODED_REQUEST:
        if (decoded->request.kind == REQUEST_CONFIRM)
            client_refuse(client, ANSWER_USAGE, "nothing to confirm");
        else
            client_give(client, &decoded->request);
    }
}

static void answer_text(struct control_client *client, const struct answer *answer) {
    bool gives = client->pull && answer->kind == ANSWER_MESSAGES && answer->messages.n > 0;
    if (client->phase == CLIENT_CONFIRMED) {
        /* Whatever the core answers, it does so after the confirmation was stored. */
        client_close_later(client);
    } else if (client->phase != CLIENT_WAITING || client->confirm_due) {
        return;
    } else if (gives) {
        client_answer_lines(client, answer->messages.v, answer->messages.n);
    } else {
        client_queue_text(client, answer->code != ANSWER_OK ? "FAIL\n"
                                  : client->pull            ? "SUCCESS 0\n"
                                                            : "SUCCESS\n");
        client->phase = CLIENT_ENDED;
    }
}

void client_take_answer(struct control_client *client, const struct answer *answer) {
    if (answer->end)
        client->in_core = false;
    if (client->framing == FRAMING_TEXT)
        answer_text(client, answer);
    else if (client->send)
        send_take_answer(client, answer);
    else if (client->opens_file && answer->kind == ANSWER_FILES && answer->code == ANSWER_OK)
        send_open_file(client, answer);
    else
        client_answer_frames(client, answer, -1);
}
