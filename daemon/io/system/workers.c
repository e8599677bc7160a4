/* One computation at a time. Its items are divided into as many runs as there are threads. Each
 * thread begins with its own run, which is the same from one computation of a batch to the next, so
 * that a packet stays in one processor's cache; then it helps with the others' runs. A run's
 * generation and its first unclaimed item are one word: whoever claims items by compare-and-swap
 * knows that what it has read of the computation is still valid. A thread without work watches for
 * the next generation for a short time, which grows while that is worth it, and then sleeps. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "daemon/io/system/workers.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES (256u << 10)
/* Shorter computations are not worth sharing (SHARED_NS), or a system call to wake a sleeping
 * thread (WOKEN_NS). */
#define SHARED_NS 15000
#define WOKEN_NS 50000
/* How long a thread watches for work: long enough to reach the next computation of a batch, or to
 * outlast the system calls between two batches. */
#define WATCH_MIN_NS 1000
#define WATCH_MAX_NS 200000
#define WATCH_LOOKS 32 /* between two looks at the clock */
/* After threads were woken in vain, no thread is woken for some computations: each time for twice
 * as many, up to this. */
#define LEFT_ALONE_MAX 256
#define CLAIM_MAX 8
#define CACHE_LINE 64

struct run {
    _Alignas(CACHE_LINE) atomic_uint_fast64_t claim; /* generation << 32 | first item not claimed */
    atomic_size_t end;
};

struct workers {
    unsigned wanted; /* threads in all, the caller's included */
    unsigned n;      /* threads besides the caller's; made when there is work for them */
    pthread_t threads[COMPUTE_THREADS_MAX];
    /* The computation. The caller writes it before the generations announce it. */
    _Atomic(void (*)(void *)) work;
    _Atomic(uint8_t *) items;
    atomic_size_t size, n_items;
    atomic_uint n_runs;
    struct run *runs; /* COMPUTE_THREADS_MAX */
    atomic_uint_fast32_t generation;
    atomic_size_t done;
    atomic_bool stop;
    atomic_uint asleep;
    pthread_mutex_t mutex;
    pthread_cond_t called, finished;
    bool caller_waits; /* protected by the mutex */
    /* Used by the caller's thread alone. */
    unsigned left_alone, leave_alone;
    struct workers_counters counters;
};

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Claim and compute what is left of a run; returns how many items. */
static size_t take_run(struct workers *workers, struct run *run) {
    uint_fast64_t claim = atomic_load_explicit(&run->claim, memory_order_acquire);
    size_t mine = 0;

    for (;;) {
        size_t end = atomic_load_explicit(&run->end, memory_order_acquire);
        size_t size = atomic_load_explicit(&workers->size, memory_order_acquire);
        uint8_t *items = atomic_load_explicit(&workers->items, memory_order_acquire);
        void (*work)(void *) = atomic_load_explicit(&workers->work, memory_order_acquire);
        size_t first = (uint32_t)claim, last = first + CLAIM_MAX < end ? first + CLAIM_MAX : end;

        if (first >= end)
            return mine;
        /* The exchange fails if another thread was faster, or if the values read above are of
         * another computation. */
        if (!atomic_compare_exchange_weak_explicit(&run->claim, &claim, claim + (last - first),
                                                   memory_order_acq_rel, memory_order_acquire))
            continue;
        for (size_t i = first; i < last; i++)
            work(items + i * size);
        mine += last - first;
        atomic_fetch_add_explicit(&workers->done, last - first, memory_order_acq_rel);
        claim = atomic_load_explicit(&run->claim, memory_order_acquire);
    }
}

static size_t take_part(struct workers *workers, unsigned number) {
    unsigned n = atomic_load_explicit(&workers->n_runs, memory_order_acquire);
    size_t mine = 0;
    for (unsigned i = 0; i < n; i++)
        mine += take_run(workers, &workers->runs[(number + i) % n]);
    return mine;
}

/* ---- The threads ---- */

static uint32_t generation_of(const struct workers *workers) {
    return (uint32_t)atomic_load_explicit(&workers->generation, memory_order_acquire);
}

/* Watch for `for_ns`. True: there is a computation after `seen`, or the threads are to stop. */
static bool watch(struct workers *workers, uint32_t seen, int64_t for_ns) {
    int64_t until = now_ns() + for_ns;
    do
        for (unsigned i = 0; i < WATCH_LOOKS; i++) {
            if (generation_of(workers) != seen || atomic_load(&workers->stop))
                return true;
            relax();
        }
    while (now_ns() < until);
    return false;
}

