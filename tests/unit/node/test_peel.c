/* link: daemon/core/node/peel daemon/core/wire/identity daemon/core/wire/noise daemon/core/wire/onion daemon/core/route/droplist daemon/core/base/share daemon/core/base/ration daemon/core/base/base shared/address */
/* Packets peeled together: each has the fate that it would have alone, in the order in which they
 * came, and every cell that was begun is sent or given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/node/deliver.h"
#include "daemon/core/node/node_private.h"
#include "tests/unit/harness.h"

#include <sodium.h>
#include <stdlib.h>

#define WALL_US (INT64_C(500000) * EPOCH_US + 5 * US_PER_MINUTE)
#define NEXT 0x1122334455667788u
#define FROM 0x0102030405060708u
#define ELSEWHERE 0x1111111111111111u

static struct fixture {
    struct node node;
    uint8_t cells[NODE_BATCH][ONION_LEN];
    unsigned begun, sent, cancelled, delivered, begun_max;
    uint8_t forwarded[NODE_BATCH][ONION_LEN];
    uint64_t to[NODE_BATCH];
    uint8_t payload[NODE_BATCH][ONION_PAYLOAD_MAX];
    uint64_t drops[DROP_COUNT];
    unsigned computations;
    bool is_cut;       /* the link to the next hop */
    unsigned deposits; /* to be confirmed */
    unsigned n_replies;
} f;

/* ---- The rooms around ---- */

uint8_t *links_onion_begin(struct links *links) {
    (void)links;
    return f.begun < f.begun_max ? f.cells[f.begun++] : NULL;
}
void links_onion_cancel(struct links *links, uint8_t *onion) {
    (void)links, (void)onion;
    f.cancelled++;
}
enum drop relay_packet(struct relay *relay, unsigned from, uint64_t to, uint8_t *onion,
                       struct now now) {
    (void)relay, (void)from, (void)now.mono, (void)now.wall;
    if (f.is_cut || to != NEXT) {
        f.cancelled++;
        return DROP_NO_ROUTE;
    }
    memcpy(f.forwarded[f.sent], onion, ONION_LEN);
    f.to[f.sent++] = to;
    return DROP_NONE;
}
const struct link_view *links_find(const struct links *links, uint64_t prefix) {
    static const struct link_view next = {.slot = 5, .state = LINK_UP, .prefix = NEXT};
    (void)links;
    return prefix == NEXT && !f.is_cut ? &next : NULL;
}
unsigned links_count(const struct links *links, bool established) {
    (void)links, (void)established;
    return 2;
}
enum drop node_deliver(struct node *node, unsigned slot, const struct onion_peeled *peeled,
                       int64_t epoch) {
    (void)node, (void)slot, (void)epoch;
    memcpy(f.payload[f.delivered++], peeled->payload, peeled->payload_length);
    return DROP_NONE;
}
bool outbox_deposit_done(struct outbox *outbox, uint64_t *ret_tag, int *ret_error) {
    (void)outbox;
    *ret_tag = f.deposits;
    *ret_error = 0;
    return f.deposits > 0 && f.deposits-- > 0;
}
void mailbox_stored(struct mailbox *mailbox, uint64_t tag, int error,
                    struct mailbox_answer *ret_answer) {
    (void)mailbox, (void)tag, (void)error;
    *ret_answer = (struct mailbox_answer){.neighbour = 3, .n = 2, .first = {NEXT, ELSEWHERE}};
    memset(ret_answer->packets, 7, sizeof ret_answer->packets);
}
void node_count(struct node *node, enum drop drop) {
    (void)node;
    f.drops[drop]++;
}

/* Last first, as threads might. */
static void backwards(void *context, void (*work)(void *item), void *items, size_t size, size_t n,
                      unsigned item_ns) {
    (void)context, (void)item_ns;
    f.computations++;
    while (n-- > 0)
        work((uint8_t *)items + n * size);
}

