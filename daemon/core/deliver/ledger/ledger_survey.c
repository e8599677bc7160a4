/* Why messages wait, for the doctor. Once in a while somebody asks, so nothing is kept for it; and
 * as there may be hundreds of thousands, it is found out in steps, between which messages come and
 * go. */
#include "daemon/core/deliver/ledger/ledger_private.h"

static void surveyed_free(struct ledger *ledger, struct surveyed *surveyed) {
    TAILQ_REMOVE(&ledger->survey.found, surveyed, link);
    surveyed->conversation->surveyed = NULL;
    budget_give(ledger->config.budget, BUDGET_CLIENTS, sizeof *surveyed);
    free(surveyed);
}

static struct surveyed *surveyed_new(struct ledger *ledger, struct conversation *conversation) {
    struct surveyed *surveyed = NULL;
    if (budget_take_free(ledger->config.budget, BUDGET_CLIENTS, sizeof *surveyed) &&
        !(surveyed = calloc(1, sizeof *surveyed)))
        budget_give(ledger->config.budget, BUDGET_CLIENTS, sizeof *surveyed);
    if (!surveyed)
        return NULL;
    surveyed->conversation = conversation;
    surveyed->wait = (struct outbox_wait){
        .recipient = conversation->recipient, .oldest = {INT64_MAX}, .expires = {INT64_MAX}};
    conversation->surveyed = surveyed;
    TAILQ_INSERT_TAIL(&ledger->survey.found, surveyed, link);
    return surveyed;
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

void ledger_survey_begin(struct ledger *ledger, struct wall soon) {
    while (!TAILQ_EMPTY(&ledger->survey.found))
        surveyed_free(ledger, TAILQ_FIRST(&ledger->survey.found));
    ledger->survey.at = TAILQ_FIRST(&ledger->all);
    ledger->survey.left = ledger->n_messages; /* those that come meanwhile are for the next one */
    ledger->survey.soon = soon;
    ledger->survey.n_left_out = 0;
}

bool ledger_survey(struct ledger *ledger, size_t n,
                   enum outbox_why (*why_of)(const void *context, const struct message *message),
                   const void *of) {
    for (; n > 0 && ledger->survey.left > 0 && ledger->survey.at; n--) {
        struct message *message = ledger->survey.at;
        struct surveyed *surveyed = NULL;
        ledger->survey.at = TAILQ_NEXT(message, all);
        ledger->survey.left--;
        if (!message->conversation || message_state_is_final(message->state))
            continue;
        surveyed = message->conversation->surveyed;
        if (!surveyed)
            surveyed = surveyed_new(ledger, message->conversation);
        ledger->survey.n_left_out += surveyed == NULL;
        if (surveyed)
            add(message, why_of(of, message), ledger->survey.soon, &surveyed->wait);
    }
    return ledger->survey.left == 0 || !ledger->survey.at;
}

uint64_t ledger_left_out(const struct ledger *ledger) {
    return ledger->survey.n_left_out;
}

bool ledger_surveyed(struct ledger *ledger, struct outbox_wait *ret_wait) {
    struct surveyed *surveyed = TAILQ_FIRST(&ledger->survey.found);
    if (!surveyed)
        return false;
    *ret_wait = surveyed->wait;
    surveyed_free(ledger, surveyed);
    return true;
}
