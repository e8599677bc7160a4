#include "daemon/core/deliver/inbox/inbox_private.h"
#include "daemon/core/link/link_private.h"
#include "daemon/core/node/node_private.h"
#include "tests/sim/adversary_gossip.h"
#include "tests/sim/adversary_private.h"
#include "tests/sim/scenarios.h"
#include "tests/sim/watch.h"

#include <stdlib.h>

#define BODY_MAX 1500
#define OWN_CLIENT (UINT64_C(1) << 50) /* nobody waits for its answers */
#define BURST 24                       /* datagrams or frames at a time */
#define BURSTS_MAX 30    /* of each: a flood that lasts makes a simulation slow, and no worse */
#define SOME_SHARE 0.3   /* of onion packets are dropped */
#define TAMPER_SHARE 0.1 /* of what is sent */
#define CROWD_DEFAULT 16

struct adversary *adversary_new(struct sim *sim, unsigned habits) {
    struct adversary *adversary = calloc(1, sizeof *adversary);
    if (!adversary)
        abort();
    adversary->sim = sim;
    adversary->habits = habits;
    adversary->pads = habits & HABIT_PADS;
    adversary->as = (unsigned)sim_below(sim, sim->n_hosts);
    adversary->at = (unsigned)sim_below(sim, sim->n_hosts);
    adversary->album = habits & HABIT_FRAMES ? album_new() : NULL;
    return adversary;
}

void adversary_free(struct adversary *adversary) {
    for (unsigned i = 0; adversary && i < MAILS; i++)
        free(adversary->mails[i].bytes);
    if (adversary)
        crowd_free(adversary->crowd);
    if (adversary)
        album_free(adversary->album);
    free(adversary);
}

void adversary_crowd(struct adversary *adversary, unsigned n) {
    if (!adversary->crowd)
        adversary->crowd = crowd_new(adversary->sim, n);
}

bool adversary_has_identity(const struct adversary *adversary, uint64_t prefix) {
    return crowd_has(adversary->crowd, prefix);
}

void adversary_aim(struct adversary *adversary, unsigned as, unsigned at) {
    adversary->as = as;
    adversary->at = at;
}

void adversary_keep(struct adversary *adversary, unsigned habits) {
    adversary->habits &= habits;
}

void adversary_become(struct adversary *adversary, unsigned habits) {
    adversary->habits = habits;
}

void adversary_bend_time(struct adversary *adversary, struct wall to) {
    adversary->bent = to;
}

bool adversary_has_framed(const struct adversary *adversary) {
    return adversary->has_framed;
}

unsigned adversary_habits(const struct adversary *adversary) {
    return adversary->habits;
}

void adversary_pose(struct adversary *adversary, const struct node_id *poser,
                    const struct address *at) {
    adversary->poser = *poser;
    adversary->posed_at = *at;
}

void adversary_claim(struct adversary *adversary, const struct address *first) {
    adversary->claimed = *first;
}

/* ---- Datagrams ---- */

static void tamper(struct sim *sim, uint8_t *bytes, size_t length) {
    bytes[sim_below(sim, length)] ^= (uint8_t)(1 + sim_below(sim, 255));
}

bool adversary_lets_out(struct sim *sim, struct sim_host *host, const struct datagram *datagram) {
    struct adversary *adversary = host->adversary;
    unsigned i = adversary->n_cells++ % RECORDED;

    memcpy(adversary->cells[i].bytes, datagram->bytes, datagram->length);
    adversary->cells[i].length = datagram->length;
    adversary->cells[i].remote = datagram->remote;
    if (!has_habit(host, HABIT_TAMPERS) || !sim_chance(sim, TAMPER_SHARE))
        return true;
    uint8_t bent[DATAGRAM_LEN];
    memcpy(bent, datagram->bytes, datagram->length);
    tamper(sim, bent, datagram->length);
    sim_forge(sim, &host->address, &datagram->remote, bent, datagram->length);
    return false;
}

const struct address *adversary_any_address(struct sim *sim) {
    return &sim->hosts[sim_below(sim, sim->n_hosts)].address;
}

