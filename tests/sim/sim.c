#include "tests/sim/sim.h"

#include "tests/sim/adversary.h"
#include "tests/sim/nat.h"
#include "tests/sim/properties.h"
#include "tests/sim/watch.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define SPINS_MAX 100000 /* steps at one instant: far more than a burst of datagrams takes */
#define START_WALL_US (INT64_C(1800000000) * US_PER_S) /* some day in 2027 */
#define RESULTS_MAX 64

enum sim_event_kind { SIM_DATAGRAM, SIM_GATHERED, SIM_WAKE, SIM_STORE };
struct sim_event {
    int64_t at_us;
    uint64_t order;
    enum sim_event_kind kind;
    unsigned host, incarnation;
    struct address remote;
    uint8_t *bytes;
    uint32_t length;
};

void (*sim_goes_on)(int64_t now_us);

/* ---- Randomness ---- */

static void random_seed(struct sim_random *random, uint64_t seed, uint64_t host, uint64_t life) {
    uint64_t parts[3] = {seed, host, life};
    memset(random, 0, sizeof *random);
    crypto_generichash(random->key, sizeof random->key, (const uint8_t *)parts, sizeof parts, NULL,
                       0);
    random->used = sizeof random->buffer;
}

static void random_bytes(void *context, void *buffer, size_t length) {
    struct sim_random *random = context;
    uint8_t *out = buffer, nonce[8];

    while (length > 0) {
        if (random->used == sizeof random->buffer) {
            memcpy(nonce, &random->block, sizeof nonce);
            random->block++;
            crypto_stream_chacha20(random->buffer, sizeof random->buffer, nonce, random->key);
            random->used = 0;
        }
        size_t n = sizeof random->buffer - random->used;
        n = n < length ? n : length;
        memcpy(out, random->buffer + random->used, n);
        random->used += n;
        out += n;
        length -= n;
    }
}

uint64_t sim_below(struct sim *sim, uint64_t bound) {
    struct core_random random = {random_bytes, &sim->random};
    return random_below(&random, bound);
}

void sim_fill(struct sim *sim, void *buffer, size_t length) {
    random_bytes(&sim->random, buffer, length);
}

bool sim_chance(struct sim *sim, double probability) {
    return (double)sim_below(sim, 1u << 30) < probability * (double)(1u << 30);
}

/* ---- The queue of events: a binary heap by (time, order) ---- */

static bool is_before(const struct sim_event *a, const struct sim_event *b) {
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void event_push(struct sim *sim, struct sim_event event) {
    if (sim->n_events == sim->events_capacity) {
        sim->events_capacity = sim->events_capacity ? sim->events_capacity * 2 : 1024;
        sim->heap = realloc(sim->heap, sim->events_capacity * sizeof *sim->heap);
        if (!sim->heap)
            abort();
    }
    event.order = sim->order++;
    size_t i = sim->n_events++;
    for (; i > 0 && is_before(&event, &sim->heap[(i - 1) / 2]); i = (i - 1) / 2)
        sim->heap[i] = sim->heap[(i - 1) / 2];
    sim->heap[i] = event;
}

static struct sim_event event_pop(struct sim *sim) {
    struct sim_event first = sim->heap[0], last = sim->heap[--sim->n_events];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= sim->n_events)
            break;
        if (child + 1 < sim->n_events && is_before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!is_before(&sim->heap[child], &last))
            break;
        sim->heap[i] = sim->heap[child];
        i = child;
    }
    sim->heap[i] = last;
    return first;
}

/* ---- Hosts ---- */

static void log_line(void *context, enum trace_level level, const char *text) {
    const struct sim_host *host = context;
    char name[ADDRESS_TEXT_MAX];
    address_format(&host->address, false, name);
    printf("# %s [%d] %s\n", name, (int)level, text);
}

struct sim *sim_new(uint64_t seed, unsigned hosts) {
    struct sim *sim = calloc(1, sizeof *sim);
    if (!sim || !(sim->hosts = calloc(hosts, sizeof *sim->hosts)))
        abort();
    sim->seed = seed;
    sim->n_hosts = hosts;
    sim->network = (struct sim_network){.delay_min_us = 1000, .delay_max_us = 20000};
    random_seed(&sim->random, seed, UINT64_MAX, 0);
    for (unsigned i = 0; i < hosts; i++) {
        struct sim_host *host = &sim->hosts[i];
        node_config_init(&host->config);
        random_bytes(&sim->random, host->config.node_seed, 32);
        random_bytes(&sim->random, host->config.link_secret, 32);
        memset(host->config.network_key, 7, 32);
        host->config.droplist_entries = 1u << 20;
        host->address = (struct address){
            .ip = {[10] = 0xff, 0xff, 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i},
            .port = ADDRESS_PORT_DEFAULT};
        host->config.random = (struct core_random){random_bytes, &host->random};
        host->config.trace = (struct core_trace){TRACE_ERROR, log_line, host};
        random_seed(&host->random, seed, i, 0);
        host->store = model_store_new(&host->config.random);
        if (!host->store)
            abort();
    }
    return sim;
}

