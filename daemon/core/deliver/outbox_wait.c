/* Why messages wait, for the doctor: see outbox.h. Once in a while somebody asks, so nothing is
 * kept for it but the reason a recipient last stopped for. */
#include "daemon/core/deliver/outbox_private.h"

#include <errno.h>
#include <stdlib.h>

struct owed {
    const struct out_conversation *conversation;
    const struct out_message *message;
};

static int compare(const void *a, const void *b) {
    uintptr_t left = (uintptr_t)((const struct owed *)a)->conversation;
    uintptr_t right = (uintptr_t)((const struct owed *)b)->conversation;
    return left < right ? -1 : left > right;
}

static enum outbox_why why_of(const struct outbox *outbox, const struct out_message *message) {
    if (!message->flow)
        return outbox->local_retry_us > US_PER_S ? OUTBOX_STORE : OUTBOX_FLYING;
    if (message->flow->unreachable)
        return message->flow->why;
    if (out_flow_is_silent(message->flow))
        return OUTBOX_SILENT;
    return message->flow->why == OUTBOX_MEMORY ? OUTBOX_MEMORY : OUTBOX_FLYING;
}

static void add(const struct outbox *outbox, const struct out_message *message, struct wall soon,
                struct outbox_wait *wait) {
    enum outbox_why why = why_of(outbox, message);
    if (why > wait->why) /* it may be owed over several kinds of routes */
        wait->why = why;
    wait->messages++;
    wait->mailed += message->mailed != 0;
    wait->expiring += message->expires.us < soon.us;
    if (message->created.us < wait->oldest.us)
        wait->oldest = message->created;
    if (message->expires.us < wait->expires.us)
        wait->expires = message->expires;
}

int outbox_waits(const struct outbox *outbox, struct wall soon,
                 void (*visit)(void *context, const struct outbox_wait *wait), void *context) {
    const struct out_message *message;
    struct owed *owed = calloc(outbox->n_messages + 1, sizeof *owed);
    size_t n = 0;
    if (!owed)
        return -ENOMEM;
    TAILQ_FOREACH(message, &outbox->all, all)
        if (message->conversation && !message_state_is_final(message->state))
            owed[n++] = (struct owed){message->conversation, message};
    qsort(owed, n, sizeof *owed, compare);
    for (size_t i = 0; i < n;) {
        struct outbox_wait wait = {.recipient = owed[i].conversation->recipient,
                                   .oldest = {INT64_MAX},
                                   .expires = {INT64_MAX}};
        size_t first = i;
        while (i < n && owed[i].conversation == owed[first].conversation)
            add(outbox, owed[i++].message, soon, &wait);
        visit(context, &wait);
    }
    free(owed);
    return 0;
}

uint64_t outbox_unread(const struct outbox *outbox) {
    return outbox->load.left;
}
