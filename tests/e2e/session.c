/* link: shared/client shared/exchange shared/frame shared/message_id proto/control.pb-c */
/* A program that keeps one connection to the daemon and asks many things on it, by the client
 * library and a poll loop of its own:
 *   session SOCKET push DEST N: N pushes that wait for their delivery, all at once, and among them
 *     what else there is to ask; prints "delivered N" and how many other answers came
 *   session SOCKET pull N [confirm]: N pulls that follow; prints "ready", then each message as
 *     "REQUEST TEXT", and confirms them or not, until the connection is over; then "over"
 *   session SOCKET cancel: a pull that follows, and is cancelled; prints how many other answers
 * came, how many failed and how many were a bare OK */
#include "shared/client.h"
#include "shared/message_id.h"

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct client *client;
static size_t n_delivered, n_other, n_failed, n_ok;
static bool confirms;

static void die(const char *what, int error) {
    fprintf(stderr, "session: %s%s%s\n", what, error ? ": " : "", error ? strerror(-error) : "");
    exit(1);
}

static uint64_t ask(P2pd__Control__Request *request) {
    int error = client_ask(client, request);
    if (error < 0)
        die("ask", error);
    return request->request_id;
}

static void ask_push(char *to) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Push push = P2PD__CONTROL__PUSH__INIT;
    uint8_t id[MESSAGE_ID_BYTES];
    message_id_make(id);
    push.to = to;
    push.id = (ProtobufCBinaryData){sizeof id, id};
    push.body = (ProtobufCBinaryData){4, (uint8_t *)"text"};
    push.wait = true;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PUSH;
    request.push = &push;
    ask(&request);
}

static uint64_t ask_pull(void) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Pull pull = P2PD__CONTROL__PULL__INIT;
    pull.wait = pull.follow = true;
    pull.max = 0;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PULL;
    request.pull = &pull;
    return ask(&request);
}

static void ask_other(size_t i) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Status status = P2PD__CONTROL__STATUS__INIT;
    P2pd__Control__Nodes nodes = P2PD__CONTROL__NODES__INIT;
    P2pd__Control__Peers peers = P2PD__CONTROL__PEERS__INIT;
    if (i % 3 == 0) {
        request.command_case = P2PD__CONTROL__REQUEST__COMMAND_STATUS;
        request.status = &status;
    } else if (i % 3 == 1) {
        request.command_case = P2PD__CONTROL__REQUEST__COMMAND_NODES;
        request.nodes = &nodes;
    } else {
        request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PEERS;
        request.peers = &peers;
    }
    ask(&request);
}

static void confirm(uint64_t request_id) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Confirm confirmation = P2PD__CONTROL__CONFIRM__INIT;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_CONFIRM;
    request.confirm = &confirmation;
    int error = client_continue(client, request_id, &request);
    if (error < 0)
        die("confirm", error);
}

static void take(const P2pd__Control__Answer *answer) {
    if (answer->message && answer->end)
        n_delivered += answer->message->state == P2PD__CONTROL__STATE__DELIVERED;
    else if (answer->status || answer->n_nodes || answer->n_peers)
        n_other += answer->end ? 1 : 0;
    else if (answer->code != P2PD__CONTROL__CODE__OK)
        n_failed++;
    else if (answer->end)
        n_ok++;
    for (size_t i = 0; i < answer->n_messages; i++)
        printf("%llu %.*s\n", (unsigned long long)answer->request_id,
               (int)answer->messages[i]->body.len, (const char *)answer->messages[i]->body.data);
    if (answer->confirm && confirms)
        confirm(answer->request_id);
    fflush(stdout);
}

/* Wait for what comes, and take it. False: the connection is over. */
static bool turn(void) {
    struct pollfd at = {.fd = client_fd(client), .events = client_events(client)};
    P2pd__Control__Answer *answer;
    int r;
    poll(&at, 1, -1);
    client_handle(client);
    while ((r = client_next(client, &answer, NULL)) > 0) {
        take(answer);
        client_answer_free(answer);
    }
    return r == 0;
}

static void open_session(const char *path) {
    uint64_t id;
    int error = client_connect(&client, path);
    if (error == 0)
        error = client_ask_session(client, &id);
    if (error < 0)
        die(path, error);
    while (client_pending(client) > 0)
        if (!turn())
            die("no session", 0);
}

static void push(char *to, size_t n) {
    size_t others = n < EXCHANGE_REQUESTS_MAX ? EXCHANGE_REQUESTS_MAX - n : 0;
    for (size_t i = 0; i < n; i++)
        ask_push(to);
    for (size_t i = 0; i < others; i++)
        ask_other(i);
    while (client_pending(client) > 0)
        if (!turn())
            die("over", 0);
    printf("delivered %zu, others %zu, failed %zu\n", n_delivered, n_other, n_failed);
}

static void pull(size_t n) {
    for (size_t i = 0; i < n; i++)
        ask_pull();
    ask_other(0); /* answered behind them: the daemon has them all */
    while (n_other == 0)
        if (!turn())
            die("over", 0);
    printf("ready\n");
    fflush(stdout);
    while (turn())
        ;
    printf("over\n");
}

static void cancel(void) {
    uint64_t id = ask_pull();
    int error = client_cancel(client, id);
    if (error < 0)
        die("cancel", error);
    ask_other(0);
    n_ok = 0; /* the session's own */
    while (client_pending(client) > 0)
        if (!turn())
            die("over", 0);
    printf("others %zu, failed %zu, ok %zu\n", n_other, n_failed, n_ok);
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    open_session(argv[1]);
    if (strcmp(argv[2], "push") == 0 && argc == 5) {
        push(argv[3], strtoul(argv[4], NULL, 10));
    } else if (strcmp(argv[2], "pull") == 0 && argc >= 4) {
        confirms = argc == 5;
        pull(strtoul(argv[3], NULL, 10));
    } else if (strcmp(argv[2], "cancel") == 0) {
        cancel();
    } else {
        return 2;
    }
    client_close(client);
    return 0;
}
