/* A recipient's subflows, each with a kept path, and which shard goes over which. Threat: relays
 * that die or drop. A shard that is sent again takes another path than before; with explicit shards
 * (--shards K+M) each shard has a subflow of its own, so that any M relays may fail and nothing has
 * to be sent again. */
#include "daemon/core/deliver/sender/sender_private.h"

#define DRAW_AGAIN_US US_PER_S /* after a further path could not be had */
#define DRAW_PACKETS                                                                               \
    16u /* keying a path takes as long as sealing so many packets: it counts so                    \
         */

struct window *sender_window(struct recipient *recipient, const struct subflow *subflow) {
    return &recipient->windows.v[subflow - recipient->subflows];
}

void sender_retire(struct recipient *recipient, struct subflow *subflow) {
    courier_retire(&subflow->lane);
    window_set_live(sender_window(recipient, subflow), false);
}

void sender_silent_forget(struct recipient *recipient) {
    courier_retire(&recipient->silent.lane);
    recipient->silent = (struct silent_path){.id = 0};
}

void sender_note_silent(struct sender *sender, struct recipient *recipient, struct subflow *subflow,
                        struct mono now) {
    path_silence_note(&recipient->silence, &subflow->lane.way, now);
    subflow->lane.way.n = 0;
    if (!subflow->lane.path)
        return;
    if (!subflow->worked)
        path_failed(sender->config.paths, subflow->lane.path, now);
    courier_retire(&recipient->silent.lane);
    recipient->silent = (struct silent_path){subflow->lane, subflow->id, subflow->packets};
    subflow->lane.path = NULL; /* the silent one has it */
    sender_retire(recipient, subflow);
}

void sender_paths_init(struct recipient *recipient) {
    recipient->draw_after = (struct mono){INT64_MIN / 2};
    for (unsigned i = 0; i < recipient->windows.n; i++)
        recipient->subflows[i].heard = (struct mono){INT64_MIN};
}

void sender_paths_free(struct recipient *recipient) {
    for (unsigned i = 0; i < recipient->windows.n; i++)
        sender_retire(recipient, &recipient->subflows[i]);
    sender_silent_forget(recipient);
}

/* ---- Drawing ---- */

/* Relays that the recipient's paths pass, and first relays of these paths: the next path avoids
 * them. */
struct passed {
    uint64_t relays[SENDER_SUBFLOWS_MAX * TOPOLOGY_RELAYS_MAX], firsts[SENDER_SUBFLOWS_MAX];
    size_t n_relays, n_firsts;
};

/* List what the next path avoids. First relays (guards) are few, so another path may pass them as a
 * later relay, unless the paths are to be disjoint. */
static void list_passed(const struct recipient *recipient, bool disjoint,
                        struct passed *ret_passed) {
    ret_passed->n_relays = ret_passed->n_firsts = 0;
    for (unsigned i = 0; i < recipient->windows.n; i++) {
        const struct path *path = recipient->subflows[i].lane.path;
        uint64_t hops[TOPOLOGY_RELAYS_MAX + 1];
        size_t n = path ? path_hops(path, hops) : 0;
        if (n > 1)
            ret_passed->firsts[ret_passed->n_firsts++] = hops[0];
        for (size_t j = disjoint ? 0 : 1; j + 1 < n; j++)
            ret_passed->relays[ret_passed->n_relays++] = hops[j];
    }
}

struct path_request sender_path_request(const struct recipient *recipient) {
    return (struct path_request){.target = recipient->route.to,
                                 .relays_exact = recipient->route.relays_exact,
                                 .strict = recipient->route.strict,
                                 .disjoint = recipient->route.shards_k > 0,
                                 .silence = &recipient->silence,
                                 .again = recipient->route.shards_k == 0};
}

static enum outbox_why why_of(enum path_outcome outcome) {
    switch (outcome) {
    case PATH_OK:
        break;
    case PATH_UNKNOWN:
        return OUTBOX_AWAY;
    case PATH_NONE:
        return OUTBOX_NO_ROUTE;
    case PATH_STRICT:
        return OUTBOX_STRICT;
    }
    return OUTBOX_FLYING;
}

static void place_path(struct sender *sender, struct recipient *recipient,
                       struct subflow *subflow) {
    struct window *window = sender_window(recipient, subflow);
    subflow->id = 1 + (uint32_t)random_below(&sender->config.random, UINT32_MAX);
    subflow->packets = 0;
    subflow->worked = false;
    subflow->heard = (struct mono){INT64_MIN};
    window_renew(window);
    window_set_live(window, true);
}

