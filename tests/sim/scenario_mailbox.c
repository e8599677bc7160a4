/* Mail: both ends are away in turn, and nothing is lost; what others keep shows nobody's sender,
 * and has its bounds. By the seed: loss, a mailbox that dies, one that is restarted. */
#include "tests/sim/scenarios.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define SENDER 1u
#define RECIPIENT 2u
#define FLOODER 3u
#define VOLUNTEERS_FROM 4u
#define SMALL 12u
#define LARGE 40000u
#define ROOM (UINT64_C(1) << 20) /* mailbox.size */
#define COST 1024u               /* of a mail, beyond its bytes */
#define FULL_INBOX                                                                                 \
    (64u << 10) /* inbox.max: of three quarters LARGE leaves no room for half of it */

static void say(const struct sim *sim, const char *what) {
    if (sim->verbose)
        printf("# %8.3f s: %s\n", (double)sim->now_us / 1e6, what);
}

static bool is_whole(struct sim *sim, void *unused) {
    return sim_all_know_all(sim, unused) && sim_components(sim) == 1;
}

static void push(struct sim *sim, unsigned from, unsigned to, uint32_t size) {
    uint8_t *body = malloc(size + 1);
    if (!body)
        abort();
    for (uint32_t i = 0; i < size; i++)
        body[i] = (uint8_t)(i * 13 + sim->n_pushes);
    sim_push(sim, from, to, body, size);
    free(body);
}

/* ---- What a mailbox holds ---- */

struct holding {
    struct node_id sender;
    uint64_t n, cost, shown;
};

static bool contains(const uint8_t *bytes, uint64_t size, const uint8_t *what, size_t length) {
    for (uint64_t i = 0; i + length <= size; i++)
        if (bytes[i] == what[0] && memcmp(bytes + i, what, length) == 0)
            return true;
    return false;
}

static void look_at(void *context, const struct out_record *record, const uint8_t *body) {
    struct holding *holding = context;
    if (record->kind != KIND_MAIL || message_state_is_final(record->state))
        return;
    holding->n++;
    holding->cost += record->size + COST;
    holding->shown += contains(body, record->size, holding->sender.bytes, 8);
}

static struct holding held_by(const struct sim *sim, unsigned host) {
    struct holding holding = {.n = 0};
    crypto_sign_seed_keypair(holding.sender.bytes, (uint8_t[64]){0},
                             sim->hosts[SENDER].config.node_seed);
    model_store_visit_outs(sim->hosts[host].store, look_at, &holding);
    return holding;
}

/* A host that keeps mail, other than `but`; 0: none. */
static unsigned keeper(const struct sim *sim, unsigned but) {
    for (unsigned i = VOLUNTEERS_FROM; i < sim->n_hosts; i++)
        if (i != but && held_by(sim, i).n > 0)
            return i;
    return 0;
}

static bool nobody_keeps(struct sim *sim, void *dead) {
    return keeper(sim, *(const unsigned *)dead) == 0;
}

static void must_show_no_sender(struct sim *sim) {
    for (unsigned i = VOLUNTEERS_FROM; i < sim->n_hosts; i++)
        if (held_by(sim, i).shown > 0)
            sim_violation(sim, "host %u holds mail that shows its sender", i);
}

/* ---- Waiting ---- */

static bool all_are_kept(struct sim *sim, void *unused) {
    (void)unused;
    for (size_t i = 0; i < sim->n_pushes; i++) {
        struct sim_push *one = &sim->pushes[i];
        if (one->orphan || one->from != SENDER || message_state_is_final(one->state))
            continue;
        sim_ask(sim, i);
        if (one->mailboxes == 0)
            return false;
    }
    return true;
}

static void must_be_kept(struct sim *sim) {
    if (!sim_await(sim, 20 * US_PER_MINUTE, all_are_kept, NULL))
        sim_violation(sim, "not every message is in a mailbox");
    say(sim, "all is in a mailbox");
    must_show_no_sender(sim);
}

