/* link: daemon/core/base/budget daemon/core/overlay/gossip daemon/core/overlay/gossip_want daemon/core/overlay/gossip_proof daemon/core/overlay/gossip_patience daemon/core/overlay/gossip_older daemon/core/directory/directory daemon/core/directory/directory_index daemon/core/directory/directory_version daemon/core/directory/directory_room daemon/core/directory/directory_proof daemon/core/directory/directory_resolve daemon/core/directory/directory_claims daemon/core/wire/descriptor daemon/core/wire/identity daemon/core/wire/noise daemon/core/directory/topology daemon/core/directory/topology_draw shared/address proto/wire.pb-c */
/* Neighbours that announce what nobody has, or answer nothing, or what they like: news gets through
 * all the same, and soon. */
#include "tests/unit/overlay/gossip_world.h"

#define FROM_HONEST 5 /* the one peer that means well, where the others do not */

static bool is_held(const struct world *world, const struct author *author) {
    const struct directory_entry *entry = held_by(world, 0, author);

    return entry && entry->live && entry->sequence >= author->sequence;
}

/* How long until peer 0 has what this author published last. */
static int64_t wait_for(struct world *world, const struct author *author, int64_t at_most) {
    int64_t waited = 0;

    for (; waited < at_most && !is_held(world, author); waited += 10 * US_PER_MS)
        run(world, 10 * US_PER_MS);
    return waited;
}

static size_t n_wants(const struct world *world, enum want_kind kind) {
    return world->peers[0].gossip->n_wants[kind];
}

/* ---- Who fills the table ---- */

/* Somebody with a link to peer 0, of whom nothing but a prefix exists. */
struct inventor {
    uint64_t prefix;
};

static size_t n_invented; /* all they announce is different, and nobody has it */

static void invent(struct world *world, const struct inventor *inventor, size_t n) {
    uint8_t body[GOSSIP_ITEM_LEN * GOSSIP_ANNOUNCE_ITEMS] = {0};

    while (n > 0) {
        struct wire_writer w = wire_writer(body, sizeof body);
        for (; n > 0 && wire_room(&w) >= GOSSIP_ITEM_LEN; n--) {
            wire_put_uint(&w, stranger(n_invented++), 8);
            wire_put_uint(&w, 1, 6);
            w.at += VERSION_TAG_LEN;
        }
        deliver_body(world, 0, inventor->prefix, FRAME_ANNOUNCE, body, wire_length(&w));
    }
}

static void begin_inventor(struct world *world, struct inventor *inventor) {
    static uint64_t serial = UINT64_C(0xabc0000000000000);

    if (inventor->prefix != 0)
        gossip_link_down(world->peers[0].gossip, inventor->prefix);
    inventor->prefix = ++serial;
    gossip_link_up(world->peers[0].gossip, inventor->prefix, world->now);
    invent(world, inventor, GOSSIP_NEWCOMER_BURST);
}

/* For ten minutes; every 10 s another of the links is somebody else's, with a new allowance. */
static void invent_all_the_time(struct world *world) {
    struct inventor inventors[6] = {{0}};
    unsigned in_time = 0, seconds = 600;

    for (size_t i = 0; i < 6; i++)
        begin_inventor(world, &inventors[i]);
    assert_int_equal(n_wants(world, WANT_NEWCOMER), GOSSIP_WANTS_MAX);
    link_up(world, 0, FROM_HONEST);
    for (unsigned s = 0; s < seconds; s += 5) {
        struct author *author = &world->authors[s / 5];
        if (s % 10 == 0)
            begin_inventor(world, &inventors[s / 10 % 6]);
        for (size_t i = 0; i < 6; i++)
            invent(world, &inventors[i], 5 * GOSSIP_NEWCOMER_RATE);
        publish(world, FROM_HONEST, author);
        struct mono end = mono_add(world->now, 5 * US_PER_S);
        in_time += wait_for(world, author, 3 * US_PER_S) < US_PER_S;
        assert_true(n_wants(world, WANT_NEWCOMER) <= GOSSIP_WANTS_MAX);
        run(world, end.us - world->now.us);
    }
    assert_true(in_time >= seconds / 5 * 95 / 100);
}

