/* Deposits: see mailbox.h. */
#include "daemon/core/deliver/depot/mailbox_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Its replies are as old: no relay takes them any more. */
#define UNFINISHED_US (2 * US_PER_MINUTE)
#define EXPIRE_MAX_US (INT64_C(24) * MAIL_DAYS_MAX * US_PER_HOUR)

/* ---- Deposits ---- */

static void deposit_free(struct mailbox *mailbox, struct mailbox_deposit *deposit) {
    TAILQ_REMOVE(deposit->storing ? &mailbox->storing : &mailbox->unfinished, deposit, link);
    mailbox->n_deposits--;
    mailbox->bytes -= deposit->room;
    budget_give(mailbox->config.budget, BUDGET_MAILBOX, deposit->room);
    free(deposit->bytes);
    free(deposit);
}

/* How fast a deposit grows. Senders are unknown and cannot be charged, but the growth of a deposit
 * costs them: beginning deposits takes one packet each, keeping up with one that grows many. */
static int64_t growth(const struct mailbox *mailbox, const struct mailbox_deposit *deposit) {
    return recent_level(&deposit->growth, mailbox->now);
}

static unsigned count_of(const struct mailbox *mailbox, unsigned neighbour) {
    const struct mailbox_deposit *deposit;
    unsigned n = 0;
    TAILQ_FOREACH(deposit, &mailbox->unfinished, link)
        n += deposit->neighbour == neighbour;
    return n;
}

/* Of the unfinished deposits that a neighbour brought the one that grows least; among equals the
 * oldest. NULL: it brought none. */
static struct mailbox_deposit *slowest_of(const struct mailbox *mailbox, unsigned neighbour) {
    struct mailbox_deposit *deposit, *slowest = NULL;
    TAILQ_FOREACH(deposit, &mailbox->unfinished, link)
        if (deposit->neighbour == neighbour &&
            (!slowest || growth(mailbox, deposit) < growth(mailbox, slowest)))
            slowest = deposit;
    return slowest;
}

/* Of the neighbour that holds most deposits the one that grows least; `newcomer` counts as holding
 * one more. NULL: nothing is unfinished. */
static struct mailbox_deposit *slowest_of_fullest(const struct mailbox *mailbox,
                                                  unsigned newcomer) {
    struct mailbox_deposit *deposit, *slowest = NULL;
    unsigned most = 0;
    TAILQ_FOREACH(deposit, &mailbox->unfinished, link) {
        unsigned n = count_of(mailbox, deposit->neighbour) + (deposit->neighbour == newcomer);
        if (n < most || (n == most && growth(mailbox, deposit) >= growth(mailbox, slowest)))
            continue;
        most = n;
        slowest = deposit;
    }
    return slowest;
}

static bool evict(void *context) {
    struct mailbox_deposit *deposit = slowest_of_fullest(context, LINK_NONE);
    if (!deposit)
        return false;
    deposit_free(context, deposit);
    return true;
}

static bool make_room(struct mailbox *mailbox, unsigned neighbour, size_t room) {
    /* Of the largest as many fit as of any: it is enough to count them. */
    static_assert(MAIL_SHARDS_MAX * MAIL_SHARD_DATA_MAX * MAILBOX_DEPOSITS_MAX <= MAILBOX_BYTES_MAX,
                  "bytes");
    if (count_of(mailbox, neighbour) >= MAILBOX_DEPOSITS_MAX / MAILBOX_SHARE)
        deposit_free(mailbox, slowest_of(mailbox, neighbour));
    if (mailbox->n_deposits >= MAILBOX_DEPOSITS_MAX) {
        struct mailbox_deposit *deposit = slowest_of_fullest(mailbox, neighbour);
        if (!deposit) /* all are being stored */
            return false;
        deposit_free(mailbox, deposit);
    }
    return budget_take(mailbox->config.budget, BUDGET_MAILBOX, room);
}

static struct mailbox_deposit *deposit_new(struct mailbox *mailbox, const struct mail_shard *shard,
                                           unsigned neighbour, struct mono now) {
    size_t room = (size_t)shard->cut.k * shard->cut.length;
    if (!make_room(mailbox, neighbour, room))
        return NULL;
    struct mailbox_deposit *deposit = calloc(1, sizeof *deposit);
    uint8_t *bytes = malloc(room);
    if (!deposit || !bytes) {
        free(deposit);
        free(bytes);
        budget_give(mailbox->config.budget, BUDGET_MAILBOX, room);
        return NULL;
    }
    memcpy(deposit->id, shard->id, sizeof deposit->id);
    deposit->cut = shard->cut;
    deposit->neighbour = neighbour;
    deposit->born = now;
    deposit->bytes = bytes;
    deposit->room = room;
    TAILQ_INSERT_TAIL(&mailbox->unfinished, deposit, link);
    mailbox->n_deposits++;
    mailbox->bytes += room;
    assert(mailbox->bytes <= MAILBOX_BYTES_MAX);
    return deposit;
}

