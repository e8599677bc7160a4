/* The client library: a connection to the daemon, its requests and their answers. Knows nothing of
 * command lines or output. Two ways to use it:
 *
 * From a loop of the caller's own (libev, poll, a gateway), nothing waits:
 *
 *     client_connect(&client, path);
 *     client_ask(client, &request);            any number of times, see exchange_ask
 *     for (;;) {
 *         struct pollfd at = {client_fd(client), client_events(client), 0};
 *         poll(&at, 1, -1);                     or the loop's watchers, with the events of now
 *         client_handle(client);
 *         while ((r = client_next(client, &answer, &fd)) > 0)
 *             ... answer->request_id says whose it is; client_answer_free(answer);
 *         if (r < 0)
 *             break;                            the connection is over
 *     }
 *     client_close(client);
 *
 * One request and its answers, each call waiting as long as client_set_timeout allows: as p2pctl
 * does with client_open, client_send and client_receive.
 *
 * Who owns what: a request stays the caller's and is packed during the call; an answer handed out
 * is the caller's, independent of the client and of other answers, until client_answer_free; so is
 * its descriptor. Errors are negative errno values. Not thread-safe; two clients know nothing of
 * each other. The caller ignores SIGPIPE or not, as it likes. */
#ifndef P2PD_CLIENT_H
#define P2PD_CLIENT_H

#include "shared/exchange.h"

#define CLIENT_PROTOCOL_VERSION EXCHANGE_VERSION
#define CLIENT_FOREVER INT64_MAX

struct client;

void client_close(struct client *client); /* takes NULL */

/* ---- Without waiting ---- */

/* Connect. 0, or -errno: -ENOENT, -ECONNREFUSED (no daemon), -EACCES, -ENAMETOOLONG, -ENOMEM, or
 * -EAGAIN: more connect than the daemon takes just now, try again a little later (where the system
 * does not tell that apart from -ECONNREFUSED it is that). */
int client_connect(struct client **ret_client, const char *path);
/* The connection, to be polled and not to be read; and what to poll it for next: POLLIN, POLLOUT,
 * both or none. To be asked again after each call. None: take answers first, or the connection is
 * over. */
int client_fd(const struct client *client);
short client_events(const struct client *client);
/* Send and receive what is possible without waiting. To be called when poll reports an event;
 * harmless at any time. If the connection has ended, client_next tells why, after the last
 * answer. */
void client_handle(struct client *client);
/* Requests and answers: exchange_ask and its companions. */
int client_ask(struct client *client, P2pd__Control__Request *request);
int client_continue(struct client *client, uint64_t request_id, P2pd__Control__Request *request);
int client_cancel(struct client *client, uint64_t request_id);
size_t client_pending(const struct client *client);
int client_next(struct client *client, P2pd__Control__Answer **ret_answer, int *ret_fd);
void client_answer_free(P2pd__Control__Answer *answer); /* takes NULL */

/* The first request of a connection on which many requests shall run at once; `ret_id` is its
 * number. It is answered OK; an older daemon answers USAGE and closes. Other requests may follow at
 * once. */
int client_ask_session(struct client *client, uint64_t *ret_id);

/* ---- Waiting ---- */

/* Connect within timeout_ms. 0, or -errno: -ENOENT, -ECONNREFUSED (no daemon), -EACCES,
 * -ETIMEDOUT, -ENAMETOOLONG, -ENOMEM. */
int client_open(struct client **ret_client, const char *path, int64_t timeout_ms);
/* When the waits from now on end: after timeout_ms in all, or never (CLIENT_FOREVER). */
void client_set_timeout(struct client *client, int64_t timeout_ms);

/* Send a request, or a continuation of the last one (Confirm, SendDone). 0 also if the daemon has
 * closed already: its answer is still to be received. -ETIMEDOUT, or the errors of exchange_ask. */
int client_send(struct client *client, P2pd__Control__Request *request);
/* Wait for the next answer, to be freed with client_answer_free. 0; -ETIMEDOUT: the part that has
 * come is kept; or why the connection ended (exchange_next). */
int client_receive(struct client *client, P2pd__Control__Answer **ret_answer);
/* The same; *ret_fd is the descriptor that came with the answer, the caller's to close, or -1. With
 * client_receive such a descriptor is closed. */
int client_receive_fd(struct client *client, P2pd__Control__Answer **ret_answer, int *ret_fd);

/* Wait until the daemon closes the connection; what comes until then is lost. 0 or -ETIMEDOUT. */
int client_wait_closed(struct client *client);

#endif
