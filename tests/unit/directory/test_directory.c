/* link: daemon/core/directory/directory daemon/core/directory/directory_index daemon/core/directory/directory_version daemon/core/directory/directory_room daemon/core/directory/directory_proof daemon/core/directory/directory_resolve daemon/core/directory/directory_claims daemon/core/wire/descriptor daemon/core/wire/identity daemon/core/wire/noise daemon/core/directory/topology daemon/core/directory/topology_draw shared/address proto/wire.pb-c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/directory/directory.h"
#include "tests/unit/harness.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define EPOCH INT64_C(500000)
#define MAX 24
#define NODES (MAX + 8)

/* Somebody, and what it would sign next. */
struct author {
    struct identity *identity;
    struct node_id id;
    uint64_t prefix;
    struct descriptor descriptor;
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t length;
};
struct fixture {
    struct test_stream stream;
    struct core_random random;
    struct directory *directory;
    struct author self, nodes[NODES];
    struct mono now;
    struct wall wall;
    const struct directory_entry *entry; /* of the last offer */
    enum drop drop;
};

static struct wall at_minute(int64_t minute) {
    return (struct wall){EPOCH * EPOCH_US + minute * US_PER_MINUTE};
}

static int author_init(struct author *author, struct fixture *f) {
    uint8_t seeds[2][32];

    random_fill(&f->random, seeds, sizeof seeds);
    author->identity = identity_new(seeds[0], seeds[1], &f->random);
    if (!author->identity)
        return -1;
    identity_advance(author->identity, f->wall);
    author->id = *identity_id(author->identity);
    author->prefix = node_id_prefix(&author->id);
    author->descriptor.sequence = (uint64_t)wall_ms(f->wall);
    return 0;
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);

    if (!f)
        return -1;
    f->stream.state = test_seed;
    f->random = (struct core_random){test_fill, &f->stream};
    f->now = (struct mono){US_PER_HOUR};
    f->wall = at_minute(30);
    if (author_init(&f->self, f) < 0)
        return -1;
    for (size_t i = 0; i < NODES; i++)
        if (author_init(&f->nodes[i], f) < 0)
            return -1;
    f->directory = directory_new(&f->self.id, MAX, &f->random);
    *state = f;
    return f->directory ? 0 : -1;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    directory_free(f->directory);
    identity_free(f->self.identity);
    for (size_t i = 0; i < NODES; i++)
        identity_free(f->nodes[i].identity);
    free(f);
    return 0;
}

static void sign(struct fixture *f, struct author *author) {
    int length = descriptor_sign(&author->descriptor, author->identity, f->wall, author->bytes);

    assert_true(length > 0);
    author->length = (size_t)length;
    author->descriptor.sequence++;
}

static enum directory_outcome offer_bytes(struct fixture *f, const uint8_t *bytes, size_t length) {
    f->drop = DROP_NONE;
    return directory_offer(f->directory, bytes, length, (struct now){f->now, f->wall}, &f->entry,
                           &f->drop);
}

static enum directory_outcome offer(struct fixture *f, struct author *author) {
    sign(f, author);
    return offer_bytes(f, author->bytes, author->length);
}

static struct address address(const char *text) {
    struct address parsed;

    assert_int_equal(address_parse(text, &parsed), 0);
    return parsed;
}

static void claim(struct author *author, const char *text) {
    author->descriptor.addresses[author->descriptor.n_addresses++] = address(text);
}

/* Both say that they are linked, and where they see each other (NULL: unsaid). */
static void join(struct author *a, struct author *b, const char *a_at, const char *b_at) {
    struct address none = {0};

    a->descriptor.neighbours[a->descriptor.n_neighbours++] =
        (struct descriptor_neighbour){b->prefix, b_at ? address(b_at) : none};
    b->descriptor.neighbours[b->descriptor.n_neighbours++] =
        (struct descriptor_neighbour){a->prefix, a_at ? address(a_at) : none};
}

static void offer_all(struct fixture *f, size_t n) {
    for (size_t i = 0; i < n; i++)
        assert_int_equal(offer(f, &f->nodes[i]), DIRECTORY_NEWS);
}

static bool counts(struct fixture *f, const struct author *author, const char *text) {
    struct address asked = address(text);

    return directory_address_counts(f->directory, directory_find(f->directory, &author->id),
                                    &asked);
}

/* ---- Entering ---- */

static void test_news_old_and_verbatim(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];
    struct descriptor got;
    struct version version;
    size_t length;

    a->descriptor.relay = true;
    claim(a, "1.2.3.4:5");
    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    assert_memory_equal(f->entry->bytes, a->bytes, a->length);
    assert_int_equal(f->entry->length, a->length);
    assert_true(f->entry->live && f->entry->relay && !f->entry->kept);
    assert_int_equal(f->entry->received.us, f->now.us);
    assert_int_equal(f->entry->last_seen.us, f->wall.us);
    assert_int_equal(offer_bytes(f, a->bytes, a->length), DIRECTORY_OLD);
    claim(a, "1.2.3.4:6");
    a->descriptor.relay = false;
    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    assert_int_equal(directory_count(f->directory), 1);
    assert_int_equal(directory_relays(f->directory), 0);
    directory_descriptor(directory_find_prefix(f->directory, a->prefix), &got);
    assert_int_equal(got.n_addresses, 2);
    assert_memory_equal(directory_bytes(f->directory, a->prefix, &length, &version), a->bytes,
                        a->length);
    assert_int_equal(version.sequence, a->descriptor.sequence - 1);
    assert_null(directory_find(f->directory, &f->nodes[1].id));
    assert_null(directory_bytes(f->directory, f->nodes[1].prefix, &length, &version));
}

static void test_forged_and_malformed(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];

    sign(f, a);
    a->bytes[3] ^= 1;
    assert_int_equal(offer_bytes(f, a->bytes, a->length), DIRECTORY_BAD);
    assert_int_equal(f->drop, DROP_AUTH);
    assert_int_equal(offer_bytes(f, a->bytes, 10), DIRECTORY_BAD);
    assert_int_equal(f->drop, DROP_MALFORMED);
    assert_int_equal(directory_count(f->directory), 0);
}

static void test_ourselves_by_others_word(void **state) {
    struct fixture *f = *state;

    assert_int_equal(offer(f, &f->self), DIRECTORY_OLD);
    assert_null(directory_find(f->directory, &f->self.id));
}

/* A descriptor of another life of ours: only one that is later than ours, ours by its signature,
 * and not too far ahead, counts. */
static void test_outbid(void **state) {
    struct fixture *f = *state;
    uint64_t now = (uint64_t)wall_ms(f->wall), most = now + DESCRIPTOR_AHEAD_US / US_PER_MS;

    sign(f, &f->self);
    directory_set_self(f->directory, f->self.bytes, f->self.length, f->now);
    assert_int_equal(offer_bytes(f, f->self.bytes, f->self.length), DIRECTORY_OLD);
    assert_int_equal(directory_outbid(f->directory), 0);
    sign(f, &f->self);
    f->self.bytes[0] ^= 1;
    assert_int_equal(offer_bytes(f, f->self.bytes, f->self.length), DIRECTORY_BAD);
    assert_int_equal(f->drop, DROP_AUTH);
    assert_int_equal(directory_outbid(f->directory), 0);
    f->self.bytes[0] ^= 1;
    assert_int_equal(offer_bytes(f, f->self.bytes, f->self.length), DIRECTORY_OLD);
    assert_int_equal(directory_outbid(f->directory), now + 1);
    f->self.descriptor.sequence = most;
    assert_int_equal(offer(f, &f->self), DIRECTORY_OLD);
    assert_int_equal(directory_outbid(f->directory), most);
    assert_int_equal(offer(f, &f->self), DIRECTORY_BAD);
    assert_int_equal(f->drop, DROP_TIME);
    assert_int_equal(directory_outbid(f->directory), most);
    assert_null(directory_find(f->directory, &f->self.id));
}