static struct mailbox_deposit *find(const struct mailbox *mailbox,
                                    const uint8_t id[PARCEL_ID_LEN]) {
    struct mailbox_deposit *deposit;
    TAILQ_FOREACH(deposit, &mailbox->unfinished, link)
        if (memcmp(deposit->id, id, PARCEL_ID_LEN) == 0)
            return deposit;
    return NULL;
}

/* Was this deposit completed lately? Its late parity shards begin no new one. */
static bool is_done(const struct mailbox *mailbox, const uint8_t id[PARCEL_ID_LEN]) {
    for (unsigned i = 0; i < MAILBOX_DONE; i++)
        if (memcmp(mailbox->done[i], id, PARCEL_ID_LEN) == 0)
            return true;
    return false;
}

/* ---- Judging ---- */

static bool names_us(const struct mailbox *mailbox, const struct descriptor *recipient) {
    for (unsigned i = 0; i < recipient->n_mailboxes; i++)
        if (recipient->mailboxes[i] == mailbox->self)
            return true;
    return false;
}

/* Does the recipient name us as a mailbox, by the newer one of the descriptor that we hold and the
 * one in the deposit? DROP_NONE, DROP_MALFORMED, DROP_AUTH, DROP_UNKNOWN (it names others),
 * DROP_LIMIT (the neighbour has had enough signatures checked). */
static enum drop judge_recipient(const struct mailbox *mailbox, const struct mail_deposit *deposit,
                                 unsigned neighbour, struct mono now) {
    const struct directory_entry *entry =
        directory_find(mailbox->config.directory, &deposit->recipient);
    struct descriptor held = {.sequence = 0}, brought = {.sequence = 0};
    if (entry)
        directory_descriptor(entry, &held);
    if (deposit->descriptor_length > 0) {
        enum drop drop =
            descriptor_decode(deposit->descriptor, deposit->descriptor_length, &brought);
        if (drop != DROP_NONE)
            return drop;
        if (!node_id_is_equal(&brought.id, &deposit->recipient))
            return DROP_MALFORMED;
    }
    if (held.sequence >= brought.sequence)
        return entry && names_us(mailbox, &held) ? DROP_NONE : DROP_UNKNOWN;
    if (!names_us(mailbox, &brought))
        return DROP_UNKNOWN;
    if (mailbox->config.share && !share_take(mailbox->config.share, neighbour, now))
        return DROP_LIMIT;
    return descriptor_verify(deposit->descriptor, deposit->descriptor_length, &brought);
}

static enum drop judge(struct mailbox *mailbox, struct mailbox_deposit *deposit, struct now now,
                       struct mailbox_mail *ret_mail) {
    int length = mail_restore(&deposit->cut, deposit->index, deposit->bytes);
    if (length < 0)
        return DROP_LIMIT;
    struct mail_deposit *content = &deposit->content;
    enum drop drop = mail_deposit_decode(deposit->bytes, (size_t)length, content);
    if (drop == DROP_NONE)
        drop = judge_recipient(mailbox, content, deposit->neighbour, now.mono);
    if (drop == DROP_NONE && content->expires_ms <= (uint64_t)wall_ms(now.wall))
        drop = DROP_TIME;
    if (drop != DROP_NONE)
        return drop;
    struct wall latest = {now.wall.us + EXPIRE_MAX_US};
    *ret_mail = (struct mailbox_mail){.id = mail_id(content->blob, content->blob_length),
                                      .recipient = content->recipient,
                                      .expires = latest,
                                      .bytes = content->blob,
                                      .length = content->blob_length};
    if (content->expires_ms < (uint64_t)wall_ms(latest))
        ret_mail->expires.us = (int64_t)content->expires_ms * US_PER_MS;
    return DROP_NONE;
}

static enum drop complete(struct mailbox *mailbox, struct mailbox_deposit *deposit, struct now now,
                          struct mailbox_mail *ret_mail) {
    memcpy(mailbox->done[mailbox->next_done], deposit->id, PARCEL_ID_LEN);
    mailbox->next_done = (mailbox->next_done + 1) % MAILBOX_DONE;
    TAILQ_REMOVE(&mailbox->unfinished, deposit, link);
    TAILQ_INSERT_TAIL(&mailbox->storing, deposit, link);
    deposit->storing = true;
    enum drop drop = judge(mailbox, deposit, now, ret_mail);
    if (drop == DROP_NONE) {
        deposit->tag = ret_mail->tag = ++mailbox->last_tag;
        return DROP_NONE;
    }
    mailbox->refused++;
    deposit_free(mailbox, deposit);
    return drop;
}

