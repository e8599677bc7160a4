/* Threat: see sequences.h. */
#include "daemon/core/base/sequences.h"

#include <assert.h>

/* The first span that does not end below it. */
static unsigned find(const struct sequences *sequences, uint64_t sequence) {
    unsigned i = 0;

    while (i < sequences->n && sequences->spans[i].last < sequence)
        i++;
    return i;
}

static bool is_had(const struct sequences *sequences, unsigned i, uint64_t sequence) {
    return i < sequences->n && sequences->spans[i].first <= sequence;
}

static void join_closest(struct sequences *sequences) {
    struct sequence_span *spans = sequences->spans;
    unsigned best = 0;

    for (unsigned i = 1; i + 1 < sequences->n; i++)
        if (spans[i + 1].first - spans[i].last < spans[best + 1].first - spans[best].last)
            best = i;
    spans[best].last = spans[best + 1].last;
    memmove(&spans[best + 1], &spans[best + 2], (--sequences->n - best - 1) * sizeof *spans);
}

void sequences_add(struct sequences *sequences, uint64_t sequence) {
    struct sequence_span *spans = sequences->spans;
    unsigned i = find(sequences, sequence);

    if (is_had(sequences, i, sequence))
        return;
    memmove(&spans[i + 1], &spans[i], (sequences->n++ - i) * sizeof *spans);
    spans[i] = (struct sequence_span){sequence, sequence};
    assert(i == 0 || spans[i - 1].last < sequence);
    if (sequences->n > SEQUENCES_SPANS)
        join_closest(sequences);
}

uint64_t sequences_free(const struct sequences *sequences, uint64_t from, uint64_t step,
                        const struct core_random *random) {
    unsigned i = find(sequences, from);

    while (is_had(sequences, i, from)) {
        from = sequences->spans[i].last + 1 + random_below(random, step);
        i = find(sequences, from);
    }
    return from;
}
