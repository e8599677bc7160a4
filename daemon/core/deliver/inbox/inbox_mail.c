/* Mail: what a mailbox kept for us, opened with the mail key of its day. Threat: the mailbox is a
 * stranger, and so may be whoever left it there. The sender is whom the descriptor inside names, if
 * its signature is good and Noise proved its link key; that its keys may be over is what mail is
 * for. It is taken whole or refused whole, as any parcel. */
#include "daemon/core/deliver/inbox/inbox_private.h"

#include <errno.h>

#define MAIL_EXCHANGES 3 /* what one is charged as */

/* Who sent it, and where the items begin. */
static enum drop check_sender(struct inbox_mail *mail, const uint8_t link_key[KEY_LEN]) {
    struct wire_reader reader = wire_reader(mail->plain, mail->length);
    struct mail_head head;
    enum drop drop = mail_get_head(&reader, &head);
    if (drop == DROP_NONE)
        drop = descriptor_open(head.descriptor, head.descriptor_length, &mail->sender);
    if (drop == DROP_NONE && (!node_id_is_equal(&mail->sender.id, &head.sender) ||
                              memcmp(mail->sender.link_key, link_key, KEY_LEN) != 0))
        drop = DROP_AUTH;
    mail->items = (size_t)(reader.at - mail->plain);
    return drop;
}

static enum parcel_reason check_items(const struct inbox *inbox, struct inbox_parcel *parcel,
                                      const struct inbox_mail *mail) {
    struct wire_reader reader = wire_reader(mail->plain + mail->items, mail->length - mail->items);
    struct parcel_item item;
    enum drop drop = DROP_NONE;
    size_t n = 0;
    while (wire_left(&reader) > 0 && (drop = parcel_get_item(&reader, &item)) == DROP_NONE &&
           item.kind) {
        enum parcel_reason reason = inbox_check_item(inbox, &mail->sender.id, &item, false);
        if (reason)
            return reason;
        /* a block would have to be cut as the sender cuts it when it sends directly */
        if (item.length != item.total)
            return PARCEL_REASON_MALFORMED;
        n++;
    }
    parcel->n_items += (unsigned)n;
    return drop == DROP_VERSION          ? PARCEL_REASON_VERSION
           : drop != DROP_NONE || n == 0 ? PARCEL_REASON_MALFORMED
                                         : PARCEL_REASON_NONE;
}

/* May a mail be opened? That costs two key exchanges and a signature check. The first mail of a
 * parcel is asked for, and may have to wait until it is sent again; the others are charged, and are
 * few. */
static enum parcel_reason admit(struct inbox *inbox, struct inbox_parcel *parcel, struct mono now) {
    const struct policy *policy = inbox->config.policy;
    if (policy && policy_get(policy, &parcel->sender->id) == RULE_BLOCK)
        return PARCEL_REASON_BLOCKED;
    if (parcel->n_mails >= MAIL_IN_PARCEL_MAX)
        return PARCEL_REASON_MALFORMED;
    if (parcel->n_mails++ == 0 && !inbox_may_exchange(inbox, parcel->from, now))
        parcel->error = -EAGAIN;
    else if (inbox->config.share)
        share_charge(inbox->config.share, parcel->from, MAIL_EXCHANGES);
    return PARCEL_REASON_NONE;
}

enum parcel_reason inbox_mail_open(struct inbox *inbox, struct inbox_parcel *parcel,
                                   const struct parcel_item *item, struct mono now) {
    enum parcel_reason refused = admit(inbox, parcel, now);
    if (refused || parcel->error)
        return refused;
    const struct noise_keypair *key =
        identity_mail_key(inbox->config.identity, mail_day(item->bytes, item->length));
    uint8_t link_key[KEY_LEN];
    if (!key || item->length != item->total || item->length < MAIL_BLOB_MIN ||
        item->length > MAIL_BLOB_MAX)
        return PARCEL_REASON_MALFORMED;
    struct inbox_mail *mail = NULL;
    if (budget_take(inbox->config.budget, BUDGET_INBOX, item->length)) {
        inbox_account(parcel, parcel->charged + item->length);
        mail = calloc(1, sizeof *mail + item->length);
    }
    if (!mail) {
        parcel->error = -ENOMEM;
        return PARCEL_REASON_NONE;
    }
    mail->next = parcel->mails;
    parcel->mails = mail;
    enum drop drop = mail_open(key, &inbox->self, item->bytes, item->length, mail->plain,
                               &mail->length, link_key);
    if (drop == DROP_NONE)
        drop = check_sender(mail, link_key);
    if (drop == DROP_VERSION)
        return PARCEL_REASON_VERSION;
    return drop == DROP_NONE ? check_items(inbox, parcel, mail) : PARCEL_REASON_MALFORMED;
}

static void put(struct inbox *inbox, struct inbox_parcel *parcel, const struct inbox_mail *mail,
                struct wall wall) {
    struct wire_reader reader = wire_reader(mail->plain + mail->items, mail->length - mail->items);
    const struct directory_entry *entry = directory_find(inbox->config.directory, &mail->sender.id);
    struct descriptor sender = mail->sender;
    struct address address = {.port = 0};
    struct parcel_item item;
    bool follows = false;
    if (sender.n_addresses > 0)
        address = sender.addresses[0];
    if (entry) { /* what we know of it ourselves is better */
        directory_descriptor(entry, &sender);
        address = directory_address(inbox->config.directory, entry);
    }
    bool is_known = inbox_counts_as_known(inbox, &mail->sender.id);
    while (wire_left(&reader) > 0 && parcel_get_item(&reader, &item) == DROP_NONE && item.kind) {
        if (inbox_is_over(inbox, &item, wall))
            continue;
        parcel->puts++;
        inbox_put_item(inbox, &parcel->op,
                       &(struct inbox_origin){.sender = &mail->sender.id,
                                              .address = &address,
                                              .name = sender.name,
                                              .is_known = is_known,
                                              .follows = follows},
                       &item, wall);
        follows = true;
    }
}

void inbox_mail_put(struct inbox *inbox, struct inbox_parcel *parcel, struct wall wall) {
    for (const struct inbox_mail *mail = parcel->mails; mail; mail = mail->next)
        put(inbox, parcel, mail, wall);
}
