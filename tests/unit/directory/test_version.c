/* link: daemon/core/directory/directory daemon/core/directory/directory_index daemon/core/directory/directory_version daemon/core/directory/directory_room daemon/core/directory/directory_proof daemon/core/directory/directory_resolve daemon/core/directory/directory_claims daemon/core/wire/descriptor daemon/core/wire/identity daemon/core/wire/noise daemon/core/directory/topology daemon/core/directory/topology_draw shared/address proto/wire.pb-c */
/* Which versions of a descriptor count, who is routed through, who gives way: what a node that says
 * something else to each of us, or too much, or under too many names, gets by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/directory/directory_version.h"
#include "tests/unit/directory/proof_rig.h"
#include "tests/unit/harness.h"

#include <sodium.h>
#include <stdlib.h>

#define EPOCH INT64_C(500000)
#define MAX 24
#define NODES (2 * MAX)
#define LARGE 300
#define REKEYED_US (DIRECTORY_SETTLE_US + NEWS_HOPS * PACE_MIN_US)

struct author {
    struct identity *identity;
    struct node_id id;
    uint64_t prefix;
    struct descriptor descriptor; /* what it signs next */
};
struct signed_one {
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t length;
};
struct fixture {
    struct test_stream stream;
    struct core_random random;
    struct directory *directory;
    struct author nodes[NODES];
    struct node_id self;
    struct mono now;
    struct wall wall;
};

static void author_init(struct author *author, struct fixture *f) {
    uint8_t seeds[2][32];

    random_fill(&f->random, seeds, sizeof seeds);
    author->identity = identity_new(seeds[0], seeds[1], &f->random);
    assert_non_null(author->identity);
    identity_advance(author->identity, f->wall);
    author->id = *identity_id(author->identity);
    author->prefix = node_id_prefix(&author->id);
    author->descriptor =
        (struct descriptor){.relay = true, .mailbox = true, .sequence = (uint64_t)wall_ms(f->wall)};
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);

    if (!f)
        return -1;
    f->stream.state = test_seed;
    f->random = (struct core_random){test_fill, &f->stream};
    f->now = (struct mono){US_PER_HOUR};
    f->wall = (struct wall){EPOCH * EPOCH_US + 30 * US_PER_MINUTE};
    for (size_t i = 0; i < NODES; i++)
        author_init(&f->nodes[i], f);
    random_fill(&f->random, f->self.bytes, sizeof f->self.bytes);
    f->directory = directory_new(&f->self, MAX, &f->random);
    *state = f;
    return f->directory ? 0 : -1;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    directory_free(f->directory);
    for (size_t i = 0; i < NODES; i++)
        identity_free(f->nodes[i].identity);
    free(f);
    return 0;
}

static struct signed_one sign(const struct fixture *f, struct author *author) {
    struct signed_one one;
    int length = descriptor_sign(&author->descriptor, author->identity, f->wall, one.bytes);

    assert_true(length > 0);
    one.length = (size_t)length;
    author->descriptor.sequence++;
    return one;
}

/* The same sequence as the last, another name. */
static struct signed_one sign_again(const struct fixture *f, struct author *author) {
    author->descriptor.sequence--;
    author->descriptor.name[0] ^= 'b';
    struct signed_one one = sign(f, author);
    author->descriptor.name[0] ^= 'b';
    return one;
}

static enum directory_outcome offer_to(struct fixture *f, struct directory *directory,
                                       const struct signed_one *one, enum drop *ret_drop) {
    const struct directory_entry *entry;
    return directory_offer(directory, one->bytes, one->length, (struct now){f->now, f->wall},
                           &entry, ret_drop);
}

static enum directory_outcome offer(struct fixture *f, struct author *author) {
    struct signed_one one = sign(f, author);
    enum drop drop;
    return offer_to(f, f->directory, &one, &drop);
}

static const struct directory_entry *entry_of(const struct fixture *f,
                                              const struct author *author) {
    return directory_find(f->directory, &author->id);
}

static bool is_routed(const struct fixture *f, const struct author *author) {
    return topology_relays(directory_topology(f->directory), author->prefix);
}

static void pass(struct fixture *f, int64_t us) {
    f->now.us += us;
    f->wall.us += us;
    directory_settle(f->directory, f->now);
}

static void join(struct author *a, struct author *b) {
    a->descriptor.neighbours[a->descriptor.n_neighbours++].prefix = b->prefix;
    b->descriptor.neighbours[b->descriptor.n_neighbours++].prefix = a->prefix;
}

/* ---- Two versions of one sequence ---- */

