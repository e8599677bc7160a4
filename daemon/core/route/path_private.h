/* What path.c (guards, records of links, choosing), path_live.c (live paths and their keys) and
 * path_spare.c (prebuilt paths) call of each other. Nobody else includes it. */
#ifndef P2PD_PATH_PRIVATE_H
#define P2PD_PATH_PRIVATE_H

#include "daemon/core/base/limits.h"
#include "daemon/core/route/path.h"
#include "daemon/core/seam/types.h"

#define NEIGHBOURS_MAX (TOPOLOGY_DEGREE_MAX + 2)
#define HOPS_MAX (TOPOLOGY_RELAYS_MAX + 1)
_Static_assert(HOPS_MAX == ONION_LAYERS_MAX, "a path has as many layers as hops");
#define REDRAWS_MAX 4
/* Live paths grow a chunk at a time, for most nodes never need a second one. */
#define SLOTS_A_CHUNK 16
#define CHUNKS_MAX (PATH_LIVE_MAX / SLOTS_A_CHUNK)
#define INDEX_WORDS (ONION_INDEX_COUNT / 64)

struct path {
    struct paths *owner;
    struct path *next_free;
    struct onion_layer layers[HOPS_MAX];  /* secret; layers[i].hop is the i-th hop */
    uint64_t used[HOPS_MAX][INDEX_WORDS]; /* bit per index that a hop has had */
    uint8_t keys[HOPS_MAX][KEY_LEN];      /* public: what each layer is keyed for */
    size_t n_hops, n_keyed;
    int64_t epoch;       /* of the keys */
    uint64_t generation; /* of the topology it was drawn in */
    bool fewer;
    struct mono made;
    /* From its first use on: */
    struct mono born;
    int64_t minute;
    uint16_t n_sealed;
};

struct expected { /* a target that paths are prebuilt to */
    bool used;
    struct node_id target;
    uint8_t relays_exact;
    bool strict;
    struct mono noted; /* last written to */
    struct mono retry; /* no new draw before this, after one that failed */
    struct mono burst; /* `draws` are counted from here, for a path's life */
    unsigned draws;
    unsigned wanted;
    unsigned n; /* of `spares`, prebuilt paths: all keyed but the last, which may be so in part */
    struct path *spares[PATH_SPARES_EACH];
};

struct guard {
    uint64_t prefix;
    struct mono missing; /* since when it is no relaying neighbour; MONO_NEVER: it is one, or we
                            have no neighbour at all */
};

struct link_record {
    uint64_t low, high;
    struct mono failed, failed_before, worked; /* MONO_NEVER: it has not */
    struct mono touched;
};

struct short_try { /* a target that no path of full length led to */
    uint64_t target;
    struct mono first;
};

struct paths {
    struct path_config config;
    struct directory *directory;
    struct core_random random;
    struct path_neighbour neighbours[NEIGHBOURS_MAX];
    size_t n_neighbours;
    struct guard guards[NEIGHBOURS_MAX];
    size_t n_guards;
    struct link_record records[PATH_RECORDS_MAX];
    size_t n_records;
    struct short_try shorts[PATH_SHORTS_MAX]; /* oldest first */
    size_t n_shorts;
    struct path *chunks[CHUNKS_MAX]; /* locked memory: its guard pages take a page or two for each
                                        chunk, not for each path */
    size_t n_chunks, n_live;
    struct path *free;
    struct expected expected[PATH_EXPECTED_MAX];
    unsigned n_spares;
    struct mono prepare, check; /* paths_prepare() is due; it looks at all prebuilt paths */
};

struct path_choice {
    struct topology *topology;
    struct topology_query query; /* relays: the length settled on */
    uint64_t firsts[NEIGHBOURS_MAX];
    uint64_t disjoint[NEIGHBOURS_MAX];
    bool may_wait;   /* a path shorter than configured may be put off: PATH_NONE */
    bool settling;   /* some nodes may be relays only when their keys have settled */
    unsigned wanted; /* relays, at least */
    bool waiting;    /* guards there are, but none is up just now */
    bool fewer;
    uint64_t hops[HOPS_MAX];
};

const struct path_neighbour *path_neighbour(const struct paths *paths, uint64_t prefix);
/* The target's directory entry; NULL: unknown. Packets name nodes by their prefix; another node
 * whose id shares the target's prefix is told apart here. */
const struct directory_entry *path_target(const struct paths *paths, const struct node_id *target);
/* Settle on a length and draw the hops. may_wait: PATH_NONE where a longer path is hoped for. */
enum path_outcome path_choose(struct paths *paths, const struct path_request *request,
                              struct mono now, bool may_wait, struct path_choice *choice);

/* Could a path over these hops, drawn a while ago, still be drawn: may its first relay still be
 * one, are its links there, and has none of them failed twice lately without working? */
bool path_is_sound(struct paths *paths, const uint64_t *hops, size_t n, struct mono now);

/* ---- path_live.c ---- */
/* Draw a path, without keying any of its hops. */
enum path_outcome path_lay(struct paths *paths, const struct path_request *request, struct now now,
                           struct path **ret_path);
/* Key at most so many more of the path's hops. False: its epoch is over, a hop has no routing key
 * for it, or one whose Diffie-Hellman yields zero. */
bool path_key(struct paths *paths, struct path *path, struct wall wall, size_t most);
/* Are the routing keys that the path was keyed for still those of its hops? */
bool path_has_good_keys(const struct paths *paths, const struct path *path, struct wall wall);

/* ---- path_spare.c ---- */
/* Take a prebuilt path that fits the request, perhaps not keyed to its end. NULL: none fits. */
struct path *path_spare_take(struct paths *paths, const struct path_request *request,
                             struct now now);
/* All places for live paths are taken: free one prebuilt path. False: there is none. */
bool path_spare_yield(struct paths *paths);
void path_spares_drop(struct paths *paths);

#endif
