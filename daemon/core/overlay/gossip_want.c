/* Wants: who is asked for what, when the next one is, and when nobody is any more.
 *
 * Threat: an announcement costs its author nothing. What it makes us hold is bounded for each
 * neighbour, new ids by a rate as well, versions by their own node's pace. Whoever fills the table
 * with what nobody has gives way in it to those who want less, newcomers keep out none of the known
 * nodes, and who never has them is not listened to for a while. An announcer that does not answer
 * holds a want up for GOSSIP_HURRY_US where another has it that does answer, and not at all once it
 * is known for that (gossip_patience.c). */
#include "daemon/core/overlay/gossip_private.h"

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
    struct want *want;
    TABLE_FIND(want, &gossip->wants, want_hash(gossip, prefix), link, want->prefix == prefix);
    return want;
}

static void want_unlist(struct gossip *gossip, struct want *want) {
    struct neighbour *holder = &gossip->neighbours[want->holder];

    if (want->paced) {
        TAILQ_REMOVE(&holder->paced, want, entry);
        holder->n_paced--;
        gossip->n_paced--;
        want->paced = false;
        return;
    }
    gossip->n_wants[want->kind]--;
    holder->n_wants[want->kind]--;
    if (want->asked) {
        TAILQ_REMOVE(&holder->asked, want, entry);
        holder->n_asked--;
    } else {
        TAILQ_REMOVE(&holder->waiting[want->kind], want, entry);
        holder->n_waiting--;
    }
}

static void count_listed(struct gossip *gossip, const struct want *want) {
    gossip->n_wants[want->kind]++;
    gossip->neighbours[want->holder].n_wants[want->kind]++;
}

/* One that is in no list. */
static void want_forget(struct gossip *gossip, struct want *want) {
    table_remove(&gossip->wants, &want->link);
    budget_part_give(&gossip->memory, sizeof *want);
    free(want);
}

static void want_free(struct gossip *gossip, struct want *want) {
    want_unlist(gossip, want);
    want_forget(gossip, want);
}

/* A newcomer that has come meanwhile, of whom there is a newer version. */
static bool is_misplaced(const struct gossip *gossip, const struct want *want) {
    const struct directory_entry *entry;

    return want->kind == WANT_NEWCOMER && gossip->n_wants[WANT_VERSION] < GOSSIP_WANTS_MAX &&
           (entry = directory_find_prefix(gossip->directory, want->prefix)) && entry->live;
}

static void list_waiting(struct gossip *gossip, struct want *want, size_t holder) {
    struct neighbour *neighbour = &gossip->neighbours[holder];

    want->holder = (uint8_t)holder;
    want->asked = false;
    if (is_misplaced(gossip, want))
        want->kind = WANT_VERSION;
    TAILQ_INSERT_TAIL(&neighbour->waiting[want->kind], want, entry);
    neighbour->n_waiting++;
    count_listed(gossip, want);
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
    count_listed(gossip, want);
}

static void list_paced(struct gossip *gossip, struct want *want, size_t holder, struct mono due) {
    struct neighbour *neighbour = &gossip->neighbours[holder];

    want->holder = (uint8_t)holder;
    want->paced = true;
    want->due = due;
    TAILQ_INSERT_TAIL(&neighbour->paced, want, entry);
    neighbour->n_paced++;
    gossip->n_paced++;
    gossip->paced_due = mono_min(gossip->paced_due, due);
}

/* Of those who announced it the one of whose versions the fewest wait for their pace. */
static size_t least_paced(const struct gossip *gossip, uint32_t announcers) {
    size_t least = LINK_SLOTS;

    for (size_t i = 0; i < LINK_SLOTS; i++)
        if ((announcers & bit_of(i)) &&
            (least == LINK_SLOTS ||
             gossip->neighbours[i].n_paced < gossip->neighbours[least].n_paced))
            least = i;
    return least;
}

/* Is there room for one more of this neighbour's? At the bound the newest of whoever has most gives
 * way, if that is another. */
