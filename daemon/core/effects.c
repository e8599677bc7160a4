#include "daemon/core/effects.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SCRATCH_CHUNK 16384
/* Datagram buffers are kept from step to step up to this many; a burst's surplus is given back. */
#define DATAGRAMS_KEPT 128

struct scratch {
    struct scratch *next;
    size_t used, capacity;
    max_align_t bytes[];
};
struct outstanding {
    uint64_t cookie;
    enum store_owner owner;
};
struct effects {
    struct datagram *datagrams;
    uint8_t (*buffers)[DATAGRAM_LEN];
    size_t n_datagrams, datagrams_capacity;
    struct store_op *ops;
    size_t n_ops, ops_capacity;
    struct answer *answers;
    size_t n_answers, answers_capacity;
    struct scratch *scratch;
    /* Operations under way, a ring in order of tag: the oldest has tag `first_tag`. */
    struct outstanding *outstanding;
    size_t outstanding_head, outstanding_n, outstanding_capacity;
    uint64_t first_tag;
};

struct effects *effects_new(void) {
    struct effects *effects = calloc(1, sizeof *effects);
    if (effects)
        effects->first_tag = 1;
    return effects;
}

static void scratch_free(struct scratch *scratch) {
    while (scratch) {
        struct scratch *next = scratch->next;
        free(scratch);
        scratch = next;
    }
}

void effects_free(struct effects *effects) {
    if (!effects)
        return;
    free(effects->datagrams);
    free(effects->buffers);
    free(effects->ops);
    free(effects->answers);
    free(effects->outstanding);
    scratch_free(effects->scratch);
    free(effects);
}

void effects_clear(struct effects *effects) {
    if (effects->datagrams_capacity > DATAGRAMS_KEPT && effects->n_datagrams <= DATAGRAMS_KEPT) {
        free(effects->datagrams);
        free(effects->buffers);
        effects->datagrams = NULL;
        effects->buffers = NULL;
        effects->datagrams_capacity = 0;
    }
    effects->n_datagrams = effects->n_ops = effects->n_answers = 0;
    scratch_free(effects->scratch);
    effects->scratch = NULL;
}

/* Room for one more in a growing array of `size`d elements; false when memory is out. */
static bool grow(void **array, size_t *capacity, size_t n, size_t size) {
    if (n < *capacity)
        return true;
    size_t wanted = *capacity ? *capacity * 2 : 16;
    void *larger = realloc(*array, wanted * size);
    if (!larger)
        return false;
    *array = larger;
    *capacity = wanted;
    return true;
}

static bool grow_datagrams(struct effects *effects) {
    if (effects->n_datagrams < effects->datagrams_capacity)
        return true;
    size_t capacity = effects->datagrams_capacity;
    if (!grow((void **)&effects->datagrams, &capacity, effects->n_datagrams,
              sizeof *effects->datagrams))
        return false;
    void *larger = realloc(effects->buffers, capacity * sizeof *effects->buffers);
    if (!larger)
        return false; /* datagrams is larger than its capacity says: harmless */
    effects->buffers = larger;
    effects->datagrams_capacity = capacity;
    for (size_t i = 0; i < effects->n_datagrams; i++)
        effects->datagrams[i].bytes = effects->buffers[i];
    return true;
}

uint8_t *effects_datagram(struct effects *effects, const struct address *remote,
                          const struct address *local, size_t length) {
    if (effects->n_datagrams >= EFFECTS_DATAGRAMS_MAX || !grow_datagrams(effects))
        return NULL;
    uint8_t *buffer = effects->buffers[effects->n_datagrams];
    effects->datagrams[effects->n_datagrams++] =
        (struct datagram){.remote = *remote, .local = *local, .bytes = buffer, .length = length};
    return buffer;
}