/* What it sent, again: as it was, to others, or as if from others. */
static void replay_cell(struct sim *sim, struct sim_host *host) {
    struct adversary *adversary = host->adversary;
    unsigned n = adversary->n_cells < RECORDED ? adversary->n_cells : RECORDED;
    if (n == 0)
        return;
    unsigned i = (unsigned)sim_below(sim, n);
    const struct address *from = sim_chance(sim, 0.3) ? adversary_any_address(sim) : &host->address;
    const struct address *to =
        sim_chance(sim, 0.3) ? adversary_any_address(sim) : &adversary->cells[i].remote;
    sim_forge(sim, from, to, adversary->cells[i].bytes, adversary->cells[i].length);
}

static void forge_garbage(struct sim *sim) {
    uint8_t bytes[DATAGRAM_LEN];
    size_t length = sim_chance(sim, 0.2) ? 72 : DATAGRAM_LEN;

    sim_fill(sim, bytes, sizeof bytes);
    if (sim_chance(sim, 0.8))
        bytes[0] = (uint8_t)(1 + sim_below(sim, 5));
    if (bytes[0] != TYPE_DATA && sim_chance(sim, 0.5))
        bytes[1] = LINK_VERSION;
    else
        memset(bytes + 1, 0, 3);
    sim_forge(sim, adversary_any_address(sim), adversary_any_address(sim), bytes, length);
}

/* Message 1 with a fresh ephemeral and a good mac: each costs its responder Diffie-Hellman, until
 * it asks for cookies. */
static void dial_blindly(struct sim *sim, const struct sim_host *host, const struct address *from,
                         const struct address *victim) {
    uint8_t bytes[DATAGRAM_LEN];
    struct wire_writer w = wire_writer(bytes, sizeof bytes);

    sim_fill(sim, bytes, sizeof bytes);
    wire_put_uint(&w, TYPE_INIT, 1);
    wire_put_uint(&w, LINK_VERSION, 1);
    wire_put_uint(&w, 0, 2);
    wire_put_uint(&w, sim_below(sim, UINT32_MAX), 4);
    wire_put_uint(&w, (uint64_t)wall_minute(host->node->now.wall), 4);
    guard_mac1(&host->node->links->guard, bytes, DATAGRAM_LEN - 2 * MAC_LEN,
               bytes + DATAGRAM_LEN - 2 * MAC_LEN);
    sim_forge(sim, from, victim, bytes, sizeof bytes);
}

static void spoof(struct sim *sim, const struct sim_host *host) {
    const struct adversary *adversary = host->adversary;
    dial_blindly(sim, host, &sim->hosts[adversary->as].address, &sim->hosts[adversary->at].address);
}

/* A message that its core seals into a parcel, of which nothing is left but the padding. */
static void pad(struct sim *sim, unsigned i) {
    static const uint8_t body[BODY_MAX];
    unsigned to = (unsigned)sim_below(sim, sim->n_hosts);
    struct request request = {.client = OWN_CLIENT, .kind = REQUEST_PUSH};
    if (!sim->hosts[to].node || to == i)
        return;
    sim_fill(sim, request.push.id.bytes, MESSAGE_ID_LEN);
    request.push.to.kind = DEST_ID;
    memcpy(request.push.to.id, node_id(sim->hosts[to].node)->bytes, NODE_ID_LEN);
    request.push.options.relays = RELAYS_DEFAULT;
    request.push.body = body;
    request.push.size = (uint32_t)sim_below(sim, sizeof body);
    sim_request(sim, i, &request);
}

void adversary_act(struct sim *sim, unsigned i) {
    struct sim_host *host = &sim->hosts[i];
    struct adversary *adversary = host->adversary;
    const struct address *victim = adversary_any_address(sim);

    if (adversary->bursts++ >= BURSTS_MAX)
        return;
    for (unsigned k = 0; k < BURST; k++) {
        if (has_habit(host, HABIT_REPLAYS))
            replay_cell(sim, host);
        if (has_habit(host, HABIT_FORGES))
            forge_garbage(sim);
        if (has_habit(host, HABIT_DIALS))
            dial_blindly(sim, host,
                         sim_chance(sim, 0.5) ? adversary_any_address(sim) : &host->address,
                         victim);
    }
    adversary_go_on(sim, i, HABITS - 1, BURST);
}