static void sleep_until_called(struct workers *workers, uint32_t seen) {
    pthread_mutex_lock(&workers->mutex);
    atomic_fetch_add(&workers->asleep, 1);
    while (generation_of(workers) == seen && !atomic_load(&workers->stop))
        pthread_cond_wait(&workers->called, &workers->mutex);
    atomic_fetch_sub(&workers->asleep, 1);
    pthread_mutex_unlock(&workers->mutex);
}

static void tell_caller(struct workers *workers) {
    if (atomic_load(&workers->done) < atomic_load(&workers->n_items))
        return;
    pthread_mutex_lock(&workers->mutex);
    if (workers->caller_waits)
        pthread_cond_signal(&workers->finished);
    pthread_mutex_unlock(&workers->mutex);
}

struct start { /* for a new thread */
    struct workers *workers;
    unsigned number;
};

static void *run(void *context) {
    struct start start = *(struct start *)context;
    struct workers *workers = start.workers;
    int64_t watch_ns = WATCH_MIN_NS;
    uint32_t seen = 0;

    free(context);
    while (!atomic_load(&workers->stop)) {
        if (watch(workers, seen, watch_ns)) {
            watch_ns = watch_ns * 2 < WATCH_MAX_NS ? watch_ns * 2 : WATCH_MAX_NS;
        } else {
            watch_ns = watch_ns / 2 > WATCH_MIN_NS ? watch_ns / 2 : WATCH_MIN_NS;
            sleep_until_called(workers, seen);
        }
        seen = generation_of(workers);
        size_t mine = take_part(workers, start.number);
        if (mine > 0)
            tell_caller(workers);
    }
    return NULL;
}

/* ---- The caller ---- */

/* Wake sleeping threads, if the computation is long enough and they did not come too late
 * before. */
static bool call_sleepers(struct workers *workers, uint64_t cost_ns) {
    unsigned asleep = atomic_load(&workers->asleep);
    if (asleep == 0 || cost_ns < WOKEN_NS)
        return false;
    if (workers->left_alone > 0) {
        workers->left_alone--;
        return false;
    }
    bool all = asleep > 1 && cost_ns >= 2 * WOKEN_NS;
    pthread_mutex_lock(&workers->mutex);
    if (all)
        pthread_cond_broadcast(&workers->called);
    else
        pthread_cond_signal(&workers->called);
    pthread_mutex_unlock(&workers->mutex);
    workers->counters.wakes += all ? asleep : 1;
    return true;
}

/* Items that other threads have claimed take a few microseconds, unless those threads lost their
 * processor meanwhile. So watch first, then sleep. */
static void await_others(struct workers *workers, size_t n) {
    for (unsigned i = 0; i < 4096; i++) {
        if (atomic_load_explicit(&workers->done, memory_order_acquire) == n)
            return;
        relax();
    }
    pthread_mutex_lock(&workers->mutex);
    workers->caller_waits = true;
    while (atomic_load_explicit(&workers->done, memory_order_acquire) < n)
        pthread_cond_wait(&workers->finished, &workers->mutex);
    workers->caller_waits = false;
    pthread_mutex_unlock(&workers->mutex);
}

/* Describe a new computation, of which nothing is claimed. Before that all claims of the last one
 * are closed: a thread that still looks at the last one must not claim items of the new one. Each
 * word of the description is stored with release order: whoever has read one of them also sees that
 * the old claims are closed. */
static void publish(struct workers *workers, void (*work)(void *item), void *items, size_t size,
                    size_t n) {
    uint32_t generation = generation_of(workers) + 1;
    unsigned runs = workers->n + 1;

    for (unsigned i = 0; i < runs; i++)
        atomic_store(&workers->runs[i].claim, (uint_fast64_t)(generation - 1) << 32 | UINT32_MAX);
    atomic_store_explicit(&workers->done, 0, memory_order_release);
    atomic_store_explicit(&workers->work, work, memory_order_release);
    atomic_store_explicit(&workers->items, items, memory_order_release);
    atomic_store_explicit(&workers->size, size, memory_order_release);
    atomic_store_explicit(&workers->n_items, n, memory_order_release);
    atomic_store_explicit(&workers->n_runs, runs, memory_order_release);
    for (unsigned i = 0; i < runs; i++) {
        atomic_store_explicit(&workers->runs[i].end, n * (i + 1) / runs, memory_order_release);
        atomic_store(&workers->runs[i].claim, (uint_fast64_t)generation << 32 | n * i / runs);
    }
    atomic_store(&workers->generation, generation);
}