static void test_two_versions_convict(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];
    uint32_t ours[DIRECTORY_BUCKETS], theirs[DIRECTORY_BUCKETS];
    struct directory *other = directory_new(&f->self, MAX, &f->random);
    enum drop drop;

    struct signed_one one = sign(f, a), two = sign_again(f, a);
    bool greater = memcmp(version_tag(two.bytes), version_tag(one.bytes), VERSION_TAG_LEN) > 0;
    assert_int_equal(offer_to(f, f->directory, &one, &drop), DIRECTORY_NEWS);
    pass(f, DIRECTORY_SETTLE_US);
    assert_true(is_routed(f, a) && entry_of(f, a)->relay && entry_of(f, a)->mailbox);
    assert_int_equal(offer_to(f, f->directory, &two, &drop),
                     greater ? DIRECTORY_NEWS : DIRECTORY_OLD);
    assert_true(entry_of(f, a)->convicted);
    assert_false(is_routed(f, a) || entry_of(f, a)->relay || entry_of(f, a)->mailbox);
    assert_int_equal(directory_convictions(f->directory), 1);
    assert_int_equal(directory_relays(f->directory), 0);
    assert_int_equal(offer_to(f, other, &two, &drop), DIRECTORY_NEWS);
    assert_int_equal(offer_to(f, other, &one, &drop), greater ? DIRECTORY_OLD : DIRECTORY_NEWS);
    directory_digest(f->directory, MONO_NEVER, ours);
    directory_digest(other, MONO_NEVER, theirs);
    assert_memory_equal(ours, theirs, sizeof ours);
    assert_int_equal(offer(f, a),
                     DIRECTORY_NEWS); /* it can still be written to by its newest keys */
    assert_true(entry_of(f, a)->convicted && entry_of(f, a)->live && !is_routed(f, a));
    directory_free(other);
}

/* A signature that is not the node's convicts nobody. */
static void test_a_forged_second_is_nothing(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];
    enum drop drop;

    struct signed_one one = sign(f, a), two = sign_again(f, a);
    two.bytes[SIGNATURE_LEN - 1] ^= 1;
    two.bytes[0] ^= 1;
    assert_int_equal(offer_to(f, f->directory, &one, &drop), DIRECTORY_NEWS);
    assert_int_equal(offer_to(f, f->directory, &two, &drop), DIRECTORY_BAD);
    assert_int_equal(drop, DROP_AUTH);
    assert_false(entry_of(f, a)->convicted);
}

static void make_proof(const struct author *a, const struct signed_one *one,
                       const struct signed_one *two, uint8_t proof[PROOF_LEN]) {
    const struct signed_one *both[2] = {one, two};
    struct descriptor_seal seals[2];
    struct descriptor descriptor;

    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(descriptor_decode(both[i]->bytes, both[i]->length, &descriptor),
                         DROP_NONE);
        proof_seal(both[i]->bytes, both[i]->length, &descriptor, &seals[i]);
    }
    proof_write(&a->id, descriptor.sequence, &seals[0], &seals[1], proof);
}

static enum drop take(struct fixture *f, const uint8_t proof[PROOF_LEN]) {
    enum drop drop;
    enum directory_outcome outcome = directory_take_proof(f->directory, proof, f->wall, &drop);
    assert_int_equal(outcome == DIRECTORY_BAD, drop != DROP_NONE);
    return drop;
}

/* It is of a sequence that nobody need hold any more. Told once; nothing but itself is taken for
 * it. */
static void test_proofs(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0], *b = &f->nodes[1];
    uint8_t proof[PROOF_LEN], mixed[PROOF_LEN];
    uint64_t got;

    struct signed_one one = sign(f, a), two = sign_again(f, a), later = sign(f, a);
    make_proof(a, &one, &two, proof);
    assert_int_equal(take(f, proof), DROP_UNKNOWN);
    enum drop drop;
    assert_int_equal(offer_to(f, f->directory, &later, &drop), DIRECTORY_NEWS);
    make_proof(a, &one, &later, mixed); /* of two sequences: honest */
    assert_int_equal(take(f, mixed), DROP_AUTH);
    for (size_t bit = 0; bit < 8 * PROOF_LEN; bit += 7) {
        memcpy(mixed, proof, sizeof mixed);
        mixed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(take(f, mixed), DROP_NONE);
    }
    assert_false(entry_of(f, a)->convicted);
    assert_false(directory_next_proof(f->directory, &got));
    assert_int_equal(take(f, proof), DROP_NONE);
    assert_true(entry_of(f, a)->convicted);
    assert_true(directory_next_proof(f->directory, &got));
    assert_int_equal(got, a->prefix);
    assert_memory_equal(directory_proof(f->directory, got), proof, sizeof proof);
    assert_int_equal(take(f, proof), DROP_NONE);
    assert_false(directory_next_proof(f->directory, &got));
    assert_int_equal(offer(f, b), DIRECTORY_NEWS);
    assert_false(entry_of(f, b)->convicted);
}

/* With the keys of the versions that it proves, and not before, though newer versions have other
 * keys. */
static void test_a_conviction_ends(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];
    uint8_t proof[PROOF_LEN];
    enum drop drop;

    struct signed_one one = sign(f, a), two = sign_again(f, a);
    make_proof(a, &one, &two, proof);
    assert_int_equal(offer_to(f, f->directory, &one, &drop), DIRECTORY_NEWS);
    assert_int_equal(take(f, proof), DROP_NONE);
    f->wall = (struct wall){(EPOCH + 6) * EPOCH_US};
    f->now.us += 6 * US_PER_HOUR;
    identity_advance(a->identity, f->wall);
    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    pass(f, REKEYED_US + DIRECTORY_SETTLE_US);
    f->wall = (struct wall){(EPOCH + EPOCHS_PUBLISHED) * EPOCH_US + EPOCH_GRACE_US - 1};
    directory_expire(f->directory, f->wall);
    assert_true(entry_of(f, a)->convicted);
    f->wall.us++;
    directory_expire(f->directory, f->wall);
    assert_false(entry_of(f, a)->convicted);
    assert_true(entry_of(f, a)->relay && is_routed(f, a));
    assert_int_equal(take(f, proof), DROP_TIME); /* nor again */
}