static void forget_gathered(struct sim_host *host) {
    while (host->n_gathered > 0)
        free(host->gathered[--host->n_gathered].bytes);
}

void sim_free(struct sim *sim) {
    for (unsigned i = 0; i < sim->n_hosts; i++) {
        node_free(sim->hosts[i].node);
        model_store_free(sim->hosts[i].store);
        adversary_free(sim->hosts[i].adversary);
        forget_gathered(&sim->hosts[i]);
        free(sim->hosts[i].gathered);
    }
    for (size_t i = 0; i < sim->n_events; i++)
        free(sim->heap[i].bytes);
    for (size_t i = 0; i < sim->n_pushes; i++)
        free(sim->pushes[i].body);
    watch_free(sim->watch);
    nat_free(sim->nat);
    free(sim->pushes);
    free(sim->heap);
    free(sim->hosts);
    free(sim);
}

struct sim_host *sim_host(struct sim *sim, unsigned host) {
    return &sim->hosts[host];
}

static void mix(struct sim *sim, const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    for (size_t i = 0; i < length; i++)
        sim->trace = (sim->trace ^ at[i]) * UINT64_C(0x100000001b3);
}

/* ---- The network ---- */

/* Ethernet, IP and UDP around a datagram are not counted: the line is as fast as what it
 * carries. */
static bool uplink_take(struct sim *sim, struct sim_host *from, size_t length) {
    const struct sim_network *network = &sim->network;
    if (network->uplink_bytes == 0)
        return true;
    if (from->uplink_free_us < sim->now_us)
        from->uplink_free_us = sim->now_us;
    if (from->uplink_free_us - sim->now_us > network->uplink_queue_us) {
        from->uplink_dropped++;
        return false;
    }
    from->uplink_sent++;
    from->uplink_rest += length * (uint64_t)US_PER_S;
    from->uplink_free_us += (int64_t)(from->uplink_rest / network->uplink_bytes);
    from->uplink_rest %= network->uplink_bytes;
    return true;
}

static void send_copy(struct sim *sim, const struct sim_host *from, const struct sim_host *to,
                      const struct datagram *datagram) {
    const struct sim_network *network = &sim->network;
    uint64_t spread = (uint64_t)(network->delay_max_us - network->delay_min_us) + 1;
    struct sim_event event = {.kind = SIM_DATAGRAM,
                              .host = (unsigned)(to - sim->hosts),
                              .remote = from->seen_as,
                              .length = (uint32_t)datagram->length};

    int64_t leaves_us = network->uplink_bytes ? from->uplink_free_us : sim->now_us;
    event.at_us = leaves_us + network->delay_min_us + (int64_t)sim_below(sim, spread);
    event.bytes = malloc(datagram->length);
    if (!event.bytes)
        abort();
    memcpy(event.bytes, datagram->bytes, datagram->length);
    if (network->corrupt > 0 && sim_chance(sim, network->corrupt))
        event.bytes[sim_below(sim, datagram->length)] ^= (uint8_t)(1 + sim_below(sim, 255));
    event_push(sim, event);
}

static void transmit(struct sim *sim, struct sim_host *from, const struct datagram *datagram) {
    struct sim_host *to = nat_route(sim, from, &datagram->remote);

    sim->datagrams++;
    from->traffic.datagrams++;
    from->traffic.bytes += datagram->length;
    mix(sim, &sim->now_us, sizeof sim->now_us);
    mix(sim, datagram->bytes, 32);
    properties_datagram(sim, from, datagram);
    if (!uplink_take(sim, from, datagram->length) || !to || to->side != from->side || to->deaf ||
        from->deaf || (sim->network.loss > 0 && sim_chance(sim, sim->network.loss)))
        return;
    send_copy(sim, from, to, datagram);
    if (sim->network.duplicate > 0 && sim_chance(sim, sim->network.duplicate))
        send_copy(sim, from, to, datagram);
}

/* ---- Stepping ---- */

static void take_answer(struct sim *sim, struct sim_host *host, const struct answer *answer) {
    if (answer->client == 0 || answer->client > sim->n_pushes) {
        if (sim->answered)
            sim->answered(sim, host, answer);
        return;
    }
    struct sim_push *push = &sim->pushes[answer->client - 1];
    push->answered = true;
    if (answer->kind != ANSWER_MESSAGE) {
        if (sim->verbose)
            printf("# push %llu: %s\n", (unsigned long long)answer->client, answer->text);
        return;
    }
    push->accepted = true;
    push->state = answer->message.state;
    push->mailboxes = answer->message.mailboxes;
    push->has_reason = answer->message.reason[0] != '\0';
    if (push->state == MESSAGE_DELIVERED && push->delivered_us == 0)
        push->delivered_us = sim->now_us;
}

