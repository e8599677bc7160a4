/* See correct.h. Threat: neighbours say what time it is, and each move of the clock costs all our
 * routing keys, a signature and the drop list. */
#include "daemon/core/node/node_private.h"

#define TELL_CORRECTION_US (30 * US_PER_S)
#define RENEWALS_ROOM_US RATE_ROOM(RENEWAL_EACH_US, RENEWALS_BURST)

/* Descriptors that were refused for their time may be valid by the moved clock, and the other way
 * round: send our digest to all neighbours again. */
static void reconcile(struct node *node) {
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(node->links, slot);
        if (link && link->state != LINK_PROBATION)
            gossip_link_up(node->gossip, link->prefix, node->now.mono);
    }
}

/* The minutes by which the drop list knows paths have moved. So make new routing keys, and a new
 * drop list that goes by the new minutes. Only both together keep every replay out. */
static void renew_keys(struct node *node) {
    struct droplist *droplist = droplist_new(node->config.droplist_entries, &node->config.random);

    if (droplist) {
        droplist_free(node->droplist);
        node->droplist = droplist;
    }
    identity_renew(node->identity, node->now.wall);
    inbox_renew(node->inbox);
    node_peel_advance(node);
    node_self_sign(node);
    reconcile(node);
    publisher_press(&node->publisher);
}

bool node_clock_is_beyond(const struct node *node) {
    int64_t error_us = links_clock_error(node->links);
    return error_us > LINKS_CLOCK_MAX_US || error_us < -LINKS_CLOCK_MAX_US;
}

static void tell_clock(struct node *node, int64_t correction) {
    int64_t error = links_clock_error(node->links);
    const char *side = error > 0 ? "behind" : "ahead of";
    bool is_beyond = node_clock_is_beyond(node);
    unsigned is = is_beyond                                ? CLOCK_BEYOND
                  : llabs(correction) > TELL_CORRECTION_US ? CLOCK_CORRECTED
                                                           : CLOCK_RIGHT;
    if (is == CLOCK_BEYOND && node->correction.told != CLOCK_BEYOND)
        core_log(&node->config.trace, TRACE_WARNING,
                 "clock: this machine's is %lld h %s the neighbours', more than the %d h that can "
                 "be corrected here: nothing is delivered until it is set right (NTP)",
                 (long long)(llabs(error) / US_PER_HOUR), side,
                 (int)(LINKS_CLOCK_MAX_US / US_PER_HOUR));
    else if (is == CLOCK_CORRECTED && node->correction.told == CLOCK_RIGHT)
        core_log(&node->config.trace, TRACE_WARNING,
                 "clock: this machine's is %lld s %s the neighbours'; corrected here, set it right "
                 "(NTP)",
                 (long long)(llabs(correction) / US_PER_S), side);
    node->correction.told = is;
}

static void correct(struct node *node, int64_t correction) {
    node->correction.waits = false;
    if (correction == node->correction.us)
        return;
    node->correction.us = correction;
    node->now.wall = (struct wall){node->machine.wall.us + correction};
    links_set_correction(node->links, correction);
    if (correction_has_moved(&node->correction, correction))
        renew_keys(node);
}

/* Moving the clock without new keys would let replays in. So while no key renewal is allowed, the
 * move of the clock waits. */
void node_correct(struct node *node) {
    int64_t correction = links_clock_offset(node->links);

    tell_clock(node, correction);
    if (correction_has_moved(&node->correction, correction)) {
        node->correction.waits = !rate_take(&node->correction.renewals, RENEWAL_EACH_US,
                                            RENEWALS_ROOM_US, node->now.mono);
        if (node->correction.waits)
            return;
    }
    correct(node, correction);
}

void node_correct_tick(struct node *node) {
    if (node->correction.waits && mono_is_due(node_correct_next(node), node->now.mono))
        node_correct(node);
}

struct mono node_correct_next(const struct node *node) {
    return node->correction.waits ? rate_due(&node->correction.renewals, RENEWALS_ROOM_US)
                                  : MONO_NEVER;
}

void node_correct_stepped(struct node *node, int64_t step_us) {
    int64_t correction = links_clock_offset(node->links);

    node->correction.signed_us -= step_us;
    tell_clock(node, correction);
    correct(node, correction);
}
