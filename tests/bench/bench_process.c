/* link: shared/client shared/exchange shared/frame proto/control.pb-c */
/* Whole processes, from start to end, as a script meets them.
 *   bench_process run ROUNDS COMMAND...: wall time and CPU of a command; its output is thrown away
 * bench_process daemon ROUNDS SOCKET COMMAND...: a daemon, from its start to its first answer at
 * SOCKET, and from SIGTERM to its end Prints a JSON object of medians in microseconds. */
#include "shared/client.h"
#include "tests/bench/figure.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS_MAX 5000
#define READY_NS INT64_C(60000000000)
#define LOOK_NS 200000

extern char **environ;
static double first[ROUNDS_MAX], second[ROUNDS_MAX];

static void die(const char *what) {
    fprintf(stderr, "bench_process: %s: %s\n", what, strerror(errno));
    exit(1);
}

static pid_t start(char **argv) {
    posix_spawn_file_actions_t actions;
    pid_t pid;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    errno = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    if (errno)
        die(argv[0]);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static double micros(struct timeval t) {
    return (double)t.tv_sec * 1e6 + (double)t.tv_usec;
}

static int end_of(pid_t pid, struct rusage *ret_usage) {
    int status;
    while (wait4(pid, &status, 0, ret_usage) != pid)
        if (errno != EINTR)
            die("wait");
    return status;
}

static void report(const char *a, const char *b, size_t n) {
    printf("{\"n\":%zu,", n);
    print_number(a, median(first, n));
    printf(",");
    print_number(b, median(second, n));
    printf("}\n");
}

static int run_commands(size_t rounds, char **argv) {
    for (size_t i = 0; i < rounds; i++) {
        struct rusage usage;
        int64_t began = now_ns();
        if (end_of(start(argv), &usage) != 0) {
            fprintf(stderr, "bench_process: %s failed\n", argv[0]);
            return 1;
        }
        first[i] = (double)(now_ns() - began) / 1e3;
        second[i] = micros(usage.ru_utime) + micros(usage.ru_stime);
    }
    report("wall_us", "cpu_us", rounds);
    return 0;
}

/* Is there an answer? */
static int ask(const char *path) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Status status = P2PD__CONTROL__STATUS__INIT;
    P2pd__Control__Answer *answer = NULL;
    struct client *client = NULL;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_STATUS;
    request.status = &status;
    int error = client_open(&client, path, 60000);
    if (error == 0)
        error = client_send(client, &request);
    if (error == 0)
        error = client_receive(client, &answer);
    if (error == 0)
        client_answer_free(answer);
    client_close(client);
    return error;
}

static int run_daemons(size_t rounds, const char *path, char **argv) {
    for (size_t i = 0; i < rounds; i++) {
        struct rusage usage;
        int64_t began = now_ns();
        pid_t pid = start(argv);
        while (ask(path) !=
               0) { /* the socket is not there yet: an event that nobody can be told of */
            struct timespec look = {.tv_nsec = LOOK_NS};
            if (now_ns() - began > READY_NS || waitpid(pid, NULL, WNOHANG) != 0) {
                kill(pid, SIGKILL);
                fprintf(stderr, "bench_process: %s never answered\n", argv[0]);
                return 1;
            }
            nanosleep(&look, NULL);
        }
        first[i] = (double)(now_ns() - began) / 1e3;
        began = now_ns();
        kill(pid, SIGTERM);
        end_of(pid, &usage);
        second[i] = (double)(now_ns() - began) / 1e3;
    }
    report("ready_us", "stop_us", rounds);
    return 0;
}

int main(int argc, char **argv) {
    size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    if (rounds > 0 && rounds <= ROUNDS_MAX && argc > 3 && strcmp(argv[1], "run") == 0)
        return run_commands(rounds, argv + 3);
    if (rounds > 0 && rounds <= ROUNDS_MAX && argc > 4 && strcmp(argv[1], "daemon") == 0)
        return run_daemons(rounds, argv[3], argv + 4);
    fputs("usage: bench_process run ROUNDS COMMAND... | daemon ROUNDS SOCKET COMMAND...\n", stderr);
    return 2;
}
