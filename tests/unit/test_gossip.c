/* link: daemon/core/gossip daemon/core/gossip_want daemon/core/directory daemon/core/directory_index daemon/core/directory_version daemon/core/directory_room daemon/core/directory_proof daemon/core/directory_resolve daemon/core/descriptor daemon/core/identity daemon/core/noise daemon/core/topology daemon/core/topology_draw shared/address proto/wire.pb-c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/gossip.h"
#include "daemon/core/wirebuf.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#define EPOCH INT64_C(500000)
#define DIRECTORY_MAX 20000
#define PEERS 6
#define AUTHORS 120
#define FRAMES_MAX 4096

static uint64_t option_seed = 1;

/* ---- A network in memory ---- */

struct frame {
    struct mono arrives;
    size_t from, to;
    uint8_t type;
    size_t length;
    uint8_t body[FRAME_BODY_MAX];
};
struct links { /* what a peer's gossip sends through */
    struct world *world;
    size_t self;
};
struct author {
    struct identity *identity;
    uint64_t prefix, sequence;
    uint8_t tag[VERSION_TAG_LEN]; /* of the last version */
};
struct peer {
    struct author author;
    struct links links;
    struct directory *directory;
    struct gossip *gossip;
    unsigned drops[DROP_COUNT];
};
struct world {
    uint64_t stream[2]; /* seed, next */
    struct core_random random;
    struct mono now;
    struct peer peers[PEERS];
    struct author authors[AUTHORS];
    bool linked[PEERS][PEERS];
    struct frame *frames; /* on their way */
    size_t n_frames;
    unsigned loss, full; /* of 100: frames lost; sends refused for a full queue */
    bool silent;         /* nothing is delivered, all is counted */
    unsigned sent[16];   /* by type */
    uint64_t source;     /* of those that are no peers */
};

static void stream_fill(void *context, void *buffer, size_t length) {
    uint64_t *stream = context;
    uint8_t seed[randombytes_SEEDBYTES] = {0};

    memcpy(seed, stream, 2 * sizeof *stream);
    stream[1]++;
    randombytes_buf_deterministic(buffer, length, seed);
}

static struct wall wall_of(const struct world *world) {
    return (struct wall){EPOCH * EPOCH_US + world->now.us};
}

static size_t peer_of(const struct world *world, uint64_t prefix) {
    size_t i = 0;

    while (i < PEERS && world->peers[i].author.prefix != prefix)
        i++;
    return i;
}

int links_send_frame(struct links *links, uint64_t prefix, uint8_t type, const void *body,
                     size_t length, struct mono now) {
    struct world *world = links->world;
    size_t to = peer_of(world, prefix);

    assert_true(length <= FRAME_BODY_MAX);
    if (random_below(&world->random, 100) < world->full)
        return -ENOBUFS;
    world->sent[type]++;
    if (world->silent)
        return 0;
    if (to == PEERS || !world->linked[links->self][to])
        return -ENOTCONN;
    if (random_below(&world->random, 100) < world->loss)
        return 0;
    assert_true(world->n_frames < FRAMES_MAX);
    struct frame *frame = &world->frames[world->n_frames++];
    int64_t delay = 1000 + (int64_t)random_below(&world->random, 80000);
    *frame = (struct frame){mono_add(now, delay), links->self, to, type, length, {0}};
    memcpy(frame->body, body, length);
    return 0;
}

uint64_t links_source(const struct links *links, uint64_t prefix) {
    return peer_of(links->world, prefix) == PEERS ? links->world->source : 0;
}

static int author_init(struct author *author, struct world *world) {
    uint8_t seeds[2][32];

    random_fill(&world->random, seeds, sizeof seeds);
    author->identity = identity_new(seeds[0], seeds[1], &world->random);
    if (!author->identity)
        return -1;
    identity_advance(author->identity, wall_of(world));
    author->prefix = node_id_prefix(identity_id(author->identity));
    author->sequence = 1000;
    return 0;
}

static size_t sign(struct world *world, struct author *author, uint8_t bytes[DESCRIPTOR_MAX]) {
    struct descriptor descriptor = {.sequence = ++author->sequence};
    int length = descriptor_sign(&descriptor, author->identity, wall_of(world), bytes);

    assert_true(length > 0);
    memcpy(author->tag, version_tag(bytes), VERSION_TAG_LEN);
    return (size_t)length;
}

static int peer_init(struct world *world, size_t i) {
    struct peer *peer = &world->peers[i];
    uint8_t bytes[DESCRIPTOR_MAX];

    if (author_init(&peer->author, world) < 0)
        return -1;
    peer->links = (struct links){world, i};
    peer->directory =
        directory_new(identity_id(peer->author.identity), DIRECTORY_MAX, &world->random);
    peer->gossip = gossip_new(peer->directory, &peer->links, &world->random);
    directory_set_self(peer->directory, bytes, sign(world, &peer->author, bytes), world->now);
    return peer->gossip ? 0 : -1;
}

static int world_init(struct world *world, uint64_t seed) {
    memset(world, 0, sizeof *world);
    world->stream[0] = seed;
    world->random = (struct core_random){stream_fill, world->stream};
    world->now = (struct mono){10 * US_PER_MINUTE};
    world->frames = calloc(FRAMES_MAX, sizeof *world->frames);
    for (size_t i = 0; i < AUTHORS; i++)
        if (author_init(&world->authors[i], world) < 0)
            return -1;
    for (size_t i = 0; i < PEERS; i++)
        if (peer_init(world, i) < 0)
            return -1;
    return world->frames ? 0 : -1;
}

static void world_deinit(struct world *world) {
    for (size_t i = 0; i < PEERS; i++) {
        gossip_free(world->peers[i].gossip);
        directory_free(world->peers[i].directory);
        identity_free(world->peers[i].author.identity);
    }
    for (size_t i = 0; i < AUTHORS; i++)
        identity_free(world->authors[i].identity);
    free(world->frames);
}

static int setup(void **state) {
    struct world *world = calloc(1, sizeof *world);

    *state = world;
    return world ? world_init(world, option_seed) : -1;
}

static int teardown(void **state) {
    world_deinit(*state);
    free(*state);
    return 0;
}

static void link_up(struct world *world, size_t a, size_t b) {
    world->linked[a][b] = world->linked[b][a] = true;
    gossip_link_up(world->peers[a].gossip, world->peers[b].author.prefix, world->now);
    gossip_link_up(world->peers[b].gossip, world->peers[a].author.prefix, world->now);
}

