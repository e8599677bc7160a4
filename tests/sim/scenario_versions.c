/* One relay that shows others another version of itself than the rest see: another key for every
 * neighbour, another sequence, another time. */
#include "tests/sim/scenarios.h"

#include "daemon/core/node/node_private.h"
#include "daemon/core/route/path_private.h"
#include "tests/sim/adversary.h"
#include "tests/sim/properties.h"
#include "tests/sim/steps.h"
#include "tests/sim/watch.h"

#include <stdio.h>
#include <stdlib.h>

#define TAGGED_US (60 * US_PER_S)
#define LOOK_US (100 * US_PER_MS)
#define REKEY_US (5 * US_PER_S)
#define DELIVER_US (60 * US_PER_S)
#define HANDED 60 /* twice as many as would part the others for good if each were taken */
#define HAND_US (350 * US_PER_MS)
#define HANDED_AGAIN_US (3 * US_PER_S)
#define LEAP_US (1500 * US_PER_MS)
#define VERSIONS_AGREE_US (5 * US_PER_S) /* the latest pair may be on its way */

/* The key by which this node would have a packet opened there, where it may route through it at
 * all. */
static bool key_of(const struct node *node, uint64_t relay, uint8_t ret[KEY_LEN]) {
    const struct directory_entry *entry = directory_find_prefix(node->directory, relay);
    struct descriptor descriptor;

    if (!entry || !topology_relays(directory_topology(node->directory), relay))
        return false;
    directory_descriptor(entry, &descriptor);
    const uint8_t *key = descriptor_routing_key(&descriptor, wall_epoch(node->now.wall));
    if (key)
        memcpy(ret, key, KEY_LEN);
    return key != NULL;
}

/* Into how many groups the keys of their packets part those who would send through this relay. */
static unsigned count_groups(const struct sim *sim, unsigned relay, unsigned *ret_senders) {
    uint64_t prefix = node_id_prefix(node_id(sim->hosts[relay].node));
    uint8_t(*keys)[KEY_LEN] = calloc(sim->n_hosts, sizeof *keys), key[KEY_LEN];
    unsigned n = 0, i;

    if (!keys)
        abort();
    *ret_senders = 0;
    for (unsigned host = 0; host < sim->n_hosts; host++) {
        if (host == relay || !key_of(sim->hosts[host].node, prefix, key))
            continue;
        ++*ret_senders;
        for (i = 0; i < n && memcmp(keys[i], key, KEY_LEN) != 0; i++)
            ;
        if (i == n)
            memcpy(keys[n++], key, KEY_LEN);
    }
    free(keys);
    return n;
}

static void publish_now(struct sim *sim, unsigned relay) {
    struct node *node = sim->hosts[relay].node;

    node_self_sign(node);
    gossip_offer_news(node->gossip, node_id_prefix(node_id(node)), 0, node->now.mono);
    sim_poke(sim, relay);
}

static void change_keys(struct sim *sim, unsigned relay) {
    adversary_gossip(sim, relay, 1);
}

/* Look ten times a second whether there is more than one, while the relay does what it does. Says
 * in how many looks somebody would send through it: without any, nothing is shown. */
static unsigned must_not_tag(struct sim *sim, unsigned relay, int64_t act_every_us,
                             void (*act)(struct sim *sim, unsigned relay)) {
    unsigned most = 0, at_most = 0, senders, told = 0, looks = 0, used = 0;
    int64_t began = sim->now_us, acted = sim->now_us;

    for (; sim->now_us - began < TAGGED_US; looks++) {
        if (act_every_us > 0 && sim->now_us - acted >= act_every_us) {
            act(sim, relay);
            acted = sim->now_us;
        }
        sim_run(sim, LOOK_US);
        unsigned groups = count_groups(sim, relay, &senders);
        told += groups > 1;
        used += groups > 0;
        if (groups > most) {
            most = groups;
            at_most = senders;
        }
    }
    if (sim->verbose)
        printf("# somebody would send through it in %u of %u looks\n", used, looks);
    if (told > 0)
        sim_violation(sim, "a relay tells %u groups of %u senders apart (%u of %u looks)", most,
                      at_most, told, looks);
    return used;
}

/* The same of a relay that nothing is proven against: it is sent through in between. */
static void must_serve_untagged(struct sim *sim, unsigned relay, int64_t act_every_us,
                                void (*act)(struct sim *sim, unsigned relay)) {
    if (must_not_tag(sim, relay, act_every_us, act) == 0)
        sim_violation(sim, "nobody would ever send through the relay");
}

