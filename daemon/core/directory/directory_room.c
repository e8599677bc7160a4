/* Which nodes are reached by links, and which one is removed for a newcomer when every place is
 * taken.
 *
 * Threat: identities are free, so one member can fill every directory, and if entries stayed
 * whatever they are, nobody else could come in. A node that no links lead to serves nobody, and to
 * have links it needs others. So nodes without any link go first, then those to which no chain of
 * links leads from us. Which of them goes is drawn, so that nobody can have a certain node removed;
 * of a few drawn, the one whose version came first, since the neighbours of a newcomer have yet to
 * name it. A newcomer that a node of the network or we ourselves name as a neighbour comes in at
 * once. All others come in at a limited rate, or whoever has more identities than there are places
 * would replace everybody else. Nodes that users pinned or wrote to stay. Former neighbours do not,
 * for any number of identities can become neighbours. Names are free, too: whoever names nodes that
 * never come leaves half of the rate to newcomers that nobody names, and only displaces names that
 * came lately.
 *
 * What grows with the network (how seldom nodes publish, how many links they want) counts only the
 * nodes that links lead to. Not prevented: somebody links its identities to each other, and one of
 * them to the network. */
#include "daemon/core/directory/directory_private.h"

/* Between two walks of the whole graph lies so long for each live node, LOOK_US at most: a walk
 * takes a fifth of a microsecond for each. */
#define LOOK_NODE_US 400
#define LOOK_US (2 * US_PER_S)
#define DRAWN 4
/* Of one version so many names are noted: a few versions of 16 must not fill the ring. */
#define NAMED_AT_ONCE 4

static bool may_look(const struct directory *directory, struct mono last, struct mono now) {
    int64_t wait = LOOK_NODE_US * (int64_t)directory->n_live;

    return now.us - last.us >= (wait < LOOK_US ? wait : LOOK_US);
}

/* ---- Whom links lead to ---- */

/* Up to so many reached nodes publish as often as PACE_MIN_US allows; more of them share the pace
 * of the network. */
#define PACE_FULL (PACE_MIN_US / PACE_NODE_US)
#define PACE_OTHERS_LEAST 10 /* nodes never reached share a tenth of the pace at least */

/* LOST: reached once, and not now. UNLINKED: never reached. */
enum standing { STANDS_REACHED, STANDS_LOST, STANDS_UNLINKED, STANDINGS };

static enum standing standing_of(const struct record *record) {
    return record->reached ? STANDS_REACHED : record->met ? STANDS_LOST : STANDS_UNLINKED;
}

/* By how many nodes the pace of the network is divided for one of this standing. Reached nodes
 * share it among themselves. Lost nodes have the pace that they had when all were reached: where
 * most of a network has just died, a survivor's links become known by its next version alone, so
 * that must not be delayed. All others together have what these leave, each an equal part, so that
 * an honest one of them that has just come has its own burst, whatever thousands of others do. */
static size_t sharers_of(const struct directory *directory, enum standing standing) {
    size_t n = directory->n_reached, all = n + directory->n_lost, others = directory->n_live - all,
           left = all < PACE_FULL ? PACE_FULL - all : 0;

    if (standing == STANDS_REACHED)
        return n;
    if (standing == STANDS_LOST)
        return all;
    if (left < PACE_FULL / PACE_OTHERS_LEAST)
        left = PACE_FULL / PACE_OTHERS_LEAST;
    return others * PACE_FULL / left;
}

size_t directory_sharers(const struct directory *directory, const struct record *record) {
    return sharers_of(directory, standing_of(record));
}

struct following {
    struct directory *directory;
    size_t n;
};

/* Move a node that is visited behind those visited before, at the front of the records. Each is
 * visited once. */
static void follow(void *context, uint64_t prefix) {
    struct following *following = context;
    struct record *record = directory_record(following->directory, prefix);

    if (record && record->entry.live)
        directory_swap(following->directory, record->position, following->n++);
}

bool directory_follow(struct directory *directory, struct mono now) {
    struct following following = {directory, 0};
    uint64_t generation = topology_generation(directory->topology);

    if (directory->has_followed &&
        (generation == directory->generation || !may_look(directory, directory->followed, now)))
        return false;
    size_t before = directory->n_reached, sharers[STANDINGS];
    for (enum standing standing = 0; standing < STANDINGS; standing++)
        sharers[standing] = sharers_of(directory, standing);
    directory->has_followed = true;
    directory->followed = now;
    directory->generation = generation;
    if (!topology_visit_reached(directory->topology, follow, &following))
        return false; /* no links yet, or no memory */
    directory->n_reached = following.n;
    directory->n_lost = 0;
    for (size_t i = following.n; i < directory->n_live; i++)
        directory->n_lost += directory->records[i]->met;
    for (size_t i = 0; i < directory->n_live; i++) {
        struct record *record = directory->records[i];
        enum standing was = standing_of(record);
        record->reached = i < following.n;
        record->met |= record->reached;
        if (standing_of(record) != was)
            directory_repace(directory, record, sharers[was], now);
    }
    return directory->n_reached != before;
}

