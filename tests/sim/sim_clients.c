/* Clients of the simulated hosts: what they push, by id, by address and as files, and ask. */
#include "tests/sim/sim.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static struct sim_push *add_push(struct sim *sim, unsigned from, unsigned to, const void *body,
                                 uint32_t size) {
    if (sim->n_pushes == sim->pushes_capacity) {
        sim->pushes_capacity = sim->pushes_capacity ? sim->pushes_capacity * 2 : 64;
        sim->pushes = realloc(sim->pushes, sim->pushes_capacity * sizeof *sim->pushes);
        if (!sim->pushes)
            abort();
    }
    struct sim_push *push = &sim->pushes[sim->n_pushes++];
    *push = (struct sim_push){
        .from = from, .to = to, .size = size, .body = malloc(size + 1), .pushed_us = sim->now_us};
    if (!push->body)
        abort();
    if (size > 0)
        memcpy(push->body, body, size);
    sim_fill(sim, push->id.bytes, MESSAGE_ID_LEN);
    return push;
}

static struct request push_request(const struct sim *sim, const struct sim_push *push) {
    struct request request = {.client = sim->n_pushes, .kind = REQUEST_PUSH};
    request.push.to.kind = DEST_ID;
    crypto_sign_seed_keypair(request.push.to.id, (uint8_t[64]){0},
                             sim->hosts[push->to].config.node_seed);
    request.push.id = push->id;
    request.push.size = push->size;
    request.push.options.relays = RELAYS_DEFAULT;
    request.push.wait = true;
    return request;
}

size_t sim_push(struct sim *sim, unsigned from, unsigned to, const void *body, uint32_t size) {
    struct sim_push *push = add_push(sim, from, to, body, size);
    struct request request = push_request(sim, push);
    request.push.body = push->body;
    sim_request(sim, from, &request);
    return sim->n_pushes - 1;
}

size_t sim_push_at(struct sim *sim, unsigned from, unsigned to, const struct address *address,
                   const void *body, uint32_t size) {
    struct sim_push *push = add_push(sim, from, to, body, size);
    struct request request = push_request(sim, push);
    request.push.to.kind = DEST_ADDRESS;
    request.push.to.address = *address;
    request.push.body = push->body;
    sim_request(sim, from, &request);
    return sim->n_pushes - 1;
}

size_t sim_send_file(struct sim *sim, unsigned from, unsigned to, const char *name,
                     const void *bytes, uint32_t size) {
    struct sim_push *push = add_push(sim, from, to, bytes, size);
    struct request request = push_request(sim, push);
    struct file_head head = {.name = ""};
    push->is_file = true;
    snprintf(head.name, sizeof head.name, "%s", name);
    crypto_hash_sha256(head.digest, bytes, size);
    request.push.kind = KIND_FILE;
    request.push.file = &head;
    snprintf(request.push.spool, sizeof request.push.spool, "%zu.up", sim->n_pushes);
    model_spool_put(sim->hosts[from].store, request.push.spool, bytes, size);
    sim_request(sim, from, &request);
    return sim->n_pushes - 1;
}

void sim_ask(struct sim *sim, size_t push) {
    struct request request = {.client = push + 1, .kind = REQUEST_MESSAGE};
    request.message.id = sim->pushes[push].id;
    sim_request(sim, sim->pushes[push].from, &request);
}
