/* link: daemon/core/route/path daemon/core/route/path_live daemon/core/route/path_spare daemon/core/route/path_silence daemon/core/wire/onion daemon/core/directory/topology daemon/core/directory/topology_draw */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/directory/directory_version.h"
#include "daemon/core/route/path.h"
#include "daemon/core/seam/answer.h"
#include "tests/unit/harness.h"

#include <sodium.h>
#include <stdlib.h>

#define NODES_MAX 4200
#define LINKS_MAX TOPOLOGY_DEGREE_MAX
#define RECORD_LINKS 1024 /* what path.c remembers */
#define LIVE_MAX 1024

/* ---- A directory of made-up nodes ----
 * Node i has prefix i + 1 (0 is nobody) and routing keys made from its number and the epoch. Node 0
 * is ourselves. */

enum fake_key { KEY_GOOD, KEY_NONE, KEY_ZERO };

struct directory {
    struct topology *topology;
    struct directory_entry entries[NODES_MAX];
    uint64_t links[NODES_MAX][LINKS_MAX];
    size_t n_links[NODES_MAX], n;
    enum fake_key keys[NODES_MAX];
    bool gone[NODES_MAX];
    size_t n_relays; /* besides us; 0 unless a test says otherwise: no shorter path is put off */
    bool settling;   /* some nodes may not be relays yet */
};

#define FIRST_EPOCH 480000

static uint64_t prefix_of(size_t node) {
    return node + 1;
}

static size_t node_of(uint64_t prefix) {
    return (size_t)prefix - 1;
}

static void routing_secret(uint64_t prefix, int64_t epoch, uint8_t ret_secret[KEY_LEN]) {
    uint64_t input[2] = {prefix, (uint64_t)epoch};
    crypto_generichash(ret_secret, KEY_LEN, (const uint8_t *)input, sizeof input, NULL, 0);
}

struct topology *directory_topology(struct directory *directory) {
    return directory->topology;
}

const struct directory_entry *directory_find_prefix(const struct directory *directory,
                                                    uint64_t prefix) {
    size_t node = node_of(prefix);
    return node < directory->n && !directory->gone[node] ? &directory->entries[node] : NULL;
}

size_t directory_relays(const struct directory *directory) {
    return directory->n_relays;
}

bool directory_relays_settling(const struct directory *directory, size_t n) {
    return directory->settling && directory->n_relays > n;
}

bool directory_is_settling(const struct directory *directory, uint64_t target) {
    (void)target;
    return directory->settling;
}

/* The fake passes the kind of key on in what would be the bytes. */
void directory_descriptor(const struct directory_entry *entry, struct descriptor *ret_descriptor) {
    enum fake_key key = (enum fake_key)entry->length;
    *ret_descriptor = (struct descriptor){
        .id = entry->id, .first_epoch = FIRST_EPOCH, .n_epochs = key == KEY_NONE ? 0 : 2};
    for (int i = 0; key == KEY_GOOD && i < 2; i++) {
        uint8_t secret[KEY_LEN];
        routing_secret(entry->prefix, FIRST_EPOCH + i, secret);
        crypto_scalarmult_base(ret_descriptor->routing_keys[i], secret);
    }
}

const uint8_t *descriptor_routing_key(const struct descriptor *descriptor, int64_t epoch) {
    int64_t i = epoch - descriptor->first_epoch;
    return i >= 0 && i < descriptor->n_epochs ? descriptor->routing_keys[i] : NULL;
}

/* ---- A world: that directory, ourselves, and a clock ---- */

struct world {
    struct directory directory;
    struct test_stream stream;
    struct core_random random;
    struct paths *paths;
    struct mono now;
    struct wall wall;
};

static struct node_id id_of(size_t node) {
    struct node_id id = {{0}};
    for (int i = 0; i < 8; i++)
        id.bytes[i] = (uint8_t)(prefix_of(node) >> (56 - 8 * i));
    return id;
}

static struct world *world_new(size_t n, unsigned relays, unsigned guards, bool strict) {
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->stream = (struct test_stream){test_seed};
    world->random = (struct core_random){test_fill, &world->stream};
    world->directory.topology = topology_new();
    world->directory.n = n;
    for (size_t i = 0; i < n; i++) {
        world->directory.entries[i].id = id_of(i);
        world->directory.entries[i].prefix = prefix_of(i);
    }
    world->now = (struct mono){US_PER_HOUR * 5};
    world->wall = (struct wall){FIRST_EPOCH * EPOCH_US + 17 * US_PER_MINUTE + 5};
    struct path_config config = {.relays = relays, .guards = guards, .strict = strict};
    world->paths = paths_new(&config, &world->directory, &world->random);
    assert_non_null(world->paths);
    return world;
}

static void world_free(struct world *world) {
    paths_free(world->paths);
    topology_free(world->directory.topology);
    free(world);
}

static void half_link(struct world *world, size_t a, size_t b) {
    assert_true(world->directory.n_links[a] < LINKS_MAX);
    world->directory.links[a][world->directory.n_links[a]++] = prefix_of(b);
}

static void join(struct world *world, size_t a, size_t b) {
    half_link(world, a, b);
    half_link(world, b, a);
}

static void set_key(struct world *world, size_t node, enum fake_key key) {
    world->directory.entries[node].length = (uint16_t)key;
}

/* Publish every link; our own neighbours have stood for `age`. */
static void publish(struct world *world, int64_t age_us) {
    struct directory *directory = &world->directory;
    struct path_neighbour neighbours[LINKS_MAX];
    for (size_t i = 0; i < directory->n; i++) {
        if (i == 0)
            topology_set_self(directory->topology, prefix_of(0), directory->links[0],
                              directory->n_links[0]);
        else
            topology_set(directory->topology, prefix_of(i), true, directory->links[i],
                         directory->n_links[i]);
    }
    for (size_t i = 0; i < directory->n_links[0]; i++)
        neighbours[i] = (struct path_neighbour){directory->links[0][i], true,
                                                mono_add(world->now, -age_us), false};
    paths_set_neighbours(world->paths, neighbours, directory->n_links[0], world->now);
}

/* Everybody linked to everybody. */
static struct world *complete(size_t n, unsigned relays, unsigned guards, bool strict) {
    struct world *world = world_new(n, relays, guards, strict);
    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b < a; b++)
            join(world, a, b);
    publish(world, 0);
    return world;
}

/* We and a target, and n nodes linked to both. The target is the last node. */
static struct world *fan(size_t n, unsigned relays, unsigned guards, bool strict) {
    struct world *world = world_new(n + 2, relays, guards, strict);
    for (size_t i = 1; i <= n; i++) {
        join(world, 0, i);
        join(world, i, n + 1);
    }
    return world;
}

static struct path_request request_for(size_t node) {
    return (struct path_request){.target = id_of(node), .relays_exact = RELAYS_DEFAULT};
}

struct sampled {
    enum path_outcome outcome;
    uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
    size_t n;
    double choices;
};

static struct sampled sample(struct world *world, const struct path_request *request) {
    struct sampled s = {0};
    s.outcome = path_sample(world->paths, request, world->now, s.hops, &s.n, &s.choices);
    return s;
}

static struct path *draw(struct world *world, const struct path_request *request) {
    struct path *path = NULL;
    bool fewer = false;
    assert_int_equal(
        path_draw(world->paths, request, (struct now){world->now, world->wall}, &path, &fewer),
        PATH_OK);
    assert_non_null(path);
    return path;
}

static void expect_refusal(struct world *world, const struct path_request *request,
                           enum path_outcome outcome) {
    struct path *path = (struct path *)world;
    bool fewer = true;
    assert_int_equal(
        path_draw(world->paths, request, (struct now){world->now, world->wall}, &path, &fewer),
        outcome);
    assert_ptr_equal(path, world); /* written on success only */
    assert_true(fewer);
}

