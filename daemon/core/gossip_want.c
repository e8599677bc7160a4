/* Wants: who is asked for what, when the next one is, and when nobody is any more.
 *
 * Threat: an announcement costs its author nothing. What it makes us hold is bounded for each
 * neighbour, new ids by a rate as well, versions by their own node's pace; an announcer that does not
 * answer holds a want up for 2 s, and never keeps another from being asked. */
#include "daemon/core/gossip_private.h"

#include <errno.h>
#include <stdlib.h>

/* Where so many wait for their pace, all of them are looked at so often at most. */
#define PACED_MANY 64
#define PACED_LOOK_US (100 * US_PER_MS)

bool want_is_held(const struct gossip *gossip, uint64_t prefix, const struct version *version) {
    size_t length;
    struct version held;

    return directory_bytes(gossip->directory, prefix, &length, &held) &&
           version_compare(&held, version) >= 0;
}

static uint64_t want_hash(const struct gossip *gossip, uint64_t prefix) {
    return table_hash(&gossip->wants, &prefix, sizeof prefix);
}

struct want *want_find(const struct gossip *gossip, uint64_t prefix) {
    struct table_link *link = table_first(&gossip->wants, want_hash(gossip, prefix));

    for (; link; link = table_next(link)) {
        struct want *want = table_entry(link, struct want, link);
        if (want->prefix == prefix)
            return want;
    }
    return NULL;
}

static void want_unlist(struct gossip *gossip, struct want *want) {
    struct neighbour *holder = &gossip->neighbours[want->holder];

    if (want->paced) {
        TAILQ_REMOVE(&gossip->paced, want, entry);
        gossip->n_paced--;
        gossip->n_wants++; /* until it is listed otherwise, or freed */
        want->paced = false;
    } else if (want->asked) {
        TAILQ_REMOVE(&holder->asked, want, entry);
        holder->n_asked--;
    } else {
        TAILQ_REMOVE(&holder->waiting, want, entry);
        holder->n_waiting--;
    }
}

static void want_free(struct gossip *gossip, struct want *want) {
    want_unlist(gossip, want);
    table_remove(&gossip->wants, &want->link);
    gossip->n_wants--;
    free(want);
}

static void list_waiting(struct gossip *gossip, struct want *want, size_t holder) {
    struct neighbour *neighbour = &gossip->neighbours[holder];

    want->holder = (uint8_t)holder;
    want->asked = false;
    TAILQ_INSERT_TAIL(&neighbour->waiting, want, entry);
    neighbour->n_waiting++;
    neighbour->ask_due = mono_min(neighbour->ask_due, mono_add(gossip->now, GOSSIP_ASK_GATHER_US));
}

/* In the order of time-outs. Most belong at the end. */
static void list_asked(struct gossip *gossip, struct want *want, struct mono due) {
    struct neighbour *neighbour = &gossip->neighbours[want->holder];
    struct want *before = TAILQ_LAST(&neighbour->asked, want_list);

    want->asked = true;
    want->due = due;
    while (before && before->due.us > due.us)
        before = TAILQ_PREV(before, want_list, entry);
    if (before)
        TAILQ_INSERT_AFTER(&neighbour->asked, before, want, entry);
    else
        TAILQ_INSERT_HEAD(&neighbour->asked, want, entry);
    neighbour->n_asked++;
}

static void list_paced(struct gossip *gossip, struct want *want, struct mono due) {
    want->paced = true;
    want->due = due;
    TAILQ_INSERT_TAIL(&gossip->paced, want, entry);
    gossip->n_paced++;
    gossip->n_wants--;
    gossip->paced_due = mono_min(gossip->paced_due, due);
}

/* Give a want that is in no list to the least busy announcer not asked in this round; when all have
 * been asked often enough, it is forgotten. */
