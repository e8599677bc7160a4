/* link: daemon/core/overlay/pool daemon/core/overlay/pool_ask daemon/core/overlay/pool_book daemon/core/overlay/pool_dial daemon/core/route/path daemon/core/route/path_live daemon/core/route/path_spare daemon/core/directory/directory daemon/core/directory/directory_index daemon/core/directory/directory_version daemon/core/directory/directory_room daemon/core/directory/directory_proof daemon/core/directory/directory_resolve daemon/core/directory/directory_claims daemon/core/directory/topology daemon/core/directory/topology_draw daemon/core/seam/effects daemon/core/wire/onion daemon/core/wire/descriptor daemon/core/wire/identity daemon/core/wire/noise daemon/core/base/base proto/wire.pb-c shared/address daemon/core/route/path_silence */
/* The pool over links that are a table here: what it lets in, whom it dials and whom it leaves
 * alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/base/wirebuf.h"
#include "daemon/core/overlay/pool_private.h"
#include "tests/unit/harness.h"

#include <sodium.h>
#include <stdlib.h>

#define MAX 16
#define AIM 4 /* of a node that knows of nobody: pool.min */
#define ACCEPTED_MAX (MAX - AIM / 2)
#define JOINED_MAX 4 /* a quarter */
#define DIALS_SEEN 256
#define POOL_INTRODUCED_BURST 16
#define POOL_INTRODUCED_US (10 * US_PER_S)

/* ---- Links ---- */

struct links {
    struct link_view views[LINK_SLOTS];
    bool there[LINK_SLOTS];
    uint64_t serial;
    struct address dialled[DIALS_SEEN];
    enum link_purpose purposes[DIALS_SEEN];
    unsigned n_dialled;
    bool under_way[DIALS_SEEN];
    int verdict; /* the last; -1: none */
    unsigned closed[LINK_CLOSED_COPY + 1], introduced;
};
static struct fixture {
    struct links links;
    struct effects *effects;
    struct directory *directory;
    struct paths *paths;
    struct pool *pool;
    struct mono now;
} f;
static struct core_trace no_trace;
static const struct wall wall = {INT64_C(1800000000) * US_PER_S};

const struct link_view *links_at(const struct links *links, unsigned slot) {
    return links->there[slot] ? &links->views[slot] : NULL;
}
const struct link_view *links_find(const struct links *links, uint64_t prefix) {
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        if (links->there[i] && links->views[i].prefix == prefix)
            return &links->views[i];
    return NULL;
}
int links_dial(struct links *links, const struct address *address, enum link_purpose purpose,
               struct now now) {
    (void)now.mono, (void)now.wall;
    assert_true(links->n_dialled < DIALS_SEEN);
    assert_int_not_equal(address->port, 0);
    links->dialled[links->n_dialled] = *address;
    links->purposes[links->n_dialled] = purpose;
    links->under_way[links->n_dialled++] = true;
    return 0;
}
bool links_is_dialling(const struct links *links, const struct address *address) {
    for (unsigned i = 0; i < links->n_dialled; i++)
        if (links->under_way[i] && address_is_equal(&links->dialled[i], address))
            return true;
    return false;
}
unsigned links_dials(const struct links *links) {
    unsigned n = 0;
    for (unsigned i = 0; i < links->n_dialled; i++)
        n += links->under_way[i];
    return n;
}
void links_verdict(struct links *links, unsigned slot, enum link_refusal refusal,
                   const struct address *referrals, size_t n, struct mono now) {
    (void)referrals, (void)n, (void)now;
    links->verdict = (int)refusal;
    links->there[slot] = refusal == LINK_ACCEPTED;
    links->views[slot].state = LINK_UP;
}
void links_close(struct links *links, unsigned slot, enum link_close reason, struct mono now) {
    (void)now;
    links->there[slot] = false;
    links->closed[reason]++;
}
int links_send_frame(struct links *links, uint64_t prefix, uint8_t type, const void *body,
                     size_t length, struct mono now) {
    (void)prefix, (void)body, (void)length, (void)now;
    links->introduced += type == FRAME_INTRODUCE;
    return 0;
}

/* ---- What the tests are written in ---- */

