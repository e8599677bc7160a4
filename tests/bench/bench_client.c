/* link: shared/client shared/exchange shared/frame proto/control.pb-c */
/* Clients of daemons, many in one process, so that what is timed is the daemon and not the start of
 * a program. bench_client push [-n MESSAGES] [-c CLIENTS] [-r RATE] [-t SECONDS] [-R RELAYS] [-b
 * BODY] [-a] SOCKET DEST [SOCKET DEST...] push messages, by the pairs in turn, and wait for their
 * delivery (-a: for their acceptance alone); at RATE a second in all (a latency then counts from
 * when its turn came, late or not), or as fast as CLIENTS go one by one; the first failure is told
 *   bench_client nodes N SECONDS SOCKET...: until each daemon knows N nodes
 *   bench_client waiting N SECONDS SOCKET: until N messages wait in its inbox
 *   bench_client counter NAME SOCKET...: the sum of a counter of theirs
 * Prints a JSON object. */
#include "shared/client.h"
#include "tests/bench/figure.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/time.h>

#define CLIENTS_MAX 512
#define BODY_MAX 65536
#define TIMEOUT_MS 30000

static void die(const char *what, int error) {
    fprintf(stderr, "bench_client: %s%s%s\n", what, error ? ": " : "",
            error ? strerror(-error) : "");
    exit(1);
}

static double wall_s(void) {
    struct timeval t;
    gettimeofday(&t, NULL);
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void sleep_until(int64_t ns) {
    struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* ---- Pushing ---- */

static struct run {
    char **pairs; /* socket, destination */
    size_t n_pairs, n_clients;
    size_t total;
    double rate; /* a second; 0: as they come */
    int64_t began_ns, until_ns;
    int relays; /* -1: as configured */
    size_t body_length;
    bool acceptance;
    uint8_t body[BODY_MAX];
    double *delivered, *accepted; /* us, of each message; NAN: it was not */
    atomic_size_t next, failed;
} run = {.n_clients = 1, .total = 100, .relays = -1, .body_length = 100};

/* Until the last answer, or the first. Sets when the first came. 0, or -errno. */
static int follow(struct client *client, int64_t *ret_accepted) {
    P2pd__Control__Answer *answer;
    bool end = false, good = false;
    for (unsigned n = 0; !end; n++) {
        int error = client_receive(client, &answer);
        if (error < 0)
            return error;
        if (n == 0)
            *ret_accepted = now_ns();
        end = answer->end || run.acceptance;
        good = answer->code == P2PD__CONTROL__CODE__OK && answer->message &&
               (run.acceptance || answer->message->state == P2PD__CONTROL__STATE__DELIVERED);
        if (end && !good && run.failed == 0)
            fprintf(stderr, "bench_client: not delivered: %s%s\n", answer->text,
                    answer->message ? answer->message->reason : "");
        client_answer_free(answer);
    }
    return good ? 0 : -EPROTO;
}

static void push_one(size_t i) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Push push = P2PD__CONTROL__PUSH__INIT;
    char **pair = &run.pairs[i % run.n_pairs * 2];
    struct client *client = NULL;
    uint8_t id[16];
    int64_t accepted = 0, began = now_ns();
    if (run.rate > 0)
        began = run.began_ns + (int64_t)((double)i * 1e9 / run.rate);
    randombytes_buf(id, sizeof id);
    push.to = pair[1];
    push.id = (ProtobufCBinaryData){sizeof id, id};
    push.body = (ProtobufCBinaryData){run.body_length, run.body};
    push.relays_exact = run.relays >= 0;
    push.relays = run.relays >= 0 ? (uint32_t)run.relays : 0;
    push.wait = !run.acceptance;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PUSH;
    request.push = &push;
    int error = client_open(&client, pair[0], TIMEOUT_MS);
    if (error == 0)
        error = client_send(client, &request);
    if (error == 0)
        error = follow(client, &accepted);
    if (error == 0) {
        run.delivered[i] = (double)(now_ns() - began) / 1e3;
        run.accepted[i] = (double)(accepted - began) / 1e3;
    } else {
        run.failed++;
    }
    client_close(client);
}

static void *push_some(void *unused) {
    (void)unused;
    for (;;) {
        size_t i = run.next++;
        if (i >= run.total || now_ns() >= run.until_ns)
            return NULL;
        if (run.rate > 0)
            sleep_until(run.began_ns + (int64_t)((double)i * 1e9 / run.rate));
        push_one(i);
    }
}

/* Those that came to something, in front; returns how many. */
static size_t gather(double *v) {
    size_t n = 0;
    for (size_t i = 0; i < run.total; i++)
        if (isfinite(v[i]))
            v[n++] = v[i];
    return n;
}

static void push_report(double seconds) {
    static const struct {
        const char *key;
        double q;
    } rows[] = {{"median", 0.5}, {"p99", 0.99}, {"p999", 0.999}, {"most", 1}};
    size_t n = gather(run.delivered), n_accepted = gather(run.accepted);
    printf("{\"n\":%zu,\"failed\":%zu,", n, (size_t)run.failed);
    print_number("seconds", seconds);
    printf(",");
    print_number("rate", (double)n / seconds);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        printf(",");
        print_number(rows[i].key, quantile(run.delivered, n, rows[i].q));
    }
    printf(",");
    print_number("accepted", median(run.accepted, n_accepted));
    printf("}\n");
}

