/* What the daemon depends on belongs to the machine: a cleaner of /tmp removes its socket, somebody
 * moves its folder, nobody reads its log. The daemon would run on and be of no use. So it looks
 * regularly, mends what it can, logs each problem once, and tells the doctor for as long as it
 * lasts. */
#include "daemon/io/shell/shell_private.h"
#include "daemon/io/system/memory_lock.h"
#include "daemon/io/system/process.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const topics[MACHINE_TOPICS] = {
    [MACHINE_MEMORY] = "memory", [MACHINE_ADDRESS] = "address", [MACHINE_SOCKET] = "socket",
    [MACHINE_STATE] = "state",   [MACHINE_FILES] = "files",     [MACHINE_LOG] = "log",
    [MACHINE_PATH] = "path"};

void shell_tell_machine(struct shell *shell, enum machine_topic topic, enum finding_level level,
                        const char *text) {
    struct finding *last = &shell->machine[topic];
    struct finding finding = {.level = *text ? level : FINDING_OK, .topic = topics[topic]};
    snprintf(finding.text, sizeof finding.text, "%s", text);
    if (finding.level == last->level && strcmp(finding.text, last->text) == 0)
        return;
    if (topic == MACHINE_LOG) {
        /* Nothing is logged: the log itself says where lines are missing. */
    } else if (*text) {
        log_warning(&shell->log, "%s", text);
    } else {
        log_info(&shell->log, "no more: %s", last->text);
    }
    *last = finding;
    shell_step(shell, &(struct node_event){.kind = EVENT_MACHINE,
                                           .machine = {.topic = topic, .finding = last}});
}

static void tend_socket(struct shell *shell) {
    char error[FAILURE_MAX] = "", text[FAILURE_MAX];
    int r = control_tend(shell->control, error);
    if (r > 0)
        log_warning(&shell->log, "the socket %s was removed: made it again",
                    shell->config->control_socket);
    snprintf(text, sizeof text, "p2pctl cannot reach this daemon: %.200s", error);
    if (r >= 0) /* it is there: can those it is meant for reach it? */
        snprintf(text, sizeof text, "%s", control_check(shell->control, error) < 0 ? error : "");
    shell_tell_machine(shell, MACHINE_SOCKET, r < 0 ? FINDING_TROUBLE : FINDING_NOTE, text);
}

static void tend_state(struct shell *shell) {
    char error[FAILURE_MAX];
    int r = state_check(shell->state, error);
    shell_tell_machine(shell, MACHINE_STATE, FINDING_TROUBLE, r < 0 ? error : "");
}

/* files.directory is made when the first file comes: could it be made, and could files be written
 * there? */
static void tend_files(struct shell *shell) {
    char text[512] = "", above[CONFIG_PATH_MAX];
    const char *path = shell->config->files_directory;
    snprintf(above, sizeof above, "%s", path);
    char *slash = strrchr(above, '/');
    if (slash)
        slash[slash == above] = '\0';
    int error = 0;
    struct stat st;
    if (stat(path, &st) == 0)
        error = !S_ISDIR(st.st_mode) ? ENOTDIR : access(path, W_OK | X_OK) < 0 ? errno : 0;
    else
        error = errno != ENOENT ? errno : access(above, W_OK | X_OK) < 0 ? errno : 0;
    if (error != 0 && shell->config->files_accept != FILES_NONE)
        snprintf(text, sizeof text,
                 "files.directory: %.200s: %s: files from others wait with their senders", path,
                 strerror(error));
    shell_tell_machine(shell, MACHINE_FILES, FINDING_TROUBLE, text);
}

static void tend_log(struct shell *shell) {
    char text[FAILURE_MAX];
    uint64_t lost = log_queue_lost(shell->log_queue);
    if (lost == shell->log_lost)
        return;
    shell->log_lost = lost;
    snprintf(text, sizeof text,
             "%" PRIu64 " lines of the log are lost so far: what it goes to is full, or whoever "
             "reads it does not keep up",
             lost);
    shell_tell_machine(shell, MACHINE_LOG, FINDING_NOTE, text);
}

/* Listen on addresses that have come, and introduce the peers again: while there was no address
 * they could not be reached. */
static void start_listening(struct shell *shell, size_t from) {
    const struct config_hosts *peers = &shell->config->peers;
    shell_watch_sockets(shell);
    for (size_t i = from; i < udp_n_sockets(shell->udp); i++) {
        char text[ADDRESS_TEXT_MAX];
        address_format(udp_bound(shell->udp, i), true, text);
        log_info(&shell->log, "%s has come: listening on it", text);
    }
    shell_step(shell, &(struct node_event){.kind = EVENT_NETWORK_CHANGED});
    for (size_t i = 0; i < peers->n; i++)
        shell_introduce(shell, peers->v[i]);
}

static void tend_addresses(struct shell *shell) {
    char place[ADDRESS_TEXT_MAX], text[FAILURE_MAX] = "";
    size_t before = udp_n_sockets(shell->udp);
    struct address address;
    int error;
    if (udp_retry(shell->udp) > 0)
        start_listening(shell, before);
    if (udp_find_missing(shell->udp, &address, &error)) {
        address_format(&address, true, place);
        snprintf(text, sizeof text,
                 "network.listen: %s %s: nobody reaches this node there. If it is right, it is "
                 "listened on as soon as it comes",
                 place,
                 error == -EADDRNOTAVAIL ? "is not an address of this machine now"
                                         : strerror(-error));
    }
    shell_tell_machine(shell, MACHINE_ADDRESS, FINDING_TROUBLE, text);
}

/* Report datagrams that are too large for a link on the path and may not be fragmented (IPv6). */
static void tend_path(struct shell *shell) {
    char text[FAILURE_MAX] = "", to[ADDRESS_TEXT_MAX];
    struct udp_counters c;
    udp_counters(shell->udp, &c);
    address_format(&c.too_large_to, false, to);
    if (c.too_large > shell->too_large)
        snprintf(text, sizeof text,
                 "datagrams of %d bytes do not get through to %s: the MTU on the path is below "
                 "1280. Raise it, or take another way there",
                 DATAGRAM_LEN, to);
    shell->too_large = c.too_large;
    shell_tell_machine(shell, MACHINE_PATH, FINDING_TROUBLE, text);
}

static void tend_pidfile(struct shell *shell) {
    const char *path = shell->options->pidfile;
    char error[FAILURE_MAX];
    if (*path && access(path, F_OK) < 0 && errno == ENOENT &&
        process_write_pidfile(path, error) == 0)
        log_warning(&shell->log, "the pid file %s was removed: written again", path);
}

/* Called once: looking at every mapping costs a millisecond, and what is locked stays locked. */
void shell_check_memory(struct shell *shell) {
    if (memory_lock_is_missing())
        shell_tell_machine(shell, MACHINE_MEMORY, FINDING_TROUBLE,
                           "keys are not locked in memory and may reach the swap: raise the limit "
                           "(ulimit -l, or LimitMEMLOCK= in systemd) to 64 MB and restart p2pd, or "
                           "encrypt the swap");
}

void shell_tend(struct shell *shell) {
    if (shell->leaving)
        return;
    tend_socket(shell);
    tend_addresses(shell);
    tend_state(shell);
    tend_files(shell);
    tend_log(shell);
    tend_path(shell);
    tend_pidfile(shell);
}
