/* Links and cells: which session speaks for which neighbour, what goes into a cell, who is alive.
 * Threat: see link.h. */
#include "daemon/core/link/link_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define SIMULTANEOUS_US (5 * US_PER_S)
#define COPIES_US US_PER_MINUTE
#define COPIES_MAX 3
#define CLOCK_AGREED_US (3 * US_PER_MINUTE) /* what routing keys and minutes tolerate */
#define CLOCK_MAX_US LINKS_CLOCK_MAX_US
#define CLOCK_SAMPLES (LINK_SLOTS + LINK_DIALS_MAX + 1)

struct links *links_new(const struct links_config *config) {
    struct links *links = sodium_malloc(sizeof *links); /* holds the network's keys */
    if (!links)
        return NULL;
    memset(links, 0, sizeof *links);
    links->events = calloc(LINK_EVENTS_MAX, sizeof *links->events);
    if (!links->events) {
        sodium_free(links);
        return NULL;
    }
    links->config = *config;
    guard_init(&links->guard, config->network_key, config->random, (struct mono){0});
    sodium_memzero(links->config.network_key, KEY_LEN);
    links->next = MONO_NEVER;
    return links;
}

void links_free(struct links *links) {
    if (!links)
        return;
    for (unsigned i = 0; i < LINK_SESSIONS_MAX; i++)
        session_free(links, links->sessions[i]);
    for (unsigned i = 0; i < LINK_SESSIONS_MAX / SESSION_SLOTS_CHUNK; i++)
        sodium_free(links->secrets[i]);
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        free(links->links[i]);
    free(links->events);
    free(links->sealings);
    sodium_free(links); /* wipes */
}

void links_configure(struct links *links, int64_t heartbeat_us, int64_t timeout_us) {
    links->config.heartbeat_us = heartbeat_us;
    links->config.timeout_us = timeout_us;
}

void links_set_descriptor(struct links *links, const uint8_t *bytes, size_t length) {
    memcpy(links->descriptor, bytes, length);
    links->descriptor_length = length;
}

void links_set_correction(struct links *links, int64_t correction_us) {
    links->correction_us = correction_us;
    links->clock_is_told = false;
}

/* ---- Events ---- */

struct link_event *link_emit(struct links *links, enum link_event_kind kind,
                             const struct link *link) {
    assert(links->n_events < LINK_EVENTS_MAX);
    size_t place = (links->first_event + links->n_events++) % LINK_EVENTS_MAX;
    struct link_event *event = &links->events[place];
    memset(event, 0, sizeof *event);
    event->kind = kind;
    if (link) {
        event->link = link->view;
        event->address = link->view.address;
    }
    return event;
}

bool links_event(struct links *links, struct link_event *ret_event) {
    if (links->n_events == 0) {
        links->first_event = 0; /* so that few pages of the ring are ever touched */
        return false;
    }
    *ret_event = links->events[links->first_event];
    links->first_event = (links->first_event + 1) % LINK_EVENTS_MAX;
    links->n_events--;
    return true;
}

/* ---- Views ---- */

const struct link_view *links_at(const struct links *links, unsigned slot) {
    return links->links[slot] ? &links->links[slot]->view : NULL;
}

struct link *link_find(const struct links *links, uint64_t prefix) {
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        if (links->prefixes[i] == prefix && links->links[i])
            return links->links[i];
    return NULL;
}

const struct link_view *links_find(const struct links *links, uint64_t prefix) {
    const struct link *link = link_find(links, prefix);
    return link ? &link->view : NULL;
}

uint64_t links_source(const struct links *links, uint64_t prefix) {
    const struct link *link = link_find(links, prefix);
    return link && !address_is_private(&link->view.address) ? guard_source(&link->view.address) : 0;
}

struct link *link_of(struct links *links, const struct node_id *id) {
    struct link *link = link_find(links, node_id_prefix(id));
    return link && node_id_is_equal(&link->view.id, id) ? link : NULL;
}

