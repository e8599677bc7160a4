/* link: libp2pd-core.a shared/address */
/* What a large network costs one node's core: the directory with so many descriptors, and routes
 * drawn through the graph that they form (each node linked to fourteen, as daemons of such networks
 * are). Argument: how many. Lines of JSON, as run.sh takes them; CPU time, of the median round. */
#include "daemon/core/directory/directory.h"
#include "tests/bench/figure.h"

#include <malloc.h>
#include <sodium.h>

#define LINKS 14
#define CHOICES 16    /* a route is as long as it takes to have so many to choose from */
#define STRANGERS 600 /* descriptors that are signed by somebody, and offered */
#define ROUNDS 7
#define ROUND_NS INT64_C(20000000)
#define BATCH_NS INT64_C(200000)
#define BATCH_MAX 1000
#define NOON ((struct wall){INT64_C(500000) * EPOCH_US + EPOCH_US / 2})
#define MARK UINT64_C(0x7032706462656e00) /* of the template's neighbours: their prefixes */

struct member {
    struct node_id id;
    uint32_t links[LINKS];
};
struct stranger {
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t length;
};
static struct core {
    size_t n, at; /* at: which one is next */
    unsigned relays;
    struct core_random random;
    struct directory *directory;
    struct member *members;
    uint8_t template[DESCRIPTOR_MAX];
    size_t length, id_at, address_at, neighbours_at;
    struct stranger strangers[STRANGERS];
    uint32_t digest[DIRECTORY_BUCKETS];
    const void *sink;
} core;

static void system_fill(void *context, void *buffer, size_t length) {
    (void)context;
    randombytes_buf(buffer, length);
}

static void check(bool ok, const char *what) {
    if (ok)
        return;
    fprintf(stderr, "bench_core: %s\n", what);
    exit(1);
}

static struct address address_of(size_t i) {
    struct address address = {.port = ADDRESS_PORT_DEFAULT};
    address.ip[10] = address.ip[11] = 0xff;
    address.ip[12] = 11; /* public, as far as anyone can tell */
    for (unsigned byte = 0; byte < 3; byte++)
        address.ip[13 + byte] = (uint8_t)(i >> (16 - 8 * byte));
    return address;
}

/* ---- The members ---- */

static struct identity *somebody(void) {
    uint8_t seeds[2][32];
    randombytes_buf(seeds, sizeof seeds);
    struct identity *identity = identity_new(seeds[0], seeds[1], &core.random);
    check(identity, "no memory for an identity");
    identity_advance(identity, NOON);
    return identity;
}

static size_t sign_one(uint8_t ret_bytes[DESCRIPTOR_MAX], struct node_id *ret_id) {
    struct identity *identity = somebody();
    struct descriptor descriptor = {.relay = true,
                                    .sequence = (uint64_t)wall_ms(NOON),
                                    .n_addresses = 1,
                                    .n_neighbours = LINKS};
    descriptor.addresses[0] = address_of(0);
    for (unsigned i = 0; i < LINKS; i++)
        descriptor.neighbours[i] = (struct descriptor_neighbour){MARK + i, address_of(0)};
    int length = descriptor_sign(&descriptor, identity, NOON, ret_bytes);
    check(length > 0, "a descriptor was refused");
    *ret_id = *identity_id(identity);
    identity_free(identity);
    return (size_t)length;
}

static size_t find_in_template(const void *bytes, size_t length) {
    for (size_t at = 0; at + length <= core.length; at++)
        if (memcmp(core.template + at, bytes, length) == 0)
            return at;
    check(false, "the template is not as expected");
    return 0;
}

/* One descriptor for all: making 100,000 with keys of their own would take half a minute. What the
 * store held at start is not verified again, so those that are changed may take their places as
 * members. */
static void make_template(void) {
    struct node_id id;
    struct address address = address_of(0);
    uint8_t wire[ADDRESS_WIRE_LEN], mark[8];
    core.length = sign_one(core.template, &id);
    address_pack(&address, wire);
    for (unsigned byte = 0; byte < 8; byte++)
        mark[byte] = (uint8_t)(MARK >> (56 - 8 * byte));
    core.id_at = find_in_template(id.bytes, sizeof id.bytes);
    core.address_at = find_in_template(wire, sizeof wire);
    core.neighbours_at = find_in_template(mark, sizeof mark);
}

