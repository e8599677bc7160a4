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

#include "daemon/core/directory/directory.h"
#include "daemon/core/directory/directory_version.h"
#include "daemon/core/link/link.h"

#define GOSSIP_ITEM_LEN (8 + 6 + VERSION_TAG_LEN) /* prefix, sequence, tag */
#define GOSSIP_ANNOUNCE_ITEMS 39                  /* to a frame: what fills a cell */
#define GOSSIP_PROOFS 4                           /* to a frame */
/* Proofs that are checked: a second, and at once after quiet, whoever brings them; and beside those
 * of each neighbour one in so many seconds, and so many at once, so that whoever brings them
 * without end does not keep others' out. What a digest has us tell a neighbour has the former pace
 * too. More are repeated by later digests. */
#define GOSSIP_PROOF_RATE 4
#define GOSSIP_PROOF_BURST 32
#define GOSSIP_PROOF_PART_S 4
#define GOSSIP_PROOF_PART_BURST 4
/* They are gathered as announcements are, and for longer where the last were told just now: one
 * costs as much as four. */
#define GOSSIP_PROOF_EACH_US US_PER_S
#define GOSSIP_PROOFS_UNTOLD_MAX 64
#define GOSSIP_WANT_ITEMS 149 /* as many as fit a frame's body */
/* Announcements are gathered for so long, at random between the two. */
#define GOSSIP_GATHER_MIN_US (50 * US_PER_MS)
#define GOSSIP_GATHER_MAX_US (200 * US_PER_MS)
/* And for so much longer for each piece of news of the last second, at most so much in all: the
 * descriptors of a thousand nodes that start at once fill their cells. */
#define GOSSIP_GATHER_NEWS_US (10 * US_PER_MS)
#define GOSSIP_GATHER_MORE_US US_PER_S
#define GOSSIP_ASK_US (2 * US_PER_S) /* the next announcer is asked after this */
/* Or after twice as long as last time, up to so much, where an announcer answers after all what it
 * was asked too long ago: its machine is busy, and two copies of everything would keep it so. */
#define GOSSIP_ASK_MAX_US (8 * US_PER_S)
/* But one that has lately answered within half of this is asked as soon as the first has been
 * silent for so long, and a slower one after twice what it takes: where everybody is slow nobody is
 * hurried. If that one is silent too, the next is asked after half of this, and so on. */
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
#define GOSSIP_DIGEST_US US_PER_MINUTE
#define GOSSIP_DIGEST_AGE_US US_PER_MINUTE /* what is younger is still under way */
/* Asked of one neighbour and not answered yet: fits its queue of answers, and at 2,000 a second it
 * is a round trip of 128 ms. */
#define GOSSIP_WINDOW 256
#define GOSSIP_ANSWERS_MAX 512 /* queued for one neighbour; beyond it WANTs are dropped */
#define GOSSIP_ANSWER_RATE 2000
#define GOSSIP_ANSWER_BURST 64
/* What a neighbour is given beside what was announced to it as news: all that is known, twice and
 * some more, and all of it anew in so long. An honest one asks for each version once, again if an
 * answer is lost, and for everything when it has been restarted; it has other neighbours then. The
 * allowance outlives the link. */
#define GOSSIP_ASKED_SPARE 64
#define GOSSIP_ASKED_ALL_S 600
/* New ids a second that one neighbour may bring, after so many at first. The allowance outlives the
 * link, for as long as there is room. */
#define GOSSIP_NEWCOMER_RATE 50
#define GOSSIP_NEWCOMER_BURST 5000
#define GOSSIP_DIGEST_BURST 3 /* digests taken from a neighbour at once; one more every 30 s */
/* Wants held: in all, and at most from one neighbour; of newcomers so many, and as many of nodes
 * that are known, which are asked for first. At the former the newest of whoever has most gives way
 * to one who has less; at the latter an announcement is forgotten. The next digest repeats
 * either. */
#define GOSSIP_WANTS_MAX 20000
#define GOSSIP_WANTS_NEIGHBOUR_MAX 8000
/* After a forged or malformed descriptor nothing is asked of its bearer. */
#define GOSSIP_BARRED_US US_PER_MINUTE
/* Nobody publishes twice within a second; a version that follows sooner than this is not asked for
 * until then, so that one key cannot keep every node checking signatures. Half of that second, for
 * networks bring two together. Nor before directory_version_due(). */
#define GOSSIP_PACE_US (500 * US_PER_MS)
/* Versions that wait for that, of all neighbours; each is one of those of the announcer that has
 * fewest. At the bound the newest of whoever has most gives way to one who has less. */
#define GOSSIP_PACED_MAX 4096

struct gossip;

/* Directory and links are borrowed for its life. NULL: no memory. */
struct gossip *gossip_new(struct directory *directory, struct links *links,
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
