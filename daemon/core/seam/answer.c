/* See answer.h. */
#include "daemon/core/seam/answer.h"
#include "daemon/core/seam/effects.h"

void *answer_begin(struct effects *effects, struct answer *ret_answer, uint64_t client,
                   enum answer_kind kind, size_t size) {
    void *memory = effects_scratch(effects, size > 0 ? size : 1);

    *ret_answer = (struct answer){.client = client, .kind = kind, .code = ANSWER_OK, .end = true};
    if (!memory)
        answer_no_memory(effects, client);
    return memory;
}

void answer_no_memory(struct effects *effects, uint64_t client) {
    effects_answer_text(effects, client, ANSWER_LIMIT, "out of memory");
}