static int set_up(void **state) {
    uint8_t seeds[2][32] = {{1}, {2}};
    (void)state;
    memset(&f, 0, sizeof f);
    f.begun_max = NODE_BATCH;
    f.node.now.wall = f.node.machine.wall = (struct wall){WALL_US};
    f.node.now.mono = (struct mono){US_PER_S};
    f.node.config.relay = true;
    f.node.config.random = test_random;
    f.node.config.compute = (struct core_compute){backwards, NULL};
    f.node.identity = identity_new(seeds[0], seeds[1], &f.node.config.random);
    identity_advance(f.node.identity, f.node.now.wall);
    f.node.droplist = droplist_new(1000, &f.node.config.random);
    f.node.config.droplist_entries = 1u << 20;
    ration_init(&f.node.ration);
    node_peel_advance(&f.node);
    f.node.peelings = sodium_malloc(NODE_BATCH * sizeof *f.node.peelings);
    share_init(&f.node.share, 1000000);
    return 0;
}
static int tear_down(void **state) {
    (void)state;
    assert_int_equal(f.begun, f.sent + f.cancelled);
    identity_free(f.node.identity);
    droplist_free(f.node.droplist);
    sodium_free(f.node.peelings);
    return 0;
}

/* ---- Packets ---- */

static void key_layer(struct onion_layer *layer, const uint8_t routing_public[32], uint64_t hop) {
    uint8_t secret[32];
    test_bytes(secret, sizeof secret);
    assert_int_equal(onion_layer_key(layer, routing_public, secret), DROP_NONE);
    layer->key_id = (uint8_t)wall_epoch(f.node.now.wall);
    layer->slot = (uint8_t)(wall_minute(f.node.now.wall) % 60);
    layer->hop = hop;
}

/* A path by way of us to somebody, or to us alone. */
static void key_path(struct onion_layer layers[2]) {
    uint8_t other[32], secret[32];
    int64_t epoch;
    const struct noise_keypair *own = identity_routing_key(
        f.node.identity, (uint8_t)wall_epoch(f.node.now.wall), f.node.now.wall, &epoch);
    test_bytes(secret, sizeof secret);
    crypto_scalarmult_base(other, secret);
    key_layer(&layers[0], own->public, 1);
    key_layer(&layers[1], other, NEXT);
}

static void build(const struct onion_layer *layers, size_t n, uint16_t index, const char *text,
                  uint8_t packet[ONION_LEN]) {
    uint16_t indexes[2] = {index, index};
    uint8_t nonce[ONION_NONCE_LEN];
    test_bytes(nonce, sizeof nonce);
    onion_build(layers, n, indexes, nonce, text, strlen(text) + 1, &test_random, packet);
}

static void test_one_exchange_for_a_path(void **state) {
    struct onion_layer layers[2];
    static uint8_t packets[40][ONION_LEN];
    (void)state;
    share_init(&f.node.share, 10); /* one in a window */
    key_path(layers);
    for (uint16_t i = 0; i < 40; i++) {
        build(layers, 2, i, "x", packets[i]);
        assert_int_equal(node_onion(&f.node, 3, FROM, packets[i]), DROP_NONE);
    }
    assert_int_equal(f.sent, 0); /* nothing before its turn */
    node_peel(&f.node);
    assert_int_equal(f.sent, 40);
    assert_int_equal(f.drops[DROP_NONE], 40);
    assert_int_equal(f.computations, 2);
    for (unsigned i = 0; i < 40; i++) { /* as alone, and in order */
        uint8_t alone[ONION_LEN];
        struct onion_peeled peeled;
        assert_int_equal(onion_peel(packets[i], layers[0].prk, alone, &peeled), DROP_NONE);
        assert_memory_equal(f.forwarded[i], alone, ONION_LEN);
        assert_true(f.to[i] == NEXT);
    }
    for (size_t i = 0; i < sizeof f.node.peelings[0].own_prk; i++)
        assert_int_equal(f.node.peelings[0].own_prk[i], 0);
}

