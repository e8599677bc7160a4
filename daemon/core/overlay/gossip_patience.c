/* Who answers what it is asked, and how long it is waited for.
 *
 * Threat: a neighbour may announce everything first and answer nothing, or what it likes and when
 * it likes. Only answers to what it was asked count, so that nothing it sends unasked makes it
 * waited for; how long it is waited for while another could be asked goes by what that other one
 * takes, which it has no hand in; and who is silent is waited for no longer than anybody. One that
 * answers now and then still holds a want up for GOSSIP_HURRY_US; of several such the next one for
 * half as long, and so on, down to what an honest one's answer takes. */
#include "daemon/core/overlay/gossip_private.h"

int64_t patience_with(const struct neighbour *asked, const struct neighbour *other,
                      unsigned n_silent) {
    int64_t least = GOSSIP_HURRY_US >> (n_silent < 8 ? n_silent : 8);

    if (patience_is_out(other))
        return INT64_MAX;
    if (patience_is_out(asked))
        return 0;
    if (other->answer_us == 0)
        return INT64_MAX; /* at the start nobody is known to be quick, and everybody is busy */
    return 2 * other->answer_us > least ? 2 * other->answer_us : least;
}

static struct overdue *find_overdue(struct neighbour *neighbour, uint64_t prefix) {
    for (size_t i = 0; i < GOSSIP_WINDOW; i++)
        if (neighbour->overdue[i].asked_at.us > 0 && neighbour->overdue[i].prefix == prefix)
            return &neighbour->overdue[i];
    return NULL;
}

void patience_miss(struct neighbour *holder, const struct want *want, struct mono now) {
    holder->overdue[holder->next_overdue] = (struct overdue){want->prefix, want->asked_at};
    holder->next_overdue = (holder->next_overdue + 1) % GOSSIP_WINDOW;
    holder->n_unanswered++;
    if (!mono_is_due(want->limit, now))
        return;
    if (patience_is_out(holder))
        holder->patience_us = GOSSIP_ASK_US;
    if (want->kind != WANT_NEWCOMER)
        return;
    if (holder->n_vain++ == 0)
        holder->vain_since = now;
}

static int64_t within(int64_t value, int64_t least, int64_t most) {
    return value < least ? least : value > most ? most : value;
}

/* Too late: it is waited for longer. In time: it may be held to its word again, slowly. */
static void learn(struct neighbour *from, int64_t took) {
    bool is_late = took > from->patience_us;

    took = within(took, 1, GOSSIP_ASK_MAX_US);
    from->answer_us += from->answer_us == 0 ? took : (took - from->answer_us) / 4;
    from->patience_us += is_late ? from->patience_us : -from->patience_us / 32;
    from->patience_us = within(from->patience_us, GOSSIP_ASK_US, GOSSIP_ASK_MAX_US);
}

/* Asked again, which question it answers cannot be told: a second answer will tell that it was the
 * first. */
void patience_answer(struct neighbour *from, uint64_t prefix, const struct want *asked,
                     struct mono now) {
    struct overdue *overdue = find_overdue(from, prefix);

    if (!asked && !overdue)
        return; /* nobody asked it */
    from->n_unanswered = from->n_vain = 0;
    if (asked && !overdue) {
        learn(from, now.us - asked->asked_at.us);
    } else if (!asked) {
        learn(from, now.us - overdue->asked_at.us);
        *overdue = (struct overdue){0};
    }
}

bool patience_is_vain(const struct neighbour *neighbour, struct mono now) {
    return neighbour->n_vain >= GOSSIP_VAIN &&
           now.us - neighbour->vain_since.us >= GOSSIP_ASK_MAX_US;
}
