/* See destination.h. */
#include "daemon/core/node/destination.h"
#include "daemon/core/node/node_private.h"

#include <stdio.h>

void node_report(const struct node *node, const struct directory_entry *entry,
                 struct node_report *report) {
    struct descriptor descriptor;
    const struct link_view *link = links_find(node->links, entry->prefix);

    directory_descriptor(entry, &descriptor);
    report->id = entry->id;
    report->address = directory_address(node->directory, entry);
    memcpy(report->name, descriptor.name, sizeof report->name);
    report->relay = entry->relay;
    report->pinned = entry->pinned;
    report->neighbour = link && link->state != LINK_PROBATION;
    report->live = report->neighbour || directory_is_up(node->directory, entry);
    report->last_seen = entry->last_seen;
    if (report->neighbour)
        report->last_seen.us = node->now.wall.us - (node->now.mono.us - link->heard.us);
    if (report->last_seen.us > node->now.wall.us) /* its clock was ahead when it signed */
        report->last_seen = node->now.wall;
}

static void answer_candidates(struct node *node, uint64_t client, enum answer_code code,
                              const struct node_id *ids, size_t n, const char *text) {
    struct answer answer;
    struct node_report *reports =
        answer_begin(node->effects, &answer, client, ANSWER_NODES, n * sizeof *reports);
    size_t filled = 0;

    if (!reports)
        return;
    for (size_t i = 0; i < n; i++) {
        const struct directory_entry *entry = directory_find(node->directory, &ids[i]);
        if (entry)
            node_report(node, entry, &reports[filled++]);
    }
    answer.code = code;
    answer.nodes.v = reports;
    answer.nodes.n = filled;
    snprintf(answer.text, sizeof answer.text, "%s", text);
    effects_answer(node->effects, &answer);
}

/* Copy a name as it was typed, with everything but printable ASCII as \xNN: terminals would obey
 * some of those bytes. */
static void escape_name(const char *name, char *text, size_t room) {
    size_t n = 0;
    for (const char *at = name; *at && n + 5 <= room; at++)
        n += (size_t)snprintf(text + n, room - n, *at > ' ' && *at < 0x7f ? "%c" : "\\x%02x",
                              (unsigned char)*at);
    text[n < room ? n : room - 1] = 0;
}

static void describe_destination(const struct destination *destination, char text[160]) {
    char address[ADDRESS_TEXT_MAX], name[4 * NODE_NAME_MAX + 1] = "";
    switch (destination->kind) {
    case DEST_ADDRESS:
        address_format(&destination->address, true, address);
        snprintf(text, 160, "at %s", address);
        break;
    case DEST_NAME:
        escape_name(destination->name, name, sizeof name);
        snprintf(text, 160, "named %s", name);
        break;
    case DEST_ID:
    case DEST_PREFIX: {
        char digits[2 * NODE_ID_LEN + 1];
        size_t n = destination->kind == DEST_ID ? 2 * NODE_ID_LEN : destination->n_digits;
        for (size_t i = 0; i < NODE_ID_LEN; i++)
            snprintf(digits + 2 * i, 3, "%02x", destination->id[i]);
        snprintf(text, 160, "with the id %.*s", (int)n, digits);
        break;
    }
    }
}

void node_answer_unknown(struct node *node, uint64_t client,
                         const struct destination *destination) {
    char text[160];
    describe_destination(destination, text);
    effects_answer_text(node->effects, client, ANSWER_UNKNOWN,
                        "no node %s is known (see p2pctl nodes)", text);
}