/* Another id of the same first bytes, in an otherwise good descriptor. */
static struct node_id make_twin(struct author *author) {
    size_t at = SIGNATURE_LEN;
    struct node_id twin;

    while (at + 32 < author->length && memcmp(author->bytes + at, author->id.bytes, 32) != 0)
        at++;
    author->bytes[at + 31] ^= 1;
    memcpy(twin.bytes, author->bytes + at, 32);
    assert_memory_equal(twin.bytes, author->id.bytes, 31);
    return twin;
}

static void test_prefix_taken(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];

    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
    sign(f, a);
    struct node_id twin = make_twin(a);
    assert_int_equal(offer_bytes(f, a->bytes, a->length), DIRECTORY_BAD);
    assert_int_equal(f->drop, DROP_LIMIT);
    assert_null(directory_find(f->directory, &twin));
    sign(f, &f->self);
    make_twin(&f->self);
    assert_int_equal(offer_bytes(f, f->self.bytes, f->self.length), DIRECTORY_BAD);
    assert_int_equal(f->drop, DROP_LIMIT);
}

static void test_ahead_of_the_clock(void **state) {
    struct fixture *f = *state;
    struct author *a = &f->nodes[0];

    a->descriptor.sequence = (uint64_t)(wall_ms(f->wall) + DESCRIPTOR_AHEAD_US / US_PER_MS) + 1;
    assert_int_equal(offer(f, a), DIRECTORY_BAD);
    assert_int_equal(f->drop, DROP_TIME);
    a->descriptor.sequence -= 2;
    assert_int_equal(offer(f, a), DIRECTORY_NEWS);
}

/* Keys hold from 3 min before the first epoch to 3 min after the last: 30 min into EPOCH they are
 * for EPOCH to EPOCH + 6. */
static void test_keys_for_the_current_epoch(void **state) {
    struct fixture *f = *state;
    int64_t end = EPOCHS_PUBLISHED * 60 * US_PER_MINUTE + EPOCH_GRACE_US;

    for (size_t i = 0; i < 4; i++) {
        f->nodes[i].descriptor.sequence = 1;
        sign(f, &f->nodes[i]);
    }
    f->wall.us = at_minute(0).us - EPOCH_GRACE_US;
    assert_int_equal(offer_bytes(f, f->nodes[0].bytes, f->nodes[0].length), DIRECTORY_BAD);
    assert_int_equal(f->drop, DROP_TIME);
    f->wall.us++;
    assert_int_equal(offer_bytes(f, f->nodes[0].bytes, f->nodes[0].length), DIRECTORY_NEWS);
    f->wall.us = at_minute(0).us + end - 1;
    assert_int_equal(offer_bytes(f, f->nodes[1].bytes, f->nodes[1].length), DIRECTORY_NEWS);
    assert_int_equal(directory_expire(f->directory, f->wall), 0);
    f->wall.us++;
    assert_int_equal(offer_bytes(f, f->nodes[2].bytes, f->nodes[2].length), DIRECTORY_BAD);
    assert_int_equal(f->drop, DROP_TIME);
    assert_int_equal(directory_expire(f->directory, f->wall), 2);
    assert_int_equal(directory_count(f->directory), 0);
}

static void test_full(void **state) {
    struct fixture *f = *state;

    offer_all(f, MAX - 1);
    assert_false(directory_is_full(f->directory));
    assert_int_equal(offer(f, &f->nodes[MAX - 1]), DIRECTORY_NEWS);
    assert_true(directory_is_full(f->directory));
    assert_int_equal(offer(f, &f->nodes[MAX]), DIRECTORY_BAD);
    assert_int_equal(f->drop, DROP_LIMIT);
    assert_int_equal(offer(f, &f->nodes[0]), DIRECTORY_NEWS); /* a resident's newer one */
    assert_int_equal(directory_count(f->directory), MAX);
}

/* ---- Life ---- */

static void test_expiry_keeps_the_kept(void **state) {
    struct fixture *f = *state;
    struct address pin = address("9.9.9.9");
    struct mono never = MONO_NEVER;
    uint32_t digest[DIRECTORY_BUCKETS];

    offer_all(f, 6);
    directory_keep(f->directory, &f->nodes[1].id);
    directory_pin(f->directory, &f->nodes[4].id, &pin);
    f->wall = at_minute(60 * 20);
    identity_advance(f->nodes[5].identity, f->wall);
    assert_int_equal(offer(f, &f->nodes[5]), DIRECTORY_NEWS);
    assert_int_equal(directory_expire(f->directory, f->wall), 5);
    assert_int_equal(directory_count(f->directory), 1);
    assert_ptr_equal(directory_at(f->directory, 0), directory_find(f->directory, &f->nodes[5].id));
    assert_null(directory_at(f->directory, 1));
    assert_null(directory_find(f->directory, &f->nodes[0].id));
    assert_false(directory_find(f->directory, &f->nodes[1].id)->live);
    assert_true(directory_find(f->directory, &f->nodes[4].id)->pinned);
    assert_int_equal(topology_nodes(directory_topology(f->directory)), 1);
    directory_digest(f->directory, never, digest);
    for (unsigned i = 0; i < DIRECTORY_BUCKETS; i++)
        assert_true((digest[i] != 0) == (i == f->nodes[5].id.bytes[0]));
    identity_advance(f->nodes[1].identity, f->wall);
    assert_int_equal(offer(f, &f->nodes[1]), DIRECTORY_NEWS); /* it is back */
    assert_true(f->entry->live && f->entry->kept);
    assert_int_equal(directory_count(f->directory), 2);
}

static void test_kept_are_bounded(void **state) {
    struct fixture *f = *state;

    for (size_t i = 0; i < MAX; i++) {
        sign(f, &f->nodes[i]);
        directory_restore(f->directory, f->nodes[i].bytes, f->nodes[i].length, false, NULL,
                          at_minute(60 * 24));
        assert_true(directory_find(f->directory, &f->nodes[i].id)->kept);
    }
    assert_int_equal(directory_count(f->directory), 0);
    assert_int_equal(offer(f, &f->nodes[MAX]), DIRECTORY_NEWS);
    directory_keep(f->directory, &f->nodes[MAX].id);
    assert_false(directory_find(f->directory, &f->nodes[MAX].id)->kept);
}

static void test_restore(void **state) {
    struct fixture *f = *state;
    struct address pin = address("1.1.1.1:1");

    sign(f, &f->nodes[0]);
    sign(f, &f->nodes[1]);
    sign(f, &f->self);
    directory_restore(f->directory, f->nodes[0].bytes, f->nodes[0].length, true, &pin, f->wall);
    directory_restore(f->directory, f->nodes[1].bytes, f->nodes[1].length, false, NULL,
                      at_minute(60 * 24));
    directory_restore(f->directory, f->self.bytes, f->self.length, false, NULL, f->wall);
    directory_restore(f->directory, (const uint8_t *)"rubbish", 7, false, NULL, f->wall);
    const struct directory_entry *a = directory_find(f->directory, &f->nodes[0].id);
    const struct directory_entry *b = directory_find(f->directory, &f->nodes[1].id);
    assert_true(a->live && a->kept && a->pinned && address_is_equal(&a->acquaintance->pin, &pin));
    assert_true(!b->live && b->kept && !b->pinned);
    assert_null(directory_find(f->directory, &f->self.id));
    assert_int_equal(directory_count(f->directory), 1);
    assert_int_equal(offer_bytes(f, f->nodes[1].bytes, f->nodes[1].length), DIRECTORY_OLD);
}

