/* Messages to addresses: whoever types one means the machine that is there, whatever others say. */
#include "daemon/core/node/node_private.h"
#include "tests/sim/adversary.h"
#include "tests/sim/nat.h"
#include "tests/sim/scenarios.h"

#include <stdio.h>
#include <stdlib.h>

#define ACCOMPLICES 3 /* the last hosts; the very last is the one who poses */
#define FORM_US (60 * US_PER_S)
#define SPREAD_US (30 * US_PER_S) /* by then every node has heard what they say */
#define ANSWER_US (10 * US_PER_S) /* a client waits so long for the word that it is queued */
#define DELIVER_US (60 * US_PER_S)

static unsigned poser_of(const struct sim *sim) {
    return sim->n_hosts - 1;
}

static bool is_accomplice(const struct sim *sim, unsigned host) {
    return host + ACCOMPLICES >= sim->n_hosts;
}

static void start(struct sim *sim) {
    for (unsigned i = 0; i < sim->n_hosts; i++) {
        if (is_accomplice(sim, i))
            sim->hosts[i].adversary = adversary_new(sim, 0);
        sim_start(sim, i, &sim->hosts[0].address, i > 0);
    }
}

static void publish(struct sim *sim, unsigned host) {
    sim->hosts[host].node->publisher.dirty = sim->hosts[host].node->publisher.pressing = true;
    sim_poke(sim, host);
}

static bool is_link_to_accomplice(const struct sim *sim, const struct link_view *link) {
    for (unsigned i = sim->n_hosts - ACCOMPLICES; i < sim->n_hosts; i++)
        if (node_id_is_equal(&link->id, node_id(sim->hosts[i].node)))
            return true;
    return false;
}

/* Room for the accomplices among its neighbours. */
static void make_room(struct sim *sim, unsigned host) {
    uint64_t prefixes[TOPOLOGY_DEGREE_MAX + 2];
    size_t n = node_neighbours(sim->hosts[host].node, prefixes);

    for (size_t i = 0; n > ACCOMPLICES + i && i < ACCOMPLICES; i++) {
        struct request request = {.kind = REQUEST_DISCONNECT};
        const struct link_view *link = links_find(sim->hosts[host].node->links, prefixes[i]);
        request.to.to.kind = DEST_ID;
        memcpy(request.to.to.id, link->id.bytes, NODE_ID_LEN);
        if (!is_link_to_accomplice(sim, link))
            sim_request(sim, host, &request);
    }
}

/* From now on the accomplices say so, and are neighbours of the poser. */
static void pose_at(struct sim *sim, const struct address *at) {
    unsigned poser = poser_of(sim);

    make_room(sim, poser);
    sim_run(sim, US_PER_S / 10);
    for (unsigned i = sim->n_hosts - ACCOMPLICES; i < sim->n_hosts; i++) {
        struct request request = {.kind = REQUEST_CONNECT};
        adversary_pose(sim->hosts[i].adversary, node_id(sim->hosts[poser].node), at);
        request.connect.address = sim->hosts[poser].address;
        if (i != poser)
            sim_request(sim, i, &request);
    }
    sim_run(sim, US_PER_S); /* the links are up */
    for (unsigned i = sim->n_hosts - ACCOMPLICES; i < sim->n_hosts; i++)
        publish(sim, i);
    sim_run(sim, SPREAD_US);
    /* Else nothing would be tested. */
    const struct directory *directory = sim->hosts[0].node->directory;
    const struct directory_entry *entry =
        directory_find(directory, node_id(sim->hosts[poser].node));
    if (!entry || !directory_address_counts(directory, entry, at))
        sim_violation(sim, "the false address is not confirmed: this run shows nothing");
}

static bool all_answered(struct sim *sim, void *unused) {
    (void)unused;
    for (size_t i = 0; i < sim->n_pushes; i++)
        if (!sim->pushes[i].answered && !sim->pushes[i].orphan)
            return false;
    return true;
}

static void must_answer(struct sim *sim) {
    if (!sim_await(sim, ANSWER_US, all_answered, NULL))
        sim_violation(sim, "a client waits for longer than %lld s",
                      (long long)(ANSWER_US / US_PER_S));
}

static void must_accept(struct sim *sim, size_t from, const char *when) {
    must_answer(sim);
    unsigned refused = 0;
    for (size_t i = from; i < sim->n_pushes; i++)
        refused += !sim->pushes[i].accepted && !sim->pushes[i].orphan;
    if (refused > 0)
        sim_violation(sim, "%u of %zu pushes by address are refused %s", refused,
                      sim->n_pushes - from, when);
}

static void must_deliver(struct sim *sim) {
    if (!sim_await(sim, DELIVER_US, sim_all_delivered, NULL))
        sim_violation(sim, "not every message by address has arrived");
    sim->violations += sim_check_messages(sim, true);
}

/* In its first second a node knows nobody: the address is asked. */
static void push_at_once(struct sim *sim) {
    for (unsigned i = 1; !is_accomplice(sim, i); i++)
        sim_push_at(sim, i, i - 1, &sim->hosts[i - 1].address, "first", 5);
    must_accept(sim, 0, "in the first second");
    must_deliver(sim);
}

static void push_to_the_posed(struct sim *sim) {
    size_t from = sim->n_pushes;

    for (unsigned i = 0; !is_accomplice(sim, i); i++)
        if (i != 1)
            sim_push_at(sim, i, 1, &sim->hosts[1].address, "to the honest one", 17);
    must_accept(sim, from, "where another claims the address");
    must_deliver(sim);
}

/* An address where nobody is. The accomplices may be neighbours that a node chose itself: that is
 * the luck of some, and no proof for a pin. */
