/* Handshakes: Noise_XXpsk3 in three datagrams of 1232 bytes, each under mac1. Threat: see link.h;
 * here in particular a member that replays, that names an id which it cannot prove (the
 * descriptor's signature and link key must be the handshake's), or that dials us with our own
 * identity. */
#include "daemon/core/link/link_private.h"

#include <stdlib.h>

#define PROLOGUE "p2pd 2"
#define INIT_PADDING (DATAGRAM_LEN - INIT_HEADER_LEN - 32 - 16 - 2 * MAC_LEN)
#define RESPONSE_PAYLOAD (DATAGRAM_LEN - RESPONSE_HEADER_LEN - 32 - 48 - 16 - MAC_LEN)
#define FINISH_PAYLOAD (DATAGRAM_LEN - FINISH_HEADER_LEN - 48 - 16 - MAC_LEN)
/* Message 1 is sent at 0, 0.5 and 1.5 s and given up at 3.5 s; message 3 at 0, 0.3, 0.9 and 2.1 s,
 * and given up at 4.5 s. */

/* state -> states that may follow it */
static const unsigned session_moves[SESSION_STATES] = {
    [SESSION_FREE] = 1u << SESSION_DIALLING | 1u << SESSION_RESPONDED,
    [SESSION_DIALLING] = 1u << SESSION_DIALLING | 1u << SESSION_ANSWERED | 1u << SESSION_FREE,
    [SESSION_ANSWERED] = 1u << SESSION_FINISHING | 1u << SESSION_FREE,
    [SESSION_FINISHING] = 1u << SESSION_OPEN | 1u << SESSION_FREE,
    [SESSION_RESPONDED] = 1u << SESSION_OPEN | 1u << SESSION_FREE,
    [SESSION_OPEN] = 1u << SESSION_FREE,
};

static bool is_dial(enum session_state state) {
    return state == SESSION_DIALLING || state == SESSION_ANSWERED || state == SESSION_FINISHING;
}

static void session_move(struct links *links, struct session *session, enum session_state state) {
    if (!(session_moves[session->state] >> state & 1))
        abort(); /* our own invariant: no datagram can bring this about */
    links->n_dials += (unsigned)is_dial(state) - (unsigned)is_dial(session->state);
    links->n_half_open +=
        (unsigned)(state == SESSION_RESPONDED) - (unsigned)(session->state == SESSION_RESPONDED);
    session->state = state;
}

struct session_secrets *session_secrets(struct links *links, const struct session *session) {
    unsigned slot = session->local_index & 0xff;
    return &links->secrets[slot / SESSION_SLOTS_CHUNK][slot % SESSION_SLOTS_CHUNK];
}

struct session *session_new(struct links *links, const struct address *remote,
                            const struct address *local, struct mono now) {
    for (uint32_t slot = 0; slot < LINK_SESSIONS_MAX; slot++) {
        if (links->sessions[slot])
            continue;
        struct session_secrets **chunk = &links->secrets[slot / SESSION_SLOTS_CHUNK];
        if (!*chunk)
            *chunk = sodium_malloc(SESSION_SLOTS_CHUNK * sizeof **chunk);
        struct session *session = *chunk ? calloc(1, sizeof *session) : NULL;
        if (!session)
            return NULL;
        uint32_t random;
        random_fill(links->config.random, &random, sizeof random);
        session->local_index = (random & ~UINT32_C(0xff)) | slot;
        session->remote = *remote;
        session->local = *local;
        session->started = now;
        session->link = LINK_NONE;
        links->sessions[slot] = session;
        return session;
    }
    return NULL;
}

struct session *session_find(struct links *links, uint32_t local_index) {
    struct session *session = links->sessions[local_index & 0xff];
    return session && session->local_index == local_index ? session : NULL;
}

void session_free(struct links *links, struct session *session) {
    if (!session)
        return;
    session_move(links, session, SESSION_FREE);
    links_seal(links); /* cells of this session that wait to be sealed need its key */
    sodium_memzero(session_secrets(links, session), sizeof(struct session_secrets));
    links->sessions[session->local_index & 0xff] = NULL;
    free(session->finish);
    free(session);
}

