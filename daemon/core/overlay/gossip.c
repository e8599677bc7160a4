/* Announcing, answering, digests, and the neighbours with whom it is done.
 *
 * Threat: see the header. What a full queue or table turns away is never lost for good: it is owed
 * again (announcements), asked for again (answers) or repeated by the next digest (wants). */
#include "daemon/core/overlay/gossip_private.h"

#include <assert.h>
#include <stdlib.h>

#define DIGEST_LEN (4 * DIRECTORY_BUCKETS)
/* What digests showed is announced in small helpings: a whole directory of 20,000 in 1/3 s, between
 * other traffic. */
#define OWED_FRAMES 8
#define OWED_PACE_US (10 * US_PER_MS)

static struct neighbour *find_neighbour(struct gossip *gossip, uint64_t prefix) {
    for (size_t i = 0; i < gossip->n_used; i++)
        if (gossip->neighbours[i].up && gossip->neighbours[i].prefix == prefix)
            return &gossip->neighbours[i];
    return NULL;
}

/* ---- Announcing ---- */

/* No secret, and asked for each neighbour at each step: a comparison in constant time is slow. */
static bool is_owing(const struct owed *owed) {
    static const uint8_t none[sizeof owed->bits];
    return memcmp(owed->bits, none, sizeof none) != 0;
}

static void owe(struct neighbour *neighbour, uint64_t prefix) {
    unsigned bucket = (unsigned)(prefix >> 56);

    neighbour->owed.bits[bucket / 8] |= (uint8_t)(1u << bucket % 8);
    neighbour->owed.skip = 0; /* it may stand before the place where we are */
}

static int send_items(struct gossip *gossip, const struct neighbour *neighbour,
                      const struct wire_writer *w, struct mono now) {
    return links_send_frame(gossip->links, neighbour->prefix, FRAME_ANNOUNCE, w->start,
                            wire_length(w), now);
}

static void put_item(struct wire_writer *w, uint64_t prefix, const struct version *version) {
    wire_put_uint(w, prefix, 8);
    wire_put_uint(w, version->sequence, 6);
    wire_put(w, version->tag, VERSION_TAG_LEN);
}

static void flush_announcements(struct gossip *gossip, struct neighbour *neighbour,
                                struct mono now) {
    uint8_t body[GOSSIP_ITEM_LEN * GOSSIP_ANNOUNCE_ITEMS];
    struct wire_writer w = wire_writer(body, sizeof body);
    struct version version;
    size_t length;

    for (size_t i = 0; i < neighbour->n_announce; i++)
        if (directory_bytes(gossip->directory, neighbour->announce[i], &length, &version))
            put_item(&w, neighbour->announce[i], &version);
    if (wire_length(&w) > 0 && send_items(gossip, neighbour, &w, now) < 0) {
        for (size_t i = 0; i < neighbour->n_announce; i++)
            owe(neighbour, neighbour->announce[i]);
        neighbour->owed_due = mono_add(now, FULL_RETRY_US);
    }
    neighbour->n_announce = 0;
    neighbour->announce_due = MONO_NEVER;
}

static void drain_news(struct gossip *gossip, struct mono now) {
    int64_t elapsed = now.us - gossip->news.at.us;

    gossip->news.at = now;
    gossip->news.level =
        elapsed < US_PER_S ? gossip->news.level - gossip->news.level * elapsed / US_PER_S : 0;
}

static void note_news(struct gossip *gossip, struct mono now) {
    drain_news(gossip, now);
    gossip->news.level += 1000;
}

/* The more there is to tell, the longer: a cell holds GOSSIP_ANNOUNCE_ITEMS, and costs the same
 * with one. */
static int64_t gather_time(struct gossip *gossip) {
    int64_t more = gossip->news.level * (GOSSIP_GATHER_NEWS_US / 1000);

    return GOSSIP_GATHER_MIN_US +
           (int64_t)random_below(&gossip->random, GOSSIP_GATHER_MAX_US - GOSSIP_GATHER_MIN_US) +
           (more < GOSSIP_GATHER_MORE_US ? more : GOSSIP_GATHER_MORE_US);
}

