/* Golden traces: what every node of a small network does, step by step, as text. tests/sim/golden
 * holds how it was; check.sh there compares. The network has no chance of its own, so that a line
 * changes only where a node does something else. */
#include "daemon/core/link/link_private.h"
#include "tests/sim/scenarios.h"
#include "tests/sim/steps.h"
#include "tests/sim/watch.h"

#include <stdio.h>

#define DELAY_US (5 * US_PER_MS)
#define DELIVER_US (60 * US_PER_S)
#define SETTLED_US (2 * US_PER_MINUTE) /* nothing is new to anybody any more */
#define FRAMES_MAX 64

#define NAME(prefix, name) [prefix##name] = #name
static const char *const event_names[] = {NAME(EVENT_, TIMER),       NAME(EVENT_, DATAGRAMS),
                                          NAME(EVENT_, REQUEST),     NAME(EVENT_, STORED),
                                          NAME(EVENT_, CLIENT_GONE), NAME(EVENT_, BOOTSTRAP),
                                          NAME(EVENT_, LEAVE),       NAME(EVENT_, RECONFIGURE),
                                          NAME(EVENT_, MACHINE),     NAME(EVENT_, NETWORK_CHANGED)};
static const char *const op_names[] = {
    NAME(STORE_, OUT_PUT),       NAME(STORE_, OUT_STATE), NAME(STORE_, OUT_PROGRESS),
    NAME(STORE_, OUT_READDRESS), NAME(STORE_, OUT_READ),  NAME(STORE_, OUT_FIND),
    NAME(STORE_, OUT_PENDING),   NAME(STORE_, IN_PUT),    NAME(STORE_, IN_FETCH),
    NAME(STORE_, IN_TAKE),       NAME(STORE_, NODE_PUT),  NAME(STORE_, NODE_UNPIN),
    NAME(STORE_, SPARES_PUT),    NAME(STORE_, SEQUENCE),  NAME(STORE_, HISTORY),
    NAME(STORE_, CONVERSATIONS), NAME(STORE_, FORGET),    NAME(STORE_, FILES),
    NAME(STORE_, FILE_TAKE),     NAME(STORE_, RULE_PUT),  NAME(STORE_, MAIL_KEY),
    NAME(STORE_, UPLOAD_DROP),   NAME(STORE_, CLOCK),     NAME(STORE_, SWEEP)};
static const char *const datagram_names[] = {NAME(TYPE_, INIT), NAME(TYPE_, RESPONSE),
                                             NAME(TYPE_, FINISH), NAME(TYPE_, COOKIE),
                                             NAME(TYPE_, DATA)};
static const char *const frame_names[] = {
    NAME(FRAME_, PADDING),    NAME(FRAME_, PING),   NAME(FRAME_, PONG),      NAME(FRAME_, ONION),
    NAME(FRAME_, VERDICT),    NAME(FRAME_, CLOSE),  NAME(FRAME_, ANNOUNCE),  NAME(FRAME_, WANT),
    NAME(FRAME_, DESCRIPTOR), NAME(FRAME_, DIGEST), NAME(FRAME_, INTRODUCE), NAME(FRAME_, PROOF)};
static const char *const state_names[] = {NAME(MESSAGE_, QUEUED),    NAME(MESSAGE_, SENT),
                                          NAME(MESSAGE_, DELIVERED), NAME(MESSAGE_, EXPIRED),
                                          NAME(MESSAGE_, FAILED),    NAME(MESSAGE_, REFUSED)};

static struct {
    uint64_t to[FRAMES_MAX]; /* prefixes */
    uint8_t type[FRAMES_MAX];
    unsigned n;
} frames; /* of the step that is under way */

static const char *name_of(const char *const *names, size_t n, unsigned kind) {
    return kind < n && names[kind] ? names[kind] : "(without a name here)";
}
#define NAME_OF(names, kind) name_of(names, sizeof(names) / sizeof *(names), (unsigned)(kind))

static unsigned host_at(const struct sim *sim, const struct address *address) {
    unsigned i = 0;
    while (i < sim->n_hosts && !address_is_equal(&sim->hosts[i].address, address))
        i++;
    return i;
}

static unsigned host_with(const struct sim *sim, uint64_t prefix) {
    unsigned i = 0;
    while (i < sim->n_hosts &&
           (!sim->hosts[i].node || node_id_prefix(node_id(sim->hosts[i].node)) != prefix))
        i++;
    return i;
}

void golden_frame(uint64_t prefix, uint8_t type) {
    if (!watch_sim() || !watch_sim()->stepped || frames.n == FRAMES_MAX)
        return;
    frames.to[frames.n] = prefix;
    frames.type[frames.n++] = type;
}

static void print_cause(const struct sim *sim, const struct node_event *event) {
    printf("%s", NAME_OF(event_names, event->kind));
    for (size_t i = 0; event->kind == EVENT_DATAGRAMS && i < event->datagrams.n; i++)
        printf(" from %u", host_at(sim, &event->datagrams.v[i].remote));
    if (event->kind == EVENT_STORED)
        printf(" %zu", event->stored.n);
    printf("\n");
}

static void print_answer(const struct answer *answer) {
    printf("  answer %llu: ", (unsigned long long)answer->client);
    if (answer->kind == ANSWER_MESSAGE)
        printf("%s", NAME_OF(state_names, answer->message.state));
    else
        printf("kind %d", (int)answer->kind);
    printf("%s\n", answer->end ? ", end" : "");
}

static void print_step(struct sim *sim, const struct sim_host *host, const struct node_event *event,
                       const struct node_update *update) {
    printf("%.6f s, node %td: ", (double)sim->now_us / 1e6, host - sim->hosts);
    print_cause(sim, event);
    for (unsigned i = 0; i < frames.n; i++)
        printf("  frame %s to %u\n", NAME_OF(frame_names, frames.type[i]),
               host_with(sim, frames.to[i]));
    for (size_t i = 0; i < update->n_ops; i++)
        printf("  store %s\n", NAME_OF(op_names, update->ops[i].kind));
    for (size_t i = 0; i < update->n_datagrams; i++)
        printf("  send %s, %zu bytes, to %u\n",
               NAME_OF(datagram_names, update->datagrams[i].bytes[0]), update->datagrams[i].length,
               host_at(sim, &update->datagrams[i].remote));
    for (size_t i = 0; i < update->n_answers; i++)
        print_answer(&update->answers[i]);
    if (update->wake.us == INT64_MAX)
        printf("  wake never\n");
    else if (update->wake.us <= sim->now_us)
        printf("  wake at once\n");
    else
        printf("  wake after %.6f s\n", (double)(update->wake.us - sim->now_us) / 1e6);
    frames.n = 0;
}

static void start_all(struct sim *sim) {
    sim->network.delay_min_us = sim->network.delay_max_us = DELAY_US;
    sim_start_some(sim, 0, sim->n_hosts);
}

void golden_join(struct sim *sim) {
    sim->stepped = print_step;
    start_all(sim);
    sim_must_form(sim);
}

/* From the first host to the last, over all others: three relays of five. */
void golden_push(struct sim *sim) {
    start_all(sim);
    sim_must_form(sim);
    sim_run(sim, SETTLED_US);
    sim->stepped = print_step;
    sim_push(sim, 0, sim->n_hosts - 1, "a message", 9);
    if (!sim_await(sim, DELIVER_US, sim_all_delivered, NULL))
        sim_violation(sim, "it was not delivered");
    sim->stepped = NULL;
}
