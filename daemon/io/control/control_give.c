/* What goes from a client to the core, and nothing else. */
#include "daemon/io/control/control_request.h"

void client_give(struct control_client *client, struct request *request) {
    request->client = client->number;
    client->phase = CLIENT_WAITING;
    client->in_core = true;
    client->pull = request->kind == REQUEST_PULL;
    client->peek = client->pull && request->pull.peek;
    client->opens_file = request->kind == REQUEST_FILE_OPEN;
    client_set_timer(client, &client->deadline, 0);
    client->control->sink.request(client->control->sink.context, request);
}

void client_confirm(struct control_client *client) {
    struct request request = {.client = client->number, .kind = REQUEST_CONFIRM};
    client->confirm_due = false;
    if (!client->in_core)
        client->phase = CLIENT_ENDED; /* the core's last batch said `end` itself */
    client->control->sink.request(client->control->sink.context, &request);
}
