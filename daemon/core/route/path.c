/* Guards, the record of failed links, lengths, draws.
 *
 * Threat, beyond what path.h says: whoever can disturb links would like to choose our first relay
 * for us (by killing guards until a fresh draw falls on its own) and our later ones (by making the
 * paths that avoid it fail). Hence a guard's place is held for a while when it falls silent, a
 * thinned-out set of guards is used as it is rather than widened, and the record of failures causes
 * at most 4 redraws. A guard can leave our routes on purpose, by changing its keys again and again.
 * It is waited for like one that is silent, or it could make us send without relays. */
#include "daemon/core/directory/directory_version.h"
#include "daemon/core/route/path_private.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdlib.h>

#define GUARD_AGE_US US_PER_HOUR
/* A guard out of the neighbour set is dead after link.timeout's default, as its link would be: a
 * suspect that answers again within it was never gone, so disturbing a link for 2 s does not buy a
 * new draw. */
#define GUARD_GRACE_US (30 * US_PER_S)
/* While no guard is up nothing can be sent, so then the wait is as short as a suspect needs to
 * answer a PING or three. */
#define GUARD_ALONE_US (5 * US_PER_S)
#define RECORD_US US_PER_MINUTE
/* Stands for ourselves in the record of our own links: this module does not know our id, and a
 * node's prefix is 0 only with a probability of 2^-64. */
#define OURSELVES UINT64_C(0)
/* How long a path of full length is waited for before a shorter one is used. A recipient that has
 * just restarted has few links published, and a shorter path would show more of who talks to whom
 * than the user asked for. */
#define SHORT_WAIT_US (DIRECTORY_SETTLE_US + US_PER_S)
#define SETTLING_WAIT_US                                                                           \
    (SHORT_WAIT_US + NEWS_HOPS * PACE_MIN_US) /* while changed keys may have to settle */
#define SHARED_DRAWS 8                        /* of these the one that shares fewest relays */
#define SILENT_DRAWS 32

struct paths *paths_new(const struct path_config *config, struct directory *directory,
                        const struct core_random *random) {
    struct paths *paths = calloc(1, sizeof *paths);
    if (paths == NULL)
        return NULL;
    paths->directory = directory;
    paths->random = *random;
    paths->prepare = paths->check = MONO_NEVER;
    paths_configure(paths, config);
    return paths;
}

void paths_free(struct paths *paths) {
    if (paths == NULL)
        return;
    path_spares_drop(paths);
    assert(paths->n_live == 0);
    for (size_t i = 0; i < paths->n_chunks; i++)
        sodium_free(paths->chunks[i]);
    sodium_memzero(paths, sizeof *paths); /* who our guards are is a secret */
    free(paths);
}

void paths_configure(struct paths *paths, const struct path_config *config) {
    path_spares_drop(paths); /* drawn by other rules */
    paths->config = *config;
    if (paths->config.relays > TOPOLOGY_RELAYS_MAX)
        paths->config.relays = TOPOLOGY_RELAYS_MAX;
}

bool paths_reuse(const struct paths *paths) {
    return !paths->config.once;
}

/* ---- Guards ---- */

const struct path_neighbour *path_neighbour(const struct paths *paths, uint64_t prefix) {
    for (size_t i = 0; i < paths->n_neighbours; i++)
        if (paths->neighbours[i].prefix == prefix)
            return &paths->neighbours[i];
    return NULL;
}

static bool is_relaying_neighbour(const struct paths *paths, uint64_t prefix) {
    const struct path_neighbour *neighbour = path_neighbour(paths, prefix);
    return neighbour != NULL && neighbour->relay;
}

static bool is_settling_neighbour(const struct paths *paths, uint64_t prefix) {
    const struct path_neighbour *neighbour = path_neighbour(paths, prefix);
    return neighbour != NULL && neighbour->settling;
}

bool paths_is_guard(const struct paths *paths, uint64_t prefix) {
    for (size_t i = 0; i < paths->n_guards; i++)
        if (paths->guards[i].prefix == prefix)
            return true;
    return false;
}

static size_t guards_up(const struct paths *paths) {
    size_t n = 0;
    for (size_t i = 0; i < paths->n_guards; i++)
        n += is_relaying_neighbour(paths, paths->guards[i].prefix) ? 1 : 0;
    return n;
}

/* Note which guards are missing, and forget those that have been for too long. Without a single
 * neighbour we are cut off ourselves, which says nothing of the guards: that time does not
 * count. */
