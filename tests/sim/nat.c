#include "tests/sim/nat.h"

#include <stdlib.h>

#define BOX_NETWORK 255 /* 10.255.0.box: no host is there */
#define MAPPINGS_MAX 1024
#define FIRST_PORT 20000
#define LIFE_MIN_US (20 * US_PER_S) /* boxes that are worse than the heartbeat cuts no link */
#define LIFE_MAX_US (120 * US_PER_S)

struct mapping {
    struct sim_host *host;
    struct address remote;
    uint16_t port;
    int64_t used_us;
};
struct box {
    struct mapping mappings[MAPPINGS_MAX]; /* the first n */
    unsigned n;
    uint16_t next_port;
    bool symmetric;
    int64_t life_us;
};
struct nat {
    struct box *boxes;
    unsigned n;
    uint64_t unsolicited;
};

struct nat *nat_new(struct sim *sim, unsigned boxes) {
    struct nat *nat = calloc(1, sizeof *nat);
    if (!nat || !(nat->boxes = calloc(boxes, sizeof *nat->boxes)))
        abort();
    nat->n = boxes;
    for (unsigned i = 0; i < boxes; i++) {
        nat->boxes[i].next_port = (uint16_t)(FIRST_PORT + sim_below(sim, 10000));
        nat->boxes[i].symmetric = sim_chance(sim, 0.7);
        nat->boxes[i].life_us =
            LIFE_MIN_US + (int64_t)sim_below(sim, (uint64_t)(LIFE_MAX_US - LIFE_MIN_US));
    }
    return nat;
}

void nat_free(struct nat *nat) {
    if (!nat)
        return;
    free(nat->boxes);
    free(nat);
}

void nat_reset(struct nat *nat, unsigned box) {
    nat->boxes[box - 1].n = 0;
}

bool nat_is_symmetric(const struct nat *nat, unsigned box) {
    return nat->boxes[box - 1].symmetric;
}

uint64_t nat_unsolicited(const struct nat *nat) {
    return nat->unsolicited;
}

static struct address outer_address(unsigned box, uint16_t port) {
    return (struct address){
        .ip = {[10] = 0xff, 0xff, 10, BOX_NETWORK, (uint8_t)(box >> 8), (uint8_t)box},
        .port = port};
}

static void forget_old(struct box *box, int64_t now_us) {
    for (unsigned i = 0; i < box->n;)
        if (now_us - box->mappings[i].used_us > box->life_us)
            box->mappings[i] = box->mappings[--box->n];
        else
            i++;
}

static uint16_t new_port(struct box *box) {
    box->next_port = (uint16_t)(box->next_port < UINT16_MAX ? box->next_port + 1 : FIRST_PORT);
    return box->next_port;
}

/* The outer port for what this host sends there: of the mapping that is, or of a new one. */
static uint16_t port_for(struct box *box, struct sim_host *host, const struct address *remote,
                         int64_t now_us) {
    uint16_t port = 0;

    forget_old(box, now_us);
    for (unsigned i = 0; i < box->n; i++) {
        struct mapping *mapping = &box->mappings[i];
        if (mapping->host != host)
            continue;
        if (address_is_equal(&mapping->remote, remote)) {
            mapping->used_us = now_us;
            return mapping->port;
        }
        if (!box->symmetric)
            port = mapping->port;
    }
    if (box->n == MAPPINGS_MAX)
        return 0;
    port = port ? port : new_port(box);
    box->mappings[box->n++] = (struct mapping){host, *remote, port, now_us};
    return port;
}

static struct sim_host *inward(struct nat *nat, unsigned number, uint16_t port,
                               const struct address *remote, int64_t now_us) {
    if (number == 0 || number > nat->n)
        return NULL;
    struct box *box = &nat->boxes[number - 1];
    forget_old(box, now_us);
    for (unsigned i = 0; i < box->n; i++)
        if (box->mappings[i].port == port && address_is_equal(&box->mappings[i].remote, remote))
            return box->mappings[i].host;
    nat->unsolicited++;
    return NULL;
}

struct sim_host *nat_route(struct sim *sim, struct sim_host *from, const struct address *remote) {
    const uint8_t *ip = remote->ip;
    unsigned number = (unsigned)ip[13] << 16 | (unsigned)ip[14] << 8 | ip[15];

    from->seen_as = from->address;
    if (from->box > 0) {
        from->seen_as = outer_address(
            from->box, port_for(&sim->nat->boxes[from->box - 1], from, remote, sim->now_us));
        if (from->seen_as.port == 0)
            return NULL;
    }
    if (sim->nat && ip[12] == 10 && ip[13] == BOX_NETWORK)
        return inward(sim->nat, number & 0xffff, remote->port, &from->seen_as, sim->now_us);
    if (number >= sim->n_hosts || !address_is_equal(&sim->hosts[number].address, remote) ||
        sim->hosts[number].box > 0)
        return NULL;
    return &sim->hosts[number];
}
