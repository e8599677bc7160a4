/* See parcel.h. Threat: every byte here may come from an enemy; decoders read within bounds or say
 * so. */
#include "daemon/core/wire/parcel.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>

#define SHARD_MACED_LEN (PARCEL_SHARD_HEADER_LEN - PARCEL_MAC_LEN)
#define WAYS 4

_Static_assert(PARCEL_SEALED_MAX <= NOISE_MESSAGE_LEN_MAX, "a parcel is one Noise message");

/* ---- Plaintext ---- */

void parcel_put_head(struct wire_writer *writer, const struct node_id *sender) {
    wire_put(writer, sender->bytes, NODE_ID_LEN);
    wire_put_uint(writer, PARCEL_VERSION, 1);
}

uint8_t *parcel_put_item(struct wire_writer *writer, const struct parcel_item *item) {
    wire_put_uint(writer, item->kind, 1);
    wire_put(writer, item->id.bytes, MESSAGE_ID_LEN);
    wire_put_uint(writer, item->sequence, 8);
    wire_put_uint(writer, item->sent_ms, 8);
    wire_put_uint(writer, item->expires_ms, 8);
    wire_put_uint(writer, item->total, 8);
    wire_put_uint(writer, item->offset, 8);
    wire_put_uint(writer, item->length, 4);
    if (item->kind == KIND_FILE) {
        wire_put(writer, item->digest, FILE_DIGEST_LEN);
        wire_put_uint(writer, item->name_length, 1);
        wire_put(writer, item->name, item->name_length);
    }
    uint8_t *bytes = wire_reserve(writer, item->length);
    if (bytes && item->bytes && item->length > 0)
        memcpy(bytes, item->bytes, item->length);
    return bytes;
}

enum drop parcel_get_head(struct wire_reader *reader, struct node_id *ret_sender) {
    struct node_id sender;
    wire_get(reader, sender.bytes, NODE_ID_LEN);
    uint64_t version = wire_get_uint(reader, 1);
    if (reader->failed)
        return DROP_MALFORMED;
    if (version != PARCEL_VERSION)
        return DROP_VERSION;
    *ret_sender = sender;
    return DROP_NONE;
}

/* All that is left: zeros, or it would be a place for a sender to hide something in. */
static enum drop get_padding(struct wire_reader *reader, struct parcel_item *ret_item) {
    size_t length = wire_left(reader);
    const uint8_t *bytes = wire_take(reader, length);
    if (length > 0 && !sodium_is_zero(bytes, length))
        return DROP_MALFORMED;
    *ret_item = (struct parcel_item){.kind = (enum message_kind)0};
    return DROP_NONE;
}

static void get_file_head(struct wire_reader *reader, struct parcel_item *item) {
    item->digest = wire_take(reader, FILE_DIGEST_LEN);
    item->name_length = (uint8_t)wire_get_uint(reader, 1);
    item->name = (const char *)wire_take(reader, item->name_length);
    if (!reader->failed && (item->name_length == 0 || item->name_length > FILE_NAME_MAX ||
                            memchr(item->name, 0, item->name_length)))
        reader->failed = true;
}

enum drop parcel_get_item(struct wire_reader *reader, struct parcel_item *ret_item) {
    struct parcel_item item = {0};
    uint64_t kind = wire_get_uint(reader, 1);
    if (!reader->failed && kind == 0)
        return get_padding(reader, ret_item);
    if (!reader->failed && (kind < KIND_MESSAGE || kind > KIND_MAIL))
        return DROP_VERSION;
    item.kind = (enum message_kind)kind;
    wire_get(reader, item.id.bytes, MESSAGE_ID_LEN);
    item.sequence = wire_get_uint(reader, 8);
    item.sent_ms = wire_get_uint(reader, 8);
    item.expires_ms = wire_get_uint(reader, 8);
    item.total = wire_get_uint(reader, 8);
    item.offset = wire_get_uint(reader, 8);
    item.length = (uint32_t)wire_get_uint(reader, 4);
    if (item.kind == KIND_FILE)
        get_file_head(reader, &item);
    item.bytes = wire_take(reader, item.length);
    if (reader->failed || item.offset > item.total || item.length > item.total - item.offset)
        return DROP_MALFORMED;
    /* An empty block would be stored for ever without completing anything; only an empty message
     * has one. */
    if (item.length == 0 && item.total > 0)
        return DROP_MALFORMED;
    *ret_item = item;
    return DROP_NONE;
}