/* Tell the client why its destination does not stand for exactly one node. */
static void answer_unresolved(struct node *node, uint64_t client,
                              const struct destination *destination, enum resolve_outcome outcome,
                              const struct node_id *ids, size_t n) {
    switch (outcome) {
    case RESOLVE_ONE:
    case RESOLVE_SELF:
        break;
    case RESOLVE_NONE:
        node_answer_unknown(node, client, destination);
        break;
    case RESOLVE_UNCONFIRMED:
        answer_candidates(node, client, ANSWER_UNKNOWN, ids, n,
                          "a node claims that address, but nobody answers there and no witnesses "
                          "that count confirm it: if it is the right one, use its id");
        break;
    case RESOLVE_AMBIGUOUS:
        answer_candidates(node, client, ANSWER_UNKNOWN, ids, n,
                          "several nodes are meant: name one by its id");
        break;
    case RESOLVE_KEY_CHANGED:
        answer_candidates(node, client, ANSWER_KEY_CHANGED, ids, n,
                          "the key at that address has changed since it was first used. If that is "
                          "right (a new machine, a new installation): p2pctl trust ADDRESS");
        break;
    }
}

bool node_resolve(struct node *node, uint64_t client, const struct destination *destination,
                  struct node_id *ret_id) {
    struct node_id ids[DIRECTORY_CANDIDATES_MAX];
    size_t n = 0;
    enum resolve_outcome outcome = directory_resolve(node->directory, destination, ids, &n);

    if (outcome == RESOLVE_ONE || outcome == RESOLVE_SELF) {
        *ret_id = outcome == RESOLVE_SELF ? *identity_id(node->identity) : ids[0];
        return true;
    }
    answer_unresolved(node, client, destination, outcome, ids, n);
    return false;
}

/* Nobody has answered at the address. Choose, among the nodes that claim it, the one which
 * witnesses whose word counts have seen there. */
static enum resolve_outcome resolve_vouched(struct node *node,
                                            const struct destination *destination,
                                            struct node_id ids[DIRECTORY_CANDIDATES_MAX],
                                            size_t *ret_n) {
    struct node_id vouched[DIRECTORY_CANDIDATES_MAX];
    enum resolve_outcome outcome = directory_resolve(node->directory, destination, ids, ret_n);

    if (destination->kind != DEST_ADDRESS || outcome == RESOLVE_NONE || outcome == RESOLVE_SELF ||
        outcome == RESOLVE_KEY_CHANGED)
        return outcome;
    size_t n = node_settle_vouched(node, &destination->address, vouched);
    if (n == 0)
        return outcome == RESOLVE_ONE ? RESOLVE_UNCONFIRMED : outcome;
    memcpy(ids, vouched, n * sizeof *ids);
    *ret_n = n;
    return n == 1 ? RESOLVE_ONE : RESOLVE_AMBIGUOUS;
}

bool node_resolve_recipient(struct node *node, uint64_t client,
                            const struct destination *destination, struct node_id *ret_id,
                            bool *ret_proven) {
    struct node_id ids[DIRECTORY_CANDIDATES_MAX];
    size_t n = 0;
    enum resolve_outcome outcome =
        directory_resolve_proven(node->directory, destination, node->now.mono, ids, &n);

    *ret_proven = outcome == RESOLVE_ONE;
    if (outcome == RESOLVE_NONE)
        outcome = resolve_vouched(node, destination, ids, &n);
    if (outcome == RESOLVE_ONE || outcome == RESOLVE_SELF) {
        *ret_id = outcome == RESOLVE_SELF ? *identity_id(node->identity) : ids[0];
        return true;
    }
    answer_unresolved(node, client, destination, outcome, ids, n);
    return false;
}

void node_remember(struct node *node, const struct destination *destination,
                   const struct node_id *id, bool proven) {
    const struct directory_entry *entry = directory_find(node->directory, id);
    if (!entry)
        return; /* ourselves */
    bool pin = proven && destination->kind == DEST_ADDRESS && !entry->pinned, keep = !entry->kept;
    if (pin)
        directory_pin(node->directory, id, &destination->address);
    directory_keep(node->directory, id);
    if (pin || keep)
        node_keep_entry(node, directory_find(node->directory, id));
}
