/* link: daemon/core/node/self daemon/core/node/publish daemon/core/node/correct daemon/core/node/links daemon/core/node/news daemon/core/node/routes daemon/core/node/keep daemon/core/base/sequences daemon/core/directory/directory daemon/core/directory/directory_index daemon/core/directory/directory_version daemon/core/directory/directory_room daemon/core/directory/directory_proof daemon/core/directory/directory_resolve daemon/core/directory/directory_claims daemon/core/directory/topology daemon/core/directory/topology_draw daemon/core/seam/effects daemon/core/wire/descriptor daemon/core/wire/identity daemon/core/wire/noise daemon/core/base/base proto/wire.pb-c shared/address */
/* What a node says of itself and makes of its links: its signed descriptor, the correction of its
 * clock, news of others. The rooms around are a table of links here, and silence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/node/links.h"
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/routes.h"
#include "tests/unit/harness.h"

#include <sodium.h>
#include <stdlib.h>

#define START_WALL_US (INT64_C(500000) * EPOCH_US)
#define AIM 8
#define RENEWALS 8 /* moves of the clock at once, after quiet */

static struct fixture {
    struct node node;
    struct link_view views[LINK_SLOTS];
    bool there[LINK_SLOTS];
    unsigned published;
    struct test_stream stream;
    const struct link_event *event; /* the next one of the links */
    int64_t offset_us;              /* what the neighbours say of our clock */
    unsigned renewed;
    struct path_neighbour first; /* as those who draw routes know it */
} f;

/* ---- The other rooms ---- */

size_t mailbox_chosen(const struct mailbox *mailbox,
                      uint64_t ret_prefixes[DESCRIPTOR_MAILBOXES_MAX]) {
    (void)mailbox, (void)ret_prefixes;
    return 0;
}

const struct link_view *links_at(const struct links *links, unsigned slot) {
    (void)links;
    return f.there[slot] ? &f.views[slot] : NULL;
}
const struct link_view *links_find(const struct links *links, uint64_t prefix) {
    (void)links, (void)prefix;
    return NULL;
}
unsigned links_count(const struct links *links, bool established) {
    unsigned n = 0;
    (void)links, (void)established;
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        n += f.there[i];
    return n;
}
int64_t links_clock_error(const struct links *links) {
    return links_clock_offset(links);
}
int64_t links_clock_offset(const struct links *links) {
    (void)links;
    return f.offset_us;
}
void links_set_correction(struct links *links, int64_t correction_us) {
    (void)links, (void)correction_us;
}
void links_set_descriptor(struct links *links, const uint8_t *bytes, size_t length) {
    (void)links, (void)bytes, (void)length;
}
void links_forget(struct links *links, uint32_t index) {
    (void)links, (void)index;
}
void node_settle_answered(struct node *node, const struct link_event *event) {
    (void)node, (void)event;
}
void node_settle_look(struct node *node) {
    (void)node;
}
void links_finish(struct links *links, uint32_t index, struct now now) {
    (void)links, (void)index, (void)now.mono, (void)now.wall;
}
bool links_event(struct links *links, struct link_event *ret_event) {
    (void)links;
    bool there = f.event != NULL;
    if (there)
        *ret_event = *f.event;
    f.event = NULL;
    return there;
}
void node_peel(struct node *node) {
    (void)node;
}
void gossip_link_up(struct gossip *gossip, uint64_t prefix, struct mono now) {
    (void)gossip, (void)prefix, (void)now;
}
void gossip_link_down(struct gossip *gossip, uint64_t prefix) {
    (void)gossip, (void)prefix;
}
void gossip_offer_news(struct gossip *gossip, uint64_t prefix, uint64_t from, struct mono now) {
    (void)gossip, (void)prefix, (void)from, (void)now;
    f.published++;
}
void paths_set_neighbours(struct paths *paths, const struct path_neighbour *neighbours, size_t n,
                          struct mono now) {
    (void)paths, (void)now;
    f.first = n > 0 ? neighbours[0] : (struct path_neighbour){.prefix = 0};
}
void pool_link_event(struct pool *pool, const struct link_event *event, struct now now) {
    (void)pool, (void)event, (void)now.mono, (void)now.wall;
}
unsigned pool_aim(const struct pool *pool) {
    (void)pool;
    return AIM;
}
void pool_news(struct pool *pool) {
    (void)pool;
}
void outbox_retry_now(struct outbox *outbox, const struct node_id *recipient, struct mono now) {
    (void)outbox, (void)recipient, (void)now;
}
uint64_t outbox_pending(const struct outbox *outbox) {
    (void)outbox;
    return 0;
}
void inbox_renew(struct inbox *inbox) {
    (void)inbox;
    f.renewed++;
}
struct droplist *droplist_new(size_t entries, const struct core_random *random) {
    (void)entries, (void)random;
    return NULL;
}
void droplist_free(struct droplist *droplist) {
    (void)droplist;
}
void node_peel_advance(struct node *node) {
    (void)node;
}
void node_count(struct node *node, enum drop drop) {
    (void)node, (void)drop;
}
const struct node_id *node_id(const struct node *node) {
    return identity_id(node->identity);
}