static void expect_length(struct world *world, const struct path_request *request, unsigned relays,
                          bool fewer) {
    struct path *path = NULL;
    uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
    bool is_fewer = !fewer;
    assert_int_equal(
        path_draw(world->paths, request, (struct now){world->now, world->wall}, &path, &is_fewer),
        PATH_OK);
    assert_int_equal(path_hops(path, hops), relays + 1);
    assert_int_equal(is_fewer, fewer);
    path_free(path);
}

/* Lengths met in many samples, as a bit set. */
static unsigned lengths(struct world *world, const struct path_request *request) {
    unsigned seen = 0;
    for (int i = 0; i < 100; i++) {
        struct sampled s = sample(world, request);
        assert_int_equal(s.outcome, PATH_OK);
        seen |= 1U << (s.n - 1);
    }
    return seen;
}

/* ---- Paths that share nothing ---- */

static void apart_paths_share_no_relay(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct world *world = complete(17, 2, 2, false);
        uint64_t avoid[4 * TOPOLOGY_RELAYS_MAX], firsts[4], hops[TOPOLOGY_RELAYS_MAX + 1];
        struct path_request request = request_for(16);
        struct path *paths[4];
        test_seed += (uint64_t)round;
        publish(world, 2 * US_PER_HOUR); /* two guards of 15 relays */
        request.disjoint = true;
        request.avoid = avoid;
        request.firsts = firsts;
        for (unsigned i = 0; i < 4; i++) {
            paths[i] = draw(world, &request);
            size_t n = path_hops(paths[i], hops);
            for (size_t j = 0; j + 1 < n; j++)
                for (size_t k = 0; k < request.n_avoid; k++)
                    assert_true(hops[j] != avoid[k]);
            /* Guards first, then others; the target may be a guard too. */
            unsigned guards = 2 - paths_is_guard(world->paths, prefix_of(16));
            assert_int_equal(paths_is_guard(world->paths, hops[0]), i < guards);
            firsts[request.n_firsts++] = hops[0];
            for (size_t j = 0; j + 1 < n; j++)
                avoid[request.n_avoid++] = hops[j];
        }
        for (unsigned i = 0; i < 4; i++)
            path_free(paths[i]);
        world_free(world);
    }
}

static void apart_paths_share_what_they_must(void **state) {
    (void)state;
    struct world *world = fan(3, 1, 3, false);
    uint64_t used[] = {prefix_of(1), prefix_of(2), prefix_of(3)}, hops[TOPOLOGY_RELAYS_MAX + 1];
    struct path_request request = request_for(4);
    publish(world, 0);
    request.disjoint = true;
    request.avoid = request.firsts = used;
    for (size_t n = 2; n <= 3; n++) {
        request.n_avoid = request.n_firsts = n;
        struct path *path = draw(world, &request);
        assert_int_equal(path_hops(path, hops), 2);
        if (n == 2)
            assert_int_equal(hops[0], used[2]);
        path_free(path);
    }
    world_free(world);
}

/* ---- Past what is silent ---- */

static struct path_way way_of(unsigned n, const size_t *nodes) {
    struct path_way way = {.n = (uint8_t)n};
    for (unsigned i = 0; i < n; i++)
        way.relays[i] = prefix_of(nodes[i]);
    return way;
}

/* Nodes met in many draws, as a bit set; all of them by way of so many relays at least. */
static unsigned met(struct world *world, const struct path_request *request, size_t relays) {
    unsigned seen = 0;
    for (int i = 0; i < 200; i++) {
        struct sampled s = sample(world, request);
        assert_int_equal(s.outcome, PATH_OK);
        assert_true(s.n > relays);
        for (size_t j = 0; j + 1 < s.n; j++)
            seen |= 1U << node_of(s.hops[j]);
    }
    return seen;
}

/* Six relays of which a path takes three or four: the next try takes the three that were not
 * silent; then none that was so twice; and where nothing else is left, any. */
static void a_try_goes_past_what_was_silent(void **state) {
    (void)state;
    struct world *world = complete(8, 3, 3, false);
    struct path_silence silence = {.n = 0};
    struct path_request request = request_for(7);
    struct path_way first = way_of(3, (size_t[]){1, 2, 3}), second = way_of(3, (size_t[]){4, 5, 3}),
                    third = way_of(4, (size_t[]){4, 5, 6, 2});
    request.silence = &silence;
    assert_int_equal(met(world, &request, 3), 0x7e);
    path_silence_note(&silence, &first, world->now);
    assert_int_equal(met(world, &request, 3), 0x70);
    path_silence_note(&silence, &second, world->now);
    assert_int_equal(met(world, &request, 3) & 1U << 3, 0);
    path_silence_note(&silence, &third, world->now); /* once only: 1 and 6 */
    assert_int_equal(met(world, &request, 3) & (1U << 1 | 1U << 6), 1U << 1 | 1U << 6);
    world->now = mono_add(world->now, PATH_SILENCE_US);
    assert_int_equal(met(world, &request, 3), 0x7e); /* forgotten */
    world_free(world);
}

/* What came through is no reason for a silence; of many tries the latest count. */
static void silence_is_lifted_and_bounded(void **state) {
    (void)state;
    struct path_silence silence = {.n = 0};
    struct path_way way = way_of(3, (size_t[]){1, 2, 3}), good = way_of(2, (size_t[]){3, 1});
    uint64_t relays[PATH_SILENCE_RELAYS];
    path_silence_note(&silence, &way, (struct mono){1});
    path_silence_heard(&silence, &good);
    assert_int_equal(path_silence_relays(&silence, 1, (struct mono){1}, relays), 1);
    assert_int_equal(relays[0], prefix_of(2));
    for (size_t i = 10; i < 10 + 2 * PATH_SILENCE_TRIES; i++) {
        way = way_of(5, (size_t[]){i * 5, i * 5 + 1, i * 5 + 2, i * 5 + 3, 7});
        path_silence_note(&silence, &way, (struct mono){(int64_t)i});
    }
    assert_int_equal(path_silence_weight(&silence, prefix_of(2), (struct mono){20}), 0);
    assert_int_equal(path_silence_weight(&silence, prefix_of(7), (struct mono){20}),
                     PATH_SILENCE_TRIES);
    assert_int_equal(path_silence_relays(&silence, 1, (struct mono){20}, relays),
                     4 * PATH_SILENCE_TRIES + 1);
    assert_int_equal(path_silence_relays(&silence, 2, (struct mono){20}, relays), 1);
    assert_int_equal(relays[0], prefix_of(7));
}

/* ---- Short paths are put off ---- */

static void short_paths_wait_where_relays_are_enough(void **state) {
    (void)state;
    struct world *world = fan(1, 3, 3, false);
    publish(world, 0);
    struct path_request request = request_for(2);
    world->directory.n_relays = 4; /* one too few for three relays */
    expect_length(world, &request, 1, true);
    world->directory.n_relays = 5;
    expect_refusal(world, &request, PATH_NONE);
    world->now = mono_add(world->now, 4 * US_PER_S - 1);
    expect_refusal(world, &request, PATH_NONE);
    request.strict = true;
    expect_refusal(world, &request, PATH_STRICT);
    request.strict = false;
    request.relays_exact = 1; /* as asked for */
    expect_length(world, &request, 1, false);
    request.relays_exact = RELAYS_DEFAULT;
    world->now = mono_add(world->now, 1);
    expect_length(world, &request, 1, true);
    world_free(world);
}

/* Nobody is sent through keys that have just come: a short path, and a refusal, wait for them. */
static void keys_that_settle_are_waited_for(void **state) {
    (void)state;
    struct world *world = fan(1, 3, 3, false);
    publish(world, 0);
    struct path_request request = request_for(2);
    world->directory.n_relays = 1;
    world->directory.settling = true;
    expect_refusal(world, &request, PATH_NONE);
    world->now = mono_add(world->now, 7 * US_PER_S - 1);
    expect_refusal(world, &request, PATH_NONE);
    world->now = mono_add(world->now, 1);
    expect_length(world, &request, 1, true); /* not for ever: somebody may always be new */
    request.strict = true;
    expect_refusal(world, &request, PATH_STRICT); /* not enough of them, settled or not */
    world->directory.n_relays = 4;
    expect_refusal(world, &request, PATH_NONE);
    world->directory.settling = false;
    expect_refusal(world, &request, PATH_STRICT);
    world_free(world);
}