static void test_random_is_over_the_live(void **state) {
    struct fixture *f = *state;
    unsigned seen[8] = {0};

    assert_null(directory_random(f->directory));
    offer_all(f, 8);
    for (int i = 0; i < 8000; i++) {
        const struct directory_entry *entry = directory_random(f->directory);
        for (size_t j = 0; j < 8; j++)
            seen[j] += entry->prefix == f->nodes[j].prefix;
    }
    for (size_t j = 0; j < 8; j++)
        assert_in_range(seen[j], 800, 1200); /* 6.7 standard deviations */
}

/* ---- Topology, digests ---- */

static void test_links_need_both_words(void **state) {
    struct fixture *f = *state;
    struct topology *topology = directory_topology(f->directory);
    uint64_t links[1] = {f->nodes[1].prefix};

    join(&f->nodes[0], &f->nodes[1], NULL, NULL);
    join(&f->self, &f->nodes[0], NULL, NULL);
    assert_int_equal(offer(f, &f->nodes[0]), DIRECTORY_NEWS);
    assert_false(topology_has_link(topology, f->nodes[0].prefix, f->nodes[1].prefix));
    assert_int_equal(offer(f, &f->nodes[1]), DIRECTORY_NEWS);
    assert_true(topology_has_link(topology, f->nodes[0].prefix, f->nodes[1].prefix));
    sign(f, &f->self);
    directory_set_self(f->directory, f->self.bytes, f->self.length, f->now);
    assert_true(topology_has_link(topology, f->self.prefix, f->nodes[0].prefix));
    directory_set_links(f->directory, links, 1);
    assert_true(topology_has_link(topology, f->self.prefix, f->nodes[1].prefix));
    sign(f, &f->self); /* what we publish no longer speaks for our links */
    directory_set_self(f->directory, f->self.bytes, f->self.length, f->now);
    assert_true(topology_has_link(topology, f->self.prefix, f->nodes[1].prefix));
    assert_false(topology_has_link(topology, f->self.prefix, f->nodes[0].prefix));
}

struct visited {
    size_t n, stop_after;
    uint64_t last;
};
static bool visit(void *context, uint64_t prefix, const struct version *version,
                  const uint8_t *proof) {
    struct visited *visited = context;

    assert_true(version->sequence > 0);
    assert_null(proof);
    visited->last = prefix;
    return ++visited->n < visited->stop_after;
}

/* Two directories that hold the same agree, whatever the order; one newer descriptor shows in its
 * bucket alone. */
static void test_digests(void **state) {
    struct fixture *f = *state;
    struct directory *ours = f->directory;
    struct directory *other = directory_new(&f->nodes[MAX].id, MAX, &f->random);
    uint32_t a[DIRECTORY_BUCKETS], b[DIRECTORY_BUCKETS];

    sign(f, &f->self);
    directory_set_self(ours, f->self.bytes, f->self.length, f->now);
    offer_all(f, 10);
    assert_int_equal(offer(f, &f->nodes[MAX]), DIRECTORY_NEWS);
    f->directory = other;
    directory_set_self(other, f->nodes[MAX].bytes, f->nodes[MAX].length, f->now);
    for (size_t i = 10; i-- > 0;)
        offer_bytes(f, f->nodes[i].bytes, f->nodes[i].length);
    offer_bytes(f, f->self.bytes, f->self.length);
    directory_digest(ours, MONO_NEVER, a);
    directory_digest(other, MONO_NEVER, b);
    assert_memory_equal(a, b, sizeof a);
    f->now.us++;
    assert_int_equal(offer(f, &f->nodes[3]), DIRECTORY_NEWS);
    directory_digest(other, MONO_NEVER, b);
    for (unsigned i = 0; i < DIRECTORY_BUCKETS; i++)
        assert_true((a[i] != b[i]) == (i == f->nodes[3].id.bytes[0]));
    directory_digest(other, f->now, a); /* without the one that came now */
    for (unsigned i = 0; i < DIRECTORY_BUCKETS; i++)
        assert_true((a[i] != b[i]) == (i == f->nodes[3].id.bytes[0]));
    directory_digest(other, (struct mono){f->now.us - 1}, a);
    for (unsigned i = 0; i < DIRECTORY_BUCKETS; i++)
        assert_int_equal(a[i], 0);
    f->directory = ours;
    directory_free(other);
}

static void test_buckets(void **state) {
    struct fixture *f = *state;
    struct visited all = {.stop_after = 1000}, own = {.stop_after = 1};

    sign(f, &f->self);
    directory_set_self(f->directory, f->self.bytes, f->self.length, f->now);
    offer_all(f, 12);
    for (unsigned i = 0; i < DIRECTORY_BUCKETS; i++)
        directory_visit_bucket(f->directory, i, visit, &all);
    assert_int_equal(all.n, 13);
    directory_visit_bucket(f->directory, f->self.id.bytes[0], visit, &own);
    assert_int_equal(own.n, 1);
    assert_int_equal(own.last, f->self.prefix);
}

/* ---- Addresses ---- */

static void test_two_witnesses(void **state) {
    struct fixture *f = *state;
    struct author *n = f->nodes;

    claim(&n[0], "5.5.5.5:5");
    join(&n[0], &n[1], "5.5.5.5:5", NULL);
    join(&n[0], &n[2], "5.5.5.5:5", NULL);
    join(&n[0], &n[3], "5.5.5.5:6", NULL);
    assert_int_equal(offer(f, &n[0]), DIRECTORY_NEWS);
    assert_int_equal(offer(f, &n[1]), DIRECTORY_NEWS);
    assert_int_equal(offer(f, &n[3]), DIRECTORY_NEWS);
    assert_false(counts(f, &n[0], "5.5.5.5:5"));
    assert_int_equal(offer(f, &n[2]), DIRECTORY_NEWS);
    assert_true(counts(f, &n[0], "5.5.5.5:5"));
    assert_false(counts(f, &n[0], "5.5.5.5:6"));
}

static void test_witnesses_must_be_linked(void **state) {
    struct fixture *f = *state;
    struct author *n = f->nodes;

    join(&n[0], &n[1], "5.5.5.5:5", NULL);
    join(&n[0], &n[2], "5.5.5.5:5", NULL);
    n[0].descriptor.n_neighbours = 1; /* it does not know the second */
    offer_all(f, 3);
    assert_false(counts(f, &n[0], "5.5.5.5:5"));
}

static void test_witnesses_of_one_network(void **state) {
    struct fixture *f = *state;
    struct author *n = f->nodes;

    for (size_t i = 1; i <= 3; i++)
        join(&n[0], &n[i], i < 3 ? "5.5.5.5:5" : "5.5.5.5:6", NULL);
    claim(&n[1], "7.7.1.1:1");
    claim(&n[2], "7.7.2.2:2");
    claim(&n[3], "7.7.3.3:3");
    offer_all(f, 4);
    assert_true(counts(f, &n[0], "5.5.5.5:5")); /* it has neighbours in that one alone */
    n[3].descriptor.addresses[0] = address("8.8.3.3:3");
    assert_int_equal(offer(f, &n[3]), DIRECTORY_NEWS);
    assert_false(counts(f, &n[0], "5.5.5.5:5"));
    n[3].descriptor.neighbours[0].seen_at = address("5.5.5.5:5");
    assert_int_equal(offer(f, &n[3]), DIRECTORY_NEWS);
    assert_true(counts(f, &n[0], "5.5.5.5:5"));
}