/* Each in a private network of its own, so that no network is ever full. */
static struct address address_of(unsigned i) {
    struct address address = {.ip = {[10] = 0xff, 0xff, 10, (uint8_t)i, (uint8_t)(i >> 8), 1},
                              .port = 4000};
    return address;
}
static struct node_id id_of(unsigned i) {
    struct node_id id = {{1, (uint8_t)i, (uint8_t)(i >> 8), 7}};
    return id;
}

static struct link_view *add_link(unsigned i, enum link_state state, bool dialled,
                                  enum link_purpose purpose) {
    unsigned slot = 0;
    while (f.links.there[slot])
        slot++;
    struct node_id id = id_of(i);
    f.links.there[slot] = true;
    f.links.views[slot] = (struct link_view){.slot = slot,
                                             .serial = ++f.links.serial,
                                             .state = state,
                                             .id = id,
                                             .prefix = node_id_prefix(&id),
                                             .address = address_of(i),
                                             .dialled = dialled,
                                             .purpose = purpose,
                                             .since = f.now};
    return &f.links.views[slot];
}
/* n links that others began, the last `joined` of them by JOIN. */
static void add_accepted(unsigned n, unsigned joined, enum link_state state) {
    for (unsigned i = 0; i < n; i++)
        add_link(i, state, false, i + joined < n ? LINK_WANTED : LINK_JOIN);
}

static void tell(const struct link_event *event) {
    pool_link_event(f.pool, event, (struct now){f.now, wall});
}
/* Node i asks for a link: the verdict. */
static int ask(unsigned i, enum link_purpose purpose) {
    struct link_event event = {.kind = LINK_EVENT_ASKED};
    event.link = *add_link(i, LINK_PROBATION, false, purpose);
    f.links.verdict = -1;
    tell(&event);
    return f.links.verdict;
}
static enum drop introduce(unsigned i, const struct address *address) {
    uint8_t body[NODE_ID_LEN + ADDRESS_WIRE_LEN];
    struct node_id id = id_of(i);
    struct wire_writer w = wire_writer(body, sizeof body);
    wire_put(&w, id.bytes, NODE_ID_LEN);
    wire_put_address(&w, address);
    return pool_introduced(f.pool, body, sizeof body, f.now);
}
static void run(int64_t for_us) {
    int64_t until = f.now.us + for_us;
    for (; f.now.us < until; f.now.us += US_PER_S) {
        effects_clear(f.effects);
        pool_tick(f.pool, (struct now){f.now, wall});
    }
}
static unsigned dials_to(const struct address *address) {
    unsigned n = 0;
    for (unsigned i = 0; i < f.links.n_dialled; i++)
        n += address_is_equal(&f.links.dialled[i], address);
    return n;
}
/* The dials under way end so. */
static void end_dials(struct link_event event) {
    for (unsigned i = 0; i < f.links.n_dialled; i++) {
        if (!f.links.under_way[i])
            continue;
        f.links.under_way[i] = false;
        event.address = f.links.dialled[i];
        tell(&event);
    }
}

static void make_pool(const struct node_boot *boot, const struct address *bootstrap, size_t n) {
    struct pool_config config = {.min = AIM,
                                 .max = MAX,
                                 .spare = 8,
                                 .relays = 3,
                                 .links = &f.links,
                                 .directory = f.directory,
                                 .paths = f.paths,
                                 .effects = f.effects,
                                 .random = &test_random,
                                 .trace = &no_trace};
    pool_free(f.pool);
    f.pool = pool_new(&config, boot, bootstrap, n, f.now);
    assert_non_null(f.pool);
}

static int set_up(void **state) {
    struct node_id self = {{9}};
    struct node_boot boot = {0};
    struct path_config paths = {.relays = 3, .guards = 3};
    (void)state;
    memset(&f, 0, sizeof f);
    f.now.us = US_PER_HOUR;
    f.links.verdict = -1;
    test_rewind();
    f.effects = effects_new();
    f.directory = directory_new(&self, 100, &test_random);
    f.paths = paths_new(&paths, f.directory, &test_random);
    make_pool(&boot, NULL, 0);
    return f.effects && f.directory && f.paths ? 0 : -1;
}
static int tear_down(void **state) {
    (void)state;
    pool_free(f.pool);
    paths_free(f.paths);
    directory_free(f.directory);
    effects_free(f.effects);
    return 0;
}