/* All that is known, twice: what an answer lost or a restart makes a neighbour ask for again. */
static int64_t asking_burst(const struct gossip *gossip) {
    return 2 * ((int64_t)directory_count(gossip->directory) + 1) + GOSSIP_ASKED_SPARE;
}

static void refill_asking(const struct gossip *gossip, struct allowance *asking, struct mono now) {
    int64_t rate = 1 + (int64_t)directory_count(gossip->directory) / GOSSIP_ASKED_ALL_S;
    int64_t elapsed = now.us - asking->at.us, burst = asking_burst(gossip);

    if (elapsed > US_PER_HOUR)
        elapsed = US_PER_HOUR;
    asking->at = now;
    asking->level += elapsed * rate;
    if (asking->level > burst * TOKEN)
        asking->level = burst * TOKEN;
}

/* Take a token that a refill has put there, if there is a whole one. */
static bool take_asking(struct allowance *asking) {
    if (asking->level < TOKEN)
        return false;
    asking->level -= TOKEN;
    return true;
}

static void announce(struct gossip *gossip, struct neighbour *neighbour, uint64_t prefix,
                     struct mono now) {
    for (size_t i = 0; i < neighbour->n_announce; i++)
        if (neighbour->announce[i] == prefix)
            return;                   /* the version is looked up when it goes */
    neighbour->asking.level += TOKEN; /* it may ask for it */
    if (neighbour->n_announce == 0)
        neighbour->announce_due = mono_add(now, gather_time(gossip));
    neighbour->announce[neighbour->n_announce++] = prefix;
    if (neighbour->n_announce == GOSSIP_ANNOUNCE_ITEMS)
        flush_announcements(gossip, neighbour, now);
}

/* It has told us of the version that we were going to tell it of. */
static void unannounce(struct neighbour *neighbour, uint64_t prefix) {
    for (size_t i = 0; i < neighbour->n_announce; i++)
        if (neighbour->announce[i] == prefix) {
            neighbour->announce[i] = neighbour->announce[--neighbour->n_announce];
            break;
        }
    if (neighbour->n_announce == 0)
        neighbour->announce_due = MONO_NEVER;
}

/* Whoever announced this version has it. */
void gossip_offer_news(struct gossip *gossip, uint64_t prefix, uint64_t from, struct mono now) {
    note_news(gossip, now);
    uint32_t known = gossip->heard.prefix == prefix ? gossip->heard.holders : 0;

    for (size_t i = 0; i < LINK_SLOTS; i++) {
        struct neighbour *neighbour = &gossip->neighbours[i];
        if (neighbour->up && neighbour->prefix != from && neighbour->prefix != prefix &&
            !(known & bit_of(i)))
            announce(gossip, neighbour, prefix, now);
    }
    gossip->heard.holders = 0;
}

/* A frame of announcements, and one of the proofs against those that stand in it: as many as the
 * neighbour is told in a while, for it takes no more in that. */
struct page {
    struct wire_writer w, proofs;
    struct rate told;
    struct mono now;
    size_t skip, taken;
};

static bool put_on_page(void *context, uint64_t prefix, const struct version *version,
                        const uint8_t *proof) {
    struct page *page = context;

    if (page->taken < page->skip) {
        page->taken++;
        return true;
    }
    if (!rate_has(&page->told, PROOF_ROOM, page->now))
        proof = NULL;
    if (wire_room(&page->w) < GOSSIP_ITEM_LEN || (proof && wire_room(&page->proofs) < PROOF_LEN)) {
        page->w.failed = true; /* there is more */
        return false;
    }
    put_item(&page->w, prefix, version);
    if (proof && rate_take(&page->told, PROOF_US, PROOF_ROOM, page->now))
        wire_put(&page->proofs, proof, PROOF_LEN);
    page->taken++;
    return true;
}

