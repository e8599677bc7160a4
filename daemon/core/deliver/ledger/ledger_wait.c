/* Why messages wait, for the doctor. Once in a while somebody asks, so nothing is kept for it. */
#include "daemon/core/deliver/ledger/ledger_private.h"

struct pending {
    const struct conversation *conversation;
    const struct message *message;
};

static int compare(const void *a, const void *b) {
    uintptr_t left = (uintptr_t)((const struct pending *)a)->conversation;
    uintptr_t right = (uintptr_t)((const struct pending *)b)->conversation;
    return left < right ? -1 : left > right;
}

static void add(const struct message *message, enum outbox_why why, struct wall soon,
                struct outbox_wait *wait) {
    if (why > wait->why) /* it may be pending over several kinds of routes */
        wait->why = why;
    wait->messages++;
    wait->mailed += message->mailed != 0;
    wait->expiring += message->expires.us < soon.us;
    if (message->created.us < wait->oldest.us)
        wait->oldest = message->created;
    if (message->expires.us < wait->expires.us)
        wait->expires = message->expires;
}

int ledger_waits(const struct ledger *ledger, struct wall soon,
                 enum outbox_why (*why_of)(const void *context, const struct message *message),
                 const void *of, void (*visit)(void *context, const struct outbox_wait *wait),
                 void *context) {
    const struct message *message;
    struct pending *pending = calloc(ledger->n_messages + 1, sizeof *pending);
    size_t n = 0;
    if (!pending)
        return -ENOMEM;
    TAILQ_FOREACH(message, &ledger->all, all)
        if (message->conversation && !message_state_is_final(message->state))
            pending[n++] = (struct pending){message->conversation, message};
    qsort(pending, n, sizeof *pending, compare);
    for (size_t i = 0; i < n;) {
        struct outbox_wait wait = {.recipient = pending[i].conversation->recipient,
                                   .oldest = {INT64_MAX},
                                   .expires = {INT64_MAX}};
        size_t first = i;
        for (; i < n && pending[i].conversation == pending[first].conversation; i++)
            add(pending[i].message, why_of(of, pending[i].message), soon, &wait);
        visit(context, &wait);
    }
    free(pending);
    return 0;
}