/* Write a Noise message with a fresh ephemeral key, whose secret is wiped. */
static int write_with_ephemeral(struct links *links, struct noise_handshake *noise,
                                const uint8_t *payload, size_t length, uint8_t *out, size_t room) {
    uint8_t secret[32];
    random_fill(links->config.random, secret, sizeof secret);
    int written = noise_write(noise, secret, payload, length, out, room);
    sodium_memzero(secret, sizeof secret);
    return written;
}

void session_dial(struct links *links, struct session *session, struct now now) {
    static const uint8_t padding[INIT_PADDING];
    struct noise_handshake *noise = &session_secrets(links, session)->noise;
    uint8_t *out =
        effects_datagram(links->config.effects, &session->remote, &session->local, DATAGRAM_LEN);

    session_move(links, session, SESSION_DIALLING);
    memset(session->failed, 0, sizeof session->failed);
    session->retry = mono_add(now.mono, LINK_DIAL_RETRY_US << session->tries);
    session->tries++;
    links_arm(links, session->retry);
    if (!out)
        return; /* as if message 1 were lost: it is sent again */
    noise_init(noise, &noise_xxpsk3, true, PROLOGUE, strlen(PROLOGUE),
               identity_link_key(links->config.identity), NULL, links->guard.psk);
    struct wire_writer w = wire_writer(out, DATAGRAM_LEN);
    struct wall claimed = {links_corrected(links, now.wall).us + session->minute_shift_us};
    wire_put_uint(&w, TYPE_INIT, 1);
    wire_put_uint(&w, LINK_VERSION, 1);
    wire_put_uint(&w, 0, 2);
    wire_put_uint(&w, session->local_index, 4);
    wire_put_uint(&w, (uint64_t)wall_minute(claimed), 4);
    write_with_ephemeral(links, noise, padding, sizeof padding, w.at, wire_room(&w));
    guard_mac1(&links->guard, out, DATAGRAM_LEN - 2 * MAC_LEN, out + DATAGRAM_LEN - 2 * MAC_LEN);
    memcpy(session->mac1, out + DATAGRAM_LEN - 2 * MAC_LEN, MAC_LEN);
    uint8_t *mac2 = out + DATAGRAM_LEN - MAC_LEN;
    if (session->has_cookie)
        crypto_generichash(mac2, MAC_LEN, out, DATAGRAM_LEN - MAC_LEN, session->cookie, COOKIE_LEN);
    else /* random, or an observer could tell dials with a cookie from others */
        random_fill(links->config.random, mac2, MAC_LEN);
}

/* Payload of messages 2 and 3: time, where the sender sees the other, purpose, descriptor. */
static void put_payload(struct links *links, const struct session *session, struct wall wall,
                        uint8_t *payload, size_t length) {
    struct wire_writer w = wire_writer(payload, length);

    memset(payload, 0, length);
    wire_put_uint(&w, (uint64_t)wall.us, 8);
    wire_put_address(&w, &session->remote);
    wire_put_uint(&w, session->rekey ? LINK_REKEY : session->purpose, 1);
    wire_put_uint(&w, links->descriptor_length, 2);
    wire_put(&w, links->descriptor, links->descriptor_length);
}

struct introduction { /* what the other said in its payload, checked */
    const uint8_t *descriptor;
    size_t length;
    struct descriptor decoded;
};

static enum drop get_payload(struct links *links, struct session *session, const uint8_t *payload,
                             size_t length, struct wall wall, struct introduction *ret) {
    const struct noise_handshake *noise = &session_secrets(links, session)->noise;
    struct wire_reader r = wire_reader(payload, length);
    int64_t other = (int64_t)wire_get_uint(&r, 8);
    struct address seen_as;

    wire_get_address(&r, &seen_as);
    uint8_t purpose = (uint8_t)wire_get_uint(&r, 1);
    ret->length = (size_t)wire_get_uint(&r, 2);
    ret->descriptor = wire_take(&r, ret->length);
    if (r.failed || purpose >= LINK_PURPOSES || other < 0 || other > INT64_MAX / 4)
        return DROP_MALFORMED;
    enum drop drop = descriptor_open(ret->descriptor, ret->length, &ret->decoded);
    if (drop != DROP_NONE)
        return drop;
    if (sodium_memcmp(ret->decoded.link_key, noise->remote_static, KEY_LEN) != 0)
        return DROP_AUTH;
    session->offset_us = other - wall.us;
    if (seen_as.port != 0) /* no address that we could publish has port 0 */
        session->seen_as = seen_as;
    session->peer = ret->decoded.id;
    session->peer_sequence = ret->decoded.sequence;
    if (!session->initiator) {
        session->purpose = purpose == LINK_REKEY ? LINK_WANTED : (enum link_purpose)purpose;
        session->rekey = purpose == LINK_REKEY;
    }
    return DROP_NONE;
}