static void test_inventors_keep_no_news_out(void **state) {
    invent_all_the_time(*state);
}

/* Whom nothing can be asked never has anything time out. */
static void test_inventors_that_cannot_be_asked(void **state) {
    struct world *world = *state;

    world->blocked = true;
    invent_all_the_time(world);
}

/* One more than there is room for: of whoever has most, and that is counted; among equals nobody
 * gives way. */
static void test_who_wants_most_gives_way(void **state) {
    struct world *world = *state;
    struct peer *peer = alone(world, 5);
    size_t i = 0;

    for (size_t from = 1; from <= 4; from++)
        for (size_t n = 0; n < GOSSIP_NEWCOMER_BURST; n++)
            assert_int_equal(announce(world, from, stranger(i++), 1), DROP_NONE);
    assert_int_equal(n_wants(world, WANT_NEWCOMER), GOSSIP_WANTS_MAX);
    world->now.us += US_PER_S;
    for (size_t from = 1; from <= 4; from++)
        assert_int_equal(announce(world, from, stranger(i), 1), DROP_LIMIT);
    assert_null(want_find(peer->gossip, stranger(i)));
    unsigned asked = world->sent[FRAME_WANT];
    for (size_t n = 0; n < 4; n++)
        assert_int_equal(announce(world, 5, stranger(i + n), 1), DROP_LIMIT);
    assert_int_equal(world->sent[FRAME_WANT], asked + 4);
    assert_int_equal(peer->drops[DROP_LIMIT], 8);
    assert_int_equal(n_wants(world, WANT_NEWCOMER), GOSSIP_WANTS_MAX);
    for (size_t from = 1; from <= 4; from++) /* the newest of each */
        assert_null(want_find(peer->gossip, stranger(from * GOSSIP_NEWCOMER_BURST - 1)));
    /* Now the four are equals again, and have more than the fifth. */
    assert_int_equal(announce(world, 1, stranger(i + 4), 1), DROP_LIMIT);
    assert_null(want_find(peer->gossip, stranger(i + 4)));
}

/* Versions of known nodes have places of their own, also in the queue of one who has too many
 * newcomers. */
static void test_known_nodes_before_newcomers(void **state) {
    struct world *world = *state;
    const struct author *author = &world->authors[0];
    struct peer *peer = alone(world, 1);
    size_t i = 0;

    publish(world, 0, &world->authors[0]);
    while (n_wants(world, WANT_NEWCOMER) < GOSSIP_WANTS_NEIGHBOUR_MAX)
        if (announce(world, 1, stranger(i), 1) == DROP_NONE)
            i++;
        else
            world->now.us += US_PER_S; /* no tick: nothing times out */
    world->now.us += US_PER_S;
    assert_int_equal(announce(world, 1, stranger(i), 1), DROP_LIMIT);
    assert_int_equal(announce(world, 1, author->prefix, author->sequence + 1), DROP_NONE);
    assert_int_equal(n_wants(world, WANT_VERSION), 1);
    pass(world, 0); /* the window's first ones time out */
    pass(world, GOSSIP_ASK_GATHER_US);
    assert_true(want_find(peer->gossip, author->prefix)->asked);
}

/* A newcomer who has come goes before those who have not, when there is news of him. */
static void test_newcomer_becomes_known(void **state) {
    struct world *world = *state;
    const struct author *author = &world->authors[0];
    struct peer *peer = alone(world, 1);

    for (size_t i = 0; i < 2 * GOSSIP_WINDOW; i++)
        announce(world, 1, stranger(i), 1);
    announce(world, 1, author->prefix, author->sequence + 9);
    publish(world, 0, &world->authors[0]);
    announce(world, 1, author->prefix, author->sequence + 10);
    assert_int_equal(n_wants(world, WANT_VERSION), 1);
    pass(world, GOSSIP_ASK_US);
    pass(world, GOSSIP_ASK_GATHER_US);
    assert_true(want_find(peer->gossip, author->prefix)->asked);
}

/* ---- Who never has what it announces ---- */

/* Let everything that neighbour 1 is asked time out for so long. */
static void time_out(struct world *world, int64_t us) {
    for (int64_t passed = 0; passed < us; passed += 50 * US_PER_MS)
        pass(world, 50 * US_PER_MS);
}

