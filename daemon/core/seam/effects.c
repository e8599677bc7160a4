#include "daemon/core/seam/effects.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SCRATCH_CHUNK 16384
/* Buffers stay where they are while others are added, hence the chunks. After a burst they are
 * given back by and by: a sixteenth of what a step left over. */
#define CHUNK_BUFFERS 32
#define CHUNKS_MAX (EFFECTS_DATAGRAMS_MAX / CHUNK_BUFFERS)
#define SURPLUS_SHARE 16
#define DATAGRAMS_KEPT 256 /* their list */

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
    size_t n_datagrams, datagrams_capacity;
    uint8_t (*chunks[CHUNKS_MAX])[DATAGRAM_LEN];
    size_t n_chunks, n_buffers; /* n_buffers: used in this step */
    uint8_t *spare;             /* given back; each begins with a pointer to the next */
    size_t kept;                /* buffers worth keeping */
    size_t most;                /* of them in a step */
    struct store_op *ops;
    size_t n_ops, ops_capacity;
    struct answer *answers;
    size_t n_answers, answers_capacity;
    struct scratch *scratch;
    size_t scratch_bytes;
    /* Operations under way, a ring in order of tag: the oldest has tag `first_tag`. */
    struct outstanding *outstanding;
    size_t outstanding_head, outstanding_n, outstanding_capacity;
    uint64_t first_tag;
};

struct effects *effects_new(void) {
    struct effects *effects = calloc(1, sizeof *effects);
    if (!effects)
        return NULL;
    effects->first_tag = 1;
    effects->most = EFFECTS_DATAGRAMS_MAX;
    return effects;
}

void effects_bound(struct effects *effects, size_t n) {
    effects->most = n < EFFECTS_DATAGRAMS_MAX ? n : EFFECTS_DATAGRAMS_MAX;
}

size_t effects_memory(const struct effects *effects) {
    return effects->n_chunks * sizeof *effects->chunks[0] * CHUNK_BUFFERS +
           effects->datagrams_capacity * sizeof *effects->datagrams +
           effects->ops_capacity * sizeof *effects->ops +
           effects->answers_capacity * sizeof *effects->answers + effects->scratch_bytes +
           effects->outstanding_capacity * sizeof *effects->outstanding;
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
    for (size_t i = 0; i < effects->n_chunks; i++)
        free(effects->chunks[i]);
    free(effects->ops);
    free(effects->answers);
    free(effects->outstanding);
    scratch_free(effects->scratch);
    free(effects);
}

static void shrink(struct effects *effects) {
    if (effects->n_buffers >= effects->kept)
        effects->kept = effects->n_buffers;
    else
        effects->kept -= (effects->kept - effects->n_buffers + SURPLUS_SHARE - 1) / SURPLUS_SHARE;
    while (effects->n_chunks > 1 && (effects->n_chunks - 1) * CHUNK_BUFFERS >= effects->kept)
        free(effects->chunks[--effects->n_chunks]);
    if (effects->datagrams_capacity > DATAGRAMS_KEPT && effects->kept <= DATAGRAMS_KEPT) {
        free(effects->datagrams);
        effects->datagrams = NULL;
        effects->datagrams_capacity = 0;
    }
    effects->n_buffers = 0;
    effects->spare = NULL;
}

void effects_clear(struct effects *effects) {
    shrink(effects);
    effects->n_datagrams = effects->n_ops = effects->n_answers = 0;
    scratch_free(effects->scratch);
    effects->scratch = NULL;
    effects->scratch_bytes = 0;
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

/* A place in the list of datagrams is had together with the buffer, so that effects_send() cannot
 * fail. */
uint8_t *effects_buffer(struct effects *effects) {
    uint8_t *buffer = effects->spare;
    if (buffer) {
        memcpy(&effects->spare, buffer, sizeof effects->spare);
        return buffer;
    }
    size_t n = effects->n_buffers;
    if (n >= effects->most || !grow((void **)&effects->datagrams, &effects->datagrams_capacity, n,
                                    sizeof *effects->datagrams))
        return NULL;
    uint8_t(**chunk)[DATAGRAM_LEN] = &effects->chunks[n / CHUNK_BUFFERS];
    if (n / CHUNK_BUFFERS == effects->n_chunks) {
        if (!(*chunk = malloc(CHUNK_BUFFERS * sizeof **chunk)))
            return NULL;
        effects->n_chunks++;
    }
    effects->n_buffers++;
    return (*chunk)[n % CHUNK_BUFFERS];
}

void effects_buffer_back(struct effects *effects, uint8_t *buffer) {
    memcpy(buffer, &effects->spare, sizeof effects->spare);
    effects->spare = buffer;
}

void effects_send(struct effects *effects, uint8_t *buffer, const struct address *remote,
                  const struct address *local, size_t length) {
    effects->datagrams[effects->n_datagrams++] =
        (struct datagram){.remote = *remote, .local = *local, .bytes = buffer, .length = length};
}

uint8_t *effects_datagram(struct effects *effects, const struct address *remote,
                          const struct address *local, size_t length) {
    uint8_t *buffer = effects_buffer(effects);
    if (buffer)
        effects_send(effects, buffer, remote, local, length);
    return buffer;
}

static void remember(struct effects *effects, enum store_owner owner, uint64_t cookie) {
    if (effects->outstanding_n == effects->outstanding_capacity) {
        size_t capacity = effects->outstanding_capacity ? effects->outstanding_capacity * 2 : 64;
        struct outstanding *larger = calloc(capacity, sizeof *larger);
        if (!larger)
            abort(); /* an operation whose result nobody would know is a message lost: rather
                        stop */
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
        effects->scratch_bytes += sizeof *scratch + capacity;
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