static void link_down(struct world *world, size_t a, size_t b) {
    world->linked[a][b] = world->linked[b][a] = false;
    gossip_link_down(world->peers[a].gossip, world->peers[b].author.prefix);
    gossip_link_down(world->peers[b].gossip, world->peers[a].author.prefix);
}

/* What the node does with a frame. */
static enum drop deliver_body(struct world *world, size_t to, uint64_t from, uint8_t type,
                              const uint8_t *body, size_t length) {
    struct peer *peer = &world->peers[to];
    const struct directory_entry *news = NULL;
    enum drop drop =
        gossip_frame(peer->gossip, from, type, body, length, world->now, wall_of(world), &news);

    if (news)
        gossip_offer_news(peer->gossip, news->prefix, from, world->now);
    peer->drops[drop]++;
    return drop;
}

static void publish(struct world *world, size_t at, struct author *author) {
    struct peer *peer = &world->peers[at];
    const struct directory_entry *entry;
    uint8_t bytes[DESCRIPTOR_MAX];
    enum drop drop;

    size_t length = sign(world, author, bytes);
    assert_int_equal(
        directory_offer(peer->directory, bytes, length, world->now, wall_of(world), &entry, &drop),
        DIRECTORY_NEWS);
    gossip_offer_news(peer->gossip, author->prefix, 0, world->now);
}

static struct mono next_event(const struct world *world) {
    struct mono next = MONO_NEVER;

    for (size_t i = 0; i < PEERS; i++)
        next = mono_min(next, gossip_next(world->peers[i].gossip));
    for (size_t i = 0; i < world->n_frames; i++)
        next = mono_min(next, world->frames[i].arrives);
    return next;
}

static void step(struct world *world) {
    for (size_t i = 0; i < world->n_frames;) {
        if (!mono_is_due(world->frames[i].arrives, world->now)) {
            i++;
            continue;
        }
        struct frame frame = world->frames[i];
        world->frames[i] = world->frames[--world->n_frames];
        if (world->linked[frame.from][frame.to])
            deliver_body(world, frame.to, world->peers[frame.from].author.prefix, frame.type,
                         frame.body, frame.length);
    }
    for (size_t i = 0; i < PEERS; i++) {
        gossip_tick(world->peers[i].gossip, world->now, wall_of(world));
        assert_true(gossip_next(world->peers[i].gossip).us > world->now.us); /* no spinning */
    }
}

static void run(struct world *world, int64_t us) {
    struct mono end = mono_add(world->now, us);

    for (;;) {
        struct mono next = next_event(world);
        if (next.us > end.us)
            break;
        if (next.us > world->now.us)
            world->now = next;
        step(world);
    }
    world->now = end;
}

static bool peers_agree(const struct world *world, size_t a, size_t b) {
    uint32_t x[DIRECTORY_BUCKETS], y[DIRECTORY_BUCKETS];

    directory_digest(world->peers[a].directory, MONO_NEVER, x);
    directory_digest(world->peers[b].directory, MONO_NEVER, y);
    return memcmp(x, y, sizeof x) == 0;
}

static bool all_agree(const struct world *world, size_t n_known) {
    for (size_t i = 0; i < PEERS; i++)
        if (!peers_agree(world, 0, i) || directory_count(world->peers[i].directory) != n_known)
            return false;
    return true;
}

/* ---- The same content everywhere ---- */

static void ring(struct world *world) {
    for (size_t i = 0; i < PEERS; i++)
        link_up(world, i, (i + 1) % PEERS);
}

static void test_links_bring_all_that_was_there(void **state) {
    struct world *world = *state;

    for (size_t i = 0; i < AUTHORS; i++)
        publish(world, i % PEERS, &world->authors[i]);
    ring(world);
    run(world, 3 * US_PER_S);
    assert_true(all_agree(world, AUTHORS + PEERS - 1));
    assert_int_equal(world->sent[FRAME_DIGEST], 2 * PEERS); /* none answers another */
}

static void test_news_travels_without_digests(void **state) {
    struct world *world = *state;

    ring(world);
    run(world, 5 * US_PER_S);
    unsigned digests = world->sent[FRAME_DIGEST];
    publish(world, 2, &world->authors[0]);
    run(world, PEERS / 2 * (GOSSIP_GATHER_MAX_US + 3 * 81000));
    assert_int_equal(world->sent[FRAME_DIGEST], digests);
    assert_true(all_agree(world, PEERS));
}

/* Once each: announced over every link, asked for and carried once a peer. */
static void test_nothing_is_sent_twice(void **state) {
    struct world *world = *state;

    ring(world);
    run(world, 5 * US_PER_S);
    unsigned carried = world->sent[FRAME_DESCRIPTOR];
    publish(world, 0, &world->authors[0]);
    run(world, 10 * US_PER_S);
    assert_int_equal(world->sent[FRAME_DESCRIPTOR] - carried, PEERS - 1);
}

static void converge(uint64_t seed, unsigned loss, unsigned full) {
    struct world *world = calloc(1, sizeof *world);

    assert_non_null(world);
    assert_int_equal(world_init(world, seed), 0);
    world->loss = loss;
    world->full = full;
    ring(world);
    link_up(world, 0, 3);
    for (size_t i = 0; i < AUTHORS; i++) {
        publish(world, (size_t)random_below(&world->random, PEERS), &world->authors[i]);
        run(world, (int64_t)random_below(&world->random, 400 * 1000));
    }
    for (size_t i = 0; i < AUTHORS; i += 5) /* newer ones, while others are still under way */
        publish(world, (size_t)random_below(&world->random, PEERS), &world->authors[i]);
    for (int minute = 0; minute < 20 && !all_agree(world, AUTHORS + PEERS - 1); minute++)
        run(world, US_PER_MINUTE);
    if (!all_agree(world, AUTHORS + PEERS - 1))
        fail_msg("seed %llu, loss %u%%: no agreement", (unsigned long long)seed, loss);
    world_deinit(world);
    free(world);
}

static void test_loss_is_mended(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 6; i++)
        converge(option_seed + i, (unsigned)i * 6, i % 2 ? 20 : 0);
}