/* ---- What the tests are written in ---- */

static void set_time(int64_t us) {
    f.node.now.mono.us = us;
    f.node.machine.wall.us = f.node.now.wall.us = START_WALL_US + us;
}

static int set_up(void **state) {
    uint8_t seed[32] = {1}, secret[32] = {2};
    (void)state;
    memset(&f, 0, sizeof f);
    struct node *node = &f.node;
    node->config.random = (struct core_random){test_fill, &f.stream};
    node->config.pool_min = 4;
    node->config.relay = true;
    set_time(US_PER_HOUR);
    node->effects = effects_new();
    node->identity = identity_new(seed, secret, &node->config.random);
    identity_advance(node->identity, node->now.wall);
    node->directory = directory_new(identity_id(node->identity), 100, &node->config.random);
    node->publisher.started = node->now.mono;
    return node->effects && node->directory ? 0 : -1;
}
static int tear_down(void **state) {
    (void)state;
    directory_free(f.node.directory);
    identity_free(f.node.identity);
    effects_free(f.node.effects);
    return 0;
}

#define PORT_0 ""
static void add_link(unsigned slot, const char *seen_as) {
    f.there[slot] = true;
    f.views[slot] = (struct link_view){.slot = slot, .state = LINK_UP, .prefix = 1000 + slot};
    f.views[slot].address =
        (struct address){.ip = {[10] = 0xff, 0xff, 10, 0, 0, (uint8_t)(slot + 1)}, .port = 1};
    if (address_parse(seen_as, &f.views[slot].seen_as) < 0) {
        assert_int_equal(address_parse("192.0.2.7:1", &f.views[slot].seen_as), 0);
        f.views[slot].seen_as.port = 0; /* which no text can say */
    }
}

static struct descriptor own(void) {
    struct descriptor descriptor;
    size_t length;
    struct version version;
    const uint8_t *bytes =
        directory_bytes(f.node.directory, node_id_prefix(node_id(&f.node)), &length, &version);
    assert_non_null(bytes);
    assert_int_equal(descriptor_open(bytes, length, &descriptor), DROP_NONE);
    return descriptor;
}

/* ---- Moves of the clock ---- */

static void say_time(int64_t offset_us) {
    f.offset_us = offset_us;
    node_correct(&f.node);
}

