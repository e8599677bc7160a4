/* link: daemon/core/directory/topology daemon/core/directory/topology_draw */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/directory/topology.h"
#include "tests/unit/harness.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NODES_MAX 40
#define PATHS_MAX 20000

static struct core_random stream_random(struct test_stream *stream) {
    *stream = (struct test_stream){test_seed};
    return (struct core_random){test_fill, stream};
}

/* ---- The model: claims in a plain table, links and paths found by looking at everything ---- */

struct model {
    size_t n;
    bool known[NODES_MAX], relay[NODES_MAX];
    uint64_t claims[NODES_MAX][TOPOLOGY_DEGREE_MAX];
    size_t n_claims[NODES_MAX];
};

/* Node 0 is ourselves. */
static uint64_t prefix_of(size_t node) {
    return UINT64_C(0xabcd000000000000) + node;
}

static size_t node_of(uint64_t prefix) {
    return (size_t)(prefix - prefix_of(0));
}

static bool model_claims(const struct model *model, size_t a, size_t b) {
    for (size_t i = 0; i < model->n_claims[a]; i++)
        if (model->claims[a][i] == prefix_of(b))
            return true;
    return false;
}

static bool model_linked(const struct model *model, size_t a, size_t b) {
    if (a == b || !model->known[a] || !model->known[b])
        return false;
    if (a == 0 || b == 0)
        return model_claims(model, 0, a + b);
    return model_claims(model, a, b) && model_claims(model, b, a);
}

struct brute {
    const struct model *model;
    size_t target;
    unsigned relays;
    const uint64_t *firsts, *avoid;
    size_t n_firsts, n_avoid;
    size_t path[TOPOLOGY_RELAYS_MAX];
    uint64_t keys[PATHS_MAX]; /* a path as digits */
    size_t n;
};

static bool has(const uint64_t *v, size_t n, uint64_t x) {
    for (size_t i = 0; i < n; i++)
        if (v[i] == x)
            return true;
    return false;
}

static void brute_from(struct brute *brute, unsigned depth) {
    const struct model *model = brute->model;
    size_t last = depth == 0 ? 0 : brute->path[depth - 1];
    if (depth == brute->relays) {
        if (!model_linked(model, last, brute->target))
            return;
        uint64_t key = 1;
        for (unsigned i = 0; i < depth; i++)
            key = key * NODES_MAX + brute->path[i];
        assert_true(brute->n < PATHS_MAX);
        brute->keys[brute->n++] = key;
        return;
    }
    for (size_t v = 1; v < model->n; v++) {
        bool repeats = v == brute->target;
        for (unsigned i = 0; i < depth; i++)
            repeats = repeats || brute->path[i] == v;
        if (repeats || !model->relay[v] || !model_linked(model, last, v))
            continue;
        if (depth == 0 && brute->firsts && !has(brute->firsts, brute->n_firsts, prefix_of(v)))
            continue;
        if (depth > 0 && has(brute->avoid, brute->n_avoid, prefix_of(v)))
            continue;
        brute->path[depth] = v;
        brute_from(brute, depth + 1);
    }
}

static void brute_run(struct brute *brute, const struct model *model,
                      const struct topology_query *query) {
    *brute = (struct brute){.model = model,
                            .target = node_of(query->target),
                            .relays = query->relays,
                            .firsts = query->firsts,
                            .n_firsts = query->n_firsts,
                            .avoid = query->avoid,
                            .n_avoid = query->n_avoid};
    if (brute->target != 0 && model->known[brute->target])
        brute_from(brute, 0);
}

static size_t brute_index(const struct brute *brute, const uint64_t *path) {
    uint64_t key = 1;
    for (unsigned i = 0; i < brute->relays; i++)
        key = key * NODES_MAX + node_of(path[i]);
    assert_int_equal(path[brute->relays], prefix_of(brute->target));
    for (size_t i = 0; i < brute->n; i++)
        if (brute->keys[i] == key)
            return i;
    fail_msg("drew a path that the model does not have");
    return 0;
}