static void send_cookie(struct links *links, const struct datagram *datagram, struct wall wall) {
    uint8_t cookie[COOKIE_LEN];
    struct wire_reader r = wire_reader(datagram->bytes + 4, 4);
    uint32_t receiver = (uint32_t)wire_get_uint(&r, 4);
    uint8_t *out = effects_datagram(links->config.effects, &datagram->remote, &datagram->local,
                                    COOKIE_ANSWER_LEN);
    if (!out)
        return;
    guard_cookie(&links->guard, 0, &datagram->remote, cookie);
    guard_seal_cookie(&links->guard, receiver, cookie, links_corrected(links, wall),
                      datagram->bytes + DATAGRAM_LEN - 2 * MAC_LEN, links->config.random, out);
    links->counters.cookies_sent++;
}

static enum drop send_response(struct links *links, struct session *session, struct wall wall) {
    struct noise_handshake *noise = &session_secrets(links, session)->noise;
    uint8_t payload[RESPONSE_PAYLOAD];
    uint8_t *out =
        effects_datagram(links->config.effects, &session->remote, &session->local, DATAGRAM_LEN);
    if (!out)
        return DROP_QUEUE;
    struct wire_writer w = wire_writer(out, DATAGRAM_LEN);
    wire_put_uint(&w, TYPE_RESPONSE, 1);
    wire_put_uint(&w, LINK_VERSION, 1);
    wire_put_uint(&w, 0, 2);
    wire_put_uint(&w, session->local_index, 4);
    wire_put_uint(&w, session->remote_index, 4);
    put_payload(links, session, wall, payload, sizeof payload);
    if (write_with_ephemeral(links, noise, payload, sizeof payload, w.at, wire_room(&w)) < 0) {
        memset(out, 0, DATAGRAM_LEN); /* a low-order key: the datagram goes out all zero */
        return DROP_AUTH;
    }
    guard_mac1(&links->guard, out, DATAGRAM_LEN - MAC_LEN, out + DATAGRAM_LEN - MAC_LEN);
    return DROP_NONE;
}

static enum drop admit(struct links *links, const struct datagram *datagram, uint32_t minute,
                       struct now now, bool *ret_proven) {
    int64_t ours = wall_minute(links_corrected(links, now.wall));
    const uint8_t *ephemeral = datagram->bytes + INIT_HEADER_LEN;
    bool proven = guard_cookie_is_good(&links->guard, &datagram->remote, datagram->bytes);

    if (minute > ours + 3 || minute + 3 < ours) {
        send_cookie(links, datagram,
                    now.wall); /* it tells our time, and costs no more than any refusal */
        return DROP_TIME;
    }
    /* Before a token is taken: otherwise anybody who has overheard a message 1, member or not,
     * could use up its sender's rate by repeating it. */
    if (guard_is_replay(&links->guard, ephemeral))
        return DROP_REPLAY;
    if (proven && !guard_admit_proven(&links->guard, &datagram->remote, now.mono))
        return DROP_LIMIT;
    if (!proven && !guard_admit(&links->guard, &datagram->remote, now.mono)) {
        send_cookie(links, datagram, now.wall);
        return DROP_LIMIT;
    }
    if (!place_make(links, &datagram->remote, proven)) {
        if (!proven) /* with a cookie it may get a place */
            send_cookie(links, datagram, now.wall);
        links->counters.half_open_refused++;
        return DROP_LIMIT;
    }
    /* Those that were turned away are not entered: no rate limits them, and they would overwrite
     * the entries that are worth remembering. */
    guard_enter(&links->guard, ephemeral, proven);
    *ret_proven = proven;
    return DROP_NONE;
}