static void test_the_second_of_two_alike_goes(void **state) {
    struct onion_layer layers[2];
    uint8_t packet[ONION_LEN], again[ONION_LEN];
    (void)state;
    key_path(layers);
    build(layers, 2, 7, "x", packet);
    memcpy(again, packet, sizeof again);
    node_onion(&f.node, 0, FROM, packet);
    node_onion(&f.node, 0, FROM, again);
    node_peel(&f.node);
    assert_int_equal(f.sent, 1);
    assert_int_equal(f.drops[DROP_DUPLICATE], 1);
    node_onion(&f.node, 0, FROM, again); /* and in a later batch, by the key that is kept */
    node_peel(&f.node);
    assert_int_equal(f.sent, 1);
    assert_int_equal(f.drops[DROP_DUPLICATE], 2);
}

static void test_a_forged_first_harms_nobody(void **state) {
    struct onion_layer layers[2];
    uint8_t forged[ONION_LEN], good[ONION_LEN];
    (void)state;
    key_path(layers);
    build(layers, 2, 1, "x", good);
    memcpy(forged, good, sizeof forged);
    forged[700] ^= 1;
    node_onion(&f.node, 0, FROM, forged);
    node_onion(&f.node, 0, FROM, good);
    node_peel(&f.node);
    assert_int_equal(f.drops[DROP_AUTH], 1);
    assert_int_equal(f.sent, 1);
}

/* An eph of small order has no exchange; whoever comes behind it must not be opened by zeros, which
 * anybody could seal with. */
static void test_no_key_for_those_behind_a_worthless_eph(void **state) {
    struct onion_layer layers[2];
    uint8_t packets[3][ONION_LEN];
    (void)state;
    key_path(layers);
    memset(layers[0].eph, 0, sizeof layers[0].eph);
    memset(layers[0].prk, 0, sizeof layers[0].prk);
    for (uint16_t i = 0; i < 3; i++) {
        build(layers, 2, i, "x", packets[i]);
        node_onion(&f.node, 0, FROM, packets[i]);
    }
    node_peel(&f.node);
    assert_int_equal(f.drops[DROP_AUTH], 3);
    assert_int_equal(f.sent, 0);
}

static void test_what_is_ours_and_what_is_refused(void **state) {
    struct onion_layer layers[2];
    uint8_t packets[3][ONION_LEN];
    (void)state;
    key_path(layers);
    build(layers, 1, 0, "for us", packets[0]);
    key_path(layers);
    build(layers, 2, 1, "on", packets[1]);
    node_onion(&f.node, 0, FROM, packets[0]);
    node_onion(&f.node, 0, NEXT, packets[1]); /* back to where it came from */
    node_peel(&f.node);
    assert_int_equal(f.delivered, 1);
    assert_string_equal((const char *)f.payload[0], "for us");
    for (size_t i = 0; i < ONION_LEN; i++)
        assert_int_equal(f.cells[0][i], 0); /* the plaintext is wiped */
    assert_int_equal(f.drops[DROP_NO_ROUTE], 1);
    f.node.config.relay = false;
    build(layers, 2, 2, "on", packets[2]);
    node_onion(&f.node, 0, FROM, packets[2]);
    node_peel(&f.node);
    assert_int_equal(f.drops[DROP_NOT_RELAY], 1);
    assert_int_equal(f.sent, 0);
}

static void test_limits(void **state) {
    struct onion_layer layers[3][2];
    uint8_t packets[3][ONION_LEN];
    (void)state;
    share_init(&f.node.share, 20); /* two in a window */
    f.begun_max = 2;
    for (unsigned i = 0; i < 3; i++) {
        key_path(layers[i]);
        build(layers[i], 2, 0, "x", packets[i]);
    }
    assert_int_equal(node_onion(&f.node, 0, FROM, packets[0]), DROP_NONE);
    assert_int_equal(node_onion(&f.node, 0, FROM, packets[1]), DROP_NONE);
    f.begun_max = 3;
    assert_int_equal(node_onion(&f.node, 0, FROM, packets[2]), DROP_LIMIT); /* another exchange */
    assert_int_equal(node_onion(&f.node, 0, FROM, packets[0]), DROP_QUEUE); /* another cell */
    packets[0][0]++;
    packets[0][0]++; /* an epoch far from now */
    packets[0][0]++;
    assert_int_equal(node_onion(&f.node, 0, FROM, packets[0]), DROP_TIME);
    packets[0][0] = (uint8_t)(packets[0][0] - 3);
    node_peel(&f.node);
    assert_int_equal(f.sent, 2);
    node_peel(&f.node); /* nothing waits any more */
    assert_int_equal(f.sent, 2);
}

