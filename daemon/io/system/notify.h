/* Telling init how the daemon is: the protocol of sd_notify(3), spoken by hand so that no library
 * is needed. Without NOTIFY_SOCKET all functions here do nothing. */
#ifndef P2PD_NOTIFY_H
#define P2PD_NOTIFY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
    int fd; /* -1: nobody listens */
    struct sockaddr_un address;
    socklen_t address_length;
    int64_t watchdog_us; /* notify_watchdog() must be called within this time; 0: not wanted */
};

/* From NOTIFY_SOCKET (a path, or an abstract name after '@'), WATCHDOG_USEC and WATCHDOG_PID.
 * What cannot be understood is taken as absent. */
void notify_init(struct notify *notify);
void notify_deinit(struct notify *notify);

/* None of these blocks. 0, or negative errno, which callers may ignore. */
int notify_ready(const struct notify *notify, const char *status);
int notify_status(const struct notify *notify, const char *status);
/* Between this and the next notify_ready the unit is "reloading". `monotonic_us` is
 * CLOCK_MONOTONIC's now. */
int notify_reloading(const struct notify *notify, int64_t monotonic_us);
int notify_stopping(const struct notify *notify);
int notify_watchdog(const struct notify *notify);

#endif