static void a_full_path_begins_the_wait_anew(void **state) {
    (void)state;
    struct world *world = fan(1, 2, 3, false);
    struct path_request request = request_for(2);
    publish(world, 0);
    world->directory.n_relays = 4;
    expect_refusal(world, &request, PATH_NONE);
    world->now = mono_add(world->now, 4 * US_PER_S);
    expect_length(world, &request, 1, true);
    struct path_config config = {.relays = 1, .guards = 3};
    paths_configure(world->paths, &config); /* now one relay is full length */
    expect_length(world, &request, 1, false);
    config.relays = 2;
    paths_configure(world->paths, &config);
    expect_refusal(world, &request, PATH_NONE);
    world_free(world);
}

#define SHORT_TARGETS 64 /* so many are remembered */
static void waits_are_bounded(void **state) {
    (void)state;
    struct world *world = world_new(7 + SHORT_TARGETS + 1, 3, 3, false);
    for (size_t i = 1; i <= 6; i++)
        join(world, 0, i);
    for (size_t i = 0; i <= SHORT_TARGETS; i++) /* each behind one of six relays */
        join(world, 1 + i % 6, 7 + i);
    publish(world, 0);
    world->directory.n_relays = 6;
    for (size_t i = 0; i < SHORT_TARGETS; i++) {
        struct path_request request = request_for(7 + i);
        expect_refusal(world, &request, PATH_NONE);
    }
    world->now = mono_add(world->now, 4 * US_PER_S);
    struct path_request first = request_for(7), second = request_for(8),
                        last = request_for(7 + SHORT_TARGETS);
    expect_length(world, &first, 1, true);
    expect_refusal(world, &last, PATH_NONE); /* in place of the first */
    expect_length(world, &second, 1, true);
    expect_refusal(world, &first, PATH_NONE);
    world_free(world);
}

/* ---- Length ---- */

static void check_lengths(struct world *world, size_t target, unsigned expected) {
    struct path_request request = request_for(target);
    assert_int_equal(lengths(world, &request), expected);
    world_free(world);
}

static void length_gives_sixteen_choices_and_hides_the_place(void **state) {
    (void)state;
    check_lengths(complete(8, 1, 3, false), 7, 1U << 2 | 1U << 3); /* 6 of one relay, 30 of two */
    check_lengths(complete(12, 3, 3, false), 11, 1U << 3 | 1U << 4);
    check_lengths(complete(9, 5, 3, false), 8, 1U << 5);   /* none longer */
    check_lengths(complete(12, 9, 3, false), 11, 1U << 5); /* a configuration beyond the bound */
    check_lengths(complete(6, 4, 3, true), 5, 1U << 4);    /* 24 with all four, none with five */
}

static void sixteen_is_the_bound(void **state) {
    (void)state;
    for (size_t n = 15; n <= 16; n++) {
        struct world *world = fan(n, 1, 3, false);
        join(world, 1, 2); /* two paths of two relays */
        publish(world, 0);
        check_lengths(world, n + 1, n == 16 ? 1U << 1 | 1U << 2 : 1U << 1);
    }
    struct world *world = fan(16, 1, 3, false); /* none of two */
    publish(world, 0);
    check_lengths(world, 17, 1U << 1);
}

static void most_choices_where_none_has_enough(void **state) {
    (void)state;
    struct world *world = complete(5, 1, 3, false); /* 3, 6, 6 */
    struct path_request request = request_for(4);
    struct sampled s = sample(world, &request);
    assert_int_equal(s.n, 3);
    assert_true(s.choices == 6);
    check_lengths(world, 4, 1U << 2);
}

static void fewer_only_where_not_strict(void **state) {
    (void)state;
    struct world *world = fan(1, 3, 3, false);
    publish(world, 0);
    struct path_request request = request_for(2);
    expect_length(world, &request, 1, true);
    request.strict = true;
    expect_refusal(world, &request, PATH_STRICT);
    request.strict = false;
    struct path_config strict = {.relays = 3, .guards = 3, .strict = true};
    paths_configure(world->paths, &strict);
    expect_refusal(world, &request, PATH_STRICT);
    strict.relays = 1;
    paths_configure(world->paths, &strict);
    expect_length(world, &request, 1, false);
    world_free(world);
}

static void direct_link_is_the_last_resort(void **state) {
    (void)state;
    struct world *world = world_new(3, 3, 3, false);
    join(world, 0, 1);
    publish(world, 0);
    struct path_request request = request_for(1);
    expect_length(world, &request, 0, true);
    request.strict = true;
    expect_refusal(world, &request, PATH_STRICT);
    request.relays_exact = 0; /* asked for in so many words */
    expect_length(world, &request, 0, false);
    request = request_for(2); /* linked to nobody */
    expect_refusal(world, &request, PATH_NONE);
    request.strict = true;
    expect_refusal(world, &request, PATH_NONE);
    request.relays_exact = 1;
    expect_refusal(world, &request, PATH_NONE);
    world_free(world);
}

static void exactly_means_exactly(void **state) {
    (void)state;
    struct world *world = complete(12, 3, 3, true);
    struct path_request request = request_for(11);
    for (uint8_t relays = 0; relays <= TOPOLOGY_RELAYS_MAX; relays++) {
        request.relays_exact = relays;
        assert_int_equal(lengths(world, &request), 1U << relays);
        expect_length(world, &request, relays, false);
    }
    request.relays_exact = TOPOLOGY_RELAYS_MAX + 1;
    expect_refusal(world, &request, PATH_STRICT);
    world_free(world);
    world = fan(3, 3, 3, false);
    publish(world, 0);
    request = request_for(4);
    request.relays_exact = 2;
    expect_refusal(world, &request, PATH_STRICT); /* neither one nor none will do */
    world_free(world);
}

static void unknown_targets(void **state) {
    (void)state;
    struct world *world = complete(8, 1, 3, false);
    struct path_request request = request_for(100);
    expect_refusal(world, &request, PATH_UNKNOWN);
    assert_int_equal(sample(world, &request).outcome, PATH_UNKNOWN);
    request = request_for(7);
    request.target.bytes[NODE_ID_LEN - 1] ^= 1; /* another id with the same prefix */
    expect_refusal(world, &request, PATH_UNKNOWN);
    assert_int_equal(sample(world, &request).outcome, PATH_UNKNOWN);
    request = request_for(7);
    world->wall.us += 2 * EPOCH_US; /* beyond its last key */
    expect_refusal(world, &request, PATH_UNKNOWN);
    world->wall.us -= 2 * EPOCH_US;
    set_key(world, 7, KEY_NONE);
    expect_refusal(world, &request, PATH_UNKNOWN);
    set_key(world, 7, KEY_GOOD);
    path_free(draw(world, &request));
    request = request_for(0); /* ourselves */
    expect_refusal(world, &request, PATH_NONE);
    world_free(world);
}

static void relays_without_a_good_key_are_drawn_around(void **state) {
    (void)state;
    for (enum fake_key key = KEY_NONE; key <= KEY_ZERO; key++) {
        struct world *world = fan(3, 1, 3, true);
        publish(world, 0);
        struct path_request request = request_for(4);
        set_key(world, 1, key);
        unsigned drawn = 0;
        for (int i = 0; i < 100; i++) {
            struct path *path = NULL;
            bool fewer;
            if (path_draw(world->paths, &request, (struct now){world->now, world->wall}, &path,
                          &fewer) != PATH_OK)
                continue; /* five times the bad one: once in 243 */
            assert_int_not_equal(path_first(path), prefix_of(1));
            path_free(path);
            drawn++;
        }
        assert_true(drawn >= 90);
        set_key(world, 2, key);
        world->directory.gone[3] = true;
        expect_refusal(world, &request, PATH_NONE);
        world_free(world);
    }
}