unsigned links_count(const struct links *links, bool established) {
    unsigned n = 0;
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        n += links->links[i] && (!established || links->links[i]->view.state != LINK_PROBATION);
    return n;
}

const struct links_counters *links_counters(const struct links *links) {
    return &links->counters;
}

/* The median of n > 0 offsets, which are sorted in place. */
static int64_t median_of(int64_t *offsets, size_t n) {
    for (size_t i = 1; i < n; i++) /* insertion sort: a handful */
        for (size_t j = i; j > 0 && offsets[j] < offsets[j - 1]; j--) {
            int64_t swap = offsets[j];
            offsets[j] = offsets[j - 1];
            offsets[j - 1] = swap;
        }
    return n % 2 ? offsets[n / 2] : offsets[n / 2 - 1] / 2 + offsets[n / 2] / 2;
}

/* The clock offsets of the established links. A link on probation has no vote. Returns how many. */
static size_t list_offsets(const struct links *links, int64_t ret_offsets[LINK_SLOTS]) {
    size_t n = 0;
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        if (links->links[i] && links->links[i]->view.state != LINK_PROBATION)
            ret_offsets[n++] = links->links[i]->view.clock_offset_us;
    return n;
}

int64_t links_clock_error(const struct links *links) {
    int64_t offsets[CLOCK_SAMPLES] = {0};
    size_t n = 1 + list_offsets(links, offsets + 1);

    for (unsigned i = 0; i < LINK_SESSIONS_MAX && n < CLOCK_SAMPLES; i++)
        if (links->sessions[i] && links->sessions[i]->state == SESSION_ANSWERED &&
            !link_of((struct links *)links, &links->sessions[i]->peer))
            offsets[n++] = links->sessions[i]->offset_us;
    return median_of(offsets, n);
}

bool links_clock_is_known(struct links *links) {
    int64_t offsets[LINK_SLOTS];
    if (links->clock_is_told)
        return links->clock_is_known;
    size_t n = list_offsets(links, offsets);
    int64_t left_us = n > 0 ? median_of(offsets, n) - links->correction_us : INT64_MAX;
    links->clock_is_told = true;
    links->clock_is_known = left_us <= CLOCK_AGREED_US && left_us >= -CLOCK_AGREED_US;
    return links->clock_is_known;
}

int64_t links_clock_offset(const struct links *links) {
    int64_t median = links_clock_error(links);
    return median > CLOCK_MAX_US ? CLOCK_MAX_US : median < -CLOCK_MAX_US ? -CLOCK_MAX_US : median;
}

/* ---- Dialling ---- */

bool links_is_dialling(const struct links *links, const struct address *address) {
    for (unsigned i = 0; i < LINK_SESSIONS_MAX; i++) {
        const struct session *session = links->sessions[i];
        if (session && session->initiator && session->state != SESSION_OPEN &&
            address_is_equal(&session->remote, address))
            return true;
    }
    return false;
}

unsigned links_dials(const struct links *links) {
    unsigned n = 0;
    for (unsigned i = 0; i < LINK_SESSIONS_MAX; i++) {
        const struct session *session = links->sessions[i];
        n += session && session->initiator && session->state != SESSION_OPEN && !session->rekey &&
             session->purpose != LINK_HEAL && session->purpose != LINK_PROBE;
    }
    return n;
}

void links_clock_stepped(struct links *links, int64_t step_us, struct mono now) {
    links->clock_is_told = false;
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        if (links->links[i]) {
            links->links[i]->view.clock_offset_us -= step_us;
            links->links[i]->rekey_at = now;
        }
    for (unsigned i = 0; i < LINK_SESSIONS_MAX; i++)
        if (links->sessions[i])
            links->sessions[i]->offset_us -= step_us;
    links_arm(links, now);
}

