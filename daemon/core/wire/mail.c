/* See mail.h. Threat: every byte here may come from an enemy; decoders read within bounds or say
 * so. */
#include "daemon/core/wire/mail.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>

_Static_assert(MAIL_SHARDS_MAX <= SHARD_COUNT_MAX * 2 / 3, "there is room for parity");

/* ---- Mail ---- */

void mail_put_head(struct wire_writer *writer, const struct mail_head *head) {
    wire_put(writer, head->sender.bytes, NODE_ID_LEN);
    wire_put_uint(writer, MAIL_VERSION, 1);
    wire_put_uint(writer, head->descriptor_length, 2);
    wire_put(writer, head->descriptor, head->descriptor_length);
}

enum drop mail_get_head(struct wire_reader *reader, struct mail_head *ret_head) {
    struct mail_head head;
    wire_get(reader, head.sender.bytes, NODE_ID_LEN);
    uint64_t version = wire_get_uint(reader, 1);
    head.descriptor_length = (size_t)wire_get_uint(reader, 2);
    if (!reader->failed && version != MAIL_VERSION)
        return DROP_VERSION;
    head.descriptor = wire_take(reader, head.descriptor_length);
    if (reader->failed || head.descriptor_length > DESCRIPTOR_MAX)
        return DROP_MALFORMED;
    *ret_head = head;
    return DROP_NONE;
}

static size_t write_prologue(uint8_t out[64], const struct node_id *recipient, uint32_t day) {
    struct wire_writer writer = wire_writer(out, 64);
    wire_put(&writer, "p2pd mail", 9);
    wire_put(&writer, recipient->bytes, NODE_ID_LEN);
    wire_put_uint(&writer, day, 4);
    return wire_length(&writer);
}

int mail_seal(const struct noise_keypair *link_key, const struct node_id *recipient,
              const uint8_t mail_key[KEY_LEN], uint32_t day, const uint8_t ephemeral[32],
              const uint8_t *plain, size_t length, uint8_t *out) {
    struct noise_handshake noise;
    uint8_t prologue[64];
    if (length > MAIL_PLAIN_MAX)
        return -EINVAL;
    size_t prologue_length = write_prologue(prologue, recipient, day);
    struct wire_writer writer = wire_writer(out, length + MAIL_OVERHEAD);
    wire_put_uint(&writer, day, 4);
    noise_init(&noise, &noise_x, true, prologue, prologue_length, link_key, mail_key, NULL);
    int sealed = noise_write(&noise, ephemeral, plain, length, writer.at, wire_room(&writer));
    noise_wipe(&noise);
    return sealed < 0 ? sealed : sealed + 4;
}

uint32_t mail_day(const uint8_t *blob, size_t length) {
    struct wire_reader reader = wire_reader(blob, length);
    return (uint32_t)wire_get_uint(&reader, 4);
}

enum drop mail_open(const struct noise_keypair *mail_key, const struct node_id *recipient,
                    const uint8_t *blob, size_t length, uint8_t *plain, size_t *ret_length,
                    uint8_t ret_link_key[KEY_LEN]) {
    struct noise_handshake noise;
    uint8_t prologue[64];
    size_t plain_length = 0;
    if (length < MAIL_BLOB_MIN || length > MAIL_BLOB_MAX)
        return DROP_MALFORMED;
    size_t prologue_length = write_prologue(prologue, recipient, mail_day(blob, length));
    noise_init(&noise, &noise_x, false, prologue, prologue_length, mail_key, NULL, NULL);
    enum drop drop = noise_read(&noise, blob + 4, length - 4, plain, &plain_length);
    if (drop == DROP_NONE) {
        memcpy(ret_link_key, noise.remote_static, KEY_LEN);
        *ret_length = plain_length;
    }
    noise_wipe(&noise);
    return drop;
}

struct message_id mail_id(const uint8_t *blob, size_t length) {
    crypto_generichash_state state;
    struct message_id id;
    crypto_generichash_init(&state, NULL, 0, sizeof id.bytes);
    crypto_generichash_update(&state, (const uint8_t *)"p2pd mail", 9);
    crypto_generichash_update(&state, blob, length);
    crypto_generichash_final(&state, id.bytes, sizeof id.bytes);
    return id;
}

/* ---- Deposits ---- */

void mail_deposit_encode(const struct mail_deposit *deposit, struct wire_writer *writer) {
    wire_put_uint(writer, MAIL_DEPOSIT_VERSION, 1);
    wire_put(writer, deposit->recipient.bytes, NODE_ID_LEN);
    wire_put_uint(writer, deposit->expires_ms, 8);
    wire_put_uint(writer, deposit->n_replies, 1);
    for (unsigned i = 0; i < deposit->n_replies; i++) {
        wire_put_uint(writer, deposit->replies[i].first, 8);
        wire_put(writer, deposit->replies[i].packet, ONION_LEN);
    }
    wire_put_uint(writer, deposit->descriptor_length, 2);
    wire_put(writer, deposit->descriptor, deposit->descriptor_length);
    wire_put_uint(writer, deposit->blob_length, 4);
    wire_put(writer, deposit->blob, deposit->blob_length);
}