struct count {
    const struct sim *sim;
    size_t n;
};
static void count_arrived(void *context, enum message_kind kind, const struct in_record *record) {
    struct count *count = context;
    (void)kind, (void)record;
    count->n++;
}
static bool all_arrived(struct sim *sim, void *unused) {
    struct count count = {.sim = sim};
    size_t accepted = 0;
    (void)unused;
    for (size_t i = 0; i < sim->n_pushes; i++)
        accepted += sim->pushes[i].accepted && sim->pushes[i].to == RECIPIENT;
    model_store_visit(sim->hosts[RECIPIENT].store, count_arrived, &count);
    return count.n >= accepted;
}

/* ---- The story ---- */

static void start(struct sim *sim) {
    for (unsigned i = VOLUNTEERS_FROM; i < sim->n_hosts; i++)
        sim->hosts[i].config.mailbox_size = ROOM;
    for (unsigned i = 0; i < sim->n_hosts; i++)
        sim_start(sim, i, &sim->hosts[0].address, i > 0);
    if (!sim_await(sim, 4 * US_PER_MINUTE, is_whole, NULL))
        sim_violation(sim, "no network formed");
    sim_run(sim, 60 * US_PER_S); /* mailboxes are chosen, and published */
}

/* One of the two mailboxes is lost or restarted while it keeps mail. Returns the one that is
 * dead. */
static unsigned disturb(struct sim *sim, bool dies) {
    unsigned victim = keeper(sim, 0);
    sim_crash(sim, victim);
    if (dies) {
        say(sim, "a mailbox dies");
        return victim;
    }
    sim_run(sim, 3 * US_PER_S);
    sim_start(sim, victim, NULL, 0);
    say(sim, "a mailbox was restarted");
    return 0;
}

static void must_keep_within_bounds(struct sim *sim) {
    uint64_t refused = 0;
    struct status_report status;
    sim_run(sim, US_PER_MINUTE); /* it has published its mailboxes again */
    sim_crash(sim, RECIPIENT);
    for (unsigned i = 0; i < 12; i++)
        push(sim, FLOODER, RECIPIENT, 20000);
    sim_run(sim, 3 * US_PER_MINUTE);
    for (unsigned i = VOLUNTEERS_FROM; i < sim->n_hosts; i++) {
        struct holding holding = held_by(sim, i);
        if (holding.cost > ROOM / 8)
            sim_violation(sim, "host %u keeps %llu bytes for one", i,
                          (unsigned long long)holding.cost);
        if (!sim->hosts[i].node)
            continue;
        node_status(sim->hosts[i].node, (struct mono){sim->now_us}, &status);
        refused += status.counters.mail_refused;
        if (status.mail_held != holding.n || status.mail_bytes != holding.cost)
            sim_violation(sim, "host %u counts its mail wrongly", i);
    }
    if (refused == 0)
        sim_violation(sim, "no mailbox refused any of the flood");
    say(sim, "flooded");
    sim_start(sim, RECIPIENT, NULL, 0);
    if (!sim_await(sim, 10 * US_PER_MINUTE, all_arrived, NULL))
        sim_violation(sim, "the flood did not arrive");
}

void run_mailbox(struct sim *sim) {
    bool lossy = sim->seed % 2 == 1, dies = sim->seed / 2 % 2 == 1;
    if (sim->n_hosts < VOLUNTEERS_FROM + 3) {
        sim_violation(sim, "too few nodes for this");
        return;
    }
    sim->network.loss = lossy ? 0.1 : 0;
    start(sim);
    sim_crash(sim, RECIPIENT);
    push(sim, SENDER, RECIPIENT, 100);
    must_be_kept(sim);
    unsigned dead = disturb(sim, dies);
    for (unsigned i = 0; i < SMALL; i++)
        push(sim, SENDER, RECIPIENT, i * i * 40);
    push(sim, SENDER, RECIPIENT, LARGE);
    must_be_kept(sim);
    sim_crash(sim, SENDER); /* and is never seen again */
    sim_run(sim, US_PER_MINUTE);
    if (!dies)
        disturb(sim, false);
    sim_start(sim, RECIPIENT, NULL, 0);
    say(sim, "the recipient is back");
    if (!sim_await(sim, 10 * US_PER_MINUTE, all_arrived, NULL))
        sim_violation(sim, "mail did not arrive");
    say(sim, "all is there");
    if (!sim_await(sim, 10 * US_PER_MINUTE, nobody_keeps, &dead))
        sim_violation(sim, "a mailbox keeps what was delivered");
    sim_check_messages(sim, true);
    must_keep_within_bounds(sim);
    sim_check_messages(sim, true);
}

