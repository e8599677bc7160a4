/* What this machine does without us, as a JSON object: the floors under figures of daemons that
 * relay, store and answer. Arguments: the folder whose disk is measured, and which of them (hop,
 * commit, rows, calls, spawn; none: all). hop_us one way through a process: a round trip over a
 * chain of five UDP processes, by its eight hops commit_us a commit of SQLite with sync, one row
 * of 100 bytes; commit_p99_us rows_64, rows_1024  rows a second at so many a commit x25519_us,
 * verify_us, open_us (ChaCha20-Poly1305 of a packet): CPU spawn_us, spawn_cpu_us a process that
 * does nothing: /bin/true, from start to end */
#define _GNU_SOURCE
#include "tests/bench/figure.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sodium.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 5
#define DATAGRAM 1232
#define TRIPS 3000
#define COMMITS 300
#define PAUSE_NS 500000
#define SPAWNS 200

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* ---- A chain of processes ---- */

static int open_socket(struct sockaddr_in *ret_address) {
    socklen_t length = sizeof *ret_address;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    *ret_address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)ret_address, sizeof *ret_address) < 0 ||
        getsockname(fd, (struct sockaddr *)ret_address, &length) < 0)
        die("bench_floor: socket");
    return fd;
}

/* A process of the chain: on to the neighbour that it did not come from; the last one sends
 * back. */
static void forward_for_ever(int fd, const struct sockaddr_in *before,
                             const struct sockaddr_in *after) {
    uint8_t bytes[DATAGRAM];
    struct sockaddr_in from;
    for (;;) {
        socklen_t length = sizeof from;
        ssize_t n = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length);
        const struct sockaddr_in *to = from.sin_port == before->sin_port && after ? after : before;
        if (n > 0)
            sendto(fd, bytes, (size_t)n, 0, (const struct sockaddr *)to, sizeof *to);
    }
}