static bool has_paced_room(struct gossip *gossip, const struct neighbour *for_whom) {
    const struct neighbour *most = for_whom;

    if (gossip->n_paced < GOSSIP_PACED_MAX)
        return true;
    for (size_t i = 0; i < LINK_SLOTS; i++)
        if (gossip->neighbours[i].up && gossip->neighbours[i].n_paced > most->n_paced)
            most = &gossip->neighbours[i];
    if (most == for_whom)
        return false;
    want_free(gossip, TAILQ_LAST(&most->paced, want_list));
    return true;
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

/* How much goes before a want of this kind. */
static size_t load_of(const struct neighbour *neighbour, uint8_t kind) {
    return neighbour->n_wants[WANT_VERSION] +
           (kind == WANT_NEWCOMER ? neighbour->n_wants[WANT_NEWCOMER] : 0);
}

/* Is the one to be asked before the other? Those who answer, then the least busy. */
static bool is_better(const struct neighbour *one, const struct neighbour *other, uint8_t kind) {
    if (patience_is_out(one) != patience_is_out(other))
        return patience_is_out(other);
    return load_of(one, kind) < load_of(other, kind);
}

/* A want that is in no list, of whose node a version has come that is not the one. False: it may be
 * asked for now. */
static bool must_wait(struct gossip *gossip, struct want *want) {
    struct mono due = pace_again(gossip, want, gossip->now);

    if (mono_is_due(due, gossip->now))
        return false;
    size_t holder = least_paced(gossip, want->announcers);
    if (has_paced_room(gossip, &gossip->neighbours[holder]))
        list_paced(gossip, want, holder, due);
    else
        want_forget(gossip, want);
    return true;
}

/* Give a want that is in no list to the best announcer not asked in this round; when all have been
 * asked often enough, it is forgotten. */
static void want_pass_on(struct gossip *gossip, struct want *want) {
    const struct neighbour *best = NULL;

    if (must_wait(gossip, want))
        return;
    if (want->untried == 0 && ++want->rounds < GOSSIP_ROUNDS)
        want->untried = want->announcers;
    for (size_t i = 0; i < LINK_SLOTS; i++) {
        const struct neighbour *neighbour = &gossip->neighbours[i];
        if ((want->untried & bit_of(i)) && (!best || is_better(neighbour, best, want->kind)))
            best = neighbour;
    }
    if (best)
        list_waiting(gossip, want, index_of(gossip, best));
    else
        want_forget(gossip, want);
}

/* The announcer that the holder's silence would pass this want to first, and after how long.
 * LINK_SLOTS: none before the holder has had all its time. */
static size_t find_second(const struct gossip *gossip, const struct want *want,
                          int64_t *ret_after_us) {
    const struct neighbour *holder = &gossip->neighbours[want->holder];
    uint32_t others = want->untried & ~bit_of(want->holder);
    size_t best = LINK_SLOTS;

    *ret_after_us = INT64_MAX;
    for (size_t i = 0; others >> i > 0 && i < LINK_SLOTS; i++) {
        const struct neighbour *other = &gossip->neighbours[i];
        int64_t after =
            others & bit_of(i) ? patience_with(holder, other, want->n_silent) : INT64_MAX;
        if (after > *ret_after_us || after == INT64_MAX)
            continue;
        if (after == *ret_after_us && !is_better(other, &gossip->neighbours[best], want->kind))
            continue;
        best = i;
        *ret_after_us = after;
    }
    return best;
}

/* One that is asked. */
static void take_from_holder(struct gossip *gossip, struct want *want, struct mono now) {
    patience_miss(&gossip->neighbours[want->holder], want, now);
    want_unlist(gossip, want);
}

/* One that is asked: to the second one, if it is time; else that time is when it is looked at
 * again. */
static void hurry(struct gossip *gossip, struct want *want, struct mono now) {
    int64_t after;
    size_t second = find_second(gossip, want, &after);

    if (second < LINK_SLOTS && now.us - want->asked_at.us >= after) {
        take_from_holder(gossip, want, now);
        if (want->n_silent < UINT8_MAX)
            want->n_silent++;
        list_waiting(gossip, want, second);
        return;
    }
    struct mono due = second < LINK_SLOTS ? mono_add(want->asked_at, after) : want->limit;
    due = mono_min(due, want->limit);
    if (due.us == want->due.us)
        return;
    want_unlist(gossip, want);
    list_asked(gossip, want, due);
}

void want_strike(struct gossip *gossip, struct want *want, size_t announcer) {
    want->announcers &= ~bit_of(announcer);
    want->untried &= ~bit_of(announcer);
    want->holders &= ~bit_of(announcer);
    if (want_is_held(gossip, want->prefix, &want->version) || want->announcers == 0) {
        want_free(gossip, want);
    } else if (want->holder == announcer && want->paced) {
        want_unlist(gossip, want);
        list_paced(gossip, want, least_paced(gossip, want->announcers), want->due);
    } else if (want->holder == announcer) {
        want_unlist(gossip, want);
        want_pass_on(gossip, want);
    }
}

void want_answered(struct gossip *gossip, struct want *want, size_t announcer,
                   const struct version *brought) {
    if (version_compare(brought, &want->version) < 0) {
        want->announcers &= want->holders;
        want->untried &= want->holders;
    }
    want_strike(gossip, want, announcer);
}

/* Is it for this neighbour to bring, now that its turn has come? Else it is somebody else's now, or
 * nobody's. */
static bool is_to_be_asked(struct gossip *gossip, struct want *want) {
    int64_t after;
    size_t second;

    if (want_is_held(gossip, want->prefix, &want->version)) {
        want_free(gossip, want); /* it came by another way */
        return false;
    }
    if (!patience_is_out(&gossip->neighbours[want->holder]) ||
        (second = find_second(gossip, want, &after)) == LINK_SLOTS)
        return true;
    want_unlist(gossip, want);
    list_waiting(gossip, want, second);
    return false;
}

/* As many of the waiting wants as the window and a frame have room for. Returns how many. */
static size_t gather_wants(struct gossip *gossip, const struct neighbour *neighbour,
                           struct want *wants[GOSSIP_WANT_ITEMS]) {
    size_t n = 0, room = GOSSIP_WINDOW - neighbour->n_asked;

    if (room > GOSSIP_WANT_ITEMS)
        room = GOSSIP_WANT_ITEMS;
    for (size_t kind = 0; kind < WANT_KINDS; kind++)
        for (struct want *want = TAILQ_FIRST(&neighbour->waiting[kind]), *next; want && n < room;
             want = next) {
            next = TAILQ_NEXT(want, entry);
            if (is_to_be_asked(gossip, want))
                wants[n++] = want;
        }
    return n;
}

/* The question is on its way. */
static void begin_waiting_for(struct gossip *gossip, struct want *want, struct mono now) {
    const struct neighbour *holder = &gossip->neighbours[want->holder];

    want_unlist(gossip, want);
    want->untried &= ~bit_of(want->holder);
    want->asked_at = now;
    want->limit = mono_add(now, holder->patience_us);
    int64_t after;
    size_t second = find_second(gossip, want, &after);
    list_asked(gossip, want,
               second < LINK_SLOTS ? mono_min(mono_add(now, after), want->limit) : want->limit);
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
        for (size_t i = 0; i < n; i++)
            begin_waiting_for(gossip, wants[i], now);
    }
}