static void write_member(size_t i, uint8_t bytes[DESCRIPTOR_MAX]) {
    struct address address = address_of(i);
    const struct member *member = &core.members[i];
    memcpy(bytes, core.template, core.length);
    memcpy(bytes + core.id_at, member->id.bytes, sizeof member->id.bytes);
    address_pack(&address, bytes + core.address_at);
    for (unsigned k = 0; k < LINKS; k++) {
        uint8_t *at = bytes + core.neighbours_at + k * (8 + ADDRESS_WIRE_LEN);
        address = address_of(member->links[k]);
        memcpy(at, core.members[member->links[k]].id.bytes, 8);
        address_pack(&address, at + 8);
    }
}

/* Seven rings through all of them, each in an order of its own: everyone has fourteen
 * neighbours. */
static void link_members(void) {
    uint32_t *order = malloc(core.n * sizeof *order);
    check(order, "no memory");
    for (uint32_t i = 0; i < core.n; i++)
        order[i] = i;
    for (unsigned ring = 0; ring < LINKS / 2; ring++) {
        for (size_t i = core.n - 1; i > 0; i--) {
            size_t j = randombytes_uniform((uint32_t)i + 1);
            uint32_t swapped = order[i];
            order[i] = order[j];
            order[j] = swapped;
        }
        for (size_t i = 0; i < core.n; i++) {
            uint32_t next = order[(i + 1) % core.n];
            core.members[order[i]].links[2 * ring] = next;
            core.members[next].links[2 * ring + 1] = order[i];
        }
    }
    free(order);
}

static void fill_directory(void) {
    struct node_id self;
    uint8_t bytes[DESCRIPTOR_MAX];
    uint64_t links[LINKS];
    randombytes_buf(self.bytes, sizeof self.bytes);
    core.directory = directory_new(&self, core.n + STRANGERS, &core.random);
    check(core.directory, "no memory");
    for (size_t i = 0; i < core.n; i++) {
        write_member(i, bytes);
        directory_restore(core.directory, bytes, core.length, false, NULL, NOON);
    }
    check(directory_count(core.directory) == core.n, "not all members were taken in");
    for (unsigned i = 0; i < LINKS; i++)
        links[i] = node_id_prefix(&core.members[i].id);
    directory_set_links(core.directory, links, LINKS);
}

/* ---- What is timed ---- */

static void do_find(void) {
    core.sink = directory_find(core.directory, &core.members[core.at].id);
    check(core.sink, "a member is not found");
    core.at = (core.at + 7919) % core.n;
}

static void do_offer_old(void) {
    const struct directory_entry *entry;
    uint8_t bytes[DESCRIPTOR_MAX];
    enum drop drop;
    write_member(core.at, bytes);
    check(directory_offer(core.directory, bytes, core.length, (struct now){(struct mono){0}, NOON},
                          &entry, &drop) == DIRECTORY_OLD,
          "a descriptor is not old");
    core.at = (core.at + 7919) % core.n;
}

static void do_write(void) { /* what do_offer_old does itself */
    uint8_t bytes[DESCRIPTOR_MAX];
    write_member(core.at, bytes);
    core.sink = bytes;
    core.at = (core.at + 7919) % core.n;
}

static void do_digest(void) {
    directory_digest(core.directory, (struct mono){INT64_MAX - 1}, core.digest);
}
static void do_digest_all(void) {
    directory_digest(core.directory, MONO_NEVER, core.digest);
}
static void do_expire(void) {
    check(directory_expire(core.directory, NOON) == 0, "a descriptor expired");
}

static struct topology_query query_to(size_t member) {
    return (struct topology_query){.target = node_id_prefix(&core.members[member].id),
                                   .relays = core.relays};
}
/* At least three relays, and choices to every one of some. */
static void settle_relays(void) {
    core.relays = 3;
    for (size_t i = 1; i <= 10 && core.relays < TOPOLOGY_RELAYS_MAX; i++) {
        struct topology_query query = query_to(core.n - i);
        while (query.relays < TOPOLOGY_RELAYS_MAX &&
               topology_count(directory_topology(core.directory), &query, CHOICES) < CHOICES)
            core.relays = ++query.relays;
    }
}

static void sample_to(size_t member) {
    struct topology_query query = query_to(member);
    uint64_t path[TOPOLOGY_RELAYS_MAX + 1];
    check(topology_sample(directory_topology(core.directory), &query, &core.random, path) == 0,
          "there is no route");
}
static void do_sample_cold(void) {
    sample_to(core.at);
    core.at = LINKS + (core.at + 7919) % (core.n - LINKS);
}
static void do_sample_kept(void) {
    sample_to(core.n - 1);
}

