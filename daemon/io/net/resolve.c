/* See resolve.h. The structure is shared by the thread and the loop; whichever ends last frees
 * it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "daemon/io/net/resolve.h"
#include "daemon/io/system/process.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HOSTS_MAX 64
#define FOUND_MAX 64
#define ADDRESSES_EACH 4 /* of one name; more would let one name fill the pool's list */
#define HOST_LEN 264
#define WHY_LEN 96
#define PAUSE_FIRST_S 1
#define PAUSE_MAX_S 300

struct host {
    char text[HOST_LEN]; /* as configured */
    char name[HOST_LEN];
    char why[WHY_LEN]; /* why it cannot be looked up; "": it can */
    bool is_news;
    struct timespec failing; /* CLOCK_MONOTONIC: when the first of the failures in a row was */
    uint16_t port;
    bool done;
    int pause_s;
    /* CLOCK_REALTIME, as pthread_cond_timedwait wants it. If that clock is set, only a retry
     * moves. */
    time_t due;
};
struct resolve {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool has_thread, closed;
    void (*wake)(void *context);
    void *context;
    struct host hosts[HOSTS_MAX];
    size_t n_hosts;
    struct address found[FOUND_MAX];
    size_t n_found;
};

struct resolve *resolve_new(void (*wake)(void *context), void *context) {
    struct resolve *resolve = calloc(1, sizeof *resolve);
    if (!resolve)
        return NULL;
    pthread_mutex_init(&resolve->lock, NULL);
    pthread_cond_init(&resolve->changed, NULL);
    resolve->wake = wake;
    resolve->context = context;
    return resolve;
}

static void destroy(struct resolve *resolve) {
    pthread_cond_destroy(&resolve->changed);
    pthread_mutex_destroy(&resolve->lock);
    free(resolve);
}

void resolve_free(struct resolve *resolve) {
    if (!resolve)
        return;
    pthread_mutex_lock(&resolve->lock);
    resolve->closed = true;
    bool last = !resolve->has_thread;
    pthread_cond_signal(&resolve->changed);
    pthread_mutex_unlock(&resolve->lock);
    if (last)
        destroy(resolve);
}

/* ---- The thread ---- */

static bool to_address(const struct addrinfo *info, uint16_t port, struct address *ret_address) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    ret_address->port = port;
    if (info->ai_family == AF_INET) {
        memcpy(ret_address->ip, mapped, sizeof mapped);
        memcpy(ret_address->ip + 12,
               &((const struct sockaddr_in *)(const void *)info->ai_addr)->sin_addr, 4);
    } else if (info->ai_family == AF_INET6) {
        memcpy(ret_address->ip,
               &((const struct sockaddr_in6 *)(const void *)info->ai_addr)->sin6_addr, 16);
    }
    return info->ai_family == AF_INET || info->ai_family == AF_INET6;
}

static void set_why(char why[WHY_LEN], int error, int system) {
    bool is_system = false;
#ifdef EAI_SYSTEM
    is_system = error == EAI_SYSTEM;
#endif
    snprintf(why, WHY_LEN, "%s", is_system ? strerror(system) : gai_strerror(error));
}

static size_t look_up(const struct host *host, struct address found[ADDRESSES_EACH],
                      char ret_why[WHY_LEN]) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *list = NULL;
    size_t n = 0;
    int error = getaddrinfo(host->name, NULL, &hints, &list);
    if (error != 0) {
        set_why(ret_why, error, errno);
        return 0;
    }
    for (const struct addrinfo *info = list; info && n < ADDRESSES_EACH; info = info->ai_next)
        n += to_address(info, host->port, &found[n]);
    freeaddrinfo(list);
    snprintf(ret_why, WHY_LEN, "%s", n > 0 ? "" : "it has no IP address");
    return n;
}

/* The host whose turn is next, or NULL: all are done. */
static struct host *next_host(struct resolve *resolve) {
    struct host *next = NULL;
    for (size_t i = 0; i < resolve->n_hosts; i++) {
        struct host *host = &resolve->hosts[i];
        if (!host->done && (!next || host->due < next->due))
            next = host;
    }
    return next;
}

/* Wait until a host is due. NULL: closed. */
static struct host *wait_for_host(struct resolve *resolve) {
    while (!resolve->closed) {
        struct host *host = next_host(resolve);
        struct timespec now, until = {0};
        clock_gettime(CLOCK_REALTIME, &now);
        if (host && host->due <= now.tv_sec)
            return host;
        until.tv_sec = host ? host->due : 0;
        if (host)
            pthread_cond_timedwait(&resolve->changed, &resolve->lock, &until);
        else
            pthread_cond_wait(&resolve->changed, &resolve->lock);
    }
    return NULL;
}

/* Note why the name cannot be looked up ("": it can). True: that has changed. */
static bool note_why(struct host *host, const char why[WHY_LEN]) {
    if (strcmp(host->why, why) == 0)
        return false;
    if (host->why[0] == '\0')
        clock_gettime(CLOCK_MONOTONIC, &host->failing);
    memcpy(host->why, why, WHY_LEN);
    host->is_news = true;
    return true;
}

static void take_found(struct resolve *resolve, struct host *host, const struct address *found,
                       size_t n) {
    for (size_t i = 0; i < n && resolve->n_found < FOUND_MAX; i++)
        resolve->found[resolve->n_found++] = found[i];
    host->done = n > 0;
    if (n > 0)
        return;
    host->due = time(NULL) + host->pause_s;
    host->pause_s = host->pause_s * 2 < PAUSE_MAX_S ? host->pause_s * 2 : PAUSE_MAX_S;
}

