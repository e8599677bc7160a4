/* Older versions than those that we hold. If the keys of a node are the first that we know of it
 * and have yet to settle, a neighbour that announces an older version of that node is asked for it.
 * If that version has other keys, somebody may use them still.
 *
 * Threat: anybody can say that there is an older version. If that were enough, an attacker could
 * say so of all relays but its own, and a node that has just started would use these alone for as
 * long as the attacker likes. So only a version that is shown counts. A forged one bars the
 * neighbour that brought it. */
#include "daemon/core/overlay/gossip_private.h"

static size_t find(const struct neighbour *neighbour, uint64_t prefix) {
    size_t i = 0;
    while (i < neighbour->n_older && neighbour->older[i] != prefix)
        i++;
    return i;
}

static void forget(struct neighbour *neighbour, size_t i) {
    neighbour->older[i] = neighbour->older[--neighbour->n_older];
}

void older_note(const struct gossip *gossip, struct neighbour *from, uint64_t prefix,
                struct mono now) {
    if (from->n_older == GOSSIP_WANT_ITEMS || !directory_is_first(gossip->directory, prefix) ||
        find(from, prefix) < from->n_older)
        return;
    from->older[from->n_older++] = prefix;
    from->older_due = mono_min(from->older_due, mono_add(now, GOSSIP_ASK_GATHER_US));
}

/* Forget nodes whose keys have settled meanwhile, or no longer count as the first that we know: an
 * older version would change nothing. */
static void forget_settled(const struct gossip *gossip, struct neighbour *neighbour) {
    for (size_t i = 0; i < neighbour->n_older;)
        if (directory_is_first(gossip->directory, neighbour->older[i]))
            i++;
        else
            forget(neighbour, i);
}

void older_ask(const struct gossip *gossip, struct neighbour *neighbour, struct mono now) {
    uint8_t body[8 * GOSSIP_WANT_ITEMS];
    struct wire_writer w = wire_writer(body, sizeof body);

    forget_settled(gossip, neighbour);
    neighbour->older_due = MONO_NEVER;
    if (neighbour->n_older == 0)
        return;
    for (size_t i = 0; i < neighbour->n_older; i++)
        wire_put_uint(&w, neighbour->older[i], 8);
    bool sent = links_send_frame(gossip->links, neighbour->prefix, FRAME_WANT, body,
                                 wire_length(&w), now) == 0;
    neighbour->older_due = mono_add(now, sent ? GOSSIP_OLDER_US : FULL_RETRY_US);
}

bool older_is_shown(const struct gossip *gossip, struct neighbour *from,
                    const struct descriptor *descriptor, const uint8_t *bytes) {
    uint64_t prefix = node_id_prefix(&descriptor->id);
    struct version shown = {.sequence = descriptor->sequence}, held;
    size_t i = find(from, prefix), length;

    if (i == from->n_older)
        return false;
    forget(from, i);
    memcpy(shown.tag, version_tag(bytes), VERSION_TAG_LEN);
    return directory_bytes(gossip->directory, prefix, &length, &held) &&
           version_compare(&shown, &held) < 0;
}
