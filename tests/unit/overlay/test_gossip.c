/* link: daemon/core/base/budget daemon/core/overlay/gossip daemon/core/overlay/gossip_want daemon/core/overlay/gossip_proof daemon/core/overlay/gossip_patience daemon/core/overlay/gossip_older daemon/core/directory/directory daemon/core/directory/directory_index daemon/core/directory/directory_version daemon/core/directory/directory_room daemon/core/directory/directory_proof daemon/core/directory/directory_resolve daemon/core/directory/directory_claims daemon/core/wire/descriptor daemon/core/wire/identity daemon/core/wire/noise daemon/core/directory/topology daemon/core/directory/topology_draw shared/address proto/wire.pb-c */
#include "tests/unit/directory/proof_rig.h"
#include "tests/unit/overlay/gossip_world.h"

/* ---- The same content everywhere ---- */

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
        converge(test_seed + i, (unsigned)i * 6, i % 2 ? 20 : 0);
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

/* One that answers when another has been asked is waited for longer the next time; a while of
 * punctual answers ends that. */
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

/* However much one node publishes, it is asked for at an honest one's pace; and those who pass it
 * on are not held up by it. */
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

/* What waits for its pace takes up no neighbour's window, is bounded, and goes with its
 * announcers. */
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

    assert_int_equal(directory_offer(world->peers[at].directory, bytes, length,
                                     (struct now){world->now, wall_of(world)}, &entry, &drop),
                     DIRECTORY_NEWS);
    gossip_offer_news(world->peers[at].gossip, entry->prefix, 0, world->now);
}

/* One is told to one side, the other to the other: both sides end with the same one, and with the
 * proof. */
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

/* Its node publishes anew at once, and nobody holds the sequence any more: the proof goes its way
 * all the same. */
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
    (void)directory_offer(world->peers[0].directory, second, length,
                          (struct now){world->now, wall_of(world)}, &entry, &drop);
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
    (void)directory_offer(world->peers[0].directory, second, length,
                          (struct now){world->now, wall_of(world)}, &entry, &drop);
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
    pass(world, GOSSIP_GATHER_MAX_US);
    assert_int_equal(world->sent[FRAME_PROOF], 1); /* told to the one who did not bring it */
    assert_int_equal(say(world, 2, FRAME_PROOF, proof, sizeof proof), DROP_NONE);
    pass(world, 2 * US_PER_S);
    assert_int_equal(world->sent[FRAME_PROOF], 1); /* once */
}

static size_t count_convicted(const struct world *world, size_t peer) {
    size_t n = 0;

    for (size_t i = 0; i < AUTHORS; i++)
        n += held_by(world, peer, &world->authors[i])->convicted;
    return n;
}

static void enter_all(struct world *world, size_t at) {
    uint8_t bytes[DESCRIPTOR_MAX];

    for (size_t i = 0; i < AUTHORS; i++) {
        size_t length = sign(world, &world->authors[i], bytes);
        enter(world, at, bytes, length);
    }
}

static enum drop say_proof(struct world *world, size_t from, size_t author) {
    uint8_t proof[PROOF_LEN];

    rig_proof(world->authors[author].identity, EPOCH + EPOCHS_PUBLISHED, proof);
    return say(world, from, FRAME_PROOF, proof, sizeof proof);
}

/* However many somebody makes against himself: some at once, then as many a second. Others' are not
 * kept out. */
static void test_proofs_have_a_pace(void **state) {
    struct world *world = *state;
    size_t burst = GOSSIP_PROOF_BURST + GOSSIP_PROOF_PART_BURST;

    alone(world, 2);
    enter_all(world, 0);
    for (size_t i = 0; i < AUTHORS; i++)
        assert_int_equal(say_proof(world, 1, i), i < burst ? DROP_NONE : DROP_LIMIT);
    assert_int_equal(count_convicted(world, 0), burst);
    for (size_t i = 0; i < burst; i++)
        assert_int_equal(say_proof(world, 1, i), DROP_NONE); /* what is known costs nothing */
    for (size_t i = 0; i < GOSSIP_PROOF_PART_BURST + 1; i++)
        assert_int_equal(say_proof(world, 2, burst + i),
                         i < GOSSIP_PROOF_PART_BURST ? DROP_NONE : DROP_LIMIT);
    pass(world, GOSSIP_PROOF_PART_S * US_PER_S);
    size_t before = count_convicted(world, 0);
    for (size_t i = 0; i < AUTHORS; i++)
        (void)say_proof(world, 1, i);
    assert_int_equal(count_convicted(world, 0) - before,
                     GOSSIP_PROOF_PART_S * GOSSIP_PROOF_RATE + 1);
}

/* Four to a frame, and to nobody who has brought them. */
static void test_proofs_are_told_together(void **state) {
    struct world *world = *state;

    alone(world, 3);
    enter_all(world, 0);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(say_proof(world, 1, i), DROP_NONE);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(say_proof(world, 2, i), DROP_NONE);
    pass(world, GOSSIP_GATHER_MIN_US - 1);
    assert_int_equal(world->sent[FRAME_PROOF], 0);
    pass(world, GOSSIP_GATHER_MAX_US);
    assert_int_equal(world->sent[FRAME_PROOF], 1 + 2); /* three to the second, six to the third */
    assert_int_equal(say_proof(world, 1, 6), DROP_NONE);
    pass(world, GOSSIP_PROOF_EACH_US - GOSSIP_GATHER_MAX_US);
    assert_int_equal(world->sent[FRAME_PROOF], 3);
    pass(world, 2 * GOSSIP_GATHER_MAX_US);
    assert_int_equal(world->sent[FRAME_PROOF], 5);
}

