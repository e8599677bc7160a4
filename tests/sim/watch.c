#include "tests/sim/watch.h"

#include "daemon/core/node/node_private.h"
#include "tests/sim/adversary.h"
#include "tests/sim/properties.h"

#include <pthread.h>
#include <stdlib.h>

#define FLIGHTS (1u << 15) /* packets under way at once, by far */

struct flight {        /* a packet on its way, as it looks on the next link */
    uint64_t key;      /* of its eph and nonce */
    uint64_t from, to; /* who made it, and for whom: prefixes */
    uint64_t last;     /* the neighbour that it came from, where it is being opened */
    unsigned relays;   /* on the whole path */
    bool counts;       /* in the tally */
};
struct watch {
    struct flight flights[FLIGHTS];
    uint64_t begun[FLIGHTS]; /* ephs with which paths of one use began, lately */
    uint64_t followed;
    struct watch_tally tally;
};
/* A wrapped function is called with what the core gives it: who calls can only stand here. */
static struct {
    struct sim *sim;
    struct sim_host *host;
} stage;
/* Packets are peeled on whatever threads a scenario gives its nodes. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* ---- The stage ---- */

void watch_enter(struct sim *sim, struct sim_host *host) {
    if (!sim->watch && !(sim->watch = calloc(1, sizeof *sim->watch)))
        abort();
    stage.sim = sim;
    stage.host = host;
}

void watch_leave(void) {
    stage.sim = NULL;
    stage.host = NULL;
}

struct sim *watch_sim(void) {
    return stage.sim;
}

struct sim_host *watch_host(void) {
    return stage.host;
}

struct watch_tally *watch_follow(struct sim *sim, uint64_t to) {
    sim->watch->followed = to;
    sim->watch->tally = (struct watch_tally){0};
    return &sim->watch->tally;
}

void watch_free(struct watch *watch) {
    free(watch);
}

/* ---- Packets ---- */

static uint64_t key_of(const uint8_t *packet) {
    uint64_t eph, nonce;
    memcpy(&eph, onion_eph(packet), sizeof eph);
    memcpy(&nonce, onion_eph(packet) + 32, sizeof nonce);
    return eph * UINT64_C(0x9e3779b97f4a7c15) ^ nonce;
}

static struct flight *flight_of(uint64_t key) {
    return &stage.sim->watch->flights[key % FLIGHTS];
}

/* route.reuse = no: no two packets of one path, of those who abide by it. */
static void check_begun(const uint8_t *packet) {
    uint64_t eph;
    if (stage.host->config.route_reuse || stage.host->adversary)
        return;
    memcpy(&eph, onion_eph(packet), sizeof eph);
    property_holds(stage.sim, PROPERTY_SCENARIO);
    if (stage.sim->watch->begun[eph % FLIGHTS] == eph)
        property_breaks(stage.sim, PROPERTY_SCENARIO, "host %td used a path again",
                        stage.host - stage.sim->hosts);
    stage.sim->watch->begun[eph % FLIGHTS] = eph;
}

static void check_relay(const struct flight *flight, const struct onion_peeled *peeled) {
    if (flight->relays < 2)
        return;
    property_holds(stage.sim, PROPERTY_ENDS);
    if (flight->last == flight->from && peeled->next == flight->to)
        property_breaks(stage.sim, PROPERTY_ENDS,
                        "host %td stands between both ends of a path of %u relays",
                        stage.host - stage.sim->hosts, flight->relays);
}

static void peeled_here(const uint8_t *packet, const uint8_t *opened,
                        const struct onion_peeled *peeled) {
    uint64_t key = key_of(packet);
    struct flight *flight = flight_of(key), known = *flight;

    if (peeled->command == ONION_FORWARD)
        property_plaintext(stage.sim, stage.host, opened, ONION_LEN, "what it peeled");
    else
        property_plaintext(stage.sim, stage.host, peeled->payload, peeled->payload_length,
                           "what it was given");
    if (known.key != key)
        return; /* its place was needed, or it is an adversary's own */
    if (peeled->command == ONION_DELIVER) {
        if (known.to != node_id_prefix(node_id(stage.host->node)))
            property_breaks(stage.sim, PROPERTY_ENDS, "host %td was given what is another's",
                            stage.host - stage.sim->hosts);
        stage.sim->watch->tally.arrived += known.counts;
        return;
    }
    check_relay(&known, peeled);
    known.key = key_of(opened);
    *flight_of(known.key) = known;
}

/* ---- Wrapped ---- */

__typeof__(onion_build) __wrap_onion_build, __real_onion_build;
void __wrap_onion_build(const struct onion_layer *layers, size_t n, const uint16_t *indexes,
                        const uint8_t nonce[ONION_NONCE_LEN], const void *payload,
                        size_t payload_length, const struct core_random *random,
                        uint8_t ret_packet[ONION_LEN]) {
    __real_onion_build(layers, n, indexes, nonce, payload, payload_length, random, ret_packet);
    if (!stage.host)
        return;
    uint64_t key = key_of(ret_packet);
    check_begun(ret_packet);
    bool counts =
        !stage.host->adversary && n > 1 && layers[n - 1].hop == stage.sim->watch->followed;
    *flight_of(key) = (struct flight){.key = key,
                                      .from = node_id_prefix(node_id(stage.host->node)),
                                      .to = layers[n - 1].hop,
                                      .relays = (unsigned)n - 1,
                                      .counts = counts};
    stage.sim->watch->tally.begun += counts;
    stage.sim->watch->tally.direct +=
        !stage.host->adversary && n == 1 && layers[0].hop == stage.sim->watch->followed;
}

__typeof__(onion_peel) __wrap_onion_peel, __real_onion_peel;
enum drop __wrap_onion_peel(const uint8_t packet[ONION_LEN], const uint8_t prk[ONION_PRK_LEN],
                            uint8_t ret_packet[ONION_LEN], struct onion_peeled *ret_peeled) {
    enum drop drop = __real_onion_peel(packet, prk, ret_packet, ret_peeled);
    if (drop == DROP_NONE && stage.host) {
        pthread_mutex_lock(&mutex);
        peeled_here(packet, ret_packet, ret_peeled);
        pthread_mutex_unlock(&mutex);
    }
    return drop;
}

__typeof__(node_onion) __wrap_node_onion, __real_node_onion;
enum drop __wrap_node_onion(struct node *node, unsigned slot, uint64_t from,
                            const uint8_t *packet) {
    if (stage.host && stage.host->adversary &&
        !adversary_takes_onion(stage.host->adversary, node, packet))
        return DROP_NONE;
    if (stage.host) {
        struct flight *flight = flight_of(key_of(packet));
        if (flight->key == key_of(packet))
            flight->last = from;
    }
    return __real_node_onion(node, slot, from, packet);
}