/* ---- Sealing ---- */

static size_t write_prologue(uint8_t out[64], const struct node_id *recipient, int64_t epoch) {
    struct wire_writer writer = wire_writer(out, 64);
    wire_put(&writer, "p2pd parcel", 11);
    wire_put(&writer, recipient->bytes, NODE_ID_LEN);
    wire_put_uint(&writer, (uint64_t)epoch, 8);
    return wire_length(&writer);
}

int parcel_seal(const struct noise_keypair *link_key, const struct node_id *recipient,
                const uint8_t routing_key[KEY_LEN], int64_t epoch, const uint8_t ephemeral[32],
                const struct noise_known *known, const uint8_t *plain, size_t length, uint8_t *out,
                uint8_t ret_receipt_key[KEY_LEN]) {
    struct {
        struct noise_handshake noise;
        uint8_t first[32], second[32];
    } s;
    uint8_t prologue[64];
    size_t prologue_length = write_prologue(prologue, recipient, epoch);
    noise_init(&s.noise, &noise_x, true, prologue, prologue_length, link_key, routing_key, NULL);
    s.noise.known = known;
    int sealed = noise_write(&s.noise, ephemeral, plain, length, out, length + PARCEL_OVERHEAD);
    if (sealed > 0) {
        noise_split(&s.noise, s.first, s.second);
        memcpy(ret_receipt_key, s.second, KEY_LEN);
    }
    noise_wipe(&s.noise);
    sodium_memzero(&s, sizeof s);
    return sealed;
}

enum drop parcel_open(const struct noise_keypair *routing_key, const struct node_id *recipient,
                      int64_t epoch, const struct node_id *sender,
                      const uint8_t sender_link_key[KEY_LEN], const struct noise_known *known,
                      const uint8_t *sealed, size_t length, uint8_t *plain, size_t *ret_length,
                      uint8_t ret_receipt_key[KEY_LEN]) {
    struct {
        struct noise_handshake noise;
        uint8_t first[32], second[32];
    } s;
    uint8_t prologue[64];
    size_t plain_length = 0, prologue_length = write_prologue(prologue, recipient, epoch);
    if (length < PARCEL_OVERHEAD + PARCEL_HEAD_LEN || length > PARCEL_SEALED_MAX)
        return DROP_MALFORMED;
    noise_init(&s.noise, &noise_x, false, prologue, prologue_length, routing_key, NULL, NULL);
    s.noise.known = known;
    enum drop drop = noise_read(&s.noise, sealed, length, plain, &plain_length);
    /* The claim inside must be the identity that was proven, or a parcel could be passed off as
     * another's. */
    if (drop == DROP_NONE &&
        (plain_length < PARCEL_HEAD_LEN || memcmp(plain, sender->bytes, NODE_ID_LEN) != 0 ||
         memcmp(s.noise.remote_static, sender_link_key, KEY_LEN) != 0))
        drop = DROP_AUTH;
    if (drop == DROP_NONE) {
        /* Split has the own direction first: the initiator's second key is the responder's
         * first. */
        noise_split(&s.noise, s.first, s.second);
        memcpy(ret_receipt_key, s.first, KEY_LEN);
        *ret_length = plain_length;
    }
    noise_wipe(&s.noise);
    sodium_memzero(&s, sizeof s);
    return drop;
}

int parcel_cut(size_t plain_length, unsigned k_wanted, unsigned *ret_k, size_t *ret_length,
               size_t *ret_padded) {
    size_t sealed = plain_length + PARCEL_OVERHEAD, whole = sealed + SHARD_TRANSFORM_LEN;
    if (plain_length > PARCEL_PLAIN_MAX || k_wanted > SHARD_COUNT_MAX)
        return -EMSGSIZE;
    if (k_wanted <= 1 && sealed <= PARCEL_SHARD_DATA_MAX) {
        *ret_k = 1;
        *ret_length = sealed;
        *ret_padded = plain_length;
        return 0;
    }
    size_t k = k_wanted ? k_wanted : (whole + PARCEL_SHARD_DATA_MAX - 1) / PARCEL_SHARD_DATA_MAX;
    if (k == 1 && !k_wanted) /* the transform alone does not fit */
        k = 2;
    size_t length = (whole + k - 1) / k;
    if (length < SHARD_LENGTH_MIN)
        length = SHARD_LENGTH_MIN;
    size_t padded = k * length - SHARD_TRANSFORM_LEN - PARCEL_OVERHEAD;
    if (k == 1 || length > PARCEL_SHARD_DATA_MAX || padded > PARCEL_PLAIN_MAX)
        return -EMSGSIZE;
    *ret_k = (unsigned)k;
    *ret_length = length;
    *ret_padded = padded;
    return 0;
}