static void test_who_announces_in_vain_is_barred(void **state) {
    struct world *world = *state;
    struct author *author = &world->authors[0];
    size_t i = 0;

    alone(world, 2);
    publish(world, 0, author);
    while (i < 2000)
        assert_int_equal(announce(world, 1, stranger(i++), 1), DROP_NONE);
    time_out(world, GOSSIP_ASK_MAX_US - US_PER_S);
    assert_int_equal(announce(world, 1, stranger(i++), 1), DROP_NONE); /* it might be slow */
    time_out(world, 5 * US_PER_S);
    assert_true(n_wants(world, WANT_NEWCOMER) <= GOSSIP_WINDOW); /* nothing waits any more */
    assert_int_equal(announce(world, 1, stranger(i), 1), DROP_LIMIT);
    assert_int_equal(announce(world, 2, stranger(i++), 1), DROP_NONE); /* others may */
    assert_int_equal(announce(world, 1, author->prefix, author->sequence + 1), DROP_NONE);
    gossip_link_down(world->peers[0].gossip, world->peers[1].author.prefix);
    gossip_link_up(world->peers[0].gossip, world->peers[1].author.prefix, world->now);
    time_out(world, GOSSIP_BARRED_US - 5 * US_PER_S);
    assert_int_equal(announce(world, 1, stranger(i), 1), DROP_LIMIT);
    time_out(world, 6 * US_PER_S);
    assert_int_equal(announce(world, 1, stranger(i), 1), DROP_NONE);
}

/* One answer among them, and it is not barred. */
static void test_who_answers_is_not_barred(void **state) {
    struct world *world = *state;
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t i = 0, n = 0;

    alone(world, 1);
    while (i < 2000)
        announce(world, 1, stranger(i++), 1);
    for (int s = 0; s < 20; s += 4) {
        time_out(world, 4 * US_PER_S);
        struct author *author = &world->authors[n++];
        publish(world, 0, author);
        world->now.us += US_PER_S;
        size_t length = sign(world, author, bytes);
        announce_author(world, 1, author);
        time_out(world, 2 * US_PER_S + 100 * US_PER_MS); /* there is room in the window again */
        assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, bytes, length), DROP_NONE);
    }
    assert_int_equal(announce(world, 1, stranger(i), 1), DROP_NONE);
}

/* ---- What nobody asked for ---- */

/* Whoever announces versions without end does not have them taken by sending them unasked. */
static void test_what_waits_for_its_pace_is_not_taken(void **state) {
    struct world *world = *state;
    struct author *author = &world->authors[0];
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t length;
    unsigned taken = 0;

    alone(world, 1);
    publish(world, 0, author);
    for (unsigned i = 0; i < 10 * PACE_BURST_SMALL; i++) {
        pass(world, GOSSIP_PACE_US / 5);
        length = sign(world, author, bytes);
        announce_author(world, 1, author);
        taken += say(world, 1, FRAME_DESCRIPTOR, bytes, length) == DROP_NONE;
    }
    assert_in_range(taken, PACE_BURST_SMALL,
                    PACE_BURST_SMALL + 10 * PACE_BURST_SMALL * (GOSSIP_PACE_US / 5) / PACE_MIN_US);
}

/* ---- Who is silent ---- */

/* Everybody knows authors 0 and 1; neighbours 1 to n say what they like, 4 and 5 are honest. */
static void begin_silent(struct world *world, size_t n) {
    for (size_t i = 1; i <= n; i++) {
        world->mute[i] = true;
        gossip_link_up(world->peers[0].gossip, world->peers[i].author.prefix, world->now);
    }
    link_up(world, 0, 5);
    link_up(world, 0, 4);
    link_up(world, 4, 5);
    run(world, 3 * US_PER_S);
    for (size_t i = 0; i < 2; i++) {
        publish(world, 5, &world->authors[i]);
        run(world, 10 * US_PER_S);
        assert_true(is_held(world, &world->authors[i]));
    }
}

struct delays {
    int64_t mean, worst;
};

