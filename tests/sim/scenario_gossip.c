/* One member against the directory: it gives every neighbour another version of its descriptor,
 * publishes without end, asks without end, brings identities without end. The rest of the network
 * is honest, and must not pay for it. */
#include "tests/sim/scenarios.h"

#include "daemon/core/node/node_private.h"
#include "daemon/core/route/path_private.h"
#include "tests/sim/adversary.h"
#include "tests/sim/properties.h"
#include "tests/sim/watch.h"

#include <stdio.h>
#include <stdlib.h>

#define FORM_US (60 * US_PER_S)

static void start_all(struct sim *sim, unsigned first, unsigned last) {
    for (unsigned i = first; i < last; i++)
        sim_start(sim, i, &sim->hosts[0].address, i > 0);
}

static bool is_whole(struct sim *sim, void *unused) {
    return sim_all_know_all(sim, unused) && sim_components(sim) == 1;
}

static void must_form(struct sim *sim) {
    if (!sim_await(sim, FORM_US, is_whole, NULL))
        sim_violation(sim, "%u nodes did not form one network that knows itself", sim->n_hosts);
}

static unsigned some_host(struct sim *sim) {
    return 1 + (unsigned)sim_below(sim, sim->n_hosts - 1);
}

/* A whole network, one of it with this habit. Returns which. */
static unsigned form_around(struct sim *sim, unsigned habit) {
    unsigned member = some_host(sim);

    sim->hosts[member].adversary = adversary_new(sim, habit);
    start_all(sim, 0, sim->n_hosts);
    must_form(sim);
    return member;
}

/* ---- Versions ---- */

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