static void schedule(struct sim *sim, struct sim_host *host, const struct node_update *update) {
    unsigned i = (unsigned)(host - sim->hosts);
    struct mono stored = model_store_next(host->store);

    host->wake_us = update->wake.us;
    if (update->wake.us != INT64_MAX) {
        int64_t at = update->wake.us > sim->now_us ? update->wake.us : sim->now_us;
        event_push(sim,
                   (struct sim_event){
                       .at_us = at, .kind = SIM_WAKE, .host = i, .incarnation = host->incarnation});
    }
    if (!host->store_scheduled && stored.us != INT64_MAX) {
        host->store_scheduled = true;
        event_push(sim,
                   (struct sim_event){.at_us = stored.us > sim->now_us ? stored.us : sim->now_us,
                                      .kind = SIM_STORE,
                                      .host = i,
                                      .incarnation = host->incarnation});
    }
}

/* A node that wants to be woken at once for ever would stand still here, and burn a core
 * elsewhere. */
static void check_spin(struct sim *sim, struct sim_host *host, struct node_update *update) {
    host->spins = host->spun_us == sim->now_us ? host->spins + 1 : 0;
    host->spun_us = sim->now_us;
    if (host->spins < SPINS_MAX)
        return;
    if (host->spins == SPINS_MAX)
        sim_violation(sim, "host %u wants to be woken at once, again and again",
                      (unsigned)(host - sim->hosts));
    if (update->wake.us <= sim->now_us)
        update->wake.us = sim->now_us + US_PER_MS;
}

static void step(struct sim *sim, struct sim_host *host, struct node_event *event) {
    struct node_update update;

    event->now.mono = (struct mono){sim->now_us};
    event->now.wall = (struct wall){START_WALL_US + sim->now_us + host->skew_us};
    uint64_t checks = sim_checks();
    watch_enter(sim, host);
    node_step(host->node, event, &update);
    watch_leave();
    host->traffic.checks += sim_checks() - checks;
    sim->steps++;
    if (sim->stepped)
        sim->stepped(sim, host, event, &update);
    check_spin(sim, host, &update);
    for (size_t i = 0; i < update.n_ops; i++)
        model_store_apply(host->store, &update.ops[i], event->now.mono);
    for (size_t i = 0; i < update.n_datagrams; i++)
        if (!host->adversary || adversary_lets_out(sim, host, &update.datagrams[i]))
            transmit(sim, host, &update.datagrams[i]);
    for (size_t i = 0; i < update.n_answers; i++)
        take_answer(sim, host, &update.answers[i]);
    schedule(sim, host, &update);
    properties_step(sim, host);
}

void sim_poke(struct sim *sim, unsigned host) {
    step(sim, &sim->hosts[host], &(struct node_event){.kind = EVENT_TIMER});
}

void sim_request(struct sim *sim, unsigned host, const struct request *request) {
    step(sim, &sim->hosts[host], &(struct node_event){.kind = EVENT_REQUEST, .request = *request});
}

void sim_client_gone(struct sim *sim, unsigned host, uint64_t client) {
    step(sim, &sim->hosts[host], &(struct node_event){.kind = EVENT_CLIENT_GONE, .client = client});
}

void sim_forge(struct sim *sim, const struct address *from, const struct address *to,
               const uint8_t *bytes, size_t length) {
    struct sim_host nobody = {.address = *from};
    struct datagram datagram = {
        .remote = *to, .bytes = (uint8_t *)(uintptr_t)bytes, .length = length};
    transmit(sim, &nobody, &datagram);
}

void sim_start(struct sim *sim, unsigned i, const struct address *bootstrap, size_t n) {
    struct sim_host *host = &sim->hosts[i];
    struct node_boot boot;

    model_store_boot_first(host->store, 1, &boot);
    host->incarnation++;
    random_seed(&host->random, sim->seed, i, host->incarnation);
    host->config.bootstrap = bootstrap;
    host->config.n_bootstrap = n;
    host->store_scheduled = false;
    host->node = node_new(&host->config, &boot,
                          (struct now){(struct mono){sim->now_us},
                                       (struct wall){START_WALL_US + sim->now_us + host->skew_us}});
    if (!host->node)
        abort();
    step(sim, host, &(struct node_event){.kind = EVENT_TIMER});
}

/* Its clients are told nothing more. */
static void bury(struct sim *sim, unsigned i) {
    struct sim_host *host = &sim->hosts[i];
    node_free(host->node);
    forget_gathered(host);
    host->node = NULL;
    host->incarnation++;
    for (size_t k = 0; k < sim->n_pushes; k++) {
        sim->pushes[k].orphan |= sim->pushes[k].from == i;
        if (sim->pushes[k].to == i)
            sim->pushes[k].pulling = 0;
    }
}

