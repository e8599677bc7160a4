/* Gossips of several nodes in one process, on a clock of our own, and one of them spoken to by
 * hand. */
#ifndef P2PD_TESTS_GOSSIP_WORLD_H
#define P2PD_TESTS_GOSSIP_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/overlay/gossip_private.h"
#include "tests/unit/harness.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#define EPOCH INT64_C(500000)
#define DIRECTORY_MAX 20000
#define PEERS 6
#define AUTHORS 120
#define FRAMES_MAX 4096

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
    struct test_stream stream;
    struct core_random random;
    struct budget budget;
    struct mono now;
    struct peer peers[PEERS];
    struct author authors[AUTHORS];
    bool linked[PEERS][PEERS];
    struct frame *frames; /* on their way */
    size_t n_frames;
    unsigned loss, full; /* of 100: frames lost; sends refused for a full queue */
    bool silent;         /* nothing is delivered, all is counted */
    bool blocked;        /* the mute take nothing */
    bool mute[PEERS];    /* takes what it is sent, as does whoever is no peer, and says nothing */
    int64_t slow_us[PEERS]; /* so much longer is all under way that this one sends */
    unsigned sent[16];      /* by type */
    uint64_t source;        /* of those that are no peers */
};

static inline struct wall wall_of(const struct world *world) {
    return (struct wall){EPOCH * EPOCH_US + world->now.us};
}

static inline size_t peer_of(const struct world *world, uint64_t prefix) {
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
    if (to == PEERS || world->mute[to])
        return world->blocked ? -ENOBUFS : 0;
    if (!world->linked[links->self][to])
        return -ENOTCONN;
    if (random_below(&world->random, 100) < world->loss)
        return 0;
    assert_true(world->n_frames < FRAMES_MAX);
    struct frame *frame = &world->frames[world->n_frames++];
    int64_t delay =
        1000 + (int64_t)random_below(&world->random, 80000) + world->slow_us[links->self];
    *frame = (struct frame){mono_add(now, delay), links->self, to, type, length, {0}};
    memcpy(frame->body, body, length);
    return 0;
}

uint64_t links_source(const struct links *links, uint64_t prefix) {
    return peer_of(links->world, prefix) == PEERS ? links->world->source : 0;
}

static inline int author_init(struct author *author, struct world *world) {
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

static inline size_t sign(struct world *world, struct author *author,
                          uint8_t bytes[DESCRIPTOR_MAX]) {
    struct descriptor descriptor = {.sequence = ++author->sequence};
    int length = descriptor_sign(&descriptor, author->identity, wall_of(world), bytes);

    assert_true(length > 0);
    memcpy(author->tag, version_tag(bytes), VERSION_TAG_LEN);
    return (size_t)length;
}

static inline int peer_init(struct world *world, size_t i) {
    struct peer *peer = &world->peers[i];
    uint8_t bytes[DESCRIPTOR_MAX];

    if (author_init(&peer->author, world) < 0)
        return -1;
    peer->links = (struct links){world, i};
    peer->directory =
        directory_new(identity_id(peer->author.identity), DIRECTORY_MAX, &world->random);
    peer->gossip = gossip_new(peer->directory, &peer->links, &world->budget, &world->random);
    directory_set_self(peer->directory, bytes, sign(world, &peer->author, bytes), world->now);
    return peer->gossip ? 0 : -1;
}

static inline int world_init(struct world *world, uint64_t seed) {
    memset(world, 0, sizeof *world);
    world->stream.state = seed;
    world->random = (struct core_random){test_fill, &world->stream};
    world->now = (struct mono){10 * US_PER_MINUTE};
    budget_init(&world->budget, 64u << 20);
    world->frames = calloc(FRAMES_MAX, sizeof *world->frames);
    for (size_t i = 0; i < AUTHORS; i++)
        if (author_init(&world->authors[i], world) < 0)
            return -1;
    for (size_t i = 0; i < PEERS; i++)
        if (peer_init(world, i) < 0)
            return -1;
    return world->frames ? 0 : -1;
}

static inline void world_deinit(struct world *world) {
    for (size_t i = 0; i < PEERS; i++) {
        gossip_free(world->peers[i].gossip);
        directory_free(world->peers[i].directory);
        identity_free(world->peers[i].author.identity);
    }
    for (size_t i = 0; i < AUTHORS; i++)
        identity_free(world->authors[i].identity);
    free(world->frames);
}

static inline int setup(void **state) {
    struct world *world = calloc(1, sizeof *world);

    *state = world;
    return world ? world_init(world, test_seed) : -1;
}

static inline int teardown(void **state) {
    world_deinit(*state);
    free(*state);
    return 0;
}

static inline void link_up(struct world *world, size_t a, size_t b) {
    world->linked[a][b] = world->linked[b][a] = true;
    gossip_link_up(world->peers[a].gossip, world->peers[b].author.prefix, world->now);
    gossip_link_up(world->peers[b].gossip, world->peers[a].author.prefix, world->now);
}

static inline void link_down(struct world *world, size_t a, size_t b) {
    world->linked[a][b] = world->linked[b][a] = false;
    gossip_link_down(world->peers[a].gossip, world->peers[b].author.prefix);
    gossip_link_down(world->peers[b].gossip, world->peers[a].author.prefix);
}

/* What the node does with a frame. */
static inline enum drop deliver_body(struct world *world, size_t to, uint64_t from, uint8_t type,
                                     const uint8_t *body, size_t length) {
    struct peer *peer = &world->peers[to];
    const struct directory_entry *news = NULL;
    enum drop drop = gossip_frame(peer->gossip, from, type, body, length,
                                  (struct now){world->now, wall_of(world)}, &news);

    if (news)
        gossip_offer_news(peer->gossip, news->prefix, from, world->now);
    peer->drops[drop]++;
    return drop;
}

static inline void publish(struct world *world, size_t at, struct author *author) {
    struct peer *peer = &world->peers[at];
    const struct directory_entry *entry;
    uint8_t bytes[DESCRIPTOR_MAX];
    enum drop drop;

    size_t length = sign(world, author, bytes);
    assert_int_equal(directory_offer(peer->directory, bytes, length,
                                     (struct now){world->now, wall_of(world)}, &entry, &drop),
                     DIRECTORY_NEWS);
    gossip_offer_news(peer->gossip, author->prefix, 0, world->now);
}

static inline struct mono next_event(const struct world *world) {
    struct mono next = MONO_NEVER;

    for (size_t i = 0; i < PEERS; i++)
        next = mono_min(next, gossip_next(world->peers[i].gossip));
    for (size_t i = 0; i < world->n_frames; i++)
        next = mono_min(next, world->frames[i].arrives);
    return next;
}

static inline void step(struct world *world) {
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
        gossip_tick(world->peers[i].gossip, (struct now){world->now, wall_of(world)});
        assert_true(gossip_next(world->peers[i].gossip).us > world->now.us); /* no spinning */
    }
}

