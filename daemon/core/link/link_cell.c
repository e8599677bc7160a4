/* Cells: frames put together, sealed and sent; opened, checked for replays and read. Threat: see
 * link.h; here above all an authentic datagram that an attacker sends on from another address,
 * which must not move the link there. */
#include "daemon/core/link/link_private.h"

#include <errno.h>
#include <stdlib.h>

#define CELL_NS 1000 /* time to seal or open one cell, about */

/* ---- Cells out ---- */

/* Noise: four zero bytes, then the counter, little-endian. */
static void put_nonce(uint64_t counter,
                      uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES]) {
    memset(nonce, 0, 4);
    for (unsigned i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(counter >> (8 * i));
}

static void seal(void *item) {
    const struct sealing *sealing = item;
    uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES], *out = sealing->out;

    put_nonce(sealing->counter, nonce);
    crypto_aead_chacha20poly1305_ietf_encrypt(out + DATA_HEADER_LEN, NULL, out + DATA_HEADER_LEN,
                                              CELL_LEN, out, DATA_HEADER_LEN, NULL, nonce,
                                              sealing->key);
}

void links_seal(struct links *links) {
    compute_each(&links->config.compute, seal, links->sealings, sizeof *links->sealings,
                 links->n_sealings, CELL_NS);
    links->n_sealings = 0;
}

size_t links_memory(const struct links *links) {
    return links->sealings_capacity * sizeof *links->sealings;
}

static bool sealings_grow(struct links *links) {
    if (links->n_sealings < links->sealings_capacity)
        return true;
    size_t capacity = links->sealings_capacity ? links->sealings_capacity * 2 : 64;
    struct sealing *larger = realloc(links->sealings, capacity * sizeof *larger);
    if (!larger)
        return false;
    links->sealings = larger;
    links->sealings_capacity = capacity;
    return true;
}

void link_seal_cell(struct links *links, struct session *session, uint8_t *out) {
    struct sealing sealing = {session_secrets(links, session)->send, session->counter++, out};
    struct wire_writer w = wire_writer(out, DATA_HEADER_LEN);

    wire_put_uint(&w, (uint64_t)TYPE_DATA << 24, 4);
    wire_put_uint(&w, session->remote_index, 4);
    wire_put_uint(&w, sealing.counter, 8);
    if (sealings_grow(links))
        links->sealings[links->n_sealings++] = sealing;
    else
        seal(&sealing);
}

/* Note that a cell went out. `expects`: the other end must be heard within LINK_UNANSWERED_US, or
 * it is sent PINGs. A cell of PONGs alone expects nothing, or two idle ends would answer each other
 * for ever. */
void link_sent(struct links *links, struct link *link, bool expects, struct mono now) {
    link->view.bytes_out += DATAGRAM_LEN;
    if (expects && link->unanswered_since.us == INT64_MAX) {
        link->unanswered_since = now;
        links_arm(links, mono_add(now, LINK_UNANSWERED_US));
    }
}

/* A datagram whose cell is yet to be filled and sealed, or NULL when the step has too many. */
uint8_t *link_cell_datagram(struct links *links, const struct link *link) {
    return effects_datagram(links->config.effects, &link->view.address, &link->view.local,
                            DATAGRAM_LEN);
}

bool link_send_cell(struct links *links, struct link *link, struct mono now) {
    bool has_frames = link->cell_used > 0 && link->current;
    uint8_t *out = has_frames ? link_cell_datagram(links, link) : NULL;

    if (has_frames && !out) {
        links_arm(links, now); /* the next step has datagrams again */
        return false;
    }
    if (out) {
        memcpy(out + DATA_HEADER_LEN, link->cell, link->cell_used);
        memset(out + DATA_HEADER_LEN + link->cell_used, 0, CELL_LEN - link->cell_used);
        link_seal_cell(links, link->current, out);
        link_sent(links, link, link->cell_expects, now);
    }
    link->cell_used = 0;
    link->cell_expects = false;
    return true;
}

int link_put_frame(struct links *links, struct link *link, uint8_t type, const void *body,
                   size_t length, struct mono now) {
    if (length > FRAME_BODY_MAX)
        return -EMSGSIZE;
    if (link->cell_used + FRAME_HEADER_LEN + length > CELL_LEN && !link_send_cell(links, link, now))
        return -ENOBUFS;
    struct wire_writer w = wire_writer(link->cell + link->cell_used, CELL_LEN - link->cell_used);
    wire_put_uint(&w, type, 1);
    wire_put_uint(&w, length, 2);
    wire_put(&w, body, length);
    link->cell_used += wire_length(&w);
    link->cell_expects |= type != FRAME_PONG;
    return 0;
}

