/* What the parts of the control server share: control.c (the server), control_client.c (one
 * connection: what comes in), control_session.c (many requests on one), control_request.c (how a
 * request begins and is answered), control_send.c (files), control_output.c (what goes out),
 * control_give.c (what goes to the core), control_socket.c (making the socket, and who may talk).
 */
#ifndef P2PD_CONTROL_PRIVATE_H
#define P2PD_CONTROL_PRIVATE_H

#include "daemon/io/control/control.h"
#include "daemon/io/control/control_convert.h"

#define CONTROL_INPUT_START 1024
#define CONTROL_ARRIVE_S 10.0 /* for a request to arrive in full */
#define CONTROL_STALL_S 30.0  /* of an answer that is not read */
#define CONTROL_QUIET_S                                                                            \
    0.1 /* after which a text request without newline has ended: the proposal's client sends none  \
           \ */
#define CONTROL_TAKEN_S 600.0 /* for the reader of a text PULL to close: somebody may sit at nc */
#define CONTROL_POLL_S                                                                             \
    0.02 /* looks whether a half-closed reader has read all: nothing wakes us for that */
/* How soon it is looked whether a line has been read, at first; then after twice as long each time,
 * up to CONTROL_POLL_S. */
#define CONTROL_LINE_S 0.001
#define CONTROL_TEXT_PULL_MAX 1000
#define CONTROL_CONFIRM_MAX 1024 /* bytes of a frame that can only be a Confirm or a SendDone */
#define CONTROL_SESSION_TURN 16  /* requests of a session before others have their turn */

enum client_phase {
    CLIENT_REFUSED, /* waits for a first byte, to be refused in its own framing */
    CLIENT_READING, /* the request arrives */
    CLIENT_WAITING, /* the core has the request; answers go out, confirmations come in */
    CLIENT_SENDING, /* has a file of the spool to write to; SendDone is to come, perhaps in hours */
    /* Text PULL: the kernel has all of it; waiting for the client to close in order. */
    CLIENT_TAKEN,
    /* Text PULL: the client closed in order; the core has still to store the confirmation. */
    CLIENT_CONFIRMED,
    CLIENT_HELD,    /* `stop`: stays open until we are down */
    CLIENT_ENDED,   /* close once the output is out */
    CLIENT_SESSION, /* requests arrive, any number of them: they are in `requests` */
};
enum client_framing { FRAMING_UNKNOWN, FRAMING_FRAMES, FRAMING_TEXT };

struct chunk {
    struct chunk *next;
    uint8_t *bytes;
    size_t length, sent;
    int fd; /* sent with the first byte, then closed; -1: none */
};

/* A file on its way into the spool. */
struct control_send {
    struct request request; /* as the Send asked for it */
    struct file_head file;
    char spool[SPOOL_NAME_MAX + 1]; /* "": there is none yet */
    bool given;                     /* the core has the message */
};

/* A connection and its request; or a connection that is a session; or one request of a session,
 * which has what a request has, but neither descriptor, watchers nor input of its own. The core
 * knows a request by its number, whatever connection it came over. */
