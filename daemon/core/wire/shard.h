/* All-or-nothing transform and erasure code: a sealed parcel becomes k data and m parity shards,
 * any k of which give it back, and fewer of which give nothing, even to one who comes by every key
 * later. Pure; knows neither parcels nor paths.
 *
 * Threat: relays that collude see some shards of a parcel and keep them until keys leak. Hence the
 * transform (AONT-RS: Resch and Plank, FAST 2011): a random key K, ciphertext c = ChaCha20(K,
 * bytes), and K xor H(c) behind it. One shard missing is at least SHARD_LENGTH_MIN = 32 unknown
 * bytes of what H covers, or K's own cover. The code is systematic Reed-Solomon over GF(2^8) by
 * Intel ISA-L with its Cauchy matrix (its Vandermonde one is not MDS). Implements p2pd-protocol(7)
 * SHARDS. */
#ifndef P2PD_SHARD_H
#define P2PD_SHARD_H

#include "daemon/core/base/base.h"
#include "daemon/core/base/limits.h"

#define SHARD_LENGTH_MIN 32u    /* of k > 1 */
#define SHARD_TRANSFORM_LEN 32u /* K xor H(c), behind the bytes */

/* Transform `length` bytes in place; the last SHARD_TRANSFORM_LEN of them are the transform's own
 * (what stands there is overwritten). `key`: 32 random bytes, used once; the caller wipes its copy.
 * Precondition: length > SHARD_TRANSFORM_LEN. */
void shard_transform(uint8_t *bytes, size_t length, const uint8_t key[32]);
/* Undo it in place: the first length - SHARD_TRANSFORM_LEN bytes are the original. */
void shard_restore(uint8_t *bytes, size_t length);

/* Compute m parity shards of `length` bytes each from k data shards that lie one behind the other.
 * Preconditions: k >= 1, m >= 1, k + m <= SHARD_COUNT_MAX. */
void shard_encode(unsigned k, unsigned m, size_t length, const uint8_t *data, uint8_t *ret_parity);
/* Rebuild the data in place from any k shards, of which the one at place i of `bytes` has the
 * number index[i] (each below k + m, all different). 0, or -ENOMEM. */
int shard_decode(unsigned k, unsigned m, size_t length, const uint8_t *index, uint8_t *bytes);

#endif