static void claim(struct topology *topology, struct model *model, size_t node, bool relay,
                  const uint64_t *claims, size_t n) {
    model->known[node] = true;
    model->relay[node] = relay;
    model->n_claims[node] = n;
    memcpy(model->claims[node], claims, n * sizeof *claims);
    if (node == 0)
        assert_int_equal(topology_set_self(topology, prefix_of(0), claims, n), 0);
    else
        assert_int_equal(topology_set(topology, prefix_of(node), relay, claims, n), 0);
}

static void remove_node(struct topology *topology, struct model *model, size_t node) {
    model->known[node] = false;
    topology_remove(topology, prefix_of(node));
}

/* Random claims, mostly upwards and downwards by a symmetric rule, so that many are mutual and some
 * are not. */
static void claim_randomly(struct topology *topology, struct model *model, size_t node,
                           unsigned density, struct test_stream *stream) {
    uint64_t claims[TOPOLOGY_DEGREE_MAX];
    size_t n = 0;
    for (size_t v = 0; v < model->n && n < TOPOLOGY_DEGREE_MAX; v++) {
        uint64_t low = v < node ? v : node, high = v < node ? node : v;
        struct test_stream pair = {test_seed ^ (low * NODES_MAX + high)};
        bool wanted = test_next(&pair) % 100 < density;
        if (v != node && wanted != (test_next(stream) % 16 == 0))
            claims[n++] = prefix_of(v);
    }
    claim(topology, model, node, test_next(stream) % 5 != 0, claims, n);
}

/* Everything linked to everything, all relay. */
static struct topology *complete(struct model *model, size_t n) {
    struct topology *topology = topology_new();
    assert_non_null(topology);
    *model = (struct model){.n = n};
    for (size_t v = 0; v < n; v++) {
        uint64_t claims[TOPOLOGY_DEGREE_MAX];
        size_t k = 0;
        for (size_t u = 0; u < n; u++)
            if (u != v)
                claims[k++] = prefix_of(u);
        claim(topology, model, v, true, claims, k);
    }
    return topology;
}

/* ---- Tests ---- */

static void check_links(const struct topology *topology, const struct model *model) {
    size_t known = 0;
    for (size_t a = 0; a < model->n; a++) {
        uint64_t list[TOPOLOGY_DEGREE_MAX];
        size_t degree = 0, n = topology_neighbours(topology, prefix_of(a), list);
        known += model->known[a] ? 1 : 0;
        for (size_t b = 0; b < model->n; b++) {
            bool linked = model_linked(model, a, b);
            assert_int_equal(topology_has_link(topology, prefix_of(a), prefix_of(b)), linked);
            if (linked && n < TOPOLOGY_DEGREE_MAX)
                assert_true(has(list, n, prefix_of(b)));
            degree += linked ? 1 : 0;
        }
        assert_int_equal(n, degree < TOPOLOGY_DEGREE_MAX ? degree : TOPOLOGY_DEGREE_MAX);
    }
    assert_int_equal(topology_nodes(topology), known);
}

static void check_query(struct topology *topology, const struct model *model,
                        const struct topology_query *query, struct brute *brute,
                        const struct core_random *random) {
    uint64_t path[TOPOLOGY_RELAYS_MAX + 1];
    brute_run(brute, model, query);
    assert_int_equal(topology_count(topology, query, UINT64_MAX), brute->n);
    assert_int_equal(topology_count(topology, query, 16), brute->n < 16 ? brute->n : 16);
    double estimate = topology_estimate(topology, query, random);
    assert_int_equal(estimate > 0, brute->n > 0);
    assert_true(fabs(estimate - (double)brute->n) <= 0.25 * (double)brute->n);
    int result = topology_sample(topology, query, random, path);
    assert_int_equal(result, brute->n > 0 ? 0 : -ENOENT);
    for (int i = 0; i < 4 && result == 0; i++) {
        (void)brute_index(brute, path); /* fails the test where the path is none */
        assert_int_equal(topology_sample(topology, query, random, path), 0);
    }
}

