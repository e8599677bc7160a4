/* See shell.h. One event is given to the node at a time. Carrying out an update can make the
 * control socket report clients that are gone; those are told to the node after the update has been
 * carried out.
 *
 * Threat: anything can hang (a disk, a name server, a client, our own bug). So the first SIGTERM
 * starts an alarm that no loop and no thread can stop. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "daemon/io/shell/shell_private.h"
#include "daemon/io/system/process.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

/* How many datagrams a socket may deliver (the last batch may exceed that) before clients, store
 * and timers have their turn again. */
#define DATAGRAMS_A_TURN 256
#define RESULTS_A_TURN 64
/* When leaving: how long to wait until the kernel has taken the last datagrams. */
#define FLUSH_S 0.5
#define TEND_S 5.0
#define REFRESH_S (10 * 60.0) /* names are looked up again, while links are lacking */
/* Seconds until the alarm; SIGTERM ends us within 5 s. */
#define END_S 4

/* The monotonic clock, including time asleep where the system can tell it: the links of a laptop
 * that wakes up are dead, and the node should know at once. */
struct mono shell_mono(void) {
    struct timespec now;
#ifdef CLOCK_BOOTTIME
    clock_gettime(CLOCK_BOOTTIME, &now);
#else
    clock_gettime(CLOCK_MONOTONIC, &now);
#endif
    return (struct mono){now.tv_sec * US_PER_S + now.tv_nsec / 1000};
}

struct wall shell_wall(const struct shell *shell) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (struct wall){now.tv_sec * US_PER_S + now.tv_nsec / 1000 +
                         shell->options->clock_offset_us};
}

/* ---- Lateness ----
 * A process that gets no processor for a while finds its deadlines passed, while the answers that
 * came in time are still in its socket. If it looked at the deadlines first, it would take live
 * neighbours for dead, and ask again for what is already there; on a machine with many such
 * processes each would delay the others further. So the node's clock does not count the delay: it
 * stands just before the deadline until one turn's datagrams have been taken. The wall clock
 * catches up in steps so small that the node does not take them for a clock that was set. A machine
 * that slept is another matter: its links are dead, and the node must see that. */
#define LATE_US (50 * US_PER_MS) /* a busy node's own work may take as long */
#define LATE_MAX_US (10 * US_PER_S)
#define CATCH_UP_US (500 * US_PER_MS) /* the wall clock catches up by this in a step */

struct mono shell_now(const struct shell *shell) {
    return mono_add(shell_mono(), -shell->excused_us);
}

/* Take back the delay from the node's clock. True: it was at least `least_us`. */
static bool excuse(struct shell *shell, int64_t least_us) {
    int64_t late_us = shell_now(shell).us - shell->wake_at.us + 1;
    if (shell->wake_at.us == MONO_NEVER.us || late_us < least_us || late_us > LATE_MAX_US)
        return false;
    shell->excused_us += late_us;
    shell->wall_behind_us += late_us;
    return true;
}

static struct wall wall_of_step(struct shell *shell) {
    struct wall wall = {shell_wall(shell).us - shell->wall_behind_us};
    int64_t more = shell->wall_behind_us < CATCH_UP_US ? shell->wall_behind_us : CATCH_UP_US;
    shell->wall_behind_us -= more;
    return wall;
}

/* ---- Carrying out ---- */

/* Set the timer for the next wake-up. Most steps do not change its time, and then nothing is
 * done. */
static void arm_wake(struct shell *shell, struct mono at) {
    if (at.us == shell->wake_at.us && (ev_is_active(&shell->wake) || ev_is_pending(&shell->wake)))
        return;
    shell->wake_at = at;
    ev_timer_stop(shell->loop, &shell->wake);
    if (at.us == MONO_NEVER.us)
        return;
    int64_t left_us = at.us - shell_now(shell).us;
    /* libev counts from the time at which this turn of the loop began. */
    ev_now_update(shell->loop);
    ev_timer_set(&shell->wake, left_us > 0 ? (double)left_us / (double)US_PER_S : 0, 0);
    ev_timer_start(shell->loop, &shell->wake);
}