static void strike_list(struct gossip *gossip, struct want_list *list, size_t announcer) {
    for (struct want *want = TAILQ_FIRST(list), *next; want; want = next) {
        next = TAILQ_NEXT(want, entry);
        want_strike(gossip, want, announcer);
    }
}

/* The bar is a debt of tokens. What waits is forgotten too: it takes up others' places. */
static void bar_newcomers(struct gossip *gossip, struct neighbour *neighbour, struct mono now) {
    neighbour->n_vain = 0;
    neighbour->newcomers = (struct rate){{0}};
    rate_charge(&neighbour->newcomers, GOSSIP_NEWCOMER_BURST * NEWCOMER_US + GOSSIP_BARRED_US, now);
    strike_list(gossip, &neighbour->waiting[WANT_NEWCOMER], index_of(gossip, neighbour));
}

void want_time_out(struct gossip *gossip, struct neighbour *neighbour, struct mono now) {
    struct want *want;

    while ((want = TAILQ_FIRST(&neighbour->asked)) && mono_is_due(want->due, now)) {
        if (!mono_is_due(want->limit, now)) {
            hurry(gossip, want, now);
            continue;
        }
        take_from_holder(gossip, want, now);
        want_pass_on(gossip, want);
    }
    if (patience_is_vain(neighbour, now))
        bar_newcomers(gossip, neighbour, now);
    if (neighbour->n_waiting > 0) /* the window has room again */
        neighbour->ask_due = mono_min(neighbour->ask_due, mono_add(now, GOSSIP_ASK_GATHER_US));
}