/* What it is asked for it answers with what is held already. */
static void answer_in_vain(struct world *world, size_t from, const struct author *author) {
    uint8_t bytes[DESCRIPTOR_MAX];
    struct version version;
    size_t length;

    announce(world, from, author->prefix, DESCRIPTOR_SEQUENCE_MAX);
    const uint8_t *held =
        directory_bytes(world->peers[0].directory, author->prefix, &length, &version);
    memcpy(bytes, held, length);
    say(world, from, FRAME_DESCRIPTOR, bytes, length);
}

/* Of versions of author 0 while neighbours 1 to n announce a greater one all the time and do not
 * have it; of author 1 they answer between two of those, or not. */
static struct delays measure(struct world *world, size_t n, bool answers) {
    struct author *author = &world->authors[0];
    struct delays delays = {0};
    unsigned rounds = 30;

    for (unsigned r = 0; r < rounds; r++) {
        for (size_t k = 0; k < 200; k++) {
            for (size_t from = 1; from <= n; from++) {
                announce(world, from, author->prefix, DESCRIPTOR_SEQUENCE_MAX);
                if (answers && k == 199)
                    answer_in_vain(world, from, &world->authors[1]);
            }
            run(world, 100 * US_PER_MS);
        }
        for (size_t from = 1; from <= n; from++)
            announce(world, from, author->prefix, DESCRIPTOR_SEQUENCE_MAX);
        publish(world, 5, author);
        int64_t waited = wait_for(world, author, US_PER_MINUTE);
        delays.mean += waited / rounds;
        delays.worst = waited > delays.worst ? waited : delays.worst;
    }
    return delays;
}

/* One announces a version that there is not, and is asked first: the one that there is comes once,
 * and not from each who has it. */
static void test_a_false_version_costs_no_copies(void **state) {
    struct world *world = *state;
    struct author *author = &world->authors[0];
    unsigned rounds = 10;

    world->mute[1] = true;
    gossip_link_up(world->peers[0].gossip, world->peers[1].author.prefix, world->now);
    for (size_t a = 2; a < PEERS; a++)
        for (size_t b = 0; b < a; b++)
            if (b != 1)
                link_up(world, a, b);
    run(world, 3 * US_PER_S);
    publish(world, PEERS - 1, author);
    publish(world, PEERS - 1, &world->authors[1]);
    run(world, 10 * US_PER_S);
    world->sent[FRAME_DESCRIPTOR] = 0;
    for (unsigned r = 0; r < rounds; r++) {
        answer_in_vain(world, 1, &world->authors[1]); /* so it is asked first */
        announce(world, 1, author->prefix, DESCRIPTOR_SEQUENCE_MAX);
        run(world, 100 * US_PER_MS);
        publish(world, PEERS - 1, author);
        run(world, 10 * US_PER_S);
        assert_true(is_held(world, author));
    }
    assert_in_range(world->sent[FRAME_DESCRIPTOR], rounds * (PEERS - 2), rounds * (PEERS - 2) + 3);
}

static void test_the_silent_delay_little(void **state) {
    struct world *world = *state;

    begin_silent(world, 1);
    struct delays delays = measure(world, 1, false);
    assert_true(delays.worst <= US_PER_S);
    assert_true(delays.mean <= 400 * US_PER_MS);
}

/* Those that answer something now and then are asked first each time. */
static void test_who_answers_at_will_delays_a_second(void **state) {
    struct world *world = *state;

    begin_silent(world, 1);
    struct delays delays = measure(world, 1, true);
    assert_true(delays.worst <= US_PER_S);
}

static void test_several_delay_little_more(void **state) {
    struct world *world = *state;

    begin_silent(world, 3);
    struct delays delays = measure(world, 3, true);
    assert_true(delays.worst <= 1500 * US_PER_MS);
}

/* What nobody asked for, and what another has brought, makes nobody waited for. */
static void test_repeats_make_nobody_waited_for(void **state) {
    struct world *world = *state;
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t length = sign(world, &world->authors[0], bytes);

    alone(world, 3);
    announce_author(world, 2, &world->authors[0]);
    announce_author(world, 1, &world->authors[0]);
    assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, bytes, length), DROP_NONE); /* unasked */
    for (int i = 0; i < 10; i++)
        assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, bytes, length), DROP_UNKNOWN);
    world->sent[FRAME_WANT] = 0;
    announce(world, 1, stranger(1), 1);
    announce(world, 3, stranger(1), 1);
    pass(world, GOSSIP_ASK_US);
    pass(world, GOSSIP_ASK_GATHER_US);
    assert_int_equal(world->sent[FRAME_WANT], 2);
}

