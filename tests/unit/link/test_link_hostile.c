/* link: daemon/core/link/link daemon/core/link/link_cell daemon/core/link/link_session daemon/core/link/link_place daemon/core/link/link_guard daemon/core/seam/effects daemon/core/wire/noise daemon/core/wire/identity daemon/core/wire/descriptor daemon/core/base/base proto/wire.pb-c shared/address */
/* Links among those who change, copy, flood and lie: more objects than seven, since a handshake is
 * made of them. */
#include "tests/unit/link/link_world.h"

static void test_changed_handshakes_are_dropped(void **state) {
    (void)state;
    for (catch_type = TYPE_INIT; catch_type <= TYPE_FINISH; catch_type++) {
        tear_down(NULL);
        set_up(NULL);
        world.filter = catch_one;
        memset(&caught, 0, sizeof caught);
        dial(0, 1);
        /* Deliver up to the caught one, which is changed first, in every byte, and truncated. */
        while (caught.length == 0 && world.n > 0) {
            struct packet packet = world.queue[0];
            memmove(&world.queue[0], &world.queue[1], --world.n * sizeof packet);
            receive(&world.ends[address_is_equal(&packet.to, &world.ends[0].address) ? 0 : 1],
                    &packet);
        }
        assert_true(caught.length == DATAGRAM_LEN);
        struct end *end = &world.ends[address_is_equal(&caught.to, &world.ends[0].address) ? 0 : 1];
        size_t vouched = catch_type == TYPE_INIT ? DATAGRAM_LEN - MAC_LEN : DATAGRAM_LEN;
        for (size_t i = 0; i < vouched; i++) {
            struct packet changed = caught;
            changed.bytes[i] ^= (uint8_t)(1u << (i % 8));
            assert_int_not_equal(receive(end, &changed), DROP_NONE);
        }
        for (size_t length = 0; length < DATAGRAM_LEN; length += 7) {
            struct packet shorter = caught;
            shorter.length = length;
            assert_int_not_equal(receive(end, &shorter), DROP_NONE);
        }
        run(5 * US_PER_S); /* the true one does its work all the same */
        assert_int_equal(world.ends[0].ups, 1);
        assert_true(world.ends[1].ups >= 1);
    }
}

static void test_changed_cells_are_dropped(void **state) {
    (void)state;
    link_up();
    world.filter = catch_one;
    catch_type = TYPE_DATA;
    send_text(0, 1, "authentic");
    unsigned before = world.ends[1].frames;
    for (size_t i = 0; i < DATAGRAM_LEN; i++) {
        struct packet changed = caught;
        changed.bytes[i] ^= (uint8_t)(1u << (i % 8));
        assert_int_not_equal(receive(&world.ends[1], &changed), DROP_NONE);
    }
    assert_int_equal(world.ends[1].frames, before);
    run(US_PER_MS);
    assert_int_equal(world.ends[1].frames, before + 1);
    assert_int_equal(receive(&world.ends[1], &caught), DROP_REPLAY);
    assert_int_equal(world.ends[1].frames, before + 1);
}

static void test_replayed_message_1_is_dropped(void **state) {
    (void)state;
    world.filter = catch_one;
    catch_type = TYPE_INIT;
    link_up();
    uint64_t sent = world.sent;
    assert_int_equal(receive(&world.ends[1], &caught), DROP_REPLAY);
    assert_int_equal(world.sent, sent);
    world.now_us += 5 * US_PER_MINUTE; /* and later its minute is over */
    assert_int_equal(receive(&world.ends[1], &caught), DROP_TIME);
}

static unsigned cookie_answers, answers;
static bool count_answers(struct packet *packet) {
    cookie_answers += packet->bytes[0] == TYPE_COOKIE;
    answers += packet->bytes[0] == TYPE_RESPONSE;
    return packet->bytes[0] != TYPE_COOKIE || packet->to.ip[15] < 200;
}
/* A member floods message 1 from many addresses: cookies, bounded state, and those who return their
 * cookie still get in. */
