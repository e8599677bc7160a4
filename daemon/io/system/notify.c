/* See notify.h. */
#include "daemon/io/system/notify.h"

#include "shared/portable.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int64_t read_number(const char *name) {
    const char *text = getenv(name);
    if (!text || !*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 18)
        return 0;
    return strtoll(text, NULL, 10);
}

/* The watchdog interval is meant for one process: a child that inherits the variable is not that
 * process. */
static int64_t read_watchdog(void) {
    int64_t pid = read_number("WATCHDOG_PID");
    return pid != 0 && pid != getpid() ? 0 : read_number("WATCHDOG_USEC");
}

void notify_init(struct notify *notify) {
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path ? strlen(path) : 0;
    *notify = (struct notify){.fd = -1, .address.sun_family = AF_UNIX};
    if (length < 2 || length > sizeof notify->address.sun_path - 1 ||
        (*path != '/' && *path != '@'))
        return;
    memcpy(notify->address.sun_path, path, length);
    if (*path == '@')
        notify->address.sun_path[0] = '\0';
    notify->address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (*path == '/')
        notify->address_length++; /* a path includes its NUL, an abstract name has none */
    notify->fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (notify->fd < 0)
        return;
    fcntl(notify->fd, F_SETFD, FD_CLOEXEC);
    notify->watchdog_us = read_watchdog();
}

void notify_deinit(struct notify *notify) {
    if (notify->fd >= 0)
        close(notify->fd);
    notify->fd = -1;
}

static int __attribute__((format(printf, 2, 3)))
send_state(const struct notify *notify, const char *format, ...) {
    char text[512];
    va_list args;
    if (notify->fd < 0)
        return 0;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ssize_t n = sendto(notify->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
                       (const struct sockaddr *)&notify->address, notify->address_length);
    return n < 0 ? -errno : 0;
}

int notify_ready(const struct notify *notify, const char *status) {
    return send_state(notify, "READY=1\nSTATUS=%s", status);
}

int notify_status(const struct notify *notify, const char *status) {
    return send_state(notify, "STATUS=%s", status);
}

int notify_reloading(const struct notify *notify, int64_t monotonic_us) {
    return send_state(notify, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, monotonic_us);
}

int notify_stopping(const struct notify *notify) {
    return send_state(notify, "STOPPING=1\nSTATUS=leaving the network");
}

int notify_watchdog(const struct notify *notify) {
    return send_state(notify, "WATCHDOG=1");
}