static void test_partition_heals(void **state) {
    struct world *world = *state;

    ring(world);
    run(world, 5 * US_PER_S);
    link_down(world, 0, 1);
    link_down(world, 3, 4);
    for (size_t i = 0; i < 40; i++)
        publish(world, i % 2 ? 2 : 5, &world->authors[i]);
    run(world, 5 * US_PER_S);
    assert_false(peers_agree(world, 2, 5));
    assert_true(peers_agree(world, 1, 3));
    link_up(world, 0, 1);
    run(world, 3 * US_PER_S);
    assert_true(all_agree(world, 40 + PEERS - 1));
}

/* ---- One gossip, spoken to by hand ---- */

static uint64_t stranger(size_t i) {
    return UINT64_C(0x0100000000000000) * (i % 251) + i;
}

/* Make peer 0 the one under test, linked to others of whom only their prefixes exist. */
static struct peer *alone(struct world *world, size_t n_neighbours) {
    world->silent = true;
    for (size_t i = 1; i <= n_neighbours; i++)
        gossip_link_up(world->peers[0].gossip, world->peers[i].author.prefix, world->now);
    memset(world->sent, 0, sizeof world->sent);
    return &world->peers[0];
}

static enum drop say(struct world *world, size_t from, uint8_t type, const void *body,
                     size_t length) {
    return deliver_body(world, 0, world->peers[from].author.prefix, type, body, length);
}

static enum drop announce_version(struct world *world, size_t from, uint64_t prefix,
                                  uint64_t sequence, const uint8_t *tag) {
    uint8_t body[GOSSIP_ITEM_LEN];
    struct wire_writer w = wire_writer(body, sizeof body);

    wire_put_uint(&w, prefix, 8);
    wire_put_uint(&w, sequence, 6);
    wire_put(&w, tag, VERSION_TAG_LEN);
    return say(world, from, FRAME_ANNOUNCE, body, sizeof body);
}

static enum drop announce(struct world *world, size_t from, uint64_t prefix, uint64_t sequence) {
    static const uint8_t any[VERSION_TAG_LEN];
    return announce_version(world, from, prefix, sequence, any);
}

static enum drop announce_author(struct world *world, size_t from, const struct author *author) {
    return announce_version(world, from, author->prefix, author->sequence, author->tag);
}

static void pass(struct world *world, int64_t us) {
    world->now.us += us;
    gossip_tick(world->peers[0].gossip, world->now, wall_of(world));
}

static void test_malformed_frames(void **state) {
    struct world *world = *state;
    static const uint8_t zeros[FRAME_BODY_MAX];

    alone(world, 1);
    assert_int_equal(say(world, 1, FRAME_ANNOUNCE, zeros, 0), DROP_MALFORMED);
    assert_int_equal(say(world, 1, FRAME_ANNOUNCE, zeros, 29), DROP_MALFORMED);
    assert_int_equal(say(world, 1, FRAME_ANNOUNCE, zeros, 31), DROP_MALFORMED);
    assert_int_equal(say(world, 1, FRAME_ANNOUNCE, zeros, 30), DROP_NONE);
    assert_int_equal(say(world, 1, FRAME_PROOF, zeros, 0), DROP_MALFORMED);
    assert_int_equal(say(world, 1, FRAME_PROOF, zeros, PROOF_LEN - 1), DROP_MALFORMED);
    assert_int_equal(say(world, 1, FRAME_PROOF, zeros, PROOF_LEN + 1), DROP_MALFORMED);
    assert_int_equal(say(world, 1, FRAME_WANT, zeros, 0), DROP_MALFORMED);
    assert_int_equal(say(world, 1, FRAME_WANT, zeros, 9), DROP_MALFORMED);
    assert_int_equal(say(world, 1, FRAME_DIGEST, zeros, 1023), DROP_MALFORMED);
    assert_int_equal(say(world, 1, FRAME_DIGEST, zeros, 1025), DROP_MALFORMED);
    assert_int_equal(say(world, 1, FRAME_DIGEST, zeros, 1024), DROP_NONE);
    assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, zeros, 200), DROP_MALFORMED);
    assert_int_equal(say(world, 1, FRAME_PING, zeros, 8), DROP_MALFORMED);
    assert_int_equal(say(world, 2, FRAME_WANT, zeros, 8), DROP_UNKNOWN); /* no link */
}

static void test_one_announcer_then_the_next(void **state) {
    struct world *world = *state;

    alone(world, 3);
    announce_author(world, 1, &world->authors[0]);
    announce_author(world, 2, &world->authors[0]);
    announce_author(world, 2, &world->authors[0]);
    assert_int_equal(world->sent[FRAME_WANT], 1);
    pass(world, GOSSIP_ASK_US - 1);
    assert_int_equal(world->sent[FRAME_WANT], 1);
    pass(world, 1);
    pass(world, GOSSIP_ASK_GATHER_US);
    assert_int_equal(world->sent[FRAME_WANT], 2);
    for (int i = 0; i < 20; i++) {
        pass(world, GOSSIP_ASK_US);
        pass(world, GOSSIP_ASK_GATHER_US);
    }
    assert_int_equal(world->sent[FRAME_WANT], 2 * GOSSIP_ROUNDS); /* then it is given up */
}

/* One that answers when another has been asked is waited for longer the next time; a while of punctual answers ends that. */
static void test_the_slow_are_waited_for(void **state) {
    struct world *world = *state;
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t length = sign(world, &world->authors[0], bytes);

    alone(world, 2);
    announce_author(world, 1, &world->authors[0]);
    announce_author(world, 2, &world->authors[0]);
    pass(world, GOSSIP_ASK_US);
    pass(world, GOSSIP_ASK_GATHER_US);
    assert_int_equal(world->sent[FRAME_WANT], 2);
    assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, bytes, length), DROP_NONE); /* late */
    announce(world, 1, stranger(1), 1);
    announce(world, 2, stranger(1), 1);
    assert_int_equal(world->sent[FRAME_WANT], 3);
    pass(world, 2 * GOSSIP_ASK_US - 1);
    assert_int_equal(world->sent[FRAME_WANT], 3);
    pass(world, 1);
    pass(world, GOSSIP_ASK_GATHER_US);
    assert_int_equal(world->sent[FRAME_WANT], 4);
    for (size_t i = 1; i < 60; i++) {
        length = sign(world, &world->authors[i], bytes);
        announce_author(world, 1, &world->authors[i]);
        assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, bytes, length), DROP_NONE);
    }
    world->sent[FRAME_WANT] = 0;
    announce(world, 1, stranger(2), 1);
    announce(world, 2, stranger(2), 1);
    pass(world, GOSSIP_ASK_US);
    pass(world, GOSSIP_ASK_GATHER_US);
    assert_true(world->sent[FRAME_WANT] >= 2);
}

