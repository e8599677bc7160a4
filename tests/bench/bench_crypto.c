/* link: daemon/core/route/droplist daemon/core/wire/onion */
/* What one packet costs: nanoseconds of CPU an operation, beside the bare libsodium calls that
 * nothing built on them can beat. Medians of several rounds. Lines of JSON, as run.sh takes
 * them. */
#include "daemon/core/route/droplist.h"
#include "daemon/core/wire/onion.h"
#include "tests/bench/figure.h"

#include <sodium.h>

#define ROUNDS 9
#define BATCH_NS INT64_C(20000000) /* a round lasts about so long */
#define FRESH_EPHS                                                                                 \
    50000 /* fewer than fill the kept memory: the row is about entering, not evicting */

struct bench {
    struct core_random random;
    size_t n_layers;
    struct onion_layer layers[ONION_LAYERS_MAX];
    uint16_t indexes[ONION_LAYERS_MAX];
    uint8_t secret[32], public[32], eph_secret[32], key[64];
    uint8_t nonce[ONION_NONCE_LEN], payload[ONION_PAYLOAD_MAX], way[ONION_WAY_LEN];
    uint8_t packet[ONION_LEN], out[ONION_LEN + 64];
    struct droplist *list;
    uint64_t count;
};

static void system_fill(void *context, void *buffer, size_t length) {
    (void)context;
    randombytes_buf(buffer, length);
}

static void check(bool ok) {
    if (!ok)
        abort();
}

/* ---- Operations ---- */

static void do_build(struct bench *b) {
    onion_build(b->layers, b->n_layers, b->indexes, b->nonce, b->payload, sizeof b->payload,
                &b->random, b->packet);
}

static void do_layer_key(struct bench *b) {
    check(onion_layer_key(&b->layers[5], b->public, b->eph_secret) == DROP_NONE);
}

static void do_prk(struct bench *b) {
    check(onion_prk(b->public, b->secret, b->public, b->out) == DROP_NONE);
}

static void do_peel(struct bench *b) {
    struct onion_peeled peeled;

    check(onion_peel(b->packet, b->layers[0].prk, b->out, &peeled) == DROP_NONE);
}

/* The next packet of a path that is known; 64 paths, as many indexes as there are, then the next
 * 64. */
static void do_droplist_kept(struct bench *b) {
    const uint64_t n = b->count++;
    const uint64_t path = n % 64 + n / (64 * 1024) * 64;
    const uint8_t *prk;
    uint8_t eph[32] = {0};

    memcpy(eph, &path, sizeof path);
    bool has_way;
    check(droplist_find(b->list, eph, 0, &prk, &has_way) == DROP_NONE);
    const struct droplist_packet packet = {.eph = eph, .way = b->way, .index = n / 64 % 1024};
    check(droplist_enter(b->list, &packet, b->key) == DROP_NONE);
}

static void do_droplist_fresh(struct bench *b) {
    const uint64_t n = b->count++;
    const uint8_t *prk;
    uint8_t eph[32] = {1};

    if (n % FRESH_EPHS == 0) { /* a new minute: paid for here as it is in life */
        droplist_advance(b->list, (int64_t)(n / FRESH_EPHS) * 7, 1);
    }
    memcpy(eph + 8, &n, sizeof n);
    bool has_way;
    check(droplist_find(b->list, eph, 0, &prk, &has_way) == DROP_NONE && prk == NULL);
    const struct droplist_packet packet = {
        .eph = eph, .minute = (int64_t)(n / FRESH_EPHS) * 7, .way = b->way};
    check(droplist_enter(b->list, &packet, b->key) == DROP_NONE);
}

static void do_x25519(struct bench *b) {
    check(crypto_scalarmult(b->out, b->secret, b->public) == 0);
}

static void do_base(struct bench *b) {
    check(crypto_scalarmult_base(b->out, b->secret) == 0);
}

static void do_seal(struct bench *b) {
    const uint8_t zero[12] = {0};

    crypto_aead_chacha20poly1305_ietf_encrypt(b->packet, NULL, b->out, ONION_BODY_LEN, NULL, 0,
                                              NULL, zero, b->key);
}

static void do_open(struct bench *b) {
    const uint8_t zero[12] = {0};

    check(crypto_aead_chacha20poly1305_ietf_decrypt(
              b->out, NULL, NULL, b->packet, ONION_BODY_LEN + 16, NULL, 0, zero, b->key) == 0);
}

static void do_blake2b(struct bench *b) {
    crypto_generichash(b->out, 64, b->nonce, 16, b->key, 64);
}

/* ---- Measuring ---- */

static double measure(struct bench *b, void (*operation)(struct bench *)) {
    double rounds[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        const int64_t start = spent_ns();
        int64_t n = 0, elapsed;

        do {
            for (int j = 0; j < 256; j++) /* looking at the clock costs, too */
                operation(b);
            n += 256;
            elapsed = spent_ns() - start;
        } while (elapsed < BATCH_NS);
        rounds[i] = (double)elapsed / (double)n;
    }
    return median(rounds, ROUNDS);
}

static double row(struct bench *b, const char *name, double least,
                  void (*operation)(struct bench *)) {
    double ns = measure(b, operation);
    figure("core", name, "ns", ns, least, "lower", "%s",
           isfinite(least) ? "floor: the bare calls" : "");
    return ns;
}

static void list_renew(struct bench *b) {
    droplist_free(b->list);
    b->list = droplist_new(SIZE_MAX, &b->random);
    check(b->list != NULL);
    droplist_advance(b->list, 0, 1);
    b->count = 0;
}

static void bench_init(struct bench *b) {
    memset(b, 0, sizeof *b);
    b->random.fill = system_fill;
    randombytes_buf(b->secret, 32);
    randombytes_buf(b->eph_secret, 32);
    randombytes_buf(b->key, sizeof b->key);
    crypto_scalarmult_base(b->public, b->secret);
    for (size_t i = 0; i < ONION_LAYERS_MAX; i++)
        check(onion_layer_key(&b->layers[i], b->public, b->eph_secret) == DROP_NONE);
}

int main(void) {
    static struct bench b;

    if (sodium_init() < 0)
        return 1;
    bench_init(&b);
    double exchange = row(&b, "bare: X25519", NO_FLOOR, do_x25519);
    double seal = row(&b, "bare: ChaCha20-Poly1305-IETF seal, 1132", NO_FLOOR, do_seal);
    do_seal(&b); /* `out` has changed since */
    double open = row(&b, "bare: ChaCha20-Poly1305-IETF open, 1132 + 16", NO_FLOOR, do_open);
    double hash = row(&b, "bare: BLAKE2b-512 keyed, 16", NO_FLOOR, do_blake2b);
    double base = row(&b, "bare: X25519 of the base point", NO_FLOOR, do_base);
    row(&b, "onion_layer_key", base + exchange + hash, do_layer_key);
    row(&b, "onion_prk", exchange + hash, do_prk);
    for (b.n_layers = 2; b.n_layers <= ONION_LAYERS_MAX; b.n_layers += 2) {
        char name[64];

        snprintf(name, sizeof name, "onion_build, %zu layers, keyed", b.n_layers);
        row(&b, name, (double)b.n_layers * (seal + hash), do_build);
    }
    b.n_layers = 4;
    do_build(&b);
    row(&b, "onion_peel, prk kept", open + hash, do_peel);
    list_renew(&b);
    row(&b, "droplist find + enter, kept", NO_FLOOR, do_droplist_kept);
    list_renew(&b);
    row(&b, "droplist find + enter, fresh", NO_FLOOR, do_droplist_fresh);
    droplist_free(b.list);
    return 0;
}
