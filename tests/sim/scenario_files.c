/* Files on their way while nodes die: each arrives once, with its bytes, or its message ends with a
 * reason; and a sender that comes back goes on where it was. */
#include "tests/sim/scenarios.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define FORM_US (240 * US_PER_S)
#define LOSS 0.1
#define ROUNDS 24
#define MARK_EVERY 64                /* bytes: no shard is without one */
#define DONE_US (20 * US_PER_MINUTE) /* resending backs off to 5 min */

/* What is kept of a long file's progress is 64 blocks behind at most, and a second. */
#define LONG_BYTES (16u << 20)
#define BLOCK_BYTES 65536u
#define AGAIN_BYTES (80 * BLOCK_BYTES)
/* Blocks are read as they are sent, and some of them twice: where a parcel was given up. */
#define READ_SLACK_BYTES (64 * BLOCK_BYTES)

static bool is_formed(struct sim *sim, void *unused) {
    return sim_all_know_all(sim, unused) && sim_components(sim) == 1;
}

static size_t send(struct sim *sim, unsigned from, unsigned to, const char *name, uint32_t size) {
    uint8_t *bytes = malloc(size + 1);
    if (!bytes)
        abort();
    sim_fill(sim, bytes, size);
    for (uint32_t i = 0; i + MARK_EVERY <= size; i += MARK_EVERY)
        memcpy(bytes + i, sim->marker, sizeof sim->marker);
    size_t number = sim_send_file(sim, from, to, name, bytes, size);
    free(bytes);
    return number;
}

static unsigned live_host(struct sim *sim) {
    unsigned i;
    do
        i = (unsigned)sim_below(sim, sim->n_hosts);
    while (!sim->hosts[i].node);
    return i;
}

/* ---- Going on ---- */

struct half {
    const struct model_store *store;
    uint64_t bytes;
};

static bool is_held(struct sim *sim, void *context) {
    const struct half *half = context;
    (void)sim;
    return model_store_held(half->store) >= half->bytes;
}

struct arrival {
    struct message_id id;
    unsigned n;
};

static void look_for(void *context, enum message_kind kind, const struct in_record *record) {
    struct arrival *arrival = context;
    arrival->n += kind == KIND_FILE && memcmp(&record->id, &arrival->id, sizeof arrival->id) == 0;
}

static bool has_arrived(struct sim *sim, void *context) {
    const struct sim_push *push = context;
    struct arrival arrival = {.id = push->id};
    model_store_visit(sim->hosts[push->to].store, look_for, &arrival);
    return arrival.n > 0;
}

static uint64_t progress_of(struct sim *sim, const struct sim_push *push) {
    struct node_boot boot;
    model_store_boot(sim->hosts[push->from].store, &boot);
    for (size_t i = 0; i < boot.n_pending; i++)
        if (memcmp(&boot.pending[i].id, &push->id, sizeof push->id) == 0)
            return boot.pending[i].progress;
    return 0;
}

/* The sender dies at two thirds. It reads from its progress on, which is not far behind. */
static void must_go_on(struct sim *sim) {
    unsigned from = 1, to = 2;
    size_t number = send(sim, from, to, "long", LONG_BYTES);
    struct half half = {sim->hosts[to].store, LONG_BYTES / 3 * 2};
    if (!sim_await(sim, DONE_US, is_held, &half))
        sim_violation(sim, "two thirds of a long file did not arrive");
    sim_crash(sim, from);
    uint64_t held = model_store_held(half.store);
    uint64_t progress = progress_of(sim, &sim->pushes[number]);
    uint64_t read = model_store_read(sim->hosts[from].store);
    sim_run(sim, 5 * US_PER_S);
    sim_start(sim, from, &sim->hosts[0].address, 1);
    if (!sim_await(sim, DONE_US, has_arrived, &sim->pushes[number]))
        sim_violation(sim, "a long file did not arrive after its sender's crash");
    read = model_store_read(sim->hosts[from].store) - read;
    if (sim->verbose)
        printf("# %8.3f s: %llu of %u bytes were there at the crash, %llu were confirmed on disk, "
               "%llu read after it\n",
               (double)sim->now_us / 1e6, (unsigned long long)held, LONG_BYTES,
               (unsigned long long)progress, (unsigned long long)read);
    if (progress + AGAIN_BYTES < held)
        sim_violation(sim, "%llu bytes were there, and %llu were known to be",
                      (unsigned long long)held, (unsigned long long)progress);
    if (read > LONG_BYTES - progress + READ_SLACK_BYTES)
        sim_violation(sim, "%llu bytes were sent again", (unsigned long long)read);
}