static void push_to_nobody(struct sim *sim, const struct address *at) {
    size_t from = sim->n_pushes;
    unsigned accepted = 0, pinned = 0;
    const struct node_id *poser = node_id(sim->hosts[poser_of(sim)].node);

    for (unsigned i = 0; !is_accomplice(sim, i); i++)
        sim_push_at(sim, i, poser_of(sim), at, "to nobody", 9);
    must_answer(sim);
    for (size_t i = from; i < sim->n_pushes; i++)
        accepted += sim->pushes[i].accepted;
    for (unsigned i = 0; !is_accomplice(sim, i); i++) {
        const struct directory_entry *entry = directory_find(sim->hosts[i].node->directory, poser);
        pinned += entry && entry->pinned;
    }
    if (pinned > 0)
        sim_violation(sim, "%u nodes pinned a key where nobody is", pinned);
    if (accepted > (sim->n_pushes - from) / 4)
        sim_violation(sim, "%u of %zu messages to nobody are accepted", accepted,
                      sim->n_pushes - from);
    must_deliver(sim);
}

/* A quarter is gone at once, and with it those who confirmed the addresses of the rest. */
static void push_after_losses(struct sim *sim) {
    unsigned n = sim->n_hosts - ACCOMPLICES, last = 0;

    for (unsigned k = 0; k < n / 4; k++)
        sim_crash(sim, 2 + 3 * k % (n - 2));
    size_t from = sim->n_pushes;
    for (unsigned i = 1; i < n; i++)
        if (sim->hosts[i].node) {
            sim_push_at(sim, i, last, &sim->hosts[last].address, "after the loss", 14);
            last = i;
        }
    must_accept(sim, from, "after a quarter was killed");
    must_deliver(sim);
}

void scenario_addresses(struct sim *sim) {
    struct address nowhere;

    start(sim);
    push_at_once(sim);
    if (!sim_await(sim, FORM_US, sim_all_know_all, NULL))
        sim_violation(sim, "they do not all know all");
    sim_run(sim, FORM_US);
    pose_at(sim, &sim->hosts[1].address);
    push_to_the_posed(sim);
    address_parse("192.0.2.77:58008", &nowhere);
    pose_at(sim, &nowhere);
    push_to_nobody(sim, &nowhere);
    push_after_losses(sim);
}

/* ---- Ports of an IP ---- */

#define OTHER_PORT 4007 /* of one who is not at the usual one */

/* Three identities claim twelve ports of it where nobody is. */
static void push_to_a_crowded_ip(struct sim *sim, unsigned to, const char *when) {
    size_t from = sim->n_pushes;
    struct address ip = sim->hosts[to].address, first = ip;

    for (unsigned i = sim->n_hosts - ACCOMPLICES; i < sim->n_hosts; i++) {
        first.port = (uint16_t)(7000 + DESCRIPTOR_ADDRESSES_MAX * i);
        adversary_claim(sim->hosts[i].adversary, &first);
        publish(sim, i);
    }
    sim_run(sim, SPREAD_US);
    ip.port = 0;
    for (unsigned i = 0; !is_accomplice(sim, i); i++)
        if (i != to)
            sim_push_at(sim, i, to, &ip, "by the IP", 9);
    must_accept(sim, from, when);
    must_deliver(sim);
}

void scenario_ports(struct sim *sim) {
    sim->hosts[2].address.port = OTHER_PORT;
    start(sim);
    if (!sim_await(sim, FORM_US, sim_all_know_all, NULL))
        sim_violation(sim, "they do not all know all");
    sim_run(sim, FORM_US);
    push_to_a_crowded_ip(sim, 1, "where others claim the IP's ports");
    push_to_a_crowded_ip(sim, 2,
                         "where others claim the ports of an IP, and it has none but an odd one");
}

/* ---- Behind a translator ---- */

#define TRANSLATED 1

/* By every second seed all are in one private network; else everybody is in one of his own, but for
 * the member, who has two for his three identities. */
static void spread_over_networks(struct sim *sim) {
    for (unsigned i = 0; sim->seed % 2 && i < sim->n_hosts; i++)
        sim->hosts[i].address.ip[12] =
            (uint8_t)(20 + (is_accomplice(sim, i) ? i % 2 : 2 + i % 100));
}

static void push_inside(struct sim *sim, const struct address *at, const char *when) {
    size_t from = sim->n_pushes;
    unsigned accepted = 0;

    for (unsigned i = 0; !is_accomplice(sim, i); i++)
        if (i != TRANSLATED)
            sim_push_at(sim, i, TRANSLATED, at, "inside", 6);
    must_answer(sim);
    for (size_t i = from; i < sim->n_pushes; i++)
        accepted += sim->pushes[i].accepted;
    if (sim->verbose)
        printf("# %s: %u of %zu are accepted\n", when, accepted, sim->n_pushes - from);
    if (10 * accepted < 9 * (sim->n_pushes - from))
        sim_violation(sim, "only %u of %zu pushes to a node behind a translator are accepted %s",
                      accepted, sim->n_pushes - from, when);
    must_deliver(sim);
}

void scenario_translator(struct sim *sim) {
    sim->nat = nat_new(sim, 1);
    sim->hosts[TRANSLATED].box = 1;
    spread_over_networks(sim);
    start(sim);
    if (!sim_await(sim, FORM_US, sim_all_know_all, NULL))
        sim_violation(sim, "they do not all know all");
    sim_run(sim, FORM_US);
    struct address at = sim->hosts[TRANSLATED].node->address, typed = at;
    if (nat_is_symmetric(sim->nat, sim->hosts[TRANSLATED].box))
        typed.port = 0; /* each neighbour sees another port: the IP alone says something */
    push_inside(sim, &typed, "while nobody else claims its address");
    pose_at(sim, &at);
    push_inside(sim, &typed, "while another claims its address");
}
