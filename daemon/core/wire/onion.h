/* The onion packet: 1197 bytes, the same at every hop. Pure functions over bytes and keys.
 *
 * Threat: relays collude, tag, replay and truncate. The whole packet is authenticated at every hop,
 * so a changed bit dies at the first honest relay; nothing in it tells a hop its place but the last
 * its own. Implements p2pd-protocol(7) ONION. */
#ifndef P2PD_ONION_H
#define P2PD_ONION_H

#include "daemon/core/base/base.h"
#include "daemon/core/base/limits.h"

#define ONION_HEADER_LEN 65 /* key_id(1) eph(32) nonce(16) tag(16) */
#define ONION_BODY_LEN 1132
#define ONION_FORWARD_LEN 60 /* what a layer's header takes from the body */
#define ONION_NONCE_LEN 16
#define ONION_PRK_LEN 64
#define ONION_WAY_LEN 44 /* command(1) next(8) next_key_id(1) next_eph(32) zeros(2) */

enum onion_command { ONION_FORWARD = 1, ONION_DELIVER = 2 };

/* One layer as its sender holds it: keyed once a path, used for every packet of it. */
struct onion_layer {
    uint8_t key_id; /* epoch mod 256 */
    uint8_t eph[32];
    uint8_t prk[ONION_PRK_LEN]; /* secret */
    uint64_t hop;               /* the node's id prefix: what the layer before names as `next` */
    uint8_t slot;               /* minute of the epoch in which the path began, 0..59 */
};

/* Key a layer for a hop with routing key `routing_public`, from a fresh ephemeral secret. Sets eph
 * and prk alone; the caller the rest. Returns 0, or DROP_AUTH where the exchange yields zero (a
 * malicious key). */
enum drop onion_layer_key(struct onion_layer *layer, const uint8_t routing_public[32],
                          const uint8_t eph_secret[32]);

/* Build a packet of n layers (1..6), the first being the first hop's. `indexes` has one a layer,
 * each < 1024. `nonce` is fresh. What is left between payload and filler is random. Preconditions
 * asserted: n and payload_length in range. */
void onion_build(const struct onion_layer *layers, size_t n, const uint16_t *indexes,
                 const uint8_t nonce[ONION_NONCE_LEN], const void *payload, size_t payload_length,
                 const struct core_random *random, uint8_t ret_packet[ONION_LEN]);

/* The receiving side's public-key work: prk for an eph under our routing keypair. 0 or
 * DROP_AUTH. */
enum drop onion_prk(const uint8_t eph[32], const uint8_t routing_secret[32],
                    const uint8_t routing_public[32], uint8_t ret_prk[ONION_PRK_LEN]);

struct onion_peeled {
    enum onion_command command;
    uint8_t slot;
    uint16_t index;
    uint64_t next;          /* forward: the next hop's id prefix */
    const uint8_t *payload; /* deliver: inside ret_packet */
    size_t payload_length;
};

static inline const uint8_t *onion_eph(const uint8_t packet[ONION_LEN]) {
    return packet + 1;
}

/* Open the outer layer. On success ret_packet (which must not overlap packet) is the packet to
 * forward, or holds the payload. Returns 0, DROP_AUTH (any changed bit) or DROP_MALFORMED
 * (authentic, but command, slot or length cannot be); on failure ret_packet is undefined. Whether
 * packet[0] names the epoch of the key behind prk is the caller's to check. */
enum drop onion_peel(const uint8_t packet[ONION_LEN], const uint8_t prk[ONION_PRK_LEN],
                     uint8_t ret_packet[ONION_LEN], struct onion_peeled *ret_peeled);

/* What all packets under one eph have in common, as their sender built them: whom they go to, and
 * under which eph there. `packet` and `peeled` are of onion_peel(). */
void onion_way(const uint8_t packet[ONION_LEN], const struct onion_peeled *peeled,
               uint8_t ret_way[ONION_WAY_LEN]);

#endif