/* Asked and late: it is waited for longer, until it answers nothing more. */
static void test_patience_ends(void **state) {
    struct world *world = *state;
    const struct neighbour *slow = &world->peers[0].gossip->neighbours[0];
    uint8_t bytes[DESCRIPTOR_MAX];

    alone(world, 1);
    for (size_t i = 0; i < 2; i++) {
        size_t length = sign(world, &world->authors[i], bytes);
        announce_author(world, 1, &world->authors[i]);
        pass(world, slow->patience_us); /* to the end of the list, and not asked again yet */
        assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, bytes, length), DROP_NONE);
        world->now.us += 1;
    }
    assert_int_equal(slow->patience_us, GOSSIP_ASK_US); /* just in time */
    for (size_t i = 2; i < 5; i++) {
        size_t length = sign(world, &world->authors[i], bytes);
        announce_author(world, 1, &world->authors[i]);
        pass(world, slow->patience_us);
        world->now.us += 1;
        assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, bytes, length), DROP_NONE);
    }
    assert_int_equal(slow->patience_us, GOSSIP_ASK_MAX_US);
    for (size_t i = 0; i < GOSSIP_SILENT; i++)
        announce(world, 1, stranger(i), 1);
    pass(world, GOSSIP_ASK_MAX_US - 1);
    assert_int_equal(slow->patience_us, GOSSIP_ASK_MAX_US);
    pass(world, 1);
    assert_int_equal(slow->patience_us, GOSSIP_ASK_US);
}

/* Which question an answer is to cannot be told where two were asked: nothing is learnt from it. */
static void test_a_lost_answer_teaches_nothing(void **state) {
    struct world *world = *state;
    const struct neighbour *neighbour = &world->peers[0].gossip->neighbours[0];
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t length = sign(world, &world->authors[0], bytes);

    alone(world, 1);
    announce_author(world, 1, &world->authors[0]);
    pass(world, GOSSIP_ASK_US);
    pass(world, GOSSIP_ASK_GATHER_US);
    assert_int_equal(world->sent[FRAME_WANT], 2);
    world->now.us += 100 * US_PER_MS;
    assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, bytes, length), DROP_NONE);
    assert_int_equal(neighbour->patience_us, GOSSIP_ASK_US);
    assert_int_equal(neighbour->answer_us, 0);
    assert_int_equal(neighbour->n_unanswered, 0);
    world->now.us += US_PER_S; /* but a second one tells that the first question had its answer */
    assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, bytes, length), DROP_UNKNOWN);
    assert_int_equal(neighbour->patience_us, 2 * GOSSIP_ASK_US);
}

/* ---- Who is honest and slow ---- */

/* The only neighbour, by satellite or worse: all comes, and after the first ones nothing twice. */
static void slow_link(struct world *world, int64_t one_way_us) {
    world->slow_us[0] = world->slow_us[FROM_HONEST] = one_way_us;
    for (size_t i = 0; i < AUTHORS; i++)
        publish(world, FROM_HONEST, &world->authors[i]);
    link_up(world, 0, FROM_HONEST);
    run(world, 60 * US_PER_S);
    for (size_t i = 0; i < AUTHORS; i++)
        assert_true(is_held(world, &world->authors[i]));
    unsigned carried = world->sent[FRAME_DESCRIPTOR];
    for (size_t i = 0; i < 30; i++) {
        publish(world, FROM_HONEST, &world->authors[i]);
        run(world, 10 * US_PER_S);
        assert_true(is_held(world, &world->authors[i]));
    }
    assert_in_range(world->sent[FRAME_DESCRIPTOR] - carried, 30, 36);
}

static void test_by_satellite(void **state) {
    slow_link(*state, 400 * US_PER_MS);
}

static void test_seconds_away(void **state) {
    slow_link(*state, 1500 * US_PER_MS);
}

