/* link: daemon/core/directory/directory daemon/core/directory/directory_index daemon/core/directory/directory_version daemon/core/directory/directory_room daemon/core/directory/directory_proof daemon/core/directory/directory_resolve daemon/core/directory/directory_claims daemon/core/wire/descriptor daemon/core/wire/identity daemon/core/wire/noise daemon/core/directory/topology daemon/core/directory/topology_draw daemon/core/base/base shared/address proto/wire.pb-c */
/* What a known node costs in memory, and what a route costs where many are known. `-n NODES`
 * measures other sizes. */
#define _GNU_SOURCE /* memmem */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/base/wirebuf.h"
#include "daemon/core/directory/directory.h"
#include "tests/unit/harness.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* How much is in use only glibc tells, from 2.33 on. */
#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 33)
#define HAS_MALLINFO2
#include <malloc.h>
#endif
#endif

#define EPOCH INT64_C(500000)
#define BYTES_MAX 420 /* of a known node, beyond its descriptor */
#define HALF_DEGREE 6 /* links that each node draws; as many come from others */

static size_t option_nodes;

/* ---- A network of any size ---- */

struct network {
    size_t n;
    uint64_t *prefixes;
    struct net_node {
        uint32_t links[DESCRIPTOR_NEIGHBOURS_MAX];
        uint8_t n_links;
    } * nodes;
};

static bool has_room(const struct network *network, uint32_t a, uint32_t b) {
    if (a == b || network->nodes[a].n_links == DESCRIPTOR_NEIGHBOURS_MAX ||
        network->nodes[b].n_links == DESCRIPTOR_NEIGHBOURS_MAX)
        return false;
    for (unsigned i = 0; i < network->nodes[a].n_links; i++)
        if (network->nodes[a].links[i] == b)
            return false;
    return true;
}

static struct network network_new(size_t n) {
    struct network network = {n, calloc(n, sizeof(uint64_t)), calloc(n, sizeof(struct net_node))};
    assert_true(network.prefixes && network.nodes);
    test_bytes(network.prefixes, n * sizeof *network.prefixes);
    for (uint32_t a = 0; a < n; a++)
        for (unsigned i = 0; i < HALF_DEGREE; i++) {
            uint32_t b = (uint32_t)random_below(&test_random, n);
            if (!has_room(&network, a, b))
                continue;
            network.nodes[a].links[network.nodes[a].n_links++] = b;
            network.nodes[b].links[network.nodes[b].n_links++] = a;
        }
    return network;
}

static void network_free(struct network *network) {
    free(network->prefixes);
    free(network->nodes);
}

/* Addresses as on the Internet: mostly one node to a machine. */
static struct address address_of(uint32_t i) {
    return (struct address){
        .ip = {[10] = 0xff, 0xff, 11, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i},
        .port = ADDRESS_PORT_DEFAULT};
}

static struct identity *some_identity(void) {
    uint8_t seed[32] = {1}, secret[32] = {2};
    struct identity *identity = identity_new(seed, secret, &test_random);
    assert_non_null(identity);
    identity_advance(identity, (struct wall){EPOCH * EPOCH_US});
    return identity;
}

/* Node i's descriptor under another's name: our own store is not asked for signatures. */
static size_t describe(const struct network *network, const struct identity *identity, uint32_t i,
                       uint8_t bytes[DESCRIPTOR_MAX]) {
    struct descriptor descriptor = {.relay = true, .mailbox = true, .sequence = 1000 + i};
    const struct net_node *node = &network->nodes[i];
    struct wire_writer w;

    snprintf(descriptor.name, sizeof descriptor.name, "host-%u", i);
    descriptor.addresses[descriptor.n_addresses++] = address_of(i);
    for (unsigned k = 0; k < node->n_links; k++)
        descriptor.neighbours[descriptor.n_neighbours++] = (struct descriptor_neighbour){
            network->prefixes[node->links[k]], address_of(node->links[k])};
    int length = descriptor_sign(&descriptor, identity, (struct wall){EPOCH * EPOCH_US}, bytes);
    assert_true(length > 0);
    uint8_t *id = memmem(bytes, (size_t)length, identity_id(identity)->bytes, NODE_ID_LEN);
    assert_non_null(id);
    w = wire_writer(id, NODE_ID_LEN);
    wire_put_uint(&w, network->prefixes[i], 8);
    return (size_t)length;
}

static size_t in_use(void) {
#ifdef HAS_MALLINFO2
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#else
    return 0;
#endif
}

/* ---- Memory ---- */

/* Fill a directory; what it takes beyond the descriptors, by node. */
static double bytes_a_node(size_t n, bool drawn) {
    struct network network = network_new(n);
    struct identity *identity = some_identity();
    struct node_id self = {{9}};
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t before = in_use(), lengths = 0;
    struct directory *directory = directory_new(&self, n, &test_random);

    assert_non_null(directory);
    for (uint32_t i = 0; i < n; i++) {
        size_t length = describe(&network, identity, i, bytes);
        lengths += length;
        directory_restore(directory, bytes, length, false, NULL, (struct wall){EPOCH * EPOCH_US});
    }
    assert_int_equal(directory_count(directory), n);
    directory_set_links(directory, network.prefixes, 12);
    if (drawn) {
        struct topology_query query = {.target = network.prefixes[n - 1], .relays = 5};
        uint64_t path[TOPOLOGY_RELAYS_MAX + 1];
        assert_int_equal(topology_sample(directory_topology(directory), &query, &test_random, path),
                         0);
    }
    double each = ((double)in_use() - (double)before - (double)lengths) / (double)n;
    directory_free(directory);
    identity_free(identity);
    network_free(&network);
    printf("# %zu nodes: %.1f bytes each beyond a descriptor of %.0f\n", n, each,
           (double)lengths / (double)n);
    return each;
}

static void test_memory_of_a_known_node(void **state) {
    static const size_t sizes[] = {1000, 5000, 10000};
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(HAS_MALLINFO2)
    skip(); /* this allocator tells nothing */
#endif
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_true(bytes_a_node(sizes[i], true) < BYTES_MAX);
    if (option_nodes > 0)
        bytes_a_node(option_nodes, true);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_of_a_known_node),
    };
    int option;
    while ((option = getopt(argc, argv, "n:")) != -1)
        if (option == 'n')
            option_nodes = strtoul(optarg, NULL, 10);
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