static void test_flood_gets_cookies(void **state) {
    (void)state;
    dial(2, 1);
    run(US_PER_S);
    assert_int_equal(world.ends[2].ups, 1);
    world.filter = count_answers;
    cookie_answers = answers = 0;
    for (unsigned k = 0; k < 1000; k++) {
        struct session *session;
        dial(0, 1);
        struct packet init = world.queue[--world.n];
        for (unsigned i = 0; i < SESSIONS_MAX; i++)
            if ((session = world.ends[0].links->sessions[i]))
                session_free(world.ends[0].links, session);
        init.from.ip[14] = (uint8_t)(k >> 8);
        init.from.ip[13] = 77;
        init.from.ip[15] = (uint8_t)k;
        receive(&world.ends[1], &init);
        world.n = 0;
    }
    assert_true(answers <= 110);
    assert_true(cookie_answers >= 880);
    assert_true(world.ends[1].links->n_half_open <= 128);
    assert_int_equal(links_count(world.ends[1].links, true), 1);
    world.ends[0].ups = 0;
    dial(0, 1); /* gets a cookie, comes back with it, is served */
    run(US_PER_S);
    assert_int_equal(world.ends[0].ups, 1);
    send_text(2, 1, "still here");
    run(US_PER_MS);
    assert_memory_equal(world.ends[1].last_frame, "still here", 10);
    run(20 * US_PER_S);
    assert_int_equal(world.ends[1].links->n_half_open, 0);
}

/* `n` message 1, the k-th as if from `source(k)`; what came of them is counted. */
static void flood(unsigned n, void (*source)(struct address *from, unsigned k)) {
    world.filter = count_answers;
    cookie_answers = answers = 0;
    for (unsigned k = 0; k < n; k++) {
        struct session *session;
        dial(0, 1);
        struct packet init = world.queue[--world.n];
        for (unsigned i = 0; i < SESSIONS_MAX; i++)
            if ((session = world.ends[0].links->sessions[i]))
                session_free(world.ends[0].links, session);
        source(&init.from, k);
        receive(&world.ends[1], &init);
        world.n = 0;
    }
}

static void one_ipv4(struct address *from, unsigned k) {
    from->port = (uint16_t)(1024 + k); /* a port costs nothing */
}
static void one_network(struct address *from, unsigned k) {
    const uint8_t ip[16] = {0x20, 1, 0xd, 0xb8, 1, 2, 3, 4, (uint8_t)(k * 37), (uint8_t)k, 5};
    memcpy(from->ip, ip, sizeof ip);
    from->ip[15] = (uint8_t)(k + 1);
}
static void two_networks(struct address *from, unsigned k) {
    one_network(from, k);
    from->ip[7] = (uint8_t)(k % 2); /* the last byte that counts */
}

#define HELD 16     /* half open at once from one source */
#define ADMITTED 20 /* of it without a cookie: its burst */
static void test_one_source_gets_its_share_only(void **state) {
    (void)state;
    flood(100, one_ipv4);
    assert_int_equal(answers, HELD);
    assert_int_equal(cookie_answers, 100 - HELD);
    assert_int_equal(links_counters(world.ends[1].links)->half_open_refused, ADMITTED - HELD);
}

/* Of an IPv6 /64 anybody has every address. */
static void test_ipv6_network_is_one_source(void **state) {
    (void)state;
    flood(100, one_network);
    assert_int_equal(answers, HELD);
    assert_int_equal(cookie_answers, 100 - HELD);
    assert_int_equal(links_counters(world.ends[1].links)->half_open_refused, ADMITTED - HELD);
    dial(2, 1); /* elsewhere there is room */
    run(US_PER_S);
    assert_int_equal(world.ends[2].ups, 1);
}

