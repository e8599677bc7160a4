/* What an adversary says of itself: in handshakes, and in the descriptors that it signs. */
#include "tests/sim/adversary_private.h"
#include "tests/sim/watch.h"

/* ---- Handshakes ---- */

/* It does not outbid the versions that it hands out. */
__typeof__(directory_outbid) __wrap_directory_outbid, __real_directory_outbid;
uint64_t __wrap_directory_outbid(const struct directory *directory) {
    return is_handing(watch_host()) ? 0 : __real_directory_outbid(directory);
}

/* Over a link that there is already, too: to the core one that is suspect may be made anew. */
__typeof__(links_finish) __wrap_links_finish, __real_links_finish;
static void finish_anew(struct links *links, uint32_t index, struct now now) {
    struct link *link = link_of(links, &session_find(links, index)->peer);
    enum link_state state = link ? link->view.state : LINK_FREE;

    if (link)
        link->view.state = LINK_SUSPECT;
    __real_links_finish(links, index, now);
    if (link)
        link->view.state = state;
}

/* With another descriptor of its own. */
static void finish_handing(struct sim_host *host, struct links *links, uint32_t index,
                           struct now now) {
    struct adversary *adversary = host->adversary;
    uint64_t sequence = (uint64_t)wall_ms(host->node->now.wall),
             peer = node_id_prefix(&session_find(links, index)->peer);
    uint8_t own[DESCRIPTOR_MAX];
    size_t length = links->descriptor_length;

    adversary->handed = sequence > adversary->handed ? sequence : adversary->handed + 1;
    memcpy(own, links->descriptor, length);
    links->descriptor_length = version_for(host->node, peer, adversary->handed,
                                           adversary->handing == HANDS_KEYS, links->descriptor);
    finish_anew(links, index, now);
    memcpy(links->descriptor, own, length);
    links->descriptor_length = length;
}

void __wrap_links_finish(struct links *links, uint32_t index, struct now now) {
    struct sim_host *host = watch_host();

    if (session_find(links, index) && is_handing(host) && host->adversary->handing != TELLS_KEYS) {
        finish_handing(host, links, index, now);
    } else if (session_find(links, index) && has_habit(host, HABIT_FRAMES)) {
        /* The other's clock goes by the middle between its own time and this. */
        if (host->adversary->bent.us != 0)
            now.wall.us += 2 * (host->adversary->bent.us - now.wall.us);
        finish_anew(links, index, now);
    } else {
        __real_links_finish(links, index, now);
    }
}

__typeof__(directory_offer) __wrap_directory_offer, __real_directory_offer;
enum directory_outcome __wrap_directory_offer(struct directory *directory, const uint8_t *bytes,
                                              size_t length, struct now now,
                                              const struct directory_entry **ret_entry,
                                              enum drop *ret_drop) {
    struct sim_host *host = watch_host();

    if (has_habit(host, HABIT_FRAMES) && !host->adversary->has_framed)
        host->adversary->has_framed =
            album_keep(host->adversary->album, bytes, length, host->adversary->proof);
    enum directory_outcome outcome =
        __real_directory_offer(directory, bytes, length, now, ret_entry, ret_drop);
    enum drop drop;
    if (has_habit(host, HABIT_FRAMES) && host->adversary->has_framed)
        (void)directory_take_proof(directory, host->adversary->proof, now.wall, &drop);
    return outcome;
}

/* ---- Descriptors ---- */

static uint64_t any_prefix(struct sim *sim) {
    const struct sim_host *host = &sim->hosts[sim_below(sim, sim->n_hosts)];
    return host->node ? node_id_prefix(node_id(host->node)) : sim_below(sim, UINT64_MAX);
}

static void lie(struct sim *sim, struct descriptor *descriptor) {
    if (sim_chance(sim, 0.5)) { /* somebody else's address, or nobody's */
        descriptor->n_addresses = 1 + (uint8_t)sim_below(sim, DESCRIPTOR_ADDRESSES_MAX);
        for (unsigned i = 0; i < descriptor->n_addresses; i++) {
            descriptor->addresses[i] = *adversary_any_address(sim);
            if (sim_chance(sim, 0.5))
                descriptor->addresses[i].port = (uint16_t)(1 + sim_below(sim, 65535));
        }
    }
    if (sim_chance(sim, 0.7)) { /* links to everybody: routes would lead through it */
        descriptor->n_neighbours = DESCRIPTOR_NEIGHBOURS_MAX;
        for (unsigned i = 0; i < descriptor->n_neighbours; i++)
            descriptor->neighbours[i] =
                (struct descriptor_neighbour){any_prefix(sim), *adversary_any_address(sim)};
    }
    if (sim_chance(sim, 0.3))
        descriptor->sequence += sim_below(sim, 10 * 60 * 1000);
    if (sim_chance(sim, 0.1))
        descriptor->sequence = DESCRIPTOR_SEQUENCE_MAX;
}

static bool is_posing(const struct sim_host *host) {
    return host && host->adversary &&
           (host->adversary->posed_at.port != 0 || host->adversary->claimed.port != 0);
}

static void claim(const struct adversary *adversary, struct descriptor *descriptor) {
    descriptor->n_addresses = DESCRIPTOR_ADDRESSES_MAX;
    for (unsigned i = 0; i < DESCRIPTOR_ADDRESSES_MAX; i++) {
        descriptor->addresses[i] = adversary->claimed;
        descriptor->addresses[i].port = (uint16_t)(adversary->claimed.port + i);
    }
}

static void pose(const struct adversary *adversary, const struct identity *identity,
                 struct descriptor *descriptor) {
    uint64_t poser = node_id_prefix(&adversary->poser);

    if (adversary->claimed.port != 0)
        claim(adversary, descriptor);
    if (adversary->posed_at.port == 0)
        return;
    if (node_id_is_equal(identity_id(identity), &adversary->poser)) {
        descriptor->n_addresses = 1;
        descriptor->addresses[0] = adversary->posed_at;
    }
    for (unsigned i = 0; i < descriptor->n_neighbours; i++)
        if (descriptor->neighbours[i].prefix == poser)
            descriptor->neighbours[i].seen_at = adversary->posed_at;
}

__typeof__(descriptor_sign) __wrap_descriptor_sign, __real_descriptor_sign;
int __wrap_descriptor_sign(struct descriptor *descriptor, const struct identity *identity,
                           struct wall now, uint8_t ret_bytes[DESCRIPTOR_MAX]) {
    if (has_habit(watch_host(), HABIT_LIES)) {
        struct descriptor false_one = *descriptor;
        lie(watch_sim(), &false_one);
        int length = __real_descriptor_sign(&false_one, identity, now, ret_bytes);
        if (length > 0)
            return length;
    }
    if (is_posing(watch_host())) {
        struct descriptor posed = *descriptor;
        pose(watch_host()->adversary, identity, &posed);
        return __real_descriptor_sign(&posed, identity, now, ret_bytes);
    }
    return __real_descriptor_sign(descriptor, identity, now, ret_bytes);
}