struct control_client {
    struct control_client *next;
    struct control *control;
    struct control_client *connection; /* of a session's request; else NULL */
    uint64_t number;
    uid_t uid;
    int fd;
    bool is_reserved; /* in a reserved place, since all ordinary ones were taken */
    enum client_phase phase;
    enum client_framing framing;
    ev_io read, write;
    ev_timer deadline, quiet;
    uint8_t *input;
    size_t have, room, reserved;
    bool paused; /* waits for a reservation */
    struct chunk *head, *tail;
    size_t output_bytes; /* of a session: of all its requests, too */
    /* Of a session: its requests, in the order in which they may send; and the one of them, or the
     * session itself, that has sent only a part of a frame. */
    struct control_client *requests, *writer;
    size_t n_requests;
    bool is_full; /* reads no further request until answers are read */
    uint64_t request_id;
    bool in_core;              /* the core has not given its last answer yet */
    bool pull, peek;           /* what its request was */
    bool opens_file;           /* ... a FileOpen: the answer's file is to be opened */
    struct control_send *send; /* ... a Send; else NULL */
    /* Of a text PULL's answer: the kernel holds one line at a time, so that a reader which takes a
     * line with each read gets single lines, and we know which lines it has not read. */
    bool by_line, is_reset;
    int64_t *rows; /* of the messages, in their order */
    size_t n_rows, lines_sent, lines_read;
    double pace;
    bool ready;       /* has something to read, and waits for its turn */
    bool held;        /* ready, but control_hold() keeps it from being read */
    bool confirm_due; /* messages were handed out that want a Confirm */
    bool eof;         /* the client has ended its half of the stream */
    bool dead;        /* to be dropped at the next turn of the loop */
    char refusal[CONTROL_TEXT_MAX];
};

struct control {
    struct ev_loop *loop;
    struct control_sink sink;
    int (*credentials)(int fd, struct control_peer *ret_peer);
    char *path;
    struct control_config config; /* its path is the above */
    dev_t device;                 /* of the socket's file, to know whether it is still ours */
    ino_t inode;
    gid_t gid;
    size_t message_max;
    int fd;
    ev_io listen;
    ev_timer again; /* accepts again, some time after descriptors ran out */
    bool is_held;
    /* Fed, never started: serves the clients that are ready, in order. */
    ev_prepare serve;
    struct control_client *clients; /* in the order in which they came */
    size_t n_clients, n_reserved;
    size_t clients_max;
    uint64_t last_number;
    size_t reserved, output_bytes; /* over all clients */
};

/* control_socket.c */
int control_socket_listen(const struct control_config *config, char ret_error[FAILURE_MAX]);
/* Give the socket, and its folder if that holds nothing else, to the group that may use it. */
int control_socket_hand_over(const struct control_config *config, char ret_error[FAILURE_MAX]);
int control_socket_credentials(int fd, struct control_peer *ret_peer);
/* May this peer talk to us? If not, ret_text says who may. */
bool control_socket_is_allowed(const struct control_peer *peer, gid_t group, char *ret_text,
                               size_t size);

/* control_client.c */
/* Begin to serve an accepted connection (fd is owned from here on). A `refusal` that is not empty
 * puts it in a reserved place. As CLIENT_REFUSED it is told the refusal, whatever it asks for; as
 * CLIENT_READING, unless it asks for what is served in a reserved place. */
int client_start(struct control *control, int fd, uid_t uid, enum client_phase phase,
                 const char *refusal);
/* Forget the client at once. The core is told if it is at work for the client. */
void client_drop(struct control_client *client);
/* Free the client without telling anyone, after one more attempt to send. */
void client_free(struct control_client *client);
/* Read and serve what has come. */
void client_serve(struct control_client *client);
/* Memory for a large request has become free: read on. */
void client_resume(struct control_client *client);
/* Control is held: this client is ready, but not read. And when it is held no longer: read on. */
void client_hold(struct control_client *client);
void client_go_on(struct control_client *client);
/* Start a client's timer; 0 seconds: stop it. A session's request has no timers. */
static inline void client_set_timer(struct control_client *client, ev_timer *timer,
                                    double seconds) {
    if (client->connection)
        return;
    ev_timer_stop(client->control->loop, timer);
    if (seconds > 0) {
        ev_timer_set(timer, seconds, 0.);
        ev_timer_start(client->control->loop, timer);
    }
}

/* control.c: what a connection needs of the server. */
/* Reserve input memory; false: none now, wait for client_resume. */
bool control_reserve(struct control *control, size_t bytes);
void control_release(struct control *control, size_t bytes);
/* This client has something to read: it is served in its turn. */
void control_schedule(struct control *control, struct control_client *client);
/* A client is gone from the list: there may be room for others. */
void control_client_left(struct control *control);

#endif