static int start_thread(struct workers *workers, const pthread_attr_t *attributes) {
    struct start *start = malloc(sizeof *start);
    if (!start)
        return -ENOMEM;
    *start = (struct start){workers, workers->n + 1};
    int r = pthread_create(&workers->threads[workers->n], attributes, run, start);
    if (r != 0)
        free(start);
    return -r;
}

/* Make the threads, at the first long computation: most daemons never have one. If a thread cannot
 * be made, it is not tried again. */
static void make_threads(struct workers *workers) {
    sigset_t all, before;
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    /* The threads inherit this: signals are for the loop's thread. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (workers->n + 1 < workers->wanted && start_thread(workers, &attributes) == 0)
        workers->n++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    workers->wanted = workers->n + 1;
}

static void each(void *context, void (*work)(void *item), void *items, size_t size, size_t n,
                 unsigned item_ns) {
    struct workers *workers = context;
    uint64_t cost_ns = (uint64_t)n * item_ns;

    if (cost_ns >= WOKEN_NS && workers->n + 1 < workers->wanted)
        make_threads(workers);
    if (workers->n == 0 || cost_ns < SHARED_NS || n >= UINT32_MAX) {
        for (size_t i = 0; i < n; i++)
            work((uint8_t *)items + i * size);
        return;
    }
    publish(workers, work, items, size, n);
    bool woken = call_sleepers(workers, cost_ns);
    size_t mine = take_part(workers, 0);
    await_others(workers, n);
    workers->counters.calls++;
    workers->counters.shared += mine < n;
    if (n - mine >= n / 4) { /* less is not worth waking threads for */
        workers->leave_alone = 0;
    } else if (woken) {
        unsigned more = workers->leave_alone * 2 + 1;
        workers->leave_alone = more < LEFT_ALONE_MAX ? more : LEFT_ALONE_MAX;
        workers->left_alone = workers->leave_alone;
    }
}

struct workers *workers_new(unsigned threads) {
    struct workers *workers = calloc(1, sizeof *workers);
    if (!workers)
        return NULL;
    workers->runs = aligned_alloc(CACHE_LINE, COMPUTE_THREADS_MAX * sizeof *workers->runs);
    if (!workers->runs) {
        free(workers);
        return NULL;
    }
    memset(workers->runs, 0, COMPUTE_THREADS_MAX * sizeof *workers->runs);
    workers->wanted = threads < 1                     ? 1
                      : threads > COMPUTE_THREADS_MAX ? COMPUTE_THREADS_MAX
                                                      : threads;
    pthread_mutex_init(&workers->mutex, NULL);
    pthread_cond_init(&workers->called, NULL);
    pthread_cond_init(&workers->finished, NULL);
    return workers;
}

void workers_free(struct workers *workers) {
    if (!workers)
        return;
    pthread_mutex_lock(&workers->mutex);
    atomic_store(&workers->stop, true);
    pthread_cond_broadcast(&workers->called);
    pthread_mutex_unlock(&workers->mutex);
    for (unsigned i = 0; i < workers->n; i++)
        pthread_join(workers->threads[i], NULL);
    pthread_cond_destroy(&workers->called);
    pthread_cond_destroy(&workers->finished);
    pthread_mutex_destroy(&workers->mutex);
    free(workers->runs);
    free(workers);
}

unsigned workers_count(const struct workers *workers) {
    return workers->wanted;
}

struct core_compute workers_compute(struct workers *workers) {
    return workers->wanted > 1 ? (struct core_compute){each, workers} : (struct core_compute){0};
}

unsigned workers_default(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef CPU_COUNT
    cpu_set_t mine;
    if (sched_getaffinity(0, sizeof mine, &mine) == 0)
        n = CPU_COUNT(&mine);
#endif
    return n < 1 ? 1 : n > 8 ? 8 : (unsigned)n;
}

void workers_counters(const struct workers *workers, struct workers_counters *ret_counters) {
    *ret_counters = workers->counters;
}