static void test_two_networks_are_two_sources(void **state) {
    (void)state;
    flood(2 * HELD, two_networks);
    assert_int_equal(answers, 2 * HELD);
    flood(2, two_networks); /* one past its share, each */
    assert_int_equal(answers, 0);
    assert_int_equal(links_counters(world.ends[1].links)->half_open_refused, 2);
}

/* ---- In another's name ---- */

/* Message 1 with a good mac, as if `from` had sent it. */
static void spoof(const struct address *from) {
    struct session *session;
    dial(0, 1);
    struct packet init = world.queue[--world.n];
    for (unsigned i = 0; i < SESSIONS_MAX; i++)
        if ((session = world.ends[0].links->sessions[i]))
            session_free(world.ends[0].links, session);
    init.from = *from;
    receive(&world.ends[1], &init);
}

/* A hundred a second, the k-th from `source(k)`, for so long. */
static void spoof_for(int64_t for_us, void (*source)(struct address *from, unsigned k)) {
    static unsigned k;
    for (int64_t until = world.now_us + for_us; world.now_us < until; run(10 * US_PER_MS)) {
        struct address from = world.ends[2].address;
        source(&from, k++);
        spoof(&from);
    }
}

static void the_victim(struct address *from, unsigned k) {
    from->port = (uint16_t)(k % 2 ? 1024 + k : from->port);
}
static void anybody(struct address *from, unsigned k) {
    memcpy(from->ip + 12, (uint8_t[]){203, 0, (uint8_t)(k >> 8), (uint8_t)k}, 4);
}

static void must_get_in(int64_t after_us, void (*source)(struct address *from, unsigned k)) {
    spoof_for(after_us, source);
    dial(2, 1);
    spoof_for(3 * US_PER_S, source);
    assert_int_equal(world.ends[2].ups, 1);
    assert_true(world.ends[1].links->n_half_open <= 128);
}

/* Whoever sends in its name takes neither its tokens nor its places: it has its cookie. */
static void test_floods_in_its_name_keep_nobody_out(void **state) {
    (void)state;
    must_get_in(10 * US_PER_S, the_victim);
}

static void test_floods_in_all_names_keep_nobody_out(void **state) {
    (void)state;
    must_get_in(2 * US_PER_S, anybody);
}

/* A wrong clock is told the time all the same. */
static void test_floods_in_its_name_do_not_hide_the_time(void **state) {
    (void)state;
    world.ends[2].skew_us = -20 * US_PER_MINUTE;
    sign(&world.ends[2]);
    spoof_for(10 * US_PER_S, the_victim);
    dial(2, 1);
    spoof_for(3 * US_PER_S, the_victim);
    assert_int_equal(links_counters(world.ends[2].links)->handshakes, 1);
}

/* Who answers at many addresses may fill the table, and the fullest of them makes room for one that
 * holds less. */
static void test_proven_sources_share_the_places(void **state) {
    (void)state;
    struct links *links = world.ends[1].links;
    for (unsigned k = 0; k < 128; k++) {
        struct address from = {.port = 1000};
        memcpy(from.ip, (uint8_t[16]){[10] = 255, [11] = 255, [12] = 203, [15] = (uint8_t)(k / 16)},
               16);
        struct session *session = session_new(links, &from, &world.ends[1].address, now());
        assert_non_null(session);
        session->proven = true;
        session->state = SESSION_RESPONDED;
        links->n_half_open++;
        session->retry = mono_add(now(), 5 * US_PER_S);
    }
    links_arm(links, mono_add(now(), 5 * US_PER_S));
    spoof(&world.ends[2].address); /* unproven: there is no room */
    assert_int_equal(links->counters.half_open_refused, 1);
    for (unsigned k = 0; k < 20; k++)
        spoof(&world.ends[2].address); /* from now on cookies are asked for */
    dial(2, 1);
    run(US_PER_S);
    assert_int_equal(world.ends[2].ups, 1);
}

/* ---- What was seen comes again ---- */

