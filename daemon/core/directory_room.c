/* Who gives way when every place is taken.
 *
 * Threat: identities are free, so one member can fill every directory, and for as long as residents stay whatever they are, nobody else
 * comes in. A node that no links lead to serves nobody, and making links needs others: those without any go first, then those
 * to whom no chain of links leads from us. Which of them is drawn, so that nobody can have a certain one put out; of a few drawn the
 * one whose version is oldest goes, for a newcomer's neighbours have yet to name it. Whom a node of the network names, or we do, comes
 * in at once; all others at a rate, or whoever has more identities than there are places would have them all pass through. Whom users
 * pinned or wrote to stays; whoever was a neighbour once does not, for that can be had for any number of identities. */
#include "daemon/core/directory_private.h"

#define LOOK_US (2 * US_PER_S) /* the whole graph is walked so often at most: 3 ms for 20,000 */
#define DRAWN 4

static bool may_yield(const struct directory_entry *entry) {
    return entry->live && !entry->kept && !entry->pinned;
}

/* Those listed may have been removed since, or have found links. */
static struct record *spared_at(const struct directory *directory, size_t i) {
    const struct topology_survey *survey = &directory->survey;
    struct record *record = directory_record(directory, survey->spared[i]);
    uint64_t neighbours[TOPOLOGY_DEGREE_MAX];

    if (!record || !may_yield(&record->entry))
        return NULL;
    return !survey->linked &&
                   topology_neighbours(directory->topology, record->entry.prefix, neighbours) > 0
               ? NULL
               : record;
}

/* Drop what has changed from the end of the list, so that one that stands there may go. */
static bool find_some(struct directory *directory) {
    struct topology_survey *survey = &directory->survey;

    for (; survey->n_spared > 0; survey->n_spared--)
        if (spared_at(directory, survey->n_spared - 1))
            return true;
    return false;
}

static void look(struct directory *directory, struct mono now) {
    if (directory->has_looked && now.us - directory->room_looked.us < LOOK_US)
        return;
    directory->has_looked = true;
    directory->room_looked = now;
    topology_survey(directory->topology, &directory->random, &directory->survey);
}

static bool is_missed(const struct directory *directory, uint64_t prefix) {
    const struct topology_survey *survey = &directory->survey;

    for (size_t i = 0; i < survey->n_missed; i++)
        if (survey->missed[i] == prefix)
            return true;
    return topology_names(directory->topology, prefix);
}

static bool has_token(struct directory *directory, struct mono now) {
    int64_t quiet = ROOM_BURST * US_PER_S / ROOM_RATE;

    if (directory->room_from.us < now.us - quiet)
        directory->room_from = mono_add(now, -quiet);
    return mono_is_due(mono_add(directory->room_from, US_PER_S / ROOM_RATE), now);
}

bool directory_has_room(struct directory *directory, uint64_t prefix, struct mono now) {
    if (!directory_is_full(directory))
        return true;
    look(directory, now);
    if (!find_some(directory))
        return false;
    /* Places enough are left for all who are named. */
    return is_missed(directory, prefix) ||
           (directory->survey.n_spared > directory->survey.n_missed && has_token(directory, now));
}

bool directory_make_room(struct directory *directory, uint64_t prefix, struct mono now) {
    struct topology_survey *survey = &directory->survey;
    struct record *oldest = NULL;
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
        directory->room_from = mono_add(directory->room_from, US_PER_S / ROOM_RATE);
    return true;
}