/* Fill a frame from the owed buckets; *owed moves on. */
static void fill_page(const struct gossip *gossip, struct owed *owed, struct page *page) {
    for (unsigned i = 0; i < DIRECTORY_BUCKETS; i++) {
        unsigned bucket = (owed->first + i) % DIRECTORY_BUCKETS;
        if (!(owed->bits[bucket / 8] & 1u << bucket % 8))
            continue;
        page->skip = owed->skip;
        page->taken = 0;
        directory_visit_bucket(gossip->directory, bucket, put_on_page, page);
        if (page->w.failed) {
            owed->skip = page->taken;
            return;
        }
        owed->bits[bucket / 8] &= (uint8_t) ~(1u << bucket % 8);
        owed->skip = 0;
    }
}

static bool send_page(struct gossip *gossip, const struct neighbour *neighbour,
                      const struct page *page, struct mono now) {
    if (wire_length(&page->proofs) > 0 &&
        links_send_frame(gossip->links, neighbour->prefix, FRAME_PROOF, page->proofs.start,
                         wire_length(&page->proofs), now) < 0)
        return false;
    return wire_length(&page->w) == 0 || send_items(gossip, neighbour, &page->w, now) == 0;
}

static void announce_owed(struct gossip *gossip, struct neighbour *neighbour, struct mono now) {
    uint8_t body[GOSSIP_ITEM_LEN * GOSSIP_ANNOUNCE_ITEMS], proofs[GOSSIP_PROOFS * PROOF_LEN];

    neighbour->owed_due = MONO_NEVER;
    for (int i = 0; i < OWED_FRAMES && is_owing(&neighbour->owed); i++) {
        struct owed owed = neighbour->owed;
        struct page page = {.w = wire_writer(body, sizeof body),
                            .proofs = wire_writer(proofs, sizeof proofs),
                            .told = neighbour->proofs_told,
                            .now = now};
        fill_page(gossip, &owed, &page);
        if (!send_page(gossip, neighbour, &page, now)) {
            neighbour->owed_due = mono_add(now, FULL_RETRY_US);
            return;
        }
        neighbour->owed = owed;
        neighbour->proofs_told = page.told;
    }
    if (is_owing(&neighbour->owed))
        neighbour->owed_due = mono_add(now, OWED_PACE_US);
}

static enum drop take_announce(struct gossip *gossip, struct neighbour *from, const uint8_t *body,
                               size_t length, struct mono now) {
    struct wire_reader r = wire_reader(body, length);
    enum drop drop = DROP_NONE;

    if (length == 0 || length % GOSSIP_ITEM_LEN != 0)
        return DROP_MALFORMED;
    if (!mono_is_due(from->barred_until, now))
        return DROP_LIMIT;
    while (wire_left(&r) > 0) {
        uint64_t prefix = wire_get_uint(&r, 8);
        struct version version = {.sequence = wire_get_uint(&r, 6)}, held;
        wire_get(&r, version.tag, VERSION_TAG_LEN);
        size_t length_held;
        bool holds = directory_bytes(gossip->directory, prefix, &length_held, &held) != NULL;
        int order = holds ? version_compare(&held, &version) : -1;
        if (order == 0)
            unannounce(from, prefix);
        if (order > 0)
            older_note(gossip, from, prefix, now);
        if (order >= 0) /* a lesser one of the same sequence: it is told of ours, and tells both */
            continue;   /* a later one of our own is of another life: the directory tells */
        if (want_note(gossip, from, prefix, &version, now) != DROP_NONE)
            drop = DROP_LIMIT;
    }
    want_ask(gossip, from, now);
    return drop;
}

/* ---- Answering ---- */

static void answer(struct gossip *gossip, struct neighbour *neighbour, struct mono now) {
    neighbour->answer_due = MONO_NEVER;
    while (neighbour->n_answers > 0) {
        struct version version;
        size_t length;
        const uint8_t *bytes = directory_bytes(
            gossip->directory, neighbour->answers[neighbour->first_answer], &length, &version);
        if (bytes && !rate_has(&neighbour->answering, ANSWER_ROOM, now)) {
            neighbour->answer_due = rate_due(&neighbour->answering, ANSWER_ROOM);
            return;
        }
        if (bytes && links_send_frame(gossip->links, neighbour->prefix, FRAME_DESCRIPTOR, bytes,
                                      length, now) < 0) {
            neighbour->answer_due = mono_add(now, FULL_RETRY_US);
            return;
        }
        if (bytes)
            rate_charge(&neighbour->answering, ANSWER_US, now);
        neighbour->first_answer = (neighbour->first_answer + 1) % GOSSIP_ANSWERS_MAX;
        neighbour->n_answers--;
    }
}

