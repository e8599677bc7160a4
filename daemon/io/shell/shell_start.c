/* Opening, closing and reading the configuration again: see shell.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "daemon/io/shell/config_check.h"
#include "daemon/io/shell/shell_private.h"
#include "daemon/io/system/process.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <sodium.h>
#include <stdlib.h>
#include <time.h>

/* ---- The configuration, as others want it ---- */

/* Random bytes from a buffer: each packet needs 32, and a system call for each took a twentieth of
 * the time of sending. Bytes that were given out are wiped. */
static void fill_random(void *context, void *buffer, size_t length) {
    struct shell_random *random = context;
    if (length > sizeof random->bytes / 4) {
        randombytes_buf(buffer, length);
        return;
    }
    if (random->left < length) {
        randombytes_buf(random->bytes, sizeof random->bytes);
        random->left = sizeof random->bytes;
    }
    random->left -= length;
    memcpy(buffer, random->bytes + random->left, length);
    sodium_memzero(random->bytes + random->left, length);
}

static void trace_line(void *context, enum trace_level level, const char *text) {
    log_text(context, (enum log_level)level, text);
}

void shell_node_config(struct shell *shell, struct node_config *ret_config) {
    const struct config *c = shell->config;
    node_config_init(ret_config);
    memcpy(ret_config->name, c->name, sizeof c->name);
    ret_config->relay = c->relay;
    ret_config->advertise = c->advertise.v;
    ret_config->n_advertise = c->advertise.n;
    ret_config->pool_min = (unsigned)c->pool_min;
    ret_config->pool_max = (unsigned)c->pool_max;
    ret_config->pool_spare = (unsigned)c->pool_spare;
    ret_config->link_heartbeat_us = c->link_heartbeat_us;
    ret_config->link_timeout_us = c->link_timeout_us;
    ret_config->route_relays = (unsigned)c->route_relays;
    ret_config->route_guards = (unsigned)c->route_guards;
    ret_config->route_strict = c->route_strict;
    ret_config->route_reuse = c->route_reuse;
    ret_config->relay_rate = (uint64_t)c->relay_rate;
    ret_config->relay_month = (uint64_t)c->relay_month;
    ret_config->relay_paths = (uint32_t)c->relay_paths;
    ret_config->directory_max = (size_t)c->directory_max;
    ret_config->memory_max = (size_t)c->memory_max;
    ret_config->droplist_entries = (size_t)c->droplist_entries;
    ret_config->delivery_expire_us = c->delivery_expire_us;
    ret_config->store_retention_us = c->retention_us;
    ret_config->message_max = (size_t)c->message_max;
    ret_config->inbox_accept = (enum inbox_accept)c->inbox_accept;
    ret_config->files_accept = (enum files_accept)c->files_accept;
    ret_config->inbox_quota = (uint64_t)c->inbox_quota;
    ret_config->inbox_max = (uint64_t)c->inbox_max;
    ret_config->files_quota = (uint64_t)c->files_quota;
    ret_config->files_max = (uint64_t)c->files_max;
    ret_config->network_open = c->network_is_open;
    ret_config->inbox_free = (uint8_t)c->inbox_free;
    ret_config->files_free = (uint8_t)c->files_free;
    ret_config->mailbox_size = (uint64_t)c->mailbox_size;
    ret_config->mailbox_use = (unsigned)c->mailbox_use;
    ret_config->random = (struct core_random){fill_random, &shell->random};
    ret_config->trace =
        (struct core_trace){(enum trace_level)c->log_level, trace_line, &shell->log};
}

static int find_group(const char *name, gid_t *ret_gid, char error[FAILURE_MAX]) {
    *ret_gid = CONTROL_GID_NONE;
    if (*name == '\0')
        return 0;
    errno = 0;
    const struct group *group = getgrnam(name);
    if (!group)
        return failure(error, -EINVAL, "control.group: there is no group %s", name);
    *ret_gid = group->gr_gid;
    return 0;
}

static int control_config_of(const struct config *config, struct control_config *ret_config,
                             char error[FAILURE_MAX]) {
    *ret_config = (struct control_config){
        .path = config->control_socket,
        .mode = (mode_t)config->control_mode,
        .message_max = (size_t)config->message_max,
        .state_locked = true,
    };
    return find_group(config->control_group, &ret_config->gid, error);
}

/* ---- Peers ---- */

/* The address of a configured peer; false: it is a name. */
static bool peer_address(const char *host, struct address *ret_address) {
    if (address_parse(host, ret_address) < 0)
        return false;
    if (ret_address->port == 0)
        ret_address->port = ADDRESS_PORT_DEFAULT;
    return true;
}

