/* Doubles for the rooms below outbox and inbox: a virtual clock, a network with fault knobs, a
 * store per node, identities and a directory that hold what a test puts in. Included once by a test
 * program. */
#ifndef FAKE_DELIVERY_H
#define FAKE_DELIVERY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/deliver/inbox/inbox.h"
#include "daemon/core/deliver/outbox.h"
#include "daemon/core/node/node.h"
#include "daemon/core/route/courier.h"
#include "tests/unit/harness.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Randomness and time ---- */
#define fake_random test_random
static inline void fake_fill(void *context, void *buffer, size_t length) {
    (void)context;
    test_bytes(buffer, length);
}
static inline uint64_t fake_below(uint64_t bound) {
    return test_next(&test_source) % bound;
}
static struct mono mono_now = {US_PER_S};
#define FAKE_WALL_START (INT64_C(490000) * US_PER_HOUR + 10 * US_PER_MINUTE)
static int64_t wall_skew_us = FAKE_WALL_START;
static inline struct wall wall_now(void) {
    return (struct wall){mono_now.us + wall_skew_us};
}
static inline struct now fake_now(void) {
    return (struct now){mono_now, wall_now()};
}
static inline int64_t epoch_now(void) {
    return wall_epoch(wall_now());
}

/* ---- Identities and the directory ---- */
#ifndef FAKE_NODES
#define FAKE_NODES 4
#endif
struct identity {
    struct node_id id;
    struct noise_keypair link;
    struct noise_keypair
        routing[2]; /* the epoch that was current at the last look, and the one before */
    int64_t epoch;
};
struct directory {
    int unused;
};
static struct identity fake_identities[FAKE_NODES];
static struct directory_entry fake_entries[FAKE_NODES];
static bool fake_known[FAKE_NODES];

static inline void fake_keypair(struct noise_keypair *pair) {
    uint8_t secret[32];
    test_bytes(secret, sizeof secret);
    assert_int_equal(noise_keypair_init(pair, secret), 0);
}
static inline void fake_rekey(unsigned node) {
    fake_identities[node].epoch = epoch_now();
    fake_keypair(&fake_identities[node].routing[0]);
    fake_keypair(&fake_identities[node].routing[1]);
    fake_entries[node].sequence++;
}
static inline void fake_identities_init(void) {
    for (unsigned i = 0; i < FAKE_NODES; i++) {
        test_bytes(&fake_identities[i].id, sizeof fake_identities[i].id);
        fake_keypair(&fake_identities[i].link);
        fake_rekey(i);
        fake_entries[i] =
            (struct directory_entry){.id = fake_identities[i].id, .sequence = 1, .live = true};
        fake_entries[i].prefix = node_id_prefix(&fake_identities[i].id);
        fake_known[i] = true;
    }
}
const struct node_id *identity_id(const struct identity *identity) {
    return &identity->id;
}
const struct noise_keypair *identity_link_key(const struct identity *identity) {
    return &identity->link;
}
const struct noise_keypair *identity_epoch_key(const struct identity *identity, int64_t epoch) {
    return epoch == identity->epoch       ? &identity->routing[0]
           : epoch == identity->epoch - 1 ? &identity->routing[1]
                                          : NULL;
}
#include "tests/unit/deliver/fake_mail.h"

