/* The control socket: a libev server on a Unix socket that speaks proto/control.proto and the plain
 * text of the original proposal, and turns both into requests of the core. It decides who may talk
 * and how much may be held for them; nothing else.
 *
 * One request a connection, or a session of many; descriptors go out (of files), and none come in:
 * we read without a place for them, so that the kernel closes what a client attaches. Everything
 * that happens, happens on the loop's thread. */
#ifndef P2PD_CONTROL_H
#define P2PD_CONTROL_H

#include "daemon/core/seam/answer.h"
#include "daemon/core/seam/request.h"
#include "shared/failure.h"

#include <ev.h>
#include <sys/types.h>
#include <sys/un.h>

struct control;

#define CONTROL_CONNECTIONS_MAX (CONTROL_CLIENTS_MAX + CONTROL_RESERVED)
/* Requests under way, in sessions and without. */
#define CONTROL_REQUESTS_MAX (CONTROL_CONNECTIONS_MAX + CONTROL_SESSIONS_MAX)
/* The longest path of a socket. */
#define CONTROL_PATH_MAX ((int)sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)
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
    /* 1 to CONTROL_CLIENTS_MAX, fewer where descriptors are scarce; 0: CONTROL_CLIENTS_MAX */
    size_t clients_max;
    /* The caller holds the lock on the state folder, so a socket at which nobody answers was left
     * behind by a dead daemon and may be removed. */
    bool state_locked;
    int (*credentials)(int fd, struct control_peer *ret_peer); /* NULL: the system's. 0 or -errno */
};

enum control_command { CONTROL_STOP, CONTROL_RELOAD };
/* What is told to the caller. control_answer may be called from within any of the first four. */
struct control_sink {
    void *context;
    /* A request of the core's; borrowed during the call. */
    void (*request)(void *context, const struct request *request);
    /* The client of an unfinished request is gone: no answer to it will reach anyone. */
    void (*client_gone)(void *context, uint64_t client);
    /* A command of a client, to be answered by an ANSWER_TEXT. After the answer to CONTROL_STOP the
     * connection stays open until control_close, so that the client can see when we are down. */
    void (*command)(void *context, enum control_command command, uint64_t client);
    /* The following may be NULL: then such requests are refused.
     *
     * A backup, to be answered by control_answer_fd, at once or later. The passphrase is borrowed
     * during the call, and wiped after it. */
    void (*backup)(void *context, uint64_t client, const uint8_t *passphrase, size_t length);
    /* Make a file that a client can write to: its name in the spool, and a descriptor, which
     * control closes. 0 or -errno. */
    int (*spool_create)(void *context, char ret_name[SPOOL_NAME_MAX + 1], int *ret_fd);
    /* Remove that file: no message came of it, or its message has a file of its own now. The file
     * may be gone already. */
    void (*spool_remove)(void *context, const char *name);
};

/* Create the socket and serve. 0, or -errno with the reason in ret_error: -EADDRINUSE (another
 * daemon answers there), -ENAMETOOLONG, -EEXIST (something else is there), -EACCES (anyone can
 * write to its folder), any of mkdir, bind, chown. */
int control_open(struct control **ret_control, struct ev_loop *loop,
                 const struct control_config *config, const struct control_sink *sink,
                 char ret_error[FAILURE_MAX]);
/* Can the members of config->gid get as far as the socket? 0 (also without a group), or -EACCES and
 * what keeps them out. Changes nothing. */
int control_group_check(const struct control_config *config, char ret_error[FAILURE_MAX]);
/* The same for a running daemon. */
int control_check(const struct control *control, char ret_error[FAILURE_MAX]);
/* Take over what a reload may change: gid, mode and message_max. */
void control_reconfigure(struct control *control, const struct control_config *config);
/* Is the socket still at its place? 0: yes; 1: it had been removed, and was made again; negative
 * errno: it is missing, and ret_error says why it cannot be made again. Existing connections
 * stay. */
int control_tend(struct control *control, char ret_error[FAILURE_MAX]);
/* While held, nothing that clients ask is read. For a caller that is behind with what was asked, so
 * that work for others than clients need not wait. May be called from within a request. */
void control_hold(struct control *control, bool hold);
/* Deliver an answer of the core (copied). Answers for clients that are gone are dropped. */
void control_answer(struct control *control, const struct answer *answer);
/* Answer a backup: with a descriptor (taken, and closed if the client is gone) and ANSWER_OK, or,
 * if `fd` is a negative errno, with ANSWER_FAILED. `text` is for people. */
void control_answer_fd(struct control *control, uint64_t client, int fd, const char *text);
/* Remove the socket. Existing connections stay, but files that clients are still copying to the
 * spool are given up. After this another daemon may take the socket's place. Takes NULL. */
void control_hide(struct control *control);
/* The same, and close every connection; output that is still unsent is tried once more, without
 * waiting. The sink is not called any more. Takes NULL. */
void control_close(struct control *control);

#endif