static void watch_writing(struct shell *shell) {
    for (size_t i = 0; i < udp_n_sockets(shell->udp); i++)
        if (udp_wants_write(shell->udp, i))
            ev_io_start(shell->loop, &shell->writable[i]);
}

static void fail(struct shell *shell, const char *what) {
    log_error(&shell->log, "%s", what);
    shell->exit_code = EXIT_FAILURE;
    ev_break(shell->loop, EVBREAK_ALL);
}

static void carry_out(struct shell *shell, const struct node_update *update) {
    if (update->n_datagrams > 0) {
        udp_send(shell->udp, update->datagrams, update->n_datagrams);
        watch_writing(shell);
    }
    /* The core would wait for ever for the results of these operations, so stop. What it has
     * promised so far is on disk. */
    if (update->n_ops > 0 && store_submit(shell->store, update->ops, update->n_ops) < 0)
        fail(shell, "out of memory for the store: stopping");
    if (update->n_ops > 0 && shell->control)
        control_hold(shell->control, store_is_full(shell->store));
    for (size_t i = 0; i < update->n_answers; i++)
        control_answer(shell->control, &update->answers[i]);
    arm_wake(shell, update->wake);
}

static void step_once(struct shell *shell, struct node_event *event) {
    struct node_update update = {.wake = MONO_NEVER};
    event->now.mono = shell_now(shell);
    event->now.wall = wall_of_step(shell);
    node_step(shell->node, event, &update);
    carry_out(shell, &update);
}

void shell_step(struct shell *shell, struct node_event *event) {
    assert(!shell->stepping);
    shell->stepping = true;
    step_once(shell, event);
    for (size_t i = 0; i < shell->n_gone; i++)
        step_once(shell, &(struct node_event){.kind = EVENT_CLIENT_GONE, .client = shell->gone[i]});
    shell->n_gone = 0;
    shell->stepping = false;
}

/* ---- What happens ---- */

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events) {
    struct shell *shell = ev_userdata(loop);
    size_t socket = (size_t)(watcher - shell->readable);
    struct datagram datagrams[UDP_BATCH];
    size_t n;
    bool late = excuse(shell, LATE_US);
    (void)events;
    for (size_t i = 0; i < DATAGRAMS_A_TURN || udp_is_holding(shell->udp, socket); i += n) {
        n = udp_receive(shell->udp, socket, datagrams);
        if (late)
            excuse(shell, 0);
        if (n > 0)
            shell_step(shell, &(struct node_event){.kind = EVENT_DATAGRAMS,
                                                   .datagrams = {.v = datagrams, .n = n}});
        if (!udp_may_have_more(shell->udp, socket))
            return;
    }
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events) {
    struct shell *shell = ev_userdata(loop);
    size_t socket = (size_t)(watcher - shell->writable);
    (void)events;
    udp_flush(shell->udp, socket);
    if (udp_wants_write(shell->udp, socket))
        return;
    ev_io_stop(loop, watcher);
    bool any = false;
    for (size_t i = 0; i < udp_n_sockets(shell->udp); i++)
        any = any || udp_wants_write(shell->udp, i);
    if (shell->leaving && !any)
        ev_break(loop, EVBREAK_ALL);
}

static void on_wake(struct ev_loop *loop, ev_timer *watcher, int events) {
    struct shell *shell = ev_userdata(loop);
    (void)watcher, (void)events;
    if (mono_is_due(shell->wake_at, shell_now(shell)))
        shell_step(shell, &(struct node_event){.kind = EVENT_TIMER});
    else /* libev's clock and ours differ a little: wait on */
        arm_wake(shell, shell->wake_at);
}