/* The hour turned: the key before stays for a while. */
static inline void fake_epochs(void) {
    for (unsigned i = 0; i < FAKE_NODES; i++)
        if (fake_identities[i].epoch < epoch_now()) {
            fake_identities[i].epoch = epoch_now();
            fake_identities[i].routing[1] = fake_identities[i].routing[0];
            fake_keypair(&fake_identities[i].routing[0]);
            fake_entries[i].sequence++;
        }
}
const struct directory_entry *directory_find(const struct directory *directory,
                                             const struct node_id *id) {
    (void)directory;
    for (unsigned i = 0; i < FAKE_NODES; i++)
        if (fake_known[i] && node_id_is_equal(id, &fake_entries[i].id))
            return &fake_entries[i];
    return NULL;
}
const struct directory_entry *directory_find_prefix(const struct directory *directory,
                                                    uint64_t prefix) {
    (void)directory;
    for (unsigned i = 0; i < FAKE_NODES; i++)
        if (fake_known[i] && fake_entries[i].prefix == prefix)
            return &fake_entries[i];
    return NULL;
}
void directory_descriptor(const struct directory_entry *entry, struct descriptor *ret_descriptor) {
    const struct identity *identity = &fake_identities[entry - fake_entries];
    memset(ret_descriptor, 0, sizeof *ret_descriptor);
    ret_descriptor->id = identity->id;
    memcpy(ret_descriptor->link_key, identity->link.public, KEY_LEN);
    memcpy(ret_descriptor->routing_keys[0], identity->routing[0].public, KEY_LEN);
    ret_descriptor->first_epoch = (uint32_t)identity->epoch;
    ret_descriptor->n_epochs = 1;
    memcpy(ret_descriptor->name, "somebody", 9);
    fake_mail_describe((size_t)(entry - fake_entries), ret_descriptor);
}
const uint8_t *descriptor_routing_key(const struct descriptor *descriptor, int64_t epoch) {
    return epoch == descriptor->first_epoch ? descriptor->routing_keys[0] : NULL;
}
struct address directory_address(const struct directory *directory,
                                 const struct directory_entry *entry) {
    (void)directory;
    struct address address = {.port = 58008};
    address.ip[15] = (uint8_t)(1 + (entry - fake_entries));
    return address;
}

/* ---- Paths: three relays whose numbers are drawn; knobs for what a draw yields ---- */
struct paths {
    int unused;
};
struct path {
    uint64_t target, serial;
    uint64_t hops[4];
    struct mono born;
    int64_t epoch;
    uint16_t n;
};
static enum path_outcome fake_path_outcome;
static unsigned fake_paths_drawn, fake_paths_live, fake_paths_worked, fake_paths_failed,
    fake_draws_left = UINT32_MAX;
static bool fake_paths_down;
static uint64_t fake_silent[PATH_SILENCE_RELAYS]; /* of the latest draw */
static size_t fake_n_silent;
#define FAKE_RELAYS 100              /* numbers 1000 to 1099 */
static bool fake_dead[FAKE_RELAYS];  /* drop what passes them on paths that are apart */
static uint64_t fake_apart[4096][3]; /* the relays of such paths, by serial */

static inline bool fake_is_avoided(const struct path_request *request, uint64_t relay) {
    for (size_t i = 0; i < request->n_avoid; i++)
        if (request->avoid[i] == relay)
            return true;
    return false;
}
static inline uint64_t fake_relay(const struct path_request *request) {
    uint64_t relay;
    do
        relay = 1000 + test_next(&test_source) % FAKE_RELAYS;
    while (request->disjoint && fake_is_avoided(request, relay));
    return relay;
}