/* Towards each neighbour one at once, from wherever it comes. */
static void ration_of_one(void) {
    f.node.config.droplist_entries = 8;
    node_peel_advance(&f.node);
}

/* Beyond the ration of new paths to the next hop they are refused, and not entered: the same may be
 * tried again. A path that passed goes on. */
static void test_new_paths_are_rationed(void **state) {
    struct onion_layer layers[3][2];
    uint8_t packets[4][ONION_LEN];
    (void)state;
    ration_of_one();
    for (unsigned i = 0; i < 3; i++) {
        key_path(layers[i]);
        build(layers[i], 2, 0, "x", packets[i]);
        assert_int_equal(node_onion(&f.node, 0, FROM, packets[i]), DROP_NONE);
    }
    build(layers[0], 2, 1, "y", packets[3]);
    node_peel(&f.node);
    assert_int_equal(f.sent, 1);
    assert_int_equal(f.drops[DROP_LIMIT], 2);
    assert_int_equal(node_onion(&f.node, 0, FROM, packets[3]), DROP_NONE); /* of one that passed */
    node_peel(&f.node);
    assert_int_equal(f.sent, 2);
    f.node.now.mono.us += 4 * US_PER_MINUTE;
    assert_int_equal(node_onion(&f.node, 0, FROM, packets[2]), DROP_NONE);
    node_peel(&f.node);
    assert_int_equal(f.sent, 3);
}

/* Replies in deposits are ephs that are new to the next hop: they go by the same ration, and cost
 * whoever brought the deposit, not the others. */
static void test_replies_are_rationed(void **state) {
    struct onion_layer layers[2];
    static uint8_t packet[ONION_LEN];
    (void)state;
    unsigned most = (unsigned)droplist_share(f.node.config.droplist_entries = 16 * 1024);
    node_peel_advance(&f.node);
    for (unsigned second = 0; second < 60; second++) {
        f.deposits = 50;
        node_take_deposits(&f.node);
        f.node.now.mono.us += US_PER_S;
        f.n_replies += f.sent;
        f.begun = f.sent = f.cancelled = 0;
    }
    assert_in_range(f.n_replies, most / 16, most / 4);
    assert_int_equal(f.drops[DROP_NO_ROUTE], 60 * 50); /* to no neighbour of ours */
    assert_int_equal(f.n_replies + f.drops[DROP_LIMIT], 60 * 50);
    key_path(layers);
    build(layers, 2, 0, "x", packet);
    assert_int_equal(node_onion(&f.node, 0, FROM, packet), DROP_NONE);
    node_peel(&f.node);
    assert_int_equal(f.sent, 1);
}

/* ---- One way for all packets of an eph ---- */

/* In a step of its own. */
static void relay_one(const struct onion_layer *layers, size_t n, uint16_t index, uint64_t from) {
    static uint8_t packet[ONION_LEN];

    f.begun = f.sent = f.cancelled = 0;
    build(layers, n, index, "x", packet);
    node_onion(&f.node, 0, from, packet);
    node_peel(&f.node);
}

/* The same layer here and a fresh eph at the next hop cost an exchange and an entry there, and
 * nothing here. */
