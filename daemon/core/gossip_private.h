/* What the two halves of gossip share: gossip_want.c asks for what we lack, gossip.c does the rest.
 * Nobody else includes this.
 *
 * A want is what was announced to us and is newer than what we hold. It is in the hands of one of
 * its announcers (the holder): waiting, until the window has room, then asked. Every neighbour has
 * a list of each; the asked ones are in the order of their time-outs, so that the next deadline is
 * at the head. One whose node has published too much is in nobody's hands yet: else the versions of
 * one member would take up the windows of all who pass them on. */
#ifndef P2PD_GOSSIP_PRIVATE_H
#define P2PD_GOSSIP_PRIVATE_H

#include "daemon/core/gossip.h"
#include "daemon/core/table.h"
#include "daemon/core/wirebuf.h"

#include <assert.h>
#include <sys/queue.h>

#define FULL_RETRY_US (20 * US_PER_MS) /* the link's queue was full */
#define TOKEN INT64_C(1000000)
static_assert(LINK_SLOTS <= 32, "announcers are bits of a word");

struct allowance {
    int64_t level; /* in millionths */
    struct mono at;
};

/* Take a token that a refill has put there, if there is a whole one. */
static inline bool allowance_take(struct allowance *allowance) {
    if (allowance->level < TOKEN)
        return false;
    allowance->level -= TOKEN;
    return true;
}

struct want {
    struct table_link link;
    TAILQ_ENTRY(want) entry;
    uint64_t prefix;
    struct version version; /* the newest announced */
    struct mono due; /* asked: when its holder has had its time; paced: when it may be asked for */
    uint32_t announcers, untried;
    uint32_t holders;       /* of the announcers: those who announced this very version */
    uint8_t holder, rounds; /* paced ones have no holder */
    bool asked, paced;
};
TAILQ_HEAD(want_list, want);

/* Buckets still to be announced, and how far in the lowest of them we are. */
struct owed {
    uint8_t bits[DIRECTORY_BUCKETS / 8];
    size_t skip;
};

struct neighbour {
    uint64_t prefix;
    uint64_t ended;  /* order in which links ended; the oldest slot is given away first */
    uint64_t source; /* where it was when its link came up; 0: unknown */
    int64_t lacking; /* of `asking`, when its link ended */
    bool used, up;
    bool told_all, heard_all; /* the digest of everything that begins a link: sent, received */
    struct allowance newcomers, answering, asking, digests;
    struct mono barred_until;
    int64_t patience_us; /* how long it is waited for */
    struct mono announce_due, digest_due, owed_due, answer_due,
        ask_due; /* MONO_NEVER: nothing to do */
    uint64_t announce[GOSSIP_ANNOUNCE_ITEMS];
    size_t n_announce;
    struct owed owed;
    uint64_t answers[GOSSIP_ANSWERS_MAX]; /* a ring */
    size_t first_answer, n_answers;
    struct want_list waiting, asked;
    size_t n_waiting, n_asked;
};

struct gossip {
    struct directory *directory;
    struct links *links;
    struct core_random random;
    struct table wants;
    size_t n_wants,
        n_paced; /* in neighbours' lists; in the list of those that wait for their pace */
    struct want_list paced;
    struct mono paced_due; /* of the first of them, or before */
    uint64_t ended;
    struct mono now; /* of the last call that said */
    /* The descriptor that came last, and who has it beside its bearer: they need not be told. */
    struct {
        uint64_t prefix;
        uint32_t holders;
    } heard;
    /* News of late, in thousandths: falls to nothing within a second in which there is none. */
    struct {
        int64_t level;
        struct mono at;
    } news;
    struct neighbour neighbours[LINK_SLOTS];
};

static inline uint32_t bit_of(size_t i) {
    return UINT32_C(1) << i;
}

static inline size_t index_of(const struct gossip *gossip, const struct neighbour *neighbour) {
    return (size_t)(neighbour - gossip->neighbours);
}

/* Do we hold this version or a newer one? */
bool want_is_held(const struct gossip *gossip, uint64_t prefix, const struct version *version);
struct want *want_find(const struct gossip *gossip, uint64_t prefix);
/* `from`, whose allowances are refilled, announces a version that we lack. DROP_LIMIT: it is beyond
 * a bound. */
enum drop want_note(struct gossip *gossip, struct neighbour *from, uint64_t prefix,
                    const struct version *version, struct mono now);
/* This announcer has had its chance, or is gone: to the next one, if there is need and another. May
 * free the want. */
void want_strike(struct gossip *gossip, struct want *want, size_t announcer);
/* Strike an announcer off all wants. */
void want_strike_all(struct gossip *gossip, size_t announcer);
/* Ask a neighbour for what waits for it, as far as its window goes. */
void want_ask(struct gossip *gossip, struct neighbour *neighbour, struct mono now);
void want_time_out(struct gossip *gossip, struct neighbour *neighbour, struct mono now);
/* Those whose pace allows it are in somebody's hands from now on. */
void want_unpace(struct gossip *gossip, struct mono now);

#endif
