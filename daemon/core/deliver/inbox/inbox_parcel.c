/* Senders, and their parcels that are not stored yet. Threat: what is held is charged to the sender
 * that a MAC proved, by bytes and by parcels. Strangers are as many as they like, and must not
 * displace everybody's parcels before they are whole. */
#include "daemon/core/deliver/inbox/inbox_private.h"

#include <assert.h>

#define EVICT_LOOKS 64 /* so many of the oldest parcels are compared before one is evicted */

struct inbox_sender *inbox_sender_find(const struct inbox *inbox, const struct node_id *id) {
    uint64_t hash = table_hash(&inbox->senders, id, sizeof *id);
    struct inbox_sender *sender;
    TABLE_FIND(sender, &inbox->senders, hash, by_id, node_id_is_equal(&sender->id, id));
    return sender;
}

static struct inbox_sender *get_sender(struct inbox *inbox, const struct node_id *id) {
    struct inbox_sender *sender = inbox_sender_find(inbox, id);
    if (sender)
        return sender;
    sender = calloc(1, sizeof *sender);
    if (!sender)
        return NULL;
    sender->id = *id;
    sender->is_known = inbox_knows(inbox, id);
    TAILQ_INIT(&sender->unfinished);
    table_add(&inbox->senders, &sender->by_id, table_hash(&inbox->senders, id, sizeof *id));
    return sender;
}

struct inbox_parcel *inbox_parcel_find(const struct inbox *inbox, const struct node_id *sender,
                                       const struct parcel_id *id) {
    uint64_t hash = table_hash(&inbox->parcels, id, sizeof *id);
    struct inbox_parcel *parcel;
    TABLE_FIND(parcel, &inbox->parcels, hash, by_id,
               memcmp(&parcel->id, id, sizeof *id) == 0 &&
                   node_id_is_equal(&parcel->sender->id, sender));
    return parcel;
}

static void free_mails(struct inbox_parcel *parcel) {
    for (struct inbox_mail *mail; (mail = parcel->mails);) {
        parcel->mails = mail->next;
        sodium_memzero(mail->plain, mail->length);
        free(mail);
    }
}

void inbox_parcel_free(struct inbox *inbox, struct inbox_parcel *parcel) {
    struct inbox_sender *sender = parcel->sender;
    TAILQ_REMOVE(parcel->storing ? &inbox->storing : &inbox->unfinished, parcel, link);
    if (!parcel->storing)
        TAILQ_REMOVE(&sender->unfinished, parcel, own);
    if (parcel->wants_receipt)
        TAILQ_REMOVE(&inbox->wanting, parcel, want);
    timers_clear(&inbox->timers, &parcel->timer);
    table_remove(&inbox->parcels, &parcel->by_id);
    budget_give(inbox->config.budget, BUDGET_INBOX, parcel->charged + parcel->operations_charged);
    inbox_account(parcel, 0);
    free_mails(parcel);
    if (--sender->n_parcels == 0) {
        assert(sender->bytes == 0);
        table_remove(&inbox->senders, &sender->by_id);
        free(sender);
    }
    inbox->n_parcels--;
    sodium_memzero(parcel->bytes, parcel->room); /* plaintext, by now or soon */
    free(parcel->bytes);
    free(parcel->file);
    free(parcel);
}

/* How many shards of it came of late, in whole ones: of two of which one came lately neither grew
 * more than the other. */
static int64_t growth(const struct inbox *inbox, const struct inbox_parcel *parcel) {
    return (recent_level(&parcel->growth, inbox->now) + RECENT_ONE - 1) / RECENT_ONE;
}

/* Is this parcel evicted rather than the other? */
static bool is_sooner(const struct inbox *inbox, const struct inbox_parcel *parcel,
                      const struct inbox_parcel *than) {
    int64_t grew = growth(inbox, parcel), than_grew = growth(inbox, than);
    if (parcel->sender->is_known != than->sender->is_known)
        return !parcel->sender->is_known;
    return grew != than_grew ? grew < than_grew : parcel->sender->bytes > than->sender->bytes;
}

/* Evict one of the oldest unfinished parcels: a stranger's rather than a known node's, then the one
 * that grew least of late, then one of the sender that holds most. False: there is none. */
