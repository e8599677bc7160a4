/* Between shell.c (events) and shell_start.c (opening, closing, reading the configuration
 * again). */
#ifndef P2PD_SHELL_PRIVATE_H
#define P2PD_SHELL_PRIVATE_H

#include "daemon/core/node/node.h"
#include "daemon/io/control/control.h"
#include "daemon/io/net/netwatch.h"
#include "daemon/io/net/resolve.h"
#include "daemon/io/net/udp.h"
#include "daemon/io/shell/shell.h"
#include "daemon/io/store/spool.h"
#include "daemon/io/store/store.h"
#include "daemon/io/system/backup.h"
#include "daemon/io/system/log_queue.h"
#include "daemon/io/system/notify.h"
#include "daemon/io/system/state.h"
#include "daemon/io/system/workers.h"
#include "shared/log.h"

#include <ev.h>

struct shell_random { /* bytes from the system that were not given out yet */
    uint8_t bytes[1024];
    size_t left;
};
struct shell {
    struct shell_random random;
    const struct options *options;
    struct config *config;
    struct log log;
    struct log_queue *log_queue; /* NULL: whoever logs a line writes it */
    struct notify notify;
    struct ev_loop *loop;
    struct state *state;
    struct udp *udp;
    struct store *store;
    struct control *control;
    struct spool spool; /* for the control socket; the store's thread has another */
    struct resolve *resolve;
    struct netwatch *netwatch; /* NULL: this system cannot watch the network */
    struct backup *backup;
    struct workers *workers; /* the node's other processors */
    struct node *node;

    ev_io readable[UDP_SOCKETS_MAX], writable[UDP_SOCKETS_MAX];
    size_t n_watched; /* the first so many sockets have watchers */
    ev_timer wake, watchdog, deadline, refresh, tend;
    ev_async stored, resolved, backed_up;
    ev_signal terminate, interrupt, hangup;

    struct finding machine[MACHINE_TOPICS]; /* what the node was told last */
    uint64_t log_lost;                      /* lines lost, as told last */
    uint64_t too_large;                     /* datagrams too large for a path, as told last */

    struct mono wake_at;                /* the time for which `wake` is set */
    int64_t excused_us, wall_behind_us; /* see shell.c, Lateness */
    bool stepping;                      /* inside a step or the carrying out of its update */
    /* Clients that went meanwhile: the node is told after the step. */
    uint64_t gone[CONTROL_REQUESTS_MAX];
    size_t n_gone;
    bool is_new; /* the first start with this identity */
    bool leaving;
    int exit_code;
};

struct mono shell_mono(void);
/* The node's time: shell_mono(), without the delays that were not its fault. */
struct mono shell_now(const struct shell *shell);
struct wall shell_wall(const struct shell *shell);
/* Give the node an event (its clocks are filled in) and carry out what it wants. */
void shell_step(struct shell *shell, struct node_event *event);
/* Introduce a peer as configured: an address at once, a name as soon as it is resolved. */
void shell_introduce(struct shell *shell, const char *host);
/* Is the peer configured, in exactly these words? */
bool shell_has_peer(const struct config_hosts *peers, const char *host);
void shell_node_config(struct shell *shell, struct node_config *ret_config);
/* Read the configuration again; on failure the old one stays. 0, or negative errno and a line. */
int shell_reload(struct shell *shell, char error[FAILURE_MAX]);

/* shell_tend.c: look at the things that others can take away from the daemon, mend what can be
 * mended, and report the rest. Called at start and every few seconds; does nothing while
 * leaving. */
void shell_tend(struct shell *shell);
void shell_check_memory(struct shell *shell);
/* Something is wrong with the machine, or (`text` empty) no longer is: log it once, and tell the
 * node. */
void shell_tell_machine(struct shell *shell, enum machine_topic topic, enum finding_level level,
                        const char *text);

/* Set up the watchers, and the functions that shell_start.c hands to other parts. */
void shell_watch(struct shell *shell);
void shell_watch_sockets(struct shell *shell); /* for sockets that have none yet */
void shell_wake_stored(void *context);
void shell_wake_resolved(void *context);
void shell_network_changed(void *context);
void shell_wake_backed_up(void *context);
int shell_snapshot(void *context, const char *path, char error[FAILURE_MAX]);
extern const struct control_sink shell_sink; /* shell_start.c fills in the context */

#endif
