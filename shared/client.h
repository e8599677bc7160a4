/* The client library: one connection to the daemon, one request, its answers. Every wait has a
 * deadline. Knows nothing of command lines or output; a gateway or another program can use it as
 * p2pctl does. Not thread-safe.
 *
 * The caller ignores SIGPIPE or not, as it likes. */
#ifndef P2PD_CLIENT_H
#define P2PD_CLIENT_H

#include "proto/control.pb-c.h"

#include <stdint.h>

#define CLIENT_PROTOCOL_VERSION 1
#define CLIENT_FOREVER INT64_MAX

struct client;

/* Connect within timeout_ms. 0, or -errno: -ENOENT, -ECONNREFUSED (no daemon), -EACCES,
 * -ETIMEDOUT, -ENAMETOOLONG, -ENOMEM. */
int client_open(struct client **ret_client, const char *path, int64_t timeout_ms);
void client_close(struct client *client); /* takes NULL */

/* When the waits that follow end: timeout_ms from now, or CLIENT_FOREVER. */
void client_set_timeout(struct client *client, int64_t timeout_ms);

/* Send a request, or what goes on with it (Confirm, SendDone); sets its version and request_id. 0
 * also if the daemon has closed already: its answer is then to be received. -ETIMEDOUT, -EMSGSIZE
 * (longer than any daemon takes), -ENOMEM, or what send said. */
int client_send(struct client *client, P2pd__Control__Request *request);

/* The next answer to it, to be freed with client_answer_free. 0; -ETIMEDOUT; -EPIPE: the daemon
 * closed without one; -EPROTO: what it sent is no answer of this protocol's version to this
 * request. */
int client_receive(struct client *client, P2pd__Control__Answer **ret_answer);
/* The same; *ret_fd is the descriptor that came with it, the caller's to close, or -1. One that
 * nobody asks for is closed. */
int client_receive_fd(struct client *client, P2pd__Control__Answer **ret_answer, int *ret_fd);
void client_answer_free(struct client *client, P2pd__Control__Answer *answer); /* takes NULL */

/* Wait until the daemon closes the connection. 0 or -ETIMEDOUT. */
int client_wait_closed(struct client *client);

#endif