static void want_pass_on(struct gossip *gossip, struct want *want) {
    size_t best = LINK_SLOTS, best_load = SIZE_MAX;

    if (want->untried == 0 && ++want->rounds < GOSSIP_ROUNDS)
        want->untried = want->announcers;
    for (size_t i = 0; i < LINK_SLOTS; i++) {
        const struct neighbour *neighbour = &gossip->neighbours[i];
        size_t load = neighbour->n_waiting + neighbour->n_asked;
        if (!(want->untried & bit_of(i)) || load >= best_load)
            continue;
        best = i;
        best_load = load;
    }
    if (best < LINK_SLOTS) {
        list_waiting(gossip, want, best);
        return;
    }
    table_remove(&gossip->wants, &want->link);
    gossip->n_wants--;
    free(want);
}

void want_strike(struct gossip *gossip, struct want *want, size_t announcer) {
    want->announcers &= ~bit_of(announcer);
    want->untried &= ~bit_of(announcer);
    want->holders &= ~bit_of(announcer);
    if (want_is_held(gossip, want->prefix, &want->version) || want->announcers == 0) {
        want_free(gossip, want);
    } else if (!want->paced && want->holder == announcer) {
        want_unlist(gossip, want);
        want_pass_on(gossip, want);
    }
}

/* As many of the waiting wants as the window and a frame have room for. Returns how many. */
static size_t gather_wants(struct gossip *gossip, const struct neighbour *neighbour,
                           struct want *wants[GOSSIP_WANT_ITEMS]) {
    size_t n = 0, room = GOSSIP_WINDOW - neighbour->n_asked;

    for (struct want *want = TAILQ_FIRST(&neighbour->waiting), *next;
         want && n < room && n < GOSSIP_WANT_ITEMS; want = next) {
        next = TAILQ_NEXT(want, entry);
        if (want_is_held(gossip, want->prefix, &want->version))
            want_free(gossip, want); /* it came by another way */
        else
            wants[n++] = want;
    }
    return n;
}

void want_ask(struct gossip *gossip, struct neighbour *neighbour, struct mono now) {
    struct want *wants[GOSSIP_WANT_ITEMS];
    uint8_t body[8 * GOSSIP_WANT_ITEMS];
    size_t n;

    neighbour->ask_due = MONO_NEVER; /* an answer or a time-out makes room and asks on */
    while (neighbour->n_asked < GOSSIP_WINDOW && (n = gather_wants(gossip, neighbour, wants)) > 0) {
        struct wire_writer w = wire_writer(body, sizeof body);
        for (size_t i = 0; i < n; i++)
            wire_put_uint(&w, wants[i]->prefix, 8);
        if (links_send_frame(gossip->links, neighbour->prefix, FRAME_WANT, body, wire_length(&w),
                             now) < 0) {
            neighbour->ask_due = mono_add(now, FULL_RETRY_US);
            return;
        }
        for (size_t i = 0; i < n; i++) {
            want_unlist(gossip, wants[i]);
            wants[i]->untried &= ~bit_of(index_of(gossip, neighbour));
            list_asked(gossip, wants[i], mono_add(now, neighbour->patience_us));
        }
    }
}

void want_time_out(struct gossip *gossip, struct neighbour *neighbour, struct mono now) {
    struct want *want;

    while ((want = TAILQ_FIRST(&neighbour->asked)) && mono_is_due(want->due, now)) {
        want_unlist(gossip, want);
        want_pass_on(gossip, want);
    }
    if (neighbour->n_waiting > 0) /* the window has room again */
        neighbour->ask_due = mono_min(neighbour->ask_due, mono_add(now, GOSSIP_ASK_GATHER_US));
}

/* When the next version of a live node may be asked for. */
static struct mono pace_of(const struct gossip *gossip, const struct directory_entry *entry,
                           struct mono now) {
    struct mono due = directory_version_due(gossip->directory, entry, now),
                least = mono_add(entry->received, GOSSIP_PACE_US);

    return due.us > least.us ? due : least;
}

/* Another version may have come meanwhile. */
static struct mono pace_again(const struct gossip *gossip, const struct want *want,
                              struct mono now) {
    const struct directory_entry *entry = directory_find_prefix(gossip->directory, want->prefix);

    return entry && entry->live ? pace_of(gossip, entry, now) : now;
}