/* ---- Shards ---- */

static void mac_two(const uint8_t key[KEY_LEN], const void *a, size_t a_length, const void *b,
                    size_t b_length, uint8_t ret_mac[PARCEL_MAC_LEN]) {
    crypto_generichash_state state;
    crypto_generichash_init(&state, key, KEY_LEN, PARCEL_MAC_LEN);
    crypto_generichash_update(&state, a, a_length);
    crypto_generichash_update(&state, b, b_length);
    crypto_generichash_final(&state, ret_mac, PARCEL_MAC_LEN);
    sodium_memzero(&state, sizeof state);
}

size_t parcel_shard_encode(const struct parcel_shard *shard, const uint8_t key[KEY_LEN],
                           uint8_t ret_payload[ONION_PAYLOAD_MAX]) {
    assert(shard->length >= 1 && shard->length <= PARCEL_SHARD_DATA_MAX);
    uint8_t header[1 + SHARD_MACED_LEN];
    struct wire_writer writer = wire_writer(header, sizeof header);
    wire_put_uint(&writer, PAYLOAD_SHARD, 1);
    wire_put(&writer, shard->id.bytes, PARCEL_ID_LEN);
    wire_put_uint(&writer, shard->k, 1);
    wire_put_uint(&writer, shard->m, 1);
    wire_put_uint(&writer, shard->index, 1);
    wire_put_uint(&writer, shard->length, 2);
    wire_put_uint(&writer, shard->sender, 8);
    wire_put_uint(&writer, shard->path, 4);
    wire_put_uint(&writer, shard->packet, 2);
    assert(!writer.failed && wire_room(&writer) == 0);
    memcpy(ret_payload, header, sizeof header);
    mac_two(key, header + 1, SHARD_MACED_LEN, shard->data, shard->length,
            ret_payload + sizeof header);
    memcpy(ret_payload + 1 + PARCEL_SHARD_HEADER_LEN, shard->data, shard->length);
    return 1 + PARCEL_SHARD_HEADER_LEN + shard->length;
}

enum drop parcel_shard_decode(const uint8_t *payload, size_t length,
                              struct parcel_shard *ret_shard) {
    struct wire_reader reader = wire_reader(payload, length);
    struct parcel_shard shard;
    uint64_t kind = wire_get_uint(&reader, 1);
    shard.header = reader.at;
    wire_get(&reader, shard.id.bytes, PARCEL_ID_LEN);
    shard.k = (uint8_t)wire_get_uint(&reader, 1);
    shard.m = (uint8_t)wire_get_uint(&reader, 1);
    shard.index = (uint8_t)wire_get_uint(&reader, 1);
    shard.length = (uint16_t)wire_get_uint(&reader, 2);
    shard.sender = wire_get_uint(&reader, 8);
    shard.path = (uint32_t)wire_get_uint(&reader, 4);
    shard.packet = (uint16_t)wire_get_uint(&reader, 2);
    shard.mac = wire_take(&reader, PARCEL_MAC_LEN);
    shard.data = wire_take(&reader, shard.length);
    if (reader.failed || wire_left(&reader) > 0 || kind != PAYLOAD_SHARD)
        return DROP_MALFORMED;
    size_t overhead = shard.k > 1 ? SHARD_TRANSFORM_LEN : 0,
           least = shard.k > 1 ? SHARD_LENGTH_MIN : 1;
    if (shard.k == 0 || shard.k + shard.m > (int)SHARD_COUNT_MAX ||
        shard.index >= shard.k + shard.m || shard.length < least ||
        shard.length > PARCEL_SHARD_DATA_MAX ||
        (size_t)shard.k * shard.length > PARCEL_SEALED_MAX + overhead)
        return DROP_MALFORMED;
    *ret_shard = shard;
    return DROP_NONE;
}

bool parcel_shard_is_authentic(const struct parcel_shard *shard, const uint8_t key[KEY_LEN]) {
    uint8_t mac[PARCEL_MAC_LEN];
    mac_two(key, shard->header, SHARD_MACED_LEN, shard->data, shard->length, mac);
    return sodium_memcmp(mac, shard->mac, PARCEL_MAC_LEN) == 0;
}