static void query_randomly(struct topology *topology, const struct model *model,
                           struct brute *brute, const struct core_random *random) {
    struct test_stream *stream = random->context;
    uint64_t firsts[3], avoid[4];
    for (int i = 0; i < 3; i++)
        firsts[i] = prefix_of(test_next(stream) % model->n);
    for (int i = 0; i < 4; i++)
        avoid[i] = prefix_of(test_next(stream) % model->n);
    struct topology_query query = {.target = prefix_of(test_next(stream) % model->n),
                                   .relays =
                                       (unsigned)(test_next(stream) % (TOPOLOGY_RELAYS_MAX + 1))};
    check_query(topology, model, &query, brute, random);
    query.firsts = firsts;
    query.n_firsts = 3;
    check_query(topology, model, &query, brute, random);
    query.avoid = avoid;
    query.n_avoid = 4;
    check_query(topology, model, &query, brute, random);
}

/* Small random graphs under random claims and removals, against the model. */
static void counts_as_brute_force(void **state) {
    (void)state;
    struct test_stream stream;
    struct core_random random = stream_random(&stream);
    static struct brute brute;
    for (int round = 0; round < 60; round++) {
        struct topology *topology = topology_new();
        struct model model = {.n = 4 + test_next(&stream) % 10};
        unsigned density = 15 + (unsigned)(test_next(&stream) % 60);
        for (int step = 0; step < 80; step++) {
            size_t node = test_next(&stream) % model.n;
            if (node > 0 && test_next(&stream) % 8 == 0)
                remove_node(topology, &model, node);
            else
                claim_randomly(topology, &model, node, density, &stream);
            if (step % 4 == 3) {
                check_links(topology, &model);
                query_randomly(topology, &model, &brute, &random);
            }
        }
        topology_free(topology);
    }
}

/* Beyond the first capacity, with numbers given back and taken again. */
static void survives_growth_and_churn(void **state) {
    (void)state;
    struct test_stream stream = {test_seed};
    struct topology *topology = topology_new();
    struct model model = {.n = NODES_MAX};
    for (int step = 0; step < 4000; step++) {
        size_t node = test_next(&stream) % NODES_MAX;
        if (node > 0 && test_next(&stream) % 3 == 0)
            remove_node(topology, &model, node);
        else
            claim_randomly(topology, &model, node, 30, &stream);
        if (step % 50 == 0)
            check_links(topology, &model);
    }
    topology_free(topology);
}

/* Upper bound of a chi-square of so many degrees that chance exceeds once in 10^6 (Wilson and
 * Hilferty). */
static double chi_square_bound(double degrees) {
    double t = 2 / (9 * degrees);
    return degrees * pow(1 - t + 4.753 * sqrt(t), 3);
}

static void check_uniform(struct topology *topology, const struct model *model,
                          const struct topology_query *query, size_t n_expected,
                          unsigned draws_a_path) {
    struct test_stream stream;
    struct core_random random = stream_random(&stream);
    static struct brute brute;
    static unsigned seen[PATHS_MAX];
    brute_run(&brute, model, query);
    assert_true(brute.n >= 2);
    if (n_expected > 0)
        assert_int_equal(brute.n, n_expected);
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < draws_a_path * brute.n; i++) {
        uint64_t path[TOPOLOGY_RELAYS_MAX + 1];
        assert_int_equal(topology_sample(topology, query, &random, path), 0);
        seen[brute_index(&brute, path)]++;
    }
    double chi_square = 0;
    for (size_t i = 0; i < brute.n; i++)
        chi_square += pow((double)seen[i] - draws_a_path, 2) / draws_a_path;
    assert_true(chi_square < chi_square_bound((double)(brute.n - 1)));
}

static void draws_uniformly(void **state) {
    (void)state;
    struct model model;
    struct topology *topology = complete(&model, 8);
    for (unsigned relays = 1; relays <= 4; relays++)
        check_uniform(topology, &model,
                      &(struct topology_query){.target = prefix_of(7), .relays = relays},
                      (size_t[]){6, 30, 120, 360}[relays - 1], 100);
    topology_free(topology);

    /* No two nodes alike: uniform over paths is not uniform at each step here. */
    struct test_stream stream = {test_seed};
    topology = topology_new();
    model = (struct model){.n = 14};
    for (size_t v = 0; v < model.n; v++)
        claim_randomly(topology, &model, v, 60, &stream);
    unsigned checked = 0;
    for (size_t target = 1; target < model.n; target++) {
        struct topology_query query = {.target = prefix_of(target), .relays = 3};
        if (topology_count(topology, &query, 2) < 2)
            continue;
        check_uniform(topology, &model, &query, 0, 100);
        checked++;
    }
    assert_true(checked >= 5);
    topology_free(topology);
}