static void push_run(void) {
    pthread_t threads[CLIENTS_MAX];
    pthread_attr_t attributes;
    for (size_t i = 0; i < run.total; i++)
        run.delivered[i] = run.accepted[i] = NAN;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 << 10);
    run.began_ns = now_ns();
    run.until_ns += run.began_ns;
    for (size_t i = 0; i < run.n_clients; i++)
        if (pthread_create(&threads[i], &attributes, push_some, NULL))
            die("thread", 0);
    for (size_t i = 0; i < run.n_clients; i++)
        pthread_join(threads[i], NULL);
    push_report((double)(now_ns() - run.began_ns) / 1e9);
}

static int push_main(int argc, char **argv) {
    double seconds = 600;
    int option;
    while ((option = getopt(argc, argv, "n:c:r:t:R:b:a")) != -1) {
        switch (option) {
        case 'n':
            run.total = strtoul(optarg, NULL, 10);
            break;
        case 'c':
            run.n_clients = strtoul(optarg, NULL, 10);
            break;
        case 'r':
            run.rate = strtod(optarg, NULL);
            break;
        case 't':
            seconds = strtod(optarg, NULL);
            break;
        case 'R':
            run.relays = atoi(optarg);
            break;
        case 'b':
            run.body_length = strtoul(optarg, NULL, 10);
            break;
        case 'a':
            run.acceptance = true;
            break;
        default:
            return 2;
        }
    }
    run.pairs = argv + optind;
    run.n_pairs = (size_t)(argc - optind) / 2;
    if (run.n_pairs == 0 || run.n_clients == 0 || run.n_clients > CLIENTS_MAX ||
        run.body_length > BODY_MAX)
        return 2;
    run.until_ns = (int64_t)(seconds * 1e9);
    run.delivered = calloc(run.total, sizeof *run.delivered);
    run.accepted = calloc(run.total, sizeof *run.accepted);
    if (!run.delivered || !run.accepted)
        die("memory", 0);
    memset(run.body, 'x', sizeof run.body);
    push_run();
    return run.failed == run.total ? 1 : 0;
}

/* ---- Asking ---- */

/* What `take` makes of a daemon's status; NAN if it does not answer. */
static double ask(const char *path, double (*take)(const P2pd__Control__StatusReport *status)) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Status status = P2PD__CONTROL__STATUS__INIT;
    P2pd__Control__Answer *answer = NULL;
    struct client *client = NULL;
    double value = NAN;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_STATUS;
    request.status = &status;
    if (client_open(&client, path, TIMEOUT_MS) == 0 && client_send(client, &request) == 0 &&
        client_receive(client, &answer) == 0) {
        if (answer->status)
            value = take(answer->status);
        client_answer_free(answer);
    }
    client_close(client);
    return value;
}

static double take_nodes(const P2pd__Control__StatusReport *status) {
    return (double)status->directory_nodes;
}
static double take_waiting(const P2pd__Control__StatusReport *status) {
    return (double)status->inbox_waiting;
}
static const char *counter_name;
static double take_counter(const P2pd__Control__StatusReport *status) {
    for (size_t i = 0; i < status->n_counters; i++)
        if (strcmp(status->counters[i]->name, counter_name) == 0)
            return (double)status->counters[i]->value;
    return NAN;
}

/* Those that are not there yet are asked again; the more they are the less often, for asking is
 * work for them too. Prints when the median one and the last one were there, as wall time. */
static int await(char **paths, size_t n, double wanted, double seconds,
                 double (*take)(const P2pd__Control__StatusReport *status)) {
    int64_t until = now_ns() + (int64_t)(seconds * 1e9);
    size_t left = n;
    double half = 0;
    while (left > 0) {
        size_t still = 0;
        int64_t next = now_ns() + 2000000 + (int64_t)left * 1000000;
        for (size_t i = 0; i < left; i++)
            if (!(ask(paths[i], take) >= wanted))
                paths[still++] = paths[i];
        left = still;
        if (half == 0 && left <= n / 2)
            half = wall_s();
        if (left > 0 && now_ns() > until) {
            fprintf(stderr, "bench_client: %zu of %zu are not there after %g s, as %s: %g of %g\n",
                    left, n, seconds, paths[0], ask(paths[0], take), wanted);
            return 1;
        }
        if (left > 0)
            sleep_until(next);
    }
    printf("{\"half\":%.6f,\"all\":%.6f}\n", half, wall_s());
    return 0;
}

static int sum_counter(char **paths, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ask(paths[i], take_counter);
    printf("{");
    print_number("sum", sum);
    printf("}\n");
    return isfinite(sum) ? 0 : 1;
}

int main(int argc, char **argv) {
    if (sodium_init() < 0 || argc < 2)
        return 2;
    if (strcmp(argv[1], "push") == 0)
        return push_main(argc - 1, argv + 1);
    if (strcmp(argv[1], "nodes") == 0 && argc > 4)
        return await(argv + 4, (size_t)argc - 4, strtod(argv[2], NULL), strtod(argv[3], NULL),
                     take_nodes);
    if (strcmp(argv[1], "waiting") == 0 && argc > 4)
        return await(argv + 4, 1, strtod(argv[2], NULL), strtod(argv[3], NULL), take_waiting);
    if (strcmp(argv[1], "counter") == 0 && argc > 3) {
        counter_name = argv[2];
        return sum_counter(argv + 3, (size_t)argc - 3);
    }
    return 2;
}