/* ---- JOIN ---- */

static void test_join_gets_a_quarter(void **state) {
    (void)state;
    add_accepted(ACCEPTED_MAX, JOINED_MAX - 1, LINK_UP);
    assert_int_equal(ask(100, LINK_WANTED), LINK_FULL); /* others have theirs */
    assert_int_equal(ask(101, LINK_JOIN), LINK_ACCEPTED);
    f.links.there[0] = false; /* back at the share of the accepted, now with a quarter joined */
    assert_int_equal(ask(102, LINK_JOIN), LINK_FULL);
    assert_int_equal(ask(103, LINK_WANTED), LINK_FULL);
}

static void test_join_splits_an_edge_of_a_full_pool(void **state) {
    (void)state;
    add_accepted(MAX, JOINED_MAX - 1, LINK_UP);
    assert_int_equal(ask(100, LINK_JOIN), LINK_ACCEPTED);
    assert_int_equal(f.links.closed[LINK_CLOSED_REPLACED], 1);
    assert_int_equal(f.links.introduced, 2); /* each to the other */
    assert_int_equal(pool_census(f.pool).all, MAX);
}

/* Its quarter is taken: whoever came first by JOIN goes, once it has had its turn. */
static void test_join_beyond_its_quarter_takes_turns(void **state) {
    (void)state;
    add_accepted(MAX, JOINED_MAX, LINK_UP);
    f.now.us += 3 * US_PER_S - 1;
    assert_int_equal(ask(100, LINK_JOIN), LINK_FULL);
    assert_int_equal(f.links.closed[LINK_CLOSED_REPLACED], 0);
    assert_int_equal(f.links.introduced, 0);
    f.now.us++;
    assert_int_equal(ask(101, LINK_JOIN), LINK_ACCEPTED);
    assert_int_equal(f.links.closed[LINK_CLOSED_REPLACED], 1);
    assert_false(f.links.there[MAX - JOINED_MAX]);
    assert_int_equal(f.links.introduced, 2);
    assert_int_equal(pool_census(f.pool).all, MAX);
    assert_int_equal(pool_census(f.pool).joined, JOINED_MAX);
}

static void test_join_splits_no_link_that_we_chose(void **state) {
    (void)state;
    for (unsigned i = 0; i < MAX; i++)
        add_link(i, LINK_UP, true, LINK_WANTED);
    assert_int_equal(ask(100, LINK_JOIN), LINK_FULL);
    assert_int_equal(f.links.closed[LINK_CLOSED_REPLACED], 0);
}

/* ---- INTRODUCE ---- */

static void test_introductions_are_rationed(void **state) {
    (void)state;
    for (unsigned i = 0; i < POOL_INTRODUCED_BURST; i++) {
        struct address address = address_of(i);
        assert_int_equal(introduce(i, &address), DROP_NONE);
    }
    struct address address = address_of(200);
    assert_int_equal(introduce(200, &address), DROP_LIMIT);
    f.now.us += POOL_INTRODUCED_US - 1;
    assert_int_equal(introduce(200, &address), DROP_LIMIT);
    f.now.us += 1;
    assert_int_equal(introduce(200, &address), DROP_NONE);
    assert_int_equal(introduce(201, &address), DROP_LIMIT);
    f.now.us += US_PER_HOUR; /* no more is saved up than the burst */
    for (unsigned i = 0; i < POOL_INTRODUCED_BURST; i++)
        assert_int_equal(introduce(300 + i, &address), DROP_NONE);
    assert_int_equal(introduce(400, &address), DROP_LIMIT);
}

/* Neighbours that tell us whom to link to must not come to fill what we choose ourselves. */
static void test_introductions_stay_within_the_accepted_share(void **state) {
    struct address address = address_of(200);
    (void)state;
    add_accepted(ACCEPTED_MAX, 0, LINK_SUSPECT); /* links are lacking, and their share is full */
    assert_int_equal(introduce(200, &address), DROP_NONE);
    run(30 * US_PER_S);
    assert_int_equal(dials_to(&address), 0);
    struct link_event down = {.kind = LINK_EVENT_DOWN, .close = LINK_CLOSED_BYE};
    down.link = *links_at(&f.links, 3);
    f.links.there[3] = false;
    tell(&down);
    run(30 * US_PER_S);
    assert_int_equal(dials_to(&address), 1);
    assert_int_equal(f.links.purposes[0], LINK_INTRODUCED);
}

