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

struct shell_random { /* bytes from the system that nobody had yet */
    uint8_t bytes[1024];
    size_t left;
};
struct shell {
    struct shell_random random;
    const struct options *options;
    struct config *config;
    struct log log;
    struct log_queue *log_queue; /* NULL: lines are written by whoever logs */
    struct notify notify;
    struct ev_loop *loop;
    struct state *state;
    struct udp *udp;
    struct store *store;
    struct control *control;
    struct spool spool; /* the control socket's; the store's thread has one of its own */
    struct resolve *resolve;
    struct netwatch *netwatch; /* NULL: this system tells of no changes */
    struct backup *backup;
    struct workers *workers; /* the node's other processors */
    struct node *node;

    ev_io readable[UDP_SOCKETS_MAX], writable[UDP_SOCKETS_MAX];
    size_t n_watched; /* of these, as many as there are sockets */
    ev_timer wake, watchdog, deadline, refresh, tend;
    ev_async stored, resolved, backed_up;
    ev_signal terminate, interrupt, hangup;

    struct finding machine[MACHINE_TOPICS]; /* as the node was told last */
    uint64_t log_lost;                      /* lines, likewise */
    uint64_t too_large;                     /* datagrams, likewise */

    struct mono wake_at;                 /* for which `wake` is armed */
    int64_t excused_us, wall_behind_us;  /* see shell.c, Lateness */
    bool stepping;                       /* inside a step or the carrying out of its update */
    uint64_t gone[CONTROL_REQUESTS_MAX]; /* clients that went meanwhile: the core is told
                                            afterwards */
    size_t n_gone;
    bool is_new; /* the first start with this identity */
    bool leaving;
    int exit_code;
};

struct mono shell_mono(void);
/* The node's time: that, less what it was late without its fault. */
struct mono shell_now(const struct shell *shell);
struct wall shell_wall(const struct shell *shell);
/* Advance the node by an event (its clocks are filled in) and carry out what it wants. */
void shell_step(struct shell *shell, struct node_event *event);
/* A peer as configured: an address at once, a name once it is resolved. */
void shell_introduce(struct shell *shell, const char *host);
/* Is it configured, in just these words? */
bool shell_has_peer(const struct config_hosts *peers, const char *host);
void shell_node_config(struct shell *shell, struct node_config *ret_config);
/* Read the configuration again; on failure the old one stays. 0, or negative errno and a line. */
int shell_reload(struct shell *shell, char error[FAILURE_MAX]);

/* shell_tend.c: look at what the daemon lives in and others can take away, mend what can be, and
 * say what cannot. Now and every few seconds; nothing while leaving. */
void shell_tend(struct shell *shell);
void shell_check_memory(struct shell *shell);
/* Something is amiss with the machine, or (`text` empty) no more: logged once, and told the
 * node. */
void shell_tell_machine(struct shell *shell, enum machine_topic topic, enum finding_level level,
                        const char *text);

/* The watchers' and the control socket's side, set up by shell_start.c. */
void shell_watch(struct shell *shell);
void shell_watch_sockets(struct shell *shell); /* those that are new */
void shell_wake_stored(void *context);
void shell_wake_resolved(void *context);
void shell_network_changed(void *context);
void shell_wake_backed_up(void *context);
int shell_snapshot(void *context, const char *path, char error[FAILURE_MAX]);
extern const struct control_sink shell_sink; /* its context is the shell's to fill in */

#endif