static void limit(struct allowance *allowance, const struct allowance *other) {
    if (allowance->level > other->level)
        allowance->level = other->level;
}

/* Links from one address have one allowance for what they ask: an idle one would else keep a whole
 * one ready for whoever comes next from there. */
static void share_asking(struct gossip *gossip, const struct neighbour *from, struct mono now) {
    for (size_t i = 0; i < LINK_SLOTS && from->source != 0; i++) {
        struct neighbour *slot = &gossip->neighbours[i];
        if (slot == from || !slot->up || slot->source != from->source)
            continue;
        refill_asking(gossip, &slot->asking, now);
        limit(&slot->asking, &from->asking);
    }
}

static enum drop take_want(struct gossip *gossip, struct neighbour *from, const uint8_t *body,
                           size_t length, struct mono now) {
    struct wire_reader r = wire_reader(body, length);
    enum drop drop = DROP_NONE;
    struct version version;
    size_t held;

    if (length == 0 || length % 8 != 0)
        return DROP_MALFORMED;
    refill_asking(gossip, &from->asking, now);
    while (wire_left(&r) > 0) {
        uint64_t prefix = wire_get_uint(&r, 8);
        if (!directory_bytes(gossip->directory, prefix, &held, &version))
            continue;
        if (from->n_answers == GOSSIP_ANSWERS_MAX || !take_asking(&from->asking)) {
            drop = DROP_LIMIT;
            break;
        }
        from->answers[(from->first_answer + from->n_answers++) % GOSSIP_ANSWERS_MAX] = prefix;
    }
    share_asking(gossip, from, now);
    answer(gossip, from, now);
    return drop;
}

/* Who has announced this version or a newer one. */
static uint32_t holders_of(const struct want *want, const struct directory_entry *entry) {
    struct version version = {.sequence = entry->sequence};

    memcpy(version.tag, entry->tag, sizeof version.tag);
    return version_compare(&version, &want->version) <= 0 ? want->holders : 0;
}

/* It has had its chance. Sequence 0: what it brought does not count. */
static void strike_bearer(struct gossip *gossip, struct want *want, size_t i,
                          const uint8_t *descriptor, uint64_t sequence) {
    struct version brought = {.sequence = sequence};

    if (sequence == 0) {
        want_strike(gossip, want, i);
        return;
    }
    memcpy(brought.tag, version_tag(descriptor), VERSION_TAG_LEN);
    want_answered(gossip, want, i, &brought);
}

static enum drop take_descriptor(struct gossip *gossip, struct neighbour *from, const uint8_t *body,
                                 size_t length, struct now now,
                                 const struct directory_entry **ret_news) {
    size_t i = index_of(gossip, from);
    struct descriptor descriptor;
    enum drop drop = descriptor_decode(body, length, &descriptor);
    struct want *want = NULL;

    if (drop == DROP_NONE) {
        uint64_t prefix = node_id_prefix(&descriptor.id);
        want = want_find(gossip, prefix);
        patience_answer(from, prefix, want && want->asked && want->holder == i ? want : NULL,
                        now.mono);
        if (older_is_shown(gossip, from, &descriptor, body)) {
            drop = directory_show_older(gossip->directory, body, length, &descriptor, now);
            if (drop == DROP_AUTH)
                gossip_bar(from, now.mono);
            return drop;
        }
        if (!want || !(want->announcers & bit_of(i)))
            return DROP_UNKNOWN;
        if (want->paced)
            return DROP_LIMIT; /* nobody is asked yet */
        enum directory_outcome outcome =
            directory_offer(gossip->directory, body, length, now, ret_news, &drop);
        if (outcome != DIRECTORY_BAD)
            drop = DROP_NONE;
        if (outcome ==
            DIRECTORY_NEWS) { /* else nobody is told, and what stands here would be of later news */
            gossip->heard.prefix = want->prefix;
            gossip->heard.holders = holders_of(want, *ret_news);
        }
    }
    if (drop == DROP_MALFORMED || drop == DROP_AUTH)
        gossip_bar(from, now.mono);
    if (want)
        strike_bearer(gossip, want, i, body, drop == DROP_NONE ? descriptor.sequence : 0);
    if (from->n_waiting > 0)
        from->ask_due = mono_min(from->ask_due, mono_add(now.mono, GOSSIP_ASK_GATHER_US));
    return drop;
}