/* At the bound whoever has most of this kind, and more than `least`, forgets its newest one that
 * waits. NULL: nobody has. */
static struct want *find_excess(const struct gossip *gossip, uint8_t kind, size_t least) {
    const struct neighbour *most = NULL;

    for (size_t i = 0; i < LINK_SLOTS; i++) {
        const struct neighbour *neighbour = &gossip->neighbours[i];
        if (!neighbour->up || neighbour->n_wants[kind] <= least)
            continue;
        most = neighbour;
        least = neighbour->n_wants[kind];
    }
    return most ? TAILQ_LAST(&most->waiting[kind], want_list) : NULL;
}

/* Returns when the first of the rest is due. */
static struct mono unpace_list(struct gossip *gossip, struct want_list *list, struct mono now) {
    struct mono next = MONO_NEVER;
    struct want *excess;

    for (struct want *want = TAILQ_FIRST(list), *after; want; want = after) {
        after = TAILQ_NEXT(want, entry);
        if (mono_is_due(want->due, now))
            want->due = pace_again(gossip, want, now);
        if (!mono_is_due(want->due, now)) {
            next = mono_min(next, want->due);
            continue;
        }
        want_unlist(gossip, want);
        if (gossip->n_wants[WANT_VERSION] >= GOSSIP_WANTS_MAX &&
            (excess = find_excess(gossip, WANT_VERSION, 0)))
            want_free(gossip, excess);
        want_pass_on(gossip, want);
    }
    return next;
}

void want_unpace(struct gossip *gossip, struct mono now) {
    struct mono next = MONO_NEVER;

    if (!mono_is_due(gossip->paced_due, now))
        return;
    for (size_t i = 0; i < LINK_SLOTS; i++)
        if (gossip->neighbours[i].up)
            next = mono_min(next, unpace_list(gossip, &gossip->neighbours[i].paced, now));
    if (gossip->n_paced > PACED_MANY && next.us < now.us + PACED_LOOK_US)
        next = mono_add(now, PACED_LOOK_US);
    gossip->paced_due = next;
}

/* In nobody's hands yet. NULL: no memory. */
static struct want *want_new(struct gossip *gossip, size_t announcer, uint64_t prefix,
                             const struct version *version, uint8_t kind) {
    struct want *want = calloc(1, sizeof *want);

    if (!want)
        return NULL;
    budget_part_take(&gossip->memory, sizeof *want);
    want->prefix = prefix;
    want->version = *version;
    want->kind = kind;
    want->announcers = want->untried = want->holders = bit_of(announcer);
    want->holder = (uint8_t)announcer;
    table_add(&gossip->wants, &want->link, want_hash(gossip, prefix));
    return want;
}