/* ---- Guards ---- */

#define N_GUARDED 12
#define TARGET_GUARDED 11

/* Firsts met in many samples, as a bit set of nodes. */
static unsigned firsts(struct world *world, size_t target) {
    struct path_request request = request_for(target);
    unsigned seen = 0;
    for (int i = 0; i < 200; i++) {
        struct sampled s = sample(world, &request);
        assert_int_equal(s.outcome, PATH_OK);
        seen |= 1U << node_of(s.hops[0]);
    }
    return seen;
}

static unsigned guards(const struct world *world) {
    unsigned set = 0;
    for (size_t i = 0; i < N_GUARDED; i++)
        set |= paths_is_guard(world->paths, prefix_of(i)) ? 1U << i : 0;
    return set;
}

/* Neighbours 1..10 but those in `without`, standing since `since`; those in `mute` do not relay. */
static void set_neighbours(struct world *world, unsigned without, unsigned mute,
                           struct mono since) {
    struct path_neighbour neighbours[LINKS_MAX];
    size_t n = 0;
    for (size_t i = 1; i < TARGET_GUARDED; i++)
        if (!(without >> i & 1))
            neighbours[n++] = (struct path_neighbour){prefix_of(i), !(mute >> i & 1), since, false};
    paths_set_neighbours(world->paths, neighbours, n, world->now);
}

static struct mono an_hour_ago(const struct world *world) {
    return mono_add(world->now, -US_PER_HOUR);
}

static struct world *guarded(unsigned n_guards);

/* Who is silent moves the next try to another guard, never to a neighbour that is none; and it
 * makes no path shorter than was asked for. */
static void silence_draws_no_other_guards(void **state) {
    (void)state;
    for (unsigned n = 1; n <= 2; n++) {
        struct world *world = guarded(n);
        struct path_silence silence = {.n = 0};
        struct path_request request = request_for(TARGET_GUARDED);
        request.silence = &silence;
        size_t guard = 1;
        while (!(guards(world) >> guard & 1))
            guard++;
        struct path_way way = way_of(1, &guard);
        path_silence_note(&silence, &way, world->now);
        for (int i = 0; i < 100; i++) {
            struct sampled s = sample(world, &request);
            assert_true(paths_is_guard(world->paths, s.hops[0]));
            assert_int_equal(s.hops[0] == prefix_of(guard), n == 1);
        }
        request.relays_exact = 4;
        way = way_of(5, (size_t[]){2, 4, 6, 8, 10});
        path_silence_note(&silence, &way, world->now);
        assert_int_equal(lengths(world, &request), 1U << 4);
        world_free(world);
    }
}

static struct world *guarded(unsigned n_guards) {
    struct world *world = complete(N_GUARDED, 2, n_guards, false);
    set_neighbours(world, 0, 0, an_hour_ago(world));
    assert_int_equal(__builtin_popcount(guards(world)), n_guards);
    return world;
}

static unsigned lowest(unsigned set) {
    return set & (~set + 1);
}

static void guards_are_drawn_after_an_hour(void **state) {
    (void)state;
    struct world *world = complete(N_GUARDED, 2, 3, false);
    struct mono since = world->now;
    set_neighbours(world, 0, 0, since);
    world->now = mono_add(since, US_PER_HOUR - 1);
    assert_int_equal(firsts(world, TARGET_GUARDED), 0x7fe); /* all ten */
    assert_int_equal(guards(world), 0);
    world->now = mono_add(since, US_PER_HOUR);
    unsigned seen = firsts(world, TARGET_GUARDED);
    assert_int_equal(__builtin_popcount(seen), 3);
    assert_int_equal(guards(world), seen);
    world_free(world);
}

static void guards_relay_and_are_enough(void **state) {
    (void)state;
    struct world *world = complete(N_GUARDED, 2, 3, false);
    set_neighbours(world, 0, 0x7f8, an_hour_ago(world)); /* only 1 and 2 relay */
    assert_int_equal(guards(world), 0);
    assert_int_equal(firsts(world, TARGET_GUARDED), 0x6);
    set_neighbours(world, 0, 0x7f0, an_hour_ago(world)); /* and 3 */
    assert_int_equal(guards(world), 0xe);
    world_free(world);
}

static void guards_are_drawn_at_random(void **state) {
    (void)state;
    unsigned chosen[N_GUARDED] = {0};
    uint64_t kept = test_seed;
    for (int i = 0; i < 300; i++, test_seed++) {
        struct world *world = guarded(3);
        for (size_t node = 0; node < N_GUARDED; node++)
            chosen[node] += guards(world) >> node & 1;
        world_free(world);
    }
    test_seed = kept;
    for (size_t node = 1; node < TARGET_GUARDED; node++)
        assert_in_range(chosen[node], 45, 135); /* 90 expected, deviation 8 */
}

static void guards_outlive_their_neighbours(void **state) {
    (void)state;
    struct world *world = guarded(3);
    unsigned set = guards(world);
    for (int i = 0; i < 2000; i++) {
        world->now = mono_add(world->now, US_PER_MINUTE);
        unsigned without = (unsigned)test_next(&world->stream) & ~set;
        set_neighbours(world, without, 0, an_hour_ago(world));
        assert_int_equal(guards(world), set);
    }
    assert_int_equal(firsts(world, TARGET_GUARDED), set);
    world_free(world);
}

static void a_dead_guard_is_replaced_alone(void **state) {
    (void)state;
    struct world *world = guarded(3);
    unsigned set = guards(world), dead = lowest(set);
    struct mono since = an_hour_ago(world);
    set_neighbours(world, dead, 0, since);
    assert_int_equal(firsts(world, TARGET_GUARDED), set & ~dead);
    world->now = mono_add(world->now, 30 * US_PER_S - 1);
    set_neighbours(world, dead, 0, since);
    assert_int_equal(guards(world), set);
    set_neighbours(world, 0, 0, world->now); /* back in time, by a new link */
    assert_int_equal(firsts(world, TARGET_GUARDED), set);
    set_neighbours(world, 0, dead, since); /* or it stops relaying: the same */
    world->now = mono_add(world->now, 30 * US_PER_S);
    unsigned seen = firsts(world, TARGET_GUARDED);
    assert_int_equal(seen, guards(world));
    assert_int_equal(__builtin_popcount(seen), 3);
    assert_int_equal(seen & set, set & ~dead);
    world_free(world);
}

/* The first set waits until there are enough to draw it from; a single place does not. */
static void the_one_candidate_replaces_a_guard(void **state) {
    (void)state;
    struct world *world = guarded(3);
    unsigned set = guards(world), dead = lowest(set), other = lowest(0x7fe & ~set);
    struct mono since = an_hour_ago(world);
    set_neighbours(world, (0x7fe & ~(set | other)) | dead, 0, since);
    world->now = mono_add(world->now, 30 * US_PER_S);
    assert_int_equal(firsts(world, TARGET_GUARDED), (set & ~dead) | other);
    world_free(world);
}

static void nobody_young_replaces_a_guard(void **state) {
    (void)state;
    struct world *world = guarded(3);
    unsigned set = guards(world), dead = lowest(set);
    for (int i = 0; i < 5; i++) {
        world->now = mono_add(world->now, 10 * US_PER_MINUTE);
        set_neighbours(world, dead, 0, world->now);
    }
    assert_int_equal(firsts(world, TARGET_GUARDED), set & ~dead); /* nor do all serve again */
    assert_int_equal(guards(world), set & ~dead);
    world_free(world);
}