static void remember(struct effects *effects, enum store_owner owner, uint64_t cookie) {
    if (effects->outstanding_n == effects->outstanding_capacity) {
        size_t capacity = effects->outstanding_capacity ? effects->outstanding_capacity * 2 : 64;
        struct outstanding *larger = calloc(capacity, sizeof *larger);
        if (!larger)
            abort(); /* an operation whose result nobody would know is a message lost: rather stop */
        for (size_t i = 0; i < effects->outstanding_n; i++)
            larger[i] =
                effects
                    ->outstanding[(effects->outstanding_head + i) % effects->outstanding_capacity];
        free(effects->outstanding);
        effects->outstanding = larger;
        effects->outstanding_head = 0;
        effects->outstanding_capacity = capacity;
    }
    size_t at =
        (effects->outstanding_head + effects->outstanding_n++) % effects->outstanding_capacity;
    effects->outstanding[at] = (struct outstanding){cookie, owner};
}

void effects_store(struct effects *effects, const struct store_op *op, enum store_owner owner,
                   uint64_t cookie) {
    if (!grow((void **)&effects->ops, &effects->ops_capacity, effects->n_ops, sizeof *effects->ops))
        abort(); /* as above */
    struct store_op *copy = &effects->ops[effects->n_ops++];
    *copy = *op;
    copy->tag = effects->first_tag + effects->outstanding_n;
    remember(effects, owner, cookie);
}

bool effects_stored(struct effects *effects, uint64_t tag, enum store_owner *ret_owner,
                    uint64_t *ret_cookie) {
    if (effects->outstanding_n == 0 || tag != effects->first_tag)
        return false;
    const struct outstanding *oldest = &effects->outstanding[effects->outstanding_head];
    *ret_owner = oldest->owner;
    *ret_cookie = oldest->cookie;
    effects->outstanding_head = (effects->outstanding_head + 1) % effects->outstanding_capacity;
    effects->outstanding_n--;
    effects->first_tag++;
    return true;
}

bool effects_abandon(struct effects *effects, enum store_owner *ret_owner, uint64_t *ret_cookie) {
    return effects_stored(effects, effects->first_tag, ret_owner, ret_cookie);
}

void effects_answer(struct effects *effects, const struct answer *answer) {
    if (!grow((void **)&effects->answers, &effects->answers_capacity, effects->n_answers,
              sizeof *effects->answers))
        return; /* the client times out: "outcome unknown" is the truth */
    effects->answers[effects->n_answers++] = *answer;
}

void effects_answer_text(struct effects *effects, uint64_t client, enum answer_code code,
                         const char *format, ...) {
    struct answer answer = {.client = client, .kind = ANSWER_TEXT, .code = code, .end = true};
    va_list args;

    va_start(args, format);
    vsnprintf(answer.text, sizeof answer.text, format, args);
    va_end(args);
    effects_answer(effects, &answer);
}

void *effects_scratch(struct effects *effects, size_t size) {
    struct scratch *scratch = effects->scratch;

    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (!scratch || scratch->capacity - scratch->used < size) {
        size_t capacity = size > SCRATCH_CHUNK ? size : SCRATCH_CHUNK;
        scratch = malloc(sizeof *scratch + capacity);
        if (!scratch)
            return NULL;
        *scratch = (struct scratch){.next = effects->scratch, .capacity = capacity};
        effects->scratch = scratch;
    }
    void *memory = (uint8_t *)scratch->bytes + scratch->used;
    scratch->used += size;
    memset(memory, 0, size);
    return memory;
}

const struct datagram *effects_datagrams(const struct effects *effects, size_t *ret_n) {
    *ret_n = effects->n_datagrams;
    return effects->datagrams;
}
const struct store_op *effects_ops(const struct effects *effects, size_t *ret_n) {
    *ret_n = effects->n_ops;
    return effects->ops;
}
const struct answer *effects_answers(const struct effects *effects, size_t *ret_n) {
    *ret_n = effects->n_answers;
    return effects->answers;
}
