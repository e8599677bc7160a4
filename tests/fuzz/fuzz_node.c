/* link: tests/fuzz/rig tests/sim/model_store tests/sim/model_data tests/sim/model_out tests/sim/model_file tests/sim/model_waiting tests/sim/model_history libp2pd-core.a shared/file_name shared/text shared/address */
/* A whole node, with one neighbour whose frames, onions, parcels and descriptors are the input's,
 * clients who ask what the input says, and a disk that may fail. The neighbour's Noise, macs and
 * seals are honest, so that what lies behind them is reached. The input is a run of (what 1, who 1,
 * length 2, bytes); each begins with the two linked, and none knows of the one before. */
#include "tests/fuzz/rig.h"

#include "daemon/core/node/node.h"
#include "daemon/core/wire/parcel.h"
#include "tests/fuzz/replay.h"
#include "tests/sim/model_store.h"

#include <errno.h>

#define STEPS_MAX 48
#define ROUNDS_MAX 8
#define WAKES_MAX 200 /* within one instant or second: more is a node that spins */
#define DATAGRAMS_MAX 512
#define MESSAGE_MAX 4096
#define LABEL "p2pd descriptor 2"
#define LABEL_LEN (sizeof LABEL - 1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

unsigned replay_variants_max(void) {
    return 300; /* each is a node's life */
}

struct world {
    struct rig rig;
    struct node *node;
    struct model_store *store;
    struct rig_end neighbour;
    struct address address; /* the node's */
    struct mono wake;
    unsigned onions; /* so far: each has an eph of its own */
};

/* ---- The node's runner ---- */

static void check_update(const struct node_update *update) {
    for (size_t i = 0; i < update->n_datagrams; i++)
        rig_check(update->datagrams[i].length == DATAGRAM_LEN ||
                  update->datagrams[i].length == COOKIE_ANSWER_LEN);
    for (size_t i = 0; i < update->n_answers; i++)
        rig_check(memchr(update->answers[i].text, '\0', sizeof update->answers[i].text) &&
                  !strchr(update->answers[i].text, 0x1b));
}

static void run(struct world *world, struct node_event *event) {
    struct node_update update;

    event->now.mono = world->rig.now;
    event->now.wall = world->rig.wall;
    node_step(world->node, event, &update);
    check_update(&update);
    world->wake = update.wake;
    for (size_t i = 0; i < update.n_ops; i++)
        model_store_apply(world->store, &update.ops[i], world->rig.now);
    for (size_t i = 0; i < update.n_datagrams; i++) {
        struct datagram datagram = update.datagrams[i];
        if (!address_is_equal(&datagram.remote, &world->neighbour.address))
            continue;
        datagram.remote = world->address;
        rig_end_take(&world->neighbour, &datagram);
    }
}

/* What the neighbour has put out reaches the node, and its answers the neighbour, until both are
 * quiet. */
static void pump(struct world *world) {
    for (int i = 0; i < ROUNDS_MAX; i++) {
        struct datagram datagrams[DATAGRAMS_MAX];
        size_t n, kept = 0;
        const struct datagram *out = effects_datagrams(world->neighbour.effects, &n);
        uint8_t *bytes = malloc(n * DATAGRAM_LEN + 1);
        rig_check(bytes != NULL);
        for (size_t k = 0; k < n && kept < DATAGRAMS_MAX; k++) {
            if (!address_is_equal(&out[k].remote, &world->address))
                continue;
            uint8_t *copy = bytes + kept * DATAGRAM_LEN;
            memcpy(copy, out[k].bytes, out[k].length);
            datagrams[kept++] =
                (struct datagram){world->neighbour.address, world->address, copy, out[k].length};
        }
        effects_clear(world->neighbour.effects);
        if (kept > 0)
            run(world,
                &(struct node_event){.kind = EVENT_DATAGRAMS, .datagrams = {datagrams, kept}});
        free(bytes);
        if (kept == 0)
            return;
    }
}

static void store(struct world *world) {
    struct store_result results[64];
    size_t n = model_store_collect(world->store, world->rig.now, results, 64);
    if (n > 0)
        run(world, &(struct node_event){.kind = EVENT_STORED, .stored = {results, n}});
}

/* Let time pass as a runner would: from wake to wake. */
static void pass(struct world *world, int64_t us) {
    int64_t until = world->rig.now.us + us;
    for (int i = 0;; i++) {
        int64_t next = until;
        rig_check(i < WAKES_MAX + 20 * us / US_PER_S);
        next = world->wake.us < next ? world->wake.us : next;
        if (model_store_next(world->store).us < next)
            next = model_store_next(world->store).us;
        if (next > world->rig.now.us)
            rig_pass(&world->rig, next - world->rig.now.us);
        store(world);
        run(world, &(struct node_event){.kind = EVENT_TIMER});
        links_tick(world->neighbour.links, (struct now){world->rig.now, world->rig.wall});
        links_flush(world->neighbour.links, world->rig.now);
        pump(world);
        if (next >= until)
            return;
    }
}

