/* link: daemon/core/link/link daemon/core/link/link_cell daemon/core/link/link_session daemon/core/link/link_place daemon/core/link/link_guard daemon/core/seam/effects daemon/core/wire/noise daemon/core/wire/identity daemon/core/wire/descriptor daemon/core/base/base proto/wire.pb-c shared/address */
/* Links that do what they should, whatever is lost: more objects than seven, since a handshake is
 * made of them. */
#include "tests/unit/link/link_world.h"

static void test_handshake_and_frames(void **state) {
    (void)state;
    link_up();
    send_text(0, 1, "there");
    run(US_PER_MS);
    assert_int_equal(world.ends[1].frames, 1);
    assert_memory_equal(world.ends[1].last_frame, "there", 5);
    send_text(1, 0, "and back");
    run(US_PER_MS);
    assert_memory_equal(world.ends[0].last_frame, "and back", 8);
    const struct link_view *view = links_find(world.ends[1].links, prefix_of(0));
    assert_false(view->dialled);
    assert_true(address_is_equal(&view->seen_as, &world.ends[1].address));
    assert_true(view->rtt_us >= 0);
}

static bool all_1232(struct packet *packet) {
    assert_int_equal(packet->length, DATAGRAM_LEN);
    return true;
}
static void test_every_datagram_has_one_length(void **state) {
    (void)state;
    world.filter = all_1232;
    link_up();
    send_text(0, 1, "x");
    run(60 * US_PER_S);
    assert_int_equal(world.ends[0].downs, 0);
}

static void test_refusal_carries_its_reason(void **state) {
    (void)state;
    world.ends[1].verdict = LINK_FULL;
    dial(0, 1);
    run(10 * US_PER_S);
    assert_int_equal(world.ends[0].refusals, 1);
    assert_int_equal(world.ends[0].last_refusal, LINK_FULL);
    assert_int_equal(links_count(world.ends[0].links, false), 0);
    assert_int_equal(links_count(world.ends[1].links, false), 0);
}

static void test_dialling_ourselves(void **state) {
    (void)state;
    dial(0, 0);
    run(10 * US_PER_S);
    assert_int_equal(world.ends[0].refusals, 1);
    assert_int_equal(world.ends[0].last_refusal, LINK_SELF);
    assert_int_equal(links_count(world.ends[0].links, false), 0);
}

static void probe(unsigned from, unsigned to) {
    struct end *end = &world.ends[from];
    assert_int_equal(links_dial(end->links, &world.ends[to].address, LINK_PROBE,
                                (struct now){now(), wall_of(end)}),
                     0);
    settle(end);
}

/* Two messages tell who is there, the third would tell who asks. */
static void test_probe_proves_and_says_nothing(void **state) {
    (void)state;
    probe(0, 1);
    assert_int_equal(links_dials(world.ends[0].links), 0); /* the pool need not wait for it */
    run(10 * US_PER_S);
    const struct link_event *answer = &world.ends[0].last_answer;
    assert_int_equal(answer->link.purpose, LINK_PROBE);
    assert_true(node_id_is_equal(&answer->link.id, identity_id(world.ends[1].identity)));
    assert_true(address_is_equal(&answer->address, &world.ends[1].address));
    assert_true(address_is_equal(&answer->link.address, &world.ends[1].address));
    assert_int_equal(world.sent, 2);
    assert_int_equal(world.ends[1].asked, 0);
    assert_int_equal(world.ends[0].failures, 0);
    assert_false(links_is_dialling(world.ends[0].links, &world.ends[1].address));
    unmake_end(1);
    make_end(1, 8, 2);
    probe(0, 1); /* of another network */
    run(10 * US_PER_S);
    assert_int_equal(world.ends[0].failures, 1);
    assert_int_equal(world.ends[0].last_failure, LINK_PROBE);
}

