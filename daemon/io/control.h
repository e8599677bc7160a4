/* The control socket: a libev server on a Unix socket that speaks proto/control.proto and the plain
 * text of the original proposal, and turns both into requests of the core. It decides who may talk
 * and how much may be held for them; nothing else.
 *
 * One request a connection. Everything that happens, happens on the loop's thread. */
#ifndef P2PD_CONTROL_H
#define P2PD_CONTROL_H

#include "daemon/core/seam.h"
#include "daemon/io/failure.h"

#include <ev.h>
#include <sys/types.h>

struct control;

#define CONTROL_CLIENTS_MAX 128 /* connections in all: the next ones wait in the kernel's queue */
#define CONTROL_CLIENTS_UID                                                                        \
    96 /* of one uid: the next ones are refused, so that no user shuts out root */
#define CONTROL_GID_NONE ((gid_t)-1)

struct control_peer {
    uid_t uid;
    gid_t gid;
};
struct control_config {
    const char *path; /* copied */
    mode_t mode;      /* of the socket; 0 = 0600 */
    gid_t gid;        /* control.group, or CONTROL_GID_NONE */
    size_t message_max;
    /* The caller holds the lock on the state: a socket on which nobody answers is ours to
     * remove. */
    bool state_locked;
    int (*credentials)(int fd, struct control_peer *ret_peer); /* NULL: the system's. 0 or -errno */
};

enum control_command { CONTROL_STOP, CONTROL_RELOAD };
/* What is told to the caller. control_answer may be called from within any of these. */
struct control_sink {
    void *context;
    /* A request of the core's; borrowed during the call. */
    void (*request)(void *context, const struct request *request);
    /* The client of an unfinished request is gone: no answer to it will reach anyone. */
    void (*client_gone)(void *context, uint64_t client);
    /* To be answered by an ANSWER_TEXT. After CONTROL_STOP's the connection stays until
     * control_close, so that the client can see when we are down. */
    void (*command)(void *context, enum control_command command, uint64_t client);
};

/* Create the socket and serve. 0, or -errno with the reason in ret_error: -EADDRINUSE (another
 * daemon answers there), -ENAMETOOLONG, -EEXIST (something else is there), -EACCES (anyone can
 * write to its folder), any of mkdir, bind, chown. */
int control_open(struct control **ret_control, struct ev_loop *loop,
                 const struct control_config *config, const struct control_sink *sink,
                 char ret_error[FAILURE_MAX]);
/* Take over what a reload may change: gid and message_max. */
void control_reconfigure(struct control *control, const struct control_config *config);
/* Deliver an answer of the core (copied). Answers for clients that are gone are dropped. */
void control_answer(struct control *control, const struct answer *answer);
/* Remove the socket; the connections that there are stay. From here on its place may be another
 * daemon's. Takes NULL. */
void control_hide(struct control *control);
/* The same, and close every connection: what is still unsent is tried once more, without waiting.
 * No client_gone is told. Takes NULL. */
void control_close(struct control *control);

#endif