/* ---- Receipts ---- */

static void put_partial(const struct parcel_receipt *receipt, struct wire_writer *writer) {
    wire_put_uint(writer, receipt->k, 1);
    wire_put_uint(writer, receipt->m, 1);
    wire_put(writer, receipt->bitmap, (receipt->k + receipt->m + 7u) / 8);
    wire_put_uint(writer, receipt->n_paths, 1);
    for (unsigned i = 0; i < receipt->n_paths; i++) {
        wire_put_uint(writer, receipt->paths[i].path, 4);
        wire_put_uint(writer, receipt->paths[i].highest, 2);
        wire_put_uint(writer, receipt->paths[i].count, 2);
        wire_put_uint(writer, receipt->paths[i].arrived, 4);
    }
}

void parcel_receipt_encode(const struct parcel_receipt *receipt, const uint8_t key[KEY_LEN],
                           struct wire_writer *writer) {
    const uint8_t *start = writer->at;
    wire_put(writer, receipt->id.bytes, PARCEL_ID_LEN);
    wire_put_uint(writer, receipt->status, 1);
    wire_put_uint(writer, receipt->reason, 1);
    if (receipt->status == PARCEL_PARTIAL)
        put_partial(receipt, writer);
    size_t length = (size_t)(writer->at - start);
    uint8_t *mac = wire_reserve(writer, PARCEL_MAC_LEN);
    if (mac)
        mac_two(key, start, length, NULL, 0, mac);
}

static void get_partial(struct wire_reader *reader, struct parcel_receipt *receipt) {
    receipt->k = (uint8_t)wire_get_uint(reader, 1);
    receipt->m = (uint8_t)wire_get_uint(reader, 1);
    if (receipt->k == 0 || receipt->k + receipt->m > (int)SHARD_COUNT_MAX) {
        reader->failed = true;
        return;
    }
    wire_get(reader, receipt->bitmap, (receipt->k + receipt->m + 7u) / 8);
    receipt->n_paths = (uint8_t)wire_get_uint(reader, 1);
    if (receipt->n_paths > PARCEL_RECEIPT_PATHS_MAX) {
        reader->failed = true;
        return;
    }
    for (unsigned i = 0; i < receipt->n_paths; i++) {
        receipt->paths[i].path = (uint32_t)wire_get_uint(reader, 4);
        receipt->paths[i].highest = (uint16_t)wire_get_uint(reader, 2);
        receipt->paths[i].count = (uint16_t)wire_get_uint(reader, 2);
        receipt->paths[i].arrived = (uint32_t)wire_get_uint(reader, 4);
    }
}

enum drop parcel_receipt_decode(struct wire_reader *reader, struct parcel_receipt *ret_receipt) {
    struct parcel_receipt receipt = {.start = reader->at};
    wire_get(reader, receipt.id.bytes, PARCEL_ID_LEN);
    uint64_t status = wire_get_uint(reader, 1);
    receipt.reason = (uint8_t)wire_get_uint(reader, 1);
    if (status < PARCEL_COMPLETE || status > PARCEL_REFUSED)
        return DROP_MALFORMED;
    receipt.status = (enum parcel_status)status;
    if (status == PARCEL_PARTIAL)
        get_partial(reader, &receipt);
    receipt.mac = wire_take(reader, PARCEL_MAC_LEN);
    if (reader->failed)
        return DROP_MALFORMED;
    *ret_receipt = receipt;
    return DROP_NONE;
}

bool parcel_receipt_is_authentic(const struct parcel_receipt *receipt, const uint8_t key[KEY_LEN]) {
    uint8_t mac[PARCEL_MAC_LEN];
    mac_two(key, receipt->start, (size_t)(receipt->mac - receipt->start), NULL, 0, mac);
    return sodium_memcmp(mac, receipt->mac, PARCEL_MAC_LEN) == 0;
}

const char *parcel_reason_words(uint8_t reason) {
    switch ((enum parcel_reason)reason) {
    case PARCEL_REASON_TOO_LARGE:
        return "too large for the recipient";
    case PARCEL_REASON_BLOCKED:
        return "blocked by the recipient";
    case PARCEL_REASON_QUOTA:
        return "the recipient's quota is reached";
    case PARCEL_REASON_VERSION:
        return "the recipient does not speak our version";
    case PARCEL_REASON_MALFORMED:
        return "the recipient could not read it";
    case PARCEL_REASON_UNKNOWN_SENDER:
        return "the recipient takes messages from known senders only";
    case PARCEL_REASON_NO_FILES:
        return "the recipient takes no files from us (it may p2pctl allow us)";
    case PARCEL_REASON_DAMAGED:
        return "it arrived damaged: its digest is wrong";
    case PARCEL_REASON_NO_ROOM:
        return "the recipient's disk has no room for it";
    case PARCEL_REASON_LOST:
        return "the recipient has lost a part of it";
    case PARCEL_REASON_NONE:
        break;
    }
    return "refused";
}