void adversary_go_on(struct sim *sim, unsigned i, unsigned habits, unsigned n) {
    struct sim_host *host = &sim->hosts[i];
    struct adversary *adversary = host->adversary;

    adversary->going = habits & adversary->habits;
    for (unsigned k = 0; k < n; k++) {
        if (adversary->going & HABIT_SPOOFS)
            spoof(sim, host);
        if (adversary->going & HABIT_PADS)
            pad(sim, i);
    }
    if (adversary->going & (HABIT_FLOODS | HABIT_REPLAYS | HABIT_REMAILS | HABIT_SCATTERS)) {
        adversary->flooding = n;
        sim_poke(sim, i);
        adversary->flooding = 0;
    }
    adversary_gossip(sim, i, BURST);
}

void adversary_gossip(struct sim *sim, unsigned i, unsigned n) {
    struct adversary *adversary = sim->hosts[i].adversary;

    if (!(adversary->habits &
          (HABIT_PUBLISHES | HABIT_CROWDS | HABIT_WANTS | HABIT_REKEYS | HABIT_PROVES)))
        return;
    adversary_crowd(adversary, CROWD_DEFAULT);
    adversary->gossiping = n;
    sim_poke(sim, i);
    adversary->gossiping = 0;
}

/* ---- Onion packets ---- */

bool adversary_takes_onion(struct adversary *adversary, struct node *node, const uint8_t *packet) {
    (void)node;
    memcpy(adversary->onions[adversary->n_onions++ % RECORDED], packet, ONION_LEN);
    if (adversary->habits & HABIT_DROPS_ALL)
        return false;
    return !(adversary->habits & HABIT_DROPS_SOME) || !sim_chance(adversary->sim, SOME_SHARE);
}

__typeof__(relay_packet) __wrap_relay_packet, __real_relay_packet;
enum drop __wrap_relay_packet(struct relay *relay, unsigned from, uint64_t to, uint8_t *onion,
                              struct now now) {
    if (has_habit(watch_host(), HABIT_TAMPERS) && sim_chance(watch_sim(), TAMPER_SHARE))
        tamper(watch_sim(), onion, ONION_LEN);
    return __real_relay_packet(relay, from, to, onion, now);
}

/* ---- Frames over valid links ---- */

/* A frame that is right in form: lists of nodes that do not exist, introductions to nowhere,
 * digests of nothing. */
static void flood_frame(struct sim *sim, struct node *node, uint64_t to) {
    static const uint8_t types[] = {FRAME_PING,      FRAME_PONG,       FRAME_ONION,  FRAME_ANNOUNCE,
                                    FRAME_WANT,      FRAME_DESCRIPTOR, FRAME_DIGEST, FRAME_VERDICT,
                                    FRAME_INTRODUCE, FRAME_ANNOUNCE,   FRAME_WANT,   77};
    static const size_t lengths[] = {8,    8, ONION_LEN, GOSSIP_ITEM_LEN * 38, 8 * 140, 700,
                                     1024, 1, 50,        GOSSIP_ITEM_LEN,      3,       9};
    size_t kind = (size_t)sim_below(sim, sizeof types);
    uint8_t body[FRAME_BODY_MAX];

    sim_fill(sim, body, sizeof body);
    if (types[kind] == FRAME_INTRODUCE)
        address_pack(adversary_any_address(sim), body + NODE_ID_LEN);
    if (types[kind] == FRAME_ANNOUNCE) /* plausible sequences: about now */
        for (size_t i = 0; i + GOSSIP_ITEM_LEN <= lengths[kind]; i += GOSSIP_ITEM_LEN)
            for (unsigned b = 0; b < 6; b++)
                body[i + 8 + b] = (uint8_t)(wall_ms(node->now.wall) >> (40 - 8 * b));
    if (types[kind] == FRAME_ONION)
        body[0] = (uint8_t)wall_epoch(node->now.wall);
    links_send_frame(node->links, to, types[kind], body, lengths[kind], node->now.mono);
}