/* ---- What the neighbour says ---- */

static void say(struct world *world, uint8_t type, const uint8_t *body, size_t length) {
    struct links *links = world->neighbour.links;
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        if (links->links[i] && links->links[i]->current)
            link_put_frame(links, links->links[i], type, body, length, world->rig.now);
    links_flush(links, world->rig.now);
}

/* Key a layer for the node as it last introduced itself. */
static bool key_layer(struct world *world, struct onion_layer *layer, int64_t *ret_epoch) {
    int64_t epoch = wall_epoch(world->rig.wall);
    const uint8_t *key = descriptor_routing_key(&world->neighbour.met, epoch);
    uint8_t secret[32] = {1};

    memcpy(secret + 1, &world->onions, sizeof world->onions);
    *layer = (struct onion_layer){.key_id = (uint8_t)epoch,
                                  .slot = (uint8_t)(wall_minute(world->rig.wall) % 60)};
    *ret_epoch = epoch;
    return key && onion_layer_key(layer, key, secret) == DROP_NONE;
}

/* To the node itself, or to be forwarded to some prefix. */
static void send_onion(struct world *world, unsigned who, const uint8_t *payload, size_t length) {
    struct onion_layer layers[2];
    uint16_t indexes[2] = {(uint16_t)(world->onions % ONION_INDEX_COUNT), 0};
    uint8_t packet[ONION_LEN], nonce[ONION_NONCE_LEN] = {0};
    int64_t epoch;

    if (!key_layer(world, &layers[0], &epoch))
        return;
    if (who & 1)
        world->onions++; /* else the next one has the same eph */
    layers[1] = layers[0];
    layers[1].hop = who & 4 ? node_id_prefix(identity_id(world->neighbour.identity)) : who;
    onion_build(layers, who & 2 ? 2 : 1, indexes, nonce, payload,
                length > ONION_PAYLOAD_MAX ? ONION_PAYLOAD_MAX : length, &world->rig.random,
                packet);
    say(world, FRAME_ONION, packet, sizeof packet);
}

struct sealed {
    uint8_t
        bytes[PARCEL_SEALED_MAX + SHARD_TRANSFORM_LEN + ONION_PAYLOAD_MAX]; /* and one of parity */
    unsigned k;
    size_t each;
    struct parcel_keys *keys;
    const struct parcel_secret *secret;
    struct parcel_id id;
};

static void send_shards(struct world *world, unsigned who, const struct sealed *sealed) {
    uint8_t payload[ONION_PAYLOAD_MAX];
    unsigned k = sealed->k;

    /* The first one is lost, and the parity makes up for it. */
    for (unsigned i = k > 1; i <= k; i++) {
        struct parcel_shard shard = {.id = sealed->id,
                                     .k = (uint8_t)k,
                                     .index = (uint8_t)i,
                                     .m = 1,
                                     .length = (uint16_t)sealed->each,
                                     .sender =
                                         node_id_prefix(identity_id(world->neighbour.identity)),
                                     .path = who >> 4,
                                     .packet = (uint16_t)(world->onions % ONION_INDEX_COUNT),
                                     .data = sealed->bytes + i * sealed->each};
        size_t length = parcel_shard_encode(&shard, sealed->secret->shard_key, payload);
        if ((who & 8) && i == k)
            return; /* one more is missing */
        send_onion(world, 1, payload, length);
    }
}