/* A proof of keys that no descriptor could have would hold for ever. */
static void test_a_proof_of_the_future(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];
    uint8_t proof[PROOF_LEN];
    struct wall then = f->wall;

    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    f->wall.us += 2 * US_PER_HOUR;
    identity_advance(a->identity, f->wall);
    struct signed_one one = sign(f, a), two = sign_again(f, a);
    make_proof(a, &one, &two, proof);
    f->wall = then;
    assert_int_equal(take(f, proof), DROP_TIME);
    f->wall.us += 2 * US_PER_HOUR;
    assert_int_equal(take(f, proof), DROP_NONE);
}

/* Whose time does not fit a count of microseconds: nothing is computed of it. */
static void test_a_proof_beyond_all_epochs(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];
    static const uint32_t beyond[] = {(uint32_t)EPOCH_MAX + 1, 2600000000, UINT32_MAX};
    uint8_t proof[PROOF_LEN];

    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    for (unsigned i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        rig_proof(a->identity, beyond[i], proof);
        assert_int_equal(take(f, proof), DROP_MALFORMED);
    }
    rig_proof(a->identity, EPOCH_MAX, proof);
    assert_int_equal(take(f, proof), DROP_TIME);
    rig_proof(a->identity, EPOCH + EPOCHS_PUBLISHED, proof);
    assert_int_equal(take(f, proof), DROP_NONE);
}

/* A node can make seven at once against itself, and one more each hour: they are not all worth
 * their checks and their way through the network. Nodes that were shown different ones agree. */
static void test_one_proof_at_a_time(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];
    struct directory *other = directory_new(&f->self, MAX, &f->random);
    uint32_t ours[DIRECTORY_BUCKETS], theirs[DIRECTORY_BUCKETS];
    uint8_t first[PROOF_LEN], longer[PROOF_LEN];
    uint64_t prefix;
    enum drop drop;

    struct signed_one one = sign(f, a);
    assert_int_equal(offer_to(f, f->directory, &one, &drop), DIRECTORY_NEWS);
    assert_int_equal(offer_to(f, other, &one, &drop), DIRECTORY_NEWS);
    rig_proof(a->identity, EPOCH + 3, first);
    rig_proof(a->identity, EPOCH + 5, longer);
    assert_int_equal(directory_take_proof(f->directory, first, f->wall, &drop), DIRECTORY_NEWS);
    assert_true(directory_next_proof(f->directory, &prefix));
    assert_int_equal(directory_take_proof(f->directory, longer, f->wall, &drop), DIRECTORY_OLD);
    longer[PROOF_LEN - 1] ^= 1; /* not even looked at */
    assert_int_equal(directory_take_proof(f->directory, longer, f->wall, &drop), DIRECTORY_OLD);
    longer[PROOF_LEN - 1] ^= 1;
    assert_false(directory_next_proof(f->directory, &prefix));
    assert_memory_equal(directory_proof(f->directory, a->prefix), first, sizeof first);
    assert_int_equal(directory_take_proof(other, longer, f->wall, &drop), DIRECTORY_NEWS);
    directory_digest(f->directory, MONO_NEVER, ours);
    directory_digest(other, MONO_NEVER, theirs);
    assert_memory_equal(ours, theirs, sizeof ours);
    f->wall = (struct wall){(EPOCH + 2) * EPOCH_US - 1};
    assert_int_equal(directory_weigh_proof(f->directory, longer, f->wall, &drop), DIRECTORY_OLD);
    f->wall.us++; /* the last hour of the first one */
    assert_int_equal(directory_weigh_proof(f->directory, longer, f->wall, &drop), DIRECTORY_NEWS);
    assert_int_equal(directory_take_proof(f->directory, longer, f->wall, &drop), DIRECTORY_NEWS);
    assert_int_equal(directory_take_proof(f->directory, first, f->wall, &drop), DIRECTORY_OLD);
    directory_digest(f->directory, MONO_NEVER, ours);
    assert_memory_equal(ours, theirs, sizeof ours);
    directory_free(other);
}

static void test_two_of_our_own(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];
    uint8_t proof[PROOF_LEN];
    struct directory *own = directory_new(&a->id, MAX, &f->random);
    enum drop drop;

    struct signed_one one = sign(f, a), two = sign_again(f, a);
    make_proof(a, &one, &two, proof);
    assert_false(directory_is_doubled(own, f->wall));
    assert_int_equal(directory_take_proof(own, proof, f->wall, &drop), DIRECTORY_OLD);
    assert_true(directory_is_doubled(own, f->wall));
    f->wall.us += 8 * US_PER_HOUR;
    assert_false(directory_is_doubled(own, f->wall));
    directory_free(own);
}

/* ---- Keys that are new ---- */