/* ---- Who gives way ---- */

static bool may_yield(const struct directory_entry *entry) {
    return entry->live && !entry->kept && !entry->pinned;
}

/* The i-th node listed as one that may be removed; NULL if it is gone, kept or linked by now, or
 * links lead to it again. */
static struct record *spared_at(const struct directory *directory, size_t i) {
    const struct topology_survey *survey = &directory->survey;
    struct record *record = directory_record(directory, survey->spared[i]);
    uint64_t neighbours[TOPOLOGY_DEGREE_MAX];

    if (!record || !may_yield(&record->entry))
        return NULL;
    bool is_linked = survey->linked ? record->reached
                                    : topology_neighbours(directory->topology, record->entry.prefix,
                                                          neighbours) > 0;
    return is_linked ? NULL : record;
}

/* Drop nodes that may no longer be removed from the end of the list. True: the one that is last now
 * may be. */
static bool find_some(struct directory *directory) {
    struct topology_survey *survey = &directory->survey;

    for (; survey->n_spared > 0; survey->n_spared--)
        if (spared_at(directory, survey->n_spared - 1))
            return true;
    return false;
}

static void look(struct directory *directory, struct mono now) {
    if (directory->has_looked && !may_look(directory, directory->room_looked, now))
        return;
    directory->has_looked = true;
    directory->room_looked = now;
    topology_survey(directory->topology, &directory->random, &directory->survey);
}

static bool is_among(const uint64_t *prefixes, size_t n, uint64_t prefix) {
    for (size_t i = 0; i < n; i++)
        if (prefixes[i] == prefix)
            return true;
    return false;
}

static bool is_named_of_late(const struct directory *directory, uint64_t prefix) {
    size_t n =
        directory->n_named < DIRECTORY_NAMED_OF_LATE ? directory->n_named : DIRECTORY_NAMED_OF_LATE;

    return is_among(directory->named, n, prefix);
}

void directory_note_named(struct directory *directory, const struct record *record,
                          const struct descriptor *descriptor) {
    size_t n = descriptor->n_neighbours,
           first = record->reached && n > 0 ? (size_t)random_below(&directory->random, n) : 0;
    unsigned noted = 0;

    if (!record->reached || !directory_is_full(directory))
        return;
    for (size_t i = 0; i < n && noted < NAMED_AT_ONCE; i++) {
        uint64_t prefix = descriptor->neighbours[(first + i) % n].prefix;
        if (directory_record(directory, prefix) || is_named_of_late(directory, prefix))
            continue;
        directory->named[directory->n_named++ % DIRECTORY_NAMED_OF_LATE] = prefix;
        noted++;
    }
}

static bool is_missed(const struct directory *directory, uint64_t prefix) {
    return is_named_of_late(directory, prefix) ||
           is_among(directory->survey.missed, directory->survey.n_missed, prefix) ||
           topology_names(directory->topology, prefix);
}

/* A newcomer that nobody names takes twice as much of the rate while as many named nodes are
 * missing as may be removed. Half of the rate is left to such newcomers, whatever is missing: names
 * cost nothing, and a named node that never comes is missing for ever. */
static int64_t token_us(const struct directory *directory) {
    bool many = directory->survey.n_missed >= directory->survey.n_spared;

    return (many ? 2 : 1) * US_PER_S / DIRECTORY_ROOM_RATE;
}

static bool has_token(const struct directory *directory, struct mono now) {
    int64_t all_us = DIRECTORY_ROOM_BURST * US_PER_S / DIRECTORY_ROOM_RATE;

    return rate_has(&directory->room, all_us - token_us(directory), now);
}

bool directory_has_room(struct directory *directory, uint64_t prefix, struct mono now) {
    if (!directory_is_full(directory))
        return true;
    look(directory, now);
    if (!find_some(directory))
        return false;
    return is_missed(directory, prefix) || has_token(directory, now);
}

bool directory_make_room(struct directory *directory, uint64_t prefix, struct mono now) {
    struct topology_survey *survey = &directory->survey;
    struct record *oldest = NULL;
    int64_t token = token_us(directory);
    size_t chosen = 0;

    if (!directory_has_room(directory, prefix, now) || survey->n_spared == 0)
        return false;
    for (unsigned i = 0; i < DRAWN; i++) {
        size_t at = i == 0 ? survey->n_spared - 1
                           : (size_t)random_below(&directory->random, survey->n_spared);
        struct record *record = spared_at(directory, at);
        if (record && (!oldest || record->entry.received.us < oldest->entry.received.us)) {
            oldest = record;
            chosen = at;
        }
    }
    survey->spared[chosen] = survey->spared[--survey->n_spared];
    directory_forget(directory, oldest);
    if (!is_missed(directory, prefix))
        rate_charge(&directory->room, token, now);
    return true;
}