static void on_stored(struct ev_loop *loop, ev_async *watcher, int events) {
    struct shell *shell = ev_userdata(loop);
    struct store_result results[RESULTS_A_TURN];
    size_t n;
    (void)watcher, (void)events;
    while (!shell->leaving && (n = store_collect(shell->store, results, RESULTS_A_TURN)) > 0) {
        shell_step(shell,
                   &(struct node_event){.kind = EVENT_STORED, .stored = {.v = results, .n = n}});
        store_release(shell->store);
    }
    if (!shell->leaving)
        control_hold(shell->control, store_is_full(shell->store));
}

/* Log a name when it begins to fail, and when it is found again. In between the doctor reports
 * it. */
static void tell_names(struct shell *shell) {
    struct host_report host;
    while (resolve_news(shell->resolve, &host)) {
        if (!shell_has_peer(&shell->config->peers, host.name))
            continue;
        if (host.why[0] != '\0')
            log_warning(&shell->log,
                        "the peer %s cannot be looked up: %s; it is tried again, and p2pctl doctor "
                        "says when",
                        host.name, host.why);
        else
            log_info(&shell->log, "the peer %s is found", host.name);
    }
}

static void on_resolved(struct ev_loop *loop, ev_async *watcher, int events) {
    struct shell *shell = ev_userdata(loop);
    struct node_event event = {.kind = EVENT_BOOTSTRAP};
    (void)watcher, (void)events;
    if (!shell->leaving)
        tell_names(shell);
    while (!shell->leaving && resolve_collect(shell->resolve, &event.bootstrap))
        shell_step(shell, &event);
}

/* While links are lacking, look up the peers' names anew: they may lead elsewhere by now. */
static void on_refresh(struct ev_loop *loop, ev_timer *watcher, int events) {
    struct shell *shell = ev_userdata(loop);
    uint64_t prefixes[TOPOLOGY_DEGREE_MAX + 2];
    (void)watcher, (void)events;
    if (node_neighbours(shell->node, prefixes) < (size_t)shell->config->pool_min)
        resolve_refresh(shell->resolve);
}

static void on_tend(struct ev_loop *loop, ev_timer *watcher, int events) {
    (void)watcher, (void)events;
    shell_tend(ev_userdata(loop));
}

static void on_backed_up(struct ev_loop *loop, ev_async *watcher, int events) {
    struct shell *shell = ev_userdata(loop);
    char error[FAILURE_MAX];
    uint64_t client;
    int fd;
    (void)watcher, (void)events;
    while (!shell->leaving && backup_collect(shell->backup, &client, &fd, error))
        control_answer_fd(shell->control, client, fd, fd < 0 ? error : "");
}

static void on_watchdog(struct ev_loop *loop, ev_timer *watcher, int events) {
    struct shell *shell = ev_userdata(loop);
    (void)watcher, (void)events;
    notify_watchdog(&shell->notify);
}

static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int events) {
    (void)watcher, (void)events;
    ev_break(loop, EVBREAK_ALL);
}

void shell_wake_stored(void *context) {
    struct shell *shell = context;
    ev_async_send(shell->loop, &shell->stored);
}

void shell_wake_resolved(void *context) {
    struct shell *shell = context;
    ev_async_send(shell->loop, &shell->resolved);
}

void shell_network_changed(void *context) {
    struct shell *shell = context;
    if (shell->leaving)
        return;
    log_debug(&shell->log, "the network has changed: asking all neighbours");
    shell_tend(shell); /* an address may have come to this machine */
    shell_step(shell, &(struct node_event){.kind = EVENT_NETWORK_CHANGED});
    resolve_refresh(shell->resolve);
}

void shell_wake_backed_up(void *context) {
    struct shell *shell = context;
    ev_async_send(shell->loop, &shell->backed_up);
}

/* ---- The control socket's side ---- */

