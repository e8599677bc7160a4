/* The Noise Protocol Framework, revision 34, with 25519, ChaChaPoly and BLAKE2b. Pure: ephemerals
 * are handed in.
 *
 * Threat: a peer or forger feeds any bytes at any step. A message that does not authenticate leaves
 * the state as it was, so that a forged answer cannot kill a handshake in progress. States hold
 * secrets: they live in locked memory and end in noise_wipe(). Implements p2pd-protocol(7) LINKS
 * (handshake) and PARCELS (sealing). */
#ifndef P2PD_NOISE_H
#define P2PD_NOISE_H

#include "daemon/core/base/base.h"

#define NOISE_DH_LEN 32
#define NOISE_HASH_LEN 64
#define NOISE_TAG_LEN 16
#define NOISE_MESSAGES_MAX 3
#define NOISE_MESSAGE_LEN_MAX 65535 /* section 3: overhead included */

enum noise_token {
    NOISE_END = 0,
    NOISE_E,
    NOISE_S,
    NOISE_EE,
    NOISE_ES,
    NOISE_SE,
    NOISE_SS,
    NOISE_PSK
};

struct noise_pattern {
    char name[NOISE_HASH_LEN]; /* zero-padded, as the first hash is (5.2) */
    bool is_psk; /* a psk token occurs: every e is mixed into the key too (section 9.2) */
    bool responder_static_known; /* pre-message <- s */
    uint8_t messages;
    enum noise_token tokens[NOISE_MESSAGES_MAX][6];
};
extern const struct noise_pattern noise_xxpsk3; /* links */
extern const struct noise_pattern noise_x;      /* parcels */

struct noise_keypair {
    uint8_t secret[NOISE_DH_LEN], public[NOISE_DH_LEN];
};
/* public from secret. Returns 0, or -EINVAL for a secret that yields the zero point. */
int noise_keypair_init(struct noise_keypair *keypair, const uint8_t secret[NOISE_DH_LEN]);

struct noise_handshake {
    const struct noise_pattern *pattern;
    bool initiator;
    bool has_key, has_remote_static, has_remote_ephemeral;
    uint8_t message; /* the next one to write or read */
    uint8_t chaining_key[NOISE_HASH_LEN], hash[NOISE_HASH_LEN];
    uint8_t key[32];
    uint64_t nonce;
    uint8_t psk[32];
    struct noise_keypair local_static, local_ephemeral;
    uint8_t remote_static[NOISE_DH_LEN], remote_ephemeral[NOISE_DH_LEN];
    const struct noise_known *known; /* borrowed; set after noise_init. NULL: nothing is */
};

/* Exchanges that were done before. Where they are known no other is done: it is the caller's word
 * that they are of these keys. With a wrong one the message does not open. */
struct noise_known {
    bool has_ss, has_es;
    uint8_t ss[NOISE_DH_LEN];        /* secret */
    uint8_t ephemeral[NOISE_DH_LEN]; /* the public one that the next message begins with, */
    uint8_t es[NOISE_DH_LEN]; /* and its secret with the responder's key: for a writer, once */
};

/* Begin. local_static may be NULL where the pattern sends none (responder of X needs it);
 * remote_static is for pre-messages (initiator of X), psk for psk patterns; all are copied. */
void noise_init(struct noise_handshake *handshake, const struct noise_pattern *pattern,
                bool initiator, const void *prologue, size_t prologue_length,
                const struct noise_keypair *local_static, const uint8_t *remote_static,
                const uint8_t *psk);

/* Write the next message: `ephemeral` is the secret for an e token (NULL where the message has
 * none, or it is known). out must hold noise_overhead() + payload. Returns its length, or -EINVAL
 * (out of turn, bad key, no room, longer than NOISE_MESSAGE_LEN_MAX); then the state is as before,
 * out is undefined. payload must not overlap out. */
int noise_write(struct noise_handshake *handshake, const uint8_t *ephemeral, const void *payload,
                size_t payload_length, uint8_t *out, size_t out_capacity);

/* Read the next message. payload must hold length - noise_overhead(). Returns 0 and
 * *ret_payload_length, or DROP_MALFORMED (a length that cannot be, out of turn) / DROP_AUTH, and
 * the state is as before. payload is undefined on failure and must not overlap in. */
enum drop noise_read(struct noise_handshake *handshake, const uint8_t *in, size_t length,
                     uint8_t *payload, size_t *ret_payload_length);

/* Bytes that message number `message` adds to its payload. */
size_t noise_overhead(const struct noise_pattern *pattern, uint8_t message);

bool noise_is_done(const struct noise_handshake *handshake);

/* Transport keys, once done: own direction first (section 5.2 Split). For one-way patterns the
 * second is unused by Noise. */
void noise_split(const struct noise_handshake *handshake, uint8_t ret_send[32],
                 uint8_t ret_receive[32]);

void noise_wipe(struct noise_handshake *handshake);

#endif
