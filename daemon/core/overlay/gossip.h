/* How every node comes to hold every descriptor: news announced onward, what is lacking asked of
 * one announcer at a time, digests compared to mend what was lost. Logic over the directory alone;
 * it never decides what is valid (the directory does), nor when our own descriptor is renewed (the
 * node does), and never dials.
 *
 * Threat: a neighbour may announce what does not exist, answer with rubbish, ask without end, or
 * pour in identities. All that it makes us hold is bounded and its own share, so that it shuts
 * nobody else's news out; who does not answer is passed over; nothing unasked is looked at; a
 * forgery bars its bearer for a while, since honest neighbours pass on only what they have checked.
 * A node whose versions come faster than an honest one's is asked for at the pace of those, so that
 * nobody who publishes for many makes the whole network carry it, and proofs against nodes, of
 * which each can make many against itself, have a pace in all; and a neighbour is given what it
 * asks for about as often as there is something, whatever identity it takes meanwhile. Implements
 * p2pd-protocol(7) DIRECTORY. */
#ifndef P2PD_GOSSIP_H
#define P2PD_GOSSIP_H

#include "daemon/core/base/budget.h"
#include "daemon/core/base/limits.h"
#include "daemon/core/directory/directory.h"
#include "daemon/core/directory/directory_version.h"
#include "daemon/core/link/link.h"

/* Timers (gossip_next() is the earliest; gossip_tick() serves what is due).
 *
 * Of each neighbour, while its link is up; all of them end with the link:
 * - announce (50 to 200 ms, up to 1 s more while there is much news): started by the first piece of
 *   news for it; stopped by its frame, or when it has told us of all of them itself.
 * - owed (20 ms after a full queue, then 10 ms a frame): started when announcements did not fit the
 *   link's queue, or a digest shows what the neighbour lacks; stopped when nothing is owed.
 * - answer (20 ms): started when an answer to a WANT did not fit; stopped when all are answered.
 * - ask (50 ms): started by the first want that waits for this neighbour; stopped by its WANT;
 *   again after 20 ms if that did not fit.
 * - asked (2 s, doubling to 8 s for one that is slow; sooner where another announcer is quick):
 *   started by a WANT, one for each item; stopped by the descriptor, or another announcer is asked.
 * - digest (1 min; 1 s if it did not fit): started when the link comes up; never stopped.
 *
 * Of all together:
 * - paced: started by a version that comes sooner than its node's pace allows; stopped when all
 *   that wait have had their time.
 * - proofs (as announce, and 1 s after the last were told): started by a proof that is new;
 *   stopped when it has been told. */

#define GOSSIP_ITEM_LEN (8 + 6 + VERSION_TAG_LEN) /* prefix, sequence, tag */
#define GOSSIP_ANNOUNCE_ITEMS 39                  /* to a frame: what fills a cell */
#define GOSSIP_PROOFS 4                           /* to a frame */
/* Proofs are gathered as announcements are, and for longer where the last were told just now: one
 * costs as much as four. */
#define GOSSIP_PROOF_EACH_US US_PER_S
#define GOSSIP_WANT_ITEMS 149 /* as many as fit a frame's body */
/* Announcements are gathered (GOSSIP_GATHER_*) for so much longer for each piece of news of the
 * last second, at most so much in all: the descriptors of a thousand nodes that start at once fill
 * their cells. */
#define GOSSIP_GATHER_NEWS_US (10 * US_PER_MS)
#define GOSSIP_GATHER_MORE_US US_PER_S
/* But one that has lately answered within half of GOSSIP_ASK_MAX_US is asked as soon as the first
 * has been silent for so long, and a slower one after twice what it takes: where everybody is slow
 * nobody is hurried. If that one is silent too, the next is asked after half of this, and so on. */
#define GOSSIP_HURRY_US (500 * US_PER_MS)
/* Who has left so many questions in a row unanswered is asked only where nobody else can be, and
 * waited for no longer than others. */
#define GOSSIP_SILENT 3
/* Who has left so many newcomers in a row unanswered, for GOSSIP_ASK_MAX_US at least, announces
 * what it does not have: it brings none for GOSSIP_BARRED_US, and then no more at once than its
 * rate. */
#define GOSSIP_VAIN 256
/* What another announcer is asked for, and what waits for room in the window, waits so long for
 * more of the kind. */
#define GOSSIP_ASK_GATHER_US (50 * US_PER_MS)
/* A neighbour that tells of an older version than one whose keys are new to us is asked for it, so
 * often until they have settled, for so many nodes as fit a frame. */
#define GOSSIP_OLDER_US (500 * US_PER_MS)
#define GOSSIP_ROUNDS 3 /* times that all announcers are asked; then the next digest's turn */
#define GOSSIP_DIGEST_AGE_US US_PER_MINUTE /* what is younger is still under way */
/* Asked of one neighbour and not answered yet: fits its queue of answers, and at 2,000 a second it
 * is a round trip of 128 ms. */
#define GOSSIP_WINDOW 256
#define GOSSIP_ANSWER_RATE 2000
#define GOSSIP_ANSWER_BURST 64
/* Nobody publishes twice within a second; a version that follows sooner than this is not asked for
 * until then, so that one key cannot keep every node checking signatures. Half of that second, for
 * networks bring two together. Nor before directory_version_due(). */
#define GOSSIP_PACE_US (500 * US_PER_MS)

struct gossip;

/* Directory, links and budget are borrowed for its life. NULL: no memory. */
struct gossip *gossip_new(struct directory *directory, struct links *links, struct budget *budget,
                          const struct core_random *random);
void gossip_free(struct gossip *gossip);

/* A link is established: our digest goes to it. A link that replaces another of the same neighbour
 * begins anew. */
void gossip_link_up(struct gossip *gossip, uint64_t prefix, struct mono now);
void gossip_link_down(struct gossip *gossip, uint64_t prefix);

/* A frame of type ANNOUNCE, WANT, DESCRIPTOR, DIGEST or PROOF came. DROP_NONE; DROP_MALFORMED;
 * DROP_UNKNOWN: no such neighbour, or not asked for; DROP_LIMIT: all or part of it was beyond a
 * bound; what directory_offer() says of a descriptor. *ret_news is written only if an entry is new
 * or newer: the node tells others, then calls gossip_offer_news(). */
enum drop gossip_frame(struct gossip *gossip, uint64_t from, uint8_t type, const uint8_t *body,
                       size_t length, struct now now, const struct directory_entry **ret_news);

/* Announce what the directory now holds of `prefix` (or our own) to all neighbours but `from` (0:
 * nobody) and itself. */
void gossip_offer_news(struct gossip *gossip, uint64_t prefix, uint64_t from, struct mono now);

void gossip_tick(struct gossip *gossip, struct now now);
/* When to tick next; MONO_NEVER without neighbours. */
struct mono gossip_next(const struct gossip *gossip);

#endif
