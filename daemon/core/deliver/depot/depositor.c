/* What is left in mailboxes: see depositor.h. */
#include "daemon/core/deliver/depot/depositor_private.h"

#include <assert.h>

#define SCAN_US (2 * US_PER_S)
#define UNREACHABLE_US (5 * US_PER_S) /* a recipient without a route for so long is away */
#define TRIES_KEPT 4 /* tries of a sealed deposit; then its memory serves another one */

static void drop_all(struct depositor *depositor, struct depositor_account *account) {
    for (unsigned i = 0; i < account->n; i++)
        if (account->boxes[i].deposit)
            deposit_drop(depositor, account->boxes[i].deposit);
}

void depositor_forget(struct depositor *depositor, struct depositor_account *account) {
    if (account)
        drop_all(depositor, account);
    free(account);
}

/* ---- Whose turn it is ---- */

static bool may_be_away(const struct depositor_recipient *recipient) {
    return recipient->n_messages > 0 && (recipient->is_unreachable || recipient->is_silent);
}

static bool is_away(struct depositor_account *account, const struct depositor_recipient *recipient,
                    struct mono now) {
    if (!may_be_away(recipient)) {
        account->away_since = MONO_NEVER;
        return false;
    }
    if (account->away_since.us == MONO_NEVER.us)
        account->away_since = now;
    return recipient->is_silent || now.us - account->away_since.us >= UNREACHABLE_US;
}

static bool is_usable(const struct descriptor *recipient, struct wall wall) {
    uint32_t today = wall_day(wall);
    return recipient->mail_day != 0 && recipient->n_mailboxes > 0 &&
           recipient->mail_day <= today + 1 && recipient->mail_day + MAIL_DAYS_MAX >= today;
}

static bool forget_mailed(void *context, struct message *message) {
    (void)context;
    message->mailed = 0;
    return true;
}

/* Take the mailboxes that the recipient's descriptor names. If they changed, the recipient was here
 * meanwhile: what the old ones keep is forgotten, and the messages are left again. */
static void follow(struct depositor *depositor, struct depositor_account *account,
                   const struct depositor_recipient *recipient,
                   const struct descriptor *descriptor) {
    bool same = account->n == descriptor->n_mailboxes;
    for (unsigned i = 0; same && i < account->n; i++)
        same = account->boxes[i].prefix == descriptor->mailboxes[i];
    if (same)
        return;
    drop_all(depositor, account);
    account->n = descriptor->n_mailboxes;
    for (unsigned i = 0; i < account->n; i++)
        account->boxes[i] = (struct box){.prefix = descriptor->mailboxes[i], .due = {INT64_MIN}};
    recipient->each(recipient->recipient, forget_mailed, NULL);
}

/* Drop the mailbox's deposit if it is of no use any more. True: nothing else is to be done with
 * this mailbox just now. */
static bool tidy(struct depositor *depositor, struct box *box, struct mono now) {
    struct deposit *deposit = box->deposit;
    if (!deposit || deposit->reads > 0)
        return deposit != NULL;
    bool tired = deposit->tries >= TRIES_KEPT;
    if (deposit->state == DEPOSIT_STALE || tired || !deposit_is_pending(depositor, deposit))
        deposit_drop(depositor, deposit);
    if (!tired || depositor->n_deposits + 1 < OUTBOX_DEPOSITS_MAX)
        return false;
    box->due = mono_add(now, DEPOSIT_AGAIN_US); /* all places are taken: let others have this one */
    return true;
}

/* The mailbox, if it is up and takes mail. Not one of several nodes at its address (unsettled): it
 * could tell each sender another key, and learn from ours where we are. */
static const struct directory_entry *usable_box(const struct depositor *depositor,
                                                const struct box *box) {
    const struct directory_entry *there =
        directory_find_prefix(depositor->config.directory, box->prefix);
    bool is_usable = there && there->mailbox && there->live && !there->unsettled &&
                     directory_is_up(depositor->config.directory, there);
    return is_usable ? there : NULL;
}

/* Do the next step with one mailbox: gather, seal or send. */
static void turn(struct depositor *depositor, struct depositor_account *account, struct box *box,
                 const struct depositor_recipient *recipient, const struct descriptor *descriptor,
                 struct now now) {
    const struct directory_entry *there = usable_box(depositor, box);
    if (!there || !mono_is_due(box->due, now.mono) || tidy(depositor, box, now.mono))
        return;
    if (!box->deposit)
        deposit_begin(depositor, account, box, recipient, descriptor, now.mono);
    struct deposit *deposit = box->deposit;
    if (!deposit || deposit->reads > 0)
        return;
    if (deposit->state == DEPOSIT_STALE ||
        (deposit->state == DEPOSIT_READING && !deposit_seal(depositor, deposit))) {
        deposit_drop(depositor, deposit);
        box->due = mono_add(now.mono, DEPOSIT_AGAIN_US);
        return;
    }
    const struct directory_entry *entry =
        directory_find(depositor->config.directory, &recipient->id);
    if (entry)
        deposit_try(depositor, deposit, there, entry, now);
}