static void guards_bury(struct paths *paths, struct mono now) {
    size_t n = 0, up = guards_up(paths);
    for (size_t i = 0; i < paths->n_guards; i++) {
        struct guard guard = paths->guards[i];
        int64_t grace =
            up > 0 || is_settling_neighbour(paths, guard.prefix) ? GUARD_GRACE_US : GUARD_ALONE_US;
        if (paths->n_neighbours == 0 || is_relaying_neighbour(paths, guard.prefix))
            guard.missing = MONO_NEVER;
        else if (guard.missing.us == MONO_NEVER.us)
            guard.missing = now;
        if (guard.missing.us == MONO_NEVER.us || now.us - guard.missing.us < grace)
            paths->guards[n++] = guard;
    }
    paths->n_guards = n;
}

/* Neighbours that may become guards. Returns how many. */
static size_t guards_candidates(const struct paths *paths, struct mono now,
                                uint64_t ret_prefixes[NEIGHBOURS_MAX]) {
    size_t n = 0;
    for (size_t i = 0; i < paths->n_neighbours; i++) {
        const struct path_neighbour *neighbour = &paths->neighbours[i];
        if (neighbour->relay && now.us - neighbour->since.us >= GUARD_AGE_US &&
            !paths_is_guard(paths, neighbour->prefix))
            ret_prefixes[n++] = neighbour->prefix;
    }
    return n;
}

/* The first set of guards is drawn as a whole, once enough neighbours have been linked for an hour.
 * After that an empty place is filled as soon as one more neighbour has been. Meanwhile only the
 * guards that are left are used: if all neighbours were, killing one guard would show each of them
 * that we send. */
static void guards_update(struct paths *paths, struct mono now) {
    uint64_t candidates[NEIGHBOURS_MAX];
    size_t wanted = paths->config.guards < NEIGHBOURS_MAX ? paths->config.guards : NEIGHBOURS_MAX;
    guards_bury(paths, now);
    if (paths->n_guards > wanted)
        paths->n_guards = wanted;
    size_t n = guards_candidates(paths, now, candidates);
    if (paths->n_guards == 0 && n < wanted)
        return;
    while (paths->n_guards < wanted && n > 0) {
        size_t i = (size_t)random_below(&paths->random, n);
        paths->guards[paths->n_guards++] = (struct guard){candidates[i], MONO_NEVER};
        candidates[i] = candidates[--n];
    }
}

void paths_set_neighbours(struct paths *paths, const struct path_neighbour *neighbours, size_t n,
                          struct mono now) {
    assert(n <= NEIGHBOURS_MAX);
    if (n > 0)
        memcpy(paths->neighbours, neighbours, n * sizeof *neighbours);
    paths->n_neighbours = n;
    guards_update(paths, now);
}

/* The nodes that may be the first relay to this target: the guards that are up. Without guards, or
 * if the target itself is the only one up (it cannot relay to itself), any relaying neighbour may.
 * The latter is rare, and with one guard configured that target could not be reached through a
 * relay otherwise. */
static size_t list_firsts(const struct paths *paths, uint64_t target,
                          uint64_t ret_firsts[NEIGHBOURS_MAX]) {
    size_t n = 0;
    for (size_t i = 0; i < paths->n_guards; i++)
        if (paths->guards[i].prefix != target &&
            is_relaying_neighbour(paths, paths->guards[i].prefix))
            ret_firsts[n++] = paths->guards[i].prefix;
    if (n > 0 || (paths->n_guards > 0 && guards_up(paths) == 0))
        return n;
    for (size_t i = 0; i < paths->n_neighbours; i++)
        if (paths->neighbours[i].relay && paths->neighbours[i].prefix != target)
            ret_firsts[n++] = paths->neighbours[i].prefix;
    return n;
}

/* ---- The record of links ---- */

static bool is_recent(struct mono event, struct mono now) {
    return event.us != MONO_NEVER.us && now.us - event.us <= RECORD_US;
}

static struct link_record *record_find(struct paths *paths, uint64_t a, uint64_t b) {
    uint64_t low = a < b ? a : b, high = a < b ? b : a;
    for (size_t i = 0; i < paths->n_records; i++)
        if (paths->records[i].low == low && paths->records[i].high == high)
            return &paths->records[i];
    return NULL;
}