static void draws_uniformly_through_guards(void **state) {
    (void)state;
    struct model model;
    struct topology *topology = complete(&model, 9);
    uint64_t firsts[] = {prefix_of(2), prefix_of(5)}, avoid[] = {prefix_of(2), prefix_of(3)};
    struct topology_query query = {
        .target = prefix_of(8), .relays = 3, .firsts = firsts, .n_firsts = 2};
    check_uniform(topology, &model, &query, 60, 100);
    query.avoid = avoid;
    query.n_avoid = 2; /* 2 stays a guard and is no later relay; of 3 either */
    check_uniform(topology, &model, &query, 5 * 4 + 4 * 3, 100);
    topology_free(topology);
}

/* A star of dead ends around the only way: hardly a walk is simple, and the list is drawn from. */
static void draws_uniformly_where_rejection_fails(void **state) {
    (void)state;
    enum { HUB = 1, CHAIN = 16, TARGET = 20 };
    struct topology *topology = topology_new();
    struct model model = {.n = 21};
    uint64_t hub[TOPOLOGY_DEGREE_MAX], self[] = {prefix_of(HUB)};
    claim(topology, &model, 0, true, self, 1);
    for (size_t i = 0; i < 15; i++) { /* leaves 2..14, then the two ways on: 15 and 16 */
        hub[i] = prefix_of(i + 2);
        uint64_t leaf[] = {prefix_of(HUB), prefix_of(17)};
        claim(topology, &model, i + 2, true, leaf, i + 2 >= 15 ? 2 : 1);
    }
    hub[15] = prefix_of(TARGET); /* so that hub, leaf, hub, leaf, hub, target is a walk */
    claim(topology, &model, HUB, true, hub, 16);
    uint64_t way[] = {prefix_of(15), prefix_of(16), prefix_of(18)};
    claim(topology, &model, 17, true, way, 3);
    uint64_t near[] = {prefix_of(17), prefix_of(19)}, next[] = {prefix_of(18), prefix_of(TARGET)};
    claim(topology, &model, 18, true, near, 2);
    claim(topology, &model, 19, true, next, 2);
    uint64_t target[] = {prefix_of(HUB), prefix_of(19)};
    claim(topology, &model, TARGET, true, target, 2);
    struct topology_query query = {.target = prefix_of(TARGET), .relays = 5};
    check_uniform(topology, &model, &query, 2,
                  5000); /* of 15 * 15 and some walks: a list now and then */

    uint64_t avoid[] = {prefix_of(15), prefix_of(16)}, path[TOPOLOGY_RELAYS_MAX + 1] = {0};
    query.avoid = avoid;
    query.n_avoid = 2;
    struct test_stream stream;
    struct core_random random = stream_random(&stream);
    assert_int_equal(topology_sample(topology, &query, &random, path), -ENOENT);
    assert_int_equal(path[0], 0); /* written on success only */
    topology_free(topology);
}

static void one_sided_claims_do_not_count(void **state) {
    (void)state;
    struct topology *topology = topology_new();
    uint64_t one[] = {1}, two[] = {2}, none[] = {0};
    struct topology_query query = {.target = 2, .relays = 1};
    assert_int_equal(topology_set_self(topology, 100, one, 1), 0);
    assert_int_equal(topology_set(topology, 1, true, two, 1), 0); /* 2 is not known yet */
    assert_int_equal(topology_count(topology, &query, 9), 0);
    assert_int_equal(topology_set(topology, 2, true, none, 0), 0);
    assert_false(topology_has_link(topology, 1, 2));
    assert_int_equal(topology_count(topology, &query, 9), 0);
    uint64_t generation = topology_generation(topology);
    assert_int_equal(topology_set(topology, 2, true, one, 1), 0);
    assert_true(topology_generation(topology) > generation);
    assert_true(topology_has_link(topology, 1, 2));
    assert_true(topology_has_link(topology, 100, 1)); /* 1 does not say so: ours is enough */
    assert_int_equal(topology_count(topology, &query, 9), 1);
    generation = topology_generation(topology);
    assert_int_equal(topology_set(topology, 2, true, one, 1), 0);
    assert_int_equal(topology_generation(topology), generation); /* no news */
    uint64_t us[] = {1, 100};
    assert_int_equal(topology_set(topology, 2, true, us, 2), 0);
    assert_false(topology_has_link(topology, 2, 100)); /* nobody links himself to us */
    assert_int_equal(topology_set(topology, 1, true, none, 0), 0);
    assert_int_equal(topology_count(topology, &query, 9), 0);
    topology_free(topology);
}