int links_send_frame(struct links *links, uint64_t prefix, uint8_t type, const void *body,
                     size_t length, struct mono now) {
    struct link *link = link_find(links, prefix);
    if (!link || link->view.state == LINK_PROBATION)
        return -ENOTCONN;
    return link_put_frame(links, link, type, body, length, now);
}

#define ONION_AT (DATA_HEADER_LEN + FRAME_HEADER_LEN)

uint8_t *links_onion_begin(struct links *links) {
    uint8_t *out = effects_buffer(links->config.effects);
    return out ? out + ONION_AT : NULL;
}

void links_onion_cancel(struct links *links, uint8_t *onion) {
    effects_buffer_back(links->config.effects, onion - ONION_AT);
}

int links_onion_send(struct links *links, uint64_t prefix, uint8_t *onion, struct mono now) {
    struct link *link = link_find(links, prefix);
    if (!link || link->view.state == LINK_PROBATION) {
        links_onion_cancel(links, onion);
        return -ENOTCONN;
    }
    uint8_t *out = onion - ONION_AT;
    struct wire_writer w = wire_writer(out + DATA_HEADER_LEN, FRAME_HEADER_LEN);
    wire_put_uint(&w, FRAME_ONION, 1);
    wire_put_uint(&w, ONION_LEN, 2);
    effects_send(links->config.effects, out, &link->view.address, &link->view.local, DATAGRAM_LEN);
    link_seal_cell(links, link->current, out);
    link_sent(links, link, true, now);
    return 0;
}

int links_send_onion(struct links *links, uint64_t prefix, const uint8_t packet[ONION_LEN],
                     struct mono now) {
    uint8_t *onion = links_onion_begin(links);
    if (!onion)
        return -ENOBUFS;
    memcpy(onion, packet, ONION_LEN);
    return links_onion_send(links, prefix, onion, now);
}

void links_flush(struct links *links, struct mono now) {
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        if (links->links[i] && links->links[i]->cell_used > 0)
            link_send_cell(links, links->links[i], now);
    links_seal(links);
}

void link_ping(struct links *links, struct link *link, struct mono now) {
    random_fill(links->config.random, link->ping_token, sizeof link->ping_token);
    link->ping_sent = now;
    link->ping_out = true;
    link_put_frame(links, link, FRAME_PING, link->ping_token, sizeof link->ping_token, now);
}

void links_probe_all(struct links *links, struct mono now) {
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        if (links->links[i] && links->links[i]->view.state != LINK_PROBATION)
            link_ping(links, links->links[i], now);
}

/* ---- Cells in ---- */

/* An authentic datagram came from another address: either the neighbour has moved, or an attacker
 * sends on copies. Send a PING with a token of its own there; the link moves when that token comes
 * back from there. */
static void challenge(struct links *links, struct link *link, const struct datagram *datagram,
                      struct mono now) {
    uint8_t *out;

    if (now.us - link->challenge_sent.us < LINK_CHALLENGE_US)
        return; /* even after an answer: a move costs the directory more than the sender */
    out =
        effects_datagram(links->config.effects, &datagram->remote, &datagram->local, DATAGRAM_LEN);
    if (!out)
        return;
    random_fill(links->config.random, link->challenge_token, sizeof link->challenge_token);
    link->challenge_out = true;
    link->challenge_sent = now;
    link->challenged = datagram->remote;
    link->challenged_local = datagram->local;
    struct wire_writer w = wire_writer(out + DATA_HEADER_LEN, CELL_LEN);
    memset(out, 0, DATAGRAM_LEN);
    wire_put_uint(&w, FRAME_PING, 1);
    wire_put_uint(&w, sizeof link->challenge_token, 2);
    wire_put(&w, link->challenge_token, sizeof link->challenge_token);
    link_seal_cell(links, link->current, out);
}

static void receive_pong(struct links *links, struct link *link, const uint8_t *body, size_t length,
                         struct mono now) {
    if (length != sizeof link->ping_token)
        return;
    if (link->ping_out && sodium_memcmp(body, link->ping_token, length) == 0) {
        int64_t sample = now.us - link->ping_sent.us;
        link->ping_out = false;
        link->view.rtt_us = link->view.rtt_us < 0 ? sample : (7 * link->view.rtt_us + sample) / 8;
    } else if (link->challenge_out && address_is_equal(&links->from, &link->challenged) &&
               sodium_memcmp(body, link->challenge_token, length) == 0) {
        link->challenge_out = false;
        link->view.address = link->challenged;
        link->view.local = link->challenged_local;
        link_emit(links, LINK_EVENT_MOVED, link);
    }
}