/* ---- Digests ---- */

/* The first on a link is of everything, later ones of what is no longer under way. */
static void send_digest(struct gossip *gossip, struct neighbour *neighbour, struct mono now) {
    struct mono before = neighbour->told_all ? mono_add(now, -GOSSIP_DIGEST_AGE_US) : MONO_NEVER;
    uint32_t digest[DIRECTORY_BUCKETS];
    uint8_t body[DIGEST_LEN];
    struct wire_writer w = wire_writer(body, sizeof body);

    directory_digest(gossip->directory, before, digest);
    for (size_t i = 0; i < DIRECTORY_BUCKETS; i++)
        wire_put_uint(&w, digest[i], 4);
    bool sent = links_send_frame(gossip->links, neighbour->prefix, FRAME_DIGEST, body, sizeof body,
                                 now) == 0;
    neighbour->told_all |= sent;
    neighbour->digest_due = mono_add(now, sent ? GOSSIP_DIGEST_US : US_PER_S);
}

/* A later digest agrees in a bucket with our old entries, or with all of ours where it has had for
 * a minute what came to us just now. The first one must agree with all: a newcomer holds nothing,
 * as do we of what is a minute old, soon after the start. If the first was lost, the next is taken
 * for it, and what is young is announced in vain. */
static enum drop take_digest(struct gossip *gossip, struct neighbour *from, const uint8_t *body,
                             size_t length, struct mono now) {
    struct wire_reader r = wire_reader(body, length);
    uint32_t all[DIRECTORY_BUCKETS], aged[DIRECTORY_BUCKETS];

    if (length != DIGEST_LEN)
        return DROP_MALFORMED;
    /* Twice as many as an honest neighbour sends: a kilobyte of question may be answered by the
     * whole directory's list. */
    if (!rate_take(&from->digests, DIGEST_US, DIGEST_ROOM, now))
        return DROP_LIMIT;
    directory_digest(gossip->directory, MONO_NEVER, all);
    directory_digest(gossip->directory,
                     from->heard_all ? mono_add(now, -GOSSIP_DIGEST_AGE_US) : MONO_NEVER, aged);
    from->heard_all = true;
    if (!is_owing(&from->owed)) /* not the same proofs first each time */
        from->owed =
            (struct owed){.first = (unsigned)random_below(&gossip->random, DIRECTORY_BUCKETS)};
    for (uint64_t i = 0; i < DIRECTORY_BUCKETS; i++) {
        uint32_t theirs = (uint32_t)wire_get_uint(&r, 4);
        if (theirs != all[i] && theirs != aged[i])
            owe(from, i << 56);
    }
    announce_owed(gossip, from, now);
    return DROP_NONE;
}

/* ---- Neighbours ---- */

struct gossip *gossip_new(struct directory *directory, struct links *links, struct budget *budget,
                          const struct core_random *random) {
    struct gossip *gossip = calloc(1, sizeof *gossip);

    if (!gossip)
        return NULL;
    gossip->directory = directory;
    gossip->links = links;
    budget_part_init(&gossip->memory, budget, BUDGET_GOSSIP, GOSSIP_MEMORY_PERCENT);
    gossip->random = *random;
    gossip->paced_due = gossip->proofs.due = MONO_NEVER;
    if (table_init(&gossip->wants, random) < 0) {
        free(gossip);
        return NULL;
    }
    return gossip;
}

