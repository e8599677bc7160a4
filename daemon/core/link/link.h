/* Authenticated sessions with neighbours over UDP: handshakes, cookies, cells, replay windows,
 * rekeying, roaming, liveness. This module knows which neighbours are there and carries frames to
 * and from them. Whether a link is wanted is decided by the pool, what a frame means by the node.
 *
 * Threat: anyone can send anything from any source address. A sender without the network key gets
 * no answer (its mac1 is wrong). In a flood a sender gets a cookie before a Diffie-Hellman is
 * computed for it, and no state is kept. No answer is larger than its question. No address gets
 * more than it sent until it has answered a challenge. Implements p2pd-protocol(7) LINKS. */
#ifndef P2PD_LINK_H
#define P2PD_LINK_H

#include "daemon/core/base/base.h"
#include "daemon/core/base/limits.h"
#include "daemon/core/seam/effects.h"
#include "daemon/core/wire/identity.h"
#include "daemon/core/wire/onion.h"

/* Timers (links->next is never later than the earliest; links_tick() serves what is due):
 *
 * of a session, `retry`:
 * - dial: message 1 is sent again. Started with each message 1 (500 ms, doubling, 3 tries); stopped
 *   by message 2. After the last try the dial has failed.
 * - answered: message 2 came, and links_finish() or links_forget() is awaited. Started by message 2
 *   (5 s). At its end the dial has failed.
 * - finish: message 3 is sent again. Started by links_finish() (300 ms, doubling, 4 tries); stopped
 *   by the first accepted cell from the other end. After the last try the dial has failed.
 * - half-open: started by an admitted message 1 (5 s); stopped by message 3. At its end the session
 *   is freed.
 * - linger: a refused session answers a repeated message 3 with its verdict. Started by the refusal
 *   (5 s). At its end the session is freed.
 *
 * of a link:
 * - silence (link.timeout): restarted by every cell that authenticates; ends the link.
 * - probation: the link waits for its verdict. Started with the link (5 s); stopped by the verdict,
 *   or ends the link.
 * - heartbeat (link.heartbeat; 9/8 of it at the end that did not dial, so that one end asks):
 *   restarted by every cell heard; sends a PING.
 * - unanswered: started by the first cell sent with more than PONGs in it; after 1 s a PING every
 *   300 ms, after 3 s the link is suspect, then a PING every second. Stopped by any cell heard.
 * - rekey (10 to 11 min; at the session's responder 2 min later; at once when the machine's clock
 *   was set): started when a session is adopted; dials for new keys, again every 30 s; stopped by
 *   the new session.
 * - previous session (30 s, then 10 s at a time until the new one has been heard): started when a
 *   session is replaced; ends the old one.
 *
 * Two more times are compared but never cause a tick: the cookie secret is renewed in the first
 * tick after 2 min, and a new address is challenged once a second at most. */

#define FRAME_HEADER_LEN 3 /* type(1) length(2) */
#define FRAME_BODY_MAX (CELL_LEN - FRAME_HEADER_LEN)
#define LINK_NONE UINT32_MAX

enum frame_type {
    FRAME_PADDING = 0, /* the rest of the cell is zero */
    FRAME_PING = 1,
    FRAME_PONG = 2,
    FRAME_ONION = 3,    /* ONION_LEN */
    FRAME_VERDICT = 4,  /* the responder's answer to a dial: accepted or a reason, and referrals */
    FRAME_CLOSE = 5,    /* reason(1) */
    FRAME_ANNOUNCE = 6, /* (prefix 8, sequence 6, tag 16)* */
    FRAME_WANT = 7,     /* (prefix 8)* */
    FRAME_DESCRIPTOR = 8,
    FRAME_DIGEST = 9,     /* 256 * 4 */
    FRAME_INTRODUCE = 10, /* link to this node: id(32) address(18) */
    FRAME_PROOF = 11,     /* (two versions of one sequence, PROOF_LEN)* */
};

/* Why a dial is made: carried in message 3, so that the responder can judge. */
enum link_purpose {
    LINK_WANTED = 0,
    LINK_JOIN,
    LINK_INTRODUCED,
    LINK_HEAL,
    LINK_REKEY,
    LINK_PURPOSES,
    LINK_PROBE = LINK_PURPOSES, /* our own, never on the wire: see links_dial() */
};

enum link_state { LINK_FREE = 0, LINK_PROBATION, LINK_UP, LINK_SUSPECT };

/* One neighbour. Its slot number stays the same as long as the link lasts. `serial` is different
 * for every link, so it tells apart two links that had the same slot one after the other. */