static void measure_hop(void) {
    struct sockaddr_in addresses[PROCESSES];
    int fds[PROCESSES];
    pid_t children[PROCESSES] = {0};
    static double trips[TRIPS];
    uint8_t bytes[DATAGRAM] = {0};
    for (int i = 0; i < PROCESSES; i++)
        fds[i] = open_socket(&addresses[i]);
    for (int i = 1; i < PROCESSES; i++)
        if ((children[i] = fork()) == 0)
            forward_for_ever(fds[i], &addresses[i - 1],
                             i + 1 < PROCESSES ? &addresses[i + 1] : NULL);
    for (int i = 0; i < TRIPS; i++) {
        int64_t began = now_ns();
        sendto(fds[0], bytes, sizeof bytes, 0, (struct sockaddr *)&addresses[1],
               sizeof addresses[1]);
        if (recv(fds[0], bytes, sizeof bytes, 0) < 0)
            die("bench_floor: recv");
        trips[i] = (double)(now_ns() - began) / 1e3;
    }
    for (int i = 1; i < PROCESSES; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    for (int i = 0; i < PROCESSES; i++)
        close(fds[i]);
    print_number("hop_us", median(trips, TRIPS) / (2 * (PROCESSES - 1)));
    printf(",");
}

/* ---- A disk ---- */

static sqlite3 *database;
static sqlite3_stmt *insert;

static void commit_rows(unsigned n) {
    uint8_t id[16], body[100] = {0};
    sqlite3_exec(database, "BEGIN", NULL, NULL, NULL);
    for (unsigned i = 0; i < n; i++) {
        randombytes_buf(id, sizeof id);
        sqlite3_bind_blob(insert, 1, id, sizeof id, SQLITE_STATIC);
        sqlite3_bind_blob(insert, 2, body, sizeof body, SQLITE_STATIC);
        if (sqlite3_step(insert) != SQLITE_DONE)
            die("bench_floor: insert");
        sqlite3_reset(insert);
    }
    if (sqlite3_exec(database, "COMMIT", NULL, NULL, NULL))
        die("bench_floor: commit");
}

static double rows_a_second(unsigned n) {
    double rounds[5];
    for (int i = 0; i < 5; i++) {
        int64_t began = now_ns(), elapsed;
        unsigned done = 0;
        do {
            commit_rows(n);
            done += n;
            elapsed = now_ns() - began;
        } while (elapsed < 50000000);
        rounds[i] = done * 1e9 / (double)elapsed;
    }
    return median(rounds, 5);
}

static void open_disk(const char *folder, char path[512]) {
    snprintf(path, 512, "%s/floor.db", folder);
    unlink(path);
    if (sqlite3_open(path, &database) ||
        sqlite3_exec(database,
                     "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                     "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2048;"
                     "CREATE TABLE message (row INTEGER PRIMARY KEY, id BLOB UNIQUE, body BLOB)",
                     NULL, NULL, NULL) ||
        sqlite3_prepare_v2(database, "INSERT INTO message (id, body) VALUES (?, ?)", -1, &insert,
                           NULL))
        die("bench_floor: SQLite");
    /* A log that has grown already and is written over, as that of a daemon which has been running:
     * growing it costs more. */
    commit_rows(8192);
    if (sqlite3_exec(database, "PRAGMA wal_checkpoint(RESTART)", NULL, NULL, NULL))
        die("bench_floor: checkpoint");
}

static void close_disk(const char *path) {
    sqlite3_finalize(insert);
    sqlite3_close(database);
    unlink(path);
}

static void measure_commits(const char *folder) {
    static double commits[COMMITS];
    char path[512];
    open_disk(folder, path);
    for (int i = 0; i < COMMITS; i++) {
        const struct timespec pause = {.tv_nsec = PAUSE_NS};
        nanosleep(&pause, NULL); /* as between messages that come one by one */
        int64_t began = now_ns();
        commit_rows(1);
        commits[i] = (double)(now_ns() - began) / 1e3;
    }
    print_number("commit_us", median(commits, COMMITS));
    printf(",");
    print_number("commit_p99_us", quantile(commits, COMMITS, 0.99));
    printf(",");
    close_disk(path);
}

static void measure_rows(const char *folder) {
    char path[512];
    open_disk(folder, path);
    print_number("rows_64", rows_a_second(64));
    printf(",");
    print_number("rows_1024", rows_a_second(1024));
    printf(",");
    close_disk(path);
}

/* ---- Calls ---- */

static uint8_t scalar[32], point[32], signing[64], verifying[32], signature[64], text[700],
    sealed[1148], opened[1132];

static void do_x25519(void) {
    if (crypto_scalarmult(opened, scalar, point))
        abort();
}
static void do_verify(void) {
    if (crypto_sign_verify_detached(signature, text, sizeof text, verifying))
        abort();
}
static void do_open(void) {
    if (crypto_aead_chacha20poly1305_ietf_decrypt(opened, NULL, NULL, sealed, sizeof sealed, NULL,
                                                  0, text, scalar))
        abort();
}

static double measure_call(void (*call)(void)) {
    double rounds[9];
    for (int i = 0; i < 9; i++) {
        int64_t began = spent_ns(), elapsed;
        unsigned n = 0;
        do {
            for (int j = 0; j < 32; j++)
                call();
            n += 32;
            elapsed = spent_ns() - began;
        } while (elapsed < 5000000);
        rounds[i] = (double)elapsed / n / 1e3;
    }
    return median(rounds, 9);
}

static void measure_calls(void) {
    randombytes_buf(scalar, sizeof scalar);
    crypto_scalarmult_base(point, scalar);
    crypto_sign_keypair(verifying, signing);
    crypto_sign_detached(signature, NULL, text, sizeof text, signing);
    crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, opened, sizeof opened, NULL, 0, NULL,
                                              text, scalar);
    print_number("x25519_us", measure_call(do_x25519));
    printf(",");
    print_number("verify_us", measure_call(do_verify));
    printf(",");
    print_number("open_us", measure_call(do_open));
    printf(",");
}

/* ---- A process that does nothing ---- */

static void measure_spawn(void) {
    static double wall[SPAWNS], cpu[SPAWNS];
    char *argv[] = {"/bin/true", NULL}, *environment[] = {NULL};
    for (int i = 0; i < SPAWNS; i++) {
        struct rusage usage;
        pid_t pid;
        int64_t began = now_ns();
        if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environment) ||
            wait4(pid, NULL, 0, &usage) != pid)
            die("bench_floor: /bin/true");
        wall[i] = (double)(now_ns() - began) / 1e3;
        cpu[i] = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    }
    print_number("spawn_us", median(wall, SPAWNS));
    printf(",");
    print_number("spawn_cpu_us", median(cpu, SPAWNS));
    printf(",");
}

static bool wants(int argc, char **argv, const char *what) {
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], what) == 0)
            return true;
    return argc <= 2;
}

int main(int argc, char **argv) {
    if (sodium_init() < 0 || argc < 2)
        return 2;
    printf("{");
    fflush(stdout); /* the chain's processes would print it too */
    if (wants(argc, argv, "hop"))
        measure_hop();
    if (wants(argc, argv, "commit"))
        measure_commits(argv[1]);
    if (wants(argc, argv, "rows"))
        measure_rows(argv[1]);
    if (wants(argc, argv, "calls"))
        measure_calls();
    if (wants(argc, argv, "spawn"))
        measure_spawn();
    printf("\"cores\":%ld}\n", sysconf(_SC_NPROCESSORS_ONLN));
    return 0;
}
