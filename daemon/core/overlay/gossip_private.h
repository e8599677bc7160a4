/* What the parts of gossip share: gossip_want.c asks for what we lack, gossip_patience.c knows who
 * answers, gossip_proof.c passes proofs on, gossip_older.c has older versions shown, gossip.c does
 * the rest. Nobody else includes this, but
 * tests.
 *
 * A want is what was announced to us and is newer than what we hold. It is in the hands of one of
 * its announcers (the holder): waiting, until the window has room, then asked. Every neighbour has
 * lists of each: what waits of known nodes goes before newcomers, which anybody can invent; the
 * asked ones are in the order of their time-outs, so that the next deadline is at the head. One
 * whose node has published too much is in nobody's hands yet: else the versions of one member would
 * take up the windows of all who pass them on. */
#ifndef P2PD_GOSSIP_PRIVATE_H
#define P2PD_GOSSIP_PRIVATE_H

#include "daemon/core/base/rate.h"
#include "daemon/core/base/table.h"
#include "daemon/core/base/wirebuf.h"
#include "daemon/core/overlay/gossip.h"

#include <assert.h>
#include <sys/queue.h>

#define FULL_RETRY_US (20 * US_PER_MS) /* the link's queue was full */
#define TOKEN INT64_C(1000000)
static_assert(LINK_SLOTS <= 32, "announcers are bits of a word");

/* Token buckets (base/rate.h): the time in which one token comes back, and the room of all. */
#define NEWCOMER_US (US_PER_S / GOSSIP_NEWCOMER_RATE)
#define NEWCOMER_ROOM RATE_ROOM(NEWCOMER_US, GOSSIP_NEWCOMER_BURST)
#define ANSWER_US (US_PER_S / GOSSIP_ANSWER_RATE)
#define ANSWER_ROOM RATE_ROOM(ANSWER_US, GOSSIP_ANSWER_BURST)
#define DIGEST_US (GOSSIP_DIGEST_EACH_S * US_PER_S)
#define DIGEST_ROOM RATE_ROOM(DIGEST_US, GOSSIP_DIGEST_BURST)
#define PROOF_US (US_PER_S / GOSSIP_PROOF_RATE)
#define PROOF_ROOM RATE_ROOM(PROOF_US, GOSSIP_PROOF_BURST)
#define PROOF_PART_US (GOSSIP_PROOF_PART_S * US_PER_S)
#define PROOF_PART_ROOM RATE_ROOM(PROOF_PART_US, GOSSIP_PROOF_PART_BURST)

/* What a neighbour may ask for. No struct rate: how fast tokens come, and how many there may be,
 * follows the number of nodes that are known, and each announcement to it is one token more. */
struct allowance {
    int64_t level; /* in millionths of a token */
    struct mono at;
};

enum want_kind { WANT_VERSION, WANT_NEWCOMER, WANT_KINDS }; /* of a node that we know, or of none */

struct want {
    struct table_link link;
    TAILQ_ENTRY(want) entry;
    uint64_t prefix;
    struct version version;      /* the newest announced */
    struct mono due;             /* asked: when another may be; paced: when it may be asked for */
    struct mono asked_at, limit; /* asked: since when, and when its holder has had all its time */
    uint32_t announcers, untried;
    uint32_t holders;       /* of the announcers: those who announced this very version */
    uint8_t holder, rounds; /* of paced ones: the announcer in whose part of them it is */
    uint8_t n_silent;       /* of those asked: passed over before their time */
    uint8_t kind;
    bool asked, paced;
};
TAILQ_HEAD(want_list, want);

/* Buckets still to be announced, which stands first, and how far in the first of them we are. */
struct owed {
    uint8_t bits[DIRECTORY_BUCKETS / 8];
    unsigned first;
    size_t skip;
};

/* What was asked and has not been answered when another was asked: the answer may come yet. */
struct overdue {
    uint64_t prefix;
    struct mono asked_at;
};

/* Somebody against whom there is a proof that not all neighbours have. */
struct untold {
    uint64_t prefix;
    uint32_t holders; /* they brought one */
};

struct neighbour {
    uint64_t prefix;
    uint64_t ended;  /* order in which links ended; the oldest slot is given away first */
    uint64_t source; /* where it was when its link came up; 0: unknown */
    int64_t lacking; /* of `asking`, when its link ended */
    bool used, up;
    bool told_all, heard_all; /* the digest of everything that begins a link: sent, received */
    struct allowance asking;
    struct rate newcomers, answering, digests;
    struct rate proofs, proofs_told; /* its own part of those checked; told by digests */
    struct mono barred_until;
    int64_t patience_us, answer_us; /* how long it is waited for; how long it takes, 0: who knows */
    unsigned n_unanswered, n_vain;  /* questions, and newcomers that had all their time, in a row */
    struct mono vain_since;         /* when the first of the latter had had it */
    struct overdue overdue[GOSSIP_WINDOW]; /* a ring */
    size_t next_overdue;
    struct mono announce_due, digest_due, owed_due, answer_due, ask_due,
        older_due; /* MONO_NEVER: nothing to do */
    uint64_t
        older[GOSSIP_WANT_ITEMS]; /* it told of older versions of these, and is asked for them */
    size_t n_older;
    uint64_t announce[GOSSIP_ANNOUNCE_ITEMS];
    size_t n_announce;
    struct owed owed;
    uint64_t answers[GOSSIP_ANSWERS_MAX]; /* a ring */
    size_t first_answer, n_answers;
    struct want_list waiting[WANT_KINDS], asked, paced;
    size_t n_waiting, n_asked, n_paced, n_wants[WANT_KINDS]; /* the last: of either */
};

