/* Store operations of the ledger that are under way. Threat: a client may be gone by the time that
 * its operation is done; what is listed here is told so, and answers nobody. */
#include "daemon/core/deliver/ledger/ledger_private.h"

#include <stdio.h>

void *ledger_op_new(struct ledger *ledger, enum ledger_op_kind kind, size_t size) {
    struct ledger_op *op = calloc(1, size);
    if (!op)
        return NULL;
    op->owner = ledger->config.owner;
    op->kind = kind;
    TAILQ_INSERT_TAIL(&ledger->ops, op, link);
    return op;
}

void ledger_op_free(struct ledger *ledger, struct ledger_op *op) {
    TAILQ_REMOVE(&ledger->ops, op, link);
    free(op);
}

void ledger_store(struct ledger *ledger, const struct store_op *operation,
                  const struct ledger_op *op) {
    effects_store(ledger->config.effects, operation, OWNER_OUTBOX, (uint64_t)(uintptr_t)op);
}

struct message *ledger_find_own(const struct ledger *ledger, const struct message_id *id) {
    struct message *message = messages_find(ledger->config.messages, id);
    return message && message->kind == KIND_MAIL ? NULL : message;
}

struct ledger_refusal ledger_error_words(int error) {
    struct ledger_refusal refusal = {
        error_is_limit(error) || error == -EDQUOT ? ANSWER_LIMIT : ANSWER_FAILED, ""};
    const char *words = error == -ENOMEM   ? "out of memory (limits.memory)"
                        : error == -EEXIST ? "this id was used for another message"
                        : error == -ENOENT ? "its file is gone from the spool"
                        : error == -ESTALE ? "its file is not as long as was said"
                                           : NULL;
    if (words)
        snprintf(refusal.text, sizeof refusal.text, "%s", words);
    else if (error == -EDQUOT)
        snprintf(refusal.text, sizeof refusal.text,
                 "too many recipients (limit %d, and limits.memory); messages to those written to "
                 "before are accepted",
                 OUTBOX_CONVERSATIONS_MAX);
    else
        error_words(error, refusal.text);
    return refusal;
}

void ledger_refuse(struct ledger *ledger, uint64_t client, const struct ledger_refusal *refusal) {
    ledger->counters.pushes_refused += refusal->code == ANSWER_LIMIT;
    effects_answer_text(ledger->config.effects, client, refusal->code, "%s", refusal->text);
}
