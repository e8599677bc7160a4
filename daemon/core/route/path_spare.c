/* Paths made ahead. Keying one of four hops takes eight exchanges, a quarter of a millisecond; made
 * while nothing else is to be done, a fresh path's first packet leaves as soon as one of a kept
 * path's.
 *
 * Threat: a spare is drawn as any path is, by the same rules and for one use, so that it says no
 * more than one drawn in the moment: the minute that relays are shown is that of the use, and where
 * the network has changed meanwhile (a link, a guard, a key, a record of failures) it is thrown
 * away rather than preferred. To whom we keep some is whom we wrote to in the last minute; it is in
 * our memory alone, and wiped with the paths. */
#include "daemon/core/route/path_private.h"

#include <assert.h>
#include <sodium.h>

#define LIKELY_US US_PER_MINUTE /* after the last that was written to it */
#define REST_US (2 * US_PER_MS) /* after a use: what it was used for goes first, here and there */
#define CHECK_US (5 * US_PER_S) /* spares that are no good any more give way to others */
#define RETRY_US (5 * US_PER_S) /* after a draw in vain */

static bool is_meant(const struct expected *expected, const struct path_request *request) {
    return expected->used && expected->relays_exact == request->relays_exact &&
           expected->strict == request->strict &&
           node_id_is_equal(&expected->target, &request->target);
}

static struct path *take_out(struct paths *paths, struct expected *expected, unsigned i) {
    struct path *path = expected->spares[i];
    paths->n_spares--;
    expected->n--;
    memmove(&expected->spares[i], &expected->spares[i + 1],
            (expected->n - i) * sizeof *expected->spares);
    return path;
}

static void spare_drop(struct paths *paths, struct expected *expected, unsigned i) {
    path_free(take_out(paths, expected, i));
}

static void forget(struct paths *paths, struct expected *expected) {
    while (expected->n > 0)
        spare_drop(paths, expected, 0);
    sodium_memzero(expected, sizeof *expected);
}

void path_spares_drop(struct paths *paths) {
    for (size_t i = 0; i < PATH_EXPECTED_MAX; i++)
        while (paths->expected[i].n > 0)
            spare_drop(paths, &paths->expected[i], 0);
    assert(paths->n_spares == 0);
}

bool path_spare_yield(struct paths *paths) {
    for (size_t i = 0; i < PATH_EXPECTED_MAX; i++)
        if (paths->expected[i].n > 0) {
            spare_drop(paths, &paths->expected[i], paths->expected[i].n - 1);
            return true;
        }
    return false;
}

/* ---- Who is expected ---- */

static struct expected *note(struct paths *paths, const struct path_request *request,
                             struct mono now, int64_t delay_us) {
    struct expected *oldest = paths->expected, *found = NULL;
    for (size_t i = 0; i < PATH_EXPECTED_MAX && !found; i++) {
        struct expected *expected = &paths->expected[i];
        if (is_meant(expected, request))
            found = expected;
        else if (oldest->used && (!expected->used || expected->noted.us < oldest->noted.us))
            oldest = expected;
    }
    if (!found) {
        forget(paths, oldest);
        *oldest = (struct expected){.used = true,
                                    .target = request->target,
                                    .relays_exact = request->relays_exact,
                                    .strict = request->strict,
                                    .retry = now,
                                    .burst = now,
                                    .wanted = 1};
        found = oldest;
    }
    found->noted = now;
    paths->prepare = mono_min(paths->prepare, mono_add(now, delay_us));
    paths->check = mono_min(paths->check, mono_add(now, CHECK_US));
    return found;
}

void paths_expect(struct paths *paths, const struct path_request *request, struct mono now) {
    if (!request->disjoint)
        note(paths, request, now, 1);
}

/* As many as it took within the life of a path: a backlog goes over several. */
static void count_draw(struct expected *expected, struct mono now) {
    if (now.us - expected->burst.us >= PATH_LIFE_US) {
        expected->wanted = expected->draws > 0 ? expected->draws : 1;
        expected->burst = now;
        expected->draws = 0;
    }
    if (expected->draws < PATH_SPARES_EACH)
        expected->draws++;
    if (expected->draws > expected->wanted)
        expected->wanted = expected->draws;
}

/* ---- What they are worth ---- */