/* The names that cannot be looked up, without those that a reload has removed. */
static size_t failing_peers(struct shell *shell, struct host_report reports[CONFIG_HOSTS_MAX]) {
    size_t n = 0, all = resolve_failing(shell->resolve, reports, CONFIG_HOSTS_MAX);
    for (size_t i = 0; i < all; i++)
        if (shell_has_peer(&shell->config->peers, reports[i].name))
            reports[n++] = reports[i];
    return n;
}

static void ask_doctor(struct shell *shell, const struct request *request) {
    struct host_report reports[CONFIG_HOSTS_MAX];
    struct node_event event = {.kind = EVENT_REQUEST, .request = *request};
    event.request.doctor.hosts = reports;
    event.request.doctor.n_hosts = failing_peers(shell, reports);
    shell_step(shell, &event);
}

static void on_request(void *context, const struct request *request) {
    struct shell *shell = context;
    if (!shell->leaving && request->kind == REQUEST_DOCTOR)
        ask_doctor(shell, request);
    else if (!shell->leaving)
        shell_step(shell, &(struct node_event){.kind = EVENT_REQUEST, .request = *request});
}

static void on_client_gone(void *context, uint64_t client) {
    struct shell *shell = context;
    if (shell->leaving)
        return;
    if (!shell->stepping) {
        shell_step(shell, &(struct node_event){.kind = EVENT_CLIENT_GONE, .client = client});
        return;
    }
    /* Each request's client goes once, and no request is added during a step. */
    assert(shell->n_gone < CONTROL_REQUESTS_MAX);
    shell->gone[shell->n_gone++] = client;
}

static void leave(struct shell *shell) {
    if (shell->leaving)
        return;
    process_end_within(END_S);
    log_info(&shell->log, "leaving the network");
    notify_stopping(&shell->notify);
    shell_step(shell, &(struct node_event){.kind = EVENT_LEAVE});
    shell->leaving = true;
    ev_timer_stop(shell->loop, &shell->wake);
    bool waiting = false;
    for (size_t i = 0; i < udp_n_sockets(shell->udp); i++) {
        ev_io_stop(shell->loop, &shell->readable[i]);
        waiting = waiting || udp_wants_write(shell->udp, i);
    }
    if (!waiting)
        ev_break(shell->loop, EVBREAK_ALL);
    ev_timer_set(&shell->deadline, FLUSH_S, 0);
    ev_timer_start(shell->loop, &shell->deadline);
}

static void on_command(void *context, enum control_command command, uint64_t client) {
    struct shell *shell = context;
    struct answer answer = {.client = client, .kind = ANSWER_TEXT, .end = true};
    char error[FAILURE_MAX];
    if (command == CONTROL_RELOAD && shell_reload(shell, error) < 0) {
        answer.code = ANSWER_FAILED;
        snprintf(answer.text, sizeof answer.text, "%.*s", (int)sizeof answer.text - 1, error);
    }
    control_answer(shell->control, &answer);
    if (command == CONTROL_STOP)
        leave(shell);
}

/* Called on the backup's thread. */
int shell_snapshot(void *context, const char *path, char error[FAILURE_MAX]) {
    struct shell *shell = context;
    return store_snapshot(shell->store, path, error);
}

static void on_backup(void *context, uint64_t client, const uint8_t *passphrase, size_t length) {
    struct shell *shell = context;
    int r = shell->leaving ? -ECANCELED : backup_start(shell->backup, client, passphrase, length);
    char words[ERROR_WORDS_MAX];
    error_words(r, words);
    if (r < 0)
        control_answer_fd(shell->control, client, r,
                          r == -EBUSY       ? "another backup is being made"
                          : r == -ECANCELED ? "the daemon is stopping"
                                            : words);
}

static int on_spool_create(void *context, char ret_name[SPOOL_NAME_MAX + 1], int *ret_fd) {
    const struct shell *shell = context;
    return spool_create(&shell->spool, ret_name, ret_fd);
}