/* The session that a cell names, if we know it and the counter has not been seen. NULL: *ret_drop
 * says why. links_open() calls this before the earlier datagrams of the step are processed, so
 * receive_data() looks again. */
static struct session *cell_session(struct links *links, const struct datagram *datagram,
                                    enum drop *ret_drop) {
    struct wire_reader r = wire_reader(datagram->bytes, DATA_HEADER_LEN);

    if (datagram->length != DATAGRAM_LEN || wire_get_uint(&r, 4) != (uint64_t)TYPE_DATA << 24) {
        *ret_drop = DROP_MALFORMED;
        return NULL;
    }
    struct session *session = session_find(links, (uint32_t)wire_get_uint(&r, 4));
    uint64_t counter = wire_get_uint(&r, 8);
    *ret_drop = DROP_UNKNOWN;
    if (!session || (session->state != SESSION_OPEN && session->state != SESSION_FINISHING))
        return NULL;
    *ret_drop = counter == UINT64_MAX || !replay_is_new(&session->window, counter) ? DROP_REPLAY
                                                                                   : DROP_NONE;
    return *ret_drop == DROP_NONE ? session : NULL;
}

static uint64_t cell_counter(const uint8_t *datagram) {
    struct wire_reader r = wire_reader(datagram + 8, 8);
    return wire_get_uint(&r, 8);
}

static void open_cell(void *item) {
    struct link_opening *opening = item;
    uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES], *cell;

    if (!opening->key)
        return;
    cell = opening->bytes + DATA_HEADER_LEN;
    put_nonce(cell_counter(opening->bytes), nonce);
    opening->is_good = crypto_aead_chacha20poly1305_ietf_decrypt(
                           cell, NULL, NULL, cell, DATAGRAM_LEN - DATA_HEADER_LEN, opening->bytes,
                           DATA_HEADER_LEN, nonce, opening->key) == 0;
}

void links_open(struct links *links, const struct datagram *datagrams, size_t n,
                struct link_opening *ret_openings) {
    enum drop drop;
    size_t known = 0; /* cells of unknown sessions are not decrypted and wake no thread */

    for (size_t i = 0; i < n; i++) {
        const struct session *session = cell_session(links, &datagrams[i], &drop);
        ret_openings[i] = (struct link_opening){.bytes = datagrams[i].bytes};
        if (session)
            ret_openings[i].key = session_secrets(links, session)->receive;
        known += session != NULL;
    }
    if (known > 0)
        compute_each(&links->config.compute, open_cell, ret_openings, sizeof *ret_openings, n,
                     (unsigned)(CELL_NS * known / n));
}

/* May this cell make the session, which we dialled and which no cell has confirmed yet, a link's?
 * From a new neighbour it must be VERDICT or CLOSE. A node that is our neighbour by another session
 * already may begin with any cell. If its verdict refuses, only this session is freed and the link
 * stays: both ends dialled at once, and it had room for its own dial alone. */
static bool is_answer_to_dial(struct links *links, struct session *session, const uint8_t *cell) {
    const struct link *neighbour = link_of(links, &session->peer);

    if (!neighbour || neighbour->view.state == LINK_PROBATION)
        /* Any other cell overtook the verdict, or the verdict was lost: our repeated message 3
         * brings it again. */
        return cell[0] == FRAME_VERDICT || cell[0] == FRAME_CLOSE;
    if (cell[0] != FRAME_VERDICT || cell[FRAME_HEADER_LEN] == LINK_ACCEPTED)
        return true;
    session_free(links, session);
    return false;
}

/* `opening` may have been made before the earlier datagrams of the step were processed. It still
 * holds if its key is that of the session: a session never replaces its keys. */