struct link_view {
    unsigned slot;
    uint64_t serial;
    enum link_state state;
    struct node_id id;
    uint64_t prefix;
    struct address address, local; /* the neighbour's address now; ours towards it */
    struct address seen_as;        /* our address, as the neighbour sees it */
    bool dialled;                  /* by us */
    enum link_purpose purpose;
    struct mono since, heard; /* heard: when its last cell came */
    struct wall since_wall;
    int64_t rtt_us;          /* smoothed; -1 unmeasured */
    int64_t clock_offset_us; /* its wall time less ours, uncorrected */
    uint64_t bytes_in, bytes_out;
};

struct links;

struct links_config {
    uint8_t network_key[KEY_LEN];
    const struct identity *identity;
    int64_t heartbeat_us, timeout_us;
    struct effects *effects;
    const struct core_random *random;
    const struct core_trace *trace;
    struct core_compute compute; /* zero: none */
};
struct links *links_new(const struct links_config *config);
void links_free(struct links *links);
void links_configure(struct links *links, int64_t heartbeat_us, int64_t timeout_us);

/* Set our signed descriptor, which handshakes carry, and the correction that is added to the
 * machine's wall time (see links_clock_offset()). */
void links_set_descriptor(struct links *links, const uint8_t *bytes, size_t length);
void links_set_correction(struct links *links, int64_t correction_us);

/* Ask the node at `address` for a link. 0; -EALREADY: being dialled; -ENOBUFS: LINK_DIALS_MAX under
 * way, or no session free. Ends in an event: UP, REFUSED or DIAL_FAILED; or in none, if at the time
 * of the verdict the node is our neighbour by another session. With LINK_PROBE we only ask who is
 * there: the event is ANSWERED (then call links_forget()), or DIAL_FAILED with LINK_PROBE in
 * link.purpose. Message 2 proves the other's key; message 3, which would tell it ours, is not
 * sent. */
int links_dial(struct links *links, const struct address *address, enum link_purpose purpose,
               struct now now);
bool links_is_dialling(const struct links *links, const struct address *address);
/* Dials under way, but for those of purpose LINK_HEAL, LINK_PROBE or LINK_REKEY. */
unsigned links_dials(const struct links *links);

/* ---- Receiving ---- */
struct link_cell { /* an opened cell: frames yet to be read */
    unsigned slot;
    const uint8_t *at, *end;
};
struct link_frame {
    enum frame_type type;
    const uint8_t *body;
    size_t length;
};
struct link_opening {   /* of a cell that links_open() decrypts ahead of its turn */
    uint8_t *bytes;     /* of the datagram */
    const uint8_t *key; /* receiving key of the session that it names; NULL: not decrypted yet */
    bool is_good;
};
/* Decrypt the cells of many datagrams at once, in place, on as many processors as there are. No
 * other state changes. Then give each datagram to links_receive_opened() with its opening, in order
 * and before the links are used otherwise. */
void links_open(struct links *links, const struct datagram *datagrams, size_t n,
                struct link_opening *ret_openings);
enum drop links_receive_opened(struct links *links, const struct datagram *datagram,
                               struct link_opening *opening, struct now now,
                               struct link_cell *ret_cell);
/* Take a datagram in, opening it in place. On DROP_NONE with ret_cell->slot != LINK_NONE there are
 * frames to read, in the datagram's bytes. */
enum drop links_receive(struct links *links, const struct datagram *datagram, struct now now,
                        struct link_cell *ret_cell);
/* The next frame that is for the caller: PING, PONG, VERDICT and CLOSE are handled here. False at
 * the end; *ret_drop says if the rest was malformed. */
bool links_next_frame(struct links *links, struct link_cell *cell, struct mono now,
                      struct link_frame *ret_frame, enum drop *ret_drop);

/* LINK_SELF and LINK_DUPLICATE are never on the wire: the dialler finds out by itself that it
 * dialled itself, or a neighbour at another of its addresses. */
enum link_refusal { LINK_ACCEPTED = 0, LINK_FULL, LINK_SELF, LINK_DUPLICATE };
enum link_close {
    LINK_CLOSED_SILENT = 0,
    LINK_CLOSED_BYE,
    LINK_CLOSED_REPLACED,
    LINK_CLOSED_LEAVING,
    LINK_CLOSED_COPY
};
#define LINK_REFERRALS_MAX 8

enum link_event_kind {
    LINK_EVENT_ANSWERED, /* link.id answered a dial to `address`, from link.address, and proved its
                            key: set correction and descriptor, then links_finish() */
    LINK_EVENT_ASKED,    /* a node dialled us: answer by links_verdict() */
    LINK_EVENT_UP,
    LINK_EVENT_REFUSED, /* our dial was refused: see refusal, referrals */
    LINK_EVENT_DOWN,    /* an established link ended: see close */
    LINK_EVENT_SUSPECT,
    LINK_EVENT_RECOVERED,
    LINK_EVENT_MOVED,       /* the neighbour roamed to `address` */
    LINK_EVENT_REKEYED,     /* new keys, and a new reading of its clock */
    LINK_EVENT_DIAL_FAILED, /* no link came of our dial to `address` */
};
struct link_event {
    enum link_event_kind kind;
    struct link_view link; /* a copy: the slot may be free by now */
    struct address address;
    uint32_t session; /* ANSWERED: for links_finish */
    enum link_refusal refusal;
    enum link_close close;
    struct address referrals[LINK_REFERRALS_MAX]; /* REFUSED, and UP of a link that we dialled */
    size_t n_referrals;
    uint8_t descriptor[DESCRIPTOR_MAX]; /* ANSWERED, ASKED, UP if a neighbour shook hands anew: its
                                           descriptor, signature checked */
    size_t descriptor_length;
};
/* Pop the oldest event; false if there is none. Drain after every call that may cause some. */
bool links_event(struct links *links, struct link_event *ret_event);