static enum drop receive_init(struct links *links, const struct datagram *datagram,
                              struct now now) {
    uint8_t padding[DATAGRAM_LEN];
    size_t length;
    struct wire_reader r = wire_reader(datagram->bytes + 4, INIT_HEADER_LEN - 4);
    uint32_t sender = (uint32_t)wire_get_uint(&r, 4), minute = (uint32_t)wire_get_uint(&r, 4);

    if (!guard_mac1_is_good(&links->guard, datagram->bytes, DATAGRAM_LEN - 2 * MAC_LEN))
        return DROP_MAC;
    bool proven = false;
    enum drop drop = admit(links, datagram, minute, now, &proven);
    if (drop != DROP_NONE)
        return drop;
    struct session *session = session_new(links, &datagram->remote, &datagram->local, now.mono);
    if (!session)
        return DROP_LIMIT;
    session->proven = proven;
    session_move(links, session, SESSION_RESPONDED);
    session->remote_index = sender;
    session->retry = mono_add(now.mono, LINK_HALF_OPEN_US);
    links_arm(links, session->retry);
    struct noise_handshake *noise = &session_secrets(links, session)->noise;
    noise_init(noise, &noise_xxpsk3, false, PROLOGUE, strlen(PROLOGUE),
               identity_link_key(links->config.identity), NULL, links->guard.psk);
    drop = noise_read(noise, datagram->bytes + INIT_HEADER_LEN,
                      DATAGRAM_LEN - INIT_HEADER_LEN - 2 * MAC_LEN, padding, &length);
    if (drop == DROP_NONE)
        drop = send_response(links, session, now.wall);
    if (drop != DROP_NONE)
        session_free(links, session);
    return drop;
}

static void emit_descriptor(struct link_event *event, const struct introduction *introduction) {
    memcpy(event->descriptor, introduction->descriptor, introduction->length);
    event->descriptor_length = introduction->length;
}

static enum drop receive_response(struct links *links, const struct datagram *datagram,
                                  struct now now) {
    uint8_t payload[RESPONSE_PAYLOAD];
    struct introduction introduction;
    size_t length;
    struct wire_reader r = wire_reader(datagram->bytes + 4, 8);
    uint32_t sender = (uint32_t)wire_get_uint(&r, 4), receiver = (uint32_t)wire_get_uint(&r, 4);
    struct session *session = session_find(links, receiver);

    if (!guard_mac1_is_good(&links->guard, datagram->bytes, DATAGRAM_LEN - MAC_LEN))
        return DROP_MAC;
    if (!session || session->state != SESSION_DIALLING)
        return DROP_UNKNOWN;
    /* Reading a message 2 costs a Diffie-Hellman before anything shows who sent it, and whoever
     * knows our index could have us compute as fast as it sends. So failures are bounded. The
     * answer may come from another address than was dialled; failures from other addresses are
     * counted apart, so that they do not use up the dialled one's. At the bound the dial goes on:
     * the next message 1 counts anew, and outlasts an attacker that can forge answers only for a
     * while. */
    unsigned *failed = &session->failed[!address_is_same_ip(&session->remote, &datagram->remote)];
    if (*failed >= LINK_RESPONSES_FAILED_MAX)
        return DROP_LIMIT;
    enum drop drop =
        noise_read(&session_secrets(links, session)->noise, datagram->bytes + RESPONSE_HEADER_LEN,
                   DATAGRAM_LEN - RESPONSE_HEADER_LEN - MAC_LEN, payload, &length);
    if (drop == DROP_NONE)
        drop = get_payload(links, session, payload, length, now.wall, &introduction);
    if (drop != DROP_NONE) {
        ++*failed;
        return drop;
    }
    session->remote_index = sender;
    session->local = datagram->local;
    session_move(links, session, SESSION_ANSWERED);
    session->retry = mono_add(now.mono, LINK_HALF_OPEN_US);
    struct link_event *event = link_emit(links, LINK_EVENT_ANSWERED, NULL);
    event->session = session->local_index;
    event->address = session->remote;
    event->link.id = session->peer;
    event->link.prefix = node_id_prefix(&session->peer);
    event->link.seen_as = session->seen_as;
    event->link.purpose = session->purpose;
    event->link.address = datagram->remote;
    emit_descriptor(event, &introduction);
    return DROP_NONE;
}

void links_forget(struct links *links, uint32_t index) {
    struct session *session = session_find(links, index);
    if (session && session->state == SESSION_ANSWERED)
        session_free(links, session);
}