static void test_private_witnesses(void **state) {
    struct fixture *f = *state;
    struct author *n = f->nodes;

    for (size_t i = 1; i <= 4; i++)
        join(&n[0], &n[i], i < 3 ? "192.168.0.9:5" : NULL, NULL);
    claim(&n[1], "192.168.0.1:1");
    claim(&n[2], "192.168.0.2:2");
    claim(&n[3], "7.7.3.3:3");
    claim(&n[4], "8.8.3.3:3");
    offer_all(f, 5);
    assert_true(counts(f, &n[0], "192.168.0.9:5"));
    for (size_t i = 1; i <= 2; i++) {
        n[i].descriptor.neighbours[0].seen_at = address("5.5.5.5:5");
        assert_int_equal(offer(f, &n[i]), DIRECTORY_NEWS);
    }
    assert_false(
        counts(f, &n[0], "5.5.5.5:5")); /* a claim to be private is not a network of one's own */
    n[2].descriptor.addresses[0] = address("7.7.9.9:2"); /* nor beside a public one */
    assert_int_equal(offer(f, &n[2]), DIRECTORY_NEWS);
    assert_false(counts(f, &n[0], "5.5.5.5:5"));
    n[3].descriptor.neighbours[0].seen_at = address("5.5.5.5:5"); /* of 7.7, too */
    assert_int_equal(offer(f, &n[3]), DIRECTORY_NEWS);
    assert_false(counts(f, &n[0], "5.5.5.5:5"));
    n[4].descriptor.neighbours[0].seen_at = address("5.5.5.5:5");
    assert_int_equal(offer(f, &n[4]), DIRECTORY_NEWS);
    assert_true(counts(f, &n[0], "5.5.5.5:5"));
}

static void test_handshake_counts(void **state) {
    struct fixture *f = *state;
    struct author *n = f->nodes;
    struct address at = address("4.4.4.4:4"), shown;

    claim(&n[0], "3.3.3.3:3");
    offer_all(f, 1);
    shown = directory_address(f->directory, directory_find(f->directory, &n[0].id));
    assert_true(address_is_equal(&shown, &n[0].descriptor.addresses[0]));
    directory_handshaken(f->directory, &n[0].id, &at, (struct now){f->now, at_minute(40)});
    directory_handshaken(f->directory, &n[5].id, &at,
                         (struct now){f->now, at_minute(40)}); /* unknown: nothing */
    assert_true(counts(f, &n[0], "4.4.4.4:4"));
    assert_false(counts(f, &n[0], "3.3.3.3:3"));
    shown = directory_address(f->directory, directory_find(f->directory, &n[0].id));
    assert_true(address_is_equal(&shown, &at));
    assert_int_equal(directory_find(f->directory, &n[0].id)->last_seen.us, at_minute(40).us);
    offer_all(f, 1); /* a newer descriptor forgets neither */
    assert_true(counts(f, &n[0], "4.4.4.4:4"));
}

/* ---- What users name ---- */

static enum resolve_outcome resolve(struct fixture *f, struct destination to, struct node_id *ids,
                                    size_t *n) {
    return directory_resolve(f->directory, &to, ids, n);
}

static void expect_at(struct fixture *f, const char *text, enum resolve_outcome outcome,
                      const struct author *first, size_t n_expected) {
    struct node_id ids[DIRECTORY_CANDIDATES_MAX];
    struct destination to = {.kind = DEST_ADDRESS, .address = address(text)};
    size_t n = 99;

    assert_int_equal(resolve(f, to, ids, &n), outcome);
    assert_int_equal(n, n_expected);
    if (first)
        assert_memory_equal(&ids[0], &first->id, sizeof ids[0]);
}

/* At an address, and confirmed there by a handshake. */
static void place(struct fixture *f, struct author *author, const char *text) {
    struct address at = address(text);

    author->descriptor.n_addresses = 0;
    claim(author, text);
    assert_int_equal(offer(f, author), DIRECTORY_NEWS);
    directory_handshaken(f->directory, &author->id, &at, (struct now){f->now, f->wall});
}

static void pin(struct fixture *f, const struct author *author, const char *text) {
    struct address at = address(text);

    directory_pin(f->directory, &author->id, &at);
}

static void test_resolve_addresses(void **state) {
    struct fixture *f = *state;
    struct author *n = f->nodes;

    expect_at(f, "1.1.1.1", RESOLVE_NONE, NULL, 0);
    claim(&n[0], "1.1.1.1:7");
    assert_int_equal(offer(f, &n[0]), DIRECTORY_NEWS);
    expect_at(f, "1.1.1.1", RESOLVE_UNCONFIRMED, &n[0], 1);
    place(f, &n[1], "1.1.1.1:7");
    expect_at(f, "1.1.1.1", RESOLVE_ONE, &n[1], 1); /* an unconfirmed rival is none */
    expect_at(f, "1.1.1.1:7", RESOLVE_ONE, &n[1], 1);
    expect_at(f, "1.1.1.1:8", RESOLVE_NONE, NULL, 0);
    place(f, &n[2], "1.1.1.1:8");
    expect_at(f, "1.1.1.1", RESOLVE_AMBIGUOUS, NULL, 2);
    place(f, &n[3], "1.1.1.1:58008");
    expect_at(f, "1.1.1.1", RESOLVE_ONE, &n[3], 1);
    place(f, &n[4], "1.1.1.1:8");
    expect_at(f, "1.1.1.1:8", RESOLVE_ONE, &n[4], 1); /* whom we met there before has left */
    expect_at(f, "1.1.1.1", RESOLVE_ONE, &n[3], 1);
}

static void expect_proven_at(struct fixture *f, const char *text, enum resolve_outcome outcome,
                             const struct author *first) {
    struct node_id ids[DIRECTORY_CANDIDATES_MAX];
    struct destination to = {.kind = DEST_ADDRESS, .address = address(text)};
    size_t n;

    assert_int_equal(directory_resolve_proven(f->directory, &to, f->now, ids, &n), outcome);
    if (first)
        assert_memory_equal(&ids[0], &first->id, sizeof ids[0]);
}

/* Nodes 0, 1 and 2 are one member's: the first claims an address where it is not, and the others
 * say that they see it there. */
static void claim_falsely(struct fixture *f, const char *text) {
    struct author *n = f->nodes;

    claim(&n[0], text);
    join(&n[0], &n[1], text, NULL);
    join(&n[0], &n[2], text, NULL);
    offer_all(f, 3);
    assert_true(counts(f, &n[0], text));
}

static void test_false_witnesses_displace_nobody(void **state) {
    struct fixture *f = *state;
    struct author *n = f->nodes;

    claim(&n[3], "9.9.9.9:9");
    join(&n[3], &n[4], "9.9.9.9:9", NULL);
    join(&n[3], &n[5], "9.9.9.9:9", NULL);
    for (size_t i = 3; i < 6; i++)
        assert_int_equal(offer(f, &n[i]), DIRECTORY_NEWS);
    claim_falsely(f, "9.9.9.9:9");
    expect_at(f, "9.9.9.9", RESOLVE_AMBIGUOUS, NULL, 2); /* word against word */
    expect_proven_at(f, "9.9.9.9", RESOLVE_NONE, NULL);
    struct address at = address("9.9.9.9:9");
    directory_handshaken(f->directory, &n[3].id, &at, (struct now){f->now, f->wall});
    expect_at(f, "9.9.9.9", RESOLVE_ONE, &n[3], 1);
    expect_at(f, "9.9.9.9:9", RESOLVE_ONE, &n[3], 1);
    expect_proven_at(f, "9.9.9.9", RESOLVE_ONE, &n[3]);
    claim_falsely(f, "9.9.9.9:10"); /* another port of the same IP: several, none the default */
    expect_at(f, "9.9.9.9", RESOLVE_AMBIGUOUS, NULL, 2);
    expect_proven_at(f, "9.9.9.9", RESOLVE_ONE, &n[3]);
}

