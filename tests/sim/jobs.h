/* Runs of the simulator, each in a process of its own: as many at once as there are cores, told in
 * their order. */
#ifndef P2PD_SIM_JOBS_H
#define P2PD_SIM_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct job {
    const char *scenario;
    uint64_t seed;
    unsigned nodes;
};
/* Do one; what it prints is shown when its turn has come. True: all is well. */
typedef bool job_run(const struct job *job);

/* Run jobs until there is none left or no time; prints TAP and the sum. `next` gives the i-th, or
 * false. Returns the exit status. */
int jobs_run(bool (*next)(size_t i, struct job *ret_job), job_run *run, double at_most_s);

/* A run that still goes on: called every virtual second, it tells whoever waits for output now and
 * then. */
void jobs_alive(int64_t virtual_us);

#endif