static struct packet recorded;
static bool record_proven(struct packet *packet) {
    if (packet->bytes[0] == TYPE_INIT && address_is_equal(&packet->from, &world.ends[2].address) &&
        guard_cookie_is_good(&world.ends[1].links->guard, &packet->from, packet->bytes))
        recorded = *packet;
    return true;
}

static void part(void) {
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++)
        if (links_at(world.ends[2].links, slot))
            links_close(world.ends[2].links, slot, LINK_CLOSED_BYE, now());
    settle(&world.ends[2]);
    run(US_PER_MS);
    world.ends[2].ups = 0;
}

/* End 2 dials under a flood in its name, and somebody sees its message 1. */
static void record_a_dial(void) {
    world.filter = record_proven;
    recorded.length = 0;
    spoof_for(5 * US_PER_S, the_victim);
    dial(2, 1);
    spoof_for(US_PER_S, the_victim);
    assert_int_equal(recorded.length, DATAGRAM_LEN);
    assert_int_equal(world.ends[2].ups, 1);
    part();
}

/* Some 500 a second of what was recorded, in its name, and a hundred without a cookie. */
static void repeat_for(int64_t for_us) {
    struct packet again =
        recorded; /* not what end 2 sends meanwhile: a copy under way lets it in */
    for (int64_t until = world.now_us + for_us; world.now_us < until;) {
        spoof_for(10 * US_PER_MS, the_victim);
        for (unsigned k = 0; k < 5; k++)
            receive(&world.ends[1], &again);
    }
}

/* No key is needed for this, only to have seen one dial that went well. */
static void test_repeating_its_dial_keeps_nobody_out(void **state) {
    (void)state;
    unsigned in = 0;
    record_a_dial();
    for (unsigned k = 0; k < 10; k++) {
        repeat_for(2 * US_PER_S);
        dial(2, 1);
        repeat_for(4 * US_PER_S);
        in += world.ends[2].ups;
        part();
    }
    print_message("%u of 10 dials\n", in);
    assert_int_equal(in, 10);
    recorded.bytes[DATAGRAM_LEN - 1] ^= 1; /* without the cookie it is the same */
    assert_int_equal(receive(&world.ends[1], &recorded), DROP_REPLAY);
}

/* A member who makes message 1 as he likes chooses nobody's place, and one that was turned away
 * takes none. */
static void test_nobody_makes_room_for_a_replay(void **state) {
    struct guard *guard = &world.ends[1].links->guard;
    (void)state;
    record_a_dial();
    for (unsigned k = 0; k < 1000; k++) { /* as many as are admitted in 20 s */
        uint8_t ephemeral[KEY_LEN];
        memcpy(ephemeral, recorded.bytes + INIT_HEADER_LEN, 8);
        fill(NULL, ephemeral + 8, KEY_LEN - 8);
        guard_enter(guard, ephemeral, true);
        assert_true(guard_is_replay(guard, ephemeral));
    }
    assert_int_equal(receive(&world.ends[1], &recorded), DROP_REPLAY);
    for (unsigned k = 0; k < 4 * GUARD_SEEN; k++) { /* and without cookies as many as one likes */
        uint8_t ephemeral[KEY_LEN];
        fill(NULL, ephemeral, sizeof ephemeral);
        guard_enter(guard, ephemeral, false);
    }
    assert_int_equal(receive(&world.ends[1], &recorded), DROP_REPLAY);
}

static struct packet own_message_1(void) {
    dial(0, 1);
    struct packet init = world.queue[--world.n];
    for (unsigned i = 0; i < SESSIONS_MAX; i++)
        if (world.ends[0].links->sessions[i])
            session_free(world.ends[0].links, world.ends[0].links->sessions[i]);
    return init;
}