static double measure(void (*operation)(void)) {
    double rounds[ROUNDS];
    int64_t began = spent_ns();
    operation();
    /* As many between two looks at the clock as make looking cheap. */
    unsigned batch = (unsigned)(BATCH_NS / (spent_ns() - began + BATCH_NS / BATCH_MAX)) + 1;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t elapsed;
        unsigned n = 0;
        began = spent_ns();
        do {
            for (unsigned j = 0; j < batch; j++)
                operation();
            n += batch;
            elapsed = spent_ns() - began;
        } while (elapsed < ROUND_NS);
        rounds[i] = (double)elapsed / n / 1e3;
    }
    return median(rounds, ROUNDS);
}

/* Newcomers' descriptors, each taken in once; beside the check of its signature alone. */
static void measure_new(double *ret_offer_us, double *ret_verify_us) {
    static double offers[STRANGERS], verifies[STRANGERS];
    struct node_id id;
    struct descriptor descriptor;
    for (size_t i = 0; i < STRANGERS; i++) {
        const struct directory_entry *entry;
        enum drop drop;
        struct stranger *stranger = &core.strangers[i];
        stranger->length = sign_one(stranger->bytes, &id);
        check(descriptor_decode(stranger->bytes, stranger->length, &descriptor) == DROP_NONE,
              "a descriptor does not decode");
        int64_t began = spent_ns();
        check(descriptor_verify(stranger->bytes, stranger->length, &descriptor) == DROP_NONE,
              "a forgery");
        verifies[i] = (double)(spent_ns() - began) / 1e3;
        began = spent_ns();
        check(directory_offer(core.directory, stranger->bytes, stranger->length,
                              (struct now){(struct mono){0}, NOON}, &entry,
                              &drop) == DIRECTORY_NEWS,
              "a newcomer is no news");
        offers[i] = (double)(spent_ns() - began) / 1e3;
    }
    *ret_offer_us = median(offers, STRANGERS);
    *ret_verify_us = median(verifies, STRANGERS);
}

static double heap_bytes(void) {
    return (double)mallinfo2().uordblks + (double)mallinfo2().hblkhd;
}

static void row(const char *name, const char *unit, double value, double least, const char *note) {
    char whole[96];
    snprintf(whole, sizeof whole, "%zu descriptors: %s", core.n, name);
    figure("core", whole, unit, value, least, "lower", "%s", note);
}

static void measure_directory(void) {
    double offer_us, verify_us, before = heap_bytes();
    int64_t began = spent_ns();
    fill_directory();
    double fill_us = (double)(spent_ns() - began) / 1e3 / (double)core.n;
    double beyond = (heap_bytes() - before) / (double)core.n - (double)core.length;
    row("memory of one beyond its bytes", "B", beyond, NO_FLOOR, "the graph included");
    row("taken from the store at start, each", "us", fill_us, NO_FLOOR, "");
    row("find one", "us", measure(do_find), NO_FLOOR, "");
    double write_us = measure(do_write);
    row("offer an old one", "us", measure(do_offer_old) - write_us, NO_FLOOR, "");
    measure_new(&offer_us, &verify_us);
    row("offer a new one", "us", offer_us, verify_us, "floor: its signature checked");
    row("digest, all", "us", measure(do_digest_all), NO_FLOOR, "");
    row("digest, of those before a time", "us", measure(do_digest), NO_FLOOR, "");
    row("look for what has ended", "us", measure(do_expire), NO_FLOOR, "once a minute");
}

static void measure_routes(void) {
    char note[64];
    settle_relays();
    snprintf(note, sizeof note, "over %u relays", core.relays);
    row("draw a route, another target each", "us", measure(do_sample_cold), NO_FLOOR, note);
    row("draw a route, the same target again", "us", measure(do_sample_kept), NO_FLOOR, note);
}

int main(int argc, char **argv) {
    core.n = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000;
    if (sodium_init() < 0 || core.n < 2 * LINKS || core.n >= 1 << 24)
        return 2;
    core.random.fill = system_fill;
    core.members = calloc(core.n, sizeof *core.members);
    check(core.members, "no memory");
    for (size_t i = 0; i < core.n; i++)
        randombytes_buf(core.members[i].id.bytes, NODE_ID_LEN);
    link_members();
    make_template();
    measure_directory();
    measure_routes();
    directory_free(core.directory);
    free(core.members);
    return 0;
}