void gossip_refit(struct gossip *gossip) {
    budget_part_refit(&gossip->memory);
}

void gossip_free(struct gossip *gossip) {
    if (!gossip)
        return;
    for (size_t i = 0; i < gossip->n_used; i++)
        if (gossip->neighbours[i].up)
            gossip_link_down(gossip, gossip->neighbours[i].prefix);
    assert(gossip->n_wants[WANT_VERSION] == 0 && gossip->n_wants[WANT_NEWCOMER] == 0);
    assert(gossip->n_paced == 0);
    table_deinit(&gossip->wants);
    free(gossip);
}

/* The slot that it had before, or one never used, or the one whose link ended longest ago. NULL:
 * all are up. */
static struct neighbour *choose_slot(struct gossip *gossip, uint64_t prefix) {
    struct neighbour *best = NULL;

    for (size_t i = 0; i < LINK_SLOTS; i++) {
        struct neighbour *slot = &gossip->neighbours[i];
        if (slot->used && slot->prefix == prefix)
            return slot;
        if (!slot->up && (!best || slot->ended < best->ended))
            best = slot;
    }
    return best;
}

/* What outlives a link, so that redialling does not renew it: allowances, the bar, what is known of
 * how it answers. Those for what costs us most, answers, are also kept by source: see inherit().
 * One allowance for all newcomers would bound more, and let whoever uses it up keep them out. */
static void begin_slot(const struct gossip *gossip, struct neighbour *slot, uint64_t prefix,
                       struct mono now) {
    *slot = (struct neighbour){
        .prefix = prefix, .used = true, .barred_until = now, .patience_us = GOSSIP_ASK_US};
    slot->asking = (struct allowance){asking_burst(gossip) * TOKEN, now};
}

/* Identities are free, addresses less so: what links from there have used up, their successor has
 * not, whichever of them ended last. What was lacking goes over, not what was left: the directory
 * may be larger now. Of digests only those count that have ended: whoever is there sends them at
 * the pace of its own link. */
static void inherit(struct gossip *gossip, uint64_t source, struct mono now,
                    struct allowance *ret_asking, struct rate *ret_digests) {
    int64_t burst = asking_burst(gossip) * TOKEN;

    *ret_asking = (struct allowance){burst, now};
    *ret_digests = (struct rate){{0}};
    for (size_t i = 0; i < LINK_SLOTS && source != 0; i++) {
        const struct neighbour *slot = &gossip->neighbours[i];
        if (!slot->used || slot->source != source)
            continue;
        struct allowance asking = slot->asking;
        if (!slot->up)
            asking.level = burst > slot->lacking ? burst - slot->lacking : 0;
        refill_asking(gossip, &asking, now);
        limit(ret_asking, &asking);
        if (!slot->up)
            rate_limit(ret_digests, &slot->digests);
    }
}

void gossip_link_up(struct gossip *gossip, uint64_t prefix, struct mono now) {
    gossip->now = now;
    gossip_link_down(gossip, prefix);
    struct neighbour *slot = choose_slot(gossip, prefix);
    if (!slot)
        return; /* link keeps no more than LINK_SLOTS */
    uint64_t source = links_source(gossip->links, prefix);
    struct allowance asking;
    struct rate digests;
    inherit(gossip, source, now, &asking, &digests); /* of this very slot, it may be */
    if (!slot->used || slot->prefix != prefix)
        begin_slot(gossip, slot, prefix, now);
    refill_asking(gossip, &slot->asking, now);
    limit(&slot->asking, &asking);
    rate_limit(&slot->digests, &digests);
    slot->source = source;
    proofs_link_up(gossip, slot);
    slot->up = true;
    if (index_of(gossip, slot) >= gossip->n_used)
        gossip->n_used = index_of(gossip, slot) + 1;
    slot->told_all = slot->heard_all = false;
    slot->announce_due = slot->owed_due = slot->answer_due = slot->ask_due = slot->older_due =
        MONO_NEVER;
    slot->n_older = 0;
    slot->n_announce = slot->n_answers = slot->first_answer = 0;
    slot->owed = (struct owed){0};
    for (size_t kind = 0; kind < WANT_KINDS; kind++) {
        TAILQ_INIT(&slot->waiting[kind]);
        slot->n_wants[kind] = 0;
    }
    TAILQ_INIT(&slot->asked);
    TAILQ_INIT(&slot->paced);
    slot->n_waiting = slot->n_asked = slot->n_paced = 0;
    send_digest(gossip, slot, now);
}