static void must_be_convicted(struct sim *sim, unsigned relay) {
    for (unsigned i = 0; i < sim->n_hosts; i++) {
        const struct directory_entry *entry =
            directory_find(sim->hosts[i].node->directory, node_id(sim->hosts[relay].node));
        if (i != relay && (!entry || !entry->convicted))
            sim_violation(sim, "host %u has no proof against the relay", i);
    }
    if (!sim_await(sim, VERSIONS_AGREE_US, sim_versions_agree, NULL))
        sim_violation(sim, "nodes hold two versions of one sequence");
}

/* A relay that gives each neighbour another key would learn from one packet in which region its
 * sender is. */
void scenario_equivocation(struct sim *sim) {
    unsigned relay = sim_form_around(sim, HABIT_EQUIVOCATES);

    must_not_tag(sim, relay, 0, NULL);
    must_be_convicted(sim, relay);
    sim_push_some(sim, 20);
}

/* One that has a new key every few seconds, of which one neighbour hears first: nothing is proven,
 * and nothing is sent through it while some have the one key and some the other. */
void scenario_succession(struct sim *sim) {
    unsigned relay = sim_form_around(sim, HABIT_REKEYS);

    sim_run(sim, 10 * US_PER_S);
    must_serve_untagged(sim, relay, REKEY_US, change_keys);
    adversary_keep(sim->hosts[relay].adversary, 0);
    sim_push_some(sim, 20);
}

/* It meets everybody, whoever is its neighbour. */
static void dial_all(struct sim *sim, unsigned relay) {
    struct node *node = sim->hosts[relay].node;

    for (unsigned i = 0; i < sim->n_hosts; i++)
        if (i != relay)
            links_dial(node->links, &sim->hosts[i].address, LINK_WANTED, node->machine);
    sim_poke(sim, relay);
}

/* One that hands its versions over in handshakes: first so many that nobody would ask others for a
 * while, then a key for each, again and again. */
void scenario_handed(struct sim *sim) {
    unsigned relay = sim_form_around(sim, HABIT_HANDS);

    sim_run(sim, 30 * US_PER_S);
    adversary_hand(sim->hosts[relay].adversary, HANDS_LATER);
    for (unsigned i = 0; i < HANDED; i++) {
        dial_all(sim, relay);
        sim_run(sim, HAND_US);
    }
    sim_run(sim, 6 * US_PER_S);
    adversary_hand(sim->hosts[relay].adversary, HANDS_KEYS);
    must_serve_untagged(sim, relay, HANDED_AGAIN_US, dial_all);
    adversary_keep(sim->hosts[relay].adversary, 0);
    sim_push_some(sim, 20);
}

/* By gossip alone: what its pace lets through is spent on versions that change nothing, the last of
 * it on one for each neighbour, which goes no further than to where another has been. */
void scenario_leaps(struct sim *sim) {
    unsigned relay = sim_form_around(sim, HABIT_HANDS);

    sim_run(sim, 2 * US_PER_MINUTE);
    adversary_hand(sim->hosts[relay].adversary, HANDS_LATER);
    for (unsigned i = 0; i < PACE_BURST_SMALL + 1; i++) {
        publish_now(sim, relay);
        sim_run(sim, LEAP_US);
    }
    adversary_hand(sim->hosts[relay].adversary, TELLS_KEYS);
    publish_now(sim, relay);
    must_serve_untagged(sim, relay, 0, NULL);
    adversary_keep(sim->hosts[relay].adversary, 0);
    sim_push_some(sim, 20);
}

#define SENDER 1u
#define GUARDS_STAND_US (62 * US_PER_MINUTE) /* for an hour, then they may be drawn */
#define GUARD_REKEYS 5
#define GUARD_REKEY_US (1200 * US_PER_MS)

/* Its only guard, and a neighbour that is none. */
static void find_neighbours(const struct sim *sim, unsigned *ret_guard, unsigned *ret_other) {
    const struct node *sender = sim->hosts[SENDER].node;

    *ret_guard = *ret_other = SENDER;
    for (unsigned i = 0; i < sim->n_hosts; i++) {
        uint64_t prefix = node_id_prefix(node_id(sim->hosts[i].node));
        if (paths_is_guard(sender->paths, prefix))
            *ret_guard = i;
        else if (i != SENDER && path_neighbour(sender->paths, prefix))
            *ret_other = i;
    }
}

