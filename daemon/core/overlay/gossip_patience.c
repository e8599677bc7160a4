/* Which neighbours answer what they are asked, and how long each is waited for.
 *
 * Threat: a neighbour may announce everything first and then answer nothing, or what it likes and
 * when it likes. Only answers to questions count, so nothing that it sends unasked makes us wait
 * longer for it. While another announcer could be asked, how long we wait depends on how long the
 * other one's answers take, which the neighbour cannot influence. One that leaves questions
 * unanswered is waited for no longer than any other. One that answers now and then still delays a
 * want by GOSSIP_HURRY_US; the next such one by half of that, and so on, down to twice the time
 * that an answer of an honest one takes. */
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

/* An answer that came too late doubles the time that this neighbour is waited for; one in time
 * takes a 32nd off. */
static void learn(struct neighbour *from, int64_t took) {
    bool is_late = took > from->patience_us;

    took = within(took, 1, GOSSIP_ASK_MAX_US);
    from->answer_us += from->answer_us == 0 ? took : (took - from->answer_us) / 4;
    from->patience_us += is_late ? from->patience_us : -from->patience_us / 32;
    from->patience_us = within(from->patience_us, GOSSIP_ASK_US, GOSSIP_ASK_MAX_US);
}

/* If this neighbour was asked for the node twice, nobody can tell which question the answer is to,
 * so nothing is learnt from it. A second answer is timed from the first question. */
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