/* ---- Mischief ---- */

static void send_one(struct sim *sim) {
    static const uint32_t sizes[] = {0,     1,     827,    40000,   65535,
                                     65536, 65537, 200000, 1000000, 3000000};
    static const char *const names[] = {"a", "a", "../../etc/passwd", "b.part", "\x1b[2J", "c"};
    unsigned from = live_host(sim), to = (unsigned)sim_below(sim, sim->n_hosts);
    send(sim, from, to, names[sim_below(sim, sizeof names / sizeof *names)],
         sizes[sim_below(sim, sizeof sizes / sizeof *sizes)]);
}

static void one_round(struct sim *sim) {
    unsigned victim = live_host(sim);
    send_one(sim);
    sim_run(sim, (int64_t)sim_below(sim, 2 * US_PER_S));
    if (sim_chance(sim, 0.4))
        model_store_fail(sim->hosts[live_host(sim)].store, (unsigned)sim_below(sim, 3),
                         1 + (unsigned)sim_below(sim, 5), sim_chance(sim, 0.5) ? -ENOSPC : -EIO);
    if (sim_chance(sim, 0.4))
        return;
    sim_crash(sim, victim);
    sim_run(sim, (int64_t)sim_below(sim, 3 * US_PER_S));
    sim_start(sim, victim, &sim->hosts[0].address, victim > 0);
}

static bool is_over(struct sim *sim, void *unused) {
    (void)unused;
    for (size_t i = 0; i < sim->n_pushes; i++) {
        struct sim_push *push = &sim->pushes[i];
        bool is_owed = push->accepted && !message_state_is_final(push->state);
        if (is_owed && !(push->orphan && has_arrived(sim, push)))
            return false;
    }
    return true;
}

static void must_be_there(struct sim *sim) {
    unsigned accepted = 0;
    if (!sim_await(sim, DONE_US, is_over, NULL))
        sim_violation(sim, "files are still on their way");
    for (size_t i = 0; i < sim->n_pushes; i++) {
        const struct sim_push *push = &sim->pushes[i];
        accepted += push->accepted;
        if (push->accepted && !push->orphan && !push->has_reason &&
            push->state != MESSAGE_DELIVERED)
            sim_violation(sim, "file %zu of %u bytes ended without a reason", i, push->size);
    }
    if (accepted < sim->n_pushes / 2)
        sim_violation(sim, "only %u of %zu files were accepted", accepted, sim->n_pushes);
    sim_check_messages(sim, true);
}

void scenario_files(struct sim *sim) {
    sim->network.loss = LOSS;
    sim_fill(sim, sim->marker, sizeof sim->marker);
    sim->marker[0] |= 1; /* zero would mean none */
    for (unsigned i = 0; i < sim->n_hosts; i++)
        sim_start(sim, i, &sim->hosts[0].address, i > 0);
    if (!sim_await(sim, FORM_US, is_formed, NULL))
        sim_violation(sim, "no network formed");
    must_go_on(sim);
    for (unsigned round = 0; round < ROUNDS; round++)
        one_round(sim);
    for (unsigned i = 0; i < sim->n_hosts; i++)
        model_store_fail(sim->hosts[i].store, 0, 0, 0);
    must_be_there(sim);
}
