/* What the five files of this module share: link.c (links), link_cell.c (cells), link_session.c
 * (handshakes and sessions), link_guard.c (macs, cookies, replays of message 1, load), link_place.c
 * (half-open handshakes). */
#ifndef P2PD_LINK_PRIVATE_H
#define P2PD_LINK_PRIVATE_H

#include "daemon/core/base/limits.h"
#include "daemon/core/base/rate.h"
#include "daemon/core/base/wirebuf.h"
#include "daemon/core/link/link.h"

#include <sodium.h>

#define LINK_VERSION 2
#define MAC_LEN 16
#define COOKIE_LEN 16
#define DATA_HEADER_LEN 16
#define INIT_HEADER_LEN 12     /* type version reserved(2) sender(4) minute(4) */
#define RESPONSE_HEADER_LEN 12 /* type version reserved(2) sender(4) receiver(4) */
#define FINISH_HEADER_LEN 8    /* type version reserved(2) receiver(4) */
#define COOKIE_ANSWER_LEN                                                                          \
    72 /* type version reserved(2) receiver(4) nonce(24) sealed(cookie 16, time 8, tag 16) */

enum datagram_type { TYPE_INIT = 1, TYPE_RESPONSE, TYPE_FINISH, TYPE_COOKIE, TYPE_DATA };

/* ---- Replay window (RFC 6479, section 2: a ring of words, the oldest is cleared as the front
 * moves) ---- */
#define REPLAY_WORDS                                                                               \
    (REPLAY_BITS / 64 + 1) /* one word more: a full window stays when one is cleared */
struct replay_window {
    uint64_t last; /* highest counter accepted, plus one */
    uint64_t words[REPLAY_WORDS];
};
bool replay_is_new(const struct replay_window *window, uint64_t counter);
void replay_enter(struct replay_window *window, uint64_t counter);

/* ---- Guard: admission control before the first Diffie-Hellman ---- */
#define GUARD_SOURCES 256
/* Rates of sources that have shown their cookie. More of them than of GUARD_SOURCES: to use up all
 * of them takes GUARD_PROVEN times one source's rate. */
#define GUARD_PROVEN 1024
/* One message 1 that is remembered. */
struct guard_seen { /* small, because it lies in locked memory */
    uint32_t tag;   /* of the hash; 0: empty */
    uint32_t entry; /* counts up: of the GUARD_WAYS places the oldest is overwritten */
};
struct guard {
    uint8_t mac1_key[KEY_LEN], cookie_key[KEY_LEN], psk[KEY_LEN]; /* secrets: one network's */
    uint8_t cookie_secret[2][KEY_LEN];                            /* now, and the one before */
    struct mono cookie_rotated;
    struct rate all, sources[GUARD_SOURCES], proven[GUARD_PROVEN];
    /* Ephemeral keys of messages 1 that were worked on, by a keyed hash, so that no sender can
     * choose which entry it overwrites. [1]: messages that came with a valid cookie, which a sender
     * that cannot receive at its claimed address never overwrites. */
    struct guard_seen seen[2][GUARD_SEEN];
    uint8_t seen_key[crypto_shorthash_KEYBYTES];
    uint32_t n_seen;
};
void guard_init(struct guard *guard, const uint8_t network_key[KEY_LEN],
                const struct core_random *random, struct mono now);
/* Keyed mac over the `length` bytes that precede it in the datagram. */
void guard_mac1(const struct guard *guard, const uint8_t *bytes, size_t length,
                uint8_t ret_mac[MAC_LEN]);
bool guard_mac1_is_good(const struct guard *guard, const uint8_t *bytes, size_t length);
/* The key under which a source is counted: its IPv4 address, or its IPv6 /64, since one host can
 * use all addresses of a /64. */
uint64_t guard_source(const struct address *address);
/* May a handshake from this source be worked on without a cookie (true: a token was taken)? */
bool guard_admit(struct guard *guard, const struct address *source, struct mono now);
/* The same for a source that has shown its cookie: only its own rate limits it, and only a sender
 * that receives what is sent to that address can use this rate up. */
bool guard_admit_proven(struct guard *guard, const struct address *source, struct mono now);
void guard_cookie(struct guard *guard, unsigned which, const struct address *source,
                  uint8_t ret_cookie[COOKIE_LEN]);
