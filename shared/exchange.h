/* A connection to the daemon as bytes: requests go in and bytes come out, bytes come in and answers
 * come out. Makes no system call (but close(2) of descriptors that nobody asks for), keeps no time
 * and waits for nothing: shared/client.h connects it to a socket, tests feed it bytes. Not
 * thread-safe.
 *
 * It holds a bounded number of bytes: of requests EXCHANGE_OUTPUT_MAX and one request more, of
 * answers that nobody has taken EXCHANGE_BACKLOG and one answer more, and one answer that is
 * arriving. */
#ifndef P2PD_EXCHANGE_H
#define P2PD_EXCHANGE_H

#include "proto/control.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXCHANGE_VERSION 1       /* of control.proto */
#define EXCHANGE_REQUESTS_MAX 64 /* under way at once in a session; without a session 1 in all */
#define EXCHANGE_OUTPUT_MAX (1u << 20)
#define EXCHANGE_BACKLOG (1u << 20)

struct exchange;

struct exchange *exchange_new(void);           /* NULL: no memory */
void exchange_free(struct exchange *exchange); /* takes NULL; closes descriptors not handed out */

/* ---- Requests in ---- */

/* Begin a request: sets its version and its request_id, which is 1 for the first and never used
 * again. The first may be an OpenSession (control.proto); without one it is the only one. The
 * request is packed during the call and stays the caller's. 0; or, and nothing has changed:
 *   -EBUSY     as many are under way as may be
 *   -EAGAIN    EXCHANGE_OUTPUT_MAX bytes wait to be sent
 *   -EMSGSIZE  longer than any daemon takes
 *   -ENOMEM, or what ended the connection (see exchange_next) */
int exchange_ask(struct exchange *exchange, P2pd__Control__Request *request);
/* Continue a request that is under way: Confirm, SendDone. The same errors, or -ENOENT: it is not
 * under way (any more). */
int exchange_continue(struct exchange *exchange, uint64_t request_id,
                      P2pd__Control__Request *request);
/* In a session: end a request that is under way (CancelRequest, a request of its own). That request
 * still ends with an answer, which may be its regular one. If its last answer has come already, the
 * messages in it are not confirmed. -ENOENT, or the errors of exchange_ask; a CancelRequest does
 * not count among the requests under way. */
int exchange_cancel(struct exchange *exchange, uint64_t request_id);
/* How many requests are under way: their last answer has not been taken in, or it has and is to be
 * confirmed (a pull's last batch). Cancels that are not answered yet count, too. */
size_t exchange_pending(const struct exchange *exchange);

/* ---- Bytes out ---- */

/* The bytes to send next; *ret_length 0: none. Valid until the next call. */
const uint8_t *exchange_output(const struct exchange *exchange, size_t *ret_length);
/* `length` of those bytes have been sent. Requests are wiped after that, since one may hold a
 * passphrase. */
void exchange_sent(struct exchange *exchange, size_t length);
/* The other side takes no more bytes: forget those that are not sent. Its answer may still come. */
void exchange_discard_output(struct exchange *exchange);

/* ---- Bytes in ---- */

/* Where to put the next bytes, and how many at most: never beyond the end of an answer, so that a
 * descriptor belongs to the answer whose bytes it comes with. *ret_length 0: take answers first, or
 * the connection is over. Valid until the next call. */
uint8_t *exchange_input(struct exchange *exchange, size_t *ret_length);
/* `length` bytes have come, and with them the descriptor fd (taken), or -1. */
void exchange_received(struct exchange *exchange, size_t length, int fd);
/* Nothing more will come: `error` is -EPIPE for the regular end of the stream, or why. */
void exchange_end(struct exchange *exchange, int error);

/* ---- Answers out ---- */

/* The next complete answer, in the order of their coming: 1, *ret_answer is the caller's, to be
 * freed by exchange_answer_free, and *ret_fd the descriptor that came with it, the caller's to
 * close, or -1; with ret_fd NULL it is closed. 0: there is none yet. Negative: there is none, and
 * no further one will come:
 *   -EPIPE   the stream has ended
 *   -EPROTO  what came is no answer of this version to a request that is under way
 *   -ENOMEM, or the error that exchange_end was told
 * Answers carry the request_id of their request; `end` is on its last. One with request_id 0 and a
 * code other than OK is the daemon's word about the connection, which ends behind it. */
int exchange_next(struct exchange *exchange, P2pd__Control__Answer **ret_answer, int *ret_fd);
/* Takes NULL. May be called after exchange_free. */
void exchange_answer_free(P2pd__Control__Answer *answer);

#endif