static int dial(struct links *links, const struct address *address, const struct address *local,
                enum link_purpose purpose, struct now now) {
    if (links_is_dialling(links, address))
        return -EALREADY;
    struct session *session =
        links->n_dials < LINK_DIALS_MAX ? session_new(links, address, local, now.mono) : NULL;
    if (!session)
        return -ENOBUFS;
    session->initiator = true;
    session->purpose = purpose;
    session->rekey = purpose == LINK_REKEY;
    session_dial(links, session, now);
    return 0;
}

int links_dial(struct links *links, const struct address *address, enum link_purpose purpose,
               struct now now) {
    struct address anywhere = {.port = 0};
    return dial(links, address, &anywhere, purpose, now);
}

/* ---- Links come and go ---- */

static void link_drop(struct links *links, struct link *link) {
    session_free(links, link->previous);
    session_free(links, link->current);
    links->links[link->view.slot] = NULL;
    links->clock_is_told = false;
    free(link);
}

void link_end(struct links *links, struct link *link, enum link_close reason) {
    if (link->view.state != LINK_PROBATION) {
        link_emit(links, LINK_EVENT_DOWN, link)->close = reason;
    } else if (link->view.dialled) { /* no verdict came, or none that could be read */
        link_emit(links, LINK_EVENT_DIAL_FAILED, link);
    }
    link_drop(links, link);
}

static struct link *link_new(struct links *links, const struct session *session, struct now now) {
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        if (links->links[slot])
            continue;
        struct link *link = calloc(1, sizeof *link);
        if (!link)
            return NULL;
        link->view = (struct link_view){.slot = slot,
                                        .serial = ++links->serial,
                                        .state = LINK_PROBATION,
                                        .id = session->peer,
                                        .prefix = node_id_prefix(&session->peer),
                                        .dialled = session->initiator,
                                        .purpose = session->purpose,
                                        .since = now.mono,
                                        .since_wall = now.wall,
                                        .rtt_us = -1};
        link->unanswered_since = link->next_ping = MONO_NEVER;
        link->replacements_since = now.mono;
        link->challenge_sent = (struct mono){INT64_MIN / 2};
        links->links[slot] = link;
        links->prefixes[slot] = link->view.prefix;
        return link;
    }
    return NULL;
}

static bool is_begun_by_smaller(const struct links *links, const struct session *session) {
    bool we_are =
        memcmp(identity_id(links->config.identity)->bytes, session->peer.bytes, NODE_ID_LEN) < 0;
    return session->initiator == we_are;
}

/* If both ends dialled at once, cells go out on the session begun by the node with the smaller id,
 * and the other session only receives. True: the current session is the former, so the new one must
 * not replace it. */
static bool current_wins(const struct links *links, const struct link *link,
                         const struct session *session, struct mono now) {
    const struct session *current = link->current;
    if (!current || current->initiator == session->initiator || session->rekey ||
        now.us - current->opened.us > SIMULTANEOUS_US ||
        current->peer_sequence != session->peer_sequence)
        return false;
    return is_begun_by_smaller(links, current);
}

/* Two daemons with the same identity would take the link from each other for ever. So COPIES_MAX
 * replacements from another address within COPIES_US end the link. Both sides log the reason: we
 * here, the copy when it reads our CLOSE. */
static bool is_copy(struct links *links, struct link *link, const struct session *session,
                    struct mono now) {
    if (session->rekey || address_is_equal(&link->view.address, &session->remote))
        return false;
    if (now.us - link->replacements_since.us > COPIES_US) {
        link->replacements = 0;
        link->replacements_since = now;
    }
    if (++link->replacements < COPIES_MAX)
        return false;
    link_tell_copy(links, COPY_OF_OTHERS, now,
                   "a neighbour's identity is in use by two daemons at once: link closed");
    return true;
}