static void test_lost_announcer_is_replaced(void **state) {
    struct world *world = *state;
    struct peer *peer = alone(world, 2);

    announce_author(world, 1, &world->authors[0]);
    announce_author(world, 2, &world->authors[0]);
    gossip_link_down(peer->gossip, world->peers[1].author.prefix);
    assert_true(gossip_next(peer->gossip).us <= world->now.us + GOSSIP_ASK_GATHER_US);
    pass(world, GOSSIP_ASK_GATHER_US);
    assert_int_equal(world->sent[FRAME_WANT], 2);
    gossip_link_down(peer->gossip, world->peers[2].author.prefix);
    assert_int_equal(gossip_next(peer->gossip).us, MONO_NEVER.us);
}

static void test_only_what_was_asked_for_is_read(void **state) {
    struct world *world = *state;
    struct author *author = &world->authors[0];
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t length = sign(world, author, bytes);
    struct peer *peer = alone(world, 2);

    assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, bytes, length), DROP_UNKNOWN);
    announce_author(world, 1, author);
    assert_int_equal(say(world, 2, FRAME_DESCRIPTOR, bytes, length), DROP_UNKNOWN);
    assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, bytes, length), DROP_NONE);
    assert_int_equal(directory_count(peer->directory), 1);
    assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, bytes, length), DROP_UNKNOWN);
    pass(world, GOSSIP_GATHER_MAX_US);
    assert_int_equal(world->sent[FRAME_ANNOUNCE], 1); /* to the other alone */
}

/* A higher number claimed than exists must not keep what does exist from coming. */
static void test_false_sequence_does_not_starve(void **state) {
    struct world *world = *state;
    struct author *author = &world->authors[0];
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t length = sign(world, author, bytes);
    struct peer *peer = alone(world, 2);

    announce(world, 1, author->prefix, DESCRIPTOR_SEQUENCE_MAX);
    announce_author(world, 2, author);
    pass(world, GOSSIP_ASK_US);
    pass(world, GOSSIP_ASK_GATHER_US);
    assert_int_equal(world->sent[FRAME_WANT], 2);
    assert_int_equal(say(world, 2, FRAME_DESCRIPTOR, bytes, length), DROP_NONE);
    assert_int_equal(directory_count(peer->directory), 1);
}

static void test_forger_is_barred(void **state) {
    struct world *world = *state;
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t length = sign(world, &world->authors[0], bytes);

    alone(world, 2);
    announce_author(world, 1, &world->authors[0]);
    announce_author(world, 2, &world->authors[0]);
    bytes[0] ^= 1;
    assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, bytes, length), DROP_AUTH);
    pass(world, GOSSIP_ASK_GATHER_US);
    assert_int_equal(world->sent[FRAME_WANT], 2); /* the other one */
    assert_int_equal(announce_author(world, 1, &world->authors[1]), DROP_LIMIT);
    gossip_link_down(world->peers[0].gossip, world->peers[1].author.prefix);
    gossip_link_up(world->peers[0].gossip, world->peers[1].author.prefix, world->now);
    pass(world, GOSSIP_BARRED_US - GOSSIP_ASK_GATHER_US - 1);
    assert_int_equal(announce_author(world, 1, &world->authors[1]), DROP_LIMIT);
    pass(world, 1);
    assert_int_equal(announce_author(world, 1, &world->authors[1]), DROP_NONE);
}

static void test_two_versions_within_the_pace(void **state) {
    struct world *world = *state;
    struct author *author = &world->authors[0];
    struct peer *peer = alone(world, 1);

    publish(world, 0, author);
    announce(world, 1, stranger(1), 1);
    assert_int_equal(world->sent[FRAME_WANT], 1);
    world->now.us += GOSSIP_PACE_US - 1;
    announce(world, 1, author->prefix, author->sequence + 1);
    pass(world, 0);
    assert_int_equal(world->sent[FRAME_WANT], 1);
    assert_int_equal(gossip_next(peer->gossip).us, world->now.us + 1);
    pass(world, 1);
    pass(world, GOSSIP_ASK_GATHER_US);
    assert_int_equal(world->sent[FRAME_WANT], 2);
    publish(world, 0, &world->authors[1]);
    world->now.us += GOSSIP_PACE_US;
    announce(world, 1, world->authors[1].prefix, world->authors[1].sequence + 1);
    assert_int_equal(world->sent[FRAME_WANT], 3);
}

/* However much one node publishes, it is asked for at an honest one's pace; and those who pass it on are not held up by it. */
static void test_versions_at_the_pace_of_their_node(void **state) {
    struct world *world = *state;
    struct author *busy = &world->authors[0], *other = &world->authors[1];
    uint8_t bytes[DESCRIPTOR_MAX];
    unsigned taken = 0;

    alone(world, 1);
    publish(world, 0, busy);
    publish(world, 0, other);
    for (unsigned i = 0; i < 600;
         i++) { /* ten a second for a minute, each brought as soon as it is asked for */
        size_t length = sign(world, busy, bytes);
        unsigned asked = world->sent[FRAME_WANT];
        announce_author(world, 1, busy);
        pass(world, 100 * US_PER_MS);
        if (world->sent[FRAME_WANT] == asked)
            continue;
        assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, bytes, length), DROP_NONE);
        taken++;
    }
    assert_in_range(taken, PACE_BURST_SMALL, PACE_BURST_SMALL + US_PER_MINUTE / PACE_MIN_US);
    unsigned asked = world->sent[FRAME_WANT];
    announce(world, 1, other->prefix, other->sequence + 1);
    assert_int_equal(world->sent[FRAME_WANT], asked + 1);
}