static void guards_gone_all_at_once(void **state) {
    (void)state;
    struct world *world = guarded(3);
    unsigned set = guards(world);
    struct mono since = an_hour_ago(world);
    struct path_request request = request_for(TARGET_GUARDED);
    set_neighbours(world, set, 0, since);
    world->now = mono_add(world->now, 5 * US_PER_S - 1);
    expect_refusal(world, &request, PATH_NONE); /* not even the direct link */
    request.strict = true;
    expect_refusal(world, &request, PATH_NONE);
    assert_int_equal(guards(world), set);
    world->now = mono_add(world->now, 1);
    unsigned seen = firsts(world, TARGET_GUARDED);
    assert_int_equal(__builtin_popcount(seen), 3);
    assert_int_equal(seen & set, 0);
    world_free(world);
}

/* All ten stand; the keys of those in `settling` are too new to be sent through. */
static void set_settling(struct world *world, unsigned settling) {
    struct path_neighbour neighbours[LINKS_MAX];
    size_t n = 0;
    for (size_t i = 1; i < TARGET_GUARDED; i++) {
        bool is_new = settling >> i & 1;
        neighbours[n++] =
            (struct path_neighbour){prefix_of(i), !is_new, an_hour_ago(world), is_new};
        topology_set_relay(world->directory.topology, prefix_of(i), !is_new);
    }
    paths_set_neighbours(world->paths, neighbours, n, world->now);
}

/* Guards that change their keys do not get to see us talk in the open, and for a while keep their
 * places. */
static void guards_that_settle_are_waited_for(void **state) {
    (void)state;
    struct world *world = guarded(3);
    unsigned set = guards(world);
    struct path_request request = request_for(TARGET_GUARDED);
    set_settling(world, lowest(set));
    assert_int_equal(firsts(world, TARGET_GUARDED), set & ~lowest(set));
    set_settling(world, 0);
    assert_int_equal(firsts(world, TARGET_GUARDED), set);
    set_settling(world, set);
    world->now = mono_add(world->now, 30 * US_PER_S - 1);
    expect_refusal(world, &request, PATH_NONE); /* not even the direct link */
    assert_int_equal(guards(world), set);
    set_settling(world, 0); /* settled in time */
    assert_int_equal(firsts(world, TARGET_GUARDED), set);
    set_settling(world, set);
    world->now = mono_add(world->now, 30 * US_PER_S);
    unsigned seen = firsts(world, TARGET_GUARDED);
    assert_int_equal(__builtin_popcount(seen), 3);
    assert_int_equal(seen & set, 0);
    world_free(world);
}

static void an_outage_of_ours_costs_no_guard(void **state) {
    (void)state;
    struct world *world = guarded(3);
    unsigned set = guards(world);
    struct mono since = an_hour_ago(world);
    set_neighbours(world, ~0U, 0, since);
    world->now = mono_add(world->now, US_PER_HOUR);
    set_neighbours(world, set, 0, since); /* others answer first */
    assert_int_equal(guards(world), set);
    world->now = mono_add(world->now, US_PER_S);
    set_neighbours(world, 0, 0, since);
    assert_int_equal(firsts(world, TARGET_GUARDED), set);
    world_free(world);
}

static void guards_follow_the_configuration(void **state) {
    (void)state;
    struct world *world = guarded(3);
    unsigned set = guards(world);
    struct path_config config = {.relays = 2, .guards = 5};
    paths_configure(world->paths, &config);
    unsigned more = firsts(world, TARGET_GUARDED);
    assert_int_equal(__builtin_popcount(more), 5);
    assert_int_equal(more & set, set);
    config.guards = 1;
    paths_configure(world->paths, &config);
    assert_int_equal(__builtin_popcount(firsts(world, TARGET_GUARDED)), 1);
    size_t only = (size_t)__builtin_ctz(guards(world));
    assert_int_equal(firsts(world, only), 0x7fe & ~(1U << only)); /* it cannot relay to itself */
    config.guards = 0;
    paths_configure(world->paths, &config);
    assert_int_equal(firsts(world, TARGET_GUARDED), 0x7fe);
    world_free(world);
}

/* ---- Avoiding ---- */

static void avoided_where_another_choice_exists(void **state) {
    (void)state;
    struct world *world = guarded(2);
    uint64_t avoid[N_GUARDED];
    struct path_request request = request_for(TARGET_GUARDED);
    request.relays_exact = 2;
    request.avoid = avoid;
    for (size_t i = 1; i < TARGET_GUARDED - 1; i++)
        avoid[request.n_avoid++] = prefix_of(i);
    bool is_guard =
        paths_is_guard(world->paths, prefix_of(10)); /* then only the other can lead to it */
    for (int i = 0; i < 100; i++) {
        struct sampled s = sample(world, &request);
        assert_int_equal(s.outcome, PATH_OK);
        assert_int_equal(s.hops[1], prefix_of(10));
        assert_true(is_guard || paths_is_guard(world->paths, s.hops[0]));
    }
    avoid[request.n_avoid++] = prefix_of(10);
    for (int i = 0; i < 100; i++)
        assert_int_equal(sample(world, &request).outcome, PATH_OK);
    world_free(world);
}

/* ---- Links that fail ---- */

/* Draw until the path goes by this relay first. */
static struct path *draw_by(struct world *world, const struct path_request *request, size_t node) {
    struct path *path = draw(world, request);
    while (path_first(path) != prefix_of(node)) {
        path_free(path);
        path = draw(world, request);
    }
    return path;
}

static void fail_by(struct world *world, const struct path_request *request, size_t node) {
    struct path *path = draw_by(world, request, node);
    path_failed(world->paths, path, world->now);
    path_free(path);
}

/* Of 20,000 samples, how many pass `node` at hop `place`. */
static unsigned passes(struct world *world, const struct path_request *request, size_t place,
                       size_t node) {
    unsigned n = 0;
    for (int i = 0; i < 20000; i++)
        n += sample(world, request).hops[place] == prefix_of(node) ? 1 : 0;
    return n;
}

#define assert_shunned(n) assert_in_range(n, 500, 750)   /* 1/32: drawn, and redrawn four times */
#define assert_as_any(n) assert_in_range(n, 9500, 10500) /* 1/2 */

static void a_link_that_failed_twice_is_redrawn_four_times(void **state) {
    (void)state;
    struct world *world = fan(2, 1, 3, true);
    publish(world, 0);
    struct path_request request = request_for(3);
    fail_by(world, &request, 1);
    assert_as_any(passes(world, &request, 0, 1));
    fail_by(world, &request, 1);
    assert_shunned(passes(world, &request, 0, 1));
    world->now = mono_add(world->now, US_PER_MINUTE);
    assert_shunned(passes(world, &request, 0, 1));
    world->now = mono_add(world->now, 1);
    assert_as_any(passes(world, &request, 0, 1));
    fail_by(world, &request, 1); /* the second of late, but the first of this minute */
    assert_as_any(passes(world, &request, 0, 1));
    fail_by(world, &request, 1);
    fail_by(world, &request, 2);
    fail_by(world, &request, 2); /* all bad: one is taken all the same */
    assert_as_any(passes(world, &request, 0, 1));
    world_free(world);
}

static void a_success_outweighs_failures(void **state) {
    (void)state;
    struct world *world = fan(2, 1, 3, true);
    publish(world, 0);
    struct path_request request = request_for(3);
    struct path *path = draw_by(world, &request, 1);
    path_worked(world->paths, path, world->now);
    path_free(path);
    world->now = mono_add(world->now, US_PER_MINUTE);
    fail_by(world, &request, 1);
    fail_by(world, &request, 1);
    assert_as_any(passes(world, &request, 0, 1));
    world->now = mono_add(world->now, 1);
    assert_shunned(passes(world, &request, 0, 1));
    world_free(world);
}

/* A tree of 5 hubs, 15 nodes under each and 15 targets under each of those; target 0 hangs on the
 * first two. */
