/* What a node finds that has just started, beside hostile ones who would have it written to by
 * nobody, or write by way of them alone. */
#include "tests/sim/scenarios.h"

#include "daemon/core/base/wirebuf.h"
#include "daemon/core/node/node_private.h"
#include "daemon/core/route/path_private.h"
#include "tests/sim/properties.h"

#include <stdio.h>

/* The hosts 1 to HOSTILE are of one hand, the last one is the newcomer. */
#define HOSTILE 6u
#define FORM_US (60 * US_PER_S)

static uint64_t prefix_of(const struct sim *sim, unsigned host) {
    return node_id_prefix(node_id(sim->hosts[host].node));
}

/* Those of all hosts but the last form a network, of which the hostile ones have many links. */
static void form(struct sim *sim, unsigned links) {
    for (unsigned i = 1; i <= HOSTILE; i++)
        sim->hosts[i].config.pool_min = links;
    for (unsigned i = 0; i < sim->n_hosts - 1; i++)
        sim_start(sim, i, &sim->hosts[0].address, i > 0);
    if (!sim_await(sim, FORM_US, sim_all_know_all, NULL))
        sim_violation(sim, "no network formed");
}

/* ---- Who is told of it ---- */

#define MOVING_US (12 * US_PER_MINUTE)
#define MOVE_US (2 * US_PER_S)
#define KNOWN_US (10 * US_PER_S)

static void move_all(struct sim *sim) {
    for (unsigned i = 1; i <= HOSTILE; i++) {
        struct node *node = sim->hosts[i].node;
        sim->hosts[i].address.port ^= 1;
        links_probe_all(node->links, node->now.mono);
        links_flush(node->links, node->now.mono);
    }
}

static void move_for(struct sim *sim, int64_t us) {
    for (int64_t until = sim->now_us + us; sim->now_us < until; sim_run(sim, MOVE_US))
        move_all(sim);
}

/* For how many of the honest ones, of those that are no neighbours of it, links lead to it. */
static unsigned count_up(const struct sim *sim, unsigned *ret_of) {
    uint64_t prefix = prefix_of(sim, sim->n_hosts - 1);
    unsigned up = 0;

    *ret_of = 0;
    for (unsigned i = HOSTILE + 1; i < sim->n_hosts - 1; i++) {
        const struct node *node = sim->hosts[i].node;
        const struct directory_entry *entry = directory_find_prefix(node->directory, prefix);
        if (links_find(node->links, prefix))
            continue;
        ++*ret_of;
        up += entry && directory_is_up(node->directory, entry);
    }
    return up;
}

/* Links that move to and fro keep no neighbour from telling of another one. */
void scenario_movers(struct sim *sim) {
    unsigned newcomer = sim->n_hosts - 1, of;

    form(sim, 14);
    move_for(sim, MOVING_US);
    sim_start(sim, newcomer, &sim->hosts[0].address, 1);
    move_for(sim, KNOWN_US);
    unsigned up = count_up(sim, &of);
    property_holds(sim, PROPERTY_SCENARIO);
    if (sim->verbose)
        printf("# links lead to it for %u of %u after %d s\n", up, of, (int)(KNOWN_US / US_PER_S));
    if (up < of)
        sim_violation(sim, "beside links that move, links lead to a newcomer for %u of %u", up, of);
    for (unsigned i = HOSTILE + 1; i < newcomer; i += 3)
        sim_push(sim, i, newcomer, "welcome", 7);
    move_for(sim, KNOWN_US);
    if (!sim_all_delivered(sim, NULL))
        sim_violation(sim, "beside links that move, messages to a newcomer have not arrived");
    sim_check_messages(sim, true);
}

/* ---- By way of whom it writes ---- */

#define LIES_US (4 * US_PER_S)
#define LIE_US (100 * US_PER_MS)
#define SETTLED_US (5 * US_PER_S) /* and some: the keys of all have been held for long enough */
#define DRAWS 60

static bool is_hostile(const struct sim *sim, uint64_t prefix) {
    bool is = false;
    for (unsigned i = 1; i <= HOSTILE; i++)
        is |= prefix == prefix_of(sim, i);
    return is;
}

