/* link: daemon/core/wire/onion */
/* An onion packet of any bytes, and layers of any plaintext under a good tag, which only a sender
 * could make: dropped, or within what the droplist and the relay count on. First byte: which of the
 * two, or an honest packet whose every hop is checked. */
#include "daemon/core/wire/onion.h"

#include <sodium.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t prk[ONION_PRK_LEN] = {42};

static void check(bool holds) {
    if (!holds)
        abort();
}

static void fill(void *context, void *buffer, size_t length) {
    (void)context;
    memset(buffer, 5, length);
}

static enum drop peel(const uint8_t packet[ONION_LEN], uint8_t ret_out[ONION_LEN],
                      struct onion_peeled *ret_peeled) {
    enum drop drop = onion_peel(packet, prk, ret_out, ret_peeled);

    check(drop == DROP_NONE || drop == DROP_AUTH || drop == DROP_MALFORMED);
    if (drop != DROP_NONE)
        return drop;
    check(ret_peeled->slot < 60 && ret_peeled->index < ONION_INDEX_COUNT);
    if (ret_peeled->command == ONION_DELIVER)
        check(ret_peeled->payload_length <= ONION_PAYLOAD_MAX && ret_peeled->payload >= ret_out &&
              ret_peeled->payload + ret_peeled->payload_length <= ret_out + ONION_LEN);
    else
        check(ret_peeled->command == ONION_FORWARD);
    return DROP_NONE;
}

static void peel_any(const uint8_t *data, size_t size) {
    uint8_t packet[ONION_LEN] = {0}, out[ONION_LEN], other[ONION_PRK_LEN];
    struct onion_peeled peeled;

    memcpy(packet, data, size < sizeof packet ? size : sizeof packet);
    peel(packet, out, &peeled);
    onion_prk(onion_eph(packet), prk, prk, other);
}

/* The plaintext is the input's, header and tag are as a sender would have them. */
static void peel_sealed(const uint8_t *data, size_t size) {
    uint8_t packet[ONION_LEN] = {0}, out[ONION_LEN], plain[ONION_BODY_LEN] = {0}, keys[64];
    struct onion_peeled peeled;

    memcpy(plain, data, size < sizeof plain ? size : sizeof plain);
    crypto_generichash(keys, sizeof keys, packet + 33, ONION_NONCE_LEN, prk, sizeof prk);
    crypto_aead_chacha20poly1305_ietf_encrypt_detached(packet + ONION_HEADER_LEN, packet + 49, NULL,
                                                       plain, sizeof plain, packet, 49, NULL,
                                                       (const uint8_t[12]){0}, keys);
    check(peel(packet, out, &peeled) != DROP_AUTH);
}

/* What is built peels, hop by hop, to the payload; a bit that was changed on the way ends it. */
static void build_and_peel(const uint8_t *data, size_t size) {
    struct onion_layer layers[ONION_LAYERS_MAX] = {0};
    uint16_t indexes[ONION_LAYERS_MAX];
    uint8_t packets[2][ONION_LEN], nonce[ONION_NONCE_LEN] = {0};
    const struct core_random random = {fill, NULL};
    struct onion_peeled peeled = {0};
    size_t n = 1 + data[0] % ONION_LAYERS_MAX, length = size - 3;
    size_t flip = (size_t)data[1] << 8 | data[2];

    length = length > ONION_PAYLOAD_MAX ? ONION_PAYLOAD_MAX : length;
    for (size_t i = 0; i < n; i++) {
        layers[i].slot = (uint8_t)(59 - i);
        layers[i].hop = 100 + i;
        memcpy(layers[i].prk, prk, sizeof prk);
        indexes[i] = (uint16_t)(ONION_INDEX_COUNT - 1 - i);
    }
    onion_build(layers, n, indexes, nonce, data + 3, length, &random, packets[0]);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *packet = packets[i % 2];
        check(peel(packet, packets[(i + 1) % 2], &peeled) == DROP_NONE);
        check(peeled.index == indexes[i] && peeled.slot == layers[i].slot);
        check((peeled.command == ONION_DELIVER) == (i + 1 == n));
        check(i + 1 == n || peeled.next == layers[i + 1].hop);
    }
    check(peeled.payload_length == length && memcmp(peeled.payload, data + 3, length) == 0);
    onion_build(layers, n, indexes, nonce, data + 3, length, &random, packets[0]);
    packets[0][flip / 8 % ONION_LEN] ^= (uint8_t)(1u << flip % 8);
    check(peel(packets[0], packets[1], &peeled) == DROP_AUTH);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4)
        return 0;
    if (data[0] % 4 == 0)
        build_and_peel(data + 1, size - 1);
    else if (data[0] % 4 == 1)
        peel_any(data + 1, size - 1);
    else
        peel_sealed(data + 1, size - 1);
    return 0;
}
