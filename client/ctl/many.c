/* p2pctl push --lines: each line of standard input is a message; a request holds many. Lines are
 * sent as soon as they are there: a program that writes one now and then need not fill a thousand
 * first. */
#include "client/common/json.h"
#include "client/common/output.h"
#include "client/ctl/ask.h"
#include "client/ctl/push.h"
#include "shared/frame.h"
#include "shared/message_id.h"
#include "shared/text.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ID_LEN 16
#define LINES_MAX 1024
#define BYTES_MAX (1u << 20) /* bytes of a request, unless a single line is longer */
#define READ_SIZE (256u << 10)

struct lines {
    uint8_t *bytes; /* what was read and not pushed yet */
    size_t used, length, room;
    bool end;
    uint64_t accepted; /* so far */
};
struct batch {
    ProtobufCBinaryData ids[LINES_MAX], bodies[LINES_MAX];
    uint8_t id_bytes[LINES_MAX][ID_LEN];
    size_t n;
};

/* ---- Reading ---- */

static enum exit_code read_more(const struct context *context, struct lines *lines) {
    if (lines->used > 0) {
        memmove(lines->bytes, lines->bytes + lines->used, lines->length - lines->used);
        lines->length -= lines->used;
        lines->used = 0;
    }
    if (lines->room - lines->length < READ_SIZE) {
        size_t room = lines->room ? 2 * lines->room : 2 * READ_SIZE;
        uint8_t *bytes = lines->length <= FRAME_MESSAGE_MAX ? realloc(lines->bytes, room) : NULL;
        if (!bytes)
            return complain(context, CODE_LIMIT, "line %llu: longer than any message may be",
                            (unsigned long long)lines->accepted + 1);
        lines->bytes = bytes;
        lines->room = room;
    }
    ssize_t n;
    do
        n = read(STDIN_FILENO, lines->bytes + lines->length, READ_SIZE);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return complain(context, CODE_FAILED, "standard input: %s", strerror(errno));
    lines->end = n == 0;
    lines->length += (size_t)n;
    return CODE_DONE;
}

static bool has_input(void) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) > 0;
}

/* Gather whole lines that have been read, up to the limits of a request. At the end of the input
 * the last line needs no newline. */
static void gather(struct lines *lines, struct batch *batch) {
    size_t bytes = 0;
    uint8_t id[ID_LEN];
    message_id_make(id);
    batch->n = 0;
    while (batch->n < LINES_MAX && lines->used < lines->length) {
        uint8_t *line = lines->bytes + lines->used;
        size_t left = lines->length - lines->used;
        const uint8_t *newline = memchr(line, '\n', left);
        if (!newline && !lines->end)
            break;
        size_t length = newline ? (size_t)(newline - line) : left, taken = length;
        if (batch->n > 0 && bytes + length > BYTES_MAX)
            break;
        if (newline && length > 0 && line[length - 1] == '\r') /* a line may end with LF or CR LF */
            length--;
        bytes += length;
        memcpy(batch->id_bytes[batch->n], id, ID_LEN);
        message_id_next(id);
        batch->ids[batch->n] = (ProtobufCBinaryData){ID_LEN, batch->id_bytes[batch->n]};
        batch->bodies[batch->n++] = (ProtobufCBinaryData){length, line};
        lines->used += taken + (newline != NULL);
    }
}

/* ---- Pushing ---- */

static void print_json(const char *hex) {
    struct json json = json_to_stdout();
    json_open(&json, '{');
    json_key(&json, "id");
    json_text(&json, hex);
    json_key(&json, "state");
    json_text(&json, "queued");
    json_close(&json, '}');
    printf("\n");
}

static void print_ids(const struct context *context, const struct batch *batch, size_t n) {
    char hex[2 * ID_LEN + 1];
    for (size_t i = 0; i < n && (context->options.json || !context->options.quiet); i++) {
        text_hex(batch->id_bytes[i], ID_LEN, hex);
        if (context->options.json)
            print_json(hex);
        else
            printf("%s\n", hex);
    }
    output_flush();
}