static void dial(struct sim *sim, unsigned from, unsigned to) {
    struct node *node = sim->hosts[from].node;

    if (links_find(node->links, prefix_of(sim, to)) ||
        links_is_dialling(node->links, &sim->hosts[to].address))
        return;
    links_dial(node->links, &sim->hosts[to].address, LINK_WANTED, node->machine);
    sim_poke(sim, from);
}

static void link_hostile(struct sim *sim) {
    for (unsigned i = 1; i <= HOSTILE; i++)
        for (unsigned j = i + 1; j <= HOSTILE; j++)
            dial(sim, i, j);
    sim_run(sim, US_PER_MINUTE);
}

/* Version 1, with a tag of nothing, of each of the honest. */
static void lie(struct sim *sim, unsigned liar, uint64_t to) {
    static const uint8_t tag[VERSION_TAG_LEN];
    uint8_t body[GOSSIP_ITEM_LEN * GOSSIP_ANNOUNCE_ITEMS];
    struct wire_writer w = wire_writer(body, sizeof body);
    struct node *node = sim->hosts[liar].node;

    for (unsigned i = 0; i < sim->n_hosts - 1; i++) {
        if (i >= 1 && i <= HOSTILE)
            continue;
        wire_put_uint(&w, prefix_of(sim, i), 8);
        wire_put_uint(&w, 1, 6);
        wire_put(&w, tag, sizeof tag);
        if (wire_room(&w) >= GOSSIP_ITEM_LEN && i + 1 < sim->n_hosts - 1)
            continue;
        links_send_frame(node->links, to, FRAME_ANNOUNCE, body, wire_length(&w), node->now.mono);
        sim_poke(sim, liar); /* one at a time leaves */
        w = wire_writer(body, sizeof body);
    }
}

static void lie_all(struct sim *sim, unsigned newcomer) {
    for (unsigned i = 1; i <= HOSTILE; i++)
        if (links_find(sim->hosts[i].node->links, prefix_of(sim, newcomer)))
            lie(sim, i, prefix_of(sim, newcomer));
        else if (i <= HOSTILE / 2)
            dial(sim, i, newcomer);
}

/* Of the paths that it draws: how many are there, and how many of hostile relays alone? */
static unsigned count_hostile(struct sim *sim, unsigned newcomer, unsigned *ret_drawn) {
    struct node *node = sim->hosts[newcomer].node;
    unsigned all = 0;

    *ret_drawn = 0;
    for (unsigned k = 0; k < DRAWS; k++) {
        unsigned to = HOSTILE + 1 + (unsigned)sim_below(sim, newcomer - HOSTILE - 1), good = 0;
        struct path_request request = {.target = *node_id(sim->hosts[to].node),
                                       .relays_exact = RELAYS_DEFAULT};
        uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
        struct path *path;
        bool fewer;
        if (path_draw(node->paths, &request, node->now, &path, &fewer) != PATH_OK)
            continue;
        size_t n = path_hops(path, hops);
        for (size_t i = 0; i + 1 < n; i++)
            good += !is_hostile(sim, hops[i]);
        ++*ret_drawn;
        all += good == 0 && n > 1;
        path_free(path);
    }
    return all;
}

/* Whoever has just started is told that there were older versions of all but the hostile ones: a
 * word keeps it from sending through nobody. */
void scenario_older(struct sim *sim) {
    unsigned newcomer = sim->n_hosts - 1, drawn;

    form(sim, 9);
    link_hostile(sim);
    sim_start(sim, newcomer, &sim->hosts[1].address, 1);
    for (int64_t until = sim->now_us + LIES_US; sim->now_us < until;) {
        sim_run(sim, LIE_US);
        lie_all(sim, newcomer);
    }
    sim_run(sim, SETTLED_US - LIES_US);
    unsigned hostile = count_hostile(sim, newcomer, &drawn);
    property_holds(sim, PROPERTY_SCENARIO);
    if (sim->verbose)
        printf("# it draws %u paths of %u, %u of hostile relays alone\n", drawn, DRAWS, hostile);
    if (drawn < DRAWS * 9 / 10 || hostile > drawn / 4)
        sim_violation(sim, "told of older versions it draws %u paths of %u, %u of hostile relays",
                      drawn, DRAWS, hostile);
}
