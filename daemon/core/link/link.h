/* Authenticated sessions with neighbours over UDP: handshakes, cookies, cells, replay windows,
 * rekeying, roaming, liveness. It says who is there and moves frames; whether a link is wanted is
 * the pool's decision, what frames mean is the node's.
 *
 * Threat: anyone can send anything from any source address. Outsiders get silence (mac1), floods
 * get cookies before any Diffie-Hellman and hold no state, no answer is larger than its question,
 * no address gets more than it sent until it has answered a challenge. Implements p2pd-protocol(7)
 * LINKS. */
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
 * - dial: message 1 again. Started with each message 1 (500 ms, doubling, 3 tries); stopped by
 *   message 2, by links_forget(), or the dial has failed.
 * - finish: message 3 again. Started by message 2 (300 ms, doubling, 4 tries); stopped by the first
 *   cell from the other end, or the session ends.
 * - half-open: started by an admitted message 1 (5 s); stopped by message 3, or the session ends.
 * - linger: a refused session answers a repeated message 3. Started when it is refused or its
 *   probation ends (5 s); ends the session.
 *
 * of a link:
 * - silence (link.timeout): started anew by every cell that authenticates; ends the link.
 * - probation: started when the link begins as one (5 s); stopped by VERDICT, or ends the link.
 * - heartbeat (link.heartbeat; the end that did not dial an eighth later): started anew by every
 *   cell heard; a PING goes out.
 * - unanswered: started by the first cell sent that wants a sign of life; after 1 s a PING each
 *   300 ms, after 3 s the link is suspect, then one a second. Stopped by any cell heard.
 * - rekey (10 to 11 min; the end that did not begin 2 min later; at once when the clock moved):
 *   started when a session is adopted; dials, then again each 30 s; stopped by the new session.
 * - previous session (30 s, 10 s more while the new one is not heard): started when a session is
 *   replaced; ends the old one.
 *
 * Beside these the cookie secret is renewed (2 min) in the tick that finds it old, and a challenge
 * of a new address goes out once a second at most; neither wakes anybody. */

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

/* One neighbour. Slot numbers are stable while it stands; `serial` tells two tenants of a slot
 * apart. */
struct link_view {
    unsigned slot;
    uint64_t serial;
    enum link_state state;
    struct node_id id;
    uint64_t prefix;
    struct address address, local; /* where it is now */
    struct address seen_as;        /* where it sees us */
    bool dialled;                  /* by us */
    enum link_purpose purpose;
    struct mono since, heard; /* heard: anything of it, last */
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

/* Our signed descriptor as handshakes carry it, and what corrects the machine's wall time (see
 * links_clock_offset). */
void links_set_descriptor(struct links *links, const uint8_t *bytes, size_t length);
void links_set_correction(struct links *links, int64_t correction_us);

/* Ask the node at `address` for a link. 0; -EALREADY: being dialled; -ENOBUFS: LINK_DIALS_MAX under
 * way. Ends in an event: UP, REFUSED, DIAL_FAILED (or nothing, when it turns out to be a neighbour
 * already). With LINK_PROBE only who is there is asked: ANSWERED (then links_forget()) or
 * DIAL_FAILED, whose link.purpose says so. The second message proves the other's key; the third,
 * which would tell it ours, is never sent. */
int links_dial(struct links *links, const struct address *address, enum link_purpose purpose,
               struct now now);
bool links_is_dialling(const struct links *links, const struct address *address);
/* Dials under way, without those that look for lost neighbours or renew keys. */
unsigned links_dials(const struct links *links);

/* ---- What came ---- */
struct link_cell { /* an opened cell: frames yet to be read */
    unsigned slot;
    const uint8_t *at, *end;
};
struct link_frame {
    enum frame_type type;
    const uint8_t *body;
    size_t length;
};
struct link_opening {   /* a cell's, worked out ahead of its turn */
    uint8_t *bytes;     /* the datagram's */
    const uint8_t *key; /* of the session that it names; NULL: none just now */
    bool is_good;
};
/* Open the cells of many datagrams at once, in place, on as many processors as there are: nothing
 * else changes. Each datagram is then to be given to links_receive_opened() with its opening, in
 * order and before the links are used otherwise. */
void links_open(struct links *links, const struct datagram *datagrams, size_t n,
                struct link_opening *ret_openings);
enum drop links_receive_opened(struct links *links, const struct datagram *datagram,
                               struct link_opening *opening, struct now now,
                               struct link_cell *ret_cell);
/* Take a datagram in, opening it in place. On DROP_NONE with ret_cell->slot != LINK_NONE there are
 * frames to read, in the datagram's bytes. */
enum drop links_receive(struct links *links, const struct datagram *datagram, struct now now,
                        struct link_cell *ret_cell);
/* The next frame that is not the link's own business; false at the end. *ret_drop says if the rest
 * was malformed. */
bool links_next_frame(struct links *links, struct link_cell *cell, struct mono now,
                      struct link_frame *ret_frame, enum drop *ret_drop);

/* The last two are our own finding and never on the wire: it was ourselves, or a neighbour under
 * another address. */
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
    LINK_EVENT_ANSWERED, /* a dial to `address` was answered, from link.address, by who has proved
                            to be link.id: set correction and descriptor, then links_finish() */
    LINK_EVENT_ASKED,    /* somebody dialled us: give links_verdict() */
    LINK_EVENT_UP,
    LINK_EVENT_REFUSED, /* our dial: reason, referrals */
    LINK_EVENT_DOWN,    /* an established link ended: why */
    LINK_EVENT_SUSPECT,
    LINK_EVENT_RECOVERED,
    LINK_EVENT_MOVED,       /* it roamed: address */
    LINK_EVENT_REKEYED,     /* new keys, and a new reading of its clock */
    LINK_EVENT_DIAL_FAILED, /* nobody answered at address */
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
    uint8_t descriptor[DESCRIPTOR_MAX]; /* ANSWERED, ASKED: the other's, signature checked */
    size_t descriptor_length;
};
/* Pop the oldest event; false if there is none. Drain after every call that may cause some. */
bool links_event(struct links *links, struct link_event *ret_event);