static void test_an_eph_leads_one_way(void **state) {
    struct onion_layer layers[2], others[2];
    uint8_t packets[3][ONION_LEN];
    (void)state;
    key_path(layers);
    key_path(others);
    others[0] = layers[0];
    build(layers, 2, 0, "x", packets[0]);
    build(others, 2, 1, "x", packets[1]);
    build(layers, 2, 2, "x", packets[2]);
    for (unsigned i = 0; i < 3; i++) /* in one batch */
        node_onion(&f.node, 0, FROM, packets[i]);
    node_peel(&f.node);
    assert_int_equal(f.sent, 2);
    assert_int_equal(f.drops[DROP_MALFORMED], 1);
    relay_one(others, 2, 3, FROM); /* and later */
    assert_int_equal(f.drops[DROP_MALFORMED], 2);
    others[1] = layers[1];
    others[1].key_id++;
    relay_one(others, 2, 3, FROM);
    others[1] = layers[1];
    others[1].hop = ELSEWHERE;
    relay_one(others, 2, 3, FROM);
    relay_one(layers, 1, 3, FROM);
    assert_int_equal(f.drops[DROP_MALFORMED], 5);
    assert_int_equal(f.delivered, 0);
    relay_one(layers, 2, 3, FROM); /* what was refused has used nothing up */
    assert_int_equal(f.sent, 1);
    key_path(layers);
    relay_one(layers, 1, 0, FROM);
    relay_one(layers, 1, 1, FROM);
    assert_int_equal(f.delivered, 2);
    relay_one(layers, 2, 2, FROM);
    assert_int_equal(f.drops[DROP_MALFORMED], 6);
}

/* 60,000 a minute passed where the ration let 31,757 pass, by one eph of ours for 1024 of the next
 * hop. */
static void test_no_beginning_gets_round_the_ration(void **state) {
    struct onion_layer layers[2], ours;
    (void)state;
    enum { AS_IT_SHOULD, FOR_US, FOR_NOBODY, BACK, WITHOUT_RELAY, KINDS };
    for (unsigned kind = 0; kind < KINDS; kind++) {
        unsigned sent = 0;
        ration_of_one();
        f.node.now.mono.us += US_PER_HOUR;
        key_path(layers);
        ours = layers[0];
        if (kind == FOR_NOBODY)
            layers[1].hop = ELSEWHERE;
        f.node.config.relay = kind != WITHOUT_RELAY;
        relay_one(layers, kind == FOR_US ? 1 : 2, 0, kind == BACK ? NEXT : FROM);
        f.node.config.relay = true;
        for (uint16_t i = 1; i < 200; i++) {
            sent += f.sent;
            key_path(layers);
            layers[0] = ours;
            relay_one(layers, 2, i, FROM);
        }
        assert_int_equal(sent + f.sent, kind == FOR_US ? 0 : 1);
    }
}

/* One that could not go on at first, since there was no link, is asked for when it can: once. */
static void test_a_path_that_had_to_wait(void **state) {
    struct onion_layer layers[2];
    (void)state;
    ration_of_one();
    key_path(layers);
    f.is_cut = true;
    for (uint16_t i = 0; i < 3; i++)
        relay_one(layers, 2, i, FROM);
    assert_int_equal(f.drops[DROP_NO_ROUTE], 3);
    f.is_cut = false;
    for (uint16_t i = 3; i < 6; i++) {
        relay_one(layers, 2, i, FROM);
        assert_int_equal(f.sent, 1);
    }
    key_path(layers);
    relay_one(layers, 2, 0, FROM);
    assert_int_equal(f.drops[DROP_LIMIT], 1); /* that was the one token */
}

/* ---- Another neighbour in the slot ---- */

static void test_a_new_neighbour_begins_anew(void **state) {
    struct onion_layer layers[2];
    (void)state;
    droplist_free(f.node.droplist);
    f.node.droplist = droplist_new(400, &f.node.config.random);
    node_peel_advance(&f.node);
    for (unsigned i = 0; i < 51; i++) { /* an eighth of the list, and one more */
        key_path(layers);
        relay_one(layers, 2, 0, FROM);
        assert_int_equal(f.sent, i < 50);
    }
    key_path(layers);
    relay_one(layers, 2, 0, ELSEWHERE);
    assert_int_equal(f.sent, 1);
}

int main(int argc, char **argv) {
    if (!test_begin(argc, argv))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_exchange_for_a_path, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_second_of_two_alike_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_forged_first_harms_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_key_for_those_behind_a_worthless_eph, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_ours_and_what_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_new_paths_are_rationed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_replies_are_rationed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_eph_leads_one_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_beginning_gets_round_the_ration, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_path_that_had_to_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_new_neighbour_begins_anew, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