static void replay_onion(struct sim *sim, struct adversary *adversary, struct node *node,
                         uint64_t to) {
    unsigned n = adversary->n_onions < RECORDED ? adversary->n_onions : RECORDED;
    if (n > 0)
        links_send_onion(node->links, to, adversary->onions[sim_below(sim, n)], node->now.mono);
}

/* Whole frames of questions for what there is, of which it has all. */
static void ask_again(struct sim *sim, struct node *node, uint64_t to, unsigned frames) {
    uint8_t body[8 * GOSSIP_WANT_ITEMS];
    size_t known = directory_count(node->directory);

    for (; frames > 0 && known > 0; frames--) {
        struct wire_writer w = wire_writer(body, sizeof body);
        for (size_t i = 0; i < GOSSIP_WANT_ITEMS; i++)
            wire_put_uint(&w, directory_at(node->directory, sim_below(sim, known))->prefix, 8);
        links_send_frame(node->links, to, FRAME_WANT, body, sizeof body, node->now.mono);
    }
}

/* New keys, and a descriptor that has them. */
static void rekey(struct node *node) {
    identity_renew(node->identity, node->now.wall);
    node_self_sign(node);
    gossip_offer_news(node->gossip, node_id_prefix(node_id(node)), 0, node->now.mono);
}

static bool is_first_neighbour(const struct node *node, uint64_t prefix) {
    uint64_t prefixes[TOPOLOGY_DEGREE_MAX + 2];
    return node_neighbours(node, prefixes) > 0 && prefixes[0] == prefix;
}

/* Others to each neighbour. */
static void prove(struct sim *sim, struct node *node, struct crowd *crowd, const uint64_t *to,
                  size_t n, unsigned frames) {
    uint8_t body[GOSSIP_PROOFS * PROOF_LEN];

    for (; frames > 0; frames--) {
        for (unsigned i = 0; i < GOSSIP_PROOFS; i++)
            crowd_prove(crowd, node, body + i * PROOF_LEN);
        links_send_frame(node->links, to[sim_below(sim, n)], FRAME_PROOF, body, sizeof body,
                         node->now.mono);
    }
}

static void gossip_too_much(struct sim *sim, struct sim_host *host) {
    struct adversary *adversary = host->adversary;
    uint64_t prefixes[TOPOLOGY_DEGREE_MAX + 2];
    size_t n = node_neighbours(host->node, prefixes);

    if (adversary->habits & (HABIT_PUBLISHES | HABIT_CROWDS))
        crowd_publish(adversary->crowd, host->node, adversary->gossiping);
    if (adversary->habits & HABIT_REKEYS)
        rekey(host->node);
    if (adversary->habits & HABIT_PROVES && n > 0)
        prove(sim, host->node, adversary->crowd, prefixes, n, adversary->gossiping);
    for (size_t i = 0; i < n && adversary->habits & HABIT_WANTS; i++)
        ask_again(sim, host->node, prefixes[i], adversary->gossiping);
}

void adversary_hand(struct adversary *adversary, enum handing handing) {
    adversary->handing = handing;
}

/* How much later the version that this neighbour gets is than our own. */
static unsigned rank_of(struct adversary *adversary, uint64_t prefix) {
    unsigned i = 0;

    while (i < adversary->n_told && adversary->told[i] != prefix)
        i++;
    if (i == adversary->n_told && i < TOLD_MAX)
        adversary->told[adversary->n_told++] = prefix;
    return i;
}

/* What a neighbour is told of our own descriptor. Returns its length. */
static size_t tell_another(struct sim_host *host, uint64_t prefix, uint8_t type,
                           const uint8_t *body, size_t length, uint8_t bent[FRAME_BODY_MAX]) {
    struct version version;
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t size;

    memcpy(bent, body, length);
    (void)directory_bytes(host->node->directory, node_id_prefix(node_id(host->node)), &size,
                          &version);
    uint64_t sequence = version.sequence + rank_of(host->adversary, prefix);
    size = version_for(host->node, prefix, sequence, true, bytes);
    if (type == FRAME_ANNOUNCE)
        version_items(host->node, bytes, sequence, bent, length);
    if (type != FRAME_DESCRIPTOR || !version_is_own(host->node, body, length))
        return length;
    memcpy(bent, bytes, size);
    return size;
}

