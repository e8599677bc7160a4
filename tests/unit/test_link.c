/* link: daemon/core/link daemon/core/link_cell daemon/core/link_session daemon/core/link_guard daemon/core/effects daemon/core/noise daemon/core/identity daemon/core/descriptor daemon/core/base proto/wire.pb-c shared/address */
/* Links between endpoints in one process, on a clock of our own: more objects than seven, since a handshake is made of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/link_private.h"
#include "daemon/core/wirebuf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define ENDS 3
#define WALL_US (INT64_C(1800000000) * US_PER_S)
#define QUEUE_MAX 512

struct packet {
    struct address from, to;
    uint8_t bytes[DATAGRAM_LEN];
    size_t length;
};
struct end {
    struct links *links;
    struct effects *effects;
    struct identity *identity;
    struct address address;
    int64_t skew_us;
    unsigned ups, downs, refusals, failures, asked, suspects, moved;
    enum link_refusal verdict, last_refusal;
    enum link_close last_close;
    unsigned frames;
    uint8_t last_frame[CELL_LEN];
    size_t last_length;
    uint64_t drops[DROP_COUNT];
};
static struct world {
    struct end ends[ENDS];
    struct packet queue[QUEUE_MAX];
    size_t n;
    int64_t now_us;
    bool (*filter)(struct packet *packet); /* false: lost */
    uint64_t sent;
} world;
static struct core_random test_random;
static struct core_trace no_trace;

static void fill(void *context, void *buffer, size_t length) {
    static uint64_t counter;
    uint8_t nonce[8], key[32] = {1};
    (void)context;
    counter++;
    memcpy(nonce, &counter, 8);
    crypto_stream_chacha20(buffer, length, nonce, key);
}

static struct mono now(void) {
    return (struct mono){world.now_us};
}
static struct wall wall_of(const struct end *end) {
    return (struct wall){WALL_US + world.now_us + end->skew_us};
}

static void sign(struct end *end) {
    struct descriptor descriptor = {.relay = true,
                                    .sequence = (uint64_t)(wall_of(end).us / US_PER_MS)};
    uint8_t bytes[DESCRIPTOR_MAX];
    identity_advance(end->identity, wall_of(end));
    int length = descriptor_sign(&descriptor, end->identity, wall_of(end), bytes);
    assert_true(length > 0);
    links_set_descriptor(end->links, bytes, (size_t)length);
}

static void make_end(unsigned i, uint8_t network, uint8_t seed) {
    struct end *end = &world.ends[i];
    uint8_t node_seed[32] = {seed, 1}, link_secret[32] = {seed, 2, 7};
    memset(end, 0, sizeof *end);
    end->identity = identity_new(node_seed, link_secret, &test_random);
    end->effects = effects_new();
    struct links_config config = {.identity = end->identity,
                                  .heartbeat_us = 10 * US_PER_S,
                                  .timeout_us = 30 * US_PER_S,
                                  .effects = end->effects,
                                  .random = &test_random,
                                  .trace = &no_trace};
    memset(config.network_key, network, KEY_LEN);
    end->links = links_new(&config);
    assert_non_null(end->links);
    char text[32];
    snprintf(text, sizeof text, "10.0.0.%u:58008", i + 1);
    address_parse(text, &end->address);
    sign(end);
}

static void unmake_end(unsigned i) {
    struct end *end = &world.ends[i];
    links_free(end->links);
    effects_free(end->effects);
    identity_free(end->identity);
    memset(end, 0, sizeof *end);
}

static int set_up(void **state) {
    (void)state;
    memset(&world, 0, sizeof world);
    world.now_us = US_PER_S;
    for (unsigned i = 0; i < ENDS; i++)
        make_end(i, 9, (uint8_t)(i + 1));
    return 0;
}
static int tear_down(void **state) {
    (void)state;
    for (unsigned i = 0; i < ENDS; i++)
        unmake_end(i);
    return 0;
}