static void on_spool_remove(void *context, const char *name) {
    const struct shell *shell = context;
    spool_remove(&shell->spool, name); /* a file that cannot be removed goes at the next start */
}

const struct control_sink shell_sink = {.request = on_request,
                                        .client_gone = on_client_gone,
                                        .command = on_command,
                                        .backup = on_backup,
                                        .spool_create = on_spool_create,
                                        .spool_remove = on_spool_remove};

/* ---- Signals ---- */

static void on_end(struct ev_loop *loop, ev_signal *watcher, int events) {
    (void)watcher, (void)events;
    leave(ev_userdata(loop));
}

static void on_hangup(struct ev_loop *loop, ev_signal *watcher, int events) {
    struct shell *shell = ev_userdata(loop);
    char error[FAILURE_MAX];
    (void)watcher, (void)events;
    if (!shell->leaving)
        shell_reload(shell, error); /* logs its own failure */
}

/* libev's own handler only makes a note for the loop. If the loop hangs, the alarm set here still
 * ends us. */
static void end_signal(int number) {
    process_end_within(END_S);
    ev_feed_signal(number);
}

static void watch_signals(struct shell *shell) {
    struct sigaction action = {.sa_handler = end_signal, .sa_flags = SA_RESTART};
    ev_signal_init(&shell->terminate, on_end, SIGTERM);
    ev_signal_init(&shell->interrupt, on_end, SIGINT);
    ev_signal_init(&shell->hangup, on_hangup, SIGHUP);
    ev_signal_start(shell->loop, &shell->terminate);
    ev_signal_start(shell->loop, &shell->interrupt);
    ev_signal_start(shell->loop, &shell->hangup);
    sigfillset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

/* ---- Watchers ---- */

void shell_watch_sockets(struct shell *shell) {
    for (size_t i = shell->n_watched; i < udp_n_sockets(shell->udp); i++) {
        ev_io_init(&shell->readable[i], on_readable, udp_fd(shell->udp, i), EV_READ);
        ev_io_init(&shell->writable[i], on_writable, udp_fd(shell->udp, i), EV_WRITE);
        ev_io_start(shell->loop, &shell->readable[i]);
    }
    shell->n_watched = udp_n_sockets(shell->udp);
}

void shell_watch(struct shell *shell) {
    ev_set_userdata(shell->loop, shell);
    shell_watch_sockets(shell);
    ev_timer_init(&shell->wake, on_wake, 0, 0);
    /* Datagrams that have come are taken before time-outs. */
    ev_set_priority(&shell->wake, EV_MINPRI);
    ev_timer_init(&shell->deadline, on_deadline, 0, 0);
    ev_timer_init(&shell->refresh, on_refresh, REFRESH_S, REFRESH_S);
    ev_timer_start(shell->loop, &shell->refresh);
    ev_timer_init(&shell->tend, on_tend, TEND_S, TEND_S);
    ev_timer_start(shell->loop, &shell->tend);
    ev_async_init(&shell->stored, on_stored);
    ev_async_init(&shell->resolved, on_resolved);
    ev_async_start(shell->loop, &shell->stored);
    ev_async_start(shell->loop, &shell->resolved);
    ev_async_init(&shell->backed_up, on_backed_up);
    ev_async_start(shell->loop, &shell->backed_up);
    if (shell->notify.watchdog_us >
        0) { /* twice in the interval, as sd_watchdog_enabled(3) advises */
        double interval = (double)shell->notify.watchdog_us / (double)US_PER_S / 2;
        ev_timer_init(&shell->watchdog, on_watchdog, interval, interval);
        ev_timer_start(shell->loop, &shell->watchdog);
    }
    watch_signals(shell);
}

int shell_run(struct shell *shell) {
    shell_tend(shell); /* reports what is wrong from the beginning */
    shell_check_memory(shell);
    ev_run(shell->loop, 0);
    return shell->exit_code;
}