/* What waits for its pace takes up no neighbour's window, is bounded, and goes with its announcers. */
static void test_what_waits_for_its_pace(void **state) {
    struct world *world = *state;
    struct peer *peer = alone(world, 2);

    for (size_t i = 1; i < AUTHORS; i++)
        for (unsigned k = 0; k < PACE_BURST_SMALL; k++)
            publish(world, 0, &world->authors[i]);
    for (size_t i = 1; i < AUTHORS; i++)
        announce(world, 1, world->authors[i].prefix, world->authors[i].sequence + 1);
    pass(world, US_PER_S);
    assert_int_equal(world->sent[FRAME_WANT], 0);
    announce_author(world, 1, &world->authors[0]); /* a newcomer */
    assert_int_equal(world->sent[FRAME_WANT], 1);
    announce(world, 2, world->authors[1].prefix, world->authors[1].sequence + 1);
    gossip_link_down(peer->gossip, world->peers[1].author.prefix);
    pass(world, PACE_MIN_US * PACE_BURST_SMALL);
    pass(world, GOSSIP_ASK_GATHER_US);
    assert_int_equal(world->sent[FRAME_WANT], 2); /* the one that another announced */
    gossip_link_down(peer->gossip, world->peers[2].author.prefix);
    pass(world, 0);
    assert_int_equal(gossip_next(peer->gossip).us, MONO_NEVER.us);
}

/* ---- Two versions of one sequence ---- */

/* The same sequence again, with something else in it. */
static size_t sign_second(struct world *world, struct author *author,
                          uint8_t bytes[DESCRIPTOR_MAX]) {
    struct descriptor descriptor = {.sequence = author->sequence, .name = "other", .relay = true};
    int length = descriptor_sign(&descriptor, author->identity, wall_of(world), bytes);

    assert_true(length > 0);
    return (size_t)length;
}

static void enter(struct world *world, size_t at, const uint8_t *bytes, size_t length) {
    const struct directory_entry *entry;
    enum drop drop;

    assert_int_equal(directory_offer(world->peers[at].directory, bytes, length, world->now,
                                     wall_of(world), &entry, &drop),
                     DIRECTORY_NEWS);
    gossip_offer_news(world->peers[at].gossip, entry->prefix, 0, world->now);
}

static const struct directory_entry *held_by(const struct world *world, size_t at,
                                             const struct author *author) {
    return directory_find_prefix(world->peers[at].directory, author->prefix);
}

/* One is told to one side, the other to the other: both sides end with the same one, and with the proof. */
static void test_two_versions_meet(void **state) {
    struct world *world = *state;
    struct author *author = &world->authors[0];
    uint8_t first[DESCRIPTOR_MAX], second[DESCRIPTOR_MAX];

    ring(world);
    run(world, 5 * US_PER_S);
    size_t length = sign(world, author, first), length_2 = sign_second(world, author, second);
    enter(world, 0, first, length);
    enter(world, PEERS / 2, second, length_2);
    run(world, 5 * US_PER_S);
    assert_true(all_agree(world, PEERS));
    for (size_t i = 0; i < PEERS; i++) {
        assert_true(held_by(world, i, author)->convicted);
        assert_memory_equal(held_by(world, i, author)->tag, held_by(world, 0, author)->tag,
                            VERSION_TAG_LEN);
    }
}

/* Its node publishes anew at once, and nobody holds the sequence any more: the proof goes its way all the same. */
static void test_a_proof_outlives_its_sequence(void **state) {
    struct world *world = *state;
    struct author *author = &world->authors[0];
    uint8_t bytes[DESCRIPTOR_MAX], second[DESCRIPTOR_MAX];
    const struct directory_entry *entry;
    enum drop drop;

    ring(world);
    publish(world, 0, author);
    run(world, 5 * US_PER_S);
    size_t length = sign_second(world, author, second);
    (void)directory_offer(world->peers[0].directory, second, length, world->now, wall_of(world),
                          &entry, &drop);
    length = sign(world, author, bytes);
    enter(world, 0, bytes, length);
    enter(world, 3, bytes, length);
    run(world, 5 * US_PER_S);
    for (size_t i = 0; i < PEERS; i++)
        assert_true(held_by(world, i, author)->convicted);
    assert_true(all_agree(world, PEERS));
}

/* Whoever comes later gets it by the digests. */
static void test_a_newcomer_is_told_of_proofs(void **state) {
    struct world *world = *state;
    struct author *author = &world->authors[0];
    uint8_t second[DESCRIPTOR_MAX];
    const struct directory_entry *entry;
    enum drop drop;

    for (size_t i = 0; i + 2 < PEERS; i++)
        link_up(world, i, i + 1);
    publish(world, 0, author);
    size_t length = sign_second(world, author, second);
    (void)directory_offer(world->peers[0].directory, second, length, world->now, wall_of(world),
                          &entry, &drop);
    run(world, 5 * US_PER_S);
    link_up(world, 0, PEERS - 1);
    run(world, 3 * US_PER_MINUTE);
    assert_true(held_by(world, PEERS - 1, author)->convicted);
    assert_true(all_agree(world, PEERS));
}

static void test_a_false_proof_bars_its_bearer(void **state) {
    struct world *world = *state;
    struct author *author = &world->authors[0];
    uint8_t first[DESCRIPTOR_MAX], second[DESCRIPTOR_MAX], proof[PROOF_LEN];
    struct descriptor one, two;
    struct descriptor_seal seals[2];

    alone(world, 2);
    size_t length = sign(world, author, first), length_2 = sign_second(world, author, second);
    enter(world, 0, first, length);
    assert_int_equal(descriptor_decode(first, length, &one), DROP_NONE);
    assert_int_equal(descriptor_decode(second, length_2, &two), DROP_NONE);
    proof_seal(first, length, &one, &seals[0]);
    proof_seal(second, length_2, &two, &seals[1]);
    seals[1].signature[3] ^= 1;
    proof_write(&one.id, one.sequence, &seals[0], &seals[1], proof);
    assert_int_equal(say(world, 1, FRAME_PROOF, proof, sizeof proof), DROP_AUTH);
    assert_false(held_by(world, 0, author)->convicted);
    assert_int_equal(say(world, 1, FRAME_PROOF, proof, sizeof proof), DROP_LIMIT);
    assert_int_equal(announce(world, 1, stranger(1), 1), DROP_LIMIT);
    seals[1].signature[3] ^= 1;
    proof_write(&one.id, one.sequence, &seals[0], &seals[1], proof);
    assert_int_equal(say(world, 2, FRAME_PROOF, proof, sizeof proof), DROP_NONE);
    assert_true(held_by(world, 0, author)->convicted);
    pass(world, 0);
    assert_int_equal(world->sent[FRAME_PROOF], 2); /* told to all */
    assert_int_equal(say(world, 2, FRAME_PROOF, proof, sizeof proof), DROP_NONE);
    pass(world, 0);
    assert_int_equal(world->sent[FRAME_PROOF], 2); /* once */
}

