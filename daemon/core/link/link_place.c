/* Bounds on the sessions that others make us hold and that belong to no link: half-open handshakes,
 * and refused sessions that linger.
 *
 * Threat: one datagram takes a place, and anybody can send from any number of claimed addresses. So
 * sources that have shown their cookie come first, each source has LINK_HALF_OPEN_SOURCE_MAX places
 * of either kind at most, and among the proven sources the one that holds most loses a place. */
#include "daemon/core/link/link_private.h"

static bool is_lingering(const struct session *session) {
    return session && !session->initiator && session->state == SESSION_OPEN &&
           session->link == LINK_NONE;
}

static bool is_held(const struct session *session) {
    return is_lingering(session) || (session && session->state == SESSION_RESPONDED);
}

/* How many sessions others make us hold: half open, or refused and lingering. */
static unsigned held(const struct links *links) {
    unsigned n = 0;
    for (unsigned i = 0; i < LINK_SESSIONS_MAX; i++)
        n += is_held(links->sessions[i]);
    return n;
}

/* How many of these are of one source and one kind, proven or not. The kinds are counted apart:
 * anybody can start unproven handshakes in a source's name, and these must not count against its
 * proven ones. */
static unsigned held_for(const struct links *links, uint64_t source, bool proven) {
    unsigned n = 0;
    for (unsigned i = 0; i < LINK_SESSIONS_MAX; i++)
        n += is_held(links->sessions[i]) && links->sessions[i]->proven == proven &&
             guard_source(&links->sessions[i]->remote) == source;
    return n;
}

static bool is_older(const struct session *session, const struct session *than) {
    return !than || session->retry.us < than->retry.us;
}

/* The lingering session that is oldest. Lingering sessions wait only for a message 3 that is
 * repeated if our verdict was lost, which is seldom. So they give way to new handshakes: otherwise
 * a node that all of a network dial at once would turn most away unheard. */
static struct session *oldest_lingering(const struct links *links) {
    struct session *oldest = NULL;
    for (unsigned i = 0; i < LINK_SESSIONS_MAX; i++)
        if (is_lingering(links->sessions[i]) && is_older(links->sessions[i], oldest))
            oldest = links->sessions[i];
    return oldest;
}

static struct session *oldest_unproven(const struct links *links) {
    struct session *oldest = NULL;
    for (unsigned i = 0; i < LINK_SESSIONS_MAX; i++) {
        struct session *session = links->sessions[i];
        if (is_held(session) && !session->proven && is_older(session, oldest))
            oldest = session;
    }
    return oldest;
}

/* For when all held sessions are proven: the oldest session of the source that holds most, if that
 * is more than `than`. */
static struct session *oldest_of_fullest(const struct links *links, unsigned than) {
    struct {
        struct session *session;
        uint64_t source;
    } all[LINK_SESSIONS_MAX];
    struct session *oldest = NULL;
    unsigned n = 0, most = than;

    for (unsigned i = 0; i < LINK_SESSIONS_MAX; i++) {
        if (!is_held(links->sessions[i]))
            continue;
        all[n].session = links->sessions[i];
        all[n++].source = guard_source(&links->sessions[i]->remote);
    }
    for (unsigned i = 0; i < n; i++) {
        unsigned of_it = 0;
        for (unsigned k = 0; k < n; k++)
            of_it += all[k].source == all[i].source;
        if (of_it < most || of_it <= than || (of_it == most && !is_older(all[i].session, oldest)))
            continue;
        most = of_it;
        oldest = all[i].session;
    }
    return oldest;
}

bool place_make(struct links *links, const struct address *remote, bool proven) {
    unsigned own = held_for(links, guard_source(remote), proven);
    struct session *goes = NULL;

    if (own >= LINK_HALF_OPEN_SOURCE_MAX)
        return false;
    if (held(links) < LINK_HALF_OPEN_MAX)
        return true;
    goes = oldest_lingering(links);
    if (!goes && proven)
        goes = oldest_unproven(links);
    if (!goes && proven)
        goes = oldest_of_fullest(links, own);
    if (!goes)
        return false;
    session_free(links, goes);
    return true;
}