enum drop mailbox_shard(struct mailbox *mailbox, const uint8_t *payload, size_t length,
                        unsigned neighbour, struct now now, struct mailbox_mail *ret_mail) {
    struct mail_shard shard;
    ret_mail->bytes = NULL;
    mailbox->now = now.mono;
    if (mailbox->config.size == 0)
        return DROP_UNKNOWN;
    enum drop drop = mail_shard_decode(payload, length, &shard);
    if (drop != DROP_NONE)
        return drop;
    if (is_done(mailbox, shard.id))
        return DROP_NONE;
    struct mailbox_deposit *deposit = find(mailbox, shard.id);
    if (deposit && (deposit->cut.k != shard.cut.k || deposit->cut.m != shard.cut.m ||
                    deposit->cut.length != shard.cut.length))
        return DROP_MALFORMED;
    if (!deposit)
        deposit = deposit_new(mailbox, &shard, neighbour, now.mono);
    if (!deposit)
        return DROP_LIMIT;
    if (memchr(deposit->index, shard.index, deposit->arrived))
        return DROP_DUPLICATE;
    memcpy(deposit->bytes + (size_t)deposit->arrived * shard.cut.length, shard.data,
           shard.cut.length);
    deposit->index[deposit->arrived++] = shard.index;
    recent_add(&deposit->growth, now.mono);
    return deposit->arrived == shard.cut.k ? complete(mailbox, deposit, now, ret_mail) : DROP_NONE;
}

/* ---- Confirming ---- */

void mailbox_stored(struct mailbox *mailbox, uint64_t tag, int error,
                    struct mailbox_answer *ret_answer) {
    struct mailbox_deposit *deposit = TAILQ_FIRST(&mailbox->storing);
    while (deposit && deposit->tag != tag)
        deposit = TAILQ_NEXT(deposit, link);
    ret_answer->n = 0;
    if (!deposit)
        return;
    mailbox->refused += error != 0;
    ret_answer->neighbour = deposit->neighbour;
    for (unsigned i = 0; error == 0 && i < deposit->content.n_replies; i++, ret_answer->n++) {
        ret_answer->first[i] = deposit->content.replies[i].first;
        memcpy(ret_answer->packets[i], deposit->content.replies[i].packet, ONION_LEN);
    }
    deposit_free(mailbox, deposit);
}

uint64_t mailbox_refused(const struct mailbox *mailbox) {
    return mailbox->refused;
}

/* Forget deposits that never became complete. */
static void expire(struct mailbox *mailbox, struct mono now) {
    struct mailbox_deposit *deposit;
    while ((deposit = TAILQ_FIRST(&mailbox->unfinished)) &&
           now.us - deposit->born.us >= UNFINISHED_US)
        deposit_free(mailbox, deposit);
}

bool mailbox_tick(struct mailbox *mailbox, struct mono now) {
    if (!mono_is_due(mailbox->look, now))
        return false;
    expire(mailbox, now);
    return mailbox_choose(mailbox, now);
}

/* ---- Life ---- */

struct mailbox *mailbox_new(const struct mailbox_config *config) {
    struct mailbox *mailbox = calloc(1, sizeof *mailbox);
    if (!mailbox)
        return NULL;
    mailbox->config = *config;
    mailbox_configure(mailbox, config->size, config->use);
    mailbox->self = node_id_prefix(identity_id(config->identity));
    TAILQ_INIT(&mailbox->unfinished);
    TAILQ_INIT(&mailbox->storing);
    mailbox_choice_init(mailbox);
    config->budget->evict[BUDGET_MAILBOX] = evict;
    config->budget->context[BUDGET_MAILBOX] = mailbox;
    return mailbox;
}

void mailbox_free(struct mailbox *mailbox) {
    if (!mailbox)
        return;
    while (!TAILQ_EMPTY(&mailbox->unfinished))
        deposit_free(mailbox, TAILQ_FIRST(&mailbox->unfinished));
    while (!TAILQ_EMPTY(&mailbox->storing))
        deposit_free(mailbox, TAILQ_FIRST(&mailbox->storing));
    assert(mailbox->n_deposits == 0 && mailbox->bytes == 0);
    mailbox->config.budget->evict[BUDGET_MAILBOX] = NULL;
    sodium_memzero(mailbox, sizeof *mailbox); /* the secret of the choice */
    free(mailbox);
}

void mailbox_configure(struct mailbox *mailbox, uint64_t size, unsigned use) {
    mailbox->config.size = size;
    mailbox->config.use = use < DESCRIPTOR_MAILBOXES_MAX ? use : DESCRIPTOR_MAILBOXES_MAX;
    mailbox->look = (struct mono){INT64_MIN};
}