static void *run(void *context) {
    struct resolve *resolve = context;
    struct host *host;
    pthread_mutex_lock(&resolve->lock);
    while ((host = wait_for_host(resolve))) {
        struct address found[ADDRESSES_EACH];
        struct host question = *host;
        char why[WHY_LEN] = "";
        pthread_mutex_unlock(&resolve->lock);
        size_t n = look_up(&question, found, why);
        pthread_mutex_lock(&resolve->lock);
        take_found(resolve, host, found, n);
        bool is_news = note_why(host, why);
        /* The thread calls wake() under the lock, so that it is never called after
         * resolve_free(). */
        if ((n > 0 || is_news) && !resolve->closed)
            resolve->wake(resolve->context);
    }
    pthread_mutex_unlock(&resolve->lock);
    destroy(resolve);
    return NULL;
}

/* ---- The loop's side ---- */

/* Split HOST[:PORT]. Its form was checked with the configuration. */
static int parse_host(const char *text, struct host *ret_host) {
    const char *whole = text;
    if (strncmp(text, "udp://", 6) == 0)
        text += 6;
    size_t length = strcspn(text, ":");
    if (length == 0 || length >= HOST_LEN)
        return -EINVAL;
    *ret_host = (struct host){.pause_s = PAUSE_FIRST_S, .port = ADDRESS_PORT_DEFAULT};
    memcpy(ret_host->name, text, length);
    snprintf(ret_host->text, HOST_LEN, "%s", whole);
    if (text[length] == ':')
        ret_host->port = (uint16_t)strtoul(text + length + 1, NULL, 10);
    return 0;
}

/* Start the thread if it does not run. If that fails, every name gets the failure as its reason. */
static int start_locked(struct resolve *resolve) {
    char why[WHY_LEN] = "";
    int r = resolve->has_thread ? 0 : process_thread(run, resolve);
    resolve->has_thread = r == 0;
    if (r < 0)
        snprintf(why, sizeof why, "no thread can be started for that: %s", strerror(-r));
    for (size_t i = 0; r < 0 && i < resolve->n_hosts; i++)
        note_why(&resolve->hosts[i], why);
    return r;
}

static int add_locked(struct resolve *resolve, const struct host *host) {
    for (size_t i = 0; i < resolve->n_hosts; i++)
        if (resolve->hosts[i].port == host->port && strcmp(resolve->hosts[i].name, host->name) == 0)
            return -EEXIST;
    if (resolve->n_hosts == HOSTS_MAX)
        return -E2BIG;
    resolve->hosts[resolve->n_hosts++] = *host;
    return start_locked(resolve);
}

int resolve_add(struct resolve *resolve, const char *text) {
    struct host host;
    int r = parse_host(text, &host);
    if (r < 0)
        return r;
    pthread_mutex_lock(&resolve->lock);
    r = add_locked(resolve, &host);
    pthread_cond_signal(&resolve->changed);
    pthread_mutex_unlock(&resolve->lock);
    return r;
}

void resolve_refresh(struct resolve *resolve) {
    pthread_mutex_lock(&resolve->lock);
    for (size_t i = 0; i < resolve->n_hosts; i++) {
        resolve->hosts[i].done = false;
        resolve->hosts[i].pause_s = PAUSE_FIRST_S;
        resolve->hosts[i].due = 0;
    }
    if (resolve->n_hosts > 0)
        (void)start_locked(resolve); /* a failure is noted as the reason of each name */
    pthread_cond_signal(&resolve->changed);
    pthread_mutex_unlock(&resolve->lock);
}

static int64_t us_since(const struct timespec *then) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - then->tv_sec) * US_PER_S + (now.tv_nsec - then->tv_nsec) / 1000;
}

static struct host_report report_of(const struct host *host) {
    struct host_report report = {.failing_us = us_since(&host->failing)};
    int64_t left_s = host->due - time(NULL);
    snprintf(report.name, sizeof report.name, "%s", host->text);
    snprintf(report.why, sizeof report.why, "%s", host->why);
    report.next_us = left_s > 0 ? left_s * US_PER_S : 0;
    return report;
}

size_t resolve_failing(struct resolve *resolve, struct host_report *ret_reports, size_t max) {
    size_t n = 0;
    pthread_mutex_lock(&resolve->lock);
    for (size_t i = 0; i < resolve->n_hosts && n < max; i++)
        if (resolve->hosts[i].why[0] != '\0')
            ret_reports[n++] = report_of(&resolve->hosts[i]);
    pthread_mutex_unlock(&resolve->lock);
    return n;
}

bool resolve_news(struct resolve *resolve, struct host_report *ret_report) {
    bool any = false;
    pthread_mutex_lock(&resolve->lock);
    for (size_t i = 0; i < resolve->n_hosts && !any; i++) {
        any = resolve->hosts[i].is_news;
        if (any)
            *ret_report = report_of(&resolve->hosts[i]);
        resolve->hosts[i].is_news = false;
    }
    pthread_mutex_unlock(&resolve->lock);
    return any;
}

bool resolve_collect(struct resolve *resolve, struct address *ret_address) {
    pthread_mutex_lock(&resolve->lock);
    bool any = resolve->n_found > 0;
    if (any)
        *ret_address = resolve->found[--resolve->n_found];
    pthread_mutex_unlock(&resolve->lock);
    return any;
}