static void test_new_keys_settle(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];

    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    assert_true(entry_of(f, a)->unsettled && entry_of(f, a)->relay);
    assert_false(is_routed(f, a));
    assert_int_equal(directory_settle_due(f->directory).us, f->now.us + DIRECTORY_SETTLE_US);
    pass(f, DIRECTORY_SETTLE_US - 1);
    assert_false(is_routed(f, a));
    pass(f, 1);
    assert_true(is_routed(f, a) && !entry_of(f, a)->unsettled);
    assert_int_equal(directory_settle_due(f->directory).us, MONO_NEVER.us);
    join(a, &f->nodes[1]);
    assert_int_equal(offer(f, a), DIRECTORY_NEWS); /* what others can cause keeps it in routes */
    assert_true(is_routed(f, a));
    identity_renew(a->identity, f->wall);
    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    pass(f, REKEYED_US - 1);
    assert_false(is_routed(f, a));
    pass(f, 1);
    assert_true(is_routed(f, a));
}

static enum drop show(struct fixture *f, const struct signed_one *one) {
    struct descriptor descriptor;
    assert_int_equal(descriptor_decode(one->bytes, one->length, &descriptor), DROP_NONE);
    return directory_show_older(f->directory, one->bytes, one->length, &descriptor,
                                (struct now){f->now, f->wall});
}

/* The first keys that we know of a node are not the first ones where an older version has others.
 */
static void test_an_older_one_is_shown(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0], *b = &f->nodes[1];
    struct signed_one older = sign(f, a);

    identity_renew(a->identity, f->wall);
    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    pass(f, US_PER_S);
    assert_int_equal(offer(f, b), DIRECTORY_NEWS);
    assert_true(directory_is_first(f->directory, a->prefix));
    assert_int_equal(show(f, &older), DROP_NONE);
    assert_false(directory_is_first(f->directory, a->prefix));
    pass(f, US_PER_S);
    assert_int_equal(show(f, &older), DROP_NONE); /* once: who shows it again gains nothing */
    pass(f, REKEYED_US - US_PER_S - 1);
    assert_false(is_routed(f, a));
    assert_true(is_routed(f, b));
    pass(f, 1);
    assert_true(is_routed(f, a));
    assert_int_equal(show(f, &older), DROP_NONE);
    assert_true(is_routed(f, a));
}

/* One that says something else of links alone, or that is forged, holds no keys up. */
static void test_an_older_one_that_says_nothing(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];
    struct signed_one same = sign(f, a), forged;

    join(a, &f->nodes[1]);
    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    assert_int_equal(show(f, &same), DROP_NONE);
    assert_true(directory_is_first(f->directory, a->prefix));
    identity_renew(a->identity, f->wall);
    a->descriptor.sequence -= 2;
    forged = sign(f, a);
    forged.bytes[0] ^= 1; /* of the signature */
    assert_int_equal(show(f, &forged), DROP_AUTH);
    assert_true(directory_is_first(f->directory, a->prefix));
    pass(f, DIRECTORY_SETTLE_US);
    assert_true(is_routed(f, a));
}

/* Of one sequence, with the lesser tag: that is a proof. */
static void test_an_older_one_of_the_same_sequence(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];
    struct signed_one one = sign(f, a), two = sign_again(f, a);
    bool is_less = memcmp(version_tag(one.bytes), version_tag(two.bytes), VERSION_TAG_LEN) < 0;
    enum drop drop;

    assert_int_equal(offer_to(f, f->directory, is_less ? &two : &one, &drop), DIRECTORY_NEWS);
    assert_int_equal(show(f, is_less ? &one : &two), DROP_NONE);
    assert_true(entry_of(f, a)->convicted);
    assert_false(directory_is_first(f->directory, a->prefix));
}

/* A recipient's own keys count at once: who waits for a longer path to it waits for others. */
static void test_whom_a_path_waits_for(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0], *b = &f->nodes[1];

    assert_false(directory_is_settling(f->directory, a->prefix));
    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    assert_true(directory_is_settling(f->directory, a->prefix)); /* others may come to be known */
    pass(f, DIRECTORY_SETTLE_US);
    identity_renew(a->identity, f->wall);
    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    assert_false(directory_is_settling(f->directory, a->prefix));
    assert_true(directory_is_settling(f->directory, b->prefix));
}

/* In a large network news is held up for longer where the pace is spent, so changed keys wait for
 * longer. Nodes that no links lead to are no part of it. */
static void test_keys_change_in_a_large_network(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0], *others = calloc(LARGE, sizeof *others);
    uint64_t ours[TOPOLOGY_DEGREE_MAX];

    assert_non_null(others);
    directory_free(f->directory);
    f->directory = directory_new(&f->self, 2 * LARGE, &f->random);
    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    for (size_t i = 0; i < LARGE; i++)
        author_init(&others[i], f);
    for (size_t i = 0; i + 1 < LARGE; i++)
        join(&others[i], &others[i + 1]);
    for (size_t i = 0; i < LARGE; i++)
        assert_int_equal(offer(f, &others[i]), DIRECTORY_NEWS);
    for (unsigned round = 0; round < 2; round++) {
        pass(f, US_PER_MINUTE);
        directory_follow(f->directory, f->now);
        size_t reached = directory_reached(f->directory);
        assert_int_equal(reached, round == 0 ? 0 : LARGE);
        identity_renew(a->identity, f->wall);
        a->descriptor.sequence = (uint64_t)wall_ms(f->wall);
        assert_int_equal(offer(f, a), DIRECTORY_NEWS);
        assert_int_equal(directory_settle_due(f->directory).us - f->now.us,
                         (DIRECTORY_SETTLE_US << round) +
                             NEWS_HOPS *
                                 (round == 0 ? PACE_MIN_US : (int64_t)reached * PACE_NODE_US));
        ours[0] = others[0].prefix;
        directory_set_links(f->directory, ours, 1);
    }
    for (size_t i = 0; i < LARGE; i++)
        identity_free(others[i].identity);
    free(others);
}

