/* Descriptors: their form on the wire, what is valid in one, and their signature.
 *
 * Threat: the bytes are anybody's, and every descriptor of the network passes here at each sync.
 * What can be refused without the signature is refused first; the protobuf decoder works under a
 * cap of memory, so that no input can make it allocate much more than the input's own length. */
#include "daemon/core/wire/identity.h"

#include "daemon/core/base/wirebuf.h"
#include "proto/wire.pb-c.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#define PREFIX_LEN 8
#define NEIGHBOUR_WIRE_LEN (PREFIX_LEN + ADDRESS_WIRE_LEN)
#define BODY_MAX (DESCRIPTOR_MAX - SIGNATURE_LEN)
#define ID_PREFIX_DIGITS_MIN 8

static const char label[] = "p2pd descriptor 2";
static const char label_1[] = "p2pd descriptor 1"; /* version 1's signature is over label || body */
#define LABEL_LEN (sizeof label - 1)
_Static_assert(sizeof label_1 == sizeof label, "both labels are as long");
#define SIGNED_LEN (LABEL_LEN + 8 + 4 + DESCRIPTOR_HASH_LEN)

typedef P2pd__Wire__DescriptorBody body_t;

/* ---- Validity ---- */

const uint8_t *descriptor_routing_key(const struct descriptor *descriptor, int64_t epoch) {
    int64_t i = epoch - descriptor->first_epoch;

    return i >= 0 && i < descriptor->n_epochs ? descriptor->routing_keys[i] : NULL;
}

static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static bool is_hex_digit(char c) {
    return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || (c >= '0' && c <= '9');
}

bool descriptor_name_is_valid(const char *name) {
    struct address address;
    size_t length = 0, digits = 0;

    for (; name[length] != '\0'; length++) {
        if (length == NODE_NAME_MAX || !is_name_char(name[length]))
            return false;
        digits += is_hex_digit(name[length]);
    }
    if (length == 0 || (digits == length && length >= ID_PREFIX_DIGITS_MIN))
        return false;
    return address_parse(name, &address) < 0;
}

/* All are public, and looked at whenever a descriptor is read: no need for constant time. */
static bool is_zero(const uint8_t key[KEY_LEN]) {
    static const uint8_t none[KEY_LEN];
    return memcmp(key, none, sizeof none) == 0;
}

static bool keys_are_valid(const struct descriptor *descriptor) {
    if (is_zero(descriptor->id.bytes) || is_zero(descriptor->link_key))
        return false;
    if (descriptor->n_epochs == 0 || descriptor->first_epoch > EPOCH_MAX - EPOCHS_PUBLISHED)
        return false;
    for (size_t i = 0; i < descriptor->n_epochs; i++)
        if (is_zero(descriptor->routing_keys[i]))
            return false;
    return true;
}

/* A key and its day come together; nobody is a mailbox of its own. */
static bool mail_is_valid(const struct descriptor *descriptor, uint64_t self) {
    if (descriptor->mail_day > INT32_MAX ||
        (descriptor->mail_day == 0) != sodium_is_zero(descriptor->mail_key, KEY_LEN))
        return false;
    for (size_t i = 0; i < descriptor->n_mailboxes; i++)
        if (descriptor->mailboxes[i] == self)
            return false;
    return true;
}

/* What decoder and signer agree on; counts are within their arrays. An address at which nobody can
 * be is no claim. */
static bool descriptor_is_valid(const struct descriptor *descriptor) {
    uint64_t self = node_id_prefix(&descriptor->id);

    if (!keys_are_valid(descriptor))
        return false;
    if (descriptor->sequence == 0 || descriptor->sequence > DESCRIPTOR_SEQUENCE_MAX)
        return false;
    if (descriptor->name[0] != '\0' && !descriptor_name_is_valid(descriptor->name))
        return false;
    for (size_t i = 0; i < descriptor->n_addresses; i++)
        if (descriptor->addresses[i].port == 0 || address_is_unspecified(&descriptor->addresses[i]))
            return false;
    for (size_t i = 0; i < descriptor->n_neighbours; i++)
        if (descriptor->neighbours[i].prefix == self)
            return false;
    return mail_is_valid(descriptor, self);
}

/* ---- Decoding ---- */

struct cap {
    size_t left;
};

static void *cap_alloc(void *context, size_t size) {
    struct cap *cap = context;

    if (size > cap->left)
        return NULL;
    cap->left -= size; /* what is freed is not given back: the cap bounds the work too */
    return malloc(size);
}