enum {
    HUBS = 5,
    FANOUT = 15,
    MIDS = HUBS * FANOUT,
    FIRST_MID = 1 + HUBS,
    FIRST_LEAF = FIRST_MID + MIDS
};

static struct world *tree(void) {
    struct world *world = world_new(FIRST_LEAF + MIDS * FANOUT, 2, 3, true);
    for (size_t hub = 0; hub < HUBS; hub++)
        join(world, 0, 1 + hub);
    for (size_t mid = 0; mid < MIDS; mid++) {
        join(world, 1 + mid / FANOUT, FIRST_MID + mid);
        for (size_t leaf = mid == 1 ? 1 : 0; leaf < FANOUT; leaf++)
            join(world, FIRST_MID + mid, FIRST_LEAF + mid * FANOUT + leaf);
    }
    join(world, FIRST_MID + 1, FIRST_LEAF);
    publish(world, 0);
    return world;
}

/* A path to that leaf works. Returns how many links are new to the record. */
static unsigned work(struct world *world, size_t leaf) {
    struct path_request request = request_for(FIRST_LEAF + leaf);
    struct path *path = draw(world, &request);
    world->now = mono_add(world->now, 1);
    path_worked(world->paths, path, world->now);
    path_free(path);
    return leaf == 1                                  ? 0
           : leaf % (FANOUT * FANOUT) == 0            ? 3
           : leaf % FANOUT == 0 || leaf == FANOUT + 1 ? 2
                                                      : 1;
}

static void the_oldest_record_goes(void **state) {
    (void)state;
    struct world *world = tree();
    struct path_request request = request_for(FIRST_LEAF);
    for (int failures = 0; failures < 2;) {
        struct path *path = draw(world, &request);
        uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
        assert_int_equal(path_hops(path, hops), 3);
        if (hops[1] == prefix_of(FIRST_MID)) {
            path_failed(world->paths, path, world->now);
            failures++;
        }
        path_free(path);
    }
    unsigned links =
        4; /* those three, and the one to leaf 1, whose path clears the two before it */
    size_t leaf = 1;
    for (; links < RECORD_LINKS; leaf++)
        if (leaf != FANOUT) /* which does not exist: leaf 0 hangs there */
            links += work(world, leaf);
    assert_int_equal(links, RECORD_LINKS);
    assert_shunned(passes(world, &request, 1, FIRST_MID));
    assert_int_equal(work(world, leaf), 1);
    assert_as_any(passes(world, &request, 1, FIRST_MID));
    world_free(world);
}

/* ---- Live paths ---- */

struct receiver { /* what each hop of a path makes of its packets */
    uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
    uint8_t prk[TOPOLOGY_RELAYS_MAX + 1][ONION_PRK_LEN];
    uint16_t index[TOPOLOGY_RELAYS_MAX + 1];
    size_t n;
    unsigned minute;
};

/* Check a packet at one hop; ret_next is what it passes on. */
static void receive(struct receiver *receiver, size_t hop, const uint8_t *packet, bool is_new,
                    int64_t epoch, uint8_t *ret_next, struct onion_peeled *ret_peeled) {
    if (is_new) {
        uint8_t secret[KEY_LEN], public[KEY_LEN];
        routing_secret(receiver->hops[hop], epoch, secret);
        crypto_scalarmult_base(public, secret);
        assert_int_equal(onion_prk(onion_eph(packet), secret, public, receiver->prk[hop]), 0);
    }
    assert_int_equal(packet[0], epoch & 0xff);
    assert_int_equal(onion_peel(packet, receiver->prk[hop], ret_next, ret_peeled), 0);
    assert_int_equal(ret_peeled->slot, receiver->minute);
    receiver->index[hop] = ret_peeled->index;
    if (hop + 1 < receiver->n) {
        assert_int_equal(ret_peeled->command, ONION_FORWARD);
        assert_int_equal(ret_peeled->next, receiver->hops[hop + 1]);
    }
}

/* Seal and peel one packet along all hops. */
static void carry(struct world *world, struct path *path, struct receiver *receiver,
                  uint16_t number, const char *text) {
    uint8_t packet[2][ONION_LEN];
    struct onion_peeled peeled = {0};
    assert_int_equal(path_seal(world->paths, path, text, strlen(text), packet[0]), number);
    for (size_t hop = 0; hop < receiver->n; hop++)
        receive(receiver, hop, packet[hop % 2], number == 0, wall_epoch(world->wall),
                packet[(hop + 1) % 2], &peeled);
    assert_int_equal(peeled.command, ONION_DELIVER);
    assert_int_equal(peeled.payload_length, strlen(text));
    assert_memory_equal(peeled.payload, text, strlen(text));
}

static void sealed_packets_peel_at_every_hop(void **state) {
    (void)state;
    struct world *world = complete(12, 3, 3, false);
    for (uint8_t relays = 0; relays <= TOPOLOGY_RELAYS_MAX; relays++) {
        struct path_request request = request_for(11);
        request.relays_exact = relays;
        world->wall.us = (FIRST_EPOCH + relays % 2) * EPOCH_US + relays * US_PER_MINUTE * 11;
        struct path *path = draw(world, &request);
        struct receiver receiver = {.minute = relays * 11};
        receiver.n = path_hops(path, receiver.hops);
        assert_int_equal(receiver.n, relays + 1);
        assert_int_equal(path_first(path), receiver.hops[0]);
        assert_int_equal(receiver.hops[relays], prefix_of(11));
        for (uint16_t i = 0; i < 3; i++)
            carry(world, path, &receiver, i, "to be or not to be");
        path_free(path);
    }
    world_free(world);
}

static void each_hop_sees_every_index_once(void **state) {
    (void)state;
    enum { HOPS = 3 };
    struct world *world = complete(12, 2, 3, false);
    struct path_request request = request_for(11);
    request.relays_exact = HOPS - 1;
    struct path *path = draw(world, &request);
    struct receiver receiver = {.minute = 17};
    receiver.n = path_hops(path, receiver.hops);
    static bool seen[HOPS][ONION_INDEX_COUNT];
    unsigned alike = 0, ascending = 0, last = 0;
    for (uint16_t i = 0; i < PATH_PACKETS_MAX; i++) {
        assert_true(path_is_usable(world->paths, path, (struct now){world->now, world->wall}));
        carry(world, path, &receiver, i, "x");
        for (size_t hop = 0; hop < HOPS; hop++) {
            assert_true(receiver.index[hop] < ONION_INDEX_COUNT);
            assert_false(seen[hop][receiver.index[hop]]);
            seen[hop][receiver.index[hop]] = true;
        }
        alike += receiver.index[0] == receiver.index[1] ? 1 : 0;
        ascending += receiver.index[0] > last ? 1 : 0;
        last = receiver.index[0];
    }
    assert_false(path_is_usable(world->paths, path, (struct now){world->now, world->wall}));
    assert_true(alike < 12); /* 1 expected */
    assert_in_range(ascending, 400, 624);
    path_free(path);
    world_free(world);
}

static void usable_while_young_and_linked(void **state) {
    (void)state;
    struct world *world = complete(12, 2, 3, false);
    struct path_request request = request_for(11);
    struct path *path = draw(world, &request);
    const struct paths *paths = world->paths;
    struct wall wall = world->wall; /* minute 17 */
    assert_true(
        path_is_usable(paths, path, (struct now){mono_add(world->now, PATH_LIFE_US - 1), wall}));
    assert_false(
        path_is_usable(paths, path, (struct now){mono_add(world->now, PATH_LIFE_US), wall}));
    for (int64_t minutes = -3; minutes <= 3; minutes++) {
        struct wall then = {wall.us + minutes * US_PER_MINUTE};
        assert_int_equal(path_is_usable(paths, path, (struct now){world->now, then}),
                         minutes > -3 && minutes < 3);
    }
    uint64_t first = path_first(path);
    set_neighbours(world, 1U << node_of(first), 0, world->now);
    assert_false(path_is_usable(paths, path, (struct now){world->now, wall}));
    set_neighbours(world, 0, 0, world->now);
    assert_true(path_is_usable(paths, path, (struct now){world->now, wall}));
    path_free(path);

    world->wall.us = (FIRST_EPOCH + 1) * EPOCH_US - 1; /* the epoch's last microsecond */
    path = draw(world, &request);
    assert_true(path_is_usable(paths, path, (struct now){world->now, world->wall}));
    assert_false(
        path_is_usable(paths, path, (struct now){world->now, (struct wall){world->wall.us + 1}}));
    path_free(path);
    path_free(NULL);
    world_free(world);
    paths_free(NULL);
}