/* ---- Shared secrets ---- */

struct key_entry {
    bool used, is_known;
    struct node_id peer;
    uint64_t stamp, tick;
    int64_t epoch;
    uint8_t public_key[KEY_LEN];
    struct parcel_secret secret;
};
struct parcel_keys {
    size_t count;
    size_t last; /* the entry that was found last: shards come in rows */
    uint64_t tick;
    uint8_t key[crypto_shorthash_KEYBYTES]; /* nobody is to choose who shares a set with whom */
    struct key_entry entries[];
};

struct parcel_keys *parcel_keys_new(size_t count, const struct core_random *random) {
    assert(count > 0 && count % WAYS == 0);
    size_t size = sizeof(struct parcel_keys) + count * sizeof(struct key_entry);
    /* sodium_malloc aligns the end of the block: a size that is no multiple of 16 would misalign
     * its start. */
    struct parcel_keys *keys = sodium_malloc((size + 15) & ~(size_t)15);
    if (!keys)
        return NULL;
    memset(keys, 0, size);
    keys->count = count;
    random_fill(random, keys->key, sizeof keys->key);
    return keys;
}

void parcel_keys_free(struct parcel_keys *keys) {
    sodium_free(keys);
}

static struct key_entry *key_set(struct parcel_keys *keys, const struct node_id *peer,
                                 int64_t epoch) {
    struct {
        struct node_id peer;
        int64_t epoch;
    } named = {*peer, epoch};
    uint64_t hash;
    static_assert(sizeof named == NODE_ID_LEN + 8, "no padding");
    crypto_shorthash((uint8_t *)&hash, (const uint8_t *)&named, sizeof named, keys->key);
    return &keys->entries[hash % (keys->count / WAYS) * WAYS];
}

static bool is_entry_of(const struct key_entry *entry, const struct node_id *peer, uint64_t stamp,
                        int64_t epoch) {
    return entry->used && entry->epoch == epoch && entry->stamp == stamp &&
           node_id_is_equal(&entry->peer, peer);
}

struct parcel_secret *parcel_keys_find(struct parcel_keys *keys, const struct node_id *peer,
                                       uint64_t stamp, int64_t epoch) {
    struct key_entry *found = &keys->entries[keys->last];
    if (!is_entry_of(found, peer, stamp, epoch)) {
        struct key_entry *set = key_set(keys, peer, epoch);
        for (found = set; !is_entry_of(found, peer, stamp, epoch); found++)
            if (found == set + WAYS - 1)
                return NULL;
        keys->last = (size_t)(found - keys->entries);
    }
    found->tick = ++keys->tick;
    return &found->secret;
}

static void derive_shard_key(struct parcel_secret *secret, const struct parcel_peer *peer) {
    crypto_generichash_state state;
    uint8_t epoch[8];
    struct wire_writer writer = wire_writer(epoch, sizeof epoch);
    wire_put_uint(&writer, (uint64_t)peer->epoch, 8);
    const struct node_id *sender = peer->is_sender ? peer->id : peer->self;
    const struct node_id *recipient = peer->is_sender ? peer->self : peer->id;
    crypto_generichash_init(&state, NULL, 0, sizeof secret->shard_key);
    crypto_generichash_update(&state, (const uint8_t *)"p2pd shard", 10);
    crypto_generichash_update(&state, secret->known.ss, sizeof secret->known.ss);
    crypto_generichash_update(&state, sender->bytes, NODE_ID_LEN);
    crypto_generichash_update(&state, recipient->bytes, NODE_ID_LEN);
    crypto_generichash_update(&state, epoch, sizeof epoch);
    crypto_generichash_final(&state, secret->shard_key, sizeof secret->shard_key);
    sodium_memzero(&state, sizeof state);
}