/* A key an hour, published hours before it is used, is no change: not at the turn of the epoch
 * either. */
static void test_the_hours_keys_are_settled(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];

    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    for (unsigned hour = 0; hour < 20; hour++) {
        pass(f, US_PER_HOUR);
        assert_true(is_routed(f, a));
        identity_advance(a->identity, f->wall);
        a->descriptor.sequence = (uint64_t)wall_ms(f->wall);
        assert_int_equal(offer(f, a), DIRECTORY_NEWS);
        assert_true(is_routed(f, a));
    }
}

/* A key that appears when its epoch is about to begin may be another one elsewhere. */
static void test_a_key_that_comes_late(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];
    struct wall then = f->wall;

    f->wall.us -= 6 * US_PER_HOUR; /* published for six hours, the last of them now */
    struct author early = *a;
    uint8_t seeds[2][32] = {{7}, {8}};
    early.identity = identity_new(seeds[0], seeds[1], &f->random);
    early.id = *identity_id(early.identity);
    early.prefix = node_id_prefix(&early.id);
    identity_advance(early.identity, f->wall);
    early.descriptor.sequence = (uint64_t)wall_ms(f->wall);
    struct signed_one one = sign(f, &early);
    f->wall = then;
    enum drop drop;
    assert_int_equal(offer_to(f, f->directory, &one, &drop), DIRECTORY_NEWS);
    pass(f, DIRECTORY_SETTLE_US);
    assert_true(is_routed(f, &early));
    identity_advance(early.identity, f->wall);
    assert_int_equal(offer(f, &early), DIRECTORY_NEWS);
    assert_false(is_routed(f, &early));
    identity_free(early.identity);
}

/* Whoever changes them again and again is out for longer each time; an honest one may restart. */
static void test_keys_changed_again_and_again(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];
    static const int64_t factors[] = {1, 1, 2, 4, 8, 16, 32, 64, 128, 128};

    for (unsigned i = 0; i < sizeof factors / sizeof *factors; i++) {
        identity_renew(a->identity, f->wall);
        a->descriptor.sequence = (uint64_t)wall_ms(f->wall) + i;
        assert_int_equal(offer(f, a), DIRECTORY_NEWS);
        int64_t wait = factors[i] * DIRECTORY_SETTLE_US + (i > 0 ? NEWS_HOPS * PACE_MIN_US : 0);
        assert_int_equal(directory_settle_due(f->directory).us - f->now.us, wait);
        pass(f, wait - 1);
        assert_false(is_routed(f, a));
        pass(f, 1);
        assert_true(is_routed(f, a));
    }
    pass(f, 2 * US_PER_HOUR);
    identity_renew(a->identity, f->wall);
    a->descriptor.sequence = (uint64_t)wall_ms(f->wall);
    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    pass(f, REKEYED_US);
    assert_true(is_routed(f, a));
}

/* What our own store kept was settled in another life. */
static void test_restored_ones_are_settled(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];
    struct signed_one one = sign(f, a);

    directory_restore(f->directory, one.bytes, one.length, false, NULL, f->wall);
    assert_true(is_routed(f, a));
}

/* ---- Pace ---- */

static unsigned take_all(struct fixture *f, struct author *author) {
    unsigned n = 0;

    while (mono_is_due(directory_version_due(f->directory, entry_of(f, author), f->now), f->now)) {
        assert_int_equal(offer(f, author), DIRECTORY_NEWS);
        n++;
    }
    return n;
}

static void test_pace_of_a_node(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0], *b = &f->nodes[1];

    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    assert_int_equal(offer(f, b), DIRECTORY_NEWS);
    assert_int_equal(take_all(f, a), PACE_BURST_SMALL - 1);
    assert_int_equal(take_all(f, b), PACE_BURST_SMALL - 1); /* nobody spends another's */
    pass(f, US_PER_MINUTE);
    assert_in_range(take_all(f, a), PACE_BURST_SMALL, PACE_BURST_SMALL + 1);
    struct mono due = directory_version_due(f->directory, entry_of(f, a), f->now);
    assert_in_range(due.us - f->now.us, 1, PACE_MIN_US);
    pass(f, due.us - f->now.us);
    assert_int_equal(take_all(f, a), 1);
}

/* Whoever brings its versions itself spends what others may tell of it, but for the last token; and
 * is never further than an interval from the next. */