/* The record of a link, a new one in place of the oldest if the table is full. */
static struct link_record *record_open(struct paths *paths, uint64_t a, uint64_t b) {
    struct link_record *record = record_find(paths, a, b);
    if (record != NULL)
        return record;
    if (paths->n_records < PATH_RECORDS_MAX) {
        record = &paths->records[paths->n_records++];
    } else {
        record = &paths->records[0];
        for (size_t i = 1; i < PATH_RECORDS_MAX; i++)
            if (paths->records[i].touched.us < record->touched.us)
                record = &paths->records[i];
    }
    *record = (struct link_record){.low = a < b ? a : b,
                                   .high = a < b ? b : a,
                                   .failed = MONO_NEVER,
                                   .failed_before = MONO_NEVER,
                                   .worked = MONO_NEVER};
    return record;
}

/* Is there a link on the path that failed twice lately and did not work lately? A success outweighs
 * failures for as long as it is recent: otherwise a relay could have its honest neighbours' links
 * avoided by failing twice between two successes of theirs. */
static bool has_bad_link(struct paths *paths, const uint64_t *hops, size_t n, struct mono now) {
    uint64_t previous = OURSELVES;
    for (size_t i = 0; i < n; i++) {
        const struct link_record *record = record_find(paths, previous, hops[i]);
        if (record != NULL && is_recent(record->failed, now) &&
            is_recent(record->failed_before, now) && !is_recent(record->worked, now))
            return true;
        previous = hops[i];
    }
    return false;
}

static void note(struct paths *paths, const struct path *path, struct mono now, bool worked) {
    uint64_t previous = OURSELVES;
    for (size_t i = 0; i < path->n_hops; i++) {
        struct link_record *record = record_open(paths, previous, path->layers[i].hop);
        record->touched = now;
        if (worked) {
            record->worked = now;
        } else {
            record->failed_before = record->failed;
            record->failed = now;
        }
        previous = path->layers[i].hop;
    }
}

void path_worked(struct paths *paths, const struct path *path, struct mono now) {
    note(paths, path, now, true);
}

void path_failed(struct paths *paths, const struct path *path, struct mono now) {
    note(paths, path, now, false);
}

/* ---- Choosing ---- */

/* The number of simple paths with so many relays, counted up to PATH_CHOICES_WANTED. Leaves that
 * length in the query. */
static uint64_t count_with(struct path_choice *choice, unsigned relays) {
    choice->query.relays = relays;
    return topology_count(choice->topology, &choice->query, PATH_CHOICES_WANTED);
}

/* There is no path as asked for. PATH_STRICT: there are paths of other lengths. PATH_NONE: there
 * are none, or one as asked for may soon exist: all guards are down and expected back, or enough
 * relays (the target aside) only have to settle. */
static enum path_outcome refuse(const struct paths *paths, struct path_choice *choice) {
    if (choice->waiting || directory_relays_settling(paths->directory, choice->wanted))
        return PATH_NONE;
    for (unsigned relays = 0; relays <= TOPOLOGY_RELAYS_MAX; relays++)
        if (count_with(choice, relays) > 0)
            return PATH_STRICT;
    return PATH_NONE;
}

/* Use r0 or r0 + 1 relays, at random, so that no relay knows its place on the path. */
static void settle_around(struct paths *paths, struct path_choice *choice, unsigned r0) {
    bool longer = random_below(&paths->random, 2) == 1 && r0 < TOPOLOGY_RELAYS_MAX;
    if (!longer || count_with(choice, r0 + 1) == 0)
        choice->query.relays = r0;
}

static void forget_short(struct paths *paths, size_t i) {
    memmove(&paths->shorts[i], &paths->shorts[i + 1],
            (--paths->n_shorts - i) * sizeof *paths->shorts);
}

/* Must a short path wait, because a longer one may soon exist? No, if there are not enough relays
 * for one and no keys that have yet to settle. Otherwise for SHORT_WAIT_US (SETTLING_WAIT_US while
 * keys settle) from the first try, which is noted here (in a full table in place of the oldest). */
static bool short_must_wait(struct paths *paths, uint64_t target, bool settling, struct mono now) {
    if (directory_relays(paths->directory) < paths->config.relays + 2 && !settling)
        return false;
    for (size_t i = 0; i < paths->n_shorts; i++)
        if (paths->shorts[i].target == target)
            return now.us - paths->shorts[i].first.us <
                   (settling ? SETTLING_WAIT_US : SHORT_WAIT_US);
    if (paths->n_shorts == PATH_SHORTS_MAX)
        forget_short(paths, 0);
    paths->shorts[paths->n_shorts++] = (struct short_try){target, now};
    return true;
}

