/* Those who push and pull in a chaos: what they were promised is what is checked. */
#include "tests/sim/chaos.h"
#include "tests/sim/properties.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define PULLERS_FROM (UINT64_C(1) << 40) /* numbers of clients that pull */
#define MARK_LEN 32
#define EXPIRY_SLACK_US (4 * US_PER_MINUTE) /* it goes by wall clocks, which are set */

struct puller {
    uint64_t client; /* 0: none */
    bool handed;     /* it holds messages that it has not confirmed */
    bool confirming;
};
struct clients {
    struct sim *sim;
    struct puller *pullers; /* one a host */
    uint64_t n;
};

static void take_answer(struct sim *sim, struct sim_host *host, const struct answer *answer);

struct clients *clients_new(struct sim *sim) {
    struct clients *clients = calloc(1, sizeof *clients);
    if (!clients || !(clients->pullers = calloc(sim->n_hosts, sizeof *clients->pullers)))
        abort();
    clients->sim = sim;
    sim->context = clients;
    sim->answered = take_answer;
    sim_fill(sim, sim->marker, sizeof sim->marker);
    sim->marker[0] |= 1; /* zero would mean none */
    return clients;
}

void clients_free(struct clients *clients) {
    clients->sim->answered = NULL;
    free(clients->pullers);
    free(clients);
}

static unsigned honest_host(struct sim *sim, bool up) {
    for (;;) {
        unsigned i = (unsigned)sim_below(sim, sim->n_hosts);
        if (!sim->hosts[i].adversary && (!up || sim->hosts[i].node))
            return i;
    }
}

/* ---- Pushing ---- */

/* Mostly what people write, now and then what fills parcels, blocks, and several of them. */
static uint32_t draw_size(struct sim *sim) {
    static const uint32_t bounds[] = {0, 1, 40, 300, 827, 4000, 20000, 65536, 65537, 200000};
    static const unsigned chances[] = {2, 2, 20, 40, 10, 20, 6, 1, 1, 2};
    unsigned draw = (unsigned)sim_below(sim, 104), i = 0;

    while (draw >= chances[i])
        draw -= chances[i++];
    if (bounds[i] <= 1 || bounds[i] == 65536 || bounds[i] == 65537)
        return bounds[i];
    return (uint32_t)sim_below(sim, bounds[i] + 1);
}

void clients_push(struct clients *clients) {
    struct sim *sim = clients->sim;
    uint8_t mark[MARK_LEN];
    uint32_t size = draw_size(sim);
    uint8_t *body = malloc(size + 1);

    if (!body)
        abort();
    sim_fill(sim, mark, sizeof mark);
    memcpy(mark, sim->marker, sizeof sim->marker);
    for (uint32_t i = 0; i < size; i++) /* so that any piece of it holds the marker */
        body[i] = mark[i % MARK_LEN];
    sim_push(sim, honest_host(sim, true), honest_host(sim, false), body, size);
    free(body);
}

/* ---- Pulling ---- */

static void settle(struct sim *sim, uint64_t client, bool taken) {
    for (size_t i = 0; i < sim->n_pushes; i++)
        if (sim->pushes[i].pulling == client) {
            sim->pushes[i].pulling = 0;
            sim->pushes[i].taken |= taken;
        }
}

static void take_message(struct sim *sim, unsigned host, uint64_t client,
                         const struct in_record *record) {
    struct node_id sender;

    property_holds(sim, PROPERTY_HANDED);
    for (size_t i = 0; i < sim->n_pushes; i++) {
        struct sim_push *push = &sim->pushes[i];
        if (push->to != host || memcmp(&push->id, &record->id, sizeof push->id) != 0)
            continue;
        crypto_sign_seed_keypair(sender.bytes, (uint8_t[64]){0},
                                 sim->hosts[push->from].config.node_seed);
        if (push->taken || push->pulling)
            property_breaks(sim, PROPERTY_HANDED, "message %zu is handed out again, %s", i,
                            push->taken ? "though it was taken" : "while another client has it");
        if (record->size != push->size || memcmp(record->body, push->body, push->size) != 0 ||
            !node_id_is_equal(&sender, &record->sender))
            property_breaks(sim, PROPERTY_ONCE, "message %zu is handed out changed", i);
        push->pulling = client;
        return;
    }
    property_breaks(sim, PROPERTY_ONCE, "host %u hands out a message that nobody sent", host);
}

