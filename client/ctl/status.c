/* p2pctl status, status ID, cancel. */
#include "client/common/output.h"
#include "client/common/table.h"
#include "client/common/words.h"
#include "client/ctl/ask.h"
#include "client/ctl/command.h"
#include "shared/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ID_LEN 16

const struct option status_options[] = {{"wait", 'w', OPTION_TIME_MAYBE,
                                         offsetof(struct options, wait), "TIME",
                                         "with an ID: return when its state is final (30s)"},
                                        {NULL, 0, OPTION_FLAG, 0, NULL, NULL}};

static void print_addresses(const P2pd__Control__StatusReport *status) {
    char address[TEXT_CELL_MAX];
    printf("addresses ");
    for (size_t i = 0; i < status->n_addresses; i++) {
        cell_address(&status->addresses[i], true, address);
        printf(" %s", address);
    }
    printf("%s\n", status->n_addresses ? "" : " none known yet");
}

/* A clock that is wrong by more than a day is not corrected. */
static void print_clock(const P2pd__Control__StatusReport *status) {
    const double hour_us = 3600e6, day_us = 24 * hour_us;
    double error_us = (double)status->clock_error_us;
    if (error_us > day_us || error_us < -day_us)
        printf("clock      %.0f h %s the neighbours', more than can be corrected: set it\n",
               (error_us < 0 ? -error_us : error_us) / hour_us,
               error_us > 0 ? "behind" : "ahead of");
    else
        printf("clock      %+.3f s corrected\n", (double)status->clock_offset_us / 1e6);
}

static void print_status_text(const P2pd__Control__StatusReport *status) {
    char name[TEXT_CELL_MAX], used[TEXT_CELL_MAX], max[TEXT_CELL_MAX];
    int64_t seconds = status->uptime_us / 1000000;
    cell_size(status->memory_used, used);
    cell_size(status->memory_max, max);
    cell_name(status->version, name);
    printf("version    %s\nid         ", name);
    for (size_t i = 0; i < status->id.len; i++)
        printf("%02x", status->id.data[i]);
    cell_name(status->name, name);
    printf("\nname       %s\n", name);
    print_addresses(status);
    if (status->network)
        printf("network    %s\n", status->network == 1 ? "open: anybody may join"
                                                       : "closed: its members share a secret");
    printf("uptime     %" PRId64 "d %02d:%02d:%02d\n", seconds / 86400, (int)(seconds / 3600 % 24),
           (int)(seconds / 60 % 60), (int)(seconds % 60));
    printf("neighbours %u (min %u, max %u), %u spare addresses\n", status->pool_neighbours,
           status->pool_min, status->pool_max, status->pool_spare);
    printf("directory  %" PRIu64 " nodes, %" PRIu64 " relays\n", status->directory_nodes,
           status->directory_relays);
    printf("inbox      %" PRIu64 " waiting", status->inbox_waiting);
    if (status->inbox_unfinished > 0)
        printf(", %" PRIu64 " bytes of others unfinished", status->inbox_unfinished);
    printf("\n");
    printf("outbox     %" PRIu64 " pending", status->outbox_pending);
    if (status->outbox_stranded > 0)
        printf(", of them %" PRIu64 " for a key that is gone (p2pctl doctor)",
               status->outbox_stranded);
    printf("\n");
    if (status->mail_held > 0) {
        cell_size(status->mail_bytes, name);
        printf("mail       %" PRIu64 " kept for others, %s\n", status->mail_held, name);
    }
    printf("memory     %s of %s\n", used, max);
    print_clock(status);
    for (size_t i = 0; i < status->n_counters; i++)
        if (status->counters[i]->value > 0) {
            cell_name(status->counters[i]->name, name);
            printf("%-20s %" PRIu64 "\n", name, status->counters[i]->value);
        }
}