/* Whoever is at an address may hand our question on, and the answer comes from elsewhere. */
static void test_answer_says_whence_it_came(void **state) {
    (void)state;
    world.ends[1].other = world.ends[1].address; /* it hears what is sent there */
    address_parse("10.0.9.9:1", &world.ends[1].address);
    struct end *end = &world.ends[0];
    assert_int_equal(
        links_dial(end->links, &world.ends[1].other, LINK_PROBE, (struct now){now(), wall_of(end)}),
        0);
    settle(end);
    run(US_PER_S);
    assert_true(address_is_equal(&end->last_answer.address, &world.ends[1].other));
    assert_true(address_is_equal(&end->last_answer.link.address, &world.ends[1].address));
}

/* An address stands for a neighbour's source, not its port; a private one for nobody's. */
static void test_source_of_a_neighbour(void **state) {
    (void)state;
    uint64_t source[2];
    link_up();
    assert_int_equal(links_source(world.ends[0].links, prefix_of(1)), 0);
    for (unsigned k = 0; k < 2; k++) {
        tear_down(NULL);
        set_up(NULL);
        address_parse(k ? "203.0.113.5:7" : "203.0.113.5:58008", &world.ends[1].address);
        link_up();
        source[k] = links_source(world.ends[0].links, prefix_of(1));
        assert_int_equal(source[k], guard_source(&world.ends[1].address));
    }
    assert_int_equal(source[0], source[1]);
    assert_int_equal(links_source(world.ends[0].links, prefix_of(2)), 0);
}

static void test_wrong_network_gets_silence(void **state) {
    (void)state;
    unmake_end(1);
    make_end(1, 8, 2);
    dial(0, 1);
    run(10 * US_PER_S);
    assert_int_equal(world.ends[0].failures, 1);
    assert_true(world.ends[1].drops[DROP_MAC] >= 3);
    for (unsigned i = 0; i < DROP_COUNT; i++)
        assert_true(i == DROP_MAC || world.ends[1].drops[i] == 0);
    assert_int_equal(world.sent, 3); /* the three messages 1, and not one answer */
}

static bool lose_three_in_ten(struct packet *packet) {
    (void)packet;
    return random_below(&test_random, 10) >= 3;
}
static void test_lost_handshakes_are_repeated(void **state) {
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        tear_down(NULL);
        set_up(NULL);
        world.filter = lose_three_in_ten;
        for (unsigned k = 0; k < 5 && world.ends[0].ups == 0; k++) {
            dial(0, 1);
            run(8 * US_PER_S);
            assert_int_equal(world.ends[0].ups + world.ends[0].failures, k + 1);
        }
        assert_true(world.ends[0].ups >= 1);
        assert_true(world.ends[1].ups >= 1);
    }
}

static int lost_type;
static bool lose_type_once(struct packet *packet) {
    if (packet->bytes[0] != lost_type)
        return true;
    lost_type = 0;
    return false;
}
static void test_any_one_loss_is_repaired(void **state) {
    (void)state;
    for (int type = TYPE_INIT; type <= TYPE_DATA; type++) {
        if (type == TYPE_COOKIE)
            continue;
        tear_down(NULL);
        set_up(NULL);
        lost_type = type;
        world.filter = lose_type_once;
        dial(0, 1);
        run(5 * US_PER_S);
        assert_int_equal(lost_type, 0);
        assert_int_equal(world.ends[0].ups, 1);
        assert_true(world.ends[1].ups >= 1);
    }
}

static void test_wrong_clock_is_told_the_time(void **state) {
    (void)state;
    for (int sign_of = -1; sign_of <= 1; sign_of += 2) {
        tear_down(NULL);
        set_up(NULL);
        world.ends[0].skew_us = sign_of * 10 * US_PER_MINUTE;
        sign(&world.ends[0]);
        dial(0, 1);
        run(3 * US_PER_S);
        assert_int_equal(world.ends[0].ups, 1);
        /* One neighbour and we: both meet in the middle, each from its own side. */
        int64_t offset = links_clock_offset(world.ends[0].links);
        assert_true(llabs(offset + sign_of * 5 * US_PER_MINUTE) < US_PER_S);
        assert_true(llabs(links_clock_offset(world.ends[1].links) - sign_of * 5 * US_PER_MINUTE) <
                    US_PER_S);
    }
}