void link_tell_copy(struct links *links, enum copy_of whose, struct mono now, const char *text) {
    struct mono *told = &links->copy_told[whose];

    if (told->us != 0 && now.us - told->us < US_PER_MINUTE)
        return;
    *told = now;
    core_log(links->config.trace, TRACE_WARNING, "%s", text);
}

void link_heard(struct links *links, struct link *link, struct mono now) {
    link->view.heard = now;
    link->unanswered_since = MONO_NEVER;
    link->next_ping = MONO_NEVER;
    if (link->view.state == LINK_SUSPECT) {
        link->view.state = LINK_UP;
        link_emit(links, LINK_EVENT_RECOVERED, link);
    }
}

struct link *link_adopt(struct links *links, struct session *session, struct now now) {
    struct link *link = link_of(links, &session->peer);

    session->opened = now.mono;
    if (link && is_copy(links, link, session, now.mono)) {
        session->link = link->view.slot;
        session_free(links, link->previous);
        link->previous = NULL;
        session_free(links, link->current);
        link->current = session;
        link->view.address = session->remote; /* CLOSE goes to the newer copy */
        link->view.local = session->local;
        links_close(links, link->view.slot, LINK_CLOSED_COPY, now.mono);
        return NULL;
    }
    if (!link)
        link = link_new(links, session, now);
    if (!link) {
        session_dropped(links, session);
        return NULL;
    }
    session->link = link->view.slot;
    session_free(links, link->previous);
    link->previous_until = mono_add(now.mono, LINK_OLD_KEYS_US);
    if (current_wins(links, link, session, now.mono)) {
        link->previous = session;
    } else {
        link->previous = link->current;
        link->current = session;
        if (!session->rekey)
            link->view.dialled = session->initiator;
        link->view.address = session->remote;
        link->view.local = session->local;
        link->view.seen_as = session->seen_as;
        link->view.clock_offset_us = session->offset_us;
        links->clock_is_told = false;
    }
    link_heard(links, link, now.mono);
    uint64_t jitter = random_below(links->config.random, 60 * US_PER_S);
    /* The initiator asks for new keys; the responder does so 2 min later, if the initiator has
     * not. */
    link->rekey_at = mono_add(
        now.mono, LINK_REKEY_US + (session->initiator ? 0 : 2 * US_PER_MINUTE) + (int64_t)jitter);
    links_arm(links, mono_add(now.mono, LINK_LINGER_US));
    links_arm(links, mono_add(now.mono, links->config.heartbeat_us));
    if (session->rekey)
        link_emit(links, LINK_EVENT_REKEYED, link);
    return link;
}

/* ---- Verdicts and goodbyes ---- */

static void link_is_up(struct links *links, struct link *link, struct mono now) {
    link->view.state = LINK_UP;
    links->clock_is_told = false;
    link_ping(links, link, now); /* measures the round trip */
}

/* Send the verdict in a cell of its own. The datagram is kept, to answer a repeated message 3. */
static void send_verdict(struct links *links, struct link *link, struct session *session,
                         enum link_refusal refusal, const struct address *referrals, size_t n,
                         struct mono now) {
    uint8_t body[2 + LINK_REFERRALS_MAX * ADDRESS_WIRE_LEN];
    struct wire_writer w = wire_writer(body, sizeof body);

    n = n > LINK_REFERRALS_MAX ? LINK_REFERRALS_MAX : n;
    wire_put_uint(&w, refusal, 1);
    wire_put_uint(&w, n, 1);
    for (size_t i = 0; i < n; i++)
        wire_put_address(&w, &referrals[i]);
    link_send_cell(links, link, now);
    link_put_frame(links, link, FRAME_VERDICT, body, wire_length(&w), now);
    uint8_t *out =
        effects_datagram(links->config.effects, &session->remote, &session->local, DATAGRAM_LEN);
    if (!out)
        return;
    memcpy(out + DATA_HEADER_LEN, link->cell, link->cell_used);
    memset(out + DATA_HEADER_LEN + link->cell_used, 0, CELL_LEN - link->cell_used);
    link->cell_used = 0;
    link_seal_cell(links, session, out);
    links_seal(links); /* before the datagram is copied: the kept one must be sealed */
    link_sent(links, link, true, now);
    if (!session->initiator && !session->finish && (session->finish = malloc(DATAGRAM_LEN)))
        memcpy(session->finish, out, DATAGRAM_LEN);
}