/* Look ten times a second whether there is more than one, while the relay does what it does. */
static void must_not_tag(struct sim *sim, unsigned relay, int64_t act_every_us,
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

static unsigned honest_host(struct sim *sim) {
    unsigned i;
    do
        i = some_host(sim);
    while (sim->hosts[i].adversary);
    return i;
}

static void push_some(struct sim *sim, unsigned n) {
    for (unsigned i = 0; i < n; i++)
        sim_push(sim, honest_host(sim), honest_host(sim), "to be relayed", 13);
    if (!sim_await(sim, DELIVER_US, sim_all_delivered, NULL))
        sim_violation(sim, "messages among the others have not arrived");
    sim_check_messages(sim, true);
}

/* A relay that gives each neighbour another key would learn from one packet in which region its
 * sender is. */
void scenario_equivocation(struct sim *sim) {
    unsigned relay = form_around(sim, HABIT_EQUIVOCATES);

    must_not_tag(sim, relay, 0, NULL);
    must_be_convicted(sim, relay);
    push_some(sim, 20);
}

/* One that has a new key every few seconds, of which one neighbour hears first: nothing is proven,
 * and nothing is sent through it while some have the one key and some the other. */
void scenario_succession(struct sim *sim) {
    unsigned relay = form_around(sim, HABIT_REKEYS);

    sim_run(sim, 10 * US_PER_S);
    must_not_tag(sim, relay, REKEY_US, change_keys);
    adversary_keep(sim->hosts[relay].adversary, 0);
    push_some(sim, 20);
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
    unsigned relay = form_around(sim, HABIT_HANDS);

    sim_run(sim, 30 * US_PER_S);
    adversary_hand(sim->hosts[relay].adversary, HANDS_LATER);
    for (unsigned i = 0; i < HANDED; i++) {
        dial_all(sim, relay);
        sim_run(sim, HAND_US);
    }
    sim_run(sim, 6 * US_PER_S);
    adversary_hand(sim->hosts[relay].adversary, HANDS_KEYS);
    must_not_tag(sim, relay, HANDED_AGAIN_US, dial_all);
    adversary_keep(sim->hosts[relay].adversary, 0);
    push_some(sim, 20);
}

/* By gossip alone: what its pace lets through is spent on versions that change nothing, the last of
 * it on one for each neighbour, which goes no further than to where another has been. */
void scenario_leaps(struct sim *sim) {
    unsigned relay = form_around(sim, HABIT_HANDS);

    sim_run(sim, 2 * US_PER_MINUTE);
    adversary_hand(sim->hosts[relay].adversary, HANDS_LATER);
    for (unsigned i = 0; i < PACE_BURST_SMALL + 1; i++) {
        publish_now(sim, relay);
        sim_run(sim, LEAP_US);
    }
    adversary_hand(sim->hosts[relay].adversary, TELLS_KEYS);
    publish_now(sim, relay);
    must_not_tag(sim, relay, 0, NULL);
    adversary_keep(sim->hosts[relay].adversary, 0);
    push_some(sim, 20);
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
    start_all(sim, 0, sim->n_hosts);
    must_form(sim);
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
    start_all(sim, 0, 2);
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
    start_all(sim, 2, sim->n_hosts);
    must_form(sim);
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

/* ---- Rates ---- */

#define FLOOD_US (20 * US_PER_S)
#define FLOOD_EACH_US (20 * US_PER_MS)

struct bill {
    double bytes, checks;
};

static struct bill bill_of(const struct sim *sim, unsigned without) {
    struct bill bill = {0, 0};
    for (unsigned i = 0; i < sim->n_hosts; i++)
        if (i != without) {
            bill.bytes += (double)sim->hosts[i].traffic.bytes;
            bill.checks += (double)sim->hosts[i].traffic.checks;
        }
    return bill;
}

/* What all others pay while one gossips so much every 20 ms. */
static struct bill flood(struct sim *sim, unsigned member, unsigned n) {
    struct bill before = bill_of(sim, member), after;
    int64_t began = sim->now_us;

    while (sim->now_us - began < FLOOD_US) {
        adversary_gossip(sim, member, n);
        sim_run(sim, FLOOD_EACH_US);
    }
    after = bill_of(sim, member);
    return (struct bill){after.bytes - before.bytes, after.checks - before.checks};
}

#define VERSIONS_CROWD 300
#define VERSIONS_EACH 16 /* so 800 a second */
/* What all nodes of any network together publish at most, and some for the honest ones. */
#define VERSIONS_A_SECOND ((double)US_PER_S / PACE_NODE_US + 10)

static void check_checks(struct sim *sim, const struct bill *bill, double most) {
    double each = bill->checks / (sim->n_hosts - 1);

    if (sim->verbose)
        printf("# %.0f checks and %.0f bytes a second and node\n", each / (FLOOD_US / US_PER_S),
               bill->bytes / (sim->n_hosts - 1) / (FLOOD_US / US_PER_S));
    if (each > most)
        sim_violation(sim, "one member cost every node %.0f checks, not %.0f", each, most);
}

/* One member's identities publish hundreds of versions a second: each may do so a few times at
 * once, then all of them as much as an honest network. */
void scenario_versions(struct sim *sim) {
    unsigned member = some_host(sim);
    double sustained = VERSIONS_A_SECOND * (double)(FLOOD_US / US_PER_S);
    struct bill bill;

    sim->hosts[member].adversary = adversary_new(sim, HABIT_PUBLISHES);
    adversary_crowd(sim->hosts[member].adversary, VERSIONS_CROWD);
    start_all(sim, 0, sim->n_hosts);
    must_form(sim);
    bill = flood(sim, member, VERSIONS_EACH);
    check_checks(sim, &bill, VERSIONS_CROWD * (PACE_BURST_LARGE + 1) + sustained);
    bill = flood(sim, member, VERSIONS_EACH);
    check_checks(sim, &bill, sustained);
    adversary_keep(sim->hosts[member].adversary, 0);
    push_some(sim, 20);
}

#define PROOFS_CROWD 300
#define PROOFS_PUBLISH 100 /* rounds until all of them are known */
/* A second and node: two checks for each proof that its pace lets in, of all and of 16 neighbours,
 * and what honest nodes cost. */
#define PROOFS_CHECKS (2.0 * (GOSSIP_PROOF_RATE + 16.0 / GOSSIP_PROOF_PART_S) + 10)
#define PROOFS_AGREE_US (10 * US_PER_MINUTE)
#define PROOFS_BYTES 80e3 /* the burst included */

static bool digests_agree(struct sim *sim, void *unused) {
    uint32_t first[DIRECTORY_BUCKETS], other[DIRECTORY_BUCKETS];
    (void)unused;

    for (unsigned i = 0; i < sim->n_hosts; i++) {
        directory_digest(sim->hosts[i].node->directory, MONO_NEVER, i == 0 ? first : other);
        if (i > 0 && memcmp(first, other, sizeof first) != 0)
            return false;
    }
    return true;
}

/* One member makes every proof that there can be against its own identities. */
void scenario_proofs(struct sim *sim) {
    unsigned member = some_host(sim);
    double seconds = FLOOD_US / US_PER_S, burst = GOSSIP_PROOF_BURST + 16 * GOSSIP_PROOF_PART_BURST;

    sim->hosts[member].adversary = adversary_new(sim, HABIT_PUBLISHES);
    adversary_crowd(sim->hosts[member].adversary, PROOFS_CROWD);
    start_all(sim, 0, sim->n_hosts);
    must_form(sim);
    for (unsigned k = 0; k < PROOFS_PUBLISH; k++) {
        adversary_gossip(sim, member, PROOFS_CROWD / PROOFS_PUBLISH);
        sim_run(sim, US_PER_S / 2);
    }
    sim_run(sim, 30 * US_PER_S);
    adversary_become(sim->hosts[member].adversary, HABIT_PROVES);
    struct bill bill = flood(sim, member, 1);
    double others = sim->n_hosts - 1, bytes = bill.bytes / others / seconds;
    check_checks(sim, &bill, 2 * burst + PROOFS_CHECKS * seconds);
    property_holds(sim, PROPERTY_SCENARIO);
    if (bytes > PROOFS_BYTES)
        sim_violation(sim, "one member's proofs cost every node %.0f bytes a second", bytes);
    adversary_keep(sim->hosts[member].adversary, 0);
    if (!sim_await(sim, PROOFS_AGREE_US, digests_agree, NULL))
        sim_violation(sim, "nodes do not come to agree on who is convicted");
    push_some(sim, 20);
}

/* One member asks its neighbours for what it has, with all that it can send. */
void scenario_wants(struct sim *sim) {
    unsigned member = some_host(sim);
    uint64_t asked;

    sim->hosts[member].adversary = adversary_new(sim, HABIT_WANTS);
    start_all(sim, 0, sim->n_hosts);
    must_form(sim);
    sim_run(sim, 20 * US_PER_S);
    asked = sim->hosts[member].traffic.bytes;
    struct bill bill = flood(sim, member, 1);
    asked = sim->hosts[member].traffic.bytes - asked;
    if (sim->verbose)
        printf("# asked in %llu bytes, the others sent %.0f\n", (unsigned long long)asked,
               bill.bytes);
    if (bill.bytes > (double)asked / 2)
        sim_violation(sim, "%llu bytes of questions made others send %.0f",
                      (unsigned long long)asked, bill.bytes);
}

/* ---- Places ---- */

#define CROWD 400
#define CROWD_US (3 * US_PER_MINUTE)

static unsigned known_by(const struct sim *sim, unsigned who, unsigned first, unsigned last) {
    unsigned n = 0;
    for (unsigned i = first; i < last; i++)
        n += i != who && sim->hosts[i].node &&
             directory_find(sim->hosts[who].node->directory, node_id(sim->hosts[i].node)) != NULL;
    return n;
}

struct span {
    unsigned member, first, last;
};

static bool all_known(struct sim *sim, void *context) {
    const struct span *span = context;
    for (unsigned who = 0; who < sim->n_hosts; who++)
        if (who != span->member && sim->hosts[who].node &&
            known_by(sim, who, span->first, span->last) <
                span->last - span->first - (who >= span->first && who < span->last))
            return false;
    return true;
}

/* One member fills every directory; then others join. */
void scenario_crowd(struct sim *sim) {
    unsigned n = sim->n_hosts, first = 2 * n / 3, member = 1 + (unsigned)sim_below(sim, first - 1);
    struct span newcomers = {member, first, n}, residents = {member, 0, first};

    for (unsigned i = 0; i < n; i++)
        sim->hosts[i].config.directory_max = i == member ? 20000 : 4 * n;
    sim->hosts[member].adversary = adversary_new(sim, HABIT_CROWDS);
    adversary_crowd(sim->hosts[member].adversary, CROWD);
    start_all(sim, 0, first);
    if (!sim_await(sim, FORM_US, all_known, &residents))
        sim_violation(sim, "the residents do not know each other");
    for (unsigned k = 0; k < 200; k++) {
        adversary_gossip(sim, member, 4);
        sim_run(sim, FLOOD_EACH_US);
    }
    sim_run(sim, 10 * US_PER_S);
    start_all(sim, first, n);
    if (!sim_await(sim, FORM_US, all_known, &newcomers))
        sim_violation(sim, "newcomers are not known to all: a directory of %zu is full",
                      sim->hosts[0].config.directory_max);
    sim_run(sim, CROWD_US); /* of the crowd some come in and others go with every digest */
    if (!all_known(sim, &residents) || !all_known(sim, &newcomers))
        sim_violation(sim, "honest nodes had to give way");
}

/* ---- A full directory ---- */

#define FILLED_CROWD                                                                               \
    3000 /* enough to make every node publish once in two minutes, if it counted                   \
            \ */
#define FILLED_WAVES 5
#define FILLED_KILLED 2 /* in each wave; those of the wave before start again */
#define FILLED_WAVE_US US_PER_MINUTE
#define FILLED_SETTLED_US (15 * US_PER_S)
#define FILLED_PUSHES 20
#define FILLED_SEEN 0.98 /* of the links a minute after each wave */

/* Which share of the links of all honest nodes stand in one's topology. */
static double links_seen_by(const struct sim *sim, unsigned member, unsigned who) {
    struct topology *topology = directory_topology(sim->hosts[who].node->directory);
    uint64_t prefixes[TOPOLOGY_DEGREE_MAX + 2];
    unsigned seen = 0, all = 0;

    for (unsigned host = 0; host < sim->n_hosts; host++) {
        const struct node *node = sim->hosts[host].node;
        if (host == member || host == who || !node)
            continue;
        size_t n = node_neighbours(node, prefixes);
        for (size_t i = 0; i < n; i++)
            seen += topology_has_link(topology, node_id_prefix(node_id(node)), prefixes[i]);
        all += (unsigned)n;
    }
    return all > 0 ? (double)seen / all : 1;
}

static double links_seen(const struct sim *sim, unsigned member) {
    double sum = 0;
    unsigned n = 0;

    for (unsigned who = 0; who < sim->n_hosts; who++)
        if (who != member && sim->hosts[who].node) {
            sum += links_seen_by(sim, member, who);
            n++;
        }
    return sum / n;
}

static unsigned live_honest_host(struct sim *sim) {
    unsigned host;
    do
        host = honest_host(sim);
    while (!sim->hosts[host].node);
    return host;
}

static void fill_directories(struct sim *sim, unsigned member) {
    for (unsigned k = 0; k < FILLED_CROWD; k += 10) {
        adversary_gossip(sim, member, 10);
        sim_run(sim, FLOOD_EACH_US);
    }
    adversary_keep(sim->hosts[member].adversary, 0);
    sim_run(sim, 30 * US_PER_S); /* what the beginning has left of tokens is used up by the waves */
}

/* One member brings thousands of identities that no links lead to, and is quiet from then on.
 * Honest nodes die and come back: the others must hear of their links as soon as without that
 * crowd. */
void scenario_filled(struct sim *sim) {
    unsigned member = some_host(sim), next = 0, down[FILLED_KILLED];
    double seen = 0;

    sim->hosts[member].adversary = adversary_new(sim, HABIT_PUBLISHES);
    adversary_crowd(sim->hosts[member].adversary, FILLED_CROWD);
    start_all(sim, 0, sim->n_hosts);
    must_form(sim);
    fill_directories(sim, member);
    for (unsigned wave = 0; wave < FILLED_WAVES; wave++) {
        for (unsigned i = 0; i < FILLED_KILLED; i++) {
            if (wave > 0)
                sim_start(sim, down[i], &sim->hosts[0].address, 1);
            do
                next = next % (sim->n_hosts - 1) + 1;
            while (next == member || !sim->hosts[next].node);
            sim_crash(sim, down[i] = next);
        }
        sim_run(sim, FILLED_SETTLED_US);
        double soon = links_seen(sim, member);
        for (unsigned i = 0; i < FILLED_PUSHES; i++)
            sim_push(sim, live_honest_host(sim), live_honest_host(sim), "churn", 5);
        sim_run(sim, FILLED_WAVE_US - FILLED_SETTLED_US);
        double late = links_seen(sim, member);
        seen += late / FILLED_WAVES;
        if (sim->verbose)
            printf("# wave %u: %.0f%% of the links are seen after 15 s, %.0f%% after 60 s\n", wave,
                   100 * soon, 100 * late);
        if (!sim_all_delivered(sim, NULL))
            sim_violation(sim, "messages of wave %u have not arrived", wave);
    }
    if (seen < FILLED_SEEN)
        sim_violation(sim, "nodes see %.0f%% of each other's links a minute after changes",
                      100 * seen);
}