static void test_both_dial_at_once(void **state) {
    (void)state;
    dial(0, 1);
    dial(1, 0);
    run(3 * US_PER_S);
    assert_int_equal(links_count(world.ends[0].links, true), 1);
    assert_int_equal(links_count(world.ends[1].links, true), 1);
    const struct link_view *a = links_find(world.ends[0].links, prefix_of(1));
    const struct link_view *b = links_find(world.ends[1].links, prefix_of(0));
    assert_int_not_equal(a->dialled, b->dialled);
    assert_int_equal(world.ends[0].downs + world.ends[1].downs, 0);
    send_text(0, 1, "one");
    send_text(1, 0, "two");
    run(US_PER_MS);
    assert_memory_equal(world.ends[1].last_frame, "one", 3);
    assert_memory_equal(world.ends[0].last_frame, "two", 3);
}

static void test_restarted_node_is_back_at_once(void **state) {
    (void)state;
    link_up();
    unmake_end(0);
    make_end(0, 9, 1);
    dial(0, 1);
    run(US_PER_S);
    assert_int_equal(world.ends[0].ups, 1);
    send_text(0, 1, "again");
    send_text(1, 0, "welcome");
    run(US_PER_MS);
    assert_memory_equal(world.ends[1].last_frame, "again", 5);
    assert_memory_equal(world.ends[0].last_frame, "welcome", 7);
    assert_int_equal(links_count(world.ends[1].links, true), 1);
}

static bool lose_all(struct packet *packet) {
    (void)packet;
    return false;
}
static void test_silence_is_suspect_then_dead(void **state) {
    (void)state;
    link_up();
    run(2 * US_PER_S);
    world.filter = lose_all;
    send_text(0, 1, "hello?");
    run(3200 * US_PER_MS);
    assert_int_equal(world.ends[0].suspects, 1);
    assert_int_equal(world.ends[0].downs, 0);
    run(28 * US_PER_S);
    assert_int_equal(world.ends[0].downs, 1);
    assert_int_equal(world.ends[0].last_close, LINK_CLOSED_SILENT);
}

static void test_idle_link_lives_on_heartbeats(void **state) {
    (void)state;
    link_up();
    uint64_t sent = world.sent;
    run(100 * US_PER_S);
    assert_int_equal(world.ends[0].downs, 0);
    assert_in_range(world.sent - sent, 16, 30); /* a PING and a PONG every 10 s, not four */
}

static void test_keys_are_renewed(void **state) {
    (void)state;
    link_up();
    uint32_t before = world.ends[0].links->links[0]->current->local_index;
    run(15 * US_PER_MINUTE);
    assert_int_equal(world.ends[0].downs, 0);
    assert_int_equal(world.ends[0].ups, 1);
    assert_int_not_equal(world.ends[0].links->links[0]->current->local_index, before);
    assert_true(links_counters(world.ends[1].links)->handshakes >= 2);
    send_text(0, 1, "new keys");
    run(US_PER_MS);
    assert_memory_equal(world.ends[1].last_frame, "new keys", 8);
}

/* A step that has no datagram left loses none of the frames that wait for one; what does not fit
 * beside them is refused. */
static void test_frames_wait_for_the_next_step(void **state) {
    struct end *end = &world.ends[0];
    uint8_t body[300] = {0};
    unsigned n = 0;
    int error;
    (void)state;
    link_up();
    run(US_PER_S);
    unsigned before = world.ends[1].frames;
    effects_bound(end->effects, 0);
    while ((error = links_send_frame(end->links, prefix_of(1), FRAME_ANNOUNCE, body, sizeof body,
                                     now())) == 0)
        n++;
    assert_int_equal(error, -ENOBUFS);
    assert_int_equal(n, CELL_LEN / (FRAME_HEADER_LEN + sizeof body));
    settle(end);
    assert_int_equal(links_next(end->links).us, now().us); /* the next step comes at once */
    assert_int_equal(world.ends[1].frames, before);
    effects_bound(end->effects, SIZE_MAX);
    run(US_PER_MS);
    assert_int_equal(world.ends[1].frames, before + n);
}