/* Our only neighbour moves it, by a few ms more or less each time. */
static void test_no_sequence_is_signed_twice(void **state) {
    static uint64_t signed_ones[4000];
    uint64_t at = (uint64_t)wall_ms(f.node.now.wall) + 10 * 60 * 1000;
    unsigned n = 0;
    (void)state;
    f.node.self.sequence = at; /* stored in a former life, when the clock was as far ahead */
    sequences_add(&f.node.self.had, at);
    for (unsigned k = 0; k < 1000; k++) {
        set_time(f.node.now.mono.us + US_PER_MINUTE);
        f.node.now.wall.us += f.node.correction.us;
        int64_t to_us = (int64_t)(at + random_below(&f.node.config.random, 4)) * US_PER_MS;
        say_time(k % 2 == 0 ? to_us - f.node.machine.wall.us : 0);
        node_self_sign(
            &f.node); /* the first of each move is drawn, what follows goes by the clock */
        signed_ones[n++] = own().sequence;
        f.node.self.sequence = 1;
        node_self_sign(&f.node);
        signed_ones[n++] = own().sequence;
        effects_clear(f.node.effects);
    }
    for (unsigned i = 0; i < n; i++) {
        assert_true(signed_ones[i] != at);
        for (unsigned j = 0; j < i; j++)
            assert_true(signed_ones[i] != signed_ones[j]);
    }
}

/* The clock is right by the second neighbour. What moves it on and on has new keys made once a
 * minute. */
static void test_moves_of_the_clock_are_rationed(void **state) {
    (void)state;
    node_self_sign(&f.node);
    say_time(5 * US_PER_MINUTE);
    say_time(10 * US_PER_MINUTE);
    assert_int_equal(f.node.correction.us, 10 * US_PER_MINUTE);
    assert_int_equal(f.renewed, 2);
    say_time(10 * US_PER_MINUTE + 20 * US_PER_S); /* no new keys for this */
    assert_int_equal(f.node.correction.us, 10 * US_PER_MINUTE + 20 * US_PER_S);
    for (int64_t k = 0; k < 600; k++) {
        set_time(f.node.now.mono.us + US_PER_S);
        say_time(k % 2 * US_PER_HOUR);
    }
    assert_in_range(f.renewed, RENEWALS + 9, RENEWALS + 10);
}

/* One that has to wait comes in its time, and meanwhile the clock stands where it stood: replays
 * would come in otherwise. */
static void test_a_move_that_waits(void **state) {
    (void)state;
    node_self_sign(&f.node);
    for (int64_t k = 1; k <= RENEWALS; k++)
        say_time(k * US_PER_MINUTE);
    assert_int_equal(f.renewed, RENEWALS);
    say_time(US_PER_HOUR);
    assert_int_equal(f.renewed, RENEWALS);
    assert_int_equal(f.node.correction.us, RENEWALS * US_PER_MINUTE);
    assert_int_equal(f.node.now.wall.us, f.node.machine.wall.us + RENEWALS * US_PER_MINUTE);
    struct mono due = node_correct_next(&f.node);
    assert_int_equal(due.us, f.node.now.mono.us + US_PER_MINUTE);
    set_time(due.us);
    node_correct_tick(&f.node);
    assert_int_equal(f.renewed, RENEWALS + 1);
    assert_int_equal(f.node.correction.us, US_PER_HOUR);
    say_time(2 * US_PER_HOUR); /* the machine's own clock being set does not wait */
    assert_int_equal(f.renewed, RENEWALS + 1);
    node_correct_stepped(&f.node, -US_PER_HOUR);
    assert_int_equal(f.node.correction.us, 2 * US_PER_HOUR);
}

/* ---- Rival claims ---- */

static void count_line(void *context, enum trace_level level, const char *text) {
    unsigned *lines = context;
    assert_int_equal(level, TRACE_DEBUG);
    assert_non_null(strstr(text, "192.0.2.1:4000"));
    (*lines)++;
}

/* A node that claims an address comes to be known. */
static void meet(unsigned number, const char *claimed) {
    uint8_t seed[32] = {9, (uint8_t)number, (uint8_t)(number >> 8)},
            secret[32] = {8, seed[1], seed[2]}, bytes[DESCRIPTOR_MAX];
    struct identity *identity = identity_new(seed, secret, &f.node.config.random);
    struct descriptor descriptor = {.sequence = (uint64_t)wall_ms(f.node.now.wall),
                                    .n_addresses = 1};
    const struct directory_entry *entry;
    enum drop drop;
    assert_int_equal(address_parse(claimed, &descriptor.addresses[0]), 0);
    identity_advance(identity, f.node.now.wall);
    int length = descriptor_sign(&descriptor, identity, f.node.now.wall, bytes);
    assert_true(length > 0);
    identity_free(identity);
    assert_int_equal(
        directory_offer(f.node.directory, bytes, (size_t)length, f.node.now, &entry, &drop),
        DIRECTORY_NEWS);
    node_news(&f.node, entry, 0, true);
}