/* ---- Bounds ---- */

static void test_newcomers_at_a_rate(void **state) {
    struct world *world = *state;
    size_t i = 0;

    alone(world, 2);
    while (i < GOSSIP_NEWCOMER_BURST)
        assert_int_equal(announce(world, 1, stranger(i++), 1), DROP_NONE);
    assert_int_equal(announce(world, 1, stranger(i), 1), DROP_LIMIT);
    assert_int_equal(announce(world, 1, stranger(0), 1), DROP_NONE); /* wanted already */
    assert_int_equal(announce(world, 2, stranger(i), 1), DROP_NONE); /* another's allowance */
    gossip_link_down(world->peers[0].gossip, world->peers[1].author.prefix);
    gossip_link_up(world->peers[0].gossip, world->peers[1].author.prefix, world->now);
    assert_int_equal(announce(world, 1, stranger(++i), 1), DROP_LIMIT); /* nor by redialling */
    world->now.us += US_PER_S;
    for (int n = 0; n < GOSSIP_NEWCOMER_RATE; n++)
        assert_int_equal(announce(world, 1, stranger(i++), 1), DROP_NONE);
    assert_int_equal(announce(world, 1, stranger(i), 1), DROP_LIMIT);
}

static void test_window(void **state) {
    struct world *world = *state;
    uint8_t bytes[DESCRIPTOR_MAX];

    alone(world, 1);
    for (size_t i = 0; i < GOSSIP_WINDOW - 1; i++)
        announce(world, 1, stranger(i), 1);
    announce_author(world, 1, &world->authors[0]);
    assert_int_equal(world->sent[FRAME_WANT], GOSSIP_WINDOW);
    announce(world, 1, stranger(GOSSIP_WINDOW), 1);
    assert_int_equal(world->sent[FRAME_WANT], GOSSIP_WINDOW);
    world->authors[0].sequence--;
    size_t length = sign(world, &world->authors[0], bytes);
    assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, bytes, length), DROP_NONE);
    pass(world, GOSSIP_ASK_GATHER_US);
    assert_int_equal(world->sent[FRAME_WANT], GOSSIP_WINDOW + 1); /* an answer makes room */
}

/* Wants of one neighbour: what it brings anew is limited by its rate long before, so it announces
 * newer versions. */
static void test_wants_of_a_neighbour_and_in_all(void **state) {
    struct world *world = *state;
    size_t i = 0;

    alone(world, 4);
    for (size_t from = 1; from <= 4; from++)
        for (size_t n = 0; n < GOSSIP_NEWCOMER_BURST; n++)
            assert_int_equal(announce(world, from, stranger(i++), 1), DROP_NONE);
    assert_int_equal(i, GOSSIP_WANTS_MAX);
    world->now.us += US_PER_S;
    assert_int_equal(announce(world, 1, stranger(i), 1), DROP_LIMIT);
    gossip_link_down(world->peers[0].gossip, world->peers[4].author.prefix);
    assert_int_equal(announce(world, 1, stranger(i), 1), DROP_NONE);
}

static void test_wants_of_one_neighbour(void **state) {
    struct world *world = *state;
    size_t i = 0, n = 0;

    alone(world, 1);
    while (n < GOSSIP_WANTS_NEIGHBOUR_MAX) {
        if (announce(world, 1, stranger(i), 1) == DROP_NONE) {
            i++;
            n++;
        } else {
            world->now.us += US_PER_S; /* no tick: nothing times out */
        }
    }
    world->now.us += US_PER_S;
    assert_int_equal(announce(world, 1, stranger(i), 1), DROP_LIMIT);
}

static void test_full_directory_wants_nobody_new(void **state) {
    struct world *world = *state;
    struct peer *peer = &world->peers[0];
    struct author *resident = &world->authors[0];

    gossip_free(peer->gossip);
    directory_free(peer->directory);
    peer->directory = directory_new(identity_id(peer->author.identity), 1, &world->random);
    peer->gossip = gossip_new(peer->directory, &peer->links, &world->random);
    alone(world, 1);
    publish(world, 0, resident);
    world->now.us += US_PER_S;
    assert_int_equal(announce(world, 1, stranger(1), 1), DROP_LIMIT);
    assert_int_equal(announce(world, 1, resident->prefix, resident->sequence + 1), DROP_NONE);
}

/* A frame of questions, after so much news that they may be asked. */
static enum drop ask_much(struct world *world, size_t n) {
    uint8_t body[8 * GOSSIP_WANT_ITEMS];
    struct wire_writer w = wire_writer(body, sizeof body);

    for (size_t i = 0; i < 2 * GOSSIP_WANT_ITEMS; i++)
        publish(world, 0, &world->authors[1 + i % (AUTHORS - 1)]);
    for (size_t i = 0; i < n; i++)
        wire_put_uint(&w, world->authors[0].prefix, 8);
    return say(world, 1, FRAME_WANT, body, 8 * n);
}

static void test_answers_at_a_rate(void **state) {
    struct world *world = *state;

    alone(world, 1);
    publish(world, 0, &world->authors[0]);
    assert_int_equal(ask_much(world, GOSSIP_WANT_ITEMS), DROP_NONE);
    assert_int_equal(world->sent[FRAME_DESCRIPTOR], GOSSIP_ANSWER_BURST);
    size_t queued = GOSSIP_WANT_ITEMS - GOSSIP_ANSWER_BURST;
    while (queued + GOSSIP_WANT_ITEMS <= GOSSIP_ANSWERS_MAX) {
        assert_int_equal(ask_much(world, GOSSIP_WANT_ITEMS), DROP_NONE);
        queued += GOSSIP_WANT_ITEMS;
    }
    size_t room = GOSSIP_ANSWERS_MAX - queued;
    assert_int_equal(ask_much(world, room), DROP_NONE);
    assert_int_equal(ask_much(world, 1), DROP_LIMIT);
    pass(world, 10 * US_PER_MS);
    assert_int_equal(world->sent[FRAME_DESCRIPTOR], GOSSIP_ANSWER_BURST + GOSSIP_ANSWER_RATE / 100);
    for (int i = 0; i < 1000; i++)
        pass(world, US_PER_MS);
    assert_int_equal(world->sent[FRAME_DESCRIPTOR], GOSSIP_ANSWER_BURST + GOSSIP_ANSWERS_MAX);
}