static void removal_takes_the_links_along(void **state) {
    (void)state;
    struct model model;
    struct topology *topology = complete(&model, 5);
    struct topology_query query = {.target = prefix_of(4), .relays = 2};
    assert_int_equal(topology_count(topology, &query, 99), 6);
    remove_node(topology, &model, 2);
    check_links(topology, &model);
    assert_int_equal(topology_count(topology, &query, 99), 2);
    claim(topology, &model, 2, true, model.claims[2],
          model.n_claims[2]); /* all others still claim it */
    check_links(topology, &model);
    assert_int_equal(topology_count(topology, &query, 99), 6);
    remove_node(topology, &model, 4);
    assert_int_equal(topology_count(topology, &query, 99), 0);
    topology_remove(topology, prefix_of(0)); /* ourselves: never */
    assert_true(topology_has_link(topology, prefix_of(0), prefix_of(1)));
    topology_remove(topology, 77);
    topology_free(topology);
}

static void relays_alone_are_inside(void **state) {
    (void)state;
    struct model model;
    struct topology *topology = complete(&model, 5);
    struct topology_query query = {.target = prefix_of(4), .relays = 1};
    assert_int_equal(topology_count(topology, &query, 99), 3);
    claim(topology, &model, 2, false, model.claims[2], model.n_claims[2]);
    assert_int_equal(topology_count(topology, &query, 99), 2);
    query.target = prefix_of(2); /* an end need not relay */
    assert_int_equal(topology_count(topology, &query, 99), 3);
    query.relays = 0;
    assert_int_equal(topology_count(topology, &query, 99), 1);
    topology_free(topology);
}

static void our_own_vertex_can_move(void **state) {
    (void)state;
    struct model model;
    struct topology *topology = complete(&model, 5);
    uint64_t links[] = {prefix_of(3)};
    assert_int_equal(topology_set_self(topology, prefix_of(1), links, 1), 0);
    assert_int_equal(topology_nodes(topology), 4); /* who we were is gone */
    assert_true(topology_has_link(topology, prefix_of(1), prefix_of(3)));
    assert_false(topology_has_link(topology, prefix_of(1), prefix_of(2)));
    uint64_t all[] = {prefix_of(2), prefix_of(4)};
    assert_int_equal(topology_set(topology, prefix_of(1), true, all, 2), 0);
    assert_false(topology_has_link(topology, prefix_of(1), prefix_of(2)));
    struct topology_query query = {.target = prefix_of(4), .relays = 1};
    assert_int_equal(topology_count(topology, &query, 99), 1);
    query.target = prefix_of(1);
    assert_int_equal(topology_count(topology, &query, 99), 0);
    topology_free(topology);
}

static void bounds_hold(void **state) {
    (void)state;
    struct topology *topology = topology_new();
    uint64_t many[TOPOLOGY_DEGREE_MAX + 2];
    for (size_t i = 0; i < TOPOLOGY_DEGREE_MAX + 2; i++) {
        many[i] = 1000 + i;
        assert_int_equal(topology_set(topology, many[i], true, (uint64_t[]){1}, 1), 0);
    }
    struct topology_query query = {.target = 1, .relays = 0};
    struct test_stream stream;
    struct core_random random = stream_random(&stream);
    assert_int_equal(topology_count(topology, &query, 9), 0); /* we are not there yet */
    assert_true(topology_estimate(topology, &query, &random) == 0);
    assert_int_equal(topology_set_self(topology, 1, many, TOPOLOGY_DEGREE_MAX + 2), 0);
    assert_true(topology_has_link(topology, 1, many[TOPOLOGY_DEGREE_MAX - 1]));
    assert_false(topology_has_link(topology, 1, many[TOPOLOGY_DEGREE_MAX]));
    query.target = many[0];
    assert_int_equal(topology_count(topology, &query, 9), 1);
    assert_int_equal(topology_count(topology, &query, 0), 0);
    query.relays = TOPOLOGY_RELAYS_MAX + 1;
    assert_int_equal(topology_count(topology, &query, 9), 0);
    uint64_t repeats[] = {1000, 1000, 2, 2, 2};
    assert_int_equal(topology_set(topology, 2, true, repeats, 5), 0);
    assert_int_equal(topology_set(topology, 1000, true, (uint64_t[]){2}, 1), 0);
    assert_int_equal(topology_neighbours(topology, 2, many), 1);
    assert_int_equal(topology_neighbours(topology, 3, many), 0);
    topology_free(topology);
    topology_free(NULL);
}