static void test_rivals_are_told_once_a_minute(void **state) {
    unsigned lines = 0;
    (void)state;
    f.node.config.trace = (struct core_trace){TRACE_DEBUG, count_line, &lines};
    meet(1, "192.0.2.1:4000");
    meet(2, "192.0.2.1:4001"); /* two of one machine are no rivals */
    assert_int_equal(lines, 0);
    meet(3, "192.0.2.1:4000");
    assert_int_equal(lines, 1);
    meet(4, "192.0.2.1:4000");
    set_time(f.node.now.mono.us + US_PER_MINUTE - 1);
    meet(5, "192.0.2.2:4000");
    assert_int_equal(lines, 1);
    set_time(f.node.now.mono.us + 1);
    meet(6, "192.0.2.3:4000"); /* what was not told is told with the next news */
    assert_int_equal(lines, 2);
    meet(7, "192.0.2.4:4000");
    set_time(f.node.now.mono.us + US_PER_HOUR);
    meet(8, "192.0.2.5:4000");
    assert_int_equal(lines, 2);
}

/* ---- Handshakes ---- */

/* Somebody whose descriptor names so many neighbours asks for a link: does the network hear of
 * him? */
static bool is_spread(uint8_t seed_byte, uint8_t neighbours) {
    uint8_t seed[32] = {seed_byte}, secret[32] = {seed_byte};
    struct identity *identity = identity_new(seed, secret, &f.node.config.random);
    struct descriptor descriptor = {.sequence = (uint64_t)wall_ms(f.node.now.wall),
                                    .n_neighbours = neighbours};
    struct link_event event = {.kind = LINK_EVENT_ASKED};

    for (uint8_t i = 0; i < neighbours; i++)
        descriptor.neighbours[i].prefix = 1000 + i;
    identity_advance(identity, f.node.now.wall);
    int length = descriptor_sign(&descriptor, identity, f.node.now.wall, event.descriptor);
    assert_true(length > 0);
    event.descriptor_length = (size_t)length;
    f.published = 0;
    f.event = &event;
    node_links_drain(&f.node);
    assert_non_null(directory_find(f.node.directory, identity_id(identity)));
    identity_free(identity);
    return f.published > 0;
}

static void test_the_unlinked_are_not_news_yet(void **state) {
    (void)state;
    assert_false(is_spread(11, 0));
    assert_true(is_spread(12, 1));
}

/* ---- Where a neighbour is ---- */

static bool is_proven_at(const char *text) {
    struct node_id ids[DIRECTORY_CANDIDATES_MAX];
    struct destination to = {.kind = DEST_ADDRESS};
    size_t n;
    assert_int_equal(address_parse(text, &to.address), 0);
    return directory_resolve_proven(f.node.directory, &to, f.node.now.mono, ids, &n) == RESOLVE_ONE;
}

static void happen(enum link_event_kind kind, const struct node_id *id, const char *at) {
    struct link_event event = {.kind = kind, .link = {.state = LINK_UP, .id = *id}};
    event.link.prefix = node_id_prefix(id);
    assert_int_equal(address_parse(at, &event.link.address), 0);
    f.event = &event;
    node_links_drain(&f.node);
}

static void later(int64_t us) {
    set_time(f.node.now.mono.us + us);
}