void sim_crash(struct sim *sim, unsigned i) {
    bury(sim, i);
    model_store_crash(sim->hosts[i].store);
}

void sim_leave(struct sim *sim, unsigned i) {
    struct sim_host *host = &sim->hosts[i];
    step(sim, host, &(struct node_event){.kind = EVENT_LEAVE});
    struct store_result results[RESULTS_MAX];
    while (model_store_next(host->store).us != INT64_MAX) /* it commits before it exits */
        model_store_collect(host->store, model_store_next(host->store), results, RESULTS_MAX);
    bury(sim, i);
}

static void run_store(struct sim *sim, struct sim_host *host) {
    struct store_result results[RESULTS_MAX];
    size_t n = model_store_collect(host->store, (struct mono){sim->now_us}, results, RESULTS_MAX);

    host->store_scheduled = false;
    if (n > 0) {
        step(sim, host, &(struct node_event){.kind = EVENT_STORED, .stored = {results, n}});
    } else {
        schedule(sim, host, &(struct node_update){.wake = {host->wake_us}});
    }
}

/* The network's own: the node opens its datagrams in place. */
static void deliver(struct sim *sim, struct sim_host *host, const struct sim_event *events,
                    unsigned n) {
    struct datagram datagrams[SIM_GATHERED_MAX];

    for (unsigned i = 0; i < n; i++)
        datagrams[i] =
            (struct datagram){events[i].remote, host->address, events[i].bytes, events[i].length};
    if (!host->deaf)
        step(sim, host, &(struct node_event){.kind = EVENT_DATAGRAMS, .datagrams = {datagrams, n}});
}

static void deliver_gathered(struct sim *sim, struct sim_host *host) {
    struct sim_event events[SIM_GATHERED_MAX];
    unsigned n = host->n_gathered;

    if (n == 0)
        return;
    memcpy(events, host->gathered, n * sizeof *events);
    host->n_gathered = 0;
    deliver(sim, host, events, n);
    while (n > 0)
        free(events[--n].bytes);
}

static void gather(struct sim *sim, struct sim_host *host, struct sim_event *event) {
    if (host->n_gathered == SIM_GATHERED_MAX)
        deliver_gathered(sim, host);
    if (!host->gathered && !(host->gathered = malloc(SIM_GATHERED_MAX * sizeof *host->gathered)))
        abort();
    if (host->n_gathered == 0)
        event_push(sim, (struct sim_event){.at_us = sim->now_us + sim->network.gather_us,
                                           .kind = SIM_GATHERED,
                                           .host = event->host,
                                           .incarnation = host->incarnation});
    host->gathered[host->n_gathered++] = *event;
    event->bytes = NULL;
}

static void run_event(struct sim *sim, struct sim_event *event) {
    struct sim_host *host = &sim->hosts[event->host];

    if (!host->node)
        return;
    switch (event->kind) {
    case SIM_DATAGRAM:
        if (sim->network.gather_us > 0)
            gather(sim, host, event);
        else
            deliver(sim, host, event, 1);
        break;
    case SIM_GATHERED:
        if (event->incarnation == host->incarnation)
            deliver_gathered(sim, host);
        break;
    case SIM_WAKE:
        if (event->incarnation != host->incarnation || event->at_us < host->wake_us)
            break;
        host->traffic.wakes++;
        step(sim, host, &(struct node_event){.kind = EVENT_TIMER});
        break;
    case SIM_STORE:
        if (event->incarnation == host->incarnation)
            run_store(sim, host);
        break;
    }
}

static void count_second(struct sim *sim) {
    if (sim->now_us < sim->second_us)
        return;
    sim->second_us = sim->now_us + US_PER_S;
    if (sim_goes_on)
        sim_goes_on(sim->now_us);
}

void sim_run(struct sim *sim, int64_t for_us) {
    int64_t until = sim->now_us + for_us;
    while (sim->n_events > 0 && sim->heap[0].at_us <= until) {
        struct sim_event event = event_pop(sim);
        sim->now_us = event.at_us > sim->now_us ? event.at_us : sim->now_us;
        run_event(sim, &event);
        free(event.bytes);
        properties_look(sim);
        count_second(sim);
    }
    sim->now_us = until;
}

bool sim_await(struct sim *sim, int64_t at_most_us, bool (*done)(struct sim *, void *),
               void *context) {
    int64_t until = sim->now_us + at_most_us;
    while (!done(sim, context)) {
        if (sim->now_us >= until)
            return false;
        sim_run(sim, 10 * US_PER_MS);
    }
    return true;
}