void parcel_receipt_key(const struct parcel_secret *secret, const struct parcel_id *id,
                        uint8_t ret_key[KEY_LEN]) {
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, KEY_LEN);
    crypto_generichash_update(&state, (const uint8_t *)"p2pd receipt", 12);
    crypto_generichash_update(&state, secret->known.ss, sizeof secret->known.ss);
    crypto_generichash_update(&state, id->bytes, PARCEL_ID_LEN);
    crypto_generichash_final(&state, ret_key, KEY_LEN);
    sodium_memzero(&state, sizeof state);
}

/* Would it rather be this one that goes? Strangers are as many as they like, and drive out each
 * other. */
static bool is_sooner(const struct key_entry *entry, const struct key_entry *than) {
    if (entry->used != than->used)
        return !entry->used;
    if (entry->is_known != than->is_known)
        return !entry->is_known;
    return entry->tick < than->tick;
}

/* The entry of this peer and epoch, else a free one, else a stranger's, else a known node's; of
 * those the one used longest ago. */
static struct key_entry *choose_entry(struct key_entry *set, const struct parcel_peer *peer) {
    struct key_entry *oldest = set;
    for (struct key_entry *entry = set; entry < set + WAYS; entry++)
        if (entry->used && entry->epoch == peer->epoch && node_id_is_equal(&entry->peer, peer->id))
            return entry;
        else if (is_sooner(entry, oldest))
            oldest = entry;
    return oldest;
}

struct parcel_secret *parcel_keys_add(struct parcel_keys *keys, const struct parcel_peer *peer) {
    struct key_entry *entry = choose_entry(key_set(keys, peer->id, peer->epoch), peer);
    bool same = entry->used && entry->epoch == peer->epoch &&
                node_id_is_equal(&entry->peer, peer->id) &&
                memcmp(entry->public_key, peer->public_key, KEY_LEN) == 0;
    if (!same) {
        entry->used = false;
        parcel_secret_spend(&entry->secret);
        if (crypto_scalarmult(entry->secret.known.ss, peer->secret, peer->public_key) != 0) {
            sodium_memzero(&entry->secret, sizeof entry->secret);
            return NULL;
        }
        entry->used = entry->secret.known.has_ss = true;
        entry->peer = *peer->id;
        entry->epoch = peer->epoch;
        memcpy(entry->public_key, peer->public_key, KEY_LEN);
        derive_shard_key(&entry->secret, peer);
    }
    entry->is_known = peer->is_known;
    entry->stamp = peer->stamp;
    entry->tick = ++keys->tick;
    return &entry->secret;
}

struct parcel_secret *parcel_keys_renew(struct parcel_keys *keys, const struct parcel_peer *peer) {
    struct key_entry *entry = choose_entry(key_set(keys, peer->id, peer->epoch), peer);
    bool same = entry->used && entry->epoch == peer->epoch &&
                node_id_is_equal(&entry->peer, peer->id) &&
                memcmp(entry->public_key, peer->public_key, KEY_LEN) == 0;
    return same ? parcel_keys_add(keys, peer) : NULL;
}

struct parcel_secret *parcel_keys_move(struct parcel_keys *to, struct parcel_keys *from,
                                       const struct parcel_peer *peer) {
    struct key_entry *given = choose_entry(key_set(from, peer->id, peer->epoch), peer);
    struct key_entry *entry = choose_entry(key_set(to, peer->id, peer->epoch), peer);
    assert(given->used && node_id_is_equal(&given->peer, peer->id));
    *entry = *given;
    entry->tick = ++to->tick;
    sodium_memzero(given, sizeof *given);
    return &entry->secret;
}

int parcel_secret_prepare(struct parcel_secret *secret, const uint8_t routing_key[KEY_LEN],
                          const uint8_t ephemeral[32]) {
    struct noise_known *known = &secret->known;
    if (crypto_scalarmult_base(known->ephemeral, ephemeral) != 0 ||
        crypto_scalarmult(known->es, ephemeral, routing_key) != 0)
        return -EINVAL;
    known->has_es = true;
    return 0;
}

void parcel_secret_spend(struct parcel_secret *secret) {
    sodium_memzero(secret->known.es, sizeof secret->known.es);
    secret->known.has_es = false;
}

size_t parcel_keys_expire(struct parcel_keys *keys, int64_t oldest) {
    size_t left = 0;
    for (struct key_entry *entry = keys->entries; entry < keys->entries + keys->count; entry++)
        if (entry->used && entry->epoch < oldest)
            sodium_memzero(entry, sizeof *entry);
        else if (entry->used)
            left++;
    return left;
}