static void keep_keys(struct links *links, struct session *session) {
    struct session_secrets *secrets = session_secrets(links, session);
    noise_split(&secrets->noise, secrets->send, secrets->receive);
    noise_wipe(&secrets->noise);
}

/* End a dial that reached ourselves, or a neighbour at another of its addresses. */
static void refuse(struct links *links, struct session *session, enum link_refusal refusal) {
    struct link_event *event = link_emit(links, LINK_EVENT_REFUSED, NULL);
    event->address = session->remote;
    event->link.id = session->peer;
    event->refusal = refusal;
    session_free(links, session);
}

void links_finish(struct links *links, uint32_t index, struct now now) {
    struct session *session = session_find(links, index);
    uint8_t payload[FINISH_PAYLOAD];

    if (!session || session->state != SESSION_ANSWERED)
        return;
    if (node_id_is_equal(&session->peer, identity_id(links->config.identity))) {
        refuse(links, session, LINK_SELF);
        return;
    }
    const struct link *known = link_of(links, &session->peer);
    if (known && !session->rekey && known->view.state == LINK_UP) {
        refuse(links, session, LINK_DUPLICATE);
        return;
    }
    session->finish = calloc(1, DATAGRAM_LEN);
    if (!session->finish) {
        session_dropped(links, session);
        return;
    }
    struct wire_writer w = wire_writer(session->finish, DATAGRAM_LEN);
    wire_put_uint(&w, TYPE_FINISH, 1);
    wire_put_uint(&w, LINK_VERSION, 1);
    wire_put_uint(&w, 0, 2);
    wire_put_uint(&w, session->remote_index, 4);
    put_payload(links, session, now.wall, payload, sizeof payload);
    if (noise_write(&session_secrets(links, session)->noise, NULL, payload, sizeof payload, w.at,
                    wire_room(&w)) < 0) {
        session_dropped(links, session);
        return;
    }
    guard_mac1(&links->guard, session->finish, DATAGRAM_LEN - MAC_LEN,
               session->finish + DATAGRAM_LEN - MAC_LEN);
    keep_keys(links, session);
    session_move(links, session, SESSION_FINISHING);
    session->tries = 0;
    session_repeat_finish(links, session);
    session->retry = mono_add(now.mono, LINK_FINISH_RETRY_US);
    session->tries = 1;
    links_arm(links, session->retry);
}

/* Send the kept datagram once more: message 3 of a dialler, the verdict of a responder. */
void session_repeat_finish(struct links *links, struct session *session) {
    uint8_t *out = session->finish ? effects_datagram(links->config.effects, &session->remote,
                                                      &session->local, DATAGRAM_LEN)
                                   : NULL;
    if (out)
        memcpy(out, session->finish, DATAGRAM_LEN);
}

static enum drop receive_finish(struct links *links, const struct datagram *datagram,
                                struct now now) {
    uint8_t payload[FINISH_PAYLOAD];
    struct introduction introduction;
    size_t length;
    struct wire_reader r = wire_reader(datagram->bytes + 4, 4);
    struct session *session = session_find(links, (uint32_t)wire_get_uint(&r, 4));

    if (!guard_mac1_is_good(&links->guard, datagram->bytes, DATAGRAM_LEN - MAC_LEN))
        return DROP_MAC;
    if (!session || session->initiator || !address_is_equal(&session->remote, &datagram->remote))
        return DROP_UNKNOWN;
    if (session->state == SESSION_OPEN && !session->peer_confirmed) {
        session_repeat_finish(links, session); /* our verdict was lost: send it again */
        return DROP_NONE;
    }
    if (session->state != SESSION_RESPONDED)
        return DROP_REPLAY;
    enum drop drop =
        noise_read(&session_secrets(links, session)->noise, datagram->bytes + FINISH_HEADER_LEN,
                   DATAGRAM_LEN - FINISH_HEADER_LEN - MAC_LEN, payload, &length);
    if (drop == DROP_NONE)
        drop = get_payload(links, session, payload, length, now.wall, &introduction);
    if (drop == DROP_NONE && node_id_is_equal(&session->peer, identity_id(links->config.identity)))
        drop = DROP_AUTH;
    if (drop != DROP_NONE) {
        if (++session->vain >= LINK_FINISH_VAIN_MAX)
            session_free(links, session);
        return drop;
    }
    keep_keys(links, session);
    session_move(links, session, SESSION_OPEN);
    session->opened = now.mono;
    links->counters.handshakes++;
    bool known = link_of(links, &session->peer) != NULL, rekey = session->rekey;
    struct link *link = link_adopt(links, session, now);
    if (!link)
        return DROP_LIMIT;
    if (known)
        link_welcome(links, link, session, now.mono);
    if (!known || !rekey)
        emit_descriptor(link_emit(links, known ? LINK_EVENT_UP : LINK_EVENT_ASKED, link),
                        &introduction);
    return DROP_NONE;
}