static void test_dials_are_bounded(void **state) {
    struct address nowhere;
    (void)state;
    for (unsigned i = 0; i < LINK_DIALS_MAX; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.9.9.%u:1", i);
        address_parse(text, &nowhere);
        assert_int_equal(links_dial(world.ends[0].links, &nowhere, LINK_WANTED,
                                    (struct now){now(), wall_of(&world.ends[0])}),
                         0);
        assert_int_equal(links_dial(world.ends[0].links, &nowhere, LINK_WANTED,
                                    (struct now){now(), wall_of(&world.ends[0])}),
                         -EALREADY);
    }
    nowhere.port = 2;
    assert_int_equal(links_dial(world.ends[0].links, &nowhere, LINK_WANTED,
                                (struct now){now(), wall_of(&world.ends[0])}),
                     -ENOBUFS);
    run(10 * US_PER_S);
    assert_int_equal(world.ends[0].failures, LINK_DIALS_MAX);
    assert_int_equal(links_dials(world.ends[0].links), 0);
}

static void test_replay_window(void **state) {
    struct replay_window window = {0};
    (void)state;
    assert_true(replay_is_new(&window, 0));
    replay_enter(&window, 0);
    assert_false(replay_is_new(&window, 0));
    replay_enter(&window, REPLAY_BITS);
    assert_false(replay_is_new(&window, 0)); /* one past the window */
    assert_true(replay_is_new(&window, 1));  /* its last place */
    replay_enter(&window, 1);
    assert_false(replay_is_new(&window, 1));
    for (uint64_t i = 2; i < REPLAY_BITS; i++) {
        assert_true(replay_is_new(&window, i));
        replay_enter(&window, i);
        assert_false(replay_is_new(&window, i));
    }
    replay_enter(&window, UINT64_C(1) << 40);
    assert_false(replay_is_new(&window, REPLAY_BITS + 5));
    assert_true(replay_is_new(&window, (UINT64_C(1) << 40) - 1));
    assert_true(replay_is_new(&window, (UINT64_C(1) << 40) - REPLAY_BITS + 1));
    assert_false(replay_is_new(&window, UINT64_C(1) << 40));
}

/* A neighbour that is known by two addresses: dialling the other one finds that out, and changes
 * nothing. */
static void test_second_address_is_no_second_link(void **state) {
    (void)state;
    world.ends[1].other = world.ends[1].address;
    world.ends[1].other.port = 4444;
    link_up();
    uint64_t serial = links_find(world.ends[0].links, prefix_of(1))->serial;
    for (unsigned k = 0; k < 5; k++) {
        struct end *end = &world.ends[0];
        assert_int_equal(links_dial(end->links, &world.ends[1].other, LINK_WANTED,
                                    (struct now){now(), wall_of(end)}),
                         0);
        settle(end);
        run(6 * US_PER_S);
        assert_int_equal(end->refusals, k + 1);
        assert_int_equal(end->last_refusal, LINK_DUPLICATE);
    }
    assert_int_equal(world.ends[0].downs + world.ends[1].downs, 0);
    assert_int_equal(world.ends[0].ups + world.ends[1].ups, 2);
    assert_int_equal(world.ends[0].failures, 0);
    const struct link_view *view = links_find(world.ends[0].links, prefix_of(1));
    assert_int_equal(view->serial, serial);
    assert_true(address_is_equal(&view->address, &world.ends[1].address));
}

static uint32_t current_of(unsigned i, bool remote) {
    const struct link *link = link_find(world.ends[i].links, prefix_of(1 - i));
    return remote ? link->current->remote_index : link->current->local_index;
}

