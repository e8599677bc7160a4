/* Prebuilt paths. To key a path of four hops takes eight X25519 operations, a quarter of a
 * millisecond. If that is done while there is nothing else to do, the first packet on a new path
 * leaves as soon as one on a path in use.
 *
 * Threat: a prebuilt path is drawn like any other, by the same rules and for one use, so that it
 * reveals no more than one drawn when it is needed. The minute that relays are shown is that of the
 * use. If the path could no longer be drawn because the network has changed (a link, a guard, a
 * key, a record of failures), it is thrown away. The targets that have prebuilt paths are those
 * that we wrote to in the last minute; they are in our memory alone, and wiped with the paths. */
#include "daemon/core/route/path_private.h"

#include <assert.h>
#include <sodium.h>

#define LIKELY_US US_PER_MINUTE /* after a target was last written to, it is forgotten */
#define REST_US (2 * US_PER_MS) /* after a use, so that the packets it was for go first */
#define CHECK_US (5 * US_PER_S) /* between looks for prebuilt paths that are no longer good */
#define RETRY_US (5 * US_PER_S) /* after a draw that failed */

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

/* ---- Targets that are expected to be written to ---- */

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

/* As many paths are prebuilt as were drawn within the life of one path (2 s): a backlog is sent
 * over several. */
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

/* ---- Which prebuilt paths are still good ---- */

static bool is_good(struct paths *paths, const struct path *path, struct now now) {
    uint64_t hops[HOPS_MAX];
    uint64_t generation = topology_generation(directory_topology(paths->directory));
    /* A path shorter than configured is used where no longer one exists, so the network must not
     * have changed since it was drawn. */
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

/* ---- Building paths ---- */

/* Draw one more path to a target, avoiding the later relays of its other prebuilt paths. */
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

/* Do one piece of work for a target: key a hop, or draw a path. False: there is none just now. */
static bool advance(struct paths *paths, struct expected *expected, struct now now) {
    struct path *last = expected->n > 0 ? expected->spares[expected->n - 1] : NULL;
    if (last && last->n_keyed < last->n_hops) {
        if (!path_key(paths, last, now.wall, 1)) {
            spare_drop(paths, expected, expected->n - 1);
            expected->retry = mono_add(now.mono, RETRY_US);
        }
        return true;
    }
    /* Draw only if there is room: slot_take() would free another prebuilt path for this one, and
     * that would go on for ever. */
    bool room = paths->free != NULL || paths->n_chunks < CHUNKS_MAX;
    if (expected->n >= expected->wanted || paths->n_spares >= PATH_SPARES_MAX || !room ||
        !mono_is_due(expected->retry, now.mono))
        return false;
    spare_lay(paths, expected, now);
    return true;
}

/* Drop the prebuilt paths that are no longer good, and forget targets not written to lately. True:
 * there are targets left. */
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