struct gossip {
    struct directory *directory;
    struct links *links;
    struct core_random random;
    struct table wants;
    struct budget_part memory;           /* of them */
    size_t n_wants[WANT_KINDS], n_paced; /* in neighbours' lists; waiting for their pace */
    struct mono paced_due;               /* of the first of them, or before */
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
    struct {
        struct rate checked;
        struct untold untold[GOSSIP_PROOFS_UNTOLD_MAX];
        size_t n_untold;
        struct mono due, told; /* MONO_NEVER: nothing to tell; when some were told last */
    } proofs;
    size_t n_used; /* of the slots: no neighbour is up in those behind */
    struct neighbour neighbours[LINK_SLOTS];
};

static inline uint32_t bit_of(size_t i) {
    return UINT32_C(1) << i;
}

/* It has brought what cannot be: nothing is asked of it for a while. */
static inline void gossip_bar(struct neighbour *from, struct mono now) {
    from->barred_until = mono_add(now, GOSSIP_BARRED_US);
    from->n_older = 0;
}

static inline size_t index_of(const struct gossip *gossip, const struct neighbour *neighbour) {
    return (size_t)(neighbour - gossip->neighbours);
}

/* Do we hold this version or a newer one? */
bool want_is_held(const struct gossip *gossip, uint64_t prefix, const struct version *version);
struct want *want_find(const struct gossip *gossip, uint64_t prefix);
/* `from`, whose allowances are refilled, announces a version that we lack. DROP_LIMIT: it is beyond
 * a bound, or another's was forgotten for it. */
enum drop want_note(struct gossip *gossip, struct neighbour *from, uint64_t prefix,
                    const struct version *version, struct mono now);
/* This announcer has had its chance, or is gone: to the next one, if there is need and another. May
 * free the want. */
void want_strike(struct gossip *gossip, struct want *want, size_t announcer);
/* The same when it has brought this version: if that is not the one, those who announced no newer
 * one would bring the same. */
void want_answered(struct gossip *gossip, struct want *want, size_t announcer,
                   const struct version *brought);
/* Strike an announcer off all wants. */
void want_strike_all(struct gossip *gossip, size_t announcer);
/* Ask a neighbour for what waits for it, as far as its window goes. */
void want_ask(struct gossip *gossip, struct neighbour *neighbour, struct mono now);
void want_time_out(struct gossip *gossip, struct neighbour *neighbour, struct mono now);
/* Those whose pace allows it are in somebody's hands from now on. */
void want_unpace(struct gossip *gossip, struct mono now);

/* Does it leave questions unanswered? */
static inline bool patience_is_out(const struct neighbour *neighbour) {
    return neighbour->n_unanswered >= GOSSIP_SILENT;
}
/* How long to wait for `asked` while `other` could be asked, after so many that kept silent about
 * the same want. INT64_MAX: all its time. */
int64_t patience_with(const struct neighbour *asked, const struct neighbour *other,
                      unsigned n_silent);
/* This want is about to be taken from its holder, which has been asked for it. */
void patience_miss(struct neighbour *holder, const struct want *want, struct mono now);
/* A descriptor came; the want is NULL if it is not asked of this neighbour now. */
void patience_answer(struct neighbour *from, uint64_t prefix, const struct want *asked,
                     struct mono now);
/* Does it announce what it does not have? */
bool patience_is_vain(const struct neighbour *neighbour, struct mono now);
/* gossip_older.c. A neighbour tells of an older version than the one held. */
void older_note(const struct gossip *gossip, struct neighbour *from, uint64_t prefix,
                struct mono now);
/* Ask for those that may matter yet. */
void older_ask(const struct gossip *gossip, struct neighbour *neighbour, struct mono now);
/* Is this descriptor the answer: an older one, that was asked for? */
bool older_is_shown(const struct gossip *gossip, struct neighbour *from,
                    const struct descriptor *descriptor, const uint8_t *bytes);
/* gossip_proof.c. A frame of proofs came. */
enum drop proofs_take(struct gossip *gossip, struct neighbour *from, const uint8_t *body,
                      size_t length, struct now now);
/* Tell what is due. */
void proofs_tell(struct gossip *gossip, struct mono now);
/* This place is another link's now. */
void proofs_link_up(struct gossip *gossip, const struct neighbour *neighbour);

#endif
