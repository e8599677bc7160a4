/* What the benchmarks in C share: a clock, order statistics, and a figure as a line of JSON. Values
 * beside floors: the driver (run.sh) makes the table. */
#ifndef P2PD_BENCH_FIGURE_H
#define P2PD_BENCH_FIGURE_H

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NO_FLOOR NAN

static inline int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Of this thread on a processor: what a computation costs, however busy the machine. Each reading
 * is a system call. */
static inline int64_t spent_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts v. The smallest value that a share q of all does not exceed; NAN of none. */
static inline double quantile(double *v, size_t n, double q) {
    size_t rank = (size_t)ceil(q * (double)n);
    if (n == 0)
        return NAN;
    qsort(v, n, sizeof *v, compare_doubles);
    return v[rank > 0 ? rank - 1 : 0];
}
static inline double median(double *v, size_t n) {
    return quantile(v, n, 0.5);
}

/* JSON has no NAN. */
static inline void print_number(const char *key, double value) {
    if (isfinite(value))
        printf("\"%s\":%.6g", key, value);
    else
        printf("\"%s\":null", key);
}

/* better: "lower" or "higher". Names and notes are ours: nothing in them needs escaping. */
__attribute__((format(printf, 7, 8))) static inline void
figure(const char *section, const char *name, const char *unit, double value, double least,
       const char *better, const char *note, ...) {
    va_list arguments;
    printf("{\"section\":\"%s\",\"name\":\"%s\",\"unit\":\"%s\",", section, name, unit);
    print_number("value", value);
    printf(",");
    print_number("floor", least);
    printf(",\"better\":\"%s\",\"note\":\"", better);
    va_start(arguments, note);
    vprintf(note, arguments);
    va_end(arguments);
    printf("\"}\n");
    fflush(stdout);
}

#endif