static unsigned ask(struct world *world, const struct author *author, unsigned n) {
    uint8_t body[8];
    struct wire_writer w = wire_writer(body, sizeof body);
    unsigned before = world->sent[FRAME_DESCRIPTOR];

    wire_put_uint(&w, author->prefix, 8);
    for (unsigned i = 0; i < n; i++) {
        say(world, 1, FRAME_WANT, body, sizeof body);
        pass(world, US_PER_MS);
    }
    return world->sent[FRAME_DESCRIPTOR] - before;
}

/* All that is known twice, and then what is new: not what was given already, however often it is asked for. */
static void test_answers_are_as_many_as_there_is_news(void **state) {
    struct world *world = *state;
    unsigned all = 2 * (10 + 1) + GOSSIP_ASKED_SPARE;

    for (size_t i = 0; i < 10; i++)
        publish(world, 0, &world->authors[i]);
    alone(world, 1);
    world->now.us += US_PER_MINUTE;
    assert_int_equal(ask(world, &world->authors[0], 400), all);
    assert_int_equal(world->peers[0].drops[DROP_LIMIT], 400 - all);
    publish(world, 0, &world->authors[0]);
    assert_int_equal(ask(world, &world->authors[0], 400), 1);
    gossip_link_down(world->peers[0].gossip, world->peers[1].author.prefix);
    gossip_link_up(world->peers[0].gossip, world->peers[1].author.prefix, world->now);
    /* Redialling renews nothing, but for one a second. */
    assert_in_range(ask(world, &world->authors[0], 400), 0, 1);
    pass(world, GOSSIP_ASKED_ALL_S * US_PER_S);
    assert_in_range(ask(world, &world->authors[0], 400), 11, all);
}

/* A new identity asks 400 times, and shows an empty digest; its link ends. */
static void come_and_ask(struct world *world, const struct author *author) {
    static uint64_t prefix = 0x7070;
    struct gossip *gossip = world->peers[0].gossip;
    uint8_t body[8], digest[4 * DIRECTORY_BUCKETS] = {0};
    struct wire_writer w = wire_writer(body, sizeof body);

    wire_put_uint(&w, author->prefix, 8);
    gossip_link_up(gossip, ++prefix, world->now);
    deliver_body(world, 0, prefix, FRAME_DIGEST, digest, sizeof digest);
    for (int i = 0; i < 400; i++) {
        deliver_body(world, 0, prefix, FRAME_WANT, body, sizeof body);
        world->now.us += 500; /* no faster than it is answered */
        gossip_tick(gossip, world->now, wall_of(world));
    }
    gossip_link_down(gossip, prefix);
}

/* Identities are free: from one address what was used up is gone, from another it is not. */
static void test_a_new_identity_renews_no_answers(void **state) {
    struct world *world = *state;
    unsigned all = 2 * (1 + 1 + 1) + GOSSIP_ASKED_SPARE; /* one known, and one told as news */

    publish(world, 0, &world->authors[0]);
    world->silent = true;
    for (world->source = 1; world->source <= 2; world->source++) {
        memset(world->sent, 0, sizeof world->sent);
        for (int i = 0; i < 50; i++) /* a fifth of a second each: one is given back a second */
            come_and_ask(world, &world->authors[0]);
        print_message("%u answers, %u lists\n", world->sent[FRAME_DESCRIPTOR],
                      world->sent[FRAME_ANNOUNCE]);
        assert_in_range(world->sent[FRAME_DESCRIPTOR], all - 2, all + 10);
        assert_in_range(world->sent[FRAME_ANNOUNCE], GOSSIP_DIGEST_BURST, GOSSIP_DIGEST_BURST + 1);
    }
    pass(world, GOSSIP_ASKED_ALL_S * US_PER_S);
    memset(world->sent, 0, sizeof world->sent);
    come_and_ask(world, &world->authors[0]);
    assert_in_range(world->sent[FRAME_DESCRIPTOR], all - 4, all);
    world->source = 0; /* unknown: as it was */
    for (int i = 0; i < 2; i++) {
        memset(world->sent, 0, sizeof world->sent);
        come_and_ask(world, &world->authors[0]);
        assert_in_range(world->sent[FRAME_DESCRIPTOR], all - 4, all);
    }
}

static void test_unknown_wants_are_not_answered(void **state) {
    struct world *world = *state;
    uint8_t body[8] = {1};

    alone(world, 1);
    assert_int_equal(say(world, 1, FRAME_WANT, body, sizeof body), DROP_NONE);
    assert_int_equal(world->sent[FRAME_DESCRIPTOR], 0);
}

static void test_digests_at_a_rate(void **state) {
    struct world *world = *state;
    uint8_t other[4 * DIRECTORY_BUCKETS];

    memset(other, 0xff, sizeof other);
    alone(world, 1);
    for (int i = 0; i < GOSSIP_DIGEST_BURST; i++)
        assert_int_equal(say(world, 1, FRAME_DIGEST, other, sizeof other), DROP_NONE);
    assert_int_equal(world->sent[FRAME_ANNOUNCE], GOSSIP_DIGEST_BURST); /* of ourselves */
    assert_int_equal(say(world, 1, FRAME_DIGEST, other, sizeof other), DROP_LIMIT);
    world->now.us += 30 * US_PER_S - 1;
    assert_int_equal(say(world, 1, FRAME_DIGEST, other, sizeof other), DROP_LIMIT);
    world->now.us += 1;
    assert_int_equal(say(world, 1, FRAME_DIGEST, other, sizeof other), DROP_NONE);
}

static void say_digest(struct world *world, struct mono before) {
    uint32_t digest[DIRECTORY_BUCKETS];
    uint8_t body[4 * DIRECTORY_BUCKETS];
    struct wire_writer w = wire_writer(body, sizeof body);

    directory_digest(world->peers[0].directory, before, digest);
    for (size_t i = 0; i < DIRECTORY_BUCKETS; i++)
        wire_put_uint(&w, digest[i], 4);
    assert_int_equal(say(world, 1, FRAME_DIGEST, body, sizeof body), DROP_NONE);
}

/* The first digest is of everything; later ones agree if they do so with our old entries or with
 * all of ours. */