/* A parcel whose items are the input's, sealed and cut as a sender does. */
static void send_parcel(struct world *world, unsigned who, const uint8_t *items, size_t length) {
    const struct noise_keypair *link_key = identity_link_key(world->neighbour.identity);
    const struct node_id *self = identity_id(world->neighbour.identity);
    struct sealed *sealed = calloc(1, sizeof *sealed);
    struct onion_layer layer;
    uint8_t plain[PARCEL_HEAD_LEN + 4096 + 128] = {0}, ephemeral[32] = {3}, receipt_key[KEY_LEN];
    struct wire_writer w = wire_writer(plain, PARCEL_HEAD_LEN + 4096);
    int64_t epoch;

    rig_check(sealed && (sealed->keys = parcel_keys_new(4, &world->rig.random)));
    if (!(who & 4))
        parcel_put_head(&w, self);
    wire_put(&w, items, length > wire_room(&w) ? wire_room(&w) : length);
    ephemeral[1] = sealed->id.bytes[0] = (uint8_t)who;
    if (key_layer(world, &layer, &epoch)) {
        const uint8_t *key = descriptor_routing_key(&world->neighbour.met, epoch);
        struct parcel_peer peer = {.id = &world->neighbour.met.id,
                                   .epoch = epoch,
                                   .public_key = key,
                                   .secret = link_key->secret,
                                   .self = self};
        size_t padded;
        rig_check(parcel_cut(wire_length(&w), 0, &sealed->k, &sealed->each, &padded) == 0);
        int n = parcel_seal(link_key, &world->neighbour.met.id, key, epoch, ephemeral, NULL, plain,
                            padded, sealed->bytes, receipt_key);
        rig_check(n > 0 && (sealed->secret = parcel_keys_add(sealed->keys, &peer)));
        size_t data = sealed->k * sealed->each;
        if (sealed->k > 1)
            shard_transform(sealed->bytes, data, ephemeral);
        shard_encode(sealed->k, 1, sealed->each, sealed->bytes, sealed->bytes + data);
        send_shards(world, who, sealed);
    }
    parcel_keys_free(sealed->keys);
    free(sealed);
}

/* News of somebody else, signed. */
static void send_descriptor(struct world *world, unsigned who, const uint8_t *body, size_t length) {
    const uint8_t seed[32] = {(uint8_t)(1 + who % 4), 3};
    uint8_t public[32], secret[64], message[LABEL_LEN + 8 + 4 + DESCRIPTOR_HASH_LEN],
        out[DESCRIPTOR_MAX];
    struct descriptor descriptor = {0};

    if (length > DESCRIPTOR_MAX - SIGNATURE_LEN)
        length = DESCRIPTOR_MAX - SIGNATURE_LEN;
    crypto_sign_seed_keypair(public, secret, seed);
    memset(out, 0, SIGNATURE_LEN);
    memcpy(out + SIGNATURE_LEN, body, length);
    if (descriptor_decode(out, SIGNATURE_LEN + length, &descriptor) == DROP_NONE)
        for (size_t at = SIGNATURE_LEN; at + NODE_ID_LEN <= SIGNATURE_LEN + length; at++)
            if (memcmp(out + at, descriptor.id.bytes, NODE_ID_LEN) == 0)
                memcpy(out + at, public, sizeof public);
    struct wire_writer w = wire_writer(message, sizeof message);
    wire_put(&w, LABEL, LABEL_LEN);
    wire_put_uint(&w, descriptor.sequence, 8);
    wire_put_uint(&w, descriptor.first_epoch + descriptor.n_epochs, 4);
    descriptor_hash(out, SIGNATURE_LEN + length, w.at);
    crypto_sign_detached(out, NULL, message, sizeof message, secret);
    say(world, FRAME_DESCRIPTOR, out, SIGNATURE_LEN + length);
}

/* ---- What clients ask ---- */

static struct destination take_destination(struct wire_reader *r) {
    struct destination to = {.kind = DEST_ID};
    size_t length = NODE_NAME_MAX;
    unsigned kind = (unsigned)wire_get_uint(r, 1);

    if (kind % 4 == 0) {
        to.kind = DEST_ADDRESS;
        to.address = rig_address(kind / 4 % 4);
    } else if (kind % 4 == 1) {
        const uint8_t seed[32] = {(uint8_t)(1 + kind / 4 % 4), 3};
        uint8_t secret[64];
        crypto_sign_seed_keypair(to.id, secret, seed);
    } else if (kind % 4 == 2) {
        const uint8_t seed[32] = {(uint8_t)(1 + kind / 4 % 2), 1}; /* the node, its neighbour */
        uint8_t secret[64];
        crypto_sign_seed_keypair(to.id, secret, seed);
    } else {
        to.kind = DEST_NAME;
        const uint8_t *name = rig_bytes(r, &length);
        memcpy(to.name, name, length);
    }
    return to;
}