__typeof__(links_send_frame) __wrap_links_send_frame, __real_links_send_frame;
int __wrap_links_send_frame(struct links *links, uint64_t prefix, uint8_t type, const void *body,
                            size_t length, struct mono now) {
    struct sim_host *host = watch_host();
    uint8_t bent[FRAME_BODY_MAX];

    golden_frame(prefix, type);
    if (type == FRAME_ANNOUNCE && has_habit(host, HABIT_REKEYS) && host->node &&
        !is_first_neighbour(host->node, prefix))
        return 0; /* the others hear it from its neighbours */
    if (is_handing(host) && host->adversary->handing == TELLS_KEYS &&
        (type == FRAME_DESCRIPTOR || type == FRAME_ANNOUNCE)) {
        length = tell_another(host, prefix, type, body, length, bent);
        return __real_links_send_frame(links, prefix, type, bent, length, now);
    }
    if (!has_habit(host, HABIT_EQUIVOCATES) || !host->node ||
        (type != FRAME_DESCRIPTOR && type != FRAME_ANNOUNCE))
        return __real_links_send_frame(links, prefix, type, body, length, now);
    memcpy(bent, body, length);
    if (type == FRAME_DESCRIPTOR)
        equivocate(host->node, prefix, bent, length);
    else
        equivocate_items(host->node, prefix, bent, length);
    return __real_links_send_frame(links, prefix, type, bent, length, now);
}

/* Half of the time what it tells the neighbour by is the layer that it told it before, for as long
 * as that is good: a path for it, and another for whoever comes behind. */
static void keep_layer(struct sim *sim, struct sim_host *host, struct onion_layer *layer,
                       uint16_t *index) {
    struct kept_layer *kept = host->adversary->layers;
    while (kept->uses > 0 && kept->layer.hop != layer->hop &&
           kept < host->adversary->layers + LAYERS - 1)
        kept++;
    if (kept->uses == 0 || kept->uses == ONION_INDEX_COUNT || kept->layer.hop != layer->hop ||
        kept->layer.slot != layer->slot || kept->layer.key_id != layer->key_id)
        *kept = (struct kept_layer){*layer, 0};
    else if (sim_chance(sim, 0.5))
        return;
    *layer = kept->layer;
    *index = kept->uses++;
}

/* One packet or two of a path of its own, by way of a neighbour to the node it aims at. */
static void scatter(struct sim *sim, struct sim_host *host, uint64_t by) {
    const struct sim_host *aim = &sim->hosts[host->adversary->at];
    struct onion_layer layers[2];
    uint8_t secret[32], nonce[ONION_NONCE_LEN], packet[ONION_LEN];
    uint16_t indexes[2];
    uint64_t hops[2] = {by, aim->node ? node_id_prefix(node_id(aim->node)) : 0};

    for (unsigned i = 0; i < 2; i++) {
        const struct directory_entry *entry = directory_find_prefix(host->node->directory, hops[i]);
        struct descriptor descriptor;
        if (!entry || by == hops[1])
            return;
        directory_descriptor(entry, &descriptor);
        const uint8_t *key = descriptor_routing_key(&descriptor, wall_epoch(host->node->now.wall));
        sim_fill(sim, secret, sizeof secret);
        if (!key || onion_layer_key(&layers[i], key, secret) != DROP_NONE)
            return;
        layers[i].key_id = (uint8_t)wall_epoch(host->node->now.wall);
        layers[i].slot = (uint8_t)(wall_minute(host->node->now.wall) % 60);
        layers[i].hop = hops[i];
        indexes[i] = (uint16_t)sim_below(sim, ONION_INDEX_COUNT);
    }
    unsigned packets = host->adversary->habits & HABIT_PAIRS ? 2 : 1;
    if (packets == 1)
        keep_layer(sim, host, &layers[0], &indexes[0]);
    for (unsigned i = 0; i < packets; i++) {
        sim_fill(sim, nonce, sizeof nonce);
        onion_build(layers, 2, indexes, nonce, "?", 1, &host->node->config.random, packet);
        links_send_onion(host->node->links, by, packet, host->node->now.mono);
        indexes[0] = (uint16_t)((indexes[0] + 1) % ONION_INDEX_COUNT);
        indexes[1] = (uint16_t)((indexes[1] + 1) % ONION_INDEX_COUNT);
    }
}