static void test_pace_of_what_is_handed_over(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];
    unsigned handed = 0;

    assert_true(directory_takes_handed(f->directory, a->prefix, f->now)); /* unknown: at once */
    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    for (; directory_takes_handed(f->directory, a->prefix, f->now); handed++)
        assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    assert_int_equal(handed, PACE_BURST_SMALL - 2);
    assert_int_equal(take_all(f, a), 1);
    pass(f, PACE_MIN_US + PACE_MIN_US / 4);
    assert_false(directory_takes_handed(f->directory, a->prefix, f->now));
    assert_int_equal(take_all(f, a), 1);
    for (unsigned i = 0; i < 100; i++) /* by whatever way they come */
        assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    struct mono due = directory_version_due(f->directory, entry_of(f, a), f->now);
    assert_in_range(due.us - f->now.us, PACE_MIN_US / 2, PACE_MIN_US);
}

static void fill(struct fixture *f, size_t first, size_t n) {
    for (size_t i = first; i < first + n; i++)
        assert_int_equal(offer(f, &f->nodes[i]), DIRECTORY_NEWS);
}

/* Residents of the network: a ring of which we know one. */
static void make_residents(struct fixture *f, size_t n) {
    for (size_t i = 0; i < n; i++)
        join(&f->nodes[i], &f->nodes[(i + 1) % n]);
    fill(f, 0, n);
    directory_set_links(f->directory, &f->nodes[0].prefix, 1);
}

/* A ring of residents of which we know one, and n of one member's that nobody names. */
static void make_crowd(struct fixture *f, size_t residents, size_t n) {
    struct author author;

    directory_free(f->directory);
    f->directory = directory_new(&f->self, residents + n, &f->random);
    assert_non_null(f->directory);
    make_residents(f, residents);
    for (size_t i = 0; i < n; i++) {
        author_init(&author, f);
        assert_int_equal(offer(f, &author), DIRECTORY_NEWS);
        identity_free(author.identity);
    }
    pass(f, US_PER_MINUTE);
    directory_follow(f->directory, f->now);
}

static struct mono due_of(struct fixture *f, struct author *author) {
    return directory_version_due(f->directory, entry_of(f, author), f->now);
}

/* A thousand identities cost a member nothing: the network's own have the pace of a network of
 * eight. */
static void test_a_crowd_slows_nobody(void **state) {
    struct fixture *f = *state;
    struct author *resident = &f->nodes[0], *other = &f->nodes[8];

    make_crowd(f, 8, 999);
    assert_int_equal(directory_count(f->directory), 8 + 999);
    assert_int_equal(directory_reached(f->directory), 8);
    assert_int_equal(take_all(f, resident), PACE_BURST_SMALL);
    assert_in_range(due_of(f, resident).us - f->now.us, 1, PACE_MIN_US);
    directory_pin(f->directory, &resident->id,
                  &(struct address){.port = 1}); /* live, full or not */
    for (size_t i = 0; i < DIRECTORY_ROOM_BURST && !entry_of(f, other); i++, pass(f, US_PER_S))
        (void)offer(f, other);
    /* The crowd has between its members what the eight leave. */
    assert_int_equal(take_all(f, other), PACE_BURST_LARGE - 1);
    assert_in_range(due_of(f, other).us - f->now.us, 999 * PACE_NODE_US, 1400 * PACE_NODE_US);
}

/* Who comes to be of the network has the tokens left that it had before. */
static void test_who_comes_to_be_reached_has_its_pace(void **state) {
    struct fixture *f = *state;
    struct author *newcomer = &f->nodes[8];

    make_crowd(f, 8, 999);
    assert_int_equal(offer(f, newcomer), DIRECTORY_NEWS);
    assert_int_equal(offer(f, newcomer), DIRECTORY_NEWS);
    join(newcomer, &f->nodes[3]);
    assert_int_equal(offer(f, newcomer), DIRECTORY_NEWS);
    assert_int_equal(offer(f, &f->nodes[3]), DIRECTORY_NEWS);
    pass(f, US_PER_S);
    assert_true(directory_follow(f->directory, f->now));
    assert_int_equal(directory_reached(f->directory), 9);
    assert_int_equal(take_all(f, newcomer), PACE_BURST_SMALL - 3);
    assert_in_range(due_of(f, newcomer).us - f->now.us, 1, PACE_MIN_US);
}

/* Nobody leads to a node whose neighbours have all died, until its next version comes: that must
 * not wait for what thousands without links leave. */
static void test_who_was_reached_keeps_a_pace(void **state) {
    struct fixture *f = *state;
    struct author *survivor = &f->nodes[4];
    size_t residents = 8;

    make_crowd(f, residents, 999);
    assert_int_equal(take_all(f, survivor), PACE_BURST_SMALL);
    f->nodes[0].descriptor.n_neighbours = 0; /* our only way */
    assert_int_equal(offer(f, &f->nodes[0]), DIRECTORY_NEWS);
    pass(f, US_PER_S);
    directory_follow(f->directory, f->now);
    assert_in_range(directory_reached(f->directory), 0, 1);
    assert_true(due_of(f, survivor).us - f->now.us <= PACE_MIN_US);
}