static void test_digest_of_either_age(void **state) {
    struct world *world = *state;

    alone(world, 1);
    publish(world, 0, &world->authors[0]);
    pass(world, 90 * US_PER_S);
    publish(world, 0, &world->authors[1]);
    pass(world, US_PER_S);
    struct mono minute_ago = mono_add(world->now, -GOSSIP_DIGEST_AGE_US);
    unsigned announced = world->sent[FRAME_ANNOUNCE];
    say_digest(world, minute_ago);
    assert_int_equal(world->sent[FRAME_ANNOUNCE], announced + 1); /* as the first: it lacks one */
    say_digest(world, minute_ago);
    say_digest(world, MONO_NEVER);
    assert_int_equal(world->sent[FRAME_ANNOUNCE], announced + 1);
    pass(world, 30 * US_PER_S);
    say_digest(world, (struct mono){0}); /* it lacks what is old */
    assert_int_equal(world->sent[FRAME_ANNOUNCE], announced + 2);
}

static void test_announcements_are_gathered(void **state) {
    struct world *world = *state;
    struct peer *peer = alone(world, 1);

    for (size_t i = 0; i < GOSSIP_ANNOUNCE_ITEMS - 1; i++)
        publish(world, 0, &world->authors[i]);
    publish(world, 0, &world->authors[0]); /* there already */
    assert_int_equal(world->sent[FRAME_ANNOUNCE], 0);
    struct mono due = gossip_next(peer->gossip);
    assert_in_range(due.us - world->now.us, GOSSIP_GATHER_MIN_US,
                    GOSSIP_GATHER_MAX_US + GOSSIP_GATHER_NEWS_US);
    publish(world, 0, &world->authors[GOSSIP_ANNOUNCE_ITEMS]); /* that fills a frame */
    assert_int_equal(world->sent[FRAME_ANNOUNCE], 1);
    publish(world, 0, &world->authors[1]);
    due = gossip_next(peer->gossip); /* after so much news it waits for more of it */
    assert_in_range(due.us - world->now.us, GOSSIP_GATHER_MIN_US + 35 * GOSSIP_GATHER_NEWS_US,
                    GOSSIP_GATHER_MAX_US + GOSSIP_GATHER_MORE_US);
    pass(world, due.us - world->now.us);
    assert_int_equal(world->sent[FRAME_ANNOUNCE], 2);
    pass(world, US_PER_S); /* quiet */
    publish(world, 0, &world->authors[2]);
    due = gossip_next(peer->gossip);
    assert_in_range(due.us - world->now.us, GOSSIP_GATHER_MIN_US,
                    GOSSIP_GATHER_MAX_US + GOSSIP_GATHER_NEWS_US);
}

/* News goes to those alone who have not told of it themselves. */
static void test_who_announced_it_is_not_told(void **state) {
    struct world *world = *state;
    struct author *author = &world->authors[0];
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t length = sign(world, author, bytes);

    alone(world, 4);
    announce_author(world, 1, author);
    announce_author(world, 2, author);                        /* has the same one */
    announce(world, 3, author->prefix, author->sequence - 1); /* an older one */
    assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, bytes, length), DROP_NONE);
    announce_author(world, 4, author); /* tells us before we tell it */
    pass(world, GOSSIP_GATHER_MAX_US + GOSSIP_GATHER_NEWS_US);
    assert_int_equal(world->sent[FRAME_ANNOUNCE], 1);
}

static void test_digest_every_minute(void **state) {
    struct world *world = *state;

    alone(world, 2);
    pass(world, GOSSIP_DIGEST_US - 1);
    assert_int_equal(world->sent[FRAME_DIGEST], 0);
    pass(world, 1);
    assert_int_equal(world->sent[FRAME_DIGEST], 2);
}

/* More links than there are slots: the further one is not heard; each that ends makes room. */
static void test_slots(void **state) {
    struct world *world = *state;
    struct gossip *gossip = world->peers[0].gossip;
    uint8_t want[8] = {0};

    world->silent = true;
    for (uint64_t i = 1; i <= LINK_SLOTS + 1; i++)
        gossip_link_up(gossip, i, world->now);
    assert_int_equal(deliver_body(world, 0, LINK_SLOTS, FRAME_WANT, want, 8), DROP_NONE);
    assert_int_equal(deliver_body(world, 0, LINK_SLOTS + 1, FRAME_WANT, want, 8), DROP_UNKNOWN);
    gossip_link_down(gossip, 7);
    gossip_link_up(gossip, LINK_SLOTS + 1, world->now);
    assert_int_equal(deliver_body(world, 0, LINK_SLOTS + 1, FRAME_WANT, want, 8), DROP_NONE);
    assert_int_equal(deliver_body(world, 0, 7, FRAME_WANT, want, 8), DROP_UNKNOWN);
}

int main(int argc, char **argv) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_links_bring_all_that_was_there),
        TEST(test_news_travels_without_digests),
        TEST(test_nothing_is_sent_twice),
        TEST(test_loss_is_mended),
        TEST(test_partition_heals),
        TEST(test_malformed_frames),
        TEST(test_one_announcer_then_the_next),
        TEST(test_the_slow_are_waited_for),
        TEST(test_lost_announcer_is_replaced),
        TEST(test_only_what_was_asked_for_is_read),
        TEST(test_false_sequence_does_not_starve),
        TEST(test_forger_is_barred),
        TEST(test_two_versions_within_the_pace),
        TEST(test_versions_at_the_pace_of_their_node),
        TEST(test_what_waits_for_its_pace),
        TEST(test_two_versions_meet),
        TEST(test_a_proof_outlives_its_sequence),
        TEST(test_a_newcomer_is_told_of_proofs),
        TEST(test_a_false_proof_bars_its_bearer),
        TEST(test_newcomers_at_a_rate),
        TEST(test_window),
        TEST(test_wants_of_a_neighbour_and_in_all),
        TEST(test_wants_of_one_neighbour),
        TEST(test_full_directory_wants_nobody_new),
        TEST(test_answers_at_a_rate),
        TEST(test_answers_are_as_many_as_there_is_news),
        TEST(test_a_new_identity_renews_no_answers),
        TEST(test_unknown_wants_are_not_answered),
        TEST(test_digests_at_a_rate),
        TEST(test_digest_of_either_age),
        TEST(test_announcements_are_gathered),
        TEST(test_who_announced_it_is_not_told),
        TEST(test_digest_every_minute),
        TEST(test_slots),
    };

    for (int option; (option = getopt(argc, argv, "s:")) != -1;)
        if (option == 's')
            option_seed = strtoull(optarg, NULL, 0);
    print_message("seed %llu\n", (unsigned long long)option_seed);
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests_name("gossip", tests, NULL, NULL);
}