static enum exit_code judge(const struct context *context, struct lines *lines,
                            const struct batch *batch, const P2pd__Control__Answer *answer) {
    uint64_t accepted = answer->many->accepted;
    lines->accepted += accepted;
    print_ids(context, batch, accepted < batch->n ? (size_t)accepted : batch->n);
    if (accepted >= batch->n)
        return CODE_DONE;
    return complain(context, answer->code ? (enum exit_code)answer->code : CODE_FAILED,
                    "line %llu was not accepted, nor what follows it: %s",
                    (unsigned long long)lines->accepted + 1,
                    answer->text[0] ? answer->text : answer->many->reason);
}

static enum exit_code await_end(const struct context *context, struct client *client,
                                const struct batch *batch) {
    P2pd__Control__Answer *answer = NULL;
    int64_t wait_us = ask_wait_us(context);
    client_set_timeout(client, wait_us / 1000);
    int error = client_receive(client, &answer);
    if (error == -ETIMEDOUT)
        return complain(context, CODE_TIMEOUT,
                        "not all delivered within %g s: the rest stays queued",
                        (double)wait_us / 1e6);
    if (error < 0 || !answer->many) {
        if (error == 0)
            client_answer_free(answer);
        return complain(context, CODE_TIMEOUT, "the daemon went away: the messages were queued");
    }
    enum exit_code code = CODE_DONE;
    if (answer->many->failed > 0)
        code = complain(context, CODE_FAILED, "%llu of %zu messages were not delivered: %s",
                        (unsigned long long)answer->many->failed, batch->n, answer->many->reason);
    client_answer_free(answer);
    return code;
}

static enum exit_code push_batch(struct context *context, struct lines *lines,
                                 struct batch *batch) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__PushMany many = P2PD__CONTROL__PUSH_MANY__INIT;
    P2pd__Control__Answer *answer = NULL;
    struct client *client = NULL;
    many.to = (char *)context->arguments[0];
    many.n_ids = many.n_bodies = batch->n;
    many.ids = batch->ids;
    many.bodies = batch->bodies;
    many.relays_exact = context->options.relays >= 0;
    many.relays = many.relays_exact ? (uint32_t)context->options.relays : 0;
    many.strict = context->options.strict;
    many.wait = context->options.wait.given;
    many.expire_us = context->options.expire.us;
    many.shards_k = context->options.shards.k;
    many.shards_m = context->options.shards.m;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PUSH_MANY;
    request.push_many = &many;
    snprintf(context->outcome, sizeof context->outcome,
             "outcome unknown: lines %llu to %llu may be queued",
             (unsigned long long)lines->accepted + 1,
             (unsigned long long)lines->accepted + batch->n);
    enum exit_code code = ask_open(context, &client);
    if (code == CODE_DONE)
        code = ask_send(context, client, &request);
    if (code == CODE_DONE)
        code = ask_next(context, client, &answer);
    if (code == CODE_LIMIT || (code == CODE_UNKNOWN && lines->accepted > 0))
        complain(context, code, "line %llu was not accepted, nor what follows it",
                 (unsigned long long)lines->accepted + 1);
    if (code == CODE_DONE) {
        bool end = answer->end;
        ask_notice(context, answer);
        code = answer->many ? judge(context, lines, batch, answer)
                            : complain(context, CODE_FAILED, "what answers there is no p2pd");
        client_answer_free(answer);
        if (code == CODE_DONE && !end)
            code = await_end(context, client, batch);
    }
    client_close(client);
    return code;
}

enum exit_code push_lines(struct context *context) {
    struct lines lines = {0};
    struct batch *batch = malloc(sizeof *batch);
    enum exit_code code = batch ? CODE_DONE : complain(context, CODE_FAILED, "no memory");
    while (code == CODE_DONE) {
        gather(&lines, batch);
        bool wants_more = !lines.end && (batch->n == 0 || (batch->n < LINES_MAX && has_input()));
        if (wants_more && lines.length - lines.used < BYTES_MAX) {
            /* More input is there: read it first, and gather these lines again with the new
             * ones. */
            if (batch->n > 0)
                lines.used = (size_t)(batch->bodies[0].data - lines.bytes);
            code = read_more(context, &lines);
            continue;
        }
        if (batch->n == 0 && lines.end)
            break;
        code = batch->n > 0 ? push_batch(context, &lines, batch) : read_more(context, &lines);
    }
    free(lines.bytes);
    free(batch);
    return code;
}