/* As text only the state is printed on standard output, since scripts compare it. */
static void print_message(const struct context *context, const P2pd__Control__Answer *answer) {
    const P2pd__Control__MessageState *message = answer->message;
    const char *why = words_why(message->state, message->reason);
    if (context->options.json) {
        struct json json = json_to_stdout();
        json_open(&json, '{');
        json_fields(&json, &message->base);
        ask_notice_json(&json, answer);
        json_close(&json, '}');
        printf("\n");
        return;
    }
    printf("%s", words_state(message->state));
    if (why[0]) {
        printf(": ");
        output_escaped((const uint8_t *)why, strlen(why));
    }
    printf("\n");
    ask_notice(context, answer);
}

static void print_status_json(const P2pd__Control__StatusReport *status) {
    struct json json = json_to_stdout();
    json_message(&json, &status->base);
    printf("\n");
}

static void print_answer(void *state, const P2pd__Control__Answer *answer) {
    const struct context *context = state;
    if (answer->message)
        print_message(context, answer);
    else if (answer->status && context->options.json)
        print_status_json(answer->status);
    else if (answer->status)
        print_status_text(answer->status);
}

static enum exit_code take_id(const struct context *context, uint8_t ret_id[ID_LEN]) {
    if (text_unhex(context->arguments[0], ret_id, ID_LEN) < 0)
        return complain(context, CODE_USAGE, "a message id is %d hex digits", 2 * ID_LEN);
    return CODE_DONE;
}

/* Wait for the message's end and print its last state: the final one, or the latest one if the time
 * is over. */
static enum exit_code await_end(const struct context *context, const uint8_t id[ID_LEN]) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__MessageStatus message = P2PD__CONTROL__MESSAGE_STATUS__INIT;
    P2pd__Control__Answer *answer = NULL;
    struct client *client = NULL;
    message.id = (ProtobufCBinaryData){ID_LEN, (uint8_t *)id};
    message.wait = true;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_MESSAGE;
    request.message = &message;
    enum exit_code code = ask_open(context, &client);
    if (code == CODE_DONE)
        code = ask_send(context, client, &request);
    if (code == CODE_DONE)
        code = ask_next(context, client, &answer);
    int error = 0;
    if (code == CODE_DONE && !answer->end) {
        client_answer_free(answer);
        client_set_timeout(client, ask_wait_us(context) / 1000);
        error = client_receive(client, &answer);
    }
    if (code == CODE_DONE && error == 0) {
        if (answer->code != P2PD__CONTROL__CODE__OK && !answer->message)
            code = complain(context, (enum exit_code)answer->code, "%s", answer->text);
        print_answer((void *)context, answer);
        client_answer_free(answer);
    }
    client_close(client);
    if (error == -ETIMEDOUT) {
        code = ask_run_message(context, id, print_answer, (void *)context);
        return code != CODE_DONE ? code
                                 : complain(context, CODE_TIMEOUT, "not over within %g s",
                                            (double)ask_wait_us(context) / 1e6);
    }
    return error == 0 ? code : complain(context, CODE_TIMEOUT, "the daemon went away");
}

static enum exit_code message_status(struct context *context) {
    uint8_t id[ID_LEN];
    enum exit_code code = take_id(context, id);
    if (code != CODE_DONE)
        return code;
    return context->options.wait.given ? await_end(context, id)
                                       : ask_run_message(context, id, print_answer, context);
}

enum exit_code status_run(struct context *context) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Status status = P2PD__CONTROL__STATUS__INIT;
    if (context->n_arguments == 1)
        return message_status(context);
    if (context->options.wait.given)
        return complain(context, CODE_USAGE, "--wait wants an ID");
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_STATUS;
    request.status = &status;
    return ask_run(context, &request, print_answer, context);
}

enum exit_code cancel_run(struct context *context) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Cancel cancel = P2PD__CONTROL__CANCEL__INIT;
    uint8_t id[ID_LEN];
    enum exit_code code = take_id(context, id);
    if (code != CODE_DONE)
        return code;
    cancel.id = (ProtobufCBinaryData){ID_LEN, id};
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_CANCEL;
    request.cancel = &cancel;
    return ask_run(context, &request, print_answer, context);
}