static void test_saying_introduced_is_not_being_introduced(void **state) {
    struct address address = address_of(100);
    (void)state;
    add_accepted(ACCEPTED_MAX, 0, LINK_UP);
    assert_int_equal(ask(100, LINK_INTRODUCED), LINK_FULL);
    assert_int_equal(ask(101, LINK_HEAL), LINK_FULL);
    assert_int_equal(introduce(100, &address), DROP_NONE);
    assert_int_equal(ask(101, LINK_INTRODUCED), LINK_FULL); /* somebody else was */
    assert_int_equal(ask(100, LINK_INTRODUCED), LINK_ACCEPTED);
}

/* ---- A neighbour by another of its addresses ---- */

static void test_other_address_of_a_neighbour_is_left_alone(void **state) {
    struct address other = address_of(77);
    struct node_boot boot = {0};
    struct link_event event = {.kind = LINK_EVENT_REFUSED, .refusal = LINK_DUPLICATE};
    size_t n;
    (void)state;
    make_pool(&boot, &other, 1);
    struct link_view *link = add_link(5, LINK_UP, true, LINK_WANTED);
    pool_connect(f.pool, 42, &other, (struct now){f.now, wall});
    assert_int_equal(dials_to(&other), 1);
    event.link.id = id_of(5);
    effects_clear(f.effects);
    end_dials(event);
    const struct answer *answers = effects_answers(f.effects, &n);
    assert_int_equal(n, 1);
    assert_int_equal(answers[0].code, ANSWER_OK); /* what he wanted is so */
    run(US_PER_HOUR); /* though links are lacking, and it is configured */
    assert_int_equal(dials_to(&other), 1);
    assert_int_equal(f.links.closed[LINK_CLOSED_BYE], 0);
    f.links.there[link->slot] = false;
    run(10 * US_PER_S);
    assert_int_equal(dials_to(&other), 2);
}

/* Right after the answer, before any link says so: five minutes. */
static void test_duplicate_waits(void **state) {
    struct address other = address_of(77);
    struct node_boot boot = {0};
    struct link_event event = {.kind = LINK_EVENT_REFUSED, .refusal = LINK_DUPLICATE};
    (void)state;
    make_pool(&boot, &other, 1);
    run(US_PER_S);
    event.link.id = id_of(5);
    end_dials(event);
    run(299 * US_PER_S);
    assert_int_equal(dials_to(&other), 1);
    run(3 * US_PER_S);
    assert_int_equal(dials_to(&other), 2);
}

static void test_ourselves_are_not_dialled_again(void **state) {
    struct address other = address_of(77);
    struct node_boot boot = {0};
    (void)state;
    make_pool(&boot, &other, 1);
    run(US_PER_S);
    end_dials((struct link_event){.kind = LINK_EVENT_REFUSED, .refusal = LINK_SELF});
    run(2 * US_PER_HOUR);
    assert_int_equal(dials_to(&other), 1);
}

/* ---- Port 0 ---- */

static void test_port_0_is_nobodys(void **state) {
    struct address nobody = address_of(50), somebody = address_of(51);
    struct spare spares[2] = {{.anchor = true}, {.anchor = false}};
    (void)state;
    nobody.port = 0;
    spares[0].address = spares[1].address = nobody;
    struct node_boot boot = {.spares = spares, .n_spares = 2};
    make_pool(&boot, NULL, 0);
    struct link_event up = {.kind = LINK_EVENT_UP, .n_referrals = 2};
    up.link = *add_link(5, LINK_UP, true, LINK_WANTED);
    up.referrals[0] = nobody;
    up.referrals[1] = somebody;
    tell(&up);
    assert_int_equal(introduce(7, &nobody), DROP_MALFORMED);
    run(US_PER_MINUTE); /* links_dial() looks at the port */
    assert_int_equal(f.links.n_dialled, 1);
    assert_int_equal(dials_to(&somebody), 1);
    assert_null(book_find(&f.pool->book, &nobody));
    assert_null(book_note(&f.pool->book, &nobody, CONTACT_MANUAL));
}

/* Names are looked up again and again, and may lead elsewhere each time: the book keeps room for
 * others. */