static void live_paths_are_bounded(void **state) {
    (void)state;
    struct world *world = world_new(2, 3, 3, false);
    static struct path *paths[LIVE_MAX];
    join(world, 0, 1);
    publish(world, 0);
    struct path_request request = request_for(1);
    for (int i = 0; i < LIVE_MAX; i++)
        paths[i] = draw(world, &request);
    expect_refusal(world, &request, PATH_NONE);
    path_free(paths[5]);
    paths[5] = draw(world, &request);
    expect_refusal(world, &request, PATH_NONE);
    for (int i = 0; i < LIVE_MAX; i++)
        path_free(paths[i]);
    world_free(world);
}

static void a_path_of_one_use(void **state) {
    (void)state;
    struct world *world = complete(12, 2, 3, false);
    struct path_config once = {.relays = 2, .guards = 3, .once = true};
    struct path_request request = request_for(11);
    assert_true(paths_reuse(world->paths));
    paths_configure(world->paths, &once);
    assert_false(paths_reuse(world->paths));
    struct path *path = draw(world, &request);
    struct receiver receiver = {.minute = 17};
    receiver.n = path_hops(path, receiver.hops);
    assert_true(path_is_usable(world->paths, path, (struct now){world->now, world->wall}));
    carry(world, path, &receiver, 0, "x");
    assert_false(path_is_usable(world->paths, path, (struct now){world->now, world->wall}));
    path_free(path);
    world_free(world);
}

/* ---- Paths made ahead ---- */

/* All that is due now. Returns in how many pieces. */
static unsigned prepare(struct world *world) {
    unsigned n = 0;
    while (paths_next(world->paths).us <= world->now.us + 2 * US_PER_MS) {
        world->now = paths_next(world->paths);
        paths_prepare(world->paths, (struct now){world->now, world->wall});
        assert_true(++n < 1000);
    }
    return n;
}

static struct path_request expect(struct world *world, size_t target) {
    struct path_request request = request_for(target);
    request.again = true;
    paths_expect(world->paths, &request, world->now);
    return request;
}

/* Keys are made of randomness: a path that was keyed before takes none. */
static bool draws_a_spare(struct world *world, const struct path_request *request,
                          struct path **ret_path) {
    uint64_t before = world->stream.state;
    *ret_path = draw(world, request);
    return world->stream.state == before;
}

static void spares_are_ready_when_wanted(void **state) {
    (void)state;
    struct world *world = complete(12, 2, 3, false);
    struct path *path;
    assert_int_equal(paths_next(world->paths).us, MONO_NEVER.us);
    struct path_request request = expect(world, 11);
    assert_true(paths_next(world->paths).us > world->now.us); /* not in this step */
    /* A draw, a hop each, and one look that finds nothing more. */
    assert_in_range(prepare(world), 1 + 3 + 1, 1 + 4 + 1);
    world->now.us += 20 * US_PER_S;
    world->wall.us += US_PER_MINUTE;
    assert_true(draws_a_spare(world, &request, &path));
    /* The relays see the minute of the use. */
    struct receiver receiver = {.minute = 18};
    receiver.n = path_hops(path, receiver.hops);
    carry(world, path, &receiver, 0, "made ahead");
    assert_true(path_is_usable(world->paths, path,
                               (struct now){mono_add(world->now, PATH_LIFE_US - 1), world->wall}));
    path_free(path);
    /* The next one is made at once; who draws without the word gets none. */
    prepare(world);
    request.again = false;
    assert_false(draws_a_spare(world, &request, &path));
    path_free(path);
    request.again = true;
    assert_true(draws_a_spare(world, &request, &path));
    path_free(path);
    world_free(world);
}

static void a_spare_in_part_is_finished(void **state) {
    (void)state;
    struct world *world = complete(12, 2, 3, false);
    struct path_request request = expect(world, 11);
    for (int i = 0; i < 2; i++) {
        world->now.us++;
        paths_prepare(world->paths, (struct now){world->now, world->wall});
    }
    struct path *path = draw(world, &request);
    struct receiver receiver = {.minute = 17};
    receiver.n = path_hops(path, receiver.hops);
    carry(world, path, &receiver, 0, "half made ahead");
    path_free(path);
    world_free(world);
}

/* As many as were drawn together, and they pass different relays. */
static void spares_follow_what_is_drawn(void **state) {
    (void)state;
    struct world *world = complete(12, 2, 3, false);
    struct path_request request = request_for(11);
    struct path *path[PATH_SPARES_EACH + 1];
    uint64_t relays[PATH_SPARES_EACH * TOPOLOGY_RELAYS_MAX];
    request.again = true;
    for (unsigned i = 0; i <= PATH_SPARES_EACH; i++) {
        path[i] = draw(world, &request);
        path_free(path[i]);
    }
    prepare(world);
    request.avoid = relays;
    for (unsigned i = 0; i < PATH_SPARES_EACH; i++) {
        uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
        assert_true(draws_a_spare(world, &request, &path[i]));
        size_t n = path_hops(path[i], hops);
        for (size_t j = 1; j + 1 < n; j++) {
            for (size_t k = 0; k < request.n_avoid; k++)
                assert_int_not_equal(relays[k], hops[j]);
            relays[request.n_avoid++] = hops[j];
        }
    }
    assert_false(draws_a_spare(world, &request, &path[PATH_SPARES_EACH]));
    for (unsigned i = 0; i <= PATH_SPARES_EACH; i++)
        path_free(path[i]);
    world_free(world);
}

enum spoiling {
    SPOIL_NOTHING,
    SPOIL_AGE,
    SPOIL_KEY,
    SPOIL_LINK,
    SPOIL_RELAY,
    SPOIL_NEIGHBOUR,
    SPOIL_RULES,
    SPOIL_EPOCH,
    SPOIL_END
};

/* One path there is: ourselves, 1, 2, 3; and later another by way of 4. */
static void spoil(struct world *world, enum spoiling how) {
    struct path_config config = {.relays = 2, .guards = 3};
    switch (how) {
    case SPOIL_AGE:
        world->now.us += PATH_SPARE_LIFE_US;
        break;
    case SPOIL_KEY:
        set_key(world, 2, KEY_NONE);
        break;
    case SPOIL_LINK:
        topology_set(world->directory.topology, prefix_of(2), true, NULL, 0);
        break;
    case SPOIL_RELAY: /* it stopped relaying */
        topology_set(world->directory.topology, prefix_of(2), false, world->directory.links[2],
                     world->directory.n_links[2]);
        break;
    case SPOIL_NEIGHBOUR:
        paths_set_neighbours(world->paths, NULL, 0, world->now);
        break;
    case SPOIL_RULES:
        paths_configure(world->paths, &config);
        break;
    case SPOIL_EPOCH:
        world->wall.us += EPOCH_US;
        break;
    default:
        break;
    }
}