enum path_outcome path_draw(struct paths *paths, const struct path_request *request, struct now now,
                            struct path **ret_path, bool *ret_fewer) {
    (void)paths;
    if (fake_path_outcome != PATH_OK || fake_draws_left == 0)
        return fake_path_outcome ? fake_path_outcome : PATH_NONE;
    fake_draws_left -= fake_draws_left != UINT32_MAX;
    struct path *path = calloc(1, sizeof *path);
    assert_non_null(path);
    path->target = node_id_prefix(&request->target);
    path->serial = ++fake_paths_drawn;
    path->born = now.mono;
    path->epoch = wall_epoch(now.wall);
    fake_n_silent =
        request->silence ? path_silence_relays(request->silence, 1, now.mono, fake_silent) : 0;
    for (unsigned i = 0; i < 3; i++)
        path->hops[i] = fake_relay(request);
    if (request->disjoint)
        memcpy(fake_apart[path->serial % 4096], path->hops, sizeof *fake_apart);
    else
        memset(fake_apart[path->serial % 4096], 0, sizeof *fake_apart);
    path->hops[3] = path->target;
    fake_paths_live++;
    *ret_path = path;
    *ret_fewer = false;
    return PATH_OK;
}
enum path_outcome path_sample(struct paths *paths, const struct path_request *request,
                              struct mono at, uint64_t ret_hops[TOPOLOGY_RELAYS_MAX + 1],
                              size_t *ret_n, double *ret_choices) {
    (void)paths, (void)request, (void)at;
    ret_hops[0] = 0;
    *ret_n = 1;
    *ret_choices = 1;
    return fake_path_outcome;
}
void path_free(struct path *path) {
    fake_paths_live -= path != NULL;
    free(path);
}
static bool fake_once; /* a path serves one packet */
bool path_is_usable(const struct paths *paths, const struct path *path, struct now now) {
    (void)paths;
    return !fake_paths_down && now.mono.us - path->born.us < PATH_LIFE_US &&
           path->n < (fake_once ? 1 : PATH_PACKETS_MAX) && path->epoch == wall_epoch(now.wall);
}
uint16_t path_seal(struct paths *paths, struct path *path, const void *payload, size_t length,
                   uint8_t ret_packet[ONION_LEN]) {
    (void)paths;
    assert_true(length <= ONION_PAYLOAD_MAX && path->n < (fake_once ? 1 : PATH_PACKETS_MAX));
    struct wire_writer writer = wire_writer(ret_packet, ONION_LEN);
    wire_put_uint(&writer, path->target, 8);
    wire_put_uint(&writer, path->serial, 8);
    wire_put_uint(&writer, (uint64_t)path->epoch, 8);
    wire_put_uint(&writer, length, 2);
    wire_put(&writer, payload, length);
    return path->n++;
}
uint64_t path_first(const struct path *path) {
    return path->hops[0];
}
size_t path_hops(const struct path *path, uint64_t ret_hops[TOPOLOGY_RELAYS_MAX + 1]) {
    memcpy(ret_hops, path->hops, sizeof path->hops);
    return 4;
}
void path_worked(struct paths *paths, const struct path *path, struct mono at) {
    (void)paths, (void)path, (void)at;
    fake_paths_worked++;
}
void path_failed(struct paths *paths, const struct path *path, struct mono at) {
    (void)paths, (void)path, (void)at;
    fake_paths_failed++;
}

static inline struct courier *fake_courier(void) {
    static struct courier courier;
    return &courier;
}
static unsigned fake_expected;
bool paths_reuse(const struct paths *paths) {
    (void)paths;
    return !fake_once;
}
void paths_expect(struct paths *paths, const struct path_request *request, struct mono at) {
    (void)paths, (void)request, (void)at;
    fake_expected++;
}
void paths_prepare(struct paths *paths, struct now now) {
    (void)paths, (void)now;
}
struct mono paths_next(const struct paths *paths) {
    (void)paths;
    return MONO_NEVER;
}

/* ---- The network ---- */
struct links {
    int unused;
};
struct fake_packet {
    struct mono due;
    uint64_t target, serial;
    int64_t epoch;
    size_t length;
    uint8_t payload[ONION_PAYLOAD_MAX];
};
static struct fake_packet *fake_wire;
static size_t fake_wire_n, fake_wire_capacity;
static uint64_t fake_sent; /* packets handed to the links */
static unsigned fake_loss_percent, fake_duplicate_percent;
static int64_t fake_latency_us = 10 * US_PER_MS, fake_jitter_us;
static int fake_link_error;