/* Free the session of a dial that was answered (`index`: event.session) and is to go no further: a
 * probe needs no more than the answer. */
void links_forget(struct links *links, uint32_t index);
/* Send message 3 of the handshake that was answered. */
void links_finish(struct links *links, uint32_t index, struct now now);
/* Answer an ASKED event. Accepted: the link comes up, with an UP event. Refused: the other end is
 * told so and the link ends. The verdict carries the referrals either way. */
void links_verdict(struct links *links, unsigned slot, enum link_refusal refusal,
                   const struct address *referrals, size_t n, struct mono now);
/* Say goodbye and end a link; causes a DOWN event if it was up. */
void links_close(struct links *links, unsigned slot, enum link_close reason, struct mono now);

/* ---- Sending ---- */
/* Put a frame into the neighbour's next cell, which small frames share and which goes out at
 * links_flush() or when it is full. 0; -ENOTCONN: no such link is up; -EMSGSIZE: longer than
 * FRAME_BODY_MAX; -ENOBUFS: the cell is full, and the step has no datagram left for it. */
int links_send_frame(struct links *links, uint64_t prefix, uint8_t type, const void *body,
                     size_t length, struct mono now);
/* Send an onion packet to the established neighbour `prefix`. 0; -ENOTCONN: no such link is up;
 * -ENOBUFS: this step has no buffer left. */
int links_send_onion(struct links *links, uint64_t prefix, const uint8_t packet[ONION_LEN],
                     struct mono now);
/* The same without a copy. links_onion_begin() returns room for ONION_LEN bytes inside the cell
 * that will carry them, to be filled before links_seal(); NULL: this step has no buffer left.
 * links_onion_send() and links_onion_cancel() both take the room back, whatever the former
 * returns. */
uint8_t *links_onion_begin(struct links *links);
int links_onion_send(struct links *links, uint64_t prefix, uint8_t *onion, struct mono now);
void links_onion_cancel(struct links *links, uint8_t *onion);
/* Encrypt the cells queued so far in this step. links_flush() calls it. */
void links_seal(struct links *links);
/* Bytes held by the list of cells to seal, which grows as needed and is never shrunk. */
size_t links_memory(const struct links *links);
/* Send the cells that frames were gathered in, and seal all cells. Call once, at the end of each
 * step. */
void links_flush(struct links *links, struct mono now);

void links_tick(struct links *links, struct now now);
struct mono links_next(const struct links *links);
/* An interface changed: PING everybody now. */
void links_probe_all(struct links *links, struct mono now);

/* ---- Links and clocks ---- */
/* The link in a slot (0..LINK_SLOTS-1), or NULL. */
const struct link_view *links_at(const struct links *links, unsigned slot);
/* The link with a node, in any state but free, or NULL. */
const struct link_view *links_find(const struct links *links, uint64_t prefix);
/* A key for the network that a neighbour is in, for limits that must outlive its link: its IPv4
 * address or IPv6 /64. 0: there is none, because no such neighbour is linked or its address is
 * private, where one machine may have any number of nodes or of addresses. */
uint64_t links_source(const struct links *links, uint64_t prefix);
unsigned links_count(const struct links *links, bool established);
/* Microseconds by which this machine's clock is behind: the median of 0 (our own clock) and the
 * clock offsets of all nodes with an established link or an answered dial. Of an even number the
 * middle two are averaged. */
int64_t links_clock_error(const struct links *links);
/* Does our clock, as corrected, agree with the median of the neighbours' clocks (within 3 min)?
 * False without any neighbour. */
bool links_clock_is_known(struct links *links);
/* links_clock_error(), cut to LINKS_CLOCK_MAX_US either way: what the clock is to be corrected
 * by. */
int64_t links_clock_offset(const struct links *links);
/* The machine's wall clock was set forward by step_us (back, if negative): shift the offsets that
 * were measured against it, and rekey every link now, which measures them anew. */
void links_clock_stepped(struct links *links, int64_t step_us, struct mono now);

struct links_counters {
    uint64_t handshakes, cookies_sent, half_open_refused;
};
const struct links_counters *links_counters(const struct links *links);

#endif