static void spares_that_are_no_good_go(void **state) {
    (void)state;
    for (enum spoiling how = SPOIL_NOTHING; how < SPOIL_END; how++) {
        struct world *world = world_new(4, 2, 3, true);
        struct path *path = NULL;
        bool fewer;
        for (size_t i = 0; i < 3; i++)
            join(world, i, i + 1);
        publish(world, 0);
        struct path_request request = expect(world, 3);
        prepare(world);
        spoil(world, how);
        uint64_t before = world->stream.state;
        enum path_outcome outcome =
            path_draw(world->paths, &request, (struct now){world->now, world->wall}, &path, &fewer);
        bool is_dead =
            how == SPOIL_KEY || how == SPOIL_LINK || how == SPOIL_RELAY || how == SPOIL_NEIGHBOUR;
        assert_int_equal(outcome == PATH_OK, !is_dead);
        assert_int_equal(world->stream.state == before && !is_dead, how == SPOIL_NOTHING);
        path_free(path);
        world_free(world);
    }
}

/* Nearly all places are taken by paths in use: no spare is given up to make another, for ever. */
static void spares_rest_where_there_is_no_room(void **state) {
    (void)state;
    struct world *world = fan(12, 1, 0, false);
    struct path *held[1024 - 2], *path[4]; /* 1,024 is all that there may be */
    publish(world, 0);
    struct path_request request = request_for(13);
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        held[i] = draw(world, &request);
    request.again = true;
    for (unsigned i = 0; i < 4; i++) { /* four are wanted, two have room */
        path[i] = draw(world, &request);
        if (i % 2 == 1) {
            path_free(path[i]);
            path_free(path[i - 1]);
        }
    }
    unsigned steps = 0;
    world->now.us += 10 * US_PER_MS;
    for (; mono_is_due(paths_next(world->paths), mono_add(world->now, US_PER_MS)) && steps < 1000;
         steps++) {
        world->now.us += 50;
        paths_prepare(world->paths, (struct now){world->now, world->wall});
    }
    assert_true(steps < 1000);
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        path_free(held[i]);
    world_free(world);
}

static void spares_past_bad_links(void **state) {
    (void)state;
    struct world *world = fan(2, 1, 3, false);
    publish(world, 0);
    struct path_request request = expect(world, 3);
    struct path *path;
    prepare(world);
    assert_true(draws_a_spare(world, &request, &path));
    uint64_t first = path_first(path);
    path_free(path);
    for (unsigned i = 0; i < 64; i++) { /* until the spare goes the same way */
        prepare(world);
        path = draw(world, &request);
        if (path_first(path) == first)
            break;
        path_free(path);
    }
    prepare(world);
    path_failed(world->paths, path, world->now);
    path_failed(world->paths, path, world->now);
    path_free(path);
    unsigned same = 0;
    for (unsigned i = 0; i < 64; i++) {
        prepare(world);
        path = draw(world, &request);
        same += path_first(path) == first;
        path_free(path);
    }
    assert_true(same < 16); /* five draws in a row: 2 expected; 32 without the record */
    world_free(world);
}

static void spares_end_with_the_talk(void **state) {
    (void)state;
    struct world *world = complete(12, 2, 3, false);
    struct path_request request = expect(world, 11);
    struct path *path;
    int64_t began = world->now.us;
    prepare(world);
    while (paths_next(world->paths).us != MONO_NEVER.us) {
        world->now = paths_next(world->paths);
        prepare(world);
        assert_true(world->now.us - began < 2 * US_PER_MINUTE);
    }
    assert_true(world->now.us - began >= US_PER_MINUTE);
    assert_false(draws_a_spare(world, &request, &path));
    path_free(path);
    world_free(world);
}

static void spares_are_bounded(void **state) {
    (void)state;
    enum { TARGETS = PATH_EXPECTED_MAX + 1 };
    struct world *world = world_new(TARGETS + 1, 0, 3, false);
    static struct path *paths[LIVE_MAX];
    struct path_request request;
    for (size_t i = 1; i <= TARGETS; i++)
        half_link(world, i, 0);
    struct path_neighbour neighbours[1] = {{prefix_of(1), true, world->now, false}};
    uint64_t self[] = {prefix_of(1)};
    for (size_t i = 2; i <= TARGETS; i++) { /* all linked to 1, who is linked to as many as fit */
        uint64_t one = prefix_of(1);
        topology_set(world->directory.topology, prefix_of(i), true, &one, 1);
    }
    topology_set_self(world->directory.topology, prefix_of(0), self, 1);
    uint64_t us = prefix_of(0);
    topology_set(world->directory.topology, prefix_of(1), true, &us, 1);
    paths_set_neighbours(world->paths, neighbours, 1, world->now);
    /* Who was expected first is forgotten for the last. */
    struct path_request first = expect(world, 1);
    prepare(world);
    for (size_t i = 2; i <= TARGETS; i++) {
        world->now.us++;
        request = expect(world, i);
    }
    prepare(world);
    assert_false(draws_a_spare(world, &first, &paths[0]));
    /* All places are for those that are used: spares give way. */
    for (int i = 1; i < LIVE_MAX; i++)
        paths[i] = draw(world, &first);
    expect_refusal(world, &first, PATH_NONE);
    for (int i = 0; i < LIVE_MAX; i++)
        path_free(paths[i]);
    (void)request;
    world_free(world);
}

int main(int argc, char **argv) {
    if (!test_begin(argc, argv))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(length_gives_sixteen_choices_and_hides_the_place),
        cmocka_unit_test(sixteen_is_the_bound),
        cmocka_unit_test(most_choices_where_none_has_enough),
        cmocka_unit_test(fewer_only_where_not_strict),
        cmocka_unit_test(apart_paths_share_no_relay),
        cmocka_unit_test(apart_paths_share_what_they_must),
        cmocka_unit_test(a_try_goes_past_what_was_silent),
        cmocka_unit_test(silence_is_lifted_and_bounded),
        cmocka_unit_test(silence_draws_no_other_guards),
        cmocka_unit_test(short_paths_wait_where_relays_are_enough),
        cmocka_unit_test(a_full_path_begins_the_wait_anew),
        cmocka_unit_test(waits_are_bounded),
        cmocka_unit_test(direct_link_is_the_last_resort),
        cmocka_unit_test(keys_that_settle_are_waited_for),
        cmocka_unit_test(exactly_means_exactly),
        cmocka_unit_test(unknown_targets),
        cmocka_unit_test(relays_without_a_good_key_are_drawn_around),
        cmocka_unit_test(guards_are_drawn_after_an_hour),
        cmocka_unit_test(guards_relay_and_are_enough),
        cmocka_unit_test(guards_are_drawn_at_random),
        cmocka_unit_test(guards_outlive_their_neighbours),
        cmocka_unit_test(a_dead_guard_is_replaced_alone),
        cmocka_unit_test(the_one_candidate_replaces_a_guard),
        cmocka_unit_test(nobody_young_replaces_a_guard),
        cmocka_unit_test(guards_gone_all_at_once),
        cmocka_unit_test(guards_that_settle_are_waited_for),
        cmocka_unit_test(an_outage_of_ours_costs_no_guard),
        cmocka_unit_test(guards_follow_the_configuration),
        cmocka_unit_test(avoided_where_another_choice_exists),
        cmocka_unit_test(a_link_that_failed_twice_is_redrawn_four_times),
        cmocka_unit_test(a_success_outweighs_failures),
        cmocka_unit_test(the_oldest_record_goes),
        cmocka_unit_test(sealed_packets_peel_at_every_hop),
        cmocka_unit_test(each_hop_sees_every_index_once),
        cmocka_unit_test(usable_while_young_and_linked),
        cmocka_unit_test(live_paths_are_bounded),
        cmocka_unit_test(a_path_of_one_use),
        cmocka_unit_test(spares_are_ready_when_wanted),
        cmocka_unit_test(a_spare_in_part_is_finished),
        cmocka_unit_test(spares_follow_what_is_drawn),
        cmocka_unit_test(spares_that_are_no_good_go),
        cmocka_unit_test(spares_rest_where_there_is_no_room),
        cmocka_unit_test(spares_past_bad_links),
        cmocka_unit_test(spares_end_with_the_talk),
        cmocka_unit_test(spares_are_bounded),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