static inline void run(struct world *world, int64_t us) {
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

static inline bool peers_agree(const struct world *world, size_t a, size_t b) {
    uint32_t x[DIRECTORY_BUCKETS], y[DIRECTORY_BUCKETS];

    directory_digest(world->peers[a].directory, MONO_NEVER, x);
    directory_digest(world->peers[b].directory, MONO_NEVER, y);
    return memcmp(x, y, sizeof x) == 0;
}

static inline bool all_agree(const struct world *world, size_t n_known) {
    for (size_t i = 0; i < PEERS; i++)
        if (!peers_agree(world, 0, i) || directory_count(world->peers[i].directory) != n_known)
            return false;
    return true;
}

static inline void ring(struct world *world) {
    for (size_t i = 0; i < PEERS; i++)
        link_up(world, i, (i + 1) % PEERS);
}

/* ---- One gossip, spoken to by hand ---- */

static inline uint64_t stranger(size_t i) {
    return UINT64_C(0x0100000000000000) * (i % 251) + i;
}

/* Make peer 0 the one under test, linked to others of whom only their prefixes exist. */
static inline struct peer *alone(struct world *world, size_t n_neighbours) {
    world->silent = true;
    for (size_t i = 1; i <= n_neighbours; i++)
        gossip_link_up(world->peers[0].gossip, world->peers[i].author.prefix, world->now);
    memset(world->sent, 0, sizeof world->sent);
    return &world->peers[0];
}

static inline enum drop say(struct world *world, size_t from, uint8_t type, const void *body,
                            size_t length) {
    return deliver_body(world, 0, world->peers[from].author.prefix, type, body, length);
}

static inline enum drop announce_version(struct world *world, size_t from, uint64_t prefix,
                                         uint64_t sequence, const uint8_t *tag) {
    uint8_t body[GOSSIP_ITEM_LEN];
    struct wire_writer w = wire_writer(body, sizeof body);

    wire_put_uint(&w, prefix, 8);
    wire_put_uint(&w, sequence, 6);
    wire_put(&w, tag, VERSION_TAG_LEN);
    return say(world, from, FRAME_ANNOUNCE, body, sizeof body);
}

static inline enum drop announce(struct world *world, size_t from, uint64_t prefix,
                                 uint64_t sequence) {
    static const uint8_t any[VERSION_TAG_LEN];
    return announce_version(world, from, prefix, sequence, any);
}

static inline enum drop announce_author(struct world *world, size_t from,
                                        const struct author *author) {
    return announce_version(world, from, author->prefix, author->sequence, author->tag);
}

static inline void pass(struct world *world, int64_t us) {
    world->now.us += us;
    gossip_tick(world->peers[0].gossip, (struct now){world->now, wall_of(world)});
}

static inline const struct directory_entry *held_by(const struct world *world, size_t at,
                                                    const struct author *author) {
    return directory_find_prefix(world->peers[at].directory, author->prefix);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
