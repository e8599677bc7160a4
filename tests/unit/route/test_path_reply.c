/* link: daemon/core/route/path_reply daemon/core/wire/onion */
/* A way there, turned round: each hop opens its layer and finds the next, until we do. Node 0 is
 * ours, 1 to 4 relay, 5 is where it starts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/route/path_reply.h"
#include "tests/unit/harness.h"

#include <sodium.h>
#include <stdlib.h>

#define NODES 6
#define EPOCH INT64_C(500000)
#define WALL ((struct wall){EPOCH * EPOCH_US + 7 * US_PER_MINUTE})

/* ---- Doubles ---- */
struct identity {
    struct node_id id;
};
static struct identity own;
static struct noise_keypair keys[NODES];
static struct directory_entry entries[NODES];
static bool has_key[NODES];
static uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
static size_t n_hops;
static enum path_outcome outcome;

const struct node_id *identity_id(const struct identity *identity) {
    return &identity->id;
}
const struct noise_keypair *identity_epoch_key(const struct identity *identity, int64_t epoch) {
    (void)identity;
    return epoch == EPOCH && has_key[0] ? &keys[0] : NULL;
}
const struct directory_entry *directory_find_prefix(const struct directory *directory,
                                                    uint64_t prefix) {
    (void)directory;
    for (size_t i = 1; i < NODES; i++)
        if (entries[i].prefix == prefix)
            return &entries[i];
    return NULL;
}
void directory_descriptor(const struct directory_entry *entry, struct descriptor *ret) {
    memset(ret, 0, sizeof *ret);
    memcpy(ret->routing_keys[0], keys[entry - entries].public, KEY_LEN);
    ret->n_epochs = has_key[entry - entries];
}
const uint8_t *descriptor_routing_key(const struct descriptor *descriptor, int64_t epoch) {
    return epoch == EPOCH && descriptor->n_epochs > 0 ? descriptor->routing_keys[0] : NULL;
}
enum path_outcome path_sample(struct paths *paths, const struct path_request *request,
                              struct mono now, uint64_t ret_hops[TOPOLOGY_RELAYS_MAX + 1],
                              size_t *ret_n, double *ret_choices) {
    (void)paths, (void)request, (void)now;
    memcpy(ret_hops, hops, sizeof hops);
    *ret_n = n_hops;
    *ret_choices = 1;
    return outcome;
}

static int setup(void **state) {
    (void)state;
    outcome = PATH_OK;
    for (size_t i = 0; i < NODES; i++) {
        struct node_id id;
        test_bytes(&id, sizeof id);
        test_bytes(keys[i].secret, KEY_LEN);
        crypto_scalarmult_base(keys[i].public, keys[i].secret);
        entries[i] = (struct directory_entry){.id = id, .prefix = node_id_prefix(&id)};
        has_key[i] = true;
    }
    own.id = entries[0].id;
    return 0;
}

static enum path_outcome reply(size_t relays, uint64_t *ret_first, uint8_t packet[ONION_LEN]) {
    struct path_reply_rooms rooms = {NULL, NULL, &own, &test_random};
    struct path_request request = {.target = entries[5].id};
    for (size_t i = 0; i < relays; i++)
        hops[i] = entries[i + 1].prefix;
    hops[relays] = entries[5].prefix;
    n_hops = relays + 1;
    return path_reply(&rooms, &request, "token", 5, (struct now){(struct mono){0}, WALL}, ret_first,
                      packet);
}

static void test_leads_back_by_the_same_relays(void **state) {
    (void)state;
    for (size_t relays = 0; relays <= 4; relays++) {
        uint8_t packet[ONION_LEN], next[ONION_LEN], prk[ONION_PRK_LEN];
        struct onion_peeled peeled;
        uint64_t at;
        assert_int_equal(reply(relays, &at, packet), PATH_OK);
        for (size_t i = relays;; i--) { /* node i opens; 0 is us */
            assert_int_equal(at, entries[i].prefix);
            assert_int_equal(packet[0], EPOCH & 0xff);
            assert_int_equal(onion_prk(onion_eph(packet), keys[i].secret, keys[i].public, prk),
                             DROP_NONE);
            assert_int_equal(onion_peel(packet, prk, next, &peeled), DROP_NONE);
            assert_int_equal(peeled.slot, 7);
            if (i == 0)
                break;
            assert_int_equal(peeled.command, ONION_FORWARD);
            at = peeled.next;
            memcpy(packet, next, sizeof packet);
        }
        assert_int_equal(peeled.command, ONION_DELIVER);
        assert_int_equal(peeled.payload_length, 5);
        assert_memory_equal(peeled.payload, "token", 5);
    }
}

static void test_none_without_every_key(void **state) {
    (void)state;
    uint8_t packet[ONION_LEN];
    uint64_t first;
    for (size_t i = 0; i <= 3; i++) {
        has_key[i] = false;
        assert_int_equal(reply(3, &first, packet), PATH_NONE);
        has_key[i] = true;
    }
    has_key[5] = false; /* where it starts opens nothing */
    assert_int_equal(reply(3, &first, packet), PATH_OK);
    outcome = PATH_STRICT;
    assert_int_equal(reply(3, &first, packet), PATH_STRICT);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_leads_back_by_the_same_relays, setup),
        cmocka_unit_test_setup(test_none_without_every_key, setup),
    };
    if (!test_begin(argc, argv))
        return 1;
    return cmocka_run_group_tests_name("path_reply", tests, NULL, NULL);
}
