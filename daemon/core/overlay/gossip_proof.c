/* Proofs against nodes that signed two versions with one sequence. Those that come are checked at a
 * limited rate, and sent to the neighbours that have not brought one themselves.
 *
 * Threat: a member can make any number of proofs against identities of its own; each costs two
 * signature checks and goes over every link of the network. A proof that is held already costs
 * nothing. For all others there is one rate, and a small one for each neighbour besides; a proof
 * beyond these is dropped before its signatures are checked. It is not lost for good: digests show
 * that it is missing here, and it is sent again. */
#include "daemon/core/overlay/gossip_private.h"

/* ---- Telling ---- */

static struct untold *find(struct gossip *gossip, uint64_t prefix) {
    for (size_t i = 0; i < gossip->proofs.n_untold; i++)
        if (gossip->proofs.untold[i].prefix == prefix)
            return &gossip->proofs.untold[i];
    return NULL;
}

static void gather(struct gossip *gossip, struct mono now) {
    int64_t wait =
        GOSSIP_GATHER_MIN_US +
        (int64_t)random_below(&gossip->random, GOSSIP_GATHER_MAX_US - GOSSIP_GATHER_MIN_US);
    struct mono soonest = mono_add(now, wait),
                next = mono_add(gossip->proofs.told, GOSSIP_PROOF_EACH_US + wait);

    gossip->proofs.due = soonest.us > next.us ? soonest : next;
}

/* Fetch the proofs that the directory has found or taken. */
static void collect(struct gossip *gossip, struct mono now) {
    uint64_t prefix;

    while (directory_next_proof(gossip->directory, &prefix)) {
        struct untold *untold = find(gossip, prefix);
        if (untold)
            untold->holders = 0; /* they brought another proof, which may be older */
        else if (gossip->proofs.n_untold < GOSSIP_PROOFS_UNTOLD_MAX)
            gossip->proofs.untold[gossip->proofs.n_untold++] = (struct untold){prefix, 0};
        if (gossip->proofs.n_untold > 0 && gossip->proofs.due.us == MONO_NEVER.us)
            gather(gossip, now);
    }
}

/* What does not fit the link's queue is lost; digests show that it is missing. */
static void tell(struct gossip *gossip, size_t neighbour, struct mono now) {
    uint64_t to = gossip->neighbours[neighbour].prefix;
    uint8_t body[GOSSIP_PROOFS * PROOF_LEN];
    struct wire_writer w = wire_writer(body, sizeof body);

    for (size_t i = 0; i < gossip->proofs.n_untold; i++) {
        const struct untold *untold = &gossip->proofs.untold[i];
        const uint8_t *proof = directory_proof(gossip->directory, untold->prefix);
        if (!proof || untold->holders & bit_of(neighbour))
            continue;
        wire_put(&w, proof, PROOF_LEN);
        if (wire_room(&w) > 0)
            continue;
        (void)links_send_frame(gossip->links, to, FRAME_PROOF, body, wire_length(&w), now);
        w = wire_writer(body, sizeof body);
    }
    if (wire_length(&w) > 0)
        (void)links_send_frame(gossip->links, to, FRAME_PROOF, body, wire_length(&w), now);
}

void proofs_tell(struct gossip *gossip, struct mono now) {
    collect(gossip, now);
    if (!mono_is_due(gossip->proofs.due, now))
        return;
    for (size_t i = 0; i < LINK_SLOTS; i++)
        if (gossip->neighbours[i].up)
            tell(gossip, i, now);
    gossip->proofs.n_untold = 0;
    gossip->proofs.due = MONO_NEVER;
    gossip->proofs.told = now;
}

void proofs_link_up(struct gossip *gossip, const struct neighbour *neighbour) {
    for (size_t i = 0; i < gossip->proofs.n_untold; i++)
        gossip->proofs.untold[i].holders &= ~bit_of(index_of(gossip, neighbour));
}

/* ---- Taking ---- */

static bool may_check(struct gossip *gossip, struct neighbour *from, struct mono now) {
    return rate_take(&gossip->proofs.checked, PROOF_US, PROOF_ROOM, now) ||
           rate_take(&from->proofs, PROOF_PART_US, PROOF_PART_ROOM, now);
}

static enum drop take(struct gossip *gossip, struct neighbour *from, const uint8_t *proof,
                      struct now now) {
    struct wire_reader r = wire_reader(proof, PROOF_LEN);
    uint64_t prefix = wire_get_uint(&r, 8);
    enum drop drop;
    enum directory_outcome outcome =
        directory_weigh_proof(gossip->directory, proof, now.wall, &drop);

    if (outcome == DIRECTORY_NEWS && !may_check(gossip, from, now.mono))
        return DROP_LIMIT;
    if (outcome == DIRECTORY_NEWS)
        outcome = directory_take_proof(gossip->directory, proof, now.wall, &drop);
    if (outcome == DIRECTORY_BAD)
        return drop;
    collect(gossip, now.mono);
    struct untold *untold = find(gossip, prefix);
    if (untold)
        untold->holders |= bit_of(index_of(gossip, from));
    return DROP_NONE;
}

enum drop proofs_take(struct gossip *gossip, struct neighbour *from, const uint8_t *body,
                      size_t length, struct now now) {
    enum drop worst = DROP_NONE;

    if (length == 0 || length % PROOF_LEN != 0)
        return DROP_MALFORMED;
    if (!mono_is_due(from->barred_until, now.mono))
        return DROP_LIMIT;
    for (size_t at = 0; at < length; at += PROOF_LEN) {
        enum drop drop = take(gossip, from, body + at, now);
        if (drop == DROP_MALFORMED || drop == DROP_AUTH) {
            gossip_bar(from, now.mono);
            return drop;
        }
        worst = drop != DROP_NONE ? drop : worst;
    }
    return worst;
}