static struct depositor_account *account_new(const struct depositor_recipient *recipient) {
    struct depositor_account *account = calloc(1, sizeof *account);
    if (!account)
        return NULL;
    account->recipient = recipient->recipient;
    account->id = recipient->id;
    account->relays_exact = recipient->relays_exact;
    account->strict = recipient->strict;
    account->away_since = MONO_NEVER;
    return account;
}

struct depositor_account *depositor_look(struct depositor *depositor,
                                         struct depositor_account *account,
                                         const struct depositor_recipient *recipient,
                                         struct now now) {
    struct descriptor descriptor;
    if (!account && may_be_away(recipient))
        account = account_new(recipient);
    if (!account)
        return NULL;
    if (!is_away(account, recipient, now.mono)) {
        for (unsigned i = 0; i < account->n; i++)
            if (account->boxes[i].deposit && mono_is_due(account->boxes[i].due, now.mono))
                deposit_drop(depositor, account->boxes[i].deposit);
        return account;
    }
    const struct directory_entry *entry =
        directory_find(depositor->config.directory, &recipient->id);
    if (!entry)
        return account;
    directory_descriptor(entry, &descriptor);
    if (!is_usable(&descriptor, now.wall))
        return account;
    follow(depositor, account, recipient, &descriptor);
    for (unsigned i = 0; i < account->n; i++)
        turn(depositor, account, &account->boxes[i], recipient, &descriptor, now);
    return account;
}

bool depositor_is_due(struct depositor *depositor, struct mono now) {
    if (!mono_is_due(depositor->scan, now))
        return false;
    depositor->scan = mono_add(now, SCAN_US);
    return true;
}

void depositor_tick(struct depositor *depositor, struct now now) {
    struct deposit *deposit;
    TAILQ_FOREACH(deposit, &depositor->deposits, link)
        if (deposit->shards && mono_is_due(deposit->send_at, now.mono))
            deposit_send(depositor, deposit, now);
}

struct mono depositor_next(const struct depositor *depositor, bool is_pending) {
    struct mono next = is_pending ? depositor->scan : MONO_NEVER;
    const struct deposit *deposit;
    TAILQ_FOREACH(deposit, &depositor->deposits, link)
        if (deposit->shards)
            next = mono_min(next, deposit->send_at);
    return next;
}

/* ---- Confirmations ---- */

static bool is_old_token(const struct depositor *depositor, const uint8_t *token) {
    bool found = false;
    for (unsigned i = 0; i < DEPOSITOR_TOKENS; i++)
        found |= sodium_memcmp(depositor->tokens[i], token, MAIL_TOKEN_LEN) == 0;
    return found;
}

static void confirmed(struct depositor *depositor, struct deposit *deposit, struct mono now) {
    struct box *box = deposit->box;
    for (size_t i = 0; i < deposit->n; i++) {
        struct message *message = messages_find(depositor->config.messages, &deposit->ids[i]);
        if (message && message->recipient == deposit->account->recipient)
            message->mailed |= (uint8_t)(1u << (box - deposit->account->boxes));
    }
    memcpy(depositor->tokens[depositor->next_token], deposit->token, MAIL_TOKEN_LEN);
    depositor->next_token = (depositor->next_token + 1) % DEPOSITOR_TOKENS;
    box->tries = 0;
    box->due = depositor->scan = now; /* look soon: there may be more for this mailbox */
    deposit_drop(depositor, deposit);
}

enum drop depositor_confirmation(struct depositor *depositor, const uint8_t *payload, size_t length,
                                 struct mono now) {
    struct deposit *deposit;
    if (length != 1 + MAIL_TOKEN_LEN)
        return DROP_MALFORMED;
    TAILQ_FOREACH(deposit, &depositor->deposits, link)
        if (deposit->box && deposit->tries > 0 &&
            sodium_memcmp(deposit->token, payload + 1, MAIL_TOKEN_LEN) == 0) {
            confirmed(depositor, deposit, now);
            return DROP_NONE;
        }
    return is_old_token(depositor, payload + 1) ? DROP_DUPLICATE : DROP_UNKNOWN;
}

/* ---- Life ---- */

struct depositor *depositor_new(const struct depositor_config *config, struct mono now) {
    struct depositor *depositor = calloc(1, sizeof *depositor);
    if (!depositor)
        return NULL;
    depositor->config = *config;
    depositor->self = *identity_id(config->identity);
    depositor->scan = now;
    TAILQ_INIT(&depositor->deposits);
    TAILQ_INIT(&depositor->ops);
    return depositor;
}

/* Every account is forgotten by now. */
void depositor_free(struct depositor *depositor) {
    if (!depositor)
        return;
    while (!TAILQ_EMPTY(&depositor->ops))
        deposit_op_done(depositor, TAILQ_FIRST(&depositor->ops));
    assert(depositor->n_deposits == 0);
    free(depositor);
}

bool depositor_is_idle(const struct depositor *depositor) {
    return TAILQ_EMPTY(&depositor->ops);
}

unsigned depositor_count(const struct depositor *depositor) {
    return depositor->n_deposits;
}