bool guard_cookie_is_good(struct guard *guard, const struct address *source, const uint8_t *init);
void guard_rotate(struct guard *guard, const struct core_random *random, struct mono now);
/* Was a message 1 with this ephemeral key worked on lately? Changes nothing, since the datagram
 * that asks may be anybody's. */
bool guard_is_replay(const struct guard *guard, const uint8_t ephemeral[KEY_LEN]);
/* Remember this ephemeral key: its message 1 is worked on now. */
void guard_enter(struct guard *guard, const uint8_t ephemeral[KEY_LEN], bool proven);
void guard_seal_cookie(const struct guard *guard, uint32_t receiver,
                       const uint8_t cookie[COOKIE_LEN], struct wall wall,
                       const uint8_t mac1[MAC_LEN], const struct core_random *random,
                       uint8_t ret[COOKIE_ANSWER_LEN]);
bool guard_open_cookie(const struct guard *guard, const uint8_t answer[COOKIE_ANSWER_LEN],
                       const uint8_t mac1[MAC_LEN], uint8_t ret_cookie[COOKIE_LEN],
                       struct wall *ret_wall);

/* ---- Sessions ---- */
enum session_state {
    SESSION_FREE = 0,
    SESSION_DIALLING,  /* message 1 is out */
    SESSION_ANSWERED,  /* message 2 came: waits for links_finish() or links_forget() */
    SESSION_FINISHING, /* message 3 is out: repeated until a cell comes */
    SESSION_RESPONDED, /* message 2 is out: half open */
    SESSION_OPEN,
    SESSION_STATES
};
struct session_secrets { /* in locked memory; a handshake while it lasts, then two keys */
    struct noise_handshake noise;
    uint8_t send[KEY_LEN], receive[KEY_LEN];
};
struct session {
    enum session_state state;
    uint32_t local_index, remote_index; /* the low byte of local_index is our table's slot */
    bool initiator, peer_confirmed;     /* confirmed: we have opened a cell of the other end */
    bool proven; /* we respond, and message 1 came with our cookie for its source */
    enum link_purpose purpose;
    bool rekey;
    struct address remote, local;
    struct address seen_as;
    struct mono started, opened, retry;
    unsigned tries, cookies, vain; /* vain: third messages that could not be read */
    unsigned failed[2]; /* messages 2 that failed since message 1 was sent: from the dialled IP
                           address, from others */
    bool has_cookie;
    uint8_t cookie[COOKIE_LEN], mac1[MAC_LEN];
    int64_t minute_shift_us; /* the other's clock as its cookie answer told it, less ours */
    int64_t offset_us;       /* the other's uncorrected wall time less ours */
    struct node_id peer;
    uint64_t peer_sequence;
    uint8_t *finish;   /* message 3, kept for repetition */
    struct mono heard; /* when a cell was last opened with its keys */
    uint64_t counter;  /* next to send */
    struct replay_window window;
    unsigned link; /* slot, LINK_NONE */
};
#define SESSION_SLOTS_CHUNK 16

struct link {
    struct link_view view;
    struct session *current, *previous;
    struct mono previous_until;
    struct mono
        unanswered_since; /* MONO_NEVER: all cells sent that want an answer were followed by one */
    struct mono next_ping, rekey_at;
    uint8_t ping_token[8], challenge_token[8];
    struct mono ping_sent, challenge_sent;
    struct address challenged, challenged_local;
    bool ping_out, challenge_out;
    unsigned replacements;
    struct mono replacements_since;
    uint8_t cell[CELL_LEN]; /* small frames gather here */
    size_t cell_used;
    bool cell_expects; /* more than a PONG is in it */
};

/* Room for all events that can occur between two drains, so that none is lost for want of memory:
 * every dial ends, every link comes up, is suspected and ends. */
#define LINK_EVENTS_MAX (LINK_DIALS_MAX + 3 * LINK_SLOTS)

struct sealing {        /* a cell on its way out, filled, its header written */
    const uint8_t *key; /* its session's: in locked memory */
    uint64_t counter;
    uint8_t *out;
};

/* Whose identity a second daemon uses: ours, or a neighbour's. Each of the two warnings has a rate
 * limit of its own, so that one cannot suppress the other. */
