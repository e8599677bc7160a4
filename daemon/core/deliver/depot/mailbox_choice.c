/* Who keeps our mail: rendezvous hashing over the volunteers. Threat: a mailbox sees when somebody
 * writes to us while we are away. Whoever would like to be it for somebody must not be able to make
 * an id that is chosen, hence a secret of our own; nor profit from our restarts, hence the same one
 * each time, made from our link key. */
#include "daemon/core/deliver/depot/mailbox_private.h"

/* A newcomer does not know all volunteers yet: until it does, nothing chosen is kept, so that after
 * a restart it ends with the same ones. */
#define YOUNG_US (10 * US_PER_S)
#define LOOK_YOUNG_US (2 * US_PER_S)
#define LOOK_US (30 * US_PER_S)
#define GRACE_US (2 * US_PER_MINUTE) /* a restart is no reason to tell the whole network */

void mailbox_choice_init(struct mailbox *mailbox) {
    static const char label[] = "p2pd mailboxes";
    crypto_generichash(mailbox->secret, sizeof mailbox->secret, (const uint8_t *)label,
                       sizeof label - 1, identity_link_key(mailbox->config.identity)->secret,
                       KEY_LEN);
    mailbox->look = (struct mono){INT64_MIN};
    mailbox->started = MONO_NEVER;
}

static uint64_t score(const struct mailbox *mailbox, uint64_t prefix) {
    uint8_t out[crypto_shorthash_BYTES], in[8];
    uint64_t value;
    struct wire_writer writer = wire_writer(in, sizeof in);
    wire_put_uint(&writer, prefix, 8);
    crypto_shorthash(out, in, sizeof in, mailbox->secret);
    memcpy(&value, out, sizeof value);
    return value;
}

static bool is_up(const struct mailbox *mailbox, const struct directory_entry *entry) {
    return entry && entry->mailbox && entry->live &&
           directory_is_up(mailbox->config.directory, entry);
}

static bool is_chosen(const struct mailbox *mailbox, uint64_t prefix) {
    for (size_t i = 0; i < mailbox->n_chosen; i++)
        if (mailbox->chosen[i].prefix == prefix)
            return true;
    return false;
}

/* Those who have been down for too long, or do not want to any more, go. */
static void keep_living(struct mailbox *mailbox, struct mono now) {
    size_t n = 0;
    for (size_t i = 0; i < mailbox->n_chosen && n < mailbox->config.use; i++) {
        struct mailbox_chosen chosen = mailbox->chosen[i];
        const struct directory_entry *entry =
            directory_find_prefix(mailbox->config.directory, chosen.prefix);
        if (is_up(mailbox, entry))
            chosen.missing = MONO_NEVER;
        else if (chosen.missing.us == MONO_NEVER.us)
            chosen.missing = now;
        bool gone = chosen.missing.us != MONO_NEVER.us && now.us - chosen.missing.us >= GRACE_US;
        if (!gone && (!entry || entry->mailbox))
            mailbox->chosen[n++] = chosen;
    }
    mailbox->n_chosen = n;
}

static const struct directory_entry *best_other(const struct mailbox *mailbox) {
    const struct directory_entry *best = NULL;
    uint64_t highest = 0;
    for (size_t i = 0; i < directory_count(mailbox->config.directory); i++) {
        const struct directory_entry *entry = directory_at(mailbox->config.directory, i);
        if (!is_up(mailbox, entry) || is_chosen(mailbox, entry->prefix))
            continue;
        uint64_t value = score(mailbox, entry->prefix);
        if (!best || value > highest) {
            best = entry;
            highest = value;
        }
    }
    return best;
}

bool mailbox_choose(struct mailbox *mailbox, struct mono now) {
    const struct directory_entry *entry;
    if (mailbox->started.us == MONO_NEVER.us)
        mailbox->started = now;
    bool young = now.us - mailbox->started.us < YOUNG_US;
    struct mailbox_chosen before[DESCRIPTOR_MAILBOXES_MAX];
    size_t n_before = mailbox->n_chosen;
    memcpy(before, mailbox->chosen, sizeof before);
    mailbox->look = mono_add(now, young ? LOOK_YOUNG_US : LOOK_US);
    if (young)
        mailbox->n_chosen = 0;
    keep_living(mailbox, now);
    while (mailbox->n_chosen < mailbox->config.use && (entry = best_other(mailbox)))
        mailbox->chosen[mailbox->n_chosen++] = (struct mailbox_chosen){entry->prefix, MONO_NEVER};
    bool same = mailbox->n_chosen == n_before;
    for (size_t i = 0; same && i < n_before; i++)
        same = mailbox->chosen[i].prefix == before[i].prefix;
    return !same;
}

struct mono mailbox_next(const struct mailbox *mailbox) {
    return mailbox->look;
}

size_t mailbox_chosen(const struct mailbox *mailbox,
                      uint64_t ret_prefixes[DESCRIPTOR_MAILBOXES_MAX]) {
    for (size_t i = 0; i < mailbox->n_chosen; i++)
        ret_prefixes[i] = mailbox->chosen[i].prefix;
    return mailbox->n_chosen;
}
