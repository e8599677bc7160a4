/* Gossip, by which every node comes to hold every descriptor. News is announced to neighbours; what
 * we lack is asked of one announcer at a time; digests are compared, and what was lost is announced
 * again. Gossip never decides what is valid (the directory does), nor when our own descriptor is
 * renewed (the node does), and never dials.
 *
 * Threat: a neighbour may announce what does not exist, answer with rubbish, ask without end, or
 * pour in identities. All that it makes us hold is bounded and charged to its own share, so that it
 * shuts nobody else's news out. A neighbour that does not answer is passed over. A descriptor that
 * it did not announce is dropped. A forged one bars the neighbour that brought it for a while,
 * since honest ones pass on only what they have checked. If a node's versions come faster than an
 * honest node publishes, they are asked for at the honest pace, so that nobody makes the whole
 * network carry more. Proofs against nodes are checked at a limited rate in all, since any node can
 * make many against itself. And a neighbour is given each descriptor about as often as there is a
 * new version, whatever identity it takes meanwhile. Implements p2pd-protocol(7) DIRECTORY. */
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
 *   news for the neighbour; stopped when the frame is sent, or when the neighbour has announced all
 *   of that news to us.
 * - owed (20 ms after a full queue, 10 ms after 8 frames): started when announcements did not fit
 *   the link's queue, or a digest shows what the neighbour lacks; stopped when all is announced.
 * - answer (20 ms after a full queue, or until the rate allows the next): started when an answer to
 *   a WANT could not be sent; stopped when all are.
 * - ask (50 ms): started by the first want that waits for this neighbour; stopped when it is sent a
 *   WANT; again after 20 ms if the link's queue is full.
 * - asked (2 s, doubling to 8 s for a neighbour that is slow; sooner if another announcer is
 *   quick): started by a WANT, one for each item; stopped by the descriptor, or when another
 *   announcer is asked.
 * - older (50 ms, then every 500 ms): started when the neighbour announces an older version of a
 *   node whose keys have yet to settle (gossip_older.c); stopped when no such node is left.
 * - digest (1 min; 1 s if it did not fit): started when the link comes up; never stopped.
 *
 * Of all together:
 * - paced: started by a version that comes sooner than its node's pace allows; stopped when all
 *   versions that wait so have been asked for.
 * - proofs (50 to 200 ms, and not within 1 s of the last): started by a new proof; stopped when it
 *   has been sent. */

#define GOSSIP_ITEM_LEN (8 + 6 + VERSION_TAG_LEN) /* prefix, sequence, tag */
#define GOSSIP_ANNOUNCE_ITEMS 39                  /* to a frame: what fills a cell */
#define GOSSIP_PROOFS 4                           /* to a frame */
/* After proofs were sent the next ones are gathered for so much longer: a frame with one costs as
 * much as with four. */
#define GOSSIP_PROOF_EACH_US US_PER_S
#define GOSSIP_WANT_ITEMS 149 /* as many as fit a frame's body */
/* Announcements are gathered (GOSSIP_GATHER_*) for GOSSIP_GATHER_NEWS_US longer for each piece of
 * news of the last second, GOSSIP_GATHER_MORE_US at most in all: so the news of a thousand nodes
 * that start at once fills its cells. */
#define GOSSIP_GATHER_NEWS_US (10 * US_PER_MS)
#define GOSSIP_GATHER_MORE_US US_PER_S
/* Another announcer is asked once the first has been silent for so long, but not sooner than twice
 * the time that answers of the other one take, and only if that one has answered before: where
 * everybody is slow nobody is hurried. If the other one is silent too, the next is asked after half
 * of this, and so on. */
#define GOSSIP_HURRY_US (500 * US_PER_MS)
/* A neighbour that has left so many questions in a row unanswered is asked only if no other
 * announcer can be, and waited for no longer than GOSSIP_ASK_US. */
#define GOSSIP_SILENT 3
/* A neighbour that has left so many questions for new nodes in a row unanswered, for
 * GOSSIP_ASK_MAX_US at least, announces what it does not have. Then it can bring no new nodes for
 * GOSSIP_BARRED_US, and after that has its rate without the burst. */
#define GOSSIP_VAIN 256
/* A want that passes to another announcer, or waits for room in the window, waits so long, so that
 * one WANT asks for several. */
#define GOSSIP_ASK_GATHER_US (50 * US_PER_MS)
/* A neighbour that announces an older version of a node whose keys have yet to settle is asked for
 * that version so often until they have, for as many nodes as fit a frame. */
#define GOSSIP_OLDER_US (500 * US_PER_MS)
#define GOSSIP_ROUNDS 3 /* all announcers are asked so often, then a digest must bring it anew */
#define GOSSIP_DIGEST_AGE_US US_PER_MINUTE /* what is younger is still under way */
/* So many questions to one neighbour may be unanswered: fewer than fit its queue of answers, and at
 * its 2,000 answers a second as many as a round trip of 128 ms takes. */
#define GOSSIP_WINDOW 256
#define GOSSIP_ANSWER_RATE 2000
#define GOSSIP_ANSWER_BURST 64
/* An honest node does not publish twice within a second. A version that is announced sooner than
 * this after the one before is not asked for until then, so that one key cannot keep every node
 * checking signatures. This is half of that second, since networks delay one version more than the
 * next. directory_version_due() must have come, too. */
#define GOSSIP_PACE_US (500 * US_PER_MS)

struct gossip;

/* Directory, links and budget are borrowed for its life. NULL: no memory. */
struct gossip *gossip_new(struct directory *directory, struct links *links, struct budget *budget,
                          const struct core_random *random);
void gossip_free(struct gossip *gossip);
/* limits.memory has changed. */
void gossip_refit(struct gossip *gossip);

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
