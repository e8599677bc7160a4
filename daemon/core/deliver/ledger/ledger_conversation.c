/* Conversations: everybody that was ever written to, and the number of the last message to it. They
 * are kept for ever, since the numbers must not begin again. */
#include "daemon/core/deliver/ledger/ledger_private.h"

struct conversation *ledger_conversation_find(const struct ledger *ledger,
                                              const struct node_id *recipient) {
    uint64_t hash = table_hash(&ledger->conversations, recipient, sizeof *recipient);
    struct conversation *conversation;
    TABLE_FIND(conversation, &ledger->conversations, hash, by_recipient,
               node_id_is_equal(&conversation->recipient, recipient));
    return conversation;
}

struct conversation *ledger_conversation(struct ledger *ledger, const struct node_id *recipient) {
    struct conversation *conversation = ledger_conversation_find(ledger, recipient);
    if (conversation || ledger->conversations.used >= OUTBOX_CONVERSATIONS_MAX)
        return conversation;
    conversation = calloc(1, sizeof *conversation);
    if (!conversation)
        return NULL;
    conversation->recipient = *recipient;
    budget_part_take(&ledger->config.messages->conversations, sizeof *conversation);
    table_add(&ledger->conversations, &conversation->by_recipient,
              table_hash(&ledger->conversations, recipient, sizeof *recipient));
    return conversation;
}

bool ledger_conversation_has_room(struct ledger *ledger) {
    return budget_part_has_room(&ledger->config.messages->conversations,
                                sizeof(struct conversation) + BUDGET_HEAP_EXTRA);
}

void ledger_conversation_unmake(struct ledger *ledger, struct conversation *conversation) {
    if (conversation->sequence > 0 || conversation->n_pending > 0)
        return;
    table_remove(&ledger->conversations, &conversation->by_recipient);
    budget_part_give(&ledger->config.messages->conversations, sizeof *conversation);
    free(conversation);
}

uint64_t ledger_conversation_number(struct conversation *conversation, size_t n) {
    uint64_t first = conversation->sequence + 1;
    conversation->sequence += n;
    return first;
}

void ledger_conversations_deinit(struct ledger *ledger) {
    for (size_t i = 0; ledger->conversations.slots && i < ledger->conversations.n_slots; i++)
        for (struct table_link *link = ledger->conversations.slots[i], *next; link; link = next) {
            next = link->next;
            budget_part_give(&ledger->config.messages->conversations, sizeof(struct conversation));
            free(table_entry(link, struct conversation, by_recipient));
        }
    table_deinit(&ledger->conversations);
}

/* ---- To be looked at ---- */

void ledger_remember_round_trip(struct ledger *ledger, const struct node_id *recipient,
                                int64_t srtt_us, int64_t rttvar_us) {
    struct conversation *conversation = ledger_conversation_find(ledger, recipient);
    if (!conversation || srtt_us <= 0)
        return;
    conversation->srtt_us = srtt_us;
    conversation->rttvar_us = rttvar_us;
}

bool ledger_recall_round_trip(const struct ledger *ledger, const struct node_id *recipient,
                              int64_t *ret_srtt_us, int64_t *ret_rttvar_us) {
    const struct conversation *conversation = ledger_conversation_find(ledger, recipient);
    if (!conversation || conversation->srtt_us == 0)
        return false;
    *ret_srtt_us = conversation->srtt_us;
    *ret_rttvar_us = conversation->rttvar_us;
    return true;
}

uint64_t ledger_pending_to(const struct ledger *ledger, const struct node_id *recipient) {
    const struct conversation *conversation = ledger_conversation_find(ledger, recipient);
    return conversation ? conversation->n_pending : 0;
}

bool ledger_has_written(const struct ledger *ledger, const struct node_id *recipient) {
    const struct conversation *conversation = ledger_conversation_find(ledger, recipient);
    return conversation && conversation->sequence > 0;
}

void ledger_visit_pending(const struct ledger *ledger,
                          bool (*visit)(void *context, const struct node_id *recipient,
                                        uint64_t pending),
                          void *context) {
    const struct conversation *conversation;
    TAILQ_FOREACH(conversation, &ledger->pending, pending)
        if (!visit(context, &conversation->recipient, conversation->n_pending))
            return;
}

/* Slots go whole: the last of them may be more than was asked for. */
size_t ledger_visit(const struct ledger *ledger, size_t at, size_t most,
                    bool (*visit)(void *context, const struct node_id *recipient, uint64_t pending),
                    void *context) {
    size_t n = 0;
    do {
        struct table_link *link = ledger->conversations.slots[at];
        for (; link; link = link->next) {
            const struct conversation *conversation =
                table_entry(link, struct conversation, by_recipient);
            n++;
            if (!visit(context, &conversation->recipient, conversation->n_pending))
                return 0;
        }
        at = table_scan(&ledger->conversations, at);
        n++; /* an empty slot is work, too */
    } while (at > 0 && n < most);
    return at;
}