/* Who was met at an address may have left it: what he was proves nothing for long. */
static void test_a_meeting_proves_for_a_while(void **state) {
    struct fixture *f = *state;
    struct author *n = &f->nodes[0];
    struct address other = address("5.5.5.5:5");

    place(f, n, "4.4.4.4:4");
    f->now.us += DIRECTORY_MET_US - 1;
    expect_proven_at(f, "4.4.4.4:4", RESOLVE_ONE, n);
    f->now.us++;
    expect_proven_at(f, "4.4.4.4:4", RESOLVE_NONE, NULL);
    expect_at(f, "4.4.4.4:4", RESOLVE_ONE, n, 1); /* for a look it does */
    place(f, n, "4.4.4.4:4");
    directory_set_linked(f->directory, &n->id, true, f->now);
    f->now.us += US_PER_HOUR;
    expect_proven_at(f, "4.4.4.4:4", RESOLVE_ONE, n);
    directory_set_linked(f->directory, &n->id, false, f->now);
    f->now.us += DIRECTORY_MET_US - 1;
    expect_proven_at(f, "4.4.4.4:4", RESOLVE_ONE, n);
    f->now.us++;
    expect_proven_at(f, "4.4.4.4:4", RESOLVE_NONE, NULL);
    place(f, n, "4.4.4.4:4");
    directory_set_linked(f->directory, &n->id, true, f->now);
    directory_handshaken(f->directory, &n->id, &other, (struct now){f->now, f->wall});
    expect_proven_at(f, "4.4.4.4:4", RESOLVE_NONE, NULL);
    expect_proven_at(f, "5.5.5.5:5", RESOLVE_ONE, n);
    f->now.us += DIRECTORY_MET_US; /* the link stands elsewhere */
    expect_proven_at(f, "5.5.5.5:5", RESOLVE_NONE, NULL);
}

static size_t places_at(struct fixture *f, const char *text, struct address places[MAX]) {
    struct address asked = address(text);
    bool claimed;

    return directory_places(f->directory, &asked, places, MAX, &claimed);
}

static size_t vouched_at(struct fixture *f, const char *text, const uint64_t *drawn, size_t n,
                         const struct author *first) {
    struct node_id ids[DIRECTORY_CANDIDATES_MAX];
    struct address asked = address(text);
    size_t found = directory_vouched(f->directory, &asked, drawn, n, ids);

    if (found > 0)
        assert_memory_equal(&ids[0], &first->id, sizeof ids[0]);
    return found;
}

static void test_false_witnesses_prove_nothing(void **state) {
    struct fixture *f = *state;
    struct author *n = f->nodes;
    uint64_t drawn[] = {0, 0, 0};

    claim_falsely(f, "9.9.9.9:9");
    expect_at(f, "9.9.9.9", RESOLVE_ONE, &n[0], 1);
    expect_proven_at(f, "9.9.9.9", RESOLVE_NONE, NULL);
    drawn[0] = n[1].prefix;
    drawn[1] = n[5].prefix; /* unknown */
    drawn[2] = n[0].prefix; /* itself */
    assert_int_equal(vouched_at(f, "9.9.9.9", drawn, 3, NULL), 0);
    drawn[1] = n[2].prefix;
    assert_int_equal(vouched_at(f, "9.9.9.9", drawn, 3, &n[0]), 1);
    assert_int_equal(vouched_at(f, "9.9.9.9:9", drawn, 3, &n[0]), 1);
    assert_int_equal(vouched_at(f, "9.9.9.9:10", drawn, 3, NULL), 0);
}

/* Node 0 is at an address that answers no dial, and its neighbours see it there: node i is
 * at 20.i.0.1, in a network of its own. */
static void translate(struct fixture *f, const char *text, size_t n_neighbours) {
    struct author *n = f->nodes;

    claim(&n[0], text);
    for (size_t i = 1; i <= n_neighbours; i++) {
        char at[ADDRESS_TEXT_MAX];
        snprintf(at, sizeof at, "20.%zu.0.1:58008", i);
        claim(&n[i], at);
        join(&n[0], &n[i], text, NULL);
    }
    offer_all(f, n_neighbours + 1);
}

static void meet(struct fixture *f, const struct author *author, const char *text) {
    struct address at = address(text);

    directory_handshaken(f->directory, &author->id, &at, (struct now){f->now, f->wall});
}

static void test_four_networks_vouch(void **state) {
    struct fixture *f = *state;
    struct author *n = f->nodes;
    struct address asked = address("9.9.9.9:9"), places[MAX], other = address("9.9.9.9:10");

    translate(f, "9.9.9.9:9", 8);
    assert_int_equal(directory_witnesses(f->directory, &asked, places, MAX), 5);
    assert_int_equal(directory_witnesses(f->directory, &asked, places, 2), 2);
    assert_int_equal(directory_witnesses(f->directory, &other, places, MAX), 0);
    meet(f, &n[1], "20.1.0.1:58008");
    meet(f, &n[2], "20.2.0.1:58008");
    assert_int_equal(vouched_at(f, "9.9.9.9:9", NULL, 0, NULL), 0);
    assert_int_equal(directory_witnesses(f->directory, &asked, places, MAX), 3); /* the rest */
    meet(f, &n[3], "20.2.0.2:58008"); /* in the network of another, whatever it claims */
    assert_int_equal(vouched_at(f, "9.9.9.9:9", NULL, 0, NULL), 0);
    meet(f, &n[4], "192.168.0.1:58008"); /* a private one is no network */
    assert_int_equal(vouched_at(f, "9.9.9.9:9", NULL, 0, NULL), 0);
    meet(f, &n[5], "20.5.0.1:58008");
    assert_int_equal(vouched_at(f, "9.9.9.9:9", NULL, 0, NULL), 0);
    meet(f, &n[6], "20.6.0.1:58008");
    assert_int_equal(vouched_at(f, "9.9.9.9:9", NULL, 0, &n[0]), 1);
    expect_proven_at(f, "9.9.9.9:9", RESOLVE_NONE, NULL); /* and that proves nothing */
}

/* Whoever is in a private network can have any free address there, the one that was asked for, too:
 * other machines will do. */
static void test_four_machines_vouch_in_private(void **state) {
    struct fixture *f = *state;
    struct author *n = f->nodes;

    translate(f, "10.9.9.9:9", 6);
    meet(f, &n[1], "10.0.0.1:58008");
    meet(f, &n[2], "10.0.0.2:58008");
    meet(f, &n[3], "10.0.0.2:58009"); /* the same machine */
    meet(f, &n[4], "10.0.0.3:58008");
    assert_int_equal(vouched_at(f, "10.9.9.9:9", NULL, 0, NULL), 0);
    meet(f, &n[5], "10.0.0.4:58008");
    assert_int_equal(vouched_at(f, "10.9.9.9:9", NULL, 0, &n[0]), 1);
}