/* A probe was answered, which is all that it was for. */
void links_forget(struct links *links, uint32_t index);
/* Send message 3 of the handshake that was answered. */
void links_finish(struct links *links, uint32_t index, struct now now);
/* Answer ASKED. Accepted: the link is UP (an event says so). Refused: told, with referrals, and
 * closed. */
void links_verdict(struct links *links, unsigned slot, enum link_refusal refusal,
                   const struct address *referrals, size_t n, struct mono now);
/* Say goodbye and end a link; causes a DOWN event if it was up. */
void links_close(struct links *links, unsigned slot, enum link_close reason, struct mono now);

/* ---- What goes ---- */
/* Put a frame into the neighbour's next cell (they share one; it goes at links_flush). 0;
 * -ENOTCONN; -ENOBUFS. */
int links_send_frame(struct links *links, uint64_t prefix, uint8_t type, const void *body,
                     size_t length, struct mono now);
/* Send an onion packet to the established neighbour `prefix`. 0; -ENOTCONN: no such link is up;
 * -ENOBUFS: queue full. */
int links_send_onion(struct links *links, uint64_t prefix, const uint8_t packet[ONION_LEN],
                     struct mono now);
/* The same without a copy: begin gives the room for ONION_LEN bytes, in the cell that will carry
 * them (NULL: too many in this step); sending takes it back, whatever it returns, as cancelling
 * does. What is sent must be whole by links_seal(). */
uint8_t *links_onion_begin(struct links *links);
int links_onion_send(struct links *links, uint64_t prefix, uint8_t *onion, struct mono now);
void links_onion_cancel(struct links *links, uint8_t *onion);
/* Seal the cells that go out in this step. links_flush() does. */
void links_seal(struct links *links);
/* What sealing takes of memory, beyond what the links have from the beginning. */
size_t links_memory(const struct links *links);
/* Everything gathered goes out, sealed. Once at the end of each step. */
void links_flush(struct links *links, struct mono now);

void links_tick(struct links *links, struct now now);
struct mono links_next(const struct links *links);
/* An interface changed: PING everybody now. */
void links_probe_all(struct links *links, struct mono now);

/* ---- What there is ---- */
/* The link in a slot (0..LINK_SLOTS-1), or NULL. */
const struct link_view *links_at(const struct links *links, unsigned slot);
/* The link with a node, in any state but free, or NULL. */
const struct link_view *links_find(const struct links *links, uint64_t prefix);
/* What stands for where a neighbour is, for bounds that outlive it: its IPv4 address or IPv6 /64.
 * 0: nothing does (no such neighbour, or a private address: one machine has any number of nodes or
 * of addresses there). */
uint64_t links_source(const struct links *links, uint64_t prefix);
unsigned links_count(const struct links *links, bool established);
/* How far this machine's clock is behind: the median over 0 (ourselves) and the offsets of all that
 * are up or just answered, the middle two averaged; and what is corrected of it. */
int64_t links_clock_error(const struct links *links);
/* Do the neighbours alone, by their median, agree with our clock as it is corrected? False without
 * any. */
bool links_clock_is_known(struct links *links);
int64_t links_clock_offset(const struct links *links);
/* The machine's wall clock was set forward by so much: what was measured against it is shifted, and
 * measured anew soon. */
void links_clock_stepped(struct links *links, int64_t step_us, struct mono now);

struct links_counters {
    uint64_t handshakes, cookies_sent, half_open_refused;
};
const struct links_counters *links_counters(const struct links *links);

#endif