/* What an end has put out goes into the queue. */
static void collect(struct end *end) {
    size_t n;
    const struct datagram *datagrams = effects_datagrams(end->effects, &n);
    for (size_t i = 0; i < n && world.n < QUEUE_MAX; i++) {
        struct packet *packet = &world.queue[world.n];
        packet->from = end->address;
        packet->to = datagrams[i].remote;
        packet->length = datagrams[i].length;
        memcpy(packet->bytes, datagrams[i].bytes, datagrams[i].length);
        world.sent++;
        if (!world.filter || world.filter(packet))
            world.n++;
    }
    effects_clear(end->effects);
}

static void handle(struct end *end, const struct link_event *event) {
    switch (event->kind) {
    case LINK_EVENT_ANSWERED:
        links_finish(end->links, event->session, now(), wall_of(end));
        break;
    case LINK_EVENT_ASKED:
        end->asked++;
        links_verdict(end->links, event->link.slot, end->verdict, &world.ends[2].address, 1, now());
        break;
    case LINK_EVENT_UP:
        end->ups++;
        break;
    case LINK_EVENT_REFUSED:
        end->refusals++;
        end->last_refusal = event->refusal;
        break;
    case LINK_EVENT_DOWN:
        end->downs++;
        end->last_close = event->close;
        break;
    case LINK_EVENT_DIAL_FAILED:
        end->failures++;
        break;
    case LINK_EVENT_SUSPECT:
        end->suspects++;
        break;
    case LINK_EVENT_MOVED:
        end->moved++;
        break;
    default:
        break;
    }
}

static void settle(struct end *end) {
    struct link_event event;
    while (links_event(end->links, &event))
        handle(end, &event);
    links_flush(end->links, now());
    collect(end);
}

static enum drop receive(struct end *end, const struct packet *packet) {
    struct datagram datagram = {packet->from, packet->to, packet->bytes, packet->length};
    struct link_cell cell;
    struct link_frame frame;
    enum drop rest, drop = links_receive(end->links, &datagram, now(), wall_of(end), &cell);
    end->drops[drop]++;
    while (links_next_frame(end->links, &cell, now(), &frame, &rest)) {
        end->frames++;
        memcpy(end->last_frame, frame.body, frame.length);
        end->last_length = frame.length;
    }
    if (rest != DROP_NONE)
        end->drops[rest]++;
    settle(end);
    return drop;
}

static void run(int64_t for_us) {
    int64_t until = world.now_us + for_us;
    for (;;) {
        while (world.n > 0) {
            struct packet packet = world.queue[0];
            memmove(&world.queue[0], &world.queue[1], --world.n * sizeof packet);
            for (unsigned i = 0; i < ENDS; i++)
                if (address_is_equal(&world.ends[i].address, &packet.to))
                    receive(&world.ends[i], &packet);
        }
        int64_t next = until;
        for (unsigned i = 0; i < ENDS; i++)
            if (links_next(world.ends[i].links).us < next)
                next = links_next(world.ends[i].links).us;
        if (next > world.now_us)
            world.now_us = next;
        if (next >= until)
            return;
        for (unsigned i = 0; i < ENDS; i++) {
            links_tick(world.ends[i].links, now(), wall_of(&world.ends[i]));
            settle(&world.ends[i]);
        }
    }
}

static void dial(unsigned from, unsigned to) {
    struct end *end = &world.ends[from];
    assert_int_equal(
        links_dial(end->links, &world.ends[to].address, LINK_WANTED, now(), wall_of(end)), 0);
    settle(end);
}
static void link_up(void) {
    dial(0, 1);
    run(US_PER_S);
    assert_int_equal(world.ends[0].ups, 1);
    assert_int_equal(world.ends[1].ups, 1);
}
static uint64_t prefix_of(unsigned i) {
    return node_id_prefix(identity_id(world.ends[i].identity));
}
static void send_text(unsigned from, unsigned to, const char *text) {
    assert_int_equal(links_send_frame(world.ends[from].links, prefix_of(to), FRAME_ANNOUNCE, text,
                                      strlen(text), now()),
                     0);
    settle(&world.ends[from]);
}

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