void links_verdict(struct links *links, unsigned slot, enum link_refusal refusal,
                   const struct address *referrals, size_t n, struct mono now) {
    struct link *link = slot < LINK_SLOTS ? links->links[slot] : NULL;

    if (!link || !link->current)
        return;
    send_verdict(links, link, link->current, refusal, referrals, n, now);
    if (refusal == LINK_ACCEPTED) {
        if (link->view.state == LINK_PROBATION) {
            link_is_up(links, link, now);
            link_emit(links, LINK_EVENT_UP, link);
        }
        return;
    }
    if (link->view.state != LINK_PROBATION)
        return;
    struct session *session = link->current; /* lingers for a repeated message 3 */
    link->current = NULL;
    session->link = LINK_NONE;
    session->retry = mono_add(now, LINK_LINGER_US);
    links_arm(links, session->retry);
    link_end(links, link, LINK_CLOSED_BYE);
}

/* A neighbour shook hands anew: new keys are due, it was restarted, or both ends dialled. Such a
 * handshake is always accepted. */
void link_welcome(struct links *links, struct link *link, struct session *session,
                  struct mono now) {
    send_verdict(links, link, session, LINK_ACCEPTED, NULL, 0, now);
    if (link->view.state == LINK_PROBATION)
        link_is_up(links, link, now);
}

void links_close(struct links *links, unsigned slot, enum link_close reason, struct mono now) {
    struct link *link = slot < LINK_SLOTS ? links->links[slot] : NULL;
    uint8_t body = (uint8_t)reason;

    if (!link)
        return;
    if (link->current) {
        link_put_frame(links, link, FRAME_CLOSE, &body, 1, now);
        link_send_cell(links, link, now);
    }
    link_end(links, link, reason);
}

void link_take_verdict(struct links *links, struct link *link, const uint8_t *body, size_t length,
                       struct mono now) {
    struct wire_reader r = wire_reader(body, length);
    struct address referrals[LINK_REFERRALS_MAX];
    uint8_t refusal = (uint8_t)wire_get_uint(&r, 1), n = (uint8_t)wire_get_uint(&r, 1);

    for (unsigned i = 0; i < n && i < LINK_REFERRALS_MAX; i++)
        wire_get_address(&r, &referrals[i]);
    if (r.failed || n > LINK_REFERRALS_MAX || refusal > LINK_FULL ||
        link->view.state != LINK_PROBATION || !link->current || !link->current->initiator)
        return;
    if (refusal == LINK_ACCEPTED)
        link_is_up(links, link, now);
    struct link_event *event =
        link_emit(links, refusal == LINK_ACCEPTED ? LINK_EVENT_UP : LINK_EVENT_REFUSED, link);
    event->refusal = (enum link_refusal)refusal;
    event->n_referrals = n;
    memcpy(event->referrals, referrals, n * sizeof *referrals);
    if (refusal != LINK_ACCEPTED)
        link_drop(links, link);
}

/* ---- Time ---- */

static void arm_link(struct links *links, const struct link *link) {
    int64_t heartbeat = links->config.heartbeat_us;
    if (!link->view.dialled) /* the dialler sends the PING; the other end does only if none came */
        heartbeat += heartbeat / 8;
    links_arm(links, mono_add(link->view.heard, links->config.timeout_us));
    links_arm(links, link->rekey_at);
    if (link->previous)
        links_arm(links, link->previous_until);
    if (link->next_ping.us != INT64_MAX)
        links_arm(links, link->next_ping);
    else if (link->unanswered_since.us != INT64_MAX)
        links_arm(links, mono_add(link->unanswered_since, LINK_UNANSWERED_US));
    else
        links_arm(links, mono_add(link->view.heard, heartbeat));
}