static inline void fake_wire_add(const uint8_t *packet) {
    if (fake_wire_n == fake_wire_capacity) {
        fake_wire_capacity = fake_wire_capacity ? fake_wire_capacity * 2 : 64;
        fake_wire = realloc(fake_wire, fake_wire_capacity * sizeof *fake_wire);
        assert_non_null(fake_wire);
    }
    struct fake_packet *p = &fake_wire[fake_wire_n++];
    struct wire_reader reader = wire_reader(packet, ONION_LEN);
    p->target = wire_get_uint(&reader, 8);
    p->serial = wire_get_uint(&reader, 8);
    p->epoch = (int64_t)wire_get_uint(&reader, 8);
    p->length = (size_t)wire_get_uint(&reader, 2);
    wire_get(&reader, p->payload, p->length);
    int64_t jitter = fake_jitter_us ? (int64_t)fake_below((uint64_t)fake_jitter_us) : 0;
    p->due = mono_add(mono_now, fake_latency_us + jitter);
}
static inline bool fake_passes_dead(const uint8_t *packet) {
    struct wire_reader reader = wire_reader(packet + 8, 8);
    const uint64_t *relays = fake_apart[wire_get_uint(&reader, 8) % 4096];
    for (unsigned i = 0; i < 3; i++)
        if (relays[i] >= 1000 && fake_dead[relays[i] - 1000])
            return true;
    return false;
}
int links_send_onion(struct links *links, uint64_t prefix, const uint8_t packet[ONION_LEN],
                     struct mono at) {
    (void)links, (void)prefix, (void)at;
    if (fake_link_error)
        return fake_link_error;
    fake_sent++;
    if (fake_passes_dead(packet))
        return 0;
    if (fake_below(100) >= fake_loss_percent)
        fake_wire_add(packet);
    if (fake_below(100) < fake_duplicate_percent)
        fake_wire_add(packet);
    return 0;
}

/* ---- Effects: what a node asked for, until a test takes it ---- */
struct fake_op {
    struct store_op op;
    enum store_owner owner;
    uint64_t cookie;
    struct mono due;
};
struct effects {
    struct fake_op *ops;
    size_t n_ops, ops_capacity;
    struct answer *answers;
    size_t n_answers, answers_capacity;
    void *scratch[4096];
    size_t n_scratch;
    int64_t store_us;
};
static inline void *fake_grow(void *array, size_t n, size_t *capacity, size_t size) {
    if (n < *capacity)
        return array;
    *capacity = *capacity ? *capacity * 2 : 16;
    array = realloc(array, *capacity * size);
    assert_non_null(array);
    return array;
}
void effects_store(struct effects *effects, const struct store_op *op, enum store_owner owner,
                   uint64_t cookie) {
    effects->ops =
        fake_grow(effects->ops, effects->n_ops, &effects->ops_capacity, sizeof *effects->ops);
    effects->ops[effects->n_ops++] =
        (struct fake_op){*op, owner, cookie, mono_add(mono_now, effects->store_us)};
}
void effects_answer(struct effects *effects, const struct answer *answer) {
    effects->answers =
        fake_grow(effects->answers, effects->n_answers, &effects->answers_capacity, sizeof *answer);
    effects->answers[effects->n_answers++] = *answer;
}
void effects_answer_text(struct effects *effects, uint64_t client, enum answer_code code,
                         const char *format, ...) {
    struct answer answer = {.client = client, .kind = ANSWER_TEXT, .code = code, .end = true};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(answer.text, sizeof answer.text, format, arguments);
    va_end(arguments);
    effects_answer(effects, &answer);
}
static bool fake_no_scratch;
void *effects_scratch(struct effects *effects, size_t size) {
    if (fake_no_scratch)
        return NULL;
    assert_true(effects->n_scratch < 4096);
    return effects->scratch[effects->n_scratch++] = calloc(1, size);
}
static inline void fake_effects_clear(struct effects *effects) {
    while (effects->n_scratch > 0)
        free(effects->scratch[--effects->n_scratch]);
    effects->n_answers = 0;
}
static inline void fake_effects_deinit(struct effects *effects) {
    fake_effects_clear(effects);
    free(effects->ops);
    free(effects->answers);
    memset(effects, 0, sizeof *effects);
}
static inline void fake_ops_shift(struct effects *effects) {
    memmove(effects->ops, effects->ops + 1, --effects->n_ops * sizeof *effects->ops);
}
static inline const struct answer *fake_answer(const struct effects *effects, uint64_t client) {
    for (size_t i = effects->n_answers; i-- > 0;)
        if (effects->answers[i].client == client)
            return &effects->answers[i];
    return NULL;
}

/* ---- Arguments ---- */
static inline void fake_arguments(int argc, char **argv) {
    if (!test_begin(argc, argv))
        abort();
}

#endif