enum copy_of { COPY_OF_OURS, COPY_OF_OTHERS, COPY_KINDS };
struct links {
    struct links_config config;
    struct guard guard;
    int64_t correction_us;
    bool clock_is_told, clock_is_known; /* is_known: a cached answer, valid while is_told */
    uint8_t descriptor[DESCRIPTOR_MAX];
    size_t descriptor_length;
    struct session *sessions[LINK_SESSIONS_MAX];
    struct session_secrets *secrets[LINK_SESSIONS_MAX / SESSION_SLOTS_CHUNK];
    unsigned n_half_open, n_dials;
    struct link *links[LINK_SLOTS];
    uint64_t prefixes[LINK_SLOTS]; /* of `links`, side by side: the next hop of every packet is
                                      looked up here */
    uint64_t serial;
    struct mono next;          /* no deadline is earlier; recomputed at each tick */
    struct link_event *events; /* a ring of LINK_EVENTS_MAX */
    size_t first_event, n_events;
    struct links_counters counters;
    struct address from; /* where the cell being read came from */
    struct mono read_at;
    struct sealing *sealings; /* of this step, in order; EFFECTS_DATAGRAMS_MAX at most */
    size_t n_sealings, sealings_capacity;
    struct mono copy_told[COPY_KINDS]; /* when a second copy of an identity was last warned of */
};

static inline struct wall links_corrected(const struct links *links, struct wall wall) {
    return (struct wall){wall.us + links->correction_us};
}
static inline void links_arm(struct links *links, struct mono due) {
    links->next = mono_min(links->next, due);
}

/* link_session.c */
struct session *session_new(struct links *links, const struct address *remote,
                            const struct address *local, struct mono now);
struct session *session_find(struct links *links, uint32_t local_index);
void session_free(struct links *links, struct session *session);
struct session_secrets *session_secrets(struct links *links, const struct session *session);
void session_dial(struct links *links, struct session *session, struct now now);
void session_tick(struct links *links, struct session *session, struct now now);
enum drop session_handshake(struct links *links, const struct datagram *datagram, struct now now);
void session_repeat_finish(struct links *links, struct session *session);
/* Free a session that leads to no link, for want of an answer, memory or room. If we dialled, an
 * event DIAL_FAILED says so. */
void session_dropped(struct links *links, struct session *session);
void session_confirmed(struct links *links, struct session *session);

/* link_place.c */
/* Make room for one more half-open handshake, if need be by ending another one. False: there is
 * none. Sources that have shown their cookie come first, because a sender can claim any number of
 * other addresses. Among proven sources the one that holds fewer handshakes comes first. */
bool place_make(struct links *links, const struct address *remote, bool proven);

/* link.c */
struct link *link_of(struct links *links, const struct node_id *id);
/* A handshake ended well: give the session to its link (made if there is none). NULL: no room, or a
 * second daemon uses the neighbour's identity; the session is freed. */
struct link *link_adopt(struct links *links, struct session *session, struct now now);
void link_welcome(struct links *links, struct link *link, struct session *session, struct mono now);
/* Log a warning, once a minute at most, because a member can cause any number of them. */
void link_tell_copy(struct links *links, enum copy_of whose, struct mono now, const char *text);
struct link *link_find(const struct links *links, uint64_t prefix);
void link_heard(struct links *links, struct link *link, struct mono now);
void link_end(struct links *links, struct link *link, enum link_close reason);
void link_take_verdict(struct links *links, struct link *link, const uint8_t *body, size_t length,
                       struct mono now);
/* Add an event to fill in; never NULL. */
struct link_event *link_emit(struct links *links, enum link_event_kind kind,
                             const struct link *link);

/* link_cell.c */
/* A datagram whose cell is yet to be filled and sealed; NULL when the step has too many. */
uint8_t *link_cell_datagram(struct links *links, const struct link *link);
/* Write the header of a datagram and have the 1200 bytes behind it sealed in place: by
 * links_seal(), together with the step's other cells, or at once if there is no memory to list
 * them. */
void link_seal_cell(struct links *links, struct session *session, uint8_t *out);
void link_sent(struct links *links, struct link *link, bool expects, struct mono now);
/* The frames that wait go out, if there are any. False: the step has no datagram left, and they
 * wait for the next one. */
bool link_send_cell(struct links *links, struct link *link, struct mono now);
void link_ping(struct links *links, struct link *link, struct mono now);
int link_put_frame(struct links *links, struct link *link, uint8_t type, const void *body,
                   size_t length, struct mono now);

#endif