static void ask_if_quiet(struct links *links, struct link *link, struct mono now) {
    int64_t heartbeat =
        links->config.heartbeat_us + (link->view.dialled ? 0 : links->config.heartbeat_us / 8);
    bool unanswered = link->unanswered_since.us != INT64_MAX &&
                      now.us - link->unanswered_since.us >= LINK_UNANSWERED_US;

    if (unanswered && now.us - link->unanswered_since.us >= LINK_SUSPECT_US &&
        link->view.state == LINK_UP) {
        link->view.state = LINK_SUSPECT;
        link_emit(links, LINK_EVENT_SUSPECT, link);
    }
    if (unanswered && (link->next_ping.us == INT64_MAX || mono_is_due(link->next_ping, now))) {
        link_ping(links, link, now);
        link->next_ping = mono_add(now, link->view.state == LINK_SUSPECT ? LINK_PING_SUSPECT_US
                                                                         : LINK_PING_FAST_US);
    } else if (link->unanswered_since.us == INT64_MAX &&
               now.us - link->view.heard.us >= heartbeat) {
        link_ping(links, link, now);
        link->unanswered_since = now;
    }
}

/* The old session ends once the other end sends on the new one. If both ends dialled at once they
 * may disagree which session is the new one (one end signed a new descriptor between the two
 * handshakes). Then each hears the other on the session that it takes for the old one (`crossed`):
 * the end that sends on the session begun by the larger id changes over, and the other end waits
 * for that. */
static void end_previous(struct links *links, struct link *link, struct mono now) {
    struct session *current = link->current, *previous = link->previous;
    bool crossed = current && previous->heard.us > current->heard.us &&
                   previous->heard.us > current->opened.us + SIMULTANEOUS_US;

    if (crossed && current->initiator != previous->initiator &&
        is_begun_by_smaller(links, previous)) {
        link->current = previous;
        link->previous = current;
    } else if (current && (crossed || current->heard.us <= current->opened.us)) {
        link->previous_until = mono_add(now, LINK_PREVIOUS_LONGER_US);
        return;
    }
    session_free(links, link->previous);
    link->previous = NULL;
}

static void link_tick(struct links *links, struct link *link, struct now now) {
    if (now.mono.us - link->view.heard.us >= links->config.timeout_us ||
        (link->view.state == LINK_PROBATION &&
         now.mono.us - link->view.since.us >= LINK_LINGER_US)) {
        link_end(links, link, LINK_CLOSED_SILENT);
        return;
    }
    if (link->previous && mono_is_due(link->previous_until, now.mono))
        end_previous(links, link, now.mono);
    if (link->current &&
        (mono_is_due(link->rekey_at, now.mono) || link->current->counter >= LINK_REKEY_CELLS)) {
        dial(links, &link->view.address, &link->view.local, LINK_REKEY, now);
        link->rekey_at = mono_add(now.mono, 30 * US_PER_S); /* until the new session is adopted */
    }
    ask_if_quiet(links, link, now.mono);
    if (link->view.state == LINK_PROBATION)
        links_arm(links, mono_add(link->view.since, LINK_LINGER_US));
    arm_link(links, link);
}

void links_tick(struct links *links, struct now now) {
    if (!mono_is_due(links->next, now.mono))
        return;
    guard_rotate(&links->guard, links->config.random, now.mono);
    links->next = MONO_NEVER;
    for (unsigned i = 0; i < LINK_SESSIONS_MAX; i++)
        if (links->sessions[i])
            session_tick(links, links->sessions[i], now);
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        if (links->links[i])
            link_tick(links, links->links[i], now);
}

struct mono links_next(const struct links *links) {
    return links->next;
}