static bool is_good(struct paths *paths, const struct path *path, struct now now) {
    uint64_t hops[HOPS_MAX];
    uint64_t generation = topology_generation(directory_topology(paths->directory));
    /* A short one is used where there is no other: that must not have changed. */
    if (now.mono.us - path->made.us >= PATH_SPARE_LIFE_US ||
        (path->fewer && path->generation != generation))
        return false;
    return path_is_sound(paths, hops, path_hops(path, hops), now.mono) &&
           path_has_good_keys(paths, path, now.wall);
}

static void drop_bad(struct paths *paths, struct expected *expected, struct now now) {
    for (unsigned i = expected->n; i-- > 0;)
        if (!is_good(paths, expected->spares[i], now))
            spare_drop(paths, expected, i);
}

static bool is_silent(const struct path *path, const struct path_silence *silence,
                      struct mono now) {
    for (size_t i = 0; silence && i + 1 < path->n_hops; i++)
        if (path_silence_weight(silence, path->layers[i].hop, now) > 0)
            return true;
    return false;
}

static bool passes(const struct path *path, const struct path_request *request) {
    for (size_t i = 1; i + 1 < path->n_hops; i++)
        for (size_t j = 0; j < request->n_avoid; j++)
            if (path->layers[i].hop == request->avoid[j])
                return true;
    return false;
}

struct path *path_spare_take(struct paths *paths, const struct path_request *request,
                             struct now now) {
    if (request->disjoint)
        return NULL;
    struct expected *expected = note(paths, request, now.mono, REST_US);
    count_draw(expected, now.mono);
    drop_bad(paths, expected, now);
    for (unsigned i = 0; i < expected->n; i++)
        if (!passes(expected->spares[i], request) &&
            !is_silent(expected->spares[i], request->silence, now.mono))
            return take_out(paths, expected, i);
    return NULL;
}

/* ---- Making them ---- */

/* Past the later relays of those that there are. */
static void spare_lay(struct paths *paths, struct expected *expected, struct now now) {
    uint64_t avoid[PATH_SPARES_EACH * HOPS_MAX];
    struct path_request request = {.target = expected->target,
                                   .relays_exact = expected->relays_exact,
                                   .strict = expected->strict,
                                   .avoid = avoid};
    for (unsigned i = 0; i < expected->n; i++)
        for (size_t j = 1; j + 1 < expected->spares[i]->n_hops; j++)
            avoid[request.n_avoid++] = expected->spares[i]->layers[j].hop;
    struct path *path;
    if (path_lay(paths, &request, now, &path) == PATH_OK) {
        expected->spares[expected->n++] = path;
        paths->n_spares++;
    } else {
        expected->retry = mono_add(now.mono, RETRY_US);
    }
}

/* One piece of work for it. False: there is none just now. */
static bool advance(struct paths *paths, struct expected *expected, struct now now) {
    struct path *last = expected->n > 0 ? expected->spares[expected->n - 1] : NULL;
    if (last && last->n_keyed < last->n_hops) {
        if (!path_key(paths, last, now.wall, 1)) {
            spare_drop(paths, expected, expected->n - 1);
            expected->retry = mono_add(now.mono, RETRY_US);
        }
        return true;
    }
    /* One spare is not given up for another, or that would go on for ever. */
    bool room = paths->free != NULL || paths->n_chunks < CHUNKS_MAX;
    if (expected->n >= expected->wanted || paths->n_spares >= PATH_SPARES_MAX || !room ||
        !mono_is_due(expected->retry, now.mono))
        return false;
    spare_lay(paths, expected, now);
    return true;
}

/* All of them. Is anybody expected? */
static bool check(struct paths *paths, struct now now) {
    bool any = false;
    for (size_t i = 0; i < PATH_EXPECTED_MAX; i++) {
        struct expected *expected = &paths->expected[i];
        if (expected->used && now.mono.us - expected->noted.us >= LIKELY_US)
            forget(paths, expected);
        drop_bad(paths, expected, now);
        any = any || expected->used;
    }
    return any;
}

void paths_prepare(struct paths *paths, struct now now) {
    if (!mono_is_due(paths->prepare, now.mono))
        return;
    if (mono_is_due(paths->check, now.mono))
        paths->check = check(paths, now) ? mono_add(now.mono, CHECK_US) : MONO_NEVER;
    paths->prepare = paths->check;
    for (size_t i = 0; i < PATH_EXPECTED_MAX; i++)
        if (paths->expected[i].used && advance(paths, &paths->expected[i], now)) {
            paths->prepare = mono_add(now.mono, 1);
            return;
        }
}

struct mono paths_next(const struct paths *paths) {
    return paths->prepare;
}