/* One of them does not name it: then they are no neighbours. */
static void test_witnesses_are_neighbours(void **state) {
    struct fixture *f = *state;
    struct author *n = f->nodes;
    uint64_t drawn[2];

    translate(f, "9.9.9.9:9", 2);
    drawn[0] = n[1].prefix;
    drawn[1] = n[2].prefix;
    assert_int_equal(vouched_at(f, "9.9.9.9:9", drawn, 2, &n[0]), 1);
    n[0].descriptor.n_neighbours = 1;
    f->wall.us += US_PER_MINUTE;
    f->now.us += US_PER_MINUTE;
    assert_int_equal(offer(f, &n[0]), DIRECTORY_NEWS);
    assert_int_equal(vouched_at(f, "9.9.9.9:9", drawn, 2, NULL), 0);
}

static bool has_port(const struct address *places, size_t n, uint16_t port) {
    for (size_t i = 0; i < n; i++)
        if (places[i].port == port)
            return true;
    return false;
}

/* Whoever claims ports of an IP, those who are likely to be there are asked first. */
static void test_the_likely_places_come_first(void **state) {
    struct fixture *f = *state;
    struct author *n = f->nodes;
    struct address places[MAX];

    assert_int_equal(places_at(f, "1.1.1.1", places), 1);
    assert_int_equal(places[0].port, ADDRESS_PORT_DEFAULT); /* claimed or not */
    place(f, &n[0], "1.1.1.1:7");
    pin(f, &n[0], "1.1.1.1");
    claim(&n[1], "1.1.1.1:8"); /* counts, and is up */
    join(&n[1], &n[2], "1.1.1.1:8", NULL);
    join(&n[1], &n[3], "1.1.1.1:8", NULL);
    for (size_t i = 1; i < 4; i++)
        assert_int_equal(offer(f, &n[i]), DIRECTORY_NEWS);
    for (size_t i = 4; i < 12; i++) {
        for (size_t k = 0; k < DESCRIPTOR_ADDRESSES_MAX; k++) {
            char text[ADDRESS_TEXT_MAX];
            snprintf(text, sizeof text, "1.1.1.1:%zu", 100 * i + k);
            claim(&n[i], text);
        }
        assert_int_equal(offer(f, &n[i]), DIRECTORY_NEWS);
    }
    assert_int_equal(places_at(f, "1.1.1.1", places), MAX);
    assert_int_equal(places[0].port, 7);
    assert_int_equal(places[1].port, ADDRESS_PORT_DEFAULT);
    assert_int_equal(places[2].port, 8);
    for (uint16_t i = 4; i < 12; i++) /* the first of each before the second of any */
        assert_true(has_port(places, 3 + 8, 100 * i));
    assert_int_equal(places_at(f, "1.1.1.1:9", places), 1); /* what was asked for, claimed or not */
    assert_int_equal(places[0].port, 9);
}

/* A look takes in so many strangers and no more: but always whom we met or pinned there. */
static void test_a_crowd_hides_nobody_we_know(void **state) {
    enum { CROWD = 200 };
    struct fixture *f = *state;
    struct author *n = f->nodes;
    struct address places[MAX];

    directory_free(f->directory);
    f->directory = directory_new(&f->self.id, CROWD + MAX, &f->random);
    place(f, &n[0], "1.1.1.1:7");
    claim(&n[1], "1.1.1.1:8");
    assert_int_equal(offer(f, &n[1]), DIRECTORY_NEWS);
    pin(f, &n[1], "1.1.1.1:8");
    for (size_t i = 0; i < CROWD; i++) {
        struct author stranger = {.identity = NULL};
        assert_int_equal(author_init(&stranger, f), 0);
        claim(&stranger, "1.1.1.1:7");
        claim(&stranger, "1.1.1.1:8");
        assert_int_equal(offer(f, &stranger), DIRECTORY_NEWS);
        identity_free(stranger.identity);
    }
    expect_at(f, "1.1.1.1:7", RESOLVE_ONE, &n[0], 1);
    expect_at(f, "1.1.1.1:8", RESOLVE_ONE, &n[1], 1);
    expect_proven_at(f, "1.1.1.1:7", RESOLVE_ONE, &n[0]);
    expect_proven_at(f, "1.1.1.1:9", RESOLVE_NONE, NULL);
    assert_int_equal(places_at(f, "1.1.1.1", places), 3);
    directory_handshaken(f->directory, &n[2].id, &places[0],
                         (struct now){f->now, f->wall}); /* unknown: nothing */
    expect_at(f, "1.1.1.1:7", RESOLVE_ONE, &n[0], 1);
    struct address ip = address("1.1.1.1:8");
    directory_unpin(f->directory, &ip); /* it is found to be let go of */
    assert_false(directory_find(f->directory, &n[1].id)->pinned);
}

static void test_candidates_are_bounded(void **state) {
    struct fixture *f = *state;

    for (size_t i = 0; i <= DIRECTORY_CANDIDATES_MAX; i++) {
        char text[ADDRESS_TEXT_MAX];
        snprintf(text, sizeof text, "1.1.1.1:%zu", 7 + i);
        place(f, &f->nodes[i], text);
        if (i + 1 == DIRECTORY_CANDIDATES_MAX)
            expect_at(f, "1.1.1.1", RESOLVE_AMBIGUOUS, NULL, DIRECTORY_CANDIDATES_MAX);
    }
    expect_at(f, "1.1.1.1", RESOLVE_AMBIGUOUS, NULL, DIRECTORY_CANDIDATES_MAX);
}

static void test_resolve_pins(void **state) {
    struct fixture *f = *state;
    struct author *n = f->nodes;

    place(f, &n[0], "1.1.1.1:7");
    pin(f, &n[0], "1.1.1.1");
    place(f, &n[1], "1.1.1.1:7");
    place(f, &n[2], "1.1.1.1:58008");
    expect_at(f, "1.1.1.1", RESOLVE_ONE, &n[0], 1); /* others confirmed: the pin holds */
    expect_at(f, "1.1.1.1:7", RESOLVE_ONE, &n[0], 1);
    expect_at(f, "1.1.1.1:58008", RESOLVE_ONE, &n[2], 1);
    directory_unpin(f->directory, &(struct address){.ip = {0}});
    expect_at(f, "1.1.1.1:7", RESOLVE_ONE, &n[0], 1);
    struct address ip = address("1.1.1.1");
    directory_unpin(f->directory, &ip);
    expect_at(f, "1.1.1.1:7", RESOLVE_ONE, &n[1], 1); /* the one met there last */
    pin(f, &n[0], "1.1.1.1:7");
    expect_at(f, "1.1.1.1:7", RESOLVE_ONE, &n[0], 1);
    ip.port = 7;
    directory_unpin(f->directory, &ip);
    pin(f, &n[1], "1.1.1.1:7");
    expect_at(f, "1.1.1.1:7", RESOLVE_ONE, &n[1], 1);
    expect_at(f, "1.1.1.1", RESOLVE_ONE, &n[2], 1); /* a pin of a port says nothing of the IP */
    ip.port = 8;
    directory_unpin(f->directory, &ip);
    expect_at(f, "1.1.1.1:7", RESOLVE_ONE, &n[1], 1);
    ip.port = 7;
    directory_unpin(f->directory, &ip);
    expect_at(f, "1.1.1.1:7", RESOLVE_ONE, &n[1], 1);
}