static struct packet caught;
static int catch_type;
static bool catch_one(struct packet *packet) {
    if (packet->bytes[0] == catch_type)
        caught = *packet;
    return true;
}

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
/* A member floods message 1 from many addresses: cookies, bounded state, and those who return their cookie still get in. */
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

static void test_one_source_gets_its_share_only(void **state) {
    (void)state;
    world.filter = count_answers;
    cookie_answers = answers = 0;
    for (unsigned k = 0; k < 100; k++) {
        struct session *session;
        dial(0, 1);
        struct packet init = world.queue[--world.n];
        for (unsigned i = 0; i < SESSIONS_MAX; i++)
            if ((session = world.ends[0].links->sessions[i]))
                session_free(world.ends[0].links, session);
        receive(&world.ends[1], &init);
        world.n = 0;
    }
    assert_int_equal(answers,
                     16); /* half open at once from one IP, of the 20 that its share admits */
    assert_int_equal(cookie_answers, 80);
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

static void test_copies_of_an_identity_are_told(void **state) {
    (void)state;
    unmake_end(2);
    make_end(2, 9, 1); /* the same keys as end 0, elsewhere */
    link_up();
    for (unsigned k = 0; k < 4 && world.ends[1].downs == 0; k++) {
        unsigned copy = k % 2 ? 0 : 2;
        unmake_end(copy); /* each thinks that it has lost its link, and begins anew */
        make_end(copy, 9, 1);
        if (copy == 2)
            world.ends[2].address.port = 4711;
        dial(copy, 1);
        run(2 * US_PER_S);
    }
    assert_true(world.ends[0].failures + world.ends[2].failures >= 1); /* the copy is told */
    assert_int_equal(world.ends[1].downs, 1);
    assert_int_equal(world.ends[1].last_close, LINK_CLOSED_COPY);
}

static void test_dials_are_bounded(void **state) {
    struct address nowhere;
    (void)state;
    for (unsigned i = 0; i < LINK_DIALS_MAX; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.9.9.%u:1", i);
        address_parse(text, &nowhere);
        assert_int_equal(
            links_dial(world.ends[0].links, &nowhere, LINK_WANTED, now(), wall_of(&world.ends[0])),
            0);
        assert_int_equal(
            links_dial(world.ends[0].links, &nowhere, LINK_WANTED, now(), wall_of(&world.ends[0])),
            -EALREADY);
    }
    nowhere.port = 2;
    assert_int_equal(
        links_dial(world.ends[0].links, &nowhere, LINK_WANTED, now(), wall_of(&world.ends[0])),
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

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_handshake_and_frames),
        TEST(test_every_datagram_has_one_length),
        TEST(test_refusal_carries_its_reason),
        TEST(test_dialling_ourselves),
        TEST(test_wrong_network_gets_silence),
        TEST(test_lost_handshakes_are_repeated),
        TEST(test_any_one_loss_is_repaired),
        TEST(test_changed_handshakes_are_dropped),
        TEST(test_changed_cells_are_dropped),
        TEST(test_replayed_message_1_is_dropped),
        TEST(test_flood_gets_cookies),
        TEST(test_one_source_gets_its_share_only),
        TEST(test_wrong_clock_is_told_the_time),
        TEST(test_both_dial_at_once),
        TEST(test_restarted_node_is_back_at_once),
        TEST(test_silence_is_suspect_then_dead),
        TEST(test_idle_link_lives_on_heartbeats),
        TEST(test_roaming_needs_an_answer),
        TEST(test_keys_are_renewed),
        TEST(test_copies_of_an_identity_are_told),
        TEST(test_dials_are_bounded),
        TEST(test_replay_window),
    };
    if (sodium_init() < 0)
        return 1;
    test_random = (struct core_random){fill, NULL};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