static void take_answer(struct sim *sim, struct sim_host *host, const struct answer *answer) {
    struct clients *clients = sim->context;
    struct puller *puller = &clients->pullers[host - sim->hosts];

    if (puller->client != answer->client)
        return;
    /* Whatever comes after a confirmation says that it held, or, as text, that it did not. */
    if (puller->confirming)
        settle(sim, puller->client, answer->kind == ANSWER_MESSAGES);
    puller->confirming = false;
    if (answer->kind == ANSWER_MESSAGES)
        for (size_t i = 0; i < answer->messages.n; i++)
            take_message(sim, (unsigned)(host - sim->hosts), puller->client,
                         &answer->messages.v[i]);
    puller->handed = answer->kind == ANSWER_MESSAGES && answer->messages.n > 0;
    if (answer->end) {
        settle(sim, puller->client, false);
        *puller = (struct puller){.client = 0};
    }
}

static void begin(struct clients *clients, unsigned host) {
    struct sim *sim = clients->sim;
    struct request request = {.client = PULLERS_FROM + ++clients->n, .kind = REQUEST_PULL};

    request.pull.from_any = true;
    request.pull.max = (uint32_t)sim_below(sim, 4);
    request.pull.wait = sim_chance(sim, 0.3);
    clients->pullers[host] = (struct puller){.client = request.client};
    sim_request(sim, host, &request);
}

void clients_pull(struct clients *clients) {
    struct sim *sim = clients->sim;
    unsigned host = honest_host(sim, true);
    struct puller *puller = &clients->pullers[host];
    struct request request = {.client = puller->client, .kind = REQUEST_CONFIRM};

    if (puller->client == 0) {
        begin(clients, host);
    } else if (puller->handed && sim_chance(sim, 0.7)) {
        puller->handed = false;
        puller->confirming = true;
        sim_request(sim, host, &request);
    } else if (sim_chance(sim, 0.5)) {
        uint64_t client = puller->client;
        settle(sim, client, false);
        *puller = (struct puller){.client = 0};
        sim_client_gone(sim, host, client);
    }
}

void clients_died(struct clients *clients, unsigned host) {
    clients->pullers[host] = (struct puller){.client = 0};
}

/* ---- What is still owed ---- */

struct search {
    const struct sim_push *push;
    bool found;
};

static void look_for(void *context, enum message_kind kind, const struct in_record *record) {
    struct search *search = context;
    (void)kind;
    search->found |= memcmp(&record->id, &search->push->id, sizeof record->id) == 0;
}

unsigned clients_open(struct clients *clients, const bool *gone, bool print) {
    struct sim *sim = clients->sim;
    unsigned open = 0;

    for (size_t i = 0; i < sim->n_pushes; i++) {
        struct search search = {.push = &sim->pushes[i]};
        const struct sim_push *push = search.push;
        if (!push->accepted || gone[push->from] || gone[push->to])
            continue;
        model_store_visit(sim->hosts[push->to].store, look_for, &search);
        bool over = push->state == MESSAGE_EXPIRED ||
                    sim->now_us - push->pushed_us >
                        sim->hosts[push->from].config.delivery_expire_us + EXPIRY_SLACK_US;
        if ((search.found || over) && (push->orphan || message_state_is_final(push->state)))
            continue;
        open++;
        if (print)
            printf("# open: %u to %u, %u bytes, %s, state %d%s\n", push->from, push->to, push->size,
                   search.found ? "arrived" : "not there", (int)push->state,
                   push->orphan ? ", its client died" : "");
    }
    return open;
}