static void fill_request(struct request *request, struct wire_reader *r) {
    struct destination to = take_destination(r);
    unsigned flags = (unsigned)wire_get_uint(r, 1);
    struct message_id id = {{(uint8_t)wire_get_uint(r, 1)}};
    uint8_t relays = flags & 0x80 ? (uint8_t)(flags >> 4 & 7) : RELAYS_DEFAULT;

    switch (request->kind) {
    case REQUEST_PUSH:
        request->push.to = to;
        request->push.id = id;
        request->push.size = wire_left(r);
        request->push.body = rig_bytes(r, &request->push.size);
        request->push.options.relays = relays;
        request->push.options.strict = flags & 1;
        request->push.trace = flags & 2;
        request->push.wait = flags & 4;
        request->push.options.expire_us = flags & 8 ? US_PER_S : 0;
        break;
    case REQUEST_PULL:
        request->pull.peek = flags & 1;
        request->pull.wait = flags & 2;
        request->pull.follow = flags & 4;
        request->pull.from_any = !(flags & 8);
        request->pull.from = to;
        request->pull.max = flags >> 4;
        break;
    case REQUEST_MESSAGE:
    case REQUEST_CANCEL:
        request->message.id = id;
        request->message.wait = flags & 1;
        break;
    case REQUEST_CONNECT:
        request->connect.address = rig_address(id.bytes[0]);
        break;
    default:
        request->to.to = to;
        request->to.count = flags;
        request->to.relays = relays > TOPOLOGY_RELAYS_MAX ? RELAYS_DEFAULT : relays;
        request->to.strict = flags & 1;
    }
}

static void ask(struct world *world, unsigned who, const uint8_t *bytes, size_t length) {
    struct wire_reader r = wire_reader(bytes, length);
    struct node_event event = {.kind = EVENT_REQUEST};

    event.request.client = 1 + who / 32;
    event.request.kind = (enum request_kind)(who % 32);
    if (event.request.kind > REQUEST_TRUST) {
        event.kind = EVENT_CLIENT_GONE;
        event.client = 1 + who / 32;
    } else {
        fill_request(&event.request, &r);
    }
    run(world, &event);
}

/* ---- The input ---- */

static void meet(struct world *world) {
    struct node_config config;
    struct node_boot boot;

    rig_init(&world->rig);
    rig_end_init(&world->neighbour, &world->rig, 1);
    world->address = rig_address(0);
    world->store = model_store_new(&world->rig.random);
    rig_check(world->store != NULL);
    model_store_boot(world->store, &boot);
    node_config_init(&config);
    config.node_seed[0] = 1, config.node_seed[1] = 1;
    config.link_secret[0] = 1, config.link_secret[1] = 2;
    memset(config.network_key, RIG_NETWORK, sizeof config.network_key);
    config.bootstrap = &world->neighbour.address;
    config.n_bootstrap = 1;
    config.directory_max = 8;
    config.droplist_entries = 1024;
    config.memory_max = 1u << 18;
    config.message_max = MESSAGE_MAX;
    config.random = world->rig.random;
    config.trace = world->rig.trace;
    world->node = node_new(&config, &boot, (struct now){world->rig.now, world->rig.wall});
    rig_check(world->node != NULL);
    pass(world, 200 * US_PER_MS);
    rig_check(links_count(world->neighbour.links, true) == 1);
}

static void step(struct world *world, struct wire_reader *r) {
    static const int disk_errors[] = {-ENOSPC, -EIO, -EROFS, -EUCLEAN};
    unsigned what = (unsigned)wire_get_uint(r, 1), who = (unsigned)wire_get_uint(r, 1);
    size_t length = (size_t)wire_get_uint(r, 2);

    if (what % 8 == 0) {
        if (who & 1)
            model_store_fail(world->store, 0, 1, disk_errors[who / 2 % 4]);
        pass(world, (int64_t)length * (who & 0x80 ? 10 : 1) * US_PER_MS);
        return;
    }
    length %= 4096;
    const uint8_t *bytes = rig_bytes(r, &length);
    uint8_t copy[4096]; /* it is opened in place */
    struct datagram datagram = {rig_address(1 + who % 3), world->address, copy, length};
    memcpy(copy, bytes, length);
    if (what % 8 == 1)
        run(world, &(struct node_event){.kind = EVENT_DATAGRAMS, .datagrams = {&datagram, 1}});
    else if (what % 8 == 2)
        say(world, (uint8_t)who, bytes, length > FRAME_BODY_MAX ? FRAME_BODY_MAX : length);
    else if (what % 8 == 3)
        send_onion(world, who, bytes, length);
    else if (what % 8 == 4)
        send_parcel(world, who, bytes, length);
    else if (what % 8 == 5)
        send_descriptor(world, who, bytes, length);
    else
        ask(world, who, bytes, length);
    pump(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct wire_reader r = wire_reader(data, size);
    struct world world = {.onions = 0};
    struct status_report status;

    meet(&world);
    for (int i = 0; i < STEPS_MAX && wire_left(&r) >= 4; i++)
        step(&world, &r);
    node_status(world.node, world.rig.now, &status);
    rig_check(status.memory_used <= status.memory_max);
    if (size % 2)
        run(&world, &(struct node_event){.kind = EVENT_LEAVE});
    node_free(world.node);
    model_store_free(world.store);
    rig_end_deinit(&world.neighbour);
    return 0;
}
