/* A double of effects.c for tests of a whole node: scratch memory can run out. Included once by a
 * test program that is linked from libp2pd-core.a, whose own effects.o is then not taken. */
#ifndef FAKE_EFFECTS_H
#define FAKE_EFFECTS_H

#include "daemon/core/seam/effects.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FAKE_EFFECTS_MAX 1024

struct effects {
    struct store_op ops[FAKE_EFFECTS_MAX];
    struct answer answers[FAKE_EFFECTS_MAX];
    struct datagram datagrams[FAKE_EFFECTS_MAX];
    uint8_t buffers[FAKE_EFFECTS_MAX][DATAGRAM_LEN];
    void *scratch[FAKE_EFFECTS_MAX];
    struct {
        enum store_owner owner;
        uint64_t cookie;
    } outstanding[FAKE_EFFECTS_MAX]; /* a ring */
    size_t n_ops, n_answers, n_datagrams, n_buffers, n_scratch;
    uint64_t first_tag, next_tag;
};

/* The fault knob: so many pieces of scratch memory are to be had, and then no more. */
#define SCRATCH_ENDLESS SIZE_MAX
static size_t scratch_left = SCRATCH_ENDLESS;
static unsigned scratch_refused;

struct effects *effects_new(void) {
    struct effects *effects = calloc(1, sizeof *effects);
    if (effects)
        effects->first_tag = effects->next_tag = 1;
    return effects;
}
void effects_clear(struct effects *effects) {
    while (effects->n_scratch > 0)
        free(effects->scratch[--effects->n_scratch]);
    effects->n_ops = effects->n_answers = effects->n_datagrams = effects->n_buffers = 0;
}
void effects_free(struct effects *effects) {
    if (effects)
        effects_clear(effects);
    free(effects);
}

void effects_bound(struct effects *effects, size_t n) {
    (void)effects;
    (void)n;
}
size_t effects_memory(const struct effects *effects) {
    (void)effects;
    return 0;
}
uint8_t *effects_buffer(struct effects *effects) {
    return effects->n_buffers < FAKE_EFFECTS_MAX ? effects->buffers[effects->n_buffers++] : NULL;
}
void effects_buffer_back(struct effects *effects, uint8_t *buffer) {
    (void)effects, (void)buffer;
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

void effects_store(struct effects *effects, const struct store_op *op, enum store_owner owner,
                   uint64_t cookie) {
    size_t at = effects->next_tag % FAKE_EFFECTS_MAX;
    if (effects->n_ops == FAKE_EFFECTS_MAX ||
        effects->next_tag - effects->first_tag == FAKE_EFFECTS_MAX)
        abort();
    effects->outstanding[at].owner = owner;
    effects->outstanding[at].cookie = cookie;
    effects->ops[effects->n_ops] = *op;
    effects->ops[effects->n_ops++].tag = effects->next_tag++;
}
bool effects_stored(struct effects *effects, uint64_t tag, enum store_owner *ret_owner,
                    uint64_t *ret_cookie) {
    if (tag != effects->first_tag || effects->first_tag == effects->next_tag)
        return false;
    *ret_owner = effects->outstanding[tag % FAKE_EFFECTS_MAX].owner;
    *ret_cookie = effects->outstanding[tag % FAKE_EFFECTS_MAX].cookie;
    effects->first_tag++;
    return true;
}
bool effects_abandon(struct effects *effects, enum store_owner *ret_owner, uint64_t *ret_cookie) {
    return effects_stored(effects, effects->first_tag, ret_owner, ret_cookie);
}

void effects_answer(struct effects *effects, const struct answer *answer) {
    if (effects->n_answers < FAKE_EFFECTS_MAX)
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
    if (scratch_left == 0 || effects->n_scratch == FAKE_EFFECTS_MAX) {
        scratch_refused++;
        return NULL;
    }
    if (scratch_left != SCRATCH_ENDLESS)
        scratch_left--;
    return effects->scratch[effects->n_scratch++] = calloc(1, size ? size : 1);
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

#endif