static void forget_target(struct paths *paths, uint64_t target) {
    for (size_t i = 0; i < paths->n_shorts; i++)
        if (paths->shorts[i].target == target) {
            forget_short(paths, i);
            return;
        }
}

/* No path has enough relays: use the longest of the shorter ones, unless the user is strict. While
 * all guards are down and expected back no path is used, not even the direct link: whoever disturbs
 * the guards must not get to see us send without relays. */
static enum path_outcome settle_below(struct paths *paths, struct path_choice *choice, bool strict,
                                      struct mono now) {
    if (strict || choice->waiting)
        return refuse(paths, choice);
    if (choice->may_wait && short_must_wait(paths, choice->query.target, choice->settling, now))
        return PATH_NONE;
    for (unsigned relays = paths->config.relays; relays-- > 0;)
        if (count_with(choice, relays) > 0) {
            choice->fewer = true;
            return PATH_OK;
        }
    return PATH_NONE;
}

static enum path_outcome settle_length(struct paths *paths, struct path_choice *choice,
                                       const struct path_request *request, struct mono now) {
    uint64_t most = 0;
    unsigned best = 0;
    if (request->relays_exact != RELAYS_DEFAULT)
        return count_with(choice, request->relays_exact) > 0 ? PATH_OK : refuse(paths, choice);
    for (unsigned relays = paths->config.relays; relays <= TOPOLOGY_RELAYS_MAX; relays++) {
        uint64_t n = count_with(choice, relays);
        if (n >= PATH_CHOICES_WANTED) {
            forget_target(paths, choice->query.target);
            settle_around(paths, choice, relays);
            return PATH_OK;
        }
        if (n > most) {
            most = n;
            best = relays;
        }
    }
    if (most == 0)
        return settle_below(paths, choice, request->strict || paths->config.strict, now);
    forget_target(paths, choice->query.target);
    choice->query.relays = best;
    return PATH_OK;
}

static bool is_in(const uint64_t *prefixes, size_t n, uint64_t prefix) {
    for (size_t i = 0; i < n; i++)
        if (prefixes[i] == prefix)
            return true;
    return false;
}

/* First relays for a disjoint path. Tiers 0 and 1: those that the other paths do not pass at all;
 * tiers 2 and 3: those that the other paths do not begin with. Even tiers: guards alone; odd ones:
 * any relaying neighbours. */
static size_t list_apart(const struct paths *paths, const struct path_request *request,
                         unsigned tier, uint64_t ret_firsts[NEIGHBOURS_MAX]) {
    uint64_t target = node_id_prefix(&request->target);
    size_t n = 0;
    for (size_t i = 0; i < paths->n_neighbours; i++) {
        uint64_t prefix = paths->neighbours[i].prefix;
        bool wanted = tier % 2 == 1 || paths_is_guard(paths, prefix);
        bool taken = is_in(request->firsts, request->n_firsts, prefix) ||
                     (tier < 2 && is_in(request->avoid, request->n_avoid, prefix));
        if (paths->neighbours[i].relay && prefix != target && wanted && !taken)
            ret_firsts[n++] = prefix;
    }
    return n;
}

/* Make the path disjoint: limit its first relays to the first tier with which there is a path, of
 * the length settled on or, if need be, longer. If there is none the query stays as it was. */
static void settle_apart(const struct paths *paths, struct path_choice *choice,
                         const struct path_request *request) {
    struct topology_query shared = choice->query;
    unsigned most =
        request->relays_exact == RELAYS_DEFAULT ? TOPOLOGY_RELAYS_MAX : choice->query.relays;
    choice->query.firsts = choice->disjoint;
    for (unsigned tier = 0; tier < 4; tier++) {
        choice->query.n_firsts = list_apart(paths, request, tier, choice->disjoint);
        for (unsigned relays = shared.relays; choice->query.n_firsts > 0 && relays <= most;
             relays++)
            if (count_with(choice, relays) > 0)
                return;
    }
    choice->query = shared;
}

static int draw_past(struct paths *paths, struct path_choice *choice, const uint64_t *avoid,
                     size_t n) {
    struct topology_query query = choice->query;
    query.avoid = avoid;
    query.n_avoid = n;
    return topology_sample(choice->topology, &query, &paths->random, choice->hops);
}