void gossip_link_down(struct gossip *gossip, uint64_t prefix) {
    struct neighbour *neighbour = find_neighbour(gossip, prefix);

    if (!neighbour)
        return;
    neighbour->up = false;
    refill_asking(gossip, &neighbour->asking, gossip->now);
    neighbour->lacking = asking_burst(gossip) * TOKEN - neighbour->asking.level;
    neighbour->ended = ++gossip->ended;
    want_strike_all(gossip, index_of(gossip, neighbour));
}

enum drop gossip_frame(struct gossip *gossip, uint64_t from, uint8_t type, const uint8_t *body,
                       size_t length, struct now now, const struct directory_entry **ret_news) {
    struct neighbour *neighbour = find_neighbour(gossip, from);

    gossip->now = now.mono;
    if (!neighbour)
        return DROP_UNKNOWN;
    switch (type) {
    case FRAME_ANNOUNCE:
        return take_announce(gossip, neighbour, body, length, now.mono);
    case FRAME_WANT:
        return take_want(gossip, neighbour, body, length, now.mono);
    case FRAME_DESCRIPTOR:
        return take_descriptor(gossip, neighbour, body, length, now, ret_news);
    case FRAME_DIGEST:
        return take_digest(gossip, neighbour, body, length, now.mono);
    case FRAME_PROOF:
        return proofs_take(gossip, neighbour, body, length, now);
    default:
        return DROP_MALFORMED;
    }
}

/* ---- Time ---- */

static void tick(struct gossip *gossip, struct neighbour *neighbour, struct mono now) {
    want_time_out(gossip, neighbour, now);
    if (mono_is_due(neighbour->announce_due, now))
        flush_announcements(gossip, neighbour, now);
    if (mono_is_due(neighbour->digest_due, now))
        send_digest(gossip, neighbour, now);
    if (mono_is_due(neighbour->owed_due, now))
        announce_owed(gossip, neighbour, now);
    if (mono_is_due(neighbour->answer_due, now))
        answer(gossip, neighbour, now);
    if (mono_is_due(neighbour->older_due, now))
        older_ask(gossip, neighbour, now);
}

void gossip_tick(struct gossip *gossip, struct now now) {
    (void)now.wall; /* epochs are the directory's concern */
    gossip->now = now.mono;
    proofs_tell(gossip, now.mono);
    want_unpace(gossip, now.mono);
    for (size_t i = 0; i < gossip->n_used; i++)
        if (gossip->neighbours[i].up)
            tick(gossip, &gossip->neighbours[i], now.mono);
    /* Time-outs above may have passed wants to any neighbour. */
    for (size_t i = 0; i < gossip->n_used; i++)
        if (gossip->neighbours[i].up && mono_is_due(gossip->neighbours[i].ask_due, now.mono))
            want_ask(gossip, &gossip->neighbours[i], now.mono);
}

struct mono gossip_next(const struct gossip *gossip) {
    struct mono next = mono_min(gossip->paced_due, gossip->proofs.due);

    for (size_t i = 0; i < gossip->n_used; i++) {
        const struct neighbour *neighbour = &gossip->neighbours[i];
        const struct want *oldest;
        if (!neighbour->up)
            continue;
        next = mono_min(next, mono_min(neighbour->announce_due, neighbour->digest_due));
        next = mono_min(next, mono_min(neighbour->owed_due, neighbour->answer_due));
        next = mono_min(next, mono_min(neighbour->ask_due, neighbour->older_due));
        if ((oldest = TAILQ_FIRST(&neighbour->asked)))
            next = mono_min(next, oldest->due);
    }
    return next;
}