static void test_key_changed(void **state) {
    struct fixture *f = *state;
    struct author *n = f->nodes;
    struct node_id ids[DIRECTORY_CANDIDATES_MAX];
    struct destination to = {.kind = DEST_ADDRESS, .address = address("1.1.1.1:7")};
    size_t count;

    place(f, &n[0], "1.1.1.1:7");
    pin(f, &n[0], "1.1.1.1:7");
    f->wall = at_minute(60 * 20);
    directory_expire(f->directory, f->wall);
    expect_at(f, "1.1.1.1:7", RESOLVE_ONE, &n[0], 1); /* known, but offline */
    expect_at(f, "1.1.1.1", RESOLVE_ONE, &n[0], 1);
    identity_advance(n[1].identity, f->wall);
    claim(&n[1], "1.1.1.1:7");
    assert_int_equal(offer(f, &n[1]), DIRECTORY_NEWS);
    expect_at(f, "1.1.1.1:7", RESOLVE_ONE, &n[0], 1); /* a mere claim changes nothing */
    place(f, &n[1], "1.1.1.1:7");
    expect_at(f, "1.1.1.1", RESOLVE_KEY_CHANGED, &n[0], 2);
    assert_int_equal(resolve(f, to, ids, &count), RESOLVE_KEY_CHANGED);
    assert_memory_equal(&ids[0], &n[0].id, 32);
    assert_memory_equal(&ids[1], &n[1].id, 32);
    directory_unpin(f->directory, &to.address);
    directory_expire(f->directory, f->wall);
    pin(f, &n[1], "1.1.1.1:7");
    expect_at(f, "1.1.1.1:7", RESOLVE_ONE, &n[1], 1);
}

static const struct directory_entry *entry_of(struct fixture *f, size_t i) {
    return directory_find(f->directory, &f->nodes[i].id);
}

/* Ourselves, 0 and 1 are a chain; 2 and 3 died together and go on claiming each other. */
static void test_who_is_seen(void **state) {
    struct fixture *f = *state;
    struct author *n = f->nodes;

    join(&n[0], &n[1], NULL, NULL);
    join(&n[2], &n[3], NULL, NULL);
    offer_all(f, 4);
    struct wall signed_at = f->wall;
    f->wall = at_minute(55);
    directory_look_around(f->directory, f->wall); /* we are nowhere yet: nothing is learnt */
    assert_int_equal(entry_of(f, 0)->last_seen.us, signed_at.us);
    assert_true(directory_is_up(f->directory, entry_of(f, 2)));
    directory_set_links(f->directory, &n[0].prefix, 1);
    directory_look_around(f->directory, f->wall);
    for (size_t i = 0; i < 2; i++) { /* though it signed long ago */
        assert_int_equal(entry_of(f, i)->last_seen.us, f->wall.us);
        assert_true(directory_is_up(f->directory, entry_of(f, i)));
    }
    for (size_t i = 2; i < 4; i++) {
        assert_int_equal(entry_of(f, i)->last_seen.us, signed_at.us);
        assert_false(directory_is_up(f->directory, entry_of(f, i)));
    }
    /* One comes back: it is not taken for gone until the next look. */
    n[2].descriptor.sequence = (uint64_t)wall_ms(f->wall);
    assert_int_equal(offer(f, &n[2]), DIRECTORY_NEWS);
    assert_true(directory_is_up(f->directory, entry_of(f, 2)));
    struct wall left = f->wall;
    f->wall = at_minute(56);
    directory_set_links(f->directory, NULL, 0); /* alone: everybody was seen before */
    directory_look_around(f->directory, f->wall);
    assert_int_equal(entry_of(f, 1)->last_seen.us, left.us);
    assert_false(directory_is_up(f->directory, entry_of(f, 0)));
}

/* How many had the address before node 1, of them the first. */
static size_t former(struct fixture *f, const char *text, struct node_id *ret_first) {
    struct node_id ids[DIRECTORY_CANDIDATES_MAX];
    struct address at = address(text);
    size_t n = directory_former(f->directory, &at, &f->nodes[1].id, ids, DIRECTORY_CANDIDATES_MAX);

    if (n > 0)
        *ret_first = ids[0];
    return n;
}

static const struct directory_entry *successor(struct fixture *f, const struct author *gone) {
    struct address at;
    const struct directory_entry *entry = directory_find(f->directory, &gone->id);

    entry = directory_successor(f->directory, entry, &at);
    if (entry)
        assert_true(at.port == 0 || at.port == 7);
    return entry;
}

/* Node 0 was pinned and is gone, node 1 is there now; node 2 is gone too, but was at another
 * port. */
static void test_who_was_there_before(void **state) {
    struct fixture *f = *state;
    struct author *n = f->nodes;
    struct address ip = address("1.1.1.1");
    struct node_id first;

    place(f, &n[0], "1.1.1.1:7");
    pin(f, &n[0], "1.1.1.1");
    place(f, &n[2], "1.1.1.1:8");
    directory_keep(f->directory, &n[2].id);
    f->wall = at_minute(60 * 20);
    directory_expire(f->directory, f->wall);
    identity_advance(n[1].identity, f->wall);
    place(f, &n[1], "1.1.1.1:7");
    assert_null(successor(f, &n[0])); /* nobody is up there */
    directory_set_links(f->directory, &n[1].prefix, 1);
    const char *const asked[] = {"1.1.1.1", "1.1.1.1:7"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(former(f, asked[i], &first), 1);
        assert_memory_equal(&first, &n[0].id, sizeof first);
    }
    assert_int_equal(former(f, "1.1.1.1:9", &first), 0);
    assert_memory_equal(&successor(f, &n[0])->id, &n[1].id, sizeof first);
    assert_null(successor(f, &n[2]));
    /* The pin is the new one's: what the old one claims tells as much. */
    directory_unpin(f->directory, &ip);
    pin(f, &n[1], "1.1.1.1");
    assert_int_equal(former(f, "1.1.1.1", &first), 1);
    assert_memory_equal(&successor(f, &n[0])->id, &n[1].id, sizeof first);
    /* It is back, elsewhere: nobody took its place. */
    identity_advance(n[0].identity, f->wall);
    place(f, &n[0], "2.2.2.2:7");
    uint64_t both[] = {n[0].prefix, n[1].prefix};
    directory_set_links(f->directory, both, 2);
    assert_int_equal(former(f, "1.1.1.1", &first), 0);
    assert_null(successor(f, &n[0]));
}

/* It came with another port: as long as we run, it is known where the old one had been pinned. */
static void test_who_was_there_before_with_another_port(void **state) {
    struct fixture *f = *state;
    struct author *n = f->nodes;
    struct address ip = address("1.1.1.1");
    struct node_id first;

    place(f, &n[0], "1.1.1.1:7");
    pin(f, &n[0], "1.1.1.1");
    f->wall = at_minute(60 * 20);
    directory_expire(f->directory, f->wall);
    identity_advance(n[1].identity, f->wall);
    place(f, &n[1], "1.1.1.1:70");
    directory_set_links(f->directory, &n[1].prefix, 1);
    assert_int_equal(former(f, "1.1.1.1", &first), 1);
    directory_unpin(f->directory, &ip);
    assert_int_equal(former(f, "1.1.1.1", &first), 1);
    /* The same from the store, of one that had told no address: it had just started. */
    struct address nowhere = {.port = 0};
    n[4].descriptor.n_addresses = 0;
    f->wall = at_minute(30);
    sign(f, &n[4]);
    sign(f, &n[5]);
    f->wall = at_minute(60 * 20);
    directory_restore(f->directory, n[4].bytes, n[4].length, false, &ip, f->wall);
    assert_int_equal(former(f, "1.1.1.1", &first), 2);
    assert_false(directory_find(f->directory, &n[4].id)->pinned);
    assert_memory_equal(&successor(f, &n[4])->id, &n[1].id, sizeof first);
    directory_restore(f->directory, n[5].bytes, n[5].length, false, &nowhere, f->wall);
    assert_int_equal(former(f, "1.1.1.1", &first), 2);
}