/* Draw a path whose later relays avoid the guards too, because the other paths are to begin with
 * them. */
static int draw_past_guards(struct paths *paths, struct path_choice *choice,
                            const struct path_request *request) {
    uint64_t avoid[PATH_AVOID_MAX + NEIGHBOURS_MAX];
    size_t n = request->n_avoid < PATH_AVOID_MAX ? request->n_avoid : PATH_AVOID_MAX;
    if (n > 0)
        memcpy(avoid, request->avoid, n * sizeof *avoid);
    for (size_t i = 0; i < paths->n_guards; i++)
        avoid[n++] = paths->guards[i].prefix;
    return draw_past(paths, choice, avoid, n);
}

bool path_is_sound(struct paths *paths, const uint64_t *hops, size_t n, struct mono now) {
    const struct topology *topology = directory_topology(paths->directory);
    uint64_t firsts[NEIGHBOURS_MAX];
    if (n == 1 && path_neighbour(paths, hops[0]) == NULL)
        return false;
    if (n > 1 && !is_in(firsts, list_firsts(paths, hops[n - 1], firsts), hops[0]))
        return false;
    for (size_t i = 1; i < n; i++)
        if (!topology_relays(topology, hops[i - 1]) ||
            !topology_has_link(topology, hops[i - 1], hops[i]))
            return false;
    return !has_bad_link(paths, hops, n, now);
}

/* ---- Avoiding silent relays ---- */

/* May a path to this target have so many relays? */
static bool is_length(const struct paths *paths, const struct path_choice *choice,
                      const struct path_request *request, unsigned relays) {
    if (request->relays_exact != RELAYS_DEFAULT || choice->fewer)
        return relays == choice->query.relays;
    return relays >= paths->config.relays;
}

/* Draw a path that avoids all of these relays, as its first one too; of another length if need
 * be. */
static int draw_past_relays(struct paths *paths, struct path_choice *choice,
                            const struct path_request *request, const uint64_t *avoid, size_t n) {
    struct topology_query query = choice->query;
    uint64_t firsts[NEIGHBOURS_MAX];
    query.firsts = firsts;
    query.n_firsts = 0;
    for (size_t i = 0; i < choice->query.n_firsts; i++)
        if (!is_in(avoid, n, choice->query.firsts[i]))
            firsts[query.n_firsts++] = choice->query.firsts[i];
    query.avoid = avoid;
    query.n_avoid = n;
    for (unsigned i = 0; i <= TOPOLOGY_RELAYS_MAX; i++) {
        /* The length that was drawn, then the others, the shortest first. */
        query.relays = i == 0 ? choice->query.relays : i <= choice->query.relays ? i - 1 : i;
        if (query.n_firsts > 0 && is_length(paths, choice, request, query.relays) &&
            topology_sample(choice->topology, &query, &paths->random, choice->hops) == 0) {
            choice->query.relays = query.relays;
            return 0;
        }
    }
    return -ENOENT;
}

/* Of SILENT_DRAWS draws at the shortest length that a path may have, use the one whose relays were
 * on the fewest unanswered tries. */
static int draw_least_silent(struct paths *paths, struct path_choice *choice,
                             const struct path_request *request, struct mono now) {
    uint64_t hops[HOPS_MAX];
    unsigned least = UINT_MAX, drawn = choice->query.relays;
    for (unsigned relays = 0; relays <= drawn; relays++)
        if (is_length(paths, choice, request, relays) && count_with(choice, relays) > 0)
            break;
    for (unsigned draws = SILENT_DRAWS; draws > 0 && least > 0; draws--) {
        unsigned weight = 0;
        if (topology_sample(choice->topology, &choice->query, &paths->random, hops) != 0)
            return -ENOENT;
        for (unsigned i = 0; i < choice->query.relays; i++)
            weight += path_silence_weight(request->silence, hops[i], now);
        if (weight < least)
            memcpy(choice->hops, hops, sizeof hops);
        least = weight < least ? weight : least;
    }
    return 0;
}

/* Avoid every relay of an unanswered try; if no such path exists, those of two tries or more, and
 * so on; in the end take the path with the least silent relays. */