void want_unpace(struct gossip *gossip, struct mono now) {
    struct mono next = MONO_NEVER;

    if (!mono_is_due(gossip->paced_due, now))
        return;
    for (struct want *want = TAILQ_FIRST(&gossip->paced), *after; want; want = after) {
        after = TAILQ_NEXT(want, entry);
        if (mono_is_due(want->due, now))
            want->due = pace_again(gossip, want, now);
        if (!mono_is_due(want->due, now)) {
            next = mono_min(next, want->due);
            continue;
        }
        want_unlist(gossip, want);
        want_pass_on(gossip, want);
    }
    if (gossip->n_paced > PACED_MANY && next.us < now.us + PACED_LOOK_US)
        next = mono_add(now, PACED_LOOK_US);
    gossip->paced_due = next;
}

/* Refuse what cannot be, hold back what comes too fast, note the rest. */
static enum drop note_first(struct gossip *gossip, struct neighbour *from, uint64_t prefix,
                            const struct version *version, struct mono now) {
    size_t i = index_of(gossip, from);
    const struct directory_entry *entry = directory_find_prefix(gossip->directory, prefix);
    bool is_new = !entry || !entry->live;
    struct mono due = is_new ? now : pace_of(gossip, entry, now);

    if (gossip->n_wants >= GOSSIP_WANTS_MAX ||
        from->n_waiting + from->n_asked >= GOSSIP_WANTS_NEIGHBOUR_MAX ||
        (!mono_is_due(due, now) && gossip->n_paced >= GOSSIP_PACED_MAX) ||
        (!entry && !directory_has_room(gossip->directory, prefix, now)) ||
        (is_new && !allowance_take(&from->newcomers)))
        return DROP_LIMIT;
    struct want *want = calloc(1, sizeof *want);
    if (!want)
        return DROP_LIMIT;
    want->prefix = prefix;
    want->version = *version;
    want->announcers = want->untried = want->holders = bit_of(i);
    want->holder = (uint8_t)i;
    table_add(&gossip->wants, &want->link, want_hash(gossip, prefix));
    gossip->n_wants++;
    if (mono_is_due(due, now))
        list_waiting(gossip, want, i);
    else
        list_paced(gossip, want, due);
    return DROP_NONE;
}

/* Another one has what we want already: ask this one, if it has less to do. */
static void note_again(struct gossip *gossip, struct want *want, struct neighbour *from,
                       const struct version *version) {
    size_t i = index_of(gossip, from);
    const struct neighbour *holder = &gossip->neighbours[want->holder];
    int order = version_compare(version, &want->version);

    if (order > 0) {
        want->version = *version;
        want->holders = 0;
    }
    if (order >= 0)
        want->holders |= bit_of(i);
    if (want->announcers & bit_of(i))
        return;
    want->announcers |= bit_of(i);
    want->untried |= bit_of(i);
    if (want->paced || want->asked ||
        from->n_waiting + from->n_asked >= holder->n_waiting + holder->n_asked)
        return;
    want_unlist(gossip, want);
    list_waiting(gossip, want, i);
}

enum drop want_note(struct gossip *gossip, struct neighbour *from, uint64_t prefix,
                    const struct version *version, struct mono now) {
    struct want *want = want_find(gossip, prefix);

    if (!want)
        return note_first(gossip, from, prefix, version, now);
    note_again(gossip, want, from, version);
    return DROP_NONE;
}

static void strike_list(struct gossip *gossip, struct want_list *list, size_t announcer) {
    for (struct want *want = TAILQ_FIRST(list), *next; want; want = next) {
        next = TAILQ_NEXT(want, entry);
        want_strike(gossip, want, announcer);
    }
}

void want_strike_all(struct gossip *gossip, size_t announcer) {
    struct neighbour *own = &gossip->neighbours[announcer];

    for (size_t i = 0; i < LINK_SLOTS; i++)
        if (gossip->neighbours[i].up) {
            strike_list(gossip, &gossip->neighbours[i].waiting, announcer);
            strike_list(gossip, &gossip->neighbours[i].asked, announcer);
        }
    strike_list(gossip, &gossip->paced, announcer);
    /* Its own last: what others get of them has been struck. */
    strike_list(gossip, &own->waiting, announcer);
    strike_list(gossip, &own->asked, announcer);
}