/* Which ones are of the network, as links, entries and places come and go. */
static void test_whom_links_lead_to(void **state) {
    struct fixture *f = *state;
    size_t residents = 8, n = 0;

    make_residents(f, residents);
    fill(f, residents, MAX - residents);
    assert_true(directory_follow(f->directory, f->now));
    assert_false(directory_follow(f->directory, f->now)); /* nothing has changed */
    for (unsigned i = 0; i < 500; i++) {
        const struct directory_entry *in = directory_random_of(f->directory, true),
                                     *out = directory_random_of(f->directory, false);
        size_t of_in = 0, of_out = 0;
        while (f->nodes[of_in].prefix != in->prefix)
            of_in++;
        while (f->nodes[of_out].prefix != out->prefix)
            of_out++;
        assert_true(of_in < residents && of_out >= residents && of_out < MAX);
    }
    f->nodes[0].descriptor.n_neighbours = 0; /* our only way */
    assert_int_equal(offer(f, &f->nodes[0]), DIRECTORY_NEWS);
    assert_int_equal(directory_reached(f->directory), residents); /* it has just been followed */
    pass(f, US_PER_S);
    assert_true(directory_follow(f->directory, f->now));
    assert_int_equal(directory_reached(f->directory), 1);
    assert_ptr_equal(directory_random_of(f->directory, true), entry_of(f, &f->nodes[0]));
    assert_int_equal(directory_lost(f->directory), residents - 1);
    f->wall.us += 12 * EPOCH_US;
    n = directory_expire(f->directory, f->wall);
    assert_int_equal(n, MAX);
    assert_int_equal(directory_reached(f->directory) + directory_lost(f->directory), 0);
    assert_null(directory_random_of(f->directory, true));
    assert_null(directory_random_of(f->directory, false));
}

/* ---- Room ---- */

static void test_those_without_links_give_way(void **state) {
    struct fixture *f = *state;
    size_t residents = MAX / 2;

    make_residents(f, residents);
    fill(f, residents, MAX - residents); /* one member's, and no links lead to them */
    assert_true(directory_is_full(f->directory));
    pass(f, US_PER_S);
    for (size_t i = MAX; i < MAX + 8; i++) {
        assert_true(directory_has_room(f->directory, f->nodes[MAX].prefix, f->now));
        assert_int_equal(offer(f, &f->nodes[i]), DIRECTORY_NEWS);
        assert_int_equal(directory_count(f->directory), MAX);
    }
    for (size_t i = 0; i < residents; i++)
        assert_non_null(entry_of(f, &f->nodes[i]));
}

/* Linked among themselves, and nobody of the network to them. */
static void test_a_crowd_of_its_own_gives_way(void **state) {
    struct fixture *f = *state;
    size_t residents = MAX / 2;
    unsigned left = 0;

    make_residents(f, residents);
    for (size_t i = residents; i + 1 < MAX; i++)
        join(&f->nodes[i], &f->nodes[i + 1]);
    fill(f, residents, MAX - residents);
    pass(f, US_PER_S);
    assert_int_equal(offer(f, &f->nodes[MAX]), DIRECTORY_NEWS);
    for (size_t i = 0; i < residents; i++)
        assert_non_null(entry_of(f, &f->nodes[i]));
    for (size_t i = residents; i < MAX; i++)
        left += entry_of(f, &f->nodes[i]) != NULL;
    assert_int_equal(left, MAX - residents - 1);
}

/* Those whom links have come to lead to since they were listed. */
static void test_who_has_just_been_reached_does_not(void **state) {
    struct fixture *f = *state;
    size_t residents = MAX / 2;

    make_residents(f, residents);
    for (size_t i = residents; i + 1 < MAX; i++)
        join(&f->nodes[i], &f->nodes[i + 1]);
    fill(f, residents, MAX - residents);
    pass(f, US_PER_S);
    assert_true(directory_has_room(f->directory, f->nodes[MAX].prefix, f->now)); /* lists them */
    join(&f->nodes[0], &f->nodes[residents]);
    assert_int_equal(offer(f, &f->nodes[0]), DIRECTORY_NEWS);
    assert_int_equal(offer(f, &f->nodes[residents]), DIRECTORY_NEWS);
    assert_true(directory_follow(f->directory, f->now));
    assert_int_equal(directory_reached(f->directory), MAX);
    assert_false(directory_has_room(f->directory, f->nodes[MAX].prefix, f->now));
}

/* Whom users pinned or wrote to, and our neighbours; and where all are linked nobody gives way. */
static void test_who_does_not_give_way(void **state) {
    struct fixture *f = *state;
    struct address pin = {.port = 1};
    uint64_t links[2] = {f->nodes[0].prefix, f->nodes[MAX - 1].prefix};

    make_residents(f, MAX - 3);
    fill(f, MAX - 3, 3);
    directory_pin(f->directory, &f->nodes[MAX - 3].id, &pin);
    directory_keep(f->directory, &f->nodes[MAX - 2].id);
    directory_set_links(f->directory, links, 2);
    pass(f, US_PER_S);
    assert_false(directory_has_room(f->directory, f->nodes[MAX].prefix, f->now));
    assert_int_equal(offer(f, &f->nodes[MAX]), DIRECTORY_BAD);
    for (size_t i = 0; i < MAX; i++)
        assert_non_null(entry_of(f, &f->nodes[i]));
}