/* Newcomers in hundreds, before anything is known of how slow it is. */
static void test_the_slow_are_not_barred(void **state) {
    struct world *world = *state;

    alone(world, 1);
    for (size_t i = 0; i < 2000; i++)
        announce(world, 1, stranger(i), 1);
    time_out(world, GOSSIP_ASK_MAX_US - 100 * US_PER_MS);
    assert_int_equal(announce(world, 1, stranger(2000), 1), DROP_NONE);
}

/* Where all are slow nobody is asked beside another: that would make them slower. */
static void test_nobody_is_hurried_where_all_are_slow(void **state) {
    struct world *world = *state;

    world->slow_us[0] = 1200 * US_PER_MS; /* the others hear of it from each other before */
    link_up(world, 0, 4);
    link_up(world, 0, 5);
    link_up(world, 4, 5);
    for (size_t i = 0; i < AUTHORS; i++) {
        publish(world, 5, &world->authors[i]);
        run(world, 5 * US_PER_S);
    }
    assert_in_range(world->sent[FRAME_DESCRIPTOR], 2 * AUTHORS, 2 * AUTHORS + 10);
}

/* ---- Versions that wait for their pace ---- */

/* Ids of one member, and one version of each that nobody has. */
static void fill_paced(struct world *world, size_t by) {
    for (size_t i = 0; i < GOSSIP_PACED_MAX; i++) {
        struct author author = {0};
        assert_int_equal(author_init(&author, world), 0);
        publish(world, 0, &author);
        identity_free(author.identity);
        assert_int_equal(announce(world, by, author.prefix, author.sequence + 1), DROP_NONE);
    }
}

/* One neighbour fills the table: it gives way to others, and to none of its own. */
static void test_the_paced_of_others_have_room(void **state) {
    struct world *world = *state;
    struct peer *peer = alone(world, 3);
    struct author *one = &world->authors[0], *other = &world->authors[1];

    publish(world, 0, one);
    publish(world, 0, other);
    fill_paced(world, 1);
    assert_int_equal(peer->gossip->n_paced, GOSSIP_PACED_MAX);
    assert_int_equal(announce(world, 1, other->prefix, other->sequence + 1), DROP_LIMIT);
    assert_null(want_find(peer->gossip, other->prefix));
    announce(world, 2, one->prefix, one->sequence + 1);
    assert_int_equal(peer->gossip->n_paced, GOSSIP_PACED_MAX);
    announce(world, 2, other->prefix, other->sequence + 1);
    pass(world, GOSSIP_PACE_US);
    pass(world, GOSSIP_ASK_GATHER_US);
    assert_true(want_find(peer->gossip, one->prefix)->asked);
    assert_true(want_find(peer->gossip, other->prefix)->asked);
}

/* What others announce, too, is charged to whoever has less; and goes on when one leaves. */
static void test_the_paced_have_the_best_holder(void **state) {
    struct world *world = *state;
    struct peer *peer = alone(world, 3);
    size_t n = 0;

    for (size_t i = 0; i < 40; i++) {
        publish(world, 0, &world->authors[i]);
        announce(world, 1, world->authors[i].prefix, world->authors[i].sequence + 1);
    }
    for (size_t i = 0; i < 40; i++)
        announce(world, 2, world->authors[i].prefix, world->authors[i].sequence + 1);
    for (size_t i = 0; i < 3; i++)
        n = n > peer->gossip->neighbours[i].n_paced ? n : peer->gossip->neighbours[i].n_paced;
    assert_in_range(n, 20, 21);
    gossip_link_down(peer->gossip, world->peers[1].author.prefix);
    assert_int_equal(peer->gossip->n_paced, 40);
    gossip_link_down(peer->gossip, world->peers[2].author.prefix);
    assert_int_equal(peer->gossip->n_paced, 0);
}

/* ---- Older versions ---- */

/* A neighbour says that it has an older one: it is asked for it until the keys have settled, and
 * what it does not show holds nothing up. */
