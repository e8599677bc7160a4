/* What waits for a recipient, and what of it may be gathered into a parcel now. Threat: memory and
 * unfairness. Only what is about to travel is gathered; long messages leave room for short ones;
 * and a message that the recipient refuses for now does not hold up those that were not offered
 * yet. */
#include "daemon/core/deliver/sender/sender_private.h"

#define LONG_PARCELS_MAX (OUTBOX_PARCELS / 4 * 3)
#define LONG_BYTES (OUTBOX_FLIGHT_BYTES / 4 * 3) /* of the flight, blocks of long messages */

static struct message_queue *queue_at(struct recipient *recipient, enum message_place place) {
    return place == MESSAGE_AGAIN  ? &recipient->again
           : place == MESSAGE_LONG ? &recipient->longs
                                   : &recipient->shorts;
}

/* Where it belongs when it waits. */
static enum message_place place_for(const struct message *message) {
    if (message->kind == KIND_MAIL && message->refused)
        return MESSAGE_AGAIN;
    return message_is_long(message) ? MESSAGE_LONG : MESSAGE_SHORT;
}

static bool is_queued(const struct message *message) {
    return message->place == MESSAGE_SHORT || message->place == MESSAGE_LONG ||
           message->place == MESSAGE_AGAIN;
}

static void dequeue(struct message *message) {
    TAILQ_REMOVE(queue_at(message->recipient, message->place), message, queue);
    message_move(message, MESSAGE_NOWHERE);
}

static void enqueue(struct sender *sender, struct message *message) {
    message_move(message, place_for(message));
    message_queue_insert(queue_at(message->recipient, message->place), message);
    sender_wake(sender, message->recipient);
}

/* ---- Gathering ---- */

static struct sender_parcel *gather_long(struct sender *sender, struct recipient *recipient) {
    struct message *message = TAILQ_FIRST(&recipient->longs);
    struct sender_parcel *parcel = sender_parcel_new(sender, recipient, 1, true);
    if (!parcel)
        return NULL;
    uint32_t block = message_block_size(message);
    uint64_t offset = message->next_block * block, left = message->size - offset;
    sender_parcel_add(parcel, message, offset, left < block ? (uint32_t)left : block);
    message_next_block(message);
    if (left <= block)
        dequeue(message);
    return parcel;
}

/* As many of the messages that wait, in order, as fit. */
static struct sender_parcel *gather_shorts(struct sender *sender, struct recipient *recipient,
                                           struct message_queue *queue) {
    size_t n = 0, length = 0, most = message_items_max(recipient->route.shards_k), mails = 0;
    struct message *message;
    TAILQ_FOREACH(message, queue, queue) {
        size_t more = PARCEL_ITEM_HEADER_LEN + message->size;
        mails += message->kind == KIND_MAIL;
        if (length + more > most || (message->unbatched && n > 0) || mails > MAIL_IN_PARCEL_MAX)
            break;
        length += more;
        n++;
        if (message->unbatched)
            break;
    }
    struct sender_parcel *parcel = sender_parcel_new(sender, recipient, n, false);
    for (; parcel && n > 0; n--) {
        message = TAILQ_FIRST(queue);
        dequeue(message);
        sender_parcel_add(parcel, message, 0, (uint32_t)message->size);
    }
    return parcel;
}

static bool may_gather_any(const struct recipient *recipient) {
    return recipient->n_parcels < OUTBOX_PARCELS && recipient->bytes < OUTBOX_FLIGHT_BYTES;
}
/* A long message that was refused for now asks with one block at a time whether there is room
 * again. */
static bool may_gather_long(const struct recipient *recipient) {
    const struct message *first = TAILQ_FIRST(&recipient->longs);
    if (first && first->refused && recipient->n_long > 0)
        return false;
    return recipient->n_long < LONG_PARCELS_MAX && recipient->long_bytes < LONG_BYTES;
}

/* While the recipient rests (rest_until), our own messages wait. Mail of others that was not
 * offered yet goes all the same: those who left the refused mail are strangers, and must not hold
 * up what others left. */
static bool may_gather_fresh(const struct recipient *recipient, struct mono now) {
    return recipient->route.is_kept || mono_is_due(recipient->rest_until, now);
}
/* Mail that was refused may be an eighth of all that we keep, so it is offered again a bounded
 * number of bytes at a time. */
static bool may_gather_again(const struct recipient *recipient, struct mono now) {
    return !TAILQ_EMPTY(&recipient->again) && mono_is_due(recipient->rest_until, now) &&
           recipient->bytes < SENDER_AGAIN_BYTES;
}

bool sender_may_gather(const struct recipient *recipient, struct mono now) {
    bool fresh = !TAILQ_EMPTY(&recipient->shorts) ||
                 (!TAILQ_EMPTY(&recipient->longs) && may_gather_long(recipient));
    return may_gather_any(recipient) &&
           ((fresh && may_gather_fresh(recipient, now)) || may_gather_again(recipient, now));
}