bool inbox_evict(void *context) {
    struct inbox *inbox = context;
    struct inbox_parcel *parcel, *chosen = NULL;
    unsigned looks = 0;
    TAILQ_FOREACH(parcel, &inbox->unfinished, link) {
        if (++looks > EVICT_LOOKS)
            break;
        if (parcel != inbox->growing && (!chosen || is_sooner(inbox, parcel, chosen)))
            chosen = parcel;
    }
    if (chosen)
        inbox_parcel_free(inbox, chosen);
    return chosen;
}

static struct inbox_parcel *oldest_of(const struct inbox *inbox,
                                      const struct inbox_sender *sender) {
    struct inbox_parcel *oldest = TAILQ_FIRST(&sender->unfinished);
    return oldest && oldest == inbox->growing ? TAILQ_NEXT(oldest, own) : oldest;
}

/* Keep a sender within its bounds with so many parcels and bytes more, by dropping its oldest
 * unfinished parcels. False: all that it has are being stored. */
static bool make_room(struct inbox *inbox, const struct node_id *id, unsigned parcels,
                      size_t charge) {
    const struct inbox_sender *sender;
    while ((sender = inbox_sender_find(inbox, id)) &&
           (sender->n_parcels + parcels > INBOX_SENDER_PARCELS_MAX ||
            sender->bytes + charge > INBOX_SENDER_BYTES_MAX)) {
        struct inbox_parcel *oldest = oldest_of(inbox, sender);
        if (!oldest)
            return false;
        inbox_parcel_free(inbox, oldest);
    }
    return true;
}

/* A parcel grows by halves: what did not arrive is not paid for, or first shards alone would hold
 * all the memory there is. */
bool inbox_parcel_grow(struct inbox *inbox, struct inbox_parcel *parcel) {
    size_t shards = parcel->arrived + 1u + parcel->arrived / 2u;
    size_t room = (shards < parcel->k ? shards : parcel->k) * parcel->length;
    if ((parcel->arrived + 1u) * (size_t)parcel->length <= parcel->room)
        return true;
    size_t more = room - parcel->room;
    inbox->growing = parcel;
    bool may = make_room(inbox, &parcel->sender->id, 0, more) &&
               budget_take(inbox->config.budget, BUDGET_INBOX, more);
    inbox->growing = NULL;
    uint8_t *bytes = may ? realloc(parcel->bytes, room) : NULL;
    if (may && !bytes)
        budget_give(inbox->config.budget, BUDGET_INBOX, more);
    if (!bytes)
        return false;
    parcel->bytes = bytes;
    parcel->room = room;
    inbox_account(parcel, parcel->charged + more);
    return true;
}

struct inbox_parcel *inbox_parcel_new(struct inbox *inbox, const struct node_id *from,
                                      const struct parcel_shard *shard, int64_t epoch) {
    size_t room = shard->length, charge = room + sizeof(struct inbox_parcel);
    if (timers_reserve(&inbox->timers, inbox->n_parcels + 1) ||
        !make_room(inbox, from, 1, charge) ||
        !budget_take(inbox->config.budget, BUDGET_INBOX, charge))
        return NULL;
    struct inbox_parcel *parcel = calloc(1, sizeof *parcel);
    uint8_t *bytes = malloc(room);
    struct inbox_sender *sender = parcel && bytes ? get_sender(inbox, from) : NULL;
    if (!sender) {
        free(parcel);
        free(bytes);
        budget_give(inbox->config.budget, BUDGET_INBOX, charge);
        return NULL;
    }
    parcel->op.kind = INBOX_OP_PARCEL;
    parcel->id = shard->id;
    parcel->k = shard->k;
    parcel->m = shard->m;
    parcel->length = shard->length;
    parcel->epoch = epoch;
    parcel->bytes = bytes;
    parcel->room = room;
    parcel->sender = sender;
    sender->n_parcels++;
    inbox_account(parcel, charge);
    table_add(&inbox->parcels, &parcel->by_id,
              table_hash(&inbox->parcels, &parcel->id, sizeof parcel->id));
    TAILQ_INSERT_TAIL(&inbox->unfinished, parcel, link);
    TAILQ_INSERT_TAIL(&sender->unfinished, parcel, own);
    inbox->n_parcels++;
    return parcel;
}
