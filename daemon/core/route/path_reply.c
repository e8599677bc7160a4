/* See path_reply.h. Threat: the layers' keys would open the packet at every hop; they live for the
 * call alone. */
#include "daemon/core/route/path_reply.h"

#include <sodium.h>

/* The public key of a hop, ourselves included. False: none for this epoch. */
static bool hop_key(const struct path_reply_rooms *rooms, uint64_t hop, int64_t epoch,
                    uint8_t ret_key[KEY_LEN]) {
    const struct noise_keypair *own = identity_epoch_key(rooms->identity, epoch);
    const struct directory_entry *entry = directory_find_prefix(rooms->directory, hop);
    struct descriptor descriptor;
    if (hop == node_id_prefix(identity_id(rooms->identity))) {
        if (own)
            memcpy(ret_key, own->public, KEY_LEN);
        return own != NULL;
    }
    if (!entry)
        return false;
    directory_descriptor(entry, &descriptor);
    const uint8_t *key = descriptor_routing_key(&descriptor, epoch);
    if (key)
        memcpy(ret_key, key, KEY_LEN);
    return key != NULL;
}

static bool key_layer(const struct path_reply_rooms *rooms, uint64_t hop, struct wall wall,
                      struct onion_layer *layer) {
    uint8_t public_key[KEY_LEN], eph_secret[KEY_LEN];
    if (!hop_key(rooms, hop, wall_epoch(wall), public_key))
        return false;
    random_fill(rooms->random, eph_secret, sizeof eph_secret);
    enum drop drop = onion_layer_key(layer, public_key, eph_secret);
    sodium_memzero(eph_secret, sizeof eph_secret);
    layer->key_id = (uint8_t)(wall_epoch(wall) & 0xff);
    layer->slot = (uint8_t)(wall_minute(wall) % 60);
    layer->hop = hop;
    return drop == DROP_NONE;
}

enum path_outcome path_reply(const struct path_reply_rooms *rooms,
                             const struct path_request *request, const void *payload, size_t length,
                             struct now now, uint64_t *ret_first, uint8_t ret_packet[ONION_LEN]) {
    struct onion_layer layers[ONION_LAYERS_MAX];
    uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
    uint16_t indexes[ONION_LAYERS_MAX];
    uint8_t nonce[ONION_NONCE_LEN];
    size_t n;
    double choices;
    enum path_outcome outcome = path_sample(rooms->paths, request, now.mono, hops, &n, &choices);
    if (outcome != PATH_OK)
        return outcome;
    /* hops: relays, then the target; back: the last relay first, then ourselves. */
    for (size_t i = 0; i < n && outcome == PATH_OK; i++) {
        uint64_t hop = i + 1 < n ? hops[n - 2 - i] : node_id_prefix(identity_id(rooms->identity));
        indexes[i] = (uint16_t)random_below(rooms->random, ONION_INDEX_COUNT);
        if (!key_layer(rooms, hop, now.wall, &layers[i]))
            outcome = PATH_NONE;
    }
    if (outcome == PATH_OK) {
        random_fill(rooms->random, nonce, sizeof nonce);
        onion_build(layers, n, indexes, nonce, payload, length, rooms->random, ret_packet);
        *ret_first = layers[0].hop;
    }
    sodium_memzero(layers, sizeof layers);
    return outcome;
}