static enum drop receive_data(struct links *links, const struct datagram *datagram,
                              struct link_opening *opening, struct now now,
                              struct link_cell *ret_cell) {
    enum drop drop;
    struct session *session = cell_session(links, datagram, &drop);
    const uint8_t *cell = datagram->bytes + DATA_HEADER_LEN;

    if (!session)
        return drop;
    const uint8_t *key = session_secrets(links, session)->receive;
    if (!opening->key) {
        opening->key = key;
        open_cell(opening);
    }
    if (opening->key != key || !opening->is_good)
        return DROP_AUTH;
    links->read_at = now.mono;
    replay_enter(&session->window, cell_counter(datagram->bytes));
    session->heard = now.mono;
    if (session->state == SESSION_FINISHING && !is_answer_to_dial(links, session, cell))
        return DROP_NONE;
    if (!session->peer_confirmed) {
        bool dialled = session->state == SESSION_FINISHING;
        session_confirmed(links, session);
        if (dialled && !link_adopt(links, session, now))
            return DROP_LIMIT;
    }
    if (session->link == LINK_NONE)
        return DROP_NONE; /* a session that we refused: its cells are ignored */
    struct link *link = links->links[session->link];
    links->from = datagram->remote;
    link->view.bytes_in += DATAGRAM_LEN;
    link_heard(links, link, now.mono);
    if (session == link->current && !address_is_equal(&datagram->remote, &link->view.address))
        challenge(links, link, datagram, now.mono);
    *ret_cell = (struct link_cell){session->link, cell, cell + CELL_LEN};
    return DROP_NONE;
}

enum drop links_receive_opened(struct links *links, const struct datagram *datagram,
                               struct link_opening *opening, struct now now,
                               struct link_cell *ret_cell) {
    ret_cell->slot = LINK_NONE;
    if (datagram->length < COOKIE_ANSWER_LEN)
        return DROP_MALFORMED;
    if (datagram->bytes[0] == TYPE_DATA)
        return receive_data(links, datagram, opening, now, ret_cell);
    return session_handshake(links, datagram, now);
}

enum drop links_receive(struct links *links, const struct datagram *datagram, struct now now,
                        struct link_cell *ret_cell) {
    struct link_opening opening = {.bytes = datagram->bytes};
    return links_receive_opened(links, datagram, &opening, now, ret_cell);
}

/* The link's own frames. Returns false if this ended the link. */
static bool own_frame(struct links *links, struct link *link, const struct link_frame *frame,
                      struct mono now) {
    switch (frame->type) {
    case FRAME_PING:
        if (frame->length == sizeof link->ping_token)
            link_put_frame(links, link, FRAME_PONG, frame->body, frame->length, now);
        return true;
    case FRAME_PONG:
        receive_pong(links, link, frame->body, frame->length, now);
        return true;
    case FRAME_CLOSE:
        if (frame->length == 1 && frame->body[0] == LINK_CLOSED_COPY)
            link_tell_copy(links, COPY_OF_OURS, now,
                           "a neighbour says that our identity is in use by another daemon too: "
                           "give each its own state folder");
        else if (link->view.state == LINK_PROBATION && link->current && link->current->initiator)
            return true; /* a dialler waits for the verdict and ignores CLOSE before it */
        link_end(links, link,
                 frame->length == 1 && frame->body[0] <= LINK_CLOSED_COPY &&
                         frame->body[0] != LINK_CLOSED_SILENT
                     ? (enum link_close)frame->body[0]
                     : LINK_CLOSED_BYE);
        return false;
    default: { /* FRAME_VERDICT */
        unsigned slot = link->view.slot;
        uint64_t serial = link->view.serial;
        link_take_verdict(links, link, frame->body, frame->length, now);
        return links->links[slot] && links->links[slot]->view.serial == serial;
    }
    }
}

static bool is_own(enum frame_type type) {
    return type == FRAME_PING || type == FRAME_PONG || type == FRAME_CLOSE || type == FRAME_VERDICT;
}

bool links_next_frame(struct links *links, struct link_cell *cell, struct mono now,
                      struct link_frame *ret_frame, enum drop *ret_drop) {
    *ret_drop = DROP_NONE;
    while (cell->slot != LINK_NONE && cell->at < cell->end && *cell->at != FRAME_PADDING) {
        struct wire_reader r = {cell->at, cell->end, false};
        struct link_frame frame;
        frame.type = (enum frame_type)wire_get_uint(&r, 1);
        frame.length = (size_t)wire_get_uint(&r, 2);
        frame.body = wire_take(&r, frame.length);
        struct link *link = links->links[cell->slot];
        if (r.failed || !link) {
            *ret_drop = r.failed ? DROP_MALFORMED : DROP_NONE;
            return false;
        }
        cell->at = r.at;
        if (is_own(frame.type)) {
            if (!own_frame(links, link, &frame, now))
                return false;
        } else if (link->view.state != LINK_PROBATION) {
            *ret_frame = frame;
            return true;
        }
    }
    return false;
}