void shell_introduce(struct shell *shell, const char *host) {
    struct node_event event = {.kind = EVENT_BOOTSTRAP};
    if (peer_address(host, &event.bootstrap)) {
        shell_step(shell, &event);
        return;
    }
    int r = resolve_add(shell->resolve, host);
    if (r < 0 && r != -EEXIST)
        log_warning(&shell->log, "peer %s: cannot look it up: %s", host, strerror(-r));
}

bool shell_has_peer(const struct config_hosts *peers, const char *host) {
    for (size_t i = 0; i < peers->n; i++)
        if (strcmp(peers->v[i], host) == 0)
            return true;
    return false;
}

/* ---- Opening ---- */

static int open_keys(struct shell *shell, struct state_secrets *secrets, char error[FAILURE_MAX]) {
    int r = state_identity(shell->state, secrets, &shell->is_new, error);
    if (r < 0)
        return r;
    if (shell->is_new)
        log_info(&shell->log, "first start: made a new identity in %s", shell->config->state);
    notify_status(&shell->notify, "deriving the network key");
    return state_network_key(shell->state, secrets, shell->config->network_name,
                             shell->config->network_secret_file, error);
}

static int open_store(struct shell *shell, char error[FAILURE_MAX]) {
    char path[CONFIG_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/messages.db", shell->config->state);
    struct store_config config = {path, shell->config->state, shell->config->files_directory, NULL};
    int r = store_open(&shell->store, &config, error);
    if (r < 0)
        return r;
    r = spool_init(&shell->spool, shell->config->state);
    return r < 0 ? failure(error, r, "%s/spool: %s", shell->config->state, strerror(-r)) : 0;
}

static int new_node(struct shell *shell, const struct state_secrets *secrets,
                    struct node_config *config, char error[FAILURE_MAX]) {
    struct node_boot boot = {0};
    struct address bootstrap[CONFIG_HOSTS_MAX];
    const struct config_hosts *peers = &shell->config->peers;
    int64_t threads = shell->config->threads;
    shell->workers = workers_new(threads > 0 ? (unsigned)threads : workers_default());
    if (!shell->workers)
        return failure(error, -ENOMEM, "out of memory for threads");
    int r = store_load(shell->store, &boot);
    if (r < 0)
        return failure(error, r, "%s/messages.db: %s", shell->config->state, strerror(-r));
    shell_node_config(shell, config);
    memcpy(config->node_seed, secrets->node_seed, KEY_LEN);
    memcpy(config->link_secret, secrets->link_secret, KEY_LEN);
    memcpy(config->network_key, secrets->network_key, KEY_LEN);
    config->compute = workers_compute(shell->workers);
    config->bootstrap = bootstrap;
    for (size_t i = 0; i < peers->n; i++)
        config->n_bootstrap += peer_address(peers->v[i], &bootstrap[config->n_bootstrap]);
    shell->node = node_new(config, &boot, (struct now){shell_mono(), shell_wall(shell)});
    store_load_free(shell->store);
    return shell->node ? 0 : failure(error, -ENOMEM, "out of memory for the node");
}

/* Open keys and node: everything that touches the secrets, with one exit that wipes them. */
static int open_node(struct shell *shell, char error[FAILURE_MAX]) {
    struct state_secrets *secrets = state_secrets_new();
    struct node_config *config = sodium_malloc(sizeof *config);
    int r = secrets && config ? 0 : failure(error, -ENOMEM, "out of locked memory (ulimit -l)");
    if (r == 0)
        r = open_keys(shell, secrets, error);
    if (r == 0)
        r = udp_open(&shell->udp, shell->config->listen.v, shell->config->listen.n,
                     shell->config->listen_by_default, error);
    if (r == 0)
        r = open_store(shell, error);
    if (r == 0)
        r = new_node(shell, secrets, config, error);
    sodium_free(config);
    state_secrets_free(secrets);
    return r;
}

static int start_store(struct shell *shell, char error[FAILURE_MAX]) {
    int r = store_start(shell->store, shell_wake_stored, shell);
    char words[ERROR_WORDS_MAX];
    error_words(r, words);
    return r < 0 ? failure(error, r, "cannot start the store: %s", words) : 0;
}

/* Descriptors that are kept for temporary use: the resolver, a backup, the watch on the network, a
 * file that a client sends or fetches. */
#define FILES_IN_PASSING 8

/* Share the descriptors that are left once all is open: half for clients, half for the store's
 * files. */
static void share_descriptors(struct shell *shell, struct control_config *config) {
    size_t max = process_files_max();
    size_t used = process_files_open() + FILES_IN_PASSING + CONTROL_RESERVED;
    size_t left = max > used ? max - used : 0;
    config->clients_max = left / 2 > 1 ? left / 2 : 1;
    store_limit_files(shell->store, left - left / 2);
    if (config->clients_max < CONTROL_CLIENTS_MAX)
        log_warning(&shell->log,
                    "%zu descriptors are few: %zu clients at a time (ulimit -n, LimitNOFILE)", max,
                    config->clients_max);
}

static int open_control(struct shell *shell, char error[FAILURE_MAX]) {
    struct control_config config;
    struct control_sink sink = shell_sink;
    sink.context = shell;
    int r = control_config_of(shell->config, &config, error);
    share_descriptors(shell, &config);
    return r < 0 ? r : control_open(&shell->control, shell->loop, &config, &sink, error);
}

static void format_ready(const struct shell *shell, char *ret_text, size_t room) {
    size_t length = (size_t)snprintf(ret_text, room, "ready: listening on %s",
                                     udp_n_sockets(shell->udp) == 0 ? "nothing yet, " : "");
    for (size_t i = 0; i < udp_n_sockets(shell->udp) && length < room; i++) {
        char text[ADDRESS_TEXT_MAX];
        address_format(udp_bound(shell->udp, i), true, text);
        length += (size_t)snprintf(ret_text + length, room - length, "%s, ", text);
    }
    if (length < room)
        snprintf(ret_text + length, room - length, "socket %s", shell->config->control_socket);
}

/* Tell whoever starts a node for the first time what it does without being asked. */
static void say_what_is_open(const struct shell *shell) {
    static const char *const senders[] = {[INBOX_ALL] = "anybody",
                                          [INBOX_KNOWN] = "known senders",
                                          [INBOX_ALLOWED] = "allowed senders"};
    static const char *const files[] = {
        [FILES_NONE] = "nobody", [FILES_KNOWN] = "known senders", [FILES_ALL] = "the same"};
    const struct config *c = shell->config;
    char relays[64] = "nothing is relayed for others";
    if (c->relay && c->relay_rate > 0)
        snprintf(relays, sizeof relays, "relays for others at up to %.4g MB/s",
                 (double)c->relay_rate / (1 << 20));
    else if (c->relay)
        snprintf(relays, sizeof relays, "relays for others without a bound");
    log_info(&shell->log,
             "%s; messages are taken from %s, files from %s; %s; of the disk others leave %d%% "
             "free; see p2pd.conf(5)",
             c->network_is_open ? "open network: anybody may join"
                                : "closed network: who has its secret is in",
             senders[c->inbox_accept], files[c->files_accept], relays, (int)c->disk_free);
}

static void begin(struct shell *shell) {
    char ready[512];
    const struct config_hosts *peers = &shell->config->peers;
    struct address ignored;
    /* To get the first wake-up time. */
    shell_step(shell, &(struct node_event){.kind = EVENT_TIMER});
    for (size_t i = 0; i < peers->n; i++)
        if (!peer_address(peers->v[i], &ignored))
            shell_introduce(shell, peers->v[i]);
    format_ready(shell, ready, sizeof ready);
    log_info(&shell->log, "%s", ready);
    if (shell->is_new)
        say_what_is_open(shell);
    notify_ready(&shell->notify, ready);
}

int shell_open(struct shell **ret_shell, const struct options *options, struct config *config,
               char error[FAILURE_MAX]) {
    struct shell *shell = calloc(1, sizeof *shell);
    if (!shell)
        return failure(error, -ENOMEM, "out of memory");
    shell->options = options;
    shell->config = config;
    shell->spool.folder = -1;
    log_open(&shell->log, (enum log_level)config->log_level, options->background);
    if (log_queue_start(&shell->log_queue, &shell->log) < 0)
        log_warning(&shell->log, "no thread for the log: who does not read it stops the daemon");
    notify_init(&shell->notify);
    shell->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    shell->resolve = resolve_new(shell_wake_resolved, shell);
    shell->backup = backup_new(config->state, shell_snapshot, shell_wake_backed_up, shell);
    int r = shell->loop && shell->resolve && shell->backup
                ? 0
                : failure(error, -ENOMEM, "cannot make an event loop");
    if (r == 0)
        r = state_open(&shell->state, config->state, error);
    if (r == 0)
        r = open_node(shell, error);
    if (r == 0)
        shell_watch(shell);
    if (r == 0)
        r = open_control(shell, error);
    if (r == 0)
        r = start_store(shell, error);
    if (r < 0) {
        shell_close(shell);
        return r;
    }
    /* Without netwatch, links of a network that is gone are noticed only when they fall silent. */
    r = netwatch_open(&shell->netwatch, shell->loop, shell_network_changed, shell);
    if (r < 0)
        log_debug(&shell->log, "changes of the network cannot be watched: %s", strerror(-r));
    begin(shell);
    *ret_shell = shell;
    return 0;
}

static void log_counters(const struct shell *shell) {
    struct udp_counters c;
    udp_counters(shell->udp, &c);
    log_info(&shell->log,
             "datagrams: %" PRIu64 " received, %" PRIu64 " sent, %" PRIu64 " deferred, %" PRIu64
             " dropped, %" PRIu64 " refused on sending, %" PRIu64 " on receiving, %" PRIu64
             " without a socket, %" PRIu64 " segmented, %" PRIu64 " gathered",
             c.received, c.sent, c.deferred, c.dropped, c.send_errors, c.receive_errors,
             c.no_socket, c.segmented, c.gathered);
}

/* The store first, since it must not be cut short. The socket's file is removed before the lock is
 * released: later it might be the next daemon's. */
void shell_release(struct shell *shell) {
    if (!shell)
        return;
    netwatch_close(shell->netwatch);
    resolve_free(shell->resolve);
    if (shell->store)
        store_snapshot_cancel(shell->store);
    backup_free(shell->backup);
    store_stop(shell->store);
    node_free(shell->node);
    workers_free(shell->workers);
    if (shell->udp)
        log_counters(shell);
    udp_close(shell->udp);
    control_hide(shell->control);
    spool_deinit(&shell->spool);
    state_close(shell->state);
    shell->netwatch = NULL;
    shell->resolve = NULL;
    shell->backup = NULL;
    shell->store = NULL;
    shell->node = NULL;
    shell->workers = NULL;
    shell->udp = NULL;
    shell->state = NULL;
}

void shell_close(struct shell *shell) {
    if (!shell)
        return;
    shell_release(shell);
    control_close(shell->control);
    if (shell->loop)
        ev_loop_destroy(shell->loop);
    notify_deinit(&shell->notify);
    if (log_queue_stop(shell->log_queue, &shell->log))
        log_close(&shell->log);
    sodium_memzero(&shell->random, sizeof shell->random);
    free(shell);
}

/* ---- Reading the configuration again ---- */

static void warn_fixed(void *context, const struct config_key *key) {
    struct shell *shell = context;
    log_warning(&shell->log, "%s.%s needs a restart to change: the old value stays", key->section,
                key->name);
}

static void take_over(struct shell *shell, struct config *fresh,
                      const struct control_config *control) {
    struct node_config node_config;
    struct config_hosts *before = &shell->config->peers;
    config_keep_fixed(fresh, shell->config, warn_fixed, shell);
    for (size_t i = 0; i < fresh->peers.n; i++)
        if (!shell_has_peer(before, fresh->peers.v[i]))
            shell_introduce(shell, fresh->peers.v[i]);
    *shell->config = *fresh;
    shell->log.level = (enum log_level)fresh->log_level;
    control_reconfigure(shell->control, control);
    shell_node_config(shell, &node_config);
    shell_step(shell, &(struct node_event){.kind = EVENT_RECONFIGURE, .config = &node_config});
}

static int64_t monotonic_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

/* Read the configuration. The log gets every mistake, the client that asked for the reload the
 * first one. */
static int load_again(struct shell *shell, struct config *fresh, char error[FAILURE_MAX]) {
    struct config_mistakes mistakes = {.n = 0};
    int r = config_load(&shell->options->source, fresh, &mistakes);
    for (size_t i = 1; r < 0 && i < mistakes.n; i++)
        log_error(&shell->log, "%s", mistakes.v[i]);
    return r < 0 ? failure(error, r, "%s", mistakes.v[0]) : 0;
}

/* Check what a reload may change and the system might refuse: the group. */
static int check_again(struct shell *shell, const struct config *fresh, char error[FAILURE_MAX]) {
    struct config_mistakes mistakes = {.n = 0};
    int r = config_check(&shell->options->source, fresh, CONFIG_CHECK_GROUP, &mistakes, NULL);
    return r < 0 ? failure(error, r, "%s", mistakes.v[0]) : 0;
}

int shell_reload(struct shell *shell, char error[FAILURE_MAX]) {
    struct config *fresh = malloc(sizeof *fresh);
    struct control_config control;
    shell_tend(shell);
    notify_reloading(&shell->notify, monotonic_us());
    int r = fresh ? load_again(shell, fresh, error) : failure(error, -ENOMEM, "out of memory");
    if (r == 0)
        r = check_again(shell, fresh, error);
    if (r == 0)
        r = control_config_of(fresh, &control, error);
    if (r == 0) {
        take_over(shell, fresh, &control);
        log_info(&shell->log, "configuration read again");
    } else {
        log_error(&shell->log, "%s: the old configuration stays", error);
    }
    notify_ready(&shell->notify,
                 r == 0 ? "configuration read again" : "reload failed, running as before");
    free(fresh);
    return r;
}