/* ---- A recipient without room ---- */

static unsigned keepers(const struct sim *sim) {
    unsigned n = 0;
    for (unsigned i = VOLUNTEERS_FROM; i < sim->n_hosts; i++)
        n += held_by(sim, i).n > 0;
    return n;
}

static bool has_refused(struct sim *sim, void *unused) {
    struct status_report status;
    (void)unused;
    node_status(sim->hosts[RECIPIENT].node, (struct mono){sim->now_us}, &status);
    return status.counters.refused_quota > 0;
}

static bool is_delivered(struct sim *sim, void *push) {
    return sim->pushes[*(const size_t *)push].state == MESSAGE_DELIVERED;
}

/* Its user takes what is there: then there is room again. */
static void take_all(struct sim *sim) {
    struct request pull = {.client = UINT64_C(1) << 41, .kind = REQUEST_PULL};
    struct request confirm = {.client = pull.client, .kind = REQUEST_CONFIRM};
    pull.pull.from_any = true;
    sim_request(sim, RECIPIENT, &pull);
    sim_run(sim, US_PER_S);
    sim_request(sim, RECIPIENT, &confirm);
    sim_run(sim, US_PER_S);
    sim_client_gone(sim, RECIPIENT, pull.client);
}

/* What waits with mailboxes is not lost because there is no room for it in the moment in which its
 * recipient is back; and meanwhile a mailbox's own messages to that one are not held up. */
void run_mailbox_full(struct sim *sim) {
    unsigned none = 0;
    sim->hosts[RECIPIENT].config.inbox_max = FULL_INBOX;
    sim->hosts[RECIPIENT].config.store_retention_us = 0;
    start(sim);
    push(sim, FLOODER, RECIPIENT, LARGE);
    if (!sim_await(sim, US_PER_MINUTE, sim_all_delivered, NULL))
        sim_violation(sim, "what is to fill the inbox did not arrive");
    sim_crash(sim, RECIPIENT);
    push(sim, SENDER, RECIPIENT, LARGE / 2);
    must_be_kept(sim);
    sim_run(sim, US_PER_MINUTE);
    sim_crash(sim, SENDER); /* and is never seen again */
    unsigned kept = keepers(sim), own = keeper(sim, 0);
    sim_start(sim, RECIPIENT, NULL, 0);
    if (!sim_await(sim, 2 * US_PER_MINUTE, has_refused, NULL))
        sim_violation(sim, "nothing was refused: this run shows nothing");
    sim_run(sim, 5 * US_PER_MINUTE);
    if (keepers(sim) < kept)
        sim_violation(sim, "of %u mailboxes %u still keep what was refused for now", kept,
                      keepers(sim));
    size_t number = sim->n_pushes;
    push(sim, own, RECIPIENT, 100);
    if (!sim_await(sim, 5 * US_PER_S, is_delivered, &number))
        sim_violation(sim, "mail that is refused holds up a message of the mailbox's own");
    sim->pushes[0].state = sim->pushes[number].state =
        MESSAGE_EXPIRED; /* taken: not to be missed */
    take_all(sim);
    if (!sim_await(sim, 20 * US_PER_MINUTE, all_arrived, NULL))
        sim_violation(sim, "there is room again, and the mail did not arrive");
    if (!sim_await(sim, 20 * US_PER_MINUTE, nobody_keeps, &none))
        sim_violation(sim, "a mailbox keeps what was delivered");
    sim_check_messages(sim, true);
}