/* Both dial at once, and one of them signs anew in between: it is judged by whom the sessions are,
 * which the other cannot know. For a while each speaks on another session; then they agree. */
static void test_two_winners_become_one(void **state) {
    unsigned differed = 0;
    (void)state;
    for (unsigned signer = 0; signer < 2; signer++) {
        tear_down(NULL);
        set_up(NULL);
        dial(signer, 1 - signer);
        dial(1 - signer, signer);
        deliver_one();
        deliver_one(); /* both are answered */
        world.now_us += 2 * US_PER_MS;
        sign(&world.ends[signer]);
        run(3 * US_PER_S);
        differed += current_of(0, false) != current_of(1, true);
        run(2 * US_PER_MINUTE);
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(links_count(world.ends[i].links, true), 1);
            assert_int_equal(world.ends[i].downs, 0);
        }
        assert_int_equal(current_of(0, false), current_of(1, true));
        assert_int_equal(current_of(1, false), current_of(0, true));
    }
    assert_int_equal(differed, 1); /* whose id is the smaller decides */
}

/* Both dial at once, and one has a place for its own dial alone: the session that it refused
 * carries nothing. */
static void test_refused_while_linked(void **state) {
    (void)state;
    for (unsigned refuser = 0; refuser < 2; refuser++) {
        tear_down(NULL);
        set_up(NULL);
        world.ends[refuser].verdict = LINK_FULL;
        dial(refuser, 1 - refuser);
        dial(1 - refuser, refuser);
        run(2 * US_PER_MINUTE);
        assert_int_equal(world.ends[refuser].asked, 1);
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(links_count(world.ends[i].links, true), 1);
            assert_int_equal(world.ends[i].downs + world.ends[i].suspects, 0);
        }
        assert_int_equal(current_of(0, false), current_of(1, true));
        assert_int_equal(links_dials(world.ends[1 - refuser].links), 0);
    }
}

/* All that can happen at once has its place beforehand: nothing is lost where memory is out. */
static void test_every_event_has_its_place(void **state) {
    struct links *links = world.ends[0].links;
    struct link_event event;
    (void)state;
    const struct link_event *ring = links->events;
    for (unsigned round = 0; round < 3; round++) {
        unsigned in = 0, out = 0;
        for (; in < LINK_EVENTS_MAX; in++)
            link_emit(links, LINK_EVENT_DIAL_FAILED, NULL)->session = in;
        for (; out < round * 40; out++) { /* and where its end is behind its beginning */
            assert_true(links_event(links, &event));
            assert_int_equal(event.session, out);
            link_emit(links, LINK_EVENT_DIAL_FAILED, NULL)->session = in++;
        }
        while (links_event(links, &event))
            assert_int_equal(event.session, out++);
        assert_int_equal(out, in);
    }
    assert_ptr_equal(links->events, ring);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_handshake_and_frames),
        TEST(test_every_datagram_has_one_length),
        TEST(test_refusal_carries_its_reason),
        TEST(test_dialling_ourselves),
        TEST(test_probe_proves_and_says_nothing),
        TEST(test_answer_says_whence_it_came),
        TEST(test_source_of_a_neighbour),
        TEST(test_wrong_network_gets_silence),
        TEST(test_lost_handshakes_are_repeated),
        TEST(test_any_one_loss_is_repaired),
        TEST(test_wrong_clock_is_told_the_time),
        TEST(test_both_dial_at_once),
        TEST(test_restarted_node_is_back_at_once),
        TEST(test_silence_is_suspect_then_dead),
        TEST(test_idle_link_lives_on_heartbeats),
        TEST(test_keys_are_renewed),
        TEST(test_frames_wait_for_the_next_step),
        TEST(test_dials_are_bounded),
        TEST(test_replay_window),
        TEST(test_second_address_is_no_second_link),
        TEST(test_two_winners_become_one),
        TEST(test_refused_while_linked),
        TEST(test_every_event_has_its_place),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