/* More identities than places do not all pass through. */
static void test_places_change_hands_at_a_rate(void **state) {
    struct fixture *f = *state;
    unsigned taken = 0;

    make_residents(f, 4);
    fill(f, 4, MAX - 4);
    pass(f, US_PER_MINUTE);
    for (unsigned i = 0; i < 1000; i++) {
        struct author *author = &f->nodes[4 + i % (NODES - 4)];
        if (!entry_of(f, author))
            taken += offer(f, author) == DIRECTORY_NEWS;
    }
    assert_int_equal(taken, MAX - 4 < DIRECTORY_ROOM_BURST
                                ? MAX - 4
                                : DIRECTORY_ROOM_BURST); /* as many as were listed */
    pass(f, US_PER_MINUTE);
    for (unsigned k = 0; k < 40; k++, pass(f, 10 * US_PER_S))
        for (unsigned i = 0; i < 1000; i++) {
            struct author *author = &f->nodes[4 + i % (NODES - 4)];
            if (!entry_of(f, author))
                taken += offer(f, author) == DIRECTORY_NEWS;
        }
    assert_true(taken <= DIRECTORY_ROOM_BURST + 460 * DIRECTORY_ROOM_RATE);
    assert_int_equal(directory_count(f->directory), MAX);
}

static void name_phantoms(struct fixture *f, struct author *author, unsigned n) {
    for (; n > 0; n--)
        random_fill(&f->random,
                    &author->descriptor.neighbours[author->descriptor.n_neighbours++].prefix, 8);
}

/* More names than there are places, of nodes that never come. */
static void test_phantoms_keep_nobody_out(void **state) {
    struct fixture *f = *state;
    size_t residents = 4, turns = NODES - MAX;
    unsigned taken = 0;

    for (size_t i = 0; i < residents; i++)
        name_phantoms(f, &f->nodes[i], 10);
    make_residents(f, residents);
    fill(f, residents, MAX - residents);
    pass(f, US_PER_MINUTE);
    for (size_t i = 0; i < turns; i++, pass(f, US_PER_S))
        taken += offer(f, &f->nodes[MAX + i]) == DIRECTORY_NEWS;
    assert_int_equal(taken, turns);
    /* But half as many. */
    pass(f, US_PER_MINUTE);
    for (size_t i = taken = 0; i < 10000; i++, pass(f, US_PER_MS)) {
        struct author *author = &f->nodes[residents + i % (NODES - residents)];
        if (!entry_of(f, author))
            taken += offer(f, author) == DIRECTORY_NEWS;
    }
    assert_in_range(taken, 10 * DIRECTORY_ROOM_RATE / 2,
                    DIRECTORY_ROOM_BURST + 10 * DIRECTORY_ROOM_RATE / 2);
}

/* Whom one of the network has just named comes in without a token, however many others are
 * missed. */
static void test_the_newly_named_come_in(void **state) {
    struct fixture *f = *state;
    struct author *newcomer = &f->nodes[MAX], *next, *resident = &f->nodes[2];
    size_t residents = 4;

    for (size_t i = 0; i < residents; i++)
        name_phantoms(f, &f->nodes[i], 10);
    make_residents(f, residents);
    fill(f, residents, MAX - residents);
    directory_follow(f->directory, f->now);
    for (size_t i = 0; i < 5000 || directory_has_room(f->directory, 1, f->now); i++) {
        next = &f->nodes[MAX + 1 + i % (NODES - MAX - 1)]; /* until no token is left */
        if (!entry_of(f, next))
            (void)offer(f, next);
        if (i < 5000)
            pass(f, US_PER_MS);
    }
    assert_null(entry_of(f, newcomer));
    assert_int_equal(offer(f, newcomer), DIRECTORY_BAD);
    resident->descriptor.n_neighbours = 2;
    join(newcomer, resident);
    assert_int_equal(offer(f, resident), DIRECTORY_NEWS);
    assert_int_equal(offer(f, newcomer), DIRECTORY_NEWS);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_two_versions_convict),
        TEST(test_a_forged_second_is_nothing),
        TEST(test_proofs),
        TEST(test_a_conviction_ends),
        TEST(test_a_proof_of_the_future),
        TEST(test_a_proof_beyond_all_epochs),
        TEST(test_one_proof_at_a_time),
        TEST(test_two_of_our_own),
        TEST(test_new_keys_settle),
        TEST(test_an_older_one_is_shown),
        TEST(test_an_older_one_that_says_nothing),
        TEST(test_an_older_one_of_the_same_sequence),
        TEST(test_whom_a_path_waits_for),
        TEST(test_keys_change_in_a_large_network),
        TEST(test_the_hours_keys_are_settled),
        TEST(test_a_key_that_comes_late),
        TEST(test_keys_changed_again_and_again),
        TEST(test_restored_ones_are_settled),
        TEST(test_pace_of_a_node),
        TEST(test_pace_of_what_is_handed_over),
        TEST(test_a_crowd_slows_nobody),
        TEST(test_who_comes_to_be_reached_has_its_pace),
        TEST(test_who_was_reached_keeps_a_pace),
        TEST(test_whom_links_lead_to),
        TEST(test_those_without_links_give_way),
        TEST(test_a_crowd_of_its_own_gives_way),
        TEST(test_who_has_just_been_reached_does_not),
        TEST(test_who_does_not_give_way),
        TEST(test_places_change_hands_at_a_rate),
        TEST(test_phantoms_keep_nobody_out),
        TEST(test_the_newly_named_come_in),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