static void test_turned_away_is_not_remembered(void **state) {
    (void)state;
    flood(HELD, one_ipv4); /* its places are taken; four tokens are left */
    struct packet init = own_message_1();
    assert_int_equal(receive(&world.ends[1], &init), DROP_LIMIT);
    run(6 * US_PER_S);
    assert_int_equal(receive(&world.ends[1], &init), DROP_NONE);
    assert_int_equal(receive(&world.ends[1], &init), DROP_REPLAY);
}

/* ---- Answers that are none ---- */

static bool hold_answers(struct packet *packet) {
    if (packet->bytes[0] == TYPE_RESPONSE)
        caught = *packet;
    return packet->bytes[0] != TYPE_RESPONSE;
}

/* Ten thousand to the dial under way, from so an address. Returns how many were worked on. */
static uint64_t forge_answers(uint32_t index, const struct address *from) {
    uint8_t secret[32] = {7};
    struct packet forged = {.from = *from, .to = world.ends[0].address, .length = DATAGRAM_LEN};
    struct wire_writer w = wire_writer(forged.bytes, sizeof forged.bytes);
    wire_put_uint(&w, TYPE_RESPONSE, 1);
    wire_put_uint(&w, LINK_VERSION, 1);
    wire_put_uint(&w, 0, 6);
    wire_put_uint(&w, index, 4);
    crypto_scalarmult_base(wire_reserve(&w, 32), secret);
    guard_mac1(&world.ends[1].links->guard, forged.bytes, DATAGRAM_LEN - MAC_LEN,
               forged.bytes + DATAGRAM_LEN - MAC_LEN);
    uint64_t before = world.ends[0].drops[DROP_AUTH];
    for (unsigned k = 0; k < 10000; k++)
        assert_int_not_equal(receive(&world.ends[0], &forged), DROP_NONE);
    return world.ends[0].drops[DROP_AUTH] - before;
}

/* Dial, and let the answer wait; returns the dial's index. */
static uint32_t dial_and_hold(void) {
    caught.length = 0;
    world.filter = hold_answers;
    dial(0, 1);
    struct wire_reader r = wire_reader(world.queue[0].bytes + 4, 4);
    uint32_t index = (uint32_t)wire_get_uint(&r, 4);
    run(US_PER_MS);
    assert_int_equal(caught.length, DATAGRAM_LEN);
    return index;
}

static void test_forged_answers_cost_little(void **state) {
    (void)state;
    struct address elsewhere = world.ends[2].address;
    uint32_t index = dial_and_hold();
    assert_in_range(forge_answers(index, &elsewhere), 1, 4);
    assert_int_equal(receive(&world.ends[0], &caught), DROP_NONE); /* the true one is heard */
    world.filter = NULL;
    run(US_PER_S);
    assert_int_equal(world.ends[0].ups, 1);
}

/* In the name of the dialled one they hide its answer, as losing it would, and the next try has
 * another. */
static void test_forged_answers_end_no_dial(void **state) {
    (void)state;
    uint32_t index = dial_and_hold();
    assert_in_range(forge_answers(index, &world.ends[1].address), 1, 4);
    assert_int_equal(receive(&world.ends[0], &caught), DROP_LIMIT);
    world.filter = NULL;
    run(US_PER_S);
    assert_int_equal(world.ends[0].failures, 0);
    assert_int_equal(world.ends[0].ups, 1);
}

/* That it was ourselves, or that somebody fell silent, is our own finding: it would make us bar an
 * address, or look for a neighbour that said goodbye. */
static void test_our_own_findings_are_not_taken_from_the_wire(void **state) {
    (void)state;
    static const enum link_refusal claims[] = {LINK_SELF, LINK_DUPLICATE};
    for (unsigned k = 0; k < 2; k++) {
        world.ends[1].verdict = claims[k];
        dial(0, 1);
        run(20 * US_PER_S);
        assert_int_equal(world.ends[0].refusals, 0);
        assert_int_equal(world.ends[0].failures, k + 1);
    }
    world.ends[1].verdict = LINK_ACCEPTED;
    dial(0, 1);
    run(US_PER_S);
    assert_int_equal(world.ends[0].ups, 1);
    links_close(world.ends[1].links, links_find(world.ends[1].links, prefix_of(0))->slot,
                LINK_CLOSED_SILENT, now());
    settle(&world.ends[1]);
    run(US_PER_S);
    assert_int_equal(world.ends[0].downs, 1);
    assert_int_equal(world.ends[0].last_close, LINK_CLOSED_BYE);
}