static void test_resolve_ids(void **state) {
    struct fixture *f = *state;
    struct node_id ids[DIRECTORY_CANDIDATES_MAX];
    struct destination to = {.kind = DEST_ID};
    size_t n;

    offer_all(f, 3);
    memcpy(to.id, f->nodes[1].id.bytes, 32);
    assert_int_equal(resolve(f, to, ids, &n), RESOLVE_ONE);
    assert_memory_equal(&ids[0], &f->nodes[1].id, 32);
    to.id[31] ^= 1;
    assert_int_equal(resolve(f, to, ids, &n), RESOLVE_NONE);
    assert_int_equal(n, 0);
    to.kind = DEST_PREFIX;
    to.n_digits = 63; /* the one differing digit is the last */
    assert_int_equal(resolve(f, to, ids, &n), RESOLVE_ONE);
    to.n_digits = 64;
    assert_int_equal(resolve(f, to, ids, &n), RESOLVE_NONE);
    to.n_digits = 0;
    assert_int_equal(resolve(f, to, ids, &n), RESOLVE_AMBIGUOUS);
    assert_int_equal(n, 4); /* and ourselves */
    to.n_digits = 9;
    assert_int_equal(resolve(f, to, ids, &n), RESOLVE_ONE);
    to.id[4] ^= 0x0f; /* beyond the ninth digit */
    assert_int_equal(resolve(f, to, ids, &n), RESOLVE_ONE);
    to.id[4] ^= 0x10;
    assert_int_equal(resolve(f, to, ids, &n), RESOLVE_NONE);
    memcpy(to.id, f->self.id.bytes, 32);
    assert_int_equal(resolve(f, to, ids, &n), RESOLVE_SELF);
    to.kind = DEST_ID;
    assert_int_equal(resolve(f, to, ids, &n), RESOLVE_SELF);
}

static void test_resolve_names(void **state) {
    struct fixture *f = *state;
    struct node_id ids[DIRECTORY_CANDIDATES_MAX];
    struct destination to = {.kind = DEST_NAME, .name = "bob"};
    size_t n;

    assert_int_equal(resolve(f, to, ids, &n), RESOLVE_NONE);
    memcpy(f->nodes[0].descriptor.name, "bob", 4);
    memcpy(f->nodes[1].descriptor.name, "bobby", 6);
    offer_all(f, 2);
    assert_int_equal(resolve(f, to, ids, &n), RESOLVE_ONE);
    assert_memory_equal(&ids[0], &f->nodes[0].id, 32);
    memcpy(f->nodes[1].descriptor.name, "bob", 4);
    assert_int_equal(offer(f, &f->nodes[1]), DIRECTORY_NEWS);
    assert_int_equal(resolve(f, to, ids, &n), RESOLVE_AMBIGUOUS);
    assert_int_equal(n, 2);
    memcpy(f->nodes[0].descriptor.name, "eve", 4);
    assert_int_equal(offer(f, &f->nodes[0]), DIRECTORY_NEWS);
    assert_int_equal(resolve(f, to, ids, &n), RESOLVE_ONE);
    assert_memory_equal(&ids[0], &f->nodes[1].id, 32);
    memcpy(to.name, "me", 3);
    memcpy(f->self.descriptor.name, "me", 3);
    sign(f, &f->self);
    directory_set_self(f->directory, f->self.bytes, f->self.length, f->now);
    assert_int_equal(resolve(f, to, ids, &n), RESOLVE_SELF);
    to.name[0] = '\0';
    assert_int_equal(resolve(f, to, ids, &n), RESOLVE_NONE);
}

static void test_resolve_self_by_address(void **state) {
    struct fixture *f = *state;

    claim(&f->self, "2.2.2.2:58008");
    sign(f, &f->self);
    directory_set_self(f->directory, f->self.bytes, f->self.length, f->now);
    expect_at(f, "2.2.2.2", RESOLVE_SELF, &f->self, 1);
    place(f, &f->nodes[0], "2.2.2.2:9");
    expect_at(f, "2.2.2.2", RESOLVE_SELF, &f->self, 1);
    expect_at(f, "2.2.2.2:9", RESOLVE_ONE, &f->nodes[0], 1);
}

static void test_rival_claims_are_counted(void **state) {
    struct fixture *f = *state;
    struct address contested;

    claim(&f->nodes[0], "1.1.1.1:5");
    claim(&f->nodes[1], "1.1.1.1:6");
    claim(&f->nodes[2], "2.2.2.2:5");
    claim(&f->nodes[2], "1.1.1.1:6");
    offer_all(f, 2);
    assert_int_equal(directory_rivals(f->directory, &contested), 0);
    assert_int_equal(offer(f, &f->nodes[2]), DIRECTORY_NEWS);
    assert_int_equal(directory_rivals(f->directory, &contested), 1);
    assert_true(address_is_equal(&contested, &f->nodes[1].descriptor.addresses[0]));
    for (unsigned i = 0; i < 3; i++) /* a claim that stands is counted once */
        assert_int_equal(offer(f, &f->nodes[i]), DIRECTORY_NEWS);
    assert_int_equal(directory_rivals(f->directory, &contested), 1);
    f->wall = at_minute(30 + 60 * 24 * 30); /* those that are no more have no rivals */
    directory_expire(f->directory, f->wall);
    identity_advance(f->nodes[3].identity, f->wall);
    f->nodes[3].descriptor.sequence = (uint64_t)wall_ms(f->wall);
    claim(&f->nodes[3], "1.1.1.1:5");
    assert_int_equal(offer(f, &f->nodes[3]), DIRECTORY_NEWS);
    assert_int_equal(directory_rivals(f->directory, &contested), 1);
}

int main(int argc, char **argv) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_news_old_and_verbatim),
        TEST(test_forged_and_malformed),
        TEST(test_outbid),
        TEST(test_ourselves_by_others_word),
        TEST(test_prefix_taken),
        TEST(test_ahead_of_the_clock),
        TEST(test_keys_for_the_current_epoch),
        TEST(test_full),
        TEST(test_expiry_keeps_the_kept),
        TEST(test_kept_are_bounded),
        TEST(test_restore),
        TEST(test_random_is_over_the_live),
        TEST(test_links_need_both_words),
        TEST(test_digests),
        TEST(test_buckets),
        TEST(test_two_witnesses),
        TEST(test_witnesses_must_be_linked),
        TEST(test_witnesses_of_one_network),
        TEST(test_private_witnesses),
        TEST(test_handshake_counts),
        TEST(test_resolve_addresses),
        TEST(test_a_meeting_proves_for_a_while),
        TEST(test_false_witnesses_displace_nobody),
        TEST(test_false_witnesses_prove_nothing),
        TEST(test_four_networks_vouch),
        TEST(test_four_machines_vouch_in_private),
        TEST(test_witnesses_are_neighbours),
        TEST(test_the_likely_places_come_first),
        TEST(test_a_crowd_hides_nobody_we_know),
        TEST(test_candidates_are_bounded),
        TEST(test_resolve_pins),
        TEST(test_key_changed),
        TEST(test_who_is_seen),
        TEST(test_who_was_there_before),
        TEST(test_who_was_there_before_with_another_port),
        TEST(test_resolve_ids),
        TEST(test_resolve_names),
        TEST(test_resolve_self_by_address),
        TEST(test_rival_claims_are_counted),
    };

    if (!test_begin(argc, argv))
        return 1;
    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