static int draw_past_silence(struct paths *paths, struct path_choice *choice,
                             const struct path_request *request, struct mono now) {
    uint64_t avoid[PATH_SILENCE_RELAYS + PATH_AVOID_MAX];
    for (unsigned least = 1; least <= PATH_SILENCE_TRIES; least++) {
        size_t n = path_silence_relays(request->silence, least, now, avoid);
        size_t others = request->n_avoid < PATH_AVOID_MAX ? request->n_avoid : PATH_AVOID_MAX;
        if (n == 0 && least == 1)
            return -ENOENT;
        if (n == 0)
            break;
        if (others > 0)
            memcpy(avoid + n, request->avoid, others * sizeof *avoid);
        if (others > 0 && draw_past_relays(paths, choice, request, avoid, n + others) == 0)
            return 0;
        if (draw_past_relays(paths, choice, request, avoid, n) == 0)
            return 0;
    }
    return draw_least_silent(paths, choice, request, now);
}

/* Draw the hops. Where relays of the request's `avoid` cannot be avoided, of SHARED_DRAWS draws the
 * one that passes fewest of them is used. */
static int draw_hops(struct paths *paths, struct path_choice *choice,
                     const struct path_request *request, struct mono now) {
    uint64_t hops[HOPS_MAX];
    size_t fewest = SIZE_MAX;
    if (request->silence && choice->query.relays > 0 &&
        draw_past_silence(paths, choice, request, now) == 0)
        return 0;
    if (request->disjoint && draw_past_guards(paths, choice, request) == 0)
        return 0;
    if (request->n_avoid > 0 && draw_past(paths, choice, request->avoid, request->n_avoid) == 0)
        return 0;
    for (unsigned draws = request->n_avoid > 0 ? SHARED_DRAWS : 1; draws > 0 && fewest > 0;
         draws--) {
        size_t shared = 0;
        if (topology_sample(choice->topology, &choice->query, &paths->random, hops) != 0)
            return -ENOENT;
        for (unsigned i = 1; i < choice->query.relays; i++)
            shared += is_in(request->avoid, request->n_avoid, hops[i]);
        if (shared < fewest)
            memcpy(choice->hops, hops, sizeof hops);
        fewest = shared < fewest ? shared : fewest;
    }
    return 0;
}

enum path_outcome path_choose(struct paths *paths, const struct path_request *request,
                              struct mono now, bool may_wait, struct path_choice *choice) {
    uint64_t target = node_id_prefix(&request->target);
    guards_update(paths, now);
    *choice = (struct path_choice){.topology = directory_topology(paths->directory),
                                   .may_wait = may_wait,
                                   .settling = directory_is_settling(paths->directory, target),
                                   .wanted = request->relays_exact != RELAYS_DEFAULT
                                                 ? request->relays_exact
                                                 : paths->config.relays,
                                   .waiting = paths->n_guards > 0 && guards_up(paths) == 0};
    choice->query.target = target;
    choice->query.firsts = choice->firsts;
    choice->query.n_firsts = list_firsts(paths, target, choice->firsts);
    enum path_outcome outcome = settle_length(paths, choice, request, now);
    if (outcome != PATH_OK)
        return outcome;
    if (request->disjoint && choice->query.relays > 0)
        settle_apart(paths, choice, request);
    for (unsigned redraws = 0; redraws <= REDRAWS_MAX; redraws++) {
        if (draw_hops(paths, choice, request, now) != 0)
            return PATH_NONE;
        if (!has_bad_link(paths, choice->hops, choice->query.relays + 1, now))
            break;
    }
    return PATH_OK;
}

const struct directory_entry *path_target(const struct paths *paths, const struct node_id *target) {
    const struct directory_entry *entry =
        directory_find_prefix(paths->directory, node_id_prefix(target));
    return entry != NULL && node_id_is_equal(&entry->id, target) ? entry : NULL;
}

enum path_outcome path_sample(struct paths *paths, const struct path_request *request,
                              struct mono now, uint64_t ret_hops[HOPS_MAX], size_t *ret_n,
                              double *ret_choices) {
    struct path_choice choice;
    if (path_target(paths, &request->target) == NULL)
        return PATH_UNKNOWN;
    enum path_outcome outcome = path_choose(paths, request, now, false, &choice);
    if (outcome != PATH_OK)
        return outcome;
    *ret_n = choice.query.relays + 1;
    memcpy(ret_hops, choice.hops, *ret_n * sizeof *ret_hops);
    *ret_choices = topology_estimate(choice.topology, &choice.query, &paths->random);
    return PATH_OK;
}
