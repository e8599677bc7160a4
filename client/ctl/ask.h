/* One request to the daemon and its answers, with every failure said and turned into its exit
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
/* The next answer: CODE_DONE and *ret_answer, or another code (no answer, or one that is an
 * error) after a line on standard error. What tells of a message's end is an answer, whatever its
 * code. */
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
/* Take in everything up to the last answer, before any of it is shown: a daemon does not wait for
 * ever for us, and standard output may be somebody who reads slowly. CODE_DONE, or another code
 * after a line on standard error. Either way: answers_free. */
enum exit_code ask_gather(const struct context *context, struct client *client,
                          struct answers *answers);
void answers_free(struct answers *answers);

/* The same, but that of which the daemon knows nothing is not complained of: CODE_UNKNOWN. */
enum exit_code ask_try_fd(const struct context *context, struct client *client,
                          P2pd__Control__Answer **ret_answer, int *ret_fd);

/* What the daemon adds to a success that the answer itself does not say, for people on standard
 * error (not with -q or --json) or as a further member of a JSON object. */
void ask_notice(const struct context *context, const P2pd__Control__Answer *answer);
void ask_notice_json(struct json *json, const P2pd__Control__Answer *answer);

/* The whole of a simple command: connect, ask, and once all is there hand each answer to `print`
 * (or NULL). */
enum exit_code ask_run(const struct context *context, P2pd__Control__Request *request,
                       void (*print)(void *state, const P2pd__Control__Answer *answer),
                       void *state);
/* The same for the state of the message with that id (MESSAGE_ID_BYTES). */
enum exit_code ask_run_message(const struct context *context, const uint8_t *id,
                               void (*print)(void *state, const P2pd__Control__Answer *answer),
                               void *state);
/* The same for commands that have nothing to print but the daemon's word, as text or as JSON
 * {code, text}. */
enum exit_code ask_run_plain(const struct context *context, P2pd__Control__Request *request);

/* How long --wait waits, in microseconds: TIME or 30 s. */
int64_t ask_wait_us(const struct context *context);
/* The timeout of --timeout, in milliseconds. */
int64_t ask_timeout_ms(const struct context *context);

#endif