static void test_roaming_needs_an_answer(void **state) {
    (void)state;
    link_up();
    world.filter = catch_one;
    catch_type = TYPE_DATA;
    send_text(0, 1, "copied");
    struct packet copied = caught;
    world.n = 0; /* a thief delays the true one and sends it from elsewhere */
    copied.from.port = 4444;
    receive(&world.ends[1], &copied);
    run(US_PER_S);
    const struct link_view *view = links_find(world.ends[1].links, prefix_of(0));
    assert_int_equal(view->address.port, ADDRESS_PORT_DEFAULT);
    assert_int_equal(world.ends[1].moved, 0);
    world.ends[0].address.port = 5555; /* now it has really moved */
    send_text(0, 1, "moved");
    run(3 * US_PER_S);
    send_text(0, 1, "moved");
    run(3 * US_PER_S);
    assert_int_equal(links_find(world.ends[1].links, prefix_of(0))->address.port, 5555);
    assert_int_equal(world.ends[1].moved, 1);
}

/* Whoever has two ports moves as often as it is asked: once a second. */
static void test_moving_to_and_fro_is_once_a_second(void **state) {
    (void)state;
    link_up();
    for (unsigned i = 0; i < 1000; i++) {
        world.ends[0].address.port = i % 2 ? ADDRESS_PORT_DEFAULT : 4444;
        send_text(0, 1, "here");
        run(3 * US_PER_MS);
    }
    assert_in_range(world.ends[1].moved, 1, 4);
}

/* A third message that cannot be read costs an exchange all the same. */
static bool hold_finish(struct packet *packet) {
    return packet->bytes[0] != TYPE_FINISH || !catch_one(packet);
}
static void test_third_messages_in_vain_end_the_handshake(void **state) {
    (void)state;
    world.filter = hold_finish;
    catch_type = TYPE_FINISH;
    dial(0, 1);
    while (world.n > 0)
        deliver_one();
    struct packet wrong = caught;
    wrong.bytes[600] ^= 1;
    guard_mac1(&world.ends[0].links->guard, wrong.bytes, DATAGRAM_LEN - MAC_LEN,
               wrong.bytes + DATAGRAM_LEN - MAC_LEN);
    assert_int_equal(world.ends[1].links->n_half_open, 1);
    unsigned read = 0;
    for (unsigned i = 0; i < 100; i++)
        read += receive(&world.ends[1], &wrong) == DROP_AUTH;
    assert_int_equal(read, 8);
    assert_int_equal(world.ends[1].links->n_half_open, 0);
}

/* End 0 and end 2, which have the same keys, take end 1's link from each other in turn. */
static void take_over(unsigned copy) {
    struct address address = world.ends[copy].address;
    unmake_end(copy);
    make_end(copy, 9, 1);
    world.ends[copy].address = address;
    dial(copy, 1);
    run(2 * US_PER_S);
}

static void test_copies_of_an_identity_are_told(void **state) {
    (void)state;
    world.ends[2].address.port = 4711;
    link_up();
    warnings = 0;
    take_over(2); /* it may have moved */
    take_over(0); /* and back */
    assert_int_equal(world.ends[1].downs, 0);
    assert_int_equal(warnings, 0);
    take_over(2); /* a third time within a minute */
    assert_int_equal(world.ends[1].downs, 1);
    assert_int_equal(world.ends[1].last_close, LINK_CLOSED_COPY);
    assert_int_equal(world.ends[2].ups, 0);
    assert_int_equal(warnings, 2); /* here, and there by the goodbye */
}