/* It is proven to be where its link stands, and when that has moved, not where it was. */
static void test_a_move_moves_the_proven_place(void **state) {
    struct node_id id;
    (void)state;
    meet(1, "192.0.2.1:4000");
    id = directory_at(f.node.directory, 0)->id;
    happen(LINK_EVENT_UP, &id, "192.0.2.1:4000");
    later(US_PER_HOUR);
    assert_true(is_proven_at("192.0.2.1:4000"));
    happen(LINK_EVENT_MOVED, &id, "192.0.2.2:4000");
    assert_false(is_proven_at("192.0.2.1:4000"));
    later(US_PER_HOUR);
    assert_true(is_proven_at("192.0.2.2:4000"));
    happen(LINK_EVENT_DOWN, &id, "192.0.2.2:4000");
    later(DIRECTORY_MET_US - 1);
    assert_true(is_proven_at("192.0.2.2:4000"));
    later(1);
    assert_false(is_proven_at("192.0.2.2:4000"));
}

/* ---- Neighbours as relays ---- */

/* Its keys are new, they settle, it is proven to sign twice: whoever draws routes knows at the next
 * step. */
static void test_routes_follow_a_neighbour(void **state) {
    uint8_t seed[32] = {77}, secret[32] = {77}, bytes[2][DESCRIPTOR_MAX];
    struct identity *identity = identity_new(seed, secret, &f.node.config.random);
    const struct directory_entry *entry;
    enum drop drop;
    int lengths[2];

    (void)state;
    identity_advance(identity, f.node.now.wall);
    for (unsigned i = 0; i < 2; i++) {
        struct descriptor descriptor = {.sequence = 1 + (uint64_t)wall_ms(f.node.now.wall),
                                        .relay = true};
        descriptor.name[0] = (char)('a' + i);
        lengths[i] = descriptor_sign(&descriptor, identity, f.node.now.wall, bytes[i]);
    }
    add_link(0, "192.0.2.8:4000");
    f.views[0].prefix = node_id_prefix(identity_id(identity));
    directory_offer(f.node.directory, bytes[0], (size_t)lengths[0], f.node.now, &entry, &drop);
    node_routes_follow(&f.node);
    assert_true(!f.first.relay && f.first.settling);
    set_time(f.node.now.mono.us + DIRECTORY_SETTLE_US);
    directory_settle(f.node.directory, f.node.now.mono);
    node_routes_follow(&f.node);
    assert_true(f.first.relay && !f.first.settling);
    directory_offer(f.node.directory, bytes[1], (size_t)lengths[1], f.node.now, &entry, &drop);
    node_routes_follow(&f.node);
    assert_false(f.first.relay || f.first.settling);
    identity_free(identity);
}

/* ---- Addresses ---- */

static void test_port_0_is_not_published(void **state) {
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        add_link(i, PORT_0);
    node_self_sign(&f.node);
    assert_int_equal(own().n_addresses, 0);
    assert_int_equal(own().n_neighbours, 4); /* the rest is said all the same */
}

static void test_port_0_has_no_vote(void **state) {
    struct address expected;
    (void)state;
    add_link(0, PORT_0);
    add_link(1, PORT_0);
    add_link(2, PORT_0);
    add_link(3, "192.0.2.8:4000");
    node_self_sign(&f.node);
    assert_int_equal(own().n_addresses, 1); /* one neighbour that tells, not one of four */
    address_parse("192.0.2.8:4000", &expected);
    assert_true(address_is_equal(&own().addresses[0], &expected));
    add_link(4, "192.0.2.9:4000");
    add_link(5, "192.0.2.9:4000");
    node_self_sign(&f.node);
    address_parse("192.0.2.9:4000", &expected);
    assert_int_equal(own().n_addresses, 1);
    assert_true(address_is_equal(&own().addresses[0], &expected));
}

int main(void) {
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_no_sequence_is_signed_twice),
        TEST(test_moves_of_the_clock_are_rationed),
        TEST(test_a_move_that_waits),
        TEST(test_rivals_are_told_once_a_minute),
        TEST(test_the_unlinked_are_not_news_yet),
        TEST(test_a_move_moves_the_proven_place),
        TEST(test_routes_follow_a_neighbour),
        TEST(test_port_0_is_not_published),
        TEST(test_port_0_has_no_vote),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