static void cap_free(void *context, void *pointer) {
    (void)context;
    free(pointer);
}

static bool copy_fixed(uint8_t *to, size_t length, const ProtobufCBinaryData *from) {
    if (from->len != length)
        return false;
    memcpy(to, from->data, length);
    return true;
}

/* Elements in a packed field, or SIZE_MAX if it has no whole number of them or more than `max`. */
static size_t packed_count(const ProtobufCBinaryData *field, size_t element, size_t max) {
    return field->len % element != 0 || field->len / element > max ? SIZE_MAX
                                                                   : field->len / element;
}

static bool take_keys(const body_t *body, struct descriptor *descriptor) {
    size_t n = packed_count(&body->routing_keys, KEY_LEN, EPOCHS_PUBLISHED);

    if (n == SIZE_MAX || n == 0 || !copy_fixed(descriptor->id.bytes, NODE_ID_LEN, &body->id) ||
        !copy_fixed(descriptor->link_key, KEY_LEN, &body->link_key))
        return false;
    memcpy(descriptor->routing_keys, body->routing_keys.data, body->routing_keys.len);
    descriptor->n_epochs = (uint8_t)n;
    descriptor->first_epoch = body->first_epoch;
    return true;
}

static uint64_t get_prefix(const uint8_t at[8]) {
    uint64_t prefix = 0;

    for (size_t byte = 0; byte < 8; byte++)
        prefix = prefix << 8 | at[byte];
    return prefix;
}