/* Each neighbour of somebody is shown another proof against him, of another end: all know, nobody
 * tells for ever. */
static void test_proofs_of_several_ends(void **state) {
    struct world *world = *state;
    struct author *author = &world->authors[0];
    uint8_t proof[PROOF_LEN];
    enum drop drop;

    ring(world);
    publish(world, 0, author);
    run(world, 5 * US_PER_S);
    for (size_t i = 0; i < PEERS; i++) {
        rig_proof(author->identity, (uint32_t)(EPOCH + 3 + i % 5), proof);
        assert_int_equal(
            directory_take_proof(world->peers[i].directory, proof, wall_of(world), &drop),
            DIRECTORY_NEWS);
    }
    run(world, 2 * US_PER_MINUTE);
    assert_true(all_agree(world, PEERS));
    unsigned told = world->sent[FRAME_PROOF];
    assert_true(told <= 2 * PEERS); /* each its own, to both sides */
    run(world, 5 * US_PER_MINUTE);
    assert_int_equal(world->sent[FRAME_PROOF], told);
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

/* They are charged: where limits.memory is low, whoever has most gives way to who has less, and
 * beyond that announcements are forgotten, for the digests to repeat. */
static void test_wants_are_charged(void **state) {
    struct world *world = *state;
    struct peer *peer = &world->peers[0];
    size_t n = 0;

    world->budget.max = 2 << 20; /* for more than are asked for at once */
    alone(world, 2);
    while (n < 2000 && announce(world, 1, stranger(n), 1) == DROP_NONE)
        n++;
    assert_in_range(n, GOSSIP_WINDOW + 1, 1999);
    assert_true(world->budget.held[BUDGET_GOSSIP] <=
                world->budget.max / 100 * GOSSIP_MEMORY_PERCENT);
    assert_int_equal(announce(world, 2, stranger(2000), 1), DROP_LIMIT); /* another's went for it */
    assert_int_equal(announce(world, 2, stranger(2000), 1), DROP_NONE);  /* it is wanted */
    assert_int_equal(announce(world, 1, stranger(2001), 1), DROP_LIMIT);
    assert_true(world->budget.held[BUDGET_GOSSIP] <=
                world->budget.max / 100 * GOSSIP_MEMORY_PERCENT);
    gossip_link_down(peer->gossip, world->peers[1].author.prefix);
    gossip_link_down(peer->gossip, world->peers[2].author.prefix);
    assert_int_equal(world->budget.held[BUDGET_GOSSIP], 0);
}

/* Inventions of newcomers do not keep versions of nodes out that are known. */
static void test_versions_come_before_newcomers(void **state) {
    struct world *world = *state;
    struct author *known = &world->authors[0];
    size_t n = 0;

    world->budget.max = 2 << 20;
    alone(world, 2);
    publish(world, 0, known);
    world->now.us += 10 * US_PER_S;
    while (n < 2000 && announce(world, 1, stranger(n), 1) == DROP_NONE)
        n++;
    assert_in_range(n, GOSSIP_WINDOW + 1, 1999);
    announce(world, 2, known->prefix, known->sequence + 1);
    assert_non_null(want_find(world->peers[0].gossip, known->prefix));
}

static void test_full_directory_wants_nobody_new(void **state) {
    struct world *world = *state;
    struct peer *peer = &world->peers[0];
    struct author *resident = &world->authors[0];

    gossip_free(peer->gossip);
    directory_free(peer->directory);
    peer->directory = directory_new(identity_id(peer->author.identity), 1, &world->random);
    peer->gossip = gossip_new(peer->directory, &peer->links, &world->budget, &world->random);
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

/* All that is known twice, and then what is new: not what was given already, however often it is
 * asked for. */
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
        gossip_tick(gossip, (struct now){world->now, wall_of(world)});
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

/* Nor does one that was idle meanwhile, and is the last to end. */
static void test_an_idle_identity_keeps_no_answers(void **state) {
    struct world *world = *state;
    unsigned all = 2 * (1 + 1 + 1) + GOSSIP_ASKED_SPARE;

    publish(world, 0, &world->authors[0]);
    world->silent = true;
    world->source = 1;
    for (uint64_t idle = 1; idle <= 20; idle++) {
        gossip_link_up(world->peers[0].gossip, idle, world->now);
        come_and_ask(world, &world->authors[0]);
        gossip_link_down(world->peers[0].gossip, idle);
    }
    print_message("%u answers\n", world->sent[FRAME_DESCRIPTOR]);
    assert_in_range(world->sent[FRAME_DESCRIPTOR], all - 2, all + 10);
    world->source = 0;
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
        TEST(test_proofs_have_a_pace),
        TEST(test_proofs_are_told_together),
        TEST(test_proofs_of_several_ends),
        TEST(test_newcomers_at_a_rate),
        TEST(test_window),
        TEST(test_wants_of_a_neighbour_and_in_all),
        TEST(test_wants_of_one_neighbour),
        TEST(test_wants_are_charged),
        TEST(test_versions_come_before_newcomers),
        TEST(test_full_directory_wants_nobody_new),
        TEST(test_answers_at_a_rate),
        TEST(test_answers_are_as_many_as_there_is_news),
        TEST(test_a_new_identity_renews_no_answers),
        TEST(test_an_idle_identity_keeps_no_answers),
        TEST(test_unknown_wants_are_not_answered),
        TEST(test_digests_at_a_rate),
        TEST(test_digest_of_either_age),
        TEST(test_announcements_are_gathered),
        TEST(test_who_announced_it_is_not_told),
        TEST(test_digest_every_minute),
        TEST(test_slots),
    };

    if (!test_begin(argc, argv))
        return 1;
    return cmocka_run_group_tests_name("gossip", tests, NULL, NULL);
}