static void test_configured_peers_are_bounded(void **state) {
    struct address address;
    unsigned configured = 0;
    (void)state;
    for (unsigned i = 0; i < BOOK_CONFIGURED_MAX; i++) {
        address = address_of(i);
        pool_add_bootstrap(f.pool, &address, f.now);
    }
    address = address_of(77);
    book_find(&f.pool->book, &address)->failures = 3;
    pool_add_bootstrap(f.pool, &address, f.now); /* one that is there already displaces nobody */
    assert_int_equal(book_find(&f.pool->book, &address)->kind, CONTACT_BOOTSTRAP);
    struct address last = address_of(5000);
    pool_add_bootstrap(f.pool, &last, f.now);
    assert_int_equal(book_find(&f.pool->book, &last)->kind, CONTACT_BOOTSTRAP);
    assert_int_equal(book_find(&f.pool->book, &address)->kind, CONTACT_GOSSIPED);
    for (size_t i = 0; i < f.pool->book.n; i++)
        configured += book_is_configured(&f.pool->book.contacts[i]);
    assert_int_equal(configured, BOOK_CONFIGURED_MAX);
}

/* ---- How fast ---- */

/* Our own half of the links at once, what lacks beyond it one after the other. */
static void test_others_may_dial_too(void **state) {
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        struct address address = address_of(i);
        pool_add_bootstrap(f.pool, &address, f.now);
    }
    pool_tick(f.pool, (struct now){f.now, wall});
    assert_int_equal(f.links.n_dialled, AIM / 2 + 1);
    for (unsigned i = 0; i < AIM / 2; i++)
        add_link(i + 100, LINK_UP, true, LINK_WANTED);
    memset(f.links.under_way, 0, sizeof f.links.under_way); /* they came up, the one more did not */
    f.pool->next = f.now;
    pool_tick(f.pool, (struct now){f.now, wall});
    assert_int_equal(f.links.n_dialled, AIM / 2 + 1);
    struct mono next = pool_next(f.pool);
    assert_in_range(next.us - f.now.us, 1, US_PER_S);
    f.now = next;
    pool_tick(f.pool, (struct now){f.now, wall});
    assert_int_equal(f.links.n_dialled, AIM / 2 + 2);
}

/* ---- Whom we chose ---- */

/* The directory knows node i, at its address. */
static struct node_id know(unsigned i) {
    uint8_t seed[32] = {3, (uint8_t)i}, secret[32] = {4, (uint8_t)i}, bytes[DESCRIPTOR_MAX];
    struct identity *identity = identity_new(seed, secret, &test_random);
    struct descriptor descriptor = {
        .sequence = (uint64_t)wall_ms(wall), .n_addresses = 1, .addresses = {address_of(i)}};
    const struct directory_entry *entry;
    enum drop drop;

    identity_advance(identity, wall);
    int length = descriptor_sign(&descriptor, identity, wall, bytes);
    assert_int_equal(directory_offer(f.directory, bytes, (size_t)length, (struct now){f.now, wall},
                                     &entry, &drop),
                     DIRECTORY_NEWS);
    struct node_id id = *identity_id(identity);
    identity_free(identity);
    return id;
}

/* Neighbours that others can bring about at will are no witnesses of ours, whoever dialled. */
static void test_drawn_is_from_the_directory(void **state) {
    struct address peer = address_of(1);
    struct node_boot boot = {0};
    (void)state;
    struct node_id id = know(2);
    uint64_t prefix = node_id_prefix(&id);
    directory_set_links(f.directory, &prefix, 1); /* so it is reached */
    directory_follow(f.directory, f.now);
    make_pool(&boot, &peer, 1);
    run(2 * US_PER_S);
    struct address drawn = address_of(2);
    assert_true(dials_to(&peer) > 0 && dials_to(&drawn) > 0);
    struct link_view *chosen = add_link(2, LINK_UP, true, LINK_WANTED);
    assert_true(pool_has_drawn(f.pool, chosen));
    assert_false(pool_has_drawn(f.pool, add_link(1, LINK_UP, true, LINK_WANTED))); /* configured */
    assert_false(pool_has_drawn(f.pool, add_link(3, LINK_UP, true, LINK_WANTED))); /* unknown */
    chosen->purpose = LINK_HEAL;
    assert_false(pool_has_drawn(f.pool, chosen));
    chosen->purpose = LINK_JOIN;
    assert_false(pool_has_drawn(f.pool, chosen));
    chosen->purpose = LINK_WANTED;
    chosen->dialled = false;
    assert_false(pool_has_drawn(f.pool, chosen));
}