/* ---- Parcels and mail ---- */

__typeof__(parcel_seal) __wrap_parcel_seal, __real_parcel_seal;
int __wrap_parcel_seal(const struct noise_keypair *link_key, const struct node_id *recipient,
                       const uint8_t routing_key[KEY_LEN], int64_t epoch,
                       const uint8_t ephemeral[32], const struct noise_known *known,
                       const uint8_t *plain, size_t length, uint8_t *out,
                       uint8_t ret_receipt_key[KEY_LEN]) {
    static uint8_t padding[PARCEL_PLAIN_MAX]; /* nobody with this habit has threads */
    if (watch_host() && watch_host()->adversary && watch_host()->adversary->pads) {
        memcpy(padding, plain, PARCEL_HEAD_LEN);
        plain = padding;
    }
    return __real_parcel_seal(link_key, recipient, routing_key, epoch, ephemeral, known, plain,
                              length, out, ret_receipt_key);
}

__typeof__(outbox_deposit) __wrap_outbox_deposit, __real_outbox_deposit;
int __wrap_outbox_deposit(struct outbox *outbox, const struct outbox_mail *mail, uint64_t quota,
                          struct wall wall) {
    if (has_habit(watch_host(), HABIT_REMAILS)) {
        struct adversary *adversary = watch_host()->adversary;
        unsigned i = adversary->n_mails++ % MAILS;
        free(adversary->mails[i].bytes);
        adversary->mails[i].bytes = malloc(mail->length);
        if (!adversary->mails[i].bytes)
            abort();
        memcpy(adversary->mails[i].bytes, mail->bytes, mail->length);
        adversary->mails[i].length = mail->length;
        adversary->mails[i].recipient = mail->recipient;
    }
    return __real_outbox_deposit(outbox, mail, quota, wall);
}

/* All that it ever kept, once more, under ids that its core does not know yet. */
static void remail(struct sim *sim, struct sim_host *host) {
    struct adversary *adversary = host->adversary;
    for (unsigned i = 0; i < MAILS && adversary->mails[i].bytes; i++) {
        struct outbox_mail mail = {.recipient = adversary->mails[i].recipient,
                                   .expires = {host->node->now.wall.us + 24 * US_PER_HOUR},
                                   .bytes = adversary->mails[i].bytes,
                                   .length = adversary->mails[i].length};
        sim_fill(sim, mail.id.bytes, sizeof mail.id);
        __real_outbox_deposit(host->node->outbox, &mail, UINT64_MAX, host->node->now.wall);
    }
}

__typeof__(links_flush) __wrap_links_flush, __real_links_flush;
void __wrap_links_flush(struct links *links, struct mono now) {
    struct sim_host *host = watch_host();
    uint64_t prefixes[TOPOLOGY_DEGREE_MAX + 2];

    if (host && host->node && host->adversary && host->adversary->gossiping > 0)
        gossip_too_much(watch_sim(), host);

    if (host && host->node && host->adversary && host->adversary->flooding) {
        size_t n = node_neighbours(host->node, prefixes);
        unsigned going = host->adversary->going;
        for (unsigned k = 0; k < host->adversary->flooding && n > 0; k++) {
            uint64_t to = prefixes[sim_below(watch_sim(), n)];
            if (going & HABIT_FLOODS)
                flood_frame(watch_sim(), host->node, to);
            if (going & HABIT_REPLAYS)
                replay_onion(watch_sim(), host->adversary, host->node, to);
            if (going & HABIT_SCATTERS)
                scatter(watch_sim(), host, to);
        }
        if (going & HABIT_REMAILS)
            remail(watch_sim(), host);
    }
    __real_links_flush(links, now);
}