static void get_replies(struct wire_reader *reader, struct mail_deposit *deposit) {
    deposit->n_replies = (unsigned)wire_get_uint(reader, 1);
    if (deposit->n_replies > MAIL_REPLIES_MAX)
        reader->failed = true;
    for (unsigned i = 0; !reader->failed && i < deposit->n_replies; i++) {
        deposit->replies[i].first = wire_get_uint(reader, 8);
        deposit->replies[i].packet = wire_take(reader, ONION_LEN);
    }
}

enum drop mail_deposit_decode(const uint8_t *bytes, size_t length,
                              struct mail_deposit *ret_deposit) {
    struct wire_reader reader = wire_reader(bytes, length);
    struct mail_deposit deposit = {.n_replies = 0};
    uint64_t version = wire_get_uint(&reader, 1);
    if (!reader.failed && version != MAIL_DEPOSIT_VERSION)
        return DROP_VERSION;
    wire_get(&reader, deposit.recipient.bytes, NODE_ID_LEN);
    deposit.expires_ms = wire_get_uint(&reader, 8);
    get_replies(&reader, &deposit);
    deposit.descriptor_length = (size_t)wire_get_uint(&reader, 2);
    deposit.descriptor = wire_take(&reader, deposit.descriptor_length);
    deposit.blob_length = (size_t)wire_get_uint(&reader, 4);
    deposit.blob = wire_take(&reader, deposit.blob_length);
    size_t padding = wire_left(&reader);
    if (reader.failed || deposit.descriptor_length > DESCRIPTOR_MAX ||
        deposit.blob_length < MAIL_BLOB_MIN || deposit.blob_length > MAIL_BLOB_MAX)
        return DROP_MALFORMED;
    if (padding > 0 && !sodium_is_zero(reader.at, padding))
        return DROP_MALFORMED;
    *ret_deposit = deposit;
    return DROP_NONE;
}

/* ---- Shards ---- */

struct mail_cut mail_cut(size_t length) {
    size_t whole = length + SHARD_TRANSFORM_LEN;
    size_t k = (whole + MAIL_SHARD_DATA_MAX - 1) / MAIL_SHARD_DATA_MAX;
    size_t m = k > SHARD_COUNT_MAX - k ? SHARD_COUNT_MAX - k : k;
    return (struct mail_cut){(uint8_t)k, (uint8_t)m, (uint16_t)((whole + k - 1) / k)};
}

void mail_shards(const struct mail_cut *cut, uint8_t *bytes, size_t length, const uint8_t key[32]) {
    size_t whole = (size_t)cut->k * cut->length;
    assert(length + SHARD_TRANSFORM_LEN <= whole);
    memset(bytes + length, 0, whole - length);
    shard_transform(bytes, whole, key);
    shard_encode(cut->k, cut->m, cut->length, bytes, bytes + whole);
}

size_t mail_shard_encode(const struct mail_shard *shard, uint8_t ret_payload[ONION_PAYLOAD_MAX]) {
    uint8_t header[1 + MAIL_SHARD_HEADER_LEN];
    struct wire_writer writer = wire_writer(header, sizeof header);
    assert(shard->cut.length <= MAIL_SHARD_DATA_MAX);
    wire_put_uint(&writer, PAYLOAD_DEPOSIT, 1);
    wire_put(&writer, shard->id, PARCEL_ID_LEN);
    wire_put_uint(&writer, shard->cut.k, 1);
    wire_put_uint(&writer, shard->cut.m, 1);
    wire_put_uint(&writer, shard->index, 1);
    wire_put_uint(&writer, shard->cut.length, 2);
    memcpy(ret_payload, header, sizeof header);
    memcpy(ret_payload + sizeof header, shard->data, shard->cut.length);
    return sizeof header + shard->cut.length;
}

enum drop mail_shard_decode(const uint8_t *payload, size_t length, struct mail_shard *ret_shard) {
    struct wire_reader reader = wire_reader(payload, length);
    struct mail_shard shard;
    uint64_t kind = wire_get_uint(&reader, 1);
    wire_get(&reader, shard.id, sizeof shard.id);
    shard.cut.k = (uint8_t)wire_get_uint(&reader, 1);
    shard.cut.m = (uint8_t)wire_get_uint(&reader, 1);
    shard.index = (uint8_t)wire_get_uint(&reader, 1);
    shard.cut.length = (uint16_t)wire_get_uint(&reader, 2);
    shard.data = wire_take(&reader, shard.cut.length);
    if (reader.failed || wire_left(&reader) > 0 || kind != PAYLOAD_DEPOSIT)
        return DROP_MALFORMED;
    unsigned k = shard.cut.k, m = shard.cut.m;
    if (k == 0 || k > MAIL_SHARDS_MAX || k + m > SHARD_COUNT_MAX || shard.index >= k + m ||
        shard.cut.length > MAIL_SHARD_DATA_MAX || shard.cut.length <= SHARD_TRANSFORM_LEN)
        return DROP_MALFORMED;
    *ret_shard = shard;
    return DROP_NONE;
}

int mail_restore(const struct mail_cut *cut, const uint8_t *index, uint8_t *bytes) {
    size_t whole = (size_t)cut->k * cut->length;
    int error = shard_decode(cut->k, cut->m, cut->length, index, bytes);
    if (error)
        return error;
    shard_restore(bytes, whole);
    return (int)(whole - SHARD_TRANSFORM_LEN);
}
