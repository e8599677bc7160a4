/* What the parts of the control server share: control.c (the server), control_client.c (one
 * connection), control_socket.c (making the socket, and who may talk). */
#ifndef P2PD_CONTROL_PRIVATE_H
#define P2PD_CONTROL_PRIVATE_H

#include "daemon/io/control.h"
#include "daemon/io/control_convert.h"

/* A request of at most this size needs no reservation: all clients' together stay below 8 MiB. */
#define CONTROL_INPUT_FREE (64u << 10)
#define CONTROL_INPUT_START 1024
#define CONTROL_ARRIVE_S 10.0 /* for a request to arrive in full */
#define CONTROL_STALL_S 30.0  /* of an answer that is not read */
#define CONTROL_QUIET_S                                                                            \
    0.1 /* after which a text request without newline has ended: the proposal's client sends none */
#define CONTROL_TAKEN_S 600.0 /* for the reader of a text PULL to close: somebody may sit at nc */
#define CONTROL_POLL_S                                                                             \
    0.02 /* looks whether a half-closed reader has read all: nothing wakes us for that */
#define CONTROL_TEXT_PULL_MAX 1000
#define CONTROL_CONFIRM_MAX 1024 /* bytes of a frame that can only be a Confirm */

enum client_phase {
    CLIENT_REFUSED,   /* waits for a first byte, to be refused in its own tongue */
    CLIENT_READING,   /* the request arrives */
    CLIENT_WAITING,   /* the core has the request; answers go out, confirmations come in */
    CLIENT_TAKEN,     /* text PULL: all is given to the kernel; waiting for the orderly close */
    CLIENT_CONFIRMED, /* text PULL: closed in order; the core has still to store that */
    CLIENT_HELD,      /* `stop`: stays open until we are down */
    CLIENT_ENDED,     /* close once the output is out */
};
enum client_tongue { TONGUE_UNKNOWN, TONGUE_FRAMES, TONGUE_TEXT };

struct chunk {
    struct chunk *next;
    uint8_t *bytes;
    size_t length, sent;
};

struct control_client {
    struct control_client *next;
    struct control *control;
    uint64_t number;
    uid_t uid;
    int fd;
    enum client_phase phase;
    enum client_tongue tongue;
    ev_io read, write;
    ev_timer deadline, quiet;
    uint8_t *input;
    size_t have, room, reserved;
    bool paused; /* waits for a reservation */
    struct chunk *head, *tail;
    size_t output_bytes;
    uint64_t request_id;
    bool in_core;     /* the core owes an end */
    bool pull, peek;  /* what its request was */
    bool confirm_due; /* messages are out that want a Confirm */
    bool eof;         /* its half of the stream is over */
    bool dead;        /* to be dropped at the next turn of the loop */
    char refusal[CONTROL_TEXT_MAX];
};

struct control {
    struct ev_loop *loop;
    struct control_sink sink;
    int (*credentials)(int fd, struct control_peer *ret_peer);
    char *path;
    gid_t gid;
    size_t message_max;
    int fd;
    ev_io listen;
    ev_timer again; /* after a lack of file descriptors */
    struct control_client *clients;
    size_t n_clients;
    uint64_t last_number;
    size_t reserved, output_bytes; /* over all clients */
};

/* control_socket.c */
int control_socket_listen(const struct control_config *config, char ret_error[FAILURE_MAX]);
int control_socket_credentials(int fd, struct control_peer *ret_peer);
/* May this peer talk to us? If not, ret_text says who may. */
bool control_socket_is_allowed(const struct control_peer *peer, gid_t group, char *ret_text,
                               size_t size);

/* control_client.c */
/* Begin to serve an accepted connection (owned from here on). A refusal, if not empty, is all
 * that it will be told. */
int client_start(struct control *control, int fd, uid_t uid, const char *refusal);
/* Forget it at once; the core is told if it was at work for it. */
void client_drop(struct control_client *client);
/* Free without telling anyone, after one more attempt to send. */
void client_free(struct control_client *client);
void client_take_answer(struct control_client *client, const struct answer *answer);
/* It holds too much that it does not read: free that, and drop it at the next turn of the loop. */
void client_discard_output(struct control_client *client);
/* Room for a large request has become free. */
void client_resume(struct control_client *client);

/* control.c: what a connection needs of the server. */
/* Reserve input memory; false: none now, wait for client_resume. */
bool control_reserve(struct control *control, size_t bytes);
void control_release(struct control *control, size_t bytes);
/* A client is gone from the list: there may be room for others. */
void control_client_left(struct control *control);

#endif