static bool draw(struct sender *sender, struct recipient *recipient, struct subflow *subflow,
                 struct now now) {
    struct passed passed;
    struct path_request request = sender_path_request(recipient);
    list_passed(recipient, request.disjoint, &passed);
    request.avoid = passed.relays;
    request.n_avoid = passed.n_relays;
    request.firsts = passed.firsts;
    request.n_firsts = passed.n_firsts;
    enum path_outcome outcome = courier_open(sender->config.courier, &subflow->lane, &request, now);
    backoff_set_why(recipient, why_of(outcome));
    if (outcome != PATH_OK)
        return false;
    if (!paths_reuse(sender->config.paths))
        sender->packets_left -=
            sender->packets_left < DRAW_PACKETS ? sender->packets_left : DRAW_PACKETS;
    place_path(sender, recipient, subflow);
    backoff_has_path(recipient);
    return true;
}

/* ---- Choosing ---- */

static void refresh(struct sender *sender, struct recipient *recipient, struct subflow *subflow,
                    struct now now) {
    if (subflow->lane.path && !courier_is_open(sender->config.courier, &subflow->lane, now))
        sender_retire(recipient, subflow);
}

static bool is_emptier(const struct window *window, const struct window *other) {
    return (uint64_t)window->flight * other->size < (uint64_t)other->flight * window->size;
}

struct choice { /* of the subflows whose window has room */
    struct subflow *best, *same, *unused;
    unsigned live;
};

static struct choice look_around(struct sender *sender, struct recipient *recipient,
                                 uint32_t before, struct now now) {
    struct choice choice = {NULL, NULL, NULL, 0};
    for (unsigned i = 0; i < recipient->windows.n; i++) {
        struct subflow *subflow = &recipient->subflows[i];
        const struct window *window = &recipient->windows.v[i];
        refresh(sender, recipient, subflow, now);
        choice.live += subflow->lane.path != NULL;
        if (!window_has_room(window))
            continue;
        if (!subflow->lane.path)
            choice.unused = subflow;
        else if (subflow->id == before)
            choice.same = subflow;
        else if (!choice.best || is_emptier(window, sender_window(recipient, choice.best)))
            choice.best = subflow;
    }
    return choice;
}

/* Any subflow with room whose path is not `before`, the emptiest first; a new path is drawn while
 * fewer than `wanted` are live. NULL: nowhere just now. */
static struct subflow *choose_any(struct sender *sender, struct recipient *recipient,
                                  unsigned wanted, uint32_t before, struct now now) {
    struct choice choice = look_around(sender, recipient, before, now);
    if ((!choice.best || choice.live < wanted) && choice.unused &&
        mono_is_due(recipient->draw_after, now.mono)) {
        if (draw(sender, recipient, choice.unused, now))
            return choice.unused;
        if (choice.live > 0)
            recipient->draw_after = mono_add(now.mono, DRAW_AGAIN_US);
    }
    return choice.best ? choice.best : choice.live == 1 ? choice.same : NULL;
}

/* An explicit shard has a subflow of its own the first time that it is sent. */
struct subflow *sender_choose(struct sender *sender, struct sender_parcel *parcel, unsigned index,
                              struct now now) {
    struct recipient *recipient = parcel->recipient;
    const struct sender_shard *shard = &parcel->shards[index];
    unsigned n = recipient->windows.n, wanted = parcel->k < n ? parcel->k : n;
    if (!paths_reuse(sender->config.paths))
        wanted = 1; /* every packet takes a new path anyway */
    if (recipient->route.shards_k == 0 || shard->sends > 0)
        return choose_any(sender, recipient, wanted, shard->sends ? shard->path : 0, now);
    struct subflow *own = &recipient->subflows[index % n];
    refresh(sender, recipient, own, now);
    if (!window_has_room(sender_window(recipient, own)))
        return NULL;
    if (own->lane.path)
        return own;
    if (mono_is_due(recipient->draw_after, now.mono)) {
        if (draw(sender, recipient, own, now))
            return own;
        recipient->draw_after = mono_add(now.mono, DRAW_AGAIN_US);
    }
    return choose_any(sender, recipient, 1, 0, now);
}

bool sender_has_kept_path(struct sender *sender, struct recipient *recipient, struct now now) {
    bool any = false;
    for (unsigned i = 0; i < recipient->windows.n; i++) {
        refresh(sender, recipient, &recipient->subflows[i], now);
        any = any || recipient->subflows[i].lane.path;
    }
    return any;
}

bool sender_has_path(struct sender *sender, struct recipient *recipient, struct now now) {
    return sender_has_kept_path(sender, recipient, now) ||
           draw(sender, recipient, &recipient->subflows[0], now);
}