/* A guard falls out of all routes by changing its keys, when its node is about to write to a
 * neighbour. */
void scenario_guard(struct sim *sim) {
    unsigned guard, to;

    sim->hosts[SENDER].config.route_guards = 1;
    sim_start_some(sim, 0, sim->n_hosts);
    sim_must_form(sim);
    sim_run(sim, GUARDS_STAND_US);
    sim_push(sim, SENDER, 0, "guards are drawn with a path", 28);
    sim_run(sim, US_PER_MINUTE);
    find_neighbours(sim, &guard, &to);
    if (guard == SENDER || to == SENDER) {
        sim_violation(sim, "host %u has no guard, or no other neighbour", SENDER);
        return;
    }
    sim->hosts[guard].adversary = adversary_new(sim, HABIT_REKEYS);
    for (unsigned k = 0; k < GUARD_REKEYS; k++) {
        adversary_gossip(sim, guard, 1);
        sim_run(sim, GUARD_REKEY_US);
    }
    struct watch_tally *tally = watch_follow(sim, node_id_prefix(node_id(sim->hosts[to].node)));
    sim_push(sim, SENDER, to, "not in the open", 15);
    if (!sim_await(sim, DELIVER_US, sim_all_delivered, NULL))
        sim_violation(sim, "a guard that changes its keys keeps a message for good");
    property_holds(sim, PROPERTY_SCENARIO);
    if (tally->direct > 0)
        sim_violation(sim, "a guard that changes its keys has %llu packets go over a direct link",
                      (unsigned long long)tally->direct);
}

#define FRAMED 0u
#define FRAMER 1u
#define FRAME_CYCLES 100
#define FRAME_AHEAD_US (5 * US_PER_MINUTE) /* beyond what a last sequence may be ahead */
#define FRAME_DIAL_US (400 * US_PER_MS)
#define FRAME_LATE_US (5 * US_PER_MS) /* a datagram on its way */

static void dial_at(struct sim *sim, struct wall to) {
    struct node *node = sim->hosts[FRAMER].node;
    adversary_bend_time(sim->hosts[FRAMER].adversary, to);
    links_dial(node->links, &sim->hosts[FRAMED].address, LINK_WANTED, node->machine);
    sim_poke(sim, FRAMER);
    sim_run(sim, FRAME_DIAL_US);
}

static unsigned convicted_of(const struct sim *sim, unsigned host) {
    unsigned n = 0;
    for (unsigned i = 0; i < sim->n_hosts; i++) {
        const struct directory_entry *entry =
            i == host
                ? NULL
                : directory_find(sim->hosts[i].node->directory, node_id(sim->hosts[host].node));
        n += entry && entry->convicted;
    }
    return n;
}

/* A node's first neighbour has it sign at one time of its own choice again and again: two of one
 * sequence would be a true proof against an honest node. */
void scenario_framed(struct sim *sim) {
    unsigned cycles = 0;

    sim->hosts[FRAMER].adversary = adversary_new(sim, HABIT_FRAMES);
    sim_start_some(sim, 0, 2);
    sim_run(sim, 10 * US_PER_S);
    struct wall at = {sim->hosts[FRAMER].node->machine.wall.us + FRAME_AHEAD_US - FRAME_LATE_US};
    while (cycles++ < FRAME_CYCLES && !adversary_has_framed(sim->hosts[FRAMER].adversary)) {
        dial_at(sim, at);
        dial_at(sim, (struct wall){0});
    }
    if (adversary_has_framed(sim->hosts[FRAMER].adversary))
        sim_violation(sim, "an honest node signed one sequence twice, at move %u of its clock",
                      cycles);
    dial_at(sim, (struct wall){0});
    sim_start_some(sim, 2, sim->n_hosts);
    sim_must_form(sim);
    sim_run(sim, 10 * US_PER_S);
    dial_at(sim, (struct wall){0});
    sim_run(sim, 10 * US_PER_S);
    property_holds(sim, PROPERTY_SCENARIO);
    if (convicted_of(sim, FRAMED) > 0)
        sim_violation(sim, "an honest node is convicted by %u of %u", convicted_of(sim, FRAMED),
                      sim->n_hosts - 1);
    if (!sim_await(sim, VERSIONS_AGREE_US, sim_versions_agree, NULL))
        sim_violation(sim, "nodes hold two versions of one sequence");
}