/* Anybody who holds a link can say so, and come again: the log does not fill. */
static void test_saying_so_again_and_again_is_a_line_a_minute(void **state) {
    static const uint8_t reason = LINK_CLOSED_COPY;
    (void)state;
    warnings = 0;
    for (unsigned k = 0; k < 30; k++) {
        dial(0, 1);
        run(US_PER_S);
        struct end *liar = &world.ends[0];
        if (links_send_frame(liar->links, prefix_of(1), FRAME_CLOSE, &reason, 1, now()) == 0)
            settle(liar);
        run(US_PER_S);
        links_close(liar->links, 0, LINK_CLOSED_BYE, now());
        settle(liar);
        run(US_PER_S);
    }
    assert_in_range(warnings, 1, 2);
}

/* Nor does who says so without cause keep what is so from being told. */
static void test_a_liar_hides_no_copy(void **state) {
    static const uint8_t reason = LINK_CLOSED_COPY;
    (void)state;
    world.ends[2].address.port = 4711;
    link_up();
    warnings = 0;
    assert_int_equal(
        links_send_frame(world.ends[0].links, prefix_of(1), FRAME_CLOSE, &reason, 1, now()), 0);
    settle(&world.ends[0]);
    run(US_PER_S);
    assert_int_equal(warnings, 1);
    links_close(world.ends[0].links, 0, LINK_CLOSED_BYE, now());
    settle(&world.ends[0]);
    dial(0, 1);
    run(US_PER_S);
    for (unsigned k = 0; k < 3; k++)
        take_over(k % 2 ? 0 : 2);
    assert_int_equal(warnings, 3);
}

static void test_moving_now_and_then_is_no_copy(void **state) {
    (void)state;
    world.ends[2].address.port = 4711;
    link_up();
    warnings = 0;
    for (unsigned k = 0; k < 6; k++) {
        take_over(k % 2 ? 0 : 2);
        run(31 * US_PER_S); /* less than twice a minute */
    }
    assert_int_equal(warnings, 0);
    assert_int_equal(links_count(world.ends[1].links, true), 1);
}

static void test_restarts_in_place_are_no_copies(void **state) {
    (void)state;
    link_up();
    warnings = 0;
    for (unsigned k = 0; k < 6; k++)
        take_over(0);
    assert_int_equal(warnings, 0);
    assert_int_equal(world.ends[1].downs, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_changed_handshakes_are_dropped),
        TEST(test_changed_cells_are_dropped),
        TEST(test_replayed_message_1_is_dropped),
        TEST(test_flood_gets_cookies),
        TEST(test_one_source_gets_its_share_only),
        TEST(test_ipv6_network_is_one_source),
        TEST(test_two_networks_are_two_sources),
        TEST(test_floods_in_its_name_keep_nobody_out),
        TEST(test_floods_in_all_names_keep_nobody_out),
        TEST(test_floods_in_its_name_do_not_hide_the_time),
        TEST(test_proven_sources_share_the_places),
        TEST(test_repeating_its_dial_keeps_nobody_out),
        TEST(test_nobody_makes_room_for_a_replay),
        TEST(test_turned_away_is_not_remembered),
        TEST(test_forged_answers_cost_little),
        TEST(test_forged_answers_end_no_dial),
        TEST(test_our_own_findings_are_not_taken_from_the_wire),
        TEST(test_roaming_needs_an_answer),
        TEST(test_moving_to_and_fro_is_once_a_second),
        TEST(test_third_messages_in_vain_end_the_handshake),
        TEST(test_copies_of_an_identity_are_told),
        TEST(test_a_liar_hides_no_copy),
        TEST(test_saying_so_again_and_again_is_a_line_a_minute),
        TEST(test_moving_now_and_then_is_no_copy),
        TEST(test_restarts_in_place_are_no_copies),
    };
    if (sodium_init() < 0)
        return 1;
    test_random = (struct core_random){fill, NULL};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