static enum drop receive_cookie(struct links *links, const struct datagram *datagram,
                                struct now now) {
    struct wire_reader r = wire_reader(datagram->bytes + 4, 4);
    struct session *session = session_find(links, (uint32_t)wire_get_uint(&r, 4));
    uint8_t cookie[COOKIE_LEN];
    struct wall other;

    if (!session || session->state != SESSION_DIALLING ||
        !address_is_equal(&session->remote, &datagram->remote))
        return DROP_UNKNOWN;
    if (!guard_open_cookie(&links->guard, datagram->bytes, session->mac1, cookie, &other))
        return DROP_AUTH;
    if (other.us < 0 || other.us > INT64_MAX / 4)
        return DROP_MALFORMED;
    if (++session->cookies > LINK_COOKIES_MAX)
        return DROP_LIMIT;
    memcpy(session->cookie, cookie, COOKIE_LEN);
    session->has_cookie = true;
    int64_t shift = other.us - links_corrected(links, now.wall).us;
    /* Minutes that differ by up to 3 are accepted, so within 2 min of the other's clock our own
     * will do. */
    session->minute_shift_us = shift > 2 * US_PER_MINUTE || shift < -2 * US_PER_MINUTE ? shift : 0;
    session->tries = 0;
    session_dial(links, session, now);
    return DROP_NONE;
}

enum drop session_handshake(struct links *links, const struct datagram *datagram, struct now now) {
    size_t wanted = datagram->bytes[0] == TYPE_COOKIE ? COOKIE_ANSWER_LEN : DATAGRAM_LEN;

    if (datagram->length != wanted)
        return DROP_MALFORMED;
    if (datagram->bytes[1] != LINK_VERSION)
        return DROP_VERSION;
    switch ((enum datagram_type)datagram->bytes[0]) {
    case TYPE_INIT:
        return receive_init(links, datagram, now);
    case TYPE_RESPONSE:
        return receive_response(links, datagram, now);
    case TYPE_FINISH:
        return receive_finish(links, datagram, now);
    case TYPE_COOKIE:
        return receive_cookie(links, datagram, now);
    default:
        return DROP_MALFORMED;
    }
}

void session_confirmed(struct links *links, struct session *session) {
    session->peer_confirmed = true;
    free(session->finish);
    session->finish = NULL;
    if (session->state == SESSION_FINISHING) {
        session_move(links, session, SESSION_OPEN);
        links->counters.handshakes++;
    }
}

void session_dropped(struct links *links, struct session *session) {
    if (session->initiator) {
        struct link_event *event = link_emit(links, LINK_EVENT_DIAL_FAILED, NULL);
        event->address = session->remote;
        event->link.purpose = session->purpose;
    }
    session_free(links, session);
}

void session_tick(struct links *links, struct session *session, struct now now) {
    if (session->state == SESSION_OPEN && session->link != LINK_NONE)
        return;
    if (!mono_is_due(session->retry, now.mono)) {
        links_arm(links, session->retry);
        return;
    }
    if (session->state == SESSION_DIALLING && session->tries < LINK_DIAL_TRIES) {
        session_dial(links, session, now);
    } else if (session->state == SESSION_FINISHING && session->tries < LINK_FINISH_TRIES) {
        session_repeat_finish(links, session);
        session->retry = mono_add(now.mono, LINK_FINISH_RETRY_US << session->tries++);
        links_arm(links, session->retry);
    } else if (is_dial(session->state)) {
        session_dropped(links, session);
    } else {
        session_free(links, session); /* half open, or refused and lingering for a lost verdict */
    }
}