/* ---- A crowd ---- */

#define CROWD 90

/* Nodes that nobody names, each at an address of its choice. */
static void know_crowd(void) {
    for (unsigned i = 0; i < CROWD; i++) {
        uint8_t seed[32] = {9, (uint8_t)i}, secret[32] = {8, (uint8_t)i}, bytes[DESCRIPTOR_MAX];
        struct identity *identity = identity_new(seed, secret, &test_random);
        struct descriptor descriptor = {.sequence = (uint64_t)wall_ms(wall), .n_addresses = 1};
        const struct directory_entry *entry;
        enum drop drop;

        descriptor.addresses[0] = address_of(1000 + i);
        identity_advance(identity, wall);
        int length = descriptor_sign(&descriptor, identity, wall, bytes);
        assert_true(length > 0);
        identity_free(identity);
        assert_int_equal(directory_offer(f.directory, bytes, (size_t)length,
                                         (struct now){f.now, wall}, &entry, &drop),
                         DIRECTORY_NEWS);
    }
}

/* It neither makes us want more links nor dial whatever it claims: but for some, and one each 5
 * s. */
static void test_a_crowd_is_hardly_dialled(void **state) {
    struct link_event failed = {.kind = LINK_EVENT_DIAL_FAILED};
    unsigned s;
    (void)state;

    know_crowd();
    assert_int_equal(directory_count(f.directory), CROWD);
    assert_int_equal(pool_aim(f.pool), AIM);
    add_link(0, LINK_UP, true, LINK_WANTED);
    f.pool->heal = MONO_NEVER;
    for (s = 0; s < 120; s++) {
        run(US_PER_S);
        end_dials(failed);
    }
    assert_in_range(f.links.n_dialled, 32, 32 + s / 5);
}

/* Nor does it look like the other half of a network that has come apart. */
static void test_a_crowd_is_not_lost(void **state) {
    struct link_event down = {.kind = LINK_EVENT_DOWN, .close = LINK_CLOSED_SILENT};
    (void)state;

    know_crowd();
    for (unsigned i = 0; i < AIM; i++)
        add_link(i, LINK_UP, true, LINK_WANTED);
    directory_set_links(f.directory, &f.links.views[1].prefix, 1);
    down.link = f.links.views[0];
    down.link.dialled = true;
    down.link.address = (struct address){.port = 0}; /* it is not looked for itself */
    tell(&down);
    run(US_PER_MINUTE);
    assert_in_range(f.links.n_dialled, 1, 2);
}

/* Whoever has no link at all has no network that could tell whom to ask. */
static void test_who_is_alone_asks_everybody(void **state) {
    struct link_event failed = {.kind = LINK_EVENT_DIAL_FAILED};
    (void)state;

    know_crowd();
    f.pool->heal = MONO_NEVER;
    for (unsigned s = 0; s < 20; s++) {
        run(US_PER_S);
        end_dials(failed);
    }
    assert_in_range(f.links.n_dialled, CROWD, 3 * CROWD);
}

int main(void) {
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_join_gets_a_quarter),
        TEST(test_join_splits_an_edge_of_a_full_pool),
        TEST(test_join_beyond_its_quarter_takes_turns),
        TEST(test_join_splits_no_link_that_we_chose),
        TEST(test_introductions_are_rationed),
        TEST(test_introductions_stay_within_the_accepted_share),
        TEST(test_saying_introduced_is_not_being_introduced),
        TEST(test_other_address_of_a_neighbour_is_left_alone),
        TEST(test_duplicate_waits),
        TEST(test_ourselves_are_not_dialled_again),
        TEST(test_port_0_is_nobodys),
        TEST(test_configured_peers_are_bounded),
        TEST(test_others_may_dial_too),
        TEST(test_drawn_is_from_the_directory),
        TEST(test_a_crowd_is_hardly_dialled),
        TEST(test_a_crowd_is_not_lost),
        TEST(test_who_is_alone_asks_everybody),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
