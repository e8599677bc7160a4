/* p2pctl connect, disconnect, stop, reload. */
#include "client/ctl/ask.h"
#include "client/ctl/command.h"

#include <stdio.h>

enum exit_code connect_run(struct context *context) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Connect command = P2PD__CONTROL__CONNECT__INIT;
    command.address = (char *)context->arguments[0];
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_CONNECT;
    request.connect = &command;
    return ask_run_plain(context, &request);
}

enum exit_code disconnect_run(struct context *context) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Disconnect command = P2PD__CONTROL__DISCONNECT__INIT;
    command.to = (char *)context->arguments[0];
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_DISCONNECT;
    request.disconnect = &command;
    return ask_run_plain(context, &request);
}

enum exit_code reload_run(struct context *context) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Reload command = P2PD__CONTROL__RELOAD__INIT;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_RELOAD;
    request.reload = &command;
    return ask_run_plain(context, &request);
}

/* Done when the daemon has closed its socket, which is the last thing that it does: then a script
 * may start the next daemon. */
enum exit_code stop_run(struct context *context) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Stop command = P2PD__CONTROL__STOP__INIT;
    P2pd__Control__Answer *answer;
    struct client *client = NULL;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_STOP;
    request.stop = &command;
    enum exit_code code = ask_open(context, &client);
    if (code == CODE_DONE)
        code = ask_send(context, client, &request);
    if (code == CODE_DONE)
        code = ask_next(context, client, &answer);
    if (code == CODE_DONE) {
        client_answer_free(answer);
        client_set_timeout(client, ask_timeout_ms(context));
        if (client_wait_closed(client) < 0)
            code = complain(context, CODE_TIMEOUT, "the daemon is still there");
        else if (context->options.json)
            printf("{\"code\":0,\"text\":null}\n");
    }
    client_close(client);
    return code;
}