static double seconds_since(const struct timespec *start) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + 1e-9 * (double)(now.tv_nsec - start->tv_nsec);
}

/* Linked at random by 8 permutations: v to p(v), and so p(v) to v. */
static void claim_by_permutations(uint64_t (*claims)[TOPOLOGY_DEGREE_MAX], uint32_t n,
                                  struct test_stream *stream) {
    uint32_t *permutation = calloc(n, sizeof *permutation);
    assert_non_null(permutation);
    for (uint32_t i = 0; i < TOPOLOGY_DEGREE_MAX / 2; i++) {
        for (uint32_t v = 0; v < n; v++) {
            uint32_t at = (uint32_t)(test_next(stream) % (v + 1));
            permutation[v] = permutation[at];
            permutation[at] = v;
        }
        for (uint32_t v = 0; v < n; v++) {
            claims[v][2 * i] = permutation[v];
            claims[permutation[v]][2 * i + 1] = v;
        }
    }
    free(permutation);
}

static void measure(struct topology *topology, unsigned relays, const struct core_random *random) {
    struct timespec start;
    uint64_t path[TOPOLOGY_RELAYS_MAX + 1];
    unsigned found = 0;
    double paths = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (uint64_t target = 1; target <= 100; target++) {
        struct topology_query query = {.target = target * 199, .relays = relays};
        found += topology_sample(topology, &query, random, path) == 0 ? 1 : 0;
        paths += topology_estimate(topology, &query, random) / 100;
    }
    print_message("%u relays: %u of 100 reached, %.0f paths, %.3f ms a target\n", relays, found,
                  paths, seconds_since(&start) * 10);
    /* 16^(relays + 1) walks end somewhere among 20,000 nodes: a mean of 3, 52 and 839. */
    assert_true(relays < 4 || found == 100);
    assert_true(relays < TOPOLOGY_RELAYS_MAX || (paths > 400 && paths < 1000));
}

/* 20,000 nodes of degree 16. Times are printed, not judged. */
static void large_network(void **state) {
    (void)state;
    enum { N = 20000 };
    struct test_stream stream;
    struct core_random random = stream_random(&stream);
    struct topology *topology = topology_new();
    static uint64_t claims[N][TOPOLOGY_DEGREE_MAX];
    struct timespec start;
    claim_by_permutations(claims, N, &stream);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (uint64_t v = N; v-- > 0;)
        assert_int_equal(v == 0 ? topology_set_self(topology, 0, claims[0], TOPOLOGY_DEGREE_MAX)
                                : topology_set(topology, v, true, claims[v], TOPOLOGY_DEGREE_MAX),
                         0);
    print_message("built in %.3f s\n", seconds_since(&start));
    assert_int_equal(topology_nodes(topology), N);
    for (unsigned relays = 3; relays <= TOPOLOGY_RELAYS_MAX; relays++)
        measure(topology, relays, &random);
    topology_free(topology);
}

int main(int argc, char **argv) {
    if (!test_begin(argc, argv))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_as_brute_force),
        cmocka_unit_test(survives_growth_and_churn),
        cmocka_unit_test(draws_uniformly),
        cmocka_unit_test(draws_uniformly_through_guards),
        cmocka_unit_test(draws_uniformly_where_rejection_fails),
        cmocka_unit_test(one_sided_claims_do_not_count),
        cmocka_unit_test(removal_takes_the_links_along),
        cmocka_unit_test(relays_alone_are_inside),
        cmocka_unit_test(our_own_vertex_can_move),
        cmocka_unit_test(bounds_hold),
        cmocka_unit_test(large_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
