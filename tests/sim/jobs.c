#include "tests/sim/jobs.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define AT_ONCE_MAX 64
/* A run that does not come a virtual second further in so long hangs (CHECK_PATIENCE times as long
 * on a slow machine). Less than summary.sh waits for a line: here the run has its seed. */
#define STUCK_S 240
#define ALIVE_S 30 /* a run that goes on says so once in so long */

struct running {
    struct job job;
    pid_t pid; /* 0: ended */
    int status;
    FILE *output;
};
struct crew { /* a ring: what is told goes out in front, what begins comes in behind */
    struct running v[AT_ONCE_MAX];
    size_t first, n, at_once;
    unsigned passed, failed;
};

/* In the process of a run: where its parent speaks, and when the run last said that it goes on. */
static FILE *parents;
static double said_s;

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t cores(void) {
    const char *given = getenv("CHECK_JOBS");
    long n = given ? strtol(given, NULL, 10) : sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > AT_ONCE_MAX / 4 ? AT_ONCE_MAX / 4 : (size_t)n;
}

static unsigned stuck_s(void) {
    const char *given = getenv("CHECK_PATIENCE");
    long patience = given ? strtol(given, NULL, 10) : 1;
    return STUCK_S * (unsigned)(patience < 1 ? 1 : patience);
}

/* What the run prints is kept until its turn; that it goes on is said at once. */
static void redirect(FILE *output) {
    parents = fdopen(dup(STDOUT_FILENO), "w");
    if (!parents)
        abort();
    dup2(fileno(output), STDOUT_FILENO);
    dup2(fileno(output), STDERR_FILENO);
    said_s = seconds();
    alarm(stuck_s());
}

void jobs_alive(int64_t virtual_us) {
    if (!parents)
        return;
    alarm(stuck_s());
    if (seconds() - said_s < ALIVE_S)
        return;
    said_s = seconds();
    fprintf(parents, "# at %.0f virtual s\n", (double)virtual_us / 1e6);
    fflush(parents);
}

static void begin(struct crew *crew, const struct job *job, job_run *run) {
    struct running *running = &crew->v[(crew->first + crew->n++) % AT_ONCE_MAX];

    *running = (struct running){.job = *job, .output = tmpfile()};
    if (!running->output)
        abort();
    fflush(stdout);
    running->pid = fork();
    if (running->pid < 0)
        abort();
    if (running->pid > 0)
        return;
    redirect(running->output);
    bool good = run(job);
    fflush(stdout);
    _exit(good ? 0 : 1);
}

static size_t count_alive(const struct crew *crew) {
    size_t n = 0;
    for (size_t i = 0; i < crew->n; i++)
        n += crew->v[(crew->first + i) % AT_ONCE_MAX].pid > 0;
    return n;
}

static void reap(struct crew *crew) {
    int status;
    pid_t pid = wait(&status);

    for (size_t i = 0; i < crew->n; i++) {
        struct running *running = &crew->v[(crew->first + i) % AT_ONCE_MAX];
        if (running->pid == pid) {
            running->pid = 0;
            running->status = status;
            if (i > 0) /* told in its turn; but who waits for a line sees that there is no hang */
                printf("# %s, seed %llu: ended\n", running->job.scenario,
                       (unsigned long long)running->job.seed);
        }
    }
}

static void tell_end(const struct running *running) {
    if (WIFEXITED(running->status))
        return;
    if (WTERMSIG(running->status) == SIGALRM)
        printf("# timed out: no virtual second went by in %u s\n", stuck_s());
    printf("# died of signal %d: make sim SEED=%llu NODES=%u SCENARIO=%s\n",
           WTERMSIG(running->status), (unsigned long long)running->job.seed, running->job.nodes,
           running->job.scenario);
}

static void tell(struct crew *crew) {
    struct running *running = &crew->v[crew->first];
    bool good = WIFEXITED(running->status) && WEXITSTATUS(running->status) == 0;
    char buffer[4096];
    size_t n;

    rewind(running->output);
    while ((n = fread(buffer, 1, sizeof buffer, running->output)) > 0)
        fwrite(buffer, 1, n, stdout);
    fclose(running->output);
    tell_end(running);
    printf("%s %u - sim %s, %u nodes, seed %llu\n", good ? "ok" : "not ok",
           crew->passed + crew->failed + 1, running->job.scenario, running->job.nodes,
           (unsigned long long)running->job.seed);
    fflush(stdout);
    crew->passed += good;
    crew->failed += !good;
    crew->first = (crew->first + 1) % AT_ONCE_MAX;
    crew->n--;
}

int jobs_run(bool (*next)(size_t i, struct job *ret_job), job_run *run, double at_most_s) {
    struct crew crew = {.at_once = cores()};
    double until = seconds() + at_most_s;
    struct job job;
    bool more = true;

    for (size_t i = 0; more || crew.n > 0;) {
        while (more && count_alive(&crew) < crew.at_once && crew.n < AT_ONCE_MAX) {
            more = seconds() < until && next(i++, &job);
            if (more)
                begin(&crew, &job, run);
        }
        if (count_alive(&crew) > 0)
            reap(&crew);
        while (crew.n > 0 && crew.v[crew.first].pid == 0)
            tell(&crew);
    }
    printf("1..%u\n%u passed, %u failed\n", crew.passed + crew.failed, crew.passed, crew.failed);
    return crew.failed == 0 ? 0 : 1;
}
