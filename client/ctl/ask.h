/* One request to the daemon and its answers; each failure is explained and turned into its exit
 * code. */
#ifndef P2PCTL_ASK_H
#define P2PCTL_ASK_H

#include "client/common/json.h"
#include "client/ctl/complain.h"
#include "shared/client.h"

/* Connect. CODE_DONE, or another code after a line on standard error. */
enum exit_code ask_open(const struct context *context, struct client **ret_client);
enum exit_code ask_send(const struct context *context, struct client *client,
                        P2pd__Control__Request *request);
/* Get the next answer. CODE_DONE and *ret_answer; or, if there is none or it is an error, another
 * code after a line on standard error. An answer about the state of a message is handed out
 * whatever its code. */
enum exit_code ask_next(const struct context *context, struct client *client,
                        P2pd__Control__Answer **ret_answer);
/* The same; *ret_fd is the descriptor that came with it, or -1. */
enum exit_code ask_next_fd(const struct context *context, struct client *client,
                           P2pd__Control__Answer **ret_answer, int *ret_fd);

/* All answers to one request, in order. */
struct answers {
    P2pd__Control__Answer **v;
    size_t n, room;
};
/* Gather all answers up to the last one before any is shown: the daemon does not wait for ever for
 * us, and whoever reads our standard output may be slow. CODE_DONE, or another code after a line on
 * standard error. In both cases call answers_free. */
enum exit_code ask_gather(const struct context *context, struct client *client,
                          struct answers *answers);
void answers_free(struct answers *answers);

/* As ask_next_fd, but if the daemon does not know what was asked for, return CODE_UNKNOWN without a
 * line. */
enum exit_code ask_try_fd(const struct context *context, struct client *client,
                          P2pd__Control__Answer **ret_answer, int *ret_fd);

/* Show what the daemon adds to a success and the answer itself does not say: for people on standard
 * error (not with -q or --json), or as a further member of a JSON object. */
void ask_notice(const struct context *context, const P2pd__Control__Answer *answer);
void ask_notice_json(struct json *json, const P2pd__Control__Answer *answer);

/* A whole simple command: connect, ask, gather all answers, then give each to `print` (or NULL). */
enum exit_code ask_run(const struct context *context, P2pd__Control__Request *request,
                       void (*print)(void *state, const P2pd__Control__Answer *answer),
                       void *state);
/* The same, asking for the state of the message with that id (MESSAGE_ID_BYTES). */
enum exit_code ask_run_message(const struct context *context, const uint8_t *id,
                               void (*print)(void *state, const P2pd__Control__Answer *answer),
                               void *state);
/* The same for commands that only print the daemon's text, as it is or as JSON {code, text}. */
enum exit_code ask_run_plain(const struct context *context, P2pd__Control__Request *request);

/* How long --wait waits, in microseconds: TIME or 30 s. */
int64_t ask_wait_us(const struct context *context);
/* How long to wait for an answer (--timeout), in milliseconds. */
int64_t ask_timeout_ms(const struct context *context);

#endif