struct sender_parcel *sender_gather(struct sender *sender, struct recipient *recipient,
                                    struct mono now) {
    const struct message *first = TAILQ_FIRST(&recipient->shorts),
                         *first_long = TAILQ_FIRST(&recipient->longs);
    if (!sender_may_gather(recipient, now))
        return NULL;
    if (!may_gather_long(recipient))
        first_long = NULL;
    if (first && (!first_long || first->sequence < first_long->sequence))
        return gather_shorts(sender, recipient, &recipient->shorts);
    return first_long ? gather_long(sender, recipient)
                      : gather_shorts(sender, recipient, &recipient->again);
}

/* ---- In and out ---- */

void sender_assign(struct message *message, struct recipient *recipient) {
    message->recipient = recipient;
}

void sender_enqueue(struct sender *sender, struct message *message, uint64_t progress) {
    message_plan(message, progress);
    enqueue(sender, message);
}

/* Take a message out of its recipient's queue and parcels. */
static void take_out(struct sender *sender, struct message *message) {
    bool is_long = message_is_long(message), was_queued = is_queued(message);
    struct sender_parcel *parcel = TAILQ_FIRST(&message->recipient->parcels), *next;
    if ((was_queued || message->arrived) && !is_long)
        parcel =
            NULL; /* a message that goes whole is in no parcel while it is queued or has arrived */
    if (was_queued)
        dequeue(message);
    for (; parcel; parcel = next) {
        bool holds = sender_parcel_holds(parcel, message);
        next = is_long || !holds ? TAILQ_NEXT(parcel, link) : NULL;
        if (!holds)
            continue;
        if (!sender_parcel_forget(parcel, message))
            sender_parcel_drop(sender, parcel);
        else if (sender_parcel_is_sealed(parcel) && parcel->timeouts > 0)
            sender_parcel_empty(
                sender,
                parcel); /* a finished message is not sent again just to ask for a receipt */
    }
}

static void count_out(struct sender *sender, struct recipient *recipient, uint64_t size) {
    recipient->n_messages--;
    recipient->held_bytes -= size;
    sender_wake(sender, recipient);
}

void sender_forget(struct sender *sender, struct message *message) {
    struct recipient *recipient = message->recipient;
    take_out(sender, message);
    message->recipient = NULL;
    count_out(sender, recipient, message->size);
}

void sender_hold_on(struct recipient *recipient, uint64_t size) {
    recipient->n_messages++;
    recipient->held_bytes += size;
}

struct recipient *sender_hold(struct sender *sender, const struct sender_route *route,
                              enum sender_hold hold, uint64_t size, bool *ret_is_new) {
    struct recipient *recipient = sender_recipient_get(sender, route, hold, ret_is_new);
    if (recipient)
        sender_hold_on(recipient, size);
    return recipient;
}

void sender_release(struct sender *sender, struct recipient *recipient, uint64_t size) {
    count_out(sender, recipient, size);
}

uint64_t sender_confirmed_below(const struct message *message) {
    uint64_t lowest = message->next_block * message_block_size(message);
    const struct sender_parcel *parcel;
    if (lowest > message->size)
        lowest = message->size;
    TAILQ_FOREACH(parcel, &message->recipient->parcels, link)
        for (size_t i = 0; i < parcel->n_items; i++)
            if (parcel->items[i].message == message && parcel->items[i].offset < lowest)
                lowest = parcel->items[i].offset;
    return lowest;
}

void sender_requeue(struct sender *sender, struct message *message, uint64_t below) {
    take_out(sender, message);
    message->refused = true;
    message->unbatched = message->unbatched || message->kind == KIND_MAIL;
    sender_enqueue(sender, message, below);
}

void sender_accept_again(struct message *message) {
    message->refused = false;
}

void sender_split(struct sender *sender, struct sender_parcel *parcel) {
    for (size_t i = parcel->n_items; i-- > 0;) {
        struct message *message = parcel->items[i].message;
        if (!message)
            continue;
        message->unbatched = true;
        message_move(message, MESSAGE_SHORT);
        TAILQ_INSERT_HEAD(&parcel->recipient->shorts, message, queue);
    }
    sender_parcel_drop(sender, parcel);
}

/* ---- To be looked at ---- */

struct sender_walk sender_walk(const struct recipient *recipient) {
    return (struct sender_walk){.parcel = TAILQ_FIRST(&recipient->parcels),
                                .queued = TAILQ_FIRST(&recipient->shorts)};
}

struct message *sender_walk_next(struct sender_walk *walk) {
    for (; walk->parcel; walk->parcel = TAILQ_NEXT(walk->parcel, link), walk->item = 0)
        while (walk->item < walk->parcel->n_items) {
            struct message *message = walk->parcel->items[walk->item++].message;
            if (message)
                return message;
        }
    struct message *message = walk->queued;
    if (message)
        walk->queued = TAILQ_NEXT(message, queue);
    return message;
}