static bool take_places(const body_t *body, struct descriptor *descriptor) {
    size_t n = packed_count(&body->addresses, ADDRESS_WIRE_LEN, DESCRIPTOR_ADDRESSES_MAX);
    size_t m = packed_count(&body->neighbours, NEIGHBOUR_WIRE_LEN, DESCRIPTOR_NEIGHBOURS_MAX);

    if (n == SIZE_MAX || m == SIZE_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        address_unpack(body->addresses.data + i * ADDRESS_WIRE_LEN, &descriptor->addresses[i]);
    for (size_t i = 0; i < m; i++) {
        const uint8_t *at = body->neighbours.data + i * NEIGHBOUR_WIRE_LEN;
        descriptor->neighbours[i].prefix = get_prefix(at);
        address_unpack(at + PREFIX_LEN, &descriptor->neighbours[i].seen_at);
    }
    descriptor->n_addresses = (uint8_t)n;
    descriptor->n_neighbours = (uint8_t)m;
    return true;
}

static bool take_mail(const body_t *body, struct descriptor *descriptor) {
    size_t n = packed_count(&body->mailboxes, PREFIX_LEN, DESCRIPTOR_MAILBOXES_MAX);

    if (n == SIZE_MAX ||
        (body->mail_key.len > 0 && !copy_fixed(descriptor->mail_key, KEY_LEN, &body->mail_key)))
        return false;
    for (size_t i = 0; i < n; i++)
        descriptor->mailboxes[i] = get_prefix(body->mailboxes.data + i * PREFIX_LEN);
    descriptor->n_mailboxes = (uint8_t)n;
    descriptor->mail_day = body->mail_day;
    descriptor->mailbox = body->mailbox;
    return true;
}

static enum drop take_body(const body_t *body, struct descriptor *descriptor) {
    if (body->version != DESCRIPTOR_VERSION && body->version != 1)
        return DROP_VERSION;
    descriptor->version = (uint8_t)body->version;
    if (!take_keys(body, descriptor) || !take_places(body, descriptor) ||
        !take_mail(body, descriptor))
        return DROP_MALFORMED;
    if (body->name.len > NODE_NAME_MAX)
        return DROP_MALFORMED;
    if (body->name.len > 0) {
        memcpy(descriptor->name, body->name.data, body->name.len);
        if (strlen(descriptor->name) != body->name.len)
            return DROP_MALFORMED;
    }
    descriptor->relay = body->relay;
    descriptor->sequence = body->sequence;
    return descriptor_is_valid(descriptor) ? DROP_NONE : DROP_MALFORMED;
}

enum drop descriptor_decode(const uint8_t *bytes, size_t length,
                            struct descriptor *ret_descriptor) {
    struct descriptor descriptor = {0};

    if (length <= SIGNATURE_LEN || length > DESCRIPTOR_MAX)
        return DROP_MALFORMED;
    struct cap cap = {2 * length + (64u << 10)};
    ProtobufCAllocator allocator = {cap_alloc, cap_free, &cap};
    body_t *body = p2pd__wire__descriptor_body__unpack(&allocator, length - SIGNATURE_LEN,
                                                       bytes + SIGNATURE_LEN);
    if (!body)
        return DROP_MALFORMED;
    enum drop drop = take_body(body, &descriptor);
    p2pd__wire__descriptor_body__free_unpacked(body, &allocator);
    if (drop == DROP_NONE)
        *ret_descriptor = descriptor;
    return drop;
}

/* ---- Signatures ---- */

void descriptor_hash(const uint8_t *bytes, size_t length, uint8_t ret_hash[DESCRIPTOR_HASH_LEN]) {
    crypto_generichash_state state;

    crypto_generichash_init(&state, NULL, 0, DESCRIPTOR_HASH_LEN);
    crypto_generichash_update(&state, (const uint8_t *)label, LABEL_LEN);
    crypto_generichash_update(&state, bytes + SIGNATURE_LEN, length - SIGNATURE_LEN);
    crypto_generichash_final(&state, ret_hash, DESCRIPTOR_HASH_LEN);
}

/* label || sequence(8) || until(4) || hash(32): two of one sequence prove in a few bytes what a
 * whole version or two would not fit a cell to prove. */
static void write_signed(uint8_t message[SIGNED_LEN], uint64_t sequence, uint32_t until,
                         const uint8_t hash[DESCRIPTOR_HASH_LEN]) {
    struct wire_writer w = wire_writer(message, SIGNED_LEN);

    wire_put(&w, label, LABEL_LEN);
    wire_put_uint(&w, sequence, 8);
    wire_put_uint(&w, until, 4);
    wire_put(&w, hash, DESCRIPTOR_HASH_LEN);
}

enum drop descriptor_seal_verify(const struct descriptor_seal *seal, const struct node_id *id,
                                 uint64_t sequence) {
    uint8_t message[SIGNED_LEN];

    write_signed(message, sequence, seal->until, seal->hash);
    return crypto_sign_verify_detached(seal->signature, message, sizeof message, id->bytes) == 0
               ? DROP_NONE
               : DROP_AUTH;
}

static enum drop verify_1(const uint8_t *bytes, size_t length, const struct node_id *id) {
    uint8_t message[LABEL_LEN + BODY_MAX];
    size_t body = length - SIGNATURE_LEN;

    memcpy(message, label_1, LABEL_LEN);
    memcpy(message + LABEL_LEN, bytes + SIGNATURE_LEN, body);
    return crypto_sign_verify_detached(bytes, message, LABEL_LEN + body, id->bytes) == 0
               ? DROP_NONE
               : DROP_AUTH;
}

enum drop descriptor_verify(const uint8_t *bytes, size_t length,
                            const struct descriptor *descriptor) {
    struct descriptor_seal seal = {.until = descriptor->first_epoch + descriptor->n_epochs};

    if (descriptor->version == 1)
        return verify_1(bytes, length, &descriptor->id);
    descriptor_hash(bytes, length, seal.hash);
    memcpy(seal.signature, bytes, SIGNATURE_LEN);
    return descriptor_seal_verify(&seal, &descriptor->id, descriptor->sequence);
}

enum drop descriptor_open(const uint8_t *bytes, size_t length, struct descriptor *ret_descriptor) {
    struct descriptor descriptor;
    enum drop drop = descriptor_decode(bytes, length, &descriptor);

    if (drop == DROP_NONE)
        drop = descriptor_verify(bytes, length, &descriptor);
    if (drop == DROP_NONE)
        *ret_descriptor = descriptor;
    return drop;
}

/* ---- Encoding ---- */

static void put_prefix(uint64_t prefix, uint8_t to[PREFIX_LEN]) {
    for (size_t byte = 0; byte < PREFIX_LEN; byte++)
        to[byte] = (uint8_t)(prefix >> (56 - 8 * byte));
}

static void put_places(const struct descriptor *descriptor, uint8_t *addresses, uint8_t *neighbours,
                       uint8_t *mailboxes) {
    for (size_t i = 0; i < descriptor->n_addresses; i++)
        address_pack(&descriptor->addresses[i], addresses + i * ADDRESS_WIRE_LEN);
    for (size_t i = 0; i < descriptor->n_neighbours; i++) {
        uint8_t *to = neighbours + i * NEIGHBOUR_WIRE_LEN;
        put_prefix(descriptor->neighbours[i].prefix, to);
        address_pack(&descriptor->neighbours[i].seen_at, to + PREFIX_LEN);
    }
    for (size_t i = 0; i < descriptor->n_mailboxes; i++)
        put_prefix(descriptor->mailboxes[i], mailboxes + i * PREFIX_LEN);
}

/* With every count at its bound a body is below BODY_MAX by 40 bytes or more. */
static size_t encode(struct descriptor *descriptor, uint8_t ret_body[BODY_MAX]) {
    uint8_t addresses[DESCRIPTOR_ADDRESSES_MAX * ADDRESS_WIRE_LEN];
    uint8_t neighbours[DESCRIPTOR_NEIGHBOURS_MAX * NEIGHBOUR_WIRE_LEN];
    uint8_t mailboxes[DESCRIPTOR_MAILBOXES_MAX * PREFIX_LEN];
    body_t body = P2PD__WIRE__DESCRIPTOR_BODY__INIT;

    put_places(descriptor, addresses, neighbours, mailboxes);
    body.version = DESCRIPTOR_VERSION;
    body.id = (ProtobufCBinaryData){NODE_ID_LEN, descriptor->id.bytes};
    body.link_key = (ProtobufCBinaryData){KEY_LEN, descriptor->link_key};
    body.first_epoch = descriptor->first_epoch;
    body.routing_keys = (ProtobufCBinaryData){(size_t)descriptor->n_epochs * KEY_LEN,
                                              &descriptor->routing_keys[0][0]};
    body.addresses =
        (ProtobufCBinaryData){(size_t)descriptor->n_addresses * ADDRESS_WIRE_LEN, addresses};
    body.name = (ProtobufCBinaryData){strlen(descriptor->name), (uint8_t *)descriptor->name};
    body.relay = descriptor->relay;
    body.neighbours =
        (ProtobufCBinaryData){(size_t)descriptor->n_neighbours * NEIGHBOUR_WIRE_LEN, neighbours};
    body.sequence = descriptor->sequence;
    if (descriptor->mail_day != 0)
        body.mail_key = (ProtobufCBinaryData){KEY_LEN, descriptor->mail_key};
    body.mail_day = descriptor->mail_day;
    body.mailbox = descriptor->mailbox;
    body.mailboxes = (ProtobufCBinaryData){(size_t)descriptor->n_mailboxes * PREFIX_LEN, mailboxes};
    return p2pd__wire__descriptor_body__pack(&body, ret_body);
}

static void fill_keys(struct descriptor *descriptor, const struct identity *identity,
                      struct wall now) {
    int64_t first = wall_epoch(now);
    const struct noise_keypair *key;

    descriptor->id = *identity_id(identity);
    memcpy(descriptor->link_key, identity_link_key(identity)->public, KEY_LEN);
    descriptor->first_epoch = (uint32_t)first;
    descriptor->n_epochs = 0;
    while (descriptor->n_epochs < EPOCHS_PUBLISHED &&
           (key = identity_epoch_key(identity, first + descriptor->n_epochs)))
        memcpy(descriptor->routing_keys[descriptor->n_epochs++], key->public, KEY_LEN);
    key = identity_mail_current(identity, now, &descriptor->mail_day);
    if (key)
        memcpy(descriptor->mail_key, key->public, KEY_LEN);
}

int descriptor_sign(struct descriptor *descriptor, const struct identity *identity, struct wall now,
                    uint8_t ret_bytes[DESCRIPTOR_MAX]) {
    uint8_t message[SIGNED_LEN], hash[DESCRIPTOR_HASH_LEN];

    if (descriptor->n_addresses > DESCRIPTOR_ADDRESSES_MAX ||
        descriptor->n_neighbours > DESCRIPTOR_NEIGHBOURS_MAX ||
        descriptor->n_mailboxes > DESCRIPTOR_MAILBOXES_MAX)
        return -EINVAL;
    fill_keys(descriptor, identity, now);
    if (!descriptor_is_valid(descriptor))
        return -EINVAL;
    size_t length = SIGNATURE_LEN + encode(descriptor, ret_bytes + SIGNATURE_LEN);
    descriptor_hash(ret_bytes, length, hash);
    write_signed(message, descriptor->sequence, descriptor->first_epoch + descriptor->n_epochs,
                 hash);
    identity_sign(identity, message, sizeof message, ret_bytes);
    return (int)length;
}