/* Refuse what cannot be, hold back what comes too fast, note the rest. */
static enum drop note_first(struct gossip *gossip, struct neighbour *from, uint64_t prefix,
                            const struct version *version, struct mono now) {
    const struct directory_entry *entry = directory_find_prefix(gossip->directory, prefix);
    uint8_t kind = entry && entry->live ? WANT_VERSION : WANT_NEWCOMER;
    struct mono due = kind == WANT_NEWCOMER ? now : pace_of(gossip, entry, now);
    if (kind == WANT_NEWCOMER && !rate_has(&from->newcomers, NEWCOMER_ROOM, now))
        return DROP_LIMIT;
    bool is_short = !budget_part_has_room(&gossip->memory, sizeof(struct want) + BUDGET_HEAP_EXTRA),
         is_full = is_short || gossip->n_wants[kind] >= GOSSIP_WANTS_MAX,
         is_paced_full = gossip->n_paced >= GOSSIP_PACED_MAX;
    struct want *excess = is_full ? find_excess(gossip, kind, from->n_wants[kind]) : NULL;
    if (is_short && !excess && kind == WANT_VERSION) /* both kinds share the memory */
        excess = find_excess(gossip, WANT_NEWCOMER, 0);

    if ((is_full && !excess) || from->n_wants[kind] >= GOSSIP_WANTS_NEIGHBOUR_MAX ||
        (!entry && !directory_has_room(gossip->directory, prefix, now)) ||
        (kind == WANT_NEWCOMER && !rate_take(&from->newcomers, NEWCOMER_US, NEWCOMER_ROOM, now)) ||
        (!mono_is_due(due, now) && !has_paced_room(gossip, from)))
        return DROP_LIMIT;
    struct want *want = want_new(gossip, index_of(gossip, from), prefix, version, kind);
    if (!want)
        return DROP_LIMIT;
    bool is_paced = !mono_is_due(due, now); /* it needs no place yet, but memory */
    if (excess && (is_short || !is_paced))
        want_free(gossip, excess);
    if (is_paced) {
        list_paced(gossip, want, want->holder, due);
        return is_paced_full || is_short ? DROP_LIMIT : DROP_NONE;
    }
    list_waiting(gossip, want, want->holder);
    return excess ? DROP_LIMIT : DROP_NONE;
}

/* One that waits for its pace has been announced by this one, too. */
static void repace(struct gossip *gossip, struct want *want, const struct neighbour *from) {
    if (from->n_paced + 1 >= gossip->neighbours[want->holder].n_paced)
        return;
    want_unlist(gossip, want);
    list_paced(gossip, want, index_of(gossip, from), want->due);
}

/* Another one has what we want already: ask this one, if it is the better one to ask. */
static void note_again(struct gossip *gossip, struct want *want, struct neighbour *from,
                       const struct version *version, struct mono now) {
    size_t i = index_of(gossip, from);
    int order = version_compare(version, &want->version);

    if (order > 0) {
        want->version = *version;
        want->holders = 0;
    }
    if (order >= 0)
        want->holders |= bit_of(i);
    bool is_known = want->announcers & bit_of(i);
    want->untried |= bit_of(i) & ~want->announcers;
    want->announcers |= bit_of(i);
    if (want->paced) {
        repace(gossip, want, from);
        return;
    }
    if (want->asked) {
        if (!is_known)
            hurry(gossip, want, now);
        return;
    }
    bool to_this_one = !is_known && is_better(from, &gossip->neighbours[want->holder], want->kind);
    if (!to_this_one && !is_misplaced(gossip, want))
        return;
    want_unlist(gossip, want);
    list_waiting(gossip, want, to_this_one ? i : want->holder);
}

enum drop want_note(struct gossip *gossip, struct neighbour *from, uint64_t prefix,
                    const struct version *version, struct mono now) {
    struct want *want = want_find(gossip, prefix);

    if (!want)
        return note_first(gossip, from, prefix, version, now);
    note_again(gossip, want, from, version, now);
    return DROP_NONE;
}

static void strike_lists(struct gossip *gossip, struct neighbour *of, size_t announcer) {
    for (size_t kind = 0; kind < WANT_KINDS; kind++)
        strike_list(gossip, &of->waiting[kind], announcer);
    strike_list(gossip, &of->asked, announcer);
    strike_list(gossip, &of->paced, announcer);
}

void want_strike_all(struct gossip *gossip, size_t announcer) {
    struct neighbour *own = &gossip->neighbours[announcer];

    for (size_t i = 0; i < LINK_SLOTS; i++)
        if (gossip->neighbours[i].up)
            strike_lists(gossip, &gossip->neighbours[i], announcer);
    /* Its own last: what others get of them has been struck. */
    strike_lists(gossip, own, announcer);
}