static void test_a_word_of_an_older_version(void **state) {
    struct world *world = *state;
    struct author *author = &world->authors[0];
    struct peer *peer = alone(world, 2);

    publish(world, 0, author);
    for (unsigned k = 0; k < 10; k++)
        announce(world, 1, author->prefix, author->sequence - 1);
    pass(world, GOSSIP_ASK_GATHER_US);
    assert_int_equal(world->sent[FRAME_WANT], 1);
    for (int64_t t = 0; t < 2 * DIRECTORY_SETTLE_US; t += GOSSIP_OLDER_US) {
        pass(world, GOSSIP_OLDER_US);
        directory_settle(peer->directory, world->now);
    }
    assert_false(held_by(world, 0, author)->unsettled);
    assert_in_range(world->sent[FRAME_WANT], 4, DIRECTORY_SETTLE_US / GOSSIP_OLDER_US + 1);
    unsigned asked = world->sent[FRAME_WANT];
    announce(world, 1, author->prefix, author->sequence - 1);
    pass(world, US_PER_S);
    assert_int_equal(world->sent[FRAME_WANT], asked);
}

/* One that it shows does, whoever else shows nothing. */
static void test_an_older_version_is_shown(void **state) {
    struct world *world = *state;
    struct author *author = &world->authors[0];
    struct peer *peer = alone(world, 2);
    uint8_t older[DESCRIPTOR_MAX];
    size_t length = sign(world, author, older);
    uint64_t sequence = author->sequence;

    identity_renew(author->identity, wall_of(world));
    publish(world, 0, author);
    assert_int_equal(say(world, 2, FRAME_DESCRIPTOR, older, length), DROP_UNKNOWN);
    announce(world, 1, author->prefix, sequence);
    announce_version(world, 2, author->prefix, sequence, version_tag(older));
    pass(world, GOSSIP_ASK_GATHER_US);
    assert_int_equal(world->sent[FRAME_WANT], 2);
    assert_true(directory_is_first(peer->directory, author->prefix));
    assert_int_equal(say(world, 2, FRAME_DESCRIPTOR, older, length), DROP_NONE);
    assert_false(directory_is_first(peer->directory, author->prefix));
    pass(world, DIRECTORY_SETTLE_US);
    directory_settle(peer->directory, world->now);
    assert_true(held_by(world, 0, author)->unsettled);
    assert_int_equal(world->sent[FRAME_WANT], 2);
}

static void test_a_forged_older_version_bars(void **state) {
    struct world *world = *state;
    uint8_t older[DESCRIPTOR_MAX];
    struct author *author = &world->authors[0];
    size_t length = sign(world, author, older);

    alone(world, 1);
    identity_renew(author->identity, wall_of(world));
    publish(world, 0, author);
    announce(world, 1, author->prefix, author->sequence - 1);
    older[0] ^= 1;
    assert_int_equal(say(world, 1, FRAME_DESCRIPTOR, older, length), DROP_AUTH);
    assert_int_equal(announce_author(world, 1, &world->authors[1]), DROP_LIMIT);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(test_the_paced_of_others_have_room),
        TEST(test_the_paced_have_the_best_holder),
        TEST(test_a_word_of_an_older_version),
        TEST(test_an_older_version_is_shown),
        TEST(test_a_forged_older_version_bars),
        TEST(test_inventors_keep_no_news_out),
        TEST(test_inventors_that_cannot_be_asked),
        TEST(test_who_wants_most_gives_way),
        TEST(test_known_nodes_before_newcomers),
        TEST(test_newcomer_becomes_known),
        TEST(test_who_announces_in_vain_is_barred),
        TEST(test_who_answers_is_not_barred),
        TEST(test_a_false_version_costs_no_copies),
        TEST(test_what_waits_for_its_pace_is_not_taken),
        TEST(test_the_silent_delay_little),
        TEST(test_who_answers_at_will_delays_a_second),
        TEST(test_several_delay_little_more),
        TEST(test_repeats_make_nobody_waited_for),
        TEST(test_patience_ends),
        TEST(test_a_lost_answer_teaches_nothing),
        TEST(test_by_satellite),
        TEST(test_seconds_away),
        TEST(test_the_slow_are_not_barred),
        TEST(test_nobody_is_hurried_where_all_are_slow),
    };

    if (!test_begin(argc, argv))
        return 1;
    return cmocka_run_group_tests_name("gossip_hostile", tests, NULL, NULL);
}
